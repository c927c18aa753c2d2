"""The cut-over of a site from the legacy ERP to the cloud (landscape section 4).

Here: the first day in the cloud: what waits is asked for again there, stock is converted row by row, balances move over
the clearing account of both ledgers (E22, E22a).
Not here: what later follows the old orders (receiving, payables), which ERP a document of a day is made in (`World`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from ingest.simulator.amounts import exact_parts
from ingest.simulator.desk import at
from ingest.simulator.documents import ZERO, cents
from ingest.simulator.events import InventoryRow, StockPosition, World
from ingest.simulator.ledger import Ledger
from ingest.simulator.purchasing import Purchasing
from ingest.simulator.stock import CENTRE, Stock

LEGACY, CLOUD = "erp_lawson", "erp_fusion"
BALANCE = "0000"
CLEARING = ("CONV_CLEARING", BALANCE)
DOCUMENT = "9"  # before the date: apart from the documents of interface runs


@dataclass(frozen=True, slots=True)
class Cutover:
    """Moves sites to the cloud on their day."""

    world: World
    stock: Stock
    purchasing: Purchasing
    ledger: Ledger

    def morning(self, d: date) -> None:
        """Move the sites whose first day in the cloud is `d`, before anything else happens on it."""
        for code, first in self.world.cutovers.items():
            if first == d:
                self._move(code, d)

    def _move(self, code: str, d: date) -> None:
        world = self.world
        self._move_balances(code, d)
        world.sites[code] = world.site_in(code, CLOUD)
        for name, location in list(world.locations.items()):
            if location.site == code:
                world.locations[name] = replace(location, erp_code=location.code_in(CLOUD))
        self._convert_stock(code, d)
        self.purchasing.ordering.convert(world.sites[code], at(d, 5))
        self.purchasing.services.convert(world.sites[code], d)

    def _convert_stock(self, code: str, d: date) -> None:
        """E22 of the stock: rows that bring each legacy location to zero, and the same in the cloud."""
        line = 0
        for position in self.stock.holdings.convert(code):
            for quantity, cost in exact_parts(position.quantity, position.value):
                line += 1
                self._convert_row(position, quantity, cost, line, d)

    def _convert_row(self, position: StockPosition, quantity: Decimal, cost: Decimal, line: int, d: date) -> None:
        world, code = self.world, position.site
        location = world.locations[position.location_id or ""]
        amount = cents(quantity * cost)
        document = f"{DOCUMENT}{d:%y%m%d}"
        company = world.sites[code].company
        inventory = ("INV_ASSET", BALANCE)
        for erp, name, sign, moment in (
            (LEGACY, f"{company}-{location.code_in(LEGACY)}-IC-AD-{document}-0-{line}", -1, at(d, 0, 15)),
            (CLOUD, f"CONV-{code}-{line}", 1, at(d, 0, 20)),
        ):
            world.inventory_rows.append(
                InventoryRow(
                    erp=erp,
                    site=code,
                    location_id=location.location_id,
                    item_key=position.item_key,
                    document=name,
                    quantity_each=sign * quantity,
                    unit_cost=cost,
                    amount=sign * amount,
                    is_conversion=True,
                    posted_on=d,
                    known_at=moment,
                )
            )
            sides = (CLEARING, inventory) if erp == LEGACY else (inventory, CLEARING)
            table = "ICTRANS" if erp == LEGACY else "INV"
            self._post(erp, code, "E22", d, sides, amount, table, name, moment)

    def _move_balances(self, code: str, d: date) -> None:
        """E22 of patient accounts and E22a: what stands in the legacy ledger on the evening before."""
        receivable = self.ledger.standing(code, LEGACY, "PATIENT_AR")
        owed = self.ledger.standing(code, LEGACY, "DUE_TO", CENTRE) if CENTRE in self.world.sites else ZERO
        for event, role, amount, other in (
            ("E22 receivables", "PATIENT_AR", receivable, None),
            ("E22a", "DUE_TO", owed, CENTRE),
        ):
            account = (role, BALANCE)
            key = f"{event}-{code}"
            self._post(LEGACY, code, event, d, (CLEARING, account), amount, "BALANCE", key, at(d, 0, 15), other)
            self._post(CLOUD, code, event, d, (account, CLEARING), amount, "BALANCE", key, at(d, 0, 20), other)

    def _post(
        self,
        erp: str,
        code: str,
        event: str,
        d: date,
        sides: tuple[tuple[str, str], tuple[str, str]],
        amount: Decimal,
        table: str,
        key: str,
        moment: datetime,
        counterparty: str | None = None,
    ) -> None:
        site = self.world.site_in(code, erp)
        desk = self.purchasing.desk
        desk.post(site, event, d, *sides, amount, table, key, moment, counterparty)
