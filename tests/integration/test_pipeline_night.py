"""A whole night on a small world: simulate, run, read, score; the same in two steps with a run killed in between.

The real thing throughout: the `suture` command in processes of its own, real dbt, real DuckDB, a temporary home.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from orchestration.settings import CHECKOUT, Settings, dbt_environment

pytestmark = pytest.mark.slow

START, DAYS, MIDDLE, AS_OF = "2026-03-20", 42, "2026-04-12", "2026-04-30"
WORLD = ["--start", START, "--days", str(DAYS), "--scale", "0.004", "--seed", "11", "--sites", "H1,H5"]

EXCEPTIONS = {
    "exception_id": "VARCHAR",
    "occurrence": "INTEGER",
    "rule_id": "VARCHAR",
    "rule_version": "VARCHAR",
    "tolerance_version": "VARCHAR",
    "severity": "VARCHAR",
    "queue": "VARCHAR",
    "facility_id": "VARCHAR",
    "entity_key": "VARCHAR",
    "business_date": "DATE",
    "fiscal_period": "VARCHAR",
    "impact_amount": "DECIMAL(18,2)",
    "root_exception_id": "VARCHAR",
    "status": "VARCHAR",
    "first_detected_at": "TIMESTAMP",
    "last_detected_at": "TIMESTAMP",
    "closed_at": "TIMESTAMP",
    "due_at": "TIMESTAMP",
    "explanation": "VARCHAR",
    "evidence": "JSON",
}
FINANCE = {
    "charge_capture": "facility_id service_line fiscal_period chargeable_lines charged_lines in_flight_lines"
    " timing_lines missed_lines chargeable_amount charged_amount in_flight_amount missed_amount late_amount",
    "case_margin": "case_id facility_id service_line procedure_code surgeon_key payer_class surgery_date fiscal_period"
    " gross_charges_amount expected_net_revenue_amount supply_cost_amount implant_cost_amount wasted_cost_amount"
    " contribution_margin_amount completeness",
    "three_way_match": "po_line_key facility_id source_system po_number line_number supplier_id item_id match_basis"
    " match_state ordered_each received_each invoiced_each po_price ordered_amount received_amount invoiced_amount"
    " price_variance_amount quantity_variance_each",
    "grni_aging": "po_line_key facility_id supplier_id oldest_receipt_date age_days age_bucket unbilled_each"
    " unbilled_amount",
    "tie_out": "facility_id control_role fiscal_period subledger_amount ledger_amount explained_amount"
    " unexplained_amount",
}


def suture(home: Path, *arguments: str, ends_with: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "orchestration", "--home", str(home), *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ends_with, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@dataclass(frozen=True)
class Night:
    """A home after one undisturbed run."""

    home: Path
    landing: Path
    output: str

    @property
    def summary(self) -> dict[str, object]:
        return json.loads(self.output.splitlines()[-1])

    @property
    def manifest(self) -> dict[str, object]:
        return json.loads((self.home / "published" / "current" / "manifest.json").read_text())

    def query(self, sql: str) -> list[tuple[object, ...]]:
        database = self.home / "published" / "current" / "suture.duckdb"
        with duckdb.connect(str(database), read_only=True) as connection:
            return connection.execute(sql).fetchall()


def hashes(manifest: dict[str, object]) -> dict[str, str]:
    return {table: entry["content_hash"] for table, entry in manifest["tables"].items()}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Night:
    folder = tmp_path_factory.mktemp("a night")
    landing, home = folder / "landing", folder / "home"
    suture(home, "simulate", "--out", str(landing), *WORLD)
    done = suture(home, "run", "nightly", "--landing", str(landing), "--as-of", AS_OF)
    return Night(home, landing, done.stdout)


def test_the_last_line_is_the_summary_with_the_promised_fields(night):
    assert list(night.summary) == [
        "run_id",
        "snapshot_id",
        "published",
        "rows_in",
        "rows_landed",
        "rows_quarantined",
        "exceptions_open",
        "seconds",
    ]
    assert night.summary["published"] is True
    assert night.summary["rows_in"] >= night.summary["rows_landed"] > 0
    assert night.summary["snapshot_id"] == night.manifest["snapshot_id"]
    assert "Close summary as of 2026-04-30" in night.output


def test_the_exceptions_have_the_promised_columns_and_types(night):
    described = {name: kind for name, kind, *_ in night.query("describe quality.exceptions")}
    assert {name: described.get(name) for name in EXCEPTIONS} == EXCEPTIONS


@pytest.mark.parametrize("table", FINANCE)
def test_finance_tables_have_the_promised_columns(night, table):
    described = {name: kind for name, kind, *_ in night.query(f"describe finance.{table}")}
    promised = FINANCE[table].split()
    assert [name for name in promised if name not in described] == []
    assert {kind for name, kind in described.items() if name.endswith("_amount")} <= {"DECIMAL(18,2)"}
    assert {kind for name, kind in described.items() if name.endswith("_each")} <= {"DECIMAL(18,4)"}


def test_the_manifest_lists_every_published_table_with_its_key_and_rows(night):
    listed = {row[0] for row in night.query("select table_schema || '.' || table_name from information_schema.tables")}
    assert listed == set(night.manifest["tables"])
    assert {name.split(".")[0] for name in listed} == {"conformed", "facts", "recon", "finance", "quality"}
    for table, entry in night.manifest["tables"].items():
        assert night.query(f"select count(*) from {table}") == [(entry["rows"],)]
        assert entry["key"], f"{table} has no key"
    assert {"id", "feed", "hash", "rows"} == set(night.manifest["batches"][0])


def test_every_planted_defect_is_found_to_the_cent_and_no_near_miss_is(night):
    done = suture(night.home, "score", "--answer-key", str(night.landing / "answer_key"), "--format", "json")
    result = json.loads(done.stdout)["judged"]
    assert result["recall"] == 1.0, done.stdout
    assert result["precision"] >= 0.99, done.stdout
    assert result["dollar_recall"] == 1.0, done.stdout
    assert result["near_misses_open"] == 0, done.stdout


def test_the_run_shows_in_dagster_with_its_assets_and_checks(night):
    code = (
        "import sys\n"
        "import dagster as dg\n"
        "instance = dg.DagsterInstance.get()\n"
        "run = instance.get_run_by_id(sys.argv[1])\n"
        "key = dg.AssetKey(['published', 'snapshot'])\n"
        "print(run.job_name, run.status.value, instance.get_latest_materialization_event(key) is not None)\n"
    )
    environment = {**os.environ, "DAGSTER_HOME": str(night.home / "dagster")}
    command = [sys.executable, "-c", code, str(night.summary["run_id"])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nightly", "SUCCESS", "True"]


def test_dbt_unit_tests_pass(night, tmp_path):
    """They need the relations of a build, so they run on a copy of this night's."""
    settings = Settings(tmp_path)
    work = settings.work("unit")
    shutil.copytree(night.home / "warehouse" / str(night.summary["run_id"]), work)
    environment = {
        **os.environ,
        **dbt_environment(settings, "unit"),
        "SUTURE_LAKE": str(night.home / "lake"),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "target"),
    }
    project = CHECKOUT / "dbt_project"
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "dbt"),
            *("test", "--select", "test_type:unit", "--vars", json.dumps({"as_of": AS_OF})),
            *("--project-dir", str(project), "--profiles-dir", str(project)),
        ],
        env=environment,
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]


