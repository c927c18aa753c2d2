"""The shape of rows: the Pandera schema that a contract becomes, and which rows break it.

Here: type, required, closed list and pattern of every column that is read, as Polars expressions inside a Pandera
schema.
Not here: what the values mean to the business (quality), rows that do not split into fields (`formats`).

The expressions find the rows that break a rule; the schema then has to pass all that is left, once per extract and run.
Pandera is not asked for failure cases: they hold values, and a value may be a patient's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ingest.contract import Column, Delivery, Extract
from ingest.formats.reading import BadRow

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

# Lawson has no empty dates: these stand for one (quirk Q81).
EMPTY_DATES = ("17530101", "17000101", "0")

_STRPTIME = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", ".SSSSSS": "%.f"}


class ShapeError(Exception):
    """Rows were lost or doubled while they were judged."""


@dataclass(frozen=True)
class Rule:
    """One thing that a filled or empty value may break."""

    column: str
    reason: str
    is_broken: pl.Expr


def strptime_layout(layout: str) -> str:
    """`yyyy-MM-dd HH:mm:ss` as a strptime layout."""
    text, out = layout, ""
    while text:
        for word, directive in _STRPTIME.items():
            if text.startswith(word):
                out, text = out + directive, text[len(word) :]
                break
        else:
            out, text = out + text[0], text[1:]
    return out


def null_tokens(column: Column, delivery: Delivery) -> pl.Expr:
    """The column with the source's null tokens as null."""
    import polars as pl

    value = pl.col(column.name)
    if delivery.blank_is_null:
        is_empty = value.str.strip_chars(" ") == ""
        if column.type.name in ("date", "datetime"):
            is_empty |= value.is_in(EMPTY_DATES)
    else:
        is_empty = value == ""
    return pl.when(is_empty).then(None).otherwise(value).alias(column.name)


def is_of_type(column: Column) -> Callable[[pl.Expr], pl.Expr] | None:
    """Whether a filled value is of the column's type; None for text, which everything is."""
    import polars as pl

    kind = column.type
    if kind.name == "integer":
        return lambda value: value.cast(pl.Int64, strict=False).is_not_null()
    if kind.name == "decimal":
        whole, scale = kind.precision - kind.scale, kind.scale
        form = rf"^[+-]?(?:0*\d{{1,{whole}}}(?:\.\d{{0,{scale}}}0*)?|\.\d{{1,{scale}}}0*)$"
        return lambda value: value.str.contains(form)
    if kind.name == "date":
        layout = strptime_layout(kind.layout)
        width = len(kind.layout)
        return lambda value: (value.str.len_bytes() == width) & value.str.to_date(layout, strict=False).is_not_null()
    if kind.name == "datetime":
        layout = strptime_layout(kind.layout)
        width = len(kind.layout)
        return lambda value: (
            (value.str.len_bytes() == width) & value.str.to_datetime(layout, strict=False, time_unit="us").is_not_null()
        )
    if kind.name == "time":
        layout = strptime_layout(kind.layout)
        return lambda value: value.str.to_time(layout, strict=False).is_not_null()
    if kind.name == "boolean":
        words = list(kind.words)
        return lambda value: value.is_in(words)
    if kind.name == "json":
        return lambda value: value.str.json_decode(pl.Struct([]), strict=False).is_not_null()  # type: ignore[call-arg]
    return None


@cache
def _rules(extract: Extract) -> tuple[Rule, ...]:
    import polars as pl

    rules = []
    for column in extract.read_columns:
        value = pl.col(column.name)
        if column.required:
            rules.append(Rule(column.name, "required and empty", value.is_null()))
        of_type = is_of_type(column)
        if of_type is not None:
            rules.append(Rule(column.name, f"not a {column.type_text}", value.is_not_null() & ~of_type(value)))
        if column.values:
            rules.append(
                Rule(column.name, "not in the closed list", value.is_not_null() & ~value.is_in(list(column.values)))
            )
        if column.pattern:
            rules.append(
                Rule(column.name, "not of the pattern", value.is_not_null() & ~value.str.contains(column.pattern))
            )
    return tuple(rules)


