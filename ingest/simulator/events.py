"""What happens in the simulated health system: masters and business events, and the world that holds them.

Here: the frozen records that everything delivered is derived from, and `World`, the append-only list of them.
Not here: how they come about (clinic, stock, charging, purchasing, ledger), how they are written (delivery and the
writers of each system), what must be found in them (oracle).

Every event carries what its system of origin recorded, errors included: a wrong case number typed at a cabinet is the
`case_typed` of the movement. What was true instead is in the `true_*` fields, which no file shows. `known_at` is the
moment at which the system of origin holds the row; the delivery that follows it carries it. Quantities are EACH,
money is USD, both Decimal. Moments are aware datetimes (UTC or America/Chicago), dates are business dates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ingest.simulator.event_log import EventLog, SitePart

if TYPE_CHECKING:
    import polars as pl

    from ingest.simulator.columns import Numbers

# ----------------------------------------------------------------------------------------------------------- masters


@dataclass(frozen=True, slots=True)
class Site:
    """One hospital, or the distribution centre, with its codes in every system (landscape section 2)."""

    code: str  # H1
    name: str
    erp: str  # erp_fusion or erp_lawson
    loc_id: str  # ehr, hb; empty at the distribution centre
    pou_site: str
    gln: str
    company: int | None  # legacy
    segment1: str | None  # cloud
    business_unit_id: int | None
    legal_entity_id: int | None
    inventory_org_id: int | None
    inventory_org_code: str | None
    departments: tuple[str, ...]
    volume_share: float  # share of the system's cases
    is_issued_at_pick: bool = False  # the case cart is issued the evening before, what is left comes back (Q66)
    mmis_corp: str | None = None  # CORP_ID-IDB of the MMIS that keeps its stock; None: the point-of-use system does
    zone: str = "America/Chicago"
    clinical: str = "ehr"  # system of record of its cases: ehr or ehr_fhir
    fhir_organisation: str | None = None

    @property
    def is_hospital(self) -> bool:
        """Whether it has patients; the distribution centre has none."""
        return bool(self.loc_id)

    @property
    def stock_system(self) -> str:
        """The system that keeps its quantities: pou or mmis."""
        return "pou" if self.mmis_corp is None else "mmis"

    @property
    def database(self) -> int:
        """IDB of its MMIS; 0 without one."""
        return 0 if self.mmis_corp is None else int(self.mmis_corp.rpartition("-")[2])

    @property
    def is_keyed_next_day(self) -> bool:
        """Whether usage is keyed the following day with the business date of the case (landscape 1)."""
        return self.mmis_corp is not None

    @property
    def clock(self) -> ZoneInfo:
        """Its wall clock."""
        return ZoneInfo(self.zone)


@dataclass(frozen=True, slots=True)
class Location:
    """A stock location (landscape 2.2)."""

    location_id: str  # H1-ORC
    site: str
    location_type: str
    is_perpetual: bool
    is_asset: bool
    is_consigned: bool
    pou_code: str  # as entity keys write it: POU location_code, MMIS LOC_NO-IDB
    erp_code: str | None  # legacy LOCATION or cloud subinventory
    ehr_code: str | None
    department: str
    mmis_no: str | None = None  # LOC_NO
    mmis_id: int | None = None  # LOC_ID

    def code_in(self, erp: str) -> str | None:
        """Code of the location in an ERP: H3STR in the legacy ERP, STR in the cloud; None where no ERP knows it."""
        if self.erp_code is None:
            return None
        suffix = self.location_id.partition("-")[2]
        return suffix if erp == "erp_fusion" else f"{self.site}{suffix}"


@dataclass(frozen=True, slots=True)
class Package:
    """One package level of an item: `each` stock units in one `uom` (conformed code)."""

    uom: str
    each: Decimal
    gtin: str


@dataclass(frozen=True, slots=True)
class Item:
    """A product as it truly is, with its number in every system (None: the system does not hold it)."""

    key: int
    description: str
    item_class: str  # SUPPLY, IMPLANT, INSTRUMENT
    stock_class: str  # STOCK, NONSTOCK, BILLONLY, CONSIGN
    manufacturer_id: str  # MFR plus 5 digits
    catalogue_number: str
    legacy_no: str | None  # 7 digits with zeros
    cloud_no: str | None
    cloud_item_id: int | None
    pou_no: str | None
    supply_id: str | None  # EHR
    supplier_id: str  # golden supplier it is bought from
    vendor_catalogue_number: str
    packages: tuple[Package, ...]  # the first is EA with each = 1
    buy_uom: str
    price_each: Decimal  # list price, 5 decimals
    charge_code: str | None
    proc_id: str | None  # EAP of the charge code
    revenue_code: str | None
    is_chargeable: bool
    is_lot_tracked: bool
    is_serial_tracked: bool
    contract_number: str | None
    is_placeholder: bool = False
    is_construct: bool = False
    legacy_alias_nos: tuple[str, ...] = ()  # further numbers for the same product
    pou_alias_nos: tuple[str, ...] = ()
    ehr_external_id: str | None = None  # PRIMARY_EXT_ID as the EHR holds it (may be stale or empty)
    pou_erp_item_no: str | None = None  # erp_item_no as the inventory system holds it (may be empty)
    is_active: bool = True  # in the ERP masters
    usage_class: str = ""  # family of the item, for choosing what a procedure uses
    home: str = ""  # ORC, CTH, IRR, CAB, PAR, CNS: the kind of location it is used from; empty: not stocked
    price_method: str = "FIXED"  # FIXED or MARKUP: how the charge is priced
    unit_of_charge: str = "EA"  # EA, BX, CM2
    hcpcs: str | None = None
    hibc: str | None = None
    udi_type: int = 1  # 1 GS1, 2 HIBC, 3 ICCBBA
    conversion_rate: Decimal | None = None  # units charged per EACH for CM2
    pou_gtin: str | None = None  # gtin_each of the inventory system
    pou_manufacturer_name: str | None = None  # as written there
    ehr_identities: tuple[tuple[int, str], ...] = ()  # IDENTITY_SUP_ID: 10 ERP item, 20 POU item, 30 GTIN
    is_in_gudid: bool = True
    is_alias_merged: bool = True  # the inventory system has merged its further numbers into the first
    created_on: date | None = None  # in its ERP or the EHR, when later than the masters' first day
    wrong_factors: tuple[tuple[str, str, Decimal], ...] = ()  # system, unit, EACH in one as that system delivers it
    inactive_since: tuple[tuple[str, date], ...] = ()  # ERP, first folder date on which it calls the item inactive
    mmis_no: str | None = None  # ITEM_NO of MMIS database 1: the legacy number without zeros
    mmis_east_no: str | None = None  # ITEM_NO of MMIS database 2, its own

    def each_in(self, system: str, package: Package) -> Decimal:
        """EACH in a package as a system delivers it."""
        for name, uom, factor in self.wrong_factors:
            if (name, uom) == (system, package.uom):
                return factor
        return package.each

    def is_active_in(self, erp: str, folder: date) -> bool:
        """Whether an ERP calls the item active in the deliveries of a folder date."""
        return self.is_active and not any(name == erp and since <= folder for name, since in self.inactive_since)

    def stock_number(self, site: Site) -> str | None:
        """Its number in the site's inventory system as entity keys write it; None when it is not held there."""
        if site.mmis_corp is None:
            return self.pou_no
        number = self.mmis_no if site.database == 1 else self.mmis_east_no
        return None if number is None else f"{number}-{site.database}"


