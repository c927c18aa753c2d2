"""What one run says of itself while it goes: a small file in its work folder, read by later steps and the command line.

Here: the journal of a run, the lock that keeps a second run off the same home, leftovers of runs that were killed, and
what the home remembers of its landing directory.
Not here: the work itself (assets), Dagster's own record of the run (its instance).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from orchestration.settings import Settings

JOURNAL = "journal.json"
LOCK_PATIENCE_SECONDS = 1800.0


class HomeIsBusy(Exception):
    """Another run works on this home and did not finish in time."""


class NoLanding(Exception):
    """No landing directory was named, and the home knows of none."""


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text` in one rename."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


@dataclass(frozen=True)
class Journal:
    """The journal of one run."""

    settings: Settings
    run_id: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.settings.work(self.run_id) / JOURNAL

    def read(self) -> dict[str, Any]:
        """All entries so far; empty before the first."""
        if not self.path.exists():
            return {}
        entries: dict[str, Any] = json.loads(self.path.read_text())
        return entries

    def note(self, **entries: Any) -> None:
        """Add entries, replacing those of the same name."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps({**self.read(), **entries}, indent=1, default=str) + "\n")


# ------------------------------------------------------------------------------------------------ landing directory


def remember_landing(settings: Settings, landing: Path) -> None:
    """Keep `landing` as the directory that runs without one read."""
    write_atomically(settings.instance_file, json.dumps({"landing": str(landing)}, indent=1) + "\n")


def known_landing(settings: Settings) -> Path:
    """The landing directory of the last run that named one, else the demo's.

    Raises:
        NoLanding: there is neither.
    """
    if settings.instance_file.exists():
        named = Path(json.loads(settings.instance_file.read_text()).get("landing", ""))
        if named.is_dir():
            return named
    if settings.demo_landing.is_dir():
        return settings.demo_landing
    raise NoLanding(
        "no landing directory is known: run `suture run nightly --landing DIR --as-of DATE` once, or `make demo`"
    )


def delivered_dates(landing: Path) -> list[str]:
    """The dates (YYYY-MM-DD) for which any system delivered a folder, in order."""

    def dates_in(folder: Path, deeper: bool = False) -> Iterator[str]:
        for each in folder.iterdir():
            if len(each.name) == 8 and each.name.isdecimal():
                yield from (each.name,) if each.is_dir() else ()
            elif deeper and each.is_dir():
                # A second delivery of a system has a folder of its own: hb/835/<yyyymmdd>.
                yield from dates_in(each)

    names = {name for system in landing.iterdir() if system.is_dir() for name in dates_in(system, deeper=True)}
    return [f"{name[:4]}-{name[4:6]}-{name[6:]}" for name in sorted(names)]


# ------------------------------------------------------------------------------------------------ one run at a time

_held: dict[Path, TextIO] = {}


def hold_home(settings: Settings, run_id: str, waiting: Callable[[str], None], on_dead: Callable[[str], None]) -> None:
    """Take the home for `run_id` until `release_home` or the end of the process; wait for a run that is under way.

    The lock dies with its process, so a run that was killed never blocks the next one. `on_dead` is called with the id
    of such a run.

    Raises:
        HomeIsBusy: another run held the home for longer than half an hour.
    """
    path = settings.run_lock
    if path in _held:
        _write_holder(_held[path], run_id)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+")
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = _read_holder(handle)
            if not told:
                waiting(f"waiting for run {holder or 'of another process'} on {settings.home}")
                told = True
            if time.monotonic() > deadline:
                handle.close()
                raise HomeIsBusy(f"run {holder} still works on {settings.home}: wait for it, or end it") from None
            time.sleep(1)
    dead = _read_holder(handle)
    _write_holder(handle, run_id)
    _held[path] = handle
    if dead and dead != run_id:
        on_dead(dead)


def release_home(settings: Settings) -> None:
    """Give the home back; nothing happens when this process does not hold it."""
    handle = _held.pop(settings.run_lock, None)
    if handle is not None:
        _write_holder(handle, "")
        handle.close()


@contextmanager
def home_held(
    settings: Settings, run_id: str, waiting: Callable[[str], None], on_dead: Callable[[str], None]
) -> Iterator[None]:
    """Hold the home while the body runs."""
    hold_home(settings, run_id, waiting, on_dead)
    try:
        yield
    finally:
        release_home(settings)


def _read_holder(handle: TextIO) -> str:
    handle.seek(0)
    return handle.read().strip()


def _write_holder(handle: TextIO, run_id: str) -> None:
    handle.seek(0)
    handle.truncate()
    handle.write(run_id)
    handle.flush()


def runs_that_published(settings: Settings) -> list[str]:
    """Runs whose work folder is there and that came to a snapshot."""
    if not settings.warehouse.is_dir():
        return []
    runs = [folder.name for folder in settings.warehouse.iterdir() if folder.is_dir()]
    return [run_id for run_id in runs if Journal(settings, run_id).read().get("snapshot_id")]


def clear_work(settings: Settings, keep: set[str]) -> list[str]:
    """Remove the work folders of all runs but `keep`: after a crash a build file is not trusted, it is made again."""
    if not settings.warehouse.is_dir():
        return []
    doomed = [folder for folder in settings.warehouse.iterdir() if folder.is_dir() and folder.name not in keep]
    for folder in doomed:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in doomed]
