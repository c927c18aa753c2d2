"""Device identifiers as they are scanned or typed: GS1, HIBCC and ICCBBA forms, taken apart column by column.

Here: `parse` (what a scan says of the device), `elements` (every element of a GS1 string), check digits and the eleven
digit form of an NDC. Standards: GS1 General Specifications sections 3 and 7; ANSI/HIBC 2 Supplier Labeling Standard;
ISBT 128 ST-011; FDA, UDI formats by issuing agency. Not here: which item it is (`gudid`, the item master).

A serial number identifies a patient's implant: nothing here logs a value, and a refusal says which element is wrong and
why, never what stands in it.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from ingest.formats.gs1_application_identifiers import (
    CHARACTERS_39,
    CHARACTERS_64,
    CHARACTERS_82,
    PREDEFINED,
    application_identifiers,
    size_by_prefix,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_GS = "\x1d"
SEPARATORS = _GS + "~"
"""FNC1 as a scanner sends it, and as some cabinets write it; neither may stand in a value."""
LONGEST_SCAN = 512
"""A scan of more characters is no device identifier (a UDI has at most 76, a whole pallet label some 150)."""

_SCANS_AT_ONCE = 50_000
"""Of many scans so many at a time: what is known of them fits the processor's cache."""
_GTIN_SIZES = (8, 12, 13, 14)
_HIBC_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83)
_CHARACTERS_82 = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_PAIR_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def parse(scans: pl.Series, as_of: date) -> pl.DataFrame:
    """What each scan says of its device: one row a scan, in their order.

    | column | type | meaning |
    | --- | --- | --- |
    | issuer | String | GS1, HIBCC or ICCBBA: whose form it is; also where the scan is refused |
    | di | String | device identifier: 14 digit GTIN; HIBC labeler, product, unit of measure; ISBT 128 product |
    | package_level | Int8 | GTIN indicator digit or HIBC unit of measure: 0 base unit, 1 to 8 packages, 9 variable |
    | lot, serial | String | as printed; a serial number identifies a person's implant |
    | expiration_date, manufacturing_date | Date | day 00, or none, is the last day of the month |
    | expiration_time | Time | where the form has an hour |
    | quantity | Int64 | count in the package (GS1 30 or 37, HIBC quantity) |
    | donation_id | String | ISBT 128 donation identification number, 13 characters and its 2 flags |
    | sscc | String | logistic unit (GS1 00) |
    | link_character | String | HIBC secondary barcode alone: check character of the primary it belongs to |
    | refusal | String | why the scan cannot be read; then all columns but the issuer are null |

    A null gives nulls. A GS1 string without parentheses needs its separators (`SEPARATORS`) after values of variable
    length, unless they end it. Bare digits are a GTIN if their check digit is right, so that one beginning with 10 is
    not taken for a lot. Whether identifiers may stand together is not judged: one label often has two barcodes.
    `as_of` places two-digit years: 49 years back to 50 ahead (GS1 General Specifications 7.12).
    """
    import polars as pl

    if len(scans) > _SCANS_AT_ONCE:
        starts = range(0, len(scans), _SCANS_AT_ONCE)
        return pl.concat([parse(scans.slice(start, _SCANS_AT_ONCE), as_of) for start in starts])
    forms = _forms(_cleaned(scans))
    frames = []
    for form, read in ((_GS1, _read_gs1), (_HIBC, _read_hibc), (_ICCBBA, _read_iccbba)):
        mine = forms.filter(pl.col("form") == form)
        if mine.height:
            frames.append(read(mine, as_of))
    others = forms.filter(pl.col("form") == _OTHER)
    if others.height or not frames:
        frames.append(_complete(others.select("row", "refusal"), None))
    parsed = frames[0] if len(frames) == 1 else pl.concat(frames).sort("row")
    return parsed.drop("row")


def elements(scans: pl.Series, as_of: date, separators: str = SEPARATORS) -> pl.DataFrame:
    """Every element of GS1 element strings, also of identifiers that `parse` has no column for.

    One row an element: `row` (UInt32, of the scan), `position` (UInt32, from 0 within the scan), `ai`,
    `value` (null where the identifier is unknown), `date` (Date, of those that are dates), `number` (String, plain
    decimal: measures 31nn to 36nn, amounts 390n to 393n, percentages 394n, counts 30 and 37), `refusal`.
    The code lists of other standards (currencies, countries, IBAN) are not looked up.
    """
    import numpy as np
    import polars as pl

    rows = _forms(_cleaned(scans)).filter((pl.col("form") != _OTHER) | (pl.col("refusal") == _NO_FORM))
    found = _found(rows["text"], separators)
    judged = _judged(found, as_of)
    listed = pl.DataFrame(
        {
            "row": rows["row"].gather(found.row),
            "place": found.place,
            "code": found.code,
            "value": found.values(np.arange(len(found.row))),
            "date": pl.Series(judged.day).cast(pl.Date),
            "problem": judged.problem,
        }
    ).sort("row", "place")
    code = pl.col("code")
    ai = pl.when(code != _NO_CODE).then(_identifier(code))
    return listed.select(
        "row",
        position=pl.int_range(pl.len(), dtype=pl.UInt32).over("row"),
        ai=ai,
        value=pl.when(code != _NO_CODE).then("value"),
        date="date",
        number=_plain_number(ai, pl.col("value")),
        refusal=_reasons(code, pl.col("problem")),
    )


def gtin14(gtin: pl.Expr) -> pl.Expr:
    """A GTIN of 8, 12, 13 or 14 digits padded to 14; null for anything else. The check digit is not judged."""
    import polars as pl

    is_gtin = gtin.str.len_bytes().is_in(_GTIN_SIZES) & _is_digits(gtin)
    return pl.when(is_gtin).then(gtin.str.pad_start(14, "0"))


