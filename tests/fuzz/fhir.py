"""`python -m tests.fuzz.fhir SECONDS [SEED]`: damaged resources and deletions, until the time is up.

Damaged lines are read many at a time between whole ones, once by the query and once line by line. A crash, a hang, a
lost neighbour, a line that is neither row nor refusal, or two readings that differ stops the run. Lines that pass other
lines of the reader or come out in a new way are damaged further; small ones of them are kept below
tests/unit/ingest/fixtures/fhir/corpus, which the suite reads.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import signal
import sys
import time

from ingest.formats import fhir
from ingest.formats.reading import Text
from tests.unit.ingest.test_fhir import CORPUS, DELIVERY, EXTRACTS, deletion, held, line, resource

BATCH = 60
# Seconds of computing; a batch takes some tenths of one.
SLOWEST = 30
LARGEST_KEPT = 1500
CODING = [{"system": "urn:shs:mmis-item", "code": "E00012"}, {"system": "urn:gs1:gtin", "code": "09521234000013"}]
PERIOD = {"start": "2026-04-29T10:15:00-04:00", "end": "2026-04-29T11:15:00-04:00"}
SEEDS = {
    "SupplyDelivery": resource(
        identifier=[
            {"use": "old", "system": "urn:shs:h8:case", "value": "E-1"},
            {"system": "urn:shs:h8:case", "value": "E-2"},
        ],
        contained=[{"resourceType": "Device", "id": "d1"}],
        status="completed",
        patient={"reference": "Patient/p1"},
        suppliedItem={
            "quantity": {"value": 2.50, "unit": "EA"},
            "itemCodeableConcept": {"coding": CODING},
            "itemReference": {"reference": "#d1"},
        },
        occurrenceDateTime="2026-04-29T10:15:00-04:00",
        destination={"reference": "https://h8/r4/Location/l1/_history/2"},
    ),
    "Procedure": resource(
        "Procedure",
        contained=[{"resourceType": "Device", "id": "d2"}, {"resourceType": "Medication", "id": "m1"}],
        identifier=[{"system": "urn:shs:h8:case", "value": "E-2"}],
        code={"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "27447"}], "text": "knee"},
        bodySite=[{"coding": [{"code": "L"}]}],
        performedPeriod=PERIOD,
        subject={"reference": "urn:uuid:p1"},
        performer=[{"actor": {"reference": "Practitioner/x"}}],
        focalDevice=[
            {"action": {"coding": [{"code": "implanted"}]}, "manipulated": {"reference": "Device/d1"}},
            {"manipulated": {"reference": "#d2"}},
        ],
    ),
    "Patient": resource(
        "Patient",
        identifier=[{"system": "urn:shs:h8:mrn", "value": "M1"}],
        active=True,
        link=[{"type": "replaced-by", "other": {"reference": "Patient/p2"}}],
        birthDate="1900-01-01",
    ),
    "ChargeItem": resource(
        "ChargeItem",
        code={"coding": [{"system": "urn:shs:cdm", "code": "c"}]},
        quantity={"value": 1},
        priceOverride={"value": 1e2},
        costCenter={"identifier": {"value": "7010"}},
        service=[{"reference": "SupplyDelivery/s1"}],
        context={"reference": "Encounter/e1"},
    ),
    "Device": resource(
        "Device",
        udiCarrier=[
            {"deviceIdentifier": "09521234000013", "carrierHRF": "(01)09521234000013(21)x", "entryType": "barcode"}
        ],
        lotNumber="L",
        deviceName=[{"name": "stent"}],
        patient={"reference": "Patient/p1"},
    ),
}
DELETIONS = deletion("Device/d1", "https://h8/r4/Patient/p1", "Claim/c1", meta={"lastUpdated": "2026-04-30T00:00:00Z"})
VALUES = (
    *(
        b"null",
        b"true",
        b"0",
        b"-0.0",
        b"1.50",
        b"1e5",
        b"1E-400",
        b"18446744073709551616",
        b'""',
        b'"x"',
        b"[]",
        b"{}",
    ),
    *(
        b"[null]",
        b"[[]]",
        b"[{}]",
        b'{"value":1.5}',
        b'{"reference":"#"}',
        b'"\\u0000"',
        b'"\\ud83d\\ude00"',
        b'"\\ud800"',
    ),
    *(
        b"NaN",
        b"-Infinity",
        b'":5"',
        b'"Device?x=1"',
        b'"{"',
        b'"\\\\"',
        b'"value"',
        b'{"use":"old","system":"urn:gs1:gtin"}',
    ),
)
TOKENS = (
    *(bytes([code]) for code in (0, 9, 10, 13, 32, 34, 44, 47, 58, 91, 92, 93, 123, 125, 127, 128, 192, 239, 255)),
    *(
        b"\r\n",
        b",}",
        b", ]",
        b"\\u",
        b'\\"',
        b'"value":',
        b'"use":"old"',
        b"\xef\xbb\xbf",
        b"\xf0\x9f\x98\x80",
        b"nan",
        b"{" * 9,
    ),
)
_VALUE = re.compile(rb'(?<=:)(?:"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|\[[^\[\]]*\]|\{[^{}]*\})')


def damaged(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """A line with values replaced, doubled or removed, bytes changed, parts of other lines put in."""
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        at = chance.randrange(len(made) + 1)
        found = list(_VALUE.finditer(made))
        match chance.randrange(8):
            case 0:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                made[at:at] = chance.choice(TOKENS)
            case 2:
                del made[at : at + chance.choice((1, 2, 10, 100))]
            case 3:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                made[at:at] = other[start : start + chance.choice((5, 50, 500))]
            case _ if found:
                start, end = chance.choice(found).span()
                match chance.randrange(5):
                    case 0:
                        made[start:end] = b"[" + made[start:end] + b"," + made[start:end] + b"]"
                    case 1:
                        made[start:end] = made[start:end] + b',"x":' + made[start:end]
                    case 2:
                        made[start:end] = chance.choice(_VALUE.findall(chance.choice(others)) or [b"1"])
                    case _:
                        made[start:end] = chance.choice(VALUES)
    return bytes(made[:20_000])


def promises(kind: str, contents: list[bytes]) -> list[tuple[object, ...]]:
    """Read damaged lines between whole ones and hold the reader to its word; what comes of each, without values."""
    texts = []
    for content in contents:
        whole = [line(resource(kind, f"{side}-{len(texts)}")) for side in ("before", "after")]
        texts.append(Text(len(texts), whole[0] + b"\n" + content + b"\n" + whole[1], extracts=DELIVERY.reads[kind]))
    extracts = [EXTRACTS[name] for name in DELIVERY.reads[kind]]
    fhir._FEW = 0
    found = fhir.read(texts, DELIVERY, extracts)
    fhir._FEW = 10**9
    alone = fhir.read(texts, DELIVERY, extracts)
    for name, reading in found.items():
        assert reading.frame.equals(alone[name].frame), f"{name} reads otherwise line by line"
        assert reading.bad == alone[name].bad, f"{name} is refused otherwise line by line"
    head = found[kind].frame
    ids = {text: set(each) for text, each in head.group_by("_text").agg("id").iter_rows()}
    outcomes = []
    for text in texts:
        assert {f"before-{text.index}", f"after-{text.index}"} <= ids[text.index], "a neighbour is lost"
        refused = [
            (bad.column, re.sub(r"\ba \w+ resource", "a resource", bad.reason))
            for bad in found[kind].bad
            if bad.index == text.index
        ]
        mine = head.filter(_text=text.index)
        assert mine.height + len(refused) == held(text.content), "a line is neither row nor refusal"
        outcomes.append(
            (
                kind,
                tuple(sorted(set(refused), key=str)),
                tuple(int(mine[name].null_count() == mine.height) for name in mine.columns),
            )
        )
    return outcomes


def deletion_promises(contents: list[bytes]) -> list[tuple[object, ...]]:
    """The same for files of deletions."""
    whole = line(deletion("Location/whole"))
    texts = [
        Text(n, whole + b"\n" + content + b"\n" + whole, extracts=tuple(EXTRACTS), stated_at="x", is_deletion=True)
        for n, content in enumerate(contents)
    ]
    found = fhir.read(texts, DELIVERY, EXTRACTS)
    outcomes = []
    for text in texts:
        kept = found["Location"].frame.filter(_text=text.index)["id"].to_list()
        assert kept[:1] == ["whole"] and kept[-1:] == ["whole"], "a neighbour is lost"
        refused = [(bad.line, bad.reason) for bad in found["Patient"].bad if bad.index == text.index]
        assert len({number for number, _ in refused}) == len(refused)
        outcomes.append(
            ("deletions", tuple(sorted({re.sub(r"of \w+", "of X", reason) for _, reason in refused})), len(kept))
        )
    return outcomes


class Covered:
    """Lines of the reader that a call passes."""

    def __init__(self) -> None:
        self.lines: set[int] = set()

    def __enter__(self) -> set[int]:
        sys.settrace(self._frame)
        return self.lines

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _frame(self, frame, event, arg):
        return self._line if frame.f_code.co_filename == fhir.__file__ else None

    def _line(self, frame, event, arg):
        if event == "line":
            self.lines.add(frame.f_lineno)
        return self._line


def too_slow(signum: int, frame: object) -> None:
    """A hang ends the run.

    Raises:
        TimeoutError: always.
    """
    raise TimeoutError(f"a batch took more than {SLOWEST} s of computing")


def keep(content: bytes) -> None:
    """Add an input to the corpus."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    (CORPUS / hashlib.sha256(content).hexdigest()[:12]).write_bytes(content)


