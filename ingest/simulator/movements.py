"""Movements of stock: each one's number, moment, owner, value and accounts, as every inventory system records it.

Here: `Movements.record`, numbers of devices and documents, the posting of a movement (E09 to E13).
Not here: why something moves and what it is worth (stock, counts, holdings), the rows of the systems (pou_rows, mmis).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from ingest.simulator.amounts import FIVE_PLACES
from ingest.simulator.delivery import CHICAGO
from ingest.simulator.events import Location, Movement, Posting
from ingest.simulator.scans import NO_LOT, Scan, scanned_expiry

if TYPE_CHECKING:
    from ingest.simulator.stock import Stock

STORE_DEPARTMENT = "8020"
HANDHELD = "T2"


def device(location: Location, terminal: str = "T1") -> str:
    """Identity of a device: the location's code and the terminal."""
    return f"{location.pou_code}-{terminal}"


class Movements:
    """Records what moves."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        self.world, self.plan, self.chance = stock.world, stock.plan, stock.chance
        self._sequence: dict[str, int] = {}
        self._uploaded: dict[str, datetime] = {}  # location -> last upload of its handheld
        self._documents = 0

    def document(self, prefix: str) -> str:
        """The next number of a document of an inventory system."""
        self._documents += 1
        return f"{prefix}{self._documents:08d}"

    def record(
        self,
        scan: Scan,
        txn_type: str,
        quantity: Decimal,
        ref_doc: str | None = None,
        ref_line: int | None = None,
        amount: Decimal | None = None,
        unit_cost: Decimal | None = None,
        event: str | None = None,
        reason: str | None = None,
        owner: str = "OWNED",
        receipt_key: str | None = None,
        po_key: str | None = None,
        pair: str | None = None,
        to: str | None = None,
    ) -> Movement:
        """Record a movement whose value is known, and post it; gives it as the world remembers it."""
        location = self.world.locations[scan.location_id]
        item = scan.item
        number = scan.pou_item_no or self.stock.number(scan.site, item)
        txn_id = self._txn_id(scan.site, location, scan.terminal)
        stream = self.chance.stream("scan", txn_id)
        posted_at = scan.posted_at or scan.at + timedelta(seconds=stream.integer(40, 600))
        if scan.terminal == HANDHELD:
            # What a handheld holds back goes out in order, so an offline one leaves no gap (Q55).
            posted_at = self._uploaded[location.location_id] = max(
                posted_at, self._uploaded.get(location.location_id, posted_at)
            )
        happened_at = (scan.at + self._drift(location, scan.at)).astimezone(self.world.sites[scan.site].clock)
        case_typed = scan.case_typed
        if self.stock.materials is not None and not self.stock.materials.names_case(scan):
            case_typed = None
        if txn_type != "COUNT" and location.is_perpetual:
            lot = scan.lot if item.is_lot_tracked else NO_LOT
            self.stock.holdings.put((scan.location_id, number, owner), lot, quantity)
        department = scan.department or location.department
        role = None
        if event in ("E09", "E11", "E10"):
            role = "IMPLANT_EXP" if item.item_class == "IMPLANT" and event != "E10" else "SUPPLY_EXP"
        elif event == "E12":
            role, department = "OBSOLESCENCE", STORE_DEPARTMENT
        elif event == "E13":
            role, department = "INV_ADJ", STORE_DEPARTMENT
        uom, in_uom = "EA", quantity
        box = next((package for package in item.packages if package.uom == "BX"), None)
        if scan.in_boxes and box is not None and quantity % box.each == 0:
            uom, in_uom = "BX", quantity / box.each
        if unit_cost is None and amount is not None and quantity:
            unit_cost = (amount / abs(quantity)).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        moved = Movement(
            txn_id=txn_id,
            txn_type=txn_type,
            site=scan.site,
            location_id=scan.location_id,
            pou_item_no=number,
            item_key=item.key,
            quantity_each=quantity,
            owner=owner,
            lot=scan.lot.lot,
            serial=scan.lot.serial,
            case_typed=case_typed,
            true_case_id=scan.true_case_id,
            ref_doc=ref_doc,
            ref_line=ref_line,
            happened_at=happened_at,
            posted_at=posted_at,
            erp_amount=amount,
            erp_unit_cost=unit_cost,
            expiry_date=scanned_expiry(scan),
            reason=reason,
            event=event,
            department=department,
            expense_role=role,
            pair_txn_id=pair,
            receipt_key=receipt_key,
            po_key=po_key,
            uom=uom,
            quantity_uom=in_uom,
            to_location_id=to if event == "E15" or self.world.sites[scan.site].stock_system == "mmis" else None,
            erp=self.world.erp_on(scan.site, posted_at.astimezone(CHICAGO).date()) if event else None,
        )
        if (
            self.stock.materials is not None
            and moved.txn_type == "CONSIGN_IN"
            and self.stock.materials.keeps(scan.site)
        ):
            return moved  # the closet of an MMIS is filled without a row (landscape 7.2)
        self.stock.book.moved(moved)
        if self.stock.book.is_lost(moved):
            return moved
        self.world.movements.append(moved)
        if moved.erp == "erp_fusion" and self.world.sites[moved.site].erp == "erp_lawson":
            self.stock.holdings.foresee(moved)
        if role is not None and amount:
            self._post(moved, role, department, amount)
        if self.stock.materials is not None and self.stock.materials.keeps(scan.site):
            self.stock.materials.transaction(scan, moved)
        else:
            self.stock.rows.transaction(scan, moved, location, stream.integer(1, 40))
        return moved

    def _txn_id(self, site: str, location: Location, terminal: str) -> str:
        """The next number of the device, or of the MMIS database."""
        if self.stock.materials is not None and self.stock.materials.keeps(site):
            return self.stock.materials.next_number(site)
        source = device(location, terminal)
        sequence = self._sequence.get(source, 100) + 1
        if self.plan.defects and self.plan.quirk("Q56", "gap", source, sequence, share=0.004):
            sequence += self.chance.stream("lost rows", source, sequence).integer(1, 3)
        self._sequence[source] = sequence
        return f"{source}-{sequence:09d}"

    def _drift(self, location: Location, at: datetime) -> timedelta:
        """Q54: device clocks drift by minutes; one cabinet did not follow the switch to daylight saving time."""
        clock = device(location)
        if not self.plan.shows("Q54") or location.mmis_no is not None:
            return timedelta()
        sites = [site.pou_site for site in self.world.hospitals() if site.stock_system == "pou"]
        if sites and clock == f"{sites[0]}-CAB-01-T1" and date(at.year, 3, 8) <= at.date() < date(at.year, 3, 20):
            return timedelta(minutes=-61)
        stream = self.chance.stream("drift", clock)
        return timedelta(minutes=stream.integer(-3, 5)) if stream.flag(0.3) else timedelta()

    def _post(self, moved: Movement, role: str, department: str, amount: Decimal) -> None:
        erp = moved.erp or self.world.sites[moved.site].erp
        adds = moved.quantity_each > 0
        posting_date = moved.posted_at.astimezone(CHICAGO).date()
        sides = ("INV_ASSET", "0000", role, department) if adds else (role, department, "INV_ASSET", "0000")
        self.world.postings.append(
            Posting(
                erp=erp,
                site=moved.site,
                event=moved.event or "",
                system="IC" if erp == "erp_lawson" else "CA",
                category="Inventory",
                posting_date=posting_date,
                debit_role=sides[0],
                debit_department=sides[1],
                credit_role=sides[2],
                credit_department=sides[3],
                amount=amount,
                subledger="INV",
                subledger_key=moved.txn_id,
                known_at=moved.posted_at,
            )
        )
