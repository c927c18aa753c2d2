"""One ingest: everything new in a landing directory becomes raw batches.

Here: which systems and extracts are looked at in which order, one ingest at a time, the token key, the report.
Not here: what becomes of a delivery and what lands of it (`extract_run`); how a file is found, read, judged,
tokenised or written; the modules named so do that.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest.batches import Attempt, BatchLedger
from ingest.clock import AsOf
from ingest.contract import Delivery, Extract, SystemContract, load_contracts
from ingest.extract_run import ExtractRun
from ingest.formats import format_of
from ingest.formats.reading import Reading
from ingest.landing import ensure_empty_sources
from ingest.memory import freed_memory_kept
from ingest.privacy import TokenKey, TokenKeyError
from ingest.shape import refuse_documents
from ingest.sources import Source, Sources, Stretch
from ingest.transports.directory import find

Progress = Callable[[str, int, int], None]


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
    with _one_at_a_time(lake), freed_memory_kept(), BatchLedger(lake) as ledger, ThreadPoolExecutor(1) as writer:
        key = _key(home, ledger)
        recovered = ledger.recover()
        ensure_empty_sources(lake, chosen)
        found = {system: find(landing, contract, as_of) for system, contract in chosen.items()}
        total = sum(len(files) for each in found.values() for files in each.deliveries.values())
        done = 0
        counts: list[ExtractCounts] = []
        remade: list[str] = []
        for system, contract in chosen.items():
            sources = Sources(landing, contract, ledger.contents(system))
            last: dict[str, list[Attempt]] = {}
            for attempt in ledger.latest_attempts(system):
                last.setdefault(attempt.extract, []).append(attempt)
            ledger.enter_waiting(system, found[system].waiting, run_id)
            for family in _families(contract):
                runs = [
                    ExtractRun(
                        ledger,
                        key,
                        sources,
                        extract,
                        found[system].deliveries[extract.name],
                        last.get(extract.name, []),
                        run_id,
                        again,
                        writer,
                    )
                    for extract in family
                ]
                _land(runs, sources, family[0].delivery)
                for run in runs:
                    attempts = run.enter()
                    if attempts:
                        counts.append(_counts(run.extract, attempts))
                    if run.is_remade:
                        remade.append(run.extract.feed)
                    done += len(run.files)
                    if progress is not None:
                        progress(run.extract.feed, done, total)
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
        files_refused=sum(attempt.is_refused_whole for attempt in attempts),
    )


def _write_attempts(ledger: BatchLedger) -> Path:
    path = ledger.lake / "meta" / "attempts.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name("attempts.parquet.aside")
    ledger.attempts_frame().write_parquet(aside, compression="zstd")
    aside.replace(path)
    return path


def _families(contract: SystemContract) -> list[list[Extract]]:
    """Extracts that are read from the same deliveries, together; the order is that of the contract."""
    families: dict[str, list[Extract]] = {}
    for extract in contract.extracts.values():
        is_shared = not extract.delivery.has_extract_in_path
        families.setdefault(extract.delivery.path if is_shared else extract.name, []).append(extract)
    return list(families.values())


def _land(runs: Sequence[ExtractRun], sources: Sources, delivery: Delivery) -> None:
    """Read every delivery that any of the extracts needs once, in order, and land each one's rows."""
    chosen: dict[str, Source] = {}
    for run in runs:
        chosen.update((source.delivered.file, source) for source in run.prepare())
    in_order = sorted(chosen.values(), key=lambda source: (source.delivered.scope, source.position))
    extracts = [run.extract for run in runs]

    def read(stretch: Stretch) -> dict[str, Reading]:
        texts = [text for text in stretch.texts if text.content]
        readings = format_of(delivery).read(texts, delivery, extracts)
        refuse_documents(extracts, readings, {text.index: text.extracts[0] for text in texts})
        return readings

    for stretch, readings in _ahead(sources.stretches(in_order), read):
        for run in runs:
            run.land(stretch, readings.get(run.extract.name))


def _ahead(
    stretches: Iterable[Stretch], read: Callable[[Stretch], dict[str, Reading]]
) -> Iterator[tuple[Stretch, dict[str, Reading]]]:
    """Every stretch with what was read of it; the next one is cut and read while one is landed."""
    each = iter(stretches)

    def following() -> tuple[Stretch, dict[str, Reading]] | None:
        stretch = next(each, None)
        return None if stretch is None else (stretch, read(stretch))

    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(following)
        while (found := coming.result()) is not None:
            coming = reader.submit(following)
            yield found
