"""The world as a right warehouse comes to know it: every record with the date on which a delivery first carries it.

Here: versions by known date, cases with their logs and usage, typed case numbers, identities, costs, charge prices.
Not here: any rule.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

from ingest.simulator.events import Case, Item, Movement, ShelfLot, ShelfStatus, UsageLine, World
from ingest.simulator.oracle.calendar import DAY, Deliveries, materials_folder
from ingest.simulator.oracle.costs import ChargePrices, UnitCosts
from ingest.simulator.oracle.identity import Identity, item_numbers
from ingest.simulator.oracle.tolerance import limit

T = TypeVar("T")
POSTED = (2, 5)
OUT, IN = "E15", "E16"  # events of a transfer between sites
PLACES = {"7010": "ORC", "7020": "CTH", "7030": "IRR"}


class Versions(Generic[T]):
    """Versions of one record in the order in which they become known."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: list[tuple[date, T]] = []

    def add(self, known: date, row: T) -> None:
        """Append the next version."""
        self.rows.append((known, row))

    def at(self, as_of: date) -> T | None:
        """The last version known on the date."""
        found = None
        for known, row in self.rows:
            if known <= as_of:
                found = row
        return found

    def dates(self) -> Iterator[date]:
        """Dates on which a version becomes known."""
        return (known for known, _ in self.rows)


class Line(NamedTuple):
    """A usage line that counts, with what it resolves to."""

    usage: UsageLine
    name: str  # item=... or implant=...
    used: Decimal
    wasted: Decimal
    golden: str | None
    item: Item | None
    location_id: str

    @property
    def quantity(self) -> Decimal:
        """Used and wasted EACH."""
        return self.used + self.wasted


