"""Whether interchanges, groups and sets hold together, and which sets may be read.

Here: the order of ISA, GS, ST, SE, GE and IEA, control numbers and counts (X12.5 and X12.6), refusals with the code
that an acknowledgement would give (TA1 note code, AK9 and AK5 error codes of the 997).
Not here: separators (`x12_segments`), the segments inside a set (`x12_layouts`).

A set whose SE fails is refused alone. An interchange whose ISA, GE or IEA fails is refused whole: its counts and
numbers can no longer tell what belongs to it. What stands between interchanges is refused where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ingest.formats.reading import BadRow
from ingest.formats.x12_segments import Segments, code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingest.formats.x12_segments import Flags, Ints

_DATE = r"^\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
_TIME = r"^([01]\d|2[0-3])[0-5]\d$"
_CONTROL = ("ISA", "TA1", "GS", "ST", "SE", "GE", "IEA")
_ISA, _TA1, _GS, _ST, _SE, _GE, _IEA = range(1, 8)

# What may follow what: the reason why an interchange is refused when it does not, "" for a set that is refused alone.
_NO_SE = ""
_NO_GE = "a group has no GE (AK9 3)"
_NO_GROUP = "a set stands outside a group (TA1 024)"
_DISORDER = "segments stand outside a set (TA1 022)"
_NO_IEA = "the interchange has no IEA (TA1 023)"
_FOLLOWS: dict[tuple[int, int], str | None] = {
    **{(before, after): _DISORDER for before in range(1, 8) for after in range(1, 8)},
    **{(before, _ST): _NO_GROUP for before in (_ISA, _TA1, _GE)},
    **{(before, after): _NO_GE for before in (_GS, _ST, _SE) for after in (_GS, _IEA)},
    **{(_ST, after): _NO_SE for after in (_ST, _GE)},
    **dict.fromkeys(((_ISA, _TA1), (_ISA, _GS), (_ISA, _IEA), (_TA1, _TA1), (_TA1, _GS), (_TA1, _IEA))),
    **dict.fromkeys(((_GS, _ST), (_GS, _GE), (_ST, _SE), (_SE, _ST), (_SE, _GE), (_GE, _GS), (_GE, _IEA))),
}


@dataclass(frozen=True, eq=False)
class Sets:
    """Transaction sets that hold together, in their order, by the segments of their envelope."""

    st: Ints
    se: Ints
    gs: Ints
    ge: Ints
    isa: Ints
    iea: Ints

    @property
    def size(self) -> int:
        """Number of sets."""
        return len(self.st)

    def where(self, chosen: Flags) -> Sets:
        """Some of the sets."""
        return Sets(*(each[chosen] for each in (self.st, self.se, self.gs, self.ge, self.isa, self.iea)))


@dataclass(frozen=True)
class Refusal:
    """A set, or what stands for one, that is refused: its first segment and why."""

    segment: int
    kind: str
    reason: str

    def bad_row(self, segments: Segments) -> BadRow:
        """The same with its place in the delivery."""
        return BadRow(
            int(segments.text[segments.chunks[self.segment]]),
            int(segments.lines[self.segment]),
            None,
            self.kind,
            self.reason,
        )


def sets_of(segments: Segments) -> tuple[Sets, list[Refusal]]:
    """Sets that hold together, and the refusals: one for each set refused or in a refused interchange, at least one."""
    import numpy as np

    kinds = np.zeros(segments.size, np.int8)
    for position, name in enumerate(_CONTROL, start=1):
        kinds[segments.codes == code(name)] = position
    control = np.flatnonzero(kinds)
    end = _ends(segments, control, kinds)
    reasons = _reasons(segments, control, kinds, end)
    refusals: list[Refusal] = []
    for outside in np.flatnonzero(end < segments.first[1:]):
        start, stop = int(end[outside]), int(segments.first[outside + 1])
        refusals += _refused(segments, kinds, start, stop, _unread(segments, start))
    for chunk, reason in sorted(reasons.items()):
        refusals += _refused(segments, kinds, int(segments.first[chunk]), int(end[chunk]), reason)
    sets, alone = _paired(segments, control, kinds, end, reasons)
    refusals += alone
    return sets, refusals


def _ends(segments: Segments, control: Ints, kinds: NDArray[np.int8]) -> Ints:
    """Where each chunk's interchange ends: behind its first IEA, or with the chunk where there is none."""
    trailers = control[kinds[control] == _IEA]
    end = segments.first[1:].copy()
    owner = segments.chunks[trailers]
    end[owner[::-1]] = trailers[::-1] + 1
    return end


