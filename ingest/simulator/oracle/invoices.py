"""Single invoices as payables holds them: M3-04, M3-10, M3-13, M3-15.

Here: units and totals of an invoice, whether its supplier is active and its order is paid on receipt.
Not here: prices, quantities and duplicates (payables), documents as suppliers send them (supplier_documents).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from functools import partial

from ingest.simulator.events import Invoice, InvoiceLine, SupplierClosure
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.payables import OrderHistory, PayableRules, is_in_another_unit
from ingest.simulator.oracle.tolerance import cents, is_beyond
from ingest.simulator.oracle.view import Versions, View


class InvoiceRules:
    """The rules of single invoices over one view of the world."""

    def __init__(self, view: View, book: Book, payables: PayableRules) -> None:
        self._view = view
        self._book = book
        self._payables = payables
        known_on = view.deliveries.known_on
        self._closures: dict[tuple[str, str], list[tuple[date, SupplierClosure]]] = defaultdict(list)
        for closure in view.world.supplier_closures:
            known = known_on(closure.erp, closure.known_at)
            self._closures[closure.erp, closure.supplier_id].append((known, closure))
        self._lines: dict[tuple[str, str], list[InvoiceLine]] = defaultdict(list)
        for line in view.world.invoice_lines:
            self._lines[line.erp, line.invoice_key].append(line)

    def judge(self) -> None:
        """Follow the rules to the end of the world."""
        for history in self._payables.histories.values():
            dates = set(history.order.dates())
            for (invoice_key, _), lines in history.invoiced.items():
                dates.update(lines.dates())
                dates.update(self._payables.headers[lines.rows[0][1].erp, invoice_key].dates())
            if history.invoiced:
                self._book.follow(dates, partial(self._lines_of, history))
        for key, versions in self._payables.headers.items():
            erp, _ = key
            closures = self._closures.get((erp, versions.rows[-1][1].supplier_id), [])
            dates = {*versions.dates(), *(known for known, _ in closures)}
            self._book.follow(dates, partial(self._header_of, versions, self._lines.get(key, []), closures))

    # ------------------------------------------------------------------------------------------------- M3-04, M3-15

    def _lines_of(self, history: OrderHistory, as_of: date, docket: Docket) -> None:
        order = history.order.at(as_of)
        if order is None or order.match_basis == "2way":
            return
        item = self._view.identity.item(self._view.identity.golden(order.erp, order.erp_item_no))
        for bill in self._payables.billed(history, as_of):
            line, header = bill.line, bill.header
            key = f"system={header.erp}|supplier={header.supplier_no}|invoice={header.number}|line={line.line}"
            if is_in_another_unit(order, item, line):
                docket.fire("M3-04", header.site, key, cents(0), header.invoice_date)
            if order.match_basis == "ers" and header.source != "ERS":
                docket.fire("M3-15", header.site, key, cents(line.amount), header.invoice_date)

    # ------------------------------------------------------------------------------------------------- M3-10, M3-13

    @staticmethod
    def _header_of(
        versions: Versions[Invoice],
        lines: list[InvoiceLine],
        closures: list[tuple[date, SupplierClosure]],
        as_of: date,
        docket: Docket,
    ) -> None:
        invoice = versions.at(as_of)
        if invoice is None or invoice.is_cancelled:
            return
        key = f"system={invoice.erp}|supplier={invoice.supplier_no}|invoice={invoice.number}"
        total = sum((line.amount for line in lines if not line.is_cancelled), Decimal(0))
        difference = invoice.amount - total
        if is_beyond("invoice_header", difference, invoice.amount):
            docket.fire("M3-10", invoice.site, key, cents(difference), invoice.invoice_date)
        elif difference:
            docket.spare("M3-10", invoice.site, key, invoice.invoice_date, "within tolerance")
        known = [closure for day, closure in closures if day <= as_of]
        if any(closure.inactive_from <= invoice.invoice_date for closure in known):
            docket.fire("M3-13", invoice.site, key, cents(invoice.amount), invoice.invoice_date)
        elif known:
            docket.spare("M3-13", invoice.site, key, invoice.invoice_date, "dated before the supplier was closed")
