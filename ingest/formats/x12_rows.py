"""Rows of the X12 extracts from the segments of sets that hold together.

Here: lines and their loops, the tree of HL, pairs, composites, repeated groups (CAS, PLB), positions, implied decimals,
dates of six digits.
Not here: what a contract's `source` means (`x12_layouts`), which sets may be read (`x12_envelope`).

Rows are chosen by numbers of segments and stay views into the delivered bytes until their frame is made. What no column
asks for (names, addresses, NM1) is never decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ingest.coded import spread
from ingest.contract import Extract
from ingest.formats.reading import BadRow, Reading
from ingest.formats.x12_envelope import Refusal, Sets
from ingest.formats.x12_layouts import (
    ENVELOPE,
    FIRST_PAIR,
    IMPLIED_DECIMALS,
    LOOPS,
    Layout,
    Loops,
    Place,
    Source,
    layout,
)
from ingest.formats.x12_segments import Picked, Segments, code

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ingest.formats.x12_segments import Flags, Ints, Views

# A year of two digits from here on is of the last century (POSIX strptime).
_CENTURY_FROM = 70
_MOST_TRIPLETS, _MOST_PLB_PAIRS = 6, 6


class Kind:
    """The sets of one kind, all their segments numbered on from 0, and the lines of their detail.

    Without a kind: sets of all kinds, of which the ST is enough.
    """

    def __init__(self, segments: Segments, sets: Sets, kind: str) -> None:
        """Number the segments of the sets."""
        import numpy as np

        self.segments = segments
        self.sets = sets
        self.loops = LOOPS.get(kind, Loops("", ()))
        lengths = sets.se - sets.st + 1 if kind else np.ones(sets.size, np.int64)
        self.st = np.cumsum(lengths) - lengths
        self.set_of = np.repeat(np.arange(sets.size, dtype=np.int64), lengths)
        self.number = np.arange(len(self.set_of), dtype=np.int64) + np.repeat(sets.st - self.st, lengths)
        self.codes = segments.codes[self.number]
        is_open = self.codes == code(self.loops.opens)
        self.lines = np.flatnonzero(is_open)
        is_edge = is_open.copy()
        for name in (*self.loops.closes, "ST", "SE"):
            is_edge |= self.codes == code(name)
        # The line that a segment stands in, by the last edge at or before it; -1 in heading and summary.
        edges = np.flatnonzero(is_edge)
        line_of_edge = np.where(is_open[edges], np.cumsum(is_open[edges]) - 1, -1)
        self.line_of = np.repeat(line_of_edge, np.diff(np.append(edges, len(self.codes))))
        self.kind = kind
        # Several columns and extracts ask for the same segments, qualifiers and values of the heading.
        self._at: dict[str, Ints] = {}
        self._picked: dict[str, Picked] = {}
        self._short: dict[tuple[str, int], NDArray[np.uint32]] = {}
        self._of_sets: dict[Place, Views] = {}

    def at(self, name: str) -> Ints:
        """Segments of one id."""
        import numpy as np

        if name not in self._at:
            self._at[name] = np.flatnonzero(self.codes == code(name))
        return self._at[name]

    def picked(self, name: str) -> Picked:
        """Segments of one id, for their elements."""
        if name not in self._picked:
            self._picked[name] = self.segments.pick(self.number[self.at(name)])
        return self._picked[name]

    def short(self, name: str, element: int) -> NDArray[np.uint32]:
        """An element of up to three characters of all segments of one id, as a number."""
        if (name, element) not in self._short:
            self._short[name, element] = self.segments.short(self.picked(name), element)
        return self._short[name, element]

    def values(self, at: Ints, element: int) -> Views:
        """An element of some segments; nothing where the number is -1."""
        import numpy as np

        if not len(at) or at.min() >= 0:
            return self.segments.values(self.segments.pick(self.number[at]), element)
        there = np.flatnonzero(at >= 0)
        views = np.zeros((len(at), 2), np.uint64)
        views[there] = self.segments.values(self.segments.pick(self.number[at[there]]), element)
        return views

    def values_of_sets(self, place: Place) -> Views:
        """The value of a place of the envelope, heading or summary for each set."""
        import numpy as np

        if place not in self._of_sets:
            if place.segment in ("ST", "SE"):
                rows = getattr(self.sets, place.segment.lower())
                self._of_sets[place] = self.segments.values(self.segments.pick(rows), place.element)
            elif place.segment in ENVELOPE:
                # The same segment stands around many sets.
                rows = getattr(self.sets, place.segment.lower())
                starts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1])) if len(rows) else rows
                each = self.segments.values(self.segments.pick(rows[starts]), place.element)
                self._of_sets[place] = each.repeat(np.diff(np.append(starts, len(rows))), axis=0)
            else:
                self._of_sets[place] = self.values(self.of_sets(place), place.element)
        return self._of_sets[place]

    def chosen(self, place: Place) -> Ints:
        """Segments of a place that have the qualifiers it asks for."""
        at = self.at(place.segment)
        if not place.where:
            return at
        is_it = self.short(place.segment, place.where[0][0]) == code(place.where[0][1])
        for element, word in place.where[1:]:
            is_it &= self.short(place.segment, element) == code(word)
        return at[is_it]

    @cached_property
    def is_of_shipment(self) -> Flags:
        """Whether a line is a shipment loop of an 856: it counts with the heading."""
        import numpy as np

        if self.kind != "856":
            return np.zeros(len(self.lines), bool)
        return self.short(self.loops.opens, 3) == code("S")

    def is_heading(self, at: Ints) -> Flags:
        """Whether segments stand outside the lines."""
        import numpy as np

        line = self.line_of[at]
        is_heading = line < 0
        if self.kind == "856" and len(self.lines):
            is_heading |= np.where(line >= 0, self.is_of_shipment[np.maximum(line, 0)], False)
        return is_heading

    def of_sets(self, place: Place) -> Ints:
        """The first segment of a place in the heading or summary of each set, -1 where there is none."""
        at = self.chosen(place)
        at = at[self.is_heading(at)]
        return first_of(self.set_of[at], at, self.sets.size)

    @cached_property
    def tree(self) -> tuple[Ints, NDArray[np.uint32], Flags]:
        """Of the HL segments: the line above (-1 none), the level, and whether the place in the tree is broken."""
        import numpy as np
        import polars as pl

        at = self.number[self.lines]
        own = self.segments.column("own", self.segments.values(self.picked("HL"), 1))
        above = self.segments.column("above", self.segments.values(self.picked("HL"), 2))
        frame = pl.DataFrame({"set": self.set_of[self.lines], "line": np.arange(len(at)), "own": own, "above": above})
        is_again = frame.select(~pl.struct("set", "own").is_first_distinct() | pl.col("own").is_null()).to_series()
        joined = frame.join(
            frame.unique(["set", "own"], keep="first").select("set", above="own", parent="line"),
            on=["set", "above"],
            how="left",
            maintain_order="left",
        )
        parent = joined["parent"].fill_null(-1).to_numpy()
        is_broken = (above.is_not_null().to_numpy() & ((parent < 0) | (parent >= np.arange(len(at))))) | (
            is_again.to_numpy()
        )
        return parent, self.short("HL", 3), is_broken

    def refusals(self, must_have: Sequence[str]) -> dict[int, str]:
        """Sets whose segments do not fit together, and why."""
        import numpy as np

        reasons: dict[int, str] = {}
        for name in must_have:
            found = np.bincount(self.set_of[self.at(name)], minlength=self.sets.size)
            for each in np.flatnonzero(found == 0):
                reasons.setdefault(int(each), f"the set has no {name} (AK5 5)")
        for name in self.loops.belongs:
            at = self.at(name)
            for each in self.set_of[at[self.line_of[at] < 0]]:
                reasons.setdefault(int(each), f"{name} stands outside a loop of {self.loops.opens} (AK5 5)")
        if self.kind == "856" and len(self.lines):
            for each in self.set_of[self.lines[self.tree[2]]]:
                reasons.setdefault(int(each), "HL01 and HL02 make no tree (AK5 5)")
        return reasons


def first_of(owner: Ints, at: Ints, size: int) -> Ints:
    """The first of some numbers for each owner, -1 for an owner without one."""
    import numpy as np

    first = np.full(size, -1, np.int64)
    first[owner[::-1]] = at[::-1]
    return first


def position_in(group: Ints) -> Ints:
    """Position from 1 on in runs of equal numbers."""
    import numpy as np

    number = np.arange(len(group), dtype=np.int64)
    if not len(group):
        return number
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    return number - np.repeat(starts, np.diff(np.append(starts, len(group)))) + 1


class Rows:
    """Rows of one extract: the segment that each comes from, and its columns."""

    def __init__(
        self, kind: Kind, extract: Extract, names: Sequence[str], codings: Mapping[str, pl.Categorical]
    ) -> None:
        """Choose the rows; `names` has the name of each text, `codings` the type of each column that is coded."""
        import numpy as np

        self.kind = kind
        self.extract = extract
        self.codings = codings
        self.layout: Layout = layout(extract)
        self.names = names
        self.bad: list[BadRow] = []
        self.step: Ints | None = None
        self.positions: dict[str, Ints] = {}
        anchor = self.layout.anchor
        match anchor:
            case "ST":
                self.at = kind.st
            case "HL":
                self.at = kind.lines[kind.tree[1] == code("I")] if len(kind.lines) else kind.lines
            case "SAC":
                self.at = np.flatnonzero((kind.codes == code("SAC")) | (kind.codes == code("TXI")))
            case "CAS":
                self._repeat(kind.at("CAS"), 2, 3, _MOST_TRIPLETS, 2)
            case "PLB":
                self._repeat(kind.at("PLB"), 3, 2, _MOST_PLB_PAIRS, 2)
            case _:
                self.at = kind.at(anchor)
        self.set = kind.set_of[self.at]
        self.line = kind.line_of[self.at]
        self._count()

    @cached_property
    def _picked(self) -> Picked:
        return self.kind.segments.pick(self.kind.number[self.at])

    @cached_property
    def _stepped(self) -> Picked:
        """The segments as if each began with the row's group of elements."""
        picked, step = self._picked, self.step
        assert step is not None
        sizes = picked.sizes - step
        return Picked(picked.opens + step, sizes, int(sizes.min(initial=0)), int(sizes.max(initial=0)))

    def _repeat(self, at: Ints, first: int, step: int, most: int, width: int) -> None:
        """A row for each group of elements of a segment that holds something; `step` elements from group to group."""
        import numpy as np

        picked = self.kind.segments.pick(self.kind.number[at])
        filled = np.zeros((len(at), most), bool)
        for group in range(most):
            for element in range(first + group * step, first + group * step + width):
                start, end = self.kind.segments.spans(picked, element)
                filled[:, group] |= end > start
        row, group_of = np.nonzero(filled)
        self.at = at[row]
        self.step = group_of * step

    def _count(self) -> None:
        """Positions that are columns of the extract."""
        import numpy as np

        kind = self.kind
        line_in_set = position_in(kind.set_of[kind.lines])
        if kind.kind == "835":
            claim = np.append(line_in_set, 0)[self.line]
            loop = np.cumsum((kind.codes == code("CLP")) | (kind.codes == code("SVC")))[self.at]
            service = kind.at("SVC")
            service_in_claim = position_in(kind.line_of[service])
            last = np.searchsorted(service, self.at, "right") - 1
            is_service = (last >= 0) & (kind.line_of[np.append(service, 0)[last]] == self.line)
            self.positions["CLP_SEQ"] = claim
            self.positions["SVC_SEQ"] = np.where(is_service, np.append(service_in_claim, 0)[last], 0)
            self.positions["ADJ_SEQ"] = position_in(loop)
            self.positions["PLB_SEQ"] = position_in(self.set)
            return
        line_seq = np.where(self.line >= 0, np.append(line_in_set, 0)[self.line], 0)
        self.positions["line_seq"] = line_seq
        self.positions["ack_seq"] = position_in(self.line)
        if "sac_seq" in self.extract.columns:
            key = self.set * (len(kind.lines) + 1) + line_seq
            order = np.argsort(key, kind="stable")
            position = np.empty_like(key)
            position[order] = position_in(key[order])
            self.positions["sac_seq"] = position

    def reading(self) -> Reading:
        """Every column of the extract as text, `_text` and `_line`."""
        import polars as pl

        kind = self.kind
        number = kind.number[self.at]
        refused = pl.repeat(False, len(self.at), eager=True)
        columns: list[pl.Series] = []
        for column in self.extract.read_columns:
            source = self.layout.sources.get(column.name)
            if source is None:
                columns.append(self._unsourced(column.name))
                continue
            is_of_sets = column.name in self.codings
            value = self._value_of_sets(column.name, source) if is_of_sets else self._value(column.name, source)
            if column.type.name == "date" and column.type.layout == "yyyyMMdd":
                value = _with_century(value)
            if is_of_sets:
                value = spread(value, pl.Series(self.set), self.codings[column.name])
            if any((place.segment, place.element) in IMPLIED_DECIMALS for place in source.places):
                value, is_wrong = self._with_point(value, source)
                for at in is_wrong.arg_true():
                    self._refuse(
                        int(number[at]), column.name, "number", "no whole number where two decimals are implied"
                    )
                refused |= is_wrong
            columns.append(value)
        columns.append(pl.Series("_text", kind.segments.text[kind.segments.chunks[number]]))
        columns.append(pl.Series("_line", kind.segments.lines[number]))
        frame = pl.DataFrame(columns)
        if refused.any():
            frame = frame.filter(~refused)
        if self.layout.anchor == "LIN":
            self._refuse_further_prices()
        return Reading(frame, self.bad)

    def _refuse(self, segment: int, column: str | None, kind: str, reason: str) -> None:
        segments = self.kind.segments
        text = int(segments.text[segments.chunks[segment]])
        self.bad.append(BadRow(text, int(segments.lines[segment]), column, kind, reason))

    def _refuse_further_prices(self) -> None:
        """A line of a catalog has one price in its layout: further CTP of it are refused where they stand."""
        import numpy as np

        kind = self.kind
        price = kind.at("CTP")
        for at in price[np.flatnonzero(position_in(kind.line_of[price]) > 1)]:
            self._refuse(int(kind.number[at]), None, "segment", "a further CTP of its line")

    def _unsourced(self, name: str) -> pl.Series:
        import polars as pl

        if name in self.positions:
            positions = self.positions[name]
            numbers = pl.Series(name, range(int(positions.max(initial=0)) + 1)).cast(pl.String)
            return spread(numbers, pl.Series(positions), self.codings[name])
        column = self.extract.columns[name]
        if column.from_path == "file" or name == "file_name":
            segments = self.kind.segments
            place = segments.place[segments.chunks[self.kind.number[self.at]]]
            files = pl.Series(name, [each or None for each in self.names], dtype=pl.String)
            return spread(files, pl.Series(place), self.codings[name])
        return pl.Series(name, [None] * len(self.at), dtype=pl.String)

    def _value_of_sets(self, name: str, source: Source) -> pl.Series:
        """The value that all rows of a set share, for each set."""
        import numpy as np

        views = self.kind.values_of_sets(source.places[0])
        for place in source.places[1:]:
            views = np.where(views[:, :1] == 0, self.kind.values_of_sets(place), views)
        return self.kind.segments.column(name, views)

    def _value(self, name: str, source: Source) -> pl.Series:
        import numpy as np
        import polars as pl

        column = self.kind.segments.column
        if source.joined:
            parts = [column(f"{at}", self._views(place)) for at, place in enumerate(source.places)]
            return pl.DataFrame(parts).select(pl.concat_str(pl.all(), separator=" ")).to_series().rename(name)
        if source.places[0].components is not None:
            return self._components(name, source.places[0])
        views = self._views(source.places[0])
        for place in source.places[1:]:
            is_empty = np.flatnonzero(views[:, 0] == 0)
            if len(is_empty):
                views[is_empty] = self._views(place)[is_empty]
        value = column(name, views)
        if any(not place.element and not place.pair for place in source.places):
            # `SAC01, TXI`: a TXI segment is a tax, whatever it says.
            is_tax = pl.Series(self.kind.codes[self.at] == code("TXI"))
            value = pl.repeat("T", len(value), eager=True).zip_with(is_tax, value).rename(name)
        return value

    def _views(self, place: Place) -> Views:
        """The value of a place for each row."""
        kind, anchor = self.kind, self.layout.anchor
        if place.segment in ENVELOPE:
            return self._of_rows(kind.values_of_sets(place))
        if place.pair:
            return self._pair(place)
        if place.segment == anchor:
            return self._own(place)
        if anchor == "SAC" and place.segment == "TXI":
            views = kind.values(self.at, place.element)
            views[kind.codes[self.at] != code("TXI")] = 0
            return views
        if anchor == "ST" or place.segment in kind.loops.heading:
            return self._of_rows(kind.values_of_sets(place))
        if place.segment == kind.loops.opens:
            return kind.segments.values(kind.picked(place.segment), place.element).take(self.line, axis=0)
        if place.above:
            return kind.values(self._above(place), place.element)
        at = kind.chosen(place)
        if anchor == "SVC":
            return kind.values(self._of_services(place, at), place.element)
        at = at[kind.line_of[at] >= 0]
        return kind.values(first_of(kind.line_of[at], at, len(kind.lines))[self.line], place.element)

    def _of_rows(self, of_sets: Views) -> Views:
        """Values of sets for the rows of the sets; a copy, which may be changed."""
        return of_sets.copy() if self.layout.anchor == "ST" else of_sets.take(self.set, axis=0)

    def _own(self, place: Place) -> Views:
        """An element of the segment that the row comes from."""
        kind = self.kind
        if self.step is None:
            views = kind.segments.values(self._picked, place.element)
            if self.layout.anchor == "SAC":
                views[kind.codes[self.at] != code("SAC")] = 0
            return views
        # The first elements of a segment are those of all its groups.
        is_shared = place.element <= (1 if self.layout.anchor == "CAS" else 2)
        picked = self._picked if is_shared else self._stepped
        return kind.segments.values(picked, place.element)

    def _pair(self, place: Place) -> Views:
        """The id behind a qualifier, wherever the pair stands."""
        import numpy as np

        kind = self.kind
        at = kind.at(place.segment)
        picked = kind.picked(place.segment)
        views = np.zeros((len(at), 2), np.uint64)
        for element in range(FIRST_PAIR[place.segment], picked.longest, 2):
            is_it = np.flatnonzero(kind.short(place.segment, element) == code(place.pair))
            is_it = is_it[views[is_it, 0] == 0]
            if len(is_it):
                views[is_it] = kind.values(at[is_it], element + 1)
        if place.segment == self.layout.anchor:
            return views
        if place.segment == kind.loops.opens:
            return views.take(self.line, axis=0)
        # The first such segment of the line.
        inside = np.flatnonzero(kind.line_of[at] >= 0)
        which = first_of(kind.line_of[at[inside]], inside, len(kind.lines))[self.line]
        return np.concatenate((views, np.zeros((1, 2), np.uint64))).take(which, axis=0)

    def _above(self, place: Place) -> Ints:
        """The segment of the nearest loop above that is of a level asked for and has one."""
        import numpy as np

        kind = self.kind
        parent, level, _ = kind.tree
        at = kind.chosen(place)
        at = at[kind.line_of[at] >= 0]
        of_line = first_of(kind.line_of[at], at, len(kind.lines))
        # A parent stands before its child. Lines that hold nothing pass on what is above them, ever further up.
        nearest = np.where(np.isin(level, [code(word) for word in place.above]), of_line, -1)
        up = parent.copy()
        while len(below := np.flatnonzero((nearest < 0) & (up >= 0))):
            above = up[below]
            nearest[below] = nearest[above]
            up[below] = up[above]
        return np.append(nearest, -1)[parent[self.line]] if len(self.line) else self.line

    def _of_services(self, place: Place, at: Ints) -> Ints:
        """The first of some segments in each service; of DTM*232 the first in its claim, before the services."""
        import numpy as np

        kind = self.kind
        service = kind.at("SVC")
        last = np.searchsorted(service, at, "right") - 1
        line = kind.line_of[at]
        is_inside = (last >= 0) & (line >= 0)
        is_inside &= kind.line_of[np.append(service, 0)[last]] == line
        if place.where == ((1, "232"),):
            of_claim = at[~is_inside & (line >= 0)]
            return first_of(kind.line_of[of_claim], of_claim, len(kind.lines))[self.line]
        return first_of(last[is_inside], at[is_inside], len(service))

    def _components(self, name: str, place: Place) -> pl.Series:
        """Components of a composite; several are parted by commas, empty ones are left out."""
        import numpy as np
        import polars as pl

        kind = self.kind
        value = kind.segments.column(name, self._own(place))
        separator = kind.segments.component[kind.segments.chunks[kind.number[self.at]]]
        assert place.components is not None
        first, last = place.components
        out: pl.Series | None = None
        for byte in np.unique(separator):
            mark = bytes([byte]).decode("latin-1")
            parts = value.str.split_exact(mark, last).struct
            wanted = [parts.field(f"field_{part - 1}").replace("", None) for part in range(first, last + 1)]
            joined = (
                pl.DataFrame([each.rename(f"{at}") for at, each in enumerate(wanted)])
                .select(pl.concat_str(pl.all(), separator=",", ignore_nulls=True).replace("", None))
                .to_series()
                if len(wanted) > 1
                else wanted[0]
            )
            is_own = pl.Series(separator == byte)
            out = joined if out is None else joined.zip_with(is_own, out)
        return (pl.Series(name, [], dtype=pl.String) if out is None else out).rename(name)

    def _with_point(self, value: pl.Series, source: Source) -> tuple[pl.Series, pl.Series]:
        """Digits with the two decimals that the type N2 implies, and where there are no digits to take them from."""
        import polars as pl

        implied = [place.segment for place in source.places if (place.segment, place.element) in IMPLIED_DECIMALS]
        here = pl.lit(True)
        if len(implied) < len(source.places):
            here = pl.lit(pl.Series(self.kind.codes[self.at] == code(implied[0])))
        text = pl.col(value.name)
        digits = text.str.strip_prefix("-").str.strip_prefix("+").str.zfill(3)
        pointed = pl.concat_str(
            pl.when(text.str.starts_with("-")).then(pl.lit("-")).otherwise(pl.lit("")),
            digits.str.head(-2),
            pl.lit("."),
            digits.str.tail(2),
        )
        frame = pl.DataFrame([value]).select(
            value=pl.when(here & text.is_not_null()).then(pointed).otherwise(text),
            is_wrong=(here & ~text.str.contains(r"^[+-]?\d+$")).fill_null(False),
        )
        return frame["value"].rename(value.name), frame["is_wrong"]


