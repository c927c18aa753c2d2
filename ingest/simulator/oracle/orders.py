"""Orders: implants without a bill-only order (BO-01), order prices against contracts (CP-01).

Here: how an order is recognised as that of an implant, which contract line an order is held against.
Not here: contract lines in force (costs), the other rules of order prices (contract_prices), invoices (payables).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Case, ContractLine, PoLine
from ingest.simulator.oracle.calendar import after_business_days
from ingest.simulator.oracle.contract_prices import Contracts, candidates, markup, order_lines
from ingest.simulator.oracle.costs import is_in_dates, price_each
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.identity import Identity, catalogue_key
from ingest.simulator.oracle.tolerance import cents, is_beyond
from ingest.simulator.oracle.view import Line, Versions, View

BILLED_AFTER_USE = ("BILLONLY", "CONSIGN")
ORDER_DAYS = 5
BEFORE, AFTER = timedelta(days=1), timedelta(days=10)


def code_key(text: str | None) -> str:
    """Lot or serial without punctuation and leading zeros, the letter O read as zero."""
    plain = "".join(sign for sign in (text or "").upper() if sign.isalnum())
    return plain.replace("O", "0").lstrip("0")


def codes_of(lot: str | None, serial: str | None) -> set[str]:
    """Lot and serial in the form in which they are compared."""
    return {code_key(lot), code_key(serial)} - {""}


def is_near(order: PoLine, surgery_date: date) -> bool:
    """Whether an order was written in the days in which it may be found by lot or serial."""
    return surgery_date - BEFORE <= order.order_date <= surgery_date + AFTER


def is_for(identity: Identity, line: Line, order: PoLine) -> bool:
    """Whether an order is for an implant by supplier and product; a one-time implant names no supplier."""
    from_supplier = line.item is None or line.item.supplier_id == order.supplier_id
    return from_supplier and same_product(identity, line, order, is_strict=True)


def same_product(identity: Identity, line: Line, order: PoLine, is_strict: bool) -> bool:
    """Whether an order line is for the implant's item or catalogue number.

    An order line by case number that names neither stands for the whole case.
    """
    if order.erp_item_no and line.golden:
        return identity.golden(order.erp, order.erp_item_no) == line.golden
    usage = line.usage
    ordered = catalogue_key(order.vendor_catalogue_number or "")
    own = {catalogue_key(text) for text in (usage.vendor_catalogue_number, usage.manufacturer_number) if text}
    if line.item is not None:
        own |= {catalogue_key(line.item.vendor_catalogue_number), catalogue_key(line.item.catalogue_number)}
    if ordered and own:
        return ordered in own
    return not is_strict and not order.erp_item_no


class OrderRules:
    """The rules of orders over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        self.lines = order_lines(view)
        self._contracts = Contracts(view.world.contract_lines)
        self._by_case: dict[str, list[Versions[PoLine]]] = defaultdict(list)
        self._by_code: dict[str, list[Versions[PoLine]]] = defaultdict(list)
        for versions in self.lines.values():
            last = versions.rows[-1][1]
            if last.case_typed and last.case_typed.strip():
                self._by_case[last.case_typed.strip()].append(versions)
            for code in codes_of(last.lot, last.serial):
                self._by_code[code].append(versions)

    def judge(self) -> None:
        """Follow both rules to the end of the world."""
        for log_id, versions in self._view.cases.items():
            usage = self._view.usage.get(log_id, {})
            if not any(line.record == "implant" for version in usage.values() for _, line in version.rows):
                continue
            dates = set(versions.dates())
            dates.update(after_business_days(case.surgery_date, ORDER_DAYS) for _, case in versions.rows)
            codes = set()
            for version in usage.values():
                dates.update(version.dates())
                codes |= {code for _, line in version.rows for code in codes_of(line.lot, line.serial)}
            case = versions.rows[-1][1]
            orders = [*self._by_case.get(case.case_id, ()), *self._by_case.get(log_id, ())]
            orders += [order for code in codes for order in self._by_code.get(code, ())]
            for order in orders:
                dates.update(order.dates())
            self._book.follow(dates, partial(self._implants_of, log_id, orders))
        for order in self.lines.values():
            self._book.follow(order.dates(), partial(self._price_of, order))

    # -------------------------------------------------------------------------------------------------------- BO-01

    def _implants_of(self, log_id: str, orders: list[Versions[PoLine]], as_of: date, docket: Docket) -> None:
        case = self._view.case(log_id, as_of)
        if case is None or not self._view.counts(case):
            return
        if as_of < after_business_days(case.surgery_date, ORDER_DAYS):
            return
        known = [line for line in (order.at(as_of) for order in orders) if line is not None and not line.is_cancelled]
        entries: dict[str, list[Line]] = defaultdict(list)
        for line in self._view.lines(log_id, as_of):
            if line.usage.record == "implant" and self._is_billed_after_use(line):
                entries[line.name].append(line)
        for name, lines in entries.items():
            key = f"case={log_id}|{name}"
            found = [self._match(case, line, known) for line in lines]
            if all(found):
                if "lot or serial" in found:
                    docket.spare("BO-01", case.site, key, case.surgery_date, "ordered by lot or serial")
                continue
            impact = sum(
                (
                    Fraction(line.quantity) * self._price(case, line)
                    for line, how in zip(lines, found, strict=True)
                    if not how
                ),
                Fraction(0),
            )
            docket.fire("BO-01", case.site, key, cents(impact), case.surgery_date)

    @staticmethod
    def _is_billed_after_use(line: Line) -> bool:
        return line.usage.is_one_time or (line.item is not None and line.item.stock_class in BILLED_AFTER_USE)

    def _price(self, case: Case, line: Line) -> Fraction:
        """Contract price on the use date, unit cost when there is none."""
        if line.item is not None:
            price = self._view.costs.contract_price(line.item, case.site, case.surgery_date)
            if price is not None:
                return price
        return self._view.line_cost(case, line)

    def _match(self, case: Case, line: Line, orders: Iterable[PoLine]) -> str:
        """How an implant finds its order; empty when it finds none."""
        usage = line.usage
        codes = codes_of(usage.lot, usage.serial)
        how = ""
        for order in orders:
            named = self._view.log_of_number(order.case_typed)
            if named == case.log_id and same_product(self._view.identity, line, order, is_strict=False):
                return "case number"
            near = is_near(order, case.surgery_date)
            alike = codes & codes_of(order.lot, order.serial)
            if near and alike and is_for(self._view.identity, line, order):
                how = "lot or serial"
        return how

    # -------------------------------------------------------------------------------------------------------- CP-01

    def _price_of(self, versions: Versions[PoLine], as_of: date, docket: Docket) -> None:
        order = versions.at(as_of)
        if order is None or order.is_cancelled or order.is_on_hold or order.item_key is None or not order.erp_item_no:
            return
        item = self._view.identity.item(self._view.identity.golden(order.erp, order.erp_item_no))
        if item is None:
            return
        key = f"po={order.po_key}|line={order.line}"
        lines = self._view.costs.contract_lines(item.key)
        found = candidates(lines, order)
        price = Fraction(order.unit_price) / Fraction(order.each_per_uom)
        if not found:
            self._spare_without_contract(lines, order, key, docket)
            return
        _, contract = min(found, key=lambda pair: (*pair[0][:3], pair[1], pair[0][4]))
        difference = price - contract
        if not is_beyond("price_contract", difference, contract):
            if difference != 0 and abs(difference) > Fraction(1, 200):
                docket.spare("CP-01", order.site, key, order.order_date, "within tolerance")
            return
        reason = self._other_rule(order, lines)
        if reason:
            docket.spare("CP-01", order.site, key, order.order_date, reason)
            return
        impact = cents(max(difference, Fraction(0)) * Fraction(order.ordered_each))
        docket.fire("CP-01", order.site, key, impact, order.order_date)

    def _other_rule(self, order: PoLine, lines: list[ContractLine]) -> str:
        """Why a line is not judged although its price differs: its agreement expired or leaves the site out."""
        if self._contracts.names_expired(order, lines):
            return "judged by CP-04"
        return "facility not on the roster" if self._contracts.names_foreign(order) else ""

    def _spare_without_contract(self, lines: list[ContractLine], order: PoLine, key: str, docket: Docket) -> None:
        price = Fraction(order.unit_price) / Fraction(order.each_per_uom)
        current = [
            line
            for line in lines
            if is_in_dates(line, order.order_date)
            and line.supplier_id == order.supplier_id
            and is_beyond("price_contract", price - price_each(line) * markup(line), price_each(line))
        ]
        if any(line.is_on_hold for line in current):
            docket.spare("CP-01", order.site, key, order.order_date, "contract line on hold")
        elif current:
            docket.spare("CP-01", order.site, key, order.order_date, "facility not on the roster, or letter not signed")
