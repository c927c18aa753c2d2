"""dbt sources, written from the contracts: `python -m ingest.contracts_to_dbt [--check]`.

Here: one `_<system>__sources.yml` a system below `dbt_project/models/staging`, and the source of the batch ledger's
attempts.
Not here: staging models; people write those. The written files are committed, and a test compares them with the
contracts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from ingest.batches import ATTEMPT_COLUMNS
from ingest.contract import META_COLUMNS, Extract, SystemContract, column_docs, load_contracts

STAGING = Path(__file__).parent.parent / "dbt_project" / "models" / "staging"

_HEADER = "# Written by `python -m ingest.contracts_to_dbt` from ingest/contracts; do not edit.\n"


def source_files(contracts: dict[str, SystemContract] | None = None) -> dict[str, str]:
    """Path below the staging folder and text of every source file."""
    contracts = contracts or load_contracts()
    files = {
        f"{system}/_{system}__sources.yml": _text(_system_source(contract)) for system, contract in contracts.items()
    }
    return files | {"_meta__sources.yml": _text(_meta_source())}


def write_sources(staging: Path = STAGING) -> list[Path]:
    """Write every source file and return those that changed."""
    changed = []
    for name, text in source_files().items():
        path = staging / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def stale_sources(staging: Path = STAGING) -> list[str]:
    """Names of the source files that differ from the contracts."""
    return [
        name
        for name, text in source_files().items()
        if not (staging / name).exists() or (staging / name).read_text(encoding="utf-8") != text
    ]


def _system_source(contract: SystemContract) -> dict[str, object]:
    return {
        "name": f"raw_{contract.system}",
        "description": contract.title,
        "tables": [_table(extract) for extract in contract.extracts.values()],
    }


def _table(extract: Extract) -> dict[str, object]:
    kinds = dict.fromkeys(extract.landed_columns, "varchar") | {name: kind for name, (kind, _) in META_COLUMNS.items()}
    docs = column_docs(extract)
    return {
        "name": extract.name,
        "description": extract.title,
        "config": {
            "meta": {
                "key": list(extract.identity),
                "cursor": extract.cursor,
                "load": extract.load,
                "external_location": _parquet(f"raw/{extract.system}/{extract.name}/*.parquet"),
            }
        },
        "columns": [{"name": name, "data_type": kind, "description": docs[name]} for name, kind in kinds.items()],
    }


def _meta_source() -> dict[str, object]:
    columns = [{"name": name, "data_type": kind, "description": doc} for name, (kind, doc) in ATTEMPT_COLUMNS.items()]
    return {
        "name": "raw_meta",
        "description": "What ingest did, one row a delivery",
        "tables": [
            {
                "name": "attempts",
                "description": "Latest attempt at every delivery",
                "config": {"meta": {"external_location": _parquet("meta/attempts.parquet")}},
                "columns": columns,
            }
        ],
    }


def _parquet(below_lake: str) -> str:
    # dbt renders the variable, so the committed file names no machine's folder.
    return f"read_parquet('{{{{ env_var(''SUTURE_LAKE'') }}}}/{below_lake}', union_by_name=true)".replace("''", '"')


def _text(source: dict[str, object]) -> str:
    body = yaml.safe_dump({"version": 2, "sources": [source]}, sort_keys=False, allow_unicode=True, width=110)
    return _HEADER + body


def main(arguments: list[str] | None = None) -> int:
    """Write the sources, or with `--check` only say which are stale (exit 1 when any is)."""
    if "--check" in (sys.argv[1:] if arguments is None else arguments):
        stale = stale_sources()
        for name in stale:
            print(f"stale: {name}")
        return 1 if stale else 0
    for path in write_sources():
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
