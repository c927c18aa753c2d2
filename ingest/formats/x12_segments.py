"""X12 bytes as a table of segments: offsets into one buffer, no object per segment or element.

Here: the separators that each ISA states, where interchanges begin, one alphabet of separators for all of them, the
start and end of every element.
Not here: whether an envelope holds together (`x12_envelope`), what an element means (`x12_layouts`).

A text is cut where an ISA reads, each interchange is put into the same separators (wrapping, indents and blank lines go
on the way), all are joined, and the separators are found in one pass. A line of an X12 file is a segment: lines are
counted over the segments that are not empty, and text before the first ISA is one.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from ingest.formats.reading import Content, Text, Unreadable

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Views = NDArray[np.uint64]

# The alphabet that every interchange is put into. What stands there in the delivered bytes, and is no separator there,
# is a character that X12 does not allow (X12.5, basic and extended character set): it becomes _FOREIGN.
ELEMENT, SEGMENT, _FOREIGN = b"\x1e", b"\x1f", b"\x1c"
# A component or repetition separator stays what it is, unless it is no printable character.
_COMPONENT, _REPETITION = 0x1D, ord("^")

# Offsets of the sixteen element separators of an ISA of the widths that X12.5 states, and its length with terminator.
_ISA_SEPARATORS = (3, 6, 17, 20, 31, 34, 50, 53, 69, 76, 81, 83, 89, 99, 101, 103)
_ISA_WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)
_ISA_LENGTH = 106
# An ISA of other widths or wrapped over lines ends within so many bytes.
_LONGEST_ISA = 400
_LONGEST_INLINE = 12
# Trailing blanks that are taken off one by one, of many elements at once.
_PADDING = 40
# Bytes that are searched for separators together, and zeros behind the last one.
_BLOCK, _AHEAD = 2**18, 16
_LARGEST = 2**31 - 1
# Elements that are looked at together.
_BATCH = 2**13
# Bytes of a large text that are looked at together.
_WINDOW = 2**24
_LONGEST_INDENT = 80
_NEWLINES = b"\r\n"
_BLANKS = b" \t\r\n"


@dataclass(frozen=True)
class Separators:
    """What an ISA states: the byte after `ISA`, ISA16, ISA11 where it is a separator (5010), the byte after ISA16."""

    element: int
    component: int
    repetition: int
    segment: int


@dataclass(frozen=True)
class Chunk:
    """Bytes from one ISA to the next; without separators: text in which no interchange can be told."""

    start: int
    end: int
    separators: Separators | None


@dataclass(frozen=True, eq=False)
class Picked:
    """Some segments: where each opens in `Segments.bounds`, how many elements it has."""

    opens: Ints
    sizes: Ints
    shortest: int
    longest: int

    def part(self, start: int, end: int) -> Picked:
        """Some of them."""
        return Picked(self.opens[start:end], self.sizes[start:end], self.shortest, self.longest)


@dataclass(frozen=True, eq=False)
class Segments:
    """Every segment of some texts, in their order.

    `buffer` holds all texts in one alphabet; `bounds` are the offsets of its separators, with -1 in front. Segment i
    opens at `bounds[opens[i]]` and has `sizes[i]` elements behind its id. `codes` are the ids, up to three characters
    as a number (`code`). `chunks[i]` is the position of its chunk, which `first`, `text` and `component` describe.
    """

    buffer: NDArray[np.uint8]
    bounds: NDArray[np.int32]
    opens: Ints
    sizes: Ints
    codes: NDArray[np.uint32]
    chunks: Ints
    lines: Ints
    first: Ints
    """First segment of each chunk, and the number of segments at the end."""
    text: Ints
    """`Text.index` of each chunk."""
    place: Ints
    """Position in the texts given, of each chunk."""
    component: Ints
    """Component separator of each chunk; -1 where no interchange could be told."""
    is_foreign: Flags
    """Whether a segment holds a byte outside the character set."""

    @property
    def size(self) -> int:
        """Number of segments."""
        return len(self.opens)

    def pick(self, rows: Ints) -> Picked:
        """Some segments, of which several elements are asked for."""
        sizes = self.sizes.take(rows)
        return Picked(self.opens.take(rows), sizes, int(sizes.min(initial=0)), int(sizes.max(initial=0)))

    def spans(self, picked: Picked, element: int) -> tuple[Ints, Ints]:
        """Start and end of an element of some segments; equal where the segment is shorter."""
        import numpy as np

        at = picked.opens + element
        if picked.shortest < element:
            np.minimum(at, len(self.bounds) - 2, out=at)
        start = self.bounds.take(at).astype(np.int64)
        start += 1
        at += 1
        end = self.bounds.take(at).astype(np.int64)
        return start, end if picked.shortest >= element else np.where(picked.sizes >= element, end, start)

    def values(self, picked: Picked, element: int) -> Views:
        """An element of some segments as string views, zero where it is empty.

        A view is Arrow's 16 bytes: the length, then the text where it is short, else its beginning and offset.
        Trailing blanks are left out: X12.5 lets a sender pad text to its least length.
        """
        import numpy as np

        views = np.zeros((len(picked.opens), 2), np.uint64)
        if picked.longest < element:
            return views
        for at in range(0, len(views), _BATCH):
            # Batch by batch, so that what is made on the way stays in the processor's cache.
            start, end = self.spans(picked.part(at, at + _BATCH), element)
            self._trim(start, end)
            self._view(start, end, views[at : at + _BATCH])
        return views

    def _view(self, start: Ints, end: Ints, views: Views) -> None:
        import numpy as np

        length = end - start
        inline = np.minimum(length, _LONGEST_INLINE)
        low, high = _masks()
        first = self._words[start]
        first &= low.take(inline)
        first <<= np.uint64(32)
        first |= length.view(np.uint64)
        views[:, 0] = first
        if length.max(initial=0) <= 4:
            return
        start += 4
        second = self._words[start]
        second &= high.take(inline)
        views[:, 1] = second
        outside = np.flatnonzero(length > _LONGEST_INLINE)
        if len(outside):
            views[outside, 1] = (start[outside] - 4).view(np.uint64) << np.uint64(32)

    @cached_property
    def _words(self) -> NDArray[np.uint64]:
        """Eight bytes of the buffer from each place on."""
        import numpy as np

        return np.lib.stride_tricks.as_strided(self.buffer[:8].view("<u8"), shape=(len(self.buffer) - 7,), strides=(1,))

    def short(self, picked: Picked, element: int) -> NDArray[np.uint32]:
        """An element of up to three characters of some segments as a number (`code`), 0 where it is empty or longer."""
        import numpy as np

        found = np.zeros(len(picked.opens), np.uint32)
        if picked.longest < element:
            return found
        for at in range(0, len(found), _BATCH):
            start, end = self.spans(picked.part(at, at + _BATCH), element)
            found[at : at + _BATCH] = _codes(self.buffer, start, end)
        return found

    def _trim(self, start: Ints, end: Ints) -> None:
        """Take the trailing blanks off some spans, in place."""
        import numpy as np

        blank = np.flatnonzero((self.buffer[end - 1] == 32) & (end > start))
        for _ in range(_PADDING):
            if not len(blank):
                return
            end[blank] -= 1
            at = end[blank]
            blank = blank[(at > start[blank]) & (self.buffer[at - 1] == 32)]
        for each in blank:
            end[each] = start[each] + len(self.buffer[start[each] : end[each]].tobytes().rstrip(b" "))

    def column(self, name: str, views: Views) -> pl.Series:
        """Views as text, null where empty."""
        import numpy as np
        import polars as pl
        import pyarrow as pa

        if not len(views):
            return pl.Series(name, [], dtype=pl.String)
        views = np.ascontiguousarray(views)
        present = views[:, 0] != 0
        valid = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
        array = pa.Array.from_buffers(
            pa.string_view(), len(views), [valid, pa.py_buffer(views), pa.py_buffer(self.buffer)]
        )
        return pl.Series(name, array, dtype=pl.String)


@cache
def code(name: str) -> int:
    """An id of up to three characters as the number that `Segments.codes` has for it."""
    return int.from_bytes(name.encode(), "little")


@cache
def _masks() -> tuple[Views, Views]:
    """What of the first four and of the following eight bytes belongs to a text of so many bytes."""
    import numpy as np

    lengths = range(_LONGEST_INLINE + 1)
    low = [(1 << (8 * min(length, 4))) - 1 for length in lengths]
    high = [(1 << (8 * max(length - 4, 0))) - 1 for length in lengths]
    return np.array(low, np.uint64), np.array(high, np.uint64)


def _codes(
    buffer: NDArray[np.uint8], start: NDArray[np.signedinteger], end: NDArray[np.signedinteger]
) -> NDArray[np.uint32]:
    """Spans of up to three characters as numbers (`code`), 0 where they are empty or longer."""
    import numpy as np

    words = np.lib.stride_tricks.as_strided(buffer[:4].view("<u4"), shape=(len(buffer) - 3,), strides=(1,))
    mask = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0], np.uint32)
    codes = np.empty(len(start), np.uint32)
    for at in range(0, len(start), _BATCH):
        length = end[at : at + _BATCH] - start[at : at + _BATCH]
        np.minimum(length, 4, out=length)
        codes[at : at + _BATCH] = words[start[at : at + _BATCH]] & mask.take(length)
    return codes


def chunks(content: Content) -> list[Chunk]:
    """Where interchanges begin, and the text before the first one; nothing of the content is left out."""
    size = len(content)
    found: list[tuple[int, Separators]] = []
    for position in _candidates(content):
        separators = _isa(content, position, found[-1][1] if found else None)
        if separators is not None:
            found.append((position, separators))
    starts = [start for start, _ in found]
    ends = [*starts[1:], *([size] if starts else [])]
    cut = [Chunk(start, end, separators) for (start, separators), end in zip(found, ends, strict=True)]
    before = starts[0] if starts else size
    if before and content[:before].strip(_BLANKS + b"\xef\xbb\xbf"):
        cut.insert(0, Chunk(0, before, None))
    return cut


def _candidates(content: Content) -> Iterator[int]:
    """Places where `ISA` stands, in a wrapped text also over line ends."""
    import numpy as np

    if _is_wrapped(content):
        for match in re.finditer(rb"I[\r\n]*S[\r\n]*A(?=[\r\n]*[^A-Za-z0-9 \t\r\n])", content):
            yield match.start()
        return
    yield from _places(np.frombuffer(content, np.uint8), b"ISA").tolist()


def _places(buffer: NDArray[np.uint8], text: bytes) -> Ints:
    """Where a short text stands."""
    import numpy as np

    found = [np.zeros(0, np.int64)]
    for at in range(0, len(buffer), _BLOCK):
        # Block by block, so that what is made on the way stays in the processor's cache.
        block = buffer[at : at + _BLOCK + len(text) - 1]
        size = max(len(block) - len(text) + 1, 0)
        is_here = block[:size] == text[0]
        for offset, byte in enumerate(text[1:], 1):
            is_here &= block[offset : offset + size] == byte
        found.append(np.flatnonzero(is_here) + at)
    return np.concatenate(found)


def _is_wrapped(content: Content) -> bool:
    """Whether a line end stands elsewhere than behind the terminator of the first interchange."""
    first = content.find(b"\n")
    if first < 0:
        first = content.find(b"\r")
        if first < 0:
            return False
    start = re.search(rb"I[\r\n]*S[\r\n]*A(?=[\r\n]*[^A-Za-z0-9 \t\r\n])", content)
    separators = _isa(content, start.start(), None) if start else None
    if separators is None:
        return True
    if separators.segment in _NEWLINES:
        return False
    end = bytes([separators.segment])
    for at in range(0, len(content), _WINDOW):
        # A window reaches back over what can stand between a terminator and a line end.
        text = content[max(0, at - 2) : at + _WINDOW]
        skipped = min(at, 2)
        behind = text.count(end + b"\n", max(0, skipped - 1)) + text.count(end + b"\r\n")
        returns = text.count(end + b"\r", max(0, skipped - 1))
        if text.count(b"\n", skipped) > behind or text.count(b"\r", skipped) > returns:
            return True
    return False


def _isa(content: Content, start: int, before: Separators | None) -> Separators | None:
    """The separators of the ISA that begins at `start`, or None where none does.

    An ISA of the stated widths is one wherever it stands. One that was wrapped or whose elements were trimmed has to
    stand where a segment can begin.
    """
    head = content[start : start + _ISA_LENGTH]
    if len(head) == _ISA_LENGTH and not any(mark in head[:105] for mark in (b"\r", b"\n")):
        element = head[3]
        if all(head[at] == element for at in _ISA_SEPARATORS) and _may_separate(element):
            return _separators(content, start, head, 105)
    ahead = content[max(0, start - 8) : start]
    last = ahead.rstrip(_BLANKS)[-1:]
    if not ahead or ahead[-1] in _NEWLINES or not last or (before is not None and last[0] == before.segment):
        return _loose_isa(content, start)
    return None


def _loose_isa(content: Content, start: int) -> Separators | None:
    raw = content[start : start + _LONGEST_ISA]
    head = bytearray()
    for at, byte in enumerate(raw):
        if byte in _NEWLINES:
            continue
        head.append(byte)
        if len(head) > 4 and head.count(head[3]) == 16 and head[-2] == head[3]:
            elements = bytes(head).split(bytes([head[3]]))[1:]
            fits = all(len(element) <= width for element, width in zip(elements, _ISA_WIDTHS, strict=True))
            if not fits or not _may_separate(head[3]) or head[:3] != b"ISA":
                return None
            return _separators(content, start, bytes(head), at + 1)
    return None


def _separators(content: Content, start: int, head: bytes, end: int) -> Separators | None:
    """The four separators, of an ISA as it reads without line ends; `end` is the offset of the terminator."""
    elements = head.split(head[3:4])
    if len(elements) != 17 or not elements[16]:
        return None
    component, version, repetition = elements[16][0], elements[12], elements[11]
    behind = content[start + end : start + end + 40]
    if not behind:
        return None
    terminator = behind[0]
    if terminator in _NEWLINES:
        # A text that is wrapped right behind ISA16 has its terminator on the next line.
        rest = behind.lstrip(_NEWLINES)
        if rest and not rest[:1].isalnum() and rest[:1] not in b" \t" and rest[1:].lstrip(_BLANKS)[:1].isalpha():
            terminator = rest[0]
    if terminator == head[3] or component in (head[3], terminator) or chr(terminator).isalnum():
        return None
    repeats = version >= b"00402" and len(repetition) == 1 and _may_separate(repetition[0])
    return Separators(head[3], component, repetition[0] if repeats else -1, terminator)


def _is_printable(byte: int) -> bool:
    return 32 <= byte < 127


def _may_separate(byte: int) -> bool:
    return not (48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122) and byte not in _BLANKS


@cache
def _alphabet(separators: Separators, encoding: str) -> tuple[bytes, bytes]:
    """Translation of an interchange into the alphabet, and the bytes that go on the way.

    Bytes outside the encoding become _FOREIGN; with an encoding wider than ASCII they stay, to be decoded.
    """
    table = bytearray(range(256))
    for byte in range(256):
        is_control = byte < 32 and byte not in b"\t\r\n\x07\x0b\x0c"
        if is_control or byte == 127 or (byte > 127 and encoding == "ascii"):
            table[byte] = _FOREIGN[0]
    if separators.repetition >= 0 and not _is_printable(separators.repetition):
        table[separators.repetition] = _REPETITION
    if separators.component >= 0 and not _is_printable(separators.component):
        table[separators.component] = _COMPONENT
    table[separators.element] = ELEMENT[0]
    table[separators.segment] = SEGMENT[0]
    gone = bytes(byte for byte in _NEWLINES if byte not in (separators.element, separators.segment))
    return bytes(table), gone


_BLANK_BEFORE = re.compile(rb"(?:^|(?<=\x1f))[ \t\x1f]+")


def alike(content: Content, chunk: Chunk, encoding: str) -> bytes:
    """The chunk in the alphabet: each segment that is not empty, with its end."""
    return _BLANK_BEFORE.sub(b"", _translated(content, chunk, encoding))


def _translated(content: Content, chunk: Chunk, encoding: str) -> bytes:
    """The chunk in the alphabet, with indents and empty segments; it ends with the end of a segment."""
    text = content[chunk.start : chunk.end]
    separators = chunk.separators or _guessed(text)
    if separators is None:
        return b"?" + SEGMENT
    # Some systems end a file with control characters (Ctrl-Z, zeros).
    end = bytes(byte for byte in _BLANKS + b"\x00\x1a" if byte not in (separators.element, separators.segment))
    if text[-1:] in end:
        text = text.rstrip(end)
    table, gone = _alphabet(separators, encoding)
    # Without line ends to delete, translate is a single pass over the bytes.
    text = text.translate(table, gone) if any(mark in text for mark in (b"\r", b"\n")) else text.translate(table)
    if encoding != "ascii" and not text.isascii():
        text = _as_utf8(text, encoding)
    return text if text.endswith(SEGMENT) else text + SEGMENT


def _as_utf8(text: bytes, encoding: str) -> bytes:
    """Segment by segment, so that one that does not decode is foreign alone."""
    try:
        return text.decode(encoding).encode()
    except UnicodeDecodeError:
        pass
    out = []
    for segment in text.split(SEGMENT):
        try:
            out.append(segment.decode(encoding).encode())
        except UnicodeDecodeError:
            out.append(re.sub(rb"[\x80-\xff]", _FOREIGN, segment))
    return SEGMENT.join(out)


def _guessed(text: bytes) -> Separators | None:
    """Separators of an interchange whose ISA does not read, from its first GS; good for counting its sets only."""
    start = re.search(rb"ISA([^A-Za-z0-9 \t\r\n])", text)
    if start is None:
        return None
    element = start[1]
    at = text.find(b"GS" + element)
    while at >= 0:
        end = _end_before(text, at)
        if end and end != element and not end.isalnum():
            return Separators(element[0], -1, -1, end[0])
        at = text.find(b"GS" + element, at + 2)
    return None


def _end_before(text: Content, at: int) -> bytes:
    """The last byte before a place that is no blank or, where nothing else stands there, the line end."""
    ahead = text[max(0, at - _LONGEST_INDENT) : at].rstrip(b" \t")
    return ahead.rstrip(_BLANKS)[-1:] or ahead[-1:]


def segment_tables(texts: Sequence[Text], encoding: str, size: int = sys.maxsize) -> Iterator[Segments]:
    """Segments of all texts, in the order of the texts: tables of whole chunks that hold about `size` bytes."""
    lines = [text.first_line for text in texts]
    group: list[tuple[int, Chunk]] = []
    held = 0
    for place, text in enumerate(texts):
        for chunk in chunks(text.content):
            if group and held + chunk.end - chunk.start > size:
                yield _table(texts, group, lines, encoding)
                group, held = [], 0
            group.append((place, chunk))
            held += chunk.end - chunk.start
    if group:
        yield _table(texts, group, lines, encoding)


def _table(texts: Sequence[Text], group: Sequence[tuple[int, Chunk]], lines: list[int], encoding: str) -> Segments:
    """Segments of some chunks; `lines` has the next line of each text and is brought up to date."""
    import numpy as np

    parts = [_translated(texts[place].content, chunk, encoding) for place, chunk in group]
    joined, buffer, bounds, ends = _scan(parts)
    opens = np.append(0, ends[:-1])
    starts = bounds[opens] + 1
    head = buffer[starts]
    if ((head == 32) | (head == 9) | (head == SEGMENT[0])).any():
        # Indents and empty lines are rare enough for a second pass.
        parts = [_BLANK_BEFORE.sub(b"", part) for part in parts]
        joined, buffer, bounds, ends = _scan(parts)
        opens = np.append(0, ends[:-1])
        starts = bounds[opens] + 1
    first = np.searchsorted(starts, np.cumsum(np.array([0, *map(len, parts)], np.int64)))
    counts = np.diff(first)
    first_lines = np.empty(len(group), np.int64)
    for number, ((place, _), count) in enumerate(zip(group, counts.tolist(), strict=True)):
        first_lines[number] = lines[place]
        lines[place] += count
    is_foreign = np.zeros(len(opens), bool)
    if _FOREIGN in joined:
        is_foreign[np.searchsorted(starts, np.flatnonzero(buffer == _FOREIGN[0]), "right") - 1] = True
    places = np.array([place for place, _ in group], np.int64)
    return Segments(
        buffer=buffer,
        bounds=bounds,
        opens=opens,
        sizes=ends - opens - 1,
        codes=_codes(buffer, starts, bounds[opens + 1]),
        chunks=np.repeat(np.arange(len(parts), dtype=np.int64), counts),
        lines=np.arange(len(opens), dtype=np.int64) + np.repeat(first_lines - first[:-1], counts),
        first=first,
        text=np.array([text.index for text in texts], np.int64)[places],
        place=places,
        component=np.array([_component(chunk) for _, chunk in group], np.int64),
        is_foreign=is_foreign,
    )


def _component(chunk: Chunk) -> int:
    """The component separator of a chunk in the alphabet, -1 where no interchange could be told."""
    if chunk.separators is None:
        return -1
    return chunk.separators.component if _is_printable(chunk.separators.component) else _COMPONENT


def _scan(parts: Sequence[bytes]) -> tuple[bytes, NDArray[np.uint8], NDArray[np.int32], Ints]:
    """The parts joined, the offsets of the separators with -1 in front, and which of them end a segment.

    Raises:
        Unreadable: the parts are larger than an offset of 31 bits.
    """
    import numpy as np

    # Views of an element look up to sixteen bytes ahead of its start.
    joined = b"".join((*parts, bytes(_AHEAD)))
    if len(joined) > _LARGEST:
        raise Unreadable("more than 2 GiB between two ISA segments")
    buffer = np.frombuffer(joined, np.uint8)
    found = [np.array([-1], np.int32)]
    is_end = [np.zeros(1, bool)]
    masked = np.empty(_BLOCK, np.uint8)
    is_separator = np.empty(_BLOCK, bool)
    for at in range(0, len(buffer), _BLOCK):
        # Block by block, so that what is made on the way stays in the processor's cache.
        block = buffer[at : at + _BLOCK]
        size = len(block)
        np.bitwise_and(block, 0xFE, out=masked[:size])
        np.equal(masked[:size], ELEMENT[0], out=is_separator[:size])
        here = np.flatnonzero(is_separator[:size])
        is_end.append(block[here] == SEGMENT[0])
        here += at
        found.append(here.astype(np.int32))
    return joined, buffer, np.concatenate(found), np.flatnonzero(np.concatenate(is_end))


def count_segments(content: Content, chunk: Chunk, encoding: str) -> int:
    """Segments of a chunk that are not empty."""
    import numpy as np

    text = _translated(content, chunk, encoding).translate(None, b" \t")
    is_end = np.frombuffer(text, np.uint8) == SEGMENT[0]
    # Behind the end of a segment, each further end is that of an empty one.
    return int(np.count_nonzero(is_end[1:] & ~is_end[:-1]))


def kinds_of_sets(content: Content, chunk: Chunk, encoding: str) -> dict[bytes, int]:
    """ST01 of the sets of a chunk and how many there are, by their ST alone."""
    import numpy as np

    text, start, end, separators = content, chunk.start, chunk.end, chunk.separators
    if separators is None or _is_wrapped(content[start : min(end, start + _WINDOW)]):
        text = alike(content, chunk, encoding)
        start, end, separators = 0, len(text), Separators(ELEMENT[0], -1, -1, SEGMENT[0])
    buffer = np.frombuffer(text, np.uint8)[start:end]
    begins = _places(buffer, b"ST" + bytes([separators.element]))
    # A set begins where a segment can: behind the end of one, and perhaps blanks.
    is_blank = np.zeros(256, bool)
    is_blank[[byte for byte in _BLANKS if byte != separators.segment]] = True
    ahead = np.maximum(begins - 1, 0)
    for _ in range(_LONGEST_INDENT):
        indented = np.flatnonzero(is_blank[buffer[ahead]] & (ahead > 0))
        if not len(indented):
            break
        ahead[indented] -= 1
    begins = begins[buffer[ahead] == separators.segment] + 3
    kinds: Counter[bytes] = Counter()
    marks = [bytes([separators.element]), bytes([separators.segment])]
    # Most are three characters and a separator: those that are alike are told together.
    names = sum(buffer[np.minimum(begins + at, len(buffer) - 1)].astype(np.uint32) << (8 * at) for at in range(4))
    _, firsts, which, counts = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
    for name, at in enumerate(firsts):
        told = buffer[begins[at] : begins[at] + 4].tobytes()
        if told[3:] in marks and not any(mark in told[:3] for mark in marks):
            kinds[told[:3]] += int(counts[name])
            continue
        for at in begins[which == name].tolist():
            told = buffer[at : at + 16].tobytes()
            kinds[told[: min((stop for stop in map(told.find, marks) if stop >= 0), default=0)]] += 1
    return kinds
