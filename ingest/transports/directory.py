"""A landing directory: `<landing>/<system>/<yyyymmdd>/...` as the contract's path patterns say.

Here: which files are delivered (final name, listed by their manifest, not later than the as-of), in delivery order,
and which extracts each of them feeds.
Not here: reading them. Files are never moved, changed or deleted.

A path part in braces stands for what the contract says of it; every other part is text without a slash. Any file may be
gzipped: `.gz` after the path of the contract.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from ingest.clock import HOME_ZONE, AsOf
from ingest.contract import Delivery, SystemContract

_UNFINISHED = (".tmp", ".part", ".partial", ".filepart")
# Forms of the path parts that are no free text.
_PARTS = {
    "yyyymmdd": r"\d{8}",
    "yymmdd": r"\d{6}",
    "hhmm": r"[0-2]\d[0-5]\d",
    "hh": r"[0-2]\d",
    "n": r"\d+",
}


@dataclass(frozen=True)
class Stated:
    """What a manifest or control file says of one delivery."""

    rows: int | None
    hash: str | None = None
    total: str | None = None


@dataclass(frozen=True)
class Delivered:
    """One delivered file, as one of the extracts that it feeds sees it."""

    system: str
    extract: str
    file: str
    folder_date: date
    slot: str | None
    size: int
    modified: int
    stated: Stated | None
    delivery: Delivery
    extracts: tuple[str, ...]
    """Extracts that the file feeds, the head extract first."""
    parts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Parts of the path as its pattern names them, and `file`, the file's own name."""
    scope: str = ""
    """The part of the source that a snapshot is the whole picture of; empty for all of it."""
    stated_at: str | None = None
    """Moment that the manifest gives for all its files, as sent."""
    is_deletion: bool = False
    """Whether the manifest lists the file as one of deletions."""

    @property
    def moment(self) -> str:
        """Folder date and slot, `YYYYMMDD/hhmm`: the first part of the delivery order."""
        return f"{self.folder_date:%Y%m%d}/{self.slot or '0000'}"

    @property
    def position(self) -> tuple[str, str]:
        """Delivery order among the files of an extract."""
        return (self.moment, self.file)

    @property
    def said(self) -> str:
        """What manifest or control file say of it, as text; another statement is a reason to look at it again."""
        if self.stated is None:
            return ""
        moment = f"|{self.deleted_at}" if self.deleted_at else ""
        return f"{self.stated.rows}|{self.stated.hash or ''}|{self.stated.total or ''}{moment}"

    @property
    def deleted_at(self) -> str:
        """When what the delivery lists was deleted, empty where it lists no deletions or the manifest gives no moment.

        The same list with another moment says something else.
        """
        return self.stated_at or "" if self.is_deletion else ""

    @property
    def is_gzip(self) -> bool:
        """Whether the file is compressed as a whole."""
        return self.file.endswith(".gz")


@dataclass(frozen=True)
class Found:
    """What stands in the landing directory for one system."""

    deliveries: Mapping[str, list[Delivered]]
    waiting: list[str]
    unknown: list[str]


@dataclass(frozen=True)
class Export:
    """What the manifest of a FHIR bulk export says: files by name without `.gz`, with resource type and count."""

    stated_at: str | None
    output: Mapping[str, tuple[str, int | None]]
    deleted: Mapping[str, int | None]
    errors: frozenset[str]


def find(landing: Path, contract: SystemContract, as_of: AsOf) -> Found:
    """Deliveries of a system as of a moment, by extract, each list in delivery order.

    A file is listed under every extract that it feeds. `waiting` names files whose manifest or control file does not
    speak of them yet and files that a manifest lists and that are not there; `unknown` files of no extract.
    """
    return _Search(landing, contract, as_of).found()


