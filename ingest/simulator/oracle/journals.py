"""Journals and balances: balance (GL-05), mapping (GL-06), manual entries (GL-08), roll-forward (GL-14).

Here: sums of journals by balancing segment, account strings without a mapping, manual lines on control accounts,
opening and closing balances against what was posted.
Not here: what a journal should hold (control_accounts, batches).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from ingest.simulator.events import AccountBalance, JournalLine
from ingest.simulator.oracle.control_accounts import month_end
from ingest.simulator.oracle.costs import in_force
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents
from ingest.simulator.oracle.view import Versions, View

NOTHING = Decimal(0)
LEGACY = "erp_lawson"
RESTATED = timedelta(days=1)
CONTROL_ROLES = ("INV_ASSET", "GRNI", "AP_CONTROL")
ACCRUED = "BILLONLY_ACCRUAL"


class Mapping(NamedTuple):
    """A row of a map with the date on which a delivery first carries it."""

    known: date
    row: dict[str, str]

    def holds(self, day: date, as_of: date) -> bool:
        """Whether the row maps what is posted on the day, as known."""
        return self.known <= as_of and self.row.get("status", "mapped") == "mapped" and in_force(self.row, day)


class JournalRules:
    """The rules of journals and balances over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        self._lines: list[tuple[date, JournalLine]] = [
            (view.deliveries.known_on(line.erp, line.known_at), line) for line in view.world.journal_lines
        ]

    def judge(self) -> None:
        """Follow all rules to the end of the world."""
        self._judge_balance()
        self._judge_mapping()
        self._judge_manual()
        self._judge_roll_forward()

    # -------------------------------------------------------------------------------------------------------- GL-05

    def _judge_balance(self) -> None:
        journals: dict[tuple[str, str, str], list[tuple[date, JournalLine]]] = defaultdict(list)
        for known, line in self._lines:
            journals[line.ledger, line.journal, line.balancing_segment].append((known, line))
        for (ledger, journal, _), lines in journals.items():
            key = f"ledger={ledger}|journal={journal}"
            self._book.follow({known for known, _ in lines}, partial(self._balance_of, key, lines))

    @staticmethod
    def _balance_of(key: str, lines: list[tuple[date, JournalLine]], as_of: date, docket: Docket) -> None:
        latest: dict[int, JournalLine] = {}
        for known, line in lines:
            if known <= as_of:
                latest[line.line] = line
        difference = sum((line.debit - line.credit for line in latest.values()), NOTHING)
        if difference and latest:
            first = next(iter(latest.values()))
            docket.fire("GL-05", first.site, key, cents(difference), first.posting_date)

    # -------------------------------------------------------------------------------------------------------- GL-06

    def _judge_mapping(self) -> None:
        accounts = [(date.min, row) for row in self._view.world.reference.get("COA_MAP", ())]
        units = [(date.min, row) for row in self._view.world.reference.get("COST_CENTER_MAP", ())]
        for known, extract, row in self._view.world.late_reference:
            {"COA_MAP": accounts, "COST_CENTER_MAP": units}.get(extract, []).append((known, row))
        by_account: dict[str, list[Mapping]] = defaultdict(list)
        for known, row in accounts:
            by_account[f"{row['legacy_account']}-{row['legacy_sub']}"].append(Mapping(known, row))
        by_unit: dict[str, list[Mapping]] = defaultdict(list)
        for known, row in units:
            if row["source_system"] == LEGACY:
                by_unit[f"{row['scope']}-{row['source_code']}"].append(Mapping(known, row))
        strings: dict[tuple[str, str], dict[tuple[str, int], Versions[JournalLine]]] = defaultdict(dict)
        for known, line in self._lines:
            if line.erp == LEGACY and line.account:
                lines = strings[line.balancing_segment, line.account]
                lines.setdefault((line.journal, line.line), Versions()).add(known, line)
        for (company, string), lines in strings.items():
            unit, _, account = string.partition("-")
            maps = [by_account[account], by_unit[f"{company}-{unit}"]]
            posted = {line.posting_date for versions in lines.values() for _, line in versions.rows}
            if all(any(mapping.holds(day, date.min) for mapping in rows) for rows in maps for day in posted):
                continue
            dates = {day for versions in lines.values() for day in versions.dates()}
            dates |= {mapping.known for rows in maps for mapping in rows if mapping.known > date.min}
            key = f"company={company}|account={string}"
            self._book.follow(dates, partial(self._mapping_of, key, list(lines.values()), maps))

    @staticmethod
    def _mapping_of(
        key: str, lines: list[Versions[JournalLine]], maps: list[list[Mapping]], as_of: date, docket: Docket
    ) -> None:
        shown = [line for line in (versions.at(as_of) for versions in lines) if line is not None and line.is_posted]
        unmapped = [
            line
            for line in shown
            if not all(any(mapping.holds(line.posting_date, as_of) for mapping in rows) for rows in maps)
        ]
        if unmapped:
            amount = sum((line.debit - line.credit for line in unmapped), NOTHING)
            docket.fire("GL-06", unmapped[0].site, key, cents(amount), max(line.posting_date for line in unmapped))

    # -------------------------------------------------------------------------------------------------------- GL-08

    def _judge_manual(self) -> None:
        entered: dict[tuple[str, str, int], Versions[JournalLine]] = defaultdict(Versions)
        for known, line in self._lines:
            if (line.is_manual and line.role in CONTROL_ROLES) or line.role == ACCRUED:
                entered[line.ledger, line.journal, line.line].add(known, line)
        for versions in entered.values():
            self._book.follow(versions.dates(), partial(self._manual_of, versions))

    @staticmethod
    def _manual_of(versions: Versions[JournalLine], as_of: date, docket: Docket) -> None:
        line = versions.at(as_of)
        if line is None or not line.is_posted:
            return
        key = f"ledger={line.ledger}|journal={line.journal}|line={line.line}"
        amount = line.debit - line.credit
        if not line.is_manual or line.role == ACCRUED:
            docket.spare("GL-08", line.site, key, line.posting_date, "accrual of implants, or its reversal")
        elif amount:
            docket.fire("GL-08", line.site, key, cents(amount), line.posting_date)

    # -------------------------------------------------------------------------------------------------------- GL-14

    def _judge_roll_forward(self) -> None:
        stated: dict[tuple[str, str], dict[date, Versions[AccountBalance]]] = defaultdict(dict)
        for balance in self._view.world.balances:
            known = self._view.deliveries.known_on(balance.erp, balance.known_at)
            months = stated[balance.ledger, balance.account]
            months.setdefault(balance.month, Versions()).add(known, balance)
        posted: dict[tuple[str, str, date], dict[tuple[str, int], Versions[JournalLine]]] = defaultdict(dict)
        for known, line in self._lines:
            lines = posted[line.ledger, line.account, line.posting_date.replace(day=1)]
            lines.setdefault((line.journal, line.line), Versions()).add(known, line)
        for (ledger, account), months in stated.items():
            for month, versions in months.items():
                following = months.get(_next_month(month))
                activity = posted[ledger, account, month]
                dates = set(versions.dates()) | set(following.dates() if following else ())
                dates |= {day for line in activity.values() for day in line.dates()}
                self._book.follow(dates, partial(self._roll_of, versions, following, list(activity.values())))

    @staticmethod
    def _roll_of(
        versions: Versions[AccountBalance],
        following: Versions[AccountBalance] | None,
        lines: list[Versions[JournalLine]],
        as_of: date,
        docket: Docket,
    ) -> None:
        balance = versions.at(as_of)
        if balance is None:
            return
        shown = (line.at(as_of) for line in lines)
        activity = sum((line.debit - line.credit for line in shown if line is not None and line.is_posted), NOTHING)
        rolled = balance.opening + activity
        differences = [balance.opening + balance.net - rolled]
        after = following.at(as_of) if following else None
        closes_year = after is not None and after.opens_year and (after.is_income or after.role == "FUND_BALANCE")
        if after is not None and not closes_year:
            differences.append(after.opening - rolled)
        difference = max(differences, key=abs)
        key = f"ledger={balance.ledger}|account={balance.account}|period={balance.period}"
        day = min(month_end(balance.month), as_of)
        if difference:
            docket.fire("GL-14", balance.site, key, cents(difference), day)
        elif any(known > month_end(balance.month) + RESTATED for known in versions.dates() if known <= as_of):
            docket.spare("GL-14", balance.site, key, day, "posted to after its end, and rolled forward again")


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
