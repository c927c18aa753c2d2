"""Judgement: recon relations become exceptions.

Here: applying the rules to the relations of a build, the run's entry in the exception ledger, and the two results:
`judged.parquet` (what fires now) and the table quality.exceptions.
Not here: what a rule is (quality.rules), what its check refuses (quality.verdicts, quality.controls.suites), what a
refused row says (quality.findings), what people decide (quality.ledger).

Row rules are asserted by Pandera, ledger rules by Great Expectations; a break is what a check refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from quality.controls.suites import refused_by_suite, remember_run
from quality.findings import finding_schema, findings_of
from quality.ledger import EXCEPTION_TYPES, LIVE_STATUSES, Applied, ExceptionLedger
from quality.relations import Relation, RelationFault, connected, read_relation
from quality.rules import implemented
from quality.rules.catalogue import Catalogue, load_catalogue
from quality.rules.check import RuleCheck
from quality.rules.feeds import FEED_FILES, feed_files
from quality.tolerances import ToleranceSet, in_force, load_tolerances
from quality.verdicts import OUT_OF_SCOPE, refused_by_pandera, verdict_column, with_verdicts

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from ingest.clock import AsOf

JUDGED = "judged.parquet"
EXCEPTIONS = "quality.exceptions"


@dataclass(frozen=True)
class Rulebook:
    """What judges: the rules, the catalogue and the tolerance sets."""

    checks: Mapping[str, RuleCheck] = field(default_factory=implemented)
    catalogue: Catalogue = field(default_factory=load_catalogue)
    tolerances: tuple[ToleranceSet, ...] = field(default_factory=load_tolerances)


@dataclass(frozen=True)
class Judgement:
    """What one judgement found.

    Attributes:
        judged: The file with everything that fires now.
        applied: What changed in the ledger.
        by_rule: Exceptions to work on (open, assigned, reopened), by rule.
        by_queue: The same, by the queue that owns them.
        timing_by_rule: Breaks that have not matured.
        rows_judged: Rows in scope of each rule, breaks included.
        held_back: Rules that keep their last good state, with the reason. When not empty: exit code 3.
        rule_version: Version of the catalogue.
        tolerance_version: Version of the tolerance set in force at the as-of.
    """

    judged: Path
    applied: Applied
    by_rule: Mapping[str, int]
    by_queue: Mapping[str, int]
    timing_by_rule: Mapping[str, int]
    rows_judged: Mapping[str, int]
    held_back: Mapping[str, str]
    rule_version: str
    tolerance_version: str

    @property
    def open_count(self) -> int:
        """Exceptions that somebody has to work on."""
        return sum(self.by_rule.values())


@dataclass(frozen=True)
class _Found:
    findings: pl.DataFrame
    rows_judged: Mapping[str, int]
    held_back: Mapping[str, str]


def judge(
    build: duckdb.DuckDBPyConnection | Path | str,
    attempts: Path,
    as_of: AsOf,
    ledger: ExceptionLedger,
    work: Path,
    *,
    run_id: str | None = None,
    data_docs: Path | None = None,
    rulebook: Rulebook | None = None,
) -> Judgement:
    """Judge a build as of a moment, enter it in the ledger, and write what fires and what is published.

    Writes `work/judged.parquet` (what fires now, for the second dbt call), the frames of the ledger suites below
    `work/controls`, and the table quality.exceptions in the build, closed exceptions included. `run_id` is the name
    of `work` unless given. Data Docs are made of the suites once, with that of the control totals: in `data_docs`;
    without it in the home's when `work` is one of its warehouse folders, else below `work`.

    A relation that is missing or broken holds its rules back: their exceptions stay as they were last judged.

    Raises:
        EarlierAsOf: the ledger knows a later as-of.
    """
    rulebook = rulebook or Rulebook()
    remember_run(work, as_of, data_docs or data_docs_of(work))
    with connected(build) as connection:
        found = _find(connection, attempts, as_of, rulebook, work)
        applied = ledger.apply(
            run_id or work.name, as_of, found.findings, judged_rules=set(rulebook.checks) - set(found.held_back)
        )
        exceptions = ledger.exceptions()
        _write_exceptions(connection, exceptions, work / JUDGED)
    firing = exceptions.filter("is_firing")
    due = firing.filter(firing["status"].is_in(LIVE_STATUSES))
    return Judgement(
        judged=work / JUDGED,
        applied=applied,
        by_rule=_counts(due, "rule_id"),
        by_queue=_counts(due, "queue"),
        timing_by_rule=_counts(firing.filter(firing["status"] == "timing"), "rule_id"),
        rows_judged=found.rows_judged,
        held_back=found.held_back,
        rule_version=rulebook.catalogue.version,
        tolerance_version=in_force(rulebook.tolerances, as_of.local_date).version,
    )


def data_docs_of(work: Path) -> Path:
    """Where the Data Docs of a run belong: the home's when `work` is <home>/warehouse/<run>, else below `work`."""
    return (work.parent.parent if work.parent.name == "warehouse" else work) / "data_docs"


