"""From whom a line is ordered and at which price, and where buyers go astray.

Here: contract and list prices of order lines, with the defects and near misses of the price rules (CP-01, CP-02, CP-04,
CP-08, MDM-13).
Not here: which contract line is in force (contracting), orders and requisitions (ordering), the judgement (oracle).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from statistics import median

from ingest.simulator.contracting import is_eligible, is_in_force, price_each
from ingest.simulator.desk import Desk
from ingest.simulator.documents import RequisitionLine, cents
from ingest.simulator.events import ContractLine, Item, Package, Site, Supplier

FIVE_PLACES = Decimal("0.00001")
WORTH_A_LOOK = Decimal(20)  # order value from which a wrong price is planted
OUTLIER_DAYS = timedelta(days=180)
OUTLIER_LINES = 5  # before the line itself, so that it does not matter whether it counts
FREE_GOODS_LINES = 3  # free goods are for items that have hardly a price yet


@dataclass(frozen=True, slots=True)
class Price:
    """An order price and where it comes from."""

    unit_price: Decimal
    contract: ContractLine | None = None
    mark: str = ""
    is_near_miss: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """A requested line on its way to an order."""

    item: Item
    site: Site
    supplier: Supplier
    package: Package
    quantity: Decimal
    is_nonstock: bool
    day: date

    @property
    def key(self) -> str:
        """Names the opportunity."""
        return f"{self.site.code}|{self.item.key}|{self.day}"

    def per_unit(self, each: Decimal) -> Decimal:
        """A price per EACH in the ordered unit, as buyers write it."""
        return rounded(each * self.package.each)


Choice = tuple[Supplier, Price]


def divides_exactly(number: Decimal) -> bool:
    """Whether division by `number` always ends (only twos and fives in it)."""
    rest = int(number)
    if rest <= 0 or rest != number:
        return False
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


def rounded(price: Decimal) -> Decimal:
    """A unit price in cents where a unit is worth it, else with five decimals."""
    return cents(price) if price >= 2 else price.quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)


class OrderPrices:
    """What buyers pay."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._paid: dict[int, list[tuple[date, Decimal]]] = defaultdict(list)

    def paid(self, item: Item, day: date, each: Decimal) -> None:
        """Take note of what was ordered at which price per EACH."""
        if each > 0:
            self._paid[item.key].append((day, each))

    def contract_price(self, item: Item, site: Site, supplier: Supplier, package: Package, d: date) -> Price:
        """What a line should cost: the contract in force, else the list price; in cents where a unit is worth it.

        A distributor's mark-up is not rounded: such prices have up to five decimals.
        """
        line = self.desk.book.choose(item, site.code, supplier.supplier_id, d)
        each = price_each(line) if line is not None else item.price_each
        if line is not None and line.price_type == "COST_PLUS":
            return Price((each * package.each).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP), line)
        return Price(rounded(each * package.each), line)

    def choose(self, wanted: RequisitionLine, d: date) -> Choice:
        """Supplier and price of a requested line."""
        item = wanted.item
        assert item is not None and wanted.requisition is not None
        site = wanted.requisition.site
        supplier = self.desk.world.suppliers[item.supplier_id]
        package = Package(wanted.uom, wanted.each_per_uom, "")
        wish = Wish(item, site, supplier, package, wanted.quantity, wanted.kind == "nonstock", d)
        right = self.contract_price(item, site, supplier, package, d)
        if right.contract is None:
            wrong = self._without_contract(wish, right)
        elif right.contract.price_type == "COST_PLUS":
            wrong = self._of_distributor(wish, right)
        else:
            wrong = self._on_contract(wish, right, right.contract)
        return wrong or self._outlier(wish, right) or (supplier, right)

    def _wants(self, rule: str, defect: bool, wish: Wish, variant: str) -> bool:
        return self.desk.plan.wants(rule, defect, wish.key, wish.day, variant)

    # ---------------------------------------------------------------------------------------- with a contract in force

    def _of_distributor(self, wish: Wish, right: Price) -> Choice | None:
        if self._wants("CP-01", False, wish, "distributor mark-up"):
            return wish.supplier, Price(right.unit_price, right.contract, "CP-01:distributor mark-up", True)
        if self._wants("CP-02", False, wish, "authorised distributor"):
            return wish.supplier, Price(right.unit_price, right.contract, "CP-02:authorised distributor", True)
        return None

    def _on_contract(self, wish: Wish, right: Price, contract: ContractLine) -> Choice | None:
        each = price_each(contract)
        if each < Decimal("0.50") or right.unit_price * wish.quantity < WORTH_A_LOOK:
            return None
        stream = self.desk.chance.stream("order price", wish.site.code, wish.item.key, wish.day)
        if self._wants("CP-01", True, wish, "over"):
            unit = cents(right.unit_price * (1 + stream.decimal(0.04, 0.3)))
            return wish.supplier, Price(unit, contract, "CP-01:over contract")
        if self._wants("CP-01", True, wish, "under"):
            unit = cents(right.unit_price * (1 - stream.decimal(0.05, 0.2)))
            return wish.supplier, Price(unit, contract, "CP-01:under contract")
        tiers = [line for line in self.desk.book.lines(wish.item) if line.contract_number == contract.contract_number]
        missed = next((line for line in tiers if line.tier < contract.tier and is_in_force(line, wish.day)), None)
        if missed is not None and self._wants("CP-01", True, wish, "tier missed"):
            return wish.supplier, Price(wish.per_unit(price_each(missed)), missed, "CP-01:tier missed")
        better = [line for line in tiers if line.tier > contract.tier and is_in_force(line, wish.day)]
        if better and self._wants("CP-01", False, wish, "letter not signed"):
            return wish.supplier, Price(right.unit_price, contract, "CP-01:letter not signed", True)
        exact = contract.price / contract.each_per_uom * wish.package.each * Decimal("1.01")
        fits = exact == exact.quantize(FIVE_PLACES) and divides_exactly(wish.package.each) and each >= 2
        if fits and self._wants("CP-01", False, wish, "on the limit"):
            return wish.supplier, Price(exact.quantize(FIVE_PLACES), contract, "CP-01:on the limit", True)
        if contract.uom != wish.package.uom and self._wants("CP-01", False, wish, "price unit differs"):
            return wish.supplier, Price(right.unit_price, contract, "CP-01:price unit differs", True)
        return self._off_contract(wish, right) or self._at_expired_price(wish, contract)

    def _off_contract(self, wish: Wish, right: Price) -> Choice | None:
        """CP-02: bought elsewhere although a contract covers it, dearer or cheaper."""
        for variant, low, high in (("dearer", 1.02, 1.25), ("cheaper", 0.8, 0.98)):
            if not self._wants("CP-02", True, wish, variant):
                continue
            other = self._stranger(wish)
            if other is not None:
                factor = self.desk.chance.stream("off contract", wish.key).decimal(low, high)
                return other, Price(rounded(right.unit_price * factor), None, f"CP-02:{variant}")
        return None

    def _stranger(self, wish: Wish) -> Supplier | None:
        """A supplier that the site trades with and that has no contract line for the item, nor has its family."""
        world = self.desk.world
        own = wish.supplier.parent_supplier_id or wish.supplier.supplier_id
        contracted = {line.supplier_id for line in self.desk.book.lines(wish.item)}
        known = [
            supplier
            for supplier in world.suppliers.values()
            if supplier.role in ("MANUFACTURER", "DISTRIBUTOR")
            and not supplier.is_ers
            and supplier.supplier_id not in contracted
            and (supplier.parent_supplier_id or supplier.supplier_id) != own
            and self.desk.serves(supplier, wish.site)
        ]
        return self.desk.chance.stream("stranger", wish.key).pick(known) if known else None

    def _at_expired_price(self, wish: Wish, contract: ContractLine) -> Choice | None:
        """CP-04: the order names the agreement that was renewed under another number; or it has its price only."""
        old = next(iter(self._expired(wish, other_than=contract.contract_number)), None)
        if old is None:
            return None
        unit = wish.per_unit(price_each(old))
        if self._wants("CP-04", True, wish, "expired agreement named"):
            return wish.supplier, Price(unit, old, "CP-04:expired agreement named")
        if self.desk.plan.defects and self._wants("CP-04", False, wish, "another contract in force"):
            return wish.supplier, Price(unit, contract, "CP-04:another contract in force", True)
        return None

    def _expired(self, wish: Wish, other_than: str = "") -> Iterable[ContractLine]:
        """Lines of the supplier for the item whose contract ran out before the day and was open to the site."""
        lines = self.desk.book.lines(wish.item)
        standing = {
            line.contract_number for line in lines if line.effective_to is None or line.effective_to >= wish.day
        }
        return (
            line
            for line in lines
            if line.supplier_id == wish.supplier.supplier_id
            and line.price_type == "FIXED"
            and line.contract_number not in (*standing, other_than)
            and is_eligible(line, wish.site.code, wish.day)
        )

    # ---------------------------------------------------------------------------------------------- without a contract

    def _without_contract(self, wish: Wish, right: Price) -> Choice | None:
        """List price, now and then nothing; worth a note when a contract exists that does not count here."""
        lines = self.desk.book.lines(wish.item)
        hardly_bought = wish.is_nonstock and not lines and len(self._paid[wish.item.key]) < FREE_GOODS_LINES
        if hardly_bought and self._wants("M3-05", False, wish, "zero price"):
            return wish.supplier, Price(Decimal(0), None, "M3-05:zero price", True)
        current = [
            line for line in lines if line.supplier_id == wish.supplier.supplier_id and is_in_force(line, wish.day)
        ]
        for line in current:
            reason = "on hold" if line.is_on_hold else "not on the roster"
            if not line.is_on_hold and is_eligible(line, wish.site.code, wish.day):
                continue
            if self._wants("CP-01", False, wish, reason):
                unit = rounded(price_each(line) * wish.package.each * Decimal("1.08"))
                return wish.supplier, Price(unit, None, f"CP-01:{reason}", True)
        return self._off_roster(wish, current) or self._at_lapsed_price(wish, right)

    def _off_roster(self, wish: Wish, current: list[ContractLine]) -> Choice | None:
        """CP-08: the order names a contract that the site may not buy on; listed without a letter is another matter."""
        first = next((line for line in current if line.price_type == "FIXED" and line.tier == 1), None)
        if first is None:
            return None
        rosters = [
            line.roster
            for line in self.desk.book.lines(wish.item)
            if line.contract_number == first.contract_number and is_in_force(line, wish.day)
        ]
        listed = any(member == wish.site.code for roster in rosters for member, _ in roster)
        unit = wish.per_unit(price_each(first))
        if not listed and unit * wish.quantity >= WORTH_A_LOOK:
            if self._wants("CP-08", True, wish, ""):
                return wish.supplier, Price(unit, first, "CP-08:not on the roster")
            if self._wants("CP-02", False, wish, "site not on the contract"):
                other = self._stranger(wish)
                if other is not None:
                    return other, Price(unit, None, "CP-02:site not on the contract", True)
        if listed and self._wants("CP-08", False, wish, "letter not signed"):
            return wish.supplier, Price(unit, first, "CP-08:letter not signed", True)
        return None

    def _at_lapsed_price(self, wish: Wish, right: Price) -> Choice | None:
        """CP-04: nothing is in force and the price is exactly that of an agreement that ran out; or nearly so."""
        old = next(iter(self._expired(wish)), None)
        if old is None or self.desk.book.candidates(wish.item, wish.site.code, None, wish.day):
            return None
        exact = price_each(old) * wish.package.each
        if exact != exact.quantize(FIVE_PLACES) or right.unit_price * wish.quantity < WORTH_A_LOOK:
            return None
        if self._wants("CP-04", True, wish, "price of an expired one"):
            return wish.supplier, Price(exact.quantize(FIVE_PLACES), None, "CP-04:price of an expired one")
        near = (exact * Decimal("1.004")).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
        if near != exact and self._wants("CP-04", False, wish, "nearly the price of an expired one"):
            return wish.supplier, Price(near, None, "CP-04:nearly the price of an expired one", True)
        return None

    # -------------------------------------------------------------------------------------------------------- outliers

    def _outlier(self, wish: Wish, right: Price) -> Choice | None:
        """MDM-13: a price keyed for another unit; or one that is high and not yet out of range."""
        recent = [Fraction(each) for day, each in self._paid[wish.item.key] if day > wish.day - OUTLIER_DAYS]
        if not wish.is_nonstock or len(recent) < OUTLIER_LINES or right.unit_price < Decimal("0.05"):
            return None
        each = right.unit_price / wish.package.each
        for variant, factor in (("ten times", Decimal(10)), ("a tenth", Decimal("0.1"))):
            if self._wants("MDM-13", True, wish, variant):
                return wish.supplier, Price(rounded(right.unit_price * factor), right.contract, f"MDM-13:{variant}")
        high = Decimal("2.9") * each
        # Off a contract's price it is a defect of CP-01.
        may_be = right.contract is None or self.desk.plan.defects
        within = Fraction(high) < Fraction("2.95") * median(recent)
        if within and may_be and self._wants("MDM-13", False, wish, "not three times"):
            return wish.supplier, Price(wish.per_unit(high), right.contract, "MDM-13:not three times", True)
        return None
