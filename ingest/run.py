"""One ingest: everything new in a landing directory becomes raw batches.

Here: which deliveries are new, what becomes of each (landed, repeated, refused, ignored), the order in which extracts
are made again when something earlier turns up, the report.
Not here: how a file is found, read, judged, tokenised or written; the modules named so do that.

What lands is a function of the set of deliveries alone. Each extract has its deliveries in order; the first one that is
new, changed or read under another contract decides from where on the extract's batches are made (usually: just the new
ones, at the end). Each extract enters the ledger in one transaction, so a killed run costs time and nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ingest import landing as landing_rule
from ingest.batches import Attempt, BatchLedger, Content, Part
from ingest.clock import AsOf
from ingest.contract import Delivery, Extract, SystemContract, load_contracts
from ingest.formats import bicc
from ingest.formats.delimited import Dialect, count_rows, header_of, is_cut, parse
from ingest.formats.reading import BadRow, Text, Unreadable
from ingest.landing import ensure_empty_sources, hashes, new_versions, state_of, write_part
from ingest.privacy import TokenKey, TokenKeyError, landed_frame
from ingest.shape import null_tokens, split
from ingest.transports.directory import Delivered, find

if TYPE_CHECKING:
    import polars as pl

Progress = Callable[[str, int, int], None]

EVERY_ROW_REFUSED = "every row refused"
# Bytes of text that are parsed and judged together, and that are kept between looking at a delivery and reading it.
_STRETCH = 128 * 2**20
_ZIP_GROWTH = 8
# An extract with more parts than this has its newest merged, up to so many rows at once.
_MOST_PARTS = 24
_LARGEST_MERGE = 5_000_000

Fate = Literal["refused", "no_rows", "duplicate", "window_repeat", "read"]


@dataclass(frozen=True)
class ExtractCounts:
    """Rows of one extract in one run."""

    feed: str
    files: int = 0
    rows_delivered: int = 0
    rows_landed: int = 0
    rows_repeated: int = 0
    rows_quarantined: int = 0
    rows_tombstoned: int = 0
    files_refused: int = 0


@dataclass(frozen=True)
class IngestReport:
    """What one ingest did. Counts are of the attempts made in this run."""

    run_id: str
    extracts: tuple[ExtractCounts, ...]
    attempts: Path
    waiting: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    recovered: tuple[str, ...] = ()
    drift: tuple[tuple[str, str, str, str, str], ...] = ()
    remade: tuple[str, ...] = ()
    """Feeds of which batches were made again, because a delivery came out of order or the contract changed."""

    def _sum(self, name: str) -> int:
        return sum(getattr(counts, name) for counts in self.extracts)

    @property
    def files(self) -> int:
        """Deliveries attempted."""
        return self._sum("files")

    @property
    def files_refused(self) -> int:
        """Deliveries refused whole."""
        return self._sum("files_refused")

    @property
    def rows_delivered(self) -> int:
        """Rows in the deliveries attempted: landed + repeated + quarantined."""
        return self._sum("rows_delivered")

    @property
    def rows_landed(self) -> int:
        """New row versions."""
        return self._sum("rows_landed")

    @property
    def rows_repeated(self) -> int:
        """Rows known before."""
        return self._sum("rows_repeated")

    @property
    def rows_quarantined(self) -> int:
        """Rows refused, alone or with their file."""
        return self._sum("rows_quarantined")


@dataclass
class _File:
    """One delivery of an extract while a run decides about it."""

    delivered: Delivered
    last: Attempt | None
    is_new: bool
    is_again: bool
    content: Content | None = None
    refusal: str | None = None
    rows: int = 0
    text_size: int = 0
    parts: list[tuple[str, bytes]] | None = None
    fate: Fate = "read"
    duplicate_of: str | None = None
    drift: list[tuple[str, str]] = field(default_factory=list)

    @property
    def position(self) -> tuple[str, str]:
        return self.delivered.position

    @property
    def content_hash(self) -> str:
        return self.content.content_hash if self.content else ""


@dataclass
class _Outcome:
    """Rows of one delivery after it was read."""

    delivered: int = 0
    landed: int = 0
    tombstoned: int = 0
    bad: list[tuple[str, BadRow]] = field(default_factory=list)
    """File or zip part, and the row."""
    total: Decimal | None = None
    has_ragged: bool = False


def ingest(
    landing: Path,
    home: Path,
    as_of: AsOf,
    run_id: str,
    systems: Sequence[str] | None = None,
    progress: Progress | None = None,
    again: Sequence[str] = (),
) -> IngestReport:
    """Land everything under `landing` that is new as of a moment, and say what was done.

    `again` names deliveries (paths relative to the landing directory) to be read once more though nothing about them
    changed. `progress` is told feed, deliveries done and deliveries in all.

    Raises:
        TokenKeyError: the token key is missing or another one than the lake was landed with.
    """
    contracts = load_contracts()
    chosen = {system: contracts[system] for system in (systems or contracts)}
    lake = home / "lake"
    with _one_at_a_time(lake), BatchLedger(lake) as ledger:
        key = _key(home, ledger)
        recovered = ledger.recover()
        ensure_empty_sources(lake, chosen)
        found = {system: find(landing, contract, as_of) for system, contract in chosen.items()}
        total = sum(len(files) for each in found.values() for files in each.deliveries.values())
        done = 0
        counts: list[ExtractCounts] = []
        remade: list[str] = []
        for system, contract in chosen.items():
            known = ledger.contents(system)
            last: dict[str, list[Attempt]] = {}
            for attempt in ledger.latest_attempts(system):
                last.setdefault(attempt.extract, []).append(attempt)
            ledger.enter_waiting(system, found[system].waiting, run_id)
            for extract in contract.extracts.values():
                deliveries = found[system].deliveries[extract.name]
                run = _ExtractRun(
                    landing,
                    ledger,
                    key,
                    contract,
                    extract,
                    deliveries,
                    last.get(extract.name, []),
                    known,
                    run_id,
                    again,
                )
                attempts = run.make()
                if attempts:
                    counts.append(_counts(extract, attempts))
                if run.is_remade:
                    remade.append(extract.feed)
                done += len(deliveries)
                if progress is not None:
                    progress(extract.feed, done, total)
        attempts_path = _write_attempts(ledger)
        return IngestReport(
            run_id=run_id,
            extracts=tuple(counts),
            attempts=attempts_path,
            waiting=tuple(file for each in found.values() for file in each.waiting),
            unknown=tuple(file for each in found.values() for file in each.unknown),
            recovered=tuple(recovered),
            drift=tuple(ledger.drifts()),
            remade=tuple(remade),
        )


@contextmanager
def _one_at_a_time(lake: Path) -> Iterator[None]:
    """Two ingests of one home wait for each other."""
    lake.mkdir(parents=True, exist_ok=True)
    with (lake / ".ingest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key(home: Path, ledger: BatchLedger) -> TokenKey:
    landed_with = ledger.setting("token_key")
    if landed_with is not None and not TokenKey.path(home).exists():
        raise TokenKeyError(
            f"no token key at {TokenKey.path(home)}: restore a backup, or new identifiers join no old ones"
        )
    key = TokenKey.load_or_create(home)
    if landed_with is None:
        ledger.remember("token_key", key.fingerprint)
    elif landed_with != key.fingerprint:
        raise TokenKeyError(
            f"the lake was landed with token key {landed_with}, this is {key.fingerprint}: restore a backup"
        )
    return key


def _counts(extract: Extract, attempts: Sequence[Attempt]) -> ExtractCounts:
    return ExtractCounts(
        feed=extract.feed,
        files=len(attempts),
        rows_delivered=sum(attempt.rows_delivered for attempt in attempts),
        rows_landed=sum(attempt.rows_landed for attempt in attempts),
        rows_repeated=sum(attempt.rows_repeated for attempt in attempts),
        rows_quarantined=sum(attempt.rows_quarantined for attempt in attempts),
        rows_tombstoned=sum(attempt.rows_tombstoned for attempt in attempts),
        files_refused=sum(is_refused_whole(attempt) for attempt in attempts),
    )


def is_refused_whole(attempt: Attempt) -> bool:
    """Whether the file was not read at all, as against a file whose rows were all bad."""
    return attempt.outcome == "quarantined" and attempt.reason != EVERY_ROW_REFUSED


def _write_attempts(ledger: BatchLedger) -> Path:
    path = ledger.lake / "meta" / "attempts.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name("attempts.parquet.aside")
    ledger.attempts_frame().write_parquet(aside, compression="zstd")
    aside.replace(path)
    return path


class _ExtractRun:
    """The deliveries of one extract in one run."""

    def __init__(
        self,
        landing: Path,
        ledger: BatchLedger,
        key: TokenKey,
        contract: SystemContract,
        extract: Extract,
        deliveries: Sequence[Delivered],
        last: Sequence[Attempt],
        known: dict[str, tuple[int, int, Content]],
        run_id: str,
        again: Sequence[str],
    ) -> None:
        self.landing = landing
        self.ledger = ledger
        self.key = key
        self.contract = contract
        self.extract = extract
        self.run_id = run_id
        self.folder = ledger.folder(extract.system, extract.name)
        self.dialect = _dialect(contract.delivery)
        self.known = known
        self.is_remade = False
        self._kept_bytes = 0
        last_of = {attempt.file: attempt for attempt in last}
        here = {delivered.file for delivered in deliveries}
        self.gone = [attempt for attempt in last if attempt.file not in here and _had_effect(attempt)]
        self.files = [self._file(delivered, last_of.get(delivered.file), again) for delivered in deliveries]

    # Looking at deliveries --------------------------------------------------------------------------------------------

    def _file(self, delivered: Delivered, last: Attempt | None, again: Sequence[str]) -> _File:
        size, modified, content = self.known.get(delivered.file, (-1, -1, None))
        is_same = content is not None and (size, modified) == (delivered.size, delivered.modified)
        is_new = not (
            is_same
            and last is not None
            and content is not None
            and last.attempt_id == self._attempt_id(delivered, content)
            and delivered.file not in again
        )
        file = _File(delivered, last, is_new, delivered.file in again, content if is_same else None)
        if not is_new and last is not None:
            file.rows = last.rows_delivered
            file.refusal = last.reason if is_refused_whole(last) else None
            file.text_size = delivered.size * (_ZIP_GROWTH if self.contract.delivery.is_zip else 1)
        return file

    def _is_known(self, file: _File) -> bool:
        """Whether a delivery turned out to be what it was: a copy made anew, say, with another time."""
        assert file.content is not None
        if not file.is_again and file.last is not None:
            file.is_new = file.last.attempt_id != self._attempt_id(file.delivered, file.content)
        return not file.is_new

    def _attempt_id(self, delivered: Delivered, content: Content) -> str:
        says = delivered.stated.fingerprint if delivered.stated else ""
        identity = [delivered.file, content.file_hash, self.extract.version, says]
        return hashlib.md5("\n".join(identity).encode()).hexdigest()

    def _fetch(self, file: _File) -> list[tuple[str, bytes]]:
        """Names (as `_file` has them) and bytes of a delivery's texts.

        Raises:
            Unreadable: a zip is damaged.
        """
        if file.parts is not None:
            return file.parts
        content = (self.landing / file.delivered.file).read_bytes()
        return self._parts(file, content)

    def _parts(self, file: _File, content: bytes) -> list[tuple[str, bytes]]:
        if not self.contract.delivery.is_zip:
            return [(file.delivered.file, content)]
        return [(f"{file.delivered.file}!{name}", part) for name, part in bicc.parts(content)]

    def _look_at(self, file: _File) -> None:
        """Identity of a new delivery's content, and whether it must be refused."""
        content = (self.landing / file.delivered.file).read_bytes()
        file_hash = hashlib.sha256(content).hexdigest()
        stated = file.delivered.stated
        if not self.contract.delivery.is_zip:
            file.content = Content(file_hash, "", file_hash)
            parts = self._parts(file, content)
        else:
            md5 = hashlib.md5(content).hexdigest()
            try:
                parts = self._parts(file, content)
            except Unreadable as trouble:
                file.content = Content(file_hash, md5, file_hash)
                file.refusal = str(trouble)
                return
            inside = hashlib.sha256()
            for _, part in parts:
                inside.update(hashlib.sha256(part).digest())
            file.content = Content(file_hash, md5, inside.hexdigest())
            if not parts and (stated is None or stated.rows):
                file.refusal = "the zip holds no part"
                return
        file.text_size = sum(len(part) for _, part in parts)
        if self._kept_bytes + file.text_size <= _STRETCH:
            self._kept_bytes += file.text_size
            file.parts = parts
        file.refusal = self._refusal(file, parts)

    def _refusal(self, file: _File, parts: Sequence[tuple[str, bytes]]) -> str | None:
        file.rows = sum(count_rows(part, self.dialect) for _, part in parts)
        for _, part in parts:
            try:
                header = header_of(part, self.dialect)
            except Unreadable as trouble:
                return str(trouble)
            missing = [name for name in self.extract.must_have if name not in header]
            if missing:
                return f"required columns missing: {', '.join(missing)}"
            file.drift.extend((_plain_name(name), "added") for name in header if name not in self.extract.columns)
            file.drift.extend((name, "missing") for name in self.extract.columns if name not in header)
        stated = file.delivered.stated
        if stated is None:
            return None
        if stated.rows is not None and file.rows < stated.rows:
            return f"{file.rows} rows, the manifest states {stated.rows}"
        is_whole = stated.hash is not None and file.content is not None and stated.hash == self._hash_of(file.content)
        if file.rows and not self.contract.delivery.is_zip and not is_whole and any(is_cut(part) for _, part in parts):
            return "cut: the last line has no end"
        return None

    def _hash_of(self, content: Content) -> str:
        return content.md5 if self.contract.delivery.is_zip else content.file_hash

    # Deciding ---------------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        """What becomes of every delivery, in delivery order (rule INT-03 tells a duplicate from a repeated window)."""
        first: dict[str, str] = {}
        before: _File | None = None
        for file in self.files:
            if file.refusal is not None:
                file.fate = "refused"
                continue
            if file.rows == 0:
                file.fate, before = "no_rows", None
                continue
            file.duplicate_of = first.setdefault(file.content_hash, file.delivered.file)
            if file.duplicate_of == file.delivered.file:
                file.duplicate_of = None
            is_repeat = before is not None and file.content_hash == before.content_hash
            is_window = is_repeat and before is not None and self._repeats(before.delivered, file.delivered)
            before = file
            if file.duplicate_of is None:
                file.fate = "read"
            elif self.extract.load == "snapshot":
                # An older picture delivered again is what the source holds now; only the very last one brings nothing.
                file.fate = "window_repeat" if is_repeat else "read"
            elif is_window:
                file.fate = "window_repeat"
            else:
                file.fate = "duplicate"

    def _repeats(self, before: Delivered, delivered: Delivered) -> bool:
        """Whether a delivery may hold what the one before it held: its re-pull or window covers the same time."""
        way = self.contract.delivery.repeats
        slots = self.contract.delivery.window_slots
        if way != "window" or not slots or delivered.slot is None:
            return way != "never"
        # A window reaches back into the slot before and no further.
        earlier = [slot for slot in slots if slot < delivered.slot]
        day = delivered.folder_date if earlier else delivered.folder_date - timedelta(days=1)
        return before.moment >= f"{day:%Y%m%d}/{max(earlier or slots)}"

    def _has_effect(self, file: _File) -> bool:
        return file.fate == "read" or (file.fate == "no_rows" and self._empties(file))

    def _empties(self, file: _File) -> bool:
        """Whether a snapshot without rows means that every key is gone."""
        return file.fate == "no_rows" and self.extract.leaves_tombstones and self.extract.may_be_empty

    def _start(self) -> int | None:
        """Number of the first delivery from which batches are made; None when nothing lands."""
        for number, file in enumerate(self.files):
            had = file.last is not None and _had_effect(file.last)
            if file.is_new and (self._has_effect(file) or had):
                return number
            if not file.is_new and file.last is not None and had and not self._has_effect(file):
                return number
            if not file.is_new and file.last is not None and file.last.outcome != "landed" and self._is_promoted(file):
                return number
        return None

    def _is_promoted(self, file: _File) -> bool:
        """Whether a delivery that was ignored before must be read now, because the one it repeated changed."""
        assert file.last is not None
        ignored = file.last.outcome == "ignored_duplicate" or file.last.is_window_repeat
        return ignored and file.fate == "read"

    def _is_seen_otherwise(self, file: _File) -> bool:
        """Whether a delivery that brought nothing is now a duplicate of another one, or of none."""
        if file.last is None or file.fate not in ("duplicate", "window_repeat"):
            return False
        return (file.last.duplicate_of, file.last.is_window_repeat) != (file.duplicate_of, self._is_window_repeat(file))

    def _is_window_repeat(self, file: _File) -> bool:
        return file.fate == "window_repeat" and self.extract.load != "snapshot"

    # Making -----------------------------------------------------------------------------------------------------------

    def make(self) -> list[Attempt]:
        """Look, decide, read and enter; returns the attempts of this run."""
        new = [file for file in self.files if file.is_new]
        if not new:
            return []
        for file in new:
            self._look_at(file)
        looked_at = new
        new = [file for file in new if not self._is_known(file)]
        self._decide()
        start = self._start()
        parts = self.ledger.parts(self.extract.system, self.extract.name)
        removed: list[Part] = []
        touched = [file for file in self.files if file.is_new or self._is_seen_otherwise(file)]
        if start is not None:
            removed = [part for part in parts if part.last >= self.files[start].position]
            if any(attempt.position >= self.files[start].position for attempt in self.gone):
                # A delivery landed earlier is not here any more: what it brought stays, only new deliveries are read.
                removed = []
            else:
                rest = self.files[start:]
                touched = [file for file in touched if file.position < rest[0].position] + rest
        chosen = [file for file in touched if self._has_effect(file)] if start is not None else []
        kept = [part for part in parts if part not in removed]
        outcomes, added = self._land(chosen, kept, removed, self.files[start].position if start is not None else None)
        self.is_remade = bool(removed)
        if not removed:
            added, removed = self._merge(kept, added)
        attempts: list[Attempt] = []
        refused: dict[str, list[tuple[str, BadRow]]] = {}
        for file in touched:
            attempt, bad = self._attempt(file, outcomes.get(file.delivered.file))
            attempts.append(attempt)
            if bad:
                refused[attempt.attempt_id] = bad
        attempts.sort(key=lambda attempt: attempt.position)
        contents = {
            file.delivered.file: (file.delivered.size, file.delivered.modified, file.content)
            for file in looked_at
            if file.content is not None
        }
        drift = [
            (self.extract.system, self.extract.name, column, kind, file.delivered.file)
            for file in new
            if file.refusal is None
            for column, kind in file.drift
        ]
        self.ledger.enter(attempts, refused, contents, added, removed, drift)
        return attempts

    def _land(
        self, chosen: Sequence[_File], kept: Sequence[Part], removed: Sequence[Part], start: tuple[str, str] | None
    ) -> tuple[dict[str, _Outcome], list[Part]]:
        """Land deliveries after the parts that are kept, and after what stood before `start` in those that are not."""
        before = [self._path(part.part) for part in kept]
        outcomes: dict[str, _Outcome] = {}
        added: list[Part] = []

        def add(frame: pl.DataFrame) -> None:
            if frame.height:
                name = write_part(self.folder, frame, self.extract)
                before.append(self._path(name))
                added.append(self._part(name, frame))

        for part in removed:
            if start is not None and part.first < start:
                add(self._rows_before(part, start))
        for stretch in _stretches(chosen):
            add(self._land_stretch(stretch, before, outcomes))
            for file in stretch:
                file.parts = None
        return outcomes, added

    def _path(self, part: str) -> Path:
        """Where a part lies, aside or shown."""
        aside = self.folder / f"{part}.parquet{landing_rule.ASIDE}"
        return aside if aside.exists() else self.folder / f"{part}.parquet"

    def _rows_before(self, part: Part, start: tuple[str, str]) -> pl.DataFrame:
        import polars as pl

        moment, file = pl.col("_delivered"), pl.col("_file").str.split("!").list.first()
        is_before = (moment < start[0]) | ((moment == start[0]) & (file < start[1]))
        return pl.scan_parquet(self._path(part.part)).filter(is_before).collect()

    def _merge(self, kept: Sequence[Part], added: Sequence[Part]) -> tuple[list[Part], list[Part]]:
        """Parts to enter and kept parts to remove, so that an extract that grows daily stays in few files.

        The newest parts become one when there are many; a part joins others only when it is no more than twice what
        is newer, so each row is written again a few times in all.
        """
        import polars as pl

        if not added or len(kept) + len(added) <= _MOST_PARTS:
            return list(added), []
        total = sum(part.rows for part in added)
        merged: list[Part] = []
        for part in reversed(kept):
            if part.rows > 2 * total or total + part.rows > _LARGEST_MERGE:
                break
            if part.contract_version != self.extract.version:
                break
            merged.insert(0, part)
            total += part.rows
        if not merged:
            return list(added), []
        frame = pl.concat([pl.read_parquet(self._path(part.part)) for part in (*merged, *added)])
        name = write_part(self.folder, frame.sort("_delivered", "_file", "_line", maintain_order=True), self.extract)
        for part in added:
            if part.part != name:
                (self.folder / f"{part.part}.parquet{landing_rule.ASIDE}").unlink(missing_ok=True)
        return [self._part(name, frame)], merged

    def _part(self, name: str, frame: pl.DataFrame) -> Part:
        import polars as pl

        batches = (
            frame.group_by(
                pl.col("_delivered").alias("moment"), pl.col("_file").str.split("!").list.first().alias("file")
            )
            .agg(pl.col("_batch_id").first(), pl.len())
            .sort("moment", "file")
        )
        return Part(
            name, self.extract.system, self.extract.name, self.extract.version, frame.height, tuple(batches.iter_rows())
        )

    def _land_stretch(
        self, stretch: Sequence[_File], before: Sequence[Path], outcomes: dict[str, _Outcome]
    ) -> pl.DataFrame:
        import polars as pl

        rows, names = self._read(stretch, outcomes)
        good, bad = split(self.extract, rows) if rows.height else (rows, [])
        for row in bad:
            name, file = names[row.index]
            outcomes[file.delivered.file].bad.append((name, row))
        is_snapshot = self.extract.leaves_tombstones
        numbers = {file.delivered.file: number for number, file in enumerate(stretch)}
        texts = self._texts(names, numbers)
        landed = landed_frame(self.extract, good, self.key)
        landed = landed.with_columns(
            hashes(landed, self.extract.identity).alias("_key_hash"),
            hashes(landed, self.extract.landed_columns).alias("_row_hash"),
        ).join(texts, on="_text", how="left", maintain_order="left")
        state = state_of(before, None if is_snapshot else landed["_key_hash"])
        whole = [not outcomes[file.delivered.file].has_ragged for file in stretch] if is_snapshot else []
        versions = new_versions(
            self.extract, landed, state, whole, self._spared(rows, bad, names, numbers) if whole else None
        )
        fresh = landed.with_columns(_op=pl.lit("U")).filter(versions.lands)
        tombstones = self._tombstones(versions.gone, landed, before, stretch)
        frame = pl.concat([fresh.select(tombstones.columns), tombstones]).sort(
            "_snapshot", "_file", "_line", maintain_order=True
        )
        for name, op, count in (
            frame.select(pl.col("_file").str.split("!").list.first(), "_op").group_by("_file", "_op").len().iter_rows()
        ):
            if op == "U":
                outcomes[name].landed = count
            else:
                outcomes[name].tombstoned = count
        return frame

    def _spared(
        self, rows: pl.DataFrame, bad: Sequence[BadRow], names: Sequence[tuple[str, _File]], numbers: dict[str, int]
    ) -> pl.DataFrame | None:
        """Keys of refused rows that did split, with the number of their delivery: a bad value does not mean gone."""
        import polars as pl

        if not bad:
            return None
        places = pl.DataFrame(
            {"_text": [row.index for row in bad], "_line": [row.line for row in bad]},
            schema={"_text": pl.Int64, "_line": pl.Int64},
        ).unique()
        refused = landed_frame(self.extract, rows.join(places, on=["_text", "_line"], how="semi"), self.key)
        return (
            refused.with_columns(hashes(refused, self.extract.identity).alias("_key_hash"))
            .join(self._texts(names, numbers), on="_text", how="left")
            .select("_key_hash", "_snapshot")
            .unique()
        )

    def _texts(self, names: Sequence[tuple[str, _File]], numbers: dict[str, int]) -> pl.DataFrame:
        import polars as pl

        return pl.DataFrame(
            {
                "_text": list(range(len(names))),
                "_file": [name for name, _ in names],
                "_delivered": [file.delivered.moment for _, file in names],
                "_folder_date": [file.delivered.folder_date for _, file in names],
                "_batch_id": [self._batch_id(file) for _, file in names],
                "_snapshot": [numbers[file.delivered.file] for _, file in names],
            },
            schema={
                "_text": pl.Int64,
                "_file": pl.String,
                "_delivered": pl.String,
                "_folder_date": pl.Date,
                "_batch_id": pl.String,
                "_snapshot": pl.Int64,
            },
        )

    def _batch_id(self, file: _File) -> str:
        return hashlib.sha256(f"{self.extract.feed}|{file.content_hash}|{self.extract.version}".encode()).hexdigest()[
            :32
        ]

    def _read(
        self, stretch: Sequence[_File], outcomes: dict[str, _Outcome]
    ) -> tuple[pl.DataFrame, list[tuple[str, _File]]]:
        """Rows of the stretch in delivery order with null tokens as null, and the texts they come from."""
        import polars as pl

        columns = self.extract.read_columns
        texts: list[Text] = []
        names: list[tuple[str, _File]] = []
        for file in stretch:
            outcomes[file.delivered.file] = _Outcome()
            for name, part in sorted(self._fetch(file)) if file.rows else ():
                texts.append(Text(len(names), part))
                names.append((name, file))
        frames: list[pl.DataFrame] = [
            pl.DataFrame(
                schema={**{column.name: pl.String for column in columns}, "_text": pl.Int64, "_line": pl.Int64}
            )
        ]
        for parsed in parse(texts, self.dialect):
            for row in parsed.bad:
                name, file = names[row.index]
                outcome = outcomes[file.delivered.file]
                outcome.bad.append((name, row))
                outcome.delivered += 1
                outcome.has_ragged = True
            absent = [pl.lit(None, pl.String).alias(each.name) for each in columns if each.name not in parsed.header]
            frames.append(
                parsed.frame.with_columns(absent)
                .with_columns(null_tokens(column, self.contract.delivery) for column in columns)
                .select(*(column.name for column in columns), "_text", "_line")
            )
        rows = pl.concat(frames)
        if len(frames) > 2:
            rows = rows.sort("_text", "_line")
        self._count(rows, names, outcomes)
        return rows, names

    def _count(self, rows: pl.DataFrame, names: Sequence[tuple[str, _File]], outcomes: dict[str, _Outcome]) -> None:
        import polars as pl

        summed = self.extract.control_total
        total = (
            pl.col(summed).cast(pl.Decimal(38, 6), strict=False).sum()
            if summed
            else pl.lit(Decimal(0), pl.Decimal(38, 6))
        )
        for text, count, amount in rows.group_by("_text").agg(pl.len(), total.alias("total")).iter_rows():
            outcome = outcomes[names[text][1].delivered.file]
            outcome.delivered += count
            outcome.total = (outcome.total or Decimal(0)) + amount

    def _tombstones(
        self, gone: pl.DataFrame, landed: pl.DataFrame, before: Sequence[Path], stretch: Sequence[_File]
    ) -> pl.DataFrame:
        """A row for every key that went: key columns filled, at line 0 of the delivery that misses it."""
        import polars as pl

        columns = [*self.extract.landed_columns, *landing_rule.META_COLUMNS, "_snapshot"]
        identity = list(self.extract.identity)
        kinds = {name: landed.schema.get(name, pl.String) for name in columns}
        if gone.height == 0:
            return pl.DataFrame(schema=kinds)
        here = gone.filter(pl.col("_row").is_not_null())
        there = gone.filter(pl.col("_row").is_null())
        values = [
            here.select("_key_hash", "_snapshot").hstack(landed[here["_row"].to_list()].select(identity)),
            there.select("_key_hash", "_snapshot").join(
                state_of(before, there["_key_hash"], identity).select("_key_hash", *identity),
                on="_key_hash",
                how="left",
            ),
        ]
        files = pl.DataFrame(
            {
                "_snapshot": list(range(len(stretch))),
                "_file": [file.delivered.file for file in stretch],
                "_delivered": [file.delivered.moment for file in stretch],
                "_folder_date": [file.delivered.folder_date for file in stretch],
                "_batch_id": [self._batch_id(file) for file in stretch],
            }
        )
        rest = [pl.lit(None, pl.String).alias(name) for name in self.extract.landed_columns if name not in identity]
        return (
            pl.concat(values)
            .join(files, on="_snapshot", how="left")
            .with_columns(
                *rest,
                _line=pl.lit(0, pl.Int64),
                _op=pl.lit("D"),
                _row_hash=pl.lit(0, pl.UInt64),
            )
            .select(columns)
            .cast(kinds)  # type: ignore[arg-type]
            .sort("_snapshot", "_key_hash")
        )

    # Outcomes ---------------------------------------------------------------------------------------------------------

    def _attempt(self, file: _File, outcome: _Outcome | None) -> tuple[Attempt, list[tuple[str, BadRow]]]:
        assert file.content is not None
        delivered, stated = file.delivered, file.delivered.stated
        bad = outcome.bad if outcome is not None else []
        refused_rows = len({(name, row.line) for name, row in bad})
        rows = outcome.delivered if outcome is not None else file.rows
        landed = outcome.landed if outcome is not None else 0
        quarantined = rows if file.fate == "refused" else refused_rows
        attempt = Attempt(
            attempt_id=self._attempt_id(delivered, file.content),
            run_id=self.run_id,
            system=self.extract.system,
            extract=self.extract.name,
            file=delivered.file,
            folder_date=delivered.folder_date,
            slot=delivered.slot,
            file_hash=file.content.file_hash,
            content_hash=file.content.content_hash,
            contract_version=self.extract.version,
            outcome=_outcome(file.fate, rows, landed, quarantined),
            reason=_reason(file, rows, quarantined),
            rows_delivered=rows,
            rows_landed=landed,
            rows_repeated=rows - landed - quarantined,
            rows_quarantined=quarantined,
            rows_tombstoned=outcome.tombstoned if outcome is not None else 0,
            manifest_rows=stated.rows if stated else None,
            manifest_hash_ok=self._is_hash_right(file, outcome),
            manifest_says=stated.fingerprint if stated else "",
            batch_id=self._batch_id(file),
            duplicate_of=file.duplicate_of,
            is_snapshot=self.extract.load == "snapshot",
            is_window_repeat=self._is_window_repeat(file),
        )
        return attempt, bad

    def _is_hash_right(self, file: _File, outcome: _Outcome | None) -> bool | None:
        stated = file.delivered.stated
        if stated is None or file.content is None:
            return None
        if stated.hash is not None:
            return stated.hash == self._hash_of(file.content)
        if stated.total is None or file.fate == "refused":
            return None
        if file.rows and outcome is None:
            outcomes: dict[str, _Outcome] = {}
            self._read([file], outcomes)
            outcome = outcomes[file.delivered.file]
        if outcome is not None and outcome.has_ragged:
            # A row that does not split has no quantity to add: the total cannot be told.
            return None
        try:
            return Decimal(stated.total) == ((outcome.total if outcome else None) or Decimal(0))
        except InvalidOperation:
            return False


