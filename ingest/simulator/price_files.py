"""The price files of the simulated landscape: contracts with their lines, tiers, rosters and renewals.

Here: which items are on contract with whom, at which price and for whom, and which contracts ran out.
Not here: which line an order is written at (contracting), the files themselves (ref, edi, the ERP writers).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ingest.simulator.chance import Chance, Stream
from ingest.simulator.events import ContractLine, Item, Manufacturer, World
from ingest.simulator.plan import DefectPlan

MASTERS_SINCE = date(2024, 10, 1)
SIGNED = date(2025, 1, 15)
LAPSED_ON = date(2024, 12, 31)
CONTRACTED_SHARE = 0.9
RENEWED_SHARE = 0.5  # of the contracts whose price is raised: under a new number from then on
LAPSED_SHARE = 0.5  # of the items without a contract: they had one
LAPSED_DISCOUNT = Decimal("0.94")
GAP_SHARE = 0.2  # contracts whose roster leaves a site out
REACHED_SHARE = 0.5  # second tiers that the sites reach and sign for while the world runs (Q125)
OVERLAP_SHARE = 0.03  # items of a GPO contract that a local one prices, too (Q125)
LOCAL_DISCOUNT = Decimal("0.97")
CENT = Decimal("0.01")
PREFIXES = {"GPO": "PP-OR", "IDN": "SHS-IDN", "LOCAL": "LOC"}

Roster = tuple[tuple[str, date | None], ...]


@dataclass(frozen=True, slots=True)
class Span:
    """One period of a contract's prices."""

    number: str
    effective_from: date
    effective_to: date | None
    factor: Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """What a manufacturer's contract says beside its prices."""

    number: str
    kind: str
    spans: tuple[Span, ...]
    roster: Roster
    second_tier: Roster | None  # who may buy on the better tier, and from when


def add_contracts(
    world: World, chance: Chance, plan: DefectPlan, price_change: date, leave_out: Collection[str]
) -> None:
    """Fill the world's contract lines and tell items their contract and what a distributor adds to their price.

    Args:
        world: masters are read and items replaced.
        chance: source of choices.
        plan: says whether tiers overlap (Q125).
        price_change: the day on which prices are raised and some contracts are renewed under another number.
        leave_out: usage classes of items that are never on contract.
    """
    by_maker: dict[str, list[Item]] = {}
    for item in world.items.values():
        by_maker.setdefault(item.manufacturer_id, []).append(item)
    for maker in world.manufacturers.values():
        stream = chance.stream("masters", "contract", maker.manufacturer_id)
        terms = _terms(world, chance, plan, maker, price_change, stream)
        for item in by_maker.get(maker.manufacturer_id, []):
            if item.usage_class in leave_out:
                continue
            if stream.flag(CONTRACTED_SHARE):
                world.contract_lines.extend(_lines(world, maker, terms, item))
                overlap = chance.stream("masters", "overlap", item.key).flag(OVERLAP_SHARE)
                if terms.kind == "GPO" and overlap and plan.shows("Q125"):
                    world.contract_lines.extend(_local(maker, terms, item))
            elif chance.stream("masters", "lapsed", item.key).flag(LAPSED_SHARE):
                world.contract_lines.extend(_lapsed(maker, item, tuple(world.sites)))


def _terms(
    world: World, chance: Chance, plan: DefectPlan, maker: Manufacturer, price_change: date, stream: Stream
) -> Terms:
    name = maker.manufacturer_id
    kind = stream.weighted((("GPO", 0.6), ("IDN", 0.2), ("LOCAL", 0.2)))
    number = f"{PREFIXES[kind]}-{int(name[3:]):04d}"
    spans: tuple[Span, ...] = (Span(number, MASTERS_SINCE, None, Decimal(1)),)
    if stream.flag(0.25):
        is_renewed = chance.stream("masters", "renewal", name).flag(RENEWED_SHARE)
        later = f"{number}-{price_change:%y}" if is_renewed else number
        spans = (
            Span(number, MASTERS_SINCE, price_change - timedelta(days=1), Decimal(1)),
            Span(later, price_change, None, Decimal("1.03")),
        )
    sites = tuple(world.sites)
    gap = chance.stream("masters", "roster gap", name)
    left_out = None
    if len(sites) > 1:
        last = sites[-1] if stream.flag(0.1) else None
        left_out = gap.pick(sites) if gap.flag(GAP_SHARE) else last
    has_two_tiers = kind == "GPO" and plan.quirk("Q125", name, share=0.3)
    return Terms(
        number=number,
        kind=kind,
        spans=spans,
        roster=tuple((site, SIGNED) for site in sites if site != left_out),
        second_tier=_second_tier(world, chance, name, left_out) if has_two_tiers else None,
    )


