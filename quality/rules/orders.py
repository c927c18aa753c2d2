"""Bill-only orders and contract prices: what was ordered beside what was implanted and what was agreed."""

from __future__ import annotations

from quality.rules.check import Condition, Maturity, RuleCheck

CHECKS = (
    RuleCheck(
        rule_id="BO-01",
        relation="rec_implant_order",
        conditions=(Condition("has_order", "=", False),),
        maturity=Maturity(anchor="anchor_date", days=5, business=True),
        impact="impact_amount",
        explanation="{quantity_each:each} EACH of an implant that is not owned stock used at {contract_price:price}, "
        "no order found by case, or by supplier, catalogue number and lot or serial.",
    ),
    RuleCheck(
        rule_id="CP-01",
        relation="rec_order_contract",
        variance="variance_each",
        base="contract_price_each",
        direction="both",
        tolerance="price_contract",
        maturity=Maturity(anchor="business_date"),
        impact="impact_amount",
        explanation="{ordered_each:each} EACH ordered at {po_price_each:price}, contract {contract_number:text} says "
        "{contract_price_each:price}: {variance_each:price} apart per EACH.",
    ),
)
