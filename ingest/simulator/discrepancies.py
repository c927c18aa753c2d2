"""What suppliers, docks and payables get wrong about an order line, beyond the match of price and receipt.

Here: the courses of lines that are acknowledged otherwise, shipped short, received over, overdue, overbilled or
returned without a credit (PA-02, AS-01, AS-02, AS-03, M3-03, M3-04, M3-16), and their near misses.
Not here: the course of most lines and the match rules (fulfilment), suppliers' documents (edi), the judgement (oracle).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import TYPE_CHECKING

from ingest.simulator.accounts import is_business_day, next_business_day
from ingest.simulator.chance import Stream
from ingest.simulator.desk import Desk, at
from ingest.simulator.documents import AckPart, InvoiceDocument, OrderLine, Receipt, plain_answer
from ingest.simulator.payables import Bill, as_ordered

if TYPE_CHECKING:
    from ingest.simulator.fulfilment import Fulfilment

CREDIT_DAYS = 30
TWENTIETH = Decimal(20)


@dataclass(slots=True)
class Course:
    """What is special about the way of one line; quantities in the order's unit."""

    name: str
    rule: str = ""
    is_near_miss: bool = False


def entity_of_line(line: OrderLine) -> str:
    """Entity key of an order line."""
    return f"po={line.order.po_key}|line={line.line}"


def entity_of_invoice_line(invoice: InvoiceDocument, number: int) -> str:
    """Entity key of an invoice line."""
    return f"{entity_of_invoice(invoice)}|line={number}"


def entity_of_invoice(invoice: InvoiceDocument) -> str:
    """Entity key of an invoice."""
    return f"system={invoice.site.erp}|supplier={invoice.supplier_no}|invoice={invoice.entity_number}"


# Rule, defect, variant, course, least quantity, only lines that are not put into stock.
Choice = tuple[str, bool, str, str, int, bool]
CHOICES: tuple[Choice, ...] = (
    ("AS-01", True, "short", "shipped_short", 2, False),
    ("AS-01", True, "more", "shipped_less", 2, False),
    ("AS-01", True, "lost", "shipment_lost", 1, False),
    ("AS-01", False, "a day late", "day_after_notice", 1, False),
    ("AS-02", True, "too much", "too_much", 2, True),
    ("AS-02", True, "cancelled", "after_cancellation", 1, True),
    ("AS-02", False, "five percent", "twentieth_more", 20, True),
    ("AS-02", False, "corrected at once", "keyed_over", 1, True),
    ("AS-03", True, "late", "late", 1, False),
    ("AS-03", True, "forgotten", "rest_forgotten", 2, False),
    ("AS-03", False, "in time", "two_days_late", 1, False),
    ("AS-03", False, "new date", "late_with_new_date", 1, False),
    ("AS-03", False, "rest cancelled", "rest_cancelled", 2, False),
    ("M3-03", True, "", "overbilled", 2, False),
    ("M3-03", False, "credited at once", "overbilled_and_credited", 2, False),
    ("M3-04", False, "cancelled", "other_unit_cancelled", 1, False),
    ("M3-16", False, "replaced", "returned_and_replaced", 2, True),
    ("M3-16", False, "not billed", "returned_before_billing", 2, True),
    ("PA-02", True, "rejected", "rejected", 1, False),
    ("PA-02", True, "backordered", "backordered", 2, False),
    ("PA-02", True, "price", "acknowledged_dearer", 1, False),
    ("PA-02", True, "quantity", "acknowledged_less", 2, False),
    ("PA-02", True, "substituted", "substituted", 1, False),
    ("PA-02", True, "unit", "acknowledged_in_boxes", 1, False),
    ("PA-02", False, "date", "acknowledged_later", 1, False),
    ("PA-02", False, "unit agrees", "acknowledged_in_each", 1, False),
    ("PA-02", False, "price within", "acknowledged_nearly", 1, False),
)


