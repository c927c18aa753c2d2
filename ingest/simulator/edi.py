"""Supplier EDI of the simulated health system: which sets are sent, when, and in which interchanges.

Here: `SupplierMessages`, which hears of orders, receipts and invoices, times the sets that go with them (landscape
7.1), puts them into interchanges with control numbers, and shows the quirks Q112 to Q120.
Not here: the content of sets (edi_sets), partners and separators (edi_partners), purchasing itself.

A supplier acknowledges and ships before the health system receives: sets are held for some days, until what belongs to
them is known, and their folder is that of the day on which they arrived. Every order issued is copied. A ship notice
goes with what was received of a shipment, or with what replaces consigned stock. An invoice is sent for every one that
payables took in by EDI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

from ingest.simulator.accounts import add_business_days, is_business_day, next_business_day
from ingest.simulator.chance import Chance, Stream
from ingest.simulator.contracting import is_in_force
from ingest.simulator.delivery import Document
from ingest.simulator.desk import Desk, at
from ingest.simulator.discrepancies import NEAR_MISSES
from ingest.simulator.documents import ZERO, Answer, InvoiceDocument, Order, OrderLine, Receipt, plain_answer
from ingest.simulator.edi_partners import BUYER_ID, BUYER_QUALIFIER, Marks, Partner, Partners, buyer_marks
from ingest.simulator.edi_sets import (
    CARRIERS,
    FREIGHT,
    HANDLING,
    BillStyle,
    Catalog,
    CatalogLine,
    Segment,
    Shipment,
    Shipped,
    acknowledged_price,
    acknowledgement,
    billed_values,
    catalog,
    contract_price,
    invoice,
    purchase_order,
    ship_notice,
)
from ingest.simulator.events import Acknowledgement, ContractLine, ShipNotice, Supplier, SupplierBill, World
from ingest.simulator.plan import DefectPlan

VERSION = "004010"
GROUP_CODES = {"850": "PO", "855": "PR", "856": "SH", "810": "IN", "832": "SC"}
# Days for which sets are held: a receipt may come four days after its shipment and be corrected four days later.
HELD_DAYS = 9
UNACKNOWLEDGED = 0.06  # Q113
HEADER_ONLY = 0.10  # Q113
INNER_PACKS = 0.05  # Q114
CONSOLIDATED = 0.03  # Q115
FREIGHT_WITHOUT_ORDER = 0.15  # Q115, of invoices with freight
ANNOUNCED_DAYS = (12, 35)  # Q118
CATALOG_DAYS = 20  # days over which the first catalogs come in
LARGEST_CATALOG = 1000  # lines of one 832
WORTH_A_TOTAL = Decimal(60)


Event = Acknowledgement | ShipNotice | SupplierBill


@dataclass(frozen=True, slots=True)
class Draft:
    """A set made up, with what it says that is judged; the events are known when it is sent whole."""

    segments: tuple[Segment, ...]
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A set that waits for its interchange."""

    at: datetime
    kind: str  # ST01
    partner: Partner
    key: str  # names the set among those of its kind
    build: Callable[[], Draft]
    is_sent_again: bool = False  # its first sending was refused


@dataclass(frozen=True, slots=True)
class FunctionalGroup:
    """Sets of one application in an interchange."""

    number: int
    sender: str  # GS02
    receiver: str  # GS03
    sets: tuple[tuple[tuple[Segment, ...], int], ...]  # segments and what SE01 misses


