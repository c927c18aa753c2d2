"""Damage HL7 v2 files at random and look for a crash, a hang, a lost neighbour or a row that depends on the cutting.

Run it as `python -m tests.fuzz.hl7v2 SECONDS [SEED]`. Inputs that are refused or read in a new way are kept below
`tests/unit/ingest/fixtures/hl7v2/corpus/`, unless a seed that is not the project's own was mutated; the suite reads
what is kept again.
"""

import hashlib
import random
import re
import signal
import sys
import time
from pathlib import Path

from ingest.formats import hl7v2
from ingest.formats.reading import Text
from tests.unit.ingest.hl7v2_messages import (
    ADT,
    ANY_DELIVERY,
    DELIVERY,
    DFT,
    FT1,
    ITEM,
    LOCATION,
    PACKAGE,
    PID,
    PV1,
    SIU,
    THIRD_PARTY,
    charges,
    header,
    made_extract,
    message,
)

CORPUS = Path(__file__).parents[1] / "unit" / "ingest" / "fixtures" / "hl7v2" / "corpus"
# Seconds of the processor: an input of a few kilobytes takes some milliseconds, in pieces of a byte a few hundred.
SLOWEST = 5.0

ANY = made_extract(
    {
        "control": "MSH-10",
        "at": ("MSH-7", "datetime(yyyyMMddHHmmss, America/Chicago)"),
        "patient": "PID-3.1",
        "sub": "PID-3.4.2",
        "place": "PV1-3.2",
        "observed": "OBX-5",
    }
)
FEEDS = (
    (DELIVERY, (DFT,)),
    (DELIVERY, (SIU,)),
    (DELIVERY, (ADT,)),
    (DELIVERY, (ITEM, PACKAGE, LOCATION)),
    (ANY_DELIVERY, (ANY,)),
)
MEANINGFUL = (
    [bytes([code]) for code in (*range(0, 33), 34, 35, 127, 128, 195, 255)]
    + [b"|", b"^", b"~", b"\\", b"&", b"\r\n", b'""', b"MSH", b"MSH|^~\\&|", b"FT1|", b"ZFT|1", b"\rFT1|1|", b"\rMSH|"]
    + [b"\x0b", b"\x1c\r", b"\x1c", b"BTS|1\r", b"FHS|^~\\&\r", b"BHS|^~\\&\r", b"FTS|1\r", b"\xef\xbb\xbf", b"\\X41\\"]
    + [b"\\.br\\", b"\\T\\", b"8859/1", b"\xe9", b"\xc3\xa9", b"20250301", b"-0500", b"\x1b$B", b"MSH#:;?!#"]
)


def own_seeds():
    """Files of the project's own, of every kind and framing."""
    item = message(
        header("MFN^M16^MFN_M16", "MI"),
        "MFI|INV",
        "MFE|MUP|1",
        "ITM|I1|An \\T\\ chor",
        "VND|1|V1",
        "PKG|1|BX",
        "IVT|1|L1",
    )
    appointment = message(
        header("SIU^S12", "MS"), "SCH|P5|C77|||||||95||^^95^20250303073000", PID, "AIS|1||P1", "AIL|1||H^R"
    )
    merge = message(header("ADT^A40", "MA"), "EVN|A40|202503011015-0500", "PID|1||55~66", "MRG|44", PV1)
    latin = charges("ML", charset="8859/1").replace(b"LOT1", b"gr\xf6\xdfe")
    other = charges("MO").translate(bytes.maketrans(b"|^~\\&", b"#:;?!"))
    mixed = (
        charges("M1", 2) + latin + charges("M2").replace(b"\r", b"\r\n") + other + charges("M3").replace(b"\r", b"\n")
    )
    return [
        charges("M1", 2) + charges("M2"),
        mixed,
        b"FHS|^~\\&\rBHS|^~\\&\r" + charges("M1") + charges("M2", 3) + b"BTS|2\rFTS|1\r",
        b"".join(b"\x0b" + charges(f"M{number}") + b"\x1c\r" for number in range(3)),
        item + charges("M1"),
        appointment + merge + message(header("ORU^R01", "MR"), PID, "OBX|1|ST|X||a\\T\\b&c^d"),
        message(header(), FT1.format(n=1), "OBX|1|ST|LOT||L", "ZFT", "FT1", 'ZFT|""|""'),
    ]


def foreign_seeds():
    """Files that others made, where they are at hand."""
    return [path.read_bytes() for path in sorted(THIRD_PARTY.rglob("*.hl7"))] if THIRD_PARTY.exists() else []


