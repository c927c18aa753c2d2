"""Trading partners of the simulated health system: how each supplier addresses, separates and words its X12 messages.

Here: `Partner` with its interchange ids, separators and habits, `Marks`, the exchange that sends for several suppliers.
Not here: the content of sets (edi_sets), when they are sent and in which interchange (edi).

Element use per partner and exchange routing are designed (contract of the system `edi`); separators as X12.5 allows.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.simulator.chance import Chance
from ingest.simulator.events import Site, Supplier
from ingest.simulator.plan import DefectPlan

BUYER_ID, BUYER_QUALIFIER = "SHSBUYER", "ZZ"
SYSTEM_GLN = "9521000000018"
EXCHANGE_ID, EXCHANGE_QUALIFIER = "MEDXCHANGE", "ZZ"
EXCHANGE_SHARE = 0.35
SMALL_SHARE = 0.35  # suppliers without SSCC (Q114)
# DUNS numbers are nine digits; D-U-N-S+4 names a location of the same firm (X12 element 66, codes 1 and 9).
PLUS_FOUR = "0001"


@dataclass(frozen=True, slots=True)
class Marks:
    """Separators of an interchange: behind ISA, ISA16, behind ISA16, and what follows each segment end."""

    element: str = "*"
    component: str = ">"
    segment: str = "~"
    line_end: str = ""

    def clean(self, text: str) -> str:
        """`text` without characters that are separators here or none of ASCII, blanks at the end cut off."""
        kept = text.encode("ascii", "replace").decode("ascii")
        for mark in (self.element, self.component, self.segment):
            kept = kept.replace(mark, " ")
        return kept.strip()


STANDARD_MARKS = Marks()
# Q112: every partner has its own.
MARKS: tuple[Marks, ...] = (
    STANDARD_MARKS,
    STANDARD_MARKS,
    Marks("*", ":", "~", "\r\n"),
    Marks("|", ">", "~", "\r\n"),
    Marks("*", "<", "'", ""),
    Marks("^", ":", "\n", ""),
    Marks("\x1d", "\x1f", "\x1c", ""),
)


@dataclass(frozen=True, slots=True)
class Partner:
    """A supplier as it takes part in EDI."""

    supplier: Supplier
    sender: str  # ISA06
    qualifier: str  # ISA05
    application: str  # GS02 of what it sends
    marks: Marks
    party: tuple[str, str]  # N103 and N104 of the supplier: DUNS, or DUNS with four digits more
    assigned_ship_to: bool  # N1*ST with 92 and an assigned code, else UL and a GLN
    catalogue_qualifier: str  # VC or VN
    case_unit: str  # a case is CA, or CT for a carton (Q109)
    echoes_lines: bool  # IT101 is the order's line number
    strips_numbers: bool  # sends back buyer items without zeros and catalogue numbers without punctuation
    reference: str  # qualifier of the shipment on an invoice: SI or BM
    invoice_type: str  # BIG07 of an invoice: DI, PP
    is_small: bool  # no SSCC on its cartons
    gives_discount: bool  # 1 percent within 10 days

    def unit(self, uom: str) -> str:
        """Unit code as this partner writes it."""
        return self.case_unit if uom == "CA" else uom

    def buyer_item(self, number: str) -> str:
        """A buyer's item number as it is sent back."""
        return number.lstrip("0") or number if self.strips_numbers else number

    def catalogue(self, number: str) -> str:
        """A catalogue number as it is sent."""
        if not self.strips_numbers:
            return number
        return "".join(letter for letter in number if letter not in " -.")

    def ship_to(self, site: Site) -> tuple[str, str]:
        """N103 and N104 of a site."""
        return ("92", f"SHS-{site.code}") if self.assigned_ship_to else ("UL", site.gln)


def buyer_marks() -> Marks:
    """Separators of what the health system sends."""
    return STANDARD_MARKS


def partner_of(supplier: Supplier, chance: Chance, plan: DefectPlan) -> Partner:
    """The supplier's way of EDI; the same for one seed."""
    stream = chance.stream("edi partner", supplier.supplier_id)
    through_exchange = stream.flag(EXCHANGE_SHARE)
    long_id = stream.flag(0.4)
    long_party = stream.flag(0.3)
    marks = stream.pick(MARKS)
    exchange_marks = chance.stream("edi partner", EXCHANGE_ID).pick(MARKS[:3])
    duns_plus = supplier.duns + PLUS_FOUR
    if through_exchange:
        sender, qualifier, marks = EXCHANGE_ID, EXCHANGE_QUALIFIER, exchange_marks
    elif long_id:
        sender, qualifier = duns_plus, "14"
    else:
        sender, qualifier = supplier.duns, "01"
    return Partner(
        supplier=supplier,
        sender=sender,
        qualifier=qualifier,
        application=supplier.duns,
        marks=marks if plan.shows("Q112") else STANDARD_MARKS,
        party=("9", duns_plus) if long_party else ("1", supplier.duns),
        assigned_ship_to=stream.flag(0.25),
        catalogue_qualifier=stream.weighted((("VC", 0.7), ("VN", 0.3))),
        case_unit=stream.weighted((("CA", 0.6), ("CT", 0.4))),
        echoes_lines=stream.flag(0.75),
        strips_numbers=stream.flag(0.3),
        reference=stream.pick(("SI", "BM")),
        invoice_type=stream.weighted((("DI", 0.85), ("PP", 0.15))),
        is_small=stream.flag(SMALL_SHARE) and plan.shows("Q114"),
        # The stream that payables asks, too: an offer and what is taken of it agree.
        gives_discount=chance.stream("terms", supplier.supplier_id).flag(0.12),
    )


class Partners:
    """All partners, each made when it is first asked for."""

    def __init__(self, chance: Chance, plan: DefectPlan) -> None:
        self._chance = chance
        self._plan = plan
        self._known: dict[str, Partner] = {}

    def of(self, supplier: Supplier) -> Partner:
        """The partner that a supplier is."""
        partner = self._known.get(supplier.supplier_id)
        if partner is None:
            partner = self._known[supplier.supplier_id] = partner_of(supplier, self._chance, self._plan)
        return partner
