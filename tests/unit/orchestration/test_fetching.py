"""`suture pull`, `suture gudid` and the doctor's look at endpoints: exit codes, what is said, what is not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from orchestration.cli import app, arrange
from orchestration.settings import CHECKOUT
from tests.unit.ingest.landing_builder import Landing, row
from tests.unit.ingest.test_gudid import DEVICES
from tests.unit.ingest.test_gudid import xml as gudid_release

CANARY = "c4nary-of-the-command-line"
LISTED = "hb.HSP_TRANSACTIONS"


def suture(home, *arguments):
    return CliRunner().invoke(app, arrange([*arguments, "--home", str(home)]))


def summary(result):
    return json.loads(result.output.strip().splitlines()[-1])


@pytest.fixture
def home(tmp_path, monkeypatch):
    remote = Landing(tmp_path / "remote")
    remote.put(LISTED, "20260110", [row(LISTED, TX_ID="1")])
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("PULL_CANARY", CANARY)
    (home / "endpoints.yaml").write_text(
        f"""
endpoints:
  billing: {{system: hb, kind: files, url: 'file://{remote.root}'}}
  away:
    system: pou
    kind: files
    url: file:///nowhere/at/all
    options: {{password: "${{env:PULL_CANARY}}"}}
    retry: {{attempts: 1}}
"""
    )
    return home


def test_a_pull_ends_with_json_and_code_0_when_every_endpoint_was_pulled(home, tmp_path):
    result = suture(home, "pull", "--system", "hb", "--landing", str(tmp_path / "landing"))
    assert result.exit_code == 0, result.output
    told = summary(result)
    assert (told["files"], told["failed"], told["exit_code"]) == (1, [], 0)
    assert (tmp_path / "landing/hb/20260110/_manifest.csv").exists()
    assert summary(suture(home, "pull", "--system", "hb", "--landing", str(tmp_path / "landing")))["files"] == 0


def test_a_pull_ends_with_code_1_when_an_endpoint_failed_and_pulls_the_others(home, tmp_path):
    result = suture(home, "pull", "--landing", str(tmp_path / "landing"))
    assert result.exit_code == 1
    assert summary(result)["failed"] == ["away"]
    assert summary(result)["files"] == 1
    assert "is not there" in result.output
    assert CANARY not in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pull"], "no landing directory is known"),
        (["pull", "--landing", "L", "--system", "payroll"], "no endpoint feeds payroll; there are hb, pou"),
        (["pull", "--landing", "L", "--as-of", "10.1.2026"], "YYYY-MM-DD"),
        (["pull", "--landing", "L", "--endpoints", "/nowhere.yaml"], "docs/pulling.md"),
        (["gudid", "/nowhere.zip", "--landing", "L", "--date", "2026-01-10"], "does not exist"),
    ],
)
def test_what_the_caller_can_put_right_ends_with_code_2(home, tmp_path, arguments, told):
    arguments = [str(tmp_path / "landing") if each == "L" else each for each in arguments]
    result = suture(home, *arguments)
    assert result.exit_code == 2, result.output
    assert told in result.output


def test_records_without_an_as_of_are_wrong_use(home, tmp_path):
    file = tmp_path / "records.yaml"
    file.write_text(
        "endpoints: {db: {system: hb, kind: database, driver: odbc, dsn: 'DSN=x', queries: {CDM_PRICE: {sql: x}}}}"
    )
    result = suture(home, "pull", "--landing", str(tmp_path / "landing"), "--endpoints", str(file))
    assert result.exit_code == 2
    assert "--as-of for db" in result.output


def test_the_doctor_tries_every_endpoint_and_says_what_to_do(home):
    result = suture(home, "doctor")
    lines = [line for line in result.output.splitlines() if " endpoint " in line]
    assert lines[0].startswith("ok")
    assert "billing: answers; 1 files, the newest in hb/20260110" in lines[0]
    assert lines[1].startswith("TROUBLE")
    assert "away: file:///nowhere/at/all is not there" in lines[1]
    assert result.exit_code == 1
    assert CANARY not in result.output


def test_the_doctor_tells_a_wrong_endpoints_file_without_repeating_it(home):
    (home / "endpoints.yaml").write_text(
        f"endpoints: {{a: {{system: hb, kind: files, url: 'sftp://h', options: {{password: {CANARY}}}}}}}"
    )
    result = suture(home, "doctor")
    assert result.exit_code == 1
    assert "put it into an environment variable" in result.output
    assert CANARY not in result.output


def test_a_release_of_the_device_database_becomes_a_delivery(home, tmp_path):
    release = tmp_path / "release.xml"
    release.write_bytes(gudid_release(DEVICES))
    result = suture(home, "gudid", str(release), "--landing", str(tmp_path / "landing"), "--date", "2026-01-10")
    assert result.exit_code == 0, result.output
    assert f"{len(DEVICES):,} devices" in result.output
    assert {file.name for file in (tmp_path / "landing/ref/20260110").iterdir()} == {
        "GUDID_DEVICE.csv",
        "GUDID_IDENTIFIER.csv",
        "_manifest.csv",
    }
    release.write_bytes(gudid_release(DEVICES)[:-20])
    assert suture(home, "gudid", str(release), "--landing", str(tmp_path), "--date", "2026-01-10").exit_code == 2


def test_the_command_line_does_not_load_the_clients_of_pulls():
    program = (
        "import sys; import orchestration.cli, orchestration.fetching;"
        "print(sorted({'fsspec', 'asyncssh', 'httpx', 'tenacity', 'adbc_driver_manager', 'aiohttp', 'yaml'}"
        " & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_only_their_own_clients_are_loaded_when_endpoints_are_read():
    program = (
        "import sys; import ingest.transports.pull, ingest.transports.remote_files;"
        "print(sorted({'fsspec', 'asyncssh', 'httpx', 'tenacity', 'adbc_driver_manager', 'aiohttp'}"
        " & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
