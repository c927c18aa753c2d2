"""Fixed-width records: header, details and trailer in one file, told apart by their first character.

Here: records by the `record_type` of an extract, fields by `start` and `width` of its columns, implied decimals and
trailing signs as plain numbers, values of the header on every row (`source: header record`), the trailer's totals.
Not here: dates, closed lists, required fields (`shape`); whether a trailer that differs matters (quality).

A set is a header, its details and its trailer; a file is one set or several. Without its trailer, or with fewer
details than the trailer states, a set was cut and the file is refused whole. Numbers fill their field: digits, and for
a decimal a sign behind them, a minus or a blank. Everything else in a number is a bad record; its neighbours land.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from ingest.formats.reading import BadRow, Content, Look, Piece, Reading, Text, Trailer, Unreadable

if TYPE_CHECKING:
    import polars as pl

    from ingest.contract import Column, Delivery, Extract

_HEADER_RECORD = "header record"
# The end of a file as old systems write it.
_END_OF_FILE = b"\x1a"

NO_HEADER = "no header record"
NO_TRAILER = "no trailer record"


_NO_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class _Layout:
    """The record types of a delivery."""

    extracts: Mapping[str, Extract]
    header: Extract | None
    """Its records give values to the others: columns with the source `header record`."""
    trailer: Extract | None
    """Its records, of type T, state rows and sum of the details."""
    details: tuple[Extract, ...]

    @classmethod
    def of(cls, extracts: Mapping[str, Extract] | Iterable[Extract]) -> _Layout:
        each = extracts.values() if isinstance(extracts, Mapping) else extracts
        named = {extract.name: extract for extract in each}
        given = {column.name for extract in named.values() for column in _from_header(extract)}
        header = next(
            (
                extract
                for extract in named.values()
                if given & {column.name for column in extract.read_columns if column.width}
                and not _from_header(extract)
            ),
            None,
        )
        trailer = next((extract for extract in named.values() if extract.record_type == "T"), None)
        return cls(
            named, header, trailer, tuple(extract for extract in named.values() if extract not in (header, trailer))
        )


def _head(delivery: Delivery, layout: _Layout) -> str:
    """The extract that tells what belongs to none."""
    return next((name for name in delivery.extracts if name in layout.extracts), next(iter(layout.extracts)))


def _from_header(extract: Extract) -> list[Column]:
    return [column for column in extract.read_columns if column.source == _HEADER_RECORD]


# Looking and cutting --------------------------------------------------------------------------------------------------


def look(content: Content, delivery: Delivery, extracts: Mapping[str, Extract] | Iterable[Extract]) -> Look:
    """Records by extract, what the trailers state, and whether a set is cut.

    Refused whole: no header or trailer, one that does not read, fewer details than the trailer states. More of them,
    or another sum (`Look.trailer`), do not refuse: the file is intact, its trailer is wrong (quirk Q71). Records of
    unknown type count with the delivery's first extract, which tells them as bad rows.
    """
    layout = _Layout.of(extracts)
    records = _records([Text(0, content if isinstance(content, bytes) else content[:])], delivery)
    rows = dict.fromkeys(layout.extracts, 0)
    types = {extract.record_type: name for name, extract in layout.extracts.items()}
    for kind, count in records.group_by("kind").len().iter_rows():
        rows[types.get(kind, _head(delivery, layout))] += count
    try:
        trailer = _trailer(records, layout)
    except Unreadable as trouble:
        return Look(rows, str(trouble))
    return Look(rows, trailer=trailer)


def _trailer(records: pl.DataFrame, layout: _Layout) -> Trailer | None:
    """What the trailers of a file state, in all.

    Raises:
        Unreadable: a header or trailer is missing or does not read, or details are missing.
    """
    import polars as pl

    if layout.header is not None:
        headers = _fields(records.filter(kind=layout.header.record_type), layout.header, layout)
        given = {column.name for extract in layout.extracts.values() for column in _from_header(extract)}
        if headers.is_empty():
            raise Unreadable(NO_HEADER)
        if headers.filter(_does_not_read(given)).height:
            raise Unreadable("the header record does not read")
    if layout.trailer is None:
        return None
    if not layout.details or layout.header is None:
        sets = records.with_columns(set=pl.lit(1))
    else:
        sets = records.with_columns(set=(pl.col("kind") == layout.header.record_type).cum_sum())
    detail = layout.details[0].record_type if layout.details else ""
    trailers = _fields(sets.filter(kind=layout.trailer.record_type), layout.trailer, layout)
    counted = sets.group_by("set").agg(details=(pl.col("kind") == detail).sum()).filter(pl.col("set") > 0)
    states = _stated(layout.trailer)
    joined = counted.join(trailers, on="set", how="left")
    if joined["_line"].has_nulls():
        raise Unreadable(NO_TRAILER)
    if joined.height != counted.height:
        raise Unreadable("more than one trailer record")
    if joined.filter(_does_not_read({states.rows})).height:
        raise Unreadable("the trailer record does not read")
    stated, there = joined[states.rows].cast(pl.Int64), joined["details"]
    if (there < stated).any():
        raise Unreadable(f"{there.sum()} rows, the trailer states {stated.sum()}")
    totals = joined[states.total].to_list() if states.total else []
    if not totals or None in totals:
        return Trailer(int(stated.sum()), agrees=False if totals else None)
    return Trailer(int(stated.sum()), f"{sum(map(Decimal, totals)):f}")


def _does_not_read(needed: set[str]) -> pl.Expr:
    """Whether a record is broken as a whole or in a column that others need."""
    import polars as pl

    is_broken = pl.col("_reason").is_not_null() & (pl.col("_bad").is_null() | pl.col("_bad").is_in(list(needed)))
    return is_broken | pl.any_horizontal(pl.col(name).is_null() for name in needed)


@dataclass(frozen=True)
class _Stated:
    rows: str
    total: str | None


def _stated(trailer: Extract) -> _Stated:
    """Columns of the trailer with the number of details and their sum: its integer and its decimal."""
    fields = [column for column in trailer.read_columns if column.width]
    rows = next(column.name for column in fields if column.type.name == "integer")
    total = next((column.name for column in fields if column.type.name == "decimal"), None)
    return _Stated(rows, total)


def pieces(content: Content, size: int) -> Iterator[Piece]:
    """Spans of about `size` bytes that begin with a header record; nothing for empty content.

    One set is never cut, because its header gives values to all its records.
    """
    start, line, total = 0, 1, len(content)
    while start < total:
        found = content.find(b"\nH", min(start + size, total) - 1)
        end = found + 1 if found >= 0 else total
        yield Piece(start, end, line)
        span = content[start:end]
        line += span.count(b"\n") + span.count(b"\r") - span.count(b"\r\n")
        start = end


# Reading --------------------------------------------------------------------------------------------------------------


def read(
    texts: Sequence[Text], delivery: Delivery, extracts: Mapping[str, Extract] | Iterable[Extract]
) -> dict[str, Reading]:
    """Rows of every record type in the texts.

    Text loses the blanks behind it, integers lose their leading zeros, decimals get their point and the sign in front
    (`000000150-` with two implied decimals is -1.50), dates and times stay as sent; a blank field is null. A record of
    another length than the delivery's, of an unknown type, before any header, with bytes that the encoding does not
    have or with a number that is none is one bad row of its extract, or of the delivery's first one.
    """
    import polars as pl

    layout = _Layout.of(extracts)
    records = _with_header_values(_records(texts, delivery), layout)
    bad: dict[str, list[BadRow]] = {name: [] for name in layout.extracts}
    head = _head(delivery, layout)
    known = {extract.record_type for extract in layout.extracts.values()}
    for text, line in records.filter(~pl.col("kind").is_in(list(known))).select("_text", "_line").iter_rows():
        bad[head].append(BadRow(text, line, None, "text", "an unknown type of record"))
    frames: dict[str, pl.DataFrame] = {}
    for name, extract in layout.extracts.items():
        rows = _fields(records.filter(kind=extract.record_type), extract, layout)
        refused = rows.filter(pl.col("_reason").is_not_null())
        for text, line, column, reason in refused.select("_text", "_line", "_bad", "_reason").iter_rows():
            bad[name].append(BadRow(text, line, column, "text", reason))
        columns = [column.name for column in extract.read_columns]
        frames[name] = rows.filter(pl.col("_reason").is_null()).select(*columns, "_text", "_line")
    return {name: Reading(frames[name], sorted(bad[name], key=lambda row: (row.index, row.line))) for name in bad}


def _records(texts: Sequence[Text], delivery: Delivery) -> pl.DataFrame:
    """A row a record: `_text`, `_line`, `kind` (its first character), `record` (padded if short), `is_whole`."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    bodies = [_plain_lines(text.content) for text in texts]
    counts = [body.count(b"\n") for body in bodies]
    joined = b"".join(bodies)
    if not joined.isascii():
        # One character a byte, whatever the byte: the place of a field does not move.
        joined = joined.decode(delivery.encoding, "replace").encode()
    ends = np.flatnonzero(np.frombuffer(joined, np.uint8) == 10)
    spans = np.concatenate([np.zeros(1, np.int64), ends + 1])
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)[:-1]]) if counts else np.zeros(0, np.int64)
    starts = np.array([text.first_line for text in texts], np.int64)
    strings = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(spans), pa.py_buffer(joined))
    length = delivery.record_length
    records = (
        pl.LazyFrame(
            {
                "_text": np.repeat(np.array([text.index for text in texts], np.int64), counts),
                "_line": np.arange(len(ends)) - np.repeat(first, counts) + np.repeat(starts, counts),
                "record": pl.Series(strings, dtype=pl.String),
            }
        )
        .with_columns(pl.col("record").str.head(-1))
        .filter(pl.col("record").str.strip_chars_end(" ") != "")
        .with_columns(kind=pl.col("record").str.head(1), length=pl.col("record").str.len_chars())
        .with_columns(is_short=pl.col("length") < length, is_whole=pl.col("length") == length)
        .collect()
    )
    if records["is_short"].any():
        # Blanks behind a header or trailer are lost on the way more often than they mean anything.
        records = records.with_columns(pl.col("record").str.pad_end(length))
    return records


