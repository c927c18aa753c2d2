"""Counts and what a count or a person corrects: differences, expired goods, balances below zero.

Here: cycle counts of an evening (COUNT rows are absolute, Q53), adjustments, write-offs, what settles a negative or an
empty shelf; planted negatives (UI-05).
Not here: quantities and values (holdings), planted empty shelves and lost rows (shelves).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ingest.simulator.amounts import ZERO
from ingest.simulator.events import Item, Location, Movement
from ingest.simulator.scans import NO_LOT, Lot, Scan
from ingest.simulator.shelves import Shelf

if TYPE_CHECKING:
    from ingest.simulator.stock import Stock

COUNTED_SHARE = 0.007  # of the shelves of a site are counted in an evening: each one twice or three times a year
LEAST_COUNTED = 2
COUNTED_WRONG = 0.06


class Counts:
    """People who count, correct and write off."""

    def __init__(self, stock: Stock) -> None:
        self.stock, self.holdings, self.movements = stock, stock.holdings, stock.movements
        self.world, self.plan, self.chance = stock.world, stock.plan, stock.chance
        self.false_balances: list[tuple[Location, Item, Decimal]] = []  # of locations that keep no quantities
        self._counted: dict[tuple[str, str], datetime] = {}
        self._planned_negative: dict[tuple[str, int], date] = {}

    def counted_at(self, location_id: str, item: Item) -> datetime | None:
        """When a shelf was last counted."""
        return self._counted.get((location_id, self.stock.number(self.world.locations[location_id].site, item)))

    def count(self, site: str, d: date) -> None:
        """A few shelves of a site are counted every evening; a difference is corrected at once."""
        stream = self.chance.stream("count", site, d)
        shelves = [
            (location_id, item_key)
            for (location_id, item_key) in self.holdings.levels
            if self.world.locations[location_id].site == site and self.world.locations[location_id].is_perpetual
        ]
        document = self.movements.document("CC")
        counted = max(LEAST_COUNTED, round(len(shelves) * COUNTED_SHARE))
        for line, (location_id, item_key) in enumerate(stream.sample(shelves, counted), start=1):
            item = self.world.items[item_key]
            if item.is_lot_tracked or (location_id, item_key) in self._planned_negative:
                continue
            expected = self.holdings.balance(location_id, self.stock.number(site, item))
            if expected <= 0:
                continue
            delta = Decimal(stream.pick((-1, 1))) if stream.flag(COUNTED_WRONG) and expected > 3 else ZERO
            self._count_line(
                site, location_id, item, expected, delta, self.stock.clock(site, d, 19, 10), document, line
            )

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
        self.movements.record(counted, "COUNT", expected + delta, ref_doc=document, ref_line=line)
        adjusted = None
        if delta:
            adjusted = self.adjust(site, location_id, item, delta, at + timedelta(minutes=2), "CNT", document, line)
        posted = at + timedelta(minutes=6)
        self._counted[(location_id, self.stock.number(site, item))] = at
        if self.world.sites[site].stock_system == "mmis":
            return
        self.stock.rows.counted(item, location_id, expected, delta, at, document, line, adjusted, posted)

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
                amount, unit_cost = self.holdings.leave(site, location_id, item, -delta)
            else:
                unit_cost = self.holdings.average(site, location_id, item.key) or item.price_each
                amount = self.holdings.find(site, location_id, item, delta, unit_cost)
        else:
            self.holdings.shift((location_id, item.key), delta)
        return self.movements.record(
            Scan(site, location_id, item, abs(delta), at, lot=lot or NO_LOT, posted_at=posted_at),
            "ADJUST",
            delta,
            ref_doc=ref_doc,
            ref_line=ref_line,
            amount=amount,
            unit_cost=unit_cost,
            event="E13" if location.is_asset else None,
            reason=reason,
        )

    def expire(self, site: str, d: date) -> None:
        """A piece of something without lots is found to be out of date and thrown away."""
        stream = self.chance.stream("expire", site, d)
        candidates = [
            (location_id, item_key)
            for (location_id, item_key) in self.holdings.levels
            if self.world.locations[location_id].site == site
            and self.world.locations[location_id].is_asset
            and not self.world.items[item_key].is_lot_tracked
            and self.holdings.balance(location_id, self.stock.number(site, self.world.items[item_key])) > 4
        ]
        for location_id, item_key in stream.sample(candidates, 1):
            item = self.world.items[item_key]
            amount, unit_cost = self.holdings.leave(site, location_id, item, Decimal(1))
            scan = Scan(site, location_id, item, Decimal(1), self.stock.clock(site, d, 15, 20))
            self.movements.record(
                scan, "EXPIRED", Decimal(-1), amount=amount, unit_cost=unit_cost, event="E12", reason="EXP"
            )

    def settle_negatives(self, d: date) -> None:
        """Planned negative balances come and go; any other is found and corrected the same evening.

        So is a shelf in use that ran out: some pieces are found (STK-02 is planned apart).
        """
        for place, until in list(self._planned_negative.items()):
            if d >= until:
                del self._planned_negative[place]
        for shelf in list(self.holdings.every_shelf()):
            location, item, balance = shelf.location, shelf.item, shelf.balance
            if self.stock.materials is not None:  # what the night shift brings comes after tonight's tables (Q90)
                balance -= self.stock.materials.not_yet(shelf.key, d)
            runs_out = (
                balance == 0
                and self.stock.book.is_in_use(shelf, d)
                and not self.stock.book.is_planned_out(shelf.place, d)
            )
            if not location.is_perpetual or (balance >= 0 and not runs_out):
                continue
            at = self.stock.clock(location.site, d, 21, 5)
            if shelf.owner == "CONSIGNED":
                self.stock.consign_in(location.site, item, 1 - balance, at)  # the representative tops it up
                continue
            if shelf.place in self._planned_negative:
                continue
            document = self.movements.document("CC")
            step = item.packages[1].each if len(item.packages) > 1 else Decimal(4)
            self._settle(location, item, -balance + step, at, document, shelf.number)
        self._plan_negatives(d)

    def _settle(self, location: Location, item: Item, delta: Decimal, at: datetime, document: str, number: str) -> None:
        if number != self.stock.number(location.site, item):
            scan = Scan(location.site, location.location_id, item, delta, at, pou_item_no=number)
            unit_cost = self.holdings.average(location.site, location.location_id, item.key) or item.price_each
            amount = self.holdings.find(location.site, location.location_id, item, delta, unit_cost)
            self.movements.record(
                scan, "ADJUST", delta, ref_doc=document, amount=amount, unit_cost=unit_cost, event="E13", reason="CNT"
            )
            return
        lot = self.stock.new_lot(item, at.date(), f"found|{document}") if item.is_lot_tracked else None
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
            amount, unit_cost = self.holdings.leave(location.site, location.location_id, item, quantity)
        return self.movements.record(
            Scan(location.site, location.location_id, item, quantity, at, lot=lot),
            txn_type,
            -quantity,
            amount=amount,
            unit_cost=unit_cost,
            event="E12" if is_valued else None,
            reason=reason,
            owner=shelf.owner,
        )

    def _plan_negatives(self, d: date) -> None:
        """UI-05: a shelf emptied on paper because its receipt was not put away; and what only looks like it."""
        # In mixed order, so that no site gets all of them.
        for site in self.chance.stream("negatives", d).sample(list(self.world.sites), len(self.world.sites)):
            stream = self.chance.stream("negative", site, d)
            shelves = [
                (location_id, item_key)
                for (location_id, item_key) in self.holdings.levels
                if location_id == f"{site}-STR"
                and (location_id, item_key) not in self._planned_negative
                and self.world.items[item_key].home in ("ORC", "CTH")
                and ZERO < self.holdings.balance(location_id, self.stock.number(site, self.world.items[item_key])) < 40
            ]
            if len(shelves) < 3:
                continue
            first, second = stream.sample(shelves, 2)
            if self.plan.wants("UI-05", True, site, d):
                self._overdraw(site, first, Decimal(stream.integer(3, 9)), self.stock.clock(site, d, 21, 30))
                self._planned_negative[first] = d + timedelta(days=stream.integer(1, 4))
                key = self._on_hand_key(first)
                self.plan.note("UI-05", key, site, False, "receipt not put away")
            if self.plan.wants("UI-05", False, site, d, "during the day"):
                over = Decimal(stream.integer(2, 5))
                self._overdraw(site, second, over, self.stock.clock(site, d, 21, 32))
                item = self.world.items[second[1]]
                self.adjust(site, second[0], item, over + 3, self.stock.clock(site, d, 21, 50), "CNT")
                self.plan.note("UI-05", self._on_hand_key(second), site, True, "negative during the day only")
            if self.plan.wants("UI-05", False, site, d, "consigned"):
                self._overdraw_consigned(site, d)
            if self.plan.wants("UI-05", False, site, d, "not perpetual"):
                pars = [
                    place for place in self.holdings.levels if self.world.locations[place[0]].location_type == "PAR"
                ]
                place = stream.pick([entry for entry in pars if entry[0].startswith(site)])
                location, item = self.world.locations[place[0]], self.world.items[place[1]]
                self.false_balances.append((location, item, Decimal(-stream.integer(2, 9))))
                self.plan.note("UI-05", self._on_hand_key(place), site, True, "no quantities are kept there")

    def _on_hand_key(self, place: tuple[str, int]) -> str:
        location, item = self.world.locations[place[0]], self.world.items[place[1]]
        return f"location={location.pou_code}|item={self.stock.number(location.site, item)}"

    def _overdraw(self, site: str, place: tuple[str, int], over: Decimal, at: datetime) -> None:
        item = self.world.items[place[1]]
        quantity = self.holdings.balance(place[0], self.stock.number(site, item)) + over
        self.stock.move_to_shelf(self.world.locations[place[0]], self.stock.home(site, item), item, quantity, at)

    def _overdraw_consigned(self, site: str, d: date) -> None:
        shelves = [
            (number, shelf)
            for (location_id, number, owner), shelf in self.holdings.lots.items()
            if owner == "CONSIGNED"
            and location_id == f"{site}-CNS"
            and not self.holdings.item_of[number].is_serial_tracked
            and sum(shelf.values(), ZERO) > 0
            and not self.stock.book.is_in_use(
                Shelf(self.world.locations[location_id], self.holdings.item_of[number], number, owner, shelf), d
            )
        ]
        if not shelves:
            return
        number, shelf = self.chance.stream("negative consigned", site, d).pick(shelves)
        item = self.holdings.item_of[number]
        quantity = sum(shelf.values(), ZERO) + 2
        lot = next(iter(shelf))
        scan = Scan(site, f"{site}-CNS", item, quantity, self.stock.clock(site, d, 17, 15), lot=lot)
        self.movements.record(scan, "ADJUST", -quantity, owner="CONSIGNED", reason="RTN")
        self.plan.note("UI-05", self._on_hand_key((f"{site}-CNS", item.key)), site, True, "consigned")
