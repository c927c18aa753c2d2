"""Invoices, credit memos, holds and payments.

Here: how an invoice is entered against order lines and distributed, what clears the accrual, when it is paid.
Not here: when and with which price it arrives (fulfilment), receipts (receiving), the rows (legacy, cloud).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from ingest.simulator.accounts import add_business_days, closes_on, is_business_day, month_end
from ingest.simulator.desk import Desk, at
from ingest.simulator.documents import (
    CENT,
    ZERO,
    BilledLine,
    Distribution,
    Hold,
    InvoiceDocument,
    Order,
    OrderLine,
    PaymentDocument,
    Receipt,
    cents,
)
from ingest.simulator.events import Site, Supplier

NO_DEPARTMENT = "0000"
SUPPLY_CHAIN = "8020"
PAYMENT_WEEKDAYS = (1, 3)
ROUNDING_LEFT = Decimal("0.05")  # a completed line keeps at most this much in the accrual
KINDS = {"freight": "FREIGHT", "tax": "TAX", "tolerance": "TOL"}
EVENTS = {"ITEM": "E04", "IPV": "E05a", "FREIGHT": "E05b", "TAX": "E05b", "TOL": "E05c"}
ROLES = {"freight": "FREIGHT", "tax": "TAX", "tolerance": "TOLERANCE"}


@dataclass(frozen=True, slots=True)
class Bill:
    """What is billed for one order line, in the invoice's own unit."""

    order_line: OrderLine
    quantity: Decimal  # signed
    unit_price: Decimal
    uom: str
    each_per_uom: Decimal
    receipt: Receipt | None = None
    is_discarded: bool = False
    amount: Decimal | None = None  # of a bill of an amount alone; quantity and price are zero then

    @property
    def order_quantity(self) -> Decimal:
        """Quantity in the order's unit."""
        return self.quantity * self.each_per_uom / self.order_line.each_per_uom


@dataclass(frozen=True, slots=True)
class Expense:
    """What is billed without an order."""

    amount: Decimal
    role: str
    department: str
    line_type: str = "item"


def as_ordered(line: OrderLine, quantity: Decimal, receipt: Receipt | None = None) -> Bill:
    """A bill in the order's unit at the order's price."""
    return Bill(line, quantity, line.unit_price, line.uom, line.each_per_uom, receipt)


