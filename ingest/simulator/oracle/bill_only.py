"""Bill-only orders against the implant log: without usage (BO-02), differing (BO-03), ordered twice (BO-07).

Here: which implant records an order stands for, how quantities, lots and serials compare, the later of two alike.
Not here: implants without an order (orders), prices and receipts of orders (orders, payables).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial

from ingest.simulator.events import PoLine
from ingest.simulator.oracle.calendar import after_business_days
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.identity import catalogue_key
from ingest.simulator.oracle.orders import OrderRules, codes_of, is_for, is_near, same_product
from ingest.simulator.oracle.tolerance import cents
from ingest.simulator.oracle.view import Line, Versions, View

AFTER_USE = ("bill_only", "bill_and_replace")
USAGE_DAYS, DIFFERENCE_DAYS = 5, 1
VOID = 4
NONE = Decimal(0)

Group = tuple[set[str], list[Versions[PoLine]]]


@dataclass(slots=True)
class _Record:
    """An implant record with what no order has taken of it."""

    line: Line
    codes: set[str]
    left: Decimal
    order: str = ""  # the last order that took of it


@dataclass(slots=True)
class _Product:
    """The orders and the implant records of one product of one log."""

    orders: list[PoLine] = field(default_factory=list)
    records: list[_Record] = field(default_factory=list)


class BillOnlyRules:
    """The rules of orders after use over one view of the world."""

    def __init__(self, view: View, book: Book, orders: OrderRules) -> None:
        self._view = view
        self._book = book
        self._orders = [versions for versions in orders.lines.values() if versions.rows[-1][1].po_type in AFTER_USE]

    def judge(self) -> None:
        """Follow every group of orders and logs that can belong together to the end of the world."""
        for logs, orders in self._groups():
            dates: set[date] = set()
            for versions in orders:
                dates.update(versions.dates())
                ordered = versions.rows[-1][1].order_date
                dates.update(after_business_days(ordered, days) for days in (USAGE_DAYS, DIFFERENCE_DAYS))
            for log_id in logs:
                dates.update(self._view.cases[log_id].dates())
                for version in self._view.usage.get(log_id, {}).values():
                    dates.update(version.dates())
            self._book.follow(dates, partial(self._judge_group, sorted(logs), orders))

    def _groups(self) -> Iterator[Group]:
        """Orders with the logs that they name or share a lot or serial with, joined where they share a log."""
        by_code: dict[str, set[str]] = defaultdict(set)
        for log_id, usage in self._view.usage.items():
            for version in usage.values():
                for _, line in version.rows:
                    if line.record == "implant":
                        for code in codes_of(line.lot, line.serial):
                            by_code[code].add(log_id)
        groups: dict[int, Group] = {}
        group_of: dict[str, Group] = {}
        for versions in self._orders:
            logs: set[str] = set()
            for _, order in versions.rows:
                named = self._view.log_of_number(order.case_typed)
                logs |= {named} if named else set()
                for code in codes_of(order.lot, order.serial):
                    logs |= by_code[code]
            joined: Group = (set(logs), [versions])
            for other in {id(group_of[log]): group_of[log] for log in sorted(logs) if log in group_of}.values():
                joined[0].update(other[0])
                joined[1].extend(other[1])
                del groups[id(other)]
            groups[id(joined)] = joined
            for log in joined[0]:
                group_of[log] = joined
        return iter(list(groups.values()))

    # ----------------------------------------------------------------------------------------------------- matching

    def _records(self, logs: Iterable[str], as_of: date) -> dict[str, list[_Record]]:
        """Implant records of logs that are documented and not void."""
        records: dict[str, list[_Record]] = {}
        for log_id in logs:
            case = self._view.case(log_id, as_of)
            if case is None or case.status == VOID or case.is_test_patient:
                continue
            lines = (line for line in self._view.lines(log_id, as_of) if line.usage.record == "implant")
            records[log_id] = [
                _Record(line, codes_of(line.usage.lot, line.usage.serial), line.quantity)
                for line in sorted(lines, key=lambda line: line.usage.usage_id)
            ]
        return records

    def _home(self, order: PoLine, records: dict[str, list[_Record]], as_of: date) -> tuple[str, Line, bool] | None:
        """Log and implant that an order stands for, and whether lot or serial alone say so."""
        identity = self._view.identity
        named = self._view.log_of_number(order.case_typed)
        codes = codes_of(order.lot, order.serial)
        fitting = [
            record for record in records.get(named or "", ()) if same_product(identity, record.line, order, False)
        ]
        if named and fitting:
            return named, min(fitting, key=lambda record: not record.codes & codes).line, False
        for log_id, mine in records.items():
            case = self._view.case(log_id, as_of)
            for record in mine:
                alike = record.codes & codes and is_for(identity, record.line, order)
                if alike and case is not None and is_near(order, case.surgery_date):
                    return log_id, record.line, True
        return None

    @staticmethod
    def _product_of(line: Line) -> str:
        return line.golden or catalogue_key(line.usage.vendor_catalogue_number or line.usage.manufacturer_number or "")

    # ------------------------------------------------------------------------------------------------------ judging

    def _judge_group(self, logs: list[str], versions: list[Versions[PoLine]], as_of: date, docket: Docket) -> None:
        known = [order for order in (each.at(as_of) for each in versions) if order is not None]
        active = sorted(
            (order for order in known if not order.is_cancelled),
            key=lambda order: (order.order_date, order.known_at, order.po_key, order.line),
        )
        records = self._records(logs, as_of)
        products: dict[tuple[str, str], _Product] = defaultdict(_Product)
        for log_id, mine in records.items():
            for record in mine:
                products[log_id, self._product_of(record.line)].records.append(record)
        for order in active:
            home = self._home(order, records, as_of)
            if home is None:
                if as_of >= after_business_days(order.order_date, USAGE_DAYS):
                    docket.fire("BO-02", order.site, key_of(order), cents(order.amount), order.order_date)
                continue
            log_id, line, is_by_code = home
            products[log_id, self._product_of(line)].orders.append(order)
            if is_by_code:
                docket.spare("BO-02", order.site, key_of(order), order.order_date, "found by lot or serial")
        for product in products.values():
            self._compare(product, as_of, docket)

    def _compare(self, product: _Product, as_of: date, docket: Docket) -> None:
        """Hold the orders of one product of one log against its records."""
        twice = self._ordered_twice(product, docket)
        rest = [order for order in product.orders if key_of(order) not in twice]
        other_codes: set[str] = set()
        open_each: dict[str, Decimal] = {key_of(order): order.ordered_each for order in rest}
        for is_alike in (True, False):
            for order in rest:
                codes = codes_of(order.lot, order.serial)
                for record in product.records:
                    if is_alike and not codes & record.codes:
                        continue
                    taken = min(open_each[key_of(order)], record.left)
                    if taken > 0 and codes and record.codes and not codes & record.codes:
                        other_codes.add(key_of(order))
                    if taken > 0:
                        open_each[key_of(order)] -= taken
                        record.left -= taken
                        record.order = key_of(order)
        for order in rest:
            started = sum((record.left for record in product.records if record.order == key_of(order)), NONE)
            self._judge_difference(order, open_each[key_of(order)] or started, other_codes, product, as_of, docket)

    @staticmethod
    def _judge_difference(
        order: PoLine, difference: Decimal, other_codes: set[str], product: _Product, as_of: date, docket: Docket
    ) -> None:
        key = key_of(order)
        if difference or key in other_codes:
            if as_of >= after_business_days(order.order_date, DIFFERENCE_DAYS):
                price = Fraction(order.unit_price) / Fraction(order.each_per_uom)
                docket.fire("BO-03", order.site, key, cents(Fraction(difference) * price), order.order_date)
            return
        written = {text for record in product.records for text in (record.line.usage.lot, record.line.usage.serial)}
        if any(text and text not in written for text in (order.lot, order.serial)):
            docket.spare("BO-03", order.site, key, order.order_date, "the same lot in other letters")

    def _ordered_twice(self, product: _Product, docket: Docket) -> set[str]:
        """Keys of orders that ask again for what an earlier line has asked for already."""
        twice: set[str] = set()
        for code in sorted({code for order in product.orders for code in codes_of(order.lot, order.serial)}):
            orders = [order for order in product.orders if code in codes_of(order.lot, order.serial)]
            documented = sum((record.line.quantity for record in product.records if code in record.codes), NONE)
            ordered = NONE
            for place, order in enumerate(orders):
                ordered += order.ordered_each
                if place and ordered > documented:
                    twice.add(key_of(order))
                    docket.fire("BO-07", order.site, key_of(order), cents(order.amount), order.order_date)
                elif place:
                    docket.spare("BO-07", order.site, key_of(order), order.order_date, "as many as the log has")
        return twice


def key_of(order: PoLine) -> str:
    """Entity key of an order line."""
    return f"po={order.po_key}|line={order.line}"
