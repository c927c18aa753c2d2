"""Where an instance lives and what its environment says.

Here: the only reading of environment variables, the layout of a home, the files that tools expect to find there
(Dagster's `dagster.yaml`), and the environment dbt is called with.
Not here: what runs (assets, jobs) and what the command line offers (cli).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DBT_PROJECT = CHECKOUT / "dbt_project"
DEFAULT_HOME = CHECKOUT / "data"
DEFAULT_KEEP_SNAPSHOTS = 35

# One writer locks even readers out of a DuckDB file, so everything that opens the build file shares this pool.
WAREHOUSE_POOL = "warehouse"

DAGSTER_YAML = """\
# Written by Suture at every start; a root dagster.yaml is not read once DAGSTER_HOME is set.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    default_limit: 1
  runs:
    max_concurrent_runs: 1
python_logs:
  managed_python_loggers: [suture]
  python_log_level: INFO
run_monitoring:
  enabled: true
retention:
  schedule:
    purge_after_days: 90
"""


class SettingsError(Exception):
    """A setting names something that is not usable; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """One instance of Suture: its home and the few choices its environment makes."""

    home: Path
    keep_snapshots: int = DEFAULT_KEEP_SNAPSHOTS
    ledger_url: str | None = None

    @cached_property
    def lake(self) -> Path:
        """Raw batches, quarantine and the batch ledger."""
        return self.home / "lake"

    @cached_property
    def warehouse(self) -> Path:
        """One folder a run, with its own build file."""
        return self.home / "warehouse"

    @cached_property
    def ledger(self) -> Path | str:
        """The exception ledger: a file of the home, or the URL that SUTURE_LEDGER_URL names."""
        return self.ledger_url or self.home / "ledger" / "exceptions.sqlite"

    @cached_property
    def published(self) -> Path:
        """Snapshots and the link to the one that is served."""
        return self.home / "published"

    @cached_property
    def dagster_home(self) -> Path:
        """Dagster's instance: runs, events, schedules."""
        return self.home / "dagster"

    @cached_property
    def logs(self) -> Path:
        """What tools say while they run, one file a run."""
        return self.home / "logs"

    @cached_property
    def data_docs(self) -> Path:
        """The pages an auditor opens."""
        return self.home / "data_docs"

    @cached_property
    def instance_file(self) -> Path:
        """What the instance remembers between runs: the landing directory it reads."""
        return self.home / "instance.json"

    @cached_property
    def endpoints_file(self) -> Path:
        """Where deliveries are pulled from, unless another file is named."""
        return self.home / "endpoints.yaml"

    @cached_property
    def run_lock(self) -> Path:
        """Held by the one run that works on this home."""
        return self.home / "run.lock"

    @cached_property
    def demo_landing(self) -> Path:
        """Where the demo's deliveries lie."""
        return self.home / "demo" / "landing"

    def work(self, run_id: str) -> Path:
        """The folder of one run: its build file and what is handed from step to step."""
        return self.warehouse / run_id

    def build_db(self, run_id: str) -> Path:
        """The DuckDB file that one run builds."""
        return self.work(run_id) / "build.duckdb"


def load_settings(home: Path | str | None = None) -> Settings:
    """The settings of `home`, else of SUTURE_HOME, else of the checkout's data folder.

    Raises:
        SettingsError: the home is a file, or SUTURE_KEEP_SNAPSHOTS is no positive number.
    """
    named = home or os.environ.get("SUTURE_HOME") or DEFAULT_HOME
    path = Path(named).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise SettingsError(f"the home {path} is a file: name a directory with --home or SUTURE_HOME")
    keep = os.environ.get("SUTURE_KEEP_SNAPSHOTS") or str(DEFAULT_KEEP_SNAPSHOTS)
    if not keep.isdecimal() or int(keep) < 1:
        raise SettingsError(f"SUTURE_KEEP_SNAPSHOTS is {keep!r}: give the number of snapshots to keep, 1 or more")
    return Settings(home=path, keep_snapshots=int(keep), ledger_url=os.environ.get("SUTURE_LEDGER_URL") or None)


def prepare_instance(settings: Settings) -> None:
    """Make the home usable by Dagster and dbt in this process: folders, `dagster.yaml`, environment."""
    for folder in (settings.home, settings.dagster_home, settings.logs, settings.warehouse):
        folder.mkdir(parents=True, exist_ok=True)
    dagster_yaml = settings.dagster_home / "dagster.yaml"
    if not dagster_yaml.exists() or dagster_yaml.read_text() != DAGSTER_YAML:
        draft = dagster_yaml.with_name(f".dagster.yaml.{os.getpid()}")
        draft.write_text(DAGSTER_YAML)
        draft.replace(dagster_yaml)
    os.environ.update(tool_environment(settings))


def tool_environment(settings: Settings) -> dict[str, str]:
    """What every tool started for this home finds in its environment."""
    return {
        "SUTURE_HOME": str(settings.home),
        "SUTURE_LAKE": str(settings.lake),
        "DAGSTER_HOME": str(settings.dagster_home),
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        # A debug line for every statement costs dbt a quarter of its time; what fails is told without it.
        "DBT_LOG_LEVEL_FILE": "error",
        "GX_ANALYTICS_ENABLED": "false",
    }


def dbt_environment(settings: Settings, run_id: str) -> dict[str, str]:
    """What dbt finds in its environment during one run."""
    return {
        **tool_environment(settings),
        "SUTURE_BUILD_DB": str(settings.build_db(run_id)),
        "SUTURE_WORK": str(settings.work(run_id)),
    }


def adopt_environment(variables: Mapping[str, str]) -> None:
    """Set `variables` for this process and the tools it starts."""
    os.environ.update(variables)


def environment() -> Mapping[str, str]:
    """The environment of this process, for what the endpoints file refers to in it."""
    return os.environ


def tool(name: str) -> str:
    """The executable `name` of the installation that is running, activated or not."""
    beside = Path(sys.executable).parent / name
    found = beside if beside.exists() else shutil.which(name)
    if not found:
        raise SettingsError(f"{name} is not installed beside {sys.executable}: run `make` in {CHECKOUT}")
    return str(found)


def child_environment(settings: Settings) -> dict[str, str]:
    """The whole environment for a tool that replaces or leaves this process, with this installation first on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, **tool_environment(settings), "PATH": path}
