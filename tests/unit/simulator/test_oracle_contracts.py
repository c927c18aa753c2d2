"""The oracle on contracts and prices of orders: CP-02, CP-04, CP-08 and MDM-13 from both sides, on tiny worlds."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at
from tests.unit.simulator.purchasing_trial import run_trial

YESTERDAY = SURGERY - timedelta(days=1)


def line(po: str) -> str:
    return f"po={po}|line=1"


# ------------------------------------------------------------------------------------------------------------- CP-02


def test_bought_elsewhere_although_a_contract_covers_it():
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", supplier_id="SUP00003")
    dear, cheap = tiny.order(tiny.supply, "10", "100"), tiny.order(tiny.supply, "10", "85")
    assert tiny.found("CP-02") == {line(dear): "100.00", line(cheap): "0.00"}
    assert tiny.course("CP-02")[line(dear)] == (SURGERY, None)
    assert tiny.found("CP-01") == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"supplier_id": "SUP00001"},
        {"roster": (("H5", date(2025, 1, 1)),)},
        {"roster": (("H1", None),)},
        {"is_on_hold": True},
        {"effective_to": YESTERDAY},
        {"effective_from": SURGERY + timedelta(days=1)},
    ],
)
def test_a_contract_that_does_not_cover_the_order_makes_no_buy_off_contract(changes):
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", **({"supplier_id": "SUP00003"} | changes))
    tiny.order(tiny.supply, "10", "90")
    assert tiny.found("CP-02") == {}


def test_the_distributor_of_a_contract_is_not_off_contract():
    tiny = Tiny()
    tiny.contract(tiny.supply, "100", supplier_id="SUP00003")
    tiny.contract(tiny.supply, "100", supplier_id="SUP00001", price_type="COST_PLUS", markup_pct=Decimal(5))
    tiny.order(tiny.supply, "10", "105")
    assert tiny.found("CP-02") == {}


def test_a_cancelled_line_is_not_held_against_any_contract():
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", supplier_id="SUP00003")
    po = tiny.order(tiny.supply, "10", "100")
    order = tiny.world.po_lines[0]
    tiny.world.po_lines.append(replace(order, is_cancelled=True, known_at=at(SURGERY + timedelta(days=3))))
    assert tiny.course("CP-02") == {line(po): (SURGERY, SURGERY + timedelta(days=3))}


# ------------------------------------------------------------------------------------------------------------- CP-04


def test_an_order_that_names_an_expired_agreement_fires_though_another_is_in_force():
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", contract_number="OLD", effective_to=YESTERDAY)
    tiny.contract(tiny.supply, "95", contract_number="NEW", effective_from=SURGERY)
    named = tiny.order(tiny.supply, "10", "90", contract_number="OLD")
    silent = tiny.order(tiny.supply, "10", "90")
    assert tiny.found("CP-04") == {line(named): "0.00"}
    assert tiny.near("CP-04") == {line(silent): "another contract is in force"}
    assert set(tiny.found("CP-01")) == {line(silent)}


def test_exactly_the_price_of_an_expired_contract_fires_when_none_is_in_force():
    tiny = Tiny()
    tiny.contract(tiny.supply, "900", uom="BX", each_per_uom=Decimal(10), effective_to=YESTERDAY)
    exact, other = tiny.order(tiny.supply, "10", "90"), tiny.order(tiny.supply, "10", "90.01")
    assert tiny.found("CP-04") == {line(exact): "0.00"}
    assert line(other) not in tiny.near("CP-04")


@pytest.mark.parametrize(
    "changes",
    [
        {"effective_to": SURGERY},
        {"effective_to": None},
        {"supplier_id": "SUP00003"},
        {"roster": (("H5", date(2025, 1, 1)),)},
    ],
)
def test_the_last_day_another_supplier_and_another_site_are_not_expired(changes):
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", **({"effective_to": YESTERDAY} | changes))
    tiny.order(tiny.supply, "10", "90")
    assert tiny.found("CP-04") == {}


def test_an_agreement_raised_under_its_own_number_is_not_expired():
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", effective_to=YESTERDAY)
    tiny.contract(tiny.supply, "93", effective_from=SURGERY)
    tiny.order(tiny.supply, "10", "93", contract_number="PP-1")
    assert tiny.found("CP-04") == {}


# ------------------------------------------------------------------------------------------------------------- CP-08


def test_an_order_on_a_contract_that_leaves_the_site_out():
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", roster=(("H5", date(2025, 1, 1)),))
    po = tiny.order(tiny.supply, "10", "90", contract_number="PP-1")
    tiny.order(tiny.supply, "10", "90")
    tiny.order(tiny.supply, "10", "90", contract_number="UNKNOWN")
    tiny.order(tiny.supply, "10", "90", contract_number="PP-1", site="H5", erp="erp_lawson", supplier_no="2001")
    assert tiny.found("CP-08") == {line(po): "900.00"}
    assert tiny.found("CP-01") == {}


def test_a_site_that_is_listed_without_a_letter_or_in_another_tier_is_on_the_roster():
    tiny = Tiny()
    tiny.contract(tiny.supply, "90", roster=(("H5", date(2025, 1, 1)),))
    tiny.contract(tiny.supply, "80", tier=2, roster=(("H1", None),))
    tiny.order(tiny.supply, "10", "90", contract_number="PP-1")
    assert tiny.found("CP-08") == {}


# ------------------------------------------------------------------------------------------------------------ MDM-13


def bought(tiny: Tiny, *prices: str, last: date = SURGERY) -> list[str]:
    """Orders of one item, the last on `last`, each a day after the one before."""
    first = last - timedelta(days=len(prices) - 1)
    return [
        tiny.order(tiny.supply, "10", price, day=first + timedelta(days=number)) for number, price in enumerate(prices)
    ]


def test_a_price_beyond_three_times_or_a_third_of_the_median_is_an_outlier():
    tiny = Tiny()
    orders = bought(tiny, "100", "100", "104", "100", "1000", "100", "30")
    assert tiny.found("MDM-13") == {line(orders[4]): "9000.00", line(orders[6]): "700.00"}
    assert tiny.course("MDM-13")[line(orders[4])][0] == SURGERY - timedelta(days=2)


def test_the_factors_themselves_are_within():
    tiny = Tiny()
    bought(tiny, "100", "100", "100", "100", "300", "33.33")
    assert tiny.found("MDM-13") == {}


def test_four_lines_and_lines_of_half_a_year_ago_say_nothing():
    tiny = Tiny()
    bought(tiny, "100", "100", "100", "1000")
    assert tiny.found("MDM-13") == {}
    tiny = Tiny()
    bought(tiny, "100", "100", "100", "100", last=SURGERY - timedelta(days=180))
    tiny.order(tiny.supply, "10", "1000")
    assert tiny.found("MDM-13") == {}


def test_prices_are_compared_by_each_and_free_goods_have_none():
    tiny = Tiny()
    bought(tiny, "100", "100", "100", "0", "100")
    tiny.order(tiny.supply, "1", "1000", uom="BX", each_per_uom=Decimal(10))
    assert tiny.found("MDM-13") == {}


# ------------------------------------------------------------------------------------------------- prices of a world


def test_a_better_tier_counts_from_the_day_on_which_its_letter_is_signed():
    tiny = Tiny()
    tiny.contract(tiny.supply, "100")
    tiny.contract(tiny.supply, "92", tier=2, roster=(("H1", SURGERY), ("H5", None)))
    tiny.order(tiny.supply, "10", "100", day=YESTERDAY)
    missed = tiny.order(tiny.supply, "10", "100")
    tiny.order(tiny.supply, "10", "92")
    tiny.order(tiny.supply, "10", "100", site="H5", erp="erp_lawson", supplier_no="2001")
    assert tiny.found("CP-01") == {line(missed): "80.00"}


def test_price_files_hold_renewals_lapsed_agreements_gaps_and_tiers_that_are_reached(tmp_path):
    world = run_trial(tmp_path, days=3, scale=0.004).world
    lines = world.contract_lines
    by_item: dict[int, set[str]] = {}
    for row in lines:
        by_item.setdefault(row.item_key, set()).add(row.contract_number)
    ended = {row.contract_number for row in lines if row.effective_to is not None}
    standing = {row.contract_number for row in lines if row.effective_to is None}
    assert any(len(numbers & standing) and len(numbers & (ended - standing)) for numbers in by_item.values())  # renewed
    assert any(numbers <= ended - standing for numbers in by_item.values())  # lapsed
    assert any(len(numbers & standing) > 1 for numbers in by_item.values())  # a local contract beside the GPO's
    assert any({site for site, _ in row.roster} != set(world.sites) for row in lines)
    letters = {day for row in lines if row.tier == 2 for _, day in row.roster}
    assert None in letters and any(day is not None and world.start <= day <= world.end for day in letters)


def test_a_second_number_of_a_product_buys_on_the_contract_of_the_first():
    """MDM-02: an order of the number that was entered twice is held against the price of the manufacturer's item."""
    tiny = Tiny()
    tiny.contract(tiny.supply, "100")
    again = tiny.item("Stapler", price="100", charge_code="C100")
    maker = {name: getattr(tiny.supply, name) for name in ("manufacturer_id", "catalogue_number")}
    tiny.world.items[again.key] = replace(again, **maker)
    dear = tiny.order(tiny.world.items[again.key], "1", "120")
    assert tiny.found("CP-01") == {f"po={dear}|line=1": "20.00"}
