"""The Dagster graph as text, for review: `make golden` writes it, the test compares it.

A reviewer sees every change of assets, checks, jobs and schedules as a difference of these files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import dagster as dg

GOLDEN = Path(__file__).parent


def described(defs: dg.Definitions) -> dict[str, str]:
    """File name to text."""
    return {
        "assets.txt": _text(_assets(defs)),
        "checks.txt": _text(_checks(defs)),
        "jobs.txt": _text(_jobs(defs)),
        "schedules.txt": _text(_schedules(defs)),
    }


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _assets(defs: dg.Definitions) -> Iterable[str]:
    specs = sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key)
    produced = {
        key
        for definition in defs.assets or ()
        if isinstance(definition, dg.AssetsDefinition)
        for key in definition.keys
    }
    for spec in specs:
        if spec.key not in produced:
            continue
        named = [spec.key.to_user_string(), f"[{spec.group_name}]", *spec.owners, *sorted(spec.kinds)]
        yield " ".join(named)
        for dep in sorted(dep.asset_key.to_user_string() for dep in spec.deps):
            yield f"  <- {dep}"


def _checks(defs: dg.Definitions) -> Iterable[str]:
    for definition in defs.assets or ():
        assert isinstance(definition, dg.AssetsDefinition)
        yield f"{definition.op.name}"
        for spec in sorted(definition.check_specs, key=lambda each: (each.asset_key, each.name)):
            blocking = " blocking" if spec.blocking else ""
            yield f"  {spec.asset_key.to_user_string()}: {spec.name}{blocking}"


def _jobs(defs: dg.Definitions) -> Iterable[str]:
    for name in ("intraday", "nightly"):
        job = defs.resolve_job_def(name)
        yield f"{name}: {job.description} [{job.executor_def.name}]"
        for node in job.nodes_in_topological_order:
            yield f"  {node.name} pool={node.definition.pool}"


def _schedules(defs: dg.Definitions) -> Iterable[str]:
    for schedule in sorted(defs.schedules or (), key=lambda each: each.name):
        assert isinstance(schedule, dg.ScheduleDefinition)
        yield (
            f"{schedule.name}: {schedule.job_name} {schedule.cron_schedule} {schedule.execution_timezone}"
            f" {schedule.default_status.value}"
        )


def main() -> None:
    """Write the files anew."""
    from orchestration.build import build_defs

    for name, text in described(build_defs()).items():
        (GOLDEN / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
