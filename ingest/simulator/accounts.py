"""Chart of accounts, account strings and fiscal periods of both ledgers (landscape sections 2.1, 3.1 and 6).

Here: which account string a control role and a department have at a site, in either ERP, and which period a date is in.
Not here: what is posted (purchasing, stock, charging) and how journals come about (ledger).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, lru_cache

from ingest.simulator.events import Site

LEDGER_ID = 300000100000001
LEDGER_NAME = "SHS US"
MASTER_ORG_ID = 300000100000399
PROCUREMENT_BU_ID = 300000100000110
CALENDAR = "SHS_JUL_JUN"


@dataclass(frozen=True, slots=True)
class Account:
    """One natural account with its numbers in both charts."""

    role: str
    account_type: str  # A, L, E (equity), R, X (expense)
    legacy_account: int
    legacy_sub: int
    cloud_account: str
    description: str


ACCOUNTS: tuple[Account, ...] = (
    Account("CASH", "A", 100100, 0, "111000", "Cash"),
    Account("PATIENT_AR", "A", 110100, 0, "121000", "Patient accounts receivable"),
    Account("INV_ASSET", "A", 130100, 0, "141000", "Inventory"),
    Account("RCV_CLEARING", "A", 0, 0, "141200", "Receiving inspection"),
    Account("IN_TRANSIT", "A", 130200, 0, "141500", "Inventory in transit"),
    Account("DUE_FROM", "A", 180100, 0, "181000", "Due from affiliates"),
    Account("CONV_CLEARING", "A", 199500, 0, "199500", "Conversion clearing"),
    Account("SUSPENSE", "A", 199900, 0, "199900", "Suspense"),
    Account("AP_CONTROL", "L", 200100, 0, "211000", "Accounts payable"),
    Account("GRNI", "L", 200200, 0, "212000", "Received not invoiced"),
    Account("BILLONLY_ACCRUAL", "L", 200300, 0, "212500", "Accrued implants"),
    Account("DUE_TO", "L", 280100, 0, "281000", "Due to affiliates"),
    Account("FUND_BALANCE", "E", 300100, 0, "311000", "Fund balance"),
    Account("PATIENT_REV_IP", "R", 400100, 0, "411000", "Inpatient revenue"),
    Account("PATIENT_REV_OP", "R", 400200, 0, "412000", "Outpatient revenue"),
    Account("DEDUCTIONS", "R", 420100, 0, "421000", "Deductions from revenue"),
    Account("SUPPLY_EXP", "X", 610100, 0, "611000", "Medical supplies"),
    Account("SUPPLY_EXP", "X", 610100, 10, "611000", "Medical supplies, non-stock"),
    Account("IMPLANT_EXP", "X", 610200, 0, "612000", "Implants"),
    Account("IMPLANT_EXP", "X", 610210, 0, "612000", "Implants, cath lab"),
    Account("PPV", "X", 610900, 0, "619000", "Purchase price variance"),
    Account("TOLERANCE", "X", 610950, 0, "619100", "Invoice tolerance"),
    Account("INV_ADJ", "X", 611000, 0, "619500", "Inventory adjustments"),
    Account("OBSOLESCENCE", "X", 611100, 0, "619600", "Obsolete and expired stock"),
    Account("FREIGHT", "X", 612000, 0, "621000", "Inbound freight"),
    Account("TAX", "X", 612500, 0, "621500", "Sales tax"),
    Account("PURCH_SERVICE", "X", 620100, 0, "631000", "Purchased services"),
)
BY_ROLE: dict[str, Account] = {account.role: account for account in reversed(ACCOUNTS)}
SUPPLY_CHAIN_ROLES = frozenset({"PPV", "TOLERANCE", "INV_ADJ", "OBSOLESCENCE", "FREIGHT", "TAX"})
CLOUD_ACCOUNT_TYPE = {"A": "A", "L": "L", "E": "O", "R": "R", "X": "E"}
SPLIT_DEPARTMENT, SPLIT_DIGIT = "7010", "1"
DISTRIBUTION = "8030"
INTERCOMPANY_ROLES = frozenset({"DUE_FROM", "DUE_TO"})
CDC_COMPANY = 1000

DEPARTMENT_NAMES = {
    "0000": "balance sheet",
    "6010": "medical-surgical nursing",
    "6020": "intensive care",
    "6030": "emergency",
    "6040": "labour and delivery",
    "7010": "operating rooms",
    "7020": "cath lab and electrophysiology",
    "7030": "interventional radiology",
    "7040": "endoscopy",
    "7050": "pre-op and recovery",
    "8010": "sterile processing",
    "8020": "supply chain and storeroom",
    "8030": "distribution centre operations",
}


def is_balance_sheet(role: str) -> bool:
    """Whether a role has no department."""
    return BY_ROLE[role].account_type in "ALE"


def department_of(role: str, department: str) -> str:
    """Department that carries a posting of a role: none on the balance sheet, supply chain for its own accounts."""
    if is_balance_sheet(role):
        return "0000"
    if role in SUPPLY_CHAIN_ROLES:
        return "8020"
    return department if department and department != "0000" else "8020"


def department_at(site: Site, role: str, department: str) -> str:
    """Department that carries a posting at a site: the distribution centre has its own in place of supply chain."""
    carried = department_of(role, department)
    return DISTRIBUTION if carried == "8020" and carried not in site.departments else carried


def acct_unit(company: int, department: str) -> str:
    """Legacy accounting unit: company digit and department."""
    return f"{company % 10}{department}"


def legacy_account(role: str, department: str, event: str) -> tuple[int, int]:
    """Legacy account and sub account of a role; non-stock purchases and the cath lab have their own."""
    if role == "SUPPLY_EXP":
        return 610100, 10 if event in ("E02", "E07") else 0
    if role == "IMPLANT_EXP":
        return (610210 if department == "7020" else 610200), 0
    account = BY_ROLE[role]
    return account.legacy_account, account.legacy_sub


def cloud_segments(segment1: str, role: str, department: str, intercompany: str = "000") -> tuple[str, ...]:
    """Six segments of a cloud account string; `department` is the one that carries the role."""
    return (segment1, f"{department}0", BY_ROLE[role].cloud_account, "000", intercompany, "0000")


def account_string(account: tuple[object, ...]) -> str:
    """An account string as entity keys write it: legacy unit, account and sub account, or the cloud's six segments."""
    if len(account) == 3:
        unit, number, sub = account
        return f"{unit}-{int(str(number)):06d}-{int(str(sub)):04d}"
    return "-".join(str(segment) for segment in account)