class View:
    """Indexes of the world up to its last folder date."""

    def __init__(self, world: World, until: date) -> None:
        self.world = world
        self.until = until
        self.deliveries = Deliveries(world.files, world.start)
        self.costs = UnitCosts(world, self.deliveries)
        self.prices = ChargePrices(world)
        self.identity = Identity(
            item_numbers(world),
            world.items,
            world.reference.get("MANUFACTURER_ALIAS", ()),
            world.reference.get("GUDID_IDENTIFIER", ()),
            limit("item_accept"),
        )
        self._cut_short = {
            (file.folder_date, file.path.split("/")[2])
            for file in world.files
            if file.system == "mmis" and file.is_truncated
        }
        self._lines: dict[tuple[str, tuple[int, ...]], list[Line]] = {}

    def part(self, site: str) -> View:
        """The view of one site's events; no case, account, journal or order is of two sites, a transfer is."""
        part = copy(self)
        part.transfers = self.transfers
        part.world = self.world.part(site)
        part._lines = {}
        for name in ("cases", "logs_by_case_no", "usage"):
            part.__dict__.pop(name, None)
        return part

    # ------------------------------------------------------------------------------------------------------- events

    @cached_property
    def cases(self) -> dict[str, Versions[Case]]:
        """Cases by log."""
        found: dict[str, Versions[Case]] = {}
        for case in self.world.cases:
            known = self.deliveries.known_on("ehr", case.known_at)
            found.setdefault(case.log_id, Versions()).add(known, case)
        return found

    @cached_property
    def logs_by_case_no(self) -> dict[str, str]:
        """Log of a case number."""
        return {case.case_id: case.log_id for case in self.world.cases}

    @cached_property
    def usage(self) -> dict[str, dict[str, Versions[UsageLine]]]:
        """Usage lines by log."""
        found: dict[str, dict[str, Versions[UsageLine]]] = defaultdict(dict)
        for line in self.world.usage:
            known = self.deliveries.known_on("ehr", line.known_at)
            found[line.log_id].setdefault(line.usage_id, Versions()).add(known, line)
        return found

    def movements(self) -> Iterator[tuple[date, Movement]]:
        """Movements with the dates on which they are known, in the order of the log."""
        return ((self._movement_known(movement), movement) for movement in self.world.movements)

    def _movement_known(self, movement: Movement) -> date:
        site = self.world.sites[movement.site]
        if site.stock_system == "pou":
            return self.deliveries.known_on("pou", movement.posted_at)
        folder = materials_folder(movement.posted_at, site.clock)
        if (folder, f"db{site.database}") in self._cut_short:
            folder += DAY  # without its trailer the file does not count; it is sent again the next evening
        return max(folder, self.world.start)

    @cached_property
    def transfers(self) -> list[tuple[date, Movement]]:
        """Both halves of the transfers between sites; a part of the view has those of all."""
        return [entry for entry in self.movements() if entry[1].event in (OUT, IN)]

    # ----------------------------------------------------------------------------------------------------- balances

    def snapshots(self) -> list[date]:
        """Business dates whose balances were delivered; the opening balances come with the first folder."""
        eve = self.world.start - DAY
        days = self.deliveries.snapshots("pou", "onhand")
        if not days:
            days = [eve + DAY * number for number in range((self.until - eve).days + 1)]
        return sorted({eve, *days})

    @staticmethod
    def snapshot_of(day: date, snapshots: list[date]) -> date:
        """The first delivered snapshot on or after the day."""
        place = bisect_left(snapshots, day)
        return snapshots[place] if place < len(snapshots) else date.max

    def shelf_lots(self) -> Iterator[ShelfLot]:
        """Balances by lot, by the snapshot that first tells them."""
        days = self.snapshots()
        return (replace(row, business_date=self.snapshot_of(row.business_date, days)) for row in self.world.shelf_lots)

    def shelf_statuses(self) -> Iterator[ShelfStatus]:
        """Balances by item, by the snapshot that first tells them."""
        days = self.snapshots()
        return (
            replace(row, business_date=self.snapshot_of(row.business_date, days)) for row in self.world.shelf_statuses
        )

    # -------------------------------------------------------------------------------------------------------- cases

    def case(self, log_id: str, as_of: date) -> Case | None:
        """The case of a log as known on the date."""
        versions = self.cases.get(log_id)
        return versions.at(as_of) if versions else None

    @staticmethod
    def counts(case: Case | None) -> bool:
        """Whether usage of the log counts: performed, not void, no test patient."""
        return case is not None and case.status in POSTED and not case.is_test_patient

    def is_posted(self, case: Case | None) -> bool:
        """Whether the log counts and is posted."""
        return self.counts(case) and case is not None and bool(case.posted_at)

    def posting_date(self, case: Case) -> date:
        """Date of the last posting, on the wall clock of the hospital."""
        return max(case.posted_at).astimezone(self.world.sites[case.site].clock).date()

    def log_of_number(self, typed: str | None) -> str | None:
        """The log that a typed number means: a case number, else a log number written in its place."""
        if not typed or not typed.strip():
            return None
        number = typed.strip()
        log_id = self.logs_by_case_no.get(number)
        if log_id is None and number in self.cases:
            log_id = number
        return log_id

    def lines(self, log_id: str, as_of: date) -> list[Line]:
        """Usage lines of a log that count as known on the date, explants and copies of implants left out."""
        versions = self.usage.get(log_id, {})
        state = tuple(sum(known <= as_of for known in line.dates()) for line in versions.values())
        key = (log_id, state)
        if key not in self._lines:
            case = self.cases[log_id].rows[-1][1]
            known = [line for line in (version.at(as_of) for version in versions.values()) if line is not None]
            self._lines[key] = list(self._counted(case, known))
        return self._lines[key]

    def _counted(self, case: Case, known: Iterable[UsageLine]) -> Iterator[Line]:
        known = list(known)
        in_implant_log = {line.implant_id for line in known if line.record == "implant" and line.implant_id}
        for line in known:
            if line.action not in ("used", "wasted"):
                continue
            if line.record == "pick_list" and line.is_implant_copy:
                continue
            if line.record == "procedural" and line.implant_id in in_implant_log:
                continue
            used, wasted = line.used_each, line.wasted_each
            if line.action == "wasted":
                used, wasted = Decimal(0), used + wasted
            if used + wasted == 0:
                continue
            name = f"item={line.supply_id}"
            if line.record == "implant" and line.implant_id:
                name = f"implant={line.implant_id}"
            golden = self.identity.golden_of(line)
            yield Line(
                line,
                name,
                used,
                wasted,
                golden,
                self.identity.item(golden),
                line.location_id or self.default_place(case),
            )

    def default_place(self, case: Case) -> str:
        """Location of a line that names none: OR core of a 7010 log, procedural location of a 7020 or 7030 log."""
        place = f"{case.site}-{PLACES.get(case.department, '')}"
        return place if place in self.world.locations else case.default_location_id

    # -------------------------------------------------------------------------------------------------------- costs

    def line_cost(self, case: Case, line: Line) -> Fraction:
        """Unit cost of a usage line on the surgery date; one-time implants carry their own."""
        if line.usage.is_one_time:
            return Fraction(line.usage.documented_cost or 0)
        if line.item is not None:
            return self.costs.unit_cost(case.site, line.location_id, line.item, case.surgery_date)
        return self.supply_cost(line.usage.supply_id, case.surgery_date)

    def supply_cost(self, supply_id: str | None, day: date) -> Fraction:
        """EHR cost over time of a supply that is no golden item."""
        master = self.identity.master("ehr", supply_id) if supply_id else None
        key = master.item_key if master else None
        cost = self.costs.over_time(key, day) if key is not None else None
        return Fraction(cost or 0)

    def inventory_cost(self, site: str, location_id: str, pou_item: str, day: date) -> Fraction:
        """Unit cost of an item of the inventory system; an unmapped one goes by the EHR supply that names it."""
        item = self.identity.item(self.identity.golden("pou", pou_item))
        if item is not None:
            return self.costs.unit_cost(site, location_id, item, day)
        return self.supply_cost(self.identity.supply_of_pou(pou_item), day)
