"""Coded columns: text columns that say each value once and number it in every row.

Here: making them, asking something of each value instead of each row, plain text again, what of them is written.
Not here: which columns are worth it (`formats`).

A coded column is a Polars Categorical with categories of its own. It reads like the text column that it stands for, in
a fourth of the memory, and what a rule or a hash says of a value is found out once. Numbers depend on which thread came
first, and there may be values that no row has: nothing that lands may depend on either, so `written` sorts the values
and leaves out those of no row. Text that is the same in all rows is coded too, which writes it in a fourth of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# Rows that tell of most columns that they say more than one thing.
_FEW = 1_000


def coding() -> pl.Categorical:
    """The type of a coded column with values of its own; columns of one type can be put together."""
    import polars as pl

    return pl.Categorical(pl.Categories.random())


def is_coded(kind: pl.DataType) -> bool:
    """Whether a column of this type is a coded one."""
    import polars as pl

    return isinstance(kind, pl.Categorical)


def spread(values: pl.Series, rows: pl.Series, kind: pl.Categorical | None = None) -> pl.Series:
    """A coded column that has in each row the value of that number; null where the number is."""
    return values.cast(kind or coding()).gather(rows)


def plain(frame: pl.DataFrame, names: Iterable[str] | None = None) -> pl.DataFrame:
    """The frame with its coded columns, or some of them, as text."""
    import polars as pl

    wanted = frame.columns if names is None else names
    coded = [name for name in wanted if is_coded(frame.schema[name])]
    return frame.with_columns(pl.col(coded).cast(pl.String)) if coded else frame


def said(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Every value that a coded column may have, as text, and behind them one null; the number in it of each row."""
    return _values(column), _numbers(column)


def _values(column: pl.Series) -> pl.Series:
    import polars as pl

    assert isinstance(column.dtype, pl.Categorical)
    return pl.concat([column.dtype.categories.to_series(), pl.Series([None], dtype=pl.String)]).alias(column.name)


def _numbers(column: pl.Series) -> pl.Series:
    import polars as pl

    assert isinstance(column.dtype, pl.Categorical)
    numbers = column.to_physical().cast(pl.UInt32)
    return numbers.fill_null(len(column.dtype.categories.to_series())) if column.null_count() else numbers


def of_rows(column: pl.Series, asked: pl.Expr) -> pl.Expr:
    """An expression over the rows of a column; asked once for each value of a coded one.

    It may look at the value alone, by the name of the column.
    """
    import polars as pl

    if not is_coded(column.dtype):
        return asked
    return pl.lit(_values(column).to_frame().select(asked).to_series()).gather(pl.lit(_numbers(column)))


def flags(column: pl.Series, asked: Sequence[pl.Expr]) -> list[pl.Expr | None]:
    """The same of conditions; None for one that no value of a coded column meets."""
    import polars as pl

    if not is_coded(column.dtype):
        return list(asked)
    values = _values(column)
    made = values.to_frame().select(each.fill_null(False).alias(f"{at}") for at, each in enumerate(asked))
    met = made if column.null_count() else made.head(-1)
    return [pl.lit(each).gather(pl.lit(_numbers(column))) if met[each.name].any() else None for each in made]


def written(column: pl.Series) -> pl.Series:
    """The column as it is written: the same for the same rows, with no value that no row has."""
    import numpy as np
    import polars as pl

    if not isinstance(column.dtype, pl.Categorical):
        return _said_once(column)
    values, numbers = column.dtype.categories.to_series(), _numbers(column).to_numpy()
    is_there = np.bincount(numbers, minlength=values.len() + 1)[:-1] > 0
    kept = values.filter(is_there)
    order = kept.arg_sort()
    # Numbers in the width that the engine gives to so many values.
    width = np.uint8 if kept.len() < 2**8 - 1 else np.uint16 if kept.len() < 2**16 - 1 else np.uint32
    rank = np.empty(kept.len(), width)
    rank[order.to_numpy()] = np.arange(kept.len(), dtype=width)
    new = np.zeros(values.len() + 1, width)
    new[:-1][is_there] = rank
    codes = pl.lit(pl.Series(new.take(numbers)))
    if column.null_count():
        codes = pl.when(column.is_not_null()).then(codes)
    return pl.select(codes).to_series().cat.to(pl.Enum(kept.gather(order))).alias(column.name)


def _said_once(column: pl.Series) -> pl.Series:
    """A text column whose rows all say the same, or nothing, as a coded one; any other as it is."""
    import polars as pl

    if column.dtype != pl.String or column.is_empty():
        return column
    first = column.head(1)
    if not all(each.eq_missing(first).all() for each in (column.head(_FEW), column)):
        return column
    return first.cast(pl.Enum(first.drop_nulls())).new_from_index(0, column.len())
