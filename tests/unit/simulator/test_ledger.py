"""Journals and balances of the simulated ledgers, as they are delivered."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from ingest.simulator.accounts import (
    LEDGER_ID,
    add_business_days,
    cloud_period,
    cloud_segments,
    code_combination_id,
    federal_holidays,
    legacy_account,
    legacy_period,
    site_acct_unit,
)
from ingest.simulator.masters import SITES
from tests.unit.simulator.purchasing_trial import Trial, run_trial

Row = dict[str, str]


def delivered(out: Path, system: str, extract: str) -> list[Row]:
    """Every row of an extract, in order of delivery."""
    rows: list[Row] = []
    for path in sorted((out / system).rglob(f"{extract}.*")):
        if path.suffix == ".csv":
            rows += csv.DictReader(path.open(encoding="cp1252"))
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    rows += csv.DictReader(io.StringIO(archive.read(name).decode()))
    return rows


def latest(rows: list[Row], *key: str) -> dict[tuple[str, ...], Row]:
    """Last delivered version of each key."""
    return {tuple(row[name] for name in key): row for row in rows}


def number(text: str) -> Decimal:
    return Decimal(text.strip() or "0")


@pytest.fixture(scope="module")
def autumn(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A world over the end of the legacy fiscal year."""
    return run_trial(tmp_path_factory.mktemp("autumn"), days=20, scale=0.004, start=date(2025, 9, 22))


