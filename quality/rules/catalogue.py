"""The rule catalogue as data: title, severity, queue, tolerance and maturity of every rule, read from catalogue.yaml.

Not here: how a rule is computed (the modules beside this one) and what a break's life is (quality.ledger).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CATALOGUE = Path(__file__).parent / "catalogue.yaml"
BY_AMOUNT = "by_amount"


@dataclass(frozen=True)
class CatalogueRule:
    """One entry of the catalogue. Texts are the catalogue's own; an absent one is empty."""

    rule_id: str
    title: str
    entity: str
    severity: str
    queue: str
    tolerance: str
    maturity: str
    root: str


@dataclass(frozen=True)
class Catalogue:
    """All rules of one version."""

    version: str
    rules: Mapping[str, CatalogueRule]


@cache
def load_catalogue(path: Path = CATALOGUE) -> Catalogue:
    """Read the catalogue. A rule without a severity of its own is judged by amount."""
    import yaml

    # The same safe loader, six times faster where libyaml is there; the definitions read this at import.
    text = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    rules = {
        entry["id"]: CatalogueRule(
            rule_id=entry["id"],
            title=entry["title"],
            entity=entry["entity"],
            severity=entry.get("severity", BY_AMOUNT),
            queue=entry["queue"],
            tolerance=entry.get("tolerance", ""),
            maturity=entry.get("maturity", ""),
            root=entry.get("root", ""),
        )
        for entry in text["rules"]
    }
    return Catalogue(str(text["version"]), rules)
