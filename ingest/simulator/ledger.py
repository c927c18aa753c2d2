"""Postings to journals in both ledgers, with their balances.

Here: journal lines, import references, account strings, periods, balances, the opening position, manual journals, and
what goes wrong in a ledger (GL-02, GL-05).
Not here: the subledger rows themselves (purchasing, stock, charging).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ingest.simulator.accounts import (
    BY_ROLE,
    CALENDAR,
    CDC_COMPANY,
    CLOUD_ACCOUNT_TYPE,
    INTERCOMPANY_ROLES,
    LEDGER_ID,
    Period,
    add_business_days,
    cloud_adjustment_period,
    cloud_period,
    cloud_segments,
    code_combination_id,
    department_at,
    inventory_transaction_id,
    is_business_day,
    legacy_account,
    legacy_period,
    month_end,
    site_acct_unit,
)
from ingest.simulator.chance import Chance, Stream
from ingest.simulator.columns import dollars, text
from ingest.simulator.delivery import Outbox, Row
from ingest.simulator.desk import CHICAGO, at
from ingest.simulator.events import BulkRows, JournalLine, Posting, Site, World
from ingest.simulator.legacy import waits_for_posting
from ingest.simulator.plan import DefectPlan

if TYPE_CHECKING:
    import polars as pl

LEGACY = "erp_lawson"
CLOUD = "erp_fusion"
ZERO = Decimal(0)
OPENING_CASH = Decimal(50000000)
CLOUD_SOURCES = {
    "RA": "Receipt Accounting",
    "CA": "Cost Accounting",
    "PAY": "Payables",
    "IC": "Intercompany",
    "HB": "SHS HB",
    "CV": "Conversion",
    "MAN": "Manual",
}
CODES = {"PO": "PO", "IC": "IC", "AP": "AP", "HB": "HB", "CV": "CV"}
RECEIVING_SYSTEMS = ("PO", "RA")
REFERENCE_TABLES = frozenset({"RCV", "INV", "AP_DIST", "AP_PAY", "HB", "TO"})
DEFECTIVE_SHARE = 0.6
LEAST_DEFECTIVE = 5
LEAST_CLEAN = 2
WRONG_ACCOUNT_FROM = Decimal(25)
MANUAL_WEEKDAYS = (0, 2, 3)
STATISTICS_SHARE = 0.1


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


@dataclass(slots=True)
class Balance:
    """Debits and credits of one account string by month, and what it opened with."""

    role: str
    site: str
    account: tuple[object, ...]
    opening: Decimal = ZERO
    debits: dict[date, Decimal] = field(default_factory=dict)
    credits: dict[date, Decimal] = field(default_factory=dict)

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


class Ledger:
    """The general ledgers of both ERPs."""

    def __init__(self, world: World, outbox: Outbox, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world; nothing happens until `opening`."""
        self.world = world
        self.outbox = outbox
        self.plan = plan
        self.chance = chance
        self._taken = 0
        self._held: list[int] = []  # places of postings that are not known yet
        self._delayed: set[int] = set()  # places of issues that waited a night for their posting (Q91)
        self._journals: dict[tuple[object, ...], Journal] = {}
        self._balances: dict[tuple[object, ...], Balance] = {}
        self._headers = 300000700000000
        self._groups: dict[str, int] = {}
        self._links = 300000710000000
        self._accruals: dict[str, int] = {}
        self._wrong: dict[tuple[str, date], date] = {}
        self._explained: dict[tuple[str, date], tuple[str, date]] = {}
        self._withheld: set[tuple[str, date]] = set()
        self._unposted: list[tuple[date, Journal]] = []
        self._steps: list[tuple[datetime, int, Callable[[], None]]] = []
        self._step_count = 0
        self._months_sent: set[date] = set()

    # ------------------------------------------------------------------------------------------------------- opening

    def opening(self) -> None:
        """Open the balances of the world's first day: stock, cash, and the fund balance on the other side."""
        world = self.world
        eve = world.start - timedelta(days=1)
        stock: dict[str, Decimal] = defaultdict(Decimal)
        for position in world.opening_stock:
            stock[position.site] += position.value
        for site in world.sites.values():
            for role, amount in (
                ("INV_ASSET", stock[site.code]),
                ("CASH", OPENING_CASH),
                ("FUND_BALANCE", -OPENING_CASH - stock[site.code]),
            ):
                self._balance(site, role, "0000", "").opening += amount
        if any(site.erp == LEGACY for site in world.sites.values()):
            self.outbox.snapshot(LEGACY, "GLAMOUNTS", self._legacy_amounts)
        if any(site.erp == CLOUD for site in world.sites.values()):
            self.outbox.snapshot(CLOUD, "GL_PERIODS", self._periods)
            self._send_account_strings(at(eve, 18))
            self._send_balances(world.start.replace(day=1), self._cloud_balances(), at(eve, 18))
            self._months_sent.add(world.start.replace(day=1))
        self._plan_accrual_defects()

    def _send_account_strings(self, moment: datetime) -> None:
        for site in self._sites(CLOUD):
            assert site.segment1 is not None
            sent = set()
            for role, account in BY_ROLE.items():
                for department in site.departments:
                    segments = cloud_segments(site.segment1, role, department_at(site, role, department))
                    if segments in sent or (role in INTERCOMPANY_ROLES and "CDC" in self.world.sites):
                        continue
                    sent.add(segments)
                    self._send_account_string(segments, account.account_type, moment)
            if "CDC" in self.world.sites:
                self._send_intercompany_strings(site, moment)

    def _send_account_string(self, segments: tuple[str, ...], account_type: str, moment: datetime) -> None:
        names = {f"CodeCombinationSegment{place}": value for place, value in enumerate(segments, start=1)}
        self.outbox.emit(
            CLOUD,
            "GL_CODE_COMBINATIONS",
            {
                "CodeCombinationCodeCombinationId": code_combination_id(segments),
                **names,
                "CodeCombinationAccountType": CLOUD_ACCOUNT_TYPE[account_type],
                "CodeCombinationEnabledFlag": "Y",
                "CodeCombinationSummaryFlag": "N",
                "CodeCombinationLastUpdateDate": at(date(2024, 9, 15), 3),
            },
            moment,
        )

    def _send_intercompany_strings(self, site: Site, moment: datetime) -> None:
        """Claims and debts carry the other side in segment 5."""
        assert site.segment1 is not None
        centre = "CDC"
        role = "DUE_TO" if site.is_hospital else "DUE_FROM"
        for other in (centre,) if site.is_hospital else (hospital.code for hospital in self.world.hospitals()):
            segments = cloud_segments(site.segment1, role, "0000", self._other_segment(other))
            self._send_account_string(segments, BY_ROLE[role].account_type, moment)

    def _sites(self, erp: str) -> list[Site]:
        return [site for site in self.world.sites.values() if site.erp == erp]

    # ------------------------------------------------------------------------------------------------------ the day

    def close_day(self, d: date) -> None:
        """Turn the postings of `d` into journals and balances and emit them."""
        places = [*self._held, *range(self._taken, len(self.world.postings))]
        self._taken = len(self.world.postings)
        self._held = []
        by_moment: dict[datetime, list[Posting]] = defaultdict(list)
        for place in places:
            self._choose_withheld(self.world.postings[place], d)
        for place in places:
            posting = self.world.postings[place]
            known = posting.known_at.astimezone(CHICAGO)
            if (
                posting.erp == LEGACY
                and place not in self._delayed
                and known.date() == d
                and waits_for_posting(self.plan, posting.event, posting.subledger_key, known.date())
            ):
                tomorrow = d + timedelta(days=1)
                posting = replace(posting, posting_date=tomorrow, known_at=at(tomorrow, 23, 50))
                self.world.postings[place] = posting
                self._delayed.add(place)
            if posting.known_at.astimezone(CHICAGO).date() > d:
                self._held.append(place)
                continue
            if posting.amount == ZERO:
                continue
            if self._is_withheld(posting):
                self.world.postings[place] = replace(posting, is_withheld=True)
                continue
            by_moment[self._journal_time(posting, d)].append(posting)
            if posting.rows is not None:
                self.world.postings[place] = replace(posting, rows=None)
        self._open_month(d)
        for moment, postings in by_moment.items():
            self._plan_step(moment, partial(self._take_over, postings, moment))
        if is_business_day(d):
            self._plan_step(at(d, 15, 20), partial(self._manual_journals, d))
        self._plan_step(at(d, 22), partial(self._post_waiting, d))
        while self._steps:
            heapq.heappop(self._steps)[2]()

    def _plan_step(self, moment: datetime, step: Callable[[], None]) -> None:
        """Do something in its turn: what is shown later must hold what was shown before."""
        self._step_count += 1
        heapq.heappush(self._steps, (moment, self._step_count, step))

    def _take_over(self, postings: Iterable[Posting], moment: datetime) -> None:
        touched: dict[int, Journal] = {}
        for posting in postings:
            journal = self._journal_of(posting, moment)
            self._enter(journal, self._entries(posting), posting)
            touched[id(journal)] = journal
        for journal in touched.values():
            self._show(journal, moment)

    @staticmethod
    def _journal_time(posting: Posting, d: date) -> datetime:
        """When the ledger takes the posting over: the night in the legacy ERP, every slot in the cloud."""
        last = at(d, 23, 55)
        if posting.erp == LEGACY:
            return last
        known = posting.known_at.astimezone(UTC)
        slot = datetime.combine(known.date(), time(), UTC)
        while slot < known or slot.astimezone(CHICAGO).hour <= 1:
            slot += timedelta(hours=6)
        return min(slot.astimezone(CHICAGO) - timedelta(minutes=1), last)

    def _entries(self, posting: Posting) -> list[Entry]:
        debit_role, credit_role = posting.debit_role, posting.credit_role
        if "GRNI" in (debit_role, credit_role) and self._goes_astray(posting):
            debit_role = "SUSPENSE" if debit_role == "GRNI" else debit_role
            credit_role = "SUSPENSE" if credit_role == "GRNI" else credit_role
        return [
            Entry(debit_role, posting.debit_department, posting.amount, posting.event, posting.counterparty),
            Entry(credit_role, posting.credit_department, -posting.amount, posting.event, posting.counterparty),
        ]

    # ------------------------------------------------------------------------------------------------------ journals

    def _journal_of(self, posting: Posting, moment: datetime) -> Journal:
        site = self.world.sites[posting.site]
        if posting.erp == LEGACY:
            source = "GL-AC" if posting.event.startswith("E20") else posting.system
            category = posting.event if posting.event.startswith("E20") else ""
        else:
            source, category = CLOUD_SOURCES[posting.system], posting.category
        key = (posting.erp, site.code, source, category, posting.posting_date)
        journal = self._journals.get(key)
        if journal is None:
            journal = self._new_journal(site, source, category, posting.posting_date, moment)
            self._journals[key] = journal
            if posting.event.startswith("E20") and posting.erp == LEGACY:
                journal.je_type = "A"
            if posting.event == "E20":
                self._accruals[site.code] = journal.header_id
            elif posting.event == "E20r":
                journal.reverses = self._accruals.get(site.code)
            journal.is_posted = not self._stays_unposted(posting, journal)
        return journal

    def _new_journal(self, site: Site, source: str, category: str, posting_date: date, moment: datetime) -> Journal:
        self._headers += 1
        period = legacy_period(posting_date)
        group_key = f"{site.code}-{period.year}-{period.number}"
        self._groups[group_key] = self._groups.get(group_key, 100) + 1
        return Journal(
            erp=site.erp,
            site=site,
            source=source,
            category=category,
            posting_date=posting_date,
            header_id=self._headers,
            control_group=self._groups[group_key],
            name=f"{source} {category} {posting_date:%Y-%m-%d}".replace("  ", " "),
            created_at=moment,
        )

    def _account(
        self, site: Site, role: str, department: str, event: str, counterparty: str | None = None
    ) -> tuple[object, ...]:
        carried = department_at(site, role, department)
        if site.erp == LEGACY:
            return (site_acct_unit(site, role, department), *legacy_account(role, carried, event))
        assert site.segment1 is not None
        other = self._other_segment(counterparty) if role in INTERCOMPANY_ROLES else "000"
        return cloud_segments(site.segment1, role, carried, other)

    def _other_segment(self, counterparty: str | None) -> str:
        """Segment 1 of the other side, also where it is reserved for this use."""
        if counterparty is None:
            return "000"
        site = self.world.sites[counterparty]
        return site.segment1 or f"10{site.code[1]}"

    def _balance(self, site: Site, role: str, department: str, event: str, counterparty: str | None = None) -> Balance:
        account = self._account(site, role, department, event, counterparty)
        key = (site.erp, site.code, *account)
        if key not in self._balances:
            self._balances[key] = Balance(role, site.code, account)
        return self._balances[key]

    def _enter(self, journal: Journal, entries: Iterable[Entry], posting: Posting | None = None) -> None:
        for entry in entries:
            if entry.amount == ZERO:
                continue
            is_debit = entry.amount > 0
            account = self._account(journal.site, entry.role, entry.department, entry.event, entry.counterparty)
            key = (*account, is_debit)
            line = journal.lines.get(key)
            if line is None:
                department = department_at(journal.site, entry.role, entry.department)
                number = len(journal.lines) + 1
                line = Line(number, account, entry.role, department, journal.site.code, is_debit)
                if entry.role in INTERCOMPANY_ROLES and entry.counterparty is not None:
                    line.to_company = CDC_COMPANY
                journal.lines[key] = line
            line.amount += abs(entry.amount)
            journal.changed[line.number] = line
            if journal.is_posted:
                self._balance(journal.site, entry.role, entry.department, entry.event, entry.counterparty).add(
                    journal.posting_date.replace(day=1), is_debit, abs(entry.amount)
                )
            if posting is not None and journal.erp == CLOUD and posting.subledger in REFERENCE_TABLES:
                self._references_of(journal, line, posting, entry)

    def _references_of(self, journal: Journal, line: Line, posting: Posting, entry: Entry) -> None:
        if posting.rows is not None:
            side = 1 if entry.amount == posting.amount else -1
            journal.bulk_references.append((line.number, posting.subledger, posting.rows, side))
            return
        key = posting.subledger_key
        if posting.subledger == "INV":
            key = str(inventory_transaction_id(posting.subledger_key))
        journal.references.append((line.number, posting.subledger, key, entry.amount))

    # ------------------------------------------------------------------------------------------------------- showing

    def _show(self, journal: Journal, moment: datetime) -> None:
        """Emit what changed of a journal, and the balances it moved."""
        if journal.erp == LEGACY:
            self._show_legacy(journal, moment)
        else:
            self._show_cloud(journal, moment)
        for line in journal.changed.values():
            self._record(journal, line, moment)
        if journal.erp == CLOUD and journal.is_posted:
            moved = [self._balances[(CLOUD, journal.site.code, *line.account)] for line in journal.changed.values()]
            self._send_moved(journal.posting_date, moved, moment)
        journal.changed = {}

    def _record(self, journal: Journal, line: Line, moment: datetime) -> None:
        site = journal.site
        self.world.journal_lines.append(
            JournalLine(
                erp=journal.erp,
                site=site.code,
                balancing_segment=str(site.company) if journal.erp == LEGACY else str(site.segment1),
                ledger=journal.ledger,
                journal=journal.key,
                line=line.number,
                role=line.role,
                department=line.department,
                source=journal.source,
                is_manual=journal.is_manual,
                posting_date=journal.posting_date,
                debit=line.amount if line.is_debit else ZERO,
                credit=ZERO if line.is_debit else line.amount,
                is_posted=journal.is_posted,
                known_at=moment,
            )
        )

    def _show_legacy(self, journal: Journal, moment: datetime) -> None:
        period = legacy_period(journal.posting_date)
        source_code = journal.source.removeprefix("GL-") if journal.source.startswith("GL-") else CODES[journal.source]
        reference = f"{journal.system}{journal.posting_date:%Y%m%d}"
        if journal.is_manual:
            reference = self.chance.stream("reference", journal.key).pick(
                ("SEE EMAIL J MILLER", "RECLASS", "PER CONTROLLER")
            )
        for line in journal.changed.values():
            unit, account, sub = line.account
            self.outbox.emit(
                LEGACY,
                "GLTRANS",
                {
                    "COMPANY": journal.site.company,
                    "FISCAL_YEAR": period.year,
                    "ACCT_PERIOD": period.number,
                    "CONTROL_GROUP": journal.control_group,
                    "SYSTEM": journal.system,
                    "JE_TYPE": journal.je_type,
                    "JE_SEQUENCE": 1,
                    "LINE_NBR": line.number,
                    "ACCT_UNIT": str(unit),
                    "ACCOUNT": int(str(account)),
                    "SUB_ACCOUNT": int(str(sub)),
                    "TRAN_AMOUNT": line.amount if line.is_debit else -line.amount,
                    "POSTING_DATE": journal.posting_date,
                    "EFFECT_DATE": journal.posting_date,
                    "SOURCE_CODE": source_code,
                    "REFERENCE": reference,
                    "DESCRIPTION": journal.name[:30],
                    "STATUS": 9 if journal.is_posted else 1,
                    "TO_COMPANY": line.to_company,
                    "AUTO_REV": "Y" if journal.je_type == "A" else "N",
                    "OPERATOR": "GLUSER2" if journal.is_manual else "BATCH",
                    "APPROVER": "GLMGR1" if journal.is_manual else "",
                },
                moment,
            )

    def _show_cloud(self, journal: Journal, moment: datetime) -> None:
        period = cloud_period(journal.posting_date)
        status = "P" if journal.is_posted else "U"
        debits = sum((line.amount for line in journal.lines.values() if line.is_debit), ZERO)
        credits = sum((line.amount for line in journal.lines.values() if not line.is_debit), ZERO)
        prefix = "GlJeHeaders"
        header: dict[str, str | int | Decimal | date | datetime | None] = {
            "JeBatchId": journal.header_id + 50000000,
            "LedgerId": LEDGER_ID,
            "Name": journal.name,
            "JeSource": journal.source,
            "JeCategory": journal.category,
            "PeriodName": period.name,
            "ActualFlag": "A",
            "Status": status,
            "DefaultEffectiveDate": journal.posting_date,
            "PostedDate": moment if journal.is_posted else None,
            "DateCreated": journal.created_at,
            "ReversedJeHeaderId": journal.reverses,
            "RunningTotalAccountedDr": debits,
            "RunningTotalAccountedCr": credits,
            "CreatedBy": "GL.ANALYST" if journal.is_manual else "SHS_BATCH",
            "ApprovedBy": "GL.MANAGER" if journal.is_manual else None,
            "LastUpdateDate": moment,
        }
        self.outbox.emit(
            CLOUD,
            "GL_JE_HEADERS",
            {"JeHeaderId": journal.header_id, **{prefix + name: value for name, value in header.items()}},
            moment,
        )
        for line in journal.changed.values():
            segments = tuple(str(part) for part in line.account)
            debit, credit = (line.amount, None) if line.is_debit else (None, line.amount)
            values: dict[str, str | int | Decimal | date | datetime | None] = {
                "CodeCombinationId": code_combination_id(segments),
                "AccountedDr": debit,
                "AccountedCr": credit,
                "EnteredDr": debit,
                "EnteredCr": credit,
                "EffectiveDate": journal.posting_date,
                "PeriodName": period.name,
                "Description": journal.name,
                "Status": status,
                "LastUpdateDate": moment,
            }
            shown = {"GlJeLines" + name: value for name, value in values.items()}
            self.outbox.emit(
                CLOUD, "GL_JE_LINES", {"JeHeaderId": journal.header_id, "JeLineNum": line.number, **shown}, moment
            )
        for number, table, key, amount in journal.references:
            self._links += 1
            reference: dict[str, str | int | datetime] = {
                "JeHeaderId": journal.header_id,
                "JeLineNum": number,
                "GlSlLinkId": self._links,
                "GlSlLinkTable": "XLAJEL",
                "Reference1": table,
                "Reference2": key,
                "Reference3": str(amount),
                "LastUpdateDate": moment,
            }
            self.outbox.emit(
                CLOUD,
                "GL_IMPORT_REFERENCES",
                {"GlImportReferences" + name: value for name, value in reference.items()},
                moment,
            )
        for number, table, rows, side in journal.bulk_references:
            columns: dict[str, pl.Series | str] = {
                "JeHeaderId": str(journal.header_id),
                "JeLineNum": str(number),
                "GlSlLinkId": text(np.arange(self._links + 1, self._links + 1 + len(rows.keys))),
                "GlSlLinkTable": "XLAJEL",
                "Reference1": table,
                "Reference2": rows.keys,
                "Reference3": dollars(side * rows.cents),
                "LastUpdateDate": f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}",
            }
            self._links += len(rows.keys)
            self.outbox.emit_block(
                CLOUD,
                "GL_IMPORT_REFERENCES",
                {"GlImportReferences" + name: cells for name, cells in columns.items()},
                moment,
            )
        journal.references, journal.bulk_references = [], []

    # ------------------------------------------------------------------------------------------------------ balances

    def _cloud_balances(self) -> list[Balance]:
        return [balance for key, balance in self._balances.items() if key[0] == CLOUD]

    def _open_month(self, d: date) -> None:
        month = d.replace(day=1)
        if month in self._months_sent or not self._sites(CLOUD) or d < self.world.start:
            return
        self._months_sent.add(month)
        self._send_balances(month, self._cloud_balances(), at(d, 6, 10))

    def _send_moved(self, posting_date: date, moved: list[Balance], moment: datetime) -> None:
        """Balances of the month and of every later month that has opened already."""
        month = posting_date.replace(day=1)
        self._months_sent.add(month)
        for opened in sorted(self._months_sent):
            if opened >= month:
                self._send_balances(opened, moved, moment)

    def _send_balances(self, month: date, balances: Iterable[Balance], moment: datetime) -> None:
        period = cloud_period(month)
        year_start = date(period.year - 1, 7, 1)
        for balance in balances:
            begin = balance.opening + balance.net(month)
            kind = BY_ROLE[balance.role].account_type
            if kind in "RX":
                begin = balance.net(month, year_start)
            elif balance.role == "FUND_BALANCE":
                begin += self._closed_income(CLOUD, balance.site, year_start)
            segments = tuple(str(part) for part in balance.account)
            row: dict[str, str | int | Decimal | datetime] = {
                "LedgerId": LEDGER_ID,
                "CodeCombinationId": code_combination_id(segments),
                "CurrencyCode": "USD",
                "PeriodName": period.name,
                "PeriodYear": period.year,
                "PeriodNum": period.number,
                "ActualFlag": "A",
                "BeginBalanceDr": max(begin, ZERO),
                "BeginBalanceCr": max(-begin, ZERO),
                "PeriodNetDr": balance.debits.get(month, ZERO),
                "PeriodNetCr": balance.credits.get(month, ZERO),
                "LastUpdateDate": moment,
            }
            self.outbox.emit(CLOUD, "GL_BALANCES", {"Balance" + name: value for name, value in row.items()}, moment)
            if self.plan.quirk("Q105", *segments, month, share=STATISTICS_SHARE):
                stream = self.chance.stream("statistics", *segments, month)
                row |= {
                    "CurrencyCode": "STAT",
                    "BeginBalanceDr": ZERO,
                    "BeginBalanceCr": ZERO,
                    "PeriodNetDr": Decimal(stream.integer(10, 900)),
                    "PeriodNetCr": ZERO,
                }
                self.outbox.emit(CLOUD, "GL_BALANCES", {"Balance" + name: value for name, value in row.items()}, moment)

    def _closed_income(self, erp: str, site: str, year_start: date) -> Decimal:
        """Income of the years before `year_start`, which stands in the fund balance."""
        return sum(
            (
                balance.net(year_start)
                for key, balance in self._balances.items()
                if key[0] == erp and balance.site == site and BY_ROLE[balance.role].account_type in "RX"
            ),
            ZERO,
        )

    def _legacy_amounts(self, d: date) -> list[Row]:
        rows: list[Row] = []
        first, last = legacy_period(self.world.start).year, legacy_period(d).year
        for key, balance in list(self._balances.items()):
            if key[0] != LEGACY:
                continue
            site = self.world.sites[balance.site]
            unit, account, sub = balance.account
            income = BY_ROLE[balance.role].account_type in "RX"
            for year in range(first, last + 1):
                year_start = date(year - 1, 10, 1)
                begin = ZERO if income else balance.opening + balance.net(year_start)
                if balance.role == "FUND_BALANCE":
                    begin += self._closed_income(LEGACY, balance.site, year_start)
                row: dict[str, str | int | Decimal] = {
                    "COMPANY": site.company or 0,
                    "FISCAL_YEAR": year,
                    "ACCT_UNIT": str(unit),
                    "ACCOUNT": int(str(account)),
                    "SUB_ACCOUNT": int(str(sub)),
                    "DB_BEG_BAL": max(begin, ZERO),
                    "CR_BEG_BAL": min(begin, ZERO),
                }
                for number in range(1, 14):
                    month = date(year - 1, 9 + number, 1) if number <= 3 else date(year, min(number, 12) - 3, 1)
                    adjustment = number == 13
                    row[f"DB_AMOUNT_{number:02d}"] = ZERO if adjustment else balance.debits.get(month, ZERO)
                    row[f"CR_AMOUNT_{number:02d}"] = ZERO if adjustment else -balance.credits.get(month, ZERO)
                rows.append(row)
        return rows

    def _periods(self, d: date) -> list[Row]:
        rows: list[Row] = []
        first = cloud_period(self.world.start).year
        for year in range(first, cloud_period(self.world.end).year + 1):
            months = [
                date(year - 1, 7 + number, 1) if number < 6 else date(year, number - 5, 1) for number in range(12)
            ]
            for period in (*(cloud_period(month) for month in months), cloud_adjustment_period(year)):
                rows.append(self._period_row(period, d))
        return rows

    @staticmethod
    def _period_row(period: Period, d: date) -> Row:
        closed_on = add_business_days(period.last, 5)
        status = "F" if period.first > d else "C" if closed_on <= d else "O"
        return {
            "PeriodPeriodSetName": CALENDAR,
            "PeriodPeriodName": period.name,
            "PeriodPeriodNum": period.number,
            "PeriodPeriodYear": period.year,
            "PeriodStartDate": period.first,
            "PeriodEndDate": period.last,
            "PeriodAdjustmentPeriodFlag": "Y" if period.is_adjustment else "N",
            "GlPeriodStatusesClosingStatus": status,
        }

    # ------------------------------------------------------------------------------------------------ defects: GL-02

    def _plan_accrual_defects(self) -> None:
        """Choose the months of each site in which a receipt reaches a wrong account, and what explains the others."""
        spans = []
        month = self.world.start.replace(day=1)
        while month <= self.world.end:
            first, last = max(month, self.world.start), min(month_end(month), self.world.end)
            if (last - first).days >= 7:
                spans += [(site, month, first, last) for site in self.world.sites]
            month = month_end(month) + timedelta(days=1)
        stream = self.chance.stream("accrual defects")
        chosen = stream.sample(spans, len(spans))
        wanted = max(LEAST_DEFECTIVE, round(len(chosen) * DEFECTIVE_SHARE))
        wanted = max(min(wanted, len(chosen) - LEAST_CLEAN), len(chosen) // 2) if self.plan.defects else 0
        kinds = ("manual", "withheld", "unposted")
        for place, (site, month, first, last) in enumerate(chosen):
            span = max((last - first).days - 5, 1)
            day = first + timedelta(days=2 + stream.integer(0, span - 1))
            if place < wanted:
                self._wrong[(site, month)] = day
            elif self.plan.defects:
                self._explained[(site, month)] = (kinds[(place - wanted) % len(kinds)], day)

    def _note_period(self, site: str, month: date, near: bool, reason: str) -> None:
        self.plan.note("GL-02", f"facility={site}|period={month:%Y-%m}", site, near, reason)

    def _goes_astray(self, posting: Posting) -> bool:
        """Whether the accrual side of a receipt lands on the suspense account."""
        month = posting.posting_date.replace(day=1)
        day = self._wrong.get((posting.site, month))
        if day is None or posting.posting_date < day or abs(posting.amount) < WRONG_ACCOUNT_FROM:
            return False
        if posting.event not in ("E01", "E02", "E03", "E05"):
            return False
        del self._wrong[(posting.site, month)]
        self._note_period(posting.site, month, False, "accrual posted to suspense")
        return True

    def _choose_withheld(self, posting: Posting, d: date) -> None:
        """Whether the receipts of this day become the batch that never reaches the ledger (explained by GL-10)."""
        if posting.system not in RECEIVING_SYSTEMS or posting.posting_date != d:
            return
        month = d.replace(day=1)
        kind, day = self._explained.get((posting.site, month), ("", date.max))
        if kind == "withheld" and d >= day and "GRNI" in (posting.debit_role, posting.credit_role):
            del self._explained[(posting.site, month)]
            self._withheld.add((posting.site, d))
            self._note_period(posting.site, month, True, "batch missing in the ledger")

    def _is_withheld(self, posting: Posting) -> bool:
        return posting.system in RECEIVING_SYSTEMS and (posting.site, posting.posting_date) in self._withheld

    def _stays_unposted(self, posting: Posting, journal: Journal) -> bool:
        """Whether a receipt journal waits a few days for its posting (explained as not yet posted)."""
        month = posting.posting_date.replace(day=1)
        kind, day = self._explained.get((posting.site, month), ("", date.max))
        if kind != "unposted" or posting.system not in RECEIVING_SYSTEMS or posting.posting_date < day:
            return False
        del self._explained[(posting.site, month)]
        self._unposted.append((posting.posting_date + timedelta(days=2), journal))
        self._note_period(posting.site, month, True, "journal not yet posted")
        return True

    def _post_waiting(self, d: date) -> None:
        for due, journal in [entry for entry in self._unposted if entry[0] <= d]:
            self._unposted.remove((due, journal))
            self._post_now(journal)
            self._show(journal, at(d, 22))

    def _post_now(self, journal: Journal) -> None:
        journal.is_posted = True
        month = journal.posting_date.replace(day=1)
        for line in journal.lines.values():
            journal.changed[line.number] = line
            key = (journal.erp, journal.site.code, *line.account)
            balance = self._balances.setdefault(key, Balance(line.role, journal.site.code, line.account))
            balance.add(month, line.is_debit, line.amount)

    # ------------------------------------------------------------------------------------------- manual journals, GL-05

    def _manual_journals(self, d: date) -> None:
        sites = list(self.world.sites.values())
        for site in self.chance.stream("manual journals", d).sample(sites, len(sites)):
            stream = self.chance.stream("manual journals", site.code, d)
            self._manual_on_accrual(site, d, stream)
            if d.weekday() not in MANUAL_WEEKDAYS or d < self.world.start:
                continue
            departments = [name for name in site.departments if name not in ("0000", "8020")]
            if len(departments) < 2:
                continue
            amount = stream.decimal(80, 2600)
            source, target = stream.sample(departments, 2)
            entries = [Entry("SUPPLY_EXP", target, amount), Entry("SUPPLY_EXP", source, -amount)]
            journal = self._manual(site, d)
            if self.plan.wants("GL-05", True, journal.entity, d, "amount"):
                off = stream.decimal(1, 400)
                entries[1] = Entry("SUPPLY_EXP", source, -(amount - off))
                self.plan.note("GL-05", journal.entity, site.code, False, "credit too small")
            elif self.plan.wants("GL-05", True, journal.entity, d, "one-sided"):
                entries = [Entry("FREIGHT", "8020", amount)]
                self.plan.note("GL-05", journal.entity, site.code, False, "credit lost")
            elif self.plan.wants("GL-05", False, journal.entity, d, "many lines"):
                entries = self._spread(departments, source, amount, stream)
                self.plan.note("GL-05", journal.entity, site.code, True, "balanced over many lines")
            elif site.erp == CLOUD and self.plan.wants("GL-05", False, journal.entity, d, "line deleted"):
                self._corrected_draft(journal, target, source, departments, amount, d)
                continue
            elif site.erp == CLOUD and self.plan.wants("GL-05", False, journal.entity, d, "deleted"):
                self._deleted_draft(journal, entries, d)
                continue
            self._enter(journal, entries)
            self._show(journal, at(d, 15, 20))

    def _manual(self, site: Site, d: date) -> Journal:
        source = "GL-JE" if site.erp == LEGACY else "Manual"
        journal = self._new_journal(site, source, "" if site.erp == LEGACY else "Manual", d, at(d, 15))
        journal.is_manual = True
        journal.name = f"Reclass supplies {d:%Y-%m-%d}"
        return journal

    def _manual_on_accrual(self, site: Site, d: date, stream: Stream) -> None:
        month = d.replace(day=1)
        kind, day = self._explained.get((site.code, month), ("", date.max))
        if kind != "manual" or d < day:
            return
        del self._explained[(site.code, month)]
        amount = stream.decimal(120, 900)
        journal = self._manual(site, d)
        journal.name = f"Write off old receipts {d:%Y-%m-%d}"
        self._enter(journal, [Entry("GRNI", "0000", amount), Entry("PPV", "8020", -amount)])
        self._show(journal, at(d, 15, 20))
        self._note_period(site.code, month, True, "manual journal on the account")

    @staticmethod
    def _spread(departments: list[str], source: str, amount: Decimal, stream: Stream) -> list[Entry]:
        """A journal that spreads an amount over departments with odd cents."""
        shares = [name for name in departments if name != source]
        parts = [(amount / len(shares)).quantize(Decimal("0.01")) for _ in shares]
        parts[-1] = amount - sum(parts[:-1], ZERO)
        credit_parts = [(amount * Decimal("0.37")).quantize(Decimal("0.01"))]
        credit_parts.append(amount - credit_parts[0])
        return [
            *(Entry("SUPPLY_EXP", name, part) for name, part in zip(shares, parts, strict=True)),
            Entry("SUPPLY_EXP", source, -credit_parts[0]),
            Entry("FREIGHT", "8020", -credit_parts[1]),
        ]

    def _corrected_draft(
        self, journal: Journal, target: str, source: str, departments: list[str], amount: Decimal, d: date
    ) -> None:
        """Near miss of GL-05: a draft of three lines loses one, and another takes over its amount (Q100)."""
        third = next(name for name in departments if name not in (target, source))
        part = (amount * Decimal("0.4")).quantize(Decimal("0.01"))
        journal.is_posted = False
        self._enter(
            journal,
            [
                Entry("SUPPLY_EXP", target, amount),
                Entry("SUPPLY_EXP", source, -(amount - part)),
                Entry("SUPPLY_EXP", third, -part),
            ],
        )
        self._show(journal, at(d, 15, 20))
        self._plan_step(at(d, 21), partial(self._move_amount, journal, third, source, amount, at(d, 21)))
        self._unposted.append((d + timedelta(days=1), journal))
        self.plan.note("GL-05", journal.entity, journal.site.code, True, "line of a draft deleted")

    def _move_amount(self, journal: Journal, third: str, source: str, amount: Decimal, evening: datetime) -> None:
        removed = next(line for line in journal.lines.values() if line.department == third)
        kept = next(line for line in journal.lines.values() if line.department == source)
        kept.amount = amount
        self._forget(journal, removed, evening)
        journal.changed[kept.number] = kept
        self._show(journal, evening)

    def _deleted_draft(self, journal: Journal, entries: list[Entry], d: date) -> None:
        """Near miss of GL-05: a draft that is deleted before it is posted (Q100)."""
        journal.is_posted = False
        self._enter(journal, entries)
        self._show(journal, at(d, 15, 20))
        self._plan_step(at(d, 21), partial(self._forget_all, journal, at(d, 21)))
        self.plan.note("GL-05", journal.entity, journal.site.code, True, "draft deleted")

    def _forget_all(self, journal: Journal, evening: datetime) -> None:
        for line in list(journal.lines.values()):
            self._forget(journal, line, evening)
        self._deleted("GL_JE_HEADERS", journal.header_id, None, evening)

    def _forget(self, journal: Journal, line: Line, moment: datetime) -> None:
        line.amount = ZERO
        self._record(journal, line, moment)
        journal.lines = {key: entry for key, entry in journal.lines.items() if entry is not line}
        self._deleted("GL_JE_LINES", journal.header_id, line.number, moment)

    def _deleted(self, extract: str, key: int, second: int | None, moment: datetime) -> None:
        row = {
            "EXTRACT": extract,
            "KEY1": str(key),
            "KEY2": str(second) if second is not None else None,
            "RUN_TIME": moment,
        }
        self.outbox.emit(CLOUD, "DELETED_KEYS", row, moment)
