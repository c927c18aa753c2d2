"""Accounting units and sub accounts of the legacy ERP that come into use before anybody maps them (Q123, GL-06).

Here: which ones there are at a site, from when on they are used, and when they are mapped from which day on.
Not here: the journals that use them (manual_journals), the maps (ref).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from ingest.simulator.accounts import acct_unit
from ingest.simulator.chance import Chance
from ingest.simulator.events import World
from ingest.simulator.plan import DefectPlan

NEW_SUB = 30
ACCOUNT = 610100
USED_DAYS = 10
# What becomes of a new unit, and how many a site has of it.
FATES = (("never mapped", 2), ("mapped too late", 2), ("mapped for the past", 1), ("new sub account", 1))
IN_TIME = ("mapped in time", 2)


@dataclass(frozen=True, slots=True)
class NewUnit:
    """A new accounting unit or sub account of one site."""

    site: str
    department: str
    unit: str  # ACCT_UNIT
    sub: int
    fate: str
    used_from: date
    mapped_on: date | None  # day on which the map has it; None: never, or a sub account
    valid_from: date | None

    @property
    def account(self) -> tuple[object, ...]:
        """The account string that is typed."""
        return (self.unit, ACCOUNT, self.sub)

    def is_used_on(self, day: date) -> bool:
        """Whether people post to it on the day."""
        return self.used_from <= day < self.used_from + timedelta(days=USED_DAYS)


def new_units(world: World, plan: DefectPlan, chance: Chance) -> list[NewUnit]:
    """The new units of all legacy sites, the same whenever they are asked for."""
    made: list[NewUnit] = []
    days = (world.end - world.start).days
    for site in world.sites.values():
        if site.erp != "erp_lawson" or site.company is None or site.code in world.cutovers or days < USED_DAYS + 8:
            continue
        fates = [IN_TIME] if plan.shows("Q123") else []
        fates += FATES if plan.defects else []
        departments = [name for name in site.departments if name not in ("0000", "8020")]
        number = 1
        for fate, count in fates:
            for _ in range(count):
                number += 1
                stream = chance.stream("new unit", site.code, number)
                department = stream.pick(departments)
                used = world.start + timedelta(days=stream.integer(1, days - USED_DAYS - 7))
                later = used + timedelta(days=stream.integer(6, 8))
                is_sub = fate == "new sub account"
                mapped = {"mapped in time": world.start, "mapped too late": later, "mapped for the past": later}
                made.append(
                    NewUnit(
                        site=site.code,
                        department=department,
                        unit=acct_unit(site.company, department) + ("" if is_sub else str(number)),
                        sub=NEW_SUB if is_sub else 0,
                        fate=fate,
                        used_from=used,
                        mapped_on=mapped.get(fate),
                        valid_from=later if fate == "mapped too late" else date(2024, 10, 1),
                    )
                )
    return made
