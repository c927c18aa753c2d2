"""The rows of hospital billing (system hb): accounts, transactions, router, review, claims and prices.

Here: how what billing did is written in its database.
Not here: what it did (charging), whole days of wards and clinics (census).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal

from ingest.simulator.chance import Chance
from ingest.simulator.charge_records import Account, ChargeRequest
from ingest.simulator.delivery import Outbox, Row
from ingest.simulator.events import ChargeTransaction, World
from ingest.simulator.masters import Masters


class BillingRows:
    """Writes hospital billing."""

    def __init__(self, world: World, masters: Masters, outbox: Outbox, chance: Chance) -> None:
        """Bind the world; nothing is written until it is asked for."""
        self.world = world
        self.masters = masters
        self.outbox = outbox
        self.chance = chance

    def account(self, account: Account, at: datetime) -> None:
        """An account as it stands."""
        site = self.world.sites[account.site]
        total = account.of_ward + sum((tx.amount for tx in account.transactions if tx.tx_type == 1), Decimal(0))
        discharged = account.discharged_at if account.discharged_at and account.discharged_at <= at else None
        self.outbox.emit(
            "hb",
            "HSP_ACCOUNT",
            {
                "HSP_ACCOUNT_ID": account.account,
                "SERV_AREA_ID": "10",
                "ADM_LOC_ID": site.loc_id,
                "DISCH_LOC_ID": site.loc_id if discharged else None,
                "ACCT_BASECLS_HA_C": account.base_class,
                "ACCT_CLASS_HA_C": 100 + account.base_class,
                "ACCT_FIN_CLASS_C": 1 + int(account.account) % 4,
                "ACCT_BILLSTS_HA_C": account.bill_status,
                "CODING_STATUS_C": 4 if account.bill_status > 2 else 1,
                "ADM_DATE_TIME": account.admitted_at,
                "DISCH_DATE_TIME": discharged,
                "PRIMARY_PAYOR_ID": account.payor,
                "FINAL_DRG_ID": "470" if account.base_class == 1 and account.bill_status > 2 else None,
                "TOT_CHGS": total,
                "COMBINE_ACCT_ID": account.combined_into,
                "RESEARCH_YN": account.is_research,
                "HSP_ACCOUNT_NAME": account.patient_name,
                "PAT_SSN": account.ssn,
                "PAT_HOME_PHONE": account.phone,
                "PAT_DOB": account.birth_date,
                "GUAR_NAME": account.patient_name,
                "UPDATE_DATE": at,
            },
            at,
        )

    def router(self, request: ChargeRequest, record: int, stage: int, at: datetime, quantity: Decimal) -> None:
        """A charge in the router, by the stage it is in."""
        self.outbox.emit(
            "hb",
            "CLARITY_UCL",
            {
                "UCL_ID": str(90000000 + record),
                "SURGICAL_LOG_ID": request.log_id,
                "SUPPLY_ID": request.supply_id,
                "IMPLANT_ID": request.implant_id,
                "PROCEDURE_ID": request.code.proc_id,
                "HSP_ACCOUNT_ID": request.account,
                "QUANTITY": quantity,
                "SERVICE_DATE_DT": request.service_date,
                "ROUTER_STAGE_C": stage,
                "UPDATE_DATE": at,
            },
            at,
        )

    def review(
        self,
        request: ChargeRequest,
        tar_id: str,
        status: int,
        at: datetime,
        tx_id: str | None,
        quantity: Decimal,
        amount: Decimal,
    ) -> None:
        """A charge in charge review."""
        self.outbox.emit(
            "hb",
            "PRE_AR_CHG",
            {
                "TAR_ID": tar_id,
                "CHARGE_LINE": 1,
                "ACCOUNT_ID": f"G{request.account}",
                "HSP_ACCOUNT_ID": request.account,
                "LOC_ID": self.world.sites[request.site].loc_id,
                "PROC_DEPT_ID": self.department_id(request.site, request.department),
                "PROC_ID": request.code.proc_id,
                "QTY": quantity,
                "AMOUNT": amount,
                "SERVICE_DATE": request.service_date,
                "LOG_ID": request.log_id,
                "SUPPLY_ID": request.supply_id,
                "IMPLANT_ID": request.implant_id,
                "CHARGE_STATUS_C": status,
                "FILE_DATE": at if tx_id else None,
                "TX_ID": tx_id,
                "UPDATE_DATE": at,
            },
            at,
        )

    def waiting(
        self,
        request: ChargeRequest,
        record_id: str,
        quantity: Decimal,
        amount: Decimal,
        account: Account,
        is_named: bool,
    ) -> Row:
        """HSP_PRE_AR_TX of a charge that waits."""
        return {
            "HTT_ID": record_id,
            "LINE": 1,
            "HSP_ACCOUNT_ID": request.account,
            "PAT_ENC_CSN_ID": account.csn,
            "CHARGE_PROC_ID": request.code.proc_id,
            "SUP_ID": request.supply_id if is_named else None,
            "LOG_ID": request.log_id if is_named else None,
            "HCPCS_CODE": request.code.hcpcs,
            "REV_CODE_ID": revenue_id(request.code.revenue_code),
            "QUANTITY": quantity,
            "SERVICE_DATE": request.service_date,
            "TX_AMOUNT": amount,
            "DEPARTMENT_ID": self.department_id(request.site, request.department),
            "TX_COMMENT": f"pending for {account.patient_name}",
            "INST_PAT_NAME": account.patient_name,
        }

    def transaction(
        self,
        tx: ChargeTransaction,
        account: Account,
        source: int,
        default_revenue: str | None,
        at: datetime | None = None,
    ) -> None:
        """A transaction of an account."""
        code = self.masters.charge_codes.get(tx.charge_code or "")
        comment = None
        if self.chance.stream("comment", tx.tx_id).flag(0.05):
            comment = f'Called {account.patient_name} at {account.phone},\nSSN {account.ssn} "verified"'
        self.outbox.emit(
            "hb",
            "HSP_TRANSACTIONS",
            {
                "TX_ID": tx.tx_id,
                "HSP_ACCOUNT_ID": tx.account,
                "TX_TYPE_HA_C": tx.tx_type,
                "TX_SOURCE_HA_C": source,
                "TX_AMOUNT": tx.amount,
                "QUANTITY": tx.quantity if tx.tx_type == 1 else None,
                "SERVICE_DATE": tx.service_date,
                "TX_POST_DATE": tx.post_date,
                "TX_FILED_TIME": tx.known_at,
                "PROC_ID": tx.proc_id,
                "UB_REV_CODE_ID": revenue_id(tx.revenue_code),
                "DFLT_UB_REV_CD_ID": revenue_id(default_revenue),
                "HCPCS_CODE": code.hcpcs if code is not None and account.base_class != 1 else None,
                "DEPARTMENT": tx.department_id,
                "COST_CNTR_ID": f"CC{tx.department_id[:7]}" if tx.department_id else None,
                "SUP_ID": tx.supply_id,
                "IMPLANT_ID": tx.implant_id,
                "OPTIME_LOG_ID": tx.log_id,
                "IS_LATE_CHARGE_YN": (tx.post_date - tx.service_date).days > 5 if tx.tx_type == 1 else None,
                "ORIG_REV_TX_ID": tx.reverses,
                "ORIG_REPOST_TX_ID": tx.reposts,
                "CHG_CRED_ORIG_ID": tx.credits,
                "LATE_CRCTN_ORIG_ID": tx.corrects,
                "OLD_HSP_ACCOUNT_ID": tx.old_account,
                "PAYOR_ID": account.payor,
                "TX_COMMENT": comment,
                "UPDATE_DATE": at or tx.known_at,
            },
            at or tx.known_at,
        )

    def continued(
        self,
        tx: ChargeTransaction,
        account: Account,
        first_posted: date,
        location_code: str | None,
        wasted: Decimal,
        reason: int | None,
    ) -> None:
        """The tables that continue the transaction's."""
        self.outbox.emit(
            "hb",
            "HSP_TRANSACTIONS_2",
            {
                "TX_ID": tx.tx_id,
                "SUP_INV_LOC_ID": location_code,
                "SUP_WASTED_QTY": wasted or None,
                "FIRST_TX_POST_DATE": first_posted,
                "HAR_FIRST_POST_DATE": account.transactions[0].post_date,
            },
            tx.known_at,
        )
        self.outbox.emit(
            "hb",
            "HSP_TRANSACTIONS_3",
            {"TX_ID": tx.tx_id, "REVERSAL_RSN_C": reason, "FIRST_HTR_TX_ID": tx.first_tx_id},
            tx.known_at,
        )

    def claim_code(self, account: str, kind: str, code: str, amount: Decimal | None, d: date, at: datetime) -> None:
        """A code on an account's claim."""
        self.outbox.emit(
            "hb",
            "CLAIM_CODES",
            {
                "HSP_ACCOUNT_ID": account,
                "CLAIM_SEQ": 1,
                "CODE_TYPE": kind,
                "CODE": code,
                "AMOUNT": amount,
                "FIRST_BILLED_DATE": d,
            },
            at,
        )

    def prices(self) -> Iterable[Row]:
        """CDM_PRICE: every price of the charge master."""
        for code in self.masters.charge_codes.values():
            for version in code.prices:
                yield {
                    "SERV_AREA_ID": "10",
                    "CHARGE_CODE": code.code,
                    "DESCRIPTION": code.name,
                    "PRICE": version.price,
                    "PRICE_METHOD": code.method,
                    "REV_CODE": code.revenue_code,
                    "HCPCS": code.hcpcs,
                    "UNIT_OF_CHARGE": code.unit,
                    "ACTIVE_YN": True,
                    "EFFECTIVE_FROM": version.effective_from,
                    "EFFECTIVE_TO": version.effective_to,
                }

    def department_id(self, site: str, department: str) -> str:
        """DEPARTMENT_ID of the EHR: first 3 digits of LOC_ID, department, sequence."""
        return f"{self.world.sites[site].loc_id[:3]}{department}1"


def revenue_id(revenue_code: str | None) -> str | None:
    """UB_REV_CODE_ID of a revenue code in the EHR."""
    return None if revenue_code is None else f"9{revenue_code}"
