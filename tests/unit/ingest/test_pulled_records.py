"""What the record transports make of values, pages and bounds, without a server."""

import csv
import io
import json
import re
import zipfile
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import pairwise

import httpx
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract import Column, ColumnType, load_contracts
from ingest.transports import database, fhir_bulk, http_client, rest
from ingest.transports.database import Bounds, texts
from ingest.transports.delivery_writer import Part
from ingest.transports.endpoints import (
    Auth,
    DatabaseEndpoint,
    EndpointError,
    Query,
    Resource,
    RestEndpoint,
    Retry,
    load_endpoints,
)
from ingest.transports.http_client import Again, Number, parse_json, retry_after
from ingest.transports.rest import Answer, at_path, earlier, later, next_position, value_text
from ingest.transports.table_file import TableFile, text_frame

CONTRACTS = load_contracts()


def column(kind):
    return Column("C", ColumnType.parse(kind), kind)


def text_of(array, kind):
    batch = pa.RecordBatch.from_arrays([array], names=["c"])
    return texts(batch, [column(kind)])["C"].to_list()


# ------------------------------------------------------------------------------------------------ Arrow to text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**13), max_value=10**13)))
def test_a_decimal_keeps_every_digit(numbers):
    written = text_of(pa.array(numbers, pa.decimal128(18, 4)), "decimal(18,4)")
    assert [Decimal(each) for each in written] == numbers
    assert all(re.fullmatch(r"-?\d+\.\d{4}", each) for each in written)


@pytest.mark.parametrize(
    ("value", "kind", "type_of_contract", "written"),
    [
        (
            datetime(2026, 1, 2, 3, 4, 5, 678901),
            pa.timestamp("us"),
            "datetime(yyyy-MM-dd HH:mm:ss, America/Chicago)",
            "2026-01-02 03:04:05",
        ),
        (
            datetime(2026, 1, 2, 3, 4, 5, 678901),
            pa.timestamp("us"),
            "datetime(yyyy-MM-dd HH:mm:ss.SSSSSS, UTC)",
            "2026-01-02 03:04:05.678901",
        ),
        (
            datetime(2026, 7, 2, 3, 4, 5, tzinfo=UTC),
            pa.timestamp("us", "UTC"),
            "datetime(yyyy-MM-dd HH:mm:ss, America/Chicago)",
            "2026-07-01 22:04:05",
        ),
        (
            datetime(2026, 7, 2, 3, 4, 5, tzinfo=UTC),
            pa.timestamp("us", "UTC"),
            "datetime(yyyyMMddHHmmss, UTC)",
            "20260702030405",
        ),
        (
            datetime(2026, 7, 2, 3, 4, 5, tzinfo=UTC),
            pa.timestamp("us", "UTC"),
            "datetime(ISO 8601 with offset, as sent)",
            "2026-07-02T03:04:05.000000+00:00",
        ),
        (datetime(2026, 1, 2), pa.timestamp("ns"), "date(yyyyMMdd)", "20260102"),
        (date(2026, 1, 2), pa.date32(), "date(yyMMdd)", "260102"),
        (date(2026, 1, 2), pa.date32(), "datetime(yyyy-MM-dd HH:mm:ss, America/Chicago)", "2026-01-02 00:00:00"),
        (date(1, 1, 1), pa.date32(), "date(yyyy-MM-dd)", "0001-01-01"),
        (date(9999, 12, 31), pa.date32(), "date(yyyy-MM-dd)", "9999-12-31"),
        (time(7, 5), pa.time64("us"), "time(HHmm)", "0705"),
        (True, pa.bool_(), "boolean(Y/N)", "Y"),
        (False, pa.bool_(), "boolean(true/false)", "false"),
        (True, pa.bool_(), "integer", "1"),
        (20260102, pa.int32(), "date(yyyyMMdd)", "20260102"),
        (".5000", pa.string(), "decimal(18,4)", "0.5000"),
        ("-.5", pa.string(), "decimal(18,4)", "-0.5"),
        ("  0012 ", pa.string(), "string", "  0012 "),
    ],
)
def test_values_get_the_layout_of_the_contract(value, kind, type_of_contract, written):
    assert text_of(pa.array([value, None], kind), type_of_contract) == [written, None]


