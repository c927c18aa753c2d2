"""Devices: implants that cannot be traced (UC-09), recalled lots used (UC-11) and on the shelf (STK-08).

Here: which lots a recall means, also by its free text; what an implant record must hold.
Not here: expired items (usage), device credits (credits).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Movement, Recall, ShelfLot
from ingest.simulator.oracle.calendar import DAY
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.identity import Identity, catalogue_key
from ingest.simulator.oracle.orders import code_key
from ingest.simulator.oracle.tolerance import cents
from ingest.simulator.oracle.usage import ISSUES
from ingest.simulator.oracle.view import Line, View

TRACED_AFTER = timedelta(days=1)
DONATION = 3  # STATIC_UDI_TYPE_C of donation identification numbers
RANGE = re.compile(r"\b([0-9A-Z]+)\s+(?:through|thru|to|-)\s+([0-9A-Z]+)\b")
NONE = Decimal(0)


@dataclass(frozen=True, slots=True)
class Device:
    """What one side knows of a device: identifiers at any package level, manufacturer and catalogue numbers."""

    identifiers: frozenset[str]
    manufacturer: str | None
    catalogue: frozenset[str]


@dataclass(frozen=True, slots=True)
class Notice:
    """A recall, ready to be held against devices and lots."""

    recall: Recall
    known: date
    device: Device
    lots: frozenset[str]
    ranges: tuple[tuple[str, int, int], ...]  # letters in front, first and last number

    def means(self, device: Device) -> bool:
        """Whether the device is the recalled one: by identifier, or by manufacturer and catalogue number."""
        if self.device.identifiers & device.identifiers:
            return True
        same_maker = self.device.manufacturer is not None and self.device.manufacturer == device.manufacturer
        return same_maker and bool(self.device.catalogue & device.catalogue)

    def has(self, lot: str | None) -> bool:
        """Whether the lot is among the recalled ones."""
        code = code_key(lot)
        if not code or code in self.lots:
            return bool(code)
        letters, number = split_lot(code)
        return any(letters == front and first <= number <= last for front, first, last in self.ranges)


def split_lot(code: str) -> tuple[str, int]:
    """A lot as what stands before its last digits, and these."""
    found = re.fullmatch(r"(.*?)(\d*)", code)
    assert found is not None
    return found[1], int(found[2] or -1)


def notice(recall: Recall, known: date, identity: Identity) -> Notice:
    """Read a recall: the lots of its list, and the ranges that its text writes (Q124)."""
    ranges = []
    for first, last in RANGE.findall(
        recall.code_info.upper().replace(" THROUGH ", " through ").replace(" TO ", " to ")
    ):
        (front, low), (back, high) = split_lot(code_key(first)), split_lot(code_key(last))
        if front == back and 0 <= low <= high:
            ranges.append((front, low, high))
    device = Device(
        identity.packages_of(recall.device_identifier),
        identity.manufacturer("ref", recall.recalling_firm),
        frozenset({catalogue_key(recall.catalogue_number)} if recall.catalogue_number else ()),
    )
    lots = frozenset(code_key(lot) for lot in recall.lots.split(";")) - {""}
    return Notice(recall, known, device, lots, tuple(ranges))


class DeviceRules:
    """The rules of devices over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        self._world = view.world
        self._notices = [
            notice(recall, view.deliveries.known_on("ref", recall.known_at), view.identity)
            for recall in view.world.recalls
        ]

        self._notices_by_key: dict[str, list[int]] = defaultdict(list)
        for number, note in enumerate(self._notices):
            for key in note.device.identifiers | note.device.catalogue:
                self._notices_by_key[key].append(number)
        self._devices: dict[str, Device] = {}

    def judge(self) -> None:
        """Follow all rules to the end of the world."""
        scans: dict[str, list[tuple[date, Movement]]] = defaultdict(list)
        for known, movement in self._view.movements():
            if movement.lot and movement.txn_type in ISSUES:
                log = self._view.log_of_number(movement.case_typed)
                if log:
                    scans[log].append((known, movement))
        for log_id, versions in self._view.cases.items():
            dates = set(versions.dates())
            dates.update(self._view.posting_date(case) + TRACED_AFTER for _, case in versions.rows if case.posted_at)
            for version in self._view.usage.get(log_id, {}).values():
                dates.update(version.dates())
            self._book.follow(dates, partial(self._traces_of, log_id))
            notices = self._concerning(log_id, scans[log_id])
            if notices:
                dates.update(known for known, _ in scans[log_id])
                dates.update(note.known for note in notices)
                self._book.follow(dates, partial(self._recalled_use_of, log_id, scans[log_id], notices))
        self._judge_shelves()

    # -------------------------------------------------------------------------------------------------------- UC-09

    def _traces_of(self, log_id: str, as_of: date, docket: Docket) -> None:
        case = self._view.case(log_id, as_of)
        if case is None or not self._view.is_posted(case) or as_of < self._view.posting_date(case) + TRACED_AFTER:
            return
        for line in self._view.lines(log_id, as_of):
            usage = line.usage
            if usage.record != "implant" or not usage.implant_id or line.used <= 0:
                continue
            if usage.device_identifier and (usage.lot or usage.serial):
                continue
            key = f"case={log_id}|implant={usage.implant_id}"
            reason = ""
            if usage.udi_type == DONATION and usage.device_identifier:
                reason = "tissue with a donation identification number"
            elif usage.is_tissue and usage.manufacturer_id is None:
                reason = "autograft"
            if reason:
                docket.spare("UC-09", case.site, key, case.surgery_date, reason)
            else:
                docket.fire("UC-09", case.site, key, cents(self._view.line_cost(case, line)), case.surgery_date)

    # -------------------------------------------------------------------------------------------------------- UC-11

    def _device(self, line: Line) -> Device:
        """A device as its implant record has it."""
        usage = line.usage
        maker = self._view.identity.manufacturer("ehr", usage.manufacturer_id)
        numbers = frozenset({catalogue_key(usage.manufacturer_number)} if usage.manufacturer_number else ())
        return Device(self._view.identity.packages_of(usage.device_identifier), maker, numbers)

    def _stocked(self, pou_item: str) -> Device:
        """An item as the inventory system's master has it."""
        if pou_item not in self._devices:
            self._devices[pou_item] = self._master_device(pou_item)
        return self._devices[pou_item]

    def _master_device(self, pou_item: str) -> Device:
        identity = self._view.identity
        master = identity.master("pou", pou_item)
        if master is None:
            return Device(frozenset(), None, frozenset())
        identifiers: frozenset[str] = frozenset()
        for gtin in master.gtins:
            identifiers |= identity.packages_of(gtin)
        maker = identity.manufacturer("pou", master.manufacturer)
        numbers = frozenset({catalogue_key(master.catalogue_number)} if master.catalogue_number else ())
        return Device(identifiers, maker, numbers)

    def _concerning(self, log_id: str, scans: Iterable[tuple[date, Movement]]) -> list[Notice]:
        """Recalls of products that the log may have used, whatever their lots."""
        if not self._notices:
            return []
        identity = self._view.identity
        keys: set[str] = set()
        for version in self._view.usage.get(log_id, {}).values():
            for _, line in version.rows:
                keys |= identity.packages_of(line.device_identifier)
                keys |= {catalogue_key(line.manufacturer_number)} if line.manufacturer_number else set()
        for _, movement in scans:
            device = self._stocked(movement.pou_item_no)
            keys |= device.identifiers | device.catalogue
        found = {number for key in keys for number in self._notices_by_key.get(key, ())}
        return [self._notices[number] for number in sorted(found)]

    def _recalled_use_of(
        self,
        log_id: str,
        scans: list[tuple[date, Movement]],
        notices: list[Notice],
        as_of: date,
        docket: Docket,
    ) -> None:
        case = self._view.case(log_id, as_of)
        if case is None or not self._view.counts(case):
            return
        used: list[tuple[Line, Device, str]] = []
        by_golden: dict[str, Line] = {}
        for line in self._view.lines(log_id, as_of):
            if line.usage.record == "implant" and line.usage.lot:
                used.append((line, self._device(line), line.usage.lot))
            if line.golden and not (line.usage.record == "implant" and line.usage.implant_id):
                by_golden.setdefault(line.golden, line)
        for known, movement in scans:
            golden = self._view.identity.golden("pou", movement.pou_item_no)
            if known <= as_of and golden in by_golden and movement.lot:
                used.append((by_golden[golden], self._stocked(movement.pou_item_no), movement.lot))
        for line, device, lot in used:
            key = f"case={log_id}|{line.name}"
            for note in notices:
                if note.known > as_of or not note.means(device):
                    continue
                if not note.has(lot):
                    docket.spare("UC-11", case.site, key, case.surgery_date, "other lots are recalled")
                elif case.surgery_date < note.recall.recall_date:
                    docket.spare("UC-11", case.site, key, case.surgery_date, "used before the recall date")
                else:
                    cost = self._view.line_cost(case, line)
                    docket.fire("UC-11", case.site, key, cents(cost), case.surgery_date)

    # -------------------------------------------------------------------------------------------------------- STK-08

    def _judge_shelves(self) -> None:
        lots: dict[tuple[str, str, str], dict[tuple[str | None, str], list[ShelfLot]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for row in self._view.shelf_lots():
            if row.lot:
                lots[row.location_id, row.pou_item_no, row.lot][row.serial, row.owner].append(row)
        for (location_id, pou_item, lot), parts in sorted(lots.items()):
            device = self._stocked(pou_item)
            keys = device.identifiers | device.catalogue
            near = sorted({number for key in keys for number in self._notices_by_key.get(key, ())})
            notices = [self._notices[number] for number in near if self._notices[number].means(device)]
            if not notices:
                continue
            rows = [row for part in parts.values() for row in part]
            dates = {row.business_date for row in rows}
            dates.update(day for note in notices for day in (note.known, note.recall.recall_date))
            last = min(self._view.until, max(dates))
            dates.update(last - DAY * number for number in range(max((last - min(dates)).days, 0)))
            dates.add(self._view.until)
            self._book.follow(
                dates, partial(self._shelf_of, (location_id, pou_item, lot), list(parts.values()), notices)
            )

    def _shelf_of(
        self,
        place: tuple[str, str, str],
        parts: list[list[ShelfLot]],
        notices: list[Notice],
        as_of: date,
        docket: Docket,
    ) -> None:
        location_id, pou_item, lot = place
        on_hand = NONE
        for rows in parts:
            at = bisect_right(rows, as_of, key=lambda row: row.business_date)
            on_hand += rows[at - 1].quantity_each if at else NONE
        location = self._world.locations[location_id]
        key = f"location={location.pou_code}|item={pou_item}|lot={lot}"
        known = [note for note in notices if note.known <= as_of]
        if not location.is_perpetual or not known:
            return
        recalled = [note for note in known if note.has(lot)]
        if not recalled:
            docket.spare("STK-08", location.site, key, as_of, "other lots are recalled")
        elif on_hand > 0 and any(note.recall.recall_date <= as_of for note in recalled):
            cost = self._view.inventory_cost(location.site, location_id, pou_item, as_of)
            docket.fire("STK-08", location.site, key, cents(Fraction(on_hand) * cost), as_of)
        else:
            docket.spare("STK-08", location.site, key, as_of, "off the shelf, or recalled from a later day on")
