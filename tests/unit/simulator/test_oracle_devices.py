"""The oracle on devices and control totals: each rule from both sides, on tiny worlds."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from ingest.simulator.events import CaseCost
from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at

KEY = "case=40000001|implant=71"
DAY = timedelta(days=1)


@pytest.fixture
def tiny():
    tiny = Tiny()
    tiny.case()
    return tiny


def implanted(tiny, item=None, **changes):
    tiny.use("40000001", item or tiny.implant, implant_id="71", **({"lot": "0A100"} | changes))


# ---------------------------------------------------------------------------------------------------------------- UC-09


@pytest.mark.parametrize("missing", [{"device_identifier": None}, {"lot": None}])
def test_an_implant_without_identifier_or_without_lot_and_serial_is_found_a_day_after_posting(tiny, missing):
    implanted(tiny, **missing)
    assert tiny.found("UC-09") == {KEY: "300.00"}
    assert tiny.course("UC-09") == {KEY: (SURGERY + 2 * DAY, None)}


@pytest.mark.parametrize("changes", [{"serial": "SN1"}, {"action": "wasted"}, {"action": "explanted"}])
def test_traced_wasted_and_explanted_implants_are_fine(tiny, changes):
    implanted(tiny, **({"lot": None} | changes))
    assert tiny.found("UC-09") == {}


def test_a_wasted_implant_without_record_cannot_lack_anything(tiny):
    tiny.use("40000001", tiny.implant, "0", action="wasted", wasted_each=Decimal(1), implant_id=None, lot=None)
    assert tiny.found("UC-09") == {}


def test_tissue_with_a_donation_number_and_autografts_need_no_lot(tiny):
    implanted(tiny, lot=None, udi_type=3, is_tissue=True)
    assert tiny.near("UC-09") == {KEY: "tissue with a donation identification number"}
    tiny.world.usage[-1] = replace(
        tiny.world.usage[-1], udi_type=None, device_identifier=None, manufacturer_id=None, is_tissue=True
    )
    assert tiny.found("UC-09") == {}
    assert tiny.near("UC-09") == {KEY: "autograft"}


def test_a_record_that_is_completed_later_clears_it(tiny):
    implanted(tiny, lot=None)
    later = replace(tiny.world.usage[-1], lot="0A100", known_at=at(SURGERY + 5 * DAY))
    tiny.world.usage.append(later)
    assert tiny.course("UC-09") == {KEY: (SURGERY + 2 * DAY, SURGERY + 6 * DAY)}


def test_a_log_that_is_not_posted_is_not_judged():
    tiny = Tiny()
    tiny.case(posted_days=-1)
    implanted(tiny, lot=None)
    assert tiny.found("UC-09") == {}


# ---------------------------------------------------------------------------------------------------------------- UC-11


def test_a_recalled_lot_used_on_the_recall_date_is_found_when_the_recall_is_known(tiny):
    implanted(tiny)
    tiny.recall(tiny.implant, "Lot numbers 0A100, 0B7", "0A100;0B7", days=3)
    assert tiny.found("UC-11") == {KEY: "300.00"}
    assert tiny.course("UC-11") == {KEY: (SURGERY + 4 * DAY, None)}


@pytest.mark.parametrize("lot", ["A1OO", "0A100", "A150", "0A200"])
@pytest.mark.parametrize("word", ["through", "to", "-"])
def test_a_range_in_the_text_means_every_lot_between_its_ends(tiny, lot, word):
    implanted(tiny, lot=lot)
    tiny.recall(tiny.implant, f"Lots 0A100 {word} 0A200, due to labelling", "0A100;0A200")
    assert set(tiny.found("UC-11")) == {KEY}


@pytest.mark.parametrize("lot", ["A099", "A201", "B150", "A1500", "AX150"])
def test_other_lots_are_not_recalled(tiny, lot):
    implanted(tiny, lot=lot)
    tiny.recall(tiny.implant, "Lots 0A100 through 0A200", "0A100;0A200")
    assert tiny.found("UC-11") == {}
    assert tiny.near("UC-11") == {KEY: "other lots are recalled"}


@pytest.mark.parametrize("days", [-3, 2])
def test_use_before_the_recall_date_is_looked_back_at_only(tiny, days):
    """Also when the recall was delivered before it took effect."""
    implanted(tiny)
    tiny.recall(tiny.implant, "Lot 0A100", "0A100", day=SURGERY + DAY, days=days)
    assert tiny.found("UC-11") == {}
    assert tiny.near("UC-11") == {KEY: "used before the recall date"}


def test_a_device_is_known_by_its_identifier_or_by_maker_and_catalogue_number(tiny):
    implanted(tiny)
    tiny.recall(tiny.implant, "Lot 0A100", "0A100", recalling_firm="SOMEBODY ELSE")
    assert tiny.found("UC-11") == tiny.near("UC-11") == {}
    gtin = tiny.implant.packages[0].gtin
    tiny.recall(
        tiny.implant,
        "Lot 0A100",
        "0A100",
        recalling_firm="?",
        catalogue_number=None,
        device_identifier=gtin.lstrip("0"),
    )
    assert set(tiny.found("UC-11")) == {KEY}


def test_a_lot_scanned_with_an_item_of_the_case_counts_for_the_item(tiny):
    tiny.use("40000001", tiny.implant, "0", action="wasted", wasted_each=Decimal(1), implant_id=None, lot=None)
    tiny.move(tiny.implant, "-1", "WASTE", case_typed="40000001", lot="0A100")
    tiny.recall(tiny.implant, "Lot 0A100", "0A100")
    assert set(tiny.found("UC-11")) == {f"case=40000001|item={tiny.implant.supply_id}"}


# --------------------------------------------------------------------------------------------------------------- STK-08


def test_a_recalled_lot_on_the_shelf_is_found_until_it_is_pulled(tiny):
    tiny.shelf(tiny.implant, "4", SURGERY - 9 * DAY, lot="0A100")
    tiny.shelf(tiny.implant, "9", SURGERY - 9 * DAY, lot="0C900")
    tiny.recall(tiny.implant, "Lots 0A100 through 0A200", "0A100;0A200")
    tiny.shelf(tiny.implant, "3", SURGERY + 2 * DAY, lot="0A100")
    tiny.shelf(tiny.implant, "0", SURGERY + 5 * DAY, lot="0A100")
    key = f"location=MAI-ORC|item={tiny.implant.pou_no}|lot="
    assert tiny.found("STK-08") == {f"{key}0A100": "900.00"}
    assert tiny.course("STK-08") == {f"{key}0A100": (SURGERY + DAY, SURGERY + 5 * DAY)}
    assert tiny.near("STK-08") == {f"{key}0C900": "other lots are recalled"}


def test_a_lot_pulled_by_the_recall_date_is_no_finding(tiny):
    tiny.shelf(tiny.implant, "4", SURGERY - 9 * DAY, lot="0A100")
    tiny.recall(tiny.implant, "Lot 0A100", "0A100", days=-4)
    tiny.shelf(tiny.implant, "0", SURGERY, lot="0A100")
    assert tiny.found("STK-08") == {}
    assert len(tiny.near("STK-08")) == 1


# ---------------------------------------------------------------------------------------------------------------- UI-09


def total(tiny, cost_type: int, amount: str, days: int = 1) -> str:
    tiny.world.case_costs.append(CaseCost("H1", "40000001", cost_type, Decimal(amount), at(SURGERY + days * DAY, 9)))
    return f"case=40000001|type={cost_type}"


def test_a_control_total_must_be_the_sum_of_the_lines_of_its_type(tiny):
    """Supplies at the cost of the pick list, implants at the cost over time, one-time implants at their own."""
    tiny.use("40000001", tiny.supply, "3", wasted_each=Decimal(1), documented_cost=Decimal("90"))
    implanted(tiny)
    tiny.use("40000001", None, documented_cost=Decimal("500"), one_time_charge_proc_id="P1")
    total(tiny, 1, "270.00")
    total(tiny, 2, "90.00")
    wrong = total(tiny, 3, "300.00")
    assert tiny.found("UI-09") == {wrong: "500.00"}
    assert tiny.course("UI-09") == {wrong: (SURGERY + 2 * DAY, None)}


@pytest.mark.parametrize(("amount", "found"), [("101.00", {}), ("101.01", {"case=40000001|type=1": "1.01"})])
def test_a_dollar_is_within_tolerance(tiny, amount, found):
    tiny.use("40000001", tiny.supply)
    key = total(tiny, 1, amount)
    assert tiny.found("UI-09") == found
    assert tiny.near("UI-09") == ({} if found else {key: "within a dollar"})


def test_explants_and_copies_of_implants_are_no_cost(tiny):
    tiny.use("40000001", tiny.implant, action="explanted")
    tiny.use("40000001", tiny.implant, record="pick_list", is_implant_copy=True)
    total(tiny, 1, "0.00")
    total(tiny, 3, "0.00")
    assert tiny.found("UI-09") == {}


def test_a_total_that_is_put_right_clears_it_and_a_missing_one_is_no_break(tiny):
    tiny.use("40000001", tiny.supply)
    key = total(tiny, 1, "60.00")
    total(tiny, 1, "100.00", days=4)
    assert tiny.course("UI-09") == {key: (SURGERY + 2 * DAY, SURGERY + 5 * DAY)}
