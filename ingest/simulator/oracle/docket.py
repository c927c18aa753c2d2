"""What is open when: verdicts of the rules followed through the as-of dates.

Here: findings, the docket that a rule fills for one as-of date, the book that turns dockets into findings.
Not here: any rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple


class Entity(NamedTuple):
    """What is wrong: rule, facility and entity key as the catalogue writes it."""

    rule_id: str
    facility_id: str
    entity_key: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer key."""

    rule_id: str
    facility_id: str
    entity_key: str
    impact_amount: Decimal
    business_date: date
    detected_as_of: date | None  # None on near misses
    cleared_as_of: date | None
    near_miss: bool
    reason: str = ""


class Docket:
    """The verdicts of one as-of date on the entities of one partition."""

    def __init__(self) -> None:
        self.open: dict[Entity, tuple[Decimal, date]] = {}
        self.near: dict[Entity, tuple[date, str]] = {}
        self.passing: dict[Entity, tuple[date, str]] = {}

    def fire(self, rule_id: str, facility: str, entity_key: str, impact: Decimal, business_date: date) -> None:
        """The entity is open under the rule."""
        self.open[Entity(rule_id, facility, entity_key)] = (impact, business_date)

    def spare(self, rule_id: str, facility: str, entity_key: str, business_date: date, reason: str) -> None:
        """The entity looks like a break of the rule and is none, for a reason that the catalogue gives.

        It counts when it is so on the last date on which the entity is judged.
        """
        self.near[Entity(rule_id, facility, entity_key)] = (business_date, reason)

    def spare_for_now(self, rule_id: str, facility: str, entity_key: str, business_date: date, reason: str) -> None:
        """As `spare`, and it counts whatever becomes of the entity later, unless it fires."""
        self.passing[Entity(rule_id, facility, entity_key)] = (business_date, reason)


Judge = Callable[[date, Docket], None]


@dataclass(slots=True)
class _Course:
    detected: date
    impact: Decimal
    business_date: date
    cleared: date | None = None


class Book:
    """The courses of all entities up to one last as-of date."""

    def __init__(self, start: date, until: date) -> None:
        """`start` and `until` are the first and the last folder date."""
        self.start = start
        self.until = until
        self._courses: dict[Entity, _Course] = {}
        self._near: dict[Entity, tuple[date, str]] = {}

    def follow(self, dates: Iterable[date], judge: Judge) -> None:
        """Judge a closed set of entities on every as-of date on which their state can change."""
        seen: set[Entity] = set()
        docket = Docket()
        for as_of in sorted({min(max(day, self.start), self.until) for day in dates if day <= self.until}):
            docket = Docket()
            judge(as_of, docket)
            for entity, (impact, business_date) in docket.open.items():
                course = self._courses.get(entity)
                if course is None:
                    self._courses[entity] = _Course(as_of, impact, business_date)
                else:
                    course.impact, course.business_date, course.cleared = impact, business_date, None
                seen.add(entity)
            for entity in seen:
                if entity not in docket.open and self._courses[entity].cleared is None:
                    self._courses[entity].cleared = as_of
            self._near.update(docket.passing)
        self._near.update(docket.near)

    def spare(self, entity: Entity, business_date: date, reason: str) -> None:
        """Name a near miss that no rule has named by itself."""
        self._near.setdefault(entity, (business_date, reason))

    def findings(self) -> list[Finding]:
        """Exceptions and near misses, sorted; what fires at any as-of date is no near miss."""
        found = [
            Finding(*entity, course.impact, course.business_date, course.detected, course.cleared, False)
            for entity, course in self._courses.items()
        ]
        found += [
            Finding(*entity, Decimal("0.00"), business_date, None, None, True, reason)
            for entity, (business_date, reason) in self._near.items()
            if entity not in self._courses
        ]
        return sorted(found, key=lambda finding: (finding.rule_id, finding.facility_id, finding.entity_key))
