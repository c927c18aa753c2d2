"""The schedule of the operating rooms: which cases are planned, for whom, when and in which room.

Here: cases a week ahead, cancelled and rescheduled ones (Q02), log numbers that differ from the case's (Q01).
Not here: performing them (clinic).
"""

from __future__ import annotations

from datetime import date, datetime, time

from ingest.simulator.chance import Stream
from ingest.simulator.records import PlannedCase
from ingest.simulator.registration import Registration
from ingest.simulator.suite import Suite

CASES_PER_YEAR = 132_000  # performed
CANCELLED = 0.02  # of the planned
WEEKDAY_WEIGHTS = (1.3, 1.32, 1.3, 1.32, 1.26, 0.3, 0.2)
OWN_LOG_NUMBERS = 7_000_000  # distance of a log number that no case has


class Scheduling:
    """Plans the cases of every site."""

    def __init__(self, suite: Suite, registration: Registration) -> None:
        """Nothing is planned yet."""
        self.world = suite.world
        self.masters = suite.masters
        self.plan = suite.plan
        self.chance = suite.chance
        self.chart = suite.chart
        self.bedside = suite.bedside
        self.registration = registration
        self._cases: dict[date, list[PlannedCase]] = {}
        self._next_case = 40000001

    def schedule(self, day: date, at: datetime) -> None:
        """Plan the cases of `day`."""
        for site in self.world.sites.values():
            stream = self.chance.stream("schedule", site.code, day)
            expected = (
                CASES_PER_YEAR
                / (1 - CANCELLED)
                / 365
                * site.volume_share
                * self.masters.scale
                * WEEKDAY_WEIGHTS[day.weekday()]
            )
            number = int(expected) + stream.flag(expected - int(expected))
            cases = [self._plan_case(site.code, day, place, stream) for place in range(number)]
            self._number_logs(cases)
            for case in cases:
                self._cases.setdefault(day, []).append(case)
                self.chart.patient(case.patient, at)
                if not self.bedside.keeps(site.code):
                    self.chart.case(case, at, None)

    def _plan_case(self, site: str, day: date, place: int, stream: Stream) -> PlannedCase:
        departments = self.world.sites[site].departments
        procedure = stream.weighted(
            [(entry, entry.weight) for entry in self.masters.procedures if entry.department in departments]
        )
        surgeons = [surgeon for surgeon in self.masters.surgeons if procedure.service_c in surgeon.services]
        surgeon = stream.pick(surgeons)
        if self.bedside.keeps(site):
            case_id = self.bedside.case_number(day)
        else:
            case_id = str(self._next_case)
            self._next_case += 1
        reuse = self.registration.knows_somebody and stream.flag(0.1)
        patient = self.registration.known_patient(stream) if reuse else self.registration.new_patient(case_id)
        csn = self.registration.new_encounter()
        minute = 7 * 60 + 30 + (place % 4) * 130 + stream.integer(0, 5) * 5
        case = PlannedCase(
            case_id=case_id,
            log_id=case_id,
            site=site,
            day=day,
            procedure=procedure,
            surgeon_id=surgeon.provider_id,
            surgeon_name=surgeon.name,
            room=1 + place % 6,
            start=datetime.combine(day, time(minute // 60, minute % 60), self.world.sites[site].clock),
            patient=patient,
            surgical_csn=csn,
        )
        if stream.flag(CANCELLED):
            case.is_cancelled, case.cancel_reason = True, 3
        elif self.plan.quirk("Q02", case_id):
            case.cancel_reason = 2
        return case

    def _number_logs(self, cases: list[PlannedCase]) -> None:
        """Q01: a log's number differs from its case's for one in ten; some are another case's number."""
        special = [case for case in cases if not self.bedside.keeps(case.site) and self.plan.quirk("Q01", case.case_id)]
        for first, second in zip(special[::2], special[1::2], strict=False):
            first.log_id, second.log_id = second.case_id, first.case_id
        if len(special) % 2:
            last = special[-1]
            last.log_id = str(int(last.case_id) + OWN_LOG_NUMBERS)

    def take(self, d: date) -> list[PlannedCase]:
        """The cases of `d`, which leave the schedule."""
        return self._cases.pop(d, [])

    def planned(self, d: date) -> list[PlannedCase]:
        """The cases planned for `d`."""
        return self._cases.get(d, [])
