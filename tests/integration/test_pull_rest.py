"""REST pulls against a server on loopback that pages, throttles, fails, cuts connections and lets tokens expire."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ingest.batches import BatchLedger
from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.run import ingest
from ingest.transports import rest
from ingest.transports.delivery_writer import DeliveryWriter, PullState
from ingest.transports.endpoints import EndpointError, load_endpoints
from ingest.transports.http_client import Clock
from tests.integration.record_servers import Reply, RestServer, Tokens, running

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = load_contracts()
FIRST = AsOf.parse("2026-01-21T23:59")
SECOND = AsOf.parse("2026-01-22T23:59")
ENVIRONMENT = {"THE_SECRET": "S3CRET-word", "THE_KEY": "K3Y-word"}
FILE = "pou/20260121/onhand_20260121_2330.csv"
NEXT_DAY = "pou/20260122/onhand_20260122_2330.csv"


def record(number, **values):
    return {
        "snapshot_date": "2026-01-21",
        "site": "MAI",
        "location_code": f"L{number % 7}",
        "item_no": f"{number:06}",
        "owner_type": "OWNED",
        "qty_each": number,
        "changed": f"2026-01-20T{number // 60 % 24:02}:{number % 60:02}:00Z",
        **values,
    }


@pytest.fixture
def server():
    with running(RestServer([record(number) for number in range(250)])) as server:
        yield server


RESOURCE = {"path": "offset", "records": "items", "paging": {"style": "offset", "size": 100}}


class Site:
    """A landing directory and a home, and the pull between an interface and them."""

    def __init__(self, folder, url, resource=RESOURCE, **fields):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.landing, self.home = folder, folder / "landing", folder / "home"
        spec = {"system": "pou", "kind": "rest", "url": url, "slot": "2330", "resources": {"onhand": resource}}
        path = folder / "endpoints.yaml"
        path.write_text(yaml.safe_dump({"endpoints": {"under_test": spec | fields}}))
        self.endpoint = load_endpoints(path, ENVIRONMENT)[0]
        self.now = 0.0
        self.slept = []

    @property
    def clock(self):
        def sleep(seconds):
            self.slept.append(seconds)
            self.now += seconds

        return Clock(sleep, lambda: self.now, lambda: 1.7e9 + self.now, lambda low, high: high)

    def pull(self, as_of=FIRST):
        with PullState(self.home) as state:
            writer = DeliveryWriter(self.landing, CONTRACTS["pou"], self.endpoint, state)
            rest.pull(self.endpoint, writer, as_of, lambda *_: None, clock=self.clock)

    def probe(self):
        return rest.probe(self.endpoint, CONTRACTS["pou"], clock=self.clock)

    def rows(self, path=FILE):
        with (self.landing / path).open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    def items(self, path=FILE):
        return [row["item_no"] for row in self.rows(path)]

    def files(self):
        return {
            str(path.relative_to(self.landing)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.landing.rglob("*"))
            if path.is_file()
        }


EVERY_ITEM = [f"{number:06}" for number in range(250)]


@pytest.mark.parametrize(
    ("resource", "requests"),
    [
        ({"path": "next", "records": "data.items", "paging": {"style": "next_link", "next": "links.next"}}, 3),
        ({"path": "link", "paging": {"style": "link_header"}}, 3),
        ({"path": "token", "records": "items", "paging": {"style": "token", "param": "after"}}, 3),
        ({"path": "offset", "records": "items", "paging": {"style": "offset", "size": 100}}, 4),
        ({"path": "offset", "records": "items", "paging": {"style": "offset", "size": 100, "total": "count"}}, 3),
        ({"path": "page", "records": "items", "paging": {"style": "page", "size_param": "limit", "size": 50}}, 6),
        (
            {
                "path": "page",
                "records": "items",
                "paging": {"style": "page", "size_param": "limit", "size": 50, "total": "pages"},
            },
            5,
        ),
        ({"path": "ndjson", "params": {"limit": 1000}}, 1),
        ({"path": "csv", "params": {"limit": 1000}}, 1),
    ],
    ids=lambda value: str(value.get("paging", {}).get("style", value["path"])) if isinstance(value, dict) else None,
)
def test_every_style_of_paging_gives_every_record_once(server, tmp_path, resource, requests):
    site = Site(tmp_path, server.url, resource)
    site.pull()
    assert site.items() == EVERY_ITEM
    assert len(server.asked) == requests
    control = (site.landing / FILE).with_suffix(".ctl").read_text()
    assert control == f"rows=250;sum_qty={sum(range(250))}\n"


def test_numbers_keep_their_digits_and_moments_become_the_wall_clock_of_the_contract(tmp_path):
    class Exact(RestServer):
        def route(self, asked):
            body = (
                b'{"items": [{"snapshot_date": "2026-01-21", "site": "MAI", "location_code": "L", "item_no": 7,'
                b' "owner_type": "OWNED", "qty_each": 90071992547409.9301, "unit_cost": 1.10000,'
                b' "par": {"each": 1E+3}, "lot": "a,\\"b\\"", "serial": null, "expiry_date": true,'
                b' "last_counted_at": "2026-07-01T12:00:00.5Z", "patient": "JANE DOE"}]}'
            )
            return Reply(200, body, {"Content-Type": "application/json"})

    with running(Exact([])) as server:
        resource = {"path": "x", "records": "items", "columns": {"par_each": "par.each"}}
        site = Site(tmp_path, server.url, resource)
        site.pull()
        (row,) = site.rows()
    assert (row["qty_each"], row["unit_cost"], row["par_each"]) == ("90071992547409.9301", "1.10000", "1000")
    assert (row["item_no"], row["lot"], row["serial"], row["expiry_date"]) == ("7", 'a,"b"', "", "true")
    assert row["last_counted_at"] == "2026-07-01 07:00:00"
    assert not any(b"JANE DOE" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_server_that_throttles_is_given_the_time_it_asks_for(server, tmp_path):
    date = {"Date": "Wed, 21 Jan 2026 10:00:00 GMT", "Retry-After": "Wed, 21 Jan 2026 10:00:30 GMT"}
    server.fault("/offset", *[Reply(429, b"", {"Retry-After": "3"})] * 8, Reply(503, b"", date))
    site = Site(tmp_path, server.url)
    site.pull()
    assert site.items() == EVERY_ITEM
    assert site.slept == [3.0] * 8 + [30.0]


def test_failures_and_broken_bodies_are_asked_for_again_with_growing_waits(server, tmp_path):
    whole = Reply.json({"items": [record(1)]})
    torn = Reply(200, whole.body[:40], {"Content-Type": "application/json"})
    server.fault("/offset", Reply(500), Reply(drop=True), Reply(200, whole.body, whole.headers, cut=True), torn)
    site = Site(tmp_path, server.url)
    site.pull()
    assert site.items() == EVERY_ITEM
    assert site.slept == [1.0, 2.0, 4.0, 8.0]


def test_a_server_that_stays_broken_fails_the_pull_and_the_next_one_goes_on(server, tmp_path):
    site = Site(tmp_path, server.url, retry={"attempts": 3, "first_wait_seconds": 1})
    server.fault("/offset", Reply.json({"items": server.records[:100]}), *[Reply(500, b"JANE DOE")] * 3)
    with pytest.raises(EndpointError) as raised:
        site.pull()
    assert "answers 500 at 127.0.0.1/offset, 3 times" in str(raised.value)
    assert "JANE" not in str(raised.value)
    assert not list(site.landing.rglob("*.ctl"))
    before = len(server.asked)
    site.pull()
    assert site.items() == EVERY_ITEM
    assert [asked.params["offset"] for asked in server.asked[before:]] == ["100", "200", "250"]


def test_requests_keep_the_configured_pace(server, tmp_path):
    site = Site(tmp_path, server.url, requests_per_second=0.5)
    site.pull()
    assert site.slept == [2.0, 2.0, 2.0]


OAUTH = {"client_id": "suture", "client_secret": "${env:THE_SECRET}", "scope": "inventory.read"}


def test_a_token_is_fetched_once_and_again_when_the_server_lets_it_expire(server, tmp_path):
    server.tokens = Tokens(lives=2)
    site = Site(tmp_path, server.url, auth={"token_url": f"{server.url}/oauth/token", **OAUTH})
    site.pull()
    assert site.items() == EVERY_ITEM
    assert server.tokens.issued == 2
    assert server.asked[0].form == {"grant_type": "client_credentials", "scope": "inventory.read"}


def test_a_token_is_renewed_before_it_expires(server, tmp_path):
    server.tokens = Tokens(expires_in=60)
    site = Site(
        tmp_path, server.url, auth={"token_url": f"{server.url}/oauth/token", **OAUTH}, requests_per_second=1 / 31
    )
    site.pull()
    assert server.tokens.issued == 4
    assert not [asked for asked in server.asked if asked.headers.get("Authorization") == "Bearer T0"]


def test_a_server_that_takes_the_client_in_the_body_alone_is_understood(server, tmp_path):
    server.tokens = Tokens(in_body=True)
    site = Site(tmp_path, server.url, auth={"token_url": f"{server.url}/oauth/token", **OAUTH})
    site.pull()
    assert site.items() == EVERY_ITEM


def test_wrong_credentials_are_told_without_them(server, tmp_path):
    server.tokens = Tokens(secret="another")
    site = Site(tmp_path, server.url, auth={"token_url": f"{server.url}/oauth/token", **OAUTH})
    for ask in (site.pull, site.probe):
        with pytest.raises(EndpointError, match="401 invalid_client; check client_id") as raised:
            ask()
        assert "S3CRET" not in str(raised.value)
    assert site.slept == []


def test_a_token_does_not_follow_a_link_to_another_host(server, tmp_path):
    with running(RestServer([record(1)])) as elsewhere:
        page = {"data": {"items": server.records}, "links": {"next": f"{elsewhere.url}/next"}}
        server.fault("/next", Reply.json(page))
        resource = {"path": "next", "records": "data.items", "paging": {"style": "next_link", "next": "links.next"}}
        site = Site(tmp_path, server.url, resource, auth={"token": "${env:THE_KEY}"})
        site.pull()
        assert server.asked[0].headers["Authorization"] == "Bearer K3Y-word"
        assert "Authorization" not in elsewhere.asked[0].headers


CURSOR = {
    **RESOURCE,
    "cursor": "last_counted_at",
    "columns": {"last_counted_at": "changed"},
    "since_param": "changed_from",
    "until_param": "changed_to",
}


def test_a_cursor_moves_to_the_largest_value_that_came_less_the_overlap(server, tmp_path):
    site = Site(tmp_path, server.url, {**CURSOR, "overlap_seconds": 600})
    site.pull()
    server.records.append(record(900, changed="2026-01-21T09:00:00Z"))
    site.pull(SECOND)
    assert "changed_from" not in server.asked[0].params
    assert server.asked[0].params["changed_to"] == "2026-01-22T05:59:00Z"
    assert server.asked[-1].params["changed_from"] == "2026-01-20T03:59:00Z"
    assert site.items(NEXT_DAY) == [f"{number:06}" for number in (*range(239, 250), 900)]


def test_no_log_bears_a_url_with_its_parameters(server, tmp_path, caplog):
    caplog.set_level("INFO")
    resource = {**RESOURCE, "params": {"patient": "12345", "key": "${env:THE_KEY}"}}
    server.fault("/offset", Reply(500))
    Site(tmp_path, server.url, resource).pull()
    assert server.asked[0].params["patient"] == "12345"
    assert "12345" not in caplog.text
    assert "K3Y-word" not in caplog.text


def test_a_delivery_of_yesterday_that_was_not_finished_is_finished_before_that_of_today(server, tmp_path):
    site = Site(tmp_path, server.url, CURSOR, retry={"attempts": 1})
    server.fault("/offset", Reply.json({"items": server.records[:100]}), Reply(500))
    with pytest.raises(EndpointError):
        site.pull()
    server.records.append(record(900, changed="2026-01-22T09:00:00Z"))
    site.pull(SECOND)
    assert site.items() == EVERY_ITEM
    # The largest value of yesterday is asked for again: a row of the same moment may have come since.
    assert site.items(NEXT_DAY) == ["000249", "000900"]


def test_an_as_of_pulled_before_is_not_asked_for_again(server, tmp_path):
    site = Site(tmp_path, server.url, CURSOR)
    site.pull()
    before, asked = site.files(), len(server.asked)
    site.pull()
    assert (site.files(), len(server.asked)) == (before, asked)


def test_a_page_that_names_itself_ends_the_pull(server, tmp_path):
    page = {"items": [record(1)], "next": "/next"}
    server.fault("/next", *[Reply.json(page)] * 5)
    site = Site(tmp_path, server.url, {"path": "next", "records": "items", "paging": {"style": "next_link"}})
    with pytest.raises(EndpointError, match="names itself"):
        site.pull()


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        ({"path": "html"}, "answers with a web page"),
        ({"path": "nowhere"}, "answers 404 at 127.0.0.1/nowhere: there is nothing; check url and path"),
        ({"path": "offset", "records": "data"}, "the answer has no list at data"),
        ({"path": "offset"}, "the answer has no list at its top"),
        ({"path": "offset", "records": "items", "columns": {"nothing": "x"}}, "columns names nothing"),
        ({"path": "offset", "records": "items", "paging": {"style": "scroll"}}, "paging style is one of"),
    ],
)
def test_a_wrong_description_is_told_without_a_record(server, tmp_path, resource, told):
    site = Site(tmp_path, server.url, resource)
    with pytest.raises(EndpointError) as raised:
        site.pull()
    assert told in str(raised.value)
    assert "JANE" not in str(raised.value)


def test_probe_says_what_answers_and_which_column_is_missing(server, tmp_path):
    assert Site(tmp_path, server.url).probe() == "1 resource answers"
    bare = Site(tmp_path / "bare", server.url, {**RESOURCE, "columns": {"qty_each": "quantity"}})
    with pytest.raises(EndpointError, match="a record has no qty_each"):
        bare.probe()
    assert not bare.landing.exists()


CHILD = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.transports import rest
from ingest.transports.delivery_writer import DeliveryWriter, PullState
from ingest.transports.endpoints import load_endpoints

folder, rows = Path(sys.argv[1]), int(sys.argv[2])
endpoint = load_endpoints(folder / "endpoints.yaml", {ENVIRONMENT!r})[0]

def die(name, extract, done, total):
    if done >= rows:
        os.kill(os.getpid(), signal.SIGKILL)

with PullState(folder / "home") as state:
    writer = DeliveryWriter(folder / "landing", load_contracts()["pou"], endpoint, state)
    rest.pull(endpoint, writer, AsOf.parse("2026-01-21T23:59"), die)
"""


