"""Postings to journals in both ledgers, with their balances.

Here: journal lines, import references, account strings, periods, balances, the opening position.
Not here: the subledger rows themselves (purchasing, stock, charging), what people enter (manual_journals), what goes
wrong between the subledgers and the ledger (ledger_faults).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
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
    account_string,
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
    site_acct_unit,
)
from ingest.simulator.chance import Chance
from ingest.simulator.columns import dollars, text
from ingest.simulator.delivery import Outbox, Row
from ingest.simulator.desk import CHICAGO, at
from ingest.simulator.events import AccountBalance, JournalLine, Posting, Site, World
from ingest.simulator.journals import CLOUD, LEGACY, ZERO, Balance, Entry, Journal, Line
from ingest.simulator.ledger_faults import Import, LedgerFaults
from ingest.simulator.legacy import waits_for_posting
from ingest.simulator.manual_journals import ManualJournals
from ingest.simulator.plan import DefectPlan

if TYPE_CHECKING:
    import polars as pl

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
LAST_ENTRY = timedelta(days=100)  # after its posting date nothing comes to a journal any more
CODES = {"PO": "PO", "IC": "IC", "AP": "AP", "HB": "HB", "CV": "CV"}
REFERENCE_TABLES = frozenset({"RCV", "INV", "AP_DIST", "AP_PAY", "HB", "TO"})
STATISTICS_SHARE = 0.1


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
        self._unposted: list[tuple[date, Journal]] = []
        self._stated: dict[tuple[object, ...], tuple[Decimal, Decimal]] = {}  # legacy balances as delivered last
        self.faults = LedgerFaults(world, plan, chance)
        self._people = ManualJournals(self, self.faults)
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
            self._open_site(site, stock[site.code])
        if self._sites(LEGACY):
            self.outbox.snapshot(LEGACY, "GLAMOUNTS", self._legacy_amounts)
        if self._sites(CLOUD):
            self.outbox.snapshot(CLOUD, "GL_PERIODS", self._periods)
            self._send_account_strings(at(eve, 18))
            self._send_balances(world.start.replace(day=1), self._cloud_balances(), at(eve, 18))
            self._months_sent.add(world.start.replace(day=1))

    def _open_site(self, site: Site, stock: Decimal) -> None:
        """A site that has left the legacy ERP before opens in both: only its stock came over (landscape 4 and 7.6)."""
        money = site
        if site.code in self.world.cutovers and site.erp == CLOUD:
            money = self.world.site_in(site.code, LEGACY)
            self._open(money, "CONV_CLEARING", stock)
            self._open(site, "CONV_CLEARING", -stock)
        self._open(site, "INV_ASSET", stock)
        self._open(money, "CASH", OPENING_CASH)
        self._open(money, "FUND_BALANCE", -OPENING_CASH - stock)

    def _open(self, site: Site, role: str, amount: Decimal) -> None:
        self._balance(site, role, self._account(site, role, "0000", "")).opening += amount

    def standing(self, site: str, erp: str, role: str, counterparty: str | None = None) -> Decimal:
        """Posted balance of a balance sheet role, debits less credits, as of now."""
        placed = self.world.site_in(site, erp)
        balance = self._balance(placed, role, self._account(placed, role, "0000", "", counterparty))
        return balance.opening + balance.net(date.max)

    def enter_by_hand(self, site: Site, d: date, role: str, source: str, target: str, amount: Decimal) -> str:
        """Enter a reclassification between departments in the ERP that `site` stands for; gives the journal's key."""
        return self._people.reclassify(site, d, [Entry(role, target, amount), Entry(role, source, -amount)])

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
        return self.world.sites_of(erp)

    # ------------------------------------------------------------------------------------------------------ the day

    def close_day(self, d: date) -> None:
        """Turn the postings of `d` into journals and balances and emit them."""
        places = [*self._held, *range(self._taken, len(self.world.postings))]
        self._taken = len(self.world.postings)
        self._held = []
        by_moment: dict[datetime, list[Posting]] = defaultdict(list)
        for place in places:
            self.faults.choose_withheld(self.world.postings[place], d)
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
            if self.faults.is_withheld(posting):
                self.world.postings[place] = replace(posting, is_withheld=True)
                continue
            taken = self.faults.imported(posting)
            if taken != Import(posting.amount, posting.amount):
                posting = replace(posting, posted_amount=taken.posted, referenced_amount=taken.referenced)
                self.world.postings[place] = posting
            by_moment[self._journal_time(posting, d)].append(posting)
            if posting.rows is not None:
                self.world.postings[place] = replace(posting, rows=None)
        self._open_month(d)
        if d.day == 1:
            self._journals = {key: each for key, each in self._journals.items() if each.posting_date > d - LAST_ENTRY}
        for moment, postings in by_moment.items():
            self.plan_step(moment, partial(self._take_over, postings, moment))
        if is_business_day(d):
            self.plan_step(at(d, 15, 20), partial(self._people.enter, d))
        self.plan_step(at(d, 22), partial(self._post_waiting, d))
        while self._steps:
            heapq.heappop(self._steps)[2]()

    def plan_step(self, moment: datetime, step: Callable[[], None]) -> None:
        """Do something in its turn: what is shown later must hold what was shown before."""
        self._step_count += 1
        heapq.heappush(self._steps, (moment, self._step_count, step))

    def _take_over(self, postings: Iterable[Posting], moment: datetime) -> None:
        touched: dict[int, Journal] = {}
        for posting in postings:
            journal = self._journal_of(posting, moment)
            self.enter(journal, self._entries(posting), posting)
            touched[id(journal)] = journal
        for journal in touched.values():
            self.show(journal, moment)

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
        posted = posting.amount if posting.posted_amount is None else posting.posted_amount
        referenced = posting.amount if posting.referenced_amount is None else posting.referenced_amount
        event, other = posting.event, posting.counterparty
        return [
            Entry(role, department, sign * posted, event, other, referenced=sign * referenced)
            for sign, role, department in (
                (1, self.faults.account_of(posting.debit_role, posting), posting.debit_department),
                (-1, self.faults.account_of(posting.credit_role, posting), posting.credit_department),
            )
        ]

    # ------------------------------------------------------------------------------------------------------ journals

    def _journal_of(self, posting: Posting, moment: datetime) -> Journal:
        site = self.world.site_in(posting.site, posting.erp)
        if posting.erp == LEGACY:
            source = "GL-AC" if posting.event.startswith("E20") else posting.system
            category = posting.event if posting.event.startswith("E20") else ""
        else:
            source, category = CLOUD_SOURCES[posting.system], posting.category
        key = (posting.erp, site.code, source, category, posting.posting_date)
        journal = self._journals.get(key)
        if journal is None:
            journal = self.new_journal(site, source, category, posting.posting_date, moment)
            self._journals[key] = journal
            if posting.event.startswith("E20") and posting.erp == LEGACY:
                journal.je_type = "A"
            if posting.event == "E20":
                self._accruals[site.code] = journal.header_id
            elif posting.event == "E20r":
                journal.reverses = self._accruals.get(site.code)
            if self.faults.stays_unposted(posting):
                journal.is_posted = False
                self.post_later(posting.posting_date + timedelta(days=2), journal)
        return journal

    def new_journal(self, site: Site, source: str, category: str, posting_date: date, moment: datetime) -> Journal:
        """Open a journal with the next header and control group numbers."""
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

    def _balance(self, site: Site, role: str, account: tuple[object, ...]) -> Balance:
        key = (site.erp, site.code, *account)
        if key not in self._balances:
            self._balances[key] = Balance(role, site.code, account)
        return self._balances[key]

    def enter(self, journal: Journal, entries: Iterable[Entry], posting: Posting | None = None) -> None:
        """Add entries to the lines of a journal, and to the balances once it is posted."""
        for entry in entries:
            if entry.amount == ZERO:
                continue
            is_debit = entry.amount > 0
            account = entry.account or self._account(
                journal.site, entry.role, entry.department, entry.event, entry.counterparty
            )
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
                self._move(journal, entry, account, is_debit)
            if posting is not None and journal.erp == CLOUD and posting.subledger in REFERENCE_TABLES:
                self._references_of(journal, line, posting, entry)

    def _move(self, journal: Journal, entry: Entry, account: tuple[object, ...], is_debit: bool) -> None:
        """Let the balance of an account take over what a journal posts to it."""
        month = journal.posting_date.replace(day=1)
        balance = self._balance(journal.site, entry.role, account)
        key = self._balance_key(balance, month)
        if self.faults.misses_journal(journal.erp, entry.role, key, journal.posting_date):
            self.plan.note("GL-14", key, journal.site.code, False, "balance misses a posting")
            return
        balance.add(month, is_debit, abs(entry.amount))

    def _balance_key(self, balance: Balance, month: date) -> str:
        """An account string and month as entity keys write them."""
        site = self.world.sites[balance.site]
        legacy = isinstance(balance.account[1], int)
        period = legacy_period(month) if legacy else cloud_period(month)
        ledger = site.company if legacy else LEDGER_ID
        return f"ledger={ledger}|account={account_string(balance.account)}|period={period.name}"

    def _references_of(self, journal: Journal, line: Line, posting: Posting, entry: Entry) -> None:
        if posting.rows is not None:
            if line.is_debit:  # one reference for each row
                side = 1 if entry.amount == posting.amount else -1
                journal.bulk_references.append((line.number, posting.subledger, posting.rows, side))
            return
        key = posting.subledger_key
        if posting.subledger == "INV":
            key = str(inventory_transaction_id(posting.subledger_key))
        amount = entry.amount if entry.referenced is None else entry.referenced
        journal.references.append((line.number, posting.subledger, key, amount))

    # ------------------------------------------------------------------------------------------------------- showing

    def show(self, journal: Journal, moment: datetime) -> None:
        """Emit what changed of a journal, and the balances it moved."""
        if journal.erp == LEGACY:
            self._show_legacy(journal, moment)
        else:
            self._show_cloud(journal, moment)
        for line in journal.changed.values():
            self.record(journal, line, moment)
        if journal.erp == CLOUD and journal.is_posted:
            moved = [self._balances[(CLOUD, journal.site.code, *line.account)] for line in journal.changed.values()]
            self._send_moved(journal.posting_date, moved, moment)
        journal.changed = {}

    def record(self, journal: Journal, line: Line, moment: datetime) -> None:
        """Remember a line as the ledger holds it from the moment on."""
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
                category=journal.category if journal.erp == CLOUD else "",
                account=account_string(line.account),
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
        for balance in self._cloud_balances():
            key = self._balance_key(balance, month - timedelta(days=1))
            if self.faults.opens_wrong(balance.role, key, d):
                stream = self.chance.stream("opens wrong", *balance.account, month)
                balance.misrolled[month] = stream.decimal(15, 900)
                self.plan.note("GL-14", key, balance.site, False, "next month opens with another balance")
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
            begin += sum((off for since, off in balance.misrolled.items() if since <= month), ZERO)
            self._state(balance, period, begin, balance.month_net(month), moment)
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
                opening = begin
                for number in range(1, 14):
                    month = date(year - 1, 9 + number, 1) if number <= 3 else date(year, min(number, 12) - 3, 1)
                    adjustment = number == 13
                    if not adjustment and month <= d and month >= self.world.start.replace(day=1):
                        self._state_legacy(balance, month, opening, d)
                    opening += ZERO if adjustment else balance.month_net(month)
                    row[f"DB_AMOUNT_{number:02d}"] = ZERO if adjustment else balance.debits.get(month, ZERO)
                    row[f"CR_AMOUNT_{number:02d}"] = ZERO if adjustment else -balance.credits.get(month, ZERO)
                rows.append(row)
        return rows

    def _state_legacy(self, balance: Balance, month: date, opening: Decimal, d: date) -> None:
        """Remember what the night's snapshot says of a month, when it says something new."""
        stated = (opening, balance.month_net(month))
        if self._stated.get((balance.site, *balance.account, month)) != stated:
            self._stated[balance.site, *balance.account, month] = stated
            self._state(balance, legacy_period(month), *stated, at(d, 23, 58))

    def _state(self, balance: Balance, period: Period, opening: Decimal, net: Decimal, moment: datetime) -> None:
        site = self.world.sites[balance.site]
        legacy = isinstance(balance.account[1], int)
        self.world.balances.append(
            AccountBalance(
                erp=LEGACY if legacy else CLOUD,
                site=balance.site,
                ledger=str(site.company if legacy else LEDGER_ID),
                account=account_string(balance.account),
                role=balance.role,
                month=period.first,
                period=period.name,
                is_income=BY_ROLE[balance.role].account_type in "RX",
                opens_year=period.number == 1,
                opening=opening,
                net=net,
                known_at=moment,
            )
        )

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

    # ------------------------------------------------------------------------------------ what waits for its posting

    def post_later(self, due: date, journal: Journal) -> None:
        """Post a journal on a later day."""
        self._unposted.append((due, journal))

    def _post_waiting(self, d: date) -> None:
        for due, journal in [entry for entry in self._unposted if entry[0] <= d]:
            self._unposted.remove((due, journal))
            self._post_now(journal)
            self.show(journal, at(d, 22))

    def _post_now(self, journal: Journal) -> None:
        journal.is_posted = True
        for line in journal.lines.values():
            journal.changed[line.number] = line
            balance = self._balance(journal.site, line.role, line.account)
            balance.add(journal.posting_date.replace(day=1), line.is_debit, line.amount)

    def deleted(self, extract: str, key: int, second: int | None, moment: datetime) -> None:
        """Tell that a record of the cloud ERP is gone (Q100)."""
        row = {
            "EXTRACT": extract,
            "KEY1": str(key),
            "KEY2": str(second) if second is not None else None,
            "RUN_TIME": moment,
        }
        self.outbox.emit(CLOUD, "DELETED_KEYS", row, moment)
