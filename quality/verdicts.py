"""Verdicts: what a rule says of every row of its relation, and the Pandera checks that assert it.

Here: scope, conditions and breach as one column a rule; the rows that a check refuses.
Not here: what follows from a refused row (quality.findings), the suites of ledger rules (quality.controls.suites).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Literal, get_args

from quality.relations import Relation, RelationFault
from quality.rules.check import Condition, RuleCheck
from quality.tolerances import ToleranceSet, breach

if TYPE_CHECKING:
    import polars as pl

Verdict = Literal["out of scope", "within tolerance", "breach"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
OUT_OF_SCOPE, WITHIN, BREACH = VERDICTS


def verdict_column(rule_id: str) -> str:
    """Name of the column that a rule adds to its relation."""
    return f"verdict {rule_id}"


def with_verdicts(relation: Relation, checks: Sequence[RuleCheck], sets: Sequence[ToleranceSet]) -> Relation:
    """The relation with a verdict a rule, and the version of the tolerance set in force on the business date."""
    columns = [column for check in checks for column in _columns(relation, check, sets)]
    return Relation(relation.name, relation.rows.with_columns(columns))


def _columns(relation: Relation, check: RuleCheck, sets: Sequence[ToleranceSet]) -> list[pl.Expr]:
    import polars as pl

    date = pl.col(relation.column_of("business_date", check))
    breaks, version = _breaks(check, sets[0]), pl.lit(sets[0].version)
    for later in sets[1:]:
        is_in_force = (date >= later.effective_from).fill_null(False)
        breaks = pl.when(is_in_force).then(_breaks(check, later)).otherwise(breaks)
        version = pl.when(is_in_force).then(pl.lit(later.version)).otherwise(version)
    reasons = {"out_of_scope_reason", relation.column_of("out_of_scope_reason", check)} & set(relation.rows.columns)
    in_scope = _all([pl.col(reason).is_null() for reason in sorted(reasons)])
    in_scope &= _all([_holds(condition, sets[0]) for condition in check.scope])
    verdict = pl.when(~in_scope).then(pl.lit(OUT_OF_SCOPE)).when(breaks).then(pl.lit(BREACH)).otherwise(pl.lit(WITHIN))
    return [verdict.alias(verdict_column(check.rule_id)), version.alias(version_column(check.rule_id))]


def version_column(rule_id: str) -> str:
    """Name of the column with the version of the tolerance set that judged."""
    return f"tolerance_version {rule_id}"


def _breaks(check: RuleCheck, tolerances: ToleranceSet) -> pl.Expr:
    import polars as pl

    breaks = _all([_holds(condition, tolerances) for condition in check.conditions])
    if check.variance is None:
        return breaks
    variance = pl.col(check.variance)
    base = pl.col(check.base) if check.base else pl.lit(0)
    beyond = breach(variance, base, tolerances.named(check.tolerance), check.direction)
    if check.implant_tolerance:
        implant = breach(variance, base, tolerances.named(check.implant_tolerance), check.direction)
        beyond = pl.when(pl.col("is_implant").fill_null(False)).then(implant).otherwise(beyond)
    return breaks & beyond


def _all(expressions: Sequence[pl.Expr]) -> pl.Expr:
    import polars as pl

    return reduce(lambda left, right: left & right, expressions, pl.lit(True))


def _holds(condition: Condition, tolerances: ToleranceSet) -> pl.Expr:
    import polars as pl

    column = pl.col(condition.column)
    if condition.comparison == "is known":
        return column.is_not_null()
    value = pl.lit(tolerances.limit(condition.limit) if condition.limit else condition.value)
    holds = {"=": column == value, "<>": column != value, ">": column > value, "<": column < value}[
        condition.comparison
    ]
    return holds.fill_null(condition.when_missing)


def refused_by_pandera(relation: Relation, checks: Sequence[RuleCheck]) -> dict[str, list[int]]:
    """Row numbers that each rule's Pandera check refuses. Refused and accepted rows are all rows, or it is an error."""
    import pandera.polars as pandera
    import polars as pl
    from pandera.errors import SchemaErrors

    names = {verdict_column(check.rule_id): check.rule_id for check in checks}
    schema = pandera.DataFrameSchema(
        {
            column: pandera.Column(
                str, pandera.Check(lambda rows: rows.lazyframe.select(pl.col(rows.key) != BREACH), name=rule_id)
            )
            for column, rule_id in names.items()
        }
    )
    refused: dict[str, list[int]] = {check.rule_id: [] for check in checks}
    # A collected frame: Pandera lets every row of a LazyFrame pass.
    rows = relation.rows.select(list(names))
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        for rule_id, numbers in errors.failure_cases.group_by("check").agg(pl.col("index").sort()).iter_rows():
            if rule_id not in refused:
                raise RelationFault(f"{relation.name}: {errors}") from errors
            refused[rule_id] = numbers
    for column, rule_id in names.items():
        accepted = rows.filter(pl.col(column) != BREACH).height
        if accepted + len(refused[rule_id]) != rows.height:
            raise AssertionError(
                f"{rule_id}: {accepted} accepted and {len(refused[rule_id])} refused of {rows.height} rows"
            )
    return refused
