"""The landing rule: what lands is a function of the set of deliveries, in whatever order they arrive."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import shape
from ingest.batches import BatchLedger
from ingest.contract import Column, ColumnType
from ingest.landing import hashed, hashes, key_hashes, new_versions, state_of, versions_of
from ingest.sources import Sources
from tests.unit.ingest.landing_builder import Landing, attempts, extract_of, lake, only_attempt, row, run

SNAPSHOT = "erp_lawson.GLNAMES"
EMPTIABLE = "hb.HSP_ACCT_STOP_BILL"
INCREMENTAL = "ehr.OR_LOG_ALL_PROC"
EVENT = "pou.count"
HASHES = (8936310647889457274, 13344980209622252297, 11195684656168397103)


def glname(key, value):
    return row(SNAPSHOT, COMPANY="1005", ACCT_UNIT=f"U{key}", DESCRIPTION=f"v{value}")


def procedure(key, value):
    return row(INCREMENTAL, LOG_ID=f"{key}", LINE="1", OR_PROC_ID=f"v{value}")


def counted(key, value):
    return row(EVENT, count_doc=f"C{key}", line_no="1", lot=f"v{value}")


def versions(frame, key, value):
    """(operation, key, value, delivery) of what landed."""
    return [(each["_op"], each[key], each[value], each["_delivered"]) for each in frame.iter_rows(named=True)]


def expected(deliveries, load):
    """The rule in plain Python: [(delivery, [(key, value)])] to [(operation, key, value, delivery)]."""
    landed, state, seen, before = [], {}, set(), None
    for delivery, rows in deliveries:
        content = tuple(rows)
        if not rows:
            before = None
            continue
        if load != "snapshot" and content in seen and (load == "event" or content != before):
            before = content
            continue
        is_repeat = content == before
        seen.add(content)
        before = content
        if is_repeat:
            continue
        if load == "snapshot":
            here = {key for key, _ in rows}
            for key in sorted(set(state) - here):
                landed.append(("D", key, None, delivery))
                del state[key]
        for key, value in rows:
            if load == "event" and key in state:
                continue
            if state.get(key) != value:
                landed.append(("U", key, value, delivery))
            state[key] = value
    return sorted(landed, key=repr)


ROWS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 2)), max_size=4, unique_by=lambda each: each[0])
DAYS = st.lists(ROWS, min_size=1, max_size=6)


@settings(max_examples=8, deadline=None)
@given(DAYS, DAYS, DAYS, st.data())
def test_any_order_of_arrival_gives_the_lake_of_the_landing_rule(tmp_path_factory, pictures, changes, events, data):
    made = {
        SNAPSHOT: [[glname(*each) for each in rows] for rows in pictures],
        INCREMENTAL: [[procedure(*each) for each in rows] for rows in changes],
        EVENT: [[counted(*each) for each in rows] for rows in events],
    }
    arrivals = [(feed, number) for feed, days in made.items() for number in range(len(days))]
    arrivals = data.draw(st.permutations(arrivals))
    root = tmp_path_factory.mktemp("order")
    landing, home = Landing(root / "landing"), root / "home"
    systems = ["erp_lawson", "ehr", "pou"]
    while arrivals:
        batch = data.draw(st.integers(1, len(arrivals)))
        for feed, number in arrivals[:batch]:
            landing.put(feed, f"202601{number + 1:02d}", made[feed][number])
        arrivals = arrivals[batch:]
        run(landing, home, systems=systems)
    for feed, days, load, key, value, slot in (
        (SNAPSHOT, pictures, "snapshot", "ACCT_UNIT", "DESCRIPTION", "0000"),
        (INCREMENTAL, changes, "incremental", "LOG_ID", "OR_PROC_ID", "0000"),
        (EVENT, events, "event", "count_doc", "lot", "0600"),
    ):
        form = {"ACCT_UNIT": "U{}", "LOG_ID": "{}", "count_doc": "C{}"}[key]
        deliveries = [
            (f"202601{number + 1:02d}/{slot}", [(form.format(k), f"v{v}") for k, v in rows])
            for number, rows in enumerate(days)
        ]
        assert sorted(versions(lake(home, feed), key, value), key=repr) == expected(deliveries, load)
    for each in attempts(home):
        assert each["rows_delivered"] == each["rows_landed"] + each["rows_repeated"] + each["rows_quarantined"]
    run(landing, root / "straight", systems=systems)
    assert attempts(home) == attempts(root / "straight")
    before = {feed: lake(home, feed) for feed in made}
    again = run(landing, home, systems=systems)
    assert (again.files, again.rows_landed) == (0, 0)
    assert all(lake(home, feed).equals(before[feed]) for feed in made)
    shutil.rmtree(root)


def test_a_key_that_left_a_snapshot_and_came_back_lands_again(tmp_path):
    landing = Landing(tmp_path / "landing")
    landing.put(SNAPSHOT, "20260101", [glname(1, 1), glname(2, 1)])
    landing.put(SNAPSHOT, "20260102", [glname(1, 1)])
    landing.put(SNAPSHOT, "20260103", [glname(1, 1), glname(2, 1)])
    run(landing, tmp_path / "home")
    found = versions(lake(tmp_path / "home", SNAPSHOT), "ACCT_UNIT", "DESCRIPTION")
    assert found == [
        ("U", "U1", "v1", "20260101/0000"),
        ("U", "U2", "v1", "20260101/0000"),
        ("D", "U2", None, "20260102/0000"),
        ("U", "U2", "v1", "20260103/0000"),
    ]


def test_an_empty_snapshot_empties_only_what_may_be_empty(tmp_path):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    landing.put(SNAPSHOT, "20260101", [glname(1, 1)])
    landing.put(SNAPSHOT, "20260102", [])
    landing.put(EMPTIABLE, "20260101", [row(EMPTIABLE, HSP_ACCOUNT_ID="600000001", LINE="1")])
    landing.put(EMPTIABLE, "20260102", [])
    run(landing, home)
    assert lake(home, SNAPSHOT)["_op"].to_list() == ["U"]
    assert lake(home, EMPTIABLE)["_op"].to_list() == ["U", "D"]
    emptied = only_attempt(home, extract="HSP_ACCT_STOP_BILL", outcome="no_rows")
    assert emptied["rows_tombstoned"] == 1


def test_a_snapshot_whose_cursor_is_in_its_key_leaves_no_tombstones(tmp_path):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    for day in ("01", "02"):
        landing.put("pou.onhand", f"202601{day}", [row("pou.onhand", snapshot_date=f"2026-01-{day}")])
    run(landing, home)
    assert lake(home, "pou.onhand")["_op"].to_list() == ["U", "U"]


def test_a_refused_row_does_not_make_its_key_go(tmp_path):
    """The row of a snapshot was delivered, only one value of it was wrong."""
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    landing.put(SNAPSHOT, "20260101", [glname(1, 1), glname(2, 1)])
    landing.put(SNAPSHOT, "20260102", [glname(1, 1), glname(2, 2) | {"POSTING_FLAG": "Q"}])
    landing.put(SNAPSHOT, "20260103", [glname(1, 1)])
    run(landing, home)
    found = versions(lake(home, SNAPSHOT), "ACCT_UNIT", "DESCRIPTION")
    assert found[2:] == [("D", "U2", None, "20260103/0000")]


def test_a_snapshot_with_a_ragged_row_says_nothing_about_missing_keys(tmp_path):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    landing.put(SNAPSHOT, "20260101", [glname(1, 1), glname(2, 1)])
    landing.put(
        SNAPSHOT,
        "20260102",
        content=b"COMPANY,ACCT_UNIT,DESCRIPTION,ACTIVE_STATUS,POSTING_FLAG\n1005,U1,v1,A,P\n1005,U2\n",
        stated_rows=2,
    )
    run(landing, home)
    assert lake(home, SNAPSHOT)["_op"].to_list() == ["U", "U"]


def test_a_larger_history_than_one_stretch_lands_the_same(tmp_path, monkeypatch):
    landing = Landing(tmp_path / "landing")
    for day in range(1, 9):
        landing.put(SNAPSHOT, f"202601{day:02d}", [glname(k, (day + k) // 3) for k in range(1, 6) if (k + day) % 4])
        landing.put(INCREMENTAL, f"202601{day:02d}", [procedure(k, (day + k) // 3) for k in range(day, day + 3)])
    run(landing, tmp_path / "whole")
    monkeypatch.setattr("ingest.sources.STRETCH", 1)
    run(landing, tmp_path / "cut")
    for feed in (SNAPSHOT, INCREMENTAL):
        assert lake(tmp_path / "whole", feed).equals(lake(tmp_path / "cut", feed))


def test_a_corrected_file_under_the_same_name_lands_as_if_it_had_been_right_at_first(tmp_path):
    landing, right = Landing(tmp_path / "landing"), Landing(tmp_path / "right")
    landing.put(INCREMENTAL, "20260101", [procedure(1, 1)])
    landing.put(INCREMENTAL, "20260102", [procedure(1, 2)])
    landing.put(INCREMENTAL, "20260103", [procedure(1, 3)])
    run(landing, tmp_path / "home")
    landing.put(INCREMENTAL, "20260102", [procedure(1, 1), procedure(9, 1)])
    report = run(landing, tmp_path / "home")
    assert report.remade == (INCREMENTAL,)
    right.put(INCREMENTAL, "20260101", [procedure(1, 1)])
    right.put(INCREMENTAL, "20260102", [procedure(1, 1), procedure(9, 1)])
    right.put(INCREMENTAL, "20260103", [procedure(1, 3)])
    run(right, tmp_path / "other")
    assert versions(lake(tmp_path / "home", INCREMENTAL), "LOG_ID", "OR_PROC_ID") == versions(
        lake(tmp_path / "other", INCREMENTAL), "LOG_ID", "OR_PROC_ID"
    )


def test_many_small_runs_stay_in_few_parts_and_land_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.extract_run.MOST_PARTS", 3)
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    for day in range(1, 13):
        landing.put(SNAPSHOT, f"202601{day:02d}", [glname(k, (day + k) // 3) for k in range(1, 6) if (k + day) % 4])
        landing.put(INCREMENTAL, f"202601{day:02d}", [procedure(k, (day + k) // 3) for k in range(day, day + 3)])
        run(landing, home, systems=["erp_lawson", "ehr"])
    run(landing, tmp_path / "whole", systems=["erp_lawson", "ehr"])
    for feed in (SNAPSHOT, INCREMENTAL):
        assert len(list((home / "lake/raw" / feed.replace(".", "/")).glob("*.parquet"))) <= 6
        assert lake(home, feed).equals(lake(tmp_path / "whole", feed))
    assert attempts(home) == attempts(tmp_path / "whole")


def test_a_late_delivery_makes_only_what_follows_it_again(tmp_path, monkeypatch):
    """What stood before it in the same part is carried over, without reading its deliveries once more."""
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    for day in (1, 2, 4, 5):
        landing.put(INCREMENTAL, f"202601{day:02d}", [procedure(1, day), procedure(day, 1)])
    run(landing, home)
    landing.put(INCREMENTAL, "20260103", [procedure(1, 3), procedure(3, 1)])
    read = []
    original = Sources._texts
    monkeypatch.setattr(Sources, "_texts", lambda self, source: read.append(source) or original(self, source))
    run(landing, home)
    assert {source.delivered.file.split("/")[1] for source in read} == {"20260103", "20260104", "20260105"}
    run(landing, tmp_path / "straight")
    assert lake(home, INCREMENTAL).equals(lake(tmp_path / "straight", INCREMENTAL))


def test_a_contract_is_judged_once_for_an_extract_and_run(tmp_path, monkeypatch):
    """A Pandera call costs about 12 ms, however small the frame; a hospital sends thousands of small files."""
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    for number in range(40):
        landing.put(EVENT, "20260101", [counted(number, 1)], slot=f"{number // 2:02d}{number % 2 * 30:02d}")
    judged = []
    original = shape._pass
    monkeypatch.setattr(shape, "_pass", lambda extract, good: judged.append(extract.feed) or original(extract, good))
    assert run(landing, home).files == 40
    assert judged == [EVENT]


def test_a_hash_is_the_sum_of_the_seeded_hashes_of_its_values():
    """Landing compares hashes that were written years ago, by another version or on another machine.

    The numbers are XXH3's, from its own library, seeded with the SHA-256 of the column's name.
    """
    said = pl.DataFrame({"a": ["1005", None, "é" * 200, None], "b": ["EA", "EA", None, None]})
    a, b, long = HASHES
    assert hashes(said, ["a", "b"]).to_list() == [(a + b) % 2**64, b, long, 0]
    assert hashes(said, ["b", "a"]).to_list() == hashes(said, ["a", "b"]).to_list()
    wide = said.select(pl.col("a").alias(f"c{number}") for number in range(40))
    rows = pl.concat([wide] * 3_000)
    assert hashes(rows, rows.columns)[:4].to_list() == hashes(wide, wide.columns).to_list()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.none() | st.text("01Y\x1f", min_size=1, max_size=3), min_size=3, max_size=3), max_size=40))
def test_rows_hash_alike_only_when_they_say_the_same(rows):
    said = pl.DataFrame(rows, schema=dict.fromkeys("abc", pl.String), orient="row")
    made = dict(zip(map(tuple, rows), hashes(said, ["a", "b", "c"]).to_list(), strict=True))
    assert len(set(made.values())) == len(made)


def identified(identity, fallback=(), **empty_means):
    columns = {name: Column(name, ColumnType("string"), "string") for name in ("message", "line", "account")}
    columns |= {name: replace(columns[name], empty_means=meaning) for name, meaning in empty_means.items()}
    like = extract_of(INCREMENTAL)
    return replace(like, key=(), idempotency_key=identity, fallback_key=fallback, columns=columns)


def test_a_row_without_its_identity_is_known_by_the_fallback_key_and_never_taken_for_another():
    rows = pl.DataFrame(
        [("M1", "1", "A"), ("M1", None, "A"), (None, "1", "A"), (None, "2", "A"), (None, "1", "B"), ("A", "1", None)],
        schema=dict.fromkeys(("message", "line", "account"), pl.String),
        orient="row",
    )
    made = key_hashes(identified(("message", "line"), ("account",)), rows).to_list()
    assert made[1] == made[2] == made[3]
    assert len({made[0], made[1], made[4], made[5]}) == 4
    filled = key_hashes(identified(("message", "line"), ("account",), line="1"), rows).to_list()
    assert filled[1] == filled[0] == made[0] and filled[2:] == made[2:]
    without = key_hashes(identified(("message", "line")), rows).to_list()
    assert without == hashes(rows, ["message", "line"]).to_list()
    assert hashed(replace(identified(("message", "line"), ("account",))), rows)["_key_hash"].to_list() == made


def lands(load, rows, state=()):
    """Whether rows of (key, row hash, operation) land after a state of the same form."""
    named = {"_key_hash": pl.UInt64, "_row_hash": pl.UInt64, "_op": pl.String}
    frame = pl.DataFrame(list(rows), schema=named, orient="row").with_columns(_snapshot=pl.lit(0, pl.Int64))
    known = pl.DataFrame(list(state), schema=named, orient="row")
    return new_versions(replace(extract_of(INCREMENTAL), load=load), frame, known).lands.to_list()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.sampled_from("UD")), max_size=8), max_size=5),
    st.integers(0, 5),
    st.none() | st.lists(st.integers(0, 6), max_size=5),
)
def test_the_state_of_a_key_is_the_same_from_the_disk_and_from_what_a_run_remembers(landed, kept, keys):
    kinds = {"_key_hash": pl.UInt64, "_row_hash": pl.UInt64, "_op": pl.String}
    frames = [pl.DataFrame(rows, schema=kinds, orient="row") for rows in landed]
    asked = None if keys is None else pl.Series("_key_hash", keys, dtype=pl.UInt64)
    latest = {key: (key, row_hash, op) for rows in landed for key, row_hash, op in rows if keys is None or key in keys}
    with TemporaryDirectory() as folder:
        parts = [Path(folder, f"{number}.parquet") for number in range(len(frames))]
        for part, frame in zip(parts, frames, strict=True):
            frame.write_parquet(part)
        state = state_of(parts[:kept], asked, since=[versions_of(frame) for frame in frames[kept:]])
    assert sorted(state.iter_rows()) == sorted(latest.values())


def test_a_deletion_that_the_source_sends_is_a_version_like_any_other():
    rows = [(1, 5, "U"), (1, 7, "D"), (1, 7, "D"), (1, 5, "U"), (2, 7, "D"), (3, 5, "D")]
    assert lands("incremental", rows, [(2, 7, "D"), (3, 5, "U")]) == [True, True, False, True, False, True]


def test_an_event_lands_once_and_once_more_as_deleted():
    rows = [(1, 5, "U"), (1, 6, "U"), (1, 7, "D"), (1, 5, "U"), (1, 8, "D"), (2, 7, "D"), (3, 7, "D")]
    assert lands("event", rows, [(2, 7, "D"), (3, 5, "U")]) == [True, False, True, False, False, False, True]


VERSIONS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from("UUD")), max_size=12)


@settings(max_examples=60, deadline=None)
@given(VERSIONS, st.dictionaries(st.integers(1, 4), st.tuples(st.integers(1, 3), st.sampled_from("UD"))))
def test_rows_land_by_the_rule_however_many_have_their_key_alone(rows, known):
    state, seen, deleted = dict(known), set(known), {key for key, (_, op) in known.items() if op == "D"}
    versions, events = [], []
    for key, row_hash, op in rows:
        versions.append(state.get(key) != (row_hash, op))
        state[key] = (row_hash, op)
        events.append(key not in deleted if op == "D" else key not in seen)
        seen.add(key)
        deleted |= {key} if op == "D" else set()
    before = [(key, *each) for key, each in known.items()]
    assert lands("incremental", rows, before) == versions
    assert lands("event", rows, before) == events


@pytest.mark.parametrize("failing", [1, 2, 4])
def test_a_part_that_cannot_be_written_stops_the_run_and_leaves_nothing(tmp_path, monkeypatch, failing):
    """Parts are written behind the run: what fails there is told, and the next run lands all."""
    landing, home, undisturbed = Landing(tmp_path / "landing"), tmp_path / "home", tmp_path / "undisturbed"
    for day in range(1, 5):
        landing.put(INCREMENTAL, f"202601{day:02d}", [procedure(key, day) for key in range(3)])
    monkeypatch.setattr("ingest.sources.STRETCH", 1)
    run(landing, undisturbed, systems=["ehr"])
    written, write = [], pl.DataFrame.write_parquet

    def fills_the_disk(frame, stream, **options):
        written.append(stream)
        if len(written) == failing:
            stream.write(b"PAR1 and no more")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(frame, stream, **options)

    with monkeypatch.context() as disk:
        disk.setattr(pl.DataFrame, "write_parquet", fills_the_disk)
        with pytest.raises(OSError, match="No space left") as told:
            run(landing, home, systems=["ehr"])
    assert len(written) == failing
    assert told.value.__notes__ == [
        f"{INCREMENTAL}: a part could not be written; its deliveries are read again by the next run"
    ]
    raw = home / "lake" / "raw"
    assert not list(raw.rglob("*.writing*"))
    assert {path.name for path in raw.rglob("*.parquet")} == {"_empty.parquet"}
    with BatchLedger(home / "lake") as ledger:
        assert not ledger.latest_attempts()
        assert not ledger.parts(*INCREMENTAL.split("."))
    report = run(landing, home, systems=["ehr"])
    assert len(report.recovered) == failing - 1
    assert (report.files, report.rows_landed) == (4, 12)
    columns = ["LOG_ID", "OR_PROC_ID", "_op", "_file", "_line", "_batch_id", "_row_hash"]
    assert lake(home, INCREMENTAL).select(columns).equals(lake(undisturbed, INCREMENTAL).select(columns))