def _dialect(delivery: Delivery) -> Dialect:
    return Dialect(delivery.delimiter, delivery.quote, delivery.encoding)


def _plain_name(name: str) -> str:
    """A header name fit for a notice: a line of data that stands where the header should be must not be told."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", name) else "(not a column name)"


def _had_effect(attempt: Attempt) -> bool:
    return attempt.rows_landed > 0 or attempt.rows_tombstoned > 0


def _stretches(files: Sequence[_File]) -> Iterator[list[_File]]:
    """Deliveries in order, cut where their text grows too large to be held at once."""
    stretch: list[_File] = []
    size = 0
    for file in files:
        if stretch and size + file.text_size > _STRETCH:
            yield stretch
            stretch, size = [], 0
        stretch.append(file)
        size += file.text_size
    if stretch:
        yield stretch


def _outcome(fate: Fate, rows: int, landed: int, quarantined: int) -> str:
    match fate:
        case "refused":
            return "quarantined"
        case "no_rows":
            return "no_rows"
        case "duplicate":
            return "ignored_duplicate"
        case "window_repeat":
            return "repeated"
    if landed:
        return "landed"
    return "quarantined" if quarantined == rows else "repeated"


def _reason(file: _File, rows: int, quarantined: int) -> str | None:
    if file.fate == "refused":
        return file.refusal
    if file.fate == "duplicate":
        return "content delivered before"
    if file.fate == "read" and rows and quarantined == rows:
        return EVERY_ROW_REFUSED
    return None


__all__ = ["EVERY_ROW_REFUSED", "ExtractCounts", "IngestReport", "ingest", "is_refused_whole"]
