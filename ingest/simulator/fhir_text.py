"""FHIR R4 resources of the acquired hospital as text: what is on record, element by element, one JSON object a line.

Here: records with the elements that ehr_fhir.yaml names, identifier systems, references in their three spellings (Q34),
device identifiers as a carrier shows them, moments with the hospital's offset, numbers with the digits they were given.
Not here: what is recorded when (bedside), which resources an export holds (fhir_export).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from ingest.simulator.carriers import gs1_printed, hibc_joined, isbt_128, tissue_identifier
from ingest.simulator.events import Item
from ingest.simulator.scans import Lot

NEW_YORK = ZoneInfo("America/New_York")
SERVER = "https://fhir.shs-east.example/r4"
ORGANISATION = "org-h8-east"
CASE, VISIT, ACCOUNT, MRN = "urn:shs:h8:case", "urn:shs:h8:visit", "urn:shs:har", "urn:shs:h8:mrn"
DEPARTMENT, ITEM_NO, GTIN, CHARGE_CODE = "urn:shs:department", "urn:shs:mmis-item", "urn:gs1:gtin", "urn:shs:cdm"
CPT = "http://www.ama-assn.org/go/cpt"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
CLASSES = {1: ("IMP", "inpatient encounter"), 2: ("AMB", "ambulatory"), 3: ("EMER", "emergency")}
# Bodies that issue device identifiers, by the type of the identifier (1 GS1, 2 HIBC, 3 ICCBBA).
ISSUERS = {
    1: "http://hl7.org/fhir/NamingSystem/gs1-di",
    2: "http://hl7.org/fhir/NamingSystem/hibcc-dI",
    3: "http://hl7.org/fhir/NamingSystem/iccbba-other-di",
}

Resource = dict[str, Any]
Spelling = Callable[[str, str], str]
"""How a reference to (type, id) is written."""


def relative(kind: str, identity: str) -> str:
    """`Device/1`."""
    return f"{kind}/{identity}"


def absolute(kind: str, identity: str) -> str:
    """`https://server/Device/1`."""
    return f"{SERVER}/{kind}/{identity}"


def contained(kind: str, identity: str) -> str:
    """`#1`, which points into the resource itself."""
    return f"#{identity}"


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """Patient."""

    identity: str
    mrn: str
    name: str  # LAST,FIRST M
    birth_date: date
    phone: str
    address: str
    is_test: bool

    def resource(self, spell: Spelling) -> Resource:
        """The resource without its `meta.versionId` and `meta.lastUpdated`."""
        family, _, given = self.name.partition(",")
        made: Resource = {
            "identifier": [{"system": MRN, "value": self.mrn}],
            "active": True,
            "name": [{"use": "official", "family": family, "given": given.split()}],
            "telecom": [{"system": "phone", "value": self.phone}],
            "birthDate": self.birth_date.isoformat(),
            "address": [{"line": [self.address], "state": "NY"}],
        }
        if self.is_test:
            made["meta"] = {"tag": [{"system": f"{_TERMINOLOGY}/v3-ActReason", "code": "HTEST"}]}
        return made


@dataclass(frozen=True, slots=True)
class StayRecord:
    """Encounter; `account` None: not known to the record yet (Q38)."""

    visit: str
    patient: str
    base_class: int
    admitted_at: datetime
    discharged_at: datetime | None
    place: str
    account: str | None

    def resource(self, spell: Spelling) -> Resource:
        """The resource without its version."""
        code, display = CLASSES[self.base_class]
        identifiers = [{"system": VISIT, "value": self.visit}]
        if self.account is not None:
            identifiers.append({"system": ACCOUNT, "value": self.account})
        return {
            "identifier": identifiers,
            "status": "finished" if self.discharged_at else "in-progress",
            "class": {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": code, "display": display},
            "subject": {"reference": spell("Patient", self.patient)},
            "period": _period(self.admitted_at, self.discharged_at),
            "location": [{"location": {"reference": spell("Location", self.place)}}],
            "serviceProvider": {"reference": relative("Organization", ORGANISATION)},
        }


@dataclass(frozen=True, slots=True)
class PlaceRecord:
    """Location."""

    name: str
    type_code: str  # OR, CATH, IR, WARD
    department: str
    part_of: str | None

    def resource(self, spell: Spelling) -> Resource:
        """The resource without its version."""
        made: Resource = {
            "identifier": [{"system": DEPARTMENT, "value": self.department}],
            "status": "active",
            "name": self.name,
            "type": [{"coding": [{"system": "urn:shs:h8:location-type", "code": self.type_code}]}],
            "managingOrganization": {"reference": relative("Organization", ORGANISATION)},
        }
        if self.part_of is not None:
            made["partOf"] = {"reference": spell("Location", self.part_of)}
        return made


@dataclass(frozen=True, slots=True)
class ActRecord:
    """Procedure, with the devices acted on as (action, device)."""

    case_no: str
    status: str  # completed, entered-in-error, not-done
    cpt: str
    text: str
    side: str | None
    started_at: datetime
    ended_at: datetime | None
    patient: str
    visit: str | None
    place: str
    performer: str
    devices: tuple[tuple[str, str], ...] = ()

    def resource(self, spell: Spelling) -> Resource:
        """The resource without its version; without an end the procedure has one moment."""
        made: Resource = {
            "identifier": [{"system": CASE, "value": self.case_no}],
            "status": self.status,
            "code": {"coding": [{"system": CPT, "code": self.cpt}], "text": self.text},
            "subject": {"reference": spell("Patient", self.patient)},
            "location": {"reference": spell("Location", self.place)},
            "performer": [{"actor": {"reference": relative("Practitioner", self.performer)}}],
        }
        if self.ended_at is None:
            made["performedDateTime"] = moment(self.started_at)
        else:
            made["performedPeriod"] = _period(self.started_at, self.ended_at)
        if self.visit is not None:
            made["encounter"] = {"reference": spell("Encounter", self.visit)}
        if self.side is not None:
            made["bodySite"] = [{"coding": [{"system": "http://snomed.info/sct", "code": self.side}]}]
        if self.devices:
            made["focalDevice"] = [
                {
                    "action": {"coding": [{"system": "http://hl7.org/fhir/device-action", "code": action}]},
                    "manipulated": {"reference": spell("Device", device)},
                }
                for action, device in self.devices
            ]
        return made


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """Device."""

    identity: str
    item: Item
    manufacturer: str
    lot: Lot  # as recorded
    patient: str
    recorded_on: date
    has_identifier: bool = True  # else the full string of the carrier alone (Q33)
    expiry_text: str | None = None  # date on the carrier (yyMMdd) where the record itself has none
    is_active: bool = True
    has_carrier: bool = True  # else nothing on it can be read

    @property
    def udi_type(self) -> int:
        """Who issued its identifier: 1 GS1, 2 HIBC, 3 ICCBBA."""
        return 1 if self.item.udi_type == 2 and not self.item.hibc else self.item.udi_type

    @property
    def carrier(self) -> str:
        """The human readable string of the carrier (UDI, AIDC form of the issuing body)."""
        expiry = self.expiry_text or (f"{self.lot.expiry:%y%m%d}" if self.lot.expiry else None)
        if self.udi_type == 3:
            return isbt_128(self.item.key, self.lot.expiry, self.lot.lot)
        if self.udi_type == 2:
            return hibc_joined(self.item.hibc or "", expiry, self.lot.lot, self.lot.serial)
        return gs1_printed(self.item.packages[0].gtin, expiry, self.lot.lot, self.lot.serial)

    @property
    def identifier(self) -> str:
        """The device identifier (DI)."""
        if self.udi_type == 2:
            return (self.item.hibc or "").removeprefix("+")[:-1]
        return tissue_identifier(self.item.key) if self.udi_type == 3 else self.item.packages[0].gtin

    def resource(self, spell: Spelling) -> Resource:
        """The resource without its version."""
        carrier: Resource = {"carrierHRF": self.carrier}
        if self.has_identifier:
            issuer = ISSUERS[self.udi_type]
            carrier |= {"deviceIdentifier": self.identifier, "issuer": issuer, "entryType": "barcode"}
        made: Resource = {
            "status": "active" if self.is_active else "inactive",
            "manufacturer": self.manufacturer,
            "modelNumber": self.item.catalogue_number,
            "partNumber": self.item.catalogue_number,
            "deviceName": [{"name": self.item.description, "type": "user-friendly-name"}],
            "patient": {"reference": spell("Patient", self.patient)},
        }
        if self.has_carrier:
            made["udiCarrier"] = [carrier]
        if self.lot.expiry is not None and self.expiry_text is None:
            made["expirationDate"] = moment(datetime.combine(self.lot.expiry, datetime.min.time(), NEW_YORK))
        if self.lot.lot is not None:
            made["lotNumber"] = self.lot.lot
        if self.lot.serial is not None:
            made["serialNumber"] = self.lot.serial
        return made


@dataclass(frozen=True, slots=True)
class DeviceUseRecord:
    """DeviceUseStatement."""

    device: str
    patient: str
    since: datetime
    until: datetime | None
    reason: str | None = None

    def resource(self, spell: Spelling) -> Resource:
        """The resource without its version."""
        made: Resource = {
            "status": "completed" if self.until else "active",
            "subject": {"reference": spell("Patient", self.patient)},
            "device": {"reference": spell("Device", self.device)},
            "timingPeriod": _period(self.since, self.until),
        }
        if self.reason is not None:
            made["reasonCode"] = [{"coding": [{"system": "urn:shs:h8:device-reason", "code": self.reason}]}]
        return made


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """SupplyDelivery: one line of usage, of an item or of a device."""

    case_no: str
    status: str  # completed, abandoned, entered-in-error
    item_no: str | None
    gtin: str | None
    device: DeviceRecord | None
    quantity: Decimal
    occurred_at: datetime
    patient: str
    place: str
    spelling: Spelling = relative  # of the device (Q34)

    def resource(self, spell: Spelling) -> Resource:
        """The resource without its version; a device that it refers to by `#id` stands in it."""
        supplied: Resource = {"quantity": {"value": self.quantity, "unit": "EA"}}
        made: Resource = {}
        if self.device is not None:
            supplied["itemReference"] = {"reference": self.spelling("Device", self.device.identity)}
            if self.spelling is contained:
                made["contained"] = [
                    {"resourceType": "Device", "id": self.device.identity, **self.device.resource(spell)}
                ]
        else:
            coding = [{"system": ITEM_NO, "code": self.item_no}]
            if self.gtin is not None:
                coding.append({"system": GTIN, "code": self.gtin})
            supplied["itemCodeableConcept"] = {"coding": coding}
        return made | {
            "identifier": [{"system": CASE, "value": self.case_no}],
            "status": self.status,
            "patient": {"reference": spell("Patient", self.patient)},
            "suppliedItem": supplied,
            "occurrenceDateTime": moment(self.occurred_at),
            "destination": {"reference": spell("Location", self.place)},
        }


@dataclass(frozen=True, slots=True)
class TriggerRecord:
    """ChargeItem."""

    status: str  # billable, billed, entered-in-error
    code: str
    visit: str
    patient: str
    occurred_at: datetime
    entered_at: datetime
    quantity: Decimal
    price: Decimal | None
    cost_centre: str
    delivery: str | None
    device: str | None

    def resource(self, spell: Spelling) -> Resource:
        """The resource without its version."""
        made: Resource = {
            "status": self.status,
            "code": {"coding": [{"system": CHARGE_CODE, "code": self.code}]},
            "subject": {"reference": spell("Patient", self.patient)},
            "context": {"reference": spell("Encounter", self.visit)},
            "occurrenceDateTime": moment(self.occurred_at),
            "enteredDate": moment(self.entered_at),
            "quantity": {"value": self.quantity},
            "costCenter": {"identifier": {"system": DEPARTMENT, "value": self.cost_centre}},
        }
        if self.price is not None:
            made["priceOverride"] = {"value": self.price, "currency": "USD"}
        if self.delivery is not None:
            made["service"] = [{"reference": spell("SupplyDelivery", self.delivery)}]
        if self.device is not None:
            made["productReference"] = {"reference": spell("Device", self.device)}
        return made


Record = (
    PersonRecord
    | StayRecord
    | PlaceRecord
    | ActRecord
    | DeviceRecord
    | DeviceUseRecord
    | DeliveryRecord
    | TriggerRecord
)


def _period(start: datetime, end: datetime | None) -> Resource:
    return {"start": moment(start)} | ({"end": moment(end)} if end is not None else {})


def moment(value: datetime) -> str:
    """A clinical moment: the hospital's wall clock with its offset."""
    return value.astimezone(NEW_YORK).isoformat(timespec="seconds")


def instant(value: datetime) -> str:
    """A moment of the server: UTC with milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def versioned(kind: str, identity: str, version: int, updated_at: datetime, made: Resource) -> Resource:
    """The whole resource: type, id, version and what the record says."""
    meta = {"versionId": str(version), "lastUpdated": instant(updated_at), **made.get("meta", {})}
    rest = {name: value for name, value in made.items() if name != "meta"}
    return {"resourceType": kind, "id": identity, "meta": meta, **rest}


def deletions(updated_at: datetime, gone: list[tuple[str, str]]) -> Resource:
    """A Bundle whose entries ask DELETE for (type, id) (Bulk Data Access, `deleted`)."""
    return {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": instant(updated_at)},
        "type": "transaction",
        "entry": [{"request": {"method": "DELETE", "url": relative(*each)}} for each in gone],
    }


def line(resource: Mapping[str, Any]) -> str:
    """One resource as a line of NDJSON; decimals keep the digits that they have."""
    return _json(resource)


def _json(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{_json(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, ensure_ascii=False)
