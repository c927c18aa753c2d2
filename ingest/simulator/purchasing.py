"""Purchase to pay in both ERPs, day by day.

Here: `Purchasing`, which puts the parts together and runs their day.
Not here: the parts (ordering, fulfilment, services, implants, receiving, payables), the rows of the two ERPs (legacy,
cloud), the journals (ledger), stock quantities and averages (stock).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from ingest.simulator.chance import Chance
from ingest.simulator.cloud import CloudErp
from ingest.simulator.delivery import Outbox
from ingest.simulator.desk import Desk, at
from ingest.simulator.events import ReplenishmentNeed, World
from ingest.simulator.fulfilment import Fulfilment
from ingest.simulator.implants import BillOnlyRequest, ImplantOrders
from ingest.simulator.legacy import LegacyErp
from ingest.simulator.ordering import Ordering
from ingest.simulator.payables import Payables
from ingest.simulator.plan import DefectPlan
from ingest.simulator.receiving import Receiving
from ingest.simulator.services import Services
from ingest.simulator.stock import CENTRE, Stock
from ingest.simulator.transfers import Transfers

__all__ = ["BillOnlyRequest", "Purchasing"]


class Purchasing:
    """Orders, receipts, invoices and payments of every site of the world."""

    def __init__(self, world: World, stock: Stock, outbox: Outbox, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world and its parts; nothing happens until `opening`."""
        self.desk = Desk(world, stock, outbox, plan, chance)
        self.receiving = Receiving(self.desk)
        self.payables = Payables(self.desk)
        self.fulfilment = Fulfilment(self.desk, self.receiving, self.payables)
        self.ordering = Ordering(self.desk, self.fulfilment.plan_order)
        self.implants = ImplantOrders(self.desk, self.ordering, self.receiving, self.payables)
        if world.sites_of("erp_lawson"):
            self.desk.writers["erp_lawson"] = LegacyErp(self.desk, self.receiving)
        if world.sites_of("erp_fusion"):
            self.desk.writers["erp_fusion"] = CloudErp(self.desk, self.receiving)
        self.transfers = Transfers(self.desk)
        if CENTRE in world.sites:
            self.ordering.transfers = self.transfers
            for writer in self.desk.writers.values():
                writer.transfers = self.transfers
        self.services = Services(self.desk, self.ordering, self.payables)

    def opening(self, d: date) -> None:
        """Set up masters in both ERPs on the evening of `d`, the day before the first business date."""
        for writer in self.desk.writers.values():
            writer.opening(d)

    def morning(self, d: date) -> None:
        """Run the business of `d` that is due: orders at 06:00, receipts, invoices, payments."""
        self.services.morning(d)
        self.ordering.order_waiting(d)
        self.ordering.departments_ask(d)
        self.transfers.morning(d)
        self.desk.run_agenda(at(d, 23, 59, 59))
        self.payables.pay(d)

    def replenish(self, needs: Sequence[ReplenishmentNeed], d: date) -> None:
        """Turn the needs found at 20:00 of `d` into requisitions; the orders follow next morning."""
        self.ordering.replenish(needs, d)

    def request_bill_only(self, request: BillOnlyRequest, at: datetime) -> None:
        """Take note of an implant that must be ordered after the fact; requisition 1 to 3 business days later."""
        self.implants.request(request, at)

    def close_day(self, d: date) -> None:
        """Emit the ERP rows of `d` (all extracts but the ledger's)."""
        self.implants.accrue(d)
        for writer in self.desk.writers.values():
            writer.close_day(d)
