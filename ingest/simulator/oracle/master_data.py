"""Master data: transacted items that resolve to no golden item (MDM-01).

Here: which items of the EHR and the inventory system are transacted, and what their last 90 days are worth.
Not here: how identities are resolved (identity).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Movement
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents, limit
from ingest.simulator.oracle.usage import ISSUES
from ingest.simulator.oracle.view import View

WINDOW = timedelta(days=90)
NO_MOVEMENT = ("NULL_TXN", "COUNT")
ALL_SITES = "SYS"


class MasterDataRules:
    """The rule of unmapped items over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book

    def judge(self) -> None:
        """Follow every transacted item of the EHR and the inventory system to the end of the world."""
        supplies: dict[tuple[str, str], set[str]] = defaultdict(set)
        for log_id, versions in self._view.usage.items():
            for version in versions.values():
                for _, line in version.rows:
                    if line.supply_id:
                        supplies[line.system, line.supply_id].add(log_id)
        for (system, supply_id), logs in supplies.items():
            if self._is_doubtful(system, supply_id):
                dates = {self._book.until}
                for log_id in logs:
                    dates.update(self._view.cases[log_id].dates())
                    for version in self._view.usage[log_id].values():
                        dates.update(version.dates())
                self._book.follow(dates, partial(self._judge_supply, system, supply_id, sorted(logs)))
        movements: dict[str, list[tuple[date, Movement]]] = defaultdict(list)
        for known, movement in self._view.movements:
            if movement.txn_type not in NO_MOVEMENT:
                movements[movement.pou_item_no].append((known, movement))
        for pou_item, rows in movements.items():
            if self._is_doubtful("pou", pou_item):
                dates = {self._book.until, *(known for known, _ in rows)}
                self._book.follow(dates, partial(self._judge_inventory, pou_item, rows))

    def _is_doubtful(self, system: str, item_no: str) -> bool:
        """Whether the item is mapped by less than a trusted number."""
        return self._view.identity.resolve(system, item_no).confidence < 1

    def _judge_supply(self, system: str, supply_id: str, logs: list[str], as_of: date, docket: Docket) -> None:
        resolution = self._view.identity.resolve(system, supply_id)
        amount, last = Fraction(0), None
        for log_id in logs:
            case = self._view.case(log_id, as_of)
            if case is None or not self._view.counts(case):
                continue
            for line in self._view.lines(log_id, as_of):
                if line.usage.supply_id == supply_id:
                    last = max(last or case.surgery_date, case.surgery_date)
                    if as_of - WINDOW < case.surgery_date <= as_of:
                        amount += Fraction(line.quantity) * self._view.line_cost(case, line)
        if last is not None:
            self._decide(system, supply_id, resolution.confidence < limit("item_accept"), amount, last, docket)

    def _judge_inventory(self, pou_item: str, rows: list[tuple[date, Movement]], as_of: date, docket: Docket) -> None:
        resolution = self._view.identity.resolve("pou", pou_item)
        amount, last = Fraction(0), None
        for known, movement in rows:
            if known > as_of:
                continue
            day = movement.happened_at.date()
            last = max(last or day, day)
            if movement.txn_type in (*ISSUES, "RETURN") and as_of - WINDOW < day <= as_of:
                cost = self._view.inventory_cost(movement.site, movement.location_id, pou_item, day)
                amount -= Fraction(movement.quantity_each) * cost
        if last is not None:
            system = self._view.world.sites[rows[0][1].site].stock_system
            self._decide(system, pou_item, resolution.confidence < limit("item_accept"), amount, last, docket)

    @staticmethod
    def _decide(system: str, item_no: str, is_unmapped: bool, amount: Fraction, last: date, docket: Docket) -> None:
        key = f"system={system}|item={item_no}"
        if is_unmapped:
            docket.fire("MDM-01", ALL_SITES, key, cents(amount), last)
        else:
            docket.spare("MDM-01", ALL_SITES, key, last, "mapped without a trusted number")
