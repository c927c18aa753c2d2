"""What every wire format gives to ingest, and in what shape.

Here: the words that readers and ingest share. A format is a module with three functions:

- `look(content, delivery, extracts)`: a `Look`, cheap, of a whole delivery;
- `pieces(content, size)`: spans of a delivery that can be read apart, so that a large one is streamed;
- `read(texts, delivery, extracts)`: a `Reading` for every extract, of many texts in few engine calls.

Not here: any format; types and closed lists of values (`shape`), tokens (`privacy`).
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

Content = bytes | mmap.mmap
"""A delivery's bytes; a large one is mapped, not read."""


class Unreadable(Exception):
    """A delivery cannot be read at all; the message names no content."""


@dataclass(frozen=True)
class Text:
    """The bytes of one file, zip part or piece; `index` is the caller's number for it."""

    index: int
    content: bytes
    first_line: int = 1
    """Number, in the file, of the line that the content begins with."""
    name: str = ""
    """Name of the file, without its folder."""
    extracts: tuple[str, ...] = ()
    """Extracts that the file feeds, the head extract first."""
    stated_at: str | None = None
    """Moment that the delivery's manifest gives for all of it (FHIR bulk `transactionTime`), as sent."""
    is_deletion: bool = False
    """Whether the manifest lists the file as one of deletions (FHIR bulk `deleted`)."""
    found: object = None
    """What the format's `look` found out about this very content, for its `read`."""


@dataclass(frozen=True)
class Piece:
    """A span of a delivery that begins and ends between documents."""

    start: int
    end: int
    first_line: int
    """Line of the file that the span begins with; lines end at CR LF, LF or CR (X12: a line is a segment)."""


@dataclass(frozen=True)
class BadRow:
    """A row or document that does not land: where it stands and why, never what it says."""

    index: int
    line: int
    column: str | None
    value_class: str
    reason: str
    row: int = -1
    """Which of the rows that were read: several may come from one line. -1 for what did not become a row."""


@dataclass
class Reading:
    """Rows of one extract, and what did not become rows.

    `frame`: every read column of the extract as text, null where empty, with `_text` and `_line` (Int64); rows of one
    text in the order of the document. A format that is told of deletions adds `_op`, U or D.
    """

    frame: pl.DataFrame
    bad: list[BadRow] = field(default_factory=list)
    is_head: bool = False
    """Whether each row heads a document with rows of other extracts: those from its line to that of the next head."""


@dataclass(frozen=True)
class Trailer:
    """What a delivery's own trailer states, beside what is there."""

    rows: int | None = None
    """Rows of the head extract as stated; None where the trailer counts something else."""
    total: str | None = None
    """Sum of the head extract's control column as stated."""
    agrees: bool | None = None
    """Whether what the trailer counts (messages of a batch) is what is there; None where `rows` or `total` tell."""


@dataclass(frozen=True)
class Look:
    """What can be said of a delivery before it is read."""

    rows: Mapping[str, int]
    """Rows by extract, as far as can be told without reading; 0 everywhere means that there is nothing in it."""
    refusal: str | None = None
    """Why the delivery must be refused whole."""
    drift: tuple[tuple[str, str], ...] = ()
    """Columns that are not as the contract says: name, and added or missing."""
    trailer: Trailer | None = None
    is_cut: bool = False
    """Whether the last line has no end: a reason to refuse, unless a manifest's hash proves the delivery whole."""
    found: object = None
    """What `read` need not find out again; it comes back as `Text.found`."""
