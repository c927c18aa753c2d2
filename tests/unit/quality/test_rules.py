"""Every rule from both sides: the smallest break that fires, and the near misses beside it that do not."""

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest

from tests.unit.quality.tiny_builds import Court

D = Decimal
AS_OF = "2026-04-30"
TODAY = dt.date(2026, 4, 30)
OPEN, TIMING, NOTHING = "open", "timing", None


def days_ago(days):
    return TODAY - dt.timedelta(days=days)


def stock(**row):
    return {
        "used_each": D(10),
        "issued_each": D(0),
        "unit_cost": D("2.5"),
        "is_implant": False,
        "anchor_date": days_ago(10),
        "maturity_days": 1,
        "impact_amount": D("25.005"),
        **row,
    }


def charge(**row):
    return {
        "expected_each": D(2),
        "charged_each": D(2),
        "in_flight_each": D(0),
        "difference_each": D(0),
        "charge_price": D("100"),
        "missed_each": D(0),
        "missed_amount": D(0),
        "difference_amount": D(0),
        "active_chain_count": 1,
        "used_each": D(2),
        "duplicate_excess_each": D(0),
        "duplicate_amount": D(0),
        "anchor_date": days_ago(10),
        "service_date": days_ago(12),
        **row,
    }


def match(**row):
    return {
        "ordered_each": D(100),
        "received_each": D(100),
        "invoiced_each": D(100),
        "excess_each": D(0),
        "po_price_each": D(3),
        "excess_amount": D(0),
        "latest_invoice_date": days_ago(20),
        "first_invoice_date": days_ago(30),
        "is_implant": False,
        "invoiced_amount": D(300),
        "has_receipt": True,
        **row,
    }


MISSED = {"charged_each": D(0), "missed_each": D(2), "missed_amount": D(200), "difference_each": D(-2)}

