"""Usage against inventory: what was documented on a case beside what left the shelf."""

from __future__ import annotations

from quality.rules.check import Condition, Maturity, RuleCheck

_BY_SITE = Maturity(anchor="anchor_date", column="maturity_days")

CHECKS = (
    RuleCheck(
        rule_id="UI-01",
        relation="rec_usage_inventory",
        variance="missing_each",
        base="used_each",
        tolerance="qty_usage",
        implant_tolerance="qty_implant",
        maturity=_BY_SITE,
        impact="impact_amount",
        explanation="{used_each:each} EACH documented as used or wasted, {issued_each:each} EACH issued: "
        "{missing_each:each} EACH at {unit_cost:price} never left inventory.",
    ),
    RuleCheck(
        rule_id="UI-02",
        relation="rec_inventory_usage",
        variance="excess_each",
        base="used_each",
        tolerance="qty_usage",
        implant_tolerance="qty_implant",
        maturity=_BY_SITE,
        impact="impact_amount",
        explanation="{issued_each:each} EACH issued to the case, {used_each:each} EACH documented on it: "
        "{excess_each:each} EACH at {unit_cost:price} without documented use.",
    ),
    RuleCheck(
        rule_id="UI-05",
        relation="rec_on_hand",
        conditions=(Condition("on_hand_each", "<", 0),),
        maturity=Maturity(anchor="business_date"),
        impact="impact_amount",
        explanation="On hand is {on_hand_each:each} EACH at the end of {business_date:date}, "
        "valued at {unit_cost:price} each.",
    ),
)
