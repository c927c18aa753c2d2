"""Stock: averages, values and balances that add up."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ingest.simulator.amounts import money
from ingest.simulator.delivery import CHICAGO
from ingest.simulator.events import Item
from ingest.simulator.scans import Scan
from ingest.simulator.stock import Stock
from tests.unit.simulator.clinical_world import small_world
from tests.unit.simulator.stock_world import opened

START = date(2026, 2, 2)
AT = datetime(2026, 2, 2, 9, tzinfo=CHICAGO)


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    return opened(tmp_path, START, ("H1", "H5"))


def shelf_item(stock: Stock) -> Item:
    return next(
        item
        for item in stock.world.items.values()
        if item.usage_class == "stapler" and stock.is_carried("H1", item) and stock.is_carried("H5", item)
    )


def position(stock: Stock, site: str, location: str | None, item: Item):
    return next(
        entry
        for entry in stock.holdings.positions(site)
        if entry.item_key == item.key and entry.location_id in (location, None)
    )


def test_a_receipt_moves_the_average_by_quantity_and_value(stock: Stock) -> None:
    item = shelf_item(stock)
    before = position(stock, "H5", "H5-STR", item)
    stock.receive("H5", "H5-STR", item, Decimal(10), item.price_each * 2, AT, "R1", "1000001")
    after = position(stock, "H5", "H5-STR", item)
    value = before.value + money(item.price_each * 20)
    assert after.value == value
    assert after.average == (value / (before.quantity + 10)).quantize(Decimal("0.00001"))


def test_the_cloud_values_an_item_once_for_the_whole_organisation(stock: Stock) -> None:
    item = shelf_item(stock)
    stock.receive("H1", "H1-STR", item, Decimal(10), item.price_each * 2, AT, "R1", "SP1")
    assert stock.holdings.average("H1", "H1-STR", item.key) == stock.holdings.average("H1", "H1-ORC", item.key)
    assert stock.holdings.average("H5", "H5-STR", item.key) == item.price_each


def test_a_receipt_onto_a_negative_balance_keeps_the_old_average(stock: Stock) -> None:
    item = shelf_item(stock)
    before = position(stock, "H5", "H5-STR", item)
    stock.return_to_supplier("H5", "H5-STR", item, before.quantity + 3, money(item.price_each * 3), AT, "R", "1")
    stock.receive("H5", "H5-STR", item, Decimal(2), item.price_each * 5, AT, "R1", "1000001")
    assert position(stock, "H5", "H5-STR", item).average == before.average


def test_an_issue_takes_out_what_it_books(stock: Stock) -> None:
    item = shelf_item(stock)
    before = position(stock, "H5", "H5-ORC", item)
    moved = stock.use(Scan("H5", "H5-ORC", item, Decimal(2), AT, case_typed="40000001", department="7010"))
    after = position(stock, "H5", "H5-ORC", item)
    assert moved.erp_amount == money(2 * before.average) == before.value - after.value
    (posting,) = stock.world.postings
    assert (posting.event, posting.debit_role, posting.credit_role) == ("E09", "SUPPLY_EXP", "INV_ASSET")
    assert (posting.amount, posting.debit_department) == (moved.erp_amount, "7010")


def test_a_cabinet_issue_is_no_business_of_the_erp(stock: Stock) -> None:
    item = next(item for item in stock.world.items.values() if item.home == "CAB" and stock.is_carried("H5", item))
    moved = stock.use(Scan("H5", stock.home("H5", item).location_id, item, Decimal(1), AT))
    assert moved.erp_amount is None
    assert not stock.world.postings


def test_what_is_ordered_is_not_asked_for_again_until_it_arrives(stock: Stock) -> None:
    item = shelf_item(stock)
    held = position(stock, "H5", "H5-STR", item)
    stock.return_to_supplier("H5", "H5-STR", item, held.quantity, held.value, AT, "R", "1")
    first = [need for need in stock.needs(START) if need.item_key == item.key and need.site == "H5"]
    again = [need for need in stock.needs(START + timedelta(days=1)) if need.item_key == item.key and need.site == "H5"]
    assert len(first) == 1
    assert not again
    stock.cancel_order("H5-STR", item.key, first[0].quantity_each)
    assert [need for need in stock.needs(START + timedelta(days=2)) if need.item_key == item.key and need.site == "H5"]


def test_opening_stock_and_movements_give_the_closing_balance_of_every_shelf() -> None:
    world, _ = small_world()
    moved: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for movement in world.movements:
        if movement.txn_type not in ("COUNT", "NULL_TXN") and world.locations[movement.location_id].is_perpetual:
            moved[(movement.location_id, movement.pou_item_no, movement.owner)] += movement.quantity_each
    first: dict[tuple[str, str, str], Decimal] = {}
    last: dict[tuple[str, str, str], Decimal] = {}
    for row in world.on_hand:
        if world.locations[row.location_id].is_perpetual:
            key = (row.location_id, row.pou_item_no, row.owner)
            first.setdefault(key, row.quantity_each)
            last[key] = row.quantity_each
    assert len(first) > 500
    lost = {plant.entity_key for plant in world.planted if plant.reason == "row lost"}
    for key, opening in first.items():
        name = f"location={world.locations[key[0]].pou_code}|item={key[1]}|lot="
        assert opening + moved[key] == last[key] or name in lost, key


def test_owned_stock_in_the_ledger_is_opening_plus_postings() -> None:
    """Every value that leaves or enters an asset location is posted once, receipts by purchasing, the rest by stock."""
    world, _ = small_world()
    posted = {
        posting.subledger_key for posting in world.postings if posting.event in ("E09", "E10", "E11", "E12", "E13")
    }
    valued = {
        movement.txn_id
        for movement in world.movements
        if movement.event in ("E09", "E10", "E11", "E12", "E13") and movement.erp_amount
    }
    assert posted == valued
    pairs = {movement.txn_id: movement for movement in world.movements if movement.event == "E14"}
    for movement in pairs.values():
        if movement.pair_txn_id is not None:
            assert pairs[movement.pair_txn_id].erp_amount == movement.erp_amount


def test_balances_stay_above_zero_at_the_close_unless_a_defect_says_so() -> None:
    world, _ = small_world()
    planted = {plant.entity_key for plant in world.planted if plant.rule_id == "UI-05"}
    for row in world.on_hand:
        if row.quantity_each < 0:
            location = world.locations[row.location_id]
            assert f"location={location.pou_code}|item={row.pou_item_no}" in planted
