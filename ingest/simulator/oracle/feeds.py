"""Deliveries: wrong control totals (INT-02) and content delivered twice (INT-03).

Here: which files differ from their manifests, which repeat older content for no good reason.
Not here: what the rows of a file mean.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ingest.simulator.events import DeliveredFile, World
from ingest.simulator.oracle.docket import Book, Entity
from ingest.simulator.oracle.tolerance import cents

CONTRACTS = Path(__file__).parents[2] / "contracts"
ALL_SITES = "SYS"


@cache
def _extracts(system: str) -> dict[str, dict[str, Any]]:
    with (CONTRACTS / f"{system}.yaml").open(encoding="utf-8") as file:
        extracts: dict[str, dict[str, Any]] = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))[
            "extracts"
        ]
    return extracts


def loads_of(system: str) -> dict[str, str]:
    """How the extracts of a system are loaded: snapshot, incremental or event."""
    return {name: str(extract["load"]) for name, extract in _extracts(system).items()}


def columns_of(system: str, extract: str) -> tuple[str, ...]:
    """Columns of an extract as its contract lists them."""
    return tuple(_extracts(system)[extract]["columns"])


def load_of(system: str, extract: str) -> str:
    """How an extract is loaded: snapshot, incremental or event."""
    return str(_extracts(system)[extract]["load"])


def feed_of(file: DeliveredFile) -> str:
    """What a file goes by (rules/README, feed): its extract, or what names a file that holds several."""
    folders = file.path.split("/")
    if file.system == "edi":
        return f"edi.{folders[2]}"
    if file.path.startswith("hb/835/"):
        return "hb.835"
    if file.system == "ehr_hl7" and file.name.startswith("MFN_"):
        return "ehr_hl7.MFN"
    if file.system == "mmis" and file.name.endswith(".DAT"):
        return "mmis.TXN"
    return f"{file.system}.{file.extract}"


def entity_key(file: DeliveredFile) -> str:
    """A delivery as the INT rules name it."""
    return f"feed={feed_of(file)}|date={file.folder_date}|file={file.name}"


class FeedRules:
    """The rules of deliveries over the files of the world."""

    def __init__(self, world: World, book: Book) -> None:
        self._book = book
        self._files = sorted(world.files, key=lambda file: (file.folder_date, file.name))

    def judge(self) -> None:
        """Judge every file; what is delivered stays as it is, so nothing clears."""
        for file in self._files:
            if file.rows != file.stated_rows or not file.manifest_hash_matches:
                self._fire("INT-02", file)
        feeds: dict[tuple[str, str], list[DeliveredFile]] = defaultdict(list)
        for file in self._files:
            feeds[file.system, file.extract].append(file)
        for files in feeds.values():
            self._judge_repeats(files)

    def _judge_repeats(self, files: list[DeliveredFile]) -> None:
        seen: set[str] = set()
        excuses: set[str] = set()  # one near miss of a kind and feed is enough
        before: DeliveredFile | None = None
        for file in files:
            if file.content_hash in seen:
                reason = self._excuse(file, before)
                if not reason:
                    self._fire("INT-03", file)
                elif reason not in excuses:
                    excuses.add(reason)
                    self._book.spare(Entity("INT-03", ALL_SITES, entity_key(file)), file.folder_date, reason)
            seen.add(file.content_hash)
            before = file

    @staticmethod
    def _excuse(file: DeliveredFile, before: DeliveredFile | None) -> str:
        """Why equal content is no second delivery; empty when it is one."""
        if file.rows == 0 and not file.is_truncated:
            return "header only"
        load = load_of(file.system, file.extract)
        if load == "snapshot":
            return "unchanged snapshot"
        if load == "incremental" and before is not None and before.content_hash == file.content_hash:
            return "re-pull or window of the date or slot before"
        return ""

    def _fire(self, rule_id: str, file: DeliveredFile) -> None:
        key = entity_key(file)
        self._book.follow(
            [file.folder_date],
            lambda as_of, docket: docket.fire(rule_id, ALL_SITES, key, cents(0), file.folder_date),
        )
