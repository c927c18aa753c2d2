"""Cut-off: receipts, usage and invoices posted outside the period in which they happened (GL-07).

Here: event and posting dates of documents, whether the period of the event was still open when it landed.
Not here: which period a tie-out belongs to (control_accounts).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from ingest.simulator.accounts import inventory_transaction_id
from ingest.simulator.oracle.calendar import local_date
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents
from ingest.simulator.oracle.view import Versions, View

USAGE = ("E09", "E10", "E11")
LEGACY = "erp_lawson"


class Document(NamedTuple):
    """A document as known: when it happened, when the ledger posted it."""

    kind: str  # receipt, usage, invoice
    module: str  # of ref.PERIOD_CLOSE
    erp: str
    site: str
    key: str
    event_date: date
    posting_date: date
    entered: date
    amount: Decimal


class CutOffRules:
    """The rule of cut-off over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        self._closed = self._close_days()

    def _close_days(self) -> dict[tuple[str, str, date], date]:
        """Day on which an entity's module closed a month, by its first day."""
        world = self._view.world
        months = {
            (row["calendar_id"], row["fiscal_year"], row["period_num"]): date.fromisoformat(row["start_date"])
            for row in world.reference.get("FISCAL_CALENDAR", ())
            if row["is_adjustment"] != "Y"
        }
        closed = {}
        for row in world.reference.get("PERIOD_CLOSE", ()):
            month = months[row["calendar_id"], row["fiscal_year"], row["period_num"]]
            if row["status"] == "CLOSED":
                closed[row["entity"], row["module"], month] = local_date(datetime.fromisoformat(row["event_ts"]))
        return closed

    def judge(self) -> None:
        """Follow every document to the end of the world."""
        documents: dict[tuple[str, str, str], Versions[Document]] = defaultdict(Versions)
        landed: dict[tuple[str, str, str], date] = {}
        for known, first, document in (*self._receipts(), *self._invoices(), *self._usage()):
            key = document.kind, document.erp, document.key
            landed.setdefault(key, first)
            documents[key].add(known, document)
        for key, versions in documents.items():
            if any(_month(row.event_date) != _month(row.posting_date) or _is_late(row) for _, row in versions.rows):
                self._book.follow(versions.dates(), partial(self._judge, versions, landed[key]))

    def _judge(self, versions: Versions[Document], landed: date, as_of: date, docket: Docket) -> None:
        document = versions.at(as_of)
        if document is None:
            return
        key = f"type={document.kind}|key={document.key}"
        day = document.event_date
        if _month(day) == _month(document.posting_date):
            if _is_late(document):
                docket.spare("GL-07", document.site, key, day, "entered later, posted in its own period")
        elif self._was_open(document, landed):
            docket.fire("GL-07", document.site, key, cents(document.amount), day)
        else:
            docket.spare("GL-07", document.site, key, day, "its period was closed when it landed")

    def _was_open(self, document: Document, landed: date) -> bool:
        """Whether the period of the event had not been closed before the day of landing."""
        site = self._view.world.sites[document.site]
        entity = str(site.company) if document.erp == LEGACY else str(site.segment1)
        closed = self._closed.get((entity, document.module, _month(document.event_date)))
        return closed is None or landed <= closed

    # ---------------------------------------------------------------------------------------------------- documents

    def _receipts(self) -> Iterator[tuple[date, date, Document]]:
        first: dict[tuple[str, str], date] = {}
        for row in self._view.world.receipts:
            known = self._view.deliveries.known_on(row.erp, row.known_at)
            landed = first.setdefault((row.erp, row.receipt_key), known)
            if row.is_released:
                entered = local_date(row.known_at)
                yield known, landed, Document(
                    "receipt", "PO", row.erp, row.site, row.receipt_key, row.receipt_date, row.posting_date, entered,
                    row.amount,
                )  # fmt: skip

    def _invoices(self) -> Iterator[tuple[date, date, Document]]:
        for row in self._view.world.invoices:
            if row.is_cancelled:
                continue
            known = self._view.deliveries.known_on(row.erp, row.known_at)
            key = f"{row.supplier_no}/{row.number}"
            entered = local_date(row.created_at)
            yield (
                known,
                known,
                Document(
                    "invoice", "AP", row.erp, row.site, key, row.invoice_date, row.posting_date, entered, row.amount
                ),
            )

    def _usage(self) -> Iterator[tuple[date, date, Document]]:
        """Issues and returns that the ledger posts, with the date of their posting."""
        world, known_on = self._view.world, self._view.deliveries.known_on
        moved = {row.txn_id: row for row in world.movements if row.event in USAGE}
        for posting in world.postings:
            row = moved.get(posting.subledger_key) if posting.subledger == "INV" else None
            if row is None:
                continue
            happened = row.happened_at.date()
            if _month(happened) == _month(posting.posting_date):
                continue
            key = str(inventory_transaction_id(row.txn_id))
            if posting.erp == LEGACY:
                key = world.stock_documents.get(row.txn_id, row.txn_id)
            landed = known_on(posting.erp, row.posted_at)
            yield (
                known_on(posting.erp, posting.known_at),
                landed,
                Document(
                    "usage", "INV", posting.erp, row.site, key, happened, posting.posting_date, happened, posting.amount
                ),
            )


def _month(day: date) -> date:
    return day.replace(day=1)


def _is_late(document: Document) -> bool:
    """Whether a document was entered in a later month than it is posted in."""
    return _month(document.entered) > _month(document.posting_date)
