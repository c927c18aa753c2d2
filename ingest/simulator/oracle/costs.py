"""Unit costs and prices on a date: moving average, EHR cost over time, contract price, charge price.

Here: "Costs and amounts" of the catalogue, charge units in EACH, contract lines in force.
Not here: what is multiplied by them (the rule modules).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction

from ingest.simulator.events import ChargePrice, ContractLine, Item, World
from ingest.simulator.oracle.calendar import DAY, Deliveries
from ingest.simulator.oracle.record import SystemsOfRecord

RANK = {"LOCAL": 0, "IDN": 1, "GPO": 2}


def in_force(row: dict[str, str], day: date) -> bool:
    """Whether a reference row is valid on the day; `valid_to` is exclusive."""
    return (row.get("valid_from") or "") <= day.isoformat() and (
        not row.get("valid_to") or day.isoformat() < row["valid_to"]
    )


class UnitCosts:
    """Cost per EACH of an item at a place on a business date."""

    def __init__(self, world: World, deliveries: Deliveries) -> None:
        self._world = world
        self._deliveries = deliveries
        self._record = SystemsOfRecord(world.reference.get("SYSTEM_OF_RECORD", ()))
        self._averages: dict[tuple[str, str | None, int], list[tuple[date, Decimal]]] = defaultdict(list)
        self._over_time: dict[int, list[tuple[date, Decimal]]] = defaultdict(list)
        for cost in world.costs:
            if cost.source == "average" and cost.site is not None:
                self._averages[cost.site, cost.location_id, cost.item_key].append((cost.valid_from, cost.unit_cost))
            elif cost.source == "ovtm":
                self._over_time[cost.item_key].append((cost.valid_from, cost.unit_cost))
        self._lines: dict[int, list[ContractLine]] = defaultdict(list)
        numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
        for item in world.items.values():
            numbers[item.manufacturer_id, item.catalogue_number.strip().upper()].append(item.key)
        for line in world.contract_lines:
            item = world.items[line.item_key]
            for key in numbers[item.manufacturer_id, item.catalogue_number.strip().upper()]:
                self._lines[key].append(line)
        for versions in (*self._averages.values(), *self._over_time.values()):
            versions.sort(key=lambda version: version[0])

    def average(self, site: str, location_id: str | None, item_key: int, day: date) -> Decimal | None:
        """Moving average in the snapshot in force on the day; None when the ERP does not hold the item there."""
        location = self._world.locations.get(location_id or "")
        if location is None or not location.is_asset:
            return None
        place: str | None = location_id
        system, extract = "erp_lawson", "ITEMLOC"
        if (self._record.of(site, "inventory", day) or self._world.sites[site].erp) == "erp_fusion":
            place, system, extract = None, "erp_fusion", "CST_VALUATION"
        versions = self._averages.get((site, place, item_key))
        if not versions:
            return None
        taken_after = self._deliveries.snapshot_folder(system, extract, day) - DAY
        at = bisect_right(versions, taken_after, key=lambda version: version[0])
        return versions[max(at - 1, 0)][1]

    def over_time(self, item_key: int, day: date) -> Decimal | None:
        """EHR cost over time, latest on or before the day."""
        versions = self._over_time.get(item_key, [])
        at = bisect_right(versions, day, key=lambda version: version[0])
        return versions[at - 1][1] if at else None

    def unit_cost(self, site: str, location_id: str | None, item: Item | None, day: date) -> Fraction:
        """Moving average of the system of record, else the EHR cost over time, else the contract price, else 0."""
        if item is None:
            return Fraction(0)
        cost = self.average(site, location_id, item.key, day)
        if cost is None:
            cost = self.over_time(item.key, day)
        if cost is not None:
            return Fraction(cost)
        return self.contract_price(item, site, day) or Fraction(0)

    # ---------------------------------------------------------------------------------------------------- contracts

    def contract_price(self, item: Item, site: str, day: date) -> Fraction | None:
        """Price per EACH of the best contract line in force for the item and the facility, without mark-ups."""
        lines = [
            line
            for line in self.contract_lines(item.key)
            if line.price_type != "COST_PLUS" and is_contract_in_force(line, site, day)
        ]
        return price_each(min(lines, key=selection)) if lines else None

    def contract_lines(self, item_key: int) -> list[ContractLine]:
        """All price lines of an item, in force or not; a second number of a product (MDM-02) has those of the first."""
        return self._lines.get(item_key, [])


def price_each(line: ContractLine) -> Fraction:
    """Contract price per EACH, without a distributor's mark-up."""
    return Fraction(line.price) / Fraction(line.each_per_uom)


