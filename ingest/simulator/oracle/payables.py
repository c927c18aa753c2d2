"""Orders, receipts and invoices against each other: M3-01, M3-02, M3-05, M3-06, M3-07.

Here: cumulative quantities of order lines as known, receipt layers, price variances, duplicate invoices.
Not here: contract prices (orders), the accrual account (ledger).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Invoice, InvoiceLine, Item, PoLine, ReceiptLine
from ingest.simulator.oracle.contract_prices import ordered_each
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents, is_beyond, limit
from ingest.simulator.oracle.view import Versions, View

SETTLED = timedelta(days=5)
ZERO = Fraction(0)
TWO_PERCENT = Fraction(1, 50)
AFFIXES = ("CR", "INV", "DUP")


@dataclass(slots=True)
class OrderHistory:
    """One order line with its receipts and invoice lines, every version of them."""

    order: Versions[PoLine] = field(default_factory=Versions)
    receipts: dict[str, Versions[ReceiptLine]] = field(default_factory=dict)
    invoiced: dict[tuple[str, int], Versions[InvoiceLine]] = field(default_factory=dict)

    def received(self, as_of: date) -> list[ReceiptLine]:
        """Receiving rows that count, oldest first."""
        rows = [row for row in (versions.at(as_of) for versions in self.receipts.values()) if row is not None]
        return sorted((row for row in rows if row.is_released), key=lambda row: (row.receipt_date, row.receipt_key))


@dataclass(frozen=True, slots=True)
class Billed:
    """An invoice line that counts, with its header."""

    line: InvoiceLine
    header: Invoice


class PayableRules:
    """The match rules over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        known_on = view.deliveries.known_on
        self.histories: dict[tuple[str, str, int], OrderHistory] = defaultdict(OrderHistory)
        for order in view.world.po_lines:
            self.histories[order.erp, order.po_key, order.line].order.add(known_on(order.erp, order.known_at), order)
        for receipt in view.world.receipts:
            history = self.histories[receipt.erp, receipt.po_key, receipt.line]
            known = known_on(receipt.erp, receipt.known_at)
            history.receipts.setdefault(receipt.receipt_key, Versions()).add(known, receipt)
        self.headers: dict[tuple[str, str], Versions[Invoice]] = {}
        for invoice in view.world.invoices:
            known = known_on(invoice.erp, invoice.known_at)
            self.headers.setdefault((invoice.erp, invoice.invoice_key), Versions()).add(known, invoice)
        for line in view.world.invoice_lines:
            if line.line_type == "item" and line.po_key is not None and line.po_line is not None:
                history = self.histories[line.erp, line.po_key, line.po_line]
                known = known_on(line.erp, line.known_at)
                history.invoiced.setdefault((line.invoice_key, line.line), Versions()).add(known, line)
        self._age = timedelta(days=int(limit("grni_exception_days")))

    def judge(self) -> None:
        """Follow all five rules to the end of the world."""
        for history in self.histories.values():
            dates = set(history.order.dates())
            for receipts in history.receipts.values():
                dates.update(receipts.dates())
                dates.update(row.receipt_date + self._age for _, row in receipts.rows)
            for (invoice_key, _), lines in history.invoiced.items():
                dates.update(lines.dates())
                for _, line in lines.rows:
                    header = self.headers[line.erp, invoice_key]
                    dates.update(header.dates())
                    dates.update(row.invoice_date + SETTLED for _, row in header.rows)
            self._book.follow(dates, partial(self._match, history))
        self._judge_duplicates()

    def billed(self, history: OrderHistory, as_of: date) -> list[Billed]:
        """Invoice lines of an order line that count, oldest first."""
        found = []
        for (invoice_key, _), versions in history.invoiced.items():
            line = versions.at(as_of)
            if line is None or line.is_cancelled:
                continue
            header = self.headers[line.erp, invoice_key].at(as_of)
            if header is not None and not header.is_cancelled:
                found.append(Billed(line, header))
        return sorted(found, key=lambda bill: (bill.header.invoice_date, bill.header.created_at, bill.header.number))

    # ------------------------------------------------------------------------------------- M3-01, 02, 05, 06 by line

    def _match(self, history: OrderHistory, as_of: date, docket: Docket) -> None:
        order = history.order.at(as_of)
        if order is None:
            return
        item = self._view.identity.item(self._view.identity.golden(order.erp, order.erp_item_no))
        bills = self.billed(history, as_of)
        receipts = history.received(as_of)
        price = Fraction(order.unit_price) / Fraction(order.each_per_uom)
        for bill in bills:
            if order.match_basis == "3way":
                self._price_of(order, item, bill, price, docket)
        invoiced = sum((Fraction(bill.line.quantity_each) for bill in bills), ZERO)
        received = sum((Fraction(row.quantity_each) for row in receipts), ZERO)
        has_receipt = any(row.quantity_each > 0 for row in receipts)
        key = f"po={order.po_key}|line={order.line}"
        if order.match_basis == "3way" and bills:
            if has_receipt:
                self._quantity_of(order, item, key, bills, invoiced - received, received, price, as_of, docket)
            else:
                self._not_received(order, key, bills, invoiced, as_of, docket)
        self._not_billed(order, key, receipts, invoiced, received, price, as_of, docket)

    def _price_of(self, order: PoLine, item: Item | None, bill: Billed, price: Fraction, docket: Docket) -> None:
        line, header = bill.line, bill.header
        key = f"system={header.erp}|supplier={header.supplier_no}|invoice={header.number}|line={line.line}"
        quantity = Fraction(line.quantity_each)
        variance = (Fraction(line.unit_price) / Fraction(line.each_per_uom) - price) * quantity
        if variance == 0:
            if line.uom != order.uom:
                docket.spare("M3-01", header.site, key, header.invoice_date, "price UoM explains it")
        elif not is_beyond("price_po", variance, price * quantity):
            docket.spare("M3-01", header.site, key, header.invoice_date, "within tolerance")
        elif is_in_another_unit(order, item, line):
            docket.spare("M3-01", header.site, key, header.invoice_date, "price UoM explains it")
        else:
            docket.fire("M3-01", header.site, key, cents(variance), header.invoice_date)

    def _quantity_of(
        self,
        order: PoLine,
        item: Item | None,
        key: str,
        bills: list[Billed],
        excess: Fraction,
        received: Fraction,
        price: Fraction,
        as_of: date,
        docket: Docket,
    ) -> None:
        latest = max(bill.header.invoice_date for bill in bills)
        if as_of < latest + SETTLED or excess <= 0:
            return
        is_implant = item is not None and item.item_class == "IMPLANT"
        if is_beyond("qty_implant" if is_implant else "qty_match", excess, received):
            docket.fire("M3-02", order.site, key, cents(excess * price), latest)
        else:
            docket.spare("M3-02", order.site, key, latest, "within tolerance")

    @staticmethod
    def _not_received(
        order: PoLine, key: str, bills: list[Billed], invoiced: Fraction, as_of: date, docket: Docket
    ) -> None:
        first = min(bill.header.invoice_date for bill in bills)
        if as_of < first + SETTLED:
            docket.spare_for_now("M3-06", order.site, key, first, "receipt followed in time")
        elif invoiced > 0:
            amount = sum((bill.line.amount for bill in bills), Decimal(0))
            docket.fire("M3-06", order.site, key, cents(amount), first)
        else:
            docket.spare("M3-06", order.site, key, first, "credited in full")

    def _not_billed(
        self,
        order: PoLine,
        key: str,
        receipts: list[ReceiptLine],
        invoiced: Fraction,
        received: Fraction,
        price: Fraction,
        as_of: date,
        docket: Docket,
    ) -> None:
        if not receipts or as_of < receipts[0].receipt_date + self._age:
            return
        if order.match_basis == "2way":
            return
        day = receipts[0].receipt_date
        unbilled = received - invoiced
        if unbilled <= 0:
            if any(row.kind == "return" for row in receipts):
                docket.spare("M3-05", order.site, key, day, "receipt later returned")
            return
        if order.match_basis == "ers":
            docket.spare("M3-05", order.site, key, day, "evaluated receipt")
        elif price == 0:
            docket.spare("M3-05", order.site, key, day, "zero-price line")
        elif all(row.is_consigned for row in receipts):
            docket.spare("M3-05", order.site, key, day, "consigned")
        else:
            oldest = _oldest_unbilled(receipts, invoiced)
            if as_of >= oldest + self._age:
                docket.fire("M3-05", order.site, key, cents(unbilled * price), oldest)
            else:
                docket.spare("M3-05", order.site, key, oldest, "oldest unbilled receipt is younger")

    # -------------------------------------------------------------------------------------------------------- M3-07

    def _judge_duplicates(self) -> None:
        groups: dict[tuple[str, Decimal], list[Versions[Invoice]]] = defaultdict(list)
        for versions in self.headers.values():
            last = versions.rows[-1][1]
            groups[self._family(last.supplier_id), abs(last.amount)].append(versions)
        for members in groups.values():
            if len(members) > 1:
                dates = {day for versions in members for day in versions.dates()}
                self._book.follow(dates, partial(self._duplicates_of, members))

    def _family(self, supplier_id: str) -> str:
        supplier = self._view.world.suppliers.get(supplier_id)
        return (supplier.parent_supplier_id if supplier else None) or supplier_id

    def _duplicates_of(self, members: list[Versions[Invoice]], as_of: date, docket: Docket) -> None:
        known = [invoice for invoice in (versions.at(as_of) for versions in members) if invoice is not None]
        ordered = sorted(known, key=_entry_order)
        credits = [invoice for invoice in ordered if invoice.amount < 0 and not invoice.is_cancelled]
        window = int(limit("duplicate_invoice_window_days"))
        for place, later in enumerate(ordered):
            key = f"system={later.erp}|supplier={later.supplier_no}|invoice={later.number}"
            others = [earlier for earlier in ordered[:place] if not is_in_both_erps(earlier, later)]
            reasons = [(_difference(earlier, later, window), earlier) for earlier in others]
            alike = [earlier for reason, earlier in reasons if reason is None]
            if not alike:
                if any(reason for reason, _ in reasons):
                    reason = max(str(reason) for reason, _ in reasons)
                    docket.spare("M3-07", later.site, key, later.invoice_date, reason)
                continue
            since = min(earlier.invoice_date for earlier in alike)
            taken_back = sum(
                later.amount > 0 and since <= credit.invoice_date <= later.invoice_date for credit in credits
            )
            if taken_back >= len(alike):
                docket.spare("M3-07", later.site, key, later.invoice_date, "invoice, full credit and rebill")
            else:
                docket.fire("M3-07", later.site, key, cents(later.amount), later.invoice_date)


