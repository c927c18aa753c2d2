"""The simulated landscape: what a month of it costs, how many rows it has, whether an analyst would believe it.

Eight hospitals and their distribution centre at scale 0.2 over 30 days, with a cut-over and a month end in them. Prints
seconds and memory, the row versions of each extract beside those of the contracts (where ../shared/contracts is there),
and distributions beside the figures that the field publishes or estimates.
"""

from __future__ import annotations

import gzip
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from ingest.simulator.delivery import contract

SCALE, DAYS, START = 0.2, 30, "2026-03-16"
WORLD = ["--start", START, "--days", str(DAYS), "--scale", str(SCALE), "--seed", "5", "--repull", "3"]
SITES = ["--sites", "CDC,H1,H2,H3,H4,H5,H6,H7,H8"]
CONTRACTS = Path(__file__).resolve().parents[2] / "shared" / "contracts" / "README.md"
SECONDS, GIGABYTES = 240, 3.0
# A world opens without documents and sends its masters first: what is ordered is received after days and billed after
# more, so rows are counted from here on. Invoices on terms of 30 and 45 days are paid after the world's end.
WARM_UP = 15
SETTLED_FROM = f"{date.fromisoformat(START) + timedelta(days=WARM_UP):%Y%m%d}"
LATER_THAN_THE_WORLD = ("APPAYMENT", "AP_PAYMENTS")
# One line for each account and day, whatever the volume: such rows do not grow with the scale.
BY_ACCOUNT = ("GLTRANS", "GL_JE_HEADERS", "GL_JE_LINES", "GL_BALANCES")
LONGEST_STAY, FORTNIGHT = 21, 14  # days


def run() -> None:
    """Print what the world costs and what it looks like."""
    with tempfile.TemporaryDirectory() as scratch:
        landing = Path(scratch)
        started = time.perf_counter()
        command = [sys.executable, "-m", "orchestration", "simulate", "--out", str(landing), *WORLD, *SITES]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        print(f"landscape: {seconds:.0f} s (goal {SECONDS}), {memory:.2f} GB (goal {GIGABYTES:.0f}); {told}")
        feeds = Deliveries(landing)
        _print_volumes(feeds)
        _print_measures(feeds)


class Deliveries:
    """The delimited deliveries of a landing directory, as they stand."""

    def __init__(self, landing: Path) -> None:
        self.landing = landing

    def files(self, system: str, extract: str) -> Iterator[tuple[str, bytes]]:
        """Folder dates and contents of an extract's files in the order of delivery, but what cannot be read."""
        pattern = f"*/{extract}_*.csv" if system == "pou" else f"*/{extract}.csv"
        for path in sorted((self.landing / system).glob(pattern)):
            yield path.parent.name, path.read_bytes()
        for path in sorted((self.landing / system).glob(f"*/*/{extract}.zip")):
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    for name in archive.namelist():
                        yield path.parent.parent.name, archive.read(name)

    def versions_a_day(self, system: str, extract: str) -> float:
        """Different rows that were delivered after the warm-up and not in it, a day."""
        first: set[int] = set()
        then: set[int] = set()
        for folder, content in self.files(system, extract):
            rows = first if folder < SETTLED_FROM else then
            rows.update(hash(line) for line in content.split(b"\n")[1:] if line)
        return len(then - first) / (DAYS - WARM_UP)

    def rows(self, system: str, extract: str, *columns: str) -> pl.DataFrame:
        """The last version of each key, with the columns named, as text."""
        key = contract(system)[extract].key
        wanted = list(dict.fromkeys((*key, *columns)))
        frames = [
            pl.read_csv(content, infer_schema=False, truncate_ragged_lines=True).select(wanted)
            for _, content in self.files(system, extract)
            if content.count(b"\n") > 1
        ]
        if not frames:
            return pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))
        return pl.concat(frames).unique(key, keep="last", maintain_order=True)


# ------------------------------------------------------------------------------------------------------------- volumes


def _print_volumes(feeds: Deliveries) -> None:
    if not CONTRACTS.exists():
        print(f"landscape: rows a day are not compared, {CONTRACTS} is not there")
        return
    total = wanted = 0.0
    print("landscape: row versions of incremental and event extracts, a day at scale 1.0, after the warm-up")
    pattern = r"\| (\w+) \| (\w+) \| (incremental|event) \|.*\| ([\d,]+) \|$"
    for system, extract, _, number in re.findall(pattern, CONTRACTS.read_text(encoding="utf-8"), re.M):
        if system in ("ehr", "hb", "pou", "erp_lawson", "erp_fusion") and not extract.startswith("REMIT_835"):
            expected, found = float(number.replace(",", "")), feeds.versions_a_day(system, extract) / SCALE
            total, wanted = total + found, wanted + expected
            remark = "  (terms)" if extract in LATER_THAN_THE_WORLD else "  (by account)" * (extract in BY_ACCOUNT)
            print(
                f"  {system + '.' + extract:36} {found:>10,.0f}  contract {expected:>9,.0f}"
                f"  {found / expected:6.2f}{remark}"
            )
    print(f"  {'together':36} {total:>10,.0f}  contract {wanted:>9,.0f}  {total / wanted:6.2f}")


