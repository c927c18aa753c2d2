"""Charges that name no log, supply or implant: which documented usage they stand for (landscape 5.4, grade C).

Here: charges of an account held against its usage by charge code, service date within a day and quantity.
Not here: charges that name what they are for, and what follows from either (charges).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

from ingest.simulator.events import Case, ChargeTransaction, InFlightCharge, Item

Home = tuple[str, str]
"""Log and entity name."""
ZERO = Fraction(0)


class ChainLike(Protocol):
    """A chain of charge rows."""

    root: str
    rows: list[ChargeTransaction]

    @property
    def current(self) -> ChargeTransaction:
        """The row that stands."""


class Documented(Protocol):
    """Documented usage of one item or implant on one log."""

    used: Decimal
    chargeable: Decimal

    @property
    def item(self) -> Item | None:
        """The golden item."""


D = TypeVar("D", bound=Documented)
C = TypeVar("C", bound=ChainLike)


@dataclass(slots=True)
class _Place:
    """One entity with what is left of it to be charged."""

    home: Home
    code: str | None
    day: date
    item: Item | None
    used: Fraction
    chargeable: Fraction
    left: Fraction


class Unnamed(Generic[C, D]):
    """The entities of one account in the order in which they take charges: surgery date, log, name."""

    def __init__(
        self,
        cases: Mapping[str, Case],
        expected: Mapping[str, Mapping[str, D]],
        code_of: Callable[[D], str | None],
        each: Callable[[C, Item | None], Fraction],
        each_in_flight: Callable[[InFlightCharge, Item | None], tuple[str | None, Fraction]],
    ) -> None:
        """Take the documented usage of an account; `each` counts a chain in EACH of an item."""
        self._each = each
        self._each_in_flight = each_in_flight
        self._places = [
            _Place(
                (log_id, name),
                code_of(entry),
                cases[log_id].surgery_date,
                entry.item,
                Fraction(entry.used),
                Fraction(entry.chargeable),
                Fraction(entry.chargeable),
            )
            for log_id in sorted(expected, key=lambda log: (cases[log].surgery_date, log))
            for name, entry in sorted(expected[log_id].items(), key=lambda pair: pair[0])
        ]
        self._on_the_way: dict[Home, Fraction] = defaultdict(Fraction)

    def assign(self, chains: Iterable[C]) -> dict[Home, list[C]]:
        """Active chains by entity: equal quantities first, then what is left, then what is charged once too often."""
        owned: dict[Home, list[C]] = defaultdict(list)
        waiting = list(chains)
        for find in (self._equal, self._open, self._charged_already):
            rest = []
            for chain in waiting:
                codes = list(dict.fromkeys([row.charge_code for row in (chain.rows[0], chain.current)]))
                place = find(codes, chain.current.service_date, lambda item, chain=chain: self._each(chain, item))  # type: ignore[misc]
                if place is None:
                    rest.append(chain)
                else:
                    place.left -= self._each(chain, place.item)
                    owned[place.home].append(chain)
            waiting = rest
        return owned

    def expect(self, charges: Iterable[InFlightCharge]) -> None:
        """Put charges that wait for posting where something is left to be charged; after `assign`."""
        waiting = list(charges)
        for find in (self._equal, self._open):
            rest = []
            for charge in waiting:
                code, _ = self._each_in_flight(charge, None)
                place = find([code], charge.service_date, lambda item, c=charge: self._each_in_flight(c, item)[1])  # type: ignore[misc]
                if place is None:
                    rest.append(charge)
                    continue
                quantity = self._each_in_flight(charge, place.item)[1]
                place.left -= quantity
                self._on_the_way[place.home] += quantity
            waiting = rest

    def on_the_way(self, log_id: str, name: str) -> Fraction:
        """EACH of an entity that waits for posting."""
        return self._on_the_way.get((log_id, name), ZERO)

    def _fitting(self, codes: list[str | None], day: date) -> list[_Place]:
        """Entities that a charge can mean, those of its first code first."""
        near = [place for place in self._places if abs((day - place.day).days) <= 1]
        return [place for code in codes if code is not None for place in near if place.code == code]

    def _equal(self, codes: list[str | None], day: date, each: Callable[[Item | None], Fraction]) -> _Place | None:
        fitting = self._fitting(codes, day)
        return next((place for place in fitting if place.left > 0 and place.left == each(place.item)), None)

    def _open(self, codes: list[str | None], day: date, each: Callable[[Item | None], Fraction]) -> _Place | None:
        return next((place for place in self._fitting(codes, day) if place.left > 0), None)

    def _charged_already(
        self, codes: list[str | None], day: date, each: Callable[[Item | None], Fraction]
    ) -> _Place | None:
        """The entity that a charge repeats: a chargeable one, of the same quantity if there is one."""
        fitting = enumerate(self._fitting(codes, day))
        ranked = [(place.chargeable == 0, place.used != each(place.item), rank, place) for rank, place in fitting]
        return min(ranked, key=lambda entry: entry[:3])[3] if ranked else None
