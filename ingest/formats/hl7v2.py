r"""HL7 v2 messages: files with one or many, in any framing and with any delimiters that their MSH declares.

Here: files, batches and their trailers, messages that cannot be taken and why, which field is which column, rows of the
contract's layouts.
Not here: the scan of the bytes and the decoding of values (`hl7_segments`); types and closed lists (`shape`).

A file is cut into messages at the lines that begin with MSH. Segments end at CR, LF or CR LF, mixed as they come; MLLP
frames and the segments FHS, BHS, BTS and FTS stand around messages. Messages that declare the same delimiters are read
together, column by column; one that declares others, or another character set, is read in a further pass of the same
kind. A message that cannot be taken is one bad row at its MSH line, the messages around it are not touched: text where
a header was damaged never joins the message before it.

Columns are bound by `Column.source`, in the words of the standard (`FT1-7.1`). Fields of the header segments (MSH, PID,
PV1 ...) hold for every row of the message, fields of other segments come from the segment of the row or the first of
its kind after it and before the next. A field stands for its first repetition; the modifiers of FT1-26 are kept all,
joined by `~`. Where a source names no component, subcomponents of a text stay in it as sent, because unescaped
ampersands in descriptions are common.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cache, cached_property, lru_cache, partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ingest.contract import ContractError, Delivery, Extract
from ingest.formats.reading import BadRow, Content, Look, Piece, Reading, Text, Trailer

if TYPE_CHECKING:
    import polars as pl

    from ingest.formats.hl7_segments import Delimiters, Field, Flags, Ints, Segments, Spans, Values

# Bytes that are scanned together: few enough for the processor's cache, enough to make a Python call cheap.
_CHUNK = 2 << 20
_WINDOW = 1 << 20
_BOM = b"\xef\xbb\xbf"

# Segments that stand once in a message and hold for all rows of it, wherever they stand.
_OF_THE_MESSAGE = frozenset(
    ["MSH", "SFT", "UAC", "EVN", "PID", "PD1", "PV1", "PV2", "MRG", "SCH", "MFI", "ACC", "GT1", "IN1", "IN2", "IN3"]
)
# Segments of which a message may have many, the innermost first: an extract has a row for each of its innermost one.
_ROW_SEGMENTS = ("PKG", "IVT", "ITM", "FT1")
# The groups that a segment stands in, the outermost first (HL7 v2.8 MFN^M16).
_GROUPS = {"PKG": ("MFE", "ITM", "VND"), "IVT": ("MFE", "ITM"), "ITM": ("MFE",)}
# Without one of these the message says nothing that its first extract could hold.
_DUE = ("FT1", "ITM")
_REPEATING = frozenset([("FT1", 26)])
_ENVELOPE = ("FHS", "BHS", "BTS", "FTS")

# HL7 table 0211, as far as Python knows the character sets.
_CHARACTER_SETS = {
    "": "utf-8",
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    **{f"8859/{part}": f"iso-8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)},
    "ISO IR14": "shift_jis",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
}


# ------------------------------------------------------------------------------------------------ places in a message


@dataclass(frozen=True)
class _Place:
    """A field, component or subcomponent of a segment; `where` chooses one of several segments of the kind."""

    segment: str
    field: int
    component: int = 0
    """Counted from 1; 0 where the source names none."""
    sub: int = 0
    where: _Place | None = None
    equals: str = ""

    @cached_property
    def of_segment(self) -> _Place:
        """The place of the segment itself."""
        return replace(self, field=0, component=0, sub=0)


_FIELD = re.compile(r"([A-Z][A-Z0-9]{2})-([1-9]\d*)(?:\.([1-9]\d*))?(?:\.([1-9]\d*))?")


def _place(source: str) -> _Place | None:
    """The place that a source names; None for `none` and where the message does not carry the value.

    Raises:
        ContractError: the source is no place in a message.
    """
    if source in ("none", ""):
        return None
    position, _, condition = source.partition(" where ")
    found = _FIELD.fullmatch(position)
    if found is None:
        raise ContractError(f"{source!r} is no place in a message")
    place = _Place(found[1], int(found[2]), int(found[3] or 0), int(found[4] or 0))
    if not condition:
        return place
    where, _, equals = condition.partition(" = ")
    return replace(place, where=_place(where), equals=equals)


@dataclass(frozen=True)
class _Binding:
    """A column and where it stands."""

    name: str
    place: _Place | None
    is_moment: bool
    zone: str
    keeps_subs: bool

    @cached_property
    def wanted(self) -> Field:
        """The field that is wanted of the segment."""
        from ingest.formats.hl7_segments import Field

        place = self.place
        assert place is not None
        return Field(
            place.field,
            max(place.component, 1),
            max(place.sub, 1),
            self.keeps_subs,
            is_repeated=(place.segment, place.field) in _REPEATING,
            normalised=_NORMALISED[self.zone] if self.is_moment else None,
        )


@dataclass(frozen=True)
class _Layout:
    """How the rows of an extract are made."""

    name: str
    row_segment: str
    bindings: tuple[_Binding, ...]
    sites: tuple[tuple[str, tuple[_Binding, ...]], ...]
    """By sending facility, the columns that stand elsewhere there."""
    events: tuple[str, ...]


@cache
def _layout(extract: Extract) -> _Layout:
    def bound(name: str, source: str) -> _Binding:
        column = extract.columns[name]
        place = _place(source)
        return _Binding(
            name,
            place,
            is_moment=column.type.name == "datetime",
            zone=column.type.zone or "America/Chicago",
            keeps_subs=place is not None and not place.component and column.type.name == "string",
        )

    bindings = tuple(bound(column.name, column.source) for column in extract.read_columns)
    sites = tuple(
        (site, tuple(bound(name, source) for name, source in places.items())) for site, places in extract.sites.items()
    )
    segments = {binding.place.segment for binding in bindings if binding.place}
    row_segment = next((segment for segment in _ROW_SEGMENTS if segment in segments), "MSH")
    named = re.search(r"_([A-Z]\d\d)(?:_|$)", extract.name)
    events = extract.messages or ((named[1],) if named else ())
    return _Layout(extract.name, row_segment, bindings, sites, events)


@dataclass(frozen=True)
class _Feed:
    """What a file's messages must be, and the layouts of the rows they give, the head extract first."""

    kind: str
    """MSH-9.1, empty where any will do."""
    layouts: tuple[_Layout, ...]

    @property
    def head(self) -> _Layout:
        return self.layouts[0]