def is_in_another_unit(order: PoLine, item: Item | None, line: InvoiceLine) -> bool:
    """M3-04: another unit, prices a factor of the item's packages apart, the same money; it explains M3-01, too."""
    if line.uom == order.uom or not line.unit_price or not order.unit_price:
        return False
    factors = {Fraction(order.each_per_uom), Fraction(line.each_per_uom)}
    if item is not None:
        factors |= {Fraction(package.each) for package in item.packages}
    factors.discard(Fraction(1))
    ratio = Fraction(line.unit_price) / Fraction(order.unit_price)
    is_factor = any(
        abs(ratio * factor - 1) <= TWO_PERCENT or abs(ratio / factor - 1) <= TWO_PERCENT for factor in factors
    )
    amount = Fraction(line.amount)
    extended = (Fraction(line.quantity_each) * ordered_each(order), Fraction(order.amount))
    return is_factor and any(abs(amount - other) <= TWO_PERCENT * abs(other) for other in extended)


def is_in_both_erps(earlier: Invoice, later: Invoice) -> bool:
    """Whether two standing invoices are one that a facility has in both ERPs: MIG-01 takes the pair."""
    if earlier.erp == later.erp or earlier.site != later.site or earlier.supplier_id != later.supplier_id:
        return False
    stand = not earlier.is_cancelled and not later.is_cancelled
    return stand and earlier.amount == later.amount and is_same_number(earlier, later)