def _plain_lines(content: bytes) -> bytes:
    """Lines that end in LF, as many as there were."""
    content = content.removesuffix(_END_OF_FILE)
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content if not content or content.endswith(b"\n") else content + b"\n"


def _with_header_values(records: pl.DataFrame, layout: _Layout) -> pl.DataFrame:
    """Records with `header <column>` for every column that the header gives, and whether one stands before them."""
    import polars as pl

    if layout.header is None:
        return records.with_columns(has_header=pl.lit(True))
    given = {column.name for extract in layout.extracts.values() for column in _from_header(extract)}
    values = records.filter(kind=layout.header.record_type).select(
        pl.col("_text").alias("header"),
        *(_value(column).alias(f"header {name}") for name, column in layout.header.columns.items() if name in given),
    )
    last = (pl.col("kind") == layout.header.record_type).cum_sum().cast(pl.Int64) - 1
    before = values.select(pl.all().gather(records.select(pl.when(last >= 0).then(last)).to_series()))
    # A header of another text is none.
    has_header = before["header"].eq_missing(records["_text"])
    return records.hstack(
        before.drop("header").with_columns(pl.when(has_header).then(pl.all()), has_header=has_header).get_columns()
    )


def _fields(records: pl.DataFrame, extract: Extract, layout: _Layout) -> pl.DataFrame:
    """Columns of the extract; `_reason` is null where a record reads, `_bad` the column that does not."""
    import polars as pl

    if "has_header" not in records.columns:
        records = records.with_columns(has_header=pl.lit(True))
    is_detail = extract in layout.details
    reason = (
        pl.when(~pl.col("is_whole") & (pl.lit(is_detail) | ~pl.col("is_short")))
        .then(pl.lit("a record of another length"))
        .when(~pl.col("has_header"))
        .then(pl.lit("no header record before it"))
        .when(pl.col("record").str.contains(_NO_CHARACTER, literal=True))
        .then(pl.lit("bytes that the encoding does not have"))
    )
    numbers = [column for column in extract.read_columns if column.width and column.type.name in _NUMBERS]
    broken = pl.coalesce(
        *(pl.when(~_is_number(column)).then(pl.lit(column.name)) for column in numbers), pl.lit(None, pl.String)
    )
    why = pl.col("_bad").replace_strict({column.name: _NUMBERS[column.type.name] for column in numbers}, default=None)
    return (
        records.lazy()
        .with_columns(_reason=reason)
        .with_columns(_bad=pl.when(pl.col("_reason").is_null()).then(broken))
        .with_columns(_reason=pl.coalesce("_reason", why))
        .with_columns(_column(column, records).alias(column.name) for column in extract.read_columns)
        .collect()
    )


