"""Places of the contract's columns in X12 sets: what `source` says, read once for each extract.

Here: the grammar of `source` (`BEG03`, `REF*CT REF02`, `PO1 pair VC or VN`, `SVC01-3..6`, `PRF01 of the parent order
loop`), how the sets that contracts know are built of loops.
Not here: rows (`x12_rows`), separators (`x12_segments`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from ingest.contract import Extract

# Segments of the envelope, the same for every set.
ENVELOPE = ("ISA", "GS", "ST", "SE", "GE", "IEA")


@dataclass(frozen=True)
class Loops:
    """How a transaction set is built.

    Lines of the detail begin with `opens` and end where the next one begins or with `closes`; what is outside a line is
    heading or summary. Lines take values of `heading` segments, too. A segment of `belongs` makes no sense outside a
    line.
    """

    opens: str
    closes: tuple[str, ...]
    heading: tuple[str, ...] = ()
    belongs: tuple[str, ...] = ()


# X12 004010 850, 855, 856, 810, 832; 004010X091A1 and 005010X221A1 835.
LOOPS: Mapping[str, Loops] = {
    "850": Loops("PO1", ("CTT",)),
    "855": Loops("PO1", ("CTT",), belongs=("ACK",)),
    "856": Loops("HL", ("CTT",)),
    "810": Loops("IT1", ("TDS", "CTT")),
    "832": Loops("LIN", ("CTT",), belongs=("CTP",)),
    "835": Loops("CLP", ("LX", "PLB"), heading=("TRN",), belongs=("SVC", "CAS")),
}

# The segment that a row comes from, where a set is not one row.
_ANCHORS = {
    "PO850_LINE": "PO1",
    "ACK855_LINE": "ACK",
    "ASN856_ITEM": "HL",
    "INV810_LINE": "IT1",
    "INV810_SAC": "SAC",
    "CAT832_LINE": "LIN",
    "REMIT_835_CLAIM": "CLP",
    "REMIT_835_SERVICE": "SVC",
    "REMIT_835_ADJ": "CAS",
    "REMIT_835_PLB": "PLB",
}

# The first qualifier of the pairs of qualifier and item id.
FIRST_PAIR = {"PO1": 6, "IT1": 6, "LIN": 2}

# Elements of type N2: data element 610 amounts, the last two digits are decimals (X12 810 TDS01 to TDS04, SAC05).
IMPLIED_DECIMALS = frozenset({("TDS", 1), ("TDS", 2), ("TDS", 3), ("TDS", 4), ("SAC", 5)})


class LayoutError(Exception):
    """A contract says where a column stands in words that are not understood."""


@dataclass(frozen=True)
class Place:
    """One place of a value: an element of a segment."""

    segment: str
    element: int
    where: tuple[tuple[int, str], ...] = ()
    """Elements of the same segment and what they have to be: `REF*CT`, `N104 qualifier XX`."""
    components: tuple[int, int] | None = None
    """First and last component of a composite: `SVC01-3..6`."""
    pair: str = ""
    """Qualifier of an id among pairs: `PO1 pair IN`."""
    above: tuple[str, ...] = ()
    """HL03 of the loops above the row's that may hold the segment: `of the parent order loop`."""


@dataclass(frozen=True)
class Source:
    """Places of a column: the first that holds something counts, or all of them `joined` by a blank."""

    places: tuple[Place, ...]
    joined: bool = False


@dataclass(frozen=True)
class Layout:
    """What an extract takes from a set."""

    kind: str
    """ST01 of its sets, empty for all sets."""
    anchor: str
    """Segment that a row comes from; ST where a set is a row."""
    sources: Mapping[str, Source] = field(hash=False)
    """By column; a column without a source is a position or the name of the file."""


# Places of a column beside those of its `source`.
_FURTHER = {
    # A service without DTM*472 is dated by the start of its period, or of its claim (835 2110 DTM*150, 2100 DTM*232).
    ("REMIT_835_SERVICE", "SERVICE_DATE"): (Place("DTM", 2, ((1, "150"),)), Place("DTM", 2, ((1, "232"),))),
    # The code of a tax is its type (X12 810 TXI01).
    ("INV810_SAC", "code"): (Place("TXI", 1),),
}