def test_lists_of_exceptions_agree_in_every_format(night, tmp_path):
    listed = json.loads(suture(night.home, "exceptions", "--format", "json").stdout)
    csv_lines = suture(night.home, "exceptions", "--format", "csv").stdout.splitlines()
    suture(night.home, "exceptions", "--format", "parquet", "--out", str(tmp_path / "exceptions.parquet"))
    with duckdb.connect() as connection:
        parquet = connection.execute(f"select count(*) from '{tmp_path}/exceptions.parquet'").fetchone()
    assert (len(listed), len(csv_lines) - 1) == (parquet[0], parquet[0])
    one = listed[0]
    narrowed = json.loads(
        suture(
            night.home, "exceptions", "--rule", one["rule_id"], "--facility", one["facility_id"], "--format", "json"
        ).stdout
    )
    assert {(each["rule_id"], each["facility_id"]) for each in narrowed} == {(one["rule_id"], one["facility_id"])}


def test_an_exception_is_located_in_its_delivery(night):
    found = night.query(
        "select exception_id from quality.exceptions where status <> 'auto_cleared' and rule_id like 'UC%' limit 1"
    )
    done = suture(night.home, "locate", str(found[0][0]))
    assert "line " in done.stdout
    assert "(not there any more)" not in done.stdout


