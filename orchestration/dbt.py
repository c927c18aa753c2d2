"""How Suture calls dbt: its manifest, its two calls, and how its nodes look as Dagster assets.

Here: preparing the manifest when it is missing or stale, pure functions for arguments and selections, the translator.
Not here: SQL and tests (dbt_project), running the calls (assets).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings

from orchestration.progress import reporter
from orchestration.settings import DBT_PROJECT, child_environment, load_settings, tool

# Any moment will do for parsing: models are parsed with it and never built with it.
PARSE_AS_OF = "2026-01-01"
PARTIAL_PARSE = "partial_parse.msgpack"

# Groups that a model of this folder belongs to, with the team that owns it.
OWNERS = {
    "raw": "team:data-engineering",
    "staging": "team:data-engineering",
    "conformed": "team:data-engineering",
    "facts": "team:data-engineering",
    "recon": "team:revenue-integrity",
    "quality": "team:revenue-integrity",
    "finance": "team:finance",
    "published": "team:data-engineering",
}


class DbtFailed(Exception):
    """dbt could not do what it was asked; the message holds its own words."""


@dataclass(frozen=True)
class DbtCall:
    """One of the two calls of a run: what it builds."""

    name: str
    title: str
    select: str
    exclude: str


# What happened and by how much two sides differ. Unit tests belong to the test suite, not to a nightly run.
WAREHOUSE_CALL = DbtCall(
    "warehouse",
    "what happened, and by how much two sides differ",
    "fqn:*",
    "resource_type:unit_test fqn:finance fqn:quality",
)
# What people read, once quality has judged: a second, short call.
FINANCE_CALL = DbtCall(
    "finance", "what finance reads, and the state of every line", "fqn:finance fqn:quality", "resource_type:unit_test"
)


def build_arguments(as_of: str) -> list[str]:
    """The dbt command line of one call; the selection comes from the assets that are asked for."""
    return ["build", "--vars", json.dumps({"as_of": as_of})]


# ------------------------------------------------------------------------------------------------ manifest


def project_fingerprint(project: Path = DBT_PROJECT) -> str:
    """A digest of every file that dbt parses; it changes when the manifest must be made again."""
    digest = hashlib.sha256()
    for file in sorted(project.rglob("*")):
        relative = file.relative_to(project)
        if relative.parts[0] in {"target", "logs", "dbt_packages"} or not file.is_file() or file.name.startswith("."):
            continue
        digest.update(f"{relative}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def ensure_manifest(project: Path = DBT_PROJECT) -> Path:
    """The project's manifest, made by `dbt parse` when it is missing or older than the project.

    Several processes of `dagster dev` may ask at once: each parses aside and replaces the manifest by a rename.

    Raises:
        DbtFailed: the project does not parse.
    """
    target = project / "target"
    manifest, stamp = target / "manifest.json", target / "manifest.fingerprint"
    fingerprint = project_fingerprint(project)
    if manifest.exists() and stamp.exists() and stamp.read_text() == fingerprint:
        return manifest
    reporter().note("reading the dbt project, because it has changed")
    draft = target / f".parse-{os.getpid()}"
    draft.mkdir(parents=True, exist_ok=True)
    try:
        if (target / PARTIAL_PARSE).exists():
            shutil.copy(target / PARTIAL_PARSE, draft)
        _run_dbt(["parse", "--vars", json.dumps({"as_of": PARSE_AS_OF})], project, draft)
        for name in ("manifest.json", PARTIAL_PARSE):
            if (draft / name).exists():
                (draft / name).replace(target / name)
        (draft / "stamp").write_text(fingerprint)
        (draft / "stamp").replace(stamp)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def reuse_parse(work: Path, target: Path) -> None:
    """Let a call begin with what an earlier call of the same run parsed: variables and environment are the same."""
    for parsed in work.glob(f"dbt_*/{PARTIAL_PARSE}"):
        if parsed.parent != target:
            target.mkdir(exist_ok=True)
            shutil.copy(parsed, target)


def _run_dbt(arguments: Sequence[str], project: Path, target: Path) -> None:
    environment = {
        **child_environment(load_settings()),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target),
        "DBT_PROFILES_DIR": str(project),
    }
    done = subprocess.run(
        [tool("dbt"), *arguments, "--project-dir", str(project)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DbtFailed(f"dbt {arguments[0]} failed:\n{done.stdout.strip()[-4000:]}{done.stderr.strip()[-2000:]}")


def load_manifest(path: Path) -> dict[str, Any]:
    """The manifest as a mapping."""
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    return manifest


def keys_of_models(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """The key of every table, by `schema.name`: its primary key constraint, else what its key test names."""
    keys: dict[str, list[str]] = {}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model":
            for constraint in node.get("constraints") or []:
                if constraint["type"] == "primary_key" and constraint.get("columns"):
                    keys[_relation(node)] = list(constraint["columns"])
            for column in node.get("columns", {}).values():
                if any(constraint["type"] == "primary_key" for constraint in column.get("constraints") or []):
                    keys.setdefault(_relation(node), [column["name"]])
    for node in manifest["nodes"].values():
        tested = node.get("test_metadata") or {}
        attached = manifest["nodes"].get(node.get("attached_node") or "")
        if node["resource_type"] != "test" or attached is None:
            continue
        columns = _unique_columns(tested)
        if columns:
            keys.setdefault(_relation(attached), columns)
    return keys


def _relation(node: Mapping[str, Any]) -> str:
    return f"{node['schema']}.{node.get('alias') or node['name']}"


def _unique_columns(tested: Mapping[str, Any]) -> list[str]:
    arguments = tested.get("kwargs") or {}
    if tested.get("name") == "unique":
        return [str(arguments["column_name"])]
    for argument in ("key", "columns", "combination_of_columns", "key_columns"):
        if "key" in str(tested.get("name")) or "unique" in str(tested.get("name")):
            named = arguments.get(argument)
            if named:
                return [str(column) for column in ([named] if isinstance(named, str) else named)]
    return []


def failures_of(target: Path) -> list[str]:
    """What went wrong in a finished call, one line a node, from its `run_results.json`."""
    results = target / "run_results.json"
    if not results.exists():
        return ["dbt ended before it built anything: see dbt.log beside this run's build file"]
    return [
        f"{result['unique_id']}: {result['status']} {' '.join(str(result.get('message') or '').split())[:300]}"
        for result in json.loads(results.read_text())["results"]
        if result["status"] in {"error", "fail", "runtime error"}
    ]


# ------------------------------------------------------------------------------------------------ assets


class WarehouseTranslator(DagsterDbtTranslator):
    """dbt nodes as Suture's assets: grouped by layer, owned by a team, raw tables as one asset a system."""

    def __init__(self) -> None:
        super().__init__(
            DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True, enable_source_metadata=False)
        )
        self._metadata: dict[str, Mapping[str, Any]] = {}

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """`layer/name` for models; `raw/system` for the landed extracts; the judged rows are one asset."""
        if dbt_resource_props["resource_type"] == "source":
            source = dbt_resource_props["source_name"]
            if source.startswith("raw_"):
                return dg.AssetKey(["raw", source.removeprefix("raw_")])
            return dg.AssetKey(["quality", "exceptions"])
        return dg.AssetKey([self._layer(dbt_resource_props), dbt_resource_props["name"]])

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, Any]:
        """Columns and their types, computed once for each node: every node that depends on it asks again."""
        unique_id = dbt_resource_props["unique_id"]
        if unique_id not in self._metadata:
            self._metadata[unique_id] = super().get_metadata(dbt_resource_props)
        return self._metadata[unique_id]

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The layer."""
        return self._layer(dbt_resource_props)

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
        """The team of the layer."""
        return [OWNERS.get(self._layer(dbt_resource_props), "team:data-engineering")]

    @staticmethod
    def _layer(props: Mapping[str, Any]) -> str:
        fqn = props.get("fqn") or []
        return str(fqn[1]) if len(fqn) > 2 else "staging"
