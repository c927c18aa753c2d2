"""What the delivered rows of a world over a cut-over say of the two ledgers and of what stands behind them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from ingest.simulator.accounts import ACCOUNTS
from tests.unit.simulator.clinical_world import delivered

Row = dict[str, str]
LEGACY_ROLES = {(account.legacy_account, account.legacy_sub): account.role for account in ACCOUNTS}
CLOUD_ROLES = {account.cloud_account: account.role for account in ACCOUNTS}
JOURNAL = ("COMPANY", "FISCAL_YEAR", "ACCT_PERIOD", "CONTROL_GROUP", "SYSTEM", "JE_TYPE", "JE_SEQUENCE", "LINE_NBR")


def number(text: str) -> Decimal:
    """A number as delivered; nothing is zero."""
    return Decimal(text.strip() or "0")


def day_of(text: str) -> date:
    """A date as either ERP writes it."""
    plain = text.strip()
    return date.fromisoformat(plain[:10]) if "-" in plain else date(int(plain[:4]), int(plain[4:6]), int(plain[6:8]))


def is_given(text: str) -> bool:
    """Whether there is a date, and none of the spellings of no date (Q81)."""
    return text.strip() not in ("", "0") and day_of(text).year > 1999


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def latest(rows: Iterable[Row], *key: str) -> list[Row]:
    """The last delivered version of each key."""
    return list({tuple(row[name] for name in key): row for row in rows}.values())


def _digit(site: str) -> str:
    """Last digit of the company or segment 1 of a site."""
    return "0" if site == "CDC" else site[1]


class Ledgers:
    """Posted journal lines of both ledgers: (site digit, role, posting date) -> debits less credits."""

    def __init__(self, out: Path) -> None:
        self.lines: dict[str, list[tuple[str, str, date, str, Decimal]]] = {"erp_lawson": [], "erp_fusion": []}
        for row in latest(delivered(out, "erp_lawson", "GLTRANS"), *JOURNAL):
            if row["STATUS"] == "9":
                role = LEGACY_ROLES[int(row["ACCOUNT"]), int(row["SUB_ACCOUNT"])]
                self.lines["erp_lawson"].append(
                    (row["COMPANY"][-1], role, day_of(row["POSTING_DATE"]), row["SYSTEM"], number(row["TRAN_AMOUNT"]))
                )
        strings = {
            row["CodeCombinationCodeCombinationId"]: row for row in delivered(out, "erp_fusion", "GL_CODE_COMBINATIONS")
        }
        sources = {
            row["JeHeaderId"]: row["GlJeHeadersJeSource"] for row in delivered(out, "erp_fusion", "GL_JE_HEADERS")
        }
        for row in latest(delivered(out, "erp_fusion", "GL_JE_LINES"), "JeHeaderId", "JeLineNum"):
            if row["GlJeLinesStatus"] == "P":
                string = strings[row["GlJeLinesCodeCombinationId"]]
                self.lines["erp_fusion"].append(
                    (
                        string["CodeCombinationSegment1"][-1],
                        CLOUD_ROLES[string["CodeCombinationSegment3"]],
                        day_of(row["GlJeLinesEffectiveDate"]),
                        sources[row["JeHeaderId"]],
                        number(row["GlJeLinesAccountedDr"]) - number(row["GlJeLinesAccountedCr"]),
                    )
                )

    def moved(self, site: str, role: str, until: date, erps: tuple[str, ...] = ("erp_lawson", "erp_fusion")) -> Decimal:
        """What was posted to a role of a site up to a date."""
        return sum(
            (
                amount
                for erp in erps
                for digit, name, day, _, amount in self.lines[erp]
                if digit == _digit(site) and name == role and day <= until
            ),
            Decimal(0),
        )

    def systems(self, site: str, erp: str, since: date) -> set[tuple[str, str]]:
        """Systems or sources that posted for a site from a date on, with the roles."""
        return {
            (system, role) for digit, role, day, system, _ in self.lines[erp] if digit == _digit(site) and day >= since
        }


def accrued(out: Path, company: str, unit: str, organisation: str) -> dict[str, Decimal]:
    """Received at order price less what invoices cleared, by ERP, from the rows of receiving and payables."""
    prices = {
        (row["PO_NUMBER"], row["PO_CODE"], row["LINE_NBR"]): row
        for row in delivered(out, "erp_lawson", "POLINE")
        if row["COMPANY"] == company
    }
    legacy = Decimal(0)
    for row in latest(delivered(out, "erp_lawson", "PORECLINE"), "COMPANY", "REC_NUMBER", "LINE_NBR"):
        if row["COMPANY"] == company and is_given(row["UPDATE_DATE"]):
            order = prices[row["PO_NUMBER"], row["PO_CODE"], row["PO_LINE_NBR"]]
            multiple = number(order["EBUY_UOM_MULT"]) or Decimal(1)
            ordered = number(row["ENT_REC_QTY"]) * number(row["ERCV_UOM_MULT"]) / multiple
            legacy += cents(ordered * number(order["ENT_UNIT_CST"]))
    for row in latest(
        delivered(out, "erp_lawson", "APDISTRIB"),
        "COMPANY",
        "VENDOR",
        "INVOICE",
        "SUFFIX",
        "CANCEL_SEQ",
        "DIST_SEQ_NBR",
    ):
        if row["COMPANY"] == company and int(row["DIS_ACCOUNT"]) == 200200 and row["CANCEL_SEQ"] == "0":
            legacy -= number(row["ORIG_TRAN_AMT"])
    cloud = Decimal(0)
    schedules = {row["LineLocationId"]: row["PoLineId"] for row in delivered(out, "erp_fusion", "PO_SCHEDULES")}
    lines = {row["PoLineId"]: number(row["UnitPrice"]) for row in delivered(out, "erp_fusion", "PO_LINES")}
    prefix = "CmrRcvTransactionsPEO"
    for row in latest(delivered(out, "erp_fusion", "RCV_TRANSACTIONS"), f"{prefix}CmrRcvTransactionId"):
        kind, dock = row[f"{prefix}TransactionType"], row[f"{prefix}DestinationTypeCode"] == "RECEIVING"
        if row[f"{prefix}ShipToOrganizationId"] != organisation or row[f"{prefix}TransferOrderLineId"] or not dock:
            continue
        sign = -1 if kind == "RETURN TO VENDOR" else 1
        price = lines[schedules[row[f"{prefix}PoLineLocationId"]]]
        cloud += sign * cents(number(row[f"{prefix}SourceDocQuantity"]) * price)
    headers = {
        row["ApInvoicesInvoiceId"]: row
        for row in delivered(out, "erp_fusion", "AP_INVOICE_HEADERS")
        if row["ApInvoicesOrgId"] == unit
    }
    prefix = "ApInvoiceDistributions"
    for row in latest(delivered(out, "erp_fusion", "AP_INVOICE_DISTRIBUTIONS"), f"{prefix}InvoiceDistributionId"):
        mine = row[f"{prefix}InvoiceId"] in headers and row[f"{prefix}CancellationFlag"] != "Y"
        if mine and row[f"{prefix}LineTypeLookupCode"] == "ACCRUAL":
            cloud -= number(row[f"{prefix}Amount"])
    return {"erp_lawson": legacy, "erp_fusion": cloud}


def payable(out: Path, company: str, unit: str) -> dict[str, Decimal]:
    """Open invoices less payments and discounts, by ERP."""
    legacy = Decimal(0)
    for row in latest(
        delivered(out, "erp_lawson", "APINVOICE"), "COMPANY", "VENDOR", "INVOICE", "SUFFIX", "CANCEL_SEQ"
    ):
        if row["COMPANY"] == company and row["CANCEL_SEQ"] == "0":
            legacy += number(row["TRAN_INV_AMT"])
    for row in latest(
        delivered(out, "erp_lawson", "APPAYMENT"), "COMPANY", "VENDOR", "INVOICE", "SUFFIX", "CHECK_DATE"
    ):
        if row["COMPANY"] == company:
            legacy -= number(row["TRAN_PMT_AMT"]) + number(row["TRAN_DSC_AMT"])
    headers = {
        row["ApInvoicesInvoiceId"]: row
        for row in delivered(out, "erp_fusion", "AP_INVOICE_HEADERS")
        if row["ApInvoicesOrgId"] == unit
    }
    cloud = sum(
        (number(row["ApInvoicesInvoiceAmount"]) for row in headers.values() if not row["ApInvoicesCancelledAmount"]),
        Decimal(0),
    )
    prefix = "ApInvoicePaymentsAll"
    for row in latest(delivered(out, "erp_fusion", "AP_PAYMENTS"), f"{prefix}InvoicePaymentId"):
        if row[f"{prefix}InvoiceId"] in headers:
            cloud -= number(row[f"{prefix}Amount"]) + number(row[f"{prefix}DiscountTaken"])
    return {"erp_lawson": legacy, "erp_fusion": cloud}
