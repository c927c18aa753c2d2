"""Case carts: where usage is posted at the pick, all that a case may need leaves the shelf the evening before (Q66).

Here: what goes on a cart, which part of it stays with the case, what is left over to come back.
Not here: what the case uses (clinic), quantities and values (stock).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from ingest.simulator.chance import Chance
from ingest.simulator.events import Item, Location, Movement
from ingest.simulator.records import Line, PlannedCase
from ingest.simulator.scans import Scan
from ingest.simulator.stock import Stock

ZERO = Decimal(0)
SPARE_PIECES = ((0, 0.6), (1, 0.25), (2, 0.15))


@dataclass(slots=True)
class Picked:
    """One item on a cart."""

    scan: Scan
    movement: Movement
    line: Line | None  # what it is meant for; None: taken along to be on the safe side
    kept: Decimal = ZERO  # what the case took of it

    @property
    def left(self) -> Scan | None:
        """What comes back from the case, None when nothing does."""
        quantity = self.scan.quantity_each - self.kept
        return replace(self.scan, quantity_each=quantity) if quantity > 0 else None


@dataclass(slots=True)
class Cart:
    """The cart of one case with the usage it was packed for."""

    lines: list[Line]
    items: list[Picked]

    def take(self, line: Line) -> tuple[Movement | None, Decimal]:
        """The pick that covers a line and how much of it it covers; what is needed beyond comes from the shelf."""
        for picked in self.items:
            if picked.line is line:
                picked.kept = min(picked.scan.quantity_each, line.used + line.wasted)
                return picked.movement, picked.kept
        return None, ZERO

    def rest(self) -> Iterator[Scan]:
        """Everything that comes back."""
        return (left for picked in self.items if (left := picked.left) is not None)


def pick(
    stock: Stock, chance: Chance, planned: PlannedCase, lines: list[Line], cards: Sequence[Item], at: datetime
) -> Cart:
    """Issue a cart to its case: what the lines need, some pieces to spare, an item of the card that may stay closed."""
    stream = chance.stream("cart", planned.case_id)
    cart = Cart(lines, [])

    def put(item: Item, quantity: Decimal, home: Location, line: Line | None) -> None:
        scan = Scan(
            site=planned.site,
            location_id=home.location_id,
            item=item,
            quantity_each=quantity,
            at=at + timedelta(minutes=len(cart.items)),
            case_typed=planned.case_id,
            true_case_id=planned.case_id,
            department=planned.procedure.department,
            mrn=planned.patient.mrn,
        )
        if line is not None:
            scan = replace(scan, lot=line.lot)
        movement = stock.use(scan, with_scan_row=False)
        assert movement is not None  # what is picked is issued at once
        cart.items.append(Picked(scan, movement, line))

    for line in lines:
        if line.item is not None and line.location is not None and line.is_owned_stock:
            spare = ZERO if line.item.is_lot_tracked else Decimal(stream.weighted(SPARE_PIECES))
            put(line.item, line.used + line.wasted + spare, line.location, line)
    known = {line.item.key for line in lines if line.item is not None}
    unopened = [item for item in cards if item.key not in known and not item.is_lot_tracked]
    if unopened and stream.flag(0.5):
        item = stream.pick(unopened)
        put(item, Decimal(stream.integer(1, 3)), stock.home(planned.site, item), None)
    return cart
