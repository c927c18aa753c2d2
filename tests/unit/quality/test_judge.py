"""Judgement as a whole: what is held back, what is written, and that it is a function of its inputs."""

import datetime as dt
import json
from decimal import Decimal

import duckdb
import polars as pl
import pytest

from ingest.clock import AsOf
from quality.findings import EVIDENCE_ROWS
from quality.judge import Rulebook, judge
from quality.ledger import EXCEPTION_TYPES
from quality.tolerances import load_tolerances
from tests.unit.quality.tiny_builds import write_attempts, write_build

D = Decimal
MISSING = {
    "entity_key": "case=1|item=77",
    "used_each": D(10),
    "issued_each": D(8),
    "missing_each": D(2),
    "unit_cost": D(3),
    "impact_amount": D(6),
    "is_implant": False,
    "anchor_date": dt.date(2026, 4, 1),
    "maturity_days": 1,
}
STOCK = {"rec_usage_inventory": [MISSING]}
GRNI = {"entity_key": "po=1|line=1", "unbilled_each": D(1), "oldest_unbilled_receipt_date": dt.date(2026, 1, 1)}


def exceptions_of(court, as_of="2026-04-30"):
    build = court.home / "warehouse" / as_of / "build.duckdb"
    with duckdb.connect(str(build), read_only=True) as connection:
        return connection.sql("select * from quality.exceptions").fetchall()


def test_what_fires_is_written_with_the_promised_columns_and_types(court):
    judgement = court.judge(STOCK)
    with duckdb.connect(str(judgement.judged.parent / "build.duckdb"), read_only=True) as connection:
        described = connection.sql("describe quality.exceptions").fetchall()
        written = connection.sql(f"describe select * from '{judgement.judged}'").fetchall()
    promised = {
        "decimal(18, 2)": "DECIMAL(18,2)",
        "varchar": "VARCHAR",
        "integer": "INTEGER",
        "timestamp": "TIMESTAMP",
        "date": "DATE",
        "boolean": "BOOLEAN",
        "json": "JSON",
    }
    assert {name: kind for name, kind, *_ in described} == {n: promised[kind] for n, kind in EXCEPTION_TYPES.items()}
    assert [name for name, *_ in written] == list(EXCEPTION_TYPES)


def test_counts_are_told_by_rule_queue_and_timing(court):
    young = MISSING | {"entity_key": "case=2|item=77", "anchor_date": dt.date(2026, 4, 30)}
    judgement = court.judge({"rec_usage_inventory": [MISSING, young]})
    assert judgement.by_rule == {"UI-01": 1}
    assert judgement.by_queue == {"SC-INV": 1}
    assert judgement.timing_by_rule == {"UI-01": 1}
    assert judgement.rows_judged["UI-01"] == 2
    assert judgement.open_count == 1
    assert (judgement.rule_version, judgement.tolerance_version) == ("2026.1", "2026.1")


@pytest.mark.parametrize(
    ("impact", "severity"), [("5000.00", "S2"), ("4999.99", "S3"), ("250.00", "S3"), ("249.99", "S4"), ("0", "S4")]
)
def test_severity_goes_by_amount(court, impact, severity):
    (row,) = court.fired({"rec_usage_inventory": [MISSING | {"impact_amount": D(impact)}]}).values()
    assert row["severity"] == severity


def test_a_rule_with_a_severity_of_its_own_keeps_it(court):
    expired = {"entity_key": "case=1|item=2", "days_expired": 3, "surgery_date": dt.date(2026, 4, 2)}
    (row,) = court.fired({"rec_usage_expiry": [expired]}).values()
    assert (row["severity"], row["queue"], row["impact_amount"]) == ("S1", "SAFETY", D(0))


def test_judging_again_publishes_the_same(court):
    first = court.judge(STOCK)
    before, exceptions = first.judged.read_bytes(), exceptions_of(court)
    court.judge(STOCK)
    assert first.judged.read_bytes() == before
    assert exceptions_of(court) == exceptions


def test_a_closed_exception_stays_in_the_published_table_and_not_among_what_fires(court):
    court.judge(STOCK, as_of="2026-04-29")
    judgement = court.judge({}, as_of="2026-04-30")
    assert pl.read_parquet(judgement.judged).height == 0
    (row,) = exceptions_of(court)
    assert "auto_cleared" in row
    assert judgement.applied.auto_cleared == 1


def test_a_missing_relation_holds_its_rules_back_and_only_them(court):
    court.judge(STOCK | {"rec_grni": [GRNI]}, as_of="2026-04-29")
    judgement = court.judge({"rec_grni": [GRNI]}, as_of="2026-04-30", leave_out=["rec_usage_inventory"])
    assert judgement.held_back == {"UI-01": "recon.rec_usage_inventory is not in the build"}
    assert judgement.by_rule == {"M3-05": 1, "UI-01": 1}
    rows = {row["rule_id"]: row for row in pl.read_parquet(judgement.judged).iter_rows(named=True)}
    assert rows["UI-01"]["last_detected_at"] == dt.datetime(2026, 4, 29, 23, 59, 59)