@dataclass(frozen=True, slots=True)
class Manufacturer:
    """A golden manufacturer with the names and codes it goes by."""

    manufacturer_id: str  # MFR plus 5 digits
    name: str
    lawson_code: str  # MANUF_CODE, 4 characters
    ehr_category: int  # ZC_OR_MANUFACTURER
    ehr_name: str  # with the 6 digit id at the end
    aliases: tuple[str, ...]  # further spellings, upper case
    supplier_id: str  # golden supplier that sells its goods directly
    gs1_prefix: str


@dataclass(frozen=True, slots=True)
class Supplier:
    """A golden supplier with its numbers."""

    supplier_id: str  # SUP plus 5 digits
    name: str
    parent_supplier_id: str | None
    role: str  # MANUFACTURER, DISTRIBUTOR, BOTH, SERVICE
    lawson_no: str | None
    cloud_no: str | None
    cloud_vendor_id: int | None
    cloud_site_id: int | None
    duns: str
    is_ers: bool
    terms_days: int


@dataclass(frozen=True, slots=True)
class SupplierClosure:
    """From when on an ERP holds a supplier, or the site that invoices come from, as inactive."""

    erp: str
    supplier_id: str
    level: str  # supplier, site
    inactive_from: date
    known_at: datetime


@dataclass(frozen=True, slots=True)
class ContractLine:
    """A price of ref.GPO_CONTRACT_PRICE with its roster."""

    contract_number: str
    contract_type: str  # GPO, IDN, LOCAL
    supplier_id: str
    supplier_no: str  # as the price file writes it
    item_key: int
    vendor_catalogue_number: str
    uom: str
    each_per_uom: Decimal
    price: Decimal
    tier: int
    price_type: str  # FIXED, COST_PLUS, CONSTRUCT
    markup_pct: Decimal | None
    is_on_hold: bool
    priority: int | None
    effective_from: date
    effective_to: date | None  # inclusive
    roster: tuple[tuple[str, date | None], ...]  # (site, letter signed date)


