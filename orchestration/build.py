"""Put the definitions together.

Here: one function that builds `Definitions`, with parts that a test may replace.
Not here: any definition itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    return dg.Definitions(
        assets=list(assets) if assets is not None else build_assets(load_manifest(manifest or ensure_manifest())),
        jobs=run_jobs(),
        schedules=list(schedules) if schedules is not None else run_schedules(),
        resources={"scope": RunScope(), "dbt": dbt_resource(), **(resources or {})},
        executor=dg.in_process_executor,
    )
