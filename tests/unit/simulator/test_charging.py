"""Billing: units, prices, chains, postings."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal

from ingest.simulator.chance import Chance
from ingest.simulator.events import ChargeTransaction, World
from ingest.simulator.masters import build_masters
from ingest.simulator.plan import DefectPlan
from tests.unit.simulator.clinical_world import delivered, small_world


def latest(world: World) -> dict[str, ChargeTransaction]:
    return {tx.tx_id: tx for tx in world.charges}


def test_every_transaction_is_posted_to_the_ledger_once_with_its_amount() -> None:
    world, _ = small_world()
    # Those of the census stand for many transactions each (test_census).
    postings = {
        posting.subledger_key: posting
        for posting in world.postings
        if posting.subledger == "HB" and posting.subledger_key.isdigit()
    }
    transactions = latest(world)
    assert postings.keys() == transactions.keys()
    for tx in transactions.values():
        posting = postings[tx.tx_id]
        assert posting.amount == (tx.amount if tx.tx_type == 1 else -tx.amount)
        if tx.tx_type == 1:
            assert posting.credit_role == ("PATIENT_REV_IP" if tx.base_class == 1 else "PATIENT_REV_OP")


def test_a_reversal_takes_back_exactly_what_it_names() -> None:
    world, _ = small_world()
    transactions = latest(world)
    lost = {plant.entity_key for plant in world.planted if plant.rule_id == "UC-12"}
    reversals = [tx for tx in transactions.values() if tx.reverses and f"charge={tx.tx_id}" not in lost]
    assert reversals
    for tx in reversals:
        original = transactions[tx.reverses or ""]
        assert (tx.amount, tx.quantity) == (-original.amount, -original.quantity)


def test_charges_by_the_box_and_by_square_centimetre_keep_their_own_unit() -> None:
    world, _ = small_world()
    by_supply = world.items_by_supply_id()
    units = defaultdict(set)
    for tx in latest(world).values():
        item = by_supply.get(tx.supply_id or "")
        if item is not None and tx.tx_type == 1:
            units[item.unit_of_charge].add(tx.quantity / (item.conversion_rate or 1))
    assert {"EA", "BX", "CM2"} <= set(units)
    assert all(quantity == quantity.to_integral_value() for quantity in units["CM2"])


def test_no_charge_is_known_before_its_log_is_posted() -> None:
    world, _ = small_world()
    posted = {case.log_id: case.posted_at[0].date() for case in reversed(world.cases) if case.posted_at}
    for tx in latest(world).values():
        if tx.log_id:
            assert tx.post_date >= posted[tx.log_id]


def test_a_charge_waiting_for_its_day_stands_at_one_station_until_then() -> None:
    world, out = small_world()
    waiting = [entry for entry in world.in_flight if entry.station == "pre_ar" and entry.until_at is not None]
    assert waiting
    sent = defaultdict(set)
    for day in sorted({file.folder_date for file in world.files}):
        for row in delivered(out, "hb", "HSP_PRE_AR_TX", day):
            sent[row["HTT_ID"]].add(day)
    for entry in waiting:
        if entry.until_at is not None and entry.until_at.date() < world.end:
            days = (entry.until_at.date() - entry.from_at.date()).days
            assert len(sent[entry.record_id]) == days


def test_the_policy_charges_by_class_cost_disposition_and_research() -> None:
    world = World(date(2026, 1, 21), date(2026, 4, 30), 1)
    chance = Chance(1)
    masters = build_masters(world, chance, DefectPlan(world, chance, False, False, 10), 0.01, ["H1", "H5"])
    on = date(2026, 2, 1)

    def charged(
        cost: str, base_class: int = 2, disposition: str = "USED", kind: str = "SUPPLY", research: bool = False
    ) -> bool:
        return masters.is_chargeable("H5", kind, base_class, disposition, Decimal(cost), research, on)

    assert charged("31.00")
    assert not charged("24.99")
    assert charged("25.00")
    assert not charged("31.00", base_class=1)
    assert charged("62.00", base_class=1)
    assert not charged("62.00", disposition="WASTED")
    assert not charged("900.00", kind="IMPLANT", research=True)
    assert charged("12.00", kind="IMPLANT", base_class=1)
    assert masters.markup_price(Decimal("50")) == Decimal("160.0")
    assert masters.markup_price(Decimal("2")) == Decimal(10)