# (rule, what the row is, what must come of it, relation, row)
CASES = [
    # ------------------------------------------------------------ usage against inventory
    ("UI-01", "two of ten never issued", OPEN, "rec_usage_inventory", stock(issued_each=D(8), missing_each=D(2))),
    ("UI-01", "one missing is within", NOTHING, "rec_usage_inventory", stock(issued_each=D(9), missing_each=D(1))),
    ("UI-01", "five percent is within", NOTHING, "rec_usage_inventory", stock(used_each=D(40), missing_each=D(2))),
    ("UI-01", "just over five percent", OPEN, "rec_usage_inventory", stock(used_each=D(40), missing_each=D("2.0001"))),
    ("UI-01", "more issued than used", NOTHING, "rec_usage_inventory", stock(missing_each=D(-5))),
    ("UI-01", "one implant", OPEN, "rec_usage_inventory", stock(used_each=D(1), missing_each=D(1), is_implant=True)),
    ("UI-01", "used today", TIMING, "rec_usage_inventory", stock(missing_each=D(10), anchor_date=TODAY)),
    ("UI-01", "used yesterday", OPEN, "rec_usage_inventory", stock(missing_each=D(10), anchor_date=days_ago(1))),
    (
        "UI-01",
        "used yesterday at a site that needs two days",
        TIMING,
        "rec_usage_inventory",
        stock(missing_each=D(10), anchor_date=days_ago(1), maturity_days=2),
    ),
    (
        "UI-01",
        "expensed location",
        NOTHING,
        "rec_usage_inventory",
        stock(missing_each=D(10), out_of_scope_reason="expensed location"),
    ),
    ("UI-02", "three issued, none documented", OPEN, "rec_inventory_usage", stock(used_each=D(0), excess_each=D(3))),
    ("UI-02", "one issued, none documented", NOTHING, "rec_inventory_usage", stock(used_each=D(0), excess_each=D(1))),
    ("UI-02", "one implant too many", OPEN, "rec_inventory_usage", stock(excess_each=D(1), is_implant=True)),
    (
        "UI-02",
        "log still unposted",
        NOTHING,
        "rec_inventory_usage",
        stock(excess_each=D(3), out_of_scope_reason="log not posted"),
    ),
    ("UI-05", "one below zero", OPEN, "rec_on_hand", {"on_hand_each": D(-1), "unit_cost": D(4), "impact_amount": D(4)}),
    ("UI-05", "empty shelf", NOTHING, "rec_on_hand", {"on_hand_each": D(0), "unit_cost": D(4), "impact_amount": D(0)}),
    # ------------------------------------------------------------ usage against charge
    ("UC-01", "nothing charged", OPEN, "rec_usage_charge", charge(**MISSED)),
    (
        "UC-01",
        "all of it in flight",
        NOTHING,
        "rec_usage_charge",
        charge(charged_each=D(0), in_flight_each=D(2), missed_each=D(0)),
    ),
    ("UC-01", "some charged is UC-03", NOTHING, "rec_usage_charge", charge(charged_each=D(1), missed_each=D(1))),
    ("UC-01", "posted two days ago", TIMING, "rec_usage_charge", charge(**MISSED, anchor_date=days_ago(2))),
    ("UC-01", "posted three days ago", OPEN, "rec_usage_charge", charge(**MISSED, anchor_date=days_ago(3))),
    ("UC-01", "not posted", NOTHING, "rec_usage_charge", charge(**MISSED, anchor_date=None)),
    ("UC-01", "research case", NOTHING, "rec_usage_charge", charge(**MISSED, out_of_scope_reason="research case")),
    (
        "UC-03",
        "one too few charged",
        OPEN,
        "rec_usage_charge",
        charge(charged_each=D(1), difference_each=D(-1), difference_amount=D(-100)),
    ),
    (
        "UC-03",
        "one too many charged",
        OPEN,
        "rec_usage_charge",
        charge(charged_each=D(3), difference_each=D(1), difference_amount=D(100)),
    ),
    ("UC-03", "charged as used", NOTHING, "rec_usage_charge", charge()),
    ("UC-03", "nothing charged is UC-01", NOTHING, "rec_usage_charge", charge(**MISSED)),
    (
        "UC-03",
        "nothing used is UC-05",
        NOTHING,
        "rec_usage_charge",
        charge(expected_each=D(0), used_each=D(0), difference_each=D(2)),
    ),
    (
        "UC-03",
        "a duplicate charge owns the dollars",
        NOTHING,
        "rec_usage_charge",
        charge(
            charged_each=D(4),
            difference_each=D(2),
            difference_amount=D(200),
            active_chain_count=2,
            duplicate_excess_each=D(2),
            duplicate_amount=D(200),
        ),
    ),
    (
        "UC-04",
        "two chains exceed the use",
        OPEN,
        "rec_usage_charge",
        charge(charged_each=D(4), difference_each=D(2), active_chain_count=2, duplicate_excess_each=D(2)),
    ),
    ("UC-04", "two chains, both used", NOTHING, "rec_usage_charge", charge(active_chain_count=2)),
    ("UC-04", "one chain exceeds the use", NOTHING, "rec_usage_charge", charge(duplicate_excess_each=D(1))),
    (
        "UC-05",
        "charge that nothing explains",
        OPEN,
        "rec_charge_usage",
        {"net_amount": D("-80"), "impact_amount": D(80), "is_explained": False, "anchor_date": days_ago(3)},
    ),
    (
        "UC-05",
        "posted two days ago",
        TIMING,
        "rec_charge_usage",
        {"net_amount": D(80), "impact_amount": D(80), "is_explained": False, "anchor_date": days_ago(2)},
    ),
    (
        "UC-05",
        "an inventory issue explains it",
        NOTHING,
        "rec_charge_usage",
        {"net_amount": D(80), "impact_amount": D(80), "is_explained": True, "anchor_date": days_ago(9)},
    ),
    (
        "UC-10",
        "expired the day before",
        OPEN,
        "rec_usage_expiry",
        {"expiry_date": days_ago(6), "surgery_date": days_ago(5), "days_expired": 1},
    ),
    (
        "UC-10",
        "used on its last day",
        NOTHING,
        "rec_usage_expiry",
        {"expiry_date": days_ago(5), "surgery_date": days_ago(5), "days_expired": 0},
    ),
    # ------------------------------------------------------------ orders
    (
        "BO-01",
        "no order after five business days",
        OPEN,
        "rec_implant_order",
        # Thursday a week ago: Fri, Mon, Tue, Wed, Thu.
        {"quantity_each": D(1), "contract_price": D(900), "has_order": False, "anchor_date": days_ago(7)},
    ),
    (
        "BO-01",
        "no order after four business days",
        TIMING,
        "rec_implant_order",
        {"quantity_each": D(1), "contract_price": D(900), "has_order": False, "anchor_date": days_ago(6)},
    ),
    (
        "BO-01",
        "ordered by case number",
        NOTHING,
        "rec_implant_order",
        {"quantity_each": D(1), "contract_price": D(900), "has_order": True, "anchor_date": days_ago(30)},
    ),
    (
        "CP-01",
        "two cents and two percent over",
        OPEN,
        "rec_order_contract",
        {"po_price_each": D("1.02"), "contract_price_each": D(1), "variance_each": D("0.02"), "ordered_each": D(10)},
    ),
    (
        "CP-01",
        "two cents and two percent under",
        OPEN,
        "rec_order_contract",
        {"po_price_each": D("0.98"), "contract_price_each": D(1), "variance_each": D("-0.02"), "ordered_each": D(10)},
    ),
    (
        "CP-01",
        "a cent over",
        NOTHING,
        "rec_order_contract",
        {
            "po_price_each": D("0.11"),
            "contract_price_each": D("0.10"),
            "variance_each": D("0.01"),
            "ordered_each": D(1),
        },
    ),
    (
        "CP-01",
        "one percent over",
        NOTHING,
        "rec_order_contract",
        {"po_price_each": D(101), "contract_price_each": D(100), "variance_each": D(1), "ordered_each": D(1)},
    ),
    (
        "CP-01",
        "no contract price is no break",
        NOTHING,
        "rec_order_contract",
        {"po_price_each": D(101), "contract_price_each": None, "variance_each": None, "ordered_each": D(1)},
    ),
    # ------------------------------------------------------------ payables
    (
        "M3-01",
        "beyond two percent",
        OPEN,
        "rec_invoice_price",
        {"extended_variance": D("2.01"), "base_amount": D(100), "impact_amount": D("2.01")},
    ),
    (
        "M3-01",
        "beyond five dollars",
        OPEN,
        "rec_invoice_price",
        {"extended_variance": D("5.01"), "base_amount": D(10000), "impact_amount": D("5.01")},
    ),
    (
        "M3-01",
        "exactly five dollars and two percent",
        NOTHING,
        "rec_invoice_price",
        {"extended_variance": D(5), "base_amount": D(250), "impact_amount": D(5)},
    ),
    (
        "M3-01",
        "forty nine dollars under and ten percent",
        NOTHING,
        "rec_invoice_price",
        {"extended_variance": D(-49), "base_amount": D(490), "impact_amount": D(49)},
    ),
    (
        "M3-01",
        "fifty one dollars under",
        OPEN,
        "rec_invoice_price",
        {"extended_variance": D(-51), "base_amount": D(5100), "impact_amount": D(51)},
    ),
    ("M3-02", "two of a hundred too many", OPEN, "rec_three_way", match(invoiced_each=D(102), excess_each=D(2))),
    ("M3-02", "one of a hundred too many", NOTHING, "rec_three_way", match(invoiced_each=D(101), excess_each=D(1))),
    (
        "M3-02",
        "one of ten is ten percent",
        OPEN,
        "rec_three_way",
        match(received_each=D(10), invoiced_each=D(11), excess_each=D(1)),
    ),
    (
        "M3-02",
        "everything returned, not credited",
        OPEN,
        "rec_three_way",
        match(received_each=D(0), invoiced_each=D(1), excess_each=D(1)),
    ),
    ("M3-02", "one implant too many", OPEN, "rec_three_way", match(excess_each=D(1), is_implant=True)),
    ("M3-02", "less invoiced than received", NOTHING, "rec_three_way", match(excess_each=D(-50))),
    (
        "M3-02",
        "invoiced four days ago",
        TIMING,
        "rec_three_way",
        match(excess_each=D(5), latest_invoice_date=days_ago(4)),
    ),
    ("M3-06", "invoiced, nothing received", OPEN, "rec_three_way", match(has_receipt=False, received_each=D(0))),
    (
        "M3-06",
        "invoiced four days ago",
        TIMING,
        "rec_three_way",
        match(has_receipt=False, received_each=D(0), first_invoice_date=days_ago(4)),
    ),
    ("M3-06", "received", NOTHING, "rec_three_way", match()),
    (
        "M3-06",
        "nothing invoiced either",
        NOTHING,
        "rec_three_way",
        match(has_receipt=False, received_each=D(0), invoiced_each=D(0), invoiced_amount=D(0)),
    ),
    (
        "M3-06",
        "service line",
        NOTHING,
        "rec_three_way",
        match(has_receipt=False, out_of_scope_reason_m3_06="service line"),
    ),
    (
        "M3-05",
        "sixty days unbilled",
        OPEN,
        "rec_grni",
        {"unbilled_each": D(3), "unbilled_amount": D(30), "oldest_unbilled_receipt_date": days_ago(60)},
    ),
    (
        "M3-05",
        "fifty nine days unbilled",
        TIMING,
        "rec_grni",
        {"unbilled_each": D(3), "unbilled_amount": D(30), "oldest_unbilled_receipt_date": days_ago(59)},
    ),
    (
        "M3-05",
        "returned later",
        NOTHING,
        "rec_grni",
        {"unbilled_each": D(0), "unbilled_amount": D(0), "oldest_unbilled_receipt_date": days_ago(99)},
    ),
    (
        "M3-07",
        "sent twice",
        OPEN,
        "rec_duplicate_invoice",
        {"invoice_amount": D(500), "matched_invoice": "erp_lawson/77/A1", "match_reason": "equal number and amount"},
    ),
    (
        "M3-07",
        "no other invoice like it",
        NOTHING,
        "rec_duplicate_invoice",
        {"invoice_amount": D(500), "matched_invoice": None, "match_reason": None},
    ),
    (
        "M3-07",
        "rebilled after a full credit",
        NOTHING,
        "rec_duplicate_invoice",
        {
            "invoice_amount": D(500),
            "matched_invoice": "erp_lawson/77/A1",
            "out_of_scope_reason": "credited and rebilled",
        },
    ),
    # ------------------------------------------------------------ ledger
    (
        "GL-02",
        "more than a dollar unexplained",
        OPEN,
        "rec_tie_out",
        {"control_role": "GRNI", "fiscal_period": "2026-04", "unexplained_amount": D("-1.01")},
    ),
    (
        "GL-02",
        "a dollar unexplained",
        NOTHING,
        "rec_tie_out",
        {"control_role": "GRNI", "fiscal_period": "2026-04", "unexplained_amount": D("1.00")},
    ),
    (
        "GL-02",
        "another control account",
        NOTHING,
        "rec_tie_out",
        {"control_role": "AP_CONTROL", "fiscal_period": "2026-04", "unexplained_amount": D(900)},
    ),
    (
        "GL-05",
        "a cent apart",
        OPEN,
        "rec_journal_balance",
        {
            "debit_amount": D(100),
            "credit_amount": D("99.99"),
            "difference_amount": D("0.01"),
            "balancing_segment": "101",
        },
    ),
    (
        "GL-05",
        "balanced",
        NOTHING,
        "rec_journal_balance",
        {"debit_amount": D(100), "credit_amount": D(100), "difference_amount": D(0), "balancing_segment": "101"},
    ),
    # ------------------------------------------------------------ master data
    ("MDM-01", "resolves to nothing", OPEN, "rec_item_identity", {"is_mapped": False, "confidence": None}),
    ("MDM-01", "guessed", OPEN, "rec_item_identity", {"is_mapped": False, "confidence": D("0.80")}),
    ("MDM-01", "just sure enough", NOTHING, "rec_item_identity", {"is_mapped": True, "confidence": D("0.95")}),
]

