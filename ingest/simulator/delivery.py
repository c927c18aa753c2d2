"""The outbox: writes rows to delivery files as the contracts say, day by day.

Here: formats by column type, distribution of rows to folders and slots, re-pulls and overlapping windows, manifests,
trailers and zips, and content that is delivered twice (INT-03).
Not here: anything about the business behind a row, which other faults a file has (feed_faults).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import yaml

from ingest.simulator.chance import Chance
from ingest.simulator.events import DeliveredFile, World
from ingest.simulator.feed_faults import Content, FeedFaults
from ingest.simulator.plan import DefectPlan

if TYPE_CHECKING:
    import polars as pl

CHICAGO = ZoneInfo("America/Chicago")
CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"
NIGHTLY = ("ehr", "hb", "erp_lawson", "ref")
FUSION_SLOTS = ("0000", "0600", "1200", "1800")
FUSION_OVERLAP = timedelta(minutes=60)
DEFLATE_LEVEL = 4  # an eighth of the time of level 9 for 15 % more bytes
MASTER_SLOT = "0005"  # inventory masters of the day before, and the opening balance
SYSTEMS = ("ehr", "hb", "pou", "erp_lawson", "erp_fusion", "ref")

Value = str | int | Decimal | date | datetime | bool | None
Row = Mapping[str, Value]
RowsFunction = Callable[[date], Iterable[Row | tuple[str, ...]] | None]  # tuples: cells as they are written
ColumnsFunction = Callable[[date], Mapping[str, "pl.Series | str"]]
FrameFunction = Callable[[date], "pl.DataFrame"]

# Quantity that a trailer of the inventory system adds up.
TRAILER_QUANTITY = {"txn": "qty", "onhand": "qty_each", "case_usage": "qty_each", "count": "counted_each"}


class LateRow(ValueError):
    """A row was emitted for a file that is written already."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a contract, ready to format."""

    name: str
    type: str
    format: str
    zone: str
    scale: int
    required: bool
    values: frozenset[str] | None
    empty: str


@dataclass(frozen=True, slots=True)
class Extract:
    """One extract of a contract, as far as writing needs it."""

    system: str
    name: str
    load: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    datastore: str
    places: Mapping[str, tuple[int, Column]]  # of the columns, by name
    empty_cells: tuple[str, ...]
    required: frozenset[str]  # columns that a row must fill; the legacy ERP refuses nothing


@dataclass(slots=True)
class Bucket:
    """Rows of one extract that wait for their file."""

    rows: dict[tuple[str, ...], tuple[datetime, tuple[str, ...]]] = field(default_factory=dict)
    events: list[tuple[datetime, tuple[str, ...]]] = field(default_factory=list)
    blocks: list[tuple[datetime, pl.DataFrame]] = field(default_factory=list)


