"""What counts as delivered, what is refused whole, what is a duplicate: the facts behind INT-02 and INT-03."""

import os

import pytest

from ingest.formats import delimited, format_of
from tests.unit.ingest.landing_builder import (
    CONTRACTS,
    Landing,
    attempts,
    csv_text,
    lake,
    only_attempt,
    row,
    run,
    zipped,
)

PROC = "ehr.OR_LOG_ALL_PROC"
PO = "erp_fusion.BUSINESS_UNITS"
REQ = "erp_fusion.REQ_HEADERS"
TXN = "pou.txn"


@pytest.fixture
def landing(tmp_path):
    return Landing(tmp_path / "landing")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def procedures(*keys):
    return [row(PROC, LOG_ID=str(key), LINE="1") for key in keys]


def requisitions(*keys):
    return [row(REQ, RequisitionHeaderId=str(key), RequisitionNumber=f"SR{key}") for key in keys]


def movements(*keys):
    return [row(TXN, txn_id=f"D-{key}", qty="-1.5", qty_each="-1") for key in keys]


def test_a_file_waits_until_its_manifest_lists_it(landing, home):
    landing.put(PROC, "20260101", procedures(1), listed=False)
    landing.put("ehr.OR_PROC", "20260101", [row("ehr.OR_PROC")])
    report = run(landing, home)
    assert report.waiting == ("ehr/20260101/OR_LOG_ALL_PROC.csv",)
    assert attempts(home, extract="OR_LOG_ALL_PROC") == []
    landing.put(PROC, "20260101", procedures(1))
    assert run(landing, home).rows_landed == 1


def test_a_movement_file_waits_for_its_control_file(landing, home):
    landing.put(TXN, "20260101", movements(1), listed=False)
    assert run(landing, home).waiting == ("pou/20260101/txn_20260101_0600.csv",)
    landing.put(TXN, "20260101", movements(1))
    assert run(landing, home).rows_landed == 1


def test_unfinished_names_are_no_deliveries_and_unknown_names_are_reported(landing, home):
    landing.put(PROC, "20260101", procedures(1))
    folder = landing.root / "ehr" / "20260101"
    for name in ("OR_PROC.csv.tmp", "OR_PROC.csv.part", "NEW_EXTRACT.csv"):
        (folder / name).write_text("a\n1\n")
    remittance = landing.root / "hb" / "835" / "20260101" / "PAYER_1.835"
    remittance.parent.mkdir(parents=True)
    remittance.write_text("ISA*")
    assert run(landing, home).unknown == ("ehr/20260101/NEW_EXTRACT.csv",)


def test_later_folders_and_later_slots_are_ignored(landing, home):
    landing.put(PROC, "20260111", procedures(1))
    landing.put(TXN, "20260110", movements(1), slot="1200")
    landing.put(TXN, "20260110", movements(2), slot="1230")
    landing.put(REQ, "20260110", requisitions(1), slot="1800")  # UTC, noon in Chicago
    landing.put(REQ, "20260110", requisitions(2), slot="0000")
    run(landing, home, as_of="2026-01-10T12:00")
    assert [each["file"] for each in attempts(home)] == [
        "erp_fusion/20260110/0000/REQ_HEADERS.zip",
        "pou/20260110/txn_20260110_1200.csv",
        "erp_fusion/20260110/1800/REQ_HEADERS.zip",
    ]
    assert run(landing, home, as_of="2026-01-11").rows_landed == 2


def test_a_file_with_fewer_rows_than_stated_is_refused_whole(landing, home):
    landing.put(PROC, "20260101", procedures(1, 2), stated_rows=3)
    run(landing, home)
    attempt = only_attempt(home)
    assert (attempt["outcome"], attempt["rows_delivered"], attempt["rows_quarantined"]) == ("quarantined", 2, 2)
    assert attempt["manifest_rows"] == 3
    assert "2 rows" in attempt["reason"]
    assert lake(home, PROC).height == 0


def test_a_file_with_more_rows_than_stated_lands_and_keeps_the_difference(landing, home):
    landing.put(PROC, "20260101", procedures(1, 2), stated_rows=1)
    run(landing, home)
    attempt = only_attempt(home)
    assert (attempt["outcome"], attempt["rows_landed"], attempt["manifest_rows"]) == ("landed", 2, 1)


def test_an_intact_file_with_another_hash_lands_and_says_so(landing, home):
    landing.put(PROC, "20260101", procedures(1), stated_hash="0" * 64)
    run(landing, home)
    assert only_attempt(home)["manifest_hash_ok"] is False
    assert lake(home, PROC).height == 1


