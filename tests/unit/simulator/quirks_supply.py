"""Quirks of the inventory system, the two ERPs and the reference (Q53 to Q66, Q78 to Q110, Q117 to Q130), as delivered.

Without a switch, as facts of the formats or of business: absolute counts (Q53), wrong cases, which are a defect (Q58),
consigned stock (Q59, Q63), areas without perpetual stock (Q64), balances out of order (Q65), picks of the evening
before (Q66), order numbers reused (Q79), times without zeros (Q80), spellings of no date (Q81), fiscal periods and
their columns (Q84, Q85), overloaded fields (Q86), receipts that are netted and lag (Q87), holds that flicker (Q93),
automatic receipts (Q94), rows repeated by windows (Q95), agreements among orders (Q96), holds set again (Q97), amounts
of discarded lines (Q98), the sign of corrections (Q103), three units of a receipt (Q104), items by organisation (Q108),
codes of a case (Q109), invoices before receipts (Q117), empty files (Q127), divisions of one company (Q129).
Q67 to Q70 (test_mmis), Q111 (test_edi) and Q121, a defect (test_stray), have none either.
"""

from __future__ import annotations

import zipfile
from datetime import date, datetime, timedelta
from itertools import pairwise

import polars as pl

from tests.unit.simulator.quirk_world import (
    RAISED,
    START,
    Deliveries,
    Register,
    filled,
    number,
    share_of,
)

QUIRKS = Register()
MOMENT = "%Y-%m-%d %H:%M:%S"


# ------------------------------------------------------------------------------------------- the inventory system (pou)


def movements(seen: Deliveries) -> pl.DataFrame:
    """Rows of the devices with the moments of the movement and of its upload, both UTC; a replayed row once."""
    rows = seen.newest("pou", "txn", "txn_id")
    moved = (
        pl.col("txn_ts")
        .str.to_datetime(MOMENT)
        .dt.replace_time_zone("America/Chicago", ambiguous="earliest", non_existent="null")
    )
    sent = pl.col("posted_at").str.to_datetime(MOMENT).dt.replace_time_zone("UTC")
    return rows.with_columns(waited=(sent - moved.dt.convert_time_zone("UTC")).dt.total_seconds())


@QUIRKS("Q53", "counts are absolute", share=1, has_switch=False)
def absolute_counts(seen: Deliveries) -> tuple[int, int]:
    keyed = seen.newest("pou", "count", "count_doc", "line_no").select(
        "counted_each", ref_doc="count_doc", ref_line="line_no"
    )
    counts = seen.newest("pou", "txn", "txn_id").filter(pl.col("txn_type") == "COUNT")
    return share_of(counts.join(keyed, on=["ref_doc", "ref_line"]), number("qty_each") == number("counted_each"))


@QUIRKS("Q54", "some devices show a movement after it was sent")
def fast_clocks(seen: Deliveries) -> tuple[int, int]:
    return share_of(movements(seen), pl.col("waited") < 0)


@QUIRKS("Q54", "one cabinet is 61 minutes late after the switch to daylight saving time")
def slow_after_the_switch(seen: Deliveries) -> tuple[int, int]:
    rows = movements(seen).filter(pl.col("txn_type") != "COUNT")
    rows = rows.filter(pl.col("txn_ts").str.slice(0, 10).is_between(pl.lit("2026-03-08"), pl.lit("2026-03-20")))
    is_behind = (pl.col("waited") > 61 * 60) & (pl.col("waited") < 72 * 60)
    cabinet = pl.col("device_id").str.replace(r"-T\d+$", "")  # its terminals go by one clock
    cabinets = rows.group_by(cabinet).agg(behind=is_behind.sum(), share=is_behind.mean())
    slow = cabinets.filter(pl.col("share") > 0.5)  # another one may have been offline for an hour
    assert slow.height <= 1
    return int(slow["behind"].sum()), rows.height


@QUIRKS("Q55", "an offline cabinet sends hours to three days later")
def sent_late(seen: Deliveries) -> tuple[int, int]:
    rows = movements(seen)
    assert (rows["waited"].max() or 0) <= 3 * 86400 + 7200
    return share_of(rows, pl.col("waited") > 4 * 3600)


@QUIRKS("Q56", "rows come again in a replayed file")
def replayed_rows(seen: Deliveries) -> tuple[int, int]:
    rows = seen.table("pou", "txn").drop("folder")
    assert rows.unique().height == rows["txn_id"].n_unique()
    return rows.height - rows["txn_id"].n_unique(), rows.height


@QUIRKS("Q56", "numbers of a device have gaps")
def gaps(seen: Deliveries) -> tuple[int, int]:
    numbers = seen.newest("pou", "txn", "txn_id").select("device_id", number("txn_seq"))
    devices = numbers.group_by("device_id").agg(pl.col("txn_seq").sort())
    steps = [later - earlier for places in devices["txn_seq"] for earlier, later in pairwise(places)]
    return sum(step > 1 for step in steps), len(steps)


@QUIRKS("Q57", "the half of a transfer that fills the cabinet is missing", share=0.01)
def halves_that_miss(seen: Deliveries) -> tuple[int, int]:
    rows = seen.newest("pou", "txn", "txn_id")
    arrived = set(rows.filter(pl.col("txn_type") == "RESTOCK")["ref_doc"])
    sent = rows.filter((pl.col("txn_type") == "ISSUE") & filled("ref_doc") & (pl.col("case_no") == ""))
    return share_of(sent, ~pl.col("ref_doc").is_in(arrived))


