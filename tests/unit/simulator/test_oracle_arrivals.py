"""The oracle on what arrives: calendar, layout, volume, sequences."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from ingest.simulator.oracle.arrivals import _expected
from tests.unit.simulator.oracle_worlds import START, SURGERY, Tiny

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


def short(tiny: Tiny, days: int = 3) -> None:
    """Let the world end after some days."""
    tiny.world.end = START + (days - 1) * DAY


# -------------------------------------------------------------------------------------------------------------- INT-01


def delivered(tiny: Tiny, system: str, day: date, without: str = "") -> None:
    """Every file that the calendar expects of a system on a day, but one extract."""
    for feed in sorted(_expected(system)):
        extract = feed.split(".")[1]
        if extract != without:
            snapshot = extract in ("ITEMS", "CST_VALUATION")
            slot = "0600" if system == "erp_fusion" else None
            tiny.file(day, f"{feed}{day}", system=system, extract=extract, is_snapshot=snapshot, slot=slot)


def test_an_extract_that_is_not_in_its_folder_is_missing():
    tiny = Tiny()
    short(tiny)
    for number in range(3):
        delivered(tiny, "ehr", START + number * DAY, "OR_LOG" if number == 1 else "")
    key = f"feed=ehr.OR_LOG|date={START + DAY}"
    assert tiny.course("INT-01") == {key: (START + DAY, None)}


def test_the_inventory_system_has_until_after_midnight():
    tiny = Tiny()
    short(tiny)
    for number in range(3):
        delivered(tiny, "pou", START + number * DAY, "txn" if number else "")
    assert tiny.course("INT-01") == {f"feed=pou.txn|date={START + DAY}": (START + 2 * DAY, None)}


def test_files_without_rows_counts_deletions_messages_and_unused_systems_are_never_missing():
    tiny = Tiny()
    short(tiny)
    for number in range(3):
        for system in ("erp_fusion", "pou", "hb"):
            delivered(tiny, system, START + number * DAY)
    tiny.world.files = [replace(file, rows=0, stated_rows=0) for file in tiny.world.files]
    tiny.file(START, "e", system="edi", extract="INV810_HEAD", name="95_000000007.edi", path_parts="810")
    assert tiny.found("INT-01") == {}


def test_a_cloud_snapshot_belongs_to_the_morning_slot():
    tiny = Tiny()
    short(tiny, 1)
    delivered(tiny, "erp_fusion", START, "CST_VALUATION")
    tiny.file(START, "c", system="erp_fusion", extract="CST_VALUATION", is_snapshot=True, slot="1200")
    assert list(tiny.found("INT-01")) == [f"feed=erp_fusion.CST_VALUATION|date={START}"]


# -------------------------------------------------------------------------------------------------------------- INT-04

CLAIM_CODES = ("HSP_ACCOUNT_ID", "CLAIM_SEQ", "CODE_TYPE", "CODE", "AMOUNT", "FIRST_BILLED_DATE")


@pytest.mark.parametrize(
    ("columns", "odd", "found"),
    [
        ((), (), []),
        (tuple(reversed(CLAIM_CODES)), (), []),
        ((*CLAIM_CODES, "NEW"), (), ["NEW"]),
        (CLAIM_CODES[:-1], (), ["FIRST_BILLED_DATE"]),
        ((*CLAIM_CODES[:-1], "BILLED"), (), ["BILLED", "FIRST_BILLED_DATE"]),
        ((), ("AMOUNT",), ["AMOUNT"]),
    ],
)
def test_a_column_that_comes_goes_or_changes_its_type_is_a_change_of_layout(columns, odd, found):
    tiny = Tiny()
    shared = {"system": "hb", "extract": "CLAIM_CODES"}
    tiny.file(START, "a", **shared)
    tiny.file(SURGERY, "b", columns=columns, odd_columns=odd, **shared)
    keys = [f"feed=hb.CLAIM_CODES|column={column}" for column in found]
    assert tiny.course("INT-04") == dict.fromkeys(keys, (SURGERY, None))


def test_a_layout_that_is_as_agreed_again_clears():
    tiny = Tiny()
    shared = {"system": "hb", "extract": "CLAIM_CODES"}
    tiny.file(START, "a", columns=(*CLAIM_CODES, "NEW"), **shared)
    tiny.file(SURGERY, "b", **shared)
    assert tiny.course("INT-04") == {"feed=hb.CLAIM_CODES|column=NEW": (START, SURGERY)}


# -------------------------------------------------------------------------------------------------------------- INT-05


def volumes(tiny: Tiny, *rows: int | None) -> str:
    """Files of one weekday, a week apart, none where None stands; gives the key of the last."""
    for week, number in enumerate(rows):
        for part in ("am", "pm") if number is not None else ():
            tiny.file(
                START + week * WEEK, f"{week}{part}", name=f"{part}.csv", rows=number // 2, stated_rows=number // 2
            )
    return f"feed=pou.txn|date={START + (len(rows) - 1) * WEEK}"


@pytest.mark.parametrize(
    ("rows", "fires"),
    [
        ((200, 200, 200, 200, 118), True),
        ((200, 200, 200, 200, 120), False),
        ((200, 200, 200, 200, 280), False),
        ((200, 200, 200, 200, 282), True),
        ((100, 150, 250, 400, 118), True),
        ((200, 200, 200, 118), False),
        ((98, 98, 98, 98, 10), False),
        ((100, 100, 100, 100, 10), True),
        ((200, 200, 200, None, 200, 118), True),
        ((200, 200, None, 200, 118), False),
    ],
)
def test_the_rows_of_a_date_are_held_against_the_median_of_four_weeks(rows, fires):
    tiny = Tiny()
    key = volumes(tiny, *rows)
    assert set(tiny.found("INT-05")) == ({key} if fires else set())


# -------------------------------------------------------------------------------------------------------------- INT-07


def interchange(tiny: Tiny, day: date, number: int, kind: str = "810") -> None:
    name = f"950000006_{number:09d}.edi"
    tiny.file(day, f"{number}{day}", system="edi", extract="INV810_HEAD", name=name, path_parts=kind)


def test_a_skipped_interchange_is_found_a_day_after_the_next_one():
    tiny = Tiny()
    for lag, number in enumerate((7, 8, 11, 12)):
        interchange(tiny, SURGERY + lag * DAY, number, "855" if number == 11 else "810")
    key = "feed=edi.855|source=950000006|gap=9-10"
    assert tiny.course("INT-07") == {key: (SURGERY + 3 * DAY, None)}


def test_repeats_and_rows_that_come_on_the_next_morning_are_no_gaps():
    tiny = Tiny()
    for number in (7, 8, 7, 9):
        interchange(tiny, SURGERY, number)
    tiny.move(tiny.supply, "-1", txn_id="D1-000000101")
    tiny.move(tiny.supply, "-1", txn_id="D1-000000103")
    tiny.move(tiny.supply, "-1", txn_id="D1-000000102", day=SURGERY + DAY)
    assert tiny.found("INT-07") == {}


def test_lost_rows_of_a_device_are_a_gap_until_they_come():
    tiny = Tiny()
    tiny.move(tiny.supply, "-1", txn_id="D1-000000101")
    tiny.move(tiny.supply, "-1", txn_id="D1-000000104")
    tiny.move(tiny.supply, "-1", txn_id="D1-000000103", day=SURGERY + 4 * DAY)
    assert tiny.course("INT-07") == {
        "feed=pou.txn|source=D1|gap=102-103": (SURGERY + DAY, SURGERY + 4 * DAY),
        "feed=pou.txn|source=D1|gap=102-102": (SURGERY + 5 * DAY, None),
    }