def test_a_date_that_no_calendar_has_is_no_date_and_stops_nothing():
    endless = pa.array([2**63 - 1, -(2**63), 0], pa.int64()).cast(pa.timestamp("us"))
    assert text_of(endless, "datetime(yyyy-MM-dd HH:mm:ss, UTC)") == ["infinity", "infinity", "1970-01-01 00:00:00"]


@pytest.mark.parametrize(
    ("kind", "type_of_contract"),
    [
        (pa.timestamp("us", "UTC"), "datetime(yyyy-MM-dd HH:mm:ss, site local)"),
        (pa.timestamp("us", "UTC"), "date(yyyy-MM-dd)"),
        (pa.time64("us"), "date(yyyy-MM-dd)"),
        (pa.binary(), "string"),
        (pa.list_(pa.int32()), "string"),
    ],
)
def test_what_could_only_be_guessed_is_refused(kind, type_of_contract):
    with pytest.raises(EndpointError):
        database._judge("here", database._Wanted(column(type_of_contract), pa.field("c", kind)))


# ------------------------------------------------------------------------------------------------ bounds in SQL


class Recorded:
    """Stands for a connection: the columns of a statement, and the statements asked for."""

    def __init__(self, dialect, schema, largest=()):
        self.dialect, self._schema, self.largest, self.asked = dialect, schema, largest, []

    def schema(self, sql):
        return self._schema

    def expression(self, field):
        return f'q."{field.name}"'

    def batches(self, sql, columns):
        self.asked.append(sql)
        yield from self.largest


def reading(dialect, cursor_type, sql="CASES", overlap=0.0, **query):
    extract = CONTRACTS["ehr"].extracts["OR_CASE"]
    fields = [pa.field(name, pa.string()) for name in extract.must_have if name != "UPDATE_DATE"]
    schema = pa.schema([*fields, pa.field("UPDATE_DATE", cursor_type)])
    asked = Query("OR_CASE", sql, cursor="update_date", overlap_seconds=overlap, **query)
    endpoint = DatabaseEndpoint(name="e", system="ehr", driver="odbc", dsn="x", queries=(asked,))
    return database._Reading(endpoint, Recorded(dialect, schema), asked, extract)


@pytest.mark.parametrize(
    ("dialect", "kind", "bound", "literal"),
    [
        ("postgresql", pa.timestamp("us"), "2026-01-02 03:04:05.678901", "timestamp '2026-01-02 03:04:05.678901'"),
        ("oracle", pa.timestamp("us"), "2026-01-02 03:04:05", "timestamp '2026-01-02 03:04:05'"),
        ("sqlserver", pa.timestamp("us"), "2026-01-02 03:04:05", "cast('2026-01-02 03:04:05' as datetime2)"),
        (
            "sqlserver",
            pa.timestamp("us", "UTC"),
            "2026-01-02 03:04:05 +00:00",
            "cast('2026-01-02 03:04:05 +00:00' as datetimeoffset)",
        ),
        (
            "oracle",
            pa.timestamp("us", "UTC"),
            "2026-01-02 03:04:05 +00:00",
            "to_timestamp_tz('2026-01-02 03:04:05 +00:00', 'YYYY-MM-DD HH24:MI:SS.FF TZH:TZM')",
        ),
        (
            "postgresql",
            pa.timestamp("us", "UTC"),
            "2026-01-02 03:04:05 +00:00",
            "timestamp with time zone '2026-01-02 03:04:05 +00:00'",
        ),
        ("oracle", pa.date32(), "2026-01-02", "date '2026-01-02'"),
        ("sqlserver", pa.date32(), "2026-01-02", "cast('2026-01-02' as date)"),
        ("sqlserver", pa.int64(), "42", "42"),
        ("oracle", pa.string(), "it's", "'it''s'"),
    ],
)
def test_a_bound_is_a_literal_of_the_dialect(dialect, kind, bound, literal):
    statement = reading(dialect, kind).statement(Bounds(bound, bound))
    assert f'(q."UPDATE_DATE" >= {literal} and q."UPDATE_DATE" <= {literal}) or q."UPDATE_DATE" is null' in statement
    assert statement.endswith('order by q."OR_CASE_ID", q."UPDATE_DATE"')


