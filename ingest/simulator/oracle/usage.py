"""Usage against inventory: UI-01, UI-02, UI-05, UC-10.

Here: documented usage beside tagged and untagged issues, negative balances, expired items.
Not here: charges (charges), bill-only orders (orders).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Case, Movement
from ingest.simulator.oracle.calendar import DAY
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents, is_beyond
from ingest.simulator.oracle.view import Line, View

ISSUES = ("ISSUE", "CONSIGN_USE", "WASTE")
OWNED = ("STOCK", "NONSTOCK")
MATURITY = {"pou": timedelta(days=1), "mmis": timedelta(days=2)}  # from the surgery date, by inventory system
SOON = timedelta(days=31)
NONE = Decimal(0)

Known = list[tuple[date, Movement]]


@dataclass(slots=True)
class _Pool:
    """Movements of one golden item at one site."""

    tagged: dict[str, Known] = field(default_factory=lambda: defaultdict(list))  # by log
    untagged: Known = field(default_factory=list)
    logs: set[str] = field(default_factory=set)  # logs that document the item


@dataclass(slots=True)
class _Free:
    """What is left of an untagged issue."""

    movement: Movement
    left: Decimal


class UsageRules:
    """The rules of usage against inventory over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        self._world = view.world
        self._restocked: dict[tuple[str, str, str], date] = {}
        self._issues: Known = []
        for known, movement in view.movements():
            if movement.txn_type == "RESTOCK" and movement.ref_doc:
                key = (movement.site, movement.ref_doc, movement.pou_item_no)
                self._restocked[key] = min(known, self._restocked.get(key, known))
            elif movement.txn_type in (*ISSUES, "RETURN"):
                self._issues.append((known, movement))

    def judge(self) -> None:
        """Follow all four rules to the end of the world."""
        self._judge_usage()
        self._judge_issues()
        self._judge_balances()
        self._judge_expiry()

    def _is_transfer(self, movement: Movement, as_of: date) -> bool:
        """Whether an issue is one half of a restock transfer whose other half is known."""
        if movement.txn_type != "ISSUE" or not movement.ref_doc:
            return False
        if movement.to_location_id is not None:
            return True  # the MMIS names the par area with the issue
        other = self._restocked.get((movement.site, movement.ref_doc, movement.pou_item_no))
        return other is not None and other <= as_of

    def _maturity(self, site: str) -> timedelta:
        return MATURITY[self._world.sites[site].stock_system]

    def _movement_dates(self, movements: Known) -> Iterable[date]:
        for known, movement in movements:
            yield known
            other = self._restocked.get((movement.site, movement.ref_doc or "", movement.pou_item_no))
            if other is not None:
                yield other

    def _log_dates(self, log_id: str) -> set[date]:
        dates = set(self._view.cases[log_id].dates())
        for version in self._view.usage.get(log_id, {}).values():
            dates.update(version.dates())
        dates.update(case.surgery_date + self._maturity(case.site) for _, case in self._view.cases[log_id].rows)
        return dates

    # -------------------------------------------------------------------------------------------------------- UI-01

    def _judge_usage(self) -> None:
        pools: dict[tuple[str, str], _Pool] = defaultdict(_Pool)
        for log_id, versions in self._view.cases.items():
            site = versions.rows[-1][1].site
            for version in self._view.usage.get(log_id, {}).values():
                for _, line in version.rows:
                    golden = self._view.identity.golden_of(line)
                    if golden:
                        pools[site, golden].logs.add(log_id)
        for known, movement in self._issues:
            golden = self._view.identity.golden("pou", movement.pou_item_no)
            pool = pools.get((movement.site, golden)) if golden else None
            if pool is None:
                continue
            if movement.case_typed and movement.case_typed.strip():
                log = self._view.log_of_number(movement.case_typed)
                if log:
                    pool.tagged[log].append((known, movement))
            else:
                pool.untagged.append((known, movement))
        for (_, golden), pool in pools.items():
            for logs, untagged in self._components(pool):
                dates = set(self._movement_dates(untagged))
                for log_id in logs:
                    dates |= self._log_dates(log_id)
                    dates.update(self._movement_dates(pool.tagged.get(log_id, [])))
                self._book.follow(dates, partial(self._usage_of, golden, pool, logs, untagged))

    def _components(self, pool: _Pool) -> list[tuple[list[str], Known]]:
        """Logs that compete for the same untagged movements, with these; logs that compete for none stand alone."""
        by_day: dict[date, Known] = defaultdict(list)
        for entry in pool.untagged:
            by_day[_day(entry[1])].append(entry)
        days = {log_id: self._view.cases[log_id].rows[-1][1].surgery_date for log_id in pool.logs}
        groups: list[tuple[list[str], dict[str, tuple[date, Movement]]]] = []
        for log_id in sorted(pool.logs, key=lambda log_id: (days[log_id], log_id)):
            around = (days[log_id] - DAY, days[log_id], days[log_id] + DAY)
            near = {entry[1].txn_id: entry for day in around for entry in by_day.get(day, ())}
            if groups and not near.keys().isdisjoint(groups[-1][1]):
                groups[-1][0].append(log_id)
                groups[-1][1].update(near)
            else:
                groups.append(([log_id], near))
        return [
            (logs, sorted(near.values(), key=lambda entry: (entry[1].happened_at, entry[1].txn_id)))
            for logs, near in groups
        ]

    def _usage_of(
        self, golden: str, pool: _Pool, logs: list[str], untagged: Known, as_of: date, docket: Docket
    ) -> None:
        free = self._free_issues(untagged, as_of)
        for log_id in logs:
            case = self._view.case(log_id, as_of)
            if case is None or case.is_test_patient:
                continue
            lines = [line for line in self._view.lines(log_id, as_of) if line.golden == golden]
            tagged = [
                movement
                for known, movement in pool.tagged.get(log_id, ())
                if known <= as_of and not self._is_transfer(movement, as_of)
            ]
            issued = max(sum((-movement.quantity_each for movement in tagged), NONE), NONE)
            # A device of the FHIR record has no documented item, so nothing that this rule could name.
            for supply_id in sorted({line.usage.supply_id for line in lines if line.usage.supply_id}):
                mine = [line for line in lines if line.usage.supply_id == supply_id]
                judged = [line for line in mine if self._is_judged(line)]
                used = sum((line.quantity for line in judged), NONE)
                taken = min(issued, used)
                issued -= taken
                if self._view.is_posted(case):
                    taken += _consume(free, case.surgery_date, used - taken)
                if as_of >= case.surgery_date + self._maturity(case.site):
                    self._compare(case, supply_id, mine, judged, taken, tagged, docket)

    def _compare(
        self,
        case: Case,
        supply_id: str,
        lines: list[Line],
        judged: list[Line],
        issued: Decimal,
        tagged: list[Movement],
        docket: Docket,
    ) -> None:
        key = f"case={case.log_id}|item={supply_id}"
        item = lines[0].item
        tolerance = "qty_implant" if item is not None and item.item_class == "IMPLANT" else "qty_usage"
        if not judged:
            used = sum((line.quantity for line in lines if self._is_owned(line)), NONE)
            if self._view.is_posted(case) and not tagged and is_beyond(tolerance, used, used):
                docket.spare("UI-01", case.site, key, case.surgery_date, "expensed location")
            return
        used = sum((line.quantity for line in judged), NONE)
        missing = used - issued
        if is_beyond(tolerance, missing, used):
            if not self._view.is_posted(case):
                docket.spare("UI-01", case.site, key, case.surgery_date, "case void or not yet posted")
                return
            cost = self._view.costs.unit_cost(case.site, judged[0].location_id, item, case.surgery_date)
            docket.fire("UI-01", case.site, key, cents(Fraction(missing) * cost), case.surgery_date)
        elif missing > 0:
            docket.spare("UI-01", case.site, key, case.surgery_date, "within tolerance")
        elif item is not None and any(movement.pou_item_no in item.pou_alias_nos for movement in tagged):
            docket.spare(
                "UI-01", case.site, key, case.surgery_date, "another number of the same golden item was issued"
            )

    @staticmethod
    def _is_owned(line: Line) -> bool:
        return line.item is not None and line.item.stock_class in OWNED and not line.usage.is_one_time

    def _is_judged(self, line: Line) -> bool:
        """Whether the line is owned stock from a perpetual location."""
        place = self._world.locations.get(line.location_id)
        return self._is_owned(line) and place is not None and place.is_perpetual and not place.is_consigned

    def _free_issues(self, untagged: Known, as_of: date) -> list[_Free]:
        """Untagged issues with what untagged returns leave of them, in the order of consumption."""
        free: list[_Free] = []
        for known, movement in untagged:
            if known > as_of or self._is_transfer(movement, as_of):
                continue
            if movement.quantity_each < 0:
                free.append(_Free(movement, -movement.quantity_each))
                continue
            back = movement.quantity_each
            for entry in reversed(free):
                part = min(back, entry.left)
                entry.left -= part
                back -= part
        return free

    # -------------------------------------------------------------------------------------------------------- UI-02

    def _judge_issues(self) -> None:
        groups: dict[tuple[str | None, str], Known] = defaultdict(list)
        for known, movement in self._issues:
            typed = (movement.case_typed or "").strip()
            if not typed:
                continue
            log = self._view.log_of_number(typed)
            golden = self._view.identity.golden("pou", movement.pou_item_no)
            what = golden if log and golden else f"{typed} {movement.pou_item_no}"
            groups[log, what].append((known, movement))
        for (log, golden), movements in groups.items():
            dates = set(self._movement_dates(movements))
            dates |= (
                self._log_dates(log)
                if log
                else {_day(movement) + self._maturity(movement.site) for _, movement in movements}
            )
            self._book.follow(dates, partial(self._issues_of, log, golden, movements))

    def _issues_of(self, log: str | None, golden: str, movements: Known, as_of: date, docket: Docket) -> None:
        known = sorted(
            (movement for when, movement in movements if when <= as_of and not self._is_transfer(movement, as_of)),
            key=lambda movement: (movement.happened_at, movement.txn_id),
        )
        if not known:
            return
        case = self._view.case(log, as_of) if log else None
        site, anchor, documented = known[0].site, _day(known[0]), NONE
        if log:
            last = case or self._view.cases[log].rows[-1][1]
            site, anchor = last.site, last.surgery_date
            if last.is_test_patient:
                return
            if case is not None:
                lines = self._view.lines(log, as_of)
                documented = sum((line.quantity for line in lines if line.golden == golden), NONE)
        if as_of < anchor + self._maturity(site):
            return
        net: dict[tuple[str, str], Decimal] = {}
        for movement in known:
            name = ((movement.case_typed or "").strip(), movement.pou_item_no)
            net[name] = net.get(name, NONE) - movement.quantity_each
        for (typed, pou_item), issued in net.items():
            key = f"case={typed}|item={pou_item}"
            covered = max(min(documented, issued), NONE)
            documented -= covered
            excess = issued - covered
            item = self._view.identity.item(self._view.identity.golden("pou", pou_item))
            tolerance = "qty_implant" if item is not None and item.item_class == "IMPLANT" else "qty_usage"
            if is_beyond(tolerance, excess, covered):
                if log and not self._view.is_posted(case):
                    docket.spare("UI-02", site, key, anchor, "log still unposted")
                    continue
                cost = self._view.inventory_cost(site, known[0].location_id, pou_item, anchor)
                docket.fire("UI-02", site, key, cents(Fraction(excess) * cost), anchor)
            elif excess > 0:
                docket.spare("UI-02", site, key, anchor, "within tolerance")
            elif any(movement.txn_type == "RETURN" and movement.pou_item_no == pou_item for movement in known):
                docket.spare("UI-02", site, key, anchor, "returned after the case")

    # -------------------------------------------------------------------------------------------------------- UI-05

    def _judge_balances(self) -> None:
        balances: dict[tuple[str, str], dict[date, Decimal]] = defaultdict(dict)
        for row in self._world.on_hand:
            if row.owner == "OWNED" and self._world.locations[row.location_id].is_perpetual:
                days = balances[row.location_id, row.pou_item_no]
                days[row.business_date] = days.get(row.business_date, NONE) + row.quantity_each
        for (location_id, pou_item), days in balances.items():
            negative = {day: quantity for day, quantity in sorted(days.items()) if quantity < 0}
            if negative:
                self._book.follow(negative, partial(self._balance_of, location_id, pou_item, negative))

    def _balance_of(
        self, location_id: str, pou_item: str, negative: dict[date, Decimal], as_of: date, docket: Docket
    ) -> None:
        day = max(day for day in negative if max(day, self._world.start) <= as_of)
        place = self._world.locations[location_id]
        cost = self._view.inventory_cost(place.site, location_id, pou_item, day)
        key = f"location={place.pou_code}|item={pou_item}"
        docket.fire("UI-05", place.site, key, cents(Fraction(negative[day]) * cost), day)

    # -------------------------------------------------------------------------------------------------------- UC-10

    def _judge_expiry(self) -> None:
        scans: dict[str, Known] = defaultdict(list)
        for known, movement in self._issues:
            if movement.expiry_date is not None and movement.txn_type in ISSUES:
                log = self._view.log_of_number(movement.case_typed)
                if log:
                    scans[log].append((known, movement))
        for log_id in self._view.cases:
            dates = self._log_dates(log_id) | {known for known, _ in scans[log_id]}
            self._book.follow(dates, partial(self._expiry_of, log_id, scans[log_id]))

    def _expiry_of(self, log_id: str, scans: Known, as_of: date, docket: Docket) -> None:
        case = self._view.case(log_id, as_of)
        if case is None or not self._view.counts(case):
            return
        expiries: dict[str, list[date]] = defaultdict(list)
        names: dict[str, str] = {}
        for line in self._view.lines(log_id, as_of):
            if line.usage.expiry_date is not None:
                expiries[line.name].append(line.usage.expiry_date)
            if line.golden and line.usage.record != "implant":
                names.setdefault(line.golden, line.name)
        for known, movement in scans:
            golden = self._view.identity.golden("pou", movement.pou_item_no)
            if known <= as_of and golden in names and movement.expiry_date is not None:
                expiries[names[golden]].append(movement.expiry_date)
        for name, days in expiries.items():
            key = f"case={log_id}|{name}"
            if min(days) < case.surgery_date:
                docket.fire("UC-10", case.site, key, cents(0), case.surgery_date)
            elif min(days) <= case.surgery_date + SOON:
                docket.spare("UC-10", case.site, key, case.surgery_date, "expires on or soon after the surgery date")


def _day(movement: Movement) -> date:
    """Business date of a movement, by the clock of its device."""
    return movement.happened_at.date()


def _is_near(movement: Movement, surgery_date: date) -> bool:
    return abs((_day(movement) - surgery_date).days) <= 1


def _consume(free: list[_Free], surgery_date: date, wanted: Decimal) -> Decimal:
    """Take what a case lacks from the untagged issues near its surgery date; give what was taken."""
    taken = NONE
    for entry in free:
        if entry.left > 0 and taken < wanted and _is_near(entry.movement, surgery_date):
            part = min(entry.left, wanted - taken)
            entry.left -= part
            taken += part
    return taken
