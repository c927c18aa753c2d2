"""Stays and visits without a procedure, in bulk: most of what a hospital registers, charges and collects.

Here: patients, encounters and accounts of the wards, clinics and the emergency room, their room, laboratory, imaging
and pharmacy charges from service to payment, in the numbers of a whole hospital (domain section 6: 90,000 stays of
about 350 transactions and 2.4 million visits of about 8 a year at scale 1.0); what a ward charges to the stays of
surgical patients, which the clinic admits, and charging bills and collects.
Not here: anything that uses a supply of its own account (clinic, charging). No revenue code 027x is charged here, so no
rule of usage and charge looks at these accounts; their sums are booked as events E18, E19 and E19a, one posting for
each department, class and day.

Whole days are drawn and written as columns. All amounts are whole cents until they are text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ingest.simulator.billing_rows import revenue_id
from ingest.simulator.charge_records import Account
from ingest.simulator.charging import Charging
from ingest.simulator.chart import age_band
from ingest.simulator.columns import EPOCH, Numbers, dates, dollars, moments, text, where
from ingest.simulator.delivery import CHICAGO, Outbox
from ingest.simulator.events import BulkRows, Posting, World
from ingest.simulator.masters import FIRST_NAMES, LAST_NAMES, Masters
from ingest.simulator.plan import DefectPlan
from ingest.simulator.records import Patient

Columns = dict[str, pl.Series | str]

STAYS_PER_YEAR, VISITS_PER_YEAR = 40_000, 2_400_000  # 50,000 stays more come from the clinic
STAY_WEIGHTS = (1.08, 1.1, 1.08, 1.06, 1.02, 0.84, 0.82)
VISIT_WEIGHTS = (1.26, 1.28, 1.26, 1.24, 1.16, 0.46, 0.34)
EMERGENCIES = 0.16  # of the visits
CHARGES_PER_NIGHT, CHARGES_PER_VISIT = 65.0, 4.4
NEW_PATIENTS = 0.44
LEAST_NIGHTS, MEAN_MORE_NIGHTS, MOST_NIGHTS = 1, 3.2, 21
REPOSTED = 0.06  # Q40
ROOT_KNOWN = 0.70  # Q41
COMMENTED = 0.01
LATE, LATE_BY = 0.035, (6, 13)  # charges that post late, and days until they do
LATE_AFTER = 5  # days
ROUTED, REVIEWED = 4, 2  # per cent of the charges that do not post at once, besides late ones
LONGEST_UNPAID = 50
PAID, ADJUSTED, DEBITED = 44, 51, 1  # per cent of the charges
DEBIT_SHARE = 0.05
# Numbers that no record of the operating rooms reaches.
FIRST_ACCOUNT, FIRST_ENCOUNTER, FIRST_PATIENT = 800_000_001, 420_000_001, 3_000_000
FIRST_TRANSACTION, FIRST_PENDING = 2_000_000_001, 400_000_001
MOST_PATIENTS = 6_900_000
ACQUIRED = "H8"  # keeps its patients and encounters in a record of its own
PAYORS = ("1001", "1002", "1003", "1004")
SOURCE_INTERFACE, SOURCE_REPOST, SOURCE_REMITTANCE = 2, 5, 8
INPATIENT, OUTPATIENT, EMERGENCY = 1, 2, 3
# Minutes of the day in which they come.
HOURS = {INPATIENT: (0, 1320), OUTPATIENT: (420, 1020), EMERGENCY: (0, 1320)}
# Departments that a stay or visit of a class goes to.
PLACES: dict[int, tuple[tuple[str, float], ...]] = {
    INPATIENT: (("6010", 0.72), ("6020", 0.16), ("6040", 0.12)),
    OUTPATIENT: (("7040", 0.22), ("7050", 0.48), ("7030", 0.12), ("7020", 0.08), ("6010", 0.10)),
    EMERGENCY: (("6030", 1.0),),
}


@dataclass(frozen=True, slots=True)
class Service:
    """What is charged: its code of the charge master and how often it is, by class of account."""

    code: str
    inpatient: float
    outpatient: float
    emergency: float
    most_units: int


SERVICES: tuple[Service, ...] = (
    Service("1100001", 0.0, 0.0, 0.0, 1),  # the first is the night itself
    Service("2500001", 0.30, 0.06, 0.14, 4),
    Service("2500003", 0.16, 0.02, 0.06, 3),
    Service("2580001", 0.08, 0.02, 0.06, 2),
    Service("3000001", 0.09, 0.16, 0.14, 1),
    Service("3010001", 0.12, 0.22, 0.20, 2),
    Service("3050001", 0.07, 0.12, 0.10, 1),
    Service("3060001", 0.03, 0.06, 0.04, 1),
    Service("3200001", 0.03, 0.10, 0.10, 1),
    Service("3500001", 0.01, 0.04, 0.04, 1),
    Service("4100001", 0.05, 0.00, 0.02, 3),
    Service("4200001", 0.04, 0.06, 0.00, 3),
    Service("7300001", 0.02, 0.04, 0.06, 1),
    Service("5100001", 0.00, 0.10, 0.00, 1),
    Service("4500001", 0.00, 0.00, 0.04, 1),
)


@dataclass(frozen=True, slots=True)
class Charges:
    """Charges of one service date, a row each."""

    visit: Numbers
    service: Numbers  # position in SERVICES
    units: Numbers
    cents: Numbers
    served: Numbers  # days since EPOCH
    record: Numbers  # number while it waits

    def __len__(self) -> int:
        return len(self.visit)

    def where(self, mask: npt.NDArray[Any]) -> Charges:
        """The rows of a mask or of positions."""
        return Charges(*(getattr(self, name)[mask] for name in self.__slots__))

    @staticmethod
    def together(parts: Sequence[Charges]) -> Charges:
        """All rows of several."""
        return Charges(*(np.concatenate([getattr(part, name) for part in parts]) for name in Charges.__slots__))


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """Charges of an account as one line of its claim."""

    hcpcs: str | None
    revenue_code: str
    service_date: date
    units: Decimal
    charge: Decimal


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a payer settles of an account: its claim and what billing posts for it."""

    account: Account
    lines: tuple[ClaimLine, ...]  # none of an inpatient
    charge: Decimal
    paid: Decimal
    contractual: Decimal
    incentive: Decimal


