"""Remittances of the payers: what an account was paid, adjusted and denied (hb 835; landscape 7.1, Q49 to Q51).

Here: which claims a payer reports on a day and how it settles their lines, so that amounts tie to what billing posts.
Not here: payments and adjustments themselves (charging), how a set is written (remit_text).

What ties, for each account: CLP04 over all its claims is what billing posts as payments (type 2), CAS of the groups CO,
OA and PI over its claims other than denied ones is what it posts as adjustments (types 3 and 4), both with the sign
turned, and on the date of the folder. A denial posts nothing: the claim goes in again and is paid later. A reversal and
its corrected claim stand in one set and cancel out. Provider level adjustments are not posted to accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from ingest.simulator.amounts import CENT, money
from ingest.simulator.census import Census, ClaimLine, Settlement
from ingest.simulator.chance import Chance, Stream
from ingest.simulator.charge_records import Account
from ingest.simulator.charging import Charging
from ingest.simulator.delivery import CHICAGO, Document
from ingest.simulator.events import ChargeTransaction, World
from ingest.simulator.masters import FIRST_NAMES, npi
from ingest.simulator.plan import DefectPlan
from ingest.simulator.ref import ALL_SITES
from ingest.simulator.remit_text import (
    PAYERS,
    Adjustment,
    Claim,
    Patient,
    Payee,
    Payer,
    Provider,
    Remittance,
    Service,
    interchange,
)

BILLED = 3  # bill status of an account that waits for its payment
# From the bill to a denial; the claim is paid 14 days after discharge at the earliest, billed 8 at the latest.
DENIAL_DAYS = (3, 5)
CORRECTION_DAYS = (5, 12)
DENIED_CLAIMS, DENIED_LINES = 0.07, 0.12
REVERSED_SHARE, PROVIDER_SHARE = 0.03, 0.40
SEQUESTRATION, INTEREST = Decimal("0.02"), Decimal("0.003")
# Claim adjustment reason codes: of whole claims with their group, of lines with a remark code.
CLAIM_DENIALS = (("CO", "197"), ("CO", "16"), ("CO", "252"), ("PR", "27"), ("PR", "204"))
LINE_DENIALS = (("97", "M15"), ("16", "M53"), ("50", "N115"), ("45", "N381"))
MODIFIERS: tuple[tuple[tuple[str, ...], float], ...] = (
    ((), 0.85),
    (("LT",), 0.05),
    (("RT",), 0.05),
    (("59", "XS"), 0.05),
)
CONTRACTUAL, NEGOTIATED, INCENTIVE, SEQUESTERED = "45", "131", "144", "253"

PAYEES: dict[str, Payee] = {
    site: Payee(name.upper(), npi(100 + number), f"{number}00 HOSPITAL DR", ("CARBONDALE", "IL", f"6290{number}0001"))
    for number, (site, name, *_) in enumerate(ALL_SITES)
}


class Remittances:
    """The payers of every simulated hospital."""

    def __init__(self, world: World, charging: Charging, census: Census, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world; what is billed and paid is read from it day by day."""
        self.world = world
        self.charging = charging
        self.census = census
        self.plan = plan
        self.chance = chance
        self._read_accounts = 0
        self._read_charges = 0
        self._billed: dict[str, date] = {}
        self._denied: dict[str, tuple[str, Claim]] = {}
        self._denials: dict[date, list[str]] = {}
        self._corrections: dict[date, list[tuple[str, str, Claim]]] = {}
        self._forwarded: dict[tuple[str, str], Decimal] = {}
        self._interchanges: dict[str, int] = {}
        self._traces: dict[str, int] = {}

    def arrived(self, d: date) -> Iterable[Document]:
        """Remittances of the morning of `d`, which billing posts on the same day."""
        self._note_bills(d)
        claims: dict[tuple[str, str], list[Claim]] = {}
        for account in self._denials.pop(d, []):
            self._put(claims, self._deny(account))
        for account, transactions in self._posted().items():
            self._put(claims, self._pay(account, transactions, d))
        for each in self.census.settlements():
            claims.setdefault((each.account.payor, each.account.site), []).append(self._settle(each, d))
        for payor, site, claim in self._corrections.pop(d, []):
            claims.setdefault((payor, site), []).extend((claim.reversed(), self._corrected(claim)))
        by_payer: dict[str, list[str]] = {}
        for payor, site in sorted(claims):
            by_payer.setdefault(payor, []).append(site)
        for payor, sites in by_payer.items():
            payer = PAYERS[payor]
            sets = [self._remittance(payer, site, claims[payor, site], d) for site in sites]
            for together in [sets] if payer.gathers else [[each] for each in sets]:
                yield self._document(payer, together, d)

    def _put(self, claims: dict[tuple[str, str], list[Claim]], claim: Claim | None) -> None:
        if claim is not None:
            account = self.charging.accounts[claim.account]
            claims.setdefault((account.payor, account.site), []).append(claim)

    # ----------------------------------------------------------------------------------------------- what happened

    def _note_bills(self, d: date) -> None:
        states = self.world.accounts[self._read_accounts :]
        self._read_accounts += len(states)
        for name in dict.fromkeys(state.account for state in states):
            if self.charging.accounts[name].bill_status != BILLED or name in self._billed:
                continue
            self._billed[name] = d
            stream = self.chance.stream("remittance denial", name)
            if stream.flag(DENIED_CLAIMS):
                due = d + timedelta(days=stream.integer(*DENIAL_DAYS))
                self._denials.setdefault(due, []).append(name)

    def _posted(self) -> dict[str, list[ChargeTransaction]]:
        """Payments and adjustments that billing posted since the last call, by account.

        A combine shows earlier transactions again, under the surviving account; they are not posted anew.
        """
        fresh = self.world.charges[self._read_charges :]
        self._read_charges += len(fresh)
        posted: dict[str, list[ChargeTransaction]] = {}
        for tx in fresh:
            if tx.tx_type in (2, 3, 4) and tx.post_date == tx.known_at.date():
                posted.setdefault(tx.account, []).append(tx)
        return posted

    # -------------------------------------------------------------------------------------------------- adjudication

    def _deny(self, name: str) -> Claim | None:
        """The claim of an account, all of it denied; nothing when it is settled or combined by now."""
        account = self.charging.accounts[name]
        lines = self._lines(account)
        charge = account.of_ward + sum((line.charge for line in lines), Decimal(0))
        if account.bill_status != BILLED or charge <= 0:
            return None
        group, reason = self.chance.stream("remittance denial reason", name).pick(CLAIM_DENIALS)
        services: tuple[Service, ...] = ()
        if self._has_lines(account):
            services = tuple(
                self._service(account, line, Decimal(0), [(group, reason, line.charge, None)], Decimal(0))
                for line in lines
            )
        whole: list[Adjustment] = [] if services else [(group, reason, charge, None)]
        claim = self._claim(account, "4", charge, Decimal(0), whole, services)
        self._denied[name] = account.payor, claim
        return claim

    def _pay(self, name: str, transactions: Sequence[ChargeTransaction], d: date) -> Claim:
        """The claim that a payment is for, settled as billing posted it."""
        account = self.charging.accounts[name]
        lines = tuple(self._lines(account))
        paid, incentive, contractual = (
            -sum((tx.amount for tx in transactions if tx.tx_type == kind), Decimal(0)) for kind in (2, 3, 4)
        )
        charge = account.of_ward + sum((line.charge for line in lines), Decimal(0))
        return self._settle(Settlement(account, lines, charge, paid, contractual, incentive), d)

    def _settle(self, settled: Settlement, d: date) -> Claim:
        account, lines, charge, paid = settled.account, settled.lines, settled.charge, settled.paid
        contractual, incentive, name = settled.contractual, settled.incentive, settled.account.account
        stream = self.chance.stream("remittance", name)
        parts: list[tuple[str, str, Decimal]] = []
        if PAYERS[account.payor].is_government:
            withheld = min(money(paid * SEQUESTRATION / (1 - SEQUESTRATION)), contractual)
            parts = [("CO", CONTRACTUAL, contractual - withheld), ("CO", SEQUESTERED, withheld)]
        else:
            parts = [("CO", CONTRACTUAL, contractual)]
        parts.append(("CO", INCENTIVE, incentive))
        share = stream.pick(("1", "2", "3", "1 and 2"))
        if not self._has_lines(account):
            owed = charge - paid - contractual - incentive
            whole = [(*part, None) for part in parts if part[2]] + _owed(owed, share)
            claim = self._claim(account, "1", charge, paid, whole, ())
        else:
            services = self._services(account, lines, paid, parts, share, stream)
            claim = self._claim(account, "1", charge, paid, [], services)
        self._billed.pop(name, None)
        payor, denied = self._denied.pop(name, (None, None))
        if denied is not None and payor == account.payor:
            claim = self._again(denied, claim)
        if self.plan.quirk("Q51", name, share=REVERSED_SHARE):
            due = d + timedelta(days=stream.integer(*CORRECTION_DAYS))
            self._corrections.setdefault(due, []).append((account.payor, account.site, claim))
        return claim

    def _services(
        self,
        account: Account,
        lines: Sequence[ClaimLine],
        paid: Decimal,
        parts: Sequence[tuple[str, str, Decimal]],
        share: str,
        stream: Stream,
    ) -> tuple[Service, ...]:
        """Services of a paid claim: each line has its share of the payment and of every part, one may be denied."""
        denied = self._denied_line(lines, parts[0][2], stream)
        reason, remark = stream.pick(LINE_DENIALS)
        weights = [Decimal(0) if line is denied else line.charge for line in lines]
        first_group, first_reason, first = parts[0]
        rest = first if denied is None else first - denied.charge
        shares = [
            (group, code, _allocated(amount, weights))
            for group, code, amount in ((first_group, first_reason, rest), *parts[1:])
        ]
        payments = _allocated(paid, weights)
        services = []
        for place, line in enumerate(lines):
            if line is denied:
                gone: list[Adjustment] = [("CO", reason, line.charge, line.units)]
                services.append(self._service(account, line, Decimal(0), gone, Decimal(0), remark))
                continue
            own: list[Adjustment] = [
                (group, code, amounts[place], None) for group, code, amounts in shares if amounts[place]
            ]
            owed = line.charge - payments[place] - sum((each[2] for each in own), Decimal(0))
            services.append(self._service(account, line, payments[place], own + _owed(owed, share), line.units))
        return tuple(services)

    @staticmethod
    def _denied_line(lines: Sequence[ClaimLine], contractual: Decimal, stream: Stream) -> ClaimLine | None:
        """A supply or implant that the payer bundles or refuses, inside what billing adjusts."""
        wanted = stream.flag(DENIED_LINES)
        supplies = [
            line for line in lines if line.revenue_code.startswith("027") and 0 < line.charge <= contractual / 2
        ]
        return stream.pick(supplies) if wanted and supplies and len(lines) > 1 else None

    def _corrected(self, claim: Claim) -> Claim:
        """The claim that follows its reversal: paid as before, for another reason."""

        def again(adjustments: Iterable[Adjustment]) -> tuple[Adjustment, ...]:
            return tuple(
                (group, NEGOTIATED if reason == CONTRACTUAL else reason, amount, quantity)
                for group, reason, amount, quantity in adjustments
            )

        services = tuple(replace(each, adjustments=again(each.adjustments)) for each in claim.services)
        corrected = replace(claim, adjustments=again(claim.adjustments), services=services)
        return self._again(claim, corrected)

    def _again(self, first: Claim, claim: Claim) -> Claim:
        """A claim that was billed once more (Q51: the account number gets the next letter)."""
        letter = chr(ord(first.letter or "@") + 1) if self.plan.shows("Q51") else ""
        number = f"{first.payer_number[:-2]}{int(first.payer_number[-2:]) + 1:02d}"
        return replace(claim, letter=letter, frequency="7", payer_number=number, corrects=first.payer_number)

    # ---------------------------------------------------------------------------------------------- claims and lines

    def _has_lines(self, account: Account) -> bool:
        return account.base_class != 1 or not self.plan.shows("Q49")

    def _lines(self, account: Account) -> list[ClaimLine]:
        """What an account is charged, by day, procedure and revenue code, without what was taken back."""
        sums: dict[tuple[date, str, str], tuple[Decimal, Decimal]] = {}
        codes = self.charging.masters.charge_codes
        for tx in account.transactions:
            if tx.tx_type == 1:
                code = codes.get(tx.charge_code or "")
                hcpcs = code.hcpcs if code is not None and account.base_class != 1 else None
                key = (tx.service_date, tx.revenue_code or "0270", hcpcs or "")
                units, charge = sums.get(key, (Decimal(0), Decimal(0)))
                sums[key] = units + tx.quantity, charge + tx.amount
        return [
            ClaimLine(hcpcs or None, revenue_code, day, units, charge)
            for (day, revenue_code, hcpcs), (units, charge) in sorted(sums.items())
            if charge
        ]

    def _service(
        self,
        account: Account,
        line: ClaimLine,
        paid: Decimal,
        adjustments: Sequence[Adjustment],
        units_paid: Decimal,
        remark: str | None = None,
    ) -> Service:
        modifiers: tuple[str, ...] = ()
        if line.hcpcs is not None:
            stream = self.chance.stream("remittance modifier", account.account, line.hcpcs, line.service_date)
            modifiers = stream.weighted(MODIFIERS)
        return Service(
            hcpcs=line.hcpcs,
            modifiers=modifiers,
            revenue_code=line.revenue_code,
            units=line.units,
            units_paid=units_paid,
            charge=line.charge,
            paid=paid,
            service_date=line.service_date,
            adjustments=tuple(adjustments),
            remark=remark,
        )

    def _claim(
        self,
        account: Account,
        status: str,
        charge: Decimal,
        paid: Decimal,
        adjustments: Sequence[Adjustment],
        services: Sequence[Service],
    ) -> Claim:
        discharged = account.discharged_at or account.admitted_at
        stream = self.chance.stream("remittance claim", account.account)
        is_inpatient = account.base_class == 1
        return Claim(
            account=account.account,
            letter="",
            status=status,
            frequency="1",
            payer_number=f"{discharged:%Y%j}{stream.integer(0, 9_999_999):07d}00",
            corrects=None,
            charge=charge,
            paid=paid,
            is_inpatient=is_inpatient,
            drg="470" if is_inpatient else None,
            patient=self._patient(account),
            admitted=account.admitted_at.date(),
            discharged=discharged.date(),
            received=self._billed.get(account.account),
            adjustments=tuple(adjustments),
            services=tuple(services),
        )

    def _patient(self, account: Account) -> Patient:
        last, _, given = account.patient_name.partition(",")
        first, _, middle = given.partition(" ")
        payer = PAYERS[account.payor]
        stream = self.chance.stream("remittance member", account.patient_id, payer.payor)
        member = f"{payer.member}{stream.integer(0, 99_999_999):08d}"
        qualifier = "MI"
        if not payer.member:
            qualifier, member = "34", account.ssn.replace("-", "")
        insured = stream.pick(FIRST_NAMES).upper() if payer.member and stream.flag(0.1) else None
        return Patient(last, first, middle, qualifier, member, account.patient_id, insured)

    # --------------------------------------------------------------------------------------------- sets and documents

    def _remittance(self, payer: Payer, site: str, claims: Sequence[Claim], d: date) -> Remittance:
        count = self._traces[payer.payor] = self._traces.get(payer.payor, 0) + 1
        # A check has its number, a transfer a trace number that names the payer and the day.
        trace = str(40_000_000 + count) if payer.method == "CHK" else f"{payer.payer_id}{d:%y%m%d}{count:06d}"
        provider = self._provider(payer, site, trace, sum((claim.paid for claim in claims), Decimal(0)))
        return Remittance(trace, PAYEES[site], d, tuple(claims), provider)

    def _provider(self, payer: Payer, site: str, trace: str, paid: Decimal) -> tuple[Provider, ...]:
        """Provider level adjustments (Q50): interest, recoupment, balances that are carried to the next payment."""
        key = (payer.payor, site)
        entries: list[Provider] = []
        brought = min(self._forwarded.get(key, Decimal(0)), paid)
        if brought > 0:
            self._forwarded[key] -= brought
            entries.append(Provider("FB", trace, brought))
        if paid > 0 and self.plan.quirk("Q50", trace, share=PROVIDER_SHARE):
            stream = self.chance.stream("remittance provider", trace)
            if stream.flag(0.6):
                entries.append(Provider("L6", f"INT{trace[-8:]}", -max(money(paid * INTEREST), CENT)))
            else:
                # One recoupment in five is more than what is paid on the day.
                part = Decimal("1.2") if stream.flag(0.2) else stream.decimal(0.05, 0.5)
                entries.append(Provider("WO", f"{stream.integer(0, 999_999_999):09d}", max(money(paid * part), CENT)))
        short = sum((entry.amount for entry in entries), Decimal(0)) - paid
        if short > 0:
            self._forwarded[key] = self._forwarded.get(key, Decimal(0)) + short
            entries.append(Provider("FB", trace, -short))
        return tuple(entries)

    def _document(self, payer: Payer, sets: Sequence[Remittance], d: date) -> Document:
        number = self._interchanges.get(payer.payor, payer.first_control)
        self._interchanges[payer.payor] = number + 1
        minute = self.chance.stream("remittance arrival", payer.payor, number).integer(0, 330)
        at = datetime.combine(d, time(3, 5), CHICAGO) + timedelta(minutes=minute)
        return Document(
            system="hb",
            extract="REMIT_835_PAYMENT",
            path=f"hb/835/{d:%Y%m%d}/{payer.payer_id}_{sets[0].trace}.835",
            content=interchange(payer, sets, number, at),
            rows=len(sets),
            folder=d,
        )


def _owed(amount: Decimal, share: str) -> list[Adjustment]:
    """What the patient owes: deductible (1), coinsurance (2), copay (3), or the first two."""
    if not amount:
        return []
    if share != "1 and 2":
        return [("PR", share, amount, None)]
    deductible = money(amount / 3)
    return [("PR", code, part, None) for code, part in (("1", deductible), ("2", amount - deductible)) if part]


def _allocated(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """`amount` in cents by `weights`, so that the parts add up to it."""
    whole = sum(weights, Decimal(0))
    parts, run, given = [], Decimal(0), Decimal(0)
    for weight in weights:
        run += weight
        until = money(amount * run / whole)
        parts.append(until - given)
        given = until
    return parts
