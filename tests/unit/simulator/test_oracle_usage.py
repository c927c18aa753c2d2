"""The oracle on usage against inventory: each rule from both sides, on tiny worlds."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at

KEY = "case=40000001|item=5001"


def test_usage_without_an_issue_is_open_from_the_day_after_its_posting_is_delivered():
    tiny = Tiny()
    tiny.use(tiny.case(posted_days=1), tiny.supply, "3")
    assert tiny.found("UI-01") == {KEY: "300.00"}
    assert tiny.course("UI-01") == {KEY: (SURGERY + timedelta(days=2), None)}


def test_an_issue_that_arrives_late_clears_it():
    tiny = Tiny()
    log = tiny.case()
    tiny.use(log, tiny.supply, "3")
    tiny.move(tiny.supply, "-3", case_typed=log, posted_at=at(SURGERY + timedelta(days=3), 4))
    assert tiny.course("UI-01") == {KEY: (SURGERY + timedelta(days=2), SURGERY + timedelta(days=3))}


def test_one_each_of_a_commodity_is_tolerated_and_one_implant_is_not():
    tiny = Tiny()
    log = tiny.case()
    tiny.use(log, tiny.supply, "2")
    tiny.use(log, tiny.implant, "1")
    tiny.move(tiny.supply, "-1", case_typed=log)
    assert tiny.found("UI-01") == {"case=40000001|item=5002": "300.00"}
    assert tiny.near("UI-01")[KEY] == "within tolerance"


def test_a_void_or_unposted_log_is_not_judged():
    tiny = Tiny()
    tiny.use(tiny.case("40000001", posted_days=-1), tiny.supply, "3")
    tiny.use(tiny.case("40000002", status=4), tiny.supply, "3")
    assert tiny.found("UI-01") == {}
    assert set(tiny.near("UI-01")) == {KEY, "case=40000002|item=5001"}


def test_a_par_area_keeps_no_quantity_and_is_not_judged():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.supply, "3", location_id="H1-PAR01")
    assert tiny.found("UI-01") == {}
    assert tiny.near("UI-01") == {KEY: "expensed location"}


def test_a_line_without_a_location_is_taken_from_the_operating_room_core():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.supply, "3", location_id=None)
    assert tiny.found("UI-01") == {KEY: "300.00"}


def test_another_number_of_the_same_golden_item_counts_as_issued():
    tiny = Tiny()
    tiny.world.items[1] = replace(tiny.supply, pou_alias_nos=("PX500001",))
    log = tiny.case()
    tiny.use(log, tiny.supply, "3")
    tiny.move(tiny.supply, "-3", case_typed=log, pou_item_no="PX500001")
    assert tiny.found("UI-01") == {}
    assert tiny.found("UI-02") == {}
    assert tiny.near("UI-01") == {KEY: "another number of the same golden item was issued"}


def test_untagged_issues_near_the_surgery_are_consumed_once_in_order_of_surgery_date():
    tiny = Tiny()
    first, second = tiny.case("40000001"), tiny.case("40000002", surgery_date=SURGERY + timedelta(days=1))
    tiny.use(first, tiny.supply, "3")
    tiny.use(second, tiny.supply, "3")
    tiny.move(tiny.supply, "-3")
    assert tiny.found("UI-01") == {"case=40000002|item=5001": "300.00"}


def test_an_untagged_issue_two_days_off_does_not_count():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.supply, "3")
    tiny.move(tiny.supply, "-3", day=SURGERY - timedelta(days=2))
    assert tiny.found("UI-01") == {KEY: "300.00"}


def test_a_restock_transfer_is_no_issue():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.supply, "3")
    tiny.move(tiny.supply, "-3", ref_doc="RS1", location_id="H1-STR")
    tiny.move(tiny.supply, "3", kind="RESTOCK", ref_doc="RS1", location_id="H1-CAB01")
    assert tiny.found("UI-01") == {KEY: "300.00"}


def test_implants_billed_after_use_are_left_to_the_order_rule():
    tiny = Tiny()
    log = tiny.case()
    tiny.use(log, tiny.bill_only)
    tiny.use(log, None)
    assert tiny.found("UI-01") == {}


def test_copies_of_implants_on_the_pick_list_and_explants_are_no_usage():
    tiny = Tiny()
    log = tiny.case()
    tiny.use(log, tiny.implant, record="pick_list", implant_id=None, is_implant_copy=True)
    tiny.use(log, tiny.implant, action="explanted")
    assert tiny.found("UI-01") == {}


def test_the_unit_cost_is_that_of_the_location_at_a_legacy_site():
    tiny = Tiny()
    tiny.world.costs.append(
        replace(tiny.world.costs[0], site="H5", location_id="H5-ORC", valid_from=SURGERY, unit_cost=Decimal(7))
    )
    tiny.use(tiny.case(site="H5"), tiny.supply, "3")
    late = tiny.case("40000002", site="H5", surgery_date=SURGERY + timedelta(days=1))
    tiny.use(late, tiny.supply, "3")
    assert tiny.found("UI-01") == {KEY: "300.00", "case=40000002|item=5001": "21.00"}


def test_an_issue_tagged_to_a_case_that_documents_nothing_is_found_under_the_number_as_typed():
    tiny = Tiny()
    tiny.case("40000002", case_id="40000001")
    tiny.move(tiny.supply, "-3", case_typed=" 40000002")
    assert tiny.found("UI-02") == {"case=40000002|item=PX000001": "300.00"}


def test_an_issue_returned_after_the_case_is_open_until_then():
    tiny = Tiny()
    tiny.case()
    tiny.move(tiny.supply, "-3", case_typed="40000001")
    tiny.move(tiny.supply, "3", kind="RETURN", case_typed="40000001", day=SURGERY + timedelta(days=4))
    assert tiny.course("UI-02") == {
        "case=40000001|item=PX000001": (SURGERY + timedelta(days=2), SURGERY + timedelta(days=4))
    }


def test_an_issue_returned_on_the_same_day_never_opens():
    tiny = Tiny()
    tiny.case()
    tiny.move(tiny.supply, "-3", case_typed="40000001")
    tiny.move(tiny.supply, "3", kind="RETURN", case_typed="40000001")
    assert tiny.found("UI-02") == {}
    assert tiny.near("UI-02") == {"case=40000001|item=PX000001": "returned after the case"}


def test_an_issue_to_an_unposted_log_waits():
    tiny = Tiny()
    tiny.case(posted_days=-1)
    tiny.move(tiny.supply, "-3", case_typed="40000001")
    assert tiny.found("UI-02") == {}
    assert tiny.near("UI-02") == {"case=40000001|item=PX000001": "log still unposted"}


def test_a_number_that_no_case_has_is_judged_by_the_date_of_the_issue():
    tiny = Tiny()
    tiny.move(tiny.implant, "-1", case_typed="99999999")
    assert tiny.course("UI-02") == {"case=99999999|item=PX000002": (SURGERY + timedelta(days=1), None)}


def test_a_wrong_case_number_fires_on_both_sides():
    tiny = Tiny()
    tiny.case("40000002")
    tiny.use(tiny.case(), tiny.supply, "3")
    tiny.move(tiny.supply, "-3", case_typed="40000002")
    assert tiny.found("UI-01") == {KEY: "300.00"}
    assert tiny.found("UI-02") == {"case=40000002|item=PX000001": "300.00"}


def test_the_latest_negative_balance_is_the_one_reported():
    tiny = Tiny()
    tiny.balance(tiny.supply, "-2")
    tiny.balance(tiny.supply, "5", SURGERY + timedelta(days=1))
    tiny.balance(tiny.supply, "-4", SURGERY + timedelta(days=2))
    assert tiny.found("UI-05") == {"location=MAI-ORC|item=PX000001": "400.00"}
    assert tiny.course("UI-05") == {"location=MAI-ORC|item=PX000001": (SURGERY, None)}


def test_consigned_stock_and_par_areas_may_be_negative():
    tiny = Tiny()
    tiny.balance(tiny.supply, "-2", owner="CONSIGNED")
    tiny.balance(tiny.supply, "-2", location_id="H1-PAR01")
    tiny.balance(tiny.supply, "0")
    assert tiny.found("UI-05") == {}


def test_an_implant_that_expired_the_day_before_surgery_is_found_and_one_of_the_day_is_not():
    tiny = Tiny()
    log = tiny.case()
    tiny.use(log, tiny.implant, expiry_date=SURGERY - timedelta(days=1), implant_id="71")
    tiny.use(log, tiny.implant, expiry_date=SURGERY, implant_id="72")
    assert tiny.found("UC-10") == {"case=40000001|implant=71": "0.00"}
    assert set(tiny.near("UC-10")) == {"case=40000001|implant=72"}


def test_the_expiry_of_a_supply_comes_from_the_scan_at_the_case():
    tiny = Tiny()
    log = tiny.case()
    tiny.use(log, tiny.supply, "1")
    tiny.move(tiny.supply, "-1", case_typed=log, expiry_date=SURGERY - timedelta(days=30))
    tiny.move(tiny.bill_only, "-1", case_typed=log, expiry_date=SURGERY - timedelta(days=30))
    assert set(tiny.found("UC-10")) == {KEY}
