"""Every quirk of the landscape (contracts/landscape.md, section 8) has a test, and its share where one is given."""

from __future__ import annotations

import ast
from datetime import date
from pathlib import Path

import pytest

from ingest.simulator import build_world
from ingest.simulator.plan import QUIRK_SHARES
from tests.unit.simulator.quirk_world import Deliveries, Quirk, with_quirks, without_quirks
from tests.unit.simulator.quirks_clinical import QUIRKS as CLINICAL
from tests.unit.simulator.quirks_clinical import preference_cards, several_makers, short_revenue_codes
from tests.unit.simulator.quirks_supply import QUIRKS as SUPPLY

QUIRKS = (*CLINICAL, *SUPPLY)

TESTS = Path(__file__).parents[2]
# Quirks that tests of their own system prove, by number.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "integration/test_simulated_messages.py": ("Q25", "Q26", "Q27", "Q28", "Q29", "Q30", "Q31", "Q32"),
    "integration/test_simulated_remits.py": ("Q49", "Q50", "Q51"),
    "unit/simulator/test_fhir.py": ("Q33", "Q34", "Q35", "Q36", "Q37", "Q38", "Q39", "Q44", "Q46", "Q90"),
    "unit/simulator/test_mmis.py": tuple(f"Q{number}" for number in range(67, 78)),
    "unit/simulator/test_edi.py": tuple(f"Q{number}" for number in (*range(111, 117), 118, 119, 120)),
    "unit/simulator/test_cutover.py": ("Q14",),
    "unit/simulator/test_stray.py": ("Q116", "Q121"),
}
LANDSCAPE = {
    "Q01": 0.10,
    "Q08": 0.60,
    "Q09": 0.07,
    "Q18": 0.05,
    "Q20": 0.03,
    "Q22": 0.04,
    "Q23": 0.002,
    "Q27": 0.02,
    "Q33": 0.08,
    "Q38": 0.04,
    "Q40": 0.06,
    "Q41": 0.70,
    "Q43": 0.03,
    "Q82": 0.001,
    "Q127": 0.003,
    "Q128": 0.11,
}


def proven_in(path: Path) -> str:
    """The tests of a module that could prove something: their sources with names, marks and docstrings."""
    source = path.read_text(encoding="utf-8")
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = [ast.get_source_segment(source, mark) or "" for mark in node.decorator_list]
            found.append("\n".join([*marks, ast.get_source_segment(source, node) or ""]).upper())
    return "\n".join(found)


def test_every_quirk_has_a_test() -> None:
    elsewhere = {number for numbers in ELSEWHERE.values() for number in numbers}
    here = {quirk.number for quirk in QUIRKS}
    assert sorted(here | elsewhere) == sorted(f"Q{number:02d}" for number in range(1, 131))


@pytest.mark.parametrize("module", ELSEWHERE)
def test_the_tests_of_a_system_name_the_quirks_they_prove(module: str) -> None:
    tests = proven_in(TESTS / module)
    assert [number for number in ELSEWHERE[module] if number not in tests] == []


@pytest.mark.parametrize("quirk", QUIRKS, ids=str)
def test_a_quirk_shows_at_its_share(quirk: Quirk) -> None:
    quirk.is_there(with_quirks())


@pytest.mark.parametrize("quirk", [*CLINICAL.switched, *SUPPLY.switched], ids=str)
def test_a_quirk_can_be_switched_off(quirk: Quirk) -> None:
    quirk.is_absent(without_quirks())


def test_shares_are_those_of_the_landscape() -> None:
    assert {number: QUIRK_SHARES[number] for number in LANDSCAPE} == LANDSCAPE


def test_quirks_are_switched_by_number(tmp_path: Path) -> None:
    build_world(tmp_path, date(2026, 2, 16), 6, 0.02, 7, defects=False, quirks=["Q10", "q6"], sites=("H1",))
    seen = Deliveries(tmp_path)
    assert several_makers(seen)[0] > 0
    assert preference_cards(seen)[0] > 0
    assert short_revenue_codes(seen)[0] == 0


@pytest.mark.parametrize("name", ["Q131", "Q0", "12", "QX"])
def test_a_quirk_that_is_not_in_the_landscape_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no quirk"):
        build_world(tmp_path, date(2026, 2, 16), 1, 0.01, 5, quirks=[name], sites=("H1",))
