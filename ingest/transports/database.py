"""Tables and queries of a database as deliveries, by Arrow.

Here: PostgreSQL through ADBC, SQL Server and Oracle through arrow-odbc, snapshots and cursors with an overlap window,
exact text of every value in the layout of the contract.
Not here: the file's dialect (`table_file`), its place, manifest and seal (`delivery_writer`).

A query is SQL or the bare name of a table or view. With a `cursor` it reads what changed: from the last sealed
delivery's upper bound, less the overlap, up to the largest cursor value there is when the pull begins, both ends
included, and rows without a cursor value each time. SQL that names `:since` or `:until` gets the bounds there, other
SQL is wrapped. All queries of an endpoint read one snapshot of the database: repeatable read in PostgreSQL, `read only`
in Oracle, `snapshot` isolation in SQL Server where the database allows it, else read committed.

The bounds are kept before the first row is fetched. A pull that was killed is begun again as a whole, in a new
transaction, with the bounds of the first; what it had written was in no manifest and is replaced.

Money and quantity never pass through a float: PostgreSQL's numeric arrives as its digits, ODBC decimals are asked for
as text, and a binary floating column brings the database's own text of it. Moments with a zone become the wall clock
of the contract's zone; moments without one are taken as that wall clock already. ODBC drivers may show a moment with a
zone as one without, in the clock of their session: make it local in the query.

SQL Server takes no `with` and no `order by` in SQL that is wrapped, and psqlODBC streams with `UseDeclareFetch=1` only.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from ingest.clock import AsOf
from ingest.contract import Column, Extract, SystemContract
from ingest.transports.delivery_writer import DeliveryWriter, Drop
from ingest.transports.endpoints import DatabaseEndpoint, EndpointError, Progress, Query, Secret, reveal
from ingest.transports.table_file import TableFile, file_columns, plain

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_LOG = logging.getLogger("suture.pull")

_TABLE = re.compile(r'\s*(?:[\w$#]+|"[^"]+"|\[[^\]]+\])(?:\.(?:[\w$#]+|"[^"]+"|\[[^\]]+\]))*\s*')
_BOUND = re.compile(r"(?<![:\w]):(since|until)\b")
_STATE = re.compile(r"(?:SQLSTATE|State): ?([0-9A-Z]{5})")

# What a database says of a broken statement may quote values, so its SQLSTATE is told in words of our own.
_SAYS: Mapping[str, str] = {
    "42P01": "a table or view of the query does not exist, or this user may not see it",
    "42S02": "a table or view of the query does not exist, or this user may not see it",
    "42703": "a column of the query does not exist",
    "42S22": "a column of the query does not exist",
    "42501": "this user may not read it: grant select",
    "42601": "the SQL is not understood",
    "42000": "the SQL is not understood, or this user may not read it",
    "22P02": "a value does not have the form that the query casts it to",
    "22003": "a number is out of the range that the query casts it to",
    "22007": "a value is not the date or time that the query casts it to",
    "22012": "the query divides by zero",
    "57014": "the statement was cancelled, perhaps by a timeout of the database",
}
# Errors that come with the rows bear no SQLSTATE.
_GONE = re.compile(
    r"FATAL:|PANIC:|no connection|closed the connection|could not (?:receive|send)|SSL|timed? ?out|reset"
    r"|conflict with recovery"
)
_AGAIN = ("08", "40", "53", "57P", "HYT", "S1T")


class _Lost(Exception):
    """The connection broke, or the database asks to try again."""


class _Source(Protocol):
    """One connection with one transaction."""

    dialect: str

    def schema(self, sql: str) -> pa.Schema:
        """Columns that a statement gives, without running it as far as the driver can."""

    def batches(self, sql: str, columns: Sequence[_Wanted]) -> Iterator[pa.RecordBatch]:
        """The result, in batches."""

    def expression(self, field: pa.Field) -> str:
        """SQL that asks for a column in a form without loss."""

    def version(self) -> str:
        """Name and version of the database."""

    def close(self) -> None:
        """End the transaction and the connection."""


@dataclass(frozen=True)
class _Wanted:
    """A column of the contract and the column of the result that gives it."""

    column: Column
    field: pa.Field


@dataclass(frozen=True)
class Bounds:
    """From where to where a query reads, in the cursor's own form; both ends included, None is no bound."""

    since: str | None
    until: str | None


