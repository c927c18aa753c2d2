"""The one way a pull writes into the landing directory, and what it remembers.

Here: files beside their final place and renamed there, the manifest last, the state of pulls in
`<home>/pull/state.sqlite`, so that a pull that was killed anywhere and started again leaves the same bytes.
Not here: fetching (`remote_files`, `database`, `rest`, `fhir_bulk`).

How a record kind writes one delivery:

    with writer.delivery(as_of, slot=endpoint.slot) as drop:
        if drop.is_sealed:
            return                                      # this as-of was pulled before; nothing is to be done
        bounds = drop.plan({"until": ..., "since": writer.state.get(endpoint.name, "cursor:ITEM")})
        for query in endpoint.queries:
            if drop.has(query.extract):
                continue                                # placed before the interruption
            with drop.file(query.extract) as part:      # landing path from the contract's pattern
                part.write(b"...")                      # as often as needed; hashed on the way
                part.rows = 1234                        # rows, and `total` where a control file states a sum
            drop.then("cursor:ITEM", "2026-11-22T04:00:00")
    # leaving the block without an exception seals: manifest written and renamed, then one transaction that keeps
    # every `then` and forgets the plan. An exception leaves everything as it is; the next pull goes on from there.

- `plan` keeps what decides the content (bounds, the moment of a snapshot, an export's status URL) before the first
  byte is written, and gives back what was kept when the delivery was begun by a pull that did not finish.
- An unfinished delivery of an earlier as-of is finished first: `for drop in writer.unfinished(): with drop: ...`, with
  its own `drop.plan({})`. Cursors move only with a seal, so the delivery after it begins where it ended.
- Several endpoints may feed one folder: the manifest lists what all of them placed and sealed.
- Nothing is named or dated by the wall clock: folder and slot come from the as-of or the remote name.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal
from zoneinfo import ZoneInfo

from ingest.clock import HOME_ZONE, AsOf
from ingest.contract import Delivery, SystemContract
from ingest.transports.endpoints import AnyEndpoint, EndpointError

PART = ".part"

_SCHEMA = """
create table if not exists kept (
    endpoint text not null, name text not null, value text not null, primary key (endpoint, name)
) without rowid;
create table if not exists deliveries (
    endpoint text not null, folder text not null, slot text not null, day text not null, plan text,
    sealed integer not null, primary key (endpoint, folder, slot)
) without rowid;
create table if not exists files (
    path text primary key, endpoint text not null, folder text not null, extract text not null, size integer not null,
    digest text not null, rows integer, total text, placed integer not null
) without rowid;
create table if not exists taken (
    endpoint text not null, remote text not null, version text not null, path text not null, size integer not null,
    digest text not null, primary key (endpoint, remote)
) without rowid;
"""


class PullIsRunning(Exception):
    """Another pull works on this home."""


@dataclass(frozen=True)
class Arrived:
    """A file that stands at its final place."""

    path: str
    """Relative to the landing directory."""
    extract: str
    size: int
    digest: str
    """Lower-case hexadecimal, of the algorithm of the delivery's manifest: MD5 where it says so, else SHA-256."""
    rows: int | None = None
    total: str | None = None
    """Sum that a control file states, as text."""


@dataclass(frozen=True)
class Taken:
    """A remote file as it was when it was taken."""

    remote: str
    version: str
    """Size and, as far as the server tells, time and etag, as one text."""
    path: str
    size: int
    digest: str


class PullState:
    """What pulls remember, in one SQLite file; every method is one transaction. Safe to share between threads."""

    def __init__(self, home: Path) -> None:
        """Open the state of a home and hold its lock until `close`.

        Raises:
            PullIsRunning: another process holds it.
        """
        folder = home / "pull"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "pull.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise PullIsRunning(f"another pull works on {home}: wait for it to end") from error
        self._mutex = threading.RLock()
        self._connection = sqlite3.connect(folder / "state.sqlite", isolation_level=None, check_same_thread=False)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._connection.executescript(_SCHEMA)

    def __enter__(self) -> PullState:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let the lock go."""
        self._connection.close()
        self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing of what is done inside."""
        with self._mutex:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._mutex:
            return self._connection.execute(query, values).fetchall()

    def get(self, endpoint: str, name: str) -> str | None:
        """What was kept under a name: a cursor, a status URL."""
        found = self._rows("select value from kept where endpoint = ? and name = ?", endpoint, name)
        return found[0][0] if found else None

    def names(self, endpoint: str, beginning: str = "") -> dict[str, str]:
        """Everything kept for an endpoint whose name begins so."""
        found = self._rows("select name, value from kept where endpoint = ? order by name", endpoint)
        return {name: value for name, value in found if name.startswith(beginning)}

    def put(self, endpoint: str, name: str, value: str | None) -> None:
        """Keep a value at once, or forget it with None. A cursor goes by `Drop.then` instead, with the seal."""
        with self.transaction() as connection:
            _keep(connection, endpoint, name, value)

    def taken(self, endpoint: str) -> dict[str, Taken]:
        """Remote files that were taken, by remote name."""
        query = "select remote, version, path, size, digest from taken where endpoint = ?"
        return {row[0]: Taken(*row) for row in self._rows(query, endpoint)}

    def files(self, folder: str) -> list[Arrived]:
        """Files that stand in a delivery folder, by path, of all endpoints."""
        query = (
            "select path, extract, size, digest, rows, total from files"
            " where folder = ? and placed and extract <> '' order by path"
        )
        return [Arrived(*row) for row in self._rows(query, folder)]


