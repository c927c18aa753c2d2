"""Transaction sets of purchasing in X12 004010: the segments of 850, 855, 856, 810 and 832.

Here: what each document of purchasing says in its set, from behind ST to before SE, as tuples of elements.
Not here: partners and their separators (edi_partners), envelopes, control numbers, timing and quirks of interchanges
(edi).

Positions are those of X12 004010. Amounts of TDS01 and SAC05 have two implied decimals (data elements 610), prices and
quantities are written with their point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from ingest.simulator.documents import ZERO, Answer, BilledLine, InvoiceDocument, Order, OrderLine
from ingest.simulator.edi_partners import SYSTEM_GLN, Partner
from ingest.simulator.events import ContractLine, Item, Manufacturer, Site

Segment = tuple[str, ...]

FREIGHT, HANDLING = "D240", "D500"
COMMODITIES = {"IMPLANT": "42320000", "INSTRUMENT": "42290000", "SUPPLY": "42310000"}
CARRIERS = ("UPSN", "FDEG", "ODFL", "FXFE")
GS1_COMPANY = "9521234"
LINES_PER_PACK = 4


@dataclass(frozen=True, slots=True)
class Shipped:
    """One line of a shipment."""

    line: OrderLine
    quantity: Decimal  # in the order's unit
    in_inner_packs: bool
    lot: str | None
    expiry: date | None


@dataclass(frozen=True, slots=True)
class Shipment:
    """A shipment of one order."""

    shipment_id: str
    shipped_at: datetime
    arrives: date
    carrier: str
    tracking: str
    bill_of_lading: str
    lines: Sequence[Shipped]
    first_carton: int | None  # serial of the first SSCC; None: cartons without one


@dataclass(frozen=True, slots=True)
class BillStyle:
    """How an invoice is put into its set; the document itself is given."""

    number: str
    shipment_id: str | None = None
    order_on_lines: bool = False  # consolidated: REF*PO of each line, none in BIG04 (Q115)
    without_order: bool = False  # BIG04 empty and no REF*PO (Q115)
    freight_code: str = FREIGHT
    freight_on_line: bool = False
    wrong_by: Decimal = ZERO  # what TDS01 is off


def day(value: date | None) -> str:
    """A date as CCYYMMDD."""
    return f"{value:%Y%m%d}" if value is not None else ""


def plain(value: Decimal) -> str:
    """A number of type R: no zeros at the end, no exponent."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def implied(amount: Decimal) -> str:
    """A number of type N2.

    Raises:
        ValueError: the amount has parts of a cent.
    """
    hundredfold = amount * 100
    if hundredfold != hundredfold.to_integral_value():
        raise ValueError(f"{amount} is no amount of whole cents")
    return str(int(hundredfold))


def sscc(serial: int) -> str:
    """A serial shipping container code with its application identifier 00: 20 digits, check digit included."""
    body = f"0{GS1_COMPANY}{serial % 10**9:09d}"
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(body))
    return f"00{body}{-total % 10}"


def site_item_number(item: Item | None, site: Site) -> str:
    """The number of an item in the ERP of a site, empty where it has none."""
    if item is None:
        return ""
    return (item.legacy_no if site.erp == "erp_lawson" else item.cloud_no) or ""


def buyer_unit(uom: str, site: Site) -> str:
    """Unit code of the buyer's ERP: a case is CS in the cloud (Q109)."""
    return "CS" if uom == "CA" and site.erp == "erp_fusion" else uom


def package_gtin(item: Item | None, uom: str) -> str:
    """GTIN of an item's package level, empty where there is none."""
    if item is None:
        return ""
    return next((package.gtin for package in item.packages if package.uom == uom), "")


def _pairs(*pairs: tuple[str, str]) -> tuple[str, ...]:
    """Qualifiers and ids, those without an id left out."""
    return tuple(element for qualifier, number in pairs if number for element in (qualifier, number))


def _given(*segments: Segment) -> list[Segment]:
    """Segments of which the last element is given."""
    return [segment for segment in segments if segment[-1]]


def _party(code: str, name: str, identity: tuple[str, str]) -> Segment:
    return ("N1", code, name, *identity)


# ----------------------------------------------------------------------------------------------------------------- 850