class _Search:
    """One walk through a system's folder."""

    def __init__(self, landing: Path, contract: SystemContract, as_of: AsOf) -> None:
        self.landing = landing
        self.contract = contract
        self.as_of = as_of
        self.patterns = [(delivery, delivery_pattern(delivery)) for delivery in contract.deliveries]
        self.exports = [(d, path_pattern(d.manifest_path, {})) for d in contract.deliveries if d.manifest == "bulk"]
        self.deliveries: dict[str, list[Delivered]] = {name: [] for name in contract.extracts}
        self.waiting: list[str] = []
        self.unknown: list[str] = []
        self.listed: dict[str, dict[str, Stated]] = {}
        self.bulk: dict[str, Export | None] = {}
        self.seen: set[str] = set()

    def found(self) -> Found:
        for entry, relative in _walk(self.landing / self.contract.system, self.contract.system):
            if not entry.name.endswith(_UNFINISHED) and not entry.name.startswith((".", "~")):
                self._take(entry, relative)
        for folder, export in self.bulk.items():
            listed = {*export.output, *export.deleted} if export else ()
            self.waiting.extend(f"{folder}/{name}" for name in listed if f"{folder}/{name}" not in self.seen)
        for files in self.deliveries.values():
            files.sort(key=lambda delivered: delivered.position)
        return Found(self.deliveries, sorted(self.waiting), sorted(self.unknown))

    def _take(self, entry: os.DirEntry[str], relative: str) -> None:
        for delivery, pattern in self.exports:
            match = pattern.fullmatch(relative)
            if match is not None:
                self._export(relative.rpartition("/")[0], delivery, match["yyyymmdd"])
                return
            if relative.endswith((".ndjson", ".ndjson.gz")):
                self._take_exported(entry, relative, delivery)
                return
        for delivery, pattern in self.patterns:
            match = pattern.fullmatch(relative)
            if match is not None:
                self._take_matched(entry, relative, delivery, match.groupdict())
                return
        if not any(_is_manifest(entry.name, delivery) for delivery in self.contract.deliveries):
            self.unknown.append(relative)

    def _take_matched(
        self, entry: os.DirEntry[str], relative: str, delivery: Delivery, parts: Mapping[str, str]
    ) -> None:
        folder_date, slot = folder_date_of(parts["yyyymmdd"]), _slot(parts)
        extracts = delivery.fed_by(parts)
        if folder_date is None or not extracts or (slot or "") > "2359":
            self.unknown.append(relative)
            return
        if not _is_due(folder_date, slot, slot_zone(delivery), self.as_of):
            return
        stated = self._stated(relative, delivery)
        if stated is None and delivery.manifest != "none":
            self.waiting.append(relative)
            return
        self._add(entry, relative, delivery, extracts, parts, folder_date, slot, stated)

    def _take_exported(self, entry: os.DirEntry[str], relative: str, delivery: Delivery) -> None:
        """A file of a bulk export: its manifest decides, and the name where the manifest names no type."""
        folder, _, name = relative.rpartition("/")
        day = path_pattern(delivery.manifest_path.rpartition("/")[0], {}).fullmatch(folder)
        folder_date = folder_date_of(day["yyyymmdd"]) if day else None
        if folder_date is None or day is None:
            self.unknown.append(relative)
            return
        export = self._export(folder, delivery, day["yyyymmdd"])
        if not _is_due(folder_date, None, HOME_ZONE, self.as_of):
            return
        plain = name.removesuffix(".gz")
        self.seen.add(f"{folder}/{plain}")
        by_name = delivery_pattern(delivery).fullmatch(relative)
        parts = by_name.groupdict() if by_name else {"yyyymmdd": day["yyyymmdd"]}
        is_deletion = export is not None and plain in export.deleted
        kind, count = "", None
        if export is None or (plain not in export.output and not is_deletion):
            if export is not None and plain in export.errors:
                return
            kind = parts.get(delivery.reads_by, "")
            (self.unknown if kind and kind not in delivery.reads else self.waiting).append(relative)
            return
        if is_deletion:
            extracts, count = delivery.extracts, export.deleted[plain]
        else:
            kind, count = export.output[plain]
            parts = {**parts, delivery.reads_by: kind or parts.get(delivery.reads_by, "")}
            extracts = delivery.fed_by(parts)
        if not extracts:
            self.unknown.append(relative)
            return
        stated, moment = Stated(count), export.stated_at
        self._add(entry, relative, delivery, extracts, parts, folder_date, None, stated, moment, is_deletion)

    def _add(
        self,
        entry: os.DirEntry[str],
        relative: str,
        delivery: Delivery,
        extracts: tuple[str, ...],
        parts: Mapping[str, str],
        folder_date: date,
        slot: str | None,
        stated: Stated | None,
        stated_at: str | None = None,
        is_deletion: bool = False,
    ) -> None:
        status = entry.stat()
        named = {**parts, "file": entry.name}
        for name in extracts:
            self.deliveries[name].append(
                Delivered(
                    system=self.contract.system,
                    extract=name,
                    file=relative,
                    folder_date=folder_date,
                    slot=slot,
                    size=status.st_size,
                    modified=status.st_mtime_ns,
                    stated=stated,
                    delivery=delivery,
                    extracts=extracts,
                    parts=named,
                    scope=parts.get(self.contract.extracts[name].snapshot_scope, ""),
                    stated_at=stated_at,
                    is_deletion=is_deletion,
                )
            )

    def _stated(self, relative: str, delivery: Delivery) -> Stated | None:
        if delivery.manifest == "none":
            return None
        folder, _, name = relative.rpartition("/")
        stem = name.removesuffix(".gz").rpartition(".")[0]
        if delivery.manifest == "control_file":
            return read_control_file(self.landing / folder / f"{stem}.ctl")
        if folder not in self.listed:
            manifest = self.landing / folder / Path(delivery.manifest_path).name
            self.listed[folder] = read_manifest(manifest, delivery)
        return self.listed[folder].get(stem)

    def _export(self, folder: str, delivery: Delivery, day: str) -> Export | None:
        """The bulk manifest of a folder; None while it is not there, unreadable or not due."""
        if folder not in self.bulk:
            folder_date = folder_date_of(day)
            is_due = folder_date is not None and _is_due(folder_date, None, HOME_ZONE, self.as_of)
            path = self.landing / folder / Path(delivery.manifest_path).name
            self.bulk[folder] = read_export(path) if is_due else None
        return self.bulk[folder]


