"""Journals that people enter in the ledgers, and what goes wrong with them (GL-05, GL-06, GL-08).

Here: reclassifications, journals on control accounts, drafts that are corrected or deleted, units not mapped yet.
Not here: journals of subledgers and how any journal is shown (ledger).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from ingest.simulator.accounts import account_string
from ingest.simulator.chance import Chance, Stream
from ingest.simulator.desk import at
from ingest.simulator.events import Site, World
from ingest.simulator.journals import Entry, Journal, Line
from ingest.simulator.ledger_faults import LedgerFaults
from ingest.simulator.new_units import new_units
from ingest.simulator.plan import DefectPlan

if TYPE_CHECKING:
    from ingest.simulator.ledger import Ledger

LEGACY = "erp_lawson"
CLOUD = "erp_fusion"
ZERO = Decimal(0)
MANUAL_WEEKDAYS = (0, 2, 3)
BALANCE_SHEET = "0000"
# Control account, what a journal on it says, the other side and its department.
ON_CONTROL: dict[str, tuple[str, str, str, str]] = {
    "GL-02": ("GRNI", "Write off old receipts", "PPV", "8020"),
    "GL-01": ("INV_ASSET", "Correct inventory", "INV_ADJ", "8020"),
    "GL-03": ("AP_CONTROL", "Clear supplier balance", "PPV", "8020"),
}


class ManualJournals:
    """The people who keep the ledgers by hand."""

    def __init__(self, ledger: Ledger, faults: LedgerFaults) -> None:
        """Bind the ledger that shows what is entered."""
        self.ledger = ledger
        self.faults = faults
        self.world: World = ledger.world
        self.plan: DefectPlan = ledger.plan
        self.chance: Chance = ledger.chance
        self._units = new_units(ledger.world, ledger.plan, ledger.chance)

    def enter(self, d: date) -> None:
        """What people enter on a business day."""
        sites = list(self.world.sites.values())
        for site in self.chance.stream("manual journals", d).sample(sites, len(sites)):
            stream = self.chance.stream("manual journals", site.code, d)
            self._on_control_accounts(site, d, stream)
            if d.weekday() not in MANUAL_WEEKDAYS or d < self.world.start:
                continue
            self._on_new_units(site, d)
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
            self.ledger.enter(journal, entries)
            self.ledger.show(journal, at(d, 15, 20))

    def reclassify(self, site: Site, d: date, entries: list[Entry]) -> str:
        """Enter one balanced journal at a site, in the ERP that it stands for; gives its key."""
        journal = self._manual(site, d)
        self.ledger.enter(journal, entries)
        self.ledger.plan_step(at(d, 15, 20), partial(self.ledger.show, journal, at(d, 15, 20)))
        return journal.key

    def _manual(self, site: Site, d: date) -> Journal:
        source = "GL-JE" if site.erp == LEGACY else "Manual"
        journal = self.ledger.new_journal(site, source, "" if site.erp == LEGACY else "Manual", d, at(d, 15))
        journal.is_manual = True
        journal.name = f"Reclass supplies {d:%Y-%m-%d}"
        return journal

    def _on_control_accounts(self, site: Site, d: date, stream: Stream) -> None:
        """GL-08: journals on control accounts; in some months they alone explain the account's difference."""
        for rule_id in ON_CONTROL:
            if self.faults.is_explained_by_hand(rule_id, site.code, d):
                self._on_control(rule_id, site, d, stream.decimal(120, 900))
        for rule_id, (role, *_) in ON_CONTROL.items():
            if self.plan.wants("GL-08", True, site.code, d, f"{role} {site.erp}"):
                self._on_control(
                    rule_id, site, d, self.chance.stream("on control", role, site.code, d).decimal(60, 7000)
                )

    def _on_control(self, rule_id: str, site: Site, d: date, amount: Decimal) -> None:
        role, text, other, department = ON_CONTROL[rule_id]
        journal = self._manual(site, d)
        journal.name = f"{text} {d:%Y-%m-%d}"
        self.ledger.enter(journal, [Entry(role, BALANCE_SHEET, amount), Entry(other, department, -amount)])
        line = next(line.number for line in journal.lines.values() if line.role == role)
        self.plan.note("GL-08", f"{journal.entity}|line={line}", site.code, False, text)
        self.ledger.show(journal, at(d, 15, 20))

    def _on_new_units(self, site: Site, d: date) -> None:
        """GL-06: a new unit or sub account is used, and perhaps not mapped yet."""
        for unit in self._units:
            if unit.site != site.code or not unit.is_used_on(d):
                continue
            amount = self.chance.stream("new unit", site.code, unit.unit, unit.sub, d).decimal(40, 1900)
            journal = self._manual(site, d)
            journal.name = f"Open unit {unit.unit} {d:%Y-%m-%d}"
            entries = [
                Entry("SUPPLY_EXP", unit.department, amount, account=unit.account),
                Entry("FREIGHT", "8020", -amount),
            ]
            self.ledger.enter(journal, entries)
            key = f"company={site.company}|account={account_string(unit.account)}"
            self.plan.note("GL-06", key, site.code, unit.fate == "mapped in time", unit.fate)
            self.ledger.show(journal, at(d, 15, 20))

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
        self.ledger.enter(
            journal,
            [
                Entry("SUPPLY_EXP", target, amount),
                Entry("SUPPLY_EXP", source, -(amount - part)),
                Entry("SUPPLY_EXP", third, -part),
            ],
        )
        self.ledger.show(journal, at(d, 15, 20))
        self.ledger.plan_step(at(d, 21), partial(self._move_amount, journal, third, source, amount, at(d, 21)))
        self.ledger.post_later(d + timedelta(days=1), journal)
        self.plan.note("GL-05", journal.entity, journal.site.code, True, "line of a draft deleted")

    def _move_amount(self, journal: Journal, third: str, source: str, amount: Decimal, evening: datetime) -> None:
        removed = next(line for line in journal.lines.values() if line.department == third)
        kept = next(line for line in journal.lines.values() if line.department == source)
        kept.amount = amount
        self._forget(journal, removed, evening)
        journal.changed[kept.number] = kept
        self.ledger.show(journal, evening)

    def _deleted_draft(self, journal: Journal, entries: list[Entry], d: date) -> None:
        """Near miss of GL-05: a draft that is deleted before it is posted (Q100)."""
        journal.is_posted = False
        self.ledger.enter(journal, entries)
        self.ledger.show(journal, at(d, 15, 20))
        self.ledger.plan_step(at(d, 21), partial(self._forget_all, journal, at(d, 21)))
        self.plan.note("GL-05", journal.entity, journal.site.code, True, "draft deleted")

    def _forget_all(self, journal: Journal, evening: datetime) -> None:
        for line in list(journal.lines.values()):
            self._forget(journal, line, evening)
        self.ledger.deleted("GL_JE_HEADERS", journal.header_id, None, evening)

    def _forget(self, journal: Journal, line: Line, moment: datetime) -> None:
        line.amount = ZERO
        self.ledger.record(journal, line, moment)
        journal.lines = {key: entry for key, entry in journal.lines.items() if entry is not line}
        self.ledger.deleted("GL_JE_LINES", journal.header_id, line.number, moment)
