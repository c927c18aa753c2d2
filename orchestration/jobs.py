"""The two jobs of a day.

Here: what each job materialises and how it is executed.
Not here: when they run (schedules), what the assets do (assets).
"""

from __future__ import annotations

import dagster as dg

# A step in a process of its own costs about two seconds and these are few coarse steps, so they share one process.
_DESCRIPTIONS = {
    "nightly": "Ingest everything new, rebuild the warehouse from the batches, judge, audit, publish.",
    "intraday": "The same for what arrived since the last run. Publishes what a nightly run would.",
}
NIGHTLY = "nightly"
INTRADAY = "intraday"


def run_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """The jobs, each over every asset: a run is one build file from the first step to the last."""
    return [
        dg.define_asset_job(
            name,
            selection=dg.AssetSelection.all(),
            description=_DESCRIPTIONS[name],
            executor_def=dg.in_process_executor,
            tags={"suture/kind": name},
        )
        for name in (NIGHTLY, INTRADAY)
    ]
