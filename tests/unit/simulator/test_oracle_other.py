"""The oracle on identities, ledgers and feeds, and the file that it writes."""

import csv
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from ingest.simulator.events import Planted
from ingest.simulator.oracle import COLUMNS, evaluate, write_answer_key
from ingest.simulator.oracle.calendar import cloud_folder, inventory_folder, nightly_folder
from ingest.simulator.oracle.identity import Identity, ItemNumber
from ingest.simulator.oracle.tolerance import cents, half_up, is_beyond
from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at


def days(number: int) -> timedelta:
    return timedelta(days=number)


# ----------------------------------------------------------------------------------------------------------- identity

ALIASES = [
    {"alias_type": "MANUF_CODE", "alias": "ARVI", "mfr_id": "MFR1", "mfr_name": "Arvida"},
    {"alias_type": "EHR_CATEGORY", "alias": "ARVIDA 100731", "mfr_id": "MFR1", "mfr_name": "Arvida"},
]
LEGACY = ItemNumber("erp_lawson", "0001001", 1, manufacturer="ARVI", catalogue_number="AB-12.34")
CLOUD = ItemNumber("erp_fusion", "1001", 1, gtins=("9521234000013",), manufacturer="Arvida", legacy_item_no="0001001")
NEW = ItemNumber("erp_fusion", "900001", 2, manufacturer="ARVIDA", catalogue_number="77-88K")
RETIRED = ItemNumber("erp_lawson", "0001009", 9, is_active=False, manufacturer="ARVI", catalogue_number="RT-1")
CONTAINS = [{"primary_di": "09521234000013", "device_id": "19521234000010", "contains_di": "09521234000013"}]


def resolve(*numbers: ItemNumber) -> tuple[str | None, Decimal]:
    identity = Identity((LEGACY, CLOUD, NEW, RETIRED, *numbers), {}, ALIASES, CONTAINS)
    return tuple(identity.resolve(numbers[0].system, numbers[0].item_no))


@pytest.mark.parametrize(
    ("number", "golden", "confidence"),
    [
        (ItemNumber("pou", "P", None, erp_item_nos=("0001001",)), "1001", "1.00"),
        (ItemNumber("ehr", "S", None, erp_item_nos=("1001",)), "1001", "1.00"),
        (ItemNumber("pou", "P", None, erp_item_nos=("900001",)), "C900001", "1.00"),
        (ItemNumber("pou", "P", None, gtins=("9521234000013",)), "1001", "0.98"),
        (ItemNumber("pou", "P", None, gtins=("19521234000010",)), "1001", "0.98"),
        (ItemNumber("ehr", "S", None, manufacturer="ARVIDA 100731", catalogue_number="ab1234"), "1001", "0.95"),
        (ItemNumber("pou", "P", None, manufacturer="Nobody", catalogue_number="AB1234"), None, "0"),
        (ItemNumber("pou", "P", None, erp_item_nos=("0001009",)), "1009", "1.00"),
        (ItemNumber("pou", "P", None, erp_item_nos=("0001009",), gtins=("9521234000013",)), "1001", "0.98"),
        (ItemNumber("pou", "P", None, erp_item_nos=("5555",), gtins=("9521234000013",)), "1001", "0.98"),
        (ItemNumber("pou", "P", None, erp_item_nos=("900001",), gtins=("9521234000013",)), "C900001", "1.00"),
        (ItemNumber("pou", "P", None, erp_item_nos=("5555",)), None, "0"),
    ],
)
def test_a_source_item_resolves_by_its_most_trusted_identifier(number, golden, confidence):
    assert resolve(number) == (golden, Decimal(confidence))


def test_a_catalogue_number_of_digits_alone_is_not_sure_enough():
    plain = ItemNumber("erp_lawson", "0001010", 10, manufacturer="ARVI", catalogue_number="880010")
    source = ItemNumber("pou", "P", None, manufacturer="Arvida", catalogue_number="880-010")
    assert resolve(source, plain) == ("1010", Decimal("0.80"))


