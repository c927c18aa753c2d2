"""Quirks of the operating room's record and of billing (Q01 to Q24, Q40 to Q52), seen in what is delivered.

Without a switch, as facts of the formats: the date of DISPOSITION_TIME (Q03), the empty OR_COST (Q04), sellers beside
makers (Q10), ids behind the names of manufacturers (Q11), placeholders, which come with constructs (Q13) or as a defect
(Q12), seconds beside minutes (Q15), the snapshot of unposted charges (Q45), charges per box or square centimetre (Q48),
direct identifiers in accounts (Q52).
"""

from __future__ import annotations

import polars as pl

from tests.unit.simulator.quirk_world import (
    RAISED,
    Deliveries,
    Register,
    filled,
    number,
    share_of,
)

QUIRKS = Register()


# -------------------------------------------------------------------------------------------------- the record (ehr)


@QUIRKS("Q01", "a log's number is its case's for nine in ten only", share=0.10)
def logs_of_another_number(seen: Deliveries) -> tuple[int, int]:
    return share_of(seen.performed, pl.col("LOG_ID") != pl.col("CASE_ID"))


@QUIRKS("Q02", "the reason of a cancellation stays when the case is performed after all", share=RAISED["Q02"])
def kept_cancel_reasons(seen: Deliveries) -> tuple[int, int]:
    cases = seen.newest("ehr", "OR_CASE", "OR_CASE_ID").filter(filled("LOG_ID"))
    return share_of(cases, filled("CANCEL_REASON_C"))


@QUIRKS("Q03", "of the time of disposition only the time of day counts", share=1, has_switch=False)
def dispositions_of_1900(seen: Deliveries) -> tuple[int, int]:
    return share_of(seen.performed, pl.col("DISPOSITION_TIME").str.starts_with("1900-01-01 "))


@QUIRKS("Q04", "the cost of a log is empty, costs stand by item and date", share=1, has_switch=False)
def costs_by_date(seen: Deliveries) -> tuple[int, int]:
    assert set(seen.table("ehr", "OR_LOG")["OR_COST"]) == {""}
    return share_of(seen.newest("ehr", "OR_SPLY_OVTM", "ITEM_ID", "EFFECTIVE_DATE"), number("COST_PER_UNIT_OT") > 0)


def used_lines(seen: Deliveries) -> pl.DataFrame:
    """Lines of case pick lists with something used, with the log."""
    lists = seen.newest("ehr", "OR_PKLST", "PICK_LIST_ID").select("PICK_LIST_ID", "PICK_LIST_TYPE_C", "LOG_ID")
    lines = seen.newest("ehr", "OR_PKLST_SUP_LIST", "PICK_LIST_ID", "LINE")
    return lines.filter(number("SUPPLIES_USED") > 0).join(lists, on="PICK_LIST_ID")


def implant_log(seen: Deliveries) -> pl.DataFrame:
    """Lines of the implant log with their log."""
    links = seen.newest("ehr", "OR_LOG_LN_IMPLANT", "LOG_ID", "LINE").select("LOG_ID", RECORD_ID="IMPLANTS_ID")
    return seen.newest("ehr", "OR_LNLG_IMPLANTS", "RECORD_ID").join(links, on="RECORD_ID")


@QUIRKS("Q05", "half of the implants of a case stand in its pick list as well", share=0.5)
def implants_twice(seen: Deliveries) -> tuple[int, int]:
    surgical = seen.performed.filter(pl.col("LOG_TYPE_C") == "0").select("LOG_ID")
    implants = implant_log(seen).filter((pl.col("IMPLANT_ACTION_C") == "1") & filled("IMP_INV_TYPE_ID"))
    implants = implants.join(surgical, on="LOG_ID").select("LOG_ID", SUPPLY_ID="IMP_INV_TYPE_ID")
    copies = used_lines(seen).filter(pl.col("IMPLANT_YN") == "Y")
    assert copies.join(implants, on=["LOG_ID", "SUPPLY_ID"], how="anti").is_empty()
    return copies.height, implants.height


