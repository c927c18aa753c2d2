"""Delimited text with a header line: many small files in few engine calls, with exact physical lines.

Here: binding by header name, splitting rows, telling ragged and undecodable rows apart.
Not here: types, required columns, closed lists (`shape`); zip parts (`bicc`).

Fast path: texts with one header are joined, every line gets a sentinel field, and Polars parses them in one call. A
row whose sentinel is not in its place is ragged; a row count that is not the line count means a quoted line break or
a stray quote. Then, and for text that does not decode, the slow path reads line by line, so that one bad row costs
one row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.formats.reading import BadRow, Text, Unreadable

if TYPE_CHECKING:
    import polars as pl

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


def count_rows(content: bytes, dialect: Dialect) -> int:
    """Records below the header, blank lines apart; lines inside quoted fields do not count."""
    body = _body(content)
    if not body:
        return 0
    quote = dialect.quote.encode()
    if quote not in body:
        lines = body.count(b"\n") + (not body.endswith(b"\n"))
        return lines - _blank_lines(body)
    if body.count(quote) % 2:
        return sum(1 for _ in _records(_decoded_lines(body, dialect), dialect, None))
    return _count_quoted(body, quote)


def _blank_lines(body: bytes) -> int:
    if b"\n\n" not in body and not body.startswith(b"\n") and b"\r" not in body:
        return 0
    return sum(1 for line in body.split(b"\n")[:-1] if not line.strip(b"\r")) + (body.rsplit(b"\n", 1)[-1] == b"\r")


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


def _parse_group(group: Sequence[Text], header: tuple[str, ...], dialect: Dialect) -> Iterator[Parsed]:
    plain: list[tuple[Text, bytes]] = []
    odd: list[Text] = []
    for text in group:
        body = _plain_body(text.content, dialect)
        if body is None:
            odd.append(text)
        elif body:
            plain.append((text, body))
    if plain:
        parsed = _parse_plain(plain, header, dialect)
        if parsed is not None:
            yield parsed
        elif len(plain) == 1:
            odd.append(plain[0][0])
        else:
            # Some file of the group has a quoted line break or a stray quote: find it, keep the others fast.
            middle = len(plain) // 2
            yield from _parse_group([text for text, _ in plain[:middle]], header, dialect)
            yield from _parse_group([text for text, _ in plain[middle:]], header, dialect)
    for text in odd:
        yield _parse_slowly(text, header, dialect)


def _plain_body(content: bytes, dialect: Dialect) -> bytes | None:
    """The body as UTF-8 with plain line ends, or None when only the slow path can tell what it says."""
    body = _body(content)
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
        if b"\r" in body:
            return None
    if b"\n\n" in body or body.startswith(b"\n") or _SENTINEL.encode() in body or b"\x00" in body:
        return None
    if not body.isascii():
        try:
            decoded = body.decode(dialect.encoding)
        except UnicodeDecodeError:
            return None
        if dialect.encoding != "utf-8":
            body = decoded.encode()
    return body if not body or body.endswith(b"\n") else body + b"\n"


def _parse_plain(plain: Sequence[tuple[Text, bytes]], header: tuple[str, ...], dialect: Dialect) -> Parsed | None:
    import polars as pl

    lines = [body.count(b"\n") for _, body in plain]
    names = [f"c{position}" for position in range(len(header))]
    mark = f"{dialect.delimiter}{_SENTINEL}\n".encode()
    head = dialect.delimiter.join([*names, "end"]).encode() + b"\n"
    joined = head + b"".join(body for _, body in plain).replace(b"\n", mark)
    try:
        frame = pl.read_csv(
            joined,
            separator=dialect.delimiter,
            quote_char=dialect.quote,
            infer_schema=False,
            truncate_ragged_lines=True,
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError:
        # The engine's message quotes the value it stumbled over: it must not travel.
        return None
    if frame.height != sum(lines):
        return None
    import numpy as np

    counts = np.asarray(lines, dtype=np.int64)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    frame = frame.with_columns(
        pl.Series("_text", np.repeat(np.asarray([text.index for text, _ in plain], dtype=np.int64), counts)),
        pl.Series("_line", np.arange(frame.height, dtype=np.int64) - starts + 2),
    )
    whole = pl.col("end").eq_missing(_SENTINEL)
    bad: list[BadRow] = []
    ragged = frame.filter(~whole)
    if ragged.height:
        # Quotes that open in one line and close in another can shift fields without changing the row count.
        if any(dialect.quote.encode() in body for _, body in plain):
            return None
        kinds = ragged.select("_text", "_line", few=pl.col("end").is_null())
        bad = [
            BadRow(index, line, None, "too few fields" if few else "too many fields", "ragged row")
            for index, line, few in kinds.iter_rows()
        ]
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
            bad.append(BadRow(text.index, line, None, *trouble))
        else:
            rows.append(fields)
            numbers.append(line)
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
