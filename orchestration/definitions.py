"""What Dagster loads: `dagster dev -m orchestration.definitions`."""

from orchestration.build import build_defs

defs = build_defs()
