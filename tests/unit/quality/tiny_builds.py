"""Tiny builds: recon relations made by hand, one row a dictionary, with the columns the dbt models promise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ingest.clock import AsOf
from quality.judge import Judgement, judge
from quality.ledger import ExceptionLedger

STANDARD = {
    "entity_key": "varchar",
    "facility_id": "varchar",
    "business_date": "date",
    "out_of_scope_reason": "varchar",
    "evidence": "varchar",
}
QUANTITY, MONEY, PRICE = "decimal(18,4)", "decimal(18,2)", "decimal(18,8)"
RELATIONS: dict[str, dict[str, str]] = {
    "rec_usage_inventory": {
        "used_each": QUANTITY,
        "issued_each": QUANTITY,
        "missing_each": QUANTITY,
        "unit_cost": "decimal(18,5)",
        "impact_amount": "decimal(38,9)",
        "is_implant": "boolean",
        "anchor_date": "date",
        "maturity_days": "integer",
    },
    "rec_inventory_usage": {
        "issued_each": QUANTITY,
        "used_each": QUANTITY,
        "excess_each": QUANTITY,
        "unit_cost": "decimal(18,5)",
        "impact_amount": "decimal(38,9)",
        "is_implant": "boolean",
        "anchor_date": "date",
        "maturity_days": "integer",
    },
    "rec_on_hand": {"on_hand_each": QUANTITY, "unit_cost": "decimal(18,5)", "impact_amount": MONEY},
    "rec_usage_charge": {
        "expected_each": QUANTITY,
        "charged_each": QUANTITY,
        "in_flight_each": QUANTITY,
        "difference_each": QUANTITY,
        "charge_price": PRICE,
        "missed_each": QUANTITY,
        "missed_amount": MONEY,
        "difference_amount": MONEY,
        "active_chain_count": "integer",
        "used_each": QUANTITY,
        "duplicate_excess_each": QUANTITY,
        "duplicate_amount": MONEY,
        "anchor_date": "date",
        "service_date": "date",
    },
    "rec_charge_usage": {
        "net_amount": MONEY,
        "impact_amount": MONEY,
        "is_explained": "boolean",
        "anchor_date": "date",
    },
    "rec_usage_expiry": {"expiry_date": "date", "surgery_date": "date", "days_expired": "integer"},
    "rec_implant_order": {
        "quantity_each": QUANTITY,
        "contract_price": PRICE,
        "impact_amount": MONEY,
        "has_order": "boolean",
        "anchor_date": "date",
    },
    "rec_order_contract": {
        "po_price_each": PRICE,
        "contract_price_each": PRICE,
        "variance_each": PRICE,
        "ordered_each": QUANTITY,
        "impact_amount": MONEY,
        "contract_number": "varchar",
    },
    "rec_invoice_price": {
        "invoice_price_each": PRICE,
        "po_price_each": PRICE,
        "invoiced_each": QUANTITY,
        "extended_variance": "decimal(38,12)",
        "base_amount": "decimal(38,12)",
        "impact_amount": "decimal(38,12)",
    },
    "rec_three_way": {
        "ordered_each": QUANTITY,
        "received_each": QUANTITY,
        "invoiced_each": QUANTITY,
        "excess_each": QUANTITY,
        "po_price_each": PRICE,
        "excess_amount": MONEY,
        "latest_invoice_date": "date",
        "is_implant": "boolean",
        "invoiced_amount": MONEY,
        "first_invoice_date": "date",
        "has_receipt": "boolean",
    },
    "rec_grni": {"unbilled_each": QUANTITY, "unbilled_amount": MONEY, "oldest_unbilled_receipt_date": "date"},
    "rec_duplicate_invoice": {"invoice_amount": MONEY, "matched_invoice": "varchar", "match_reason": "varchar"},
    "rec_tie_out": {
        "control_role": "varchar",
        "fiscal_period": "varchar",
        "subledger_amount": MONEY,
        "ledger_amount": MONEY,
        "explained_amount": MONEY,
        "unexplained_amount": MONEY,
    },
    "rec_journal_balance": {
        "debit_amount": MONEY,
        "credit_amount": MONEY,
        "difference_amount": MONEY,
        "balancing_segment": "varchar",
    },
    "rec_item_identity": {
        "source_system": "varchar",
        "source_item_no": "varchar",
        "is_mapped": "boolean",
        "confidence": "decimal(5,2)",
        "amount_90d": MONEY,
    },
}
ATTEMPT = {
    "attempt_id": "a1",
    "run_id": "r1",
    "system": "ehr",
    "extract": "OR_LOG",
    "file": "ehr/20260430/OR_LOG.csv",
    "folder_date": dt.date(2026, 4, 30),
    "slot": None,
    "file_hash": "h",
    "contract_version": "1",
    "outcome": "landed",
    "reason": None,
    "rows_delivered": 10,
    "rows_landed": 10,
    "rows_repeated": 0,
    "rows_quarantined": 0,
    "rows_tombstoned": 0,
    "manifest_rows": 10,
    "manifest_hash_ok": True,
    "batch_id": "b1",
    "duplicate_of": None,
    "is_snapshot": False,
    "is_window_repeat": False,
}
ATTEMPT_SCHEMA = {
    name: {
        "folder_date": pl.Date,
        "manifest_hash_ok": pl.Boolean,
        "is_snapshot": pl.Boolean,
        "is_window_repeat": pl.Boolean,
    }.get(name, pl.Int64 if name.startswith("rows_") or name == "manifest_rows" else pl.String)
    for name in ATTEMPT
}

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def write_build(path: Path, rows: Rows, leave_out: Sequence[str] = ()) -> Path:
    """A build with every recon relation (empty ones where `rows` has none) except those left out."""
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema recon")
        for relation, own in RELATIONS.items():
            if relation in leave_out:
                continue
            given = rows.get(relation, ())
            extra = {name for row in given for name in row} - set(STANDARD) - set(own)
            kinds = STANDARD | own | {name: "date" if "date" in name else "varchar" for name in sorted(extra)}
            columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
            connection.execute(f"create table recon.{relation} ({columns})")
            for number, row in enumerate(given):
                full = {
                    "entity_key": f"row={number}",
                    "facility_id": "H1",
                    "business_date": dt.date(2026, 4, 1),
                    "evidence": "[]",
                } | dict(row)
                connection.execute(
                    f"insert into recon.{relation} ({', '.join(full)}) values ({', '.join('?' * len(full))})",
                    list(full.values()),
                )
    return path


def write_attempts(path: Path, attempts: Sequence[Mapping[str, Any]]) -> Path:
    rows = [ATTEMPT | dict(each) for each in attempts]
    pl.DataFrame(rows, schema=ATTEMPT_SCHEMA, orient="row").write_parquet(path)
    return path


@dataclass
class Court:
    """Judges tiny builds in one home."""

    home: Path

    @property
    def ledger(self) -> ExceptionLedger:
        return ExceptionLedger(self.home / "ledger" / "exceptions.sqlite")

    def judge(
        self,
        rows: Rows | None = None,
        *,
        as_of: str = "2026-04-30",
        attempts: Sequence[Mapping[str, Any]] = (),
        leave_out: Sequence[str] = (),
        **how: Any,
    ) -> Judgement:
        work = self.home / "warehouse" / as_of.replace(":", "")
        work.mkdir(parents=True, exist_ok=True)
        build = write_build(work / "build.duckdb", rows or {}, leave_out)
        landed = write_attempts(work / "attempts.parquet", attempts)
        return judge(build, landed, AsOf.parse(as_of), self.ledger, work, **how)

    def fired(self, rows: Rows | None = None, **how: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """What fires, by rule and entity."""
        judgement = self.judge(rows, **how)
        return {
            (row["rule_id"], row["entity_key"]): row for row in pl.read_parquet(judgement.judged).iter_rows(named=True)
        }
