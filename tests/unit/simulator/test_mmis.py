"""Hospitals on the MMIS: keyed the next day, two databases, a fixed-width file of every evening."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ingest.clock import AsOf
from ingest.run import ingest
from ingest.simulator import build_world
from ingest.simulator.events import Movement, World
from ingest.simulator.mmis_text import layout, signed
from ingest.simulator.oracle import evaluate
from ingest.simulator.oracle.view import View
from ingest.simulator.scans import Scan
from ingest.simulator.stock import Stock
from tests.unit.simulator.stock_world import opened

START, DAYS, SCALE = date(2026, 2, 2), 28, 0.02
SITES = ("CDC", "H1", "H6", "H7", "H8")
Row = dict[str, str]
Built = tuple[World, Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A world with all quirks and no defects; the last day of February lies in it."""
    out = tmp_path_factory.mktemp("materials")
    return build_world(out, START, DAYS, SCALE, 6, defects=False, sites=SITES)[0], out


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A world without quirks."""
    out = tmp_path_factory.mktemp("plain")
    return build_world(out, START, 14, SCALE, 6, defects=False, quirks=False, sites=("H6", "H8"))[0], out


def table(out: Path, name: str, database: int, day: date) -> list[Row]:
    """A table as it was delivered, blanks kept."""
    text = (out / f"mmis/{day:%Y%m%d}/db{database}/{name}.txt").read_bytes().decode("cp1252")
    assert text.endswith("\r\n")
    header, *lines = text.removesuffix("\r\n").split("\r\n")
    names = header.split("|")
    cells = [line.replace("\\|", "\0").split("|") for line in lines]
    assert {len(row) for row in cells} <= {len(names)}
    return [dict(zip(names, (cell.replace("\0", "|") for cell in row), strict=True)) for row in cells]


def records(path: Path) -> list[str]:
    lines = path.read_bytes().decode("cp1252").split("\r\n")
    assert lines.pop() == ""
    assert {len(line) for line in lines} == {200}
    return lines


def details(path: Path) -> list[Row]:
    """Detail records of a transaction file, fields as they are."""
    fields = layout("TXN")
    return [
        {place.name: line[place.start - 1 : place.start - 1 + place.width] for place in fields}
        for line in records(path)
        if line.startswith("D")
    ]


def number(field: str, places: int = 2) -> Decimal:
    value = Decimal(field[:-1]).scaleb(-places)
    return -value if field[-1] == "-" else value


def transaction_files(out: Path, database: int) -> list[Path]:
    """Files of the evenings themselves, what is sent again left out."""
    return [
        path
        for path in sorted(out.glob(f"mmis/*/db{database}/TXN*.DAT"))
        if path.parts[-3][2:] == path.stem.removeprefix("TXN")
    ]


def all_details(out: Path, database: int) -> list[tuple[date, Row]]:
    return [
        (datetime.strptime(path.parts[-3], "%Y%m%d").date(), row)
        for path in transaction_files(out, database)
        for row in details(path)
    ]


def lawson(out: Path, extract: str) -> list[Row]:
    """Every row of a legacy extract in order of delivery."""
    rows: list[Row] = []
    for path in sorted((out / "erp_lawson").glob(f"*/{extract}.csv")):
        rows += csv.DictReader(path.open(encoding="cp1252", newline=""))
    return rows


def of_cases(world: World, *sites: str) -> list[Movement]:
    return [
        movement
        for movement in world.movements
        if movement.site in sites and movement.true_case_id and movement.txn_type in ("ISSUE", "WASTE", "RETURN")
    ]


def test_no_rule_fires_at_these_sites_without_defects(built: Built) -> None:
    world, _ = built
    assert {case.site for case in world.cases} >= {"H1", "H6", "H7"}
    assert [finding for finding in evaluate(world) if not finding.near_miss] == []


def test_usage_is_keyed_the_day_after_with_the_business_date_of_its_case(built: Built) -> None:
    world, out = built
    days = {case.case_id: case.surgery_date for case in world.cases}
    moved = of_cases(world, "H6", "H7")
    assert len(moved) > 200
    lags = Counter()
    for movement in moved:
        assert movement.happened_at.date() >= days[movement.true_case_id]
        if movement.txn_type != "RETURN":
            assert movement.happened_at.date() == days[movement.true_case_id]
        lags[(movement.posted_at.date() - movement.happened_at.date()).days, movement.happened_at.date()] += 1
    # Without defects the last day of a month is keyed the same evening, else its usage would fall into the next month.
    assert {day for lag, day in lags if lag == 0} <= {date(2026, 2, 28)}
    assert {lag for lag, _ in lags} <= {0, 1}
    rows = [(folder, row) for folder, row in all_details(out, 1) if row["CASE_NO"].strip()]
    assert rows
    for folder, row in rows:
        allowed = {folder - timedelta(days=1)} | ({folder} & {date(2026, 2, 28)})
        assert row["TXN_DATE"] in {f"{day:%y%m%d}" for day in allowed}


def test_a_charged_item_is_keyed_with_the_account_and_the_charge_code(built: Built) -> None:
    world, out = built
    charged = [row for _, row in all_details(out, 1) if row["PAT_ACCT"].strip()]
    assert charged
    assert {row["PAT_ACCT"].strip() for row in charged} <= {state.account for state in world.accounts}
    assert all(row["PAT_CHRG_NO"].strip() and row["TXN_TYPE"] in ("IS", "WS", "RT", "CU") for row in charged)


def test_fifteen_percent_of_what_cases_use_names_no_case(built: Built) -> None:
    moved = of_cases(built[0], "H6", "H7")
    left_out = [movement for movement in moved if movement.case_typed is None]
    assert 0.08 < len(left_out) / len(moved) < 0.22
    # Whatever is taken back has the case number of what was taken.
    named: dict[tuple[str | None, int], set[bool]] = defaultdict(set)
    for movement in moved:
        named[movement.true_case_id, movement.item_key].add(movement.case_typed is None)
    assert all(len(kinds) == 1 for kinds in named.values())


def test_every_file_is_there_every_evening_and_is_accepted(built: Built, tmp_path: Path) -> None:
    world, out = built
    for day in (START + timedelta(days=place) for place in range(DAYS)):
        for database in (1, 2):
            folder = out / f"mmis/{day:%Y%m%d}/db{database}"
            assert len(list(folder.glob("*.txt"))) == 12
            assert (folder / f"TXN{day:%y%m%d}.DAT").is_file()
    report = ingest(out, tmp_path / "home", AsOf.parse(world.end.isoformat()), "run", systems=["mmis"])
    counts = {entry.feed: entry for entry in report.extracts}
    assert all(entry.rows_quarantined == 0 and entry.files_refused == 0 for entry in counts.values())
    assert all(entry.rows_landed for entry in counts.values())
    delivered = {row["TXN_NO"] for _, row in all_details(out, 1)}, {row["TXN_NO"] for _, row in all_details(out, 2)}
    assert counts["mmis.TXN"].rows_landed == len(delivered[0]) + len(delivered[1])
    assert delivered[0] & delivered[1]  # the number alone is not unique


def test_the_trailer_counts_and_adds_up_what_the_file_holds(built: Built) -> None:
    _, out = built
    for database in (1, 2):
        for path in transaction_files(out, database):
            *_, trailer = records(path)
            rows = details(path)
            assert int(trailer[1:10]) == len(rows)
            assert number(trailer[10:24]) == sum((number(row["QTY"]) for row in rows), Decimal(0))
            assert [int(row["SEQ_NO"]) for row in rows] == list(range(1, len(rows) + 1))


def test_signs_follow_the_direction_and_counts_are_absolute(built: Built) -> None:
    _, out = built
    signs: dict[str, set[bool]] = defaultdict(set)
    for database in (1, 2):
        for _, row in all_details(out, database):
            signs[row["TXN_TYPE"]].add(number(row["QTY"]) < 0)
            has_other = bool(row["TO_LOC_NO"].strip())
            assert has_other == (
                row["TXN_TYPE"] == "TO"
                or (row["TXN_TYPE"] == "IS" and row["DOC_NO"].startswith("RS"))
                or (row["TXN_TYPE"] == "TI" and row["DOC_NO"].startswith("MV"))
            )
    assert {kind for kind, found in signs.items() if True in found} <= {"IS", "WS", "TO", "EX", "CU", "AD", "RC"}
    assert signs["IS"] == signs["TO"] == signs["EX"] == signs["WS"] == {True}
    assert signs["CT"] == signs["TI"] == signs["RT"] == {False}


def balances(out: Path, database: int, day: date) -> dict[tuple[str, str], Decimal]:
    places = {row["LOC_ID"]: row["LOC_NO"] for row in table(out, "LOC", database, day)}
    items = {row["ITEM_ID"]: row["ITEM_NO"].strip() for row in table(out, "ITEM", database, day)}
    return {
        (places[row["LOC_ID"]], items[row["ITEM_ID"]]): Decimal(row["QTY"])
        for row in table(out, "SLOC_ITEM", database, day)
        if row["CONSIGN_IND"] == "N"
    }


def breaks(built: Built, days: int) -> set[tuple[date, str, str]]:
    """Where yesterday's balance and the file of the day do not give today's balance."""
    world, out = built
    boxes = {
        number: package.each
        for item in world.items.values()
        for number in (item.mmis_no, item.mmis_east_no)
        for package in item.packages
        if package.uom == "BX"
    }
    found = set()
    for database in (1, 2):
        moved: dict[tuple[date, str, str], Decimal] = defaultdict(Decimal)
        for folder, row in all_details(out, database):
            if row["TXN_TYPE"] != "CT":
                item = row["ITEM_NO"].strip()
                factor = boxes[item] if row["UM"] == "BX" else Decimal(1)
                moved[folder, row["LOC_NO"].strip(), item] += number(row["QTY"]) * factor
        before = balances(out, database, START)
        for day in (START + timedelta(days=place) for place in range(1, days)):
            now = balances(out, database, day)
            for (place, item), quantity in now.items():
                if before.get((place, item), Decimal(0)) + moved[day, place, item] != quantity:
                    found.add((day, place, item))
            before = now
    return found


def test_balances_roll_forward_with_the_transaction_files(plain: Built) -> None:
    assert breaks(plain, 14) == set()


def test_q76_balances_are_taken_after_the_file_was_cut(built: Built) -> None:
    """What is moved between the cut and the tables is in tonight's balance and in tomorrow's file."""
    world, _ = built
    late = {
        (movement.happened_at.date(), movement.location_id)
        for movement in world.movements
        if movement.happened_at.hour == 23 and movement.site in ("H6", "H7", "H8")
    }
    assert late
    found = breaks(built, DAYS)
    assert any((day + timedelta(days=1), place, item) in found for day, place, item in found)
    # Par areas have no quantities and are out of every accuracy rule (landscape 2.2).
    places = {(day, f"{place[:2]}-{place[2:]}") for day, place, _ in found if not re.search(r"P\d\d$", place)}
    assert places <= late | {(day + timedelta(days=1), place) for day, place in late}


def test_every_night_the_stock_of_each_company_is_its_inventory_account(built: Built) -> None:
    _, out = built
    for folder in sorted((out / "erp_lawson").iterdir()):
        value: dict[str, Decimal] = defaultdict(Decimal)
        for row in csv.DictReader((folder / "ITEMLOC.csv").open(encoding="cp1252")):
            value[row["COMPANY"]] += Decimal(row["STOCK_VALUE"])
        ledger: dict[str, Decimal] = defaultdict(Decimal)
        for row in csv.DictReader((folder / "GLAMOUNTS.csv").open(encoding="cp1252")):
            if row["ACCOUNT"] == "130100":
                ledger[row["COMPANY"]] += sum(
                    (Decimal(row[name]) for name in row if "_BEG_BAL" in name or "_AMOUNT_" in name), Decimal(0)
                )
        assert set(value) == {"1006", "1007", "1008"}
        assert dict(value) == dict(ledger), folder.name


def test_the_erp_books_every_transaction_of_an_asset_location(built: Built) -> None:
    """REFERENCE is M, the database and the transaction number; quantities and dates agree."""
    world, out = built
    rows = {row["REFERENCE"].strip(): row for row in lawson(out, "ICTRANS")}
    booked = 0
    last = world.end - timedelta(days=2)
    for database in (1, 2):
        for folder, row in all_details(out, database):
            is_asset = row["LOC_NO"].strip()[2:] in ("STR", "ORC", "CTH", "IRR")
            if row["TXN_TYPE"] == "CT" or not is_asset or folder > last:
                continue
            found = rows.pop(f"M{database}{int(row['TXN_NO'])}")
            assert Decimal(found["QUANTITY"]) == number(row["QTY"])
            assert found["TRANS_DATE"][2:] == row["TXN_DATE"]
            assert found["LOCATION"].strip() == row["LOC_NO"].strip()
            booked += 1
    assert booked > 300


def test_requisitions_carry_the_replenishment_document_of_the_mmis(built: Built) -> None:
    _, out = built
    lines = [row for row in lawson(out, "REQLINE") if row["COMPANY"] in ("1006", "1007", "1008")]
    assert {row["COMPANY"] for row in lines if row["SOURCE_REF"].startswith("RP")} == {"1006", "1007", "1008"}


def test_what_the_centre_sends_arrives_as_a_transfer_under_its_order(built: Built) -> None:
    world, out = built
    received = {
        (movement.ref_doc, movement.ref_line): movement
        for movement in world.movements
        if movement.event == "E16" and movement.site in ("H6", "H7", "H8")
    }
    rows = [
        row
        for database in (1, 2)
        for _, row in all_details(out, database)
        if row["TXN_TYPE"] == "TI" and row["DOC_NO"].startswith("TO")
    ]
    assert rows
    assert {(row["DOC_NO"].strip(), int(row["DOC_LINE"])) for row in rows} <= received.keys()


def test_shelves_run_out_by_plan_and_the_table_shows_it(tmp_path: Path) -> None:
    world, _, _ = build_world(tmp_path, START, 16, SCALE, 6, sites=("H6", "H8"))
    found = [finding for finding in evaluate(world) if finding.rule_id == "STK-02"]
    for is_near_miss in (False, True):
        planted = {
            row.entity_key for row in world.planted if row.rule_id == "STK-02" and row.is_near_miss == is_near_miss
        }
        assert planted
        assert planted <= {row.entity_key for row in found if row.near_miss == is_near_miss}
    last = world.end - timedelta(days=1)
    shown = {
        (place, item)
        for database in (1, 2)
        for (place, item), quantity in balances(tmp_path, database, last).items()
        if quantity <= 0
    }
    for row in found:
        if not row.near_miss and row.cleared_as_of is None:
            place, item = (part.rpartition("-")[0] for part in row.entity_key.removeprefix("location=").split("|item="))
            assert (place, item) in shown


# --------------------------------------------------------------------------------------------------------- database 2


@pytest.fixture
def east(tmp_path: Path) -> Stock:
    return opened(tmp_path, START, ("H6", "H8"))


def test_usage_of_the_acquired_hospital_waits_for_the_morning_and_names_no_case(east: Stock) -> None:
    item = next(entry for entry in east.world.items.values() if entry.home == "CTH" and east.is_carried("H8", entry))
    scan = Scan("H8", "H8-CTH", item, Decimal(2), east.clock("H8", START, 9), case_typed="E-2026-000001")
    before = east.holdings.balance("H8-CTH", east.number("H8", item))
    assert east.use(scan) is None
    assert east.use(scan, is_wasted=True) is None
    assert east.give_back(scan) is None
    assert east.holdings.balance("H8-CTH", east.number("H8", item)) == before
    east.morning(START + timedelta(days=1))
    moved = [movement for movement in east.world.movements if movement.item_key == item.key]
    assert [movement.txn_type for movement in moved if movement.location_id == "H8-CTH"][-3:] == [
        "ISSUE",
        "WASTE",
        "RETURN",
    ]
    assert east.holdings.balance("H8-CTH", east.number("H8", item)) == before - 2
    for movement in moved:
        assert movement.case_typed is None
        assert movement.happened_at.date() == START
        assert movement.posted_at.date() == START + timedelta(days=1)
        assert movement.happened_at.utcoffset() == timedelta(hours=-5)
        assert movement.pou_item_no == f"{item.mmis_east_no}-2"
        assert movement.erp_amount is not None
    assert sum(posting.amount for posting in east.world.postings if posting.event == "E09") > 0


def test_the_acquired_hospital_has_numbers_of_its_own_and_no_case(built: Built) -> None:
    world, out = built
    rows = [row for _, row in all_details(out, 2)]
    assert rows
    own = {item.mmis_east_no for item in world.items.values()}
    assert {row["ITEM_NO"].strip() for row in rows} <= own
    assert all(not row["CASE_NO"].strip() for row in rows)
    view = View(world, world.end)
    assert view.identity.master("mmis", f"{rows[0]['ITEM_NO'].strip()}-2") is not None
    carried = [item for item in world.items.values() if item.mmis_east_no and item.is_active]
    resolved = [view.identity.resolve("mmis", f"{item.mmis_east_no}-2") for item in carried]
    assert {str(entry.confidence) for entry in resolved} == {"0.95"}
    assert all(view.identity.item(entry.golden) is item for entry, item in zip(resolved, carried, strict=True))


def test_q90_rows_after_midnight_in_the_east_carry_the_day_before_in_chicago(built: Built) -> None:
    _, out = built
    rows = [row for row in lawson(out, "ICTRANS") if row["COMPANY"] == "1008"]
    early = [row for row in rows if row["UPDATE_DATE"] < row["TRANS_DATE"] and row["R_STATUS"] == "9"]
    assert early
    assert all(int(row["ACTUAL_TIME"]) >= 2300 for row in early)
    assert not [
        row
        for row in lawson(out, "ICTRANS")
        if row["COMPANY"] != "1008" and "2" < row["UPDATE_DATE"] < row["TRANS_DATE"]
    ]


# --------------------------------------------------------------------------------------------------------- the quirks


def test_q67_an_id_means_something_else_in_each_database(built: Built) -> None:
    _, out = built
    for name, key, told in (("ITEM", "ITEM_ID", "CTLG_NO"), ("VEND", "VEND_ID", "NAME"), ("LOC", "LOC_ID", "LOC_NO")):
        first, second = ({row[key]: row[told] for row in table(out, name, database, START)} for database in (1, 2))
        shared = first.keys() & second.keys()
        assert len(shared) > 5
        assert [row for row in shared if first[row].upper() != second[row].upper()]
    assert {row["CORP_ID"] for row in table(out, "CORP", 1, START)} == {"601", "602"}
    assert {row["CORP_ID"] for row in table(out, "CORP", 2, START)} == {"601"}


def test_q68_the_unit_stands_at_positions_seven_and_eight(built: Built) -> None:
    _, out = built
    codes = {row["CODE"] for row in table(out, "CODE_TABLE", 1, START) if row["TYPE_CD"] == "UM"}
    assert {code[6:8] for code in codes} == {"EA", "BX", "CA"}
    assert {row["UM_CD"] for row in table(out, "ITEM_VEND_PKG", 1, START)} <= codes
    assert {row["STOCK_UM_CD"] for row in table(out, "ITEM", 1, START)} == {"000101EA"}


def cycles(out: Path, database: int, day: date) -> set[str]:
    """Vendor items with a conversion whose way there and back does not multiply to one."""
    factors = {
        (row["ITEM_VEND_ID"], row["UM_CD"], row["TO_UM_CD"]): Decimal(row["TO_QTY"])
        for row in table(out, "ITEM_VEND_PKG_FACTOR", database, day)
    }
    return {
        offer
        for (offer, larger, smaller), factor in factors.items()
        if factor * factors.get((offer, smaller, larger), 1 / factor) != 1
    }


def test_q69_package_factors_have_self_rows_and_inverse_rows(built: Built) -> None:
    _, out = built
    rows = table(out, "ITEM_VEND_PKG_FACTOR", 1, START)
    assert [row for row in rows if row["UM_CD"] == row["TO_UM_CD"] and Decimal(row["TO_QTY"]) == 1]
    assert [row for row in rows if Decimal(row["TO_QTY"]) < 1]
    assert cycles(out, 1, START) == cycles(out, 2, START) == set()


def test_q70_numbers_have_implied_decimals_and_a_trailing_sign(built: Built) -> None:
    assert signed(Decimal("-1.50"), 10, 2) == "000000150-"
    assert signed(Decimal(12), 10, 2) == "000001200 "
    with pytest.raises(ValueError, match="does not fit"):
        signed(Decimal("1.005"), 10, 2)
    fields = {row["QTY"] for _, row in all_details(built[1], 1)}
    assert {field[-1] for field in fields} == {"-", " "}
    assert all(field[:-1].isdigit() for field in fields)


def test_q72_a_rerun_repeats_the_day_under_a_higher_run_number(built: Built) -> None:
    _, out = built
    again = [
        path
        for database in (1, 2)
        for path in out.glob(f"mmis/*/db{database}/TXN*.DAT")
        if path not in transaction_files(out, database)
    ]
    assert again
    for path in again:
        day = datetime.strptime(path.stem, "TXN%y%m%d").date()
        first = out / f"mmis/{day:%Y%m%d}" / path.parts[-2] / path.name
        assert (records(first)[0][16:19], records(path)[0][16:19]) == ("001", "002")
        assert details(path) == details(first)


def test_q73_the_charge_price_follows_the_cost(built: Built) -> None:
    world, out = built
    first, last = (
        {(row["ITEM_ID"], row["CORP_ID"]): row["PAT_CHRG_PRICE"] for row in table(out, "ITEM_CORP_ACCT", 1, day)}
        for day in (START, world.end)
    )
    assert first.keys() == last.keys()
    assert [key for key in first if first[key] != last[key]]


def test_q74_catalogue_numbers_are_cut_and_padded(built: Built) -> None:
    world, out = built
    shown = {row["ITEM_NO"].strip(): row["CTLG_NO"] for row in table(out, "ITEM", 1, START)}
    assert {len(number) for number in shown.values()} == {20}
    cut = [item for item in world.items.values() if item.mmis_no and len(item.catalogue_number) > 20]
    assert cut
    assert all(item.catalogue_number.startswith(shown[item.mmis_no]) for item in cut)


def test_q75_descriptions_hold_pipes_and_quotes_of_the_code_page(built: Built) -> None:
    _, out = built
    raw = (out / f"mmis/{START:%Y%m%d}/db1/ITEM.txt").read_bytes()
    assert b"\\|" in raw
    assert b"\x93STERILE\x94" in raw
    assert [row for row in table(out, "ITEM", 1, START) if "|" in row["DESCR"]]


def test_q77_one_number_is_two_products(built: Built) -> None:
    _, out = built
    first, second = ({row["ITEM_NO"]: row["CTLG_NO"] for row in table(out, "ITEM", base, START)} for base in (1, 2))
    shared = first.keys() & second.keys()
    assert shared
    assert all(first[number] != second[number] for number in shared)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A world with defects."""
    out = tmp_path_factory.mktemp("faulty")
    return build_world(out, START, 24, 0.03, 6, sites=("CDC", "H6", "H7", "H8"))[0], out


