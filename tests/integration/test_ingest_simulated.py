"""Ingest of a simulated landscape: a small one, with its faults of delivery, against its answer key."""

import csv
from datetime import date, timedelta

import duckdb
import polars as pl
import pytest
import yaml

from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.contracts_to_dbt import source_files
from ingest.quarantine import list_rows
from ingest.run import ingest
from ingest.simulator import simulate
from quality.rules.feeds import feed_files

START, DAYS = date(2026, 1, 21), 6
FEEDS = [(system, name) for system, contract in load_contracts().items() for name in contract.extracts]


def day(number):
    return AsOf.end_of(START + timedelta(days=number))


@pytest.fixture(scope="module")
def landing(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "landing"
    simulate(out, start=START, days=DAYS, scale=0.01, seed=11, sites=("H1", "H5"))
    return out


@pytest.fixture(scope="module")
def home(landing, tmp_path_factory):
    home = tmp_path_factory.mktemp("whole")
    ingest(landing, home, day(DAYS - 1), "whole")
    return home


def attempts_of(home):
    return pl.read_parquet(home / "lake/meta/attempts.parquet").drop("run_id").sort("file")


def lake_of(home, system, name):
    parts = sorted((home / "lake/raw" / system / name).glob("*.parquet"))
    return pl.read_parquet(parts).sort("_delivered", "_file", "_line", "_key_hash")


def key_entries(landing, rule, near_miss):
    with (landing / "answer_key" / "exceptions.csv").open() as stream:
        return {
            row["entity_key"]
            for row in csv.DictReader(stream)
            if row["rule_id"] == rule and row["near_miss"] == near_miss
        }


def test_every_delivered_row_is_landed_repeated_or_quarantined(home):
    frame = attempts_of(home)
    told = pl.col("rows_landed") + pl.col("rows_repeated") + pl.col("rows_quarantined")
    assert frame.filter(pl.col("rows_delivered") != told).height == 0
    landed = sum(lake_of(home, *feed).filter(pl.col("_op") == "U").height for feed in FEEDS)
    gone = sum(lake_of(home, *feed).filter(pl.col("_op") == "D").height for feed in FEEDS)
    assert (landed, gone) == tuple(frame.select(pl.col("rows_landed", "rows_tombstoned").sum()).row(0))


def test_no_row_that_the_simulator_writes_breaks_a_contract(landing, home):
    """But for sets that say themselves that they are not whole (Q120), and columns whose type was changed (INT-04)."""
    changed = key_entries(landing, "INT-04", "false")
    refused = [
        row
        for row in list_rows(home)
        if not (row.feed == "edi.ENVELOPE" and row.reason.startswith("SE01"))
        and f"feed={row.feed}|column={row.column}" not in changed
    ]
    assert refused == []


def test_the_facts_behind_the_delivery_rules_are_those_of_the_answer_key(landing, home):
    files = feed_files(attempts_of(home))
    differing = files.filter("differs_from_manifest")
    assert set(differing["entity_key"]) == key_entries(landing, "INT-02", "false")
    twice = files.filter(pl.col("is_repeated_content") & pl.col("out_of_scope_reason_int_03").is_null())
    assert set(twice["entity_key"]) == key_entries(landing, "INT-03", "false")
    assert key_entries(landing, "INT-03", "true")


def test_night_by_night_gives_the_lake_of_one_run(landing, home, tmp_path):
    nightly = tmp_path / "nightly"
    (nightly / "keys").mkdir(parents=True)
    (nightly / "keys" / "token.key").write_bytes((home / "keys" / "token.key").read_bytes())
    for number in range(DAYS):
        ingest(landing, nightly, day(number), f"night {number}")
    assert attempts_of(nightly).equals(attempts_of(home))
    for feed in FEEDS:
        assert lake_of(nightly, *feed).equals(lake_of(home, *feed)), feed


def test_dbt_reads_every_source_of_a_lake_with_the_declared_types(home):
    connection = duckdb.connect()
    for text in source_files().values():
        (source,) = yaml.load(text, Loader=yaml.CSafeLoader)["sources"]
        for table in source["tables"]:
            location = table["config"]["meta"]["external_location"]
            location = location.replace('{{ env_var("SUTURE_LAKE") }}', str(home / "lake"))
            found = connection.sql(f"select * from {location}")
            declared = {column["name"]: column["data_type"].upper() for column in table["columns"]}
            assert dict(zip(found.columns, map(str, found.types), strict=True)) == declared, table["name"]
