"""Publishing: candidate, audit, snapshot, switch, rollback, content hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality import publish
from quality.publish import AuditFailed, PublishError, RunIdentity

KEYS = {
    "facts.fct_po_line": ["po_line_key"],
    "recon.rec_grni": ["entity_key"],
    "finance.grni_aging": ["po_line_key"],
    "quality.exceptions": ["exception_id"],
    "quality.control_totals": ["hop", "feed", "measure", "batch_id"],
}

EXCEPTION_COLUMNS = """
    exception_id varchar, occurrence integer, rule_id varchar, rule_version varchar, tolerance_version varchar,
    severity varchar, queue varchar, facility_id varchar, entity_key varchar, business_date date, fiscal_period varchar,
    impact_amount decimal(18,2), root_exception_id varchar, status varchar, first_detected_at timestamp,
    last_detected_at timestamp, closed_at timestamp, due_at timestamp, explanation varchar, evidence json
"""


def build_file(path: Path, *, unbilled: str = "10.00", shuffled: int | None = None, status: str = "open") -> Path:
    """A build that passes its audit: three PO lines, their accruals, one exception, totals that add up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    lines = [("l1", Decimal("1.5"), "t_aa"), ("l2", Decimal("2"), "t_bb"), ("l3", None, "t_cc")]
    if shuffled is not None:
        random.Random(shuffled).shuffle(lines)
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        for schema in ("raw", "staging", "conformed", "facts", "recon", "finance", "quality"):
            connection.execute(f"create schema {schema}")
        connection.execute("create view staging.stg_pou__txn as select 1 as one")
        connection.execute(
            "create table facts.fct_po_line"
            " (po_line_key varchar, ordered_each decimal(18,4), serial_token varchar, source_file varchar)"
        )
        connection.executemany(
            "insert into facts.fct_po_line values (?, ?, ?, ?)", [(*line, f"file-{shuffled}") for line in lines]
        )
        for table in ("recon.rec_grni (entity_key", "finance.grni_aging (po_line_key"):
            connection.execute(f"create table {table} varchar, unbilled_amount decimal(18,2))")
        connection.execute(f"insert into recon.rec_grni values ('l1', {unbilled})")
        connection.execute("insert into finance.grni_aging values ('l1', 10.00)")
        connection.execute(f"create table quality.exceptions ({EXCEPTION_COLUMNS})")
        connection.execute(
            "insert into quality.exceptions values ('e1', 1, 'M3-05', '1', '1', 'S4', 'AP', 'H1', 'po=1|line=1',"
            " date '2026-04-01', '2026-04', 10.00, null, ?, timestamp '2026-04-02', timestamp '2026-04-30', null,"
            " null, 'unbilled', '[]')",
            [status],
        )
        connection.execute(
            "create table quality.control_totals"
            " (hop varchar, feed varchar, measure varchar, value decimal(38,4), batch_id varchar)"
        )
        totals = {"delivered": 5, "landed": 3, "quarantined": 1, "repeated": 1, "staged": 2, "superseded": 1}
        states = {"conformed": 3, "matched": 1, "out_of_scope: service": 2}
        connection.executemany(
            "insert into quality.control_totals values (?, ?, 'rows', ?, 'b1')",
            [(hop, "pou.txn", rows) for hop, rows in totals.items()]
            + [(hop, "po_line", rows) for hop, rows in states.items()],
        )
    return path


def identity(run_id: str = "run-1", as_of: str = "2026-04-30T23:59:59") -> RunIdentity:
    return RunIdentity(run_id, as_of, "0.1.0", "2026.1", "2026.1", [{"id": "b1"}], KEYS)


def publish_one(home: Path, run_id: str = "run-1", as_of: str = "2026-04-30T23:59:59", keep: int = 35, **build: object):
    work = home / "warehouse" / run_id
    build_db = build_file(work / "build.duckdb", **build)
    return publish.publish(build_db, work, home / "published", identity(run_id, as_of), keep=keep)