def _unread(segments: Segments, segment: int) -> str:
    """Why text that begins with this segment, outside of any interchange that reads, is refused."""
    if segments.codes[segment] == code("ISA"):
        return "an ISA that does not read (TA1 022)"
    return "text outside an interchange (TA1 022)"


def _refused(segments: Segments, kinds: NDArray[np.int8], start: int, end: int, reason: str) -> list[Refusal]:
    """A refusal for each set of a span that is refused whole, or for the span."""
    import numpy as np

    sets = start + np.flatnonzero(kinds[start:end] == _ST)
    return [Refusal(int(each), "interchange", reason) for each in (sets if len(sets) else [start])]


def _reasons(segments: Segments, control: Ints, kinds: NDArray[np.int8], end: Ints) -> dict[int, str]:
    """Why interchanges are refused whole, by chunk; the first reason that was found."""
    import numpy as np

    reasons: dict[int, str] = {}
    for chunk in np.flatnonzero(segments.component < 0):
        reasons[int(chunk)] = _unread(segments, int(segments.first[chunk]))
    for chunk in np.flatnonzero(kinds[end - 1] != _IEA):
        reasons.setdefault(int(chunk), _NO_IEA)
    live = control[control < end[segments.chunks[control]]]
    _judge_order(segments, live, kinds, reasons)
    _judge_headers(segments, end, reasons)
    _judge_counts(segments, live, kinds, end, reasons)
    return reasons


def _judge_order(segments: Segments, live: Ints, kinds: NDArray[np.int8], reasons: dict[int, str]) -> None:
    """Control segments follow each other as they may, and nothing else stands outside a set."""
    import numpy as np

    before, after = kinds[live[:-1]], kinds[live[1:]]
    chunk = segments.chunks[live[1:]]
    same = segments.chunks[live[:-1]] == chunk
    is_loose = (np.diff(live) > 1) & (before != _ST)
    is_wrong = same & (is_loose | _is_wrong()[before, after])
    for at in np.flatnonzero(is_wrong):
        reason = _FOLLOWS[int(before[at]), int(after[at])]
        reasons.setdefault(int(chunk[at]), reason or _DISORDER)
    foreign = np.flatnonzero(segments.is_foreign)
    if len(foreign) and len(live):
        # Inside a set it is the set's own trouble; behind the last control segment it is refused with what it is in.
        owner = np.searchsorted(live, foreign, "right") - 1
        last = live[owner]
        is_inside = (segments.chunks[last] == segments.chunks[foreign]) & (owner >= 0)
        is_of_set = (kinds[last] == _ST) | ((kinds[last] == _SE) & (last == foreign))
        is_behind = kinds[last] == _IEA
        for chunk_at in segments.chunks[foreign[is_inside & ~is_of_set & (~is_behind | (last == foreign))]]:
            reasons.setdefault(int(chunk_at), "a byte outside the character set (TA1 022)")


@cache
def _is_wrong() -> NDArray[np.bool_]:
    """By kind before and after: whether an interchange with this order is refused whole."""
    import numpy as np

    table = np.zeros((8, 8), bool)
    for (before, after), reason in _FOLLOWS.items():
        table[before, after] = bool(reason)
    return table


def _judge_headers(segments: Segments, end: Ints, reasons: dict[int, str]) -> None:
    """Elements of the ISA that have to be there, and ISA13 against IEA02."""
    import polars as pl

    isa = segments.first[:-1]
    iea = end - 1

    def text(name: str, rows: Ints, element: int) -> pl.Series:
        return segments.column(name, segments.values(segments.pick(rows), element))

    header = pl.DataFrame([text(f"ISA{element:02d}", isa, element) for element in (6, 9, 10, 13, 15)])
    header = header.with_columns(text("IEA02", iea, 2))
    isa13, iea02 = (pl.col(name).str.strip_chars_start("0") for name in ("ISA13", "IEA02"))
    broken = header.fill_null("").select(
        (pl.col("ISA06") == "").alias("ISA06 is empty (TA1 006)"),
        (~pl.col("ISA09").str.contains(_DATE)).alias("ISA09 is no date (TA1 014)"),
        (~pl.col("ISA10").str.contains(_TIME)).alias("ISA10 is no time (TA1 015)"),
        (~pl.col("ISA13").str.contains(r"^\d+$")).alias("ISA13 is no number (TA1 018)"),
        (~pl.col("ISA15").is_in(["P", "T"])).alias("ISA15 is neither P nor T (TA1 020)"),
        (isa13 != iea02).alias("IEA02 is not ISA13 (TA1 001)"),
    )
    for is_broken in broken:
        for chunk in is_broken.arg_true():
            reasons.setdefault(int(chunk), is_broken.name)


