"""Ledger tie-out: subledgers beside control accounts, and journals beside themselves.

These rules are asserted by Great Expectations suites, which leave Data Docs.
"""

from __future__ import annotations

from quality.rules.check import Condition, RuleCheck

CHECKS = (
    RuleCheck(
        rule_id="GL-02",
        relation="rec_tie_out",
        variance="unexplained_amount",
        direction="both",
        tolerance="gl_tie_out",
        scope=(Condition("control_role", "=", "GRNI"),),
        impact="unexplained_amount",
        on_ledger=True,
        explanation="Received less invoiced is {subledger_amount:money}, the accrual account {ledger_amount:money}; "
        "{explained_amount:money} is explained, {unexplained_amount:money} that arose in {fiscal_period:text} is not.",
    ),
    RuleCheck(
        rule_id="GL-05",
        relation="rec_journal_balance",
        variance="difference_amount",
        direction="both",
        impact="difference_amount",
        on_ledger=True,
        explanation="Debits {debit_amount:money} and credits {credit_amount:money} of balancing segment "
        "{balancing_segment:text} differ by {difference_amount:money}.",
    ),
)
