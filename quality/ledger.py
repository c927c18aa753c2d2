"""The exception ledger: the identity of each break, its life, and what people decided about it.

Here: exception ids, the life `timing -> open -> auto_cleared -> reopened`, decisions (assigned, resolved, waived), the
published list of exceptions and their history. The only place that writes decisions.
Not here: what fires (quality.judge) and what is served (quality.publish).

What is kept, in business time only (UTC text, so that it sorts):

- `run`: one row an applied as-of, with the rules that were held back in it.
- `occurrence`: an interval in which a break fired without interruption: detected, opened (null: still timing),
  cleared (null: it fires). One that cleared before it opened was timing and nothing else, and is never published.
- `finding`: what was found, a new row only when it changed.
- `decision`: what a person decided about an occurrence.

Everything an as-of wrote is stamped with it, and it only ever fills what was null. So taking the last as-of back is
exact, and applying the same as-of again replaces it: the same findings leave the same ledger. A run is one
transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import polars as pl

    from ingest.clock import AsOf

DUE_DAYS = {"S1": 1, "S2": 3, "S3": 10, "S4": 30}
# A correction of day D reaches Suture with the delivery of D + 1: what still fires after that is not resolved.
RESOLVED_HOLDS_DAYS = 2

Action = Literal["assigned", "resolved", "waived"]
RootCause = Literal[
    "mapping",
    "timing",
    "price file",
    "unit of measure",
    "receiving",
    "documentation",
    "charge build",
    "interface",
    "duplicate",
    "migration",
    "policy",
]
ROOT_CAUSES: tuple[str, ...] = get_args(RootCause)
LIVE_STATUSES = ("open", "assigned", "reopened")

# Columns of a finding that the ledger keeps, all as text: SQLite has no decimal and no date.
FINDING_COLUMNS = (
    "rule_version",
    "tolerance_version",
    "severity",
    "queue",
    "business_date",
    "fiscal_period",
    "impact_amount",
    "root_exception_id",
    "matures_on",
    "explanation",
    "evidence",
)

# Columns of quality.exceptions: what INTERFACES section 3 promises, then what stands beside it.
EXCEPTION_TYPES: dict[str, str] = {
    "exception_id": "varchar",
    "occurrence": "integer",
    "rule_id": "varchar",
    "rule_version": "varchar",
    "tolerance_version": "varchar",
    "severity": "varchar",
    "queue": "varchar",
    "facility_id": "varchar",
    "entity_key": "varchar",
    "business_date": "date",
    "fiscal_period": "varchar",
    "impact_amount": "decimal(18, 2)",
    "root_exception_id": "varchar",
    "status": "varchar",
    "first_detected_at": "timestamp",
    "last_detected_at": "timestamp",
    "closed_at": "timestamp",
    "due_at": "timestamp",
    "explanation": "varchar",
    "evidence": "json",
    "matures_on": "date",
    "is_firing": "boolean",
    "assigned_to": "varchar",
    "decided_at": "timestamp",
}

_SCHEMA = f"""
create table if not exists run (
    as_of text primary key, run_id text not null, held_back text not null
) without rowid;
create table if not exists exception (
    exception_id text primary key, rule_id text not null, facility_id text not null, entity_key text not null
) without rowid;
create table if not exists occurrence (
    exception_id text not null, detected_as_of text not null, opened_as_of text, cleared_as_of text,
    primary key (exception_id, detected_as_of)
) without rowid;
create index if not exists occurrence_live on occurrence (exception_id) where cleared_as_of is null;
create index if not exists occurrence_cleared on occurrence (cleared_as_of);
create index if not exists occurrence_opened on occurrence (opened_as_of);
create index if not exists occurrence_detected on occurrence (detected_as_of);
create table if not exists finding (
    exception_id text not null, as_of text not null, digest text not null,
    {", ".join(f"{column} text" for column in FINDING_COLUMNS)},
    primary key (exception_id, as_of)
) without rowid;
create index if not exists finding_as_of on finding (as_of);
create table if not exists decision (
    decision_id integer primary key, exception_id text not null, detected_as_of text not null,
    decided_as_of text not null, action text not null, actor text not null,
    assignee text, root_cause text, lapses_on text
);
create index if not exists decision_occurrence on decision (exception_id, detected_as_of);
create view if not exists last_decision as
    select * from decision
    where decision_id in (select max(decision_id) from decision group by exception_id, detected_as_of);
