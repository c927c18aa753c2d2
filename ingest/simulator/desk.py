"""What the parts of purchasing share: the world, the calendar of things to do, number series, the record of events.

Here: `Desk`, its agenda, document numbers, and how documents become events and postings of the world.
Not here: decisions (ordering, fulfilment), money (receiving, payables), rows (legacy, cloud).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from ingest.simulator.contracting import ContractBook
from ingest.simulator.documents import (
    ZERO,
    Answer,
    Hold,
    InvoiceDocument,
    Order,
    OrderLine,
    PaymentDocument,
    Receipt,
    Requisition,
)
from ingest.simulator.events import (
    Invoice,
    InvoiceLine,
    Payment,
    PoLine,
    Posting,
    ReceiptLine,
    RequisitionState,
    Site,
    Supplier,
    World,
)

if TYPE_CHECKING:
    from ingest.simulator.chance import Chance
    from ingest.simulator.delivery import Outbox
    from ingest.simulator.plan import DefectPlan
    from ingest.simulator.stock import Stock

CHICAGO = ZoneInfo("America/Chicago")


def at(day: date, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """A moment of the business day, America/Chicago."""
    return datetime.combine(day, time(hour, minute, second), CHICAGO)


class ErpWriter(Protocol):
    """Turns documents into the rows of one ERP."""

    def requisition(self, requisition: Requisition, at: datetime) -> None:
        """Show a requisition with its lines."""

    def order(self, order: Order, at: datetime) -> None:
        """Show an order header as it stands."""

    def order_line(self, line: OrderLine, at: datetime) -> None:
        """Show an order line as it stands."""

    def receipt(self, receipt: Receipt, at: datetime) -> None:
        """Show a receiving row."""

    def deliver(self, receipt: Receipt, at: datetime) -> None:
        """Show that a received row was put away."""

    def invoice(self, invoice: InvoiceDocument, at: datetime) -> None:
        """Show an invoice with lines and distributions as it stands."""

    def hold(self, hold: Hold, at: datetime) -> None:
        """Show a hold as it stands."""

    def payment(self, payment: PaymentDocument, at: datetime) -> None:
        """Show a payment and the paid invoice."""


@dataclass(slots=True)
class Series:
    """Running document numbers by name."""

    numbers: dict[tuple[object, ...], int]

    def next(self, *name: object, first: int = 1) -> int:
        """The next number of a series."""
        number = self.numbers.get(name, first - 1) + 1
        self.numbers[name] = number
        return number


class Desk:
    """The shared desk of purchasing."""

    def __init__(self, world: World, stock: Stock, outbox: Outbox, plan: DefectPlan, chance: Chance) -> None:
        self.world = world
        self.stock = stock
        self.outbox = outbox
        self.plan = plan
        self.chance = chance
        self.book = ContractBook(world.contract_lines)
        self.series = Series({})
        self.writers: dict[str, Any] = {}
        self.today = world.start
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._sequence = 0
        self.invoice_counters: dict[str, int] = {}
        self.due: dict[date, list[InvoiceDocument]] = defaultdict(list)
        self.on_order: list[Callable[[Order, datetime], None]] = []
        self.on_receipt: list[Callable[[Receipt], None]] = []
        self.on_invoice: list[Callable[[InvoiceDocument], None]] = []
        self.on_loss: list[Callable[[OrderLine, Decimal, date], None]] = []
        self.on_answer: list[Callable[[OrderLine, Answer, datetime], None]] = []

    # -------------------------------------------------------------------------------------------------------- agenda

    def schedule(self, moment: datetime, action: Callable[[], None]) -> None:
        """Do something at a later moment."""
        self._sequence += 1
        heapq.heappush(self._agenda, (moment, self._sequence, action))

    def run_agenda(self, until: datetime) -> None:
        """Do what is due, in order of moments."""
        while self._agenda and self._agenda[0][0] <= until:
            _, _, action = heapq.heappop(self._agenda)
            action()

    def writer(self, site: Site) -> ErpWriter:
        """The writer of the site's ERP."""
        writer: ErpWriter = self.writers[site.erp]
        return writer

    # ------------------------------------------------------------------------------------------------------- numbers

    def supplier_number(self, supplier: Supplier, erp: str) -> str:
        """Number of a supplier in an ERP, trimmed."""
        return ((supplier.lawson_no if erp == "erp_lawson" else supplier.cloud_no) or "").strip()

    def serves(self, supplier: Supplier, site: Site) -> bool:
        """Whether the supplier has a number in the site's ERP."""
        return bool(self.supplier_number(supplier, site.erp))

    def invoice_number(self, supplier: Supplier) -> str:
        """The supplier's next invoice number in its own form; no two of a supplier look alike."""
        style = self.chance.stream("invoice numbers", supplier.supplier_id)
        prefix = style.pick(("", "", "", "INV", "SI", "F-"))
        base = style.integer(200, 899) * 100000
        count = self.invoice_counters.get(supplier.supplier_id, base)
        count += self.chance.stream("invoice step", supplier.supplier_id, count).integer(3, 89)
        self.invoice_counters[supplier.supplier_id] = count
        return f"{prefix}{count}"

    # -------------------------------------------------------------------------------------------------------- record

    def record_order_line(self, line: OrderLine, known_at: datetime) -> None:
        """Append the line as it stands to the world and show it."""
        order = line.order
        item = line.item
        erp_item_no = None
        if item is not None:
            erp_item_no = item.legacy_no if order.site.erp == "erp_lawson" else item.cloud_no
        self.world.po_lines.append(
            PoLine(
                erp=order.site.erp,
                site=order.site.code,
                po_key=order.po_key,
                line=line.line,
                po_type=order.po_type,
                match_basis=order.match_basis,
                supplier_id=order.supplier.supplier_id,
                supplier_no=order.supplier_no,
                item_key=item.key if item is not None and erp_item_no else None,
                erp_item_no=erp_item_no,
                order_date=order.order_date,
                quantity=line.quantity,
                uom=line.uom,
                each_per_uom=line.each_per_uom,
                unit_price=line.unit_price,
                ordered_each=line.quantity * line.each_per_uom,
                amount=line.amount,
                contract_number=line.contract_number,
                vendor_catalogue_number=line.vendor_catalogue_number,
                case_typed=line.case_parsed,
                true_log_id=line.true_log_id,
                lot=line.lot,
                serial=line.serial,
                is_cancelled=line.cancelled >= line.quantity,
                cancelled_each=line.cancelled * line.each_per_uom,
                destination_location_id=line.destination.location_id if line.destination else None,
                is_on_hold=False,
                known_at=known_at,
                promised_on=line.promised_on,
                ends_on=order.end_date,
            )
        )

    def show_requisition(self, requisition: Requisition, moment: datetime) -> None:
        """Show a requisition as it stands and append its lines for stock locations to the world."""
        self.writer(requisition.site).requisition(requisition, moment)
        for line in requisition.lines:
            if line.destination is None or line.item is None:
                continue
            self.world.requisitions.append(
                RequisitionState(
                    erp=requisition.site.erp,
                    site=requisition.site.code,
                    number=requisition.number,
                    line=line.line,
                    location_id=line.destination.location_id,
                    item_key=line.item.key,
                    is_placed=line.is_placed,
                    known_at=moment,
                )
            )

    def show_line(self, line: OrderLine, moment: datetime) -> None:
        """Show a line after its totals moved; close it, and its order, when nothing is open on it any more."""
        order = line.order
        if not order.is_on_file:
            return
        if order.po_type != "service":
            closed = line.open_quantity <= ZERO and line.invoiced >= line.received
            if closed != line.is_closed:
                line.is_closed, line.closed_at = closed, moment if closed else None
        self.writer(order.site).order_line(line, moment)
        closed = all(other.is_closed for other in order.lines)
        if closed != order.is_closed:
            order.is_closed, order.closed_at = closed, moment if closed else None
            self.writer(order.site).order(order, moment)

    def cancel_line(self, line: OrderLine, moment: datetime) -> None:
        """Cancel what has not arrived of a line."""
        open_quantity = line.open_quantity
        line.cancelled += open_quantity
        line.cancelled_at = moment
        if line.destination is not None and line.item is not None and line.expense_role is None:
            self.stock.cancel_order(line.destination.location_id, line.item.key, open_quantity * line.each_per_uom)
        self.record_order_line(line, moment)
        self.show_line(line, moment)

    def tell_lost(self, line: OrderLine, quantity: Decimal, expected_on: date) -> None:
        """Let it be known that a quantity of a line was shipped, to be there on a day, and never arrives."""
        for hear in self.on_loss:
            hear(line, quantity, expected_on)

    def tell_answer(self, line: OrderLine, answer: Answer, moment: datetime) -> None:
        """Let it be known that the supplier will speak of a line once more."""
        for hear in self.on_answer:
            hear(line, answer, moment)

    def promise(self, line: OrderLine, day: date, moment: datetime) -> None:
        """Write down a new day for what is still to come of a line."""
        line.promised_on = day
        self.record_order_line(line, moment)
        self.show_line(line, moment)

    def record_receipt(self, receipt: Receipt, known_at: datetime) -> None:
        """Append a receiving row as it stands."""
        line = receipt.order_line
        for hear in self.on_receipt if line.order.is_on_file else ():
            hear(receipt)
        self.world.receipts.append(
            ReceiptLine(
                erp=line.order.site.erp,
                site=line.order.site.code,
                receipt_key=receipt.receipt_key,
                po_key=line.order.po_key,
                line=line.line,
                kind=receipt.kind,
                quantity_each=receipt.quantity * line.each_per_uom,
                amount=receipt.amount,
                receipt_date=receipt.receipt_date,
                posting_date=receipt.posting_date,
                is_released=receipt.is_released,
                is_automatic=receipt.is_automatic,
                known_at=known_at,
                parent_key=receipt.corrects.receipt_key if receipt.corrects is not None else None,
                shipment_id=receipt.shipment_id,
                is_consigned=line.is_consigned,
            )
        )

    def record_invoice(self, invoice: InvoiceDocument, known_at: datetime) -> None:
        """Append an invoice and its lines as they stand."""
        for hear in self.on_invoice:
            hear(invoice)
        erp = invoice.site.erp
        self.world.invoices.append(
            Invoice(
                erp=erp,
                site=invoice.site.code,
                invoice_key=invoice.events_key,
                supplier_id=invoice.supplier.supplier_id,
                supplier_no=invoice.supplier_no,
                number=invoice.entity_number,
                kind=invoice.kind,
                invoice_date=invoice.invoice_date,
                posting_date=invoice.posting_date,
                created_at=invoice.entered_at,
                amount=invoice.amount,
                is_cancelled=invoice.is_cancelled,
                source=invoice.source,
                known_at=known_at,
                document_no=invoice.number,
                po_key=invoice.order.po_key if invoice.order is not None else invoice.order_stated,
            )
        )
        if erp == "erp_lawson" and invoice.cancel_seq:
            return  # match details of cancelled versions are not delivered
        for billed in invoice.lines:
            if billed.line_type == "tolerance":
                continue
            line = billed.order_line
            self.world.invoice_lines.append(
                InvoiceLine(
                    erp=erp,
                    site=invoice.site.code,
                    invoice_key=invoice.events_key,
                    line=billed.line,
                    line_type=billed.line_type,
                    po_key=line.order.po_key if line else None,
                    po_line=line.line if line else None,
                    quantity=billed.quantity,
                    uom=billed.uom,
                    each_per_uom=billed.each_per_uom,
                    unit_price=billed.unit_price,
                    quantity_each=billed.quantity * billed.each_per_uom,
                    amount=billed.amount,
                    is_cancelled=billed.is_discarded or invoice.is_cancelled,
                    known_at=known_at,
                )
            )

    def record_payment(self, payment: PaymentDocument) -> None:
        """Append a payment."""
        invoice = payment.invoice
        self.world.payments.append(
            Payment(
                erp=invoice.site.erp,
                site=invoice.site.code,
                payment_key=f"{invoice.events_key}/{payment.sequence}",
                invoice_key=invoice.events_key,
                paid=payment.paid,
                discount=payment.discount,
                payment_date=payment.payment_date,
                known_at=payment.at,
            )
        )

    def post(
        self,
        site: Site,
        event: str,
        posting_date: date,
        debit: tuple[str, str],
        credit: tuple[str, str],
        amount: Decimal,
        subledger: str,
        subledger_key: str,
        known_at: datetime,
        counterparty: str | None = None,
    ) -> None:
        """Append one posting; accounts are pairs of role and department. Nothing is posted for zero."""
        if amount == ZERO:
            return
        legacy = site.erp == "erp_lawson"
        system, category = SOURCES[event][0 if legacy else 1], SOURCES[event][2]
        self.world.postings.append(
            Posting(
                erp=site.erp,
                site=site.code,
                event=event,
                system=system,
                category=category,
                posting_date=posting_date,
                debit_role=debit[0],
                debit_department=debit[1],
                credit_role=credit[0],
                credit_department=credit[1],
                amount=amount,
                subledger=subledger,
                subledger_key=subledger_key,
                known_at=known_at,
                counterparty=counterparty,
            )
        )


