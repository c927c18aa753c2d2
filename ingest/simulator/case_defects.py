"""What is planted on the lines of a case: usage, scans, charges and expiry dates that are wrong or only look it.

Here: which line of which case carries a defect or near miss (UI-01, UI-02, UC-01 to UC-10, UC-13, BO-07), mistakes that
are taken back (Q36).
Not here: devices (device_defects), what the tags then do (documentation, scanning, charging).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from ingest.simulator.assortment import EVERY_CASE, PROCEDURAL_AREAS
from ingest.simulator.case_charges import CaseCharges, running_number
from ingest.simulator.case_usage import CaseUsage
from ingest.simulator.chance import Stream
from ingest.simulator.charge_faults import (
    ENDING_CODE,
    FORGOTTEN,
    FORMER_CODE,
    HELD_TOO_LONG,
    LAST_DAY,
    OTHER_ACCOUNT,
    PLANTED,
    WRONG_ACCOUNT,
    WRONG_ACCOUNT_FIRST,
    WRONG_PRICE,
    WRONG_REVENUE,
    former_code,
)
from ingest.simulator.device_defects import (
    plant_devices,
)
from ingest.simulator.events import Item
from ingest.simulator.records import Line, Performed, PlannedCase
from ingest.simulator.scanning import Scanning
from ingest.simulator.suite import Suite

ONE = Decimal(1)
ZERO = Decimal(0)
MOST_TAGS, MOST_TAGS_OF_IMPLANTS = 3, 6  # of a case, of one with several implants
SEVERAL_IMPLANTS = 3
MISTAKEN = 0.03  # of the cases
TAKEN_BACK = timedelta(days=13)  # latest, after the case
QUIET = timedelta(days=3)
# What cannot come about where usage names an item by its MMIS number, issues name no case, charges no usage line and
# devices no warranty.
RULES_NOT_IN_THE_EAST = frozenset({"UI-02", "UC-13", "UC-16"})
NOT_IN_THE_EAST = frozenset(
    {
        ("UI-01", "implant"),
        ("UI-01", "alternate number"),
        ("UI-01", "BX against EA"),
        ("UI-01", "untagged issue"),
        ("UC-01", "in the router"),
        ("UC-01", "in review"),
        ("UC-01", "unit charge entry"),
        ("UC-01", "construct component"),
        ("UC-01", "reposted to another account"),
        ("UC-05", "issue tagged to the case"),
        ("UC-06", "implant"),
        ("UC-08", "former code"),
        ("UC-08", "ending code"),
    }
)


class CaseDefects:
    """Plants what the plan wants on cases."""

    def __init__(self, suite: Suite, usage: CaseUsage, charges: CaseCharges, scanning: Scanning) -> None:
        """Nothing is planted yet."""
        self.world = suite.world
        self.masters = suite.masters
        self.stock = suite.stock
        self.charging = suite.charging
        self.plan = suite.plan
        self.chance = suite.chance
        self.recalls = suite.recalls
        self.bedside = suite.bedside
        self.usage = usage
        self.charges = charges
        self.scanning = scanning
        self._today: list[PlannedCase] = []
        self._modes: dict[str, str] = {}  # of the cases performed today
        self._quiet_untagged: dict[tuple[str, int], date] = {}  # items with unscanned usage: no loose issues nearby
        self._loose_untagged: dict[tuple[str, int], date] = {}

    def plant(self, performed: Performed, stream: Stream) -> None:
        """Let the lines of a case carry what the plan wants just now, at most a few per case."""
        case, site = performed.case, performed.case.site
        d = case.surgery_date
        planted = 0
        implants = sum(line.kind == "implant" for line in performed.lines)
        most = MOST_TAGS_OF_IMPLANTS if implants >= SEVERAL_IMPLANTS else MOST_TAGS
        east = self.bedside.keeps(site)

        def wants(rule: str, defect: bool, variant: str) -> bool:
            nonlocal planted
            if planted >= most or (east and (rule in RULES_NOT_IN_THE_EAST or (rule, variant) in NOT_IN_THE_EAST)):
                return False
            if not self.plan.wants(rule, defect, case.log_id, d, f"{variant}, FHIR" if east else variant):
                return False
            planted += 1
            return True

        def free(test: Callable[[Line], bool]) -> Line | None:
            return next((line for line in performed.lines if line.tag is None and test(line)), None)

        def plain(line: Line) -> bool:
            return (
                line.item is not None
                and line.is_owned_stock
                and line.kind != "implant"
                and line.item.item_class == "SUPPLY"
                and line.item.unit_of_charge == "EA"
                and line.location is not None
                and line.location.is_asset
                and line.wasted == 0
            )

        def calm(line: Line) -> bool:
            return line.item is not None and self._quiet_untagged.get((site, line.item.key), date.min) < d - timedelta(
                days=3
            )

        def own_implant(line: Line) -> bool:
            return line.kind == "implant" and line.is_owned_stock and line.used > 0 and line.implant_id is not None

        self._plant_usage(performed, stream, wants, free, plain, calm, own_implant)
        if not case.is_research:
            self._plant_charges(performed, stream, wants, free, plain)
        self._plant_expiry(performed, stream, wants, free)
        self._plant_twins(performed, wants)
        plant_devices(performed, self.plan, self.recalls, wants, free)
        self._note_natural(performed, wants, free)

    def _plant_usage(
        self,
        performed: Performed,
        stream: Stream,
        wants: Callable[[str, bool, str], bool],
        free: Callable[[Callable[[Line], bool]], Line | None],
        plain: Callable[[Line], bool],
        calm: Callable[[Line], bool],
        own_implant: Callable[[Line], bool],
    ) -> None:
        case, site, d = performed.case, performed.case.site, performed.case.surgery_date

        def key(line: Line) -> str:
            return f"case={case.log_id}|item={line.supply_id}"

        east = self.bedside.keeps(site)

        def loose(line: Line) -> bool:
            item = line.item
            return item is not None and self._loose_untagged.get((site, item.key), date.min) < d - QUIET

        def rare(line: Line) -> bool:
            """No item of every case: where issues name no case, what is missing would be missed at another one."""
            common = {family for family, _, _ in EVERY_CASE[case.department]}
            return line.item is not None and line.item.usage_class not in common

        line = free(lambda entry: plain(entry) and loose(entry) and (not east or (calm(entry) and rare(entry))))
        if line is not None and wants("UI-01", True, "no_scan"):
            line.tag, line.scan = "UI-01", "none"
            line.used = Decimal(max(int(line.used), stream.integer(2, 4)))
            self._quiet(performed, line)
            self.plan.note("UI-01", key(line), site, False, "not scanned")
        line = free(lambda entry: own_implant(entry) and loose(entry))
        if line is not None and wants("UI-01", True, "implant"):
            line.tag, line.scan = "UI-01", "none"
            self._quiet(performed, line)
            self.plan.note("UI-01", key(line), site, False, "implant not scanned")
        line = free(lambda entry: plain(entry) and bool(entry.item and self.stock.aliases(site, entry.item)))
        if line is not None and wants("UI-01", False, "alternate number"):
            line.tag, line.scan = "UI-01", "alias"
            line.used = max(line.used, Decimal(2))
            self.plan.note("UI-01", key(line), site, True, "issued under another number of the same item")
        line = free(
            lambda entry: plain(entry) and entry.item is not None and entry.item.usage_class in ("dressing", "suture")
        )
        if line is not None and line.item is not None and wants("UI-01", False, "BX against EA"):
            line.tag, line.scan = "UI-01", "box"
            line.used = line.item.packages[1].each
            self.plan.note("UI-01", key(line), site, True, "issued by the box")
        # Where issues name no case, one piece short here and another there could come together.
        line = free(lambda entry: plain(entry) and (not east or (calm(entry) and loose(entry) and rare(entry))))
        if line is not None and wants("UI-01", False, "within tolerance"):
            line.tag, line.scan = "UI-01", "one less"
            if east and line.item is not None:
                self._quiet(performed, line)
                self._loose_untagged[(site, line.item.key)] = d
            line.used = max(line.used, Decimal(2))
            self.plan.note("UI-01", key(line), site, True, "one EACH missing is within tolerance")
        line = free(lambda entry: plain(entry) and calm(entry))
        if line is not None and line.item is not None and wants("UI-01", False, "untagged issue"):
            line.tag, line.scan = "UI-01", "untagged"
            line.used = max(line.used, Decimal(2))
            self._loose_untagged[(site, line.item.key)] = d
            self.plan.note("UI-01", key(line), site, True, "issued without a case number")
        extra = self.usage.not_on_log(performed, stream)
        issued = f"case={case.case_id}|item={self.stock.number(site, extra) if extra is not None else ''}"
        if extra is not None and wants("UI-02", True, "not_documented"):
            self._extra_scan(performed, extra, Decimal(stream.integer(2, 5)), None)
            self.plan.note("UI-02", issued, site, False, "not documented")
        elif extra is not None and wants("UI-02", True, "late_return"):
            self._extra_scan(performed, extra, Decimal(3), stream.integer(3, 5))
            self.plan.note(
                "UI-02",
                issued,
                site,
                False,
                "returned days later",
            )
        elif extra is not None and wants("UI-02", False, "returned"):
            self._extra_scan(performed, extra, Decimal(3), stream.integer(0, 1))
            self.plan.note(
                "UI-02",
                issued,
                site,
                True,
                "returned after the case",
            )
        elif extra is not None and wants("UI-02", False, "within tolerance"):
            self._extra_scan(performed, extra, ONE, None)
            self.plan.note(
                "UI-02",
                issued,
                site,
                True,
                "one EACH is within tolerance",
            )
        other = self._other_case(performed)
        line = free(lambda entry: plain(entry) and loose(entry))
        if other is not None and line is not None and line.item is not None and wants("UI-02", True, "wrong_case"):
            line.tag, line.scan = "UI-02", f"case {other.case_id}"
            line.used = Decimal(max(int(line.used), 3))
            self._quiet(performed, line)
            self.plan.note(
                "UI-02",
                f"case={other.case_id}|item={self.stock.number(site, line.item)}",
                site,
                False,
                "wrong case typed",
            )
            self.plan.note("UI-01", key(line), site, False, "issued to another case by mistake")

    def mistake(self, performed: Performed) -> None:
        """Q36, Q17: one piece too many is written down, and taken back when it was counted and charged already."""
        case = performed.case
        east = self.bedside.keeps(case.site)
        quirk = self.plan.quirk
        is_mistaken = quirk("Q36", case.case_id) if east else quirk("Q17", "too many", case.case_id, share=MISTAKEN)
        is_in_time = east or case.surgery_date + TAKEN_BACK <= self.world.end
        if not is_mistaken or not is_in_time or (case.department in PROCEDURAL_AREAS and not east):
            return
        item = self.usage.not_on_log(performed, self.chance.stream("mistake", case.case_id))
        if item is None or self._loose_untagged.get((case.site, item.key), date.min) >= case.surgery_date - QUIET:
            return
        home = self.stock.home(case.site, item)
        cost = self.charging.cost_on(item, case.surgery_date)
        mistaken = [Line("pick_list", item, ONE, ZERO, home, cost=cost)]
        for line in self.bedside.documented(mistaken) if east else mistaken:
            line.tag, line.scan = "too many", "none"
            self._loose_untagged[(case.site, item.key)] = case.surgery_date
            self._quiet(performed, line)
            performed.account.is_touched = True
            performed.mistaken = line
            performed.lines.append(line)

    def _quiet(self, performed: Performed, line: Line) -> None:
        """No loose issue of this item may hide the missing one."""
        if line.item is not None:
            self._quiet_untagged[(performed.case.site, line.item.key)] = performed.case.surgery_date

    def _other_case(self, performed: Performed) -> PlannedCase | None:
        """A case of the same day and department whose number may be typed by mistake, with another log behind it."""
        for other in self._today:
            if (
                other.site == performed.case.site
                and other.case_id != performed.case.case_id
                and other.procedure.department == performed.case.department
                and self._modes.get(other.case_id) == "normal"
                and other.log_id == other.case_id
            ):
                return other
        return None

    def _extra_scan(self, performed: Performed, item: Item, quantity: Decimal, returned_after: int | None) -> None:
        """An issue for the case that nobody writes down, returned after some days or never."""
        home = self.stock.home(performed.case.site, item)
        scan = self.scanning.scan_of(performed, item, quantity, home, performed.plan.start + timedelta(minutes=50))
        performed.extra_scans.append((replace(scan, keeps_case=True), returned_after))

    def _plant_charges(
        self,
        performed: Performed,
        stream: Stream,
        wants: Callable[[str, bool, str], bool],
        free: Callable[[Callable[[Line], bool]], Line | None],
        plain: Callable[[Line], bool],
    ) -> None:
        case, site = performed.case, performed.case.site

        def entity(line: Line) -> str:
            if line.implant_id is not None:
                return f"case={case.log_id}|implant={line.implant_id}"
            return f"case={case.log_id}|item={line.supply_id}"

        def charged(line: Line) -> bool:
            return (
                plain(line)
                and line.item is not None
                and line.item.charge_code is not None
                and self.charges.expected(performed, line) > 0
            )

        def alone(line: Line) -> bool:
            """Charged under a code of its own in the case: a charge that names no supply can mean nothing else."""
            item = line.item
            return item is not None and not any(
                other is not line and other.item is not None and other.item.charge_code == item.charge_code
                for other in performed.lines
            )

        def charged_implant(line: Line) -> bool:
            return (
                line.implant_id is not None
                and line.used > 0
                and line.stock_class == "STOCK"
                and line.item is not None
                and line.item.unit_of_charge == "EA"
            )

        def fixed(line: Line) -> bool:
            code = self.masters.charge_codes.get((line.item.charge_code if line.item else None) or "")
            return charged(line) and code is not None and code.method == "FIXED"

        def renewed(line: Line, is_ended: bool) -> bool:
            """Charged under a code that took the place of another, which has ended by the service date, or will."""
            if not fixed(line) or line.item is None:
                return False
            former = former_code(self.masters, self.masters.charge_codes[line.item.charge_code or ""])
            return former is not None and former.is_in_force(case.surgery_date) != is_ended

        account, east = performed.account, self.bedside.keeps(site)
        offers: tuple[tuple[str, bool, str, Callable[[Line], bool], str], ...] = (
            ("UC-01", True, "supply", charged, "missed"),
            ("UC-01", True, "implant", charged_implant, "missed"),
            ("UC-03", True, "more", charged, "more"),
            ("UC-03", True, "less", lambda entry: charged_implant(entry) and entry.used > 1, "less"),
            ("UC-04", True, "interface", charged, "duplicate"),
            ("UC-01", False, "in the router", charged, "router"),
            ("UC-01", False, "in review", charged, "review"),
            ("UC-01", False, "before posting", charged, "pre_ar"),
            ("UC-01", False, "reposted to another code", charged, "other_code"),
            ("UC-01", False, "reposted to another account", charged, OTHER_ACCOUNT),
            ("UC-01", False, "unit charge entry", lambda entry: charged(entry) and alone(entry), "by_hand"),
            ("UC-04", False, "two used, two charges", lambda entry: charged(entry) and entry.used > 1, "two_rows"),
            ("UC-04", False, "duplicate reversed", charged, "duplicate_reversed"),
            ("UC-02", True, "held in review", charged, HELD_TOO_LONG),
            ("UC-02", True, "entered late", charged, FORGOTTEN),
            ("UC-02", False, "last day", charged, LAST_DAY),
            ("UC-06", True, "supply", charged, WRONG_REVENUE),
            ("UC-06", True, "implant", charged_implant, WRONG_REVENUE),
            ("UC-08", True, "price", fixed, WRONG_PRICE),
            ("UC-08", True, "former code", lambda entry: renewed(entry, True), FORMER_CODE),
            ("UC-08", False, "ending code", lambda entry: renewed(entry, False), ENDING_CODE),
            ("UC-13", True, "another account", charged, WRONG_ACCOUNT),
            ("UC-13", True, "transferred later", charged, WRONG_ACCOUNT_FIRST),
        )
        first = running_number(case.case_id) % len(offers)  # every kind gets its turn, also where lines are few
        for rule, defect, variant, test, mode in (*offers[first:], *offers[:first]):
            line = free(lambda entry, test=test: test(entry) and (not east or alone(entry)))  # type: ignore[misc]
            if line is None or not wants(rule, defect, variant):
                continue
            line.tag, line.charge = rule, mode
            if mode == "less":
                line.used = max(line.used, Decimal(2))
            account.is_touched = True
            if mode not in PLANTED or rule == "UC-01":
                self.plan.note(rule, entity(line), site, not defect, variant)
        extra = self.usage.stray_item(performed, stream)
        if extra is not None:
            if wants("UC-05", True, "no_usage"):
                account.is_touched = True
                performed.strays.append((extra, "log"))
            elif self.stock.home(site, extra).is_perpetual and wants("UC-05", False, "issue tagged to the case"):
                account.is_touched = True
                self._extra_scan(performed, extra, ONE, None)
                performed.strays.append((extra, "issued"))
            elif wants("UC-05", False, "other revenue code"):
                account.is_touched = True
                performed.strays.append((extra, "irrigation"))
        if not account.is_touched and wants("UC-01", False, "combined account"):
            account.is_touched = True
            day = case.surgery_date + timedelta(days=stream.integer(3, 6))
            self.charging.plan_change(performed.account.account, "combine", day)
            line = free(charged)
            if line is not None:
                self.plan.note("UC-01", entity(line), site, True, "combined account")

    def _plant_twins(self, performed: Performed, wants: Callable[[str, bool, str], bool]) -> None:
        """BO-07 as near miss: two pieces of one lot, which are ordered on two lines."""
        by_item: dict[int, Line] = {}
        for line in performed.lines:
            if line.stock_class != "BILLONLY" or line.item is None or line.item.is_serial_tracked or line.tag:
                continue
            twin = by_item.setdefault(line.item.key, line)
            if twin is not line and wants("BO-07", False, "two of one lot"):
                line.lot, line.recorded_lot = twin.lot, twin.recorded_lot
                line.tag = twin.tag = "BO-07"
                return

    def _plant_expiry(
        self,
        performed: Performed,
        stream: Stream,
        wants: Callable[[str, bool, str], bool],
        free: Callable[[Callable[[Line], bool]], Line | None],
    ) -> None:
        case, d = performed.case, performed.case.surgery_date

        def dated(line: Line) -> bool:
            has_record = line.implant_id is not None and line.used > 0 and line.lot.expiry is not None
            return has_record and line.stock_class == "STOCK"

        def key(line: Line) -> str:
            return f"case={case.log_id}|implant={line.implant_id}"

        line = free(dated)
        if line is not None and wants("UC-10", True, "expired"):
            line.tag = "UC-10"
            line.recorded_lot = replace(line.lot, expiry=d - timedelta(days=stream.integer(1, 60)))
            line.expiry_text = f"{line.recorded_lot.expiry:%y%m%d}"
            self.plan.note("UC-10", key(line), case.site, False, "expired")
        line = free(dated)
        if line is not None and line.lot.expiry is not None and wants("UC-10", True, "typo"):
            line.tag = "UC-10"
            line.recorded_lot = replace(
                line.lot, expiry=line.lot.expiry.replace(year=line.lot.expiry.year - 100, day=1)
            )
            self.plan.note("UC-10", key(line), case.site, False, "century typed wrong")
        line = free(dated)
        if line is not None and wants("UC-10", False, "on the day"):
            line.tag = "UC-10"
            line.recorded_lot = replace(line.lot, expiry=d)
            line.expiry_text = d.strftime("%y%m%d")
            self.plan.note("UC-10", key(line), case.site, True, "expires on the day of surgery")
        line = free(dated)
        if line is not None and wants("UC-10", False, "day 00"):
            line.tag = "UC-10"
            following = (d.replace(day=28) + timedelta(days=4)).replace(day=1)
            line.recorded_lot = replace(line.lot, expiry=following - timedelta(days=1))
            line.expiry_text = d.strftime("%y%m") + "00"
            self.plan.note("UC-10", key(line), case.site, True, "day 00 is the last day of the month")

    def _note_natural(
        self,
        performed: Performed,
        wants: Callable[[str, bool, str], bool],
        free: Callable[[Callable[[Line], bool]], Line | None],
    ) -> None:
        """Near misses that come about by themselves; a few are named."""
        case, site = performed.case, performed.case.site

        def item_key(line: Line) -> str:
            return f"case={case.log_id}|item={line.supply_id}"

        for rule, variant, test in (
            (
                "UI-01",
                "expensed location",
                lambda entry: entry.location is not None and not entry.location.is_perpetual and entry.used > 2,
            ),
            (
                "UC-01",
                "below minimum",
                lambda entry: entry.item is not None and entry.kind != "implant" and entry.item.usage_class == "clip",
            ),
            (
                "UC-01",
                "bundled by policy",
                lambda entry: entry.item is not None and entry.item.usage_class == "drape" and case.base_class == 1,
            ),
            ("UC-01", "construct component", lambda entry: entry.is_component),
            ("UC-03", "charged by the box", lambda entry: entry.item is not None and entry.item.unit_of_charge == "BX"),
            (
                "UC-03",
                "charged by square centimetre",
                lambda entry: entry.item is not None and entry.item.unit_of_charge == "CM2" and entry.used > 0,
            ),
        ):
            line = free(test)
            if line is None or line.item is None or not wants(rule, False, variant):
                continue
            line.tag = rule
            by_implant = rule != "UI-01" and line.implant_id is not None
            key = f"case={case.log_id}|implant={line.implant_id}" if by_implant else item_key(line)
            self.plan.note(rule, key, site, True, variant)
        if case.is_research:
            line = next((entry for entry in performed.lines if entry.item is not None and entry.item.charge_code), None)
            if line is not None:
                entity = f"implant={line.implant_id}" if line.implant_id else f"item={line.supply_id}"
                self.plan.note("UC-01", f"case={case.log_id}|{entity}", site, True, "research account")
        if performed.mode == "normal" and self.masters.scale and not self.bedside.keeps(site):
            self._note_mapping(performed)

    def _note_mapping(self, performed: Performed) -> None:
        for line in performed.lines:
            item = line.item
            if item is None or item.is_placeholder:
                continue
            if item.ehr_external_id is None:
                how = "by manufacturer and catalogue number" if not item.ehr_identities else "by GTIN"
                if self.plan.wants("MDM-01", False, item.supply_id, performed.case.surgery_date, f"ehr {how}"):
                    self.plan.note("MDM-01", f"system=ehr|item={item.supply_id}", "SYS", True, f"mapped {how}")
            kept_in_pou = self.world.sites[performed.case.site].stock_system == "pou" and line.is_owned_stock
            if item.pou_erp_item_no is None and item.pou_no is not None and kept_in_pou:
                how = "by GTIN" if item.pou_gtin else "by manufacturer and catalogue number"
                if self.plan.wants("MDM-01", False, item.pou_no, performed.case.surgery_date, f"pou {how}"):
                    self.plan.note("MDM-01", f"system=pou|item={item.pou_no}", "SYS", True, f"mapped {how}")

    def begin(self, cases: list[PlannedCase]) -> None:
        """A day begins, with its cases."""
        self._today, self._modes = cases, {}

    def performed(self, case_id: str, mode: str) -> None:
        """A case of the day is performed: as usual, void, unposted or for a test patient."""
        self._modes[case_id] = mode
