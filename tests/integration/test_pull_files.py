"""Pulls of files from real servers on loopback: what lands, what waits, and what an interruption leaves."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.run import ingest
from ingest.transports import remote_server
from ingest.transports.delivery_writer import DeliveryWriter, PullIsRunning, PullState
from ingest.transports.endpoints import load_endpoints
from ingest.transports.pull import probe, pull
from tests.integration.remote_servers import BlobServer, Proxy, SftpServer
from tests.unit.ingest.landing_builder import Landing, row

CHECKOUT = Path(__file__).parents[2]
CONTRACTS = load_contracts()
CANARY = "c4nary-Pa55/w+rd=é"
QUICK = "retry: {attempts: 4, first_wait_seconds: 0.02, longest_wait_seconds: 0.1}, settle_seconds: 0.05"
GL, CHARGE, REQ, TXN = "erp_lawson.GLNAMES", "hb.HSP_TRANSACTIONS", "erp_fusion.REQ_HEADERS", "pou.txn"


def deliver(root, days=(10, 11), rows=40):
    """A landing layout of four systems: listed, listed with hashes, zipped by slot, with control files, and none."""
    source = Landing(root)
    for day in days:
        folder = f"202601{day:02d}"
        source.put(GL, folder, [row(GL, ACCT_UNIT=f"U{key}", DESCRIPTION=f"v{day}") for key in range(rows)])
        source.put(CHARGE, folder, [row(CHARGE, TX_ID=f"{day}{key}", TX_AMOUNT="1") for key in range(rows)])
        source.put(REQ, folder, [row(REQ, RequisitionHeaderId=str(key)) for key in range(day, day + 9)], parts=2)
        for slot in ("0600", "1200"):
            source.put(TXN, folder, [row(TXN, txn_id=f"{day}-{slot}-{key}") for key in range(9)], slot=slot)
        put(root, f"ehr_hl7/{folder}/ADT_{folder}_05.hl7", f"MSH|^~\\&|{day}\r".encode() * 50)
    return source


def put(root, path, content):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def tree(root):
    """Hash of every file, by its path."""
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }


class Site:
    """A home, a landing directory and an endpoints file."""

    def __init__(self, folder, text, environment):
        self.home = folder / "home"
        self.landing = folder / "landing"
        self.home.mkdir(parents=True)
        self.file = folder / "endpoints.yaml"
        self.file.write_text(text)
        self.environment = environment

    @property
    def endpoints(self):
        return load_endpoints(self.file, self.environment)

    def pull(self, **options):
        return pull(self.endpoints, self.home, self.landing, CONTRACTS, **options)

    def pulled(self, **options):
        report = self.pull(**options)
        assert report.failures == (), report.failures
        return report

    def process(self):
        """The same pull as a process of its own."""
        program = (
            "import sys; from pathlib import Path; from ingest.transports.pull import pull;"
            "from ingest.transports.endpoints import load_endpoints; import os;"
            "from ingest.contract import load_contracts;"
            "home, landing, file = map(Path, sys.argv[1:]);"
            "report = pull(load_endpoints(file, os.environ), home, landing, load_contracts());"
            "sys.exit(len(report.failures))"
        )
        return subprocess.Popen(
            [sys.executable, "-c", program, str(self.home), str(self.landing), str(self.file)],
            cwd=CHECKOUT,
            env={**os.environ, **self.environment},
        )


SYSTEMS = ("erp_lawson", "hb", "erp_fusion", "pou", "ehr_hl7")


def endpoints_text(url, options="", more="", systems=SYSTEMS):
    lines = ["endpoints:"]
    for system in systems:
        lines.append(
            f"  {system}_files: {{system: {system}, kind: files, url: '{url}', {QUICK}{more}, options: {{{options}}}}}"
        )
    return "\n".join(lines) + "\n"


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "remote"
    deliver(root)
    return root


@pytest.fixture
def folder_site(tmp_path, source):
    return Site(tmp_path / "site", endpoints_text(f"file://{source}"), {})


@pytest.fixture(scope="module")
def sftp(tmp_path_factory):
    server = SftpServer(tmp_path_factory.mktemp("sftp"), CANARY)
    yield server
    server.close()


@pytest.fixture
def sftp_source(sftp):
    for each in sftp.folder.iterdir():
        shutil.rmtree(each)
    deliver(sftp.folder / "out")
    return sftp.folder / "out"


def sftp_site(sftp, folder, port=None, more="", systems=SYSTEMS):
    folder.mkdir(parents=True, exist_ok=True)
    known = sftp.known_hosts(folder / "known_hosts", *([port] if port else []))
    text = endpoints_text(
        f"sftp://suture@127.0.0.1:{port or sftp.port}/out",
        f"password: '${{env:POU_SFTP_PASSWORD}}', known_hosts: '{known}'",
        more,
        systems,
    )
    return Site(folder / "site", text, {"POU_SFTP_PASSWORD": CANARY})


@pytest.fixture(scope="module")
def s3_server():
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bucket(s3_server):
    """A fresh bucket: its name, port, and a client that puts objects."""
    import boto3

    _, port = s3_server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="suture",
        aws_secret_access_key=CANARY,
        region_name="us-east-1",
    )
    name = f"deliveries-{random.randrange(10**9)}"
    client.create_bucket(Bucket=name)
    return name, port, client


def s3_site(bucket, folder, port=None, more="", systems=SYSTEMS):
    name, own_port, _ = bucket
    text = endpoints_text(
        f"s3://{name}/out",
        "access_key_id: suture, secret_access_key: '${env:POU_S3_SECRET}', region: us-east-1, "
        f"endpoint_url: 'http://127.0.0.1:{port or own_port}'",
        more,
        systems,
    )
    return Site(folder / "site", text, {"POU_S3_SECRET": CANARY})


def upload(bucket, source):
    name, _, client = bucket
    for file in source.rglob("*"):
        if file.is_file():
            client.put_object(Bucket=name, Key=f"out/{file.relative_to(source)}", Body=file.read_bytes())


# ---------------------------------------------------------------- what lands


def test_a_folder_lands_byte_for_byte_and_a_second_pull_takes_nothing(folder_site, source):
    report = folder_site.pulled()
    assert tree(folder_site.landing) == tree(source)
    assert report.files == 12
    before = {path: path.stat().st_mtime_ns for path in folder_site.landing.rglob("*")}
    assert folder_site.pulled().files == 0
    assert {path: path.stat().st_mtime_ns for path in folder_site.landing.rglob("*")} == before


def test_sftp_lands_byte_for_byte(tmp_path, sftp, sftp_source):
    site = sftp_site(sftp, tmp_path)
    assert site.pulled().files == 12
    assert tree(site.landing) == tree(sftp_source)
    assert site.pulled().files == 0


def test_an_object_store_lands_byte_for_byte_multipart_objects_too(tmp_path, bucket, source):
    big = put(source, "ehr_hl7/20260112/SIU_20260112_06.hl7", random.Random(1).randbytes(6 << 20))
    upload(bucket, source)
    name, _, client = bucket
    key = f"out/{big.relative_to(source)}"
    begun = client.create_multipart_upload(Bucket=name, Key=key)
    parts = []
    for number, start in enumerate((0, 5 << 20), 1):
        piece = big.read_bytes()[start : start + (5 << 20)]
        sent = client.upload_part(Bucket=name, Key=key, UploadId=begun["UploadId"], PartNumber=number, Body=piece)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    client.complete_multipart_upload(Bucket=name, Key=key, UploadId=begun["UploadId"], MultipartUpload={"Parts": parts})
    site = s3_site(bucket, tmp_path)
    assert site.pulled().files == 13
    assert tree(site.landing) == tree(source)
    assert site.pulled().files == 0


def test_only_the_systems_asked_for_are_pulled_up_to_the_as_of(folder_site):
    folder_site.pulled(systems=["pou"], as_of=AsOf.parse("2026-01-10"))
    assert {path.split("/")[0] for path in tree(folder_site.landing)} == {"pou"}
    assert {path.split("/")[1] for path in tree(folder_site.landing)} == {"20260110"}


def test_another_remote_layout_lands_in_the_layout_of_the_contract(tmp_path):
    remote = tmp_path / "remote"
    there = Landing(tmp_path / "made")
    path = there.put(CHARGE, "20260110", [row(CHARGE, TX_ID="1")])
    put(remote, "2026/01-10/HSP_TRANSACTIONS_done.csv", (there.root / path).read_bytes())
    manifest = (there.root / path).with_name("_manifest.csv")
    put(remote, "2026/lists/20260110.csv", manifest.read_bytes())
    put(remote, "2026/01-10/other.txt", b"not ours")
    site = Site(
        tmp_path / "site",
        f"""
