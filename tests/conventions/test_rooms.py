"""The arrows between rooms: who may import what, who may read the environment, who may call the simulator."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("ingest", "quality", "orchestration")

# Room -> packages that no file of it imports. Arrows go one way: ingest <- quality <- orchestration.
FORBIDDEN = {
    "ingest": {"dagster", "dagster_dbt", "dbt", "quality", "orchestration"},
    "quality": {"dagster", "dagster_dbt", "dbt", "orchestration"},
    "orchestration": set(),
}


def python_files(room: str) -> list[Path]:
    return sorted((CHECKOUT / room).rglob("*.py"))


def imported_modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(file: Path) -> str:
    return str(file.relative_to(CHECKOUT))


EVERY_FILE = [pytest.param(room, file, id=name_of(file)) for room in ROOMS for file in python_files(room)]


@pytest.mark.parametrize(("room", "file"), EVERY_FILE)
def test_a_room_imports_only_rooms_below_it(room, file):
    imported = {module.split(".")[0] for module in imported_modules(file)}
    assert imported & FORBIDDEN[room] == set()


@pytest.mark.parametrize(("room", "file"), EVERY_FILE)
def test_only_settings_reads_the_environment(room, file):
    if file == CHECKOUT / "orchestration" / "settings.py":
        return
    text = file.read_text(encoding="utf-8")
    reads = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "environb", "getenv", "putenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]
    assert reads == [], f"{name_of(file)} reads the environment: {[node.lineno for node in reads]}"
    assert "os.environ" not in set(imported_modules(file))


@pytest.mark.parametrize(("room", "file"), EVERY_FILE)
def test_only_the_simulate_command_knows_the_simulator(room, file):
    if (CHECKOUT / "ingest" / "simulator") in file.parents:
        return
    users = {module for module in imported_modules(file) if module.startswith("ingest.simulator")}
    assert not users or file == CHECKOUT / "orchestration" / "cli.py"


@pytest.mark.parametrize("file", python_files("ingest/simulator"), ids=name_of)
def test_the_simulator_shares_no_code_with_the_pipeline(file):
    """What plants the defects must not be what finds them: only contract and rule files, as data, are common ground."""
    own = {module for module in imported_modules(file) if module.split(".")[0] in ROOMS}
    assert {module for module in own if not module.startswith("ingest.simulator")} == set()


@pytest.mark.parametrize(("room", "file"), EVERY_FILE)
def test_every_module_says_what_belongs_in_it(room, file):
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), f"{name_of(file)} has no docstring"


@pytest.mark.parametrize(("room", "file"), EVERY_FILE)
def test_names_tell_what_they_are(room, file):
    """`util`, `helper` and `manager` say nothing, so no module is called that."""
    assert not {"util", "utils", "helper", "helpers", "manager", "misc", "common"} & set(file.stem.split("_"))


def test_nothing_is_left_to_do():
    """A note to oneself is an issue, not a line of code."""
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    found = [
        name_of(file)
        for folder in (*ROOMS, "dbt_project/models", "dbt_project/macros", "tests", "docs")
        for file in (CHECKOUT / folder).rglob("*")
        if file.suffix in {".py", ".sql", ".yml", ".yaml", ".md"}
        and any(mark in file.read_text(encoding="utf-8") for mark in marks)
    ]
    assert found == []
