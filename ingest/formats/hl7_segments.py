"""HL7 v2 messages as columns: where segments, fields and components stand, and their values as text.

Here: one pass over the bytes of many messages that share their delimiters, and the values of a field for many segments
at once, in the memory layout of Arrow's string views.
Not here: which field is which column, which messages a contract takes, files and their trailers (`hl7v2`).

Every position comes from one scan for delimiters and line ends. A field is then the number of its delimiter, and the
values of a field in a hundred thousand segments are a few array operations, without a Python object for any of them.
Values of up to twelve bytes lie in the view itself, longer ones are copied into a buffer of the column's own: nothing
of a message but the columns asked for outlives the reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import polars as pl

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

_INLINE = 12
# Longest value that is copied in words of eight bytes; what is longer is rare, and copied one by one.
_LONGEST_IN_WORDS = 64
# Bytes after the last one, so that a value's words can be taken without asking where the content ends.
_PAD = b"\0" * (_LONGEST_IN_WORDS + 16)
# The bytes of a little-endian word that belong to a value of n bytes, when it is the value's first or second word.
_FIRST = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(17)], np.uint64)
_SECOND = np.array([(1 << 8 * max(0, n - 8)) - 1 for n in range(17)], np.uint64)
_HALF = np.uint64(32)
_LENGTH = np.uint64((1 << 32) - 1)
_ZEROS = np.uint64(0x3030303030303030)
_HIGH = np.uint64(0xF0F0F0F0F0F0F0F0)
_SIXES = np.uint64(0x0606060606060606)
_NULL_SENT = int.from_bytes(b'""', "little")


@dataclass(frozen=True)
class Delimiters:
    """What a message's MSH-1 and MSH-2 declare; an empty one is not declared."""

    field: bytes = b"|"
    component: bytes = b"^"
    repetition: bytes = b"~"
    escape: bytes = b"\\"
    subcomponent: bytes = b"&"
    encoding: bytes = b"^~\\&"
    """MSH-2 as sent."""


STANDARD = Delimiters()
_MARK = rb"[^\w\s\x00-\x1f\x7f-\xff]"
_HEADER = re.compile(rb"MSH(" + _MARK + rb")((?:(?!\1)" + _MARK + rb"){1,5})(?:\1|\Z)")


def delimiters_of(header: bytes) -> Delimiters | None:
    r"""Delimiters that a line beginning with MSH declares, None where they cannot be used.

    HL7 v2.5.1 MSH-1, MSH-2; v2.7 adds a fifth encoding character. `^~\\&`, with the escape character written twice, is
    a common misprint and taken for `^~\&`.
    """
    found = _HEADER.match(header)
    if found is None:
        return None
    encoding = found[2]
    marks = encoding[:2] + encoding[3:] if encoding[2:4] == b"\\\\" else encoding
    if len(set(marks)) < len(marks):
        return None
    component, repetition, escape, subcomponent = (marks[at : at + 1] for at in range(4))
    return Delimiters(found[1], component, repetition, escape, subcomponent, encoding)


_DAMAGED_HEADER = re.compile(rb"[^\r\n]{0,5}?(" + _MARK + rb")((?:(?!\1)" + _MARK + rb"){3,5})\1")


def declares_delimiters(line: bytes) -> bool:
    """Whether a line declares delimiters as an MSH does, near enough to its beginning to be a damaged one."""
    found = _DAMAGED_HEADER.match(line)
    return found is not None and len(set(found[2])) == len(found[2])


@lru_cache(maxsize=256)
def _escapes(escape: bytes) -> re.Pattern[str]:
    mark = re.escape(escape.decode())
    return re.compile(rf"{mark}{mark}|{mark}(?:([FSTREPHN])|X((?:[0-9A-Fa-f]{{2}})+)|(\.br|\.sp\d*)){mark}", re.ASCII)