def _keep(connection: sqlite3.Connection, endpoint: str, name: str, value: str | None) -> None:
    if value is None:
        connection.execute("delete from kept where endpoint = ? and name = ?", (endpoint, name))
    else:
        connection.execute("insert or replace into kept values (?, ?, ?)", (endpoint, name, value))


class Part:
    """A file while it is written: `<name>.part` beside its final place."""

    def __init__(self, path: Path, algorithm: str, *, keep: int = 0, also: str | None = None) -> None:
        """Begin the file anew, or go on behind its first `keep` bytes when so many stand there.

        `also` names a second hash to take on the way (`also_digest`).
        """
        self.path = path
        self.rows: int | None = None
        self.total: str | None = None
        self.offset = 0
        self._algorithms = (algorithm, *([also] if also else []))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._hashes = self._fresh_hashes()
        if keep and path.exists() and path.stat().st_size >= keep:
            with path.open("rb") as begun:
                while block := begun.read(min(1 << 20, keep - self.offset)):
                    self._update(block)
        self._file: IO[bytes] = path.open("r+b" if self.offset else "wb")
        self._file.truncate(self.offset)
        self._file.seek(self.offset)

    def write(self, block: bytes | memoryview) -> int:
        """Append a block; a file object for writers that want one."""
        self._file.write(block)
        self._update(block)
        return len(block)

    def _update(self, block: bytes | memoryview) -> None:
        for each in self._hashes:
            each.update(block)
        self.offset += len(block)

    def _fresh_hashes(self) -> list[hashlib._Hash]:
        return [hashlib.new(algorithm, usedforsecurity=False) for algorithm in self._algorithms]

    def restart(self) -> None:
        """Throw away what was written and begin anew."""
        self._file.seek(0)
        self._file.truncate()
        self._hashes = self._fresh_hashes()
        self.offset = 0

    @property
    def digest(self) -> str:
        """Of everything written so far."""
        return self._hashes[0].hexdigest()

    @property
    def also_digest(self) -> str | None:
        """The second hash, when one was asked for."""
        return self._hashes[1].hexdigest() if len(self._hashes) > 1 else None

    def flush(self) -> None:
        """Make what was written durable."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file, durable or not."""
        self._file.close()