def _strftime_format(pattern: str) -> str:
    for token, code in (("yyyy", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M")):
        pattern = pattern.replace(token, code)
    return pattern.replace("SSSSSS", "%f").replace("ss", "%S")


def _column(system: str, name: str, declared: Mapping[str, object]) -> Column:
    kind, _, rest = str(declared["type"]).partition("(")
    arguments = [part.strip() for part in rest.rstrip(")").split(",")] if rest else []
    pattern, zone, scale = "", "", 0
    if kind in ("date", "datetime", "time"):
        pattern = _strftime_format(arguments[0])
        zone = arguments[1] if len(arguments) > 1 else "America/Chicago"
        zone = "America/Chicago" if zone == "site local" else zone
    elif kind == "decimal":
        scale = int(arguments[1])
    elif kind == "boolean":
        pattern = arguments[0]
    values = declared.get("values")
    return Column(
        name=name,
        type=kind,
        format=pattern,
        zone=zone,
        scale=scale,
        required=bool(declared.get("required", False)),
        values=frozenset(str(value) for value in values) if isinstance(values, list) else None,
        empty=_empty(system, kind),
    )


@cache
def contract(system: str) -> dict[str, Extract]:
    """The extracts of one system, read from its contract."""
    declared = yaml.load((CONTRACTS / f"{system}.yaml").read_text(encoding="utf-8"), Loader=_Loader)
    return {
        name: _extract(system, name, extract)
        for name, extract in declared["extracts"].items()
        if not name.startswith("REMIT_835")
    }


def _extract(system: str, name: str, declared: Mapping[str, Any]) -> Extract:
    columns = tuple(_column(system, column, detail) for column, detail in declared["columns"].items())
    return Extract(
        system=system,
        name=name,
        load=declared["load"],
        key=tuple(declared["key"]),
        columns=columns,
        datastore=declared.get("datastore", name),
        places={column.name: (place, column) for place, column in enumerate(columns)},
        empty_cells=tuple(column.empty for column in columns),
        required=frozenset(column.name for column in columns if column.required and system != "erp_lawson"),
    )


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _empty(system: str, kind: str) -> str:
    """What an empty cell looks like: nothing, or the blanks, zeros and empty dates of the legacy ERP."""
    if system != "erp_lawson":
        return ""
    if kind == "string":
        return " "
    return "17530101" if kind in ("date", "datetime") else "0"


@lru_cache(maxsize=400_000, typed=True)
def _text(kind: str, pattern: str, zone: str, scale: int, value: int | Decimal | date) -> str:
    """One cell as the column's type writes it.

    Raises:
        ValueError: the value has more decimals than the column holds.
    """
    if isinstance(value, bool):
        return pattern.split("/")[0 if value else 1]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return _decimal_text(kind, scale, value)
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(UTC if zone == "UTC" else _zone(zone or "America/Chicago"))
        return value.strftime(pattern)
    return datetime.combine(value, time()).strftime(pattern)


def _decimal_text(kind: str, scale: int, value: Decimal) -> str:
    if kind == "string":
        return format(value, "f")
    rounded = value.quantize(Decimal(1).scaleb(-scale))
    if rounded != value:
        raise ValueError(f"{value} has more than {scale} decimals")
    text = format(rounded, "f")
    if scale > 2:
        whole, _, places = text.partition(".")
        text = f"{whole}.{places.rstrip('0').ljust(2, '0')}"
    return text


@dataclass(frozen=True, slots=True)
class Document:
    """A finished file of messages, transaction sets, resources or records."""

    system: str
    extract: str  # the first extract that the file feeds
    path: str  # relative to the landing directory
    content: bytes  # as it is before a name in .gz packs it
    rows: int  # rows of that extract in it
    folder: date
    slot: str | None = None
    stated_rows: int | None = None  # what its own trailer states, when that is something else
    is_manifest: bool = False  # tells of the other files and is none of a feed
    total_matches: bool = True  # whether what else its trailer states is right
    is_truncated: bool = False
    is_snapshot: bool = False


DocumentsFunction = Callable[[date], Iterable[Document]]


class Once:
    """Rows of a snapshot that never change: all of them the first time, 'unchanged' from then on."""

    def __init__(self, rows: Callable[[], Iterable[Row]]) -> None:
        self._rows = rows
        self._sent = False

    def __call__(self, d: date) -> Iterable[Row] | None:
        """The rows, or None once they were given."""
        if self._sent:
            return None
        self._sent = True
        return self._rows()


class Outbox:
    """Takes rows as they come about and writes the delivery files of each day.

    Rows go to the file that their moment of change belongs to; the latest version of a key wins inside a file. A folder
    is written when its last moment has passed (`close_day`).
    """

    def __init__(
        self,
        out: Path,
        world: World,
        plan: DefectPlan,
        chance: Chance,
        slots: int = 4,
        repull: int = 3,
        is_packed: bool = False,
        is_resumed: bool = False,
    ) -> None:
        """Bind the world.

        Args:
            out: landing directory.
            world: where what was delivered is noted.
            plan: which files have which faults.
            chance: where they are drawn from.
            slots: files of the inventory system a day.
            repull: days whose changed rows nightly incremental files send again.
            is_packed: gzip what the contracts do not zip already.
            is_resumed: leave the files that are there as they are: the same world wrote them.
        """
        self.out = out
        self.is_packed = is_packed
        self.is_resumed = is_resumed
        self.world = world
        self.plan = plan
        self.chance = chance
        self.repull = max(repull, 1)
        self.pou_slots = tuple(
            "2359" if minute == 1440 else f"{minute // 60:02d}{minute % 60:02d}"
            for minute in (round(1440 * number / slots) for number in range(1, slots + 1))
        )
        self._faults = FeedFaults(world, plan, chance)
        self._pending: dict[tuple[str, date, str], dict[str, Bucket]] = {}
        self._snapshots: dict[tuple[str, str], RowsFunction] = {}
        self._documents: list[DocumentsFunction] = []
        self._contents: dict[tuple[str, str], Content] = {}
        self._waiting: dict[tuple[str, date, str], dict[str, Content]] = {}
        self._history: dict[tuple[str, str], dict[tuple[str, ...], tuple[date, tuple[str, ...]]]] = {}
        self._overlap: dict[str, list[tuple[datetime, tuple[str, ...], tuple[str, ...]]]] = {}
        self._sent_blocks: dict[tuple[str, str], list[tuple[datetime, pl.DataFrame]]] = {}
        self._snapshot_blocks: dict[tuple[str, str], FrameFunction] = {}
        self._last_digest: dict[tuple[str, str], str] = {}
        self._older: dict[tuple[str, str], list[tuple[date, str, Content]]] = {}
        self._written_until: dict[str, tuple[date, str]] = {}
        self._folders: set[Path] = set()
        self.rows_written = 0
        self.bytes_written = 0

    # -------------------------------------------------------------------------------------------------- taking rows

    def emit(self, system: str, extract: str, row: Row, at: datetime) -> None:
        """Take one new or changed row of an incremental or event extract.

        Args:
            system: system of the contracts.
            extract: extract name as in the YAML.
            row: values by column; text as it is, other types by the column's type; missing columns are empty.
            at: aware moment of the change, decides folder and slot.

        Raises:
            LateRow: the file of that moment is written already.
            KeyError: the row has a column that the contract does not know.
            ValueError: a value does not fit its column.
        """
        described = contract(system)[extract]
        cells = self.cells(described, row)
        bucket = self._bucket(system, extract, at)
        if described.load == "event":
            bucket.events.append((at, cells))
            return
        key = self._key(described, cells)
        known = bucket.rows.get(key)
        if known is None:
            bucket.rows[key] = (at, cells)
        elif known[0] <= at:
            del bucket.rows[key]
            bucket.rows[key] = (at, cells)

    def emit_block(self, system: str, extract: str, columns: Mapping[str, pl.Series | str], at: datetime) -> None:
        """Take many rows at once, as text: what comes in bulk and needs no second look.

        Args:
            system: system of the contracts.
            extract: an incremental extract. A key comes once in a block; a later block may hold its newer version.
            columns: cells by column, a series or one text for all rows; missing columns are empty.
            at: aware moment of the change of all rows, decides folder and slot.

        Raises:
            LateRow: the file of that moment is written already.
            KeyError: there is a column that the contract does not know.
        """
        frame = self._frame(contract(system)[extract], columns)
        if frame.height:
            self._bucket(system, extract, at).blocks.append((at, frame))

    def _bucket(self, system: str, extract: str, at: datetime) -> Bucket:
        folder, slot = self._target(system, extract, at)
        written = self._written_until.get(system)
        if written is not None and (folder, slot) <= written:
            raise LateRow(f"{system}.{extract} row of {at.isoformat()} belongs to {folder} {slot}, which is written")
        waiting = self._pending.setdefault((system, folder, slot), {})
        bucket = waiting.get(extract)
        if bucket is None:
            bucket = waiting[extract] = Bucket()
        return bucket

    @staticmethod
    def _frame(extract: Extract, columns: Mapping[str, pl.Series | str]) -> pl.DataFrame:
        import polars as pl

        unknown = set(columns) - {column.name for column in extract.columns}
        if unknown:
            raise KeyError(f"{extract.system}.{extract.name} has no column {', '.join(sorted(unknown))}")
        given = [columns.get(column.name, "") for column in extract.columns]
        height = next(len(cells) for cells in given if isinstance(cells, pl.Series))
        whole = (
            cells if isinstance(cells, pl.Series) else pl.Series([cells]).new_from_index(0, height) for cells in given
        )
        frame = pl.DataFrame([cells.alias(column.name) for column, cells in zip(extract.columns, whole, strict=True)])
        return frame.select(pl.all().replace("", None))  # an empty cell is written without quotes

    def snapshot(self, system: str, extract: str, rows: RowsFunction) -> None:
        """Register where the rows of a snapshot come from.

        `rows(d)` gives the full picture as it stands at the end of business date `d`, or None when nothing changed
        since it was asked last (the file then repeats; `ref` files are not sent at all).
        """
        if extract not in contract(system):
            raise KeyError(f"{system}.{extract}")
        self._snapshots[(system, extract)] = rows

    def snapshot_block(self, system: str, extract: str, columns: ColumnsFunction) -> None:
        """Register rows that stand in a snapshot after those of `snapshot`, as `emit_block` takes them."""
        described = contract(system)[extract]
        self._snapshot_blocks[(system, extract)] = lambda d: self._frame(described, columns(d))

    def documents(self, source: DocumentsFunction) -> None:
        """Register a writer of finished files.

        `source(d)` gives those that arrived on date `d`, or by the morning after it; folders after the last day are
        left out.
        """
        self._documents.append(source)

    @staticmethod
    def cells(extract: Extract, row: Row) -> tuple[str, ...]:
        """The cells of a row as the extract's columns write them; see `emit` for what is refused."""
        cells = list(extract.empty_cells)
        places = extract.places
        for name, value in row.items():
            if name not in places:
                unknown = set(row) - set(places)
                raise KeyError(f"{extract.system}.{extract.name} has no column {', '.join(sorted(unknown))}")
            if value is None:
                if name in extract.required:
                    raise ValueError(f"{extract.system}.{extract.name}.{name} is required and was not given")
                continue
            place, column = places[name]
            if isinstance(value, str):
                text = value
            else:
                try:
                    text = _text(column.type, column.format, column.zone, column.scale, value)
                except ValueError as error:
                    raise ValueError(f"{extract.system}.{extract.name}.{name}: {error}") from error
            if column.values is not None and text.strip() and text.strip() not in column.values:
                raise ValueError(f"{extract.system}.{extract.name}.{name} does not allow {text!r}")
            cells[place] = text
        if not extract.required <= row.keys():
            missing = ", ".join(sorted(extract.required - row.keys()))
            raise ValueError(f"{extract.system}.{extract.name}.{missing} is required and was not given")
        return tuple(cells)

    @staticmethod
    def _key(extract: Extract, cells: tuple[str, ...]) -> tuple[str, ...]:
        return tuple([cells[extract.places[name][0]] for name in extract.key])

    def folder_of(self, system: str, extract: str, at: datetime) -> date:
        """Date of the folder that carries a row which changes at the moment."""
        return self._target(system, extract, at)[0]

    def _target(self, system: str, extract: str, at: datetime) -> tuple[date, str]:
        start = self.world.start
        if system in NIGHTLY:
            return max(at.astimezone(CHICAGO).date() + timedelta(days=1), start), ""
        if system == "pou":
            local = at.astimezone(CHICAGO)
            if local.date() < start:
                return start, self.pou_slots[0]
            clock = local.strftime("%H%M")
            for slot in self.pou_slots:
                if clock < slot or (clock == slot and local.second == 0 and slot != "2359"):
                    return local.date(), slot
            return local.date() + timedelta(days=1), self.pou_slots[0]
        moment = at.astimezone(UTC)
        day = moment.date()
        if day < start:
            return start, "0600" if extract == "DELETED_KEYS" else "0000"
        allowed = ("0600",) if extract == "DELETED_KEYS" else FUSION_SLOTS
        clock = moment.strftime("%H%M%S")
        for slot in allowed:
            if clock <= slot + "00":
                return day, slot
        return day + timedelta(days=1), allowed[0]

    # ------------------------------------------------------------------------------------------------ closing a day

    def close_day(self, d: date) -> None:
        """Write every folder and slot that is complete at the end of business date `d` (America/Chicago)."""
        following = d + timedelta(days=1)
        for (system, extract), rows in self._snapshots.items():
            self._take_snapshot(system, extract, rows, d, following)
        if self.world.start <= following <= self.world.end:
            for system in NIGHTLY:
                self._write_nightly(system, following)
        if d >= self.world.start:
            self._write_pou(d)
        self._write_documents(d)
        midnight = datetime.combine(following, time(), CHICAGO).astimezone(UTC)
        for day in (d, following):
            for slot in FUSION_SLOTS:
                moment = datetime.combine(day, time(int(slot[:2])), UTC)
                written = self._written_until.get("erp_fusion")
                if moment > midnight or not self.world.start <= day <= self.world.end:
                    continue
                if written is None or (day, slot) > written:
                    self._write_fusion(day, slot, moment)

    def _write_documents(self, d: date) -> None:
        for source in self._documents:
            for document in source(d):
                if not self.world.start <= document.folder <= self.world.end:
                    continue
                path = self._named(document.path)
                self._write(path, document.content)
                if document.is_manifest:
                    continue
                self.rows_written += document.rows
                self.world.files.append(
                    DeliveredFile(
                        system=document.system,
                        extract=document.extract,
                        folder_date=document.folder,
                        slot=document.slot,
                        name=path.rsplit("/", 1)[-1],
                        path=path,
                        rows=document.rows,
                        stated_rows=document.rows if document.stated_rows is None else document.stated_rows,
                        content_hash=hashlib.sha256(document.content).hexdigest(),
                        manifest_hash_matches=document.total_matches,
                        is_snapshot=document.is_snapshot,
                        is_truncated=document.is_truncated,
                        repeats_previous_window=False,
                    )
                )

    def _take_snapshot(self, system: str, extract: str, rows: RowsFunction, d: date, following: date) -> None:
        if system == "pou" and extract == "onhand":
            folder, slot = (following, MASTER_SLOT) if d < self.world.start else (d, self.pou_slots[-1])
        else:
            folder, slot = following, {"pou": MASTER_SLOT, "erp_fusion": "0600"}.get(system, "")
        if folder > self.world.end:
            return
        fresh = rows(d)
        if fresh is not None:
            described = contract(system)[extract]
            block = self._snapshot_blocks.get((system, extract))
            cells = [row if isinstance(row, tuple) else self.cells(described, row) for row in fresh]
            self._contents[(system, extract)] = self._content(described, cells, [] if block is None else [block(d)])
        elif system == "ref":
            return
        content = self._contents.get((system, extract))
        if content is not None:
            self._waiting.setdefault((system, folder, slot), {})[extract] = content

    def _rows_of(self, system: str, folder: date, slot: str, extract: str) -> list[tuple[str, ...]]:
        bucket = self._pending.get((system, folder, slot), {}).get(extract)
        if bucket is None:
            return []
        if contract(system)[extract].load == "event":
            return [cells for _, cells in sorted(bucket.events, key=lambda entry: entry[0])]
        return [cells for _, cells in sorted(bucket.rows.values(), key=lambda entry: entry[0])]

    def _write_nightly(self, system: str, folder: date) -> None:
        waiting = self._waiting.pop((system, folder, ""), {})
        pending = self._pending.get((system, folder, ""), {})
        if not waiting and not pending and not self._system_is_used(system):
            return
        entries: list[tuple[str, int, str]] = []
        for name, extract in contract(system).items():
            if extract.load == "snapshot":
                content = waiting.get(name)
                if content is None:
                    continue
            elif system == "ref" and name not in pending:
                continue
            elif extract.load == "event" or system in ("erp_lawson", "ref"):
                content = self._content(extract, self._rows_of(system, folder, "", name))
            else:
                content = self._content(extract, self._window(extract, folder), self._block_window(extract, folder))
            path = self._named(f"{system}/{folder:%Y%m%d}/{name}.csv")
            stated = self._deliver(extract, content, folder, None, path)
            if stated is not None:
                entries.append((name, stated[0], stated[1]))
        self._pending.pop((system, folder, ""), None)
        self._written_until[system] = (folder, "")
        if system == "erp_lawson":
            lines = ["extract,row_count", *(f"{name},{rows}" for name, rows, _ in entries)]
            self._write(f"{system}/{folder:%Y%m%d}/_counts.txt", "\n".join(lines).encode() + b"\n")
        elif entries:
            total = "sha256" if system == "ref" else "hash_total"
            lines = [f"extract,row_count,{total}", *(f"{name},{rows},{digest}" for name, rows, digest in entries)]
            self._write(f"{system}/{folder:%Y%m%d}/_manifest.csv", "\n".join(lines).encode() + b"\n")

    def _system_is_used(self, system: str) -> bool:
        return system in self._written_until or any(key[0] == system for key in self._snapshots)

    def _window(self, extract: Extract, folder: date) -> list[tuple[str, ...]]:
        """Rows that changed in the last days, newest version of each, oldest change first."""
        history = self._history.setdefault((extract.system, extract.name), {})
        oldest = folder - timedelta(days=self.repull)
        bucket = self._pending.get((extract.system, folder, ""), {}).get(extract.name)
        if bucket is not None:
            for key, (_, cells) in sorted(bucket.rows.items(), key=lambda entry: entry[1][0]):
                known = history.pop(key, None)
                if known is not None and known[1] == cells:
                    history[key] = known
                else:
                    history[key] = (folder - timedelta(days=1), cells)
        for key in [key for key, (changed, _) in history.items() if changed < oldest]:
            del history[key]
        return [cells for _, cells in history.values()]

    def _block_window(self, extract: Extract, folder: date) -> list[pl.DataFrame]:
        """Blocks that changed in the last days, of each key the newest version."""
        import polars as pl

        sent = self._sent_blocks.setdefault((extract.system, extract.name), [])
        bucket = self._pending.get((extract.system, folder, ""), {}).get(extract.name)
        if bucket is not None:
            sent.extend(bucket.blocks)
        oldest = folder - timedelta(days=self.repull)
        sent[:] = [entry for entry in sent if entry[0].astimezone(CHICAGO).date() >= oldest]
        if len(sent) < 2:
            return [frame for _, frame in sent]
        return [pl.concat([frame for _, frame in sent]).unique(extract.key, keep="last", maintain_order=True)]

    def _write_pou(self, d: date) -> None:
        if not self._system_is_used("pou") and not any(key[0] == "pou" for key in self._pending):
            return
        for slot in sorted({MASTER_SLOT, *self.pou_slots}):
            waiting = self._waiting.pop(("pou", d, slot), {})
            pending = self._pending.pop(("pou", d, slot), {})
            for name, extract in contract("pou").items():
                if extract.load == "snapshot":
                    content = waiting.get(name)
                    if content is None:
                        continue
                else:
                    rows = [
                        cells for _, cells in sorted(pending.get(name, Bucket()).events, key=lambda entry: entry[0])
                    ]
                    always = slot == self.pou_slots[-1] and name in ("txn", "case_usage")
                    if not rows and not always:
                        continue
                    content = self._content(extract, rows)
                self._deliver_pou(extract, content, d, slot)
                if extract.load == "event" and content.rows:
                    self._remember(extract, d, slot, content)
            if slot == self.pou_slots[len(self.pou_slots) // 2]:
                self._deliver_again(d)
            self._written_until["pou"] = (d, slot)

    def _deliver_pou(self, extract: Extract, content: Content, d: date, slot: str) -> None:
        path = f"pou/{d:%Y%m%d}/{extract.name}_{d:%Y%m%d}_{slot}.csv"
        stated = self._deliver(extract, content, d, slot, self._named(path))
        if stated is not None:
            self._write(path.removesuffix(".csv") + ".ctl", f"rows={stated[0]};sum_qty={stated[1]}\n".encode())

    def _write_fusion(self, day: date, slot: str, moment: datetime) -> None:
        if not self._system_is_used("erp_fusion") and not any(key[0] == "erp_fusion" for key in self._pending):
            return
        waiting = self._waiting.pop(("erp_fusion", day, slot), {})
        pending = self._pending.pop(("erp_fusion", day, slot), {})
        lines = []
        for name, extract in contract("erp_fusion").items():
            if extract.load == "snapshot":
                content = waiting.get(name)
                if content is None:
                    continue
            else:
                bucket = pending.get(name, Bucket())
                rows = self._overlapping_rows(extract, bucket, moment)
                blocks = self._overlapping_blocks(extract, bucket, moment)
                if not rows and not blocks and (slot != "0600" or extract.load == "event"):
                    content = self._older_window(extract, day, slot)
                    if content is None:
                        continue
                else:
                    content = self._content(extract, rows, blocks)
                    if content.rows:
                        self._remember(extract, day, slot, content)
            path = f"erp_fusion/{day:%Y%m%d}/{slot}/{name}.zip"
            stated = self._deliver(extract, content, day, slot, path)
            if stated is not None:
                lines.append(f"{name}.zip;{extract.datastore};{stated[0]};{stated[1]}")
        if lines:
            self._write(f"erp_fusion/{day:%Y%m%d}/{slot}/MANIFEST.MF", "\n".join(lines).encode() + b"\n")
        self._written_until["erp_fusion"] = (day, slot)

    def _overlapping_rows(self, extract: Extract, bucket: Bucket, moment: datetime) -> list[tuple[str, ...]]:
        if extract.load == "event":
            return [cells for _, cells in sorted(bucket.events, key=lambda entry: entry[0])]
        fresh = sorted(((at, key, cells) for key, (at, cells) in bucket.rows.items()), key=lambda entry: entry[0])
        keys = {key for _, key, _ in fresh}
        repeated = [entry for entry in self._overlap.get(extract.name, []) if entry[1] not in keys]
        border = moment - FUSION_OVERLAP
        self._overlap[extract.name] = [entry for entry in fresh if entry[0].astimezone(UTC) > border]
        return [cells for _, _, cells in (*repeated, *fresh)]

    def _overlapping_blocks(self, extract: Extract, bucket: Bucket, moment: datetime) -> list[pl.DataFrame]:
        """Blocks of the slot, after those of the hour before it."""
        sent = [*self._sent_blocks.get((extract.system, extract.name), ()), *bucket.blocks]
        border = moment - FUSION_OVERLAP
        self._sent_blocks[(extract.system, extract.name)] = [
            entry for entry in bucket.blocks if entry[0].astimezone(UTC) > border
        ]
        return [frame for _, frame in sent]

    # ---------------------------------------------------------------------------------------------------- rendering

    def _content(
        self,
        extract: Extract,
        rows: list[tuple[str, ...]],
        blocks: Sequence[pl.DataFrame] = (),
    ) -> Content:
        names = [column.name for column in extract.columns]
        end = "\r\n" if extract.system == "pou" else "\n"
        encoding = "cp1252" if extract.system == "erp_lawson" else "utf-8"
        halves = [rows]
        if extract.system == "erp_fusion" and len(rows) > 30 and self.plan.shows("Q107"):
            middle = len(rows) * 2 // 3
            halves = [rows[:middle], rows[middle:]]
        parts = []
        for half in halves:
            buffer = io.StringIO()
            writer = csv.writer(buffer, lineterminator=end)
            writer.writerow(names)
            writer.writerows(half)
            if half is halves[-1]:
                for block in blocks:
                    buffer.write(block.write_csv(include_header=False, line_terminator=end))
            parts.append(buffer.getvalue().encode(encoding))
        quantity = "0"
        column = TRAILER_QUANTITY.get(extract.name) if extract.system == "pou" else None
        if column is not None:
            place = names.index(column)
            quantity = format(sum((Decimal(cells[place]) for cells in rows), Decimal(0)), "f")
        return Content(tuple(parts), len(rows) + sum(block.height for block in blocks), quantity)

    @staticmethod
    def _packed(extract: Extract, content: Content) -> bytes:
        if extract.system != "erp_fusion":
            return content.parts[0]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, part in enumerate(content.parts, start=1):
                archive.writestr(
                    zipfile.ZipInfo(f"{extract.name}_{number}.csv", (1980, 1, 1, 0, 0, 0)), part, 8, DEFLATE_LEVEL
                )
        return buffer.getvalue()

    # --------------------------------------------------------------------------------------------------- delivering

    def _deliver(
        self, extract: Extract, content: Content, folder: date, slot: str | None, path: str
    ) -> tuple[int, str] | None:
        """Write one file with its faults, if any; give the row count and the total that its manifest states."""
        feed = (extract.system, extract.name)
        content = self._faults.thinned(*feed, self._faults.shaped(*feed, content, folder), folder)
        packed = self._packed(extract, content)
        heals = extract.load == "snapshot" or self.repull > 1
        fault = self._faults.of(*feed, content, folder, path, heals)
        if fault == "missing":
            return None
        if fault == "part":
            self._write(path.removesuffix(".gz") + ".part", packed[:200])
        rows, stated, matches, truncated = content.rows, content.rows, True, False
        total = content.quantity
        if extract.system in ("ehr", "hb", "ref"):
            total = hashlib.sha256(packed).hexdigest()
        elif extract.system == "erp_fusion":
            total = hashlib.md5(packed, usedforsecurity=False).hexdigest()
        if fault == "count":
            stated = rows - 1
        elif fault == "total":
            matches = False
            total = format(Decimal(total) + 1, "f") if extract.system == "pou" else total[::-1]
        elif fault == "truncated":
            truncated, matches = True, False
            packed = packed[: len(packed) * 3 // 5]
            rows = 0 if extract.system == "erp_fusion" else max(packed.count(b"\n") - 1, 0)
        if fault in ("count", "total", "truncated"):
            name = _file_name(extract, slot, path)
            self.plan.note(
                "INT-02", f"feed={extract.system}.{extract.name}|date={folder}|file={name}", "SYS", False, fault
            )
        self._write(path, packed)
        digest = content.digest()
        self._record(extract, content, folder, slot, path, (rows, stated, matches, truncated), digest)
        self._last_digest[feed] = digest
        return stated, total

    def _record(
        self,
        extract: Extract,
        content: Content,
        folder: date,
        slot: str | None,
        path: str,
        counts: tuple[int, int, bool, bool],
        digest: str,
    ) -> None:
        rows, stated, matches, truncated = counts
        name = _file_name(extract, slot, path)
        repeats = extract.load == "incremental" and self._last_digest.get((extract.system, extract.name)) == digest
        self.rows_written += rows
        self.world.files.append(
            DeliveredFile(
                system=extract.system,
                extract=extract.name,
                folder_date=folder,
                slot=slot,
                name=name,
                path=path,
                rows=rows,
                stated_rows=stated,
                content_hash=digest,
                manifest_hash_matches=matches,
                is_snapshot=extract.load == "snapshot",
                is_truncated=truncated,
                repeats_previous_window=repeats and content.rows > 0,
                columns=content.columns,
                odd_columns=content.odd_columns,
            )
        )
        self._note_near_misses(extract, content, folder, name, repeats)

    def _note_near_misses(self, extract: Extract, content: Content, folder: date, name: str, repeats: bool) -> None:
        key = f"feed={extract.system}.{extract.name}|date={folder}|file={name}"
        if extract.load == "snapshot" and content.rows and folder > self.world.start:
            kind = "unchanged snapshot"
        elif content.rows == 0:
            kind = "header only"
        elif repeats:
            kind = "same window again"
        else:
            if len(content.parts) > 1 and self.plan.wants("INT-02", False, key, folder, "several parts"):
                self.plan.note("INT-02", key, "SYS", True, "several parts add up")
            return
        if kind == "unchanged snapshot" and self._last_digest.get((extract.system, extract.name)) != content.digest():
            if self.plan.wants("INT-02", False, key, folder, "exact"):
                self.plan.note("INT-02", key, "SYS", True, "exact")
            return
        if kind == "header only" and self.plan.wants("INT-01", False, key, folder, kind):
            self.plan.note("INT-01", f"feed={extract.system}.{extract.name}|date={folder}", "SYS", True, kind)
        if self.plan.wants("INT-03", False, key, folder, kind):
            self.plan.note("INT-03", key, "SYS", True, kind)

    def _remember(self, extract: Extract, day: date, slot: str, content: Content) -> None:
        if extract.system == "pou" and extract.name != "count":
            kept = self._older.setdefault((extract.system, extract.name), [])
            kept.append((day, slot, content))
            del kept[:-8]
        elif extract.name in ("REQ_HEADERS", "AP_PAYMENTS", "ITEM_SUPPLIER_ASSOC", "SUPPLIERS"):
            kept = self._older.setdefault((extract.system, extract.name), [])
            kept.append((day, slot, content))
            del kept[:-6]

    def _deliver_again(self, d: date) -> None:
        """Send a file of the day before once more under another name (INT-03)."""
        for name in ("txn", "case_usage"):
            extract = contract("pou")[name]
            older = [entry for entry in self._older.get(("pou", name), []) if entry[0] < d]
            if not older or not self.plan.wants("INT-03", True, name, d, "inventory file again"):
                continue
            content = older[-1][2]
            slot = f"{int(self.pou_slots[len(self.pou_slots) // 2][:2]):02d}17"
            path = f"pou/{d:%Y%m%d}/{name}_{d:%Y%m%d}_{slot}.csv"
            self._write(self._named(path), content.parts[0])
            self._write(
                path.removesuffix(".csv") + ".ctl", f"rows={content.rows};sum_qty={content.quantity}\n".encode()
            )
            path = self._named(path)
            self._record(extract, content, d, slot, path, (content.rows, content.rows, True, False), content.digest())
            key = f"feed=pou.{name}|date={d}|file={path.rsplit('/', 1)[-1]}"
            self.plan.note("INT-03", key, "SYS", False, "file of the day before again")

    def _older_window(self, extract: Extract, day: date, slot: str) -> Content | None:
        """Content of an older run to send again into an empty slot (INT-03), or None."""
        older = [
            entry
            for entry in self._older.get((extract.system, extract.name), [])
            if entry[0] <= day - timedelta(days=2)
        ]
        if not older or slot == "0600" or not self.plan.wants("INT-03", True, extract.name, day, "old window again"):
            return None
        key = f"feed={extract.system}.{extract.name}|date={day}|file={slot}/{extract.name}.zip"
        self.plan.note("INT-03", key, "SYS", False, "window of an older run again")
        return older[-1][2]

    def _named(self, path: str) -> str:
        """The path of a file that the contracts do not zip, as it is delivered; manifests stay as they are."""
        return path + ".gz" if self.is_packed and not path.endswith((".json", ".gz")) else path

    def _write(self, path: str, payload: bytes) -> None:
        target = self.out / path
        if self.is_resumed and target.exists():
            self.bytes_written += target.stat().st_size
            return
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        if path.endswith(".gz"):
            payload = gzip.compress(payload, DEFLATE_LEVEL, mtime=0)
        # A reader of the directory, or a run that goes on after an interruption, never sees half a file.
        draft = target.with_name(target.name + ".tmp")
        draft.write_bytes(payload)
        draft.replace(target)
        self.bytes_written += len(payload)


def _file_name(extract: Extract, slot: str | None, path: str) -> str:
    """Name of a file as keys of INT rules write it."""
    base = path.rsplit("/", 1)[-1]
    return f"{slot}/{base}" if extract.system == "erp_fusion" else base
