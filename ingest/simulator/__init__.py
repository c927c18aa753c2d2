"""The simulated eight-hospital landscape: writes source deliveries with known truth, and the answer key.

Here: `simulate`, the day loop that lets clinic, stock, charging, purchasing and ledger act in turn.
Not here: what each of them does; nothing of the pipeline is used but the contracts as data.
"""

from __future__ import annotations

import gc
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.simulator.events import World

__all__ = ["SimulationReport", "build_world", "simulate"]

DEFAULT_SITES = ("H1", "H5")
DAYS_IN_MEMORY = 10  # events of these last days are kept, older ones wait on disk for the oracle


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """What a simulation wrote."""

    out: Path
    start: date
    end: date
    sites: tuple[str, ...]
    cases: int
    files: int
    rows: int
    megabytes: float
    exceptions: int
    near_misses: int
    seconds: float


def simulate(
    out: Path,
    start: date,
    days: int,
    scale: float,
    seed: int,
    defects: bool = True,
    quirks: bool | Iterable[str] = True,
    sites: Sequence[str] = DEFAULT_SITES,
    repull: int = 3,
    slots: int = 4,
    progress: Callable[[date, int, int], None] | None = None,
    *,
    is_packed: bool = False,
    is_resumed: bool = False,
    seconds_a_day: float = 0,
) -> SimulationReport:
    """Write the deliveries of `days` folder dates from `start` on below `out`, and their answer key.

    Args:
        out: landing directory; deliveries go to `out/<system>/...`, the answer key to `out/answer_key`.
        start: first folder date; the opening position is that of the evening before.
        days: number of folder dates.
        scale: 1.0 is the eight-hospital system of 132,000 cases a year; each site has its share by beds.
        seed: the same seed and parameters give the same bytes.
        defects: plant defects of every rule.
        quirks: show the quirks of the landscape, all of them or those named.
        sites: sites to simulate.
        repull: days whose changed rows nightly incremental files send again.
        slots: files of the inventory system a day.
        progress: called after each day with the date, the number of the day and the number of days.
        is_packed: gzip the files that the contracts do not zip already.
        is_resumed: go on where an interrupted call with the same arguments stopped. The world is lived through again,
            the files that are there stay.
        seconds_a_day: least time that a day takes, for time-lapse.

    Raises:
        ValueError: the arguments do not fit together, or another world is to be resumed.
    """
    from ingest.simulator.oracle import write_answer_key

    started = time.perf_counter()
    _leave_recipe(
        out,
        is_resumed,
        start=start.isoformat(),
        days=days,
        scale=scale,
        seed=seed,
        defects=defects,
        quirks=quirks if isinstance(quirks, bool) else sorted(quirks),
        sites=list(sites),
        repull=repull,
        slots=slots,
        is_packed=is_packed,
    )

    def told(d: date, number: int, count: int) -> None:
        if progress is not None:
            progress(d, number, count)
        time.sleep(max(started + number * seconds_a_day - time.perf_counter(), 0))

    with _rare_collections():
        world, rows, written = build_world(
            out,
            start,
            days,
            scale,
            seed,
            defects,
            quirks,
            sites,
            repull,
            slots,
            told,
            is_packed=is_packed,
            is_resumed=is_resumed,
        )
        findings = write_answer_key(world, out)
    near_misses = sum(1 for finding in findings if finding.near_miss)
    return SimulationReport(
        out=out,
        start=start,
        end=world.end,
        sites=tuple(world.sites),
        cases=len({case.log_id for case in world.cases}),
        files=len(world.files),
        rows=rows,
        megabytes=round(written / 1e6, 1),
        exceptions=len(findings) - near_misses,
        near_misses=near_misses,
        seconds=round(time.perf_counter() - started, 1),
    )


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for circles among objects less often: what a day makes stays for weeks, and the looking took a twelfth."""
    usual = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _leave_recipe(out: Path, is_resumed: bool, **arguments: object) -> None:
    """Write what the world is made of beside its answer key; what is resumed must be the same.

    Raises:
        ValueError: the directory holds another world, or none, where one is to be resumed.
    """
    made_by = hashlib.sha256()
    for module in sorted(Path(__file__).parent.rglob("*.py")):
        made_by.update(module.read_bytes())
    recipe = json.dumps({**arguments, "made_by": made_by.hexdigest()[:16]}, indent=1)
    left = out / "answer_key" / "recipe.json"
    if is_resumed and (not left.exists() or left.read_text(encoding="utf-8") != recipe):
        raise ValueError(f"{out} holds no part of this world: the arguments or the simulator are not those of {left}")
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text(recipe, encoding="utf-8")


def build_world(
    out: Path,
    start: date,
    days: int,
    scale: float,
    seed: int,
    defects: bool = True,
    quirks: bool | Iterable[str] = True,
    sites: Sequence[str] = DEFAULT_SITES,
    repull: int = 3,
    slots: int = 4,
    progress: Callable[[date, int, int], None] | None = None,
    *,
    is_packed: bool = False,
    is_resumed: bool = False,
) -> tuple[World, int, int]:
    """Let the world happen and write its deliveries; give the world, the rows and the bytes written."""
    from ingest.simulator.census import Census
    from ingest.simulator.chance import Chance
    from ingest.simulator.charging import Charging
    from ingest.simulator.clinic import Clinic
    from ingest.simulator.cutover import Cutover
    from ingest.simulator.delivery import Outbox
    from ingest.simulator.edi import SupplierMessages
    from ingest.simulator.events import World
    from ingest.simulator.ledger import Ledger
    from ingest.simulator.masters import SITES, build_masters
    from ingest.simulator.messages import Messages
    from ingest.simulator.plan import DefectPlan
    from ingest.simulator.purchasing import Purchasing
    from ingest.simulator.ref import Reference
    from ingest.simulator.remits import Remittances
    from ingest.simulator.scheduling import CASES_PER_YEAR
    from ingest.simulator.stock import Stock
    from ingest.simulator.stray import StrayDocuments

    if days < 1 or scale <= 0:
        raise ValueError("a world needs at least one day and a scale above zero")
    world = World(start=start, end=start + timedelta(days=days - 1), seed=seed)
    chance = Chance(seed)
    share = sum(SITES[site].volume_share for site in sites if site in SITES)
    plan = DefectPlan(world, chance, defects, quirks, CASES_PER_YEAR / 365 * share * scale * days)
    masters = build_masters(world, chance, plan, scale, sites)
    outbox = Outbox(out, world, plan, chance, slots=slots, repull=repull, is_packed=is_packed, is_resumed=is_resumed)
    stock = Stock(world, outbox, plan, chance)
    purchasing = Purchasing(world, stock, outbox, plan, chance)
    charging = Charging(world, masters, outbox, plan, chance)
    clinic = Clinic(world, masters, stock, purchasing, charging, outbox, plan, chance)
    census = Census(world, masters, charging, outbox, plan, seed, scale)
    ledger = Ledger(world, outbox, plan, chance)
    cutover = Cutover(world, stock, purchasing, ledger)
    stray = StrayDocuments(purchasing, ledger)
    outbox.documents(SupplierMessages(world, purchasing.desk, plan, chance).documents)
    outbox.documents(Remittances(world, charging, census, plan, chance).arrived)
    if any(site.clinical == "ehr_fhir" for site in world.sites.values()):
        outbox.documents(clinic.bedside.server.exports)
        census.on_visit.append(clinic.bedside.visited)
    messages = Messages(world, masters, stock, charging, clinic.chart, census, outbox, plan, chance)

    eve = start - timedelta(days=1)
    stock.opening(eve)
    Reference(world, masters, outbox, plan, chance).opening(eve)
    charging.opening(eve)
    clinic.opening(eve)
    purchasing.opening(eve)
    ledger.opening()
    messages.opening()
    sizes: list[list[int]] = []
    for number in range(days + 1):
        d = eve + timedelta(days=number)
        if number:
            cutover.morning(d)
            stray.morning(d)
            stock.morning(d)
            purchasing.morning(d)
            clinic.day(d)
            charging.day(d)
            census.day(d)
            stock.evening(d)
            purchasing.replenish(stock.needs(d), d)
            stray.evening(d)
        purchasing.close_day(d)
        ledger.close_day(d)
        stock.close_day(d)
        outbox.close_day(d)
        sizes.append(world.sizes())
        if len(sizes) > DAYS_IN_MEMORY:
            world.put_aside(sizes.pop(0), out)
        if number and progress is not None:
            progress(d, number, days)
    return world, outbox.rows_written, outbox.bytes_written
