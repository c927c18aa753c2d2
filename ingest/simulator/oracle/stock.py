"""Balances of the shelves: roll-forward (UI-06), reorder points (STK-01), stock-outs (STK-02), expiring lots (STK-04).

Here: what the snapshot of an evening says beside the movements of the day, the reorder point, the use and the expiry.
Not here: recalled lots (devices), negative balances (usage).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Movement, RequisitionState, ShelfLot, ShelfStatus
from ingest.simulator.oracle.calendar import DAY
from ingest.simulator.oracle.docket import Book, Docket, Entity
from ingest.simulator.oracle.tolerance import cents, limit
from ingest.simulator.oracle.usage import ISSUES
from ingest.simulator.oracle.view import IN, OUT, Versions, View

NO_MOVEMENT = ("COUNT", "NULL_TXN")
IN_USE = timedelta(days=30)
USE_WINDOW = 90
NONE = Decimal(0)

Place = tuple[str, str]  # location, inventory item
Known = list[tuple[date, Movement]]


class StockRules:
    """The rules of balances over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        self._world = view.world
        self._moves: dict[Place, Known] = defaultdict(list)
        for known, movement in view.movements():
            if movement.txn_type != "NULL_TXN":
                self._moves[movement.location_id, movement.pou_item_no].append((known, movement))
        self._lots: dict[Place, dict[tuple[str | None, str | None, str], list[ShelfLot]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for row in view.shelf_lots():
            self._lots[row.location_id, row.pou_item_no][row.lot, row.serial, row.owner].append(row)
        self._statuses: dict[Place, list[ShelfStatus]] = defaultdict(list)
        for status in (*view.shelf_statuses(), *self._materials_statuses()):
            self._statuses[status.location_id, status.pou_item_no].append(status)

    def judge(self) -> None:
        """Follow all four rules to the end of the world."""
        self._judge_roll_forward()
        self._judge_reorders()
        self._judge_stock_outs()
        self._judge_expiring()

    def _materials_statuses(self) -> Iterator[ShelfStatus]:
        """Balances of the MMIS by item, all owners; what is on order there only the ERP knows, a night later."""
        held: dict[Place, dict[str, Decimal]] = defaultdict(dict)
        for row in self._world.on_hand:
            is_kept = self._world.locations[row.location_id].is_perpetual
            if is_kept and self._world.sites[row.site].stock_system == "mmis":
                owners = held[row.location_id, row.pou_item_no]
                owners[row.owner] = row.quantity_each
                available = sum(owners.values(), NONE)
                yield ShelfStatus(
                    row.business_date, row.site, row.location_id, row.pou_item_no, row.item_key, available, None, None
                )

    def _key(self, place: Place) -> str:
        return f"location={self._world.locations[place[0]].pou_code}|item={place[1]}"

    # -------------------------------------------------------------------------------------------------------- UI-06

    def _judge_roll_forward(self) -> None:
        days = self._view.snapshots()
        for place in sorted({*self._lots, *self._moves}):
            location = self._world.locations[place[0]]
            if not location.is_perpetual or self._world.sites[location.site].stock_system != "pou":
                continue
            lots: dict[str, list[list[ShelfLot]]] = defaultdict(list)
            for (lot, _, _), rows in self._lots[place].items():
                lots[lot or ""].append(rows)
            moves: dict[str, Known] = defaultdict(list)
            for known, movement in self._moves[place]:
                moves[movement.lot or ""].append((known, movement))
            for lot in sorted({*lots, *moves}):
                self._roll(place, lot, lots[lot], moves[lot], days)

    def _roll(self, place: Place, lot: str, lots: list[list[ShelfLot]], moves: Known, days: list[date]) -> None:
        """Find the evenings whose balance is not that of the snapshot before and what was posted since."""
        breaks: dict[date, Decimal] = {}
        change: dict[date, Decimal] = defaultdict(Decimal)
        for rows in lots:
            before = NONE
            for row in rows:
                if row.business_date > days[0]:
                    change[row.business_date] += row.quantity_each - before
                before = row.quantity_each
        for known, movement in moves:
            if movement.txn_type not in NO_MOVEMENT:
                change[self._view.snapshot_of(known, days)] -= movement.quantity_each
        breaks = {day: difference for day, difference in change.items() if difference and day <= self._view.until}
        key = f"{self._key(place)}|lot={lot}"
        site = self._world.locations[place[0]].site
        if breaks:
            self._book.follow([day + DAY for day in sorted(breaks)], partial(self._roll_forward_of, place, key, breaks))
            return
        counted = {movement.ref_doc for _, movement in moves if movement.txn_type == "COUNT"}
        for known, movement in moves:
            reason = ""
            if known > max(movement.happened_at.date(), self._world.start):
                reason = "posted after the snapshot, with an earlier device time"
            elif movement.txn_type == "ADJUST" and movement.ref_doc in counted:
                reason = "a count sets the level"
            if reason:
                self._book.spare(Entity("UI-06", site, key), known, reason)
                return

    def _roll_forward_of(
        self, place: Place, key: str, breaks: dict[date, Decimal], as_of: date, docket: Docket
    ) -> None:
        day = max(day for day in breaks if day + DAY <= as_of)
        site = self._world.locations[place[0]].site
        cost = self._view.inventory_cost(site, place[0], place[1], day)
        docket.fire("UI-06", site, key, cents(Fraction(breaks[day]) * cost), day)

    # -------------------------------------------------------------------------------------------------------- STK-01

    def _status(self, place: Place, as_of: date) -> ShelfStatus | None:
        """What the latest balances say of an item at a location."""
        rows = self._statuses[place]
        at = bisect_right(rows, as_of, key=lambda row: row.business_date)
        return rows[at - 1] if at else None

    def _days_of_risk(self, rows: list[ShelfStatus], risky: Iterable[bool]) -> set[date]:
        """Days on which a status of risk is in force, and the day on which it ends."""
        days: set[date] = set()
        ends = [min(row.business_date, self._view.until) for row in rows[1:]] + [self._view.until]
        for row, end, is_risky in zip(rows, ends, risky, strict=True):
            if is_risky:
                days.update(row.business_date + DAY * number for number in range((end - row.business_date).days + 1))
        return days

    def _judge_reorders(self) -> None:
        requisitions = self._requisitions()
        shipped = self._shipments()
        for place, rows in sorted(self._statuses.items()):
            risky = [bool(row.reorder_each) and row.available_each <= (row.reorder_each or NONE) for row in rows]
            days = self._days_of_risk(rows, risky)
            if days:
                item_key = rows[0].item_key
                waiting = requisitions[place[0], item_key]
                on_road = shipped[place[0], item_key]
                self._book.follow(days, partial(self._reorder_of, place, waiting, on_road))

    def _requisitions(self) -> dict[tuple[str, int], list[Versions[RequisitionState]]]:
        lines: dict[tuple[str, str, int], Versions[RequisitionState]] = {}
        for row in self._world.requisitions:
            known = self._view.deliveries.known_on(row.erp, row.known_at)
            lines.setdefault((row.erp, row.number, row.line), Versions()).add(known, row)
        found: dict[tuple[str, int], list[Versions[RequisitionState]]] = defaultdict(list)
        for versions in lines.values():
            row = versions.rows[-1][1]
            found[row.location_id, row.item_key].append(versions)
        return found

    def _shipments(self) -> dict[tuple[str, int], list[tuple[date, date, Decimal]]]:
        """Transfers by destination: when the shipment and when its receipt is known, and how much is on the road."""
        received: dict[tuple[str | None, int | None], date] = {}
        for known, movement in self._view.transfers:
            if movement.event == IN:
                received[movement.ref_doc, movement.ref_line] = known
        found: dict[tuple[str, int], list[tuple[date, date, Decimal]]] = defaultdict(list)
        for known, movement in self._view.transfers:
            if movement.event == OUT and movement.to_location_id:
                until = received.get((movement.ref_doc, movement.ref_line), date.max)
                found[movement.to_location_id, movement.item_key].append((known, until, -movement.quantity_each))
        return found

    def _reorder_of(
        self,
        place: Place,
        requisitions: list[Versions[RequisitionState]],
        shipments: list[tuple[date, date, Decimal]],
        as_of: date,
        docket: Docket,
    ) -> None:
        status = self._status(place, as_of)
        if status is None or not status.reorder_each or status.available_each > status.reorder_each:
            return
        on_road = sum((quantity for since, until, quantity in shipments if since <= as_of < until), NONE)
        on_order = status.on_order_each or NONE
        key = self._key(place)
        waits = [row for row in (versions.at(as_of) for versions in requisitions) if row and not row.is_placed]
        if status.available_each + on_order + on_road > status.reorder_each:
            docket.spare("STK-01", status.site, key, as_of, "on order")
        elif waits:
            docket.spare("STK-01", status.site, key, as_of, "a requisition waits")
        else:
            docket.fire("STK-01", status.site, key, cents(0), as_of)

    # -------------------------------------------------------------------------------------------------------- STK-02

    def _judge_stock_outs(self) -> None:
        for place, rows in sorted(self._statuses.items()):
            days = self._days_of_risk(rows, [row.available_each <= 0 for row in rows])
            if days:
                self._book.follow(days, partial(self._stock_out_of, place))

    def _stock_out_of(self, place: Place, as_of: date, docket: Docket) -> None:
        status = self._status(place, as_of)
        if status is None or status.available_each > 0:
            return
        recent = [
            movement
            for known, movement in self._moves[place]
            if known <= as_of and as_of - IN_USE < movement.happened_at.date() <= as_of
        ]
        key = self._key(place)
        if any(movement.txn_type in ISSUES for movement in recent):
            docket.fire("STK-02", status.site, key, cents(0), as_of)
        elif any(movement.txn_type == "TRANSFER_OUT" for movement in recent):
            docket.spare("STK-02", status.site, key, as_of, "transferred out")
        else:
            docket.spare("STK-02", status.site, key, as_of, "not used in the last 30 days")

    # -------------------------------------------------------------------------------------------------------- STK-04

    def _judge_expiring(self) -> None:
        ahead = int(limit("expiring_days"))
        for place, lots in sorted(self._lots.items()):
            days: set[date] = set()
            for expiry in {row.expiry_date for rows in lots.values() for row in rows if row.expiry_date}:
                first = max(expiry - timedelta(days=ahead + 15), self._world.start)
                last = min(expiry + DAY, self._view.until)
                days.update(first + DAY * number for number in range((last - first).days + 1))
            if days:
                self._book.follow(days, partial(self._expiring_of, place, ahead))

    def _dated_lots(self, place: Place, as_of: date) -> Iterator[tuple[date, str, Decimal]]:
        """Lots on hand with their expiry date, first expired first."""
        found: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
        for (lot, _, _), rows in self._lots[place].items():
            at = bisect_right(rows, as_of, key=lambda row: row.business_date)
            row = rows[at - 1] if at else None
            if row is not None and row.expiry_date is not None and row.quantity_each > 0:
                found[row.expiry_date, lot or ""] += row.quantity_each
        return ((expiry, lot, quantity) for (expiry, lot), quantity in sorted(found.items()))

    def _use_a_day(self, place: Place, as_of: date) -> Fraction:
        """Issued, wasted and used less returned, per day of the last 90, or of those since the first movement."""
        moves = [
            movement
            for known, movement in self._moves[place]
            if known <= as_of and movement.txn_type not in NO_MOVEMENT and movement.happened_at.date() <= as_of
        ]
        if not moves:
            return Fraction(0)
        days = min(USE_WINDOW, (as_of - min(movement.happened_at.date() for movement in moves)).days + 1)
        used = sum(
            (
                -movement.quantity_each
                for movement in moves
                if movement.txn_type in (*ISSUES, "RETURN")
                and as_of - timedelta(days=USE_WINDOW) < movement.happened_at.date()
            ),
            NONE,
        )
        return max(Fraction(used), Fraction(0)) / days

    def _expiring_of(self, place: Place, ahead: int, as_of: date, docket: Docket) -> None:
        location = self._world.locations[place[0]]
        use = self._use_a_day(place, as_of)
        spoken_for = Fraction(0)
        excess: dict[str, Fraction] = defaultdict(Fraction)
        for expiry, lot, quantity in self._dated_lots(place, as_of):
            days = (expiry - as_of).days
            taken = max(min(use * days - spoken_for, Fraction(quantity)), Fraction(0))
            spoken_for += taken
            left = Fraction(quantity) - taken
            key = f"{self._key(place)}|lot={lot}"
            if days < 0:
                continue
            if days > ahead:
                if left and days <= ahead + 15:
                    docket.spare("STK-04", location.site, key, as_of, "expires later than that")
            elif left:
                excess[key] += left
            else:
                docket.spare("STK-04", location.site, key, as_of, "used up in time")
        for key, left in excess.items():
            cost = self._view.inventory_cost(location.site, place[0], place[1], as_of)
            docket.fire("STK-04", location.site, key, cents(left * cost), as_of)