def is_on_roster(line: ContractLine, site: str, day: date) -> bool:
    """Whether the facility has signed for the tier of the line on or before the day."""
    return any(member == site and signed is not None and signed <= day for member, signed in line.roster)


def is_in_dates(line: ContractLine, day: date) -> bool:
    """Whether the day is in the line's dates; the last day is included."""
    return line.effective_from <= day and (line.effective_to is None or day <= line.effective_to)


def is_contract_in_force(line: ContractLine, site: str, day: date) -> bool:
    """Whether the line prices an order of the facility on the day."""
    return not line.is_on_hold and is_in_dates(line, day) and is_on_roster(line, site, day)


def selection(line: ContractLine) -> tuple[int, bool, int, Fraction, str]:
    """Order in which contract lines are preferred."""
    return (RANK[line.contract_type], line.priority is None, line.priority or 0, price_each(line), line.contract_number)


class ChargePrices:
    """Charge codes with their units and prices."""

    def __init__(self, world: World) -> None:
        self._rows: dict[str, list[ChargePrice]] = defaultdict(list)
        self._codes: dict[str, str] = {}
        for row in world.charge_prices:
            self._rows[row.charge_code].append(row)
            self._codes[row.proc_id] = row.charge_code
        for item in world.items.values():
            if item.proc_id and item.charge_code:
                self._codes.setdefault(item.proc_id, item.charge_code)
        self._markup = world.reference.get("MARKUP_TIER", [])
        self._hcpcs = world.reference.get("HCPCS", [])

    def code_of(self, proc_id: str | None) -> str | None:
        """Charge code of a procedure record."""
        return self._codes.get(proc_id) if proc_id else None

    def row(self, code: str | None, day: date) -> ChargePrice | None:
        """Row of the charge master in force on the day."""
        rows = [
            row
            for row in self._rows.get(code or "", [])
            if row.effective_from <= day and (row.effective_to is None or day <= row.effective_to)
        ]
        return max(rows, key=lambda row: row.effective_from, default=None)

    def each_per_unit(self, code: str | None, item: Item | None, day: date) -> Fraction:
        """EACH in one charge unit: boxes by the item's package, square centimetres by the units of the HCPCS code."""
        row = self.row(code, day)
        if row is None:
            return Fraction(1)
        if row.unit_of_charge == "BX" and item is not None:
            for package in item.packages:
                if package.uom == "BX":
                    return Fraction(package.each)
        if row.unit_of_charge == "CM2" and row.hcpcs:
            for entry in self._hcpcs:
                if entry["hcpcs"] == row.hcpcs and in_force(entry, day) and entry.get("units_per_each"):
                    return 1 / Fraction(entry["units_per_each"])
        return Fraction(1)

    def price_each(self, code: str | None, item: Item | None, site: str, cost: Fraction, day: date) -> Fraction:
        """Charge price per EACH in force: charge master, else mark-up of the unit cost."""
        row = self.row(code, day)
        if row is not None and row.price is not None and row.price_method == "FIXED":
            return Fraction(row.price) / self.each_per_unit(code, item, day)
        return self.marked_up(site, cost, day)

    def marked_up(self, site: str, cost: Fraction, day: date) -> Fraction:
        """Unit cost times the multiplier of its tier, between floor and ceiling."""
        for wanted in (site, ""):
            for tier in self._markup:
                if (tier.get("site") or "") != wanted or not in_force(tier, day):
                    continue
                if cost < Fraction(tier["cost_from"]) or (tier.get("cost_to") and cost >= Fraction(tier["cost_to"])):
                    continue
                price = cost * Fraction(tier["multiplier"])
                if tier.get("floor_price"):
                    price = max(price, Fraction(tier["floor_price"]))
                if tier.get("ceiling_price"):
                    price = min(price, Fraction(tier["ceiling_price"]))
                return price
        return Fraction(0)