def test_the_doctor_finds_nothing_wrong(night):
    assert "TROUBLE" not in suture(night.home, "doctor").stdout


def test_an_as_of_before_the_last_published_run_is_refused(night):
    done = suture(night.home, "run", "nightly", "--landing", str(night.landing), "--as-of", MIDDLE, ends_with=2)
    assert "earlier" in done.stderr


def test_a_snapshot_is_listed_and_served_again_on_demand(night):
    snapshot_id = str(night.summary["snapshot_id"])
    assert snapshot_id in suture(night.home, "snapshots").stdout
    assert snapshot_id in suture(night.home, "rollback", snapshot_id[:20]).stdout


@pytest.fixture(scope="module")
def stepwise(night, tmp_path_factory) -> Night:
    """The same world in a home of its own: a run killed on its way through the first weeks, then one to the end."""
    home = tmp_path_factory.mktemp("stepwise") / "home"
    (home / "keys").mkdir(parents=True)
    shutil.copy(night.home / "keys" / "token.key", home / "keys" / "token.key")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "orchestration", "--home", str(home)),
            *("run", "nightly", "--landing", str(night.landing), "--as-of", MIDDLE),
        ],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if " dbt finance: " in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (home / "published" / "current").exists()
    done = suture(home, "run", "intraday", "--as-of", AS_OF)
    return Night(home, night.landing, done.stdout)


def test_two_steps_and_a_kill_publish_what_one_undisturbed_run_does(night, stepwise):
    """The killed run had landed three weeks and entered its findings in the exception ledger."""
    assert hashes(stepwise.manifest) == hashes(night.manifest)
    assert stepwise.summary["snapshot_id"] == night.summary["snapshot_id"]


