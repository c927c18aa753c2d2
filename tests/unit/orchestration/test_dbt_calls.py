"""How dbt is called: arguments, manifest, keys, failures."""

from __future__ import annotations

import json
import shutil

import pytest

from ingest.clock import AsOf
from orchestration import dbt
from orchestration.dbt import DBT_PROJECT, DbtFailed, WarehouseTranslator
from orchestration.steps import dbt_as_of


@pytest.mark.parametrize(
    ("as_of", "told"),
    [("2026-04-30", "2026-04-30"), ("2026-04-30T23:59:59", "2026-04-30"), ("2026-04-30T06:45", "2026-04-30T06:45")],
)
def test_dbt_is_told_the_business_clock_and_nothing_else(as_of, told):
    arguments = dbt.build_arguments(dbt_as_of(AsOf.parse(as_of)))
    assert arguments == ["build", "--vars", json.dumps({"as_of": told})]


def test_the_two_calls_leave_unit_tests_to_the_test_suite():
    for call in (dbt.WAREHOUSE_CALL, dbt.FINANCE_CALL):
        assert "resource_type:unit_test" in call.exclude


def test_a_changed_model_makes_the_manifest_stale(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.sql").write_text("select 1 as one")
    before = dbt.project_fingerprint(tmp_path)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "run_results.json").write_text("{}")
    assert dbt.project_fingerprint(tmp_path) == before
    (tmp_path / "models" / "a.sql").write_text("select 2 as two")
    assert dbt.project_fingerprint(tmp_path) != before


@pytest.fixture
def small_project(tmp_path):
    """The project's configuration with one model: a fresh clone, nothing parsed yet, in a path with a space."""
    project = tmp_path / "a checkout" / "dbt_project"
    (project / "models" / "finance").mkdir(parents=True)
    (project / "tests").mkdir()
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(DBT_PROJECT / name, project / name)
    shutil.copytree(DBT_PROJECT / "macros", project / "macros")
    (project / "models" / "finance" / "one.sql").write_text("select 1 as one_id")
    (project / "models" / "finance" / "_one.yml").write_text(
        "models:\n- name: one\n  config: {contract: {enforced: true}}\n  constraints:\n"
        "  - {type: primary_key, columns: [one_id]}\n"
        "  columns:\n  - {name: one_id, data_type: integer, data_tests: [unique]}\n"
    )
    return project


def test_a_missing_manifest_is_made_and_a_fresh_one_is_left_alone(small_project):
    manifest = dbt.ensure_manifest(small_project)
    assert dbt.keys_of_models(dbt.load_manifest(manifest)) == {"finance.one": ["one_id"]}
    made_at = manifest.stat().st_mtime_ns
    assert dbt.ensure_manifest(small_project).stat().st_mtime_ns == made_at
    assert [path.name for path in (small_project / "target").iterdir() if path.name.startswith(".")] == []


def test_a_project_that_does_not_parse_says_why_and_leaves_no_manifest(small_project):
    (small_project / "models" / "finance" / "broken.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(DbtFailed, match="nowhere"):
        dbt.ensure_manifest(small_project)
    assert not (small_project / "target" / "manifest.json").exists()


def test_failures_are_told_in_one_line_each(tmp_path):
    results = [
        {"unique_id": "model.suture.a", "status": "success", "message": "OK"},
        {"unique_id": "model.suture.b", "status": "error", "message": "Runtime Error\n  in line 3"},
        {"unique_id": "test.suture.c", "status": "fail", "message": "Got 2 results"},
        {"unique_id": "model.suture.d", "status": "skipped", "message": None},
    ]
    (tmp_path / "run_results.json").write_text(json.dumps({"results": results}))
    assert dbt.failures_of(tmp_path) == [
        "model.suture.b: error Runtime Error in line 3",
        "test.suture.c: fail Got 2 results",
    ]


def test_raw_extracts_are_one_asset_a_system_and_judged_rows_are_the_exceptions():
    translator = WarehouseTranslator()
    raw = {"resource_type": "source", "source_name": "raw_pou", "name": "txn"}
    judged = {"resource_type": "source", "source_name": "judged", "name": "exceptions"}
    model = {"resource_type": "model", "name": "fct_po_line", "fqn": ["suture", "facts", "fct_po_line"]}
    keys = [translator.get_asset_key(each).to_user_string() for each in (raw, judged, model)]
    assert keys == ["raw/pou", "quality/exceptions", "facts/fct_po_line"]
