"""The shape of rows: the Pandera schema that a contract becomes, and which rows break it.

Here: type, required, closed list and pattern of every column that is read, as Polars expressions inside a Pandera
schema; documents whose head breaks one.
Not here: what the values mean to the business (quality), rows that do not split into fields (`formats`).

Each rule is put to each row once, and once before to the head of a document, with which all of it goes. Its verdict
decides which rows are refused, and stands beside the rows that are left when the Pandera schema, which has columns,
types, required columns and verdicts to check, has to pass them: once per extract and run. Pandera is not asked for
failure cases: they hold values, and a value may be a patient's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ingest.coded import flags, is_coded, of_rows
from ingest.contract import Column, Delivery, Extract
from ingest.formats.reading import BadRow, Reading

if TYPE_CHECKING:
    import numpy as np
    import pandera.polars as pa
    import polars as pl
    from numpy.typing import NDArray

# Lawson has no empty dates: these stand for one (quirk Q81).
EMPTY_DATES = ("17530101", "17000101", "0")
# The dates that stand for none, and what is blank, sort before it.
_FIRST_DATE = "18"
# More than a text has lines.
_LINES = 2**40


class ShapeError(Exception):
    """Rows were lost or doubled while they were judged."""


@dataclass(frozen=True)
class Rule:
    """One thing that a filled or empty value may break."""

    column: str
    reason: str
    is_broken: pl.Expr
    is_of_filled: bool = True
    """Whether only a filled value can break it."""

    @property
    def verdict(self) -> str:
        """Name of the rule's flag column."""
        return f"{self.column}: {self.reason}"


def null_tokens(column: Column, delivery: Delivery) -> pl.Expr:
    """The column with the source's null tokens as null."""
    import polars as pl

    value = pl.col(column.name)
    return pl.when(_is_null_token(value, column, delivery)).then(None).otherwise(value).alias(column.name)


def _is_null_token(value: pl.Expr, column: Column, delivery: Delivery) -> pl.Expr:
    if not delivery.blank_is_null:
        return value == ""
    is_empty = value.str.strip_chars(" ") == ""
    return is_empty | value.is_in(EMPTY_DATES) if column.type.name in ("date", "datetime") else is_empty


def without_null_tokens(rows: pl.DataFrame, columns: Sequence[Column], delivery: Delivery) -> pl.DataFrame:
    """The rows with the source's null tokens as null; a column that has none is left as it is."""
    import polars as pl

    if not rows.height or not columns:
        return rows
    asked, coded = [], []
    for column in columns:
        value = pl.col(column.name)
        if is_coded(rows.schema[column.name]):
            (is_token,) = flags(rows[column.name], [_is_null_token(value, column, delivery)])
            if is_token is not None:
                coded.append(pl.when(is_token).then(None).otherwise(value).alias(column.name))
        elif not delivery.blank_is_null:
            asked.append((value.str.len_bytes() == 0).any().alias(column.name))
        elif column.type.name in ("date", "datetime"):
            asked.append((value < _FIRST_DATE).any().alias(column.name))
        else:
            # Nothing sorts below a blank but the empty value and control characters.
            asked.append((value < "!").any().alias(column.name))
    has = rows.select(asked).row(0, named=True) if asked else {}
    return rows.with_columns(*coded, *(null_tokens(column, delivery) for column in columns if has.get(column.name)))


def form_of(layout: str) -> str:
    """Pattern that a moment, date or time of a layout has, to the digit; no day that the calendar has not.

    `ISO 8601...` is FHIR R4 dateTime: a year, month or day alone, or a moment with its offset.
    """
    if layout.startswith("ISO 8601"):
        offset = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
        moment = rf"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?{offset}"
        return rf"^(?:[0-9]{{4}}(?:-(?:0[1-9]|1[0-2]))?|{_day('[0-9]{2}', '-')}(?:{moment})?)$"
    text, form = layout, ""
    while text:
        day = re.match(r"(yyyy|yy)(\W?)MM\2dd", text)
        word = next((word for word in _TIME_FORMS if text.startswith(word)), None)
        if day is not None:
            form += _day("[0-9]{2}" if day[1] == "yyyy" else "", re.escape(day[2]))
            text = text[day.end() :]
        elif word is not None:
            form, text = form + _TIME_FORMS[word], text[len(word) :]
        else:
            form, text = form + re.escape(text[0]), text[1:]
    return f"^{form}$"