def test_what_a_killed_run_left_is_gone_and_its_record_says_so(stepwise):
    assert [folder.name for folder in (stepwise.home / "warehouse").iterdir()] == [stepwise.summary["run_id"]]
    assert [path.name for path in (stepwise.home / "published").iterdir() if path.name.startswith(".")] == []
    code = "import dagster as dg\nprint(sorted(run.status.value for run in dg.DagsterInstance.get().get_runs()))"
    environment = {**os.environ, "DAGSTER_HOME": str(stepwise.home / "dagster")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['FAILURE', 'SUCCESS']"


def planted_identifiers(landing: Path) -> dict[str, set[str]]:
    """What stands in the columns that identify a patient, by kind, as the deliveries write it."""
    kinds = {
        "PAT_MRN_ID": "MRN",
        "PAT_ID": "patient id",
        "SSN": "SSN",
        "HOME_PHONE": "phone",
        "EMAIL_ADDRESS": "mail",
        "PAT_NAME": "name",
        "HSP_ACCOUNT_ID": "account",
        "PAT_ENC_CSN_ID": "encounter",
    }
    found: dict[str, set[str]] = {kind: set() for kind in kinds.values()}
    for extract in ("ehr/*/PATIENT.csv", "ehr/*/PAT_ENC_HSP.csv", "hb/*/HSP_ACCOUNT.csv"):
        for file in sorted(landing.glob(extract)):
            with file.open(newline="", encoding="utf-8") as rows:
                for row in csv.DictReader(rows):
                    for column in kinds.keys() & row.keys():
                        if row[column] and len(row[column]) > 5:
                            found[kinds[column]].add(row[column])
    return found


def everything_written(home: Path) -> Iterator[tuple[str, str]]:
    """Every file below the home with all it says: tables as text, other files as they are. The token key left out."""
    for file in sorted(path for path in home.rglob("*") if path.is_file() and path.parent.name != "keys"):
        name = str(file.relative_to(home))
        yield name, name
        if file.suffix == ".parquet":
            with duckdb.connect() as connection:
                rows = connection.execute("select * from read_parquet(?)", [str(file)]).fetchall()
            yield name, "\n".join(map(str, rows))
        elif file.suffix == ".duckdb":
            with duckdb.connect(str(file), read_only=True) as connection:
                tables = "select schema_name, table_name from duckdb_tables()"
                for schema, table in connection.execute(tables).fetchall():
                    rows = connection.execute(f'select * from "{schema}"."{table}"').fetchall()
                    yield f"{name}: {schema}.{table}", "\n".join(map(str, rows))
        else:
            yield name, file.read_bytes().decode("utf-8", "replace")


def test_no_identifier_of_a_patient_is_anywhere_in_the_home(night):
    """Lake, warehouse, snapshot, exception ledger, logs, Data Docs and what Dagster stores."""
    planted = planted_identifiers(night.landing)
    assert all(len(values) > 20 for values in planted.values()), {kind: len(values) for kind, values in planted.items()}
    words = {value: kind for kind, values in planted.items() if kind != "name" for value in values}
    names = re.compile("|".join(re.escape(name) for name in sorted(planted["name"])))
    leaks = set()
    searched = 0
    for place, text in everything_written(night.home):
        searched += 1
        leaks |= {(place, words[word]) for word in set(re.findall(r"[A-Za-z0-9.@_-]+", text)) & words.keys()}
        if names.search(text):
            leaks.add((place, "name"))
    assert searched > 200
    assert not leaks


SPOILT = "ehr/20260401/IDENTITY_SUP_ID.csv"


@pytest.fixture(scope="module")
def damaged(night, tmp_path_factory) -> Night:
    """The last deliveries again with one row in a hundred of an extract spoilt and one archive cut short."""
    folder = tmp_path_factory.mktemp("damaged")
    landing, home = folder / "landing", folder / "home"
    shutil.copytree(night.landing, landing)
    spoilt = landing / SPOILT
    lines = spoilt.read_text(encoding="utf-8").splitlines()
    for number in range(50, len(lines), 100):
        lines[number] = lines[number].rpartition(",")[0] + ","
    spoilt.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    manifest = spoilt.with_name("_manifest.csv")
    stated = re.sub(
        r"(?m)^IDENTITY_SUP_ID,(\d+),\w+$",
        lambda row: f"IDENTITY_SUP_ID,{row[1]},{hashlib.sha256(spoilt.read_bytes()).hexdigest()}",
        manifest.read_text(encoding="utf-8"),
    )
    manifest.write_text(stated, encoding="utf-8", newline="")
    archive = sorted(landing.glob("erp_fusion/20260415/*/SUPPLIER_SITES.zip"))[0]
    archive.write_bytes(archive.read_bytes()[:-40])
    done = suture(home, "run", "nightly", "--landing", str(landing), "--as-of", AS_OF)
    return Night(home, landing, done.stdout)


def test_one_bad_row_in_a_hundred_and_a_cut_archive_are_set_aside_and_the_rest_is_published(night, damaged):
    expected = len(range(50, len((damaged.landing / SPOILT).read_text(encoding="utf-8").splitlines()), 100))
    assert expected >= 5
    assert damaged.summary["published"] is True
    assert int(str(damaged.summary["rows_quarantined"])) == int(str(night.summary["rows_quarantined"])) + expected
    listed = suture(damaged.home, "quarantine", "list").stdout
    assert SPOILT in listed
    assert "erp_fusion/20260415" in listed
    assert "SUPPLIER_SITES.zip" in listed
    totals = "select feed, hop, sum(value) from quality.control_totals where measure = 'rows' group by feed, hop"
    hops: dict[str, dict[str, object]] = {}
    for feed, hop, value in damaged.query(totals):
        hops.setdefault(str(feed), {})[str(hop)] = value
    counted = {feed: hop for feed, hop in hops.items() if "delivered" in hop}
    assert counted
    for feed, hop in counted.items():
        parts = (hop.get(name, 0) for name in ("landed", "quarantined", "repeated"))
        assert hop["delivered"] == sum(parts), feed  # type: ignore[arg-type, call-overload]
