"""Delivered text to landed Parquet: rows a second for one large extract, beside its peers on the same file.

Suture checks the manifest, judges the contract, tokenises, hashes every row against what landed before, writes Parquet
and keeps the batch ledger. Its peers read the file as text and write Parquet, no more: Polars, with the compression and
row groups that Suture writes; DuckDB; dlt with the fastest CSV reader of its `filesystem` source, `read_csv_duckdb`
with Arrow; dlt given the table that pyarrow's reader makes of the file, which no source of dlt does. One more way shows
what the promises cost when they are kept plainly: Polars that also hashes the file (SHA-256) and every row. Each runs
in a process of its own, with its libraries loaded and the file in the page cache; the best of some runs counts, and the
most memory that a process had.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.landing import ROW_GROUP

if TYPE_CHECKING:
    import polars as pl

ROWS = 500_000
RUNS = 3
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


def _charges(rows: int) -> str:
    """HSP_TRANSACTIONS: an account a row, of which each has some forty, and its old number on a few."""
    lines = [
        f"{800000001 + i},{600000001 + i * 7919 % (rows // 40)},1,6,{i % 90000 / 100:.2f},{i % 5 + 1},"
        f"2026-04-{i % 28 + 1:02d} 00:00:00,2026-04-29 00:00:00,2026-04-29 {i % 24:02d}:{i % 60:02d}:00,{i % 9000},"
        f"0278,,C{i % 2000:04d},,OR{i % 30},57010,{i % 30000 / 100:.2f},{i % 12000},,{i // 30},,N,,,,,"
        f"{600000001 + i % 977 if i % 50 == 0 else ''},{i % 40},{i % 7},2026-04-29 23:{i % 60:02d}:00"
        for i in range(rows)
    ]
    header = (
        "TX_ID,HSP_ACCOUNT_ID,TX_TYPE_HA_C,TX_SOURCE_HA_C,TX_AMOUNT,QUANTITY,SERVICE_DATE,TX_POST_DATE,TX_FILED_TIME,"
        "PROC_ID,UB_REV_CODE_ID,DFLT_UB_REV_CD_ID,HCPCS_CODE,MODIFIERS,DEPARTMENT,COST_CNTR_ID,COST,SUP_ID,IMPLANT_ID,"
        "OPTIME_LOG_ID,ORDER_ID,IS_LATE_CHARGE_YN,ORIG_REV_TX_ID,ORIG_REPOST_TX_ID,CHG_CRED_ORIG_ID,LATE_CRCTN_ORIG_ID,"
        "OLD_HSP_ACCOUNT_ID,PAYOR_ID,BUCKET_ID,UPDATE_DATE"
    )
    return "\n".join([header, *lines, ""])


EXTRACTS: dict[str, tuple[str, Callable[[int], str]]] = {
    "ICTRANS": ("erp_lawson", _movements),
    "PAT_ENC_HSP": ("ehr", _encounters),
    "HSP_TRANSACTIONS": ("hb", _charges),
}


def _deliver(root: Path, extract: str, rows: int) -> Path:
    """A delivery below `root` with its manifest."""
    system, text = EXTRACTS[extract]
    folder = root / "landing" / system / DAY.strftime("%Y%m%d")
    folder.mkdir(parents=True)
    file = folder / f"{extract}.csv"
    file.write_text(text(rows), encoding="utf-8", newline="")
    if system == "erp_lawson":
        (folder / "_counts.txt").write_text(f"extract,row_count\n{extract},{rows}\n")
    else:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        (folder / "_manifest.csv").write_text(f"extract,row_count,hash_total\n{extract},{rows},{digest}\n")
    return file


def _suture(root: Path, file: Path, scratch: Path) -> Callable[[], object]:
    from ingest.clock import AsOf
    from ingest.run import ingest

    as_of, system = AsOf.parse(DAY.isoformat()), file.parts[-3]
    # A hundred rows load what a run loads.
    _deliver(scratch, file.stem, 100)
    ingest(scratch / "landing", scratch / "warm", as_of, "warm", systems=[system])
    (scratch / "nothing").mkdir()
    ingest(scratch / "nothing", scratch / "home", as_of, "home", systems=[system])

    def landed() -> None:
        report = ingest(root / "landing", scratch / "home", as_of, "bench", systems=[system])
        assert sum(counts.rows_landed for counts in report.extracts) == ROWS

    return landed


def _polars(root: Path, file: Path, scratch: Path) -> Callable[[], object]:
    import polars as pl

    return lambda: _write(pl.read_csv(file, infer_schema=False), scratch)


def _polars_hashing(root: Path, file: Path, scratch: Path) -> Callable[[], object]:
    import polars as pl

    from ingest.landing import hashes

    hashes(pl.DataFrame({"loads": ["the plugin"]}), ["loads"])

    def hashed() -> None:
        hashlib.sha256(file.read_bytes()).hexdigest()
        rows = pl.read_csv(file, infer_schema=False)
        _write(rows.with_columns(hashes(rows, rows.columns)), scratch)

    return hashed


def _write(rows: pl.DataFrame, scratch: Path) -> None:
    rows.write_parquet(scratch / "bare.parquet", compression="zstd", compression_level=1, row_group_size=ROW_GROUP)


def _duckdb(root: Path, file: Path, scratch: Path) -> Callable[[], object]:
    import duckdb

    connection = duckdb.connect()
    target = scratch / "bare.parquet"
    return lambda: connection.execute(
        f"copy (select * from read_csv('{file}', all_varchar = true)) to '{target}' (format parquet)"
    )


def _dlt(root: Path, file: Path, scratch: Path, is_table: bool = False) -> Callable[[], object]:
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    import dlt
    import pyarrow as pa
    import pyarrow.csv as csv
    from dlt.sources.filesystem import filesystem, read_csv_duckdb

    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(scratch / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(scratch / "dlt").as_uri()),
        dataset_name="raw",
    )
    names = file.open(encoding="utf-8").readline().rstrip("\n").split(",")
    text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)

    def table() -> Iterator[pa.Table]:
        yield csv.read_csv(file, convert_options=text)

    def rows() -> object:
        if is_table:
            return dlt.resource(table, name="rows")
        files = filesystem(bucket_url=file.parent.as_uri(), file_glob=file.name)
        return files | read_csv_duckdb(use_pyarrow=True, all_varchar=True)

    return lambda: pipeline.run(rows(), table_name="rows", loader_file_format="parquet")


def _dlt_table(root: Path, file: Path, scratch: Path) -> Callable[[], object]:
    return _dlt(root, file, scratch, is_table=True)


PEERS = {
    "Suture": _suture,
    "Polars": _polars,
    "Polars with hashes": _polars_hashing,
    "DuckDB": _duckdb,
    "dlt": _dlt,
    "dlt given pyarrow's table": _dlt_table,
}


def child(peer: str, root: Path, file: Path) -> None:
    """Print the seconds that a peer takes for the file, and the most memory that this process had, in bytes."""
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        work = PEERS[peer](root, file, Path(scratch))
        file.read_bytes()
        started, spent = time.perf_counter(), time.process_time()
        work()
        seconds, spent = time.perf_counter() - started, time.process_time() - spent
    print(json.dumps([seconds, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))


def _measured(root: Path, file: Path) -> dict[str, tuple[float, float, int]]:
    """Best seconds and processor seconds and most memory of each peer; they take turns, so that all have equal luck."""
    runs: dict[str, list[tuple[float, float, int]]] = {peer: [] for peer in PEERS}
    for _ in range(RUNS):
        for peer, figures in runs.items():
            command = [sys.executable, "-m", "benchmarks.landing", peer, str(root), str(file)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            figures.append(tuple(json.loads(said.splitlines()[-1])))
    return {
        peer: (min(each[0] for each in figures), min(each[1] for each in figures), max(each[2] for each in figures))
        for peer, figures in runs.items()
    }


def run() -> None:
    """Print rows a second and peak memory of Suture and its peers for each extract, and how Suture's time compares."""
    for extract, (system, _) in EXTRACTS.items():
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            measured = _measured(root, _deliver(root, extract, ROWS))
        ours = measured["Suture"]
        for peer, (seconds, spent, memory) in measured.items():
            compared = "" if peer == "Suture" else f"; Suture takes {ours[0] / seconds:.2f} x its time"
            print(
                f"landing {system}.{extract}: {peer} {ROWS / seconds:,.0f} rows/s, {seconds:.2f} s for {ROWS:,} "
                f"({spent:.2f} s of processor), {memory / 2**20:,.0f} MB{compared}"
            )


if __name__ == "__main__":
    child(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
