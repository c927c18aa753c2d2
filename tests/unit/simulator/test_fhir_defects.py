"""What goes wrong at the acquired hospital (H8) is planted, found and told apart from what only looks so."""

from __future__ import annotations

from datetime import date

import pytest

from ingest.simulator import build_world
from ingest.simulator.oracle import evaluate
from tests.unit.simulator.peers import accepted_resources
from tests.unit.simulator.test_fhir import exported

START, DAYS, SCALE = date(2026, 1, 21), 32, 0.08
# Rules whose defects clinic and charging plant on lines and charges of a case.
OF_CASES = ("UI-01", "UC-01", "UC-02", "UC-03", "UC-04", "UC-05", "UC-06", "UC-08", "UC-09", "UC-10", "UC-12", "BO-01")


@pytest.fixture(scope="module")
def defective(tmp_path_factory):
    out = tmp_path_factory.mktemp("defective east")
    world, _, _ = build_world(out, START, DAYS, SCALE, 3, sites=["H8"])
    return world, out, evaluate(world)


def test_every_rule_of_a_case_is_broken_and_found(defective):
    world, _, findings = defective
    fired = {(finding.rule_id, finding.entity_key) for finding in findings if not finding.near_miss}
    planted = {
        (entry.rule_id, entry.entity_key)
        for entry in world.planted
        if not entry.is_near_miss and entry.rule_id in OF_CASES
    }
    assert {rule for rule, _ in planted} == set(OF_CASES)
    assert planted - fired == set()


def test_near_misses_of_every_rule_of_a_case_stay_silent(defective):
    world, _, findings = defective
    fired = {(finding.rule_id, finding.entity_key) for finding in findings if not finding.near_miss}
    near = {(entry.rule_id, entry.entity_key) for entry in world.planted if entry.is_near_miss}
    assert near & fired == set()
    told = {finding.rule_id for finding in findings if finding.near_miss}
    assert set(OF_CASES) - told <= {"UC-06", "UC-08", "UC-09", "BO-01"}


def test_what_is_wrong_is_still_valid_fhir(defective):
    assert sum(accepted_resources(defective[1]).values()) > 3000


def test_rules_that_need_a_name_on_issues_or_charges_have_nothing_to_judge(defective):
    _, _, findings = defective
    assert not {finding.rule_id for finding in findings if not finding.near_miss} & {"UI-02", "UI-09", "UC-13"}


def test_untraceable_devices_lack_their_carrier_or_lot_in_the_export(defective):
    _, out, findings = defective
    devices = {resource["id"]: resource for _, resource in exported(out, "Device")}
    untraced = [finding.entity_key.rpartition("=")[2] for finding in findings if finding.rule_id == "UC-09"]
    for name in untraced:
        device = devices[name]
        bare, lost = "udiCarrier" not in device, not ({"lotNumber", "serialNumber"} & device.keys())
        assert bare or lost
    assert untraced
    assert len(untraced) < len(devices) / 4


def test_a_duplicate_charge_has_a_trigger_of_its_own(defective):
    world, out, findings = defective
    doubled = {
        finding.entity_key.partition("item=")[2]
        for finding in findings
        if finding.rule_id == "UC-04" and not finding.near_miss and "item=" in finding.entity_key
    }
    assert doubled
    behind = {line.usage_id: line.supply_id for line in world.usage}
    triggers: dict[str, set[str]] = {}
    for _, resource in exported(out, "ChargeItem"):
        for service in resource.get("service", []):
            triggers.setdefault(service["reference"].rpartition("/")[2], set()).add(resource["id"])
    twice = {behind[usage] for usage, names in triggers.items() if len(names) > 1}
    assert len(doubled & twice) > len(doubled) / 2  # of the last ones the second trigger comes after the world's end