@lru_cache(65_536)
def stable_number(text: str, base: int, digits: int) -> int:
    """Number that a text always has, `digits` long above `base`: for internal ids that several writers need."""
    return base + int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10**digits


def code_combination_id(segments: tuple[str, ...]) -> int:
    """Id of a cloud account string."""
    return stable_number("-".join(segments), 300000500000000, 9)


def inventory_transaction_id(txn_id: str) -> int:
    """Id of the cloud inventory transaction that carries one movement of the inventory system."""
    return stable_number("INV" + txn_id, 300001000000000, 12)


# ------------------------------------------------------------------------------------------------------------ calendars


@dataclass(frozen=True, slots=True)
class Period:
    """One fiscal period."""

    name: str
    year: int
    number: int
    first: date
    last: date
    is_adjustment: bool = False


def month_end(day: date) -> date:
    """Last day of the month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def legacy_period(day: date) -> Period:
    """Period of the legacy calendar (October to September)."""
    year = day.year + (1 if day.month >= 10 else 0)
    number = (day.month - 10) % 12 + 1
    return Period(f"FY{year}P{number:02d}", year, number, day.replace(day=1), month_end(day))


def cloud_period(day: date) -> Period:
    """Period of the cloud calendar (July to June)."""
    year = day.year + (1 if day.month >= 7 else 0)
    number = (day.month - 7) % 12 + 1
    return Period(day.strftime("%b-%y"), year, number, day.replace(day=1), month_end(day))


def cloud_adjustment_period(year: int) -> Period:
    """Adjustment period at the end of a cloud fiscal year."""
    day = date(year, 6, 30)
    return Period(f"Adj-{year % 100:02d}", year, 13, day, day, True)


# ------------------------------------------------------------------------------------------------------ business days


@cache
def federal_holidays(year: int) -> frozenset[date]:
    """US federal holidays as observed."""

    def nth(month: int, weekday: int, n: int) -> date:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))

    def observed(day: date) -> date:
        return day - timedelta(days=1) if day.weekday() == 5 else day + timedelta(days=1) if day.weekday() == 6 else day

    memorial = date(year, 5, 31)
    memorial -= timedelta(days=memorial.weekday())
    days = {
        observed(date(year, 1, 1)),
        nth(1, 0, 3),
        nth(2, 0, 3),
        memorial,
        observed(date(year, 6, 19)),
        observed(date(year, 7, 4)),
        nth(9, 0, 1),
        nth(10, 0, 2),
        observed(date(year, 11, 11)),
        nth(11, 3, 4),
        observed(date(year, 12, 25)),
    }
    if date(year + 1, 1, 1).weekday() == 5:
        days.add(date(year, 12, 31))
    return frozenset(days)


def is_business_day(day: date) -> bool:
    """Monday to Friday without federal holidays."""
    return day.weekday() < 5 and day not in federal_holidays(day.year)


def next_business_day(day: date) -> date:
    """The day itself when it is a business day, else the next one."""
    while not is_business_day(day):
        day += timedelta(days=1)
    return day


def add_business_days(day: date, count: int) -> date:
    """The business day `count` business days after `day`."""
    while count > 0:
        day += timedelta(days=1)
        if is_business_day(day):
            count -= 1
    return day


# Workday of the next month on which a module of a ledger closes (landscape 3.1); GL: legacy, cloud.
CLOSE_WORKDAYS: dict[str, tuple[int, int]] = {"HB": (1, 1), "PO": (2, 2), "AP": (2, 2), "INV": (3, 3), "GL": (6, 5)}


def closes_on(last: date, module: str, legacy: bool) -> date:
    """Day on which a module closes the period that ends on `last`."""
    return add_business_days(last, CLOSE_WORKDAYS[module][0 if legacy else 1])


def site_acct_unit(site: Site, role: str, department: str) -> str:
    """Legacy accounting unit that a role and a department have at a site; OR implants have a unit of their own."""
    assert site.company is not None
    carried = department_of(role, department)
    split = SPLIT_DIGIT if role == "IMPLANT_EXP" and carried == SPLIT_DEPARTMENT else ""
    return acct_unit(site.company, carried) + split
