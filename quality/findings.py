"""Findings: what a refused row becomes before the ledger knows it.

Here: identity, maturity, impact, severity, the sentence that explains a break, and its evidence. The one door through
which row rules and ledger rules alike reach the exception ledger.
Not here: which rows are refused (quality.verdicts, quality.controls.suites) and the life of a break (quality.ledger).
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TYPE_CHECKING, Any

from quality.calendar import matures_on_expr
from quality.ledger import exception_id
from quality.relations import Relation, RelationFault
from quality.rules.catalogue import BY_AMOUNT, Catalogue
from quality.rules.check import RuleCheck
from quality.tolerances import ToleranceSet
from quality.verdicts import version_column

if TYPE_CHECKING:
    import polars as pl

    from ingest.clock import AsOf

SEVERITY_FROM = (("S2", 5000), ("S3", 250))
LEAST_SEVERITY = "S4"
EVIDENCE_ROWS = 50


def finding_schema() -> dict[str, pl.DataType | type[pl.DataType]]:
    """Columns of a finding, as the ledger takes them."""
    import polars as pl

    return {
        "exception_id": pl.String,
        "rule_id": pl.String,
        "rule_version": pl.String,
        "tolerance_version": pl.String,
        "severity": pl.String,
        "queue": pl.String,
        "facility_id": pl.String,
        "entity_key": pl.String,
        "business_date": pl.Date,
        "fiscal_period": pl.String,
        "impact_amount": pl.Decimal(18, 2),
        "root_exception_id": pl.String,
        "matures_on": pl.Date,
        "is_mature": pl.Boolean,
        "explanation": pl.String,
        "evidence": pl.String,
    }


def findings_of(
    relation: Relation,
    check: RuleCheck,
    refused: Sequence[int],
    as_of: AsOf,
    catalogue: Catalogue,
    sets: Sequence[ToleranceSet],
) -> pl.DataFrame:
    """One finding for each refused row of a relation. Columns: finding_schema.

    Raises:
        RelationFault: a break has no entity, facility or business date, or shares its entity with another.
    """
    import polars as pl

    rows = relation.rows[list(refused)]
    business_date = relation.column_of("business_date", check)
    _require_identity(relation, check, rows, business_date)
    rule = catalogue.rules[check.rule_id]
    impact = _cents(rows, check.impact)
    severity: pl.Expr = pl.lit(LEAST_SEVERITY)
    for name, least in reversed(SEVERITY_FROM):
        severity = pl.when(pl.col("impact_amount") >= least).then(pl.lit(name)).otherwise(severity)
    if rule.severity != BY_AMOUNT:
        severity = pl.lit(rule.severity)
    matures_on = _matures_on(relation, check, sets)
    keys = rows.select("facility_id", "entity_key").iter_rows()
    return (
        rows.with_columns(
            pl.Series("exception_id", [exception_id(check.rule_id, *key) for key in keys], dtype=pl.String),
            pl.lit(check.rule_id).alias("rule_id"),
            pl.lit(catalogue.version).alias("rule_version"),
            pl.col(version_column(check.rule_id)).alias("tolerance_version"),
            pl.lit(rule.queue).alias("queue"),
            pl.col(business_date).alias("business_date"),
            pl.col(business_date).dt.strftime("%Y-%m").alias("fiscal_period"),
            impact.alias("impact_amount"),
            pl.lit(None, pl.String).alias("root_exception_id"),
            matures_on.alias("matures_on"),
            # Without a date to count from, a break of a rule that has a maturity cannot have matured.
            pl.lit(True).alias("is_mature")
            if check.maturity is None
            else (matures_on <= as_of.local_date).fill_null(False).alias("is_mature"),
            *_told(rows, check),
        )
        .with_columns(severity.alias("severity"))
        .select(pl.col(name).cast(dtype) for name, dtype in finding_schema().items())
        .sort("exception_id")
    )


def _require_identity(relation: Relation, check: RuleCheck, rows: pl.DataFrame, business_date: str) -> None:
    for column in ("entity_key", "facility_id", business_date):
        if rows[column].null_count():
            raise RelationFault(
                f"{relation.name}: {rows[column].null_count()} breaks of {check.rule_id} have no {column}"
            )
    repeated = rows.height - rows.select("facility_id", "entity_key").n_unique()
    if repeated:
        raise RelationFault(f"{relation.name}: {repeated} breaks of {check.rule_id} repeat a facility and entity")


def _cents(rows: pl.DataFrame, impact: str | None) -> pl.Series:
    """Impact in cents, absolute, half-even, rounded once; a missing one is no money."""
    import polars as pl

    if impact is None:
        return pl.Series("impact", [Decimal(0)] * rows.height, dtype=pl.Decimal(18, 2))
    amount = pl.col(impact)
    if rows.schema[impact].is_integer():
        amount = amount.cast(pl.Decimal(18, 2))
    rounded = amount.abs().round(2, mode="half_to_even").fill_null(0)
    return rows.select(rounded.cast(pl.Decimal(18, 2)).alias("impact")).to_series()


def _matures_on(relation: Relation, check: RuleCheck, sets: Sequence[ToleranceSet]) -> pl.Expr:
    import polars as pl

    maturity = check.maturity
    if maturity is None:
        return pl.lit(None, pl.Date)
    anchor = pl.col(relation.column_of(maturity.anchor, check))
    if maturity.column:
        return matures_on_expr(anchor, pl.col(maturity.column).cast(pl.Int64))
    if maturity.limit is None:
        return matures_on_expr(anchor, maturity.days, business=maturity.business)
    judged_by, limit = version_column(check.rule_id), maturity.limit
    days = pl.col(judged_by).replace_strict(
        {each.version: int(each.limit(limit)) for each in sets}, return_dtype=pl.Int64
    )
    return matures_on_expr(anchor, days)


# ------------------------------------------------------------------------------------------------ told to people


class _Numbers(string.Formatter):
    """Formats the fields of an explanation: each, money, price, date, text."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None:
            return "unknown"
        if format_spec == "money":
            with localcontext() as context:
                context.rounding, context.prec = ROUND_HALF_EVEN, 50
                return f"{Decimal(value):,.2f} USD"
        if format_spec in ("each", "price"):
            plain = f"{Decimal(value):f}"
            plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
            return f"{plain or '0'} USD" if format_spec == "price" else plain or "0"
        return value.isoformat() if isinstance(value, date) else str(value)


