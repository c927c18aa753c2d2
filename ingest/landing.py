"""Landing: which rows are new versions, which keys went, and the Parquet part that holds them.

Here: hashes of keys and rows, the landing rule as a pure function of rows in delivery order, writing a part aside.
Not here: reading deliveries (`formats`), what of a row may land (`privacy`), making a part visible (`batches`).

The rule. Per key, in delivery order, a row lands when its hash differs from the version before it. An event lands
once for its key. A key that a snapshot delivery no longer holds lands as a tombstone there, and lands again when it
comes back.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.batches import ASIDE
from ingest.coded import is_coded, said, written
from ingest.contract import META_COLUMNS, Extract, SystemContract, arrow_schema

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Numbers = NDArray[np.uint32]
    # Hashes of each column's values: by row, or of each value of a coded column and which one a row has.
    _Made = Mapping[str, tuple[Hashes, Numbers | None]]

ROW_GROUP = 245_760
# Rows whose hashes are added together.
_SPAN = 2**15


@dataclass(frozen=True)
class Versions:
    """What lands of a stretch of deliveries.

    `lands`: one flag a row. `gone`: `_key_hash`, `_snapshot` (number of the delivery that misses the key) and `_row`,
    the row of this stretch that has the key's values, null when only the lake has them.
    """

    lands: pl.Series
    gone: pl.DataFrame


def hashes(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Hash of each row's values in text columns: 64 bits that are the same on every engine, platform and version.

    The sum, modulo 2^64, of the XXH3 of each value's UTF-8 bytes, seeded with its column's name; an empty value adds
    nothing. A hash is that of the values and their columns, not of the order of the columns, and two rows that differ
    agree with odds of 2^-64: the landing rule takes one of 10^8 keys for another with odds of 1 in 3,700.
    """
    import polars as pl

    return pl.Series("hash", _added(_hashes(frame, columns), columns, frame.height))


def hashed(extract: Extract, landed: pl.DataFrame) -> pl.DataFrame:
    """The rows with `_key_hash`, of the row's identity as it lands, and `_row_hash`, of the row as it lands."""
    import polars as pl

    identity = extract.identity
    made = _hashes(landed, extract.landed_columns)
    said = _added(made, identity, landed.height)
    row = said + _added(made, [name for name in extract.landed_columns if name not in identity], landed.height)
    key = _identified(extract, landed, made, said)
    return landed.with_columns(pl.Series("_key_hash", key), pl.Series("_row_hash", row))


def key_hashes(extract: Extract, landed: pl.DataFrame) -> pl.Series:
    """Hash of every row's identity as it lands: of the idempotency key, or of the key.

    An empty part counts as what its column's `empty_means` says. A row of which a part is empty still is known by the
    extract's fallback key, if there is one; no identity can look like a fallback key.
    """
    import polars as pl

    made = _hashes(landed, list(dict.fromkeys((*extract.identity, *extract.fallback_key))))
    said = _added(made, extract.identity, landed.height)
    return pl.Series("_key_hash", _identified(extract, landed, made, said))


def _identified(extract: Extract, landed: pl.DataFrame, made: _Made, said: Hashes) -> Hashes:
    """The hash of what each row says of its identity, where a part is empty that of what it means or falls back to."""
    import numpy as np
    import polars as pl

    key, lacks = said, np.zeros(landed.height, bool)
    for name in extract.identity:
        if not landed[name].null_count():
            continue
        is_empty, meaning = landed[name].is_null().to_numpy(), extract.columns[name].empty_means
        if meaning is None:
            lacks |= is_empty
        else:
            meant = pl.select(_value_hash(pl.lit(meaning), name)).to_series().to_numpy()
            key = key + np.where(is_empty, meant, np.uint64(0))
    if not extract.fallback_key or not lacks.any():
        return key
    return np.where(lacks, _added(made, extract.fallback_key, landed.height) + np.uint64(_seed("fallback key")), key)


@cache
def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _value_hash(value: pl.Expr, name: str) -> pl.Expr:
    from polars_hash import NonCryptographicHashingNameSpace

    return NonCryptographicHashingNameSpace(value).xxh3_64(seed=_seed(name)).fill_null(0)


def _hashes(frame: pl.DataFrame, columns: Sequence[str]) -> _Made:
    """The hashes of each column's values: by row, or of each value of a coded column and which one a row has."""
    import polars as pl

    coded = {name: said(frame[name]) for name in columns if is_coded(frame.schema[name])}
    made = frame.select(_value_hash(pl.col(name), name) for name in columns if name not in coded)
    of_values = [values.to_frame().select(_value_hash(pl.col(name), name)) for name, (values, _) in coded.items()]
    return {
        **{each.name: (each.to_numpy(), None) for each in made},
        **{name: (each[name].to_numpy(), coded[name][1].to_numpy()) for each in of_values for name in each.columns},
    }


