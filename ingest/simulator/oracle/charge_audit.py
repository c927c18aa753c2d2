"""Charges by themselves: late (UC-02), revenue code (UC-06), price (UC-08), credit (UC-12), account (UC-13).

Here: what a charge chain is held against: its service date, the charge master, its original, the account of its case.
Not here: how rows form chains, what was used (charges).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from functools import partial

from ingest.simulator.events import ChargePrice, ChargeTransaction
from ingest.simulator.oracle.charges import Chain, ChargeRules, is_supply
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents, days_limit, half_up
from ingest.simulator.oracle.view import Versions, View

CREDIT_MATURITY = timedelta(days=3)
IMPLANT_CODES = ("0275", "0276", "0278")
STERILE, GENERAL = "0272", "0270"
CLASSES = {1: "inpatient", 2: "outpatient", 3: "emergency"}

Rows = list[Versions[ChargeTransaction]]


class ChargeAudit:
    """The rules of single charge chains over one view of the world."""

    def __init__(self, view: View, book: Book, charges: ChargeRules) -> None:
        self._view = view
        self._book = book
        self._charges = charges
        self._supplies = view.world.items_by_supply_id()
        self._prices: dict[str, list[ChargePrice]] = defaultdict(list)
        for row in view.world.charge_prices:
            self._prices[row.charge_code].append(row)
        self._test_accounts = {
            case.account for versions in view.cases.values() for _, case in versions.rows if case.is_test_patient
        }

    def judge(self) -> None:
        """Follow every chain to the end of the world."""
        chains: dict[str, Rows] = defaultdict(list)
        for versions in self._charges.versions.values():
            chains[self._charges.root(versions.rows[-1][1])].append(versions)
        for root, rows in chains.items():
            if any(row.account in self._test_accounts for versions in rows for _, row in versions.rows):
                continue
            dates = {known for versions in rows for known in versions.dates()}
            dates.update(row.post_date + CREDIT_MATURITY for versions in rows for _, row in versions.rows)
            log_ids = {row.log_id for versions in rows for _, row in versions.rows if row.log_id}
            for log_id in log_ids & self._view.cases.keys():
                dates.update(self._view.cases[log_id].dates())
                dates.update(self._charges.accounts.dates(self._view.cases[log_id].rows[-1][1].account))
            dates.update(self._charges.accounts.dates(rows[0].rows[-1][1].account))
            self._book.follow(dates, partial(self._judge_chain, root, rows))

    def _judge_chain(self, root: str, rows: Rows, as_of: date, docket: Docket) -> None:
        known = [row for row in (versions.at(as_of) for versions in rows) if row is not None]
        if not known:
            return
        self._judge_credits(known, as_of, docket)
        chain = Chain(root, known)
        first = min(known, key=lambda row: (row.post_date, row.tx_id != root, row.tx_id))
        if not any(row.tx_id == root for row in known):
            return  # its original is missing: UC-12 alone judges it
        self._judge_lateness(chain, first, as_of, docket)
        if chain.is_active:
            self._judge_revenue_code(chain, docket)
            self._judge_price(chain, docket)
            self._judge_account(chain, as_of, docket)

    # -------------------------------------------------------------------------------------------------------- UC-02

    def _judge_lateness(self, chain: Chain, first: ChargeTransaction, as_of: date, docket: Docket) -> None:
        row = chain.current
        if not (row.supply_id or row.implant_id or is_supply(row.revenue_code)):
            return
        state = self._charges.accounts.state(row.account, as_of)
        base_class = state.base_class if state is not None else row.base_class
        last = first.service_date + timedelta(days=days_limit("late_charge_days", CLASSES[base_class]))
        key = f"charge={chain.root}"
        if first.post_date > last:
            docket.fire("UC-02", row.site, key, cents(chain.amount), first.post_date)
        elif first.post_date == last:
            docket.spare("UC-02", row.site, key, first.post_date, "on the last day in time")
        elif any(other.post_date > last for other in chain.rows):
            docket.spare("UC-02", row.site, key, first.post_date, "reposted later, first posted in time")

    # -------------------------------------------------------------------------------------------------------- UC-06

    def _judge_revenue_code(self, chain: Chain, docket: Docket) -> None:
        row = chain.current
        code = four_digits(row.revenue_code)
        item = self._supplies.get(row.supply_id or "")
        is_implant = bool(row.implant_id) or (item is not None and item.item_class == "IMPLANT")
        default = self._default_code(row.charge_code)
        key = f"charge={chain.root}"
        is_wrong = code not in IMPLANT_CODES if is_implant else (code, default) == (GENERAL, STERILE)
        if is_wrong:
            docket.fire("UC-06", row.site, key, cents(0), row.post_date)
        elif default and code != default:
            docket.spare("UC-06", row.site, key, row.post_date, "overridden by a code that may be")

    def _default_code(self, charge_code: str | None) -> str:
        rows = self._prices.get(charge_code or "")
        return four_digits(rows[-1].revenue_code) if rows else ""

    # -------------------------------------------------------------------------------------------------------- UC-08

    def _judge_price(self, chain: Chain, docket: Docket) -> None:
        row = chain.current
        if not row.charge_code:
            return
        key = f"charge={chain.root}"
        in_force = self._in_force(row.charge_code, row.service_date)
        if in_force is None:
            docket.fire("UC-08", row.site, key, cents(chain.amount), row.service_date)
            return
        later = self._in_force(row.charge_code, row.post_date)
        if later is None:
            docket.spare("UC-08", row.site, key, row.service_date, "the code ended after the service date")
        if in_force.price is None or in_force.price_method != "FIXED" or row.quantity == 0:
            return
        expected = half_up(Fraction(in_force.price) * Fraction(row.quantity))
        if row.amount != expected:
            difference = Fraction(row.amount) - Fraction(in_force.price) * Fraction(row.quantity)
            docket.fire("UC-08", row.site, key, cents(difference), row.service_date)
        elif later is not None and later.price != in_force.price:
            docket.spare("UC-08", row.site, key, row.service_date, "the price changed after the service date")

    def _in_force(self, charge_code: str, day: date) -> ChargePrice | None:
        """The row of the charge master that is active on the day."""
        row = self._view.prices.row(charge_code, day)
        return row if row is not None and row.is_active else None

    # -------------------------------------------------------------------------------------------------------- UC-12

    def _judge_credits(self, rows: list[ChargeTransaction], as_of: date, docket: Docket) -> None:
        for row in rows:
            if row.quantity >= 0 and row.amount >= 0 and not row.reverses and not row.credits:
                continue
            original = row.reverses or row.credits or row.corrects or row.reposts
            key = f"charge={row.tx_id}"
            found = self._charges.versions.get(original or "")
            if found is not None and found.at(as_of) is not None:
                if row.credits:
                    docket.spare("UC-12", row.site, key, row.post_date, "names a charge on file")
            elif as_of >= row.post_date + CREDIT_MATURITY:
                docket.fire("UC-12", row.site, key, cents(row.amount), row.post_date)

    # -------------------------------------------------------------------------------------------------------- UC-13

    def _judge_account(self, chain: Chain, as_of: date, docket: Docket) -> None:
        row = chain.current
        case = self._view.case(row.log_id, as_of) if row.log_id else None
        if case is None:
            return
        key = f"charge={chain.root}"
        survivor = self._charges.accounts.survivor
        if survivor(row.account, as_of) != survivor(case.account, as_of):
            docket.fire("UC-13", case.site, key, cents(chain.amount), row.post_date)
        elif any(other.account != row.account for other in chain.rows):
            docket.spare("UC-13", case.site, key, row.post_date, "transferred to the account of the case")
        elif row.account != case.account:
            docket.spare("UC-13", case.site, key, row.post_date, "combined account")


def four_digits(revenue_code: str | None) -> str:
    """A revenue code with its leading zero."""
    return revenue_code.strip().zfill(4) if revenue_code and revenue_code.strip() else ""
