"""Services: standing orders billed every month, single jobs, and invoices that no order asked for.

Here: service orders with their invoices, those that run over their amount or their end (M3-14), invoices of suppliers
that are closed (M3-13), with their near misses.
Not here: entries in payables (payables), which suppliers are closed (former_suppliers), goods (fulfilment).
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from ingest.simulator.accounts import is_business_day, next_business_day
from ingest.simulator.chance import Stream
from ingest.simulator.desk import Desk, at
from ingest.simulator.discrepancies import entity_of_invoice, entity_of_line
from ingest.simulator.documents import Order, OrderLine, cents
from ingest.simulator.events import Site, Supplier, SupplierClosure
from ingest.simulator.ordering import Ordering
from ingest.simulator.payables import Bill, Expense, Payables

STANDING = ("EQUIPMENT MAINTENANCE", "STERILIZER SERVICE", "LINEN SERVICE")
JOBS = ("ENDOSCOPE REPAIR SERVICE", "CALIBRATION SERVICE", "DRILL REPAIR SERVICE")
SHARES = (Decimal("0.5"), Decimal("0.3"), Decimal("0.2"))
JOB_DAYS = 14
RENEWED_AFTER = timedelta(days=60)  # orders in the ERP that was left run off within 120 days (landscape 4)
OVERRUNS = (("overspent", True), ("expired", True), ("exactly the amount", False), ("last day", False))


class Services:
    """Everything that is billed without being received."""

    def __init__(self, desk: Desk, ordering: Ordering, payables: Payables) -> None:
        self.desk = desk
        self.ordering = ordering
        self.payables = payables
        self._is_open = False
        self._recurring: list[tuple[OrderLine, Decimal]] = []  # with what is billed of it every month
        self._successors: dict[str, OrderLine] = {}  # order of the ERP that a site left -> its line in the cloud

    def convert(self, site: Site, d: date) -> None:
        """Plan new standing orders in the cloud for a site that moved on `d`; until then the old ones are billed."""
        for line, monthly in self._recurring:
            if line.order.site.code == site.code:
                renewed = d + RENEWED_AFTER
                self.desk.schedule(at(renewed, 8), partial(self._renew, line, monthly, renewed))

    def _renew(self, line: OrderLine, monthly: Decimal, d: date) -> None:
        """Close a standing order of the legacy ERP and open its successor for the months that are left."""
        old, moment = line.order, at(d, 8)
        assert old.end_date is not None
        months = (old.end_date - d).days // 30 + 1
        site = self.desk.world.sites[old.site.code]
        new = self.ordering.service_order(site, old.supplier, line.description, monthly * months, old.end_date, d)
        self._successors[old.po_key] = new.lines[0]
        line.is_closed, line.closed_at = True, moment
        self.desk.show_line(line, moment)

    def morning(self, d: date) -> None:
        """Open the standing orders once, then the jobs and stray invoices that the plan wants."""
        if not self._is_open:
            self._is_open = True
            self._open_standing(d)
        if not is_business_day(d):
            return
        for site in self.desk.world.hospitals():
            self._jobs(site, d)
            self._strays(site, d)

    def _providers(self, site: Site) -> list[Supplier]:
        closed = {closure.supplier_id for closure in self.desk.world.supplier_closures}
        return [
            supplier
            for supplier in self.desk.world.suppliers.values()
            if supplier.role == "SERVICE" and supplier.supplier_id not in closed and self.desk.serves(supplier, site)
        ]

    # ----------------------------------------------------------------------------------------------- standing orders

    def _open_standing(self, d: date) -> None:
        """Each site opens its service orders: two billed monthly, one in instalments."""
        for site in self.desk.world.hospitals():
            serving = self._providers(site)
            for place, description in enumerate(STANDING if serving else ()):
                stream = self.desk.chance.stream("service", site.code, place)
                supplier = serving[place % len(serving)]
                opened = d + timedelta(days=2 * place)
                monthly = stream.decimal(900, 4200)
                action = partial(self._open_one, site, supplier, description, monthly, opened, place < 2)
                self.desk.schedule(at(opened, 8), action)

    def _open_one(
        self, site: Site, supplier: Supplier, description: str, monthly: Decimal, opened: date, is_recurring: bool
    ) -> None:
        site = self.desk.world.sites[site.code]  # it may have moved since
        months = 12 if is_recurring else 3
        amount = monthly * (months if is_recurring else Decimal("1.2"))
        end = opened + timedelta(days=31 * months)
        order = self.ordering.service_order(site, supplier, description, cents(amount), end, opened)
        line = order.lines[0]
        if is_recurring:
            self._recurring.append((line, monthly))
            base = str(self.desk.chance.stream("recurring", order.po_key).integer(10000, 99999))
            for month in range(months):
                when = next_business_day(opened + timedelta(days=4 + 30 * month))
                self._bill(line, monthly, when, f"{base}{chr(65 + month)}", "recurring a month apart")
            return
        base = self.desk.invoice_number(order.supplier)
        for place, share in enumerate(SHARES):
            when = next_business_day(opened + timedelta(days=10 + 2 * place))
            self._bill(line, cents(monthly * share), when, f"{base}{chr(65 + place)}", "instalments")

    def _bill(self, line: OrderLine, amount: Decimal, when: date, number: str = "", reason: str = "") -> None:
        """Schedule an invoice of a service; `reason` is why it is no duplicate of another (M3-07)."""
        moment = at(when, 10, 30)

        def enter() -> None:
            billed = self._successors.get(line.order.po_key, line)
            bill = Bill(billed, Decimal(1), amount, "EA", Decimal(1))
            order = billed.order
            invoice = self.payables.enter(
                order.site, order.supplier, order, [bill], when, moment, number=number or None
            )
            if reason:
                self.desk.plan.note("M3-07", entity_of_invoice(invoice), invoice.site.code, True, reason)

        self.desk.schedule(moment, enter)

    # ---------------------------------------------------------------------------------------------------------- jobs

    def _jobs(self, site: Site, d: date) -> None:
        for variant, is_defect in OVERRUNS:
            if self.desk.plan.wants("M3-14", is_defect, f"{site.code}|{d}", d, variant):
                self._job(site, d, variant, is_defect)

    def _job(self, site: Site, d: date, variant: str, is_defect: bool) -> None:
        """M3-14: a job that costs more than was agreed or is billed after its end; or is billed to the last cent."""
        stream = self.desk.chance.stream("job", site.code, d, variant)
        serving = self._providers(site)
        if not serving:
            return
        amount = stream.decimal(400, 3000)
        end = next_business_day(d + timedelta(days=JOB_DAYS))
        order = self.ordering.service_order(site, stream.pick(serving), stream.pick(JOBS), amount, end, d)
        line = order.lines[0]
        first = cents(amount * stream.decimal(0.5, 0.7))
        self._bill(line, first, next_business_day(d + timedelta(days=4)))
        rest, when = amount - first, self._second(order, variant, stream)
        if variant == "overspent":
            rest += cents(amount * stream.decimal(0.1, 0.4))
        elif variant == "expired":
            rest = cents(rest * Decimal("0.8"))
        self._bill(line, rest, when)
        self.desk.plan.note("M3-14", entity_of_line(line), site.code, not is_defect, variant)

    @staticmethod
    def _second(order: Order, variant: str, stream: Stream) -> date:
        assert order.end_date is not None
        if variant == "expired":
            return next_business_day(order.end_date + timedelta(days=stream.integer(1, 6)))
        if variant == "last day":
            return order.end_date
        return next_business_day(order.order_date + timedelta(days=stream.integer(6, 9)))

    # ------------------------------------------------------------------------------------------------ stray invoices

    def _strays(self, site: Site, d: date) -> None:
        """M3-13: an invoice of a closed supplier; one that is dated before the closing is none."""
        closures = [
            closure
            for closure in self.desk.world.supplier_closures
            if closure.erp == site.erp and closure.inactive_from <= d
        ]
        for place, closure in enumerate(closures):
            key = f"{site.code}|{closure.supplier_id}|{d}"
            if self.desk.plan.wants("M3-13", True, key, d, f"{closure.level} {place}"):
                self._stray(site, closure, d, d - timedelta(days=1), True)
            is_fresh = closure.inactive_from > self.desk.world.start + timedelta(days=1)
            if is_fresh and self.desk.plan.wants("M3-13", False, key, d, "dated before"):
                self._stray(site, closure, d, closure.inactive_from - timedelta(days=1), False)

    def _stray(self, site: Site, closure: SupplierClosure, d: date, dated: date, is_defect: bool) -> None:
        stream = self.desk.chance.stream("stray", site.code, closure.supplier_id, d, is_defect)
        amount = stream.decimal(80, 2400)
        moment = at(d, 11, 20)

        def enter() -> None:
            supplier = self.desk.world.suppliers[closure.supplier_id]
            invoice_date = max(dated, closure.inactive_from) if is_defect else dated
            expenses = (Expense(amount, "SUPPLY_EXP", "8020"),)
            invoice = self.payables.enter(
                site, supplier, None, (), invoice_date, moment, source="MAN", expenses=expenses
            )
            reason = closure.level if is_defect else "dated before"
            self.desk.plan.note("M3-13", entity_of_invoice(invoice), site.code, not is_defect, reason)

        self.desk.schedule(moment, enter)