_TIME_FORMS = {"HH": "(?:[01][0-9]|2[0-3])", "mm": "[0-5][0-9]", "ss": "[0-5][0-9]", ".SSSSSS": r"\.[0-9]{6}"}


def _day(century: str, dash: str) -> str:
    """Days of the Gregorian calendar; years of two digits are of 1969 to 2068."""
    year = f"{century}[0-9]{{2}}"
    fourth = "(?:0[48]|[2468][048]|[13579][26])"
    leap = f"(?:{century}{fourth}|(?:[02468][048]|[13579][26])00)" if century else f"(?:00|{fourth})"
    full = f"(?:0[13578]|1[02]){dash}(?:0[1-9]|[12][0-9]|3[01])"
    short = f"(?:0[469]|11){dash}(?:0[1-9]|[12][0-9]|30)"
    february = f"02{dash}(?:0[1-9]|1[0-9]|2[0-8])"
    return f"(?:{year}{dash}(?:{full}|{short}|{february})|{leap}{dash}02{dash}29)"


def is_of_type(column: Column) -> Callable[[pl.Expr], pl.Expr] | None:
    """Whether a filled value is of the column's type; None for text, which everything is."""
    import polars as pl

    kind = column.type
    if kind.name == "integer":
        return lambda value: value.cast(pl.Int64, strict=False).is_not_null()
    if kind.name == "decimal":
        whole, scale = kind.precision - kind.scale, kind.scale
        form = rf"^[+-]?(?:0*[0-9]{{1,{whole}}}(?:\.[0-9]{{0,{scale}}}0*)?|\.[0-9]{{1,{scale}}}0*)$"
        return lambda value: value.str.contains(form)
    if kind.name in ("date", "datetime", "time"):
        form = form_of(kind.layout)
        return lambda value: value.str.contains(form)
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
            rules.append(Rule(column.name, "required and empty", value.is_null(), is_of_filled=False))
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
def _text() -> Any:
    """Pandera's type of text columns, coded or not."""
    import polars as pl
    from pandera.engines import polars_engine

    class Text(polars_engine.String):
        def check(self, pandera_dtype: Any, data_container: Any = None) -> bool:
            return pandera_dtype == pl.String or isinstance(pandera_dtype, pl.Categorical)

    return Text()


@cache
def pandera_schema(extract: Extract) -> pa.DataFrameSchema:
    """Schema of the extract's rows as read: text columns, null tokens already null, dropped columns absent.

    Beside them it asks for a flag column for each rule, named by `Rule.verdict`: whether the row breaks it.
    """
    import pandera.polars as pa
    import polars as pl

    columns: dict[str, Any] = {
        column.name: pa.Column(_text(), nullable=not column.required, description=column.doc or None)
        for column in extract.read_columns
    }
    verdicts = [rule.verdict for rule in _rules(extract)]

    def holds(asked: Any) -> pl.LazyFrame:
        return asked.lazyframe.select(~pl.any_horizontal(verdicts))

    keeps_rules = [pa.Check(holds, name="breaks no rule", ignore_na=False)] if verdicts else []
    return pa.DataFrameSchema(columns, checks=keeps_rules, name=extract.feed, strict=False)


def split(extract: Extract, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[BadRow]]:
    """Rows that keep the contract, and the place, value class and reason of every value that does not.

    `rows` needs `_text` and `_line`. A row that breaks several rules is one bad row with several entries. A deletion
    (`_op` is D) has its key alone and is not judged.

    Raises:
        ShapeError: good and bad rows are not all rows.
    """
    import polars as pl

    rules = _rules(extract)
    verdicts = _verdicts(rules, rows)
    broken = verdicts.select(pl.all().any())
    kept = [rule for rule in rules if broken[rule.verdict][0]] if rules and rows.height else []
    good = rows
    bad: list[BadRow] = []
    if kept:
        is_bad = verdicts.select(pl.any_horizontal([rule.verdict for rule in kept])).to_series()
        good, refused = rows.filter(~is_bad), rows.with_row_index("_row").filter(is_bad)
        why, verdicts = verdicts.filter(is_bad), verdicts.filter(~is_bad)
        for rule in kept:
            broken = refused.filter(why[rule.verdict])
            kind = of_rows(broken[rule.column], value_class(pl.col(rule.column)))
            places = broken.select("_text", "_line", "_row", _class=kind)
            bad.extend(
                BadRow(text, line, rule.column, kind, rule.reason, row) for text, line, row, kind in places.iter_rows()
            )
        if good.height + refused.height != rows.height or len({row.row for row in bad}) != refused.height:
            raise ShapeError(f"{extract.feed}: {rows.height} rows judged, {good.height} good, {refused.height} bad")
    judged = good.hstack(verdicts)
    _pass(extract, judged.filter(pl.col("_op") != "D") if _has_deletions(good) else judged)
    return good, bad