def test_an_item_follows_the_inventory_item_that_it_names_and_that_its_survivor():
    survivor = ItemNumber("pou", "P1", None, gtins=("9521234000013",))
    merged = ItemNumber("pou", "P2", None, merged_into="P1")
    source = ItemNumber("ehr", "S", None, pou_item_nos=("P2",))
    assert resolve(source, merged, survivor) == ("1001", Decimal("0.98"))


def test_a_number_reused_by_the_cloud_is_another_item():
    other = ItemNumber("erp_fusion", "1009", 11, manufacturer="Arvida", catalogue_number="XX-99")
    identity = Identity((LEGACY, RETIRED, other), {}, ALIASES)
    assert identity.golden("erp_lawson", "0001009") == "1009"
    assert identity.golden("erp_fusion", "1009") == "C1009"


# -------------------------------------------------------------------------------------------------------------- MDM-01


def test_a_transacted_item_that_resolves_to_nothing_is_worth_its_last_ninety_days():
    tiny = Tiny()
    item = tiny.item(
        "Trial", legacy_no=None, cloud_no=None, ehr_external_id=None, pou_erp_item_no=None, catalogue_number="1"
    )
    for lag in (0, 20):
        tiny.use(tiny.case(f"4000000{lag}", surgery_date=date(2026, 1, 5) + days(lag)), item)
    tiny.move(item, "-2")
    tiny.move(item, "0", kind="NULL_TXN", pou_item_no="PX999999")
    assert tiny.found("MDM-01") == {
        f"system=ehr|item={item.supply_id}": "100.00",
        f"system=pou|item={item.pou_no}": "0.00",
    }


def test_the_cost_of_an_unmapped_inventory_item_is_that_of_the_supply_that_names_it():
    tiny = Tiny()
    item = tiny.item(
        "Trial", legacy_no=None, cloud_no=None, ehr_external_id=None, pou_erp_item_no=None, catalogue_number="1"
    )
    tiny.world.items[item.key] = replace(item, ehr_identities=((20, str(item.pou_no)),))
    tiny.move(item, "-2")
    tiny.move(item, "1", kind="RETURN")
    assert tiny.found("MDM-01") == {f"system=pou|item={item.pou_no}": "100.00"}


def test_items_that_are_mapped_or_not_transacted_are_no_exception():
    tiny = Tiny()
    tiny.item(
        "Untouched", legacy_no=None, cloud_no=None, ehr_external_id=None, pou_erp_item_no=None, catalogue_number="1"
    )
    by_catalogue = tiny.item("By catalogue", ehr_external_id=None, pou_erp_item_no=None)
    tiny.use(tiny.case(), by_catalogue)
    tiny.move(by_catalogue, "-1", case_typed="40000001")
    assert tiny.found("MDM-01") == {}
    assert len(tiny.near("MDM-01")) == 2


# --------------------------------------------------------------------------------------------------------------- GL-02

PERIOD = "facility=H1|period=2026-02"


def received_and_invoiced(tiny: Tiny) -> str:
    """An order of 10 at 100, received and billed on one day, with the journals of both; gives the order number."""
    po = tiny.order(tiny.supply)
    tiny.receive(po, "10")
    tiny.invoice(po, "10", "100")
    tiny.journal([("INV_ASSET", "1000", "0"), ("GRNI", "0", "1000")], source="Receipt Accounting", journal="1")
    tiny.journal([("GRNI", "1000", "0"), ("AP_CONTROL", "0", "1000")], source="Payables", journal="2")
    return po


def test_an_accrual_that_ties_to_the_ledger_is_no_exception():
    tiny = Tiny()
    received_and_invoiced(tiny)
    assert tiny.found("GL-02") == tiny.near("GL-02") == {}


