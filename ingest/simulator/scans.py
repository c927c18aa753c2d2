"""What people do with stock before a system knows of it: scans at a device, slips of paper that are keyed later.

Here: `Lot`, `Scan` and `Slip`, the expiry date as a scan tells it.
Not here: what follows from them (stock), the rows that systems keep of it (movements, pou_rows, mmis).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from ingest.simulator.accounts import month_end
from ingest.simulator.events import Item


@dataclass(frozen=True, slots=True)
class Lot:
    """What tells one unit from another in stock; all None for items without lot control."""

    lot: str | None = None
    serial: str | None = None
    expiry: date | None = None


NO_LOT = Lot()


@dataclass(frozen=True, slots=True)
class Scan:
    """What a person did with an item at a device for a case, or outside of one."""

    site: str
    location_id: str
    item: Item
    quantity_each: Decimal
    at: datetime  # when it truly happened, local
    case_typed: str | None = None
    true_case_id: str | None = None
    department: str | None = None  # of the case, else that of the location
    lot: Lot = NO_LOT
    pou_item_no: str | None = None  # another number of the same product
    mrn: str | None = None
    csn: str | None = None
    in_boxes: bool = False
    posted_at: datetime | None = None  # later than usual when the device was offline or a person keys it
    expiry_text: str | None = None  # as scanned, when it differs from the lot's date
    terminal: str = "T1"  # of the location: the fixed one, or T2, a handheld that may be offline
    account: str | None = None  # hospital account of the patient
    keeps_case: bool = False  # the case number is keyed for sure (MMIS)


@dataclass(frozen=True, slots=True)
class Slip:
    """Usage on paper that somebody keys later."""

    scan: Scan
    key: Callable[[Scan], object]


def scanned_expiry(scan: Scan) -> date | None:
    """Expiry date as the scan tells it; day 00 is the last day of the month."""
    text = scan.expiry_text
    if text is None:
        return scan.lot.expiry
    year, month, day = 2000 + int(text[:2]), int(text[2:4]), int(text[4:])
    return date(year, month, day) if day else month_end(date(year, month, 1))
