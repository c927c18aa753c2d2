"""Pull: fetch what is new from every endpoint into the landing directory.

Here: which endpoints, one after the other, what came and what failed.
Not here: how each kind fetches (`remote_files`, `database`, `rest`, `fhir_bulk`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ingest.clock import AsOf
from ingest.contract import SystemContract
from ingest.transports.delivery_writer import DeliveryWriter, PullState
from ingest.transports.endpoints import AnyEndpoint, EndpointError, Progress

# Modules are imported when an endpoint of their kind is pulled: their clients are heavy.
_MODULES: Mapping[str, str] = {
    "files": "ingest.transports.remote_files",
    "database": "ingest.transports.database",
    "rest": "ingest.transports.rest",
    "fhir_bulk": "ingest.transports.fhir_bulk",
}


@dataclass(frozen=True)
class Pulled:
    """How one endpoint's pull ended."""

    endpoint: str
    system: str
    kind: str
    files: int
    rows: int | None
    """Rows of the files, where the source counts them; files by URL are not opened."""
    bytes: int
    seconds: float
    waiting: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    failure: str | None = None

    def summary(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "endpoint": self.endpoint,
            "system": self.system,
            "kind": self.kind,
            "files": self.files,
            "rows": self.rows,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 2),
            "waiting": len(self.waiting),
            "remarks": list(self.remarks),
            "failure": self.failure,
        }


@dataclass(frozen=True)
class PullReport:
    """How a pull ended."""

    pulled: tuple[Pulled, ...]
    seconds: float

    @property
    def failures(self) -> tuple[Pulled, ...]:
        """Endpoints that could not be pulled, or not wholly."""
        return tuple(each for each in self.pulled if each.failure is not None)

    @property
    def files(self) -> int:
        """Files placed."""
        return sum(each.files for each in self.pulled)

    @property
    def bytes(self) -> int:
        """Bytes of the files placed."""
        return sum(each.bytes for each in self.pulled)

    def summary(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "files": self.files,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 2),
            "failed": [each.endpoint for each in self.failures],
            "endpoints": [each.summary() for each in self.pulled],
        }


def choose(endpoints: Sequence[AnyEndpoint], systems: Sequence[str] = ()) -> list[AnyEndpoint]:
    """Endpoints of the systems, in the file's order; all of them when no system is named.

    Raises:
        ValueError: a system is named that no endpoint feeds.
    """
    known = {endpoint.system for endpoint in endpoints}
    strangers = sorted(set(systems) - known)
    if strangers:
        raise ValueError(f"no endpoint feeds {', '.join(strangers)}; there are {', '.join(sorted(known)) or 'none'}")
    return [endpoint for endpoint in endpoints if not systems or endpoint.system in systems]


def pull(
    endpoints: Sequence[AnyEndpoint],
    home: Path,
    landing: Path,
    contracts: Mapping[str, SystemContract],
    as_of: AsOf | None = None,
    systems: Sequence[str] = (),
    progress: Progress = lambda endpoint, what, done, total: None,
    ended: Callable[[Pulled], None] = lambda pulled: None,
) -> PullReport:
    """Fetch everything new from the endpoints of `systems` (none named: all), one endpoint after the other.

    An endpoint that fails does not stop the others. `ended` is told of each as it ends.

    Raises:
        PullIsRunning: another pull works on this home.
        ValueError: a system without an endpoint is named, or an endpoint of records is to be pulled and there is no
            as-of to date its delivery by.
    """
    chosen = choose(endpoints, systems)
    undated = [endpoint.name for endpoint in chosen if endpoint.kind != "files"]
    if undated and as_of is None:
        raise ValueError(f"records have no date of their own: give --as-of for {', '.join(undated)}")
    started = time.monotonic()
    pulled = []
    names = [endpoint.name for endpoint in endpoints]
    with PullState(home) as state:
        for endpoint in chosen:
            outcome = _pull_one(endpoint, names, landing, contracts, state, as_of, progress)
            ended(outcome)
            pulled.append(outcome)
    return PullReport(tuple(pulled), time.monotonic() - started)


def _pull_one(
    endpoint: AnyEndpoint,
    names: Sequence[str],
    landing: Path,
    contracts: Mapping[str, SystemContract],
    state: PullState,
    as_of: AsOf | None,
    progress: Progress,
) -> Pulled:
    started = time.monotonic()
    failure: str | None = None
    writer: DeliveryWriter | None = None
    try:
        writer = DeliveryWriter(landing, contract_of(endpoint, contracts), endpoint, state, names)
        import_module(_MODULES[endpoint.kind]).pull(endpoint, writer, as_of, progress)
    except Exception as error:
        failure = told(endpoint, error)
    arrived = writer.arrived if writer else []
    counted = [each.rows for each in arrived if each.rows is not None]
    return Pulled(
        endpoint=endpoint.name,
        system=endpoint.system,
        kind=endpoint.kind,
        files=len(arrived),
        rows=sum(counted) if counted or endpoint.kind != "files" else None,
        bytes=sum(each.size for each in arrived),
        seconds=time.monotonic() - started,
        waiting=tuple(writer.waiting) if writer else (),
        remarks=tuple(endpoint.scrub(remark) for remark in writer.remarks) if writer else (),
        failure=failure,
    )


def probe(endpoint: AnyEndpoint, contracts: Mapping[str, SystemContract]) -> str:
    """Connect, authenticate and list without taking anything; what was seen.

    Raises:
        EndpointError: it does not answer as it should; the message says what to do.
    """
    try:
        seen: str = import_module(_MODULES[endpoint.kind]).probe(endpoint, contract_of(endpoint, contracts))
    except Exception as error:
        raise EndpointError(told(endpoint, error)) from None
    return endpoint.scrub(seen)


def contract_of(endpoint: AnyEndpoint, contracts: Mapping[str, SystemContract]) -> SystemContract:
    """The contract of the system that an endpoint feeds.

    Raises:
        EndpointError: there is none.
    """
    if endpoint.system not in contracts:
        raise EndpointError(f"there is no contract of system {endpoint.system}; there are {', '.join(contracts)}")
    return contracts[endpoint.system]


def told(endpoint: AnyEndpoint, error: Exception) -> str:
    """An error in words that may be shown: a client library's own message could hold a row or a secret."""
    if isinstance(error, EndpointError):
        return endpoint.scrub(error)
    if isinstance(error, OSError) and error.strerror:
        return endpoint.scrub(f"{type(error).__name__}: {error.strerror}")
    return f"{type(error).__name__} in {type(error).__module__}"