endpoints:
  billing:
    system: hb
    kind: files
    url: file://{remote}
    pattern: "/{{yyyy}}/{{mm}}-{{dd}}/{{extract}}_done.csv"
    manifest_pattern: "/{{yyyy}}/lists/{{yyyymmdd}}.csv"
""",
        {},
    )
    site.pulled()
    assert tree(site.landing) == tree(there.root)


def test_a_remote_file_without_a_date_is_dated_by_its_own_time(tmp_path):
    remote = tmp_path / "remote"
    file = put(remote, "ITEM.txt", b"ITEM_ID|ITEM_IDB\r\n1|1\r\n")
    os.utime(file, (1768050000, 1768050000))
    site = Site(
        tmp_path / "site",
        f"endpoints: {{db1: {{system: mmis, kind: files, url: 'file://{remote}', pattern: '{{extract}}.txt',"
        f" parts: {{n: '1'}}, {QUICK}}}}}",
        {},
    )
    site.pulled()
    assert list(tree(site.landing)) == ["mmis/20260110/db1/ITEM.txt"]


def test_a_corrected_file_comes_again_under_its_name(tmp_path, folder_site, source):
    folder_site.pulled()
    deliver(source, rows=41)
    assert folder_site.pulled().files == 4, "a file that was only written again is no correction"
    assert tree(folder_site.landing) == tree(source)


def test_what_the_sender_deletes_stays(folder_site, source):
    folder_site.pulled()
    before = tree(folder_site.landing)
    shutil.rmtree(source / "hb" / "20260110")
    assert folder_site.pulled().files == 0
    assert tree(folder_site.landing) == before


# ---------------------------------------------------------------- what waits


def test_a_file_that_its_manifest_does_not_list_waits_and_so_does_one_without_a_control_file(folder_site, source):
    (source / "hb/20260111/_manifest.csv").unlink()
    put(source, "erp_lawson/20260111/ITEMMAST.csv", b"half of it")
    (source / "pou/20260111/txn_20260111_1200.ctl").unlink()
    report = folder_site.pulled()
    missing = set(tree(source)) - set(tree(folder_site.landing))
    assert missing == {
        "hb/20260111/HSP_TRANSACTIONS.csv",
        "erp_lawson/20260111/ITEMMAST.csv",
        "pou/20260111/txn_20260111_1200.csv",
    }
    assert {path for each in report.pulled for path in each.waiting} == missing


def test_names_of_files_under_way_are_never_taken(folder_site, source):
    for name in (
        "ADT_20260110_07.hl7.part",
        "ADT_20260110_07.hl7.filepart",
        ".ADT_20260110_07.hl7",
        "ADT_20260110_07.tmp",
    ):
        put(source, f"ehr_hl7/20260110/{name}", b"MSH")
    folder_site.pulled()
    assert not [path for path in tree(folder_site.landing) if "_07" in path]


def test_a_file_that_grows_between_two_looks_waits_until_it_is_still(tmp_path, source):
    site = Site(tmp_path / "site", endpoints_text(f"file://{source}", systems=("ehr_hl7",)).replace("0.05", "0.6"), {})
    growing = put(source, "ehr_hl7/20260112/MFN_20260112_05.hl7", b"MSH")
    done = threading.Event()

    def write():
        with growing.open("ab") as file:
            while not done.wait(0.05):
                file.write(b"more")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    report = site.pulled()
    done.set()
    writer.join()
    assert report.files == 2
    assert report.pulled[0].waiting == ("ehr_hl7/20260112/MFN_20260112_05.hl7",)
    assert site.pulled().files == 1
    assert (
        tree(site.landing)["ehr_hl7/20260112/MFN_20260112_05.hl7"] == hashlib.sha256(growing.read_bytes()).hexdigest()
    )


def test_a_manifest_whose_last_line_is_still_being_written_waits(tmp_path, source):
    site = Site(tmp_path / "site", endpoints_text(f"file://{source}", systems=("hb",)).replace("0.05", "0.6"), {})
    manifest = source / "hb/20260111/_manifest.csv"
    whole = manifest.read_text()
    torn = whole.rstrip("\n")[:-60]
    manifest.write_text(torn)
    finish = threading.Timer(0.3, manifest.write_text, [whole])
    finish.start()
    site.pulled()
    finish.join()
    assert (site.landing / "hb/20260111/_manifest.csv").read_text() == whole


def test_an_export_waits_for_its_manifest_and_lands_with_what_that_lists(tmp_path):
    remote = tmp_path / "remote"
    folder = "ehr_fhir/20260110"
    put(remote, f"{folder}/Device.1.ndjson.gz", b"devices")
    put(remote, f"{folder}/gone.ndjson", b"deleted")
    put(remote, f"{folder}/Device.2.ndjson.gz", b"not listed")
    site = Site(tmp_path / "site", endpoints_text(f"file://{remote}", systems=("ehr_fhir",)), {})
    assert site.pulled().files == 0
    listed = {"output": [{"type": "Device", "url": "https://h/Device.1.ndjson"}], "deleted": [{"url": "x/gone.ndjson"}]}
    put(remote, f"{folder}/manifest.json", json.dumps({"transactionTime": "2026-01-10T05:00:00Z", **listed}).encode())
    report = site.pulled()
    assert set(tree(site.landing)) == {
        f"{folder}/{name}" for name in ("Device.1.ndjson.gz", "gone.ndjson", "manifest.json")
    }
    assert report.pulled[0].waiting == (f"{folder}/Device.2.ndjson.gz",)


def test_both_deliveries_of_a_system_come_from_one_endpoint(tmp_path, source):
    put(source, "hb/835/20260110/AETNA_99.835", b"ISA*")
    site = Site(tmp_path / "site", endpoints_text(f"file://{source}", systems=("hb",)), {})
    assert site.pulled().files == 3
    assert (site.landing / "hb/835/20260110/AETNA_99.835").read_bytes() == b"ISA*"


# ---------------------------------------------------------------- what goes wrong on the way


def test_a_file_that_changes_while_it_is_fetched_is_fetched_again(tmp_path, source, monkeypatch):
    site = Site(tmp_path / "site", endpoints_text(f"file://{source}", systems=("hb",)), {})
    blocks = remote_server.Remote.blocks
    changed = []

    def changing(self, path, start, end):
        if path.endswith("20260111/HSP_TRANSACTIONS.csv") and not changed:
            changed.append(path)
            deliver(source, days=[11], rows=60)
        return blocks(self, path, start, end)

    monkeypatch.setattr(remote_server.Remote, "blocks", changing)
    site.pulled()
    assert changed
    assert tree(site.landing) == {path: digest for path, digest in tree(source).items() if path.startswith("hb/")}


def test_bytes_spoilt_on_the_way_are_fetched_again_and_a_wrong_manifest_is_left_to_ingest(tmp_path, monkeypatch):
    remote = Landing(tmp_path / "remote")
    remote.put(CHARGE, "20260110", [row(CHARGE, TX_ID="1")])
    remote.put(CHARGE, "20260111", [row(CHARGE, TX_ID="1")], stated_hash="0" * 64)
    site = Site(tmp_path / "site", endpoints_text(f"file://{remote.root}", systems=("hb",)), {})
    blocks = remote_server.Remote.blocks
    spoilt = []

    def spoiling(self, path, start, end):
        for block in blocks(self, path, start, end):
            if path.endswith("20260110/HSP_TRANSACTIONS.csv") and not spoilt:
                spoilt.append(path)
                block = bytes(len(block))
            yield block

    monkeypatch.setattr(remote_server.Remote, "blocks", spoiling)
    report = site.pulled()
    assert tree(site.landing) == tree(remote.root)
    (remark,) = report.pulled[0].remarks
    assert "hb/20260111/HSP_TRANSACTIONS.csv" in remark


def test_an_etag_that_only_looks_like_an_md5_costs_one_fetch_more(tmp_path, bucket, source, monkeypatch):
    """Objects that the store encrypts have such etags; after the first one they are not believed any more."""
    upload(bucket, source)
    site = s3_site(bucket, tmp_path, systems=("hb", "pou"))
    entry, blocks, read = remote_server._entry, remote_server.Remote.blocks, []

    def encrypted(info):
        listed = entry(info)
        return listed if listed.is_folder else dataclasses.replace(listed, md5="0" * 32)

    def counting(self, path, start, end):
        read.append(path)
        return blocks(self, path, start, end)

    monkeypatch.setattr(remote_server, "_entry", encrypted)
    monkeypatch.setattr(remote_server.Remote, "blocks", counting)
    report = site.pulled()
    assert [each.remarks for each in report.pulled] == [(), ()]
    assert tree(site.landing) == {path: digest for path, digest in tree(source).items() if path[:3] in ("hb/", "pou")}
    again = {system: sum(path.startswith(system) for path in read) for system in ("hb", "pou")}
    assert 4 < again["hb"] <= 6
    assert 8 < again["pou"] <= 10


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_a_server_that_cuts_every_connection_is_pulled_in_pieces(tmp_path, kind, request, source):
    big = random.Random(2).randbytes(3 << 20)
    more = ", block_bytes: 262144"
    if kind == "sftp":
        server = request.getfixturevalue("sftp")
        root = request.getfixturevalue("sftp_source")
        put(root, "ehr_hl7/20260112/ADT_20260112_05.hl7", big)
        proxy = Proxy(server.port, cut_every=900_000)
        site = sftp_site(server, tmp_path, proxy.port, more, systems=("ehr_hl7",))
    else:
        store = request.getfixturevalue("bucket")
        root = source
        put(root, "ehr_hl7/20260112/ADT_20260112_05.hl7", big)
        upload(store, root)
        proxy = Proxy(store[1], cut_every=900_000)
        site = s3_site(store, tmp_path, proxy.port, more, systems=("ehr_hl7",))
    site.pulled()
    proxy.close()
    assert proxy.cuts >= 2
    assert tree(site.landing) == {path: digest for path, digest in tree(root).items() if path.startswith("ehr_hl7/")}


def test_an_endpoint_that_fails_does_not_stop_the_others(tmp_path, source):
    text = endpoints_text(f"file://{source}", systems=("hb", "pou")) + (
        "  gone: {system: ehr, kind: files, url: 'file:///nowhere/at/all'}\n"
        "  unset: {system: ehr, kind: files, url: 'sftp://a@127.0.0.1:9/x', options: {password: '${env:NOT_SET}'}}\n"
        "  strange: {system: payroll, kind: files, url: 'file:///tmp'}\n"
    )
    report = Site(tmp_path / "site", text, {}).pull()
    assert [each.endpoint for each in report.failures] == ["gone", "unset", "strange"]
    assert "is not there" in report.failures[0].failure
    assert "NOT_SET" in report.failures[1].failure
    assert report.files == 6


def test_a_host_that_is_not_known_or_shows_another_key_is_not_trusted(tmp_path, sftp, sftp_source):
    site = sftp_site(sftp, tmp_path, systems=("hb",))
    (tmp_path / "known_hosts").write_text(
        f"[127.0.0.1]:{sftp.port} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti\n"
    )
    (failed,) = site.pull().failures
    assert "host key" in failed.failure
    (tmp_path / "known_hosts").unlink()
    (failed,) = site.pull().failures
    assert "ssh-keyscan" in failed.failure
    assert not site.landing.exists()


def test_a_wrong_password_is_told_without_it_and_without_trying_again(tmp_path, sftp, sftp_source):
    site = sftp_site(sftp, tmp_path, systems=("hb",))
    site.environment["POU_SFTP_PASSWORD"] = CANARY[:-1]
    started = time.monotonic()
    (failed,) = site.pull().failures
    assert "does not let us in" in failed.failure
    assert CANARY[:-1] not in failed.failure
    assert time.monotonic() - started < 20


def test_one_pull_at_a_time_works_on_a_home(folder_site):
    with PullState(folder_site.home), pytest.raises(PullIsRunning):
        folder_site.pull()


def test_two_endpoints_that_deliver_different_files_under_one_name_are_refused(tmp_path, source):
    other = tmp_path / "other"
    deliver(other, rows=3)
    text = endpoints_text(f"file://{source}", systems=("hb",)) + endpoints_text(f"file://{other}", systems=("hb",))[
        11:
    ].replace("hb_files", "again")
    site = Site(tmp_path / "site", text, {})
    report = site.pull()
    assert [each.endpoint for each in report.failures] == ["again"]
    assert tree(site.landing) == {path: digest for path, digest in tree(source).items() if path.startswith("hb/")}


# ---------------------------------------------------------------- kills


KILLED = ("hb", "ehr_hl7")


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_a_pull_killed_on_the_way_and_started_again_lands_the_same_tree(tmp_path, kind, request, source):
    big = random.Random(3).randbytes(3 << 20)
    name = "ehr_hl7/20260112/ADT_20260112_05.hl7"
    more = ", parallel: 1, block_bytes: 131072"
    if kind == "sftp":
        server = request.getfixturevalue("sftp")
        root = request.getfixturevalue("sftp_source")
        make = lambda folder, port: sftp_site(server, folder, port, more, KILLED)  # noqa: E731
        port = server.port
    else:
        store = request.getfixturevalue("bucket")
        root, port = source, store[1]
        make = lambda folder, port: s3_site(store, folder, port, more, KILLED)  # noqa: E731
    put(root, name, big)
    if kind == "s3":
        upload(store, root)
    undisturbed = make(tmp_path / "straight", port)
    undisturbed.pulled()
    expected = {path: digest for path, digest in tree(root).items() if path.startswith(KILLED)}
    assert tree(undisturbed.landing) == expected

    site = None
    for kills, limit in enumerate((40_000, 2 << 20)):
        reached = threading.Event()
        proxy = Proxy(port, slow=3 << 20, reached=lambda count, limit=limit, at=reached: count > limit and at.set())
        text = make(tmp_path / f"file{kills}", proxy.port)
        site = site or text
        site.file.write_text(text.file.read_text())
        process = site.process()
        assert reached.wait(30), process.poll()
        process.send_signal(signal.SIGKILL)
        process.wait()
        proxy.close()
        assert not (site.landing / name).exists()
    proxy = Proxy(port)
    site.file.write_text(make(tmp_path / "last", proxy.port).file.read_text())
    process = site.process()
    assert process.wait(60) == 0
    assert tree(site.landing) == expected
    assert proxy.sent < 2 << 20, "the part that had come was fetched again"
    assert site.pulled().files == 0
    proxy.close()
    lakes = []
    for each in (undisturbed, site):
        each.home.mkdir(exist_ok=True)
        lake = tmp_path / f"lake-{each is site}"
        ingest(each.landing, lake, AsOf.parse("2026-01-12"), "run", systems=["hb", "ehr_hl7"])
        with sqlite3.connect(lake / "lake" / "batches.sqlite") as ledger:
            lakes.append(sorted(ledger.execute("select file, batch_id, outcome from attempt")))
    assert lakes[0] == lakes[1] != []


STEPS = ("entered", "renamed", "placed")


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_between_any_two_steps_of_placing_is_mended(tmp_path, source, step):
    """The process ends where a kill would: after the entry, in the middle of the renames, before the mark."""
    program = f"""
