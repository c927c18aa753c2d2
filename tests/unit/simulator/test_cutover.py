"""A hospital moves from the legacy ERP to the cloud: what stays, what comes over, that nothing is lost on the way."""

from __future__ import annotations

import calendar
from collections import defaultdict
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from ingest.simulator import build_world
from ingest.simulator.amounts import exact_parts, money
from ingest.simulator.delivery import CHICAGO
from ingest.simulator.events import World
from ingest.simulator.oracle import Finding, evaluate
from ingest.simulator.scans import Scan
from tests.unit.simulator.clinical_world import delivered
from tests.unit.simulator.cutover_ledgers import Ledgers, accrued, cents, day_of, latest, number, payable
from tests.unit.simulator.purchasing_trial import run_trial

SITES = ("CDC", "H1", "H3", "H4", "H5")
FIRST = {"H3": date(2026, 4, 1), "H4": date(2026, 7, 1)}
INVENTORY = "InventoryTransactionPEO"
TRANSACTION = ("COMPANY", "LOCATION", "SYSTEM_CD", "DOC_TYPE", "DOCUMENT", "SHIPMENT_NBR", "LINE_NBR")

Built = tuple[World, Path, str]


@pytest.fixture(scope="module", params=["H3", "H4"])
def moved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A defect-free world around the first day of a site in the cloud."""
    site = request.param
    out = tmp_path_factory.mktemp(site)
    start, days, scale, seed = {"H3": (date(2026, 3, 16), 45, 0.015, 4), "H4": (date(2026, 6, 22), 20, 0.01, 6)}[site]
    world, _, _ = build_world(out, start, days, scale, seed, defects=False, sites=SITES)
    return world, out, site


@cache
def ledgers_of(out: Path) -> Ledgers:
    return Ledgers(out)


def codes(world: World, site: str) -> tuple[str, str, str]:
    """Company, business unit and inventory organisation of a site."""
    placed = world.sites[site]
    return str(placed.company), str(placed.business_unit_id), str(placed.inventory_org_id)


def fired(world: World) -> list[Finding]:
    """What is open; volumes of a few days vary, and stock that comes over makes feeds longer (INT-05)."""
    return [finding for finding in evaluate(world) if not finding.near_miss and finding.rule_id != "INT-05"]


def value_of(rows: list[dict[str, str]]) -> Decimal:
    return sum(
        (cents(number(row[f"{INVENTORY}PrimaryQuantity"]) * number(row[f"{INVENTORY}ActualCost"])) for row in rows),
        Decimal(0),
    )


def converted(out: Path, site: str) -> list[dict[str, str]]:
    """Rows of the conversion batch in the cloud."""
    rows = latest(delivered(out, "erp_fusion", "INV_TRANSACTIONS"), f"{INVENTORY}TransactionId")
    return [row for row in rows if row[f"{INVENTORY}TransactionSourceName"] == f"CONV-{site}"]


def test_no_rule_fires_over_the_cutover(moved: Built) -> None:
    world, _, _ = moved
    assert fired(world) == []


def test_legacy_rows_empty_every_location_and_the_cloud_receives_the_same(moved: Built) -> None:
    world, out, site = moved
    company, _, _ = codes(world, site)
    first = FIRST[site]
    before, after = (
        {
            (row["LOCATION"].strip(), row["ITEM"].strip()): (number(row["SOH_QTY"]), number(row["STOCK_VALUE"]))
            for row in delivered(out, "erp_lawson", "ITEMLOC", folder)
            if row["COMPANY"] == company
        }
        for folder in (first, first + timedelta(days=1))
    )
    gone: dict[tuple[str, str], tuple[Decimal, Decimal]] = defaultdict(lambda: (Decimal(0), Decimal(0)))
    for row in latest(delivered(out, "erp_lawson", "ICTRANS"), *TRANSACTION):
        if row["COMPANY"] == company and row["REASON_CODE"].strip() == "CNV":
            assert (row["DOC_TYPE"], day_of(row["UPDATE_DATE"])) == ("AD", first)
            place = (row["LOCATION"].strip(), row["ITEM"].strip())
            value = cents(number(row["QUANTITY"]) * number(row["TRAN_UOM_MULT"]) * number(row["UNIT_COST"]))
            gone[place] = (gone[place][0] - number(row["QUANTITY"]), gone[place][1] - value)
    assert {place: held for place, held in before.items() if held != (0, 0)} == dict(gone)
    assert before.keys() <= after.keys()
    assert set(after.values()) == {(Decimal(0), Decimal(0))}
    numbers = {str(item.cloud_item_id): item.legacy_no for item in world.items.values()}
    came: dict[tuple[str, str], tuple[Decimal, Decimal]] = defaultdict(lambda: (Decimal(0), Decimal(0)))
    for row in converted(out, site):
        if not row[f"{INVENTORY}TransactionReference"]:
            place = (
                f"{site}{row[f'{INVENTORY}SubinventoryCode']}",
                str(numbers[row[f"{INVENTORY}InventoryItemId"]]),
            )
            quantity = number(row[f"{INVENTORY}PrimaryQuantity"])
            came[place] = (came[place][0] + quantity, came[place][1] + value_of([row]))
    assert came == gone


def test_the_clearing_account_is_zero_over_both_ledgers_every_evening(moved: Built) -> None:
    world, out, site = moved
    ledgers = ledgers_of(out)
    days = [FIRST[site] + timedelta(days=number) for number in range((world.end - FIRST[site]).days)]
    assert ledgers.moved(site, "CONV_CLEARING", days[0], ("erp_lawson",)) > 0
    assert {ledgers.moved(site, "CONV_CLEARING", day) for day in days} == {Decimal(0)}
    assert {ledgers.moved(site, role, days[0], ("erp_lawson",)) for role in ("PATIENT_AR", "DUE_TO")} == {Decimal(0)}


def test_each_ledger_balances_and_its_delivered_balances_are_its_journals(moved: Built) -> None:
    world, out, site = moved
    company, _, _ = codes(world, site)
    folder = max((out / "erp_lawson").iterdir()).name
    total, opening = Decimal(0), Decimal(0)
    for row in delivered(out, "erp_lawson", "GLAMOUNTS", day_of(folder)):
        if row["COMPANY"] == company:
            opening += number(row["DB_BEG_BAL"]) + number(row["CR_BEG_BAL"])
            total += sum((number(value) for name, value in row.items() if "_AMOUNT_" in name), Decimal(0))
    assert (total, opening) == (0, 0)
    ledgers = ledgers_of(out)
    for erp in ledgers.lines:
        assert sum((line[4] for line in ledgers.lines[erp] if line[0] == site[1]), Decimal(0)) == 0
    strings = {
        row["CodeCombinationCodeCombinationId"]: row["CodeCombinationSegment3"]
        for row in delivered(out, "erp_fusion", "GL_CODE_COMBINATIONS")
        if row["CodeCombinationSegment1"] == world.sites[site].segment1
    }
    rows = latest(
        delivered(out, "erp_fusion", "GL_BALANCES"),
        "BalanceCodeCombinationId", "BalanceCurrencyCode", "BalancePeriodName",
    )  # fmt: skip
    last = f"{calendar.month_abbr[world.end.month]}-{world.end:%y}"
    inventory = balance = Decimal(0)
    for row in rows:
        account = strings.get(row["BalanceCodeCombinationId"])
        if account is None or row["BalanceCurrencyCode"] == "STAT" or row["BalancePeriodName"] != last:
            continue
        amount = number(row["BalanceBeginBalanceDr"]) - number(row["BalanceBeginBalanceCr"])
        amount += number(row["BalancePeriodNetDr"]) - number(row["BalancePeriodNetCr"])
        balance += amount
        inventory += amount if account == "141000" else 0
    assert balance == 0
    assert inventory == ledgers.moved(site, "INV_ASSET", world.end, ("erp_fusion",))


def test_stock_value_of_record_is_the_inventory_account_on_both_sides(moved: Built) -> None:
    world, out, site = moved
    company, _, organisation = codes(world, site)
    ledgers = ledgers_of(out)
    opening = sum((held.value for held in world.opening_stock if held.site == site), Decimal(0))
    evening = FIRST[site] - timedelta(days=1)
    assert opening + ledgers.moved(site, "INV_ASSET", evening, ("erp_lawson",)) == sum(
        number(row["STOCK_VALUE"])
        for row in delivered(out, "erp_lawson", "ITEMLOC", FIRST[site])
        if row["COMPANY"] == company
    )
    assert opening + ledgers.moved(site, "INV_ASSET", world.end, ("erp_lawson",)) == 0
    rows = [
        row for row in delivered(out, "erp_fusion", "CST_VALUATION", world.end) if row["InventoryOrgId"] == organisation
    ]
    taken = {day_of(row["CostDate"]) for row in rows}
    assert taken == {world.end - timedelta(days=1)}
    assert ledgers.moved(site, "INV_ASSET", max(taken), ("erp_fusion",)) == sum(
        number(row["InventoryValue"]) for row in rows
    )
    assert len(rows) == len({row["InventoryItemId"] for row in rows})


def test_accrual_and_payables_of_both_ledgers_are_their_documents(moved: Built) -> None:
    world, out, site = moved
    company, unit, organisation = codes(world, site)
    ledgers = ledgers_of(out)
    received, owed = accrued(out, company, unit, organisation), payable(out, company, unit)
    for erp in ("erp_lawson", "erp_fusion"):
        assert -ledgers.moved(site, "GRNI", world.end, (erp,)) == received[erp]
        assert -ledgers.moved(site, "AP_CONTROL", world.end, (erp,)) == owed[erp]
        assert owed[erp] > 0


def test_patient_accounts_go_on_in_the_cloud(moved: Built) -> None:
    world, out, site = moved
    ledgers = ledgers_of(out)
    first = FIRST[site]
    billed = {True: Decimal(0), False: Decimal(0)}
    place = world.sites[site].loc_id
    accounts = {row["HSP_ACCOUNT_ID"] for row in delivered(out, "hb", "HSP_ACCOUNT") if row["ADM_LOC_ID"] == place}
    for row in latest(delivered(out, "hb", "HSP_TRANSACTIONS"), "TX_ID"):
        if row["HSP_ACCOUNT_ID"] in accounts:
            billed[day_of(row["TX_POST_DATE"]) >= first] += number(row["TX_AMOUNT"])
    until = world.end - timedelta(days=1)
    assert ledgers.moved(site, "PATIENT_AR", first - timedelta(days=1), ("erp_lawson",)) == billed[False]
    assert ledgers.moved(site, "PATIENT_AR", until, ("erp_fusion",)) == billed[False] + billed[True]
    assert billed[True]


def test_the_legacy_ledger_keeps_run_off_journals_only(moved: Built) -> None:
    _, out, site = moved
    posted = ledgers_of(out).systems(site, "erp_lawson", FIRST[site])
    assert {system for system, _ in posted} <= {"PO", "AP", "CV", "GL"}
    assert {role for system, role in posted if system == "GL"} <= {"IMPLANT_EXP", "BILLONLY_ACCRUAL"}
    before = {line for line in ledgers_of(out).lines["erp_fusion"] if line[0] == site[1] and line[2] < FIRST[site]}
    assert before == set()


def test_the_last_accrual_of_implants_is_reversed_where_it_was_made(tmp_path: Path) -> None:
    build_world(tmp_path, date(2026, 3, 26), 9, 0.05, 1, False, sites=("H3",))
    ledgers = Ledgers(tmp_path)
    evening = FIRST["H3"] - timedelta(days=1)
    assert ledgers.moved("H3", "BILLONLY_ACCRUAL", evening, ("erp_lawson",)) < 0
    assert ledgers.moved("H3", "BILLONLY_ACCRUAL", FIRST["H3"], ("erp_lawson",)) == 0
    assert not any(line[1] == "BILLONLY_ACCRUAL" for line in ledgers.lines["erp_fusion"])


def test_orders_stay_where_they_were_made(moved: Built) -> None:
    world, out, site = moved
    company, unit, _ = codes(world, site)
    first = FIRST[site]
    legacy = [row for row in delivered(out, "erp_lawson", "PURCHORDER") if row["COMPANY"] == company]
    assert max(day_of(row["PO_DATE"]) for row in legacy) < first
    cloud = [
        row
        for row in delivered(out, "erp_fusion", "PO_HEADERS")
        if row["BilltoBuId"] == unit and row["TypeLookupCode"] == "STANDARD"
    ]
    assert cloud
    assert min(day_of(row["CreationDate"]) for row in cloud) >= first
    for extract, column in (("PORECLINE", "REC_DATE"), ("APINVOICE", "CREATE_DATE"), ("APPAYMENT", "CHECK_DATE")):
        late = [
            row
            for row in delivered(out, "erp_lawson", extract)
            if row["COMPANY"] == company and day_of(row[column]) >= first
        ]
        assert late, extract
        assert extract != "PORECLINE" or {row["DOC_TYPE"] for row in late} <= {"PO", "RA", "RJ"}


def test_stock_on_old_orders_is_valued_in_the_cloud_to_the_cent(tmp_path: Path) -> None:
    """Without a distribution centre a storeroom orders much of what it has, so some of it arrives after the day."""
    out, site = tmp_path, "H3"
    world, _, _ = build_world(out, date(2026, 3, 23), 15, 0.015, 1, False, sites=(site,))
    late = [row for row in converted(out, site) if row[f"{INVENTORY}TransactionReference"]]
    ledgers = ledgers_of(out)
    cleared = sum(
        (line[4] for line in ledgers.lines["erp_lawson"] if line[:2] == (site[1], "CONV_CLEARING") and line[3] == "PO"),
        Decimal(0),
    )
    assert late
    # The legacy rows of the last day are delivered the day after.
    until = [row for row in late if day_of(row[f"{INVENTORY}TransactionDate"]) < world.end]
    assert value_of(until) == cleared > 0
    assert not any(row[f"{INVENTORY}RcvTransactionId"] for row in late)
    named = {
        int(row["GlImportReferencesReference2"])
        for row in delivered(out, "erp_fusion", "GL_IMPORT_REFERENCES")
        if row["GlImportReferencesReference1"] == "INV"
    }
    assert {int(row[f"{INVENTORY}TransactionId"]) for row in converted(out, site)} <= named


def test_what_waited_is_asked_for_again_in_the_cloud(moved: Built) -> None:
    world, out, site = moved
    company, unit, _ = codes(world, site)
    killed = [
        row
        for row in latest(delivered(out, "erp_lawson", "REQLINE"), "COMPANY", "REQ_NUMBER", "LINE_NBR")
        if row["COMPANY"] == company and number(row["KILL_QUANTITY"])
    ]
    assert killed
    assert {row["CLOSED_FL"] for row in killed} == {"Y"}
    headers = {
        row["RequisitionHeaderId"]
        for row in delivered(out, "erp_fusion", "REQ_HEADERS")
        if row["ReqBuId"] == unit and day_of(row["CreationDate"]) == FIRST[site]
    }
    asked = [
        row["InterfaceLineKey"]
        for row in latest(delivered(out, "erp_fusion", "REQ_LINES"), "RequisitionLineId")
        if row["RequisitionHeaderId"] in headers
    ]
    assert {row["SOURCE_REF"].strip() for row in killed} <= set(asked)


def test_goods_of_the_centre_on_the_road_arrive_in_the_cloud(moved: Built) -> None:
    world, _, site = moved
    first = FIRST[site]
    sent = {movement.ref_doc: movement for movement in world.movements if movement.event == "E15"}
    over = [
        movement
        for movement in world.movements
        if movement.event == "E16"
        and movement.site == site
        and sent[movement.ref_doc].posted_at.date() < first <= movement.posted_at.date()
    ]
    assert {movement.erp for movement in over} == {"erp_fusion"}
    for event, role in (("E16", "DUE_TO"), ("E21", "DUE_TO")):
        erps = {
            (posting.posting_date >= first, posting.erp)
            for posting in world.postings
            if posting.event == event and posting.site == site and role in (posting.debit_role, posting.credit_role)
        }
        assert erps <= {(False, "erp_lawson"), (True, "erp_fusion")}


def test_a_delivery_of_the_last_evening_is_owed_and_claimed_once(tmp_path: Path) -> None:
    """Q122: the hospital's half is posted on its last day in the legacy ERP, the centre's one slot later."""
    build_world(tmp_path, date(2026, 3, 23), 11, 0.02, 2, False, ["Q122"], sites=("CDC", "H3"))
    ledgers = Ledgers(tmp_path)
    evening = FIRST["H3"] - timedelta(days=1)
    owed = -ledgers.moved("H3", "DUE_TO", evening)
    assert owed > ledgers.moved("C0", "DUE_FROM", evening)
    assert -ledgers.moved("H3", "DUE_TO", FIRST["H3"], ("erp_fusion",)) >= owed
    assert -ledgers.moved("H3", "DUE_TO", FIRST["H3"]) == ledgers.moved("C0", "DUE_FROM", FIRST["H3"])


def test_shelves_change_their_erp_location_on_the_day(moved: Built) -> None:
    world, out, site = moved
    for folder, code in ((FIRST[site], f"{site}STR"), (FIRST[site] + timedelta(days=1), "STR")):
        shown = {
            row["erp_location"]
            for row in delivered(out, "pou", "location", folder)
            if row["location_code"] == f"{world.sites[site].pou_site}-STR-01"
        }
        assert shown == {code}


def test_the_reference_names_both_systems_by_date(moved: Built) -> None:
    world, _, site = moved
    first = FIRST[site].isoformat()
    record = [row for row in world.reference["SYSTEM_OF_RECORD"] if row["site"] == site]
    for process in ("item", "supplier", "purchase_order", "inventory", "gl", "revenue_gl"):
        spans = {
            (row["source_system"], row["valid_from"], row.get("valid_to", ""))
            for row in record
            if row["process"] == process
        }
        assert spans == {("erp_lawson", "2024-10-01", first), ("erp_fusion", first, "")}
    follows = {
        (row["source_system"], row.get("valid_to", "")) for row in record if row["process"] in ("receipt", "ap_invoice")
    }
    assert follows == {("erp_lawson", ""), ("erp_fusion", "")}
    for name, code in (("LOCATION_MAP", "source_location"), ("COST_CENTER_MAP", "source_code")):
        since = {
            (row["source_system"], row["valid_from"])
            for row in world.reference[name]
            if row["site"] == site and row["source_system"].startswith("erp_") and row[code]
        }
        assert since == {("erp_lawson", "2024-10-01"), ("erp_fusion", first)}


def test_items_and_suppliers_were_converted_in_advance(moved: Built) -> None:
    world, out, site = moved
    _, _, organisation = codes(world, site)
    early = world.start
    references = {
        row["InventoryItemId"]: row["CrossReference"]
        for row in delivered(out, "erp_fusion", "ITEM_RELATIONSHIPS", early)
        if row["ItemRelationshipType"] == "LEGACY_ITEM"
    }
    items = [
        row for row in delivered(out, "erp_fusion", "ITEMS", early) if row["ItemBasePEOOrganizationId"] == organisation
    ]
    held = {held.item_key for held in world.opening_stock if held.site == site}
    assert {str(world.items[key].cloud_item_id) for key in held} <= {row["ItemBasePEOInventoryItemId"] for row in items}
    assert all(references[str(world.items[key].cloud_item_id)] == world.items[key].legacy_no for key in held)
    assert {row["CreationSource"] for row in delivered(out, "erp_fusion", "SUPPLIERS", early)} == {"CONVERSION"}


def test_costs_of_a_date_follow_the_system_of_record(moved: Built) -> None:
    world, _, site = moved
    spans = defaultdict(set)
    for cost in world.costs:
        if cost.site == site and cost.source == "average":
            spans[cost.location_id is None].add(cost.valid_from)
    assert max(spans[False]) < FIRST[site] == min(spans[True])


@pytest.mark.parametrize(("quirk", "late"), [("Q14", 21), ("Q47", 0)])
def test_account_prefixes_of_departments_are_changed_late(tmp_path: Path, quirk: str, late: int) -> None:
    first = FIRST["H3"]
    days = late + 3
    build_world(tmp_path, first - timedelta(days=1), days, 0.004, 2, False, [quirk], sites=("H3",))
    for after, prefix in ((late, "1003-37010"), (late + 1, "103-70100")):
        rows = delivered(tmp_path, "ehr", "CLARITY_DEP", first + timedelta(days=after))
        assert [row["GL_PREFIX"] for row in rows if row["DEPARTMENT_ID"] == "10370101"] == [prefix]


def test_a_world_that_starts_later_opens_with_what_came_over(tmp_path: Path) -> None:
    world, _, _ = build_world(tmp_path, date(2026, 5, 11), 6, 0.004, 4, False, sites=("CDC", "H3", "H4"))
    assert world.cutovers == {"H3": FIRST["H3"]}
    assert (world.sites["H3"].erp, world.sites["H4"].erp) == ("erp_fusion", "erp_lawson")
    stock = sum((held.value for held in world.opening_stock if held.site == "H3"), Decimal(0))
    opened = {
        row["ACCOUNT"]: number(row["DB_BEG_BAL"]) + number(row["CR_BEG_BAL"])
        for row in delivered(tmp_path, "erp_lawson", "GLAMOUNTS", world.start)
        if row["COMPANY"] == "1003"
    }
    cash = Decimal(50000000)
    assert opened == {"100100": cash, "199500": stock, "300100": -cash - stock}
    accounts = {
        row["CodeCombinationCodeCombinationId"]: row["CodeCombinationSegment3"]
        for row in delivered(tmp_path, "erp_fusion", "GL_CODE_COMBINATIONS")
        if row["CodeCombinationSegment1"] == "103"
    }
    balances = {
        accounts[row["BalanceCodeCombinationId"]]: number(row["BalanceBeginBalanceDr"])
        - number(row["BalanceBeginBalanceCr"])
        for row in delivered(tmp_path, "erp_fusion", "GL_BALANCES", world.start)
        if row["BalanceCodeCombinationId"] in accounts and row["BalanceCurrencyCode"] == "USD"
    }
    assert {account: value for account, value in balances.items() if value} == {"141000": stock, "199500": -stock}
    assert fired(world) == []
    assert not any(line.erp == "erp_lawson" and line.site == "H3" for line in world.journal_lines)


def test_a_value_is_carried_to_the_cent_by_unit_costs_of_five_places() -> None:
    for quantity, amount in ((3, "10.00"), (4800, "1234.57"), (1, "0.01"), (-7, "-33.34"), (0, "0.03"), (0, "-0.02")):
        parts = exact_parts(Decimal(quantity), Decimal(amount))
        assert sum(part for part, _ in parts) == quantity
        assert sum(money(part * cost) for part, cost in parts) == Decimal(amount)
    assert exact_parts(Decimal(0), Decimal(0)) == []


def test_standing_orders_run_off_and_are_renewed_in_the_cloud(tmp_path: Path) -> None:
    world, _, _ = build_world(tmp_path, date(2026, 3, 29), 72, 0.002, 3, False, sites=("H3",))
    services = {line.po_key: line for line in world.po_lines if line.po_type == "service"}
    made = defaultdict(set)
    for line in services.values():
        made[line.erp].add(line.order_date)
    assert max(made["erp_lawson"]) < FIRST["H3"]
    assert FIRST["H3"] + timedelta(days=60) in made["erp_fusion"]
    renewed = FIRST["H3"] + timedelta(days=60)
    late = {invoice.erp for invoice in world.invoices if invoice.po_key in services and invoice.invoice_date > renewed}
    assert late == {"erp_fusion"}
    closed = [
        row["CLOSED_FL"]
        for row in latest(delivered(tmp_path, "erp_lawson", "PURCHORDER"), "PO_NUMBER", "PO_CODE")
        if row["PO_CODE"] == "SVC"
    ]
    assert set(closed) == {"Y"}
    assert fired(world) == []


def test_what_the_legacy_erp_was_not_told_before_the_day_comes_over_with_the_stock(tmp_path: Path) -> None:
    """A scan of the last minutes is posted after midnight: the conversion has the piece, the cloud books its issue."""
    trial = run_trial(tmp_path, days=2, scale=0.004, sites=("H3",), start=date(2026, 3, 30))
    world, stock = trial.world, trial.stock
    world.cutovers["H3"] = FIRST["H3"]
    held = next(held for held in stock.holdings.positions("H3") if held.quantity > 5 and held.location_id == "H3-ORC")
    item = world.items[held.item_key]
    night = datetime.combine(date(2026, 3, 31), time(23, 58), CHICAGO)
    morning = datetime.combine(FIRST["H3"], time(0, 3), CHICAGO)
    scan = Scan("H3", "H3-ORC", item, Decimal(2), night, case_typed="40000001", posted_at=morning)
    issued = stock.use(scan, with_scan_row=False)
    assert issued.erp == "erp_fusion"
    world.sites["H3"] = world.site_in("H3", "erp_fusion")
    booked = {(entry.location_id, entry.item_key): entry for entry in stock.holdings.convert("H3")}
    assert booked["H3-ORC", item.key].quantity == held.quantity
    assert booked["H3-ORC", item.key].value == held.value
    left = next(
        entry for entry in stock.holdings.positions("H3") if entry.location_id is None and entry.item_key == item.key
    )
    converted = sum(entry.value for (_, key), entry in booked.items() if key == item.key)
    assert left.value == converted - (issued.erp_amount or 0)
