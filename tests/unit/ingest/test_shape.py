"""Shape: every value of a type in its exact form and no other, null tokens, and deletions that have a key alone."""

import re
from dataclasses import replace
from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import shape
from ingest.contract import Column, ColumnType, load_contracts
from ingest.shape import form_of, is_of_type, null_tokens, split, without_null_tokens
from tests.unit.ingest.landing_builder import extract_of, row

DAY = "datetime(ISO 8601 with offset, as sent)"
LAYOUTS = {
    "yyyy-MM-dd": "%Y-%m-%d",
    "yyyyMMdd": "%Y%m%d",
    "yyMMdd": "%y%m%d",
    "yyMMdd HHmm": "%y%m%d %H%M",
    "yyyyMMddHHmmss": "%Y%m%d%H%M%S",
    "yyyy-MM-dd HH:mm:ss": "%Y-%m-%d %H:%M:%S",
    "yyyy-MM-dd HH:mm:ss.SSSSSS": "%Y-%m-%d %H:%M:%S.%f",
    "HHmm": "%H%M",
}


def is_proper(layout, value):
    """By the standard library, which knows the calendar but is lenient about digits and blanks."""
    if re.sub("[0-9]", "0", value) != re.sub("[a-zA-Z]", "0", layout):
        return False
    try:
        datetime.strptime(value, LAYOUTS[layout])
    except ValueError:
        return value.startswith("0000") and layout.startswith("yyyy") and is_proper(layout, "2000" + value[4:])
    return True


@st.composite
def moments(draw):
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    value = ""
    for word in re.findall(r"yyyy|yy|MM|dd|HH|mm|ss|S+|.", layout):
        highest = {"yyyy": 9999, "yy": 99, "MM": 13, "dd": 32, "HH": 24, "mm": 60, "ss": 60, "SSSSSS": 999_999}
        value += str(draw(st.integers(0, highest[word]))).zfill(len(word)) if word in highest else word
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(value)))
        value = value[:place] + draw(st.sampled_from(["", " ", "+", "-", "1", "x", "٣"])) + value[place + 1 :]
    return layout, value


def keeps(type_text, *values):
    column = Column("value", ColumnType.parse(type_text), type_text)
    return pl.DataFrame({"value": list(values)}).select(is_of_type(column)(pl.col("value"))).to_series().to_list()


@settings(max_examples=400, deadline=None)
@given(moments())
def test_a_moment_is_one_only_in_its_layout_and_in_the_calendar(made):
    layout, value = made
    kind = "time" if layout == "HHmm" else "date" if "HH" not in layout else "datetime"
    assert keeps(f"{kind}({layout})", value) == [is_proper(layout, value)]


@pytest.mark.parametrize(
    ("day", "proper"),
    [("20240229", True), ("20230229", False), ("20000229", True), ("19000229", False), ("20260431", False)],
)
def test_leap_days_are_those_of_the_calendar(day, proper):
    assert keeps("date(yyyyMMdd)", day) == [proper]
    assert keeps("date(yyyy-MM-dd)", f"{day[:4]}-{day[4:6]}-{day[6:]}") == [proper]


def test_blanks_and_signs_are_no_digits():
    """strptime of the engine takes a blank or a sign for a digit."""
    assert keeps("date(yyyyMMdd)", "2026 1 1", " 2026011", "+2026011", "٢٠٢٦٠١٠١") == [False] * 4
    assert keeps("decimal(18,2)", "٣.50", "1 000", "1_000") == [False] * 3


def test_a_moment_of_fhir_has_an_offset_and_a_date_may_be_partial():
    proper = [
        "2026-04-29T08:00:00Z",
        "2026-04-29T08:00:00.123456789-05:00",
        "2026-04-29T08:00:00+14:00",
        "2026-04-29",
        "2026-04",
        "2026",
    ]
    wrong = [
        "2026-04-29T08:00:00",
        "2026-04-29T08:00Z",
        "2026-04-29 08:00:00Z",
        "2026-02-30T08:00:00Z",
        "2026-04-29T24:00:00Z",
        "2026-04-29T08:00:00-0500",
        "2026-04-29T08:00:00.Z",
        "2026-13",
        "20260429",
    ]
    assert keeps(DAY, *proper) == [True] * len(proper)
    assert keeps(DAY, *wrong) == [False] * len(wrong)


