"""Device identifiers from generated strings: what is written is read, what is changed is refused, nothing raises."""

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.formats import udi
from ingest.formats.gs1_application_identifiers import PREDEFINED, application_identifiers

AS_OF = date(2026, 4, 30)
CORPUS = Path(__file__).parent / "fixtures" / "udi"
CHARACTERS_82 = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
CHARACTERS_43 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"


def check_digit(payload: str) -> str:
    """Modulo 10 in plain Python."""
    total = 0
    for place, character in enumerate(reversed(payload)):
        total += int(character) * (3 if place % 2 == 0 else 1)
    return str((10 - total % 10) % 10)


def digits(size: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=size, max_size=size)


def checked(size: int) -> st.SearchStrategy[str]:
    return digits(size - 1).map(lambda payload: payload + check_digit(payload))


days = st.dates(date(1977, 1, 1), date(2076, 12, 31)).map(lambda day: day.strftime("%y%m%d"))
# Parentheses in a value make the printed form ambiguous; examples have them.
texts = st.text(CHARACTERS_82.replace("(", "").replace(")", ""), min_size=1, max_size=20)

VALUES = {
    "00": checked(18),
    "01": checked(14),
    "02": checked(14),
    "10": texts,
    "11": days,
    "15": days,
    "17": days,
    "20": digits(2),
    "21": texts,
    "22": texts,
    "240": texts,
    "242": st.integers(0, 999_999).map(str),
    "30": st.integers(0, 99_999_999).map(str),
    "3103": digits(6),
    "37": st.integers(0, 99_999_999).map(str),
    "3922": st.integers(0, 10**15 - 1).map(str),
    "414": checked(13),
    "422": digits(3),
    "7003": st.tuples(days, st.times()).map(lambda moment: moment[0] + moment[1].strftime("%H%M")),
    "710": texts,
    "8012": texts,
    "8020": texts,
    "91": texts,
}


@st.composite
def labels(draw: st.DrawFn) -> list[tuple[str, str]]:
    ais = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=7, unique=True))
    return [(ai, draw(VALUES[ai])) for ai in ais]


def printed(label: list[tuple[str, str]]) -> str:
    return "".join(f"({ai}){value}" for ai, value in label)


def scanned(label: list[tuple[str, str]], always: bool = False) -> str:
    parts = [ai + value + ("" if ai[:2] in PREDEFINED and not always else "\x1d") for ai, value in label]
    return "]C1" + "".join(parts).removesuffix("\x1d")


@settings(max_examples=150, deadline=None)
@given(st.lists(labels(), min_size=1, max_size=6))
def test_element_strings_in_any_order_read_back_in_every_form(many):
    for written in (printed, scanned, lambda label: scanned(label, always=True), lambda label: scanned(label) + "\x1d"):
        scans = pl.Series([written(label) for label in many])
        listed = udi.elements(scans, AS_OF)
        assert listed["refusal"].null_count() == listed.height
        for row, label in enumerate(many):
            mine = listed.filter(pl.col("row") == row)
            assert list(zip(mine["ai"], mine["value"], strict=True)) == label
        for label, got in zip(many, udi.parse(scans, AS_OF).to_dicts(), strict=True):
            values = dict(label)
            assert (got["di"], got["lot"], got["serial"], got["sscc"], got["refusal"]) == (
                values.get("01"),
                values.get("10"),
                values.get("21"),
                values.get("00"),
                None,
            )
            if "17" in values:
                assert got["expiration_date"].strftime("%y%m%d") == values["17"]
                assert 1977 <= got["expiration_date"].year <= 2076


@settings(max_examples=100, deadline=None)
@given(checked(14), st.integers(0, 13), st.integers(1, 9), labels())
def test_a_changed_digit_in_a_gtin_is_refused(gtin, place, by, label):
    changed = gtin[:place] + str((int(gtin[place]) + by) % 10) + gtin[place + 1 :]
    rest = [(ai, value) for ai, value in label if ai != "01"]
    scans = pl.Series([form([("01", changed), *rest]) for form in (printed, scanned)] + ["]I1" + changed])
    assert udi.parse(scans, AS_OF)["refusal"].to_list() == ["(01): check digit"] * 2 + ["GTIN: check digit"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("0123456789", min_size=2, max_size=18), min_size=1, max_size=20))
