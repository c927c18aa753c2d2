"""Run a job from the command line: the same job that Dagster's web interface runs, in this process.

Here: what goes before and after the job (lock, refusals, logs, exit code, JSON summary).
Not here: the job (jobs), the text that people read afterwards (summary).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from orchestration.journal import Journal, home_held
from orchestration.progress import reporter, reporting
from orchestration.settings import Settings, prepare_instance

if TYPE_CHECKING:
    import dagster as dg

PUBLISHED, FAULT, USAGE, HELD_BACK, NOT_PUBLISHED = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    exit_code: int
    summary: dict[str, Any]
    journal: dict[str, Any]
    reason: str | None
    log: Path

    @property
    def json_line(self) -> str:
        """The last line of standard output."""
        return json.dumps(self.summary)


def run_job(settings: Settings, kind: str, landing: Path | None, as_of: str | None, progress: TextIO) -> Outcome:
    """Run `nightly` or `intraday` and say how it ended; progress goes to `progress`, tools' chatter to the home's logs.

    Raises:
        Refused: the as-of is earlier than the last published run's.
        NoLanding: there is no landing directory.
        ValueError: the as-of has another form.
    """
    started = time.monotonic()
    with reporting(progress):
        reporter().note(f"home {settings.home}")
        prepare_instance(settings)
        from dagster._core.utils import make_new_run_id

        from orchestration import steps
        from orchestration.resources import RunScope

        run_id = make_new_run_id()
        log = settings.logs / f"{run_id}.log"
        scope = RunScope(landing=None if landing is None else str(landing), as_of=as_of).resolve(run_id)
        with home_held(settings, run_id, waiting=reporter().note, on_dead=steps.bury):
            steps.refuse_earlier(scope)
            with _quietly(log):
                result = _execute(kind, run_id, str(scope.landing), str(scope.as_of))
        journal = Journal(settings, run_id).read()
        exit_code, reason = _judge(result, journal)
        summary = _summary(settings, run_id, exit_code, journal, time.monotonic() - started)
        return Outcome(exit_code, summary, journal, reason, log)


def _execute(kind: str, run_id: str, landing: str, as_of: str) -> dg.ExecuteInProcessResult:
    import dagster as dg

    from orchestration.build import build_defs

    job = build_defs().get_job_def(kind)
    return job.execute_in_process(
        run_id=run_id,
        instance=dg.DagsterInstance.get(),
        run_config={
            "resources": {"scope": {"config": {"landing": landing, "as_of": as_of}}},
            "loggers": {"console": {"config": {"log_level": "INFO"}}},
        },
        tags={"suture/from": "command line"},
        raise_on_error=False,
    )


@contextlib.contextmanager
def _quietly(log: Path) -> Iterator[None]:
    """Send what libraries write to standard output and error into a log of the run."""
    with (
        log.open("a", buffering=1) as chatter,
        contextlib.redirect_stdout(chatter),
        contextlib.redirect_stderr(chatter),
    ):
        yield


def _judge(result: dg.ExecuteInProcessResult, journal: dict[str, Any]) -> tuple[int, str | None]:
    """The exit code, and the reason for any but 0."""
    if result.success:
        held = journal.get("held_back") or []
        return (HELD_BACK, f"rule groups held back: {', '.join(held)}") if held else (PUBLISHED, None)
    for event in result.all_events:
        failure = event.step_failure_data if event.is_step_failure else None
        if failure is None or failure.error is None:
            continue
        meant = failure.user_failure_data
        if meant is not None and "exit_code" in meant.metadata:
            return int(meant.metadata["exit_code"].value), meant.description  # type: ignore[arg-type]
        return FAULT, f"step {event.step_key}: {_own_words(failure.error)}"
    return FAULT, "the run failed before its first step"


def _own_words(error: Any) -> str:
    """What the step itself raised, without Dagster's wrapping."""
    while error.cause is not None and str(error.cls_name).startswith("Dagster"):
        error = error.cause
    return str(error.message).strip()


def _summary(
    settings: Settings, run_id: str, exit_code: int, journal: dict[str, Any], seconds: float
) -> dict[str, Any]:
    from quality import publish

    served = publish.current(settings.published)
    rows = journal.get("ingest") or {}
    return {
        "run_id": run_id,
        "snapshot_id": served.snapshot_id if served else None,
        "published": exit_code in (PUBLISHED, HELD_BACK),
        "rows_in": rows.get("delivered", 0),
        "rows_landed": rows.get("landed", 0),
        "rows_quarantined": rows.get("quarantined", 0),
        "exceptions_open": journal.get("exceptions_open", 0),
        "seconds": round(seconds, 1),
    }