def test_q69_a_rare_cycle_does_not_multiply_to_one(faulty: Built) -> None:
    world, out = faulty
    assert cycles(out, 1, START)
    ways = defaultdict(list)
    for edge in (factor for factor in world.package_factors if factor.system == "mmis"):
        ways[edge.item_no, frozenset((edge.uom, edge.to_uom))].append(edge.factor)
    wrong = {item for (item, _), there in ways.items() if len(there) == 2 and there[0] * there[1] != 1}
    planted = {entry.entity_key for entry in world.planted if entry.rule_id == "MDM-06" and not entry.is_near_miss}
    assert {key.split("|")[1] for key in planted if "system=mmis" in key} == {f"item={item}" for item in wrong}


@pytest.mark.parametrize("seed", [3, 5, 6])
def test_q71_a_file_of_the_quarter_has_a_wrong_trailer_or_none(tmp_path: Path, seed: int) -> None:
    world, _, _ = build_world(tmp_path, START, 12, 0.01, seed, quirks=["Q71"], sites=("H6",))
    wrong = [
        file
        for file in world.files
        if file.system == "mmis"
        and (file.rows != file.stated_rows or not file.manifest_hash_matches or file.is_truncated)
    ]
    assert len(wrong) == 1
    fired = {(finding.rule_id, finding.entity_key) for finding in evaluate(world) if not finding.near_miss}
    key = f"feed=mmis.TXN|date={wrong[0].folder_date}"
    assert (("INT-02", f"{key}|file={wrong[0].name}") in fired) == (not wrong[0].is_truncated)
    assert (("INT-01", key) in fired) == wrong[0].is_truncated  # what has no trailer is not delivered
    report = ingest(tmp_path, tmp_path / "home", AsOf.parse(world.end.isoformat()), "run", systems=["mmis"])
    counts = {entry.feed: entry for entry in report.extracts}
    assert counts["mmis.TXN"].files_refused == wrong[0].is_truncated
    known = [known for known, movement in View(world, world.end).movements() if known <= world.end]
    assert counts["mmis.TXN"].rows_landed == len(known)


def test_defects_are_found_at_these_sites(faulty: Built) -> None:
    world, _ = faulty
    found = {(finding.rule_id, finding.facility_id) for finding in evaluate(world) if not finding.near_miss}
    assert {"UI-01", "UI-02", "UI-05"} <= {rule for rule, site in found if site in ("H6", "H7")}
