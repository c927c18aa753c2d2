"""Stock of every site: quantities, lots, moving averages, movements and the inventory system's rows.

Here: what is on hand where, what each movement is worth in the ERP, transfers, restocking, counts and what must be
ordered; the extracts of the point-of-use system (txn, onhand, case_usage, count, item, item_alias, location).
Not here: why a case uses something (clinic), orders and receipts (purchasing), the ERP's own rows (legacy, cloud), the
files of the MMIS (mmis).

At a site with an MMIS usage waits on paper (`Slip`) and is keyed the next morning with the business date of its case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial

from ingest.simulator.chance import Chance
from ingest.simulator.delivery import CHICAGO, Outbox, Row, Value
from ingest.simulator.events import (
    CostVersion,
    Item,
    Location,
    Movement,
    OnHand,
    PackageFactor,
    Posting,
    ReplenishmentNeed,
    StockPosition,
    World,
)
from ingest.simulator.mmis import Materials
from ingest.simulator.plan import DefectPlan
from ingest.simulator.shelves import Shelf, Shelves

ZERO = Decimal(0)
CENT = Decimal("0.01")
LATE_MOVES = 0.1  # share of the evenings of a site with an MMIS (Q76)
ONE_LINE = Decimal(3)  # most EACH of a lot that one line on paper is taken for
FIVE_PLACES = Decimal("0.00001")
STORE_DEPARTMENT = "8020"
HANDHELD = "T2"
CENTRE = "CDC"
CENTRE_SHARE = 0.62  # of a storeroom's items come from the distribution centre (landscape 7.1)
ORDER_PATIENCE = timedelta(days=25)  # an order that never arrives stops counting as on order


def money(value: Decimal) -> Decimal:
    """Round half up (away from zero) to cents."""
    return value.quantize(CENT, rounding=ROUND_HALF_UP)


def exact_parts(quantity: Decimal, amount: Decimal) -> list[tuple[Decimal, Decimal]]:
    """Quantities with unit costs of five decimals whose products, in cents each, add up to the amount.

    One part nearly always; a single unit takes the cents that a large quantity cannot carry.
    """
    if quantity == ZERO:
        parts = [(Decimal(1), max(amount, ZERO)), (Decimal(-1), max(-amount, ZERO))]
        return parts if amount else []
    unit = (amount / quantity).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
    if money(quantity * unit) == amount:
        return [(quantity, unit)]
    one = Decimal(1).copy_sign(quantity)
    return [(quantity - one, unit), (one, (amount - money((quantity - one) * unit)) * one)]


def cloud_parts(name: str, quantity: Decimal, amount: Decimal) -> list[tuple[str, Decimal, Decimal]]:
    """Rows that carry an amount in the cloud: names that their ids are made from, quantities, unit costs."""
    return [
        (name if place == 0 else f"{name}/{place + 1}", part, cost)
        for place, (part, cost) in enumerate(exact_parts(quantity, amount))
    ]


@dataclass(frozen=True, slots=True)
class Lot:
    """What tells one unit from another in stock; all None for items without lot control."""

    lot: str | None = None
    serial: str | None = None
    expiry: date | None = None


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
    lot: Lot = Lot()
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


@dataclass(slots=True)
class Held:
    """Owned quantity and value of one item where the ERP values it."""

    quantity: Decimal = ZERO
    value: Decimal = ZERO
    average: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Level:
    """Reorder point and maximum of an item at a location, in EACH."""

    reorder: Decimal
    maximum: Decimal


class Stock:
    """Everything that lies in the locations of the simulated sites."""

    def __init__(self, world: World, outbox: Outbox, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world and its parts; nothing lies anywhere until `opening`."""
        self.world = world
        self.outbox = outbox
        self.plan = plan
        self.chance = chance
        self._lots: dict[tuple[str, str, str], dict[Lot, Decimal]] = {}
        self._owned: dict[tuple[str, int], Decimal] = {}
        self._held: dict[tuple[str, str | None, int], Held] = {}
        self._night: dict[tuple[str, str | None, int], Decimal] = {}
        self._levels: dict[tuple[str, int], Level] = {}
        self._carried: dict[str, list[int]] = {}
        self._on_order: dict[tuple[str, int], list[tuple[datetime, Decimal]]] = {}
        self._sequence: dict[str, int] = {}
        self._uploaded: dict[str, datetime] = {}  # location -> last upload of its handheld
        self._item_of: dict[str, Item] = {}
        self._recorded: dict[tuple[str, str, str], Decimal] = {}
        self._counted: dict[tuple[str, str], datetime] = {}
        self._documents = 0
        self._planned_negative: dict[tuple[str, int], date] = {}
        self.false_balances: list[tuple[Location, Item, Decimal]] = []  # of locations that keep no quantities
        self._offline: dict[str, tuple[datetime, datetime]] = {}
        self._converted: set[tuple[str, str | None, int]] = set()  # valued anew, average not published yet
        self._scans = 0
        self._slips: dict[str, list[Slip]] = {}
        self.materials: Materials | None = None
        self.no_lot = Lot()
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
        self._arrive(site, location_id, item, quantity_each, value)
        if quantity_each > 0:
            self.cancel_order(location_id, item.key, quantity_each)
        scan = Scan(site, location_id, item, quantity_each, at, lot=kept)
        return self._record(
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
        self._arrive(site, location_id, item, -quantity_each, -amount)
        scan = Scan(site, location_id, item, quantity_each, at)
        return self._record(
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
        self._record(scan, "CONSIGN_IN", quantity_each, ref_doc=po_key, owner="CONSIGNED")

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
        amount, unit_cost = self._leave(CENTRE, warehouse, item, quantity_each)
        scan = Scan(CENTRE, warehouse, item, quantity_each, at)
        return self._record(
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
        self._arrive(site, location_id, item, quantity_each, amount)
        self.cancel_order(location_id, item.key, quantity_each)
        scan = Scan(site, location_id, item, quantity_each, at)
        return self._record(
            scan, "TRANSFER_IN", quantity_each, transfer, line, amount=amount, unit_cost=unit_cost, event="E16"
        )

    def number(self, site: str, item: Item) -> str:
        """Number of an item in the inventory system of a site, as entity keys write it; empty when it has none."""
        return item.stock_number(self.world.sites[site]) or ""

    def clock(self, site: str, d: date, hour: int, minute: int = 0) -> datetime:
        """A moment on the wall clock of a site."""
        return datetime.combine(d, time(hour, minute), self.world.sites[site].clock)

    def convert(self, site: str) -> list[StockPosition]:
        """Value the stock of a site for the organisation from now on, and no longer by location.

        Gives what the legacy ERP has on its books by location; movements that it was never told of are not in it.
        """
        unseen: dict[tuple[str, int], tuple[Decimal, Decimal]] = {}
        for movement in self.world.movements:
            if movement.site == site and movement.erp == "erp_fusion":
                place = (movement.location_id, movement.item_key)
                quantity, value = unseen.get(place, (ZERO, ZERO))
                moved = (movement.erp_amount or ZERO).copy_sign(movement.quantity_each)
                unseen[place] = (quantity + movement.quantity_each, value + moved)
        booked: list[StockPosition] = []
        for (holder, location_id, item_key), held in list(self._held.items()):
            if holder != site or location_id is None:
                continue
            quantity, value = unseen.get((location_id, item_key), (ZERO, ZERO))
            booked.append(
                StockPosition(site, location_id, item_key, held.quantity - quantity, held.value - value, held.average)
            )
            key: tuple[str, str | None, int] = (site, None, item_key)
            together = self._held.setdefault(key, Held())
            together.quantity += held.quantity
            together.value += held.value
            together.average = max(together.average, held.average)
            held.quantity, held.value = ZERO, ZERO
            self._converted.add(key)
        for key in self._converted:
            together = self._held[key]
            if together.quantity > 0 and together.value > 0:
                average = (together.value / together.quantity).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
                together.average = average or together.average
            self._night[key] = together.average
        return booked

    def book_out(self, movement: Movement) -> None:
        """Take a movement out of the legacy ERP's books as well, at the location that it has left behind (Q121)."""
        held = self._held.setdefault((movement.site, movement.location_id, movement.item_key), Held())
        held.quantity += movement.quantity_each
        held.value += (movement.erp_amount or ZERO).copy_sign(movement.quantity_each)

    def positions(self, site: str) -> Iterator[StockPosition]:
        """Owned stock as the site's ERP values it: by location (legacy) or for the organisation (cloud)."""
        for (holder, location_id, item_key), held in self._held.items():
            if holder == site:
                yield StockPosition(site, location_id, item_key, held.quantity, held.value, held.average)

    def quantities(self, site: str) -> Iterator[tuple[str, int, Decimal]]:
        """Owned quantity by asset location and item of one site, zero included once an item was there."""
        for (location_id, item_key), quantity in self._owned.items():
            location = self.world.locations[location_id]
            if location.site == site and location.is_asset:
                yield location_id, item_key, quantity

    def average(self, site: str, location_id: str | None, item_key: int) -> Decimal | None:
        """Moving average of the item where the site's ERP values it, now; None when it does not hold it."""
        held = self._held.get(self._valued_at(site, location_id, item_key))
        return held.average if held is not None else None

    def shelves(self, site: str) -> Iterator[tuple[Location, Item, str, Decimal]]:
        """Every shelf of a site: place, item, owner and quantity of all lots; par areas have none but false ones."""
        false = {(place.location_id, item.key): quantity for place, item, quantity in self.false_balances}
        for location_id, item_key in self._levels:
            location = self.world.locations[location_id]
            if location.site == site and not location.is_perpetual:
                yield location, self.world.items[item_key], "OWNED", false.get((location_id, item_key), ZERO)
        for (location_id, number, owner), shelf in self._lots.items():
            location = self.world.locations[location_id]
            if location.site == site and location.is_perpetual:
                yield location, self._item_of[number], owner, sum(shelf.values(), ZERO)

    def counted_at(self, location_id: str, item: Item) -> datetime | None:
        """When a shelf was last counted."""
        return self._counted.get((location_id, self.number(self.world.locations[location_id].site, item)))

    def level(self, location_id: str, item_key: int) -> Level | None:
        """Reorder point and maximum of an item at a location."""
        return self._levels.get((location_id, item_key))

    def on_order(self, location_id: str, item_key: int) -> Decimal:
        """Quantity asked for and not received yet."""
        return sum((quantity for _, quantity in self._on_order.get((location_id, item_key), [])), ZERO)

    def needs(self, d: date) -> list[ReplenishmentNeed]:
        """What is at or below its reorder point at 20:00 of `d`; it counts as on order from then on."""
        at = datetime.combine(d, time(20), CHICAGO)
        found: list[ReplenishmentNeed] = []
        for (location_id, item_key), level in self._levels.items():
            location = self.world.locations[location_id]
            item = self.world.items[item_key]
            replenished = location.location_type in ("STOREROOM", "WAREHOUSE")
            if not location.is_asset or not (replenished or self.is_ordered_directly(item)):
                continue
            pending = [
                entry for entry in self._on_order.get((location_id, item_key), []) if at - entry[0] < ORDER_PATIENCE
            ]
            self._on_order[(location_id, item_key)] = pending
            available = self._owned.get((location_id, item_key), ZERO) + sum(
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
            document = self._document("RP")
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
                    self._item_of[number] = item
            for site in self.world.sites.values():
                if site.mmis_corp is not None:
                    self._item_of[self.number(site.code, item)] = item
        for site in self.world.sites.values():
            for item in self.world.items.values():
                if self.is_carried(site.code, item):
                    self._lay_out(site.code, item, d)
        for (site_code, location_id, item_key), held in self._held.items():
            self.world.opening_stock.append(
                StockPosition(site_code, location_id, item_key, held.quantity, held.value, held.average)
            )
        self._publish_averages(d)
        if any(site.stock_system == "mmis" for site in self.world.sites.values()):
            self.materials = Materials(self)
            self.materials.opening(d)
        if all(site.stock_system != "pou" for site in self.world.sites.values()):
            return
        once = _Once()
        self.outbox.snapshot("pou", "item", lambda day: once("item", self._item_rows))
        self.outbox.snapshot("pou", "item_alias", lambda day: once("alias", self._alias_rows))
        self.outbox.snapshot("pou", "location", lambda day: once(f"location {self._erps()}", self._location_rows))
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

    def _erps(self) -> str:
        return " ".join(site.erp for site in self.world.sites.values())

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
            level = Level(step * stream.integer(24, 34), step * stream.integer(60, 80))
            warehouse = self.location(site, "WHS")
            self._levels[(warehouse.location_id, item.key)] = level
            self._place(site, warehouse, item, level.reorder + step * stream.integer(0, 24), average, None, d)
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
            self._levels[(home.location_id, item.key)] = level
            for piece in range(3):
                lot = self.book.opening_lot(site, item, self.new_lot(item, d, f"{site}|{piece}"), str(piece), d)
                self._place(site, home, item, Decimal(stream.integer(2, 5)), average, lot, d)
            return
        store = self.location(site, "STR")
        step = Decimal(1) if factor < 10 else factor / 2
        level = Level(step * stream.integer(6, 12), step * stream.integer(20, 36))
        self._levels[(store.location_id, item.key)] = level
        self._place(site, store, item, level.reorder + step * stream.integer(0, 8), average, None, d)
        if home.location_type == "PAR":
            self._levels[(home.location_id, item.key)] = Level(step * 3, step * 8)
            return
        near = Level(step * stream.integer(5, 8), step * stream.integer(12, 18))
        self._levels[(home.location_id, item.key)] = near
        self._place(
            site, home, item, near.maximum - step * stream.integer(0, 4), average if home.is_asset else ZERO, None, d
        )
        for number in self.aliases(site, item):
            self._place(site, home, item, step * 60, average, None, d, number)

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
        shelf = self._lots.setdefault((location.location_id, number or self.number(site, item), owner), {})
        kept = lot or Lot()
        shelf[kept] = shelf.get(kept, ZERO) + quantity
        if owner == "OWNED" and location.is_asset:
            self._arrive(site, location.location_id, item, quantity, money(quantity * average))
        elif owner == "OWNED":
            self._owned[(location.location_id, item.key)] = (
                self._owned.get((location.location_id, item.key), ZERO) + quantity
            )

    def new_lot(self, item: Item, on: date, key: str) -> Lot:
        """A lot (or serial) as it comes from the manufacturer, with an expiry date well ahead."""
        stream = self.chance.stream("lot", item.key, key)
        expiry = on + timedelta(days=stream.integer(800, 1700))
        if stream.flag(0.3):
            expiry = _month_end(expiry)
        serial = f"SN{stream.integer(1000000, 9999999)}" if item.is_serial_tracked else None
        lot = None if serial else f"0{stream.pick('ABKLMT')}{stream.integer(10000, 99999)}0"
        return Lot(lot, serial, expiry)

    def next_lot(self, location_id: str, item: Item, at: datetime) -> Lot:
        """The lot on the shelf that expires first; a new one when the shelf is empty."""
        owner = "CONSIGNED" if item.stock_class == "CONSIGN" else "OWNED"
        site = self.world.locations[location_id].site
        shelf = self._lots.get((location_id, self.number(site, item), owner), {})
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

    # ------------------------------------------------------------------------------------------ quantities and value

    def _valued_at(self, site: str, location_id: str | None, item_key: int) -> tuple[str, str | None, int]:
        return site, None if self.world.sites[site].erp == "erp_fusion" else location_id, item_key

    def _arrive(self, site: str, location_id: str, item: Item, quantity: Decimal, value: Decimal) -> None:
        held = self._held.setdefault(self._valued_at(site, location_id, item.key), Held())
        total = held.quantity + quantity
        if held.quantity >= 0 and quantity > 0 and total > 0:
            average = ((held.value + value) / total).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
            held.average = average if average > 0 else held.average
        elif held.average == 0 and quantity > 0:
            held.average = (value / quantity).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        held.quantity = total
        held.value += value
        place = (location_id, item.key)
        self._owned[place] = self._owned.get(place, ZERO) + quantity

    def _leave(self, site: str, location_id: str, item: Item, quantity: Decimal) -> tuple[Decimal, Decimal]:
        held = self._held.setdefault(self._valued_at(site, location_id, item.key), Held(average=item.price_each))
        amount = money(quantity * held.average)
        held.quantity -= quantity
        held.value -= amount
        place = (location_id, item.key)
        self._owned[place] = self._owned.get(place, ZERO) - quantity
        return amount, held.average

    def every_shelf(self) -> Iterator[Shelf]:
        """Every shelf of every site, empty ones that once held something included."""
        for (location_id, number, owner), lots in self._lots.items():
            yield Shelf(self.world.locations[location_id], self._item_of[number], number, owner, lots)

    def night_cost(self, location: Location, item: Item) -> Decimal | None:
        """Moving average of the night before at an asset location."""
        if not location.is_asset:
            return None
        return self._night.get(self._valued_at(location.site, location.location_id, item.key))

    def balance(self, location_id: str, number: str, owner: str = "OWNED") -> Decimal:
        """Quantity on the shelf under one number of the inventory system."""
        return sum(self._lots.get((location_id, number, owner), {}).values(), ZERO)

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
            amount, unit_cost = self._leave(scan.site, scan.location_id, item, scan.quantity_each)
        else:
            place = (scan.location_id, item.key)
            self._owned[place] = self._owned.get(place, ZERO) - scan.quantity_each
        moved = self._record(
            scan,
            "WASTE" if is_wasted else "ISSUE",
            -scan.quantity_each,
            amount=amount,
            unit_cost=unit_cost,
            event="E09" if location.is_asset else None,
            reason="WST" if is_wasted else None,
        )
        if with_scan_row and scan.case_typed is not None:
            self._scan_row(scan, "WASTED" if is_wasted else "USED", moved)
        return moved

    def give_back(self, scan: Scan) -> Movement | None:
        """Return from a case to the shelf it came from; None where it is keyed the next day."""
        if self._is_on_paper(scan, self.give_back):
            return None
        location = self.world.locations[scan.location_id]
        amount: Decimal | None = None
        unit_cost: Decimal | None = None
        if location.is_asset:
            unit_cost = self.average(scan.site, scan.location_id, scan.item.key) or ZERO
            amount = money(scan.quantity_each * unit_cost)
            self._arrive(scan.site, scan.location_id, scan.item, scan.quantity_each, amount)
        else:
            place = (scan.location_id, scan.item.key)
            self._owned[place] = self._owned.get(place, ZERO) + scan.quantity_each
        moved = self._record(
            scan,
            "RETURN",
            scan.quantity_each,
            amount=amount,
            unit_cost=unit_cost,
            event="E11" if location.is_asset else None,
        )
        if scan.case_typed is not None:
            self._scan_row(scan, "RETURNED", None)
        return moved

    def consign_use(self, scan: Scan) -> Movement | None:
        """Use consigned stock at a case: no value moves; None where it is keyed the next day."""
        if self._is_on_paper(scan, self.consign_use):
            return None
        shelf = self._lots.get((scan.location_id, self.number(scan.site, scan.item), "CONSIGNED"), {})
        if shelf.get(scan.lot, ZERO) < scan.quantity_each:
            earlier = Scan(
                scan.site, scan.location_id, scan.item, scan.quantity_each, scan.at - timedelta(hours=2), lot=scan.lot
            )
            self._record(earlier, "CONSIGN_IN", scan.quantity_each, owner="CONSIGNED")
        moved = self._record(scan, "CONSIGN_USE", -scan.quantity_each, owner="CONSIGNED")
        self._scan_row(scan, "USED", moved)
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
        shelf = self._lots.get((scan.location_id, self.number(scan.site, scan.item), "OWNED"), {})
        short = scan.quantity_each - max(shelf.get(scan.lot, ZERO), ZERO)
        if short > 0:
            self.adjust(
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
        short = scan.quantity_each - self.balance(location.location_id, self.number(site, item))
        if short <= 0 or location.location_type == "STOREROOM" or self.is_ordered_directly(item):
            return
        store = self.location(site, "STR")
        level = self._levels.get((location.location_id, item.key))
        wished = short + (level.reorder if level else ZERO)
        available = self.balance(store.location_id, self.number(site, item))
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
        document = self._document("MV" if target.is_asset else "RS")
        out = Scan(site, store.location_id, item, quantity, at, department=target.department, posted_at=posted_at)
        into = Scan(site, target.location_id, item, quantity, at + timedelta(minutes=9), posted_at=posted_at)
        if target.is_asset:
            amount, unit_cost = self._leave(site, store.location_id, item, quantity)
            first = self._record(
                out,
                "TRANSFER_OUT",
                -quantity,
                ref_doc=document,
                amount=amount,
                unit_cost=unit_cost,
                event="E14",
                to=target.location_id,
            )
            self._arrive(site, target.location_id, item, quantity, amount)
            self._record(
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
        amount, unit_cost = self._leave(site, store.location_id, item, quantity)
        first = self._record(
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
            place = (target.location_id, item.key)
            self._owned[place] = self._owned.get(place, ZERO) + quantity
        elif self.plan.quirk("Q57", document):
            return
        self._record(into, "RESTOCK", quantity, ref_doc=document, pair=first.txn_id)

    # ------------------------------------------------------------------------------------------------------ evenings

    def evening(self, d: date) -> None:
        """Shelves are refilled from the storeroom, a few items are counted, expired ones taken away."""
        if d == _month_end(d) and not self.plan.defects:
            # The storeroom keys until late, so that the month has its usage (GL-07).
            for site in self._slips:
                self._key_slips(site, self.clock(site, d, 18, 5))
        for (location_id, item_key), level in self._levels.items():
            location = self.world.locations[location_id]
            item = self.world.items[item_key]
            at = self._restocked_at(location, item, d)
            if location.location_type in ("STOREROOM", "WAREHOUSE") or self.is_ordered_directly(item):
                continue
            store = self.location(location.site, "STR")
            if self.book.is_kept_empty((location_id, item_key), d):
                continue
            if location.is_perpetual:
                there = self.balance(location_id, self.number(location.site, item))
                if there > level.reorder:
                    continue
                wanted = level.maximum - there
            else:
                stream = self.chance.stream("par", location_id, item_key, d)
                if not stream.flag(0.06):
                    continue
                wanted = level.reorder
            quantity = min(wanted, self.balance(store.location_id, self.number(location.site, item)))
            if quantity > 0:
                self._replenish_from_store(location.site, store, location, item, quantity, at)
        for site in self.world.sites:
            self._move_late(site, d)
            self._open_door(site, d)
            self._count(site, d)
            if d.weekday() == 4:
                self._expire(site, d)
        self.book.take_expired(d)
        self._settle_negatives(d)
        self.book.evening(d)

    def _move_late(self, site: str, d: date) -> None:
        """Q76: something is moved between the cut of the transaction file and the taking of the tables."""
        if not self.world.sites[site].is_keyed_next_day or not self.plan.quirk("Q76", site, d, share=LATE_MOVES):
            return
        stream = self.chance.stream("late move", site, d)
        store, core = self.location(site, "STR"), self.location(site, "ORC")
        shelves = [
            self.world.items[item_key]
            for (location_id, item_key) in self._levels
            if location_id == core.location_id
            and self.balance(store.location_id, self.number(site, self.world.items[item_key])) > 4
        ]
        if shelves:
            at = self.clock(site, d, 23, stream.integer(30, 38))
            self._replenish_from_store(site, store, core, stream.pick(shelves), Decimal(stream.integer(1, 3)), at)

    def _restocked_at(self, location: Location, item: Item, d: date) -> datetime:
        """When a shelf is refilled on the evening of `d`; in the east now and then after midnight (Q90)."""
        site = self.world.sites[location.site]
        if site.clock != CHICAGO and (d != _month_end(d) or self.plan.defects):
            stream = self.chance.stream("night shift", location.location_id, item.key, d)
            if stream.flag(0.2 if self.plan.shows("Q90") else 0):
                return self.clock(site.code, d + timedelta(days=1), 0, stream.integer(5, 40))
        return self.clock(site.code, d, 18, 30)

    def _open_door(self, site: str, d: date) -> None:
        """A cabinet is opened and nothing taken; now and then the row comes out on the next morning only (INT-07)."""
        cabinets = [place for place in self._levels if place[0].startswith(f"{site}-CAB")]
        if not cabinets or self.world.sites[site].stock_system != "pou":
            return
        location_id, item_key = self.chance.stream("door", site, d).pick(cabinets)
        at, posted = self.clock(site, d, 7, 40), None
        late = d < self.world.end and self.plan.wants("INT-07", False, site, d, "late row")
        if late:
            posted = self.clock(site, d + timedelta(days=1), 5, 20)
        opened = self._record(
            Scan(site, location_id, self.world.items[item_key], ZERO, at, posted_at=posted), "NULL_TXN", ZERO
        )
        if late:
            device, number = opened.txn_id.rsplit("-", 1)
            key = f"feed=pou.txn|source={device}|gap={int(number)}-{int(number)}"
            self.plan.note("INT-07", key, site, True, "row came on the next morning")

    def _count(self, site: str, d: date) -> None:
        stream = self.chance.stream("count", site, d)
        shelves = [
            (location_id, item_key)
            for (location_id, item_key) in self._levels
            if self.world.locations[location_id].site == site and self.world.locations[location_id].is_perpetual
        ]
        document = self._document("CC")
        for line, (location_id, item_key) in enumerate(stream.sample(shelves, 2), start=1):
            item = self.world.items[item_key]
            if item.is_lot_tracked or (location_id, item_key) in self._planned_negative:
                continue
            expected = self.balance(location_id, self.number(site, item))
            if expected <= 0:
                continue
            delta = Decimal(stream.pick((-1, 1))) if stream.flag(0.15) and expected > 3 else ZERO
            self._count_line(site, location_id, item, expected, delta, self.clock(site, d, 19, 10), document, line)

    def _count_line(
        self,
        site: str,
        location_id: str,
        item: Item,
        expected: Decimal,
        delta: Decimal,
        at: datetime,
        document: str,
        line: int,
    ) -> None:
        counted = Scan(site, location_id, item, expected + delta, at)
        self._record(counted, "COUNT", expected + delta, ref_doc=document, ref_line=line)
        adjusted = None
        if delta:
            adjusted = self.adjust(site, location_id, item, delta, at + timedelta(minutes=2), "CNT", document, line)
        posted = at + timedelta(minutes=6)
        self._counted[(location_id, self.number(site, item))] = at
        if self.world.sites[site].stock_system == "mmis":
            return
        self.outbox.emit(
            "pou",
            "count",
            {
                "count_doc": document,
                "line_no": line,
                "count_type": "CYCLE",
                "site": self.world.sites[site].pou_site,
                "location_code": self.world.locations[location_id].pou_code,
                "item_no": item.pou_no,
                "expected_each": expected,
                "counted_each": expected + delta,
                "variance_reason": "MISCOUNT" if delta else None,
                "counted_by": f"U{1000 + line}",
                "counted_ts": at,
                "adjust_txn_id": adjusted.txn_id if adjusted else None,
                "posted_at": posted,
            },
            posted,
        )

    def adjust(
        self,
        site: str,
        location_id: str,
        item: Item,
        delta: Decimal,
        at: datetime,
        reason: str,
        ref_doc: str | None = None,
        ref_line: int | None = None,
        lot: Lot | None = None,
        posted_at: datetime | None = None,
    ) -> Movement:
        """Correct the balance by `delta` (E13 at asset locations)."""
        location = self.world.locations[location_id]
        amount: Decimal | None = None
        unit_cost: Decimal | None = None
        if location.is_asset:
            if delta < 0:
                amount, unit_cost = self._leave(site, location_id, item, -delta)
            else:
                unit_cost = self.average(site, location_id, item.key) or item.price_each
                amount = money(delta * unit_cost)
                held = self._held.setdefault(self._valued_at(site, location_id, item.key), Held(average=unit_cost))
                held.quantity += delta
                held.value += amount
                self._owned[(location_id, item.key)] = self._owned.get((location_id, item.key), ZERO) + delta
        else:
            self._owned[(location_id, item.key)] = self._owned.get((location_id, item.key), ZERO) + delta
        return self._record(
            Scan(site, location_id, item, abs(delta), at, lot=lot or Lot(), posted_at=posted_at),
            "ADJUST",
            delta,
            ref_doc=ref_doc,
            ref_line=ref_line,
            amount=amount,
            unit_cost=unit_cost,
            event="E13" if location.is_asset else None,
            reason=reason,
        )

    def _expire(self, site: str, d: date) -> None:
        stream = self.chance.stream("expire", site, d)
        candidates = [
            (location_id, item_key)
            for (location_id, item_key) in self._levels
            if self.world.locations[location_id].site == site
            and self.world.locations[location_id].is_asset
            and not self.world.items[item_key].is_lot_tracked
            and self.balance(location_id, self.number(site, self.world.items[item_key])) > 4
        ]
        for location_id, item_key in stream.sample(candidates, 1):
            item = self.world.items[item_key]
            amount, unit_cost = self._leave(site, location_id, item, Decimal(1))
            scan = Scan(site, location_id, item, Decimal(1), self.clock(site, d, 15, 20))
            self._record(scan, "EXPIRED", Decimal(-1), amount=amount, unit_cost=unit_cost, event="E12", reason="EXP")

    def _settle_negatives(self, d: date) -> None:
        """Planned negative balances come and go; any other is found and corrected the same evening.

        So is a shelf in use that ran out: some pieces are found (STK-02 is planned apart).
        """
        for place, until in list(self._planned_negative.items()):
            if d >= until:
                del self._planned_negative[place]
        for shelf in list(self.every_shelf()):
            location, item, balance = shelf.location, shelf.item, shelf.balance
            runs_out = balance == 0 and self.book.is_in_use(shelf, d) and not self.book.is_planned_out(shelf.place, d)
            if not location.is_perpetual or (balance >= 0 and not runs_out):
                continue
            at = self.clock(location.site, d, 21, 5)
            if shelf.owner == "CONSIGNED":
                self.consign_in(location.site, item, 1 - balance, at)  # the representative tops it up
                continue
            if shelf.place in self._planned_negative:
                continue
            document = self._document("CC")
            step = item.packages[1].each if len(item.packages) > 1 else Decimal(4)
            self._settle(location, item, -balance + step, at, document, shelf.number)
        self._plan_negatives(d)

    def _settle(self, location: Location, item: Item, delta: Decimal, at: datetime, document: str, number: str) -> None:
        if number != self.number(location.site, item):
            scan = Scan(location.site, location.location_id, item, delta, at, pou_item_no=number)
            unit_cost = self.average(location.site, location.location_id, item.key) or item.price_each
            amount = money(delta * unit_cost)
            held = self._held[self._valued_at(location.site, location.location_id, item.key)]
            held.quantity += delta
            held.value += amount
            self._owned[(location.location_id, item.key)] += delta
            self._record(
                scan, "ADJUST", delta, ref_doc=document, amount=amount, unit_cost=unit_cost, event="E13", reason="CNT"
            )
            return
        lot = self.new_lot(item, at.date(), f"found|{document}") if item.is_lot_tracked else None
        self.adjust(location.site, location.location_id, item, delta, at, "CNT", document, 1, lot=lot)

    def write_off(
        self, shelf: Shelf, lot: Lot, quantity: Decimal, at: datetime, txn_type: str, reason: str
    ) -> Movement:
        """Take a lot that is expired or recalled off the shelf (E12 at asset locations)."""
        location, item = shelf.location, shelf.item
        amount: Decimal | None = None
        unit_cost: Decimal | None = None
        is_valued = location.is_asset and shelf.owner == "OWNED"
        if is_valued:
            amount, unit_cost = self._leave(location.site, location.location_id, item, quantity)
        return self._record(
            Scan(location.site, location.location_id, item, quantity, at, lot=lot),
            txn_type,
            -quantity,
            amount=amount,
            unit_cost=unit_cost,
            event="E12" if is_valued else None,
            reason=reason,
            owner=shelf.owner,
        )

    def move_to_shelf(self, store: Location, shelf: Location, item: Item, quantity: Decimal, at: datetime) -> None:
        """Bring stock of the storeroom to a shelf."""
        self._replenish_from_store(store.site, store, shelf, item, quantity, at)

    def _plan_negatives(self, d: date) -> None:
        """UI-05: a shelf emptied on paper because its receipt was not put away; and what only looks like it."""
        # In mixed order, so that no site gets all of them.
        for site in self.chance.stream("negatives", d).sample(list(self.world.sites), len(self.world.sites)):
            stream = self.chance.stream("negative", site, d)
            shelves = [
                (location_id, item_key)
                for (location_id, item_key) in self._levels
                if location_id == f"{site}-STR"
                and (location_id, item_key) not in self._planned_negative
                and self.world.items[item_key].home in ("ORC", "CTH")
                and ZERO < self.balance(location_id, self.number(site, self.world.items[item_key])) < 40
            ]
            if len(shelves) < 3:
                continue
            first, second = stream.sample(shelves, 2)
            if self.plan.wants("UI-05", True, site, d):
                self._overdraw(site, first, Decimal(stream.integer(3, 9)), self.clock(site, d, 21, 30))
                self._planned_negative[first] = d + timedelta(days=stream.integer(1, 4))
                key = self._on_hand_key(first)
                self.plan.note("UI-05", key, site, False, "receipt not put away")
            if self.plan.wants("UI-05", False, site, d, "during the day"):
                over = Decimal(stream.integer(2, 5))
                self._overdraw(site, second, over, self.clock(site, d, 21, 32))
                item = self.world.items[second[1]]
                self.adjust(site, second[0], item, over + 3, self.clock(site, d, 21, 50), "CNT")
                self.plan.note("UI-05", self._on_hand_key(second), site, True, "negative during the day only")
            if self.plan.wants("UI-05", False, site, d, "consigned"):
                self._overdraw_consigned(site, d)
            if self.plan.wants("UI-05", False, site, d, "not perpetual"):
                pars = [place for place in self._levels if self.world.locations[place[0]].location_type == "PAR"]
                place = stream.pick([entry for entry in pars if entry[0].startswith(site)])
                location, item = self.world.locations[place[0]], self.world.items[place[1]]
                self.false_balances.append((location, item, Decimal(-stream.integer(2, 9))))
                self.plan.note("UI-05", self._on_hand_key(place), site, True, "no quantities are kept there")

    def _on_hand_key(self, place: tuple[str, int]) -> str:
        location, item = self.world.locations[place[0]], self.world.items[place[1]]
        return f"location={location.pou_code}|item={self.number(location.site, item)}"

    def _overdraw(self, site: str, place: tuple[str, int], over: Decimal, at: datetime) -> None:
        item = self.world.items[place[1]]
        quantity = self.balance(place[0], self.number(site, item)) + over
        self._replenish_from_store(site, self.world.locations[place[0]], self.home(site, item), item, quantity, at)

    def _overdraw_consigned(self, site: str, d: date) -> None:
        shelves = [
            (number, shelf)
            for (location_id, number, owner), shelf in self._lots.items()
            if owner == "CONSIGNED"
            and location_id == f"{site}-CNS"
            and not self._item_of[number].is_serial_tracked
            and sum(shelf.values(), ZERO) > 0
            and not self.book.is_in_use(
                Shelf(self.world.locations[location_id], self._item_of[number], number, owner, shelf), d
            )
        ]
        if not shelves:
            return
        number, shelf = self.chance.stream("negative consigned", site, d).pick(shelves)
        item = self._item_of[number]
        quantity = sum(shelf.values(), ZERO) + 2
        lot = next(iter(shelf))
        scan = Scan(site, f"{site}-CNS", item, quantity, self.clock(site, d, 17, 15), lot=lot)
        self._record(scan, "ADJUST", -quantity, owner="CONSIGNED", reason="RTN")
        self.plan.note("UI-05", self._on_hand_key((f"{site}-CNS", item.key)), site, True, "consigned")

    def close_day(self, d: date) -> None:
        """Record closing balances and the averages that changed."""
        for (location_id, number, owner), shelf in self._lots.items():
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
            item = self._item_of[number]
            average = self.average(location.site, location_id, item.key) if location.is_asset else None
            self.world.on_hand.append(
                OnHand(d, location.site, location_id, number, item.key, owner, quantity, average or item.price_each)
            )
        for location, item, quantity in self.false_balances:
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
        self._publish_averages(d)

    def _publish_averages(self, d: date) -> None:
        for (site, location_id, item_key), held in self._held.items():
            fresh = (site, location_id, item_key) in self._converted
            if fresh or self._night.get((site, location_id, item_key)) != held.average:
                self._night[(site, location_id, item_key)] = held.average
                self.world.costs.append(CostVersion("average", site, location_id, item_key, d, held.average))
        self._converted.clear()

    # ------------------------------------------------------------------------------------------------ recorded rows

    def _document(self, prefix: str) -> str:
        self._documents += 1
        return f"{prefix}{self._documents:08d}"

    @staticmethod
    def _device(location: Location, terminal: str = "T1") -> str:
        return f"{location.pou_code}-{terminal}"

    def _record(
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
        location = self.world.locations[scan.location_id]
        item = scan.item
        number = scan.pou_item_no or self.number(scan.site, item)
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
        if self.materials is not None and not self.materials.names_case(scan):
            case_typed = None
        if txn_type != "COUNT" and location.is_perpetual:
            shelf = self._lots.setdefault((scan.location_id, number, owner), {})
            lot = scan.lot if item.is_lot_tracked else Lot()
            left = shelf.get(lot, ZERO) + quantity
            if left == 0 and item.is_lot_tracked:
                shelf.pop(lot, None)
            else:
                shelf[lot] = left
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
            expiry_date=_scanned_expiry(scan),
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
        if self.materials is not None and moved.txn_type == "CONSIGN_IN" and self.materials.keeps(scan.site):
            return moved  # the closet of an MMIS is filled without a row (landscape 7.2)
        self.book.moved(moved)
        if self.book.is_lost(moved):
            return moved
        self.world.movements.append(moved)
        if role is not None and amount:
            self._post(moved, role, department, amount)
        if self.materials is not None and self.materials.keeps(scan.site):
            self.materials.transaction(scan, moved)
        else:
            self._emit(scan, moved, location, stream.integer(1, 40))
        return moved

    def _txn_id(self, site: str, location: Location, terminal: str) -> str:
        """The next number of the device, or of the MMIS database."""
        if self.materials is not None and self.materials.keeps(site):
            return self.materials.next_number(site)
        device = self._device(location, terminal)
        sequence = self._sequence.get(device, 100) + 1
        if self.plan.defects and self.plan.quirk("Q56", "gap", device, sequence, share=0.004):
            sequence += self.chance.stream("lost rows", device, sequence).integer(1, 3)
        self._sequence[device] = sequence
        return f"{device}-{sequence:09d}"

    def _drift(self, location: Location, at: datetime) -> timedelta:
        """Q54: device clocks drift by minutes; one cabinet did not follow the switch to daylight saving time."""
        device = self._device(location)
        if not self.plan.shows("Q54") or location.mmis_no is not None:
            return timedelta()
        sites = [site.pou_site for site in self.world.hospitals() if site.stock_system == "pou"]
        if sites and device == f"{sites[0]}-CAB-01-T1" and date(at.year, 3, 8) <= at.date() < date(at.year, 3, 20):
            return timedelta(minutes=-61)
        stream = self.chance.stream("drift", device)
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

    def _expiry_text(self, scan: Scan) -> str | None:
        """Expiry as scanned; Q61: the last day of a month is often written as day 00."""
        expiry = scan.lot.expiry
        if scan.expiry_text is not None or expiry is None:
            return scan.expiry_text
        if expiry == _month_end(expiry) and self.plan.quirk("Q61", scan.item.key, scan.lot.lot, share=0.5):
            return expiry.strftime("%y%m00")
        return expiry.strftime("%y%m%d")

    def _emit(self, scan: Scan, moved: Movement, location: Location, bin_number: int) -> None:
        item = scan.item
        lot = scan.lot
        expiry = self._expiry_text(scan)
        cost = None
        if moved.owner == "OWNED" and location.is_asset:
            cost = self._night.get(self._valued_at(scan.site, scan.location_id, item.key))
        udi = None
        if (lot.lot or lot.serial) and item.udi_type == 1:
            udi = self._scanned(moved, item, lot, expiry)
        row: dict[str, Value] = {
            "txn_id": moved.txn_id,
            "txn_seq": int(moved.txn_id.rsplit("-", 1)[1]),
            "device_id": self._device(location, scan.terminal),
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
            "on_hand_after": self.balance(location.location_id, moved.pou_item_no, moved.owner)
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
        self._scan_row(scan, disposition, picked, scan.at + timedelta(minutes=3))

    def _scan_row(
        self, scan: Scan, disposition: str, moved: Movement | None, posted_at: datetime | None = None
    ) -> None:
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


def _scanned_expiry(scan: Scan) -> date | None:
    """Expiry date as the scan tells it; day 00 is the last day of the month."""
    text = scan.expiry_text
    if text is None:
        return scan.lot.expiry
    year, month, day = 2000 + int(text[:2]), int(text[2:4]), int(text[4:])
    return date(year, month, day) if day else _month_end(date(year, month, 1))


def _month_end(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


class _Once:
    """Gives the rows of a master the first time and 'unchanged' from then on."""

    def __init__(self) -> None:
        self._sent: set[str] = set()

    def __call__(self, name: str, rows: object) -> Iterable[Row] | None:
        if name in self._sent:
            return None
        self._sent.add(name)
        return rows()  # type: ignore[operator]
