"""Rows of both ERPs against their contracts."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.simulator.purchasing_trial import Trial, run_trial

CONTRACTS = Path(__file__).resolve().parents[3] / "ingest" / "contracts"
EMPTY_DATES = {"17530101", "17000101", "0"}
Row = dict[str, str]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return run_trial(tmp_path_factory.mktemp("rows"), days=16, scale=0.006, defects=True)


def files(out: Path, system: str) -> Iterator[tuple[str, list[Row]]]:
    """Extract and rows of every whole file, in order of delivery."""
    for path in sorted((out / system).rglob("*")):
        if path.suffix == ".csv" and not path.name.startswith("_"):
            yield path.stem, list(csv.DictReader(path.open(encoding="cp1252")))
        elif path.suffix == ".zip" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                parts = [archive.read(name).decode() for name in archive.namelist()]
            yield path.stem, [row for part in parts for row in csv.DictReader(io.StringIO(part))]


def extracts(system: str) -> dict[str, Any]:
    return yaml.safe_load((CONTRACTS / f"{system}.yaml").read_text(encoding="utf-8"))["extracts"]


def fault(system: str, column: dict[str, Any], value: str) -> str | None:
    """What a cell breaks of its contract."""
    text, kind = value.strip(), column["type"]
    if system == "erp_lawson" and kind.startswith("date") and text in EMPTY_DATES:
        text = ""
    if not text:
        return "required" if column.get("required") else None
    if column.get("values") and text not in {str(allowed) for allowed in column["values"]}:
        return "value"
    if column.get("pattern") and not re.search(column["pattern"], value):
        return "pattern"
    if kind == "integer" and not re.fullmatch(r"-?\d+", text):
        return "integer"
    if kind.startswith("decimal"):
        places = int(kind.rstrip(")").split(",")[1])
        if not re.fullmatch(rf"-?\d+(\.\d{{1,{places}}})?", text):
            return "decimal"
    if kind.startswith("date(yyyyMMdd") and not re.fullmatch(r"\d{8}", text):
        return "date"
    return None


@pytest.mark.parametrize("system", ["erp_lawson", "erp_fusion"])
def test_every_cell_obeys_its_contract(trial: Trial, system: str) -> None:
    described = extracts(system)
    faults = set()
    for name, rows in files(trial.out, system):
        for row in rows:
            for column, contract in described[name]["columns"].items():
                broken = fault(system, contract, row[column])
                if broken:
                    faults.add((name, column, broken, row[column]))
    assert faults == set()


@pytest.mark.parametrize("system", ["erp_lawson", "erp_fusion"])
def test_references_inside_an_erp_resolve(trial: Trial, system: str) -> None:
    described = extracts(system)
    latest: dict[str, dict[tuple[str, ...], Row]] = defaultdict(dict)
    for name, rows in files(trial.out, system):
        if described[name]["load"] == "snapshot":
            latest[name] = {}
        for row in rows:
            latest[name][tuple(row[key].strip() for key in described[name]["key"])] = row
    for name, contract in described.items():
        for column, detail in contract["columns"].items():
            target = detail.get("references", "")
            if not target.startswith(f"{system}."):
                continue
            _, extract, key = target.split(".")
            known = {row[key].strip() for row in latest[extract].values()}
            found = {row[column].strip() for row in latest[name].values()} - {"", "0"}
            assert found <= known, (name, column)


def test_every_extract_is_delivered(trial: Trial) -> None:
    for system in ("erp_lawson", "erp_fusion"):
        sent = {file.extract for file in trial.world.files if file.system == system}
        assert sent >= set(extracts(system)) - {"DELETED_KEYS"}


def test_legacy_receipts_hold_what_the_accrual_was_posted_for(trial: Trial) -> None:
    """ENT_REC_QTY x ERCV_UOM_MULT / EBUY_UOM_MULT in units of the order, times ENT_UNIT_CST; 0 means 1 (Q82)."""
    orders: dict[tuple[str, ...], Row] = {}
    receipts: dict[tuple[str, str], Row] = {}
    released: dict[str, str] = {}
    for name, rows in files(trial.out, "erp_lawson"):
        for row in rows:
            if name == "POLINE":
                orders[row["PO_NUMBER"].strip(), row["PO_CODE"], row["LINE_NBR"]] = row
            elif name == "PORECLINE":
                receipts[row["REC_NUMBER"], row["LINE_NBR"]] = row
            elif name == "PORECEIVE":
                released[row["REC_NUMBER"]] = row["STATUS"]
    amounts = {row.receipt_key: row.amount for row in trial.world.receipts if row.erp == "erp_lawson"}
    assert receipts
    for (number, line), row in receipts.items():
        order = orders[row["PO_NUMBER"].strip(), row["PO_CODE"], row["PO_LINE_NBR"]]
        factor = Decimal(order["EBUY_UOM_MULT"]) or Decimal(1)
        quantity = Decimal(row["ENT_REC_QTY"]) * Decimal(row["ERCV_UOM_MULT"]) / factor
        expected = amounts[f"1005-{int(number)}-{line}"]
        assert abs(quantity * Decimal(order["ENT_UNIT_CST"]) - expected) <= Decimal("0.005")
    assert set(released.values()) <= {"0", "1"}


def test_cloud_receipts_are_positive_but_for_corrections(trial: Trial) -> None:
    prefix = "CmrRcvTransactionsPEO"
    for name, rows in files(trial.out, "erp_fusion"):
        if name == "RCV_TRANSACTIONS":
            for row in rows:
                quantity = Decimal(row[f"{prefix}TransactionQuantity"])
                assert quantity > 0 or row[f"{prefix}TransactionType"] == "CORRECT"
