"""What was refused, where and why, and reading it again.

Here: listing refused files and rows from the batch ledger, explaining one, replay after a correction.
Not here: refusing (`shape`, `run`). Quarantine points into the delivery (file, line, column) and never copies from it.

A corrected file (same name, other content) and a corrected contract (another version) are new to `ingest` anyway and
replay by themselves; `replay` also reads again what looks unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.batches import Attempt, BatchLedger
from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.run import IngestReport, Progress, ingest

_SHORT = 12


class UnknownId(Exception):
    """No refused file or row has this id."""


@dataclass(frozen=True)
class RefusedFile:
    """A delivery that was refused whole."""

    id: str
    feed: str
    file: str
    rows: int
    manifest_rows: int | None
    reason: str


@dataclass(frozen=True)
class RefusedRow:
    """A value, or a row that does not split (column is null), that was refused."""

    id: str
    feed: str
    file: str
    line: int
    column: str | None
    value_class: str
    reason: str


@dataclass(frozen=True)
class Explanation:
    """Why something was refused and what to do."""

    id: str
    feed: str
    file: str
    reason: str
    rows: tuple[RefusedRow, ...]
    expected: tuple[str, ...]
    advice: str
    runs: tuple[tuple[str, str], ...]
    """(run, outcome), oldest first."""


def list_files(home: Path) -> list[RefusedFile]:
    """Deliveries that are refused whole now, by feed and in delivery order."""
    with BatchLedger(home / "lake") as ledger:
        return [_file(attempt) for attempt in ledger.latest_attempts() if attempt.is_refused_whole]


def list_rows(home: Path, limit: int | None = None) -> list[RefusedRow]:
    """Rows of the deliveries' latest attempts that are refused now, one entry a broken rule."""
    with BatchLedger(home / "lake") as ledger:
        return _rows(ledger, None, limit)


def explain(home: Path, identity: str) -> Explanation:
    """Everything known of a refused file (its id) or row (`<file id>:<line>`).

    Raises:
        UnknownId: nothing with this id is refused.
    """
    file_id, _, line = identity.partition(":")
    with BatchLedger(home / "lake") as ledger:
        attempts = [
            attempt
            for attempt in ledger.latest_attempts()
            if attempt.attempt_id.startswith(file_id) and attempt.rows_quarantined + attempt.is_refused_whole > 0
        ]
        if len(file_id) < 4 or len(attempts) != 1:
            raise UnknownId(f"{identity}: not the id of a refused file or row; `suture quarantine list` shows them")
        attempt = attempts[0]
        rows = _rows(ledger, attempt, None)
        if line:
            rows = [row for row in rows if str(row.line) == line]
            if not rows:
                raise UnknownId(f"{identity}: line {line} of {attempt.file} is not refused")
        history = ledger.history(attempt.attempt_id)
    whole = attempt.is_refused_whole
    if whole:
        advice = "have the source deliver the file again under the same name, then run again"
    else:
        advice = "have the source correct the rows, or correct ingest/contracts when it is wrong, then run again"
    return Explanation(
        id=identity,
        feed=f"{attempt.system}.{attempt.extract}",
        file=attempt.file,
        reason=attempt.reason or "" if whole else "; ".join(sorted({row.reason for row in rows})),
        rows=tuple(rows),
        expected=_expected(attempt, rows),
        advice=advice,
        runs=tuple((run, outcome) for run, outcome, _ in history),
    )


def replay(
    home: Path,
    landing: Path,
    as_of: AsOf,
    run_id: str,
    ids: Sequence[str] = (),
    progress: Progress | None = None,
) -> IngestReport:
    """Read refused deliveries, and deliveries with refused rows, once more: all of them, or some by id.

    What can be landed now lands at its place in delivery order, as if it had been right at first.
    """
    with BatchLedger(home / "lake") as ledger:
        files = [
            attempt.file
            for attempt in ledger.latest_attempts()
            if (attempt.rows_quarantined or attempt.is_refused_whole)
            and (not ids or any(attempt.attempt_id.startswith(identity.partition(":")[0]) for identity in ids))
        ]
    return ingest(landing, home, as_of, run_id, progress=progress, again=files)


def _file(attempt: Attempt) -> RefusedFile:
    return RefusedFile(
        id=attempt.attempt_id[:_SHORT],
        feed=f"{attempt.system}.{attempt.extract}",
        file=attempt.file,
        rows=attempt.rows_delivered,
        manifest_rows=attempt.manifest_rows,
        reason=attempt.reason or "",
    )


def _rows(ledger: BatchLedger, attempt: Attempt | None, limit: int | None) -> list[RefusedRow]:
    return [
        RefusedRow(f"{attempt_id[:_SHORT]}:{line}", f"{system}.{extract}", file, line, column, value_class, reason)
        for attempt_id, system, extract, file, line, column, value_class, reason in ledger.refused_rows(
            attempt.attempt_id if attempt else None, limit
        )
    ]


def _expected(attempt: Attempt, rows: Sequence[RefusedRow]) -> tuple[str, ...]:
    """What the contract asks of the columns that were refused."""
    columns = load_contracts()[attempt.system].extracts[attempt.extract].columns
    sentences = []
    for name in dict.fromkeys(row.column for row in rows if row.column):
        column = columns[name]
        says = [column.type_text]
        if column.required:
            says.append("never empty")
        if column.values:
            says.append("one of " + ", ".join(column.values))
        if column.pattern:
            says.append(f"of the pattern {column.pattern}")
        sentences.append(f"{name}: {', '.join(says)}")
    return tuple(sentences)
