"""Suites: Great Expectations over small tables, and the Data Docs they leave.

Here: the suites of ledger rules (journal balance, tie-out) and of control totals, running them, the static site.
Not here: how a verdict is reached (quality.verdicts judges by the one breach function; a suite asserts its verdicts)
and the totals themselves (totals).

Every suite sees one small frame that is also kept beside the run (`work/controls/<suite>.parquet`), so that the site
can be made again from the run alone. Rows that a suite accepts by the thousand are folded into one a facility and
month; a row that it refuses always stands for itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quality.controls.site import JudgedSuite, make_readable
from quality.relations import Relation
from quality.rules.catalogue import Catalogue
from quality.rules.check import RuleCheck
from quality.tolerances import ToleranceSet, describe
from quality.verdicts import BREACH, VERDICTS, WITHIN, verdict_column

if TYPE_CHECKING:
    import polars as pl

    from ingest.clock import AsOf

CONTROLS = "controls"
ROW = "row"
_SITE = "suture"
_RUN = "run.json"


@dataclass(frozen=True)
class Suite:
    """One expectation over one small frame: every row's verdict is accepted.

    Attributes:
        name: The suite's name in Data Docs and of its files.
        expectation: What is expected, in a sentence.
        notes: What an auditor should know: rule, tolerance, version, owner.
        accepted: Verdicts that pass.
    """

    name: str
    expectation: str
    notes: dict[str, str]
    accepted: tuple[str, ...]


@dataclass(frozen=True)
class RememberedRun:
    """What the suites of a run share: its business moment and where its Data Docs belong."""

    as_of: AsOf
    data_docs: Path


def remember_run(work: Path, as_of: AsOf, data_docs: Path) -> None:
    """Note beside a run what a later step needs to make its Data Docs."""
    folder = work / CONTROLS
    folder.mkdir(parents=True, exist_ok=True)
    text = {"as_of": str(as_of), "data_docs": str(data_docs.absolute())}
    (folder / _RUN).write_text(json.dumps(text, sort_keys=True) + "\n")


def remembered_run(work: Path) -> RememberedRun | None:
    """What `remember_run` noted beside a run; None when it was not judged."""
    from ingest.clock import AsOf

    path = work / CONTROLS / _RUN
    if not path.exists():
        return None
    text = json.loads(path.read_text())
    return RememberedRun(AsOf.parse(text["as_of"]), Path(text["data_docs"]))


def refused_by_suite(
    relation: Relation, check: RuleCheck, catalogue: Catalogue, sets: Sequence[ToleranceSet], work: Path, as_of: AsOf
) -> list[int]:
    """Row numbers of a relation that the suite of a ledger rule refuses, from the validation's unexpected rows."""
    rule = catalogue.rules[check.rule_id]
    suite = Suite(
        name=f"{check.rule_id} {rule.title}",
        expectation=f"{check.rule_id}: {rule.title.lower()} is within tolerance for every row",
        notes={
            "rule": f"{check.rule_id}, catalogue {catalogue.version}",
            "tolerance": "; ".join(f"{each.version}: {describe(each.named(check.tolerance))}" for each in sets),
            "owner": rule.queue,
        },
        accepted=tuple(verdict for verdict in VERDICTS if verdict != BREACH),
    )
    return validate(suite, _ledger_frame(relation, check), work, as_of)


def _ledger_frame(relation: Relation, check: RuleCheck) -> pl.DataFrame:
    """What the suite of a ledger rule sees: refused rows one by one, accepted ones by facility and month."""
    import polars as pl

    verdict = verdict_column(check.rule_id)
    numbers = [name for name, dtype in relation.rows.schema.items() if dtype.is_decimal()]
    month = pl.col(relation.column_of("business_date", check)).dt.strftime("%Y-%m").alias("month")
    columns = ["entity_key", "facility_id", "month", *numbers, "rows", "verdict", ROW]
    rows = relation.rows.with_row_index(ROW).with_columns(
        month, pl.col(verdict).alias("verdict"), pl.lit(1, pl.UInt32).alias("rows"), pl.col(ROW).cast(pl.Int64)
    )
    refused = rows.filter(pl.col("verdict") == BREACH).select(columns)
    accepted = (
        rows.filter(pl.col("verdict") == WITHIN)
        .group_by("facility_id", "month", "verdict")
        .agg(pl.col(*numbers).sum(), pl.len().cast(pl.UInt32).alias("rows"))
        .with_columns(pl.lit("(all others)").alias("entity_key"), pl.lit(None, pl.Int64).alias(ROW))
        .select(columns)
    )
    return pl.concat([refused, accepted]).sort("facility_id", "month", "entity_key")


