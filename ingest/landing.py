"""Landing: which rows are new versions, which keys went, and the Parquet part that holds them.

Here: hashes of keys and rows, the landing rule as a pure function of rows in delivery order, writing a part aside.
Not here: reading deliveries (`formats`), what of a row may land (`privacy`), making a part visible (`batches`).

The rule. Per key, in delivery order, a row lands when its hash differs from the version before it. An event lands
once for its key. A key that a snapshot delivery no longer holds lands as a tombstone there, and lands again when it
comes back.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.batches import ASIDE
from ingest.contract import META_COLUMNS, Extract, SystemContract, arrow_schema

if TYPE_CHECKING:
    import polars as pl

_SEPARATOR = "\x1f"
# Below this many rows the standard library hashes faster than a database connection opens.
_FEW = 5_000


@dataclass(frozen=True)
class Versions:
    """What lands of a stretch of deliveries.

    `lands`: one flag a row. `gone`: `_key_hash`, `_snapshot` (number of the delivery that misses the key) and `_row`,
    the row of this stretch that has the key's values, null when only the lake has them.
    """

    lands: pl.Series
    gone: pl.DataFrame


def hashes(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """First eight bytes (little end first) of the MD5 of the values joined by U+001F, null as empty.

    The same on every engine and version, because the landing rule compares hashes that were written long ago.
    """
    import polars as pl

    joined = frame.select(
        pl.concat_str([pl.col(name).fill_null("") for name in columns], separator=_SEPARATOR).alias("joined")
    )
    if frame.height < _FEW:
        numbers = [int.from_bytes(hashlib.md5(text.encode()).digest()[:8], "little") for text in joined["joined"]]
        return pl.Series("hash", numbers, dtype=pl.UInt64)
    import duckdb

    with duckdb.connect() as connection:
        connection.register("said", joined.to_arrow())
        made = connection.sql("select md5_number_upper(joined) as hash from said").to_arrow_table()
    return pl.Series("hash", pl.from_arrow(made)["hash"], dtype=pl.UInt64)  # type: ignore[index]


def new_versions(
    extract: Extract,
    rows: pl.DataFrame,
    state: pl.DataFrame,
    whole: Sequence[bool] = (),
    spared: pl.DataFrame | None = None,
) -> Versions:
    """Apply the landing rule to rows in delivery order.

    `rows`: `_key_hash`, `_row_hash`, `_snapshot` (number of the delivery, from 0). `state`: the latest `_row_hash`
    and `_op` of the keys before these rows; of every key for a snapshot. `whole`: for each snapshot delivery, whether
    every key in it could be read; one that has ragged rows cannot say that a key is gone. `spared`: `_key_hash` and
    `_snapshot` of rows that were refused for a value: they do not land, and their keys are not gone.
    """
    import polars as pl

    key, row_hash = pl.col("_key_hash"), pl.col("_row_hash")
    ordered = (
        rows.select("_key_hash", "_row_hash", "_snapshot")
        .with_row_index("_row")
        .sort("_key_hash", "_row")
        .with_columns(_again=(key == key.shift(1)).fill_null(False), _more=(key == key.shift(-1)).fill_null(False))
        .join(
            state.select("_key_hash", _known="_row_hash", _known_op="_op"),
            on="_key_hash",
            how="left",
            maintain_order="left",
        )
    )
    is_live = pl.col("_known_op").eq_missing("U")
    if extract.load == "event":
        lands = ~pl.col("_again") & pl.col("_known_op").is_null()
    else:
        lands = (
            pl.when("_again").then(row_hash != row_hash.shift(1)).otherwise(~is_live | (row_hash != pl.col("_known")))
        )
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


def state_of(parts: Sequence[Path], keys: pl.Series | None, columns: Sequence[str] = ()) -> pl.DataFrame:
    """Latest `_row_hash`, `_op` and `columns` of each key in parts given in delivery order; of some keys, or of all."""
    import polars as pl

    names = ["_key_hash", "_row_hash", "_op", *columns]
    if not parts:
        kinds = {"_key_hash": pl.UInt64, "_row_hash": pl.UInt64}
        return pl.DataFrame(schema={name: kinds.get(name, pl.String) for name in names})
    scan = pl.scan_parquet(list(parts), missing_columns="insert", extra_columns="ignore").select(names)
    if keys is not None:
        scan = scan.join(keys.unique().to_frame("_key_hash").lazy(), on="_key_hash", how="semi", maintain_order="left")
    return scan.collect().unique(subset="_key_hash", keep="last", maintain_order=True)


def write_part(folder: Path, frame: pl.DataFrame, extract: Extract) -> str:
    """Write rows aside, not yet visible to readers, and return the part's name: the hash of its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    writing = folder / f"{os.getpid()}.writing{ASIDE}"
    frame = frame.select(*extract.landed_columns, *META_COLUMNS)
    with writing.open("wb") as stream:
        frame.write_parquet(stream, compression="zstd", compression_level=1, row_group_size=122_880)
        stream.flush()
        os.fsync(stream.fileno())
    with writing.open("rb") as stream:
        name = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
    writing.replace(folder / f"{name}.parquet{ASIDE}")
    return name


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
