"""Delivered text to landed Parquet: rows a second for one large extract, beside bare Polars on the same file.

The peer reads the file as text and writes Parquet, no more. Suture checks the manifest, judges the contract, tokenises,
hashes every row against what landed before, and keeps the batch ledger.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

ROWS = 500_000
DAY = date(2026, 4, 30)


def _movements(rows: int) -> str:
    """ICTRANS: no identifier of a patient."""
    lines = [
        f"1005,H5ORC,IC,IS,{i // 40:010d},0,{i % 40 + 1},{i % 900:07d},20260429,{i % 2400},20260429,-{i % 9 + 1},EA,1,"
        f"{i % 7000 / 100:.2f},0,,57010,610100,0,,9,P{i:012d}"
        for i in range(rows)
    ]
    header = (
        "COMPANY,LOCATION,SYSTEM_CD,DOC_TYPE,DOCUMENT,SHIPMENT_NBR,LINE_NBR,ITEM,TRANS_DATE,ACTUAL_TIME,UPDATE_DATE,"
        "QUANTITY,TRAN_UOM,TRAN_UOM_MULT,UNIT_COST,FROM_TO_CMPY,FROM_TO_LOC,ACCT_UNIT,ACCOUNT,SUB_ACCT,REASON_CODE,"
        "R_STATUS,REFERENCE"
    )
    return "\n".join([header, *lines, ""])


def _encounters(rows: int) -> str:
    """PAT_ENC_HSP: three identifiers a row."""
    admitted = [(DAY - timedelta(days=i % 30)).isoformat() for i in range(30)]
    lines = [
        f"{300000001 + i},Z{i // 3:07d},{600000001 + i // 2},1,10370101,{admitted[i % 30]} 08:00:00,,"
        f"2026-04-29 {i % 24:02d}:00:00"
        for i in range(rows)
    ]
    header = (
        "PAT_ENC_CSN_ID,PAT_ID,HSP_ACCOUNT_ID,ADT_PAT_CLASS_C,DEPARTMENT_ID,HOSP_ADMSN_TIME,HOSP_DISCH_TIME,UPDATE_DATE"
    )
    return "\n".join([header, *lines, ""])


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run() -> None:
    """Print rows a second for both extracts, Suture's and the peer's."""
    import polars as pl

    from ingest.clock import AsOf
    from ingest.run import ingest

    for system, extract, text in (
        ("erp_lawson", "ICTRANS", _movements(ROWS)),
        ("ehr", "PAT_ENC_HSP", _encounters(ROWS)),
    ):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            folder = root / "landing" / system / DAY.strftime("%Y%m%d")
            folder.mkdir(parents=True)
            file = folder / f"{extract}.csv"
            file.write_text(text, encoding="utf-8", newline="")
            if system == "erp_lawson":
                (folder / "_counts.txt").write_text(f"extract,row_count\n{extract},{ROWS}\n")
            else:
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                (folder / "_manifest.csv").write_text(f"extract,row_count,hash_total\n{extract},{ROWS},{digest}\n")

            def bare(file: Path = file, target: Path = root / "bare.parquet") -> None:
                pl.read_csv(file, infer_schema=False).write_parquet(target)

            def landed(root: Path = root, system: str = system) -> None:
                report = ingest(root / "landing", root / "home", AsOf.parse(DAY.isoformat()), "bench", systems=[system])
                assert sum(counts.rows_landed for counts in report.extracts) == ROWS

            # Both have their libraries loaded and the file in the page cache.
            bare()
            (root / "nothing").mkdir()
            ingest(root / "nothing", root / "home", AsOf.parse(DAY.isoformat()), "warm", systems=[system])
            peer, ours = _timed(bare), _timed(landed)
        print(
            f"landing {system}.{extract}: {ROWS / ours:,.0f} rows/s, {ours:.1f} s for {ROWS:,}; "
            f"bare Polars {ROWS / peer:,.0f} rows/s; {ours / peer:.1f} x its time"
        )
