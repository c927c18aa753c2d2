"""The oracle on control accounts, batches, revenue, manual journals and balances."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from ingest.simulator.events import AccountBalance
from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at

PERIOD = "facility=H1|period=2026-02"
LEDGER = "300000100000001"
SECOND = SURGERY + timedelta(days=1)


def issue(tiny: Tiny, asset: str = "INV_ASSET", amount: str = "120", journal: str = "7", **changes: object) -> None:
    """A day's issue of stock, and its journal on the given account."""
    tiny.journal(
        [("SUPPLY_EXP", amount, "0"), (asset, "0", amount)], source="Cost Accounting", journal=journal, **changes
    )
    row = tiny.world.postings.pop()
    tiny.subledger_row(tiny.world.journal_lines[-2], row.amount, credit_role="INV_ASSET")


def payment(tiny: Tiny, account: str = "AP_CONTROL", amount: str = "80") -> None:
    """A payment and its journal, which debits the given account."""
    tiny.journal([(account, amount, "0"), ("CASH", "0", amount)], source="Payables", category="Payments")
    row = tiny.world.postings.pop()
    tiny.subledger_row(tiny.world.journal_lines[-2], row.amount, debit_role="AP_CONTROL", credit_role="CASH")


# --------------------------------------------------------------------------------------------------------- GL-01, GL-03


@pytest.mark.parametrize(("rule", "book"), [("GL-01", issue), ("GL-03", payment)])
def test_a_control_account_ties_until_a_row_is_posted_elsewhere(rule, book):
    sound, astray = Tiny(), Tiny()
    book(sound)
    book(astray, "SUSPENSE")
    assert sound.found(rule) == sound.near(rule) == {}
    assert list(astray.found(rule)) == [PERIOD]
    assert astray.course(rule) == {PERIOD: (SURGERY, None)}


@pytest.mark.parametrize(("rule", "role"), [("GL-01", "INV_ASSET"), ("GL-03", "AP_CONTROL")])
def test_a_manual_journal_explains_what_it_moves(rule, role):
    tiny = Tiny()
    tiny.journal([(role, "70", "0"), ("PPV", "0", "70")], source="Manual", manual=True)
    assert tiny.found(rule) == {}
    assert set(tiny.near(rule)) == {PERIOD}


def test_a_missing_a_short_and_an_unposted_batch_explain_the_inventory_account():
    missing, short, unposted = Tiny(), Tiny(), Tiny()
    issue(missing)
    missing.world.journal_lines.clear()
    issue(short)
    short.subledger_row(short.world.journal_lines[0], Decimal(30), credit_role="INV_ASSET")
    issue(unposted, is_posted=False)
    for tiny in (missing, short, unposted):
        assert tiny.found("GL-01") == {}
        assert set(tiny.near("GL-01")) == {PERIOD}


def test_a_difference_stays_in_the_month_in_which_it_arose():
    tiny = Tiny()
    issue(tiny, "SUSPENSE")
    issue(tiny, day=date(2026, 3, 4), journal="8")
    assert tiny.found("GL-01") == {PERIOD: "120.00"}


# --------------------------------------------------------------------------------------------------------------- GL-10


def test_a_batch_that_never_reaches_the_cloud_ledger_is_found_by_source_and_day():
    tiny = Tiny()
    issue(tiny)
    tiny.subledger_row(tiny.world.journal_lines[0], Decimal(30), is_withheld=True)
    key = f"system=erp_fusion|batch=101-Cost Accounting-{SURGERY}"
    assert tiny.found("GL-10") == {key: "30.00"}
    assert tiny.course("GL-10") == {key: (SECOND, None)}


@pytest.mark.parametrize(
    ("posted", "referenced", "found"),
    [
        ("120", "120", {}),
        ("120", "119.99", {}),
        ("120", "100", "20.00"),
        ("100", "120", "20.00"),
        ("90", "90", "30.00"),
    ],
)
def test_rows_references_and_posted_debits_of_a_cloud_header_agree(posted, referenced, found):
    tiny = Tiny()
    issue(tiny, amount=posted)
    tiny.world.postings.clear()
    tiny.subledger_row(
        tiny.world.journal_lines[0], Decimal(120), posted_amount=Decimal(posted), referenced_amount=Decimal(referenced)
    )
    assert tiny.found("GL-10") == ({"system=erp_fusion|batch=7": found} if found else {})


