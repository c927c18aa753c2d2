"""`suture doctor`: is the installation whole, the instance healthy, the last run served; if not, what to do.

Here: one finding a thing looked at. Nothing is changed.
Not here: the things themselves.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from orchestration.journal import NoLanding, known_landing, runs_that_published
from orchestration.settings import DBT_PROJECT, Settings, SettingsError, tool

PACKAGES = ("dagster", "dagster-dbt", "dbt-core", "dbt-duckdb", "duckdb", "polars", "pandera", "great-expectations")
LEAST_FREE_BYTES = 2_000_000_000
OK, NOTE, TROUBLE = "ok", "note", "TROUBLE"


@dataclass(frozen=True)
class Finding:
    """What was looked at and how it is."""

    mark: str
    subject: str
    text: str

    @property
    def is_trouble(self) -> bool:
        """Whether something has to be done."""
        return self.mark == TROUBLE

    def __str__(self) -> str:
        return f"{self.mark:8}{self.subject:14}{self.text}"


def examine(settings: Settings, endpoints: Path | None = None) -> list[Finding]:
    """Everything, in the order in which it would be put right; endpoints of a file, else of the home if it has any."""
    return [
        *_installation(),
        *_home(settings),
        *_endpoints(settings, endpoints),
        *_key(settings),
        *_lake(settings),
        *_published(settings),
    ]


def _installation() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    fit = (3, 11) <= sys.version_info < (3, 14)
    yield Finding(OK if fit else TROUBLE, "python", python if fit else f"{python}: 3.11 to 3.13 is needed")
    missing = []
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        yield Finding(TROUBLE, "packages", f"missing: {', '.join(missing)}. Run `make setup`")
    else:
        yield Finding(OK, "packages", ", ".join(found))
    try:
        yield Finding(OK, "dbt", f"{tool('dbt')}, project {DBT_PROJECT}")
    except SettingsError as error:
        yield Finding(TROUBLE, "dbt", str(error))


def _home(settings: Settings) -> Iterator[Finding]:
    if not settings.home.is_dir():
        yield Finding(NOTE, "home", f"{settings.home} is not there yet: the first run makes it")
        return
    free = shutil.disk_usage(settings.home).free
    sizes = ", ".join(
        f"{folder.name} {_size(folder) / 1e6:,.1f} MB"
        for folder in (settings.lake, settings.warehouse, settings.published, settings.logs, settings.dagster_home)
        if folder.is_dir()
    )
    yield Finding(OK, "home", f"{settings.home}: {sizes or 'empty'}")
    short = free < LEAST_FREE_BYTES
    yield Finding(TROUBLE if short else OK, "disk", f"{free / 1e9:,.1f} GB free" + (": make room" if short else ""))
    try:
        yield Finding(OK, "landing", str(known_landing(settings)))
    except NoLanding as error:
        yield Finding(NOTE, "landing", str(error))


def _endpoints(settings: Settings, file: Path | None) -> Iterator[Finding]:
    """Each endpoint connected to, logged in to and listed, all of them at once; nothing is fetched."""
    if file is None and not settings.endpoints_file.exists():
        return
    from concurrent.futures import ThreadPoolExecutor

    from ingest.contract import load_contracts
    from ingest.transports.endpoints import AnyEndpoint, EndpointError
    from ingest.transports.pull import probe
    from orchestration.fetching import endpoints_of

    try:
        endpoints = endpoints_of(settings, file)
    except SettingsError as error:
        yield Finding(TROUBLE, "endpoints", str(error))
        return

    def tried(endpoint: AnyEndpoint) -> Finding:
        try:
            return Finding(OK, "endpoint", f"{endpoint.name}: {probe(endpoint, load_contracts())}")
        except EndpointError as error:
            return Finding(TROUBLE, "endpoint", f"{endpoint.name}: {error}")

    with ThreadPoolExecutor(max_workers=8) as pool:
        yield from pool.map(tried, endpoints)


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def key_troubles(settings: Settings) -> list[str]:
    """What is wrong with the token key; empty when all is well."""
    from ingest import privacy

    return privacy.check(settings.home, _landed_with(settings))


def _landed_with(settings: Settings) -> str | None:
    """The fingerprint of the key that the lake was landed with."""
    if not (settings.lake / "batches.sqlite").exists():
        return None
    from ingest.batches import BatchLedger

    with BatchLedger(settings.lake) as ledger:
        return ledger.setting("token_key")


def _key(settings: Settings) -> Iterator[Finding]:
    if not settings.lake.is_dir():
        return
    troubles = key_troubles(settings)
    for trouble in troubles:
        yield Finding(TROUBLE, "token key", trouble)
    if not troubles:
        yield Finding(OK, "token key", "there, private, the lake's own. Back it up: suture key backup FILE")


def _lake(settings: Settings) -> Iterator[Finding]:
    ledger = settings.lake / "batches.sqlite"
    if not ledger.exists():
        return
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        sound = connection.execute("pragma quick_check").fetchone()[0]
    yield Finding(OK if sound == "ok" else TROUBLE, "batch ledger", f"{ledger}: {sound}")


def _published(settings: Settings) -> Iterator[Finding]:
    from quality import publish

    served = publish.current(settings.published)
    if served is None:
        yield Finding(NOTE, "snapshot", "nothing is published yet: suture run nightly")
        return
    try:
        publish.verify(served)
    except publish.PublishError as error:
        yield Finding(TROUBLE, "snapshot", f"{error}. Serve another: suture snapshots, suture rollback ID")
    else:
        every = publish.snapshots(settings.published)
        yield Finding(OK, "snapshot", f"{served.snapshot_id} as of {served.as_of}; {len(every)} kept")
        if every[0].snapshot_id != served.snapshot_id:
            yield Finding(NOTE, "snapshot", f"rolled back: {every[0].snapshot_id} is newer")
    published = runs_that_published(settings)
    folders = sorted(settings.warehouse.iterdir()) if settings.warehouse.is_dir() else []
    for run_id in [folder.name for folder in folders if folder.is_dir() and folder.name not in published]:
        yield Finding(
            NOTE, "run", f"{run_id} did not publish; see {settings.logs / f'{run_id}.log'}. The next run clears it"
        )
