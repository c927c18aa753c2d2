"""Whether remittances balance: the equations of the 835, over rows that were read.

Here: the differences of each set (X12 835 005010X221A1, section 1.10.2.1).
Not here: reading (`x12`); what a difference leads to (a set that does not balance lands, quality judges it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ingest.coded import plain
from ingest.formats.reading import Reading

if TYPE_CHECKING:
    import polars as pl

_SET = ["ISA06", "ISA13", "GS06", "ST02"]
_CLAIM = [*_SET, "CLP_SEQ"]
_SERVICE = [*_CLAIM, "SVC_SEQ"]


def remittance_balance(readings: Mapping[str, Reading]) -> pl.DataFrame:
    """One row for each set of `REMIT_835_PAYMENT`, with what its three equations miss.

    Columns: ISA06, ISA13, GS06, ST02, TRACE_NO, and in USD (decimal(38,2); 0 where the equation holds, null where an
    amount does not read):

    - `payment_difference`: BPR02 - (sum of CLP04 - sum of the PLB amounts);
    - `claim_difference`: sum over claims of the size of CLP03 - sum of CAS of the claim and its services - CLP04;
    - `service_difference`: sum over services of the size of SVC02 - sum of CAS of the service - SVC03;

    and `claims_off`, `services_off`: how many claims and services do not balance. A claim without services (inpatient)
    has no service equation. Rows of sets without a payment row are left out.
    """
    import polars as pl

    frames = {name: plain(reading.frame) for name, reading in readings.items()}
    payments = frames["REMIT_835_PAYMENT"].select(*_SET, "TRACE_NO", paid=_usd("TOTAL_PAID"))
    claims = frames["REMIT_835_CLAIM"].select(*_CLAIM, charge=_usd("CHARGE"), paid=_usd("PAID"))
    services = frames["REMIT_835_SERVICE"].select(*_SERVICE, charge=_usd("CHARGE"), paid=_usd("PAID"))
    adjustments = frames["REMIT_835_ADJ"].select(*_SERVICE, adjusted=_usd("AMOUNT"))
    provider = frames["REMIT_835_PLB"].select(*_SET, reduced=_usd("AMOUNT"))
    claim = _off(claims, adjustments, _CLAIM, "claim")
    service = _off(services, adjustments, _SERVICE, "service")
    paid = claims.group_by(_SET).agg(_whole("paid", "claims_paid"))
    reduced = provider.group_by(_SET).agg(_whole("reduced", "reduced"))
    joined = payments
    for each in (paid, reduced, claim, service):
        joined = joined.join(each.with_columns(is_there=pl.lit(True)), on=_SET, how="left", maintain_order="left")
        amounts = [name for name in each.columns if name not in _SET]
        joined = joined.with_columns(
            pl.when(pl.col("is_there").is_null()).then(0).otherwise(pl.col(name)).cast(each.schema[name]).alias(name)
            for name in amounts
        ).drop("is_there")
    return joined.select(
        *_SET,
        "TRACE_NO",
        (pl.col("paid") - (pl.col("claims_paid") - pl.col("reduced"))).cast(_dollars()).alias("payment_difference"),
        "claim_difference",
        "service_difference",
        "claims_off",
        "services_off",
    )


def _dollars() -> pl.Decimal:
    import polars as pl

    return pl.Decimal(38, 2)


def _usd(name: str) -> pl.Expr:
    import polars as pl

    return pl.col(name).cast(_dollars(), strict=False)


def _whole(name: str, total: str) -> pl.Expr:
    """The sum, or nothing where an amount does not read."""
    import polars as pl

    return pl.when(~pl.col(name).is_null().any()).then(pl.col(name).sum()).alias(total)


def _off(rows: pl.DataFrame, adjustments: pl.DataFrame, key: list[str], name: str) -> pl.DataFrame:
    """For each set: the size of what is charged, not adjusted and not paid, and how many rows that are off."""
    import polars as pl

    summed = adjustments.group_by(key).agg(_whole("adjusted", "adjusted"), is_there=pl.lit(True).first())
    adjusted = pl.when(pl.col("is_there").is_null()).then(0).otherwise(pl.col("adjusted")).cast(_dollars())
    off = rows.join(summed, on=key, how="left").with_columns(off=pl.col("charge") - adjusted - pl.col("paid"))
    return off.group_by(_SET).agg(
        pl.when(~pl.col("off").is_null().any()).then(pl.col("off").abs().sum()).alias(f"{name}_difference"),
        (pl.col("off") != 0).fill_null(True).sum().cast(pl.Int64).alias(f"{name}s_off"),
    )
