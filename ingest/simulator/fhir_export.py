"""The FHIR server of the acquired hospital and its nightly bulk exports (system ehr_fhir).

Here: versions and server times of resources, what changed since the export before (`_since`), deletions, the split into
part files (Q39), the export's manifest.
Not here: what the resources say (fhir_text), why they change (bedside).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta

from ingest.simulator.chance import Chance
from ingest.simulator.delivery import Document, LateRow
from ingest.simulator.events import World
from ingest.simulator.fhir_text import (
    NEW_YORK,
    SERVER,
    Record,
    Resource,
    Spelling,
    absolute,
    deletions,
    instant,
    line,
    relative,
    versioned,
)
from ingest.simulator.plan import DefectPlan

SYSTEM = "ehr_fhir"
RESOURCES = (
    "Patient",
    "Encounter",
    "Location",
    "Procedure",
    "Device",
    "DeviceUseStatement",
    "SupplyDelivery",
    "ChargeItem",
)
EXPORT_STARTS = time(1)  # New York; midnight in Chicago, so that a folder holds the events through the day before
MOST_PARTS = 4


class FhirServer:
    """Resources with their versions; gives each night what changed since the night before."""

    def __init__(self, world: World, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world; nothing is on the server."""
        self.world = world
        self.plan = plan
        self.chance = chance
        self._changes: list[tuple[datetime, int, str, str, Record | None]] = []
        self._versions: dict[tuple[str, str], int] = {}
        self._exported_until: datetime | None = None

    def put(self, kind: str, identity: str, record: Record, at: datetime) -> None:
        """Create or change a resource at a moment, which may lie ahead.

        Raises:
            LateRow: the export of that moment is written already.
        """
        self._change(kind, identity, record, at)

    def delete(self, kind: str, identity: str, at: datetime) -> None:
        """Remove a resource for good; exports tell so in their `deleted` output (Q36)."""
        self._change(kind, identity, None, at)

    def _change(self, kind: str, identity: str, record: Record | None, at: datetime) -> None:
        if self._exported_until is not None and at < self._exported_until:
            raise LateRow(f"{kind}/{identity} of {at.isoformat()} belongs to an export that is written")
        self._changes.append((at, len(self._changes), kind, identity, record))

    # ------------------------------------------------------------------------------------------------------- exports

    def exports(self, d: date) -> Iterable[Document]:
        """The export that starts in the night after `d`: a file of parts for every resource, deletions, manifest."""
        folder = d + timedelta(days=1)
        until = datetime.combine(folder, EXPORT_STARTS, NEW_YORK)
        changed, gone = self._changed(until)
        if not self.world.start <= folder <= self.world.end:
            return
        since = f"&_since={instant(until - timedelta(days=1))}" if folder > self.world.start else ""
        manifest: dict[str, object] = {
            "transactionTime": instant(until),
            "request": f"{SERVER}/$export?_type={','.join(RESOURCES)}{since}",
            "requiresAccessToken": True,
        }
        output = []
        filled = [kind for kind in RESOURCES if changed[kind]]
        empty = None
        if filled and self.plan.shows("Q39"):
            empty = self.chance.stream("empty part", folder).pick(filled)
        for kind in RESOURCES:
            for number, lines in enumerate(self._parts(kind, changed[kind], folder, kind == empty), start=1):
                document = _file(f"{kind}.{number}.ndjson", kind, lines, folder)
                yield document
                output.append({"type": kind, "url": _url(document), "count": len(lines)})
        removed = []
        if gone:
            document = _file("deleted.1.ndjson", RESOURCES[0], [line(deletions(until, gone))], folder)
            yield document
            removed.append({"type": "Bundle", "url": _url(document), "count": 1})
        manifest |= {"output": output, "deleted": removed, "error": []}
        content = json.dumps(manifest, indent=1).encode() + b"\n"
        yield Document(SYSTEM, "", f"{SYSTEM}/{folder:%Y%m%d}/manifest.json", content, 0, folder, is_manifest=True)

    def _changed(self, until: datetime) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
        """Resources as they stand when the export starts, in the order of their last change, and those that went."""
        due = sorted((change for change in self._changes if change[0] < until), key=lambda change: change[:2])
        self._changes = [change for change in self._changes if change[0] >= until]
        self._exported_until = until
        last: dict[tuple[str, str], tuple[datetime, Record | None]] = {}
        for at, _, kind, identity, record in due:
            key = (kind, identity)
            self._versions[key] = self._versions.get(key, 0) + 1
            last.pop(key, None)
            last[key] = (at, record)
        changed: dict[str, list[str]] = {kind: [] for kind in RESOURCES}
        gone = []
        for (kind, identity), (at, record) in last.items():
            if record is None:
                gone.append((kind, identity))
            else:
                changed[kind].append(line(self._resource(kind, identity, record, at)))
        return changed, gone

    def _resource(self, kind: str, identity: str, record: Record, at: datetime) -> Resource:
        stream = self.chance.stream("server time", kind, identity, at.isoformat())
        updated_at = at.replace(microsecond=0) + timedelta(milliseconds=stream.integer(0, 900))
        version = self._versions[kind, identity]
        return versioned(kind, identity, version, updated_at, record.resource(self._spelling(kind, identity)))

    def _spelling(self, kind: str, identity: str) -> Spelling:
        """How a resource writes its references (Q34)."""
        is_absolute = self.plan.quirk("Q34", kind, identity)
        return absolute if is_absolute else relative

    def _parts(self, kind: str, lines: list[str], folder: date, with_empty: bool) -> Iterator[list[str]]:
        """Part files of one resource: another number every night, one of them empty (Q39)."""
        if not self.plan.shows("Q39"):
            yield lines
            return
        stream = self.chance.stream("parts", kind, folder)
        cuts = sorted(stream.integer(0, len(lines)) for _ in range(stream.integer(0, MOST_PARTS - 1)))
        parts = [lines[start:end] for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
        parts = [part for part in parts if part] or [[]]
        if with_empty:
            parts.insert(stream.integer(0, len(parts)), [])
        yield from parts


def _file(name: str, kind: str, lines: list[str], folder: date) -> Document:
    content = "".join(f"{each}\n" for each in lines).encode()
    return Document(SYSTEM, kind, f"{SYSTEM}/{folder:%Y%m%d}/{name}.gz", content, len(lines), folder)


def _url(document: Document) -> str:
    return f"{SERVER}/bulk/{document.folder:%Y%m%d}/{document.path.rpartition('/')[2].removesuffix('.gz')}"
