"""Documents around a cut-over: in both ERPs (MIG-01), in the wrong one (MIG-02), without their order (MIG-04).

Here: every purchasing document, journal and stray inventory row against the system of record of its date and its order.
Not here: which system that is (record), duplicates that are none of these pairs (payables).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from ingest.simulator.accounts import inventory_transaction_id
from ingest.simulator.events import Invoice, JournalLine
from ingest.simulator.oracle.calendar import local_date
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.payables import PayableRules, number_key, sent_number
from ingest.simulator.oracle.record import SystemsOfRecord
from ingest.simulator.oracle.tolerance import cents
from ingest.simulator.oracle.view import Versions, View

LEGACY, CLOUD = "erp_lawson", "erp_fusion"
GROWN_UP = timedelta(days=2)
NOTHING = Decimal(0)
RUN_OFF_SYSTEMS = ("PO", "AP", "CV")
REVERSAL = "GL-AC"
REVENUE = ("HB", "SHS HB")


@dataclass(frozen=True, slots=True)
class Record:
    """A document as known: where it is, when it was made, what it is worth, the order that it names."""

    system: str
    site: str
    process: str
    name: str  # <EXTRACT>:<document>
    created: date
    business_date: date
    amount: Decimal
    order: str | None = None
    is_run_off: bool = False  # stays in the system that was left, whatever its order

    @property
    def key(self) -> str:
        """Entity key of MIG-02 and MIG-04."""
        return f"system={self.system}|record={self.name}"


@dataclass(frozen=True, slots=True)
class OrderOnFile:
    """An order of an ERP: when it was made and from which as-of date on it is known."""

    created: date
    known: date


class MigrationRules:
    """The rules of a cut-over over one view of the world."""

    def __init__(self, view: View, book: Book, payables: PayableRules) -> None:
        self._view = view
        self._book = book
        self._payables = payables
        self._record = SystemsOfRecord(view.world.reference.get("SYSTEM_OF_RECORD", ()))
        self._orders: dict[tuple[str, str], OrderOnFile] = {}
        for line in view.world.po_lines:
            known = view.deliveries.known_on(line.erp, line.known_at)
            self._orders.setdefault((line.erp, line.po_key), OrderOnFile(line.order_date, known))

    def judge(self) -> None:
        """Follow every document to the end of the world."""
        self._judge_pairs()
        records: dict[tuple[str, str, str], Versions[Record]] = defaultdict(Versions)
        for known, record in self._documents():
            records[record.system, record.site, record.name].add(known, record)
        for versions in records.values():
            named = [self._orders.get((row.system, row.order or "")) for _, row in versions.rows]
            dates = set(versions.dates()) | {row.business_date + GROWN_UP for _, row in versions.rows}
            dates |= {order.known for order in named if order is not None}
            self._book.follow(dates, partial(self._judge, versions))

    # -------------------------------------------------------------------------------------------------------- MIG-01

    def _judge_pairs(self) -> None:
        groups: dict[tuple[str, str, Decimal, str], list[Versions[Invoice]]] = defaultdict(list)
        for versions in self._payables.headers.values():
            last = versions.rows[-1][1]
            groups[last.site, last.supplier_id, last.amount, number_key(sent_number(last))].append(versions)
        for members in groups.values():
            if len({versions.rows[-1][1].erp for versions in members}) > 1:
                dates = {day for versions in members for day in versions.dates()}
                self._book.follow(dates, partial(self._pairs_of, members))

    @staticmethod
    def _pairs_of(members: list[Versions[Invoice]], as_of: date, docket: Docket) -> None:
        known = [invoice for invoice in (versions.at(as_of) for versions in members) if invoice is not None]
        for cloud in (invoice for invoice in known if invoice.erp == CLOUD):
            for legacy in (invoice for invoice in known if invoice.erp == LEGACY):
                key = f"fusion={cloud.supplier_no}/{cloud.number}|lawson={legacy.supplier_no}/{legacy.number}"
                if cloud.is_cancelled or legacy.is_cancelled:
                    docket.spare("MIG-01", cloud.site, key, cloud.invoice_date, "cancelled in one of them")
                else:
                    docket.fire("MIG-01", cloud.site, key, cents(cloud.amount), cloud.invoice_date)

    # ------------------------------------------------------------------------------------------------ MIG-02, MIG-04

    def _judge(self, versions: Versions[Record], as_of: date, docket: Docket) -> None:
        record = versions.at(as_of)
        if record is None:
            return
        order = self._orders.get((record.system, record.order or ""))
        if order is not None and order.known > as_of:
            order = None
        self._in_its_system(record, order, docket)
        if record.order is None or record.process not in ("receipt", "ap_invoice"):
            return
        if order is None and as_of >= record.business_date + GROWN_UP:
            docket.fire("MIG-04", record.site, record.key, cents(record.amount), record.business_date)

    def _in_its_system(self, record: Record, order: OrderOnFile | None, docket: Docket) -> None:
        owner = self._record.of(record.site, record.process, record.created)
        if owner is None or owner == record.system:
            return
        if record.is_run_off:
            if record.process != "inventory":
                docket.spare("MIG-02", record.site, record.key, record.business_date, "run-off")
            return
        since = self._record.keeps_open_orders(record.site, record.process, record.system, record.created)
        if since is not None and order is not None and order.created < since:
            docket.spare(
                "MIG-02", record.site, record.key, record.business_date, "on an order made before the cut-over"
            )
            docket.spare("MIG-04", record.site, record.key, record.business_date, "its order is in its own system")
            return
        docket.fire("MIG-02", record.site, record.key, cents(record.amount), record.business_date)

    # ----------------------------------------------------------------------------------------------------- documents

    def _documents(self) -> Iterator[tuple[date, Record]]:
        yield from self._order_documents()
        yield from self._receipts()
        yield from self._invoices()
        yield from self._inventory()
        yield from self._journals()

    def _order_documents(self) -> Iterator[tuple[date, Record]]:
        known_on = self._view.deliveries.known_on
        amounts: dict[tuple[str, str], dict[int, Decimal]] = defaultdict(dict)
        for line in self._view.world.po_lines:
            lines = amounts[line.erp, line.po_key]
            lines[line.line] = line.amount
            name = f"{'PURCHORDER' if line.erp == LEGACY else 'PO_HEADERS'}:{line.po_key}"
            total = sum(lines.values(), NOTHING)
            yield (
                known_on(line.erp, line.known_at),
                Record(line.erp, line.site, "purchase_order", name, line.order_date, line.order_date, total),
            )

    def _receipts(self) -> Iterator[tuple[date, Record]]:
        for row in self._view.world.receipts:
            name = f"{'PORECLINE' if row.erp == LEGACY else 'RCV_TRANSACTIONS'}:{row.receipt_key}"
            day = row.receipt_date
            yield (
                self._view.deliveries.known_on(row.erp, row.known_at),
                Record(row.erp, row.site, "receipt", name, day, day, row.amount, row.po_key),
            )

    def _invoices(self) -> Iterator[tuple[date, Record]]:
        for row in self._view.world.invoices:
            extract = "APINVOICE" if row.erp == LEGACY else "AP_INVOICE_HEADERS"
            name = f"{extract}:{row.supplier_no}/{row.number}"
            yield (
                self._view.deliveries.known_on(row.erp, row.known_at),
                Record(
                    row.erp, row.site, "ap_invoice", name, local_date(row.created_at), row.invoice_date, row.amount,
                    row.po_key,
                ),
            )  # fmt: skip

    def _inventory(self) -> Iterator[tuple[date, Record]]:
        """Rows that stand for no movement; those that do are made in the ERP of their posting date."""
        for row in self._view.world.inventory_rows:
            name = f"ICTRANS:{row.document}"
            if row.erp == CLOUD:
                name = f"INV_TRANSACTIONS:{inventory_transaction_id(row.document)}"
            yield (
                self._view.deliveries.known_on(row.erp, row.known_at),
                Record(
                    row.erp, row.site, "inventory", name, row.posted_on, row.posted_on, row.amount,
                    is_run_off=row.is_conversion,
                ),
            )  # fmt: skip

    def _journals(self) -> Iterator[tuple[date, Record]]:
        """Journals with their debits; the ERP that was left keeps those of old orders and of the last accrual."""
        lines: dict[tuple[str, str, str], dict[int, JournalLine]] = defaultdict(dict)
        for line in self._view.world.journal_lines:
            journal = lines[line.erp, line.balancing_segment, line.journal]
            journal[line.line] = line
            process = "revenue_gl" if line.source in REVENUE else "gl"
            kept = line.source in RUN_OFF_SYSTEMS or (line.source == REVERSAL and line.posting_date.day == 1)
            yield (
                self._view.deliveries.known_on(line.erp, line.known_at),
                Record(
                    line.erp,
                    line.site,
                    process,
                    f"{'GLTRANS' if line.erp == LEGACY else 'GL_JE_HEADERS'}:{line.journal}",
                    line.posting_date,
                    line.posting_date,
                    sum((entry.debit for entry in journal.values()), NOTHING),
                    is_run_off=kept and line.erp == LEGACY,
                ),
            )
