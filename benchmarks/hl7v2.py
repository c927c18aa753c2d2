r"""HL7 v2: DFT^P03 messages a second from bytes to rows, beside python-hl7, hl7apy, bare Polars and DuckDB.

Each way runs in a process of its own, which tells its seconds and its peak memory. The peers only find the control id
of a message and four values of each charge, and keep no line; ours gives every column of the contract, with lines and
refusals. All must find the same charges: the sum of a checksum over them is compared.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

DAY = date(2026, 4, 30)
MESSAGES = 100_000
# The slow ones get a part of the messages; what they found of it is compared with ours of the same part.
PARTS = {"python-hl7": 4_000, "hl7apy": 100}

Charge = tuple[str | None, str | None, str | None, str | None, str | None]


def write(file: Path, count: int) -> None:
    """Write a file of messages without holding it: a child's peak memory begins at what its parent has."""
    with file.open("wb") as out:
        for first in range(0, count, 1_000):
            out.write(messages(min(1_000, count - first), first))


def messages(count: int, first: int = 0) -> bytes:
    """DFT^P03 messages of about one kilobyte with five FT1 each; every second charge has a ZFT."""
    chance = random.Random(first)
    made = []
    for number in range(first, first + count):
        at = f"20260{chance.randint(1, 4)}{chance.randint(10, 28)}{chance.randint(10, 23)}{chance.randint(10, 59)}00"
        lines = [
            f"MSH|^~\\&|EPIC|SHSH{number % 7 + 1}|SUTURE|SHS|{at}||DFT^P03^DFT_P03|MSG{number:010d}|P|2.5.1",
            f"EVN|P03|{at}",
            f"PID|1||{chance.randint(10**6, 10**7)}^^^SHS^MR||ZZDOE^JANE^Q^^MS||19600101|F|||1 MAIN STREET"
            f"^APT 3^CHICAGO^IL^60601||^PRN^PH^^1^312^5551234|||||{chance.randint(10**8, 10**9)}^^^SHS^AN",
            f"PV1|1|O|OR1^12^1^SHSH1||||1234^SURGEON^ANN|||ORT{'|' * 9}{chance.randint(10**8, 10**9)}^^^SHS^VN",
        ]
        for line in range(1, 6):
            units = chance.randint(1, 9)
            lines.append(
                f"FT1|{line}|TX{number:08d}{line}||{at}|{at}|CG|{chance.randint(10**7, 10**8)}^SUPPLY|||{units}"
                f"|{units * 95}.00|95.00|1010{line}|||OR1||||4711|||LOG{number}||C{1700 + line}|LT"
            )
            if line % 2:
                lines.append(f"ZFT|{chance.randint(10**5, 10**6)}||L{chance.randint(1000, 9999)}")
        made.append("\r".join(lines) + "\r")
    return "".join(made).encode()


# ---------------------------------------------------------------------------------------------- ways


def ours(file: Path) -> pl.DataFrame:
    """Every column of the contract, by the reader alone, with memory kept as an ingest keeps it."""
    from ingest.contract import load_contracts
    from ingest.formats import hl7v2
    from ingest.formats.reading import Text
    from ingest.memory import freed_memory_kept

    contract = load_contracts()["ehr_hl7"]
    extract = contract.extracts["DFT_P03_FT1"]
    text = Text(0, file.read_bytes(), extracts=(extract.name,))
    with freed_memory_kept():
        reading = hl7v2.read([text], contract.delivery, [extract])[extract.name]
    assert not reading.bad
    return reading.frame


def charges_of(frame: pl.DataFrame) -> Iterable[Charge]:
    """What all ways find, from a frame of any of them."""
    if "ft1_code" in frame.columns:
        frame = frame.select("message_id", "ft1_transaction_id", "ft1_code", "ft1_qty", "lot")
    return frame.iter_rows()


def python_hl7(file: Path) -> list[Charge]:
    """A tree of objects for each message."""
    import hl7

    found: list[Charge] = []
    for text in _texts(file):
        parsed = hl7.parse(text)
        control = str(parsed.segment("MSH")(10))
        for segment in parsed:
            if str(segment[0]) == "FT1":
                found.append((control, str(segment(2)), str(segment(7)(1)(1)), str(segment(10)), None))
            elif str(segment[0]) == "ZFT":
                found[-1] = (*found[-1][:4], str(segment(3)))
    return found


def hl7apy(file: Path) -> list[Charge]:
    """A tree of objects with the version's structures, not validated and without groups: the fastest way it has."""
    from hl7apy.parser import parse_message

    found: list[Charge] = []
    for text in _texts(file):
        parsed = parse_message(text, find_groups=False)
        control = parsed.msh.msh_10.value
        for segment in parsed.children:
            if segment.name == "FT1":
                found.append((control, segment.ft1_2.value, segment.ft1_7.ft1_7_1.value, segment.ft1_10.value, None))
            elif segment.name == "ZFT":
                found[-1] = (*found[-1][:4], segment.zft_3.value)
    return found


def _texts(file: Path) -> list[str]:
    return [f"MSH{text}" for text in file.read_bytes().decode().split("MSH")[1:]]


