"""The batch ledger: what was attempted with every delivery, and which Parquet parts hold what landed.

Here: SQLite below the lake, one row a delivery and attempt, the parts and the batches in them, refused rows, drift
notices.
Not here: deciding outcomes (`run`), writing Parquet (`landing`). The ledger never holds a value of a row.

A part becomes visible in two steps: its Parquet is written aside, one transaction enters part and outcomes together,
then the file is renamed into place. `recover` finishes or undoes what a killed run left, so dbt, which reads by glob,
never sees rows that the ledger does not know.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.formats.reading import BadRow

if TYPE_CHECKING:
    import polars as pl

ASIDE = ".aside"

EVERY_ROW_REFUSED = "every row refused"

ATTEMPT_COLUMNS: dict[str, tuple[str, str]] = {
    "attempt_id": (
        "varchar",
        "identity of the attempt: delivery, its content, its manifest line, the contract version",
    ),
    "run_id": ("varchar", "run that last made the attempt"),
    "system": ("varchar", "source system"),
    "extract": ("varchar", "extract as in the contract"),
    "file": ("varchar", "path of the delivery, relative to the landing directory"),
    "folder_date": ("date", "date of the delivery's folder"),
    "slot": ("varchar", "hhmm of the slot, null without slots"),
    "file_hash": ("varchar", "SHA-256 of the file's bytes"),
    "contract_version": ("varchar", "version of the contract that read it"),
    "outcome": ("varchar", "landed, repeated, quarantined, ignored_duplicate or no_rows"),
    "reason": ("varchar", "why the file was refused, or what is remarkable about it"),
    "rows_delivered": ("bigint", "data rows that could be counted in the file"),
    "rows_landed": ("bigint", "row versions that were new"),
    "rows_repeated": ("bigint", "rows whose version was known already"),
    "rows_quarantined": ("bigint", "rows refused"),
    "rows_tombstoned": ("bigint", "keys that this snapshot no longer holds; not part of the delivered rows"),
    "manifest_rows": ("bigint", "rows stated by the manifest or control file"),
    "manifest_hash_ok": ("boolean", "whether the stated hash or total is that of the file; null when none is stated"),
    "batch_id": ("varchar", "content and contract version"),
    "duplicate_of": ("varchar", "first delivery of the extract with the same content, null when this is the first"),
    "is_snapshot": ("boolean", "the extract is a snapshot"),
    "is_window_repeat": (
        "boolean",
        "the content is that of the delivery just before, sent again by a re-pull or window",
    ),
}

_SCHEMA = """
create table if not exists setting (name text primary key, value text not null); create table if not exists content (
file text primary key, size integer not null, modified integer not null, file_hash text not null, md5 text not null,
content_hash text not null ); create table if not exists attempt ( attempt_id text primary key, run_id text not null,
system text not null, extract text not null, file text not null, folder_date text not null, slot text, file_hash text
not null, content_hash text not null, contract_version text not null, outcome text not null, reason text,
rows_delivered integer not null, rows_landed integer not null, rows_repeated integer not null, rows_quarantined
integer not null, rows_tombstoned integer not null, manifest_rows integer, manifest_hash_ok integer, manifest_says
text not null, batch_id text not null, duplicate_of text, is_snapshot integer not null, is_window_repeat integer not
null, is_latest integer not null ); create index if not exists attempt_of_file on attempt (system, extract, file,
is_latest); create table if not exists attempt_history ( attempt_id text not null, run_id text not null, outcome text
not null, reason text, primary key (attempt_id, run_id) ); create table if not exists part ( part text primary key,
system text not null, extract text not null, contract_version text not null, rows integer not null ); create table if
not exists part_batch ( part text not null references part (part) on delete cascade, moment text not null, file text
not null, batch_id text not null, rows integer not null, primary key (part, file) ); create table if not exists
refused_row ( attempt_id text not null, file text not null, line integer not null, "column" text, value_class text not
null, reason text not null ); create index if not exists refused_row_of_attempt on refused_row (attempt_id); create
table if not exists drift ( system text not null, extract text not null, "column" text not null, kind text not null,
first_file text not null, primary key (system, extract, "column", kind) ); create table if not exists waiting (system
text not null, file text not null, run_id text not null, primary key (system, file));
"""


@dataclass(frozen=True)
class Content:
    """Identity of a file's bytes, and of what they hold (a zip by its parts, so that zipping again hides nothing)."""

    file_hash: str
    md5: str
    content_hash: str


