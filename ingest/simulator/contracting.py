"""Which contract price an order line is written at.

Here: the choice among the contract lines in force for an item, a site, a supplier and a date.
Not here: deviations from it (purchasing), the price files (ref), the judgement (oracle).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from ingest.simulator.events import ContractLine, Item

TYPE_ORDER = {"LOCAL": 0, "IDN": 1, "GPO": 2}


def price_each(line: ContractLine) -> Decimal:
    """Contract price per EACH, the distributor's mark-up included."""
    price = line.price / line.each_per_uom
    if line.price_type == "COST_PLUS" and line.markup_pct is not None:
        price *= 1 + line.markup_pct / 100
    return price


def is_in_force(line: ContractLine, on: date) -> bool:
    """Whether the line's dates cover `on`."""
    return line.effective_from <= on and (line.effective_to is None or on <= line.effective_to)


def is_eligible(line: ContractLine, site: str, on: date) -> bool:
    """Whether the site is on the roster of the line's tier with a letter signed by `on`."""
    return any(member == site and signed is not None and signed <= on for member, signed in line.roster)


class ContractBook:
    """All contract lines, by item."""

    def __init__(self, lines: Iterable[ContractLine]) -> None:
        self._by_item: dict[int, list[ContractLine]] = defaultdict(list)
        for line in lines:
            self._by_item[line.item_key].append(line)

    def lines(self, item: Item) -> list[ContractLine]:
        """Every contract line of an item."""
        return self._by_item.get(item.key, [])

    def candidates(self, item: Item, site: str, supplier_id: str | None, on: date) -> list[ContractLine]:
        """Lines in force for the site, not on hold, of the supplier (any supplier when None)."""
        return [
            line
            for line in self.lines(item)
            if (supplier_id is None or line.supplier_id == supplier_id)
            and not line.is_on_hold
            and is_in_force(line, on)
            and is_eligible(line, site, on)
        ]

    def choose(self, item: Item, site: str, supplier_id: str, on: date) -> ContractLine | None:
        """The line that decides the price, or None when no contract is in force."""
        found = self.candidates(item, site, supplier_id, on)
        if not found:
            return None
        return min(
            found,
            key=lambda line: (
                TYPE_ORDER[line.contract_type],
                line.priority is None,
                line.priority or 0,
                price_each(line),
                line.contract_number,
            ),
        )

    def distributor_line(self, item: Item, site: str, on: date) -> ContractLine | None:
        """A cost-plus line of another supplier for the item, when one is in force for the site."""
        for line in self.lines(item):
            if (
                line.price_type == "COST_PLUS"
                and line.supplier_id != item.supplier_id
                and not line.is_on_hold
                and is_in_force(line, on)
                and is_eligible(line, site, on)
            ):
                return line
        return None

    def contract_price_each(self, item: Item, site: str, on: date) -> Decimal | None:
        """Contract price per EACH for valuing an unordered implant: the item's own supplier first."""
        line = self.choose(item, site, item.supplier_id, on)
        return None if line is None else price_each(line)