class DeliveryWriter:
    """Writes what one endpoint delivers to one system, below a landing directory."""

    def __init__(
        self,
        landing: Path,
        contract: SystemContract,
        endpoint: AnyEndpoint,
        state: PullState,
        among: Collection[str] = (),
    ) -> None:
        """Finish what a killed pull of this endpoint left between two steps.

        `among` names all endpoints that there are: a file that one of them placed is not replaced by another one's,
        but what an endpoint placed that has been removed or renamed is.
        """
        self.landing = landing
        self.contract = contract
        self.endpoint = endpoint
        self.state = state
        self._others = {name for name in among if name != endpoint.name}
        self.arrived: list[Arrived] = []
        """What this pull placed, manifests not counted."""
        self.waiting: list[str] = []
        """Remote files that are not finished yet; the next pull looks again."""
        self.remarks: list[str] = []
        """What the operator should know although nothing failed."""
        self._recover()

    def _recover(self) -> None:
        """A file is entered with its hash before it is renamed: rename it now, or forget it and fetch it again.

        Manifests come last, and not at all when a file of their folder has to be fetched again.
        """
        waiting = self.state._rows(
            "select path, folder, extract, size, digest from files where endpoint = ? and not placed"
            " order by extract = '', path",
            self.endpoint.name,
        )
        torn: set[str] = set()
        for path, folder, extract, size, digest in waiting:
            final = self.landing / path
            part = self._part_of(path)
            whole = next((each for each in (part, final) if _is_whole(each, size, digest)), None)
            if whole is None or (not extract and folder in torn):
                torn.add(folder)
                with self.state.transaction() as connection:
                    connection.execute("delete from files where path = ?", (path,))
                    connection.execute("delete from taken where path = ?", (path,))
                continue
            if whole == part:
                _rename(part, final)
            with self.state.transaction() as connection:
                connection.execute("update files set placed = 1 where path = ?", (path,))

    def place(self, folder: str, arrivals: Sequence[tuple[Arrived, Taken | None]]) -> None:
        """Enter durable parts with their hashes, then rename them in this order: what a kill leaves is mended later.

        A file that stands there already with the same content is left alone.

        Raises:
            EndpointError: another endpoint delivers other content under the same name.
        """
        fresh = []
        for arrived, _ in arrivals:
            standing = self.state._rows("select endpoint, digest, placed from files where path = ?", arrived.path)
            if standing and standing[0][0] in self._others and standing[0][1] != arrived.digest:
                for each, _ in arrivals:
                    self._part_of(each.path).unlink(missing_ok=True)
                raise EndpointError(f"{arrived.path} comes from endpoint {standing[0][0]} as well, with other content")
            if not (standing and standing[0][1:] == (arrived.digest, 1) and (self.landing / arrived.path).exists()):
                fresh.append(arrived)
        with self.state.transaction() as connection:
            for arrived in fresh:
                connection.execute(
                    "insert or replace into files values (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                    (
                        arrived.path,
                        self.endpoint.name,
                        folder,
                        arrived.extract,
                        arrived.size,
                        arrived.digest,
                        arrived.rows,
                        arrived.total,
                    ),
                )
            for arrived, taken in arrivals:
                if taken is not None:
                    connection.execute(
                        "insert or replace into taken values (?, ?, ?, ?, ?, ?)",
                        (self.endpoint.name, taken.remote, taken.version, taken.path, taken.size, taken.digest),
                    )
                _keep(connection, self.endpoint.name, f"part:{arrived.path}", None)
        for arrived in fresh:
            self._part_of(arrived.path).replace(self.landing / arrived.path)
        for parent in {(self.landing / arrived.path).parent for arrived in fresh}:
            _make_durable(parent)
        with self.state.transaction() as connection:
            connection.executemany("update files set placed = 1 where path = ?", [(each.path,) for each in fresh])
        for arrived, _ in arrivals:
            if arrived not in fresh:
                self._part_of(arrived.path).unlink(missing_ok=True)
        self.arrived.extend(arrived for arrived in fresh if arrived.extract)

    def part(self, path: str, algorithm: str, *, keep: int = 0, also: str | None = None) -> Part:
        """The part of a landing path, begun anew or gone on with behind `keep` bytes; for files that are `place`d."""
        return Part(self._part_of(path), algorithm, keep=keep, also=also)

    def _part_of(self, path: str) -> Path:
        final = self.landing / path
        return final.with_name(final.name + PART)

    def delivery(
        self, as_of: AsOf | date, slot: str | None = None, *, extract: str | None = None, folder: str | None = None
    ) -> Drop:
        """The delivery of an as-of: its date and, where the contract has slots, its slot in the contract's zone.

        `extract` says which of the system's deliveries is meant (the contract of `hb` has two); `folder` gives the
        folder itself, relative to the landing directory, where the contract's path does not (`mmis` has `db{n}`).
        """
        delivery = self.form(extract)
        if isinstance(as_of, AsOf):
            zone = ZoneInfo("UTC") if delivery.timezone.startswith("timestamps UTC") else HOME_ZONE
            moment = as_of.local.astimezone(zone)
            day = moment.date()
            slot = slot or (moment.strftime("%H%M") if delivery.has_slot else None)
        else:
            day = as_of
        if delivery.has_slot and slot is None:
            raise EndpointError(f"endpoint {self.endpoint.name}: {self.contract.system} delivers by slot: give one")
        if folder is None:
            folder = _filled(delivery.path, {"yyyymmdd": f"{day:%Y%m%d}", "hhmm": slot or ""}).rpartition("/")[0]
        return Drop(self, delivery, folder, day, slot)

    def unfinished(self) -> list[Drop]:
        """Deliveries that this endpoint began and did not seal, oldest first."""
        found = self.state._rows(
            "select folder, day, slot from deliveries where endpoint = ? and not sealed order by day, slot, folder",
            self.endpoint.name,
        )
        drops = []
        for folder, day, slot in found:
            delivery = self._form_of(folder)
            drops.append(Drop(self, delivery, folder, date.fromisoformat(day), slot or None))
        return drops

    def begun_now(self, as_of: AsOf, slot: str | None, extracts: Iterable[str]) -> Iterator[Drop]:
        """Deliveries of this as-of that bring the extracts and are not sealed, each looked for when it is asked for.

        Raises:
            EndpointError: the path of a delivery has parts that such an endpoint cannot fill in.
        """
        forms = {self.form(extract).name: extract for extract in extracts}
        for extract in forms.values():
            drop = self.delivery(as_of, slot, extract=extract)
            if "{" in drop.folder:
                raise EndpointError(
                    f"endpoint {self.endpoint.name}: {self.endpoint.system} delivers into {drop.delivery.path}, which a"
                    f" {self.endpoint.kind} endpoint cannot fill in"
                )
            if not drop.is_sealed:
                yield drop

    def form(self, extract: str | None) -> Delivery:
        """How files of an extract arrive; None is the system's first delivery.

        Raises:
            EndpointError: the contract has no such extract.
        """
        if extract is None:
            return self.contract.delivery
        if extract not in self.contract.extracts:
            raise EndpointError(
                f"endpoint {self.endpoint.name}: {self.contract.system} has no extract {extract}; there are"
                f" {', '.join(self.contract.extracts)}"
            )
        return self.contract.extracts[extract].delivery

    def _form_of(self, folder: str) -> Delivery:
        for form in self.contract.deliveries:
            pattern = re.escape(form.path.rpartition("/")[0]).replace(r"\{", "{").replace(r"\}", "}")
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), folder):
                return form
        return self.contract.delivery


