"""What each site holds: lots on its shelves, owned quantities, and their value at the moving average.

Here: balances by shelf and lot, quantity and value where the site's ERP values them, levels, the averages of the night,
the conversion of a site's value to the cloud.
Not here: why something moves (stock, counts), the rows of a movement (movements).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice

from ingest.simulator.amounts import FIVE_PLACES, ZERO, money
from ingest.simulator.events import CostVersion, Item, Location, Movement, StockPosition, World
from ingest.simulator.scans import Lot
from ingest.simulator.shelves import Shelf


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


class Holdings:
    """Quantities and values of every site; nothing is there until something is put there."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lots: dict[tuple[str, str, str], dict[Lot, Decimal]] = {}  # by location, item number and owner
        self._shelves: list[Shelf] = []  # of the lots above, in their order
        self.owned: dict[tuple[str, int], Decimal] = {}  # by location and item
        self.levels: dict[tuple[str, int], Level] = {}
        self.item_of: dict[str, Item] = {}  # by number in an inventory system
        self._held: dict[tuple[str, str | None, int], Held] = {}
        self._night: dict[tuple[str, str | None, int], Decimal] = {}
        self._converted: set[tuple[str, str | None, int]] = set()  # valued anew, average not published yet
        self._unseen: dict[tuple[str, int], tuple[Decimal, Decimal]] = {}  # before a conversion

    def _valued_at(self, site: str, location_id: str | None, item_key: int) -> tuple[str, str | None, int]:
        return site, None if self.world.sites[site].erp == "erp_fusion" else location_id, item_key

    def arrive(self, site: str, location_id: str, item: Item, quantity: Decimal, value: Decimal) -> None:
        """Bring owned stock in (or take a receipt back): the moving average follows."""
        held = self._held.setdefault(self._valued_at(site, location_id, item.key), Held())
        total = held.quantity + quantity
        if held.quantity >= 0 and quantity > 0 and total > 0:
            average = ((held.value + value) / total).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
            held.average = average if average > 0 else held.average
        elif held.average == 0 and quantity > 0:
            held.average = (value / quantity).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        held.quantity = total
        held.value += value
        self.shift((location_id, item.key), quantity)

    def leave(self, site: str, location_id: str, item: Item, quantity: Decimal) -> tuple[Decimal, Decimal]:
        """Take owned stock out at its average: what it is worth, and the average."""
        held = self._held.setdefault(self._valued_at(site, location_id, item.key), Held(average=item.price_each))
        amount = money(quantity * held.average)
        held.quantity -= quantity
        held.value -= amount
        self.shift((location_id, item.key), -quantity)
        return amount, held.average

    def find(self, site: str, location_id: str, item: Item, quantity: Decimal, unit_cost: Decimal) -> Decimal:
        """Pieces that a count finds: they come in at `unit_cost`, the average stays; gives their value."""
        amount = money(quantity * unit_cost)
        held = self._held.setdefault(self._valued_at(site, location_id, item.key), Held(average=unit_cost))
        held.quantity += quantity
        held.value += amount
        self.shift((location_id, item.key), quantity)
        return amount

    def shift(self, place: tuple[str, int], quantity: Decimal) -> None:
        """Change the owned quantity of a place alone: a cabinet has no value."""
        self.owned[place] = self.owned.get(place, ZERO) + quantity

    def put(self, key: tuple[str, str, str], lot: Lot, quantity: Decimal) -> None:
        """Change the quantity of a lot on a shelf; a tracked lot of which nothing is left is gone."""
        shelf = self.lots.setdefault(key, {})
        left = shelf.get(lot, ZERO) + quantity
        if left == 0 and self.item_of[key[1]].is_lot_tracked:
            shelf.pop(lot, None)
        else:
            shelf[lot] = left

    def every_shelf(self) -> Iterator[Shelf]:
        """Every shelf of every site, empty ones that once held something included."""
        for (location_id, number, owner), lots in islice(self.lots.items(), len(self._shelves), None):
            self._shelves.append(Shelf(self.world.locations[location_id], self.item_of[number], number, owner, lots))
        return iter(self._shelves)

    def night_cost(self, location: Location, item: Item) -> Decimal | None:
        """Moving average of the night before at an asset location."""
        if not location.is_asset:
            return None
        return self._night.get(self._valued_at(location.site, location.location_id, item.key))

    def balance(self, location_id: str, number: str, owner: str = "OWNED") -> Decimal:
        """Quantity on the shelf under one number of the inventory system."""
        return sum(self.lots.get((location_id, number, owner), {}).values(), ZERO)

    def average(self, site: str, location_id: str | None, item_key: int) -> Decimal | None:
        """Moving average of the item where the site's ERP values it, now; None when it does not hold it."""
        held = self._held.get(self._valued_at(site, location_id, item_key))
        return held.average if held is not None else None

    def positions(self, site: str) -> Iterator[StockPosition]:
        """Owned stock as the site's ERP values it: by location (legacy) or for the organisation (cloud)."""
        for (holder, location_id, item_key), held in self._held.items():
            if holder == site:
                yield StockPosition(site, location_id, item_key, held.quantity, held.value, held.average)

    def quantities(self, site: str) -> Iterator[tuple[str, int, Decimal]]:
        """Owned quantity by asset location and item of one site, zero included once an item was there."""
        for (location_id, item_key), quantity in self.owned.items():
            location = self.world.locations[location_id]
            if location.site == site and location.is_asset:
                yield location_id, item_key, quantity

    def level(self, location_id: str, item_key: int) -> Level | None:
        """Reorder point and maximum of an item at a location."""
        return self.levels.get((location_id, item_key))

    def convert(self, site: str) -> list[StockPosition]:
        """Value the stock of a site for the organisation from now on, and no longer by location.

        Gives what the legacy ERP has on its books by location; movements that it was never told of are not in it.
        """
        self._shelves.clear()  # locations have other codes from now on
        booked: list[StockPosition] = []
        for (holder, location_id, item_key), held in list(self._held.items()):
            if holder != site or location_id is None:
                continue
            quantity, value = self._unseen.pop((location_id, item_key), (ZERO, ZERO))
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

    def foresee(self, movement: Movement) -> None:
        """Remember a movement of a site of the legacy ERP that only the cloud is told of: its conversion is near."""
        place = (movement.location_id, movement.item_key)
        quantity, value = self._unseen.get(place, (ZERO, ZERO))
        moved = (movement.erp_amount or ZERO).copy_sign(movement.quantity_each)
        self._unseen[place] = (quantity + movement.quantity_each, value + moved)

    def book_out(self, movement: Movement) -> None:
        """Take a movement out of the legacy ERP's books as well, at the location that it has left behind (Q121)."""
        held = self._held.setdefault((movement.site, movement.location_id, movement.item_key), Held())
        held.quantity += movement.quantity_each
        held.value += (movement.erp_amount or ZERO).copy_sign(movement.quantity_each)

    def open_positions(self) -> None:
        """Remember what the world opens with."""
        for (site_code, location_id, item_key), held in self._held.items():
            self.world.opening_stock.append(
                StockPosition(site_code, location_id, item_key, held.quantity, held.value, held.average)
            )

    def publish_averages(self, d: date) -> None:
        """Make the averages of the evening those of the night."""
        for (site, location_id, item_key), held in self._held.items():
            fresh = (site, location_id, item_key) in self._converted
            if fresh or self._night.get((site, location_id, item_key)) != held.average:
                self._night[(site, location_id, item_key)] = held.average
                self.world.costs.append(CostVersion("average", site, location_id, item_key, d, held.average))
        self._converted.clear()
