"""Who and what exists in the simulated health system: sites, locations, items, suppliers, contracts, charges, people.

Here: the golden truth of every master and its number in each system, and what the clinical side needs to know about
procedures, surgeons and charge codes (`Masters`).
Not here: the rows that systems deliver about them (ref, clinic, stock, charging; the ERPs in legacy and cloud).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from math import ceil

from ingest.simulator.assortment import FAMILIES, PROCEDURES, SERVICES, WARD_CHARGES, Family, Procedure
from ingest.simulator.chance import Chance, Stream
from ingest.simulator.events import (
    CostVersion,
    Item,
    Location,
    Manufacturer,
    Package,
    Site,
    Supplier,
    World,
)
from ingest.simulator.former_suppliers import add_former_suppliers
from ingest.simulator.item_flaws import DUPLICATE, flaw_items, hibc_check
from ingest.simulator.plan import DefectPlan
from ingest.simulator.price_files import MASTERS_SINCE, add_contracts

REUSED_NUMBERS = 12
CHARGEABLE_FROM = Decimal(25)
INPATIENT_ROUTINE_BELOW = Decimal(50)
MATERIALS_CATALOGUE = 20  # characters of a catalogue number that the MMIS keeps (Q74)
EXPIRED_HCPCS = "C9999"  # a device code that ends with the first quarter of 2026 (Q130)

_HOSPITAL_DEPARTMENTS = ("0000", "6010", "6020", "6030", "6040", "7010", "7020", "7030", "7040", "7050", "8010", "8020")
_SMALLER = ("0000", "6010", "6020", "6030", "7010", "7020", "7040", "7050", "8010", "8020")
_SMALLEST = ("0000", "6010", "6020", "6030", "7010", "7040", "7050", "8010", "8020")

SITES: dict[str, Site] = {
    "CDC": Site(
        "CDC", "SHS Distribution Centre", "erp_fusion", "", "DC1", "9521000001008", None, "100", 300000100000100,
        300000100000200, 300000100000300, "CDC", ("0000", "8030"), 0.0,
    ),
    "H1": Site(
        "H1", "SHS Main Hospital", "erp_fusion", "10100", "MAI", "9521000001107", None, "101", 300000100000101,
        300000100000201, 300000100000301, "H01", _HOSPITAL_DEPARTMENTS, 480 / 1900,
    ),
    "H2": Site(
        "H2", "SHS North Hospital", "erp_fusion", "10200", "NOR", "9521000001206", None, "102", 300000100000102,
        300000100000202, 300000100000302, "H02", _HOSPITAL_DEPARTMENTS, 310 / 1900,
    ),
    "H3": Site(
        "H3", "SHS West Hospital", "erp_lawson", "10300", "WES", "9521000001305", 1003, "103", 300000100000103,
        300000100000203, 300000100000303, "H03", _HOSPITAL_DEPARTMENTS, 260 / 1900, is_issued_at_pick=True,
    ),
    "H4": Site(
        "H4", "SHS River Hospital", "erp_lawson", "10400", "RIV", "9521000001404", 1004, "104", 300000100000104,
        300000100000204, 300000100000304, "H04", _HOSPITAL_DEPARTMENTS, 220 / 1900,
    ),
    "H5": Site(
        "H5", "SHS Prairie Hospital", "erp_lawson", "10500", "PRA", "9521000001503", 1005, None, None,
        None, None, None, _SMALLER, 190 / 1900,
    ),
    "H6": Site(
        "H6", "SHS Hills Hospital", "erp_lawson", "10600", "", "9521000001602", 1006, None, None,
        None, None, None, _SMALLEST, 170 / 1900, mmis_corp="601-1",
    ),
    "H7": Site(
        "H7", "SHS Valley Hospital", "erp_lawson", "10700", "", "9521000001701", 1007, None, None,
        None, None, None, _SMALLEST, 120 / 1900, mmis_corp="602-1",
    ),
    "H8": Site(
        "H8", "SHS East Hospital", "erp_lawson", "10800", "", "9521000001800", 1008, None, None,
        None, None, None, _HOSPITAL_DEPARTMENTS, 150 / 1900, mmis_corp="601-2", zone="America/New_York",
        clinical="ehr_fhir", fhir_organisation="org-h8-east",
    ),
}  # fmt: skip
# First day on which a site's documents are made in the cloud (landscape 4).
CUTOVERS: dict[str, date] = {"H3": date(2026, 4, 1), "H4": date(2026, 7, 1)}

DEPARTMENT_NAMES: dict[str, str] = {
    "0000": "Balance sheet, no department",
    "6010": "Medical-surgical nursing",
    "6020": "Intensive care",
    "6030": "Emergency",
    "6040": "Labour and delivery",
    "7010": "Operating rooms",
    "7020": "Cath lab and electrophysiology",
    "7030": "Interventional radiology",
    "7040": "Endoscopy",
    "7050": "Pre-op and recovery",
    "8010": "Sterile processing",
    "8020": "Supply chain and storeroom",
    "8030": "Distribution centre operations",
}


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """A price of a charge code; `price` None: by mark-up."""

    price: Decimal | None
    effective_from: date
    effective_to: date | None  # inclusive


@dataclass(frozen=True, slots=True)
class ChargeCode:
    """A charge code of the charge description master."""

    code: str
    proc_id: str
    name: str
    revenue_code: str  # 4 digits
    hcpcs: str | None
    method: str  # FIXED, MARKUP
    unit: str  # EA, BX, CM2, HR
    prices: tuple[PriceVersion, ...]
    replaced_by: str | None = None  # the code that took its place when its last price ended

    def is_in_force(self, on: date) -> bool:
        """Whether the charge master has a price row for the date."""
        return any(
            version.effective_from <= on and (version.effective_to is None or on <= version.effective_to)
            for version in self.prices
        )

    def price_on(self, on: date) -> Decimal | None:
        """The fixed price in force on a date."""
        for version in self.prices:
            if version.effective_from <= on and (version.effective_to is None or on <= version.effective_to):
                return version.price
        return None


@dataclass(frozen=True, slots=True)
class Surgeon:
    """A physician who operates."""

    provider_id: str
    name: str
    npi: str
    services: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One row of ref.CHARGEABILITY_POLICY."""

    rule_no: int
    site: str | None
    item_class: str | None
    base_class: int | None
    disposition: str | None
    min_unit_cost: Decimal | None
    research: bool | None
    chargeable: bool
    reason: str
    valid_from: date
    valid_to: date | None  # exclusive


