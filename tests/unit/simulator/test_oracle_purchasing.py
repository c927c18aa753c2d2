"""The oracle on orders, receipts and invoices: each rule from both sides, on tiny worlds."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from ingest.simulator.oracle.calendar import after_business_days
from ingest.simulator.oracle.payables import number_key, stems
from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at

IMPLANT = "case=40000001|implant=71"


def days(number: int) -> timedelta:
    return timedelta(days=number)


# ------------------------------------------------------------------------------------------------------------- BO-01


def test_a_bill_only_implant_without_order_is_open_on_the_fifth_business_day():
    tiny = Tiny()
    tiny.contract(tiny.bill_only, "1900")
    tiny.use(tiny.case(), tiny.bill_only, implant_id="71")
    assert tiny.found("BO-01") == {IMPLANT: "1900.00"}
    assert tiny.course("BO-01") == {IMPLANT: (SURGERY + days(7), None)}


def test_business_days_leave_out_weekends_and_federal_holidays():
    assert after_business_days(date(2026, 2, 11), 5) == date(2026, 2, 19)  # Presidents' Day is 16 February
    assert after_business_days(date(2026, 7, 1), 2) == date(2026, 7, 6)  # 4 July is a Saturday, observed on Friday


def test_without_a_contract_the_unit_cost_counts_and_one_time_implants_carry_theirs():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.bill_only, "2", implant_id="71")
    tiny.use("40000001", None, implant_id="72")
    assert tiny.found("BO-01") == {IMPLANT: "4000.00", "case=40000001|implant=72": "500.00"}


@pytest.mark.parametrize("typed", ["40000001", " 40000009 "])
def test_an_order_with_the_case_or_log_number_clears_it(typed):
    tiny = Tiny()
    tiny.use(tiny.case(case_id="40000009"), tiny.bill_only, implant_id="71")
    tiny.order(
        tiny.bill_only, "1", day=SURGERY + days(20), po_type="bill_only", match_basis="bill_only", case_typed=typed
    )
    assert tiny.course("BO-01") == {IMPLANT: (SURGERY + days(7), SURGERY + days(20))}


def test_a_number_that_is_the_log_of_one_case_and_the_number_of_another_means_the_other():
    tiny = Tiny()
    tiny.use(tiny.case(case_id="40000009"), tiny.bill_only, implant_id="71")
    tiny.use(tiny.case("40000005", case_id="40000001"), tiny.bill_only, implant_id="72")
    tiny.order(tiny.bill_only, "1", po_type="bill_only", match_basis="bill_only", case_typed="40000001")
    assert set(tiny.found("BO-01")) == {IMPLANT}


def test_an_order_of_the_case_for_another_item_does_not_count():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.bill_only, implant_id="71")
    tiny.order(tiny.implant, "1", po_type="bill_only", match_basis="bill_only", case_typed="40000001")
    assert set(tiny.found("BO-01")) == {IMPLANT}


@pytest.mark.parametrize(("lag", "is_found"), [(-1, True), (10, True), (11, False)])
def test_an_order_by_supplier_catalogue_and_lot_counts_within_its_window(lag, is_found):
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.bill_only, implant_id="71", lot="LO0123")
    tiny.order(tiny.bill_only, "1", day=SURGERY + days(lag), po_type="bill_only", match_basis="bill_only", lot="L00123")
    cleared = [end for _, end in tiny.course("BO-01").values()]
    assert (cleared in ([], [SURGERY + days(lag)])) == is_found


def test_owned_and_explanted_implants_need_no_order():
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.implant)
    tiny.use("40000001", tiny.bill_only, action="explanted")
    assert tiny.found("BO-01") == {}


# ------------------------------------------------------------------------------------------------------------- CP-01


def test_an_order_above_contract_is_found_with_what_it_costs_too_much():
    tiny = Tiny()
    tiny.contract(tiny.supply, "90")
    po = tiny.order(tiny.supply, "10", "100")
    assert tiny.found("CP-01") == {f"po={po}|line=1": "100.00"}
    assert tiny.course("CP-01") == {f"po={po}|line=1": (SURGERY, None)}


def test_an_order_below_contract_is_found_without_money():
    tiny = Tiny()
    tiny.contract(tiny.supply, "110")
    po = tiny.order(tiny.supply, "10", "100")
    assert tiny.found("CP-01") == {f"po={po}|line=1": "0.00"}


def test_one_percent_or_one_cent_each_is_tolerated():
    tiny = Tiny()
    tiny.contract(tiny.supply, "100")
    po = tiny.order(tiny.supply, "10", "101")
    penny = tiny.item("Gauze", price="0.10")
    tiny.contract(penny, "0.10")
    tiny.order(penny, "100", "0.11")
    assert tiny.found("CP-01") == {}
    assert f"po={po}|line=1" in tiny.near("CP-01")


def test_prices_are_compared_by_each():
    tiny = Tiny()
    tiny.contract(tiny.supply, "900", uom="BX", each_per_uom=Decimal(10))
    tiny.order(tiny.supply, "10", "90")
    assert tiny.found("CP-01") == {}


def test_local_goes_before_idn_before_gpo_then_priority_then_price():
    tiny = Tiny()
    tiny.contract(tiny.supply, "80", contract_type="GPO", contract_number="A")
    tiny.contract(tiny.supply, "95", contract_type="LOCAL", contract_number="B")
    tiny.contract(tiny.supply, "100", contract_type="LOCAL", contract_number="C", priority=1)
    tiny.order(tiny.supply, "10", "100")
    assert tiny.found("CP-01") == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"roster": (("H5", date(2025, 1, 1)),)},
        {"roster": (("H1", None),)},
        {"roster": (("H1", SURGERY + timedelta(days=1)),)},
        {"is_on_hold": True},
        {"effective_to": SURGERY - timedelta(days=1)},
        {"effective_from": SURGERY + timedelta(days=1)},
        {"supplier_id": "SUP00003"},
    ],
)
def test_a_contract_line_that_is_not_in_force_for_the_order_is_not_held_against_it(changes):
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", **changes)
    tiny.order(tiny.supply, "10", "100")
    assert tiny.found("CP-01") == {}


def test_a_distributor_may_add_its_mark_up():
    tiny = Tiny()
    tiny.contract(tiny.supply, "100")
    tiny.contract(tiny.supply, "100", supplier_id="SUP00003", price_type="COST_PLUS", markup_pct=Decimal(5))
    tiny.order(tiny.supply, "10", "105", supplier_id="SUP00003")
    dear = tiny.order(tiny.supply, "10", "108", supplier_id="SUP00003")
    assert tiny.found("CP-01") == {f"po={dear}|line=1": "30.00"}


def test_a_line_that_names_an_expired_agreement_belongs_to_another_rule():
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", contract_number="OLD", effective_to=SURGERY - timedelta(days=1))
    tiny.contract(tiny.supply, "85", contract_number="NEW")
    tiny.order(tiny.supply, "10", "90", contract_number="OLD")
    plain = tiny.order(tiny.supply, "10", "90")
    assert tiny.found("CP-01") == {f"po={plain}|line=1": "50.00"}


# ------------------------------------------------------------------------------------------- M3-01, 02, 05, 06


def test_five_dollars_and_two_percent_both_bound_a_dearer_invoice():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10", "100")
    tiny.receive(po, "10")
    within = tiny.invoice(po, "10", "100.50")
    beyond = tiny.invoice(po, "10", "100.51")
    assert tiny.found("M3-01") == {f"{beyond}|line=1": "5.10"}
    assert f"{within}|line=1" in tiny.near("M3-01")


def test_a_cheaper_invoice_has_more_room():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10", "100")
    tiny.invoice(po, "10", "95")
    beyond = tiny.invoice(po, "10", "94.99")
    assert tiny.found("M3-01") == {f"{beyond}|line=1": "50.10"}


def test_a_small_line_is_bound_by_its_percentage():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "1", "100")
    tiny.invoice(po, "1", "102")
    beyond = tiny.invoice(po, "1", "102.01")
    assert tiny.found("M3-01") == {f"{beyond}|line=1": "2.01"}


def test_another_unit_of_measure_explains_a_price():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "2", "1000", uom="BX", each_per_uom=Decimal(10))
    tiny.invoice(po, "20", "100", uom="EA")
    mistyped = tiny.invoice(po, "20", "100", uom="BX2", each_per_uom=Decimal(10))
    assert tiny.found("M3-01") == {}
    assert tiny.near("M3-01")[f"{mistyped}|line=1"] == "price UoM explains it"


@pytest.mark.parametrize(("price", "impact"), [("1000", "3600.00"), ("10", "360.00")])
def test_another_unit_explains_no_price_that_costs_other_money(price, impact):
    """M3-04 asks for amounts that agree; the price of a box for one, or of one for a tenth, is another price."""
    tiny = Tiny()
    po = tiny.order(tiny.supply, "2", "1000", uom="BX", each_per_uom=Decimal(10))
    invoice = tiny.invoice(po, "4", price, uom="EA")
    assert tiny.found("M3-01") == {f"{invoice}|line=1": impact}
    assert tiny.found("M3-04") == {}


@pytest.mark.parametrize("changes", [{"is_cancelled": True}, {"line_cancelled": True}])
def test_cancelled_invoices_and_lines_are_not_judged(changes):
    tiny = Tiny()
    po = tiny.order(tiny.supply)
    tiny.invoice(po, "10", "150", **changes)
    assert tiny.found("M3-01") == tiny.found("M3-06") == {}


@pytest.mark.parametrize("basis", ["2way", "ers", "bill_only"])
def test_only_three_way_lines_are_judged_by_price_and_quantity(basis):
    tiny = Tiny()
    po = tiny.order(tiny.supply, match_basis=basis)
    tiny.receive(po, "2")
    tiny.invoice(po, "10", "150")
    assert tiny.found("M3-01") == tiny.found("M3-02") == tiny.found("M3-06") == {}


def test_billed_more_than_received_is_open_five_days_after_the_latest_invoice():
    tiny = Tiny()
    po = tiny.order(tiny.supply)
    tiny.receive(po, "7")
    tiny.invoice(po, "10", "100")
    assert tiny.found("M3-02") == {f"po={po}|line=1": "300.00"}
    assert tiny.course("M3-02") == {f"po={po}|line=1": (SURGERY + days(5), None)}


def test_one_each_and_two_percent_are_both_needed_to_tolerate_it():
    tiny = Tiny()
    small, large = tiny.order(tiny.supply, "10"), tiny.order(tiny.supply, "60")
    tiny.receive(small, "9")
    tiny.receive(large, "59")
    tiny.invoice(small, "10", "100")
    tiny.invoice(large, "60", "100")
    assert set(tiny.found("M3-02")) == {f"po={small}|line=1"}
    assert set(tiny.near("M3-02")) == {f"po={large}|line=1"}


def test_corrections_count_and_returns_take_back():
    tiny = Tiny()
    corrected, returned = tiny.order(tiny.supply), tiny.order(tiny.supply)
    for po in (corrected, returned):
        tiny.invoice(po, "10", "100")
    tiny.receive(corrected, "8")
    tiny.receive(corrected, "2", kind="correct", day=SURGERY + days(1))
    tiny.receive(returned, "10")
    tiny.receive(returned, "-4", kind="return", day=SURGERY + days(9))
    tiny.invoice(returned, "-4", "100", day=SURGERY + days(20))
    assert tiny.course("M3-02") == {f"po={returned}|line=1": (SURGERY + days(9), SURGERY + days(20))}


def test_unreleased_receipts_do_not_count():
    tiny = Tiny()
    po = tiny.order(tiny.supply)
    tiny.receive(po, "10", is_released=False)
    tiny.invoice(po, "10", "100")
    assert tiny.found("M3-06") == {f"po={po}|line=1": "1000.00"}


def test_invoiced_and_never_received_is_open_until_the_goods_come():
    tiny = Tiny()
    po = tiny.order(tiny.supply)
    tiny.invoice(po, "10", "100")
    tiny.receive(po, "10", day=SURGERY + days(8))
    assert tiny.course("M3-06") == {f"po={po}|line=1": (SURGERY + days(5), SURGERY + days(8))}


def test_invoiced_and_credited_in_full_is_not_open():
    tiny = Tiny()
    po = tiny.order(tiny.supply)
    tiny.invoice(po, "10", "100")
    tiny.invoice(po, "-10", "100", day=SURGERY + days(2))
    assert tiny.found("M3-06") == {}


def test_the_oldest_unbilled_layer_decides_the_age_of_a_receipt():
    tiny = Tiny()
    first = date(2026, 1, 5)
    aged, billed = tiny.order(tiny.supply, day=first), tiny.order(tiny.supply, day=first)
    for po in (aged, billed):
        tiny.receive(po, "4", day=first)
        tiny.receive(po, "6", day=first + days(80))
    tiny.invoice(aged, "3", "100", day=first + days(3))
    tiny.invoice(billed, "4", "100", day=first + days(3))
    assert tiny.found("M3-05") == {f"po={aged}|line=1": "700.00"}
    assert tiny.course("M3-05") == {f"po={aged}|line=1": (first + days(60), None)}


def test_a_return_takes_from_the_receipt_that_it_names():
    tiny = Tiny()
    first = date(2026, 1, 5)
    po = tiny.order(tiny.supply, day=first)
    old = tiny.receive(po, "4", day=first)
    tiny.receive(po, "6", day=first + days(50))
    tiny.receive(po, "-4", day=first + days(51), kind="return", parent_key=old)
    assert tiny.found("M3-05") == {}


def test_evaluated_free_consigned_and_returned_receipts_do_not_age():
    tiny = Tiny()
    first = date(2026, 1, 5)
    ers = tiny.order(tiny.supply, day=first, match_basis="ers")
    free = tiny.order(tiny.supply, price="0", day=first)
    consigned = tiny.order(tiny.supply, day=first)
    returned = tiny.order(tiny.supply, day=first)
    tiny.receive(ers, "10", day=first)
    tiny.receive(free, "10", day=first)
    tiny.receive(consigned, "10", day=first, is_consigned=True)
    tiny.receive(returned, "10", day=first)
    tiny.receive(returned, "-10", day=first + days(30), kind="return")
    assert tiny.found("M3-05") == {}
    assert len(tiny.near("M3-05")) == 4


# ------------------------------------------------------------------------------------------------------------- M3-07


def test_the_later_of_two_invoices_with_one_number_is_the_duplicate():
    tiny = Tiny()
    tiny.invoice(None, "1", "500", number="INV-00123")
    later = tiny.invoice(None, "1", "500", day=SURGERY + days(40), number="INV00123")
    assert tiny.found("M3-07") == {later: "500.00"}


def test_it_is_found_across_both_erps_and_inside_a_supplier_family():
    tiny = Tiny()
    tiny.invoice(None, "1", "500", number="77123", supplier_id="SUP00002")
    later = tiny.invoice(
        None, "1", "500", day=SURGERY + days(3), number="0077123", erp="erp_lawson", site="H5", supplier_no="2001"
    )
    assert tiny.found("M3-07") == {later: "500.00"}


def test_a_suffix_of_the_legacy_erp_is_no_part_of_the_supplier_number():
    tiny = Tiny()
    legacy = {"erp": "erp_lawson", "site": "H5", "supplier_no": "2001"}
    tiny.invoice(None, "1", "500", number="77123", **legacy)
    later = tiny.invoice(None, "1", "500", day=SURGERY + days(20), number="77123-1", document_no="77123", **legacy)
    tiny.invoice(None, "1", "300", day=SURGERY + days(40), number="77123-2", document_no="77123", **legacy)
    assert tiny.found("M3-07") == {later: "500.00"}


@pytest.mark.parametrize(
    ("number", "lag", "is_found"),
    [
        ("77123A", 7, True),
        ("77123A", 8, False),
        ("7712B", 1, False),
        ("77l23-R", 2, True),
        ("O77123", 30, True),
        ("77124", 0, False),
    ],
)
def test_numbers_that_differ_by_a_revision_letter_count_within_seven_days(number, lag, is_found):
    tiny = Tiny()
    tiny.invoice(None, "1", "500", number="77123")
    tiny.invoice(None, "1", "500", day=SURGERY + days(lag), number=number)
    assert bool(tiny.found("M3-07")) == is_found


def test_other_suppliers_other_amounts_credits_and_cancelled_ones_are_no_duplicates():
    tiny = Tiny()
    tiny.invoice(None, "1", "500", number="1001")
    tiny.invoice(None, "1", "500", number="1001", supplier_id="SUP00003", supplier_no="5003")
    tiny.invoice(None, "1", "400", number="1001A")
    tiny.invoice(None, "-1", "500", number="1001")
    tiny.invoice(None, "1", "500", number="1001", is_cancelled=True, day=SURGERY + days(1))
    assert tiny.found("M3-07") == {}


def test_invoice_full_credit_and_rebill_is_no_duplicate():
    tiny = Tiny()
    tiny.invoice(None, "1", "500", number="1001")
    tiny.invoice(None, "-1", "500", number="1001CR", day=SURGERY + days(2))
    rebill = tiny.invoice(None, "1", "500", number="1001R", day=SURGERY + days(4))
    assert tiny.found("M3-07") == {}
    assert tiny.near("M3-07")[rebill] == "invoice, full credit and rebill"


def test_a_credit_that_comes_later_does_not_excuse_what_was_billed_twice():
    tiny = Tiny()
    tiny.invoice(None, "1", "500", number="1001")
    again = tiny.invoice(None, "1", "500", number="1001A", day=SURGERY + days(3))
    tiny.invoice(None, "-1", "500", number="CM77", day=SURGERY + days(9))
    assert tiny.found("M3-07") == {again: "500.00"}


def test_one_credit_takes_back_one_of_two_duplicates():
    tiny = Tiny()
    tiny.invoice(None, "1", "500", number="1001")
    tiny.invoice(None, "1", "500", number="1001A", day=SURGERY + days(1))
    again = tiny.invoice(None, "1", "500", number="1001B", day=SURGERY + days(2))
    tiny.invoice(None, "-1", "500", number="1001CR", day=SURGERY + days(2))
    assert tiny.found("M3-07").keys() >= {again}


def test_numbers_are_compared_without_punctuation_zeros_and_look_alikes():
    assert number_key("inv-0.1") == "INV01"
    assert number_key("inv-000.123") == "1NV000123"
    assert number_key("00O1I2/3") == "1123"
    assert stems("123A") == {"123A", "123"}
    assert stems("123DUP") == {"123DUP", "123"}
    assert stems("AB") == {"AB"}


# ------------------------------------------------------------------------------------------------- later versions


def test_a_version_that_is_known_later_counts_from_then_on():
    tiny = Tiny()
    po = tiny.order(tiny.supply)
    tiny.receive(po, "10")
    invoice = tiny.invoice(po, "10", "150")
    header = tiny.world.invoices[0]
    tiny.world.invoices.append(replace(header, is_cancelled=True, known_at=at(SURGERY + days(6))))
    assert tiny.course("M3-01") == {f"{invoice}|line=1": (SURGERY, SURGERY + days(6))}
