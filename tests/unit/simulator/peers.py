"""Peers that know a format, asked about whole deliveries: fhir.resources about FHIR, pyx12 about remittances.

The models of FHIR check elements, types and cardinalities; codes and targets of references they only note, so they are
compared here.
"""

from __future__ import annotations

import gzip
import importlib
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pyx12.params
from pydantic import BaseModel
from pyx12.x12n_document import x12n_document

from ingest.simulator.fhir_export import RESOURCES


@cache
def model_of(kind: str) -> type[BaseModel]:
    module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
    return getattr(module, kind)


@cache
def _limited(model: type[BaseModel]) -> tuple[tuple[str, frozenset[str], frozenset[str]], ...]:
    """Elements with a closed code list or a list of types that they may refer to."""
    found = []
    for name, field in model.model_fields.items():
        noted = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        codes, types = noted.get("enum_values") or (), noted.get("enum_reference_types") or ()
        if codes or types:
            found.append((name, frozenset(map(str, codes)), frozenset(map(str, types)) - {"Resource"}))
    return tuple(found)


def _elements(holder: BaseModel, name: str) -> list:
    value = getattr(holder, name)
    return [each for each in (value if isinstance(value, list) else [value]) if each is not None]


def refusals(holder: BaseModel) -> Iterator[str]:
    """Codes outside their lists and references to types that may not stand there, in the resource and all below it."""
    for name, codes, types in _limited(type(holder)):
        for each in _elements(holder, name):
            if codes and each not in codes:
                yield f"{name} {each}"
            target = getattr(each, "reference", None)
            if types and target is not None and target[0] != "#" and target.split("/")[-2] not in types:
                yield f"{name} refers to {target}"
    for name in type(holder).model_fields:
        for each in _elements(holder, name):
            if isinstance(each, BaseModel):
                yield from refusals(each)


def accepted_resources(out: Path) -> dict[str, int]:
    """Resources by type that the peer accepted, `Bundle` for the deletions; every line of every export is asked for.

    Raises:
        pydantic.ValidationError: the peer refuses one.
    """
    counts = dict.fromkeys((*RESOURCES, "Bundle"), 0)
    for path in sorted((out / "ehr_fhir").glob("*/*.ndjson.gz")):
        kind = path.name.partition(".")[0]
        kind = "Bundle" if kind == "deleted" else kind
        for line in gzip.decompress(path.read_bytes()).splitlines():
            assert list(refusals(model_of(kind).model_validate_json(line))) == []
            counts[kind] += 1
    return counts


def is_accepted_remittance(text: str) -> bool:
    """Whether pyx12 accepts interchanges of 835 by its map of 005010X221A1."""
    return bool(x12n_document(pyx12.params.params(), io.StringIO(text), None, None))


def refused_remittances(paths: Iterable[Path]) -> list[str]:
    """Names of the files that pyx12 refuses.

    The files of a payer are asked for together, as its separators are the same; one by one where something is wrong.
    """
    of_payer = defaultdict(list)
    for path in paths:
        of_payer[path.name.partition("_")[0]].append(path)
    refused = []
    for files in of_payer.values():
        texts = [path.read_bytes().decode() for path in files]
        if not is_accepted_remittance("".join(texts)):
            alone = [path.name for path, text in zip(files, texts, strict=True) if not is_accepted_remittance(text)]
            refused += alone or [f"{files[0].name} and all that follow it, together"]
    return refused
