"""What suppliers send against what was ordered and received: PA-02, AS-01, and M3-10 for their invoices.

Here: the latest acknowledgement of a line, shipments against receipts, totals of 810 documents.
Not here: invoices as payables holds them (invoices), order lines over their life (order_lines).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Acknowledgement, PoLine, ReceiptLine, ShipNotice, SupplierBill
from ingest.simulator.oracle.contract_prices import ordered_each
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.identity import catalogue_key
from ingest.simulator.oracle.payables import OrderHistory, PayableRules
from ingest.simulator.oracle.tolerance import cents, half_up, is_beyond
from ingest.simulator.oracle.view import View

ON_THE_ROAD = timedelta(days=2)
REJECTED = ("IR", "ID")
NOT_AS_ORDERED = ("IB", "BP", "IS", "IH")  # backordered, partly backordered, substituted, on hold
ZERO = Fraction(0)

Known = tuple[date, Acknowledgement]
Line = tuple[str, str, int]


class SupplierDocumentRules:
    """The rules of 855, 856 and 810 over one view of the world."""

    def __init__(self, view: View, book: Book, payables: PayableRules) -> None:
        self._view = view
        self._book = book
        self._histories = payables.histories

    def judge(self) -> None:
        """Follow the rules to the end of the world."""
        world, known_on = self._view.world, self._view.deliveries.known_on
        answers: dict[Line, list[Known]] = defaultdict(list)
        for answer in world.acknowledgements:
            answers[answer.erp, answer.po_key, answer.line].append((known_on("edi", answer.known_at), answer))
        for line, said in answers.items():
            history = self._histories[line]
            dates = {*self._dates(history), *(known for known, _ in said)}
            self._book.follow(dates, partial(self._answer_of, history, said))
        notices: dict[Line, list[tuple[date, ShipNotice]]] = defaultdict(list)
        for notice in world.ship_notices:
            notices[notice.erp, notice.po_key, notice.line].append((known_on("edi", notice.known_at), notice))
        for line, sent in notices.items():
            history = self._histories[line]
            dates = {*self._dates(history), *(known for known, _ in sent)}
            dates.update(notice.expected_on + ON_THE_ROAD for _, notice in sent)
            self._book.follow(dates, partial(self._shipments_of, history, sent))
        for bill in world.supplier_bills:
            self._book.follow({known_on("edi", bill.known_at)}, partial(self._total_of, bill))

    @staticmethod
    def _dates(history: OrderHistory) -> Iterable[date]:
        yield from history.order.dates()
        for receipts in history.receipts.values():
            yield from receipts.dates()

    # -------------------------------------------------------------------------------------------------------- PA-02

    @staticmethod
    def _answer_of(history: OrderHistory, said: list[Known], as_of: date, docket: Docket) -> None:
        order = history.order.at(as_of)
        known = [answer for day, answer in said if day <= as_of]
        if order is None or not known:
            return
        latest = max(known, key=lambda answer: (answer.acknowledged_on, answer.known_at))
        key = f"po={order.po_key}|line={order.line}"
        difference = acknowledged_each(latest) - ordered_each(order)
        if any(status in REJECTED for status, _ in latest.parts):
            received = sum((Fraction(row.quantity_each) for row in history.received(as_of)), ZERO)
            still_open = Fraction(order.ordered_each) - Fraction(order.cancelled_each) - received
            impact = max(still_open, ZERO) * ordered_each(order)
            docket.fire("PA-02", order.site, key, cents(impact), latest.acknowledged_on)
        elif is_otherwise(order, latest):
            impact = abs(difference) * Fraction(order.ordered_each)
            if not is_price_beyond(order, latest):
                impact = ZERO
            docket.fire("PA-02", order.site, key, cents(impact), latest.acknowledged_on)
        elif difference or latest.uom != order.uom or any(status != "IA" for status, _ in latest.parts):
            docket.spare("PA-02", order.site, key, latest.acknowledged_on, "date, unit or price within tolerance")

    # -------------------------------------------------------------------------------------------------------- AS-01

    @staticmethod
    def _shipments_of(history: OrderHistory, sent: list[tuple[date, ShipNotice]], as_of: date, docket: Docket) -> None:
        order = history.order.at(as_of)
        known = [notice for day, notice in sent if day <= as_of]
        if order is None or not known:
            return
        receipts = [row for row in history.received(as_of) if row.kind != "return"]
        for notice, received in received_of(known, receipts):
            if as_of < notice.expected_on + ON_THE_ROAD:
                continue
            key = f"shipment={notice.shipment_id}|po={order.po_key}|line={order.line}"
            shipped = Fraction(notice.quantity_each)
            difference = received - shipped
            if is_beyond("qty_asn", difference, shipped):
                impact = abs(difference) * ordered_each(order)
                docket.fire("AS-01", order.site, key, cents(impact), notice.expected_on)
            elif difference:
                docket.spare("AS-01", order.site, key, notice.expected_on, "within tolerance")

    # -------------------------------------------------------------------------------------------------------- M3-10

    @staticmethod
    def _total_of(bill: SupplierBill, as_of: date, docket: Docket) -> None:
        goods = sum((half_up(quantity * price) for quantity, price in bill.lines), Decimal(0))
        difference = bill.total - goods - bill.charges - bill.tax
        key = f"system=edi|supplier={bill.sender}|invoice={bill.invoice_number}"
        if is_beyond("invoice_header", difference, bill.total):
            docket.fire("M3-10", bill.site, key, cents(difference), bill.invoice_date)
        elif difference:
            docket.spare("M3-10", bill.site, key, bill.invoice_date, "within tolerance")


def acknowledged_each(answer: Acknowledgement) -> Fraction:
    """Acknowledged price per EACH."""
    return Fraction(answer.unit_price) / Fraction(answer.each_per_uom)


def is_price_beyond(order: PoLine, answer: Acknowledgement) -> bool:
    """Whether the price of an ordered unit is beyond tolerance."""
    factor = Fraction(order.each_per_uom)
    return is_beyond("price_ack", acknowledged_each(answer) * factor - Fraction(order.unit_price), order.unit_price)


def is_otherwise(order: PoLine, answer: Acknowledgement) -> bool:
    """Whether a line is acknowledged otherwise than it was ordered, dates apart."""
    taken = sum((Fraction(quantity) for _, quantity in answer.parts), ZERO) * Fraction(answer.each_per_uom)
    own, other = catalogue_key(order.vendor_catalogue_number or ""), catalogue_key(answer.vendor_catalogue_number or "")
    return (
        any(status in NOT_AS_ORDERED for status, _ in answer.parts)
        or taken != Fraction(order.ordered_each)
        or is_price_beyond(order, answer)
        or bool(own and other and own != other)
    )


def received_of(notices: list[ShipNotice], receipts: list[ReceiptLine]) -> list[tuple[ShipNotice, Fraction]]:
    """EACH received against each shipment of an order line, corrections with the receipt that they name.

    A receipt counts for the shipment keyed on it. One without a number, or with one that no notice has, goes to the
    shipments in order of their expected day: each takes what it misses, the last of those that took any takes the rest.
    """
    numbers = {notice.shipment_id for notice in notices}
    owners = {row.receipt_key: row.shipment_id for row in receipts if row.kind == "receive"}
    received: dict[str, Fraction] = defaultdict(Fraction)
    unnamed = ZERO
    for row in receipts:
        number = owners.get(row.parent_key or "") if row.kind == "correct" else row.shipment_id
        if number in numbers and number is not None:
            received[number] += Fraction(row.quantity_each)
        else:
            unnamed += Fraction(row.quantity_each)
    shipped: dict[str, Fraction] = defaultdict(Fraction)
    ordered = sorted(notices, key=lambda notice: (notice.expected_on, notice.shipment_id))
    for notice in ordered:
        shipped[notice.shipment_id] += Fraction(notice.quantity_each)
    last = None
    for number in dict.fromkeys(notice.shipment_id for notice in ordered):
        part = min(max(shipped[number] - received[number], ZERO), max(unnamed, ZERO))
        if part:
            received[number] += part
            unnamed -= part
            last = number
    if unnamed and last is not None:
        received[last] += unnamed
    return [(notice, received[notice.shipment_id]) for notice in {each.shipment_id: each for each in ordered}.values()]