@QUIRKS("Q06", "preference cards stand in the tables of pick lists, and their lines look like usage")
def preference_cards(seen: Deliveries) -> tuple[int, int]:
    return share_of(used_lines(seen), pl.col("PICK_LIST_TYPE_C") != "2")


@QUIRKS("Q07", "explants and adjustments stand in the implant log")
def explants(seen: Deliveries) -> tuple[int, int]:
    return share_of(implant_log(seen), pl.col("IMPLANT_ACTION_C").is_in(["2", "4"]))


@QUIRKS("Q08", "six in ten wasted implants have no implant record, only their item", share=0.60)
def wasted_without_record(seen: Deliveries) -> tuple[int, int]:
    wasted = implant_log(seen).filter(pl.col("IMPLANT_ACTION_C") == "3")
    assert wasted.filter(~filled("IMP_INV_TYPE_ID")).is_empty()
    return share_of(wasted, ~filled("IMPLANT_ID"))


@QUIRKS("Q09", "one-time implants have no item, and their cost stands in the implant record alone", share=0.07)
def one_time_implants(seen: Deliveries) -> tuple[int, int]:
    costs = seen.lookup("ehr", "OR_IMP", "IMPLANT_ID", "UNIT_COST")
    lines = implant_log(seen)
    one_time = lines.filter(pl.col("IMP_NO_INV_ITEM_YN") == "Y")
    assert all(
        item == "" and costs[implant] for item, implant in one_time.select("IMP_INV_TYPE_ID", "IMPLANT_ID").rows()
    )
    assert not any(costs.get(implant) for implant in lines.filter(filled("IMP_INV_TYPE_ID"))["IMPLANT_ID"])
    return one_time.height, lines.height


@QUIRKS("Q10", "an item has several manufacturer lines")
def several_makers(seen: Deliveries) -> tuple[int, int]:
    return share_of(seen.newest("ehr", "OR_SPLY_MANFACTR", "ITEM_ID", "LINE"), pl.col("LINE") != "1")


@QUIRKS("Q10", "an item that a distributor sells has several supplier lines", has_switch=False)
def several_sellers(seen: Deliveries) -> tuple[int, int]:
    return share_of(seen.newest("ehr", "OR_SPLY_SUPPLIER", "ITEM_ID", "LINE"), pl.col("LINE") != "1")


@QUIRKS("Q11", "names of manufacturers end in an id of six digits", share=1, has_switch=False)
def makers_with_ids(seen: Deliveries) -> tuple[int, int]:
    names = seen.newest("ehr", "ZC_CATEGORY", "ZC_TABLE", "INTERNAL_ID")
    return share_of(names.filter(pl.col("ZC_TABLE") == "ZC_OR_MANUFACTURER"), pl.col("NAME").str.contains(r" \d{6}$"))


@QUIRKS("Q12", "placeholder items are used", has_switch=False)
def placeholders(seen: Deliveries) -> tuple[int, int]:
    words = "MIX|HOMEMADE|CHARTING CODE|IV BIN|CONSTRUCT"
    names = seen.newest("ehr", "OR_SPLY", "SUPPLY_ID").filter(pl.col("SUPPLY_NAME").str.contains(words))
    assert names["SUPPLY_NAME"].str.contains("CONSTRUCT").sum() < names.height
    return share_of(used_lines(seen), pl.col("SUPPLY_ID").is_in(names["SUPPLY_ID"].to_list()))


