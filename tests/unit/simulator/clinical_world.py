"""A small simulated world shared by the tests of the clinical side, built once per session."""

from __future__ import annotations

import atexit
import csv
import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path

from ingest.simulator import build_world
from ingest.simulator.events import World

START = date(2026, 1, 21)
DAYS = 24


@cache
def small_world() -> tuple[World, Path]:
    """The world and the directory of its deliveries."""
    out = Path(tempfile.mkdtemp(prefix="suture-simulator-"))
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    world, _, _ = build_world(out, START, DAYS, 0.03, 7)
    return world, out


def delivered(out: Path, system: str, extract: str, folder: date | None = None) -> Iterator[dict[str, str]]:
    """Rows of an extract as delivered, in the order of delivery; unreadable archives are left out."""
    day = f"{folder:%Y%m%d}" if folder else "*"
    if system == "erp_fusion":
        for path in sorted((out / system).glob(f"{day}/*/{extract}.zip")):
            if not zipfile.is_zipfile(path):
                continue
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield from csv.DictReader(io.StringIO(archive.read(name).decode()))
        return
    pattern = f"{day}/{extract}_*.csv" if system == "pou" else f"{day}/{extract}.csv"
    for path in sorted((out / system).glob(pattern)):
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