_NUMBERS = {
    "integer": "not the digits of a whole number",
    "decimal": "not digits with a minus or a blank behind them",
}


def _column(column: Column, records: pl.DataFrame) -> pl.Expr:
    import polars as pl

    if column.width:
        return _value(column)
    name = f"header {column.name}"
    return pl.col(name) if column.source == _HEADER_RECORD and name in records.columns else pl.lit(None, pl.String)


def _field(column: Column) -> pl.Expr:
    import polars as pl

    return pl.col("record").str.slice(column.start - 1, column.width)


def _is_number(column: Column) -> pl.Expr:
    form = rf"^(?: +|[0-9]{{{column.width}}}|[0-9]{{{column.width - 1}}}-)$"
    if column.type.name == "decimal":
        form = rf"^(?: +|[0-9]{{{column.width - 1}}}[-+ ])$"
    return _field(column).str.contains(form)


def _value(column: Column) -> pl.Expr:
    """The field as the contract's type writes it, null where it is blank; a number that is none becomes null."""
    import polars as pl

    field = _field(column)
    if column.type.name not in _NUMBERS:
        text = field.str.strip_chars_end(" ")
        return pl.when(text != "").then(text)
    digits = field.str.strip_chars_end("-+ ")
    scale = column.type.scale if column.type.name == "decimal" else 0
    number = digits.cast(pl.Int64 if column.width <= 18 else pl.Int128, strict=False)
    is_minus = field.str.ends_with("-")
    if not scale:
        text = pl.when(is_minus).then(-number).otherwise(number).cast(pl.String)
    else:
        sign = pl.when(is_minus & (number > 0)).then(pl.lit("-")).otherwise(pl.lit(""))
        whole = (number // 10**scale).cast(pl.String)
        text = pl.concat_str(sign, whole, pl.lit("."), digits.str.zfill(scale).str.tail(scale))
    return pl.when(_is_number(column)).then(text)