def patient_issues(seen: Deliveries) -> pl.DataFrame:
    rows = seen.newest("pou", "txn", "txn_id")
    return rows.filter((pl.col("txn_type") == "ISSUE") & filled("csn") & (pl.col("owner_type") == "OWNED"))


@QUIRKS("Q58", "an issue to a patient names no case")
def issues_without_case(seen: Deliveries) -> tuple[int, int]:
    return share_of(patient_issues(seen), pl.col("case_no") == "")


@QUIRKS("Q58", "the number of the log stands for that of the case")
def issues_of_a_log(seen: Deliveries) -> tuple[int, int]:
    cases = set(seen.table("ehr", "OR_CASE")["OR_CASE_ID"])
    logs = set(seen.performed["LOG_ID"]) - cases
    return share_of(patient_issues(seen), pl.col("case_no").is_in(logs))


@QUIRKS("Q58", "issues name the case of another patient", has_switch=False)
def issues_of_another_case(seen: Deliveries) -> tuple[int, int]:
    mrns = seen.lookup("ehr", "PATIENT", "PAT_ID", "PAT_MRN_ID")
    cases = seen.newest("ehr", "OR_CASE", "OR_CASE_ID").select(
        case_no="OR_CASE_ID", mrn=pl.col("PAT_ID").replace_strict(mrns, default="")
    )
    rows = patient_issues(seen).join(cases, on="case_no")
    return share_of(rows, pl.col("patient_mrn") != pl.col("mrn"))


@QUIRKS("Q59", "consigned rows carry no cost, owned ones of an asset do", share=1, has_switch=False)
def consigned_without_cost(seen: Deliveries) -> tuple[int, int]:
    rows = seen.newest("pou", "txn", "txn_id")
    assert rows.filter(pl.col("owner_type") == "OWNED")["unit_cost"].ne("").any()
    return share_of(rows.filter(pl.col("owner_type") != "OWNED"), pl.col("unit_cost") == "")


@QUIRKS("Q59", "items of the inventory system lack their ERP number", share=0.03)
def items_without_erp_number(seen: Deliveries) -> tuple[int, int]:
    items = seen.newest("pou", "item", "item_no").filter(
        ~pl.col("description").str.starts_with("TRIAL DEVICE") & ~filled("merged_into_item_no")
    )
    return share_of(items, ~filled("erp_item_no"))


@QUIRKS("Q60", "the separator behind a lot or serial that another field follows is lost", share=RAISED["Q60"])
def lost_separators(seen: Deliveries) -> tuple[int, int]:
    scans = seen.newest("pou", "txn", "txn_id").filter(filled("udi_raw"))
    behind = scans.filter(~pl.col("udi_raw").str.slice(16).str.starts_with("17"))
    return share_of(behind, ~pl.col("udi_raw").str.contains("~"))


@QUIRKS("Q60", "a GTIN lacks the zero before it", share=0.10)
def bare_identifiers(seen: Deliveries) -> tuple[int, int]:
    items = seen.newest("pou", "item", "item_no").filter(filled("gtin_each"))
    return share_of(items, pl.col("gtin_each").str.len_bytes() == 13)


@QUIRKS("Q61", "half of the expiries at a month's end are written as day 00", share=0.5)
def expiries_of_day_zero(seen: Deliveries) -> tuple[int, int]:
    rows = seen.newest("pou", "txn", "txn_id").filter(filled("expiry_date") & filled("lot"))
    lots = rows.unique(["item_no", "lot", "expiry_date"]).filter(
        pl.col("expiry_date").map_elements(ends_a_month, return_dtype=pl.Boolean)
    )
    return share_of(lots, pl.col("expiry_date").str.ends_with("00"))


def ends_a_month(text: str) -> bool:
    if text.endswith("00"):
        return True
    return (datetime.strptime(text, "%y%m%d") + timedelta(days=1)).day == 1


@QUIRKS("Q62", "items are merged into others under which they were stocked as well")
def merged_items(seen: Deliveries) -> tuple[int, int]:
    items = seen.newest("pou", "item", "item_no")
    assert set(items["merged_into_item_no"]) - {""} <= set(items["item_no"])
    return share_of(items, filled("merged_into_item_no"))


@QUIRKS("Q63", "consigned stock lies in closets that are no asset", has_switch=False)
def consigned_stock(seen: Deliveries) -> tuple[int, int]:
    assets = seen.lookup("pou", "location", "location_code", "asset")
    stock = seen.newest("pou", "onhand", "site", "location_code", "item_no", "lot", "serial", "owner_type")
    consigned = stock.filter(pl.col("owner_type") == "CONSIGNED")
    assert {assets[code] for code in consigned["location_code"]} <= {"N"}
    return consigned.height, stock.height


@QUIRKS("Q64", "areas without perpetual stock are filled and never issue", has_switch=False)
def areas_without_stock(seen: Deliveries) -> tuple[int, int]:
    places = seen.newest("pou", "location", "site", "location_code")
    areas = places.filter(pl.col("perpetual") == "N")["location_code"].to_list()
    rows = seen.newest("pou", "txn", "txn_id").filter(pl.col("location_code").is_in(areas))
    assert not rows["txn_type"].is_in(["ISSUE", "WASTE"]).any()
    return rows.filter(pl.col("txn_type") == "RESTOCK").height, rows.height


