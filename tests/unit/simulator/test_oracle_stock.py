"""The oracle on balances: each rule from both sides, on tiny worlds."""

from datetime import UTC, timedelta
from decimal import Decimal

import pytest

from ingest.simulator.events import RequisitionState
from tests.unit.simulator.oracle_worlds import END, START, SURGERY, Tiny, at

EVE = START - timedelta(days=1)
SHELF = "location=MAI-ORC|item=PX000001"
STORE = "location=MAI-STR|item=PX000001"


@pytest.fixture
def tiny():
    return Tiny()


def days(number: int):
    return SURGERY + timedelta(days=number)


# ---------------------------------------------------------------------------------------------------------------- UI-06


def test_a_balance_that_is_not_the_one_before_and_the_days_movements_is_found_a_day_later(tiny):
    tiny.shelf(tiny.supply, "20", EVE)
    tiny.move(tiny.supply, "-3")
    tiny.move(tiny.supply, "10", "RECEIPT")
    tiny.shelf(tiny.supply, "25")
    assert tiny.found("UI-06") == {f"{SHELF}|lot=": "200.00"}
    assert tiny.course("UI-06") == {f"{SHELF}|lot=": (days(1), None)}


def test_counts_set_the_level_and_move_nothing(tiny):
    tiny.shelf(tiny.supply, "20", EVE)
    tiny.move(tiny.supply, "19", "COUNT", ref_doc="CC1")
    tiny.move(tiny.supply, "-1", "ADJUST", ref_doc="CC1")
    tiny.move(tiny.supply, "0", "NULL_TXN")
    tiny.shelf(tiny.supply, "19")
    assert tiny.found("UI-06") == {}
    assert tiny.near("UI-06") == {f"{SHELF}|lot=": "a count sets the level"}


def test_what_an_offline_device_posts_later_belongs_to_the_snapshot_that_knows_it(tiny):
    tiny.shelf(tiny.supply, "20", EVE)
    tiny.move(tiny.supply, "-3", posted_at=at(days(2), 9).astimezone(UTC))
    tiny.shelf(tiny.supply, "17", days(2))
    assert tiny.found("UI-06") == {}
    assert tiny.near("UI-06") == {f"{SHELF}|lot=": "posted after the snapshot, with an earlier device time"}


def test_lots_roll_forward_each_for_itself(tiny):
    tiny.shelf(tiny.implant, "2", EVE, lot="A1")
    tiny.shelf(tiny.implant, "2", EVE, lot="B2")
    tiny.move(tiny.implant, "-1", lot="A1")
    tiny.shelf(tiny.implant, "1", lot="B2")
    number = tiny.implant.pou_no
    assert set(tiny.found("UI-06")) == {f"location=MAI-ORC|item={number}|lot={lot}" for lot in ("A1", "B2")}


def test_a_wrong_snapshot_breaks_on_its_day_and_on_the_next(tiny):
    tiny.shelf(tiny.supply, "20", EVE)
    tiny.shelf(tiny.supply, "16")
    tiny.shelf(tiny.supply, "20", days(1))
    assert tiny.found("UI-06") == {f"{SHELF}|lot=": "400.00"}
    assert tiny.course("UI-06") == {f"{SHELF}|lot=": (days(1), None)}


def test_over_a_snapshot_that_never_came_the_days_add_up(tiny):
    for day in (SURGERY, days(2)):
        tiny.file(day, f"content {day}", extract="onhand", is_snapshot=True)
    tiny.shelf(tiny.supply, "20", EVE)
    tiny.move(tiny.supply, "-3", day=days(1))
    tiny.shelf(tiny.supply, "17", days(2))
    assert tiny.found("UI-06") == {}


def test_locations_without_quantities_are_not_judged(tiny):
    tiny.move(tiny.supply, "5", "RESTOCK", location_id="H1-PAR01")
    assert tiny.found("UI-06") == {}


# --------------------------------------------------------------------------------------------------------------- STK-01


def test_at_or_below_the_reorder_point_with_nothing_on_order_is_found_until_it_is_ordered(tiny):
    tiny.status(tiny.supply, "5")
    tiny.status(tiny.supply, "4", "20", day=days(3))
    assert tiny.found("STK-01") == {STORE: "0.00"}
    assert tiny.course("STK-01") == {STORE: (SURGERY, days(3))}


@pytest.mark.parametrize(
    ("available", "on_order", "reorder", "reason"),
    [("6", "0", "5", None), ("5", "1", "5", "on order"), ("0", "0", "0", None), ("0", "0", None, None)],
)
def test_above_the_reorder_point_and_without_one_nothing_is_low(tiny, available, on_order, reorder, reason):
    tiny.status(tiny.supply, available, on_order, reorder)
    assert tiny.found("STK-01") == {}
    assert tiny.near("STK-01") == ({STORE: reason} if reason else {})


