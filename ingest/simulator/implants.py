"""Implants that are ordered after they were used: bill-only, bill and replace, one-time.

Here: the requests of the clinical side, their requisitions and orders with the case typed on them (BO-01), the
automatic receipt, the invoice, the replacement of consigned stock, the month-end accrual of what is not ordered (E20).
Not here: usage itself (clinic).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from ingest.simulator.accounts import add_business_days, month_end
from ingest.simulator.desk import Desk, at
from ingest.simulator.documents import Order, OrderLine, Receipt, Requisition, RequisitionLine, cents
from ingest.simulator.events import Package, Posting, Site, Supplier
from ingest.simulator.fulfilment import entity_of_line
from ingest.simulator.order_prices import Price
from ingest.simulator.ordering import EACH, Ordering
from ingest.simulator.payables import Bill, Payables, as_ordered
from ingest.simulator.receiving import Receiving

NOT_ORDERED = "not ordered"
LATE = "late"


@dataclass(frozen=True, slots=True)
class BillOnlyRequest:
    """A bill-only, consigned or one-time implant that was used and must be ordered after the fact."""

    log_id: str
    case_id: str  # OR_CASE_ID
    site: str
    department: str  # of the case
    surgery_date: date
    implant_id: str
    item_key: int | None  # None: one-time implant without an item
    stock_class: str  # BILLONLY, CONSIGN, ONE_TIME
    quantity_each: Decimal
    unit_cost: Decimal | None  # documented cost, OR_IMP.UNIT_COST of one-time implants
    supplier_id: str | None  # of one-time implants; the item names it otherwise
    vendor_catalogue_number: str | None
    lot: str | None
    serial: str | None
    patient_name: str | None = None  # free text of the order carries it
    surgeon_name: str | None = None
    credit_share: Decimal | None = None  # of its price, which the supplier gives back for the device it replaces


@dataclass(frozen=True, slots=True)
class CaseText:
    """How a case number is typed on an order, and what can be read of it."""

    typed: str | None
    parsed: str | None
    reason: str = ""


def code_key(lot: str | None, serial: str | None) -> str:
    """Lot or serial with the letter O read as zero."""
    return (lot or serial or "").replace("O", "0")


class ImplantOrders:
    """Orders of implants after the fact."""

    def __init__(self, desk: Desk, ordering: Ordering, receiving: Receiving, payables: Payables) -> None:
        self.desk = desk
        self.ordering = ordering
        self.receiving = receiving
        self.payables = payables
        self._fate: dict[str, str] = {}
        self._waiting: dict[tuple[str, str, str], list[BillOnlyRequest]] = {}
        self._unordered: dict[tuple[str, str], BillOnlyRequest] = {}
        self.on_credit: list[Callable[[BillOnlyRequest, Decimal, date], None]] = []
        self._credits: dict[tuple[str, int], BillOnlyRequest] = {}  # by order line
        self._catalogues: dict[str, set[str | None]] = {}  # by log: numbers of the implants it used
        self._accrued: dict[str, list[tuple[Site, Posting]]] = {}

    def request(self, request: BillOnlyRequest, moment: datetime) -> None:
        """Take note of an implant; all of a case and a supplier go on one order."""
        self._unordered[(request.log_id, request.implant_id)] = request
        self._catalogues.setdefault(request.log_id, set()).add(request.vendor_catalogue_number)
        fate = self._fate_of(request)
        if fate == NOT_ORDERED:
            entity = f"case={request.log_id}|implant={request.implant_id}"
            self.desk.plan.note("BO-01", entity, request.site, False, NOT_ORDERED)
            return
        supplier = self._supplier(request)
        key = (request.log_id, supplier.supplier_id, request.stock_class)
        if key in self._waiting:
            self._waiting[key].append(request)
            return
        self._waiting[key] = [request]
        stream = self.desk.chance.stream("implant order", *key)
        start = max(request.surgery_date, moment.date())
        days = stream.integer(9, 12) if fate == LATE else stream.integer(1, 3)
        due = add_business_days(start, days)
        if fate == LATE:
            entity = f"case={request.log_id}|implant={request.implant_id}"
            self.desk.plan.note("BO-01", entity, request.site, False, LATE)
        self.desk.schedule(at(due, 9, stream.integer(0, 50)), lambda: self._order(key, due))

    def _fate_of(self, request: BillOnlyRequest) -> str:
        fate = self._fate.get(request.log_id)
        if fate is None:
            wants = self.desk.plan.wants
            fate = ""
            if wants("BO-01", True, request.log_id, request.surgery_date, NOT_ORDERED):
                fate = NOT_ORDERED
            elif wants("BO-01", True, request.log_id, request.surgery_date, LATE):
                fate = LATE
            self._fate[request.log_id] = fate
        return fate

    def _supplier(self, request: BillOnlyRequest) -> Supplier:
        world = self.desk.world
        supplier_id = request.supplier_id
        if request.item_key is not None:
            supplier_id = world.items[request.item_key].supplier_id
        site = world.sites[request.site]
        if supplier_id is None or not self.desk.serves(world.suppliers[supplier_id], site):
            return next(entry for entry in world.suppliers.values() if self.desk.serves(entry, site))
        return world.suppliers[supplier_id]

    # -------------------------------------------------------------------------------------------------------- orders

    def _order(self, key: tuple[str, str, str], d: date) -> None:
        requests = self._waiting.pop(key)
        first = requests[0]
        can_be_twice = first.stock_class == "BILLONLY" and (first.lot or first.serial) and not self._fate_of(first)
        twice = can_be_twice and self.desk.plan.wants("BO-07", True, first.log_id, d, "sent twice")
        self._place(requests, d, CaseText(first.case_id, first.case_id) if twice else None)
        for request in requests:
            self._unordered.pop((request.log_id, request.implant_id), None)
        if twice:
            again = add_business_days(d, self.desk.chance.stream("order again", *key).integer(1, 4))
            self.desk.schedule(at(again, 9, 30), lambda: self._order_again(first, again))

    def _order_again(self, request: BillOnlyRequest, d: date) -> None:
        """BO-07: the bill sheet comes in a second time, and nobody sees that it was ordered."""
        for line in self._place([request], d, CaseText(request.case_id, request.case_id)).lines:
            self.desk.plan.note("BO-07", entity_of_line(line), request.site, False, "bill sheet sent twice")

    def _place(self, requests: list[BillOnlyRequest], d: date, case: CaseText | None = None) -> Order:
        """Order implants of one case from one supplier: requisition, order, automatic receipt, invoice.

        `case`: the case number as typed on every line, where it must not be typed in some other way.
        """
        desk = self.desk
        first = requests[0]
        site = desk.world.sites[first.site]
        supplier = self._supplier(first)
        moment = at(d, 10, 5)
        po_type = "bill_and_replace" if first.stock_class == "CONSIGN" else "bill_only"
        order = self.ordering.new_order(site, supplier, po_type, d, moment)
        requisition = self._requisition(site, f"D{first.department}", at(d, 9))
        for request in requests:
            self._add(order, requisition, request, supplier, d, case)
        if case is None:
            self._add_unused(order, requisition, first, supplier, d)
        desk.writer(site).requisition(requisition, requisition.created_at)
        self.ordering.issue(order, moment)
        receipts = self.receiving.receive([(line, line.quantity) for line in order.lines], moment, automatic=True)
        self._plan_invoice(order, receipts, d)
        if po_type == "bill_and_replace":
            self._plan_replacement(order, d)
        return order

    def _add_unused(
        self, order: Order, requisition: Requisition, first: BillOnlyRequest, supplier: Supplier, d: date
    ) -> None:
        """BO-02: the bill sheet lists an implant that was brought along and not used."""
        desk = self.desk
        legacy = order.site.erp == "erp_lawson"
        used = self._catalogues[first.log_id]
        others = [
            item
            for item in desk.world.items.values()
            if item.stock_class == "BILLONLY"
            and item.supplier_id == supplier.supplier_id
            and item.vendor_catalogue_number not in used
            and (item.legacy_no if legacy else item.cloud_no)
        ]
        if not others:
            return
        if not desk.plan.wants("BO-02", True, order.po_key, d, "not used"):
            return
        item = desk.chance.stream("unused implant", order.po_key).pick(others)
        lot = desk.stock.new_lot(item, d, order.po_key)
        unused = replace(
            first,
            implant_id=f"unused|{order.po_key}",
            item_key=item.key,
            stock_class="BILLONLY",
            quantity_each=Decimal(1),
            unit_cost=None,
            supplier_id=item.supplier_id,
            vendor_catalogue_number=item.vendor_catalogue_number,
            lot=lot.lot,
            serial=lot.serial,
        )
        line = self._add(order, requisition, unused, supplier, d, CaseText(first.case_id, first.case_id))
        desk.plan.note("BO-02", entity_of_line(line), order.site.code, False, "not used")

    def _as_typed(self, request: BillOnlyRequest, case: CaseText, d: date) -> BillOnlyRequest:
        """BO-03: quantity, lot or serial as the buyer types them from the bill sheet."""
        wants = self.desk.plan.wants
        key = (request.log_id, request.implant_id)
        if case.reason or not (request.lot or request.serial) or self._fate_of(request):
            return request
        name = "lot" if request.lot else "serial"
        code = request.lot or request.serial or ""
        if wants("BO-03", True, key, d, "quantity"):
            return replace(request, quantity_each=request.quantity_each + 1)
        if wants("BO-03", True, key, d, "lot or serial"):
            return replace(request, **{name: f"{code[:-2]}{(int(code[-2]) + 3) % 10}{code[-1]}"})  # type: ignore[arg-type]
        if "0" in code and wants("BO-03", False, key, d, "letter O"):
            return replace(request, **{name: code.replace("0", "O")})  # type: ignore[arg-type]
        return request

    def _requisition(self, site: Site, place: str, moment: datetime) -> Requisition:
        series = self.desk.series
        if site.erp == "erp_lawson":
            number = f"{series.next('requisition', site.company, first=30001):010d}"
        else:
            number = f"SR{series.next('requisition', 'cloud', first=1):08d}"
        requisition = Requisition(site, number, "BILLONLY", place, moment)
        requisition.cloud_id = series.next("requisition id", first=300000440000001)
        return requisition

    def _add(
        self,
        order: Order,
        requisition: Requisition,
        asked_for: BillOnlyRequest,
        supplier: Supplier,
        d: date,
        case: CaseText | None = None,
    ) -> OrderLine:
        desk, site = self.desk, order.site
        request = asked_for
        if case is None:
            case = self._case_text(asked_for, site)
            request = self._as_typed(asked_for, case, d)
        item = desk.world.items[request.item_key] if request.item_key is not None else None
        if item is not None and not (item.legacy_no if site.erp == "erp_lawson" else item.cloud_no):
            item = None
        if item is not None:
            price = self.ordering.prices.contract_price(item, site, supplier, EACH, d)
        else:
            price = Price(cents(request.unit_cost or Decimal(0)))
        note = self._note(request, case, site)
        description = item.description if item is not None else "IMPLANT NOT ON FILE"
        asked = RequisitionLine(
            line=len(requisition.lines) + 1,
            item=item,
            description=description,
            quantity=request.quantity_each,
            uom="EA",
            each_per_uom=Decimal(1),
            unit_price=price.unit_price,
            kind=order.po_type,
            destination=None,
            department=request.department,
            note=note,
            case_text=case.typed,
            supplier=supplier,
            requisition=requisition,
        )
        asked.cloud_id = desk.series.next("requisition line id", first=300000450000001)
        requisition.lines.append(asked)
        line = self.ordering.add_line(
            order,
            item=item,
            description=description,
            quantity=request.quantity_each,
            package=Package("EA", Decimal(1), ""),
            price=price,
            department=request.department,
            expense_role="IMPLANT_EXP",
            vendor_catalogue_number=request.vendor_catalogue_number,
            requisition_line=asked,
        )
        line.case_text, line.case_parsed = case.typed, case.parsed
        if asked_for.credit_share is not None:
            self._credits[order.po_key, line.line] = asked_for
        line.true_log_id, line.surgery_date = request.log_id, request.surgery_date
        line.lot, line.serial, line.note = request.lot, request.serial, note
        if case.reason:
            entity = f"case={request.log_id}|implant={request.implant_id}"
            desk.plan.note("BO-01", entity, request.site, True, case.reason)
        if request is not asked_for:
            is_near_miss = code_key(request.lot, request.serial) == code_key(asked_for.lot, asked_for.serial)
            is_near_miss = is_near_miss and request.quantity_each == asked_for.quantity_each
            reason = "letter O in the lot" if is_near_miss else "typed wrong"
            desk.plan.note("BO-03", entity_of_line(line), request.site, is_near_miss, reason)
        return line

    def _case_text(self, request: BillOnlyRequest, site: Site) -> CaseText:
        """The case number as typed; a wrong or missing one only where lot or serial still find the order."""
        desk, number = self.desk, request.case_id
        key = (request.log_id, request.implant_id)
        findable = bool(request.lot or request.serial) and bool(request.vendor_catalogue_number)
        on_time = self._fate.get(request.log_id, "") == ""
        if findable and on_time:
            wants = desk.plan.wants
            if "0" in number and (
                wants("BO-01", False, key, request.surgery_date, "letter O")
                or desk.plan.quirk("Q89", *key, "O", share=0.02)
            ):
                return CaseText(number.replace("0", "O", 1), number, "letter O in the case number")
            missing = 0.04 if site.erp == "erp_fusion" else 0.01
            if wants("BO-01", False, key, request.surgery_date, "by lot or serial") or desk.plan.quirk(
                "Q89", *key, "missing", share=missing
            ):
                return CaseText(None, None, "found by lot or serial")
            if request.log_id != number and desk.plan.quirk("Q89", *key, "log", share=0.10):
                return CaseText(request.log_id, request.log_id, "log number in place of the case number")
        if site.erp == "erp_lawson" and desk.plan.quirk("Q89", *key, "blanks"):
            return CaseText(f"  {number} ", number)
        return CaseText(number, number)

    @staticmethod
    def _note(request: BillOnlyRequest, case: CaseText, site: Site) -> str:
        parts = [f"CASE {case.typed.strip()}"] if case.typed else []
        if request.lot:
            parts.append(f"LOT {request.lot}")
        if request.serial:
            parts.append(f"SN {request.serial}")
        if request.patient_name:
            parts.append(f"PT {request.patient_name}")
        if request.surgeon_name:
            parts.append(f"DR {request.surgeon_name}")
        return " ".join(parts)

    def _plan_invoice(self, order: Order, receipts: list[Receipt], d: date) -> None:
        stream = self.desk.chance.stream("implant invoice", order.po_key)
        entered = d + timedelta(days=stream.integer(1, 5))
        invoice_date = d + timedelta(days=stream.integer(0, (entered - d).days))
        moment = at(entered, 11, stream.integer(0, 59))
        freight = stream.decimal(12, 38) if stream.flag(0.25) else Decimal(0)
        by_line = {id(receipt.order_line): receipt for receipt in receipts}

        def enter() -> None:
            self.payables.enter(
                order.site,
                order.supplier,
                order,
                [as_ordered(line, line.quantity, by_line[id(line)]) for line in order.lines],
                invoice_date,
                moment,
                freight=freight,
            )
            for line in order.lines:
                request = self._credits.pop((order.po_key, line.line), None)
                if request is not None:
                    self._plan_credit(line, request, entered)

        self.desk.schedule(moment, enter)

    def _plan_credit(self, line: OrderLine, request: BillOnlyRequest, entered: date) -> None:
        """A credit memo of an amount, not of a quantity: the supplier warrants the device that was replaced."""
        stream = self.desk.chance.stream("device credit", line.order.po_key, line.line)
        d = entered + timedelta(days=stream.integer(2, 6))
        moment = at(d, 13, stream.integer(0, 59))
        amount = cents(line.unit_price * request.quantity_each * (request.credit_share or Decimal(0)))

        def credit() -> None:
            bill = Bill(line, Decimal(0), Decimal(0), line.uom, line.each_per_uom, amount=-amount)
            order = line.order
            self.payables.enter(order.site, order.supplier, order, [bill], d, moment, kind="credit", source="MAN")
            for hear in self.on_credit:
                hear(request, amount, d)

        self.desk.schedule(moment, credit)

    def _plan_replacement(self, order: Order, d: date) -> None:
        moment = at(d + timedelta(days=self.desk.chance.stream("replacement", order.po_key).integer(2, 4)), 5, 45)

        def arrive() -> None:
            for line in order.lines:
                if line.item is not None and line.item.stock_class == "CONSIGN":
                    self.desk.stock.consign_in(order.site.code, line.item, line.quantity, moment, order.po_key)

        self.desk.schedule(moment, arrive)

    # ------------------------------------------------------------------------------------------------------- accrual

    def value(self, request: BillOnlyRequest) -> Decimal:
        """Contract price of an implant on the use date, else its cost, times quantity."""
        each = None
        if request.item_key is not None:
            item = self.desk.world.items[request.item_key]
            each = self.desk.book.contract_price_each(item, request.site, request.surgery_date)
            each = each if each is not None else item.price_each
        return cents((each if each is not None else request.unit_cost or Decimal(0)) * request.quantity_each)

    def accrue(self, d: date) -> None:
        """E20 on the last day of a month for what is used and not ordered, E20r on the first day of the next."""
        desk = self.desk
        if d == month_end(d):
            for site in desk.world.sites.values():
                totals: dict[str, Decimal] = {}
                for request in self._unordered.values():
                    if request.site == site.code:
                        totals[request.department] = totals.get(request.department, Decimal(0)) + self.value(request)
                for department in sorted(totals):
                    desk.post(
                        site,
                        "E20",
                        d,
                        ("IMPLANT_EXP", department),
                        ("BILLONLY_ACCRUAL", "0000"),
                        totals[department],
                        "ACCRUAL",
                        f"{site.code}-{d:%Y%m}-{department}",
                        at(d, 22),
                    )
                    self._accrued.setdefault(site.code, []).append((site, desk.world.postings[-1]))
        elif d.day == 1:
            for code in desk.world.sites:
                # The reversal follows its accrual, also into the ledger that the site left on this day.
                for site, posting in self._accrued.pop(code, []):
                    desk.post(
                        site,
                        "E20r",
                        d,
                        ("IMPLANT_EXP", posting.debit_department),
                        ("BILLONLY_ACCRUAL", "0000"),
                        -posting.amount,
                        "ACCRUAL",
                        posting.subledger_key,
                        at(d, 5),
                    )
