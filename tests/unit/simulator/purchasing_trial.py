"""A small world for the tests of purchasing and the ledgers: real stock, real masters, a made-up clinic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from ingest.simulator.chance import Chance
from ingest.simulator.delivery import Outbox
from ingest.simulator.edi import SupplierMessages
from ingest.simulator.events import World
from ingest.simulator.ledger import Ledger
from ingest.simulator.masters import build_masters
from ingest.simulator.plan import DefectPlan
from ingest.simulator.purchasing import BillOnlyRequest, Purchasing
from ingest.simulator.scans import Scan
from ingest.simulator.stock import Stock

CHICAGO = ZoneInfo("America/Chicago")


@dataclass
class Trial:
    world: World
    stock: Stock
    purchasing: Purchasing
    ledger: Ledger
    out: Path


def run_trial(
    out: Path,
    days: int = 100,
    defects: bool = False,
    quirks: bool = True,
    scale: float = 0.03,
    seed: int = 7,
    sites: tuple[str, ...] = ("H1", "H5"),
    start: date = date(2026, 1, 1),
    edi: bool = False,
) -> Trial:
    """Run the supply side for some days with a clinic that uses stock and implants at random; `edi`: messages, too."""
    chance = Chance(seed)
    world = World(start=start, end=start + timedelta(days=days - 1), seed=seed)
    plan = DefectPlan(world, chance, defects, quirks, 132000 / 365 * days * scale * 0.35)
    outbox = Outbox(out, world, plan, chance)
    build_masters(world, chance, plan, scale, list(sites))
    stock = Stock(world, outbox, plan, chance)
    purchasing = Purchasing(world, stock, outbox, plan, chance)
    ledger = Ledger(world, outbox, plan, chance)
    if edi:
        outbox.documents(SupplierMessages(world, purchasing.desk, plan, chance).documents)
    eve = start - timedelta(days=1)
    stock.opening(eve)
    purchasing.opening(eve)
    ledger.opening()
    for number in range(-1, days):
        d = start + timedelta(days=number)
        purchasing.morning(d)
        if number >= 0:
            use_at_random(world, stock, purchasing, chance, d)
        stock.evening(d)
        purchasing.replenish(stock.needs(d), d)
        purchasing.close_day(d)
        ledger.close_day(d)
        stock.close_day(d)
        outbox.close_day(d)
    return Trial(world, stock, purchasing, ledger, out)


def use_at_random(world: World, stock: Stock, purchasing: Purchasing, chance: Chance, d: date) -> None:
    """Issue stock to cases and ask for implants."""
    for site in world.sites.values():
        stream = chance.stream("made-up clinic", site.code, d)
        held = [(place, key) for place, key, quantity in stock.holdings.quantities(site.code) if quantity > 4]
        for number in range(3):
            case = f"4{d:%y%j}{site.code[1]}{number}"
            moment = datetime(d.year, d.month, d.day, 9 + number, 12, tzinfo=CHICAGO)
            for place, key in stream.sample(held, 12):
                item = world.items[key]
                stock.use(Scan(site.code, place, item, Decimal(stream.integer(1, 2)), moment, case, case, "7010"))
            implants = [item for item in world.items.values() if item.stock_class in ("BILLONLY", "CONSIGN")]
            for place, item in enumerate(stream.sample(implants, 2)):
                purchasing.request_bill_only(
                    BillOnlyRequest(
                        log_id=case,
                        case_id=case,
                        site=site.code,
                        department="7010",
                        surgery_date=d,
                        implant_id=f"{case}{place}",
                        item_key=item.key,
                        stock_class=item.stock_class,
                        quantity_each=Decimal(1),
                        unit_cost=None,
                        supplier_id=item.supplier_id,
                        vendor_catalogue_number=item.vendor_catalogue_number,
                        lot=f"L{case}{place}",
                        serial=None,
                        patient_name="Doe, Jane",
                        surgeon_name="SMITH",
                    ),
                    moment,
                )