"""
_SCHEMA_VERSION = 1


class LedgerError(Exception):
    """The ledger cannot do what is asked; the message says why."""


class EarlierAsOf(LedgerError):
    """An as-of before the last one that was applied: history is not rewritten."""


@dataclass(frozen=True)
class Applied:
    """What one as-of changed in the ledger."""

    firing: int
    timing: int
    opened: int
    reopened: int
    auto_cleared: int


def exception_id(rule_id: str, facility_id: str, entity_key: str) -> str:
    """The stable id of a break: 32 hex digits of SHA-256 over rule, facility and entity."""
    return hashlib.sha256(f"{rule_id}\x1f{facility_id}\x1f{entity_key}".encode()).hexdigest()[:32]


def _moment(as_of: AsOf) -> str:
    return as_of.utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sqlite_path(location: str | Path) -> Path:
    if isinstance(location, Path):
        return location
    scheme, separator, rest = location.partition("://")
    if not separator:
        return Path(location)
    if scheme != "sqlite":
        raise LedgerError(f"the ledger cannot be kept at a {scheme} URL: give a path or sqlite:///path")
    return Path(rest.removeprefix("/"))


class ExceptionLedger:
    """A ledger in one SQLite file, by path or `sqlite:///` URL. It is created when it is first opened."""

    def __init__(self, location: str | Path) -> None:
        self.path = _sqlite_path(location)

    # ---------------------------------------------------------------- connection

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection in autocommit mode: transactions are opened by name, so that each is seen in the code."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            version = connection.execute("pragma user_version").fetchone()[0]
            if version > _SCHEMA_VERSION:
                raise LedgerError(
                    f"{self.path} was written by a newer Suture (layout {version}, here {_SCHEMA_VERSION})"
                )
            if version < _SCHEMA_VERSION:
                connection.executescript(f"begin immediate; {_SCHEMA} pragma user_version = {_SCHEMA_VERSION}; commit;")
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._open() as connection:
            connection.execute("begin immediate")
            try:
                yield connection
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("commit")

    # ---------------------------------------------------------------- runs

    def last_as_of(self) -> str | None:
        """The as-of that was applied last, in UTC (`YYYY-MM-DDTHH:MM:SSZ`), or None."""
        with self._open() as connection:
            row = connection.execute("select max(as_of) from run").fetchone()
            return None if row[0] is None else str(row[0])

    def apply(self, run_id: str, as_of: AsOf, findings: pl.DataFrame, judged_rules: Collection[str]) -> Applied:
        """Bring the ledger to what fires at `as_of`, in one transaction.

        `findings` has a row for each break: exception_id, rule_id, facility_id, entity_key, is_mature and
        FINDING_COLUMNS. Exceptions of rules that are not in `judged_rules` stay as they are. The same as-of again
        replaces what it wrote.

        Raises:
            EarlierAsOf: a later as-of was applied already.
        """
        moment = _moment(as_of)
        with self._transaction() as connection:
            last = connection.execute("select max(as_of) from run").fetchone()[0]
            if last is not None and last > moment:
                raise EarlierAsOf(f"the ledger knows the state as of {last}: {moment} is earlier and cannot be applied")
            if last == moment:
                _take_back(connection, moment)
            else:
                _forget_timing(connection)
            known = {row[0] for row in connection.execute("select distinct rule_id from exception")}
            held_back = sorted(known - set(judged_rules))
            connection.execute(
                "insert into run (as_of, run_id, held_back) values (?, ?, ?)",
                (moment, run_id, json.dumps(held_back)),
            )
            return _advance(connection, moment, as_of.local_date, findings, held_back)

    def withdraw(self, run_id: str) -> bool:
        """Take back what a run applied that did not publish; only the last one can be. True when something was."""
        with self._transaction() as connection:
            row = connection.execute("select as_of, run_id from run order by as_of desc limit 1").fetchone()
            if row is None or row[1] != run_id:
                return False
            _take_back(connection, row[0])
            return True

    # ---------------------------------------------------------------- decisions

    def assign(self, exception: str, assignee: str, *, actor: str, at: AsOf) -> None:
        """Give an open exception to someone.

        Raises:
            LedgerError: it is not open.
        """
        self._decide(exception, "assigned", actor, at, assignee=assignee)

    def resolve(self, exception: str, *, actor: str, at: AsOf, root_cause: RootCause) -> None:
        """Close an exception as corrected at its source. It reopens if it still fires two days later, or fires again.

        Raises:
            LedgerError: it is not open, or the root cause is not one of ROOT_CAUSES.
        """
        if root_cause not in ROOT_CAUSES:
            raise LedgerError(f"root cause {root_cause!r}: one of {', '.join(ROOT_CAUSES)}")
        lapses = at.local_date + timedelta(days=RESOLVED_HOLDS_DAYS)
        self._decide(exception, "resolved", actor, at, root_cause=root_cause, lapses_on=lapses)

    def waive(self, exception: str, *, actor: str, at: AsOf, until: date | None = None) -> None:
        """Accept an exception, until a day or for as long as it fires without interruption.

        Raises:
            LedgerError: it is not open.
        """
        self._decide(exception, "waived", actor, at, lapses_on=until)

    def _decide(
        self,
        exception: str,
        action: Action,
        actor: str,
        at: AsOf,
        *,
        assignee: str | None = None,
        root_cause: str | None = None,
        lapses_on: date | None = None,
    ) -> None:
        with self._transaction() as connection:
            row = connection.execute(
                """
                select o.detected_as_of
                from occurrence as o left join last_decision as d using (exception_id, detected_as_of)
                where o.exception_id = ? and o.opened_as_of is not null and o.cleared_as_of is null
                    and coalesce(d.action, 'open') not in ('resolved', 'waived')
                """,
                (exception,),
            ).fetchone()
            if row is None:
                raise LedgerError(f"exception {exception} is not open: it cannot be {action}")
            connection.execute(
                "insert into decision (exception_id, detected_as_of, decided_as_of, action, actor, assignee,"
                " root_cause, lapses_on) values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    exception,
                    row[0],
                    _moment(at),
                    action,
                    actor,
                    assignee,
                    root_cause,
                    None if lapses_on is None else lapses_on.isoformat(),
                ),
            )

    # ---------------------------------------------------------------- what is known

    def exceptions(self, *, firing_only: bool = False) -> pl.DataFrame:
        """The rows of quality.exceptions, one an exception: what fires (timing included) and what was closed.

        Columns: EXCEPTION_TYPES. Moments are local to America/Chicago, as the business clock is.
        """
        with self._open() as connection:
            connection.execute("begin")
            rows = connection.execute(
                _EXCEPTIONS_SQL + (" where l.cleared_as_of is null" if firing_only else "")
            ).fetchall()
            runs = connection.execute("select as_of, held_back from run order by as_of").fetchall()
        return _published(rows, [(str(moment), frozenset(json.loads(held))) for moment, held in runs])

    def history(self, exception: str) -> list[dict[str, str | None]]:
        """Every event in the life of one exception, in order: at (local), event, actor, detail."""
        with self._open() as connection:
            rows = connection.execute(_HISTORY_SQL, {"exception_id": exception}).fetchall()
        return [
            {"at": _local_text(moment), "event": event, "actor": actor, "detail": detail}
            for moment, _, event, actor, detail in rows
        ]


# -------------------------------------------------------------------- transitions


def _take_back(connection: sqlite3.Connection, moment: str) -> None:
    """Undo everything the as-of `moment` wrote. Occurrences that someone decided about stay, as if still timing."""
    connection.execute(
        "delete from occurrence where detected_as_of = :at and not exists (select 1 from decision as d"
        " where d.exception_id = occurrence.exception_id and d.detected_as_of = occurrence.detected_as_of)",
        {"at": moment},
    )
    connection.execute("update occurrence set opened_as_of = null where opened_as_of = ?", (moment,))
    connection.execute("update occurrence set cleared_as_of = null where cleared_as_of = ?", (moment,))
    connection.execute("delete from finding where as_of = ?", (moment,))
    connection.execute("delete from run where as_of = ?", (moment,))
    connection.execute("delete from exception where exception_id not in (select exception_id from occurrence)")


def _forget_timing(connection: sqlite3.Connection) -> None:
    """Breaks that cleared while timing were none; once a later as-of is applied they cannot come back either."""
    connection.execute("delete from occurrence where opened_as_of is null and cleared_as_of is not null")
    connection.execute("delete from finding where exception_id not in (select exception_id from occurrence)")
    connection.execute("delete from exception where exception_id not in (select exception_id from occurrence)")


def _advance(
    connection: sqlite3.Connection, moment: str, today: date, findings: pl.DataFrame, held_back: Collection[str]
) -> Applied:
    columns = ("exception_id", "rule_id", "facility_id", "entity_key", "is_mature", *FINDING_COLUMNS)
    connection.execute(
        f"create temp table found ({', '.join(columns)}, digest, primary key (exception_id)) without rowid"
    )
    connection.executemany(
        f"insert into found values ({', '.join('?' * (len(columns) + 1))})",
        (
            (*row[:4], bool(row[4]), *(None if value is None else str(value) for value in row[5:]), _digest(row[5:]))
            for row in findings.select(columns).iter_rows()
        ),
    )
    connection.execute("create temp table held (rule_id primary key)")
    connection.executemany("insert into held values (?)", ((rule,) for rule in held_back))
    at = {"at": moment, "today": today.isoformat()}
    # No longer fires.
    cleared = connection.execute(
        """
        update occurrence set cleared_as_of = :at
        where cleared_as_of is null and exception_id not in (select exception_id from found)
            and exception_id not in (select exception_id from exception where rule_id in (select rule_id from held))
        returning opened_as_of
        """,
        at,
    ).fetchall()
    # A decision that no longer holds, or a break that has become timing again: the occurrence ends and a new one
    # begins.
    connection.execute(
        """
        update occurrence set cleared_as_of = :at
        where cleared_as_of is null and opened_as_of is not null and detected_as_of < :at and (
            exception_id in (select exception_id from found where not is_mature)
            or (exception_id, detected_as_of) in (
                select exception_id, detected_as_of from last_decision
                where lapses_on is not null and lapses_on <= :today
            ) and exception_id in (select exception_id from found)
        )
        """,
        at,
    )
    connection.execute(
        "insert or ignore into exception"
        " select exception_id, rule_id, facility_id, entity_key from found order by exception_id"
    )
    connection.execute(
        """
        insert into occurrence (exception_id, detected_as_of)
        select exception_id, :at from found
        where exception_id not in (select exception_id from occurrence where cleared_as_of is null)
        order by exception_id
        """,
        at,
    )
    opened = connection.execute(
        """
        update occurrence set opened_as_of = :at
        where cleared_as_of is null and opened_as_of is null
            and exception_id in (select exception_id from found where is_mature)
        returning exists (
            select 1 from occurrence as earlier where earlier.exception_id = occurrence.exception_id
                and earlier.detected_as_of < occurrence.detected_as_of and earlier.opened_as_of is not null
        )
        """,
        at,
    ).fetchall()
    connection.execute(
        f"""
        insert into finding (exception_id, as_of, digest, {", ".join(FINDING_COLUMNS)})
        select exception_id, :at, digest, {", ".join(FINDING_COLUMNS)} from found
        where digest is not (
            select digest from finding where finding.exception_id = found.exception_id order by as_of desc limit 1
        )
        order by exception_id
        """,
        at,
    )
    timing = connection.execute("select count(*) from found where not is_mature").fetchone()[0]
    connection.execute("drop table found")
    connection.execute("drop table held")
    return Applied(
        firing=findings.height,
        timing=int(timing),
        opened=sum(not again for (again,) in opened),
        reopened=sum(bool(again) for (again,) in opened),
        auto_cleared=sum(opening is not None for (opening,) in cleared),
    )


def _digest(values: tuple[object, ...]) -> str:
    return hashlib.sha256(
        "\x1f".join("\x00" if value is None else str(value) for value in values).encode()
    ).hexdigest()[:32]


# The last occurrence of each exception that was more than timing, or that fires; the number of openings before it;
# the latest finding that was made while it fired.
_EXCEPTIONS_SQL = f"""
with told as (
    select exception_id, detected_as_of, opened_as_of, cleared_as_of
    from occurrence where opened_as_of is not null or cleared_as_of is null
),
numbered as (
    select *,
        row_number() over (partition by exception_id order by detected_as_of) as occurrence,
        row_number() over (partition by exception_id order by detected_as_of desc) as from_last,
        min(detected_as_of) over (partition by exception_id) as first_detected_as_of
    from told
),
newest as (
    select l.exception_id, max(f.as_of) as as_of
    from numbered as l
    join finding as f on f.exception_id = l.exception_id and f.as_of < coalesce(l.cleared_as_of, '9999')
    where l.from_last = 1
    group by l.exception_id
)
select
    e.exception_id, l.occurrence, e.rule_id, e.facility_id, e.entity_key,
    {", ".join(f"f.{column}" for column in FINDING_COLUMNS)},
    l.first_detected_as_of, l.opened_as_of, l.cleared_as_of,
    d.action, d.decided_as_of, d.assignee