NEAR_MISSES = frozenset(name for _, is_defect, _, name, _, _ in CHOICES if not is_defect)
# Near misses that are a defect of another rule.
ONLY_WITH_DEFECTS = ("returned_and_replaced",)


class Discrepancies:
    """Ways of order lines on which something differs from the order."""

    def __init__(self, desk: Desk, ways: Fulfilment) -> None:
        self.desk = desk
        self.ways = ways

    def course(self, line: OrderLine, d: date, arrival: date) -> Course | None:
        """A special way for this line when the plan wants one, else None."""
        if line.order.match_basis != "3way" or not line.has_exact_cents or line.unit_price < Decimal("0.20"):
            return None
        key = entity_of_line(line)
        wants = self.desk.plan.wants
        nonstock = line.expense_role is not None
        matures = arrival + timedelta(days=CREDIT_DAYS + 18) <= self.desk.world.end
        if nonstock and line.quantity >= 3 and matures and wants("M3-16", True, key, d):
            return Course("returned_uncredited", "M3-16")
        # Each line begins elsewhere, so that no rule takes what the others wait for.
        first = self.desk.chance.stream("course order", key).integer(0, len(CHOICES) - 1)
        for rule, defect, variant, name, least, only_nonstock in (*CHOICES[first:], *CHOICES[:first]):
            if line.quantity < least or (only_nonstock and not nonstock) or not self._fits(name, line):
                continue
            if name in ONLY_WITH_DEFECTS and not self.desk.plan.defects:
                continue
            if wants(rule, defect, key, d, variant):
                return Course(name, rule, not defect)
        return None

    def _fits(self, name: str, line: OrderLine) -> bool:
        """Whether the line can go this way."""
        if name == "twentieth_more":
            return line.quantity % TWENTIETH == 0
        if name in ("acknowledged_in_each", "other_unit_cancelled"):
            return self.ways.in_each(line) is not None
        if name == "acknowledged_in_boxes":
            return line.each_per_uom == 1 and self._box(line) is not None
        if name == "two_days_late":
            return self._in_grace(line) is not None
        return True

    # --------------------------------------------------------------------------------------------- acknowledgements

    def _plan_rejected(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """PA-02: the supplier does not take the line; the buyer cancels it some days later, or forgets to."""
        line.answer = replace(plain_answer(line, arrival), parts=(AckPart(stream.pick(("IR", "ID")), None, None),))
        moment = at(next_business_day(line.order.order_date + timedelta(days=stream.integer(3, 9))), 14)
        if stream.flag(0.5):
            self.desk.schedule(moment, partial(self.desk.cancel_line, line, moment))
        else:
            self._ask_again(line, line.quantity)

    def _plan_backordered(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """PA-02: a part is not there and comes later; now and then a second answer says that it was."""
        part = Decimal(stream.integer(0, int(line.quantity) - 1))
        later = next_business_day(arrival + timedelta(days=stream.integer(7, 12)))
        rest = AckPart("IB", line.quantity - part, later)
        first = (AckPart("IA", part, arrival),) if part else ()
        line.answer = replace(plain_answer(line, arrival), parts=(*first, rest))
        told = at(line.order.order_date + timedelta(days=1), 16)
        self.ways.promise_later(line, later, told)
        if stream.flag(0.5):
            self.desk.tell_answer(line, plain_answer(line, later), told + timedelta(days=5))
        for quantity, day in ((part, arrival), (line.quantity - part, later)):
            if quantity:
                self._come(line, quantity, day)

    def _plan_acknowledged_dearer(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """PA-02: another price; the invoice has that of the order."""
        self._answered(line, arrival, "IP", unit_price=self._times(line.unit_price, 1, stream.decimal(0.02, 0.15)))

    def _plan_acknowledged_nearly(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of PA-02: a price within tolerance."""
        self._answered(line, arrival, "IP", unit_price=self._times(line.unit_price, 1, Decimal("0.004")))

    def _plan_acknowledged_less(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """PA-02: a smaller quantity; the rest is cancelled."""
        part = Decimal(stream.integer(1, int(line.quantity) - 1))
        line.answer = replace(plain_answer(line, arrival), parts=(AckPart("IQ", part, arrival),))
        self._come(line, part, arrival)
        self._cancel_rest(line, part, arrival)

    def _plan_substituted(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """PA-02: another catalogue number in its place."""
        number = f"{line.vendor_catalogue_number or 'ITEM'}S{stream.integer(2, 9)}"
        self._answered(line, arrival, "IS", catalogue_number=number)

    def _plan_acknowledged_in_boxes(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """PA-02: as many boxes as EACH were ordered, at the price of one EACH."""
        box = self._box(line)
        assert box is not None
        self._answered(line, arrival, "IC", uom=box[0], each_per_uom=box[1])

    def _plan_acknowledged_in_each(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of PA-02: in EACH, quantity and price agree."""
        price = self.ways.in_each(line)
        assert price is not None
        each = line.quantity * line.each_per_uom
        self._answered(line, arrival, "IC", uom="EA", each_per_uom=Decimal(1), unit_price=price, quantity=each)

    def _plan_acknowledged_later(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of PA-02: only the date is another one."""
        later = next_business_day(arrival + timedelta(days=stream.integer(2, 4)))
        self.ways.promise_later(line, later, at(line.order.order_date, 16))
        self._answered(line, later, stream.pick(("DR", "IC")))

    def _answered(self, line: OrderLine, arrival: date, status: str, **changes: object) -> None:
        """Let the answer differ and the goods come as if nothing were."""
        answer = replace(plain_answer(line, arrival), **changes)  # type: ignore[arg-type]
        line.answer = replace(answer, parts=(AckPart(status, answer.quantity, arrival),))
        self._come(line, line.quantity, arrival)

    @staticmethod
    def _times(price: Decimal, factor: int, more: Decimal) -> Decimal:
        return (price * (factor + more)).quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)

    @staticmethod
    def _box(line: OrderLine) -> tuple[str, Decimal] | None:
        packages = line.item.packages if line.item is not None else ()
        return next(((package.uom, package.each) for package in packages if package.each > 1), None)

    # ----------------------------------------------------------------------------------------------------- shipments

    def _plan_shipped_short(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """AS-01: less arrives than was announced; the rest is cancelled."""
        part = Decimal(stream.integer(1, int(line.quantity) - 1))
        self._come(line, part, arrival, announced=line.quantity)
        self._cancel_rest(line, part, arrival)

    def _plan_shipped_less(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """AS-01: more arrives than was announced."""
        self._come(line, line.quantity, arrival, announced=Decimal(stream.integer(1, int(line.quantity) - 1)))

    def _plan_shipment_lost(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """AS-01: an announced shipment never arrives; another one does."""
        again = next_business_day(arrival + timedelta(days=stream.integer(6, 10)))
        gone = at(arrival, 5, 40)
        self.desk.schedule(gone, lambda: self.desk.tell_lost(line, line.quantity, arrival))
        self.ways.promise_later(line, again, at(arrival + timedelta(days=1), 15))
        self._come(line, line.quantity, again)

    def _plan_day_after_notice(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of AS-01: received a day after the day that the notice names."""
        self._come(line, line.quantity, arrival, expected_on=arrival - timedelta(days=1))

    # ------------------------------------------------------------------------------------------ received, and overdue

    def _plan_too_much(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """AS-02: more is received than was ordered, and in half of the cases sent back."""
        extra = (line.quantity * stream.decimal(0.2, 0.6)).to_integral_value(rounding="ROUND_CEILING")
        self._come(line, line.quantity + extra, arrival, billed=line.quantity, back=extra if stream.flag(0.5) else None)

    def _plan_twentieth_more(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of AS-02: five percent more, sent back later."""
        extra = line.quantity / TWENTIETH
        self._come(line, line.quantity + extra, arrival, billed=line.quantity, back=extra)

    def _plan_after_cancellation(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """AS-02: the line was cancelled and the goods come all the same; half of them go back."""
        moment = at(line.order.order_date, 11)
        self.desk.schedule(moment, partial(self.desk.cancel_line, line, moment))
        back = line.quantity if stream.flag(0.5) else None
        self._come(line, line.quantity, arrival, billed=Decimal(0), back=back)

    def _plan_keyed_over(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of AS-02: ten times the quantity was keyed, and corrected on the same day."""
        wrong = line.quantity * 9
        moment = at(arrival, 10)

        def correct(receipt: Receipt) -> None:
            self.desk.schedule(moment, lambda: self._keep(self.ways.receiving.correct(receipt, -wrong, moment)))

        self.ways.arrive_alone(line, line.quantity * 10, arrival, correct, announced=line.quantity)
        self._bill(line, line.quantity, arrival)

    @staticmethod
    def _keep(receipt: Receipt) -> None:
        """The correction stands for itself."""

    def _plan_late(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """AS-03: it comes long after the promised day."""
        assert line.promised_on is not None
        self._come(line, line.quantity, next_business_day(line.promised_on + timedelta(days=stream.integer(6, 14))))

    def _plan_rest_forgotten(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """AS-03: a part comes, nobody asks for the rest."""
        part = Decimal(stream.integer(1, int(line.quantity) - 1))
        self._come(line, part, arrival)
        self._ask_again(line, line.quantity - part)

    def _plan_two_days_late(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of AS-03: a day or two after the promised day."""
        self._come(line, line.quantity, self._in_grace(line) or arrival)

    @staticmethod
    def _in_grace(line: OrderLine) -> date | None:
        """A business day within two days after the promised one."""
        assert line.promised_on is not None
        days = [line.promised_on + timedelta(days=number) for number in (2, 1)]
        return next((day for day in days if is_business_day(day)), None)

    def _plan_late_with_new_date(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of AS-03: late, and the supplier named the later day before the first one had passed."""
        assert line.promised_on is not None
        later = next_business_day(line.promised_on + timedelta(days=stream.integer(6, 10)))
        self.ways.promise_later(line, later, at(line.promised_on, 15))
        self._come(line, line.quantity, later)

    def _plan_rest_cancelled(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of AS-03: what did not come was cancelled."""
        part = Decimal(stream.integer(1, int(line.quantity) - 1))
        self._come(line, part, arrival)
        self._cancel_rest(line, part, arrival)

    # ------------------------------------------------------------------------------------------------------ invoices

    def _plan_overbilled(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """M3-03: more is billed than was ordered; credited later in some cases."""
        extra = (line.quantity * stream.decimal(0.1, 0.5)).to_integral_value(rounding="ROUND_CEILING") + 1
        self.ways.arrive_alone(line, line.quantity, arrival)
        moment = at(next_business_day(arrival + timedelta(days=2)), 13)
        bill = as_ordered(line, line.quantity + extra)
        self.ways.bill_alone(
            line, [bill], arrival, moment, lambda invoice: self.ways.hold(invoice, line, "QTY", moment)
        )
        if stream.flag(0.4):
            self.ways.credit(line, extra, at(next_business_day(moment.date() + timedelta(days=9)), 13))

    def _plan_overbilled_and_credited(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-03: billed too much and credited on the same day."""
        self.ways.arrive_alone(line, line.quantity, arrival)
        moment = at(next_business_day(arrival + timedelta(days=2)), 10)
        self.ways.bill_alone(line, [as_ordered(line, line.quantity + 2)], arrival, moment)
        self.ways.credit(line, Decimal(2), moment + timedelta(minutes=9))

    def _plan_other_unit_cancelled(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-04: billed in another unit, cancelled at once and billed as ordered."""
        price = self.ways.in_each(line)
        assert price is not None
        moment = at(next_business_day(arrival + timedelta(days=2)), 11)

        def enter() -> None:
            bill = Bill(line, line.quantity * line.each_per_uom, price, "EA", Decimal(1))
            order = line.order
            invoice = self.ways.payables.enter(
                order.site, order.supplier, order, [bill], arrival, moment, cancelled=True
            )
            self.desk.plan.note(
                "M3-04", entity_of_invoice_line(invoice, invoice.lines[0].line), order.site.code, True, "cancelled"
            )

        self.desk.schedule(moment, enter)
        self._come(line, line.quantity, arrival)

    # ------------------------------------------------------------------------------------------------------- returns

    def _plan_returned_uncredited(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """M3-16: billed, returned, and no credit memo within thirty days."""
        back = Decimal(stream.integer(2, max(2, int(line.quantity) // 2)))
        sent = next_business_day(arrival + timedelta(days=6))
        self._come(line, line.quantity, arrival, back=back, back_on=sent)
        if stream.flag(0.4):
            self.ways.credit(line, back, at(next_business_day(sent + timedelta(days=CREDIT_DAYS + 5)), 13))

    def _plan_returned_and_replaced(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-16: what went back was replaced."""
        back = Decimal(1)
        sent = at(next_business_day(arrival + timedelta(days=6)), 5, 57)

        def then(receipt: Receipt) -> None:
            self.desk.schedule(sent, lambda: self._keep(self.ways.receiving.give_back(receipt, back, sent)))

        self.ways.arrive_alone(line, line.quantity, arrival, then)
        self._bill(line, line.quantity, arrival)
        again = next_business_day(sent.date() + timedelta(days=3))
        self.ways.promise_later(line, again, sent - timedelta(minutes=30))
        self.ways.arrive_alone(line, back, again)

    def _plan_returned_before_billing(self, line: OrderLine, arrival: date, stream: Stream) -> None:
        """Near miss of M3-16: what went back was never billed, so that nothing is to be credited."""
        back = Decimal(1)
        self._come(line, line.quantity, arrival, billed=line.quantity - back, back=back, back_on=arrival)

    # --------------------------------------------------------------------------------------------------------- steps

    def _come(
        self,
        line: OrderLine,
        quantity: Decimal,
        day: date,
        *,
        billed: Decimal | None = None,
        announced: Decimal | None = None,
        expected_on: date | None = None,
        back: Decimal | None = None,
        back_on: date | None = None,
    ) -> None:
        """Let a quantity arrive and be billed two days later; a part may go back and is not asked for again."""
        sent = at(back_on or next_business_day(day + timedelta(days=10)), 11)

        def then(receipt: Receipt) -> None:
            if back is not None:
                self.desk.schedule(sent, partial(self.ways.send_back, receipt, back, sent))

        self.ways.arrive_alone(line, quantity, day, then, announced=announced, expected_on=expected_on)
        self._bill(line, quantity if billed is None else billed, day)

    def _bill(self, line: OrderLine, quantity: Decimal, day: date) -> None:
        if quantity:
            moment = at(next_business_day(day + timedelta(days=2)), 13)
            self.ways.bill_alone(line, [as_ordered(line, quantity)], day, moment)

    def _cancel_rest(self, line: OrderLine, part: Decimal, arrival: date) -> None:
        """Cancel what a first delivery left open, the evening after it."""
        moment = at(arrival, 16)
        self.desk.schedule(moment, partial(self.desk.cancel_line, line, moment))

    def _ask_again(self, line: OrderLine, quantity: Decimal) -> None:
        """Let the location ask again for what it will not get on this line."""
        if line.destination is not None and line.item is not None and line.expense_role is None:
            each = quantity * line.each_per_uom
            self.desk.stock.cancel_order(line.destination.location_id, line.item.key, each)
