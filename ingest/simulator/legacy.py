"""Rows of the legacy ERP: every extract of erp_lawson but the journals and balances.

Here: masters, agreements, inventory transactions and balances, purchasing and payables documents as Lawson tables show
them, with their quirks (Q78 to Q94).
Not here: GLTRANS and GLAMOUNTS (ledger), what the documents are (purchasing), file writing (delivery).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from ingest.simulator.accounts import (
    ACCOUNTS,
    BY_ROLE,
    CDC_COMPANY,
    DEPARTMENT_NAMES,
    SPLIT_DEPARTMENT,
    SPLIT_DIGIT,
    acct_unit,
    legacy_account,
    month_end,
    site_acct_unit,
)
from ingest.simulator.delivery import Outbox, Row, contract
from ingest.simulator.desk import CHICAGO, Desk, at, po_text, vendor_text
from ingest.simulator.documents import (
    ZERO,
    Hold,
    InvoiceDocument,
    Order,
    OrderLine,
    PaymentDocument,
    Receipt,
    Requisition,
    RequisitionLine,
)
from ingest.simulator.events import InventoryRow, Item, Movement, PackageFactor, Site
from ingest.simulator.former_suppliers import inactive_from
from ingest.simulator.new_units import new_units
from ingest.simulator.plan import DefectPlan
from ingest.simulator.receiving import Receiving
from ingest.simulator.transfers import Transfers

SYSTEM = "erp_lawson"
GROUP = "SHS"
EMPTY_DATES = ("17530101", "17000101", "0")
CATEGORIES = {"SUPPLY": "MEDS", "IMPLANT": "IMPL", "INSTRUMENT": "OTHR"}
ITEM_TYPES = {"stock": "I", "nonstock": "N", "bill_only": "X", "bill_and_replace": "X", "service": "S"}
ORDER_SEQUENCE = {"REG": 1, "BO": 2, "BR": 3, "SVC": 4}
MESSAGES = {"COST": "COST", "QTY": "QTY", "NOREC": "NOREC"}
DISTRIBUTION_TYPES = {"ACCRUAL": "ITEM", "ITEM": "ITEM", "IPV": "PPV", "FREIGHT": "FRT", "TAX": "TAX", "TOL": "TOL"}
WAITING_EVENTS = ("E09", "E10")
MONTH_END_SHARE = 0.4
FIRST_DAY = date(2024, 10, 1)


def waits_for_posting(plan: DefectPlan, event: str | None, txn_id: str, posted: date) -> bool:
    """Whether an issue is still unposted when the night's extract runs (Q91).

    Over a month end it is posted outside its period, which is a defect (GL-07).
    """
    if event not in WAITING_EVENTS:
        return False
    if posted == month_end(posted):
        return plan.defects and plan.quirk("Q91", "month end", txn_id, share=MONTH_END_SHARE)
    return plan.quirk("Q91", txn_id)


def other_sides(movements: Iterable[Movement]) -> dict[str, str]:
    """Location at the other end of each half of a transfer."""
    halves = {movement.txn_id: movement for movement in movements if movement.event == "E14"}
    ends: dict[str, str] = {}
    for movement in halves.values():
        if movement.pair_txn_id in halves:
            other = halves[movement.pair_txn_id]
            ends[movement.txn_id], ends[other.txn_id] = other.location_id, movement.location_id
    return ends


def hhmm(moment: datetime) -> int:
    """HHMM as a number, leading zeros lost (Q80)."""
    local = moment.astimezone(CHICAGO)
    return local.hour * 100 + local.minute


def static(rows: Callable[[], Iterable[Row]]) -> Callable[[date], list[Row] | None]:
    """A snapshot that never changes: its rows once, then nothing new."""
    given: list[bool] = []

    def once(_: date) -> list[Row] | None:
        if given:
            return None
        given.append(True)
        return list(rows())

    return once


class LegacyErp:
    """Writes what happens at the sites of the legacy ERP."""

    def __init__(self, desk: Desk, receiving: Receiving) -> None:
        self.desk = desk
        self.receiving = receiving
        self.sites = desk.world.sites_of(SYSTEM)
        self._moved = 0
        self._converted = 0
        self._late: list[Movement] = []
        self._unposted: list[Movement] = []
        self._other_sides: dict[str, str] = {}
        self._documents: dict[tuple[str, date], int] = {}
        self._shown_received: dict[tuple[str, int], Decimal] = {}
        self._lagging: dict[tuple[str, int], OrderLine] = {}
        self._received_today: dict[tuple[str, int], OrderLine] = {}
        self._issue_costs: dict[tuple[str, int], tuple[date, Decimal]] = {}
        self._shown_balances: dict[tuple[str, int], tuple[tuple[object, ...], tuple[str, ...]]] = {}
        self.transfers: Transfers | None = None
        self._new_units = new_units(desk.world, desk.plan, desk.chance)

    # ------------------------------------------------------------------------------------------------------- opening

    def opening(self, d: date) -> None:
        """Register the snapshots."""
        outbox = self.desk.outbox
        for extract, rows in (
            ("ITEMMAST", self._items_on),
            ("ICMANFCODE", static(self._manufacturers)),
            ("ITEMSRC", static(self._sources)),
            ("ICLOCATION", static(self._locations)),
            ("ICCATEGORY", static(self._categories)),
            ("RQLOC", static(self._request_locations)),
            ("POVAGRMTHD", static(self._agreements)),
            ("POVAGRMTLN", static(self._agreement_lines)),
            ("APVENMAST", self._vendors_on),
            ("APVENLOC", static(self._vendor_locations)),
            ("GLCHARTDTL", static(self._chart)),
            ("GLNAMES", static(self._units)),
            ("ITEMLOC", self._balances),
        ):
            outbox.snapshot(SYSTEM, extract, rows)

    def _empty(self, *key: object) -> str:
        return self.desk.chance.stream("empty date", *key).pick(EMPTY_DATES)

    def _vendor(self, table: str, number: str) -> str:
        """VENDOR, right-justified; in joined tables left-justified for some vendors (Q78)."""
        if table != "APVENMAST" and self.desk.plan.quirk("Q78", table, number, share=0.08):
            return number.strip().ljust(9)
        return vendor_text(number)

    def _emit(self, extract: str, row: Row, moment: datetime) -> None:
        self.desk.outbox.emit(SYSTEM, extract, row, moment)

    # ------------------------------------------------------------------------------------------------------- masters

    def _items_on(self, d: date) -> list[Row] | None:
        """The item master of the folder after `d`, when it is the first or differs from the one before."""
        folder = d + timedelta(days=1)
        changes = {
            since for item in self.desk.world.items.values() for erp, since in item.inactive_since if erp == SYSTEM
        }
        if folder > self.desk.world.start and folder not in changes:
            return None
        return list(self._items(folder))

    def _items(self, folder: date) -> Iterator[Row]:
        world = self.desk.world
        numbered = [
            (number, item)
            for item in world.items.values()
            for number in (item.legacy_no, *item.legacy_alias_nos)
            if number
        ]
        for number, item in sorted(numbered, key=lambda entry: entry[0]):
            larger = [package for package in item.packages if package.each != 1]
            if folder == world.start:
                for package in larger[:2]:
                    factor = PackageFactor(SYSTEM, number.lstrip("0"), package.uom, "EA", package.each)
                    world.package_factors.append(factor)
            stream = self.desk.chance.stream("legacy item", number)
            yield {
                "ITEM_GROUP": GROUP,
                "ITEM": number.ljust(32),
                "DESCRIPTION": item.description[:30],
                "DESCRIPTION2": item.description[30:60],
                "STOCK_UOM": "EA",
                "MANUF_CODE": world.manufacturers[item.manufacturer_id].lawson_code,
                "MANUF_NBR": item.catalogue_number,
                "ACTIVE_STATUS": "A" if item.is_active_in(SYSTEM, folder) else "I",
                "CONSIGNMENT_FL": "Y" if item.stock_class == "CONSIGN" else "N",
                "GENERIC": "",
                "PURCH_MAJCL": CATEGORIES[item.item_class],
                "UNSPSC": "",
                "HAZARD_CD": "",
                "USER_FIELD1": self._overloaded(item, stream.integer(0, 9)),
                "USER_FIELD2": item.hibc or "",
                "ALT_UOM_01": larger[0].uom if larger else "",
                "ALT_UOM_CONV_01": larger[0].each if larger else ZERO,
                "ALT_UOM_02": larger[1].uom if len(larger) > 1 else "",
                "ALT_UOM_CONV_02": larger[1].each if len(larger) > 1 else ZERO,
                "ADD_DATE": item.created_on or FIRST_DAY,
            }

    @staticmethod
    def _overloaded(item: Item, choice: int) -> str:
        """USER_FIELD1 means something else everywhere (Q86)."""
        if item.stock_class == "CONSIGN":
            return "C"
        if item.item_class == "IMPLANT":
            return "IMP"
        return "LATEX FREE" if choice == 0 else ""

    def _manufacturers(self) -> Iterator[Row]:
        for maker in self.desk.world.manufacturers.values():
            yield {"MANUF_CODE": maker.lawson_code, "DESCRIPTION": maker.name[:30]}

    def _places(self, site: Site) -> list[tuple[str, str, bool, str]]:
        """Locations that the ERP knows: code, conformed id, asset, department."""
        coded = [(location.code_in(SYSTEM), location) for location in self.desk.world.site_locations(site.code)]
        return [
            (code, location.location_id, location.is_asset, location.department) for code, location in coded if code
        ]

    def _locations(self) -> Iterator[Row]:
        for site in self.sites:
            for code, location_id, asset, _ in self._places(site):
                yield {
                    "COMPANY": site.company,
                    "LOCATION": code,
                    "NAME": f"{site.name} {location_id.split('-')[-1]}"[:30],
                    "ACTIVE_STATUS": "A",
                    "ASSET_FL": "Y" if asset else "N",
                }

    def _categories(self) -> Iterator[Row]:
        for site in self.sites:
            assert site.company is not None
            for code, _, _, department in self._places(site):
                for category in ("MEDS", "IMPL", "OTHR"):
                    role = "IMPLANT_EXP" if category == "IMPL" else "SUPPLY_EXP"
                    yield {
                        "COMPANY": site.company,
                        "LOCATION": code,
                        "GL_CATEGORY": category,
                        "INV_ACCT_UNIT": acct_unit(site.company, "0000"),
                        "INV_ACCOUNT": 130100,
                        "ISS_ACCOUNT": legacy_account(role, department, "")[0],
                        "ADJ_ACCOUNT": 611000,
                        "EXP_ACCOUNT": 611100,
                    }

    def _request_locations(self) -> Iterator[Row]:
        for site in self.sites:
            assert site.company is not None
            store = next((code for code, name, _, _ in self._places(site) if name.endswith("-STR")), "")
            shown: dict[str, str | int | Decimal | date | None] = {
                "COMPANY": site.company,
                "FROM_LOCATION": store,
                "ACTIVE_STATUS": "A",
            }
            for department in site.departments:
                if department != "0000":
                    yield {
                        **shown,
                        "REQ_LOCATION": f"D{department}",
                        "NAME": DEPARTMENT_NAMES[department],
                        "ISS_ACCT_UNIT": acct_unit(site.company, department),
                    }
            for code, location_id, _, department in self._places(site):
                yield {
                    **shown,
                    "REQ_LOCATION": code,
                    "NAME": location_id,
                    "ISS_ACCT_UNIT": acct_unit(site.company, department or "8020"),
                }

    def _sources(self) -> Iterator[Row]:
        world = self.desk.world
        for site in self.sites:
            codes = {location_id: code for code, location_id, _, _ in self._places(site)}
            held = self.desk.stock.holdings.quantities(site.code) if world.sites[site.code].erp == SYSTEM else ()
            for location_id, item_key, _ in held:
                item = world.items[item_key]
                number = world.suppliers[item.supplier_id].lawson_no
                moved = self.transfers is not None and self.transfers.covers(world.locations[location_id], item)
                if item.legacy_no and (number or moved) and location_id in codes:
                    yield {
                        "COMPANY": site.company,
                        "LOCATION": codes[location_id],
                        "ITEM": item.legacy_no,
                        "REPLENISH_PRI": 1,
                        "VENDOR": "" if moved or not number else self._vendor("ITEMSRC", number),
                        "REPL_FROM_CMPY": CDC_COMPANY if moved else 0,
                        "REPL_FROM_LOC": "CDC" if moved else "",
                    }

    def _agreements(self) -> Iterator[Row]:
        seen: set[str] = set()
        ends: dict[str, list[date | None]] = {}
        for line in self.desk.world.contract_lines:
            ends.setdefault(line.contract_number, []).append(line.effective_to)
        for line in self.desk.world.contract_lines:
            vendor = self.desk.world.suppliers[line.supplier_id].lawson_no
            if line.contract_number in seen or not vendor or not self._applies(line.roster):
                continue
            seen.add(line.contract_number)
            dates = [end for end in ends[line.contract_number] if end is not None]
            is_ended = len(dates) == len(ends[line.contract_number])
            yield {
                "PROCURE_GROUP": GROUP,
                "VEN_AGRMT_REF": line.contract_number,
                "AGMT_TYPE": line.contract_type,
                "VENDOR": vendor_text(vendor),
                "EFFECTIVE_DT": FIRST_DAY,
                "EXPIRE_DT": max(dates) if is_ended else self._empty("agreement", line.contract_number),
                "HOLD_FLAG": "N",
                "PRIORITY": line.priority or 0,
            }

    @staticmethod
    def _applies(roster: tuple[tuple[str, date | None], ...]) -> bool:
        """Whether anybody signed it: agreements are of the one procurement group, whichever sites may buy on them."""
        return any(signed is not None for _, signed in roster)

    def _agreement_lines(self) -> Iterator[Row]:
        world = self.desk.world
        numbers: dict[str, int] = {}
        for line in world.contract_lines:
            vendor = world.suppliers[line.supplier_id].lawson_no
            item = world.items[line.item_key]
            if not vendor or not self._applies(line.roster):
                continue
            numbers[line.contract_number] = numbers.get(line.contract_number, 0) + 1
            price = line.price
            if line.price_type == "COST_PLUS" and line.markup_pct is not None:
                price = (price * (1 + line.markup_pct / 100)).quantize(Decimal("0.00001"))
            yield {
                "PROCURE_GROUP": GROUP,
                "VEN_AGRMT_REF": line.contract_number,
                "LINE_NBR": numbers[line.contract_number],
                "VENDOR": self._vendor("POVAGRMTLN", vendor),
                "ITEM": item.legacy_no or "",
                "VEN_ITEM": line.vendor_catalogue_number,
                "UOM": line.uom,
                "UOM_MULT": line.each_per_uom,
                "CURR_NET_CST": price,
                "PRIORITY": line.priority or 0,
                "HOLD_FLAG": "Y" if line.is_on_hold else "N",
                "EFFECTIVE_DT": line.effective_from,
                "EXPIRE_DT": line.effective_to or self._empty("agreement line", line.contract_number, line.item_key),
            }

    def _vendors_on(self, d: date) -> list[Row] | None:
        """The vendor master, anew on days on which a vendor was closed."""
        closed = {closure.known_at.date() for closure in self.desk.world.supplier_closures if closure.erp == SYSTEM}
        return list(self._vendors(d)) if d < self.desk.world.start or d in closed else None

    def _vendors(self, d: date) -> Iterator[Row]:
        for supplier in self.desk.world.suppliers.values():
            if supplier.lawson_no:
                yield {
                    "VENDOR_GROUP": GROUP,
                    "VENDOR": vendor_text(supplier.lawson_no),
                    "VENDOR_VNAME": supplier.name[:30],
                    "VENDOR_STATUS": "I"
                    if inactive_from(self.desk.world, SYSTEM, supplier.supplier_id, "supplier", d)
                    else "A",
                    "TAX_ID": self._tax_id(supplier.parent_supplier_id or supplier.supplier_id),
                    "EDI_NBR": supplier.duns,
                    "TERM_CODE": f"N{supplier.terms_days}",
                    "INVOICE_HOLD": "N",
                    "ERS_FL": "Y" if supplier.is_ers else "N",
                    "ADD_DATE": FIRST_DAY,
                }

    def _tax_id(self, family: str) -> str:
        stream = self.desk.chance.stream("tax id", family)
        return f"{stream.integer(10, 98)}-{stream.integer(1000000, 9999999)}"

    def _vendor_locations(self) -> Iterator[Row]:
        for supplier in self.desk.world.suppliers.values():
            if supplier.lawson_no:
                stream = self.desk.chance.stream("bank", supplier.supplier_id)
                for code, kind in (("ORD1", "O"), ("REM1", "R")):
                    yield {
                        "VENDOR_GROUP": GROUP,
                        "VENDOR": self._vendor("APVENLOC", supplier.lawson_no),
                        "LOCATION_CODE": code,
                        "LOCATION_TYPE": kind,
                        "NAME": supplier.name[:30],
                        "BANK_ACCT_HASH": f"{stream.integer(0, 16**12):012x}" if kind == "R" else "",
                    }

    def _chart(self) -> Iterator[Row]:
        subs = sorted({unit.sub for unit in self._new_units if unit.sub})
        new_subs = [replace(BY_ROLE["SUPPLY_EXP"], legacy_sub=sub) for sub in subs]
        for account in (*ACCOUNTS, *new_subs):
            if account.legacy_account:
                yield {
                    "CHART_NAME": GROUP,
                    "ACCOUNT": account.legacy_account,
                    "SUB_ACCOUNT": account.legacy_sub,
                    "ACCOUNT_DESC": account.description[:30],
                    "ACTIVE_STATUS": "A",
                    "ACCOUNT_TYPE": account.account_type,
                }

    def _units(self) -> Iterator[Row]:
        for site in self.sites:
            assert site.company is not None
            for department in ("0000", *(name for name in site.departments if name != "0000")):
                splits = ("", SPLIT_DIGIT) if department == SPLIT_DEPARTMENT else ("",)
                for split in splits:
                    name = f"{DEPARTMENT_NAMES[department]}{' implants' if split else ''}"
                    yield self._unit(site.company, acct_unit(site.company, department) + split, name)
            for unit in self._new_units:
                if unit.site == site.code and not unit.sub:
                    yield self._unit(site.company, unit.unit, f"{DEPARTMENT_NAMES[unit.department]} new")

    @staticmethod
    def _unit(company: int, unit: str, name: str) -> Row:
        return {
            "COMPANY": company,
            "ACCT_UNIT": unit,
            "DESCRIPTION": name[:30],
            "ACTIVE_STATUS": "A",
            "POSTING_FLAG": "P",
        }

    # --------------------------------------------------------------------------------------------------------- stock

    def _balances(self, d: date) -> list[tuple[str, ...]]:
        """ITEMLOC at the end of the day: issues that wait for their posting are not in it (Q91)."""
        world, stock = self.desk.world, self.desk.stock
        waiting: dict[tuple[str, int], tuple[Decimal, Decimal]] = {}
        for movement in self._unposted:
            quantity, value = waiting.get((movement.location_id, movement.item_key), (ZERO, ZERO))
            waiting[(movement.location_id, movement.item_key)] = (
                quantity - movement.quantity_each,
                value + (movement.erp_amount or ZERO),
            )
        rows: list[tuple[str, ...]] = []
        for site in self.sites:
            codes = {location_id: code for code, location_id, _, _ in self._places(site)}
            for held in stock.holdings.positions(site.code):
                item = world.items[held.item_key]
                if held.location_id not in codes or not item.legacy_no:
                    continue
                place = (held.location_id, held.item_key)
                quantity, value = waiting.get(place, (ZERO, ZERO))
                level = stock.holdings.level(*place)
                last = self._issue_costs.get(place)
                on_order = stock.on_order(*place)
                state = (held.quantity + quantity, held.average, held.value + value, on_order, last)
                known = self._shown_balances.get(place)
                if known is not None and known[0] == state:
                    rows.append(known[1])
                    continue
                row: Row = {
                    "COMPANY": site.company,
                    "LOCATION": codes[held.location_id],
                    "ITEM": item.legacy_no,
                    "SOH_QTY": held.quantity + quantity,
                    "UOM": "EA",
                    "AVERAGE_COST": held.average,
                    "STOCK_VALUE": held.value + value,
                    "ALLOC_QTY": ZERO,
                    "ON_ORDER_QTY": on_order,
                    "REORDER_POINT": level.reorder if level else ZERO,
                    "MAX_ORDER": level.maximum if level else ZERO,
                    "LEADTIME_DAYS": 3,
                    "PREFER_BIN": "",
                    "GL_CATEGORY": CATEGORIES[item.item_class],
                    "LAST_ISS_COST": last[1] if last else ZERO,
                    "LAST_ISSUE_DT": last[0] if last else "17530101",
                    "ACTIVE_STATUS": "A" if item.is_active else "I",
                    "USER_FIELD1": "",
                    "USER_FIELD3": "",
                }
                cells = Outbox.cells(contract(SYSTEM)["ITEMLOC"], row)
                self._shown_balances[place] = state, cells
                rows.append(cells)
        return rows

    def close_day(self, d: date) -> None:
        """Show the day's inventory transactions and the quantities that lag one night (Q87)."""
        for waiting in self._unposted:
            self._transaction(waiting, d, at(d, 23, 50), posted=True, again=True)
        self._unposted = []
        pending = [*self._late, *self.desk.world.movements[self._moved :]]
        self._moved = len(self.desk.world.movements)
        self._other_sides |= other_sides(pending)
        self._late = []
        for movement in pending:
            if movement.erp != SYSTEM:
                continue
            posted = movement.posted_at.astimezone(CHICAGO).date()
            if posted > d:
                self._late.append(movement)
                continue
            waits = waits_for_posting(self.desk.plan, movement.event, movement.txn_id, posted)
            self._transaction(movement, posted, movement.posted_at, posted=not waits)
            if waits:
                self._unposted.append(movement)
        for row in self.desk.world.inventory_rows[self._converted :]:
            if row.erp == SYSTEM:
                self._inventory_row(row)
        self._converted = len(self.desk.world.inventory_rows)
        for key, line in self._lagging.items():
            self._shown_received[key] = line.received
            self.order_line(line, at(d, 23, 40))
        self._lagging = self._received_today
        self._received_today = {}

    def _transaction(
        self, movement: Movement, posted_on: date, moment: datetime, *, posted: bool, again: bool = False
    ) -> None:
        """One ICTRANS row."""
        world = self.desk.world
        site = world.sites[movement.site]
        location = world.locations[movement.location_id]
        item = world.items[movement.item_key]
        code = location.code_in(SYSTEM)
        if not item.legacy_no or not code:
            return
        system, doc_type, reason = self._kind(movement)
        receipt = self.receiving.receipt_of_movement.get(movement.txn_id)
        if receipt is not None:
            document, line = f"{receipt.number:010d}", receipt.line
        elif movement.event == "E16":
            document, line = (movement.ref_doc or "").removeprefix("TO").rjust(10, "0"), movement.ref_line or 1
        else:
            first_posted = movement.posted_at.astimezone(CHICAGO).date()
            document, line = self._document(site, first_posted, movement.txn_id)
        if posted_on.month != movement.happened_at.month:
            self.desk.world.stock_documents[movement.txn_id] = (
                f"{site.company}-{code}-{system}-{doc_type}-{document.lstrip(' 0')}-0-{line}"
            )
        row: dict[str, str | int | Decimal | date | None] = {
            "COMPANY": site.company,
            "LOCATION": code,
            "SYSTEM_CD": system,
            "DOC_TYPE": doc_type,
            "DOCUMENT": document,
            "SHIPMENT_NBR": 0,
            "LINE_NBR": line,
            "ITEM": item.legacy_no,
            "TRANS_DATE": movement.happened_at.date(),
            "ACTUAL_TIME": hhmm(movement.happened_at),
            "UPDATE_DATE": posted_on if posted else self._empty("posted", movement.txn_id),
            "QUANTITY": movement.quantity_uom if movement.quantity_uom is not None else movement.quantity_each,
            "TRAN_UOM": movement.uom,
            "TRAN_UOM_MULT": self._multiplier(movement),
            "UNIT_COST": movement.erp_unit_cost or ZERO,
            "FROM_TO_CMPY": {"E14": site.company, "E16": CDC_COMPANY}.get(movement.event or "", 0),
            "FROM_TO_LOC": self._other_place(movement),
            "REASON_CODE": reason,
            "R_STATUS": 9 if posted else 0,
            "REFERENCE": f"{'P' if site.stock_system == 'pou' else 'M'}{movement.txn_id}",
        }
        if movement.expense_role:
            department = movement.department or "8020"
            account, sub = legacy_account(movement.expense_role, department, movement.event or "")
            row["ACCT_UNIT"] = site_acct_unit(site, movement.expense_role, department)
            row["ACCOUNT"], row["SUB_ACCT"] = account, sub
        self._emit("ICTRANS", row, moment)
        if doc_type == "IS" and movement.quantity_each < 0 and movement.erp_unit_cost is not None and not again:
            self._issue_costs[(movement.location_id, movement.item_key)] = (
                movement.happened_at.date(),
                movement.erp_unit_cost,
            )

    def _inventory_row(self, row: InventoryRow) -> None:
        """One ICTRANS row of a conversion, or of an issue that the cloud has as well (Q121)."""
        world = self.desk.world
        _, location, system, doc_type, document, shipment, line = row.document.split("-")
        shown: Row = {
            "COMPANY": world.sites[row.site].company,
            "LOCATION": location,
            "SYSTEM_CD": system,
            "DOC_TYPE": doc_type,
            "DOCUMENT": document.rjust(10, "0"),
            "SHIPMENT_NBR": int(shipment),
            "LINE_NBR": int(line),
            "ITEM": world.items[row.item_key].legacy_no,
            "TRANS_DATE": row.posted_on,
            "ACTUAL_TIME": hhmm(row.known_at),
            "UPDATE_DATE": row.posted_on,
            "QUANTITY": row.quantity_each,
            "TRAN_UOM": "EA",
            "TRAN_UOM_MULT": Decimal(1),
            "UNIT_COST": row.unit_cost,
            "R_STATUS": 9,
        }
        site = world.site_in(row.site, SYSTEM)
        moved = row.movement
        role = (moved.expense_role if moved is not None else None) or "CONV_CLEARING"
        department = (moved.department if moved is not None else None) or "8020"
        account, sub = legacy_account(role, department, moved.event or "" if moved is not None else "")
        offset: Row = {
            "ACCT_UNIT": site_acct_unit(site, role, department),
            "ACCOUNT": account,
            "SUB_ACCT": sub,
            "REASON_CODE": "CNV" if row.is_conversion else "",
            "REFERENCE": f"P{moved.txn_id}" if moved is not None else "",
        }
        self._emit("ICTRANS", {**shown, **offset}, row.known_at)

    def _other_place(self, movement: Movement) -> str:
        """Other side of a transfer, department of an issue to a cabinet or par area."""
        if movement.event == "E14":
            return self.desk.world.locations[self._other_sides[movement.txn_id]].code_in(SYSTEM) or ""
        if movement.event == "E16":
            return "CDC"
        return f"D{movement.department}" if movement.event == "E10" else ""

    @staticmethod
    def _multiplier(movement: Movement) -> Decimal:
        if movement.quantity_uom is None or movement.quantity_uom == 0:
            return Decimal(1)
        return (movement.quantity_each / movement.quantity_uom).quantize(Decimal("0.0001"))

    def _document(self, site: Site, posted: date, txn_id: str) -> tuple[str, int]:
        """Interface run of the day and the row's place in it; the same row always has the same."""
        key = ("row", site.code, txn_id)
        series = self.desk.series.numbers
        if key not in series:
            series[key] = self._documents.get((site.code, posted), 0) + 1
            self._documents[(site.code, posted)] = series[key]
        return f"{posted:%y%m%d}".rjust(10, "0"), series[key]

    @staticmethod
    def _kind(movement: Movement) -> tuple[str, str, str]:
        """SYSTEM_CD, DOC_TYPE and REASON_CODE (landscape 7.2)."""
        event, reason = movement.event, movement.reason or ""
        if event == "E01":
            return "PO", "RC", ""
        if event == "E07":
            return "PO", "RV", ""
        if event == "E10":
            return "RQ", "IS", ""
        if event == "E14":
            return "IC", "TR", ""
        if event == "E16":
            return "WH", "TR", ""
        if event == "E12":
            return "IC", "AD", reason or "EXP"
        if event == "E13":
            return "IC", "PI", reason or "CNT"
        return "IC", "IS", "WST" if movement.txn_type == "WASTE" else ""

    # -------------------------------------------------------------------------------------------------- requisitions

    def requisition(self, requisition: Requisition, moment: datetime) -> None:
        """REQHEADER, REQLINE and their accounts."""
        company = requisition.site.company
        done = all(line.is_placed for line in requisition.lines)
        self._emit(
            "REQHEADER",
            {
                "COMPANY": company,
                "REQ_NUMBER": requisition.number,
                "REQUESTER": {"POU": "PARINT", "BILLONLY": "ORCOORD"}.get(requisition.source, "DEPT"),
                "REQ_LOCATION": requisition.request_location,
                "CREATION_DATE": requisition.created_at.date(),
                "CREATION_TIME": hhmm(requisition.created_at),
                "APPROVED_DATE": requisition.created_at.date(),
                "STATUS": 9 if done else 1,
            },
            moment,
        )
        for line in requisition.lines:
            self._requisition_line(requisition, line, moment)

    def _requisition_line(self, requisition: Requisition, line: RequisitionLine, moment: datetime) -> None:
        site = requisition.site
        closed = line.is_placed
        self._emit(
            "REQLINE",
            {
                "COMPANY": site.company,
                "REQ_NUMBER": requisition.number,
                "LINE_NBR": line.line,
                "ITEM": line.item.legacy_no if line.item is not None and line.item.legacy_no else "",
                "ITEM_TYPE": ITEM_TYPES[line.kind],
                "DESCRIPTION": line.description[:30],
                "QUANTITY": line.quantity,
                "KILL_QUANTITY": line.quantity if line.is_killed else ZERO,
                "ENTERED_UOM": line.uom,
                "UNIT_COST": line.unit_price,
                "REQ_LOCATION": requisition.request_location,
                "STATUS": 9 if closed else 1,
                "CREATION_DATE": requisition.created_at.date(),
                "CREATION_TIME": hhmm(requisition.created_at),
                "CLOSED_FL": "Y" if closed else "N",
                "SOURCE_REF": line.need_reference or (line.case_text or "").strip(),
            },
            moment,
        )
        role = "INV_ASSET" if line.kind == "stock" else "IMPLANT_EXP" if line.kind.startswith("bill") else "SUPPLY_EXP"
        self._accounts(site, "RQ", requisition.number, line.line, 1, role, line.department, "", None, moment)

    def _accounts(
        self,
        site: Site,
        system: str,
        number: str,
        line: int,
        sequence: int,
        role: str,
        department: str,
        code: str,
        amount: Decimal | None,
        moment: datetime,
    ) -> None:
        account, sub = legacy_account(role, department, "E02")
        self._emit(
            "MMDIST",
            {
                "COMPANY": site.company,
                "SYSTEM_CD": system,
                "DOC_TYPE": "PT" if system == "PO" else "RQ",
                "DOC_NUMBER": number,
                "PO_RELEASE": 0,
                "PO_CODE": code,
                "LINE_NBR": line,
                "LINE_SEQ": sequence,
                "ACCT_UNIT": site_acct_unit(site, role, department),
                "ACCOUNT": account,
                "SUB_ACCT": sub,
                "DIST_PERCENT": Decimal(100),
                "DIST_AMOUNT": amount if amount is not None else ZERO,
            },
            moment,
        )

    # -------------------------------------------------------------------------------------------------------- orders

    def order(self, order: Order, moment: datetime) -> None:
        """PURCHORDER."""
        place = next((line.destination.erp_code for line in order.lines if line.destination is not None), "")
        stream = self.desk.chance.stream("order", order.po_key)
        self._emit(
            "PURCHORDER",
            {
                "COMPANY": order.site.company,
                "PO_NUMBER": po_text(order.number),
                "PO_RELEASE": 0,
                "PO_CODE": order.code,
                "PO_DATE": order.order_date,
                "VENDOR": self._vendor("PURCHORDER", order.supplier_no),
                "PURCH_FR_LOC": "ORD1",
                "BUYER_CODE": stream.pick(("B01", "B02", "B03")),
                "LOCATION": place or "",
                "ISSUE_DATE": order.order_date,
                "ISSUE_METHOD": stream.weighted((("E", 0.85), ("F", 0.1), ("M", 0.05))),
                "CLOSED_FL": "Y" if order.is_closed else "N",
                "CLOSE_DATE": order.closed_at.date() if order.closed_at else self._empty("order", order.po_key),
                "TOTAL_AMOUNT": sum((line.amount for line in order.lines), ZERO),
            },
            moment,
        )

    def order_line(self, line: OrderLine, moment: datetime) -> None:
        """POLINE, with its source and account."""
        order, item = line.order, line.item
        key = (order.po_key, line.line)
        if line.received != self._shown_received.get(key, ZERO) and key not in self._lagging:
            self._received_today[key] = line
        shown = (order.po_key, line.line, "shown") in self.desk.series.numbers
        if shown and order.po_type == "service" and not line.is_closed:
            return  # matching an invoice to an amount changes nothing of the line
        kind = line.requisition_line.kind if line.requisition_line else "service"
        end = order.end_date or line.promised_on or order.order_date
        self._emit(
            "POLINE",
            {
                "COMPANY": order.site.company,
                "PO_NUMBER": po_text(order.number),
                "PO_RELEASE": 0,
                "PO_CODE": order.code,
                "LINE_NBR": line.line,
                "ITEM": item.legacy_no if item is not None and item.legacy_no else "",
                "ITEM_TYPE": ITEM_TYPES[kind],
                "DESCRIPTION": line.description[:30],
                "QUANTITY": line.quantity,
                "ENT_UNIT_CST": line.unit_price,
                "ENT_BUY_UOM": line.uom,
                "EBUY_UOM_MULT": line.each_per_uom if line.multiplier_shown is None else line.multiplier_shown,
                "REC_QTY": self._shown_received.get(key, ZERO),
                "CXL_QTY": line.cancelled,
                "MATCHED_QTY": line.invoiced if kind != "service" else ZERO,
                "AGREEMENT_REF": line.contract_number or "",
                "VEN_ITEM": line.vendor_catalogue_number or "",
                "LOCATION": line.destination.erp_code if line.destination is not None else "",
                "EARLY_DL_DATE": order.order_date,
                "LATE_DL_DATE": end,
                "REC_ACT_DATE": line.last_received or self._empty("received", *key),
                "CLOSE_DATE": line.closed_at.date() if line.closed_at else self._empty("line", *key),
                "CLOSED_FL": "Y" if line.is_closed else "N",
                "PO_USER_FLD_1": "RUSH" if self.desk.chance.stream("rush", *key).flag(0.03) else "",
                "PO_USER_FLD_2": line.case_text or "",
                "PO_USER_FLD_3": line.lot or "",
                "PO_USER_FLD_4": line.serial or "",
                "PO_USER_FLD_5": line.surgery_date.strftime("%m/%d/%y") if line.surgery_date else "",
            },
            moment,
        )
        if shown:
            return
        self.desk.series.numbers[(order.po_key, line.line, "shown")] = 1
        role = line.expense_role or "INV_ASSET"
        sequence = ORDER_SEQUENCE[order.code]
        self._accounts(
            order.site, "PO", po_text(order.number), line.line, sequence, role, line.department, order.code,
            line.amount, moment,
        )  # fmt: skip
        asked = line.requisition_line
        if asked is not None and asked.requisition is not None:
            self._emit(
                "POLINESRC",
                {
                    "COMPANY": order.site.company,
                    "PO_NUMBER": po_text(order.number),
                    "PO_RELEASE": 0,
                    "PO_CODE": order.code,
                    "LINE_NBR": line.line,
                    "SRC_SEQ": 1,
                    "SOURCE_DOC_N": asked.requisition.number,
                    "SRC_LINE_NBR": asked.line,
                    "REQ_LOCATION": asked.requisition.request_location,
                    "OPER_COMPANY": order.site.company,
                    "QUANTITY": line.quantity,
                },
                moment,
            )

    # ------------------------------------------------------------------------------------------------------ receipts

    def receipt(self, receipt: Receipt, moment: datetime) -> None:
        """PORECEIVE and PORECLINE."""
        line = receipt.order_line
        order = line.order
        company = order.site.company
        stream = self.desk.chance.stream("receiver", company, receipt.number)
        self._emit(
            "PORECEIVE",
            {
                "COMPANY": company,
                "REC_NUMBER": receipt.number,
                "PO_NUMBER": po_text(order.number),
                "PO_RELEASE": 0,
                "PO_CODE": order.code,
                "REC_DATE": receipt.receipt_date,
                "VENDOR": self._vendor("PORECEIVE", order.supplier_no),
                "CARRIER": "" if receipt.is_automatic else stream.pick(("UPS", "FEDEX", "COURIER", "TRUCK")),
                "BOL_NBR": receipt.shipment_id or "",
                "OPER_ID": "AUTOBO" if receipt.is_automatic else stream.pick(("RCV01", "RCV02", "RCV03")),
                "STATUS": 1 if receipt.is_released else 0,
            },
            moment,
        )
        keyed = receipt.quantity * line.each_per_uom if receipt.in_each else receipt.quantity
        local = moment.astimezone(CHICAGO)
        self._emit(
            "PORECLINE",
            {
                "COMPANY": company,
                "REC_NUMBER": receipt.number,
                "LINE_NBR": receipt.line,
                "DOC_TYPE": {"receive": "PO", "correct": "RA", "return": "RJ"}[receipt.kind],
                "PO_NUMBER": po_text(order.number),
                "PO_RELEASE": 0,
                "PO_CODE": order.code,
                "PO_LINE_NBR": line.line,
                "ITEM": line.item.legacy_no if line.item is not None and line.item.legacy_no else "",
                "REC_DATE": receipt.receipt_date,
                "UPDATE_DATE": receipt.posting_date if receipt.is_released else self._empty("release", receipt.number),
                "UPDATE_TIME": local.hour * 1000000 + local.minute * 10000 + local.second * 100,
                "ENT_REC_QTY": keyed,
                "ENT_RCV_UOM": "EA" if receipt.in_each else line.uom,
                "ERCV_UOM_MULT": Decimal(1) if receipt.in_each else line.each_per_uom,
                "UNIT_COST": (line.unit_price / line.each_per_uom).quantize(Decimal("0.00001")),
                "LOT": receipt.lot or "",
                "ORIG_REC_NUMBER": receipt.corrects.number if receipt.corrects else 0,
            },
            moment,
        )

    def deliver(self, receipt: Receipt, moment: datetime) -> None:
        """The legacy ERP puts away what it receives."""

    # ------------------------------------------------------------------------------------------------------ payables

    def invoice(self, invoice: InvoiceDocument, moment: datetime) -> None:
        """APINVOICE, MAINVDTL and APDISTRIB."""
        self._invoice_header(invoice, moment)
        for part in invoice.distributions:
            account, sub = legacy_account(part.role, part.department, "")
            self._emit(
                "APDISTRIB",
                {
                    "COMPANY": invoice.site.company,
                    "VENDOR": self._vendor("APDISTRIB", invoice.supplier_no),
                    "INVOICE": invoice.number.ljust(22),
                    "SUFFIX": invoice.suffix,
                    "CANCEL_SEQ": invoice.cancel_seq,
                    "DIST_SEQ_NBR": part.sequence,
                    "DIST_COMPANY": invoice.site.company,
                    "DIS_ACCT_UNIT": site_acct_unit(invoice.site, part.role, part.department),
                    "DIS_ACCOUNT": account,
                    "DIS_SUB_ACCT": sub,
                    "ORIG_TRAN_AMT": part.amount,
                    "POST_DATE": invoice.posting_date,
                    "DIST_TYPE": DISTRIBUTION_TYPES[part.kind],
                    "TAX_CODE": "EXC" if part.kind == "TAX" else "",
                },
                moment,
            )
        if invoice.cancel_seq:
            return
        for line in invoice.lines:
            if line.order_line is not None:
                self._match_detail(invoice, line.order_line, line.quantity, line.uom, line.each_per_uom, line, moment)

    def _invoice_header(self, invoice: InvoiceDocument, moment: datetime) -> None:
        order = invoice.order
        ordered = order.number if order is not None else invoice.order_stated
        status = 9 if invoice.is_cancelled or invoice.paid else 0 if invoice.on_hold else 2
        self._emit(
            "APINVOICE",
            {
                "COMPANY": invoice.site.company,
                "VENDOR": self._vendor("APINVOICE", invoice.supplier_no),
                "INVOICE": invoice.number.ljust(22),
                "SUFFIX": invoice.suffix,
                "CANCEL_SEQ": invoice.cancel_seq,
                "INVOICE_TYPE": "C" if invoice.kind == "credit" else "",
                "INVOICE_DTE": invoice.invoice_date,
                "DUE_DATE": invoice.due_date,
                "TRAN_INV_AMT": invoice.amount,
                "PO_NUMBER": po_text(ordered) if ordered else "",
                "PO_RELEASE": 0,
                "PO_CODE": order.code if order is not None else "REG" if invoice.order_stated else "",
                "REMIT_TO_CODE": "REM1",
                "REC_STATUS": status,
                "HLD_CODE": "MTCH" if invoice.on_hold else "",
                "INV_SOURCE": invoice.source,
                "DISTRIB_DATE": invoice.posting_date,
                "CREATE_DATE": invoice.entered_at.date(),
                "DISC_AMT": invoice.discount,
            },
            moment,
        )

    def _match_detail(
        self,
        invoice: InvoiceDocument,
        ordered: OrderLine,
        quantity: Decimal,
        uom: str | None,
        each: Decimal,
        billed: object,
        moment: datetime,
    ) -> None:
        order = ordered.order
        line = next(entry for entry in invoice.lines if entry is billed)
        kind = ordered.requisition_line.kind if ordered.requisition_line else "service"
        matched = quantity * each / ordered.each_per_uom
        self._emit(
            "MAINVDTL",
            {
                "COMPANY": invoice.site.company,
                "VENDOR": self._vendor("MAINVDTL", invoice.supplier_no),
                "INVOICE": invoice.number.ljust(22),
                "SUFFIX": invoice.suffix,
                "PO_NUMBER": po_text(order.number),
                "PO_RELEASE": 0,
                "PO_CODE": order.code,
                "LINE_NBR": ordered.line,
                "SEQ_NBR": 1,
                "ITEM": ordered.item.legacy_no if ordered.item is not None and ordered.item.legacy_no else "",
                "ITEM_TYPE": ITEM_TYPES[kind],
                "VEN_ITEM": ordered.vendor_catalogue_number or "",
                "ENTERED_QTY": quantity,
                "ENTERED_UOM": uom or ordered.uom,
                "ENTERED_UNIT_CST": line.unit_price,
                "MATCHED_QTY": matched,
                "MATCH_UNIT_CST": ordered.unit_price,
                "TOT_DIST_AMT": line.amount,
                "MATCH_DATE": invoice.posting_date,
            },
            moment,
        )

    def hold(self, hold: Hold, moment: datetime) -> None:
        """MAINVMSG; a message of the same night may be resolved before the extract (Q93)."""
        invoice, line = hold.invoice, hold.order_line
        resolved: date | str = self._empty("message", invoice.events_key, hold.sequence)
        if hold.released_at is not None:
            resolved = hold.released_at.astimezone(CHICAGO).date()
        self._emit(
            "MAINVMSG",
            {
                "COMPANY": invoice.site.company,
                "VENDOR": self._vendor("MAINVMSG", invoice.supplier_no),
                "INVOICE": invoice.number.ljust(22),
                "SUFFIX": invoice.suffix,
                "MSG_SEQ": hold.sequence,
                "PO_NUMBER": po_text(line.order.number) if line is not None else "",
                "PO_LINE_NBR": line.line if line is not None else 0,
                "MSG_TYPE": MESSAGES[hold.reason],
                "CREATE_DATE": hold.placed_at.astimezone(CHICAGO).date(),
                "RESOLVED_DATE": resolved,
                "ACTION_CD": "A" if hold.released_at is not None else "",
                "AUTHORITY_CODE": "BUY1",
            },
            moment,
        )
        self._invoice_header(invoice, moment)

    def payment(self, payment: PaymentDocument, moment: datetime) -> None:
        """APPAYMENT and the paid APINVOICE."""
        invoice = payment.invoice
        self._emit(
            "APPAYMENT",
            {
                "COMPANY": invoice.site.company,
                "VENDOR": self._vendor("APPAYMENT", invoice.supplier_no),
                "INVOICE": invoice.number.ljust(22),
                "SUFFIX": invoice.suffix,
                "CANCEL_SEQ": invoice.cancel_seq,
                "SEQUENCE_NUM": payment.sequence,
                "DUE_DATE": invoice.due_date,
                "TRAN_PMT_AMT": payment.paid,
                "TRAN_DSC_AMT": payment.discount,
                "TRANS_NBR": payment.check_number,
                "CHECK_DATE": payment.payment_date,
                "REC_STATUS": 9,
            },
            moment,
        )
        self._invoice_header(invoice, moment)