@dataclass(frozen=True, slots=True)
class Interchange:
    """One interchange: from ISA to IEA, a file."""

    at: datetime
    kind: str
    sender: tuple[str, str]  # ISA05 and ISA06
    receiver: tuple[str, str]  # ISA07 and ISA08
    control: int  # ISA13
    marks: Marks
    usage: str  # ISA15: P production, T test
    groups: tuple[FunctionalGroup, ...]

    @property
    def sets(self) -> int:
        """Number of sets."""
        return sum(len(group.sets) for group in self.groups)

    def content(self) -> bytes:
        """The bytes, X12.5 and X12.6 envelopes; ISA and GS moments are UTC."""
        marks, moment = self.marks, self.at.astimezone(UTC)
        blank = " " * 10
        lines = [
            marks.element.join(
                (
                    "ISA",
                    "00",
                    blank,
                    "00",
                    blank,
                    self.sender[0],
                    f"{self.sender[1]:15}",
                    self.receiver[0],
                    f"{self.receiver[1]:15}",
                    f"{moment:%y%m%d}",
                    f"{moment:%H%M}",
                    "U",
                    "00401",
                    f"{self.control:09d}",
                    "0",
                    self.usage,
                    marks.component,
                )
            )
        ]

        def add(segment: Segment) -> None:
            cells = [marks.clean(cell) for cell in segment]
            while not cells[-1]:
                cells.pop()
            lines.append(marks.element.join(cells))

        for group in self.groups:
            code = GROUP_CODES[self.kind]
            day, clock = f"{moment:%Y%m%d}", f"{moment:%H%M}"
            add(("GS", code, group.sender, group.receiver, day, clock, str(group.number), "X", VERSION))
            for place, (segments, missing) in enumerate(group.sets, start=1):
                number = f"{place:04d}"
                add(("ST", self.kind, number))
                for segment in segments:
                    add(segment)
                add(("SE", str(len(segments) + 2 - missing), number))
            add(("GE", str(len(group.sets)), str(group.number)))
        add(("IEA", str(len(self.groups)), f"{self.control:09d}"))
        end = marks.segment + marks.line_end
        return "".join(line + end for line in lines).encode("ascii")


