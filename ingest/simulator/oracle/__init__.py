"""The oracle: what a right warehouse finds in the deliveries of a simulated world, and when.

Here: the first rules of the catalogue evaluated in plain Python over the events of the world, and the answer key.
Not here: how the world comes about (the rest of the simulator). Nothing is shared with the pipeline but the rule files.
"""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

from ingest.simulator.events import World
from ingest.simulator.oracle.arrivals import ArrivalRules
from ingest.simulator.oracle.batches import Batches
from ingest.simulator.oracle.bill_only import BillOnlyRules
from ingest.simulator.oracle.case_costs import CaseCostRules
from ingest.simulator.oracle.charge_audit import ChargeAudit
from ingest.simulator.oracle.charges import Accounts, ChargeRules
from ingest.simulator.oracle.contract_prices import ContractRules
from ingest.simulator.oracle.control_accounts import ControlAccountRules
from ingest.simulator.oracle.conversions import ConversionRules
from ingest.simulator.oracle.credits import CreditRules
from ingest.simulator.oracle.cut_off import CutOffRules
from ingest.simulator.oracle.devices import DeviceRules
from ingest.simulator.oracle.docket import Book, Entity, Finding
from ingest.simulator.oracle.feeds import FeedRules
from ingest.simulator.oracle.identifiers import IdentifierRules
from ingest.simulator.oracle.invoices import InvoiceRules
from ingest.simulator.oracle.item_amounts import ItemAmounts
from ingest.simulator.oracle.item_life import ItemLifeRules
from ingest.simulator.oracle.journals import JournalRules
from ingest.simulator.oracle.master_data import MasterDataRules
from ingest.simulator.oracle.migration import MigrationRules
from ingest.simulator.oracle.order_lines import OrderLineRules
from ingest.simulator.oracle.orders import OrderRules
from ingest.simulator.oracle.payables import PayableRules
from ingest.simulator.oracle.stock import StockRules
from ingest.simulator.oracle.supplier_documents import SupplierDocumentRules
from ingest.simulator.oracle.transfers import TransferRules
from ingest.simulator.oracle.usage import UsageRules
from ingest.simulator.oracle.view import View

COLUMNS = (
    "rule_id",
    "facility_id",
    "entity_key",
    "impact_amount",
    "business_date",
    "detected_as_of",
    "near_miss",
    "cleared_as_of",
)
RULES = (
    "UI-01", "UI-02", "UI-05", "UI-06", "UI-09",
    "UC-01", "UC-02", "UC-03", "UC-04", "UC-05", "UC-06", "UC-08", "UC-09", "UC-10", "UC-11", "UC-12", "UC-13", "UC-16",
    "BO-01", "BO-02", "BO-03", "BO-07",
    "CP-01", "CP-02", "CP-04", "CP-08", "PA-02", "AS-01", "AS-02", "AS-03",
    "M3-01", "M3-02", "M3-03", "M3-04", "M3-05", "M3-06", "M3-07", "M3-10", "M3-13", "M3-14", "M3-15", "M3-16",
    "GL-01", "GL-02", "GL-03", "GL-05", "GL-06", "GL-07", "GL-08", "GL-09", "GL-10", "GL-13", "GL-14",
    "MIG-01", "MIG-02", "MIG-04",
    "MDM-01", "MDM-02", "MDM-03", "MDM-05", "MDM-06", "MDM-07", "MDM-10", "MDM-13",
    "STK-01", "STK-02", "STK-04", "STK-08",
    "INT-01", "INT-02", "INT-03", "INT-04", "INT-05", "INT-07",
)  # fmt: skip

__all__ = ["COLUMNS", "RULES", "Finding", "evaluate", "write_answer_key"]


def evaluate(world: World, until: date | None = None) -> list[Finding]:
    """Exceptions and near misses of the world at every as-of date up to `until`, by default its last folder date."""
    until = world.end if until is None else until
    view = View(world, until)
    book = Book(world.start, until)
    for site in world.sites:
        part = view.part(site)
        _judge_care(part, book)
        _judge_shelves(part, book)
        _judge_ledger(part, book)
    _judge_purchasing(view, book)
    _judge_items(view, book)
    TransferRules(view, book).judge()
    FeedRules(world, book).judge()
    ArrivalRules(view, book).judge()
    for planted in world.planted:
        if planted.is_near_miss and planted.rule_id in RULES:
            is_of_all = planted.rule_id.startswith(("INT", "MDM")) and planted.rule_id != "MDM-13"
            site = "SYS" if is_of_all else planted.site
            book.spare(Entity(planted.rule_id, site, planted.entity_key), until, planted.reason)
    return book.findings()


def _judge_care(view: View, book: Book) -> None:
    """Cases of a site: what was used, issued and charged."""
    UsageRules(view, book).judge()
    charges = ChargeRules(view, book)
    charges.judge()
    ChargeAudit(view, book, charges).judge()
    CaseCostRules(view, book).judge()


def _judge_shelves(view: View, book: Book) -> None:
    """Stock of a site, and the devices that were taken from it."""
    StockRules(view, book).judge()
    DeviceRules(view, book).judge()


def _judge_ledger(view: View, book: Book) -> None:
    """Books of a site."""
    batches = Batches(view, book)
    batches.judge()
    ControlAccountRules(view, book, PayableRules(view, book), batches).judge()
    JournalRules(view, book).judge()
    CutOffRules(view, book).judge()


def _judge_purchasing(view: View, book: Book) -> None:
    """Orders and invoices: a lot is looked for, and an invoice repeated, across sites."""
    orders = OrderRules(view, book)
    orders.judge()
    ContractRules(view, book, orders.lines).judge()
    BillOnlyRules(view, book, orders).judge()
    CreditRules(view, book, Accounts(view), orders).judge()
    payables = PayableRules(view, book)
    payables.judge()
    OrderLineRules(view, book, payables).judge()
    InvoiceRules(view, book, payables).judge()
    SupplierDocumentRules(view, book, payables).judge()
    MigrationRules(view, book, payables).judge()


def _judge_items(view: View, book: Book) -> None:
    """Master data, which all sites share."""
    amounts = ItemAmounts(view)
    MasterDataRules(view, book, amounts).judge()
    IdentifierRules(view, book, amounts).judge()
    ConversionRules(view, book, amounts).judge()
    ItemLifeRules(view, book, amounts).judge()


def write_answer_key(world: World, out: Path, until: date | None = None) -> list[Finding]:
    """Write `answer_key/exceptions.csv` below `out` and give its lines."""
    findings = evaluate(world, until)
    target = Path(out) / "answer_key" / "exceptions.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for finding in findings:
            writer.writerow(
                (
                    finding.rule_id,
                    finding.facility_id,
                    finding.entity_key,
                    finding.impact_amount,
                    finding.business_date,
                    finding.detected_as_of or "",
                    str(finding.near_miss).lower(),
                    finding.cleared_as_of or "",
                )
            )
    return findings
