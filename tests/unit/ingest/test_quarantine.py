"""Quarantine: each bad row with place, column, value class and reason; everything else lands; corrections replay."""

import pytest

from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.quarantine import UnknownId, explain, list_files, list_rows, replay
from tests.unit.ingest.landing_builder import Landing, lake, only_attempt, row, run

CHARGE = "hb.HSP_TRANSACTIONS"
ITEM = "pou.item"
VENDOR = "erp_lawson.APVENMAST"
REQ = "erp_fusion.REQ_HEADERS"


@pytest.fixture
def landing(tmp_path):
    return Landing(tmp_path / "landing")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("feed", "column", "value", "value_class", "reason"),
    [
        (CHARGE, "TX_AMOUNT", "", "empty", "required and empty"),
        (CHARGE, "TX_AMOUNT", "12.345", "number", "not a decimal(18,2)"),
        (CHARGE, "TX_AMOUNT", "1,200.00", "number", "not a decimal(18,2)"),
        (CHARGE, "TX_AMOUNT", "1e3", "text", "not a decimal(18,2)"),
        (CHARGE, "TX_TYPE_HA_C", "9", "number", "not in the closed list"),
        (CHARGE, "TX_SOURCE_HA_C", "1.0", "number", "not a integer"),
        (CHARGE, "SERVICE_DATE", "2026-02-30 00:00:00", "date", "not a datetime(yyyy-MM-dd HH:mm:ss, America/Chicago)"),
        (CHARGE, "SERVICE_DATE", "2026-02-03", "date", "not a datetime(yyyy-MM-dd HH:mm:ss, America/Chicago)"),
        (CHARGE, "IS_LATE_CHARGE_YN", "yes", "text", "not a boolean(Y/N)"),
        ("hb.CDM_PRICE", "EFFECTIVE_TO", "20260101", "number", "not a date(yyyy-MM-dd)"),
        (VENDOR, "ADD_DATE", "20261301", "number", "not a date(yyyyMMdd)"),
        (VENDOR, "VENDOR", "   ABC123", "text", "not of the pattern"),
        (VENDOR, "VENDOR_VNAME", "     ", "empty", "required and empty"),
        (ITEM, "status", "X", "text", "not in the closed list"),
        (REQ, "LastUpdateDate", "2026-01-01 10:00:00", "date", "not a datetime(yyyy-MM-dd HH:mm:ss.SSSSSS, UTC)"),
    ],
)
def test_a_value_that_breaks_the_contract_costs_its_row_alone(landing, home, feed, column, value, value_class, reason):
    key = load_contracts()[feed.partition(".")[0]].extracts[feed.partition(".")[2]].key[0]
    proper = row(feed)[key]
    rows = [row(feed, **{key: proper[:-1] + str(number)}) for number in range(3)]
    if column == key:
        rows[1][column] = value
    rows[1][column] = value
    landing.put(feed, "20260101", rows)
    report = run(landing, home)
    assert (report.rows_landed, report.rows_quarantined) == (2, 1)
    (bad,) = list_rows(home)
    assert (bad.line, bad.column, bad.value_class, bad.reason) == (3, column, value_class, reason)
    attempt = only_attempt(home)
    assert attempt["rows_delivered"] == attempt["rows_landed"] + attempt["rows_quarantined"] + attempt["rows_repeated"]


@pytest.mark.parametrize("value", ["0", "-12.50", "+1", ".5", "12.500", "00012.00", "9999999999999999.99"])
def test_a_proper_amount_in_any_usual_form_lands(landing, home, value):
    landing.put(CHARGE, "20260101", [row(CHARGE, TX_AMOUNT=value)])
    assert run(landing, home).rows_quarantined == 0


def test_a_closed_list_never_applies_to_an_empty_optional_column(landing, home):
    landing.put(ITEM, "20260101", [row(ITEM, stock_class="")])
    assert run(landing, home).rows_quarantined == 0


def test_a_row_that_breaks_two_rules_is_one_row_with_two_entries(landing, home):
    landing.put(CHARGE, "20260101", [row(CHARGE, TX_AMOUNT="x", TX_TYPE_HA_C="9"), row(CHARGE, TX_ID="Y")])
    report = run(landing, home)
    assert (report.rows_quarantined, len(list_rows(home))) == (1, 2)