def _told(rows: pl.DataFrame, check: RuleCheck) -> list[pl.Series]:
    """Explanation and evidence of each row; a ledger rule has the 50 largest, and tells the count."""
    import polars as pl

    numbers = _Numbers()
    told = rows.select(field for _, field, _, _ in string.Formatter().parse(check.explanation) if field)
    explanations = (
        [numbers.vformat(check.explanation, (), row) for row in told.iter_rows(named=True)] if told.width else []
    )
    evidence = rows["evidence"].fill_null("[]")
    if check.on_ledger:
        largest = [_largest(text) for text in evidence]
        explanations = [
            sentence
            if count <= EVIDENCE_ROWS
            else f"{sentence[:-1]}, from {count} rows of which the evidence has {EVIDENCE_ROWS}."
            for sentence, (_, count) in zip(explanations, largest, strict=True)
        ]
        evidence = pl.Series([text for text, _ in largest], dtype=pl.String)
    return [pl.Series("explanation", explanations, dtype=pl.String), evidence.alias("evidence")]


def _largest(text: str) -> tuple[str, int]:
    """The 50 largest entries by `amount` where they have one (else the first), and the count of all."""
    entries = json.loads(text)
    if len(entries) <= EVIDENCE_ROWS:
        return text, len(entries)
    ordered = sorted(entries, key=lambda entry: -abs(Decimal(str(entry.get("amount") or 0))))
    return json.dumps(ordered[:EVIDENCE_ROWS]), len(entries)
