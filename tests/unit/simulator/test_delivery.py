"""The outbox writes what the contracts say, when they say it."""

from __future__ import annotations

import hashlib
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ingest.simulator import build_world
from ingest.simulator.chance import Chance
from ingest.simulator.delivery import CHICAGO, LateRow, Outbox
from ingest.simulator.events import World
from ingest.simulator.plan import DefectPlan
from tests.unit.simulator.clinical_world import small_world

START = date(2026, 2, 2)


def make_outbox(out: Path, repull: int = 3, slots: int = 4) -> Outbox:
    world = World(START, START + timedelta(days=9), 1)
    chance = Chance(1)
    outbox = Outbox(out, world, DefectPlan(world, chance, False, False, 10), chance, slots=slots, repull=repull)
    outbox.snapshot("ehr", "CLARITY_LOC", lambda d: [{"LOC_ID": "10100", "SERV_AREA_ID": "10"}])
    return outbox


def local(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 2, day, hour, minute, tzinfo=CHICAGO)


def log_row(log_id: str, status: int, at: datetime) -> dict[str, object]:
    return {"LOG_ID": log_id, "LOC_ID": "10100", "STATUS_C": status, "UPDATE_DATE": at}


def movement_row(number: int, at: datetime, quantity: str = "-1") -> dict[str, object]:
    return {
        "txn_id": f"T-{number:09d}",
        "txn_seq": number,
        "device_id": "T",
        "txn_type": "ISSUE",
        "site": "MAI",
        "location_code": "MAI-ORC-01",
        "item_no": "PX100001",
        "qty": Decimal(quantity),
        "uom": "EA",
        "qty_each": Decimal(quantity),
        "user_id": "U1",
        "txn_ts": at,
        "posted_at": at,
        "owner_type": "OWNED",
    }


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_nightly_folder_carries_the_events_of_the_day_before(tmp_path: Path) -> None:
    outbox = make_outbox(tmp_path)
    outbox.emit("ehr", "OR_LOG", log_row("1", 2, local(2, 23, 59)), local(2, 23, 59))
    outbox.close_day(START - timedelta(days=1))
    outbox.close_day(START)
    assert len(lines(tmp_path / "ehr/20260202/OR_LOG.csv")) == 1
    assert lines(tmp_path / "ehr/20260203/OR_LOG.csv")[1].startswith("1,")


def test_changed_rows_are_sent_again_for_the_days_of_the_re_pull_and_then_no_more(tmp_path: Path) -> None:
    outbox = make_outbox(tmp_path, repull=3)
    outbox.emit("ehr", "OR_LOG", log_row("1", 3, local(2, 10)), local(2, 10))
    for day in range(6):
        outbox.close_day(START + timedelta(days=day))
    counts = [len(lines(tmp_path / f"ehr/2026020{folder}/OR_LOG.csv")) - 1 for folder in range(3, 8)]
    assert counts == [1, 1, 1, 0, 0]


def test_the_latest_version_of_a_key_wins_inside_a_file(tmp_path: Path) -> None:
    outbox = make_outbox(tmp_path)
    outbox.emit("ehr", "OR_LOG", log_row("1", 2, local(2, 21)), local(2, 21))
    outbox.emit("ehr", "OR_LOG", log_row("1", 3, local(2, 20)), local(2, 20))
    outbox.close_day(START)
    (row,) = lines(tmp_path / "ehr/20260203/OR_LOG.csv")[1:]
    assert "2026-02-02 21:00:00" in row


def test_an_inventory_row_goes_to_the_slot_of_its_posting_on_the_same_date(tmp_path: Path) -> None:
    outbox = make_outbox(tmp_path)
    for number, at in enumerate((local(2, 5, 59), local(2, 6, 1), local(2, 23, 58)), start=1):
        outbox.emit("pou", "txn", movement_row(number, at), at)
    outbox.close_day(START)
    found = {path.name: len(lines(path)) - 1 for path in sorted((tmp_path / "pou/20260202").glob("*.csv"))}
    assert found["txn_20260202_0600.csv"] == found["txn_20260202_1200.csv"] == found["txn_20260202_2359.csv"] == 1


