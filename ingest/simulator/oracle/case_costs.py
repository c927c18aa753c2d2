"""Control totals of a case's cost (UI-09).

Here: documented usage at documented cost, by type, beside the totals of the clinical record.
Not here: what is used (view), what it costs in inventory (costs).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Case, CaseCost
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents, is_beyond
from ingest.simulator.oracle.view import Line, Versions, View

MATURITY = timedelta(days=1)


class CaseCostRules:
    """The rule of control totals over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        self._totals: dict[str, dict[int, Versions[CaseCost]]] = defaultdict(dict)
        for row in view.world.case_costs:
            known = view.deliveries.known_on("ehr", row.known_at)
            self._totals[row.log_id].setdefault(row.cost_type, Versions()).add(known, row)

    def judge(self) -> None:
        """Follow every log with totals to the end of the world."""
        for log_id, totals in self._totals.items():
            versions = self._view.cases[log_id]
            dates = set(versions.dates())
            dates.update(self._view.posting_date(case) + MATURITY for _, case in versions.rows if case.posted_at)
            for total in totals.values():
                dates.update(total.dates())
            for version in self._view.usage.get(log_id, {}).values():
                dates.update(version.dates())
            self._book.follow(dates, partial(self._totals_of, log_id, totals))

    def _totals_of(self, log_id: str, totals: dict[int, Versions[CaseCost]], as_of: date, docket: Docket) -> None:
        case = self._view.case(log_id, as_of)
        if case is None or not self._view.is_posted(case) or as_of < self._view.posting_date(case) + MATURITY:
            return
        sums: dict[int, Fraction] = defaultdict(Fraction)
        for line in self._view.lines(log_id, as_of):
            used, wasted = (3, 4) if line.usage.record == "implant" else (1, 2)
            cost = self._cost(case, line)
            sums[used] += Fraction(line.used) * cost
            sums[wasted] += Fraction(line.wasted) * cost
        for cost_type, versions in totals.items():
            row = versions.at(as_of)
            if row is None:
                continue
            difference = sums[cost_type] - Fraction(row.amount)
            key = f"case={log_id}|type={cost_type}"
            if is_beyond("usage_control", difference, row.amount):
                docket.fire("UI-09", case.site, key, cents(difference), case.surgery_date)
            elif abs(difference) >= Fraction(1, 2):
                docket.spare("UI-09", case.site, key, case.surgery_date, "within a dollar")

    def _cost(self, case: Case, line: Line) -> Fraction:
        """Cost of a line as the record has it: pick list, one-time implant, else cost over time on the surgery date."""
        usage = line.usage
        if usage.documented_cost is not None and (usage.record == "pick_list" or usage.is_one_time):
            return Fraction(usage.documented_cost)
        return self._view.supply_cost(usage.supply_id, case.surgery_date)