def _feed(names: tuple[str, ...], delivery: Delivery, extracts: Sequence[Extract]) -> _Feed:
    kind = next((kind for kind, fed in delivery.reads.items() if set(names) & set(fed)), "")
    return _Feed(kind, tuple(_layout(extract) for extract in extracts if extract.name in names))


# ------------------------------------------------------------------------------------------------ look and pieces


def look(content: Content, delivery: Delivery, extracts: Sequence[Extract]) -> Look:
    """Segments that become rows, by extract, and what BTS and FTS state of the messages.

    A batch with fewer messages than its BTS-1 states, or a file with fewer batches than its FTS-1, is refused; with
    more it is told. A file of several messages whose last segment has no end counts as cut, unless its trailer is
    there.
    """
    wanted = {extract.name: _layout(extract).row_segment for extract in extracts}
    seen = _outline(content, {"MSH", *_ENVELOPE, *wanted.values()})
    messages = seen.counts["MSH"]
    if not messages and not seen.envelope:
        blank = not any(window.strip() for window in _windows(content))
        rows = dict.fromkeys(wanted, 0)
        return Look(rows) if blank else Look(rows, refusal="no message header (MSH) in the file")
    rows = {name: seen.counts[segment] for name, segment in wanted.items()}
    if not any(rows.values()) and (messages or _OUTSIDE.search(content)):
        # There is something to refuse, though no row: messages, or text between batches that may hide one.
        rows[next(iter(rows))] = max(messages, 1)
    refusal, agrees = _trailers(seen.envelope, messages)
    is_closed = bool(seen.envelope) and seen.envelope[-1][0] in ("BTS", "FTS")
    is_cut = not seen.has_end and not is_closed and (messages > 1 or bool(seen.envelope))
    return Look(rows, refusal, trailer=None if agrees is None else Trailer(agrees=agrees), is_cut=is_cut)


# Text that is no segment of an envelope, and headers within one.
_OUTSIDE = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?+|[\r\n])\x0b?+(?!FHS|BHS|BTS|FTS)[^\r\n]*?[^\s\x0b\x1c]|MSH")


@dataclass(frozen=True)
class _Outline:
    counts: dict[str, int]
    envelope: list[tuple[str, int, int | None]]
    """FHS, BHS, BTS and FTS in order: the messages before it, and the number that its first field states."""
    has_end: bool


def _outline(content: Content, segments: Iterable[str]) -> _Outline:
    """Lines of a content by their segment id, without more of it in memory than a window."""
    import numpy as np

    from ingest.formats.hl7_segments import Bytes, code_of

    codes = {segment: code_of(segment) for segment in segments}
    counts = dict.fromkeys(codes, 0)
    envelope: list[tuple[str, int, int | None]] = []
    for window in _windows(content):
        scanned = Bytes(window)
        one = scanned.one[:_WINDOW]
        starts = np.flatnonzero((one == 13) | (one == 10)) + 1
        starts += scanned.one[starts] == 0x0B
        found = scanned.four[np.minimum(starts, scanned.size)] & np.uint32(0xFFFFFF)
        at = {segment: starts[found == code] for segment, code in codes.items()}
        framing = sorted((place, segment) for segment in _ENVELOPE for place in at[segment].tolist())
        for place, segment in framing:
            before = counts["MSH"] + int(np.searchsorted(at["MSH"], place))
            stated = _stated(window[place : place + 40]) if segment in ("BTS", "FTS") else None
            envelope.append((segment, before, stated))
        for segment, places in at.items():
            counts[segment] += len(places)
    return _Outline(counts, envelope, content[-1:] in (b"", b"\r", b"\n", b"\x1c"))


