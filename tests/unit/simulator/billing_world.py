"""Billing of many accounts without their clinic: enough claims for every kind of remittance, in a second."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

from ingest.simulator.census import Census
from ingest.simulator.chance import Chance
from ingest.simulator.charge_records import Account
from ingest.simulator.charging import Charging
from ingest.simulator.delivery import CHICAGO, Outbox
from ingest.simulator.events import World
from ingest.simulator.masters import build_masters
from ingest.simulator.plan import DefectPlan
from ingest.simulator.remits import Remittances

START = date(2026, 1, 5)


def billing_world(
    out: Path, accounts: int = 240, days: int = 62, seed: int = 5, quirks: bool | Iterable[str] = True
) -> tuple[World, Charging]:
    """Write what billing and the payers send about `accounts` stays of the first four days."""
    world = World(START, START + timedelta(days=days - 1), seed)
    chance = Chance(seed)
    plan = DefectPlan(world, chance, False, quirks, 100)
    masters = build_masters(world, chance, plan, 0.01, ["H1", "H2", "H5"])
    outbox = Outbox(out, world, plan, chance)
    charging = Charging(world, masters, outbox, plan, chance)
    census = Census(world, masters, charging, outbox, plan, seed, 0)
    outbox.documents(Remittances(world, charging, census, plan, chance).arrived)
    charging.opening(START - timedelta(days=1))
    codes = sorted(code.code for code in masters.charge_codes.values() if code.price_on(START) is not None)
    for number in range(days):
        d = START + timedelta(days=number)
        for index in range(accounts if number < 4 else 0):
            if index % 4 == number:
                _stay(charging, chance, codes, index, d)
        charging.day(d)
        outbox.close_day(d)
    return world, charging


def _stay(charging: Charging, chance: Chance, codes: list[str], index: int, d: date) -> None:
    stream = chance.stream("billing world", index)
    base_class = stream.pick((1, 2, 2, 3))
    admitted = datetime.combine(d, time(7, 30), CHICAGO)
    discharged = admitted + timedelta(days=stream.integer(1, 4) if base_class == 1 else 0, hours=5)
    account = Account(
        account=str(600000001 + index),
        site=stream.pick(("H1", "H2", "H5")),
        csn=str(200000001 + index),
        patient_id=f"Z{1000001 + index}",
        patient_name=f"CANARYNAME{'ABCDEFGHIJ'[index % 10]},GIVENCANARY Q",
        birth_date=date(1950, 1, 1) + timedelta(days=index),
        ssn=f"987-65-{1000 + index}",
        phone="555-0100",
        base_class=base_class,
        is_research=False,
        admitted_at=admitted,
        discharged_at=discharged,
        department="7010",
        is_surgical=True,
        payor=stream.pick(("1001", "1002", "1003", "1004")),
    )
    charging.open_account(account, admitted)
    for code in stream.sample(codes, stream.integer(1, 9)):
        charging.post_simple(account.account, code, Decimal(stream.pick((1, 1, 1, 2, 5))), d, d, "7010")
    if stream.flag(0.08):
        charging.plan_change(account.account, stream.pick(("class", "payer", "combine")), d + timedelta(days=3))
