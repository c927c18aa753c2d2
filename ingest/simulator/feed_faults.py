"""What goes wrong with deliveries themselves: counts, halves, missing files, layouts, volumes (INT-01, 02, 04, 05).

Here: which file of which folder has which fault, the layout of a feed from a day on (Q101), files that hold too little.
Not here: how a file is rendered and where it goes (delivery), content that comes twice (delivery).
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, replace
from datetime import date, timedelta

from ingest.simulator.chance import Chance
from ingest.simulator.events import World
from ingest.simulator.plan import DefectPlan

# Extracts that no judged rule reads: their files may be refused or go missing without a consequence elsewhere.
HARMLESS: tuple[tuple[str, str], ...] = (
    ("ehr", "OR_LOG_CASE_TIMES"),
    ("ehr", "OR_LOG_ALL_SURG"),
    ("ehr", "OR_SPLY_LOC_INFO"),
    ("ehr", "OR_IMP_IMPLANT"),
    ("hb", "CLAIM_CODES"),
    ("hb", "HSP_ACCT_STOP_BILL"),
    ("erp_fusion", "INV_TXN_TYPES"),
    ("erp_fusion", "BUSINESS_UNITS"),
)
# Extracts whose stated counts may be wrong: the file itself is whole and is loaded.
MISCOUNTED: tuple[tuple[str, str], ...] = (
    ("ehr", "OR_CASE"),
    ("ehr", "OR_LOG"),
    ("hb", "HSP_TRANSACTIONS"),
    ("hb", "CDM_PRICE"),
    ("erp_lawson", "ITEMLOC"),
    ("erp_lawson", "APINVOICE"),
    ("erp_fusion", "PO_LINES"),
    ("erp_fusion", "RCV_TRANSACTIONS"),
    ("pou", "onhand"),
    ("pou", "item"),
)
# Snapshots of which a part may be missing for a day.
THINNED: tuple[tuple[str, str], ...] = (("ehr", "OR_SPLY_LOC_INFO"), ("erp_fusion", "ITEM_CATEGORIES"))
JUDGED_FROM = timedelta(days=29)  # INT-05 needs four earlier days of the same weekday
# Columns that the quarterly release of the cloud ERP adds in the middle of a file (Q101).
RELEASE_COLUMNS: dict[str, str] = {
    "PO_LINES": "PoLineWorkOrderSubType",
    "INV_TRANSACTIONS": "InventoryTransactionPEOShipmentReference",
    "AP_INVOICE_HEADERS": "ApInvoicesTaxationCountryCode",
    "ITEMS": "ItemBasePEOSubstanceClass",
}
# And one that it renames.
RELEASE_RENAMED = ("AP_HOLDS", "ApHoldsAllReleaseReason", "ApHoldsAllReleaseReasonText")
# Other changes of layout: feed, what happens, the column, its new name.
CHANGES: tuple[tuple[str, str, str, str, str], ...] = (
    ("ehr", "OR_LOG_CASE_TIMES", "added", "TRACKING_SOURCE_C", ""),
    ("hb", "HSP_ACCT_STOP_BILL", "added", "STOPBILL_OWNER_ID", ""),
    ("erp_lawson", "MAINVMSG", "added", "MSG_PRIORITY", ""),
    ("ehr", "OR_LOG_ALL_SURG", "removed", "PANEL", ""),
    ("hb", "CLAIM_CODES", "renamed", "FIRST_BILLED_DATE", "FIRST_CLAIM_DATE"),
    ("ehr", "OR_LOG_ALL_SURG", "retyped", "TOTAL_LENGTH", ""),
)
REORDERED: tuple[tuple[str, str, str], ...] = (
    ("ehr", "OR_LOG_AUDIT_TRAIL", "AUDIT_ACTION_C"),
    ("erp_lawson", "GLNAMES", "DESCRIPTION"),
)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file before packing: parts (one unless zipped), with their row counts."""

    parts: tuple[bytes, ...]
    rows: int
    quantity: str = "0"
    columns: tuple[str, ...] = ()  # header, where it is not that of the contract
    odd_columns: tuple[str, ...] = ()  # columns whose cells no longer are of their type

    def digest(self) -> str:
        """SHA-256 of the uncompressed content."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(part)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a feed's layout from a folder on."""

    kind: str  # added, removed, renamed, retyped, reordered
    column: str
    name: str
    since: date


