"""Delimited text with a header line: many small files in few engine calls, with exact physical lines.

Here: binding by header name, splitting rows, telling ragged and undecodable rows apart.
Not here: types, required columns, closed lists (`shape`); zip parts (`bicc`).

Texts with one header are parsed in one engine call, on the first of three paths that can tell what they say:

1. Without quotes, a text that holds as many delimiters as its lines must have, and no line with too many, has no
   ragged row: the bytes are parsed as they are.
2. Every line gets a sentinel field. A row whose sentinel is not in its place is ragged; a row count that is not the
   line count means a quoted line break or a stray quote.
3. Line by line, also for text that does not decode, so that one bad row costs one row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ingest.coded import coding, plain
from ingest.formats.reading import BadRow, Content, Look, Piece, Reading, Text, Unreadable

if TYPE_CHECKING:
    import polars as pl

    from ingest.contract import Delivery, Extract

_SENTINEL = "\x01"
# A quoted field that spans more lines than this is taken for a stray quote: one bad line, not a swallowed file.
_LONGEST_RECORD = 200


@dataclass(frozen=True)
class Dialect:
    """How the text is written."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"


@dataclass
class Parsed:
    """Rows of texts with one header: a frame of text columns, `_text` and `_line`, and the rows that did not split."""

    header: tuple[str, ...]
    frame: pl.DataFrame
    bad: list[BadRow] = field(default_factory=list)


