"""Control totals that add up, and those that must be seen not to; the suites and the Data Docs they leave."""

import datetime as dt
import json
import re
from decimal import Decimal

import duckdb
import polars as pl
import pytest

from ingest.clock import AsOf
from ingest.contract import arrow_schema, load_contracts
from quality.controls.suites import Suite, leave_data_docs, validate
from quality.controls.totals import build, identities_frame, staging_feeds
from tests.unit.quality.tiny_builds import write_attempts

D = Decimal
CONTRACTS = load_contracts()


class Warehouse:
    """A lake of hand-made parts, their attempts, and a build whose staging views read them."""

    def __init__(self, home):
        self.lake = home / "lake"
        self.models = home / "models"
        self.models.mkdir(parents=True)
        self.path = home / "warehouse" / "run" / "build.duckdb"
        self.path.parent.mkdir(parents=True)
        self.attempts = []
        self.feeds = []

    def land(self, feed, rows, *, repeated=0, quarantined=0):
        """One part: rows are (key hash, op, moment, values)."""
        system, name = feed.split(".")
        extract = CONTRACTS[system].extracts[name]
        schema = arrow_schema(extract)
        folder = self.lake / "raw" / system / name
        folder.mkdir(parents=True, exist_ok=True)
        number = len(self.attempts)
        full = [
            dict.fromkeys(schema.names)
            | values
            | {"_batch_id": f"b{number}", "_file": f"f{number}", "_line": line, "_delivered": moment, "_op": op}
            | {"_key_hash": key, "_row_hash": line}
            for line, (key, op, moment, values) in enumerate(rows, start=2)
        ]
        pl.DataFrame(full, schema=pl.from_arrow(schema.empty_table()).schema).write_parquet(
            folder / f"{number}.parquet"
        )
        landed = sum(op == "U" for _, op, _, _ in rows)
        self.attempts.append(
            {
                "system": system,
                "extract": name,
                "file": f"f{number}",
                "batch_id": f"b{number}",
                "rows_landed": landed,
                "rows_repeated": repeated,
                "rows_quarantined": quarantined,
                "rows_delivered": landed + repeated + quarantined,
            }
        )

    def stage(self, feed, model, where):
        """A staging view over the latest versions of a feed."""
        system, name = feed.split(".")
        extract = CONTRACTS[system].extracts[name]
        self.feeds.append({"name": model, "config": {"meta": {"feed": feed}}})
        self.execute(
            f"""
            create view staging.{model} as
            select *, _file as source_file, _line as source_line from (
                select * from read_parquet('{self.lake}/raw/{system}/{name}/*.parquet')
                qualify row_number() over (
                    partition by {", ".join(extract.key)} order by _delivered desc, _file desc, _line desc
                ) = 1
            ) where _op = 'U' and {where}
            """
        )

    def execute(self, *statements):
        with duckdb.connect(str(self.path)) as connection:
            for statement in ("create schema if not exists staging", *statements):
                connection.execute(statement)

    def totals(self):
        (self.lake / "meta").mkdir(parents=True, exist_ok=True)
        attempts = write_attempts(self.lake / "meta" / "attempts.parquet", self.attempts)
        (self.models / "models.yml").write_text(json.dumps({"models": self.feeds}))
        build(self.path, attempts, staging_models=self.models)
        with duckdb.connect(str(self.path), read_only=True) as connection:
            rows = connection.sql("select hop, feed, measure, value, batch_id, reasons from quality.control_totals")
            return [(*row[:5], json.loads(row[5]) if row[5] else {}) for row in rows.fetchall()]

    def of(self, feed):
        """Rows by hop, added up over batches, and the reasons of what is excluded."""
        totals = [row for row in self.totals() if row[1] == feed and row[2] == "rows"]
        hops = {hop: int(sum(row[3] for row in totals if row[0] == hop)) for hop in {row[0] for row in totals}}
        reasons = next((row[5] for row in totals if row[0] == "excluded"), {})
        return hops, {name: int(count) for name, count in reasons.items()}


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path)