ATTEMPTS = [
    ("INT-02", "a row short of the manifest", OPEN, {"rows_delivered": 9}),
    ("INT-02", "another hash than the manifest", OPEN, {"manifest_hash_ok": False}),
    ("INT-02", "as the manifest says", NOTHING, {}),
    ("INT-02", "no manifest", NOTHING, {"manifest_rows": None, "manifest_hash_ok": None}),
    (
        "INT-03",
        "content of another file",
        OPEN,
        {"outcome": "ignored_duplicate", "duplicate_of": "ehr/20260401/OR_LOG.csv"},
    ),
    ("INT-03", "first delivery", NOTHING, {}),
    ("INT-03", "unchanged snapshot", NOTHING, {"duplicate_of": "x", "is_snapshot": True}),
    ("INT-03", "file without rows", NOTHING, {"duplicate_of": "x", "rows_delivered": 0, "manifest_rows": 0}),
    ("INT-03", "re-pull of the day before", NOTHING, {"duplicate_of": "x", "is_window_repeat": True}),
]


@pytest.fixture(scope="module")
def fired(tmp_path_factory):
    """Everything that fires over all cases at once, by rule and entity: each case is a row of its own."""
    rows = {}
    for number, (_, _, _, relation, row) in enumerate(CASES):
        rows.setdefault(relation, []).append({"entity_key": f"case={number}"} | row)
    attempts = [
        {"file": f"ehr/20260430/OR_LOG_{number}.csv"} | attempt for number, (_, _, _, attempt) in enumerate(ATTEMPTS)
    ]
    court = Court(tmp_path_factory.mktemp("rules"))
    judgement = court.judge(rows, as_of=AS_OF, attempts=attempts)
    assert judgement.held_back == {}
    return {(row["rule_id"], row["entity_key"]): row for row in pl.read_parquet(judgement.judged).iter_rows(named=True)}


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{rule}: {what}" for rule, what, *_ in CASES])
def test_a_break_fires_and_its_near_misses_do_not(fired, number):
    rule, _, expected, _, _ = CASES[number]
    found = fired.get((rule, f"case={number}"))
    assert (found and found["status"]) == expected