@pytest.mark.parametrize("bound", ["2026-01-02'; drop table x; --", "yesterday", "", "1 or 1 = 1"])
@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.date32(), pa.int64()])
def test_a_bound_that_is_none_never_reaches_the_database(kind, bound):
    with pytest.raises(EndpointError, match="the cursor's bound is no"):
        reading("postgresql", kind).statement(Bounds(bound, None))


def test_sql_that_names_the_bounds_keeps_its_casts_and_gets_open_ends_at_first():
    asked = reading(
        "postgresql", pa.timestamp("us"), "select *, a::since from t where u > :since::timestamp and u <= :until"
    )
    statement = asked.statement(Bounds(None, "2026-01-02 00:00:00"))
    assert "a::since" in statement
    assert "u > timestamp '0001-01-01 00:00:00'::timestamp and u <= timestamp '2026-01-02 00:00:00'" in statement
    assert "is null" not in statement


def test_the_upper_bound_is_the_largest_value_rounded_up_to_what_a_bound_can_say():
    asked = reading("sqlserver", pa.timestamp("ns"), overlap=3600.0)
    nanoseconds = pa.array([1_767_323_045_678_901_300], pa.int64()).cast(pa.timestamp("ns"))
    asked._source.largest = [pa.RecordBatch.from_arrays([nanoseconds], names=["u"])]
    assert asked.bounds("2026-01-02 01:00:00.000000") == {
        "since": "2026-01-02 00:00:00.000000",
        "until": "2026-01-02 03:04:05.678902",
    }


@pytest.mark.parametrize(
    ("reached", "kind", "contract_type", "begins"),
    [
        ("2026-03-01 00:30:00.000001", "timestamp", None, "2026-02-28 23:30:00.000001"),
        ("2026-03-01 00:30:00.000001 +00:00", "moment", None, "2026-02-28 23:30:00.000001 +00:00"),
        ("20260301", "number", "date(yyyyMMdd)", "20260228"),
        ("20260301003000", "text", "datetime(yyyyMMddHHmmss, UTC)", "20260228233000"),
        ("10000", "number", None, "6400"),
    ],
)
def test_an_overlap_is_counted_in_the_cursors_own_form(reached, kind, contract_type, begins):
    of_contract = column(contract_type) if contract_type else None
    assert database._earlier("here", reached, kind, 3600.0, of_contract) == begins


def test_an_overlap_of_a_day_goes_back_a_day_on_a_date():
    assert database._earlier("here", "2026-03-01", "date", 86400.0, None) == "2026-02-28"


@pytest.mark.parametrize(
    ("dsn", "dialect"),
    [
        ("Driver={ODBC Driver 18 for SQL Server};Server=x", "sqlserver"),
        ("DRIVER=FreeTDS;Server=x", "sqlserver"),
        ("Driver={Oracle 21 ODBC driver};Dbq=x", "oracle"),
        ("Driver=psqlodbcw.so;Server=x", "postgresql"),
        ("DSN=clarity;Uid=x", ""),
    ],
)
def test_the_dialect_follows_the_driver(dsn, dialect):
    assert database._dialect(dsn) == dialect


# ------------------------------------------------------------------------------------------------ the file


def table_bytes(tmp_path, feed, columns, frames):
    system, _, name = feed.partition(".")
    extract = CONTRACTS[system].extracts[name]
    remarks = []
    part = Part(tmp_path / "file.part", "sha256")
    with TableFile(part, extract, columns, remarks) as file:
        for frame in frames:
            file.write(text_frame(frame))
    part.close()
    return part.path.read_bytes(), part, remarks


