"""Subledgers against their control accounts (GL-01, GL-02, GL-03), charges against revenue (GL-13).

Here: what the rows of every batch do to an account, the ledger's balance of it, what explains a difference.
Not here: whether a batch arrived in the ledger (batches), the journals themselves (journals).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial

from ingest.simulator.events import ReceiptLine
from ingest.simulator.oracle.batches import Batch, Batches, BatchSides, batch_of
from ingest.simulator.oracle.calendar import DAY
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.payables import Billed, OrderHistory, PayableRules
from ingest.simulator.oracle.tolerance import cents, half_up, is_beyond
from ingest.simulator.oracle.view import Versions, View

NOTHING = Decimal(0)
LEGACY = "erp_lawson"
RECEIPTS = {"erp_lawson": ("PO", ""), "erp_fusion": ("Receipt Accounting", "Receiving")}
INVOICES = {"erp_lawson": ("AP", ""), "erp_fusion": ("Payables", "Purchase Invoices")}
UNMATCHED = "2way"
REVENUE = ("PATIENT_REV_IP", "PATIENT_REV_OP")
CHARGE = "E18"
REVENUE_SHARE = Fraction(1, 1000)

Row = tuple[Batch, date, Decimal]  # batch, date known, amount by which the account grows


@dataclass(frozen=True, slots=True)
class ControlAccount:
    """A control account and the rule that ties it; a debt grows with credits."""

    rule_id: str
    role: str
    is_debt: bool

    def amount(self, debit: Decimal, credit: Decimal) -> Decimal:
        """By how much the account grows."""
        return credit - debit if self.is_debt else debit - credit


INVENTORY = ControlAccount("GL-01", "INV_ASSET", False)
ACCRUAL = ControlAccount("GL-02", "GRNI", True)
PAYABLES = ControlAccount("GL-03", "AP_CONTROL", True)


@dataclass(slots=True)
class Course:
    """How the unexplained amount of a site and month grows, and when something explains a part of it."""

    steps: dict[date, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    explained: set[date] = field(default_factory=set)


def month_end(day: date) -> date:
    """Last day of the month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - DAY


