"""The oracle on order lines over their life: AS-02, AS-03, M3-03, M3-14 and M3-16 from both sides, on tiny worlds."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at


def days(number: int) -> timedelta:
    return timedelta(days=number)


def line(po: str) -> str:
    return f"po={po}|line=1"


def later(tiny: Tiny, on: timedelta, **changes: object) -> None:
    """The only order as it stands some days later."""
    order = tiny.world.po_lines[-1]
    tiny.world.po_lines.append(replace(order, known_at=at(SURGERY + on), **changes))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------- AS-02


def test_more_than_five_percent_over_the_order_is_an_over_receipt_until_it_is_sent_back():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "20")
    tiny.receive(po, "15", day=SURGERY + days(2))
    tiny.receive(po, "7", day=SURGERY + days(3))
    tiny.receive(po, "-2", day=SURGERY + days(9), kind="return")
    assert tiny.found("AS-02") == {line(po): "200.00"}
    assert tiny.course("AS-02") == {line(po): (SURGERY + days(3), SURGERY + days(9))}


def test_five_percent_more_is_tolerated():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "20")
    tiny.receive(po, "21")
    assert tiny.found("AS-02") == {}
    assert tiny.near("AS-02") == {line(po): "within tolerance"}


def test_anything_that_stays_received_on_a_cancelled_line_is_one():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "20")
    later(tiny, days(1), is_cancelled=True, cancelled_each=Decimal(20))
    tiny.receive(po, "3", day=SURGERY + days(4))
    assert tiny.found("AS-02") == {line(po): "300.00"}


def test_a_line_cancelled_after_all_of_it_went_back_has_nothing_received():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "20")
    tiny.receive(po, "20")
    tiny.receive(po, "-20", day=SURGERY + days(4), kind="return")
    later(tiny, days(4), is_cancelled=True, cancelled_each=Decimal(20))
    assert tiny.found("AS-02") == {}


def test_a_mistyped_receipt_corrected_on_its_day_is_none_nor_is_one_not_released():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "20")
    tiny.receive(po, "200")
    tiny.receive(po, "-180", kind="correct")
    tiny.receive(po, "20", is_released=False)
    assert tiny.found("AS-02") == {}


# ------------------------------------------------------------------------------------------------------------- AS-03


def test_open_quantity_three_days_after_the_promised_day_is_overdue_until_it_comes():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10", promised_on=SURGERY + days(5))
    tiny.receive(po, "4", day=SURGERY + days(5))
    tiny.receive(po, "6", day=SURGERY + days(20))
    assert tiny.found("AS-03") == {line(po): "600.00"}
    assert tiny.course("AS-03") == {line(po): (SURGERY + days(8), SURGERY + days(20))}


@pytest.mark.parametrize("kind", ["received", "cancelled", "promised anew", "no day"])
def test_what_came_was_cancelled_or_is_promised_for_later_is_not_overdue(kind):
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10", promised_on=None if kind == "no day" else SURGERY + days(5))
    tiny.receive(po, "4", day=SURGERY + days(5))
    if kind == "received":
        tiny.receive(po, "6", day=SURGERY + days(8))
    elif kind == "cancelled":
        later(tiny, days(8), cancelled_each=Decimal(6))
    elif kind == "promised anew":
        later(tiny, days(8), promised_on=SURGERY + days(90))
    assert tiny.found("AS-03") == {}


# ------------------------------------------------------------------------------------------------------------- M3-03


def test_billed_beyond_one_each_and_two_percent_of_the_order():
    tiny = Tiny()
    small, large = tiny.order(tiny.supply, "10"), tiny.order(tiny.supply, "60")
    tiny.invoice(small, "10", "100")
    tiny.invoice(small, "1", "100", day=SURGERY + days(6))
    tiny.invoice(large, "61", "100")
    assert tiny.found("M3-03") == {line(small): "100.00"}
    assert tiny.course("M3-03") == {line(small): (SURGERY + days(6), None)}
    assert tiny.near("M3-03") == {line(large): "within tolerance"}


def test_implants_are_billed_to_the_piece_and_a_credit_memo_takes_back():
    tiny = Tiny()
    po = tiny.order(tiny.implant, "60")
    tiny.invoice(po, "61", "300")
    tiny.invoice(po, "-1", "300", day=SURGERY + days(9))
    assert tiny.course("M3-03") == {line(po): (SURGERY, SURGERY + days(9))}


def test_services_are_not_billed_by_quantity():
    tiny = Tiny()
    po = tiny.order(None, "1", "500", match_basis="2way", po_type="service")
    tiny.invoice(po, "1", "200")
    tiny.invoice(po, "1", "300", day=SURGERY + days(30))
    assert tiny.found("M3-03") == {}


# ------------------------------------------------------------------------------------------------------------- M3-14


def service(tiny: Tiny) -> str:
    return tiny.order(None, "1", "500", match_basis="2way", po_type="service", ends_on=SURGERY + days(20))


def test_a_service_order_may_be_billed_to_its_amount_on_its_last_day():
    tiny = Tiny()
    po = service(tiny)
    tiny.invoice(po, "1", "300")
    tiny.invoice(po, "1", "200", day=SURGERY + days(20))
    assert tiny.found("M3-14") == {}


def test_a_cent_more_is_overspent():
    tiny = Tiny()
    po = service(tiny)
    tiny.invoice(po, "1", "300")
    tiny.invoice(po, "1", "200.01", day=SURGERY + days(10))
    assert tiny.found("M3-14") == {line(po): "0.01"}
    assert tiny.course("M3-14") == {line(po): (SURGERY + days(10), None)}


def test_an_invoice_after_the_end_is_found_with_its_amount_unless_the_order_is_overspent_too():
    tiny = Tiny()
    po, dear = service(tiny), service(tiny)
    tiny.invoice(po, "1", "120", day=SURGERY + days(21))
    tiny.invoice(dear, "1", "620", day=SURGERY + days(21))
    assert tiny.found("M3-14") == {line(po): "120.00", line(dear): "120.00"}
    tiny.invoice(dear, "1", "10", day=SURGERY + days(22))
    assert tiny.found("M3-14")[line(dear)] == "130.00"


def test_goods_have_no_end_and_no_amount_to_keep():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10", ends_on=SURGERY)
    tiny.invoice(po, "10", "120", day=SURGERY + days(3))
    assert tiny.found("M3-14") == {}


# ------------------------------------------------------------------------------------------------------------- M3-16


def returned(tiny: Tiny, billed: str = "10", back: str = "-4") -> str:
    po = tiny.order(tiny.supply, "10")
    tiny.receive(po, "10")
    tiny.invoice(po, billed, "100")
    tiny.receive(po, back, day=SURGERY + days(9), kind="return")
    return po


def test_a_return_without_credit_is_open_thirty_days_after_it_until_the_credit_comes():
    tiny = Tiny()
    po = returned(tiny)
    tiny.invoice(po, "-4", "100", day=SURGERY + days(50))
    assert tiny.found("M3-16") == {line(po): "400.00"}
    assert tiny.course("M3-16") == {line(po): (SURGERY + days(39), SURGERY + days(50))}


def test_a_credit_for_a_part_leaves_the_rest():
    tiny = Tiny()
    po = returned(tiny)
    tiny.invoice(po, "-1", "100", day=SURGERY + days(20))
    assert tiny.found("M3-16") == {line(po): "300.00"}


def test_the_oldest_return_is_credited_first():
    tiny = Tiny()
    po = returned(tiny)
    tiny.receive(po, "-2", day=SURGERY + days(15), kind="return")
    tiny.invoice(po, "-4", "100", day=SURGERY + days(20))
    assert tiny.course("M3-16") == {line(po): (SURGERY + days(45), None)}
    assert tiny.found("M3-16") == {line(po): "200.00"}


@pytest.mark.parametrize("kind", ["credited in time", "never billed", "replaced"])
def test_a_return_that_leaves_nothing_to_credit_is_none(kind):
    tiny = Tiny()
    po = returned(tiny, billed="6" if kind == "never billed" else "10")
    if kind == "credited in time":
        tiny.invoice(po, "-4", "100", day=SURGERY + days(38))
    elif kind == "replaced":
        tiny.receive(po, "4", day=SURGERY + days(12))
    assert tiny.found("M3-16") == {}
    assert tiny.near("M3-16") == {line(po): "credited, replaced or never billed"}


def test_corrections_are_no_returns():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10")
    tiny.receive(po, "10")
    tiny.invoice(po, "10", "100")
    tiny.receive(po, "-4", kind="correct")
    assert tiny.found("M3-16") == {}