def patient(key, moment, **values):
    return (key, "U", moment, {"PAT_ID": f"t_{key}", "UPDATE_DATE": moment, **values})


def test_every_delivered_row_is_landed_repeated_or_quarantined(warehouse):
    warehouse.land("ehr.PATIENT", [patient(1, "20260401/0000")], repeated=3, quarantined=2)
    warehouse.land("ehr.PATIENT", [patient(2, "20260402/0000")], repeated=1)
    hops, _ = warehouse.of("ehr.PATIENT")
    assert hops == {
        "delivered": 8,
        "landed": 2,
        "repeated": 4,
        "quarantined": 2,
        "staged": 2,
        "superseded": 0,
        "excluded": 0,
    }
    batches = {row[4] for row in warehouse.totals() if row[0] == "delivered"}
    assert batches == {"b0", "b1"}


def test_a_landed_version_is_staged_or_superseded(warehouse):
    warehouse.land("ehr.PATIENT", [patient(1, "20260401/0000"), patient(2, "20260401/0000")])
    warehouse.land("ehr.PATIENT", [patient(1, "20260402/0000", AGE_BAND="40-44")])
    warehouse.stage("ehr.PATIENT", "stg_ehr__patient", "true")
    hops, _ = warehouse.of("ehr.PATIENT")
    assert (hops["landed"], hops["staged"], hops["superseded"], hops["excluded"]) == (3, 2, 1, 0)


def test_a_key_that_a_snapshot_no_longer_holds_is_excluded_as_deleted(warehouse):
    def room(key, op, moment):
        return (key, op, moment, {"OR_PROC_ID": str(key)})

    warehouse.land("ehr.OR_PROC", [room(n, "U", "20260401/0000") for n in (1, 2, 3)])
    # 2 goes; 3 goes and comes back.
    warehouse.land("ehr.OR_PROC", [room(2, "D", "20260402/0000"), room(3, "D", "20260402/0000")])
    warehouse.land("ehr.OR_PROC", [room(3, "U", "20260403/0000")])
    warehouse.stage("ehr.OR_PROC", "stg_ehr__procedure", "true")
    hops, reasons = warehouse.of("ehr.OR_PROC")
    assert (hops["landed"], hops["staged"], hops["superseded"], hops["excluded"]) == (4, 2, 1, 1)
    assert reasons == {"deleted": 1}


def test_test_patients_that_staging_leaves_out_are_excluded_with_that_reason(warehouse):
    warehouse.land("ehr.PATIENT", [patient(n, "20260401/0000") for n in (1, 2, 3)])
    warehouse.stage("ehr.PATIENT", "stg_ehr__patient", "PAT_ID <> 't_2'")
    warehouse.execute(
        "create table staging.stg_ehr__test_record as select 'patient' as record_type, 't_2' as record_id"
    )
    hops, reasons = warehouse.of("ehr.PATIENT")
    assert (hops["staged"], hops["excluded"], reasons) == (2, 1, {"test patient": 1})


def test_rows_that_a_delete_feed_names_are_excluded_as_deleted(warehouse):
    def header(key):
        return (key, "U", "20260401/0600", {"PoHeaderId": str(key)})

    warehouse.land("erp_fusion.PO_HEADERS", [header(1), header(2)])
    gone = {"EXTRACT": "PO_HEADERS", "KEY1": "2"}
    warehouse.land("erp_fusion.DELETED_KEYS", [(9, "U", "20260402/0600", gone)])
    warehouse.stage("erp_fusion.PO_HEADERS", "stg_erp_fusion__po_header", "PoHeaderId <> '2'")
    hops, reasons = warehouse.of("erp_fusion.PO_HEADERS")
    assert (hops["staged"], hops["excluded"], reasons) == (1, 1, {"deleted": 1})


def test_a_row_that_staging_drops_for_no_known_reason_is_missing_from_the_sum(warehouse):
    warehouse.land("ehr.PATIENT", [patient(n, "20260401/0000") for n in (1, 2, 3)])
    warehouse.stage("ehr.PATIENT", "stg_ehr__patient", "PAT_ID <> 't_2'")
    hops, _ = warehouse.of("ehr.PATIENT")
    assert hops["landed"] == 3
    assert hops["staged"] + hops["superseded"] + hops["excluded"] == 2


