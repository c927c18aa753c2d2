"""Unit conversions of items: factors of two systems that differ, package cycles that do not close (MDM-06).

Here: factors as delivered, reduced to EACH, compared in the order of the systems.
Not here: what an item's transactions are worth (item_amounts).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from functools import partial

from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.item_amounts import ItemAmounts
from ingest.simulator.oracle.tolerance import cents
from ingest.simulator.oracle.view import View

ALL_SITES = "SYS"
STOCK_UNIT = "EA"
ORDER = ("erp_lawson", "erp_fusion", "mmis", "pou", "ehr")

Edges = dict[tuple[str, str], Fraction]


class ConversionRules:
    """The rule of unit conversions over one view of the world."""

    def __init__(self, view: View, book: Book, amounts: ItemAmounts) -> None:
        self._view = view
        self._book = book
        self._amounts = amounts

    def judge(self) -> None:
        """Follow every conflict to the end of the world."""
        edges: dict[tuple[str, str], Edges] = defaultdict(dict)
        for row in self._view.world.package_factors:
            edges[row.system, row.item_no][row.uom, row.to_uom] = Fraction(row.factor)
        by_golden: dict[str, list[tuple[str, str, dict[str, Fraction]]]] = defaultdict(list)
        for (system, item_no), known in sorted(edges.items(), key=lambda entry: (ORDER.index(entry[0][0]), entry[0])):
            for uom, to_uom, product in _open_cycles(known):
                self._follow(system, item_no, uom, to_uom, abs(1 - product))
            golden = self._view.identity.golden(system, item_no)
            if golden is not None:
                by_golden[golden].append((system, item_no, _in_each(known)))
        for sources in by_golden.values():
            first: dict[str, tuple[str, Fraction]] = {}
            for system, item_no, factors in sources:
                for uom, factor in factors.items():
                    if uom not in first:
                        first[uom] = system, factor
                    elif first[uom][0] != system and first[uom][1] != factor:
                        self._follow(system, item_no, uom, STOCK_UNIT, abs(1 - factor / first[uom][1]))

    def _follow(self, system: str, item_no: str, uom: str, to_uom: str, share: Fraction) -> None:
        key = f"system={system}|item={item_no}|from={uom}|to={to_uom}"
        dates = {self._book.start, self._book.until, *self._amounts.dates(system, item_no)}
        self._book.follow(dates, partial(self._differs, system, item_no, key, share))

    def _differs(self, system: str, item_no: str, key: str, share: Fraction, as_of: date, docket: Docket) -> None:
        worth = self._amounts.last_days(system, item_no, as_of)
        docket.fire("MDM-06", ALL_SITES, key, cents(worth.amount * share), worth.last or self._book.start)


def _in_each(edges: Edges) -> dict[str, Fraction]:
    """EACH in one of every unit, over the units between."""
    found = {STOCK_UNIT: Fraction(1)}
    grew = True
    while grew:
        grew = False
        for (uom, to_uom), factor in edges.items():
            if to_uom in found and uom not in found:
                found[uom] = factor * found[to_uom]
                grew = True
    del found[STOCK_UNIT]
    return found


def _open_cycles(edges: Edges) -> Iterator[tuple[str, str, Fraction]]:
    """Pairs of units whose factors there and back do not multiply to one, larger unit first, with the product."""
    for (uom, to_uom), factor in edges.items():
        back = edges.get((to_uom, uom))
        if uom != to_uom and back is not None and factor >= 1 and factor * back != 1:
            yield uom, to_uom, factor * back