def refuse_documents(extracts: Sequence[Extract], readings: Mapping[str, Reading], told_at: Mapping[int, str]) -> None:
    """Take out every row of a document whose head is refused: lines without their head say nothing.

    The document is one bad row of the extract that `told_at` has for its text, as one that could not be read is.
    """
    import numpy as np

    heads = [extract for extract in extracts if extract.name in readings and readings[extract.name].is_head]
    refused: dict[tuple[int, int], str] = {}
    for extract in heads:
        reading = readings[extract.name]
        # A value that the reader could not take: the row is in no frame.
        refused |= {
            (row.index, row.line): f"{extract.name}.{row.column}: {row.reason}" for row in reading.bad if row.column
        }
        reading.bad = [row for row in reading.bad if not row.column]
        broken = reading.frame.select("_text", "_line", rule=_first_broken(extract, reading.frame))
        for text, line, rule in broken.drop_nulls("rule").iter_rows():
            refused.setdefault((text, line), f"{extract.name}.{rule}")
    if not refused:
        return
    for (text, line), reason in refused.items():
        readings[told_at[text]].bad.append(BadRow(text, line, None, "document", reason))
    gone = np.array([text * _LINES + line for text, line in refused], np.int64)
    begins = np.unique(np.concatenate([gone, *(_places(readings[extract.name].frame) for extract in heads)]))
    is_gone = np.isin(begins, gone)
    for reading in readings.values():
        document = np.searchsorted(begins, _places(reading.frame), "right") - 1
        reading.frame = reading.frame.filter(~is_gone[document])
        reading.bad.sort(key=lambda row: (row.index, row.line))


def _places(rows: pl.DataFrame) -> NDArray[np.int64]:
    """Text and line of rows as one number."""
    return (rows["_text"] * _LINES + rows["_line"]).to_numpy()


def _first_broken(extract: Extract, rows: pl.DataFrame) -> pl.Series:
    """The first rule that each row breaks, null where it breaks none; columns that the path fills are not judged."""
    import polars as pl

    rules = [rule for rule in _rules(extract) if not extract.columns[rule.column].from_path]
    verdicts = _verdicts(rules, rows)
    told = [pl.when(rule.verdict).then(pl.lit(rule.verdict)) for rule in rules if verdicts[rule.verdict].any()]
    if not told:
        return pl.repeat(None, rows.height, dtype=pl.String, eager=True)
    return verdicts.select(pl.coalesce(told)).to_series()


def _has_deletions(rows: pl.DataFrame) -> bool:
    return "_op" in rows.columns and bool((rows["_op"] == "D").any())


def _verdicts(rules: Sequence[Rule], rows: pl.DataFrame) -> pl.DataFrame:
    """One flag a rule and row: whether the row breaks it. A column without any value breaks none but being required."""
    import polars as pl

    is_judged = pl.col("_op") != "D" if _has_deletions(rows) else None
    verdicts = []
    for name, of_column in groupby(rules, key=lambda rule: rule.column):
        values, asked = rows[name], list(of_column)
        is_empty = values.null_count() == values.len()
        for rule, is_broken in zip(asked, flags(values, [rule.is_broken for rule in asked]), strict=True):
            if is_broken is None or (is_empty and rule.is_of_filled):
                verdicts.append(pl.repeat(False, pl.len()).alias(rule.verdict))
            else:
                verdicts.append((is_broken if is_judged is None else is_broken & is_judged).alias(rule.verdict))
    return rows.select(verdicts)


def _pass(extract: Extract, judged: pl.DataFrame) -> None:
    """Nothing lands that the Pandera schema has not passed."""
    import pandera.errors
    from pandera.config import ValidationDepth, config_context

    with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            pandera_schema(extract).validate(judged, lazy=True)
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
