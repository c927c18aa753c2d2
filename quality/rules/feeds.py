"""Feeds: what the batch ledger says of the files that were delivered.

Here: the rules of deliveries, and the relation they are judged over, made from the ingest's attempts.
Not here: reading files and counting their rows (ingest).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quality.rules.check import Condition, RuleCheck

if TYPE_CHECKING:
    import polars as pl

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

    A file that feeds several extracts is judged once, as a delivery of the first of them.
    Near misses are named in out_of_scope_reason_int_03: an unchanged snapshot, a file without rows, and a re-pull or
    window that repeats exactly that of the date or slot before.
    """
    import polars as pl

    name = pl.col("file").str.split("/").list.last()
    # Names repeat in every slot of a day (cloud) and in every database (materials management): these are part of them.
    folder = pl.col("file").str.split("/").list.get(-2, null_on_oob=True)
    name = (
        pl.when(pl.col("system") == "erp_fusion")
        .then(pl.format("{}/{}", pl.col("slot"), name))
        .when(pl.col("system") == "mmis")
        .then(pl.format("{}/{}", folder, name))
        .otherwise(name)
    )
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
    return _first_of_each_file(attempts).select(
        pl.format(
            "feed={}.{}|date={}|file={}",
            "system",
            "extract",
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


def _first_of_each_file(attempts: pl.DataFrame) -> pl.DataFrame:
    """Attempts as the head extract of each file made them; most files feed one extract only."""
    import polars as pl

    from ingest.contract import load_contracts

    places = [
        (system, name, min([names.index(name) for names in delivery.reads.values() if name in names], default=0), order)
        for system, contract in load_contracts().items()
        for delivery in contract.deliveries
        for order, name in enumerate(delivery.extracts)
    ]
    ranks = pl.DataFrame(places, schema=["system", "extract", "place", "order"], orient="row")
    return (
        attempts.join(ranks, on=["system", "extract"], how="left", maintain_order="left")
        .sort("place", "order", nulls_last=True, maintain_order=True)
        .unique(["system", "file"], keep="first", maintain_order=True)
        .select(attempts.columns)
    )


def _evidence(file: pl.Expr) -> pl.Expr:
    import polars as pl

    return pl.struct(
        "system",
        "extract",
        pl.lit(None, pl.String).alias("key"),
        file.alias("file"),
        pl.lit(None, pl.Int64).alias("line"),
    ).struct.json_encode()