@pytest.fixture(scope="module")
def summer(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A world over the end of the cloud's fiscal year, with defects."""
    return run_trial(
        tmp_path_factory.mktemp("summer"), days=26, scale=0.004, start=date(2025, 6, 16), defects=True, sites=("H1",)
    )


def test_the_two_fiscal_calendars_start_in_october_and_july() -> None:
    assert (legacy_period(date(2026, 4, 9)).name, legacy_period(date(2025, 10, 1)).year) == ("FY2026P07", 2026)
    assert (cloud_period(date(2026, 4, 9)).name, cloud_period(date(2026, 4, 9)).number) == ("Apr-26", 10)
    assert cloud_period(date(2025, 7, 1)).year == 2026


def test_account_strings_follow_role_department_and_event() -> None:
    assert legacy_account("SUPPLY_EXP", "6010", "E02") == (610100, 10)
    assert legacy_account("IMPLANT_EXP", "7020", "E03") == (610210, 0)
    assert site_acct_unit(SITES["H5"], "GRNI", "7010") == "50000"
    assert site_acct_unit(SITES["H5"], "PPV", "7010") == "58020"
    assert site_acct_unit(SITES["H5"], "IMPLANT_EXP", "7010") == "570101"
    assert cloud_segments("101", "SUPPLY_EXP", "7010") == ("101", "70100", "611000", "000", "000", "0000")


def test_holidays_count_as_observed() -> None:
    assert date(2026, 7, 3) in federal_holidays(2026)
    assert add_business_days(date(2026, 1, 16), 1) == date(2026, 1, 20)


def test_legacy_balances_are_the_sums_of_posted_journal_lines(autumn: Trial) -> None:
    key = ("COMPANY", "FISCAL_YEAR", "ACCT_PERIOD", "CONTROL_GROUP", "SYSTEM", "JE_TYPE", "JE_SEQUENCE", "LINE_NBR")
    sums: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for row in latest(delivered(autumn.out, "erp_lawson", "GLTRANS"), *key).values():
        if row["STATUS"] == "9":
            side = "DB" if number(row["TRAN_AMOUNT"]) > 0 else "CR"
            place = tuple(row[name] for name in ("FISCAL_YEAR", "ACCT_UNIT", "ACCOUNT", "SUB_ACCOUNT"))
            sums[*place, f"{side}_AMOUNT_{int(row['ACCT_PERIOD']):02d}"] += number(row["TRAN_AMOUNT"])
    amounts = latest(
        delivered(autumn.out, "erp_lawson", "GLAMOUNTS"), "FISCAL_YEAR", "ACCT_UNIT", "ACCOUNT", "SUB_ACCOUNT"
    )
    shown = {
        (*key, name): number(row[name])
        for key, row in amounts.items()
        for name in row
        if "_AMOUNT_" in name and number(row[name])
    }
    assert shown == {key: value for key, value in sums.items() if value}


def test_every_night_the_legacy_stock_value_is_the_inventory_account(autumn: Trial) -> None:
    """Issues that wait for their posting are in neither (Q91)."""
    waiting = {row["R_STATUS"] for row in delivered(autumn.out, "erp_lawson", "ICTRANS")}
    assert waiting <= {"0", "9"}
    for folder in sorted((autumn.out / "erp_lawson").iterdir()):
        stock = list(csv.DictReader((folder / "ITEMLOC.csv").open(encoding="cp1252")))
        amounts = [
            row
            for row in csv.DictReader((folder / "GLAMOUNTS.csv").open(encoding="cp1252"))
            if row["ACCOUNT"] == "130100"
        ]
        current = max(row["FISCAL_YEAR"] for row in amounts)
        ledger = sum(
            (
                number(row[name])
                for row in amounts
                if row["FISCAL_YEAR"] == current
                for name in row
                if "_BEG_BAL" in name or "_AMOUNT_" in name
            ),
            Decimal(0),
        )
        assert sum((number(row["STOCK_VALUE"]) for row in stock), Decimal(0)) == ledger, folder.name


def test_every_night_the_cloud_valuation_is_the_inventory_account(autumn: Trial) -> None:
    asset = str(code_combination_id(cloud_segments("101", "INV_ASSET", "0000")))
    ledger: dict[tuple[int, int], Decimal] = {}
    for slot in sorted(path for path in (autumn.out / "erp_fusion").glob("*/*") if path.is_dir()):
        for row in delivered(slot, "", "GL_BALANCES"):
            if row["BalanceCodeCombinationId"] == asset and row["BalanceCurrencyCode"] == "USD":
                period = int(row["BalancePeriodYear"]), int(row["BalancePeriodNum"])
                begin = number(row["BalanceBeginBalanceDr"]) - number(row["BalanceBeginBalanceCr"])
                ledger[period] = begin + number(row["BalancePeriodNetDr"]) - number(row["BalancePeriodNetCr"])
        values = [number(row["InventoryValue"]) for row in delivered(slot, "", "CST_VALUATION")]
        if values:
            assert sum(values, Decimal(0)) == ledger[max(ledger)], slot


def test_a_new_legacy_year_opens_with_the_balances_of_the_old_one(autumn: Trial) -> None:
    amounts = latest(
        delivered(autumn.out, "erp_lawson", "GLAMOUNTS"), "FISCAL_YEAR", "ACCT_UNIT", "ACCOUNT", "SUB_ACCOUNT"
    )

    def opening(row: Row) -> Decimal:
        return number(row["DB_BEG_BAL"]) + number(row["CR_BEG_BAL"])

    def closing(row: Row) -> Decimal:
        return opening(row) + sum((number(row[name]) for name in row if "_AMOUNT_" in name), Decimal(0))

    for year in ("2025", "2026"):
        assert sum((opening(row) for key, row in amounts.items() if key[0] == year), Decimal(0)) == 0
    for (year, *account), row in amounts.items():
        if year == "2026":
            before = closing(amounts["2025", *account])
            if account[1] in ("100100", "130100", "200100", "200200"):
                assert opening(row) == before
            elif int(account[1]) >= 400000:
                assert opening(row) == 0


def test_cloud_balances_roll_forward_and_follow_the_journals(summer: Trial) -> None:
    gone = {(row["KEY1"], row["KEY2"]) for row in delivered(summer.out, "erp_fusion", "DELETED_KEYS")}
    headers = latest(delivered(summer.out, "erp_fusion", "GL_JE_HEADERS"), "JeHeaderId")
    lines = latest(delivered(summer.out, "erp_fusion", "GL_JE_LINES"), "JeHeaderId", "JeLineNum")
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for (header, line), row in lines.items():
        if (header, line) not in gone and headers[header,]["GlJeHeadersStatus"] == "P":
            amount = number(row["GlJeLinesAccountedDr"]) - number(row["GlJeLinesAccountedCr"])
            sums[row["GlJeLinesCodeCombinationId"], row["GlJeLinesPeriodName"]] += amount
    rows = [row for row in delivered(summer.out, "erp_fusion", "GL_BALANCES") if row["BalanceCurrencyCode"] == "USD"]
    balances = latest(rows, "BalanceCodeCombinationId", "BalancePeriodName")
    shown = {
        key: number(row["BalancePeriodNetDr"]) - number(row["BalancePeriodNetCr"]) for key, row in balances.items()
    }
    off = {entry.entity_key for entry in summer.world.planted if entry.rule_id == "GL-14"}
    names = {
        str(code_combination_id(tuple(balance.account.split("-")))): balance.account
        for balance in summer.world.balances
    }
    assert off
    wrong = {key for key in shown.keys() | sums.keys() if shown.get(key, 0) != sums.get(key, 0)}
    assert {f"ledger={LEDGER_ID}|account={names[account]}|period={period}" for account, period in wrong} <= off
    cash = str(code_combination_id(cloud_segments("101", "CASH", "0000")))
    june, july = balances[cash, "Jun-25"], balances[cash, "Jul-25"]
    opening = number(june["BalanceBeginBalanceDr"]) - number(june["BalanceBeginBalanceCr"])
    assert opening == Decimal(50000000)
    rolled = number(july["BalanceBeginBalanceDr"]) == opening + shown[cash, "Jun-25"]
    assert rolled != (f"ledger={LEDGER_ID}|account={names[cash]}|period=Jun-25" in off)
    expense = str(code_combination_id(cloud_segments("101", "SUPPLY_EXP", "6010")))
    assert (expense, "Jul-25") not in balances or number(balances[expense, "Jul-25"]["BalanceBeginBalanceDr"]) == 0


def test_import_references_carry_every_subledger_line_to_the_cent(summer: Trial) -> None:
    headers = latest(delivered(summer.out, "erp_fusion", "GL_JE_HEADERS"), "JeHeaderId")
    lines = latest(delivered(summer.out, "erp_fusion", "GL_JE_LINES"), "JeHeaderId", "JeLineNum")
    prefix = "GlImportReferences"
    references = latest(
        delivered(summer.out, "erp_fusion", "GL_IMPORT_REFERENCES"),
        f"{prefix}JeHeaderId",
        f"{prefix}JeLineNum",
        f"{prefix}GlSlLinkId",
    )
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for (header, line, _), row in references.items():
        sums[header, line] += number(row[f"{prefix}Reference3"])
    cut = {row.posting_date for row in summer.world.postings if row.posted_amount != row.referenced_amount}
    assert cut
    for (header, line), row in lines.items():
        source = headers[header,]["GlJeHeadersJeSource"]
        day = date.fromisoformat(headers[header,]["GlJeHeadersDefaultEffectiveDate"])
        if source != "Manual" and (source != "Cost Accounting" or day not in cut):
            assert sums[header, line] == number(row["GlJeLinesAccountedDr"]) - number(row["GlJeLinesAccountedCr"])


def test_only_planted_journals_are_out_of_balance(summer: Trial) -> None:
    world = summer.world
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for line in {(entry.erp, entry.journal, entry.line): entry for entry in world.journal_lines}.values():
        totals[f"ledger={line.ledger}|journal={line.journal}"] += line.debit - line.credit
    planted = {entry.entity_key for entry in world.planted if entry.rule_id == "GL-05" and not entry.is_near_miss}
    assert planted
    assert {key for key, total in totals.items() if total} == planted


def test_the_accrual_of_unordered_implants_is_reversed_on_the_first(autumn: Trial) -> None:
    world = autumn.world
    accrued = [posting for posting in world.postings if posting.event == "E20" and posting.posting_date.month == 9]
    back = [
        posting for posting in world.postings if posting.event == "E20r" and posting.posting_date == date(2025, 10, 1)
    ]
    assert accrued
    assert sum(posting.amount for posting in accrued) == -sum(posting.amount for posting in back)