def test_a_receipt_posted_to_another_account_is_found_in_its_period():
    tiny = Tiny()
    received_and_invoiced(tiny)
    po = tiny.order(tiny.supply, day=SURGERY + days(2))
    tiny.receive(po, "3", day=SURGERY + days(2))
    lines = [("INV_ASSET", "300", "0"), ("SUSPENSE", "0", "300")]
    tiny.journal(lines, source="Receipt Accounting", journal="3", day=SURGERY + days(2))
    assert tiny.found("GL-02") == {PERIOD: "300.00"}
    assert tiny.course("GL-02") == {PERIOD: (SURGERY + days(2), None)}


def test_one_dollar_is_tolerated():
    for off, found in (("1.00", {}), ("1.01", {PERIOD: "1.01"})):
        tiny = Tiny()
        received_and_invoiced(tiny)
        lines = [("GRNI", off, "0"), ("SUSPENSE", "0", off)]
        tiny.journal(lines, source="Receipt Accounting", journal="3")
        assert tiny.found("GL-02") == found


def test_manual_journals_missing_batches_and_unposted_journals_explain_a_difference():
    manual, missing, unposted = Tiny(), Tiny(), Tiny()
    received_and_invoiced(manual)
    manual.journal([("GRNI", "70", "0"), ("PPV", "0", "70")], source="Manual", journal="3", manual=True)
    missing.receive(missing.order(missing.supply), "3")
    unposted.receive(unposted.order(unposted.supply), "3")
    lines = [("INV_ASSET", "300", "0"), ("GRNI", "0", "300")]
    unposted.journal(lines, source="Receipt Accounting", is_posted=False)
    for tiny in (manual, missing, unposted):
        assert tiny.found("GL-02") == {}
        assert set(tiny.near("GL-02")) == {PERIOD}


def test_an_invoice_that_completes_a_line_clears_its_cents():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "3", "0.33333")
    for part in ("1", "1", "1"):
        tiny.receive(po, part, amount=Decimal("0.33"))
    tiny.invoice(po, "3", "0.33333")
    tiny.journal([("INV_ASSET", "0.99", "0"), ("GRNI", "0", "0.99")], source="Receipt Accounting", journal="1")
    tiny.journal([("GRNI", "0.99", "0"), ("AP_CONTROL", "0", "0.99")], source="Payables", journal="2")
    assert tiny.found("GL-02") == tiny.near("GL-02") == {}


def test_a_service_invoice_has_no_accrual():
    tiny = Tiny()
    po = tiny.order(None, match_basis="2way", po_type="service")
    tiny.invoice(po, "5", "100")
    tiny.journal([("PURCH_SERVICE", "500", "0"), ("AP_CONTROL", "0", "500")], source="Payables")
    assert tiny.found("GL-02") == tiny.near("GL-02") == {}


# --------------------------------------------------------------------------------------------------------------- GL-05


def test_a_journal_must_balance_in_every_balancing_segment():
    tiny = Tiny()
    tiny.journal([("SUPPLY_EXP", "10", "0"), ("FREIGHT", "0", "10")], journal="1")
    tiny.journal([("SUPPLY_EXP", "10", "0"), ("FREIGHT", "0", "9.99")], journal="2")
    tiny.journal([("SUPPLY_EXP", "10", "0")], journal="3")
    tiny.journal([("DUE_TO", "0", "10")], journal="3", balancing_segment="105", site="H5", ledger="300000100000001")
    found = [finding for finding in evaluate(tiny.world) if finding.rule_id == "GL-05"]
    assert [(finding.facility_id, finding.entity_key[-1], str(finding.impact_amount)) for finding in found] == [
        ("H1", "2", "0.01"),
        ("H1", "3", "10.00"),
        ("H5", "3", "10.00"),
    ]


def test_a_line_that_grows_is_one_line():
    tiny = Tiny()
    tiny.journal([("SUPPLY_EXP", "10", "0"), ("FREIGHT", "0", "10")], journal="1")
    tiny.journal([("SUPPLY_EXP", "15", "0"), ("FREIGHT", "0", "15")], journal="1", known_at=at(SURGERY + days(3)))
    assert tiny.found("GL-05") == {}


# ---------------------------------------------------------------------------------------------------------- INT-02, 03


