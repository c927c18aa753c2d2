"""Usage against charges: UC-01, UC-03, UC-04, UC-05.

Here: charge chains net of reversals and reposts, charges in flight, what should be charged, what explains a charge.
Not here: the charge master (costs), usage lines (view).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial

from ingest.simulator.events import AccountState, Case, ChargeTransaction, InFlightCharge, Item, Movement
from ingest.simulator.oracle.costs import in_force
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents, limit
from ingest.simulator.oracle.unnamed import Unnamed
from ingest.simulator.oracle.usage import ISSUES
from ingest.simulator.oracle.view import Line, Versions, View

MATURITY = timedelta(days=3)
BUNDLED_COSTS = (Decimal(0), Decimal("0.01"))
BUNDLED = ("construct component", "placeholder")
CHARGE = 1
ZERO = Fraction(0)


@dataclass(slots=True)
class Chain:
    """Charge rows that reverse, repost, correct or credit each other."""

    root: str
    rows: list[ChargeTransaction] = field(default_factory=list)

    @property
    def quantity(self) -> Decimal:
        """Net quantity in charge units."""
        return sum((row.quantity for row in self.rows), Decimal(0))

    @property
    def amount(self) -> Decimal:
        """Net amount."""
        return sum((row.amount for row in self.rows), Decimal(0))

    @property
    def is_active(self) -> bool:
        """Whether anything is left of the charge."""
        return self.quantity != 0 or self.amount != 0

    @property
    def current(self) -> ChargeTransaction:
        """The latest charge row that nothing reverses, else the root."""
        reversed_ids = {row.reverses for row in self.rows} | {row.credits for row in self.rows}
        standing = [row for row in self.rows if row.quantity > 0 and row.tx_id not in reversed_ids]
        if standing:
            return max(standing, key=lambda row: (row.post_date, row.tx_id))
        return next((row for row in self.rows if row.tx_id == self.root), self.rows[0])


@dataclass(slots=True)
class _Account:
    """One surgical account, combined ones included, with everything that concerns it."""

    logs: list[str] = field(default_factory=list)
    charges: list[Versions[ChargeTransaction]] = field(default_factory=list)
    in_flight: list[InFlightCharge] = field(default_factory=list)


@dataclass(slots=True)
class _Expected:
    """Documented usage of one item or implant on one log."""

    lines: list[Line] = field(default_factory=list)
    used: Decimal = Decimal(0)
    chargeable: Decimal = Decimal(0)
    reason: str = ""  # why a line is not chargeable

    @property
    def item(self) -> Item | None:
        return self.lines[0].item if self.lines else None


def in_order(policy: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Rows of the chargeability policy as they are asked."""
    return sorted(policy, key=lambda row: (int(row["rule_no"]), row["policy_id"]))


def policy_says(
    policy: Sequence[dict[str, str]], facts: dict[str, str], cost: Fraction, day: date
) -> dict[str, str] | None:
    """The first row of the chargeability policy, in its order, that is in force and fits; empty criteria fit all."""
    for row in policy:
        if not in_force(row, day) or any(row.get(name) and row[name] != value for name, value in facts.items()):
            continue
        if not row.get("min_unit_cost") or cost >= Fraction(row["min_unit_cost"]):
            return row
    return None


class Accounts:
    """Hospital accounts of one view of the world, and what becomes of them."""

    def __init__(self, view: View) -> None:
        self._states: dict[str, Versions[AccountState]] = {}
        for state in view.world.accounts:
            known = view.deliveries.known_on("hb", state.known_at)
            self._states.setdefault(state.account, Versions()).add(known, state)

    def dates(self, account: str) -> set[date]:
        """Dates on which a state of the account becomes known."""
        states = self._states.get(account)
        return set(states.dates()) if states else set()

    def state(self, account: str, as_of: date) -> AccountState | None:
        """An account as known on the date."""
        states = self._states.get(account)
        return states.at(as_of) if states else None

    def survivor(self, account: str, as_of: date = date.max) -> str:
        """The account that an account was combined into, over several steps."""
        seen = {account}
        while True:
            state = self.state(account, as_of)
            if state is None or not state.combined_into or state.combined_into in seen:
                return account
            account = state.combined_into
            seen.add(account)