@dataclass(frozen=True, slots=True)
class PackageFactor:
    """A conversion between two units of an item as a system delivers it, errors included."""

    system: str  # erp_lawson, erp_fusion, pou, mmis
    item_no: str  # as entity keys write it
    uom: str
    to_uom: str
    factor: Decimal  # `to_uom` in one `uom`


@dataclass(frozen=True, slots=True)
class ChargePrice:
    """One row of hb.CDM_PRICE with the procedure record of its charge code."""

    proc_id: str
    charge_code: str
    price: Decimal | None  # per unit of charge; None: priced by mark-up
    price_method: str  # FIXED, MARKUP, MANUAL
    unit_of_charge: str  # EA, BX, CM2
    revenue_code: str | None
    hcpcs: str | None
    is_active: bool
    effective_from: date
    effective_to: date | None


@dataclass(frozen=True, slots=True)
class CostVersion:
    """A cost that a system publishes for an item from a date on.

    `source`: ovtm (EHR OR_SPLY_OVTM by supply id), average (moving average of the inventory system of record at the end
    of `valid_from`, by location for legacy, None for cloud).
    """

    source: str
    site: str | None
    location_id: str | None
    item_key: int
    valid_from: date
    unit_cost: Decimal


# ---------------------------------------------------------------------------------------------------- cases and usage


@dataclass(frozen=True, slots=True)
class Case:
    """A performed surgical or procedural case with its log and account."""

    log_id: str
    case_id: str  # OR_CASE_ID
    site: str
    department: str  # 7010 ...
    surgery_date: date
    started_at: datetime
    service_c: int
    service_line: str
    procedure_id: str
    surgeon_id: str
    patient_id: str
    account: str  # hospital account the charges belong to
    base_class: int  # 1 inpatient, 2 outpatient, 3 emergency
    is_research: bool
    is_test_patient: bool
    status: int  # STATUS_C as of the last version
    posted_at: tuple[datetime, ...]  # audit rows with action 7; empty: not posted
    default_location_id: str
    known_at: datetime


@dataclass(frozen=True, slots=True)
class UsageLine:
    """One documented line of a case, as the EHR holds it in its last version."""

    usage_id: str  # PKLST:<pick list>:<line>, IMPL:<record id>, RES:<finding>:<line>; id of a SupplyDelivery
    site: str
    log_id: str
    record: str  # pick_list, implant, procedural; delivery
    action: str  # used, wasted, explanted, adjusted (pick list lines carry used and wasted in one event, action 'used')
    supply_id: str | None  # documented item
    implant_id: str | None
    item_key: int | None  # true product; None for one-time implants and placeholders
    used_each: Decimal
    wasted_each: Decimal
    location_id: str | None  # None: left empty in the EHR
    documented_cost: Decimal | None  # SUP_UNIT_COST, or OR_IMP.UNIT_COST of one-time implants
    chargeable_flag: str | None  # CHARGEABLE_YN
    lot: str | None
    serial: str | None
    expiry_date: date | None
    is_implant_copy: bool  # pick list line that repeats an implant (IMPLANT_YN = Y)
    is_one_time: bool
    manufacturer_number: str | None
    vendor_catalogue_number: str | None
    one_time_charge_proc_id: str | None
    known_at: datetime
    manufacturer_id: str | None = None  # of an implant record, as its category says
    device_identifier: str | None = None  # STATIC_UDI of an implant record
    udi_type: int | None = None  # 1 GS1, 2 HIBC, 3 ICCBBA
    is_tissue: bool = False
    warranty_completed: date | None = None  # explanted device: EXPLANT_WARRANTY_COMPLETION_DT
    is_recall_reimplant: bool = False  # ICD_REIMP_MNRCALL_YN
    system: str = "ehr"  # ehr or ehr_fhir; the latter names an item by its MMIS number, an implant by its device


