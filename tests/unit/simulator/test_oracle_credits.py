"""The oracle on credits for replaced devices: the rule from both sides, on tiny worlds."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from ingest.simulator.events import ClaimCode
from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at

KEY = "case=40000001|implant=71"
ORDERED, CREDITED = SURGERY + timedelta(days=1), SURGERY + timedelta(days=9)


def replaced(credit: str = "-1500", warranty: bool = True, recall: bool = False, explanted: bool = True) -> Tiny:
    """A cage for 2000 that takes the place of another one; its supplier gives a credit."""
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.bill_only, lot="A100", implant_id="71", is_recall_reimplant=recall)
    if explanted:
        completed = SURGERY if warranty else None
        tiny.use("40000001", tiny.bill_only, action="explanted", implant_id="70", warranty_completed=completed)
    po_key = tiny.order(tiny.bill_only, "1", "2000", ORDERED, po_type="bill_only", case_typed="40000001", lot="A100")
    tiny.invoice(po_key, "1", "2000", ORDERED)
    tiny.invoice(po_key, "-1", credit.lstrip("-"), CREDITED)
    return tiny


def reported(tiny: Tiny, account: str, days: int, code: str = "FD") -> None:
    moment = at(CREDITED + timedelta(days=days), 20)
    tiny.world.claim_codes.append(ClaimCode("H1", account, "VALUE", code, Decimal(1500), moment))


@pytest.mark.parametrize(("warranty", "recall"), [(True, False), (False, True)])
def test_a_credit_that_the_claim_does_not_tell_is_found_thirty_days_after_it(warranty, recall):
    tiny = replaced(warranty=warranty, recall=recall)
    assert tiny.found("UC-16") == {KEY: "1500.00"}
    assert tiny.course("UC-16") == {KEY: (CREDITED + timedelta(days=30), None)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"warranty": False}, "no explant for warranty or recall"),
        ({"credit": "-999.99"}, "credit of less than half the cost"),
    ],
)
def test_other_explants_and_smaller_credits_need_no_code(changes, reason):
    tiny = replaced(**changes)
    assert tiny.found("UC-16") == {}
    assert tiny.near("UC-16") == {KEY: reason}


def test_half_the_cost_is_enough():
    assert replaced(credit="-1000").found("UC-16") == {KEY: "1000.00"}


def test_without_an_explant_on_the_log_nothing_was_replaced():
    tiny = replaced(explanted=False, recall=True)
    assert tiny.found("UC-16") == tiny.near("UC-16") == {}


def test_value_code_fd_reports_it_in_time_or_late():
    tiny = replaced()
    reported(tiny, "640000001", 10)
    assert tiny.found("UC-16") == {}
    assert tiny.near("UC-16") == {KEY: "value code FD is on the claim"}
    tiny.world.claim_codes.clear()
    reported(tiny, "640000001", 10, code="D4")
    reported(tiny, "640000001", 40)
    assert tiny.course("UC-16") == {KEY: (CREDITED + timedelta(days=30), CREDITED + timedelta(days=41))}


def test_the_code_on_the_account_that_took_over_counts():
    tiny = replaced()
    account = tiny.world.accounts[0]
    tiny.world.accounts.append(replace(account, combined_into="699", known_at=at(SURGERY, 20)))
    reported(tiny, "699", 10)
    assert tiny.found("UC-16") == {}


def test_a_cancelled_credit_memo_is_no_credit():
    tiny = replaced()
    memo = tiny.world.invoices[-1]
    tiny.world.invoices[-1] = replace(memo, is_cancelled=True)
    assert tiny.found("UC-16") == tiny.near("UC-16") == {}


def test_of_two_implants_of_one_item_the_one_with_the_lot_of_the_order_is_credited():
    tiny = replaced()
    tiny.use("40000001", tiny.bill_only, lot="B200", implant_id="72")
    assert tiny.found("UC-16") == {KEY: "1500.00"}


@pytest.mark.parametrize(("lot", "found"), [("OLD1", {KEY: "1500.00"}), ("OLD2", {})])
def test_a_credit_on_the_order_of_the_explanted_device_is_for_what_took_its_place(lot, found):
    """The old one was ordered for another case, months before; its lot tells the order."""
    tiny = Tiny()
    tiny.use(tiny.case(), tiny.bill_only, lot="A100", implant_id="71")
    tiny.use("40000001", tiny.bill_only, action="explanted", implant_id="70", lot="OLD1", warranty_completed=SURGERY)
    po_key = tiny.order(tiny.bill_only, "1", "2000", SURGERY - timedelta(days=90), po_type="bill_only", lot=lot)
    tiny.invoice(po_key, "-1", "1500", CREDITED)
    assert tiny.found("UC-16") == found
