"""A landing directory: `<landing>/<system>/<yyyymmdd>/...` as the contract's path pattern says.

Here: which files are delivered (final name, listed by their manifest, not later than the as-of), in delivery order.
Not here: reading them. Files are never moved, changed or deleted.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from ingest.clock import HOME_ZONE, AsOf
from ingest.contract import Delivery, SystemContract

_UNFINISHED = (".tmp", ".part", ".partial", ".filepart")


@dataclass(frozen=True)
class Stated:
    """What a manifest or control file says of one delivery."""

    rows: int | None
    hash: str | None = None
    total: str | None = None

    @property
    def fingerprint(self) -> str:
        """The statement as text; another statement is a reason to look at the delivery again."""
        return f"{self.rows}|{self.hash or ''}|{self.total or ''}"


@dataclass(frozen=True)
class Delivered:
    """One delivered file."""

    system: str
    extract: str
    file: str
    folder_date: date
    slot: str | None
    size: int
    modified: int
    stated: Stated | None

    @property
    def moment(self) -> str:
        """Folder date and slot, `YYYYMMDD/hhmm`: the first part of the delivery order."""
        return f"{self.folder_date:%Y%m%d}/{self.slot or '0000'}"

    @property
    def position(self) -> tuple[str, str]:
        """Delivery order among the files of an extract."""
        return (self.moment, self.file)


@dataclass(frozen=True)
class Found:
    """What stands in the landing directory for one system."""

    deliveries: Mapping[str, list[Delivered]]
    waiting: list[str]
    unknown: list[str]


def find(landing: Path, contract: SystemContract, as_of: AsOf) -> Found:
    """Deliveries of a system as of a moment, by extract, each list in delivery order.

    `waiting` names files whose manifest or control file does not speak of them yet, `unknown` files of no extract.
    """
    pattern = _pattern(contract)
    zone = ZoneInfo("UTC") if contract.delivery.timezone.startswith("timestamps UTC") else HOME_ZONE
    deliveries: dict[str, list[Delivered]] = {name: [] for name in contract.extracts}
    waiting: list[str] = []
    unknown: list[str] = []
    manifests: dict[str, dict[str, Stated]] = {}
    for entry, relative in _walk(landing / contract.system, contract.system):
        if entry.name.endswith(_UNFINISHED) or entry.name.startswith((".", "~")):
            continue
        if relative.startswith(contract.other_folders):
            continue
        match = pattern.fullmatch(relative)
        if match is None:
            if not _is_manifest(entry.name, contract.delivery):
                unknown.append(relative)
            continue
        parts = match.groupdict()
        folder_date = _date(parts["yyyymmdd"])
        slot = parts.get("hhmm")
        if folder_date is None or not _is_due(folder_date, slot, zone, as_of):
            if folder_date is None:
                unknown.append(relative)
            continue
        stated = _stated(landing, relative, contract.delivery, manifests)
        if stated is None and contract.delivery.manifest != "none":
            waiting.append(relative)
            continue
        status = entry.stat()
        deliveries[parts["extract"]].append(
            Delivered(
                contract.system,
                parts["extract"],
                relative,
                folder_date,
                slot,
                status.st_size,
                status.st_mtime_ns,
                stated,
            )
        )
    for files in deliveries.values():
        files.sort(key=lambda delivered: delivered.position)
    return Found(deliveries, sorted(waiting), sorted(unknown))


def _pattern(contract: SystemContract) -> re.Pattern[str]:
    extracts = "|".join(re.escape(name) for name in contract.extracts)
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = match[1]
        form = {"yyyymmdd": r"\d{8}", "hhmm": r"[0-2]\d[0-5]\d", "extract": extracts}[name]
        if name in seen:
            return f"(?:{form})"
        seen.add(name)
        return f"(?P<{name}>{form})"

    escaped = re.escape(contract.delivery.path).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(re.sub(r"\{(\w+)\}", group, escaped))


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


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def _is_due(folder_date: date, slot: str | None, zone: ZoneInfo, as_of: AsOf) -> bool:
    if folder_date > as_of.local_date:
        return False
    if slot is None:
        return True
    if slot > "2359":
        return False
    moment = datetime.combine(folder_date, time(int(slot[:2]), int(slot[2:])), zone)
    return moment <= as_of.local


def _is_manifest(name: str, delivery: Delivery) -> bool:
    return name == Path(delivery.manifest_path).name or (delivery.manifest == "control_file" and name.endswith(".ctl"))


def _stated(landing: Path, relative: str, delivery: Delivery, manifests: dict[str, dict[str, Stated]]) -> Stated | None:
    if delivery.manifest == "control_file":
        return _control_file(landing / Path(relative).with_suffix(".ctl"))
    folder, _, name = relative.rpartition("/")
    if folder not in manifests:
        manifests[folder] = _manifest(landing / folder / Path(delivery.manifest_path).name, delivery)
    return manifests[folder].get(name.rpartition(".")[0])


def _control_file(path: Path) -> Stated | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    says = dict(part.strip().split("=", 1) for part in text.strip().split(";") if "=" in part)
    rows = _count(says.get("rows"))
    return None if rows is None else Stated(rows, total=says.get("sum_qty", "").strip() or None)


def _manifest(path: Path, delivery: Delivery) -> dict[str, Stated]:
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
            listed[re.sub(r"\.(csv|zip)$", "", stem)] = Stated(count, hash=stated_hash.lower() if stated_hash else None)
    return listed


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\s*\d+\s*", text) else None
