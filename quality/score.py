"""Score: how published exceptions compare with an answer key, rule by rule.

Here: reading a snapshot and a key, planted, found, missed and false exceptions, dollars, near misses.
Not here: anything the pipeline uses. Only this module ever reads an answer key.

An entity of the key must be open at the snapshot's as-of when `detected_as_of` has come, `cleared_as_of` has not, and
it is no near miss. Everything else that is open is false: near misses, entities not yet detected or cleared, entities
the key lacks. A key knows days, not hours: at an as-of before the end of its day, what the key detects or clears on
that very day is not scored.

A snapshot says in its manifest which rules it judges. A key may hold more: those count in the total, and a subtotal
tells how the judged ones fare.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from ingest.clock import AsOf
from quality.ledger import LIVE_STATUSES

Entity = tuple[str, str, str]


@dataclass(frozen=True)
class RuleScore:
    """One rule. Dollars found are those of the key that are published too, at most as much as planted for each entity.

    Rates are null where there is nothing to divide by.
    """

    rule_id: str
    planted: int
    found: int
    missed: int
    false: int
    planted_amount: Decimal
    found_amount: Decimal
    amount_mismatches: int
    near_misses: int
    near_misses_open: int
    recall: float | None
    precision: float | None
    dollar_recall: float | None


@dataclass(frozen=True)
class Difference:
    """One entity on which a snapshot and a key disagree."""

    rule_id: str
    facility_id: str
    entity_key: str
    what: str
    planted_amount: Decimal | None
    published_amount: Decimal | None


@dataclass(frozen=True)
class Score:
    """A whole comparison: every rule of the key, the rules that the snapshot judges together, and all together."""

    as_of: str
    rules: tuple[RuleScore, ...]
    not_judged: tuple[str, ...]
    judged: RuleScore
    total: RuleScore
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        return render_table(self)


def score(snapshot: Path, answer_key: Path) -> Score:
    """Compare the exceptions of a snapshot folder with the `exceptions.csv` of an answer key folder.

    Raises:
        FileNotFoundError: the snapshot or the key is not there.
    """
    manifest = json.loads((snapshot / "manifest.json").read_text())
    published = _read_open(snapshot / "suture.duckdb")
    return compare(published, _read_key(_key_file(answer_key)), str(manifest["as_of"]), manifest.get("rules"))


def _key_file(answer_key: Path) -> Path:
    candidates = (answer_key, answer_key / "exceptions.csv", answer_key / "answer_key" / "exceptions.csv")
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"{answer_key} has no exceptions.csv: give the answer_key folder of a simulated landscape"
        )
    return found


def _read_open(database: Path) -> dict[Entity, Decimal]:
    import duckdb

    if not database.is_file():
        raise FileNotFoundError(f"{database} is not there")
    with contextlib.closing(duckdb.connect(str(database), read_only=True)) as connection:
        rows = connection.execute(
            "select rule_id, facility_id, entity_key, impact_amount from quality.exceptions"
            f" where status in ({', '.join('?' * len(LIVE_STATUSES))})",
            list(LIVE_STATUSES),
        ).fetchall()
    return {(rule, facility, entity): amount for rule, facility, entity, amount in rows}


def _read_key(path: Path) -> list[Mapping[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _moment(text: str) -> datetime:
    """A moment of the business clock: a bare date is the end of that day, another without a zone is local."""
    text = text.strip()
    with contextlib.suppress(ValueError):
        return AsOf.parse(text).utc
    return AsOf.parse(datetime.fromisoformat(text)).utc.astimezone(UTC)


def _is_in_progress(day: str, now: datetime) -> bool:
    """Whether `day`, a bare date, has begun at `now` and has not ended."""
    return len(day.strip()) == len("2026-04-30") and now < _moment(day) < now + timedelta(days=1)


def compare(
    published: Mapping[Entity, Decimal],
    key: Iterable[Mapping[str, str]],
    as_of: str,
    judged: Iterable[str] | None = None,
) -> Score:
    """Compare open exceptions (their impact by rule, facility and entity) with rows of an answer key.

    `judged` are the rules that the snapshot judges; without them it is taken to judge all.
    """
    now = _moment(as_of)
    planted: dict[Entity, Decimal] = {}
    near: set[Entity] = set()
    undecided: set[Entity] = set()
    for row in key:
        entity = (row["rule_id"], row["facility_id"], row["entity_key"])
        if row["near_miss"].strip().lower() in ("true", "1", "y", "yes"):
            near.add(entity)
            continue
        cleared = row.get("cleared_as_of", "").strip()
        if any(_is_in_progress(day, now) for day in (row["detected_as_of"], cleared) if day):
            undecided.add(entity)
            continue
        if _moment(row["detected_as_of"]) <= now and (not cleared or _moment(cleared) > now):
            planted[entity] = Decimal(row["impact_amount"] or 0)
    published = {entity: amount for entity, amount in published.items() if entity not in undecided}
    near -= {*planted, *undecided}
    rules = sorted({entity[0] for entity in (*planted, *near, *published)}, key=_rule_order)
    scores = tuple(_rule_score(rule, planted, near, published) for rule in rules)
    not_judged = () if judged is None else tuple(rule for rule in rules if rule not in set(judged))
    return Score(
        as_of,
        scores,
        not_judged,
        _total("judged", [each for each in scores if each.rule_id not in not_judged]),
        _total("all", scores),
        tuple(_differences(planted, near, published)),
    )


def _rule_order(rule_id: str) -> tuple[str, str]:
    domain, _, number = rule_id.rpartition("-")
    return domain, number


def _rule_score(
    rule: str, planted: Mapping[Entity, Decimal], near: set[Entity], published: Mapping[Entity, Decimal]
) -> RuleScore:
    expected = {entity: amount for entity, amount in planted.items() if entity[0] == rule}
    is_open = {entity for entity in published if entity[0] == rule}
    found = expected.keys() & is_open
    return _rated(
        rule,
        planted=len(expected),
        found=len(found),
        false=len(is_open - expected.keys()),
        planted_amount=sum(expected.values(), Decimal(0)),
        found_amount=sum((min(expected[entity], published[entity]) for entity in found), Decimal(0)),
        amount_mismatches=sum(expected[entity] != published[entity] for entity in found),
        near_misses=sum(entity[0] == rule for entity in near),
        near_misses_open=sum(entity[0] == rule and entity in published for entity in near),
    )


def _rated(
    rule: str,
    *,
    planted: int,
    found: int,
    false: int,
    planted_amount: Decimal,
    found_amount: Decimal,
    amount_mismatches: int,
    near_misses: int,
    near_misses_open: int,
) -> RuleScore:
    return RuleScore(
        rule_id=rule,
        planted=planted,
        found=found,
        missed=planted - found,
        false=false,
        planted_amount=planted_amount,
        found_amount=found_amount,
        amount_mismatches=amount_mismatches,
        near_misses=near_misses,
        near_misses_open=near_misses_open,
        recall=found / planted if planted else None,
        precision=found / (found + false) if found + false else None,
        dollar_recall=float(found_amount / planted_amount) if planted_amount else None,
    )


def _total(name: str, scores: Sequence[RuleScore]) -> RuleScore:
    def added(field: str) -> int:
        return sum(getattr(each, field) for each in scores)

    return _rated(
        name,
        planted=added("planted"),
        found=added("found"),
        false=added("false"),
        planted_amount=sum((each.planted_amount for each in scores), Decimal(0)),
        found_amount=sum((each.found_amount for each in scores), Decimal(0)),
        amount_mismatches=added("amount_mismatches"),
        near_misses=added("near_misses"),
        near_misses_open=added("near_misses_open"),
    )


def _differences(
    planted: Mapping[Entity, Decimal], near: set[Entity], published: Mapping[Entity, Decimal]
) -> Iterable[Difference]:
    for entity in sorted({*planted, *published}):
        expected, amount = planted.get(entity), published.get(entity)
        if amount is None:
            yield Difference(*entity, "missed", expected, None)
        elif expected is None:
            yield Difference(*entity, "near miss open" if entity in near else "false", None, amount)
        elif expected != amount:
            yield Difference(*entity, "amount differs", expected, amount)


# ------------------------------------------------------------------------------------------------ for people and
# programs


def render_json(result: Score) -> str:
    """The score as JSON: as_of, rules, not_judged, judged, total, differences. Amounts are text, exact."""
    return json.dumps(asdict(result), indent=1, default=str)


_HEADINGS = (
    "rule",
    "planted",
    "found",
    "missed",
    "false",
    "recall",
    "precision",
    "planted USD",
    "found USD",
    "USD recall",
    "USD differ",
    "near misses",
    "open",
)


def render_table(result: Score) -> str:
    """The score as a plain table: a line a judged rule, one for them together, one for all when there are others."""
    judged = [each for each in result.rules if each.rule_id not in result.not_judged]
    sums = [result.judged, result.total] if result.not_judged else [result.total]
    lines = [_HEADINGS, *(_cells(each) for each in (*judged, *sums))]
    widths = [max(len(line[place]) for line in lines) for place in range(len(_HEADINGS))]
    text = [
        "  ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    rule = "-" * len(text[0])
    table = [f"as of {result.as_of}", text[0], rule, *text[1 : -len(sums)], rule, *text[-len(sums) :]]
    if result.not_judged:
        table.append(f"not judged yet, of the rules in the key: {', '.join(result.not_judged)}")
    return "\n".join(table)


def _cells(each: RuleScore) -> tuple[str, ...]:
    def percent(rate: float | None) -> str:
        return "-" if rate is None else f"{rate:.2%}"

    return (
        each.rule_id,
        str(each.planted),
        str(each.found),
        str(each.missed),
        str(each.false),
        percent(each.recall),
        percent(each.precision),
        f"{each.planted_amount:,.2f}",
        f"{each.found_amount:,.2f}",
        percent(each.dollar_recall),
        str(each.amount_mismatches),
        str(each.near_misses),
        str(each.near_misses_open),
    )
