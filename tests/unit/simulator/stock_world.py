"""Stock of a few sites with its opening balances and nothing that happened yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from ingest.simulator.chance import Chance
from ingest.simulator.delivery import Outbox
from ingest.simulator.events import World
from ingest.simulator.masters import build_masters
from ingest.simulator.plan import DefectPlan
from ingest.simulator.stock import Stock


def opened(out: Path, start: date, sites: Sequence[str]) -> Stock:
    """Stock of the sites on the evening before `start`, in a world without defects and quirks."""
    world = World(start, start + timedelta(days=5), 5)
    chance = Chance(5)
    plan = DefectPlan(world, chance, False, False, 10)
    build_masters(world, chance, plan, 0.01, list(sites))
    stock = Stock(world, Outbox(out, world, plan, chance), plan, chance)
    stock.opening(start - timedelta(days=1))
    return stock