FREE_TEXT = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(FREE_TEXT, FREE_TEXT), max_size=5))
def test_every_text_comes_back_from_the_quoted_file(tmp_path_factory, rows):
    columns = {"OR_CASE_ID": [one for one, _ in rows], "OR_ID": [other for _, other in rows]}
    filler = {name: ["x"] * len(rows) for name in CONTRACTS["ehr"].extracts["OR_CASE"].must_have[1:]}
    folder = tmp_path_factory.mktemp("file")
    written, part, _ = table_bytes(folder, "ehr.OR_CASE", [*columns, *filler], [columns | filler])
    back = list(csv.reader(io.StringIO(written.decode(), newline="")))
    assert [row[:2] for row in back[1:]] == [[one or "", other or ""] for one, other in rows]
    assert part.rows == len(rows)


def test_a_file_without_quotes_escapes_its_delimiter_and_tells_of_line_breaks(tmp_path):
    if "mmis" not in CONTRACTS:
        pytest.skip("no contract of an unquoted file")
    extract = CONTRACTS["mmis"].extracts["ITEM"]
    names = [*extract.must_have, "DESCR", "DESCR1", "CTLG_NO"]
    row = {name: ["1"] for name in extract.must_have}
    values = {"DESCR": ["a|b"], "DESCR1": ["two\r\nlines"], "CTLG_NO": ["back\\"]}
    written, _, remarks = table_bytes(tmp_path, "mmis.ITEM", names, [row | values])
    assert written.decode("cp1252").splitlines()[1].endswith(r"a\|b|two lines|back\ ")
    assert remarks == ["mmis.ITEM: line breaks in 1 values became blanks"]


def test_a_character_without_a_form_in_the_contracts_encoding_is_told(tmp_path):
    extract = CONTRACTS["erp_lawson"].extracts["ICMANFCODE"]
    columns = {name: ["é → “x” ?"] for name in extract.must_have}
    written, _, remarks = table_bytes(tmp_path, "erp_lawson.ICMANFCODE", [*columns], [columns])
    assert "é ? “x” ?" in written.decode("cp1252")
    assert remarks == ["erp_lawson.ICMANFCODE: 2 characters have no form in cp1252 and became question marks"]


def test_a_control_total_is_an_exact_sum(tmp_path):
    extract = CONTRACTS["pou"].extracts["onhand"]
    row = {name: ["x", "x", "x"] for name in extract.must_have}
    frames = [row | {"qty_each": ["0.1", "0.2", None]}, row | {"qty_each": ["90071992547409.93", "-0.05", "x"]}]
    _, part, _ = table_bytes(tmp_path, "pou.onhand", [*row], frames)
    assert (part.rows, part.total) == (6, "90071992547410.18")


def test_a_zip_holds_one_part_with_a_fixed_time(tmp_path):
    extract = CONTRACTS["erp_fusion"].extracts["INV_ORGS"]
    columns = {name: ["1"] for name in extract.must_have}
    written, _, _ = table_bytes(tmp_path, "erp_fusion.INV_ORGS", [*columns], [columns, columns])
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.date_time) == ("INV_ORGS_1.csv", (1980, 1, 1, 0, 0, 0))
        assert archive.read(entry).count(b"\n") == 3


def test_a_column_that_has_to_be_there_is_missed_before_a_byte_is_written(tmp_path):
    with pytest.raises(EndpointError, match="gives no OR_CASE_ID"):
        table_bytes(tmp_path, "ehr.OR_CASE", ["OR_ID"], [])
    assert (tmp_path / "file.part").read_bytes() == b""


# ------------------------------------------------------------------------------------------------ JSON records


@settings(max_examples=100, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers())
def test_json_numbers_keep_their_digits(number, whole):
    decimal, integer = (
        parse_json(f"[{number}, {whole}]".encode()) if "E" not in str(number) else (Number(str(number)), Number(whole))
    )
    assert Decimal(value_text(decimal, column("decimal(18,4)"))) == number
    assert "E" not in value_text(decimal, column("decimal(18,4)")).upper()
    assert value_text(integer, column("integer")) == str(whole)