def _second_tier(world: World, chance: Chance, maker: str, left_out: str | None) -> Roster:
    """Every site is listed; those of the contract sign on one day in the middle of the world, or never."""
    stream = chance.stream("masters", "second tier", maker)
    signed = None
    if stream.flag(REACHED_SHARE):
        signed = world.start + timedelta(days=int((world.end - world.start).days * (0.3 + 0.4 * stream.fraction())))
    return tuple((site, None if site == left_out else signed) for site in world.sites)


def _lines(world: World, maker: Manufacturer, terms: Terms, item: Item) -> Iterator[ContractLine]:
    """The manufacturer's line of an item, its second tier, and that of the distributor who sells it."""
    base = item.price_each
    is_distributed = item.supplier_id != maker.supplier_id
    price_each = base * Decimal("1.05") if is_distributed else base
    world.items[item.key] = replace(item, price_each=price_each, contract_number=terms.number)
    for span in terms.spans:
        price = (base * span.factor).quantize(CENT, rounding=ROUND_HALF_UP) * _package_each(item)
        shared = _shared(item, terms.kind, span, price)
        own = _seller(maker.supplier_id, item.catalogue_number)
        yield ContractLine(**shared, **own, tier=1, price_type="FIXED", markup_pct=None, roster=terms.roster)
        # A distributor's prices do not follow the tiers.
        if terms.second_tier is not None and not is_distributed:
            better = shared | {"price": (price * Decimal("0.92")).quantize(CENT, rounding=ROUND_HALF_UP)}
            yield ContractLine(**better, **own, tier=2, price_type="FIXED", markup_pct=None, roster=terms.second_tier)
        if is_distributed:
            other = _seller(item.supplier_id, item.vendor_catalogue_number)
            yield ContractLine(
                **shared, **other, tier=1, price_type="COST_PLUS", markup_pct=Decimal(5), roster=terms.roster
            )


def _local(maker: Manufacturer, terms: Terms, item: Item) -> Iterator[ContractLine]:
    """A local agreement on what the GPO's contract prices as well: it goes first."""
    if item.supplier_id != maker.supplier_id:
        return
    each = (item.price_each * LOCAL_DISCOUNT).quantize(CENT, rounding=ROUND_HALF_UP)
    span = Span(f"LOC-{int(maker.manufacturer_id[3:]):04d}-A", MASTERS_SINCE, None, Decimal(1))
    shared = _shared(item, "LOCAL", span, each * _package_each(item))
    seller = _seller(item.supplier_id, item.vendor_catalogue_number)
    yield ContractLine(**shared, **seller, tier=1, price_type="FIXED", markup_pct=None, roster=terms.roster)


def _lapsed(maker: Manufacturer, item: Item, sites: tuple[str, ...]) -> Iterator[ContractLine]:
    """A local agreement that ran out and was never renewed; the list price of today is another one."""
    each = (item.price_each * LAPSED_DISCOUNT).quantize(CENT, rounding=ROUND_HALF_UP)
    if each <= 0 or each == item.price_each:
        return
    span = Span(f"LOC-{int(maker.manufacturer_id[3:]):04d}-24", MASTERS_SINCE, LAPSED_ON, Decimal(1))
    shared = _shared(item, "LOCAL", span, each * _package_each(item))
    seller = _seller(item.supplier_id, item.vendor_catalogue_number)
    roster = tuple((site, MASTERS_SINCE) for site in sites)
    yield ContractLine(**shared, **seller, tier=1, price_type="FIXED", markup_pct=None, roster=roster)


def _package_each(item: Item) -> Decimal:
    return next(package.each for package in item.packages if package.uom == item.buy_uom)


def _shared(item: Item, kind: str, span: Span, price: Decimal) -> dict[str, Any]:
    return {
        "contract_number": span.number,
        "contract_type": kind,
        "item_key": item.key,
        "uom": item.buy_uom,
        "each_per_uom": _package_each(item),
        "price": price,
        "is_on_hold": False,
        "priority": None,
        "effective_from": span.effective_from,
        "effective_to": span.effective_to,
    }


def _seller(supplier_id: str, catalogue_number: str) -> dict[str, Any]:
    return {
        "supplier_id": supplier_id,
        "supplier_no": f"GP{int(supplier_id[3:]):05d}",
        "vendor_catalogue_number": catalogue_number,
    }
