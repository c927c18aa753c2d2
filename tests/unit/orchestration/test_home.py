"""The home: settings, the run lock, the journal, what runs remember."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from orchestration import journal
from orchestration.journal import HomeIsBusy, Journal, NoLanding
from orchestration.settings import CHECKOUT, Settings, SettingsError, load_settings, prepare_instance


def test_the_named_home_wins_over_the_environment_and_that_over_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTURE_HOME", str(tmp_path / "environment"))
    assert load_settings(tmp_path / "named").home == tmp_path / "named"
    assert load_settings().home == tmp_path / "environment"
    monkeypatch.delenv("SUTURE_HOME")
    assert load_settings().home == CHECKOUT / "data"


def test_a_home_that_is_a_file_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="--home or SUTURE_HOME"):
        load_settings(tmp_path / "file")


@pytest.mark.parametrize("keep", ["0", "-1", "many"])
def test_a_senseless_number_of_snapshots_is_refused(tmp_path, monkeypatch, keep):
    monkeypatch.setenv("SUTURE_KEEP_SNAPSHOTS", keep)
    with pytest.raises(SettingsError, match="SUTURE_KEEP_SNAPSHOTS"):
        load_settings(tmp_path)


def test_the_instance_limits_the_pool_and_sends_no_telemetry(tmp_path, monkeypatch):
    import yaml

    monkeypatch.setenv("DAGSTER_HOME", "somewhere else")
    prepare_instance(Settings(tmp_path / "a home"))
    written = yaml.safe_load((tmp_path / "a home" / "dagster" / "dagster.yaml").read_text())
    assert written["concurrency"]["pools"]["default_limit"] == 1
    assert written["telemetry"]["enabled"] is False


def test_a_journal_keeps_what_each_step_notes(tmp_path):
    run = Journal(Settings(tmp_path), "run-1")
    assert run.read() == {}
    run.note(as_of="2026-04-30T23:59:59")
    run.note(ingest={"delivered": 3})
    assert run.read() == {"as_of": "2026-04-30T23:59:59", "ingest": {"delivered": 3}}


def test_without_a_landing_directory_the_last_one_is_read_then_the_demo(tmp_path):
    settings = Settings(tmp_path / "home")
    settings.home.mkdir()
    with pytest.raises(NoLanding, match="make demo"):
        journal.known_landing(settings)
    settings.demo_landing.mkdir(parents=True)
    assert journal.known_landing(settings) == settings.demo_landing
    named = tmp_path / "deliveries"
    named.mkdir()
    journal.remember_landing(settings, named)
    assert journal.known_landing(settings) == named
    named.rmdir()
    assert journal.known_landing(settings) == settings.demo_landing


def test_delivered_dates_are_those_of_the_folders(tmp_path):
    for folder in ("ehr/20260429", "pou/20260430", "pou/notes", "hb/835/20260502", "answer_key"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ehr" / "20260501").touch()
    assert journal.delivered_dates(tmp_path) == ["2026-04-29", "2026-04-30", "2026-05-02"]


HOLD = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from orchestration.journal import hold_home
    from orchestration.settings import Settings
    hold_home(Settings(Path(sys.argv[1])), "other-run", print, print)
    print("held", flush=True)
    time.sleep(60)
    """
)


@pytest.fixture
def other_run(tmp_path):
    """Another process that holds the home."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_waits_for_the_first_and_says_so(tmp_path, other_run, monkeypatch):
    monkeypatch.setattr(journal, "LOCK_PATIENCE_SECONDS", 0.5)
    told: list[str] = []
    with pytest.raises(HomeIsBusy, match="other-run"):
        journal.hold_home(Settings(tmp_path), "run-2", told.append, told.append)
    assert told == [f"waiting for run other-run on {tmp_path}"]


def test_a_run_that_was_killed_gives_its_home_up_and_is_named(tmp_path, other_run):
    other_run.kill()
    other_run.wait()
    dead: list[str] = []
    with journal.home_held(Settings(tmp_path), "run-2", lambda text: None, dead.append):
        pass
    assert dead == ["other-run"]
    dead.clear()
    with journal.home_held(Settings(tmp_path), "run-3", lambda text: None, dead.append):
        pass
    assert dead == []


def test_leftover_work_is_cleared_but_for_what_is_to_be_kept(tmp_path):
    settings = Settings(tmp_path)
    for run_id in ("dead", "served", "now"):
        settings.work(run_id).mkdir(parents=True)
    assert journal.clear_work(settings, keep={"served", "now"}) == ["dead"]
    assert sorted(folder.name for folder in Path(settings.warehouse).iterdir()) == ["now", "served"]
