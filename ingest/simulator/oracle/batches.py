"""Batches: what a subledger hands to the ledger for one day, and what arrives there (GL-10).

Here: subledger rows and journal lines of every batch as known, which batches are missing or arrive with other totals.
Not here: what the batches do to a control account (control_accounts).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from ingest.simulator.events import JournalLine, Posting
from ingest.simulator.oracle.calendar import DAY
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents, is_beyond
from ingest.simulator.oracle.view import Versions, View

NOTHING = Decimal(0)
LEGACY = "erp_lawson"
SOURCES = {
    "RA": "Receipt Accounting",
    "CA": "Cost Accounting",
    "PAY": "Payables",
    "IC": "Intercompany",
    "HB": "SHS HB",
    "CV": "Conversion",
    "MAN": "Manual",
}
PAYABLES = ("AP", "Payables")
NO_SUBLEDGER = ("Manual", "GL", "GL-AC", "GL-IC")


class Batch(NamedTuple):
    """What one subledger hands to the ledger of one site for one day; in the cloud one category is one batch."""

    site: str
    source: str
    posting_date: date
    category: str = ""


@dataclass(slots=True)
class BatchSides:
    """Both sides of a batch, by the date on which a delivery first carries them."""

    rows: list[tuple[date, Posting]] = field(default_factory=list)
    lines: dict[tuple[str, int], Versions[JournalLine]] = field(default_factory=dict)  # all lines of its journals

    def dates(self) -> set[date]:
        """Dates on which anything of the batch becomes known."""
        return {known for known, _ in self.rows} | {day for line in self.lines.values() for day in line.dates()}

    def known_lines(self, as_of: date) -> list[JournalLine]:
        """Journal lines as the ledger shows them."""
        known = (versions.at(as_of) for versions in self.lines.values())
        return [line for line in known if line is not None]

    def posted(self, as_of: date) -> list[JournalLine]:
        """Journal lines that count."""
        return [line for line in self.known_lines(as_of) if line.is_posted]

    def total(self, as_of: date) -> Decimal:
        """Debits of the subledger's rows; a negative row swaps its sides."""
        return sum((abs(row.amount) for known, row in self.rows if known <= as_of), NOTHING)

    def is_whole(self, as_of: date) -> bool:
        """Whether the ledger has posted the batch, and all of it."""
        posted = self.posted(as_of)
        return bool(posted) and not is_beyond("invoice_header", self.total(as_of) - _debits(posted), 0)


def _debits(lines: list[JournalLine]) -> Decimal:
    return sum((line.debit for line in lines), NOTHING)


def batch_of(row: Posting) -> Batch:
    """The batch of a subledger row."""
    if row.erp == LEGACY:
        return Batch(row.site, row.system, row.posting_date)
    return Batch(row.site, SOURCES[row.system], row.posting_date, row.category)


class Batches:
    """All batches of the world, and the rule that judges them."""

    def __init__(self, view: View, book: Book) -> None:
        """Gather rows and lines; manual journals belong to no batch."""
        self._view = view
        self._book = book
        self.sides: dict[Batch, BatchSides] = defaultdict(BatchSides)
        known_on = view.deliveries.known_on
        for row in view.world.postings:
            system = "hb" if row.subledger == "HB" else row.erp
            self.sides[batch_of(row)].rows.append((known_on(system, row.known_at), row))
        for line in view.world.journal_lines:
            if not line.is_manual:
                sides = self.sides[Batch(line.site, line.source, line.posting_date, line.category)]
                known = known_on(line.erp, line.known_at)
                sides.lines.setdefault((line.journal, line.line), Versions()).add(known, line)

    def judge(self) -> None:
        """Follow every batch of a subledger to the end of the world (GL-10)."""
        for batch, sides in self.sides.items():
            if batch.source in NO_SUBLEDGER:
                continue
            dates = {day for day in sides.dates() if day >= batch.posting_date + DAY} | {batch.posting_date + DAY}
            self._book.follow(dates, partial(self._judge, batch, sides))

    def _judge(self, batch: Batch, sides: BatchSides, as_of: date, docket: Docket) -> None:
        if as_of < batch.posting_date + DAY:
            return
        for name, difference in self._differences(batch, sides, as_of):
            site = self._view.world.sites[batch.site]
            erp = LEGACY if not batch.category else "erp_fusion"
            key = f"system={erp}|batch={name}"
            if is_beyond("invoice_header", difference, 0):
                docket.fire("GL-10", site.code, key, cents(difference), batch.posting_date)
            elif erp == LEGACY and not sides.posted(as_of):
                docket.spare_for_now("GL-10", site.code, key, batch.posting_date, "imported, not posted yet")
            elif batch.source in PAYABLES and len({row.amount > 0 for known, row in sides.rows if known <= as_of}) > 1:
                docket.spare("GL-10", site.code, key, batch.posting_date, "rows of both signs, and their debits agree")

    def _differences(self, batch: Batch, sides: BatchSides, as_of: date) -> Iterator[tuple[str, Decimal]]:
        """Name of the batch and the largest difference between its totals."""
        site = self._view.world.sites[batch.site]
        known = [row for day, row in sides.rows if day <= as_of]
        lines = sides.known_lines(as_of)
        if not batch.category:
            total = sum((abs(row.amount) for row in known), NOTHING)
            yield f"{site.company}-{batch.source}-{batch.posting_date}", total - _debits(lines)
            return
        lost = sum((abs(row.amount) for row in known if row.is_withheld), NOTHING)
        if lost:
            yield f"{site.segment1}-{batch.source}-{batch.posting_date}", lost
        if lines:
            named = [row for row in known if not row.is_withheld]
            rows = sum((abs(row.amount) for row in named), NOTHING)
            referenced = sum((abs(_referenced(row)) for row in named), NOTHING)
            posted = _debits([line for line in lines if line.is_posted])
            yield lines[0].journal, max(rows, referenced, posted) - min(rows, referenced, posted)


def _referenced(row: Posting) -> Decimal:
    return row.amount if row.referenced_amount is None else row.referenced_amount