def _added(made: _Made, columns: Sequence[str], height: int) -> Hashes:
    """The sum of the hashes of some columns, row by row."""
    import numpy as np

    total = np.zeros(height, np.uint64)

    def add_span(at: int) -> None:
        # Span by span, so that what is made on the way stays in the processor's cache.
        span = slice(at, at + _SPAN)
        for name in columns:
            hashes, numbers = made[name]
            total[span] += hashes[span] if numbers is None else hashes.take(numbers[span])

    if height <= _SPAN:
        add_span(0)
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(add_span, range(0, height, _SPAN)))
    return total


def new_versions(
    extract: Extract,
    rows: pl.DataFrame,
    state: pl.DataFrame,
    whole: Sequence[bool] = (),
    spared: pl.DataFrame | None = None,
) -> Versions:
    """Apply the landing rule to rows in delivery order.

    `rows`: `_key_hash`, `_row_hash`, `_snapshot` (number of the delivery, from 0), and `_op` where the source says
    what was deleted: a deletion is a version like any other, and an event that landed lands once more as deleted.
    `state`: the latest `_row_hash` and `_op` of the keys before these rows; of every key for a snapshot. `whole`: for
    each snapshot delivery, whether every key in it could be read; one that has ragged rows cannot say that a key is
    gone. `spared`: `_key_hash` and `_snapshot` of rows that were refused for a value: they do not land, and their keys
    are not gone.
    """
    import polars as pl

    key, row_hash = pl.col("_key_hash"), pl.col("_row_hash")
    has_deletions = "_op" in rows.columns and bool((rows["_op"] == "D").any())
    ordered = rows.select("_key_hash", "_row_hash", "_snapshot", _op="_op" if has_deletions else pl.lit("U"))
    ordered = ordered.with_row_index("_row")
    if rows["_key_hash"].n_unique() == rows.height:
        ordered = ordered.with_columns(_again=pl.lit(False), _more=pl.lit(False))
    else:
        ordered = ordered.sort("_key_hash", "_row").with_columns(
            _again=(key == key.shift(1)).fill_null(False), _more=(key == key.shift(-1)).fill_null(False)
        )
    ordered = ordered.join(
        state.select("_key_hash", _known="_row_hash", _known_op="_op"),
        on="_key_hash",
        how="left",
        maintain_order="left",
    )
    op, is_live = pl.col("_op"), pl.col("_known_op").eq_missing("U")
    if extract.load == "event":
        lands = ~pl.col("_again") & pl.col("_known_op").is_null()
        if has_deletions:
            first = pl.struct("_key_hash", "_op").is_first_distinct()
            lands = pl.when(op == "D").then(first & pl.col("_known_op").ne_missing("D")).otherwise(lands)
    else:
        is_other = (row_hash != row_hash.shift(1)) | (op != op.shift(1))
        is_news = (row_hash != pl.col("_known")) | op.ne_missing(pl.col("_known_op"))
        lands = pl.when("_again").then(is_other).otherwise(is_news)
    if not extract.leaves_tombstones or not whole:
        flags = ordered.select("_row", _lands=lands.fill_null(True)).sort("_row")
        return Versions(flags["_lands"], pl.DataFrame(schema=_gone_schema()))
    ordered = ordered.with_columns(
        _until=pl.when("_more").then(pl.col("_snapshot").shift(-1)).otherwise(len(whole)),
        _since=pl.when("_again").then(pl.col("_snapshot").shift(1)).otherwise(pl.when(is_live).then(-1)),
    )
    missed = _next_whole(whole, pl.col("_since") + 1) < pl.col("_snapshot")
    flags = ordered.select("_row", _lands=(lands | missed.fill_null(False)).fill_null(True)).sort("_row")
    none = pl.lit(None, pl.UInt32)
    spans = [
        ordered.select("_key_hash", "_until", _since="_snapshot", _row=pl.col("_row")),
        ordered.filter(~pl.col("_again") & is_live).select(
            "_key_hash", _until="_snapshot", _since=pl.lit(-1), _row=none
        ),
        state.filter(pl.col("_op") == "U")
        .join(rows.select("_key_hash").unique(), on="_key_hash", how="anti")
        .select("_key_hash", _until=pl.lit(len(whole)), _since=pl.lit(-1), _row=none),
    ]
    return Versions(flags["_lands"], _gone(spans, whole, spared))


def _gone_schema() -> dict[str, type[pl.DataType]]:
    import polars as pl

    return {"_key_hash": pl.UInt64, "_snapshot": pl.Int64, "_row": pl.UInt32}


def _next_whole(whole: Sequence[bool], number: pl.Expr) -> pl.Expr:
    """The first whole snapshot from a number on; how many there are when none is."""
    import polars as pl

    following, last = [len(whole)], len(whole)
    for position in range(len(whole) - 1, -1, -1):
        last = position if whole[position] else last
        following.append(last)
    following.reverse()
    return number.replace_strict(list(range(len(whole) + 1)), following, default=None, return_dtype=pl.Int64)


