"""The reconciliation rules, a module a domain, as data over the recon relations.

Here: what makes a row a break, when it matures, what it costs, how it is told; the catalogue and the tolerances they
    use.
Not here: the comparison itself (dbt_project/models/recon) and applying the rules (quality.judge).
"""

from __future__ import annotations

from functools import cache

from quality.rules.check import RuleCheck


@cache
def implemented() -> dict[str, RuleCheck]:
    """Every rule that is judged, by its id, in the order of the catalogue's domains."""
    from quality.rules import feeds, ledger, master_data, orders, payables, usage_charge, usage_inventory

    modules = (usage_inventory, usage_charge, orders, payables, ledger, master_data, feeds)
    return {check.rule_id: check for module in modules for check in module.CHECKS}