def has_check_digit(number: pl.Expr) -> pl.Expr:
    """Whether the last digit checks the others (GS1 7.9.1, modulo 10): GTIN, GLN, SSCC, up to 18 digits.

    False for text that is not 2 to 18 digits; null for null.
    """
    import polars as pl

    size = number.str.len_bytes()
    digits = pl.when(size.is_between(2, 18) & _is_digits(number)).then(number).cast(pl.Int64, strict=False)
    # Three sums of six digits, the last of which is the check digit.
    sums = pl.lit(_weighted_sums())
    total = pl.sum_horizontal(sums.gather(digits // 1_000_000**part % 1_000_000) for part in range(3))
    return pl.when(number.is_not_null()).then(digits.is_not_null() & (total % 10 == 0))


def ndc11(ndc: pl.Expr) -> pl.Expr:
    """An NDC as eleven digits, labeler 5, product 4, package 2; null where `ndc_refusal` has a reason.

    4-4-2, 5-3-2, 5-4-1 and 5-4-2 with hyphens, and eleven digits.
    """
    import polars as pl

    text = ndc.str.strip_chars()
    parts = [
        text.str.extract(r"^([0-9]{4,5})-[0-9]{3,4}-[0-9]{1,2}$").str.pad_start(5, "0"),
        text.str.extract(r"^[0-9]{4,5}-([0-9]{3,4})-[0-9]{1,2}$").str.pad_start(4, "0"),
        text.str.extract(r"^[0-9]{4,5}-[0-9]{3,4}-([0-9]{1,2})$").str.pad_start(2, "0"),
    ]
    hyphened = pl.when(text.str.contains(_NDC_SPLITS)).then(pl.concat_str(parts))
    return pl.coalesce(hyphened, text.str.extract(r"^([0-9]{11})$"))


def ndc_refusal(ndc: pl.Expr) -> pl.Expr:
    """Why an NDC has no eleven digit form; null where it has one."""
    import polars as pl

    text = ndc.str.strip_chars()

    def matches(pattern: str) -> pl.Expr:
        return text.str.contains(pattern)

    return (
        pl.when(text.is_null() | matches(_NDC_SPLITS) | matches(r"^[0-9]{11}$"))
        .then(None)
        .when(matches(r"^[0-9]{10}$"))
        .then(pl.lit("ten digits without hyphens: 4-4-2, 5-3-2 or 5-4-1 cannot be told"))
        .when(matches(r"^(?:[0-8]?0)?3[0-9]{11}$"))
        .then(pl.lit("a UPC or GTIN: the NDC in it has no hyphens, its split cannot be told"))
        .when(matches(r"^[0-9]+-[0-9]+-[0-9]+$"))
        .then(pl.lit("not split 4-4-2, 5-3-2, 5-4-1 or 5-4-2"))
        .when(matches(r"^[0-9\-]*$"))
        .then(pl.lit("length"))
        .otherwise(pl.lit("character"))
    )


_NDC_SPLITS = r"^(?:[0-9]{4}-[0-9]{4}-[0-9]{2}|[0-9]{5}-[0-9]{3}-[0-9]{2}|[0-9]{5}-[0-9]{4}-[0-9]{1,2})$"

# ---------------------------------------------------------------------------------------------------------------- forms

_GS1, _HIBC, _ICCBBA, _OTHER = range(4)
_NO_FORM = "not a form of GS1, HIBCC or ICCBBA"


def _schema() -> dict[str, pl.DataType]:
    import polars as pl

    return {
        "issuer": pl.String(),
        "di": pl.String(),
        "package_level": pl.Int8(),
        "lot": pl.String(),
        "serial": pl.String(),
        "expiration_date": pl.Date(),
        "expiration_time": pl.Time(),
        "manufacturing_date": pl.Date(),
        "quantity": pl.Int64(),
        "donation_id": pl.String(),
        "sscc": pl.String(),
        "link_character": pl.String(),
        "refusal": pl.String(),
    }


def _complete(frame: pl.DataFrame, issuer: str | None) -> pl.DataFrame:
    """All columns of `parse` behind `row`; those that `frame` lacks are null, and all of a refused row."""
    import polars as pl

    columns = []
    is_read = pl.col("refusal").is_null()
    any_refused = frame["refusal"].null_count() < frame.height
    for name, dtype in _schema().items():
        if name == "issuer":
            column = pl.lit(issuer, dtype=pl.String)
        elif name not in frame.columns:
            column = pl.lit(None, dtype=dtype)
        elif name == "refusal" or not any_refused:
            column = pl.col(name).cast(dtype)
        else:
            column = pl.when(is_read).then(pl.col(name).cast(dtype))
        columns.append(column.alias(name))
    return frame.select("row", *columns)


def _cleaned(scans: pl.Series) -> pl.Series:
    """The scans without the line ends and tabs that scanners append."""
    import polars as pl

    return scans.cast(pl.String).str.strip_chars("\r\n\t")


def _forms(text: pl.Series) -> pl.DataFrame:
    """`row`, `text` without its symbology identifier, `symbology`, `form`, and the `refusal` of those without one."""
    import polars as pl

    whole = pl.DataFrame({"text": text}).with_row_index("row")
    whole = whole.with_columns(symbology=pl.lit(None, dtype=pl.String))
    if text.str.starts_with("]").any():
        # AIM symbology identifier (ISO/IEC 15424): the code letter and a modifier.
        has_symbology = pl.col("text").str.contains(r"^\][A-Za-z][0-9A-Za-z]")
        whole = whole.with_columns(
            symbology=pl.when(has_symbology).then(pl.col("text").str.slice(1, 2)),
            text=pl.when(has_symbology).then(pl.col("text").str.slice(3)).otherwise("text"),
        )
    text = whole["text"]
    if (text.str.starts_with(" ") | text.str.starts_with("*") | text.str.ends_with(" ")).any():
        # HIBC is printed between asterisks; its check character may be a blank, printed as an underscore.
        bare = pl.col("text").str.strip_chars_start(" ")
        whole = whole.with_columns(
            text=pl.when(bare.str.contains(r"^\*\+"))
            .then(bare.str.replace(r"^\*(.*?)\*?$", "${1}").str.replace("_$", " "))
            .when(bare.str.starts_with("+"))
            .then(bare)
            .otherwise(bare.str.strip_chars_end(" "))
        )
    content = pl.col("text")
    first = content.str.head(1)
    size = content.str.len_bytes()
    form = (
        pl.when(content.is_null() | (size == 0) | (size > LONGEST_SCAN) | (size != content.str.len_chars()))
        .then(_OTHER)
        .when(first.is_between(pl.lit("0"), pl.lit("9")) | (first == "(") | (first == _GS) | (first == "~"))
        .then(_GS1)
        .when(first == "+")
        .then(_HIBC)
        .when((first == "=") | (first == "&"))
        .then(_ICCBBA)
        .otherwise(_OTHER)
        .cast(pl.Int8)
    )
    whole = whole.with_columns(form=form, refusal=pl.lit(None, dtype=pl.String))
    if (whole["form"] != _OTHER).all():
        return whole
    refusal = (
        pl.when((pl.col("form") != _OTHER) | content.is_null())
        .then(None)
        .when(size == 0)
        .then(pl.lit("empty"))
        .when(size > LONGEST_SCAN)
        .then(pl.lit("length"))
        .when(size != content.str.len_chars())
        .then(pl.lit("character"))
        .otherwise(pl.lit(_NO_FORM))
    )
    return whole.with_columns(refusal=refusal)


# ------------------------------------------------------------------------------------------------------------------ GS1


_UNKNOWN, _NUMERIC, _GTIN, _DATE, _TEXT, _SPECIAL = range(6)
"""How a value is judged: digits; 14 digits with their check digit; YYMMDD; character set 82; by its own pattern."""
_NO_CODE = 9999

_PROBLEMS = (
    "",
    "unknown application identifier",
    "too long, or no separator after it",
    "length",
    "character",
    "check digit",
    "no such date",
    "not as its format says",
    "check character pair",
    "repeated with another value",
)
_FINE, _NO_IDENTIFIER, _ENDLESS, _LENGTH, _CHARACTER, _CHECK_DIGIT, _NO_DATE, _FORMAT, _CHECK_PAIR, _REPEATED = range(
    10
)


@dataclass(frozen=True)
class _Table:
    """What is known of identifiers as arrays, by the identifier read as a number.

    No two share a number: the first two digits say the length. 9999 is none.
    """

    prefix_code: np.ndarray
    """The first two digits as a number by their two bytes, as a little endian number; 9999 where they begin none."""
    size: np.ndarray
    """Length of an identifier, also by its first two digits alone."""
    take: np.ndarray
    """Length of a value that is predefined, otherwise that of the longest scan."""
    shortest: np.ndarray
    longest: np.ndarray
    kind: np.ndarray
    digit: np.ndarray
    """Value of a byte as a digit; so far below 0 where it is none that no sum of others lifts it."""
    is_legal: np.ndarray
    """Whether a byte may stand in text: of character set 82, or between values."""


@cache
def _table() -> _Table:
    import numpy as np

    prefix_code = np.full(65536, _NO_CODE, dtype=np.int64)
    size, shortest, longest, kind = (np.zeros(10_000, dtype=np.int64) for _ in range(4))
    take = np.full(10_000, LONGEST_SCAN, dtype=np.int64)
    for prefix, digits in size_by_prefix().items():
        prefix_code[int.from_bytes(prefix.encode(), "little")] = int(prefix)
        size[int(prefix)] = digits
    for ai, known in application_identifiers().items():
        code = int(ai)
        size[code], shortest[code], longest[code] = len(ai), known.shortest, known.longest
        if known.is_predefined:
            take[code] = known.longest
        kind[code] = _SPECIAL
        if known.characters == "X" and not known.is_check_pair:
            kind[code] = _TEXT
        elif known.characters == "N" and not known.checked and not known.date:
            kind[code] = _NUMERIC
        elif known.characters == "N" and known.checked == known.longest == 14:
            kind[code] = _GTIN
        elif known.characters == "N" and known.date == "YYMMD0":
            kind[code] = _DATE
    digit = np.full(256, -1_000_000_000, dtype=np.int64)
    digit[ord("0") : ord("9") + 1] = np.arange(10)
    is_legal = np.zeros(256, dtype=bool)
    is_legal[[ord(character) for character in _CHARACTERS_82 + SEPARATORS]] = True
    is_legal[_CLOSED] = True
    return _Table(prefix_code, size, take, shortest, longest, kind, digit, is_legal)


@dataclass(frozen=True)
class _Found:
    """Elements of many strings, as places in their joined bytes; those of one string in its order, strings not."""

    text: pl.Series
    joined: np.ndarray
    begins: np.ndarray
    """Where each string begins."""
    row: np.ndarray
    place: np.ndarray
    """Ascending within a row, not dense."""
    code: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def values(self, at: np.ndarray) -> pl.Series:
        """The values of the elements `at`; null where that is below 0."""
        import numpy as np
        import polars as pl

        row = self.row[at]
        frame = pl.DataFrame(
            {"start": self.start[at] - self.begins[row], "size": self.end[at] - self.start[at], "is_found": at >= 0}
        )
        is_aligned = len(at) == len(self.text) and bool(((row == np.arange(len(at))) | (at < 0)).all())
        text = self.text if is_aligned else self.text.gather(row)
        value = pl.lit(text).str.slice(pl.col("start"), pl.col("size"))
        return frame.select(pl.when("is_found").then(value)).to_series()


def _found(text: pl.Series, separators: str) -> _Found:
    """Elements of GS1 strings (ASCII, none of them empty), taken off the fronts of all stretches at once.

    A stretch is what stands between separators; in a string that begins with a parenthesis also what `(01)` begins. An
    unknown identifier ends its stretch as an element of `_NO_CODE`.
    """
    import numpy as np
    import polars as pl

    table = _table()
    if text.str.contains(" ", literal=True).any():
        blanks = text.str.replace_all(r" *\(([0-9]{2,4})\) *", "(${1})")
        text = pl.select(pl.when(text.str.starts_with("(")).then(blanks).otherwise(text)).to_series()
    sizes = text.str.len_bytes().to_numpy().astype(np.int64)
    begins = np.cumsum(sizes + 1) - sizes - 1
    content = (text.str.join(_GS).item() or "") if len(text) else ""
    joined = np.frombuffer((content + _GS * 8).encode(), dtype=np.uint8).copy()
    total = len(joined) - 8
    # A mark of our own that stands in a scan is no mark, and no legal character either.
    joined[joined == _CLOSED] = 0
    is_printed = joined[begins] == ord("(")
    any_printed = bool(is_printed.any())
    if any_printed:
        _open_parentheses(joined, np.repeat(is_printed, sizes + 1))
    # Every two neighbouring bytes as one number.
    pairs = np.ndarray(len(joined) - 1, dtype="<u2", buffer=joined, strides=(1,))
    is_separator = np.zeros(256, dtype=bool)
    is_separator[[ord(separator) for separator in {*separators, _GS}]] = True
    ends = np.flatnonzero(is_separator[joined[: total + 1]])
    starts = np.concatenate([[0], ends[:-1] + 1])
    is_last = np.zeros(total + 1, dtype=bool)
    is_last[begins + sizes] = True
    row = np.cumsum(is_last[ends]) - is_last[ends]
    full = starts < ends
    at, end, row = starts[full], ends[full], row[full]
    place = np.arange(len(at)) * LONGEST_SCAN
    parts = [(row[:0], place[:0], row[:0], at[:0], end[:0])]
    while len(at):
        code = table.prefix_code[pairs[at]]
        size = table.size[code]
        for offset in (2, 3):
            longer = np.flatnonzero(size > offset)
            code[longer] = code[longer] * 10 + table.digit[joined[at[longer] + offset]]
        code[(code < 0) | (code > _NO_CODE)] = _NO_CODE
        start = at + size
        until = np.minimum(start + table.take[code], end)
        if any_printed:
            printed = is_printed[row]
            code = np.where(printed & (joined[start] != _CLOSED), _NO_CODE, code)
            start = start + printed
            until = np.where(printed, end, until)
        unknown = np.flatnonzero(table.kind[code] == _UNKNOWN)
        code[unknown], until[unknown] = _NO_CODE, end[unknown]
        parts.append((row, place, code, np.minimum(start, until), until))
        more = until < end
        at, end, row, place = until[more], end[more], row[more], place[more] + 1
    row, place, code, start, end = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Found(text, joined, begins, row, place, code, start, end)


_CLOSED = 0x1E
"""Stands for the parenthesis behind an identifier while strings are taken apart."""


def _open_parentheses(joined: np.ndarray, is_printed: np.ndarray) -> None:
    """Turn `(01)` into a separator, 01 and `_CLOSED`, in place, where `is_printed`; other parentheses are content."""
    import numpy as np

    digit = _table().digit
    opens = np.flatnonzero(joined[: len(is_printed)] == ord("("))
    opens = opens[is_printed[opens]]
    number = digit[joined[opens + 1]]
    for size in (2, 3, 4):
        number = number + digit[joined[opens + size]]
        closes = opens + size + 1
        is_identifier = (number >= 0) & (joined[closes] == ord(")"))
        joined[opens[is_identifier]] = ord(_GS)
        joined[closes[is_identifier]] = _CLOSED


@dataclass(frozen=True)
class _Judged:
    """Beside the elements: what is wrong with each (a place in `_PROBLEMS`), and its date."""

    problem: np.ndarray
    day: np.ndarray


def _judged(found: _Found, as_of: date) -> _Judged:
    import numpy as np

    table = _table()
    kind, size = table.kind[found.code], found.end - found.start
    problem = np.zeros(len(kind), dtype=np.int64)
    day = np.full(len(kind), np.datetime64("NaT"), dtype="datetime64[D]")

    def refuse(at: np.ndarray, is_wrong: np.ndarray, reason: int) -> np.ndarray:
        """Of the elements `at`, mark the wrong ones; the others go on to the next question."""
        problem[at[is_wrong]] = reason
        return at[~is_wrong]

    longest = table.longest[found.code]
    problem[(size > longest) | (size < table.shortest[found.code])] = _LENGTH
    problem[(size > longest) & (table.take[found.code] == LONGEST_SCAN)] = _ENDLESS
    problem[kind == _UNKNOWN] = _NO_IDENTIFIER
    at = np.flatnonzero(problem == _FINE)
    kinds = kind[at]

    texts = at[kinds == _TEXT]
    illegal = np.flatnonzero(~table.is_legal[found.joined])
    if len(illegal):
        refuse(
            texts, np.searchsorted(illegal, found.start[texts]) < np.searchsorted(illegal, found.end[texts]), _CHARACTER
        )

    gtins = at[kinds == _GTIN]
    digits = _digits(found, gtins, 14)
    is_number = np.logical_and.reduce([digit <= 9 for digit in digits])
    checked = np.zeros(len(gtins), dtype=np.uint16)
    for place, digit in enumerate(digits):
        checked += digit if place % 2 else 3 * digit
    refuse(refuse(gtins, ~is_number, _CHARACTER), checked[is_number] % 10 != 0, _CHECK_DIGIT)

    dates = at[kinds == _DATE]
    digits = _digits(found, dates, 6)
    is_number = np.logical_and.reduce([digit <= 9 for digit in digits])
    number = np.zeros(len(dates), dtype=np.int64)
    for digit in digits:
        number = number * 10 + digit
    dates = refuse(dates, ~is_number, _CHARACTER)
    day[dates] = _calendar_days(as_of.year)[number[is_number]]
    refuse(dates, np.isnat(day[dates]), _NO_DATE)

    numbers = at[kinds == _NUMERIC]
    if len(numbers):
        others = np.flatnonzero(table.digit[found.joined] < 0)
        start, end = found.start[numbers], found.end[numbers]
        refuse(numbers, np.searchsorted(others, start) < np.searchsorted(others, end), _CHARACTER)

    special = at[kinds == _SPECIAL]
    for code in np.unique(found.code[special]):
        alike = special[found.code[special] == code]
        problem[alike], day[alike] = _judged_special(f"{code:0{table.size[code]}d}", found.values(alike), as_of)
    return _Judged(problem, day)


def _digits(found: _Found, at: np.ndarray, count: int) -> list[np.ndarray]:
    """The first digits of the elements `at`, place by place; above 9 where a character is none."""
    import numpy as np

    start = found.start[at]
    return [(found.joined[start + offset] - np.uint8(ord("0"))).astype(np.uint16) for offset in range(count)]


def _judged_special(ai: str, values: pl.Series, as_of: date) -> tuple[np.ndarray, np.ndarray]:
    """`_Judged` of the values of one identifier that are more than one field of digits or text, of right length."""
    import polars as pl

    known = application_identifiers()[ai]
    sets = {"N": "[0-9]", "X": CHARACTERS_82, "Y": CHARACTERS_39, "Z": CHARACTERS_64}
    value = pl.col("value")
    wrong = []
    if known.characters:
        wrong.append((~value.str.contains(f"^{sets[known.characters]}*$"), _CHARACTER))
    else:
        wrong.append((~value.str.contains(f"^(?:{known.pattern})$"), _FORMAT))
    if known.checked:
        wrong.append((~has_check_digit(value.str.head(known.checked)), _CHECK_DIGIT))
    if known.is_check_pair:
        wrong.append((~_has_check_pair(value), _CHECK_PAIR))
    day: pl.Expr = pl.lit(None, dtype=pl.Date)
    if known.date == "YYYYMMDD":
        day = value.str.head(8).str.to_date("%Y%m%d", strict=False)
    elif known.date:
        day = _day(value.str.head(6).cast(pl.Int64, strict=False), as_of)
        if known.date == "YYMMDD":
            day = pl.when(value.str.slice(4, 2) != "00").then(day)
    if known.date:
        wrong.append((day.is_null(), _NO_DATE))
    if ai == "7007":
        until = value.str.slice(6)
        ends = _day(until.cast(pl.Int64, strict=False), as_of).is_not_null() & (until.str.slice(4) != "00")
        wrong.append(((until != "") & ~ends, _NO_DATE))
    problem = pl.coalesce(*(pl.when(is_wrong).then(reason) for is_wrong, reason in wrong), pl.lit(_FINE))
    judged = pl.DataFrame({"value": values}).select(problem=problem, day=day)
    return judged["problem"].to_numpy(), judged["day"].to_numpy()


def _reasons(code: pl.Expr, problem: pl.Expr) -> pl.Expr:
    """A problem in words, behind the identifier where that is known; null where there is none."""
    import polars as pl

    words = pl.lit(pl.Series(_PROBLEMS)).gather(problem)
    told = pl.when(code == _NO_CODE).then(words).otherwise(pl.format("({}): {}", _identifier(code), words))
    return pl.when(problem != _FINE).then(told)


def _is_digits(text: pl.Expr) -> pl.Expr:
    """Whether texts of at most 18 characters are digits; a sign would sort before them."""
    import polars as pl

    return (text >= "0") & text.cast(pl.Int64, strict=False).is_not_null()


@cache
def _weighted_sums() -> pl.Series:
    """For each number of six digits their sum, the first, third and fifth thrice (GS1 General Specifications 7.9.1)."""
    import numpy as np
    import polars as pl

    number = np.arange(1_000_000)
    return pl.Series(sum(number // 10**place % 10 * (3 if place % 2 else 1) for place in range(6)))


def _identifier(code: pl.Expr) -> pl.Expr:
    """The digits of an identifier."""
    import polars as pl

    size = pl.lit(pl.Series(_table().size)).gather(code)
    return code.cast(pl.String).str.pad_start(4, "0").str.slice(4 - size)


def _has_check_pair(value: pl.Expr) -> pl.Expr:
    """Whether the last two characters check the others (GS1 General Specifications 7.9.5, modulo 1021)."""
    import polars as pl

    size = value.str.len_bytes().cast(pl.Int64) - 2
    values = {character: at for at, character in enumerate(_CHARACTERS_82)}
    total = pl.lit(0)
    for place, prime in enumerate(_PRIMES):
        # The last character before the pair has the first prime.
        at = pl.when(size > place).then(value.str.slice(size - 1 - place, 1))
        total = total + prime * at.replace_strict(values, default=0, return_dtype=pl.Int64).fill_null(0)
    rest = total % 1021
    characters = pl.lit(pl.Series(list(_PAIR_CHARACTERS)))
    pair = pl.concat_str(characters.gather(rest // 32), characters.gather(rest % 32))
    return (size > 0) & (value.str.slice(size) == pair)


@lru_cache(maxsize=4)
def _calendar_days(year: int) -> np.ndarray:
    """Date of every YYMMDD as a number, not a time where there is none; day 00 is the last of its month.

    Of the years that end so, the one from 49 before to 50 after `year` (GS1 General Specifications 7.12).
    """
    import numpy as np

    days = np.full(1_000_000, np.datetime64("NaT"), dtype="datetime64[D]")
    for other in range(year - 49, year + 51):
        for month in range(1, 13):
            last = calendar.monthrange(other, month)[1]
            first = date(other, month, 1)
            at = other % 100 * 10_000 + month * 100
            days[at] = first + timedelta(days=last - 1)
            days[at + 1 : at + 1 + last] = np.arange(last) + np.datetime64(first)
    return days


@lru_cache(maxsize=4)
def _calendar(year: int) -> pl.Series:
    import polars as pl

    return pl.Series(_calendar_days(year)).cast(pl.Date)


def _day(yymmdd: pl.Expr, as_of: date) -> pl.Expr:
    import polars as pl

    return pl.lit(_calendar(as_of.year)).gather(pl.when(yymmdd.is_between(0, 999_999)).then(yymmdd))


def _plain_number(ai: pl.Expr, value: pl.Expr) -> pl.Expr:
    """Decimal text of measures, amounts, percentages and counts: the identifier's last digit places the point."""
    import polars as pl

    places = ai.str.slice(3, 1).cast(pl.Int64, strict=False)
    has_currency = ai.str.contains("^39[13]")
    has_point = ai.str.contains("^(?:3[1-6]|39[0-5])[0-9]{1,2}$") & value.str.contains("^[0-9]+$")
    digits = pl.when(has_currency).then(value.str.slice(3)).otherwise(value)
    padded = digits.str.pad_start(16, "0")
    whole = padded.str.head(16 - places).str.strip_chars_start("0")
    whole = pl.when(whole == "").then(pl.lit("0")).otherwise(whole)
    fraction = padded.str.slice(16 - places)
    pointed = pl.when(places == 0).then(whole).otherwise(pl.concat_str(whole, pl.lit("."), fraction))
    count = value.str.extract("^0*([0-9]+)$")
    return pl.when(has_point).then(pointed).when(ai.is_in(["30", "37"])).then(count)


_GTIN_SYMBOLOGIES = ("E0", "E3", "E4", "I1")
_ELEMENT_SYMBOLOGIES = ("C1", "e0", "e1", "e2", "d2", "Q3", "J1")
"""GS1 General Specifications section 5.1: EAN/UPC and ITF-14; those with FNC1 in first place."""


def _read_gs1(forms: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """GS1 element strings, and bare GTINs."""
    import numpy as np
    import polars as pl

    rows = forms.select("row", "text", "symbology")
    gtins = _bare_gtins(rows)
    if gtins.height:
        rows = rows.join(gtins.select("row"), on="row", how="anti", maintain_order="left")
        gtins = _complete(gtins, "GS1")
        if not rows.height:
            return gtins
    found = _found(rows["text"], SEPARATORS)
    judged = _judged(found, as_of)
    problem = judged.problem
    places = {}
    for code in (0, 1, 10, 11, 17, 21, 30, 37, 7003):
        mine = np.flatnonzero(found.code == code)
        if not len(mine):
            continue
        at = np.full(rows.height, -1, dtype=np.int64)
        at[found.row[mine]] = mine
        places[code] = at
        others = mine[at[found.row[mine]] != mine]
        if len(others):
            differs = found.values(others) != found.values(at[found.row[others]])
            problem[others[differs.to_numpy()]] = _REPEATED
    columns = {name: found.values(places[code]) for name, code in _TEXT_FIELDS.items() if code in places}
    for name, code in _DATE_FIELDS.items():
        if code in places:
            at = places[code]
            columns[name] = pl.Series(np.where(at < 0, np.datetime64("NaT"), judged.day[at])).cast(pl.Date)
    parsed = rows.select("row", **columns).with_columns(refusal=_first_refusals(found, problem, rows.height))
    if "expiry" in columns:
        day = pl.coalesce("expiration_date", "expires") if "expiration_date" in columns else pl.col("expires")
        time = pl.col("expiry").str.slice(6).str.to_time("%H%M", strict=False)
        parsed = parsed.with_columns(expiration_date=day, expiration_time=time)
    if counts := [name for name in ("count", "contained") if name in columns]:
        parsed = parsed.with_columns(quantity=pl.coalesce(pl.col(counts).cast(pl.Int64, strict=False)))
    if "di" in columns:
        parsed = parsed.with_columns(package_level=pl.col("di").str.head(1).cast(pl.Int8, strict=False))
    parsed = _complete(parsed, "GS1")
    return pl.concat([parsed, gtins]).sort("row") if gtins.height else parsed


_TEXT_FIELDS = {"di": 1, "lot": 10, "serial": 21, "sscc": 0, "count": 30, "contained": 37, "expiry": 7003}
_DATE_FIELDS = {"expiration_date": 17, "manufacturing_date": 11, "expires": 7003}


def _first_refusals(found: _Found, problem: np.ndarray, rows: int) -> pl.Series:
    """Why each string is refused: what is wrong with its first wrong element."""
    import numpy as np
    import polars as pl

    wrong = np.flatnonzero(problem != _FINE)
    if not len(wrong):
        return pl.Series([None], dtype=pl.String).extend_constant(None, rows - 1)
    wrong = wrong[np.argsort(found.place[wrong])]
    row, first = np.unique(found.row[wrong], return_index=True)
    told = pl.DataFrame({"code": found.code[wrong[first]], "problem": problem[wrong[first]]})
    at = np.full(rows, -1, dtype=np.int64)
    at[row] = np.arange(len(row))
    reasons = told.select(_reasons(pl.col("code"), pl.col("problem"))).to_series()
    return pl.DataFrame({"at": at}).select(pl.lit(reasons).gather(pl.when(pl.col("at") >= 0).then("at"))).to_series()


_SHORT_PREDEFINED = sorted(prefix for prefix in PREDEFINED if "11" <= prefix <= "36")
"""Of the values of predefined length, those that leave an element string as short as a GTIN."""


def _bare_gtins(rows: pl.DataFrame) -> pl.DataFrame:
    """`row`, `di`, `package_level`, `refusal` of the scans that are a GTIN and nothing else.

    Bare digits are one if their check digit is right. If it is wrong, they may still be an element string, but only one
    whose first value has a predefined length and room: a lot number (10) or the like would swallow any digits.
    """
    import polars as pl

    text, symbology = pl.col("text"), pl.col("symbology")
    is_of_size = text.str.len_bytes().is_in(_GTIN_SIZES) & ~symbology.fill_null("").is_in(_ELEMENT_SYMBOLOGIES)
    must_be = symbology.fill_null("").is_in(_GTIN_SYMBOLOGIES)
    some = rows.filter(is_of_size | must_be)
    if not some.height:
        return pl.DataFrame(schema={"row": pl.UInt32, "di": pl.String, "package_level": pl.Int8, "refusal": pl.String})
    di = gtin14(text)
    is_right = has_check_digit(di).fill_null(False)
    may_be_elements = ~must_be & (di.is_null() | text.str.head(2).is_in(_SHORT_PREDEFINED))
    reason = pl.when(di.is_null()).then(pl.lit("GTIN: length or character")).otherwise(pl.lit("GTIN: check digit"))
    return some.filter(is_right | ~may_be_elements).select(
        "row",
        di=di,
        package_level=di.str.head(1).cast(pl.Int8, strict=False),
        refusal=pl.when(~is_right).then(reason),
    )


# ---------------------------------------------------------------------------------------------------------------- HIBCC

_LABELER_PRODUCT_UNIT = "[A-Z][A-Z0-9]{3}[A-Z0-9]{1,18}[0-9]"
_PRINTED = r"[A-Z0-9.\- ]"
"""Characters of a lot or serial number; `/` divides, and `$ + %` have other uses."""


def _read_hibc(forms: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """HIBC primary, secondary and joined structures (ANSI/HIBC 2.6 sections 2.2 and 2.3)."""
    import polars as pl

    text, data = pl.col("text"), pl.col("data")
    rows = forms.select("row", "text")
    left = _hibc_rests(rows["text"])
    # Transports pad with blanks, or cut off a check character that is one: then the scan must be right without or with.
    for other in (rows["text"].str.strip_chars_end(" "), rows["text"].str.strip_chars_end(" ") + " "):
        is_right = (left > 0) & (_hibc_rests(other) == 0)
        rows = rows.with_columns(text=pl.when(is_right).then(other).otherwise(text))
        left = left.set(is_right, 0)
    rows = rows.with_columns(is_legal=left >= 0, is_checked=left == 0, data=text.str.slice(1).str.head(-1))
    is_secondary_alone = ~text.str.contains(r"^\+[A-Z]")
    is_joined = data.str.contains("/", literal=True) & ~is_secondary_alone
    rows = rows.with_columns(
        is_secondary_alone=is_secondary_alone,
        di=pl.when(~is_secondary_alone).then(data.str.extract(f"^({_LABELER_PRODUCT_UNIT})(?:/.*)?$")),
        # Alone, a secondary structure ends with the primary's check character and then its own.
        link_character=pl.when(is_secondary_alone).then(data.str.tail(1)),
        secondary=pl.when(is_secondary_alone)
        .then(data.str.head(-1))
        .when(is_joined)
        .then(data.str.replace("^[^/]*/", "")),
    )
    first = pl.col("secondary").str.extract("^([^/]*)")
    rows = rows.with_columns(first=first, more=pl.col("secondary").str.slice(first.str.len_bytes().cast(pl.Int64)))
    head = pl.col("first")
    # Reference, quantity, date, then lot or serial number (ANSI/HIBC 2.6 table 2).
    reference = head.str.extract(r"^(\$\$\+|\$\$|\$\+|\$)").fill_null("")
    rows = rows.with_columns(reference=reference, rest=head.str.slice(reference.str.len_bytes().cast(pl.Int64)))
    reference, rest = pl.col("reference"), pl.col("rest")
    quantity = pl.when(reference == "$$").then(rest.str.extract("^(8[0-9]{2}|9[0-9]{5})"))
    rows = rows.with_columns(
        quantity=quantity.str.slice(1).cast(pl.Int64, strict=False),
        rest=rest.str.slice(quantity.str.len_bytes().fill_null(0).cast(pl.Int64)),
    )
    is_dated = reference.is_in(["$$", "$$+"])
    layouts = {
        "": "[01][0-9]{3}",
        "2": "[0-9]{6}",
        "3": "[0-9]{6}",
        "4": "[0-9]{8}",
        "5": "[0-9]{5}",
        "6": "[0-9]{7}",
    }
    either = "|".join(flag + digits for flag, digits in layouts.items())
    dated = (
        pl.when(is_dated)
        .then(rest.str.extract(f"^({either}|7)"))
        .when(reference == "")
        .then(rest.str.extract("^([0-9]{5})"))
    )
    rows = rows.with_columns(dated=dated, printed=rest.str.slice(dated.str.len_bytes().fill_null(0).cast(pl.Int64)))
    rows = rows.with_columns(_hibc_date(pl.col("dated"), reference, as_of))
    printed, more = pl.col("printed"), pl.col("more")
    rows = rows.with_columns(
        more_serial=more.str.extract(f"/S({_PRINTED}{{1,18}})(?:/|$)"),
        more_made=more.str.extract("/16D([0-9]{8})(?:/|$)"),
        more_expires=more.str.extract("/14D([0-9]{8})(?:/|$)"),
        more_quantity=more.str.extract("/Q([0-9]{1,5})(?:/|$)"),
    )
    made, until = (pl.col(name).str.to_date("%Y%m%d", strict=False) for name in ("more_made", "more_expires"))
    known_more = f"^(?:/S{_PRINTED}{{1,18}}|/16D[0-9]{{8}}|/14D[0-9]{{8}}|/Q[0-9]{{1,5}})*$"
    is_serial = reference.is_in(["$+", "$$+"])
    lacks_date = is_dated & pl.col("dated").is_null() & ~(pl.col("quantity").is_not_null() & (printed == ""))
    has_printed = pl.when(printed != "").then(printed)
    refusal = (
        pl.when(~pl.col("is_legal"))
        .then(pl.lit("HIBC: character"))
        .when(~pl.col("is_checked"))
        .then(pl.lit("HIBC: check character"))
        .when(~pl.col("is_secondary_alone") & pl.col("di").is_null())
        .then(pl.lit("HIBC primary: not labeler, product and unit of measure"))
        .when(pl.col("secondary").is_null())
        .then(None)
        .when(lacks_date | ((reference == "") & pl.col("dated").is_null()))
        .then(pl.lit("HIBC secondary: no such reference or date layout"))
        .when(pl.col("dated").is_not_null() & (pl.col("dated") != "7") & pl.col("expiration_date").is_null())
        .then(pl.lit("HIBC secondary: no such date"))
        .when((reference.is_in(["$", "$+"]) | (pl.col("dated") == "7").fill_null(False)) & (printed == ""))
        .then(pl.lit("HIBC secondary: length of lot or serial number"))
        .when(printed.str.len_bytes() > 18)
        .then(pl.lit("HIBC secondary: length of lot or serial number"))
        .when(~printed.str.contains(f"^{_PRINTED}*$"))
        .then(pl.lit("HIBC secondary: character"))
        .when(~more.str.contains(known_more))
        .then(pl.lit("HIBC secondary: supplemental element"))
        .when(
            (pl.col("more_made").is_not_null() & made.is_null())
            | (pl.col("more_expires").is_not_null() & until.is_null())
        )
        .then(pl.lit("HIBC secondary: no such date"))
    )
    read = rows.select(
        "row",
        "di",
        package_level=pl.col("di").str.tail(1).cast(pl.Int8, strict=False),
        lot=pl.when(~is_serial).then(has_printed),
        serial=pl.coalesce(pl.when(is_serial).then(has_printed), "more_serial"),
        expiration_date=pl.coalesce(until, "expiration_date"),
        expiration_time=pl.col("expiration_time"),
        manufacturing_date=made,
        quantity=pl.coalesce("quantity", pl.col("more_quantity").cast(pl.Int64, strict=False)),
        link_character=pl.col("link_character"),
        refusal=refusal,
    )
    return _complete(read, "HIBCC")


def _hibc_date(dated: pl.Expr, reference: pl.Expr, as_of: date) -> list[pl.Expr]:
    """Date and time of MMYY, 2MMDDYY, 3YYMMDD, 4YYMMDDHH, 5YYJJJ, 6YYJJJHH, and of YYJJJ without a reference."""
    import polars as pl

    flag = (
        pl.when(reference == "")
        .then(pl.lit("5"))
        .when(dated.str.len_bytes() == 4)
        .then(pl.lit(""))
        .otherwise(dated.str.head(1))
    )
    digits = pl.when((reference == "") | (flag == "")).then(dated).otherwise(dated.str.slice(1))
    year_first = (
        pl.when(flag == "")
        .then(pl.concat_str(digits.str.slice(2), digits.str.head(2), pl.lit("00")))
        .when(flag == "2")
        .then(pl.concat_str(digits.str.slice(4), digits.str.head(4)))
        .when(flag.is_in(["3", "4"]))
        .then(digits.str.head(6))
    )
    # A day that is given must be one: 00 stands for none only where the form has no day.
    is_day = (flag == "") | (year_first.str.slice(4) != "00")
    day = _day(pl.when(is_day).then(year_first).cast(pl.Int64, strict=False), as_of)
    ordinal = pl.when(flag.is_in(["5", "6"])).then(digits)
    in_year = ordinal.str.slice(2, 3).cast(pl.Int64, strict=False)
    begins = _day(pl.concat_str(ordinal.str.head(2), pl.lit("0101")).cast(pl.Int64, strict=False), as_of)
    counted = begins + pl.duration(days=in_year - 1)
    counted = pl.when((in_year >= 1) & (counted.dt.year() == begins.dt.year())).then(counted)
    hour = pl.when(flag == "4").then(digits.str.slice(6)).when(flag == "6").then(digits.str.slice(5))
    time = pl.concat_str(hour, pl.lit("00")).str.to_time("%H%M", strict=False)
    has_hour = flag.is_in(["4", "6"])
    expires = pl.when(~has_hour | time.is_not_null()).then(pl.coalesce(day, counted))
    return [expires.alias("expiration_date"), time.alias("expiration_time")]


def _hibc_rests(text: pl.Series) -> pl.Series:
    """Sum of the characters less the check character, modulo 43: 0 if that is right, -1 if a character is illegal."""
    import numpy as np
    import polars as pl

    values = np.full(256, -1_000_000, dtype=np.int64)
    values[[ord(character) for character in _HIBC_CHARACTERS]] = np.arange(43)
    sizes = text.str.len_bytes().to_numpy().astype(np.int64)
    ends = np.cumsum(sizes)
    of_character = values[np.frombuffer(text.str.join("").item().encode(), dtype=np.uint8)]
    totals = np.add.reduceat(of_character, ends - sizes)
    return pl.Series(np.where(totals < 0, -1, (totals - 2 * of_character[ends - 1]) % 43))


# --------------------------------------------------------------------------------------------------------------- ICCBBA

_ISBT_128 = {
    "di": ("=/", "[A-Z0-9]{16}"),
    "container_di": ("=)", "[A-Z0-9]{10}"),
    "serial": ("=,", "[A-Z0-9]{6}"),
    "donation_id": ("=", "[A-NP-Z1-9][A-Z0-9]{14}"),
    "expires": ("=>", "[0-9]{6}"),
    "made": ("=}", "[0-9]{6}"),
    "lot": ("&,1", "[A-Z0-9]{18}"),
    "container_lot": ("&)", "[A-Z0-9]{10}"),
    "message": ("=+", "[0-9]{5}"),
}
"""Data structures of a device (FDA, UDI formats by issuing agency; ISBT 128 ST-011), each of one length."""


def _read_iccbba(forms: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """ISBT 128 data structures one after the other, in any order, with or without the compound message's own."""
    import polars as pl

    text = pl.col("text")
    structures = {name: re.escape(flag) + f"({data})" for name, (flag, data) in _ISBT_128.items()}
    either = "|".join(re.escape(flag) + data for flag, data in _ISBT_128.values())
    rows = forms.select(
        "row",
        **{name: text.str.extract(pattern) for name, pattern in structures.items()},
        is_whole=text.str.contains(f"^(?:{either})+$"),
        repeats=pl.sum_horizontal(text.str.count_matches(pattern) > 1 for pattern in structures.values()),
    )
    expires, made = _century_day("expires"), _century_day("made")
    refusal = (
        pl.when(~pl.col("is_whole"))
        .then(pl.lit("ISBT 128: unknown data structure, or length or character of one"))
        .when(pl.col("repeats") > 0)
        .then(pl.lit("ISBT 128: data structure repeated"))
        .when((pl.col("expires").is_not_null() & expires.is_null()) | (pl.col("made").is_not_null() & made.is_null()))
        .then(pl.lit("ISBT 128: no such date"))
    )
    read = rows.select(
        "row",
        "serial",
        "donation_id",
        di=pl.coalesce("di", "container_di"),
        lot=pl.coalesce("lot", "container_lot"),
        expiration_date=expires,
        manufacturing_date=made,
        refusal=refusal,
    )
    return _complete(read, "ICCBBA")


def _century_day(name: str) -> pl.Expr:
    """The date of cyyjjj: century (9 for 19.., 0 for 20..), year, day of the year (ISBT 128 data structure 004)."""
    import polars as pl

    digits = pl.col(name)
    year = digits.str.head(3).cast(pl.Int32, strict=False)
    year = pl.when(year >= 900).then(year + 1000).otherwise(year + 2000)
    in_year = digits.str.slice(3).cast(pl.Int64, strict=False)
    begins = pl.date(year, 1, 1)
    day = begins + pl.duration(days=in_year - 1)
    return pl.when((in_year >= 1) & (day.dt.year() == year)).then(day)
