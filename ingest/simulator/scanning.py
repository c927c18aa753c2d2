"""Scans at the case and what they take from the shelves.

Here: carts that are issued at the pick, scans with the numbers that people type, what comes back.
Not here: quantities and values (stock), what was used (case_usage).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from decimal import Decimal

from ingest.simulator.carts import Cart, pick
from ingest.simulator.case_usage import CaseUsage
from ingest.simulator.chance import Stream
from ingest.simulator.delivery import CHICAGO
from ingest.simulator.events import Item, Location
from ingest.simulator.records import Line, Performed, PlannedCase
from ingest.simulator.scans import Scan
from ingest.simulator.scheduling import OWN_LOG_NUMBERS
from ingest.simulator.suite import Suite

ZERO = Decimal(0)


class Scanning:
    """Scans what cases use."""

    def __init__(self, suite: Suite, usage: CaseUsage) -> None:
        """No cart is picked yet."""
        self.suite = suite
        self.world = suite.world
        self.stock = suite.stock
        self.plan = suite.plan
        self.chance = suite.chance
        self.usage = usage
        self._carts: dict[str, Cart] = {}  # by case, where usage is posted at the pick

    def scan_of(self, performed: Performed, item: Item, quantity: Decimal, home: Location, at: datetime) -> Scan:
        """The scan of an item for a case."""
        patient = performed.plan.patient
        return Scan(
            site=performed.case.site,
            location_id=home.location_id,
            item=item,
            quantity_each=quantity,
            at=at,
            case_typed=performed.case.case_id,
            true_case_id=performed.case.case_id,
            department=performed.case.department,
            mrn=patient.mrn,
            csn=performed.csn,
            account=performed.account.account,
        )

    def pick_cart(self, planned: PlannedCase, at: datetime) -> None:
        """Issue the cart of a case where usage is posted at the pick; of the world's first day, in the morning."""
        if not self.world.sites[planned.site].is_issued_at_pick or planned.case_id in self._carts:
            return
        mode = "test" if planned.patient.is_test else "normal"
        lines = self.usage.lines(planned, self.chance.stream("usage", planned.case_id), mode)
        cards = self.usage.at_hand(planned)
        self._carts[planned.case_id] = pick(self.stock, self.chance, planned, lines, cards, at)

    def empty_cart(self, case_id: str, at: datetime) -> None:
        """Put back on the shelf what the case did not take."""
        cart = self._carts.get(case_id)
        for place, scan in enumerate(cart.rest() if cart is not None else ()):
            self.stock.give_back(replace(scan, at=at + timedelta(minutes=place)))

    def _scan_from_cart(self, cart: Cart, line: Line, scan: Scan) -> None:
        """Scan a line that lies on the cart: what goes beyond the pick is issued from the shelf."""
        picked, covered = cart.take(line)
        if picked is None:
            self.stock.use(scan)
            return
        wasted = min(line.wasted, covered)
        for disposition, quantity in (("USED", covered - wasted), ("WASTED", wasted)):
            if quantity:
                self.stock.scan_from_cart(replace(scan, quantity_each=quantity), disposition, picked)
        if scan.quantity_each > covered:
            self.stock.use(replace(scan, quantity_each=scan.quantity_each - covered))

    def scan_lines(self, performed: Performed, stream: Stream) -> None:
        """Scan what the case used; test patients get theirs back on the shelf at once."""
        cart = self._carts.get(performed.case.case_id)
        d = performed.case.surgery_date
        if performed.mode == "test" and cart is not None:
            self.empty_cart(performed.case.case_id, performed.plan.start + timedelta(minutes=30))
            return
        self.suite.on(
            d + timedelta(days=1),
            lambda day: self.empty_cart(performed.case.case_id, datetime.combine(day, time(10, 15), CHICAGO)),
        )
        minute = 0
        for line in performed.lines:
            if line.item is None or line.location is None or not line.location.is_perpetual or line.scan == "none":
                continue
            minute += stream.integer(2, 7)
            scan = self.scan_of(
                performed,
                line.item,
                line.used + line.wasted,
                line.location,
                performed.plan.start + timedelta(minutes=minute),
            )
            scan = replace(scan, lot=line.lot, expiry_text=line.expiry_text, keeps_case=line.tag is not None)
            if performed.mode == "test":
                if self.plan.shows("Q16") and line.stock_class == "STOCK" and line.kind != "implant":
                    self.stock.use(scan, with_scan_row=False)
                    self.stock.give_back(replace(scan, at=scan.at + timedelta(minutes=30)))
                continue
            if line.stock_class == "CONSIGN":
                self.stock.consign_use(scan)
                continue
            if cart is not None and line.scan == "normal":
                self._scan_from_cart(cart, line, scan)
                continue
            self._scan_owned(performed, line, scan)
        for scan, returned_after in performed.extra_scans:
            self.stock.use(scan)
            if returned_after is not None:
                self._return_later(performed, scan, returned_after)

    def _return_later(self, performed: Performed, scan: Scan, days: int) -> None:
        day = performed.case.surgery_date + timedelta(days=days)
        if days == 0:
            self.stock.give_back(replace(scan, at=scan.at + timedelta(hours=3)))
            return
        at = datetime.combine(day, time(10, 15), CHICAGO)
        self.suite.on(day, lambda _: self._give_back(replace(scan, at=at)))

    def _give_back(self, scan: Scan) -> None:
        self.stock.give_back(scan)

    def _scan_owned(self, performed: Performed, line: Line, scan: Scan) -> None:
        """Scan one owned line the way its plan or its quirks have it."""
        item = scan.item
        if line.scan == "alias":
            scan = replace(scan, pou_item_no=item.pou_alias_nos[0])
        elif line.scan == "box":
            scan = replace(scan, in_boxes=True)
        elif line.scan == "one less":
            scan = replace(scan, quantity_each=scan.quantity_each - 1)
        elif line.scan == "untagged":
            scan = replace(scan, case_typed=None)
        elif line.scan.startswith("case "):
            scan = replace(scan, case_typed=line.scan.removeprefix("case "))
        elif (
            line.tag is None
            and scan.quantity_each == 1
            and line.kind != "implant"
            and self.world.sites[scan.site].stock_system == "pou"
        ):
            # Single pieces stay within tolerance whatever is typed.
            if self.plan.quirk("Q58", "empty", line.usage_id):
                scan = replace(scan, case_typed=None)
            elif self._has_own_log_number(performed) and self.plan.quirk("Q58", "log", line.usage_id, share=0.05):
                scan = replace(scan, case_typed=performed.case.log_id)
        if line.wasted and line.used:
            self.stock.use(replace(scan, quantity_each=scan.quantity_each - line.wasted))
            self.stock.use(replace(scan, quantity_each=line.wasted, at=scan.at + timedelta(minutes=1)), is_wasted=True)
            return
        self.stock.use(scan, is_wasted=line.wasted > 0 and line.used == 0)

    @staticmethod
    def _has_own_log_number(performed: Performed) -> bool:
        """Whether the log's number is neither its case's nor any other case's."""
        return int(performed.case.log_id) - int(performed.case.case_id) == OWN_LOG_NUMBERS

    def cart(self, case_id: str) -> Cart | None:
        """The cart of a case, where usage is posted at the pick."""
        return self._carts.get(case_id)
