"""Numbers and moments of many rows as text, the way delivery files show them.

Here: whole columns at once. Not here: single cells (delivery), what the columns hold (census, ledger).
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Numbers = npt.NDArray[np.int64]
EPOCH = date(2024, 1, 1)


def text(numbers: Numbers) -> pl.Series:
    """Whole numbers."""
    return pl.Series(numbers).cast(pl.String)


def where(mask: npt.NDArray[Any], texts: pl.Series | str, others: str = "") -> pl.Series:
    """The texts where the mask holds, `others` (nothing) elsewhere."""
    chosen = pl.lit(texts) if isinstance(texts, str) else texts
    return pl.select(pl.when(pl.Series(mask)).then(chosen).otherwise(pl.lit(others))).to_series()


def dollars(cents: Numbers) -> pl.Series:
    """Whole cents as dollars with two decimals."""
    whole, rest = np.divmod(np.abs(cents), 100)
    return where(cents < 0, "-") + text(whole) + "." + text(rest).str.zfill(2)


def moments(minutes: Numbers) -> pl.Series:
    """Minutes since EPOCH on the clock of the hospital, as date and time."""
    first = datetime.combine(EPOCH, time())
    return (pl.Series(minutes * 60_000).cast(pl.Duration("ms")) + first).dt.strftime("%Y-%m-%d %H:%M:%S")


def dates(days: Numbers) -> pl.Series:
    """Days since EPOCH as the date and midnight."""
    return moments(days * 1440)
