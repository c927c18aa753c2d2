"""What changes about a case after it was documented or posted.

Here: logs completed or void, addenda (Q17), lines taken back (Q36), changes of class and payer (Q40).
Not here: corrections of billing alone (charging).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from ingest.simulator.case_usage import CaseUsage
from ingest.simulator.chance import Stream
from ingest.simulator.delivery import CHICAGO
from ingest.simulator.documentation import Documentation
from ingest.simulator.records import Line, Performed
from ingest.simulator.registration import Registration
from ingest.simulator.scanning import Scanning
from ingest.simulator.suite import Suite

ZERO = Decimal(0)
ONE = Decimal(1)


class Corrections:
    """Corrects cases."""

    def __init__(
        self,
        suite: Suite,
        registration: Registration,
        usage: CaseUsage,
        documentation: Documentation,
        scanning: Scanning,
        post: Callable[[Performed, datetime], None],
    ) -> None:
        """Bind the suite and its rooms; `post` posts a log again."""
        self.suite = suite
        self.stock = suite.stock
        self.charging = suite.charging
        self.plan = suite.plan
        self.chance = suite.chance
        self.chart = suite.chart
        self.bedside = suite.bedside
        self.registration = registration
        self.usage = usage
        self.documentation = documentation
        self.scanning = scanning
        self._post = post

    def class_change(self, performed: Performed, at: datetime, stream: Stream) -> None:
        """Q40: after a change of class or payer every charge is reversed and posted again."""
        account = performed.account
        day = at.date() + timedelta(days=stream.integer(4, 7))
        kind = "class" if account.base_class == 2 and stream.flag(0.6) else "payer"
        self.charging.plan_change(account.account, kind, day)
        if stream.flag(0.3):
            self.charging.plan_change(account.account, "payer", day + timedelta(days=stream.integer(2, 6)))
        account.is_touched = True
        if kind == "class":
            self.suite.on(day, lambda on: self._follow_class(performed, on))

    def _follow_class(self, performed: Performed, day: date) -> None:
        at = datetime.combine(day, time(22, 10), CHICAGO)
        self.documentation.version(performed, at, base_class=1)
        self.registration.show_stay(performed.account, "6010", at, performed.account.discharged_at, base_class=1)

    def prepare_addendum(self, performed: Performed, stream: Stream) -> None:
        """Q17: one more piece was used and scanned; the record learns of it later."""
        item = self.usage.not_on_log(performed, stream)
        if item is None:
            return
        east = self.bedside.keeps(performed.case.site)
        home = self.stock.home(performed.case.site, item)
        line = Line("pick_list", item, ONE, ZERO, home, cost=self.charging.cost_on(item, performed.case.surgery_date))
        # A charge of an addendum comes too late (UC-02): one that no defect wants is not charged any more.
        variant = "addendum, FHIR" if east else "addendum"
        is_late = self.plan.wants("UC-02", True, performed.case.log_id, performed.case.surgery_date, variant)
        if east and not is_late:
            return  # that record has no flag that would say so
        line.flag = "Y" if item.is_chargeable and is_late else "N"
        number = performed.documented + 5
        line.usage_id = f"PKLST:{performed.pick_list_id}:{number}"
        if east:
            line.flag = None
            self.bedside.number_lines(performed, self.bedside.documented([line]), number)
        performed.extra_lines = [line]
        scan = self.scanning.scan_of(performed, item, ONE, home, performed.case.posted_at[-1] - timedelta(minutes=30))
        self.stock.use(scan)

    def addendum(self, performed: Performed, day: date) -> None:
        """The record learns of what was left out, and the log is posted again."""
        if not performed.extra_lines:
            return
        at = datetime.combine(day, time(16, 5), CHICAGO)
        self.documentation.document(performed, performed.extra_lines, at)
        self._post(performed, at + timedelta(hours=1))

    def retract(self, performed: Performed, line: Line, day: date) -> None:
        """Take back a line that was written down by mistake, and its charge."""
        at = datetime.combine(day, time(15, 20), CHICAGO)
        self.charging.take_back(performed.account.account, line.usage_id, day)
        if self.bedside.keeps(performed.case.site):
            is_deleted = self.chance.stream("retract", line.usage_id).flag(0.5)
            self.bedside.retract(performed, line, at, is_deleted)
            return
        line.used = ZERO
        performed.extra_lines = []
        self.documentation.withdraw(performed, line, at)
        self._post(performed, at + timedelta(hours=1))

    def complete(self, performed: Performed, day: date) -> None:
        """The log is complete: nobody is to change it any more."""
        at = datetime.combine(day, time(8, 20), CHICAGO)
        if performed.case.status == 2:
            self.documentation.version(performed, at, status=5)
            self.chart.log(performed, at, addenda=len(performed.case.posted_at) - 1)
            self.chart.audit(performed, 30, 8, at)

    def void(self, performed: Performed, day: date) -> None:
        """The log was opened by mistake; what it took goes back on the shelf."""
        at = datetime.combine(day, time(9, 30), CHICAGO)
        self.documentation.version(performed, at, status=4)
        if self.bedside.keeps(performed.case.site):
            self.bedside.voided(performed, at)
        else:
            self.chart.log(performed, at)
        for line in performed.lines:
            if line.item is not None and line.is_owned_stock and line.scan != "none" and line.location is not None:
                scan = self.scanning.scan_of(performed, line.item, line.used + line.wasted, line.location, at)
                self.stock.give_back(replace(scan, lot=line.lot))
