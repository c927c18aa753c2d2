"""Device identifiers as scanned to columns: scans a second, beside biip on the same scans.

biip reads one string at a time into objects, so it gets a sample; both must say the same of every scan in it.
"""

from __future__ import annotations

import random
import time
from datetime import date

SCANS = 1_000_000
SAMPLE = 10_000
DAY = date(2026, 4, 30)


def _gtins(chance: random.Random) -> list[str]:
    payloads = [f"{chance.randrange(10)}952{chance.randrange(10**9):09d}" for _ in range(5_000)]
    weights = (3, 1) * 6 + (3,)
    return [
        payload + str(-sum(int(digit) * weight for digit, weight in zip(payload, weights, strict=True)) % 10)
        for payload in payloads
    ]


def _labels(count: int) -> list[str]:
    """The ordinary GS1 forms: with separators, printed, in other orders, dates without a day."""
    chance = random.Random(20260430)
    gtins = _gtins(chance)
    labels = []
    for number in range(count):
        gtin, lot, serial = chance.choice(gtins), f"L{number % 9973}A", f"S{number:07d}"
        day = f"{chance.randint(27, 31)}{chance.randint(1, 12):02d}{chance.randint(0, 28):02d}"
        match number % 4:
            case 0:
                labels.append(f"01{gtin}17{day}10{lot}\x1d21{serial}")
            case 1:
                labels.append(f"01{gtin}11250401" + f"17{day}10{lot}")
            case 2:
                labels.append(f"]d201{gtin}21{serial}\x1d17{day}10{lot}")
            case _:
                labels.append(f"(01){gtin}(17){day}(10){lot}")
    return labels


def run() -> None:
    """Print scans a second of both, and how many times biip's ours is.

    Raises:
        AssertionError: a scan of the sample reads differently.
    """
    import polars as pl
    from biip.gs1_messages import GS1Message

    from ingest.formats.udi import parse

    labels = _labels(SCANS)
    scans = pl.Series(labels)
    parse(scans.head(1_000), DAY)
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        parsed = parse(scans, DAY)
        spent.append(time.perf_counter() - started)
    assert parsed["refusal"].null_count() == SCANS

    def read(label: str) -> tuple[str | None, ...]:
        message = GS1Message.parse_hri(label) if label[0] == "(" else GS1Message.parse(label.removeprefix("]d2"))
        found = {element.ai.ai: element for element in message.element_strings}
        dates = (found[ai].date.isoformat() if ai in found else None for ai in ("17", "11"))
        return *(found[ai].value if ai in found else None for ai in ("01", "10", "21")), *dates

    started = time.perf_counter()
    theirs = [read(label) for label in labels[:SAMPLE]]
    peer = time.perf_counter() - started
    ours = parsed.head(SAMPLE).select(
        "di", "lot", "serial", pl.col("expiration_date", "manufacturing_date").cast(pl.String)
    )
    assert ours.rows() == theirs
    rate, their_rate = SCANS / min(spent), SAMPLE / peer
    print(
        f"udi: {rate:,.0f} scans/s ({SCANS:,}); biip {their_rate:,.0f} scans/s ({SAMPLE:,}); {rate / their_rate:,.0f} x"
    )


if __name__ == "__main__":
    run()