@dataclass(frozen=True, slots=True)
class CaseCost:
    """A control total of a log (OR_LOG_COSTS_CHARGES): 1 supply used, 2 supply wasted, 3 implant used, 4 wasted."""

    site: str
    log_id: str
    cost_type: int
    amount: Decimal
    known_at: datetime


@dataclass(frozen=True, slots=True)
class Recall:
    """One product of a device recall (ref.FDA_RECALL)."""

    recall_number: str
    recalling_firm: str
    device_identifier: str | None
    catalogue_number: str | None
    code_info: str  # free text: lots, ranges
    lots: str  # semicolon list; of a range its two ends
    recall_date: date
    known_at: datetime


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of the inventory system's movement log (pou.txn, mmis.TXN), in the words of the former."""

    txn_id: str  # pou: as it is; MMIS: IDB and TXN_NO without anything between
    txn_type: str
    site: str
    location_id: str
    pou_item_no: str  # as entity keys write it: POU item_no, MMIS ITEM_NO-IDB
    item_key: int
    quantity_each: Decimal  # signed; COUNT absolute
    owner: str  # OWNED, CONSIGNED
    lot: str | None
    serial: str | None
    case_typed: str | None
    true_case_id: str | None
    ref_doc: str | None
    ref_line: int | None
    happened_at: datetime  # device clock, local to the site
    posted_at: datetime  # UTC
    erp_amount: Decimal | None  # value that the ERP booked for it (None: no ERP row)
    erp_unit_cost: Decimal | None
    expiry_date: date | None = None  # as scanned, day 00 resolved to the last day of the month
    reason: str | None = None
    event: str | None = None  # code of landscape 7.3 under which the ERP books it (None: no ERP row)
    department: str | None = None
    expense_role: str | None = None
    pair_txn_id: str | None = None  # other half of a transfer
    receipt_key: str | None = None
    po_key: str | None = None
    uom: str = "EA"  # unit of the row
    quantity_uom: Decimal | None = None  # signed quantity in that unit
    to_location_id: str | None = None  # other location of a transfer, par area issued to (MMIS, transfer order)
    erp: str | None = None  # ERP that books it, by the date of posting (None: no ERP row)


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """A row of an ERP's inventory that is no movement: a conversion, or an issue booked once more (Q121)."""

    erp: str
    site: str
    location_id: str
    item_key: int
    document: str  # as entity keys write it, in the cloud the name that its transaction id is made from
    quantity_each: Decimal  # signed
    unit_cost: Decimal
    amount: Decimal  # signed, quantity x unit cost in cents
    is_conversion: bool
    posted_on: date
    known_at: datetime
    movement: Movement | None = None  # what it repeats


@dataclass(frozen=True, slots=True)
class StockPosition:
    """Owned stock of an item as the site's ERP values it: by location (legacy) or for the organisation (cloud)."""

    site: str
    location_id: str | None
    item_key: int
    quantity: Decimal
    value: Decimal
    average: Decimal


@dataclass(frozen=True, slots=True)
class ReplenishmentNeed:
    """What a location must be sent: found at 20:00, asked for under a document and line of the inventory system."""

    site: str
    location_id: str
    item_key: int
    quantity_each: Decimal
    needed_at: datetime
    ref_doc: str
    ref_line: int