class Payables:
    """Accounts payable of all sites."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    # ------------------------------------------------------------------------------------------------------ invoices

    def enter(
        self,
        site: Site,
        supplier: Supplier,
        order: Order | None,
        bills: Sequence[Bill],
        invoice_date: date,
        moment: datetime,
        *,
        kind: str = "invoice",
        number: str | None = None,
        suffix: int = 0,
        source: str | None = None,
        freight: Decimal = ZERO,
        tax: Decimal = ZERO,
        header_difference: Decimal = ZERO,
        expenses: Sequence[Expense] = (),
        cancelled: bool = False,
        cancel_seq: int = 0,
        order_stated: str | None = None,
        mark: str = "",
    ) -> InvoiceDocument:
        """Enter one invoice, distribute and post it.

        A cancelled one was entered and cancelled on the same day: it stays on file and is never posted.
        """
        desk = self.desk
        legacy = site.erp == "erp_lawson"
        supplier_no = order.supplier_no if order is not None else desk.supplier_number(supplier, site.erp)
        stream = desk.chance.stream("invoice", supplier.supplier_id, site.code, invoice_date, moment)
        invoice = InvoiceDocument(
            site=site,
            supplier=supplier,
            supplier_no=supplier_no,
            number=number or desk.invoice_number(supplier),
            suffix=suffix,
            kind=kind,
            order=order,
            invoice_date=invoice_date,
            due_date=invoice_date + timedelta(days=supplier.terms_days),
            posting_date=self._accounting_date(site, invoice_date, moment),
            entered_at=moment,
            source=source or stream.weighted((("EDI", 0.8), ("OCR", 0.12), ("MAN", 0.08))),
            amount=ZERO,
            cancel_seq=cancel_seq or (1 if cancelled and legacy else 0),
            is_cancelled=cancelled,
            order_stated=order_stated,
            mark=mark,
        )
        invoice.cloud_id = desk.series.next("invoice", first=300000400000001)
        invoice.events_key = (
            f"{site.company}-{supplier_no}-{invoice.number}-{suffix}-{invoice.cancel_seq}"
            if legacy
            else str(invoice.cloud_id)
        )
        self._add_lines(invoice, bills, expenses, freight, tax, header_difference)
        self._distribute(invoice)
        if not cancelled:
            self._post(invoice)
            for billed in invoice.lines:
                if billed.order_line is not None:
                    desk.show_line(billed.order_line, moment)
        desk.record_invoice(invoice, moment)
        desk.writer(site).invoice(invoice, moment)
        if not cancelled:
            self._plan_payment(invoice)
        return invoice

    def _accounting_date(self, site: Site, invoice_date: date, moment: datetime) -> date:
        """Day of entry; the last day of the invoice's month while payables still has that open (landscape 7.4)."""
        entered, last = moment.date(), month_end(invoice_date)
        if entered <= last:
            return entered
        landed = self.desk.outbox.folder_of(site.erp, "APINVOICE", moment)
        if landed > closes_on(last, "AP", site.erp == "erp_lawson"):
            return entered
        if self.desk.plan.wants("GL-07", True, site.code, entered, f"invoice {site.erp}"):
            return entered
        return last

    def _add_lines(
        self,
        invoice: InvoiceDocument,
        bills: Sequence[Bill],
        expenses: Sequence[Expense],
        freight: Decimal,
        tax: Decimal,
        header_difference: Decimal,
    ) -> None:
        legacy = invoice.site.erp == "erp_lawson"
        for place, bill in enumerate(bills, start=1):
            line = bill.order_line
            amount = cents(bill.quantity * bill.unit_price) if bill.amount is None else bill.amount
            accrual = ZERO if bill.is_discarded or invoice.is_cancelled else self._accrual(bill)
            matched = line.order.match_basis != "2way"
            invoice.lines.append(
                BilledLine(
                    line=line.line if legacy else place,
                    line_type="item",
                    order_line=line,
                    quantity=bill.quantity,
                    uom=bill.uom,
                    each_per_uom=bill.each_per_uom,
                    unit_price=bill.unit_price,
                    amount=amount,
                    accrual_amount=accrual,
                    role="PPV" if matched else "PURCH_SERVICE",
                    department=SUPPLY_CHAIN if matched else line.department,
                    receipt=bill.receipt,
                    is_discarded=bill.is_discarded,
                )
            )
        extras = [*expenses]
        extras += [Expense(freight, "FREIGHT", SUPPLY_CHAIN, "freight")] if freight else []
        extras += [Expense(tax, "TAX", SUPPLY_CHAIN, "tax")] if tax else []
        extras += [Expense(header_difference, "TOLERANCE", SUPPLY_CHAIN, "tolerance")] if header_difference else []
        # A cent is a line of its own in the cloud; a larger difference is distributed with the first line.
        is_hidden = abs(header_difference) > CENT
        for place, expense in enumerate(extras, start=len(bills) + 1):
            invoice.lines.append(
                BilledLine(
                    line=0 if legacy else 1 if is_hidden and expense.line_type == "tolerance" else place,
                    line_type=expense.line_type,
                    order_line=None,
                    quantity=ZERO,
                    uom=None,
                    each_per_uom=Decimal(1),
                    unit_price=ZERO,
                    amount=expense.amount,
                    accrual_amount=ZERO,
                    role=expense.role,
                    department=expense.department,
                    is_shown=not (is_hidden and expense.line_type == "tolerance"),
                )
            )
        invoice.amount = sum((line.amount for line in invoice.lines if not line.is_discarded), ZERO)

    def _accrual(self, bill: Bill) -> Decimal:
        """What the bill clears of the accrual: quantity at order price, all that is left when it completes the line."""
        line = bill.order_line
        quantity = bill.order_quantity
        line.invoiced += quantity
        if line.order.match_basis == "2way":
            return ZERO
        amount = cents(quantity * line.unit_price)
        complete = line.invoiced == line.received == line.quantity - line.cancelled
        if complete and quantity > 0 and abs(line.accrued - amount) <= ROUNDING_LEFT:
            amount = line.accrued
        line.accrued -= amount
        return amount

    def _distribute(self, invoice: InvoiceDocument) -> None:
        parts: list[tuple[BilledLine, str, str, str, Decimal]] = []
        for line in invoice.lines:
            if line.is_discarded:
                continue
            if line.order_line is not None and line.role == "PPV" and not invoice.is_cancelled:
                parts.append((line, "ACCRUAL", "GRNI", NO_DEPARTMENT, line.accrual_amount))
                parts.append((line, "IPV", "PPV", SUPPLY_CHAIN, line.amount - line.accrual_amount))
            else:
                kind = KINDS.get(line.line_type, "ITEM")
                role = "GRNI" if line.role == "PPV" else line.role
                department = NO_DEPARTMENT if role == "GRNI" else line.department
                parts.append((line, "ACCRUAL" if role == "GRNI" else kind, role, department, line.amount))
        for place, (line, kind, role, department, amount) in enumerate(
            (part for part in parts if part[4] != ZERO), start=1
        ):
            invoice.distributions.append(
                Distribution(
                    sequence=place,
                    invoice_line=line.line,
                    kind=kind,
                    role=role,
                    department=department,
                    amount=amount,
                    cloud_id=self.desk.series.next("distribution", first=300000410000001),
                )
            )

    def _post(self, invoice: InvoiceDocument) -> None:
        for part in invoice.distributions:
            if part.kind == "ACCRUAL":
                event = "E07a" if invoice.kind == "credit" else "E06" if invoice.source == "ERS" else "E05"
            else:
                event = EVENTS[part.kind]
            legacy = invoice.site.erp == "erp_lawson"
            key = f"{invoice.events_key}-{part.sequence}" if legacy else str(part.cloud_id)
            self.desk.post(
                invoice.site,
                event,
                invoice.posting_date,
                (part.role, part.department),
                ("AP_CONTROL", NO_DEPARTMENT),
                part.amount,
                "APDISTRIB" if legacy else "AP_DIST",
                key,
                invoice.entered_at,
            )

    # --------------------------------------------------------------------------------------------------------- holds

    def hold(self, invoice: InvoiceDocument, line: OrderLine | None, reason: str, moment: datetime) -> Hold:
        """Stop the payment of an invoice."""
        desk = self.desk
        sequence = desk.series.next("hold of", invoice.events_key)
        hold = Hold(invoice, line, reason, moment, sequence=sequence)
        hold.cloud_id = desk.series.next("hold", first=300000420000001)
        invoice.on_hold = True
        desk.writer(invoice.site).hold(hold, moment)
        return hold

    def release(self, hold: Hold, moment: datetime) -> None:
        """Let the invoice be paid."""
        hold.released_at = moment
        hold.invoice.on_hold = False
        self.desk.writer(hold.invoice.site).hold(hold, moment)

    # ------------------------------------------------------------------------------------------------------ payments

    def _plan_payment(self, invoice: InvoiceDocument) -> None:
        offers = self.desk.chance.stream("terms", invoice.supplier.supplier_id).flag(0.12)
        if invoice.kind == "credit":
            due = add_business_days(invoice.posting_date, 4)
        elif offers and invoice.amount > 0 and invoice.source != "ERS":
            due = max(invoice.invoice_date + timedelta(days=9), invoice.posting_date + timedelta(days=1))
            invoice.discount = cents(invoice.amount / 100)
        else:
            due = max(invoice.due_date, invoice.posting_date + timedelta(days=1))
        self._queue(invoice, due)

    def _queue(self, invoice: InvoiceDocument, due: date) -> None:
        while due.weekday() not in PAYMENT_WEEKDAYS or not is_business_day(due):
            due += timedelta(days=1)
        self.desk.due[due].append(invoice)

    def pay(self, d: date) -> None:
        """Run the payments of the day."""
        desk = self.desk
        for invoice in desk.due.pop(d, []):
            if invoice.is_cancelled or invoice.amount == ZERO:
                continue
            if invoice.on_hold:
                invoice.discount = ZERO
                self._queue(invoice, d + timedelta(days=5))
                continue
            moment = at(d, 14)
            payment = PaymentDocument(
                invoice=invoice,
                paid=invoice.amount - invoice.discount,
                discount=invoice.discount,
                payment_date=d,
                at=moment,
                sequence=1,
                check_number=f"{d:%y%m%d}{invoice.supplier_no[-5:]}",
            )
            payment.cloud_id = desk.series.next("payment", first=300000430000001)
            invoice.paid = invoice.amount
            legacy = invoice.site.erp == "erp_lawson"
            key = f"{invoice.events_key}-1" if legacy else str(payment.cloud_id)
            table = "APPAYMENT" if legacy else "AP_PAY"
            payables = ("AP_CONTROL", NO_DEPARTMENT)
            desk.post(invoice.site, "E08", d, payables, ("CASH", NO_DEPARTMENT), payment.paid, table, key, moment)
            desk.post(invoice.site, "E08", d, payables, ("PPV", SUPPLY_CHAIN), payment.discount, table, key, moment)
            desk.record_payment(payment)
            desk.writer(invoice.site).payment(payment, moment)
