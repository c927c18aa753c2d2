"""Formats: bytes of one delivery become rows of text with their physical line.

Here: one module a format, and which module reads which delivery. Not here: what a column means or may hold
(`contract`, `shape`).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.contract import Delivery, Extract
    from ingest.formats.reading import Content, Look, Piece, Reading, Text

# How a contract's `format` begins, and the module that reads it. The parts of a zip are delimited text.
_MODULES = {
    "csv": "delimited",
    "delimited": "delimited",
    "zip": "delimited",
    "hl7-v2": "hl7v2",
    "x12": "x12",
    "ndjson": "fhir",
    "fixed-width": "fixed_width",
}


class Format(Protocol):
    """What every module of a format has; `reading` says what the functions give."""

    def look(self, content: Content, delivery: Delivery, extracts: Sequence[Extract]) -> Look:
        """What can be said of a whole delivery before it is read."""
        ...

    def pieces(self, content: Content, size: int) -> Iterator[Piece]:
        """Spans of about `size` bytes that can be read apart."""
        ...

    def read(self, texts: Sequence[Text], delivery: Delivery, extracts: Sequence[Extract]) -> dict[str, Reading]:
        """Rows of every extract in the texts."""
        ...


def format_of(delivery: Delivery) -> Format:
    """The module that reads a delivery's files, imported when it is first asked for.

    Raises:
        LookupError: no module reads the format that the contract names.
    """
    return _module(delivery.format)


@cache
def _module(name: str) -> Format:
    for beginning, module in _MODULES.items():
        if name == beginning or name.startswith((f"{beginning}-", f"{beginning} ")):
            return cast(Format, import_module(f"ingest.formats.{module}"))
    raise LookupError(f"no module reads the format {name}")