@dataclass(frozen=True, slots=True)
class OnHand:
    """Closing balance of one item at one location on one business date, all lots, one owner.

    Recorded when it changed against the day before and on every day on which it is below zero.
    """

    business_date: date
    site: str
    location_id: str
    pou_item_no: str
    item_key: int
    owner: str
    quantity_each: Decimal
    unit_cost: Decimal


@dataclass(frozen=True, slots=True)
class ShelfLot:
    """One lot (or serial, or what has neither) at one location in the balances of one evening, when it changed."""

    business_date: date
    site: str
    location_id: str
    pou_item_no: str
    item_key: int
    owner: str
    lot: str | None
    serial: str | None
    expiry_date: date | None
    quantity_each: Decimal  # 0 when it is gone


@dataclass(frozen=True, slots=True)
class ShelfStatus:
    """One item at one location in the balances of one evening, all lots and owners, when it changed."""

    business_date: date
    site: str
    location_id: str
    pou_item_no: str
    item_key: int
    available_each: Decimal  # on hand less allocated
    on_order_each: Decimal | None
    reorder_each: Decimal | None  # reorder point; None: not managed


# ------------------------------------------------------------------------------------------------------------ charges


@dataclass(frozen=True, slots=True)
class ChargeTransaction:
    """One row of hb.HSP_TRANSACTIONS (charges, payments, adjustments)."""

    tx_id: str
    account: str
    tx_type: int
    amount: Decimal  # signed
    quantity: Decimal  # signed, charge units
    service_date: date
    post_date: date
    proc_id: str | None
    charge_code: str | None
    revenue_code: str | None
    department_id: str | None
    site: str
    supply_id: str | None
    implant_id: str | None
    log_id: str | None
    reverses: str | None  # ORIG_REV_TX_ID
    reposts: str | None  # ORIG_REPOST_TX_ID
    credits: str | None  # CHG_CRED_ORIG_ID
    corrects: str | None  # LATE_CRCTN_ORIG_ID
    first_tx_id: str | None  # FIRST_HTR_TX_ID
    old_account: str | None
    unit_of_charge: str  # EA, BX, CM2
    base_class: int  # class of the account at post time
    known_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimCode:
    """A value or condition code on an account's final claim (hb.CLAIM_CODES)."""

    site: str
    account: str
    code_type: str  # VALUE, CONDITION
    code: str
    amount: Decimal | None
    known_at: datetime


@dataclass(frozen=True, slots=True)
class InFlightCharge:
    """A charge at one station before posting, from `from_at` until `until_at` (None: still there)."""

    station: str  # router (CLARITY_UCL stage 1-2), review (PRE_AR_CHG status 3), pre_ar (HSP_PRE_AR_TX)
    record_id: str
    site: str
    account: str
    log_id: str | None
    supply_id: str | None
    implant_id: str | None
    proc_id: str | None
    quantity: Decimal
    amount: Decimal
    service_date: date
    department_id: str | None
    from_at: datetime
    until_at: datetime | None
    outcome: str  # posted, deleted, filtered, none


@dataclass(frozen=True, slots=True)
class AccountState:
    """A hospital account as known from `known_at` on (later states of one account replace earlier ones)."""

    account: str
    site: str
    base_class: int
    is_research: bool
    combined_into: str | None
    admitted_at: datetime
    discharged_at: datetime | None
    known_at: datetime


# --------------------------------------------------------------------------------------------------------- purchasing


@dataclass(frozen=True, slots=True)
class PoLine:
    """One order line in its last version."""

    erp: str
    site: str
    po_key: str  # as entity keys write it
    line: int
    po_type: str  # regular, bill_only, bill_and_replace, service
    match_basis: str  # 3way, 2way, ers, bill_only
    supplier_id: str
    supplier_no: str
    item_key: int | None
    erp_item_no: str | None
    order_date: date
    quantity: Decimal  # in uom
    uom: str
    each_per_uom: Decimal
    unit_price: Decimal  # per uom, 5 decimals
    ordered_each: Decimal
    amount: Decimal
    contract_number: str | None
    vendor_catalogue_number: str | None
    case_typed: str | None  # case reference as parsed from what was typed
    true_log_id: str | None
    lot: str | None
    serial: str | None
    is_cancelled: bool
    cancelled_each: Decimal
    destination_location_id: str | None
    is_on_hold: bool
    known_at: datetime
    promised_on: date | None = None  # services have none
    ends_on: date | None = None  # last day of a service order


