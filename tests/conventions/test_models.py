"""Conventions of dbt models: a header that says grain, key, additivity and distribution; every mart with a key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parents[2] / "dbt_project" / "models"
LAYERS = ("conformed", "facts", "recon", "finance", "quality")


def model_files(*layers: str) -> list[Path]:
    return sorted(file for layer in layers for file in (MODELS / layer).rglob("*.sql"))


def name_of(file: Path) -> str:
    return str(file.relative_to(MODELS))


def without_comments(file: Path) -> str:
    return re.sub(r"--[^\n]*|\{#.*?#\}", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("file", model_files(*LAYERS), ids=name_of)
def test_a_model_says_its_grain_key_and_distribution(file):
    header = "\n".join(line for line in file.read_text(encoding="utf-8").splitlines()[:25] if line.startswith("--"))
    for word in ("Grain", "Key", "Distribution"):
        assert word.lower() in header.lower(), f"{name_of(file)}: the header does not say its {word.lower()}"


@pytest.mark.parametrize("file", model_files("staging", *LAYERS), ids=name_of)
def test_a_model_is_named_for_its_layer(file):
    prefixes = {
        "staging": ("stg_",),
        "conformed": ("dim_", "bridge_"),
        "facts": ("fct_",),
        "recon": ("rec_",),
    }.get(file.relative_to(MODELS).parts[0], ("",))
    assert file.stem.startswith(prefixes)


@pytest.mark.parametrize("file", model_files(*LAYERS), ids=name_of)
def test_no_model_reads_the_wall_clock(file):
    text = without_comments(file).lower()
    assert not re.search(r"\b(current_date|current_timestamp|now\(\)|today\(\)|get_current_timestamp)\b", text)