def _windows(content: Content) -> Iterator[bytes]:
    """The content in windows; each begins with the byte before it and ends with a few bytes of the next."""
    for begin in range(0, len(content), _WINDOW):
        if begin:
            yield content[begin - 1 : begin + _WINDOW + 63]
        else:
            yield b"\n" + _without_bom(content[: _WINDOW + 63])


def _without_bom(content: bytes) -> bytes:
    """The content with line ends in place of a byte order mark, so that every other byte stays where it is."""
    return content.replace(_BOM, b"\n\n\n", 1) if content.startswith(_BOM) else content


def _stated(line: bytes) -> int | None:
    """The number in the first field of BTS (messages) or FTS (batches), HL7 v2.5.1 2.15."""
    found = re.match(rb"...[^\w\s](\d{1,9})(?!\w)", line)
    return int(found[1]) if found else None


def _trailers(envelope: Sequence[tuple[str, int, int | None]], messages: int) -> tuple[str | None, bool | None]:
    """Why the trailers refuse the file, and whether they agree with what is there; None where none states a number."""
    agrees: bool | None = None
    batches, since = 0, 0
    for segment, before, stated in envelope:
        held = before - since
        if segment == "BTS":
            batches += 1
            if stated is not None and held < stated:
                return f"holds {held} messages of a batch, its BTS states {stated}", False
        elif segment == "FTS" and stated is not None and batches < stated:
            return f"holds {batches} batches, its FTS states {stated}", False
        if segment in ("BTS", "FTS") and stated is not None:
            agrees = (agrees is not False) and (held if segment == "BTS" else batches) == stated
        if segment in ("BHS", "BTS"):
            since = before
    return None, agrees


_MESSAGE_START = re.compile(rb"(?<=[\r\n])\x0b?MSH")


def pieces(content: Content, size: int) -> Iterator[Piece]:
    """Spans that begin at a message, each of about `size` bytes; at least one message."""
    start, line, total = 0, 1, len(content)
    while True:
        found = _MESSAGE_START.search(content, start + max(size, 1)) if start + size < total else None
        end = found.start() if found else total
        yield Piece(start, end, line)
        if found is None:
            return
        line += _line_ends(content, start, end)
        start = end


def _line_ends(content: Content, start: int, end: int) -> int:
    """Line ends between two places: CR LF, LF or CR."""
    import numpy as np

    count = 0
    for begin in range(start, end, _WINDOW):
        part = np.frombuffer(content, np.uint8, min(_WINDOW, end - begin), begin)
        returns, feeds = part == 13, part == 10
        count += int(np.count_nonzero(returns)) + int(np.count_nonzero(feeds))
        if feeds.any():
            count -= int(np.count_nonzero(returns[:-1] & feeds[1:]))
            # A carriage return and its line feed may stand on both sides of a window's edge.
            count -= bool(begin > start and feeds[0] and content[begin - 1 : begin] == b"\r")
    return count


# ------------------------------------------------------------------------------------------------ read


def read(texts: Sequence[Text], delivery: Delivery, extracts: Sequence[Extract]) -> dict[str, Reading]:
    """Rows of every extract in the texts; a message that is refused is a bad row of its text's head extract."""
    groups: dict[tuple[str, ...], list[Text]] = {}
    for text in texts:
        groups.setdefault(text.extracts or tuple(extract.name for extract in extracts), []).append(text)
    found: dict[str, list[_Table]] = {extract.name: [] for extract in extracts}
    bad: dict[str, list[BadRow]] = {extract.name: [] for extract in extracts}
    for names, group in groups.items():
        feed = _feed(names, delivery, extracts)
        if not feed.layouts:
            continue
        # NumPy lets go of the interpreter while it works on large arrays.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for tables, refused in pool.map(partial(_rows, feed), _chunks(group)):
                for name, table in tables:
                    found[name].append(table)
                bad[feed.head.name].extend(refused)
    return {extract.name: Reading(_joined(found[extract.name], extract), bad[extract.name]) for extract in extracts}


@dataclass(frozen=True)
class _Table:
    """Rows of one layout: values by column, text and line."""

    columns: dict[str, Values]
    texts: Ints
    lines: Ints