def test_a_staging_view_may_keep_versions_over_time(warehouse):
    """Costs and prices are staged with their history: what is staged is not superseded."""
    warehouse.land("ehr.PATIENT", [patient(1, "20260401/0000"), patient(2, "20260401/0000")])
    warehouse.land("ehr.PATIENT", [patient(1, "20260402/0000")])
    warehouse.land("ehr.PATIENT", [patient(1, "20260403/0000")])
    warehouse.stage("ehr.PATIENT", "stg_ehr__patient", "true")
    warehouse.execute(
        "create or replace view staging.stg_ehr__patient as select *, _file as source_file, _line as source_line"
        f" from read_parquet('{warehouse.lake}/raw/ehr/PATIENT/*.parquet') where _delivered <> '20260402/0000'"
    )
    hops, _ = warehouse.of("ehr.PATIENT")
    assert (hops["landed"], hops["staged"], hops["superseded"], hops["excluded"]) == (4, 3, 1, 0)


def test_a_staging_view_that_multiplies_rows_does_not_add_up(warehouse):
    warehouse.land("ehr.PATIENT", [patient(1, "20260401/0000")])
    warehouse.stage("ehr.PATIENT", "stg_ehr__patient", "true")
    warehouse.execute(
        "create or replace view staging.stg_ehr__patient as select p.*, _file as source_file, _line as source_line"
        f" from read_parquet('{warehouse.lake}/raw/ehr/PATIENT/*.parquet') as p, range(2)"
    )
    hops, _ = warehouse.of("ehr.PATIENT")
    assert hops["landed"] < hops["staged"] + hops["superseded"] + hops["excluded"]


def test_a_feed_that_no_model_stages_adds_up_and_says_so(warehouse):
    def charge(key, quantity):
        return (key, "U", "20260401/0600", {"message_id": str(key), "ft1_qty": quantity})

    warehouse.land("ehr_hl7.DFT_P03_FT1", [charge(1, "1"), charge(2, "-1")], repeated=1)
    hops, reasons = warehouse.of("ehr_hl7.DFT_P03_FT1")
    assert (hops["landed"], hops["staged"], hops["superseded"], hops["excluded"]) == (2, 2, 0, 0)
    assert reasons == {}
    (staged,) = [row for row in warehouse.totals() if row[0] == "staged"]
    assert staged[5] == {"current, no staging model reads it": "2"}


def test_a_feed_that_a_model_stages_says_nothing_of_the_kind(warehouse):
    warehouse.land("ehr.PATIENT", [patient(1, "20260401/0000")])
    warehouse.stage("ehr.PATIENT", "stg_ehr__patient", "true")
    assert [row[5] for row in warehouse.totals() if row[0] == "staged"] == [{}]


def test_a_version_of_a_resource_is_superseded_by_a_later_one_and_a_deletion_is_counted(warehouse):
    def device(key, resource, version, updated, op="U"):
        values = {"id": resource, "version_id": version, "last_updated": updated}
        return (key, op, "20260401/0000", values)

    warehouse.land(
        "ehr_fhir.Device",
        [
            device(1, "a", "1", "2026-04-01T05:00:00Z"),
            device(2, "a", "2", "2026-04-01T06:00:00.500Z"),
            device(3, "b", "1", "2026-04-01T05:00:00Z"),
            device(4, "c", "1", "2026-04-01T09:00:00Z"),
        ],
    )
    warehouse.land(
        "ehr_fhir.Device",
        [
            device(5, "b", None, "2026-04-01T03:00:00-04:00", "D"),
            # Came back after it was deleted, and one that was never seen.
            device(6, "c", None, "2026-04-01T08:00:00Z", "D"),
            device(7, "d", None, "2026-04-01T08:00:00Z", "D"),
        ],
    )
    # What a delivery says of deletions lands as a row of it.
    warehouse.attempts[-1] |= {"rows_landed": 3, "rows_delivered": 3}
    hops, reasons = warehouse.of("ehr_fhir.Device")
    assert (hops["landed"], hops["staged"], hops["superseded"], hops["excluded"]) == (7, 2, 1, 4)
    assert reasons == {"deleted": 1, "says what is deleted": 3}