def test_a_legacy_batch_is_all_journals_of_a_system_and_day():
    tiny = Tiny()
    lines = [("SUPPLY_EXP", "10", "0"), ("INV_ASSET", "0", "10")]
    tiny.journal(lines, source="IC", site="H5", journal="1")
    tiny.journal(lines, source="IC", site="H5", journal="2", is_posted=False)
    assert tiny.found("GL-10") == {}
    tiny.subledger_row(tiny.world.journal_lines[0], Decimal("0.02"))
    assert tiny.found("GL-10") == {f"system=erp_lawson|batch=1005-IC-{SURGERY}": "0.02"}


def test_an_imported_legacy_batch_that_waits_for_its_posting_is_no_break():
    tiny = Tiny()
    tiny.journal([("SUPPLY_EXP", "10", "0"), ("INV_ASSET", "0", "10")], source="IC", site="H5", is_posted=False)
    assert tiny.found("GL-10") == {}
    assert set(tiny.near("GL-10")) == {f"system=erp_lawson|batch=1005-IC-{SURGERY}"}


def test_rows_that_swap_their_sides_count_by_their_debits():
    tiny = Tiny()
    tiny.journal(
        [("PPV", "10", "0"), ("AP_CONTROL", "0", "10"), ("AP_CONTROL", "4", "0"), ("PPV", "0", "4")], source="Payables"
    )
    assert tiny.found("GL-10") == {}


# --------------------------------------------------------------------------------------------------------------- GL-13


def charged(tiny: Tiny, booked: str) -> None:
    """Charges of 1000 on the day of surgery, and the revenue that the ledger shows for them."""
    tiny.journal([("PATIENT_AR", booked, "0"), ("PATIENT_REV_OP", "0", booked)], source="SHS HB", journal="9")
    tiny.world.postings.pop()
    tiny.subledger_row(tiny.world.journal_lines[0], Decimal(1000), event="E18", subledger="HB")


@pytest.mark.parametrize(("booked", "found"), [("1000", None), ("999", None), ("998.99", "1.01"), ("1200", "200.00")])
def test_charges_and_revenue_agree_within_a_thousandth(booked, found):
    tiny = Tiny()
    charged(tiny, booked)
    assert tiny.found("GL-13") == ({PERIOD: found} if found else {})
    assert set(tiny.near("GL-13")) == ({PERIOD} if booked == "999" else set())


def test_payments_and_adjustments_are_no_charges():
    tiny = Tiny()
    charged(tiny, "1000")
    for event in ("E19", "E19a"):
        tiny.subledger_row(tiny.world.journal_lines[0], Decimal(90), event=event, subledger="HB")
    assert tiny.found("GL-13") == {}


# --------------------------------------------------------------------------------------------------------------- GL-08


def test_a_manual_line_on_a_control_account_is_found_by_its_line():
    tiny = Tiny()
    tiny.journal([("SUPPLY_EXP", "10", "0"), ("GRNI", "0", "10")], source="Manual", manual=True, journal="5")
    assert tiny.found("GL-08") == {f"ledger={LEDGER}|journal=5|line=2": "10.00"}


def test_reclassifications_accruals_drafts_and_subledgers_are_none():
    tiny = Tiny()
    tiny.journal([("SUPPLY_EXP", "10", "0"), ("FREIGHT", "0", "10")], source="Manual", manual=True, journal="1")
    tiny.journal([("IMPLANT_EXP", "10", "0"), ("BILLONLY_ACCRUAL", "0", "10")], source="Manual", journal="2")
    tiny.journal([("GRNI", "10", "0"), ("PPV", "0", "10")], source="Manual", manual=True, journal="3", is_posted=False)
    tiny.journal([("INV_ASSET", "10", "0"), ("GRNI", "0", "10")], source="Receipt Accounting", journal="4")
    assert tiny.found("GL-08") == {}
    assert set(tiny.near("GL-08")) == {f"ledger={LEDGER}|journal=2|line=2"}


# --------------------------------------------------------------------------------------------------------------- GL-14