def bare_polars(file: Path) -> pl.DataFrame:
    """Lines, then the fields of every line."""
    import polars as pl

    lines = pl.DataFrame({"line": [file.read_bytes().decode()]}).select(pl.col("line").str.split("\r").explode())
    field = pl.col("line").str.split("|")
    charge = pl.col("code") == "FT1"
    return (
        lines.lazy()
        .with_columns(field)
        .with_columns(pl.col("line").list.get(0, null_on_oob=True).alias("code"))
        .filter(pl.col("code").is_in(["MSH", "FT1", "ZFT"]))
        .with_columns(
            pl.when(pl.col("code") == "MSH").then(pl.col("line").list.get(9)).forward_fill().alias("control"),
            pl.when(pl.col("code").shift(-1) == "ZFT").then(pl.col("line").shift(-1).list.get(3)).alias("lot"),
        )
        .filter(charge)
        .select(
            "control",
            pl.col("line").list.get(2).alias("transaction"),
            pl.col("line").list.get(7).str.split("^").list.get(0).alias("item"),
            pl.col("line").list.get(10).alias("units"),
            "lot",
        )
        .collect()
    )


def duckdb_lists(file: Path) -> pl.DataFrame:
    """One row a message, list functions for what is in it."""
    import duckdb

    return duckdb.sql(
        """
        with message as (
            select string_split(unnest(string_split(content, 'MSH|')[2:]), chr(13)) as line from read_text($file)
        ), charge as (
            select
                split_part(line[1], '|', 9) as control,
                unnest(list_filter(line, lambda l: l[1:3] = 'FT1')) as ft1,
                unnest([
                    line[p + 1] for p in range(1, len(line) + 1) if line[p][1:3] = 'FT1'
                ]) as following
            from message
        ), field as (select control, string_split(ft1, '|') as f, string_split(following, '|') as z from charge)
        select control, f[3] as transaction, split_part(f[8], '^', 1) as item, f[11] as units,
            case when z[1] = 'ZFT' then z[4] end as lot
        from field
        """,
        params={"file": str(file)},
    ).pl()


def landed(file: Path) -> int:
    """File to landed Parquet: shape, tokens, hashes, batch ledger, everything; rows landed."""
    from ingest.clock import AsOf
    from ingest.run import ingest

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "landing" / "ehr_hl7" / DAY.strftime("%Y%m%d")
        folder.mkdir(parents=True)
        (folder / f"DFT_{DAY:%Y%m%d}_07.hl7").symlink_to(file)
        report = ingest(
            Path(scratch) / "landing", Path(scratch) / "home", AsOf.parse(DAY.isoformat()), "bench", systems=["ehr_hl7"]
        )
    return sum(counts.rows_landed for counts in report.extracts)


WAYS: dict[str, Callable[[Path], pl.DataFrame | list[Charge] | int]] = {
    "suture": ours,
    "python-hl7": python_hl7,
    "hl7apy": hl7apy,
    "bare polars": bare_polars,
    "duckdb lists": duckdb_lists,
    "landed": landed,
}


# ---------------------------------------------------------------------------------------------- measuring


def _checksum(charges: Iterable[Charge]) -> int:
    """The same for the same charges in any order."""
    return sum(zlib.crc32("|".join(value or "" for value in charge).encode()) for charge in charges)


def _step(way: str, file: Path, times: int) -> None:
    """Run one way in this process and print what it did; the first run warms up, where there is more than one."""
    best, found = float("inf"), None
    for _ in range(times):
        found = None
        started = time.perf_counter()
        found = WAYS[way](file)
        best = min(best, time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if isinstance(found, int):
        told = {"rows": found, "checksum": None}
    else:
        charges = found if isinstance(found, list) else list(charges_of(found))
        told = {"rows": len(charges), "checksum": _checksum(charges)}
    print(json.dumps(told | {"seconds": best, "peak": peak}))


def _measured(way: str, file: Path, times: int = 3) -> dict[str, float]:
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.hl7v2", way, str(file), str(times)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    if told.returncode:
        raise RuntimeError(f"{way}: {told.stderr.strip().splitlines()[-1]}")
    return json.loads(told.stdout.splitlines()[-1])


def run(count: int = MESSAGES) -> None:
    """Print messages a second and peak memory of each way."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "all.hl7"
        write(file, count)
        print(f"hl7v2: {count:,} DFT^P03 of {file.stat().st_size / count:,.0f} bytes with five FT1 each")
        own = _measured("suture", file)
        for way in WAYS:
            part = PARTS.get(way, count)
            source = file if part == count else Path(scratch) / f"{part}.hl7"
            if part < count:
                write(source, part)
            expected = own if part == count else _measured("suture", source)
            told = own if way == "suture" else _measured(way, source, 1 if way in PARTS else 3)
            assert told["rows"] == expected["rows"], way
            assert told["checksum"] in (None, expected["checksum"]), way
            speed = part / told["seconds"]
            ratio = f"{count / own['seconds'] / speed:,.1f} x slower" if way != "suture" else "the reader alone"
            print(f"  {way:13} {speed:11,.0f} messages/s, peak memory {told['peak']:6,.0f} MiB, {ratio}")
    _large()


def _large(million: int = 1) -> None:
    """A file of a million messages: about a gigabyte that must stream."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "large.hl7"
        with file.open("wb") as stream:
            for part in range(10 * million):
                # Control and transaction ids of each part are its own.
                ids = b"%d" % part
                stream.write(messages(100_000).replace(b"|MSG0", b"|MSG" + ids).replace(b"|TX0", b"|TX" + ids))
        told = _measured("landed", file, 1)
        print(
            f"  a file of {million:,} million messages, {file.stat().st_size / 2**20:,.0f} MiB: landed at "
            f"{million * 1e6 / told['seconds']:,.0f} messages/s, peak memory {told['peak']:,.0f} MiB"
        )


if __name__ == "__main__":
    _step(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