@pytest.mark.parametrize(
    ("value", "kind", "written"),
    [
        (None, "string", None),
        (True, "boolean(Y/N)", "Y"),
        (False, "boolean(true/false)", "false"),
        ("2026-07-02T03:04:05Z", "datetime(yyyy-MM-dd HH:mm:ss, America/Chicago)", "2026-07-01 22:04:05"),
        ("2026-07-02T03:04:05.123456-05:00", "datetime(yyyy-MM-dd HH:mm:ss.SSSSSS, UTC)", "2026-07-02 08:04:05.123456"),
        ("2026-07-02T03:04:05", "datetime(yyyy-MM-dd HH:mm:ss, America/Chicago)", "2026-07-02 03:04:05"),
        ("2026-07-02T03:04:05Z", "datetime(yyyy-MM-dd HH:mm:ss, site local)", "2026-07-02T03:04:05Z"),
        ("2026-07-02T03:04:05Z", "datetime(ISO 8601 with offset, as sent)", "2026-07-02T03:04:05Z"),
        ("2026-07-02", "date(yyyyMMdd)", "20260702"),
        ("20260702", "date(yyyyMMdd)", "20260702"),
        ("soon", "date(yyyyMMdd)", "soon"),
        ({"a": [Number("1.10"), None, "é"]}, "json", '{"a":[1.10,null,"é"]}'),
    ],
)
def test_json_values_get_the_text_of_the_contract(value, kind, written):
    assert value_text(value, column(kind)) == written


def test_a_path_goes_through_objects_and_lists():
    record = {"a": {"b": [{"c": "x"}]}, "n": None}
    assert at_path(record, "a.b.0.c") == "x"
    assert at_path(record, "a.b.1.c") is None
    assert at_path(record, "n.c") is None
    assert at_path(record, "") == record


@pytest.mark.parametrize(
    ("paging", "position", "answer", "following"),
    [
        ({}, {}, Answer([1]), None),
        ({"style": "next_link"}, {}, Answer([], {"next": "/p?x=2"}), {"url": "/p?x=2"}),
        ({"style": "next_link"}, {}, Answer([1], {"next": {"href": "/2"}}), {"url": "/2"}),
        ({"style": "next_link"}, {}, Answer([1], {"next": None}), None),
        (
            {"style": "next_link", "next": "link"},
            {},
            Answer([1], {"link": [{"relation": "self", "url": "/1"}, {"relation": "next", "url": "/2"}]}),
            {"url": "/2"},
        ),
        ({"style": "next_link", "next": "link"}, {}, Answer([1], {"link": [{"relation": "self", "url": "/1"}]}), None),
        ({"style": "link_header"}, {}, Answer([1], links={"next": {"url": "/2"}}), {"url": "/2"}),
        ({"style": "link_header"}, {}, Answer([1], links={}), None),
        ({"style": "token", "next": "meta.next"}, {}, Answer([1], {"meta": {"next": "abc"}}), {"token": "abc"}),
        ({"style": "token"}, {"token": "a"}, Answer([1], {"next_token": ""}), None),
        ({"style": "offset"}, {}, Answer([1, 2]), {"offset": 2}),
        ({"style": "offset"}, {"offset": 2}, Answer([]), None),
        ({"style": "offset", "total": "n"}, {"offset": 2}, Answer([3], {"n": Number("3")}), None),
        ({"style": "page"}, {}, Answer([1]), {"page": 2}),
        ({"style": "page", "first": 0}, {}, Answer([1]), {"page": 1}),
        ({"style": "page", "total": "n"}, {"page": 2}, Answer([1], {"n": Number("2")}), None),
        ({"style": "page", "first": 0, "total": "n"}, {"page": 1}, Answer([1], {"n": Number("2")}), None),
    ],
)
def test_the_next_page_follows_the_style_of_paging(paging, position, answer, following):
    assert next_position(paging, position, answer) == following


def rest_endpoint(**resource):
    asked = Resource("onhand", **{"path": "items", **resource})
    return RestEndpoint(name="e", system="pou", url="https://h.example/api/v1", resources=(asked,)), asked


