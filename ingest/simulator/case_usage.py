"""What a case takes from shelves, closets and representatives.

Here: supplies and implants by procedure, constructs (Q13), one-time implants (Q09), placeholders (Q12); items that
could be taken or charged by mistake.
Not here: what of it goes wrong (case_defects), how it is written down (documentation) and scanned (scanning).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from ingest.simulator.assortment import EVERY_CASE, PROCEDURAL_AREAS
from ingest.simulator.chance import Stream
from ingest.simulator.events import Item, Location
from ingest.simulator.records import Line, Performed, PlannedCase
from ingest.simulator.suite import Suite

ZERO = Decimal(0)
ONE = Decimal(1)
# EACH of one line, least and most, by family; 1 where none is named.
USUAL_QUANTITIES: dict[str, tuple[int, int]] = {
    "suture": (1, 4),
    "dressing": (1, 3),
    "glove": (2, 8),
    "gauze": (5, 20),
    "gown": (1, 4),
    "needle": (1, 3),
    "trocar": (1, 2),
    "reload": (1, 4),
    "clip": (1, 3),
    "guidewire": (1, 2),
    "screw": (1, 3),
}
# Family of the items that are at hand in a department and may be opened or not; endoscopy keeps none that is counted.
CARD_FAMILIES = {
    "7010": "hemostat",
    "7020": "balloon",
    "7030": "microcath",
}
# Share of the lines of a pick list that are opened in vain, by service: most in spine surgery, where 13.1 per cent of
# the cost of supplies was wasted (domain 4.1); and what part of them is used but for one piece.
WASTED = {10: 0.18, 20: 0.25, 30: 0.16, 40: 0.21, 50: 0.20, 60: 0.16, 70: 0.15}
PARTLY = 0.4
# Families of what may be charged by mistake.
STRAY_FAMILIES = {
    "7010": ("cement", "bur", "blade", "stapler", "hemostat"),
    "7020": ("closure", "balloon"),
    "7030": ("closure", "balloon"),
    "7040": ("papillotome", "balloonex", "scopewire"),
}
ONE_TIME_SHARE = 0.16  # of implants that come on a bill: 7 percent of all implant lines (Q09)


class CaseUsage:
    """Decides what cases take."""

    def __init__(self, suite: Suite) -> None:
        """Bind the suite."""
        self.suite = suite
        self.world = suite.world
        self.masters = suite.masters
        self.stock = suite.stock
        self.charging = suite.charging
        self.plan = suite.plan
        self.chance = suite.chance
        self.bedside = suite.bedside

    def lines(self, planned: PlannedCase, stream: Stream, mode: str) -> list[Line]:
        """What the procedure takes: supplies from the shelves, implants from shelf, closet or the representative."""
        procedural = planned.procedure.department in PROCEDURAL_AREAS
        lines: list[Line] = []
        taken: set[int] = set()
        for family, least, most in (*planned.procedure.supplies, *EVERY_CASE[planned.procedure.department]):
            items = [item for item in self.suite.items(planned.site, family) if item.key not in taken]
            for item in stream.sample(items, stream.integer(least, most)):
                taken.add(item.key)
                low, high = USUAL_QUANTITIES.get(family, (1, 1))
                used = Decimal(stream.integer(low, high))
                if item.unit_of_charge == "BX":
                    used = item.packages[1].each * stream.integer(1, 2)
                wasted = ZERO
                if not procedural and item.unit_of_charge == "EA" and stream.flag(WASTED[planned.procedure.service_c]):
                    used, wasted = used if stream.flag(PARTLY) else ZERO, ONE
                home = self.stock.home(planned.site, item)
                lines.append(
                    Line(
                        kind="procedural" if procedural else "pick_list",
                        item=item,
                        used=used,
                        wasted=wasted,
                        location=home,
                        is_location_empty=home.location_type == "OR_CORE" and stream.flag(0.06),
                    )
                )
        for family, least, most in planned.procedure.implants:
            for _ in range(stream.integer(least, most)):
                implant = self._implant_line(planned, family, stream)
                if implant is not None:
                    lines.append(implant)
        east = self.bedside.keeps(planned.site)
        if planned.procedure.service_c == 20 and stream.flag(0.2 if self.plan.shows("Q13") and not east else 0):
            lines.extend(self._construct(planned, stream))
        if planned.procedure.service_c == 10 and stream.flag(0.1):
            tools = self.suite.items(planned.site, "instrument")
            if tools:
                par = self.stock.location(planned.site, "PAR", 1)
                lines.append(Line("pick_list", stream.pick(tools), ONE, ZERO, par, stock_class="NONSTOCK"))
        if east:
            lines = self.bedside.documented(lines)
        elif mode == "normal":
            self._placeholder(planned, lines)
        for line in lines:
            if line.item is not None:
                line.cost = self.charging.cost_on(line.item, planned.day)
        return lines

    def _implant_line(self, planned: PlannedCase, family: str, stream: Stream) -> Line | None:
        items = self.suite.items(planned.site, family)
        if not items:
            return None
        item = stream.pick(items)
        record, implant_id = self.suite.new_record()
        quantity = Decimal(stream.integer(*USUAL_QUANTITIES.get(family, (1, 1))))
        at = planned.start
        if item.stock_class == "BILLONLY":
            lot = self.stock.new_lot(item, planned.day, record)
            line = Line("implant", item, ONE, ZERO, None, lot, "BILLONLY", implant_id, record)
            if lot.expiry is not None and self.plan.quirk("Q23", record, share=0.01):
                line.recorded_lot = replace(lot, expiry=lot.expiry.replace(year=lot.expiry.year + 100, day=1))
            if not self.bedside.keeps(planned.site) and self.plan.quirk("Q09", record, share=ONE_TIME_SHARE):
                line.one_time_family, line.item, line.stock_class = item, None, "ONE_TIME"
                line.cost = (item.price_each * Decimal("1.1")).quantize(Decimal("0.01"))
            return line
        home = self.stock.home(planned.site, item)
        lot = self.stock.next_lot(home.location_id, item, at)
        if item.stock_class == "CONSIGN":
            return Line("implant", item, ONE, ZERO, home, lot, "CONSIGN", implant_id, record)
        line = Line("implant", item, quantity, ZERO, home, lot, "STOCK", implant_id, record)
        if stream.flag(0.06):
            line.used, line.wasted = ZERO, ONE
            if not self.bedside.keeps(planned.site) and self.plan.quirk("Q08", record):
                line.implant_id = None
        return line

    def _construct(self, planned: PlannedCase, stream: Stream) -> list[Line]:
        """Q13: one priced set line, components at a cent or nothing."""
        par = self.stock.location(planned.site, "PAR", 1)
        number = stream.integer(0, len(self.masters.constructs) - 1)
        lines = [
            Line("pick_list", self.world.items[self.masters.constructs[number]], ONE, ZERO, par, stock_class="NONSTOCK")
        ]
        for item in stream.sample(self.suite.items(planned.site, "plate"), 2):
            home = self.stock.home(planned.site, item)
            lot = self.stock.next_lot(home.location_id, item, planned.start)
            lines.append(Line("pick_list", item, ONE, ZERO, home, lot, is_component=True))
        return lines

    def _placeholder(self, planned: PlannedCase, lines: list[Line]) -> None:
        """Q12 as far as it is a defect: charting items without a number in any ERP (MDM-01)."""
        if not self.masters.placeholders or planned.procedure.department != "7010":
            return
        if self.plan.wants("MDM-01", True, planned.case_id, planned.day, "ehr"):
            stream = self.chance.stream("placeholder", planned.case_id)
            item = self.world.items[stream.pick(self.masters.placeholders)]
            par = self.stock.location(planned.site, "PAR", 0)
            lines.append(
                Line("pick_list", item, Decimal(stream.integer(1, 3)), ZERO, par, stock_class="NONSTOCK", tag="MDM-01")
            )
            self.plan.note(
                "MDM-01", f"system=ehr|item={item.supply_id}", "SYS", False, "charting item without a number"
            )

    def not_on_log(self, performed: Performed, stream: Stream) -> Item | None:
        """An item at hand that the case has nothing to do with."""
        used = self._known_keys(performed)
        items = [item for item in self.at_hand(performed.plan) if item.key not in used]
        return stream.pick(items) if items else None

    def at_hand(self, planned: PlannedCase) -> list[Item]:
        """Items of the case's department that may be opened or not."""
        family = CARD_FAMILIES.get(planned.procedure.department)
        return self.suite.items(planned.site, family) if family else []

    @staticmethod
    def _known_keys(performed: Performed) -> set[int]:
        keys = {line.item.key for line in performed.lines if line.item is not None}
        return keys | {scan.item.key for scan, _ in performed.extra_scans} | {item.key for item, _ in performed.strays}

    def stray_item(self, performed: Performed, stream: Stream) -> Item | None:
        """An item that could be charged by mistake: neither it nor its charge code has to do with the case."""
        known = self._known_keys(performed)
        codes = {line.item.charge_code for line in performed.lines if line.item is not None}
        families = STRAY_FAMILIES[performed.case.department]
        items = [
            item
            for family in families
            for item in self.suite.items(performed.case.site, family)
            if item.key not in known and item.charge_code is not None and item.charge_code not in codes
        ]
        return stream.pick(items) if items else None

    def default_location(self, planned: PlannedCase) -> Location:
        """Where the items of the case's department are kept."""
        suffix = {"7010": "ORC", "7020": "CTH", "7030": "IRR", "7040": "PAR"}[planned.procedure.department]
        return self.stock.location(planned.site, suffix)
