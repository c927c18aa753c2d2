"""Deterministic random streams, keyed by name.

Here: `Chance`, which gives every decision of the simulation a stream of its own, so that a change in one place does not
shuffle the rest and the same seed always gives the same world.
Not here: what is decided with them.
"""

from __future__ import annotations

import hashlib
from _random import Random  # random.Random without what a stream does not use: a million are made in ten days
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar

T = TypeVar("T")


class Stream:
    """A sequence of random choices that depends on the seed and the stream's name alone."""

    __slots__ = ("_generator",)

    def __init__(self, key: str) -> None:
        digest = hashlib.sha256(key.encode()).digest()
        self._generator = Random(int.from_bytes(digest[:8], "big"))

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return self._generator.random()

    def flag(self, share: float) -> bool:
        """True with the probability `share`."""
        return self._generator.random() < share

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self._generator.random() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`, each as likely."""
        return options[int(self._generator.random() * len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """One of `options`, pairs of value and weight."""
        point = self._generator.random() * sum(weight for _, weight in options)
        for value, weight in options:
            point -= weight
            if point < 0:
                return value
        return options[-1][0]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """`count` different options (all of them when there are fewer), in random order."""
        pool = list(options)
        chosen = []
        for _ in range(min(count, len(pool))):
            chosen.append(pool.pop(int(self._generator.random() * len(pool))))
        return chosen

    def decimal(self, low: float, high: float, places: int = 2) -> Decimal:
        """A decimal between `low` and `high` with `places` decimals."""
        value = low + self._generator.random() * (high - low)
        return Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


class Chance:
    """The source of all streams of one simulation."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, *names: object) -> Stream:
        """The stream of that name; asked for again it starts again."""
        return Stream("|".join(map(str, (self.seed, *names))))
