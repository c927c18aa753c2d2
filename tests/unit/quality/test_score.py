"""The score, over an answer key of each kind of row."""

import csv
import json
from dataclasses import asdict
from decimal import Decimal

import duckdb
import pytest

from quality.score import compare, render_json, score

D = Decimal


def planted(entity, rule="UC-01", amount="10.00", detected="2026-04-10", cleared="", near="false"):
    return {
        "rule_id": rule,
        "facility_id": "H1",
        "entity_key": entity,
        "impact_amount": amount,
        "business_date": "2026-04-01",
        "detected_as_of": detected,
        "near_miss": near,
        "cleared_as_of": cleared,
    }


def open_(*entities, rule="UC-01", amount="10.00"):
    return {(rule, "H1", entity): D(amount) for entity in entities}


def scored(published, key, as_of="2026-04-30"):
    return compare(published, key, as_of)


def test_found_missed_and_false_are_told_apart():
    result = scored(open_("a", "x"), [planted("a"), planted("b")])
    (rule,) = result.rules
    assert (rule.planted, rule.found, rule.missed, rule.false) == (2, 1, 1, 1)
    assert (rule.recall, rule.precision, rule.dollar_recall) == (0.5, 0.5, 0.5)
    assert {(each.entity_key, each.what) for each in result.differences} == {("b", "missed"), ("x", "false")}


@pytest.mark.parametrize(
    ("row", "is_due"),
    [
        (planted("a", detected="2026-04-30"), True),
        (planted("a", detected="2026-05-01"), False),
        (planted("a", detected="2026-04-30T10:00"), True),
        (planted("a", cleared="2026-04-30"), False),
        (planted("a", cleared="2026-05-01"), True),
        (planted("a", near="true"), False),
    ],
)
def test_an_entity_must_be_open_from_its_detection_until_it_is_cleared(row, is_due):
    assert scored({}, [row]).total.missed == int(is_due)
    assert scored(open_("a"), [row]).total.false == int(not is_due)


def test_an_as_of_within_the_day_comes_before_the_end_of_it():
    assert scored({}, [planted("a", detected="2026-04-30")], as_of="2026-04-30T12:00:00").total.planted == 0
    assert scored({}, [planted("a", detected="2026-04-30")], as_of="2026-04-30T23:59:59").total.planted == 1


def test_what_the_key_detects_or_clears_on_the_day_in_progress_is_not_scored():
    """A night published at ten in the morning counted what had matured that day as false."""
    noon = "2026-04-30T12:00:00"
    for row in (planted("a", detected="2026-04-30"), planted("a", cleared="2026-04-30")):
        for published in ({}, open_("a")):
            total = scored(published, [row], as_of=noon).total
            assert (total.planted, total.missed, total.false) == (0, 0, 0)
    assert scored(open_("a"), [planted("a", detected="2026-05-01")], as_of=noon).total.false == 1


def test_an_open_near_miss_is_false_and_counted():
    result = scored(open_("a"), [planted("a", near="true"), planted("b", near="true")])
    assert (result.total.near_misses, result.total.near_misses_open, result.total.false) == (2, 1, 1)
    assert result.differences[0].what == "near miss open"


def test_dollars_count_at_most_what_was_planted_and_every_cent_apart_is_told():
    result = scored(open_("a", amount="99.00") | open_("b", amount="9.99"), [planted("a"), planted("b")])
    assert result.total.found_amount == D("19.99")
    assert result.total.amount_mismatches == 2
    assert [each.what for each in result.differences] == ["amount differs", "amount differs"]


def test_the_facility_is_part_of_the_match():
    result = scored({("UC-01", "H2", "a"): D(10)}, [planted("a")])
    assert (result.total.missed, result.total.false) == (1, 1)


def test_a_rule_without_plants_has_no_recall():
    result = scored(open_("a", rule="GL-05"), [])
    assert (result.rules[0].recall, result.rules[0].precision, result.rules[0].dollar_recall) == (None, 0.0, None)


def test_rules_that_a_snapshot_does_not_judge_count_in_the_total_and_are_named():
    key = [planted("a"), planted("b", rule="AS-01"), planted("c", rule="AS-01", near="true")]
    result = compare(open_("a"), key, "2026-04-30", judged=["UC-01", "UC-02"])
    assert result.not_judged == ("AS-01",)
    assert (result.judged.planted, result.judged.missed, result.judged.near_misses) == (1, 0, 0)
    assert (result.total.planted, result.total.missed, result.total.recall) == (2, 1, 0.5)
    *_, judged, total, others = str(result).splitlines()
    assert (judged.split()[:3], total.split()[:3]) == (["judged", "1", "1"], ["all", "2", "1"])
    assert others == "not judged yet, of the rules in the key: AS-01"


def test_a_snapshot_is_scored_from_its_files(tmp_path):
    snapshot, key = tmp_path / "snapshot", tmp_path / "answer_key"
    snapshot.mkdir()
    key.mkdir()
    (snapshot / "manifest.json").write_text(json.dumps({"as_of": "2026-04-30T23:59:59"}))
    with duckdb.connect(str(snapshot / "suture.duckdb")) as connection:
        connection.execute("create schema quality")
        connection.execute(
            "create table quality.exceptions as select 'UC-01' as rule_id, 'H1' as facility_id, entity_key,"
            " 10.00::decimal(18,2) as impact_amount, status from (values ('a', 'open'), ('b', 'reopened'),"
            " ('c', 'timing'), ('d', 'auto_cleared')) as t(entity_key, status)"
        )
    rows = [planted("a"), planted("b", amount="10"), planted("c"), planted("d", near="true")]
    with (key / "exceptions.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for given in (key, tmp_path, key / "exceptions.csv"):
        result = score(snapshot, given)
        assert (result.total.found, result.total.missed, result.total.false) == (2, 1, 0)
        assert result.total.amount_mismatches == 0
    table = str(result).splitlines()
    assert table[0] == "as of 2026-04-30T23:59:59"
    assert table[-1].split()[:4] == ["all", "3", "2", "1"]
    assert json.loads(render_json(result))["rules"][0]["recall"] == pytest.approx(2 / 3)
    assert asdict(result)["total"]["precision"] == 1.0
    with pytest.raises(FileNotFoundError, match=r"exceptions\.csv"):
        score(snapshot, tmp_path / "nowhere")
