"""Sites beside the first two: case carts issued at the pick (H3), a legacy hospital before its cut-over (H4)."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import pytest

from ingest.simulator import build_world
from ingest.simulator.events import Movement, World
from ingest.simulator.oracle import evaluate
from tests.unit.simulator.clinical_world import delivered

START, DAYS, SCALE = date(2026, 2, 2), 18, 0.015
SITES = ("H3", "H4", "H2")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("sites")
    world, _, _ = build_world(out, START, DAYS, SCALE, 6, defects=False, sites=SITES)
    return world, out


def carts(world: World) -> dict[str, list[Movement]]:
    """Tagged movements of H3's shelves by case."""
    moved = defaultdict(list)
    for movement in world.movements:
        if movement.site == "H3" and movement.case_typed and movement.owner == "OWNED":
            moved[movement.case_typed].append(movement)
    return moved


def test_no_site_makes_a_rule_fire_without_defects(built):
    world, _ = built
    assert {case.site for case in world.cases} == set(SITES)
    assert [finding for finding in evaluate(world) if not finding.near_miss] == []


def test_a_cart_leaves_the_evening_before_and_the_rest_comes_back_the_day_after(built):
    world, _ = built
    surgery = {case.case_id: case.surgery_date for case in world.cases}
    picked, returned = 0, 0
    for case_id, movements in carts(world).items():
        day = surgery.get(case_id)
        if day is None or day == START:
            continue
        for movement in movements:
            happened = movement.happened_at.date()
            if movement.txn_type == "ISSUE" and happened == day - timedelta(days=1):
                picked += 1
            elif movement.txn_type == "RETURN":
                assert happened in (day, day + timedelta(days=1))
                returned += happened == day + timedelta(days=1)
    assert picked > 20
    assert returned > 5


def test_what_stays_out_of_a_cart_is_what_the_case_used(built):
    world, _ = built
    posted = {case.case_id: case for case in world.cases if case.site == "H3" and case.posted_at}
    used: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for line in world.usage:
        if line.item_key is not None and line.action in ("used", "wasted") and not line.is_implant_copy:
            used[line.log_id, line.item_key] += line.used_each + line.wasted_each
    checked = 0
    for case_id, movements in carts(world).items():
        case = posted.get(case_id)
        if case is None or case.is_test_patient or case.surgery_date >= world.end:
            continue
        net: dict[int, Decimal] = defaultdict(Decimal)
        for movement in movements:
            net[movement.item_key] -= movement.quantity_each
        for item_key, quantity in net.items():
            assert quantity <= used[case.log_id, item_key] or quantity - used[case.log_id, item_key] <= 1
            checked += 1
    assert checked > 20


def test_scans_at_the_case_point_to_the_pick(built):
    world, out = built
    picks = {movement.txn_id: movement for movement in world.movements if movement.site == "H3"}
    scans = [row for row in delivered(out, "pou", "case_usage") if row["site"] == "WES" and row["issue_txn_id"]]
    earlier = [row for row in scans if picks[row["issue_txn_id"]].happened_at.date().isoformat() < row["scan_ts"][:10]]
    assert len(earlier) > len(scans) / 2
