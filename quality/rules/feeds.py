"""Feeds: what the batch ledger says of the files that were delivered.

Here: the rules of deliveries, and the relation they are judged over, made from the ingest's attempts.
Not here: reading files and counting their rows (ingest).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quality.rules.check import Condition, RuleCheck

if TYPE_CHECKING:
    import polars as pl

    from ingest.contract import Delivery

FEED_FILES = "feed_file"

CHECKS = (
    RuleCheck(
        rule_id="INT-02",
        relation=FEED_FILES,
        conditions=(Condition("differs_from_manifest", "=", True),),
        explanation="{rows_delivered:each} rows delivered, the manifest or trailer states {manifest_rows:each}; "
        "hash or quantity total {control_hash:text}.",
    ),
    RuleCheck(
        rule_id="INT-03",
        relation=FEED_FILES,
        conditions=(Condition("is_repeated_content", "=", True),),
        explanation="{rows_delivered:each} rows were delivered before as {first_delivery:text}; "
        "nothing was loaded twice.",
    ),
)


def feed_files(attempts: pl.DataFrame) -> pl.DataFrame:
    """One row a delivered file, with what INT-02 and INT-03 judge; the last attempt of each file counts.

    A file that feeds several extracts is judged once, under its message type, set or file name (rules/README, feed).
    Files of one feed, date and name (two databases of materials management) are one entity; one that fires stands for
    it.
    Near misses are named in out_of_scope_reason_int_03: an unchanged snapshot, a file without rows, and a re-pull or
    window that repeats exactly that of the date or slot before.
    """
    import polars as pl

    base = pl.col("file").str.split("/").list.last()
    # Cloud deliveries repeat names in every slot of a day, so the slot is part of the name.
    name = pl.when(pl.col("system") == "erp_fusion").then(pl.format("{}/{}", pl.col("slot"), base)).otherwise(base)
    rows_differ = (pl.col("rows_delivered") != pl.col("manifest_rows")).fill_null(False)
    hash_differs = (~pl.col("manifest_hash_ok")).fill_null(False)
    unchanged = (
        pl.when(pl.col("is_snapshot").fill_null(False))
        .then(pl.lit("snapshot whose content did not change"))
        .when(pl.col("rows_delivered").fill_null(0) == 0)
        .then(pl.lit("file without rows"))
        .when(pl.col("is_window_repeat").fill_null(False))
        .then(pl.lit("re-pull or window that repeats the one before"))
    )
    evidence = pl.when(pl.col("duplicate_of").is_not_null()).then(
        _evidence(pl.col("duplicate_of")) + pl.lit(",") + _evidence(pl.col("file"))
    )
    files = _first_of_each_file(attempts).select(
        pl.format(
            "feed={}.{}|date={}|file={}",
            "system",
            "feed",
            pl.col("folder_date").cast(pl.Date).cast(pl.String),
            name,
        ).alias("entity_key"),
        pl.lit("SYS").alias("facility_id"),
        pl.col("folder_date").cast(pl.Date).alias("business_date"),
        pl.lit(None, pl.String).alias("out_of_scope_reason"),
        unchanged.alias("out_of_scope_reason_int_03"),
        pl.format("[{}]", pl.coalesce(evidence, _evidence(pl.col("file")))).alias("evidence"),
        pl.col("rows_delivered").cast(pl.Int64),
        pl.col("manifest_rows").cast(pl.Int64),
        pl.when(pl.col("manifest_hash_ok").is_null())
        .then(pl.lit("not stated"))
        .when(hash_differs)
        .then(pl.lit("differs"))
        .otherwise(pl.lit("agrees"))
        .alias("control_hash"),
        (rows_differ | hash_differs).alias("differs_from_manifest"),
        pl.col("duplicate_of").alias("first_delivery"),
        pl.col("duplicate_of").is_not_null().alias("is_repeated_content"),
    )
    fires = pl.col("differs_from_manifest") | pl.col("is_repeated_content")
    return files.sort(fires, descending=True, maintain_order=True).unique(
        "entity_key", keep="first", maintain_order=True
    )


def _first_of_each_file(attempts: pl.DataFrame) -> pl.DataFrame:
    """Attempts as the first extract of each file made them, with the `feed` that the file goes by."""
    import polars as pl

    from ingest.contract import load_contracts

    contracts = load_contracts()
    order = {
        (system, name): place
        for system, contract in contracts.items()
        for delivery in contract.deliveries
        for place, name in enumerate(delivery.extracts)
    }
    places = pl.DataFrame(
        [(*feed, place) for feed, place in order.items()], schema=["system", "extract", "place"], orient="row"
    )
    first = (
        attempts.join(places, on=["system", "extract"], how="left", maintain_order="left")
        .sort("place", nulls_last=True, maintain_order=True)
        .unique(["system", "file"], keep="first", maintain_order=True)
    )
    feeds = [
        _feed(contracts[system].extracts[extract].delivery, file, extract) if (system, extract) in order else extract
        for system, extract, file in first.select("system", "extract", "file").iter_rows()
    ]
    return first.select(*attempts.columns, pl.Series("feed", feeds, dtype=pl.String))


def _feed(delivery: Delivery, file: str, extract: str) -> str:
    """What a file goes by: its extract, or when it has several its message type or set, or its delivery's name."""
    if not delivery.reads_by:
        return extract if delivery.has_extract_in_path else delivery.name.upper()
    from ingest.transports.directory import delivery_pattern

    found = delivery_pattern(delivery).fullmatch(file)
    part = found[delivery.reads_by] if found else ""
    return part if len(delivery.reads.get(part, ())) > 1 else extract


def _evidence(file: pl.Expr) -> pl.Expr:
    import polars as pl

    return pl.struct(
        "system",
        "extract",
        pl.lit(None, pl.String).alias("key"),
        file.alias("file"),
        pl.lit(None, pl.Int64).alias("line"),
    ).struct.json_encode()