def coded_columns(extract: Extract) -> list[str]:
    """Columns that say the same in many rows: what stands once for a set or interchange, positions, names of files."""
    sources = layout(extract).sources
    return [
        column.name
        for column in extract.read_columns
        if column.name not in sources or _is_of_sets(sources[column.name], layout(extract))
    ]


def _is_of_sets(source: Source, of: Layout) -> bool:
    """Whether the rows of a set share the value; where each set is a row, those of a group."""
    shared = ["ISA", "GS", "GE", "IEA"]
    if of.anchor != "ST":
        shared += ["ST", "SE", *LOOPS.get(of.kind, Loops("", ())).heading]
    return not source.joined and all(
        place.segment in shared and place.components is None and not place.pair for place in source.places
    )


def _with_century(value: pl.Series) -> pl.Series:
    """Dates of six digits, as 004010 allows them in places, with their century."""
    import polars as pl

    if not (value.str.len_bytes() == 6).any():
        return value
    text = pl.col(value.name)
    is_short = text.str.contains(r"^\d{6}$")
    is_old = text.str.head(2).cast(pl.Int64, strict=False) >= _CENTURY_FROM
    century = pl.when(is_old).then(pl.lit("19")).otherwise(pl.lit("20"))
    dated = pl.when(is_short).then(pl.concat_str(century, text)).otherwise(text)
    return pl.DataFrame([value]).select(dated.alias(value.name)).to_series()


def refused_sets(kind: Kind, must_have: Sequence[str]) -> tuple[Flags, list[Refusal]]:
    """Sets whose segments fit together, and the refusals of the others."""
    import numpy as np

    reasons = kind.refusals(must_have)
    is_good = np.ones(kind.sets.size, bool)
    is_good[list(reasons)] = False
    return is_good, [Refusal(int(kind.sets.st[each]), "set", reason) for each, reason in sorted(reasons.items())]