def _joined(tables: Sequence[_Table], extract: Extract) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    from ingest.formats.hl7_segments import series_of

    names = [column.name for column in extract.read_columns]
    if not tables:
        return pl.DataFrame(schema={**dict.fromkeys(names, pl.String), "_text": pl.Int64, "_line": pl.Int64})
    texts = np.concatenate([table.texts for table in tables])
    lines = np.concatenate([table.lines for table in tables])
    columns = [series_of(name, [table.columns[name] for table in tables]) for name in names]
    frame = pl.DataFrame([*columns, pl.Series("_text", texts), pl.Series("_line", lines)])
    later = np.diff(texts)
    if np.all((later > 0) | ((later == 0) & (np.diff(lines) >= 0))):
        return frame
    return frame.sort("_text", "_line", maintain_order=True)


@dataclass(frozen=True)
class _Part:
    """Bytes of a text that begin and end between messages."""

    index: int
    content: bytes
    first_line: int


def _chunks(texts: Iterable[Text]) -> Iterator[list[_Part]]:
    """Texts in portions of about one chunk: small ones together, a large one in several."""
    held: list[_Part] = []
    size = 0
    for text in texts:
        content = _unframed(text.content.removeprefix(_BOM))
        for piece in pieces(content, _CHUNK):
            whole = piece.end - piece.start == len(content)
            part = _Part(
                text.index,
                content if whole else content[piece.start : piece.end],
                text.first_line + piece.first_line - 1,
            )
            held.append(part)
            size += len(part.content)
            if size >= _CHUNK:
                yield held
                held, size = [], 0
    if held:
        yield held


_FRAMES = re.compile(rb"(?<![^\r\n])\x0b|\x1c(?=[\r\n]|\Z)")


def _unframed(content: bytes) -> bytes:
    """The content without the bytes that MLLP puts around messages."""
    if b"\x0b" in content or b"\x1c" in content:
        return _FRAMES.sub(b"", content)
    return content


_Rows = tuple[list[tuple[str, _Table]], list[BadRow]]


def _header_lines(content: bytes) -> Iterator[bytes]:
    """The beginnings of the lines that begin with MSH."""
    at = content.find(b"MSH")
    while at >= 0:
        if at == 0 or content[at - 1 : at] in (b"\r", b"\n"):
            yield re.split(rb"[\r\n]", content[at : at + 16], maxsplit=1)[0]
        at = content.find(b"MSH", at + 3)


def _rows(feed: _Feed, parts: Sequence[_Part]) -> _Rows:
    """Rows and refusals of a chunk."""
    from ingest.formats.hl7_segments import STANDARD, delimiters_of

    content = b"\n".join(part.content for part in parts)
    declared = (delimiters_of(found) for found in _header_lines(content))
    main = next((each for each in declared if each is not None), STANDARD)
    passes = [_Pass(feed, parts, content, main)]
    for further in passes:
        # A pass may find messages that need one of their own; it appends to what is walked here.
        passes.extend(further.others())
    tables = [table for each in passes for table in each.tables()]
    return tables, sorted((row for each in passes for row in each.bad), key=lambda row: (row.index, row.line))


# ------------------------------------------------------------------------------------------------ one pass