def purchase_order(order: Order, partner: Partner) -> list[Segment]:
    """850: BEG, references, parties, a PO1 loop a line.

    Orders of implants after the fact are of type CN (BEG02); what is not replaced is a confirmation (BEG01 06). Their
    notes go as they were typed into MSG of an N9 loop.
    """
    after_the_fact = order.po_type in ("bill_only", "bill_and_replace")
    case = next((line.case_text for line in order.lines if line.case_text), None) or ""
    contract = next((line.contract_number for line in order.lines if line.contract_number), None) or ""
    segments: list[Segment] = [
        (
            "BEG",
            "06" if order.po_type == "bill_only" else "00",
            "CN" if after_the_fact else "SA",
            order.number,
            "",
            day(order.order_date),
        ),
        ("CUR", "BY", "USD"),
        *_given(
            ("REF", "CT", contract),
            ("REF", "IA", order.supplier_no),
            ("REF", "DP", order.lines[0].department if order.lines else ""),
            ("REF", "CR", case.strip()),
        ),
        ("PER", "BD", "SHS SUPPLY CHAIN", "TE", "5550100100"),
        _party("BY", "SHS HEALTH SYSTEM", ("UL", SYSTEM_GLN)),
        _party("ST", order.site.name.upper(), partner.ship_to(order.site)),
        _party("SU", order.supplier.name.upper(), partner.party),
    ]
    for line in order.lines:
        item = line.item
        segments.append(
            (
                "PO1",
                str(line.line),
                plain(line.quantity),
                buyer_unit(line.uom, order.site),
                plain(line.unit_price),
                "PE",
                *_pairs(
                    ("IN", site_item_number(item, order.site)),
                    ("VC", (line.vendor_catalogue_number or "").strip()),
                    ("MG", item.catalogue_number if item is not None else ""),
                    ("UK", package_gtin(item, line.uom)),
                ),
            )
        )
        segments.append(("PID", "F", "", "", "", line.description))
        if line.each_per_uom != 1:
            segments.append(("PO4", plain(line.each_per_uom)))
        if line.note:
            segments += [("N9", "ZZ", f"{line.line}"), ("MSG", line.note)]
    segments.append(("CTT", str(len(order.lines))))
    return segments


# ----------------------------------------------------------------------------------------------------------------- 855


def acknowledged_price(answer: Answer) -> Decimal:
    """PO104 of an 855: four decimals."""
    return answer.unit_price.quantize(Decimal("0.0001"))


def acknowledgement(
    order: Order,
    partner: Partner,
    acknowledged: date,
    supplier_order: str,
    parts: Sequence[tuple[OrderLine, Answer]],
    ack_type: str,
    with_ship_to: bool,
) -> list[Segment]:
    """855: BAK and a PO1 loop with its ACK segments a line; `parts` is empty for a header alone (Q113)."""
    segments: list[Segment] = [
        (
            "BAK",
            "00",
            ack_type,
            order.number,
            day(order.order_date),
            "",
            "",
            "",
            supplier_order,
            day(acknowledged),
        )
    ]
    if with_ship_to:
        segments.append(_party("ST", order.site.name.upper(), partner.ship_to(order.site)))
    for line, answer in parts:
        unit = partner.unit(answer.uom)
        segments.append(
            (
                "PO1",
                str(line.line),
                plain(answer.quantity),
                unit,
                plain(acknowledged_price(answer)),
                "PE",
                *_pairs(
                    ("IN", partner.buyer_item(site_item_number(line.item, order.site))),
                    (
                        partner.catalogue_qualifier,
                        partner.catalogue((answer.catalogue_number or "").strip()),
                    ),
                ),
            )
        )
        for ack in answer.parts:
            if ack.quantity is None:
                segments.append(("ACK", ack.status))
            else:
                segments.append(("ACK", ack.status, plain(ack.quantity), unit, "068", day(ack.ships_on)))
    if parts:
        segments.append(("CTT", str(len(parts))))
    return segments


# ----------------------------------------------------------------------------------------------------------------- 856


