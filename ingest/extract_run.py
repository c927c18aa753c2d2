"""The deliveries of one extract in one run: what becomes of each, and what lands of it.

Here: whether a delivery is new, a duplicate, a repeat or refused; from where on batches are made; from rows to parts;
the outcome of each attempt.
Not here: the order of extracts and the report (`run`), a delivery's bytes (`sources`), reading (`formats`), judging
(`shape`), tokens (`privacy`), the landing rule and the writing of parts (`landing`).

What lands is a function of the set of deliveries alone. An extract has its deliveries in order; the first one that is
new, changed or read under another contract decides from where on the extract's batches are made (usually: just the new
ones, at the end). Each extract enters the ledger in one transaction, so a killed run costs time and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ingest import landing as landing_rule
from ingest.batches import EVERY_ROW_REFUSED, Attempt, Batch, BatchLedger, Content, Part
from ingest.coded import coding, of_rows, plain, spread
from ingest.contract import Extract
from ingest.formats import delimited, format_of
from ingest.formats.reading import BadRow, Reading
from ingest.landing import hashed, key_hashes, new_versions, state_of, versions_of, write_part
from ingest.privacy import TokenKey, landed_frame
from ingest.shape import split, without_null_tokens
from ingest.sources import Source, Sources, Stretch, is_stated_hash
from ingest.transports.directory import Delivered, Stated

if TYPE_CHECKING:
    import polars as pl

# An extract with more parts than this has its newest merged, up to so many rows at once.
MOST_PARTS = 24
LARGEST_MERGE = 5_000_000

Fate = Literal["refused", "no_rows", "duplicate", "window_repeat", "read"]


@dataclass
class _File:
    """One delivery of an extract while a run decides about it."""

    source: Source
    last: Attempt | None
    is_new: bool
    is_again: bool
    refusal: str | None = None
    rows: int = 0
    is_empty: bool = False
    """There is nothing in it, for this extract or for any other."""
    fate: Fate = "read"
    duplicate_of: str | None = None

    @property
    def delivered(self) -> Delivered:
        return self.source.delivered

    @property
    def content(self) -> Content:
        assert self.source.content is not None
        return self.source.content

    @property
    def position(self) -> tuple[str, str]:
        return self.delivered.position

    @property
    def identity(self) -> str:
        """What the delivery says: its content, and the moment that the manifest gives to deletions."""
        return self.content.content_hash + self.delivered.deleted_at

    def recall(self) -> None:
        """Take what the last attempt found: the delivery is what it was."""
        assert self.last is not None
        self.rows = self.last.rows_delivered
        self.refusal = self.last.reason if self.last.is_refused_whole else None
        self.is_empty = self.last.outcome == "no_rows" and self.last.reason is None


@dataclass
class _Outcome:
    """Rows of one delivery after it was read."""

    delivered: int = 0
    landed: int = 0
    tombstoned: int = 0
    refused: int = 0
    bad: list[tuple[str, BadRow]] = field(default_factory=list)
    """File or zip part, and the row: one entry a broken rule."""
    total: Decimal | None = None
    has_ragged: bool = False


class ExtractRun:
    """The deliveries of one extract in one run: `prepare`, `land` for every stretch, `enter`."""

    def __init__(
        self,
        ledger: BatchLedger,
        key: TokenKey,
        sources: Sources,
        extract: Extract,
        deliveries: Sequence[Delivered],
        last: Sequence[Attempt],
        run_id: str,
        again: Sequence[str],
        writer: ThreadPoolExecutor,
    ) -> None:
        """`writer` writes parts, one at a time, while the next stretch is judged."""
        self.writer = writer
        self.ledger = ledger
        self.key = key
        self.sources = sources
        self.extract = extract
        self.run_id = run_id
        self.folder = ledger.folder(extract.system, extract.name)
        self.is_remade = False
        last_of = {attempt.file: attempt for attempt in last}
        here = {delivered.file for delivered in deliveries}
        self.gone = [attempt for attempt in last if attempt.file not in here and _had_effect(attempt)]
        self.files = [self._file(delivered, last_of.get(delivered.file), again) for delivered in deliveries]
        self._by_name = {file.delivered.file: file for file in self.files}
        self._looked_at: list[_File] = []
        self._touched: list[_File] = []
        self._chosen: dict[str, _File] = {}
        self._outcomes: dict[str, _Outcome] = {}
        self._kept: list[Part] = []
        self._removed: list[Part] = []
        self._added: list[Part] = []
        self._writing: tuple[Future[str], Sequence[Batch]] | None = None
        """The part that is on its way to the disk, and what it holds."""
        self._versions: list[pl.DataFrame] = []
        """Keys and hashes of what this run adds, so that no part of it is read again for them."""

    # Looking at deliveries --------------------------------------------------------------------------------------------

    def _file(self, delivered: Delivered, last: Attempt | None, again: Sequence[str]) -> _File:
        source = self.sources.of(delivered)
        is_new = not (
            source.is_same
            and last is not None
            and source.content is not None
            and last.attempt_id == self._attempt_id(delivered, source.content)
            and delivered.file not in again
        )
        file = _File(source, last, is_new, delivered.file in again)
        if not is_new:
            file.recall()
        return file

    def _attempt_id(self, delivered: Delivered, content: Content) -> str:
        identity = [delivered.file, content.file_hash, self.extract.version, delivered.said]
        return hashlib.md5("\n".join(identity).encode()).hexdigest()

    def _look_at(self, file: _File) -> bool:
        """Look at a delivery that seems new; whether it is, and not what it was with another time."""
        self.sources.look_at(file.source)
        look = file.source.look
        assert look is not None
        if not file.is_again and file.last is not None:
            file.is_new = file.last.attempt_id != self._attempt_id(file.delivered, file.content)
        if file.is_new:
            file.refusal = file.source.refusal
            file.rows = look.rows.get(self.extract.name, 0)
            file.is_empty = not any(look.rows.values())
        else:
            file.recall()
        return file.is_new

    # Deciding ---------------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        """What becomes of every delivery, in delivery order (rule INT-03 tells a duplicate from a repeated window)."""
        first: dict[tuple[str, str], str] = {}
        latest: dict[str, _File | None] = {}
        for file in self.files:
            if file.refusal is not None:
                file.fate = "refused"
                continue
            scope = file.delivered.scope
            if file.is_empty:
                file.fate = "no_rows"
                if self.extract.load != "snapshot" or self._empties(file):
                    latest[scope] = None
                # Else it is a picture that failed to fill: like a refused one, it says nothing.
                continue
            before = latest.get(scope)
            file.duplicate_of = first.setdefault((scope, file.identity), file.delivered.file)
            if file.duplicate_of == file.delivered.file:
                file.duplicate_of = None
            is_repeat = before is not None and file.identity == before.identity
            is_window = is_repeat and before is not None and self._repeats(before.delivered, file.delivered)
            latest[scope] = file
            if file.duplicate_of is None:
                file.fate = "read"
            elif self.extract.load == "snapshot":
                # An older picture delivered again is what the source holds now; only the very last one brings nothing.
                file.fate = "window_repeat" if is_repeat else "read"
            else:
                file.fate = "window_repeat" if is_window else "duplicate"

    def _repeats(self, before: Delivered, delivered: Delivered) -> bool:
        """Whether a delivery may hold what the one before it held: its re-pull or window covers the same time."""
        way = self.extract.delivery.repeats
        slots = self.extract.delivery.window_slots
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
        ignored = file.last.outcome in ("ignored_duplicate", "no_rows") and file.last.duplicate_of is not None
        return (ignored or file.last.is_window_repeat) and file.fate == "read"

    def _is_seen_otherwise(self, file: _File) -> bool:
        """Whether a delivery that brought nothing is now a duplicate of another one, or of none."""
        if file.last is None or file.fate not in ("duplicate", "window_repeat"):
            return False
        return (file.last.duplicate_of, file.last.is_window_repeat) != (file.duplicate_of, self._is_window_repeat(file))

    def _is_window_repeat(self, file: _File) -> bool:
        return file.fate == "window_repeat" and self.extract.load != "snapshot"

    # Making -----------------------------------------------------------------------------------------------------------

    def prepare(self) -> list[Source]:
        """Look and decide; returns the deliveries that must be read."""
        seeming = [file for file in self.files if file.is_new]
        if not seeming:
            return []
        self._looked_at = seeming
        new = [file for file in seeming if self._look_at(file)]
        self._decide()
        start = self._start()
        self._kept = self.ledger.parts(self.extract.system, self.extract.name)
        self._touched = [file for file in self.files if file.is_new or self._is_seen_otherwise(file)]
        chosen: list[_File] = []
        if start is not None:
            position = self.files[start].position
            if not any(attempt.position >= position for attempt in self.gone):
                self._removed = [part for part in self._kept if part.last >= position]
                self._kept = [part for part in self._kept if part not in self._removed]
                rest = self.files[start:]
                self._touched = [file for file in self._touched if file.position < position] + rest
            # Else a delivery landed earlier is not here any more: what it brought stays, only new ones are read.
            chosen = [file for file in self._touched if self._has_effect(file)]
        self._drift = [
            (self.extract.system, self.extract.name, column, kind, file.delivered.file)
            for file in new
            if file.refusal is None and file.source.look is not None
            for column, kind in file.source.look.drift
        ]
        for part in self._removed:
            position = self.files[start or 0].position
            if part.first < position:
                before = [batch for batch in part.batches if batch[:2] < position]
                self._add(self._rows_before(part, position), before)
        self._chosen = {file.delivered.file: file for file in chosen}
        self._outcomes = {file.delivered.file: _Outcome() for file in chosen}
        return [file.source for file in chosen]

    def land(self, stretch: Stretch, reading: Reading | None) -> None:
        """Land what a stretch holds for this extract; other deliveries in it are not its own."""
        own = [index for index, source in enumerate(stretch.sources) if source.delivered.file in self._chosen]
        if not own:
            return
        scopes = sorted({stretch.sources[index].delivered.scope for index in own})
        if self.extract.leaves_tombstones and len(scopes) > 1:
            for scope in scopes:
                self._land(
                    [index for index in own if stretch.sources[index].delivered.scope == scope], stretch, reading
                )
        else:
            self._land(own, stretch, reading)

    def enter(self) -> list[Attempt]:
        """Enter parts and outcomes into the ledger; returns the attempts of this run."""
        if not self._looked_at:
            return []
        self._finish()
        self.is_remade = bool(self._removed)
        added, removed = self._added, self._removed
        if not removed:
            added, removed = self._merge(self._kept, added)
        attempts: list[Attempt] = []
        refused: dict[str, list[tuple[str, BadRow]]] = {}
        for file in self._touched:
            attempt, bad = self._attempt(file, self._outcomes.get(file.delivered.file))
            attempts.append(attempt)
            if bad:
                refused[attempt.attempt_id] = bad
        attempts.sort(key=lambda attempt: attempt.position)
        contents = {
            file.delivered.file: (file.delivered.size, file.delivered.modified, file.content)
            for file in self._looked_at
        }
        self.ledger.enter(attempts, refused, contents, added, removed, self._drift)
        return attempts

    def _add(self, frame: pl.DataFrame, batches: Sequence[Batch]) -> None:
        """Have rows written, once those before them are."""
        if frame.height:
            self._finish()
            self._versions.append(versions_of(frame))
            self._writing = self.writer.submit(write_part, self.folder, frame, self.extract), batches

    def _finish(self) -> None:
        """Wait until what was added is on disk."""
        if self._writing is not None:
            (writing, batches), self._writing = self._writing, None
            self._added.append(self._part(writing.result(), batches))

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

        if not added or len(kept) + len(added) <= MOST_PARTS:
            return list(added), []
        total = sum(part.rows for part in added)
        merged: list[Part] = []
        for part in reversed(kept):
            if part.rows > 2 * total or total + part.rows > LARGEST_MERGE:
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
        rows: dict[tuple[str, str, str], int] = {}
        for moment, file, batch_id, count in (each for part in (*merged, *added) for each in part.batches):
            rows[moment, file, batch_id] = rows.get((moment, file, batch_id), 0) + count
        return [self._part(name, ((*batch, count) for batch, count in rows.items()))], merged

    def _part(self, name: str, batches: Iterable[Batch]) -> Part:
        extract, in_order = self.extract, tuple(sorted(batches))
        return Part(name, extract.system, extract.name, extract.version, sum(each[3] for each in in_order), in_order)

    def _land(self, own: Sequence[int], stretch: Stretch, reading: Reading | None) -> None:
        """Land texts of one scope."""
        import polars as pl

        extract = self.extract
        files = list(dict.fromkeys(stretch.sources[index].delivered.file for index in own))
        numbers = {file: number for number, file in enumerate(files)}
        rows = self._rows(own, stretch, reading)
        self._count(rows, stretch)
        good, bad = split(extract, rows) if rows.height else (rows, [])
        self._refuse(bad, stretch)
        landed = landed_frame(extract, good, self.key)
        texts = self._texts(own, stretch, numbers)
        landed = hashed(extract, landed).join(texts, on="_text", how="left", maintain_order="left")
        is_snapshot = extract.leaves_tombstones
        state = self._state(None if is_snapshot else landed["_key_hash"], stretch.sources[own[0]].delivered)
        whole = [not self._outcomes[file].has_ragged for file in files] if is_snapshot else []
        versions = new_versions(extract, landed, state, whole, self._spared(rows, bad, texts) if whole else None)
        fresh = landed if versions.lands.all() else landed.filter(versions.lands)
        counts = dict(fresh.group_by("_snapshot").len().iter_rows())
        for number, count in counts.items():
            self._outcomes[files[number]].landed += count
        # Texts stand in delivery order and rows in the order of their text.
        frame = fresh
        if versions.gone.height:
            tombstones = self._tombstones(versions.gone, landed, [self._chosen[file] for file in files])
            frame = pl.concat([fresh.select(tombstones.columns), tombstones]).sort(
                "_snapshot", "_file", "_line", maintain_order=True
            )
            for number, count in tombstones.group_by("_snapshot").len().iter_rows():
                self._outcomes[files[number]].tombstoned += count
                counts[number] = counts.get(number, 0) + count
        landing = [(self._chosen[files[number]], count) for number, count in counts.items()]
        self._add(frame, [(file.delivered.moment, file.delivered.file, self._batch_id(file), n) for file, n in landing])

    def _rows(self, own: Sequence[int], stretch: Stretch, reading: Reading | None) -> pl.DataFrame:
        """Rows of this extract in its own texts; what did not become rows is entered as refused."""
        import polars as pl

        columns = {column.name: pl.String for column in self.extract.read_columns}
        schema = {**columns, "_text": pl.Int64, "_line": pl.Int64, "_op": pl.String}
        if reading is None:
            return pl.DataFrame(schema=schema)
        mine = set(own)
        for row in reading.bad:
            if row.index not in mine:
                continue
            outcome = self._outcomes[stretch.sources[row.index].delivered.file]
            outcome.bad.append((stretch.names[row.index], row))
            outcome.delivered += 1
            outcome.refused += 1
            outcome.has_ragged = True
        rows = reading.frame
        if len(mine) < len(stretch.texts):
            rows = rows.filter(pl.col("_text").is_in(own))
        if _is_delimited(self.extract):
            rows = without_null_tokens(rows, self.extract.read_columns, self.extract.delivery)
        if any(column.from_path for column in self.extract.read_columns):
            said = [self.extract.by_path(source.delivered.parts) for source in stretch.sources]
            rows = rows.with_columns(
                spread(pl.Series(name, [each[name] for each in said], dtype=pl.String), rows["_text"])
                for name in said[0]
            )
        if "_op" not in rows.columns:
            rows = rows.with_columns(_op=pl.lit("U"))
        return rows.select(list(schema))

    def _refuse(self, bad: Sequence[BadRow], stretch: Stretch) -> None:
        for row in bad:
            outcome = self._outcomes[stretch.sources[row.index].delivered.file]
            outcome.bad.append((stretch.names[row.index], row))
        for index, _ in {(row.index, row.row) for row in bad}:
            self._outcomes[stretch.sources[index].delivered.file].refused += 1

    def _count(self, rows: pl.DataFrame, stretch: Stretch) -> None:
        for text, count, amount in _totals(self.extract, rows):
            outcome = self._outcomes[stretch.sources[text].delivered.file]
            outcome.delivered += count
            outcome.total = (outcome.total or Decimal(0)) + amount

    def _state(self, keys: pl.Series | None, delivered: Delivered, columns: Sequence[str] = ()) -> pl.DataFrame:
        """Latest version of the keys so far; in a scope, of what came with this scope alone."""
        import polars as pl

        kept = [self._path(part.part) for part in self._kept]
        if not delivered.scope and not columns:
            return state_of(kept, keys, since=self._versions)
        self._finish()
        parts = [*kept, *(self._path(part.part) for part in self._added)]
        if not delivered.scope:
            return state_of(parts, keys, columns)
        name = _scope_folder(self.extract, delivered)
        folder = pl.col("_file").str.split("/").list.get(delivered.file.split("/").index(name), null_on_oob=True)
        return state_of(parts, keys, columns, where=folder == name)

    def _spared(self, rows: pl.DataFrame, bad: Sequence[BadRow], texts: pl.DataFrame) -> pl.DataFrame | None:
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
            refused.with_columns(key_hashes(self.extract, refused).alias("_key_hash"))
            .join(texts, on="_text", how="left")
            .select("_key_hash", "_snapshot")
            .unique()
        )

    def _texts(self, own: Sequence[int], stretch: Stretch, numbers: Mapping[str, int]) -> pl.DataFrame:
        """What stands beside every row of a text: one row a text."""
        import polars as pl

        delivered = [stretch.sources[index].delivered for index in own]
        texts = pl.DataFrame(
            {
                "_text": list(own),
                "_file": [stretch.names[index] for index in own],
                "_delivered": [each.moment for each in delivered],
                "_folder_date": [each.folder_date for each in delivered],
                "_batch_id": [self._batch_id(self._chosen[each.file]) for each in delivered],
                "_snapshot": [numbers[each.file] for each in delivered],
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
        return texts.with_columns(pl.col(name).cast(coding()) for name in ("_file", "_delivered", "_batch_id"))

    def _batch_id(self, file: _File) -> str:
        identity = f"{self.extract.feed}|{file.identity}|{self.extract.version}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    def _tombstones(self, gone: pl.DataFrame, landed: pl.DataFrame, files: Sequence[_File]) -> pl.DataFrame:
        """A row for every key that went: key columns filled, at line 0 of the delivery that misses it."""
        import polars as pl

        columns = [*self.extract.landed_columns, *landing_rule.META_COLUMNS, "_snapshot"]
        identity = list(self.extract.identity)
        kinds = {name: landed.schema.get(name, pl.String) for name in columns}
        here = gone.filter(pl.col("_row").is_not_null())
        there = gone.filter(pl.col("_row").is_null())
        values = [
            here.select("_key_hash", "_snapshot").hstack(plain(landed[here["_row"].to_list()].select(identity))),
            there.select("_key_hash", "_snapshot").join(
                self._state(there["_key_hash"], files[0].delivered, identity).select("_key_hash", *identity),
                on="_key_hash",
                how="left",
            ),
        ]
        missing = pl.DataFrame(
            {
                "_snapshot": list(range(len(files))),
                "_file": [file.delivered.file for file in files],
                "_delivered": [file.delivered.moment for file in files],
                "_folder_date": [file.delivered.folder_date for file in files],
                "_batch_id": [self._batch_id(file) for file in files],
            }
        )
        rest = [pl.lit(None, pl.String).alias(name) for name in self.extract.landed_columns if name not in identity]
        return (
            pl.concat(values)
            .join(missing, on="_snapshot", how="left")
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
        delivered, stated = file.delivered, self._stated(file)
        rows = self._rows_in(file)
        # A delivery that was not read brought nothing.
        read = outcome or _Outcome()
        quarantined = rows if file.fate == "refused" else read.refused
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
            outcome=_outcome(file.fate, rows, read.landed, quarantined),
            reason=_reason(file, rows, quarantined),
            rows_delivered=rows,
            rows_landed=read.landed,
            rows_repeated=rows - read.landed - quarantined,
            rows_quarantined=quarantined,
            rows_tombstoned=read.tombstoned,
            manifest_rows=stated.rows if stated else None,
            manifest_hash_ok=self._is_hash_right(file, outcome),
            manifest_says=delivered.said,
            batch_id=self._batch_id(file),
            duplicate_of=file.duplicate_of,
            is_snapshot=self.extract.load == "snapshot",
            is_window_repeat=self._is_window_repeat(file),
        )
        return attempt, read.bad

    def _rows_in(self, file: _File) -> int:
        """Rows in a delivery; in one whose content was delivered before, as many as there were read then."""
        if file.fate in ("duplicate", "window_repeat"):
            assert file.duplicate_of is not None
            return self._rows_in(self._by_name[file.duplicate_of])
        outcome = self._outcomes.get(file.delivered.file)
        return outcome.delivered if outcome is not None else file.rows

    def _stated(self, file: _File) -> Stated | None:
        """What manifest or trailer state of this extract's rows: they count those of the head extract."""
        delivered = file.delivered
        if delivered.extracts[0] != self.extract.name:
            return None
        if delivered.stated is not None or delivered.delivery.manifest != "none":
            return delivered.stated
        self.sources.look_at(file.source)
        trailer = file.source.look.trailer if file.source.look else None
        return Stated(trailer.rows, total=trailer.total) if trailer else None

    def _is_hash_right(self, file: _File, outcome: _Outcome | None) -> bool | None:
        stated, look = self._stated(file), file.source.look
        if stated is None:
            return None
        if look is not None and look.trailer is not None and look.trailer.agrees is not None:
            return look.trailer.agrees
        if stated.hash is not None:
            return is_stated_hash(file.delivered, file.content)
        if stated.total is None or file.fate == "refused":
            return None
        if outcome is None:
            outcome = self._total(file)
        if outcome.has_ragged:
            # A row that does not split has no quantity to add: the total cannot be told.
            return None
        try:
            return Decimal(stated.total) == (outcome.total or Decimal(0))
        except InvalidOperation:
            return False

    def _total(self, file: _File) -> _Outcome:
        """Control total of a delivery that is not landed, such as a duplicate."""
        outcome = _Outcome()
        if file.is_empty:
            return outcome
        delivery = self.extract.delivery
        # A record may take values from those of another extract, such as the header of its file.
        extracts = [self.sources.contract.extracts[name] for name in file.delivered.extracts]
        for stretch in self.sources.stretches([file.source]):
            reading = format_of(delivery).read(stretch.texts, delivery, extracts)[self.extract.name]
            outcome.has_ragged |= bool(reading.bad)
            for _, _, amount in _totals(self.extract, reading.frame):
                outcome.total = (outcome.total or Decimal(0)) + amount
        return outcome