class _Pass:
    """Messages of a chunk that declare the same delimiters.

    A document is a message, a segment of an envelope, or text that is neither, each from its first segment to the next
    document. `bad` has what is refused, `others` what needs a pass of its own.
    """

    def __init__(
        self,
        feed: _Feed,
        parts: Sequence[_Part],
        content: bytes,
        delimiters: Delimiters,
        *,
        is_decoded: bool = False,
    ) -> None:
        import numpy as np

        from ingest.formats.hl7_segments import Segments

        self.bad: list[BadRow] = []
        self._feed = feed
        self._parts = parts
        self._delimiters = delimiters
        self._is_decoded = is_decoded
        self._further: dict[tuple[Delimiters, bool], list[_Part]] = {}
        self._segments = Segments(content, delimiters)
        self._offsets = np.cumsum([0, *(len(part.content) + 1 for part in parts[:-1])])
        lines = self._segments.line_numbers[np.searchsorted(self._segments.line_starts, self._offsets)]
        self._bases = np.array([part.first_line for part in parts], np.int64) - lines
        self._indexes = np.array([part.index for part in parts], np.int64)
        self._find_documents()
        if len(self._first):
            self._refuse_strays()
            self._set_apart_headers()
            self._set_apart_inner_headers()
            self._set_apart_character_sets()
            self._refuse_broken()
            self._refuse_unfit()

    def others(self) -> list[_Pass]:
        """Passes for the messages that this one could not read."""
        return [
            _Pass(self._feed, parts, b"\n".join(part.content for part in parts), delimiters, is_decoded=is_decoded)
            for (delimiters, is_decoded), parts in self._further.items()
        ]

    # -------------------------------------------------------------------------------------------- documents

    def _find_documents(self) -> None:
        import numpy as np

        from ingest.formats.hl7_segments import code_of

        segments = self._segments
        is_header = segments.code == code_of("MSH")
        is_envelope = np.isin(segments.code, np.array([code_of(each) for each in _ENVELOPE], np.uint32))
        begins = is_header | is_envelope
        firsts = np.searchsorted(segments.start, self._offsets)
        begins[firsts[firsts < len(begins)]] = True
        self._inner = self._inner_headers(is_header)
        begins |= self._damaged_headers(is_header, begins)
        begins[[segment for segment, place, _ in self._inner if place - segments.start[segment] <= 3]] = True
        self._first = np.flatnonzero(begins)
        self._document = np.cumsum(begins) - 1
        self._last = np.append(self._first[1:], len(begins)) - 1
        self._is_message = is_header[self._first]
        self._is_envelope = is_envelope[self._first]
        self._is_out = ~self._is_message

    def _is_own(self, headers: Ints) -> Flags:
        """Which MSH segments declare the delimiters of this pass."""
        import numpy as np

        one, own = self._segments.bytes.one, self._delimiters
        starts = self._segments.start[headers]
        is_own = np.ones(len(starts), np.bool_)
        for at, code in enumerate(own.field + own.encoding + own.field, 3):
            is_own &= one[starts + at] == code
        return is_own

    def _damaged_headers(self, is_header: Flags, begins: Flags) -> Flags:
        """Lines that hold the encoding characters of a header, but do not begin with its segment id.

        Without them the segments of a message whose MSH was damaged would join the message before it. They are looked
        for in the messages of this pass alone: of a message with other delimiters the pass that knows them tells, and
        text outside of messages can join none. So what is found does not depend on what stands around a message, nor
        on where a file is cut.
        """
        import numpy as np

        from ingest.formats.hl7_segments import declares_delimiters

        segments, own = self._segments, self._delimiters
        is_damaged = np.zeros(len(begins), np.bool_)
        is_invalid = ~segments.is_valid
        if segments.may_hold_escapes and len(own.encoding) >= 3:
            declared = int.from_bytes((own.encoding + own.field)[:4], "little")
            is_damaged |= segments.bytes.four[segments.start + 4] == declared
        elif not is_invalid.any():
            return is_damaged
        headers = np.flatnonzero(is_header)
        is_of_own = np.zeros(len(begins), np.bool_)
        is_of_own[headers] = self._is_own(headers)
        firsts = np.flatnonzero(begins)
        is_of_own = is_of_own[firsts][np.cumsum(begins) - 1] & ~begins
        is_damaged &= is_of_own & segments.is_valid
        is_invalid &= is_of_own
        for segment in np.flatnonzero(is_invalid).tolist():
            start = int(segments.start[segment])
            is_damaged[segment] = declares_delimiters(segments.bytes.content[start : start + 16])
        # What a line end that came into the segment id has cut off.
        cut = np.flatnonzero(is_damaged[1:] & is_invalid[1:] & is_invalid[:-1])
        cut = cut[segments.end[cut] - segments.start[cut] <= 3]
        is_damaged[cut] = True
        is_damaged[cut + 1] = False
        return is_damaged

    def _places(self, segments: Ints) -> tuple[Ints, Ints]:
        """Text and line of segments."""
        import numpy as np

        part = np.searchsorted(self._offsets, self._segments.start[segments], "right") - 1
        return self._indexes[part], self._segments.line[segments] + self._bases[part]

    def _refuse(self, documents: Ints, reasons: Sequence[str] | str) -> None:
        """Refuse documents that nothing was said of yet."""
        if not len(documents):
            return
        texts, lines = self._places(self._first[documents])
        each = [reasons] * len(documents) if isinstance(reasons, str) else reasons
        for document, text, line, reason in zip(documents.tolist(), texts.tolist(), lines.tolist(), each, strict=True):
            if not self._is_out[document]:
                self._is_out[document] = True
                self.bad.append(BadRow(text, line, None, "message", reason))

    def _refuse_strays(self) -> None:
        """Text before the first message, between batches, or below a header that was damaged."""
        import numpy as np

        segments = self._segments
        is_blank = np.zeros(len(segments.code), np.bool_)
        for segment in np.flatnonzero(~segments.is_valid).tolist():
            is_blank[segment] = not segments.bytes.content[segments.start[segment] : segments.end[segment]].strip()
        segments.is_valid |= is_blank
        filled = np.concatenate([[0], np.cumsum(~is_blank)])
        held = filled[self._last + 1] - filled[self._first] - self._is_envelope
        strays = np.flatnonzero(~self._is_message & (held > 0))
        if not len(strays):
            return
        # Without a message before it nothing says which delimiters hold: all of it is one piece of text.
        anchors = np.where(self._is_message | self._is_envelope, np.arange(len(self._first)), -1)
        anchors = np.maximum.accumulate(anchors)[strays]
        part = np.searchsorted(self._offsets, segments.start[self._first], "right") - 1
        is_near = (anchors >= 0) & (part[anchors] == part[strays])
        anchors = np.where(is_near, anchors, -1 - part[strays])
        is_alone = is_near & self._is_message[anchors]
        is_alone[np.unique(anchors, return_index=True)[1]] = True
        strays = strays[is_alone]
        where = self._first[strays] + self._is_envelope[strays]
        texts, lines = self._places(where)
        for text, line in zip(texts.tolist(), lines.tolist(), strict=True):
            self.bad.append(BadRow(text, line, None, "text", "text that belongs to no message, or a damaged header"))

    # -------------------------------------------------------------------------------------------- set apart

    def _content(self, document: int) -> bytes:
        segments = self._segments
        return segments.bytes.content[segments.start[self._first[document]] : segments.end[self._last[document]]]

    def _set_apart(self, segment: int, content: bytes, delimiters: Delimiters, *, is_decoded: bool = False) -> None:
        """Read a message in a further pass; it begins at a segment of this one."""
        import numpy as np

        texts, lines = self._places(np.array([segment]))
        part = _Part(int(texts[0]), content, int(lines[0]))
        self._further.setdefault((delimiters, is_decoded or self._is_decoded), []).append(part)

    def _set_apart_headers(self) -> None:
        """Messages with other delimiters, and those whose delimiters cannot be used."""
        import numpy as np

        from ingest.formats.hl7_segments import delimiters_of

        messages = np.flatnonzero(self._is_message)
        is_own = self._is_own(self._first[messages])
        for document in messages[~is_own].tolist():
            content = self._content(document)
            declared = delimiters_of(re.split(rb"[\r\n]", content[:16], maxsplit=1)[0])
            if declared is None:
                self._refuse(np.array([document]), "MSH-1 and MSH-2 declare no delimiters that can be used")
            elif declared == self._delimiters:
                self._refuse(np.array([document]), "MSH ends after the delimiters")
            else:
                self._set_apart(self._first[document], content, declared)
                self._is_out[document] = True

    def _inner_headers(self, is_header: Flags) -> list[tuple[int, int, Delimiters]]:
        """Headers that do not stand at the beginning of a line: segment, place, and what they declare."""
        import numpy as np

        from ingest.formats.hl7_segments import delimiters_of

        segments, one = self._segments, self._segments.bytes.one
        # M and H with a byte between them are rare: the S is looked for where they are.
        is_found = one[:-2] == 77
        is_found &= one[2:] == 72
        if np.count_nonzero(is_found) == np.count_nonzero(is_header):
            return []
        found = np.flatnonzero(is_found)
        found = found[one[found + 1] == 83]
        inner = []
        for place in np.setdiff1d(found, segments.start[is_header], assume_unique=True).tolist():
            declared = delimiters_of(re.split(rb"[\r\n]", segments.bytes.content[place : place + 16], maxsplit=1)[0])
            if declared is not None and len(declared.encoding) >= 3:
                inner.append((int(np.searchsorted(segments.start, place, "right")) - 1, place, declared))
        return inner

    def _set_apart_inner_headers(self) -> None:
        """Messages that begin in the middle of a line: the line end before them was lost.

        The message before is refused, because nobody can tell what else is lost; the one that begins here is read. A
        few bytes before the header are not the end of a message, but text that belongs to none.
        """
        import numpy as np

        segments = self._segments
        seen: set[int] = set()
        for segment, place, declared in self._inner:
            document = int(self._document[segment])
            if document in seen or (self._is_out[document] and self._is_message[document]):
                continue
            seen.add(document)
            self._refuse(np.array([document]), "the header of another message in the middle of a segment")
            content = segments.bytes.content[place : segments.end[self._last[document]]]
            self._set_apart(segment, content, declared)

    def _set_apart_character_sets(self) -> None:
        """Messages with characters beyond ASCII that are not UTF-8, or do not decode (HL7 v2.5.1 MSH-18)."""
        import numpy as np

        segments = self._segments
        one = segments.bytes.one
        if self._is_decoded or (one.max() < 0x80 and not len(segments.controls)):
            return
        places = np.concatenate([np.flatnonzero(one > 0x7F), segments.controls[one[segments.controls] == 0x1B]])
        owners = np.searchsorted(segments.start[self._first], np.sort(places), "right") - 1
        documents = np.unique(owners[owners >= 0])
        documents = documents[~self._is_out[documents]]
        sets = segments.spans(self._first[documents], 18)
        is_utf8 = sets.length == 0
        for name in ("UNICODE", "UNICODE UTF-8", "UTF-8"):
            is_utf8 |= segments.bytes.equal(sets, name.encode())
        if is_utf8.all() and _decodes(segments.bytes.content, "utf-8"):
            return
        for number, document in enumerate(documents.tolist()):
            start, size = int(sets.start[number]), int(sets.length[number])
            name = segments.bytes.content[start : start + size].decode("ascii", "replace").strip()
            codec = _CHARACTER_SETS.get(name.upper())
            content = self._content(document)
            if codec is None or not _decodes(content, codec):
                reason = "does not decode" if codec else "declares an unknown character set"
                self._refuse(np.array([document]), f"{reason} (MSH-18)")
            elif codec not in ("utf-8", "ascii"):
                self._set_apart(
                    self._first[document], content.decode(codec).encode(), self._delimiters, is_decoded=True
                )
                self._is_out[document] = True

    # -------------------------------------------------------------------------------------------- refused

    def _refuse_broken(self) -> None:
        """Messages with a control character, or a segment that has no segment id."""
        import numpy as np

        segments = self._segments
        if len(segments.controls):
            owners = np.searchsorted(segments.start[self._first], segments.controls, "right") - 1
            self._refuse(np.unique(owners[owners >= 0]), "a control character in the message")
        invalid = np.flatnonzero(~segments.is_valid)
        if len(invalid):
            documents, where = np.unique(self._document[invalid], return_index=True)
            numbers = invalid[where] - self._first[documents] + 1
            self._refuse(documents, [f"segment {number} has no segment id" for number in numbers.tolist()])

    def _refuse_unfit(self) -> None:
        """Messages without what every message has, of another kind than the delivery's, or without a row."""
        import numpy as np

        from ingest.formats.hl7_segments import code_of

        feed, segments = self._feed, self._segments
        left = np.flatnonzero(~self._is_out)
        headers = self._first[left]
        kinds, events = segments.spans(headers, 9), segments.spans(headers, 9, 2)
        # HL7 v2.5.1 MSH-4 sending facility, MSH-9 message type, MSH-10 message control id.
        due = (
            ("MSH-9", kinds),
            ("MSH-9", events),
            ("MSH-4", segments.spans(headers, 4)),
            ("MSH-10", segments.spans(headers, 10)),
        )
        for what, spans in due:
            segments.bytes.empty_null(spans.start, spans.length)
            is_empty = spans.length == 0
            if is_empty.any():
                self._refuse(left[is_empty], f"{what} is empty")
        if feed.kind:
            fits = segments.bytes.equal(kinds, feed.kind.encode())
            if feed.head.events:
                fits &= np.any([segments.bytes.equal(events, event.encode()) for event in feed.head.events], axis=0)
            unfit = np.flatnonzero(~fits & ~self._is_out[left])
            named = _named(segments, kinds, events, unfit)
            self._refuse(left[unfit], [f"{name} in a delivery that feeds {feed.head.name}" for name in named])
        if feed.head.row_segment in _DUE:
            count = self._count(code_of(feed.head.row_segment))
            self._refuse(np.flatnonzero(count == 0), f"no {feed.head.row_segment} segment")
        if any(binding.place and binding.place.segment == "MRG" for binding in feed.head.bindings):
            several = np.flatnonzero(self._count(code_of("MRG")) > 1)
            self._refuse(several, "more than one MRG segment, of which a row holds one")

    def _count(self, code: int) -> Ints:
        import numpy as np

        return np.bincount(self._document[self._segments.of(code)], minlength=len(self._first))

    # -------------------------------------------------------------------------------------------- rows

    def tables(self) -> list[tuple[str, _Table]]:
        """Rows of every layout, by extract."""
        if not len(self._first) or self._is_out.all():
            return []
        return [(layout.name, table) for layout in self._feed.layouts if (table := self._table(layout)) is not None]

    def _table(self, layout: _Layout) -> _Table | None:
        import numpy as np

        from ingest.formats.hl7_segments import code_of

        if layout.row_segment == "MSH":
            rows = self._first[~self._is_out]
        else:
            rows = self._segments.of(code_of(layout.row_segment))
            rows = rows[~self._is_out[self._document[rows]]]
        if not len(rows):
            return None
        finder = _Finder(self._segments, self._document, layout.row_segment, rows)
        columns = finder.columns(layout.bindings)
        if layout.sites:
            senders = self._segments.spans(finder.headers(self._first), 4)
            for site, bindings in layout.sites:
                of_site = np.flatnonzero(self._segments.bytes.equal(senders, site.encode()))
                if len(of_site):
                    for name, elsewhere in finder.columns(bindings).items():
                        columns[name].put(of_site, elsewhere.take(of_site))
        return _Table(columns, *self._places(rows))


