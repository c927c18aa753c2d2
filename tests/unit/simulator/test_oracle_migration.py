"""The oracle around a cut-over: MIG-01, MIG-02 and MIG-04 from both sides, on tiny worlds in which H5 moves."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from ingest.simulator.events import InventoryRow
from ingest.simulator.oracle.record import SystemsOfRecord
from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at

FIRST = date(2026, 2, 10)
BEFORE, AFTER = FIRST - timedelta(days=4), FIRST + timedelta(days=3)
LEGACY = {"erp": "erp_lawson", "site": "H5", "supplier_no": "2001"}
CLOUD = {"erp": "erp_fusion", "site": "H5", "supplier_no": "5001"}
OPEN_ORDERS = ("receipt", "ap_invoice")


def record() -> list[dict[str, str]]:
    """Systems of record of H5, which moves on `FIRST`."""
    rows = []
    for process in ("purchase_order", "receipt", "ap_invoice", "inventory", "gl", "revenue_gl"):
        follows = process in OPEN_ORDERS
        kind = "open_po_in_legacy" if follows else "hard"
        shared = {"site": "H5", "process": process, "cutover_type": kind}
        until = "" if follows else f"{FIRST}"
        rows.append({**shared, "source_system": "erp_lawson", "valid_from": "2024-10-01", "valid_to": until})
        rows.append({**shared, "source_system": "erp_fusion", "valid_from": f"{FIRST}", "valid_to": ""})
    return rows


@pytest.fixture
def tiny() -> Tiny:
    world = Tiny()
    world.world.reference["SYSTEM_OF_RECORD"] = record()
    return world


def legacy_order(tiny: Tiny, day: date, number: str = "7") -> str:
    return tiny.order(tiny.supply, "3", "100", day, po_key=f"1005-{number}-0-REG", **LEGACY)


def cloud_order(tiny: Tiny, day: date, number: str = "SP00000007") -> str:
    return tiny.order(tiny.supply, "3", "100", day, po_key=number, **CLOUD)


def invoice(tiny: Tiny, day: date, po_key: str | None, number: str, **changes: object) -> None:
    tiny.invoice(None, "3", "100", day, number=number, **changes)
    tiny.world.invoices[-1] = replace(tiny.world.invoices[-1], po_key=po_key)


# ------------------------------------------------------------------------------------------------------------ record


def test_the_table_names_one_system_for_new_documents_and_where_old_orders_stay():
    table = SystemsOfRecord(record())
    assert table.of("H5", "gl", FIRST - timedelta(days=1)) == "erp_lawson"
    assert table.of("H5", "gl", FIRST) == table.of("H5", "receipt", FIRST) == "erp_fusion"
    assert table.of("H1", "gl", FIRST) is None
    assert table.keeps_open_orders("H5", "receipt", "erp_lawson", AFTER) == FIRST
    assert table.keeps_open_orders("H5", "gl", "erp_lawson", AFTER) is None
    assert table.keeps_open_orders("H5", "receipt", "erp_lawson", BEFORE) is None


# ------------------------------------------------------------------------------------------------------------ MIG-01


@pytest.mark.parametrize("number", ["INV-7777", "00INV7777", "inv 7777"])
def test_the_same_invoice_in_both_erps_of_a_facility_is_one_finding_and_no_duplicate(tiny, number):
    order = legacy_order(tiny, BEFORE)
    invoice(tiny, AFTER, order, "INV7777", **LEGACY)
    invoice(tiny, AFTER + timedelta(days=2), None, number, **CLOUD)
    assert tiny.found("MIG-01") == {f"fusion=5001/{number}|lawson=2001/INV7777": "300.00"}
    assert tiny.found("M3-07") == {}
    assert tiny.course("MIG-01")[f"fusion=5001/{number}|lawson=2001/INV7777"][0] == AFTER + timedelta(days=2)


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        ("INV7777", {"is_cancelled": True}),
        ("INV7777", {"amount": Decimal(299)}),
        ("INV7777", {"site": "H1"}),
        ("INV7777", {"supplier_id": "SUP00003"}),
        ("INV7777A", {}),
    ],
)
def test_another_amount_number_supplier_or_facility_is_not_the_same_posting(tiny, number, changes):
    invoice(tiny, AFTER, legacy_order(tiny, BEFORE), "INV7777", **LEGACY)
    invoice(tiny, AFTER + timedelta(days=2), None, number, **(CLOUD | changes))
    assert tiny.found("MIG-01") == {}


def test_a_number_with_a_letter_more_in_the_other_erp_is_a_duplicate(tiny):
    invoice(tiny, AFTER, legacy_order(tiny, BEFORE), "INV7777", **LEGACY)
    invoice(tiny, AFTER + timedelta(days=2), None, "INV7777-A", **CLOUD)
    assert tiny.found("M3-07") == {"system=erp_fusion|supplier=5001|invoice=INV7777-A": "300.00"}


# ------------------------------------------------------------------------------------------------------------ MIG-02


def test_orders_belong_to_the_system_of_their_day(tiny):
    legacy_order(tiny, AFTER, "8")
    cloud_order(tiny, BEFORE, "SP00000008")
    legacy_order(tiny, BEFORE, "9")
    cloud_order(tiny, AFTER, "SP00000009")
    assert tiny.found("MIG-02") == {
        "system=erp_lawson|record=PURCHORDER:1005-8-0-REG": "300.00",
        "system=erp_fusion|record=PO_HEADERS:SP00000008": "300.00",
    }


def test_receipts_and_invoices_on_old_orders_stay_behind(tiny):
    order = legacy_order(tiny, BEFORE)
    tiny.receive(order, "3", AFTER, receipt_key="1005-1-1")
    invoice(tiny, AFTER, order, "INV1", **LEGACY)
    assert tiny.found("MIG-02") == {}
    assert set(tiny.near("MIG-02")) == {
        "system=erp_lawson|record=PORECLINE:1005-1-1",
        "system=erp_lawson|record=APINVOICE:2001/INV1",
    }


def test_receipts_and_invoices_on_new_orders_do_not(tiny):
    order = legacy_order(tiny, AFTER)
    tiny.receive(order, "3", AFTER + timedelta(days=1), receipt_key="1005-1-1")
    invoice(tiny, AFTER, order, "INV1", **LEGACY)
    invoice(tiny, AFTER, None, "INV2", **LEGACY)
    assert {key.partition("record=")[2] for key in tiny.found("MIG-02")} == {
        "PURCHORDER:1005-7-0-REG",
        "PORECLINE:1005-1-1",
        "APINVOICE:2001/INV1",
        "APINVOICE:2001/INV2",
    }


def test_an_invoice_belongs_to_the_day_on_which_it_was_entered(tiny):
    invoice(tiny, BEFORE, None, "INV1", **LEGACY)
    invoice(tiny, BEFORE, None, "INV2", created_at=at(AFTER), known_at=at(AFTER), **CLOUD)
    assert tiny.found("MIG-02") == {}


def test_the_ledger_that_was_left_keeps_run_off_and_the_reversal(tiny):
    lines = [("SUPPLY_EXP", "40", "0"), ("GRNI", "0", "40")]
    shared = {"site": "H5", "balancing_segment": "1005", "ledger": "1005"}
    for number, source in enumerate(("PO", "AP", "CV", "IC", "HB"), start=1):
        tiny.journal(lines, AFTER, source, f"J{number}", **shared)
    tiny.journal(lines, AFTER, "GL-JE", "J6", manual=True, **shared)
    tiny.journal(lines, BEFORE, "GL-JE", "J7", manual=True, **shared)
    assert tiny.found("MIG-02") == {
        f"system=erp_lawson|record=GLTRANS:{journal}": "40.00" for journal in ("J4", "J5", "J6")
    }


def test_an_issue_in_the_erp_that_was_left_counts_and_a_conversion_does_not(tiny):
    for number, is_conversion in ((1, True), (2, False)):
        tiny.world.inventory_rows.append(
            InventoryRow(
                "erp_lawson", "H5", "H5-STR", tiny.supply.key, f"1005-H5STR-IC-AD-9-0-{number}", Decimal(-2),
                Decimal(100), Decimal(-200), is_conversion, AFTER, at(AFTER),
            )
        )  # fmt: skip
    assert tiny.found("MIG-02") == {"system=erp_lawson|record=ICTRANS:1005-H5STR-IC-AD-9-0-2": "200.00"}


def test_a_facility_that_the_table_does_not_know_is_not_judged():
    tiny = Tiny()
    legacy_order(tiny, AFTER)
    assert tiny.found("MIG-02") == {}


# ------------------------------------------------------------------------------------------------------------ MIG-04


def test_a_document_that_names_an_order_of_the_other_erp_or_none_is_open_after_two_days(tiny):
    cloud_order(tiny, AFTER)
    tiny.order(tiny.supply, day=AFTER, po_key="1005-5-0-REG", **LEGACY)
    tiny.receive("1005-5-0-REG", "3", AFTER, receipt_key="1005-2-1")
    tiny.world.po_lines.pop()
    invoice(tiny, AFTER, "SP00000007", "INV1", **LEGACY)
    invoice(tiny, AFTER, "SP00000099", "INV2", **CLOUD)
    expected = {
        "system=erp_lawson|record=PORECLINE:1005-2-1": "300.00",
        "system=erp_lawson|record=APINVOICE:2001/INV1": "300.00",
        "system=erp_fusion|record=AP_INVOICE_HEADERS:5001/INV2": "300.00",
    }
    assert tiny.found("MIG-04") == expected
    assert {day for day, _ in tiny.course("MIG-04").values()} == {AFTER + timedelta(days=2)}


def test_a_document_with_its_order_or_without_any_has_nothing_missing(tiny):
    order = legacy_order(tiny, BEFORE)
    tiny.receive(order, "3", AFTER, receipt_key="1005-1-1")
    invoice(tiny, AFTER, order, "INV1", **LEGACY)
    invoice(tiny, AFTER, None, "INV2", **CLOUD)
    assert tiny.found("MIG-04") == {}
    assert set(tiny.near("MIG-04")) == {
        "system=erp_lawson|record=PORECLINE:1005-1-1",
        "system=erp_lawson|record=APINVOICE:2001/INV1",
    }


def test_an_order_that_comes_within_two_days_or_later_settles_it(tiny):
    late = SURGERY + timedelta(days=20)
    for number, days in (("SP00000001", 1), ("SP00000002", 5)):
        tiny.order(tiny.supply, "3", "100", late, po_key=number, known_at=at(late + timedelta(days=days), 6))
        tiny.receive(number, "3", late, receipt_key=f"R{number}")
    late_one = "system=erp_fusion|record=RCV_TRANSACTIONS:RSP00000002"
    assert tiny.course("MIG-04") == {late_one: (late + timedelta(days=2), late + timedelta(days=5))}