def test_a_snapshot_has_the_published_schemas_and_a_manifest_of_every_table(tmp_path):
    snapshot = publish_one(tmp_path)
    served = tmp_path / "published" / "current"
    assert served.readlink() == Path("snapshots") / snapshot.snapshot_id
    manifest = json.loads((served / "manifest.json").read_text())
    assert {"run_id", "snapshot_id", "as_of", "code_version", "rule_version", "tolerance_version", "batches"} <= set(
        manifest
    )
    assert set(manifest["tables"]) == set(KEYS)
    line = manifest["tables"]["facts.fct_po_line"]
    assert (line["rows"], line["key"], line["as_of"]) == (3, ["po_line_key"], "2026-04-30T23:59:59")
    with duckdb.connect(str(served / "suture.duckdb"), read_only=True) as connection:
        schemas = {
            row[0]
            for row in connection.execute("select distinct table_schema from information_schema.tables").fetchall()
        }
    assert schemas == {"facts", "recon", "finance", "quality"}


def test_the_file_is_written_for_duckdb_1_5(tmp_path):
    snapshot = publish_one(tmp_path)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{snapshot.database}' as snapshot (read_only)")
        tags = connection.execute("select tags from duckdb_databases() where database_name = 'snapshot'").fetchone()[0]
    assert tags["storage_version"].startswith("v1.5")


def test_the_same_content_and_as_of_is_recognised_as_the_same_snapshot(tmp_path):
    first = publish_one(tmp_path, "run-1")
    again = publish_one(tmp_path, "run-2", shuffled=3)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.snapshot_id == first.snapshot_id
    assert again.manifest["run_id"] == "run-1"
    assert len(publish.snapshots(tmp_path / "published")) == 1


def test_a_later_as_of_gives_a_new_snapshot_with_the_same_content_hashes(tmp_path):
    first = publish_one(tmp_path, "run-1", "2026-04-29T23:59:59")
    second = publish_one(tmp_path, "run-2", "2026-04-30T23:59:59")
    assert first.snapshot_id != second.snapshot_id
    assert _hashes(first) == _hashes(second)
    assert publish.current(tmp_path / "published").snapshot_id == second.snapshot_id


def _hashes(snapshot):
    return {table: entry["content_hash"] for table, entry in snapshot.manifest["tables"].items()}


def test_tokens_lineage_and_history_leave_the_content_hash_alone(tmp_path):
    first = publish_one(tmp_path / "a", status="open")
    second = publish_one(tmp_path / "b", status="reopened", shuffled=7)
    assert _hashes(first) == _hashes(second)


def test_a_break_that_matures_changes_the_content_hash_of_the_exceptions(tmp_path):
    timing, due = publish_one(tmp_path / "a", status="timing"), publish_one(tmp_path / "b", status="open")
    assert _hashes(timing)["quality.exceptions"] != _hashes(due)["quality.exceptions"]


def test_an_exception_that_no_longer_fires_is_no_content(tmp_path):
    closed = publish_one(tmp_path / "a", status="auto_cleared")
    assert _hashes(closed)["quality.exceptions"] == "0" * 32


def test_a_decision_about_an_exception_is_published_though_the_content_is_the_same(tmp_path):
    before = publish_one(tmp_path, "run-1", status="open")
    after = publish_one(tmp_path, "run-2", status="assigned")
    assert _hashes(before) == _hashes(after)
    assert before.snapshot_id != after.snapshot_id


def test_a_failed_audit_leaves_the_previous_snapshot_served_and_nothing_behind(tmp_path):
    served = publish_one(tmp_path, "run-1")
    with pytest.raises(AuditFailed, match="grni_aging") as failed:
        publish_one(tmp_path, "run-2", "2026-05-01T23:59:59", unbilled="11.00")
    assert publish.current(tmp_path / "published").snapshot_id == served.snapshot_id
    assert [path.name for path in (tmp_path / "published").iterdir() if path.name.startswith(".")] == []
    assert {finding.check for finding in failed.value.findings if finding.passed} >= {"keys_unique"}


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("insert into facts.fct_po_line select * from facts.fct_po_line limit 1", "keys_unique"),
        ("update facts.fct_po_line set po_line_key = null where po_line_key = 'l2'", "keys_unique"),
        ("update quality.control_totals set value = 4 where hop = 'landed'", "delivered_is_accounted_for"),
        ("update quality.control_totals set value = 0 where hop = 'staged'", "landed_is_accounted_for"),
        ("delete from quality.control_totals where hop = 'matched'", "conformed_is_judged_once"),
        ("insert into finance.grni_aging values ('l2', 0.01)", "finance_equals_facts"),
        ("drop table quality.control_totals", "delivered_is_accounted_for"),
        ("create table facts.fct_orphan as select 1 as a", "keys_declared"),
    ],
)
def test_every_check_of_the_audit_can_fail(tmp_path, damage, check):
    work = tmp_path / "warehouse" / "run-1"
    build_db = build_file(work / "build.duckdb")
    with duckdb.connect(str(build_db)) as connection:
        connection.execute(damage)
    with pytest.raises(AuditFailed) as failed:
        publish.publish(build_db, work, tmp_path / "published", identity())
    assert check in {finding.check for finding in failed.value.findings if not finding.passed}
    assert publish.current(tmp_path / "published") is None