def balance(tiny: Tiny, month: int, opening: str, net: str, role: str = "SUPPLY_EXP", **changes: object) -> None:
    """What the cloud ledger states of the account 101-X and a month of 2026."""
    first = date(2026, month, 1)
    values: dict[str, object] = {
        "erp": "erp_fusion",
        "site": "H1",
        "ledger": LEDGER,
        "account": "101-X",
        "role": role,
        "month": first,
        "period": first.strftime("%b-%y"),
        "is_income": role == "SUPPLY_EXP",
        "opens_year": False,
        "opening": Decimal(opening),
        "net": Decimal(net),
        "known_at": at(first, 9),
    }
    tiny.world.balances.append(AccountBalance(**(values | changes)))  # type: ignore[arg-type]


def posted(tiny: Tiny, debit: str) -> None:
    tiny.journal([("SUPPLY_EXP", debit, "0")], source="Manual", manual=True, account="101-X", known_at=at(SURGERY, 9))


KEY = f"ledger={LEDGER}|account=101-X|period=Feb-26"


@pytest.mark.parametrize(
    ("net", "after", "found"),
    [("30", "130", None), ("20", "120", "10.00"), ("30", "125", "5.00"), ("20", "130", "10.00")],
)
def test_opening_and_activity_make_the_closing_balance(net, after, found):
    tiny = Tiny()
    posted(tiny, "30")
    balance(tiny, 2, "100", net, known_at=at(SURGERY, 9))
    balance(tiny, 3, after, "0")
    assert tiny.found("GL-14") == ({KEY: found} if found else {})


def test_a_new_fiscal_year_opens_income_at_zero():
    tiny = Tiny()
    posted(tiny, "30")
    balance(tiny, 2, "100", "30", known_at=at(SURGERY, 9))
    balance(tiny, 3, "0", "0", opens_year=True)
    assert tiny.found("GL-14") == {}


def test_a_journal_that_is_not_posted_moves_no_balance():
    tiny = Tiny()
    tiny.journal([("SUPPLY_EXP", "30", "0")], source="Manual", manual=True, account="101-X", is_posted=False)
    balance(tiny, 2, "100", "0", known_at=at(SURGERY, 9))
    assert tiny.found("GL-14") == {}


# --------------------------------------------------------------------------------------------------------------- GL-06

STRING = "570102-610100-0000"


def mapped(tiny: Tiny, unit_from: str | None = "2024-10-01", late: date | None = None) -> None:
    """Maps of H5: the supply account, and accounting unit 570102 from a day on, known late or from the start."""
    tiny.world.reference["COA_MAP"] = [
        {"legacy_account": "610100", "legacy_sub": "0000", "status": "mapped", "valid_from": "2024-10-01"}
    ]
    unit = {"source_system": "erp_lawson", "scope": "1005", "source_code": "570102", "valid_from": unit_from or ""}
    if unit_from and late:
        tiny.world.late_reference.append((late, "COST_CENTER_MAP", unit))
    elif unit_from:
        tiny.world.reference["COST_CENTER_MAP"] = [unit]


def unit_used(tiny: Tiny, string: str = STRING, **changes: object) -> None:
    tiny.journal(
        [("SUPPLY_EXP", "40", "0")], site="H5", manual=True, account=string, balancing_segment="1005", **changes
    )


@pytest.mark.parametrize(
    ("string", "unit_from", "found"),
    [
        (STRING, "2024-10-01", False),
        (STRING, "2026-02-03", False),
        (STRING, "2026-02-04", True),
        (STRING, None, True),
        ("570102-610100-0030", "2024-10-01", True),
        ("570103-610100-0000", "2024-10-01", True),
    ],
)
def test_a_posted_string_needs_a_mapped_unit_and_account_on_its_posting_date(string, unit_from, found):
    tiny = Tiny()
    mapped(tiny, unit_from)
    unit_used(tiny, string)
    assert tiny.found("GL-06") == ({f"company=1005|account={string}": "40.00"} if found else {})


def test_a_mapping_for_the_past_clears_the_string():
    tiny = Tiny()
    mapped(tiny, "2024-10-01", late=SURGERY + timedelta(days=5))
    unit_used(tiny)
    assert tiny.course("GL-06") == {f"company=1005|account={STRING}": (SECOND, SURGERY + timedelta(days=5))}


