"""Cases from the schedule to the posted log: patients, encounters, usage and implants.

Here: the day of the clinical side, a case from the room to the posted log, implants handed to purchasing, patients of
the wards whose charges are entered one by one.
Not here: the rooms that it leads: scheduling, registration, case_usage, case_defects, documentation, scanning,
case_charges, corrections.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from ingest.simulator.assortment import SERVICES
from ingest.simulator.bedside import Bedside
from ingest.simulator.case_charges import CaseCharges
from ingest.simulator.case_defects import CaseDefects
from ingest.simulator.case_usage import CaseUsage
from ingest.simulator.chance import Chance
from ingest.simulator.charging import Charging
from ingest.simulator.chart import Chart
from ingest.simulator.corrections import Corrections
from ingest.simulator.delivery import CHICAGO, Outbox
from ingest.simulator.device_defects import (
    REPORTED,
    credit_share,
)
from ingest.simulator.documentation import Documentation
from ingest.simulator.events import Case, World
from ingest.simulator.masters import Masters
from ingest.simulator.movements import HANDHELD
from ingest.simulator.plan import DefectPlan
from ingest.simulator.purchasing import BillOnlyRequest
from ingest.simulator.recalls import Recalls
from ingest.simulator.records import Performed, PlannedCase
from ingest.simulator.registration import Registration
from ingest.simulator.scanning import Scanning
from ingest.simulator.scans import Scan
from ingest.simulator.scheduling import Scheduling
from ingest.simulator.stock import Stock
from ingest.simulator.suite import Suite

SCHEDULE_AHEAD = 7
FLOOR_CLASSES = ((1, 0.06), (2, 0.47), (3, 0.47))
ONE = Decimal(1)


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
        self.recalls = Recalls(world, stock, outbox, plan, chance)
        self.chart = Chart(world, masters, outbox, plan, chance)
        self.bedside = Bedside(world, masters, charging, self.chart.people, plan, chance)
        suite = Suite(world, masters, stock, charging, outbox, plan, chance, self.recalls, self.chart, self.bedside)
        self.suite = suite
        self.registration = Registration(suite)
        self.scheduling = Scheduling(suite, self.registration)
        self.usage = CaseUsage(suite)
        self.charges = CaseCharges(suite)
        self.documentation = Documentation(suite, self.usage)
        self.scanning = Scanning(suite, self.usage)
        self.defects = CaseDefects(suite, self.usage, self.charges, self.scanning)
        self.corrections = Corrections(
            suite, self.registration, self.usage, self.documentation, self.scanning, self._post
        )
        self._credited: dict[tuple[str, str], str] = {}  # log and implant whose credit the claim will tell: account
        purchasing.implants.on_credit.append(self._credit)

    def opening(self, d: date) -> None:
        """Schedule the first week, on the day before the first business date."""
        self.chart.opening(d)
        self.recalls.opening(d)
        self.bedside.opening(datetime.combine(d, time(12), CHICAGO))
        for ahead in range(1, SCHEDULE_AHEAD + 1):
            self.scheduling.schedule(d + timedelta(days=ahead), datetime.combine(d, time(14), CHICAGO))

    def day(self, d: date) -> None:
        """Perform the cases of `d`, post logs that are due, admit other patients, schedule ahead."""
        self.recalls.morning(d)
        for action in self.suite.due(d):
            action(d)
        today = self.scheduling.take(d)
        self.defects.begin(today)
        for planned in today:
            if not planned.is_cancelled:
                self._perform(planned)
            elif self.bedside.keeps(planned.site):
                self.bedside.cancelled(planned, datetime.combine(d, time(9), CHICAGO))
            else:
                self.chart.case(planned, datetime.combine(d, time(9), CHICAGO), None)
                self.scanning.empty_cart(planned.case_id, datetime.combine(d, time(10, 15), CHICAGO))
        self._floor_patients(d)
        self._trial_use(d)
        for planned in self.scheduling.planned(d + timedelta(days=1)):
            self.scanning.pick_cart(planned, datetime.combine(d, time(18), CHICAGO))
        self.scheduling.schedule(d + timedelta(days=SCHEDULE_AHEAD), datetime.combine(d, time(14, 30), CHICAGO))

    def _perform(self, planned: PlannedCase) -> None:
        stream = self.chance.stream("case", planned.case_id)
        account = self.registration.admit(planned, stream)
        mode = "test" if planned.patient.is_test else "normal"
        d = planned.day
        east = self.bedside.keeps(planned.site)
        if mode == "normal":
            unposted_wanted = d > self.world.start + timedelta(days=4) and not east
            if unposted_wanted and self.plan.wants("UI-02", False, planned.case_id, d, "log unposted"):
                mode = "unposted"
            elif self.plan.quirk("void log", planned.case_id, share=0.005):
                mode = "void"
        self.defects.performed(planned.case_id, mode)
        self.scanning.pick_cart(planned, planned.start - timedelta(hours=1, minutes=20))
        cart = self.scanning.cart(planned.case_id)
        lines = cart.lines if cart is not None else self.usage.lines(planned, stream, mode)
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
            default_location_id=self.usage.default_location(planned).location_id,
            known_at=known_at,
        )
        pick_list = "" if east else str(81000000 + int(planned.case_id))
        performed = Performed(planned, case, lines, account, account.csn, mode, pick_list)
        posting_day = d + timedelta(days=stream.weighted(((0, 0.5), (1, 0.35), (2, 0.15))))
        if mode == "normal":
            self.defects.plant(performed, stream)
        if mode == "normal" and not account.is_touched:
            self.defects.mistake(performed)
        self.documentation.number_lines(performed, stream)
        self.world.cases.append(case)
        if not east:
            self.chart.case(planned, known_at, planned.log_id)
            self.chart.log(performed, known_at)
            self.chart.details(performed, known_at, stream)
        self.documentation.document(performed, lines, known_at)
        self.scanning.scan_lines(performed, stream)
        self._request_orders(performed)
        if mode == "void":
            self.suite.on(d + timedelta(days=1), lambda day: self.corrections.void(performed, day))
        elif mode != "unposted":
            hour = time(21, stream.integer(0, 40))
            self.suite.on_or_now(
                d, posting_day, lambda day: self._post(performed, datetime.combine(day, hour, CHICAGO))
            )

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

    def _post(self, performed: Performed, at: datetime) -> None:
        """Post the log: usage is final, charges go out."""
        case = performed.case
        first = not case.posted_at
        if self.bedside.keeps(case.site):
            # What counts is when the procedures were completed first; an addendum does not complete them again.
            self.documentation.version(performed, at, status=2, posted_at=case.posted_at or (at,))
            if first:
                self.bedside.posted(performed, at)
        else:
            self.documentation.version(performed, at, status=2, posted_at=(*case.posted_at, at))
            self.chart.log(performed, at, addenda=len(performed.case.posted_at) - 1)
            self.chart.audit(performed, 10 + len(performed.case.posted_at), 7, at)
            self.chart.totals(performed, at)
        lines = performed.lines if first else performed.extra_lines
        self.charging.trigger(self.charges.requests(performed, lines, at))
        if not first:
            return
        stream = self.chance.stream("after posting", case.log_id)
        if performed.mistaken is not None:
            mistaken = performed.mistaken
            later = at.date() + timedelta(days=stream.integer(6, 10))
            self.suite.on(later, lambda day: self.corrections.retract(performed, mistaken, day))
        self.charges.of_stay(performed, at, stream)
        self.charges.stray(performed, at)
        self.charges.credits(performed, at)
        if stream.flag(0.4) and not self.bedside.keeps(case.site):
            self.suite.on(
                at.date() + timedelta(days=stream.integer(1, 3)), lambda day: self.corrections.complete(performed, day)
            )
        can_be_added = case.department == "7010" and performed.mode == "normal" and performed.mistaken is None
        if can_be_added and self.plan.quirk("Q17", case.log_id, share=0.02):
            day = at.date() + timedelta(days=stream.integer(4, 20))
            self.corrections.prepare_addendum(performed, stream)
            self.suite.on(day, lambda on: self.corrections.addendum(performed, on))
        elif not self.bedside.keeps(case.site) and self.plan.quirk("Q19", case.log_id, share=0.02):
            again = at + timedelta(days=1)
            performed.extra_lines = []
            self.suite.on(again.date(), lambda _: self._post(performed, again))
        if not performed.account.is_touched and self.plan.quirk("Q40", case.log_id):
            self.corrections.class_change(performed, at, stream)
        elif not performed.account.is_touched and self.plan.quirk("Q42", case.log_id):
            performed.account.is_touched = True
            self.charging.plan_change(
                performed.account.account, "combine", at.date() + timedelta(days=stream.integer(5, 9))
            )

    def _credit(self, request: BillOnlyRequest, amount: Decimal, d: date) -> None:
        """A device credit came in: billing hears of it, or does not (UC-16)."""
        account = self._credited.pop((request.log_id, request.implant_id), None)
        if account is not None:
            days = self.chance.stream("credit reported", request.implant_id).integer(3, 15)
            self.charging.report_device_credit(account, amount, d + timedelta(days=days))

    def _floor_patients(self, d: date) -> None:
        """Stays without surgery: nursing kits are charged to them by hand."""
        for site in self.world.sites.values():
            stream = self.chance.stream("floor", site.code, d)
            expected = 40 * site.volume_share * self.masters.scale * 10
            for place in range(int(expected) + stream.flag(expected - int(expected))):
                patient = self.registration.new_patient(f"floor|{site.code}|{d}|{place}")
                if patient.is_test:
                    continue
                admitted = datetime.combine(d, time(stream.integer(8, 18), 20), CHICAGO)
                self.chart.patient(patient, admitted)
                account = self.registration.open_account(
                    patient,
                    site.code,
                    "6010",
                    base_class=stream.weighted(FLOOR_CLASSES),
                    is_research=False,
                    admitted_at=admitted,
                    discharged_at=admitted + timedelta(days=2),
                    department="6010",
                    is_surgical=False,
                )
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
            items = [*self.suite.items(site, "needle"), *self.suite.items(site, "ivset")]
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
