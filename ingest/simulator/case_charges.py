"""What a posted log asks billing to charge.

Here: what the policy expects of each line, charges of the stay, charges that nothing was used for (UC-05), credits by
hand (UC-12).
Not here: what becomes of a request (charging).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from ingest.simulator.chance import Stream
from ingest.simulator.charge_records import ChargeRequest
from ingest.simulator.records import Line, Performed
from ingest.simulator.suite import Suite

ZERO = Decimal(0)
ONE = Decimal(1)


class CaseCharges:
    """Asks billing for the charges of cases."""

    def __init__(self, suite: Suite) -> None:
        """Bind the suite."""
        self.masters = suite.masters
        self.charging = suite.charging
        self.plan = suite.plan
        self.bedside = suite.bedside

    def expected(self, performed: Performed, line: Line) -> Decimal:
        """Chargeable EACH of a line by the policy."""
        item = line.item
        if line.is_component or (item is not None and item.is_placeholder) or line.flag == "N":
            return ZERO
        item_class = "IMPLANT" if line.kind == "implant" or item is None else item.item_class
        case = performed.case
        total = ZERO
        for disposition, quantity in (("USED", line.used), ("WASTED", line.wasted)):
            if quantity and self.masters.is_chargeable(
                case.site,
                item_class,
                performed.account.base_class,
                disposition,
                line.cost,
                case.is_research,
                case.surgery_date,
            ):
                total += quantity
        return total

    def requests(self, performed: Performed, lines: list[Line], at: datetime) -> list[ChargeRequest]:
        """The charges of lines that are to be charged and not missed."""
        case = performed.case
        requests = []
        for line in lines:
            expected = self.expected(performed, line)
            if expected == 0 or line.charge == "missed":
                continue
            code = None
            if line.item is not None and line.item.charge_code is not None:
                code = self.masters.charge_codes[line.item.charge_code]
            elif line.stock_class == "ONE_TIME":
                code = self.masters.charge_codes["2789990"]
            if code is None:
                continue
            location = line.location.ehr_code if line.location is not None and not line.is_location_empty else None
            requests.append(
                ChargeRequest(
                    log_id=case.log_id,
                    account=case.account,
                    site=case.site,
                    department=case.department,
                    supply_id=line.supply_id,
                    implant_id=line.implant_id,
                    item=line.item,
                    code=code,
                    quantity_each=expected,
                    unit_cost=line.cost,
                    service_date=case.surgery_date,
                    posted_at=at,
                    location_code=location,
                    mode="normal" if line.charge == "by_hand" else line.charge,
                    wasted_each=line.wasted,
                    is_by_hand=line.charge == "by_hand",
                    usage_id=line.usage_id,
                    may_be_taken_back=line is performed.mistaken,
                )
            )
        return requests

    def of_stay(self, performed: Performed, at: datetime, stream: Stream) -> None:
        """Theatre time and anaesthesia: charges without a supply."""
        case = performed.case
        account = case.account
        hours = Decimal(stream.integer(2, 9)) / 2
        log_id = None if self.bedside.keeps(case.site) else case.log_id
        self.charging.post_simple(account, "3600001", hours, case.surgery_date, at.date(), case.department, log_id)
        if not case.is_research:
            self.charging.post_simple(account, "3700001", ONE, case.surgery_date, at.date(), case.department)

    def stray(self, performed: Performed, at: datetime) -> None:
        """UC-05: a charge for something that was not used, and the ones that only look like it."""
        case = performed.case
        for item, kind in performed.strays:
            if kind == "irrigation":
                tx = self.charging.post_simple(
                    case.account, "2500002", ONE, case.surgery_date, at.date(), case.department
                )
                self.plan.note("UC-05", f"charge={tx.tx_id}", case.site, True, "other revenue code")
                continue
            code = self.masters.charge_codes[item.charge_code or ""]
            request = ChargeRequest(
                log_id=case.log_id,
                account=case.account,
                site=case.site,
                department=case.department,
                supply_id=item.supply_id,
                implant_id=None,
                item=item,
                code=code,
                quantity_each=ONE,
                unit_cost=self.charging.cost_on(item, case.surgery_date),
                service_date=case.surgery_date,
                posted_at=at,
                location_code=None,
            )
            tx = self.charging.post_now(request, at.date())
            self.plan.note(
                "UC-05",
                f"charge={tx.tx_id}",
                case.site,
                kind == "issued",
                "issue tagged" if kind == "issued" else "no usage",
            )

    def credits(self, performed: Performed, at: datetime) -> None:
        """UC-12: credits by hand whose charge is nowhere, and the ones whose charge is found."""
        case, d = performed.case, at.date()
        if performed.mode != "normal":
            return

        def wants(defect: bool, variant: str) -> bool:
            return self.plan.wants("UC-12", defect, case.log_id, case.surgery_date, variant)

        charging, where = self.charging, (case.account, "2500001", ONE, d, case.department)
        lost = str(690000000 + running_number(case.case_id) % 9_000_000)  # numbers from before the history
        if wants(True, "reversal"):
            tx, reason = charging.post_credit(*where, reverses=lost), "reversed charge is not on file"
        elif wants(True, "credit"):
            tx, reason = charging.post_credit(*where, credits=lost), "credited charge is not on file"
        elif wants(False, "charge found"):
            charge = charging.post_simple(case.account, "2500001", ONE, d, d, case.department)
            tx, reason = charging.post_credit(*where, credits=charge.tx_id), "credit of a charge on file"
        elif wants(False, "charge a day later"):
            tx, reason = charging.post_credit_first(*where), "its charge posts a day later"
        else:
            return
        is_near_miss = reason in ("credit of a charge on file", "its charge posts a day later")
        self.plan.note("UC-12", f"charge={tx.tx_id}", case.site, is_near_miss, reason)


def running_number(case_id: str) -> int:
    """The running number of a case, also of one that carries its year (E-yyyy-nnnnnn)."""
    return int(case_id.rpartition("-")[2])
