"""The `suture` command: options, errors, exit codes, speed. Runs of the pipeline are in tests/integration."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from orchestration.cli import app, arrange
from orchestration.settings import CHECKOUT

PROMISED = {
    "simulate",
    "run",
    "exceptions",
    "score",
    "quarantine",
    "locate",
    "snapshots",
    "rollback",
    "export",
    "key",
    "doctor",
    "pull",
    "gudid",
}


def suture(home, *arguments):
    return CliRunner().invoke(app, arrange([*arguments, "--home", str(home)]))


def test_every_promised_command_is_there():
    shown = CliRunner().invoke(app, ["--help"]).output
    assert {name for name in PROMISED if f"\n  {name}" in shown} == PROMISED


def test_the_home_may_stand_anywhere_and_sites_may_be_several():
    assert arrange(["run", "nightly", "--home", "h", "--as-of", "x"]) == [
        "--home",
        "h",
        "run",
        "nightly",
        "--as-of",
        "x",
    ]
    assert arrange(["simulate", "--home=h"]) == ["--home=h", "simulate"]
    assert arrange(["simulate", "--sites", "H1", "H5", "--days", "3"]) == [
        "simulate",
        "--sites",
        "H1,H5",
        "--days",
        "3",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "nightly", "--landing", "/nowhere/at all", "--as-of", "2026-04-30"], "does not exist"),
        (["run", "nightly"], "no landing directory is known"),
        (["run", "nightly", "--landing", "/tmp", "--as-of", "30.4.2026"], "YYYY-MM-DD"),
        (["exceptions"], "nothing is published yet"),
        (["exceptions", "--format", "parquet"], "nothing is published yet"),
        (["score", "--answer-key", "/nowhere"], "nothing is published yet"),
        (["rollback", "20260430"], "no snapshot has the id"),
        (["export", "current", "out.duckdb"], "nothing is published yet"),
        (["locate", "ehr/20260101/OR_LOG.csv:3"], "no landing directory is known"),
        (["key", "backup", "/tmp"], "is a directory"),
        (["simulate"], "--out"),
        (["unheard-of"], "No such command"),
    ],
)
def test_what_the_caller_can_put_right_ends_with_code_2_and_says_how(tmp_path, arguments, told):
    result = suture(tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert told in result.output


def test_listing_snapshots_of_a_new_home_is_no_error(tmp_path):
    result = suture(tmp_path, "snapshots")
    assert (result.exit_code, result.output.strip().splitlines()[-1].strip()) == (0, "none")


def test_the_doctor_tells_a_new_home_what_to_do_first(tmp_path):
    result = suture(tmp_path / "new", "doctor")
    assert result.exit_code == 0, result.output
    assert "suture run nightly" in result.output


def test_python_m_orchestration_is_the_same_command_and_quick(tmp_path):
    """Half a second on an idle machine; the limit here leaves room for a busy one."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "orchestration", "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "suture" in done.stdout
    assert time.monotonic() - started < 3


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom orchestration.cli import app\n"
        "CliRunner().invoke(app, ['--help'])\n"
        "heavy = {'dagster', 'dbt', 'polars', 'duckdb', 'pandera', 'great_expectations', 'pyarrow', 'pandas', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