import os, sys
from pathlib import Path
from ingest.transports import delivery_writer, pull
from ingest.transports.endpoints import load_endpoints
from ingest.contract import load_contracts
home, landing, file = map(Path, sys.argv[1:])
replace, durable, count = Path.replace, delivery_writer._make_durable, []
def dying_replace(self, target):
    count.append(target)
    if "{step}" == "entered" or ("{step}" == "renamed" and len(count) == 2):
        os._exit(9)
    return replace(self, target)
def dying_durable(folder):
    if "{step}" == "placed":
        os._exit(9)
    durable(folder)
Path.replace, delivery_writer._make_durable = dying_replace, dying_durable
pull.pull(load_endpoints(file, {{}}), home, landing, load_contracts())
"""
    site = Site(tmp_path / "site", endpoints_text(f"file://{source}", systems=("hb",)), {})
    command = [sys.executable, "-c", program, str(site.home), str(site.landing), str(site.file)]
    assert subprocess.run(command, cwd=CHECKOUT).returncode == 9
    if step != "placed":
        assert not (site.landing / "hb/20260110/_manifest.csv").exists()
    site.pulled()
    assert tree(site.landing) == {path: digest for path, digest in tree(source).items() if path.startswith("hb/")}
    assert site.pulled().files == 0


def test_a_part_that_is_gone_when_a_killed_pull_is_mended_is_fetched_again(tmp_path, source):
    site = Site(tmp_path / "site", endpoints_text(f"file://{source}", systems=("hb",)), {})
    site.pulled()
    with sqlite3.connect(site.home / "pull" / "state.sqlite") as state:
        state.execute("update files set placed = 0 where folder = 'hb/20260110'")
    state.close()
    (site.landing / "hb/20260110/HSP_TRANSACTIONS.csv").unlink()
    (site.landing / "hb/20260110/_manifest.csv").unlink()
    site.pulled()
    assert tree(site.landing) == {path: digest for path, digest in tree(source).items() if path.startswith("hb/")}


# ---------------------------------------------------------------- secrets, doctor, Azure


def test_secrets_are_nowhere_but_in_the_environment(tmp_path, sftp, sftp_source, bucket, source, caplog, capfd):
    upload(bucket, source)
    written = []
    for number, site in enumerate((sftp_site(sftp, tmp_path / "a"), s3_site(bucket, tmp_path / "b"))):
        with caplog.at_level("DEBUG"):
            report = site.pulled()
        written.append(json.dumps(report.summary()) + repr(site.endpoints) + str(site.endpoints[0].options))
        site.environment = dict.fromkeys(site.environment, f"wrong{CANARY}")
        failed = site.pull() if number == 0 else report
        written.append(repr(failed))
        for file in [*site.home.rglob("*"), *site.landing.rglob("*"), site.file]:
            if file.is_file():
                written.append(file.read_bytes().decode("utf-8", "replace"))
    captured = capfd.readouterr()
    everything = "\n".join([*written, caplog.text, captured.out, captured.err])
    assert CANARY not in everything
    assert CANARY[2:12] not in everything


def test_doctor_sees_what_stands_there(tmp_path, sftp, sftp_source, bucket, source):
    upload(bucket, source)
    for site in (sftp_site(sftp, tmp_path / "a"), s3_site(bucket, tmp_path / "b")):
        said = {endpoint.system: probe(endpoint, CONTRACTS) for endpoint in site.endpoints}
        assert said["pou"] == "answers; 4 files, the newest in pou/20260111"
        assert not site.landing.exists()


AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def azure_site(folder, url):
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURE_KEY};"
        f"BlobEndpoint={url}/devstoreaccount1;"
    )
    options = "connection_string: '${env:AZURE_CONNECTION}'"
    text = endpoints_text("abfs://deliveries/out", options, ", block_bytes: 1000")
    return Site(folder / "site", text, {"AZURE_CONNECTION": connection})


def test_azure_blobs_land_byte_for_byte(tmp_path, source):
    server = BlobServer(tmp_path / "blobs", "deliveries")
    shutil.copytree(source, tmp_path / "blobs" / "out")
    site = azure_site(tmp_path, server.url)
    assert probe(site.endpoints[3], CONTRACTS) == "answers; 4 files, the newest in pou/20260111"
    assert site.pulled().files == 12
    assert tree(site.landing) == tree(source)
    assert site.pulled().files == 0
    server.close()


@pytest.mark.skipif(shutil.which("azurite") is None, reason="azurite (npm), the Azure storage emulator, is not on PATH")
def test_azurite_lands_byte_for_byte(tmp_path, source):
    from adlfs import AzureBlobFileSystem

    azurite = subprocess.Popen(["azurite", "--silent", "--inMemoryPersistence", "--skipApiVersionCheck"])
    try:
        site = azure_site(tmp_path, "http://127.0.0.1:10000")
        store = AzureBlobFileSystem(connection_string=site.environment["AZURE_CONNECTION"])
        for _ in range(50):
            try:
                store.mkdir("deliveries")
                break
            except Exception:
                time.sleep(0.2)
        for file in source.rglob("*"):
            if file.is_file():
                store.pipe_file(f"deliveries/out/{file.relative_to(source)}", file.read_bytes())
        assert site.pulled().files == 12
        assert tree(site.landing) == tree(source)
    finally:
        azurite.kill()
        azurite.wait()


def test_record_kinds_need_an_as_of(tmp_path):
    text = (
        "endpoints: {db: {system: pou, kind: database, driver: odbc, dsn: 'DSN=x', queries: {item: {sql: 'select 1'}}}}"
    )
    with pytest.raises(ValueError, match="--as-of for db"):
        Site(tmp_path / "site", text, {}).pull()


def test_a_writer_seals_a_delivery_of_records_the_manifest_last(tmp_path):
    query = "{HSP_TRANSACTIONS: {sql: 'select 1'}}"
    text = f"endpoints: {{db: {{system: hb, kind: database, driver: odbc, dsn: 'DSN=x', queries: {query}}}}}"
    site = Site(tmp_path / "site", text, {})
    as_of = AsOf.parse("2026-01-10")

    def writer(state):
        return DeliveryWriter(site.landing, CONTRACTS["hb"], site.endpoints[0], state)

    with PullState(site.home) as state:
        drop = writer(state).delivery(as_of)
        assert drop.plan({"until": 5}) == {"until": 5}
        with pytest.raises(ConnectionError), drop:
            with drop.file("HSP_TRANSACTIONS") as part:
                part.write(b"TX_ID\n1\n")
                part.rows = 1
            drop.then("cursor", "5")
            raise ConnectionError
        assert not (site.landing / "hb/20260110/_manifest.csv").exists()
        assert state.get("db", "cursor") is None
        (drop,) = writer(state).unfinished()
        with drop:
            assert drop.plan({"until": 9}) == {"until": 5}
            assert drop.has("HSP_TRANSACTIONS").rows == 1
            drop.then("cursor", "5")
        assert state.get("db", "cursor") == "5"
        assert writer(state).delivery(as_of).is_sealed
        assert writer(state).unfinished() == []
    digest = hashlib.sha256(b"TX_ID\n1\n").hexdigest()
    assert (site.landing / "hb/20260110/_manifest.csv").read_text() == (
        f"extract,row_count,hash_total\nHSP_TRANSACTIONS,1,{digest}\n"
    )


def test_records_are_pulled_beside_files_and_their_rows_are_counted(tmp_path, source):
    class Items(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            content = json.dumps([row("pou.item", item_no=f"PX00000{number}") for number in range(3)]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Items)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = endpoints_text(f"file://{source}", systems=("hb",)) + (
        f"  cabinets: {{system: pou, kind: rest, url: 'http://127.0.0.1:{server.server_port}', slot: '0600',"
        " resources: {item: {path: items}}}\n"
    )
    site = Site(tmp_path / "site", text, {})
    report = site.pulled(as_of=AsOf.parse("2026-01-11"))
    assert [(each.endpoint, each.files, each.rows) for each in report.pulled] == [
        ("hb_files", 2, None),
        ("cabinets", 1, 3),
    ]
    assert (site.landing / "pou/20260111/item_20260111_0600.ctl").read_text() == "rows=3;sum_qty=0\n"
    assert site.pulled(as_of=AsOf.parse("2026-01-11")).files == 0
    server.shutdown()
    server.server_close()