def test_a_file_that_differs_from_its_manifest_is_found():
    tiny = Tiny()
    tiny.file(SURGERY, "a", name="x.csv", stated_rows=4)
    tiny.file(SURGERY, "b", name="y.csv", manifest_hash_matches=False)
    tiny.file(SURGERY, "c", name="z.csv")
    assert set(tiny.found("INT-02")) == {f"feed=pou.txn|date={SURGERY}|file={name}" for name in ("x.csv", "y.csv")}


def test_events_delivered_again_are_found_at_the_second_delivery():
    tiny = Tiny()
    tiny.file(SURGERY, "a")
    tiny.file(SURGERY + days(1), "a", name="again.csv")
    assert tiny.course("INT-03") == {f"feed=pou.txn|date={SURGERY + days(1)}|file=again.csv": (SURGERY + days(1), None)}


def test_snapshots_empty_files_and_windows_of_the_slot_before_repeat_by_design():
    tiny = Tiny()
    for lag in range(3):
        tiny.file(SURGERY + days(lag), "a", extract="item", is_snapshot=True)
        tiny.file(SURGERY + days(lag), "b", rows=0, stated_rows=0)
        tiny.file(SURGERY + days(lag), "c", system="ehr", extract="OR_LOG", name="OR_LOG.csv")
    assert tiny.found("INT-03") == {}
    assert len(tiny.near("INT-03")) == 3


def test_an_older_window_sent_again_is_found():
    tiny = Tiny()
    for lag, content in enumerate("aba"):
        tiny.file(SURGERY + days(lag), content, system="erp_fusion", extract="PO_LINES", name="0600/PO_LINES.zip")
    assert list(tiny.found("INT-03")) == [f"feed=erp_fusion.PO_LINES|date={SURGERY + days(2)}|file=0600/PO_LINES.zip"]


# ----------------------------------------------------------------------------------------------- calendar, tolerances


def test_a_row_counts_from_the_folder_that_carries_it():
    evening = at(SURGERY, 19)
    assert nightly_folder(evening) == SURGERY + days(1)
    assert inventory_folder(evening) == SURGERY
    assert inventory_folder(at(SURGERY, 23, 59)) == SURGERY + days(1)
    assert cloud_folder(evening) == SURGERY + days(1)
    assert cloud_folder(datetime(2026, 2, 3, 18, 0, tzinfo=UTC)) == SURGERY
    assert cloud_folder(datetime(2026, 2, 3, 18, 0, 1, tzinfo=UTC)) == SURGERY + days(1)


def test_limits_belong_to_what_is_tolerated():
    assert not is_beyond("price_po", Decimal(5), Decimal(250))
    assert is_beyond("price_po", Decimal("5.01"), Decimal(10000))
    assert is_beyond("price_po", Decimal(5), Decimal(249))
    assert not is_beyond("qty_usage", 2, 40)
    assert is_beyond("qty_usage", 2, 39)
    assert not is_beyond("qty_match", -5, 10)
    assert is_beyond("qty_implant", -1, 10)


def test_money_is_rounded_half_even_in_impacts_and_half_up_in_ledgers():
    assert cents(Decimal("-0.125")) == Decimal("0.12")
    assert half_up(Decimal("-0.125")) == Decimal("-0.13")


# ---------------------------------------------------------------------------------------------------------- the file


def test_the_answer_key_has_its_columns_and_names_planted_near_misses_that_do_not_fire(tmp_path):
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.supply, "3")
    for item in ("5001", "9999"):
        tiny.world.planted.append(Planted("UI-01", f"case=40000001|item={item}", "H1", True, "planted"))
    write_answer_key(tiny.world, tmp_path)
    with (tmp_path / "answer_key" / "exceptions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row[0] in ("rule_id", "UI-01")]
    assert rows == [
        list(COLUMNS),
        ["UI-01", "H1", "case=40000001|item=5001", "300.00", "2026-02-03", "2026-02-05", "false", ""],
        ["UI-01", "H1", "case=40000001|item=9999", "0.00", "2026-04-10", "", "true", ""],
    ]