@cache
def layout(extract: Extract) -> Layout:
    """The layout of an extract: by its name and the `source` of its columns.

    Raises:
        LayoutError: a source does not read, or the set is one whose loops are not known.
    """
    kind = re.search(r"\d{3}", extract.name)
    if kind is not None and kind[0] not in LOOPS:
        raise LayoutError(f"{extract.feed}: the loops of {kind[0]} are not known")
    sources = {}
    for column in extract.read_columns:
        if column.source:
            try:
                sources[column.name] = parse_source(column.source)
            except ValueError:
                raise LayoutError(f"{extract.feed}.{column.name}: {column.source} is no place in a set") from None
            further = _FURTHER.get((extract.name, column.name), ())
            sources[column.name] = replace(sources[column.name], places=(*sources[column.name].places, *further))
    return Layout(kind[0] if kind else "", _ANCHORS.get(extract.name, "ST"), sources)


_ELEMENT = re.compile(r"([A-Z][A-Z0-9]{1,2})(\d\d)")
_COMPOSITE = re.compile(rf"{_ELEMENT.pattern}-(\d)(?:\.\.(\d))?")
_QUALIFIED = re.compile(r"([A-Z][A-Z0-9]{1,2})\*(\w+)(?: ([A-Z][A-Z0-9]{1,2})(\d\d)(?: qualifier (\w+))?)?")
_PAIR = re.compile(r"([A-Z][A-Z0-9]{1,2}) pair (\w+)")
_LOOP = re.compile(r" of the (parent )?([a-z ]+) loop$")
_LEVELS = {"order": ("O",), "pack or tare": ("P", "T"), "pack": ("P",), "tare": ("T",), "shipment": ("S",)}


def parse_source(text: str) -> Source:
    """What the `source` of a column says.

    Alternatives are parted by ` or `. Elements of one segment with commas between them are joined (`ISA09, ISA10`) or,
    when `and so on` follows, repeat. Elements of different segments (`SAC05, TXI02`) are those of different rows.

    Raises:
        ValueError: it does not read.
    """
    repeats = text.endswith(" and so on")
    parts = text.removesuffix(" and so on").split(", ")
    if repeats:
        return Source((_place(parts[0], None),))
    if len(parts) > 1:
        places = tuple(_place(part, None) for part in parts)
        return Source(places, joined=len({place.segment for place in places}) == 1)
    found: list[Place] = []
    for part in _alternatives(text):
        found.append(_place(part, found[-1] if found else None))
    # `REF*BM or REF*SI REF02` says the element once, at the end; `DTM*171` means the one behind the qualifier.
    last = found[-1]
    return Source(
        tuple(
            each
            if each.element or each.pair
            else replace(each, element=last.element if last.element and last.segment == each.segment else 2)
            for each in found
        )
    )


def _alternatives(text: str) -> Sequence[str]:
    """`a or b` apart, but not the `or` of `the parent pack or tare loop`."""
    loop = _LOOP.search(text)
    head = text[: loop.start()] if loop else text
    parts = head.split(" or ")
    return [*parts[:-1], parts[-1] + (loop[0] if loop else "")]


def _place(text: str, before: Place | None) -> Place:
    above: tuple[str, ...] = ()
    loop = _LOOP.search(text)
    if loop:
        text = text[: loop.start()]
        if loop[1]:
            if loop[2] not in _LEVELS:
                raise ValueError(text)
            above = _LEVELS[loop[2]]
    if form := _ELEMENT.fullmatch(text):
        return Place(form[1], int(form[2]), above=above)
    if form := _COMPOSITE.fullmatch(text):
        return Place(form[1], int(form[2]), components=(int(form[3]), int(form[4] or form[3])))
    if form := _QUALIFIED.fullmatch(text):
        if form[3] and form[3] != form[1]:
            raise ValueError(text)
        where: tuple[tuple[int, str], ...] = ((1, form[2]),)
        if form[5]:
            where = (*where, (int(form[4]) - 1, form[5]))
        return Place(form[1], int(form[4] or 0), where, above=above)
    if form := _PAIR.fullmatch(text):
        return Place(form[1], 0, pair=form[2])
    if before is not None and before.pair and re.fullmatch(r"\w+", text):
        return replace(before, pair=text)
    if re.fullmatch(r"[A-Z][A-Z0-9]{1,2}", text):
        # The segment itself: `SAC01, TXI`.
        return Place(text, 0)
    raise ValueError(text)


def mandatory(extract: Extract) -> tuple[str, ...]:
    """Segments that a set cannot do without: those of the heading and summary that the contract requires something of.

    Qualified segments are left out: whether one of them may be missing is for the contract's rows to say.
    """
    plan = layout(extract)
    if plan.anchor != "ST" or not plan.kind:
        return ()
    required = [plan.sources[column.name] for column in extract.read_columns if column.required and column.source]
    plain = [source.places[0] for source in required if len(source.places) == 1 and not source.places[0].where]
    return tuple(dict.fromkeys(place.segment for place in plain if place.segment not in ENVELOPE))