@pytest.mark.parametrize("number", range(len(ATTEMPTS)), ids=[f"{rule}: {what}" for rule, what, *_ in ATTEMPTS])
def test_a_delivery_fires_and_its_near_misses_do_not(fired, number):
    rule, _, expected, _ = ATTEMPTS[number]
    entity = f"feed=ehr.OR_LOG|date=2026-04-30|file=OR_LOG_{number}.csv"
    found = fired.get((rule, entity))
    assert (found and found["status"]) == expected
    if found:
        assert found["facility_id"] == "SYS"


def test_every_rule_has_a_break_and_a_near_miss():
    from quality.rules import implemented

    sides = {}
    for rule, _, expected, *_ in [*CASES, *ATTEMPTS]:
        sides.setdefault(rule, set()).add(expected is not None)
    assert sides == {rule: {True, False} for rule in implemented()}


def test_explanations_carry_the_numbers(fired):
    said = {
        (rule, what): fired.get((rule, f"case={n}"), {}).get("explanation") for n, (rule, what, *_) in enumerate(CASES)
    }
    assert said["UI-01", "two of ten never issued"] == (
        "10 EACH documented as used or wasted, 8 EACH issued: 2 EACH at 2.5 USD never left inventory."
    )
    assert said["M3-05", "sixty days unbilled"] == (
        "3 EACH worth 30.00 USD received and not invoiced, the oldest since 2026-03-01."
    )
    assert said["GL-05", "a cent apart"] == (
        "Debits 100.00 USD and credits 99.99 USD of balancing segment 101 differ by 0.01 USD."
    )