def unescaped(text: str, delimiters: Delimiters) -> str:
    r"""A value with its escape sequences decoded (HL7 v2.5.1, 2.7).

    `\F\ \S\ \T\ \R\ \E\ \P\` are the delimiters, `\Xhh..\` bytes, `\.br\` and `\.sp\` line ends; `\H\` and `\N\` mark
    highlighted text and go. Anything else stays as sent, two escape characters in a row among it.
    """
    if not delimiters.escape:
        return text
    plain = {
        "F": delimiters.field,
        "S": delimiters.component or b"^",
        "T": delimiters.subcomponent or b"&",
        "R": delimiters.repetition or b"~",
        "E": delimiters.escape,
        "P": b"#",
        "H": b"",
        "N": b"",
    }

    def decoded(found: re.Match[str]) -> str:
        if found[1]:
            return plain[found[1]].decode()
        if found[2]:
            try:
                return bytes.fromhex(found[2]).decode("utf-8")
            except UnicodeDecodeError:
                return found[0]
        return "\n" if found[3] else found[0]

    return _escapes(delimiters.escape).sub(decoded, text)


@dataclass
class Values:
    """Values of one field for many segments: string views, which of them are filled, and the buffers behind them."""

    views: Words
    """Two words a value: length and first four bytes; then eight more bytes, or a buffer's number and place in it."""
    filled: Flags
    buffers: list[bytes | Words] = field(default_factory=list)

    def take(self, rows: Ints) -> Values:
        """The values of some rows, in their order."""
        views = self.views.view("V16").ravel().take(rows)
        return Values(views.view(np.uint64).reshape(-1, 2), self.filled.take(rows), self.buffers)

    def put(self, rows: Ints, other: Values) -> None:
        """Replace the values of some rows."""
        self.views[rows] = _behind(other.views.copy(), len(self.buffers))
        self.filled[rows] = other.filled
        self.buffers = [*self.buffers, *other.buffers]


def _behind(views: Words, buffers: int) -> Words:
    """Views of values whose buffers now come after so many others; changed in place."""
    views[(views[:, 0] & _LENGTH) > _INLINE, 1] += np.uint64(buffers)
    return views


def series_of(name: str, parts: Sequence[Values]) -> pl.Series:
    """Values that follow each other as one text column in one piece, null where empty."""
    import polars as pl
    import pyarrow as pa

    filled = np.concatenate([part.filled for part in parts])
    if not filled.any():
        return pl.Series(name, [None], dtype=pl.String).new_from_index(0, len(filled))
    views = np.concatenate([part.views for part in parts])
    buffers: list[bytes | Words] = []
    end = 0
    for part in parts:
        start, end = end, end + len(part.filled)
        if part.buffers and buffers:
            _behind(views[start:end], len(buffers))
        buffers += part.buffers
    valid = None if filled.all() else pa.py_buffer(np.packbits(filled, bitorder="little"))
    memory = [valid, pa.py_buffer(views), *(pa.py_buffer(buffer) for buffer in buffers)]
    return pl.Series(name, pa.Array.from_buffers(pa.string_view(), len(filled), memory))


@dataclass(frozen=True)
class Spans:
    """Where the values of one field stand: first byte, bytes, and the delimiter that ends each."""

    start: Ints
    length: Ints
    end: Ints
    is_long: Flags | None = None
    """Whether a value goes on after its first delimiter; None where none does."""


def empty_values(size: int) -> Values:
    """Values that are all empty."""
    return Values(np.zeros((size, 2), np.uint64), np.zeros(size, np.bool_))


