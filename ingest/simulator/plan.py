"""The plan of defects, near misses and quirks: how many of which, and when.

Here: `DefectPlan`, which says yes to an opportunity often enough that every rule gets its floor of defects and near
misses in a small world and its rate in a large one; the switches and shares of the quirks of the landscape.
Not here: what a defect looks like (clinic, stock, purchasing and the others), whether a rule fires (oracle).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from math import ceil

from ingest.simulator.chance import Chance
from ingest.simulator.events import Planted, World

# Days before the end of the world on which the last defect of a rule is planted, so that it is mature and detected.
LEAD_DAYS: dict[str, int] = {
    "UI-01": 8,
    "UI-02": 8,
    "UI-05": 4,
    "UC-01": 12,
    "UC-03": 12,
    "UC-04": 12,
    "UC-02": 14,
    "UC-05": 12,
    "UC-06": 12,
    "UC-08": 12,
    "UC-12": 10,
    "UC-13": 14,
    "UC-10": 8,
    "BO-01": 14,
    "BO-02": 9,
    "BO-03": 8,
    "BO-07": 10,
    "CP-01": 8,
    "M3-01": 22,
    "M3-02": 22,
    "M3-05": 70,
    "M3-06": 26,
    "M3-07": 22,
    "M3-03": 16,
    "M3-04": 16,
    "M3-14": 30,
    "M3-15": 14,
    "M3-16": 48,
    "AS-01": 13,
    "AS-02": 12,
    "AS-03": 14,
    "PA-02": 5,
    "GL-02": 8,
    "GL-09": 6,
    "GL-05": 8,
    "GL-07": 3,
    "MIG-01": 12,
    "MIG-02": 9,
    "MIG-04": 6,
    "MDM-01": 8,
    "INT-02": 4,
    "INT-03": 4,
    "UI-06": 3,
    "UI-09": 6,
    "UC-16": 62,
    "UC-09": 8,
    "UC-11": 8,
    "STK-01": 3,
    "STK-02": 3,
    "STK-04": 12,
    "STK-08": 5,
    "INT-01": 3,
    "INT-05": 2,
    "INT-07": 4,
}

# Share of cases (or of what is nearest to them) that carry a defect of the rule in a large world, by variant.
RATES: dict[tuple[str, bool, str], float] = {
    ("UI-01", True, "no_scan"): 0.010,
    ("UI-01", True, "implant"): 0.003,
    ("UI-02", True, "not_documented"): 0.008,
    ("UI-02", True, "wrong_case"): 0.006,
    ("UC-01", True, "supply"): 0.010,
    ("UC-01", True, "implant"): 0.004,
    ("UC-03", True, "more"): 0.005,
    ("UC-03", True, "less"): 0.005,
    ("UC-04", True, "interface"): 0.004,
    ("UC-05", True, "no_usage"): 0.004,
    ("UC-02", True, "addendum"): 0.001,
    ("UC-10", True, "expired"): 0.002,
    ("UC-10", True, "typo"): 0.002,
}

# Smallest number planted in a world, by variant; a variant not named gets the default.
FLOORS: dict[tuple[str, bool, str], int] = {
    ("UI-01", True, "no_scan"): 6,
    ("UI-01", True, "implant"): 3,
    ("UI-02", True, "not_documented"): 5,
    ("UI-02", True, "wrong_case"): 3,
    ("UI-02", True, "late_return"): 2,
    ("UI-05", True, ""): 7,
    ("UC-01", True, "supply"): 6,
    ("UC-01", True, "implant"): 3,
    ("UC-03", True, "more"): 4,
    ("UC-03", True, "less"): 4,
    ("UC-04", True, "interface"): 7,
    ("UC-05", True, "no_usage"): 7,
    ("UC-02", True, "held in review"): 3,
    ("UC-02", True, "entered late"): 3,
    ("UC-02", True, "addendum"): 2,
    ("UC-06", True, "supply"): 4,
    ("UC-06", True, "implant"): 2,
    ("UC-08", True, "price"): 4,
    ("UC-08", True, "former code"): 2,
    ("UC-12", True, "reversal"): 3,
    ("UC-12", True, "credit"): 3,
    ("UC-13", True, "another account"): 3,
    ("UC-13", True, "transferred later"): 2,
    ("UC-10", True, "expired"): 5,
    ("UC-10", True, "typo"): 2,
    ("BO-02", True, "not used"): 5,
    ("BO-03", True, "quantity"): 3,
    ("BO-03", True, "lot or serial"): 3,
    ("BO-07", True, "sent twice"): 5,
    ("UI-06", True, "row lost"): 3,
    ("UI-06", True, "read while moving"): 3,
    ("UC-16", True, "not reported"): 5,
    ("UI-09", True, "old cost"): 4,
    ("UI-09", True, "line left out"): 3,
    ("UC-09", True, "no identifier"): 3,
    ("UC-09", True, "no lot"): 3,
    ("UC-11", True, "used since the recall"): 5,
    ("STK-08", True, "left on the shelf"): 5,
    ("STK-04", True, "opening"): 4,
    ("STK-04", True, "short-dated receipt"): 3,
    ("MDM-01", True, "pou"): 4,
    ("MDM-01", True, "ehr"): 4,
    ("INT-02", True, "count"): 4,
    ("INT-02", True, "total"): 3,
    ("INT-02", True, "truncated"): 3,
    ("INT-02", True, "count archive"): 2,
    ("INT-02", True, "total archive"): 1,
    ("INT-02", True, "truncated archive"): 2,
    ("INT-03", True, "inventory file again"): 5,
    ("INT-03", True, "old window again"): 3,
}
FLOORS |= {
    (rule, True, f"{kind} {erp}"): 3
    for rule, kinds in (
        ("GL-08", ("GRNI", "INV_ASSET", "AP_CONTROL")),
        ("GL-10", ("row lost", "amount cut")),
        ("GL-14", ("journal missed",)),
    )
    for kind in kinds
    for erp in ("erp_lawson", "erp_fusion")
}
FLOORS |= {
    ("GL-07", True, "invoice erp_lawson"): 3,
    ("GL-07", True, "invoice erp_fusion"): 3,
    ("GL-07", True, "receipt"): 2,
    ("MIG-01", True, "same number in the cloud"): 3,
    ("MIG-01", True, "leading zeros in the cloud"): 3,
    ("M3-07", True, "suffix in the cloud"): 2,
    ("MIG-02", True, "early order"): 2,
    ("MIG-02", True, "order"): 2,
    ("MIG-02", True, "invoice"): 2,
    ("MIG-02", True, "issue"): 3,
    ("MIG-02", True, "journal"): 2,
    ("MIG-04", True, "receipt"): 3,
    ("MIG-04", True, "order of the other ERP"): 3,
    ("MIG-04", True, "order nowhere"): 3,
    ("GL-10", True, "reference altered"): 3,
    ("INT-01", True, ""): 5,
    ("INT-05", True, "OR_SPLY_LOC_INFO"): 2,
    ("INT-05", True, "ITEM_CATEGORIES"): 2,
    ("INT-05", False, "OR_SPLY_LOC_INFO"): 1,
    ("INT-05", False, "ITEM_CATEGORIES"): 1,
    ("GL-14", True, "not rolled forward"): 2,
    ("UC-10", False, "on the day"): 3,
    ("UC-10", False, "day 00"): 3,
    ("UC-04", False, "two used, two charges"): 3,
    ("UC-04", False, "duplicate reversed"): 3,
    ("INT-02", False, "exact"): 4,
    ("INT-02", False, "several parts"): 3,
    ("UI-02", False, "returned"): 3,
}
FLOORS |= {
    **{("PA-02", True, name): 2 for name in ("rejected", "backordered", "price", "quantity", "substituted", "unit")},
    **{("AS-01", True, name): 3 for name in ("short", "more", "lost")},
    **{("AS-02", True, name): 4 for name in ("too much", "cancelled")},
    **{("AS-03", True, name): 4 for name in ("late", "forgotten")},
    **{("M3-10", True, name): 6 for name in ("header", "810")},
    **{("M3-13", True, name): 3 for name in ("supplier 0", "supplier 1", "site 2")},
    **{("M3-14", True, name): 4 for name in ("overspent", "expired")},
    **{("GL-09", True, name): 3 for name in ("part lost", "lost", "other cost")},
    ("CP-01", True, "tier missed"): 2,
    **{("CP-02", True, name): 4 for name in ("dearer", "cheaper")},
    **{("CP-04", True, name): 4 for name in ("expired agreement named", "price of an expired one")},
    **{("MDM-13", True, name): 4 for name in ("ten times", "a tenth")},
}
DEFECT_FLOOR = 6
NEAR_MISS_FLOOR = 2
DEFECT_RATE = 0.004
NEAR_MISS_RATE = 0.002

# Shares of the quirks where the landscape gives one; 1 percent otherwise.
QUIRK_SHARES: dict[str, float] = {
    "Q01": 0.10,
    "Q08": 0.60,
    "Q09": 0.07,
    "Q18": 0.05,
    "Q20": 0.03,
    "Q22": 0.04,
    "Q23": 0.002,
    "Q26": 0.02,
    "Q27": 0.02,
    "Q33": 0.08,
    "Q34": 0.25,
    "Q35": 0.03,
    "Q36": 0.03,
    "Q37": 0.25,
    "Q38": 0.04,
    "Q40": 0.06,
    "Q41": 0.70,
    "Q42": 0.02,
    "Q43": 0.03,
    "Q46": 0.30,
    "Q82": 0.001,
    "Q89": 0.03,
    "Q127": 0.003,
    "Q128": 0.11,
}


QUIRKS = 130


def quirk_number(name: str) -> str:
    """The number of a quirk as the landscape writes it: Q07 for q7.

    Raises:
        ValueError: the landscape has no such quirk.
    """
    digits = name[1:]
    if name[:1] not in "Qq" or not digits.isdecimal() or not 1 <= int(digits) <= QUIRKS:
        raise ValueError(f"no quirk {name!r}; the landscape has Q01 to Q{QUIRKS}")
    return f"Q{int(digits):02d}"


class DefectPlan:
    """Says which opportunities become defects or near misses, and which quirks show.

    Every variant of a rule has a number of dates spread evenly over the world; the first opportunity on or after such a
    date is taken. The answers depend on the order of the questions only, which is the order of events.
    """

    def __init__(
        self, world: World, chance: Chance, defects: bool, quirks: bool | Iterable[str], expected_cases: float
    ) -> None:
        self.world = world
        self.defects = defects
        self._chance = chance
        self._quirks_on = quirks if isinstance(quirks, bool) else True
        self._only = None if isinstance(quirks, bool) else frozenset(map(quirk_number, quirks))
        self._expected_cases = expected_cases
        self._taken: dict[tuple[str, bool, str], int] = {}
        self._dates: dict[tuple[str, bool, str], list[date]] = {}

    def wants(self, rule_id: str, defect: bool, key: object = "", on: date | None = None, variant: str = "") -> bool:
        """Whether this opportunity becomes a defect (`defect`) or a near miss of the rule; a yes counts as planted.

        Args:
            rule_id: the rule of the catalogue.
            defect: a defect, else a near miss.
            key: names the opportunity; kept for readability of the caller, it does not change the answer.
            on: business date of the opportunity; without it the world's first day counts, so quotas fill at once.
            variant: the kind of defect or the reason why it is a near miss; each has its own quota.
        """
        if not self.is_due(rule_id, defect, on, variant):
            return False
        quota = (rule_id, defect, variant)
        self._taken[quota] = self._taken.get(quota, 0) + 1
        return True

    def is_due(self, rule_id: str, defect: bool, on: date | None = None, variant: str = "") -> bool:
        """Whether the next opportunity would be taken; asking does not count, so that it need not be looked for."""
        if (not self.defects) if defect else not (self.defects or self._quirks_on):
            return False
        quota = (rule_id, defect, variant)
        dates = self._dates.get(quota)
        if dates is None:
            dates = self._dates[quota] = self._schedule(quota)
        taken = self._taken.get(quota, 0)
        if taken >= len(dates) or (on is not None and on < dates[taken]):
            return False
        return on is None or on <= self.last_date(rule_id)

    def last_date(self, rule_id: str) -> date:
        """The last business date on which something is planted for the rule."""
        lead = LEAD_DAYS.get(rule_id, 8)
        days = (self.world.end - self.world.start).days
        return self.world.end - timedelta(days=min(lead, days * 2 // 3))

    def _schedule(self, quota: tuple[str, bool, str]) -> list[date]:
        rule_id, defect, _ = quota
        floor = FLOORS.get(quota, DEFECT_FLOOR if defect else NEAR_MISS_FLOOR)
        rate = RATES.get(quota, DEFECT_RATE if defect else NEAR_MISS_RATE)
        number = max(floor, ceil(rate * self._expected_cases))
        first = self.world.start + timedelta(days=1)
        span = max((self.last_date(rule_id) - first).days - 1, 0)
        offset = self._chance.stream("plan", *quota).fraction()
        return [first + timedelta(days=int(span * (index + offset) / number)) for index in range(number)]

    def note(self, rule_id: str, entity_key: str, site: str, near_miss: bool, reason: str) -> None:
        """Remember what was planted, by the key under which the rule would name it."""
        self.world.planted.append(Planted(rule_id, entity_key, site, near_miss, reason))

    def shows(self, quirk: str) -> bool:
        """Whether the quirk is switched on at all."""
        return self._quirks_on and (self._only is None or quirk in self._only)

    def quirk(self, quirk: str, *key: object, share: float | None = None) -> bool:
        """Whether the quirk shows on the entity named by `key`, by its share of the landscape or the one given."""
        if not self.shows(quirk):
            return False
        wanted = QUIRK_SHARES.get(quirk, 0.01) if share is None else share
        return self._chance.stream("quirk", quirk, *key).flag(wanted)