class Drop:
    """One delivery folder while one endpoint fills it. Use it as a context: leaving it without an exception seals."""

    def __init__(self, writer: DeliveryWriter, delivery: Delivery, folder: str, day: date, slot: str | None) -> None:
        self.writer = writer
        self.delivery = delivery
        self.folder = folder
        """Relative to the landing directory, `ehr/20261122`."""
        self.day = day
        self.slot = slot
        self._state = writer.state
        self._endpoint = writer.endpoint.name
        self._then: dict[str, str | None] = {}
        self._manifest: bytes | Callable[[list[Arrived]], bytes] | None = None
        found = self._state._rows(
            "select plan, sealed from deliveries where endpoint = ? and folder = ? and slot = ?",
            self._endpoint,
            folder,
            slot or "",
        )
        self._plan: str | None = found[0][0] if found else None
        self.is_sealed = bool(found and found[0][1])
        """Whether an earlier pull finished this delivery."""

    # ---------------------------------------------------------------- what decides the content

    def plan(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what decides the content (JSON values) before the first byte, or give back what was kept."""
        if self._plan is None or self.is_sealed:
            self._plan = json.dumps(dict(wanted), sort_keys=True)
            self._begin()
        plan: dict[str, Any] = json.loads(self._plan)
        return plan

    def replan(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change the kept plan, at once: a status URL that the server gave, or None for one that has expired."""
        self._plan = json.dumps({**json.loads(self._plan or "{}"), **changes}, sort_keys=True)
        self._begin()
        plan: dict[str, Any] = json.loads(self._plan)
        return plan

    def then(self, name: str, value: str | None) -> None:
        """Keep a value of the endpoint (a cursor) when the delivery is sealed, in the same transaction."""
        self._then[name] = value

    def _begin(self) -> None:
        self.is_sealed = False
        with self._state.transaction() as connection:
            connection.execute(
                "insert or replace into deliveries values (?, ?, ?, ?, ?, 0)",
                (self._endpoint, self.folder, self.slot or "", self.day.isoformat(), self._plan),
            )

    # ---------------------------------------------------------------- files

    def path_of(self, extract: str, name: str | None = None) -> str:
        """Landing path of an extract's file, from the contract's pattern.

        `name` is the file's name where the pattern has parts of its own (`{resource}.{n}.ndjson.gz`).
        """
        if name is None:
            parts = {"yyyymmdd": f"{self.day:%Y%m%d}", "hhmm": self.slot or "", "extract": extract, "resource": extract}
            name = _filled(self.delivery.path, parts).rpartition("/")[2]
        if "/" in name or "{" in name or name in ("", ".", ".."):
            raise EndpointError(f"endpoint {self._endpoint}: {extract} needs a file name of its own")
        return f"{self.folder}/{name}"

    def has(self, extract: str, name: str | None = None) -> Arrived | None:
        """The file, when it was placed already."""
        path = self.path_of(extract, name)
        return next((each for each in self._state.files(self.folder) if each.path == path), None)

    @contextmanager
    def file(self, extract: str, name: str | None = None, *, keep: int = 0) -> Iterator[Part]:
        """Write a file of the delivery; it stands at its final place when the block ends without an exception.

        `keep`: go on behind so many bytes of the part that an interrupted pull left; what it had flushed
        (`part.flush`) and then noted (`writer.state.put`). `part.offset` tells where writing goes on.
        """
        path = self.path_of(extract, name)
        if self._plan is None or self.is_sealed:
            self.plan({})
        part = self.writer.part(path, self.algorithm, keep=keep)
        try:
            yield part
            part.flush()
        finally:
            part.close()
        arrived = Arrived(path, extract, part.offset, part.digest, part.rows, part.total)
        self.writer.place(self.folder, [(arrived, None)])

    @property
    def algorithm(self) -> Literal["md5", "sha256"]:
        """Hash of the delivery's manifest."""
        return algorithm_of(self.delivery)

    # ---------------------------------------------------------------- the seal

    def manifest(self, content: bytes | Callable[[list[Arrived]], bytes]) -> None:
        """Bytes of the manifest, for a form that is not made from rows and hashes (FHIR bulk `manifest.json`)."""
        self._manifest = content

    def __enter__(self) -> Drop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.is_sealed:
            self.seal()

    def seal(self) -> None:
        """Write the manifest, then keep every `then` and the seal in one transaction."""
        for path, content in self._statements():
            _write_whole(self.writer.landing / path, content)
        with self._state.transaction() as connection:
            connection.execute(
                "insert or replace into deliveries values (?, ?, ?, ?, null, 1)",
                (self._endpoint, self.folder, self.slot or "", self.day.isoformat()),
            )
            for name, value in self._then.items():
                _keep(connection, self._endpoint, name, value)
        self.is_sealed = True

    def _statements(self) -> Iterator[tuple[str, bytes]]:
        """Paths and bytes of the manifest or the control files."""
        files = self._state.files(self.folder)
        name = Path(self.delivery.manifest_path).name
        if self._manifest is not None:
            content = self._manifest(files) if callable(self._manifest) else self._manifest
            yield f"{self.folder}/{name or 'manifest.json'}", content
        elif not files:
            return
        elif self.delivery.manifest == "control_file":
            for file in files:
                stem = file.path.rpartition(".")[0]
                yield f"{stem}.ctl", f"rows={_rows_of(file)};sum_qty={file.total or '0'}\n".encode()
        elif self.delivery.manifest == "listed":
            columns = self.delivery.manifest_columns
            lines = [columns] if self.delivery.manifest_has_header else []
            lines += [tuple(_statement(column, file) for column in columns) for file in files]
            content = "".join(self.delivery.manifest_separator.join(line) + "\n" for line in lines).encode()
            yield f"{self.folder}/{name}", content


def algorithm_of(delivery: Delivery) -> Literal["md5", "sha256"]:
    """Hash that a delivery's manifest states; SHA-256 where it states none."""
    return "md5" if any("md5" in column for column in delivery.manifest_columns) else "sha256"


def _statement(column: str, file: Arrived) -> str:
    """What a manifest says of a file in one of its columns."""
    name = file.path.rpartition("/")[2]
    match column:
        case "extract":
            return name.rpartition(".")[0]
        case "file":
            return name
        case "row_count" | "row count":
            return str(_rows_of(file))
        case "hash_total" | "sha256" | "md5":
            return file.digest
    return file.extract


def _rows_of(file: Arrived) -> int:
    if file.rows is None:
        raise EndpointError(f"{file.path}: its manifest states rows, and they were not counted")
    return file.rows


def _filled(pattern: str, parts: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: parts.get(match[1]) or match[0], pattern)


def _is_whole(path: Path, size: int, digest: str) -> bool:
    """Whether a file has the size and hash it was entered with."""
    if not path.exists() or path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5" if len(digest) == 32 else "sha256").hexdigest() == digest


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + PART)
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _rename(part, path)


def _rename(part: Path, final: Path) -> None:
    part.replace(final)
    _make_durable(final.parent)


def _make_durable(folder: Path) -> None:
    """Make renames in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
