"""The Dagster graph is the one that was reviewed."""

from __future__ import annotations

import pytest

from orchestration.build import build_defs
from tests.golden.graph import GOLDEN, described


@pytest.fixture(scope="module")
def texts():
    return described(build_defs())


@pytest.mark.parametrize("name", ["assets.txt", "checks.txt", "jobs.txt", "schedules.txt"])
def test_the_graph_is_the_one_that_was_reviewed(texts, name):
    """After a change on purpose: `make golden`, and read the difference."""
    assert texts[name] == (GOLDEN / name).read_text(encoding="utf-8")
