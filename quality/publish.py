"""Publish a run: candidate -> audit -> snapshot -> switch, and serve an older snapshot again.

Here: the snapshot's files and manifest, content hashes, the audit of a candidate, the atomic switch, rollback, export,
retention.
Not here: judgement (judge), the control totals that are audited (controls), which models a build has (dbt_project).

A snapshot is a folder that is complete before it has its name. Readers follow `published/current`, a relative link that
is replaced by a rename: whoever opened a snapshot keeps it, whoever opens one next gets the newest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

PUBLISHED_SCHEMAS = ("conformed", "facts", "recon", "finance", "quality")
DATABASE = "suture.duckdb"
MANIFEST = "manifest.json"
# DuckDB 2 writes files that 1.5 cannot open unless it is told to; readers are promised 1.5 and later.
STORAGE_VERSION = "v1.5.0"
MEMORY_LIMIT = "4GB"

# Columns that say where a row came from or hold keyed tokens: they differ between homes of equal content.
LINEAGE_COLUMNS = frozenset(
    {"batch_id", "evidence", "source_extract", "source_file", "source_key", "source_line", "source_row_hash"}
)
# Columns of quality.exceptions that depend on the runs and decisions that led here. Of the status only timing against
# due is content.
HISTORY_COLUMNS = frozenset(
    {
        "occurrence",
        "status",
        "first_detected_at",
        "last_detected_at",
        "closed_at",
        "due_at",
        "assigned_to",
        "decided_at",
    }
)
EXCEPTIONS = "quality.exceptions"
CONTROL_TOTALS = "quality.control_totals"


class PublishError(Exception):
    """Publishing, rolling back or exporting cannot be done; the message says why."""


class AuditFailed(PublishError):
    """A candidate did not pass its audit: nothing was switched."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        failed = [finding for finding in self.findings if not finding.passed]
        super().__init__("; ".join(f"{finding.check}: {finding.detail}" for finding in failed))


@dataclass(frozen=True)
class Finding:
    """What one check of the audit found."""

    check: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class RunIdentity:
    """What a manifest says of the run that made the snapshot."""

    run_id: str
    as_of: str
    code_version: str
    rule_version: str
    tolerance_version: str
    batches: Sequence[Mapping[str, Any]] = ()
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rules: Sequence[str] = ()


