"""Usage against charge: what was documented on a case beside what was charged, net of reversal and repost chains."""

from __future__ import annotations

from quality.rules.check import Condition, Maturity, RuleCheck

_AFTER_POSTING = Maturity(anchor="anchor_date", days=3)

CHECKS = (
    RuleCheck(
        rule_id="UC-01",
        relation="rec_usage_charge",
        variance="missed_each",
        # Only a posted case misses a charge; before, nobody was asked to charge it.
        conditions=(Condition("charged_each", "=", 0), Condition("anchor_date", "is known")),
        maturity=_AFTER_POSTING,
        impact="missed_amount",
        explanation="{expected_each:each} EACH to be charged, none charged and {in_flight_each:each} EACH in flight: "
        "{missed_each:each} EACH missed at {charge_price:price}.",
    ),
    RuleCheck(
        rule_id="UC-03",
        relation="rec_usage_charge",
        variance="difference_each",
        base="expected_each",
        direction="both",
        tolerance="qty_implant",
        conditions=(Condition("charged_each", "<>", 0), Condition("used_each", ">", 0)),
        maturity=_AFTER_POSTING,
        impact="difference_amount",
        replaced_by="UC-04",
        explanation="{expected_each:each} EACH to be charged, {charged_each:each} EACH charged and "
        "{in_flight_each:each} EACH in flight: {difference_each:each} EACH apart at {charge_price:price}.",
    ),
    RuleCheck(
        rule_id="UC-04",
        relation="rec_usage_charge",
        variance="duplicate_excess_each",
        conditions=(Condition("active_chain_count", ">", 1),),
        maturity=Maturity(anchor="service_date"),
        impact="duplicate_amount",
        explanation="{active_chain_count:each} active charge chains for one service date exceed the "
        "{used_each:each} EACH used by {duplicate_excess_each:each} EACH.",
    ),
    RuleCheck(
        rule_id="UC-05",
        relation="rec_charge_usage",
        conditions=(Condition("is_explained", "=", False),),
        maturity=Maturity(anchor="anchor_date", days=3),
        impact="impact_amount",
        explanation="A net charge of {net_amount:money} on a surgical account is explained by no documented use "
        "and no inventory issue.",
    ),
    RuleCheck(
        rule_id="UC-10",
        relation="rec_usage_expiry",
        variance="days_expired",
        maturity=Maturity(anchor="surgery_date"),
        explanation="Used on {surgery_date:date}, expired on {expiry_date:date}: "
        "{days_expired:each} days past its date.",
    ),
)