@dataclass(frozen=True, slots=True)
class MarkupTier:
    """One row of ref.MARKUP_TIER."""

    cost_from: Decimal
    cost_to: Decimal | None
    multiplier: Decimal
    floor: Decimal | None
    ceiling: Decimal | None


_MANUFACTURER_WORDS = (
    "Arvida",
    "Northgate",
    "Belmar",
    "Caldera",
    "Dunmore",
    "Eastlake",
    "Fairmont",
    "Glenwood",
    "Harwick",
    "Ivydale",
    "Juniper",
    "Kestrel",
    "Larkfield",
    "Merriden",
    "Norvale",
    "Oakhaven",
    "Pinebrook",
    "Quillon",
    "Ravenna",
    "Silverton",
    "Thornbury",
    "Umberly",
    "Vantora",
    "Westmere",
    "Yarrow",
    "Zephyra",
    "Aldergrove",
    "Brightwell",
    "Corvane",
    "Delphine",
    "Elmstead",
    "Foxhall",
    "Greystone",
    "Hollins",
    "Inverell",
    "Jasperton",
    "Kingsmoor",
    "Lindale",
    "Montrose",
    "Nettleton",
)
_MANUFACTURER_KINDS = (
    "Medical",
    "Surgical",
    "Orthopaedics",
    "Devices",
    "Biologics",
    "Endoscopy",
    "Healthcare",
    "Vascular",
)
_DISTRIBUTORS = (
    "Prairie Medical Distribution",
    "Lakeshore Hospital Supply",
    "Summit Logistics Group",
    "Heartland Med-Surg",
)
_SERVICE_FIRMS = (
    "Clear Instrument Repair",
    "Metro Linen Service",
    "Apex Biomedical Service",
    "Sterile Partners",
    "Freightline Couriers",
    "Cornerstone Equipment Rental",
    "Waste Stream Solutions",
    "Atlas Calibration",
)
FIRST_NAMES = (
    "Maren",
    "Tobias",
    "Ilse",
    "Jonah",
    "Priya",
    "Callum",
    "Rosa",
    "Desmond",
    "Yuki",
    "Amara",
    "Felix",
    "Noor",
    "Greta",
    "Hector",
    "Lena",
    "Omar",
    "Willa",
    "Pavel",
    "Saskia",
    "Dante",
    "Imogen",
    "Ravi",
    "Beatrix",
    "Anders",
    "Chiara",
    "Kofi",
)
LAST_NAMES = (
    "Quillfeather",
    "Brandvold",
    "Okonjo",
    "Straumann",
    "Delacroix-Webb",
    "Yarborough",
    "Ferncastle",
    "Lindqvist",
    "Abernathy",
    "Castellanos",
    "Thistlewood",
    "Varga",
    "Oyelaran",
    "Pemberlake",
    "Holmquist",
    "Zielinska",
    "Marchetti",
    "Greenhalgh",
    "Nakahara",
    "Rosenthaler",
    "Vandermeer",
    "Szymborska",
    "Achterberg",
    "Whitcombe",
    "Fitzwilliam",
    "Dunaway",
)
_PLACEHOLDERS = (
    "MIX ANTIBIOTIC IRRIGATION",
    "HOMEMADE CUSTOM TRAY",
    "CHARTING CODE ANES LEVEL C TRIGGER",
    "IV BIN REFILL",
)


