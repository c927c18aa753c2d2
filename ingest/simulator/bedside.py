"""The clinical record of the acquired hospital (system ehr_fhir): cases, usage, devices, stays and charge triggers.

Here: when which resource appears or changes, the usage lines and implants of the world as this record documents them,
the oddities of its exports (Q33 to Q38).
Not here: what happened (clinic), how resources are written (fhir_text), versions and files (fhir_export).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from ingest.simulator.assortment import PROCEDURES
from ingest.simulator.chance import Chance
from ingest.simulator.charge_records import Account, ToldCharge
from ingest.simulator.charging import Charging
from ingest.simulator.device_defects import NO_IDENTIFIER, NO_LOT
from ingest.simulator.events import Item, Location, UsageLine, World
from ingest.simulator.fhir_export import FhirServer
from ingest.simulator.fhir_text import (
    NEW_YORK,
    ActRecord,
    DeliveryRecord,
    DeviceRecord,
    DeviceUseRecord,
    PersonRecord,
    PlaceRecord,
    Spelling,
    StayRecord,
    TriggerRecord,
    absolute,
    contained,
    relative,
)
from ingest.simulator.masters import DEPARTMENT_NAMES, Masters
from ingest.simulator.plan import DefectPlan
from ingest.simulator.records import Line, Patient, Performed, PlannedCase
from ingest.simulator.scans import Lot

ZERO = Decimal(0)
ROOMS = 6
PLACE_TYPES = {"7010": "OR", "7020": "CATH", "7030": "IR", "7040": "WARD"}
SIDES = ("24028007", "7771000", "51440002")  # SNOMED CT: right, left, both
ROOM_AND_BOARD = "011"  # counted by the census, nobody triggers it
DEVICE_SPELLINGS: tuple[tuple[Spelling, float], ...] = ((relative, 0.6), (absolute, 0.25), (contained, 0.15))


def place_of(location: Location) -> str:
    """Location resource of a place where supplies are kept."""
    return f"sup-{location.location_id.lower()}"


def department_place(department: str) -> str:
    """Location resource of a department."""
    return f"dep-{department}"


def _room(planned: PlannedCase) -> str:
    return f"room-{planned.procedure.department}-{planned.room:02d}"


def person_id(patient_id: str) -> str:
    """Patient resource of a person."""
    return f"pat-{patient_id.removeprefix('Z')}"


class Bedside:
    """Writes the clinical record of the sites that keep it in FHIR resources."""

    def __init__(
        self,
        world: World,
        masters: Masters,
        charging: Charging,
        people: dict[str, Patient],
        plan: DefectPlan,
        chance: Chance,
    ) -> None:
        """Bind the world; `people` are those whom the system knows by number."""
        self.world = world
        self.masters = masters
        self.charging = charging
        self.people = people
        self.plan = plan
        self.chance = chance
        self.server = FhirServer(world, plan, chance)
        self._registered: set[str] = set()
        self._later_accounts: dict[str, datetime] = {}
        self._explanted: dict[str, str] = {}
        self._numbers: dict[int, int] = {}
        self._triggers: dict[str, tuple[str, TriggerRecord]] = {}  # by the SupplyDelivery behind them
        self._unbilled: dict[str, TriggerRecord] = {}
        charging.on_charge.append(self.triggered)
        charging.on_posted.append(self.billed)

    def keeps(self, site: str) -> bool:
        """Whether the site's record is kept here."""
        return self.world.sites[site].clinical == "ehr_fhir"

    def opening(self, at: datetime) -> None:
        """Departments, rooms and supply places are on record from the first export on."""
        for site in self.world.sites.values():
            if not self.keeps(site.code):
                continue
            for department in site.departments:
                if department == "0000":
                    continue
                kind = PLACE_TYPES.get(department, "WARD")
                name = f"{site.code} {DEPARTMENT_NAMES[department]}"
                place = department_place(department)
                self.server.put("Location", place, PlaceRecord(name, kind, department, None), at)
                for room in range(1, ROOMS + 1 if department in PLACE_TYPES else 1):
                    record = PlaceRecord(f"{name} {room:02d}", kind, department, place)
                    self.server.put("Location", f"room-{department}-{room:02d}", record, at)
            for location in self.world.site_locations(site.code):
                kind = PLACE_TYPES.get(location.department, "WARD")
                part_of = department_place(location.department)
                record = PlaceRecord(location.location_id, kind, location.department, part_of)
                self.server.put("Location", place_of(location), record, at)

    def case_number(self, day: date) -> str:
        """The next case number (landscape 5.8: E-yyyy-nnnnnn)."""
        self._numbers[day.year] = self._numbers.get(day.year, 0) + 1
        return f"E-{day.year}-{self._numbers[day.year]:06d}"

    # ---------------------------------------------------------------------------------------------- people and stays

    def visited(self, account: Account, person: Patient, department_id: str) -> None:
        """Somebody comes to a ward, a clinic or the emergency room; when the stay ends is known by then."""
        if not self.keeps(account.site):
            return
        self._register(account.patient_id, account.admitted_at, person)
        department = department_id[3:7]
        self.encounter(account, department, account.admitted_at)
        if account.discharged_at is not None:
            self.encounter(account, department, account.discharged_at, account.discharged_at)

    def _register(self, patient_id: str, at: datetime, person: Patient | None = None) -> str:
        identity = person_id(patient_id)
        if identity not in self._registered:
            self._registered.add(identity)
            person = person or self.people[patient_id]
            record = PersonRecord(
                identity, person.mrn, person.name, person.birth_date, person.phone, person.address, person.is_test
            )
            self.server.put("Patient", identity, record, at)
        return identity

    def encounter(
        self,
        account: Account,
        department: str,
        at: datetime,
        discharged: datetime | None = None,
        base_class: int | None = None,
    ) -> None:
        """A stay opens or changes; for some the account is known one or two days later (Q38)."""
        patient = self._register(account.patient_id, at)
        later = self._later_accounts.get(account.csn)
        record = StayRecord(
            visit=account.csn,
            patient=patient,
            base_class=base_class or account.base_class,
            admitted_at=account.admitted_at,
            discharged_at=discharged if discharged is not None and discharged <= at else None,
            place=department_place(department),
            account=account.account if later is None or at >= later else None,
        )
        identity = self._stay(account.csn)
        if at == account.admitted_at and self.plan.quirk("Q38", account.csn):
            days = self.chance.stream("account later", account.csn).integer(1, 2)
            later = datetime.combine(account.admitted_at.date() + timedelta(days=days), time(9, 40), NEW_YORK)
            self._later_accounts[account.csn] = later
            record = replace(record, account=None)
            ended = account.discharged_at if account.discharged_at and account.discharged_at <= later else None
            self.server.put("Encounter", identity, replace(record, account=account.account, discharged_at=ended), later)
        self.server.put("Encounter", identity, record, at)

    @staticmethod
    def _stay(csn: str) -> str:
        return f"enc-{csn}"

    # ------------------------------------------------------------------------------------------------------ the case

    def cancelled(self, planned: PlannedCase, at: datetime) -> None:
        """A scheduled case does not take place."""
        patient = self._register(planned.patient.patient_id, at)
        procedure = planned.procedure
        record = ActRecord(
            case_no=planned.case_id,
            status="not-done",
            cpt=procedure.cpt,
            text=procedure.name,
            side=None,
            started_at=planned.start,
            ended_at=None,
            patient=patient,
            visit=None,
            place=_room(planned),
            performer=planned.surgeon_id,
        )
        self.server.put("Procedure", f"prc-{_digits(planned.case_id)}-1", record, at)

    def posted(self, performed: Performed, at: datetime) -> None:
        """The log is posted: its procedures are on record, several of one case (Q37), some edited later (Q35)."""
        acts = list(self._acts(performed, "completed"))
        for identity, record in acts:
            self.server.put("Procedure", identity, record, at)
        if performed.mistaken is None and self.plan.quirk("Q35", performed.case.case_id):
            stream = self.chance.stream("edited", performed.case.case_id)
            again = at + timedelta(days=stream.integer(3, 30), hours=-stream.integer(2, 9))
            for identity, record in acts:
                self.server.put("Procedure", identity, record, again)
            for line in performed.lines[:4]:
                for identity, delivery in self._deliveries(performed, line):
                    self.server.put("SupplyDelivery", identity, delivery, again + timedelta(minutes=1))

    def voided(self, performed: Performed, at: datetime) -> None:
        """The log was opened by mistake: neither its procedures nor its lines count."""
        for identity, record in self._acts(performed, "entered-in-error"):
            self.server.put("Procedure", identity, record, at)
        for line in performed.lines:
            self.retract(performed, line, at, is_deleted=False)

    def _acts(self, performed: Performed, status: str) -> Iterable[tuple[str, ActRecord]]:
        planned, case = performed.plan, performed.case
        stream = self.chance.stream("procedures", case.case_id)
        minutes = stream.integer(40, 200)
        devices = [("implanted", line.implant_id) for line in performed.lines if line.implant_id and line.used > 0]
        if case.case_id in self._explanted:
            devices.append(("explanted", self._explanted[case.case_id]))
        number = stream.integer(2, 3) if self.plan.quirk("Q37", case.case_id) else 1
        side = stream.pick(SIDES)
        others = [entry for entry in PROCEDURES if entry.department == case.department]
        for place in range(number):
            procedure = planned.procedure if place == 0 else stream.pick(others)
            started = planned.start + timedelta(minutes=10 * place)
            yield (
                f"prc-{_digits(case.case_id)}-{place + 1}",
                ActRecord(
                    case_no=case.case_id,
                    status=status,
                    cpt=procedure.cpt,
                    text=procedure.name,
                    side=side,
                    started_at=started,
                    ended_at=None if place and stream.flag(0.3) else planned.start + timedelta(minutes=minutes),
                    patient=person_id(case.patient_id),
                    visit=self._stay(performed.account.csn),
                    place=_room(planned),
                    performer=case.surgeon_id,
                    devices=tuple(devices[place::number]),
                ),
            )

    # --------------------------------------------------------------------------------------------------------- usage

    @staticmethod
    def documented(lines: Iterable[Line]) -> list[Line]:
        """The lines that this record can name: items by their MMIS number, implants by their device."""
        kept = []
        for line in lines:
            if line.implant_id is not None:
                line.implant_id = f"dev-{line.implant_id}"
            elif line.item is None or line.item.mmis_east_no is None:
                continue
            else:
                line.item_no = line.item.mmis_east_no
            line.is_location_empty = False
            kept.append(line)
        return kept

    def number_lines(self, performed: Performed, lines: Iterable[Line], first: int = 1) -> None:
        """Give every line its identity in the record."""
        for number, line in enumerate(lines, start=first):
            line.usage_id = f"sd-{_digits(performed.case.case_id)}-{number:03d}"

    def document(self, performed: Performed, lines: Iterable[Line], at: datetime) -> None:
        """Usage is written down: a SupplyDelivery a line, for implants their devices with it."""
        patient = self._register(performed.case.patient_id, at)
        for line in lines:
            device = self._device(performed, line)
            if device is not None:
                self.server.put("Device", device.identity, device, at)
                if line.used > 0:
                    use = DeviceUseRecord(device.identity, patient, performed.plan.start + timedelta(minutes=40), None)
                    self.server.put("DeviceUseStatement", f"use-{device.identity}", use, at)
            for identity, delivery in self._deliveries(performed, line):
                self.server.put("SupplyDelivery", identity, delivery, at)
                performed.documented += 1
                self.world.usage.append(self._usage(performed, line, identity, delivery, at))

    def retract(self, performed: Performed, line: Line, at: datetime, is_deleted: bool) -> None:
        """A line that was on record is not true: marked as an error, or gone altogether (Q36)."""
        for identity, delivery in self._deliveries(performed, line):
            if is_deleted:
                self.server.delete("SupplyDelivery", identity, at)
            else:
                self.server.put("SupplyDelivery", identity, replace(delivery, status="entered-in-error"), at)
            usage = self._usage(performed, line, identity, delivery, at)
            self.world.usage.append(replace(usage, used_each=ZERO, wasted_each=ZERO))
            if identity in self._triggers:
                trigger, record = self._triggers[identity]
                self.server.put("ChargeItem", trigger, replace(record, status="entered-in-error"), at)

    def explant(self, performed: Performed, item: Item, lot: Lot, device_id: str, at: datetime) -> None:
        """Q07: a device is taken out, which is no usage."""
        case = performed.case
        patient = person_id(case.patient_id)
        device = self._record(item, lot, device_id, patient, at, expiry_text=None, is_active=False)
        self.server.put("Device", device_id, device, at)
        since = performed.plan.start - timedelta(days=self.chance.stream("in place", device_id).integer(200, 3000))
        use = DeviceUseRecord(device_id, patient, since, performed.plan.start + timedelta(minutes=25), "explanted")
        self.server.put("DeviceUseStatement", f"use-{device_id}", use, at)
        self._explanted[case.case_id] = device_id
        line = Line("implant", item, Decimal(1), ZERO, None, lot, "NONE", device_id)
        line.recorded_lot = lot
        delivery = next(iter(self._deliveries(performed, line)))[1]
        usage = self._usage(performed, line, f"use-{device_id}", delivery, at)
        performed.documented += 1
        self.world.usage.append(replace(usage, action="explanted"))

    def _device(self, performed: Performed, line: Line) -> DeviceRecord | None:
        if line.implant_id is None or line.item is None:
            return None
        text = line.expiry_text if line.expiry_text and line.expiry_text.endswith("00") else None
        patient = person_id(performed.case.patient_id)
        lot = line.recorded_lot or line.lot
        if line.untraced == NO_LOT:
            lot = replace(lot, lot=None, serial=None)
        record = self._record(line.item, lot, line.implant_id, patient, performed.plan.start, text)
        return replace(record, has_carrier=line.untraced != NO_IDENTIFIER)

    def _record(
        self,
        item: Item,
        lot: Lot,
        identity: str,
        patient: str,
        at: datetime,
        expiry_text: str | None,
        is_active: bool = True,
    ) -> DeviceRecord:
        maker = self.world.manufacturers[item.manufacturer_id]
        return DeviceRecord(
            identity=identity,
            item=item,
            manufacturer=self.chance.stream("device maker", item.key).pick((maker.name, maker.name.upper())),
            lot=lot,
            patient=patient,
            recorded_on=at.date(),
            has_identifier=not self.plan.quirk("Q33", identity),
            expiry_text=expiry_text,
            is_active=is_active,
        )

    def _deliveries(self, performed: Performed, line: Line) -> Iterable[tuple[str, DeliveryRecord]]:
        """What a line becomes: one resource for what was used, one for what was opened and wasted."""
        device = self._device(performed, line)
        stream = self.chance.stream("delivery", line.usage_id)
        spelling: Spelling = relative
        if device is not None and self.plan.shows("Q34"):
            spelling = stream.weighted(DEVICE_SPELLINGS)
        gtin = line.item.packages[0].gtin if line.item is not None and device is None and stream.flag(0.7) else None
        record = DeliveryRecord(
            case_no=performed.case.case_id,
            status="completed",
            item_no=None if device is not None else line.supply_id,
            gtin=gtin,
            device=device,
            quantity=line.used,
            occurred_at=performed.plan.start + timedelta(minutes=stream.integer(5, 90)),
            patient=person_id(performed.case.patient_id),
            place=place_of(line.location) if line.location is not None else _room(performed.plan),
            spelling=spelling,
        )
        if line.used > 0:
            yield line.usage_id, record
        if line.wasted > 0:
            identity = f"{line.usage_id}w" if line.used > 0 else line.usage_id
            yield identity, replace(record, status="abandoned", quantity=line.wasted)

    @staticmethod
    def _usage(performed: Performed, line: Line, identity: str, delivery: DeliveryRecord, at: datetime) -> UsageLine:
        """The line as the world keeps it."""
        is_wasted = delivery.status == "abandoned"
        device = delivery.device
        recorded = line.recorded_lot or line.lot
        return UsageLine(
            usage_id=identity,
            site=performed.case.site,
            log_id=performed.case.log_id,
            record="implant" if device is not None else "delivery",
            action="wasted" if is_wasted else "used",
            supply_id=delivery.item_no,
            implant_id=line.implant_id,
            item_key=line.item.key if line.item is not None else None,
            used_each=ZERO if is_wasted else delivery.quantity,
            wasted_each=delivery.quantity if is_wasted else ZERO,
            location_id=line.location.location_id if line.location is not None else None,
            documented_cost=None,
            chargeable_flag=None,
            lot=device.lot.lot if device is not None else None,
            serial=device.lot.serial if device is not None else None,
            expiry_date=recorded.expiry if device is not None else None,
            is_implant_copy=False,
            is_one_time=False,
            manufacturer_number=line.item.catalogue_number if device is not None and line.item is not None else None,
            vendor_catalogue_number=None,
            one_time_charge_proc_id=None,
            known_at=at,
            system="ehr_fhir",
            manufacturer_id=device.item.manufacturer_id if device is not None else None,
            device_identifier=device.identifier if device is not None and device.has_carrier else None,
            udi_type=device.udi_type if device is not None else None,
            is_tissue=device is not None and device.item.usage_class == "skin",
        )

    # ------------------------------------------------------------------------------------------------------- charges

    def triggered(self, told: ToldCharge) -> None:
        """A department sends a charge to billing, or takes one back."""
        request = told.request
        if not self.keeps(request.site) or request.code.revenue_code.startswith(ROOM_AND_BOARD):
            return
        account = self.charging.accounts[request.account]
        record = TriggerRecord(
            status="entered-in-error" if told.is_credit else "billable",
            code=request.code.code,
            visit=self._stay(account.csn),
            patient=person_id(account.patient_id),
            occurred_at=datetime.combine(request.service_date, time(12), NEW_YORK),
            entered_at=told.at,
            quantity=told.quantity,
            price=told.amount if request.code.method == "MARKUP" else None,
            cost_centre=request.department,
            delivery=request.usage_id,
            device=request.implant_id,
        )
        identity = f"ci-{told.transaction_id}"
        self.server.put("ChargeItem", identity, record, told.at)
        if told.is_credit:
            self._unbilled.pop(identity, None)
        else:
            self._unbilled[identity] = record
        if request.usage_id is not None:
            self._triggers[request.usage_id] = (identity, record)

    def billed(self, transaction_id: str, at: datetime) -> None:
        """Billing has posted what was triggered."""
        record = self._unbilled.pop(f"ci-{transaction_id}", None)
        if record is not None:
            self.server.put("ChargeItem", f"ci-{transaction_id}", replace(record, status="billed"), at)


def _digits(case_no: str) -> str:
    return "".join(sign for sign in case_no if sign.isdigit())
