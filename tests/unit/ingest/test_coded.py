"""Coded columns land as the text columns that they stand for: rows, hashes, refusals, and not a value more."""

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.coded import coding, flags, of_rows, plain, written
from ingest.contract import arrow_schema
from ingest.formats import delimited
from ingest.landing import hashed
from ingest.privacy import TokenKey, landed_frame
from ingest.shape import split, without_null_tokens
from tests.unit.ingest.landing_builder import Landing, extract_of, lake, row, run

TEXTS = st.lists(st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), max_size=20)
ORDERS = "erp_fusion.REQ_HEADERS"
KEY = TokenKey(bytes(range(32)))


def coded(texts, first=()):
    """A coded column of which some values have got their numbers before the others."""
    kind = coding()
    told = pl.Series("a", list(first), dtype=pl.String).cast(kind)
    return pl.concat([told, pl.Series("a", texts, dtype=pl.String).cast(kind)]).slice(len(told))


@given(TEXTS, TEXTS)
def test_what_is_written_is_the_text_and_depends_on_nothing_else(texts, others):
    one, other = written(coded(texts)), written(coded(texts, [*others, *reversed(texts)]))
    assert one.cast(pl.String).to_list() == texts
    assert one.to_physical().to_list() == other.to_physical().to_list()
    assert one.dtype == other.dtype
    assert set(one.dtype.categories) == set(texts) - {None}


@given(st.none() | st.text(max_size=3), st.integers(0, 3_000), st.none() | st.text(max_size=3))
def test_text_that_is_the_same_in_all_rows_is_written_coded_and_no_other(text, rows, last):
    """A thousand rows that say the same do not tell what the last one says."""
    texts = pl.Series("a", [*[text] * rows, last], dtype=pl.String)
    told = written(texts)
    assert told.name == "a" and told.cast(pl.String).to_list() == texts.to_list()
    assert (told.dtype == pl.String) == (rows > 0 and text != last)
    assert written(texts.head(0)).dtype == pl.String


@given(TEXTS, TEXTS)
def test_a_question_put_to_each_value_is_answered_for_each_row(texts, others):
    frame = pl.DataFrame({"a": pl.Series(texts, dtype=pl.String)})
    column = coded(texts, others)
    length, conditions = pl.col("a").str.len_bytes(), [pl.col("a").is_null(), pl.col("a").fill_null("x") < "n"]
    for asked in (length, *conditions):
        wanted = frame.select(asked).to_series().to_list()
        assert column.to_frame().select(of_rows(column, asked)).to_series().to_list() == wanted
    for asked, met in zip(conditions, flags(column, conditions), strict=True):
        wanted = frame.select(asked).to_series().to_list()
        assert ([False] * len(texts) if met is None else pl.select(met).to_series().to_list()) == wanted


def every_kind_of_row(feed):
    extract = extract_of(feed)
    good = [row(feed), row(feed, **{extract.key[0]: "2"})]
    bad = [row(feed) | {column.name: text} for column in extract.read_columns for text in ("", " ", "x", "0")]
    texts = [{name: text or None for name, text in each.items()} for each in (*good, *bad)]
    names = [column.name for column in extract.read_columns]
    frame = pl.DataFrame([[each[name] for each in texts] for name in names], schema=dict.fromkeys(names, pl.String))
    return frame.with_columns(_text=pl.lit(0, pl.Int64), _line=pl.int_range(2, pl.len() + 2))


@pytest.mark.parametrize("feed", ["ehr.PAT_ENC_HSP", "hb.HSP_TRANSACTIONS", "erp_lawson.ICTRANS", "pou.txn", ORDERS])
def test_rows_are_judged_tokenised_and_hashed_alike(feed):
    extract = extract_of(feed)
    frame = every_kind_of_row(feed)
    found = []
    for rows in (frame, frame.with_columns(pl.col(c.name).cast(coding()) for c in extract.read_columns)):
        rows = without_null_tokens(rows, extract.read_columns, extract.delivery)
        good, bad = split(extract, rows)
        landed = hashed(extract, landed_frame(extract, good, KEY))
        found.append((plain(landed), bad))
    assert found[0][0].equals(found[1][0])
    assert found[0][1] == found[1][1] and found[0][1]


@pytest.fixture
def everything_is_coded(monkeypatch):
    monkeypatch.setattr(delimited, "_LARGE", 0)
    monkeypatch.setattr(delimited, "_SAMPLE", 0)
    monkeypatch.setattr(delimited, "_REPEATED", 1.0)


def test_a_part_is_text_to_every_reader_and_holds_no_value_of_a_row_that_did_not_land(tmp_path, everything_is_coded):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    asked = [row(ORDERS, RequisitionHeaderId=str(key), RequisitionNumber=f"SR{key}") for key in range(20)]
    asked.append(row(ORDERS, RequisitionHeaderId="not-a-number", RequisitionNumber="SECRET"))
    landing.put(ORDERS, "20260101", asked)
    report = run(landing, home)
    assert (report.rows_landed, report.rows_quarantined) == (20, 1)
    (part,) = (each for each in (home / "lake/raw/erp_fusion/REQ_HEADERS").glob("*.parquet") if each.stem != "_empty")
    assert pq.read_schema(part).equals(arrow_schema(extract_of(ORDERS)))
    assert set(pl.read_parquet_schema(part).values()) <= {pl.String, pl.Int64, pl.Date, pl.UInt64}
    pages = pq.ParquetFile(part).read(["RequisitionNumber"]).to_pylist()
    assert {each["RequisitionNumber"] for each in pages} == {f"SR{key}" for key in range(20)}
    dictionary = pq.read_table(part, read_dictionary=["RequisitionNumber"])["RequisitionNumber"].chunk(0).dictionary
    assert "SECRET" not in dictionary.to_pylist()


def test_the_same_rows_land_coded_or_not(tmp_path, monkeypatch):
    for name in ("coded", "plain"):
        landing, home = Landing(tmp_path / name / "landing"), tmp_path / name / "home"
        for day in ("20260101", "20260102"):
            keys = range(30) if day == "20260101" else range(10, 35)
            landing.put(ORDERS, day, [row(ORDERS, RequisitionHeaderId=str(key)) for key in keys])
        if name == "coded":
            for setting, value in (("_LARGE", 0), ("_SAMPLE", 0), ("_REPEATED", 1.0)):
                monkeypatch.setattr(delimited, setting, value)
        run(landing, home)
        monkeypatch.undo()
    assert lake(tmp_path / "coded/home", ORDERS).equals(lake(tmp_path / "plain/home", ORDERS))
