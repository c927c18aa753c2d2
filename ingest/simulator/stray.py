"""Documents that land in the wrong ERP around a cut-over: MIG-01, MIG-02, MIG-04, the quirks Q116 and Q121.

Here: invoices entered in both ERPs, orders, issues, invoices and journals in the ERP that is not the record, receipts
and invoices without their order, and what only looks like it.
Not here: the cut-over itself (cutover), whether a rule fires (oracle).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial

from ingest.simulator.accounts import is_business_day, next_business_day
from ingest.simulator.chance import Stream
from ingest.simulator.desk import Desk, at
from ingest.simulator.documents import InvoiceDocument, Order, cents
from ingest.simulator.events import InventoryRow, Item, Movement, Site, Supplier
from ingest.simulator.fulfilment import entity_of_invoice
from ingest.simulator.ledger import Ledger
from ingest.simulator.ordering import EACH
from ingest.simulator.payables import Expense
from ingest.simulator.purchasing import Purchasing

LEGACY, CLOUD = "erp_lawson", "erp_fusion"
BEFORE = timedelta(days=14)
RUN_OFF = timedelta(days=120)
LEAST = Decimal(60)
SUPPLIES, STORE = "SUPPLY_EXP", "8020"
# How an invoice comes again in the other ERP: variant, quirk, number. The last one is no equal number (M3-07).
AGAIN = (
    ("same number", "Q121", "{}"),
    ("leading zeros", "Q116", "00{}"),
    ("suffix", "Q116", "{}-A"),
)


@dataclass(slots=True)
class StrayDocuments:
    """People and interfaces that have not got used to the new system."""

    purchasing: Purchasing
    ledger: Ledger
    _read: int = 0  # movements seen so far

    def __post_init__(self) -> None:
        """Listen to what payables enters."""
        self.desk.on_invoice.append(self._invoice)

    @property
    def desk(self) -> Desk:
        """The desk of purchasing."""
        return self.purchasing.desk

    def morning(self, d: date) -> None:
        """Orders, receipts, invoices and journals of a business day that go astray."""
        if not is_business_day(d):
            return
        for code, first in self.desk.world.cutovers.items():
            if first <= d < first + RUN_OFF:
                self._after(code, d)
            elif first - BEFORE <= d < first:
                self._early_order(code, d)

    def evening(self, d: date) -> None:
        """Issues of the day that both ERPs book."""
        for code, first in self.desk.world.cutovers.items():
            if first <= d < first + RUN_OFF:
                self._issue_again(code, d)
        self._read = len(self.desk.world.movements)

    def _wants(self, rule: str, key: object, d: date, variant: str) -> bool:
        return self.desk.plan.wants(rule, True, key, d, variant)

    def _after(self, code: str, d: date) -> None:
        site = self.desk.world.site_in(code, LEGACY)
        if self._wants("MIG-02", code, d, "order"):
            self._order(site, d, "order in the ERP that was left")
        if self._wants("MIG-02", code, d, "journal"):
            self._journal(site, d)
        for rule, variant, stated in (
            ("MIG-02", "invoice", ""),
            ("MIG-04", "order of the other ERP", self._order_of_the_cloud(code)),
        ):
            if (stated or not variant.startswith("order")) and self._wants(rule, code, d, variant):
                self._bare_invoice(site, d, rule, stated)
        if self._wants("MIG-04", code, d, "receipt"):
            self._bare_receipt(site, d)
        if self._wants("MIG-04", code, d, "order nowhere"):
            self._bare_invoice(self.desk.world.sites[code], d, "MIG-04", str(300000829000000 + d.toordinal() % 1000000))

    # ------------------------------------------------------------------------------------------------------- orders

    def _early_order(self, code: str, d: date) -> None:
        """MIG-02: a buyer tries the new system before the site is in it."""
        if self._wants("MIG-02", code, d, "early order"):
            self._order(self.desk.world.site_in(code, CLOUD), d, "order before the cut-over")

    def _order(self, site: Site, d: date, reason: str) -> None:
        item, stream = self._goods(site, d, reason)
        if item is None:
            return
        order = self.purchasing.ordering.order_at_once(site, item, Decimal(stream.integer(2, 9)), STORE, d)
        extract = "PURCHORDER" if site.erp == LEGACY else "PO_HEADERS"
        self.desk.plan.note("MIG-02", f"system={site.erp}|record={extract}:{order.po_key}", site.code, False, reason)

    def _goods(self, site: Site, d: date, reason: str) -> tuple[Item | None, Stream]:
        stream = self.desk.chance.stream("stray", reason, site.code, d)
        goods = [
            item
            for item in self.purchasing.ordering.nonstock_items(site)
            if 5 <= item.price_each <= 400 and item.cloud_no and item.legacy_no
        ]
        return (stream.pick(goods) if goods else None), stream

    # ------------------------------------------------------------------------------------------------ receipts, issues

    def _bare_receipt(self, site: Site, d: date) -> None:
        """MIG-04: received in the legacy ERP on an order number that it does not have."""
        desk, reason = self.desk, "receipt without its order"
        item, stream = self._goods(site, d, reason)
        if item is None:
            return
        supplier = desk.world.suppliers[item.supplier_id]
        number = self._order_of_the_cloud(site.code) if stream.flag(0.5) else ""
        number = number or f"{9000000 + stream.integer(1, 99999)}"
        order = Order(site, number, "REG", f"{site.company}-{number}-0-REG", "regular", "3way", supplier, at(d, 6), d)
        order.is_on_file = False
        price = self.purchasing.ordering.prices.contract_price(item, site, supplier, EACH, d)
        line = self.purchasing.ordering.add_line(
            order,
            item=item,
            description=item.description,
            quantity=Decimal(stream.integer(2, 9)),
            package=EACH,
            price=price,
            department=STORE,
            expense_role=SUPPLIES,
            vendor_catalogue_number=item.vendor_catalogue_number,
        )
        receipt = self.purchasing.receiving.receive([(line, line.quantity)], at(d, 16, 10))[0]
        key = f"system={LEGACY}|record=PORECLINE:{receipt.receipt_key}"
        desk.plan.note("MIG-04", key, site.code, False, reason)

    def _issue_again(self, code: str, d: date) -> None:
        """MIG-02: an interface that nobody switched off books an issue of the cloud in the legacy ERP too (Q121)."""
        desk = self.desk
        if not desk.plan.shows("Q121"):
            return
        for movement in desk.world.movements[self._read :]:
            booked = movement.site == code and movement.event == "E09" and movement.erp == CLOUD
            if booked and (movement.erp_amount or 0) >= 5 and self._wants("MIG-02", movement.txn_id, d, "issue"):
                self._book_again(movement, d)

    def _book_again(self, movement: Movement, d: date) -> None:
        desk = self.desk
        world = desk.world
        site = world.site_in(movement.site, LEGACY)
        line = desk.series.next("booked again", site.code, d)
        place = world.locations[movement.location_id].code_in(LEGACY)
        document = f"{site.company}-{place}-IC-IS-{d:%y%m%d}-0-{line}"
        moment = at(d, 23, 15)
        amount = movement.erp_amount or Decimal(0)
        desk.stock.holdings.book_out(movement)
        world.inventory_rows.append(
            InventoryRow(
                erp=LEGACY,
                site=site.code,
                location_id=movement.location_id,
                item_key=movement.item_key,
                document=document,
                quantity_each=movement.quantity_each,
                unit_cost=movement.erp_unit_cost or Decimal(0),
                amount=-amount,
                is_conversion=False,
                posted_on=d,
                known_at=moment,
                movement=movement,
            )
        )
        expense = (movement.expense_role or SUPPLIES, movement.department or STORE)
        desk.post(site, "E09 again", d, expense, ("INV_ASSET", "0000"), amount, "ICTRANS", document, moment)
        desk.plan.note("MIG-02", f"system={LEGACY}|record=ICTRANS:{document}", site.code, False, "issue in both ERPs")

    # ------------------------------------------------------------------------------------------- invoices, journals

    def _order_of_the_cloud(self, code: str) -> str:
        """The latest order of a site that is on file in the cloud alone."""
        for line in reversed(self.desk.world.po_lines):
            if line.site == code and line.erp == CLOUD:
                return line.po_key
        return ""

    def _bare_invoice(self, site: Site, d: date, rule: str, stated: str) -> None:
        """An invoice on no order is MIG-02 in the legacy ERP; one that names an order of elsewhere is MIG-04."""
        desk = self.desk
        stream = desk.chance.stream("stray invoice", site.code, site.erp, d, stated)
        supplier = self._supplier(site, stream)
        amount = stream.decimal(70, 900)

        def enter() -> None:
            invoice = self.purchasing.payables.enter(
                site,
                supplier,
                None,
                (),
                d,
                at(d, 15, 40),
                source="MAN",
                expenses=(Expense(amount, SUPPLIES, STORE),),
                order_stated=stated or None,
                mark=rule,
            )
            extract = "APINVOICE" if site.erp == LEGACY else "AP_INVOICE_HEADERS"
            key = f"system={site.erp}|record={extract}:{invoice.supplier_no}/{invoice.entity_number}"
            desk.plan.note(rule, key, site.code, False, f"invoice on {stated or 'no order'}")

        desk.schedule(at(d, 15, 40), enter)

    def _supplier(self, site: Site, stream: Stream) -> Supplier:
        suppliers = [
            entry
            for entry in self.desk.world.suppliers.values()
            if entry.role == "DISTRIBUTOR" and self.desk.serves(entry, site)
        ]
        return stream.pick(suppliers)

    def _journal(self, site: Site, d: date) -> None:
        """MIG-02: accountants go on in the ledger that was left."""
        stream = self.desk.chance.stream("stray journal", site.code, d)
        departments = [name for name in site.departments if name not in ("0000", STORE)]
        source, target = stream.sample(departments, 2)
        journal = self.ledger.enter_by_hand(site, d, SUPPLIES, source, target, stream.decimal(80, 2600))
        self.desk.plan.note("MIG-02", f"system={LEGACY}|record=GLTRANS:{journal}", site.code, False, "manual journal")

    def _invoice(self, invoice: InvoiceDocument) -> None:
        """MIG-01: an invoice on an old order comes to the new ERP as well; M3-07 when its number is another."""
        desk = self.desk
        code, d = invoice.site.code, invoice.entered_at.date()
        first = desk.world.cutovers.get(code)
        if first is None or d < first or invoice.site.erp != LEGACY or invoice.order is None or invoice.mark:
            return
        site = desk.world.sites[code]
        usual = invoice.kind == "invoice" and not invoice.is_cancelled and invoice.source != "ERS"
        if not usual or invoice.amount < LEAST or not desk.serves(invoice.supplier, site):
            return
        key = entity_of_invoice(invoice)
        for variant, quirk, form in AGAIN:
            rule = "M3-07" if variant == "suffix" else "MIG-01"
            if desk.plan.shows(quirk) and self._wants(rule, key, d, f"{variant} in the cloud"):
                self._enter_again(invoice, site, variant, form.format(invoice.number), rule)
                return
        if desk.plan.wants("MIG-01", False, key, d, "cancelled"):
            self._enter_again(invoice, site, "cancelled", invoice.number, "")

    def _enter_again(self, invoice: InvoiceDocument, site: Site, variant: str, number: str, rule: str) -> None:
        desk = self.desk
        stream = desk.chance.stream("again in the cloud", invoice.events_key)
        entered = next_business_day(invoice.entered_at.date() + timedelta(days=stream.integer(1, 3)))
        moment = at(entered, 16, 20)
        desk.schedule(moment, partial(self._enter_twin, invoice, site, variant, number, rule, moment))

    def _enter_twin(
        self, invoice: InvoiceDocument, site: Site, variant: str, number: str, rule: str, moment: datetime
    ) -> None:
        twin = self.purchasing.payables.enter(
            site,
            invoice.supplier,
            None,
            (),
            invoice.invoice_date,
            moment,
            number=number,
            source="MAN" if variant == "cancelled" else "EDI",
            expenses=(Expense(cents(invoice.amount), SUPPLIES, STORE),),
            cancelled=variant == "cancelled",
            mark=rule or "MIG-01:near",
        )
        pair = f"fusion={twin.supplier_no}/{twin.entity_number}|lawson={invoice.supplier_no}/{invoice.entity_number}"
        if rule == "M3-07":
            desk_key = entity_of_invoice(twin)
            self.desk.plan.note("M3-07", desk_key, site.code, False, f"{variant} in the other ERP")
        self.desk.plan.note("MIG-01", pair, site.code, rule != "MIG-01", variant)