def test_drafts_and_the_other_ledger_need_no_mapping():
    tiny = Tiny()
    mapped(tiny, None)
    unit_used(tiny, is_posted=False)
    tiny.journal([("SUPPLY_EXP", "40", "0")], manual=True, account="101-1", journal="2")
    assert tiny.found("GL-06") == {}


# --------------------------------------------------------------------------------------------------------------- GL-07

FEBRUARY = date(2026, 2, 27)
MARCH = date(2026, 3, 2)


def closing(tiny: Tiny, module: str, day: date, entity: str = "101") -> None:
    """February of an entity is closed on a day, at 17:00."""
    tiny.world.reference["FISCAL_CALENDAR"] = [
        {"calendar_id": "C", "fiscal_year": "2026", "period_num": "8", "start_date": "2026-02-01", "is_adjustment": "N"}
    ]
    tiny.world.reference["PERIOD_CLOSE"] = [
        {
            "calendar_id": "C",
            "fiscal_year": "2026",
            "period_num": "8",
            "entity": entity,
            "module": module,
            "status": "CLOSED",
            "event_ts": at(day, 17).isoformat(),
        }
    ]


@pytest.mark.parametrize(("closed_on", "found"), [(MARCH, True), (date(2026, 3, 3), True), (date(2026, 2, 28), False)])
def test_an_invoice_belongs_to_its_month_while_that_is_open(closed_on, found):
    tiny = Tiny()
    closing(tiny, "AP", closed_on)
    later = {"posting_date": MARCH, "known_at": at(MARCH), "created_at": at(MARCH)}
    tiny.invoice(None, "10", "100", day=FEBRUARY, number="A1", **later)
    key = "type=invoice|key=5001/A1"
    assert tiny.found("GL-07") == ({key: "1000.00"} if found else {})
    assert set(tiny.near("GL-07")) == (set() if found else {key})


def test_an_invoice_entered_later_and_posted_in_its_month_is_right():
    tiny = Tiny()
    tiny.invoice(None, "10", "100", day=FEBRUARY, number="A1", known_at=at(MARCH), created_at=at(MARCH))
    assert tiny.found("GL-07") == {}
    assert set(tiny.near("GL-07")) == {"type=invoice|key=5001/A1"}


def test_a_receipt_released_in_the_next_month_was_posted_outside_its_period():
    tiny = Tiny()
    closing(tiny, "PO", date(2026, 3, 3), "1005")
    po = tiny.order(tiny.supply, day=FEBRUARY, site="H5", erp="erp_lawson", po_key="1005-7-0-REG")
    tiny.receive(po, "3", day=FEBRUARY, receipt_key="1005-77-1", is_released=False)
    tiny.receive(po, "3", day=FEBRUARY, receipt_key="1005-77-1", posting_date=MARCH, known_at=at(MARCH))
    assert tiny.found("GL-07") == {"type=receipt|key=1005-77-1": "300.00"}
    assert tiny.course("GL-07") == {"type=receipt|key=1005-77-1": (date(2026, 3, 3), None)}


def test_an_issue_posted_on_the_first_of_the_next_month_is_found_by_its_stock_document():
    tiny = Tiny()
    last = date(2026, 2, 28)
    tiny.move(tiny.supply, "-2", site="H5", day=last, event="E09", txn_id="D1-000000001")
    tiny.move(tiny.supply, "2", site="H5", day=last, kind="ADJUST", event="E13", txn_id="D1-000000002")
    tiny.world.stock_documents["D1-000000001"] = "1005-H5ORC-IC-IS-260228-0-1"
    tiny.journal([("SUPPLY_EXP", "200", "0")], source="IC", site="H5", day=date(2026, 3, 1))
    posting = tiny.world.postings.pop()
    for txn_id in ("D1-000000001", "D1-000000002"):
        tiny.subledger_row(tiny.world.journal_lines[0], posting.amount, subledger="INV", subledger_key=txn_id)
    assert tiny.found("GL-07") == {"type=usage|key=1005-H5ORC-IC-IS-260228-0-1": "200.00"}