@cache
def pandera_schema(extract: Extract) -> pa.DataFrameSchema:
    """Schema of the extract's rows as read: text columns, null tokens already null, dropped columns absent."""
    import pandera.polars as pa
    import polars as pl

    checks: dict[str, list[pa.Check]] = {column.name: [] for column in extract.read_columns}
    for rule in _rules(extract):
        if rule.reason != "required and empty":
            checks[rule.column].append(_check(rule))
    columns: dict[str, Any] = {
        column.name: pa.Column(
            pl.String, checks=checks[column.name], nullable=not column.required, description=column.doc or None
        )
        for column in extract.read_columns
    }
    return pa.DataFrameSchema(columns, name=extract.feed, strict=False)


def _check(rule: Rule) -> pa.Check:
    import pandera.polars as pa

    def holds(asked: Any) -> pl.LazyFrame:
        # A null in an optional column breaks no rule; `is_broken` is false for it.
        return asked.lazyframe.select(~rule.is_broken)

    return pa.Check(holds, name=rule.reason, ignore_na=False)


def split(extract: Extract, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[BadRow]]:
    """Rows that keep the contract, and the place, value class and reason of every value that does not.

    `rows` needs `_text` and `_line`. A row that breaks several rules is one bad row with several entries.

    Raises:
        ShapeError: good and bad rows are not all rows.
    """
    import polars as pl

    rules = _rules(extract)
    good = rows
    bad: list[BadRow] = []
    broken_rules = rows.select(rule.is_broken.any().alias(f"{position}") for position, rule in enumerate(rules))
    broken = [rules[int(name)] for name, is_broken in broken_rules.to_dicts()[0].items() if is_broken] if rules else []
    if broken:
        is_bad = pl.any_horizontal([rule.is_broken for rule in broken])
        good, refused = rows.filter(~is_bad), rows.filter(is_bad)
        for rule in broken:
            places = refused.filter(rule.is_broken).select("_text", "_line", _class=value_class(pl.col(rule.column)))
            bad.extend(BadRow(text, line, rule.column, kind, rule.reason) for text, line, kind in places.iter_rows())
        if good.height + refused.height != rows.height or len({(row.index, row.line) for row in bad}) != refused.height:
            raise ShapeError(f"{extract.feed}: {rows.height} rows judged, {good.height} good, {refused.height} bad")
    _pass(extract, good)
    return good, bad


def _pass(extract: Extract, good: pl.DataFrame) -> None:
    """Nothing lands that the Pandera schema has not passed."""
    import pandera.errors
    from pandera.config import ValidationDepth, config_context

    with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            pandera_schema(extract).validate(good, lazy=True)
        except pandera.errors.SchemaErrors:
            # Its failure cases hold values: they must not travel with the error.
            raise ShapeError(f"{extract.feed}: rows found good break the schema") from None


def value_class(value: pl.Expr) -> pl.Expr:
    """What kind of value stands there, without saying it: empty, number, date or text."""
    import polars as pl

    return (
        pl.when(value.is_null())
        .then(pl.lit("empty"))
        .when(value.str.contains(r"^\s*[+-]?[\d.,]+\s*$"))
        .then(pl.lit("number"))
        .when(value.str.contains(r"^\s*\d{2,4}[-/.]\d{1,2}[-/.]\d{1,4}"))
        .then(pl.lit("date"))
        .otherwise(pl.lit("text"))
    )


def rules_by_column(extract: Extract) -> Mapping[str, list[str]]:
    """Reasons that can send a row to quarantine, by column."""
    reasons: dict[str, list[str]] = {}
    for rule in _rules(extract):
        reasons.setdefault(rule.column, []).append(rule.reason)
    return reasons