def test_a_file_with_nothing_but_bad_rows_is_told_apart_from_a_refused_file(landing, home):
    landing.put(CHARGE, "20260101", [row(CHARGE, TX_AMOUNT="x")])
    landing.put(CHARGE, "20260102", [row(CHARGE)], stated_rows=4)
    run(landing, home)
    assert [each.file for each in list_files(home)] == ["hb/20260102/HSP_TRANSACTIONS.csv"]
    assert [each.file for each in list_rows(home)] == ["hb/20260101/HSP_TRANSACTIONS.csv"]


def test_bad_rows_of_a_zip_name_their_part(landing, home):
    rows = [row(REQ, RequisitionHeaderId=str(number)) for number in range(4)]
    rows[3]["DocumentStatus"] = "LOST"
    landing.put(REQ, "20260101", rows, parts=2)
    run(landing, home)
    (bad,) = list_rows(home)
    assert (bad.file, bad.line) == ("erp_fusion/20260101/0600/REQ_HEADERS.zip!REQ_HEADERS_2.csv", 3)


def test_explain_says_what_the_contract_asks_and_what_to_do(landing, home):
    landing.put(CHARGE, "20260101", [row(CHARGE, TX_TYPE_HA_C="9"), row(CHARGE, TX_ID="Y")])
    landing.put(CHARGE, "20260102", [row(CHARGE)], stated_rows=4)
    run(landing, home)
    (bad,) = list_rows(home)
    told = explain(home, bad.id)
    assert told.expected == ("TX_TYPE_HA_C: integer, never empty, one of 1, 2, 3, 4",)
    assert told.reason == "not in the closed list" and told.runs == (("run", "landed"),)
    (refused,) = list_files(home)
    assert "deliver the file again" in explain(home, refused.id).advice
    with pytest.raises(UnknownId):
        explain(home, "feedbeef")


def test_a_corrected_file_replays_to_the_result_of_a_right_one(landing, home, tmp_path):
    right = [row(CHARGE, TX_ID=str(number), TX_AMOUNT=f"{number}.00") for number in range(3)]
    wrong = [right[0], right[1] | {"TX_AMOUNT": "one"}, right[2]]
    later = [right[1] | {"TX_AMOUNT": "5.00"}]
    landing.put(CHARGE, "20260101", wrong)
    landing.put(CHARGE, "20260102", later)
    run(landing, home)
    landing.put(CHARGE, "20260101", right)
    replay(home, landing.root, AsOf.parse("2026-12-31"), "again")
    assert list_rows(home) == []
    straight = Landing(tmp_path / "straight")
    straight.put(CHARGE, "20260101", right)
    straight.put(CHARGE, "20260102", later)
    run(straight, tmp_path / "other")
    columns = ["TX_ID", "TX_AMOUNT", "_file", "_line", "_delivered", "_op"]
    assert lake(home, CHARGE).select(columns).equals(lake(tmp_path / "other", CHARGE).select(columns))


def test_a_corrected_contract_reads_everything_of_its_extract_again(landing, home, tmp_path, monkeypatch):
    """The contract was too strict, not the file wrong."""
    landing.put(ITEM, "20260101", [row(ITEM, item_no="PX1", status="D"), row(ITEM, item_no="PX2")])
    landing.put(ITEM, "20260102", [row(ITEM, item_no="PX1", status="D"), row(ITEM, item_no="PX2", description="new")])
    assert run(landing, home).rows_quarantined == 2
    folder = tmp_path / "contracts"
    folder.mkdir()
    import ingest.contract

    for path in ingest.contract.CONTRACTS.glob("*.yaml"):
        text = path.read_text()
        if path.stem == "pou":
            assert "values: [A, I]" in text
            text = text.replace("values: [A, I]", "values: [A, I, D]")
        (folder / path.name).write_text(text)
    monkeypatch.setattr(ingest.contract, "CONTRACTS", folder)
    report = run(landing, home, run_id="corrected")
    assert list_rows(home) == []
    assert report.remade == (ITEM,)
    assert lake(home, ITEM)["item_no"].to_list() == ["PX1", "PX2", "PX2"]
    assert lake(home, ITEM)["_batch_id"].n_unique() == 2


def test_replay_of_what_is_still_wrong_changes_nothing(landing, home):
    landing.put(CHARGE, "20260101", [row(CHARGE, TX_AMOUNT="x"), row(CHARGE, TX_ID="Y")])
    run(landing, home)
    before = lake(home, CHARGE)
    replay(home, landing.root, AsOf.parse("2026-12-31"), "again")
    assert lake(home, CHARGE).equals(before)
    assert len(list_rows(home)) == 1
