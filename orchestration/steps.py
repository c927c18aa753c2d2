"""The steps of a run without Dagster: what each one calls, and what it leaves in the run's journal.

Here: the glue between ingest, dbt's output and quality. Heavy packages are imported where they are used, so that the
definitions load fast.
Not here: asset definitions (assets), the order of steps (jobs), any rule or row logic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.dbt import ensure_manifest, keys_of_models, load_manifest
from orchestration.journal import clear_work, hold_home, remember_landing, runs_that_published
from orchestration.progress import reporter, timed
from orchestration.resources import Scope
from orchestration.settings import CHECKOUT, Settings

if TYPE_CHECKING:
    from ingest.clock import AsOf
    from ingest.run import IngestReport
    from quality.judge import Judgement
    from quality.publish import Snapshot


ROW_COUNTS = ("delivered", "repeated", "landed", "quarantined")


class Refused(Exception):
    """A run that may not be made; the command line says so with exit code 2."""


# ------------------------------------------------------------------------------------------------ beginning


def refuse_earlier(scope: Scope) -> None:
    """Refuse an as-of before that of the last published run: the business clock does not go back.

    Raises:
        Refused: it is earlier.
    """
    from ingest.clock import AsOf
    from quality import publish

    newest = publish.snapshots(scope.settings.published)
    if newest and AsOf.parse(newest[0].as_of) > scope.as_of:
        raise Refused(
            f"the as-of {scope.as_of} is earlier than that of the last published run, {newest[0].as_of}."
            " To serve an older snapshot: suture snapshots, then suture rollback ID"
        )


def begin(scope: Scope) -> None:
    """Take the home, refuse what may not run, clear what killed runs left, and open the journal.

    Raises:
        Refused: the as-of is earlier than the last published run's.
        HomeIsBusy: another run does not end.
    """
    from quality import publish

    hold_home(scope.settings, scope.run_id, waiting=reporter().note, on_dead=bury)
    refuse_earlier(scope)
    for run_id in clear_work(scope.settings, keep={scope.run_id, *runs_that_published(scope.settings)}):
        withdraw_unpublished(scope.settings, run_id)
    if scope.settings.published.is_dir():
        publish.clear_leftovers(scope.settings.published)
    remember_landing(scope.settings, scope.landing)
    scope.journal.note(run_id=scope.run_id, landing=str(scope.landing), as_of=str(scope.as_of))


def bury(run_id: str) -> None:
    """Close the books of a run whose process died: its record says so, its pool slots are free again."""
    import dagster as dg

    instance = dg.DagsterInstance.get()
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    reporter().note(f"run {run_id} was ended from outside; nothing of it is served")
    instance.report_run_failed(run, message="The process of this run was ended from outside.")
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def withdraw_unpublished(settings: Settings, run_id: str) -> None:
    """Take back what an unpublished run entered in the exception ledger, unless a published run had the same as-of."""
    from ingest.clock import AsOf
    from quality import publish
    from quality.ledger import ExceptionLedger

    ledger = ExceptionLedger(settings.ledger)
    last = ledger.last_as_of()
    newest = publish.snapshots(settings.published)
    if last and newest and AsOf.parse(newest[0].as_of).utc.strftime("%Y-%m-%dT%H:%M:%SZ") >= last:
        return
    ledger.withdraw(run_id)


# ------------------------------------------------------------------------------------------------ ingest


def ingest_deliveries(scope: Scope, systems: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    """Land what is new below the landing directory; return the counts of rows by system."""
    from ingest.run import ingest

    with timed("ingest", f"deliveries below {scope.landing} up to {scope.as_of}") as outcome:
        report = ingest(
            scope.landing,
            scope.settings.home,
            scope.as_of,
            scope.run_id,
            systems=systems,
            progress=lambda what, done, total: reporter().advance("ingest", what, done, total),
        )
        counts = count_by_system(report)
        totals = {name: sum(each[name] for each in counts.values()) for name in ROW_COUNTS}
        outcome.append(", ".join(f"{totals[name]:,} {name}" for name in ROW_COUNTS))
    scope.journal.note(ingest=totals, systems=counts, attempts=str(report.attempts))
    return counts


def count_by_system(report: IngestReport) -> dict[str, dict[str, int]]:
    """Rows delivered, repeated, landed and quarantined in this run, by system."""
    counts: dict[str, dict[str, int]] = {}
    for extract in report.extracts:
        system = counts.setdefault(extract.feed.split(".")[0], dict.fromkeys(ROW_COUNTS, 0))
        for name in ROW_COUNTS:
            system[name] += getattr(extract, f"rows_{name}")
    return counts


# ------------------------------------------------------------------------------------------------ judgement


def dbt_as_of(as_of: AsOf) -> str:
    """The business clock as dbt models take it: a date, or a date and a time."""
    return as_of.local_date.isoformat() if str(as_of).endswith("T23:59:59") else str(as_of)[:16]


def judge_relations(scope: Scope) -> Judgement:
    """Judge what the first dbt call compared, and enter it in the exception ledger."""
    from quality.judge import judge
    from quality.ledger import ExceptionLedger

    with timed("judge", "rules over the compared pairs") as outcome:
        judgement = judge(
            scope.build_db,
            scope.settings.lake / "meta" / "attempts.parquet",
            scope.as_of,
            ExceptionLedger(scope.settings.ledger),
            scope.work,
            run_id=scope.run_id,
            data_docs=scope.settings.data_docs,
        )
        outcome.append(f"{judgement.open_count:,} exceptions open, {sum(judgement.timing_by_rule.values()):,} timing")
        if judgement.held_back:
            outcome.append(f"held back: {', '.join(sorted(judgement.held_back))}")
    scope.journal.note(
        exceptions_open=judgement.open_count,
        by_rule=dict(judgement.by_rule),
        held_back=dict(judgement.held_back),
        rule_version=judgement.rule_version,
        tolerance_version=judgement.tolerance_version,
    )
    return judgement


def build_control_totals(scope: Scope) -> int:
    """Count rows, quantities and dollars at every hop into quality.control_totals; return how many totals there are."""
    from quality.controls.totals import build

    with timed("control totals", "rows, quantities and dollars at every hop") as outcome:
        count = build(scope.build_db, scope.settings.lake / "meta" / "attempts.parquet")
        outcome.append(f"{count:,} totals")
    return count


# ------------------------------------------------------------------------------------------------ publication


def publish_build(scope: Scope) -> Snapshot:
    """Audit the build and publish it. What an unpublished run entered in the exception ledger is taken back.

    Raises:
        AuditFailed: it is not fit to be read; what was served before is still served.
    """
    from quality import publish
    from quality.rules import implemented

    entries = scope.journal.read()
    manifest = load_manifest(ensure_manifest())
    identity = publish.RunIdentity(
        run_id=scope.run_id,
        as_of=str(scope.as_of),
        code_version=code_version(),
        rule_version=entries["rule_version"],
        tolerance_version=entries["tolerance_version"],
        batches=landed_batches(scope.settings.lake),
        keys={**keys_of_models(manifest), **QUALITY_KEYS},
        rules=sorted(implemented()),
    )
    with timed("publish", "candidate, audit, switch") as outcome:
        try:
            snapshot = publish.publish(
                scope.build_db, scope.work, scope.settings.published, identity, keep=scope.settings.keep_snapshots
            )
        except publish.AuditFailed:
            withdraw_unpublished(scope.settings, scope.run_id)
            raise
        outcome.append(f"snapshot {snapshot.snapshot_id}" + ("" if snapshot.is_new else ", which was there already"))
    scope.journal.note(snapshot_id=snapshot.snapshot_id)
    clear_work(scope.settings, keep={scope.run_id})
    return snapshot


# Tables that quality writes itself: dbt knows nothing of them.
QUALITY_KEYS: Mapping[str, Sequence[str]] = {
    "quality.exceptions": ("exception_id",),
    "quality.control_totals": ("hop", "feed", "measure", "batch_id"),
}


def landed_batches(lake: Path) -> list[dict[str, Any]]:
    """What the manifest lists as the snapshot's origin: every batch of the lake."""
    from ingest.batches import BatchLedger

    with BatchLedger(lake) as ledger:
        return [
            {"id": batch_id, "feed": feed, "hash": content, "rows": rows}
            for batch_id, feed, content, rows in ledger.batches()
        ]


@cache
def code_version() -> str:
    """The package's version and a digest of everything that decides a result: code, models, contracts, rules."""
    try:
        released = installed_version("suture")
    except PackageNotFoundError:
        released = "unreleased"
    digest = hashlib.sha256()
    for room in ("ingest", "quality", "orchestration", "dbt_project"):
        for file in sorted((CHECKOUT / room).rglob("*")):
            relative = file.relative_to(CHECKOUT)
            if file.suffix in {".py", ".sql", ".yml", ".yaml"} and not {"target", "simulator"} & set(relative.parts):
                digest.update(f"{relative}\0".encode() + file.read_bytes())
    return f"{released}+{digest.hexdigest()[:12]}"