class Bytes:
    """Bytes with views on every two, four, eight and sixteen of them."""

    def __init__(self, content: bytes, end: bytes = b"") -> None:
        self.content = b"".join((content, end, _PAD))
        self.size = len(content) + len(end)
        self.one = np.frombuffer(self.content, np.uint8)
        self.two = self._words("<u2", 2)
        self.four = self._words("<u4", 4)
        self.eight = self._words("<u8", 8)
        self.sixteen = self._words("V16", 16)

    def _words(self, kind: str, width: int) -> npt.NDArray[Any]:
        # The views overlap: word n begins at byte n.
        return np.ndarray((len(self.content) - width,), kind, self.content, strides=(1,))

    def columns(self, start: Ints, length: Ints) -> list[Values]:
        """Copies of spans as values, for every row of two matrices; short ones of all rows are made at once."""
        longest = length.max(axis=1)
        short = np.flatnonzero((longest > 0) & (longest <= 8))
        size = length[short].ravel()
        words = self.eight[start[short].ravel()]
        words &= _FIRST.take(size)
        views = np.empty((len(words), 2), np.uint64)
        np.bitwise_or(words << _HALF, size.view(np.uint64), out=views[:, 0])
        np.right_shift(words, _HALF, out=views[:, 1])
        made = dict(zip(short.tolist(), np.vsplit(views, len(short)) if len(short) else (), strict=True))
        filled = length > 0
        return [
            Values(made[row], filled[row]) if row in made else self.values(start[row], length[row])
            for row in range(len(length))
        ]

    def values(self, start: Ints, length: Ints) -> Values:
        """Copies of spans as values."""
        if not length.any():
            return empty_values(len(length))
        longest = int(length.max())
        words = self.sixteen[start].view(np.uint64).reshape(-1, 2)
        kept = np.minimum(length, 16)
        first = words[:, 0] & _FIRST.take(kept)
        second = words[:, 1] & _SECOND.take(kept)
        views = np.empty((len(start), 2), np.uint64)
        np.bitwise_or(first << _HALF, length.view(np.uint64), out=views[:, 0])
        np.bitwise_or(first >> _HALF, second << _HALF, out=views[:, 1])
        values = Values(views, length > 0)
        if longest <= _INLINE:
            return values
        long = np.flatnonzero(length > _INLINE)
        if longest > _LONGEST_IN_WORDS:
            self._longest(values, start, length, long[length[long] > _LONGEST_IN_WORDS])
            long = long[length[long] <= _LONGEST_IN_WORDS]
        if len(long) == len(length):
            self._in_words(values, start, length, slice(None), first, second)
        elif len(long):
            self._in_words(values, start[long], length[long], long, first[long], second[long])
        return values

    def _in_words(
        self, values: Values, start: Ints, length: Ints, rows: Ints | slice, first: Words, second: Words
    ) -> None:
        """Values that do not fit into their view: they go to a buffer, the view gets its number and the place there."""
        width = (int(length.max()) + 7) // 8
        words = np.empty((len(start), width), np.uint64)
        words[:, 0], words[:, 1] = first, second
        for word in range(2, width):
            words[:, word] = self.eight[start + 8 * word] & _FIRST[np.clip(length - 8 * word, 0, 8)]
        places = np.arange(0, len(start) * 8 * width, 8 * width, dtype=np.uint64)
        values.views[rows, 1] = (places << _HALF) | np.uint64(len(values.buffers))
        values.buffers.append(words)

    def _longest(self, values: Values, start: Ints, length: Ints, rows: Ints) -> None:
        """The same for values of any length."""
        spans = zip(start[rows].tolist(), length[rows].tolist(), strict=True)
        texts = [self.content[at : at + size] for at, size in spans]
        places = np.cumsum([0, *(len(text) for text in texts[:-1])]).astype(np.uint64)
        values.views[rows, 1] = (places << _HALF) | np.uint64(len(values.buffers))
        values.buffers.append(b"".join(texts))

    def equal(self, spans: Spans, text: bytes) -> Flags:
        """Which spans hold exactly this text."""
        same = spans.length == len(text)
        if len(text) > _LONGEST_IN_WORDS:
            return np.zeros(len(same), np.bool_)
        for at in range(0, len(text), 8):
            part = text[at : at + 8]
            word = np.uint64(int.from_bytes(part, "little"))
            same &= (self.eight[spans.start + at] & _FIRST[len(part)]) == word
        return same

    def empty_null(self, start: Ints, length: Ints) -> None:
        """Make spans empty that hold the null which HL7 sends as two quotes (HL7 v2.5.1, 2.5.3)."""
        two = np.flatnonzero(length == 2)
        if len(two):
            length.reshape(-1)[two[self.two[start.reshape(-1)[two]] == _NULL_SENT]] = 0


def written(texts: Sequence[str]) -> Values:
    """Values of texts that were made in Python."""
    encoded = [text.encode() for text in texts]
    length = np.array([len(text) for text in encoded], np.int64)
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(length)[:-1]]) if encoded else length
    return Bytes(b"".join(encoded)).values(start, length)


def code_of(segment: str) -> int:
    """A segment id as the number that the scan gives for it."""
    return int.from_bytes(segment.encode(), "little")


@dataclass(frozen=True)
class Field:
    """A field that is wanted of segments, or a part of its first repetition; both parts count from 1."""

    number: int
    component: int = 1
    sub: int = 1
    keeps_subs: bool = False
    """Whether the subcomponents of the component are one text."""
    is_repeated: bool = False
    """Whether all repetitions are wanted, joined by ~."""
    normalised: Callable[[str], str] | None = None
    """For a time stamp: what makes fourteen digits of one that has a fraction or an offset."""


