"""FHIR bulk pulls against a small bulk server on loopback: progress, deletions, expiry, cut downloads, kills."""

import gzip
import hashlib
import json
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
from ingest.transports import fhir_bulk
from ingest.transports.delivery_writer import DeliveryWriter, PullState
from ingest.transports.directory import find
from ingest.transports.endpoints import EndpointError, load_endpoints
from ingest.transports.http_client import Clock
from tests.integration.record_servers import BulkServer, Reply, Tokens, running

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = load_contracts()
FIRST = AsOf.parse("2026-01-21")
SECOND = AsOf.parse("2026-01-22")
FOLDER = "ehr_fhir/20260121"
ENVIRONMENT = {"THE_SECRET": "S3CRET-word"}


def resources(kind, first, count):
    return b"".join(
        json.dumps(
            {
                "resourceType": kind,
                "id": f"{kind}-{number}",
                "meta": {"lastUpdated": "2026-01-21T00:00:00Z"},
                "status": "finished",
                "note": [{"text": "x" * 200}],
            }
        ).encode()
        + b"\n"
        for number in range(first, first + count)
    )


OUTPUTS = [
    ("Encounter", resources("Encounter", 0, 400)),
    ("Device", resources("Device", 0, 30)),
    ("Encounter", resources("Encounter", 400, 200)),
]
DELETED = [
    (
        "Bundle",
        b'{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Device/Device-9"}}]}\n',
    )
]


@pytest.fixture
def server():
    with running(BulkServer(OUTPUTS, DELETED)) as server:
        yield server


class Site:
    """A landing directory and a home, and the pull between a bulk server and them."""

    def __init__(self, folder, url, **fields):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.landing, self.home = folder, folder / "landing", folder / "home"
        spec = {"system": "ehr_fhir", "kind": "fhir_bulk", "url": f"{url}/R4", "parallel": 1}
        path = folder / "endpoints.yaml"
        path.write_text(yaml.safe_dump({"endpoints": {"under_test": spec | fields}}))
        self.endpoint = load_endpoints(path, ENVIRONMENT)[0]
        self.now = 0.0
        self.slept = []
        self.remarks = []

    @property
    def clock(self):
        def sleep(seconds):
            self.slept.append(seconds)
            self.now += seconds

        return Clock(sleep, lambda: self.now, lambda: 1.7e9 + self.now, lambda low, high: high)

    def pull(self, as_of=FIRST):
        with PullState(self.home) as state:
            writer = DeliveryWriter(self.landing, CONTRACTS["ehr_fhir"], self.endpoint, state)
            try:
                fhir_bulk.pull(self.endpoint, writer, as_of, lambda *_: None, clock=self.clock)
            finally:
                self.remarks = writer.remarks

    def kept(self, name):
        with PullState(self.home) as state:
            return state.get("under_test", name)

    def probe(self):
        return fhir_bulk.probe(self.endpoint, CONTRACTS["ehr_fhir"], clock=self.clock)

    def content(self, name, folder=FOLDER):
        return gzip.decompress((self.landing / folder / name).read_bytes())

    def manifest(self, folder=FOLDER):
        return json.loads((self.landing / folder / "manifest.json").read_bytes())

    def files(self):
        return {
            str(path.relative_to(self.landing)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.landing.rglob("*"))
            if path.is_file()
        }


def test_an_export_lands_with_its_manifest_and_is_deleted_on_the_server(server, tmp_path):
    site = Site(tmp_path, server.url)
    site.pull()
    assert sorted(path.rpartition("/")[2] for path in site.files()) == [
        "Bundle.1.ndjson.gz",
        "Device.1.ndjson.gz",
        "Encounter.1.ndjson.gz",
        "Encounter.2.ndjson.gz",
        "manifest.json",
    ]
    assert [site.content(f"Encounter.{n}.ndjson.gz") for n in (1, 2)] == [OUTPUTS[0][1], OUTPUTS[2][1]]
    assert site.manifest() == {
        "transactionTime": "2026-01-21T10:00:00.000Z",
        "requiresAccessToken": False,
        "output": [
            {"type": "Encounter", "url": "Encounter.1.ndjson.gz", "count": 400},
            {"type": "Device", "url": "Device.1.ndjson.gz", "count": 30},
            {"type": "Encounter", "url": "Encounter.2.ndjson.gz", "count": 200},
        ],
        "deleted": [{"type": "Bundle", "url": "Bundle.1.ndjson.gz"}],
        "error": [],
    }
    kick_off = server.asked[0]
    assert kick_off.path == "/R4/$export"
    assert kick_off.headers["Prefer"] == "respond-async"
    assert kick_off.headers["Accept"] == "application/fhir+json"
    assert "_since" not in kick_off.params
    assert kick_off.params["_type"].split(",") == list(CONTRACTS["ehr_fhir"].delivery.reads)
    assert site.slept == [7.0, 7.0]
    assert (server.asked[-1].method, server.asked[-1].path) == ("DELETE", "/status/1")


