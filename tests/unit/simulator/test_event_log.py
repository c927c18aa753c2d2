"""Events that were put aside on disk are read as if they had stayed in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ingest.simulator
from ingest.simulator import event_log
from ingest.simulator.event_log import EventLog, SitePart


@dataclass(frozen=True, slots=True)
class Issue:
    site: str
    number: int
    amount: Decimal


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "CHUNK", 4)


def issues(sites: str) -> list[Issue]:
    return [Issue(site, number, Decimal(number) / 8) for number, site in enumerate(sites)]


@given(sites=st.text("ABC", max_size=40), steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6))
def test_a_log_is_the_list_of_what_was_recorded_wherever_it_lies(
    sites: str, steps: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = issues(sites)
    log = EventLog(expected)
    for before, changed in steps:
        log.put_aside(min(before, len(expected)), tmp_path_factory.getbasetemp())
        if changed < len(expected):
            expected[changed] = replace(expected[changed], amount=expected[changed].amount + 1)
            log[changed] = expected[changed]
    assert (list(log), len(log)) == (expected, len(expected))
    assert [log[place] for place in range(len(expected))] == expected
    assert log[3:] == expected[3:]
    assert log[1:9:3] == expected[1:9:3]
    for site in "ABC":
        assert list(SitePart(log, site)) == [event for event in expected if event.site == site]


def test_what_is_recent_stays_and_goes_on(tmp_path: Path) -> None:
    log = EventLog(issues("ABABAB"))
    log.put_aside(6, tmp_path)
    log.append(Issue("C", 6, Decimal(1)))
    assert [event.number for event in log] == [0, 1, 2, 3, 4, 5, 6]
    assert log.pop().number == 6
    assert log[-1].number == 5
    assert [event.number for event in reversed(log)] == [5, 4, 3, 2, 1, 0]
    assert not list(tmp_path.iterdir())


def test_what_was_put_aside_is_not_taken_away(tmp_path: Path) -> None:
    log = EventLog(issues("AAAAA"))
    log.put_aside(5, tmp_path)
    with pytest.raises(IndexError):
        del log[0]
    with pytest.raises(IndexError):
        log.insert(2, Issue("A", 9, Decimal(0)))
    with pytest.raises(IndexError):
        log[5]


def test_a_world_put_aside_after_a_day_has_the_same_answer_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.simulator, "DAYS_IN_MEMORY", 1)

    def key(name: str) -> bytes:
        ingest.simulator.simulate(tmp_path / name, date(2026, 3, 25), 9, 0.02, 3, sites=("CDC", "H1", "H7", "H8"))
        return (tmp_path / name / "answer_key" / "exceptions.csv").read_bytes()

    aside = key("aside")
    monkeypatch.setattr(event_log, "CHUNK", 10**9)
    in_memory = key("in memory")
    assert aside.count(b"\n") > 100
    assert aside == in_memory