def test_a_cut_last_line_is_refused_even_when_the_count_fits(landing, home):
    whole = csv_text(PROC, procedures(1, 2))
    landing.put(PROC, "20260101", content=whole[:-4], stated_rows=2, stated_hash="0" * 64)
    landing.put(
        "erp_lawson.GLNAMES",
        "20260101",
        content=csv_text("erp_lawson.GLNAMES", [row("erp_lawson.GLNAMES")])[:-2],
        stated_rows=1,
    )
    run(landing, home)
    assert {each["outcome"] for each in attempts(home)} == {"quarantined"}


def test_a_corrected_manifest_releases_a_refused_file(landing, home):
    landing.put(PROC, "20260101", procedures(1), stated_rows=2)
    run(landing, home)
    landing.put(PROC, "20260101", procedures(1))
    assert run(landing, home).rows_landed == 1
    assert only_attempt(home)["outcome"] == "landed"


def test_a_truncated_zip_is_refused_and_its_correction_lands_at_its_place(landing, home):
    whole = zipped({"REQ_HEADERS_1.csv": csv_text(REQ, requisitions(1, 2))})
    landing.put(REQ, "20260101", content=whole[:-40], stated_rows=2, stated_hash="f" * 32)
    landing.put(REQ, "20260102", requisitions(2, 3))
    run(landing, home)
    refused = only_attempt(home, outcome="quarantined")
    assert (refused["manifest_hash_ok"], refused["rows_delivered"]) == (False, 0)
    landing.put(REQ, "20260101", content=whole, stated_rows=2)
    run(landing, home)
    assert lake(home, REQ)["_delivered"].to_list() == ["20260101/0600", "20260101/0600", "20260102/0600"]
    assert [each["outcome"] for each in attempts(home)] == ["landed", "landed"]


def test_a_zip_of_several_parts_is_one_delivery(landing, home):
    landing.put(REQ, "20260101", requisitions(1, 2, 3, 4, 5), parts=2)
    run(landing, home)
    assert only_attempt(home)["rows_delivered"] == 5
    assert lake(home, REQ).select("_file", "_line").rows()[-1] == (
        "erp_fusion/20260101/0600/REQ_HEADERS.zip!REQ_HEADERS_2.csv",
        3,
    )


def test_columns_are_bound_by_name_and_new_ones_are_reported_and_ignored(landing, home):
    names = list(CONTRACTS["erp_fusion"].extracts["REQ_HEADERS"].columns)
    landing.put(REQ, "20260101", requisitions(1))
    shuffled = [*reversed(names[3:]), "NewInRelease", *names[:3]]
    landing.put(REQ, "20260102", [each | {"NewInRelease": "secret"} for each in requisitions(1, 2)], header=shuffled)
    report = run(landing, home)
    found = lake(home, REQ)
    assert found["RequisitionHeaderId"].to_list() == ["1", "2"]
    assert "NewInRelease" not in found.columns
    assert ("erp_fusion", "REQ_HEADERS", "NewInRelease", "added") in {each[:4] for each in report.drift}


def test_a_missing_required_column_refuses_the_file_and_a_missing_optional_one_is_null(landing, home):
    names = list(CONTRACTS["erp_fusion"].extracts["REQ_HEADERS"].columns)
    landing.put(REQ, "20260101", requisitions(1), header=[name for name in names if name != "DocumentStatus"])
    landing.put(REQ, "20260102", requisitions(2), header=[name for name in names if name != "ApprovedDate"])
    run(landing, home)
    assert only_attempt(home, outcome="quarantined")["reason"] == "required columns missing: DocumentStatus"
    assert lake(home, REQ)["ApprovedDate"].to_list() == [None]


def test_the_sum_in_a_control_file_is_compared(landing, home):
    landing.put(TXN, "20260101", movements(1, 2))
    landing.put(TXN, "20260101", movements(3, 4), slot="0630", stated_total="7")
    run(landing, home)
    assert [each["manifest_hash_ok"] for each in attempts(home)] == [True, False]
    assert lake(home, TXN).height == 4


def test_a_header_alone_is_a_delivery_without_rows(landing, home):
    landing.put(PROC, "20260101", [])
    run(landing, home)
    assert only_attempt(home)["outcome"] == "no_rows"


def test_content_delivered_before_under_another_name_or_date_is_a_duplicate_and_lands_once(landing, home):
    first = landing.put(TXN, "20260101", movements(1, 2))
    landing.put(TXN, "20260101", movements(3), slot="0630")
    landing.put(TXN, "20260101", movements(1, 2), slot="0700")
    landing.put(PROC, "20260101", procedures(1))
    landing.put(PROC, "20260102", procedures(2))
    landing.put(PROC, "20260103", procedures(1))
    run(landing, home)
    second = only_attempt(home, slot="0700")
    assert (second["outcome"], second["duplicate_of"], second["rows_repeated"]) == ("ignored_duplicate", first, 2)
    third = only_attempt(home, extract="OR_LOG_ALL_PROC", outcome="ignored_duplicate")
    assert third["duplicate_of"] == "ehr/20260101/OR_LOG_ALL_PROC.csv"
    assert lake(home, PROC)["LOG_ID"].to_list() == ["1", "2"]