def tried(kind: str, contents: list[bytes]) -> list[tuple[object, ...]]:
    """Outcomes of a batch, within its time."""
    signal.setitimer(signal.ITIMER_PROF, SLOWEST)
    try:
        return deletion_promises(contents) if kind == "Bundle" else promises(kind, contents)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def is_broken(kind: str, content: bytes) -> bool:
    """Whether a line breaks a promise on its own."""
    try:
        tried(kind, [content])
    except Exception:
        return True
    return False


def main() -> None:
    """Fuzz for the seconds given."""
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    chance = random.Random(seed)
    pools = {kind: [line(what), json.dumps(what, indent=None).encode()] for kind, what in SEEDS.items()}
    pools["Bundle"] = [line(DELETIONS), line(deletion("Location/l1"))]
    everything = [each for pool in pools.values() for each in pool]
    outcomes: set[object] = set()
    passed: set[int] = set()
    signal.signal(signal.SIGPROF, too_slow)
    started, inputs, kept = time.monotonic(), 0, 0
    while time.monotonic() - started < seconds:
        kind = chance.choice([*pools])
        batch = [damaged(chance.choice(pools[kind]), everything, chance) for _ in range(BATCH)]
        try:
            found = tried(kind, batch)
        except BaseException:
            for content in batch:
                if is_broken(kind, content):
                    keep(content)
            print(f"seed {seed}, after {inputs} inputs: kept in {CORPUS}")
            raise
        for content, outcome in zip(batch, found, strict=True):
            text = Text(0, content, extracts=tuple(EXTRACTS), is_deletion=kind == "Bundle")
            is_new = outcome not in outcomes
            outcomes.add(outcome)
            if not is_new and chance.randrange(10):
                continue
            with Covered() as lines:
                fhir.read([text], DELIVERY, EXTRACTS)
            if is_new or not lines <= passed:
                pools[kind].append(content)
                everything.append(content)
            if not lines <= passed and len(content) <= LARGEST_KEPT:
                keep(content)
                kept += 1
            passed |= lines
        inputs += len(batch)
    print(
        f"fhir: {inputs:,} lines in {seconds:.0f} s, {len(outcomes)} outcomes, {len(passed)} lines of the reader, "
        f"{kept} kept; seed {seed}"
    )


if __name__ == "__main__":
    main()
