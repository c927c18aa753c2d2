"""Requisitions and purchase orders: what is asked for, from whom it is ordered and at which price.

Here: requisitions of replenishment, of departments and of services; orders grouped by supplier; order prices with their
deviations from contract (CP-01).
Not here: implants ordered after the fact (implants), what follows an order (fulfilment).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any

from ingest.simulator.accounts import is_business_day
from ingest.simulator.contracting import is_eligible, is_in_force, price_each
from ingest.simulator.desk import Desk, at
from ingest.simulator.documents import Order, OrderLine, Requisition, RequisitionLine, cents
from ingest.simulator.events import ContractLine, Item, Package, Site, Supplier
from ingest.simulator.transfers import Transfers

FIVE_PLACES = Decimal("0.00001")
LINES_PER_ORDER = 12
NONSTOCK_SHARE = 0.22  # lines that departments ask for, per replenishment line
CODES = {"regular": "REG", "bill_only": "BO", "bill_and_replace": "BR", "service": "SVC"}
EACH = Package("EA", Decimal(1), "")


@dataclass(frozen=True, slots=True)
class Price:
    """An order price and where it comes from."""

    unit_price: Decimal
    contract: ContractLine | None = None
    mark: str = ""
    is_near_miss: bool = False


def package_of(item: Item, uom: str) -> Package:
    """The package level of a unit; EACH when the item has no such unit."""
    return next((package for package in item.packages if package.uom == uom), item.packages[0])


def divides_exactly(number: Decimal) -> bool:
    """Whether division by `number` always ends (only twos and fives in it)."""
    rest = int(number)
    if rest <= 0 or rest != number:
        return False
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


class Ordering:
    """Buyers of all sites."""

    def __init__(self, desk: Desk, plan_order: Callable[[Order], None]) -> None:
        self.desk = desk
        self._plan_order = plan_order
        self.transfers: Transfers | None = None
        self._waiting: list[RequisitionLine] = []
        self._asked: dict[str, int] = {}

    # -------------------------------------------------------------------------------------------------- requisitions

    def replenish(self, needs: Sequence[Any], d: date) -> None:
        """Requisitions of the evening, one per location."""
        world = self.desk.world
        by_place: dict[str, list[Any]] = {}
        for need in needs:
            by_place.setdefault(need.location_id, []).append(need)
        self._asked = {}
        for location_id, wanted in by_place.items():
            location = world.locations[location_id]
            site = world.sites[location.site]
            self._asked[site.code] = self._asked.get(site.code, 0) + len(wanted)
            requisition = self._requisition(site, site.stock_system.upper(), location.erp_code or "STR", at(d, 20))
            for need in wanted:
                item = world.items[need.item_key]
                package = package_of(item, item.buy_uom)
                quantity = (need.quantity_each / package.each).to_integral_value(ROUND_CEILING)
                line = self._add(
                    requisition,
                    item,
                    item.description,
                    quantity,
                    package,
                    "stock",
                    department=location.department,
                    destination=location,
                    need_reference=f"{need.ref_doc}-{need.ref_line}",
                )
                if self.transfers is not None and self.transfers.covers(location, item):
                    self._waiting.remove(line)
                    self.transfers.ask(line)
            self._show(requisition, at(d, 20))

    def departments_ask(self, d: date) -> None:
        """Non-stock requisitions of the day's departments (E02)."""
        if not is_business_day(d):
            return
        for site in self.desk.world.hospitals():
            stream = self.desk.chance.stream("departments ask", site.code, d)
            wanted = max(self._asked.get(site.code, 0) * NONSTOCK_SHARE, 1.2)
            count = int(wanted) + stream.flag(wanted - int(wanted))
            departments = [name for name in site.departments if name not in ("0000", "8020")]
            goods = self._nonstock_items(site)
            if not goods or not departments:
                continue
            for _ in range(count):
                department = stream.pick(departments)
                item = stream.pick(goods)
                package = stream.pick(item.packages[:2]) if stream.flag(0.6) else item.packages[0]
                most = 140 if item.price_each < 20 and package.each == 1 else 12
                requisition = self._requisition(site, "manual", f"D{department}", at(d, 10))
                self._add(
                    requisition,
                    item,
                    item.description,
                    Decimal(stream.integer(1, most)),
                    package,
                    "nonstock",
                    department=department,
                )
                self._show(requisition, at(d, 10))

    def _nonstock_items(self, site: Site) -> list[Item]:
        legacy = site.erp == "erp_lawson"
        return [
            item
            for item in self.desk.world.items.values()
            if item.item_class == "SUPPLY"
            and item.is_active
            and not item.is_placeholder
            and (item.legacy_no if legacy else item.cloud_no)
            and item.stock_class in ("STOCK", "NONSTOCK")
            and self.desk.serves(self.desk.world.suppliers[item.supplier_id], site)
        ]

    def _requisition(self, site: Site, source: str, place: str, moment: datetime) -> Requisition:
        series = self.desk.series
        if site.erp == "erp_lawson":
            number = f"{series.next('requisition', site.company, first=30001):010d}"
        else:
            number = f"SR{series.next('requisition', 'cloud', first=1):08d}"
        requisition = Requisition(site, number, source, place, moment)
        requisition.cloud_id = series.next("requisition id", first=300000440000001)
        return requisition

    def _add(
        self,
        requisition: Requisition,
        item: Item | None,
        description: str,
        quantity: Decimal,
        package: Package,
        kind: str,
        **details: Any,
    ) -> RequisitionLine:
        price = cents(item.price_each * package.each) if item is not None else Decimal(0)
        line = RequisitionLine(
            line=len(requisition.lines) + 1,
            item=item,
            description=description,
            quantity=quantity,
            uom=package.uom,
            each_per_uom=package.each,
            unit_price=price,
            kind=kind,
            destination=details.pop("destination", None),
            requisition=requisition,
            **details,
        )
        line.cloud_id = self.desk.series.next("requisition line id", first=300000450000001)
        requisition.lines.append(line)
        self._waiting.append(line)
        return line

    def _show(self, requisition: Requisition, moment: datetime) -> None:
        self.desk.writer(requisition.site).requisition(requisition, moment)

    # -------------------------------------------------------------------------------------------------------- orders

    def order_waiting(self, d: date) -> None:
        """Order at 06:00 what was asked for since yesterday, one order per site, supplier and kind."""
        waiting, self._waiting = self._waiting, []
        # Prices are decided in mixed order, so that no site gets all the deviations.
        mixed = self.desk.chance.stream("prices of the morning", d).sample(range(len(waiting)), len(waiting))
        prices = {place: self._price(waiting[place], d) for place in mixed}
        groups: dict[tuple[str, str, str], list[tuple[RequisitionLine, Price]]] = {}
        for place, wanted in enumerate(waiting):
            assert wanted.requisition is not None
            site = wanted.requisition.site
            supplier, price = prices[place]
            groups.setdefault((site.code, supplier.supplier_id, wanted.kind), []).append((wanted, price))
        keys = list(groups)
        for key in self.desk.chance.stream("orders of the morning", d).sample(keys, len(keys)):
            site_code, supplier_id, _ = key
            lines = groups[key]
            site = self.desk.world.sites[site_code]
            supplier = self.desk.world.suppliers[supplier_id]
            for start in range(0, len(lines), LINES_PER_ORDER):
                moment = at(d, 6)
                order = self.new_order(site, supplier, "regular", d, moment)
                for wanted, price in lines[start : start + LINES_PER_ORDER]:
                    self._order_line(order, wanted, price)
                self.issue(order, moment)
                self._plan_order(order)

    def new_order(self, site: Site, supplier: Supplier, po_type: str, d: date, moment: datetime) -> Order:
        """Open an order without lines."""
        series = self.desk.series
        code = CODES[po_type]
        if site.erp == "erp_lawson":
            # Numbers run per company and code, so that the same number stands for several orders (Q79).
            number = f"{series.next('order', site.company, code, first=1000001):07d}"
            key = f"{site.company}-{int(number)}-0-{code}"
        else:
            number = key = f"SP{series.next('order', 'cloud', first=10001):08d}"
        if po_type == "service":
            basis = "2way"
        elif po_type in ("bill_only", "bill_and_replace"):
            basis = "bill_only"
        else:
            basis = "ers" if supplier.is_ers else "3way"
        order = Order(site, number, code, key, po_type, basis, supplier, moment, d)
        order.cloud_id = series.next("order id", first=300000460000001)
        return order

    def add_line(
        self,
        order: Order,
        *,
        item: Item | None,
        description: str,
        quantity: Decimal,
        package: Package,
        price: Price,
        department: str,
        expense_role: str | None,
        vendor_catalogue_number: str | None,
        requisition_line: RequisitionLine | None = None,
        destination: Any = None,
    ) -> OrderLine:
        """Add a line to an order."""
        line = OrderLine(
            order=order,
            line=len(order.lines) + 1,
            item=item,
            description=description,
            vendor_catalogue_number=vendor_catalogue_number,
            quantity=quantity,
            uom=package.uom,
            each_per_uom=package.each,
            unit_price=price.unit_price,
            contract=price.contract,
            contract_number=price.contract.contract_number if price.contract else None,
            destination=destination,
            department=department,
            expense_role=expense_role,
            requisition_line=requisition_line,
            mark=price.mark,
        )
        series = self.desk.series
        line.cloud_line_id = series.next("order line id", first=300000470000001)
        line.cloud_schedule_id = series.next("schedule id", first=300000480000001)
        line.cloud_distribution_id = series.next("order distribution id", first=300000490000001)
        if (
            package.each == 1
            and order.site.erp == "erp_lawson"
            and self.desk.plan.quirk("Q82", order.po_key, line.line)
        ):
            line.multiplier_shown = Decimal(0)
        order.lines.append(line)
        if requisition_line is not None:
            requisition_line.order_line = line
        return line

    def issue(self, order: Order, moment: datetime) -> None:
        """Send an order: show it with its lines and the requisitions it fills."""
        desk = self.desk
        writer = desk.writer(order.site)
        writer.order(order, moment)
        shown: set[int] = set()
        for line in order.lines:
            writer.order_line(line, moment)
            desk.record_order_line(line, moment)
            requisition = line.requisition_line.requisition if line.requisition_line else None
            if requisition is not None and id(requisition) not in shown:
                shown.add(id(requisition))
                writer.requisition(requisition, moment)
        for hear in desk.on_order:
            hear(order, moment)

    def _order_line(self, order: Order, wanted: RequisitionLine, price: Price) -> None:
        item = wanted.item
        assert item is not None
        line = self.add_line(
            order,
            item=item,
            description=wanted.description,
            quantity=wanted.quantity,
            package=Package(wanted.uom, wanted.each_per_uom, ""),
            price=price,
            department=wanted.department,
            expense_role=None if wanted.kind == "stock" else "SUPPLY_EXP",
            vendor_catalogue_number=price.contract.vendor_catalogue_number
            if price.contract
            else item.vendor_catalogue_number,
            requisition_line=wanted,
            destination=wanted.destination,
        )
        if price.mark:
            rule, _, reason = price.mark.partition(":")
            self.desk.plan.note(
                rule, f"po={order.po_key}|line={line.line}", order.site.code, price.is_near_miss, reason
            )

    # -------------------------------------------------------------------------------------------------------- prices

    def contract_price(self, item: Item, site: Site, supplier: Supplier, package: Package, d: date) -> Price:
        """What a line should cost: the contract in force, else the list price; in cents where a unit is worth it.

        A distributor's mark-up is not rounded: such prices have up to five decimals.
        """
        line = self.desk.book.choose(item, site.code, supplier.supplier_id, d)
        each = price_each(line) if line is not None else item.price_each
        if line is not None and line.price_type == "COST_PLUS":
            return Price((each * package.each).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP), line)
        return Price(self._rounded(each * package.each), line)

    @staticmethod
    def _rounded(price: Decimal) -> Decimal:
        return cents(price) if price >= 2 else price.quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)

    def _price(self, wanted: RequisitionLine, d: date) -> tuple[Supplier, Price]:
        desk, item = self.desk, wanted.item
        assert item is not None and wanted.requisition is not None
        site = wanted.requisition.site
        supplier = desk.world.suppliers[item.supplier_id]
        package = Package(wanted.uom, wanted.each_per_uom, "")
        price = self.contract_price(item, site, supplier, package, d)
        if price.contract is None:
            return supplier, self._without_contract(item, site, supplier, package, price, d, wanted.kind == "nonstock")
        each = price_each(price.contract)
        value = price.unit_price * wanted.quantity
        wants = desk.plan.wants
        key = f"{site.code}|{item.key}|{d}"
        if price.contract.price_type == "COST_PLUS":
            if wants("CP-01", False, key, d, "distributor mark-up"):
                return supplier, Price(price.unit_price, price.contract, "CP-01:distributor mark-up", True)
            return supplier, price
        stream = desk.chance.stream("order price", site.code, item.key, d)
        if each >= Decimal("0.50") and value >= 20:
            if wants("CP-01", True, key, d, "over"):
                unit = cents(price.unit_price * (1 + stream.decimal(0.04, 0.3)))
                return supplier, Price(unit, price.contract, "CP-01:over contract")
            if wants("CP-01", True, key, d, "under"):
                unit = cents(price.unit_price * (1 - stream.decimal(0.05, 0.2)))
                return supplier, Price(unit, price.contract, "CP-01:under contract")
            exact = price.contract.price / price.contract.each_per_uom * package.each * Decimal("1.01")
            fits = exact == exact.quantize(FIVE_PLACES) and divides_exactly(package.each) and each >= 2
            if fits and wants("CP-01", False, key, d, "on the limit"):
                return supplier, Price(exact.quantize(FIVE_PLACES), price.contract, "CP-01:on the limit", True)
            if price.contract.uom != package.uom and wants("CP-01", False, key, d, "price unit differs"):
                return supplier, Price(price.unit_price, price.contract, "CP-01:price unit differs", True)
        return supplier, price

    def _without_contract(
        self,
        item: Item,
        site: Site,
        supplier: Supplier,
        package: Package,
        price: Price,
        d: date,
        is_nonstock: bool,
    ) -> Price:
        """List price, now and then nothing; worth a note when a contract exists that does not count here."""
        key = f"{site.code}|{item.key}|{d}"
        if (
            is_nonstock
            and not self.desk.book.lines(item)
            and self.desk.plan.wants("M3-05", False, key, d, "zero price")
        ):
            return Price(Decimal(0), None, "M3-05:zero price", True)
        for line in self.desk.book.lines(item):
            if line.supplier_id != supplier.supplier_id or not is_in_force(line, d):
                continue
            reason = "on hold" if line.is_on_hold else "" if is_eligible(line, site.code, d) else "not on the roster"
            if reason and self.desk.plan.wants("CP-01", False, key, d, reason):
                unit = self._rounded(price_each(line) * package.each * Decimal("1.08"))
                return Price(unit, None, f"CP-01:{reason}", True)
        return price

    # ------------------------------------------------------------------------------------------------------ services

    def service_order(
        self, site: Site, supplier: Supplier, description: str, amount: Decimal, months: int, d: date
    ) -> Order:
        """Open a service order over an amount (2-way match)."""
        moment = at(d, 8)
        order = self.new_order(site, supplier, "service", d, moment)
        order.end_date = d + timedelta(days=31 * months)
        self.add_line(
            order,
            item=None,
            description=description,
            quantity=Decimal(1),
            package=EACH,
            price=Price(amount),
            department="8010" if "8010" in site.departments else "8020",
            expense_role="PURCH_SERVICE",
            vendor_catalogue_number=None,
        )
        self.issue(order, moment)
        return order
