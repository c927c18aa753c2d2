"""The relations that rules read: what they must have, and reading them exactly.

Here: which columns a rule asks of its relation and of which kind, reading a table of the build into Polars without a
float, and the faults that hold a rule group back.
Not here: making the relations (dbt_project/models/recon) and judging their rows (quality.judge).
"""

from __future__ import annotations

import contextlib
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from quality.rules.check import RuleCheck

if TYPE_CHECKING:
    import duckdb
    import polars as pl

Kind = Literal["number", "date", "flag", "text"]

# Format of a field in an explanation -> kind of its column.
FORMAT_KINDS: dict[str, Kind] = {"each": "number", "money": "number", "price": "number", "date": "date", "text": "text"}

STANDARD_COLUMNS: dict[str, Kind] = {
    "entity_key": "text",
    "facility_id": "text",
    "business_date": "date",
    "out_of_scope_reason": "text",
    "evidence": "text",
}
# Columns that a relation may have once for all its rules, and once more for a single one: business_date_m3_02.
PER_RULE_COLUMNS = ("business_date", "out_of_scope_reason")


class RelationFault(Exception):
    """A relation is missing or does not have what its rules read: they keep their last good state."""


@contextlib.contextmanager
def connected(build: duckdb.DuckDBPyConnection | Path | str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a build: the one given, or one of its own to a file, closed at the end."""
    import duckdb

    if isinstance(build, duckdb.DuckDBPyConnection):
        yield build
        return
    with contextlib.closing(duckdb.connect(str(build))) as connection:
        yield connection


@dataclass(frozen=True)
class Relation:
    """Rows of one recon relation with the columns its rules read, and the optional ones it has."""

    name: str
    rows: pl.DataFrame

    def column_of(self, column: str, check: RuleCheck) -> str:
        """The rule's own column where there is one, else the one all rules share."""
        own = f"{column}_{check.suffix}"
        return own if own in self.rows.columns else column


def columns_read(check: RuleCheck) -> dict[str, Kind]:
    """Every column that a rule reads, with its kind."""
    columns = dict(STANDARD_COLUMNS)
    for name in (check.variance, check.base, check.impact, check.maturity and check.maturity.column):
        if name:
            columns[name] = "number"
    if check.maturity:
        columns[check.maturity.anchor] = "date"
    if check.implant_tolerance:
        columns["is_implant"] = "flag"
    for condition in (*check.scope, *check.conditions):
        if isinstance(condition.value, bool):
            columns[condition.column] = "flag"
        elif isinstance(condition.value, str):
            columns[condition.column] = "text"
        elif condition.comparison != "is known":
            columns[condition.column] = "number"
    for _, field, form, _ in string.Formatter().parse(check.explanation):
        if field:
            columns.setdefault(field, FORMAT_KINDS[form or ""])
    return columns


def read_relation(
    build: duckdb.DuckDBPyConnection, name: str, checks: Sequence[RuleCheck], schema: str = "recon"
) -> Relation:
    """Read what `checks` need of a relation of the build.

    Raises:
        RelationFault: the relation or a column is missing, or a column is of another kind (money and quantities that
            are not decimal among them).
    """
    import polars as pl

    described = build.execute(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = ? and table_name = ? and table_catalog = current_catalog() order by ordinal_position",
        [schema, name],
    ).fetchall()
    if not described:
        raise RelationFault(f"{schema}.{name} is not in the build")
    present = [str(column) for column, _ in described]
    wanted: dict[str, Kind] = {}
    for check in checks:
        read = columns_read(check)
        own = {f"{column}_{check.suffix}": STANDARD_COLUMNS[column] for column in PER_RULE_COLUMNS}
        if check.maturity:
            own[f"{check.maturity.anchor}_{check.suffix}"] = "date"
        for column in [each for each in own if each in present]:
            read[column] = own[column]
            shared = column.removesuffix(f"_{check.suffix}")
            if shared not in present:
                read.pop(shared, None)
        wanted |= read
    missing = [column for column in wanted if column not in present]
    if missing:
        raise RelationFault(f"{schema}.{name} has no column {', '.join(sorted(missing))}")
    columns = ", ".join(f'cast("{c}" as varchar) as "{c}"' if c == "evidence" else f'"{c}"' for c in wanted)
    # A relation, not a result: `.to_arrow_table()` of a relation is in DuckDB 1.5 and 2.0 alike.
    table = build.sql(f'select {columns} from "{schema}"."{name}"').to_arrow_table()
    rows = pl.DataFrame(pl.from_arrow(table))
    require_kinds(f"{schema}.{name}", rows, wanted)
    return Relation(name, rows)


def require_kinds(name: str, rows: pl.DataFrame, wanted: dict[str, Kind]) -> None:
    """Refuse columns of another kind than rules can judge.

    Raises:
        RelationFault: names the columns and what they are.
    """
    import polars as pl

    def is_kind(dtype: pl.DataType, kind: Kind) -> bool:
        if kind == "number":
            return dtype.is_decimal() or dtype.is_integer()
        return dtype == {"date": pl.Date, "flag": pl.Boolean, "text": pl.String}[kind]

    wrong = [
        f"{column} is {rows.schema[column]}, not a {kind}"
        for column, kind in wanted.items()
        if not is_kind(rows.schema[column], kind)
    ]
    if wrong:
        raise RelationFault(f"{name}: {'; '.join(wrong)}")
