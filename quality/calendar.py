"""Business days and maturity: when a break stops being timing.

Here: US federal holidays as observed, business-day arithmetic, the day on which a break matures.
Not here: fiscal periods (the warehouse's dim_fiscal_period) and the business clock itself (ingest.clock).

Every function is a pure function of dates; none reads the wall clock.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_SATURDAY, _SUNDAY = 5, 6
# Years whose holidays the vectorised arithmetic knows.
FIRST_YEAR, LAST_YEAR = 2000, 2060
JUNETEENTH_SINCE = 2021


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """The nth weekday (Monday 0) of a month; -1 is the last one."""
    if nth > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def _observed(holiday: date) -> date:
    """A Saturday's holiday is observed on Friday, a Sunday's on Monday (5 U.S.C. 6103)."""
    shift = {_SATURDAY: -1, _SUNDAY: 1}.get(holiday.weekday(), 0)
    return holiday + timedelta(days=shift)


@cache
def federal_holidays(year: int) -> frozenset[date]:
    """US federal holidays that are observed in a calendar year; New Year's Day of the next may be among them."""
    fixed = [date(year, 1, 1), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25), date(year + 1, 1, 1)]
    if year >= JUNETEENTH_SINCE:
        fixed.append(date(year, 6, 19))
    moving = [
        _nth_weekday(year, 1, 0, 3),
        _nth_weekday(year, 2, 0, 3),
        _nth_weekday(year, 5, 0, -1),
        _nth_weekday(year, 9, 0, 1),
        _nth_weekday(year, 10, 0, 2),
        _nth_weekday(year, 11, 3, 4),
    ]
    return frozenset(day for day in [*map(_observed, fixed), *moving] if day.year == year)


def is_business_day(day: date) -> bool:
    """Monday to Friday, and no federal holiday as observed."""
    return day.weekday() < _SATURDAY and day not in federal_holidays(day.year)


def add_business_days(anchor: date, days: int) -> date:
    """The `days`-th business day after `anchor`; the anchor is day 0, whatever day of the week it is."""
    day = anchor
    while days > 0:
        day += timedelta(days=1)
        days -= is_business_day(day)
    return day


def matures_on(anchor: date, days: int, *, business: bool = False) -> date:
    """The first local date on which a break with that anchor is mature."""
    return add_business_days(anchor, days) if business else anchor + timedelta(days=days)


def matures_on_expr(anchor: pl.Expr, days: int | pl.Expr, *, business: bool = False) -> pl.Expr:
    """`matures_on` over a column of dates; null where the anchor is. Business days take a constant number of days."""
    import polars as pl

    if not business:
        return anchor + pl.duration(days=days)
    if not isinstance(days, int):
        raise TypeError("business days to maturity are one number a rule")
    if days == 0:
        return anchor
    holidays = sorted(day for year in range(FIRST_YEAR, LAST_YEAR + 1) for day in federal_holidays(year))
    # Counting starts after the anchor, so one on a weekend or holiday counts from the business day before.
    return anchor.dt.add_business_days(days, holidays=holidays, roll="backward")