def _counts(rows: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(sorted(Counter(rows[column].to_list()).items()))


def _find(build: duckdb.DuckDBPyConnection, attempts: Path, as_of: AsOf, rulebook: Rulebook, work: Path) -> _Found:
    """All breaks of all rules; a fault of a relation holds back every rule that reads it."""
    import polars as pl

    groups: dict[str, list[RuleCheck]] = {}
    for check in rulebook.checks.values():
        groups.setdefault(check.relation, []).append(check)
    findings = [pl.DataFrame(schema=finding_schema())]
    rows_judged: dict[str, int] = {}
    held_back: dict[str, str] = {}
    for name, checks in groups.items():
        try:
            relation = with_verdicts(_relation(build, name, checks, attempts), checks, rulebook.tolerances)
            by_rule = _refused(relation, checks, as_of, rulebook, work)
            found = [
                findings_of(relation, check, by_rule[check.rule_id], as_of, rulebook.catalogue, rulebook.tolerances)
                for check in checks
            ]
        except RelationFault as fault:
            held_back |= {check.rule_id: str(fault) for check in checks}
            continue
        findings.extend(found)
        for check in checks:
            rows_judged[check.rule_id] = int((relation.rows[verdict_column(check.rule_id)] != OUT_OF_SCOPE).sum())
    return _Found(without_replaced(pl.concat(findings), rulebook.checks), rows_judged, held_back)


def _relation(build: duckdb.DuckDBPyConnection, name: str, checks: Sequence[RuleCheck], attempts: Path) -> Relation:
    import polars as pl

    if name != FEED_FILES:
        return read_relation(build, name, checks)
    if not attempts.exists():
        raise RelationFault(f"{attempts} is not there: the ingest writes it at its end")
    return Relation(name, feed_files(pl.read_parquet(attempts)))


def _refused(
    relation: Relation, checks: Sequence[RuleCheck], as_of: AsOf, rulebook: Rulebook, work: Path
) -> dict[str, list[int]]:
    by_row = [check for check in checks if not check.on_ledger]
    refused = refused_by_pandera(relation, by_row) if by_row else {}
    for check in checks:
        if check.on_ledger:
            refused[check.rule_id] = refused_by_suite(
                relation, check, rulebook.catalogue, rulebook.tolerances, work, as_of
            )
    return refused


def without_replaced(findings: pl.DataFrame, checks: Mapping[str, RuleCheck]) -> pl.DataFrame:
    """The findings without those whose rule gives way to another that fires on the same entity: one owner a dollar."""
    import polars as pl

    for check in checks.values():
        if check.replaced_by is None:
            continue
        owners = findings.filter(pl.col("rule_id") == check.replaced_by).select("facility_id", "entity_key")
        giving_way = findings.filter(pl.col("rule_id") == check.rule_id)
        kept = giving_way.join(owners, on=["facility_id", "entity_key"], how="anti")
        findings = pl.concat([findings.filter(pl.col("rule_id") != check.rule_id), kept])
    return findings


def _write_exceptions(build: duckdb.DuckDBPyConnection, exceptions: pl.DataFrame, judged: Path) -> None:
    """Make quality.exceptions in the build, and write those that fire to Parquet, with the types that are promised."""
    typed = ", ".join(f"cast({column} as {kind}) as {column}" for column, kind in EXCEPTION_TYPES.items())
    build.execute("create schema if not exists quality")
    build.register("ledger_exceptions", exceptions.to_arrow())
    try:
        build.execute(
            f"create or replace table {EXCEPTIONS} as select {typed} from ledger_exceptions order by exception_id"
        )
    finally:
        build.unregister("ledger_exceptions")
    draft = judged.with_suffix(".tmp")
    build.execute(
        f"copy (select * replace (cast(evidence as varchar) as evidence) from {EXCEPTIONS} where is_firing"
        f" order by exception_id) to '{_quoted(draft)}' (format parquet)"
    )
    draft.replace(judged)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