class _Finder:
    """Values of bound columns for the rows of a layout."""

    def __init__(self, segments: Segments, document: Ints, row_segment: str, rows: Ints) -> None:
        import numpy as np

        self._segments = segments
        self._document = document
        self._row_segment = row_segment
        self._rows = rows
        self._row_document = document[rows]
        is_first = np.ones(len(rows), np.bool_)
        is_first[1:] = self._row_document[1:] != self._row_document[:-1]
        self._messages = self._row_document[is_first]
        self._message_of_row = np.cumsum(is_first) - 1

    def headers(self, firsts: Ints) -> Ints:
        """The MSH segment of each row."""
        return firsts[self._row_document]

    def columns(self, bindings: Sequence[_Binding]) -> dict[str, Values]:
        """Values of every column; of the columns that have no place, empty ones."""
        from ingest.formats.hl7_segments import empty_values

        found: dict[str, Values] = {}
        of_segment: dict[_Place, list[_Binding]] = {}
        for binding in bindings:
            if binding.place is None:
                found[binding.name] = empty_values(len(self._rows))
            else:
                of_segment.setdefault(binding.place.of_segment, []).append(binding)
        for place, bound in of_segment.items():
            is_shared = self._row_segment not in ("MSH", place.segment) and place.segment in _OF_THE_MESSAGE
            columns = self._segments.columns(self._find(place), [binding.wanted for binding in bound])
            for binding, values in zip(bound, columns, strict=True):
                found[binding.name] = values.take(self._message_of_row) if is_shared else values
        return found

    def _find(self, place: _Place) -> Ints:
        """The segment for each row, -1 where there is none; for a segment of the message, for each message."""
        if place.segment == self._row_segment and place.where is None:
            return self._rows
        candidates = self._candidates(place)
        if self._row_segment == "MSH" or place.segment in _OF_THE_MESSAGE:
            return self._first_of_message(candidates)
        if place.segment in _GROUPS.get(self._row_segment, ()):
            return self._enclosing(place.segment, candidates)
        return self._following(candidates)

    def _candidates(self, place: _Place) -> Ints:
        from ingest.formats.hl7_segments import code_of

        found = self._segments.of(code_of(place.segment))
        where = place.where
        if where is None:
            return found
        spans = self._segments.spans(found, where.field, max(where.component, 1), max(where.sub, 1))
        return found[self._segments.bytes.equal(spans, place.equals.encode())]

    def _first_of_message(self, candidates: Ints) -> Ints:
        import numpy as np

        first = np.full(int(self._document[-1]) + 1, -1)
        # Where several are assigned to one, the last assignment holds.
        first[self._document[candidates][::-1]] = candidates[::-1]
        return first[self._messages]

    def _enclosing(self, segment: str, candidates: Ints) -> Ints:
        """The last of the kind before each row, within the same groups around it."""
        import numpy as np

        from ingest.formats.hl7_segments import code_of

        found = self._before(candidates)
        for outer in _GROUPS[self._row_segment]:
            if outer == segment:
                break
            found[found < self._before(self._segments.of(code_of(outer)))] = -1
        found[self._document[np.maximum(found, 0)] != self._row_document] = -1
        return found

    def _before(self, candidates: Ints) -> Ints:
        import numpy as np

        return np.append(candidates, -1)[np.searchsorted(candidates, self._rows) - 1]

    def _following(self, candidates: Ints) -> Ints:
        """The first of the kind after each row and before the next one of the message."""
        import numpy as np

        found = np.full(len(self._rows), -1)
        owner = np.searchsorted(self._rows, candidates, "right") - 1
        is_owned = owner >= 0
        is_owned &= self._row_document[np.maximum(owner, 0)] == self._document[candidates]
        candidates, owner = candidates[is_owned], owner[is_owned]
        found[owner[::-1]] = candidates[::-1]
        return found


