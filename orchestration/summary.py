"""The close summary: what finance and the night shift read when a run has published.

Here: reading a snapshot and writing it as plain text.
Not here: making the numbers (dbt_project, quality).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

    from quality.publish import Snapshot

OPEN_STATUSES = "('open', 'assigned', 'reopened')"


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of an aligned text table; numbers to the right, money with two decimals."""
    if not rows:
        return [title, "  none", ""]
    texts = [[_text(value) for value in row] for row in rows]
    widths = [max(len(heading), *(len(row[i]) for row in texts)) for i, heading in enumerate(headings)]
    numeric = [all(isinstance(row[i], int | Decimal | None) for row in rows) for i in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return ("  " + "  ".join(aligned)).rstrip()

    return [title, line(headings), *(line(row) for row in texts), ""]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def close_summary(snapshot: Snapshot, journal: dict[str, Any], home: Path) -> str:
    """The summary of the run that `journal` tells of, over the snapshot it published."""
    import duckdb

    with contextlib.closing(duckdb.connect(str(snapshot.database), read_only=True)) as connection:
        lines = [
            f"Close summary as of {snapshot.as_of}",
            "",
            *_deliveries(journal),
            *_tie_outs(connection),
            *_exceptions(connection),
            *_service_lines(connection),
            *_missed_charges(connection),
            "Where to look",
            f"  snapshot     {snapshot.database}",
            f"  data docs    {home / 'data_docs'}",
            "  exceptions   suture exceptions [--rule R] [--facility F] [--format csv]",
            "  refused rows suture quarantine list",
            "  runs         make dev",
        ]
    return "\n".join(lines)


def _deliveries(journal: dict[str, Any]) -> list[str]:
    systems = journal.get("systems") or {}
    totals = journal.get("ingest") or {}
    columns = ("delivered", "repeated", "landed", "quarantined")
    rows = [[name, *(counts.get(column, 0) for column in columns)] for name, counts in sorted(systems.items())]
    rows.append(["all", *(totals.get(column, 0) for column in columns)])
    return table("Rows of this run", ["system", *columns], rows)


def _has(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    schema, _, relation = name.partition(".")
    return bool(
        connection.execute(
            "select 1 from information_schema.tables where table_schema = ? and table_name = ?", [schema, relation]
        ).fetchall()
    )


def _section(
    connection: duckdb.DuckDBPyConnection, needs: str, title: str, headings: Sequence[str], sql: str
) -> Iterator[str]:
    if _has(connection, needs):
        yield from table(title, headings, connection.execute(sql).fetchall())


def _tie_outs(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    return _section(
        connection,
        "finance.tie_out",
        "Tie-outs to the ledger, newest period",
        ["facility", "control", "period", "subledger", "ledger", "from before", "explained", "unexplained"],
        """
        select
            facility_id, control_role, fiscal_period, subledger_amount, ledger_amount,
            carried_difference_amount, explained_amount, unexplained_amount
        from finance.tie_out qualify fiscal_period = max(fiscal_period) over (partition by facility_id, control_role)
        order by facility_id, control_role
        """,
    )


def _exceptions(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    return _section(
        connection,
        "quality.exceptions",
        "Open exceptions (dollars once, at their root)",
        ["queue", "open", "dollars", "timing"],
        f"""
        select
            queue, count(*) filter (where status in {OPEN_STATUSES}),
            coalesce(sum(impact_amount) filter (where status in {OPEN_STATUSES} and root_exception_id is null), 0),
            count(*) filter (where status = 'timing')
        from quality.exceptions group by queue
        having count(*) filter (where status in {OPEN_STATUSES} or status = 'timing') > 0
        order by 3 desc, queue
        """,
    )


def _service_lines(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    return _section(
        connection,
        "finance.case_margin",
        "Charges less supply cost (implants included) by service line",
        ["service line", "cases", "charges", "supply cost", "charges less supply"],
        """
        select
            coalesce(service_line, 'unknown'), count(*), coalesce(sum(gross_charges_amount), 0),
            coalesce(sum(supply_cost_amount + implant_cost_amount), 0),
            coalesce(sum(gross_charges_amount - supply_cost_amount - implant_cost_amount), 0)
        from finance.case_margin group by all order by 5 desc
        """,
    )


def _missed_charges(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    return _section(
        connection,
        "finance.charge_capture",
        "Missed charges by facility",
        ["facility", "chargeable lines", "missed lines", "missed dollars"],
        """
        select facility_id, sum(chargeable_lines)::bigint, sum(missed_lines)::bigint, sum(missed_amount)
        from finance.charge_capture group by facility_id order by 4 desc
        """,
    )
