"""A killed ingest costs time and nothing else: run again, and the lake is that of an undisturbed run."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from ingest import batches
from ingest import extract_run as ingest_run
from ingest.batches import BatchLedger
from tests.unit.ingest.landing_builder import Landing, lake, row, run

SNAPSHOT = "erp_lawson.GLNAMES"
CHARGE = "hb.HSP_TRANSACTIONS"
REQ = "erp_fusion.REQ_HEADERS"
FEEDS = (SNAPSHOT, CHARGE, REQ)
PROJECT = Path(__file__).parents[2]


def deliver(landing, days):
    for day in days:
        folder = f"202601{day:02d}"
        names = [
            row(SNAPSHOT, ACCT_UNIT=f"U{key}", DESCRIPTION=f"v{(day + key) // 4}") for key in range(30) if key != day
        ]
        landing.put(SNAPSHOT, folder, names)
        landing.put(CHARGE, folder, [row(CHARGE, TX_ID=str(key), TX_AMOUNT=f"{day}") for key in range(day, day + 40)])
        landing.put(REQ, folder, [row(REQ, RequisitionHeaderId=str(key)) for key in range(day, day + 9)], parts=2)


def contents(home):
    return {feed: lake(home, feed) for feed in FEEDS}


def assert_same(found, expected):
    for feed in FEEDS:
        assert found[feed].equals(expected[feed]), feed


def visible_but_unknown(home):
    with BatchLedger(home / "lake") as ledger:
        known = {part for (part,) in ledger.connection.execute("select part from part")}
    seen = {path.stem for path in (home / "lake" / "raw").rglob("*.parquet") if path.name != "_empty.parquet"}
    return seen - known


@pytest.fixture
def undisturbed(tmp_path):
    landing = Landing(tmp_path / "landing")
    deliver(landing, range(1, 9))
    run(landing, tmp_path / "straight")
    return landing, contents(tmp_path / "straight")


def fresh_home(tmp_path, name="home"):
    """A home with the token key of the undisturbed run."""
    shutil.copytree(tmp_path / "straight" / "keys", tmp_path / name / "keys")
    return tmp_path / name


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("where", ["before the ledger", "in the ledger", "before the file is shown"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_death_at_any_step_of_entering_a_part_is_made_good(tmp_path, undisturbed, monkeypatch, where, number):
    landing, expected = undisturbed
    home = fresh_home(tmp_path)
    calls = 0

    def dying(step):
        def wrapped(*arguments):
            nonlocal calls
            calls += 1
            if calls == number and where != "before the ledger":
                raise Killed
            made = step(*arguments)
            if calls == number:
                raise Killed
            return made

        return wrapped

    with monkeypatch.context() as patch:
        if where == "before the ledger":
            patch.setattr(ingest_run, "write_part", dying(ingest_run.write_part))
        elif where == "in the ledger":
            patch.setattr(BatchLedger, "_enter_attempts", dying(BatchLedger._enter_attempts))
        else:
            patch.setattr(batches, "_show", dying(batches._show))
        with pytest.raises(Killed):
            run(landing, home)
    assert visible_but_unknown(home) == set()
    run(landing, home)
    assert_same(contents(home), expected)
    assert not list((home / "lake" / "raw").rglob("*.aside"))


@pytest.mark.parametrize("where", ["_enter_attempts", "_show"])
def test_a_death_while_batches_are_made_again_is_made_good(tmp_path, undisturbed, monkeypatch, where):
    landing, expected = undisturbed
    home = fresh_home(tmp_path)
    early, late = Landing(tmp_path / "early"), landing
    deliver(early, [1, 2, 4, 5, 6, 8])
    run(early, home)

    def dying(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(batches if where == "_show" else BatchLedger, where, dying)
        with pytest.raises(Killed):
            run(late, home)
    run(late, home)
    assert_same(contents(home), expected)


def test_a_lost_part_is_read_again(tmp_path, undisturbed):
    landing, expected = undisturbed
    home = fresh_home(tmp_path)
    run(landing, home)
    (part,) = (path for path in (home / "lake/raw/hb/HSP_TRANSACTIONS").glob("*.parquet") if path.name[0] != "_")
    part.unlink()
    report = run(landing, home)
    assert report.recovered
    assert_same(contents(home), expected)


def test_kill_9_at_any_moment_and_another_run_give_the_undisturbed_lake(tmp_path, undisturbed):
    landing, expected = undisturbed
    home = fresh_home(tmp_path)
    code = (
        "import sys; from pathlib import Path; from ingest.clock import AsOf; from ingest.run import ingest;"
        "ingest(Path(sys.argv[1]), Path(sys.argv[2]), AsOf.parse('2026-12-31'), 'killed')"
    )
    chance = random.Random(7)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", code, landing.root, home], cwd=PROJECT)
        started = time.monotonic()
        wait = chance.uniform(0.3, 4.0)
        while process.poll() is None and time.monotonic() - started < wait:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (home / "lake" / "batches.sqlite").exists():
            assert visible_but_unknown(home) == set()
    run(landing, home)
    assert_same(contents(home), expected)
    frame = pl.read_parquet(home / "lake/meta/attempts.parquet")
    assert frame.select(pl.col("rows_landed").sum()).item() == sum(
        frame.filter(pl.col("_op") == "U").height for frame in expected.values()
    )
