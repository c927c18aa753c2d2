"""What a reconciliation rule consists of, as data: which relation it reads and when a row of it is a break.

Here: the frozen dataclasses that every rule is written in. Not here: the rules (one module a domain) and the judgement
that applies them (quality.judge).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quality.tolerances import Direction

Comparison = Literal["=", "<>", ">", "<", "is known"]


@dataclass(frozen=True)
class Condition:
    """A plain statement about one column that must hold for a row to be a break."""

    column: str
    comparison: Comparison
    value: bool | int | str | None = None
    # Name of a limit of the tolerance set, in place of a value.
    limit: str | None = None
    # What a missing value says.
    when_missing: bool = False


@dataclass(frozen=True)
class Maturity:
    """When a break stops being timing: days after the date in `anchor`.

    The number is fixed, or a limit of the tolerance set, or a column of the relation (sites differ). A relation that
    has `<anchor>_<rule>` (m3_02) means that column.
    """

    anchor: str
    days: int = 0
    business: bool = False
    limit: str | None = None
    column: str | None = None


@dataclass(frozen=True)
class RuleCheck:
    """A rule over a recon relation.

    A row is a break when the rule judges it (no out_of_scope_reason, everything in `scope` holds), every condition
    holds and the variance breaches the tolerance.

    Attributes:
        rule_id: As in the catalogue, which also has its title, severity and queue.
        relation: Table of the recon schema; entity_key, facility_id, business_date, out_of_scope_reason and evidence
            are read from it by those names, or with the rule's suffix (business_date_m3_02) where the relation has
            that.
        explanation: One sentence with the numbers; fields are columns with a format (each, money, price, date, text).
        variance: Column that must be zero, within `tolerance`. None: the conditions alone decide.
        base: Column that a share of the tolerance is taken of. None: the rule has no base.
        direction: Which sign of the variance is judged.
        tolerance: Name of the tolerance. None: exact.
        implant_tolerance: Name of the tolerance of rows with is_implant.
        scope: Which rows the rule judges at all, where a relation serves more than it.
        conditions: What must hold beside the variance.
        maturity: None: a break is open as soon as it is there.
        impact: Column of the money at stake, taken absolutely and rounded half-even to cents. None: no money.
        replaced_by: Rule whose break on the same entity owns the same dollars: this one is then not raised.
        on_ledger: Asserted by Great Expectations, for control totals, tie-outs and journals, not row by row.
    """

    rule_id: str
    relation: str
    explanation: str
    variance: str | None = None
    base: str | None = None
    direction: Direction = "over"
    tolerance: str | None = None
    implant_tolerance: str | None = None
    scope: tuple[Condition, ...] = ()
    conditions: tuple[Condition, ...] = ()
    maturity: Maturity | None = None
    impact: str | None = None
    replaced_by: str | None = None
    on_ledger: bool = False

    @property
    def suffix(self) -> str:
        """The rule's id as it ends a column's name."""
        return self.rule_id.lower().replace("-", "_")