@QUIRKS("Q13", "components of a construct cost a cent or nothing beside one priced set line")
def construct_pricing(seen: Deliveries) -> tuple[int, int]:
    lines = used_lines(seen).filter(pl.col("PICK_LIST_TYPE_C") == "2")
    cheap = lines.filter(number("SUP_UNIT_COST") <= 0.01)
    names = seen.lookup("ehr", "OR_SPLY", "SUPPLY_ID", "SUPPLY_NAME")
    sets = {log for log, item in lines.select("LOG_ID", "SUPPLY_ID").rows() if names[item].startswith("CONSTRUCT")}
    assert set(cheap["LOG_ID"]) == sets
    return cheap.height, lines.height


@QUIRKS("Q15", "lengths of surgeons and events are seconds", share=1, has_switch=False)
def seconds_not_minutes(seen: Deliveries) -> tuple[int, int]:
    form = "%Y-%m-%d %H:%M:%S"
    # A planted change of layout retypes the column later on.
    surgeons = seen.newest("ehr", "OR_LOG_ALL_SURG", "LOG_ID", "LINE").filter(
        pl.col("TOTAL_LENGTH").str.contains(r"^\d+$")
    )
    lasted = pl.col("END_TIME").str.to_datetime(form) - pl.col("START_TIME").str.to_datetime(form)
    assert (seen.performed["TOTAL_TIME_NEEDED"].cast(pl.Int64) < 600).all()
    return share_of(surgeons, lasted.dt.total_seconds() == number("TOTAL_LENGTH"))


@QUIRKS("Q16", "test patients have logs, charges and issues like any other", share=RAISED["Q16"])
def patients_of_tests(seen: Deliveries) -> tuple[int, int]:
    patients = seen.newest("ehr", "PATIENT", "PAT_ID")
    tests = patients.filter(pl.col("IS_TEST_PAT_YN") == "Y")
    assert tests["PAT_MRN_ID"].str.starts_with("ZZ").all()
    if not tests.is_empty():
        logs = seen.performed.filter(pl.col("PAT_ID").is_in(tests["PAT_ID"].to_list()))
        stays = seen.newest("ehr", "PAT_ENC_HSP", "PAT_ENC_CSN_ID").join(tests, on="PAT_ID", how="semi")
        assert not used_lines(seen).join(logs, on="LOG_ID", how="semi").is_empty()
        assert not seen.charges.join(stays, on="HSP_ACCOUNT_ID", how="semi").is_empty()
        assert seen.table("pou", "txn")["patient_mrn"].is_in(tests["PAT_MRN_ID"].to_list()).any()
    return share_of(seen.performed, pl.col("PAT_ID").is_in(tests["PAT_ID"].to_list()))


@QUIRKS("Q17", "addenda add lines to logs that were posted")
def addenda(seen: Deliveries) -> tuple[int, int]:
    return share_of(seen.performed, number("ADDENDA_COUNT") > 0)


@QUIRKS("Q18", "OR_CASELOG_ID is wrong for one in twenty", share=0.05)
def wrong_case_links(seen: Deliveries) -> tuple[int, int]:
    links = seen.newest("ehr", "PAT_OR_ADM_LINK", "PAT_ENC_CSN_ID").join(seen.performed, on="LOG_ID", how="semi")
    return share_of(links, pl.col("OR_CASELOG_ID") != pl.col("LOG_ID"))


@QUIRKS("Q19", "a log is posted several times")
def posted_again(seen: Deliveries) -> tuple[int, int]:
    postings = seen.newest("ehr", "OR_LOG_AUDIT_TRAIL", "LOG_ID", "LINE").filter(pl.col("AUDIT_ACTION_C") == "7")
    return share_of(postings.group_by("LOG_ID").len(), pl.col("len") > 1)


@QUIRKS("Q20", "three in a hundred items lack their ERP number", share=0.03)
def items_without_number(seen: Deliveries) -> tuple[int, int]:
    items = seen.newest("ehr", "OR_SPLY", "SUPPLY_ID")
    assert not items["PRIMARY_EXT_ID"].str.starts_with("0").any()
    placeholder = pl.col("LAST_SUPPLIER_NUM").str.contains(r"^\d+$")
    return share_of(items.filter(~placeholder), ~filled("PRIMARY_EXT_ID"))


