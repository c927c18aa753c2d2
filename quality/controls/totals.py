"""Control totals: rows, quantities and dollars counted at every hop, so that nothing can be lost unseen.

Here: the counts of quality.control_totals and the identities between them.
Not here: what the ingest counts while it reads (the batch ledger's attempts) and which state a line is in
(quality.line_states).

- delivered = landed + quarantined + repeated, a batch at a time, from the attempts of the batch ledger.
- landed = staged + superseded + excluded, a feed at a time. `landed` is what the batch ledger says; the other side is
  counted anew from the Parquet parts and the staging views. Rows that staging leaves out count as excluded only for a
  reason that is found here too: gone from a snapshot, named by a delete feed, the word of a deletion itself, or
  belonging to a test patient. What staging drops for no such reason is missing from the sum, and shows. A feed that no
  staging model reads has the current version of each key as staged and says so in `reasons`: nothing downstream holds
  these rows.
- conformed = matched + timing + excepted + out_of_scope, for every kind of line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from quality.controls.suites import Suite, leave_data_docs, remembered_run, validate
from quality.relations import connected

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from ingest.contract import Extract

CONTROL_TOTALS = "quality.control_totals"
STAGING_MODELS = Path(__file__).parents[2] / "dbt_project" / "models" / "staging"

Hop = Literal[
    "delivered",
    "landed",
    "quarantined",
    "repeated",
    "staged",
    "superseded",
    "excluded",
    "conformed",
    "matched",
    "timing",
    "excepted",
    "out_of_scope",
]
IDENTITIES: tuple[tuple[Hop, tuple[Hop, ...]], ...] = (
    ("delivered", ("landed", "quarantined", "repeated")),
    ("landed", ("staged", "superseded", "excluded")),
    ("conformed", ("matched", "timing", "excepted", "out_of_scope")),
)
LINE_STATES: tuple[Hop, ...] = ("matched", "timing", "excepted", "out_of_scope")

DELETED = "deleted"
DELETION = "says what is deleted"
TEST_PATIENT = "test patient"
UNREAD = "current, no staging model reads it"
# Landed columns that say whose record a row is; their values are looked for among the records of test patients.
TEST_RECORD_COLUMNS = (
    "PAT_ID",
    "LOG_ID",
    "IMPLANT_LOG_ID",
    "PICK_LIST_ID",
    "RECORD_ID",
    "HSP_ACCOUNT_ID",
    "PAT_ENC_CSN_ID",
    "OR_LINK_CSN",
    "OR_CASE_ID",
    "CASE_ID",
    "case_no",
    "patient_mrn",
    "csn",
)
TEST_RECORDS = "stg_ehr__test_record"


@dataclass(frozen=True)
class LineKind:
    """A kind of line that ends in exactly one state: its fact, and the columns that are added up."""

    name: str
    fact: str
    quantity: tuple[str, ...]
    amount: tuple[str, ...]


# The first column that the fact has is added up.
LINE_KINDS = (
    LineKind("usage_line", "fct_usage_line", ("quantity_each",), ("cost_amount",)),
    LineKind("charge_chain", "fct_charge_net", ("net_quantity_each", "quantity_each", "net_quantity"), ("net_amount",)),
    LineKind("po_line", "fct_po_line", ("ordered_each",), ("line_amount", "ordered_amount")),
    LineKind("receipt_line", "fct_receipt_line", ("quantity_each", "received_each"), ("amount", "receipt_amount")),
    LineKind("invoice_line", "fct_invoice_line", ("quantity_each", "invoiced_each"), ("line_amount", "amount")),
    LineKind("journal_line", "fct_gl_journal_line", (), ("net_amount",)),
)


@dataclass(frozen=True)
class Total:
    """One total. `reasons` is JSON: how many of the value for which reason, where the hop has reasons."""

    hop: Hop
    feed: str
    measure: str
    value: Decimal
    batch_id: str = ""
    reasons: Mapping[str, Decimal] = field(default_factory=dict)


def build(
    build_db: duckdb.DuckDBPyConnection | Path | str,
    attempts: Path,
    *,
    work: Path | None = None,
    staging_models: Path = STAGING_MODELS,
) -> int:
    """Make quality.control_totals in the build, after the second dbt call; return how many totals there are.

    Columns: hop, feed, measure, value decimal(38,4), batch_id (empty for a hop that is not counted by batch), reasons.
    Beside a run that was judged (`work`, by default the build's folder) the identities are asserted by a Great
    Expectations suite, and the Data Docs are made of all that the run judged.
    """
    with connected(build_db) as connection:
        totals = [
            *delivered_totals(attempts),
            *staged_totals(connection, attempts, staging_feeds(staging_models)),
            *line_totals(connection),
        ]
        _write(connection, totals)
    if work is None and isinstance(build_db, str | Path):
        work = Path(build_db).parent
    run = remembered_run(work) if work else None
    if work and run:
        validate(_IDENTITIES_SUITE, identities_frame(totals), work, run.as_of)
        leave_data_docs(work, run.data_docs, run.as_of)
    return len(totals)


def _write(connection: duckdb.DuckDBPyConnection, totals: Iterable[Total]) -> None:
    connection.execute("create schema if not exists quality")
    connection.execute(
        f"create or replace table {CONTROL_TOTALS} (hop varchar not null, feed varchar not null,"
        " measure varchar not null, value decimal(38, 4) not null, batch_id varchar not null, reasons varchar)"
    )
    rows = [
        (each.hop, each.feed, each.measure, each.value, each.batch_id, _reasons_text(each.reasons))
        for each in sorted(totals, key=lambda total: (total.hop, total.feed, total.measure, total.batch_id))
    ]
    connection.register("counted", _frame(rows).to_arrow())
    try:
        connection.execute(f"insert into {CONTROL_TOTALS} select * from counted")
    finally:
        connection.unregister("counted")


def _frame(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    import polars as pl

    text = pl.String
    return pl.DataFrame(
        rows,
        schema={
            "hop": text,
            "feed": text,
            "measure": text,
            "value": pl.Decimal(38, 4),
            "batch_id": text,
            "reasons": text,
        },
        orient="row",
    )


def _reasons_text(reasons: Mapping[str, Decimal]) -> str | None:
    return json.dumps({name: f"{reasons[name]:f}" for name in sorted(reasons)}) if reasons else None


# ------------------------------------------------------------------------------------------------ delivered, landed


def delivered_totals(attempts: Path) -> list[Total]:
    """Rows delivered, landed, quarantined and repeated by batch."""
    import polars as pl

    hops: tuple[Hop, ...] = ("delivered", "landed", "quarantined", "repeated")
    counted = (
        pl.read_parquet(attempts)
        .group_by(pl.format("{}.{}", "system", "extract").alias("feed"), pl.col("batch_id").fill_null(""))
        .agg(pl.col(f"rows_{hop}").cast(pl.Int64).sum() for hop in hops)
    )
    return [
        Total(hop, row["feed"], "rows", Decimal(row[f"rows_{hop}"]), row["batch_id"])
        for row in counted.iter_rows(named=True)
        for hop in hops
    ]


# ------------------------------------------------------------------------------------------------ staged


def staging_feeds(models: Path) -> dict[str, list[str]]:
    """Staging models of each feed, as `config.meta.feed` of their YAML says."""
    import yaml

    # The same safe loader, six times faster where libyaml is there.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    feeds: dict[str, list[str]] = {}
    for path in sorted(models.rglob("*.yml")):
        for model in (yaml.load(path.read_text(encoding="utf-8"), Loader=loader) or {}).get("models", ()):
            feed = (model.get("config") or {}).get("meta", {}).get("feed")
            if feed:
                feeds.setdefault(feed, []).append(model["name"])
    return feeds


def staged_totals(
    connection: duckdb.DuckDBPyConnection, attempts: Path, models: Mapping[str, Sequence[str]]
) -> Iterator[Total]:
    """Rows staged, superseded and excluded by feed, for every feed that landed anything."""
    import polars as pl

    from ingest.contract import load_contracts

    lake = attempts.parent.parent
    extracts = {
        extract.feed: extract for contract in load_contracts().values() for extract in contract.extracts.values()
    }
    landed = pl.read_parquet(attempts).filter(pl.col("rows_landed") > 0)
    feeds = landed.select(pl.format("{}.{}", "system", "extract").unique().sort()).to_series()
    present = {
        str(name) for (name,) in connection.execute("select table_name from information_schema.tables").fetchall()
    }
    for feed in feeds:
        extract = extracts[feed]
        parts = lake / "raw" / extract.system / extract.name / "*.parquet"
        versions, keys, gone, notices = _versions(connection, extract, parts)
        staged, superseded, reasons = keys - gone, versions - keys, {DELETED: gone}
        read_by_none = {} if models.get(feed) else {UNREAD: Decimal(staged)}
        views = [model for model in models.get(feed, ()) if model in present]
        if views:
            view, staged = _staged(connection, views, keys - gone)
            if staged != keys - gone and _says_where_from(connection, view):
                superseded, reasons = _not_staged(connection, extract, lake, parts, view, TEST_RECORDS in present)
        reasons = {name: count for name, count in {**reasons, DELETION: notices}.items() if count}
        yield Total("staged", feed, "rows", Decimal(staged), reasons=read_by_none if staged else {})
        yield Total("superseded", feed, "rows", Decimal(superseded))
        yield Total(
            "excluded",
            feed,
            "rows",
            Decimal(sum(reasons.values())),
            reasons={name: Decimal(count) for name, count in reasons.items()},
        )


def _sql_text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _versions(connection: duckdb.DuckDBPyConnection, extract: Extract, parts: Path) -> tuple[int, int, int, int]:
    """Row versions landed, keys among them, keys whose last version says that they are gone, and rows that say so.

    The tombstones that ingest leaves for a snapshot are no rows of a delivery and are not among the last. Where a row
    is recognised by more than its key (the version of a resource), its key tells which one is current.
    """
    by_key = extract.load != "event" and bool(extract.idempotency_key)
    key = f"hash({', '.join(extract.key)})" if by_key else "_key_hash"
    order = ["_delivered", "_file", "_line"]
    if by_key and extract.cursor:
        order.insert(0, f"coalesce(try_cast({extract.cursor} as timestamptz), '-infinity')")
    row = connection.execute(
        f"""
        select
            count(*) filter (where _op = 'U'),
            count(distinct {key}) filter (where _op = 'U'),
            count(*) filter (where _op = 'D')
        from read_parquet({_sql_text(parts)})
        """
    ).fetchone()
    assert row is not None
    gone = 0
    if extract.leaves_tombstones or by_key:
        last = connection.execute(
            f"""
            select count(*) from (
                select max_by(_op, ({", ".join(order)})) as last_op, bool_or(_op = 'U') as was_there
                from read_parquet({_sql_text(parts)})
                where {key} in (select {key} from read_parquet({_sql_text(parts)}) where _op = 'D')
                group by {key}
            ) where last_op = 'D' and was_there
            """
        ).fetchone()
        assert last is not None
        gone = int(last[0])
    return int(row[0]), int(row[1]), gone, 0 if extract.leaves_tombstones else int(row[2])


def _staged(connection: duckdb.DuckDBPyConnection, views: Sequence[str], current: int) -> tuple[str, int]:
    """The feed's own staging view and its rows.

    Of several it is one whose rows say where they come from (a list of price changes does not), and of those the one
    nearest to a row for each current version.
    """
    counts: list[tuple[str, int]] = []
    for view in sorted(views):
        row = connection.execute(f"select count(*) from staging.{view}").fetchone()
        assert row is not None
        counts.append((view, int(row[0])))
    return min(counts, key=lambda counted: (not _says_where_from(connection, counted[0]), abs(counted[1] - current)))


def _says_where_from(connection: duckdb.DuckDBPyConnection, view: str) -> bool:
    columns = connection.execute(
        "select column_name from information_schema.columns where table_schema = 'staging' and table_name = ?", [view]
    ).fetchall()
    return {"source_file", "source_line"} <= {str(name) for (name,) in columns}


def _not_staged(
    connection: duckdb.DuckDBPyConnection, extract: Extract, lake: Path, parts: Path, view: str, has_test_records: bool
) -> tuple[int, dict[str, int]]:
    """Versions that a staging view does not hold: superseded ones, and current ones by a reason found apart from it.

    A view may hold older versions too (prices and costs over time): what it holds is not superseded.
    """
    cursor = f"{extract.cursor} desc nulls last, " if extract.load == "incremental" and extract.cursor else ""
    newest_first = f"order by {cursor}_delivered desc, _file desc, _line desc nulls last"
    key = ", ".join(extract.key)
    owners = [column for column in TEST_RECORD_COLUMNS if column in extract.landed_columns] if has_test_records else []
    is_test = " or ".join(
        f"coalesce(missing.{column} in (select record_id from staging.{TEST_RECORDS}), false)" for column in owners
    )
    deletes = lake / "raw" / extract.system / "DELETED_KEYS"
    is_deleted = "false"
    if deletes.is_dir() and extract.name != "DELETED_KEYS":
        keys = " and ".join(
            f"(deleted.KEY{number} is null or deleted.KEY{number} = missing.{column})"
            for number, column in enumerate(extract.key[:2], start=1)
        )
        is_deleted = (
            f"exists (select 1 from read_parquet({_sql_text(deletes / '*.parquet')}) as deleted"
            f" where deleted.EXTRACT = '{extract.name}' and {keys})"
        )
    row = connection.execute(
        f"""
        with versions as (
            select
                *,
                row_number() over (partition by {key} {newest_first}) as recency,
                row_number() over (partition by {key}, _op {newest_first}) as recency_of_op,
                first_value(_op) over (partition by {key} {newest_first}) as last_op
            from read_parquet({_sql_text(parts)}, union_by_name = true)
        ),
        missing as (
            select versions.* from versions
            where versions._op = 'U' and not exists (
                select 1 from staging.{view} as kept
                where kept.source_file = versions._file and kept.source_line = versions._line
            )
        ),
        explained as (
            select
                recency = 1 as is_current,
                last_op = 'D' and recency_of_op = 1 as is_gone,
                ({is_test or "false"}) as is_test,
                ({is_deleted}) as is_deleted
            from missing
        )
        select
            count(*) filter (where not is_current and not is_gone),
            count(*) filter (where is_current and is_test),
            count(*) filter (where is_gone or (is_current and is_deleted and not is_test))
        from explained
        """
    ).fetchone()
    assert row is not None
    return int(row[0]), {TEST_PATIENT: int(row[1]), DELETED: int(row[2])}


# ------------------------------------------------------------------------------------------------ judged lines


def line_totals(connection: duckdb.DuckDBPyConnection) -> Iterator[Total]:
    """Rows, quantities and amounts of the lines of each kind, all of them and by the state they are in."""
    columns: dict[str, list[str]] = {}
    for table, column in connection.execute(
        "select table_schema || '.' || table_name, column_name from information_schema.columns"
        " where table_schema in ('facts', 'quality') order by ordinal_position"
    ).fetchall():
        columns.setdefault(str(table), []).append(str(column))
    if "quality.line_states" not in columns:
        return
    for kind in LINE_KINDS:
        fact = f"facts.{kind.fact}"
        if fact not in columns:
            continue
        key = _line_key(kind, columns[fact])
        measures = {"rows": "1"}
        for measure, candidates in (("quantity_each", kind.quantity), ("amount", kind.amount)):
            added = next((column for column in candidates if column in columns[fact]), None)
            if added:
                measures[measure] = f"coalesce(line.{added}, 0)"
        sums = ", ".join(f"cast(coalesce(sum({value}), 0) as decimal(38, 4))" for value in measures.values())
        whole = connection.execute(f"select {sums} from {fact} as line").fetchone()
        assert whole is not None
        for measure, value in zip(measures, whole, strict=True):
            yield Total("conformed", kind.name, measure, value)
        by_reason = connection.execute(
            f"""
            select state.state, coalesce(state.reason, state.rule_id, ''), {sums}
            from {fact} as line
            join quality.line_states as state on state.line_type = '{kind.name}' and state.line_key = line.{key}
            group by state.state, coalesce(state.reason, state.rule_id, '')
            """
        ).fetchall()
        for state in LINE_STATES:
            rows = [row for row in by_reason if row[0] == state]
            for place, measure in enumerate(measures, start=2):
                reasons = {row[1]: row[place] for row in rows if row[1] and state != "matched"}
                yield Total(state, kind.name, measure, sum((row[place] for row in rows), Decimal(0)), reasons=reasons)


def _line_key(kind: LineKind, columns: Sequence[str]) -> str:
    """The fact's key: `<kind>_key`, else the first surrogate key it has."""
    own = f"{kind.name}_key"
    return own if own in columns else next(column for column in columns if column.endswith("_key"))


# ------------------------------------------------------------------------------------------------ identities

_IDENTITIES_SUITE = Suite(
    name="Control totals",
    expectation="What enters a hop leaves it: landed, refused or repeated; staged, superseded or excluded; judged once",
    notes={
        "identities": "; ".join(f"{whole} = {' + '.join(parts)}" for whole, parts in IDENTITIES),
        "tolerance": "none, counts are exact",
        "owner": "DE",
    },
    accepted=("adds up",),
)


def identities_frame(totals: Iterable[Total]) -> pl.DataFrame:
    """One row for each identity, feed and measure: the whole, its parts, the difference and a verdict."""
    import polars as pl

    sums: dict[tuple[str, str, Hop], Decimal] = {}
    for total in totals:
        key = (total.feed, total.measure, total.hop)
        sums[key] = sums.get(key, Decimal(0)) + total.value
    rows: list[tuple[object, ...]] = []
    for whole, parts in IDENTITIES:
        for feed, measure in sorted({(feed, measure) for feed, measure, hop in sums if hop == whole}):
            left = sums[(feed, measure, whole)]
            right = sum((sums.get((feed, measure, part), Decimal(0)) for part in parts), Decimal(0))
            verdict = "adds up" if left == right else "differs"
            rows.append(
                (f"{whole} = {' + '.join(parts)}", feed, measure, left, right, left - right, verdict, len(rows))
            )
    number = pl.Decimal(38, 4)
    schema = {
        "identity": pl.String(),
        "feed": pl.String(),
        "measure": pl.String(),
        "whole": number,
        "parts": number,
        "difference": number,
        "verdict": pl.String(),
        "row": pl.Int64(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
