r"""How the MMIS writes: pipe-delimited tables and the fixed-width transaction file.

Here: trailing blanks, the escaped pipe, records of 200 characters with zero padded numbers, trailing signs and implied
decimals, the trailer's count and hash.
Not here: what the rows say (mmis).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from functools import cache

import yaml

from ingest.simulator.delivery import CONTRACTS, Extract, Outbox, Row, contract

ENCODING = "cp1252"
LINE_END = "\r\n"
RECORD_LENGTH = 200
SYSTEM = "mmis"
# Columns of fixed length: blanks fill them (delivery.padding).
LENGTHS = {"ITEM_NO": 15, "CTLG_NO": 20, "PAT_CHRG_NO": 20, "CONTRACT_NO": 30, "VEND_NO": 10, "LATEX_IND": 1}
FROM_PATH = {"CODE_TABLE": ("IDB",)}  # columns that no row carries

Field = str | int | Decimal | date | time | None


def table(name: str, lines: Iterable[str]) -> tuple[bytes, int]:
    """One table as its file, with the number of its rows."""
    extract = contract(SYSTEM)[name]
    written = ["|".join(extract.columns[place].name for place, _ in _cells_of(name)), *lines]
    return _encoded(written), len(written) - 1


def row_text(name: str, row: Row) -> str:
    """A row of a table; a pipe in a text is sent as two characters."""
    cells = Outbox.cells(contract(SYSTEM)[name], row)
    return "|".join([cells[place].replace("|", "\\|").ljust(width) for place, width in _cells_of(name)])


@cache
def _cells_of(name: str) -> tuple[tuple[int, int], ...]:
    """Places of a table's columns in the contract, with the lengths that blanks fill."""
    return tuple(
        (place, LENGTHS.get(column.name, 0))
        for place, column in enumerate(contract(SYSTEM)[name].columns)
        if column.name not in FROM_PATH.get(name, ())
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A field of a record: from `start` (the first character is 1), `width` long."""

    name: str
    kind: str
    start: int
    width: int
    scale: int


@cache
def layout(name: str) -> tuple[Place, ...]:
    """Fields of a record type in the order of the contract."""
    declared = yaml.safe_load((CONTRACTS / f"{SYSTEM}.yaml").read_text(encoding="utf-8"))["extracts"][name]
    kinds = {column.name: column for column in _columns(name).columns}
    return tuple(
        Place(column, kinds[column].type, detail["start"], detail["width"], kinds[column].scale)
        for column, detail in declared["columns"].items()
        if "start" in detail
    )


def _columns(name: str) -> Extract:
    return contract(SYSTEM)[name]


def signed(value: Decimal, width: int, scale: int) -> str:
    """A number with implied decimals and its sign behind it, a minus or a blank (Q70).

    Raises:
        ValueError: it has more decimals or digits than the field holds.
    """
    units = value.scaleb(scale)
    digits = f"{abs(int(units)):0{width - 1}d}"
    if units != int(units) or len(digits) > width - 1:
        raise ValueError(f"{value} does not fit {width} characters with {scale} implied decimals")
    return digits + ("-" if value < 0 else " ")


def field(place: Place, value: Field) -> str:
    """One field as the record holds it.

    Raises:
        ValueError: the value does not fit.
    """
    if value is None:
        return " " * place.width
    if isinstance(value, Decimal):
        return signed(value, place.width, place.scale)
    if isinstance(value, int):
        text = f"{value:0{place.width}d}"
    elif isinstance(value, time):
        text = value.strftime("%H%M")
    elif isinstance(value, date):
        text = value.strftime("%y%m%d")
    else:
        text = value.ljust(place.width)
    if len(text) != place.width:
        raise ValueError(f"{value!r} does not fit {place.name}, {place.width} characters")
    return text


def record(name: str, values: Mapping[str, Field]) -> str:
    """One record of 200 characters."""
    text = [" "] * RECORD_LENGTH
    for place in layout(name):
        text[place.start - 1 : place.start - 1 + place.width] = field(place, values.get(place.name))
    return "".join(text)


@dataclass(frozen=True, slots=True)
class Trailer:
    """What a trailer states."""

    rows: int
    quantity: Decimal


def transactions(
    database: int,
    day: date,
    run: int,
    details: Sequence[Mapping[str, Field]],
    trailer: Trailer | None,
) -> bytes:
    """A transaction file: header, details numbered from 1, trailer (None: it broke off before)."""
    lines = [
        record("TXN_HEADER", {"REC_TYPE": "H", "SYSTEM": "MMIS", "IDB": database, "FILE_DATE": day, "RUN_NO": run}),
        *(
            record("TXN", {**values, "REC_TYPE": "D", "SEQ_NO": number})
            for number, values in enumerate(details, start=1)
        ),
    ]
    if trailer is not None:
        stated: dict[str, Field] = {"REC_TYPE": "T", "ROW_COUNT": trailer.rows, "HASH_QTY": trailer.quantity}
        lines.append(record("TXN_TRAILER", stated))
    return _encoded(lines)


def _encoded(lines: Iterable[str]) -> bytes:
    return "".join(line + LINE_END for line in lines).encode(ENCODING)
