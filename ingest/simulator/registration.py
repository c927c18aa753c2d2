"""Patients, their stays and the accounts of those stays.

Here: who comes, numbers of patients, encounters and accounts, the admission of a planned case.
Not here: what is done to them (clinic), how it is written (chart, bedside), what is charged (charging).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from ingest.simulator.chance import Stream
from ingest.simulator.charge_records import Account
from ingest.simulator.masters import FIRST_NAMES, LAST_NAMES
from ingest.simulator.records import Patient, PlannedCase
from ingest.simulator.suite import Suite


class Registration:
    """Registers patients and opens their stays."""

    def __init__(self, suite: Suite) -> None:
        """Nobody is known yet."""
        self.suite = suite
        self.world = suite.world
        self.charging = suite.charging
        self.outbox = suite.outbox
        self.plan = suite.plan
        self.chance = suite.chance
        self.chart = suite.chart
        self.bedside = suite.bedside
        self._patients: list[Patient] = []
        self._next_encounter = 300000001
        self._next_account = 600000001

    def new_patient(self, case_id: str) -> Patient:
        """Somebody who was never here; `case_id` names whom."""
        stream = self.chance.stream("patient", case_id)
        number = len(self._patients) + 1
        is_test = self.plan.quirk("Q16", case_id)
        name = f"{stream.pick(LAST_NAMES).upper()},{stream.pick(FIRST_NAMES).upper()} {stream.pick('ABCDEFGHJKLM')}"
        mrn = f"E{1000000 + number}"
        if is_test:
            name, mrn = f"ZZTEST,{stream.pick(FIRST_NAMES).upper()}", f"ZZ{1000000 + number}"
        patient = Patient(
            patient_id=f"Z{2000000 + number}",
            mrn=mrn,
            name=name,
            birth_date=date(stream.integer(1936, 2006), stream.integer(1, 12), stream.integer(1, 28)),
            ssn=f"9{stream.integer(10, 99)}-{stream.integer(10, 69)}-{stream.integer(1000, 9999)}",
            phone=f"555-01{stream.integer(0, 99):02d}-{stream.integer(1000, 9999)}",
            address=f"{stream.integer(10, 9900)} {stream.pick(LAST_NAMES)} Lane",
            email=f"{name.split(',')[1].split()[0].lower()}.{number}@example.org",
            is_test=is_test,
        )
        self._patients.append(patient)
        return patient

    def open_account(self, patient: Patient, site: str, ward: str, **stay: Any) -> Account:
        """Give a stay its account and encounter, and show both to the record and to billing."""
        account = Account(
            account=str(self._next_account),
            site=site,
            csn=self.new_encounter(),
            patient_id=patient.patient_id,
            patient_name=patient.name,
            birth_date=patient.birth_date,
            ssn=patient.ssn,
            phone=patient.phone,
            **stay,
        )
        self._next_account += 1
        self.show_stay(account, ward, account.admitted_at)
        self.charging.open_account(account, account.admitted_at)
        return account

    def show_stay(
        self,
        account: Account,
        ward: str,
        at: datetime,
        discharged: datetime | None = None,
        base_class: int | None = None,
    ) -> None:
        """A stay opens or changes in the record of its hospital."""
        record = self.bedside if self.bedside.keeps(account.site) else self.chart
        record.encounter(account, ward, at, discharged, base_class)

    def admit(self, planned: PlannedCase, stream: Stream) -> Account:
        """Open the stay of a planned case, with the link from case to encounter."""
        inpatient = stream.flag(planned.procedure.inpatient_share)
        base_class = 1 if inpatient else 3 if stream.flag(0.06) else 2
        admitted = planned.start - timedelta(hours=2)
        stay = stream.integer(2, 5) if inpatient else 0
        discharged = (planned.start + timedelta(days=stay)).replace(hour=17, minute=10)
        is_research = self.plan.quirk("research", planned.case_id, share=0.015)
        if planned.day > self.world.start and self.plan.wants("UC-01", False, planned.case_id, planned.day, "research"):
            is_research = True
        account = self.open_account(
            planned.patient,
            planned.site,
            "6010" if inpatient else "7050",
            base_class=base_class,
            is_research=is_research,
            admitted_at=admitted,
            discharged_at=discharged,
            department=planned.procedure.department,
            is_surgical=True,
            payor=stream.pick(("1001", "1002", "1003", "1004")),
        )
        if not self.bedside.keeps(planned.site):
            self.outbox.emit(
                "ehr",
                "PAT_OR_ADM_LINK",
                {
                    "PAT_ENC_CSN_ID": planned.surgical_csn,
                    "OR_LINK_CSN": account.csn,
                    "CASE_ID": planned.case_id,
                    "LOG_ID": planned.log_id,
                    "OR_CASELOG_ID": str(int(planned.case_id) + 13)
                    if self.plan.quirk("Q18", planned.case_id)
                    else planned.log_id,
                    "UPDATE_DATE": admitted,
                },
                admitted,
            )
        if discharged.date() <= self.world.end:
            self.suite.on_or_now(
                planned.day,
                discharged.date(),
                lambda day: self.show_stay(account, "6010", discharged, discharged),
            )
        return account

    def new_encounter(self) -> str:
        """Number of the next encounter."""
        number = str(self._next_encounter)
        self._next_encounter += 1
        return number

    def known_patient(self, stream: Stream) -> Patient:
        """One of those who came lately."""
        return stream.pick(self._patients[-60:])

    @property
    def knows_somebody(self) -> bool:
        """Whether anybody came yet."""
        return bool(self._patients)
