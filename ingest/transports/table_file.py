"""A table's rows as the delimited file that the contract describes.

Here: header, quoting, escapes, encoding, zip part, the counts that a manifest states, for rows that are text already.
Not here: where the rows come from (`database`, `rest`), the file's place and hash (`delivery_writer`).

The bytes depend on the rows alone: a zip entry bears no clock time.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from decimal import Decimal
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

from ingest.contract import Extract
from ingest.transports.delivery_writer import Part
from ingest.transports.endpoints import EndpointError

if TYPE_CHECKING:
    import polars as pl

# The earliest moment that a zip entry can bear.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def file_columns(extract: Extract) -> tuple[str, ...]:
    """Columns that a file of the extract carries, in the contract's order; not dropped ones, not parts of the path."""
    return tuple(column.name for column in extract.read_columns if not column.from_path)


class TableFile:
    """Writes frames of text columns into a part; use it as a context, leaving it states rows and total of the part."""

    def __init__(
        self,
        part: Part,
        extract: Extract,
        columns: Sequence[str],
        remarks: list[str],
        *,
        rows: int = 0,
        total: Decimal | None = None,
    ) -> None:
        """Begin with the header, or go on behind `rows` rows where the part holds some already.

        `remarks` gets a sentence for every kind of value that the file's form could not hold as it was.

        Raises:
            EndpointError: a column of the contract that has to be there is missing, or the form is no table.
        """
        delivery = extract.delivery
        if delivery.record_length or not (delivery.is_zip or delivery.format in ("csv", "delimited")):
            raise EndpointError(f"{extract.feed} comes as {delivery.format}, which is not made from rows")
        missing = [name for name in extract.must_have if name not in columns]
        if missing:
            raise EndpointError(
                f"{extract.feed}: the source gives no {', '.join(missing)}, which the contract requires"
            )
        self.columns = tuple(columns)
        self.rows = rows
        self.total = total or Decimal(0)
        self._part = part
        self._remarks = remarks
        self._extract = extract
        self._delivery = delivery
        self._broken_lines = 0
        self._foreign_characters = 0
        self._zip: zipfile.ZipFile | None = None
        self._out: IO[bytes] = cast("IO[bytes]", part)
        if delivery.is_zip:
            self._zip = zipfile.ZipFile(cast("IO[bytes]", part), "w", zipfile.ZIP_DEFLATED)
            entry = zipfile.ZipInfo(f"{extract.name}_1.csv", _ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            self._out = self._zip.open(entry, "w", force_zip64=True)
        if delivery.is_zip or part.offset == 0:
            self._out.write(f"{delivery.delimiter.join(self.columns)}\n".encode(delivery.encoding))

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows: String columns named as in the contract, null or empty for no value."""
        import polars as pl

        if frame.height == 0:
            return
        self.rows += frame.height
        summed = self._extract.control_total
        if summed in self.columns:
            amount = frame[cast("str", summed)].cast(pl.Decimal(38, 6), strict=False).sum()
            self.total += Decimal(0) if amount is None else cast("Decimal", amount)
        self._out.write(self._encoded(self._lines(frame)))

    def _lines(self, frame: pl.DataFrame) -> str:
        import polars as pl

        delivery = self._delivery
        value = pl.col(*self.columns)
        if delivery.quote:
            filled = frame.select(pl.when(value == "").then(None).otherwise(value).name.keep())
            return filled.write_csv(
                include_header=False, separator=delivery.delimiter, quote_char=delivery.quote, null_value=""
            )
        # Without quotes a line break has no form at all, and the escape before the delimiter would take it along.
        breaks = frame.select(pl.sum_horizontal(value.str.contains(r"[\r\n]").sum())).item()
        self._broken_lines += breaks or 0
        value = value.str.replace_all(r"\r\n|\r|\n", " ").str.replace_all(
            delivery.delimiter, delivery.escape + delivery.delimiter if delivery.escape else " ", literal=True
        )
        if delivery.escape:
            value = pl.when(value.str.ends_with(delivery.escape)).then(value + " ").otherwise(value).name.keep()
        escaped = frame.select(value)
        return escaped.write_csv(include_header=False, separator=delivery.delimiter, quote_style="never", null_value="")

    def _encoded(self, text: str) -> bytes:
        try:
            return text.encode(self._delivery.encoding)
        except UnicodeEncodeError:
            encoded = text.encode(self._delivery.encoding, errors="replace")
            self._foreign_characters += encoded.count(b"?") - text.count("?")
            return encoded

    def __enter__(self) -> TableFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        if self._zip is not None:
            self._out.close()
            self._zip.close()
        self._part.rows = self.rows
        self._part.total = plain(self.total)
        if self._broken_lines:
            self._remarks.append(f"{self._extract.feed}: line breaks in {self._broken_lines} values became blanks")
        if self._foreign_characters:
            self._remarks.append(
                f"{self._extract.feed}: {self._foreign_characters} characters have no form in {self._delivery.encoding}"
                " and became question marks"
            )


def plain(number: Decimal) -> str:
    """All digits of a decimal, without an exponent and without zeros behind the last digit of the fraction."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def text_frame(columns: dict[str, list[Any]]) -> pl.DataFrame:
    """A frame of String columns."""
    import polars as pl

    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