@dataclass(slots=True)
class Masters:
    """What the clinical and billing side needs to know beyond the world's masters."""

    scale: float
    charge_codes: dict[str, ChargeCode]
    surgeons: tuple[Surgeon, ...]
    procedures: tuple[Procedure, ...]
    policy: tuple[PolicyRule, ...]
    markup: tuple[MarkupTier, ...]
    price_change: date
    families: dict[str, tuple[int, ...]]  # family -> item keys
    unmapped_pou: tuple[int, ...]
    placeholders: tuple[int, ...]
    constructs: tuple[int, ...]
    one_time_proc_id: str
    supplier_categories: dict[str, int]  # golden supplier -> ZC_OR_SUPPLIER

    def is_chargeable(
        self,
        site: str,
        item_class: str,
        base_class: int,
        disposition: str,
        unit_cost: Decimal,
        is_research: bool,
        on: date,
    ) -> bool:
        """What the chargeability policy says about one usage line."""
        for rule in self.policy:
            if (
                rule.valid_from <= on
                and (rule.valid_to is None or on < rule.valid_to)
                and rule.site in (None, site)
                and rule.item_class in (None, item_class)
                and rule.base_class in (None, base_class)
                and rule.disposition in (None, disposition)
                and (rule.min_unit_cost is None or unit_cost >= rule.min_unit_cost)
                and rule.research in (None, is_research)
            ):
                return rule.chargeable
        return unit_cost >= CHARGEABLE_FROM

    def markup_price(self, cost: Decimal) -> Decimal:
        """Charge per EACH by the mark-up table."""
        for tier in self.markup:
            if tier.cost_from <= cost and (tier.cost_to is None or cost < tier.cost_to):
                price = cost * tier.multiplier
                if tier.floor is not None:
                    price = max(price, tier.floor)
                if tier.ceiling is not None:
                    price = min(price, tier.ceiling)
                return price
        raise ValueError(f"no mark-up tier for a cost of {cost}")


def gtin(indicator: int, number: int) -> str:
    """A GTIN-14 of the demonstration prefix, check digit included."""
    body = f"{indicator}9521234{number:05d}"
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(body))
    return body + str(-total % 10)