# ------------------------------------------------------------------------------------------------ Great Expectations


def validate(suite: Suite, frame: pl.DataFrame, work: Path, as_of: AsOf) -> list[int]:
    """Keep the frame beside the run, assert the suite over it, and return `row` of each refused row."""
    folder = work / CONTROLS
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / f"{suite.name}.parquet")
    (folder / f"{suite.name}.json").write_text(json.dumps(asdict(suite), indent=1, sort_keys=True) + "\n")
    result = _run(_context(), suite, frame, as_of)
    unexpected = result.results[0].result.get("unexpected_index_list") or []
    return sorted(int(each[ROW]) for each in unexpected)


def leave_data_docs(work: Path, target: Path, as_of: AsOf) -> Path:
    """Make the static site of every suite kept beside a run, and put it in place of the one before.

    Returns the page to open. Runs are named by the as-of, never by the wall clock.
    """
    import polars as pl

    context = _context()
    draft = target.with_name(f".{target.name}-draft")
    shutil.rmtree(draft, ignore_errors=True)
    context.add_data_docs_site(
        site_name=_SITE,
        site_config={
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder", "show_cta_footer": False},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(draft.absolute())},
        },
    )
    judged: list[JudgedSuite] = []
    for description in sorted(path for path in (work / CONTROLS).glob("*.json") if path.name != _RUN):
        text = json.loads(description.read_text())
        suite = Suite(**text | {"accepted": tuple(text["accepted"])})
        frame = pl.read_parquet(description.with_suffix(".parquet"))
        _run(context, suite, frame, as_of)
        judged.append(_told(suite, frame))
    context.build_data_docs(site_names=[_SITE])
    make_readable(draft, judged, str(as_of))
    retired = target.with_name(f".{target.name}-retired")
    shutil.rmtree(retired, ignore_errors=True)
    if target.exists():
        target.rename(retired)
    draft.rename(target)
    shutil.rmtree(retired, ignore_errors=True)
    return target / "index.html"


def _told(suite: Suite, frame: pl.DataFrame) -> JudgedSuite:
    """A suite's frame as its page tells it: refused rows first, the row numbers of the run left out."""
    import polars as pl
    import polars.selectors as cs

    is_refused = ~pl.col("verdict").is_in(suite.accepted)
    ordered = pl.concat([frame.filter(is_refused), frame.filter(~is_refused)])
    told = ordered.drop(ROW, strict=False)
    numbers = frozenset(told.select(cs.numeric()).columns)
    return JudgedSuite(
        name=suite.name,
        expectation=suite.expectation,
        notes=suite.notes,
        columns=tuple(told.columns),
        rows=tuple(tuple("" if cell is None else str(cell) for cell in row) for row in told.iter_rows()),
        numbers=numbers,
        refused=frame.filter(is_refused).height,
        judged=int(frame["rows"].sum()) if "rows" in frame.columns else frame.height,
    )


def _context() -> Any:
    """A context in memory: no project folder, no progress bars, no analytics."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    return gx.get_context(
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        )
    )


def _run(context: Any, suite: Suite, frame: pl.DataFrame, as_of: AsOf) -> Any:
    """Validate one suite over one frame; every column of the frame tells which row was refused."""
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd
    import polars as pl
    import polars.selectors as cs
    from great_expectations.core.run_identifier import RunIdentifier

    expected = gx.ExpectationSuite(name=suite.name)
    expected.add_expectation(
        gxe.ExpectColumnValuesToBeInSet(
            column="verdict",
            value_set=list(suite.accepted),
            description=suite.expectation,
            meta=suite.notes,
            notes=[f"{name}: {text}" for name, text in suite.notes.items()],
        )
    )
    definition = gx.ValidationDefinition(
        name=suite.name,
        data=context.data_sources.add_pandas(suite.name)
        .add_dataframe_asset(suite.name)
        .add_batch_definition_whole_dataframe("all rows"),
        suite=context.suites.add(expected),
    )
    # Numbers are only told here. As text they stay exact; Great Expectations makes floats of decimals, and slowly.
    rows = pd.DataFrame(frame.with_columns(cs.decimal().cast(pl.String)).to_dict(as_series=False), dtype=object)
    return context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": rows},
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": [column for column in frame.columns if column != "verdict"],
        },
        run_id=RunIdentifier(run_name=str(as_of), run_time=as_of.utc),
    )