from numbered as l
join exception as e on e.exception_id = l.exception_id and l.from_last = 1
join newest as n on n.exception_id = l.exception_id
join finding as f on f.exception_id = n.exception_id and f.as_of = n.as_of
left join last_decision as d on d.exception_id = l.exception_id and d.detected_as_of = l.detected_as_of
"""

_HISTORY_SQL = """
with told as (
    select *, row_number() over (order by detected_as_of) as occurrence from occurrence
    where exception_id = :exception_id and (opened_as_of is not null or cleared_as_of is null)
)
select moment, rank, event, actor, detail from (
    select detected_as_of as moment, 1 as rank, 'detected' as event, null as actor, null as detail from told
    union all
    select opened_as_of, 2, case when occurrence > 1 then 'reopened' else 'opened' end, null, null from told
    where opened_as_of is not null
    union all
    select cleared_as_of, 0, 'auto_cleared', null, null from told where cleared_as_of is not null
    union all
    select decided_as_of, 2 + decision_id, action, actor, coalesce(assignee, root_cause, lapses_on) from decision
    where exception_id = :exception_id
    union all
    select as_of, 3, 'found', null, explanation from finding where exception_id = :exception_id
)
order by moment, rank
"""


def _local_text(moment: str) -> str:
    from ingest.clock import HOME_ZONE

    parsed = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return parsed.astimezone(HOME_ZONE).strftime("%Y-%m-%dT%H:%M:%S")


def _published(rows: list[tuple[object, ...]], runs: list[tuple[str, frozenset[str]]]) -> pl.DataFrame:
    import polars as pl

    from ingest.clock import HOME_ZONE

    text = (
        "exception_id",
        "occurrence",
        "rule_id",
        "facility_id",
        "entity_key",
        *FINDING_COLUMNS,
        "first_detected",
        "opened",
        "cleared",
        "action",
        "decided",
        "assignee",
    )
    frame = pl.DataFrame(
        rows, schema={name: pl.Int32 if name == "occurrence" else pl.String for name in text}, orient="row"
    ).with_columns(_last_judged(rows, text.index("rule_id"), text.index("cleared"), runs))

    def local(column: str) -> pl.Expr:
        utc = pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
        return utc.dt.convert_time_zone(HOME_ZONE.key).dt.replace_time_zone(None)

    firing = pl.col("cleared").is_null()
    decided = pl.col("action").is_in(["resolved", "waived"])
    status = (
        pl.when(decided)
        .then(pl.col("action"))
        .when(~firing)
        .then(pl.lit("auto_cleared"))
        .when(pl.col("opened").is_null())
        .then(pl.lit("timing"))
        .when(pl.col("action") == "assigned")
        .then(pl.lit("assigned"))
        .when(pl.col("occurrence") > 1)
        .then(pl.lit("reopened"))
        .otherwise(pl.lit("open"))
    )
    due_days = pl.col("severity").replace_strict(DUE_DAYS, return_dtype=pl.Int64)
    return (
        frame.with_columns(
            pl.col("business_date", "matures_on").str.to_date("%Y-%m-%d"),
            pl.col("impact_amount").str.to_decimal(scale=2).cast(pl.Decimal(18, 2)),
            status.alias("status"),
            local("first_detected").alias("first_detected_at"),
            local("last_judged").alias("last_detected_at"),
            pl.when(decided).then(local("decided")).otherwise(local("cleared")).alias("closed_at"),
            (local("opened") + pl.duration(days=due_days)).alias("due_at"),
            firing.alias("is_firing"),
            pl.col("assignee").alias("assigned_to"),
            local("decided").alias("decided_at"),
        )
        .select(list(EXCEPTION_TYPES))
        .sort("exception_id")
    )


def _last_judged(
    rows: list[tuple[object, ...]], rule_at: int, cleared_at: int, runs: list[tuple[str, frozenset[str]]]
) -> pl.Series:
    """For each row the last as-of in which its rule was judged before it cleared."""
    import polars as pl

    judged: dict[object, list[str]] = {}
    for rule in {row[rule_at] for row in rows}:
        judged[rule] = [moment for moment, held_back in runs if rule not in held_back]

    def last(rule: object, cleared: object) -> str | None:
        moments = judged[rule]
        before = len(moments) if cleared is None else bisect_left(moments, str(cleared))
        return moments[before - 1] if before else None

    return pl.Series("last_judged", [last(row[rule_at], row[cleared_at]) for row in rows], dtype=pl.String)