@QUIRKS("Q20", "one in a hundred items points to a retired one", share=0.01)
def items_of_a_retired_number(seen: Deliveries) -> tuple[int, int]:
    known = seen.newest("erp_lawson", "ITEMMAST", "ITEM").filter(pl.col("ACTIVE_STATUS") == "I")
    retired = known["ITEM"].str.strip_chars().str.strip_chars_start("0").to_list()
    assert retired
    return share_of(seen.newest("ehr", "OR_SPLY", "SUPPLY_ID"), pl.col("PRIMARY_EXT_ID").is_in(retired))


@QUIRKS("Q21", "procedures are not performed after supplies were opened", share=RAISED["Q21"])
def aborted_cases(seen: Deliveries) -> tuple[int, int]:
    aborted = seen.performed.filter(filled("PROC_NOT_PERF_C"))
    assert aborted.is_empty() or not used_lines(seen).join(aborted, on="LOG_ID", how="semi").is_empty()
    return aborted.height, seen.performed.height


def is_gtin(text: str) -> bool:
    """Whether 14 digits end with their check digit."""
    return sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(text)) % 10 == 0


@QUIRKS("Q22", "implants carry HIBC and ICCBBA identifiers beside those of GS1")
def other_identifiers(seen: Deliveries) -> tuple[int, int]:
    return share_of(seen.newest("ehr", "OR_IMP", "IMPLANT_ID"), pl.col("STATIC_UDI_TYPE_C").is_in(["2", "3"]))


@QUIRKS("Q22", "four in a hundred identifiers end with a wrong check digit", share=0.04)
def wrong_check_digits(seen: Deliveries) -> tuple[int, int]:
    of_gs1 = seen.newest("ehr", "OR_IMP", "IMPLANT_ID").filter(
        (pl.col("STATIC_UDI_TYPE_C") == "1") & filled("STATIC_UDI")
    )
    return sum(not is_gtin(udi) for udi in of_gs1["STATIC_UDI"]), of_gs1.height


@QUIRKS("Q23", "expiry dates lie in another century")
def expiry_typos(seen: Deliveries) -> tuple[int, int]:
    dated = seen.newest("ehr", "OR_IMP", "IMPLANT_ID").filter(filled("EXPIRATION_DATE"))
    return share_of(dated, ~pl.col("EXPIRATION_DATE").str.starts_with("20"))


@QUIRKS("Q24", "lots are typed with the letter O and without leading zeros")
def lots_as_typed(seen: Deliveries) -> tuple[int, int]:
    scanned = set(seen.table("pou", "txn")["lot"].unique())
    bare = {lot.replace("O", "0").lstrip("0") for lot in scanned}
    lots = [
        lot
        for lot in seen.newest("ehr", "OR_IMP", "IMPLANT_ID")["LOT_NUMBER"]
        if lot.replace("O", "0").lstrip("0") in bare
    ]
    return sum(lot not in scanned for lot in lots), len(lots)


# ------------------------------------------------------------------------------------------------------ billing (hb)


@QUIRKS("Q40", "six in a hundred charges are reversed and posted again", share=0.06)
def reversed_charges(seen: Deliveries) -> tuple[int, int]:
    charges = seen.charges
    first = charges.filter(~filled("ORIG_REV_TX_ID") & ~filled("ORIG_REPOST_TX_ID"))
    moved = charges.filter(filled("ORIG_REPOST_TX_ID"))["ORIG_REPOST_TX_ID"]
    assert set(moved) <= set(charges["ORIG_REV_TX_ID"])
    # What was posted on the last two days is taken back after the end of the world.
    first = first.filter(pl.col("TX_POST_DATE") < sorted(first["TX_POST_DATE"].unique())[-2])
    return share_of(first, pl.col("TX_ID").is_in(moved.to_list()))