# Event -> legacy system, cloud source, category (landscape 7.3, 7.4).
SOURCES: dict[str, tuple[str, str, str]] = {
    "E01": ("PO", "RA", "Receiving"),
    "E02": ("PO", "RA", "Receiving"),
    "E03": ("PO", "RA", "Receiving"),
    "E07": ("PO", "RA", "Receiving"),
    "E04": ("AP", "PAY", "Purchase Invoices"),
    "E05": ("AP", "PAY", "Purchase Invoices"),
    "E05a": ("AP", "PAY", "Purchase Invoices"),
    "E05b": ("AP", "PAY", "Purchase Invoices"),
    "E05c": ("AP", "PAY", "Purchase Invoices"),
    "E06": ("AP", "PAY", "Purchase Invoices"),
    "E07a": ("AP", "PAY", "Purchase Invoices"),
    "E08": ("AP", "PAY", "Payments"),
    "E09 again": ("IC", "CA", "Inventory"),
    "E22": ("CV", "CV", "Inventory"),
    "E22 receivables": ("CV", "CV", "Charges"),
    "E22a": ("CV", "CV", "Intercompany"),
    "E23": ("PO", "CV", "Inventory"),
    "E20": ("GL", "MAN", "Accrual"),
    "E20r": ("GL", "MAN", "Accrual"),
}


def vendor_text(number: str) -> str:
    """Legacy VENDOR, right-justified to 9."""
    return number.strip().rjust(9)


def po_text(number: str) -> str:
    """Legacy PO_NUMBER, right-justified to 14."""
    return number.strip().rjust(14)