def ship_notice(order: Order, partner: Partner, shipment: Shipment) -> list[Segment]:
    """856 of structure shipment, order, pack, item (BSN05 0001), without packs where cartons have no SSCC (0004)."""
    segments: list[Segment] = [
        (
            "BSN",
            "00",
            shipment.shipment_id,
            day(shipment.shipped_at.date()),
            f"{shipment.shipped_at:%H%M}",
            "0001" if shipment.first_carton is not None else "0004",
        ),
        ("HL", "1", "", "S"),
        ("TD1", "CTN", str(-(-len(shipment.lines) // LINES_PER_PACK))),
        ("TD5", "B", "2", shipment.carrier, "M"),
        ("REF", "BM", shipment.bill_of_lading),
        ("REF", "CN", shipment.tracking),
        ("DTM", "011", day(shipment.shipped_at.date())),
        ("DTM", "017", day(shipment.arrives)),
        _party("SF", order.supplier.name.upper(), partner.party),
        _party("ST", order.site.name.upper(), partner.ship_to(order.site)),
        ("HL", "2", "1", "O"),
        ("PRF", order.number, "", "", day(order.order_date)),
    ]
    number = above = 2
    for place, shipped in enumerate(shipment.lines):
        if shipment.first_carton is not None and place % LINES_PER_PACK == 0:
            number += 1
            above = number
            segments += [
                ("HL", str(number), "2", "P"),
                ("MAN", "GM", sscc(shipment.first_carton + place // LINES_PER_PACK)),
            ]
        number += 1
        segments += [("HL", str(number), str(above), "I"), *_shipped(order, partner, shipped)]
    segments.append(("CTT", str(number)))
    return segments


def _shipped(order: Order, partner: Partner, shipped: Shipped) -> Iterable[Segment]:
    line = shipped.line
    quantity, uom = shipped.quantity, line.uom
    if shipped.in_inner_packs:
        quantity, uom = quantity * line.each_per_uom, "EA"
    yield (
        "LIN",
        str(line.line),
        *_pairs(
            ("IN", partner.buyer_item(site_item_number(line.item, order.site))),
            (partner.catalogue_qualifier, partner.catalogue((line.vendor_catalogue_number or "").strip())),
            ("UK", package_gtin(line.item, uom)),
        ),
    )
    yield ("SN1", "", plain(quantity), partner.unit(uom))
    yield from _given(("REF", "LT", shipped.lot or ""))
    yield from _given(("DTM", "036", day(shipped.expiry)))


# ----------------------------------------------------------------------------------------------------------------- 810


def invoice(document: InvoiceDocument, partner: Partner, style: BillStyle) -> list[Segment]:
    """810: BIG, parties, terms, an IT1 loop a line, TDS with the amount that payables holds, freight and tax.

    What payables books as a difference of the header is in TDS01 only. A credit memo (BIG07 CR) has negative
    quantities and a negative total.
    """
    order, site = document.order, document.site
    goods = [line for line in document.lines if line.line_type == "item" and not line.is_discarded]
    freight = sum((line.amount for line in document.lines if line.line_type == "freight"), ZERO)
    tax = sum((line.amount for line in document.lines if line.line_type == "tax"), ZERO)
    in_header = order is not None and not style.order_on_lines and not style.without_order
    is_credit = document.kind == "credit"
    segments: list[Segment] = [
        (
            "BIG",
            day(document.invoice_date),
            style.number,
            day(order.order_date) if order is not None and in_header else "",
            order.number if order is not None and in_header else "",
            "",
            "",
            "CR" if is_credit else partner.invoice_type,
        ),
        ("CUR", "SE", "USD"),
        *_given(("REF", "IA", document.supplier_no), ("REF", partner.reference, style.shipment_id or "")),
        _party("RE", document.supplier.name.upper(), partner.party),
        _party("ST", site.name.upper(), partner.ship_to(site)),
        _terms(document, partner),
    ]
    charge: list[Segment] = []
    if freight:
        code, words = (HANDLING, "HANDLING AND FREIGHT") if style.freight_code == HANDLING else (FREIGHT, "FREIGHT")
        charge = [("SAC", "C", code, "", "", implied(freight), *([""] * 6), "06", "", "", words)]
    on_line = style.freight_on_line and bool(goods)
    for place, billed in enumerate(goods):
        segments += _billed(document, partner, billed, style.order_on_lines)
        if place == 0 and on_line:
            segments += charge
    discountable = document.amount if partner.gives_discount and document.amount > 0 else None
    segments.append(
        ("TDS", implied(document.amount + style.wrong_by), implied(discountable) if discountable is not None else "")
    )
    if tax:
        segments.append(("TXI", "ST", plain(tax)))
    if not on_line:
        segments += charge
    segments.append(("CTT", str(len(goods))))
    return segments


def billed_values(billed: BilledLine) -> tuple[Decimal, Decimal]:
    """Quantity and price of an IT1; an amount without a quantity is one at that price."""
    if billed.quantity == ZERO:
        return Decimal(1), billed.amount
    return billed.quantity, billed.unit_price


def _terms(document: InvoiceDocument, partner: Partner) -> Segment:
    net = str(document.supplier.terms_days)
    if partner.gives_discount and document.amount > 0:
        return ("ITD", "08", "3", "1", "", "10", "", net)
    return ("ITD", "05", "3", "", "", "", "", net)


def _billed(document: InvoiceDocument, partner: Partner, billed: BilledLine, order_on_line: bool) -> Iterable[Segment]:
    line = billed.order_line
    item = line.item if line is not None else None
    quantity, price = billed_values(billed)
    uom = billed.uom or "EA"
    catalogue = (line.vendor_catalogue_number or "").strip() if line is not None else ""
    yield (
        "IT1",
        str(line.line) if line is not None and partner.echoes_lines else "",
        plain(quantity),
        partner.unit(uom),
        plain(price),
        "",
        *_pairs(
            ("IN", partner.buyer_item(site_item_number(item, document.site))),
            (partner.catalogue_qualifier, partner.catalogue(catalogue)),
            ("UK", package_gtin(item, uom)),
        ),
    )
    yield ("PID", "F", "", "", "", line.description if line is not None else "CHARGES AS AGREED")
    if line is not None and order_on_line:
        yield ("REF", "PO", line.order.number)
    lot = line.lot if line is not None else None
    yield from _given(("REF", "LT", lot or ""))


# ----------------------------------------------------------------------------------------------------------------- 832


@dataclass(frozen=True, slots=True)
class CatalogLine:
    """A price of a catalog."""

    item: Item
    maker: Manufacturer
    catalogue_number: str
    uom: str
    each_per_uom: Decimal
    price: Decimal
    effective_from: date | None
    effective_to: date | None


@dataclass(frozen=True, slots=True)
class Catalog:
    """Prices of one contract and tier, or a price list."""

    number: str
    purpose: str  # BCT10: 00 original, 04 change
    contract_number: str | None  # None: list prices
    tier: int | None
    effective: date
    lines: Sequence[CatalogLine]


def catalog(book: Catalog, partner: Partner) -> list[Segment]:
    """832: BCT, contract and tier, a LIN loop with one price a line; dates may lie ahead (Q118)."""
    segments: list[Segment] = [
        ("BCT", "PC" if book.contract_number else "SC", book.number, *([""] * 7), book.purpose),
        *_given(
            ("REF", "CT", book.contract_number or ""),
            ("REF", "PD", str(book.tier) if book.tier is not None else ""),
        ),
        ("DTM", "007", day(book.effective)),
        _party("SU", partner.supplier.name.upper(), partner.party),
    ]
    price_class = "CON" if book.contract_number else "LPR"
    for place, line in enumerate(book.lines, start=1):
        segments += [
            (
                "LIN",
                str(place),
                *_pairs(
                    (partner.catalogue_qualifier, partner.catalogue(line.catalogue_number.strip())),
                    ("MG", line.item.catalogue_number),
                    ("UK", package_gtin(line.item, line.uom)),
                    ("CN", COMMODITIES.get(line.item.item_class, "")),
                ),
            ),
            *_given(("DTM", "007", day(line.effective_from)), ("DTM", "197", day(line.effective_to))),
            ("PID", "F", "", "", "", line.item.description),
            ("PO4", plain(line.each_per_uom)),
            ("CTP", "", price_class, plain(line.price), "1", partner.unit(line.uom)),
        ]
    segments.append(("CTT", str(len(book.lines))))
    return segments


def contract_price(line: ContractLine) -> Decimal:
    """Price of a contract line per its unit, the distributor's mark-up included, five decimals."""
    factor = 1 + line.markup_pct / 100 if line.price_type == "COST_PLUS" and line.markup_pct is not None else Decimal(1)
    return (line.price * factor).quantize(Decimal("0.00001"))
