"""Bulk exports and transaction files on their way from files to the lake."""

from __future__ import annotations

import gzip
import json

import polars as pl

from ingest.clock import AsOf
from ingest.run import ingest
from tests.unit.ingest.test_fhir import deletion, lines, resource
from tests.unit.ingest.test_fixed_width import detail, header, trailer, written

DAYS = ("20260428", "20260429", "20260430")


def export(landing, day: str, deleted: bytes | None = None, **files: bytes) -> None:
    """One bulk export: part files by name, the extract before the double underscore."""
    folder = landing / "ehr_fhir" / day
    folder.mkdir(parents=True)
    manifest = {
        "transactionTime": f"{day[:4]}-{day[4:6]}-{day[6:]}T05:00:00Z",
        "output": [],
        "deleted": [],
        "error": [],
    }
    for name, content in files.items():
        kind, part = name.split("__")
        file = f"{kind}.{part}.ndjson"
        (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        manifest["output"].append({"type": kind, "url": f"https://h8/{file}", "count": content.count(b"\n")})
    if deleted is not None:
        (folder / "deleted.1.ndjson.gz").write_bytes(gzip.compress(deleted))
        manifest["deleted"].append({"type": "Bundle", "url": "https://h8/deleted.1.ndjson", "count": 1})
    (folder / "manifest.json").write_text(json.dumps(manifest))


def night(landing, day: str, database: int, content: bytes) -> None:
    folder = landing / "mmis" / day / f"db{database}"
    folder.mkdir(parents=True)
    (folder / f"TXN{day[2:]}.DAT").write_bytes(content)


def run(landing, home, system: str, as_of: str = "2026-04-30"):
    report = ingest(landing, home, AsOf.parse(as_of), "run", systems=[system])
    return {counts.feed.partition(".")[2]: counts for counts in report.extracts}


def landed(home, feed: str) -> pl.DataFrame:
    system, extract = feed.split(".")
    files = [file for file in (home / "lake").rglob("*.parquet") if {system, extract} <= set(file.parts)]
    assert files
    return pl.concat([pl.read_parquet(file) for file in files], how="diagonal_relaxed")


def attempts(home) -> pl.DataFrame:
    return pl.read_parquet(home / "lake" / "meta" / "attempts.parquet")


def test_an_export_that_is_split_anew_brings_no_news(tmp_path):
    """Quirk Q39."""
    each = [resource(id=f"s{n}", status="completed") for n in range(30)]
    landing, home = tmp_path / "landing", tmp_path / "home"
    export(landing, DAYS[0], SupplyDelivery__1=lines(*each[:10]), SupplyDelivery__2=lines(*each[10:]))
    assert run(landing, home, "ehr_fhir")["SupplyDelivery"].rows_landed == 30
    export(
        landing,
        DAYS[1],
        SupplyDelivery__1=lines(*each[20:]),
        SupplyDelivery__2=b"",
        SupplyDelivery__3=lines(*each[:20], resource(id="new", status="completed")),
    )
    again = run(landing, home, "ehr_fhir")["SupplyDelivery"]
    assert (again.rows_landed, again.rows_repeated, again.rows_quarantined) == (1, 30, 0)


def test_a_deletion_lands_once_for_the_key_of_its_resource(tmp_path):
    """Quirk Q36: the deleted output removes a line that was counted before."""
    landing, home = tmp_path / "landing", tmp_path / "home"
    export(
        landing,
        DAYS[0],
        SupplyDelivery__1=lines(resource(id="s1", status="completed"), resource(id="s2", status="completed")),
    )
    run(landing, home, "ehr_fhir")
    export(landing, DAYS[1], deleted=lines(deletion("SupplyDelivery/s1", "Claim/c1")))
    counts = run(landing, home, "ehr_fhir")
    assert counts["SupplyDelivery"].rows_landed == 1
    assert sum(each.rows_quarantined for each in counts.values()) == 1
    rows = landed(home, "ehr_fhir.SupplyDelivery").sort("_delivered", "_line")
    assert rows.select("id", "version_id", "_op").rows() == [
        ("s1", "3", "U"),
        ("s2", "3", "U"),
        ("s1", "deleted 2026-04-29T05:00:00Z", "D"),
    ]


def test_a_bad_resource_is_quarantined_alone_and_delivered_is_landed_plus_quarantined(tmp_path):
    landing, home = tmp_path / "landing", tmp_path / "home"
    procedure = resource(
        "Procedure", "p1", status="completed", focalDevice=[{"manipulated": {"reference": "Device/d1"}}, {}]
    )
    broken = resource("Procedure", "p2", status={"not": "text"})
    export(
        landing,
        DAYS[0],
        Procedure__1=lines(procedure, b"{", broken, resource("Claim")),
        Device__1=lines(resource("Device")),
    )
    counts = run(landing, home, "ehr_fhir")
    found = {name: (each.rows_delivered, each.rows_landed, each.rows_quarantined) for name, each in counts.items()}
    assert found["Procedure"] == (4, 1, 3)
    assert found["ProcedureDevice"] == (2, 1, 1)
    assert found["Device"] == (1, 1, 0)


def test_a_transaction_file_lands_unless_it_was_cut(tmp_path):
    """Quirk Q71: a wrong trailer is told, a missing one refuses."""
    landing, home = tmp_path / "landing", tmp_path / "home"
    night(landing, DAYS[0], 1, written(header(), detail(1), detail(2), trailer(2, "-3.00")))
    night(landing, DAYS[1], 1, written(header(), detail(3), trailer(1, "77.00")))
    night(landing, DAYS[1], 2, written(header(IDB="2"), detail(4), detail(5)))
    night(landing, DAYS[2], 1, written(header(), detail(6), trailer(2, "-1.50")))
    counts = run(landing, home, "mmis")["TXN"]
    assert (counts.rows_landed, counts.rows_quarantined, counts.files_refused) == (3, 3, 2)
    told = (
        attempts(home)
        .filter(extract="TXN")
        .sort("file")
        .select("outcome", "reason", "manifest_rows", "manifest_hash_ok")
    )
    assert told.rows() == [
        ("landed", None, 2, True),
        ("landed", None, 1, False),
        ("quarantined", "no trailer record", None, None),
        ("quarantined", "1 rows, the trailer states 2", None, None),
    ]


def test_a_rerun_of_the_day_repeats_its_transactions(tmp_path):
    """Quirk Q72: the transaction number of the database is the identity, not the place in the file."""
    landing, home = tmp_path / "landing", tmp_path / "home"
    night(landing, DAYS[0], 1, written(header(), detail(1), detail(2), trailer(2, "-3.00")))
    run(landing, home, "mmis")
    rerun = written(header(RUN_NO="002"), detail(1), detail(2), detail(3), trailer(3, "-4.50"))
    night(landing, DAYS[1], 1, rerun)
    counts = run(landing, home, "mmis")["TXN"]
    assert (counts.rows_landed, counts.rows_repeated) == (1, 2)