def test_a_request_joins_the_path_the_parameters_and_the_bounds():
    endpoint, asked = rest_endpoint(
        params={"site": "MAI"}, since_param="from", until_param="to", paging={"style": "offset", "size": 10}
    )
    assert rest.request_of(endpoint, asked, {"offset": 20}, "a", "b") == (
        "https://h.example/api/v1/items",
        {"site": "MAI", "from": "a", "to": "b", "offset": 20, "limit": 10},
    )
    assert rest.request_of(endpoint, asked, {"url": "?page=2"}, "a", "b") == (
        "https://h.example/api/v1/items?page=2",
        {},
    )


@pytest.mark.parametrize(
    ("one", "other", "last"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00+01:00", "2026-01-01T00:00:00Z"),
        ("2026-01-01", "2026-01-01T00:00:01", "2026-01-01T00:00:01"),
        ("9", "10", "10"),
        ("b", "a", "b"),
    ],
)
def test_the_later_of_two_cursor_values(one, other, last):
    assert later(one, other) == later(other, one) == last


@pytest.mark.parametrize(
    ("value", "before"),
    [
        ("2026-03-01T00:30:00Z", "2026-02-28T23:30:00Z"),
        ("2026-03-01T00:30:00.123Z", "2026-02-28T23:30:00.123Z"),
        ("2026-03-01 00:30:00.123456", "2026-02-28 23:30:00.123456"),
        ("2026-03-01T00:30:00-06:00", "2026-02-28T23:30:00-06:00"),
        ("4000", "400"),
    ],
)
def test_an_overlap_keeps_the_form_of_the_cursor(value, before):
    assert earlier(value, 3600) == before


def test_an_overlap_of_text_is_refused():
    with pytest.raises(EndpointError, match="an overlap needs"):
        earlier("ABC", 60)


@pytest.mark.parametrize(
    "body",
    [b"", b'{"items": [1, 2', b'{"a": 1} trailing', b"\xff\xfe", b"[" * 100_000],
    ids=lambda body: repr(body[:12]),
)
def test_json_that_is_not_whole_is_asked_for_again(body):
    with pytest.raises(Again):
        parse_json(body)


def test_csv_that_ends_in_the_middle_of_a_row_is_asked_for_again():
    assert rest._csv_records(b"a,b\r\n1,2\r\n") == [{"a": "1", "b": "2"}]
    assert rest._csv_records(b"\xef\xbb\xbfa,b\n") == []
    for body in (b"a,b\n1,2\n3", b'a,b\n1,"2'):
        with pytest.raises(Again):
            rest._csv_records(body)


# ------------------------------------------------------------------------------------------------ HTTP


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "5"}, 5.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Jan 2026 10:00:30 GMT", "Date": "Wed, 21 Jan 2026 10:00:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Jan 2026 09:00:00 GMT", "Date": "Wed, 21 Jan 2026 10:00:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Jan 2026 10:00:30 GMT"}, None),
    ],
)
def test_a_wait_that_the_server_asks_for(headers, seconds):
    assert retry_after(httpx.Response(429, headers=headers)) == seconds


