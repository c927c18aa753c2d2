"""The oracle on transfers: GL-09 from both sides, on tiny worlds."""

from datetime import UTC, timedelta
from decimal import Decimal

import pytest

from ingest.simulator.oracle import evaluate
from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at

KEY = "transfer=TO00010001|line=1"


def days(number: int) -> timedelta:
    return timedelta(days=number)


def ship(tiny: Tiny, quantity: str = "10", amount: str = "1000.00") -> None:
    """The centre's half; H1 stands for the centre, which these worlds do not have."""
    details = {"event": "E15", "ref_doc": "TO00010001", "ref_line": 1, "to_location_id": "H5-STR"}
    tiny.move(tiny.supply, f"-{quantity}", "TRANSFER_OUT", erp_amount=Decimal(amount), **details)


def take_in(tiny: Tiny, quantity: str = "10", amount: str = "1000.00", lag: int = 1) -> None:
    day = SURGERY + days(lag)
    details = {"event": "E16", "ref_doc": "TO00010001", "ref_line": 1, "posted_at": at(day, 9).astimezone(UTC)}
    tiny.move(tiny.supply, quantity, "TRANSFER_IN", site="H5", day=day, erp_amount=Decimal(amount), **details)


@pytest.mark.parametrize(
    ("quantity", "amount", "impact"),
    [("10", "1001.01", "1.01"), ("10", "998.99", "1.01"), ("9", "900.00", "100.00"), ("9", "1000.00", "0.00")],
)
def test_halves_that_differ_in_quantity_or_by_more_than_a_dollar(quantity, amount, impact):
    tiny = Tiny()
    ship(tiny)
    take_in(tiny, quantity, amount)
    assert tiny.found("GL-09") == {KEY: impact}
    assert tiny.course("GL-09") == {KEY: (SURGERY + days(2), None)}


def test_a_dollar_is_tolerated():
    tiny = Tiny()
    ship(tiny)
    take_in(tiny, "10", "1001.00")
    assert tiny.found("GL-09") == {}
    assert tiny.near("GL-09") == {KEY: "within tolerance"}


def test_a_half_that_is_missing_after_two_days_is_found_with_the_whole_value_until_it_comes():
    tiny = Tiny()
    ship(tiny)
    assert tiny.found("GL-09") == {KEY: "1000.00"}
    take_in(tiny, lag=6)
    assert tiny.course("GL-09") == {KEY: (SURGERY + days(2), SURGERY + days(7))}


def test_halves_that_agree_within_two_days_are_not_found():
    tiny = Tiny()
    ship(tiny)
    take_in(tiny)
    assert tiny.found("GL-09") == {}


def test_what_was_taken_in_and_never_left_the_centre_is_found_two_days_after_its_receipt():
    tiny = Tiny()
    take_in(tiny)
    assert tiny.found("GL-09") == {KEY: "1000.00"}
    assert tiny.course("GL-09") == {KEY: (SURGERY + days(3), None)}
    assert {each.facility_id for each in evaluate(tiny.world) if each.rule_id == "GL-09"} == {"H5"}
