"""Find the delivery, and the line in it, behind an evidence or a record.

Here: from file and line, or from column values, to places in the landing directory.
Not here: what stands there. A person with access to the delivery reads it there; nothing of it is returned, logged or
stored.
"""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.batches import BatchLedger
from ingest.contract import Extract, load_contracts
from ingest.formats import bicc
from ingest.formats.reading import Unreadable
from ingest.privacy import TokenKey, landed_series

# Length of an ISA segment; its terminator follows.
_ISA = 105

_LOG = logging.getLogger("suture.locate")

_PLACE = re.compile(r"^(?P<file>[^=|]+\.(?:csv|txt|DAT|hl7|edi|835|ndjson|zip(?:![^=|:]+)?)(?:\.gz)?):(?P<line>\d+)$")


class NotLocated(Exception):
    """The key names no place, or is written in no known form."""


@dataclass(frozen=True)
class Place:
    """A line of a delivery."""

    file: str
    """Path relative to the landing directory."""
    part: str | None
    """CSV part, when the delivery is a zip."""
    line: int
    path: Path
    is_there: bool
    """Whether the delivery is in the landing directory and has that line."""

    def __str__(self) -> str:
        inside = f", part {self.part}" if self.part else ""
        return f"{self.path}{inside}, line {self.line}" + ("" if self.is_there else " (not there any more)")


def locate(home: Path, landing: Path, key: str | Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> list[Place]:
    """Places behind a key, in delivery order.

    A key is an evidence (a mapping with `file` and `line`, or several), `<file>:<line>`, or column values as
    `[<system>.<EXTRACT>|]<COLUMN>=<value>|...`; identifiers are given as the source writes them and compared as tokens.

    Raises:
        NotLocated: nothing landed matches, or the key has another form.
    """
    if isinstance(key, Mapping):
        places = [_place(landing, str(key["file"]), int(key["line"]))]
    elif not isinstance(key, str):
        places = [_place(landing, str(each["file"]), int(each["line"])) for each in key if each.get("file")]
    else:
        places = _by_text(home, landing, key.strip())
    if not places:
        raise NotLocated("no landed row matches this key")
    for place in places:
        _LOG.info("located %s line %d", place.file, place.line)
    return places


def _by_text(home: Path, landing: Path, key: str) -> list[Place]:
    place = _PLACE.match(key)
    if place is not None:
        return [_place(landing, place["file"], int(place["line"]))]
    feed, values = None, {}
    for number, part in enumerate(key.split("|")):
        name, equals, value = part.partition("=")
        if equals:
            values[name.strip()] = value.strip()
        elif number == 0:
            feed = part.strip()
        else:
            raise NotLocated("write a key as <file>:<line> or [<system>.<EXTRACT>|]<COLUMN>=<value>|...")
    if not values:
        raise NotLocated("write a key as <file>:<line> or [<system>.<EXTRACT>|]<COLUMN>=<value>|...")
    extracts = [
        extract
        for contract in load_contracts().values()
        for extract in contract.extracts.values()
        if feed in (None, extract.feed)
        and all(name in extract.columns and extract.columns[name].lands for name in values)
    ]
    if not extracts:
        raise NotLocated("no extract lands these columns")
    token_key = TokenKey.load(TokenKey.path(home))
    places: list[Place] = []
    with BatchLedger(home / "lake") as ledger:
        for extract in extracts:
            places.extend(_place(landing, file, line) for file, line in _matches(ledger, extract, values, token_key))
    return places


def _matches(ledger: BatchLedger, extract: Extract, values: Mapping[str, str], key: TokenKey) -> list[tuple[str, int]]:
    import polars as pl

    folder = ledger.folder(extract.system, extract.name)
    parts = [folder / f"{part.part}.parquet" for part in ledger.parts(extract.system, extract.name)]
    if not parts:
        return []
    said = {name: landed_series(extract.columns[name], pl.Series([value]), key)[0][0] for name, value in values.items()}
    rows = (
        pl.scan_parquet(parts, missing_columns="insert", extra_columns="ignore")
        .filter(pl.col("_op") == "U", *(pl.col(name).str.strip_chars(" ") == said[name] for name in said))
        .select("_delivered", "_file", "_line")
        .sort("_delivered", "_file", "_line")
        .collect()
    )
    return [(file, line) for _, file, line in rows.iter_rows()]


def _place(landing: Path, name: str, line: int) -> Place:
    file, _, part = name.partition("!")
    path = landing / file
    return Place(file, part or None, line, path, _has_line(path, part, line))


def _has_line(path: Path, part: str, line: int) -> bool:
    if not path.is_file():
        return False
    content = path.read_bytes()
    try:
        if part:
            content = dict(bicc.parts(content)).get(part, b"")
        elif path.suffix == ".gz":
            content = gzip.decompress(content)
    except (Unreadable, EOFError, OSError, zlib.error):
        return False
    return 0 < line <= _lines(content)


def _lines(content: bytes) -> int:
    """Lines as `_line` counts them: ended by CR LF, LF or CR; a line of an interchange is a segment."""
    end = rb"(?:\r\n|\r|\n)"
    header = content.lstrip()
    if header.startswith(b"ISA") and len(header) > _ISA:
        end = re.escape(header[_ISA : _ISA + 1])
    return len(re.findall(end, content)) + (not re.search(end + rb"\s*\Z", content))