def test_ingest_finds_every_file_of_the_export(server, tmp_path):
    site = Site(tmp_path, server.url)
    site.pull()
    found = find(site.landing, CONTRACTS["ehr_fhir"], FIRST)
    assert (found.waiting, found.unknown) == ([], [])
    encounters = [each for each in found.deliveries["Encounter"] if not each.is_deletion]
    assert [each.stated.rows for each in encounters] == [400, 200]


def test_the_next_export_asks_for_what_changed_since_the_last_transaction_time(server, tmp_path):
    site = Site(tmp_path, server.url, overlap_seconds=60, level="Group/h8")
    site.pull()
    server.transaction_time = "2026-01-22T10:00:00.000Z"
    site.pull(SECOND)
    kick_offs = [asked for asked in server.asked if asked.path == "/R4/Group/h8/$export"]
    assert [asked.params.get("_since") for asked in kick_offs] == [None, "2026-01-21T09:59:00.000Z"]
    assert site.kept("transaction_time") == "2026-01-22T10:00:00.000Z"


def test_the_same_as_of_is_not_exported_twice(server, tmp_path):
    site = Site(tmp_path, server.url)
    site.pull()
    asked = len(server.asked)
    site.pull()
    assert len(server.asked) == asked


def test_the_same_export_gives_the_same_bytes_however_it_is_transferred(server, tmp_path):
    plain = Site(tmp_path / "plain", server.url)
    plain.pull()
    server.zipped = True
    server.fault("/file/2/out/1", Reply(200, gzip.compress(OUTPUTS[1][1][:3000]) + gzip.compress(OUTPUTS[1][1][3000:])))
    zipped = Site(tmp_path / "zipped", server.url)
    zipped.pull()
    assert zipped.files() == plain.files()


def test_cut_downloads_are_fetched_again(server, tmp_path):
    whole = OUTPUTS[0][1]
    packed = gzip.compress(whole)
    server.fault(
        "/file/1/out/0",
        Reply(200, whole, cut=True),
        Reply(200, packed[: len(packed) // 2], {"Content-Encoding": "gzip"}),
        Reply(200, whole[:-200]),
        Reply(200, whole[:3000]),
    )
    site = Site(tmp_path, server.url)
    site.pull()
    assert site.content("Encounter.1.ndjson.gz") == whole
    assert server.paths("/file/1/out/0") == ["/file/1/out/0"] * 5


def test_an_export_that_expired_is_started_anew_with_the_same_since(server, tmp_path):
    site = Site(tmp_path, server.url)
    site.pull()
    server.transaction_time = "2026-01-22T10:00:00.000Z"
    server.fault("/file/2/out/2", Reply(404))
    server.outputs = [OUTPUTS[0], OUTPUTS[1], OUTPUTS[2], OUTPUTS[1]]
    # The new export has other files under the same names, and fewer of them.
    server.fault("/file/2/out/2", lambda asked: setattr(server, "outputs", [OUTPUTS[2]]) or Reply(404))
    server.faults.pop(0)
    site.pull(SECOND)
    kick_offs = [asked for asked in server.asked if asked.path == "/R4/$export"]
    assert [asked.params.get("_since") for asked in kick_offs[1:]] == ["2026-01-21T10:00:00.000Z"] * 2
    assert site.content("Encounter.1.ndjson.gz", "ehr_fhir/20260122") == OUTPUTS[2][1]
    assert [each["url"] for each in site.manifest("ehr_fhir/20260122")["output"]] == ["Encounter.1.ndjson.gz"]
    assert not (site.landing / "ehr_fhir/20260122/Device.1.ndjson.gz").exists()
    assert site.remarks == ["an export had expired on the server and was started again"]


def test_an_export_that_is_not_ready_in_time_is_gone_on_with_by_the_next_pull(server, tmp_path):
    server.polls = 5
    site = Site(tmp_path, server.url, longest_wait_seconds=20)
    with pytest.raises(EndpointError, match="not ready after 20 seconds"):
        site.pull()
    assert site.files() == {}
    site.pull()
    assert len(server.exports) == 1
    assert len(site.files()) == 5


def test_waits_grow_where_the_server_does_not_say_how_long(server, tmp_path):
    server.polls = 0
    server.fault("/status", *[Reply(202)] * 4, Reply(429, b"", {"Retry-After": "11"}), Reply(503))
    site = Site(tmp_path, server.url)
    site.pull()
    assert site.slept == [1.0, 2.0, 4.0, 8.0, 11.0, 2.0]


OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "too-costly", "diagnostics": "JANE DOE"}],
}


def test_an_export_that_fails_is_told_by_its_codes_and_started_anew_by_the_next_pull(server, tmp_path):
    server.fault("/status", *[Reply.json(OUTCOME, 500)] * 5)
    site = Site(tmp_path, server.url)
    with pytest.raises(EndpointError) as raised:
        site.pull()
    assert "the export failed on the server (error/too-costly)" in str(raised.value)
    assert "JANE" not in str(raised.value)
    site.pull()
    assert len(server.exports) == 2


