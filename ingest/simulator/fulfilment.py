"""What follows an order: when goods arrive, when and how they are billed, and what goes wrong with that.

Here: the course of every order line, with the defects and near misses of the match rules (M3-01, 02, 05, 06, 07) and of
invoices (M3-10, M3-15).
Not here: other discrepancies (discrepancies), the entries themselves (receiving, payables), prices of orders
(order_prices), implants (implants).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial

from ingest.simulator.accounts import next_business_day
from ingest.simulator.chance import Stream
from ingest.simulator.desk import Desk, at
from ingest.simulator.discrepancies import (
    Course,
    Discrepancies,
    entity_of_invoice,
    entity_of_invoice_line,
    entity_of_line,
)
from ingest.simulator.documents import ZERO, InvoiceDocument, Order, OrderLine, Receipt, cents
from ingest.simulator.events import Site
from ingest.simulator.order_prices import FIVE_PLACES, divides_exactly
from ingest.simulator.payables import Bill, Expense, Payables, as_ordered
from ingest.simulator.receiving import Receiving

EARLY_INVOICE = 0.35  # Q117
SPLIT_LINE = 0.06
CANCELLED_LINE = 0.02
KEYED_WRONG = 0.02  # Q87, Q103
RETURNED_AT_ONCE = 0.012
OTHER_UNIT = 0.05  # Q83
PRICE_CENTS_OFF = 0.06
FREIGHT_SHARE = 0.14
TAX_SHARE = 0.006
HEADER_CENT = 0.02
HELD_ANYWAY = 0.08
ENTERED_EARLY = 0.3  # of the invoices before the receipt are vouchered before it, too
CHECKED_LATER_DAYS = 10
MATURE_GRNI_DAYS = 60
# Planted when there is the invoice line, the shipment or the acknowledgement that they are found by.
NOTED_LATER = ("M3-01", "M3-04", "AS-01", "PA-02")
DUPLICATES = {"retyped": ("revision", "punctuation", "again"), "matched": ("matched",)}


class Fulfilment:
    """Suppliers, docks and payables clerks: what they do with each order."""

    def __init__(self, desk: Desk, receiving: Receiving, payables: Payables) -> None:
        self.desk = desk
        self.receiving = receiving
        self.payables = payables
        self.discrepancies = Discrepancies(desk, self)

    # ------------------------------------------------------------------------------------------------ regular orders

    def plan_order(self, order: Order) -> None:
        """Schedule everything that happens to a regular order."""
        d = order.order_date
        stream = self.desk.chance.stream("fulfilment", order.po_key)
        arrival = next_business_day(d + timedelta(days=stream.integer(2, 5)))
        together: list[OrderLine] = []
        for line in order.lines:
            ways, course = self._way(line, d, arrival)
            if course is None:
                together.append(line)
                continue
            line.mark = line.mark or f"{course.rule}:{course.name}"
            getattr(ways, f"_plan_{course.name}")(
                line, arrival, self.desk.chance.stream("course", entity_of_line(line))
            )
            if course.rule and course.rule not in NOTED_LATER:
                self.desk.plan.note(
                    course.rule, entity_of_line(line), order.site.code, course.is_near_miss, course.name
                )
        if together:
            self._plan_together(order, together, arrival, stream)

    def _way(self, line: OrderLine, d: date, arrival: date) -> tuple[Fulfilment | Discrepancies, Course | None]:
        """A special way for a line and who plans it; which of the two is asked first changes from line to line."""
        if line.mark or line.unit_price == 0:
            return self, self.course(line, d, arrival)
        planners: list[Fulfilment | Discrepancies] = [self, self.discrepancies]
        if self.desk.chance.stream("whose way", entity_of_line(line)).flag(0.5):
            planners.reverse()
        for planner in planners:
            course = planner.course(line, d, arrival)
            if course is not None:
                return planner, course
        return self, None

    def course(self, line: OrderLine, d: date, arrival: date) -> Course | None:
        """A special way for this line when the plan wants one, else None."""
        if line.mark or line.unit_price == 0:
            return Course("free") if line.unit_price == 0 else None
        key = entity_of_line(line)
        if line.order.match_basis == "ers":
            if line.expense_role and self._wants("M3-05", False, key, d, "ers"):
                return Course("never_settled", "M3-05", True)
            return None
        quantity, each, amount = line.quantity, line.each_per_uom, line.amount
        nonstock = line.expense_role is not None
        is_supply = line.item is None or line.item.item_class != "IMPLANT"
        if amount >= 60:
            matures = arrival + timedelta(days=MATURE_GRNI_DAYS + 1) <= self.desk.world.end
            if matures and self._wants("M3-05", True, key, d, "unbilled"):
                return Course("unbilled", "M3-05")
            if self._wants("M3-06", True, key, d, "lost"):
                return Course("lost", "M3-06")
            if quantity >= 4 and self._wants("M3-02", True, key, d, "short"):
                return Course("short", "M3-02")
            if nonstock and quantity >= 3 and self._wants("M3-02", True, key, d, "returned"):
                return Course("returned_uncredited", "M3-02")
            if self._wants("M3-01", True, key, d, "over"):
                return Course("overpriced", "M3-01")
            if self._wants("M3-01", True, key, d, "under"):
                return Course("underpriced", "M3-01")
        if nonstock and self._wants("M3-05", False, key, d, "returned later"):
            return Course("returned_unbilled", "M3-05", True)
        if self._wants("M3-05", False, key, d, "59 days"):
            return Course("billed_late", "M3-05", True)
        if is_supply and nonstock and each == 1 and quantity >= 60 and self._wants("M3-02", False, key, d, "tolerance"):
            return Course("one_short", "M3-02", True)
        if quantity >= 2 and line.has_exact_cents and self._wants("M3-02", False, key, d, "correction"):
            return Course("corrected", "M3-02", True)
        if quantity >= 2 and line.has_exact_cents and self._wants("M3-02", False, key, d, "rest on its way"):
            return Course("billed_ahead", "M3-02", True)
        if nonstock and quantity >= 3 and self._wants("M3-02", False, key, d, "returned and credited"):
            return Course("returned_credited", "M3-02", True)
        if line.has_exact_cents and self._wants("M3-06", False, key, d, "immature"):
            return Course("billed_first", "M3-06", True)
        if not divides_exactly(each) or not line.has_exact_cents:
            return None
        off = 5 / quantity
        fits = amount >= 250 and divides_exactly(quantity) and off == off.quantize(FIVE_PLACES)
        if fits and self._wants("M3-01", False, key, d, "five dollars"):
            return Course("five_dollars_off", "M3-01", True)
        if 20 <= amount <= 250 and self._wants("M3-01", False, key, d, "two percent"):
            return Course("two_percent_off", "M3-01", True)
        if each > 1 and self.in_each(line) is not None and self._wants("M3-04", True, key, d, "in each"):
            return Course("billed_in_each", "M3-04")
        if line.order.site.erp == "erp_fusion" and self._wants("M3-01", False, key, d, "discarded"):
            return Course("discarded_first", "M3-01", True)
        return None

    def _wants(self, rule: str, defect: bool, key: str, d: date, variant: str) -> bool:
        return self.desk.plan.wants(rule, defect, key, d, variant)

    # --------------------------------------------------------------------------------------------------- normal ways

    def _plan_together(self, order: Order, lines: list[OrderLine], arrival: date, stream: Stream) -> None:
        """Lines that arrive as they were ordered, most in one shipment, and are billed by shipment."""
        first: list[tuple[OrderLine, Decimal]] = []
        rest: list[tuple[OrderLine, Decimal]] = []
        for line in lines:
            own = self.desk.chance.stream("way", entity_of_line(line))
            if own.flag(CANCELLED_LINE) and not line.mark:
                moment = at(order.order_date, 11) + timedelta(days=own.integer(0, 1))
                self.desk.schedule(moment, partial(self.desk.cancel_line, line, moment))
            elif line.quantity >= 2 and own.flag(SPLIT_LINE):
                part = Decimal(own.integer(1, int(line.quantity) - 1))
                first.append((line, part))
                rest.append((line, line.quantity - part))
            else:
                first.append((line, line.quantity))
        if first:
            self._plan_shipment(order, first, arrival, stream)
        if rest:
            later = next_business_day(arrival + timedelta(days=stream.integer(3, 7)))
            for line, _ in rest:
                self.promise_later(line, later, at(arrival, 16))
            if stream.flag(0.3):
                moment = at(later, 8)
                for line, _ in rest:
                    self.desk.schedule(moment, partial(self.desk.cancel_line, line, moment))
            else:
                self._plan_shipment(order, rest, later, stream)

    def _plan_shipment(
        self, order: Order, parts: list[tuple[OrderLine, Decimal]], arrival: date, stream: Stream
    ) -> None:
        received_at = self._dock_time(arrival, stream)
        ers = order.match_basis == "ers"
        exact = all(line.has_exact_cents for line, _ in parts)
        early = not ers and exact and stream.flag(EARLY_INVOICE / 0.9)
        wrong = None if ers or early else self._keyed_wrong(parts, stream)
        box: list[Receipt] = []

        def arrive() -> None:
            keyed = [(line, quantity - (wrong[1] if wrong and wrong[0] is line else 0)) for line, quantity in parts]
            box.extend(self.receiving.receive(keyed, received_at, may_wait=not early and not ers and wrong is None))
            if wrong is not None:
                receipt = next(entry for entry in box if entry.order_line is wrong[0])
                moment = at(arrival + timedelta(days=1), 5, 50)
                self.desk.schedule(moment, lambda: self._keep(box, self.receiving.correct(receipt, wrong[1], moment)))
            if ers:
                self._settle(order, box, arrival)

        self.desk.schedule(received_at, arrive)
        if ers:
            return
        if early:
            invoice_date = max(arrival - timedelta(days=stream.integer(1, 3)), order.order_date)
            entered = min(invoice_date + timedelta(days=stream.integer(0, 1)), arrival)
        else:
            entered = next_business_day(arrival + timedelta(days=stream.integer(3, CHECKED_LATER_DAYS)))
            invoice_date = min(arrival + timedelta(days=stream.integer(-1, 6)), entered)
        returned = None if early else self._returned(parts, wrong, stream)
        if returned is not None:
            moment = at(arrival + timedelta(days=2), 5, 55)
            self.desk.schedule(moment, lambda: self._return_part(box, returned, moment))
        moment = self._desk_time(entered, stream)
        if early and not self.desk.chance.stream("voucher", order.po_key, arrival).flag(ENTERED_EARLY):
            moment = self._desk_time(arrival, stream)
        elif early and entered == arrival:
            moment = at(entered, 5, 5)
        self.desk.schedule(moment, lambda: self._bill_shipment(order, parts, returned, invoice_date, moment, box))

    def promise_later(self, line: OrderLine, day: date, moment: datetime) -> None:
        """Schedule that the supplier names a new day for what is still to come of a line."""
        self.desk.schedule(moment, partial(self.desk.promise, line, day, moment))

    @staticmethod
    def _keep(box: list[Receipt], receipt: Receipt) -> None:
        box.append(receipt)

    @staticmethod
    def _dock_time(day: date, stream: Stream) -> datetime:
        return at(day, 5, 30) + timedelta(minutes=stream.integer(0, 14))

    @staticmethod
    def _desk_time(day: date, stream: Stream) -> datetime:
        return at(day, 9) + timedelta(minutes=stream.integer(0, 420))

    @staticmethod
    def _keyed_wrong(parts: Sequence[tuple[OrderLine, Decimal]], stream: Stream) -> tuple[OrderLine, Decimal] | None:
        """A line whose receipt is keyed too low and corrected the next day."""
        if not stream.flag(KEYED_WRONG * len(parts)):
            return None
        line, quantity = stream.pick(parts)
        if quantity < 2:
            return None
        return line, Decimal(stream.integer(1, max(1, int(quantity) // 2)))

    def _returned(
        self, parts: Sequence[tuple[OrderLine, Decimal]], wrong: tuple[OrderLine, Decimal] | None, stream: Stream
    ) -> tuple[OrderLine, Decimal] | None:
        """A non-stock line of which a part goes back before it is billed."""
        if wrong is not None or not stream.flag(RETURNED_AT_ONCE * len(parts)):
            return None
        line, quantity = stream.pick(parts)
        if line.expense_role is None or quantity < 2 or quantity != line.quantity:
            return None
        return line, Decimal(1)

    def _return_part(self, box: list[Receipt], returned: tuple[OrderLine, Decimal], moment: datetime) -> None:
        line, quantity = returned
        line.cancelled_at = moment
        receipt = next(entry for entry in box if entry.order_line is line)
        if not receipt.is_released:
            return
        box.append(self.receiving.give_back(receipt, quantity, moment))
        line.cancelled += quantity
        self.desk.record_order_line(line, moment)
        self.desk.show_line(line, moment)

    def _bill_shipment(
        self,
        order: Order,
        parts: Sequence[tuple[OrderLine, Decimal]],
        returned: tuple[OrderLine, Decimal] | None,
        invoice_date: date,
        moment: datetime,
        box: Sequence[Receipt],
    ) -> None:
        stream = self.desk.chance.stream("billing", order.po_key, moment)
        bills = []
        for line, quantity in parts:
            if returned is not None and returned[0] is line and any(entry.kind == "return" for entry in box):
                quantity -= returned[1]
            receipt = next((entry for entry in box if entry.order_line is line), None)
            bills.append(self._bill(line, quantity, receipt, stream))
        invoice = self._enter(order, bills, invoice_date, moment, stream)
        missing = [line for line, _ in parts if line.invoiced > line.received]
        for line in missing:
            hold = self.payables.hold(invoice, line, "QTY" if line.received else "NOREC", moment)
            release = at(moment.date() + timedelta(days=5), 6, 30)
            self.desk.schedule(release, partial(self.payables.release, hold, release))
        if not missing and stream.flag(HELD_ANYWAY):
            self._hold_and_repeat(invoice, parts[0][0], moment, stream)
        self._maybe_twice(invoice, parts)

    def _bill(self, line: OrderLine, quantity: Decimal, receipt: Receipt | None, stream: Stream) -> Bill:
        """Bill a quantity at the order price, now and then in EACH or a few cents off."""
        plain = as_ordered(line, quantity, receipt)
        if line.mark:
            return plain
        # Another unit than the order's is a defect (M3-04).
        if stream.flag(OTHER_UNIT) and self.desk.plan.defects and self.desk.plan.shows("Q83"):
            each = self.in_each(line)
            if each is not None:
                return Bill(line, quantity * line.each_per_uom, each, "EA", Decimal(1), receipt)
        if stream.flag(PRICE_CENTS_OFF) and line.order.po_type == "regular":
            # Both five dollars and two percent of the line bound what is tolerated above the order price.
            most = min(Decimal("4.50"), line.unit_price * quantity * Decimal("0.015"))
            off = (most / quantity * stream.decimal(-1.0, 1.0)).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
            if line.unit_price + off > 0:
                return Bill(line, quantity, line.unit_price + off, line.uom, line.each_per_uom, receipt)
        return plain

    @staticmethod
    def in_each(line: OrderLine) -> Decimal | None:
        """Price per EACH when it is exact at five decimals."""
        if line.each_per_uom == 1 or not divides_exactly(line.each_per_uom):
            return None
        price = line.unit_price / line.each_per_uom
        return price if price == price.quantize(FIVE_PLACES) else None

    def _enter(
        self, order: Order, bills: Sequence[Bill], invoice_date: date, moment: datetime, stream: Stream, mark: str = ""
    ) -> InvoiceDocument:
        freight = stream.decimal(6, 24) if stream.flag(FREIGHT_SHARE) else Decimal(0)
        tax = stream.decimal(1, 9) if stream.flag(TAX_SHARE) else Decimal(0)
        cent = stream.pick((Decimal("0.01"), Decimal("-0.01"))) if stream.flag(HEADER_CENT) else Decimal(0)
        number = self.desk.invoice_number(order.supplier)
        is_wrong = self._wants("M3-10", True, order.po_key, moment.date(), "header")
        if is_wrong:
            off = self.desk.chance.stream("header off", order.po_key, number)
            cent = off.decimal(0.5, 40) * off.pick((1, -1))
        if order.site.erp == "erp_lawson" and self.desk.plan.quirk("Q88", order.po_key, moment):
            self._cancelled_version(order, number, bills, invoice_date, moment)
        invoice = self.payables.enter(
            order.site,
            order.supplier,
            order,
            bills,
            invoice_date,
            moment,
            number=number,
            freight=freight,
            tax=tax,
            header_difference=cent,
            mark=mark,
        )
        if is_wrong:
            self.desk.plan.note("M3-10", entity_of_invoice(invoice), invoice.site.code, False, "header")
        elif cent and self._wants("M3-10", False, order.po_key, moment.date(), "one cent"):
            self.desk.plan.note("M3-10", entity_of_invoice(invoice), invoice.site.code, True, "one cent")
        return invoice

    def _cancelled_version(
        self, order: Order, number: str, bills: Sequence[Bill], invoice_date: date, moment: datetime
    ) -> None:
        """An invoice that was keyed with a wrong amount, cancelled and keyed again on the same day (Q88)."""
        wrong = cents(sum((bill.quantity * bill.unit_price for bill in bills), Decimal(0)) + 100)
        self.payables.enter(
            order.site,
            order.supplier,
            order,
            (),
            invoice_date,
            moment - timedelta(minutes=20),
            number=number,
            source="MAN",
            expenses=(Expense(wrong, "SUPPLY_EXP", "8020"),),
            cancelled=True,
        )

    def _hold_and_repeat(self, invoice: InvoiceDocument, line: OrderLine, moment: datetime, stream: Stream) -> None:
        """A hold without cause, released, and in the cloud now and then set again (Q93, Q97)."""
        hold = self.payables.hold(invoice, line, stream.pick(("COST", "QTY")), moment)
        released = at(moment.date() + timedelta(days=stream.integer(1, 4)), 21)
        self.desk.schedule(released, lambda: self.payables.release(hold, released))
        if stream.flag(0.6):
            again_at = released + timedelta(days=1)
            over_at = again_at + timedelta(days=stream.integer(1, 3))

            def again() -> None:
                second = self.payables.hold(invoice, line, hold.reason, again_at)
                self.desk.schedule(over_at, lambda: self.payables.release(second, over_at))

            self.desk.schedule(again_at, again)

    def _settle(self, order: Order, box: Sequence[Receipt], arrival: date) -> None:
        """Pay what was received without an invoice (E06)."""
        moment = at(arrival + timedelta(days=1), 4)
        kept = list(box)

        def settle() -> None:
            bills = [as_ordered(entry.order_line, entry.quantity, entry) for entry in kept]
            self._bill_anyway(order, bills, arrival, moment)
            self.payables.enter(
                order.site,
                order.supplier,
                order,
                bills,
                arrival,
                moment,
                number=f"ERS{order.site.code}{kept[0].number}",
                source="ERS",
            )

        self.desk.schedule(moment, settle)

    def _bill_anyway(self, order: Order, bills: Sequence[Bill], arrival: date, moment: datetime) -> None:
        """M3-15: the supplier of an evaluated receipt bills as well (Q110); entered, or cancelled at once."""
        key, note = order.po_key, self.desk.plan.note
        shared = (order.site, order.supplier, order)
        if self._wants("M3-15", True, key, arrival, ""):
            invoice = self.payables.enter(*shared, bills, arrival, moment + timedelta(hours=6), source="EDI")
            for billed in invoice.lines:
                note("M3-15", entity_of_invoice_line(invoice, billed.line), order.site.code, False, "entered")
        elif self._wants("M3-15", False, key, arrival, "freight only"):
            invoice = self.payables.enter(*shared, (), arrival, moment + timedelta(hours=6), freight=Decimal("18.50"))
            note("M3-15", entity_of_invoice_line(invoice, invoice.lines[0].line), order.site.code, True, "freight only")
        elif self.desk.plan.quirk("Q110", key, share=0.05):
            invoice = self.payables.enter(*shared, bills, arrival, moment, cancelled=True)
            if self._wants("M3-15", False, key, arrival, "cancelled"):
                number = invoice.lines[0].line
                note("M3-15", entity_of_invoice_line(invoice, number), order.site.code, True, "cancelled")

    # --------------------------------------------------------------------------------- defects and near misses of M3

    def bill_alone(
        self,
        line: OrderLine,
        bills: Sequence[Bill],
        invoice_date: date,
        moment: datetime,
        then: Callable[[InvoiceDocument], None] | None = None,
    ) -> None:
        """Schedule an invoice of one line of its own."""

        def enter() -> None:
            stream = self.desk.chance.stream("alone", entity_of_line(line), moment)
            mark = line.mark
            invoice = self._enter(line.order, bills, invoice_date, moment, stream, mark)
            if then is not None:
                then(invoice)

        self.desk.schedule(moment, enter)

    def arrive_alone(
        self,
        line: OrderLine,
        quantity: Decimal,
        arrival: date,
        then: Callable[[Receipt], None] | None = None,
        announced: Decimal | None = None,
        expected_on: date | None = None,
    ) -> None:
        """Schedule a receipt of one line of its own; its ship notice may say another quantity or day."""
        moment = at(arrival, 5, 31)

        def arrive() -> None:
            receipt = self.receiving.receive([(line, quantity)], moment, announced=announced, expected_on=expected_on)[
                0
            ]
            if then is not None:
                then(receipt)

        self.desk.schedule(moment, arrive)

    def _plan_free(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Free goods: received, never billed."""
        self.arrive_alone(line, line.quantity, arrival)

    def _plan_never_settled(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Evaluated receipt that no settlement run picked up."""
        self.arrive_alone(line, line.quantity, arrival)

    def _plan_unbilled(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """M3-05: received and never billed, or billed long after."""
        self.arrive_alone(line, line.quantity, arrival)
        if stream.flag(0.25):
            late = next_business_day(arrival + timedelta(days=stream.integer(66, 75)))
            self.bill_alone(line, [as_ordered(line, line.quantity)], late - timedelta(days=2), at(late, 11))

    def _plan_billed_late(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-05: billed just before the receipt is old enough."""
        self.arrive_alone(line, line.quantity, arrival)
        late = arrival + timedelta(days=MATURE_GRNI_DAYS - 2)
        self.bill_alone(line, [as_ordered(line, line.quantity)], late - timedelta(days=3), at(late, 11))

    def _plan_returned_unbilled(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-05: never billed, all of it returned."""

        def then(receipt: Receipt) -> None:
            moment = at(next_business_day(arrival + timedelta(days=stream.integer(20, 45))), 5, 56)
            self.desk.schedule(moment, lambda: self._return_all(receipt, moment))

        self.arrive_alone(line, line.quantity, arrival, then)

    def _return_all(self, receipt: Receipt, moment: datetime) -> None:
        self.receiving.give_back(receipt, receipt.quantity, moment)
        line = receipt.order_line
        line.cancelled_at = moment
        line.cancelled += line.open_quantity
        self.desk.record_order_line(line, moment)
        self.desk.show_line(line, moment)

    def _plan_lost(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """M3-06: billed, nothing arrives."""
        entered = arrival - timedelta(days=1)
        moment = at(entered, 12)

        def then(invoice: InvoiceDocument) -> None:
            self.payables.hold(invoice, line, "NOREC", moment)
            if line.destination is not None and line.item is not None and line.expense_role is None:
                each = line.quantity * line.each_per_uom
                self.desk.stock.cancel_order(line.destination.location_id, line.item.key, each)

        self.bill_alone(line, [as_ordered(line, line.quantity)], max(line.order.order_date, entered), moment, then)
        if stream.flag(0.25) and line.expense_role is not None:
            self.arrive_alone(line, line.quantity, next_business_day(arrival + timedelta(days=12)))

    def _plan_billed_first(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-06: the receipt comes within the days of grace."""
        invoice_date = max(line.order.order_date, arrival - timedelta(days=3))
        self.bill_alone(line, [as_ordered(line, line.quantity)], invoice_date, at(invoice_date, 12))
        self.arrive_alone(line, line.quantity, arrival)

    def _plan_short(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """M3-02: less arrives than is billed."""
        part = (line.quantity * stream.decimal(0.5, 0.75)).to_integral_value(rounding="ROUND_FLOOR")
        missing = line.quantity - part

        def then(receipt: Receipt) -> None:
            if line.destination is not None and line.item is not None and line.expense_role is None:
                each = missing * line.each_per_uom
                self.desk.stock.cancel_order(line.destination.location_id, line.item.key, each)

        self.arrive_alone(line, part, arrival, then)
        entered = next_business_day(arrival + timedelta(days=2))
        moment = at(entered, 13)
        self.bill_alone(
            line,
            [as_ordered(line, line.quantity)],
            arrival,
            moment,
            lambda invoice: self.hold(invoice, line, "QTY", moment),
        )
        if stream.flag(0.3):
            credit_at = at(next_business_day(entered + timedelta(days=14)), 13)
            self.credit(line, missing, credit_at)

    def hold(self, invoice: InvoiceDocument, line: OrderLine, reason: str, moment: datetime) -> None:
        """Stop the payment of an invoice for a line."""
        self.payables.hold(invoice, line, reason, moment)

    def credit(self, line: OrderLine, quantity: Decimal, moment: datetime) -> None:
        """Schedule a credit memo for a quantity of a line."""

        def enter() -> None:
            self.payables.enter(
                line.order.site,
                line.order.supplier,
                line.order,
                [as_ordered(line, -quantity)],
                moment.date(),
                moment,
                kind="credit",
                number=f"CM{self.desk.invoice_number(line.order.supplier)}",
            )

        self.desk.schedule(moment, enter)

    def _plan_returned_uncredited(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """M3-02: billed and returned, and the credit memo does not come, or late."""
        back = Decimal(stream.integer(2, max(2, int(line.quantity) // 2)))
        sent_at = at(next_business_day(arrival + timedelta(days=7)), 5, 57)

        def then(receipt: Receipt) -> None:
            self.desk.schedule(sent_at, lambda: self.send_back(receipt, back, sent_at))

        self.arrive_alone(line, line.quantity, arrival, then)
        entered = next_business_day(arrival + timedelta(days=2))
        self.bill_alone(line, [as_ordered(line, line.quantity)], arrival, at(entered, 13))
        if stream.flag(0.4):
            self.credit(line, back, at(next_business_day(sent_at.date() + timedelta(days=9)), 13))

    def send_back(self, receipt: Receipt, quantity: Decimal, moment: datetime) -> None:
        """Return a part of a receipt that is not asked for again."""
        self.receiving.give_back(receipt, quantity, moment)
        line = receipt.order_line
        line.cancelled += max(min(quantity, line.open_quantity), ZERO)
        line.cancelled_at = moment
        self.desk.record_order_line(line, moment)
        self.desk.show_line(line, moment)

    def _plan_one_short(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-02: one EACH less than billed, within tolerance."""
        self.arrive_alone(line, line.quantity - 1, arrival)
        moment = at(arrival + timedelta(days=1), 8)
        self.desk.schedule(moment, partial(self.desk.cancel_line, line, moment))
        entered = next_business_day(arrival + timedelta(days=2))
        self.bill_alone(line, [as_ordered(line, line.quantity)], arrival, at(entered, 13))

    def _plan_billed_ahead(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-02: all of it billed with the first part, the rest arrives before that matures."""
        part = Decimal(stream.integer(1, int(line.quantity) - 1))
        first = next_business_day(arrival)
        while next_business_day(first + timedelta(days=1)) != first + timedelta(days=1):
            first = next_business_day(first + timedelta(days=1))
        self.promise_later(line, first + timedelta(days=1), at(line.order.order_date, 16))
        self.arrive_alone(line, part, first)
        self.bill_alone(line, [as_ordered(line, line.quantity)], first, at(first, 15))
        self.arrive_alone(line, line.quantity - part, first + timedelta(days=1))

    def _plan_returned_credited(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-02: a part goes back, and the credit memo comes on the same day."""
        back = Decimal(stream.integer(1, int(line.quantity) - 1))
        sent_at = at(next_business_day(arrival + timedelta(days=7)), 13)

        def then(receipt: Receipt) -> None:
            self.desk.schedule(sent_at, partial(self.send_back, receipt, back, sent_at))

        self.arrive_alone(line, line.quantity, arrival, then)
        entered = next_business_day(arrival + timedelta(days=2))
        self.bill_alone(line, [as_ordered(line, line.quantity)], arrival, at(entered, 13))
        self.credit(line, back, sent_at)

    def _plan_corrected(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-02: the receipt was keyed too low and is corrected before the invoice matures."""
        back = Decimal(stream.integer(1, max(1, int(line.quantity) // 2)))
        moment = at(arrival + timedelta(days=1), 5, 52)

        def then(receipt: Receipt) -> None:
            self.desk.schedule(moment, lambda: self._correct(receipt, back, moment))

        self.arrive_alone(line, line.quantity - back, arrival, then)
        self.bill_alone(line, [as_ordered(line, line.quantity)], arrival, at(arrival, 15))

    def _correct(self, receipt: Receipt, quantity: Decimal, moment: datetime) -> None:
        self.receiving.correct(receipt, quantity, moment)

    def _price_course(
        self, line: OrderLine, arrival: date, price: Decimal, reason: str, near: bool, held: bool = False
    ) -> None:
        self.arrive_alone(line, line.quantity, arrival)
        moment = at(next_business_day(arrival + timedelta(days=2)), 13)

        def then(invoice: InvoiceDocument) -> None:
            number = invoice.lines[0].line
            self.desk.plan.note("M3-01", entity_of_invoice_line(invoice, number), invoice.site.code, near, reason)
            if held:
                hold = self.payables.hold(invoice, line, "COST", moment)
                approved = at(next_business_day(moment.date() + timedelta(days=9)), 16)
                self.desk.schedule(approved, lambda: self.payables.release(hold, approved))

        bill = Bill(line, line.quantity, price, line.uom, line.each_per_uom)
        self.bill_alone(line, [bill], arrival, moment, then)

    def _plan_overpriced(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """M3-01: billed above the order price."""
        price = (line.unit_price * (1 + stream.decimal(0.04, 0.3))).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        self._price_course(line, arrival, price, "over", False, held=True)

    def _plan_underpriced(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """M3-01: billed far below the order price."""
        price = (line.unit_price * (1 - stream.decimal(0.14, 0.3))).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        self._price_course(line, arrival, price, "under", False)

    def _plan_five_dollars_off(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-01: exactly five dollars above the order."""
        self._price_course(line, arrival, line.unit_price + 5 / line.quantity, "five dollars", True)

    def _plan_two_percent_off(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-01: exactly two percent above the order price."""
        price = line.unit_price * Decimal("1.02")
        self._price_course(line, arrival, price.quantize(FIVE_PLACES), "two percent", True)

    def _plan_billed_in_each(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """M3-04 and near miss of M3-01: billed per EACH, ordered per box."""
        price = self.in_each(line)
        assert price is not None
        self.arrive_alone(line, line.quantity, arrival)
        moment = at(next_business_day(arrival + timedelta(days=2)), 13)
        bill = Bill(line, line.quantity * line.each_per_uom, price, "EA", Decimal(1))

        def then(invoice: InvoiceDocument) -> None:
            entity = entity_of_invoice_line(invoice, invoice.lines[0].line)
            self.desk.plan.note("M3-04", entity, invoice.site.code, False, "billed in each")
            self.desk.plan.note("M3-01", entity, invoice.site.code, True, "price unit explains it")

        self.bill_alone(line, [bill], arrival, moment, then)

    def _plan_discarded_first(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-01: a line with a wild price was discarded and entered again (Q98)."""
        self.arrive_alone(line, line.quantity, arrival)
        moment = at(next_business_day(arrival + timedelta(days=2)), 13)
        wild = (line.unit_price * Decimal("1.5")).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        bills = [
            Bill(line, line.quantity, wild, line.uom, line.each_per_uom, is_discarded=True),
            as_ordered(line, line.quantity),
        ]

        def then(invoice: InvoiceDocument) -> None:
            self.desk.plan.note("M3-01", entity_of_invoice_line(invoice, 1), invoice.site.code, True, "line discarded")

        self.bill_alone(line, bills, arrival, moment, then)

    # ----------------------------------------------------------------------------------------- duplicates of invoices

    def _maybe_twice(self, invoice: InvoiceDocument, parts: Sequence[tuple[OrderLine, Decimal]]) -> None:
        """Let an invoice come twice, or look as if, when the plan wants it (M3-07)."""
        d = invoice.entered_at.date()
        if invoice.amount < 60 or invoice.mark or any(line.mark for line, _ in parts):
            return
        key = entity_of_invoice(invoice)
        if self._other_site(invoice) is not None and self._wants("M3-07", True, key, d, "other erp"):
            self._plan_twice(invoice, "other erp")
            return
        for quota, ways in DUPLICATES.items():
            if self._wants("M3-07", True, key, d, quota):
                count = self.desk.series.next("duplicate", quota)
                self._plan_twice(invoice, ways[count % len(ways)])
                return
        if self._wants("M3-07", False, key, d, "cancelled"):
            self._plan_cancelled_twin(invoice)
            return
        alone = len(parts) == 1 and parts[0][0].expense_role is not None and invoice.amount == invoice.lines[0].amount
        line = parts[0][0]
        if not alone or line.received != line.invoiced or line.quantity != line.invoiced:
            return
        if self._wants("M3-07", False, key, d, "rebill"):
            self._plan_rebill(invoice, line)
        elif self._wants("M3-07", False, key, d, "credit"):
            self._plan_full_credit(invoice, line)

    def _other_site(self, invoice: InvoiceDocument) -> Site | None:
        for site in self.desk.world.sites.values():
            other = site.code != invoice.site.code and site.erp != invoice.site.erp
            if other and self.desk.serves(invoice.supplier, site):
                return site
        return None

    def _plan_twice(self, invoice: InvoiceDocument, variant: str) -> None:
        """The same invoice once more: retyped, revised, in the other ERP, or matched to the order again."""
        site = invoice.site
        number, suffix = invoice.number, 0
        if variant == "revision":
            number = f"{number}A"
        elif variant == "matched":
            number = f"{number}-B"
        elif variant == "punctuation":
            number = f"{number[:-3]}-{number[-3:]}"
        elif variant == "again":
            if site.erp == "erp_lawson":
                suffix = 1
            else:
                number = f"0{number}" if number[0].isdigit() else f"{number[:-5]} {number[-5:]}"
        else:
            other = self._other_site(invoice)
            assert other is not None
            site = other
        stream = self.desk.chance.stream("twice", invoice.events_key)
        entered = next_business_day(invoice.entered_at.date() + timedelta(days=stream.integer(1, 5)))
        moment = at(entered, 15, 30)
        invoice_date = max(
            invoice.invoice_date, min(entered, invoice.invoice_date + timedelta(days=stream.integer(0, 5)))
        )

        def enter() -> None:
            matched = variant == "matched" and invoice.order is not None
            bills = [
                Bill(line.order_line, line.quantity, line.unit_price, line.uom or "EA", line.each_per_uom)
                for line in invoice.lines
                if matched and line.order_line is not None and not line.is_discarded
            ]
            rest = invoice.amount - sum((cents(bill.quantity * bill.unit_price) for bill in bills), Decimal(0))
            expenses = (Expense(rest, "SUPPLY_EXP", "8020"),) if rest else ()
            if matched:
                expenses = (Expense(rest, "FREIGHT", "8020", "freight"),) if rest else ()
            twin = self.payables.enter(
                site,
                invoice.supplier,
                invoice.order if matched else None,
                bills,
                invoice_date,
                moment,
                number=number,
                suffix=suffix,
                source="MAN",
                expenses=expenses,
                mark=f"M3-07:{variant}",
            )
            self.desk.plan.note("M3-07", entity_of_invoice(twin), twin.site.code, False, variant)

        self.desk.schedule(moment, enter)

    def _plan_cancelled_twin(self, invoice: InvoiceDocument) -> None:
        """Near miss of M3-07: entered twice, and the second cancelled at once."""
        moment = at(next_business_day(invoice.entered_at.date() + timedelta(days=2)), 15)

        def enter() -> None:
            twin = self.payables.enter(
                invoice.site,
                invoice.supplier,
                invoice.order,
                (),
                invoice.invoice_date,
                moment,
                number=f"{invoice.number}C",
                source="MAN",
                expenses=(Expense(invoice.amount, "SUPPLY_EXP", "8020"),),
                cancelled=True,
                mark="M3-07:cancelled",
            )
            self.desk.plan.note("M3-07", entity_of_invoice(twin), twin.site.code, True, "cancelled")

        self.desk.schedule(moment, enter)

    def _plan_rebill(self, invoice: InvoiceDocument, line: OrderLine) -> None:
        """Near miss of M3-07: credited in full and billed again."""
        moment = at(next_business_day(invoice.entered_at.date() + timedelta(days=3)), 15)

        def enter() -> None:
            original = invoice.lines[0]
            shared = (invoice.site, invoice.supplier, invoice.order)
            invoice_date = min(moment.date(), invoice.invoice_date + timedelta(days=6))

            def bill(sign: int) -> Bill:
                return Bill(
                    line, sign * original.quantity, original.unit_price, original.uom or "EA", original.each_per_uom
                )

            credit = self.payables.enter(
                *shared, [bill(-1)], invoice_date, moment, kind="credit", number=f"{invoice.number}CR", source="EDI"
            )
            again = self.payables.enter(
                *shared, [bill(1)], invoice_date, moment, number=f"{invoice.number}R", source="EDI", mark="rebill"
            )
            for document in (credit, again):
                self.desk.plan.note("M3-07", entity_of_invoice(document), document.site.code, True, "credit and rebill")

        self.desk.schedule(moment, enter)

    def _plan_full_credit(self, invoice: InvoiceDocument, line: OrderLine) -> None:
        """Near miss of M3-07: everything returned and credited on one day, equal amount with the opposite sign."""
        moment = at(next_business_day(invoice.entered_at.date() + timedelta(days=4)), 15)

        def enter() -> None:
            original = invoice.lines[0]
            receipt = original.receipt
            if receipt is None or receipt.quantity != line.quantity or not receipt.is_released:
                return
            self.receiving.give_back(receipt, receipt.quantity, moment)
            bill = Bill(line, -original.quantity, original.unit_price, original.uom or "EA", original.each_per_uom)
            credit = self.payables.enter(
                invoice.site,
                invoice.supplier,
                invoice.order,
                [bill],
                moment.date(),
                moment,
                kind="credit",
                number=f"{invoice.number}CR",
                source="EDI",
            )
            line.cancelled_at = moment
            line.cancelled += line.open_quantity
            self.desk.record_order_line(line, moment)
            self.desk.show_line(line, moment)
            self.desk.plan.note("M3-07", entity_of_invoice(credit), credit.site.code, True, "credit of equal amount")

        self.desk.schedule(moment, enter)
