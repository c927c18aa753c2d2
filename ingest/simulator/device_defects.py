"""What is planted on the devices of a case: untraceable implants, recalled lots, control totals that differ.

Here: which line of a case becomes a defect or near miss of UC-09 and UC-11, which control total is wrong (UI-09).
Not here: how lines are written (chart, clinic), recalls themselves (recalls).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from ingest.simulator.amounts import money
from ingest.simulator.chance import Chance
from ingest.simulator.plan import DefectPlan
from ingest.simulator.recalls import Recalls
from ingest.simulator.records import Line, Performed

Wants = Callable[[str, bool, str], bool]
Free = Callable[[Callable[[Line], bool]], Line | None]
NO_IDENTIFIER, NO_LOT = "no identifier", "no lot"
USED_SINCE, USED_BEFORE, OTHER_LOTS = "used since the recall", "used before the recall", "other lots"
LEAST_TOTAL = Decimal(20)


def key_of(performed: Performed, line: Line) -> str:
    """Entity key of an implant."""
    return f"case={performed.case.log_id}|implant={line.implant_id}"


# Device replacements: share of the price that comes back, and what the explant was for.
NOT_REPORTED, REPORTED, TOO_LITTLE, NO_WARRANTY = "not reported", "reported", "less than half", "no warranty"
REPLACEMENTS = ((True, NOT_REPORTED), (False, REPORTED), (False, TOO_LITTLE), (False, NO_WARRANTY))


def credit_share(line: Line, chance: Chance) -> Decimal | None:
    """Share of a replacement's price that the supplier gives back; None when it replaces nothing."""
    if not line.replaces:
        return None
    stream = chance.stream("credit share", line.implant_id)
    return stream.decimal(0.2, 0.35) if line.replaces == TOO_LITTLE else stream.decimal(0.7, 1)


def is_recall_reimplant(line: Line, chance: Chance) -> bool:
    """Whether the record of the new device names a recall; else the old one's names its warranty."""
    if line.replaces in ("", NO_WARRANTY):
        return False
    return chance.stream("reimplant", line.implant_id).flag(0.4)


def _plant_replacement(performed: Performed, plan: DefectPlan, wants: Wants, free: Free) -> None:
    """UC-16: a device takes the place of one under warranty or recall, and its supplier gives a credit."""
    numbers = [line.item.key for line in performed.lines if line.kind == "implant" and line.item is not None]

    def ordered(line: Line) -> bool:
        return (
            line.implant_id is not None
            and line.item is not None
            and line.used > 0
            and line.stock_class in ("BILLONLY", "CONSIGN")
            and numbers.count(line.item.key) == 1
        )

    if performed.account.is_credited:
        return
    for defect, variant in REPLACEMENTS:
        line = free(ordered)
        if line is None or not wants("UC-16", defect, variant):
            continue
        line.tag, line.replaces = "UC-16", variant
        performed.account.is_credited = True
        plan.note("UC-16", key_of(performed, line), performed.case.site, not defect, variant)
        return


def plant_devices(performed: Performed, plan: DefectPlan, recalls: Recalls, wants: Wants, free: Free) -> None:
    """Let implants of a case carry what the plan wants just now."""
    _plant_identity(performed, plan, wants, free)
    _plant_recalls(performed, plan, recalls, wants, free)
    _plant_replacement(performed, plan, wants, free)


def _plant_identity(performed: Performed, plan: DefectPlan, wants: Wants, free: Free) -> None:
    def owned(line: Line) -> bool:
        return line.implant_id is not None and line.item is not None and line.used > 0 and line.stock_class == "STOCK"

    def donated(line: Line) -> bool:
        return owned(line) and line.item is not None and line.item.udi_type == 3

    def other(line: Line) -> bool:
        return owned(line) and not donated(line)

    for defect, variant, test, missing in (
        (True, NO_IDENTIFIER, owned, NO_IDENTIFIER),
        (True, NO_LOT, other, NO_LOT),
        (False, "donation number", donated, NO_LOT),
        (False, "a lot and no serial", other, ""),
    ):
        line = free(test)
        if line is not None and wants("UC-09", defect, variant):
            line.tag, line.untraced = "UC-09", missing
            plan.note("UC-09", key_of(performed, line), performed.case.site, not defect, variant)


def _plant_recalls(performed: Performed, plan: DefectPlan, recalls: Recalls, wants: Wants, free: Free) -> None:
    site = recalls.world.sites[performed.case.site]
    if site.stock_system != "pou" or site.is_issued_at_pick:
        return

    def with_lot(line: Line) -> bool:
        return line.implant_id is not None and line.item is not None and line.used > 0 and line.lot.lot is not None

    d = performed.case.surgery_date
    for defect, variant in ((True, USED_SINCE), (False, USED_BEFORE), (False, OTHER_LOTS)):
        line = free(lambda entry: with_lot(entry) and not recalls.is_recalled(entry.lot.lot or ""))
        if line is None or line.item is None or not wants("UC-11", defect, variant):
            continue
        if defect and d + timedelta(days=3) > recalls.world.end:
            continue
        line.tag = "UC-11"
        key = key_of(performed, line)
        recalls.used(line.item, site.code, line.lot.lot or "", d, variant, key)
        plan.note("UC-11", key, site.code, not defect, variant)


def control_totals(
    performed: Performed, totals: dict[int, Decimal], plan: DefectPlan, chance: Chance
) -> dict[int, Decimal]:
    """The control totals as they are taken: once in a while at an old cost, without a line, or a little off (UI-09)."""
    case = performed.case
    kinds = [kind for kind, amount in totals.items() if amount >= LEAST_TOTAL]
    if performed.mode != "normal" or len(case.posted_at) > 1 or not kinds:
        return totals
    stream = chance.stream("control total", case.log_id)
    kind = stream.pick(kinds)
    entity = f"case={case.log_id}|type={kind}"
    for defect, variant in ((True, "old cost"), (True, "line left out"), (False, "within a dollar")):
        if not plan.wants("UI-09", defect, case.log_id, case.surgery_date, variant):
            continue
        wrong = totals[kind] - Decimal("0.90")
        if variant == "old cost":
            wrong = money(totals[kind] * stream.decimal(0.7, 0.93))
        elif variant == "line left out":
            wrong = money(totals[kind] * stream.decimal(0.2, 0.6))
        plan.note("UI-09", entity, case.site, not defect, variant)
        return {**totals, kind: wrong}
    return totals
