"""Working records of billing: accounts, what billing is asked to charge, what it is told, what is due.

Here: what clinic and census pass to charging, and what charging passes on.
Not here: the events that the world keeps (events), how rows are written (billing_rows).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from ingest.simulator.events import ChargeTransaction, Item
from ingest.simulator.masters import ChargeCode


@dataclass(slots=True)
class Account:
    """A hospital account as billing keeps it."""

    account: str
    site: str
    csn: str
    patient_id: str
    patient_name: str
    birth_date: date
    ssn: str
    phone: str
    base_class: int
    is_research: bool
    admitted_at: datetime
    discharged_at: datetime | None
    department: str  # where its charges arise
    is_surgical: bool
    payor: str = "1001"
    combined_into: str | None = None
    bill_status: int = 1
    transactions: list[ChargeTransaction] = field(default_factory=list)
    of_ward: Decimal = Decimal(0)  # charges that come in bulk (census), besides the transactions
    is_touched: bool = False  # carries a planted charge: no further changes
    is_credited: bool = False  # a device credit is due: whether its claim says so is planned


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """One supply or implant of a posted log that billing is asked to charge."""

    log_id: str
    account: str
    site: str
    department: str
    supply_id: str | None
    implant_id: str | None
    item: Item | None
    code: ChargeCode
    quantity_each: Decimal
    unit_cost: Decimal
    service_date: date
    posted_at: datetime
    location_code: str | None
    mode: str = "normal"
    wasted_each: Decimal = Decimal(0)
    item_class: str = "SUPPLY"
    is_by_hand: bool = False  # unit charge entry: no log, no supply
    usage_id: str | None = None  # documented line behind it
    may_be_taken_back: bool = False


@dataclass(frozen=True, slots=True)
class ToldCharge:
    """A charge or credit as a department sends it to billing."""

    request: ChargeRequest
    transaction_id: str
    quantity: Decimal  # in charge units, not signed
    amount: Decimal
    at: datetime
    is_credit: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """A charge that posts on a later day."""

    request: ChargeRequest
    ucl_id: str | None
    tar_id: str | None
