"""The oracle on the acquired hospital: FHIR usage, charges that name nothing, devices, New York dates."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from decimal import Decimal

import pytest

from ingest.simulator.events import Item, Location
from ingest.simulator.masters import SITES
from tests.unit.simulator.oracle_worlds import CHICAGO, SURGERY, Tiny, at

CASE = "E-2026-000001"
DEVICE = f"case={CASE}|implant=dev-1"


class East(Tiny):
    """A tiny world with one case at H8."""

    def __init__(self, **changes: object) -> None:
        super().__init__()
        self.world.sites["H8"] = SITES["H8"]
        for suffix, kind, asset in (("STR", "STOREROOM", True), ("ORC", "OR_CORE", True), ("PAR01", "PAR", False)):
            name = f"H8-{suffix}"
            self.world.locations[name] = Location(
                name, "H8", kind, asset, asset, False, f"H8{suffix}-2", f"H8{suffix}", None, "7010", f"H8{suffix}", 1
            )
        for item in list(self.world.items.values()):
            self.known(item)
        self.case(CASE, "H8", **changes)

    def known(self, item: Item) -> Item:
        """Give an item its number in the second database."""
        self.world.items[item.key] = replace(item, mmis_east_no=f"E{20000 + item.key}")
        return self.world.items[item.key]

    def deliver(self, item: Item, quantity: str = "1", **changes: object) -> None:
        """A SupplyDelivery of an item."""
        values: dict[str, object] = {
            "record": "delivery",
            "system": "ehr_fhir",
            "supply_id": f"E{20000 + item.key}",
            "implant_id": None,
            "documented_cost": None,
        }
        self.use(CASE, item, quantity, **(values | changes))

    def place(self, item: Item, **changes: object) -> None:
        """A SupplyDelivery of a device."""
        values: dict[str, object] = {
            "record": "implant",
            "supply_id": None,
            "implant_id": "dev-1",
            "device_identifier": item.packages[0].gtin,
            "udi_type": 1,
            "manufacturer_id": "MFR00001",
            "manufacturer_number": item.catalogue_number,
        }
        self.deliver(item, **(values | changes))

    def bill(self, item: Item, quantity: str = "1", days: int = 2, **changes: object) -> str:
        """A charge as it comes from the acquired hospital: account, code, date and quantity."""
        account = self.world.cases[0].account
        values: dict[str, object] = {"supply_id": None, "account": account, "site": "H8"}
        return self.charge(None, item, quantity, days, **(values | changes))

    def waits(self, item: Item, until: int | None = None) -> None:
        """A charge in HSP_PRE_AR_TX, without log and supply."""
        self.waiting_charge(CASE, item, "pre_ar", until=until)
        self.world.in_flight[-1] = replace(self.world.in_flight[-1], log_id=None, supply_id=None)

    def issue(self, item: Item, quantity: str, **changes: object) -> None:
        """An issue keyed the next morning; it names no case."""
        values: dict[str, object] = {"pou_item_no": f"E{20000 + item.key}-2"}
        self.move(item, f"-{quantity}", site="H8", **(values | changes))


@pytest.fixture
def east():
    return East()


def key(item: Item) -> str:
    return f"case={CASE}|item=E{20000 + item.key}"


def test_a_missed_charge_is_named_by_case_number_and_item_number(east):
    east.deliver(east.supply, "3")
    assert east.found("UC-01") == {key(east.supply): "750.00"}
    assert east.course("UC-01") == {key(east.supply): (SURGERY + timedelta(days=4), None)}


def test_a_line_with_a_device_is_named_by_it_and_known_by_what_the_device_says(east):
    east.place(east.implant)
    assert east.found("UC-01") == {DEVICE: "900.00"}
    alone = East()
    alone.place(alone.implant, device_identifier=None)
    assert alone.found("UC-01") == {DEVICE: "900.00"}
    unknown = East()
    unknown.place(unknown.implant, device_identifier=None, manufacturer_number="NO SUCH")
    assert unknown.found("UC-01") != {DEVICE: "900.00"}


@pytest.mark.parametrize(("shift", "is_charged"), [(0, True), (1, True), (-1, True), (2, False)])
def test_a_charge_is_that_of_the_line_by_code_and_a_service_date_within_a_day(east, shift, is_charged):
    east.deliver(east.supply, "3")
    charge = east.bill(east.supply, "3", service_date=SURGERY + timedelta(days=shift))
    assert (east.found("UC-01") == {}) == is_charged
    assert east.found("UC-03") == {}
    assert (f"charge={charge}" in east.found("UC-05")) is False  # its code is that of usage of the account


def test_of_two_items_with_one_code_equal_quantities_belong_together(east):
    other = east.known(east.item("Stapler long", price="100", charge_code="C100"))
    east.deliver(east.supply, "3")
    east.deliver(other, "1")
    east.bill(east.supply, "1")
    east.bill(east.supply, "3")
    assert east.found("UC-01") == east.found("UC-03") == east.found("UC-04") == {}


def test_what_is_left_of_two_items_with_one_code_is_missed_on_the_later_name(east):
    other = east.known(east.item("Stapler long", price="100", charge_code="C100"))
    east.deliver(east.supply)
    east.deliver(other)
    east.bill(east.supply)
    assert east.found("UC-01") == {key(other): "250.00"}


def test_one_too_many_differs_and_a_second_charge_is_a_duplicate_instead(east):
    east.deliver(east.supply, "3")
    first = east.bill(east.supply, "4")
    assert east.found("UC-03") == {key(east.supply): "250.00"}
    east.world.charges = [replace(row, quantity=Decimal(3)) for row in east.world.charges if row.tx_id == first]
    east.bill(east.supply, "3", days=3)
    assert east.found("UC-03") == {}
    assert east.found("UC-04") == {key(east.supply): "750.00"}
    assert east.found("UC-05") == {}


def test_two_pieces_charged_one_by_one_are_no_duplicate(east):
    east.deliver(east.supply, "2")
    east.bill(east.supply)
    east.bill(east.supply)
    assert east.found("UC-01") == east.found("UC-03") == east.found("UC-04") == {}


def test_a_charge_of_a_code_that_no_usage_has_is_unexplained(east):
    east.deliver(east.supply)
    east.bill(east.supply)
    stray = east.bill(east.implant)
    assert east.found("UC-05") == {f"charge={stray}": "900.00"}


def test_a_charge_reposted_under_another_code_stays_that_of_its_line(east):
    east.deliver(east.supply)
    first = east.bill(east.supply)
    east.bill(east.supply, "-1", days=3, reverses=first, amount=Decimal(-250))
    east.bill(east.implant, days=3, reposts=first)
    assert east.found("UC-01") == east.found("UC-03") == east.found("UC-05") == {}


def test_charges_by_the_box_are_counted_in_each_of_the_item_they_mean(east):
    box = east.known(east.item("Pledget", price="60", charge_code="C500"))
    east.price("C500", "1000", unit="BX")
    east.deliver(box, "20")
    east.bill(box, "2", unit_of_charge="BX")
    assert east.found("UC-01") == east.found("UC-03") == {}


def test_a_charge_that_waits_for_posting_is_on_its_way_though_it_names_nothing(east):
    east.deliver(east.supply)
    east.waits(east.supply)
    assert east.found("UC-01") == {}
    assert list(east.near("UC-01")) == [key(east.supply)]
    given_up = East()
    given_up.deliver(given_up.supply)
    given_up.waits(given_up.supply, until=6)
    assert given_up.course("UC-01") == {key(given_up.supply): (SURGERY + timedelta(days=7), None)}


def test_a_line_taken_back_leaves_its_charge_without_usage(east):
    east.deliver(east.supply)
    charge = east.bill(east.supply)
    line = east.world.usage[-1]
    east.world.usage.append(replace(line, used_each=Decimal(0), known_at=at(SURGERY + timedelta(days=8))))
    assert east.course("UC-05") == {f"charge={charge}": (SURGERY + timedelta(days=9), None)}
    east.bill(east.supply, "-1", days=8, reverses=charge, amount=Decimal(-250))
    assert east.found("UC-05") == {}


def test_an_expired_device_is_named_by_its_id(east):
    east.place(east.implant, expiry_date=SURGERY - timedelta(days=1))
    assert east.found("UC-10") == {DEVICE: "0.00"}


def test_a_device_brought_in_needs_an_order_with_the_case_number(east):
    east.place(east.bill_only)
    assert east.found("BO-01") == {DEVICE: "2000.00"}
    ordered = East()
    ordered.place(ordered.bill_only)
    number = ordered.world.items[ordered.bill_only.key].legacy_no
    ordered.order(
        ordered.bill_only, "1", "2000", erp="erp_lawson", site="H8", case_typed=CASE, erp_item_no=number, lot=None
    )
    assert ordered.found("BO-01") == {}


def test_the_log_is_posted_on_the_date_of_the_hospitals_clock():
    late = datetime.combine(SURGERY, time(23, 30), CHICAGO)  # half past midnight in New York
    east = East(posted_at=(late,), known_at=late, status=2)
    east.deliver(east.supply)
    assert east.course("UC-01") == {key(east.supply): (SURGERY + timedelta(days=4), None)}


def test_usage_is_covered_by_issues_that_name_no_case_two_days_later_at_the_earliest(east):
    east.deliver(east.supply, "5")
    east.issue(east.supply, "5")
    assert east.found("UI-01") == {}
    short = East()
    short.deliver(short.supply, "5")
    short.issue(short.supply, "2")
    assert short.course("UI-01") == {key(short.supply): (SURGERY + timedelta(days=2), None)}


def test_a_device_has_no_documented_item_and_is_not_held_against_issues(east):
    east.place(east.implant)
    assert east.found("UI-01") == {}


def test_an_item_of_the_second_database_that_resolves_to_nothing_is_unmapped(east):
    stranger = east.item(
        "Trial", price="80", legacy_no=None, cloud_no=None, cloud_item_id=None, pou_no=None, supply_id=None
    )
    east.deliver(east.known(stranger))
    found = east.found("MDM-01")
    assert f"system=ehr_fhir|item=E{20000 + stranger.key}" in found


def test_an_empty_shelf_of_the_mmis_is_a_stock_out_of_all_owners_together(east):
    """STK-02: materials management tells balances and movements as the point-of-use system does."""
    shelf = {"site": "H8", "location_id": "H8-STR", "pou_item_no": f"E{20000 + east.supply.key}-2"}
    east.issue(east.supply, "1", location_id="H8-STR")
    east.balance(east.supply, "0", SURGERY + timedelta(days=1), **shelf)
    east.balance(east.supply, "4", SURGERY + timedelta(days=3), owner="CONSIGNED", **shelf)
    key = f"location=H8STR-2|item=E{20000 + east.supply.key}-2"
    assert east.course("STK-02") == {key: (SURGERY + timedelta(days=1), SURGERY + timedelta(days=3))}
    assert east.found("STK-01") == {}