def test_the_very_next_slot_with_the_same_movements_is_a_duplicate_too(landing, home):
    landing.put(TXN, "20260101", movements(1))
    landing.put(TXN, "20260101", movements(1), slot="0630")
    run(landing, home)
    second = only_attempt(home, slot="0630")
    assert (second["outcome"], second["is_window_repeat"]) == ("ignored_duplicate", False)


def test_a_window_repeats_the_slot_just_before_and_none_further_back(landing, home):
    for slot in ("0600", "1200", "0000"):
        landing.put(REQ, "20260102" if slot == "0000" else "20260101", requisitions(1), slot=slot)
    run(landing, home)
    found = {each["slot"]: (each["outcome"], each["is_window_repeat"]) for each in attempts(home)}
    assert found == {"0600": ("landed", False), "1200": ("repeated", True), "0000": ("ignored_duplicate", False)}
    landing.put(REQ, "20260101", requisitions(1), slot="1800")
    run(landing, home)
    found = {each["slot"]: (each["outcome"], each["is_window_repeat"]) for each in attempts(home)}
    assert found["0000"] == ("repeated", True)


def test_a_zip_made_again_from_the_same_parts_is_the_same_content(landing, home):
    text = {"REQ_HEADERS_1.csv": csv_text(REQ, requisitions(1))}
    landing.put(REQ, "20260101", content=zipped(text, 1), stated_rows=1)
    landing.put(REQ, "20260101", requisitions(2), slot="1200")
    landing.put(REQ, "20260102", content=zipped(text, 9), stated_rows=1)
    run(landing, home)
    assert only_attempt(home, outcome="ignored_duplicate")["duplicate_of"] == "erp_fusion/20260101/0600/REQ_HEADERS.zip"


def test_a_repull_of_the_date_before_a_snapshot_and_an_empty_file_are_near_misses(landing, home):
    for day in ("20260101", "20260102", "20260103"):
        landing.put(PROC, day, procedures(1))
        landing.put("erp_lawson.GLNAMES", day, [row("erp_lawson.GLNAMES")])
        landing.put(TXN, day, [])
    run(landing, home)
    for each in attempts(home):
        marked = each["is_window_repeat"] or each["is_snapshot"] or each["outcome"] == "no_rows"
        assert marked or each["duplicate_of"] is None, each
    assert [each["is_window_repeat"] for each in attempts(home, extract="OR_LOG_ALL_PROC")] == [False, True, True]


def test_an_older_picture_delivered_again_is_what_a_snapshot_holds_now(landing, home):
    for day, name in (("20260101", "old"), ("20260102", "new"), ("20260103", "old")):
        landing.put("erp_lawson.GLNAMES", day, [row("erp_lawson.GLNAMES", DESCRIPTION=name)])
    run(landing, home)
    assert lake(home, "erp_lawson.GLNAMES")["DESCRIPTION"].to_list() == ["old", "new", "old"]


def test_a_file_is_known_by_its_content_and_not_by_its_time(landing, home):
    path = landing.root / landing.put(PROC, "20260101", procedures(1))
    run(landing, home)
    os.utime(path, (1, 1))
    report = run(landing, home)
    assert (report.rows_landed, report.remade) == (0, ())
    assert lake(home, PROC).height == 1


def test_blanks_and_the_empty_dates_of_the_legacy_erp_are_null(landing, home):
    feed = "erp_lawson.POLINE"
    landing.put(
        feed,
        "20260101",
        [
            row(
                feed, LINE_NBR="1", DESCRIPTION="   ", CLOSE_DATE="17530101", EARLY_DL_DATE="0", LATE_DL_DATE="20260105"
            ),
            row(feed, LINE_NBR="2", CLOSE_DATE="17000101", PO_USER_FLD_1="café –"),
        ],
    )
    run(landing, home)
    found = lake(home, feed)
    assert found.select("CLOSE_DATE", "EARLY_DL_DATE", "LATE_DL_DATE").rows() == [
        (None, None, "20260105"),
        (None, None, None),
    ]
    assert found["PO_USER_FLD_1"][1] == "café –"


def test_every_delimited_extract_of_every_contract_lands(landing, home):
    extracts = [
        extract
        for contract in CONTRACTS.values()
        for extract in contract.extracts.values()
        if format_of(extract.delivery) is delimited
    ]
    for extract in extracts:
        landing.put(extract.feed, "20260101", [row(extract.feed)])
    report = run(landing, home)
    assert (report.rows_landed, report.rows_quarantined) == (report.files, 0)
    assert report.files == len(extracts)
    for extract in extracts:
        landed = lake(home, extract.feed)
        assert set(extract.landed_columns) <= set(landed.columns)
        assert landed.height == 1