@cache
def delivery_pattern(delivery: Delivery) -> re.Pattern[str]:
    """The pattern of a delivery's files, gzipped or not."""
    forms = dict(_PARTS)
    if not delivery.reads_by:
        forms["extract"] = "|".join(re.escape(name) for name in delivery.extracts)
    suffix = "" if delivery.is_zip else r"(?:\.gz)?"
    return re.compile(path_pattern(delivery.path.removesuffix(".gz"), forms).pattern + suffix)


def path_pattern(path: str, forms: Mapping[str, str]) -> re.Pattern[str]:
    """The pattern of paths with these parts in braces; a part is any text without a slash unless a form is known."""
    forms = {**_PARTS, **forms}
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = match[1]
        form = forms.get(name, "[^/]+")
        if name in seen:
            return f"(?:{form})"
        seen.add(name)
        return f"(?P<{name}>{form})"

    escaped = re.escape(path).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(re.sub(r"\{(\w+)\}", group, escaped))


def _slot(parts: Mapping[str, str]) -> str | None:
    return f"{parts['hh']}00" if "hh" in parts else parts.get("hhmm")


def slot_zone(delivery: Delivery) -> ZoneInfo:
    """The zone of the slots of a delivery."""
    return ZoneInfo("UTC") if delivery.timezone.startswith("timestamps UTC") else HOME_ZONE


def _walk(folder: Path, relative: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            path = f"{relative}/{entry.name}"
            if entry.is_dir(follow_symlinks=True):
                yield from _walk(Path(entry.path), path)
            else:
                yield entry, path


@cache
def folder_date_of(text: str) -> date | None:
    """The date that a folder of eight digits names; None for another name."""
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def _is_due(folder_date: date, slot: str | None, zone: ZoneInfo, as_of: AsOf) -> bool:
    if folder_date > as_of.local_date:
        return False
    if slot is None:
        return True
    moment = datetime.combine(folder_date, time(int(slot[:2]), int(slot[2:])), zone)
    return moment <= as_of.local


def _is_manifest(name: str, delivery: Delivery) -> bool:
    return name == Path(delivery.manifest_path).name or (delivery.manifest == "control_file" and name.endswith(".ctl"))


def read_control_file(path: Path) -> Stated | None:
    """What a control file states; None while it is not there or not whole."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    says = dict(part.strip().split("=", 1) for part in text.strip().split(";") if "=" in part)
    rows = _count(says.get("rows"))
    return None if rows is None else Stated(rows, total=says.get("sum_qty", "").strip() or None)


def read_manifest(path: Path, delivery: Delivery) -> dict[str, Stated]:
    """What a manifest states, by file name without its ending; nothing while it is not there."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    rows = [row for row in csv.reader(lines, delimiter=delivery.manifest_separator) if row]
    names = list(delivery.manifest_columns)
    if delivery.manifest_has_header and rows:
        names = [name.strip() for name in rows.pop(0)]
    listed: dict[str, Stated] = {}
    for row in rows:
        says = dict(zip(names, (value.strip() for value in row), strict=False))
        file = says.get("extract") or says.get("file") or ""
        count = _count(says.get("row_count", says.get("row count")))
        stated_hash = next((says[name] for name in ("hash_total", "sha256", "md5") if says.get(name)), None)
        if file and count is not None:
            stem = file.rpartition("/")[2]
            listed[re.sub(r"\.(csv|zip)(\.gz)?$", "", stem)] = Stated(
                count, hash=stated_hash.lower() if stated_hash else None
            )
    return listed


def read_export(path: Path) -> Export | None:
    """What the manifest of a bulk export says; None while it is not there or not whole."""
    try:
        says = json.loads(path.read_bytes())
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    if not isinstance(says, dict):
        return None
    output, deleted, errors = (_exported_files(says.get(part)) for part in ("output", "deleted", "error"))
    moment = says.get("transactionTime")
    return Export(
        stated_at=moment if isinstance(moment, str) and moment else None,
        output=output,
        deleted={name: count for name, (_, count) in deleted.items()},
        errors=frozenset(errors),
    )


def _exported_files(listed: Any) -> dict[str, tuple[str, int | None]]:
    """Resource type and count of the files of one list, by the base name of `url` without `.gz`."""
    files: dict[str, tuple[str, int | None]] = {}
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict) or not isinstance(each.get("url"), str):
            continue
        name = unquote(urlsplit(each["url"]).path).rpartition("/")[2].removesuffix(".gz")
        kind, count = each.get("type"), each.get("count")
        if name:
            files[name] = (kind if isinstance(kind, str) else "", count if isinstance(count, int) else None)
    return files


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\s*\d+\s*", text) else None
