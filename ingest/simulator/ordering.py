"""Requisitions and purchase orders: what is asked for and how it is ordered.

Here: requisitions of replenishment, of departments and of services; orders grouped by supplier.
Not here: from whom and at which price (order_prices), implants ordered after the fact (implants), what follows an order
(fulfilment).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from ingest.simulator.accounts import is_business_day, next_business_day
from ingest.simulator.desk import Desk, at
from ingest.simulator.documents import Order, OrderLine, Requisition, RequisitionLine, cents
from ingest.simulator.events import Item, Package, Site, Supplier
from ingest.simulator.order_prices import OrderPrices, Price
from ingest.simulator.transfers import Transfers

LINES_PER_ORDER = 12
LONGEST_WAY = timedelta(days=5)  # what suppliers promise
NONSTOCK_SHARE = 0.22  # lines that departments ask for, per replenishment line
USUAL_SHARE = 0.4  # of them, for goods that the site's departments ask for again and again
USUAL_GOODS = 4
LINES_ASKED = 4  # of a department's requisition
CODES = {"regular": "REG", "bill_only": "BO", "bill_and_replace": "BR", "service": "SVC"}
EACH = Package("EA", Decimal(1), "")


def package_of(item: Item, uom: str) -> Package:
    """The package level of a unit; EACH when the item has no such unit."""
    return next((package for package in item.packages if package.uom == uom), item.packages[0])


class Ordering:
    """Buyers of all sites."""

    def __init__(self, desk: Desk, plan_order: Callable[[Order], None]) -> None:
        self.desk = desk
        self.prices = OrderPrices(desk)
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
            goods = self.nonstock_items(site)
            if not goods or not departments:
                continue
            usual = self.desk.chance.stream("usual goods", site.code).sample(goods, USUAL_GOODS)
            requisition: Requisition | None = None
            department = ""
            for number in range(count):
                if requisition is None or len(requisition.lines) == LINES_ASKED:
                    if requisition is not None:
                        self._show(requisition, at(d, 10))
                    department = stream.pick(departments)
                    requisition = self._requisition(site, "manual", f"D{department}", at(d, 10))
                item = stream.pick(goods)
                often = self.desk.chance.stream("departments ask often", site.code, d, number)
                if often.flag(USUAL_SHARE):
                    item = often.pick(usual)
                package = stream.pick(item.packages[:2]) if stream.flag(0.6) else item.packages[0]
                most = 140 if item.price_each < 20 and package.each == 1 else 12
                self._add(
                    requisition,
                    item,
                    item.description,
                    Decimal(stream.integer(1, most)),
                    package,
                    "nonstock",
                    department=department,
                )
            if requisition is not None:
                self._show(requisition, at(d, 10))

    def nonstock_items(self, site: Site) -> list[Item]:
        """Goods that departments may ask for at a site."""
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
        self.desk.show_requisition(requisition, moment)

    def convert(self, site: Site, moment: datetime) -> None:
        """Close what waits in requisitions of the legacy ERP and ask for it again in the cloud."""
        waiting = [
            line for line in self._waiting if line.requisition is not None and line.requisition.site.code == site.code
        ]
        if self.transfers is not None:
            waiting += self.transfers.asked_by(site.code)
        renewed: dict[int, RequisitionLine] = {}
        by_requisition: dict[int, list[RequisitionLine]] = {}
        for line in waiting:
            by_requisition.setdefault(id(line.requisition), []).append(line)
        for lines in by_requisition.values():
            asked = lines[0].requisition
            assert asked is not None
            again = self._requisition(site, asked.source, asked.request_location, moment)
            for line in sorted(lines, key=lambda entry: entry.line):
                place = self.desk.world.locations[line.destination.location_id] if line.destination else None
                again.request_location = (place.erp_code if place else None) or again.request_location
                new = replace(line, line=len(again.lines) + 1, requisition=again, destination=place)
                new.cloud_id = self.desk.series.next("requisition line id", first=300000450000001)
                again.lines.append(new)
                line.is_killed = True
                renewed[id(line)] = new
            self.desk.writer(asked.site).requisition(asked, moment)
            self.desk.writer(site).requisition(again, moment)
        self._waiting = [renewed.get(id(line), line) for line in self._waiting]
        if self.transfers is not None:
            self.transfers.convert(renewed)

    # -------------------------------------------------------------------------------------------------------- orders

    def order_waiting(self, d: date) -> None:
        """Order at 06:00 what was asked for since yesterday, one order per site, supplier and kind."""
        waiting, self._waiting = self._waiting, []
        # Prices are decided in mixed order, so that no site gets all the deviations.
        mixed = self.desk.chance.stream("prices of the morning", d).sample(range(len(waiting)), len(waiting))
        prices = {place: self.prices.choose(waiting[place], d) for place in mixed}
        groups: dict[tuple[str, str, str], list[tuple[RequisitionLine, Price]]] = {}
        for place, wanted in enumerate(waiting):
            assert wanted.requisition is not None
            site = wanted.requisition.site
            supplier, price = prices[place]
            groups.setdefault((site.code, supplier.supplier_id, wanted.kind), []).append((wanted, price))
        keys = list(groups)
        asked: dict[int, Requisition] = {}
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
                self.issue(order, moment, asked)
                self._plan_order(order)
        for requisition in asked.values():
            self._show(requisition, at(d, 6))

    def order_at_once(self, site: Site, item: Item, quantity: Decimal, department: str, d: date) -> Order:
        """Ask for a non-stock item and order it on the same morning, in the ERP that `site` stands for."""
        moment = at(d, 8, 20)
        requisition = self._requisition(site, "manual", f"D{department}", moment)
        wanted = self._add(
            requisition, item, item.description, quantity, item.packages[0], "nonstock", department=department
        )
        self._waiting.remove(wanted)
        self._show(requisition, moment)
        supplier, price = self.prices.choose(wanted, d)
        order = self.new_order(site, supplier, "regular", d, moment)
        self._order_line(order, wanted, price)
        self.issue(order, moment)
        self._plan_order(order)
        return order

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
        if order.po_type == "regular":
            line.promised_on = next_business_day(order.order_date + LONGEST_WAY)
        elif order.po_type != "service":
            line.promised_on = order.order_date
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
        if item is not None:
            self.prices.paid(item, order.order_date, price.unit_price / package.each)
        if requisition_line is not None:
            requisition_line.order_line = line
        return line

    def issue(self, order: Order, moment: datetime, asked: dict[int, Requisition] | None = None) -> None:
        """Send an order: show it with its lines and the requisitions it fills, or leave those in `asked`."""
        desk = self.desk
        writer = desk.writer(order.site)
        writer.order(order, moment)
        filled: dict[int, Requisition] = {} if asked is None else asked
        for line in order.lines:
            writer.order_line(line, moment)
            desk.record_order_line(line, moment)
            requisition = line.requisition_line.requisition if line.requisition_line else None
            if requisition is not None:
                filled[id(requisition)] = requisition
        if asked is None:
            for requisition in filled.values():
                desk.show_requisition(requisition, moment)
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

    # ------------------------------------------------------------------------------------------------------ services

    def service_order(
        self, site: Site, supplier: Supplier, description: str, amount: Decimal, end: date, d: date
    ) -> Order:
        """Open a service order over an amount and until a day (2-way match)."""
        moment = at(d, 8)
        order = self.new_order(site, supplier, "service", d, moment)
        order.end_date = end
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