def test_rollback_serves_an_older_snapshot_and_the_next_run_its_own(tmp_path):
    published = tmp_path / "published"
    first = publish_one(tmp_path, "run-1", "2026-04-29T23:59:59")
    publish_one(tmp_path, "run-2", "2026-04-30T23:59:59")
    publish.rollback(published, first.snapshot_id)
    assert publish.current(published).snapshot_id == first.snapshot_id
    third = publish_one(tmp_path, "run-3", "2026-05-01T23:59:59")
    assert publish.current(published).snapshot_id == third.snapshot_id


def test_rollback_refuses_a_snapshot_that_is_not_there_or_cannot_be_read(tmp_path):
    published = tmp_path / "published"
    first = publish_one(tmp_path, "run-1", "2026-04-29T23:59:59")
    second = publish_one(tmp_path, "run-2", "2026-04-30T23:59:59")
    with pytest.raises(PublishError, match="suture snapshots"):
        publish.rollback(published, "nothing")
    first.database.chmod(0o644)
    first.database.write_bytes(b"torn")
    with pytest.raises(PublishError, match="cannot be read"):
        publish.rollback(published, first.snapshot_id)
    assert publish.current(published).snapshot_id == second.snapshot_id


def test_only_the_newest_snapshots_are_kept_and_the_served_one_always(tmp_path):
    published = tmp_path / "published"
    first = publish_one(tmp_path, "run-1", "2026-04-01T23:59:59")
    for day in (2, 3, 4):
        publish_one(tmp_path, f"run-{day}", f"2026-04-0{day}T23:59:59", keep=2)
    assert [snapshot.as_of[:10] for snapshot in publish.snapshots(published)] == ["2026-04-04", "2026-04-03"]
    assert not first.folder.exists()


def test_what_a_killed_run_left_is_cleared_and_never_listed(tmp_path):
    published = tmp_path / "published"
    publish_one(tmp_path, "run-1")
    (published / ".candidate-dead").mkdir()
    (published / ".candidate-dead" / "suture.duckdb").write_bytes(b"half")
    (published / "snapshots" / "half").mkdir()
    assert len(publish.snapshots(published)) == 1
    publish_one(tmp_path, "run-2", "2026-05-01T23:59:59")
    assert not (published / ".candidate-dead").exists()


def test_export_writes_one_file_that_opens_alone_and_never_replaces_unasked(tmp_path):
    snapshot = publish_one(tmp_path)
    target = tmp_path / "out.duckdb"
    publish.export(tmp_path / "published", snapshot.snapshot_id[:15], target)
    with duckdb.connect(str(target), read_only=True) as connection:
        assert connection.execute("select count(*) from facts.fct_po_line").fetchone() == (3,)
    with pytest.raises(PublishError, match="--replace"):
        publish.export(tmp_path / "published", "current", target)
    publish.export(tmp_path / "published", "current", target, replace=True)


def test_readers_never_meet_an_error_while_snapshots_are_switched(tmp_path):
    """A reader that opens the link at any moment gets one whole snapshot."""
    published = tmp_path / "published"
    publish_one(tmp_path, "run-0", "2026-04-01T23:59:59")
    reader = (
        "import sys, duckdb, pathlib\n"
        "served = pathlib.Path(sys.argv[1]) / 'current' / 'suture.duckdb'\n"
        "reads = 0\n"
        "while not (pathlib.Path(sys.argv[1]) / 'stop').exists() or reads == 0:\n"
        "    with duckdb.connect(str(served), read_only=True) as connection:\n"
        "        assert connection.execute('select count(*) from facts.fct_po_line').fetchone() == (3,)\n"
        "    reads += 1\n"
    )
    process = subprocess.Popen([sys.executable, "-c", reader, str(published)], stderr=subprocess.PIPE, text=True)
    for number in range(1, 15):
        as_of = (date(2026, 4, 1) + timedelta(days=number)).isoformat()
        publish_one(tmp_path, f"run-{number}", f"{as_of}T23:59:59", keep=3)
    (published / "stop").touch()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_a_reader_keeps_the_snapshot_it_opened(tmp_path):
    publish_one(tmp_path, "run-0", "2026-04-01T23:59:59")
    connection = duckdb.connect(str(tmp_path / "published" / "current" / "suture.duckdb"), read_only=True)
    for number in range(2, 5):
        publish_one(tmp_path, f"run-{number}", f"2026-04-0{number}T23:59:59", keep=1)
    assert connection.execute("select sum(ordered_each) from facts.fct_po_line").fetchone() == (Decimal("3.5"),)
    connection.close()


