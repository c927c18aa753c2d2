"""X12 interchanges: purchase orders, acknowledgements, ship notices, invoices, catalogs and remittances.

Here: `look`, `pieces` and `read` (see `reading`) for files of one or many interchanges, 004010 and 005010, whatever
separators their ISA states, in one line or many, wrapped, indented.
Not here: separators and segments (`x12_segments`), the envelope (`x12_envelope`), places of columns (`x12_layouts`),
rows (`x12_rows`), whether a remittance balances (`remittance`).

A set whose SE fails is refused alone, an interchange whose ISA, GE or IEA fails is refused whole, one `BadRow` for each
set in it; a set of a kind that its file does not feed is refused, too. `_line` counts segments.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import zip_longest
from typing import TYPE_CHECKING

from ingest.coded import coding
from ingest.contract import Delivery, Extract
from ingest.formats.reading import BadRow, Content, Look, Piece, Reading, Text
from ingest.formats.x12_envelope import Refusal, Sets, sets_of
from ingest.formats.x12_layouts import layout, mandatory
from ingest.formats.x12_rows import Kind, Rows, coded_columns, refused_sets
from ingest.formats.x12_segments import Chunk, Segments, chunks, code, count_segments, kinds_of_sets, segment_tables

if TYPE_CHECKING:
    import polars as pl

    from ingest.formats.x12_segments import Flags

# Bytes whose segments are held together, but for an interchange that is larger.
_STRETCH = 2**24
_NO_INTERCHANGE = "no interchange: no ISA segment reads"


def look(content: Content, delivery: Delivery, extracts: Sequence[Extract]) -> Look:
    """Sets by kind, for each extract that takes rows of them; a file without any ISA that reads is refused.

    What a trailer states is judged set by set and interchange by interchange in `read`: neighbours live.
    """
    rows = {extract.name: 0 for extract in extracts}
    parts = chunks(content)
    if not parts:
        return Look(rows)
    if all(part.separators is None for part in parts):
        return Look(rows, refusal=_NO_INTERCHANGE)
    kinds: Counter[bytes] = Counter()
    for part in parts:
        kinds.update(kinds_of_sets(content, part, _encoding(delivery)))
    for extract in extracts:
        kind = layout(extract).kind.encode()
        rows[extract.name] = kinds[kind] if kind else kinds.total()
    if not any(rows.values()):
        # A file of sets that no extract takes, or of none: `read` says of each what is wrong with it.
        rows[extracts[0].name] = 1
    return Look(rows)


def pieces(content: Content, size: int) -> Iterator[Piece]:
    """Spans of whole interchanges; an interchange that is larger than `size` is one piece."""
    spans: list[list[Chunk]] = [[]]
    for part in chunks(content):
        if spans[-1] and part.end - spans[-1][0].start > size:
            spans.append([])
        spans[-1].append(part)
    start, line = 0, 1
    for span, following in zip_longest(spans, spans[1:]):
        end = following[0].start if following else len(content)
        if end > start:
            yield Piece(start, end, line)
        if following:
            # Where segments end does not depend on the encoding of the text between.
            line += sum(count_segments(content, part, "latin-1") for part in span)
        start = end


def read(texts: Sequence[Text], delivery: Delivery, extracts: Sequence[Extract]) -> dict[str, Reading]:
    """Rows of every extract; refused sets and interchanges are bad rows of the text's head extract.

    Raises:
        Unreadable: an interchange is larger than 2 GiB.
    """
    import polars as pl

    feeds = [text.extracts or tuple(extract.name for extract in extracts) for text in texts]
    names = [text.name for text in texts]
    codings = {extract.name: {name: coding() for name in coded_columns(extract)} for extract in extracts}
    frames: dict[str, list[pl.DataFrame]] = {extract.name: [] for extract in extracts}
    bad: dict[str, list[BadRow]] = {extract.name: [] for extract in extracts}
    # NumPy and Polars let go of the interpreter while they work on large arrays.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tables = segment_tables(texts, _encoding(delivery), _STRETCH)
        coming = [_read(segments, feeds, names, extracts, codings, pool) for segments in tables]
        for name, reading in ((name, reading.result()) for each in coming for name, reading in each.items()):
            if reading.frame.height:
                frames[name].append(reading.frame)
            bad[name].extend(reading.bad)
    return {
        extract.name: Reading(
            pl.concat(frames[extract.name], rechunk=True) if frames[extract.name] else _empty(extract),
            bad[extract.name],
            is_head=layout(extract).anchor == "ST",
        )
        for extract in extracts
    }


def _read(
    segments: Segments,
    feeds: Sequence[tuple[str, ...]],
    names: Sequence[str],
    extracts: Sequence[Extract],
    codings: Mapping[str, Mapping[str, pl.Categorical]],
    pool: ThreadPoolExecutor,
) -> dict[str, Future[Reading]]:
    """The same of one table of segments, to come; `feeds` and `names` are those of the texts."""
    import numpy as np

    bad: dict[str, list[BadRow]] = {extract.name: [] for extract in extracts}

    def refuse(refusals: Sequence[Refusal]) -> None:
        for refusal in refusals:
            fed = feeds[segments.place[segments.chunks[refusal.segment]]]
            head = next((name for name in fed if name in bad), extracts[0].name)
            bad[head].append(refusal.bad_row(segments))

    sets, refusals = sets_of(segments)
    refuse(refusals)
    is_fed, refusals = _fed(segments, sets, feeds, {extract.name: layout(extract).kind for extract in extracts})
    refuse(refusals)
    sets = sets.where(is_fed)
    kinds = segments.short(segments.pick(sets.st), 1)
    is_good = np.ones(sets.size, bool)
    parts: dict[str, Kind] = {}
    for kind in dict.fromkeys(layout(extract).kind for extract in extracts if layout(extract).kind):
        is_kind = kinds == code(kind)
        if not is_kind.any():
            continue
        must_have = [name for extract in extracts if layout(extract).kind == kind for name in mandatory(extract)]
        part = Kind(segments, sets.where(is_kind), kind)
        fits, refusals = refused_sets(part, must_have)
        if refusals:
            refuse(refusals)
            is_good[np.flatnonzero(is_kind)[~fits]] = False
            part = Kind(segments, part.sets.where(fits), kind)
        parts[kind] = part
    parts[""] = Kind(segments, sets.where(is_good), "")

    def rows(extract: Extract) -> Reading:
        whole = parts.get(layout(extract).kind)
        found = Reading(_empty(extract))
        if whole is not None:
            found = Rows(whole, extract, names, codings[extract.name]).reading()
        return Reading(found.frame, sorted([*bad[extract.name], *found.bad], key=lambda row: (row.index, row.line)))

    return {extract.name: pool.submit(rows, extract) for extract in extracts}


def _encoding(delivery: Delivery) -> str:
    return "ascii" if delivery.encoding.lower() in ("ascii", "us-ascii") else delivery.encoding


def _empty(extract: Extract) -> pl.DataFrame:
    import polars as pl

    names = [column.name for column in extract.read_columns]
    return pl.DataFrame(schema={**dict.fromkeys(names, pl.String), "_text": pl.Int64, "_line": pl.Int64})


def _fed(
    segments: Segments, sets: Sets, feeds: Sequence[tuple[str, ...]], kinds: dict[str, str]
) -> tuple[Flags, list[Refusal]]:
    """Which sets are of a kind that their text feeds, and the refusals of the others."""
    import numpy as np

    place = segments.place[segments.chunks[sets.st]]
    kind = segments.short(segments.pick(sets.st), 1)
    is_fed = np.zeros(sets.size, bool)
    which = {names: number for number, names in enumerate(dict.fromkeys(feeds))}
    number = np.array([which[names] for names in feeds], np.int64)[place]
    for names, each in which.items():
        codes = [code(kinds[name]) for name in names if kinds.get(name)]
        is_fed |= (number == each) & np.isin(kind, codes)
    refusals = []
    for at in np.flatnonzero(~is_fed):
        start, end = (int(each[0]) for each in segments.spans(segments.pick(sets.st[at : at + 1]), 1))
        name = segments.buffer[start:end].tobytes().decode("ascii", "replace").rstrip()
        fed = ", ".join(feeds[place[at]])
        told = f"a set {name}" if re.fullmatch(r"[A-Z0-9]{3}", name) else "a set of no kind"
        reason = f"{told} in a delivery that feeds {fed} (AK5 1)"
        refusals.append(Refusal(int(sets.st[at]), "set", reason))
    return is_fed, refusals