def _is_delimited(extract: Extract) -> bool:
    """Whether the reader gives text as it stands, null tokens included; readers of documents give null themselves."""
    return format_of(extract.delivery) is delimited


def _totals(extract: Extract, rows: pl.DataFrame) -> list[tuple[int, int, Decimal]]:
    """Text, rows and sum of the control column."""
    import polars as pl

    name = extract.control_total
    if not name:
        return [(text, count, Decimal(0)) for text, count in rows["_text"].value_counts().iter_rows()]
    amounts = of_rows(rows[name], pl.col(name).cast(pl.Decimal(38, 6), strict=False))
    totals = rows.select("_text", total=amounts).group_by("_text").agg(pl.len(), pl.col("total").sum())
    return list(totals.iter_rows())


def _scope_folder(extract: Extract, delivered: Delivered) -> str:
    """The folder of a delivery's path that names its scope, such as `db2`."""
    pattern = next(each for each in extract.delivery.path.split("/") if f"{{{extract.snapshot_scope}}}" in each)
    return pattern.replace(f"{{{extract.snapshot_scope}}}", delivered.scope)


def _had_effect(attempt: Attempt) -> bool:
    return attempt.rows_landed > 0 or attempt.rows_tombstoned > 0


def _outcome(fate: Fate, rows: int, landed: int, quarantined: int) -> str:
    match fate:
        case "refused":
            return "quarantined"
        case "no_rows":
            return "no_rows"
        case "duplicate":
            return "ignored_duplicate" if rows else "no_rows"
        case "window_repeat":
            return "repeated"
    if landed:
        return "landed"
    if not rows:
        return "no_rows"
    return "quarantined" if quarantined == rows else "repeated"


def _reason(file: _File, rows: int, quarantined: int) -> str | None:
    if file.fate == "refused":
        return file.refusal
    if file.fate in ("read", "duplicate") and not rows:
        return "no row of this extract in it"
    if file.fate == "duplicate":
        return "content delivered before"
    if file.fate == "read" and quarantined == rows:
        return EVERY_ROW_REFUSED
    return None