def test_a_server_that_is_down_while_it_exports_keeps_its_export(server, tmp_path):
    server.fault("/status", *[Reply(502, b"<html>")] * 5)
    site = Site(tmp_path, server.url)
    with pytest.raises(EndpointError, match="answers 502"):
        site.pull()
    site.pull()
    assert len(server.exports) == 1


def test_errors_beside_an_export_are_told_by_their_codes(tmp_path):
    errors = [("OperationOutcome", json.dumps(OUTCOME).encode() + b"\n" + json.dumps(OUTCOME).encode())]
    with running(BulkServer(OUTPUTS, errors=errors)) as server:
        site = Site(tmp_path, server.url)
        site.pull()
    assert site.remarks == ["the export of 2026-01-21T10:00:00.000Z tells of 2 x error/too-costly"]
    assert site.manifest()["error"] == [{"type": "OperationOutcome"}]
    assert not any(b"JANE" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_refused_kick_off_is_told(server, tmp_path):
    server.fault("/R4/$export", Reply.json(OUTCOME, 400))
    with pytest.raises(EndpointError, match=r"answers 400 at 127.0.0.1/R4/\$export \(error/too-costly\)"):
        Site(tmp_path, server.url).pull()


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_smart_backend_services_sign_who_asks(server, tmp_path, algorithm):
    import jwt
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = rsa.generate_private_key(65537, 2048) if algorithm == "RS384" else ec.generate_private_key(ec.SECP384R1())
    pem = tmp_path / "key.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server.tokens = Tokens(lives=4)
    auth = {
        "token_url": f"{server.url}/oauth/token",
        "client_id": "suture",
        "private_key_file": str(pem),
        "key_id": "k1",
        "algorithm": algorithm,
        "scope": "system/*.rs",
    }
    site = Site(tmp_path, server.url, auth=auth)
    site.pull()
    assert len(site.files()) == 5
    assert len(server.tokens.assertions) >= 2
    url = f"{server.url}/oauth/token"
    for assertion in server.tokens.assertions:
        claims = jwt.decode(
            assertion, key.public_key(), algorithms=[algorithm], audience=url, options={"verify_exp": False}
        )
        assert (claims["iss"], claims["sub"]) == ("suture", "suture")
        assert claims["exp"] <= 1.7e9 + site.now + 300
        assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    ids = [jwt.decode(each, options={"verify_signature": False})["jti"] for each in server.tokens.assertions]
    assert len(set(ids)) == len(ids)


def test_a_key_that_is_none_is_told(server, tmp_path):
    (tmp_path / "key.pem").write_text("no key")
    auth = {"token_url": f"{server.url}/t", "client_id": "s", "private_key_file": str(tmp_path / "key.pem")}
    with pytest.raises(EndpointError, match="holds no unencrypted PEM key for RS384"):
        Site(tmp_path, server.url, auth=auth).pull()


def test_probe_reads_the_capability_statement_and_starts_no_export(server, tmp_path):
    site = Site(tmp_path, server.url, types=["Encounter", "Device"])
    assert site.probe() == "FHIR server 4.0.1, 2 types to export"
    assert not server.exports
    with pytest.raises(EndpointError, match="the server knows no Claim"):
        Site(tmp_path / "other", server.url, types=["Claim"]).probe()


CHILD = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.transports import fhir_bulk
from ingest.transports.delivery_writer import DeliveryWriter, PullState
from ingest.transports.endpoints import load_endpoints
from ingest.transports.http_client import Clock

folder, where = Path(sys.argv[1]), sys.argv[2]
endpoint = load_endpoints(folder / "endpoints.yaml", {ENVIRONMENT!r})[0]

def die(name, what, done, total):
    if what == where:
        os.kill(os.getpid(), signal.SIGKILL)

with PullState(folder / "home") as state:
    writer = DeliveryWriter(folder / "landing", load_contracts()["ehr_fhir"], endpoint, state)
    fhir_bulk.pull(endpoint, writer, AsOf.parse("2026-01-21"), die, clock=Clock(sleep=lambda seconds: None))
"""


@pytest.mark.parametrize("where", ["waiting for the export", "Device.1.ndjson.gz", "Bundle.1.ndjson.gz"])
def test_a_pull_killed_in_the_middle_and_started_again_leaves_the_same_bytes(server, tmp_path, where):
    calm = Site(tmp_path / "calm", server.url)
    calm.pull()
    struck = Site(tmp_path / "struck", server.url)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(struck.folder), where], env=os.environ, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (struck.landing / FOLDER / "manifest.json").exists()
    struck.pull()
    assert struck.files() == calm.files()
    batches = []
    for site in (calm, struck):
        report = ingest(site.landing, site.home, FIRST, "run")
        # 630 resources, and a deletion that may feed any extract.
        assert (report.files_refused, report.rows_quarantined) == (0, 0)
        assert report.rows_delivered >= 630
        with BatchLedger(site.home / "lake") as ledger:
            batches.append(sorted(ledger.batches()))
    assert batches[0] == batches[1]
    # One export for each site, and no file of it fetched twice.
    assert len(server.exports) == 2
    fetched = server.paths("/file/2/")
    assert len(fetched) == len(set(fetched)) == 4
