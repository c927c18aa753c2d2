"""The oracle on items: duplicates, identifiers, charge codes, conversions, inactive items."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from ingest.simulator.events import Item, Package, PackageFactor
from ingest.simulator.item_flaws import hibc_check
from ingest.simulator.masters import gtin
from ingest.simulator.oracle.identifiers import is_gtin, is_hibc
from tests.unit.simulator.oracle_worlds import START, SURGERY, Tiny, policy


def change(tiny: Tiny, item: Item, **changes: object) -> Item:
    tiny.world.items[item.key] = replace(item, **changes)  # type: ignore[arg-type]
    return tiny.world.items[item.key]


def identified(tiny: Tiny) -> None:
    """Valid trade item numbers on all items, all of them in the device database."""
    tiny.world.reference["GUDID_DEVICE"], tiny.world.reference["GUDID_IDENTIFIER"] = [], []
    for item in list(tiny.world.items.values()):
        each, box = gtin(0, item.key), gtin(1, item.key)
        packages = (Package("EA", Decimal(1), each), Package("BX", Decimal(10), box))
        change(tiny, item, packages=packages, pou_gtin=each, ehr_identities=((30, each),))
        tiny.world.reference["GUDID_DEVICE"].append({"primary_di": each})
        tiny.world.reference["GUDID_IDENTIFIER"] += [
            {"primary_di": each, "device_id": each, "contains_di": ""},
            {"primary_di": each, "device_id": box, "contains_di": each},
        ]


# -------------------------------------------------------------------------------------------------------------- MDM-02


def test_two_items_of_one_maker_and_catalogue_number_are_duplicates_and_the_later_one_is_named():
    tiny = Tiny()
    first = tiny.supply
    second = tiny.item("Again", catalogue_number="cat 0001", legacy_no=None, pou_no=None, supply_id=None)
    change(tiny, first, created_on=date(2025, 5, 1))
    assert tiny.found("MDM-02") == {f"system=erp_fusion|item={first.cloud_no}|duplicate_of={second.cloud_no}": "0.00"}


def test_of_items_created_on_one_day_the_larger_number_is_the_duplicate():
    tiny = Tiny()
    tiny.item("Again", catalogue_number="CAT-0001", cloud_no=None, pou_no=None, supply_id=None)
    assert list(tiny.found("MDM-02")) == ["system=erp_lawson|item=1004|duplicate_of=1001"]


def test_a_device_identifier_of_one_package_level_makes_duplicates_too():
    tiny = Tiny()
    identified(tiny)
    change(tiny, tiny.world.items[2], pou_gtin=gtin(0, 1)[1:])
    change(tiny, tiny.world.items[3], pou_gtin=gtin(1, 2))
    assert list(tiny.found("MDM-02")) == ["system=pou|item=PX000002|duplicate_of=PX000001"]


def test_merged_and_inactive_items_and_other_makers_are_no_duplicates():
    tiny = Tiny()
    change(tiny, tiny.supply, pou_alias_nos=("PX500001",))
    tiny.item("Old", catalogue_number="CAT-0001", is_active=False, pou_no=None, supply_id=None)
    tiny.item("Other", catalogue_number="CAT-0001", manufacturer_id="MFR00002", pou_manufacturer_name="MFR00002")
    assert tiny.found("MDM-02") == {}
    assert tiny.near("MDM-02") == {"system=pou|item=PX500001|duplicate_of=PX000001": "merged already"}


def test_a_number_that_is_not_merged_is_a_duplicate():
    tiny = Tiny()
    change(tiny, tiny.supply, pou_alias_nos=("PX500001",), is_alias_merged=False)
    assert list(tiny.found("MDM-02")) == ["system=pou|item=PX500001|duplicate_of=PX000001"]


# -------------------------------------------------------------------------------------------------------------- MDM-03


def test_a_device_identifier_that_leads_elsewhere_disagrees_with_the_number():
    tiny = Tiny()
    identified(tiny)
    change(tiny, tiny.world.items[1], ehr_identities=((30, gtin(1, 2)),))
    tiny.use(tiny.case(), tiny.supply, "2")
    assert tiny.found("MDM-03") == {"system=ehr|item=5001": "200.00"}


def test_a_stale_number_disagrees_with_maker_and_catalogue_number():
    tiny = Tiny()
    tiny.item("Retired", legacy_no="0009999", cloud_no=None, pou_no=None, supply_id=None, is_active=False)
    change(tiny, tiny.supply, pou_erp_item_no="0009999")
    tiny.move(tiny.supply, "-3")
    assert tiny.found("MDM-03") == {"system=pou|item=PX000001": "300.00"}


def test_weak_catalogue_numbers_and_missing_references_do_not_disagree():
    tiny = Tiny()
    tiny.item("Digits", catalogue_number="880001", pou_no=None, supply_id=None)
    change(tiny, tiny.supply, catalogue_number="880-001")
    change(tiny, tiny.implant, ehr_external_id=None, pou_erp_item_no=None)
    assert tiny.found("MDM-03") == {}


# -------------------------------------------------------------------------------------------------------------- MDM-10


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("09521234000013", True),
        ("9521234000013", True),
        ("09521234000014", False),
        ("521234000013", False),
        ("0952123400001X", False),
        ("", False),
    ],
)
def test_a_trade_item_number_has_a_length_and_a_check_digit(text, right):
    assert is_gtin(text) is right


def test_the_check_character_of_a_hibc_is_its_sum_modulo_43():
    assert is_hibc("+A123BJC5D6E71G")  # example of the standard
    assert not is_hibc("+A123BJC5D6E71H")
    assert hibc_check("+A123BJC5D6E71") == "G"


def test_identifiers_that_are_wrong_or_unknown_are_found_in_every_system_that_has_them():
    tiny = Tiny()
    identified(tiny)
    change(tiny, tiny.world.items[1], pou_gtin="09521234000014")
    unknown = gtin(0, 77)
    change(tiny, tiny.world.items[2], ehr_identities=((30, unknown),))
    change(tiny, tiny.world.items[3], hibc="+A123BJC5D6E71H")
    assert set(tiny.found("MDM-10")) == {
        "system=pou|item=PX000001",
        "system=ehr|item=5002",
        "system=pou|item=PX000003",
        "system=erp_lawson|item=1003",
    }


def test_an_unpadded_number_is_right_and_a_device_no_longer_sold_is_known():
    tiny = Tiny()
    identified(tiny)
    change(tiny, tiny.world.items[1], pou_gtin=gtin(0, 1)[1:])
    tiny.world.reference["GUDID_DEVICE"][1]["distribution_status"] = "Not in Commercial Distribution"
    assert tiny.found("MDM-10") == {}
    systems = ("pou|item=PX000002", "ehr|item=5002", "erp_fusion|item=1002")
    assert set(tiny.near("MDM-10")) == {f"system={name}" for name in systems}


# -------------------------------------------------------------------------------------------------------------- MDM-05


def test_a_supply_that_the_policy_charges_needs_a_charge_code():
    tiny = Tiny()
    bare = tiny.item("Bare", price="30")
    tiny.use(tiny.case(), bare, "3")
    tiny.use(tiny.case("40000002", surgery_date=date(2026, 1, 5)), bare, "5")
    assert tiny.found("MDM-05") == {f"system=ehr|item={bare.supply_id}": "360.00"}


def test_routine_supplies_placeholders_and_instruments_need_none():
    tiny = Tiny()
    tiny.item("Routine", price="24.99")
    tiny.item("Set", price="900", is_placeholder=True)
    tiny.item("Retractor", price="900", item_class="INSTRUMENT")
    tiny.world.reference["CHARGEABILITY_POLICY"].append(policy(15, "N", "reusable", item_class="INSTRUMENT"))
    assert tiny.found("MDM-05") == {}


def test_a_code_without_revenue_code_and_square_centimetres_without_hcpcs_cannot_charge():
    tiny = Tiny()
    tiny.price("C500", "10", unit="CM2")
    skin = tiny.item("Skin", price="400", charge_code="C500")
    tiny.price("C600", "10")
    tiny.world.charge_prices[-1] = replace(tiny.world.charge_prices[-1], revenue_code=None)
    odd = tiny.item("Odd", price="400", charge_code="C600")
    assert set(tiny.found("MDM-05")) == {f"system=ehr|item={item.supply_id}" for item in (skin, odd)}


# -------------------------------------------------------------------------------------------------------------- MDM-06


def factors(tiny: Tiny, *rows: tuple[str, str, str, str, str]) -> None:
    for system, item_no, uom, to_uom, factor in rows:
        tiny.world.package_factors.append(PackageFactor(system, item_no, uom, to_uom, Decimal(factor)))


def test_the_later_system_is_named_and_its_transactions_count():
    tiny = Tiny()
    factors(
        tiny,
        ("erp_lawson", "1001", "BX", "EA", "10"),
        ("erp_fusion", "1001", "BX", "EA", "10"),
        ("pou", "PX000001", "BX", "EA", "20"),
    )
    tiny.move(tiny.supply, "-3")
    assert tiny.found("MDM-06") == {"system=pou|item=PX000001|from=BX|to=EA": "300.00"}


def test_factors_are_reduced_to_the_stock_unit():
    tiny = Tiny()
    factors(
        tiny,
        ("erp_fusion", "1001", "CA", "EA", "50"),
        ("pou", "PX000001", "CA", "BX", "5"),
        ("pou", "PX000001", "BX", "EA", "10"),
    )
    assert tiny.found("MDM-06") == {}


def test_a_package_cycle_must_multiply_to_one():
    tiny = Tiny()
    rows = (("PX000001", "BX", "EA", "10"), ("PX000001", "EA", "EA", "1"), ("PX000002", "BX", "EA", "10"))
    factors(tiny, *(("pou", *row) for row in rows))
    factors(tiny, ("pou", "PX000001", "EA", "BX", "0.1"), ("pou", "PX000002", "EA", "BX", "0.2"))
    tiny.move(tiny.implant, "-1")
    assert tiny.found("MDM-06") == {"system=pou|item=PX000002|from=BX|to=EA": "300.00"}


# -------------------------------------------------------------------------------------------------------------- MDM-07


def test_orders_receipts_and_issues_after_an_item_became_inactive_are_found():
    tiny = Tiny()
    since = SURGERY - timedelta(days=3)
    item = change(tiny, tiny.supply, inactive_since=(("erp_fusion", since),))
    tiny.order(item, "10", "100", day=since - timedelta(days=1))
    late = tiny.order(item, "2", "100", day=since)
    tiny.receive(late, "2", day=SURGERY)
    assert tiny.found("MDM-07") == {"system=erp_fusion|item=1001": "200.00"}
    assert tiny.course("MDM-07") == {"system=erp_fusion|item=1001": (since, None)}


def test_an_issue_alone_is_found_without_money():
    tiny = Tiny()
    item = change(tiny, tiny.supply, inactive_since=(("erp_lawson", SURGERY),))
    tiny.move(item, "-1", site="H5", event="E09", erp="erp_lawson")
    assert tiny.found("MDM-07") == {"system=erp_lawson|item=1001": "0.00"}


def test_an_inactive_item_that_is_left_alone_is_no_exception():
    tiny = Tiny()
    item = change(tiny, tiny.supply, inactive_since=(("erp_fusion", SURGERY),))
    tiny.order(item, day=START)
    tiny.move(item, "-1", site="H5", event="E09", erp="erp_lawson")
    assert tiny.found("MDM-07") == {}
    assert set(tiny.near("MDM-07")) == {"system=erp_fusion|item=1001"}