# ------------------------------------------------------------------------------------------------------- distributions


@dataclass(frozen=True)
class Measure:
    """One figure of the landscape and where it is known from."""

    name: str
    source: str
    expected: str
    simulated: Callable[[Deliveries], float]
    unit: str = ""


def _print_measures(feeds: Deliveries) -> None:
    print(f"landscape: {'measure':44} {'source':34} {'expected':>12} {'simulated':>12}")
    for measure in MEASURES:
        print(
            f"           {measure.name:44} {measure.source:34} {measure.expected:>12}"
            f" {measure.simulated(feeds):>11,.2f}{measure.unit}"
        )


def _number(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64, strict=False).fill_null(0)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0


def _usage(feeds: Deliveries) -> pl.DataFrame:
    lists = feeds.rows("ehr", "OR_PKLST", "LOG_ID", "PICK_LIST_TYPE_C").filter(pl.col("PICK_LIST_TYPE_C") == "2")
    lines = feeds.rows("ehr", "OR_PKLST_SUP_LIST", "SUPPLIES_USED", "SUPPLIES_WASTED", "SUP_UNIT_COST", "IMPLANT_YN")
    supplies = lines.filter(pl.col("IMPLANT_YN").fill_null("") != "Y")  # copies of the implant log
    return supplies.join(lists, on="PICK_LIST_ID").with_columns(
        (_number("SUPPLIES_USED") + _number("SUPPLIES_WASTED")).alias("taken"),
        (_number("SUPPLIES_WASTED") * _number("SUP_UNIT_COST")).alias("wasted_cost"),
        ((_number("SUPPLIES_USED") + _number("SUPPLIES_WASTED")) * _number("SUP_UNIT_COST")).alias("cost"),
    )


def _pick_list_lines(feeds: Deliveries) -> float:
    lines = _usage(feeds)
    return _ratio(lines.height, lines["LOG_ID"].n_unique())


def _used_lines(feeds: Deliveries) -> float:
    lines = _usage(feeds).filter(pl.col("taken") > 0)
    return _ratio(lines.height, lines["LOG_ID"].n_unique())


def _wasted_cost(feeds: Deliveries) -> float:
    lines = _usage(feeds)
    return 100 * _ratio(lines["wasted_cost"].sum(), lines["cost"].sum())


def _implants(feeds: Deliveries) -> pl.DataFrame:
    return feeds.rows("ehr", "OR_LOG_LN_IMPLANT")


def _implants_a_case(feeds: Deliveries) -> float:
    lines = _implants(feeds)
    return _ratio(lines.height, lines["LOG_ID"].n_unique())


def _implant_cases(feeds: Deliveries) -> float:
    return 100 * _ratio(_implants(feeds)["LOG_ID"].n_unique(), feeds.rows("ehr", "OR_LOG").height)


def _charges(feeds: Deliveries) -> pl.DataFrame:
    columns = ("TX_TYPE_HA_C", "TX_AMOUNT", "SERVICE_DATE", "TX_POST_DATE", "ORIG_REV_TX_ID", "ORIG_REPOST_TX_ID")
    rows = feeds.rows("hb", "HSP_TRANSACTIONS", *columns, "HSP_ACCOUNT_ID").filter(
        pl.col("TX_TYPE_HA_C") == "1",
        pl.col("ORIG_REV_TX_ID").fill_null("") == "",
        pl.col("ORIG_REPOST_TX_ID").fill_null("") == "",
    )
    days = [pl.col(name).str.slice(0, 10).str.to_date() for name in ("TX_POST_DATE", "SERVICE_DATE")]
    return rows.with_columns((days[0] - days[1]).dt.total_days().alias("lag"), _number("TX_AMOUNT").alias("amount"))


def _charge_lag(feeds: Deliveries) -> float:
    return float(_charges(feeds)["lag"].cast(pl.Float64).mean() or 0)  # type: ignore[arg-type]


def _late_charges(feeds: Deliveries) -> float:
    """Of services a fortnight before the end: late charges of later ones are still to come."""
    last = date.fromisoformat(START) + timedelta(days=DAYS - FORTNIGHT)
    rows = _charges(feeds).filter(pl.col("SERVICE_DATE") < last.isoformat())
    return 100 * _ratio(rows.filter(pl.col("lag") > 5)["amount"].sum(), rows["amount"].sum())


