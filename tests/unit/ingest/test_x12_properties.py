"""X12: whatever the separators, the wrapping and the damage, rows are the same and neighbours live."""

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.coded import plain
from ingest.formats import x12
from ingest.formats.reading import Text
from tests.fuzz.x12 import KINDS, check, seeds
from tests.unit.ingest.x12_builder import (
    INVOICE,
    ORDER,
    Marks,
    feed_of,
    group,
    interchange,
    read_all,
    rows,
    spread,
    transaction,
    wrapped,
)

CORPUS = Path(__file__).parent / "fixtures/x12/corpus"

value = st.text(string.ascii_uppercase + string.digits + " .-", min_size=1, max_size=30).map(str.strip).filter(bool)
optional = st.one_of(st.just(""), value)
# Nothing that a value, a control number or a date can hold.
separators = (
    st.permutations(list("*|~^>:'<\\+!{}[]=;\x1c\x1d\x1e\x1f\x07\x0b\n\r@#$%&"))
    .map(lambda each: each[:4])
    .filter(lambda each: not {"\r", "\n"} & {each[0], each[1], each[3]})
)


@st.composite
def marks(draw):
    element, component, segment, repetition = draw(separators)
    version = draw(st.sampled_from(["00401", "00501"]))
    return Marks(element, component, segment, repetition if version == "00501" else "U", version)


@st.composite
def lines(draw):
    """A PO1 line and what the contract makes of it."""
    qty, uom, price = draw(st.integers(0, 10**6)), draw(st.sampled_from(["EA", "BX", "CA"])), draw(optional)
    ids = {"IN": draw(optional), "VC": draw(optional), "MG": draw(optional), "UK": draw(optional)}
    order = draw(st.permutations(list(ids)))
    number = draw(value)
    pairs = "*".join(f"{name}*{ids[name]}" for name in order)
    description = draw(optional)
    segments = [f"PO1*{number}*{qty}*{uom}*{price}**{pairs}", f"PID*F****{description}"]
    return segments, (
        number,
        str(qty),
        uom,
        price or None,
        ids["IN"] or None,
        ids["VC"] or None,
        ids["MG"] or None,
        ids["UK"] or None,
        description or None,
    )


@st.composite
def wrappings(draw):
    width = draw(st.integers(1, 300))
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    indent = draw(st.sampled_from([b"", b" ", b"\t  "]))
    form = draw(st.sampled_from(["plain", "wrapped", "spread"]))

    def wrap(content, mark):
        # A text whose segments end with a line end has no other line ends.
        if mark in "\r\n":
            return content
        if form == "wrapped":
            return wrapped(content, width, end)
        return spread(content, mark.encode(), end, indent) if form == "spread" else content

    return wrap