class ChargeRules:
    """The rules of usage against charges over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        self._world = view.world
        self.accounts = Accounts(view)
        self.versions: dict[str, Versions[ChargeTransaction]] = {}
        for row in view.world.charges:
            if row.tx_type == CHARGE:
                known = view.deliveries.known_on("hb", row.known_at)
                self.versions.setdefault(row.tx_id, Versions()).add(known, row)
        self._charges = {tx_id: versions.rows[-1][1] for tx_id, versions in self.versions.items()}
        self._roots: dict[str, str] = {}
        self._supplies = view.world.items_by_supply_id()
        self._policy = in_order(view.world.reference.get("CHARGEABILITY_POLICY", []))
        self._tagged: dict[str, list[tuple[date, Movement]]] = defaultdict(list)
        for known, movement in view.movements():
            log = view.log_of_number(movement.case_typed) if movement.txn_type in (*ISSUES, "RETURN") else None
            if log:
                self._tagged[log].append((known, movement))

    def judge(self) -> None:
        """Follow all four rules to the end of the world, account by account."""
        for account in self._accounts().values():
            dates: set[date] = set()
            for log_id in account.logs:
                dates.update(self._view.cases[log_id].dates())
                for version in self._view.usage.get(log_id, {}).values():
                    dates.update(version.dates())
                for _, case in self._view.cases[log_id].rows:
                    if case.posted_at:
                        dates.add(self._view.posting_date(case) + MATURITY)
                    dates |= self.accounts.dates(case.account)
                dates.update(known for known, _ in self._tagged[log_id])
            for rows in account.charges:
                dates.update(rows.dates())
                dates.update(row.post_date + MATURITY for _, row in rows.rows)
            for charge in account.in_flight:
                dates.update(self._stay(charge))
            self._book.follow(dates, partial(self._judge_account, account))

    def _accounts(self) -> dict[str, _Account]:
        accounts: dict[str, _Account] = {}
        account_of_log: dict[str, str] = {}
        for log_id, versions in self._view.cases.items():
            case = versions.rows[-1][1]
            if not case.is_test_patient:
                account_of_log[log_id] = self.accounts.survivor(case.account)
                accounts.setdefault(account_of_log[log_id], _Account()).logs.append(log_id)
        for row in self._charges.values():
            first = self._charges.get(self.root(row), row)
            home = account_of_log.get(row.log_id or "") or self.accounts.survivor(first.account)
            if home in accounts:
                accounts[home].charges.append(self.versions[row.tx_id])
        for charge in self._world.in_flight:
            home = account_of_log.get(charge.log_id or "") or self.accounts.survivor(charge.account)
            if home in accounts:
                accounts[home].in_flight.append(charge)
        return accounts

    def root(self, row: ChargeTransaction) -> str:
        """Root of a charge row's chain."""
        if row.tx_id in self._roots:
            return self._roots[row.tx_id]
        before = row.first_tx_id or row.reverses or row.reposts or row.corrects or row.credits
        root = row.tx_id
        if before and before != row.tx_id:
            root = self.root(self._charges[before]) if before in self._charges else before
        self._roots[row.tx_id] = root
        return root

    def _stay(self, charge: InFlightCharge) -> tuple[date, date]:
        """Dates from which and until which (exclusive) the charge shows at its station."""
        since = self._view.deliveries.known_on("hb", charge.from_at)
        until = date.max if charge.until_at is None else self._view.deliveries.known_on("hb", charge.until_at)
        return since, until

    # ----------------------------------------------------------------------------------------------- expected EACH

    def _expected(self, case: Case, as_of: date) -> dict[str, _Expected]:
        expected: dict[str, _Expected] = defaultdict(_Expected)
        state = self.accounts.state(case.account, as_of)
        for line in self._view.lines(case.log_id, as_of):
            entry = expected[line.name]
            entry.lines.append(line)
            entry.used += line.quantity
            for disposition, quantity in (("USED", line.used), ("WASTED", line.wasted)):
                if quantity == 0:
                    continue
                reason = self._not_chargeable(case, state, line, disposition)
                if reason:
                    entry.reason = reason
                else:
                    entry.chargeable += quantity
        return expected

    def _not_chargeable(self, case: Case, state: AccountState | None, line: Line, disposition: str) -> str:
        """Why the quantity is not charged; empty when it is."""
        usage = line.usage
        if usage.chargeable_flag == "N":
            return "not chargeable on the pick list"
        if usage.record == "pick_list" and usage.documented_cost in BUNDLED_COSTS:
            return "construct component"
        item = line.item or (self._supplies.get(usage.supply_id) if usage.supply_id else None)
        if item is not None and item.is_placeholder:
            return "placeholder"
        item_class = item.item_class if item is not None else "SUPPLY"
        if usage.record == "implant":
            item_class = "IMPLANT"
        research = state.is_research if state is not None else case.is_research
        base_class = state.base_class if state is not None else case.base_class
        cost = self._view.line_cost(case, line)
        facts = {
            "site": case.site,
            "item_class": item_class,
            "patient_base_class": str(base_class),
            "disposition": disposition,
            "research": "Y" if research else "N",
        }
        row = policy_says(self._policy, facts, cost, case.surgery_date)
        if row is not None:
            return "" if row["chargeable"] == "Y" else row["reason"]
        return "" if cost >= limit("chargeable_min_unit_cost") else "below the chargeable minimum"

    def _price(self, case: Case, entry: _Expected) -> Fraction:
        """Charge price per EACH of an entity on the service date."""
        line = entry.lines[0]
        code = self._code(line)
        cost = self._view.line_cost(case, line)
        return self._view.prices.price_each(code, self._item(line), case.site, cost, case.surgery_date)

    def _item(self, line: Line) -> Item | None:
        return line.item or (self._supplies.get(line.usage.supply_id) if line.usage.supply_id else None)

    def _code(self, line: Line) -> str | None:
        if line.usage.one_time_charge_proc_id:
            return self._view.prices.code_of(line.usage.one_time_charge_proc_id)
        if line.usage.system == "ehr_fhir":
            return line.item.charge_code if line.item is not None else None
        documented = self._supplies.get(line.usage.supply_id) if line.usage.supply_id else None
        return documented.charge_code if documented is not None else None

    # ----------------------------------------------------------------------------------------------------- linking

    def _each(self, chain: Chain, meant: Item | None = None) -> Fraction:
        """Net EACH of a chain, of the item `meant` when it names none; every row by the unit of its own charge code."""
        supply_id = chain.current.supply_id
        item = self._supplies.get(supply_id) if supply_id else meant
        units = (
            Fraction(row.quantity) * self._view.prices.each_per_unit(row.charge_code, item, row.service_date)
            for row in chain.rows
        )
        return sum(units, ZERO)

    def _assign(
        self, active: list[Chain], cases: dict[str, Case], expected: dict[str, dict[str, _Expected]]
    ) -> dict[tuple[str, str], list[Chain]]:
        """Active chains by log and entity.

        By log id with implant or supply; then by supply or charge code, within a day of the surgery date, for what is
        still expected.
        """
        owned: dict[tuple[str, str], list[Chain]] = defaultdict(list)
        rest = []
        for chain in active:
            row = chain.current
            name = f"implant={row.implant_id}" if row.implant_id else f"item={row.supply_id}"
            if row.log_id in cases and (row.implant_id or row.supply_id):
                entries = expected.get(row.log_id, {})
                if row.implant_id or name in entries or not self._implants_of(entries, row.supply_id):
                    owned[row.log_id, name].append(chain)
                    continue
            rest.append(chain)
        for chain in rest:
            home = self._open_entry(chain, cases, expected, owned)
            if home:
                owned[home].append(chain)
        return owned

    @staticmethod
    def _implants_of(entries: dict[str, _Expected], supply_id: str | None) -> list[str]:
        """Implant entities of a log that were made from the supply."""
        return [
            name
            for name, entry in entries.items()
            if name.startswith("implant=") and supply_id and entry.lines[0].usage.supply_id == supply_id
        ]

    def _open_entry(
        self,
        chain: Chain,
        cases: dict[str, Case],
        expected: dict[str, dict[str, _Expected]],
        owned: dict[tuple[str, str], list[Chain]],
    ) -> tuple[str, str] | None:
        """The first entity that a charge without log, or without supply and implant, can stand for."""
        row = chain.current
        quantity = self._each(chain)
        found: list[tuple[bool, int, tuple[str, str]]] = []
        for log_id in sorted(expected, key=lambda log: (cases[log].surgery_date, log)):
            if row.log_id in cases and row.log_id != log_id:
                continue
            if abs((row.service_date - cases[log_id].surgery_date).days) > 1:
                continue
            for name, entry in sorted(expected[log_id].items(), key=lambda pair: pair[0]):
                usage = entry.lines[0].usage
                if row.implant_id:
                    fits = usage.implant_id == row.implant_id
                elif row.supply_id:
                    fits = usage.supply_id == row.supply_id
                else:
                    fits = self._code(entry.lines[0]) == row.charge_code
                left = Fraction(entry.chargeable) - sum((self._each(mine) for mine in owned[log_id, name]), ZERO)
                if fits and left > 0:
                    found.append((left != quantity, len(found), (log_id, name)))
        return min(found)[2] if found else None

    def _in_flight(self, account: _Account, log_id: str, name: str, entry: _Expected, as_of: date) -> Fraction:
        """EACH on the way: the largest of the three stations, never their sum."""
        kind, _, value = name.partition("=")
        stations: dict[str, Fraction] = defaultdict(Fraction)
        for charge in account.in_flight:
            since, until = self._stay(charge)
            if charge.log_id != log_id or not since <= as_of < until:
                continue
            if charge.implant_id:
                fits = kind == "implant" and charge.implant_id == value
            else:
                own = entry.lines[0].usage.supply_id if entry.lines else value
                fits = charge.supply_id is not None and charge.supply_id == own
            if fits:
                code = self._view.prices.code_of(charge.proc_id)
                each = self._view.prices.each_per_unit(code, entry.item, charge.service_date)
                stations[charge.station] += Fraction(charge.quantity) * each
        return max(stations.values(), default=ZERO)

    def _unnamed(
        self,
        account: _Account,
        active: list[Chain],
        cases: dict[str, Case],
        expected: dict[str, dict[str, _Expected]],
        as_of: date,
    ) -> tuple[Unnamed[Chain, _Expected], dict[tuple[str, str], list[Chain]]] | None:
        """Active chains by entity where charges name nothing; None where they do."""
        if not any(self._world.sites[case.site].clinical == "ehr_fhir" for case in cases.values()):
            return None
        found: Unnamed[Chain, _Expected] = Unnamed(
            cases, expected, lambda entry: self._code(entry.lines[0]), self._each, self._each_on_the_way
        )
        owned = found.assign(active)
        stays = ((charge, *self._stay(charge)) for charge in account.in_flight)
        found.expect(charge for charge, since, until in stays if since <= as_of < until)
        return found, owned

    def _each_on_the_way(self, charge: InFlightCharge, item: Item | None) -> tuple[str | None, Fraction]:
        code = self._view.prices.code_of(charge.proc_id)
        return code, Fraction(charge.quantity) * self._view.prices.each_per_unit(code, item, charge.service_date)

    # ----------------------------------------------------------------------------------------------------- judging

    def _judge_account(self, account: _Account, as_of: date, docket: Docket) -> None:
        chains: dict[str, Chain] = {}
        for versions in account.charges:
            row = versions.at(as_of)
            if row is not None:
                root = self.root(row)
                chains.setdefault(root, Chain(root)).rows.append(row)
        cases = {log_id: case for log_id in account.logs if (case := self._view.case(log_id, as_of)) is not None}
        expected = {log_id: self._expected(case, as_of) for log_id, case in cases.items() if self._view.counts(case)}
        active = sorted((chain for chain in chains.values() if chain.is_active), key=lambda chain: chain.root)
        unnamed = self._unnamed(account, active, cases, expected, as_of)
        owned = unnamed[1] if unnamed else self._assign(active, cases, expected)
        for log_id, entries in expected.items():
            for name in sorted({*entries, *(name for log, name in owned if log == log_id)}):
                entry = entries.get(name, _Expected())
                if unnamed:
                    on_the_way = unnamed[0].on_the_way(log_id, name)
                else:
                    on_the_way = self._in_flight(account, log_id, name, entry, as_of)
                self._judge_entity(cases[log_id], name, entry, owned.get((log_id, name), []), on_the_way, as_of, docket)
        linked = {chain.root for mine in owned.values() for chain in mine}
        for root, chain in chains.items():
            self._judge_chain(root, chain, root in linked, cases, expected, as_of, docket)

    def _judge_entity(
        self,
        case: Case,
        name: str,
        entry: _Expected,
        chains: list[Chain],
        on_the_way: Fraction,
        as_of: date,
        docket: Docket,
    ) -> None:
        key = f"case={case.log_id}|{name}"
        day = case.surgery_date
        charged = sum((self._each(chain, entry.item) for chain in chains), ZERO)
        duplicate = self._duplicate(chains, entry)
        if duplicate is not None:
            docket.fire("UC-04", case.site, key, duplicate, day)
        elif len(chains) > 1:
            docket.spare("UC-04", case.site, key, day, "as many as were used, or not alike")
        if not entry.lines or not self._view.is_posted(case) or as_of < self._view.posting_date(case) + MATURITY:
            return
        chargeable = Fraction(entry.chargeable)
        difference = charged + on_the_way - chargeable
        if charged == 0 and difference < 0:
            docket.fire("UC-01", case.site, key, cents(difference * self._price(case, entry)), day)
        elif charged != 0 and difference != 0 and duplicate is None:
            docket.fire("UC-03", case.site, key, cents(difference * self._price(case, entry)), day)
        elif charged == 0 and chargeable > 0:
            docket.spare_for_now("UC-01", case.site, key, day, "in review or in the router")
        elif charged == 0 and self._is_close(case, entry):
            docket.spare("UC-01", case.site, key, day, entry.reason)
        elif any(len(chain.rows) > 1 for chain in chains):
            docket.spare("UC-01", case.site, key, day, "reversed and reposted")
        elif any(chain.current.account != case.account for chain in chains):
            docket.spare("UC-01", case.site, key, day, "combined account")
        if charged != 0 and difference == 0:
            units = sum((Fraction(row.quantity) for chain in chains for row in chain.rows), ZERO)
            if units != charged:
                docket.spare("UC-03", case.site, key, day, "charged per billing unit")

    def _is_close(self, case: Case, entry: _Expected) -> bool:
        """Whether the entity would be charged but for the account, the policy or a little cost."""
        cost = self._view.line_cost(case, entry.lines[0])
        return entry.reason in BUNDLED or cost >= Fraction(limit("chargeable_min_unit_cost")) * 9 / 10

    def _duplicate(self, chains: list[Chain], entry: _Expected) -> Decimal | None:
        """Impact of charging the same thing twice on one account and day; None when it is not so."""
        alike: dict[tuple[object, ...], list[Chain]] = defaultdict(list)
        for chain in chains:
            row = chain.current
            thing = row.implant_id or row.supply_id
            alike[self.accounts.survivor(row.account), row.charge_code, row.service_date, thing].append(chain)
        impact = ZERO
        for group in alike.values():
            excess = sum((self._each(chain, entry.item) for chain in group), ZERO) - Fraction(entry.used)
            if len(group) > 1 and excess > 0:
                last = max(group, key=lambda chain: (chain.current.post_date, chain.root))
                impact += excess * Fraction(last.amount) / (self._each(last, entry.item) or 1)
        return cents(impact) if impact else None

    def _judge_chain(
        self,
        root: str,
        chain: Chain,
        is_linked: bool,
        cases: dict[str, Case],
        expected: dict[str, dict[str, _Expected]],
        as_of: date,
        docket: Docket,
    ) -> None:
        row = chain.current
        posted = min(each.post_date for each in chain.rows)
        if not cases or not is_supply(row.revenue_code) or as_of < posted + MATURITY:
            return
        key = f"charge={root}"
        if not chain.is_active:
            docket.spare("UC-05", row.site, key, posted, "reversed")
            return
        names_nothing = not (row.supply_id or row.implant_id or row.log_id)
        by_usage = (is_linked and names_nothing) or self._explained_by_usage(row, expected)
        if by_usage:
            if not is_linked:
                docket.spare("UC-05", row.site, key, posted, "explained by usage of the account")
        elif self._explained_by_issue(row, cases, as_of):
            docket.spare("UC-05", row.site, key, posted, "explained by an inventory issue")
        else:
            docket.fire("UC-05", row.site, key, cents(chain.amount), posted)

    def _explained_by_usage(self, row: ChargeTransaction, expected: dict[str, dict[str, _Expected]]) -> bool:
        golden = self._view.identity.golden("ehr", row.supply_id)
        for entries in expected.values():
            for entry in entries.values():
                for line in entry.lines:
                    if row.implant_id and row.implant_id == line.usage.implant_id:
                        return True
                    if row.supply_id and row.supply_id == line.usage.supply_id:
                        return True
                    if golden and golden == line.golden:
                        return True
                    if not row.supply_id and not row.implant_id and self._code(line) == row.charge_code:
                        return True
        return False

    def _explained_by_issue(self, row: ChargeTransaction, cases: dict[str, Case], as_of: date) -> bool:
        golden = self._view.identity.golden("ehr", row.supply_id)
        net: dict[str, Decimal] = defaultdict(Decimal)
        for log_id in cases:
            for known, movement in self._tagged[log_id]:
                issued = self._view.identity.golden("pou", movement.pou_item_no)
                if known <= as_of and issued:
                    net[issued] -= movement.quantity_each
        if golden:
            return net[golden] > 0
        if row.supply_id or row.implant_id:
            return False
        codes = {
            item.charge_code
            for issued, quantity in net.items()
            if quantity > 0 and (item := self._view.identity.item(issued)) is not None
        }
        return row.charge_code in codes


def is_supply(revenue_code: str | None) -> bool:
    """Revenue codes of supplies and implants, written with three or four digits."""
    code = (revenue_code or "").strip().zfill(4)
    return "0270" <= code <= "0279" or "0621" <= code <= "0624"