def header_of(content: bytes, dialect: Dialect) -> tuple[str, ...]:
    """Column names of the first line.

    Raises:
        Unreadable: there is no first line, it does not decode, or it names a column twice.
    """
    line = _header_line(content)
    try:
        text = line.decode("utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding)
    except UnicodeDecodeError:
        raise Unreadable("the header line does not decode") from None
    try:
        names = next(csv.reader([text], delimiter=dialect.delimiter, quotechar=dialect.quote), [])
    except csv.Error:
        raise Unreadable("the header line does not split") from None
    header = tuple(name.strip() for name in names)
    if not any(header):
        raise Unreadable("no header line")
    if len(set(header)) != len(header):
        raise Unreadable("the header names a column twice")
    return header


def _header_line(content: bytes) -> bytes:
    end = content.find(b"\n")
    line = content if end < 0 else content[:end]
    return line.removesuffix(b"\r")


def is_cut(content: bytes) -> bool:
    """Whether the last line lacks its line end."""
    return bool(content) and not content.endswith(b"\n")


@dataclass(frozen=True)
class _Marks:
    """What stands in a text, as far as the way of reading it depends on that."""

    ends: int
    """Newlines."""
    has_blank: bool
    """Whether a line below the header may be blank."""
    is_quoted: bool
    """Whether a quote stands below the header."""
    is_odd: bool
    """Whether it holds a zero byte, or a carriage return below the header that does not belong to a line end."""
    is_ascii: bool
    delimiters: int | None
    """Delimiters below the header; None where a delimiter is no single byte."""


def _marks(content: bytes, dialect: Dialect) -> _Marks:
    start, delimiter = content.find(b"\n") + 1, dialect.delimiter.encode()
    has_returns = b"\r" in content
    ends, delimiters, has_blank = _counted(content, delimiter, has_returns)
    return _Marks(
        ends,
        has_blank,
        is_quoted=content.find(dialect.quote.encode(), start) >= 0,
        is_odd=b"\x00" in content or (has_returns and _has_lone_return(content)),
        is_ascii=content.isascii(),
        delimiters=delimiters - content.count(delimiter, 0, start) if len(delimiter) == 1 else None,
    )


def count_rows(content: bytes, dialect: Dialect) -> int:
    """Records below the header, blank lines apart; lines inside quoted fields do not count."""
    return _rows_of(content, dialect, _marks(content, dialect))


def _rows_of(content: bytes, dialect: Dialect, marks: _Marks) -> int:
    start = content.find(b"\n") + 1
    if not start or start == len(content):
        return 0
    if not marks.is_quoted:
        lines = marks.ends - 1 + (not content.endswith(b"\n"))
        return lines - (_blank_lines(content) if marks.has_blank else 0)
    quote, body = dialect.quote.encode(), content[start:]
    if body.count(quote) % 2:
        return sum(1 for _ in _records(_decoded_lines(body, dialect), dialect, None))
    return _count_quoted(body, quote)


# In a text of this size, a column that says at most this many different values in a row of the first bytes is coded.
_LARGE, _SAMPLE, _REPEATED = 2**20, 2**18, 0.3


# Whole texts are looked through in spans that fit the processor's cache.
_SPAN = 1 << 18


def _counted(content: bytes, delimiter: bytes, has_returns: bool) -> tuple[int, int, bool]:
    """How many newlines and delimiters there are, and whether a line below the header may be blank."""
    import numpy as np

    view = np.frombuffer(content, np.uint8)
    ends, delimiters, has_blank = 0, 0, False
    for at in range(0, view.size, _SPAN):
        span = view[at : at + _SPAN + 1]
        is_end = span == 10
        ends += int(np.count_nonzero(is_end[:_SPAN]))
        delimiters += int(np.count_nonzero(span[:_SPAN] == delimiter[0]))
        if not has_blank:
            follows = is_end[1:] | (span[1:] == 13) if has_returns else is_end[1:]
            has_blank = bool((is_end[:-1] & follows).any())
    return ends, delimiters, has_blank


def _blank_lines(content: bytes) -> int:
    """Lines below the header, the last one with or without its end, that hold nothing but carriage returns."""
    lines = content.split(b"\n")
    return sum(1 for line in lines[1:-1] if not line.strip(b"\r")) + (lines[-1] == b"\r")


def _count_quoted(body: bytes, quote: bytes) -> int:
    """Newlines that stand outside quotes, by the parity of the quotes before them."""
    records, inside = 0, False
    for line in body.split(b"\n"):
        if not inside and not line.strip(b"\r"):
            continue
        inside ^= bool(line.count(quote) % 2)
        records += not inside
    return records


def _body(content: bytes) -> bytes:
    end = content.find(b"\n")
    return b"" if end < 0 else content[end + 1 :]


def parse(texts: Iterable[Text], dialect: Dialect) -> Iterator[Parsed]:
    """Rows of all texts, one result for each header and path taken.

    A header that cannot be read raises `Unreadable`; the caller has refused such files before.
    """
    groups: dict[bytes, list[Text]] = {}
    for text in texts:
        groups.setdefault(_header_line(text.content), []).append(text)
    for group in groups.values():
        header = header_of(group[0].content, dialect)
        yield from _parse_group(group, header, dialect)


@dataclass(frozen=True)
class _Plain:
    """A text that an engine can split: UTF-8, lines that end in LF or CR LF and are all there."""

    text: Text
    content: bytes
    """The text, its header line included."""
    lines: int
    """Lines below the header."""
    marks: _Marks

    @property
    def body_start(self) -> int:
        return self.content.find(b"\n") + 1

    def body(self) -> bytes:
        body = self.content[self.body_start :]
        return body if body.endswith(b"\n") else body + b"\n"


def _parse_group(group: Sequence[Text], header: tuple[str, ...], dialect: Dialect) -> Iterator[Parsed]:
    plain: list[_Plain] = []
    odd: list[Text] = []
    for text in group:
        each = _plain(text, dialect)
        if each is None:
            odd.append(text)
        elif each.lines:
            plain.append(each)
    if plain:
        parsed = _parse_whole(plain, header, dialect) or _parse_marked(plain, header, dialect)
        if parsed is not None:
            yield parsed
        elif len(plain) == 1:
            odd.append(plain[0].text)
        else:
            # Some file of the group has a quoted line break or a stray quote: find it, keep the others fast.
            middle = len(plain) // 2
            yield from _parse_group([each.text for each in plain[:middle]], header, dialect)
            yield from _parse_group([each.text for each in plain[middle:]], header, dialect)
    for text in odd:
        yield _parse_slowly(text, header, dialect)


def _plain(text: Text, dialect: Dialect) -> _Plain | None:
    """The text as an engine can split it, or None when only the slow path can tell what it says."""
    content = text.content
    marks = text.found if isinstance(text.found, _Marks) else _marks(content, dialect)
    if not marks.ends:
        return None if b"\x00" in content else _Plain(text, b"", 0, marks)
    if marks.is_odd or marks.has_blank:
        return None
    if not marks.is_ascii:
        try:
            decoded = content.decode(dialect.encoding)
        except UnicodeDecodeError:
            return None
        if dialect.encoding != "utf-8":
            content = decoded.encode()
    return _Plain(text, content, marks.ends - content.endswith(b"\n"), marks)


def _has_lone_return(content: bytes) -> bool:
    """Whether a carriage return below the header does not belong to a line end."""
    start = content.find(b"\n") + 1
    return content.count(b"\r", start) != content.count(b"\r\n", start)


def _parse_whole(plain: Sequence[_Plain], header: tuple[str, ...], dialect: Dialect) -> Parsed | None:
    """Rows of texts without quotes and without a ragged row; None when they are not such."""
    import polars as pl

    lines = sum(each.lines for each in plain)
    separators = [each.marks.delimiters for each in plain if not each.marks.is_quoted]
    if len(separators) < len(plain) or None in separators:
        return None
    if sum(each or 0 for each in separators) != lines * (len(header) - 1):
        return None
    first = plain[0].content[: plain[0].body_start]
    is_named = first.rstrip(b"\r\n").decode(errors="replace") == dialect.delimiter.join(header)
    text = plain[0].content if len(plain) == 1 else b"".join([first, *(each.body() for each in plain)])

    kinds: dict[str, pl.DataType] = dict.fromkeys(header, pl.String())

    def table(text: bytes) -> pl.DataFrame:
        return pl.read_csv(
            text,
            schema=kinds,
            has_header=is_named,
            skip_lines=0 if is_named else 1,
            separator=dialect.delimiter,
            quote_char=None,
        )

    try:
        if len(text) >= _LARGE:
            sample = table(text[: text.find(b"\n", _SAMPLE) + 1 or len(text)])
            distinct = sample.select(pl.all().n_unique()).row(0)
            kinds |= {
                name: coding()
                for name, count in zip(header, distinct, strict=True)
                if count <= _REPEATED * sample.height
            }
        # A line with too many fields is an error here; without one, as many delimiters mean no line with too few.
        frame = table(text)
    except pl.exceptions.PolarsError:
        return None
    if frame.shape != (lines, len(header)):
        return None
    return Parsed(header, _placed(frame, plain))


def _placed(frame: pl.DataFrame, plain: Sequence[_Plain]) -> pl.DataFrame:
    """The rows with `_text` and `_line` of every line below the headers."""
    import numpy as np
    import polars as pl

    counts = np.asarray([each.lines for each in plain], dtype=np.int64)
    texts = np.asarray([each.text.index for each in plain], dtype=np.int64)
    firsts = np.asarray([each.text.first_line for each in plain], dtype=np.int64) + 1
    before = np.cumsum(counts) - counts
    lines = np.arange(counts.sum(), dtype=np.int64) + np.repeat(firsts - before, counts)
    # In one piece: otherwise the engine puts the pieces of all columns together at every step.
    return frame.rechunk().with_columns(pl.Series("_text", np.repeat(texts, counts)), pl.Series("_line", lines))


def _parse_marked(plain: Sequence[_Plain], header: tuple[str, ...], dialect: Dialect) -> Parsed | None:
    """Rows of texts, with the ragged rows told apart by a sentinel; None when a record may not be a line."""
    import polars as pl

    if any(_SENTINEL.encode() in each.content for each in plain):
        return None
    names = [f"c{position}" for position in range(len(header))]
    mark = f"{dialect.delimiter}{_SENTINEL}\n".encode()
    head = dialect.delimiter.join([*names, "end"]).encode() + b"\n"
    joined = b"".join(each.body() for each in plain)
    if b"\r" in joined:
        joined = joined.replace(b"\r\n", b"\n")
    try:
        frame = pl.read_csv(
            head + joined.replace(b"\n", mark),
            separator=dialect.delimiter,
            quote_char=dialect.quote,
            infer_schema=False,
            truncate_ragged_lines=True,
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError:
        # The engine's message quotes the value it stumbled over: it must not travel.
        return None
    if frame.height != sum(each.lines for each in plain):
        return None
    frame = _placed(frame, plain)
    whole = pl.col("end").eq_missing(_SENTINEL)
    bad: list[BadRow] = []
    if not frame.select(whole.all()).item():
        # Quotes that open in one line and close in another can shift fields without changing the row count.
        if dialect.quote.encode() in joined:
            return None
        lines = joined.split(b"\n")
        delimiter = dialect.delimiter.encode()
        for row, index, line in frame.with_row_index("row").filter(~whole).select("row", "_text", "_line").iter_rows():
            kind = "too few fields" if lines[row].count(delimiter) < len(header) - 1 else "too many fields"
            bad.append(BadRow(index, line, None, kind, "ragged row"))
        frame = frame.filter(whole)
    frame = frame.drop("end").rename(dict(zip(names, header, strict=True)))
    return Parsed(header, frame, bad)


def _parse_slowly(text: Text, header: tuple[str, ...], dialect: Dialect) -> Parsed:
    import polars as pl

    rows: list[list[str]] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    for line, fields, trouble in _records(_decoded_lines(_body(text.content), dialect), dialect, len(header)):
        if trouble is not None:
            bad.append(BadRow(text.index, line + text.first_line - 1, None, *trouble))
        else:
            rows.append(fields)
            numbers.append(line + text.first_line - 1)
    columns: list[list[str | None]] = [[row[position] or None for row in rows] for position in range(len(header))]
    frame = pl.DataFrame(
        {
            **{name: pl.Series(name, column, dtype=pl.String) for name, column in zip(header, columns, strict=True)},
            "_text": pl.Series([text.index] * len(rows), dtype=pl.Int64),
            "_line": pl.Series(numbers, dtype=pl.Int64),
        }
    )
    return Parsed(header, frame, bad)


def _decoded_lines(body: bytes, dialect: Dialect) -> list[str | None]:
    lines: list[str | None] = []
    pieces = body.split(b"\n")
    if pieces and not pieces[-1]:
        pieces.pop()
    for piece in pieces:
        try:
            lines.append(piece.removesuffix(b"\r").decode(dialect.encoding))
        except UnicodeDecodeError:
            lines.append(None)
    return lines


def _records(
    lines: Sequence[str | None], dialect: Dialect, width: int | None
) -> Iterator[tuple[int, list[str], tuple[str, str] | None]]:
    """Physical line, fields, and trouble (value class, reason) of every record."""
    position = 0
    while position < len(lines):
        line = lines[position]
        if line is None:
            yield position + 2, [], ("bytes", "does not decode")
            position += 1
            continue
        if not line:
            position += 1
            continue
        taken, fields = _record(lines, position, dialect)
        if fields is None or "\x00" in line:
            yield position + 2, [], ("text", "stray quote" if fields is None else "control character")
        elif width is not None and len(fields) != width:
            kind = "too few fields" if len(fields) < width else "too many fields"
            if taken > 1:
                # A stray quote glued whole lines together: only its own line is bad, read on from the next one.
                taken = 1
                kind = "text"
            yield position + 2, [], (kind, "ragged row" if kind != "text" else "stray quote")
        else:
            yield position + 2, fields, None
        position += taken


def _record(lines: Sequence[str | None], start: int, dialect: Dialect) -> tuple[int, list[str] | None]:
    """Lines taken and fields of the record that starts here; None where its quotes never close."""
    text = lines[start] or ""
    fields, is_open = _split(text, dialect)
    taken = 1
    while is_open and taken < _LONGEST_RECORD and start + taken < len(lines):
        following = lines[start + taken]
        if following is None:
            break
        text = f"{text}\n{following}"
        taken += 1
        if dialect.quote in following:
            fields, is_open = _split(text, dialect)
    return (1, None) if fields is None else (taken, fields)


def _split(text: str, dialect: Dialect) -> tuple[list[str] | None, bool]:
    """Fields of one record, or None and whether a quoted field is still open at its end."""
    if dialect.quote not in text:
        return text.split(dialect.delimiter), False
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True
    )
    try:
        records = list(reader)
    except csv.Error as trouble:
        return None, "unexpected end of data" in str(trouble)
    return (records[0] if len(records) == 1 else None), False


# ------------------------------------------------------------------------------------------------ reading


# Control characters that stand in for a quote that the text has not, and for an escaped delimiter.
_STAND_INS = tuple(bytes([code]) for code in (*range(2, 9), *range(14, 32)))


def look(content: Content, delivery: Delivery, extracts: Sequence[Extract]) -> Look:
    """Rows, header and end of a delivery or zip part of the one extract that it feeds."""
    extract = extracts[0]
    text = content if isinstance(content, bytes) else content[:]
    try:
        dialect = _dialect([text], delivery)
    except Unreadable as trouble:
        return Look({extract.name: 0}, refusal=str(trouble))
    marks = _marks(text, dialect)
    rows = {extract.name: _rows_of(text, dialect, marks)}
    is_whole = not is_cut(text)
    try:
        header = header_of(text, dialect)
    except Unreadable as trouble:
        return Look(rows, refusal=str(trouble), is_cut=not is_whole)
    missing = [name for name in extract.must_have if name not in header]
    if missing:
        return Look(rows, refusal=f"required columns missing: {', '.join(missing)}", is_cut=not is_whole)
    drift = [(_plain_name(name), "added") for name in header if name not in extract.columns]
    drift += [
        (name, "missing") for name, column in extract.columns.items() if name not in header and not column.from_path
    ]
    # Without quoting, each reading chooses a quote of its own.
    return Look(rows, drift=tuple(drift), is_cut=not is_whole, found=marks if delivery.quote else None)


def pieces(content: Content, size: int) -> Iterator[Piece]:
    """All of a delivery: rows cannot be read without the header line at its top."""
    yield Piece(0, len(content), 1)


def read(texts: Sequence[Text], delivery: Delivery, extracts: Sequence[Extract]) -> dict[str, Reading]:
    """Rows of every extract; a column that the header does not name is null.

    A header that cannot be read raises `Unreadable`; `look` has refused such texts.
    """
    return {
        extract.name: _read_extract([text for text in texts if _feeds(text, extract, extracts)], delivery, extract)
        for extract in extracts
    }


def _feeds(text: Text, extract: Extract, extracts: Sequence[Extract]) -> bool:
    return extract.name in text.extracts if text.extracts else extract is extracts[0]


def _read_extract(texts: Sequence[Text], delivery: Delivery, extract: Extract) -> Reading:
    import polars as pl

    columns = [column.name for column in extract.read_columns]
    empty = pl.DataFrame(schema={**dict.fromkeys(columns, pl.String), "_text": pl.Int64, "_line": pl.Int64})
    frames: list[pl.DataFrame] = []
    bad: list[BadRow] = []
    try:
        dialect = _dialect([text.content for text in texts], delivery)
    except Unreadable:
        # Each text has spared a control character, but not all of them the same.
        if len(texts) < 2:
            raise
        apart = [_read_extract([text], delivery, extract) for text in texts]
        return Reading(pl.concat(plain(each.frame) for each in apart), [row for each in apart for row in each.bad])
    for parsed in parse(_unescaped(texts, delivery, dialect), dialect):
        absent = [pl.lit(None, pl.String).alias(name) for name in columns if name not in parsed.header]
        frames.append(parsed.frame.with_columns(absent).select(*columns, "_text", "_line"))
        bad.extend(parsed.bad)
    frame = pl.concat(plain(each) for each in frames) if len(frames) > 1 else frames[0] if frames else empty
    if delivery.escape:
        frame = plain(frame)
        stand_in = _stand_in([text.content for text in texts], dialect.quote.encode()).decode()
        frame = frame.with_columns(pl.col(columns).str.replace_all(stand_in, delivery.delimiter, literal=True))
    return Reading(frame.sort("_text", "_line") if len(frames) > 1 else frame, bad)


def _unescaped(texts: Sequence[Text], delivery: Delivery, dialect: Dialect) -> Sequence[Text]:
    """Texts in which a delimiter that belongs to a value is a character that they have not."""
    if not delivery.escape:
        return texts
    escaped = f"{delivery.escape}{delivery.delimiter}".encode()
    stand_in = _stand_in([text.content for text in texts], dialect.quote.encode())
    return [replace(text, content=text.content.replace(escaped, stand_in), found=None) for text in texts]


def _dialect(contents: Sequence[bytes], delivery: Delivery) -> Dialect:
    """The dialect of a delivery; a text without quoting gets a quote character that does not occur in it.

    Raises:
        Unreadable: no character is left for that, or for an escaped delimiter.
    """
    quote = delivery.quote or _stand_in(contents).decode()
    if delivery.escape:
        _stand_in(contents, quote.encode())
    return Dialect(delivery.delimiter, quote, delivery.encoding)


def _stand_in(contents: Sequence[bytes], taken: bytes = b"") -> bytes:
    for mark in _STAND_INS:
        if mark != taken and not any(mark in content for content in contents):
            return mark
    raise Unreadable("holds every control character")


def _plain_name(name: str) -> str:
    """A header name fit for a notice: a line of data that stands where the header should be must not be told."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", name) else "(not a column name)"
