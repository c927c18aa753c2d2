"""The scope of a run: what is read and as of when, given or by default."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.journal import Journal, NoLanding, release_home, remember_landing
from orchestration.resources import RunScope
from orchestration.settings import load_settings
from orchestration.steps import Refused, begin, refuse_earlier
from quality import publish
from quality.publish import Snapshot


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTURE_HOME", str(tmp_path / "home"))
    settings = load_settings()
    settings.home.mkdir()
    return settings


@pytest.fixture
def landing(tmp_path):
    for folder in ("ehr/20260428", "pou/20260430", "ref/20260427"):
        (tmp_path / "landing" / folder).mkdir(parents=True)
    return tmp_path / "landing"


def test_without_configuration_the_last_landing_is_read_up_to_its_newest_date(settings, landing):
    remember_landing(settings, landing)
    scope = RunScope().resolve("run-1")
    assert (scope.landing, str(scope.as_of)) == (landing, "2026-04-30T23:59:59")


def test_what_is_given_wins(settings, landing, tmp_path):
    remember_landing(settings, tmp_path)
    scope = RunScope(landing=str(landing), as_of="2026-04-29T06:45").resolve("run-1")
    assert (scope.landing, str(scope.as_of)) == (landing, "2026-04-29T06:45:00")


def test_a_landing_directory_without_deliveries_is_refused(settings, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoLanding, match="nothing was delivered"):
        RunScope(landing=str(tmp_path / "empty")).resolve("run-1")
    with pytest.raises(NoLanding, match="does not exist"):
        RunScope(landing=str(tmp_path / "absent")).resolve("run-1")


def test_later_steps_work_on_what_the_first_one_resolved_though_more_has_arrived(settings, landing):
    Journal(settings, "run-1").note(landing=str(landing), as_of="2026-04-30T23:59:59")
    (landing / "ehr" / "20260501").mkdir()
    assert str(RunScope().of_run("run-1").as_of) == "2026-04-30T23:59:59"


def test_a_part_of_the_assets_cannot_be_made_alone(settings):
    with pytest.raises(dg.Failure, match="the whole nightly job"):
        RunScope().of_run("run-1")


def _published(monkeypatch, as_of):
    snapshot = Snapshot("s", publish.Path("s"), {"as_of": as_of, "run_id": "old"})
    monkeypatch.setattr(publish, "snapshots", lambda published: [snapshot])


@pytest.mark.parametrize(("as_of", "is_refused"), [("2026-04-29", True), ("2026-04-30", False), ("2026-05-01", False)])
def test_the_business_clock_does_not_go_back(settings, landing, monkeypatch, as_of, is_refused):
    _published(monkeypatch, "2026-04-30T23:59:59")
    scope = RunScope(landing=str(landing), as_of=as_of).resolve("run-1")
    if is_refused:
        with pytest.raises(Refused, match="earlier"):
            refuse_earlier(scope)
    else:
        refuse_earlier(scope)


def test_a_run_begins_by_clearing_what_dead_runs_left(settings, landing):
    settings.work("dead").mkdir(parents=True)
    (settings.published / ".candidate-dead").mkdir(parents=True)
    scope = RunScope(landing=str(landing)).resolve("run-1")
    begin(scope)
    release_home(settings)
    assert [folder.name for folder in settings.warehouse.iterdir()] == ["run-1"]
    assert list(settings.published.iterdir()) == []
    assert scope.journal.read()["as_of"] == "2026-04-30T23:59:59"