def test_lines_are_counted_by_state_in_rows_quantities_and_dollars(warehouse):
    warehouse.execute(
        "create schema facts",
        "create schema quality",
        "create table facts.fct_po_line as select * from (values ('p1', 2.5::decimal(18,4), 10.10::decimal(18,2)),"
        " ('p2', 1, 5), ('p3', 4, null)) as t(po_line_key, ordered_each, line_amount)",
        "create table quality.line_states as select * from (values ('po_line', 'p1', 'matched', null, null),"
        " ('po_line', 'p2', 'excepted', null, 'CP-01'), ('po_line', 'p3', 'out_of_scope', 'cancelled', null),"
        " ('usage_line', 'p1', 'timing', null, null)) as t(line_type, line_key, state, reason, rule_id)",
    )
    totals = {(row[0], row[2]): (row[3], row[5]) for row in warehouse.totals() if row[1] == "po_line"}
    assert totals["conformed", "rows"] == (D(3), {})
    assert totals["conformed", "quantity_each"] == (D("7.5"), {})
    assert totals["conformed", "amount"] == (D("15.10"), {})
    assert totals["matched", "amount"] == (D("10.10"), {})
    assert totals["excepted", "rows"] == (D(1), {"CP-01": "1.0000"})
    assert totals["out_of_scope", "quantity_each"] == (D(4), {"cancelled": "4.0000"})
    assert totals["timing", "rows"] == (D(0), {})


@pytest.mark.parametrize(
    "states", ["('po_line', 'p1', 'matched')", "('po_line', 'p1', 'matched'), ('po_line', 'p1', 'timing')"]
)
def test_a_line_without_a_state_or_with_two_does_not_add_up(warehouse, states):
    keys = "('p1'), ('p2')" if "timing" not in states else "('p1')"
    warehouse.execute(
        "create schema facts",
        "create schema quality",
        f"create table facts.fct_po_line as select * from (values {keys}) as t(po_line_key)",
        "create table quality.line_states as select *, null::varchar as reason, null::varchar as rule_id"
        f" from (values {states}) as t(line_type, line_key, state)",
    )
    sums = {row[0]: row[3] for row in warehouse.totals() if row[1] == "po_line"}
    parts = sum(sums[state] for state in ("matched", "timing", "excepted", "out_of_scope"))
    assert sums["conformed"] != parts


def test_staging_models_say_which_feed_they_stage(tmp_path):
    (tmp_path / "a.yml").write_text("models:\n- {name: stg_x__y, config: {meta: {feed: x.Y}}}\n- {name: stg_x__z}\n")
    (tmp_path / "sources.yml").write_text("version: 2\nsources: []\n")
    assert staging_feeds(tmp_path) == {"x.Y": ["stg_x__y"]}


# ------------------------------------------------------------------------------------------------ suites


def test_a_suite_refuses_the_rows_whose_verdict_is_not_accepted(tmp_path):
    frame = pl.DataFrame({"difference": [D("0"), D("-1.5")], "verdict": ["fine", "bad"], "row": [10, 20]})
    suite = Suite("Sums", "Sums agree", {"owner": "GL"}, ("fine",))
    assert validate(suite, frame, tmp_path, AsOf.parse("2026-04-30")) == [20]
    assert validate(suite, frame.filter(pl.col("row") == 10), tmp_path, AsOf.parse("2026-04-30")) == []
    assert validate(suite, frame.clear(), tmp_path, AsOf.parse("2026-04-30")) == []


