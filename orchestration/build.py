"""Put the definitions together.

Here: one function that builds `Definitions`, with parts that a test may replace.
Not here: any definition itself.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.assets import build_assets
from orchestration.dbt import ensure_manifest, load_manifest
from orchestration.instance import quicken_records
from orchestration.jobs import run_jobs
from orchestration.resources import RunScope, dbt_resource
from orchestration.schedules import run_schedules
from orchestration.settings import load_settings


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Pause garbage collection: everything made here is kept, and looking for the rest took a quarter of the import."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def build_defs(
    *,
    manifest: Path | None = None,
    assets: Sequence[dg.AssetsDefinition] | None = None,
    resources: Mapping[str, Any] | None = None,
    schedules: Sequence[dg.ScheduleDefinition] | None = None,
) -> dg.Definitions:
    """The definitions of Suture. Without `manifest` dbt parses the project first, if it has changed.

    `assets` replaces all of them, `resources` those of the same name, `schedules` all of them.
    """
    quicken_records(load_settings().dagster_home)
    if assets is None:
        with _collecting_nothing():
            assets = build_assets(load_manifest(manifest or ensure_manifest()))
    return dg.Definitions(
        assets=list(assets),
        jobs=run_jobs(),
        schedules=list(schedules) if schedules is not None else run_schedules(),
        resources={"scope": RunScope(), "dbt": dbt_resource(), **(resources or {})},
        executor=dg.in_process_executor,
    )
