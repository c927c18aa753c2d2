"""The warehouse project: it builds on nothing, its arithmetic is exact, its limits are the published ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from ingest.landing import ensure_empty_sources

ROOT = Path(__file__).parents[3]
PROJECT = ROOT / "dbt_project"
MARTS = ("conformed", "facts", "recon", "finance")
JUDGED_COLUMNS = (
    "exception_id varchar, occurrence integer, rule_id varchar, facility_id varchar, entity_key varchar, "
    "business_date date, fiscal_period varchar, impact_amount decimal(18, 2), root_exception_id varchar, status varchar"
)


def run_dbt(home: Path, *arguments: str, as_of: str | None = "2026-04-30") -> subprocess.CompletedProcess[str]:
    """Call dbt the way the pipeline does, on a lake below `home`."""
    environment = {
        **os.environ,
        "SUTURE_LAKE": str(home / "lake"),
        "SUTURE_WORK": str(home / "work"),
        "SUTURE_BUILD_DB": str(home / "build.duckdb"),
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
        "DO_NOT_TRACK": "1",
    }
    variables = {"as_of": as_of} if as_of else {}
    command = [str(Path(sys.executable).with_name("dbt")), *arguments, "--vars", json.dumps(variables)]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def empty_build(tmp_path_factory):
    """A build of an empty lake, with dbt's unit tests; tests of keys have nothing to say there and are left out."""
    home = tmp_path_factory.mktemp("empty")
    ensure_empty_sources(home / "lake")
    (home / "work").mkdir()
    with duckdb.connect() as connection:
        connection.execute(f"create table exceptions ({JUDGED_COLUMNS})")
        connection.execute(f"copy exceptions to '{home / 'work' / 'judged.parquet'}' (format parquet)")
    (home / "lake" / "meta").mkdir(exist_ok=True)
    return home, run_dbt(home, "build", "--exclude-resource-type", "test", "--exclude", "source:raw_meta+")


def test_an_empty_lake_builds_and_every_unit_test_passes(empty_build):
    home, result = empty_build
    assert result.returncode == 0, result.stdout[-4000:]
    with duckdb.connect(str(home / "build.duckdb"), read_only=True) as connection:
        tables = connection.execute(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where table_type = 'BASE TABLE' and table_schema in ('facts', 'recon', 'finance')"
        ).fetchall()
        rows = {name: connection.execute(f"select count(*) from {name}").fetchall()[0][0] for (name,) in tables}
    assert len(rows) > 25
    assert {name for name, count in rows.items() if count} == set()


def test_every_mart_says_its_grain_and_tests_its_key():
    described = {
        model["name"]: model
        for path in PROJECT.glob("models/**/*.yml")
        for model in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models", [])
    }
    for folder in MARTS:
        for path in sorted((PROJECT / "models" / folder).glob("*.sql")):
            header = path.read_text(encoding="utf-8").split("\nselect", 1)[0].split("\nwith", 1)[0]
            assert "rain" in header and "istribution:" in header, f"{path.name} does not say grain and distribution"
            model = described[path.stem]
            tests = [*model.get("data_tests", [])] + [t for c in model["columns"] for t in c.get("data_tests", [])]
            assert tests, f"{path.name} has no key test"
            undescribed = [c["name"] for c in model["columns"] if not c.get("description")]
            assert not undescribed, f"{path.name} does not describe {undescribed}"


def test_the_limits_of_the_project_are_those_of_the_tolerance_file():
    variables = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
    limits = yaml.safe_load((ROOT / "quality" / "rules" / "tolerances.yaml").read_text(encoding="utf-8"))["limits"]
    assert {name: limits[name] for name in variables} == variables


def test_a_build_without_a_business_clock_is_refused(tmp_path):
    ensure_empty_sources(tmp_path / "lake")
    result = run_dbt(tmp_path, "run", "--select", "dim_facility", as_of=None)
    assert result.returncode != 0
    assert "as_of" in result.stdout


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("{{ divide_decimal('cast(10 as decimal(18, 5))', '3') }}", "3.33333333"),
        ("{{ divide_decimal('-10', '3', 2) }}", "-3.33"),
        ("{{ divide_decimal('cast(0.005 as decimal(18, 5))', '1', 2) }}", "0.01"),
        ("{{ divide_decimal('1', '0') }}", "None"),
        ("{{ money_product(['cast(1.5 as decimal(18, 4))', 'cast(0.03 as decimal(18, 5))']) }}", "0.04"),
        ("{{ money_product(['cast(-1.5 as decimal(18, 4))', 'cast(0.03 as decimal(18, 5))'], 'half_up') }}", "-0.05"),
        ("{{ gs1_date(\"'260200'\") }}", "2026-02-28"),
        ("{{ gs1_date(\"'260231'\") }}", "None"),
        ("{{ to_legacy_date(\"'17530101'\") }}", "None"),
        ("{{ catalogue_key(\"'00-12.a b/3'\") }}", "12AB3"),
        ("{{ manufacturer_name_key(\"'Acme Inc 123456'\") }}", "ACME INC"),
        ("{{ lot_key(\"'00A-O1'\") }}", "A01"),
        ("{{ business_date_of_utc(\"timestamp '2026-04-01 03:00:00'\") }}", "2026-03-31"),
    ],
)
def test_arithmetic_and_normal_forms_are_exact(empty_build, expressions_answered, expression, wanted):
    assert expressions_answered[expression] == wanted


@pytest.fixture(scope="module")
def expressions_answered(request, empty_build):
    """Every expression of the test above, rendered by dbt and answered by DuckDB in one call."""
    home, _ = empty_build
    marker = next(mark for mark in test_arithmetic_and_normal_forms_are_exact.pytestmark if mark.name == "parametrize")
    expressions = [expression for expression, _ in marker.args[1]]
    columns = ", ".join(f"cast({expression} as varchar) as c{place}" for place, expression in enumerate(expressions))
    result = run_dbt(home, "show", "--inline", f"select {columns}", "--output", "json", "--quiet")
    row = json.loads(result.stdout[result.stdout.index("{") :])["show"][0]
    return {expression: str(row[f"c{place}"]) for place, expression in enumerate(expressions)}
