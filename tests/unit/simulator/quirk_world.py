"""Two worlds for the tests of the quirks, one with all of them and a small one without, and their deliveries as tables.

Here: the worlds, built once per session; reading what was delivered, as text and as an analyst would open it; what a
quirk is to a test (`Quirk`) and how it is judged. Not here: the quirks themselves (quirks_*.py).
"""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from math import sqrt
from pathlib import Path

import polars as pl
import pytest

from ingest.simulator import build_world
from ingest.simulator.plan import QUIRK_SHARES

SITES = ("CDC", "H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8")
START = date(2026, 2, 16)
DAYS, DAYS_WITHOUT = 50, 24
# Quirks of one case or entity in a hundred would not show in a world this small; they are asked for more often here.
RAISED = {"Q02": 0.08, "Q16": 0.04, "Q21": 0.08, "Q42": 0.08, "Q60": 0.15, "Q82": 0.03, "Q88": 0.05, "Q89": 0.15}


class Deliveries:
    """What a world delivered, read when it is asked for."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._tables: dict[tuple[str, str], pl.DataFrame] = {}

    def table(self, system: str, extract: str) -> pl.DataFrame:
        """Rows of an extract as text in the order of delivery, with `folder`, the day they came.

        A column that some files lack is empty there; archives that cannot be read are left out.
        """
        known = self._tables.get((system, extract))
        if known is None:
            frames = [
                pl.read_csv(content.encode(), infer_schema=False).with_columns(folder=pl.lit(folder))
                for folder, content in self._contents(system, extract)
            ]
            known = pl.concat(frames, how="diagonal").fill_null("")
            self._tables[(system, extract)] = known
        return known

    def newest(self, system: str, extract: str, *key: str) -> pl.DataFrame:
        """The last delivered version of each row."""
        return self.table(system, extract).unique(key, keep="last", maintain_order=True)

    def lookup(self, system: str, extract: str, key: str, value: str) -> dict[str, str]:
        """The last delivered `value` by `key`."""
        rows = self.newest(system, extract, key)
        return dict(zip(rows[key], rows[value], strict=True))

    def _contents(self, system: str, extract: str) -> list[tuple[str, str]]:
        root = self.out / system
        if system == "erp_fusion":
            return [
                (path.parts[-3], archive.read(name).decode())
                for path in sorted(root.glob(f"*/*/{extract}.zip"))
                if zipfile.is_zipfile(path)
                for archive in [zipfile.ZipFile(io.BytesIO(path.read_bytes()))]
                for name in archive.namelist()
            ]
        pattern = f"*/{extract}_[0-9]*.csv" if system == "pou" else f"*/{extract}.csv"
        encoding = "cp1252" if system == "erp_lawson" else "utf-8"
        return [(path.parts[-2], path.read_text(encoding)) for path in sorted(root.glob(pattern))]

    @cached_property
    def performed(self) -> pl.DataFrame:
        """Logs in their last version."""
        return self.newest("ehr", "OR_LOG", "LOG_ID")

    @cached_property
    def charges(self) -> pl.DataFrame:
        """Posted transactions in their last version, the three tables side by side."""
        first = self.newest("hb", "HSP_TRANSACTIONS", "TX_ID")
        for name in ("HSP_TRANSACTIONS_2", "HSP_TRANSACTIONS_3"):
            first = first.join(self.newest("hb", name, "TX_ID").drop("folder"), on="TX_ID", how="left")
        return first.filter(pl.col("TX_TYPE_HA_C") == "1")


@cache
def with_quirks() -> Deliveries:
    """Fifty days of all sites with quirks and defects: DST, two month ends, a quarterly release, a cut-over."""
    with pytest.MonkeyPatch.context() as patch:
        for number, share in RAISED.items():
            patch.setitem(QUIRK_SHARES, number, share)
        return _built(DAYS, quirks=True)


@cache
def without_quirks() -> Deliveries:
    """The first days of such a world without any."""
    return _built(DAYS_WITHOUT, quirks=False)


def _built(days: int, quirks: bool) -> Deliveries:
    out = Path(tempfile.mkdtemp(prefix="suture-quirks-"))
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    build_world(out, START, days, 0.01, 7, defects=quirks, quirks=quirks, sites=SITES)
    return Deliveries(out)


Look = Callable[[Deliveries], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Quirk:
    """A quirk of the landscape and how an analyst would see it.

    number: as in contracts/landscape.md, section 8.
    says: what is seen.
    look: how many rows show it, and how many could.
    share: the share of those that should show it, where the landscape or the simulator names one.
    has_switch: whether `--quirks` can switch it off; what is a fact of a format or of business has none.
    """

    number: str
    says: str
    look: Look
    share: float | None = None
    has_switch: bool = True

    def __str__(self) -> str:
        return f"{self.number} {self.says}"

    def is_there(self, seen: Deliveries) -> None:
        """Fail unless the quirk shows, at its share as far as the number of rows can tell."""
        shown, of = self.look(seen)
        assert 0 < shown <= of, f"{self}: {shown} of {of}"
        if self.share is not None:
            expected = of * self.share
            slack = 3 * sqrt(expected * (1 - self.share)) + 0.5
            assert abs(shown - expected) <= slack, f"{self}: {shown} of {of}, expected {expected:.1f}"

    def is_absent(self, seen: Deliveries) -> None:
        """Fail when the quirk shows, or where it could not even show."""
        shown, of = self.look(seen)
        assert of > 0, f"{self}: nothing to look at"
        assert shown == 0, f"{self}: {shown} of {of}"


class Register(list[Quirk]):
    """Quirks of a test module in the order in which they are defined."""

    def __call__(
        self, number: str, says: str, share: float | None = None, has_switch: bool = True
    ) -> Callable[[Look], Look]:
        def note(look: Look) -> Look:
            self.append(Quirk(number, says, look, share, has_switch))
            return look

        return note

    @property
    def switched(self) -> list[Quirk]:
        return [quirk for quirk in self if quirk.has_switch]


def filled(column: str) -> pl.Expr:
    return pl.col(column) != ""


def number(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64, strict=False)


def share_of(rows: pl.DataFrame, shows: pl.Expr) -> tuple[int, int]:
    """How many of the rows show it."""
    return rows.filter(shows).height, rows.height
