"""Shelves at the end of a day: the balances that the point-of-use system sends, and what goes wrong with them.

Here: `pou.onhand` by lot with its events (a snapshot knows what was posted by 23:59); lots that run out of date; what
is planted for the rules of stock: rows that get lost (UI-06), reorders forgotten (STK-01), empty shelves (STK-02),
short-dated lots (STK-04).
Not here: quantities and values, and why something moves (stock); recalled lots (recalls).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ingest.simulator.chance import Stream
from ingest.simulator.delivery import CHICAGO, Outbox, Row, contract
from ingest.simulator.events import Item, Location, Movement, ShelfLot, ShelfStatus
from ingest.simulator.scans import NO_LOT, Lot

if TYPE_CHECKING:
    from ingest.simulator.stock import Stock

ZERO = Decimal(0)
IN_USE = timedelta(days=30)
SHORT_DATED = (20, 50)  # days that a short-dated lot has left
LOOKED_AHEAD = 60  # limits.expiring_days
USES = ("ISSUE", "WASTE", "CONSIGN_USE")
Place = tuple[str, int]  # location, item


@dataclass(frozen=True, slots=True)
class Shelf:
    """One item number at one location for one owner, with its lots."""

    location: Location
    item: Item
    number: str
    owner: str
    lots: dict[Lot, Decimal]

    @property
    def key(self) -> tuple[str, str, str]:
        """Location, number and owner."""
        return self.location.location_id, self.number, self.owner

    @property
    def place(self) -> Place:
        """Location and item."""
        return self.location.location_id, self.item.key

    @property
    def balance(self) -> Decimal:
        """Quantity of all lots."""
        return sum(self.lots.values(), ZERO)


class Shelves:
    """The point-of-use system's view of the shelves, and the planted faults of stock."""

    def __init__(self, stock: Stock) -> None:
        """Bind the stock; nothing is planted until something moves."""
        self.stock = stock
        self.world, self.plan, self.chance = stock.world, stock.plan, stock.chance
        self._later: list[Movement] = []  # posted after the day on which they happened
        self._cut_on: date | None = None
        self._written: dict[tuple[str, str, str, Lot], tuple[tuple[object, ...], tuple[str, ...]]] = {}
        self._unknown: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)  # to the snapshot of that day
        self._lots: dict[tuple[str, str, str, Lot], Decimal] = {}
        self._statuses: dict[tuple[str, str], tuple[Decimal, Decimal | None, Decimal | None]] = {}
        self._last_use: dict[tuple[str, str], date] = {}
        self._forgotten: dict[Place, date] = {}
        self._empty: dict[Place, date] = {}
        self._emptied_unused: set[Place] = set()
        self._ran_out: set[Place] = set()  # by plan, at any time: each shelf once
        self._known_lots: dict[tuple[str, str, str], tuple[Lot, ...]] = {}

    # ------------------------------------------------------------------------------------------------- what happens

    def moved(self, movement: Movement) -> None:
        """Take note of a movement: what is used where, what the snapshot of its day does not know yet."""
        if movement.txn_type in USES:
            self._last_use[movement.location_id, movement.pou_item_no] = movement.happened_at.date()
        if movement.posted_at.astimezone(CHICAGO).date() > movement.happened_at.date():
            self._later.append(movement)

    def is_in_use(self, shelf: Shelf, d: date) -> bool:
        """Whether something was used from the shelf in the last 30 days."""
        last = self._last_use.get(shelf.key[:2])
        return last is not None and last > d - IN_USE

    # ------------------------------------------------------------------------------------------------------- STK-01

    def is_forgotten(self, place: Place, d: date) -> bool:
        """Whether nobody asks for an item that must be ordered; some are forgotten for a few days."""
        until = self._forgotten.get(place)
        if until is not None:
            if d < until:
                return True
            del self._forgotten[place]
            return False
        location, item = self.world.locations[place[0]], self.world.items[place[1]]
        if location.location_type != "STOREROOM" or location.mmis_no is not None:
            return False
        if not self.plan.wants("STK-01", True, place, d, "not asked for"):
            return False
        stream = self.chance.stream("forgotten", *place, d)
        self._forgotten[place] = d + timedelta(days=stream.integer(2, 6))
        self.plan.note("STK-01", self._key(location, item), location.site, False, "not asked for")
        return True

    def is_reordered(self, location: Location, item: Item) -> bool:
        """Whether a location has a reorder point; shelves that the storeroom tops up go by their par level."""
        return location.location_type in ("STOREROOM", "WAREHOUSE") or self.stock.is_ordered_directly(item)

    # ------------------------------------------------------------------------------------------------------- STK-02

    def is_kept_empty(self, place: Place, d: date) -> bool:
        """Whether nobody refills an empty shelf yet."""
        until = self._empty.get(place)
        if until is None:
            return False
        if d >= until:
            del self._empty[place]
            self._emptied_unused.discard(place)
            return False
        return True

    def is_planned_out(self, place: Place, d: date) -> bool:
        """Whether the shelf is out of stock by plan, although it is used."""
        return self.is_kept_empty(place, d) and place not in self._emptied_unused

    def evening(self, d: date) -> None:
        """What the evening of `d` does to the shelves, after they were refilled and counted."""
        due = self.plan.is_due
        runs_out = due("STK-02", True, d, "shelf is empty") or due("STK-02", False, d, "not used")
        sends_on = due("STK-02", False, d, "transferred out")
        for site in self.world.hospitals() if runs_out or sends_on else ():
            stream = self.chance.stream("empty shelves", site.code, d)
            shelves = [
                shelf
                for shelf in self.stock.holdings.every_shelf()
                if shelf.location.site == site.code and self._may_run_out(shelf)
            ]
            used = [shelf for shelf in shelves if self.is_in_use(shelf, d)]
            unused = [shelf for shelf in shelves if shelf.key[:2] not in self._last_use]
            if used and self.plan.wants("STK-02", True, site.code, d, "shelf is empty"):
                self._run_out(stream.pick(used), d, stream, False)
            if unused and self.plan.wants("STK-02", False, site.code, d, "not used"):
                self._run_out(stream.pick(unused), d, stream, True)
            self._send_on(site.code, d, stream)

    def _may_run_out(self, shelf: Shelf) -> bool:
        location, item = shelf.location, shelf.item
        return (
            location.location_type in ("OR_CORE", "PROCEDURAL")
            and not item.is_lot_tracked
            and shelf.owner == "OWNED"
            and shelf.number == self.stock.number(location.site, item)
            and not self.stock.aliases(location.site, item)
            and shelf.balance > 0
            and shelf.place not in self._ran_out
            and self.stock.holdings.level(location.location_id, item.key) is not None
        )

    def _run_out(self, shelf: Shelf, d: date, stream: Stream, is_near_miss: bool) -> None:
        """A count finds the shelf empty, and for some days nobody refills it."""
        location, item = shelf.location, shelf.item
        at = self.stock.clock(location.site, d, 21, 35)
        self.stock.counts.adjust(location.site, location.location_id, item, -shelf.balance, at, "CNT")
        self._ran_out.add(shelf.place)
        self._empty[shelf.place] = d + timedelta(days=stream.integer(2, 5))
        if is_near_miss:
            self._emptied_unused.add(shelf.place)
        reason = "nobody used it" if is_near_miss else "found empty"
        self.plan.note("STK-02", self._key(location, item), location.site, is_near_miss, reason)

    def _send_on(self, site: str, d: date, stream: Stream) -> None:
        """STK-02 as near miss: the storeroom gave its last piece to the shelves; it is used there, not here."""
        store = self.stock.location(site, "STR")
        shelves = [
            shelf
            for shelf in self.stock.holdings.every_shelf()
            if shelf.location is store and shelf.item.home in ("ORC", "CTH") and 0 < shelf.balance < 60
        ]
        if not shelves or not self.plan.wants("STK-02", False, site, d, "transferred out"):
            return
        shelf = stream.pick(shelves)
        at = self.stock.clock(site, d, 21, 40)
        self.stock.move_to_shelf(store, self.stock.home(site, shelf.item), shelf.item, shelf.balance, at)
        self.plan.note("STK-02", self._key(store, shelf.item), site, True, "transferred out")

    # ------------------------------------------------------------------------------------------------------- STK-04

    def opening_lot(self, site: str, item: Item, lot: Lot, key: str, d: date) -> Lot:
        """A lot of the opening stock: now and then one that has few days left, or just enough."""
        stream = self.chance.stream("opening lot", site, item.key, key)
        if self.world.sites[site].stock_system != "pou" or not stream.flag(0.12):
            return lot
        if self.plan.wants("STK-04", True, (site, item.key, key), variant="opening"):
            expiry = d + timedelta(days=stream.integer(LOOKED_AHEAD - 20, LOOKED_AHEAD + 10))
            self._note_short(site, item, replace(lot, expiry=expiry), False, "short-dated at the start")
            return replace(lot, expiry=expiry)
        if self.plan.wants("STK-04", False, (site, item.key, key), variant="outside the window"):
            expiry = self.world.end + timedelta(days=LOOKED_AHEAD + stream.integer(1, 12))
            self._note_short(site, item, replace(lot, expiry=expiry), True, "expires later than that")
            return replace(lot, expiry=expiry)
        return lot

    def received_lot(self, site: str, item: Item, lot: Lot, quantity: Decimal, at: datetime, receipt: str) -> Lot:
        """A lot that arrives: now and then a short-dated one."""
        if lot.expiry is None or quantity < 2 or self.world.sites[site].stock_system != "pou":
            return lot
        if not self.plan.wants("STK-04", True, receipt, at.date(), "short-dated receipt"):
            return lot
        days = self.chance.stream("short-dated", receipt).integer(*SHORT_DATED)
        short = replace(lot, expiry=at.date() + timedelta(days=days))
        self._note_short(site, item, short, False, "received short-dated")
        return short

    def _note_short(self, site: str, item: Item, lot: Lot, is_near_miss: bool, reason: str) -> None:
        key = f"{self._key(self.stock.home(site, item), item)}|lot={lot.lot}"
        self.plan.note("STK-04", key, site, is_near_miss, reason)

    def take_expired(self, d: date) -> None:
        """On the evening of its last day a lot leaves the shelf."""
        for shelf in self.stock.holdings.every_shelf():
            if not shelf.item.is_lot_tracked:
                continue
            for lot, quantity in list(shelf.lots.items()):
                if lot.expiry is not None and lot.expiry <= d and quantity > 0:
                    at = self.stock.clock(shelf.location.site, d, 20, 15)
                    self.stock.counts.write_off(shelf, lot, quantity, at, "EXPIRED", "EXP")

    # ------------------------------------------------------------------------------------------------------- UI-06

    def is_lost(self, movement: Movement) -> bool:
        """Whether the row of a movement gets lost between device and server, while the balance knows of it.

        Only rows of cabinets that no case and no document names: the ERP has none of them.
        """
        location = self.world.locations[movement.location_id]
        if self.world.items[movement.item_key].usage_class == "unmapped_pou":
            return False
        if location.location_type != "CABINET" or movement.txn_type != "ISSUE" or movement.case_typed:
            return False
        d = movement.happened_at.date()
        if movement.ref_doc or movement.posted_at.astimezone(CHICAGO).date() != d:
            return False
        if not self.plan.wants("UI-06", True, movement.txn_id, d, "row lost"):
            return False
        key = f"location={location.pou_code}|item={movement.pou_item_no}|lot={movement.lot or ''}"
        self.plan.note("UI-06", key, movement.site, False, "row lost")
        return True

    def _misread(self, shelf: Shelf, lot: Lot, quantity: Decimal, d: date) -> Decimal:
        """UI-06: a balance that was read while something moved, wrong on that day alone."""
        location = shelf.location
        if quantity < 6 or location.location_type not in ("STOREROOM", "OR_CORE") or shelf.owner != "OWNED":
            return quantity
        if not self.plan.is_due("UI-06", True, d, "read while moving"):
            return quantity
        if not self.chance.stream("misread", *shelf.key, lot.lot, d).flag(0.02):
            return quantity
        if not self.plan.wants("UI-06", True, shelf.key, d, "read while moving"):
            return quantity
        key = f"{self._key(location, shelf.item)}|lot={lot.lot or ''}"
        self.plan.note("UI-06", key, location.site, False, "read while moving")
        return quantity - self.chance.stream("misread by", *shelf.key, d).integer(1, 5)

    # --------------------------------------------------------------------------------------------------- snapshots

    def not_yet(self, shelf: tuple[str, str, str], d: date) -> Decimal:
        """What the snapshot of `d` does not know of a shelf: rows of offline devices that are posted later."""
        if self._cut_on != d:
            self._cut_on = d
            known = datetime.combine(d, time(23, 59), CHICAGO)
            self._later = [movement for movement in self._later if movement.posted_at >= known]
            self._unknown.clear()
            for movement in self._later:
                self._unknown[_shelf_of(movement)] += movement.quantity_each
        return self._unknown.get(shelf, ZERO)

    def rows(self, d: date) -> Iterable[Row | tuple[str, ...]]:
        """The balances of the evening of `d`; an empty shelf that is managed shows as zero."""
        rows: list[Row | tuple[str, ...]] = []
        status: dict[tuple[str, str], list[tuple[Shelf, Decimal]]] = {}
        for shelf in self.stock.holdings.every_shelf():
            location = shelf.location
            if not location.is_perpetual or location.mmis_no is not None:
                continue
            level = self.stock.holdings.level(location.location_id, shelf.item.key)
            lots = dict(shelf.lots)
            if not lots and level is not None:
                lots = {NO_LOT: ZERO}
            for lot, quantity in lots.items():
                if not shelf.item.is_lot_tracked:
                    quantity -= self.not_yet(shelf.key, d)
                quantity = self._misread(shelf, lot, quantity, d)
                rows.append(self._cells_of(d, shelf, lot, quantity))
                self._keep_lot(d, shelf, lot, quantity)
                status.setdefault(shelf.key[:2], []).append((shelf, quantity))
            for lot in [kept[3] for kept in self._gone(shelf, lots)]:
                self._keep_lot(d, shelf, lot, ZERO)
        for key, entries in status.items():
            self._keep_status(d, key, entries)
        for location, item, quantity in self.stock.counts.false_balances:
            if location.mmis_no is None:
                shelf = Shelf(location, item, item.pou_no or "", "OWNED", {})
                rows.append({**self._row(d, shelf, NO_LOT, quantity), "reorder_point_each": None})
        return rows

    def _gone(self, shelf: Shelf, lots: dict[Lot, Decimal]) -> list[tuple[str, str, str, Lot]]:
        if not shelf.item.is_lot_tracked:
            return []
        known = self._known_lots.get(shelf.key, ())
        gone = [(*shelf.key, lot) for lot in known if lot not in lots]
        self._known_lots[shelf.key] = tuple(lots)
        return gone

    def _keep_lot(self, d: date, shelf: Shelf, lot: Lot, quantity: Decimal) -> None:
        key = (*shelf.key, lot)
        if self._lots.get(key, None if quantity else ZERO) == quantity:
            return
        self._lots[key] = quantity
        self.world.shelf_lots.append(
            ShelfLot(
                business_date=d,
                site=shelf.location.site,
                location_id=shelf.location.location_id,
                pou_item_no=shelf.number,
                item_key=shelf.item.key,
                owner=shelf.owner,
                lot=lot.lot,
                serial=lot.serial,
                expiry_date=lot.expiry,
                quantity_each=quantity,
            )
        )

    def _keep_status(self, d: date, key: tuple[str, str], entries: list[tuple[Shelf, Decimal]]) -> None:
        shelf = entries[0][0]
        available = sum((quantity for _, quantity in entries), ZERO)
        state = (available, self._on_order(shelf), self._reorder(shelf))
        if self._statuses.get(key) == state:
            return
        self._statuses[key] = state
        self.world.shelf_statuses.append(ShelfStatus(d, shelf.location.site, key[0], key[1], shelf.item.key, *state))

    def _on_order(self, shelf: Shelf) -> Decimal | None:
        if not shelf.location.is_asset:
            return None
        return self.stock.on_order(shelf.location.location_id, shelf.item.key)

    def _reorder(self, shelf: Shelf) -> Decimal | None:
        level = self.stock.holdings.level(shelf.location.location_id, shelf.item.key)
        return level.reorder if level is not None and self.is_reordered(shelf.location, shelf.item) else None

    def _cells_of(self, d: date, shelf: Shelf, lot: Lot, quantity: Decimal) -> tuple[str, ...]:
        """The cells of a lot's row; where only the day is another they are those of the evening before."""
        key, location = (*shelf.key, lot), shelf.location
        state = (
            quantity,
            self._on_order(shelf),
            self.stock.holdings.night_cost(location, shelf.item),
            self.stock.counts.counted_at(location.location_id, shelf.item),
        )
        known = self._written.get(key)
        if known is not None and known[0] == state:
            return d.isoformat(), *known[1][1:]
        cells = Outbox.cells(contract("pou")["onhand"], self._row(d, shelf, lot, quantity))
        self._written[key] = state, cells
        return cells

    def _row(self, d: date, shelf: Shelf, lot: Lot, quantity: Decimal) -> Row:
        location, item = shelf.location, shelf.item
        level = self.stock.holdings.level(location.location_id, item.key)
        return {
            "snapshot_date": d,
            "site": self.world.sites[location.site].pou_site,
            "location_code": location.pou_code,
            "item_no": shelf.number,
            "lot": lot.lot,
            "serial": lot.serial,
            "expiry_date": lot.expiry.strftime("%y%m%d") if lot.expiry else None,
            "owner_type": shelf.owner,
            "qty_each": quantity,
            "allocated_each": ZERO,
            "on_order_each": self._on_order(shelf),
            "unit_cost": self.stock.holdings.night_cost(location, item) if shelf.owner == "OWNED" else None,
            "par_each": level.maximum if level else None,
            "reorder_point_each": self._reorder(shelf),
            "max_each": level.maximum if level else None,
            "last_counted_at": self.stock.counts.counted_at(location.location_id, item)
            if shelf.number == item.pou_no
            else None,
        }

    def _key(self, location: Location, item: Item) -> str:
        return f"location={location.pou_code}|item={self.stock.number(location.site, item)}"


def _shelf_of(movement: Movement) -> tuple[str, str, str]:
    return movement.location_id, movement.pou_item_no, movement.owner
