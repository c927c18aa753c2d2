"""Tolerances as the answer key reads them: limits of quality/rules/tolerances.yaml, exact arithmetic.

Here: when a variance is beyond a named tolerance, the plain limits, rounding of money.
Not here: which two sides a rule compares (the rule modules).
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TOLERANCES = Path(__file__).parents[3] / "quality" / "rules" / "tolerances.yaml"

Number = int | Decimal | Fraction


@cache
def _sets() -> dict[str, Any]:
    with TOLERANCES.open(encoding="utf-8") as file:
        content: dict[str, Any] = yaml.safe_load(file)
    return content


def is_beyond(name: str, variance: Number, base: Number) -> bool:
    """Whether `variance` against `base` is beyond the tolerance `name`.

    `over` judges positive variances, `under` negative ones; a side that the tolerance does not have is never a break.
    On the limit is within. Without a base the share of a variance is beyond any limit.
    """
    tolerance = _sets()["tolerances"][name]
    side = tolerance.get("over" if variance > 0 else "under")
    if variance == 0 or side is None:
        return False
    size = abs(Fraction(variance))
    within_amount = size <= Fraction(str(side["abs"]))
    within_share = base != 0 and size <= Fraction(str(side["pct"])) * abs(Fraction(base))
    if tolerance["mode"] == "either":
        return not (within_amount or within_share)
    return not (within_amount and within_share)


def limit(name: str) -> Decimal:
    """A plain limit of the tolerance file."""
    return Decimal(str(_sets()["limits"][name]))


def outlier_factors() -> tuple[Fraction, Fraction]:
    """Factors of the median price beyond which a price is an outlier, above and below."""
    factors = _sets()["tolerances"]["cost_outlier"]
    return Fraction(str(factors["factor_high"])), Fraction(str(factors["factor_low"]))


def days_limit(name: str, kind: str) -> int:
    """A limit in days that differs by kind."""
    return int(_sets()["limits"][name][kind])


def cents(amount: Number) -> Decimal:
    """The impact of an exception: absolute, two decimals, half-even."""
    size = abs(Fraction(amount))
    return _rounded(size, ROUND_HALF_EVEN)


def half_up(amount: Number) -> Decimal:
    """A ledger amount: two decimals, halves away from zero."""
    size = _rounded(abs(Fraction(amount)), ROUND_HALF_UP)
    return size if amount >= 0 else -size


def _rounded(size: Fraction, rounding: str) -> Decimal:
    hundred = size * 100
    whole, rest = divmod(hundred.numerator, hundred.denominator)
    twice = 2 * rest
    up = twice > hundred.denominator or (twice == hundred.denominator and (rounding == ROUND_HALF_UP or whole % 2 == 1))
    return Decimal(whole + up).scaleb(-2)
