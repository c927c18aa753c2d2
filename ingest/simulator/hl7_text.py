r"""How an interface engine writes HL7 v2: segments, time stamps, headers, batch files.

Here: text of segments with their delimiters and escapes, the interfaces of the hospitals, files of one hour.
Not here: what messages say (messages, item_messages).

Delimiters are those that HL7 recommends (`|^~\&`, v2.5.1 2.5.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from ingest.simulator.delivery import CHICAGO

APPLICATION = "SHSEHR"
RECEIVER = ("SUTURE", "SHS")
_ESCAPES = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\x1d": "\\X1D\\"})

Field = str | int | Decimal | None


@dataclass(frozen=True, slots=True)
class Interface:
    """How the interface of one hospital writes."""

    facility: str  # MSH-4
    line_end: str = "\r"
    is_batched: bool = False  # BHS and BTS around the messages of a file
    character_set: str = "UNICODE UTF-8"  # MSH-18
    codec: str = "utf-8"
    signs_credits: bool = False  # Q26: a credit is a charge (CG) of negative quantity, not a CD
    pads: bool = False  # empty fields at the end of a segment are kept


INTERFACES: dict[str, Interface] = {
    "H1": Interface("SHSH1", is_batched=True, pads=True),
    "H2": Interface("SHSH2", line_end="\r\n"),
    "H3": Interface("SHSH3", is_batched=True, line_end="\r\n"),
    "H4": Interface("SHSH4", pads=True),
    "H5": Interface("SHSH5", line_end="\r\n", character_set="8859/1", codec="iso-8859-1", signs_credits=True),
    "H6": Interface("SHSH6", is_batched=True, signs_credits=True),
    "H7": Interface("SHSH7", signs_credits=True, pads=True),
}


@dataclass(slots=True)
class Message:
    """One message that waits for its file."""

    site: str
    event: str  # MSH-9.2
    structure: str  # MSH-9.3
    version: str  # MSH-12
    at: datetime  # MSH-7
    sent_at: datetime  # decides file and order; later than `at` when it was held up
    segments: tuple[str, ...]  # all but MSH
    rows: int  # of the first extract that it feeds
    has_offset: bool = False  # time stamps carry the offset from UTC
    control_id: str = ""  # MSH-10
    is_replay: bool = False
    is_identified: bool = True  # every FT1 has its transaction id


def escaped(text: str) -> str:
    """A text with its delimiters as escape sequences (HL7 v2.5.1 2.7)."""
    return text.translate(_ESCAPES)


def stamp(moment: datetime | date | None, has_offset: bool = False) -> str:
    """A time stamp (TS, DTM): seconds of the Chicago clock, or a date alone."""
    if moment is None:
        return ""
    if not isinstance(moment, datetime):
        return moment.strftime("%Y%m%d")
    return moment.astimezone(CHICAGO).strftime("%Y%m%d%H%M%S%z" if has_offset else "%Y%m%d%H%M%S")


def number(value: Decimal) -> str:
    """A quantity without exponent and without zeros that say nothing."""
    whole, point, places = format(value, "f").partition(".")
    places = places.rstrip("0")
    return f"{whole}{point}{places}" if places else whole


def money(value: Decimal | None) -> str:
    """A composite price of two decimals or more with its currency (CP-1 MO)."""
    if value is None:
        return ""
    whole, _, places = format(value, "f").partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}&USD"


def provider(provider_id: str, name: str) -> str:
    """A physician (XCN) from a name like `LAST, FIRST MD`."""
    last, _, given = name.partition(", ")
    return f"{provider_id}^{escaped(last)}^{escaped(given.removesuffix(' MD'))}"


def segment(name: str, fields: Mapping[int, Field], width: int = 0) -> str:
    """A segment of fields by position, as they stand in the message; at least `width` fields."""
    last = max((place for place, value in fields.items() if value not in (None, "")), default=0)
    last = max(last, width)
    parts = [name]
    for place in range(1, last + 1):
        value = fields.get(place)
        parts.append("" if value is None else str(value))
    return "|".join(parts)


def header(message: Message) -> str:
    """MSH of a message (HL7 v2.5.1 2.15.9)."""
    site = INTERFACES[message.site]
    kind = message.structure[:3]
    return segment(
        "MSH|^~\\&",
        # Field 1 is the delimiter itself, field 2 stands in the name.
        {
            1: APPLICATION,
            2: site.facility,
            3: RECEIVER[0],
            4: RECEIVER[1],
            5: stamp(message.at, message.has_offset),
            7: f"{kind}^{message.event}^{message.structure}",
            8: message.control_id,
            9: "P",
            10: message.version,
            16: site.character_set,
        },
    )


def hour_file(messages: Sequence[Message], kind: str, folder: date, hour: int) -> bytes:
    """The file of one hour: the messages of each hospital together, as its interface frames them.

    Where a hospital sends batches, FHS and FTS stand around the whole file; FTS-1 counts the batches, BTS-1 the
    messages of a batch (HL7 v2.5.1 2.15.2 to 2.15.6).
    """
    blocks: list[bytes] = []
    batches = 0
    opened = f"{folder:%Y%m%d}{hour:02d}0500"
    name = f"{kind}_{folder:%Y%m%d}_{hour:02d}"
    for site, each in _by_site(messages):
        interface = INTERFACES[site]
        lines: list[str] = []
        if interface.is_batched:
            batches += 1
            lines.append(
                segment(
                    "BHS|^~\\&",
                    {1: APPLICATION, 2: interface.facility, 3: RECEIVER[0], 4: RECEIVER[1], 5: opened, 9: batches},
                )
            )
        for message in each:
            lines.append(header(message))
            lines.extend(message.segments)
        if interface.is_batched:
            lines.append(f"BTS|{len(each)}")
        blocks.append("".join(line + interface.line_end for line in lines).encode(interface.codec))
    if batches:
        opening = segment("FHS|^~\\&", {1: APPLICATION, 3: RECEIVER[0], 4: RECEIVER[1], 5: opened, 7: name})
        blocks = [f"{opening}\r".encode(), *blocks, f"FTS|{batches}\r".encode()]
    return b"".join(blocks)


def _by_site(messages: Iterable[Message]) -> list[tuple[str, list[Message]]]:
    found: dict[str, list[Message]] = {}
    for message in messages:
        found.setdefault(message.site, []).append(message)
    return sorted(found.items())