@dataclass(frozen=True)
class Attempt:
    """Outcome of reading one delivery under one contract version."""

    attempt_id: str
    run_id: str
    system: str
    extract: str
    file: str
    folder_date: date
    slot: str | None
    file_hash: str
    content_hash: str
    contract_version: str
    outcome: str
    reason: str | None
    rows_delivered: int
    rows_landed: int
    rows_repeated: int
    rows_quarantined: int
    rows_tombstoned: int
    manifest_rows: int | None
    manifest_hash_ok: bool | None
    manifest_says: str
    batch_id: str
    duplicate_of: str | None
    is_snapshot: bool
    is_window_repeat: bool

    @property
    def moment(self) -> str:
        """Folder date and slot, the first part of the delivery order."""
        return f"{self.folder_date:%Y%m%d}/{self.slot or '0000'}"

    @property
    def position(self) -> tuple[str, str]:
        """Delivery order among the deliveries of an extract."""
        return (self.moment, self.file)

    @property
    def is_refused_whole(self) -> bool:
        """Whether the file was not read at all, as against a file whose rows were all bad."""
        return self.outcome == "quarantined" and self.reason != EVERY_ROW_REFUSED


Batch = tuple[str, str, str, int]
"""What a part holds of one delivery: moment, file, batch id, rows."""


@dataclass(frozen=True)
class Part:
    """One Parquet file of an extract and the deliveries whose rows it holds."""

    part: str
    system: str
    extract: str
    contract_version: str
    rows: int
    batches: tuple[Batch, ...]
    """In delivery order."""

    @property
    def first(self) -> tuple[str, str]:
        """Position of its first delivery."""
        return self.batches[0][:2]

    @property
    def last(self) -> tuple[str, str]:
        """Position of its last delivery."""
        return self.batches[-1][:2]


_ATTEMPT_FIELDS = tuple(field.name for field in fields(Attempt))


