"""A night: two hospitals' hundred days simulated, ingested, built, judged, published; then a night without news."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AS_OF = "2026-04-30"
WORLD = ["--start", "2026-01-21", "--days", "100", "--scale", "0.03", "--seed", "5", "--sites", "H1,H5"]


def _suture(*arguments: str) -> tuple[float, str]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "orchestration", *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return time.perf_counter() - started, output


def run() -> None:
    """Print seconds and rows of the simulation, the first night and a night without news."""
    with tempfile.TemporaryDirectory() as scratch:
        landing, home = str(Path(scratch) / "landing"), str(Path(scratch) / "home")
        seconds, _ = _suture("simulate", "--out", landing, *WORLD)
        print(f"night: simulate {seconds:.0f} s")
        for name in ("first night", "night without news"):
            seconds, output = _suture("--home", home, "run", "nightly", "--landing", landing, "--as-of", AS_OF)
            summary = json.loads(output.splitlines()[-1])
            print(f"night: {name} {seconds:.0f} s, {summary['rows_in']:,} rows in, {summary['rows_landed']:,} landed")
