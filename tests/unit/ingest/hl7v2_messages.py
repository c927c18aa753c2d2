"""HL7 v2 messages for tests, and a naive reading of them to compare with.

The naive reading splits one message at a time, as a textbook would, and shares nothing with the reader under test.
"""

import re
from dataclasses import replace
from pathlib import Path

from ingest.contract import Column, ColumnType, load_contracts
from ingest.formats import hl7v2
from ingest.formats.reading import Text

CONTRACT = load_contracts()["ehr_hl7"]
DELIVERY = CONTRACT.delivery
DFT, SIU, ADT = (CONTRACT.extracts[name] for name in ("DFT_P03_FT1", "SIU_APPT", "ADT_EVENT"))
ITEM, PACKAGE, LOCATION = (CONTRACT.extracts[name] for name in ("MFN_ITEM", "MFN_PACKAGE", "MFN_LOCATION"))

THIRD_PARTY = Path(__file__).parents[4] / "shared" / "thirdparty" / "hl7v2"


def message(*segments, end="\r"):
    """Segments as one message; an MSH is put before them when the first is none."""
    return "".join(segment + end for segment in segments).encode()


def header(event="DFT^P03^DFT_P03", control="M1", facility="SHSH1", at="20250301101500", charset=""):
    return f"MSH|^~\\&|EPIC|{facility}|SUTURE|SHS|{at}||{event}|{control}|P|2.5.1||||||{charset}".rstrip("|")


PID = "PID|1||700123^^^SHS^MR||ZZDOE^JANE^Q||19600101|F|||1 MAIN ST^^CHICAGO||3125551234|||||900456^^^SHS^AN|123456789"
PV1 = f"PV1|1|O|OR1^12^1{'|' * 16}8001^^^SHS^VN"
FT1 = (
    "FT1|{n}|T{n}|B7|20250301093000^20250301094500|20250301101000|CG|4711^ANCHOR^CDM|||2|500.00&USD|250.00&USD"
    "|1010^OR|||OR1^12||||778^SCRUB||118.40000&USD|LOG9^EPIC||C1713^ANCHOR^HCPCS|59^^CPT~LT^^HCPCS"
)


def charges(control="M1", rows=1, **header_words):
    """A DFT^P03 message with some charges."""
    segments = [header(control=control, **header_words), "EVN|P03|20250301101500", PID, PV1]
    for number in range(1, rows + 1):
        segments += [
            FT1.format(n=number),
            f"ZFT|{100 + number}|IMP{number}|LOT{number}|(01)00812345678906(21)S{number}",
        ]
    return message(*segments)


def read(content, *extracts, delivery=DELIVERY, first_line=1):
    """The rows of the first extract as dicts, and what was refused as (line, reason)."""
    readings = read_all(content, *extracts, delivery=delivery, first_line=first_line)
    reading = readings[(extracts or (DFT,))[0].name]
    return reading.frame.to_dicts(), [(row.line, row.reason) for row in reading.bad]


def read_all(content, *extracts, delivery=DELIVERY, first_line=1):
    extracts = extracts or (DFT,)
    names = tuple(extract.name for extract in extracts)
    return hl7v2.read([Text(0, content, first_line, extracts=names)], delivery, extracts)


def made_extract(sources, name="ANY", **changes):
    """An extract for any message, with columns bound as told: name -> source, or (source, type)."""
    columns = {}
    for column, source in sources.items():
        source, kind = source if isinstance(source, tuple) else (source, "string")
        columns[column] = Column(column, ColumnType.parse(kind), kind, source=source)
    made = {"columns": columns, "messages": (), "sites": {}, "key": (), "idempotency_key": (), "fallback_key": ()}
    return replace(DFT, name=name, **(made | changes))


ANY_DELIVERY = replace(DELIVERY, reads={}, reads_by="")


def naive_lines(content):
    """Lines with their numbers, split at CR LF, CR or LF."""
    return [(number, line) for number, line in enumerate(re.split(r"\r\n|\r|\n", content.decode()), 1) if line]


def naive_messages(content):
    """Lists of (line number, segment text), one list a message; only for well-formed files."""
    messages = []
    for number, line in naive_lines(content):
        if line.startswith("MSH"):
            messages.append([])
        messages[-1].append((number, line))
    return messages


def naive_value(segment, source, marks="|^~\\&", *, is_text=True):
    """The value of a source such as `PID-3.1` in a segment; None where empty."""
    field, component, repetition, _, sub = marks
    found = re.fullmatch(r"(\w{3})-(\d+)(?:\.(\d+))?(?:\.(\d+))?", source)
    number = int(found[2])
    fields = segment.split(field)
    if found[1] == "MSH":
        fields = [fields[0], field, *fields[1:]]
    text = fields[number] if number < len(fields) else ""
    text = text.split(repetition)[0]
    parts = text.split(component)
    at = int(found[3] or 1) - 1
    text = parts[at] if at < len(parts) else ""
    if found[3] or not is_text:
        subs = text.split(sub)
        at = int(found[4] or 1) - 1
        text = subs[at] if at < len(subs) else ""
    if text == '""':
        return None
    return naive_unescape(text, marks) or None


def naive_unescape(text, marks):
    field, component, repetition, escape, sub = marks
    out, at = "", 0
    known = {
        "F": field,
        "S": component,
        "R": repetition,
        "T": sub,
        "E": escape,
        ".br": "\n",
        "H": "",
        "N": "",
        "P": "#",
    }
    while at < len(text):
        if text[at] != escape:
            out, at = out + text[at], at + 1
            continue
        close = text.find(escape, at + 1)
        word = text[at + 1 : close] if close > 0 else None
        if word == "":
            out, at = out + escape * 2, at + 2
        elif word in known:
            out, at = out + known[word], close + 1
        elif word and re.fullmatch(r"X([0-9A-Fa-f]{2})+", word):
            try:
                out += bytes.fromhex(word[1:]).decode()
            except UnicodeDecodeError:
                out += escape + word + escape
            at = close + 1
        else:
            out, at = out + escape, at + 1
    return out