def test_waits_double_up_to_the_longest_and_differ_by_chance():
    endpoint = RestEndpoint(
        name="e", system="pou", url="https://h.example", resources=(), auth=Auth(), retry=Retry(9, 1.0, 10.0)
    )
    with http_client.Client(endpoint, http_client.Clock(jitter=lambda low, high: high)) as client:
        assert [client.backoff(count) for count in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    with http_client.Client(endpoint, http_client.Clock()) as client:
        waits = {client.backoff(4) for _ in range(20)}
    assert len(waits) > 1
    assert all(4.0 <= wait <= 8.0 for wait in waits)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h.example/api/v1/Patient/12345?name=DOE", "at h.example/api/v1/Patient/*"),
        ("https://user:pw@h.example:8443/R4/$export", "at h.example/R4/$export"),
    ],
)
def test_a_place_in_a_message_bears_no_identifier(url, shown):
    assert http_client._place(url) == shown


def test_a_secret_of_the_file_reaches_the_request_and_no_message(tmp_path):
    path = tmp_path / "endpoints.yaml"
    path.write_text(
        "endpoints:\n  e:\n    system: pou\n    kind: rest\n    url: https://h.example\n"
        "    headers: {x-api-key: '${env:KEY}'}\n    resources: {onhand: {path: p, params: {key: '${env:KEY}'}}}\n"
    )
    (endpoint,) = load_endpoints(path, {"KEY": "K3Y-word"})
    assert rest.request_of(endpoint, endpoint.resources[0], {}, None, None)[1] == {"key": "K3Y-word"}
    assert "K3Y-word" not in repr(endpoint)


# ------------------------------------------------------------------------------------------------ FHIR bulk


def test_files_of_an_export_are_numbered_by_type_in_the_manifests_order():
    says = {
        "transactionTime": "2026-01-21T10:00:00Z",
        "requiresAccessToken": True,
        "request": "https://h.example/$export?patient=1",
        "output": [
            {"type": "Device", "url": "https://f.example/1", "count": 3},
            {"type": "OperationOutcome", "url": "https://f.example/2"},
            {"type": "Device", "url": "https://f.example/3"},
            {"type": "Encounter", "url": 4},
            "nonsense",
        ],
        "deleted": [{"type": "Bundle", "url": "https://f.example/5"}],
        "error": [{"type": "OperationOutcome", "url": "https://f.example/6?who=1", "count": 2}],
    }
    files = fhir_bulk.exported_files(says, ["Device", "Encounter"])
    assert [(each.name, each.count, each.is_deletion) for each in files] == [
        ("Device.1.ndjson.gz", 3, False),
        ("Device.2.ndjson.gz", None, False),
        ("Bundle.1.ndjson.gz", None, True),
    ]
    manifest = json.loads(fhir_bulk.manifest_of(says, files))
    assert manifest == {
        "transactionTime": "2026-01-21T10:00:00Z",
        "requiresAccessToken": True,
        "output": [
            {"type": "Device", "url": "Device.1.ndjson.gz", "count": 3},
            {"type": "Device", "url": "Device.2.ndjson.gz"},
        ],
        "deleted": [{"type": "Bundle", "url": "Bundle.1.ndjson.gz"}],
        "error": [{"type": "OperationOutcome", "count": 2}],
    }


def test_issues_are_told_by_codes_alone():
    outcome = {
        "issue": [
            {"severity": "error", "code": "not-found", "details": {"text": "JANE DOE"}},
            {"severity": "error", "code": "JANE DOE"},
            "x",
        ]
    }
    assert fhir_bulk.issues_of(outcome) == ["error/not-found", "an issue without a code"]
    assert fhir_bulk.issues_of(None) == []


@pytest.mark.parametrize(
    ("url", "says", "goes"),
    [
        ("https://h.example/f", {"requiresAccessToken": True}, True),
        ("https://h.example/f", {"requiresAccessToken": False}, False),
        ("https://h.example/f", {}, True),
        ("https://files.example/f", {"requiresAccessToken": True}, True),
        ("https://files.example/f", {}, False),
        ("http://files.example/f", {"requiresAccessToken": True}, False),
        ("http://h.example/f", {"requiresAccessToken": True}, False),
    ],
)
def test_a_token_goes_where_the_manifest_says_and_never_unencrypted_to_another_host(url, says, goes):
    assert fhir_bulk._needs_token("https://h.example/R4", url, says) is goes


def blocks(*parts):
    return fhir_bulk.plain_blocks(httpx.Response(200, stream=httpx.ByteStream(b"".join(parts))))


def test_a_compressed_file_is_unpacked_however_many_members_it_has():
    import gzip

    members = [gzip.compress(f"line {number}\n".encode()) for number in range(3)]
    assert b"".join(blocks(*members)) == b"line 0\nline 1\nline 2\n"
    assert b"".join(blocks(b"plain\n")) == b"plain\n"
    for whole, cut in pairwise([*range(len(members[0]) - 1, 3, -5)]):
        assert whole > cut
        with pytest.raises(Again):
            list(blocks(members[0][:cut]))


def test_the_frame_helper_keeps_nulls():
    frame = text_frame({"a": ["1", None], "b": [None, None]})
    assert frame.dtypes == [pl.String, pl.String]
    assert frame.null_count().row(0) == (1, 2)