def test_an_impact_is_absolute_and_rounds_half_to_even(fired):
    case = next(n for n, (rule, what, *_) in enumerate(CASES) if (rule, what) == ("UI-01", "two of ten never issued"))
    assert fired["UI-01", f"case={case}"]["impact_amount"] == D("25.00")  # of 25.005
    case = next(n for n, (_, what, *_) in enumerate(CASES) if what == "one too few charged")
    assert fired["UC-03", f"case={case}"]["impact_amount"] == D("100.00")  # of -100


def test_a_file_of_a_cloud_slot_is_named_with_its_slot(court):
    attempt = {
        "system": "erp_fusion",
        "extract": "PO_LINES",
        "file": "erp_fusion/20260430/0600/PO_LINES.zip",
        "slot": "0600",
        "manifest_hash_ok": False,
    }
    (key,) = court.fired(attempts=[attempt])
    assert key == ("INT-02", "feed=erp_fusion.PO_LINES|date=2026-04-30|file=0600/PO_LINES.zip")


def test_the_same_name_in_two_databases_is_one_delivery_to_look_at(court):
    attempts = [
        {
            "system": "mmis",
            "extract": "ITEM",
            "file": f"mmis/20260430/db{number}/ITEM.txt",
            "manifest_hash_ok": number > 1,
        }
        for number in (2, 1)
    ]
    assert list(court.fired(attempts=attempts)) == [("INT-02", "feed=mmis.ITEM|date=2026-04-30|file=ITEM.txt")]


