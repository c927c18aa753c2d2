"""HL7 v2 files that others made: each is read or refused, and every value agrees with two independent readings."""

import re
from collections import Counter

import hl7
import pytest

from ingest.formats import hl7v2
from tests.fuzz.hl7v2 import FEEDS
from tests.unit.ingest.hl7v2_messages import (
    ANY_DELIVERY,
    DELIVERY,
    THIRD_PARTY,
    made_extract,
    naive_unescape,
    naive_value,
    read,
    read_all,
)

pytestmark = pytest.mark.skipif(not THIRD_PARTY.exists(), reason="shared/thirdparty/hl7v2 is not here")
FILES = sorted(THIRD_PARTY.rglob("*.hl7")) if THIRD_PARTY.exists() else []

# fmt: off
SOURCES = (
    "MSH-3.1", "MSH-4.1", "MSH-5.1", "MSH-7.1", "MSH-9.1", "MSH-9.2", "MSH-9.3", "MSH-10", "MSH-11.1", "MSH-12.1",
    "EVN-1", "EVN-2.1", "PID-1", "PID-2.1", "PID-3.1", "PID-3.4", "PID-3.4.2", "PID-3.5", "PID-8.1", "PID-10.1",
    "PID-18.1", "PV1-2.1", "PV1-3.1", "PV1-3.2", "PV1-3.4", "PV1-7.1", "PV1-19.1", "PV1-44.1", "MRG-1.1", "SCH-1.1",
    "SCH-2.1", "SCH-11.4", "SCH-25.1", "AIS-3.1", "AIP-3.1", "AIL-3.1", "OBR-2.1", "OBR-4.1", "OBR-4.2", "ORC-1",
    "ORC-3.1", "OBX-2", "OBX-3.1", "OBX-3.2", "OBX-5.1", "OBX-6.1", "RXA-5.1", "RXE-2.1", "RXO-1.2", "TXA-2.1",
    "TXA-12.1", "IN1-3.1", "GT1-2.1", "NK1-2.1", "PRB-3.1", "DG1-3.1",
)
# fmt: on
ANY = made_extract({source: source for source in SOURCES})
FT1 = made_extract(
    {source: source for source in ["MSH-10", "PID-3.1", "PV1-3.1", *(f"FT1-{n}.1" for n in range(1, 26))]}
)


def naive_first_segments(content):
    """The first segment of each kind of each message."""
    messages = []
    is_inside = False
    for line in re.split(r"\r\n|\r|\n", content.decode("utf-8-sig")):
        if line.startswith("MSH"):
            messages.append({})
        is_inside = line[:3] not in ("FHS", "BHS", "BTS", "FTS") and (is_inside or line.startswith("MSH"))
        if is_inside:
            messages[-1].setdefault(line[:3], line)
    return messages


def marks_of(header):
    encoding = header[4 : header.index(header[3], 4)]
    encoding = "^~\\&" if encoding == "^~\\\\&" else encoding
    return header[3] + encoding[:4]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_looked_at_and_read_for_every_extract(path):
    """Messages are counted: each gives rows or one refusal."""
    content = path.read_bytes()
    messages = len(re.findall(rb"(?:\A|(?<=[\r\n]))\x0b?MSH", content.removeprefix(b"\xef\xbb\xbf")))
    for delivery, extracts in FEEDS:
        seen = hl7v2.look(content, delivery, extracts)
        assert seen.refusal or any(seen.rows.values()) or not messages
        readings = read_all(content, *extracts, delivery=delivery)
        head = readings[extracts[0].name]
        refused = [row for row in head.bad if row.value_class == "message"]
        assert len({row.line for row in refused}) == len(refused)
        if extracts[0].name in ("ANY", "SIU_APPT", "ADT_EVENT"):
            assert head.frame.height + len(refused) == messages
        else:
            assert len(refused) <= messages
            assert head.frame.height >= messages - len(refused)


def test_values_agree_with_a_naive_reading():
    """Every bound field of every message that is taken, kinds and delimiters as they come."""
    compared, kinds = 0, Counter()
    for path in FILES:
        content = path.read_bytes()
        rows, _ = read(content, ANY, delivery=ANY_DELIVERY)
        if not rows:
            continue
        by_control = {
            naive_value(each["MSH"], "MSH-10", marks_of(each["MSH"])): each for each in naive_first_segments(content)
        }
        for row in rows:
            segments = by_control[row["MSH-10"]]
            marks = marks_of(segments["MSH"])
            for source in SOURCES:
                line = segments.get(source[:3])
                expected = naive_value(line, source, marks) if line else None
                assert row[source] == expected, (path.name, source)
            compared += 1
            kinds[row["MSH-9.1"], row["MSH-9.2"]] += 1
    assert compared >= 100
    assert len(kinds) >= 30


def test_values_agree_with_python_hl7():
    compared, kinds = 0, set()
    for path in FILES:
        content = path.read_bytes()
        rows, _ = read(content, ANY, delivery=ANY_DELIVERY)
        if len(rows) != 1:
            continue
        text = re.sub(r"\r\n|\n", "\r", content.decode("utf-8-sig")).strip("\r")
        if "\\\\&" in text[:10] or not text.startswith("MSH"):
            continue
        parsed = hl7.parse(text)
        for source in SOURCES:
            assert rows[0][source] == of_python_hl7(parsed, source, marks_of(text)), (path.name, source)
        compared += 1
        kinds.add((rows[0]["MSH-9.1"], rows[0]["MSH-9.2"]))
    assert compared >= 80
    assert len(kinds) >= 30


def of_python_hl7(parsed, source, marks):
    """The text that python-hl7 has at a place, its escapes decoded as the standard says."""
    name, number, component, sub = (*re.fullmatch(r"(\w{3})-(\d+)(?:\.(\d+))?(?:\.(\d+))?", source).groups(),)
    try:
        field = parsed.segments(name)[0](int(number))
        repetition = field(1) if isinstance(field, hl7.Field) and field.separator == marks[2] else field
        if isinstance(repetition, hl7.Repetition):
            text = str(repetition(int(component or 1)))
        else:
            text = str(repetition) if int(component or 1) == 1 else ""
    except (KeyError, IndexError):
        return None
    parts = text.split(marks[4])
    at = int(sub or 1) - 1
    text = (parts[at] if at < len(parts) else "") if component else text
    return None if text == '""' else naive_unescape(text, marks) or None


def test_charges_of_others_have_a_row_for_each_ft1():
    found = 0
    for path in FILES:
        content = path.read_bytes()
        if not re.search(rb"[\r\n]FT1", content):
            continue
        rows, bad = read(content, FT1, delivery=ANY_DELIVERY)
        if bad:
            continue
        lines = [line for line in re.split(r"\r\n|\r|\n", content.decode()) if line.startswith("FT1")]
        assert len(rows) == len(lines)
        for row, line in zip(rows, lines, strict=True):
            for number in range(1, 26):
                assert row[f"FT1-{number}.1"] == naive_value(line, f"FT1-{number}.1")
        found += len(rows)
    assert found >= 4


def test_the_contract_takes_its_own_kinds_only():
    for path in FILES:
        rows, bad = read(path.read_bytes(), delivery=DELIVERY)
        assert all(row["ft1_type"] is None or len(row["ft1_type"]) <= 4 for row in rows)
        assert all(len(reason) < 90 for _, reason in bad)