class ControlNumbers:
    """ISA13 and GS06 of each sender, one after the other."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._last: dict[tuple[str, str], int] = {}

    def next(self, series: str, sender: str) -> int:
        """The next number of a sender."""
        last = self._last.get((series, sender))
        if last is None:
            last = self._chance.stream("edi control numbers", series, sender).integer(100, 90000)
        self._last[(series, sender)] = last + 1
        return last + 1


class SupplierMessages:
    """The mailbox of the exchange: everything between the health system and its suppliers."""

    def __init__(self, world: World, desk: Desk, plan: DefectPlan, chance: Chance) -> None:
        """Listen to purchasing; files are asked for day by day."""
        self.world = world
        self.plan = plan
        self.chance = chance
        self.partners = Partners(chance, plan)
        self._numbers = ControlNumbers(chance)
        self._due: dict[date, list[Due]] = {}
        self._again: dict[date, list[Interchange]] = {}
        self._next_folder = world.start
        self._first_receipts: dict[OrderLine, Receipt | None] = {}
        self._shipments: dict[tuple[str, int], list[Receipt]] = {}
        self._corrections: dict[Receipt, Decimal] = {}
        self._lots: dict[str, tuple[str | None, date | None]] = {}
        self._replacements: dict[tuple[str, int], list[tuple[str | None, date | None]]] = {}
        self._moved = 0
        desk.on_order.append(self._order)
        desk.on_receipt.append(self._receipt)
        desk.on_invoice.append(self._invoice)
        desk.on_loss.append(self._lost)
        desk.on_answer.append(self._answer_again)
        self._plan_catalogs()

    # -------------------------------------------------------------------------------------------------------- orders

    def _order(self, order: Order, moment: datetime) -> None:
        partner = self.partners.of(order.supplier)
        stream = self.chance.stream("edi order", order.po_key)
        copy = Draft(tuple(purchase_order(order, partner)))
        self._put(Due(moment + timedelta(minutes=stream.integer(2, 12)), "850", partner, order.po_key, lambda: copy))
        if order.po_type == "service":
            return
        if order.po_type == "bill_and_replace":
            self._plan_replacement(order, partner)
        if self.plan.quirk("Q113", "never", order.po_key, share=UNACKNOWLEDGED):
            return
        for line in order.lines:
            self._first_receipts[line] = None
        answered = moment + timedelta(minutes=stream.integer(40, 420))
        if stream.flag(0.4):
            answered = at(add_business_days(moment.date(), 1), 7) + timedelta(minutes=stream.integer(0, 500))
        number = f"SO{stream.integer(1000000, 9999999)}"
        with_ship_to = stream.flag(0.3)
        self._put(
            Due(
                answered,
                "855",
                partner,
                order.po_key,
                lambda: self._acknowledge(order, partner, answered.date(), number, with_ship_to),
            )
        )

    def _acknowledge(self, order: Order, partner: Partner, answered: date, number: str, with_ship_to: bool) -> Draft:
        parts = [(line, self._answer_of(line)) for line in order.lines]
        for line in order.lines:
            rule, _, name = line.mark.partition(":")
            if rule == "PA-02":
                key = f"po={order.po_key}|line={line.line}"
                self.plan.note(rule, key, order.site.code, name in NEAR_MISSES, name)
        statuses = {part.status for _, answer in parts for part in answer.parts}
        ack_type = "AD" if statuses == {"IA"} else "RD" if statuses <= {"IR", "ID"} else "AC"
        # A header alone says yes to all of it.
        if ack_type == "AD" and self.plan.quirk("Q113", "header only", order.po_key, share=HEADER_ONLY):
            ack_type = self.chance.stream("edi header only", order.po_key).pick(("AK", "AD"))
            parts = []
        return self._said(order, partner, answered, number, parts, ack_type, with_ship_to)

    @staticmethod
    def _said(
        order: Order,
        partner: Partner,
        answered: date,
        number: str,
        parts: Sequence[tuple[OrderLine, Answer]],
        ack_type: str,
        with_ship_to: bool,
    ) -> Draft:
        segments = acknowledgement(order, partner, answered, number, parts, ack_type, with_ship_to)
        events = (
            Acknowledgement(
                erp=order.site.erp,
                site=order.site.code,
                po_key=order.po_key,
                line=line.line,
                acknowledged_on=answered,
                quantity=answer.quantity,
                uom=answer.uom,
                each_per_uom=answer.each_per_uom,
                unit_price=acknowledged_price(answer),
                vendor_catalogue_number=answer.catalogue_number,
                parts=tuple((part.status, part.quantity or ZERO) for part in answer.parts),
                known_at=order.created_at,
            )
            for line, answer in parts
        )
        return Draft(tuple(segments), tuple(events))

    def _answer_of(self, line: OrderLine) -> Answer:
        """What a supplier says of a line: yes, for the day on which it ships the first of it, or what differs."""
        first = self._first_receipts.pop(line, None)
        if line.answer is not None:
            return line.answer
        promised = max(line.order.order_date, next_business_day(line.order.order_date + timedelta(days=1)))
        return plain_answer(line, promised if first is None else min(promised, first.receipt_date))

    def _answer_again(self, line: OrderLine, answer: Answer, moment: datetime) -> None:
        """A second 855, of one line."""
        order = line.order
        if self.plan.quirk("Q113", "never", order.po_key, share=UNACKNOWLEDGED):
            return
        partner = self.partners.of(order.supplier)
        number = f"SO{self.chance.stream('edi again', order.po_key).integer(1000000, 9999999)}"
        said = self._said(order, partner, moment.date(), number, [(line, answer)], "AC", False)
        self._put(Due(moment, "855", partner, f"{order.po_key}/{line.line}/again", lambda: said))

    # ----------------------------------------------------------------------------------------------------- shipments

    def _receipt(self, receipt: Receipt) -> None:
        if receipt.kind == "correct" and receipt.corrects is not None:
            self._corrections[receipt.corrects] = self._corrections.get(receipt.corrects, ZERO) + receipt.quantity
        if receipt.kind != "receive":
            return
        line = receipt.order_line
        if line in self._first_receipts and self._first_receipts[line] is None:
            self._first_receipts[line] = receipt
        if receipt.is_automatic:
            return
        key = (line.order.po_key, receipt.number)
        known = self._shipments.get(key)
        if known is not None:
            if receipt not in known:
                known.append(receipt)
            return
        self._shipments[key] = [receipt]
        self._plan_ship_notice(key, receipt)

    def _plan_ship_notice(self, key: tuple[str, int], receipt: Receipt) -> None:
        order = receipt.order_line.order
        partner = self.partners.of(order.supplier)
        stream = self.chance.stream("edi shipment", *key)
        day = self._ship_day(order.order_date, receipt.expected_on or receipt.receipt_date, stream)
        shipped = at(day, 11) + timedelta(minutes=stream.integer(0, 480))
        name = f"{key[0]}/{key[1]}"
        self._put(Due(shipped, "856", partner, name, lambda: self._ship(key, partner, shipped, stream)))

    @staticmethod
    def _ship_day(ordered: date, received: date, stream: Stream) -> date:
        """A day between order and receipt, at most three before the receipt, a business day where there is one."""
        days = [received - timedelta(days=count) for count in (1, 2, 3)]
        days = [day for day in days if day > ordered]
        return stream.pick([day for day in days if is_business_day(day)] or days or [ordered])

    def _ship(self, key: tuple[str, int], partner: Partner, shipped: datetime, stream: Stream) -> Draft:
        receipts = self._shipments.pop(key)
        self._read_movements()
        first = receipts[0]
        order = first.order_line.order
        lines = []
        for receipt in receipts:
            line = receipt.order_line
            lot, expiry = self._lots.pop(receipt.receipt_key, (receipt.lot, None))
            packs = line.each_per_uom != 1 and self.plan.quirk("Q114", *key, line.line, share=INNER_PACKS)
            quantity = receipt.quantity + self._corrections.pop(receipt, ZERO)
            quantity = quantity if receipt.announced is None else receipt.announced
            lines.append(Shipped(line, quantity, packs, lot, expiry))
        number = self._shipment_id(first)
        for receipt in receipts:
            is_defect = receipt.announced is not None
            if receipt.order_line.mark.startswith("AS-01:") and (is_defect or receipt.expected_on is not None):
                self._note(receipt.order_line, number, not is_defect)
        arrives = first.expected_on or first.receipt_date
        return self._noticed(order, partner, self._shipment(number, shipped, arrives, lines, partner, stream))

    def _note(self, line: OrderLine, shipment: str, is_near_miss: bool) -> None:
        key = f"shipment={shipment}|po={line.order.po_key}|line={line.line}"
        self.plan.note("AS-01", key, line.order.site.code, is_near_miss, line.mark.partition(":")[2])

    @staticmethod
    def _noticed(order: Order, partner: Partner, shipment: Shipment) -> Draft:
        events = (
            ShipNotice(
                erp=order.site.erp,
                site=order.site.code,
                shipment_id=shipment.shipment_id,
                po_key=order.po_key,
                line=shipped.line.line,
                quantity_each=shipped.quantity * shipped.line.each_per_uom,
                expected_on=shipment.arrives,
                known_at=shipment.shipped_at,
            )
            for shipped in shipment.lines
        )
        return Draft(tuple(ship_notice(order, partner, shipment)), tuple(events))

    def _lost(self, line: OrderLine, quantity: Decimal, expected_on: date) -> None:
        """A shipment that never arrives."""
        order = line.order
        partner = self.partners.of(order.supplier)
        stream = self.chance.stream("edi lost", order.po_key, line.line)
        shipped = at(self._ship_day(order.order_date, expected_on, stream), 11) + timedelta(
            minutes=stream.integer(0, 480)
        )
        number = f"SH{stream.integer(10000000, 99999999)}"
        self._note(line, number, False)
        goods = [Shipped(line, quantity, False, None, None)]
        draft = self._noticed(order, partner, self._shipment(number, shipped, expected_on, goods, partner, stream))
        self._put(Due(shipped, "856", partner, f"{order.po_key}/{line.line}/lost", lambda: draft))

    @staticmethod
    def _shipment(
        number: str, shipped: datetime, arrives: date, lines: Sequence[Shipped], partner: Partner, stream: Stream
    ) -> Shipment:
        return Shipment(
            shipment_id=number,
            shipped_at=shipped,
            arrives=arrives,
            carrier=stream.pick(CARRIERS),
            tracking=f"1Z{stream.integer(10**11, 10**12 - 1)}",
            bill_of_lading=f"BL{stream.integer(1000000, 9999999)}",
            lines=lines,
            first_carton=None if partner.is_small else stream.integer(1, 9 * 10**8),
        )

    def _plan_replacement(self, order: Order, partner: Partner) -> None:
        """Consigned stock that replaces what was used: it is shipped, put into the closet and never received."""
        lines = [line for line in order.lines if line.item is not None and line.item.stock_class == "CONSIGN"]
        if not lines:
            return
        # The stream that purchasing asks for the day of arrival.
        days = self.chance.stream("replacement", order.po_key).integer(2, 4)
        arrives = order.order_date + timedelta(days=days)
        stream = self.chance.stream("edi replacement", order.po_key)
        shipped = at(self._ship_day(order.order_date, arrives, stream), 11) + timedelta(minutes=stream.integer(0, 480))

        def build() -> Draft:
            self._read_movements()
            kept = [self._replacements.get((order.po_key, line.item.key), []) for line in lines if line.item]
            lots = [each.pop(0) if each else (None, None) for each in kept]
            goods = [Shipped(line, line.quantity, False, *lot) for line, lot in zip(lines, lots, strict=True)]
            number = f"SH{stream.integer(10000000, 99999999)}"
            return self._noticed(order, partner, self._shipment(number, shipped, arrives, goods, partner, stream))

        self._put(Due(shipped, "856", partner, f"{order.po_key}/replacement", build))

    def _shipment_id(self, receipt: Receipt) -> str:
        """The shipper's number: the one that was keyed at the dock, where one was."""
        if receipt.shipment_id is not None:
            return receipt.shipment_id
        stream = self.chance.stream("edi shipment id", receipt.order_line.order.po_key, receipt.number)
        return f"SH{stream.integer(10000000, 99999999)}"

    def _read_movements(self) -> None:
        """Lots of what was put away since this was asked last."""
        for movement in self.world.movements[self._moved :]:
            if movement.txn_type == "RECEIPT" and movement.receipt_key and movement.lot:
                self._lots[movement.receipt_key] = (movement.lot, movement.expiry_date)
            elif movement.txn_type == "CONSIGN_IN" and movement.ref_doc:
                key = (movement.ref_doc, movement.item_key)
                self._replacements.setdefault(key, []).append((movement.lot, movement.expiry_date))
        self._moved = len(self.world.movements)

    # ------------------------------------------------------------------------------------------------------ invoices

    def _invoice(self, document: InvoiceDocument) -> None:
        if document.source != "EDI":
            return
        partner = self.partners.of(document.supplier)
        key = f"{document.site.erp}/{document.events_key}"
        stream = self.chance.stream("edi invoice", key)
        arrived = document.entered_at - timedelta(minutes=stream.integer(180, 960))
        earliest = at(document.invoice_date, 0, 10)
        arrived = min(max(arrived, earliest), document.entered_at - timedelta(minutes=5))
        style = self._bill_style(document, key, stream)
        self._put(Due(arrived, "810", partner, key, lambda: self._billed(document, partner, style)))
        if document.kind == "invoice" and self.plan.quirk("Q116", key):
            number = f"{document.number}-A" if stream.flag(0.5) else f"00{document.number}"
            again = replace(style, number=number)
            later = arrived + timedelta(days=stream.integer(2, 6))
            self._put(Due(later, "810", partner, f"{key}/again", lambda: self._billed(document, partner, again)))

    @staticmethod
    def _billed(document: InvoiceDocument, partner: Partner, style: BillStyle) -> Draft:
        lines = [line for line in document.lines if line.line_type == "item" and not line.is_discarded]
        bill = SupplierBill(
            site=document.site.code,
            sender=partner.sender,
            invoice_number=style.number.strip().upper(),
            invoice_date=document.invoice_date,
            total=document.amount + style.wrong_by,
            lines=tuple(billed_values(line) for line in lines),
            charges=sum((line.amount for line in document.lines if line.line_type == "freight"), ZERO),
            tax=sum((line.amount for line in document.lines if line.line_type == "tax"), ZERO),
            known_at=document.entered_at,
        )
        return Draft(tuple(invoice(document, partner, style)), (bill,))

    def _bill_style(self, document: InvoiceDocument, key: str, stream: Stream) -> BillStyle:
        receipt = next((line.receipt for line in document.lines if line.receipt is not None), None)
        shipment = self._shipment_id(receipt) if receipt is not None and not receipt.is_automatic else None
        has_freight = any(line.line_type == "freight" for line in document.lines)
        without_order = has_freight and self.plan.quirk("Q115", "freight", key, share=FREIGHT_WITHOUT_ORDER)
        return BillStyle(
            number=document.number,
            shipment_id=shipment,
            order_on_lines=not without_order and self.plan.quirk("Q115", "lines", key, share=CONSOLIDATED),
            without_order=without_order,
            freight_code=HANDLING if stream.flag(0.15) else FREIGHT,
            freight_on_line=stream.flag(0.1),
            wrong_by=self._wrong_total(document, key),
        )

    def _wrong_total(self, document: InvoiceDocument, key: str) -> Decimal:
        """M3-10: what the total of an 810 is off, while payables keyed what its lines say."""
        if document.kind != "invoice" or document.mark or document.amount < WORTH_A_TOTAL:
            return ZERO
        if not self.plan.wants("M3-10", True, key, document.entered_at.date(), "810"):
            return ZERO
        off = self.chance.stream("edi total", key)
        number = document.number.strip().upper()
        entity = f"system=edi|supplier={self.partners.of(document.supplier).sender}|invoice={number}"
        self.plan.note("M3-10", entity, document.site.code, False, "810")
        return off.decimal(0.5, 30) * off.pick((1, -1))

    # ------------------------------------------------------------------------------------------------------ catalogs

    def _plan_catalogs(self) -> None:
        """A catalog of each contract and tier in the first weeks, changes before they take effect, list prices once."""
        contracts: dict[tuple[str, str, int], list[ContractLine]] = {}
        for line in self.world.contract_lines:
            contracts.setdefault((line.supplier_id, line.contract_number, line.tier), []).append(line)
        contracted = {(line.supplier_id, line.item_key) for line in self.world.contract_lines}
        for (supplier_id, number, tier), lines in contracts.items():
            supplier = self.world.suppliers[supplier_id]
            sent = self._catalog_day(supplier)
            now = [line for line in lines if is_in_force(line, sent)]
            self._plan_catalog(supplier, number, tier, "00", sent, sent, now)
            for effective in sorted({line.effective_from for line in lines if line.effective_from > sent}):
                stream = self.chance.stream("edi price change", supplier_id, number, tier, effective)
                ahead = stream.integer(*ANNOUNCED_DAYS) if self.plan.shows("Q118") else 0
                changed = [line for line in lines if line.effective_from == effective]
                told = max(effective - timedelta(days=ahead), sent + timedelta(days=1))
                self._plan_catalog(supplier, number, tier, "04", told, effective, changed)
        listed: dict[str, list[CatalogLine]] = {}
        for item in self.world.items.values():
            is_sold = item.supplier_id in self.world.suppliers and not item.is_placeholder and item.is_active
            if is_sold and (item.supplier_id, item.key) not in contracted:
                package = next(package for package in item.packages if package.uom == item.buy_uom)
                price = (item.price_each * package.each).quantize(Decimal("0.00001"))
                number = item.vendor_catalogue_number
                maker = self.world.manufacturers[item.manufacturer_id]
                if number and price > 0:
                    listed.setdefault(item.supplier_id, []).append(
                        CatalogLine(item, maker, number, package.uom, package.each, price, None, None)
                    )
        for supplier_id, prices in listed.items():
            supplier = self.world.suppliers[supplier_id]
            sent = self._catalog_day(supplier)
            self._put_catalog(supplier, f"LIST-{supplier.duns}", "00", None, None, sent, sent, prices)

    def _catalog_day(self, supplier: Supplier) -> date:
        days = self.chance.stream("edi catalog", supplier.supplier_id).integer(0, CATALOG_DAYS)
        return next_business_day(self.world.start + timedelta(days=days))

    def _plan_catalog(
        self,
        supplier: Supplier,
        contract: str,
        tier: int,
        purpose: str,
        sent: date,
        effective: date,
        lines: Sequence[ContractLine],
    ) -> None:
        prices = []
        for line in lines:
            item = self.world.items[line.item_key]
            prices.append(
                CatalogLine(
                    item,
                    self.world.manufacturers[item.manufacturer_id],
                    line.vendor_catalogue_number,
                    line.uom,
                    line.each_per_uom,
                    contract_price(line),
                    line.effective_from,
                    line.effective_to,
                )
            )
        # A catalog number has fifteen places (X12 element 684), the letter of a further part included.
        number = f"{contract.replace('-', '').removeprefix('SHS')}{supplier.duns[-4:]}{tier}"
        self._put_catalog(supplier, number, purpose, contract, tier, sent, effective, prices)

    def _put_catalog(
        self,
        supplier: Supplier,
        number: str,
        purpose: str,
        contract: str | None,
        tier: int | None,
        sent: date,
        effective: date,
        lines: Sequence[CatalogLine],
    ) -> None:
        partner = self.partners.of(supplier)
        minutes = self.chance.stream("edi catalog time", supplier.supplier_id).integer(0, 50)
        for part, start in enumerate(range(0, len(lines), LARGEST_CATALOG)):
            name = number if part == 0 else f"{number}{chr(ord('A') + part)}"
            book = Catalog(name, purpose, contract, tier, effective, lines[start : start + LARGEST_CATALOG])
            key = f"{supplier.supplier_id}/{name}/{effective}"
            draft = partial(self._catalogue, book, partner)
            self._put(Due(at(sent, 4, minutes), "832", partner, key, draft))

    @staticmethod
    def _catalogue(book: Catalog, partner: Partner) -> Draft:
        return Draft(tuple(catalog(book, partner)))

    # ------------------------------------------------------------------------------------------------------- sending

    def _put(self, due: Due) -> None:
        """Let a set wait for the folder of its day; the day of one that comes too late is the next one written."""
        earliest = at(self._next_folder, 0, 5)
        if due.at < earliest:
            due = replace(due, at=earliest)
        self._due.setdefault(due.at.date(), []).append(due)

    def documents(self, d: date) -> Iterable[Document]:
        """Files of the folders that are complete on the evening of `d`; all that are left on the last day."""
        until = self.world.end if d >= self.world.end else d - timedelta(days=HELD_DAYS)
        while self._next_folder <= until:
            yield from self._folder(self._next_folder)
            self._next_folder += timedelta(days=1)

    def _folder(self, day: date) -> Iterator[Document]:
        """Interchanges of a day: what a sender has for a receiver within an hour goes together, set by set."""
        batches: dict[tuple[object, ...], list[Due]] = {}
        for due in sorted(self._due.pop(day, []), key=lambda due: (due.at, due.kind, due.key)):
            way = "out" if due.kind == "850" else "in"
            batches.setdefault((way, due.partner.sender, due.kind, due.at.hour), []).append(due)
        repeated = self._again.pop(day, [])
        for batch in sorted(batches.values(), key=lambda batch: (batch[-1].at, batch[-1].kind, batch[-1].key)):
            made = self._interchange(batch)
            yield self._document(made, day)
            yield from self._test_copy(made, day)
            self._maybe_again(made, day)
        for old in repeated:
            yield self._document(old, day)

    def _interchange(self, batch: Sequence[Due]) -> Interchange:
        partner, kind = batch[0].partner, batch[0].kind
        own, other = (BUYER_QUALIFIER, BUYER_ID), (partner.qualifier, partner.sender)
        is_out = kind == "850"
        sender, receiver = (own, other) if is_out else (other, own)
        by_supplier: dict[str, list[Due]] = {}
        for due in batch:
            by_supplier.setdefault(due.partner.application, []).append(due)
        groups = []
        for application, dues in by_supplier.items():
            ends = (BUYER_ID, application) if is_out else (application, BUYER_ID)
            sets = tuple(self._finished(due, due.build()) for due in dues)
            groups.append(FunctionalGroup(self._numbers.next("group", sender[1]), *ends, sets))
        if self.plan.defects and self.plan.quirk("Q112", "gap", sender[1], batch[-1].at, kind):
            self._numbers.next("interchange", sender[1])
        control = self._numbers.next("interchange", sender[1])
        marks = buyer_marks() if is_out else partner.marks
        return Interchange(batch[-1].at, kind, sender, receiver, control, marks, "P", tuple(groups))

    def _finished(self, due: Due, draft: Draft) -> tuple[tuple[Segment, ...], int]:
        """Segments of a set and what SE01 misses of them; one that does not balance comes again the next day (Q120)."""
        if not due.is_sent_again and self.plan.quirk("Q120", due.kind, due.key):
            again = replace(due, at=due.at + timedelta(days=1), is_sent_again=True, build=lambda: draft)
            self._due.setdefault(again.at.date(), []).append(again)
            return draft.segments, 1
        world = self.world
        for event in draft.events:
            known = replace(event, known_at=due.at)
            if isinstance(known, Acknowledgement):
                world.acknowledgements.append(known)
            elif isinstance(known, ShipNotice):
                world.ship_notices.append(known)
            else:
                world.supplier_bills.append(known)
        return draft.segments, 0

    def _test_copy(self, made: Interchange, day: date) -> Iterator[Document]:
        """The same sets again in a test interchange that stands in the folder of production (Q119)."""
        if not self.plan.quirk("Q119", made.sender[1], made.control):
            return
        sender = made.sender[1]
        groups = tuple(
            replace(
                group,
                number=self._numbers.next("group", sender),
                sets=tuple((segments, 0) for segments, _ in group.sets),
            )
            for group in made.groups
        )
        yield self._document(
            replace(made, usage="T", control=self._numbers.next("interchange", sender), groups=groups), day
        )

    def _maybe_again(self, made: Interchange, day: date) -> None:
        """Let an interchange come twice under one ISA13: as it was (INT-03), or sent anew at another time (Q112)."""
        following = day + timedelta(days=1)
        name = f"{made.sender[1]}_{made.control:09d}.edi"
        if self.plan.wants("INT-03", True, name, following, "interchange again"):
            self.plan.note("INT-03", f"feed=edi.{made.kind}|date={following}|file={name}", "SYS", False, "again")
            self._again.setdefault(following, []).append(made)
        elif self.plan.quirk("Q112", "again", made.sender[1], made.control):
            self._again.setdefault(following, []).append(replace(made, at=made.at + timedelta(days=1)))

    @staticmethod
    def _document(made: Interchange, day: date) -> Document:
        name = f"{made.sender[1]}_{made.control:09d}.edi"
        path = f"edi/{day:%Y%m%d}/{made.kind}/{name}"
        return Document("edi", "ENVELOPE", path, made.content(), made.sets, day)
