"""Journals and balances while they grow: lines, entries, account strings' debits and credits by month.

Here: the records that the ledger and the people who keep it by hand share.
Not here: when they grow and how they are shown (ledger, manual_journals).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from ingest.simulator.accounts import LEDGER_ID, legacy_period
from ingest.simulator.events import BulkRows, Site

LEGACY = "erp_lawson"
CLOUD = "erp_fusion"
ZERO = Decimal(0)


@dataclass(slots=True)
class Line:
    """One line of a journal while it grows."""

    number: int
    account: tuple[object, ...]  # acct unit, account, sub; or the six segments
    role: str
    department: str
    site: str
    is_debit: bool
    amount: Decimal = ZERO
    to_company: int = 0


@dataclass(slots=True)
class Journal:
    """One journal."""

    erp: str
    site: Site
    source: str  # PO, IC, ..., GL-AC, GL-JE, cloud source
    category: str
    posting_date: date
    header_id: int
    control_group: int
    je_type: str = "N"
    is_manual: bool = False
    is_posted: bool = True
    reverses: int | None = None
    name: str = ""
    lines: dict[tuple[object, ...], Line] = field(default_factory=dict)
    changed: dict[int, Line] = field(default_factory=dict)
    references: list[tuple[int, str, str, Decimal]] = field(default_factory=list)  # line, table, key, signed amount
    bulk_references: list[tuple[int, str, BulkRows, int]] = field(default_factory=list)  # line, table, rows, side
    created_at: datetime | None = None

    @property
    def system(self) -> str:
        """Legacy SYSTEM."""
        return "GL" if self.source.startswith("GL-") else self.source

    @property
    def key(self) -> str:
        """Journal as entity keys write it."""
        if self.erp == CLOUD:
            return str(self.header_id)
        period = legacy_period(self.posting_date)
        return f"{period.year}-{period.number}-{self.control_group}-{self.system}-{self.je_type}-1"

    @property
    def ledger(self) -> str:
        """Ledger as entity keys write it."""
        return str(LEDGER_ID) if self.erp == CLOUD else str(self.site.company)

    @property
    def entity(self) -> str:
        """Entity key of the journal."""
        return f"ledger={self.ledger}|journal={self.key}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a journal: role, department, signed amount (debit positive)."""

    role: str
    department: str
    amount: Decimal
    event: str = ""
    counterparty: str | None = None  # site on the other side of DUE_FROM and DUE_TO
    account: tuple[object, ...] | None = None  # as typed by hand; None: by role and department
    referenced: Decimal | None = None  # signed amount of the import reference; None: the entry's


@dataclass(slots=True)
class Balance:
    """Debits and credits of one account string by month, and what it opened with."""

    role: str
    site: str
    account: tuple[object, ...]
    opening: Decimal = ZERO
    debits: dict[date, Decimal] = field(default_factory=dict)
    credits: dict[date, Decimal] = field(default_factory=dict)
    misrolled: dict[date, Decimal] = field(default_factory=dict)  # what opening balances are off by, since which month

    def add(self, month: date, is_debit: bool, amount: Decimal) -> None:
        """Add a posted amount to a month."""
        side = self.debits if is_debit else self.credits
        side[month] = side.get(month, ZERO) + amount

    def net(self, until: date, since: date | None = None) -> Decimal:
        """Debits less credits of the months before `until`, from `since` on."""
        total = sum(
            (value for month, value in self.debits.items() if month < until and (since is None or month >= since)), ZERO
        )
        return total - sum(
            (value for month, value in self.credits.items() if month < until and (since is None or month >= since)),
            ZERO,
        )

    def month_net(self, month: date) -> Decimal:
        """Debits less credits of one month."""
        return self.debits.get(month, ZERO) - self.credits.get(month, ZERO)