def _named(segments: Segments, kinds: Spans, events: Spans, which: Ints) -> list[str]:
    """What messages call themselves, where that is well-formed: nothing else of a message is told."""
    named = []
    for kind, event in zip(segments.texts(kinds, which), segments.texts(events, which), strict=True):
        name = f"{kind}^{event}"
        named.append(
            f"a message of type {name}" if re.fullmatch(r"[A-Z0-9_^]{1,15}", name) else "a message of another type"
        )
    return named


def _decodes(content: bytes, codec: str) -> bool:
    try:
        content.decode(codec)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


# ------------------------------------------------------------------------------------------------ time stamps


_MOMENT = re.compile(r"(\d{8})(\d\d)?(\d\d)?(\d\d)?(?:\.\d{1,6})?(?:([+-])(\d\d)(\d\d))?", re.ASCII)


class _Normalised(dict[str, Callable[[str], str]]):
    """By time zone, the function that gives a time stamp as fourteen digits of that zone's clock."""

    def __missing__(self, zone: str) -> Callable[[str], str]:
        self[zone] = lru_cache(maxsize=1 << 16)(lambda text: _moment(text, zone))
        return self[zone]


_NORMALISED = _Normalised()


def _moment(text: str, zone: str) -> str:
    """A time stamp (HL7 v2.5.1 TS, DTM) as yyyyMMddHHmmss on a zone's clock; no time stamp stays what it is.

    An offset says which moment it is. Fractions of a second are cut.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        return text
    day, hour, minute, second, sign, hours, minutes = found.groups()
    plain = f"{day}{hour or '00'}{minute or '00'}{second or '00'}"
    if sign is None:
        return plain
    try:
        local = datetime.strptime(plain, "%Y%m%d%H%M%S")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        at = local.replace(tzinfo=timezone(-offset if sign == "-" else offset)).astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError):
        return text
    return f"{at.year:04d}{at:%m%d%H%M%S}"
