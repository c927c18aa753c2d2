"""What the deliveries of both ERPs say is what the rules of purchasing are judged by."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.simulator.events import PoLine
from ingest.simulator.oracle import evaluate
from tests.unit.simulator.clinical_world import delivered
from tests.unit.simulator.purchasing_trial import Trial, run_trial

CHICAGO = ZoneInfo("America/Chicago")
HEAD, LINE = "ApInvoices", "ApInvoiceLinesAll"


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return run_trial(tmp_path_factory.mktemp("purchasing rows"), days=30, scale=0.01, defects=True)


def latest(out: Path, system: str, extract: str, *key: str) -> dict[tuple[str, ...], dict[str, str]]:
    """The last version of each row."""
    return {tuple(row[name].strip() for name in key): row for row in delivered(out, system, extract)}


def ordered(trial: Trial, erp: str) -> dict[tuple[str, int], PoLine]:
    """Order lines in the last version that a delivery carries."""
    until = datetime.combine(trial.world.end - timedelta(days=1), datetime.min.time(), CHICAGO)
    return {(row.po_key, row.line): row for row in trial.world.po_lines if row.erp == erp and row.known_at < until}


def test_the_cloud_names_contract_and_promised_day_of_an_order_line(trial: Trial) -> None:
    headers = {
        row["PoHeaderId"]: row["Segment1"]
        for row in latest(trial.out, "erp_fusion", "PO_HEADERS", "PoHeaderId").values()
    }
    contracts = {
        key[0]: row["SupplierContractNumber"]
        for key, row in latest(trial.out, "erp_fusion", "AGREEMENT_LINES", "AgreementLineId").items()
    }
    schedules = {
        row["PoLineId"]: row for row in latest(trial.out, "erp_fusion", "PO_SCHEDULES", "LineLocationId").values()
    }
    rows = {
        (headers[row["PoHeaderId"]], int(row["LineNum"])): row
        for row in latest(trial.out, "erp_fusion", "PO_LINES", "PoLineId").values()
    }
    known = ordered(trial, "erp_fusion")
    assert len(known) > 100 and any(line.contract_number for line in known.values())
    for key, line in known.items():
        assert contracts.get(rows[key]["FromLineId"]) == line.contract_number
    promises = [(schedules[rows[key]["PoLineId"]]["PromisedDate"], line.promised_on) for key, line in known.items()]
    assert sum(1 for said, day in promises if said_on(said) != day) <= len(promises) // 50  # moved on the last days


def said_on(text: str) -> date | None:
    if not text:
        return None
    return datetime.strptime(text[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).astimezone(CHICAGO).date()


def test_the_legacy_erp_names_contract_promised_day_and_end_of_an_order_line(trial: Trial) -> None:
    key = ("COMPANY", "PO_NUMBER", "PO_CODE", "LINE_NBR")
    rows = {
        (f"{company}-{int(number)}-0-{code}", int(line)): row
        for (company, number, code, line), row in latest(trial.out, "erp_lawson", "POLINE", *key).items()
    }
    known = ordered(trial, "erp_lawson")
    assert len(known) > 100 and any(line.ends_on for line in known.values())
    moved = 0
    for place, line in known.items():
        assert rows[place]["AGREEMENT_REF"].strip() == (line.contract_number or "")
        said = datetime.strptime(rows[place]["LATE_DL_DATE"], "%Y%m%d").date()
        moved += said != (line.ends_on or line.promised_on)
    assert moved <= len(known) // 50


def test_invoices_that_do_not_add_up_are_those_of_the_answer_key(trial: Trial) -> None:
    off: dict[str, Decimal] = {}
    lines: dict[str, Decimal] = defaultdict(Decimal)
    for row in latest(trial.out, "erp_fusion", "AP_INVOICE_LINES", f"{LINE}InvoiceId", f"{LINE}LineNumber").values():
        counts = "Y" not in (row[f"{LINE}DiscardedFlag"], row[f"{LINE}CancelledFlag"])
        if counts and row[f"{LINE}LineTypeLookupCode"] != "MISCELLANEOUS":
            lines[row[f"{LINE}InvoiceId"]] += Decimal(row[f"{LINE}Amount"])
    suppliers = {row["VendorId"]: row["Segment1"] for row in delivered(trial.out, "erp_fusion", "SUPPLIERS")}
    for (number,), row in latest(trial.out, "erp_fusion", "AP_INVOICE_HEADERS", f"{HEAD}InvoiceId").items():
        supplier = suppliers[row[f"{HEAD}VendorId"]]
        key = f"system=erp_fusion|supplier={supplier}|invoice={row[f'{HEAD}InvoiceNum'].strip().upper()}"
        if not row[f"{HEAD}CancelledAmount"] or not Decimal(row[f"{HEAD}CancelledAmount"]):
            off[key] = Decimal(row[f"{HEAD}InvoiceAmount"]) - lines[number]
    invoice = ("COMPANY", "VENDOR", "INVOICE", "SUFFIX")
    matched, booked, others = defaultdict(Decimal), defaultdict(Decimal), defaultdict(Decimal)  # type: ignore[var-annotated]
    for key, row in latest(trial.out, "erp_lawson", "MAINVDTL", *invoice, "PO_NUMBER", "PO_CODE", "LINE_NBR").items():
        matched[key[:4]] += Decimal(row["TOT_DIST_AMT"])
    for key, row in latest(trial.out, "erp_lawson", "APDISTRIB", *invoice, "CANCEL_SEQ", "DIST_SEQ_NBR").items():
        if key[4] == "0":
            (others if row["DIST_TYPE"] in ("FRT", "TAX") else booked)[key[:4]] += (
                Decimal(row["ORIG_TRAN_AMT"]) if row["DIST_TYPE"] != "TOL" else Decimal(0)
            )
    for key, row in latest(trial.out, "erp_lawson", "APINVOICE", *invoice, "CANCEL_SEQ").items():
        if key[4] == "0":
            number = key[2].upper() + (f"-{key[3]}" if key[3] != "0" else "")
            total = matched.get(key[:4], booked[key[:4]]) + others[key[:4]]
            off[f"system=erp_lawson|supplier={key[1]}|invoice={number}"] = Decimal(row["TRAN_INV_AMT"]) - total
    found = {
        each.entity_key: each.impact_amount
        for each in evaluate(trial.world)
        if each.rule_id == "M3-10" and not each.near_miss
    }
    assert found and found == {key: abs(amount) for key, amount in off.items() if abs(amount) > Decimal("0.01")}


def test_both_masters_say_from_when_a_supplier_is_closed(trial: Trial) -> None:
    world = trial.world
    closures = {(each.erp, each.supplier_id, each.level): each.inactive_from for each in world.supplier_closures}
    numbers = {supplier.lawson_no: supplier.supplier_id for supplier in world.suppliers.values()}
    first: dict[str, date] = {}
    for number in range((world.end - world.start).days + 1):
        folder = world.start + timedelta(days=number)
        for row in delivered(trial.out, "erp_lawson", "APVENMAST", folder):
            if row["VENDOR_STATUS"] == "I":
                first.setdefault(numbers[row["VENDOR"].strip()], folder)
    assert first == {supplier: day for (erp, supplier, _), day in closures.items() if erp == "erp_lawson"}
    vendors = {str(supplier.cloud_vendor_id): supplier.supplier_id for supplier in world.suppliers.values()}
    ended = {
        vendors[key[0]]: date.fromisoformat(row["EndDateActive"])
        for key, row in latest(trial.out, "erp_fusion", "SUPPLIERS", "VendorId").items()
        if row["EndDateActive"] and key[0] in vendors
    }
    assert ended == {
        who: day for (erp, who, level), day in closures.items() if (erp, level) == ("erp_fusion", "supplier")
    }
    sites = {
        vendors[row["VendorId"]]: date.fromisoformat(row["InactiveDate"])
        for row in latest(trial.out, "erp_fusion", "SUPPLIER_SITES", "VendorSiteId").values()
        if row["InactiveDate"] and row["VendorSiteCode"] == "MAIN"
    }
    assert sites == {who: day for (erp, who, level), day in closures.items() if (erp, level) == ("erp_fusion", "site")}
