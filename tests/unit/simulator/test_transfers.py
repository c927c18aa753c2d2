"""The distribution centre: what it ships, what arrives, what the sites owe each other."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import pytest

from ingest.simulator import build_world
from ingest.simulator.events import Movement, World
from ingest.simulator.oracle import evaluate
from tests.unit.simulator.clinical_world import delivered

START, DAYS, SCALE = date(2026, 1, 21), 33, 0.012
SITES = ("CDC", "H1", "H5")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("centre")
    world, _, _ = build_world(out, START, DAYS, SCALE, 6, defects=False, sites=SITES)
    return world, out


@pytest.fixture(scope="module")
def lossy(tmp_path_factory):
    world, _, _ = build_world(tmp_path_factory.mktemp("lossy"), START, DAYS, SCALE, 6, defects=True, sites=SITES)
    return world


def balances(world: World) -> dict[tuple[str, str], Decimal]:
    """Posted balance by site and role, debits positive."""
    latest = {(line.erp, line.ledger, line.journal, line.line): line for line in world.journal_lines}
    totals: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in latest.values():
        if line.is_posted:
            totals[line.site, line.role] += line.debit - line.credit
    return totals


def halves(world: World) -> tuple[dict[tuple[str, int], Movement], dict[tuple[str, int], Movement]]:
    """Shipments and receipts by transfer order and line."""
    found: dict[str, dict[tuple[str, int], Movement]] = {"E15": {}, "E16": {}}
    for movement in world.movements:
        if movement.event in found:
            found[movement.event][movement.ref_doc or "", movement.ref_line or 0] = movement
    return found["E15"], found["E16"]


def test_no_rule_fires_without_defects(built):
    """Volumes of so few days and cases vary by themselves (INT-05)."""
    world, _ = built
    assert [finding for finding in evaluate(world) if not finding.near_miss and finding.rule_id != "INT-05"] == []


def test_both_halves_carry_the_same_quantity_and_the_cost_shipped(built):
    world, _ = built
    shipped, received = halves(world)
    assert {movement.site for movement in received.values()} == {"H1", "H5"}
    assert received.keys() <= shipped.keys()
    for key, movement in received.items():
        assert movement.quantity_each == -shipped[key].quantity_each
        assert movement.erp_amount == shipped[key].erp_amount
        assert timedelta(0) < movement.happened_at - shipped[key].happened_at < timedelta(days=4)


def test_the_ledger_shows_what_is_on_the_road_and_what_is_owed(built):
    world, _ = built
    shipped, received = halves(world)
    ledger = balances(world)
    on_the_road = sum(movement.erp_amount for key, movement in shipped.items() if key not in received)
    assert ledger["CDC", "IN_TRANSIT"] == on_the_road
    assert ledger["CDC", "DUE_FROM"] == -(ledger["H1", "DUE_TO"] + ledger["H5", "DUE_TO"])
    since = {
        site: sum(
            movement.erp_amount
            for movement in received.values()
            if movement.site == site and movement.happened_at.date() >= date(2026, 2, 1)
        )
        for site in ("H1", "H5")
    }
    assert {site: -ledger[site, "DUE_TO"] for site in since} == since  # January was paid on 15 February


def test_a_storeroom_item_comes_from_the_centre_or_from_its_supplier(built):
    world, out = built
    rows = [row for row in delivered(out, "erp_lawson", "ITEMSRC") if row["LOCATION"].strip() == "H5STR"]
    sources = {row["ITEM"]: row["REPL_FROM_LOC"] for row in rows}
    share = Decimal(sum(source == "CDC" for source in sources.values())) / len(sources)
    assert Decimal("0.4") < share < Decimal("0.8")
    rows = list(delivered(out, "erp_fusion", "REQ_LINES"))
    transfers = [row for row in rows if row["SourceTypeCode"] == "INVENTORY"]
    assert transfers
    assert all(not row["PoLineId"] and not row["VendorId"] for row in transfers)
    bought = {line.item_key for line in world.po_lines if line.site != "CDC" and line.destination_location_id}
    moved = {movement.item_key for movement in halves(world)[1].values()}
    assert bought.isdisjoint(moved)
    assert any(line.site == "CDC" for line in world.po_lines)


def test_the_other_side_stands_in_both_ledgers(built):
    _, out = built
    rows = [row for row in delivered(out, "erp_lawson", "ICTRANS") if row["SYSTEM_CD"] == "WH"]
    assert rows
    assert {(row["DOC_TYPE"], row["FROM_TO_CMPY"], row["FROM_TO_LOC"].strip()) for row in rows} == {
        ("TR", "1000", "CDC")
    }
    lines = [row for row in delivered(out, "erp_lawson", "GLTRANS") if row["ACCOUNT"] == "280100"]
    assert {row["TO_COMPANY"] for row in lines} == {"1000"}
    assert {row["SYSTEM"] for row in lines} == {"IC", "GL"}
    strings = {
        (row["CodeCombinationSegment1"], row["CodeCombinationSegment3"], row["CodeCombinationSegment5"])
        for row in delivered(out, "erp_fusion", "GL_CODE_COMBINATIONS")
        if row["CodeCombinationSegment3"] in ("181000", "281000")
    }
    assert strings == {("100", "181000", "101"), ("100", "181000", "105"), ("101", "281000", "100")}


def test_halves_that_do_not_agree_are_found_whatever_went_wrong(lossy):
    fired = {entry.entity_key: entry for entry in evaluate(lossy) if entry.rule_id == "GL-09" and not entry.near_miss}
    planted = [entry for entry in lossy.planted if entry.rule_id == "GL-09"]
    assert {entry.reason for entry in planted if not entry.is_near_miss} == {"part lost", "lost", "other cost"}
    assert set(fired) == {entry.entity_key for entry in planted if not entry.is_near_miss}
    assert "within a dollar" in {entry.reason for entry in planted if entry.is_near_miss}
    assert all(entry.facility_id in ("H1", "H5") and entry.impact_amount > 0 for entry in fired.values())


def test_what_is_lost_on_the_road_is_written_off(lossy):
    shipped, received = halves(lossy)
    lost = [key for key, movement in received.items() if movement.quantity_each < -shipped[key].quantity_each]
    lost += sorted(shipped.keys() - received.keys())
    written_off = [posting for posting in lossy.postings if posting.event == "E16a"]
    assert lost
    assert written_off
    assert len(written_off) <= len(lost)
    assert all((posting.debit_role, posting.credit_role) == ("INV_ADJ", "IN_TRANSIT") for posting in written_off)