@given(marks=marks(), wrap=wrappings(), sets=st.lists(st.lists(lines(), max_size=3), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_a_generated_interchange_is_read_as_it_was_meant(marks, wrap, sets):
    text = interchange(
        group(
            [
                transaction("850", f"{at:04d}", *ORDER[:5], *(segment for line, _ in each for segment in line))
                for at, each in enumerate(sets)
            ]
        ),
        marks=marks,
    )
    good, bad = rows(wrap(text, marks.segment), "850")
    assert bad == []
    names = ("line_no", "qty", "uom", "unit_price", "buyer_item", "vendor_cat", "mfr_part", "gtin", "description")
    assert [(row["st02"], *(row[name] for name in names)) for row in good["PO850_LINE"]] == [
        (f"{at:04d}", *meant) for at, each in enumerate(sets) for _, meant in each
    ]
    assert [row["po_number"] for row in good["PO850_HEAD"]] == ["4500123"] * len(sets)


@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    victim=st.integers(0, 3),
    of_it=st.integers(0, 2),
    harm=st.sampled_from(["count", "number", "no SE", "byte", "GE", "IEA", "ISA", "cut", "no IEA"]),
    wrap=wrappings(),
)
@settings(max_examples=50, deadline=None)
def test_damage_costs_the_set_or_interchange_that_it_is_in_and_nothing_else(shape, victim, of_it, harm, wrap):
    victim %= len(shape)
    of_it %= shape[victim]
    texts, whole = [], []
    for at, size in enumerate(shape):
        is_victim = at == victim
        sets = []
        for number in range(size):
            is_set = is_victim and number == of_it
            stated = {"count": {"count": 7}, "number": {"trailer": "X"}}.get(harm, {}) if is_set else {}
            segments = transaction("850", f"{number:04d}", *ORDER, **stated)
            if is_set and harm == "no SE":
                segments = segments[:-1]
            if is_set and harm == "byte":
                segments[3] += "\x01"
            sets.append(segments)
            is_lost = is_victim and (is_set or harm in ("GE", "IEA", "ISA", "cut", "no IEA"))
            if not is_lost:
                whole.append((f"{at:09d}", f"{number:04d}"))
        stated = {"trailer": "999"} if is_victim and harm == "IEA" else {}
        text = interchange(
            group(sets, **({"count": 99} if is_victim and harm == "GE" else {})), number=f"{at:09d}", **stated
        )
        if is_victim and harm == "ISA":
            text = text.replace(b"*260430*", b"*26AB30*", 1)
        if is_victim and harm == "cut":
            text = text[: len(text) // 2]
        if is_victim and harm == "no IEA":
            text = text[: text.index(b"IEA*")]
        texts.append(wrap(text, "~"))
    good, bad = rows(b"".join(texts), "850")
    assert [(row["isa13"], row["st02"]) for row in good["ENVELOPE"]] == whole
    assert len(good["PO850_LINE"]) == 2 * len(whole)
    lost = sum(shape) - len(whole)
    assert len(bad) == lost if harm != "cut" else 1 <= len(bad) <= lost


@given(size=st.integers(1, 6000), wrap=wrappings(), marks=marks(), junk=st.sampled_from([b"", b"JUNK~", b" \n "]))
@settings(max_examples=40, deadline=None)
def test_pieces_of_any_size_give_the_same_rows(size, wrap, marks, junk):
    text = junk + b"".join(
        wrap(interchange(group([transaction("810", "1", *INVOICE)], code="IN"), number=f"{at:09d}", marks=each), mark)
        for at, (each, mark) in enumerate([(Marks(), "~"), (marks, marks.segment), (Marks(), "~")])
    )
    delivery, extracts, names = feed_of("810")
    whole = x12.read([Text(0, text, extracts=names)], delivery, extracts)
    pieces = list(x12.pieces(text, size))
    assert b"".join(text[piece.start : piece.end] for piece in pieces) == text
    parts = x12.read(
        [
            Text(at, text[piece.start : piece.end], first_line=piece.first_line, extracts=names)
            for at, piece in enumerate(pieces)
        ],
        delivery,
        extracts,
    )
    for name, reading in whole.items():
        assert plain(parts[name].frame.drop("_text")).equals(plain(reading.frame.drop("_text")))
        assert [row.line for row in parts[name].bad] == [row.line for row in reading.bad]


@given(order=st.permutations(range(5)))
@settings(max_examples=10, deadline=None)
def test_a_file_gives_the_same_rows_whatever_is_read_beside_it(order):
    texts = [
        interchange(group([transaction("850", "1", *ORDER)]), number=f"{at:09d}", marks=mark)
        for at, mark in enumerate([Marks(), Marks("|"), Marks(segment="\n"), Marks(version="00501", repetition="^")])
    ]
    contents = [*texts, b"no interchange"]
    alone = {at: rows(content, "850")[0]["PO850_LINE"] for at, content in enumerate(contents)}
    together = read_all([contents[at] for at in order], "850")["PO850_LINE"].frame
    for place, at in enumerate(order):
        assert together.filter(together["_text"] == place).drop("_text").to_dicts() == alone[at]


@pytest.mark.parametrize("file", sorted(CORPUS.iterdir()), ids=lambda file: file.name)
def test_inputs_that_the_fuzzer_found_worth_keeping_lose_no_neighbour(file):
    content = file.read_bytes()
    for kind in KINDS:
        check(content, kind)


def test_the_seeds_of_the_fuzzer_are_read_whole():
    for kind, content in seeds():
        good, bad = rows(content, kind)
        assert bad == []
        assert all(good[name] for name in feed_of(kind)[2])