def npi(number: int) -> str:
    """A 10 digit NPI that starts with 2, Luhn digit computed with the prefix 80840."""
    body = f"2{number:08d}"
    total = 0
    for place, digit in enumerate(reversed("80840" + body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def first_of_month_after(day: date, days: int) -> date:
    """The first day of the first month that begins at least `days` after `day`."""
    point = day + timedelta(days=days)
    return point if point.day == 1 else date(point.year + point.month // 12, point.month % 12 + 1, 1)


# Departments with cabinets and par areas, in the order in which a larger world has them.
AREA_DEPARTMENTS = ("7010", "6010", "7050", "6020", "6030", "7040", "6040")
DISTRIBUTED_SUPPLIES = 0.6  # of supplies come from a distributor, the others from their makers
DISTRIBUTED = 0.15  # of implants and instruments


def build_masters(world: World, chance: Chance, plan: DefectPlan, scale: float, sites: Sequence[str]) -> Masters:
    """Fill the world's masters and give what else the clinical side needs."""
    for code in sites:
        if code not in SITES:
            raise ValueError(f"site {code} is not simulated; choose from {', '.join(SITES)}")
        world.sites[code] = SITES[code]
        if code in CUTOVERS and CUTOVERS[code] <= world.end:
            world.cutovers[code] = CUTOVERS[code]
            world.sites[code] = replace(SITES[code], erp=world.erp_on(code, world.start - timedelta(days=1)))
    _locations(world, scale)
    price_change = first_of_month_after(world.start, max((world.end - world.start).days * 2 // 5, 5))
    _suppliers(world, chance)
    add_former_suppliers(world, first=len(world.suppliers) + 1)
    charge_codes = _charge_codes(price_change, chance)
    charge_codes |= _replaced_codes(charge_codes, world.start - timedelta(days=40), price_change - timedelta(days=1))
    if plan.shows("Q130"):
        charge_codes |= _expired_code()
    families = _items(world, chance, plan, scale, charge_codes)
    flaw_items(world, chance, plan)
    add_contracts(world, chance, plan, price_change, leave_out=_SPECIAL_KINDS)
    _published_costs(world, chance)
    specials = {kind: [key for key, item in world.items.items() if item.usage_class == kind] for kind in _SPECIAL_KINDS}
    return Masters(
        scale=scale,
        charge_codes=charge_codes,
        surgeons=_surgeons(chance, scale),
        procedures=PROCEDURES,
        policy=_policy(price_change),
        markup=_MARKUP,
        price_change=price_change,
        families=families,
        unmapped_pou=tuple(specials["unmapped_pou"]),
        placeholders=tuple(specials["placeholder"]),
        constructs=tuple(specials["construct"]),
        one_time_proc_id=charge_codes["2789990"].proc_id,
        supplier_categories={supplier: 3001 + number for number, supplier in enumerate(world.suppliers)},
    )


_SPECIAL_KINDS = ("unmapped_pou", "placeholder", "construct", "retired", "reused", DUPLICATE)

_MARKUP = (
    MarkupTier(Decimal(0), Decimal(50), Decimal("4.0"), Decimal(10), None),
    MarkupTier(Decimal(50), Decimal(250), Decimal("3.2"), None, None),
    MarkupTier(Decimal(250), Decimal(1000), Decimal("2.6"), None, None),
    MarkupTier(Decimal(1000), Decimal(5000), Decimal("2.1"), None, None),
    MarkupTier(Decimal(5000), None, Decimal("1.7"), None, Decimal(60000)),
)


def _policy(price_change: date) -> tuple[PolicyRule, ...]:
    since = MASTERS_SINCE

    def rule(
        number: int,
        chargeable: bool,
        reason: str,
        item_class: str | None = None,
        base_class: int | None = None,
        disposition: str | None = None,
        minimum: Decimal | None = None,
        research: bool | None = None,
        site: str | None = None,
        start: date = since,
        end: date | None = None,
    ) -> PolicyRule:
        return PolicyRule(
            number, site, item_class, base_class, disposition, minimum, research, chargeable, reason, start, end
        )

    return (
        rule(10, False, "research sponsor pays", research=True),
        rule(20, False, "wasted items are not billed", disposition="WASTED"),
        rule(30, False, "explanted device", disposition="EXPLANTED"),
        rule(40, False, "reusable instrument", item_class="INSTRUMENT"),
        rule(50, True, "implant", item_class="IMPLANT"),
        rule(60, False, "emergency kit rate", item_class="SUPPLY", base_class=3, site="H5", start=price_change),
        rule(70, True, "inpatient supply of high cost", "SUPPLY", 1, minimum=INPATIENT_ROUTINE_BELOW),
        rule(80, False, "routine inpatient supply", "SUPPLY", 1),
    )


def _locations(world: World, scale: float) -> None:
    cabinets = 2 if scale <= 0.1 else 4
    areas = 2 if scale <= 0.02 else 4 if scale <= 0.1 else len(AREA_DEPARTMENTS)
    for site in world.sites.values():
        if not site.is_hospital:
            world.locations["CDC-WHS"] = Location(
                "CDC-WHS", site.code, "WAREHOUSE", True, True, False, f"{site.pou_site}-WHS-01", "WHS", None, "8030"
            )
            continue
        digit = site.code[1]
        kinds = [("STR", "STOREROOM", True, True, "8020"), ("ORC", "OR_CORE", True, True, "7010")]
        if "7020" in site.departments:
            kinds.append(("CTH", "PROCEDURAL", True, True, "7020"))
        if "7030" in site.departments:
            kinds.append(("IRR", "PROCEDURAL", True, True, "7030"))
        kinds.append(("CNS", "CONSIGN_CLOSET", True, False, "7010"))
        for suffix, kind, perpetual, asset, department in kinds:
            world.locations[f"{site.code}-{suffix}"] = Location(
                location_id=f"{site.code}-{suffix}",
                site=site.code,
                location_type=kind,
                is_perpetual=perpetual,
                is_asset=asset,
                is_consigned=suffix == "CNS",
                pou_code=_stock_code(site, suffix, 1),
                erp_code=suffix if site.erp == "erp_fusion" else f"{site.code}{suffix}",
                ehr_code=f"10{digit}{suffix}" if site.clinical == "ehr" else None,
                department=department,
                mmis_no=_materials_code(site, suffix, 1),
                mmis_id=_materials_id(site, world),
            )
        for number, department in enumerate(AREA_DEPARTMENTS[:areas], start=1):
            for suffix, kind, perpetual in (("CAB", "CABINET", True), ("PAR", "PAR", False)):
                if suffix == "CAB" and (site.mmis_corp is not None or number > cabinets):
                    continue
                if department not in site.departments:
                    continue
                name = f"{suffix}{number:02d}"
                world.locations[f"{site.code}-{name}"] = Location(
                    location_id=f"{site.code}-{name}",
                    site=site.code,
                    location_type=kind,
                    is_perpetual=perpetual,
                    is_asset=False,
                    is_consigned=False,
                    pou_code=_stock_code(site, suffix, number),
                    erp_code=None,
                    ehr_code=f"10{digit}{name}" if suffix == "PAR" and site.clinical == "ehr" else None,
                    department=department,
                    mmis_no=_materials_code(site, suffix, number),
                    mmis_id=_materials_id(site, world),
                )


def _materials_code(site: Site, suffix: str, number: int) -> str | None:
    """LOC_NO of a location (landscape 2.2)."""
    if site.mmis_corp is None:
        return None
    return f"{site.code}P{number:02d}" if suffix == "PAR" else f"{site.code}{suffix}"


def _materials_id(site: Site, world: World) -> int | None:
    """LOC_ID: a running number of the database, so that both databases have the same ones (Q67)."""
    if site.mmis_corp is None:
        return None
    return 101 + sum(world.sites[place.site].database == site.database for place in world.locations.values())


def _stock_code(site: Site, suffix: str, number: int) -> str:
    code = _materials_code(site, suffix, number)
    return f"{site.pou_site}-{suffix}-{number:02d}" if code is None else f"{code}-{site.database}"


def _suppliers(world: World, chance: Chance) -> None:
    stream = chance.stream("masters", "suppliers")

    def supplier(number: int, name: str, role: str, parent: str | None, ers: bool) -> Supplier:
        return Supplier(
            supplier_id=f"SUP{number:05d}",
            name=name,
            parent_supplier_id=parent,
            role=role,
            lawson_no=str(20100 + number * 7),
            cloud_no=str(50100 + number * 3),
            cloud_vendor_id=300000200000000 + number,
            cloud_site_id=300000210000000 + number,
            duns=f"95{number:07d}",
            is_ers=ers,
            terms_days=stream.pick((30, 30, 45)),
        )

    for number, word in enumerate(_MANUFACTURER_WORDS, start=1):
        kind = _MANUFACTURER_KINDS[number % len(_MANUFACTURER_KINDS)]
        name = f"{word} {kind}"
        # Q129: two divisions below one parent, never to be merged.
        parent = "SUP00001" if number in (9, 17) else None
        made = supplier(number, name, "MANUFACTURER", parent, number in (5, 14, 23))
        world.suppliers[made.supplier_id] = made
        manufacturer_id = f"MFR{number:05d}"
        world.manufacturers[manufacturer_id] = Manufacturer(
            manufacturer_id=manufacturer_id,
            name=name,
            lawson_code=word[:4].upper(),
            ehr_category=5000 + number,
            ehr_name=f"{name.upper()} {100000 + number * 731}",
            aliases=(
                f"{word} {kind} INC".upper(),
                f"{word[:5]} {kind[:4]}".upper(),
                f"{word.upper()} {kind.upper()} CORP.",
            ),
            supplier_id=made.supplier_id,
            gs1_prefix="9521234",
        )
    for number, name in enumerate(_DISTRIBUTORS, start=len(_MANUFACTURER_WORDS) + 1):
        made = supplier(number, name, "DISTRIBUTOR", None, number == len(_MANUFACTURER_WORDS) + 2)
        world.suppliers[made.supplier_id] = made
    for number, name in enumerate(_SERVICE_FIRMS, start=len(_MANUFACTURER_WORDS) + len(_DISTRIBUTORS) + 1):
        made = supplier(number, name, "SERVICE", None, False)
        world.suppliers[made.supplier_id] = made


def _band(price: Decimal) -> int:
    return 0 if price < 60 else 1 if price < 150 else 2 if price < 600 else 3 if price < 2000 else 4


def _charge_codes(price_change: date, chance: Chance) -> dict[str, ChargeCode]:
    codes: dict[str, ChargeCode] = {}
    number = 0
    bands = (Decimal(40), Decimal(100), Decimal(300), Decimal(1100), Decimal(3400))
    for family in FAMILIES:
        if family.revenue_code is None:
            continue
        for band, middle in enumerate(bands):
            if _band(Decimal(repr(family.high))) < band or _band(Decimal(repr(family.low))) > band:
                continue
            number += 1
            code = f"{family.revenue_code[1:]}{1000 + number}"
            stream = chance.stream("masters", "price", code)
            price = None
            if family.method == "FIXED":
                factor = Decimal(1)
                if family.unit == "BX":
                    factor = Decimal(family.box)
                elif family.unit == "CM2":
                    factor = 1 / Decimal(16)
                price = (middle * factor * stream.decimal(2.4, 3.4, 1)).quantize(Decimal(1), rounding=ROUND_HALF_UP)
            versions = [PriceVersion(price, MASTERS_SINCE, None)]
            if price is not None and stream.flag(0.35):
                raised = (price * Decimal("1.05")).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
                versions = [
                    PriceVersion(price, MASTERS_SINCE, price_change - timedelta(days=1)),
                    PriceVersion(raised, price_change, None),
                ]
            codes[code] = ChargeCode(
                code, str(600000 + number), f"HC {family.label} {band}", family.revenue_code, family.hcpcs,
                family.method, family.unit, tuple(versions),
            )  # fmt: skip
    for code, name, revenue, unit, method, price in (
        ("3600001", "HC OR TIME LEVEL 1", "0360", "HR", "FIXED", Decimal(2400)),
        ("3700001", "HC ANESTHESIA", "0370", "EA", "FIXED", Decimal(900)),
        ("1100001", "HC ROOM AND BOARD", "0110", "EA", "FIXED", Decimal(2100)),
        ("2500001", "HC PHARMACY GENERAL", "0250", "EA", "FIXED", Decimal(85)),
        ("2700001", "HC FLOOR SUPPLY KIT", "0270", "EA", "FIXED", Decimal(64)),
        ("2500002", "HC IRRIGATION SOLUTION", "0250", "EA", "FIXED", Decimal(48)),
        ("2789990", "HC IMPLANT ONE TIME", "0278", "EA", "MARKUP", None),
    ):
        number += 1
        codes[code] = ChargeCode(
            code, str(600000 + number), name, revenue, None, method, unit, (PriceVersion(price, MASTERS_SINCE, None),)
        )
    for code, name, revenue, hcpcs, amount in WARD_CHARGES:
        number += 1
        prices = (PriceVersion(Decimal(amount), MASTERS_SINCE, None),)
        codes[code] = ChargeCode(code, str(600000 + number), name, revenue, hcpcs or None, "FIXED", "EA", prices)
    return codes


def _expired_code() -> dict[str, ChargeCode]:
    """Q130: a charge for a device whose HCPCS code ends while the charge master still has it; nobody uses it."""
    prices = (PriceVersion(None, MASTERS_SINCE, None),)
    name = "HC PASS THROUGH DEVICE EXPIRED"
    code = ChargeCode("2789991", "680001", name, "0278", EXPIRED_HCPCS, "MARKUP", "EA", prices)
    return {code.code: code}


def _replaced_codes(codes: dict[str, ChargeCode], earlier: date, later: date) -> dict[str, ChargeCode]:
    """Former codes of sterile supplies, replaced at a revision of the charge master: before the world, or within it."""
    sterile = [code for code in codes.values() if code.revenue_code == "0272" and code.unit == "EA"]
    former = {}
    for number, code in enumerate((entry for entry in sterile if entry.method == "FIXED"), start=1):
        ended = earlier if number % 3 == 0 else later
        price = code.prices[0].price
        former[f"272{9000 + number}"] = ChargeCode(
            f"272{9000 + number}", str(690000 + number), f"{code.name} OLD", code.revenue_code, code.hcpcs,
            code.method, code.unit, (PriceVersion(price, MASTERS_SINCE, ended),), code.code,
        )  # fmt: skip
    return former


def _catalogue_number(stream: Stream, number: int, manufacturer: Manufacturer) -> str:
    """Never equal to another number of the manufacturer, also without punctuation: `number` is not used twice."""
    prefix = manufacturer.name[:2].upper()
    shape = stream.integer(1, 10)
    if shape <= 6:
        return f"{prefix}-{number:04d}-{stream.integer(10, 99)}"
    if shape <= 8:
        return f"{prefix}{number:05d}{stream.pick(('A', 'K', 'X', 'S'))}"
    return f"{prefix}.R{stream.integer(10, 99)}/{number:04d}"


def _hibc(key: int, catalogue: str) -> str:
    """A HIBC of the manufacturer's number, unit of measure 1, with its check character."""
    text = f"+H{key:03d}{catalogue.replace('-', '').replace('.', '').replace('/', '')}1"
    return text + hibc_check(text)


def _price(stream: Stream, family: Family) -> Decimal:
    if family.high < 5:
        return stream.decimal(family.low, family.high, 2)
    return (
        stream.decimal(family.low, family.high, 2) if family.high < 60 else stream.decimal(family.low, family.high, 1)
    )


def _packages(family: Family, number: int) -> tuple[Package, ...]:
    packages = [Package("EA", Decimal(1), gtin(0, number))]
    if family.box:
        packages.append(Package("BX", Decimal(family.box), gtin(1, number)))
        if family.box <= 25:
            packages.append(Package("CA", Decimal(family.box * 10), gtin(2, number)))
    return tuple(packages)


def _items(
    world: World, chance: Chance, plan: DefectPlan, scale: float, charge_codes: dict[str, ChargeCode]
) -> dict[str, tuple[int, ...]]:
    wanted = max(220, min(90_000, int(20_000 * scale)))
    weight = sum(family.weight for family in FAMILIES)
    manufacturers = list(world.manufacturers.values())
    legacy_in_use, cloud_in_use = bool(world.sites_of("erp_lawson")), bool(world.sites_of("erp_fusion"))
    materials = any(site.mmis_corp is not None for site in world.sites.values())
    families: dict[str, list[int]] = {}
    key = 0
    cloud_only = 900001
    by_code: dict[tuple[str, int], str] = {}
    for known in charge_codes.values():
        label, _, band = known.name.removeprefix("HC ").rpartition(" ")
        if band.isdigit():
            by_code[(label, int(band))] = known.code
    for family in FAMILIES:
        makers = chance.stream("masters", "makers", family.name).sample(manufacturers, 3)
        for place in range(max(3, ceil(wanted * family.weight / weight))):
            key += 1
            stream = chance.stream("masters", "item", key)
            maker = makers[place % len(makers)]
            price = _price(stream, family)
            variant = family.variants[place % len(family.variants)]
            catalogue = _catalogue_number(stream, key, maker)
            if family.item_class == "SUPPLY" and materials and plan.quirk("Q74", key):
                catalogue = f"{catalogue}-STERILE-CONVENIENCE"
            legacy_no: str | None = f"{10000 + key * 13:07d}"
            cloud_no: str | None = str(10000 + key * 13)
            held = stream.fraction()
            if held < 0.06 and cloud_in_use:
                legacy_no, cloud_no = None, str(cloud_only)
                cloud_only += 1
            elif held > 0.96 and legacy_in_use:
                cloud_no = None
            code = by_code.get((family.label, _band(price))) if family.revenue_code else None
            charged = charge_codes[code] if code else None
            share = DISTRIBUTED_SUPPLIES if family.item_class == "SUPPLY" else DISTRIBUTED
            distributor = family.stock_class in ("STOCK", "NONSTOCK") and stream.flag(share)
            supplier_id = maker.supplier_id
            if distributor:
                supplier_id = f"SUP{len(_MANUFACTURER_WORDS) + 1 + stream.integer(0, 2):05d}"
            udi_type = 1
            if family.item_class == "IMPLANT" and plan.quirk("Q22", key, share=0.15):
                udi_type = 3 if family.name == "skin" else 2
            packages = _packages(family, key)
            pou_no = f"PX{100000 + key:06d}"
            item = Item(
                key=key,
                description=f"{family.label} {variant}",
                item_class=family.item_class,
                stock_class=family.stock_class,
                manufacturer_id=maker.manufacturer_id,
                catalogue_number=catalogue,
                legacy_no=legacy_no,
                cloud_no=cloud_no,
                cloud_item_id=300000300000000 + key if cloud_no else None,
                pou_no=pou_no,
                supply_id=str(2000000 + key * 3),
                supplier_id=supplier_id,
                vendor_catalogue_number=catalogue if not distributor else f"{stream.integer(100, 999)}-{key:05d}",
                packages=packages,
                buy_uom="BX" if family.box else "EA",
                price_each=price,
                charge_code=code,
                proc_id=charged.proc_id if charged else None,
                revenue_code=family.revenue_code,
                is_chargeable=code is not None,
                is_lot_tracked=family.is_lot_tracked or family.is_serial_tracked,
                is_serial_tracked=family.is_serial_tracked,
                contract_number=None,
                ehr_external_id=str(int(legacy_no or cloud_no or "0")),
                pou_erp_item_no=legacy_no or cloud_no,
                usage_class=family.name,
                home=family.home,
                price_method=family.method,
                unit_of_charge=family.unit,
                hcpcs=family.hcpcs,
                hibc=_hibc(key, catalogue) if udi_type == 2 else None,
                udi_type=udi_type,
                conversion_rate=Decimal(16) if family.unit == "CM2" else None,
                pou_gtin=packages[0].gtin
                if not plan.quirk("Q60", "unpadded", key, share=0.1)
                else packages[0].gtin[1:],
                pou_manufacturer_name=stream.pick((maker.name, maker.name.upper(), *maker.aliases)),
                ehr_identities=(),
                is_in_gudid=not (plan.defects and family.item_class == "IMPLANT" and plan.quirk("Q128", key)),
            )
            item = _identified(item, stream, plan)
            if (
                item.item_class == "SUPPLY"
                and item.home == "ORC"
                and not item.pou_alias_nos
                and stream.flag(0.08 if plan.shows("Q62") else 0)
            ):
                item = replace(item, pou_alias_nos=(f"PX{500000 + key:06d}",))
            world.items[key] = item
            families.setdefault(family.name, []).append(key)
    _same_number_of_two_makers(world, chance, plan)
    _special_items(world, chance, plan, key)
    _materials_numbers(world, chance, plan)
    return {name: tuple(keys) for name, keys in families.items()}


def _materials_numbers(world: World, chance: Chance, plan: DefectPlan) -> None:
    """Number the items in both databases of the MMIS: the legacy number in the first, an own one in the second.

    Q77: some numbers of the second are those of other products in the first. A catalogue number that the MMIS cuts
    (Q74) leaves nothing to know an item of the second by, so that database has none of them but as a defect.
    """
    first = {item.key: item.legacy_no.lstrip("0") for item in world.items.values() if item.legacy_no}
    taken: set[str] = set()
    for item in list(world.items.values()):
        if item.key not in first:
            continue
        own = None
        is_cut = len(item.catalogue_number) > MATERIALS_CATALOGUE
        if item.usage_class not in _SPECIAL_KINDS and (plan.defects or not is_cut):
            own = f"E{20000 + item.key:05d}"
            if plan.quirk("Q77", item.key):
                others = [number for key, number in first.items() if key != item.key and number not in taken]
                own = chance.stream("masters", "number of both databases", item.key).pick(others)
                taken.add(own)
        world.items[item.key] = replace(item, mmis_no=first[item.key], mmis_east_no=own)


def _identified(item: Item, stream: Stream, plan: DefectPlan) -> Item:
    """Give the item its numbers in the EHR and the inventory system, some of them missing or stale."""
    base = item.packages[0].gtin
    identities: list[tuple[int, str]] = [(30, base)]
    if item.pou_no is not None and stream.flag(0.8):
        identities.append((20, item.pou_no))
    changed: dict[str, object] = {}
    if plan.quirk("Q20", "empty", item.key):
        changed["ehr_external_id"] = None
        if stream.flag(0.4) or item.cloud_no is None:
            identities = []  # manufacturer and catalogue number alone identify it
        else:
            identities = [(30, base)]
    elif stream.flag(0.6) and item.ehr_external_id is not None:
        identities.insert(0, (10, item.ehr_external_id))
    if plan.quirk("Q59", "empty", item.key, share=0.03):
        changed["pou_erp_item_no"] = None
        if stream.flag(0.5) or item.cloud_no is None:
            changed["pou_gtin"] = None
    return replace(item, ehr_identities=tuple(identities), **changed)  # type: ignore[arg-type]


def _same_number_of_two_makers(world: World, chance: Chance, plan: DefectPlan) -> None:
    """Q126: the same catalogue number from two manufacturers."""
    if not plan.shows("Q126"):
        return
    stream = chance.stream("masters", "same number")
    keys = list(world.items)
    for key in stream.sample(keys, max(2, len(keys) // 150)):
        other = world.items[stream.pick(keys)]
        item = world.items[key]
        if other.manufacturer_id != item.manufacturer_id and other.vendor_catalogue_number == other.catalogue_number:
            vendor = other.catalogue_number if item.vendor_catalogue_number == item.catalogue_number else None
            world.items[key] = replace(
                item,
                catalogue_number=other.catalogue_number,
                vendor_catalogue_number=vendor or item.vendor_catalogue_number,
            )


def _bare_item(key: int, description: str, maker: Manufacturer, catalogue: str, price: Decimal) -> Item:
    return Item(
        key=key,
        description=description,
        item_class="SUPPLY",
        stock_class="NONSTOCK",
        manufacturer_id=maker.manufacturer_id,
        catalogue_number=catalogue,
        legacy_no=None,
        cloud_no=None,
        cloud_item_id=None,
        pou_no=None,
        supply_id=None,
        supplier_id=maker.supplier_id,
        vendor_catalogue_number=catalogue,
        packages=(Package("EA", Decimal(1), gtin(0, key)),),
        buy_uom="EA",
        price_each=price,
        charge_code=None,
        proc_id=None,
        revenue_code=None,
        is_chargeable=False,
        is_lot_tracked=False,
        is_serial_tracked=False,
        contract_number=None,
    )


def _special_items(world: World, chance: Chance, plan: DefectPlan, last: int) -> None:
    """Retired, reused, placeholder and unmapped items."""
    stream = chance.stream("masters", "special items")
    makers = list(world.manufacturers.values())
    key = last
    regular = [item for item in world.items.values() if item.legacy_no and item.cloud_no]
    for number in range(max(4, last // 100)):
        key += 1
        maker = stream.pick(makers)
        retired = _bare_item(key, f"RETIRED PRODUCT {number}", maker, f"RT-{key:05d}-OLD", stream.decimal(5, 90))
        world.items[key] = replace(retired, legacy_no=f"{10000 + key * 13:07d}", is_active=False, usage_class="retired")
        if plan.defects and plan.quirk("Q20", "stale", number, share=0.9):
            victim = stream.pick([item for item in regular if item.ehr_identities and item.ehr_external_id])
            kept = tuple((kind, value) for kind, value in victim.ehr_identities if kind != 10)
            world.items[victim.key] = replace(victim, ehr_external_id=str(10000 + key * 13), ehr_identities=kept)
    # Numbers reused by the cloud for another product; known to the ERPs alone.
    for number in range(min(REUSED_NUMBERS, max(4, last // 60))):
        for erp in ("legacy", "cloud"):
            key += 1
            maker = makers[(number * 2 + (erp == "cloud")) % len(makers)]
            reused = _bare_item(
                key, f"REUSED NUMBER {erp.upper()} {number}", maker, f"RU-{key:05d}-{number}", stream.decimal(5, 90)
            )
            shared = 7001 + number
            world.items[key] = replace(
                reused,
                legacy_no=f"{shared:07d}" if erp == "legacy" else None,
                cloud_no=str(shared) if erp == "cloud" else None,
                cloud_item_id=300000300000000 + key if erp == "cloud" else None,
                usage_class="reused",
            )
    for number in range(3):
        key += 1
        maker = makers[number]
        construct = _bare_item(
            key, f"CONSTRUCT SPINE LEVEL {number + 1}", maker, f"CN-{key:05d}-L", Decimal(4200 + 900 * number)
        )
        world.items[key] = replace(
            construct,
            item_class="SUPPLY",
            legacy_no=f"{10000 + key * 13:07d}",
            cloud_no=str(10000 + key * 13),
            cloud_item_id=300000300000000 + key,
            supply_id=str(2000000 + key * 3),
            ehr_external_id=str(10000 + key * 13),
            is_placeholder=True,
            is_construct=True,
            usage_class="construct",
        )
    if not plan.defects:
        return
    for description in _PLACEHOLDERS:
        key += 1
        plain = _bare_item(key, description, makers[key % len(makers)], f"{key}", stream.decimal(12, 18))
        world.items[key] = replace(
            plain, supply_id=str(2000000 + key * 3), is_placeholder=True, usage_class="placeholder", home="PAR"
        )
    for number in range(6):
        key += 1
        maker = makers[(number * 5) % len(makers)]
        # A catalogue number of digits alone is not sure enough, and the GTIN is in no master.
        trial = _bare_item(key, f"TRIAL DEVICE {number + 1}", maker, f"{880000 + key}", stream.decimal(70, 260))
        world.items[key] = replace(
            trial,
            pou_no=f"PX{100000 + key:06d}",
            pou_gtin=gtin(0, key) if number % 2 else None,
            pou_manufacturer_name=maker.name,
            usage_class="unmapped_pou",
            home="CAB",
            is_in_gudid=False,
        )


def _published_costs(world: World, chance: Chance) -> None:
    """Cost over time as the EHR holds it: the contract price since 2025, raised when the contract was."""
    for item in world.items.values():
        if item.supply_id is None:
            continue
        published = item.price_each
        world.costs.append(CostVersion("ovtm", None, None, item.key, date(2025, 1, 1), published))
        raises = [
            line
            for line in world.contract_lines
            if line.item_key == item.key and line.tier == 1 and line.supplier_id == item.supplier_id
        ]
        if len(raises) > 1 and chance.stream("masters", "cost follows", item.key).flag(0.8):
            later = max(raises, key=lambda line: line.effective_from)
            each = later.price / later.each_per_uom * (1 + (later.markup_pct or Decimal(0)) / 100)
            world.costs.append(
                CostVersion(
                    "ovtm",
                    None,
                    None,
                    item.key,
                    later.effective_from + timedelta(days=3),
                    each.quantize(Decimal("0.00001")),
                )
            )


def _surgeons(chance: Chance, scale: float) -> tuple[Surgeon, ...]:
    stream = chance.stream("masters", "surgeons")
    number = max(25, int(400 * scale))
    services = list(SERVICES)
    made = []
    for index in range(number):
        made.append(
            Surgeon(
                provider_id=str(41000 + index),
                name=f"{stream.pick(LAST_NAMES).upper()}, {stream.pick(FIRST_NAMES).upper()} MD",
                npi=npi(5000 + index),
                services=(services[index % len(services)],),
            )
        )
    return tuple(made)