@pytest.mark.parametrize("rows", [100, 200, 250], ids=lambda rows: f"after {rows} rows")
def test_a_pull_killed_in_the_middle_and_started_again_leaves_the_same_bytes_and_batches(server, tmp_path, rows):
    calm = Site(tmp_path / "calm", server.url, CURSOR)
    calm.pull()
    struck = Site(tmp_path / "struck", server.url, CURSOR)
    before = len(server.asked)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(struck.folder), str(rows)], env=os.environ, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    part = (struck.landing / FILE).with_suffix(".csv.part")
    # What was written behind the last whole page, as by a kill in the middle of a write.
    with part.open("ab") as torn:
        torn.write(b"2026-01-21,MAI,L1,torn")
    struck.pull()
    assert struck.files() == calm.files()
    offsets = [asked.params["offset"] for asked in server.asked[before:]]
    assert offsets == sorted(offsets, key=int)
    hashes = []
    for site in (calm, struck):
        report = ingest(site.landing, site.home, FIRST, "run")
        assert (report.rows_delivered, report.rows_quarantined) == (250, 0)
        with BatchLedger(site.home / "lake") as ledger:
            hashes.append(sorted(ledger.batches()))
    assert hashes[0] == hashes[1]
    # State holds positions of the clock alone: no record, no secret.
    state = b"".join(path.read_bytes() for path in (struck.home / "pull").iterdir())
    assert b"MAI" not in state
    assert b"S3CRET" not in state
