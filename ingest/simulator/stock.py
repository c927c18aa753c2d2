"""Stock of every site: what goes in and out, where it lies, how shelves are refilled, what must be ordered.

Here: what purchasing, cases and evenings do with stock; the opening stock.
Not here: balances and values (holdings), counts and corrections (counts), recorded movements (movements), the rows of
the point-of-use system (pou_rows, shelves) and of the MMIS (mmis), the ERP's own rows (legacy, cloud), why a case uses
something (clinic), orders and receipts (purchasing).

At a site with an MMIS usage waits on paper (`Slip`) and is keyed the next morning with the business date of its case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial

from ingest.simulator.accounts import month_end
from ingest.simulator.amounts import ZERO, money
from ingest.simulator.chance import Chance
from ingest.simulator.counts import Counts
from ingest.simulator.delivery import CHICAGO, Outbox
from ingest.simulator.events import Item, Location, Movement, OnHand, ReplenishmentNeed, World
from ingest.simulator.holdings import Holdings, Level
from ingest.simulator.mmis import Materials
from ingest.simulator.movements import Movements
from ingest.simulator.plan import DefectPlan
from ingest.simulator.pou_rows import PouRows
from ingest.simulator.scans import NO_LOT, Lot, Scan, Slip
from ingest.simulator.shelves import Shelves

LATE_MOVES = 0.1  # share of the evenings of a site with an MMIS (Q76)
ONE_LINE = Decimal(3)  # most EACH of a lot that one line on paper is taken for
CENTRE = "CDC"
CENTRE_SHARE = 0.62  # of a storeroom's items come from the distribution centre (landscape 7.1)
PAR_DAILY = 0.7  # times a hospital's share of the beds: of a par area's items that are topped up in an evening
PAR_DEPTH = 2  # every item of a par area is in each second one
ORDER_PATIENCE = timedelta(days=25)  # an order that never arrives stops counting as on order


class Stock:
    """Everything that lies in the locations of the simulated sites."""

    def __init__(self, world: World, outbox: Outbox, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world and its parts; nothing lies anywhere until `opening`."""
        self.world = world
        self.outbox = outbox
        self.plan = plan
        self.chance = chance
        self.holdings = Holdings(world)
        self.rows = PouRows(self)
        self.movements = Movements(self)
        self.counts = Counts(self)
        self._on_order: dict[tuple[str, int], list[tuple[datetime, Decimal]]] = {}
        self._recorded: dict[tuple[str, str, str], Decimal] = {}
        self._slips: dict[str, list[Slip]] = {}
        self._numbers: dict[tuple[str, int], str] = {}
        self.materials: Materials | None = None
        self.book = Shelves(self)

    # ------------------------------------------------------------------------------------- what purchasing relies on

    def receive(
        self,
        site: str,
        location_id: str,
        item: Item,
        quantity_each: Decimal,
        unit_cost_each: Decimal,
        at: datetime,
        receipt_key: str,
        po_key: str,
        amount: Decimal | None = None,
        lot: str | None = None,
        serial: str | None = None,
        expiry: date | None = None,
        event: str = "E01",
    ) -> Movement:
        """Put a receipt of owned stock away: quantity, value and moving average.

        `amount` is what the ERP booked (E01, E23), by default quantity x unit cost rounded half up. A negative quantity
        takes a receipt back (correction). The posting itself is the caller's.
        """
        value = money(quantity_each * unit_cost_each) if amount is None else amount
        kept = Lot(lot, serial, expiry)
        if item.is_lot_tracked and lot is None and quantity_each > 0:
            kept = self.new_lot(item, at.date(), receipt_key)
            kept = self.book.received_lot(site, item, kept, quantity_each, at, receipt_key)
        self.holdings.arrive(site, location_id, item, quantity_each, value)
        if quantity_each > 0:
            self.cancel_order(location_id, item.key, quantity_each)
        scan = Scan(site, location_id, item, quantity_each, at, lot=kept)
        return self.movements.record(
            scan,
            "RECEIPT",
            quantity_each,
            ref_doc=po_key.strip(),
            amount=abs(value),
            event=event,
            receipt_key=receipt_key,
            po_key=po_key,
        )

    def return_to_supplier(
        self,
        site: str,
        location_id: str,
        item: Item,
        quantity_each: Decimal,
        amount: Decimal,
        at: datetime,
        receipt_key: str,
        po_key: str,
        event: str = "E07",
    ) -> Movement:
        """Send owned stock back: `quantity_each` (positive) leaves with `amount` (E07 or E23, the caller's posting)."""
        self.holdings.arrive(site, location_id, item, -quantity_each, -amount)
        scan = Scan(site, location_id, item, quantity_each, at)
        return self.movements.record(
            scan,
            "ADJUST",
            -quantity_each,
            ref_doc=po_key.strip(),
            amount=abs(amount),
            event=event,
            reason="RTV",
            receipt_key=receipt_key,
            po_key=po_key,
        )

    def consign_in(
        self, site: str, item: Item, quantity_each: Decimal, at: datetime, po_key: str | None = None
    ) -> None:
        """Put consigned stock (a replacement) into the closet, without value."""
        closet = self.location(site, "CNS")
        lot = self.new_lot(item, at.date(), f"{po_key}|{at.isoformat()}")
        scan = Scan(site, closet.location_id, item, quantity_each, at, lot=lot)
        self.movements.record(scan, "CONSIGN_IN", quantity_each, ref_doc=po_key, owner="CONSIGNED")

    def cancel_order(self, location_id: str, item_key: int, quantity_each: Decimal) -> None:
        """Forget an ordered quantity: it arrived, or it never will and is asked for again."""
        pending = self._on_order.get((location_id, item_key), [])
        rest = []
        for since, open_each in pending:
            taken = min(open_each, quantity_each)
            quantity_each -= taken
            if open_each > taken:
                rest.append((since, open_each - taken))
        self._on_order[(location_id, item_key)] = rest

    def ship(self, item: Item, quantity_each: Decimal, at: datetime, transfer: str, line: int, to: str) -> Movement:
        """Send goods from the distribution centre to a hospital at its average (E15, the caller's posting)."""
        warehouse = f"{CENTRE}-WHS"
        amount, unit_cost = self.holdings.leave(CENTRE, warehouse, item, quantity_each)
        scan = Scan(CENTRE, warehouse, item, quantity_each, at)
        return self.movements.record(
            scan,
            "TRANSFER_OUT",
            -quantity_each,
            transfer,
            line,
            amount=amount,
            unit_cost=unit_cost,
            event="E15",
            to=to,
        )

    def take_in(
        self,
        site: str,
        location_id: str,
        item: Item,
        quantity_each: Decimal,
        amount: Decimal,
        unit_cost: Decimal,
        at: datetime,
        transfer: str,
        line: int,
    ) -> Movement:
        """Put away what came from the distribution centre at the cost shipped (E16, the caller's posting)."""
        self.holdings.arrive(site, location_id, item, quantity_each, amount)
        self.cancel_order(location_id, item.key, quantity_each)
        scan = Scan(site, location_id, item, quantity_each, at)
        return self.movements.record(
            scan, "TRANSFER_IN", quantity_each, transfer, line, amount=amount, unit_cost=unit_cost, event="E16"
        )

    def number(self, site: str, item: Item) -> str:
        """Number of an item in the inventory system of a site, as entity keys write it; empty when it has none."""
        number = self._numbers.get((site, item.key))
        if number is None:
            number = self._numbers[site, item.key] = item.stock_number(self.world.sites[site]) or ""
        return number

    def clock(self, site: str, d: date, hour: int, minute: int = 0) -> datetime:
        """A moment on the wall clock of a site."""
        return datetime.combine(d, time(hour, minute), self.world.sites[site].clock)

    def shelves(self, site: str) -> Iterator[tuple[Location, Item, str, Decimal]]:
        """Every shelf of a site: place, item, owner and quantity of all lots; par areas have none but false ones."""
        false = {(place.location_id, item.key): quantity for place, item, quantity in self.counts.false_balances}
        for location_id, item_key in self.holdings.levels:
            location = self.world.locations[location_id]
            if location.site == site and not location.is_perpetual:
                yield location, self.world.items[item_key], "OWNED", false.get((location_id, item_key), ZERO)
        for (location_id, number, owner), shelf in self.holdings.lots.items():
            location = self.world.locations[location_id]
            if location.site == site and location.is_perpetual:
                yield location, self.holdings.item_of[number], owner, sum(shelf.values(), ZERO)

    def on_order(self, location_id: str, item_key: int) -> Decimal:
        """Quantity asked for and not received yet."""
        pending = self._on_order.get((location_id, item_key))
        return sum((quantity for _, quantity in pending), ZERO) if pending else ZERO

    def needs(self, d: date) -> list[ReplenishmentNeed]:
        """What is at or below its reorder point at 20:00 of `d`; it counts as on order from then on."""
        at = datetime.combine(d, time(20), CHICAGO)
        found: list[ReplenishmentNeed] = []
        for (location_id, item_key), level in self.holdings.levels.items():
            location = self.world.locations[location_id]
            item = self.world.items[item_key]
            replenished = location.location_type in ("STOREROOM", "WAREHOUSE")
            if not location.is_asset or not (replenished or self.is_ordered_directly(item)):
                continue
            pending = [
                entry for entry in self._on_order.get((location_id, item_key), []) if at - entry[0] < ORDER_PATIENCE
            ]
            self._on_order[(location_id, item_key)] = pending
            available = self.holdings.owned.get((location_id, item_key), ZERO) + sum(
                (open_each for _, open_each in pending), ZERO
            )
            if available > level.reorder or self.book.is_forgotten((location_id, item_key), d):
                continue
            factor = next((package.each for package in item.packages if package.uom == item.buy_uom), Decimal(1))
            units = ((level.maximum - available) / factor).to_integral_value(rounding="ROUND_CEILING")
            quantity = max(units, Decimal(1)) * factor
            self._on_order[(location_id, item_key)].append((at, quantity))
            found.append(ReplenishmentNeed(location.site, location_id, item_key, quantity, at, "", 0))
        numbered = []
        for site in self.world.sites:
            document = self.movements.document("RP")
            lines = [need for need in found if need.site == site]
            for line, need in enumerate(lines, start=1):
                numbered.append(
                    ReplenishmentNeed(
                        need.site, need.location_id, need.item_key, need.quantity_each, need.needed_at, document, line
                    )
                )
        return numbered

    # ------------------------------------------------------------------------------------------------------- opening

    def opening(self, d: date) -> None:
        """Lay out the stock of the evening of `d` and register the inventory system's snapshots."""
        for item in self.world.items.values():
            if item.pou_no is not None:
                for number in (item.pou_no, *item.pou_alias_nos):
                    self.holdings.item_of[number] = item
            for site in self.world.sites.values():
                if site.mmis_corp is not None:
                    self.holdings.item_of[self.number(site.code, item)] = item
        for site in self.world.sites.values():
            for item in self.world.items.values():
                if self.is_carried(site.code, item):
                    self._lay_out(site.code, item, d)
        self.holdings.open_positions()
        self.holdings.publish_averages(d)
        if any(site.stock_system == "mmis" for site in self.world.sites.values()):
            self.materials = Materials(self)
            self.materials.opening(d)
        if all(site.stock_system != "pou" for site in self.world.sites.values()):
            return
        self.rows.opening()
        self.outbox.snapshot("pou", "onhand", self.book.rows)

    def is_carried(self, site: str, item: Item) -> bool:
        """Whether a site keeps the item in stock: its ERP must know it and the location kind must exist."""
        if not self.number(site, item) or not item.home:
            return False
        if site == CENTRE:
            return self._is_kept_by_centre(item)
        if item.usage_class != "unmapped_pou" and not self.is_known(site, item):
            return False
        return item.home not in ("CTH", "IRR") or f"{site}-{item.home}" in self.world.locations

    def is_known(self, site: str, item: Item) -> bool:
        """Whether the item has a number in the site's ERP, in both where the site moves while the world runs."""
        numbers = [item.cloud_no if self.world.sites[site].erp == "erp_fusion" else item.legacy_no]
        if self.world.is_converted(site):
            numbers = [item.legacy_no, item.cloud_no]
        return None not in numbers

    def _is_kept_by_centre(self, item: Item) -> bool:
        """Whether the distribution centre keeps the item: a share of the storeroom goods that the cloud knows."""
        return (
            item.cloud_item_id is not None
            and item.pou_no is not None
            and item.is_active
            and item.usage_class != "unmapped_pou"
            and item.stock_class == "STOCK"
            and not item.is_lot_tracked
            and not self.is_ordered_directly(item)
            and self.chance.stream("kept by the centre", item.key).flag(CENTRE_SHARE)
        )

    def is_supplied_by_centre(self, site: str, item: Item) -> bool:
        """Whether a hospital's storeroom gets the item by transfer and not from its supplier."""
        return CENTRE in self.world.sites and site != CENTRE and self._is_kept_by_centre(item)

    def location(self, site: str, suffix: str, key: int = 0) -> Location:
        """The location of a site by its suffix; of several cabinets or par areas the one that holds item `key`."""
        if suffix == "CAB" and self.world.sites[site].mmis_corp is not None:
            suffix = "PAR"  # without cabinets the goods lie in par areas
        if suffix in ("CAB", "PAR"):
            several = [name for name in self.world.locations if name.startswith(f"{site}-{suffix}")]
            return self.world.locations[several[key % len(several)]]
        return self.world.locations[f"{site}-{suffix}"]

    def home(self, site: str, item: Item) -> Location:
        """Where a site uses the item from."""
        return self.location(site, item.home, item.key)

    @staticmethod
    def is_ordered_directly(item: Item) -> bool:
        """Whether the place of use orders the item itself, without the storeroom."""
        return item.item_class == "IMPLANT" and item.stock_class == "STOCK"

    def _lay_out(self, site: str, item: Item, d: date) -> None:
        stream = self.chance.stream("stock", "opening", site, item.key)
        factor = max(package.each for package in item.packages if package.uom in ("EA", "BX"))
        average = item.price_each
        if site == CENTRE:
            step = (Decimal(1) if factor < 10 else factor / 2) * max(len(self.world.sites) - 1, 1)
            level = Level(step * stream.integer(24, 34), step * stream.integer(36, 42))
            warehouse = self.location(site, "WHS")
            self.holdings.levels[(warehouse.location_id, item.key)] = level
            self._place(site, warehouse, item, level.reorder + step * stream.integer(0, 6), average, None, d)
            return
        home = self.home(site, item)
        if item.usage_class == "unmapped_pou":
            self._place(site, home, item, Decimal(400), ZERO, None, d)
            return
        if item.stock_class == "CONSIGN":
            for piece in range(stream.integer(3, 6)):
                self._place(site, home, item, Decimal(1), ZERO, self.new_lot(item, d, f"{site}|{piece}"), d)
            return
        if self.is_ordered_directly(item):
            level = Level(Decimal(stream.integer(4, 7)), Decimal(stream.integer(12, 18)))
            self.holdings.levels[(home.location_id, item.key)] = level
            for piece in range(3):
                lot = self.book.opening_lot(site, item, self.new_lot(item, d, f"{site}|{piece}"), str(piece), d)
                self._place(site, home, item, Decimal(stream.integer(2, 5)), average, lot, d)
            return
        store = self.location(site, "STR")
        step = Decimal(1) if factor < 10 else factor / 2
        # What par areas use day by day needs more on hand than what waits for its case.
        least, most = (14, 18) if home.location_type == "PAR" else (8, 12)
        level = Level(step * stream.integer(least, most), step * (most + stream.integer(2, 5)))
        self.holdings.levels[(store.location_id, item.key)] = level
        self._place(site, store, item, level.reorder + step * stream.integer(0, 4), average, None, d)
        if home.location_type == "PAR":
            for area in self._par_areas(site, home, item):
                self.holdings.levels[(area.location_id, item.key)] = Level(step, step * 4)
            return
        near = Level(step * stream.integer(8, 10), step * stream.integer(12, 14))
        self.holdings.levels[(home.location_id, item.key)] = near
        self._place(
            site, home, item, near.maximum - step * stream.integer(0, 4), average if home.is_asset else ZERO, None, d
        )
        for number in self.aliases(site, item):
            self._place(site, home, item, step * 60, average, None, d, number)

    def _par_areas(self, site: str, home: Location, item: Item) -> Iterator[Location]:
        """The par areas of a site that keep an item: its home, and every second of the others."""
        for place, location in enumerate(self.world.site_locations(site)):
            if location is home or (location.location_type == "PAR" and (place + item.key) % PAR_DEPTH == 0):
                yield location

    def aliases(self, site: str, item: Item) -> tuple[str, ...]:
        """Further numbers of an item in the inventory system of a site."""
        return item.pou_alias_nos if self.world.sites[site].stock_system == "pou" else ()

    def _place(
        self,
        site: str,
        location: Location,
        item: Item,
        quantity: Decimal,
        average: Decimal,
        lot: Lot | None,
        d: date,
        number: str | None = None,
    ) -> None:
        owner = "CONSIGNED" if item.stock_class == "CONSIGN" else "OWNED"
        shelf = self.holdings.lots.setdefault((location.location_id, number or self.number(site, item), owner), {})
        kept = lot or NO_LOT
        shelf[kept] = shelf.get(kept, ZERO) + quantity
        if owner == "OWNED" and location.is_asset:
            self.holdings.arrive(site, location.location_id, item, quantity, money(quantity * average))
        elif owner == "OWNED":
            self.holdings.shift((location.location_id, item.key), quantity)

    def new_lot(self, item: Item, on: date, key: str) -> Lot:
        """A lot (or serial) as it comes from the manufacturer, with an expiry date well ahead."""
        stream = self.chance.stream("lot", item.key, key)
        expiry = on + timedelta(days=stream.integer(800, 1700))
        if stream.flag(0.3):
            expiry = month_end(expiry)
        serial = f"SN{stream.integer(1000000, 9999999)}" if item.is_serial_tracked else None
        lot = None if serial else f"0{stream.pick('ABKLMT')}{stream.integer(10000, 99999)}0"
        return Lot(lot, serial, expiry)

    def next_lot(self, location_id: str, item: Item, at: datetime) -> Lot:
        """The lot on the shelf that expires first; a new one when the shelf is empty."""
        owner = "CONSIGNED" if item.stock_class == "CONSIGN" else "OWNED"
        site = self.world.locations[location_id].site
        shelf = self.holdings.lots.get((location_id, self.number(site, item), owner), {})
        taken = [
            slip.scan.lot
            for slip in self._slips.get(site, ())
            if slip.scan.location_id == location_id and slip.scan.item.key == item.key
        ]
        there = [
            lot for lot, quantity in shelf.items() if quantity > taken.count(lot) * ONE_LINE and lot.expiry is not None
        ]
        if there:
            return min(there, key=lambda lot: (lot.expiry or date.max, lot.lot or "", lot.serial or ""))
        return self.new_lot(item, at.date(), f"{location_id}|{at.isoformat()}")

    # ------------------------------------------------------------------------------------------------ what people do

    def use(self, scan: Scan, is_wasted: bool = False, with_scan_row: bool = True) -> Movement | None:
        """Issue or waste at a case (or, without one, for a department), from an asset location or a cabinet.

        None where it is keyed the next day.
        """
        if self._is_on_paper(scan, partial(self.use, is_wasted=is_wasted, with_scan_row=with_scan_row)):
            return None
        item = scan.item
        number = scan.pou_item_no or self.number(scan.site, item)
        location = self.world.locations[scan.location_id]
        if item.is_lot_tracked:
            self._find_lot(scan)
        elif number == self.number(scan.site, item):
            self._fetch(scan, location)
        amount: Decimal | None = None
        unit_cost: Decimal | None = None
        if location.is_asset:
            amount, unit_cost = self.holdings.leave(scan.site, scan.location_id, item, scan.quantity_each)
        else:
            self.holdings.shift((scan.location_id, item.key), -scan.quantity_each)
        moved = self.movements.record(
            scan,
            "WASTE" if is_wasted else "ISSUE",
            -scan.quantity_each,
            amount=amount,
            unit_cost=unit_cost,
            event="E09" if location.is_asset else None,
            reason="WST" if is_wasted else None,
        )
        if with_scan_row and scan.case_typed is not None:
            self.rows.scan(scan, "WASTED" if is_wasted else "USED", moved)
        return moved

    def give_back(self, scan: Scan) -> Movement | None:
        """Return from a case to the shelf it came from; None where it is keyed the next day."""
        if self._is_on_paper(scan, self.give_back):
            return None
        location = self.world.locations[scan.location_id]
        amount: Decimal | None = None
        unit_cost: Decimal | None = None
        if location.is_asset:
            unit_cost = self.holdings.average(scan.site, scan.location_id, scan.item.key) or ZERO
            amount = money(scan.quantity_each * unit_cost)
            self.holdings.arrive(scan.site, scan.location_id, scan.item, scan.quantity_each, amount)
        else:
            self.holdings.shift((scan.location_id, scan.item.key), scan.quantity_each)
        moved = self.movements.record(
            scan,
            "RETURN",
            scan.quantity_each,
            amount=amount,
            unit_cost=unit_cost,
            event="E11" if location.is_asset else None,
        )
        if scan.case_typed is not None:
            self.rows.scan(scan, "RETURNED", None)
        return moved

    def consign_use(self, scan: Scan) -> Movement | None:
        """Use consigned stock at a case: no value moves; None where it is keyed the next day."""
        if self._is_on_paper(scan, self.consign_use):
            return None
        shelf = self.holdings.lots.get((scan.location_id, self.number(scan.site, scan.item), "CONSIGNED"), {})
        if shelf.get(scan.lot, ZERO) < scan.quantity_each:
            earlier = Scan(
                scan.site, scan.location_id, scan.item, scan.quantity_each, scan.at - timedelta(hours=2), lot=scan.lot
            )
            self.movements.record(earlier, "CONSIGN_IN", scan.quantity_each, owner="CONSIGNED")
        moved = self.movements.record(scan, "CONSIGN_USE", -scan.quantity_each, owner="CONSIGNED")
        self.rows.scan(scan, "USED", moved)
        return moved

    def _is_on_paper(self, scan: Scan, key: Callable[[Scan], object]) -> bool:
        """Put usage of an MMIS site on paper, to be keyed the next morning; keyed usage has its moment."""
        if not self.world.sites[scan.site].is_keyed_next_day or scan.posted_at is not None:
            return False
        self._slips.setdefault(scan.site, []).append(Slip(scan, key))
        return True

    def _keyed_before(self, scan: Scan) -> datetime | None:
        """When what had to go before a keyed slip is keyed: just before it."""
        if scan.posted_at is None or not self.world.sites[scan.site].is_keyed_next_day:
            return None
        return scan.posted_at - timedelta(seconds=2)

    def morning(self, d: date) -> None:
        """Key what the cases up to yesterday left on paper."""
        for site in self._slips:
            self._key_slips(site, self.clock(site, d, 6, 10))

    def _key_slips(self, site: str, at: datetime) -> None:
        slips, self._slips[site] = self._slips[site], []
        for place, slip in enumerate(slips):
            slip.key(replace(slip.scan, posted_at=at + timedelta(seconds=4 * place)))

    def _find_lot(self, scan: Scan) -> None:
        """Pieces that are used but not on the books are found and booked first."""
        shelf = self.holdings.lots.get((scan.location_id, self.number(scan.site, scan.item), "OWNED"), {})
        short = scan.quantity_each - max(shelf.get(scan.lot, ZERO), ZERO)
        if short > 0:
            self.counts.adjust(
                scan.site,
                scan.location_id,
                scan.item,
                short,
                scan.at - timedelta(hours=1),
                "CNT",
                lot=scan.lot,
                posted_at=self._keyed_before(scan),
            )

    def _fetch(self, scan: Scan, location: Location) -> None:
        """Bring stock from the storeroom when the shelf is short, as far as the storeroom has it."""
        site, item, at = scan.site, scan.item, scan.at
        short = scan.quantity_each - self.holdings.balance(location.location_id, self.number(site, item))
        if short <= 0 or location.location_type == "STOREROOM" or self.is_ordered_directly(item):
            return
        store = self.location(site, "STR")
        level = self.holdings.levels.get((location.location_id, item.key))
        wished = short + (level.reorder if level else ZERO)
        available = self.holdings.balance(store.location_id, self.number(site, item))
        if available <= 0:
            return
        self._replenish_from_store(
            site, store, location, item, min(wished, available), at - timedelta(minutes=40), self._keyed_before(scan)
        )

    def _replenish_from_store(
        self,
        site: str,
        store: Location,
        target: Location,
        item: Item,
        quantity: Decimal,
        at: datetime,
        posted_at: datetime | None = None,
    ) -> None:
        document = self.movements.document("MV" if target.is_asset else "RS")
        out = Scan(site, store.location_id, item, quantity, at, department=target.department, posted_at=posted_at)
        into = Scan(site, target.location_id, item, quantity, at + timedelta(minutes=9), posted_at=posted_at)
        if target.is_asset:
            amount, unit_cost = self.holdings.leave(site, store.location_id, item, quantity)
            first = self.movements.record(
                out,
                "TRANSFER_OUT",
                -quantity,
                ref_doc=document,
                amount=amount,
                unit_cost=unit_cost,
                event="E14",
                to=target.location_id,
            )
            self.holdings.arrive(site, target.location_id, item, quantity, amount)
            self.movements.record(
                into,
                "TRANSFER_IN",
                quantity,
                ref_doc=document,
                amount=amount,
                unit_cost=unit_cost,
                event="E14",
                pair=first.txn_id,
                to=store.location_id,
            )
            return
        amount, unit_cost = self.holdings.leave(site, store.location_id, item, quantity)
        first = self.movements.record(
            out,
            "ISSUE",
            -quantity,
            ref_doc=document,
            amount=amount,
            unit_cost=unit_cost,
            event="E10",
            to=target.location_id,
        )
        if self.world.sites[site].stock_system == "mmis":
            return  # the issue alone names the par area
        if target.is_perpetual:
            self.holdings.shift((target.location_id, item.key), quantity)
        elif self.plan.quirk("Q57", document):
            return
        self.movements.record(into, "RESTOCK", quantity, ref_doc=document, pair=first.txn_id)

    # ------------------------------------------------------------------------------------------------------ evenings

    def evening(self, d: date) -> None:
        """Shelves are refilled from the storeroom, a few items are counted, expired ones taken away."""
        if d == month_end(d) and not self.plan.defects:
            # The storeroom keys until late, so that the month has its usage (GL-07).
            for site in self._slips:
                self._key_slips(site, self.clock(site, d, 18, 5))
        for (location_id, item_key), level in self.holdings.levels.items():
            location = self.world.locations[location_id]
            item = self.world.items[item_key]
            if location.location_type in ("STOREROOM", "WAREHOUSE") or self.is_ordered_directly(item):
                continue
            store = self.location(location.site, "STR")
            if self.book.is_kept_empty((location_id, item_key), d):
                continue
            if location.is_perpetual:
                there = self.holdings.balance(location_id, self.number(location.site, item))
                if there > level.reorder:
                    continue
                wanted = level.maximum - there
            else:
                stream = self.chance.stream("par", location_id, item_key, d)
                if not stream.flag(PAR_DAILY * self.world.sites[location.site].volume_share):
                    continue
                wanted = level.reorder * stream.integer(1, 2)
            quantity = min(wanted, self.holdings.balance(store.location_id, self.number(location.site, item)))
            if quantity > 0:
                at = self._restocked_at(location, item, d)
                self._replenish_from_store(location.site, store, location, item, quantity, at)
        for site in self.world.sites:
            self._move_late(site, d)
            self._open_door(site, d)
            self.counts.count(site, d)
            if d.weekday() == 4:
                self.counts.expire(site, d)
        self.book.take_expired(d)
        self.counts.settle_negatives(d)
        self.book.evening(d)

    def _move_late(self, site: str, d: date) -> None:
        """Q76: something is moved between the cut of the transaction file and the taking of the tables."""
        if not self.world.sites[site].is_keyed_next_day or not self.plan.quirk("Q76", site, d, share=LATE_MOVES):
            return
        stream = self.chance.stream("late move", site, d)
        store, core = self.location(site, "STR"), self.location(site, "ORC")
        shelves = [
            self.world.items[item_key]
            for (location_id, item_key) in self.holdings.levels
            if location_id == core.location_id
            and self.holdings.balance(store.location_id, self.number(site, self.world.items[item_key])) > 4
        ]
        if shelves:
            at = self.clock(site, d, 23, stream.integer(30, 38))
            self._replenish_from_store(site, store, core, stream.pick(shelves), Decimal(stream.integer(1, 3)), at)

    def _restocked_at(self, location: Location, item: Item, d: date) -> datetime:
        """When a shelf is refilled on the evening of `d`; in the east now and then after midnight (Q90)."""
        site = self.world.sites[location.site]
        if site.clock != CHICAGO and (d != month_end(d) or self.plan.defects):
            stream = self.chance.stream("night shift", location.location_id, item.key, d)
            if stream.flag(0.2 if self.plan.shows("Q90") else 0):
                return self.clock(site.code, d + timedelta(days=1), 0, stream.integer(5, 40))
        return self.clock(site.code, d, 18, 30)

    def _open_door(self, site: str, d: date) -> None:
        """A cabinet is opened and nothing taken; now and then the row comes out on the next morning only (INT-07)."""
        cabinets = [place for place in self.holdings.levels if place[0].startswith(f"{site}-CAB")]
        if not cabinets or self.world.sites[site].stock_system != "pou":
            return
        location_id, item_key = self.chance.stream("door", site, d).pick(cabinets)
        at, posted = self.clock(site, d, 7, 40), None
        late = d < self.world.end and self.plan.wants("INT-07", False, site, d, "late row")
        if late:
            posted = self.clock(site, d + timedelta(days=1), 5, 20)
        opened = self.movements.record(
            Scan(site, location_id, self.world.items[item_key], ZERO, at, posted_at=posted), "NULL_TXN", ZERO
        )
        if late:
            device, number = opened.txn_id.rsplit("-", 1)
            key = f"feed=pou.txn|source={device}|gap={int(number)}-{int(number)}"
            self.plan.note("INT-07", key, site, True, "row came on the next morning")

    def move_to_shelf(self, store: Location, shelf: Location, item: Item, quantity: Decimal, at: datetime) -> None:
        """Bring stock of the storeroom to a shelf."""
        self._replenish_from_store(store.site, store, shelf, item, quantity, at)

    def close_day(self, d: date) -> None:
        """Record closing balances and the averages that changed."""
        for (location_id, number, owner), shelf in self.holdings.lots.items():
            location = self.world.locations[location_id]
            if not location.is_perpetual:
                continue
            quantity = sum(shelf.values(), ZERO)
            if self.materials is not None:
                quantity -= self.materials.not_yet((location_id, number, owner), d)
            quantity -= self.book.not_yet((location_id, number, owner), d)
            if quantity >= 0 and self._recorded.get((location_id, number, owner)) == quantity:
                continue
            self._recorded[(location_id, number, owner)] = quantity
            item = self.holdings.item_of[number]
            average = self.holdings.average(location.site, location_id, item.key) if location.is_asset else None
            self.world.on_hand.append(
                OnHand(d, location.site, location_id, number, item.key, owner, quantity, average or item.price_each)
            )
        for location, item, quantity in self.counts.false_balances:
            self.world.on_hand.append(
                OnHand(
                    d,
                    location.site,
                    location.location_id,
                    self.number(location.site, item),
                    item.key,
                    "OWNED",
                    quantity,
                    item.price_each,
                )
            )
        self.holdings.publish_averages(d)
        self.holdings.publish_averages(d)

    def scan_from_cart(self, scan: Scan, disposition: str, picked: Movement) -> None:
        """Scan at the case what was issued by a pick before: a row of case_usage and no movement (Q66)."""
        self.rows.scan(scan, disposition, picked, scan.at + timedelta(minutes=3))
