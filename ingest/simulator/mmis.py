"""The materials management system (MMIS): what it keeps of stock, and its files of every evening.

Here: both databases of H6 to H8 with their item, vendor, location and code tables, stock by location, and the
fixed-width transaction file; transaction numbers, case numbers left out, what is keyed after the cut (Q67 to Q77).
Not here: quantities, values and why something moves (stock), the layout of the files (mmis_text).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from ingest.simulator.delivery import Document, Row, Value
from ingest.simulator.events import Item, Location, Movement, PackageFactor, Site
from ingest.simulator.masters import MATERIALS_CATALOGUE
from ingest.simulator.mmis_text import SYSTEM, Field, Trailer, row_text, table, transactions
from ingest.simulator.price_files import MASTERS_SINCE

if TYPE_CHECKING:
    from ingest.simulator.holdings import Level
    from ingest.simulator.scans import Scan
    from ingest.simulator.stock import Stock

ZERO = Decimal(0)
FOUR_PLACES = Decimal("0.0001")
FIVE_PLACES = Decimal("0.00001")
FIRST_NUMBER = 100000001
CUT = time(23, 30)  # a transaction file holds what was keyed before
CASE_LEFT_OUT = 0.15  # of what is used at cases (landscape 5.4)
RERUN_SHARE = 0.03
TYPES = {
    "ISSUE": "IS", "RETURN": "RT", "RECEIPT": "RC", "TRANSFER_OUT": "TO", "TRANSFER_IN": "TI", "ADJUST": "AD",
    "COUNT": "CT", "WASTE": "WS", "EXPIRED": "EX", "RECALL_PULL": "AD", "CONSIGN_USE": "CU",
}  # fmt: skip
TYPE_NAMES = {
    "IS": "ISSUE", "RT": "RETURN", "RC": "RECEIPT", "TO": "TRANSFER OUT", "TI": "TRANSFER IN", "AD": "ADJUST",
    "CT": "COUNT", "WS": "WASTE", "EX": "EXPIRED", "CU": "CONSIGNED USE",
}  # fmt: skip
REASONS = {
    "CNT": "COUNT DIFFERENCE", "EXP": "EXPIRED", "WST": "WASTED AT CASE", "RTV": "RETURN TO VENDOR", "RCL": "RECALL",
    "RTN": "RETURNED TO REP",
}  # fmt: skip
UNITS = {"EA": ("01", "EACH"), "BX": ("02", "BOX"), "CA": ("03", "CASE")}
LOCATION_TYPES = {
    "STOREROOM": "STR", "OR_CORE": "ORC", "PAR": "PAR", "CONSIGN_CLOSET": "CNS",
}  # fmt: skip
COMMODITIES = {"SUPPLY": "42290000", "IMPLANT": "42320000", "INSTRUMENT": "42290000"}
Shelf = tuple[str, str, str]  # location, item number, owner
Details = list[tuple[datetime, dict[str, Field]]]


def unit_key(database: int, uom: str) -> str:
    """A coded unit: the two characters of the unit stand at positions 7 and 8 (Q68)."""
    return f"{database:04d}{UNITS[uom][0]}{uom}"


def mirrored(database: int, place: int, count: int) -> int:
    """Place of a record in its database: the second counts from the other end, so one id means two things (Q67)."""
    return place if database == 1 else count + 1 - place


def vendor_id(database: int, supplier_id: str, count: int) -> int:
    """VEND_ID of a golden supplier, `count` of which there are."""
    return 300 + mirrored(database, int(supplier_id[3:]), count)


@dataclass(frozen=True, slots=True)
class Balance:
    """What an evening's row of a shelf is made of."""

    quantity: Decimal
    level: Level | None
    counted_on: date | None


