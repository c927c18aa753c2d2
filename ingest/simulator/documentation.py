"""What gets written down of a case: pick list, implant log, procedural supplies, and the case itself.

Here: which line stands where with which number, copies of implants (Q05), explants (Q07), lots as typed (Q24); the
usage lines that the world keeps.
Not here: what was used (case_usage), the rows themselves (chart, bedside).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from ingest.simulator.assortment import PROCEDURAL_AREAS, PULLED_FAMILIES
from ingest.simulator.case_usage import CaseUsage
from ingest.simulator.chance import Stream
from ingest.simulator.device_defects import (
    NO_LOT,
    NO_WARRANTY,
    is_recall_reimplant,
)
from ingest.simulator.events import UsageLine
from ingest.simulator.records import Line, Performed
from ingest.simulator.suite import Suite

ZERO = Decimal(0)
ONE = Decimal(1)
EXPLANTED = 0.04  # of the cases of operating rooms (Q07)
MOST_CLOSED = 4  # lines of a family that are pulled and stay closed


class Documentation:
    """Writes cases into the record."""

    def __init__(self, suite: Suite, usage: CaseUsage) -> None:
        """Bind the suite and what its cases use."""
        self.suite = suite
        self.world = suite.world
        self.masters = suite.masters
        self.stock = suite.stock
        self.charging = suite.charging
        self.outbox = suite.outbox
        self.plan = suite.plan
        self.chance = suite.chance
        self.chart = suite.chart
        self.bedside = suite.bedside
        self.usage = usage

    def number_lines(self, performed: Performed, stream: Stream) -> None:
        """Give every line its identity in the record."""
        if self.bedside.keeps(performed.case.site):
            self.bedside.number_lines(performed, performed.lines)
            return
        pick_line, finding_line = 0, 0
        for line in performed.lines:
            if line.kind == "implant":
                line.usage_id = f"IMPL:{line.record_id}"
            elif line.kind == "procedural":
                finding_line += 1
                line.usage_id = f"RES:{self._finding(performed)}:{finding_line}"
            else:
                pick_line += 1
                line.usage_id = f"PKLST:{performed.pick_list_id}:{pick_line}"
                if line.item is not None:
                    line.flag = "Y" if line.item.is_chargeable and not line.is_component else "N"
                    if stream.flag(0.03) and not line.is_component and not line.item.is_placeholder:
                        line.flag = None

    @staticmethod
    def _finding(performed: Performed) -> str:
        return str(int(performed.plan.case_id) + 30_000_000)

    def document(self, performed: Performed, lines: list[Line], at: datetime) -> None:
        """Write usage into the record: pick list, implant log, procedural supplies.

        What goes with the first documentation alone, copies and explants, is not written again by an addendum.
        """
        case = performed.case
        if self.bedside.keeps(case.site):
            self.bedside.document(performed, lines, at)
            if lines is not performed.extra_lines:
                self._explant(performed, 0, at)
            return
        if any(line.kind == "pick_list" for line in lines) and not performed.case.posted_at:
            self.outbox.emit(
                "ehr",
                "OR_PKLST",
                {
                    "PICK_LIST_ID": performed.pick_list_id,
                    "PICK_LIST_TYPE_C": 2,
                    "LOG_ID": case.log_id,
                    "PICK_LIST_NAME": f"CASE {case.case_id}",
                    "UPDATE_DATE": at,
                },
                at,
            )
            if self.plan.shows("Q06"):
                self.chart.preference_card(performed, at)
            self._closed_supplies(performed, at)
        number = 0
        for line in lines:
            if line.kind == "pick_list":
                self.chart.pick_line(performed, line, int(line.usage_id.rsplit(":", 1)[1]), at)
                self._keep(performed, self._usage_line(performed, line, at))
            elif line.kind == "procedural":
                self.chart.finding(performed, line, int(line.usage_id.rsplit(":", 1)[1]), at)
                self._keep(performed, self._usage_line(performed, line, at))
            else:
                number += 1
                self.chart.implant(performed, line, number, at)
                self._keep(performed, self._usage_line(performed, line, at))
        if lines is not performed.extra_lines:
            self._copies_of_implants(performed, lines, at)
            self._explant(performed, number, at)
            for place, line in enumerate((line for line in performed.lines if line.replaces), start=3):
                self._replaced(performed, line, number + place, at)

    def _closed_supplies(self, performed: Performed, at: datetime) -> None:
        """Lines of the pick list that were pulled and stayed closed: about half of all."""
        stream = self.chance.stream("closed supplies", performed.case.log_id)
        taken = {line.item.key for line in performed.lines if line.item is not None}
        number = 500
        for family in PULLED_FAMILIES:
            items = [item for item in self.suite.items(performed.case.site, family) if item.key not in taken]
            for item in stream.sample(items, stream.integer(0, MOST_CLOSED)):
                number += 1
                home = self.stock.home(performed.case.site, item)
                line = Line("pick_list", item, ZERO, ZERO, home, cost=self.charging.cost_on(item, performed.plan.day))
                self.chart.pick_line(performed, line, number, at)

    def _copies_of_implants(self, performed: Performed, lines: list[Line], at: datetime) -> None:
        """Q05: implants stand in the pick list too; procedural logs repeat them with their implant id."""
        implants = [line for line in lines if line.kind == "implant" and line.item is not None and line.used > 0]
        procedural = performed.case.department in PROCEDURAL_AREAS
        taken = sum(1 for line in lines if line.kind in ("pick_list", "procedural"))
        for line in implants:
            if not self.plan.quirk("Q05", line.record_id, share=0.5) and not procedural:
                continue
            taken += 1
            copied = replace(line, kind="procedural" if procedural else "pick_list", tag=None)
            if procedural:
                copied.usage_id = f"RES:{self._finding(performed)}:{taken}"
                self.chart.finding(performed, copied, taken, at)
            else:
                copied.usage_id = f"PKLST:{performed.pick_list_id}:{taken}"
                self.chart.pick_line(performed, copied, taken, at, is_copy=True)
            self._keep(performed, replace(self._usage_line(performed, copied, at), is_implant_copy=True))

    def _replaced(self, performed: Performed, line: Line, number: int, at: datetime) -> None:
        """The device that an implant takes the place of: explanted on the same log."""
        record, implant_id = self.suite.new_record()
        assert line.item is not None
        lot = self.stock.new_lot(line.item, performed.case.surgery_date - timedelta(days=900), record)
        old = Line("implant", line.item, ONE, ZERO, None, lot, "NONE", implant_id, record)
        old.usage_id, old.recorded_lot = f"IMPL:{record}", lot
        if line.replaces != NO_WARRANTY and not is_recall_reimplant(line, self.chance):
            old.warranty_completed = performed.case.surgery_date
        self.chart.implant(performed, old, number, at, 2)
        self._keep(performed, replace(self._usage_line(performed, old, at), action="explanted"))

    def _explant(self, performed: Performed, number: int, at: datetime) -> None:
        """Q07: explants and adjustments stand in the implant log and are no usage."""
        case = performed.case
        if case.department != "7010" or not self.plan.quirk("Q07", case.log_id, share=EXPLANTED):
            return
        items = self.suite.items(case.site, "plate")
        if not items:
            return
        stream = self.chance.stream("explant", case.log_id)
        item = stream.pick(items)
        if self.bedside.keeps(case.site):
            device = f"dev-{case.case_id.lower()}-out"
            self.bedside.explant(performed, item, self.stock.new_lot(item, case.surgery_date, device), device, at)
            return
        for offset, action in enumerate(("explanted", "adjusted") if stream.flag(0.3) else ("explanted",), start=1):
            record, implant_id = self.suite.new_record()
            line = Line(
                "implant",
                item,
                ONE,
                ZERO,
                None,
                self.stock.new_lot(item, case.surgery_date, record),
                "NONE",
                implant_id,
                record,
            )
            line.usage_id = f"IMPL:{record}"
            line.recorded_lot = line.lot
            self.chart.implant(performed, line, number + offset, at, 2 if action == "explanted" else 4)
            self._keep(performed, replace(self._usage_line(performed, line, at), action=action))

    def _usage_line(self, performed: Performed, line: Line, at: datetime) -> UsageLine:
        recorded = line.recorded_lot or line.lot
        is_implant = line.kind == "implant"
        action = "wasted" if is_implant and line.wasted else "used"
        described = line.item or line.one_time_family
        location = line.location if line.kind == "pick_list" and not line.is_location_empty else None
        if location is not None and location.ehr_code is None:
            location = None
        lot = None if recorded.lot is None else self._recorded_lot_number(line, recorded.lot)
        return UsageLine(
            usage_id=line.usage_id,
            site=performed.case.site,
            log_id=performed.case.log_id,
            record=line.kind,
            action=action,
            supply_id=line.supply_id,
            implant_id=line.implant_id,
            item_key=line.item.key if line.item is not None else None,
            used_each=line.used if line.used or not is_implant else ZERO,
            wasted_each=line.wasted,
            location_id=location.location_id if location is not None else None,
            documented_cost=self._documented_cost(line),
            chargeable_flag=line.flag if line.kind == "pick_list" else None,
            lot=lot if is_implant and line.untraced != NO_LOT else None,
            serial=recorded.serial if is_implant and line.untraced != NO_LOT else None,
            expiry_date=recorded.expiry if is_implant and line.implant_id is not None else None,
            is_implant_copy=False,
            is_one_time=line.stock_class == "ONE_TIME",
            manufacturer_number=described.catalogue_number if is_implant and described is not None else None,
            vendor_catalogue_number=described.vendor_catalogue_number if is_implant and described is not None else None,
            one_time_charge_proc_id=self.masters.one_time_proc_id if line.stock_class == "ONE_TIME" else None,
            known_at=at,
            **self._device(line),
        )

    def _device(self, line: Line) -> dict[str, Any]:
        """What an implant record says of the device."""
        described = line.item or line.one_time_family
        if line.kind != "implant" or line.implant_id is None or described is None:
            return {}
        identifier, udi_type = self.chart.device_identifier(line)
        return {
            "manufacturer_id": described.manufacturer_id,
            "device_identifier": identifier,
            "udi_type": udi_type,
            "is_tissue": described.usage_class == "skin",
            "warranty_completed": line.warranty_completed,
            "is_recall_reimplant": is_recall_reimplant(line, self.chance),
        }

    def _documented_cost(self, line: Line) -> Decimal | None:
        if line.kind == "pick_list":
            if line.is_component:
                return Decimal("0.01") if int(line.usage_id.rsplit(":", 1)[1]) % 2 else ZERO
            return line.cost
        return line.cost if line.stock_class == "ONE_TIME" else None

    def _recorded_lot_number(self, line: Line, lot: str) -> str:
        """Q24: the letter O for a zero, leading zeros lost."""
        if line.stock_class != "STOCK" or not self.plan.quirk("Q24", line.record_id or line.usage_id, share=0.03):
            return lot
        return lot.lstrip("0").replace("0", "O")

    def version(self, performed: Performed, at: datetime, **changes: object) -> None:
        """The case in a new version, known from `at` on."""
        performed.case = replace(performed.case, known_at=at, **changes)  # type: ignore[arg-type]
        self.world.cases.append(performed.case)

    def withdraw(self, performed: Performed, line: Line, at: datetime) -> None:
        """A line of the pick list that an addendum took away: its row stays, with nothing used (Q17)."""
        self.chart.pick_line(performed, line, int(line.usage_id.rsplit(":", 1)[1]), at)
        self._keep(performed, self._usage_line(performed, line, at))

    def _keep(self, performed: Performed, line: UsageLine) -> None:
        performed.documented += 1
        self.world.usage.append(line)
