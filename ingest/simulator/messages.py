"""Event messages of the clinical record (system ehr_hl7): appointments, stays, charges, item notifications.

Here: which messages tell of what happens, when they are sent, and their segments; replays and messages held up; the
hourly files.
Not here: how segments and files are written (hl7_text), item notifications (item_messages), what happens (clinic,
charging).

A message of 13:07 is in the file of hour 14, which arrives at 14:05. What was sent before the first day is in the first
file. Charges are those that a department triggers: with the posting of a log, by an interface, on a floor; what people
enter in billing itself, and room charges, which billing makes, have no message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal

from ingest.simulator.carriers import gs1_scanned, hibc_joined, isbt_128
from ingest.simulator.census import Census
from ingest.simulator.chance import Chance
from ingest.simulator.charge_records import Account, ToldCharge
from ingest.simulator.charging import Charging
from ingest.simulator.chart import Chart
from ingest.simulator.delivery import CHICAGO, Document, LateRow, Outbox
from ingest.simulator.events import Case, Item, UsageLine, World
from ingest.simulator.hl7_text import (
    INTERFACES,
    Field,
    Message,
    escaped,
    hour_file,
    money,
    number,
    provider,
    segment,
    stamp,
)
from ingest.simulator.item_messages import ItemMessages
from ingest.simulator.masters import FIRST_NAMES, Masters
from ingest.simulator.plan import DefectPlan
from ingest.simulator.records import Patient, PlannedCase
from ingest.simulator.stock import Stock

HEADS = {"DFT": "DFT_P03_FT1", "SIU": "SIU_APPT", "ADT": "ADT_EVENT", "MFN": "MFN_ITEM"}
STRUCTURES = {"A01": "ADT_A01", "A03": "ADT_A03", "A04": "ADT_A01", "A08": "ADT_A01", "A40": "ADT_A39"}
PATIENT_CLASSES = {1: "I", 2: "O", 3: "E"}
MOST_CHARGES = 12  # of one message
CHANGED_STAYS = 0.4
FAR_STAMPS = 0.004  # share of messages whose time stamps carry an offset
FIVE_PLACES = Decimal("0.00001")
PAYORS = {"1001": "Medicare", "1002": "Blue Cross", "1003": "Aetna", "1004": "Medicaid"}
BIRTH_NAMES = ("Müller", "Núñez", "Bøe", "Garçon", "Åkesson", "Smith", "O'Dell", "Peña")
TOWNS = (("Oak Prairie", "IL", "60098"), ("Linden Falls", "IL", "61032"), ("Saint Aubin", "WI", "53098"))
KEYED_TWICE = 5_000_000  # distance of the number of a charge that was keyed twice


class Messages:
    """The interfaces of the simulated hospitals, and what is on the way in them."""

    def __init__(
        self,
        world: World,
        masters: Masters,
        stock: Stock,
        charging: Charging,
        chart: Chart,
        census: Census,
        outbox: Outbox,
        plan: DefectPlan,
        chance: Chance,
    ) -> None:
        """Listen to the record and to billing; files are made when the outbox asks for them."""
        self.world = world
        self.charging = charging
        self.chart = chart
        self.plan = plan
        self.chance = chance
        self._items = ItemMessages(world, masters, stock, plan, chance)
        self._surgeons = {surgeon.provider_id: surgeon.name for surgeon in masters.surgeons}
        self._waiting: dict[tuple[date, int], list[Message]] = {}
        self._written_until = (date.min, 0)
        self._sequence: dict[str, int] = {}
        self._told: dict[tuple[str, str, datetime], list[ToldCharge]] = {}
        self._classes: dict[str, int] = {}  # by encounter
        self._seen: dict[str, list[Patient]] = {}  # admitted so far, by site
        self._retired: dict[str, tuple[datetime, str]] = {}  # MRN -> since when which one stands for it
        self._survivors: set[str] = set()
        self._cases: dict[str, Case] = {}
        self._implants: dict[str, UsageLine] = {}
        self._cases_read = 0
        self._usage_read = 0
        chart.on_case.append(self._appointment)
        chart.on_encounter.append(self._encounter)
        census.on_visit.append(self._visit)
        charging.on_charge.append(self._charge)
        outbox.documents(self._files)

    def opening(self) -> None:
        """Send the item master of every hospital, once."""
        for message in self._items.first_load():
            self._queue(message)

    # ------------------------------------------------------------------------------------------------------- sending

    def _send(
        self,
        site: str,
        event: str,
        structure: str,
        at: datetime,
        segments: Iterable[str],
        sent_at: datetime | None = None,
        *,
        has_offset: bool = False,
        rows: int = 1,
        is_identified: bool = True,
    ) -> None:
        if site not in INTERFACES:
            return
        message = Message(site, event, structure, "2.5.1", at, sent_at or at, tuple(segments), rows, has_offset)
        message.is_identified = is_identified
        self._queue(message)

    def _queue(self, message: Message) -> None:
        slot = self._slot(message.sent_at)
        while message.control_id and slot <= self._written_until:
            # What comes again comes in a later file, also on the night that has an hour twice.
            message.sent_at = message.sent_at.astimezone(UTC) + timedelta(hours=1)
            slot = self._slot(message.sent_at)
        if slot[0] > self.world.end:
            return
        if slot <= self._written_until:
            raise LateRow(f"{message.structure} of {message.sent_at.isoformat()} belongs to a file that is written")
        self._waiting.setdefault(slot, []).append(message)

    def _slot(self, sent_at: datetime) -> tuple[date, int]:
        """Folder and hour of the file that takes what was sent at a moment."""
        first = datetime.combine(self.world.start, time(), CHICAGO)
        local = max(sent_at.astimezone(CHICAGO), first)
        return (local.date(), local.hour + 1) if local.hour < 23 else (local.date() + timedelta(days=1), 0)

    def _files(self, d: date) -> Iterator[Document]:
        """Files of the hours that are complete at the end of `d`."""
        self._read_world()
        self._send_charges()
        if d >= self.world.start:
            for message in self._items.day(d):
                self._queue(message)
        last = (d + timedelta(days=1), 0)
        while due := sorted(slot for slot in self._waiting if slot <= last):
            yield from self._hour(due[0])
        self._written_until = last

    def _hour(self, slot: tuple[date, int]) -> Iterator[Document]:
        messages = sorted(self._waiting.pop(slot), key=lambda message: message.sent_at.astimezone(UTC))
        self._written_until = slot
        folder, hour = slot
        for kind in HEADS:
            chosen = [message for message in messages if message.structure.startswith(kind)]
            if chosen and all(message.is_replay for message in chosen):
                # A file of nothing but replays would be the file that they were in before.
                for message in chosen:
                    self._queue(message)
                continue
            if not chosen:
                continue
            for message in chosen:
                if not message.control_id:
                    self._number(message)
                    self._replay(message)
            yield Document(
                system="ehr_hl7",
                extract=HEADS[kind],
                path=f"ehr_hl7/{folder:%Y%m%d}/{kind}_{folder:%Y%m%d}_{hour:02d}.hl7",
                content=hour_file(chosen, kind, folder, hour),
                rows=sum(message.rows for message in chosen),
                folder=folder,
                slot=f"{hour:02d}00",
            )

    def _number(self, message: Message) -> None:
        facility = INTERFACES[message.site].facility
        self._sequence[facility] = self._sequence.get(facility, 0) + 1
        message.control_id = f"{facility}{self._sequence[facility]:08d}"

    def _replay(self, message: Message) -> None:
        """Q25: a charge message comes again, with its control id or as a new message."""
        key = message.control_id
        if message.structure != "DFT_P03" or not self.plan.quirk("Q25", key):
            return
        stream = self.chance.stream("replay", key)
        again_at = message.sent_at.astimezone(UTC) + timedelta(hours=stream.integer(1, 30), minutes=7)
        if stream.flag(0.5) or not message.is_identified:
            again = replace(message, sent_at=again_at, is_replay=True)
        else:
            again = replace(message, at=again_at, sent_at=again_at)
            self._number(again)
        self._queue(again)

    # ------------------------------------------------------------------------------------------- segments of a person

    def _offset(self, *key: object) -> bool:
        return self.chance.stream("hl7 offset", *key).flag(FAR_STAMPS)

    def _mrn(self, person: Patient, at: datetime) -> str:
        """The MRN that stands for a person at a moment."""
        since, survivor = self._retired.get(person.mrn, (None, person.mrn))
        return survivor if since is not None and since <= at else person.mrn

    @staticmethod
    def _name(person: Patient) -> str:
        last, _, given = person.name.partition(",")
        first, _, middle = given.partition(" ")
        return "^".join(escaped(part) for part in (last, first, middle) if part)

    @staticmethod
    def _address(person: Patient) -> str:
        town, state, postcode = TOWNS[int(person.mrn[2:]) % len(TOWNS)]
        return f"{escaped(person.address)}^^{town}^{state}^{postcode}^USA"

    def _pid(self, person: Patient, site: str, at: datetime, account: str | None = None) -> str:
        """PID (HL7 v2.5.1 3.4.2)."""
        facility = INTERFACES[site].facility
        birth_name = self.chance.stream("birth name", person.patient_id).pick(BIRTH_NAMES)
        fields: dict[int, Field] = {
            1: 1,
            3: f"{self._mrn(person, at)}^^^{facility}^MR",
            5: self._name(person),
            6: escaped(birth_name),
            7: stamp(person.birth_date),
            8: "FM"[int(person.mrn[2:]) % 2],
            11: self._address(person),
            13: f"{person.phone}^PRN^PH~^NET^Internet^{escaped(person.email)}",
            18: f"{account}^^^{facility}^AN" if account else None,
            19: person.ssn,
        }
        return segment("PID", fields, width=30 if INTERFACES[site].pads else 0)

    def _pv1(
        self,
        site: str,
        patient_class: str,
        department: str,
        account: Account | None = None,
        *,
        is_left: bool = False,
        has_offset: bool = False,
    ) -> str:
        """PV1 (HL7 v2.5.1 3.4.3)."""
        fields: dict[int, Field] = {1: 1, 2: patient_class, 3: f"{department}^^^{INTERFACES[site].facility}"}
        if account is not None:
            fields |= {
                19: f"{account.csn}^^^{INTERFACES[site].facility}^VN",
                36: "01" if is_left else None,
                44: stamp(account.admitted_at, has_offset),
                45: stamp(account.discharged_at, has_offset) if is_left else None,
            }
        return segment("PV1", fields)

    def _relative(self, person: Patient) -> str:
        """NK1 (HL7 v2.5.1 3.4.5)."""
        last = person.name.partition(",")[0]
        first = self.chance.stream("relative", person.patient_id).pick(FIRST_NAMES).upper()
        fields: dict[int, Field] = {
            1: 1,
            2: f"{escaped(last)}^{first}",
            3: "SPO^Spouse^HL70063",
            4: self._address(person),
            5: person.phone,
        }
        return segment("NK1", fields)

    def _guarantor(self, person: Patient) -> str:
        """GT1 (HL7 v2.5.1 6.5.5)."""
        return segment(
            "GT1",
            {
                1: 1,
                3: self._name(person),
                5: self._address(person),
                6: person.phone,
                8: stamp(person.birth_date),
                12: person.ssn,
            },
        )

    def _insurance(self, person: Patient, payor: str) -> str:
        """IN1 (HL7 v2.5.1 6.5.6)."""
        return segment(
            "IN1",
            {
                1: 1,
                2: f"{payor}01",
                3: payor,
                4: PAYORS.get(payor, "Self pay"),
                16: self._name(person),
                17: "SEL",
                18: stamp(person.birth_date),
                19: self._address(person),
                36: f"W{person.ssn.replace('-', '')}",
            },
        )

    # -------------------------------------------------------------------------------------------------- appointments

    def _appointment(self, planned: PlannedCase, room: str, at: datetime) -> None:
        """SIU^S12 when a case gets on the schedule, S13 to S15 when it is moved, changed or cancelled."""
        if planned.is_cancelled and at.date() >= planned.day:
            self._tell_appointment(planned, room, "S15", at)
            return
        stream = self.chance.stream("appointment", planned.case_id)
        booked = at + timedelta(minutes=stream.integer(1, 150))
        last_day = (planned.day - at.date()).days - 1
        start, minutes = planned.start, 120
        later: list[str] = []
        if planned.cancel_reason is not None and not planned.is_cancelled:
            later = ["S15", "S12"]  # Q02: cancelled, then scheduled again
        elif stream.flag(0.10):
            start += timedelta(minutes=stream.pick((-120, -60, -45, 45, 60, 90, 150)))
            later = ["S13"]
        elif stream.flag(0.12):
            minutes = stream.pick((90, 150, 180))
            later = ["S14"]
        self._tell_appointment(planned, room, "S12", booked, start, minutes)
        day = at.date() + timedelta(days=stream.integer(0, max(last_day, 0)))
        for place, event in enumerate(later):
            moment = datetime.combine(day, time(17 + place * 2, stream.integer(0, 59)), CHICAGO)
            self._tell_appointment(planned, room, event, moment)

    def _tell_appointment(
        self,
        planned: PlannedCase,
        room: str,
        event: str,
        at: datetime,
        start: datetime | None = None,
        minutes: int = 120,
    ) -> None:
        """One SIU message (HL7 v2.5.1 10.4, SCH 10.6.1)."""
        site, case = planned.site, planned.case_id
        if site not in INTERFACES:
            return
        begins = start or planned.start
        far = self._offset("SIU", case, event)
        status = "Cancelled" if event == "S15" else "Booked"
        action = {"S12": "A", "S15": "D"}.get(event, "U")
        department = f"{self.world.sites[site].loc_id[:3]}{planned.procedure.department}1"
        ends = stamp(begins + timedelta(minutes=minutes), far)
        surgeon = provider(planned.surgeon_id, planned.surgeon_name)
        clerk = f"U{2000 + int(case) % 40}^{FIRST_NAMES[int(case) % len(FIRST_NAMES)]}"
        sch: dict[int, Field] = {
            1: f"P{case}^{INTERFACES[site].facility}",
            2: f"{case}^{INTERFACES[site].facility}",
            6: f"{event}^{status}",
            7: "SURGERY",
            8: "Normal",
            9: minutes,
            10: "min^minutes^ISO+",
            11: f"^^M{minutes}^{stamp(begins, far)}^{ends}",
            16: surgeon,
            20: clerk,
            25: f"{status}^{status}^HL70278",
        }
        segments = [
            segment("SCH", sch),
            self._pid(planned.patient, site, at),
            self._pv1(site, "P", department),
            segment("RGS", {1: 1, 2: action}),
            segment(
                "AIS",
                {
                    1: 1,
                    2: action,
                    3: f"{planned.procedure.procedure_id}^{escaped(planned.procedure.name.upper())}^99ORP",
                    4: stamp(begins, far),
                    7: minutes,
                    8: "min^minutes^ISO+",
                },
            ),
            segment("AIL", {1: 1, 2: action, 3: f"{department}^{room}^^{INTERFACES[site].facility}"}),
            segment("AIP", {1: 1, 2: action, 3: surgeon, 4: "SURGEON^Surgeon"}),
        ]
        self._send(site, event, "SIU_S12", at, segments, has_offset=far)

    # --------------------------------------------------------------------------------------------------------- stays

    def _encounter(self, account: Account, department: str, at: datetime, base_class: int | None) -> None:
        """ADT^A01 or A04 when a stay begins, A08 when it changes, A03 when it ends."""
        site = account.site
        if site not in INTERFACES:
            return
        person = self.chart.people[account.patient_id]
        if account.csn in self._classes:
            if base_class is not None and base_class != self._classes[account.csn]:
                self._classes[account.csn] = base_class
                self._stay(account, person, "A08", department, at)
            return
        self._classes[account.csn] = account.base_class
        self._merge(account, person, at)
        self._stay(account, person, "A01" if account.base_class == 1 else "A04", department, at)
        stream = self.chance.stream("stay messages", account.csn)
        if self.plan.quirk("Q30", account.csn):
            first, second = at + timedelta(minutes=30), at + timedelta(minutes=50)
            held_until = second + timedelta(minutes=stream.integer(15, 150))
            self._stay(account, person, "A08", department, first, held_until)
            self._stay(account, person, "A08", department, second)
        elif stream.flag(0.4):
            self._stay(account, person, "A08", department, at + timedelta(minutes=stream.integer(10, 110)))
        if account.discharged_at is not None:
            self._stay(account, person, "A03", department, account.discharged_at)
        self._seen.setdefault(site, []).append(person)

    def _visit(self, account: Account, person: Patient, department: str) -> None:
        """ADT of a stay or visit without a procedure: its beginning, some changes, its end."""
        if account.site not in INTERFACES or account.discharged_at is None:
            return
        self._stay(account, person, "A01" if account.base_class == 1 else "A04", department, account.admitted_at)
        stream = self.chance.stream("stay messages", account.csn)
        if account.base_class == 1 and stream.flag(CHANGED_STAYS):
            changed = account.admitted_at + timedelta(minutes=stream.integer(10, 110))
            self._stay(account, person, "A08", department, changed)
        if account.base_class != 2:
            self._stay(account, person, "A03", department, account.discharged_at)

    def _stay(
        self,
        account: Account,
        person: Patient,
        event: str,
        department: str,
        at: datetime,
        sent_at: datetime | None = None,
    ) -> None:
        """One ADT message (HL7 v2.5.1 3.3)."""
        site = account.site
        told_at = at + timedelta(seconds=1 + int(account.csn) % 40)
        far = self._offset(event, account.csn, at)
        patient_class = PATIENT_CLASSES[self._classes.get(account.csn, account.base_class)]
        is_left = event == "A03"
        segments = [
            segment("EVN", {1: event, 2: stamp(at, far), 6: stamp(at, far)}),
            self._pid(person, site, told_at, account.account),
            *([] if is_left else [self._relative(person)]),
            self._pv1(site, patient_class, department, account, is_left=is_left, has_offset=far),
            *([] if is_left else [self._guarantor(person), self._insurance(person, account.payor)]),
        ]
        self._send(site, event, STRUCTURES[event], told_at, segments, sent_at, has_offset=far)

    def _merge(self, account: Account, person: Patient, admitted_at: datetime) -> None:
        """Q29: some days after the stay began its MRN is merged into one that was there before."""
        if person.is_test or person.mrn in self._retired or person.mrn in self._survivors:
            return
        if not self.plan.quirk("Q29", person.patient_id):
            return
        others = [
            other
            for other in self._seen.get(account.site, ())
            if not other.is_test and other.mrn != person.mrn and other.mrn not in self._retired
        ]
        if not others:
            return
        stream = self.chance.stream("merge", person.patient_id)
        survivor = stream.pick(others)
        day = admitted_at.date() + timedelta(days=stream.integer(1, 6))
        at = datetime.combine(day, time(stream.integer(9, 16), stream.integer(0, 59)), CHICAGO)
        facility = INTERFACES[account.site].facility
        segments = [
            segment("EVN", {1: "A40", 2: stamp(at)}),
            self._pid(survivor, account.site, at),
            segment("MRG", {1: f"{person.mrn}^^^{facility}^MR", 7: self._name(person)}),
        ]
        self._retired[person.mrn] = (at, survivor.mrn)
        self._survivors.add(survivor.mrn)
        self._send(account.site, "A40", STRUCTURES["A40"], at, segments)

    # ------------------------------------------------------------------------------------------------------- charges

    def _charge(self, told: ToldCharge) -> None:
        request = told.request
        if request.site not in INTERFACES or request.code.revenue_code.startswith("011"):
            return
        self._told.setdefault((request.account, request.log_id, told.at), []).append(told)
        again = self.plan.quirk("Q26", told.transaction_id)
        if again and request.log_id and not told.is_credit:
            # Keyed twice, the second one taken back before anything of it gets to billing.
            twice = replace(told, transaction_id=str(int(told.transaction_id) + KEYED_TWICE))
            self._told[(request.account, request.log_id, told.at)].append(twice)
            taken_back = replace(twice, at=told.at + timedelta(minutes=20), is_credit=True)
            self._told.setdefault((request.account, request.log_id, taken_back.at), []).append(taken_back)

    def _send_charges(self) -> None:
        told_by_message, self._told = self._told, {}
        for told in told_by_message.values():
            for first in range(0, len(told), MOST_CHARGES):
                self._tell_charges(told[first : first + MOST_CHARGES], first)

    def _tell_charges(self, charges: Sequence[ToldCharge], place: int) -> None:
        """One DFT^P03 (HL7 v2.5.1 6.4.1) with an FT1 and, where an item is known, a ZFT for each charge."""
        request = charges[0].request
        site, account = request.site, self.charging.accounts[request.account]
        person = self.chart.people[account.patient_id]
        key = charges[0].transaction_id
        at = charges[0].at + timedelta(seconds=self.chance.stream("charge message", key).integer(2, 50) + place)
        far = self._offset("DFT", key)
        department = self.charging.rows.department_id(site, request.department)
        patient_class = PATIENT_CLASSES[self._classes.get(account.csn, account.base_class)]
        segments = [
            segment("EVN", {1: "P03", 2: stamp(at, far)}),
            self._pid(person, site, at, request.account),
            self._pv1(site, patient_class, department, account, has_offset=far),
        ]
        is_identified = True
        for set_id, told in enumerate(charges, start=1):
            transaction_id = None if self.plan.quirk("Q27", told.transaction_id) else told.transaction_id
            is_identified &= transaction_id is not None
            segments.append(self._ft1(told, set_id, transaction_id, at, far))
            if told.request.supply_id is not None or told.request.implant_id is not None:
                segments.append(self._zft(told))
        segments += [self._guarantor(person), self._insurance(person, account.payor)]
        rows = len(charges)
        self._send(site, "P03", "DFT_P03", at, segments, has_offset=far, rows=rows, is_identified=is_identified)

    def _ft1(self, told: ToldCharge, set_id: int, transaction_id: str | None, at: datetime, far: bool) -> str:
        """FT1 (HL7 v2.5.1 6.5.1)."""
        request, interface = told.request, INTERFACES[told.request.site]
        case = self._cases.get(request.log_id)
        served = case.started_at if case is not None else datetime.combine(request.service_date, time(8), CHICAGO)
        quantity, amount, kind = told.quantity, told.amount, "CG"
        if told.is_credit and interface.signs_credits:
            quantity, amount = -quantity, -amount
        elif told.is_credit:
            kind = "CD"
        is_bare = quantity == 1 and self.plan.quirk("Q31", told.transaction_id)
        unit = (told.amount / told.quantity).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP) if told.quantity else None
        code = request.code
        department = self.charging.rows.department_id(request.site, request.department)
        surgeon = None
        if case is not None:
            surgeon = provider(case.surgeon_id, self._surgeons.get(case.surgeon_id, ""))
        hcpcs = code.hcpcs or (request.item.hcpcs if request.item is not None else None)
        fields: dict[int, Field] = {
            1: set_id,
            2: transaction_id,
            3: f"B{at.astimezone(CHICAGO):%Y%m%d}",
            4: stamp(served, far),
            5: stamp(at, far),
            6: kind,
            7: f"{code.code}^{escaped(code.name)}^99CDM",
            10: None if is_bare else number(quantity),
            11: money(amount),
            12: money(unit),
            13: department,
            16: department,
            20: surgeon,
            22: money(request.unit_cost.quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)) if request.unit_cost else None,
            23: f"{request.log_id}^{interface.facility}" if request.log_id else None,
            25: f"{hcpcs}^^HCPCS" if hcpcs else None,
            26: self._modifiers(request.implant_id) if hcpcs else None,
        }
        return segment("FT1", fields, width=31 if interface.pads and not is_bare else 0)

    @staticmethod
    def _modifiers(implant_id: str | None) -> str | None:
        """Side of an implant; both sides are two modifiers."""
        if implant_id is None:
            return None
        return ("LT", "RT", "LT~RT", None, None)[int(implant_id) % 5]

    def _zft(self, told: ToldCharge) -> str:
        """ZFT of the record's family: supply id, implant id, lot, scanned device identifier."""
        request = told.request
        line = self._implants.get(request.implant_id) if request.implant_id is not None else None
        fields: dict[int, Field] = {1: request.supply_id, 2: request.implant_id}
        if line is not None:
            fields[3] = escaped(line.lot) if line.lot else None
            fields[4] = escaped(scanned(request.item, line)) if request.item is not None else None
        return segment("ZFT", fields)

    def _read_world(self) -> None:
        """Take note of cases and implants that became known since the last time."""
        for case in self.world.cases[self._cases_read :]:
            self._cases[case.log_id] = case
        for line in self.world.usage[self._usage_read :]:
            if line.implant_id is not None and line.record == "implant":
                self._implants[line.implant_id] = line
        self._cases_read, self._usage_read = len(self.world.cases), len(self.world.usage)


def scanned(item: Item, line: UsageLine) -> str:
    """The whole device identifier of a piece as a scanner gives it: GS1 with FNC1 as GS, HIBC, or ICCBBA (ISBT 128)."""
    expiry = f"{line.expiry_date:%y%m%d}" if line.expiry_date else None
    if item.udi_type == 3:
        return isbt_128(item.key, line.expiry_date, line.lot)
    if item.udi_type == 2 and item.hibc:
        return hibc_joined(item.hibc, expiry, line.lot, line.serial)
    return gs1_scanned(item.packages[0].gtin, expiry, line.lot, line.serial)
