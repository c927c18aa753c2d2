"""The GS1 application identifiers, and what a value of each must look like.

Here: facts of the GS1 General Specifications, section 3 (identifiers, formats, check digits, dates) and section 7.8
(element strings of predefined length). Not here: reading them (`udi`).

A format is written as there: `N` digits, `X` character set 82, `Y` character set 39, `Z` base 64 for files and URLs;
`N6` six, `X..20` one to twenty, `[N4]` may be absent. `310n` stands for 3100 to 3105.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

DIGIT = "[0-9]"
CHARACTERS_82 = r"""[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]"""
CHARACTERS_39 = r"[#\-/0-9A-Z]"
CHARACTERS_64 = r"[A-Za-z0-9\-_=]"
_SETS = {"N": DIGIT, "X": CHARACTERS_82, "Y": CHARACTERS_39, "Z": CHARACTERS_64}

_HOUR = "(?:[01][0-9]|2[0-3])"
_MINUTE = "[0-5][0-9]"

# The first two digits say how long the identifier is.
_SIZES = {2: "00-22 30 37 90-99", 3: "23-25 40-42 71", 4: "31-36 39 43 70 72 80-82"}


@dataclass(frozen=True)
class _Shape:
    format: str
    identifiers: str
    checked: int = 0
    """Leading digits of which the last is a check digit."""
    date: str = ""
    """Layout of the date that the value begins with; YYMMD0 may have day 00, the last of the month."""
    pattern: str = ""
    """Where the format alone says too little."""
    is_check_pair: bool = False
    """Whether the value ends with a check character pair (section 7.9.5)."""


_MEASURES = """
310n 311n 312n 313n 314n 315n 316n 320n 321n 322n 323n 324n 325n 326n 327n 328n 329n 330n 331n 332n 333n 334n 335n 336n
337n 340n 341n 342n 343n 344n 345n 346n 347n 348n 349n 350n 351n 352n 353n 354n 355n 356n 357n 360n 361n 362n 363n 364n
365n 366n 367n 368n 369n
"""

_SHAPES = (
    _Shape("N18", "00", checked=18),
    _Shape("N14", "01-03", checked=14),
    _Shape("X..20", "10 21-22 243 254 420 710-717 4318 7020-7022 7240 8002 8012"),
    _Shape("N6", "11-13 15-17", date="YYMMD0"),
    _Shape("N2", "20 7241"),
    _Shape("X..28", "235"),
    _Shape("X..30", "240-241 250-251 400-401 403 90 4308 4319 7002 7023 8004"),
    _Shape("N..6", "242"),
    _Shape("N13 [X..17]", "253", checked=13),
    _Shape("N13 [N..12]", "255", checked=13),
    _Shape("N..8", "30 37"),
    _Shape("N6", _MEASURES + "395n 8005"),
    _Shape("N..15", "3900-3909 3920-3929"),
    _Shape("N3 N..15", "3910-3919 3930-3939"),
    _Shape("N4", "3940-3943 8111"),
    _Shape("N17", "402", checked=17),
    _Shape("N13", "410-417", checked=13),
    _Shape("N3 X..9", "421"),
    _Shape("N3", "422 424 426"),
    _Shape("N3 [N3] [N3] [N3] [N3]", "423 425"),
    _Shape("X..3", "427 7008"),
    _Shape("X..35", "4300-4301 4310-4311 4320"),
    _Shape("X..70", "4302-4306 4312-4316 7257 8110 8112 8200"),
    _Shape("X2", "4307 4317"),
    _Shape("N10 N10", "4309"),
    _Shape("N1", "4321-4323", pattern="[01]"),
    _Shape("N6 N4", "4324-4325", date="YYMMD0", pattern=f"[0-9]{{6}}(?:{_HOUR}{_MINUTE}|9999)"),
    _Shape("N6", "4326 7006", date="YYMMDD"),
    _Shape("N6 [X1]", "4330-4333", pattern="[0-9]{6}-?"),
    _Shape("N13", "7001"),
    _Shape("N6 N4", "7003", date="YYMMDD", pattern=f"[0-9]{{6}}{_HOUR}{_MINUTE}"),
    _Shape("N..4", "7004"),
    _Shape("X..12", "7005"),
    _Shape("N6 [N6]", "7007", date="YYMMDD"),
    _Shape("X..10", "7009 7255"),
    _Shape("X..2", "7010"),
    _Shape("N6 [N4]", "7011", date="YYMMDD", pattern=f"[0-9]{{6}}(?:{_HOUR}{_MINUTE})?"),
    _Shape("N3 X..27", "7030-7039"),
    _Shape("N1 X1 X1 X1", "7040"),
    _Shape("X..4", "7041"),
    _Shape("X2 X..28", "7230-7239"),
    _Shape("X..25", "7242 8020"),
    _Shape("N8", "7250", date="YYYYMMDD"),
    _Shape("N8 N4", "7251", date="YYYYMMDD", pattern=f"[0-9]{{8}}{_HOUR}{_MINUTE}"),
    _Shape("N1", "7252", pattern="[0129]"),
    _Shape("X..40", "7253-7254 7259"),
    _Shape("X..90", "7256 91-99"),
    _Shape("X3", "7258", pattern="[1-9]/[1-9]"),
    _Shape("N4 N5 N3 N1 N1", "8001"),
    _Shape("N1 N13 [X..16]", "8003", checked=14, pattern=f"0[0-9]{{13}}{CHARACTERS_82}{{0,16}}"),
    _Shape("N14 N4", "8006 8026", checked=14),
    _Shape("X..34", "8007"),
    _Shape("N6 N2 [N2] [N2]", "8008", date="YYMMDD", pattern=f"[0-9]{{6}}{_HOUR}(?:{_MINUTE}){{0,2}}"),
    _Shape("X..50", "8009"),
    _Shape("Y..30", "8010"),
    _Shape("N..12", "8011"),
    _Shape("X..25", "8013-8014", is_check_pair=True),
    _Shape("N18", "8017-8018", checked=18),
    _Shape("N..10", "8019"),
    _Shape("Z..90", "8030"),
    _Shape("N15", "8040-8041"),
    _Shape("N32", "8042"),
    _Shape("N18 [N..2]", "8043"),
)


@dataclass(frozen=True)
class ApplicationIdentifier:
    """One identifier: what its value is made of, and how it ends."""

    ai: str
    shortest: int
    longest: int
    characters: str
    """N, X, Y or Z where the value is one field of that set, otherwise empty: then `pattern` says it."""
    pattern: str
    """Regular expression of a whole value; empty where length and character set say it all."""
    is_predefined: bool
    checked: int
    date: str
    is_check_pair: bool


def _numbers(text: str) -> list[str]:
    """`01-03 310n` as 01, 02, 03, 3100 ... 3105."""
    numbers = []
    for word in text.split():
        first, _, last = word.replace("n", "0").partition("-")
        last = word.replace("n", "5") if "n" in word else last or first
        numbers += [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    return numbers


PREDEFINED = frozenset(_numbers("00-04 11-20 31-36 41"))
"""First two digits of the identifiers whose values have a predefined length, so that no separator need follow."""


def size_by_prefix() -> dict[str, int]:
    """Length of an identifier by its first two digits."""
    return {prefix: size for size, prefixes in _SIZES.items() for prefix in _numbers(prefixes)}


@cache
def application_identifiers() -> dict[str, ApplicationIdentifier]:
    """Every identifier that is assigned, by its digits."""
    assigned = {}
    for shape in _SHAPES:
        fields = re.findall(r"(\[?)([NXYZ])(\.\.)?(\d+)", shape.format)
        pattern = shape.pattern
        if not pattern and len(fields) > 1:
            pattern = "".join(
                f"{'(?:' if optional else ''}{_SETS[kind]}{{{'1,' if varies else ''}{size}}}{')?' if optional else ''}"
                for optional, kind, varies, size in fields
            )
        for ai in _numbers(shape.identifiers):
            assigned[ai] = ApplicationIdentifier(
                ai=ai,
                shortest=sum(0 if optional else 1 if varies else int(size) for optional, _, varies, size in fields),
                longest=sum(int(size) for *_, size in fields),
                characters=fields[0][1] if len(fields) == 1 and not pattern else "",
                pattern=pattern,
                is_predefined=ai[:2] in PREDEFINED,
                checked=shape.checked,
                date=shape.date,
                is_check_pair=shape.is_check_pair,
            )
    return assigned