def test_check_digits_are_those_of_the_formula(numbers):
    right = [number + check_digit(number) for number in numbers if len(number) < 18]
    both = pl.DataFrame({"number": [*numbers, *right]})
    judged = both.select(udi.has_check_digit(pl.col("number"))).to_series().to_list()
    assert judged == [number[-1] == check_digit(number[:-1]) for number in both["number"]]


@settings(max_examples=100, deadline=None)
@given(
    st.from_regex(r"\A[A-Z][A-Z0-9]{3}[A-Z0-9]{1,18}[0-9]\Z"),
    st.dates(date(1977, 1, 1), date(2076, 12, 31)),
    st.from_regex(r"\A[A-Z0-9]{1,18}\Z"),
    st.booleans(),
    st.integers(0, 99),
)
def test_hibc_reads_back_in_every_date_layout(product, day, number, is_serial, quantity):
    layouts = ["2%m%d%y", "3%y%m%d", "4%y%m%d07", "5%y%j", "6%y%j07"]
    flag = "$$+" if is_serial else f"$$8{quantity:02d}"
    bodies = [f"+{product}/{flag}{day.strftime(layout)}{number}" for layout in layouts]
    scans = [body + CHARACTERS_43[sum(map(CHARACTERS_43.index, body)) % 43] for body in bodies]
    for got in udi.parse(pl.Series(scans), AS_OF).to_dicts():
        assert (got["di"], got["expiration_date"], got["refusal"]) == (product, day, None)
        assert (got["serial"], got["lot"]) == ((number, None) if is_serial else (None, number))
        assert got["quantity"] == (None if is_serial else quantity)


def never_raises_and_keeps_its_word(scans: list[str | None]) -> None:
    """One row a scan, alone as among others; a refused one has nothing but its issuer; a GTIN is a right one."""
    series = pl.Series(scans, dtype=pl.String)
    got = udi.parse(series, AS_OF)
    assert got.height == len(scans)
    refused = got.filter(pl.col("refusal").is_not_null()).drop("issuer", "refusal")
    assert refused.null_count().sum_horizontal().item() == refused.height * refused.width if refused.height else True
    parts = len(scans) if len(scans) <= 8 else 5
    apart = [udi.parse(series.gather_every(parts, part), AS_OF) for part in range(parts)]
    for part, alike in enumerate(apart):
        assert alike.equals(got.gather_every(parts, part))
    for scan, row in zip(scans, got.to_dicts(), strict=True):
        if scan is None:
            assert row["refusal"] is None
        if row["di"] and row["issuer"] == "GS1":
            assert row["di"][-1] == check_digit(row["di"][:-1])
    udi.elements(series, AS_OF)


PIECES = (
    """01 09521234000013 17 270531 10 21 ~ ( ) (01) (10) + $$ / =/ => A99 ]C1 ] &,1 $ 9 8 * _ é 4330 8013 8008 7007"""
)
pieces = st.sampled_from([*PIECES.split(), " ", "\x1d", "\x00", "\x1e", "\n"])
scans = st.one_of(st.none(), st.text(max_size=60), st.lists(pieces, max_size=9).map("".join))


@settings(max_examples=150, deadline=None)
@given(st.lists(scans, max_size=8))
def test_nothing_raises_whatever_is_scanned(many):
    never_raises_and_keeps_its_word(many)


@pytest.mark.parametrize("kept", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_what_fuzzing_found_stays_right(kept):
    never_raises_and_keeps_its_word(json.loads(kept.read_text(encoding="utf-8")))


def test_no_two_identifiers_share_a_number_and_all_have_a_generated_or_listed_shape():
    known = application_identifiers()
    assert len({int(ai) for ai in known}) == len(known) == 541
    assert set(VALUES) <= set(known)
