"""What the rooms of the clinical side share: its parts of the world, numbers of implants, and what is due later.

Here: `Suite`, which the rooms (scheduling, case usage, documentation ...) are bound to.
Not here: what any of them does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from ingest.simulator.bedside import Bedside
from ingest.simulator.chance import Chance
from ingest.simulator.charging import Charging
from ingest.simulator.chart import Chart
from ingest.simulator.delivery import Outbox
from ingest.simulator.events import Item, World
from ingest.simulator.masters import Masters
from ingest.simulator.plan import DefectPlan
from ingest.simulator.recalls import Recalls
from ingest.simulator.stock import Stock


@dataclass(slots=True)
class Suite:
    """The clinical side of the world, as its rooms see it."""

    world: World
    masters: Masters
    stock: Stock
    charging: Charging
    outbox: Outbox
    plan: DefectPlan
    chance: Chance
    recalls: Recalls
    chart: Chart
    bedside: Bedside
    _later: dict[date, list[Callable[[date], None]]] = field(default_factory=dict)
    _families: dict[tuple[str, str], list[Item]] = field(default_factory=dict)
    _next_record: int = 1

    def new_record(self) -> tuple[str, str]:
        """Numbers of the next implant: of its line in the log, of its record."""
        number = self._next_record
        self._next_record += 1
        return str(6_000_000 + number), str(9_000_000 + number)

    def due(self, d: date) -> list[Callable[[date], None]]:
        """What was put off until `d`."""
        return self._later.pop(d, [])

    def on(self, day: date, action: Callable[[date], None]) -> None:
        """Put off something until a later day; what lies beyond the world never happens."""
        if day <= self.world.end:
            self._later.setdefault(day, []).append(action)

    def on_or_now(self, today: date, day: date, action: Callable[[date], None]) -> None:
        """Do something on a day, at once when it is today."""
        if day <= today:
            action(day)
        else:
            self.on(day, action)

    def items(self, site: str, family: str) -> list[Item]:
        """Items of a family that a site knows and carries."""
        known = self._families.get((site, family))
        if known is None:
            known = []
            for key in self.masters.families.get(family, ()):
                item = self.world.items[key]
                stocked = not item.home or self.stock.is_carried(site, item)
                if self.stock.is_known(site, item) and stocked:
                    known.append(item)
            self._families[(site, family)] = known
        return known