class BatchLedger:
    """The ledger of one lake."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        lake.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(lake / "batches.sqlite", timeout=60, isolation_level=None)
        self.connection.execute("pragma journal_mode = wal")
        self.connection.execute("pragma synchronous = full")
        self.connection.execute("pragma foreign_keys = on")
        self.connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def __enter__(self) -> BatchLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing."""
        self.connection.execute("begin immediate")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")

    def folder(self, system: str, extract: str) -> Path:
        """Where the parts of an extract lie."""
        return self.lake / "raw" / system / extract

    # Settings -----------------------------------------------------------------------------------------------------

    def setting(self, name: str) -> str | None:
        """A remembered word, such as the fingerprint of the token key."""
        row = self.connection.execute("select value from setting where name = ?", [name]).fetchone()
        return None if row is None else str(row[0])

    def remember(self, name: str, value: str) -> None:
        """Remember a word."""
        self.connection.execute("insert or replace into setting values (?, ?)", [name, value])

    # Contents -----------------------------------------------------------------------------------------------------

    def contents(self, system: str) -> dict[str, tuple[int, int, Content]]:
        """Size, modification time and identity of every file that was hashed before, by path."""
        rows = self.connection.execute(
            "select file, size, modified, file_hash, md5, content_hash from content where file like ?", [f"{system}/%"]
        )
        return {file: (size, modified, Content(*hashes)) for file, size, modified, *hashes in rows}

    # Attempts -----------------------------------------------------------------------------------------------------

    def latest_attempts(self, system: str | None = None, extract: str | None = None) -> list[Attempt]:
        """The attempt that counts for every delivery, in delivery order."""
        rows = self.connection.execute(
            f"select {', '.join(_ATTEMPT_FIELDS)} from attempt where is_latest = 1"
            " and (? is null or system = ?) and (? is null or extract = ?)"
            " order by system, extract, folder_date, slot, file",
            [system, system, extract, extract],
        )
        return [_attempt(row) for row in rows]

    def attempt(self, attempt_id: str) -> Attempt | None:
        """One attempt."""
        row = self.connection.execute(
            f"select {', '.join(_ATTEMPT_FIELDS)} from attempt where attempt_id = ?", [attempt_id]
        ).fetchone()
        return None if row is None else _attempt(row)

    def history(self, attempt_id: str) -> list[tuple[str, str, str | None]]:
        """(run, outcome, reason) of every time this attempt was made."""
        return self.connection.execute(
            "select run_id, outcome, reason from attempt_history where attempt_id = ? order by rowid", [attempt_id]
        ).fetchall()

    def refused_rows(
        self, attempt_id: str | None = None, limit: int | None = None
    ) -> list[tuple[str, str, str, str, int, str | None, str, str]]:
        """(attempt, system, extract, file or part, line, column, value class, reason) of what is refused now."""
        return self.connection.execute(
            'select a.attempt_id, a.system, a.extract, r.file, r.line, r."column", r.value_class, r.reason'
            " from refused_row r join attempt a on a.attempt_id = r.attempt_id and a.is_latest = 1"
            " where (? is null or a.attempt_id = ?)"
            " order by a.system, a.extract, a.folder_date, r.file, r.line limit ?",
            [attempt_id, attempt_id, -1 if limit is None else limit],
        ).fetchall()

    # Parts --------------------------------------------------------------------------------------------------------

    def parts(self, system: str, extract: str) -> list[Part]:
        """Parts of an extract, in delivery order."""
        batches: dict[str, list[tuple[str, str, str, int]]] = {}
        for part, moment, file, batch_id, count in self.connection.execute(
            "select part, moment, file, batch_id, rows from part_batch where part in"
            " (select part from part where system = ? and extract = ?) order by moment, file",
            [system, extract],
        ):
            batches.setdefault(part, []).append((moment, file, batch_id, count))
        rows = self.connection.execute(
            "select part, system, extract, contract_version, rows from part where system = ? and extract = ?",
            [system, extract],
        )
        return sorted(
            (
                Part(part, system, extract, version, count, tuple(batches[part]))
                for part, system, extract, version, count in rows
            ),
            key=lambda part: part.first,
        )

    def batches(self) -> list[tuple[str, str, str, int]]:
        """(batch id, feed, hash of the content, rows) of every batch in the lake."""
        return self.connection.execute(
            "select b.batch_id, p.system || '.' || p.extract, min(a.content_hash), sum(b.rows) from part_batch b"
            " join part p on p.part = b.part left join attempt a on a.file = b.file and a.extract = p.extract"
            " and a.is_latest = 1"
            " group by b.batch_id, p.system, p.extract order by 2, 1"
        ).fetchall()

    # Writing ------------------------------------------------------------------------------------------------------

    def enter(
        self,
        attempts: Sequence[Attempt],
        refused: dict[str, list[tuple[str, BadRow]]],
        contents: dict[str, tuple[int, int, Content]],
        added: Sequence[Part],
        removed: Sequence[Part],
        drift: Iterable[tuple[str, str, str, str, str]],
    ) -> None:
        """Enter everything one extract did in one transaction, then show the new parts and remove the old ones.

        `refused`: attempt id to (file, bad row).
        """
        with self.transaction() as connection:
            for part in removed:
                connection.execute("delete from part where part = ?", [part.part])
            for part in added:
                connection.execute(
                    "insert or replace into part values (?, ?, ?, ?, ?)",
                    [part.part, part.system, part.extract, part.contract_version, part.rows],
                )
                connection.executemany(
                    "insert or replace into part_batch values (?, ?, ?, ?, ?)",
                    [(part.part, *batch) for batch in part.batches],
                )
            connection.executemany(
                "insert or replace into content values (?, ?, ?, ?, ?, ?)",
                [
                    (file, size, modified, content.file_hash, content.md5, content.content_hash)
                    for file, (size, modified, content) in contents.items()
                ],
            )
            self._enter_attempts(connection, attempts)
            connection.executemany(
                "delete from refused_row where attempt_id = ?", [(attempt.attempt_id,) for attempt in attempts]
            )
            connection.executemany(
                "insert into refused_row values (?, ?, ?, ?, ?, ?)",
                [
                    (attempt_id, file, row.line, row.column, row.value_class, row.reason)
                    for attempt_id, rows in refused.items()
                    for file, row in rows
                ],
            )
            connection.executemany("insert or ignore into drift values (?, ?, ?, ?, ?)", list(drift))
        kept = {part.part for part in added}
        for part in added:
            _show(self.folder(part.system, part.extract), part.part)
        for part in removed:
            if part.part not in kept:
                (self.folder(part.system, part.extract) / f"{part.part}.parquet").unlink(missing_ok=True)

    def _enter_attempts(self, connection: sqlite3.Connection, attempts: Sequence[Attempt]) -> None:
        connection.executemany(
            "update attempt set is_latest = 0 where system = ? and extract = ? and file = ? and is_latest = 1",
            [(attempt.system, attempt.extract, attempt.file) for attempt in attempts],
        )
        marks = ", ".join("?" for _ in _ATTEMPT_FIELDS)
        connection.executemany(
            f"insert or replace into attempt ({', '.join(_ATTEMPT_FIELDS)}, is_latest) values ({marks}, 1)",
            [_row(attempt) for attempt in attempts],
        )
        connection.executemany(
            "insert or replace into attempt_history values (?, ?, ?, ?)",
            [(attempt.attempt_id, attempt.run_id, attempt.outcome, attempt.reason) for attempt in attempts],
        )

    def enter_waiting(self, system: str, files: Sequence[str], run_id: str) -> None:
        """Remember which files wait for their manifest."""
        with self.transaction() as connection:
            connection.execute("delete from waiting where system = ?", [system])
            connection.executemany("insert into waiting values (?, ?, ?)", [(system, file, run_id) for file in files])

    def waiting(self) -> list[tuple[str, str]]:
        """(system, file) of the files that waited for their manifest in the last run."""
        return self.connection.execute("select system, file from waiting order by system, file").fetchall()

    def drifts(self) -> list[tuple[str, str, str, str, str]]:
        """(system, extract, column, kind, first file) of columns that came or went."""
        return self.connection.execute('select * from drift order by system, extract, "column"').fetchall()

    def recover(self) -> list[str]:
        """Finish parts that were entered but not yet shown, remove files that were never entered; say which.

        A part that is in the ledger and nowhere on disk loses its batches' attempts, so that they are read again.
        """
        done: list[str] = []
        known: dict[Path, tuple[str, str, str]] = {
            self.folder(system, extract) / f"{part}.parquet": (part, system, extract)
            for part, system, extract in self.connection.execute("select part, system, extract from part")
        }
        for path, (part, system, extract) in known.items():
            if path.exists():
                continue
            if path.with_name(path.name + ASIDE).exists():
                _show(path.parent, part)
                done.append(f"shown {system}.{extract} {part}")
                continue
            with self.transaction() as connection:
                connection.execute(
                    "delete from attempt where system = ? and extract = ? and file in"
                    " (select file from part_batch where part = ?)",
                    [system, extract, part],
                )
                connection.execute("delete from part where part = ?", [part])
            done.append(f"lost {system}.{extract} {part}: its deliveries are read again")
        for path in sorted((self.lake / "raw").glob("*/*/*")):
            if path not in known and path.name != "_empty.parquet":
                path.unlink()
                done.append(f"removed {path.relative_to(self.lake)}")
        return done

    # For readers of the lake ----------------------------------------------------------------------------------------

    def attempts_frame(self) -> pl.DataFrame:
        """The latest attempt at every delivery, as `lake/meta/attempts.parquet` holds it."""
        import polars as pl

        kinds = {"varchar": pl.String, "bigint": pl.Int64, "date": pl.Date, "boolean": pl.Boolean}
        attempts = self.latest_attempts()
        return pl.DataFrame(
            {name: [getattr(attempt, name) for attempt in attempts] for name in ATTEMPT_COLUMNS},
            schema={name: kinds[kind] for name, (kind, _) in ATTEMPT_COLUMNS.items()},
        )


def _show(folder: Path, part: str) -> None:
    aside = folder / f"{part}.parquet{ASIDE}"
    if aside.exists():
        aside.replace(folder / f"{part}.parquet")


def _row(attempt: Attempt) -> tuple[object, ...]:
    values = (getattr(attempt, name) for name in _ATTEMPT_FIELDS)
    return tuple(value.isoformat() if isinstance(value, date) else value for value in values)


def _attempt(row: Sequence[object]) -> Attempt:
    values = dict(zip(_ATTEMPT_FIELDS, row, strict=True))
    values["folder_date"] = date.fromisoformat(str(values["folder_date"]))
    for name in ("is_snapshot", "is_window_repeat"):
        values[name] = bool(values[name])
    if values["manifest_hash_ok"] is not None:
        values["manifest_hash_ok"] = bool(values["manifest_hash_ok"])
    return Attempt(**values)  # type: ignore[arg-type]
