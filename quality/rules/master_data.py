"""Master data: items that cannot be told from one another or from nothing."""

from __future__ import annotations

from quality.rules.check import Condition, RuleCheck

CHECKS = (
    RuleCheck(
        rule_id="MDM-01",
        relation="rec_item_identity",
        conditions=(Condition("confidence", "<", limit="item_accept", when_missing=True),),
        impact="amount_90d",
        explanation="Item {source_item_no:text} of {source_system:text} resolves to no golden item (best confidence "
        "{confidence:each}); {amount_90d:money} transacted in the last 90 days.",
    ),
)
