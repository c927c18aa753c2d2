"""Tolerances: by how much two sides may differ, named, dated, and judged by one breach function.

Here: the tolerance sets of rules/tolerances.yaml and `breach`, the only place that decides whether a difference is one.
Not here: which columns a rule compares (rules), when a break matures (calendar).

Sets are documents of one YAML file. A set is in force from its `effective_from` until the next set's; the earliest also
holds before. A row is judged by the set in force on its business date, so that yesterday's documents keep their limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    import polars as pl

TOLERANCES = Path(__file__).parent / "rules" / "tolerances.yaml"

Mode = Literal["either", "both"]
Direction = Literal["over", "under", "both"]
Number = Decimal | int


class ToleranceError(ValueError):
    """A tolerance file contradicts itself, or names something that is not there."""


@dataclass(frozen=True)
class Band:
    """The limits on one side: an absolute one in the unit of the variance, and a share of the base."""

    absolute: Decimal
    share: Decimal


@dataclass(frozen=True)
class Tolerance:
    """A named tolerance. A side without a band is never a break."""

    name: str
    mode: Mode
    over: Band | None
    under: Band | None


# Where the catalogue names no tolerance, any difference is a break.
EXACT = Tolerance("exact", "both", Band(Decimal(0), Decimal(0)), Band(Decimal(0), Decimal(0)))


@dataclass(frozen=True)
class ToleranceSet:
    """All tolerances and limits of one version."""

    version: str
    effective_from: date
    tolerances: Mapping[str, Tolerance]
    limits: Mapping[str, Any]

    def named(self, name: str | None) -> Tolerance:
        """The tolerance of that name; None is exact.

        Raises:
            ToleranceError: the set has no such tolerance.
        """
        if name is None:
            return EXACT
        if name not in self.tolerances:
            raise ToleranceError(f"tolerance set {self.version} has no tolerance {name!r}")
        return self.tolerances[name]

    def limit(self, name: str) -> Decimal:
        """A single limit, exactly as written.

        Raises:
            ToleranceError: the set has no such number.
        """
        value = self.limits.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ToleranceError(f"tolerance set {self.version} has no limit {name!r}")
        return Decimal(str(value))


def load_tolerances(path: Path = TOLERANCES) -> tuple[ToleranceSet, ...]:
    """Every tolerance set of a file, earliest first.

    Raises:
        ToleranceError: no set, two sets of one version or day, or a tolerance that is incomplete.
    """
    return _load(path, path.stat().st_mtime_ns)


@cache
def _load(path: Path, _changed: int) -> tuple[ToleranceSet, ...]:
    import yaml

    documents = [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]
    sets = sorted((_tolerance_set(path, each) for each in documents), key=lambda each: each.effective_from)
    for quality in ("version", "effective_from"):
        if len({getattr(each, quality) for each in sets}) != len(sets):
            raise ToleranceError(f"{path}: two tolerance sets have the same {quality}")
    if not sets:
        raise ToleranceError(f"{path}: no tolerance set")
    return tuple(sets)


def _tolerance_set(path: Path, text: Mapping[str, Any]) -> ToleranceSet:
    try:
        tolerances = {
            name: Tolerance(name, _mode(entry["mode"]), _band(entry.get("over")), _band(entry.get("under")))
            for name, entry in text["tolerances"].items()
            if "mode" in entry
        }
        return ToleranceSet(str(text["version"]), _day(text["effective_from"]), tolerances, text["limits"])
    except (KeyError, TypeError, ArithmeticError) as error:
        raise ToleranceError(f"{path}: incomplete tolerance set, {error!r}") from error


def _mode(text: str) -> Mode:
    if text == "either":
        return "either"
    if text == "both":
        return "both"
    raise ToleranceError(f"mode {text!r}: either or both")


def _day(value: object) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def _band(entry: Mapping[str, Any] | None) -> Band | None:
    # YAML reads 0.02 as a float; its shortest text is what was written.
    return None if entry is None else Band(Decimal(str(entry["abs"])), Decimal(str(entry["pct"])))


def in_force(sets: Sequence[ToleranceSet], on: date) -> ToleranceSet:
    """The set that judges a document of that business date."""
    started = [each for each in sets if each.effective_from <= on]
    return started[-1] if started else sets[0]


def version_label(sets: Sequence[ToleranceSet]) -> str:
    """The versions of all sets, for a manifest."""
    return ", ".join(each.version for each in sets)


def describe(tolerance: Tolerance) -> str:
    """The tolerance as an auditor reads it."""
    sides = {
        side: f"{band.absolute} {'or' if tolerance.mode == 'either' else 'and'} {band.share * 100:f} percent"
        for side, band in (("over", tolerance.over), ("under", tolerance.under))
        if band is not None
    }
    return f"{tolerance.name} {json.dumps(sides)}"


@overload
def breach(variance: Number | None, base: Number | None, tolerance: Tolerance, direction: Direction = ...) -> bool: ...
@overload
def breach(variance: pl.Expr, base: pl.Expr, tolerance: Tolerance, direction: Direction = ...) -> pl.Expr: ...


def breach(variance: Any, base: Any, tolerance: Tolerance, direction: Direction = "both") -> Any:
    """Whether a variance is beyond a tolerance: the one decision behind every rule with an amount.

    Within is `|variance| <= absolute` or (mode both: and) `|variance| <= |base| x share`; exactly on a limit is within.
    At base zero the share allows nothing. `direction` says which signs a rule judges. A missing variance or base is
    never a breach. Numbers give a bool, Polars expressions an expression without nulls; both by exact arithmetic.
    """
    if _is_expression(variance):
        import polars as pl

        judged = _breach(variance, base, tolerance, direction, pl.lit(False))
        return (judged & variance.is_not_null() & base.is_not_null()).fill_null(False)
    if variance is None or base is None:
        return False
    return bool(_breach(Fraction(variance), Fraction(base), tolerance, direction, False))


def _is_expression(value: object) -> bool:
    return hasattr(value, "is_not_null")


def _breach(variance: Any, base: Any, tolerance: Tolerance, direction: Direction, never: Any) -> Any:
    over = (variance > 0) & _beyond(variance, base, tolerance.over, tolerance.mode) if tolerance.over else never
    under = (variance < 0) & _beyond(variance, base, tolerance.under, tolerance.mode) if tolerance.under else never
    if direction == "over":
        return over
    return under if direction == "under" else over | under


def _beyond(variance: Any, base: Any, band: Band, mode: Mode) -> Any:
    # Whole-number factors on both sides: no division, no rounding, the same for fractions and decimal columns.
    limit, unit = band.absolute.as_integer_ratio()
    part, whole = band.share.as_integer_ratio()
    absolute = abs(variance) * unit > limit
    relative = abs(variance) * whole > abs(base) * part
    return absolute & relative if mode == "either" else absolute | relative
