"""Rows of the point-of-use system: transactions, scans at cases, counts, and its item, alias and location masters.

Here: `pou.txn`, `pou.case_usage`, `pou.count`, `pou.item`, `pou.item_alias`, `pou.location` (Q60, Q61, the
replays of Q56).
Not here: what moved (movements), the balances of an evening (shelves).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ingest.simulator.accounts import month_end
from ingest.simulator.delivery import CHICAGO, Row, Value
from ingest.simulator.events import Item, Location, Movement, PackageFactor
from ingest.simulator.movements import device
from ingest.simulator.scans import Lot, Scan

if TYPE_CHECKING:
    from ingest.simulator.stock import Stock


class PouRows:
    """Writes what the point-of-use system knows."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        self.world, self.outbox, self.plan, self.chance = stock.world, stock.outbox, stock.plan, stock.chance
        self._scans = 0
        self._sent: set[str] = set()

    def opening(self) -> None:
        """Register the masters; each is sent once, locations again when a site has moved to the other ERP."""
        self.outbox.snapshot("pou", "item", lambda day: self._once("item", self._item_rows))
        self.outbox.snapshot("pou", "item_alias", lambda day: self._once("alias", self._alias_rows))
        self.outbox.snapshot("pou", "location", lambda day: self._once(f"location {self._erps()}", self._location_rows))

    def _once(self, name: str, rows: Callable[[], Iterable[Row]]) -> Iterable[Row] | None:
        if name in self._sent:
            return None
        self._sent.add(name)
        return rows()

    def _erps(self) -> str:
        return " ".join(site.erp for site in self.world.sites.values())

    def _expiry_text(self, scan: Scan) -> str | None:
        """Expiry as scanned; Q61: the last day of a month is often written as day 00."""
        expiry = scan.lot.expiry
        if scan.expiry_text is not None or expiry is None:
            return scan.expiry_text
        if expiry == month_end(expiry) and self.plan.quirk("Q61", scan.item.key, scan.lot.lot, share=0.5):
            return expiry.strftime("%y%m00")
        return expiry.strftime("%y%m%d")

    def transaction(self, scan: Scan, moved: Movement, location: Location, bin_number: int) -> None:
        """Show a movement; now and then its row comes again hours later (Q56)."""
        item = scan.item
        lot = scan.lot
        expiry = self._expiry_text(scan)
        cost = None
        if moved.owner == "OWNED" and location.is_asset:
            cost = self.stock.holdings.night_cost(location, item)
        udi = None
        if (lot.lot or lot.serial) and item.udi_type == 1:
            udi = self._scanned(moved, item, lot, expiry)
        row: dict[str, Value] = {
            "txn_id": moved.txn_id,
            "txn_seq": int(moved.txn_id.rsplit("-", 1)[1]),
            "device_id": device(location, scan.terminal),
            "txn_type": moved.txn_type,
            "site": self.world.sites[scan.site].pou_site,
            "location_code": location.pou_code,
            "bin": f"{'ABCDEF'[bin_number % 6]}{bin_number:02d}",
            "item_no": moved.pou_item_no,
            "mfr_cat_no": item.catalogue_number,
            "gtin": item.pou_gtin,
            "udi_raw": udi,
            "lot": lot.lot,
            "serial": lot.serial,
            "expiry_date": expiry,
            "qty": moved.quantity_uom,
            "uom": moved.uom,
            "qty_each": moved.quantity_each,
            "unit_cost": cost,
            "cost_uom": "EA" if cost is not None else None,
            "patient_mrn": scan.mrn,
            "csn": scan.csn,
            "case_no": moved.case_typed,
            "ref_doc": moved.ref_doc,
            "ref_line": moved.ref_line if moved.ref_line is not None else (1 if moved.ref_doc else None),
            "user_id": f"U{1000 + bin_number}",
            "reason_code": moved.reason,
            "txn_ts": moved.happened_at.astimezone(CHICAGO),
            "posted_at": moved.posted_at,
            "owner_type": moved.owner,
            "on_hand_after": self.stock.holdings.balance(location.location_id, moved.pou_item_no, moved.owner)
            if location.is_perpetual
            else None,
        }
        self.outbox.emit("pou", "txn", row, moved.posted_at)
        if self.plan.quirk("Q56", "replay", moved.txn_id, share=0.002):
            self.outbox.emit("pou", "txn", row, moved.posted_at + timedelta(hours=7))

    def _scanned(self, moved: Movement, item: Item, lot: Lot, expiry: str | None) -> str:
        """What a scanner reads of a GS1 carrier; some makers print the expiry last.

        Q60: the separator behind a field of variable length shows as ~, or is lost.
        """
        identity = f"10{lot.lot}" if lot.lot else f"21{lot.serial}"
        if self.chance.stream("carrier", item.manufacturer_id).flag(0.4):
            separator = "" if self.plan.quirk("Q60", moved.txn_id) else "~"
            return f"01{item.packages[0].gtin}{identity}{separator}17{expiry}"
        return f"01{item.packages[0].gtin}17{expiry}{identity}"

    def scan_from_cart(self, scan: Scan, disposition: str, picked: Movement) -> None:
        """Scan at the case what was issued by a pick before: a row of case_usage and no movement (Q66)."""
        self.scan(scan, disposition, picked, scan.at + timedelta(minutes=3))

    def scan(self, scan: Scan, disposition: str, moved: Movement | None, posted_at: datetime | None = None) -> None:
        """Show a scan at a case; the movement that it made, if any, is named."""
        if self.world.sites[scan.site].stock_system != "pou":
            return
        self._scans += 1
        posted = posted_at or (moved.posted_at if moved else scan.posted_at or scan.at + timedelta(minutes=3))
        expiry = self._expiry_text(scan)
        self.outbox.emit(
            "pou",
            "case_usage",
            {
                "scan_id": f"SC{self._scans:010d}",
                "site": self.world.sites[scan.site].pou_site,
                "case_no": scan.case_typed,
                "item_no": scan.pou_item_no or scan.item.pou_no,
                "disposition": disposition,
                "qty_each": scan.quantity_each,
                "lot": scan.lot.lot,
                "serial": scan.lot.serial,
                "expiry_date": expiry,
                "issue_txn_id": moved.txn_id if moved else None,
                "scan_ts": scan.at,
                "posted_at": posted,
            },
            posted,
        )

    def counted(
        self,
        item: Item,
        location_id: str,
        expected: Decimal,
        delta: Decimal,
        at: datetime,
        document: str,
        line: int,
        adjusted: Movement | None,
        posted_at: datetime,
    ) -> None:
        """Show a line of a cycle count."""
        location = self.world.locations[location_id]
        self.outbox.emit(
            "pou",
            "count",
            {
                "count_doc": document,
                "line_no": line,
                "count_type": "CYCLE",
                "site": self.world.sites[location.site].pou_site,
                "location_code": location.pou_code,
                "item_no": item.pou_no,
                "expected_each": expected,
                "counted_each": expected + delta,
                "variance_reason": "MISCOUNT" if delta else None,
                "counted_by": f"U{1000 + line}",
                "counted_ts": at,
                "adjust_txn_id": adjusted.txn_id if adjusted else None,
                "posted_at": posted_at,
            },
            posted_at,
        )

    def _tell_factors(self, item: Item) -> None:
        """What the package text says of each unit, reduced to EACH."""
        for package in item.packages[1:]:
            self.world.package_factors.append(
                PackageFactor("pou", str(item.pou_no), package.uom, "EA", item.each_in("pou", package))
            )

    def _item_rows(self) -> Iterable[Row]:
        since = datetime(2024, 10, 1, 6, tzinfo=CHICAGO)
        for item in self.world.items.values():
            if item.pou_no is None:
                continue
            packages = {package.uom: package for package in item.packages}
            text = None
            if "BX" in packages:
                box = item.each_in("pou", packages["BX"])
                text = f"BX={box} EA"
                if "CA" in packages:
                    text = f"CA={item.each_in('pou', packages['CA']) / box} BX; {text}"
            self._tell_factors(item)
            for place, number in enumerate((item.pou_no, *item.pou_alias_nos)):
                yield {
                    "item_no": number,
                    "description": item.description if place == 0 else f"{item.description} BOX",
                    "erp_item_no": item.pou_erp_item_no if place == 0 else item.legacy_no or item.cloud_no,
                    "mfr_name": item.pou_manufacturer_name,
                    "mfr_cat_no": item.catalogue_number if place == 0 else item.catalogue_number.replace("-", ""),
                    "gtin_each": item.pou_gtin,
                    "hibc": item.hibc,
                    "unspsc": "42290000" if item.item_class != "IMPLANT" else "42320000",
                    "stock_uom": "EA",
                    "package_string": text,
                    "lot_tracked": item.is_lot_tracked,
                    "serial_tracked": item.is_serial_tracked,
                    "expiry_tracked": item.is_lot_tracked,
                    "chargeable": item.is_chargeable,
                    "charge_code": item.charge_code,
                    "stock_class": item.stock_class,
                    "status": "A",
                    "merged_into_item_no": item.pou_no if place and item.is_alias_merged else None,
                    "updated_at": since,
                }

    def _alias_rows(self) -> Iterable[Row]:
        for item in self.world.items.values():
            if item.pou_no is None or item.usage_class == "unmapped_pou":
                continue
            if item.pou_gtin is not None:
                for package in item.packages[1:]:
                    yield {"item_no": item.pou_no, "alias_type": "GTIN", "alias": package.gtin, "uom": package.uom}
            if item.vendor_catalogue_number != item.catalogue_number:
                yield {"item_no": item.pou_no, "alias_type": "VENDOR_CAT", "alias": item.vendor_catalogue_number}
            if item.hibc is not None:
                yield {"item_no": item.pou_no, "alias_type": "HIBC", "alias": item.hibc}
            for number in item.pou_alias_nos:
                yield {"item_no": item.pou_no, "alias_type": "OLD_ITEM", "alias": number}

    def _location_rows(self) -> Iterable[Row]:
        for location in self.world.locations.values():
            if location.mmis_no is not None:
                continue
            yield {
                "site": self.world.sites[location.site].pou_site,
                "location_code": location.pou_code,
                "description": f"{location.site} {location.location_type.replace('_', ' ')}",
                "location_type": location.location_type,
                "perpetual": location.is_perpetual,
                "asset": location.is_asset,
                "owner_default": "CONSIGNED" if location.is_consigned else "OWNED",
                "department_code": location.department,
                "erp_location": location.erp_code,
                "active": True,
            }