def mutated(chance, content, seeds):
    """A content with some damage."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randint(0, len(content))
        match chance.randrange(8):
            case 0:
                content = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
            case 1 | 2:
                content = content[:at] + chance.choice(MEANINGFUL) + content[at:]
            case 3:
                content = content[:at] + chance.choice(MEANINGFUL) + content[at + 1 :]
            case 4:
                content = content[:at] + content[at + chance.choice((1, 1, 2, 5, 40)) :]
            case 5:
                other = chance.choice(seeds)
                start = chance.randint(0, len(other))
                content = content[:at] + other[start : start + chance.choice((3, 20, 200, 2000))] + content[at:]
            case 6:
                content = content[:at]
            case 7:
                start = chance.randint(0, len(content))
                content = content[:at] + content[start : start + 200] + content[at:]
    return content


def reading_of(content, delivery, extracts, first_line=1):
    """Rows by extract and refusals, as plain values."""
    names = tuple(extract.name for extract in extracts)
    readings = hl7v2.read([Text(0, content, first_line, extracts=names)], delivery, extracts)
    rows = {name: reading.frame.rows() for name, reading in readings.items()}
    return rows, [(bad.line, bad.reason) for reading in readings.values() for bad in reading.bad]


def check(content, size=None):
    """Look at and read a content for every feed; what was made of it, in short.

    Raises:
        AssertionError: lines are out of order, or pieces give something else than the whole.
    """
    made = []
    for delivery, extracts in FEEDS:
        seen = hl7v2.look(content, delivery, extracts)
        rows, bad = reading_of(content, delivery, extracts)
        lines = 1 + len(re.findall(rb"\r\n|\r|\n", content))
        for found in rows.values():
            assert [row[-1] for row in found] == sorted(row[-1] for row in found), "rows out of order"
            assert all(1 <= row[-1] <= lines for row in found), "a line that the file has not"
            assert not any(cell == '""' for row in found for cell in row), "a null that landed as text"
        assert all(1 <= line <= lines for line, _ in bad), "a line that the file has not"
        if any(rows.values()):
            assert any(seen.rows.values()) or seen.refusal, "rows that were not seen"
        if size:
            found = {name: [] for name in rows}
            refused = []
            for piece in hl7v2.pieces(content, size):
                part, more = reading_of(content[piece.start : piece.end], delivery, extracts, piece.first_line)
                refused += more
                for name, each in part.items():
                    found[name] += each
            assert found == rows, "pieces give other rows"
            assert sorted(refused) == sorted(bad), "pieces refuse something else"
        made.append(
            (tuple(sorted({re.sub(r"\d+", "n", reason) for _, reason in bad})), min(sum(map(len, rows.values())), 3))
        )
        made.append(re.sub(r"\d+", "n", seen.refusal or ""))
    return tuple(made)


def check_neighbours(chance):
    """Damage one byte of one message in a file of several: the rows of the others stay as they were.

    Raises:
        AssertionError: a row of another message is gone or was changed.
    """
    end = chance.choice((b"\r", b"\n", b"\r\n"))
    is_framed = chance.random() < 0.2
    messages = []
    for number in range(chance.randint(2, 5)):
        text = charges(f"M{number}", chance.randint(1, 3)).replace(b"\r", end)
        if chance.random() < 0.2:
            text = charges(f"M{number}", charset="8859/1").replace(b"LOT1", b"gr\xf6\xdfe").replace(b"\r", end)
        elif chance.random() < 0.2:
            text = text.replace(b"(01)", b"").replace(b"(21)", b"").translate(bytes.maketrans(b"|^~\\&", b"#:;?!"))
        messages.append(b"\x0b" + text + b"\x1c" + end if is_framed else text)
    hurt = chance.randrange(len(messages))
    text = messages[hurt]
    at = chance.randrange(min(len(text), 20)) if chance.random() < 0.3 else chance.randrange(len(text))
    byte = chance.choice(MEANINGFUL)[:1] if chance.random() < 0.5 else bytes([chance.randrange(256)])
    damage = chance.randrange(3)
    messages_after = [*messages]
    messages_after[hurt] = text[:at] + (b"" if damage == 2 else byte) + text[at + (damage != 1) :]
    before = [row[:-2] for row in reading_of(b"".join(messages), DELIVERY, (DFT,))[0]["DFT_P03_FT1"]]
    content = b"".join(messages_after)
    after = {row[:-2] for row in reading_of(content, DELIVERY, (DFT,))[0]["DFT_P03_FT1"]}
    for row in before:
        assert row[1] == f"M{hurt}" or row in after, f"a row of {row[1]} is lost: {content!r}"
    return content


def _too_slow(*_):
    raise TimeoutError(f"an input takes more than {SLOWEST} seconds")


def fuzz(seconds, seed, keep=CORPUS):
    """Run for some seconds; inputs tried, and inputs kept.

    What fails is written beside the corpus as failing.hl7, before it is raised.
    """
    signal.signal(signal.SIGPROF, _too_slow)
    chance = random.Random(seed)
    own, foreign = own_seeds(), foreign_seeds()
    own += [path.read_bytes() for path in sorted(keep.glob("*.hl7"))]
    seen, kept, tried = {check(content) for content in own}, 0, 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tried += 1
        if tried % 4 == 0:
            check_neighbours(chance)
            continue
        is_own = not foreign or chance.random() < 0.6
        content = mutated(chance, chance.choice(own if is_own else foreign), own if is_own else own + foreign)
        size = chance.choice((None, None, 1, 100, 700))
        signal.setitimer(signal.ITIMER_PROF, SLOWEST)
        try:
            made = check(content, size)
        except BaseException:
            (keep.parent / "failing.hl7").write_bytes(content)
            raise
        signal.setitimer(signal.ITIMER_PROF, 0)
        if made not in seen and is_own and len(content) < 3000:
            seen.add(made)
            own.append(content)
            if len(content) < 1200 and len(list(keep.glob("*.hl7"))) < 60:
                kept += 1
                (keep / f"{hashlib.sha256(content).hexdigest()[:12]}.hl7").write_bytes(content)
    return tried, kept


if __name__ == "__main__":
    tried, kept = fuzz(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(f"{tried:,} inputs, {kept} of a new kind kept; no crash, no hang, no lost neighbour")