def test_every_layout_of_the_contracts_has_a_form():
    layouts = {
        column.type.layout
        for contract in load_contracts().values()
        for extract in contract.extracts.values()
        for column in extract.columns.values()
        if column.type.name in ("date", "datetime", "time")
    }
    for layout in layouts:
        assert layout in LAYOUTS or layout.startswith("ISO 8601"), layout
        assert not re.search("[yMdHms]{2}", form_of(layout)), layout


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.none() | st.sampled_from(["", " ", "   ", "0", "17530101", "20260101", "\t", " x", "é"]),
            min_size=3,
            max_size=3,
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_null_tokens_are_taken_out_where_there_are_any(rows, blank_is_null):
    columns = [
        Column("a", ColumnType("string"), "string"),
        Column("b", ColumnType("date", layout="yyyyMMdd"), "date(yyyyMMdd)"),
        Column("c", ColumnType("integer"), "integer"),
    ]
    delivery = replace(extract_of("erp_lawson.ICTRANS").delivery, blank_is_null=blank_is_null)
    frame = pl.DataFrame(rows, schema=dict.fromkeys("abc", pl.String), orient="row")
    plain = frame.select(null_tokens(column, delivery) for column in columns)
    assert without_null_tokens(frame, columns, delivery).equals(plain)


def judged(feed, *rows):
    columns = [column.name for column in extract_of(feed).read_columns]
    frame = pl.DataFrame(
        [[each.get(name) or None for name in columns] for each in rows],
        schema=dict.fromkeys(columns, pl.String),
        orient="row",
    )
    ops = pl.Series("_op", [each.get("_op", "U") for each in rows], dtype=pl.String)
    return frame.with_columns(ops, _text=pl.lit(0, pl.Int64), _line=pl.int_range(2, len(rows) + 2))


def test_a_deletion_passes_with_its_key_alone_and_other_rows_do_not():
    feed = "hb.HSP_TRANSACTIONS"
    deleted = {"TX_ID": "1", "_op": "D"}
    good, bad = split(extract_of(feed), judged(feed, row(feed), deleted, {"TX_ID": "2"}, deleted | {"TX_AMOUNT": "x"}))
    assert good["_line"].to_list() == [2, 3, 5]
    assert {each.line for each in bad} == {4} and {each.reason for each in bad} == {"required and empty"}


def test_rows_of_deletions_only_pass():
    feed = "hb.HSP_TRANSACTIONS"
    good, bad = split(extract_of(feed), judged(feed, {"TX_ID": "1", "_op": "D"}))
    assert (good.height, bad) == (1, [])


def test_no_row_lands_that_the_schema_has_not_passed(monkeypatch):
    """The rules refuse rows; the schema stands behind them."""
    feed = "hb.HSP_TRANSACTIONS"
    rows = judged(feed, row(feed), row(feed, TX_AMOUNT="x"))
    verdicts = shape._verdicts(shape._rules(extract_of(feed)), rows)
    with pytest.raises(shape.ShapeError, match="break the schema"):
        shape._pass(extract_of(feed), rows.hstack(verdicts))
    with pytest.raises(shape.ShapeError, match="break the schema"):
        shape._pass(extract_of(feed), judged(feed, {"TX_ID": "2"}).hstack(verdicts[:1]))
    shape._pass(extract_of(feed), rows[:1].hstack(verdicts[:1]))
    with pytest.raises(shape.ShapeError, match="break the schema"):
        shape._pass(extract_of(feed), rows[:1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["1.50", "x", "", "7"]), st.sampled_from(["1", "9", ""])), max_size=8))
def test_every_broken_rule_is_an_entry_and_every_row_is_good_or_bad(values):
    feed = "hb.HSP_TRANSACTIONS"
    rows = judged(feed, *(row(feed, TX_AMOUNT=amount, TX_TYPE_HA_C=kind) for amount, kind in values))
    good, bad = split(extract_of(feed), rows)
    wanted = []
    for line, (amount, kind) in enumerate(values, start=2):
        if amount in ("x", ""):
            wanted.append((line, "TX_AMOUNT", "required and empty" if not amount else "not a decimal(18,2)"))
        if kind in ("9", ""):
            wanted.append((line, "TX_TYPE_HA_C", "required and empty" if not kind else "not in the closed list"))
    assert sorted((each.line, each.column, each.reason) for each in bad) == sorted(wanted)
    assert good["_line"].to_list() == [line for line in range(2, len(values) + 2) if line not in {w[0] for w in wanted}]
