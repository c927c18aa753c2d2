"""Rows of the cloud ERP: every extract of erp_fusion but the journals and balances.

Here: masters, agreements, inventory, purchasing and payables documents as its bulk extracts show them, with their
quirks (Q95 to Q110 as far as they are business rows).
Not here: GL_JE_*, GL_IMPORT_REFERENCES, GL_CODE_COMBINATIONS, GL_BALANCES, GL_PERIODS (ledger), what the documents are
(purchasing), overlapping windows, zips and releases (delivery).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

from ingest.simulator.accounts import (
    LEDGER_NAME,
    MASTER_ORG_ID,
    PROCUREMENT_BU_ID,
    cloud_period,
    cloud_segments,
    code_combination_id,
    department_at,
    inventory_transaction_id,
    stable_number,
)
from ingest.simulator.amounts import cloud_parts
from ingest.simulator.delivery import Row
from ingest.simulator.desk import CHICAGO, Desk, at
from ingest.simulator.documents import (
    ZERO,
    Distribution,
    Hold,
    InvoiceDocument,
    Order,
    OrderLine,
    PaymentDocument,
    Receipt,
    Requisition,
)
from ingest.simulator.events import ContractLine, InventoryRow, Item, Movement, PackageFactor, Site, Supplier
from ingest.simulator.former_suppliers import inactive_from
from ingest.simulator.legacy import other_sides, static
from ingest.simulator.receiving import Receiving
from ingest.simulator.transfers import TransferLine, Transfers

SYSTEM = "erp_fusion"
STYLES = {
    "regular": 1,
    "bill_only": 300000100000901,
    "bill_and_replace": 300000100000902,
    "service": 300000100000903,
}
TRANSACTION_TYPES = {
    "Account alias issue": 31,
    "Account alias receipt": 41,
    "PO receipt": 18,
    "Return to supplier": 36,
    "Subinventory transfer": 2,
    "Cycle count adjustment": 4,
    "Miscellaneous receipt": 42,
    "Transfer order shipment": 62,
    "Transfer order receipt": 61,
}
HOLD_CODES = {"COST": "PRICE", "QTY": "QTY REC", "NOREC": "QTY REC"}
SOURCES = {"EDI": "EDI GATEWAY", "MAN": "MANUAL", "OCR": "SCAN", "ERS": "ERS"}
CDC_ORG_ID = 300000100000300
ITEM_TYPES = {"SUPPLY": "SUPPLY", "IMPLANT": "IMPLANT", "INSTRUMENT": "SUPPLY"}
CONVERTED = datetime(2024, 9, 14, 3, 0, tzinfo=CHICAGO)


def cloud_uom(uom: str) -> str:
    """Unit code of the cloud: a case is CS there (Q109)."""
    return "CS" if uom == "CA" else uom


class CloudErp:
    """Writes what happens at the sites of the cloud ERP."""

    def __init__(self, desk: Desk, receiving: Receiving) -> None:
        self.desk = desk
        self.receiving = receiving
        self.sites = desk.world.sites_of(SYSTEM)
        self._moved = 0
        self._converted = 0
        self._late: list[Movement] = []
        self._other_sides: dict[str, str] = {}
        self._first_on_hand: dict[tuple[str, int], date] = {}
        self.transfers: Transfers | None = None
        self._opened: date = desk.world.start
        self._deactivated_from = desk.world.start + timedelta(days=20)

    def _emit(self, extract: str, row: Row, moment: datetime) -> None:
        self.desk.outbox.emit(SYSTEM, extract, row, moment)

    # ------------------------------------------------------------------------------------------------------- opening

    def opening(self, d: date) -> None:
        """Send the masters that come incrementally and register the snapshots."""
        self._opened = d
        moment = at(d, 18)
        self._items(moment)
        self._suppliers(moment)
        self._agreements(moment)
        outbox = self.desk.outbox
        for extract, rows in (
            ("SUPPLIER_SITES", self._supplier_sites),
            ("ITEM_CATEGORIES", static(self._categories)),
            ("UOM_CONVERSIONS", static(self._conversions)),
            ("INV_TXN_TYPES", static(self._transaction_types)),
            ("INV_ONHAND", self._on_hand),
            ("CST_VALUATION", self._valuation),
            ("INV_ORGS", static(self._organisations)),
            ("INV_SUBINVENTORIES", static(self._subinventories)),
            ("BUSINESS_UNITS", static(self._business_units)),
            ("LEGAL_ENTITIES", static(self._legal_entities)),
        ):
            outbox.snapshot(SYSTEM, extract, rows)

    # ------------------------------------------------------------------------------------------------------- masters

    def _items(self, moment: datetime) -> None:
        world = self.desk.world
        relationship = 300000600000000
        association = 300000700000000
        for item in world.items.values():
            if item.cloud_no is None or item.cloud_item_id is None:
                continue
            self._item(item, item.is_active, CONVERTED, moment)
            references: list[tuple[str, str, str | None, str | None]] = []
            if item.legacy_no:
                references.append(("LEGACY_ITEM", item.legacy_no, None, None))
            if not item.is_placeholder:
                references += [("GTIN", package.gtin, cloud_uom(package.uom), None) for package in item.packages]
            maker = world.manufacturers[item.manufacturer_id].name
            references.append(("MFG_PART_NUM", item.catalogue_number, None, maker))
            for kind, value, uom, partner in references:
                relationship += 1
                self._emit(
                    "ITEM_RELATIONSHIPS",
                    {
                        "ItemRelationshipId": relationship,
                        "ItemRelationshipType": kind,
                        "InventoryItemId": item.cloud_item_id,
                        "CrossReference": value,
                        "UomCode": uom,
                        "TradingPartnerName": partner,
                        "StartDate": date(2024, 10, 1),
                        "LastUpdateDate": CONVERTED,
                    },
                    moment,
                )
            supplier = world.suppliers[item.supplier_id]
            if supplier.cloud_vendor_id is None:
                continue
            for site in self.sites:
                association += 1
                self._emit(
                    "ITEM_SUPPLIER_ASSOC",
                    {
                        "AssociationId": association,
                        "InventoryItemId": item.cloud_item_id,
                        "OrganizationId": site.inventory_org_id,
                        "VendorId": supplier.cloud_vendor_id,
                        "VendorSiteId": supplier.cloud_site_id,
                        "SupplierItem": item.vendor_catalogue_number,
                        "PrimaryFlag": "Y",
                        "LastUpdateDate": CONVERTED,
                    },
                    moment,
                )

    def _item(self, item: Item, is_active: bool, changed: datetime, moment: datetime) -> None:
        """One row for the master organisation and one for each site (Q108)."""
        for organisation in (MASTER_ORG_ID, *(site.inventory_org_id for site in self.sites)):
            self._emit(
                "ITEMS",
                {
                    "ItemBasePEOInventoryItemId": item.cloud_item_id,
                    "ItemBasePEOOrganizationId": organisation,
                    "ItemBasePEOItemNumber": item.cloud_no,
                    "ItemTranslationPEODescription": item.description,
                    "ItemBasePEOPrimaryUomCode": "EA",
                    "ItemBasePEOInventoryItemStatusCode": "Active" if is_active else "Inactive",
                    "ItemBasePEOInventoryItemFlag": "Y" if item.stock_class == "STOCK" else "N",
                    "ItemBasePEOInventoryAssetFlag": "Y" if item.stock_class == "STOCK" else "N",
                    "ItemBasePEOLotControlCode": "2" if item.is_lot_tracked else "1",
                    "ItemBasePEOSerialNumberControlCode": "2" if item.is_serial_tracked else "1",
                    "ItemBasePEOItemType": ITEM_TYPES[item.item_class],
                    "ItemBasePEOListPricePerUnit": item.price_each,
                    "ItemBasePEOCreationDate": at(item.created_on, 3) if item.created_on else CONVERTED,
                    "ItemBasePEOLastUpdateDate": max(changed, at(item.created_on, 3) if item.created_on else changed),
                },
                moment,
            )

    def _retire_items(self, d: date) -> None:
        """Items that are inactive from the next folder on."""
        evening = at(d, 20)
        for item in self.desk.world.items.values():
            if item.cloud_item_id is not None and (SYSTEM, d + timedelta(days=1)) in item.inactive_since:
                self._item(item, False, evening, evening)

    def _suppliers(self, moment: datetime) -> None:
        for supplier in self.desk.world.suppliers.values():
            self._supplier(supplier, CONVERTED, moment)

    def _closings(self, d: date) -> None:
        """Suppliers that were closed on the day."""
        for closure in self.desk.world.supplier_closures:
            if (closure.erp, closure.level, closure.known_at.date()) == (SYSTEM, "supplier", d) and d > self._opened:
                supplier = self.desk.world.suppliers[closure.supplier_id]
                self._supplier(supplier, closure.known_at, closure.known_at)

    def _supplier(self, supplier: Supplier, changed: datetime, moment: datetime) -> None:
        if supplier.cloud_vendor_id is None or not supplier.cloud_no:
            return
        row: dict[str, str | int | date | datetime | None] = {
            "VendorId": supplier.cloud_vendor_id,
            "Segment1": supplier.cloud_no,
            "AlternateNamePartyName": supplier.name.title(),
            "VendorName": supplier.name,
            "VendorTypeLookupCode": "SUPPLIER",
            "TaxpayerId": self._tax_id(supplier),
            "DunsNumber": supplier.duns,
            "EndDateActive": inactive_from(self.desk.world, SYSTEM, supplier.supplier_id, "supplier", moment.date()),
            "CreationSource": "CONVERSION",
            "CreationDate": CONVERTED,
            "LastUpdateDate": changed,
        }
        self._emit("SUPPLIERS", row, moment)
        if self.desk.plan.quirk("Q106", supplier.supplier_id, share=0.05):
            twin = dict(row)
            twin["VendorId"] = supplier.cloud_vendor_id + 50000
            twin["Segment1"] = str(int(supplier.cloud_no) + 5000)
            twin["VendorName"] = f"{supplier.name} INC"
            twin["EndDateActive"] = date(2024, 12, 31)
            self._emit("SUPPLIERS", twin, moment)

    def _tax_id(self, supplier: Supplier) -> str:
        stream = self.desk.chance.stream("tax id", supplier.parent_supplier_id or supplier.supplier_id)
        return f"{stream.integer(10, 98)}-{stream.integer(1000000, 9999999)}"

    def _supplier_sites(self, d: date) -> list[Row]:
        """A change of InactiveDate does not move LastUpdateDate (Q99)."""
        rows: list[Row] = []
        for supplier in self.desk.world.suppliers.values():
            if supplier.cloud_vendor_id is None or supplier.cloud_site_id is None:
                continue
            stream = self.desk.chance.stream("supplier site", supplier.supplier_id)
            shared: dict[str, str | int | date | datetime | None] = {
                "VendorId": supplier.cloud_vendor_id,
                "PrcBuId": PROCUREMENT_BU_ID,
                "PurchasingSiteFlag": "Y",
                "PaySiteFlag": "Y",
                "HoldFlag": "N",
                "EmailAddress": f"orders@{supplier.supplier_id.lower()}.example",
                "BankAcctHash": f"{stream.integer(0, 16**12):012x}",
                "LastUpdateDate": CONVERTED,
            }
            rows.append(
                {
                    **shared,
                    "VendorSiteId": supplier.cloud_site_id,
                    "VendorSiteCode": "MAIN",
                    "PayOnCode": "RECEIPT" if supplier.is_ers else None,
                    "InactiveDate": inactive_from(self.desk.world, SYSTEM, supplier.supplier_id, "site", d),
                }
            )
            if stream.flag(0.15):
                closed = self.desk.plan.shows("Q99") and d >= self._deactivated_from
                rows.append(
                    {
                        **shared,
                        "VendorSiteId": supplier.cloud_site_id + 50000,
                        "VendorSiteCode": "OLD BRANCH",
                        "PayOnCode": None,
                        "InactiveDate": self._deactivated_from if closed else None,
                    }
                )
        return rows

    def _agreements(self, moment: datetime) -> None:
        """Blanket agreements come in the order extracts (Q96), their prices in AGREEMENT_LINES."""
        numbers: dict[tuple[str, str], int] = {}
        lines: dict[tuple[str, str], int] = {}
        self.agreement_of: dict[int, tuple[int, int]] = {}
        world = self.desk.world
        business_unit = self.sites[0].business_unit_id
        for place, line in enumerate(world.contract_lines):
            supplier = world.suppliers[line.supplier_id]
            # One procurement business unit: an agreement is there, whichever sites may buy on it.
            is_signed = any(signed is not None for _, signed in line.roster)
            if supplier.cloud_vendor_id is None or not is_signed:
                continue
            key = (line.contract_number, line.supplier_id)
            if key not in numbers:
                numbers[key] = 300000800000000 + len(numbers) + 1
                self._emit(
                    "PO_HEADERS",
                    {
                        "PoHeaderId": numbers[key],
                        "Segment1": f"SA{len(numbers):06d}",
                        "TypeLookupCode": "BLANKET",
                        "StyleId": 1,
                        "DocumentStatus": "OPEN",
                        "PrcBuId": PROCUREMENT_BU_ID,
                        "BilltoBuId": business_unit,
                        "VendorId": supplier.cloud_vendor_id,
                        "VendorSiteId": supplier.cloud_site_id,
                        "CurrencyCode": "USD",
                        "ApprovedDate": CONVERTED,
                        "StartDate": date(2024, 10, 1),
                        "CreationDate": CONVERTED,
                        "LastUpdateDate": CONVERTED,
                    },
                    moment,
                )
            lines[key] = lines.get(key, 0) + 1
            line_id = 300000810000000 + place
            self.agreement_of[id(line)] = (numbers[key], line_id)
            self._agreement_line(line, numbers[key], line_id, lines[key], moment)

    def _agreement_line(self, line: ContractLine, header: int, line_id: int, number: int, moment: datetime) -> None:
        item = self.desk.world.items[line.item_key]
        price = line.price
        if line.price_type == "COST_PLUS" and line.markup_pct is not None:
            price = (price * (1 + line.markup_pct / 100)).quantize(Decimal("0.00001"))
        self._emit(
            "PO_LINES",
            {
                "PoLineId": line_id,
                "PoHeaderId": header,
                "LineNum": number,
                "LineStatus": "OPEN",
                "ItemId": item.cloud_item_id,
                "ItemDescription": item.description,
                "VendorProductNum": line.vendor_catalogue_number,
                "UomCode": cloud_uom(line.uom),
                "UnitPrice": price,
                "MatchingBasis": "QUANTITY",
                "PurchaseBasis": "GOODS",
                "CreationDate": CONVERTED,
                "LastUpdateDate": CONVERTED,
            },
            moment,
        )
        self._emit(
            "AGREEMENT_LINES",
            {
                "AgreementLineId": line_id,
                "AgreementHeaderId": header,
                "SupplierContractNumber": line.contract_number,
                "ItemId": item.cloud_item_id,
                "SupplierItem": line.vendor_catalogue_number,
                "UomCode": cloud_uom(line.uom),
                "Price": price,
                "PriceStartDate": line.effective_from,
                "PriceEndDate": line.effective_to,
                "HoldFlag": "Y" if line.is_on_hold else "N",
                "LastUpdateDate": CONVERTED,
            },
            moment,
        )

    def _categories(self) -> Iterator[Row]:
        for item in self.desk.world.items.values():
            if item.cloud_item_id is not None:
                for name, code in (("PURCHASING", ITEM_TYPES[item.item_class]), ("COSTING", "MEDSURG")):
                    yield {
                        "InventoryItemId": item.cloud_item_id,
                        "OrganizationId": MASTER_ORG_ID,
                        "CategorySetName": name,
                        "CategoryCode": code,
                    }

    def _conversions(self) -> Iterator[Row]:
        for uom, rate in (("DZ", 12), ("GR", 144), ("PR", 2), ("EA", 1)):
            yield {
                "InventoryItemId": 0,
                "UomCode": uom,
                "BaseUomCode": "EA",
                "ConversionRate": Decimal(rate),
                "DisableDate": None,
            }
        for item in self.desk.world.items.values():
            for package in item.packages:
                if item.cloud_item_id is not None and package.each != 1:
                    each = item.each_in(SYSTEM, package)
                    self.desk.world.package_factors.append(
                        PackageFactor(SYSTEM, str(item.cloud_no), package.uom, "EA", each)
                    )
                    yield {
                        "InventoryItemId": item.cloud_item_id,
                        "UomCode": cloud_uom(package.uom),
                        "BaseUomCode": "EA",
                        "ConversionRate": each,
                        "DisableDate": None,
                    }

    @staticmethod
    def _transaction_types() -> Iterator[Row]:
        for name, number in TRANSACTION_TYPES.items():
            yield {"TransactionTypeId": number, "TransactionTypeName": name}

    def _organisations(self) -> Iterator[Row]:
        yield {
            "OrganizationId": MASTER_ORG_ID,
            "OrganizationCode": "MST",
            "OrganizationName": "SHS Item Master",
            "BusinessUnitId": None,
            "LegalEntityId": None,
        }
        for site in self.sites:
            yield {
                "OrganizationId": site.inventory_org_id,
                "OrganizationCode": site.inventory_org_code,
                "OrganizationName": site.name,
                "BusinessUnitId": site.business_unit_id,
                "LegalEntityId": site.legal_entity_id,
            }

    def _subinventories(self) -> Iterator[Row]:
        for site in self.sites:
            for location in self.desk.world.site_locations(site.code):
                code = location.code_in(SYSTEM)
                if code:
                    yield {
                        "OrganizationId": site.inventory_org_id,
                        "SubinventoryCode": code,
                        "AssetFlag": "Y" if location.is_asset else "N",
                        "InactiveDate": None,
                    }

    def _business_units(self) -> Iterator[Row]:
        yield {"BusinessUnitId": PROCUREMENT_BU_ID, "Name": "SHS Procurement"}
        for site in self.sites:
            yield {"BusinessUnitId": site.business_unit_id, "Name": site.name}

    def _legal_entities(self) -> Iterator[Row]:
        for site in self.sites:
            yield {
                "LegalEntityLegalEntityId": site.legal_entity_id,
                "LegalEntityName": f"{LEDGER_NAME} {site.name}",
                "BalancingSegmentValue": site.segment1,
            }

    # --------------------------------------------------------------------------------------------------------- stock

    def _in_use(self) -> list[Site]:
        """Sites that make their documents here now; others are only set up."""
        return [site for site in self.sites if self.desk.world.sites[site.code].erp == SYSTEM]

    def _on_hand(self, d: date) -> list[Row]:
        world = self.desk.world
        rows: list[Row] = []
        for site in self._in_use():
            for location_id, item_key, quantity in self.desk.stock.holdings.quantities(site.code):
                item, location = world.items[item_key], world.locations[location_id]
                if quantity == 0 or item.cloud_item_id is None or not location.erp_code:
                    continue
                received = self._first_on_hand.setdefault((location_id, item_key), d)
                rows.append(
                    {
                        "InvOnhandQuantityPEOOnhandQuantitiesId": stable_number(
                            f"OH{location_id}{item_key}", 300000900000000, 11
                        ),
                        "InvOnhandQuantityPEOOrganizationId": site.inventory_org_id,
                        "InvOnhandQuantityPEOSubinventoryCode": location.erp_code,
                        "InvOnhandQuantityPEOInventoryItemId": item.cloud_item_id,
                        "InvOnhandQuantityPEOLotNumber": None,
                        "InvOnhandQuantityPEOPrimaryTransactionQuantity": quantity,
                        "InvOnhandQuantityPEOTransactionUomCode": "EA",
                        "InvOnhandQuantityPEOOwningType": "OWNED",
                        "InvOnhandQuantityPEODateReceived": at(received, 6),
                        "InvOnhandQuantityPEOLastUpdateDate": at(received, 6),
                    }
                )
        return rows

    def _valuation(self, d: date) -> list[Row]:
        rows: list[Row] = []
        for site in self._in_use():
            for held in self.desk.stock.holdings.positions(site.code):
                item = self.desk.world.items[held.item_key]
                if item.cloud_item_id is None or held.location_id is not None:
                    continue
                rows.append(
                    {
                        "CostOrgId": site.inventory_org_id,
                        "InventoryOrgId": site.inventory_org_id,
                        "InventoryItemId": item.cloud_item_id,
                        "QuantityOnhand": held.quantity,
                        "UnitCostAverage": held.average,
                        "InventoryValue": held.value,
                        "CostDate": d,
                    }
                )
        return rows

    def close_day(self, d: date) -> None:
        """Show the day's inventory transactions and, now and then, a draft that is deleted again (Q100)."""
        pending = [*self._late, *self.desk.world.movements[self._moved :]]
        self._moved = len(self.desk.world.movements)
        self._other_sides |= other_sides(pending)
        self._late = []
        for movement in pending:
            if movement.erp != SYSTEM:
                continue
            if movement.posted_at.astimezone(CHICAGO).date() > d:
                self._late.append(movement)
                continue
            self._transaction(movement)
        for row in self.desk.world.inventory_rows[self._converted :]:
            if row.erp == SYSTEM:
                self._conversion(row)
        self._converted = len(self.desk.world.inventory_rows)
        self._retire_items(d)
        self._draft(d)
        self._closings(d)

    def _transaction(self, movement: Movement) -> None:
        """One INV_TRANSACTIONS row; the cost of some comes one slot later (Q102)."""
        world = self.desk.world
        site = world.sites[movement.site]
        location, item = world.locations[movement.location_id], world.items[movement.item_key]
        code = location.code_in(SYSTEM)
        if item.cloud_item_id is None or not code:
            return
        receipt = self.receiving.receipt_of_movement.get(movement.txn_id)
        account = None
        if movement.expense_role:
            account = self._account(site, movement.expense_role, movement.department or "8020")
        pair = self._pair_place(movement)
        other = site.inventory_org_id if pair else None
        received = receipt.cloud_deliver_id if receipt is not None else None
        transfer = self.transfers.line_of_movement.get(movement.txn_id) if self.transfers is not None else None
        if transfer is not None and movement.event == "E15":
            other = transfer.site.inventory_org_id if self._is_here(transfer.site, movement.happened_at) else None
        elif transfer is not None:
            other, received = CDC_ORG_ID, transfer.deliver_id
        row: dict[str, str | int | Decimal | datetime | None] = {
            "InventoryTransactionPEOTransactionId": inventory_transaction_id(movement.txn_id),
            "InventoryTransactionPEOOrganizationId": site.inventory_org_id,
            "InventoryTransactionPEOSubinventoryCode": code,
            "InventoryTransactionPEOInventoryItemId": item.cloud_item_id,
            "InventoryTransactionPEOTransactionTypeId": TRANSACTION_TYPES[self._type_name(movement)],
            "InventoryTransactionPEOTransactionDate": movement.happened_at,
            "InventoryTransactionPEOTransactionQuantity": movement.quantity_uom
            if movement.quantity_uom is not None
            else movement.quantity_each,
            "InventoryTransactionPEOTransactionUom": cloud_uom(movement.uom or "EA"),
            "InventoryTransactionPEOPrimaryQuantity": movement.quantity_each,
            "InventoryTransactionPEOActualCost": movement.erp_unit_cost,
            "InventoryTransactionPEOTransferOrganizationId": other,
            "InventoryTransactionPEOTransferSubinventory": pair,
            "InventoryTransactionPEOTransactionSourceName": movement.ref_doc,
            "InventoryTransactionPEOTransactionReference": f"P{movement.txn_id}",
            "InventoryTransactionPEORcvTransactionId": received,
            "InventoryTransactionPEODistributionAccountId": account,
            "InventoryTransactionPEOOwningType": "OWNED",
            "InventoryTransactionPEOCreationDate": movement.posted_at,
            "InventoryTransactionPEOLastUpdateDate": movement.posted_at,
        }
        if movement.event == "E23":
            self._take_in(movement, row)
            return
        if self.desk.plan.quirk("Q102", movement.txn_id, share=0.03):
            self._emit("INV_TRANSACTIONS", {**row, "InventoryTransactionPEOActualCost": None}, movement.posted_at)
            later = movement.posted_at + timedelta(hours=6)
            row["InventoryTransactionPEOLastUpdateDate"] = later
            self._emit("INV_TRANSACTIONS", row, later)
            return
        self._emit("INV_TRANSACTIONS", row, movement.posted_at)

    def _is_here(self, site: Site, moment: datetime) -> bool:
        return self.desk.world.erp_on(site.code, moment.astimezone(CHICAGO).date()) == SYSTEM

    def _take_in(self, movement: Movement, row: Row) -> None:
        """What arrived on a legacy order after the cut-over, valued by its own rows (E23)."""
        amount = (movement.erp_amount or ZERO).copy_sign(movement.quantity_each)
        site = self.desk.world.sites[movement.site]
        for name, quantity, cost in cloud_parts(movement.txn_id, movement.quantity_each, amount):
            shown: dict[str, str | int | Decimal] = {
                "TransactionId": inventory_transaction_id(name),
                "TransactionQuantity": quantity,
                "TransactionUom": "EA",
                "PrimaryQuantity": quantity,
                "ActualCost": cost,
                "TransactionSourceName": f"CONV-{movement.site}",
                "DistributionAccountId": self._account(site, "CONV_CLEARING", "0000"),
            }
            values: Row = {"InventoryTransactionPEO" + column: value for column, value in shown.items()}
            self._emit("INV_TRANSACTIONS", {**row, **values}, movement.posted_at)

    def _conversion(self, row: InventoryRow) -> None:
        """INV_TRANSACTIONS of stock that came over on the day of the cut-over (E22)."""
        world = self.desk.world
        site = world.sites[row.site]
        values: dict[str, str | int | Decimal | datetime | None] = {
            "TransactionId": inventory_transaction_id(row.document),
            "OrganizationId": site.inventory_org_id,
            "SubinventoryCode": world.locations[row.location_id].code_in(SYSTEM),
            "InventoryItemId": world.items[row.item_key].cloud_item_id,
            "TransactionTypeId": TRANSACTION_TYPES["Miscellaneous receipt"],
            "TransactionDate": row.known_at,
            "TransactionQuantity": row.quantity_each,
            "TransactionUom": "EA",
            "PrimaryQuantity": row.quantity_each,
            "ActualCost": row.unit_cost,
            "TransactionSourceName": f"CONV-{row.site}",
            "DistributionAccountId": self._account(site, "CONV_CLEARING", "0000"),
            "OwningType": "OWNED",
            "CreationDate": row.known_at,
            "LastUpdateDate": row.known_at,
        }
        shown = {"InventoryTransactionPEO" + column: value for column, value in values.items()}
        self._emit("INV_TRANSACTIONS", shown, row.known_at)

    def _pair_place(self, movement: Movement) -> str | None:
        """Other side of a move between subinventories."""
        if movement.event != "E14":
            return None
        return self.desk.world.locations[self._other_sides[movement.txn_id]].code_in(SYSTEM)

    @staticmethod
    def _type_name(movement: Movement) -> str:
        event = movement.event
        if event == "E01":
            return "PO receipt"
        if event == "E07":
            return "Return to supplier"
        if event == "E23":
            return "Miscellaneous receipt"
        if event == "E14":
            return "Subinventory transfer"
        if event == "E15":
            return "Transfer order shipment"
        if event == "E16":
            return "Transfer order receipt"
        if event == "E13":
            return "Cycle count adjustment"
        return "Account alias receipt" if movement.quantity_each > 0 else "Account alias issue"

    @staticmethod
    def _account(site: Site, role: str, department: str) -> int:
        assert site.segment1 is not None
        return code_combination_id(cloud_segments(site.segment1, role, department_at(site, role, department)))

    def _draft(self, d: date) -> None:
        """A draft order whose only line was deleted on the same day; only DELETED_KEYS tells (Q100)."""
        for site in self._in_use():
            if not self.desk.plan.quirk("Q100", site.code, d, share=0.08):
                continue
            stream = self.desk.chance.stream("draft", site.code, d)
            suppliers = [entry for entry in self.desk.world.suppliers.values() if entry.cloud_vendor_id is not None]
            supplier = stream.pick(suppliers)
            header = self.desk.series.next("draft", first=300000820000001)
            line_id = header + 1000000
            moment = at(d, 11)
            self._emit(
                "PO_HEADERS",
                {
                    "PoHeaderId": header,
                    "Segment1": f"SP{90000000 + header % 1000000:08d}",
                    "TypeLookupCode": "STANDARD",
                    "StyleId": 1,
                    "DocumentStatus": "INCOMPLETE",
                    "PrcBuId": PROCUREMENT_BU_ID,
                    "BilltoBuId": site.business_unit_id,
                    "VendorId": supplier.cloud_vendor_id,
                    "VendorSiteId": supplier.cloud_site_id,
                    "CurrencyCode": "USD",
                    "CreationDate": moment,
                    "LastUpdateDate": moment,
                },
                moment,
            )
            self._emit(
                "PO_LINES",
                {
                    "PoLineId": line_id,
                    "PoHeaderId": header,
                    "LineNum": 1,
                    "LineStatus": "OPEN",
                    "ItemDescription": "DRAFT LINE",
                    "UomCode": "EA",
                    "UnitPrice": stream.decimal(5, 90),
                    "Quantity": Decimal(stream.integer(1, 20)),
                    "MatchingBasis": "QUANTITY",
                    "PurchaseBasis": "GOODS",
                    "CreationDate": moment,
                    "LastUpdateDate": moment,
                },
                moment,
            )
            deleted = at(d, 16)
            for extract, key in (("PO_LINES", line_id), ("PO_HEADERS", header)):
                self._emit(
                    "DELETED_KEYS", {"EXTRACT": extract, "KEY1": str(key), "KEY2": None, "RUN_TIME": deleted}, deleted
                )

    # -------------------------------------------------------------------------------------------------- requisitions

    def requisition(self, requisition: Requisition, moment: datetime) -> None:
        """REQ_HEADERS and REQ_LINES."""
        site = requisition.site
        self._emit(
            "REQ_HEADERS",
            {
                "RequisitionHeaderId": requisition.cloud_id,
                "RequisitionNumber": requisition.number,
                "ReqBuId": site.business_unit_id,
                "DocumentStatus": "APPROVED",
                "InterfaceSourceCode": requisition.source,
                "SubmissionDate": requisition.created_at,
                "ApprovedDate": requisition.created_at,
                "CreationDate": requisition.created_at,
                "LastUpdateDate": moment,
            },
            moment,
        )
        for line in requisition.lines:
            ordered = line.order_line
            supplier = line.supplier
            if supplier is None and line.item is not None:
                supplier = self.desk.world.suppliers[line.item.supplier_id]
            if line.is_from_centre:
                supplier = None
            stocked = line.kind == "stock" and line.destination is not None
            self._emit(
                "REQ_LINES",
                {
                    "RequisitionLineId": line.cloud_id,
                    "RequisitionHeaderId": requisition.cloud_id,
                    "LineNumber": line.line,
                    "LineStatus": "APPROVED",
                    "ItemId": line.item.cloud_item_id if line.item is not None else None,
                    "ItemDescription": line.description,
                    "UomCode": cloud_uom(line.uom),
                    "Quantity": line.quantity,
                    "UnitPrice": line.unit_price,
                    "MatchingBasis": "QUANTITY",
                    "DestinationTypeCode": "INVENTORY" if stocked else "EXPENSE",
                    "DestinationOrganizationId": site.inventory_org_id,
                    "DestinationSubinventory": line.destination.erp_code if stocked and line.destination else None,
                    "SourceTypeCode": "INVENTORY" if line.is_from_centre else "VENDOR",
                    "SourceOrganizationId": CDC_ORG_ID if line.is_from_centre else None,
                    "VendorId": supplier.cloud_vendor_id if supplier is not None else None,
                    "ManufacturerPartNumber": line.item.catalogue_number if line.item is not None else None,
                    "SuggestedSupplierItemNumber": line.item.vendor_catalogue_number if line.item is not None else None,
                    "NeedByDate": requisition.created_at.date() + timedelta(days=5),
                    "PoHeaderId": ordered.order.cloud_id if ordered is not None else None,
                    "PoLineId": ordered.cloud_line_id if ordered is not None else None,
                    "LineLocationId": ordered.cloud_schedule_id if ordered is not None else None,
                    "InterfaceLineKey": line.need_reference,
                    "NoteToSupplier": line.note,
                    "CancelFlag": "N",
                    "CreationDate": requisition.created_at,
                    "LastUpdateDate": moment,
                },
                moment,
            )

    # -------------------------------------------------------------------------------------------------------- orders

    def order(self, order: Order, moment: datetime) -> None:
        """PO_HEADERS."""
        self._emit(
            "PO_HEADERS",
            {
                "PoHeaderId": order.cloud_id,
                "Segment1": order.number,
                "TypeLookupCode": "STANDARD",
                "StyleId": STYLES[order.po_type],
                "DocumentStatus": "CLOSED" if order.is_closed else "OPEN",
                "PrcBuId": PROCUREMENT_BU_ID,
                "BilltoBuId": order.site.business_unit_id,
                "VendorId": order.supplier.cloud_vendor_id,
                "VendorSiteId": order.supplier.cloud_site_id,
                "CurrencyCode": "USD",
                "ApprovedDate": order.created_at,
                "SubmitDate": order.created_at,
                "ClosedDate": order.closed_at,
                "StartDate": order.order_date if order.end_date else None,
                "EndDate": order.end_date,
                "CreationDate": order.created_at,
                "LastUpdateDate": moment,
            },
            moment,
        )

    def order_line(self, line: OrderLine, moment: datetime) -> None:
        """PO_LINES, PO_SCHEDULES and PO_DISTRIBUTIONS."""
        order, site = line.order, line.order.site
        service = order.po_type == "service"
        cancelled = line.cancelled >= line.quantity
        status = "CANCELED" if cancelled else "CLOSED" if line.is_closed else "OPEN"
        agreement = self.agreement_of.get(id(line.contract)) if line.contract is not None else None
        self._emit(
            "PO_LINES",
            {
                "PoLineId": line.cloud_line_id,
                "PoHeaderId": order.cloud_id,
                "LineNum": line.line,
                "LineStatus": status,
                "ItemId": line.item.cloud_item_id if line.item is not None else None,
                "ItemDescription": line.description,
                "VendorProductNum": line.vendor_catalogue_number,
                "UomCode": None if service else cloud_uom(line.uom),
                "UnitPrice": None if service else line.unit_price,
                "Quantity": None if service else line.quantity,
                "Amount": line.amount if service else None,
                "MatchingBasis": "AMOUNT" if service else "QUANTITY",
                "PurchaseBasis": "SERVICES" if service else "GOODS",
                "FromHeaderId": agreement[0] if agreement else None,
                "FromLineId": agreement[1] if agreement else None,
                "NoteToVendor": line.note,
                "CancelDate": line.cancelled_at if cancelled else None,
                "CreationDate": order.created_at,
                "LastUpdateDate": moment,
            },
            moment,
        )
        three_way = "N" if service else "Y"
        billed = line.quantity if service else line.invoiced
        self._emit(
            "PO_SCHEDULES",
            {
                "LineLocationId": line.cloud_schedule_id,
                "PoLineId": line.cloud_line_id,
                "PoHeaderId": order.cloud_id,
                "ShipmentNum": 1,
                "ShipToOrganizationId": site.inventory_org_id,
                "Quantity": None if service else line.quantity,
                "QuantityReceived": None if service else line.received,
                "QuantityBilled": None if service else billed,
                "QuantityCancelled": None if service else line.cancelled,
                "AmountBilled": None,
                "MatchOption": "P" if service else "R",
                "InspectionRequiredFlag": "N",
                "ReceiptRequiredFlag": three_way,
                "AccrueOnReceiptFlag": three_way,
                "NeedByDate": order.created_at + timedelta(days=5),
                "PromisedDate": at(line.promised_on, 12) if line.promised_on is not None else None,
                "ScheduleStatus": status,
                "LastUpdateDate": moment,
            },
            moment,
        )
        role = line.expense_role or "INV_ASSET"
        stocked = line.destination is not None and line.expense_role is None
        self._emit(
            "PO_DISTRIBUTIONS",
            {
                "PoDistributionId": line.cloud_distribution_id,
                "LineLocationId": line.cloud_schedule_id,
                "PoLineId": line.cloud_line_id,
                "DistributionNum": 1,
                "CodeCombinationId": self._account(site, role, line.department),
                "DestinationTypeCode": "INVENTORY" if stocked else "EXPENSE",
                "DestinationSubinventory": line.destination.erp_code if stocked and line.destination else None,
                "QuantityOrdered": None if service else line.quantity,
                "QuantityDelivered": None if service else line.received,
                "QuantityBilled": None if service else billed,
                "AmountBilled": None,
                "LastUpdateDate": moment,
            },
            moment,
        )

    # ------------------------------------------------------------------------------------------------------ receipts

    def receipt(self, receipt: Receipt, moment: datetime) -> None:
        """RCV_TRANSACTIONS at the dock: RECEIVE, CORRECT of a RECEIVE, RETURN TO VENDOR."""
        parent = receipt.corrects
        kind = {"receive": "RECEIVE", "correct": "CORRECT", "return": "RETURN TO VENDOR"}[receipt.kind]
        self._receiving_row(
            receipt, receipt.cloud_receive_id, parent.cloud_receive_id if parent else None, kind, moment, None
        )

    def deliver(self, receipt: Receipt, moment: datetime) -> None:
        """RCV_TRANSACTIONS behind the dock: DELIVER, CORRECT of a DELIVER, RETURN TO RECEIVING."""
        parent = receipt.corrects
        kind = {"receive": "DELIVER", "correct": "CORRECT", "return": "RETURN TO RECEIVING"}[receipt.kind]
        self._receiving_row(
            receipt,
            receipt.cloud_deliver_id,
            parent.cloud_deliver_id if parent else receipt.cloud_receive_id,
            kind,
            moment,
            receipt.order_line.cloud_distribution_id,
        )

    def _receiving_row(
        self, receipt: Receipt, number: int, parent: int | None, kind: str, moment: datetime, distribution: int | None
    ) -> None:
        line = receipt.order_line
        root = receipt.corrects or receipt
        each = receipt.quantity * line.each_per_uom
        sign = 1 if kind == "CORRECT" or receipt.quantity > 0 else -1
        stocked = line.expense_role is None
        destination = ("INVENTORY" if stocked else "EXPENSE") if distribution is not None else "RECEIVING"
        prefix = "CmrRcvTransactionsPEO"
        values: dict[str, str | int | Decimal | datetime | None] = {
            "CmrRcvTransactionId": number,
            "RcvParentTransactionId": parent,
            "RootReceiveTxnId": root.cloud_receive_id,
            "TransactionType": kind,
            "TransactionDate": moment,
            "ReceiptNumber": f"{receipt.number:07d}",
            "ReceiptLineNumber": receipt.line,
            "ShipmentNum": receipt.shipment_id,
            "PoLineLocationId": line.cloud_schedule_id,
            "PoDistributionId": distribution,
            "InventoryItemId": line.item.cloud_item_id if line.item is not None else None,
            "ShipToOrganizationId": line.order.site.inventory_org_id,
            "DestinationTypeCode": destination,
            "TransactionQuantity": sign * (each if receipt.in_each else receipt.quantity),
            "TransactionUomCode": "EA" if receipt.in_each else cloud_uom(line.uom),
            "SourceDocQuantity": sign * receipt.quantity,
            "SourceDocUomCode": cloud_uom(line.uom),
            "PrimaryQuantity": sign * each,
            "PrimaryUomCode": "EA",
            "TransactionAmount": None,
            "ConsignedFlag": "Y" if line.is_consigned else "N",
            "ExternalSystemReference": "POU" if stocked else None,
            "CreationDate": moment,
            "LastUpdateDate": moment,
        }
        self._emit("RCV_TRANSACTIONS", {prefix + name: value for name, value in values.items()}, moment)

    # ----------------------------------------------------------------------------------------------------- transfers

    def transfer_line(self, line: TransferLine, moment: datetime) -> None:
        """TRANSFER_ORDER_LINES."""
        cloud = self._is_here(line.site, moment)
        asked = line.requested.requisition
        place = self.desk.world.locations[line.destination.location_id]
        self._emit(
            "TRANSFER_ORDER_LINES",
            {
                "LineId": line.cloud_id,
                "HeaderNumber": line.number,
                "LineNumber": line.line,
                "InventoryItemId": line.item.cloud_item_id,
                "SourceOrganizationId": CDC_ORG_ID,
                "DestinationOrganizationId": line.site.inventory_org_id if cloud else None,
                "DestinationSiteCode": f"SHS-{line.site.code}",
                "DestinationSubinventory": place.code_in(SYSTEM if cloud else "erp_lawson"),
                "QuantityOrdered": line.ordered,
                "QuantityShipped": line.shipped if line.shipped_at else None,
                "QuantityReceived": line.received if line.received_at else None,
                "UomCode": "EA",
                "ShippedUnitCost": line.unit_cost,
                "ShipDate": line.shipped_at,
                "LastReceiptDate": line.received_at,
                "RequisitionLineId": line.requested.cloud_id
                if asked is not None and asked.site.erp == SYSTEM
                else None,
                "Status": line.status,
                "LastUpdateDate": moment,
            },
            moment,
        )

    def transfer_receipt(self, line: TransferLine, moment: datetime) -> None:
        """RCV_TRANSACTIONS of a transfer order: RECEIVE and DELIVER."""
        prefix = "CmrRcvTransactionsPEO"
        for kind, number, parent in (
            ("RECEIVE", line.receive_id, None),
            ("DELIVER", line.deliver_id, line.receive_id),
        ):
            values: dict[str, str | int | Decimal | datetime | None] = {
                "CmrRcvTransactionId": number,
                "RcvParentTransactionId": parent,
                "RootReceiveTxnId": line.receive_id,
                "TransactionType": kind,
                "TransactionDate": moment,
                "ReceiptNumber": f"{line.receipt_number:07d}",
                "ReceiptLineNumber": 1,
                "ShipmentNum": line.number,
                "TransferOrderLineId": line.cloud_id,
                "InventoryItemId": line.item.cloud_item_id,
                "ShipToOrganizationId": line.site.inventory_org_id,
                "DestinationTypeCode": "INVENTORY" if parent else "RECEIVING",
                "TransactionQuantity": line.received,
                "TransactionUomCode": "EA",
                "SourceDocQuantity": line.received,
                "SourceDocUomCode": "EA",
                "PrimaryQuantity": line.received,
                "PrimaryUomCode": "EA",
                "ConsignedFlag": "N",
                "ExternalSystemReference": "POU",
                "CreationDate": moment,
                "LastUpdateDate": moment,
            }
            self._emit("RCV_TRANSACTIONS", {prefix + name: value for name, value in values.items()}, moment)

    # ------------------------------------------------------------------------------------------------------ payables

    def invoice(self, invoice: InvoiceDocument, moment: datetime) -> None:
        """AP_INVOICE_HEADERS, AP_INVOICE_LINES and AP_INVOICE_DISTRIBUTIONS."""
        self._invoice_header(invoice, moment)
        types = {"item": "ITEM", "freight": "FREIGHT", "tax": "TAX", "tolerance": "MISCELLANEOUS"}
        cancelled = "Y" if invoice.is_cancelled else "N"
        for line in invoice.lines:
            if not line.is_shown:
                continue
            ordered = line.order_line
            service = ordered is not None and ordered.order.po_type == "service"
            prefix = "ApInvoiceLinesAll"
            values: dict[str, str | int | Decimal | date | datetime | None] = {
                "InvoiceId": invoice.cloud_id,
                "LineNumber": line.line,
                "LineTypeLookupCode": types[line.line_type],
                "Amount": line.amount,
                "QuantityInvoiced": line.quantity if ordered is not None and not service else None,
                "UnitMeasLookupCode": cloud_uom(line.uom) if line.uom and not service else None,
                "UnitPrice": line.unit_price if ordered is not None and not service else None,
                "MatchType": None if ordered is None else "ITEM_TO_PO" if line.receipt is None else "ITEM_TO_RECEIPT",
                "PoHeaderId": ordered.order.cloud_id if ordered is not None else None,
                "PoLineId": ordered.cloud_line_id if ordered is not None else None,
                "PoLineLocationId": ordered.cloud_schedule_id if ordered is not None else None,
                "RcvTransactionId1": line.receipt.cloud_receive_id if line.receipt is not None else None,
                "AccountingDate": invoice.posting_date,
                "DiscardedFlag": "Y" if line.is_discarded else "N",
                "CancelledFlag": cancelled,
                "Description": ordered.description if ordered is not None else line.line_type.upper(),
                "LastUpdateDate": moment,
            }
            self._emit("AP_INVOICE_LINES", {prefix + name: value for name, value in values.items()}, moment)
        for part in invoice.distributions:
            self._distribution(invoice, part, cancelled, moment)

    def _distribution(self, invoice: InvoiceDocument, part: Distribution, cancelled: str, moment: datetime) -> None:
        prefix = "ApInvoiceDistributions"
        kind = "ITEM" if part.kind == "TOL" else part.kind
        values: dict[str, str | int | Decimal | date | datetime | None] = {
            "InvoiceDistributionId": part.cloud_id,
            "InvoiceId": invoice.cloud_id,
            "InvoiceLineNumber": part.invoice_line,
            "DistributionLineNumber": part.sequence,
            "LineTypeLookupCode": kind,
            "DistCodeCombinationId": self._account(invoice.site, part.role, part.department),
            "Amount": part.amount,
            "AccountingDate": invoice.posting_date,
            "PeriodName": cloud_period(invoice.posting_date).name,
            "PostedFlag": "N" if invoice.is_cancelled else "Y",
            "CancellationFlag": cancelled,
            "LastUpdateDate": moment,
        }
        self._emit("AP_INVOICE_DISTRIBUTIONS", {prefix + name: value for name, value in values.items()}, moment)

    def _invoice_header(self, invoice: InvoiceDocument, moment: datetime) -> None:
        tax = sum((line.amount for line in invoice.lines if line.line_type == "tax"), ZERO)
        prefix = "ApInvoices"
        values: dict[str, str | int | Decimal | date | datetime | None] = {
            "InvoiceId": invoice.cloud_id,
            "InvoiceNum": invoice.number,
            "VendorId": invoice.supplier.cloud_vendor_id,
            "VendorSiteId": invoice.supplier.cloud_site_id,
            "OrgId": invoice.site.business_unit_id,
            "LegalEntityId": invoice.site.legal_entity_id,
            "InvoiceTypeLookupCode": "CREDIT" if invoice.kind == "credit" else "STANDARD",
            "InvoiceDate": invoice.invoice_date,
            "GlDate": invoice.posting_date,
            "InvoiceAmount": invoice.amount,
            "AmountPaid": invoice.paid,
            "CancelledAmount": invoice.amount if invoice.is_cancelled else None,
            "TotalTaxAmount": tax,
            "Source": SOURCES[invoice.source],
            "PoHeaderId": invoice.order.cloud_id
            if invoice.order is not None
            else int(invoice.order_stated)
            if invoice.order_stated
            else None,
            "PaymentStatusFlag": "Y" if invoice.paid else "N",
            "ApprovalStatus": "CANCELLED"
            if invoice.is_cancelled
            else "NEEDS REAPPROVAL"
            if invoice.on_hold
            else "APPROVED",
            "CreationDate": invoice.entered_at,
            "LastUpdateDate": moment,
        }
        self._emit("AP_INVOICE_HEADERS", {prefix + name: value for name, value in values.items()}, moment)

    def hold(self, hold: Hold, moment: datetime) -> None:
        """AP_HOLDS; invoice, schedule and code repeat when a hold comes back (Q97)."""
        released = hold.released_at is not None
        prefix = "ApHoldsAll"
        values: dict[str, str | int | datetime | None] = {
            "HoldId": hold.cloud_id,
            "InvoiceId": hold.invoice.cloud_id,
            "LineNumber": 1,
            "LineLocationId": hold.order_line.cloud_schedule_id if hold.order_line is not None else None,
            "HoldLookupCode": HOLD_CODES[hold.reason],
            "HoldDate": hold.placed_at,
            "HoldReason": {"COST": "Price exceeds tolerance", "QTY": "Billed exceeds received"}.get(
                hold.reason, "Nothing received"
            ),
            "ReleaseLookupCode": "APPROVED" if released else None,
            "ReleaseReason": "Matched" if released else None,
            "LastUpdateDate": moment,
        }
        self._emit("AP_HOLDS", {prefix + name: value for name, value in values.items()}, moment)
        self._invoice_header(hold.invoice, moment)

    def payment(self, payment: PaymentDocument, moment: datetime) -> None:
        """AP_PAYMENTS and the paid AP_INVOICE_HEADERS."""
        prefix = "ApInvoicePaymentsAll"
        values: dict[str, str | int | Decimal | date | datetime | None] = {
            "InvoicePaymentId": payment.cloud_id,
            "InvoiceId": payment.invoice.cloud_id,
            "CheckId": stable_number(payment.check_number, 300000950000000, 9),
            "Amount": payment.paid,
            "DiscountTaken": payment.discount,
            "AccountingDate": payment.payment_date,
            "PeriodName": cloud_period(payment.payment_date).name,
            "PostedFlag": "Y",
            "ReversalFlag": "N",
            "LastUpdateDate": moment,
        }
        self._emit("AP_PAYMENTS", {prefix + name: value for name, value in values.items()}, moment)
        self._invoice_header(payment.invoice, moment)