def _judge_counts(segments: Segments, live: Ints, kinds: NDArray[np.int8], end: Ints, reasons: dict[int, str]) -> None:
    """IEA01 against groups, GE01 against sets, GE02 against GS06."""
    import numpy as np

    kind, chunk = kinds[live], segments.chunks[live]
    groups = np.bincount(chunk[kind == _GS], minlength=len(end))
    stated = numbers(segments, end - 1, 1)
    for at in np.flatnonzero(stated != groups):
        told = f"IEA01 states {stated[at]} groups, {groups[at]} counted" if stated[at] >= 0 else "IEA01 is no number"
        reasons.setdefault(int(at), f"{told} (TA1 021)")
    sound = ~np.isin(chunk, list(reasons))
    gs, ge = live[sound & (kind == _GS)], live[sound & (kind == _GE)]
    if not len(gs):
        return
    sets = live[sound & (kind == _ST)]
    counted = np.bincount(np.searchsorted(gs, sets, "right") - 1, minlength=len(gs))
    stated = numbers(segments, ge, 1)
    for at in np.flatnonzero(stated != counted):
        told = f"GE01 states {stated[at]} sets, {counted[at]} counted" if stated[at] >= 0 else "GE01 is no number"
        reasons.setdefault(int(segments.chunks[gs[at]]), f"{told} (AK9 5)")
    control = segments.column("", segments.values(segments.pick(gs), 6)).str.strip_chars_start("0")
    again = segments.column("", segments.values(segments.pick(ge), 2)).str.strip_chars_start("0")
    for at in (control.is_null() | (control.ne_missing(again))).arg_true():
        reason = "GS06 is empty (AK9 6)" if control[at] is None else "GE02 is not GS06 (AK9 4)"
        reasons.setdefault(int(segments.chunks[gs[at]]), reason)


def numbers(segments: Segments, rows: Ints, element: int) -> Ints:
    """An element as a whole number, -1 where it is none."""
    import polars as pl

    text = segments.column("", segments.values(segments.pick(rows), element))
    return text.cast(pl.Int64, strict=False).fill_null(-1).to_numpy()


def _paired(
    segments: Segments, control: Ints, kinds: NDArray[np.int8], end: Ints, reasons: dict[int, str]
) -> tuple[Sets, list[Refusal]]:
    """Sets of the sound interchanges with their envelope, and those whose SE fails."""
    import numpy as np
    import polars as pl

    chunk = segments.chunks[control]
    live = control[(control < end[chunk]) & ~np.isin(chunk, list(reasons))]
    kind = kinds[live]
    at = np.flatnonzero(kind == _ST)
    st = live[at]
    # A sound interchange ends with its IEA: something always follows an ST.
    following = live[at + 1]
    gs, ge = live[kind == _GS], live[kind == _GE]
    group = np.searchsorted(gs, st, "right") - 1
    owner = segments.chunks[st]
    sets = Sets(st, following, gs[group], ge[group], segments.first[:-1][owner], end[owner] - 1)
    has_se = kinds[following] == _SE
    stated = numbers(segments, following, 1)
    counted = following - st + 1
    number = segments.column("", segments.values(segments.pick(st), 2))
    again = segments.column("", segments.values(segments.pick(following), 2))
    differs = number.ne_missing(again).to_numpy()
    is_foreign = np.zeros(len(st), bool)
    if segments.is_foreign.any():
        before = np.append(0, np.cumsum(segments.is_foreign))
        is_foreign = before[following + 1] != before[st]
    is_bad = ~has_se | (stated != counted) | differs | is_foreign | number.is_null().to_numpy()
    identity = pl.DataFrame(
        {"isa": sets.isa, "gs06": segments.column("", segments.values(segments.pick(sets.gs), 6)), "st02": number}
    )
    is_again = identity.filter(~is_bad).select(~pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    is_bad[np.flatnonzero(~is_bad)[is_again]] = True
    refusals = []
    for each in np.flatnonzero(is_bad):
        if not has_se[each]:
            reason = "the set has no SE (AK5 2)"
        elif number[int(each)] is None:
            reason = "ST02 is empty (AK5 7)"
        elif differs[each]:
            reason = "SE02 is not ST02 (AK5 3)"
        elif stated[each] < 0:
            reason = "SE01 is no number (AK5 4)"
        elif stated[each] != counted[each]:
            reason = f"SE01 states {stated[each]} segments, {counted[each]} counted (AK5 4)"
        elif is_foreign[each]:
            reason = "a byte outside the character set (AK5 5)"
        else:
            reason = "ST02 stands twice in its group (AK5 23)"
        refusals.append(Refusal(int(st[each]), "set", reason))
    return sets.where(~is_bad), refusals