@QUIRKS("Q65", "the balance after a row is not the one before it and its quantity", has_switch=False)
def broken_balances(seen: Deliveries) -> tuple[int, int]:
    rows = seen.newest("pou", "txn", "txn_id").filter(filled("on_hand_after") & (pl.col("txn_type") != "COUNT"))
    shelf = ["location_code", "item_no", "owner_type"]
    rows = rows.sort("posted_at", maintain_order=True).with_columns(
        expected=number("on_hand_after").shift(1).over(shelf) + number("qty_each")
    )
    assert (rows["on_hand_after"].cast(pl.Float64) < 0).any()
    rows = rows.filter(pl.col("expected").is_not_null())
    return share_of(rows, number("on_hand_after") != pl.col("expected"))


@QUIRKS("Q66", "at H3 a scan points to the pick of an earlier day, elsewhere to an issue of its own", has_switch=False)
def picks_of_the_evening_before(seen: Deliveries) -> tuple[int, int]:
    issued = seen.newest("pou", "txn", "txn_id").select(issue_txn_id="txn_id", day=pl.col("txn_ts").str.slice(0, 10))
    scans = seen.newest("pou", "case_usage", "scan_id").filter(pl.col("disposition") == "USED")
    scans = scans.join(issued, on="issue_txn_id")
    earlier = scans.filter(pl.col("day") < pl.col("scan_ts").str.slice(0, 10))
    assert set(earlier["site"]) == {"WES"}
    return earlier.height, scans.filter(pl.col("site") == "WES").height


# ------------------------------------------------------------------------------------------- the legacy ERP (lawson)

ORDER = ("COMPANY", "PO_NUMBER", "PO_RELEASE", "PO_CODE")


@QUIRKS("Q78", "vendors stand at the left in tables that join them")
def vendors_at_the_left(seen: Deliveries) -> tuple[int, int]:
    assert seen.table("erp_lawson", "APVENMAST")["VENDOR"].str.starts_with(" ").all()
    tables = ("PURCHORDER", "APINVOICE", "MAINVDTL", "APDISTRIB")
    vendors = pl.concat(seen.table("erp_lawson", name).select(pl.col("VENDOR"), table=pl.lit(name)) for name in tables)
    return share_of(vendors.unique(), ~pl.col("VENDOR").str.starts_with(" "))


@QUIRKS("Q79", "a purchase order number stands for several orders", has_switch=False)
def reused_numbers(seen: Deliveries) -> tuple[int, int]:
    orders = seen.newest("erp_lawson", "PURCHORDER", *ORDER).group_by("PO_NUMBER").len()
    return share_of(orders, pl.col("len") > 1)


