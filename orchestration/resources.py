"""What assets are given: the scope of a run and dbt.

Here: Dagster resources. A run's scope is resolved once, by its first step, and read from its journal by the later ones.
Not here: settings (settings), the steps (assets).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster_dbt import DbtCliResource
from packaging import version
from pydantic import Field

from orchestration.journal import Journal, NoLanding, delivered_dates, known_landing
from orchestration.settings import DBT_PROJECT, Settings, load_settings, tool

if TYPE_CHECKING:
    from ingest.clock import AsOf


@dataclass(frozen=True)
class Scope:
    """What one run works on: its instance, its deliveries, its business moment."""

    settings: Settings
    run_id: str
    landing: Path
    as_of: AsOf

    @cached_property
    def journal(self) -> Journal:
        """The journal of the run."""
        return Journal(self.settings, self.run_id)

    @property
    def work(self) -> Path:
        """The folder of the run."""
        return self.settings.work(self.run_id)

    @property
    def build_db(self) -> Path:
        """The DuckDB file that the run builds."""
        return self.settings.build_db(self.run_id)


class RunScope(dg.ConfigurableResource):
    """Which deliveries a run reads and as of when. Both may be left out.

    Without `landing` the directory of the last run is read again (the demo's at first); without `as_of` the run ends
    with the newest date that anything was delivered for.
    """

    landing: str | None = Field(default=None, description="Directory of deliveries: DIR/<system>/<yyyymmdd>/...")
    as_of: str | None = Field(
        default=None, description="Business clock: YYYY-MM-DD (end of that day, Chicago) or YYYY-MM-DDTHH:MM"
    )

    def resolve(self, run_id: str) -> Scope:
        """The scope of a run that begins.

        Raises:
            NoLanding: no directory is known, it does not exist, or nothing was delivered there.
            ValueError: the as-of has another form.
        """
        from ingest.clock import AsOf

        settings = load_settings()
        landing = Path(self.landing).expanduser().absolute() if self.landing else known_landing(settings)
        if not landing.is_dir():
            raise NoLanding(f"the landing directory {landing} does not exist")
        as_of = self.as_of
        if as_of is None:
            dates = delivered_dates(landing)
            if not dates:
                raise NoLanding(f"nothing was delivered below {landing}: expected <system>/<yyyymmdd>/ folders")
            as_of = dates[-1]
        return Scope(settings, run_id, landing, AsOf.parse(as_of))

    def of_run(self, run_id: str) -> Scope:
        """The scope that the first step of the run resolved.

        Raises:
            dg.Failure: the run has no first step, because only a part of the assets was asked for.
        """
        from ingest.clock import AsOf

        settings = load_settings()
        entries = Journal(settings, run_id).read()
        if "as_of" not in entries:
            raise dg.Failure(
                "this run did not ingest: a build file belongs to one run, so materialise the whole nightly job",
                allow_retries=False,
            )
        return Scope(settings, run_id, Path(entries["landing"]), AsOf.parse(entries["as_of"]))


class WarehouseDbt(DbtCliResource):
    """dbt of this installation, called without the two detours that cost more than the SQL.

    The base class starts `dbt --version` and loads an adapter into this process for each call, together about five
    seconds, to offer row counts that are not asked for here.
    """

    @cached_property
    def _cli_version(self) -> version.Version:
        return version.parse(installed_version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: object) -> None:  # type: ignore[override]
        return None


def dbt_resource() -> WarehouseDbt:
    """dbt over the checkout's project, found beside the running interpreter."""
    return WarehouseDbt(project_dir=str(DBT_PROJECT), profiles_dir=str(DBT_PROJECT), dbt_executable=tool("dbt"))