def test_what_is_on_the_road_counts_until_it_is_received(tiny):
    tiny.status(tiny.supply, "5")
    shared = {"event": "E15", "ref_doc": "TO1", "ref_line": 1, "location_id": "H5-STR"}
    tiny.move(tiny.supply, "-9", "TRANSFER_OUT", site="H5", day=days(-1), to_location_id="H1-STR", **shared)
    assert tiny.near("STK-01") == {STORE: "on order"}
    shared = {"event": "E16", "ref_doc": "TO1", "ref_line": 1, "location_id": "H1-STR"}
    tiny.move(tiny.supply, "9", "TRANSFER_IN", day=days(2), **shared)
    assert tiny.course("STK-01") == {STORE: (days(2), None)}


def test_a_requisition_that_waits_to_be_ordered_is_enough(tiny):
    tiny.status(tiny.supply, "5")
    for placed, day in ((False, -1), (True, 4)):
        state = RequisitionState("erp_fusion", "H1", "SR1", 1, "H1-STR", tiny.supply.key, placed, at(days(day), 10))
        tiny.world.requisitions.append(state)
    assert tiny.course("STK-01") == {STORE: (days(4), None)}


# --------------------------------------------------------------------------------------------------------------- STK-02


@pytest.mark.parametrize("kind", ["ISSUE", "WASTE", "CONSIGN_USE"])
def test_an_empty_shelf_is_a_stock_out_for_thirty_days_after_its_last_use(tiny, kind):
    tiny.move(tiny.supply, "-1", kind, day=days(-2))
    tiny.status(tiny.supply, "0", reorder=None, location_id="H1-ORC")
    assert tiny.found("STK-02") == {SHELF: "0.00"}
    assert tiny.course("STK-02") == {SHELF: (SURGERY, days(28))}


def test_a_stock_out_ends_when_something_lies_there_again(tiny):
    tiny.move(tiny.supply, "-1")
    tiny.status(tiny.supply, "-2", location_id="H1-ORC")
    tiny.status(tiny.supply, "3", day=days(4), location_id="H1-ORC")
    assert tiny.course("STK-02") == {SHELF: (SURGERY, days(4))}


def test_what_was_transferred_out_or_not_used_lately_is_no_stock_out(tiny):
    tiny.move(tiny.supply, "-9", "TRANSFER_OUT", location_id="H1-STR", day=days(60))
    tiny.move(tiny.supply, "-1", location_id="H1-CTH", day=days(-31))
    tiny.status(tiny.supply, "0", "99", location_id="H1-STR", day=days(60))
    tiny.status(tiny.supply, "0", None, None, location_id="H1-CTH")
    assert tiny.found("STK-02") == {}
    assert tiny.near("STK-02") == {
        STORE: "transferred out",
        "location=MAI-CTH|item=PX000001": "not used in the last 30 days",
    }


# --------------------------------------------------------------------------------------------------------------- STK-04


def test_what_use_will_not_reach_before_it_expires_is_worth_its_cost(tiny):
    """Ten used in ten days; thirty days are left for forty pieces."""
    last = END - timedelta(days=9)
    tiny.shelf(tiny.implant, "40", last, lot="A1", expiry_date=END + timedelta(days=30))
    tiny.move(tiny.implant, "-10", day=last)
    key = f"location=MAI-ORC|item={tiny.implant.pou_no}|lot=A1"
    assert tiny.found("STK-04") == {key: "3000.00"}


def test_it_is_found_from_sixty_days_before_the_expiry_on_and_gone_with_the_lot(tiny):
    expiry = days(62)
    tiny.shelf(tiny.implant, "2", lot="A1", expiry_date=expiry)
    tiny.shelf(tiny.implant, "0", days(20), lot="A1", expiry_date=expiry)
    key = f"location=MAI-ORC|item={tiny.implant.pou_no}|lot=A1"
    assert tiny.course("STK-04") == {key: (days(2), days(20))}


def test_the_lot_that_expires_first_is_used_first(tiny):
    """One a day: the first lot takes twenty of the thirty days that the second one has."""
    last = END - timedelta(days=9)
    for lot, left, quantity in (("A1", 20, "20"), ("B2", 30, "15"), ("C3", 90, "500")):
        tiny.shelf(tiny.implant, quantity, last, lot=lot, expiry_date=END + timedelta(days=left))
    tiny.move(tiny.implant, "-10", day=last)
    key = f"location=MAI-ORC|item={tiny.implant.pou_no}|lot="
    assert tiny.found("STK-04") == {f"{key}B2": "1500.00"}
    assert f"{key}A1" in tiny.near("STK-04")


@pytest.mark.parametrize("left", [61, 70])
def test_a_lot_that_expires_later_is_no_matter_yet(tiny, left):
    tiny.shelf(tiny.implant, "5", lot="A1", expiry_date=END + timedelta(days=left))
    key = f"location=MAI-ORC|item={tiny.implant.pou_no}|lot=A1"
    assert tiny.found("STK-04") == {}
    assert tiny.near("STK-04") == {key: "expires later than that"}


def test_returns_are_no_use(tiny):
    last = END - timedelta(days=9)
    tiny.shelf(tiny.implant, "10", last, lot="A1", expiry_date=END + timedelta(days=10))
    tiny.move(tiny.implant, "-10", day=last)
    tiny.move(tiny.implant, "10", "RETURN", day=last)
    (amount,) = tiny.found("STK-04").values()
    assert Decimal(amount) == 3000