@QUIRKS("Q40", "a repost is reversed and posted again")
def longer_chains(seen: Deliveries) -> tuple[int, int]:
    reposts = seen.charges.filter(filled("ORIG_REPOST_TX_ID"))
    return sum(reposts["ORIG_REPOST_TX_ID"].is_in(reposts["TX_ID"].to_list())), max(reposts.height, 1)


@QUIRKS("Q41", "seven in ten reposts name the root of their chain", share=0.70)
def known_roots(seen: Deliveries) -> tuple[int, int]:
    reposts = seen.charges.filter(filled("ORIG_REPOST_TX_ID"))
    return reposts.filter(filled("FIRST_HTR_TX_ID")).height, max(reposts.height, 1)


@QUIRKS("Q42", "accounts are combined and their charges point to the one that stays")
def combined_accounts(seen: Deliveries) -> tuple[int, int]:
    accounts = seen.newest("hb", "HSP_ACCOUNT", "HSP_ACCOUNT_ID")
    merged = accounts.filter(filled("COMBINE_ACCT_ID"))
    moved = seen.charges.filter(filled("OLD_HSP_ACCOUNT_ID")).select("OLD_HSP_ACCOUNT_ID", "HSP_ACCOUNT_ID")
    assert merged.is_empty() or set(merged["COMBINE_ACCT_ID"]) & set(moved["HSP_ACCOUNT_ID"])
    return merged.height, accounts.height


@QUIRKS("Q43", "three in a hundred charges override the revenue code of their item", share=0.03)
def overridden_revenue_codes(seen: Deliveries) -> tuple[int, int]:
    charges = seen.charges.filter(filled("SUP_ID") & ~filled("ORIG_REV_TX_ID") & ~filled("ORIG_REPOST_TX_ID"))
    return share_of(charges, pl.col("UB_REV_CODE_ID") != pl.col("DFLT_UB_REV_CD_ID"))


@QUIRKS("Q45", "charges vanish from the snapshot of those not yet posted", has_switch=False)
def vanished_charges(seen: Deliveries) -> tuple[int, int]:
    rows = seen.table("hb", "HSP_PRE_AR_TX")
    last = rows.group_by("HTT_ID").agg(pl.col("folder").max())
    assert seen.newest("hb", "PRE_AR_CHG", "TAR_ID", "CHARGE_LINE")["CHARGE_STATUS_C"].n_unique() > 1
    return share_of(last, pl.col("folder") < rows["folder"].max())


@QUIRKS("Q47", "revenue codes of three digits stand beside those of four")
def short_revenue_codes(seen: Deliveries) -> tuple[int, int]:
    codes = seen.newest("ehr", "CL_UB_REV_CODE", "UB_REV_CODE_ID")
    assert set(codes["REVENUE_CODE"].str.len_bytes()) <= {3, 4}
    return share_of(codes, pl.col("REVENUE_CODE").str.len_bytes() == 3)


@QUIRKS("Q48", "some charges are priced per box or per square centimetre", has_switch=False)
def other_units_of_charge(seen: Deliveries) -> tuple[int, int]:
    prices = seen.newest("hb", "CDM_PRICE", "CHARGE_CODE", "EFFECTIVE_FROM")
    assert {"EA", "BX", "CM2"} <= set(prices["UNIT_OF_CHARGE"])
    return share_of(prices, pl.col("UNIT_OF_CHARGE").is_in(["BX", "CM2"]))


@QUIRKS("Q52", "accounts carry the patient's name and number", share=1, has_switch=False)
def direct_identifiers(seen: Deliveries) -> tuple[int, int]:
    accounts = seen.newest("hb", "HSP_ACCOUNT", "HSP_ACCOUNT_ID")
    return share_of(accounts, pl.col("PAT_SSN").str.contains(r"^\d{3}-\d{2}-\d{4}$") & filled("HSP_ACCOUNT_NAME"))