def test_the_trailer_of_an_inventory_file_adds_up_its_quantities(tmp_path: Path) -> None:
    outbox = make_outbox(tmp_path)
    for number, quantity in ((1, "-1.5"), (2, "4")):
        outbox.emit("pou", "txn", movement_row(number, local(2, 8), quantity), local(2, 8))
    outbox.close_day(START)
    assert (tmp_path / "pou/20260202/txn_20260202_1200.ctl").read_text().strip() == "rows=2;sum_qty=2.50"


def test_a_cloud_window_repeats_the_rows_of_its_last_hour_in_the_next_slot(tmp_path: Path) -> None:
    outbox = make_outbox(tmp_path)
    for number, minute in ((1, 10), (2, 50)):
        at = datetime(2026, 2, 2, 11, minute, tzinfo=UTC) - timedelta(minutes=30)
        row = {
            "RequisitionHeaderId": number,
            "RequisitionNumber": f"SR{number}",
            "ReqBuId": 1,
            "DocumentStatus": "APPROVED",
            "CreationDate": at,
            "LastUpdateDate": at,
        }
        outbox.emit("erp_fusion", "REQ_HEADERS", row, at)
    outbox.close_day(START)
    slots = {}
    for slot in ("1200", "1800"):
        path = tmp_path / f"erp_fusion/20260202/{slot}/REQ_HEADERS.zip"
        if path.exists():
            with zipfile.ZipFile(path) as archive:
                slots[slot] = len(archive.read("REQ_HEADERS_1.csv").splitlines()) - 1
    assert slots == {"1200": 2, "1800": 1}


def test_a_row_for_a_file_that_is_written_is_refused(tmp_path: Path) -> None:
    outbox = make_outbox(tmp_path)
    outbox.close_day(START)
    with pytest.raises(LateRow):
        outbox.emit("ehr", "OR_LOG", log_row("1", 2, local(2, 9)), local(2, 9))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"NO_SUCH": "x"}, KeyError),
        ({"STATUS_C": 9}, ValueError),
        ({"LOC_ID": None}, ValueError),
        ({"OR_COST": Decimal("1.234")}, ValueError),
    ],
)
def test_a_row_that_breaks_its_contract_is_refused(tmp_path: Path, change: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        make_outbox(tmp_path).emit("ehr", "OR_LOG", {**log_row("1", 2, local(2, 9)), **change}, local(2, 9))


def test_the_legacy_erp_writes_blanks_zeros_and_its_empty_date_for_nothing(tmp_path: Path) -> None:
    outbox = make_outbox(tmp_path)
    outbox.emit(
        "erp_lawson", "PURCHORDER", {"COMPANY": 1005, "PO_NUMBER": "       1000001", "PO_CODE": " "}, local(2, 9)
    )
    outbox.close_day(START)
    header, row = lines(tmp_path / "erp_lawson/20260203/PURCHORDER.csv")
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert cells["PO_NUMBER"] == "       1000001"
    assert {value for name, value in cells.items() if name.endswith("DATE")} <= {"17530101"}
    assert "" not in cells.values()


def test_manifests_state_the_bytes_of_every_file_that_is_not_faulty() -> None:
    world, out = small_world()
    checked = 0
    for file in world.files:
        is_listed = file.system in ("ehr", "hb", "ref") and not file.path.startswith("hb/835/")
        if is_listed and file.manifest_hash_matches and file.rows == file.stated_rows:
            manifest = (out / file.system / f"{file.folder_date:%Y%m%d}" / "_manifest.csv").read_text()
            digest = hashlib.sha256((out / file.path).read_bytes()).hexdigest()
            assert f"{file.extract},{file.rows},{digest}" in manifest
            checked += 1
    assert checked > 500


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        build_world(tmp_path / name, date(2026, 3, 5), 5, 0.02, 3)
    first = {path.relative_to(tmp_path / "first"): path for path in (tmp_path / "first").rglob("*") if path.is_file()}
    assert len(first) > 300
    for name, path in first.items():
        assert path.read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_names_and_numbers_of_patients_are_sent_so_that_the_door_can_be_tested() -> None:
    world, out = small_world()
    folder = world.start + timedelta(days=3)
    assert "PAT_SSN" in lines(out / f"hb/{folder:%Y%m%d}/HSP_ACCOUNT.csv")[0]
    assert any('"verified""' in path.read_text() for path in (out / "hb").glob("*/HSP_TRANSACTIONS.csv"))
