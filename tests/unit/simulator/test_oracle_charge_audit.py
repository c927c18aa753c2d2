"""The oracle on single charges: late, coded, priced, credited, on the right account; each rule from both sides."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at


@pytest.fixture
def tiny():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.supply)
    return tiny


# ---------------------------------------------------------------------------------------------------------------- UC-02


@pytest.mark.parametrize(("base_class", "in_time"), [(1, 5), (2, 3), (3, 3)])
def test_a_charge_is_late_from_the_day_after_the_days_of_its_account_class(base_class, in_time):
    tiny = Tiny()
    tiny.case(base_class=base_class)
    punctual = tiny.charge("40000001", tiny.supply, days=in_time)
    late = tiny.charge("40000001", tiny.supply, "2", days=in_time + 1)
    assert tiny.found("UC-02") == {f"charge={late}": "500.00"}
    assert tiny.near("UC-02") == {f"charge={punctual}": "on the last day in time"}
    assert tiny.course("UC-02") == {f"charge={late}": (SURGERY + timedelta(days=in_time + 2), None)}


def test_of_a_reposted_charge_the_first_posting_counts(tiny):
    first = tiny.charge("40000001", tiny.supply)
    tiny.charge("40000001", tiny.supply, "-1", days=20, reverses=first)
    tiny.charge("40000001", tiny.supply, days=20, reposts=first)
    assert tiny.found("UC-02") == {}
    assert tiny.near("UC-02") == {f"charge={first}": "reposted later, first posted in time"}


def test_only_supplies_and_implants_can_be_late(tiny):
    tiny.charge("40000001", None, days=20, revenue_code="0360")
    by_hand = tiny.charge(None, None, days=20, revenue_code="272")
    assert set(tiny.found("UC-02")) == {f"charge={by_hand}"}


# ---------------------------------------------------------------------------------------------------------------- UC-06


def test_an_implant_belongs_on_an_implant_code(tiny):
    wrong = tiny.charge("40000001", tiny.implant, implant_id="71", revenue_code="0272")
    by_class = tiny.charge("40000001", tiny.implant, revenue_code="0270")
    for code in ("0275", "276", "0278"):
        tiny.charge("40000001", tiny.implant, implant_id="72", revenue_code=code)
    assert tiny.found("UC-06") == {f"charge={wrong}": "0.00", f"charge={by_class}": "0.00"}


def test_a_sterile_supply_may_be_overridden_but_not_to_the_general_code(tiny):
    wrong = tiny.charge("40000001", tiny.supply, revenue_code="270")
    other = tiny.charge("40000001", tiny.supply, revenue_code="0279")
    assert set(tiny.found("UC-06")) == {f"charge={wrong}"}
    assert tiny.near("UC-06") == {f"charge={other}": "overridden by a code that may be"}


def test_a_general_supply_stands_on_the_general_code(tiny):
    row = tiny.world.charge_prices[0]
    tiny.world.charge_prices[0] = replace(row, revenue_code="0270")
    tiny.charge("40000001", tiny.supply, revenue_code="0270")
    assert tiny.found("UC-06") == {}


def test_a_charge_reposted_to_the_right_code_is_right_from_then_on(tiny):
    first = tiny.charge("40000001", tiny.supply, revenue_code="0270")
    tiny.charge("40000001", tiny.supply, "-1", days=5, reverses=first)
    tiny.charge("40000001", tiny.supply, days=5, reposts=first)
    assert tiny.course("UC-06") == {f"charge={first}": (SURGERY + timedelta(days=3), SURGERY + timedelta(days=6))}


# ---------------------------------------------------------------------------------------------------------------- UC-08


def test_a_price_that_is_not_the_one_in_force_is_found_over_the_quantity(tiny):
    root = tiny.charge("40000001", tiny.supply, "3", amount=Decimal("720.00"))
    assert tiny.found("UC-08") == {f"charge={root}": "30.00"}


def test_the_service_date_decides_which_price_and_which_code_count(tiny):
    row = tiny.world.charge_prices[0]
    change = SURGERY + timedelta(days=1)
    tiny.world.charge_prices[0] = replace(row, effective_to=SURGERY)
    tiny.world.charge_prices.append(replace(row, price=Decimal(260), effective_from=change))
    right = tiny.charge("40000001", tiny.supply)
    too_new = tiny.charge("40000001", tiny.supply, amount=Decimal(260))
    assert tiny.found("UC-08") == {f"charge={too_new}": "10.00"}
    assert tiny.near("UC-08") == {f"charge={right}": "the price changed after the service date"}


@pytest.mark.parametrize(("ended", "found"), [(SURGERY - timedelta(days=1), True), (SURGERY, False)])
def test_a_code_must_be_active_on_the_service_date(tiny, ended, found):
    tiny.world.charge_prices[0] = replace(tiny.world.charge_prices[0], effective_to=ended)
    root = tiny.charge("40000001", tiny.supply, "2")
    assert tiny.found("UC-08") == ({f"charge={root}": "500.00"} if found else {})
    assert tiny.near("UC-08") == ({} if found else {f"charge={root}": "the code ended after the service date"})


def test_a_switched_off_code_and_a_code_that_is_nowhere_are_no_codes(tiny):
    tiny.world.charge_prices[0] = replace(tiny.world.charge_prices[0], is_active=False)
    off = tiny.charge("40000001", tiny.supply)
    unknown = tiny.charge("40000001", tiny.supply, charge_code="C0")
    assert set(tiny.found("UC-08")) == {f"charge={off}", f"charge={unknown}"}


def test_codes_priced_by_mark_up_have_no_price_to_differ_from():
    tiny = Tiny()
    item = tiny.item("Bur", charge_code="C60")
    tiny.price("C60", None)
    tiny.use(tiny.case(), item)
    tiny.charge("40000001", item, amount=Decimal(1))
    assert tiny.found("UC-08") == {}


def test_half_a_cent_of_rounding_is_no_other_price(tiny):
    tiny.world.charge_prices[0] = replace(tiny.world.charge_prices[0], price=Decimal("33.333"))
    tiny.charge("40000001", tiny.supply, "0.5", amount=Decimal("16.67"))
    assert tiny.found("UC-08") == {}


# ---------------------------------------------------------------------------------------------------------------- UC-12


@pytest.mark.parametrize("link", ["reverses", "credits"])
def test_a_credit_whose_charge_is_nowhere_is_found_after_three_days(tiny, link):
    credit = tiny.charge("40000001", None, "-2", days=1, revenue_code="0250", amount=Decimal(-170), **{link: "1"})
    assert tiny.found("UC-12") == {f"charge={credit}": "170.00"}
    assert tiny.course("UC-12") == {f"charge={credit}": (SURGERY + timedelta(days=4), None)}
    assert tiny.found("UC-08") == tiny.found("UC-13") == {}


def test_a_credit_that_names_no_charge_has_none(tiny):
    credit = tiny.charge("40000001", None, "-1", revenue_code="0250")
    assert set(tiny.found("UC-12")) == {f"charge={credit}"}


def test_a_credit_of_a_charge_on_file_is_none_also_when_the_charge_came_a_day_later(tiny):
    number = str(900000 + tiny.numbers + 2)
    credit = tiny.charge("40000001", None, "-1", credits=number)
    assert tiny.charge("40000001", None, days=3) == number
    assert tiny.found("UC-12") == {}
    assert tiny.near("UC-12") == {f"charge={credit}": "names a charge on file"}


# ---------------------------------------------------------------------------------------------------------------- UC-13


def test_a_charge_with_the_log_of_a_case_on_another_account_is_on_the_wrong_one(tiny):
    root = tiny.charge("40000001", tiny.supply, account="612345678")
    tiny.charge("40000001", tiny.supply)
    tiny.charge(None, tiny.supply, account="612345678")
    assert tiny.found("UC-13") == {f"charge={root}": "250.00"}
    assert tiny.found("UC-01") == {}


def test_a_charge_transferred_to_the_account_of_its_case_is_right_from_then_on(tiny):
    first = tiny.charge("40000001", tiny.supply, account="612345678")
    tiny.charge("40000001", tiny.supply, "-1", days=5, reverses=first, account="612345678")
    tiny.charge("40000001", tiny.supply, days=5, reposts=first, old_account="612345678")
    assert tiny.course("UC-13") == {f"charge={first}": (SURGERY + timedelta(days=3), SURGERY + timedelta(days=6))}


def test_a_charge_transferred_on_the_day_it_posts_never_was_wrong(tiny):
    first = tiny.charge("40000001", tiny.supply, account="612345678")
    tiny.charge("40000001", tiny.supply, "-1", reverses=first, account="612345678")
    tiny.charge("40000001", tiny.supply, reposts=first, old_account="612345678")
    assert tiny.found("UC-13") == {}
    assert tiny.near("UC-13") == {f"charge={first}": "transferred to the account of the case"}


def test_combined_accounts_are_one(tiny):
    account = tiny.world.accounts[0]
    tiny.world.accounts.append(replace(account, combined_into="699", known_at=at(SURGERY, 20)))
    root = tiny.charge("40000001", tiny.supply, account="699")
    assert tiny.found("UC-13") == {}
    assert tiny.near("UC-13") == {f"charge={root}": "combined account"}


def test_charges_of_test_patients_are_not_judged():
    tiny = Tiny()
    tiny.case(is_test_patient=True)
    tiny.charge("40000001", tiny.implant, days=30, revenue_code="0270", amount=Decimal(1))
    assert [rule for rule in ("UC-02", "UC-06", "UC-08") if tiny.found(rule)] == []
