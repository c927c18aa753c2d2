"""Ledgers: received not invoiced against the accrual account (GL-02), journals that do not balance (GL-05).

Here: the accrual of every order line from receipts and invoices, the ledger's balance of the account, what explains a
difference, sums of journals by balancing segment.
Not here: the match of invoices (payables).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from ingest.simulator.events import JournalLine, ReceiptLine
from ingest.simulator.oracle.calendar import DAY
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.payables import Billed, OrderHistory, PayableRules
from ingest.simulator.oracle.tolerance import cents, half_up, is_beyond
from ingest.simulator.oracle.view import Versions, View

ACCRUAL = "GRNI"
NOTHING = Decimal(0)
RECEIPTS = {"erp_lawson": "PO", "erp_fusion": "Receipt Accounting"}
INVOICES = {"erp_lawson": "AP", "erp_fusion": "Payables"}
UNMATCHED = "2way"


class Batch(NamedTuple):
    """What one subledger hands to the ledger of one site for one day."""

    site: str
    source: str
    posting_date: date


@dataclass(slots=True)
class BatchTotals:
    """The accrual of a batch on both sides, by the date on which a delivery first carries it."""

    rows: list[tuple[date, Decimal]] = field(default_factory=list)  # subledger, positive: more is owed
    lines: dict[tuple[str, int], Versions[JournalLine]] = field(default_factory=dict)  # all lines of its journals

    def dates(self) -> set[date]:
        """Dates on which anything of the batch becomes known."""
        return {known for known, _ in self.rows} | {day for line in self.lines.values() for day in line.dates()}

    def touches_accrual(self) -> bool:
        """Whether the batch has to do with the account at all."""
        return bool(self.rows) or any(line.role == ACCRUAL for lines in self.lines.values() for _, line in lines.rows)

    def unexplained(self, as_of: date) -> Decimal | None:
        """Subledger less ledger, as known; None while the ledger has no posted journal for the batch."""
        known = (versions.at(as_of) for versions in self.lines.values())
        posted = [line for line in known if line is not None and line.is_posted]
        if not posted:
            return None
        owed = sum((amount for day, amount in self.rows if day <= as_of), NOTHING)
        return owed - sum((line.credit - line.debit for line in posted if line.role == ACCRUAL), NOTHING)


@dataclass(slots=True)
class Course:
    """How the unexplained amount of a site and month grows, and when something explains a part of it."""

    steps: dict[date, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    explained: set[date] = field(default_factory=set)


def month_end(day: date) -> date:
    """Last day of the month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - DAY


class LedgerRules:
    """The rules of ledgers over one view of the world."""

    def __init__(self, view: View, book: Book, payables: PayableRules) -> None:
        self._view = view
        self._book = book
        self._payables = payables
        self._lines: list[tuple[date, JournalLine]] = [
            (view.deliveries.known_on(line.erp, line.known_at), line) for line in view.world.journal_lines
        ]

    def judge(self) -> None:
        """Follow both rules to the end of the world."""
        self._judge_balance()
        self._judge_accrual()

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

    # -------------------------------------------------------------------------------------------------------- GL-02

    def _judge_accrual(self) -> None:
        batches: dict[Batch, BatchTotals] = defaultdict(BatchTotals)
        courses: dict[tuple[str, date], Course] = defaultdict(Course)
        for history in self._payables.histories.values():
            for batch, known, amount in self._accrual_rows(history):
                batches[batch].rows.append((known, amount))
        for known, line in self._lines:
            if not line.is_manual:
                totals = batches[Batch(line.site, line.source, line.posting_date)]
                totals.lines.setdefault((line.journal, line.line), Versions()).add(known, line)
            elif line.role == ACCRUAL and line.is_posted:
                courses[line.site, line.posting_date.replace(day=1)].explained.add(known)
        for batch, totals in batches.items():
            if totals.touches_accrual():
                course = courses[batch.site, batch.posting_date.replace(day=1)]
                before = NOTHING
                for day in sorted(totals.dates()):
                    left = totals.unexplained(day)
                    if left is None:
                        course.explained.add(day)
                    course.steps[day] += (left or NOTHING) - before
                    before = left or NOTHING
        for (site, month), course in courses.items():
            dates = {*course.steps, *course.explained, self._book.until}
            self._book.follow(dates, partial(self._accrual_of, site, month, course))

    def _accrual_rows(self, history: OrderHistory) -> Iterator[tuple[Batch, date, Decimal]]:
        """What receipts and invoices do to the accrual of an order line, at the order price.

        The invoice that completes the line clears what is left of it.
        """
        order = history.order.rows[-1][1] if history.order.rows else None
        if order is None or order.match_basis == UNMATCHED:
            return
        known_on = self._view.deliveries.known_on
        moves: list[tuple[datetime, str, ReceiptLine | Billed]] = []
        for receipts in history.receipts.values():
            released = [row for _, row in receipts.rows if row.is_released]
            if released:
                moves.append((released[0].known_at, "receipt", released[-1]))
        for bill in self._payables.billed(history, date.max):
            moves.append((bill.header.created_at, "invoice", bill))
        accrued, received, invoiced = NOTHING, NOTHING, NOTHING
        for moment, _, move in sorted(moves, key=lambda move: move[:2]):
            if isinstance(move, ReceiptLine):
                received += move.quantity_each
                accrued += move.amount
                batch = Batch(move.site, RECEIPTS[move.erp], move.posting_date)
                yield batch, known_on(move.erp, move.known_at), move.amount
                continue
            quantity = move.line.quantity_each
            invoiced += quantity
            amount = half_up(Fraction(quantity) / Fraction(order.each_per_uom) * Fraction(order.unit_price))
            wanted = self._still_ordered(history, moment)
            if quantity > 0 and invoiced == received == wanted:
                amount = accrued
            accrued -= amount
            batch = Batch(move.header.site, INVOICES[move.header.erp], move.header.posting_date)
            yield batch, known_on(move.header.erp, move.header.known_at), -amount

    @staticmethod
    def _still_ordered(history: OrderHistory, moment: datetime) -> Decimal:
        """EACH ordered and not cancelled at a moment."""
        orders = [row for _, row in history.order.rows]
        current = max(
            (row for row in orders if row.known_at <= moment), key=lambda row: row.known_at, default=orders[0]
        )
        return current.ordered_each - current.cancelled_each

    @staticmethod
    def _accrual_of(site: str, month: date, course: Course, as_of: date, docket: Docket) -> None:
        if as_of < month:
            return
        key = f"facility={site}|period={month:%Y-%m}"
        day = min(month_end(month), as_of)
        amount = sum((step for when, step in course.steps.items() if when <= as_of), NOTHING)
        if is_beyond("gl_tie_out", amount, 0):
            docket.fire("GL-02", site, key, cents(amount), day)
        elif any(when <= as_of for when in course.explained):
            docket.spare_for_now("GL-02", site, key, day, "manual journal, or batch not in the ledger yet")