def broken(court, change, rows=None):
    work = court.home / "warehouse" / "broken"
    work.mkdir(parents=True)
    build = write_build(work / "build.duckdb", rows or STOCK)
    with duckdb.connect(str(build)) as connection:
        connection.execute(change)
        attempts = write_attempts(work / "attempts.parquet", [])
        return judge(connection, attempts, AsOf.parse("2026-04-30"), court.ledger, work).held_back


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table recon.rec_usage_inventory drop missing_each", "has no column missing_each"),
        ("alter table recon.rec_usage_inventory alter impact_amount type double", "impact_amount is Float64"),
        ("alter table recon.rec_usage_inventory alter business_date type timestamp", "not a date"),
        ("update recon.rec_usage_inventory set facility_id = null", "1 breaks of UI-01 have no facility_id"),
        ("update recon.rec_usage_inventory set business_date = null", "have no business_date"),
        ("insert into recon.rec_usage_inventory from recon.rec_usage_inventory", "repeat a facility and entity"),
    ],
)
def test_a_relation_that_breaks_its_contract_is_held_back_with_the_reason(court, change, said):
    held_back = broken(court, change)
    assert set(held_back) == {"UI-01"}
    assert said in held_back["UI-01"]


def test_a_broken_row_that_is_no_break_holds_nothing_back(court):
    within = MISSING | {"entity_key": "case=9|item=1", "missing_each": D(0), "facility_id": None, "business_date": None}
    assert court.judge({"rec_usage_inventory": [MISSING, within]}).held_back == {}


def test_without_attempts_the_rules_of_deliveries_are_held_back(court):
    work = court.home / "work"
    work.mkdir()
    build = write_build(work / "build.duckdb", STOCK)
    held_back = judge(build, work / "attempts.parquet", AsOf.parse("2026-04-30"), court.ledger, work).held_back
    assert set(held_back) == {"INT-02", "INT-03"}


def test_two_journals_of_one_ledger_and_two_segments_of_one_journal_are_exceptions_of_their_own(court):
    unbalanced = {"debit_amount": D(5), "credit_amount": D(0), "difference_amount": D(5), "balancing_segment": "101"}
    rows = [
        unbalanced | {"entity_key": "ledger=1|journal=1", "facility_id": "H1"},
        unbalanced | {"entity_key": "ledger=1|journal=1", "facility_id": "H2"},
        unbalanced | {"entity_key": "ledger=1|journal=2", "facility_id": "H1"},
    ]
    assert court.judge({"rec_journal_balance": rows}).by_rule == {"GL-05": 3}


def test_a_ledger_exception_keeps_the_fifty_largest_rows_and_the_count(court):
    entries = [{"system": "erp_lawson", "key": str(n), "amount": str(n)} for n in range(60)]
    row = {
        "entity_key": "facility=H1|period=2026-04",
        "control_role": "GRNI",
        "fiscal_period": "2026-04",
        "unexplained_amount": D(8),
        "evidence": json.dumps(entries),
    }
    (fired,) = court.fired({"rec_tie_out": [row]}).values()
    kept = [int(entry["key"]) for entry in json.loads(fired["evidence"])]
    assert kept == list(range(59, 59 - EVIDENCE_ROWS, -1))
    assert fired["explanation"].endswith("is not, from 60 rows of which the evidence has 50.")


def test_a_relation_may_have_dates_and_reasons_for_one_of_its_rules(court):
    row = {
        "entity_key": "po=1|line=1",
        "invoiced_each": D(9),
        "invoiced_amount": D(90),
        "has_receipt": False,
        "is_implant": False,
        "first_invoice_date": dt.date(2026, 4, 1),
        "business_date": dt.date(2026, 4, 2),
        "business_date_m3_06": dt.date(2026, 3, 31),
        "out_of_scope_reason_m3_02": "nothing received",
    }
    ((key, fired),) = court.fired({"rec_three_way": [row]}).items()
    assert key == ("M3-06", "po=1|line=1")
    assert (fired["business_date"], fired["fiscal_period"]) == (dt.date(2026, 3, 31), "2026-03")


def test_each_row_is_judged_by_the_tolerances_of_its_business_date(court, tmp_path):
    wider = tmp_path / "tolerances.yaml"
    shipped = load_tolerances.__globals__["TOLERANCES"].read_text()
    later = shipped.replace('"2026.1"', '"2026.2"').replace("2025-07-01", "2026-04-15")
    later = later.replace(
        "qty_usage:       {mode: either, over: {abs: 1.0", "qty_usage:       {mode: either, over: {abs: 5.0"
    )
    assert later.count("abs: 5.0,") == shipped.count("abs: 5.0,") + 1
    wider.write_text(f"{shipped}\n---\n{later}")
    old = MISSING | {"business_date": dt.date(2026, 4, 14)}
    new = MISSING | {"business_date": dt.date(2026, 4, 15), "entity_key": "case=2|item=77"}
    newer = new | {"entity_key": "case=3|item=77", "missing_each": D(6)}
    rulebook = Rulebook(tolerances=load_tolerances(wider))
    fired = court.fired({"rec_usage_inventory": [old, new, newer]}, rulebook=rulebook)
    assert {entity: row["tolerance_version"] for (_, entity), row in fired.items()} == {
        "case=1|item=77": "2026.1",
        "case=3|item=77": "2026.2",
    }


def test_what_fires_does_not_depend_on_the_order_of_rows(court, tmp_path):
    rows = [MISSING | {"entity_key": f"case={n}|item=1", "missing_each": D(n)} for n in range(6)]
    first = court.judge({"rec_usage_inventory": rows}).judged.read_bytes()
    assert court.judge({"rec_usage_inventory": rows[::-1]}).judged.read_bytes() == first