@dataclass(frozen=True)
class Snapshot:
    """One published snapshot: where it is and what its manifest says."""

    snapshot_id: str
    folder: Path
    manifest: Mapping[str, Any]
    is_new: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def database(self) -> Path:
        """The DuckDB file to read."""
        return self.folder / DATABASE

    @property
    def as_of(self) -> str:
        """The business moment of the snapshot."""
        return str(self.manifest["as_of"])

    @property
    def size_bytes(self) -> int:
        """What the snapshot takes on disk."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


# ------------------------------------------------------------------------------------------------ content


def content_columns(table: str, columns: Sequence[str]) -> list[str]:
    """The columns of `table` that are content, in alphabetical order: no tokens, no lineage, no history."""
    excluded = LINEAGE_COLUMNS | HISTORY_COLUMNS if table == EXCEPTIONS else LINEAGE_COLUMNS
    return sorted(
        name
        for name in columns
        if name not in excluded and not name.startswith("_") and name != "token" and not name.endswith("_token")
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _canonical(name: str, kind: str) -> str:
    """SQL for the text of one value that no engine version or session setting changes."""
    column = _quoted(name)
    kind = kind.upper()
    if kind == "DATE":
        text = f"strftime({column}, '%Y-%m-%d')"
    elif kind.startswith("TIMESTAMP WITH TIME ZONE"):
        text = f"strftime({column} at time zone 'UTC', '%Y-%m-%d %H:%M:%S.%f')"
    elif kind.startswith("TIMESTAMP"):
        text = f"strftime({column}, '%Y-%m-%d %H:%M:%S.%f')"
    elif kind == "BOOLEAN":
        text = f"case when {column} then 'true' when not {column} then 'false' end"
    else:
        text = f"cast({column} as varchar)"
    # A length before the text keeps ('ab','c') apart from ('a','bc'); n is null, and no text.
    return f"coalesce('v' || length({text}) || ':' || {text}, 'n')"


def content_hash(
    connection: duckdb.DuckDBPyConnection, relation: str, table: str, *, only: str = "true", everything: bool = False
) -> str:
    """The order-free sum of row hashes of `relation`, judged by the column rules of `table`, as 32 hex digits.

    A row's hash is the MD5 of its canonical text (columns in alphabetical order); its two halves, read as little-endian
    64-bit numbers, are summed apart, modulo 2^64. `only` restricts the rows; `everything` takes history and lineage
    columns as well.
    """
    described = connection.execute(f"describe {relation}").fetchall()
    kinds = {str(row[0]): str(row[1]) for row in described}
    columns = sorted(kinds) if everything else content_columns(table, list(kinds))
    parts = [_canonical(name, kinds[name]) for name in columns]
    if table == EXCEPTIONS and not everything and "status" in kinds:
        parts.append("case when status = 'timing' then 'timing' else 'due' end")
    text = " || '|' || ".join(parts) if parts else "''"
    row = connection.execute(
        f"""
        select coalesce(sum(md5_number_upper(canonical)), 0), coalesce(sum(md5_number_lower(canonical)), 0)
        from (select {text} as canonical from {relation} where {only})
        """
    ).fetchone()
    assert row is not None
    return "".join(f"{int(half) % 2**64:016x}" for half in row)


def snapshot_id_of(as_of: str, hashes: Mapping[str, str]) -> str:
    """The name of a snapshot: its business moment and a digest of that and of everything in it."""
    digest = hashlib.sha256(json.dumps([as_of, sorted(hashes.items())]).encode()).hexdigest()
    return f"{as_of[:16].replace('-', '').replace(':', '')}-{digest[:12]}"


# ------------------------------------------------------------------------------------------------ candidate


def _tables(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[str]:
    rows = connection.execute(
        "select table_schema || '.' || table_name from information_schema.tables where table_catalog = ? order by 1",
        [catalog],
    ).fetchall()
    return [str(row[0]) for row in rows if str(row[0]).split(".")[0] in PUBLISHED_SCHEMAS]


def _copy_tables(build_db: Path, candidate: Path, keys: Mapping[str, Sequence[str]]) -> list[str]:
    """Copy the published schemas of `build_db` into a new file that DuckDB 1.5 reads; return the tables."""
    # Sorting spills beside the candidate, and goes with it; the default would be the folder the process was started in.
    spill: dict[str, Any] = {"memory_limit": MEMORY_LIMIT, "temp_directory": str(candidate.parent / "spill")}
    with contextlib.closing(duckdb.connect(config=spill)) as connection:
        connection.execute(f"attach '{_sql_path(build_db)}' as build (read_only)")
        connection.execute(f"attach '{_sql_path(candidate)}' as candidate (storage_version '{STORAGE_VERSION}')")
        tables = _tables(connection, "build")
        for schema in PUBLISHED_SCHEMAS:
            connection.execute(f"create schema candidate.{schema}")
        for table in tables:
            order = ", ".join(_quoted(column) for column in keys.get(table, ())) or "all"
            connection.execute(f"create table candidate.{table} as select * from build.{table} order by {order}")
        connection.execute("checkpoint candidate")
        connection.execute("detach candidate")
    shutil.rmtree(candidate.parent / "spill", ignore_errors=True)
    return tables


def _reading(database: Path) -> contextlib.closing[duckdb.DuckDBPyConnection]:
    config: dict[str, Any] = {"memory_limit": MEMORY_LIMIT}
    return contextlib.closing(duckdb.connect(str(database), read_only=True, config=config))


def _sql_path(path: Path) -> str:
    return str(path).replace("'", "''")


def firing_filter(judged: Path | None) -> str:
    """SQL condition for the exceptions that fire now: those of the run's judgement, else those that are not closed."""
    if judged is not None and judged.exists():
        return f"exception_id in (select exception_id from read_parquet('{_sql_path(judged)}'))"
    return "status in ('timing', 'open', 'assigned', 'reopened')"


def describe_tables(
    database: Path, tables: Sequence[str], as_of: str, keys: Mapping[str, Sequence[str]], judged: Path | None
) -> dict[str, dict[str, Any]]:
    """Rows, key, content hash and as-of of every table, as the manifest lists them."""
    described: dict[str, dict[str, Any]] = {}
    with _reading(database) as connection:
        for table in tables:
            only = firing_filter(judged) if table == EXCEPTIONS else "true"
            count = connection.execute(f"select count(*) from {table}").fetchone()
            described[table] = {
                "rows": int(count[0]) if count else 0,
                "key": list(keys.get(table, ())),
                "content_hash": content_hash(connection, table, table, only=only),
                "as_of": as_of,
            }
    return described


# ------------------------------------------------------------------------------------------------ audit


