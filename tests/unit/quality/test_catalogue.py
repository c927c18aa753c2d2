import re
import string
import subprocess
import sys

import pytest

from quality.relations import columns_read
from quality.rules import implemented
from quality.rules.catalogue import load_catalogue
from quality.rules.feeds import FEED_FILES
from quality.tolerances import load_tolerances
from tests.unit.quality.tiny_builds import RELATIONS

RULES = {
    *("UI-01", "UI-02", "UI-05"),
    *("UC-01", "UC-03", "UC-04", "UC-05", "UC-10"),
    *("BO-01", "CP-01"),
    *("M3-01", "M3-02", "M3-05", "M3-06", "M3-07"),
    *("GL-02", "GL-05"),
    *("MDM-01", "INT-02", "INT-03"),
}
CHECKS = sorted(implemented().values(), key=lambda check: check.rule_id)
each_rule = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule_id)


def test_these_rules_are_implemented():
    assert set(implemented()) == RULES


@each_rule
def test_an_implemented_rule_is_in_the_catalogue(check):
    rule = load_catalogue().rules[check.rule_id]
    assert rule.title
    assert rule.severity in {"by_amount", "S1", "S2", "S3", "S4"}
    assert rule.queue in {
        "SC-INV",
        "SC-PUR",
        "SC-RCV",
        "SC-CON",
        "SC-MDM",
        "PERIOP",
        "RI",
        "PFS",
        "AP",
        "GL",
        "SAFETY",
        "DE",
    }


@each_rule
def test_a_rule_judges_by_the_tolerance_that_the_catalogue_names(check):
    said = load_catalogue().rules[check.rule_id].tolerance
    names = set(re.findall(r"[a-z]+_[a-z_]+", said))
    used = {name for name in (check.tolerance, check.implant_tolerance) if name}
    assert used == names
    for tolerances in load_tolerances():
        for name in used:
            tolerances.named(name)


@each_rule
def test_a_rule_matures_as_the_catalogue_says(check):
    said = load_catalogue().rules[check.rule_id].maturity
    if not said:
        assert check.maturity is None
        return
    days, unit = re.match(r"(\d+) (bd|d)\b", said).groups()
    assert check.maturity.business is (unit == "bd")
    if check.maturity.column:
        assert "MMIS sites" in said
    elif check.maturity.limit:
        assert {each.limit(check.maturity.limit) for each in load_tolerances()} == {int(days)}
    else:
        assert check.maturity.days == int(days)


@each_rule
def test_a_rule_that_the_catalogue_replaces_gives_way_to_the_one_that_replaces_it(check):
    replaced = {
        other.rule_id
        for other in CHECKS
        for named in re.findall(r"replaces ([A-Z0-9]+-\d+)", load_catalogue().rules[other.rule_id].root)
        if named == check.rule_id
    }
    assert {check.replaced_by} - {None} == replaced


@each_rule
def test_a_rule_reads_columns_that_its_relation_promises(check):
    if check.relation == FEED_FILES:
        return
    own = set(columns_read(check)) - {"entity_key", "facility_id", "business_date", "out_of_scope_reason", "evidence"}
    assert own <= set(RELATIONS[check.relation])


@each_rule
def test_an_explanation_is_one_sentence_with_numbers_and_without_people(check):
    fields = [field for _, field, _, _ in string.Formatter().parse(check.explanation) if field]
    assert fields
    assert check.explanation.endswith(".")
    assert not any(word in field for field in fields for word in ("token", "patient", "account", "encounter"))


def test_importing_quality_is_fast_and_loads_nothing_heavy():
    heavy = "polars pandera duckdb great_expectations pandas pyarrow"
    code = (
        "import sys, quality.judge, quality.score, quality.controls.totals, quality.rules;"
        f"assert not set('{heavy}'.split()) & set(sys.modules), sorted(set('{heavy}'.split()) & set(sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
