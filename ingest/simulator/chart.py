"""The rows of the clinical record (system ehr): cases, logs, pick lists, implants, encounters, patients and masters.

Here: how what happened is written in the reporting database, with its oddities.
Not here: what happened (clinic), billing (charging).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from ingest.simulator.amounts import money
from ingest.simulator.assortment import PROCEDURES, SERVICES
from ingest.simulator.billing_rows import revenue_id
from ingest.simulator.carriers import tissue_record
from ingest.simulator.chance import Chance, Stream
from ingest.simulator.charge_records import Account
from ingest.simulator.delivery import CHICAGO, Once, Outbox, Row
from ingest.simulator.device_defects import NO_IDENTIFIER, NO_LOT, control_totals, is_recall_reimplant
from ingest.simulator.events import CaseCost, Item, World
from ingest.simulator.masters import DEPARTMENT_NAMES, Masters
from ingest.simulator.plan import DefectPlan
from ingest.simulator.records import Line, Patient, Performed, PlannedCase

ZERO = Decimal(0)
LOG_TYPES = {"7010": 0, "7020": 2, "7030": 3, "7040": 4}
ROOM_NAMES = {"7010": "OR", "7020": "CATH LAB", "7030": "IR SUITE", "7040": "ENDO ROOM"}
ROOMS = 6
MORE_PROCEDURES = 0.65  # logs with a second procedure
# What is clocked of a case: number, name, whether counted from its end, minutes.
TRACKING_EVENTS = (
    (105, "In Preprocedure", False, -75),
    (108, "Ready for Procedure", False, -25),
    (110, "In Room", False, 0),
    (115, "Anesthesia Start", False, 4),
    (120, "Procedure Start", False, 15),
    (130, "Procedure End", True, -10),
    (135, "Anesthesia End", True, -4),
    (215, "Patient Left OR", True, 0),
    (220, "In Recovery", True, 6),
    (225, "Recovery Complete", True, 70),
)
SHORT_EVENTS = (105, 110, 115, 120, 130, 215, 220, 225)  # of endoscopy
AUDIT_ACTIONS = {1: "Created", 2: "Verified", 3: "Supplies Verified", 7: "Posted", 8: "Completed"}
PREFIX_LATE = timedelta(days=21)
AGE_BANDS = ((18, "0-17"), (35, "18-34"), (50, "35-49"), (65, "50-64"), (75, "65-74"), (90, "75-89"))
REVENUE_CODES = {
    "0110": "Room and board private",
    "0250": "Pharmacy",
    "0258": "IV solutions",
    "0270": "Medical surgical supplies",
    "0271": "Nonsterile supply",
    "0272": "Sterile supply",
    "0273": "Take home supplies",
    "0274": "Prosthetic orthotic devices",
    "0275": "Pacemaker",
    "0276": "Intraocular lens",
    "0278": "Other implants",
    "0279": "Other supplies devices",
    "0300": "Laboratory",
    "0301": "Laboratory chemistry",
    "0305": "Laboratory hematology",
    "0306": "Laboratory bacteriology and microbiology",
    "0320": "Radiology diagnostic",
    "0350": "CT scan",
    "0360": "Operating room services",
    "0370": "Anesthesia",
    "0410": "Respiratory services",
    "0420": "Physical therapy",
    "0450": "Emergency room",
    "0510": "Clinic",
    "0621": "Supplies incident to radiology",
    "0622": "Supplies incident to other diagnostics",
    "0623": "Surgical dressings",
    "0624": "Investigational device",
    "0730": "EKG ECG",
}


class Chart:
    """Writes the clinical record."""

    def __init__(self, world: World, masters: Masters, outbox: Outbox, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world; nothing is written until it is asked for."""
        self.world = world
        self.masters = masters
        self.outbox = outbox
        self.plan = plan
        self.chance = chance
        self.people: dict[str, Patient] = {}
        self._active_codes: frozenset[str] = frozenset()
        self.on_encounter: list[Callable[[Account, str, datetime, int | None], None]] = []
        self.on_case: list[Callable[[PlannedCase, str, datetime], None]] = []

    # ---------------------------------------------------------------------------------------------- people and stays

    def patient(self, patient: Patient, at: datetime) -> None:
        """A person becomes known."""
        if patient.patient_id in self.people:
            return
        self.people[patient.patient_id] = patient
        age = at.year - patient.birth_date.year
        self.outbox.emit(
            "ehr",
            "PATIENT",
            {
                "PAT_ID": patient.patient_id,
                "PAT_MRN_ID": patient.mrn,
                "PAT_NAME": patient.name,
                "BIRTH_DATE": patient.birth_date,
                "SSN": patient.ssn,
                "ADD_LINE_1": patient.address,
                "HOME_PHONE": patient.phone,
                "EMAIL_ADDRESS": patient.email,
                "AGE_BAND": age_band(age),
                "IS_TEST_PAT_YN": True
                if patient.is_test and int(patient.mrn[2:]) % 2
                else None
                if patient.is_test
                else False,
                "UPDATE_DATE": at,
            },
            at,
        )

    def encounter(
        self,
        account: Account,
        department: str,
        at: datetime,
        discharged: datetime | None = None,
        base_class: int | None = None,
    ) -> None:
        """A hospital encounter opens or changes."""
        for hear in self.on_encounter:
            hear(account, self._department(account.site, department), at, base_class)
        self.outbox.emit(
            "ehr",
            "PAT_ENC_HSP",
            {
                "PAT_ENC_CSN_ID": account.csn,
                "PAT_ID": account.patient_id,
                "HSP_ACCOUNT_ID": account.account,
                "ADT_PAT_CLASS_C": 100 + (base_class or account.base_class),
                "DEPARTMENT_ID": self._department(account.site, department),
                "HOSP_ADMSN_TIME": account.admitted_at,
                "HOSP_DISCH_TIME": discharged if discharged is not None and discharged <= at else None,
                "UPDATE_DATE": at,
            },
            at,
        )

    def _department(self, site: str, department: str) -> str:
        return f"{self.world.sites[site].loc_id[:3]}{department}1"

    def _room(self, planned: PlannedCase) -> str:
        return f"7{planned.site[1]}{planned.procedure.department}{planned.room:02d}"

    # ------------------------------------------------------------------------------------------------ cases and logs

    def case(self, planned: PlannedCase, at: datetime, log_id: str | None) -> None:
        """A case is scheduled, cancelled or performed (`log_id`)."""
        cancelled = planned.is_cancelled and at.date() >= planned.day
        for hear in self.on_case if log_id is None else ():
            hear(planned, self._room(planned), at)
        self.outbox.emit(
            "ehr",
            "OR_CASE",
            {
                "OR_CASE_ID": planned.case_id,
                "PAT_ID": planned.patient.patient_id,
                "SURGERY_DATE": planned.day,
                "LOC_ID": self.world.sites[planned.site].loc_id,
                "OR_ID": self._room(planned),
                "SERVICE_C": planned.procedure.service_c,
                "CASE_TYPE_C": 1,
                "CASE_CLASS_C": 1 + int(planned.case_id) % 3,
                "PAT_CLASS_C": 2,
                "ADD_ON_CASE_YN": False,
                "SCHED_STATUS_C": 5 if cancelled else 3 if log_id else 1,
                "CANCEL_REASON_C": planned.cancel_reason if cancelled or not planned.is_cancelled else None,
                "TIME_SCHEDULED": planned.start,
                "TOTAL_TIME_NEEDED": 120,
                "PRIMARY_PHYSICIAN_ID": planned.surgeon_id,
                "LOG_ID": log_id,
                "RECORD_CREATE_DATE": datetime.combine(planned.day - timedelta(days=10), time(11), CHICAGO),
                "UPDATE_DATE": at,
            },
            at,
        )

    def log(self, performed: Performed, at: datetime, addenda: int = 0) -> None:
        """The log in its present version."""
        planned, case = performed.plan, performed.case
        ends = planned.start + timedelta(hours=2)
        self.outbox.emit(
            "ehr",
            "OR_LOG",
            {
                "LOG_ID": case.log_id,
                "CASE_ID": case.case_id,
                "PAT_ID": case.patient_id,
                "SURGERY_DATE": case.surgery_date,
                "LOC_ID": self.world.sites[case.site].loc_id,
                "ROOM_ID": self._room(planned),
                "SERVICE_C": case.service_c,
                "STATUS_C": case.status,
                "LOG_TYPE_C": LOG_TYPES[case.department],
                "CASE_CLASS_C": 1,
                "ASA_RATING_C": 2,
                "NUM_OF_PANELS": 1,
                "SCHED_START_TIME": planned.start,
                "TOTAL_TIME_NEEDED": 120,
                "DISPOSITION_TIME": ends.strftime("1900-01-01 %H:%M:%S"),
                "PROC_NOT_PERF_C": 1 if self.plan.quirk("Q21", case.log_id) else None,
                "VOID_REASON_C": 4 if case.status == 4 else None,
                "ADDENDA_COUNT": max(addenda, 0),
                "CHRGS_AT_ADDEND_YN": addenda > 0 and any(line.flag == "Y" for line in performed.extra_lines),
                "PRIMARY_PHYS_ID": case.surgeon_id,
                "RECORD_CREATE_DATE": case.started_at,
                "UPDATE_DATE": at,
            },
            at,
        )

    def details(self, performed: Performed, at: datetime, stream: Stream) -> None:
        """Procedures, surgeons, times and the first entry of the audit trail."""
        planned, case = performed.plan, performed.case
        minutes = stream.integer(40, 200)
        ends = planned.start + timedelta(minutes=minutes)
        procedures = [planned.procedure]
        if stream.flag(MORE_PROCEDURES):
            procedures.append(stream.pick([entry for entry in PROCEDURES if entry.service_c == case.service_c]))
        for line, procedure in enumerate(procedures, start=1):
            self.outbox.emit(
                "ehr",
                "OR_LOG_ALL_PROC",
                {
                    "LOG_ID": case.log_id,
                    "LINE": line,
                    "OR_PROC_ID": procedure.procedure_id,
                    "ALL_PROCS_PANEL": 1,
                    "PROC_DISPLAY_NAME": procedure.name,
                    "LRB_C": stream.integer(1, 4),
                    "WND_CLS_C": 1,
                    "ANES_TYPE_C": 1,
                    "PICKLIST_PREF_ID": f"7{procedure.procedure_id}",
                },
                at,
            )
        for line, role in enumerate((1, 3) if stream.flag(0.4) else (1,), start=1):
            self.outbox.emit(
                "ehr",
                "OR_LOG_ALL_SURG",
                {
                    "LOG_ID": case.log_id,
                    "LINE": line,
                    "SURG_ID": case.surgeon_id if role == 1 else stream.pick(self.masters.surgeons).provider_id,
                    "ROLE_C": role,
                    "SERVICE_C": case.service_c,
                    "PANEL": 1,
                    "START_TIME": planned.start,
                    "END_TIME": ends,
                    "TOTAL_LENGTH": minutes * 60,
                },
                at,
            )
        is_short = case.department == "7040"
        events = [event for event in TRACKING_EVENTS if event[0] in SHORT_EVENTS or not is_short]
        for line, (event, _, is_from_end, offset) in enumerate(events, start=1):
            moment = (ends if is_from_end else planned.start) + timedelta(minutes=offset)
            self.outbox.emit(
                "ehr",
                "OR_LOG_CASE_TIMES",
                {
                    "LOG_ID": case.log_id,
                    "LINE": line,
                    "TRACKING_EVENT_C": event,
                    "TRACKING_TIME_IN": moment,
                    "TRACKING_TIME_OUT": moment + timedelta(minutes=5),
                    "TRACKING_TIME_ELPS": 300,
                },
                at,
            )
        for action in (1, 2, 3):
            self.audit(performed, action, action, at)

    def audit(self, performed: Performed, line: int, action: int, at: datetime) -> None:
        """Somebody did something to the log."""
        self.outbox.emit(
            "ehr",
            "OR_LOG_AUDIT_TRAIL",
            {"LOG_ID": performed.case.log_id, "LINE": line, "AUDIT_DATE": at, "AUDIT_ACTION_C": action},
            at,
        )

    # --------------------------------------------------------------------------------------------------------- usage

    def pick_line(self, performed: Performed, line: Line, number: int, at: datetime, is_copy: bool = False) -> None:
        """One line of the case's pick list."""
        item = line.item
        assert item is not None
        location = line.location.ehr_code if line.location is not None and not line.is_location_empty else None
        cost = line.cost
        if line.is_component:
            cost = Decimal("0.01") if number % 2 else ZERO
        self.outbox.emit(
            "ehr",
            "OR_PKLST_SUP_LIST",
            {
                "PICK_LIST_ID": performed.pick_list_id,
                "LINE": number,
                "SUPPLY_ID": item.supply_id,
                "NUM_NEEDED_OPEN": line.used + line.wasted,
                "NUM_SUPPLIES_PRN": ZERO if line.used or line.wasted else Decimal(1),
                "SUPPLIES_USED": line.used,
                "SUPPLIES_WASTED": line.wasted,
                "RSN_SUP_WASTED_C": 2 if line.wasted else None,
                "SUP_UNIT_COST": cost,
                "SUP_UNIT_CHARGE": None,
                "CHARGEABLE_YN": line.flag,
                "SUPPLY_INV_LOC_ID": location,
                "IMPLANT_YN": "Y" if is_copy else "N" if number % 3 else None,
                "STATIC_UDI": item.packages[0].gtin if item.udi_type == 1 else item.hibc,
                "STATIC_UDI_TYPE_C": item.udi_type,
            },
            at,
        )

    def finding(self, performed: Performed, line: Line, number: int, at: datetime) -> None:
        """One supply of a procedural log."""
        is_implant = line.implant_id is not None
        self.outbox.emit(
            "ehr",
            "RES_SUPPLY_USED",
            {
                "FINDING_ID": str(int(performed.case.case_id) + 30_000_000),
                "LINE": number,
                "LOG_ID": performed.case.log_id,
                "SUPPLY_USED_ID": line.supply_id,
                "SUPPLY_TYPE_C": 2 if is_implant else 1,
                "NUM_USED": line.used,
                "IMPLANT_REC_ID": line.implant_id,
            },
            at,
        )

    def implant(self, performed: Performed, line: Line, number: int, at: datetime, action: int | None = None) -> None:
        """One implant log line with its implant record."""
        case = performed.case
        kind = action or (3 if line.wasted and not line.used else 1)
        quantity = line.wasted if kind == 3 else line.used
        self.outbox.emit(
            "ehr", "OR_LOG_LN_IMPLANT", {"LOG_ID": case.log_id, "LINE": number, "IMPLANTS_ID": line.record_id}, at
        )
        self.outbox.emit(
            "ehr",
            "OR_LNLG_IMPLANTS",
            {
                "RECORD_ID": line.record_id,
                "IMPLANT_ID": line.implant_id,
                "IMPLANT_ACTION_C": kind,
                "IMPLANT_NUM_USED": quantity,
                "IMPLANT_AREA_C": 4,
                "IMPLANT_LATERAL_C": 1 + number % 2,
                "IMPLANT_RSN_WSTD_C": 2 if kind == 3 else None,
                "IMP_NO_INV_ITEM_YN": "Y" if line.stock_class == "ONE_TIME" else "N",
                "IMP_INV_TYPE_ID": line.supply_id,
                "IMPLANT_CREATED_YN": line.stock_class == "ONE_TIME",
                "UPDATE_DATE": at,
            },
            at,
        )
        if line.implant_id is not None:
            self._implant_record(performed, line, quantity, at, kind)

    def device_identifier(self, line: Line) -> tuple[str | None, int]:
        """Identifier of an implant as its record holds it (Q22: forms mixed, some with a wrong check digit)."""
        item = line.item or line.one_time_family
        assert item is not None
        udi, udi_type = item.packages[0].gtin, item.udi_type
        if udi_type == 2:
            udi = item.hibc or udi
        elif udi_type == 3:
            udi = tissue_record(item.key)
        if udi_type == 1 and self.plan.quirk("Q22", line.implant_id):
            udi = udi[:-1] + str((int(udi[-1]) + 1) % 10)
        return None if line.untraced == NO_IDENTIFIER else udi, udi_type

    def _implant_record(self, performed: Performed, line: Line, quantity: Decimal, at: datetime, kind: int) -> None:
        case = performed.case
        item = line.item or line.one_time_family
        assert item is not None
        recorded = line.recorded_lot or line.lot
        usage = self._recorded(performed, line)
        maker = self.world.manufacturers[item.manufacturer_id]
        one_time = line.stock_class == "ONE_TIME"
        udi, udi_type = self.device_identifier(line)
        self.outbox.emit(
            "ehr",
            "OR_IMP",
            {
                "IMPLANT_ID": line.implant_id,
                "IMPLANT_NAME": item.description if not one_time else f"ONE TIME {item.description}",
                "IMPLANT_TYPE_C": 2,
                "MANUFACTURER_C": maker.ehr_category,
                "MODEL_NUMBER": item.catalogue_number,
                "SERIAL_NUMBER": recorded.serial if line.untraced != NO_LOT else None,
                "LOT_NUMBER": usage if line.untraced != NO_LOT else None,
                "EXPIRATION_DATE": recorded.expiry.isoformat() + " 00:00:00" if recorded.expiry else None,
                "STATUS_C": {1: 2, 2: 3, 3: 8, 4: 2}[kind],
                "INVENTORY_ITEM_ID": line.supply_id,
                "MANUF_NUM": item.catalogue_number,
                "SUP_CAT_NUM": item.vendor_catalogue_number,
                "UNIT_COST": line.cost if one_time else None,
                "PASS_THROUGH_CODE": item.hcpcs,
                "CHARGE_CODE_EAP_ID": self.masters.one_time_proc_id if one_time else item.proc_id,
                "TISSUE_YN": item.usage_class == "skin",
                "STATIC_UDI": udi,
                "STATIC_UDI_TYPE_C": udi_type,
                "SUPPLY_TYPE_C": 3 if one_time else None,
                "EXPLANT_WARRANTY_COMPLETION_DT": line.warranty_completed,
                "PAT_ID": case.patient_id,
                "UPDATE_DATE": at,
            },
            at,
        )
        self.outbox.emit(
            "ehr",
            "OR_IMP_2",
            {
                "IMPLANT_ID": line.implant_id,
                "GUDID_BRAND_NAME": item.description,
                "GUDID_COMPANY_NAME": maker.name,
                "ICD_REIMP_MNRCALL_YN": True if is_recall_reimplant(line, self.chance) else None,
            },
            at,
        )
        if kind == 1:
            self.outbox.emit(
                "ehr",
                "OR_IMP_IMPLANT",
                {
                    "IMPLANT_ID": line.implant_id,
                    "LINE": 1,
                    "IMPLANT_LOG_ID": case.log_id,
                    "IMPLANTED_DATE": case.surgery_date,
                    "IMPLANTED_TIME": case.started_at + timedelta(minutes=40),
                    "NUM_IMPLANTED": quantity,
                    "IMP_STAFF_ID": case.surgeon_id,
                },
                at,
            )

    def _recorded(self, performed: Performed, line: Line) -> str | None:
        """Lot as typed (Q24: the letter O for a zero, leading zeros lost)."""
        lot = (line.recorded_lot or line.lot).lot
        if (
            lot is None
            or line.stock_class != "STOCK"
            or not self.plan.quirk("Q24", line.record_id or line.usage_id, share=0.03)
        ):
            return lot
        return lot.lstrip("0").replace("0", "O")

    def totals(self, performed: Performed, at: datetime) -> None:
        """Control totals of the log by type."""
        sums = {1: ZERO, 2: ZERO, 3: ZERO, 4: ZERO}
        for line in [*performed.lines, *(performed.extra_lines if len(performed.case.posted_at) > 1 else [])]:
            cost = ZERO if line.is_component else line.cost
            kinds = (3, 4) if line.kind == "implant" else (1, 2)
            sums[kinds[0]] += money(line.used * cost)
            sums[kinds[1]] += money(line.wasted * cost)
        sums = control_totals(performed, sums, self.plan, self.chance)
        for number, (kind, amount) in enumerate(sums.items(), start=1):
            self.world.case_costs.append(CaseCost(performed.case.site, performed.case.log_id, kind, amount, at))
            self.outbox.emit(
                "ehr",
                "OR_LOG_COSTS_CHARGES",
                {"LOG_ID": performed.case.log_id, "LINE": number, "COST_CHARGE_TYPE_C": kind, "CASE_COST": amount},
                at,
            )

    def preference_card(self, performed: Performed, at: datetime) -> None:
        """Q06: the surgeon's preference card stands in the same tables and is no usage."""
        planned = performed.plan
        card = f"7{planned.procedure.procedure_id}{planned.surgeon_id}"
        if not self.chance.stream("card", card, performed.case.log_id).flag(0.1):
            return
        self.outbox.emit(
            "ehr",
            "OR_PKLST",
            {
                "PICK_LIST_ID": card,
                "PICK_LIST_TYPE_C": 1,
                "PICK_LIST_NAME": planned.procedure.name.upper(),
                "UPDATE_DATE": at,
            },
            at,
        )
        for number, line in enumerate([entry for entry in performed.lines if entry.kind == "pick_list"][:4], start=1):
            self.outbox.emit(
                "ehr",
                "OR_PKLST_SUP_LIST",
                {
                    "PICK_LIST_ID": card,
                    "LINE": number,
                    "SUPPLY_ID": line.supply_id,
                    "NUM_NEEDED_OPEN": Decimal(2),
                    "SUPPLIES_USED": Decimal(2),
                    "SUPPLIES_WASTED": ZERO,
                    "SUP_UNIT_COST": line.cost,
                },
                at,
            )

    # ------------------------------------------------------------------------------------------------------- masters

    def opening(self, d: date) -> None:
        """Register the master snapshots and send the incremental masters once."""
        for name, rows in (
            ("IDENTITY_SUP_ID", self._identities),
            ("OR_SPLY_MANFACTR", self._makers),
            ("OR_SPLY_SUPPLIER", self._suppliers),
            ("OR_SPLY_LOC_INFO", self._item_locations),
            ("CLARITY_SER", self._providers),
            ("CL_UB_REV_CODE", self._revenue_codes),
            ("OR_PROC", self._procedures),
            ("OR_PROC_CPT_ID", self._procedure_codes),
            ("ZC_CATEGORY", self._categories),
        ):
            self.outbox.snapshot("ehr", name, Once(rows))
        self.outbox.snapshot("ehr", "CLARITY_EAP", self._charge_codes)
        for name, dated in (
            ("CLARITY_DEP", self._departments),
            ("CLARITY_LOC", self._locations),
            ("CL_COST_CNTR", self._cost_centres),
        ):
            self.outbox.snapshot("ehr", name, _ByPrefix(self._prefix_erps, dated))
        at = datetime.combine(d, time(12), CHICAGO)
        for item in self.world.items.values():
            if item.supply_id is not None:
                self._supply(item, at)
        items = self.world.items
        for cost in self.world.costs:
            if cost.source != "ovtm":
                continue
            moment = max(at, datetime.combine(cost.valid_from - timedelta(days=1), time(12), CHICAGO))
            if moment.date() <= self.world.end:
                row = {
                    "ITEM_ID": items[cost.item_key].supply_id,
                    "EFFECTIVE_DATE": cost.valid_from,
                    "COST_PER_UNIT_OT": cost.unit_cost,
                }
                self.outbox.emit("ehr", "OR_SPLY_OVTM", row, moment)

    def _supply(self, item: Item, at: datetime) -> None:
        kinds = {"SUPPLY": 1, "IMPLANT": 2, "INSTRUMENT": 3}
        self.outbox.emit(
            "ehr",
            "OR_SPLY",
            {
                "SUPPLY_ID": item.supply_id,
                "SUPPLY_NAME": item.description,
                "ABBR": item.description[:12],
                "TYPE_OF_ITEM_C": kinds[item.item_class],
                "ACTIVE_YN": True,
                "PRIMARY_EXT_ID": item.ehr_external_id,
                "CHARGE_CODE": item.charge_code,
                "LAST_SUPPLIER_C": self.masters.supplier_categories[item.supplier_id],
                "LAST_SUPPLIER_NUM": item.vendor_catalogue_number,
                "REUSABLE_YN": item.item_class == "INSTRUMENT",
                "UPDATE_DATE": at,
            },
            at,
        )

    def _known_items(self) -> Iterable[Item]:
        return (item for item in self.world.items.values() if item.supply_id is not None)

    def _identities(self) -> Iterable[Row]:
        for item in self._known_items():
            for line, (kind, value) in enumerate(item.ehr_identities, start=1):
                yield {"SUPPLY_ID": item.supply_id, "LINE": line, "IDENTITY_TYPE_ID": kind, "IDENTITY_ID": value}

    def _makers(self) -> Iterable[Row]:
        for item in self._known_items():
            if item.is_placeholder and not item.is_construct:
                continue
            maker = self.world.manufacturers[item.manufacturer_id]
            number = item.catalogue_number
            for line in (1, 2) if item.key % 5 == 0 and self.plan.shows("Q10") else (1,):
                yield {
                    "ITEM_ID": item.supply_id,
                    "LINE": line,
                    "MANUFACTURER_C": maker.ehr_category,
                    "MAN_CTLG_NUM": number if line == 1 else number.replace("-", "").replace("/", ""),
                    "MAN_PACK_PRICE": item.price_each,
                }

    def _suppliers(self) -> Iterable[Row]:
        for item in self._known_items():
            maker = self.world.manufacturers[item.manufacturer_id]
            sellers = [item.supplier_id]
            if maker.supplier_id != item.supplier_id:
                sellers.append(maker.supplier_id)
            package = item.packages[-1]
            for line, seller in enumerate(sellers, start=1):
                yield {
                    "ITEM_ID": item.supply_id,
                    "LINE": line,
                    "SUPPLIER_C": self.masters.supplier_categories[seller],
                    "SUPPLIER_CTLG_NUM": item.vendor_catalogue_number,
                    "SUPPLIER_PACK_T_C": 2,
                    "SUPPLIER_PACK_RAT": package.each,
                }

    def _item_locations(self) -> Iterable[Row]:
        for item in self._known_items():
            for site in self.world.hospitals():
                yield {"ITEM_ID": item.supply_id, "OR_LOC_ID": site.loc_id, "ACTIVE_OR_LOC_YN": True}

    def _providers(self) -> Iterable[Row]:
        for surgeon in self.masters.surgeons:
            yield {
                "PROV_ID": surgeon.provider_id,
                "PROV_NAME": surgeon.name,
                "PROV_TYPE": "Physician",
                "NPI": surgeon.npi,
                "SPECIALTY": SERVICES[surgeon.services[0]],
                "ACTIVE_STATUS": "Active",
            }
        for site in self.world.hospitals():
            for department, name in ROOM_NAMES.items():
                if department not in site.departments:
                    continue
                for room in range(1, ROOMS + 1):
                    yield {
                        "PROV_ID": f"7{site.code[1]}{department}{room:02d}",
                        "PROV_NAME": f"{site.code} {name} {room:02d}",
                        "PROV_TYPE": "Operating Room",
                        "ACTIVE_STATUS": "Active",
                    }

    def _prefix_erps(self, d: date) -> dict[str, str]:
        """ERP that the account prefixes of each hospital follow; they are changed late after a cut-over (Q14)."""
        late = PREFIX_LATE if self.plan.shows("Q14") else timedelta(0)
        return {site.code: self.world.erp_on(site.code, d - late) for site in self.world.hospitals()}

    def _gl_prefix(self, site: str, department: str, erp: str) -> str:
        placed = self.world.sites[site]
        if erp == "erp_lawson":
            return f"{placed.company}-{site[1]}{department}"
        return f"{placed.segment1}-{department}0"

    def _departments(self, erps: Mapping[str, str]) -> Iterable[Row]:
        for site in self.world.hospitals():
            for department in site.departments:
                if department != "0000":
                    yield {
                        "DEPARTMENT_ID": self._department(site.code, department),
                        "DEPARTMENT_NAME": f"{site.code} {DEPARTMENT_NAMES[department].upper()}",
                        "REV_LOC_ID": site.loc_id,
                        "GL_PREFIX": self._gl_prefix(site.code, department, erps[site.code]),
                        "INPATIENT_DEPT_YN": department in ("6010", "6020", "6040"),
                    }

    def _locations(self, erps: Mapping[str, str]) -> Iterable[Row]:
        for site in self.world.hospitals():
            prefix = str(site.company) if erps[site.code] == "erp_lawson" else site.segment1
            yield {"LOC_ID": site.loc_id, "LOC_NAME": site.name.upper(), "SERV_AREA_ID": "10", "GL_PREFIX": prefix}

    def _charge_codes(self, d: date) -> Iterable[Row] | None:
        """Charge codes with those that ended by `d` switched off; None when nothing changed since the day before."""
        active = frozenset(code.code for code in self.masters.charge_codes.values() if code.is_in_force(d))
        if active == self._active_codes:
            return None
        self._active_codes = active
        return [
            {
                "PROC_ID": code.proc_id,
                "PROC_CODE": code.code,
                "PROC_NAME": code.name,
                "IS_ACTIVE_YN": code.code in active,
                "UB_REV_CODE_ID": revenue_id(code.revenue_code),
                "HCPCS_DEFAULT": code.hcpcs,
            }
            for code in self.masters.charge_codes.values()
        ]

    def _cost_centres(self, erps: Mapping[str, str]) -> Iterable[Row]:
        for site in self.world.hospitals():
            for department in site.departments:
                if department != "0000":
                    yield {
                        "COST_CNTR_ID": f"CC{self._department(site.code, department)[:7]}",
                        "COST_CENTER_NAME": DEPARTMENT_NAMES[department].upper(),
                        "COST_CENTER_CODE": self._gl_prefix(site.code, department, erps[site.code]),
                    }

    def _revenue_codes(self) -> Iterable[Row]:
        for number, (code, name) in enumerate(REVENUE_CODES.items()):
            short = self.plan.shows("Q47") and number % 3 == 0
            yield {
                "UB_REV_CODE_ID": revenue_id(code),
                "REVENUE_CODE": code[1:] if short else code,
                "REVENUE_CODE_NAME": name.upper(),
            }

    def _procedures(self) -> Iterable[Row]:
        for procedure in PROCEDURES:
            yield {
                "OR_PROC_ID": procedure.procedure_id,
                "PROC_NAME": procedure.name.upper(),
                "SERVICE_C": procedure.service_c,
                "IMPLANT_EXPECTED_YN": procedure.service_c in (10, 20) and bool(procedure.implants),
            }

    def _procedure_codes(self) -> Iterable[Row]:
        for procedure in PROCEDURES:
            yield {"OR_PROC_ID": procedure.procedure_id, "LINE": 1, "REAL_CPT_CODE": procedure.cpt}

    def _categories(self) -> Iterable[Row]:
        lists: dict[str, dict[int, str]] = {
            "ZC_OR_STATUS": {
                1: "Missing Information",
                2: "Posted",
                3: "Unposted",
                4: "Voided",
                5: "Completed",
                6: "Canceled",
            },
            "ZC_OR_IMP_ACTION": {1: "Implanted", 2: "Explanted", 3: "Wasted", 4: "Adjusted"},
            "ZC_OR_SERVICE": SERVICES,
            "ZC_OR_SCHED_STATUS": {1: "Scheduled", 3: "Completed", 5: "Canceled"},
            "ZC_PAT_CLASS": {101: "Inpatient", 102: "Outpatient", 103: "Emergency"},
            "ZC_OR_LOG_TYPE": {
                0: "Surgical Log",
                2: "Cath/EP Log",
                3: "Interventional Radiology Log",
                4: "Endoscopy Log",
            },
            "ZC_OR_AUDIT_ACTION": AUDIT_ACTIONS,
            "ZC_OR_TRACKING_EVENT": {number: name for number, name, _, _ in TRACKING_EVENTS},
            "ZC_OR_MANUFACTURER": {maker.ehr_category: maker.ehr_name for maker in self.world.manufacturers.values()},
            "ZC_OR_SUPPLIER": {
                number: self.world.suppliers[supplier].name.upper()
                for supplier, number in self.masters.supplier_categories.items()
            },
        }
        for table, names in lists.items():
            for number, name in names.items():
                yield {"ZC_TABLE": table, "INTERNAL_ID": number, "NAME": name, "ABBR": name[:10]}


class _ByPrefix:
    """Gives rows again whenever the ERP behind an account prefix changes, 'unchanged' otherwise."""

    def __init__(
        self, erps: Callable[[date], dict[str, str]], rows: Callable[[Mapping[str, str]], Iterable[Row]]
    ) -> None:
        self._erps = erps
        self._rows = rows
        self._sent: dict[str, str] = {}

    def __call__(self, d: date) -> Iterable[Row] | None:
        erps = self._erps(d)
        if erps == self._sent:
            return None
        self._sent = erps
        return self._rows(erps)


def age_band(age: int) -> str:
    """Band of an age in years, as the record keeps it."""
    return next((band for limit, band in AGE_BANDS if age < limit), "90+")
