"""Working records of the clinical side: patients, planned and performed cases, lines of usage in the making.

Here: what clinic passes to chart while a case is made up.
Not here: the events that the world keeps (events).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from ingest.simulator.assortment import Procedure
from ingest.simulator.charge_records import Account
from ingest.simulator.events import Case, Item, Location
from ingest.simulator.scans import Lot, Scan

ZERO = Decimal(0)


@dataclass(slots=True)
class Patient:
    """A person; everything but the numbers is only ever sent, never needed."""

    patient_id: str
    mrn: str
    name: str
    birth_date: date
    ssn: str
    phone: str
    address: str
    email: str
    is_test: bool


@dataclass(slots=True)
class PlannedCase:
    """A case on the schedule."""

    case_id: str
    log_id: str
    site: str
    day: date
    procedure: Procedure
    surgeon_id: str
    surgeon_name: str
    room: int
    start: datetime
    patient: Patient
    surgical_csn: str
    is_cancelled: bool = False
    cancel_reason: int | None = None


@dataclass(slots=True)
class Line:
    """One line of usage while a case is being made up."""

    kind: str  # pick_list, implant, procedural
    item: Item | None
    used: Decimal
    wasted: Decimal
    location: Location | None  # where it came from; None: brought in (bill-only, one-time)
    lot: Lot = field(default_factory=Lot)
    stock_class: str = "STOCK"
    implant_id: str | None = None
    record_id: str | None = None
    usage_id: str = ""
    scan: str = "normal"
    charge: str = "normal"
    tag: str | None = None
    is_location_empty: bool = False
    is_component: bool = False
    recorded_lot: Lot | None = None  # as the clinical record holds it, when it differs from what was scanned
    expiry_text: str | None = None
    scanned: Decimal | None = None
    cost: Decimal = ZERO
    one_time_family: Item | None = None
    flag: str | None = None
    warranty_completed: date | None = None  # of an explanted device
    replaces: str = ""  # it takes the place of a device of the same item: why, and what comes of it (UC-16)
    untraced: str = ""  # what the implant record lacks: no identifier, no lot
    item_no: str | None = None  # number by which a record without supply ids documents it

    @property
    def supply_id(self) -> str | None:
        """The documented item."""
        return self.item_no or (self.item.supply_id if self.item is not None else None)

    @property
    def is_owned_stock(self) -> bool:
        """Whether it came from a shelf of ours."""
        return self.stock_class == "STOCK" and self.location is not None and self.location.is_perpetual


@dataclass(slots=True)
class Performed:
    """A performed case with everything that may still change about it."""

    plan: PlannedCase
    case: Case
    lines: list[Line]
    account: Account
    csn: str
    mode: str  # normal, unposted, void, test
    pick_list_id: str
    extra_lines: list[Line] = field(default_factory=list)  # documented by an addendum later
    extra_scans: list[tuple[Scan, int | None]] = field(default_factory=list)  # never documented; days until returned
    strays: list[tuple[Item, str]] = field(default_factory=list)  # charged without usage, and why
    documented: int = 0  # usage lines on record
    mistaken: Line | None = None  # written down and taken back later (Q36)