def _by_parent(frames: Iterable[tuple[pl.DataFrame, list[str]]]) -> float:
    lines = parents = 0
    for frame, key in frames:
        lines, parents = lines + frame.height, parents + frame.select(key).unique().height
    return _ratio(lines, parents)


def _lines_an_order(feeds: Deliveries) -> float:
    return _by_parent(
        (
            (feeds.rows("erp_lawson", "POLINE"), ["COMPANY", "PO_NUMBER", "PO_RELEASE", "PO_CODE"]),
            (feeds.rows("erp_fusion", "PO_LINES", "PoHeaderId"), ["PoHeaderId"]),
        )
    )


def _lines_on_hold(feeds: Deliveries) -> float:
    billed = feeds.rows("erp_lawson", "MAINVDTL").height
    held = feeds.rows("erp_lawson", "MAINVMSG", "PO_NUMBER", "PO_LINE_NBR")
    lines = held.select("COMPANY", "VENDOR", "INVOICE", "SUFFIX", "PO_NUMBER", "PO_LINE_NBR").unique().height
    types = feeds.rows("erp_fusion", "AP_INVOICE_LINES", "ApInvoiceLinesAllLineTypeLookupCode")
    billed += types.filter(pl.col("ApInvoiceLinesAllLineTypeLookupCode") == "ITEM").height
    of_invoice = ("ApHoldsAllInvoiceId", "ApHoldsAllLineLocationId")
    lines += feeds.rows("erp_fusion", "AP_HOLDS", *of_invoice).select(of_invoice).unique().height
    return 100 * _ratio(lines, billed)


def _transactions_of(feeds: Deliveries, accounts: pl.DataFrame) -> float:
    rows = feeds.rows("hb", "HSP_TRANSACTIONS", "HSP_ACCOUNT_ID").join(accounts, on="HSP_ACCOUNT_ID")
    return _ratio(rows.height, rows["HSP_ACCOUNT_ID"].n_unique())


def _accounts(feeds: Deliveries, *classes: str) -> pl.DataFrame:
    rows = feeds.rows("hb", "HSP_ACCOUNT", "ACCT_BASECLS_HA_C", "ACCT_BILLSTS_HA_C", "ADM_DATE_TIME")
    return rows.filter(pl.col("ACCT_BASECLS_HA_C").is_in(classes))


def _transactions_of_a_stay(feeds: Deliveries) -> float:
    """Of stays that began three weeks before the end: later ones have charges still to come."""
    last = (date.fromisoformat(START) + timedelta(days=DAYS - LONGEST_STAY)).isoformat()
    return _transactions_of(feeds, _accounts(feeds, "1").filter(pl.col("ADM_DATE_TIME") < last))


def _transactions_of_a_visit(feeds: Deliveries) -> float:
    """Of visits that are paid: the others have payment and adjustment still to come."""
    return _transactions_of(feeds, _accounts(feeds, "2", "3").filter(pl.col("ACCT_BILLSTS_HA_C") == "7"))


def _cases(feeds: Deliveries) -> float:
    """Logs of seven hospitals and the numbers of performed cases in the exports of the eighth, a year at scale 1.0."""
    numbers: set[bytes] = set()
    for path in (feeds.landing / "ehr_fhir").rglob("Procedure*.ndjson.gz"):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            if b'"not-done"' not in line:
                numbers.update(re.findall(rb'"value": ?"(E-\d{4}-\d{6})"', line)[:1])
    return (feeds.rows("ehr", "OR_LOG").height + len(numbers)) / DAYS * 365 / SCALE


MEASURES = (
    Measure("procedural cases a year at scale 1.0", "domain 6, estimate", "132,000", _cases),
    Measure("lines of an OR pick list", "domain 6, estimate", "60 to 80", _pick_list_lines),
    Measure("of them used or wasted", "domain 6, estimate", "30", _used_lines),
    Measure("wasted share of supply cost", "UCSF neurosurgery, domain 4.1", "13.1 %", _wasted_cost, " %"),
    Measure("implant lines of a case with implants", "domain 6, estimate", "6", _implants_a_case),
    Measure("cases with implants", "domain 6, estimate", "25 %", _implant_cases, " %"),
    Measure("days from service to charge", "domain 4, common target", "1 to 3", _charge_lag),
    Measure("late charges, share of dollars", "domain 4, common target", "2 to 3 %", _late_charges, " %"),
    Measure("transactions of a stay", "domain 6, estimate", "350", _transactions_of_a_stay),
    Measure("transactions of a visit", "domain 6, estimate", "8", _transactions_of_a_visit),
    Measure("lines of an order", "domain 6, estimate", "4.5", _lines_an_order),
    Measure("lines billed that are held", "domain 4, vendor's claim", "10 %", _lines_on_hold, " %"),
)  # fmt: skip
