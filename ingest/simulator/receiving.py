"""Receipts: what arrives, what was keyed wrong and corrected, what goes back to the supplier.

Here: receiving rows with their amounts at order price, release, putting away, corrections, returns, their postings.
Not here: when goods arrive (fulfilment), invoices (payables), quantities on hand (stock).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from ingest.simulator.accounts import next_business_day
from ingest.simulator.amounts import cloud_parts
from ingest.simulator.desk import CHICAGO, Desk, at
from ingest.simulator.documents import Order, OrderLine, Receipt, cents
from ingest.simulator.events import Movement

NO_DEPARTMENT = "0000"
LATE_RELEASE = "Q92"
TYPED_IN_EACH = 0.04
PUT_AWAY_LATER = 0.04


class Receiving:
    """The docks of all sites."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.receipt_of_movement: dict[str, Receipt] = {}

    def receive(
        self,
        deliveries: Sequence[tuple[OrderLine, Decimal]],
        moment: datetime,
        *,
        automatic: bool = False,
        may_wait: bool = False,
        announced: Decimal | None = None,
        expected_on: date | None = None,
    ) -> list[Receipt]:
        """Receive lines of one order under one receipt number, quantities in the order's units.

        Args:
            deliveries: order lines and what arrived of them.
            moment: when it was keyed.
            automatic: made by the system for a bill-only order (Q94).
            may_wait: the receipt may stay unreleased until the next day (Q92).
            announced: what the ship notice says of the one line, where it is not what arrived.
            expected_on: the day that the ship notice names, where it is not today.
        """
        desk = self.desk
        order = deliveries[0][0].order
        legacy = order.site.erp == "erp_lawson"
        number = self._number(order)
        stream = desk.chance.stream("receipt", order.po_key, number)
        tomorrow = moment.date() + timedelta(days=1)
        release = self._release_day(order, number, moment) if legacy and may_wait else None
        shipment = f"SH{stream.integer(10000000, 99999999)}" if stream.flag(0.6 if legacy else 0.85) else None
        receipts = []
        for place, (line, quantity) in enumerate(deliveries, start=1):
            receipt = Receipt(
                order_line=line,
                number=number,
                line=place,
                kind="receive",
                quantity=quantity,
                amount=cents(quantity * line.unit_price),
                receipt_date=moment.date(),
                posting_date=moment.date(),
                at=moment,
                is_released=release is None,
                is_automatic=automatic,
                shipment_id=None if automatic else shipment,
                lot=line.lot,
                in_each=line.each_per_uom != 1 and stream.flag(TYPED_IN_EACH),
                announced=announced,
                expected_on=expected_on,
            )
            self._give_ids(receipt)
            if not legacy and not automatic and stream.flag(PUT_AWAY_LATER) and tomorrow.month == moment.month:
                receipt.deliver_at = at(tomorrow, 5, 40)
            receipts.append(receipt)
            if release is not None:
                desk.record_receipt(receipt, moment)
                desk.writer(order.site).receipt(receipt, moment)
                due = at(release, 5, 35)
                desk.schedule(due, lambda r=receipt, due=due: self._release(r, due))  # type: ignore[misc]
            else:
                self._book(receipt, moment)
        return receipts

    def correct(self, receipt: Receipt, quantity: Decimal, moment: datetime) -> Receipt:
        """Correct a receipt by a signed quantity (legacy RA, cloud CORRECT)."""
        return self._adjust(receipt, quantity, moment, "correct")

    def give_back(self, receipt: Receipt, quantity: Decimal, moment: datetime) -> Receipt:
        """Send a quantity of a receipt back to the supplier (legacy RJ, cloud RETURN TO VENDOR)."""
        return self._adjust(receipt, -quantity, moment, "return")

    # ----------------------------------------------------------------------------------------------------- internals

    def _number(self, order: Order) -> int:
        if order.site.erp == "erp_lawson":
            return self.desk.series.next("receipt", order.site.company, first=20001)
        return self.desk.series.next("receipt", "cloud", first=1000001)

    def _give_ids(self, receipt: Receipt) -> None:
        receipt.cloud_receive_id = self.desk.series.next("rcv", first=300000200000001)
        receipt.cloud_deliver_id = self.desk.series.next("rcv", first=300000200000001)

    def _adjust(self, receipt: Receipt, quantity: Decimal, moment: datetime, kind: str) -> Receipt:
        line = receipt.order_line
        change = Receipt(
            order_line=line,
            number=self._number(line.order) if line.order.site.erp == "erp_lawson" else receipt.number,
            line=1 if line.order.site.erp == "erp_lawson" else receipt.line,
            kind=kind,
            quantity=quantity,
            amount=cents(quantity * line.unit_price),
            receipt_date=moment.date(),
            posting_date=moment.date(),
            at=moment,
            corrects=receipt,
            lot=receipt.lot,
        )
        self._give_ids(change)
        self._book(change, moment)
        return change

    def _release_day(self, order: Order, number: int, moment: datetime) -> date | None:
        """Day on which a receipt that waits is released; over a month end that is a defect (GL-07)."""
        desk = self.desk
        tomorrow = moment.date() + timedelta(days=1)
        if tomorrow.month == moment.month and desk.plan.quirk(LATE_RELEASE, order.po_key, number, share=0.04):
            return tomorrow
        opening = next_business_day(tomorrow)
        if opening.month != moment.month and desk.plan.wants("GL-07", True, order.po_key, moment.date(), "receipt"):
            return opening
        return None

    def _release(self, receipt: Receipt, moment: datetime) -> None:
        receipt.is_released = True
        receipt.posting_date = moment.date()
        self._book(receipt, moment)

    def _book(self, receipt: Receipt, moment: datetime) -> None:
        desk, line = self.desk, receipt.order_line
        order = line.order
        site = order.site
        line.received += receipt.quantity
        line.accrued += receipt.amount
        line.last_received = receipt.receipt_date
        grni = ("GRNI", NO_DEPARTMENT)
        clearing = ("RCV_CLEARING", NO_DEPARTMENT)
        day = receipt.posting_date
        if site.erp == "erp_lawson":
            key = receipt.receipt_key
            if receipt.kind == "return":
                event = "E23" if self._is_after_cutover(line, day) else "E07"
                target = self._target(line, event)
                desk.post(site, event, day, grni, target, -receipt.amount, "PORECLINE", key, moment)
            else:
                event = "E23" if self._is_after_cutover(line, day) else line.receipt_event
                target = self._target(line, event)
                desk.post(site, event, day, target, grni, receipt.amount, "PORECLINE", key, moment)
        elif receipt.kind == "return":
            key = str(receipt.cloud_receive_id)
            desk.post(site, "E07", day, grni, clearing, -receipt.amount, "RCV", key, moment)
        else:
            key = str(receipt.cloud_receive_id)
            desk.post(site, line.receipt_event, day, clearing, grni, receipt.amount, "RCV", key, moment)
        desk.record_receipt(receipt, moment)
        desk.writer(site).receipt(receipt, moment)
        if receipt.deliver_at is not None:
            desk.schedule(receipt.deliver_at, lambda: self._put_away(receipt, receipt.deliver_at or moment))
        else:
            self._put_away(receipt, moment)
        desk.show_line(line, moment)

    @staticmethod
    def _target(line: OrderLine, event: str = "") -> tuple[str, str]:
        if event == "E23":
            return ("CONV_CLEARING", NO_DEPARTMENT)
        return (line.receipt_role, line.department if line.expense_role else NO_DEPARTMENT)

    def _is_after_cutover(self, line: OrderLine, day: date) -> bool:
        """Whether stock arrives on an order of the legacy ERP that the site has left: the cloud takes it in (E23)."""
        site = line.order.site
        return line.expense_role is None and site.erp != self.desk.world.erp_on(site.code, day)

    def _take_in(self, movement: Movement) -> None:
        """Value what arrived on a legacy order in the cloud, row by row (E23)."""
        desk = self.desk
        amount = (movement.erp_amount or Decimal(0)).copy_sign(movement.quantity_each)
        day = movement.posted_at.astimezone(CHICAGO).date()
        inventory, clearing = ("INV_ASSET", NO_DEPARTMENT), ("CONV_CLEARING", NO_DEPARTMENT)
        for name, quantity, cost in cloud_parts(movement.txn_id, movement.quantity_each, amount):
            part = cents(quantity * cost)
            site = desk.world.sites[movement.site]
            desk.post(site, "E23", day, inventory, clearing, part, "INV", name, movement.posted_at)

    def _put_away(self, receipt: Receipt, moment: datetime) -> None:
        desk, line = self.desk, receipt.order_line
        site = line.order.site
        if site.erp == "erp_fusion":
            key = str(receipt.cloud_deliver_id)
            clearing = ("RCV_CLEARING", NO_DEPARTMENT)
            if receipt.kind == "return":
                desk.post(site, "E07", moment.date(), clearing, self._target(line), -receipt.amount, "RCV", key, moment)
            else:
                event = line.receipt_event
                desk.post(site, event, moment.date(), self._target(line), clearing, receipt.amount, "RCV", key, moment)
            desk.writer(site).deliver(receipt, moment)
        if line.expense_role is not None or line.item is None or line.destination is None or line.is_consigned:
            return
        each = receipt.quantity * line.each_per_uom
        where = (site.code, line.destination.location_id, line.item)
        late = self._is_after_cutover(line, moment.date())
        if receipt.kind == "return":
            movement = desk.stock.return_to_supplier(
                *where, -each, -receipt.amount, moment, receipt.receipt_key, line.order.po_key,
                "E23" if late else "E07",
            )  # fmt: skip
        else:
            cost = (receipt.amount / each).quantize(Decimal("0.00001"))
            movement = desk.stock.receive(
                *where, each, cost, moment, receipt.receipt_key, line.order.po_key, receipt.amount,
                event="E23" if late else "E01",
            )  # fmt: skip
        if late:
            self._take_in(movement)
        else:
            self.receipt_of_movement[movement.txn_id] = receipt