class FeedFaults:
    """Chooses faults of files and applies those that change their content."""

    def __init__(self, world: World, plan: DefectPlan, chance: Chance) -> None:
        """Choose the days on which layouts change."""
        self.world = world
        self.plan = plan
        self.chance = chance
        self._thinned: set[tuple[str, str, date]] = set()
        self._changes: dict[tuple[str, str], list[Change]] = {}
        days = (world.end - world.start).days
        for system, extract, kind, column, name in CHANGES if plan.defects else ():
            stream = chance.stream("layout", system, extract, column)
            since = world.start + timedelta(days=stream.integer(max(days // 5, 1), max(days * 4 // 5, 2)))
            self._change(system, extract, Change(kind, column, name, since))
        for system, extract, column in REORDERED if plan.shows("Q101") else ():
            self._change(system, extract, Change("reordered", column, "", world.start + timedelta(days=days // 3)))
        release = self._release()
        if release is not None:
            for extract, column in RELEASE_COLUMNS.items():
                self._change("erp_fusion", extract, Change("added", column, "", release))
            extract, column, name = RELEASE_RENAMED
            self._change("erp_fusion", extract, Change("renamed", column, name, release))

    def _change(self, system: str, extract: str, change: Change) -> None:
        self._changes.setdefault((system, extract), []).append(change)

    def _release(self) -> date | None:
        """First quarterly release of the cloud ERP in the world: third weekend of February, May, August, November."""
        if not (self.plan.defects and self.plan.shows("Q101")):
            return None
        for year in range(self.world.start.year, self.world.end.year + 1):
            for month in (2, 5, 8, 11):
                first = date(year, month, 1)
                release = first + timedelta(days=(5 - first.weekday()) % 7 + 14)
                if self.world.start < release <= self.world.end:
                    return release
        return None

    # ------------------------------------------------------------------------------------------------------- content

    def shaped(self, system: str, extract: str, content: Content, folder: date) -> Content:
        """The content in the layout that the feed has on the day; new names and misfits are noted."""
        for change in self._changes.get((system, extract), ()):
            if change.since <= folder:
                content = self._apply(system, extract, change, content)
        return content

    def _apply(self, system: str, extract: str, change: Change, content: Content) -> Content:
        end = "\r\n" if system == "pou" else "\n"
        encoding = "cp1252" if system == "erp_lawson" else "utf-8"
        parts, header, odd = [], list(content.columns), content.odd_columns
        for part in content.parts:
            rows = list(csv.reader(io.StringIO(part.decode(encoding))))
            rows = [*map(list, rows)]
            header = rows[0]
            if change.kind == "added":
                place = len(header) // 2
                for row in rows:
                    row.insert(place, change.column if row is header else "")
            elif change.kind == "renamed":
                header[header.index(change.column)] = change.name
            else:
                place = header.index(change.column)
                for row in rows:
                    if change.kind == "retyped":
                        row[place] = row[place] if row is header or not row[place] else f"{row[place]} SEC"
                    else:
                        cell = row.pop(place)
                        row.extend([cell] if change.kind == "reordered" else [])
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator=end).writerows(rows)
            parts.append(buffer.getvalue().encode(encoding))
        if change.kind == "retyped" and content.rows:
            odd = (*odd, change.column)
        self._note(system, extract, change)
        return replace(content, parts=tuple(parts), columns=tuple(header), odd_columns=odd)

    def _note(self, system: str, extract: str, change: Change) -> None:
        for column in (change.column, change.name):
            key = f"feed={system}.{extract}|column={column}"
            if column and not any((old.rule_id, old.entity_key) == ("INT-04", key) for old in self.world.planted):
                self.plan.note("INT-04", key, "SYS", change.kind == "reordered", change.kind)

    def thinned(self, system: str, extract: str, content: Content, folder: date) -> Content:
        """The content with a good part of its rows missing, on a few days (INT-05); or with a few less."""
        if (system, extract) not in THINNED or folder < self.world.start + JUDGED_FROM or content.rows < 200:
            return content
        key = f"feed={system}.{extract}|date={folder}"
        share = 100
        if folder < self.world.end and self.plan.defects:
            if self.plan.wants("INT-05", False, key, folder, extract):
                share = 65
            elif self.plan.wants("INT-05", True, key, folder, extract):
                share = 45
        if share == 100:
            return content
        self._thinned.add((system, extract, folder))
        self.plan.note("INT-05", key, "SYS", share == 65, f"{share} percent of the rows")
        lines = [line for part in content.parts for line in part.splitlines(keepends=True)[1:]]
        kept = lines[: len(lines) * share // 100]
        header = content.parts[0].splitlines(keepends=True)[0]
        return replace(content, parts=(b"".join((header, *kept)),), rows=len(kept))

    # -------------------------------------------------------------------------------------------------------- faults

    def of(self, system: str, extract: str, content: Content, folder: date, path: str, heals: bool) -> str | None:
        """The fault of a file: count, total, truncated, missing, part (a half written copy beside it), or none.

        `heals`: the next delivery holds what this one lacks.
        """
        feed = (system, extract)
        path = path.removesuffix(".gz")  # the same files fail, packed or not
        if folder <= self.world.start + timedelta(days=1) or content.rows == 0:
            return None
        today = self.chance.stream("faulty feeds", folder)
        if feed == today.pick(MISCOUNTED) and content.rows > 1:
            for variant in ("count", "total"):
                if variant == "total" and system == "erp_lawson":
                    continue
                if self.plan.wants("INT-02", True, path, folder, _packed_as(system, variant)):
                    return variant
        if feed in HARMLESS and heals and folder < self.world.end and (*feed, folder) not in self._thinned:
            unlucky = feed == today.pick(HARMLESS)
            if (
                unlucky
                and content.rows > 5
                and self.plan.wants("INT-02", True, path, folder, _packed_as(system, "truncated"))
            ):
                return "truncated"
            if self.plan.defects and self._is_missing(feed, path, folder, unlucky):
                self.plan.note("INT-01", f"feed={system}.{extract}|date={folder}", "SYS", False, "missing")
                return "missing"
        if self.plan.quirk("Q127", "part", path, share=0.001):
            self.plan.note("INT-01", f"feed={system}.{extract}|date={folder}", "SYS", True, "half written beside it")
            return "part"
        return None

    def _is_missing(self, feed: tuple[str, str], path: str, folder: date, unlucky: bool) -> bool:
        """Q127, and as often as the rule needs (INT-01)."""
        if unlucky and self.plan.wants("INT-01", True, path, folder):
            return True
        return feed[0] != "erp_fusion" and self.plan.quirk("Q127", "missing", path)


def _packed_as(system: str, variant: str) -> str:
    """A fault by what it befalls: archives of the cloud ERP have their own quota (Q107)."""
    return f"{variant} archive" if system == "erp_fusion" else variant
