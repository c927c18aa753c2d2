"""Stays and visits without a procedure: their number, their money from charge to payment, what the ledger carries."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import pytest

from ingest.simulator import build_world
from ingest.simulator.census import FIRST_ACCOUNT, STAYS_PER_YEAR, VISITS_PER_YEAR
from ingest.simulator.masters import SITES
from tests.unit.simulator.clinical_world import delivered

START, DAYS, SCALE = date(2026, 1, 5), 42, 0.004
SITE = "H1"


@pytest.fixture(scope="module")
def landing(tmp_path_factory):
    out = tmp_path_factory.mktemp("census")
    world, _, _ = build_world(out, START, DAYS, SCALE, 7, defects=False, sites=[SITE], repull=1)
    return out, world


def of_census(out, extract):
    return [row for row in delivered(out, "hb", extract) if int(row["HSP_ACCOUNT_ID"]) >= FIRST_ACCOUNT]


def transactions(out):
    return {row["TX_ID"]: row for row in of_census(out, "HSP_TRANSACTIONS")}.values()


def test_there_are_as_many_stays_and_visits_as_a_system_of_the_scale_has(landing):
    opened = {row["HSP_ACCOUNT_ID"]: row for row in of_census(landing[0], "HSP_ACCOUNT")}.values()
    share = SITES[SITE].volume_share * SCALE * (DAYS - 1) / 365
    for classes, expected in (("1", STAYS_PER_YEAR * share), ("23", VISITS_PER_YEAR * share)):
        number = sum(row["ACCT_BASECLS_HA_C"] in classes for row in opened)
        assert abs(number - expected) < 4 * expected**0.5 + 0.05 * expected


def test_every_charge_is_units_at_the_price_of_the_charge_master(landing):
    out, world = landing
    price = {entry.proc_id: entry.price for entry in world.charge_prices}
    charges = [row for row in transactions(out) if row["TX_TYPE_HA_C"] == "1"]
    assert len(charges) > 2000
    for row in charges:
        assert Decimal(row["TX_AMOUNT"]) == Decimal(row["QUANTITY"]) * price[row["PROC_ID"]]


def test_what_is_taken_back_is_posted_again_and_cancels_out(landing):
    by_id = {row["TX_ID"]: row for row in transactions(landing[0])}
    reversals = {row["ORIG_REV_TX_ID"]: row for row in by_id.values() if row["ORIG_REV_TX_ID"]}
    reposts = {row["ORIG_REPOST_TX_ID"]: row for row in by_id.values() if row["ORIG_REPOST_TX_ID"]}
    assert len(reversals) > 50
    assert reversals.keys() == reposts.keys()
    for original, reversal in reversals.items():
        assert Decimal(reversal["TX_AMOUNT"]) == -Decimal(by_id[original]["TX_AMOUNT"])
        assert reposts[original]["TX_AMOUNT"] == by_id[original]["TX_AMOUNT"]


def test_postings_add_up_to_the_transactions_of_each_day_and_department(landing):
    out, world = landing
    shown = defaultdict(Decimal)
    for row in {row["TX_ID"]: row for row in delivered(out, "hb", "HSP_TRANSACTIONS")}.values():
        event = {"1": "E18", "2": "E19"}.get(row["TX_TYPE_HA_C"], "E19a")
        sign = 1 if event == "E18" else -1
        shown[event, row["TX_POST_DATE"][:10]] += sign * Decimal(row["TX_AMOUNT"])
    booked = defaultdict(Decimal)
    for posting in world.postings:
        # The last day's transactions are in a folder after the last one.
        if posting.subledger == "HB" and posting.posting_date < world.end:
            booked[posting.event, str(posting.posting_date)] += posting.amount
    assert {event for event, _ in booked} == {"E18", "E19", "E19a"}
    assert dict(booked) == dict(shown)


def test_the_cloud_ledger_names_every_transaction_behind_a_line(landing):
    out, _ = landing
    debits = defaultdict(Decimal)
    for row in delivered(out, "erp_fusion", "GL_IMPORT_REFERENCES"):
        amount = Decimal(row["GlImportReferencesReference3"])
        if row["GlImportReferencesReference1"] == "HB" and amount > 0:
            debits[row["GlImportReferencesReference2"], row["GlImportReferencesGlSlLinkId"]] = amount
    by_transaction = defaultdict(Decimal)
    for (transaction, _), amount in debits.items():
        by_transaction[transaction] += amount
    last_seen = str(START + timedelta(days=DAYS - 2))
    for row in transactions(out):
        if row["TX_POST_DATE"][:10] < last_seen:
            assert by_transaction[row["TX_ID"]] == abs(Decimal(row["TX_AMOUNT"]))


def test_an_account_is_paid_and_adjusted_from_what_it_was_charged_and_the_payer_says_so(landing):
    out, _ = landing
    sums = defaultdict(lambda: defaultdict(Decimal))
    for row in transactions(out):
        sums[row["HSP_ACCOUNT_ID"]][row["TX_TYPE_HA_C"]] += Decimal(row["TX_AMOUNT"])
    paid = {account: kinds for account, kinds in sums.items() if kinds["2"]}
    assert len(paid) > 80
    claims = defaultdict(Decimal)
    for file in out.glob("hb/835/*/*.835"):
        text = file.read_text()
        element, ending = text[3], text[105]
        for segment in text.split(ending):
            parts = segment.strip().split(element)
            if parts[0] == "CLP" and parts[1].rstrip("ABC") in paid:
                claims[parts[1].rstrip("ABC")] += Decimal(parts[4])
    for account, kinds in paid.items():
        assert kinds["1"] + kinds["2"] + kinds["3"] + kinds["4"] >= 0
        assert claims[account] == -kinds["2"]


def test_accounts_of_the_census_have_no_supply_charge(landing):
    codes = {row["UB_REV_CODE_ID"][1:] for row in transactions(landing[0]) if row["TX_TYPE_HA_C"] == "1"}
    assert codes
    assert not any(code.startswith(("027", "062")) for code in codes)
