"""Order lines against contracts and against each other: CP-02, CP-04, CP-08, MDM-13.

Here: contracts that an order names, candidates for its price, off contract buys, expired prices, price outliers.
Not here: contract lines in force (costs), the contract price itself (CP-01, orders).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from fractions import Fraction
from functools import partial
from statistics import median

from ingest.simulator.events import ContractLine, Item, PoLine
from ingest.simulator.oracle.costs import is_contract_in_force, is_on_roster, price_each, selection
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents, outlier_factors
from ingest.simulator.oracle.view import Versions, View

OUTLIER_DAYS = timedelta(days=180)
OUTLIER_LINES = 5

OrderLines = dict[tuple[str, str, int], Versions[PoLine]]


def order_lines(view: View) -> OrderLines:
    """Order lines of both ERPs, every version of them."""
    found: OrderLines = {}
    for line in view.world.po_lines:
        known = view.deliveries.known_on(line.erp, line.known_at)
        found.setdefault((line.erp, line.po_key, line.line), Versions()).add(known, line)
    return found


def ordered_each(order: PoLine) -> Fraction:
    """Order price per EACH."""
    return Fraction(order.unit_price) / Fraction(order.each_per_uom)


def markup(line: ContractLine) -> Fraction:
    """Factor of a distributor's mark-up."""
    if line.price_type != "COST_PLUS" or line.markup_pct is None:
        return Fraction(1)
    return 1 + Fraction(line.markup_pct) / 100


def candidates(
    lines: Iterable[ContractLine], order: PoLine
) -> list[tuple[tuple[int, bool, int, Fraction, str], Fraction]]:
    """Contract lines in force for the order with the price per EACH that they allow its supplier."""
    in_force = [line for line in lines if is_contract_in_force(line, order.site, order.order_date)]
    own = [line for line in in_force if line.supplier_id == order.supplier_id]
    found = [(selection(line), price_each(line) * markup(line)) for line in own]
    distributed = next((line for line in own if line.price_type == "COST_PLUS"), None)
    if distributed is not None:
        found += [
            (selection(line), price_each(line) * markup(distributed))
            for line in in_force
            if line.supplier_id != order.supplier_id and line.price_type != "COST_PLUS"
        ]
    return found


class Contracts:
    """The contracts that orders name."""

    def __init__(self, lines: Iterable[ContractLine]) -> None:
        self._members: dict[str, set[str]] = defaultdict(set)
        for line in lines:
            self._members[line.contract_number].update(site for site, _ in line.roster)

    @staticmethod
    def names_expired(order: PoLine, lines: Iterable[ContractLine]) -> bool:
        """Whether the order names an agreement of which every line for the item ended before the order date.

        Args:
            order: the order line.
            lines: all price lines of its item.
        """
        named = [line for line in lines if line.contract_number == order.contract_number]
        return bool(named) and all(
            line.effective_to is not None and line.effective_to < order.order_date for line in named
        )

    def names_foreign(self, order: PoLine) -> bool:
        """Whether the order names a contract on whose roster the facility stands in no tier, signed or not."""
        members = self._members.get(order.contract_number or "")
        return members is not None and order.site not in members


class ContractRules:
    """The rules of contract prices over one view of the world."""

    def __init__(self, view: View, book: Book, lines: OrderLines) -> None:
        self._view = view
        self._book = book
        self._lines = lines
        self._contracts = Contracts(view.world.contract_lines)

    def judge(self) -> None:
        """Follow the rules to the end of the world."""
        for versions in self._lines.values():
            self._book.follow(versions.dates(), partial(self._contract_of, versions))
        self._judge_outliers()

    def _item(self, order: PoLine) -> Item | None:
        if order.is_cancelled or order.is_on_hold or not order.erp_item_no:
            return None
        return self._view.identity.item(self._view.identity.golden(order.erp, order.erp_item_no))

    # ------------------------------------------------------------------------------------------- CP-02, CP-04, CP-08

    def _contract_of(self, versions: Versions[PoLine], as_of: date, docket: Docket) -> None:
        order = versions.at(as_of)
        item = self._item(order) if order is not None else None
        if order is None or item is None:
            return
        key = f"po={order.po_key}|line={order.line}"
        lines = self._view.costs.contract_lines(item.key)
        in_force = [line for line in lines if is_contract_in_force(line, order.site, order.order_date)]
        price = ordered_each(order)
        if in_force and not any(line.supplier_id == order.supplier_id for line in in_force):
            best = min(
                (line for line in in_force if line.price_type != "COST_PLUS"), key=selection, default=in_force[0]
            )
            impact = max(price - price_each(best), Fraction(0)) * Fraction(order.ordered_each)
            docket.fire("CP-02", order.site, key, cents(impact), order.order_date)
        if self._contracts.names_expired(order, lines):
            docket.fire("CP-04", order.site, key, cents(0), order.order_date)
        elif any(self._had_price(line, order, price) for line in lines):
            if in_force:
                docket.spare("CP-04", order.site, key, order.order_date, "another contract is in force")
            else:
                docket.fire("CP-04", order.site, key, cents(0), order.order_date)
        if self._contracts.names_foreign(order):
            docket.fire("CP-08", order.site, key, cents(order.amount), order.order_date)

    @staticmethod
    def _had_price(line: ContractLine, order: PoLine, price: Fraction) -> bool:
        """Whether an expired line of the supplier, open to the facility while it lasted, has exactly the price."""
        return (
            line.effective_to is not None
            and line.effective_to < order.order_date
            and line.supplier_id == order.supplier_id
            and is_on_roster(line, order.site, order.order_date)
            and price_each(line) * markup(line) == price
        )

    # -------------------------------------------------------------------------------------------------------- MDM-13

    def _judge_outliers(self) -> None:
        """Follow the lines of items whose prices lie far enough apart for one to be an outlier."""
        by_item: dict[int, list[Versions[PoLine]]] = defaultdict(list)
        for versions in self._lines.values():
            order = versions.rows[-1][1]
            if order.erp_item_no and order.unit_price > 0:
                item = self._view.identity.item(self._view.identity.golden(order.erp, order.erp_item_no))
                if item is not None:
                    by_item[item.key].append(versions)
        high, low = outlier_factors()
        for orders in by_item.values():
            prices = [ordered_each(versions.rows[-1][1]) for versions in orders]
            if len(orders) < OUTLIER_LINES or max(prices) <= min(prices) * min(high, 1 / low):
                continue
            orders.sort(key=lambda versions: versions.rows[0][1].order_date)
            for versions in orders:
                day = versions.rows[0][1].order_date
                near = [other for other in orders if day - OUTLIER_DAYS < other.rows[0][1].order_date <= day]
                dates = {known for other in near for known in other.dates()}
                self._book.follow(dates, partial(self._price_of, versions, near))

    @staticmethod
    def _price_of(versions: Versions[PoLine], near: list[Versions[PoLine]], as_of: date, docket: Docket) -> None:
        order = versions.at(as_of)
        if order is None or order.is_cancelled:
            return
        known = [line for line in (other.at(as_of) for other in near) if line is not None and not line.is_cancelled]
        if len(known) < OUTLIER_LINES:
            return
        middle = median(ordered_each(line) for line in known)
        price, (high, low) = ordered_each(order), outlier_factors()
        key = f"po={order.po_key}|line={order.line}"
        if price > middle * high or price < middle * low:
            impact = abs(price - middle) * Fraction(order.ordered_each)
            docket.fire("MDM-13", order.site, key, cents(impact), order.order_date)