def audit(database: Path, tables: Sequence[str], keys: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Judge a candidate: keys, control-total identities, finance against facts. Reads the candidate only."""
    findings: list[Finding] = []
    with _reading(database) as connection:
        findings.extend(_audit_keys(connection, tables, keys))
        findings.append(_audit_ids(connection, tables))
        findings.extend(_audit_control_totals(connection, tables))
        findings.append(_audit_finance(connection, tables))
    return findings


def _audit_keys(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[str], keys: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    broken: list[str] = []
    keyless = [table for table in tables if not keys.get(table)]
    for table in tables:
        columns = [_quoted(column) for column in keys.get(table, ())]
        if not columns:
            continue
        empty = " or ".join(f"{column} is null" for column in columns)
        row = connection.execute(
            f"select count(*) - count(distinct ({', '.join(columns)},)), count(*) filter (where {empty}) from {table}"
        ).fetchone()
        if row and (row[0] or row[1]):
            broken.append(f"{table} has {row[0]} rows with a repeated key and {row[1]} without one")
    yield Finding("keys_unique", not broken, "; ".join(broken) or f"{len(tables) - len(keyless)} keys hold")
    yield Finding("keys_declared", not keyless, f"no key: {', '.join(keyless)}" if keyless else "every table has a key")


def _audit_ids(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> Finding:
    if EXCEPTIONS not in tables:
        return Finding("exceptions_present", False, "the build has no quality.exceptions")
    row = connection.execute(
        f"select count(*) - count(distinct (rule_id, facility_id, entity_key)) from {EXCEPTIONS}"
    ).fetchone()
    repeated = int(row[0]) if row else 0
    return Finding("exceptions_present", repeated == 0, f"{repeated} exceptions share rule, facility and entity")


def _audit_control_totals(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> Iterator[Finding]:
    """Delivered = landed + quarantined + repeated and landed = staged + superseded + excluded, per feed and measure.

    And every conformed line is exactly once matched, timing, excepted or out of scope.
    """
    identities = {
        "delivered_is_accounted_for": ("delivered", ("landed", "quarantined", "repeated")),
        "landed_is_accounted_for": ("landed", ("staged", "superseded", "excluded")),
        "conformed_is_judged_once": ("conformed", ("matched", "timing", "excepted", "out_of_scope")),
    }
    if CONTROL_TOTALS not in tables:
        for check in identities:
            yield Finding(check, False, "the build has no quality.control_totals")
        return
    is_counted = bool(connection.execute(f"select 1 from {CONTROL_TOTALS} limit 1").fetchall())
    for check, (whole, parts) in identities.items():
        # Hops may carry a reason after a colon (out_of_scope: log not posted).
        rows = connection.execute(
            f"""
            with totals as (
                select feed, measure, split_part(hop, ':', 1) as hop, sum(value) as value
                from {CONTROL_TOTALS} group by feed, measure, split_part(hop, ':', 1)
            )
            select
                feed, measure,
                sum(value) filter (where hop = '{whole}') as whole,
                coalesce(sum(value) filter (where hop in {parts}), 0) as parts
            from totals
            group by feed, measure
            having count(*) filter (where hop = '{whole}') > 0
            order by feed, measure
            """
        ).fetchall()
        broken = [
            f"{feed} {measure}: {whole} {total}, {' + '.join(parts)} {sum_of_parts}"
            for feed, measure, total, sum_of_parts in rows
            if total != sum_of_parts
        ]
        detail = "; ".join(broken[:5]) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")
        yield Finding(check, is_counted and not broken, detail or f"{len(rows)} identities hold")


# What finance reads must be the sum of the facts it was made from. A pair is judged when both tables are in the build.
_COUNTED_INVOICES = "filter (where not is_cancelled and line_type = 'ITEM' and po_line_key is not null)"
_COUNTED_RECEIPTS = "filter (where is_counted and po_line_key is not null)"
_FINANCE_TOTALS: tuple[tuple[str, str, str, str], ...] = (
    ("finance.three_way_match", "count(*)", "facts.fct_po_line", "count(*)"),
    ("finance.three_way_match", "sum(ordered_each)", "facts.fct_po_line", "sum(ordered_each)"),
    (
        "finance.three_way_match",
        "sum(received_each)",
        "facts.fct_receipt_line",
        f"sum(quantity_each) {_COUNTED_RECEIPTS}",
    ),
    ("finance.three_way_match", "sum(received_amount)", "facts.fct_receipt_line", f"sum(amount) {_COUNTED_RECEIPTS}"),
    (
        "finance.three_way_match",
        "sum(invoiced_each)",
        "facts.fct_invoice_line",
        f"sum(quantity_each) {_COUNTED_INVOICES}",
    ),
    (
        "finance.three_way_match",
        "sum(invoiced_amount)",
        "facts.fct_invoice_line",
        f"sum(line_amount) {_COUNTED_INVOICES}",
    ),
    ("finance.grni_aging", "sum(unbilled_amount)", "recon.rec_grni", "sum(unbilled_amount)"),
    ("finance.tie_out", "sum(unexplained_amount)", "recon.rec_tie_out", "sum(unexplained_amount)"),
    (
        "finance.case_margin",
        "sum(supply_cost_amount + implant_cost_amount)",
        "facts.fct_usage_line",
        "sum(cost_amount) filter (where is_countable)",
    ),
    (
        "finance.charge_capture",
        "sum(chargeable_lines)",
        "finance.charge_capture",
        "sum(charged_lines + in_flight_lines + timing_lines + missed_lines)",
    ),
    (
        "finance.charge_capture",
        "sum(charged_amount)",
        "recon.rec_usage_charge",
        "sum(charged_amount) filter (where expected_each > 0 and anchor_date is not null)",
    ),
)


def _audit_finance(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> Finding:
    compared = 0
    differences: list[str] = []
    for mart, of_mart, source, of_source in _FINANCE_TOTALS:
        if mart not in tables or source not in tables:
            continue
        row = connection.execute(
            f"select (select coalesce({of_mart}, 0) from {mart}), (select coalesce({of_source}, 0) from {source})"
        ).fetchone()
        assert row is not None
        compared += 1
        if row[0] != row[1]:
            differences.append(f"{mart} {of_mart} is {row[0]}, {source} {of_source} is {row[1]}")
    return Finding(
        "finance_equals_facts",
        compared > 0 and not differences,
        "; ".join(differences) or f"{compared} totals agree",
    )


# ------------------------------------------------------------------------------------------------ publish


def publish(build_db: Path, work: Path, published: Path, run: RunIdentity, *, keep: int = 35) -> Snapshot:
    """Copy the build into a candidate, audit it, name it by its content and serve it.

    The same content and as-of give the same snapshot: it is recognised and served, and nothing new is kept.

    Raises:
        AuditFailed: the candidate is not fit to be read; what was served before is still served.
    """
    published.mkdir(parents=True, exist_ok=True)
    clear_leftovers(published)
    candidate = published / f".candidate-{run.run_id}"
    candidate.mkdir()
    try:
        database = candidate / DATABASE
        judged = work / "judged.parquet"
        tables = _copy_tables(build_db, database, run.keys)
        findings = audit(database, tables, run.keys)
        if not all(finding.passed for finding in findings):
            raise AuditFailed(findings)
        described = describe_tables(database, tables, run.as_of, run.keys, judged)
        hashes = {table: str(entry["content_hash"]) for table, entry in described.items()}
        hashes["history"] = _history_hash(database, tables)
        snapshot_id = snapshot_id_of(run.as_of, hashes)
        manifest = {
            "run_id": run.run_id,
            "snapshot_id": snapshot_id,
            "as_of": run.as_of,
            "code_version": run.code_version,
            "rule_version": run.rule_version,
            "tolerance_version": run.tolerance_version,
            "rules": list(run.rules),
            "batches": list(run.batches),
            "tables": described,
            "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        snapshot = _keep_candidate(candidate, published, manifest)
    finally:
        _remove(candidate)
    _switch(published, snapshot.snapshot_id)
    _retire(published, keep)
    return Snapshot(snapshot.snapshot_id, snapshot.folder, snapshot.manifest, snapshot.is_new, tuple(findings))


def _history_hash(database: Path, tables: Sequence[str]) -> str:
    """What people decided and what closed: not content, but a reason for a new snapshot."""
    if EXCEPTIONS not in tables:
        return ""
    with _reading(database) as connection:
        return content_hash(connection, EXCEPTIONS, EXCEPTIONS, everything=True)


def _keep_candidate(candidate: Path, published: Path, manifest: Mapping[str, Any]) -> Snapshot:
    snapshot_id = str(manifest["snapshot_id"])
    folder = published / "snapshots" / snapshot_id
    if (folder / MANIFEST).exists():
        return Snapshot(snapshot_id, folder, json.loads((folder / MANIFEST).read_text()))
    folder.parent.mkdir(exist_ok=True)
    (candidate / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    for file in candidate.iterdir():
        _flush(file)
        file.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    _flush(candidate)
    candidate.rename(folder)
    _flush(folder.parent)
    return Snapshot(snapshot_id, folder, manifest, is_new=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _switch(published: Path, snapshot_id: str) -> None:
    """Point `current` at a snapshot, in one rename: no reader ever finds it missing."""
    current = published / "current"
    target = Path("snapshots") / snapshot_id
    if current.is_symlink() and current.readlink() == target:
        return
    draft = published / f".current-{os.getpid()}"
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(current)
    _flush(published)


def _retire(published: Path, keep: int) -> list[str]:
    """Remove snapshots beyond the `keep` newest; the one that is served stays."""
    ordered = snapshots(published)
    served = current(published)
    retired = [snapshot for snapshot in ordered[keep:] if served is None or snapshot.snapshot_id != served.snapshot_id]
    for snapshot in retired:
        # Out of the list by one rename, then removed: a kill in between leaves a leftover, not half a snapshot.
        doomed = published / f".retired-{snapshot.snapshot_id}"
        snapshot.folder.rename(doomed)
        _remove(doomed)
    return [snapshot.snapshot_id for snapshot in retired]


def clear_leftovers(published: Path) -> None:
    """Remove what a run that was killed left: candidates, half retired snapshots, links not yet switched."""
    for leftover in published.glob(".*"):
        if leftover.name.startswith((".candidate-", ".retired-", ".current-")):
            _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


# ------------------------------------------------------------------------------------------------ serving


def snapshots(published: Path) -> list[Snapshot]:
    """Every complete snapshot, newest as-of first, then the one published last."""
    folder = published / "snapshots"
    if not folder.is_dir():
        return []
    found = [
        Snapshot(entry.name, entry, json.loads((entry / MANIFEST).read_text()))
        for entry in folder.iterdir()
        if (entry / MANIFEST).is_file()
    ]
    return sorted(found, key=lambda each: (each.as_of, each.manifest.get("published_at", "")), reverse=True)


def current(published: Path) -> Snapshot | None:
    """The snapshot that is served, or None before the first."""
    link = published / "current"
    if not (link / MANIFEST).is_file():
        return None
    folder = link.resolve()
    return Snapshot(folder.name, folder, json.loads((folder / MANIFEST).read_text()))


def find(published: Path, snapshot_id: str) -> Snapshot:
    """The snapshot of that id, of an unambiguous beginning of it, or `current`.

    Raises:
        PublishError: no snapshot or several are meant.
    """
    if snapshot_id == "current":
        served = current(published)
        if served is None:
            raise PublishError("nothing is published yet: run `suture run nightly` first")
        return served
    meant = [each for each in snapshots(published) if each.snapshot_id == snapshot_id]
    meant = meant or [each for each in snapshots(published) if snapshot_id and each.snapshot_id.startswith(snapshot_id)]
    if len(meant) != 1:
        reason = "no snapshot has" if not meant else f"{len(meant)} snapshots have"
        raise PublishError(f"{reason} the id {snapshot_id!r}: `suture snapshots` lists them")
    return meant[0]


def rollback(published: Path, snapshot_id: str) -> Snapshot:
    """Serve an older snapshot again. Nothing is removed; the next run publishes its own.

    Raises:
        PublishError: there is no such snapshot, or its file cannot be read.
    """
    snapshot = find(published, snapshot_id)
    verify(snapshot)
    _switch(published, snapshot.snapshot_id)
    return snapshot


def verify(snapshot: Snapshot) -> None:
    """Open a snapshot and compare its row counts with its manifest.

    Raises:
        PublishError: the file does not open or does not hold what its manifest says.
    """
    try:
        with _reading(snapshot.database) as connection:
            for table, entry in snapshot.manifest["tables"].items():
                row = connection.execute(f"select count(*) from {table}").fetchone()
                if not row or row[0] != entry["rows"]:
                    raise PublishError(
                        f"{snapshot.snapshot_id}: {table} holds {row and row[0]} rows, not {entry['rows']}"
                    )
    except duckdb.Error as error:
        raise PublishError(f"{snapshot.database} cannot be read: {error}") from error


def export(published: Path, snapshot_id: str, target: Path, *, replace: bool = False) -> Snapshot:
    """Write one self-contained DuckDB file of a snapshot to `target`.

    Raises:
        PublishError: there is no such snapshot, or `target` exists and is not to be replaced, or cannot be written.
    """
    snapshot = find(published, snapshot_id)
    if target.is_dir():
        raise PublishError(f"{target} is a directory: name the file to write")
    if target.exists() and not replace:
        raise PublishError(f"{target} exists: name another file, or give --replace")
    if not target.parent.is_dir():
        raise PublishError(f"{target.parent} is no directory")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(snapshot.database, draft)
        draft.replace(target)
    except OSError as error:
        raise PublishError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return snapshot
