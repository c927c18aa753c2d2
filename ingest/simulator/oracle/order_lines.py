"""Order lines over their whole life: AS-02, AS-03, M3-03, M3-14, M3-16.

Here: cumulative receipts, invoices and returns of a line against what was ordered, promised and agreed.
Not here: the match of receipts and invoices (payables), single documents (supplier_documents, invoices).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from fractions import Fraction
from functools import partial

from ingest.simulator.events import PoLine, ReceiptLine
from ingest.simulator.oracle.contract_prices import ordered_each
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.payables import Billed, OrderHistory, PayableRules
from ingest.simulator.oracle.tolerance import cents, is_beyond
from ingest.simulator.oracle.view import View

GRACE = timedelta(days=3)
CREDIT_TIME = timedelta(days=30)
ZERO = Fraction(0)


class OrderLineRules:
    """The rules of order lines over one view of the world."""

    def __init__(self, view: View, book: Book, payables: PayableRules) -> None:
        self._view = view
        self._book = book
        self._payables = payables

    def judge(self) -> None:
        """Follow the rules to the end of the world."""
        for history in self._payables.histories.values():
            dates = set(history.order.dates())
            dates.update(row.promised_on + GRACE for _, row in history.order.rows if row.promised_on is not None)
            for receipts in history.receipts.values():
                dates.update(receipts.dates())
                dates.update(row.receipt_date + CREDIT_TIME for _, row in receipts.rows if row.kind == "return")
            for (invoice_key, _), lines in history.invoiced.items():
                dates.update(lines.dates())
                dates.update(self._payables.headers[lines.rows[0][1].erp, invoice_key].dates())
            self._book.follow(dates, partial(self._line_of, history))

    def _line_of(self, history: OrderHistory, as_of: date, docket: Docket) -> None:
        order = history.order.at(as_of)
        if order is None:
            return
        key = f"po={order.po_key}|line={order.line}"
        bills = self._payables.billed(history, as_of)
        if order.match_basis == "2way":
            service_overrun(order, key, bills, docket)
            return
        receipts = history.received(as_of)
        received = sum((Fraction(row.quantity_each) for row in receipts), ZERO)
        invoiced = sum((Fraction(bill.line.quantity_each) for bill in bills), ZERO)
        self._received(order, key, receipts, received, docket)
        self._overdue(order, key, received, as_of, docket)
        self._overbilled(order, key, bills, invoiced, docket)
        uncredited(order, key, receipts, invoiced - received, as_of, docket)

    # ------------------------------------------------------------------------------------------------- AS-02, AS-03

    @staticmethod
    def _received(order: PoLine, key: str, receipts: list[ReceiptLine], received: Fraction, docket: Docket) -> None:
        if not receipts or received <= 0:
            return
        ordered = Fraction(order.ordered_each)
        excess = received if order.is_cancelled else received - ordered
        latest = max(row.receipt_date for row in receipts if row.quantity_each > 0)
        if order.is_cancelled or is_beyond("over_receipt", excess, ordered):
            docket.fire("AS-02", order.site, key, cents(excess * ordered_each(order)), latest)
        elif excess > 0:
            docket.spare("AS-02", order.site, key, latest, "within tolerance")

    @staticmethod
    def _overdue(order: PoLine, key: str, received: Fraction, as_of: date, docket: Docket) -> None:
        if order.promised_on is None or as_of < order.promised_on + GRACE:
            return
        still_open = Fraction(order.ordered_each) - Fraction(order.cancelled_each) - received
        if still_open > 0:
            docket.fire("AS-03", order.site, key, cents(still_open * ordered_each(order)), order.promised_on)

    # -------------------------------------------------------------------------------------------------------- M3-03

    def _overbilled(self, order: PoLine, key: str, bills: list[Billed], invoiced: Fraction, docket: Docket) -> None:
        ordered = Fraction(order.ordered_each)
        excess = invoiced - ordered
        if excess <= 0:
            return
        item = self._view.identity.item(self._view.identity.golden(order.erp, order.erp_item_no))
        is_implant = item is not None and item.item_class == "IMPLANT"
        latest = max(bill.header.invoice_date for bill in bills)
        if is_beyond("qty_implant" if is_implant else "qty_match", excess, ordered):
            docket.fire("M3-03", order.site, key, cents(excess * ordered_each(order)), latest)
        else:
            docket.spare("M3-03", order.site, key, latest, "within tolerance")


def service_overrun(order: PoLine, key: str, bills: list[Billed], docket: Docket) -> None:
    """M3-14: more invoiced than agreed, else what is invoiced for after the end."""
    if not bills:
        return
    latest = max(bill.header.invoice_date for bill in bills)
    excess = sum((Fraction(bill.line.amount) for bill in bills), ZERO) - Fraction(order.amount)
    late = [bill for bill in bills if order.ends_on is not None and bill.header.invoice_date > order.ends_on]
    if excess > 0:
        docket.fire("M3-14", order.site, key, cents(excess), latest)
    elif late:
        amount = sum((Fraction(bill.line.amount) for bill in late), ZERO)
        docket.fire("M3-14", order.site, key, cents(amount), latest)


def uncredited(
    order: PoLine, key: str, receipts: Iterable[ReceiptLine], owed: Fraction, as_of: date, docket: Docket
) -> None:
    """M3-16: returned EACH that stay billed, thirty days after their return; the oldest returns are credited first.

    What was returned and never billed, or was replaced, leaves nothing to credit: `owed` is invoiced less net received.
    """
    returns = [row for row in receipts if row.kind == "return"]
    returned = sum((-Fraction(row.quantity_each) for row in returns), ZERO)
    if not returned:
        return
    covered = returned - min(returned, max(owed, ZERO))
    if covered == returned:
        docket.spare("M3-16", order.site, key, returns[0].receipt_date, "credited, replaced or never billed")
        return
    missing, since = ZERO, None
    for row in returns:
        part = -Fraction(row.quantity_each)
        taken = min(part, covered)
        covered -= taken
        if part > taken and as_of >= row.receipt_date + CREDIT_TIME:
            missing += part - taken
            since = since or row.receipt_date
    if since is not None:
        docket.fire("M3-16", order.site, key, cents(missing * ordered_each(order)), since)
