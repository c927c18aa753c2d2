"""Fetch from the endpoints: what goes before and after a pull on the command line.

Here: the endpoints file, the landing directory, what is shown meanwhile, exit code and JSON summary.
Not here: the pull itself (`ingest.transports.pull`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from orchestration.journal import HomeIsBusy, known_landing
from orchestration.progress import reporter, reporting
from orchestration.settings import Settings, SettingsError, environment

if TYPE_CHECKING:
    from ingest.transports.endpoints import AnyEndpoint
    from ingest.transports.pull import Pulled, PullReport

PULLED, FAULT = 0, 1


@dataclass(frozen=True)
class Fetched:
    """How a pull ended, for people and for programs."""

    report: PullReport
    landing: Path

    @property
    def exit_code(self) -> int:
        """0 when every endpoint was pulled, 1 when one failed."""
        return FAULT if self.report.failures else PULLED

    @property
    def lines(self) -> list[str]:
        """A line an endpoint, with what to do where it failed."""
        return [line for pulled in self.report.pulled for line in _lines(pulled)]

    @property
    def json_line(self) -> str:
        """The last line of standard output."""
        return json.dumps({"landing": str(self.landing), "exit_code": self.exit_code, **self.report.summary()})


def endpoints_of(settings: Settings, file: Path | None) -> tuple[AnyEndpoint, ...]:
    """The endpoints of a file, or of the home's.

    Raises:
        SettingsError: there is no such file, or it has another form.
    """
    from ingest.transports.endpoints import EndpointError, load_endpoints

    path = file or settings.endpoints_file
    if not path.is_file():
        raise SettingsError(f"there are no endpoints: write {path}, as docs/pulling.md shows")
    try:
        return load_endpoints(path, environment())
    except EndpointError as error:
        raise SettingsError(str(error)) from error


def pull_endpoints(
    settings: Settings,
    file: Path | None,
    landing: Path | None,
    as_of: str | None,
    systems: Sequence[str],
    progress: TextIO,
) -> Fetched:
    """Pull the endpoints of `systems` (none named: all) into a landing directory, which is made if it is named.

    Raises:
        SettingsError: the endpoints file is missing or wrong, or the landing directory is a file.
        NoLanding: no landing directory is named or known.
        HomeIsBusy: another pull works on this home.
        ValueError: the as-of has another form or is missing, or a system has no endpoint.
    """
    from ingest.clock import AsOf
    from ingest.contract import load_contracts
    from ingest.transports.delivery_writer import PullIsRunning
    from ingest.transports.pull import choose, pull

    endpoints = endpoints_of(settings, file)
    choose(endpoints, systems)
    moment = AsOf.parse(as_of) if as_of is not None else None
    folder = (landing or known_landing(settings)).absolute()
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"the landing directory {folder} is a file: name a directory")
    with reporting(progress) as shown:
        shown.note(f"home {settings.home}, landing {folder}")
        begun: dict[str, float] = {}

        def advance(endpoint: str, what: str, done: int, total: int | None) -> None:
            if endpoint not in begun:
                begun[endpoint] = time.monotonic()
                shown.begin(endpoint, what)
            if total:
                shown.advance(endpoint, what, done, total)

        def ended(pulled: Pulled) -> None:
            if pulled.endpoint not in begun:
                shown.begin(pulled.endpoint, pulled.system)
            shown.end(pulled.endpoint, _lines(pulled)[0].partition(": ")[2], pulled.seconds)

        try:
            report = pull(
                endpoints, settings.home, folder, load_contracts(), moment, systems, progress=advance, ended=ended
            )
        except PullIsRunning as error:
            raise HomeIsBusy(str(error)) from error
        reporter().note(f"{report.files:,} files, {report.bytes / 1e6:,.1f} MB")
    return Fetched(report, folder)


def _lines(pulled: Pulled) -> list[str]:
    came = f"{pulled.files:,} files, {pulled.bytes / 1e6:,.1f} MB"
    if pulled.rows is not None:
        came += f", {pulled.rows:,} rows"
    if pulled.waiting:
        came += f"; {len(pulled.waiting):,} not finished yet"
    lines = [f"{pulled.endpoint}: {came}" if pulled.failure is None else f"{pulled.endpoint}: FAILED after {came}"]
    lines += [f"  {text}" for text in (*([pulled.failure] if pulled.failure else []), *pulled.remarks)]
    return lines
