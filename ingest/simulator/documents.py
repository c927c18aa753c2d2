"""Purchasing documents while they live: what purchasing changes and the two ERP writers show.

Here: mutable state of requisitions, orders, receipts, invoices, payments and holds, with the numbers of entity keys.
Not here: when they change (purchasing) and how their rows look (legacy, cloud); what is on record for good (events).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from ingest.simulator.events import ContractLine, Item, Location, Site, Supplier

ZERO = Decimal(0)
CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    """Round half up to cents, away from zero for negatives."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


@dataclass(slots=True, eq=False)
class RequisitionLine:
    """One requested line."""

    line: int
    item: Item | None
    description: str
    quantity: Decimal  # in uom
    uom: str
    each_per_uom: Decimal
    unit_price: Decimal
    kind: str  # stock, nonstock, bill_only, bill_and_replace, service
    destination: Location | None
    department: str
    need_reference: str | None = None  # replenishment document and line of the inventory system
    note: str | None = None  # free text to the supplier
    case_text: str | None = None  # case number as typed
    supplier: Supplier | None = None
    requisition: Requisition | None = None
    order_line: OrderLine | None = None
    is_from_centre: bool = False  # a transfer from the distribution centre, no purchase
    is_transferred: bool = False  # its transfer order is made
    is_killed: bool = False  # asked for anew in the other ERP before anything came of it
    cloud_id: int = 0

    @property
    def is_placed(self) -> bool:
        """Whether an order or a transfer order fills it, or nothing will any more."""
        return self.order_line is not None or self.is_transferred or self.is_killed


@dataclass(slots=True)
class Requisition:
    """One requisition."""

    site: Site
    number: str
    source: str  # POU, BILLONLY, manual
    request_location: str
    created_at: datetime
    lines: list[RequisitionLine] = field(default_factory=list)
    cloud_id: int = 0


@dataclass(frozen=True, slots=True)
class AckPart:
    """One ACK of an acknowledged line."""

    status: str  # ACK01: IA accepted, IB backordered, IR rejected ...
    quantity: Decimal | None  # in the answer's unit
    ships_on: date | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a supplier says of an order line (855): what it read, and what it will do."""

    quantity: Decimal
    uom: str
    each_per_uom: Decimal
    unit_price: Decimal
    catalogue_number: str | None
    parts: tuple[AckPart, ...]


@dataclass(slots=True, eq=False)
class OrderLine:
    """One line of an order with its running totals, quantities in the order's unit."""

    order: Order
    line: int
    item: Item | None
    description: str
    vendor_catalogue_number: str | None
    quantity: Decimal
    uom: str
    each_per_uom: Decimal
    unit_price: Decimal
    contract: ContractLine | None
    contract_number: str | None
    destination: Location | None
    department: str
    expense_role: str | None  # None: into stock
    requisition_line: RequisitionLine | None = None
    case_text: str | None = None
    case_parsed: str | None = None
    true_log_id: str | None = None
    surgery_date: date | None = None
    note: str | None = None
    lot: str | None = None
    serial: str | None = None
    received: Decimal = ZERO  # released receipts less returns
    invoiced: Decimal = ZERO
    cancelled: Decimal = ZERO
    accrued: Decimal = ZERO  # receipts less invoices at order price, as posted
    is_closed: bool = False
    closed_at: datetime | None = None
    cancelled_at: datetime | None = None
    last_received: date | None = None
    is_consigned: bool = False
    mark: str = ""  # the defect or near miss that it carries
    answer: Answer | None = None  # where the supplier's is not simply yes
    promised_on: date | None = None  # day on which the supplier wants to be there; services have none
    multiplier_shown: Decimal | None = None  # legacy EBUY_UOM_MULT where it is not each_per_uom
    cloud_line_id: int = 0
    cloud_schedule_id: int = 0
    cloud_distribution_id: int = 0

    @property
    def amount(self) -> Decimal:
        """Ordered amount."""
        return cents(self.quantity * self.unit_price)

    @property
    def open_quantity(self) -> Decimal:
        """Ordered less cancelled less received."""
        return self.quantity - self.cancelled - self.received

    @property
    def has_exact_cents(self) -> bool:
        """Whether any whole quantity at the order price is an exact number of cents."""
        return self.unit_price == cents(self.unit_price)

    @property
    def receipt_role(self) -> str:
        """Account role that a receipt debits."""
        return self.expense_role or "INV_ASSET"

    @property
    def receipt_event(self) -> str:
        """Posting event of a receipt."""
        if self.order.po_type in ("bill_only", "bill_and_replace"):
            return "E03"
        return "E02" if self.expense_role else "E01"