class ControlAccountRules:
    """The tie-outs over one view of the world."""

    def __init__(self, view: View, book: Book, payables: PayableRules, batches: Batches) -> None:
        self._view = view
        self._book = book
        self._payables = payables
        self._batches = batches

    def judge(self) -> None:
        """Follow all four rules to the end of the world."""
        self._tie(INVENTORY, self.posted_rows(INVENTORY))
        self._tie(ACCRUAL, self.accrual_rows())
        self._tie(PAYABLES, self.posted_rows(PAYABLES))
        self._judge_revenue()

    # --------------------------------------------------------------------------------------------------- GL-01 to 03

    def posted_rows(self, account: ControlAccount) -> Iterator[Row]:
        """What subledger rows post to an account: the value of stock, or of invoices and payments."""
        for sides in self._batches.sides.values():
            for known, row in sides.rows:
                debit = row.amount if row.debit_role == account.role else NOTHING
                credit = row.amount if row.credit_role == account.role else NOTHING
                if debit or credit:
                    yield batch_of(row), known, account.amount(debit, credit)

    def _tie(self, account: ControlAccount, rows: Iterable[Row]) -> None:
        owned: dict[Batch, list[tuple[date, Decimal]]] = defaultdict(list)
        for batch, known, amount in rows:
            owned[batch].append((known, amount))
        courses: dict[tuple[str, date], Course] = defaultdict(Course)
        for known, line in self._manual_lines(account.role):
            courses[line[0], line[1]].explained.add(known)
        for batch in dict.fromkeys((*self._batches.sides, *owned)):
            sides = self._batches.sides.get(batch) or BatchSides()
            touched = any(line.role == account.role for lines in sides.lines.values() for _, line in lines.rows)
            if not touched and batch not in owned:
                continue
            course = courses[batch.site, batch.posting_date.replace(day=1)]
            before = NOTHING
            for day in sorted(sides.dates() | {known for known, _ in owned[batch]}):
                left = self._unexplained(account, owned[batch], sides, day)
                if left is None:
                    course.explained.add(day)
                course.steps[day] += (left or NOTHING) - before
                before = left or NOTHING
        for (site, month), course in courses.items():
            dates = {*course.steps, *course.explained, self._book.until}
            self._book.follow(dates, partial(self._tie_of, account.rule_id, site, month, course))

    def _manual_lines(self, role: str) -> Iterator[tuple[date, tuple[str, date]]]:
        for line in self._view.world.journal_lines:
            if line.is_manual and line.is_posted and line.role == role:
                known = self._view.deliveries.known_on(line.erp, line.known_at)
                yield known, (line.site, line.posting_date.replace(day=1))

    @staticmethod
    def _unexplained(
        account: ControlAccount, rows: list[tuple[date, Decimal]], sides: BatchSides, as_of: date
    ) -> Decimal | None:
        """Subledger less ledger, as known; None while the ledger has not posted the batch, or not all of it."""
        if not sides.is_whole(as_of):
            return None
        grown = sum((amount for known, amount in rows if known <= as_of), NOTHING)
        booked = (account.amount(line.debit, line.credit) for line in sides.posted(as_of) if line.role == account.role)
        return grown - sum(booked, NOTHING)

    @staticmethod
    def _tie_of(rule_id: str, site: str, month: date, course: Course, as_of: date, docket: Docket) -> None:
        if as_of < month:
            return
        key = f"facility={site}|period={month:%Y-%m}"
        day = min(month_end(month), as_of)
        amount = sum((step for when, step in course.steps.items() if when <= as_of), NOTHING)
        if is_beyond("gl_tie_out", amount, 0):
            docket.fire(rule_id, site, key, cents(amount), day)
        elif any(when <= as_of for when in course.explained):
            docket.spare_for_now(rule_id, site, key, day, "manual journal, or batch not in the ledger yet")

    # ------------------------------------------------------------------------------------------- the accrual (GL-02)

    def accrual_rows(self) -> Iterator[Row]:
        """What receipts and invoices do to the accrual of their order lines, at the order price."""
        for history in self._payables.histories.values():
            yield from self._accrual_of(history)

    def _accrual_of(self, history: OrderHistory) -> Iterator[Row]:
        """The accrual of one order line; the invoice that completes the line clears what is left of it."""
        order = history.order.rows[-1][1] if history.order.rows else None
        known_on = self._view.deliveries.known_on
        if order is None:
            # Without an order a legacy receipt is worth its own unit cost.
            for receipts in history.receipts.values():
                last = receipts.rows[-1][1]
                if last.erp == LEGACY and last.is_released:
                    batch = Batch(last.site, RECEIPTS[LEGACY][0], last.posting_date)
                    yield batch, known_on(LEGACY, last.known_at), last.amount
            return
        if order.match_basis == UNMATCHED:
            return
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
                source, category = RECEIPTS[move.erp]
                batch = Batch(move.site, source, move.posting_date, category)
                yield batch, known_on(move.erp, move.known_at), move.amount
                continue
            quantity = move.line.quantity_each
            invoiced += quantity
            amount = half_up(Fraction(quantity) / Fraction(order.each_per_uom) * Fraction(order.unit_price))
            wanted = self._still_ordered(history, moment)
            if quantity > 0 and invoiced == received == wanted:
                amount = accrued
            accrued -= amount
            source, category = INVOICES[move.header.erp]
            batch = Batch(move.header.site, source, move.header.posting_date, category)
            yield batch, known_on(move.header.erp, move.header.known_at), -amount

    @staticmethod
    def _still_ordered(history: OrderHistory, moment: datetime) -> Decimal:
        """EACH ordered and not cancelled at a moment."""
        orders = [row for _, row in history.order.rows]
        current = max(
            (row for row in orders if row.known_at <= moment), key=lambda row: row.known_at, default=orders[0]
        )
        return current.ordered_each - current.cancelled_each

    # -------------------------------------------------------------------------------------------------------- GL-13

    def _judge_revenue(self) -> None:
        """Both sides by post date; the day before the as-of date is the last that both have in full."""
        known_on = self._view.deliveries.known_on
        charged: dict[tuple[str, date], list[tuple[date, date, Decimal]]] = defaultdict(list)
        for sides in self._batches.sides.values():
            for known, row in sides.rows:
                if row.event == CHARGE:
                    month = row.posting_date.replace(day=1)
                    charged[row.site, month].append((row.posting_date, known, row.amount))
        booked: dict[tuple[str, date], dict[tuple[str, int], Versions[tuple[date, Decimal]]]] = defaultdict(dict)
        for line in self._view.world.journal_lines:
            if line.role in REVENUE and line.is_posted:
                journals = booked[line.site, line.posting_date.replace(day=1)]
                versions = journals.setdefault((line.journal, line.line), Versions())
                versions.add(known_on(line.erp, line.known_at), (line.posting_date, line.credit - line.debit))
        for site, month in sorted({*charged, *booked}):
            charges, lines = charged[site, month], list(booked[site, month].values())
            dates = {known for _, known, _ in charges} | {day for versions in lines for day in versions.dates()}
            dates |= {day + DAY for day, _, _ in charges} | {self._book.until}
            self._book.follow(dates, partial(self._revenue_of, site, month, charges, lines))

    @staticmethod
    def _revenue_of(
        site: str,
        month: date,
        charges: list[tuple[date, date, Decimal]],
        lines: list[Versions[tuple[date, Decimal]]],
        as_of: date,
        docket: Docket,
    ) -> None:
        charged = sum((amount for day, known, amount in charges if day < as_of and known <= as_of), NOTHING)
        shown = (versions.at(as_of) for versions in lines)
        booked = sum((line[1] for line in shown if line is not None and line[0] < as_of), NOTHING)
        difference = charged - booked
        key = f"facility={site}|period={month:%Y-%m}"
        day = min(month_end(month), as_of)
        if abs(Fraction(difference)) > REVENUE_SHARE * abs(Fraction(charged)):
            docket.fire("GL-13", site, key, cents(difference), day)
        elif difference:
            docket.spare("GL-13", site, key, day, "within a thousandth of the charges")
