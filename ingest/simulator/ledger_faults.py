"""What goes wrong between the subledgers and the ledger: GL-01, GL-02, GL-03, GL-10, GL-13, GL-14.

Here: which postings reach a wrong account, never reach the ledger, arrive cut or wait for their posting, which balances
miss a journal or a roll-forward, and what only looks like it.
Not here: journals themselves (ledger), manual ones (manual_journals), whether a rule fires (oracle).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from ingest.simulator.accounts import month_end
from ingest.simulator.chance import Chance
from ingest.simulator.events import Posting, World
from ingest.simulator.plan import DefectPlan

ZERO = Decimal(0)
DEFECTIVE_SHARE = 0.6
LEAST_DEFECTIVE = 5
LEAST_CLEAN = 2
WRONG_ACCOUNT_FROM = Decimal(25)
EXPLANATIONS = ("manual", "withheld", "unposted")
REASONS = {
    "manual": "manual journal on the account",
    "withheld": "batch missing in the ledger",
    "unposted": "journal not yet posted",
}
IMPORTED_EVENTS = ("E09", "E10")
IMPORTED_FROM = Decimal(20)
ROLLED_ROLES = ("FREIGHT", "PPV", "SUPPLY_EXP", "IMPLANT_EXP", "DEDUCTIONS")


@dataclass(frozen=True, slots=True)
class ControlAccount:
    """A control account that a rule ties to its subledger."""

    rule_id: str
    role: str
    systems: tuple[str, ...]  # whose batches and journals explain a difference when they are missing or late
    astray: tuple[str, ...]  # events whose side of the account may land elsewhere
    stream: str


CONTROL_ACCOUNTS = (
    ControlAccount("GL-02", "GRNI", ("PO", "RA"), ("E01", "E02", "E03", "E05"), "accrual defects"),
    ControlAccount("GL-01", "INV_ASSET", ("IC", "CA"), ("E09", "E10", "E12", "E13"), "inventory account defects"),
    ControlAccount("GL-03", "AP_CONTROL", ("AP", "PAY"), ("E04", "E05", "E08"), "payables account defects"),
)
BY_RULE = {account.rule_id: account for account in CONTROL_ACCOUNTS}


@dataclass(frozen=True, slots=True)
class Import:
    """What the ledger takes over of a posting: the amount of its journal and that of its import reference."""

    posted: Decimal
    referenced: Decimal


class LedgerFaults:
    """Chooses, month by month and posting by posting, what the ledgers get wrong."""

    def __init__(self, world: World, plan: DefectPlan, chance: Chance) -> None:
        """Choose the months of each site; nothing is wrong without defects."""
        self.world = world
        self.plan = plan
        self.chance = chance
        self._wrong: dict[tuple[str, str, date], date] = {}  # rule, site, month -> from which day on
        self._explained: dict[tuple[str, str, date], tuple[str, date]] = {}
        self._withheld: set[tuple[str, str, date]] = set()  # site, system, posting date
        self._revenue: dict[tuple[str, date], tuple[str, date]] = {}
        self._astray_revenue: set[tuple[str, date]] = set()
        self._charged: dict[tuple[str, date], Decimal] = defaultdict(Decimal)  # site, month
        self._astray: set[tuple[str, str, date]] = set()  # batches with a row on a wrong account
        self._short: set[tuple[str, str, date]] = set()  # batches that the ledger takes over in part
        for account in CONTROL_ACCOUNTS:
            self._choose_months(account)
        self._choose_revenue()

    def _spans(self) -> list[tuple[str, date, date, date]]:
        """Site, month, first and last day of every month that is simulated for a week or more."""
        spans = []
        month = self.world.start.replace(day=1)
        while month <= self.world.end:
            first, last = max(month, self.world.start), min(month_end(month), self.world.end)
            if (last - first).days >= 7:
                spans += [(site, month, first, last) for site in self.world.sites]
            month = month_end(month) + timedelta(days=1)
        return spans

    def _choose_months(self, account: ControlAccount) -> None:
        """The months in which a posting reaches a wrong account, and what explains a difference in the others."""
        spans = self._spans()
        stream = self.chance.stream(account.stream)
        chosen = stream.sample(spans, len(spans))
        wanted = max(LEAST_DEFECTIVE, round(len(chosen) * DEFECTIVE_SHARE))
        wanted = max(min(wanted, len(chosen) - LEAST_CLEAN), len(chosen) // 2) if self.plan.defects else 0
        for place, (site, month, first, last) in enumerate(chosen):
            span = max((last - first).days - 5, 1)
            day = first + timedelta(days=2 + stream.integer(0, span - 1))
            if place < wanted:
                self._wrong[account.rule_id, site, month] = day
            elif self.plan.defects:
                kind = EXPLANATIONS[(place - wanted) % len(EXPLANATIONS)]
                self._explained[account.rule_id, site, month] = (kind, day)

    def _choose_revenue(self) -> None:
        """GL-13: half of the months lose a day of outpatient revenue, the others a charge within the tolerance."""
        hospitals = {site.code for site in self.world.hospitals()}
        spans = [span for span in self._spans() if span[0] in hospitals] if self.plan.defects else []
        stream = self.chance.stream("revenue defects")
        for place, (site, month, first, last) in enumerate(stream.sample(spans, len(spans))):
            day = first + timedelta(days=2 + stream.integer(0, max((last - first).days - 4, 1)))
            self._revenue[site, month] = ("day" if place % 2 == 0 else "charge", day)

    def note_period(self, rule_id: str, site: str, month: date, near: bool, reason: str) -> None:
        """Name the period of a facility as defect or near miss."""
        self.plan.note(rule_id, f"facility={site}|period={month:%Y-%m}", site, near, reason)

    # --------------------------------------------------------------------------------------------- accounts, batches

    def account_of(self, role: str, posting: Posting) -> str:
        """The role under which the ledger books a side of the posting: suspense when it goes astray."""
        for account in CONTROL_ACCOUNTS:
            if account.role == role and self._goes_astray(account, posting):
                return "SUSPENSE"
        if role in ("PATIENT_REV_IP", "PATIENT_REV_OP") and self._revenue_goes_astray(posting):
            return "SUSPENSE"
        return role

    def _goes_astray(self, account: ControlAccount, posting: Posting) -> bool:
        month = posting.posting_date.replace(day=1)
        day = self._wrong.get((account.rule_id, posting.site, month))
        if day is None or posting.posting_date < day or abs(posting.amount) < WRONG_ACCOUNT_FROM:
            return False
        if posting.event not in account.astray or _batch(posting) in self._short:
            return False
        self._astray.add(_batch(posting))
        del self._wrong[account.rule_id, posting.site, month]
        self.note_period(account.rule_id, posting.site, month, False, f"{account.role} posted to suspense")
        return True

    def _revenue_goes_astray(self, posting: Posting) -> bool:
        month = posting.posting_date.replace(day=1)
        if posting.event == "E18":
            self._charged[posting.site, month] += posting.amount
        if (posting.site, posting.posting_date) in self._astray_revenue:
            return True
        kind, day = self._revenue.get((posting.site, month), ("", date.max))
        if posting.event != "E18" or posting.posting_date < day:
            return False
        if kind == "charge" and abs(posting.amount) * 1000 > self._charged[posting.site, month]:
            return False
        del self._revenue[posting.site, month]
        if kind == "day":
            self._astray_revenue.add((posting.site, posting.posting_date))
            self.note_period("GL-13", posting.site, month, False, "revenue of a day posted to suspense")
        else:
            self.note_period("GL-13", posting.site, month, True, "within a thousandth of the charges")
        return True

    def choose_withheld(self, posting: Posting, d: date) -> None:
        """Whether the rows of this subledger and day become the batch that never reaches the ledger."""
        if posting.posting_date != d:
            return
        month = d.replace(day=1)
        for account in CONTROL_ACCOUNTS:
            kind, day = self._explained.get((account.rule_id, posting.site, month), ("", date.max))
            if kind != "withheld" or d < day or posting.system not in account.systems:
                continue
            if account.role in (posting.debit_role, posting.credit_role):
                del self._explained[account.rule_id, posting.site, month]
                self._withheld.add((posting.site, posting.system, d))
                self.note_period(account.rule_id, posting.site, month, True, REASONS["withheld"])

    def is_withheld(self, posting: Posting) -> bool:
        """Whether the posting never reaches the ledger: its batch is withheld, or its row is lost."""
        if _batch(posting) in self._withheld:
            return True
        return self._is_imported(posting) and self._import_fails(posting, f"row lost {posting.erp}")

    def _is_imported(self, posting: Posting) -> bool:
        if posting.event not in IMPORTED_EVENTS or posting.amount < IMPORTED_FROM:
            return False
        return _batch(posting) not in self._astray

    def _import_fails(self, posting: Posting, how: str) -> bool:
        fails = self.plan.wants("GL-10", True, posting.subledger_key, posting.posting_date, how)
        if fails:
            self._short.add(_batch(posting))
        return fails

    def imported(self, posting: Posting) -> Import:
        """What the ledger takes over of the posting, which is all of it unless the import cut or altered it."""
        amount = posting.amount
        if not self._is_imported(posting):
            return Import(amount, amount)
        cut = (amount * Decimal("0.9")).quantize(Decimal("0.01"))
        if self._import_fails(posting, f"amount cut {posting.erp}"):
            return Import(cut, amount)
        if posting.erp == "erp_fusion" and self._import_fails(posting, "reference altered"):
            return Import(cut, cut)
        return Import(amount, amount)

    def stays_unposted(self, posting: Posting) -> bool:
        """Whether the journal that this posting opens waits a few days for its posting."""
        month = posting.posting_date.replace(day=1)
        for account in CONTROL_ACCOUNTS:
            kind, day = self._explained.get((account.rule_id, posting.site, month), ("", date.max))
            if kind != "unposted" or posting.system not in account.systems or posting.posting_date < day:
                continue
            if account.role not in (posting.debit_role, posting.credit_role):
                continue
            del self._explained[account.rule_id, posting.site, month]
            self.note_period(account.rule_id, posting.site, month, True, REASONS["unposted"])
            return True
        return False

    def is_explained_by_hand(self, rule_id: str, site: str, d: date) -> bool:
        """Whether a manual journal on the rule's account is due at the site; asked once it is."""
        month = d.replace(day=1)
        kind, day = self._explained.get((rule_id, site, month), ("", date.max))
        if kind != "manual" or d < day:
            return False
        del self._explained[rule_id, site, month]
        self.note_period(rule_id, site, month, True, REASONS["manual"])
        return True

    # ------------------------------------------------------------------------------------------------------ balances

    def misses_journal(self, erp: str, role: str, key: str, d: date) -> bool:
        """GL-14: whether the balance of an account does not take over what a journal posts to it."""
        return role in ROLLED_ROLES and self.plan.wants("GL-14", True, key, d, f"journal missed {erp}")

    def opens_wrong(self, role: str, key: str, d: date) -> bool:
        """GL-14: whether a new month of the cloud opens with another balance than the one before closed with."""
        return role in ("CASH", "PATIENT_AR") and self.plan.wants("GL-14", True, key, d, "not rolled forward")


def _batch(posting: Posting) -> tuple[str, str, date]:
    """Site, subledger and day of a posting."""
    return (posting.site, posting.system, posting.posting_date)
