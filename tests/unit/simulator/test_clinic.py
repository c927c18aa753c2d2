"""Cases: what is used, written down, scanned and handed on."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path

from ingest.simulator import build_world
from ingest.simulator.events import Case, World
from tests.unit.simulator.clinical_world import delivered, small_world


def last_versions(world: World) -> dict[str, Case]:
    return {case.log_id: case for case in world.cases}


def test_owned_usage_is_scanned_unless_a_defect_or_a_quirk_says_otherwise() -> None:
    world, _ = small_world()
    issued: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for movement in world.movements:
        if movement.true_case_id is not None and movement.txn_type in ("ISSUE", "WASTE", "RETURN", "CONSIGN_USE"):
            issued[(movement.true_case_id, movement.item_key)] -= movement.quantity_each
    planted = {plant.entity_key for plant in world.planted if plant.rule_id in ("UI-01", "UI-02")}
    cases = last_versions(world)
    used: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    names: dict[tuple[str, int], str] = {}
    for line in {line.usage_id: line for line in world.usage}.values():  # as they stand in the end (Q17)
        case = cases[line.log_id]
        item = world.items.get(line.item_key or 0)
        if (
            item is None
            or line.is_implant_copy
            or line.action in ("explanted", "adjusted")
            or item.stock_class not in ("STOCK", "CONSIGN")
            or item.home == "PAR"
            or case.is_test_patient
            or case.status == 4
        ):
            continue
        used[(case.case_id, item.key)] += line.used_each + line.wasted_each
        names[(case.case_id, item.key)] = f"case={case.log_id}|item={item.supply_id}"
    assert len(used) > 200
    for key, quantity in used.items():
        if names[key] not in planted:
            assert issued[key] == quantity, names[key]


def test_a_log_is_posted_within_two_days_and_says_so_in_its_audit_trail() -> None:
    world, out = small_world()
    audited = {row["LOG_ID"] for row in delivered(out, "ehr", "OR_LOG_AUDIT_TRAIL") if row["AUDIT_ACTION_C"] == "7"}
    for case in last_versions(world).values():
        if case.posted_at:
            assert (case.posted_at[0].date() - case.surgery_date).days <= 2
            assert case.log_id in audited or case.posted_at[0].date() >= world.end


def test_one_log_in_ten_has_another_number_than_its_case() -> None:
    world, _ = small_world()
    cases = last_versions(world).values()
    different = [case for case in cases if case.log_id != case.case_id]
    assert 0.02 < len(different) / len(cases) < 0.25
    assert len({case.log_id for case in cases}) == len({case.case_id for case in cases})


def test_every_row_of_the_record_is_dated_before_its_folder() -> None:
    world, out = small_world()
    for day in sorted({file.folder_date for file in world.files}):
        for row in delivered(out, "ehr", "OR_LOG", day):
            assert row["UPDATE_DATE"][:10] < day.isoformat()


def test_implants_that_stand_in_the_pick_list_too_are_marked() -> None:
    world, out = small_world()
    copies = {line.usage_id for line in world.usage if line.is_implant_copy and line.record == "pick_list"}
    marked = {
        f"PKLST:{row['PICK_LIST_ID']}:{row['LINE']}"
        for row in delivered(out, "ehr", "OR_PKLST_SUP_LIST")
        if row["IMPLANT_YN"] == "Y"
    }
    assert marked
    assert marked <= copies


def test_one_time_implants_have_a_cost_and_a_charge_but_no_item() -> None:
    world, out = small_world()
    one_time = {line.implant_id for line in world.usage if line.is_one_time}
    assert one_time
    for row in delivered(out, "ehr", "OR_IMP"):
        if row["IMPLANT_ID"] in one_time:
            assert not row["INVENTORY_ITEM_ID"]
            assert Decimal(row["UNIT_COST"]) > 0
            assert row["CHARGE_CODE_EAP_ID"]


def test_two_defects_of_different_rules_never_share_a_line() -> None:
    world, _ = small_world()
    lines: dict[str, set[str]] = defaultdict(set)
    for plant in world.planted:
        if plant.entity_key.startswith("case=") and not plant.is_near_miss and plant.rule_id != "BO-01":
            lines[plant.entity_key].add(plant.rule_id)
    assert all(len(rules) == 1 for rules in lines.values())


def test_a_world_without_defects_plants_none(tmp_path: Path) -> None:
    world, _, _ = build_world(tmp_path, date(2026, 2, 2), 4, 0.02, 3, defects=False)
    assert not [plant for plant in world.planted if not plant.is_near_miss]
    assert not [item for item in world.items.values() if item.usage_class in ("placeholder", "unmapped_pou")]


def test_an_addendum_takes_a_line_away_and_its_charge_with_it(tmp_path: Path) -> None:
    """Q17: the row stays with nothing used, the log is posted again, the charge is reversed."""
    world, _, _ = build_world(tmp_path, date(2026, 2, 2), 24, 0.1, 3, defects=False, quirks=["Q17"], sites=["H1"])
    stood = {line.usage_id: line for line in world.usage if line.used_each}
    stands = {line.usage_id: line for line in world.usage}
    gone = [line for line in stands.values() if line.record == "pick_list" and not line.used_each + line.wasted_each]
    assert gone
    cases = last_versions(world)
    shown = {
        (row["PICK_LIST_ID"], row["LINE"]): row["SUPPLIES_USED"]
        for row in delivered(tmp_path, "ehr", "OR_PKLST_SUP_LIST")
    }
    charged = 0
    for line in gone:
        assert stood[line.usage_id].used_each == 1
        assert len(cases[line.log_id].posted_at) > 1
        _, pick_list, number = line.usage_id.split(":")
        assert Decimal(shown[pick_list, number]) == 0
        of_line = [tx for tx in world.charges if (tx.log_id, tx.supply_id) == (line.log_id, line.supply_id)]
        charged += bool(of_line)
        assert sum(tx.amount for tx in of_line) == 0
    assert charged


def test_endoscopy_documents_findings_that_no_shelf_misses() -> None:
    world, _ = small_world()
    cases = {log_id: case for log_id, case in last_versions(world).items() if case.department == "7040"}
    lines = [line for line in world.usage if line.log_id in cases]
    assert len(cases) > 3 and len(lines) > 20
    assert {line.record for line in lines} == {"procedural"}
    numbers = {case.case_id for case in cases.values()}
    assert not [movement for movement in world.movements if movement.true_case_id in numbers]
