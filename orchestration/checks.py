"""Asset checks: one a reconciliation rule, and the findings of the audit.

Here: check specs and how a judgement or an audit becomes check results. dbt's tests become checks by themselves.
Not here: the rules (quality.rules), the audit (quality.publish).

A rule's check fails when exceptions are open. That is a warning about the hospital, never a reason to stop the run:
only the audit blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from quality.rules import implemented
from quality.rules.catalogue import load_catalogue

if TYPE_CHECKING:
    from quality.judge import Judgement
    from quality.publish import Finding

EXCEPTIONS_KEY = dg.AssetKey(["quality", "exceptions"])
CONTROL_TOTALS_KEY = dg.AssetKey(["quality", "control_totals"])
SNAPSHOT_KEY = dg.AssetKey(["published", "snapshot"])

# The findings of the audit, by name; quality.publish has their detail.
AUDIT_CHECKS: Mapping[str, str] = {
    "keys_unique": "No table has a repeated or an empty key.",
    "keys_declared": "Every published table has a key.",
    "exceptions_present": "quality.exceptions is there, one row for each rule, facility and entity.",
    "delivered_is_accounted_for": "Delivered = landed + quarantined + repeated, for every feed and measure.",
    "landed_is_accounted_for": "Landed = staged + superseded + excluded, for every feed and measure.",
    "conformed_is_judged_once": "Every conformed line is once matched, timing, excepted or out of scope.",
    "finance_equals_facts": "What finance reads adds up to the facts and recon rows it was made from.",
}


def rule_check_specs() -> list[dg.AssetCheckSpec]:
    """One check a rule that is judged, on the exceptions."""
    catalogue = load_catalogue()
    return [
        dg.AssetCheckSpec(
            name=check.suffix,
            asset=EXCEPTIONS_KEY,
            description=f"{check.rule_id} {catalogue.rules[check.rule_id].title}: passes when no exception is open.",
            metadata={
                "rule": check.rule_id,
                "relation": check.relation,
                "asserted_by": "Great Expectations" if check.on_ledger else "Pandera",
            },
        )
        for check in implemented().values()
    ]


def audit_check_specs() -> list[dg.AssetCheckSpec]:
    """One check a finding of the audit, on the snapshot."""
    return [
        dg.AssetCheckSpec(name=name, asset=SNAPSHOT_KEY, description=description, blocking=True)
        for name, description in AUDIT_CHECKS.items()
    ]


def rule_results(judgement: Judgement) -> Iterator[dg.AssetCheckResult]:
    """The result of every rule's check: counts only, no row's content."""
    for rule_id, check in implemented().items():
        due = judgement.by_rule.get(rule_id, 0)
        held_back = judgement.held_back.get(rule_id)
        yield dg.AssetCheckResult(
            asset_key=EXCEPTIONS_KEY,
            check_name=check.suffix,
            passed=due == 0 and held_back is None,
            severity=dg.AssetCheckSeverity.ERROR if held_back else dg.AssetCheckSeverity.WARN,
            description=f"held back: {held_back}" if held_back else f"{due} open",
            metadata={
                "open": due,
                "timing": judgement.timing_by_rule.get(rule_id, 0),
                "rows_judged": judgement.rows_judged.get(rule_id, 0),
            },
        )


def audit_results(findings: Sequence[Finding]) -> Iterator[dg.AssetCheckResult]:
    """The result of every check of the audit; one that was not reached has failed."""
    for name in AUDIT_CHECKS:
        found = [finding for finding in findings if finding.check == name]
        yield dg.AssetCheckResult(
            asset_key=SNAPSHOT_KEY,
            check_name=name,
            passed=bool(found) and all(finding.passed for finding in found),
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(finding.detail for finding in found) or "not reached",
        )