def _difference(earlier: Invoice, later: Invoice, window: int) -> str | None:
    """Why the later invoice is no duplicate of the earlier one; None when it is, empty when nothing is alike."""
    near = abs((later.invoice_date - earlier.invoice_date).days) <= window
    similar = is_similar_number(earlier, later)
    if not is_same_number(earlier, later) and not (near and similar):
        return "a week or more apart" if similar else "another number" if near else ""
    if later.is_cancelled or earlier.is_cancelled:
        return "cancelled or voided"
    return None if later.amount == earlier.amount else "credit memo of equal absolute amount"


def _oldest_unbilled(receipts: list[ReceiptLine], invoiced: Fraction) -> date:
    """Date of the oldest receipt layer that invoices have not used up, first in, first out.

    A correction or return takes from the receipt it names, else from the latest layers.
    """
    layers: list[tuple[ReceiptLine, list[Fraction]]] = [
        (row, [Fraction(row.quantity_each)]) for row in receipts if row.quantity_each > 0
    ]
    for row in receipts:
        back = -Fraction(row.quantity_each)
        if back <= 0:
            continue
        named = [layer for layer in layers if layer[0].receipt_key == row.parent_key]
        for _, left in (*named, *reversed(layers)):
            part = min(back, left[0])
            left[0] -= part
            back -= part
    for row, left in layers:
        used = min(max(invoiced, ZERO), left[0])
        left[0] -= used
        invoiced -= used
        if left[0] > 0:
            return row.receipt_date
    return receipts[-1].receipt_date


def _entry_order(invoice: Invoice) -> tuple[object, ...]:
    return (invoice.invoice_date, invoice.created_at, invoice.erp, invoice.invoice_key)


def sent_number(invoice: Invoice) -> str:
    """The supplier's number, without the suffix that the legacy ERP adds."""
    return invoice.document_no or invoice.number


def number_key(number: str) -> str:
    """Invoice number without punctuation and leading zeros; O and I, L are digits where most characters are digits."""
    plain = "".join(sign for sign in number.upper() if sign.isalnum())
    if 2 * sum(sign.isdigit() for sign in plain) > len(plain):
        plain = plain.replace("O", "0").replace("I", "1").replace("L", "1")
    return plain.lstrip("0")


def stems(number: str) -> set[str]:
    """Keys of an invoice number with and without one trailing revision letter or affix."""
    plain = "".join(sign for sign in number.upper() if sign.isalnum())
    found = {number_key(plain)}
    for affix in AFFIXES:
        if plain.endswith(affix) and len(plain) > len(affix):
            found.add(number_key(plain.removesuffix(affix)))
    if len(plain) > 1 and plain[-1].isalpha() and plain[-2].isdigit():
        found.add(number_key(plain[:-1]))
    return found


def is_same_number(first: Invoice, second: Invoice) -> bool:
    """Equal after normalisation."""
    return number_key(sent_number(first)) == number_key(sent_number(second))


def is_similar_number(first: Invoice, second: Invoice) -> bool:
    """Equal but for one trailing revision letter."""
    return bool(stems(sent_number(first)) & stems(sent_number(second)))