cells = st.one_of(st.none(), st.text(max_size=6))
amounts = st.one_of(st.none(), st.decimals(-999, 999, places=2))
rows = st.lists(st.tuples(cells, amounts, st.one_of(st.none(), st.booleans())), max_size=12)


@settings(max_examples=25, deadline=None)
@given(rows=rows, seed=st.integers(0, 99), threads=st.sampled_from([1, 4]))
def test_a_content_hash_depends_on_the_rows_and_not_on_their_order_or_the_threads(rows, seed, threads):
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    assert _hash_of(rows, threads=1) == _hash_of(shuffled, threads=threads)


@settings(max_examples=25, deadline=None)
@given(rows=rows, more=st.tuples(cells, amounts, st.one_of(st.none(), st.booleans())))
def test_a_content_hash_tells_one_row_more(rows, more):
    assert _hash_of(rows) != _hash_of([*rows, more])


def _hash_of(rows, threads: int = 1) -> str:
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.execute("create table t (name varchar, amount decimal(18,2), is_open boolean)")
        if rows:
            connection.executemany("insert into t values (?, ?, ?)", rows)
        return publish.content_hash(connection, "t", "facts.t")


def test_a_content_hash_is_the_documented_sum_of_row_hashes():
    """The definition in so many words, so that no engine or refactoring changes it unseen."""
    with duckdb.connect() as connection:
        connection.execute(
            "create table t as select * from (values"
            " (date '2026-04-30', 1.50::decimal(18,2), 'a|b', timestamp '2026-04-30 06:45:00'),"
            " (null, null, null, null)"
            ") as v (day, amount, name, changed_at)"
        )
        computed = publish.content_hash(connection, "t", "facts.t")
    # In alphabetical order of the columns: amount, changed_at, day, name.
    digests = [
        hashlib.md5(text.encode()).digest()
        for text in ("v4:1.50|v26:2026-04-30 06:45:00.000000|v10:2026-04-30|v3:a|b", "n|n|n|n")
    ]
    halves = [
        sum(int.from_bytes(digest[part], "little") for digest in digests) % 2**64 for part in (slice(8), slice(8, 16))
    ]
    assert computed == "".join(f"{half:016x}" for half in halves)


KILLED = """
import os, sys
from pathlib import Path
from quality import publish
from tests.unit.quality.test_publish import publish_one

def die(*arguments, **options):
    os._exit(9)

home, step = Path(sys.argv[1]), sys.argv[2]
setattr(publish, step, die)
publish_one(home, "run-2", "2026-05-01T23:59:59", keep=1)
"""


@pytest.mark.parametrize(
    "step", ["_copy_tables", "audit", "describe_tables", "_keep_candidate", "_switch", "_retire", "_remove"]
)
def test_a_run_killed_at_any_step_of_publishing_leaves_a_whole_snapshot_served(tmp_path, step):
    published = tmp_path / "published"
    first = publish_one(tmp_path, "run-1", "2026-04-30T23:59:59")
    checkout = Path(__file__).resolve().parents[3]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), step], cwd=checkout, check=False)
    assert killed.returncode == 9
    for snapshot in publish.snapshots(published):
        publish.verify(snapshot)
    assert publish.current(published).as_of in {first.as_of, "2026-05-01T23:59:59"}
    again = publish_one(tmp_path, "run-3", "2026-05-01T23:59:59", keep=1)
    assert publish.current(published).snapshot_id == again.snapshot_id
    assert [path.name for path in published.iterdir() if path.name.startswith(".")] == []