def test_a_file_of_several_extracts_is_judged_once_by_its_message_type_set_or_name(court):
    twice = [
        {"system": "ehr_hl7", "extract": extract, "file": "ehr_hl7/20260430/MFN_20260430_07.hl7", "duplicate_of": "x"}
        for extract in ("MFN_PACKAGE", "MFN_LOCATION", "MFN_ITEM")
    ]
    twice += [
        {"system": "edi", "extract": extract, "file": "edi/20260430/810/S_1.edi", "duplicate_of": "x"}
        for extract in ("INV810_LINE", "INV810_HEAD", "ENVELOPE")
    ]
    twice += [
        {"system": system, "extract": extract, "file": file, "duplicate_of": "x"}
        for system, extract, file in (
            ("hb", "REMIT_835_PAYMENT", "hb/835/20260430/P_1.835"),
            ("mmis", "TXN", "mmis/20260430/db1/TXN260430.DAT"),
            ("ehr_hl7", "DFT_P03_FT1", "ehr_hl7/20260430/DFT_20260430_07.hl7"),
        )
    ]
    assert set(court.fired(attempts=twice)) == {
        ("INT-03", "feed=ehr_hl7.MFN|date=2026-04-30|file=MFN_20260430_07.hl7"),
        ("INT-03", "feed=edi.810|date=2026-04-30|file=S_1.edi"),
        ("INT-03", "feed=hb.835|date=2026-04-30|file=P_1.835"),
        ("INT-03", "feed=mmis.TXN|date=2026-04-30|file=TXN260430.DAT"),
        ("INT-03", "feed=ehr_hl7.DFT_P03_FT1|date=2026-04-30|file=DFT_20260430_07.hl7"),
    }