@dataclass(frozen=True, slots=True)
class RequisitionState:
    """One requested line for a stock location, in its last version."""

    erp: str
    site: str
    number: str
    line: int
    location_id: str
    item_key: int
    is_placed: bool  # an order or a transfer order fills it
    known_at: datetime


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """One receiving row: receive (+), adjustment or correction (signed), rejection or return (-)."""

    erp: str
    site: str
    receipt_key: str  # COMPANY-REC_NUMBER-LINE_NBR, or the cloud transaction id
    po_key: str
    line: int
    kind: str  # receive, correct, return
    quantity_each: Decimal  # signed
    amount: Decimal  # signed, at PO price
    receipt_date: date
    posting_date: date
    is_released: bool
    is_automatic: bool
    known_at: datetime
    parent_key: str | None = None  # receipt that a correction or return takes back from (ORIG_REC_NUMBER, parent id)
    is_consigned: bool = False  # cloud ConsignedFlag
    shipment_id: str | None = None  # BOL_NBR, ShipmentNum: keyed at most docks


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice header in its last version."""

    erp: str
    site: str
    invoice_key: str  # internal key
    supplier_id: str
    supplier_no: str  # as entity keys write it
    number: str  # as entity keys write it
    kind: str  # invoice, credit
    invoice_date: date
    posting_date: date
    created_at: datetime
    amount: Decimal  # signed
    is_cancelled: bool
    source: str
    known_at: datetime
    document_no: str | None = None  # number as sent, where `number` carries the suffix of the legacy ERP
    po_key: str | None = None  # order that the header names, as entity keys write it; it may not exist


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One item, freight or tax line of an invoice."""

    erp: str
    site: str
    invoice_key: str
    line: int  # as entity keys write it
    line_type: str  # item, freight, tax
    po_key: str | None
    po_line: int | None
    quantity: Decimal  # in uom, signed
    uom: str | None
    each_per_uom: Decimal
    unit_price: Decimal
    quantity_each: Decimal
    amount: Decimal
    is_cancelled: bool
    known_at: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment of an invoice."""

    erp: str
    site: str
    payment_key: str
    invoice_key: str
    paid: Decimal
    discount: Decimal
    payment_date: date
    known_at: datetime


# ---------------------------------------------------------------------------------------------- suppliers' documents


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What one 855 says of an order line; `known_at` is the moment at which its set arrived whole."""

    erp: str
    site: str
    po_key: str
    line: int
    acknowledged_on: date
    quantity: Decimal  # PO102, in uom
    uom: str
    each_per_uom: Decimal
    unit_price: Decimal  # as written, per uom
    vendor_catalogue_number: str | None
    parts: tuple[tuple[str, Decimal], ...]  # ACK01 and ACK02
    known_at: datetime


@dataclass(frozen=True, slots=True)
class ShipNotice:
    """One order line of one 856."""

    erp: str
    site: str
    shipment_id: str  # BSN02
    po_key: str
    line: int
    quantity_each: Decimal
    expected_on: date  # DTM*017
    known_at: datetime


@dataclass(frozen=True, slots=True)
class SupplierBill:
    """One 810 as it was sent."""

    site: str
    sender: str  # ISA06
    invoice_number: str
    invoice_date: date
    total: Decimal  # TDS01
    lines: tuple[tuple[Decimal, Decimal], ...]  # IT102 and IT104
    charges: Decimal  # SAC charges less allowances
    tax: Decimal
    known_at: datetime


# ------------------------------------------------------------------------------------------------------------- ledger


@dataclass(frozen=True, slots=True, eq=False)
class BulkRows:
    """Subledger rows that one posting sums up: their keys as text, and what each debits in cents."""

    keys: pl.Series
    cents: Numbers


