"""Transfers from the distribution centre to the hospitals: what is asked of it, shipped, received, lost and settled.

Here: transfer orders, their shipments and receipts, the postings of both halves (E15, E16, E16a) and the settlement
between the companies (E21).
Not here: what the distribution centre buys (ordering and what follows), quantities and averages (stock), rows (legacy,
cloud), journals (ledger).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial

from ingest.simulator.accounts import is_business_day, month_end
from ingest.simulator.desk import Desk, at
from ingest.simulator.documents import ZERO, RequisitionLine, cents
from ingest.simulator.events import Item, Location, Posting, Site
from ingest.simulator.stock import CENTRE

LOST_AFTER = timedelta(days=5)
SETTLEMENT_DAY = 15
BALANCE = "0000"
LEAST_LOSS = Decimal(20)
FIVE_PLACES = Decimal("0.00001")
MISHAPS = ("part lost", "lost", "other cost")
WITHIN = "within a dollar"


@dataclass(slots=True, eq=False)
class TransferLine:
    """One line of a transfer order, quantities in EACH."""

    number: str  # TO + 8 digits
    line: int
    site: Site
    item: Item
    destination: Location
    requested: RequisitionLine
    ordered: Decimal
    created_at: datetime
    cloud_id: int
    shipped: Decimal = ZERO
    received: Decimal = ZERO
    unit_cost: Decimal | None = None
    amount: Decimal = ZERO
    shipped_at: datetime | None = None
    received_at: datetime | None = None
    is_closed: bool = False
    receipt_number: int = 0
    receive_id: int = 0
    deliver_id: int = 0

    @property
    def status(self) -> str:
        """Status as the cloud shows it."""
        if self.shipped_at is None:
            return "OPEN"
        if self.is_closed:
            return "CLOSED"
        if self.received_at is None:
            return "SHIPPED"
        return "CLOSED" if self.received == self.shipped else "PARTIALLY RECEIVED"


@dataclass(slots=True)
class Transfers:
    """The distribution centre's side of replenishment."""

    desk: Desk
    line_of_movement: dict[str, TransferLine] = field(default_factory=dict)  # txn_id of either half
    _asked: list[RequisitionLine] = field(default_factory=list)
    _waiting: list[TransferLine] = field(default_factory=list)
    _owed: dict[tuple[str, date], Decimal] = field(default_factory=lambda: defaultdict(Decimal))  # site, month

    # ------------------------------------------------------------------------------------------------------- asking

    def covers(self, location: Location, item: Item) -> bool:
        """Whether a storeroom gets the item from the distribution centre."""
        return location.location_type == "STOREROOM" and self.desk.stock.is_supplied_by_centre(location.site, item)

    def ask(self, wanted: RequisitionLine) -> None:
        """Take note of a requested line; the transfer order follows next morning."""
        wanted.is_from_centre = True
        self._asked.append(wanted)

    def convert(self, renewed: dict[int, RequisitionLine]) -> None:
        """Ask under the requisitions made anew in the cloud what was asked under those of the legacy ERP."""
        self._asked = [renewed.get(id(wanted), wanted) for wanted in self._asked]

    def asked_by(self, site: str) -> list[RequisitionLine]:
        """Requested lines of a site that have no transfer order yet."""
        return [line for line in self._asked if line.requisition is not None and line.requisition.site.code == site]

    def morning(self, d: date) -> None:
        """Make transfer orders of what was asked for, ship what is there, settle on the 15th."""
        self._order(d)
        if is_business_day(d):
            waiting, self._waiting = self._waiting, []
            for line in waiting:
                self._ship(line, at(d, 10, 5))
        if d.day == SETTLEMENT_DAY:
            self._settle(d)

    def _order(self, d: date) -> None:
        asked, self._asked = self._asked, []
        moment = at(d, 6, 20)
        by_place: dict[str, list[RequisitionLine]] = defaultdict(list)
        for wanted in asked:
            assert wanted.destination is not None
            by_place[wanted.destination.location_id].append(wanted)
        series = self.desk.series
        for group in by_place.values():
            number = f"TO{series.next('transfer order', first=10001):08d}"
            for place, wanted in enumerate(group, start=1):
                assert wanted.item is not None and wanted.destination is not None and wanted.requisition is not None
                line = TransferLine(
                    number=number,
                    line=place,
                    site=wanted.requisition.site,
                    item=wanted.item,
                    destination=wanted.destination,
                    requested=wanted,
                    ordered=wanted.quantity * wanted.each_per_uom,
                    created_at=moment,
                    cloud_id=series.next("transfer line id", first=300000500000001),
                )
                wanted.is_transferred = True
                self._waiting.append(line)
                self._show(line, moment)
            requisitions = {id(wanted.requisition): wanted.requisition for wanted in group}
            for requisition in requisitions.values():
                assert requisition is not None
                self.desk.show_requisition(requisition, moment)

    def _show(self, line: TransferLine, moment: datetime) -> None:
        self.desk.writers["erp_fusion"].transfer_line(line, moment)

    # ------------------------------------------------------------------------------------------------------- moving

    def _ship(self, line: TransferLine, moment: datetime) -> None:
        """E15; what the centre does not have waits for another day."""
        stock = self.desk.stock
        if stock.holdings.balance(f"{CENTRE}-WHS", stock.number(CENTRE, line.item)) < line.ordered:
            self._waiting.append(line)
            return
        movement = stock.ship(line.item, line.ordered, moment, line.number, line.line, line.destination.location_id)
        self.line_of_movement[movement.txn_id] = line
        line.shipped, line.shipped_at = line.ordered, moment
        line.unit_cost, line.amount = movement.erp_unit_cost, movement.erp_amount or ZERO
        self._post(
            CENTRE, "E15", moment.date(), "IN_TRANSIT", "INV_ASSET", line.amount, "INV", movement.txn_id,
            movement.posted_at,
        )  # fmt: skip
        self._show(line, moment)
        # The centre's own trucks arrive the next day, on Saturdays and holidays too.
        arrival = at(moment.date() + timedelta(days=1), 8, 40)
        self.desk.schedule(arrival, partial(self._receive, line, arrival))

    def _receive(self, line: TransferLine, moment: datetime) -> None:
        """E16, both halves; goods may be lost on the road (E16a), a hospital may book another cost (GL-09)."""
        desk = self.desk
        assert line.unit_cost is not None
        quantity, amount, unit_cost = line.shipped, line.amount, line.unit_cost
        mishap = self._mishap(line, moment.date())
        if mishap in ("part lost", "lost"):
            late = at(moment.date() + LOST_AFTER + timedelta(days=2), 11)
            desk.schedule(late, partial(self._write_off, line, late))
        if mishap == "lost":
            desk.stock.cancel_order(line.destination.location_id, line.item.key, quantity)
            return
        if mishap == "part lost":
            quantity -= Decimal(desk.chance.stream("lost", line.number, line.line).integer(1, int(quantity) - 1))
            amount = cents(quantity * unit_cost)
        elif mishap:
            unit_cost = self._other_cost(line, unit_cost, mishap)
            amount = cents(quantity * unit_cost)
        movement = desk.stock.take_in(
            line.site.code, line.destination.location_id, line.item, quantity, amount, unit_cost, moment,
            line.number, line.line,
        )  # fmt: skip
        self.line_of_movement[movement.txn_id] = line
        line.received, line.received_at = quantity, moment
        key, day = str(line.cloud_id), movement.posted_at.astimezone(moment.tzinfo).date()
        if desk.world.erp_on(line.site.code, day) == "erp_fusion":
            line.receipt_number = desk.series.next("receipt", "cloud", first=1000001)
            line.receive_id = desk.series.next("rcv", first=300000200000001)
            line.deliver_id = desk.series.next("rcv", first=300000200000001)
            desk.writers["erp_fusion"].transfer_receipt(line, moment)
        self._post(line.site.code, "E16", day, "INV_ASSET", "DUE_TO", amount, "TO", key, movement.posted_at, CENTRE)
        known = movement.posted_at
        if day == month_end(day) and desk.plan.quirk("Q122", line.number, line.line, share=0.5):
            known = at(day + timedelta(days=1), 0, 40)
            if not mishap and desk.plan.wants("GL-09", False, line.number, day, "next period"):
                self._note(line, True, "the centre posts its half in the next period")
        claimed = amount if mishap == "part lost" else line.amount
        self._post(
            CENTRE, "E16", known.astimezone(moment.tzinfo).date(), "DUE_FROM", "IN_TRANSIT", claimed, "TO", key, known,
            line.site.code,
        )  # fmt: skip
        self._owed[(line.site.code, day.replace(day=1))] += amount
        self._show(line, moment)

    def _mishap(self, line: TransferLine, d: date) -> str:
        """What goes wrong with a delivery, if the plan wants something to."""
        if line.amount < LEAST_LOSS:
            return ""
        for variant in MISHAPS:
            if variant == "part lost" and line.shipped < 2:
                continue
            if self.desk.plan.wants("GL-09", True, line.number, d, variant):
                self._note(line, False, variant)
                return variant
        # A difference within tolerance is still one between what the sites owe each other.
        if self.desk.plan.defects and self.desk.plan.wants("GL-09", False, line.number, d, WITHIN):
            self._note(line, True, WITHIN)
            return WITHIN
        return ""

    def _other_cost(self, line: TransferLine, unit_cost: Decimal, mishap: str) -> Decimal:
        if mishap == WITHIN:
            return unit_cost + (Decimal("0.60") / line.shipped).quantize(FIVE_PLACES)
        factor = self.desk.chance.stream("other cost", line.number, line.line).decimal(1.1, 1.4)
        return (unit_cost * factor + 2 / line.shipped).quantize(FIVE_PLACES)

    def _note(self, line: TransferLine, is_near_miss: bool, reason: str) -> None:
        key = f"transfer={line.number}|line={line.line}"
        self.desk.plan.note("GL-09", key, line.site.code, is_near_miss, reason)

    def _write_off(self, line: TransferLine, moment: datetime) -> None:
        """E16a: what did not arrive within five days."""
        left = line.amount - cents(line.received * (line.unit_cost or ZERO))
        line.is_closed = True
        self._post(CENTRE, "E16a", moment.date(), "INV_ADJ", "IN_TRANSIT", left, "TO", str(line.cloud_id), moment)
        self._show(line, moment)

    # ------------------------------------------------------------------------------------------------------ settling

    def _settle(self, d: date) -> None:
        """E21: every hospital pays what it owed at the end of the last month."""
        first = d.replace(day=1)
        for site in self.desk.world.hospitals():
            due = sum((self._owed.pop(key) for key in list(self._owed) if key[0] == site.code and key[1] < first), ZERO)
            moment = at(d, 13)
            key = f"SETTLE-{site.code}-{d:%Y%m}"
            self._post(site.code, "E21", d, "DUE_TO", "CASH", due, "SETTLEMENT", key, moment, CENTRE)
            self._post(CENTRE, "E21", d, "CASH", "DUE_FROM", due, "SETTLEMENT", key, moment, site.code)

    def _post(
        self,
        site: str,
        event: str,
        day: date,
        debit: str,
        credit: str,
        amount: Decimal,
        subledger: str,
        key: str,
        known_at: datetime,
        counterparty: str | None = None,
    ) -> None:
        if amount == ZERO:
            return
        erp = self.desk.world.erp_on(site, day)
        inventory = event in ("E15", "E16a")
        system = "CA" if inventory else "IC"
        if erp == "erp_lawson" and event == "E21":
            system = "GL-IC"
        self.desk.world.postings.append(
            Posting(
                erp=erp,
                site=site,
                event=event,
                system=system,
                category="Inventory" if inventory else "Intercompany",
                posting_date=day,
                debit_role=debit,
                debit_department=BALANCE,
                credit_role=credit,
                credit_department=BALANCE,
                amount=amount,
                subledger=subledger,
                subledger_key=key,
                known_at=known_at,
                counterparty=counterparty,
            )
        )
