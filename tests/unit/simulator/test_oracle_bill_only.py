"""The oracle on orders after use: each rule from both sides, on tiny worlds."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.simulator.oracle_worlds import SURGERY, Tiny

NEXT_DAY = SURGERY + timedelta(days=1)


@pytest.fixture
def tiny():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.bill_only, lot="A100", implant_id="71")
    return tiny


def ordered(tiny, item=None, quantity="1", po_type="bill_only", day=NEXT_DAY, case="40000001", lot="A100", **changes):
    """An order after use, as the log has it unless told otherwise; gives its entity key."""
    po_key = tiny.order(
        item or tiny.bill_only, quantity, "2000", day, po_type=po_type, case_typed=case, lot=lot, **changes
    )
    return f"po={po_key}|line=1"


# ---------------------------------------------------------------------------------------------------------------- BO-02


def test_an_order_for_an_item_that_the_case_did_not_use_is_found_after_five_business_days(tiny):
    other = tiny.item("Rod", item_class="IMPLANT", stock_class="BILLONLY")
    key = ordered(tiny, other, "2", lot="B200")
    assert tiny.found("BO-02") == {key: "4000.00"}
    assert tiny.course("BO-02") == {key: (NEXT_DAY + timedelta(days=7), None)}
    assert tiny.found("BO-03") == {}


@pytest.mark.parametrize("po_type", ["bill_only", "bill_and_replace"])
def test_an_order_without_any_case_or_lot_has_no_usage(tiny, po_type):
    key = ordered(tiny, po_type=po_type, case=None, lot=None)
    assert set(tiny.found("BO-02")) == {key}


def test_regular_and_cancelled_orders_need_no_usage(tiny):
    ordered(tiny, po_type="regular", case=None, lot=None)
    ordered(tiny, case=None, lot=None, is_cancelled=True)
    assert tiny.found("BO-02") == {}


def test_an_order_without_its_case_number_is_found_by_its_lot(tiny):
    key = ordered(tiny, case=None, lot="AlOO".replace("l", "1"))
    assert tiny.found("BO-02") == tiny.found("BO-03") == tiny.found("BO-01") == {}
    assert tiny.near("BO-02") == {key: "found by lot or serial"}


def test_usage_on_a_void_log_is_no_usage(tiny):
    case = tiny.world.cases[0]
    tiny.world.cases[0] = replace(case, status=4)
    key = ordered(tiny)
    assert set(tiny.found("BO-02")) == {key}


def test_usage_that_is_documented_later_clears_it():
    tiny = Tiny()
    tiny.case()
    tiny.use("40000001", tiny.bill_only, lot="A100", known_at=tiny.world.cases[0].known_at + timedelta(days=20))
    key = ordered(tiny)
    detected, cleared = tiny.course("BO-02")[key]
    assert detected == NEXT_DAY + timedelta(days=7)
    assert cleared is not None


# ---------------------------------------------------------------------------------------------------------------- BO-03


def test_another_quantity_than_the_log_has_is_found_a_business_day_later(tiny):
    key = ordered(tiny, quantity="3")
    assert tiny.found("BO-03") == {key: "4000.00"}
    assert tiny.course("BO-03") == {key: (NEXT_DAY + timedelta(days=1), None)}


def test_another_lot_than_the_log_has_costs_nothing_and_is_found(tiny):
    key = ordered(tiny, lot="A101")
    assert tiny.found("BO-03") == {key: "0.00"}
    assert tiny.found("BO-01") == {}


def test_fewer_than_the_record_has_is_a_difference_too():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.bill_only, "3", lot="A100")
    key = ordered(tiny)
    assert tiny.found("BO-03") == {key: "4000.00"}


@pytest.mark.parametrize(("lot", "reason"), [("AlOO", "the same lot in other letters"), (None, None), ("A100", None)])
def test_the_same_lot_in_other_letters_or_no_lot_is_no_other_lot(tiny, lot, reason):
    key = ordered(tiny, lot=lot.replace("l", "1") if lot else None)
    assert tiny.found("BO-03") == {}
    assert tiny.near("BO-03") == ({key: reason} if reason else {})


def test_two_lots_of_one_item_on_two_lines_are_two_implants(tiny):
    tiny.use("40000001", tiny.bill_only, lot="A200", implant_id="72")
    ordered(tiny, lot="A200")
    ordered(tiny)
    assert tiny.found("BO-03") == tiny.found("BO-07") == tiny.found("BO-02") == {}


def test_a_serial_counts_like_a_lot():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.bill_only, lot=None, serial="SN7", implant_id="71")
    key = ordered(tiny, lot=None, serial="SN8")
    assert tiny.found("BO-03") == {key: "0.00"}


# ---------------------------------------------------------------------------------------------------------------- BO-07


def test_the_later_of_two_lines_for_one_implant_is_a_second_order(tiny):
    ordered(tiny)
    later = ordered(tiny, day=NEXT_DAY + timedelta(days=2))
    assert tiny.found("BO-07") == {later: "2000.00"}
    assert tiny.course("BO-07") == {later: (NEXT_DAY + timedelta(days=2), None)}
    assert tiny.found("BO-03") == tiny.found("BO-02") == {}


def test_two_pieces_of_one_lot_are_ordered_twice_rightly(tiny):
    tiny.use("40000001", tiny.bill_only, lot="A100", implant_id="72")
    ordered(tiny)
    later = ordered(tiny, day=NEXT_DAY + timedelta(days=2))
    assert tiny.found("BO-07") == tiny.found("BO-03") == {}
    assert tiny.near("BO-07") == {later: "as many as the log has"}


def test_a_cancelled_line_is_no_second_order(tiny):
    ordered(tiny)
    first = tiny.world.po_lines[0]
    tiny.world.po_lines.append(replace(first, is_cancelled=True, known_at=first.known_at + timedelta(days=1)))
    ordered(tiny, day=NEXT_DAY + timedelta(days=2))
    assert tiny.found("BO-07") == {}


def test_two_lines_without_lot_and_serial_are_more_than_the_log_has_but_no_second_order(tiny):
    ordered(tiny, lot=None)
    later = ordered(tiny, lot=None, day=NEXT_DAY + timedelta(days=2))
    assert tiny.found("BO-07") == {}
    assert tiny.found("BO-03") == {later: "2000.00"}