@dataclass(frozen=True)
class Located:
    """Fields of some segments, a row a field: where the first text of each stands, and the delimiter that ends it.

    `slot` is that before the first field of each segment, `fields` how many the segment has; a field that it has not
    is empty.
    """

    slot: Ints
    fields: Ints
    start: Ints
    length: Ints
    end: Ints


class Segments:
    """The segments of one or more texts whose messages declare the same delimiters.

    `start`, `code`, `is_valid` (the id is one and a delimiter or line end follows) and `line` have an entry for each
    segment that is not blank. `line` counts from 0 at the beginning of the bytes.
    """

    def __init__(self, content: bytes, delimiters: Delimiters) -> None:
        # The second line end stands for what follows the last delimiter.
        self.bytes = Bytes(content, b"\n\n")
        self.delimiters = delimiters
        one = self.bytes.one[: self.bytes.size]
        mask = one < 32
        same = np.empty_like(mask)
        for mark in (delimiters.field, delimiters.component, delimiters.repetition, delimiters.subcomponent):
            if mark:
                mask |= np.equal(one, ord(mark), out=same)
        places = np.flatnonzero(mask)
        kinds = one.take(places)
        low = kinds < 32
        is_end = low & ((kinds == 13) | (kinds == 10))
        other = np.flatnonzero(low & ~is_end)
        self.controls = places[other][kinds[other] != 9]
        if len(other):
            places, kinds, is_end = (np.delete(each, other) for each in (places, kinds, is_end))
        self._kinds = kinds
        self._used: dict[bytes, bool] = {}
        self._places, self._next_places = places, places[1:]
        self._split(is_end)
        self._mark_escapes()

    def _split(self, is_end: Flags) -> None:
        one = self.bytes.one
        # A field ends at a field separator or a line end; slot n is the field that begins after the n-th of these.
        is_field_end = is_end | (self._kinds == ord(self.delimiters.field))
        self._slots = np.flatnonzero(is_field_end)
        line_ends = np.flatnonzero(is_end)
        ends = self._places.take(line_ends)
        end_slot = np.cumsum(is_field_end, dtype=np.int32).take(line_ends).astype(np.int64) - 1
        starts = np.empty_like(ends)
        starts[0], starts[1:] = 0, ends[:-1] + 1
        before = np.empty_like(end_slot)
        before[0], before[1:] = -1, end_slot[:-1]
        if np.count_nonzero(self._kinds == 10) == 2:
            # Only the two line feeds that were put behind the content.
            lines = np.arange(len(ends))
        else:
            # A line feed after a carriage return ends no further line.
            counted = np.cumsum((one[ends] == 13) | (one[ends - 1] != 13))
            lines = np.empty_like(counted)
            lines[0], lines[1:] = 0, counted[:-1]
        kept = np.flatnonzero(ends > starts)
        self.start = starts.take(kept)
        self.end = ends.take(kept)
        self.line = lines.take(kept)
        self.line_starts = starts
        self.line_numbers = lines
        word = self.bytes.four[self.start]
        self.code = word & np.uint32(0xFFFFFF)
        first, second, third, fourth = np.ascontiguousarray(word.view(np.uint8).reshape(-1, 4).T)
        self.is_valid = (
            (first - 65 < 26)
            & ((second - 65 < 26) | (second - 48 < 10))
            & ((third - 65 < 26) | (third - 48 < 10))
            & ((fourth == ord(self.delimiters.field)) | (fourth == 13) | (fourth == 10))
        )
        is_header = self.code == code_of("MSH")
        # The separator after MSH is its first field.
        slot = before.take(kept)
        self._fields = np.append(end_slot.take(kept) - slot - 1 + is_header, 0)
        self._slot = np.append(slot - is_header, 0)

    def _mark_escapes(self) -> None:
        """Which delimiters end a text with an escape character; None where no value has one."""
        is_header = np.isin(self.code, np.array([code_of(each) for each in ("MSH", "FHS", "BHS")], np.uint32))
        self._headers = self.start[is_header]
        self._escaped: Flags | None = None
        mark = self.delimiters.escape
        if not mark:
            return
        is_mark = self.bytes.one[: self.bytes.size] == ord(mark)
        if np.count_nonzero(is_mark) == self._declared(mark):
            return
        self._escaped = np.zeros(len(self._places), np.bool_)
        self._escaped[np.searchsorted(self._places, np.flatnonzero(is_mark))] = True

    def _declared(self, mark: bytes) -> int:
        """How many headers declare an encoding character; there it is in no value."""
        place = 4 + self.delimiters.encoding.index(mark)
        return int(np.count_nonzero(self.bytes.one[self._headers + place] == ord(mark)))

    def _is_used(self, mark: bytes) -> bool:
        """Whether a delimiter stands anywhere but where a header declares it."""
        if mark and mark not in self._used:
            self._used[mark] = int(np.count_nonzero(self._kinds == ord(mark))) != self._declared(mark)
        return bool(mark) and self._used[mark]

    @property
    def may_hold_escapes(self) -> bool:
        """Whether the escape character stands anywhere but in a header."""
        return self._escaped is not None

    def of(self, code: int) -> Ints:
        """Numbers of the segments with an id."""
        return np.flatnonzero(self.code == code)

    def columns(self, segments: Ints, wanted: Sequence[Field]) -> list[Values]:
        """The values of every wanted field for each of some segments; segment -1 has no field.

        Values are decoded, the null that was sent as two quotes is empty, time stamps have fourteen digits.
        """
        found = self._located(segments, [each.number for each in wanted])
        long: dict[int, Flags | None] = {}
        for row, each in enumerate(wanted):
            spans = self._within(found, row, each)
            if spans is not None:
                found.start[row], found.length[row], found.end[row] = spans.start, spans.length, spans.end
                long[row] = spans.is_long
        self.bytes.empty_null(found.start, found.length)
        columns = self.bytes.columns(found.start, found.length)
        for row, each in enumerate(wanted):
            spans = Spans(found.start[row], found.length[row], found.end[row], long.get(row))
            if each.normalised is not None:
                columns[row] = self._moments(columns[row], spans, each.normalised)
                continue
            if self._escaped is not None:
                may_hold = self._escaped[spans.end]
                if spans.is_long is not None:
                    may_hold |= spans.is_long
                self._decode(columns[row], spans, np.flatnonzero(may_hold & (spans.length > 0)))
            if each.is_repeated and self._is_used(self.delimiters.repetition):
                self._repeat(columns[row], found, each)
        return columns

    def spans(self, segments: Ints, number: int, component: int = 1, sub: int = 1) -> Spans:
        """Where a field, or a part of it, stands in each of some segments."""
        found = self._located(segments, [number])
        within = self._within(found, 0, Field(number, component, sub))
        return within or Spans(found.start[0], found.length[0], found.end[0])

    def _located(self, segments: Ints, numbers: Sequence[int]) -> Located:
        fields, slot = self._fields[segments], self._slot[segments]
        wanted = np.array(numbers)
        slots = slot + wanted[:, None]
        there = None
        if len(fields) and fields.min() < wanted.max():
            there = fields >= wanted[:, None]
            slots *= there
        end = self._slots.take(slots)
        start = self._places.take(end)
        start += 1
        length = self._next_places.take(end)
        length -= start
        if there is not None:
            length *= there
        end += 1
        return Located(slot, fields, start, length, end)

    def _within(self, found: Located, row: int, wanted: Field) -> Spans | None:
        """Where a component or subcomponent stands, or a text with its subcomponents; None where the field does."""
        mark = self.delimiters
        keeps_subs = wanted.keeps_subs and self._is_used(mark.subcomponent)
        if wanted.component == wanted.sub == 1 and not keeps_subs:
            return None
        start, length, end = found.start[row], found.length[row], found.end[row]
        there = found.fields >= wanted.number
        for step in [mark.component] * (wanted.component - 1) + [mark.subcomponent] * (wanted.sub - 1):
            if step == mark.component:
                end = self._past(end, mark.subcomponent)
            there &= self._is(end, step)
            start = self._places[end] + 1
            start[~there] = 0
            end = np.minimum(end + there, len(self._places) - 1)
            length = (self._places[end] - start) * there
        if not keeps_subs:
            return Spans(start, length, end)
        past = self._past(end, mark.subcomponent)
        is_long = (past > end) & there
        return Spans(start, np.where(is_long, self._places[past] - start, length), past, is_long)

    def _is(self, end: Ints, mark: bytes) -> Flags:
        if not mark:
            return np.zeros(len(end), np.bool_)
        return self._kinds.take(end) == ord(mark)

    def _past(self, end: Ints, mark: bytes) -> Ints:
        """The delimiters from `end` on that are none of these."""
        going = np.flatnonzero(self._is(end, mark))
        if len(going):
            end = end.copy()
        while len(going):
            end[going] += 1
            going = going[self._is(end[going], mark)]
        return end

    def _decode(self, values: Values, spans: Spans, rows: Ints) -> None:
        if len(rows):
            delimiters = self.delimiters
            values.put(rows, written([unescaped(text, delimiters) for text in self.texts(spans, rows)]))

    def texts(self, spans: Spans, rows: Ints) -> list[str]:
        """The text of some spans, as sent."""
        content = self.bytes.content
        return [
            content[at : at + size].decode("utf-8")
            for at, size in zip(spans.start[rows].tolist(), spans.length[rows].tolist(), strict=True)
        ]

    def _repeat(self, values: Values, found: Located, wanted: Field) -> None:
        """A component of every repetition in place of that of the first, where a field has several."""
        mark = self.delimiters.repetition
        slot = found.slot + wanted.number
        there = found.fields >= wanted.number
        slot[~there] = 0
        before, last = self._slots[slot], self._slots[np.minimum(slot + 1, len(self._slots) - 1)]
        several = np.flatnonzero((last > before + 1) & there)
        ends = before[several] + 1
        going = np.flatnonzero(~self._is(ends, mark) & (ends < last[several]))
        while len(going):
            ends[going] += 1
            going = going[~self._is(ends[going], mark) & (ends[going] < last[several[going]])]
        several = several[ends < last[several]]
        if len(several):
            start = self._places[before] + 1
            texts = self.texts(Spans(start, self._places[last] - start, last), several)
            values.put(several, written([self._joined(text, wanted.component) for text in texts]))

    def _joined(self, text: str, component: int) -> str:
        mark = self.delimiters
        found = []
        for repetition in text.split(mark.repetition.decode()) if mark.repetition else [text]:
            parts = repetition.split(mark.component.decode()) if mark.component else [repetition]
            part = parts[component - 1] if len(parts) >= component else ""
            part = part.split(mark.subcomponent.decode())[0] if mark.subcomponent else part
            found.append("" if part == '""' else unescaped(part, mark))
        while found and not found[-1]:
            found.pop()
        return "~".join(found)

    def _moments(self, values: Values, spans: Spans, normalised: Callable[[str], str]) -> Values:
        """Time stamps as fourteen digits.

        A time stamp that ends at the day, hour or minute is filled with zeros; `normalised` makes what has a fraction
        or an offset, and leaves alone what is no time stamp.
        """
        length = spans.length
        odd = (length > 0) & (length != 14)
        if not odd.any():
            return values
        values, is_filled = self._filled(spans, (length == 8) | (length == 10) | (length == 12) | (length == 14))
        rows = np.flatnonzero((length > 0) & ~is_filled)
        if len(rows):
            values.put(rows, written([normalised(text) for text in self.texts(spans, rows)]))
        return values

    def _filled(self, spans: Spans, to_fill: Flags) -> tuple[Values, Flags]:
        """Digits filled with zeros to fourteen, and for which spans that is the time stamp."""
        size = len(spans.length)
        words = np.empty((size, 2), np.uint64)
        is_digits = to_fill.copy()
        for word in range(2):
            keep = _FIRST[np.clip(spans.length - 8 * word, 0, 8)]
            eight = (self.bytes.eight[spans.start + 8 * word] & keep) | (_ZEROS & ~keep)
            # A digit has the high half 3, and has it still when six is added to its low half.
            is_digits &= ((eight & _HIGH) == _ZEROS) & (((eight + _SIXES) & _HIGH) == _ZEROS)
            words[:, word] = eight
        views = np.zeros((size, 2), np.uint64)
        views[is_digits, 0] = ((words[:, 0] << _HALF) | np.uint64(14))[is_digits]
        views[is_digits, 1] = np.flatnonzero(is_digits).astype(np.uint64) << np.uint64(36)
        return Values(views, is_digits.copy(), [words]), is_digits