class _Register:
    """Attributes of every visit so far, by its number; grows by doubling."""

    NAMES = (
        "site", "base_class", "place", "patient", "payor", "admitted", "discharged", "gross", "account", "encounter",
        "is_surgical",
    )  # fmt: skip

    def __init__(self) -> None:
        self.size = 0
        self._columns: dict[str, Numbers] = {name: np.zeros(1024, np.int64) for name in self.NAMES}

    def __getitem__(self, name: str) -> Numbers:
        return self._columns[name]

    def add(self, **columns: Numbers) -> Numbers:
        """Register new visits; give their numbers."""
        count = len(columns["site"])
        first, self.size = self.size, self.size + count
        for name in self.NAMES:
            column = self._columns[name]
            if self.size > len(column):
                column = self._columns[name] = np.concatenate([column, np.zeros(max(len(column), count), np.int64)])
            column[first : self.size] = columns.get(name, 0)
        numbers = np.arange(first, self.size)
        for name, least in (("account", FIRST_ACCOUNT), ("encounter", FIRST_ENCOUNTER)):
            if name not in columns:
                self._columns[name][first : self.size] = least + numbers
        return numbers


class Census:
    """The wards, clinics and emergency rooms of the simulated hospitals."""

    def __init__(
        self,
        world: World,
        masters: Masters,
        charging: Charging,
        outbox: Outbox,
        plan: DefectPlan,
        seed: int,
        scale: float,
    ) -> None:
        """Bind the world; the first patients come on the first day."""
        self.world = world
        self.outbox = outbox
        self.plan = plan
        self.on_visit: list[Callable[[Account, Patient, str], None]] = []
        self._seed = seed
        self._scale = scale
        self._sites = tuple(world.hospitals())
        self._register = _Register()
        self._patients = 0
        self._charging = charging
        self._surgical: dict[int, Account] = {}  # stays of the clinic, by their number here
        charging.on_account.append(self._accompany)
        self._inpatients: Numbers = np.zeros(0, np.int64)
        self._due: dict[date, list[Charges]] = {}
        self._again: dict[date, tuple[Charges, Numbers]] = {}
        self._bills: dict[date, list[Numbers]] = {}
        self._payments: dict[date, list[Numbers]] = {}
        self._kept: dict[date, Charges] = {}  # charges of visits until they are paid, by their day
        self._settled: list[tuple[Numbers, Numbers, npt.NDArray[np.bool_]]] = []
        self._transactions = FIRST_TRANSACTION
        self._records = FIRST_PENDING
        codes = [masters.charge_codes[service.code] for service in SERVICES]
        self._prices = np.array([int((code.price_on(world.start) or Decimal(0)) * 100) for code in codes])
        self._procedures = pl.Series([code.proc_id for code in codes])
        self._revenue = pl.Series([revenue_id(code.revenue_code) or "" for code in codes])
        self._hcpcs = pl.Series([code.hcpcs or "" for code in codes])
        self._places: list[tuple[int, str]] = [
            (number, place) for number, site in enumerate(self._sites) for place in site.departments
        ]
        self._place_of = {place: number for number, place in enumerate(self._places)}
        self._departments = pl.Series(
            [charging.rows.department_id(self._sites[number].code, place) for number, place in self._places]
        )
        self._is_charted = np.array([site.code != ACQUIRED for site in self._sites])
        self._locations = pl.Series([site.loc_id for site in self._sites])
        outbox.snapshot_block("hb", "HSP_PRE_AR_TX", self._waiting)

    def _accompany(self, account: Account) -> None:
        """A stay of the clinic: what its ward does is charged here, everything else of it is the clinic's."""
        if account.base_class != INPATIENT or account.discharged_at is None:
            return
        number = next(place for place, site in enumerate(self._sites) if site.code == account.site)
        ward = "6020" if int(account.account) % 6 == 0 else "6010"
        admitted, discharged = (
            (moment.date() - EPOCH).days * 1440 + moment.hour * 60 + moment.minute
            for moment in (account.admitted_at, account.discharged_at)
        )
        columns = {
            "site": number,
            "base_class": INPATIENT,
            "place": self._place_of[(number, ward)],
            "payor": PAYORS.index(account.payor),
            "admitted": admitted,
            "discharged": discharged,
            "account": int(account.account),
            "encounter": int(account.csn),
            "is_surgical": 1,
        }
        stay = self._register.add(**{name: np.array([value], np.int64) for name, value in columns.items()})
        self._surgical[int(stay[0])] = account
        self._inpatients = np.concatenate([self._inpatients, stay])

    # ---------------------------------------------------------------------------------------------------- a day

    def day(self, d: date) -> None:
        """Admit, serve, post what is due, bill and collect on `d`."""
        chance = np.random.default_rng(
            int.from_bytes(hashlib.sha256(f"{self._seed}|census|{d}".encode()).digest()[:8], "big")
        )
        today = self._admit(d, chance)
        self._serve(d, today, chance)
        self._post(d, chance)
        for visits in self._bills.pop(d, []):
            self._show_accounts(visits, 3, d, 35)
            self._show_claim_codes(visits, d)
        for visits in self._payments.pop(d, []):
            self._collect(d, visits, chance)

    def _admit(self, d: date, chance: np.random.Generator) -> Numbers:
        """New stays and visits of the day; what is shown of them: person, encounter, account, messages."""
        parts: dict[str, list[Numbers]] = {name: [] for name in ("site", "base_class", "place", "minute", "nights")}
        for number, site in enumerate(self._sites):
            share = site.volume_share * self._scale / 365
            stays = int(chance.poisson(STAYS_PER_YEAR * share * STAY_WEIGHTS[d.weekday()]))
            visits = int(chance.poisson(VISITS_PER_YEAR * share * VISIT_WEIGHTS[d.weekday()]))
            emergencies = int(chance.binomial(visits, EMERGENCIES))
            for base_class, count in (
                (INPATIENT, stays),
                (OUTPATIENT, visits - emergencies),
                (EMERGENCY, emergencies),
            ):
                options = [option for option in PLACES[base_class] if option[0] in site.departments]
                weights = np.array([weight for _, weight in options])
                places = np.array([self._place_of[(number, place)] for place, _ in options])
                nights = LEAST_NIGHTS + chance.geometric(1 / (1 + MEAN_MORE_NIGHTS), count) - 1
                parts["site"].append(np.full(count, number))
                parts["base_class"].append(np.full(count, base_class))
                parts["place"].append(chance.choice(places, count, p=weights / weights.sum()))
                parts["minute"].append(chance.integers(*HOURS[base_class], count))
                parts["nights"].append(np.minimum(nights, MOST_NIGHTS) * (base_class == INPATIENT))
        columns = {name: np.concatenate(chunks).astype(np.int64) for name, chunks in parts.items()}
        count = len(columns["site"])
        order = np.argsort(columns["minute"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        day = (d - EPOCH).days
        admitted = day * 1440 + columns["minute"]
        left = chance.integers(50, 119, count)
        discharged = np.where(columns["nights"] > 0, (day + columns["nights"]) * 1440 + 600 + left * 3, admitted + left)
        admissions = self._register.add(
            site=columns["site"],
            base_class=columns["base_class"],
            place=columns["place"],
            patient=self._people(count, chance),
            payor=chance.integers(0, len(PAYORS), count),
            admitted=admitted,
            discharged=discharged,
        )
        self._show_patients(admissions, d)
        self._show_encounters(admissions, d)
        self._show_accounts(admissions, 1, d)
        last = discharged // 1440
        self._plan(self._bills, admissions, last + chance.integers(4, 9, count))
        self._plan(self._payments, admissions, last + chance.integers(14, 46, count))
        self._inpatients = np.concatenate([self._inpatients, admissions[columns["nights"] > 0]])
        for visit in admissions.tolist() if self.on_visit else ():
            account, department = self.account(visit), self._departments[int(self._register["place"][visit])]
            for hear in self.on_visit:
                hear(account, _person(int(self._register["patient"][visit])), department)
        return admissions

    def _people(self, count: int, chance: np.random.Generator) -> Numbers:
        """Numbers of the patients: new ones in turn, the others come again."""
        is_new = chance.random(count) < NEW_PATIENTS
        is_new[: 1 if self._patients == 0 else 0] = True
        known: Numbers = self._patients + np.cumsum(is_new)
        again = (chance.random(count) * known).astype(np.int64)
        self._fresh = np.where(is_new, known - 1, -1)
        if count:
            self._patients = int(known[-1])
        return np.asarray(np.where(is_new, known - 1, again) % MOST_PATIENTS)

    @staticmethod
    def _plan(calendar: dict[date, list[Numbers]], visits: Numbers, days: Numbers) -> None:
        for day in np.unique(days).tolist():
            calendar.setdefault(EPOCH + timedelta(days=day), []).append(visits[days == day])

    # ------------------------------------------------------------------------------------------- charges and posting

    def _serve(self, d: date, today: Numbers, chance: np.random.Generator) -> None:
        register, day = self._register, (d - EPOCH).days
        staying = self._inpatients = self._inpatients[register["discharged"][self._inpatients] // 1440 >= day]
        visitors = today[register["base_class"][today] != INPATIENT]
        nights = staying[register["discharged"][staying] // 1440 > day]
        visit = np.concatenate(
            [
                nights,
                np.repeat(staying, chance.poisson(CHARGES_PER_NIGHT, len(staying))),
                np.repeat(visitors, 1 + chance.poisson(CHARGES_PER_VISIT, len(visitors))),
            ]
        )
        service = np.zeros(len(visit), np.int64)
        base_class = register["base_class"][visit]
        base_class[: len(nights)] = 0
        for which, weights in enumerate(
            zip(*((s.inpatient, s.outpatient, s.emergency) for s in SERVICES), strict=True), start=1
        ):
            mask = base_class == which
            odds = np.array(weights)
            service[mask] = chance.choice(len(SERVICES), int(mask.sum()), p=odds / odds.sum())
        most = np.array([each.most_units for each in SERVICES])
        units = 1 + (chance.random(len(visit)) * most[service]).astype(np.int64)
        records = self._records + np.arange(len(visit))
        self._records += len(visit)
        charges = Charges(visit, service, units, self._prices[service] * units, np.full(len(visit), day), records)
        wait = np.where(
            register["base_class"][visit] == INPATIENT,
            chance.integers(1, 4, len(visit)),
            chance.integers(0, 2, len(visit)),
        )
        wait = np.where(chance.random(len(visit)) < LATE, chance.integers(*LATE_BY, len(visit)), wait)
        charged = charges.where(register["base_class"][visit] != INPATIENT)
        self._kept[d] = charged.where(np.argsort(charged.visit, kind="stable"))
        self._kept.pop(d - timedelta(days=LONGEST_UNPAID), None)
        for days in np.unique(wait).tolist():
            self._due.setdefault(d + timedelta(days=days), []).append(charges.where(wait == days))
        self._show_routed(d, charges, wait, 2)
        self._show_reviewed(d, charges, wait)
        is_leaving = (register["discharged"][staying] // 1440 == day) & (register["is_surgical"][staying] == 0)
        leaving = staying[is_leaving]
        self._show_encounters(leaving, d)
        self._show_accounts(leaving, 2, d, 20)

    def _post(self, d: date, chance: np.random.Generator) -> None:
        """What is due becomes transactions; some of it is taken back and posted again two days later (Q40, Q41)."""
        due = self._due.pop(d, [])
        if due:
            charges = Charges.together(due)
            numbers = self._number(len(charges))
            np.add.at(self._register["gross"], charges.visit, charges.cents)
            for stay in np.unique(charges.visit[self._register["is_surgical"][charges.visit] > 0]).tolist():
                account = self._surgical[stay]
                while account.combined_into is not None:
                    account = self._charging.accounts[account.combined_into]
                account.of_ward = _money(int(self._register["gross"][stay]))
            self._show_charges(d, charges, numbers, 1)
            waited = (d - EPOCH).days - charges.served
            self._show_routed(d, charges, waited, 3)
            self._show_reviewed(d, charges, waited, numbers)
            moved = chance.random(len(charges)) < (REPOSTED if self.plan.shows("Q40") else 0)
            if moved.any():
                self._again[d + timedelta(days=2)] = charges.where(moved), numbers[moved]
        if d in self._again:
            charges, numbers = self._again.pop(d)
            self._show_charges(d, charges, self._number(len(charges)), -1, numbers)
            roots = numbers * (chance.random(len(numbers)) < ROOT_KNOWN) if self.plan.shows("Q41") else numbers * 0
            self._show_charges(d, charges, self._number(len(charges)), 1, numbers, roots)

    def _number(self, count: int) -> Numbers:
        self._transactions += count
        return np.arange(self._transactions - count, self._transactions)

    def _show_charges(
        self,
        d: date,
        charges: Charges,
        numbers: Numbers,
        sign: int,
        originals: Numbers | None = None,
        roots: Numbers | None = None,
    ) -> None:
        """Charges, what takes them back (`sign` -1) or posts them again, as transactions and postings of the day."""
        register = self._register
        is_outpatient = register["base_class"][charges.visit] != INPATIENT
        columns: Columns = {
            "TX_SOURCE_HA_C": str(SOURCE_INTERFACE if originals is None else SOURCE_REPOST),
            "TX_AMOUNT": dollars(sign * charges.cents),
            "QUANTITY": text(sign * charges.units) + ".00",
            "SERVICE_DATE": dates(charges.served),
            "PROC_ID": self._procedures.gather(charges.service),
            "UB_REV_CODE_ID": self._revenue.gather(charges.service),
            "DFLT_UB_REV_CD_ID": self._revenue.gather(charges.service),
            "HCPCS_CODE": where(is_outpatient, self._hcpcs.gather(charges.service)),
            "IS_LATE_CHARGE_YN": where((d - EPOCH).days - charges.served > LATE_AFTER, "Y", "N"),
        }
        if originals is not None:
            columns["ORIG_REV_TX_ID" if sign < 0 else "ORIG_REPOST_TX_ID"] = text(originals)
        root = "" if roots is None else where(roots > 0, text(roots))
        reason = "2" if sign < 0 else ""
        self._show_transactions(d, charges.visit, numbers, "1", columns, root, reason)
        self._book(d, charges.visit, numbers, sign * charges.cents, "E18")

    def _show_transactions(
        self,
        d: date,
        visit: Numbers,
        numbers: Numbers,
        kind: str,
        columns: Columns,
        root: pl.Series | str = "",
        reason: str = "",
    ) -> None:
        register = self._register
        at = _evening(d)
        ids = text(numbers)
        department = self._departments.gather(register["place"][visit])
        self.outbox.emit_block(
            "hb",
            "HSP_TRANSACTIONS",
            {
                "TX_ID": ids,
                "HSP_ACCOUNT_ID": text(self._register["account"][visit]),
                "TX_TYPE_HA_C": kind,
                "TX_POST_DATE": f"{d} 00:00:00",
                "TX_FILED_TIME": f"{at:%Y-%m-%d %H:%M:%S}",
                "DEPARTMENT": department,
                "COST_CNTR_ID": "CC" + department.str.slice(0, 7),
                "PAYOR_ID": pl.Series(PAYORS).gather(register["payor"][visit]),
                "TX_COMMENT": self._comments(visit, numbers),
                "UPDATE_DATE": f"{at:%Y-%m-%d %H:%M:%S}",
                **columns,
            },
            at,
        )
        self.outbox.emit_block(
            "hb",
            "HSP_TRANSACTIONS_2",
            {
                "TX_ID": ids,
                "FIRST_TX_POST_DATE": f"{d} 00:00:00",
                "HAR_FIRST_POST_DATE": dates(register["admitted"][visit] // 1440),
            },
            at,
        )
        self.outbox.emit_block(
            "hb", "HSP_TRANSACTIONS_3", {"TX_ID": ids, "REVERSAL_RSN_C": reason, "FIRST_HTR_TX_ID": root}, at
        )

    def _comments(self, visit: Numbers, numbers: Numbers) -> pl.Series:
        """Free text with names and phones in it, on one row in a hundred."""
        step = round(1 / COMMENTED)
        chosen = np.flatnonzero((numbers % step == 0) & (self._register["is_surgical"][visit] == 0))
        texts = [""]
        for patient in self._register["patient"][visit[chosen]].tolist():
            person = _person(patient)
            texts.append(f"Called {person.name} at {person.phone}")
        place = np.zeros(len(visit), np.int64)
        place[chosen] = np.arange(1, len(chosen) + 1)
        return pl.Series(texts).gather(place)

    def _book(self, d: date, visit: Numbers, numbers: Numbers, cents: Numbers, event: str) -> None:
        """One posting for each department, class and side: the sum of its transactions."""
        register = self._register
        if not len(visit):
            return
        is_inpatient = register["base_class"][visit] == INPATIENT
        group = (register["place"][visit] * 2 + is_inpatient) * 2 + (cents < 0)
        for which in np.unique(group).tolist():
            rows = np.flatnonzero(group == which)
            place, inpatient = which >> 2, bool(which >> 1 & 1)
            number, department = self._places[place]
            site = self._sites[number]
            erp = self.world.erp_on(site.code, d)
            amount = Decimal(int(cents[rows].sum())).scaleb(-2)
            if event == "E18":
                sides = ("PATIENT_AR", "0000", "PATIENT_REV_IP" if inpatient else "PATIENT_REV_OP", department)
            elif event == "E19":
                sides, amount = ("CASH", "0000", "PATIENT_AR", "0000"), -amount
            else:
                sides, amount = ("DEDUCTIONS", department, "PATIENT_AR", "0000"), -amount
            self.world.postings.append(
                Posting(
                    erp=erp,
                    site=site.code,
                    event=event,
                    system="HB",
                    category="Cash Receipts" if event == "E19" else "Charges",
                    posting_date=d,
                    debit_role=sides[0],
                    debit_department=sides[1],
                    credit_role=sides[2],
                    credit_department=sides[3],
                    amount=amount,
                    subledger="HB",
                    subledger_key=f"{d:%Y%m%d}-{department}-{'IP' if inpatient else 'OP'}-{which & 1}",
                    known_at=_evening(d),
                    rows=BulkRows(text(numbers[rows]), (1 if event == "E18" else -1) * cents[rows])
                    if erp == "erp_fusion"
                    else None,
                )
            )

    # -------------------------------------------------------------------------------------------------- collecting

    def _collect(self, d: date, visits: Numbers, chance: np.random.Generator) -> None:
        """Payment and adjustments of the accounts that are paid on `d`."""
        gross = self._register["gross"][visits]
        visits, gross = visits[gross > 0], gross[gross > 0]
        debited = chance.random(len(visits)) < DEBIT_SHARE
        self._settled.append((visits, gross, debited))
        for kind, event, chosen, cents in (
            ("2", "E19", visits, -((gross * PAID + 50) // 100)),
            ("4", "E19a", visits, -((gross * ADJUSTED + 50) // 100)),
            ("3", "E19a", visits[debited], (gross[debited] * DEBITED + 50) // 100),
        ):
            if not len(chosen):
                continue
            numbers = self._number(len(chosen))
            columns: Columns = {
                "TX_SOURCE_HA_C": str(SOURCE_REMITTANCE),
                "TX_AMOUNT": dollars(cents),
                "SERVICE_DATE": dates(self._register["admitted"][chosen] // 1440),
            }
            self._show_transactions(d, chosen, numbers, kind, columns)
            self._book(d, chosen, numbers, cents, event)
        self._show_accounts(visits, 7, d, 40)

    def settlements(self) -> Iterator[Settlement]:
        """What payers settled since the last call."""
        settled, self._settled = self._settled, []
        for visits, gross, debited in settled:
            for visit, cents, is_debited in zip(visits.tolist(), gross.tolist(), debited.tolist(), strict=True):
                account = self.account(visit)
                yield Settlement(
                    account,
                    () if account.base_class == INPATIENT else self._lines(visit, account.admitted_at.date()),
                    _money(cents),
                    _money((cents * PAID + 50) // 100),
                    _money((cents * ADJUSTED + 50) // 100),
                    _money(-((cents * DEBITED + 50) // 100) if is_debited else 0),
                )

    def _lines(self, visit: int, day: date) -> tuple[ClaimLine, ...]:
        kept = self._kept[day]
        kept = kept.where(np.arange(*np.searchsorted(kept.visit, [visit, visit + 1])))
        sums: dict[int, tuple[int, int]] = {}
        for service, units, cents in zip(kept.service.tolist(), kept.units.tolist(), kept.cents.tolist(), strict=True):
            before = sums.get(service, (0, 0))
            sums[service] = before[0] + units, before[1] + cents
        return tuple(
            ClaimLine(self._hcpcs[service] or None, self._revenue[service][1:], day, Decimal(units), _money(cents))
            for service, (units, cents) in sorted(sums.items())
        )

    # ------------------------------------------------------------------------------------------------------ showing

    def _show_patients(self, visits: Numbers, d: date) -> None:
        """PATIENT of who comes for the first time; the acquired hospital keeps its own."""
        is_new = (self._fresh >= 0) & self._is_charted[self._register["site"][visits]]
        if not is_new.any():
            return
        people = [_person(patient) for patient in self._register["patient"][visits[is_new]].tolist()]
        self.outbox.emit_block(
            "ehr",
            "PATIENT",
            {
                "PAT_ID": pl.Series([person.patient_id for person in people]),
                "PAT_MRN_ID": pl.Series([person.mrn for person in people]),
                "PAT_NAME": pl.Series([person.name for person in people]),
                "BIRTH_DATE": pl.Series([f"{person.birth_date} 00:00:00" for person in people]),
                "SSN": pl.Series([person.ssn for person in people]),
                "ADD_LINE_1": pl.Series([person.address for person in people]),
                "HOME_PHONE": pl.Series([person.phone for person in people]),
                "EMAIL_ADDRESS": pl.Series([person.email for person in people]),
                "AGE_BAND": pl.Series([age_band(d.year - person.birth_date.year) for person in people]),
                "IS_TEST_PAT_YN": "N",
                "UPDATE_DATE": moments(self._register["admitted"][visits[is_new]]),
            },
            _evening(d),
        )

    def _show_encounters(self, visits: Numbers, d: date) -> None:
        register = self._register
        visits = visits[self._is_charted[register["site"][visits]]]
        if not len(visits):
            return
        at = _evening(d)
        is_over = register["discharged"][visits] < ((d - EPOCH).days + 1) * 1440
        self.outbox.emit_block(
            "ehr",
            "PAT_ENC_HSP",
            {
                "PAT_ENC_CSN_ID": text(self._register["encounter"][visits]),
                "PAT_ID": "Z" + text(FIRST_PATIENT + register["patient"][visits]),
                "HSP_ACCOUNT_ID": text(self._register["account"][visits]),
                "ADT_PAT_CLASS_C": text(100 + register["base_class"][visits]),
                "DEPARTMENT_ID": self._departments.gather(register["place"][visits]),
                "HOSP_ADMSN_TIME": moments(register["admitted"][visits]),
                "HOSP_DISCH_TIME": where(is_over, moments(register["discharged"][visits])),
                "UPDATE_DATE": f"{at:%Y-%m-%d %H:%M:%S}",
            },
            at,
        )

    def _show_accounts(self, visits: Numbers, status: int, d: date, minutes: int = 0) -> None:
        register = self._register
        if not len(visits):
            return
        at = _evening(d) + timedelta(minutes=minutes)
        base_class = register["base_class"][visits]
        people = [_person(patient) for patient in register["patient"][visits].tolist()]
        names = pl.Series([person.name for person in people])
        is_over = register["discharged"][visits] < ((d - EPOCH).days + 1) * 1440
        location = self._locations.gather(register["site"][visits])
        is_coded = (base_class == INPATIENT) & (status > 2)
        self.outbox.emit_block(
            "hb",
            "HSP_ACCOUNT",
            {
                "HSP_ACCOUNT_ID": text(self._register["account"][visits]),
                "SERV_AREA_ID": "10",
                "ADM_LOC_ID": location,
                "DISCH_LOC_ID": where(is_over, location),
                "ACCT_BASECLS_HA_C": text(base_class),
                "ACCT_CLASS_HA_C": text(100 + base_class),
                "ACCT_FIN_CLASS_C": text(1 + visits % 4),
                "ACCT_BILLSTS_HA_C": str(status),
                "CODING_STATUS_C": "4" if status > 2 else "1",
                "ADM_DATE_TIME": moments(register["admitted"][visits]),
                "DISCH_DATE_TIME": where(is_over, moments(register["discharged"][visits])),
                "PRIMARY_PAYOR_ID": pl.Series(PAYORS).gather(register["payor"][visits]),
                "FINAL_DRG_ID": where(is_coded, "871"),
                "TOT_CHGS": dollars(register["gross"][visits]),
                "RESEARCH_YN": "N",
                "HSP_ACCOUNT_NAME": names,
                "PAT_SSN": pl.Series([person.ssn for person in people]),
                "PAT_HOME_PHONE": pl.Series([person.phone for person in people]),
                "PAT_DOB": pl.Series([f"{person.birth_date} 00:00:00" for person in people]),
                "GUAR_NAME": names,
                "UPDATE_DATE": f"{at:%Y-%m-%d %H:%M:%S}",
            },
            at,
        )

    def _show_routed(self, d: date, charges: Charges, waits: Numbers, stage: int) -> None:
        """CLARITY_UCL of the charges that the router keeps before they post."""
        charges = charges.where(self._is_kept(charges, waits, charges.record % 100 < ROUTED))
        if not len(charges):
            return
        at = _evening(d)
        self.outbox.emit_block(
            "hb",
            "CLARITY_UCL",
            {
                "UCL_ID": text(charges.record),
                "PROCEDURE_ID": self._procedures.gather(charges.service),
                "HSP_ACCOUNT_ID": text(self._register["account"][charges.visit]),
                "QUANTITY": text(charges.units) + ".00",
                "SERVICE_DATE_DT": dates(charges.served),
                "ROUTER_STAGE_C": str(stage),
                "UPDATE_DATE": f"{at:%Y-%m-%d %H:%M:%S}",
            },
            at,
        )

    def _show_reviewed(self, d: date, charges: Charges, waits: Numbers, numbers: Numbers | None = None) -> None:
        """PRE_AR_CHG of charges that somebody reviews, late ones among them; `numbers` are what they post under."""
        register = self._register
        is_reviewed = self._is_kept(charges, waits, (charges.record % 100 >= 100 - REVIEWED) | (waits > LATE_AFTER))
        charges = charges.where(is_reviewed)
        if not len(charges):
            return
        at = _evening(d)
        moment = f"{at:%Y-%m-%d %H:%M:%S}"
        place = register["place"][charges.visit]
        self.outbox.emit_block(
            "hb",
            "PRE_AR_CHG",
            {
                "TAR_ID": text(charges.record),
                "CHARGE_LINE": "1",
                "ACCOUNT_ID": "G" + text(self._register["account"][charges.visit]),
                "HSP_ACCOUNT_ID": text(self._register["account"][charges.visit]),
                "LOC_ID": self._locations.gather(register["site"][charges.visit]),
                "PROC_DEPT_ID": self._departments.gather(place),
                "PROC_ID": self._procedures.gather(charges.service),
                "QTY": text(charges.units) + ".00",
                "AMOUNT": dollars(charges.cents),
                "SERVICE_DATE": dates(charges.served),
                "CHARGE_STATUS_C": "3" if numbers is None else "2",
                "FILE_DATE": "" if numbers is None else moment,
                "TX_ID": "" if numbers is None else text(numbers[is_reviewed]),
                "UPDATE_DATE": moment,
            },
            at,
        )

    def _is_kept(self, charges: Charges, waits: Numbers, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Those of a mask that do not post at once, at a hospital whose charges are kept somewhere by name (Q44)."""
        return mask & (waits > 0) & self._is_charted[self._register["site"][charges.visit]]

    def _show_claim_codes(self, visits: Numbers, d: date) -> None:
        """Value code 01 of a stay: the rate of a room shared by two."""
        stays = visits[self._register["base_class"][visits] == INPATIENT]
        if not len(stays):
            return
        self.outbox.emit_block(
            "hb",
            "CLAIM_CODES",
            {
                "HSP_ACCOUNT_ID": text(self._register["account"][stays]),
                "CLAIM_SEQ": "1",
                "CODE_TYPE": "VALUE",
                "CODE": "01",
                "AMOUNT": dollars(np.full(len(stays), self._prices[0])),
                "FIRST_BILLED_DATE": f"{d}",
            },
            _evening(d) + timedelta(minutes=35),
        )

    def _waiting(self, d: date) -> Mapping[str, pl.Series | str]:
        """HSP_PRE_AR_TX: charges served until `d` that have not posted."""
        register = self._register
        parts = [part for day in sorted(self._due) if day > d for part in self._due[day]]
        if not parts:
            return {"HTT_ID": pl.Series([], dtype=pl.String)}
        charges = Charges.together(parts)
        return {
            "HTT_ID": text(charges.record),
            "LINE": "1",
            "HSP_ACCOUNT_ID": text(self._register["account"][charges.visit]),
            "PAT_ENC_CSN_ID": text(self._register["encounter"][charges.visit]),
            "CHARGE_PROC_ID": self._procedures.gather(charges.service),
            "REV_CODE_ID": self._revenue.gather(charges.service),
            "QUANTITY": text(charges.units) + ".00",
            "SERVICE_DATE": dates(charges.served),
            "TX_AMOUNT": dollars(charges.cents),
            "DEPARTMENT_ID": self._departments.gather(register["place"][charges.visit]),
        }

    def account(self, visit: int) -> Account:
        """The account of a visit as billing keeps it."""
        register = self._register
        person = _person(int(register["patient"][visit]))
        number, department = self._places[int(register["place"][visit])]
        return Account(
            account=str(FIRST_ACCOUNT + visit),
            site=self._sites[number].code,
            csn=str(FIRST_ENCOUNTER + visit),
            patient_id=person.patient_id,
            patient_name=person.name,
            birth_date=person.birth_date,
            ssn=person.ssn,
            phone=person.phone,
            base_class=int(register["base_class"][visit]),
            is_research=False,
            admitted_at=_moment(int(register["admitted"][visit])),
            discharged_at=_moment(int(register["discharged"][visit])),
            department=department,
            is_surgical=False,
            payor=PAYORS[int(register["payor"][visit])],
        )


# ---------------------------------------------------------------------------------------------------------- as text


def _person(number: int) -> Patient:
    """The person of a number, always the same."""
    mixed = (number * 2_654_435_761 + 97) % 4_294_967_296
    last = LAST_NAMES[mixed % len(LAST_NAMES)].upper()
    first = FIRST_NAMES[mixed // 31 % len(FIRST_NAMES)]
    return Patient(
        patient_id=f"Z{FIRST_PATIENT + number}",
        mrn=f"E{FIRST_PATIENT + number}",
        name=f"{last},{first.upper()} {'ABCDEFGHJKLM'[mixed // 1009 % 12]}",
        birth_date=date(1932 + mixed // 7 % 92, 1 + mixed // 641 % 12, 1 + mixed // 7919 % 28),
        ssn=f"9{10 + mixed // 13 % 90}-{10 + mixed // 97 % 60}-{1000 + number % 9000}",
        phone=f"555-01{mixed // 101 % 100:02d}-{1000 + mixed // 11 % 9000}",
        address=f"{10 + mixed // 17 % 9890} {LAST_NAMES[mixed // 503 % len(LAST_NAMES)]} Lane",
        email=f"{first.lower()}.{number}@example.org",
        is_test=False,
    )


def _money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _evening(d: date) -> datetime:
    return datetime.combine(d, time(22, 5), CHICAGO)


def _moment(minutes: int) -> datetime:
    return datetime.combine(EPOCH + timedelta(days=minutes // 1440), time(minutes % 1440 // 60, minutes % 60), CHICAGO)
