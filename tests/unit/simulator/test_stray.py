"""What goes astray around a cut-over, planted in a whole world and found by the oracle."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ingest.simulator import build_world
from ingest.simulator.events import World
from ingest.simulator.oracle import Finding, evaluate
from ingest.simulator.oracle.payables import number_key
from tests.unit.simulator.clinical_world import delivered

FIRST = date(2026, 4, 1)
START, DAYS, SCALE = date(2026, 3, 16), 42, 0.008
RULES = ("MIG-01", "MIG-02", "MIG-04")

Built = tuple[World, Path, list[Finding]]


@pytest.fixture(scope="module")
def defective(tmp_path_factory: pytest.TempPathFactory) -> Built:
    out = tmp_path_factory.mktemp("stray")
    world, _, _ = build_world(out, START, DAYS, SCALE, 3, defects=True, sites=("H3",))
    return world, out, evaluate(world)


def open_keys(findings: list[Finding], rule: str) -> set[str]:
    return {finding.entity_key for finding in findings if finding.rule_id == rule and not finding.near_miss}


def test_what_was_planted_is_found_and_near_misses_are_not(defective: Built) -> None:
    world, _, findings = defective
    planted, near = defaultdict(set), defaultdict(set)
    for entry in world.planted:
        (near if entry.is_near_miss else planted)[entry.rule_id].add(entry.entity_key)
    for rule in RULES:
        found = open_keys(findings, rule)
        assert planted[rule], rule
        assert planted[rule] <= found
        assert not near[rule] & found
        assert any(finding.near_miss for finding in findings if finding.rule_id == rule)


def test_every_kind_of_record_in_the_wrong_system_is_planted(defective: Built) -> None:
    _, _, findings = defective
    kinds = {key.partition("record=")[2].partition(":")[0] for key in open_keys(findings, "MIG-02")}
    assert kinds >= {"PURCHORDER", "PO_HEADERS", "APINVOICE", "PORECLINE", "ICTRANS", "GLTRANS"}
    missing = {key.partition("record=")[2].partition(":")[0] for key in open_keys(findings, "MIG-04")}
    assert missing == {"PORECLINE", "APINVOICE", "AP_INVOICE_HEADERS"}


def test_findings_of_a_cutover_are_of_the_site_and_dated_after_its_day(defective: Built) -> None:
    _, _, findings = defective
    for finding in findings:
        if finding.rule_id in RULES and not finding.near_miss:
            assert finding.facility_id == "H3"
            assert finding.impact_amount > 0
            assert finding.detected_as_of >= FIRST - timedelta(days=15)


def test_invoices_come_again_to_the_other_erp_with_zeros_or_a_suffix(defective: Built) -> None:
    """Q116: the supplier's document is there twice, once for each ERP."""
    world, out, findings = defective
    numbers = defaultdict(set)
    for invoice in world.invoices:
        if invoice.site == "H3" and not invoice.is_cancelled:
            numbers[invoice.erp].add((invoice.supplier_id, invoice.document_no, invoice.amount))
    again = {
        (supplier, number, amount)
        for supplier, number, amount in numbers["erp_fusion"]
        if any(
            number in (f"00{other}", f"{other}-A") and amount == total and supplier == seller
            for seller, other, total in numbers["erp_lawson"]
        )
    }
    assert {number.endswith("-A") for _, number, _ in again} == {True, False}
    messages = "".join(path.read_text() for path in sorted((out / "edi").rglob("*")) if path.is_file())
    assert all(number in messages for _, number, _ in again)
    duplicates = open_keys(findings, "M3-07")
    for key in open_keys(findings, "MIG-01"):
        cloud = key.partition("|")[0].removeprefix("fusion=")
        supplier, _, number = cloud.partition("/")
        assert f"system=erp_fusion|supplier={supplier}|invoice={number}" not in duplicates
    suffixed = {key for key in duplicates if key.endswith("-A") and "erp_fusion" in key}
    assert suffixed


def test_an_issue_in_both_erps_leaves_the_shelf_once(defective: Built) -> None:
    """Q121: the legacy row repeats the movement that the cloud has, and both ledgers carry it."""
    world, out, _ = defective
    rows = [row for row in world.inventory_rows if row.movement is not None]
    assert rows
    legacy = {row["REFERENCE"].strip() for row in delivered(out, "erp_lawson", "ICTRANS") if row["SYSTEM_CD"] == "IC"}
    cloud = {
        row["InventoryTransactionPEOTransactionReference"] for row in delivered(out, "erp_fusion", "INV_TRANSACTIONS")
    }
    taken = [row["txn_id"] for row in delivered(out, "pou", "txn")]
    for row in rows:
        assert row.movement is not None
        if row.posted_on < world.end:
            assert f"P{row.movement.txn_id}" in legacy & cloud
        assert taken.count(row.movement.txn_id) >= 1
        assert row.amount == -(row.movement.erp_amount or Decimal(0))


def test_nothing_goes_astray_when_the_quirks_are_off(tmp_path: Path) -> None:
    world, _, _ = build_world(tmp_path, date(2026, 3, 28), 12, 0.004, 3, True, ["Q14"], sites=("H3",))
    assert not any(row.movement is not None for row in world.inventory_rows)
    doubled = defaultdict(set)
    for invoice in world.invoices:
        if not invoice.is_cancelled:
            doubled[invoice.site, invoice.amount, number_key(invoice.document_no or "")].add(invoice.erp)
    assert all(len(erps) == 1 for erps in doubled.values())
