"""What items are worth: the cost value of a system's own transactions of them.

Here: transactions of each item by system, their amount in a span of days, the dates on which it changes.
Not here: which item is wrong in which way (master_data, identifiers, conversions, item_life).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from ingest.simulator.events import PoLine
from ingest.simulator.oracle.identity import plain_number
from ingest.simulator.oracle.usage import ISSUES
from ingest.simulator.oracle.view import Versions, View

WINDOW = timedelta(days=90)
CLINICAL = ("ehr", "ehr_fhir")
NO_MOVEMENT = ("NULL_TXN", "COUNT")
NONE = Decimal(0)


class Worth(NamedTuple):
    """Amount of an item's transactions in a span, and the last date of any."""

    amount: Fraction
    last: date | None


class Moved(NamedTuple):
    """What of a movement an amount needs; a world has millions of them."""

    known: date
    day: date  # by the clock of its device
    site: str
    location_id: str
    used_each: Decimal  # issued, used or wasted, less returned; nothing where it is none of these


class ItemAmounts:
    """Transactions of all items of one view of the world."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.logs: dict[tuple[str, str], list[str]] = defaultdict(list)
        for log_id in sorted(view.usage):
            lines = (line for versions in view.usage[log_id].values() for _, line in versions.rows)
            for supply in sorted({(line.system, line.supply_id) for line in lines if line.supply_id}):
                self.logs[supply].append(log_id)
        self.movements: dict[tuple[str, str], list[Moved]] = defaultdict(list)
        for known, movement in view.movements():
            if movement.txn_type not in NO_MOVEMENT:
                system = view.world.sites[movement.site].stock_system
                used = -movement.quantity_each if movement.txn_type in (*ISSUES, "RETURN") else NONE
                day = movement.happened_at.date()
                moved = Moved(known, day, movement.site, movement.location_id, used)
                self.movements[system, movement.pou_item_no].append(moved)
        self.orders: dict[tuple[str, str], dict[tuple[str, int], Versions[PoLine]]] = defaultdict(dict)
        for order in view.world.po_lines:
            if order.erp_item_no:
                orders = self.orders[order.erp, plain_number(order.erp_item_no)]
                known = view.deliveries.known_on(order.erp, order.known_at)
                orders.setdefault((order.po_key, order.line), Versions()).add(known, order)

    def dates(self, system: str, item_no: str) -> set[date]:
        """Dates on which a transaction of the item becomes known or changes."""
        if system in CLINICAL:
            found: set[date] = set()
            for log_id in self.logs.get((system, item_no), ()):
                found.update(self._view.cases[log_id].dates())
                for version in self._view.usage[log_id].values():
                    found.update(version.dates())
            return found
        if system.startswith("erp_"):
            orders = self.orders.get((system, plain_number(item_no)), {})
            return {day for versions in orders.values() for day in versions.dates()}
        return {moved.known for moved in self.movements.get((system, item_no), ())}

    def last_days(self, system: str, item_no: str, as_of: date) -> Worth:
        """Amount of the last 90 days."""
        return self.worth(system, item_no, as_of, as_of - WINDOW + timedelta(days=1))

    def worth(self, system: str, item_no: str, as_of: date, since: date) -> Worth:
        """Amount from `since` up to the as-of date, as known; the last date is that of any transaction."""
        if system in CLINICAL:
            return self._used(system, item_no, as_of, since)
        if system.startswith("erp_"):
            return self._ordered(system, item_no, as_of, since)
        return self._issued(system, item_no, as_of, since)

    def _used(self, system: str, supply_id: str, as_of: date, since: date) -> Worth:
        amount, last = Fraction(0), None
        for log_id in self.logs.get((system, supply_id), ()):
            case = self._view.case(log_id, as_of)
            if case is None or not self._view.counts(case):
                continue
            for line in self._view.lines(log_id, as_of):
                if line.usage.supply_id == supply_id:
                    last = max(last or case.surgery_date, case.surgery_date)
                    if since <= case.surgery_date <= as_of:
                        amount += Fraction(line.quantity) * self._view.line_cost(case, line)
        return Worth(amount, last)

    def _issued(self, system: str, item_no: str, as_of: date, since: date) -> Worth:
        amount, last = Fraction(0), None
        for moved in self.movements.get((system, item_no), ()):
            if moved.known > as_of:
                continue
            last = max(last or moved.day, moved.day)
            if moved.used_each and since <= moved.day <= as_of:
                cost = self._view.inventory_cost(moved.site, moved.location_id, item_no, moved.day)
                amount += Fraction(moved.used_each) * cost
        return Worth(amount, last)

    def _ordered(self, system: str, item_no: str, as_of: date, since: date) -> Worth:
        amount, last = Fraction(0), None
        for versions in self.orders.get((system, plain_number(item_no)), {}).values():
            order = versions.at(as_of)
            if order is not None:
                last = max(last or order.order_date, order.order_date)
                if since <= order.order_date <= as_of:
                    amount += Fraction(order.amount)
        return Worth(amount, last)