class Materials:
    """Both databases of the MMIS."""

    def __init__(self, stock: Stock) -> None:
        """Bind the stock that they keep."""
        self.stock = stock
        self.world = stock.world
        self.plan = stock.plan
        self.chance = stock.chance
        self._sites: dict[int, list[Site]] = defaultdict(list)
        self._numbers: dict[int, int] = {}
        self._details: dict[tuple[int, date], Details] = defaultdict(list)
        self._keyed: dict[Shelf, list[tuple[date, Decimal]]] = defaultdict(list)  # since the last evening
        self._top = max(stock.world.items)
        self._contracts: dict[str, int] = {}
        self._static: dict[tuple[int, str], tuple[bytes, int]] = {}
        self._factors: dict[tuple[int, int], Decimal] = {}
        self._priced: dict[tuple[int, int], Decimal] = {}
        self._prices: dict[tuple[int, str], Decimal] = {}
        self._masters: dict[int, list[tuple[Item, Row]]] = {}
        self._lines: dict[tuple[object, ...], tuple[object, str]] = {}  # last line of a key, and what it was made of
        self._reruns: dict[date, list[Document]] = defaultdict(list)
        self._wrong_trailers: dict[tuple[int, date], str] = {}

    def opening(self, d: date) -> None:
        """Register the files of both databases, as far as their hospitals are simulated."""
        for site in self.world.sites.values():
            if site.stock_system == SYSTEM:
                self._sites[site.database].append(site)
        for line in self.world.contract_lines:
            self._contracts.setdefault(line.contract_number, len(self._contracts) + 1)
        self._plan_cycles(d)
        self._plan_trailers()
        self.stock.outbox.documents(self.files)

    # ------------------------------------------------------------------------------------------------- transactions

    def keeps(self, site: str) -> bool:
        """Whether the stock of a site is kept here."""
        return self.world.sites[site].stock_system == SYSTEM

    def next_number(self, site: str) -> str:
        """IDB and the next TXN_NO of the site's database; both databases count from the same number."""
        database = self.world.sites[site].database
        self._numbers[database] = self._numbers.get(database, FIRST_NUMBER - 1) + 1
        return f"{database}{self._numbers[database]}"

    def names_case(self, scan: Scan) -> bool:
        """Whether the case number is keyed: never in database 2, elsewhere left out for 15 percent of the items."""
        if scan.case_typed is None or not self.keeps(scan.site):
            return True
        if self.world.sites[scan.site].database == 2:
            return False
        stream = self.chance.stream("case left out", scan.case_typed, scan.item.key)
        return scan.keeps_case or not stream.flag(CASE_LEFT_OUT)

    def transaction(self, scan: Scan, moved: Movement) -> None:
        """Take one transaction for the file of the evening on which it was keyed."""
        site = self.world.sites[moved.site]
        keyed = moved.posted_at.astimezone(site.clock)
        folder = keyed.date() + timedelta(days=keyed.time() >= CUT)
        shelf = (moved.location_id, moved.pou_item_no, moved.owner)
        if moved.txn_type != "COUNT":
            self._keyed[shelf].append((keyed.date(), moved.quantity_each))
        self._details[site.database, folder].append((moved.posted_at, self._detail(site, scan, moved)))

    def _detail(self, site: Site, scan: Scan, moved: Movement) -> dict[str, Field]:
        """A detail record but its number in the file."""
        item = scan.item
        factor = next((package.each for package in item.packages if package.uom == moved.uom), Decimal(1))
        is_charged = scan.account is not None and item.charge_code is not None and item.is_chargeable
        document = moved.ref_doc
        if moved.po_key is not None:
            document = moved.po_key.split("-")[1].strip()
        target = self.world.locations.get(moved.to_location_id or "")
        has_lot = moved.lot is not None
        return {
            "TXN_NO": int(moved.txn_id[1:]),
            "CORP_ID": _corp(site),
            "TXN_TYPE": TYPES[moved.txn_type],
            "LOC_NO": self.world.locations[moved.location_id].mmis_no,
            "TO_LOC_NO": target.mmis_no if target is not None else None,
            "ITEM_NO": moved.pou_item_no.rpartition("-")[0],
            "QTY": moved.quantity_uom,
            "UM": moved.uom,
            "UNIT_COST": self._cost(moved, factor),
            "TXN_DATE": moved.happened_at.date(),
            "TXN_TIME": moved.happened_at.time(),
            "DEPT_NO": moved.department,
            "DOC_NO": document[:12] if document else None,
            "DOC_LINE": (moved.ref_line or 1) if document else None,
            "LOT": moved.lot,
            "EXPIRY": moved.expiry_date if has_lot else None,
            "CASE_NO": moved.case_typed[:12] if moved.case_typed else None,
            "PAT_ACCT": scan.account if is_charged else None,
            "PAT_CHRG_NO": item.charge_code if is_charged else None,
            "USER_CD": f"U{1000 + self.chance.stream('keyed by', moved.txn_id).integer(1, 40)}",
            "REASON_CD": moved.reason,
        }

    def _cost(self, moved: Movement, factor: Decimal) -> Decimal:
        cost = moved.erp_unit_cost
        if cost is None and moved.owner == "OWNED" and self.world.locations[moved.location_id].is_asset:
            cost = self.stock.holdings.average(moved.site, moved.location_id, moved.item_key)
        return ((cost or ZERO) * factor).quantize(FOUR_PLACES, rounding=ROUND_HALF_UP)

    def not_yet(self, shelf: Shelf, d: date) -> Decimal:
        """What moved on a shelf after midnight of `d`: the evening's balance does not have it yet."""
        return sum((quantity for day, quantity in self._keyed.get(shelf, ()) if day > d), ZERO)

    # -------------------------------------------------------------------------------------------------------- files

    def files(self, d: date) -> Iterator[Document]:
        """The files of business date `d`: every table and the transactions of each database."""
        for shelf, keyed in list(self._keyed.items()):
            later = [entry for entry in keyed if entry[0] > d]
            if later:
                self._keyed[shelf] = later
            else:
                del self._keyed[shelf]
        self._reprice(d)
        for database in sorted(self._sites):
            folder = f"{SYSTEM}/{d:%Y%m%d}/db{database}"
            for name, (content, count) in self._tables(database, d):
                yield Document(SYSTEM, name, f"{folder}/{name}.txt", content, count, d, is_snapshot=True)
            yield self._transaction_file(database, d, folder)
        yield from self._reruns.pop(d, ())

    def _tables(self, database: int, d: date) -> Iterator[tuple[str, tuple[bytes, int]]]:
        """The tables of the evening; what did not change since it was written is taken again."""
        averages = self._averages(database)
        yield "ITEM", table("ITEM", self._items(database, averages))
        yield "ITEM_VEND", self._same(database, "ITEM_VEND", self._item_vendors)
        yield "ITEM_VEND_PKG", self._same(database, "ITEM_VEND_PKG", self._packages)
        yield "ITEM_VEND_PKG_FACTOR", self._same(database, "ITEM_VEND_PKG_FACTOR", self._package_factors)
        yield "ITEM_CORP_ACCT", table("ITEM_CORP_ACCT", self._patient_charges(database, averages))
        yield "SLOC_ITEM", table("SLOC_ITEM", self._stock(database, d))
        yield "LOC", self._same(database, "LOC", self._locations)
        yield "VEND", self._same(database, "VEND", self._vendors)
        yield "MFR", self._same(database, "MFR", self._makers)
        yield "CONTRACT", self._same(database, "CONTRACT", self._contract_rows)
        yield "CORP", self._same(database, "CORP", self._corporations)
        yield "CODE_TABLE", self._same(database, "CODE_TABLE", self._codes)

    def _same(self, database: int, name: str, rows: Callable[[int], Iterable[Row]]) -> tuple[bytes, int]:
        if (database, name) not in self._static:
            self._static[database, name] = table(name, (row_text(name, row) for row in rows(database)))
        return self._static[database, name]

    def _line(self, name: str, key: tuple[object, ...], state: object, row: Callable[[], Row]) -> str:
        """The line of a key; it is written anew where `state`, what it is made of, is another than before."""
        known = self._lines.get((name, *key))
        if known is None or known[0] != state:
            known = self._lines[name, *key] = (state, row_text(name, row()))
        return known[1]

    def _transaction_file(self, database: int, d: date, folder: str) -> Document:
        """The transactions of an evening, with the faults of its trailer and what is sent again."""
        rows = [values for _, values in sorted(self._details.pop((database, d), []), key=lambda entry: entry[0])]
        right = Trailer(len(rows), sum((_quantity(values) for values in rows), ZERO))
        name = f"TXN{d:%y%m%d}.DAT"
        following = d + timedelta(days=1)
        again = Document(
            SYSTEM,
            "TXN",
            f"{SYSTEM}/{following:%Y%m%d}/db{database}/{name}",
            transactions(database, d, 2, rows, right),
            len(rows),
            following,
        )
        fault = self._wrong_trailers.get((database, d))
        shown: Trailer | None = right
        if fault in ("count", "hash"):
            self.plan.note("INT-02", f"feed=mmis.TXN|date={d}|file={name}", "SYS", False, fault)
        if fault == "count":
            shown = Trailer(len(rows) - 1, right.quantity)
        elif fault == "hash":
            shown = Trailer(len(rows), right.quantity + 1)
        elif fault == "none":
            shown = None
        if fault == "none" or self.plan.quirk("Q72", database, d, share=RERUN_SHARE):
            self._reruns[following].append(again)
        return Document(
            SYSTEM,
            "TXN",
            f"{folder}/{name}",
            transactions(database, d, 1, rows, shown),
            len(rows) if shown is not None else 0,  # without its trailer a file does not count as delivered
            d,
            stated_rows=shown.rows if shown is not None else 0,
            total_matches=shown is None or shown.quantity == right.quantity,
            is_truncated=shown is None,
        )

    def _plan_trailers(self) -> None:
        """Q71, a defect: one file of a quarter has a wrong trailer, or none and is sent again the next evening."""
        if not (self.plan.defects and self.plan.shows("Q71")):
            return
        last = self.world.end - timedelta(days=4)
        quarters: dict[tuple[int, int], list[date]] = defaultdict(list)
        day = self.world.start + timedelta(days=3)
        while day <= last:
            quarters[day.year, (day.month - 1) // 3].append(day)
            day += timedelta(days=1)
        for quarter, days in quarters.items():
            stream = self.chance.stream("wrong trailer", *quarter)
            # On a weekday there is always something in the file.
            busy = [day for day in days if 0 < day.weekday() < 5]
            if busy:
                place = (stream.pick(sorted(self._sites)), stream.pick(busy))
                self._wrong_trailers[place] = stream.pick(("count", "hash", "none"))

    # ------------------------------------------------------------------------------------------------------- masters

    def _numbered(self, database: int) -> Iterator[tuple[Item, str]]:
        for item in self.world.items.values():
            number = item.mmis_no if database == 1 else item.mmis_east_no
            if number is not None:
                yield item, number

    def _item_id(self, database: int, item: Item) -> int:
        return 5000 + mirrored(database, item.key, self._top)

    def _items(self, database: int, averages: Mapping[int, Decimal]) -> Iterator[str]:
        if database not in self._masters:
            self._masters[database] = list(self._item_masters(database))
        for item, row in self._masters[database]:
            cost = averages.get(item.key, item.price_each)
            yield self._line("ITEM", (database, item.key), cost, partial(_with_cost, row, cost))

    def _item_masters(self, database: int) -> Iterator[tuple[Item, Row]]:
        """Items with what never changes of their rows."""
        for item, number in self._numbered(database):
            stream = self.chance.stream("materials item", item.key)
            row: dict[str, Value] = {
                "ITEM_ID": self._item_id(database, item),
                "ITEM_IDB": database,
                "ITEM_NO": number,
                "DESCR": self._description(database, item),
                "DESCR1": f"SURG {item.description}"[:60],
                "DESCR2": f"NUR {item.description}"[:60],
                "CTLG_NO": item.catalogue_number[:MATERIALS_CATALOGUE],
                "MFR_ID": self._maker_id(database, item.manufacturer_id),
                "MFR_IDB": database,
                "COMDTY_CD": COMMODITIES[item.item_class] if stream.flag(0.6) else f"L{item.usage_class[:3].upper()}",
                "LATEX_IND": stream.pick(("N", "N", "N", "U", "Y")),
                "STAT": stream.pick((1, 1, 1, 2)) if item.is_active else 9,
                "GENERIC_CD": item.usage_class[:8].upper(),
                "IMPORT_STATUS": 0,
                "STOCK_UM_CD": unit_key(database, "EA"),
            }
            yield item, row

    def _description(self, database: int, item: Item) -> str:
        """Q75: pipes, and quotes that only cp1252 has."""
        text = item.description
        if self.plan.quirk("Q75", database, item.key):
            text = f"{text} | \u201cSTERILE\u201d \u2013 NURSE\u2019S CHOICE"
        return text

    def _averages(self, database: int) -> dict[int, Decimal]:
        """Moving average of each item: in database 2 that of the storeroom's ITEMLOC, else over all shelves."""
        quantity: dict[int, Decimal] = defaultdict(Decimal)
        value: dict[int, Decimal] = defaultdict(Decimal)
        averages: dict[int, Decimal] = {}
        for site in self._sites[database]:
            for held in self.stock.holdings.positions(site.code):
                if database == 2:
                    if held.location_id == f"{site.code}-STR" or held.item_key not in averages:
                        averages[held.item_key] = held.average
                    continue
                quantity[held.item_key] += held.quantity
                value[held.item_key] += held.value
        for key, each in quantity.items():
            if each > 0 and value[key] > 0:
                averages[key] = (value[key] / each).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        return averages

    def _maker_id(self, database: int, manufacturer_id: str) -> int:
        return 700 + mirrored(database, int(manufacturer_id[3:]), len(self.world.manufacturers))

    def _vendor_id(self, database: int, supplier_id: str) -> int:
        return vendor_id(database, supplier_id, len(self.world.suppliers))

    def _contract_id(self, database: int, contract_number: str) -> int:
        return 40 + mirrored(database, self._contracts[contract_number], len(self._contracts))

    def _offers(self, database: int) -> Iterator[tuple[int, Item, Site, str, int]]:
        """Who sells an item to a hospital: id of the vendor item, rank 1 for the usual supplier."""
        for item, _ in self._numbered(database):
            maker = self.world.manufacturers[item.manufacturer_id].supplier_id
            sellers = [item.supplier_id] if item.supplier_id == maker else [item.supplier_id, maker]
            for corp, site in enumerate(self._sites[database]):
                for rank, supplier_id in enumerate(sellers, start=1):
                    offer = mirrored(database, item.key, self._top) * 10 + corp * 2 + rank
                    yield offer, item, site, supplier_id, rank

    def _item_vendors(self, database: int) -> Iterator[Row]:
        for offer, item, site, supplier_id, rank in self._offers(database):
            contract = item.contract_number if rank == 1 else None
            yield {
                "ITEM_VEND_ID": offer,
                "ITEM_VEND_IDB": database,
                "ITEM_ID": self._item_id(database, item),
                "ITEM_IDB": database,
                "VEND_ID": self._vendor_id(database, supplier_id),
                "VEND_IDB": database,
                "CORP_ID": _corp(site),
                "CORP_IDB": database,
                "SEQ_NO": rank,
                "ORDER_UM_CD": unit_key(database, item.buy_uom),
                "CONTRACT_ID": self._contract_id(database, contract) if contract else None,
            }

    def _packages(self, database: int) -> Iterator[Row]:
        """Prices of every package; the largest number is the lowest unit."""
        for offer, item, _, supplier_id, _ in self._offers(database):
            levels = [*reversed(item.packages)]
            each = self._prices.get((item.key, supplier_id), item.price_each)
            for number, package in enumerate(levels, start=1):
                below = levels[number] if number < len(levels) else package
                yield {
                    "ITEM_VEND_ID": offer,
                    "ITEM_VEND_IDB": database,
                    "UM_CD": unit_key(database, package.uom),
                    "TO_UM_CD": unit_key(database, below.uom),
                    "SEQ_NO": number,
                    "PRICE": (each * package.each).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP),
                    "CTLG_NO": item.vendor_catalogue_number[:MATERIALS_CATALOGUE],
                }

    def _reprice(self, d: date) -> None:
        """Take the contract prices per EACH in force, by item and supplier."""
        prices: dict[tuple[int, str], Decimal] = {}
        for line in self.world.contract_lines:
            if line.tier == 1 and line.effective_from <= d and (line.effective_to is None or d <= line.effective_to):
                price = line.price * (1 + (line.markup_pct or ZERO) / 100) / line.each_per_uom
                prices[line.item_key, line.supplier_id] = price.quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        if prices != self._prices:
            self._prices = prices
            for database in self._sites:
                self._static.pop((database, "ITEM_VEND_PKG"), None)

    def factors(self, database: int, item: Item) -> Iterator[tuple[str, str, Decimal]]:
        """Package conversions of an item: levels, self rows and inverse rows, one of them wrong in a rare cycle (Q69).

        An inverse row is kept where eight decimals hold it.
        """
        levels = [*reversed(item.packages)]
        for package in levels:
            yield package.uom, package.uom, Decimal(1)
        for larger, smaller in pairwise(levels):
            factor = larger.each / smaller.each
            yield larger.uom, smaller.uom, factor
            inverse = self._factors.get((database, item.key), 1 / factor)
            if inverse == inverse.quantize(Decimal("0.00000001")):
                yield smaller.uom, larger.uom, inverse

    def _plan_cycles(self, d: date) -> None:
        """Q69, as far as it is a defect: a package cycle that does not multiply to one (MDM-06)."""
        for database, sites in sorted(self._sites.items()):
            for item, number in self._numbered(database):
                is_boxed = len(item.packages) == 2 and item.packages[1].each in (5, 10, 20, 25, 50, 100)
                if not is_boxed or not self.stock.is_carried(sites[0].code, item):
                    continue
                if self.plan.shows("Q69") and self.plan.wants("MDM-06", True, number, variant=f"cycle {database}"):
                    self._factors[database, item.key] = 2 / item.packages[1].each
                    key = f"system=mmis|item={number}-{database}|from={item.packages[1].uom}|to=EA"
                    self.plan.note("MDM-06", key, "SYS", False, "cycle does not multiply to one")
        for database in sorted(self._sites):
            for item, number in self._numbered(database):
                for larger, smaller, factor in self.factors(database, item):
                    self.world.package_factors.append(
                        PackageFactor(SYSTEM, f"{number}-{database}", larger, smaller, factor)
                    )

    def _package_factors(self, database: int) -> Iterator[Row]:
        for offer, item, _, _, _ in self._offers(database):
            for larger, smaller, factor in self.factors(database, item):
                yield {
                    "ITEM_VEND_ID": offer,
                    "ITEM_VEND_IDB": database,
                    "UM_CD": unit_key(database, larger),
                    "TO_UM_CD": unit_key(database, smaller),
                    "TO_QTY": factor,
                }

    def _patient_charges(self, database: int, averages: Mapping[int, Decimal]) -> Iterator[str]:
        """Charge codes by hospital; the price follows the cost without a word (Q73)."""
        for item, _ in self._numbered(database):
            if item.charge_code is None:
                continue
            cost = averages.get(item.key, item.price_each)
            known = self._priced.setdefault((database, item.key), cost)
            if not self.plan.shows("Q73"):
                cost = known
            for site in self._sites[database]:
                charged = partial(self._patient_charge, database, site, item, cost)
                yield self._line("ITEM_CORP_ACCT", (site.code, item.key), cost, charged)

    def _patient_charge(self, database: int, site: Site, item: Item, cost: Decimal) -> Row:
        return {
            "ITEM_ID": self._item_id(database, item),
            "ITEM_IDB": database,
            "CORP_ID": _corp(site),
            "CORP_IDB": database,
            "PAT_CHRG_NO": item.charge_code,
            "PAT_CHRG_PRICE": self._marked_up(cost),
        }

    def _marked_up(self, cost: Decimal) -> Decimal:
        """Cost by the tiers of the mark-up table."""
        for tier in self.world.reference["MARKUP_TIER"]:
            if Decimal(tier["cost_from"]) <= cost and (not tier["cost_to"] or cost < Decimal(tier["cost_to"])):
                price = cost * Decimal(tier["multiplier"])
                if tier["floor_price"]:
                    price = max(price, Decimal(tier["floor_price"]))
                if tier["ceiling_price"]:
                    price = min(price, Decimal(tier["ceiling_price"]))
                return price.quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        raise ValueError(f"no mark-up tier for a cost of {cost}")

    def _stock(self, database: int, d: date) -> Iterator[str]:
        """Balances when the tables are taken, 30 to 90 minutes after the last transaction of the file (Q76)."""
        for site in self._sites[database]:
            for location, item, owner, quantity in self.stock.shelves(site.code):
                shelf = (location.location_id, self.stock.number(site.code, item), owner)
                level = self.stock.holdings.level(location.location_id, item.key)
                counted = self.stock.counts.counted_at(location.location_id, item)
                balance = Balance(quantity - self.not_yet(shelf, d), level, counted.date() if counted else None)
                row = partial(self._shelf_row, database, location, item, owner, balance)
                yield self._line("SLOC_ITEM", shelf, balance, row)

    def _shelf_row(self, database: int, location: Location, item: Item, owner: str, balance: Balance) -> Row:
        level = balance.level
        return {
            "LOC_ID": location.mmis_id,
            "LOC_IDB": database,
            "ITEM_ID": self._item_id(database, item),
            "ITEM_IDB": database,
            "QTY": balance.quantity,
            "UM_CD": unit_key(database, "EA"),
            "PAR_QTY": level.maximum if level else None,
            "REORDER_PT": level.reorder if level else None,
            "MAX_QTY": level.maximum if level else None,
            "PAT_CHRG_NO": item.charge_code if item.key % 40 == 0 else None,
            "CONSIGN_IND": "Y" if owner == "CONSIGNED" else "N",
            "LAST_COUNT_DT": balance.counted_on,
        }

    def _locations(self, database: int) -> Iterator[Row]:
        for site in self._sites[database]:
            for location in self.world.site_locations(site.code):
                suffix = location.location_id.rpartition("-")[2]
                yield {
                    "LOC_ID": location.mmis_id,
                    "LOC_IDB": database,
                    "CORP_ID": _corp(site),
                    "CORP_IDB": database,
                    "LOC_NO": location.mmis_no,
                    "NAME": f"{site.name} {suffix}",
                    "LOC_TYPE": LOCATION_TYPES.get(location.location_type, suffix),
                    "PERPETUAL_IND": "Y" if location.is_perpetual else "N",
                    "DEPT_NO": location.department,
                }

    def _vendors(self, database: int) -> Iterator[Row]:
        for supplier in self.world.suppliers.values():
            yield {
                "VEND_ID": self._vendor_id(database, supplier.supplier_id),
                "VEND_IDB": database,
                "VEND_NO": supplier.lawson_no if database == 1 else f"V{int(supplier.supplier_id[3:]) * 4:04d}",
                "NAME": supplier.name.upper() if database == 2 else supplier.name,
                "LEAD_DAYS": 3,
                "VEND_GRP": supplier.role[:4],
                "STAT": 1,
            }

    def _makers(self, database: int) -> Iterator[Row]:
        for maker in self.world.manufacturers.values():
            yield {
                "MFR_ID": self._maker_id(database, maker.manufacturer_id),
                "MFR_IDB": database,
                "NAME": maker.name if database == 1 else maker.aliases[0],
            }

    def _contract_rows(self, database: int) -> Iterator[Row]:
        for number in self._contracts:
            yield {
                "CONTRACT_ID": self._contract_id(database, number),
                "CONTRACT_IDB": database,
                "CONTRACT_NO": number,
                "EXPIRE_DT": MASTERS_SINCE.replace(year=MASTERS_SINCE.year + 5),
            }

    def _corporations(self, database: int) -> Iterator[Row]:
        for site in self._sites[database]:
            yield {"CORP_ID": _corp(site), "CORP_IDB": database, "NAME": site.name}

    @staticmethod
    def _codes(database: int) -> Iterator[Row]:
        for uom, (_, name) in UNITS.items():
            yield {"IDB": database, "TYPE_CD": "UM", "CODE": unit_key(database, uom), "DESCR": name}
        for code, name in TYPE_NAMES.items():
            yield {"IDB": database, "TYPE_CD": "TX", "CODE": code, "DESCR": name}
        for code, name in REASONS.items():
            yield {"IDB": database, "TYPE_CD": "RS", "CODE": code, "DESCR": name}


def _with_cost(row: Row, cost: Decimal) -> Row:
    return {**row, "AVG_COST": cost}


def _corp(site: Site) -> int:
    return int((site.mmis_corp or "").partition("-")[0])


def _quantity(values: Mapping[str, Field]) -> Decimal:
    quantity = values["QTY"]
    assert isinstance(quantity, Decimal)
    return quantity
