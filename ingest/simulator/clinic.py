"""Cases from the schedule to the posted log: patients, encounters, usage and implants.

Here: what surgeons use and what is written down about it; which lines carry a planted defect or near miss; scans at the
case handed to stock, implants handed to purchasing, charges handed to charging; the transaction extracts of system ehr.
Not here: the master extracts of ehr (chart), quantities on shelves (stock), what happens to a charge (charging).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from ingest.simulator.assortment import EVERY_CASE, PULLED_FAMILIES, SERVICES
from ingest.simulator.bedside import Bedside
from ingest.simulator.carts import Cart, pick
from ingest.simulator.chance import Chance, Stream
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
from ingest.simulator.charging import Account, ChargeRequest, Charging
from ingest.simulator.chart import Chart
from ingest.simulator.delivery import CHICAGO, Outbox
from ingest.simulator.device_defects import (
    NO_LOT,
    NO_WARRANTY,
    REPORTED,
    credit_share,
    is_recall_reimplant,
    plant_devices,
)
from ingest.simulator.events import Case, Item, Location, UsageLine, World
from ingest.simulator.masters import FIRST_NAMES, LAST_NAMES, Masters
from ingest.simulator.plan import DefectPlan
from ingest.simulator.purchasing import BillOnlyRequest
from ingest.simulator.recalls import Recalls
from ingest.simulator.records import Line, Patient, Performed, PlannedCase
from ingest.simulator.stock import HANDHELD, Scan, Stock

CASES_PER_YEAR = 132_000
WEEKDAY_WEIGHTS = (1.3, 1.32, 1.3, 1.32, 1.26, 0.3, 0.2)
SCHEDULE_AHEAD = 7
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
# Family of the items that are at hand in a department and may be opened or not.
CARD_FAMILIES = {"7010": "hemostat", "7020": "balloon", "7030": "microcath"}
MOST_TAGS_PER_CASE = 3
QUIET = timedelta(days=3)
ONE_TIME_SHARE = 0.3  # of implants that come on a bill: 7 percent of all implant lines (Q09)
OWN_LOG_NUMBERS = 7_000_000  # distance of a log number that no case has
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


class Clinic:
    """The operating rooms and procedural areas of the simulated sites."""

    def __init__(
        self,
        world: World,
        masters: Masters,
        stock: Stock,
        purchasing: Any,
        charging: Charging,
        outbox: Outbox,
        plan: DefectPlan,
        chance: Chance,
    ) -> None:
        """Bind the world and its parts; nothing happens until `opening`."""
        self.world = world
        self.masters = masters
        self.stock = stock
        self.purchasing = purchasing
        self.charging = charging
        self.outbox = outbox
        self.plan = plan
        self.chance = chance
        self._schedule: dict[date, list[PlannedCase]] = {}
        self._later: dict[date, list[Callable[[date], None]]] = {}
        self._patients: list[Patient] = []
        self._next_case = 40000001
        self._next_encounter = 300000001
        self._next_account = 600000001
        self._next_record = 1
        self._quiet_untagged: dict[tuple[str, int], date] = {}  # items with unscanned usage: no loose issues nearby
        self._loose_untagged: dict[tuple[str, int], date] = {}
        self._families: dict[tuple[str, str], list[Item]] = {}
        self._today: list[PlannedCase] = []
        self._modes: dict[str, str] = {}  # of the cases performed today
        self._carts: dict[str, Cart] = {}  # by case, where usage is posted at the pick
        self._credited: dict[tuple[str, str], str] = {}  # log and implant whose credit the claim will tell: account
        purchasing.implants.on_credit.append(self._credit)
        self.recalls = Recalls(world, stock, outbox, plan, chance)
        self.chart = Chart(world, masters, outbox, plan, chance)
        self.bedside = Bedside(world, masters, charging, self.chart.people, plan, chance)

    # ------------------------------------------------------------------------------------------------------ schedule

    def opening(self, d: date) -> None:
        """Schedule the first week, on the day before the first business date."""
        self.chart.opening(d)
        self.recalls.opening(d)
        self.bedside.opening(datetime.combine(d, time(12), CHICAGO))
        for ahead in range(1, SCHEDULE_AHEAD + 1):
            self._schedule_day(d + timedelta(days=ahead), datetime.combine(d, time(14), CHICAGO))

    def _schedule_day(self, day: date, at: datetime) -> None:
        for site in self.world.sites.values():
            stream = self.chance.stream("schedule", site.code, day)
            expected = CASES_PER_YEAR / 365 * site.volume_share * self.masters.scale * WEEKDAY_WEIGHTS[day.weekday()]
            number = int(expected) + stream.flag(expected - int(expected))
            cases = [self._plan_case(site.code, day, place, stream) for place in range(number)]
            self._number_logs(cases)
            for case in cases:
                self._schedule.setdefault(day, []).append(case)
                self.chart.patient(case.patient, at)
                if not self.bedside.keeps(site.code):
                    self.chart.case(case, at, None)

    def _plan_case(self, site: str, day: date, place: int, stream: Stream) -> PlannedCase:
        departments = self.world.sites[site].departments
        procedure = stream.weighted(
            [(entry, entry.weight) for entry in self.masters.procedures if entry.department in departments]
        )
        surgeons = [surgeon for surgeon in self.masters.surgeons if procedure.service_c in surgeon.services]
        surgeon = stream.pick(surgeons)
        if self.bedside.keeps(site):
            case_id = self.bedside.case_number(day)
        else:
            case_id = str(self._next_case)
            self._next_case += 1
        reuse = self._patients and stream.flag(0.1)
        patient = stream.pick(self._patients[-60:]) if reuse else self._new_patient(case_id)
        csn = str(self._next_encounter)
        self._next_encounter += 1
        minute = 7 * 60 + 30 + (place % 4) * 130 + stream.integer(0, 5) * 5
        case = PlannedCase(
            case_id=case_id,
            log_id=case_id,
            site=site,
            day=day,
            procedure=procedure,
            surgeon_id=surgeon.provider_id,
            surgeon_name=surgeon.name,
            room=1 + place % 6,
            start=datetime.combine(day, time(minute // 60, minute % 60), self.world.sites[site].clock),
            patient=patient,
            surgical_csn=csn,
        )
        if stream.flag(0.02):
            case.is_cancelled, case.cancel_reason = True, 3
        elif self.plan.quirk("Q02", case_id):
            case.cancel_reason = 2
        return case

    def _number_logs(self, cases: list[PlannedCase]) -> None:
        """Q01: a log's number differs from its case's for one in ten; some are another case's number."""
        special = [case for case in cases if not self.bedside.keeps(case.site) and self.plan.quirk("Q01", case.case_id)]
        for first, second in zip(special[::2], special[1::2], strict=False):
            first.log_id, second.log_id = second.case_id, first.case_id
        if len(special) % 2:
            last = special[-1]
            last.log_id = str(int(last.case_id) + OWN_LOG_NUMBERS)

    def _new_patient(self, case_id: str) -> Patient:
        stream = self.chance.stream("patient", case_id)
        number = len(self._patients) + 1
        is_test = self.plan.quirk("Q16", case_id)
        name = f"{stream.pick(LAST_NAMES).upper()},{stream.pick(FIRST_NAMES).upper()} {stream.pick('ABCDEFGHJKLM')}"
        mrn = f"E{1000000 + number}"
        if is_test:
            name, mrn = f"ZZTEST,{stream.pick(FIRST_NAMES).upper()}", f"ZZ{1000000 + number}"
        patient = Patient(
            patient_id=f"Z{2000000 + number}",
            mrn=mrn,
            name=name,
            birth_date=date(stream.integer(1936, 2006), stream.integer(1, 12), stream.integer(1, 28)),
            ssn=f"9{stream.integer(10, 99)}-{stream.integer(10, 69)}-{stream.integer(1000, 9999)}",
            phone=f"555-01{stream.integer(0, 99):02d}-{stream.integer(1000, 9999)}",
            address=f"{stream.integer(10, 9900)} {stream.pick(LAST_NAMES)} Lane",
            email=f"{name.split(',')[1].split()[0].lower()}.{number}@example.org",
            is_test=is_test,
        )
        self._patients.append(patient)
        return patient

    # ---------------------------------------------------------------------------------------------------------- days

    def day(self, d: date) -> None:
        """Perform the cases of `d`, post logs that are due, admit other patients, schedule ahead."""
        self.recalls.morning(d)
        for action in self._later.pop(d, []):
            action(d)
        self._today = self._schedule.pop(d, [])
        self._modes = {}
        for planned in self._today:
            if not planned.is_cancelled:
                self._perform(planned)
            elif self.bedside.keeps(planned.site):
                self.bedside.cancelled(planned, datetime.combine(d, time(9), CHICAGO))
            else:
                self.chart.case(planned, datetime.combine(d, time(9), CHICAGO), None)
                self._empty_cart(planned.case_id, datetime.combine(d, time(10, 15), CHICAGO))
        self._floor_patients(d)
        self._trial_use(d)
        for planned in self._schedule.get(d + timedelta(days=1), []):
            self._pick_cart(planned, datetime.combine(d, time(18), CHICAGO))
        self._schedule_day(d + timedelta(days=SCHEDULE_AHEAD), datetime.combine(d, time(14, 30), CHICAGO))

    def _on(self, day: date, action: Callable[[date], None]) -> None:
        if day <= self.world.end:
            self._later.setdefault(day, []).append(action)

    def _items(self, site: str, family: str) -> list[Item]:
        known = self._families.get((site, family))
        if known is None:
            known = []
            for key in self.masters.families.get(family, ()):
                item = self.world.items[key]
                stocked = not item.home or self.stock.is_carried(site, item)
                if self.stock.is_known(site, item) and stocked:
                    known.append(item)
            self._families[(site, family)] = known
        return known

    # -------------------------------------------------------------------------------------------- performing a case

    def _perform(self, planned: PlannedCase) -> None:
        stream = self.chance.stream("case", planned.case_id)
        account = self._admit(planned, stream)
        mode = "test" if planned.patient.is_test else "normal"
        d = planned.day
        east = self.bedside.keeps(planned.site)
        if mode == "normal":
            unposted_wanted = d > self.world.start + timedelta(days=4) and not east
            if unposted_wanted and self.plan.wants("UI-02", False, planned.case_id, d, "log unposted"):
                mode = "unposted"
            elif self.plan.quirk("void log", planned.case_id, share=0.005):
                mode = "void"
        self._modes[planned.case_id] = mode
        self._pick_cart(planned, planned.start - timedelta(hours=1, minutes=20))
        cart = self._carts.get(planned.case_id)
        lines = cart.lines if cart is not None else self._usage(planned, stream, mode)
        procedure = planned.procedure
        known_at = datetime.combine(d, time(20, stream.integer(0, 30)), CHICAGO)
        case = Case(
            log_id=planned.log_id,
            case_id=planned.case_id,
            site=planned.site,
            department=procedure.department,
            surgery_date=d,
            started_at=planned.start,
            service_c=procedure.service_c,
            service_line=SERVICES[procedure.service_c],
            procedure_id=procedure.procedure_id,
            surgeon_id=planned.surgeon_id,
            patient_id=planned.patient.patient_id,
            account=account.account,
            base_class=account.base_class,
            is_research=account.is_research,
            is_test_patient=planned.patient.is_test,
            status=3,
            posted_at=(),
            default_location_id=self._default_location(planned).location_id,
            known_at=known_at,
        )
        pick_list = "" if east else str(81000000 + int(planned.case_id))
        performed = Performed(planned, case, lines, account, account.csn, mode, pick_list)
        posting_day = d + timedelta(days=stream.weighted(((0, 0.5), (1, 0.35), (2, 0.15))))
        if mode == "normal":
            self._plant(performed, stream)
        if east and mode == "normal" and not account.is_touched:
            self._mistake(performed)
        self._finish_lines(performed, stream)
        self.world.cases.append(case)
        if not east:
            self.chart.case(planned, known_at, planned.log_id)
            self.chart.log(performed, known_at)
            self.chart.details(performed, known_at, stream)
        self._document(performed, lines, known_at)
        self._scan_lines(performed, stream)
        self._request_orders(performed)
        if mode == "void":
            self._on(d + timedelta(days=1), lambda day: self._void(performed, day))
        elif mode != "unposted":
            hour = time(21, stream.integer(0, 40))
            self._on_or_now(d, posting_day, lambda day: self._post(performed, datetime.combine(day, hour, CHICAGO)))

    def _on_or_now(self, today: date, day: date, action: Callable[[date], None]) -> None:
        if day <= today:
            action(day)
        else:
            self._on(day, action)

    def _default_location(self, planned: PlannedCase) -> Location:
        suffix = {"7010": "ORC", "7020": "CTH", "7030": "IRR"}[planned.procedure.department]
        return self.stock.location(planned.site, suffix)

    def _open_account(self, patient: Patient, site: str, ward: str, **stay: Any) -> Account:
        """Give a stay its account and encounter, and show both to the record and to billing."""
        account = Account(
            account=str(self._next_account),
            site=site,
            csn=str(self._next_encounter),
            patient_id=patient.patient_id,
            patient_name=patient.name,
            birth_date=patient.birth_date,
            ssn=patient.ssn,
            phone=patient.phone,
            **stay,
        )
        self._next_account += 1
        self._next_encounter += 1
        self._show_stay(account, ward, account.admitted_at)
        self.charging.open_account(account, account.admitted_at)
        return account

    def _show_stay(
        self,
        account: Account,
        ward: str,
        at: datetime,
        discharged: datetime | None = None,
        base_class: int | None = None,
    ) -> None:
        """A stay opens or changes in the record of its hospital."""
        record = self.bedside if self.bedside.keeps(account.site) else self.chart
        record.encounter(account, ward, at, discharged, base_class)

    def _admit(self, planned: PlannedCase, stream: Stream) -> Account:
        inpatient = stream.flag(planned.procedure.inpatient_share)
        base_class = 1 if inpatient else 3 if stream.flag(0.06) else 2
        admitted = planned.start - timedelta(hours=2)
        stay = stream.integer(2, 5) if inpatient else 0
        discharged = (planned.start + timedelta(days=stay)).replace(hour=17, minute=10)
        is_research = self.plan.quirk("research", planned.case_id, share=0.015)
        if planned.day > self.world.start and self.plan.wants("UC-01", False, planned.case_id, planned.day, "research"):
            is_research = True
        account = self._open_account(
            planned.patient,
            planned.site,
            "6010" if inpatient else "7050",
            base_class=base_class,
            is_research=is_research,
            admitted_at=admitted,
            discharged_at=discharged,
            department=planned.procedure.department,
            is_surgical=True,
            payor=stream.pick(("1001", "1002", "1003", "1004")),
        )
        if not self.bedside.keeps(planned.site):
            self.outbox.emit(
                "ehr",
                "PAT_OR_ADM_LINK",
                {
                    "PAT_ENC_CSN_ID": planned.surgical_csn,
                    "OR_LINK_CSN": account.csn,
                    "CASE_ID": planned.case_id,
                    "LOG_ID": planned.log_id,
                    "OR_CASELOG_ID": str(int(planned.case_id) + 13)
                    if self.plan.quirk("Q18", planned.case_id)
                    else planned.log_id,
                    "UPDATE_DATE": admitted,
                },
                admitted,
            )
        if discharged.date() <= self.world.end:
            self._on_or_now(
                planned.day,
                discharged.date(),
                lambda day: self._show_stay(account, "6010", discharged, discharged),
            )
        return account

    def _usage(self, planned: PlannedCase, stream: Stream, mode: str) -> list[Line]:
        """What the procedure takes: supplies from the shelves, implants from shelf, closet or the representative."""
        procedural = planned.procedure.department in ("7020", "7030")
        lines: list[Line] = []
        taken: set[int] = set()
        for family, least, most in (*planned.procedure.supplies, *EVERY_CASE[planned.procedure.department]):
            items = [item for item in self._items(planned.site, family) if item.key not in taken]
            for item in stream.sample(items, stream.integer(least, most)):
                taken.add(item.key)
                low, high = USUAL_QUANTITIES.get(family, (1, 1))
                used = Decimal(stream.integer(low, high))
                if item.unit_of_charge == "BX":
                    used = item.packages[1].each * stream.integer(1, 2)
                wasted = ONE if not procedural and item.unit_of_charge == "EA" and stream.flag(0.05) else ZERO
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
            tools = self._items(planned.site, "instrument")
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
        items = self._items(planned.site, family)
        if not items:
            return None
        item = stream.pick(items)
        record = str(6_000_000 + self._next_record)
        implant_id = str(9_000_000 + self._next_record)
        self._next_record += 1
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
        for item in stream.sample(self._items(planned.site, "plate"), 2):
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

    # ------------------------------------------------------------------------------------------ defects, near misses

    def _expected(self, performed: Performed, line: Line) -> Decimal:
        """Chargeable EACH of a line by the policy."""
        item = line.item
        if line.is_component or (item is not None and item.is_placeholder) or line.flag == "N":
            return ZERO
        item_class = "IMPLANT" if line.kind == "implant" or item is None else item.item_class
        case = performed.case
        total = ZERO
        for disposition, quantity in (("USED", line.used), ("WASTED", line.wasted)):
            if quantity and self.masters.is_chargeable(
                case.site,
                item_class,
                performed.account.base_class,
                disposition,
                line.cost,
                case.is_research,
                case.surgery_date,
            ):
                total += quantity
        return total

    def _plant(self, performed: Performed, stream: Stream) -> None:
        """Let the lines of a case carry what the plan wants just now, at most a few per case."""
        case, site = performed.case, performed.case.site
        d = case.surgery_date
        planted = 0
        east = self.bedside.keeps(site)

        def wants(rule: str, defect: bool, variant: str) -> bool:
            nonlocal planted
            if planted >= MOST_TAGS_PER_CASE or (
                east and (rule in RULES_NOT_IN_THE_EAST or (rule, variant) in NOT_IN_THE_EAST)
            ):
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

        line = free(lambda entry: plain(entry) and loose(entry) and (not east or calm(entry)))
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
        line = free(lambda entry: plain(entry) and (not east or (calm(entry) and loose(entry))))
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
        extra = self._not_on_log(performed, stream)
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

    def _mistake(self, performed: Performed) -> None:
        """Q36: one piece too many is written down, and taken back when it was counted and charged already."""
        case = performed.case
        if not self.plan.quirk("Q36", case.case_id):
            return
        item = self._not_on_log(performed, self.chance.stream("mistake", case.case_id))
        if item is None or self._loose_untagged.get((case.site, item.key), date.min) >= case.surgery_date - QUIET:
            return
        home = self.stock.home(case.site, item)
        cost = self.charging.cost_on(item, case.surgery_date)
        for line in self.bedside.documented([Line("pick_list", item, ONE, ZERO, home, cost=cost)]):
            line.tag, line.scan = "Q36", "none"
            self._loose_untagged[(case.site, item.key)] = case.surgery_date
            self._quiet(performed, line)
            performed.account.is_touched = True
            performed.mistaken = line
            performed.lines.append(line)

    def _retract(self, performed: Performed, line: Line, day: date) -> None:
        at = datetime.combine(day, time(15, 20), CHICAGO)
        is_deleted = self.chance.stream("retract", line.usage_id).flag(0.5)
        self.bedside.retract(performed, line, at, is_deleted)
        self.charging.take_back(performed.account.account, line.usage_id, day)

    def _quiet(self, performed: Performed, line: Line) -> None:
        """No loose issue of this item may hide the missing one."""
        if line.item is not None:
            self._quiet_untagged[(performed.case.site, line.item.key)] = performed.case.surgery_date

    def _not_on_log(self, performed: Performed, stream: Stream) -> Item | None:
        family = CARD_FAMILIES[performed.case.department]
        used = self._known_keys(performed)
        items = [item for item in self._items(performed.case.site, family) if item.key not in used]
        return stream.pick(items) if items else None

    @staticmethod
    def _known_keys(performed: Performed) -> set[int]:
        keys = {line.item.key for line in performed.lines if line.item is not None}
        return keys | {scan.item.key for scan, _ in performed.extra_scans} | {item.key for item, _ in performed.strays}

    def _stray_item(self, performed: Performed, stream: Stream) -> Item | None:
        """An item that could be charged by mistake: neither it nor its charge code has to do with the case."""
        known = self._known_keys(performed)
        codes = {line.item.charge_code for line in performed.lines if line.item is not None}
        families = (
            ("cement", "bur", "blade", "stapler", "hemostat")
            if performed.case.department == "7010"
            else ("closure", "balloon")
        )
        items = [
            item
            for family in families
            for item in self._items(performed.case.site, family)
            if item.key not in known and item.charge_code is not None and item.charge_code not in codes
        ]
        return stream.pick(items) if items else None

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
        scan = self._scan_of(performed, item, quantity, home, performed.plan.start + timedelta(minutes=50))
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
                and self._expected(performed, line) > 0
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
        first = _number(case.case_id) % len(offers)  # every kind gets its turn, also where lines are few
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
        extra = self._stray_item(performed, stream)
        if extra is not None:
            if wants("UC-05", True, "no_usage"):
                account.is_touched = True
                performed.strays.append((extra, "log"))
            elif wants("UC-05", False, "issue tagged to the case"):
                account.is_touched = True
                self._extra_scan(performed, extra, ONE, None)
                performed.strays.append((extra, "issued"))
            elif wants("UC-05", False, "other revenue code"):
                account.is_touched = True
                performed.strays.append((extra, "irrigation"))
        if not account.is_touched and wants("UC-01", False, "combined account"):
            account.is_touched = True
            day = case.surgery_date + timedelta(days=stream.integer(3, 6))
            self._combine(performed, day)
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

    def _combine(self, performed: Performed, day: date) -> None:
        self.charging.plan_change(performed.account.account, "combine", day)

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

    # -------------------------------------------------------------------------------------- what gets written down

    def _finish_lines(self, performed: Performed, stream: Stream) -> None:
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

    def _document(self, performed: Performed, lines: list[Line], at: datetime) -> None:
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
                self.world.usage.append(self._usage_line(performed, line, at))
            elif line.kind == "procedural":
                self.chart.finding(performed, line, int(line.usage_id.rsplit(":", 1)[1]), at)
                self.world.usage.append(self._usage_line(performed, line, at))
            else:
                number += 1
                self.chart.implant(performed, line, number, at)
                self.world.usage.append(self._usage_line(performed, line, at))
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
            items = [item for item in self._items(performed.case.site, family) if item.key not in taken]
            for item in stream.sample(items, stream.integer(0, 3)):
                number += 1
                home = self.stock.home(performed.case.site, item)
                line = Line("pick_list", item, ZERO, ZERO, home, cost=self.charging.cost_on(item, performed.plan.day))
                self.chart.pick_line(performed, line, number, at)

    def _copies_of_implants(self, performed: Performed, lines: list[Line], at: datetime) -> None:
        """Q05: implants stand in the pick list too; procedural logs repeat them with their implant id."""
        implants = [line for line in lines if line.kind == "implant" and line.item is not None and line.used > 0]
        procedural = performed.case.department in ("7020", "7030")
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
            self.world.usage.append(replace(self._usage_line(performed, copied, at), is_implant_copy=True))

    def _credit(self, request: BillOnlyRequest, amount: Decimal, d: date) -> None:
        """A device credit came in: billing hears of it, or does not (UC-16)."""
        account = self._credited.pop((request.log_id, request.implant_id), None)
        if account is not None:
            days = self.chance.stream("credit reported", request.implant_id).integer(3, 15)
            self.charging.report_device_credit(account, amount, d + timedelta(days=days))

    def _replaced(self, performed: Performed, line: Line, number: int, at: datetime) -> None:
        """The device that an implant takes the place of: explanted on the same log."""
        record = str(6_000_000 + self._next_record)
        implant_id = str(9_000_000 + self._next_record)
        self._next_record += 1
        assert line.item is not None
        lot = self.stock.new_lot(line.item, performed.case.surgery_date - timedelta(days=900), record)
        old = Line("implant", line.item, ONE, ZERO, None, lot, "NONE", implant_id, record)
        old.usage_id, old.recorded_lot = f"IMPL:{record}", lot
        if line.replaces != NO_WARRANTY and not is_recall_reimplant(line, self.chance):
            old.warranty_completed = performed.case.surgery_date
        self.chart.implant(performed, old, number, at, 2)
        self.world.usage.append(replace(self._usage_line(performed, old, at), action="explanted"))

    def _explant(self, performed: Performed, number: int, at: datetime) -> None:
        """Q07: explants and adjustments stand in the implant log and are no usage."""
        case = performed.case
        if not self.plan.quirk("Q07", case.log_id, share=0.03):
            return
        items = self._items(case.site, "plate")
        if not items:
            return
        stream = self.chance.stream("explant", case.log_id)
        item = stream.pick(items)
        if self.bedside.keeps(case.site):
            device = f"dev-{case.case_id.lower()}-out"
            self.bedside.explant(performed, item, self.stock.new_lot(item, case.surgery_date, device), device, at)
            return
        for offset, action in enumerate(("explanted", "adjusted") if stream.flag(0.3) else ("explanted",), start=1):
            record = str(6_000_000 + self._next_record)
            implant_id = str(9_000_000 + self._next_record)
            self._next_record += 1
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
            self.world.usage.append(replace(self._usage_line(performed, line, at), action=action))

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

    # ------------------------------------------------------------------------------------------------------ scanning

    def _scan_of(self, performed: Performed, item: Item, quantity: Decimal, home: Location, at: datetime) -> Scan:
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

    def _pick_cart(self, planned: PlannedCase, at: datetime) -> None:
        """Issue the cart of a case where usage is posted at the pick; of the world's first day, in the morning."""
        if not self.world.sites[planned.site].is_issued_at_pick or planned.case_id in self._carts:
            return
        mode = "test" if planned.patient.is_test else "normal"
        lines = self._usage(planned, self.chance.stream("usage", planned.case_id), mode)
        cards = self._items(planned.site, CARD_FAMILIES[planned.procedure.department])
        self._carts[planned.case_id] = pick(self.stock, self.chance, planned, lines, cards, at)

    def _empty_cart(self, case_id: str, at: datetime) -> None:
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

    def _scan_lines(self, performed: Performed, stream: Stream) -> None:
        """Scan what the case used; test patients get theirs back on the shelf at once."""
        cart = self._carts.get(performed.case.case_id)
        d = performed.case.surgery_date
        if performed.mode == "test" and cart is not None:
            self._empty_cart(performed.case.case_id, performed.plan.start + timedelta(minutes=30))
            return
        self._on(
            d + timedelta(days=1),
            lambda day: self._empty_cart(performed.case.case_id, datetime.combine(day, time(10, 15), CHICAGO)),
        )
        minute = 0
        for line in performed.lines:
            if line.item is None or line.location is None or not line.location.is_perpetual or line.scan == "none":
                continue
            minute += stream.integer(2, 7)
            scan = self._scan_of(
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
        self._on(day, lambda _: self._give_back(replace(scan, at=at)))

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

    def _request_orders(self, performed: Performed) -> None:
        """Hand bill-only, consigned and one-time implants to purchasing."""
        case = performed.case
        if performed.mode in ("test", "void", "unposted"):
            return
        for line in performed.lines:
            if (
                line.kind != "implant"
                or line.stock_class not in ("BILLONLY", "CONSIGN", "ONE_TIME")
                or line.implant_id is None
            ):
                continue
            described = line.item or line.one_time_family
            recorded = line.recorded_lot or line.lot
            request = BillOnlyRequest(
                log_id=case.log_id,
                case_id=case.case_id,
                site=case.site,
                department=case.department,
                surgery_date=case.surgery_date,
                implant_id=line.implant_id,
                item_key=line.item.key if line.item is not None else None,
                stock_class=line.stock_class,
                quantity_each=line.used,
                unit_cost=line.cost if line.stock_class == "ONE_TIME" else None,
                supplier_id=described.supplier_id if described is not None else None,
                vendor_catalogue_number=described.vendor_catalogue_number if described is not None else None,
                lot=recorded.lot,
                serial=recorded.serial,
                patient_name=performed.plan.patient.name,
                surgeon_name=performed.plan.surgeon_name,
                credit_share=credit_share(line, self.chance),
            )
            if line.replaces == REPORTED:
                self._credited[(case.log_id, line.implant_id)] = case.account
            self.purchasing.request_bill_only(request, performed.plan.start + timedelta(hours=4))

    # ------------------------------------------------------------------------------------------------------- posting

    def _version(self, performed: Performed, at: datetime, **changes: object) -> None:
        performed.case = replace(performed.case, known_at=at, **changes)  # type: ignore[arg-type]
        self.world.cases.append(performed.case)

    def _void(self, performed: Performed, day: date) -> None:
        at = datetime.combine(day, time(9, 30), CHICAGO)
        self._version(performed, at, status=4)
        if self.bedside.keeps(performed.case.site):
            self.bedside.voided(performed, at)
        else:
            self.chart.log(performed, at)
        for line in performed.lines:
            if line.item is not None and line.is_owned_stock and line.scan != "none" and line.location is not None:
                scan = self._scan_of(performed, line.item, line.used + line.wasted, line.location, at)
                self.stock.give_back(replace(scan, lot=line.lot))

    def _post(self, performed: Performed, at: datetime) -> None:
        """Post the log: usage is final, charges go out."""
        case = performed.case
        first = not case.posted_at
        if self.bedside.keeps(case.site):
            # What counts is when the procedures were completed first; an addendum does not complete them again.
            self._version(performed, at, status=2, posted_at=case.posted_at or (at,))
            if first:
                self.bedside.posted(performed, at)
        else:
            self._version(performed, at, status=2, posted_at=(*case.posted_at, at))
            self.chart.log(performed, at, addenda=len(performed.case.posted_at) - 1)
            number = 10 + len(performed.case.posted_at)
            self.outbox.emit(
                "ehr",
                "OR_LOG_AUDIT_TRAIL",
                {"LOG_ID": case.log_id, "LINE": number, "AUDIT_DATE": at, "AUDIT_ACTION_C": 7},
                at,
            )
            self.chart.totals(performed, at)
        lines = performed.lines if first else performed.extra_lines
        self.charging.trigger(self._requests(performed, lines, at))
        if not first:
            return
        stream = self.chance.stream("after posting", case.log_id)
        if performed.mistaken is not None:
            mistaken = performed.mistaken
            later = at.date() + timedelta(days=stream.integer(6, 10))
            self._on(later, lambda day: self._retract(performed, mistaken, day))
        self._stay_charges(performed, at, stream)
        self._stray_charges(performed, at)
        self._credits(performed, at)
        if stream.flag(0.4) and not self.bedside.keeps(case.site):
            self._on(at.date() + timedelta(days=stream.integer(1, 3)), lambda day: self._complete(performed, day))
        if self.plan.quirk("Q17", case.log_id, share=0.02) and case.department == "7010" and performed.mode == "normal":
            day = at.date() + timedelta(days=stream.integer(4, 20))
            self._prepare_addendum(performed, stream)
            self._on(day, lambda on: self._addendum(performed, on))
        elif not self.bedside.keeps(case.site) and self.plan.quirk("Q19", case.log_id, share=0.02):
            again = at + timedelta(days=1)
            performed.extra_lines = []
            self._on(again.date(), lambda _: self._post(performed, again))
        if not performed.account.is_touched and self.plan.quirk("Q40", case.log_id):
            self._class_change(performed, at, stream)
        elif not performed.account.is_touched and self.plan.quirk("Q42", case.log_id):
            performed.account.is_touched = True
            self._combine(performed, at.date() + timedelta(days=stream.integer(5, 9)))

    def _complete(self, performed: Performed, day: date) -> None:
        at = datetime.combine(day, time(8, 20), CHICAGO)
        if performed.case.status == 2:
            self._version(performed, at, status=5)
            self.chart.log(performed, at, addenda=len(performed.case.posted_at) - 1)

    def _class_change(self, performed: Performed, at: datetime, stream: Stream) -> None:
        """Q40: after a change of class or payer every charge is reversed and posted again."""
        account = performed.account
        day = at.date() + timedelta(days=stream.integer(4, 7))
        kind = "class" if account.base_class == 2 and stream.flag(0.6) else "payer"
        self.charging.plan_change(account.account, kind, day)
        if stream.flag(0.3):
            self.charging.plan_change(account.account, "payer", day + timedelta(days=stream.integer(2, 6)))
        account.is_touched = True
        if kind == "class":
            self._on(day, lambda on: self._follow_class(performed, on))

    def _follow_class(self, performed: Performed, day: date) -> None:
        at = datetime.combine(day, time(22, 10), CHICAGO)
        self._version(performed, at, base_class=1)
        self._show_stay(performed.account, "6010", at, performed.account.discharged_at, base_class=1)

    def _prepare_addendum(self, performed: Performed, stream: Stream) -> None:
        """Q17: one more piece was used and scanned; the record learns of it later."""
        item = self._not_on_log(performed, stream)
        if item is None:
            return
        east = self.bedside.keeps(performed.case.site)
        home = self.stock.home(performed.case.site, item)
        line = Line("pick_list", item, ONE, ZERO, home, cost=self.charging.cost_on(item, performed.case.surgery_date))
        # A charge of an addendum comes too late (UC-02): one that no defect wants is not charged any more.
        variant = "addendum, FHIR" if east else "addendum"
        is_late = self.plan.wants("UC-02", True, performed.case.log_id, performed.case.surgery_date, variant)
        if east and not is_late:
            return  # that record has no flag that would say so
        line.flag = "Y" if item.is_chargeable and is_late else "N"
        number = sum(1 for entry in self.world.usage if entry.log_id == performed.case.log_id) + 5
        line.usage_id = f"PKLST:{performed.pick_list_id}:{number}"
        if east:
            line.flag = None
            self.bedside.number_lines(performed, self.bedside.documented([line]), number)
        performed.extra_lines = [line]
        scan = self._scan_of(performed, item, ONE, home, performed.case.posted_at[-1] - timedelta(minutes=30))
        self.stock.use(scan)

    def _addendum(self, performed: Performed, day: date) -> None:
        if not performed.extra_lines:
            return
        at = datetime.combine(day, time(16, 5), CHICAGO)
        self._document(performed, performed.extra_lines, at)
        self._post(performed, at + timedelta(hours=1))

    def _requests(self, performed: Performed, lines: list[Line], at: datetime) -> list[ChargeRequest]:
        case = performed.case
        requests = []
        for line in lines:
            expected = self._expected(performed, line)
            if expected == 0 or line.charge == "missed":
                continue
            code = None
            if line.item is not None and line.item.charge_code is not None:
                code = self.masters.charge_codes[line.item.charge_code]
            elif line.stock_class == "ONE_TIME":
                code = self.masters.charge_codes["2789990"]
            if code is None:
                continue
            location = line.location.ehr_code if line.location is not None and not line.is_location_empty else None
            requests.append(
                ChargeRequest(
                    log_id=case.log_id,
                    account=case.account,
                    site=case.site,
                    department=case.department,
                    supply_id=line.supply_id,
                    implant_id=line.implant_id,
                    item=line.item,
                    code=code,
                    quantity_each=expected,
                    unit_cost=line.cost,
                    service_date=case.surgery_date,
                    posted_at=at,
                    location_code=location,
                    mode="normal" if line.charge == "by_hand" else line.charge,
                    wasted_each=line.wasted,
                    is_by_hand=line.charge == "by_hand",
                    usage_id=line.usage_id,
                )
            )
        return requests

    def _stay_charges(self, performed: Performed, at: datetime, stream: Stream) -> None:
        """Theatre time, anaesthesia, drugs and room: charges without a supply."""
        case = performed.case
        account = case.account
        hours = Decimal(stream.integer(2, 9)) / 2
        log_id = None if self.bedside.keeps(case.site) else case.log_id
        self.charging.post_simple(account, "3600001", hours, case.surgery_date, at.date(), case.department, log_id)
        if not case.is_research:
            self.charging.post_simple(account, "3700001", ONE, case.surgery_date, at.date(), case.department)
        if case.base_class == 1:
            for night in range(stream.integer(1, 2)):
                self.charging.plan_simple(account, "1100001", ONE, at.date() + timedelta(days=1 + night), "6010")

    def _stray_charges(self, performed: Performed, at: datetime) -> None:
        """UC-05: a charge for something that was not used, and the ones that only look like it."""
        case = performed.case
        for item, kind in performed.strays:
            if kind == "irrigation":
                tx = self.charging.post_simple(
                    case.account, "2500002", ONE, case.surgery_date, at.date(), case.department
                )
                self.plan.note("UC-05", f"charge={tx.tx_id}", case.site, True, "other revenue code")
                continue
            code = self.masters.charge_codes[item.charge_code or ""]
            request = ChargeRequest(
                log_id=case.log_id,
                account=case.account,
                site=case.site,
                department=case.department,
                supply_id=item.supply_id,
                implant_id=None,
                item=item,
                code=code,
                quantity_each=ONE,
                unit_cost=self.charging.cost_on(item, case.surgery_date),
                service_date=case.surgery_date,
                posted_at=at,
                location_code=None,
            )
            tx = self.charging.post_now(request, at.date())
            self.plan.note(
                "UC-05",
                f"charge={tx.tx_id}",
                case.site,
                kind == "issued",
                "issue tagged" if kind == "issued" else "no usage",
            )

    def _credits(self, performed: Performed, at: datetime) -> None:
        """UC-12: credits by hand whose charge is nowhere, and the ones whose charge is found."""
        case, d = performed.case, at.date()
        if performed.mode != "normal":
            return

        def wants(defect: bool, variant: str) -> bool:
            return self.plan.wants("UC-12", defect, case.log_id, case.surgery_date, variant)

        charging, where = self.charging, (case.account, "2500001", ONE, d, case.department)
        lost = str(690000000 + _number(case.case_id) % 9_000_000)  # numbers from before the history
        if wants(True, "reversal"):
            tx, reason = charging.post_credit(*where, reverses=lost), "reversed charge is not on file"
        elif wants(True, "credit"):
            tx, reason = charging.post_credit(*where, credits=lost), "credited charge is not on file"
        elif wants(False, "charge found"):
            charge = charging.post_simple(case.account, "2500001", ONE, d, d, case.department)
            tx, reason = charging.post_credit(*where, credits=charge.tx_id), "credit of a charge on file"
        elif wants(False, "charge a day later"):
            tx, reason = charging.post_credit_first(*where), "its charge posts a day later"
        else:
            return
        is_near_miss = reason in ("credit of a charge on file", "its charge posts a day later")
        self.plan.note("UC-12", f"charge={tx.tx_id}", case.site, is_near_miss, reason)

    # ------------------------------------------------------------------------------------------ patients elsewhere

    def _floor_patients(self, d: date) -> None:
        """Stays without surgery: nursing kits are charged to them by hand."""
        for site in self.world.sites.values():
            stream = self.chance.stream("floor", site.code, d)
            expected = 40 * site.volume_share * self.masters.scale * 10
            for place in range(int(expected) + stream.flag(expected - int(expected))):
                patient = self._new_patient(f"floor|{site.code}|{d}|{place}")
                if patient.is_test:
                    continue
                admitted = datetime.combine(d, time(stream.integer(8, 18), 20), CHICAGO)
                self.chart.patient(patient, admitted)
                account = self._open_account(
                    patient,
                    site.code,
                    "6010",
                    base_class=stream.pick((1, 2, 3)),
                    is_research=False,
                    admitted_at=admitted,
                    discharged_at=admitted + timedelta(days=2),
                    department="6010",
                    is_surgical=False,
                )
                self.charging.plan_simple(account.account, "1100001", ONE, d + timedelta(days=1), "6010")
                self.charging.plan_simple(
                    account.account, "2500001", Decimal(stream.integer(1, 4)), d + timedelta(days=1), "6010"
                )
                if stream.flag(0.6):
                    tx = self.charging.post_simple(
                        account.account, "2700001", Decimal(stream.integer(1, 3)), d, d, "6010"
                    )
                    if self.plan.wants("UC-05", False, account.account, d, "not a surgical account"):
                        self.plan.note("UC-05", f"charge={tx.tx_id}", site.code, True, "not a surgical account")

    def _trial_use(self, d: date) -> None:
        """Floor issues from cabinets: ordinary ones, late ones of an offline cabinet, and unmapped trial devices."""
        for site in [hospital.code for hospital in self.world.hospitals() if hospital.stock_system == "pou"]:
            stream = self.chance.stream("cabinet", site, d)
            items = [*self._items(site, "needle"), *self._items(site, "ivset")]
            if items and stream.flag(0.8):
                item = stream.pick(items)
                home = self.stock.home(site, item)
                at = datetime.combine(d, time(stream.integer(6, 17), stream.integer(0, 59)), CHICAGO)
                posted = (
                    at + timedelta(hours=stream.integer(5, 70)) if self.plan.quirk("Q55", site, d, share=0.06) else None
                )
                if posted is None or posted.astimezone(CHICAGO).date() <= self.world.end:
                    self.stock.use(Scan(site, home.location_id, item, ONE, at, posted_at=posted, terminal=HANDHELD))
            trials = self.masters.unmapped_pou
            if trials and self.plan.wants("MDM-01", True, site, d, "pou"):
                item = self.world.items[stream.pick(trials)]
                home = self.stock.home(site, item)
                at = datetime.combine(d, time(11, stream.integer(0, 59)), CHICAGO)
                self.stock.use(Scan(site, home.location_id, item, Decimal(stream.integer(1, 3)), at))
                self.plan.note(
                    "MDM-01",
                    f"system=pou|item={item.pou_no}",
                    "SYS",
                    False,
                    "number in no ERP, catalogue number of digits",
                )


def _number(case_id: str) -> int:
    """The running number of a case, also of one that carries its year (E-yyyy-nnnnnn)."""
    return int(case_id.rpartition("-")[2])
