"""When the jobs run, once somebody switches the schedules on.

Here: cron lines on the hospitals' clock.
Not here: what runs (jobs), which deliveries are read (resources: the landing directory of the last run).
"""

from __future__ import annotations

import dagster as dg

from ingest.clock import HOME_ZONE
from orchestration.jobs import INTRADAY, NIGHTLY

# The last nightly extracts arrive by 06:30; cabinets and the cloud ERP send four slots a day.
NIGHTLY_CRON = "45 6 * * *"
INTRADAY_CRON = "15 10,14,18,22 * * *"


def run_schedules() -> list[dg.ScheduleDefinition]:
    """One schedule a job, stopped until it is switched on."""
    return [
        dg.ScheduleDefinition(
            name=f"{job}_schedule",
            job_name=job,
            cron_schedule=cron,
            execution_timezone=HOME_ZONE.key,
            default_status=dg.DefaultScheduleStatus.STOPPED,
        )
        for job, cron in ((NIGHTLY, NIGHTLY_CRON), (INTRADAY, INTRADAY_CRON))
    ]