def pull(
    endpoint: DatabaseEndpoint,
    writer: DeliveryWriter,
    as_of: AsOf,
    progress: Progress,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Deliver every query of the endpoint once for this as-of, and first what an earlier pull left unfinished.

    Raises:
        EndpointError: the database cannot be reached or a query cannot be read; nothing is sealed then.
    """
    for query in endpoint.queries:
        writer.form(query.extract)
    # What is new is looked for after the unfinished ones are done.
    new = writer.begun_now(as_of, endpoint.slot, (query.extract for query in endpoint.queries))
    for drop in chain(writer.unfinished(), new):
        for attempt in range(endpoint.retry.attempts):
            try:
                with drop:
                    _deliver(endpoint, writer, drop, progress)
                break
            except _Lost as lost:
                if attempt + 1 == endpoint.retry.attempts:
                    raise EndpointError(f"endpoint {endpoint.name}: {lost}") from None
                _LOG.warning("%s: %s; trying again", endpoint.name, lost)
                longest = min(endpoint.retry.first_wait_seconds * 2**attempt, endpoint.retry.longest_wait_seconds)
                sleep(longest * random.uniform(0.5, 1))


def probe(endpoint: DatabaseEndpoint, contract: SystemContract) -> str:
    """Connect and ask for the columns of every query, without a row; what was seen, in a few words.

    Raises:
        EndpointError: what to do, without secrets.
    """
    try:
        source = _open(endpoint)
        try:
            for query in endpoint.queries:
                if query.extract not in contract.extracts:
                    raise EndpointError(f"endpoint {endpoint.name}: {contract.system} has no extract {query.extract}")
                _Reading(endpoint, source, query, contract.extracts[query.extract])
            count = len(endpoint.queries)
            return f"{source.version()}, {count} {'query answers' if count == 1 else 'queries answer'}"
        finally:
            source.close()
    except _Lost as lost:
        raise EndpointError(f"endpoint {endpoint.name}: {lost}") from None


def _deliver(endpoint: DatabaseEndpoint, writer: DeliveryWriter, drop: Drop, progress: Progress) -> None:
    """Every query whose extract comes with this delivery, read in one transaction."""
    source = _open(endpoint)
    try:
        readings = [
            _Reading(endpoint, source, query, writer.contract.extracts[query.extract])
            for query in endpoint.queries
            if writer.form(query.extract) is drop.delivery
        ]
        kept = drop.plan({})
        plan = {
            name: kept[name] if name in kept else reading.bounds(writer.state.get(endpoint.name, f"cursor:{name}"))
            for name, reading in ((each.query.extract, each) for each in readings)
        }
        drop.replan(plan)
        for reading in readings:
            bounds = Bounds(**plan[reading.query.extract])
            with (
                drop.file(reading.query.extract) as part,
                TableFile(
                    part, reading.extract, [wanted.column.name for wanted in reading.wanted], writer.remarks
                ) as file,
            ):
                for batch in source.batches(reading.statement(bounds), reading.wanted):
                    file.write(texts(batch, [wanted.column for wanted in reading.wanted]))
                    progress(endpoint.name, reading.query.extract, file.rows, None)
                progress(endpoint.name, reading.query.extract, file.rows, file.rows)
            if bounds.until is not None:
                drop.then(f"cursor:{reading.query.extract}", bounds.until)
    finally:
        source.close()


class _Reading:
    """One query bound to the columns of its extract."""

    def __init__(self, endpoint: DatabaseEndpoint, source: _Source, query: Query, extract: Extract) -> None:
        self.query = query
        self.extract = extract
        self._source = source
        self._where = f"endpoint {endpoint.name}, {query.extract}"
        sql = query.sql.strip().rstrip(";")
        self._sql = f"select * from {sql}" if _TABLE.fullmatch(sql) else sql
        self._takes_bounds = bool(_BOUND.search(self._sql))
        if self._takes_bounds and query.cursor is None:
            raise EndpointError(f"{self._where}: the SQL names :since or :until, so name its cursor column, too")
        schema = source.schema(_BOUND.sub("null", self._sql))
        by_name = {name.casefold(): schema.field(place) for place, name in reversed([*enumerate(schema.names)])}
        self.wanted = tuple(
            _Wanted(extract.columns[name], by_name[name.casefold()])
            for name in file_columns(extract)
            if name.casefold() in by_name
        )
        missing = [name for name in extract.must_have if name.casefold() not in by_name]
        if missing:
            raise EndpointError(
                f"{self._where}: the query gives no {', '.join(missing)}, which the contract requires; name the columns"
                " of the query as the contract does"
            )
        for wanted in self.wanted:
            _judge(self._where, wanted)
        self.cursor: pa.Field | None = None
        if query.cursor is not None:
            if query.cursor.casefold() not in by_name:
                raise EndpointError(f"{self._where}: the query gives no column {query.cursor}, its cursor")
            self.cursor = by_name[query.cursor.casefold()]
            self._kind = _cursor_kind(self._where, self.cursor)

    def bounds(self, reached: str | None) -> dict[str, str | None]:
        """Bounds of a new delivery, from the cursor that the last one reached."""
        if self.cursor is None:
            return {"since": None, "until": None}
        since = self.query.first_since
        if reached is not None:
            column = next((each.column for each in self.wanted if each.field.name == self.cursor.name), None)
            since = _earlier(self._where, reached, self._kind, self.query.overlap_seconds, column)
        name = _quoted(self.cursor.name)
        everything = self._bound_sql(Bounds(since, None))
        until = None
        for batch in self._source.batches(
            f"select max(q.{name}) as {name} from ({everything}\n) q", [_Wanted(_AS_IT_IS, self.cursor)]
        ):
            values = batch.column(0)
            if len(values) and values[0].is_valid:
                until = _cursor_text(values)
        return {"since": since, "until": until or reached}

    def statement(self, bounds: Bounds) -> str:
        """The SQL that reads the rows, in an order that the same rows always have."""
        columns = ", ".join(self._source.expression(wanted.field) for wanted in self.wanted)
        names = {wanted.column.name: wanted.field.name for wanted in self.wanted}
        order = [names[part] for part in self.extract.identity if part in names]
        order += [names[part] for part in self.extract.key if part in names and names[part] not in order]
        condition = ""
        if self.cursor is not None:
            cursor = f"q.{_quoted(self.cursor.name)}"
            if self.cursor.name not in order:
                order.append(self.cursor.name)
            if not self._takes_bounds:
                ends = [
                    f"{cursor} {sign} {self._literal(value)}"
                    for sign, value in ((">=", bounds.since), ("<=", bounds.until))
                    if value is not None
                ]
                if ends:
                    condition = f" where ({' and '.join(ends)}) or {cursor} is null"
        ordered = ", ".join(f"q.{_quoted(name)}" for name in order)
        return f"select {columns} from ({self._bound_sql(bounds)}\n) q{condition} order by {ordered}"

    def _bound_sql(self, bounds: Bounds) -> str:
        """The query with its bounds, where it names them."""
        if self.cursor is None:
            return self._sql
        first, last = _ENDS[self._kind]
        values = {
            "since": self._literal(bounds.since if bounds.since is not None else first),
            "until": self._literal(bounds.until if bounds.until is not None else last),
        }
        return _BOUND.sub(lambda match: values[match[1]], self._sql)

    def _literal(self, value: str) -> str:
        kind, dialect = self._kind, self._source.dialect
        if not _FORMS[kind].fullmatch(value):
            raise EndpointError(
                f"{self._where}: the cursor's bound is no {kind}; give first_since in the cursor's form"
            )
        if kind == "number":
            return value
        if kind == "text":
            return "'" + value.replace("'", "''") + "'"
        if kind == "date":
            return f"date '{value}'" if dialect != "sqlserver" else f"cast('{value}' as date)"
        if dialect == "sqlserver":
            return f"cast('{value}' as {'datetime2' if kind == 'timestamp' else 'datetimeoffset'})"
        if dialect == "oracle" and kind != "timestamp":
            return f"to_timestamp_tz('{value}', 'YYYY-MM-DD HH24:MI:SS.FF TZH:TZM')"
        return f"timestamp{'' if kind == 'timestamp' else ' with time zone'} '{value}'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# ------------------------------------------------------------------------------------------------ cursors

_MOMENT = r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?)?"
_FORMS: Mapping[str, re.Pattern[str]] = {
    "timestamp": re.compile(_MOMENT),
    "moment": re.compile(_MOMENT + r"(?: ?[+-]\d\d:\d\d)?"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "number": re.compile(r"-?\d+(?:\.\d+)?"),
    "text": re.compile(r"[^\x00]*"),
}
# Bounds that stand for none, for SQL that names them.
_ENDS: Mapping[str, tuple[str, str]] = {
    "timestamp": ("0001-01-01 00:00:00", "9999-12-31 23:59:59"),
    "moment": ("0001-01-02 00:00:00 +00:00", "9999-12-30 23:59:59 +00:00"),
    "date": ("0001-01-01", "9999-12-31"),
    "number": ("-9223372036854775808", "9223372036854775807"),
    "text": ("", "\U0010ffff"),
}


def _cursor_kind(where: str, field: pa.Field) -> str:
    """`timestamp` without a zone, `moment` with one, `date`, `number` or `text`."""
    import pyarrow as pa

    kind = field.type
    if pa.types.is_timestamp(kind):
        return "moment" if kind.tz else "timestamp"
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or _opaque(field) == "numeric":
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    raise EndpointError(f"{where}: a cursor is a moment, a date, a number or text, and this column is none of them")


def _cursor_text(values: pa.Array) -> str:
    """The first value as the text that a bound has; finer than a microsecond is rounded up, so that nothing is lost."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_timestamp(kind):
        ticks = values.cast(pa.int64())[0].as_py()
        per_second = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[kind.unit]
        micros = -(-ticks * 10**6 // per_second)
        text = (datetime(1970, 1, 1) + timedelta(microseconds=micros)).isoformat(" ", "microseconds")
        return f"{text} +00:00" if kind.tz else text
    value = getattr(values, "storage", values)[0].as_py()
    return value.isoformat()[:10] if pa.types.is_date(kind) else str(value)


def _earlier(where: str, reached: str, kind: str, overlap_seconds: float, column: Column | None) -> str:
    """Where a pull begins again: what the last one reached, less the overlap."""
    if not overlap_seconds:
        return reached
    overlap = timedelta(seconds=overlap_seconds)
    if kind in ("timestamp", "moment"):
        return (
            f"{(datetime.fromisoformat(reached[:26]) - overlap).isoformat(' ', 'microseconds')}"
            f"{' +00:00' if kind == 'moment' else ''}"
        )
    if kind == "date":
        return (datetime.fromisoformat(reached) - overlap).date().isoformat()
    if column is not None and column.type.name in ("date", "datetime") and column.type.layout:
        layout = _strftime(column.type.layout).replace("%6f", "%f").replace("%.", "%")
        try:
            return (datetime.strptime(reached, layout) - overlap).strftime(layout)
        except ValueError:
            pass
    if kind == "number":
        return plain_number(reached, overlap_seconds)
    raise EndpointError(
        f"{where}: an overlap needs a cursor with a time; this one is text in no layout of the contract"
    )


def plain_number(reached: str, less: float) -> str:
    """A number less another, as plain digits."""
    from decimal import Decimal

    return plain(Decimal(reached) - Decimal(str(less)))


# ------------------------------------------------------------------------------------------------ text of values

_LAYOUT = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "SSSSSS": "%6f"}


def _strftime(layout: str) -> str:
    """`yyyy-MM-dd HH:mm:ss.SSSSSS` as a strftime layout with a fraction of six digits."""
    return re.sub("|".join(_LAYOUT), lambda match: _LAYOUT[match[0]], layout)


def _zone(column: Column) -> str | None:
    """Name of the zone whose wall clock the contract's column shows; None where that depends on the row."""
    try:
        return ZoneInfo(column.type.zone).key
    except (KeyError, ValueError):
        return None


def _judge(where: str, wanted: _Wanted) -> None:
    """Refuse a column whose values cannot be written as the contract's type without guessing.

    Raises:
        EndpointError: what the query has to do with it.
    """
    import pyarrow as pa

    kind, column = wanted.field.type, wanted.column
    if pa.types.is_timestamp(kind) and kind.tz and column.type.name in ("date", "datetime", "time"):
        if column.type.name != "datetime" or (_zone(column) is None and "offset" not in column.type.layout):
            raise EndpointError(
                f"{where}: {column.name} has a zone and the contract's {column.type_text} does not say which wall clock"
                " it shows; make it local in the query"
            )
    elif pa.types.is_time(kind) and column.type.name in ("date", "datetime"):
        raise EndpointError(f"{where}: {column.name} is a time of day, the contract has {column.type_text}")
    elif pa.types.is_binary(kind) or pa.types.is_nested(kind):
        raise EndpointError(f"{where}: {column.name} is {kind}; cast it to text in the query")


def texts(batch: pa.RecordBatch, columns: Sequence[Column]) -> pl.DataFrame:
    """The batch's columns, in their order, as the text that the contract's types have; null stays null."""
    import polars as pl
    import pyarrow as pa

    arrays = [getattr(array, "storage", array) for array in batch.columns]
    plain_batch = pa.RecordBatch.from_arrays(arrays, names=[f"{place}" for place in range(len(arrays))])
    frame = pl.DataFrame(pl.from_arrow(plain_batch))
    return frame.select(
        _text(pl.col(f"{place}"), kind, column).alias(column.name)
        for place, (kind, column) in enumerate(zip(frame.dtypes, columns, strict=True))
    )


def _text(value: pl.Expr, kind: pl.DataType, column: Column) -> pl.Expr:
    """One column as text."""
    import polars as pl

    wanted = column.type
    if isinstance(kind, pl.Datetime):
        return _moment_text(value, kind, column)
    if isinstance(kind, pl.Date):
        layout = _strftime(wanted.layout) if wanted.name in ("date", "datetime") and wanted.layout else "%Y-%m-%d"
        return _in_range(value, pl.Int32, 1, value.cast(pl.Datetime("us")), layout)
    if isinstance(kind, pl.Time):
        return value.dt.strftime(_strftime(wanted.layout) if wanted.name == "time" else "%H:%M:%S")
    if isinstance(kind, pl.Boolean):
        words = {"boolean": wanted.words, "integer": ("1", "0"), "decimal": ("1", "0")}.get(
            wanted.name, ("true", "false")
        )
        return pl.when(value).then(pl.lit(words[0])).when(~value).then(pl.lit(words[1]))
    text = value.cast(pl.String)
    if isinstance(kind, pl.String) and wanted.name in ("decimal", "integer"):
        # SQL Server and Oracle leave out the zero before the point.
        return text.str.strip_chars(" ").str.replace(r"^([+-]?)\.(\d)", "${1}0.${2}")
    return text


def _moment_text(value: pl.Expr, kind: pl.Datetime, column: Column) -> pl.Expr:
    import polars as pl

    wanted = column.type
    per_day = 86_400 * {"ms": 10**3, "us": 10**6, "ns": 10**9}[kind.time_unit]
    zone = _zone(column) if wanted.name == "datetime" else None
    if wanted.layout.startswith("ISO 8601") or wanted.name not in ("date", "datetime", "time"):
        layout = "%Y-%m-%dT%H:%M:%S%.6f%:z" if kind.time_zone else "%Y-%m-%dT%H:%M:%S%.6f"
    else:
        layout = _strftime(wanted.layout)
    shown = value.dt.convert_time_zone(zone) if kind.time_zone and zone else value
    return _in_range(value, pl.Int64, per_day, shown, layout)


def _in_range(value: pl.Expr, physical: Any, per_day: int, shown: pl.Expr, layout: str) -> pl.Expr:
    """`shown` in its layout; years that no calendar has (PostgreSQL's infinity) as a word that no type takes."""
    import polars as pl

    days = value.cast(physical) // per_day
    inside = days.is_between(-719_162, 2_932_896)
    safe = pl.when(inside).then(shown)
    return pl.when(value.is_null()).then(None).when(inside).then(safe.dt.strftime(layout)).otherwise(pl.lit("infinity"))


def _column_as_it_is() -> Column:
    from ingest.contract import ColumnType

    return Column("cursor", ColumnType("string"), "string")


_AS_IT_IS = _column_as_it_is()


# ------------------------------------------------------------------------------------------------ connections


def _open(endpoint: DatabaseEndpoint) -> _Source:
    return _PostgreSQL(endpoint) if endpoint.driver == "postgresql" else _Odbc(endpoint)


def _opaque(field: pa.Field) -> str:
    """Type name of a column that PostgreSQL sends as text or bytes of its own."""
    return str(getattr(field.type, "type_name", ""))


def _trouble(endpoint: DatabaseEndpoint, error: Exception, doing: str) -> Exception:
    """What to raise for a driver's error while running a statement; never its own words, which may quote values."""
    found = _STATE.search(str(error))
    state = getattr(error, "sqlstate", None) or (found[1] if found else "")
    says = _SAYS.get(state, "the log of the database has the whole message")
    told = f"{doing} failed{f' (SQLSTATE {state})' if state else ''}: {says}"
    if state.startswith(_AGAIN) if state else _GONE.search(str(error)):
        return _Lost(
            f"the connection broke, or the database asks to try again{f' (SQLSTATE {state})' if state else ''}"
        )
    return EndpointError(f"endpoint {endpoint.name}: {told}")


# An account may be locked after a few of these: they are not tried again.
_REFUSED = re.compile(
    r"authentication|password|login failed|invalid username|does not exist|pg_hba|State: (?:28|IM|3D)|can't open lib",
    re.IGNORECASE,
)


def _cannot_connect(endpoint: DatabaseEndpoint, error: Exception) -> Exception:
    """Nothing was read yet: the server's words hold no row values, only perhaps what was given to connect."""
    words = re.sub(r"\s+", " ", endpoint.scrub(error)).strip()[:300]
    if re.search(r"State: IM|can't open lib", words, re.IGNORECASE):
        words += "; install the ODBC driver, or name one that `odbcinst -q -d` lists"
    told = f"cannot connect: {words}"
    return EndpointError(f"endpoint {endpoint.name}: {told}") if _REFUSED.search(words) else _Lost(told)


# A connection that a firewall dropped is noticed within a minute instead of two hours.
_KEEP_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
# Of an Arrow batch, in the driver's own estimate.
_BATCH_BYTES = str(2 << 20)


class _PostgreSQL:
    """ADBC: a cursor streams the batches of a binary COPY."""

    dialect = "postgresql"

    def __init__(self, endpoint: DatabaseEndpoint) -> None:
        import adbc_driver_manager
        import adbc_driver_postgresql.dbapi as adbc

        self._endpoint = endpoint
        self._error = adbc_driver_manager.Error
        dsn = endpoint.dsn.reveal() if isinstance(endpoint.dsn, Secret) else endpoint.dsn
        for name, value in {"connect_timeout": max(2, round(endpoint.timeout_seconds)), **_KEEP_ALIVE}.items():
            if name not in dsn:
                joint = " " if "://" not in dsn else "&" if "?" in dsn else "?"
                dsn += f"{joint}{name}={value}"
        options = {name: str(value) for name, value in reveal(endpoint.options).items()}
        try:
            self._connection = adbc.connect(dsn, db_kwargs=options)
        except self._error as error:
            raise _cannot_connect(endpoint, error) from None
        self._run("set transaction isolation level repeatable read, read only")
        # The text of dates and moments that the server casts itself.
        self._run("set local datestyle = 'ISO, YMD'")

    def _run(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(sql)
            except self._error as error:
                raise _trouble(self._endpoint, error, "beginning a transaction") from None

    def schema(self, sql: str) -> pa.Schema:
        with self._connection.cursor() as cursor:
            try:
                return cursor.adbc_execute_schema(sql)
            except self._error as error:
                raise _trouble(self._endpoint, error, "asking for the columns of a query") from None

    def expression(self, field: pa.Field) -> str:
        import pyarrow as pa

        name = f"q.{_quoted(field.name)}"
        kind = field.type
        own = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        if own == "money":
            return f"{name}::numeric as {_quoted(field.name)}"
        is_plain = (
            pa.types.is_integer(kind)
            or pa.types.is_boolean(kind)
            or pa.types.is_string(kind)
            or pa.types.is_temporal(kind)
            or _opaque(field) == "numeric"
        )
        if is_plain and not pa.types.is_interval(kind) and own != "oid":
            return name
        return f"{name}::text as {_quoted(field.name)}"

    def batches(self, sql: str, columns: Sequence[_Wanted]) -> Iterator[pa.RecordBatch]:
        import adbc_driver_postgresql as adbc
        import pyarrow as pa

        with self._connection.cursor() as cursor:
            try:
                cursor.adbc_statement.set_options(**{adbc.StatementOptions.BATCH_SIZE_HINT_BYTES.value: _BATCH_BYTES})
                cursor.execute(sql)
                yield from cursor.fetch_record_batch()
            except (self._error, pa.ArrowException, OSError) as error:
                raise _trouble(self._endpoint, error, "reading a query") from None

    def version(self) -> str:
        with self._connection.cursor() as cursor:
            cursor.execute("select current_setting('server_version')")
            row = cursor.fetchone()
        return f"PostgreSQL {str(row[0]).split()[0] if row else ''}".strip()

    def close(self) -> None:
        try:
            self._connection.rollback()
            self._connection.close()
        except (self._error, RuntimeError):
            _LOG.debug("%s: the connection was gone already", self._endpoint.name)


# Type of ODBC text columns without a length of their own.
_LONGEST_TEXT = 1 << 16


class _Odbc:
    """arrow-odbc: decimals and floats are fetched as the driver's text."""

    def __init__(self, endpoint: DatabaseEndpoint) -> None:
        try:
            import arrow_odbc
        except (ImportError, OSError):
            raise EndpointError(
                f"endpoint {endpoint.name}: the ODBC driver manager is missing; install unixodbc and the driver of the"
                " database"
            ) from None
        self._endpoint = endpoint
        self._error = arrow_odbc.Error
        dsn = endpoint.dsn.reveal() if isinstance(endpoint.dsn, Secret) else endpoint.dsn
        options = dict(reveal(endpoint.options))
        self.dialect = str(options.pop("dialect", "") or _dialect(dsn))
        self._longest_text = int(options.pop("max_text_size", _LONGEST_TEXT))
        try:
            self._connection = arrow_odbc.connect(
                dsn, login_timeout_sec=max(2, round(endpoint.timeout_seconds)), autocommit=False, **options
            )
        except self._error as error:
            raise _cannot_connect(endpoint, error) from None
        self._begin()

    def _begin(self) -> None:
        begin = {
            "oracle": "set transaction read only",
            "postgresql": "set transaction isolation level repeatable read, read only",
        }.get(self.dialect)
        if self.dialect == "sqlserver":
            # A database that does not allow the level says so only when the first table is read.
            allowed = "select snapshot_isolation_state as s from sys.databases where database_id = db_id()"
            states = [batch.column(0)[0].as_py() for batch in self.batches(allowed, ()) if batch.num_rows]
            if states == [1]:
                begin = "set transaction isolation level snapshot"
            else:
                _LOG.warning("%s: the database allows no snapshot isolation; read committed", self._endpoint.name)
        if begin is None:
            return
        try:
            self._connection.execute(begin)
        except self._error as error:
            raise _trouble(self._endpoint, error, "beginning a transaction") from None

    def schema(self, sql: str) -> pa.Schema:
        return self._reader(f"select * from ({sql}\n) q where 1 = 0", None).schema

    def expression(self, field: pa.Field) -> str:
        import pyarrow as pa

        name = f"q.{_quoted(field.name)}"
        is_number = pa.types.is_decimal(field.type) or pa.types.is_floating(field.type)
        if is_number and self.dialect == "oracle":
            return f"to_char({name}, 'TM9', 'NLS_NUMERIC_CHARACTERS=''. ''') as {_quoted(field.name)}"
        if is_number and self.dialect == "postgresql":
            return f"cast({name} as text) as {_quoted(field.name)}"
        return name

    def batches(self, sql: str, columns: Sequence[_Wanted]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        reader = self._reader(sql, columns)
        try:
            yield from reader
        except (self._error, pa.ArrowException, OSError) as error:
            if "without truncation" in str(error):
                raise EndpointError(
                    f"endpoint {self._endpoint.name}: a value is longer than the driver said or than"
                    f" {self._longest_text} characters; set max_text_size in options, or cast in the query"
                ) from None
            raise _trouble(self._endpoint, error, "reading a query") from None

    def _reader(self, sql: str, columns: Sequence[_Wanted] | None) -> Any:
        try:
            return self._connection.read_arrow_batches(
                sql,
                batch_size=self._endpoint.batch_rows,
                max_text_size=self._longest_text,
                max_binary_size=self._longest_text,
                map_schema=_decimals_as_text if columns is not None else None,
                max_bytes_per_batch=64 << 20,
            )
        except self._error as error:
            raise _trouble(self._endpoint, error, "asking for a query") from None

    def version(self) -> str:
        return {"sqlserver": "SQL Server", "oracle": "Oracle", "postgresql": "PostgreSQL"}.get(
            self.dialect, "ODBC"
        ) + " by ODBC"

    def close(self) -> None:
        try:
            self._connection.rollback()
        except self._error:
            _LOG.debug("%s: the connection was gone already", self._endpoint.name)
        del self._connection


def _decimals_as_text(schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        pa.field(field.name, pa.string(), field.nullable)
        if pa.types.is_decimal(field.type) or pa.types.is_floating(field.type)
        else field
        for field in schema
    )


def _dialect(dsn: str) -> str:
    """SQL dialect by the driver's name in a connection string; empty where it does not tell."""
    driver = re.search(r"driver\s*=\s*\{?([^};]+)", dsn, re.IGNORECASE)
    name = driver[1].casefold() if driver else ""
    for word, dialect in (
        ("sql server", "sqlserver"),
        ("freetds", "sqlserver"),
        ("oracle", "oracle"),
        ("postgres", "postgresql"),
        ("psqlodbc", "postgresql"),
    ):
        if word in name:
            return dialect
    return ""
