"""The oracle on usage against charges: each rule from both sides, on tiny worlds."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at, policy

KEY = "case=40000001|item=5001"


@pytest.fixture
def tiny():
    tiny = Tiny()
    tiny.case()
    return tiny


def test_a_chargeable_supply_without_charge_is_missed_three_days_after_posting(tiny):
    tiny.use("40000001", tiny.supply, "3")
    assert tiny.found("UC-01") == {KEY: "750.00"}
    assert tiny.course("UC-01") == {KEY: (SURGERY + timedelta(days=4), None)}


def test_an_implant_is_named_by_its_record_and_a_wasted_one_without_record_by_its_item():
    tiny = Tiny()
    tiny.world.reference["CHARGEABILITY_POLICY"] = [policy(1, "Y", "all", item_class="IMPLANT")]
    tiny.use(tiny.case(), tiny.implant, implant_id="71")
    tiny.use("40000001", tiny.implant, "0", action="wasted", wasted_each=Decimal(1), implant_id=None)
    assert tiny.found("UC-01") == {"case=40000001|implant=71": "900.00", "case=40000001|item=5002": "900.00"}


def test_a_late_charge_clears_it(tiny):
    tiny.use("40000001", tiny.supply, "3")
    tiny.charge("40000001", tiny.supply, "3", days=9)
    assert tiny.course("UC-01") == {KEY: (SURGERY + timedelta(days=4), SURGERY + timedelta(days=10))}
    assert tiny.found("UC-03") == {}


def test_a_charge_in_review_is_not_missed(tiny):
    tiny.use("40000001", tiny.supply)
    tiny.waiting_charge("40000001", tiny.supply)
    tiny.waiting_charge("40000001", tiny.supply, "pre_ar")
    assert tiny.found("UC-01") == {}
    assert tiny.near("UC-01") == {KEY: "in review or in the router"}


def test_stations_of_one_charge_are_never_a_sum(tiny):
    tiny.use("40000001", tiny.supply, "2")
    tiny.waiting_charge("40000001", tiny.supply, "router")
    tiny.waiting_charge("40000001", tiny.supply, "review")
    assert tiny.found("UC-01") == {KEY: "250.00"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chargeable_flag": "N"}, "not chargeable on the pick list"),
        ({"documented_cost": Decimal("0.01")}, "construct component"),
    ],
)
def test_what_is_not_chargeable_is_not_missed(tiny, changes, reason):
    tiny.use("40000001", tiny.supply, **changes)
    assert tiny.found("UC-01") == {}
    assert tiny.near("UC-01") == {KEY: reason}


def test_a_research_account_is_not_charged():
    tiny = Tiny()
    tiny.use(tiny.case(is_research=True), tiny.supply)
    assert tiny.near("UC-01") == {KEY: "research sponsor pays"}


def test_the_chargeable_minimum_holds_where_no_policy_row_applies():
    tiny = Tiny()
    log = tiny.case()
    cheap, enough = (
        tiny.item("Suture", price="24.99", charge_code="C100"),
        tiny.item("Blade", price="25", charge_code="C100"),
    )
    tiny.use(log, cheap)
    tiny.use(log, enough)
    assert set(tiny.found("UC-01")) == {f"case={log}|item={enough.supply_id}"}
    assert tiny.near("UC-01") == {f"case={log}|item={cheap.supply_id}": "below the chargeable minimum"}


def test_a_code_without_price_is_priced_by_mark_up_of_the_cost():
    tiny = Tiny()
    item = tiny.item("Bur", price="60", charge_code="C60")
    tiny.price("C60", None)
    tiny.use(tiny.case(), item)
    assert tiny.found("UC-01") == {f"case=40000001|item={item.supply_id}": "240.00"}


def test_a_charge_on_a_combined_account_counts(tiny):
    tiny.use("40000001", tiny.supply)
    account = tiny.world.accounts[0]
    tiny.world.accounts.append(replace(account, combined_into="699", known_at=at(SURGERY, 20)))
    tiny.charge("40000001", tiny.supply, account="699")
    assert tiny.found("UC-01") == {}
    assert tiny.near("UC-01") == {KEY: "combined account"}


def test_a_charge_moved_to_another_account_is_one_charge(tiny):
    tiny.use("40000001", tiny.supply)
    tiny.charge("40000001", tiny.supply)
    moved = replace(
        tiny.world.charges[0], account="699", old_account="640000001", known_at=at(SURGERY + timedelta(days=9))
    )
    tiny.world.charges.append(moved)
    assert tiny.found("UC-03") == tiny.found("UC-04") == tiny.found("UC-01") == {}


def test_a_charge_reversed_and_reposted_to_another_code_is_not_missed(tiny):
    tiny.use("40000001", tiny.supply)
    first = tiny.charge("40000001", tiny.supply)
    tiny.charge("40000001", tiny.supply, "-1", days=5, reverses=first)
    tiny.charge("40000001", tiny.supply, days=5, reposts=first, charge_code="C300")
    assert tiny.found("UC-01") == tiny.found("UC-03") == tiny.found("UC-04") == {}
    assert tiny.near("UC-01") == {KEY: "reversed and reposted"}


def test_a_charge_reversed_and_not_reposted_is_missed(tiny):
    tiny.use("40000001", tiny.supply)
    first = tiny.charge("40000001", tiny.supply)
    tiny.charge("40000001", tiny.supply, "-1", days=5, reverses=first)
    assert tiny.found("UC-01") == {KEY: "250.00"}
    assert tiny.near("UC-05") == {f"charge={first}": "reversed"}


def test_a_charge_entered_by_hand_stands_for_the_usage_with_its_code(tiny):
    tiny.use("40000001", tiny.supply)
    tiny.charge(None, tiny.supply, supply_id=None)
    assert tiny.found("UC-01") == tiny.found("UC-05") == {}


def test_too_much_and_too_little_is_found_to_the_unit(tiny):
    tiny.use("40000001", tiny.supply, "3")
    tiny.charge("40000001", tiny.supply, "2")
    assert tiny.found("UC-03") == {KEY: "250.00"}
    assert tiny.found("UC-01") == {}


@pytest.mark.parametrize(("unit", "hcpcs", "quantity"), [("BX", None, "0.5"), ("CM2", "Q4100", "80")])
def test_charge_units_are_converted_to_each(unit, hcpcs, quantity):
    tiny = Tiny()
    item = tiny.item("Pledget", charge_code="CU")
    tiny.price("CU", "500", unit, hcpcs)
    tiny.use(tiny.case(), item, "5")
    tiny.charge("40000001", item, quantity)
    assert tiny.found("UC-03") == {}
    assert tiny.near("UC-03") == {f"case=40000001|item={item.supply_id}": "charged per billing unit"}


def test_the_same_thing_charged_twice_is_a_duplicate_and_no_difference(tiny):
    tiny.use("40000001", tiny.supply)
    tiny.charge("40000001", tiny.supply)
    tiny.charge("40000001", tiny.supply, days=3)
    assert tiny.found("UC-04") == {KEY: "250.00"}
    assert tiny.found("UC-03") == {}
    assert tiny.course("UC-04") == {KEY: (SURGERY + timedelta(days=4), None)}


def test_two_charges_for_two_used_are_no_duplicate(tiny):
    tiny.use("40000001", tiny.supply, "2")
    tiny.charge("40000001", tiny.supply)
    tiny.charge("40000001", tiny.supply)
    assert tiny.found("UC-04") == {}
    assert set(tiny.near("UC-04")) == {KEY}


def test_a_charge_that_nothing_explains_is_found_three_days_after_its_posting(tiny):
    root = tiny.charge("40000001", tiny.supply, "2")
    assert tiny.found("UC-05") == {f"charge={root}": "500.00"}
    assert tiny.course("UC-05") == {f"charge={root}": (SURGERY + timedelta(days=5), None)}


def test_an_issue_tagged_to_the_case_explains_a_charge(tiny):
    root = tiny.charge("40000001", tiny.supply)
    tiny.move(tiny.supply, "-1", case_typed="40000001")
    assert tiny.found("UC-05") == {}
    assert tiny.near("UC-05") == {f"charge={root}": "explained by an inventory issue"}


def test_usage_of_another_log_of_the_account_explains_a_charge(tiny):
    tiny.use(tiny.case("40000002", account="640000001"), tiny.supply)
    tiny.charge("40000001", tiny.supply)
    assert tiny.found("UC-05") == {}


def test_other_revenue_codes_and_other_accounts_are_out_of_scope(tiny):
    tiny.charge("40000001", tiny.supply, revenue_code="0360")
    tiny.charge(None, tiny.supply, account="612345678")
    assert tiny.found("UC-05") == {}


def test_three_digit_revenue_codes_are_the_same_codes(tiny):
    root = tiny.charge("40000001", tiny.supply, revenue_code="278")
    assert set(tiny.found("UC-05")) == {f"charge={root}"}