@dataclass(frozen=True, slots=True)
class Posting:
    """One balanced subledger row that a ledger must carry: debit one role, credit another, same amount.

    `event` is the code of landscape 7.3 (E01 ...). A negative amount swaps the sides. `subledger` names the table and
    `subledger_key` the row behind it (RCV, INV, AP_DIST, AP_PAY, HB, TO in the cloud's import references).
    """

    erp: str
    site: str
    event: str
    system: str  # PO, IC, AP, HB, GL (cloud: RA, CA, PAY, HB, MAN)
    category: str
    posting_date: date
    debit_role: str
    debit_department: str
    credit_role: str
    credit_department: str
    amount: Decimal
    subledger: str
    subledger_key: str
    known_at: datetime
    is_withheld: bool = False  # never reaches the ledger; no import reference names it
    counterparty: str | None = None  # the site on the other side of DUE_FROM and DUE_TO
    rows: BulkRows | None = None  # the rows behind it, where it stands for many; else the one of `subledger_key`
    posted_amount: Decimal | None = None  # what its journal took over, when that is not all
    referenced_amount: Decimal | None = None  # amount of its import reference, when it is another


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line of a journal as the ledger holds it."""

    erp: str
    site: str  # site of the balancing segment
    balancing_segment: str  # company or segment 1
    ledger: str  # as entity keys write it
    journal: str  # as entity keys write it
    line: int
    role: str
    department: str
    source: str  # PO, IC, AP, HB, GL-AC, GL-JE ... or cloud source
    is_manual: bool
    posting_date: date
    debit: Decimal
    credit: Decimal
    is_posted: bool
    known_at: datetime
    category: str = ""  # cloud
    account: str = ""  # account string as entity keys write it


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """What a ledger states of one account string and month: opening balance and net movement, debits positive."""

    erp: str
    site: str
    ledger: str  # as entity keys write it
    account: str  # as entity keys write it
    role: str
    month: date  # first day
    period: str  # name in the ledger's calendar
    is_income: bool  # revenue or expense: opens a fiscal year at zero
    opens_year: bool  # first period of the ledger's fiscal year
    opening: Decimal
    net: Decimal
    known_at: datetime


# ---------------------------------------------------------------------------------------------------------- deliveries


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """One file as it was delivered."""

    system: str
    extract: str
    folder_date: date
    slot: str | None
    name: str  # base name; cloud <slot>/<name>
    path: str  # relative to the landing directory
    rows: int  # data rows that the file truly holds
    stated_rows: int  # rows that the manifest or trailer states
    content_hash: str  # of the uncompressed content
    manifest_hash_matches: bool
    is_snapshot: bool
    is_truncated: bool
    repeats_previous_window: bool  # by design of the extract: the same window as the date or slot before
    columns: tuple[str, ...] = ()  # header, where it is not that of the contract
    odd_columns: tuple[str, ...] = ()  # columns whose cells are of another type than the contract says


@dataclass(frozen=True, slots=True)
class Planted:
    """What a defect or near miss was meant to touch, for statistics and for naming near misses; never for judging."""

    rule_id: str
    entity_key: str
    site: str
    is_near_miss: bool
    reason: str


@dataclass
class World:
    """Everything that exists and happened, in the order in which it was recorded.

    An event that is known again under the same identity (a case that is posted, an order line that is cancelled) is
    appended again with a later `known_at`; `latest` gives the last version known at a moment.
    """

    start: date
    end: date
    seed: int
    sites: dict[str, Site] = field(default_factory=dict)
    locations: dict[str, Location] = field(default_factory=dict)
    items: dict[int, Item] = field(default_factory=dict)
    manufacturers: dict[str, Manufacturer] = field(default_factory=dict)
    suppliers: dict[str, Supplier] = field(default_factory=dict)
    supplier_closures: list[SupplierClosure] = field(default_factory=list)
    contract_lines: list[ContractLine] = field(default_factory=list)
    charge_prices: list[ChargePrice] = field(default_factory=list)
    costs: list[CostVersion] = field(default_factory=list)
    package_factors: list[PackageFactor] = field(default_factory=list)
    cases: EventLog[Case] = field(default_factory=EventLog)
    usage: EventLog[UsageLine] = field(default_factory=EventLog)
    movements: EventLog[Movement] = field(default_factory=EventLog)
    opening_stock: list[StockPosition] = field(default_factory=list)  # owned stock on the evening before the first day
    on_hand: EventLog[OnHand] = field(default_factory=EventLog)
    case_costs: EventLog[CaseCost] = field(default_factory=EventLog)
    recalls: list[Recall] = field(default_factory=list)
    shelf_lots: EventLog[ShelfLot] = field(default_factory=EventLog)
    shelf_statuses: EventLog[ShelfStatus] = field(default_factory=EventLog)
    charges: EventLog[ChargeTransaction] = field(default_factory=EventLog)
    claim_codes: EventLog[ClaimCode] = field(default_factory=EventLog)
    in_flight: EventLog[InFlightCharge] = field(default_factory=EventLog)
    accounts: EventLog[AccountState] = field(default_factory=EventLog)
    po_lines: EventLog[PoLine] = field(default_factory=EventLog)
    requisitions: EventLog[RequisitionState] = field(default_factory=EventLog)
    receipts: EventLog[ReceiptLine] = field(default_factory=EventLog)
    invoices: EventLog[Invoice] = field(default_factory=EventLog)
    invoice_lines: EventLog[InvoiceLine] = field(default_factory=EventLog)
    payments: EventLog[Payment] = field(default_factory=EventLog)
    acknowledgements: EventLog[Acknowledgement] = field(default_factory=EventLog)
    ship_notices: EventLog[ShipNotice] = field(default_factory=EventLog)
    supplier_bills: EventLog[SupplierBill] = field(default_factory=EventLog)
    postings: EventLog[Posting] = field(default_factory=EventLog)
    journal_lines: EventLog[JournalLine] = field(default_factory=EventLog)
    balances: EventLog[AccountBalance] = field(default_factory=EventLog)
    inventory_rows: EventLog[InventoryRow] = field(default_factory=EventLog)
    files: list[DeliveredFile] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)
    reference: dict[str, list[dict[str, str]]] = field(default_factory=dict)  # ref extract -> rows, as delivered
    cutovers: dict[str, date] = field(default_factory=dict)  # site -> first day in the cloud, up to the world's end
    late_reference: list[tuple[date, str, dict[str, str]]] = field(default_factory=list)  # folder, ref extract, row
    stock_documents: dict[str, str] = field(default_factory=dict)  # txn_id -> ICTRANS key, where posting falls behind

    def _logs(self) -> dict[str, EventLog[Any]]:
        return {name: log for name, log in vars(self).items() if isinstance(log, EventLog)}

    def sizes(self) -> list[int]:
        """Number of events in every log, as `put_aside` takes them."""
        return [len(log) for log in self._logs().values()]

    def put_aside(self, sizes: list[int], directory: Path) -> None:
        """Leave events that were there when the logs had these sizes to files in a directory; memory keeps the rest."""
        for log, size in zip(self._logs().values(), sizes, strict=True):
            log.put_aside(size, directory)

    def part(self, site: str) -> World:
        """The world with the events of one site; masters, files and reference rows are those of all."""
        parts: dict[str, Any] = {name: SitePart(log, site) for name, log in self._logs().items()}
        return replace(self, **parts)

    def items_by_supply_id(self) -> dict[str, Item]:
        """EHR supply id -> item."""
        return {item.supply_id: item for item in self.items.values() if item.supply_id}

    def hospitals(self) -> list[Site]:
        """Sites with patients."""
        return [site for site in self.sites.values() if site.is_hospital]

    def erp_on(self, site: str, day: date) -> str:
        """ERP in which documents of the day are made at the site."""
        first = self.cutovers.get(site)
        if first is None:
            return self.sites[site].erp
        return "erp_fusion" if day >= first else "erp_lawson"

    def site_in(self, site: str, erp: str) -> Site:
        """The site as it makes documents in an ERP, whichever it uses now."""
        placed = self.sites[site]
        return placed if placed.erp == erp else replace(placed, erp=erp)

    def sites_of(self, erp: str) -> list[Site]:
        """Sites that have documents in an ERP at some time of the world, as they make them there."""
        return [
            self.site_in(code, erp) for code, site in self.sites.items() if site.erp == erp or code in self.cutovers
        ]

    def is_converted(self, site: str) -> bool:
        """Whether the site moves to the cloud while the world runs."""
        return site in self.cutovers and self.cutovers[site] >= self.start

    def site_locations(self, site: str) -> Iterator[Location]:
        """Locations of one site."""
        return (location for location in self.locations.values() if location.site == site)