def test_data_docs_tell_an_auditor_what_was_expected_and_what_was_not_met(tmp_path):
    as_of = AsOf.parse("2026-04-30")
    frame = pl.DataFrame({"entity_key": ["journal=7"], "difference": [D("-1.50")], "verdict": ["bad"], "row": [0]})
    validate(Suite("GL-05 Journals", "Every journal balances", {"owner": "GL"}, ("fine",)), frame, tmp_path, as_of)
    index = leave_data_docs(tmp_path, tmp_path / "data_docs", as_of)
    assert index.exists()
    (page,) = (tmp_path / "data_docs" / "validations").rglob("*.html")
    text = re.sub(r"<[^>]+>", " ", page.read_text())
    for told in ("Every journal balances", "journal=7", "-1.50", "GL-05 Journals"):
        assert told in text
    leave_data_docs(tmp_path, tmp_path / "data_docs", as_of)
    assert [path.name for path in tmp_path.iterdir() if "data_docs" in path.name] == ["data_docs"]


def test_data_docs_open_behind_a_firewall_and_show_the_refused_rows_first(tmp_path):
    """The generated index was an empty page where the hosts of its scripts cannot be reached."""
    as_of = AsOf.parse("2026-04-30")
    frame = pl.DataFrame({"entity_key": ["fine", "apart <1>"], "verdict": ["within", "breach"], "row": [0, 1]})
    validate(
        Suite("GL-99 Trial", "every row is within tolerance", {"owner": "GL"}, ("within",)), frame, tmp_path, as_of
    )
    index = leave_data_docs(tmp_path, tmp_path / "data_docs", as_of)
    assert "1 of 2 rows refused" in index.read_text()
    page = (index.parent / "suites" / "GL-99 Trial.html").read_text()
    assert page.index("apart &lt;1&gt;") < page.index("fine")
    for written in index.parent.rglob("*.html"):
        assert not re.search(r"<(script|link|img)[^>]*https?://", written.read_text()), written


def test_a_run_leaves_data_docs_of_its_ledger_rules_and_its_control_totals_once_both_are_judged(court):
    row = {
        "entity_key": "facility=H1|period=2026-04",
        "control_role": "GRNI",
        "fiscal_period": "2026-04",
        "subledger_amount": D(100),
        "ledger_amount": D(92),
        "explained_amount": D(0),
        "unexplained_amount": D(8),
        "business_date": dt.date(2026, 4, 30),
    }
    balanced = {"difference_amount": D(0), "debit_amount": D(3), "credit_amount": D(3)}
    journals = [balanced | {"entity_key": f"journal={number}"} for number in range(500)]
    court.judge({"rec_tie_out": [row], "rec_journal_balance": journals})
    docs = court.home / "data_docs"
    assert not docs.exists()
    seen = pl.read_parquet(court.home / "warehouse" / "2026-04-30" / "controls" / "GL-05 *.parquet")
    assert (seen.height, seen["rows"].sum(), seen["debit_amount"].sum()) == (1, 500, D(1500))
    build_db = court.home / "warehouse" / "2026-04-30" / "build.duckdb"
    (court.home / "lake" / "meta").mkdir(parents=True)
    attempts = write_attempts(
        court.home / "lake" / "meta" / "attempts.parquet", [{"rows_delivered": 11, "rows_landed": 0}]
    )
    build(build_db, attempts)
    assert (docs / "index.html").exists()
    told = {suite: page for page in (docs / "validations").rglob("*.html") for suite in page.parts}
    page = next(page for suite, page in told.items() if suite.startswith("Control totals"))
    assert {"GL-02", "GL-05"} <= {suite[:5] for suite in told}
    assert "delivered = landed + quarantined + repeated" in page.read_text()


def test_identities_name_the_hop_that_does_not_add_up():
    from quality.controls.totals import Total

    totals = [
        Total("delivered", "x.Y", "rows", D(5)),
        Total("landed", "x.Y", "rows", D(3)),
        Total("staged", "x.Y", "rows", D(3)),
    ]
    frame = identities_frame(totals)
    assert frame.select("identity", "difference", "verdict").rows() == [
        ("delivered = landed + quarantined + repeated", D(2), "differs"),
        ("landed = staged + superseded + excluded", D(0), "adds up"),
    ]