def _gone(spans: Sequence[pl.DataFrame], whole: Sequence[bool], spared: pl.DataFrame | None) -> pl.DataFrame:
    """Where each key that was there at `_since` and not before `_until` is missed first."""
    import polars as pl

    kinds = {"_key_hash": pl.UInt64, "_until": pl.Int64, "_since": pl.Int64, "_row": pl.UInt32}
    missed = pl.concat([span.select(list(kinds)).cast(kinds) for span in spans])  # type: ignore[arg-type]
    missed = missed.with_columns(_snapshot=_next_whole(whole, pl.col("_since") + 1))
    gone: list[pl.DataFrame] = [pl.DataFrame(schema=_gone_schema())]
    while True:
        missed = missed.filter(pl.col("_snapshot") < pl.col("_until"))
        if spared is None or not missed.height:
            gone.append(missed.select("_key_hash", "_snapshot", "_row"))
            break
        gone.append(
            missed.join(spared, on=["_key_hash", "_snapshot"], how="anti").select("_key_hash", "_snapshot", "_row")
        )
        missed = missed.join(spared, on=["_key_hash", "_snapshot"], how="semi").with_columns(
            _snapshot=_next_whole(whole, pl.col("_snapshot") + 1)
        )
    return pl.concat(gone)


def versions_of(frame: pl.DataFrame) -> pl.DataFrame:
    """What `state_of` has to know of rows that land: their keys, hashes and whether they are deletions."""
    import polars as pl

    return frame.select("_key_hash", "_row_hash", _is_deleted=pl.col("_op") == "D")


def state_of(
    parts: Sequence[Path],
    keys: pl.Series | None,
    columns: Sequence[str] = (),
    where: pl.Expr | None = None,
    since: Sequence[pl.DataFrame] = (),
) -> pl.DataFrame:
    """Latest `_row_hash`, `_op` and `columns` of each key in parts given in delivery order; of some keys, or of all.

    `where`: the rows that count, when not all of them do. `since`: what came after the parts (`versions_of`), for which
    neither of these may be asked.
    """
    import polars as pl

    names = ["_key_hash", "_row_hash", "_op", *columns]
    kinds = {"_key_hash": pl.UInt64, "_row_hash": pl.UInt64}
    known = pl.LazyFrame(schema={name: kinds.get(name, pl.String) for name in names})
    if not parts and not since:
        return known.collect()
    if parts:
        known = pl.scan_parquet(list(parts), missing_columns="insert", extra_columns="ignore")
        known = (known if where is None else known.filter(where)).select(names)
    asked = None if keys is None else keys.to_frame("_key_hash").lazy()
    found = known if asked is None else _those(known, asked)
    if since:
        assert not columns and where is None
        later = pl.concat(since).lazy()
        later = later if asked is None else _those(later, asked)
        op = pl.when("_is_deleted").then(pl.lit("D")).otherwise(pl.lit("U"))
        found = pl.concat([found, later.select("_key_hash", "_row_hash", _op=op)])
    return found.collect().unique(subset="_key_hash", keep="last", maintain_order=True)


def _those(rows: pl.LazyFrame, keys: pl.LazyFrame) -> pl.LazyFrame:
    return rows.join(keys, on="_key_hash", how="semi", maintain_order="left")


def write_part(folder: Path, frame: pl.DataFrame, extract: Extract) -> str:
    """Write rows aside, not yet visible to readers, and return the part's name: the hash of its bytes."""
    import polars as pl

    folder.mkdir(parents=True, exist_ok=True)
    writing = folder / f"{os.getpid()}.writing{ASIDE}"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        frame = pl.DataFrame(pool.map(written, frame.select(*extract.landed_columns, *META_COLUMNS)))
    try:
        with writing.open("w+b") as stream, ThreadPoolExecutor(1) as pool:
            frame.write_parquet(
                stream,
                compression="zstd",
                compression_level=1,
                row_group_size=ROW_GROUP,
                metadata={"ARROW:schema": _stated_schema(extract)},
            )
            stream.flush()
            on_disk = pool.submit(os.fsync, stream.fileno())
            stream.seek(0)
            name = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
            on_disk.result()
    except BaseException as trouble:
        trouble.add_note(f"{extract.feed}: a part could not be written; its deliveries are read again by the next run")
        writing.unlink(missing_ok=True)
        raise
    writing.replace(folder / f"{name}.parquet{ASIDE}")
    return name


@cache
def _stated_schema(extract: Extract) -> str:
    """The schema as Arrow states it in Parquet: text is text to every reader, coded or not."""
    return base64.b64encode(arrow_schema(extract).serialize()).decode()


def ensure_empty_sources(lake: Path, contracts: dict[str, SystemContract] | None = None) -> list[Path]:
    """An empty Parquet with the full schema for every extract, and for the attempts, so that no glob of dbt fails.

    Returns the files that were written; files with the right schema are left alone.
    """
    import pyarrow.parquet as pq

    from ingest.contract import load_contracts

    written = []
    for contract in (contracts or load_contracts()).values():
        for extract in contract.extracts.values():
            path = lake / "raw" / extract.system / extract.name / "_empty.parquet"
            schema = arrow_schema(extract)
            if path.exists() and pq.read_schema(path).equals(schema):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(path.name + ASIDE)
            pq.write_table(schema.empty_table(), aside)
            aside.replace(path)
            written.append(path)
    return written