def plain_answer(line: OrderLine, ships_on: date) -> Answer:
    """A supplier's yes to an order line."""
    return Answer(
        quantity=line.quantity,
        uom=line.uom,
        each_per_uom=line.each_per_uom,
        unit_price=line.unit_price,
        catalogue_number=line.vendor_catalogue_number,
        parts=(AckPart("IA", line.quantity, ships_on),),
    )


@dataclass(slots=True, eq=False)
class Order:
    """One purchase order."""

    site: Site
    number: str
    code: str  # REG, BO, BR, SVC
    po_key: str
    po_type: str  # regular, bill_only, bill_and_replace, service
    match_basis: str
    supplier: Supplier
    created_at: datetime
    order_date: date
    end_date: date | None = None
    lines: list[OrderLine] = field(default_factory=list)
    is_closed: bool = False
    closed_at: datetime | None = None
    cloud_id: int = 0
    is_on_file: bool = True  # the ERP has it; a receipt may name an order that it has not

    @property
    def supplier_no(self) -> str:
        """The supplier's number in the site's ERP."""
        number = self.supplier.lawson_no if self.site.erp == "erp_lawson" else self.supplier.cloud_no
        return (number or "").strip()


@dataclass(slots=True, eq=False)
class Receipt:
    """One receiving row."""

    order_line: OrderLine
    number: int
    line: int
    kind: str  # receive, correct, return
    quantity: Decimal  # signed, in the order's unit
    amount: Decimal  # signed
    receipt_date: date
    posting_date: date
    at: datetime
    is_released: bool = True
    is_automatic: bool = False
    shipment_id: str | None = None
    lot: str | None = None
    corrects: Receipt | None = None
    in_each: bool = False  # entered in the stock unit
    announced: Decimal | None = None  # what the ship notice says, where it is not what was received
    expected_on: date | None = None  # day that the ship notice names, where it is not that of the receipt
    deliver_at: datetime | None = None  # cloud: put away later than received
    cloud_receive_id: int = 0
    cloud_deliver_id: int = 0

    @property
    def receipt_key(self) -> str:
        """Key as entity keys write it."""
        if self.order_line.order.site.erp == "erp_lawson":
            return f"{self.order_line.order.site.company}-{self.number}-{self.line}"
        return str(self.cloud_receive_id)


@dataclass(slots=True, eq=False)
class BilledLine:
    """One line of an invoice with its distribution."""

    line: int
    line_type: str  # item, freight, tax, tolerance
    order_line: OrderLine | None
    quantity: Decimal  # in uom, signed
    uom: str | None
    each_per_uom: Decimal
    unit_price: Decimal
    amount: Decimal
    accrual_amount: Decimal  # part that clears the accrual, at order price
    role: str  # role of the rest
    department: str
    receipt: Receipt | None = None
    is_discarded: bool = False
    is_shown: bool = True  # whether the cloud has a line for it


@dataclass(slots=True, eq=False)
class Distribution:
    """One accounting line of an invoice against payables."""

    sequence: int
    invoice_line: int
    kind: str  # ACCRUAL, ITEM, IPV, FREIGHT, TAX, TOL
    role: str
    department: str
    amount: Decimal
    cloud_id: int = 0


@dataclass(slots=True, eq=False)
class InvoiceDocument:
    """One supplier invoice or credit memo."""

    site: Site
    supplier: Supplier
    supplier_no: str
    number: str  # as sent
    suffix: int
    kind: str  # invoice, credit
    order: Order | None
    invoice_date: date
    due_date: date
    posting_date: date
    entered_at: datetime
    source: str  # EDI, MAN, OCR, ERS
    amount: Decimal
    order_stated: str | None = None  # number of an order that is not on file in this ERP
    lines: list[BilledLine] = field(default_factory=list)
    distributions: list[Distribution] = field(default_factory=list)
    is_cancelled: bool = False
    discount: Decimal = ZERO  # taken when paid
    mark: str = ""
    on_hold: bool = False
    paid: Decimal = ZERO
    cancel_seq: int = 0
    cloud_id: int = 0
    events_key: str = ""

    @property
    def entity_number(self) -> str:
        """Number as entity keys write it."""
        text = self.number.strip().upper()
        return f"{text}-{self.suffix}" if self.suffix else text


@dataclass(slots=True, eq=False)
class Hold:
    """One hold or discrepancy message of an invoice."""

    invoice: InvoiceDocument
    order_line: OrderLine | None
    reason: str  # COST, QTY, NOREC
    placed_at: datetime
    released_at: datetime | None = None
    sequence: int = 1
    cloud_id: int = 0


@dataclass(slots=True, eq=False)
class PaymentDocument:
    """One payment of an invoice."""

    invoice: InvoiceDocument
    paid: Decimal
    discount: Decimal
    payment_date: date
    at: datetime
    sequence: int
    check_number: str
    cloud_id: int = 0