@QUIRKS("Q80", "times have lost their leading zeros", has_switch=False)
def short_times(seen: Deliveries) -> tuple[int, int]:
    updates = seen.table("erp_lawson", "PORECLINE")["UPDATE_TIME"].cast(pl.Int64)
    assert ((updates % 100 == 0) & (updates // 10000 % 100 < 60) & (updates < 24_000_000)).all()
    moved = seen.table("erp_lawson", "ICTRANS")
    assert (moved["ACTUAL_TIME"].cast(pl.Int64) % 100 < 60).all()
    return share_of(moved, pl.col("ACTUAL_TIME").str.len_bytes() < 4)


@QUIRKS("Q81", "no date is written in three ways", has_switch=False)
def empty_dates(seen: Deliveries) -> tuple[int, int]:
    lines = seen.table("erp_lawson", "POLINE")
    empty = lines.filter(pl.col("CLOSE_DATE").is_in(["17530101", "17000101", "0"]))
    assert empty["CLOSE_DATE"].n_unique() == 3
    return empty.height, lines.height


@QUIRKS("Q82", "a factor of zero means one", share=RAISED["Q82"])
def zero_factors(seen: Deliveries) -> tuple[int, int]:
    lines = seen.newest("erp_lawson", "POLINE", *ORDER, "LINE_NBR").filter(number("EBUY_UOM_MULT") <= 1)
    return share_of(lines, number("EBUY_UOM_MULT") == 0)


@QUIRKS("Q83", "invoices are written in another unit than their order")
def other_invoice_units(seen: Deliveries) -> tuple[int, int]:
    ordered = seen.newest("erp_lawson", "POLINE", *ORDER, "LINE_NBR").select(*ORDER, "LINE_NBR", "ENT_BUY_UOM")
    lines = seen.newest("erp_lawson", "MAINVDTL", "COMPANY", "INVOICE", "SUFFIX", "PO_NUMBER", "LINE_NBR", "SEQ_NBR")
    lines = lines.join(ordered, on=[*ORDER, "LINE_NBR"])
    return share_of(lines, pl.col("ENTERED_UOM") != pl.col("ENT_BUY_UOM"))


@QUIRKS("Q84", "the first period of a year is October", share=1, has_switch=False)
def fiscal_periods(seen: Deliveries) -> tuple[int, int]:
    rows = seen.table("erp_lawson", "GLTRANS")
    rows = rows.filter(pl.col("SYSTEM") != "CV")
    calendar = seen.table("ref", "FISCAL_CALENDAR").filter(pl.col("calendar_id") == "LEGACY_OCT_SEP")
    assert calendar.filter((pl.col("period_num") == "13") & (pl.col("is_adjustment") == "Y")).height > 0
    month = pl.col("POSTING_DATE").str.slice(4, 2).cast(pl.Int64)
    return share_of(rows, number("ACCT_PERIOD") == (month + 2) % 12 + 1)


@QUIRKS("Q85", "balances have thirteen columns a side, credits below zero", has_switch=False)
def balances_by_column(seen: Deliveries) -> tuple[int, int]:
    rows = seen.newest("erp_lawson", "GLAMOUNTS", "COMPANY", "FISCAL_YEAR", "ACCT_UNIT", "ACCOUNT", "SUB_ACCOUNT")
    credits = [f"CR_AMOUNT_{place:02d}" for place in range(1, 14)]
    debits = [f"DB_AMOUNT_{place:02d}" for place in range(1, 14)]
    assert rows.filter(pl.any_horizontal(number(name) > 0 for name in credits)).is_empty()
    assert rows.filter(pl.any_horizontal(number(name) < 0 for name in debits)).is_empty()
    return share_of(rows, pl.any_horizontal(number(name) < 0 for name in credits))


@QUIRKS("Q86", "a user field holds one thing here and another there", has_switch=False)
def overloaded_fields(seen: Deliveries) -> tuple[int, int]:
    fields = seen.newest("erp_lawson", "ITEMMAST", "ITEM").with_columns(pl.col("USER_FIELD1").str.strip_chars())
    assert {"C", "IMP"} < set(fields["USER_FIELD1"]) - {""}
    return share_of(fields, filled("USER_FIELD1"))


@QUIRKS("Q87", "receipts are corrected and returned in rows of their own", has_switch=False)
def netted_receipts(seen: Deliveries) -> tuple[int, int]:
    lines = seen.newest("erp_lawson", "PORECLINE", "COMPANY", "REC_NUMBER", "LINE_NBR")
    assert {"RA", "RJ"} <= set(lines["DOC_TYPE"])
    return share_of(lines, pl.col("DOC_TYPE").is_in(["RA", "RJ"]))


@QUIRKS("Q87", "what was received lags on the order line by a night", has_switch=False)
def lagging_quantities(seen: Deliveries) -> tuple[int, int]:
    keys = [*ORDER, "LINE_NBR"]
    shown = seen.table("erp_lawson", "POLINE").filter(number("REC_QTY") > 0)
    shown = shown.group_by(keys).agg(first=pl.col("folder").min())
    received = seen.table("erp_lawson", "PORECLINE").filter(pl.col("DOC_TYPE") == "PO").rename({"LINE_NBR": "place"})
    received = received.rename({"PO_LINE_NBR": "LINE_NBR"}).group_by(keys).agg(came=pl.col("folder").min())
    return share_of(received.join(shown, on=keys), pl.col("first") > pl.col("came"))


@QUIRKS("Q88", "cancelled versions of an invoice stay")
def cancelled_versions(seen: Deliveries) -> tuple[int, int]:
    invoices = seen.newest("erp_lawson", "APINVOICE", "COMPANY", "VENDOR", "INVOICE", "SUFFIX", "CANCEL_SEQ")
    return share_of(invoices, number("CANCEL_SEQ") > 0)


@QUIRKS("Q89", "case numbers are typed by hand")
def typed_cases(seen: Deliveries) -> tuple[int, int]:
    cases = set(seen.table("ehr", "OR_CASE")["OR_CASE_ID"])
    lines = seen.newest("erp_lawson", "POLINE", *ORDER, "LINE_NBR").filter(
        pl.col("PO_CODE").is_in(["BO", "BR"]) & (pl.col("COMPANY") != "1008")
    )
    return share_of(lines, ~pl.col("PO_USER_FLD_2").is_in(cases))


@QUIRKS("Q91", "issues wait unposted for the next night")
def unposted_issues(seen: Deliveries) -> tuple[int, int]:
    rows = seen.table("erp_lawson", "ICTRANS")
    waiting = rows.filter(pl.col("R_STATUS") == "0")
    posted = rows.filter(pl.col("R_STATUS") == "9")
    last = rows["folder"].max()
    assert waiting.filter(pl.col("folder") < last).join(posted, on="REFERENCE", how="anti").is_empty()
    return waiting["REFERENCE"].n_unique(), rows["REFERENCE"].n_unique()


@QUIRKS("Q92", "receipts wait unreleased")
def unreleased_receipts(seen: Deliveries) -> tuple[int, int]:
    rows = seen.table("erp_lawson", "PORECEIVE")
    waiting = rows.filter(pl.col("STATUS") == "0").unique(["COMPANY", "REC_NUMBER"])
    return waiting.height, rows.unique(["COMPANY", "REC_NUMBER"]).height


@QUIRKS("Q93", "a hold is open in one extract and resolved in a later one", has_switch=False)
def flickering_holds(seen: Deliveries) -> tuple[int, int]:
    key = ["COMPANY", "INVOICE", "SUFFIX", "MSG_SEQ"]
    holds = (
        seen.table("erp_lawson", "MAINVMSG")
        .group_by(key)
        .agg(
            opened=pl.col("ACTION_CD").str.strip_chars().eq("").any(),
            resolved=pl.col("ACTION_CD").str.strip_chars().ne("").any(),
        )
    )
    return share_of(holds, pl.col("opened") & pl.col("resolved"))


@QUIRKS("Q94", "receipts of bill-only orders are automatic", share=1, has_switch=False)
def automatic_receipts(seen: Deliveries) -> tuple[int, int]:
    receipts = seen.newest("erp_lawson", "PORECEIVE", "COMPANY", "REC_NUMBER")
    assert not (receipts.filter(pl.col("PO_CODE") == "REG")["OPER_ID"] == "AUTOBO").any()
    return share_of(receipts.filter(pl.col("PO_CODE") == "BO"), pl.col("OPER_ID") == "AUTOBO")


# --------------------------------------------------------------------------------------------- the cloud ERP (fusion)

RECEIPT = "CmrRcvTransactionsPEO"
MOVED = "InventoryTransactionPEO"
HOLD = "ApHoldsAll"
INVOICE = "ApInvoiceLinesAll"


@QUIRKS("Q95", "windows overlap, so that a row comes again unchanged", has_switch=False)
def repeated_rows(seen: Deliveries) -> tuple[int, int]:
    rows = seen.table("erp_fusion", "PO_LINES").drop("folder")
    return rows.height - rows.unique().height, rows.height


@QUIRKS("Q96", "agreements come among the orders", has_switch=False)
def agreements_among_orders(seen: Deliveries) -> tuple[int, int]:
    return share_of(seen.newest("erp_fusion", "PO_HEADERS", "PoHeaderId"), pl.col("TypeLookupCode") != "STANDARD")


@QUIRKS("Q97", "invoice, schedule and code repeat when a hold comes back", has_switch=False)
def holds_again(seen: Deliveries) -> tuple[int, int]:
    holds = seen.newest("erp_fusion", "AP_HOLDS", f"{HOLD}HoldId")
    named = holds.group_by(f"{HOLD}InvoiceId", f"{HOLD}LineLocationId", f"{HOLD}HoldLookupCode").len()
    return share_of(named, pl.col("len") > 1)


@QUIRKS("Q98", "discarded and cancelled lines keep their amounts", has_switch=False)
def discarded_amounts(seen: Deliveries) -> tuple[int, int]:
    lines = seen.newest("erp_fusion", "AP_INVOICE_LINES", f"{INVOICE}InvoiceId", f"{INVOICE}LineNumber")
    void = (pl.col(f"{INVOICE}DiscardedFlag") == "Y") | (pl.col(f"{INVOICE}CancelledFlag") == "Y")
    return share_of(lines, void & (number(f"{INVOICE}Amount") != 0))


@QUIRKS("Q99", "a site of a supplier ends and its row says that nothing changed")
def silent_ends(seen: Deliveries) -> tuple[int, int]:
    rows = seen.table("erp_fusion", "SUPPLIER_SITES").filter(pl.col("VendorSiteCode") == "OLD BRANCH")
    sites = rows.group_by("VendorSiteId").agg(pl.col("InactiveDate").n_unique(), pl.col("LastUpdateDate").n_unique())
    return share_of(sites, (pl.col("InactiveDate") > 1) & (pl.col("LastUpdateDate") == 1))


@QUIRKS("Q100", "draft orders are deleted, and DELETED_KEYS alone tells")
def deleted_drafts(seen: Deliveries) -> tuple[int, int]:
    known = seen.newest("erp_fusion", "PO_LINES", "PoLineId")["PoLineId"].to_list()
    try:
        deleted = seen.table("erp_fusion", "DELETED_KEYS")
    except ValueError:  # no file at all
        return 0, len(known)
    return deleted.filter(pl.col("EXTRACT") == "PO_LINES").height, len(known)


def headers(seen: Deliveries, extract: str) -> list[tuple[str, list[str]]]:
    """The columns of each delivered part of a cloud extract with the folder it came in."""
    found = []
    for path in sorted((seen.out / "erp_fusion").glob(f"*/*/{extract}.zip")):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as part:
                found.append((path.parts[-3], part.readline().decode().strip().split(",")))
    return found


@QUIRKS("Q101", "from the release of February on a column stands in the middle of a file")
def released_columns(seen: Deliveries) -> tuple[int, int]:
    shown = of = 0
    for extract in ("PO_LINES", "INV_TRANSACTIONS", "AP_INVOICE_HEADERS", "ITEMS"):
        layouts = headers(seen, extract)
        before = layouts[0][1]
        for folder, columns in layouts:
            of += 1
            if columns != before:
                assert folder >= "20260221"
                assert [name for name in columns if name in before] == before
                assert columns[-1] == before[-1]
                shown += 1
    return shown, of


@QUIRKS("Q101", "the release of February renames a column")
def renamed_columns(seen: Deliveries) -> tuple[int, int]:
    layouts = headers(seen, "AP_HOLDS")
    before = layouts[0][1]
    renamed = [folder for folder, columns in layouts if columns != before]
    for folder, columns in layouts:
        if folder in renamed:
            assert folder >= "20260221"
            assert len(columns) == len(before)
            assert set(before) - set(columns) == {"ApHoldsAllReleaseReason"}
    return len(renamed), len(layouts)


@QUIRKS("Q102", "the cost of a movement comes one slot later")
def costs_later(seen: Deliveries) -> tuple[int, int]:
    rows = seen.table("erp_fusion", "INV_TRANSACTIONS").filter(pl.col(f"{MOVED}OwningType") == "OWNED")
    key, cost = f"{MOVED}TransactionId", pl.col(f"{MOVED}ActualCost")
    costs = rows.group_by(key, maintain_order=True).agg(first=cost.first(), last=cost.last())
    return share_of(costs, (pl.col("first") == "") & (pl.col("last") != ""))


@QUIRKS("Q103", "of all receiving rows corrections alone go below zero", has_switch=False)
def signed_corrections(seen: Deliveries) -> tuple[int, int]:
    rows = seen.newest("erp_fusion", "RCV_TRANSACTIONS", f"{RECEIPT}CmrRcvTransactionId")
    below = rows.filter(number(f"{RECEIPT}TransactionQuantity") < 0)
    assert set(below[f"{RECEIPT}TransactionType"]) <= {"CORRECT"}
    corrections = rows.filter(pl.col(f"{RECEIPT}TransactionType") == "CORRECT")
    assert set(corrections[f"{RECEIPT}RcvParentTransactionId"]) <= set(rows[f"{RECEIPT}CmrRcvTransactionId"])
    return corrections.height, rows.height


@QUIRKS("Q104", "a receipt has three units, of the dock, of the order and of the shelf", has_switch=False)
def three_units(seen: Deliveries) -> tuple[int, int]:
    rows = seen.newest("erp_fusion", "RCV_TRANSACTIONS", f"{RECEIPT}CmrRcvTransactionId")
    dock, order, shelf = (pl.col(f"{RECEIPT}{name}UomCode") for name in ("Transaction", "SourceDoc", "Primary"))
    # One receipt of boxes in some dozens is typed in EACH: only where there are enough of them must one be there.
    assert rows.filter(order != shelf).height < 150 or rows.filter(dock != order).height
    return share_of(rows, (dock != shelf) | (order != shelf))


@QUIRKS("Q105", "balances hold rows of statistics")
def statistics(seen: Deliveries) -> tuple[int, int]:
    return share_of(seen.table("erp_fusion", "GL_BALANCES"), pl.col("BalanceCurrencyCode") == "STAT")


@QUIRKS("Q106", "the conversion left suppliers twice")
def twin_suppliers(seen: Deliveries) -> tuple[int, int]:
    suppliers = seen.newest("erp_fusion", "SUPPLIERS", "VendorId")
    names = set(suppliers["VendorName"])
    twins = suppliers.filter(pl.col("VendorName").is_in([f"{name} INC" for name in names]))
    assert set(twins["CreationSource"]) <= {"CONVERSION"}
    return twins.height, suppliers.height


@QUIRKS("Q107", "an archive has several parts")
def several_parts(seen: Deliveries) -> tuple[int, int]:
    archives = [path for path in sorted((seen.out / "erp_fusion").glob("*/*/*.zip")) if zipfile.is_zipfile(path)]
    return sum(len(zipfile.ZipFile(path).namelist()) > 1 for path in archives), len(archives)


@QUIRKS("Q107", "an archive is cut off")
def cut_archives(seen: Deliveries) -> tuple[int, int]:
    archives = sorted((seen.out / "erp_fusion").glob("*/*/*.zip"))
    return sum(not zipfile.is_zipfile(path) for path in archives), len(archives)


@QUIRKS("Q107", "a manifest states another number of rows")
def wrong_manifests(seen: Deliveries) -> tuple[int, int]:
    wrong = of = 0
    for manifest in sorted((seen.out / "erp_fusion").glob("*/*/MANIFEST.MF")):
        for line in manifest.read_text().splitlines():
            name, _, stated, _ = line.split(";")
            path = manifest.parent / name
            if not path.exists() or not zipfile.is_zipfile(path):
                continue
            of += 1
            with zipfile.ZipFile(path) as archive:
                parts = [archive.read(part) for part in archive.namelist()]
            lines = sum(part.count(b"\n") - 1 for part in parts)
            # Texts of the cloud ERP hold no line breaks but for the suppliers' notes.
            wrong += int(stated) < lines and not any(b'"' in part for part in parts)
    return wrong, of


@QUIRKS("Q108", "an item has a row for each organisation", share=1, has_switch=False)
def items_by_organisation(seen: Deliveries) -> tuple[int, int]:
    rows = seen.newest("erp_fusion", "ITEMS", "ItemBasePEOInventoryItemId", "ItemBasePEOOrganizationId")
    organisations = rows.group_by("ItemBasePEOInventoryItemId").agg(pl.col("ItemBasePEOOrganizationId").n_unique())
    masters = rows.filter(pl.col("ItemBasePEOOrganizationId") == "300000100000399")
    assert masters.height == organisations.height
    return share_of(organisations, pl.col("ItemBasePEOOrganizationId") > 1)


@QUIRKS("Q109", "a case is CS in the cloud, CA in the legacy ERP, CT with suppliers", has_switch=False)
def codes_of_a_case(seen: Deliveries) -> tuple[int, int]:
    units = set(seen.table("erp_fusion", "UOM_CONVERSIONS")["UomCode"])
    items = seen.table("erp_lawson", "ITEMMAST").with_columns(pl.col("ALT_UOM_02").str.strip_chars())
    codes = seen.newest("ref", "UOM_CODE", "source_system", "source_uom").filter(pl.col("uom") == "CA")
    assert "CS" in units
    assert "CA" not in units
    assert set(items["ALT_UOM_02"]) == {"", "CA"}
    assert {("erp_fusion", "CS"), ("erp_lawson", "CA"), ("edi", "CT")} <= set(
        codes.select("source_system", "source_uom").rows()
    )
    return share_of(items, pl.col("ALT_UOM_02") == "CA")


@QUIRKS("Q110", "a supplier of evaluated receipts sends an 810 nevertheless")
def bills_beside_evaluated_receipts(seen: Deliveries) -> tuple[int, int]:
    cloud = seen.newest("erp_fusion", "AP_INVOICE_HEADERS", "ApInvoicesInvoiceId").select(
        order="ApInvoicesPoHeaderId", source="ApInvoicesSource"
    )
    legacy = seen.newest("erp_lawson", "APINVOICE", "COMPANY", "VENDOR", "INVOICE", "SUFFIX", "CANCEL_SEQ")
    legacy = legacy.select(order=pl.concat_str(ORDER, separator="-"), source="INV_SOURCE")
    orders = pl.concat([cloud, legacy]).group_by("order").agg(pl.col("source").unique())
    settled = orders.filter(pl.col("source").list.contains("ERS"))
    return share_of(settled, pl.col("source").list.len() > 1)


@QUIRKS("Q117", "one invoice in three comes before the receipt", share=0.35, has_switch=False)
def early_invoices(seen: Deliveries) -> tuple[int, int]:
    key = list(ORDER)
    received = seen.newest("erp_lawson", "PORECEIVE", "COMPANY", "REC_NUMBER").filter(pl.col("PO_CODE") == "REG")
    received = received.group_by(key).agg(received=pl.col("REC_DATE").min())
    invoices = seen.newest("erp_lawson", "APINVOICE", "COMPANY", "VENDOR", "INVOICE", "SUFFIX", "CANCEL_SEQ")
    first = invoices.filter(pl.col("INV_SOURCE") != "ERS").group_by(key).agg(billed=pl.col("INVOICE_DTE").min())
    return share_of(first.join(received, on=key), pl.col("billed") < pl.col("received"))


# ---------------------------------------------------------------------------------------- across systems, reference


@QUIRKS("Q122", "the centre books its half of a delivery of the month's last day in the next month")
def deliveries_at_a_months_end(seen: Deliveries) -> tuple[int, int]:
    lines = seen.newest("erp_fusion", "TRANSFER_ORDER_LINES", "LineId").filter(filled("LastReceiptDate"))
    received = pl.col("LastReceiptDate").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")
    lines = lines.with_columns(received=received.dt.replace_time_zone("UTC").dt.convert_time_zone("America/Chicago"))
    lines = lines.filter(pl.col("received").dt.date() == pl.col("received").dt.month_end().dt.date())
    references = seen.table("erp_fusion", "GL_IMPORT_REFERENCES").filter(pl.col("GlImportReferencesReference1") == "TO")
    periods = seen.newest("erp_fusion", "GL_JE_HEADERS", "JeHeaderId").select(
        "GlJeHeadersPeriodName", GlImportReferencesJeHeaderId="JeHeaderId"
    )
    booked = (
        references.join(periods, on="GlImportReferencesJeHeaderId")
        .group_by(LineId="GlImportReferencesReference2")
        .agg(pl.col("GlJeHeadersPeriodName").unique())
    )
    lines = lines.join(booked, on="LineId")
    later = (pl.col("received").dt.offset_by("1d")).dt.strftime("%b-%y")
    return share_of(lines, pl.col("GlJeHeadersPeriodName").list.contains(later))


@QUIRKS("Q123", "a unit is used some days before anybody maps it")
def units_mapped_later(seen: Deliveries) -> tuple[int, int]:
    rows = seen.table("ref", "COST_CENTER_MAP")
    first = rows.group_by("source_system", "scope", "source_code").agg(pl.col("folder").min())
    late = first.filter((pl.col("folder") > rows["folder"].min()) & (pl.col("source_system") == "erp_lawson"))
    used = seen.table("erp_lawson", "GLTRANS").group_by(source_code="ACCT_UNIT").agg(used=pl.col("POSTING_DATE").min())
    late = late.join(used, on="source_code")
    days = (pl.col("folder").str.to_date("%Y%m%d") - pl.col("used").str.to_date("%Y%m%d")).dt.total_days()
    in_time = late.filter(days.is_between(3, 10))
    return in_time.height, first.height


@QUIRKS("Q124", "half of the recalls name their lots as a range in free text", share=0.5)
def ranges_of_lots(seen: Deliveries) -> tuple[int, int]:
    recalls = seen.newest("ref", "FDA_RECALL", "recall_number", "product_seq")
    return share_of(recalls, pl.col("code_info").str.contains(" through "))


def price_lines(seen: Deliveries) -> pl.DataFrame:
    return seen.newest(
        "ref", "GPO_CONTRACT_PRICE", "contract_no", "version", "vendor_cat", "uom", "tier", "effective_from"
    )


@QUIRKS("Q125", "a contract has a second tier")
def second_tiers(seen: Deliveries) -> tuple[int, int]:
    return share_of(price_lines(seen), pl.col("tier") == "2")


@QUIRKS("Q125", "nobody signed the letter of commitment of a tier, or in the middle of a month only")
def unsigned_tiers(seen: Deliveries) -> tuple[int, int]:
    roster = seen.newest("ref", "GPO_ROSTER", "contract_no", "member_gln", "tier", "effective_from")
    second = pl.col("tier") == "2"
    crossed = second & (pl.col("loc_signed_date") > START.isoformat()) & ~pl.col("loc_signed_date").str.ends_with("-01")
    unsigned = second & ~filled("loc_signed_date")
    assert roster.filter(crossed).is_empty() == roster.filter(unsigned).is_empty()
    return share_of(roster, crossed | unsigned)


@QUIRKS("Q125", "two contracts price an item at the same time")
def overlapping_contracts(seen: Deliveries) -> tuple[int, int]:
    lines = price_lines(seen).filter((pl.col("tier") == "1") & ~filled("effective_to"))
    contracts = lines.group_by("gtin", "supplier_no", "uom").agg(pl.col("contract_type").n_unique())
    return share_of(contracts, pl.col("contract_type") > 1)


def bare(text: str) -> str:
    return "".join(sign for sign in text if sign.isalnum())


@QUIRKS("Q126", "one price line in five has its number without hyphens", share=0.2)
def numbers_without_hyphens(seen: Deliveries) -> tuple[int, int]:
    known = set(seen.newest("ref", "GUDID_DEVICE", "primary_di")["catalog_number"])
    spelt = {bare(name) for name in known if name != bare(name)}
    prices = seen.newest("ref", "GPO_CONTRACT_PRICE", "contract_no", "mfr_cat_no", "uom", "tier", "effective_from")
    with_hyphens = [name for name in prices.unique(["contract_no", "mfr_cat_no"])["mfr_cat_no"] if bare(name) in spelt]
    return sum(name == bare(name) for name in with_hyphens), len(with_hyphens)


@QUIRKS("Q126", "a catalogue number stands for products of two manufacturers")
def numbers_of_two_makers(seen: Deliveries) -> tuple[int, int]:
    devices = (
        seen.newest("ref", "GUDID_DEVICE", "primary_di")
        .group_by("catalog_number")
        .agg(pl.col("company_name").n_unique())
    )
    return share_of(devices, pl.col("company_name") > 1)


@QUIRKS("Q127", "files of a night are missing")
def missing_files(seen: Deliveries) -> tuple[int, int]:
    missing = of = 0
    for system in ("ehr", "hb", "erp_lawson"):
        folders = [folder for folder in sorted((seen.out / system).iterdir()) if len(folder.name) == 8]
        there = {(path.parts[-2], path.name) for folder in folders for path in folder.glob("[A-Z]*.csv")}
        names = {name for _, name in there}
        of += len(folders) * len(names)
        missing += sum((folder.name, name) not in there for folder in folders for name in names)
    return missing, of


@QUIRKS("Q127", "half written files stand beside the whole ones")
def half_written_files(seen: Deliveries) -> tuple[int, int]:
    files = [path for path in sorted(seen.out.rglob("*")) if path.is_file()]
    return sum(path.suffix == ".part" for path in files), len(files)


@QUIRKS("Q127", "a file holds its header alone", has_switch=False)
def empty_files(seen: Deliveries) -> tuple[int, int]:
    files = sorted((seen.out / "ehr").glob("*/[A-Z]*.csv"))
    return sum(path.read_bytes().count(b"\n") == 1 for path in files), len(files)


@QUIRKS("Q128", "one implant in nine is not in the registry", share=0.11)
def implants_not_found(seen: Deliveries) -> tuple[int, int]:
    known = set(seen.newest("ref", "GUDID_DEVICE", "primary_di")["primary_di"])
    items = seen.newest("ehr", "OR_SPLY", "SUPPLY_ID").filter(pl.col("TYPE_OF_ITEM_C") == "2")["SUPPLY_ID"]
    names = seen.newest("ehr", "IDENTITY_SUP_ID", "SUPPLY_ID", "LINE").filter(
        (pl.col("IDENTITY_TYPE_ID") == "30") & pl.col("SUPPLY_ID").is_in(items.to_list())
    )
    return share_of(names, ~pl.col("IDENTITY_ID").is_in(known))


@QUIRKS("Q128", "one device in a hundred is no longer distributed", share=0.01)
def devices_discontinued(seen: Deliveries) -> tuple[int, int]:
    return share_of(seen.newest("ref", "GUDID_DEVICE", "primary_di"), filled("distribution_end_date"))


@QUIRKS("Q129", "one tax number stands for several divisions", has_switch=False)
def divisions(seen: Deliveries) -> tuple[int, int]:
    xref = seen.newest("ref", "SUPPLIER_XREF", "source_system", "source_supplier_no", "valid_from")
    families = xref.filter(filled("parent_supplier_id")).unique("supplier_id")
    numbers = dict(seen.table("erp_fusion", "SUPPLIERS").select("Segment1", "TaxpayerId").rows())
    cloud = xref.filter(pl.col("source_system") == "erp_fusion")
    tax = {
        supplier: numbers.get(number) for supplier, number in cloud.select("supplier_id", "source_supplier_no").rows()
    }
    assert all(
        tax[child] == tax[parent] for child, parent in families.select("supplier_id", "parent_supplier_id").rows()
    )
    return families.height, xref["supplier_id"].n_unique()


@QUIRKS("Q130", "a procedure code expires at the end of a quarter while the charge master still has it")
def expired_codes(seen: Deliveries) -> tuple[int, int]:
    codes = seen.newest("ref", "HCPCS", "hcpcs", "valid_from")
    expired = codes.filter(filled("valid_to"))
    prices = seen.newest("hb", "CDM_PRICE", "CHARGE_CODE", "EFFECTIVE_FROM").filter(pl.col("ACTIVE_YN") == "Y")
    assert set(expired["hcpcs"]) <= set(prices["HCPCS"])
    ends = {date.fromisoformat(day) for day in expired["valid_to"]}
    assert all(day.day == 1 and day.month % 3 == 1 for day in ends)
    return expired.height, codes.height
