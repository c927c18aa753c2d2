"""The oracle on simulated worlds: a sound one has no exception, a defective one has those that were planted."""

from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from ingest.simulator import build_world
from ingest.simulator.oracle import RULES, evaluate
from ingest.simulator.oracle.docket import Book
from ingest.simulator.oracle.ledger import LedgerRules
from ingest.simulator.oracle.payables import PayableRules
from ingest.simulator.oracle.view import View

START, DAYS, SCALE = date(2026, 1, 21), 36, 0.02
SOURCES = {"PO": "PO", "AP": "AP", "RA": "Receipt Accounting", "PAY": "Payables"}


def simulated(out, defects):
    world, _, _ = build_world(out, START, DAYS, SCALE, 3, defects=defects)
    return world


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("sound"), defects=False)


@pytest.fixture(scope="module")
def defective(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("defective"), defects=True)


def test_quirks_alone_make_no_rule_fire_on_any_day(sound):
    assert [finding for finding in evaluate(sound) if not finding.near_miss] == []


def test_the_accrual_concluded_from_receipts_and_invoices_is_the_one_that_was_posted(sound):
    view, book = View(sound, sound.end), Book(sound.start, sound.end)
    payables = PayableRules(view, book)
    rules = LedgerRules(view, book, payables)
    concluded, posted = defaultdict(Decimal), defaultdict(Decimal)
    for history in payables.histories.values():
        for batch, _, amount in rules._accrual_rows(history):
            concluded[batch] += amount
    for posting in sound.postings:
        sign = (posting.credit_role == "GRNI") - (posting.debit_role == "GRNI")
        if sign:
            posted[posting.site, SOURCES[posting.system], posting.posting_date] += sign * posting.amount
    assert concluded == posted


def test_planted_defects_fire_and_planted_near_misses_do_not(defective):
    fired = {(finding.rule_id, finding.entity_key) for finding in evaluate(defective) if not finding.near_miss}
    near = {(planted.rule_id, planted.entity_key) for planted in defective.planted if planted.is_near_miss}
    at_once = ("UI-05", "GL-05", "INT-02", "INT-03", "CP-01", "M3-01", "MDM-01")
    planted = {
        (entry.rule_id, entry.entity_key)
        for entry in defective.planted
        if not entry.is_near_miss and entry.rule_id in at_once
    }
    assert near & fired == set()
    assert planted - fired == set()
    assert {rule for rule, _ in fired} >= set(RULES) - {"M3-05", "MDM-13"}  # sixty days, five order lines


def test_every_finding_has_an_amount_and_dates_that_fit(defective):
    for finding in evaluate(defective):
        assert finding.impact_amount >= 0
        assert finding.impact_amount == finding.impact_amount.quantize(Decimal("0.01"))
        if not finding.near_miss:
            assert defective.start <= finding.detected_as_of <= defective.end
            assert finding.cleared_as_of is None or finding.cleared_as_of > finding.detected_as_of
