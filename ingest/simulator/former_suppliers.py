"""Suppliers that the health system no longer buys from: when each ERP closed them.

Here: a few suppliers without items, contracts or orders, and the days from which they or their sites are inactive.
Not here: invoices that come from them all the same (services), the rows that say so (legacy, cloud).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ingest.simulator.events import Supplier, SupplierClosure, World

CHICAGO = ZoneInfo("America/Chicago")
LONG_AGO = date(2024, 11, 30)
DAY = timedelta(days=1)
NAMES = ("Harbor Instrument Exchange", "Lakeview Loaner Sets", "Old Mill Courier")


def add_former_suppliers(world: World, first: int) -> None:
    """Add the suppliers, numbered from `first`, and their closures to the world.

    The first was closed before the world opens, the second in both ERPs while it runs, of the third only the cloud
    site. A legacy supplier is inactive from the folder date of the first snapshot that says so, a cloud one from its
    end date, a cloud site from its date of inactivity.
    """
    later = world.start + timedelta(days=max((world.end - world.start).days * 3 // 10, 2))
    for number, name in enumerate(NAMES, start=first):
        world.suppliers[f"SUP{number:05d}"] = Supplier(
            supplier_id=f"SUP{number:05d}",
            name=name,
            parent_supplier_id=None,
            role="SERVICE",
            lawson_no=str(20100 + number * 7),
            cloud_no=str(50100 + number * 3),
            cloud_vendor_id=300000200000000 + number,
            cloud_site_id=300000210000000 + number,
            duns=f"95{number:07d}",
            is_ers=False,
            terms_days=30,
        )
    gone, closing, moved = (f"SUP{first + place:05d}" for place in range(len(NAMES)))
    eve = world.start - DAY
    world.supplier_closures += [
        _closure("erp_lawson", gone, "supplier", world.start, eve),
        _closure("erp_fusion", gone, "supplier", LONG_AGO, eve),
        _closure("erp_lawson", closing, "supplier", later + DAY, later),
        _closure("erp_fusion", closing, "supplier", later + DAY, later),
        _closure("erp_fusion", moved, "site", later + DAY, later),
    ]


def _closure(erp: str, supplier_id: str, level: str, inactive_from: date, keyed_on: date) -> SupplierClosure:
    return SupplierClosure(erp, supplier_id, level, inactive_from, datetime.combine(keyed_on, time(18), CHICAGO))


def inactive_from(world: World, erp: str, supplier_id: str, level: str, d: date) -> date | None:
    """Date from which a supplier or its site is inactive, as an ERP shows it on the evening of `d`."""
    for closure in world.supplier_closures:
        if (closure.erp, closure.supplier_id, closure.level) == (erp, supplier_id, level):
            return closure.inactive_from if closure.known_at.date() <= d else None
    return None
