"""Fuzz the X12 reader: `python -m tests.fuzz.x12 SECONDS [keep]`.

Interchanges are damaged by bytes, segments and separators, and put between two whole ones. Nothing may crash or hang,
no neighbour may be lost, pieces have to give the rows of the whole. What shows new behaviour is damaged further; with
`keep`, small inputs that come from the project's own seeds are kept for the suite.
"""

from __future__ import annotations

import hashlib
import random
import re
import signal
import sys
import time
from pathlib import Path

from ingest.coded import plain
from ingest.formats import x12
from ingest.formats.reading import Text
from tests.unit.ingest.x12_builder import (
    ACKNOWLEDGEMENT,
    CATALOG,
    INVOICE,
    ORDER,
    REMITTANCE,
    SHIPMENT,
    Marks,
    feed_of,
    group,
    interchange,
    spread,
    transaction,
    wrapped,
)

HERE = Path(__file__).resolve()
CORPUS = HERE.parents[1] / "unit/ingest/fixtures/x12/corpus"
SETS = {
    "850": (ORDER, "PO"),
    "855": (ACKNOWLEDGEMENT, "PR"),
    "856": (SHIPMENT, "SH"),
    "810": (INVOICE, "IN"),
    "832": (CATALOG, "SC"),
    "835": (REMITTANCE, "HP"),
}
KINDS = tuple(SETS)
# Seconds that one input may take.
_PATIENCE = 10
_LARGEST_KEPT, _MOST_KEPT = 1_500, 60
_BEFORE, _BEHIND = "900000001", "900000002"


def seeds() -> list[tuple[str, bytes]]:
    """The project's own interchanges, with several separators and wrappings."""
    out = []
    for kind, (segments, code) in SETS.items():
        sets = [transaction(kind, f"{number:04d}", *segments) for number in (1, 2)]
        for marks in (Marks(), Marks("|", ">", "\n", "^", "00501"), Marks("\x1d", "\x1f", "\x1e", "U")):
            out.append((kind, interchange(group(sets, code=code), marks=marks)))
        text = interchange(group(sets, code=code), group(sets[:1], number="78", code=code))
        out += [(kind, wrapped(text)), (kind, spread(text, indent=b"  ")), (kind, text + text)]
    return out


def foreign() -> list[tuple[str, bytes]]:
    """Files of other projects, where they lie beside the repository."""
    folder = next(
        (up / "shared/thirdparty/x12" for up in HERE.parents if (up / "shared/thirdparty/x12").is_dir()), None
    )
    files = [each for each in sorted(folder.rglob("*")) if each.is_file() and each.suffix != ".json"] if folder else []
    return [(next((kind for kind in KINDS if kind in str(file)), "835"), file.read_bytes()) for file in files]


def neighbour(kind: str, number: str) -> bytes:
    """A whole interchange of one set."""
    segments, code = SETS[kind]
    return interchange(group([transaction(kind, "N1", *segments)], code=code), number=number)


def check(damaged: bytes, kind: str) -> frozenset[str]:
    """What the reader makes of a damaged text between two whole interchanges; its behaviour in words.

    Raises:
        AssertionError: a neighbour is lost, or pieces do not give the rows of the whole.
    """
    delivery, extracts, names = feed_of(kind)
    text = neighbour(kind, _BEFORE) + damaged + neighbour(kind, _BEHIND)
    look = x12.look(text, delivery, extracts)
    assert look.refusal is None
    assert any(look.rows.values())
    whole = x12.read([Text(0, text, name="f", extracts=names)], delivery, extracts)
    pieces = list(x12.pieces(text, 400))
    assert b"".join(text[piece.start : piece.end] for piece in pieces) == text
    parts = x12.read(
        [
            Text(at, text[piece.start : piece.end], piece.first_line, name="f", extracts=names)
            for at, piece in enumerate(pieces)
        ],
        delivery,
        extracts,
    )
    number = "ISA13" if kind == "835" else "isa13"
    for name in names:
        found = whole[name].frame[number].to_list()
        assert _BEFORE in found, "the neighbour before is lost"
        assert _BEHIND in found, "the neighbour behind is lost"
        one, other = (plain(each[name].frame.drop("_text")) for each in (whole, parts))
        assert one.equals(other), "pieces differ"
        told, again = ([(row.line, row.reason) for row in each[name].bad] for each in (whole, parts))
        assert told == again, "pieces differ in what they refuse"
    bad = [row for each in whole.values() for row in each.bad]
    reasons = {re.sub(r"\d+ (segments|sets|groups|counted)", r"n \1", row.reason) for row in bad}
    counts = {f"{name} {min(each.frame.height, 9)}" for name, each in whole.items() if each.frame.height}
    return frozenset(reasons | counts)


def damage(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """The content with one to four changes."""
    text = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        at = chance.randrange(len(text) + 1)
        to = min(len(text), at + chance.choice((1, 2, 3, 8, 40, 200)))
        match chance.randrange(9):
            case 0:
                text[at:to] = b""
            case 1:
                text[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice((1, 2, 5))))
            case 2:
                text[at:at] = text[at:to]
            case 3:
                text = text[:at]
            case 4:
                text[at:at] = chance.choice((b"~", b"*", b":", b"\n", b"\r\n", b"ISA*", b"ISA", b"IEA*1*", b"ST*850*1~", b"SE*2*1~", b"GE*1*1~", b"GS*PO*", b"\x1e", b"\x1f", b"\x1c", b" ", b"\xc3\xa9", b"HL*1*1*I~", b"~~", b"999999999999999999999999", b"-"))  # fmt: skip  # noqa: E501
            case 5:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                text[at:at] = other[start : start + chance.choice((5, 50, 300))]
            case 6:
                # A segment elsewhere.
                parts = bytes(text).split(b"~")
                chance.shuffle(parts) if chance.random() < 0.1 else parts.insert(
                    chance.randrange(len(parts)), parts.pop(chance.randrange(len(parts)))
                )
                text = bytearray(b"~".join(parts))
            case 7 if len(text) > 110:
                # One byte of the ISA.
                text[chance.randrange(110)] = chance.randrange(256)
            case _:
                if at < len(text):
                    text[at] = chance.randrange(256)
    return bytes(text[:20_000])


def _late(*_: object) -> None:
    raise TimeoutError("an input takes too long")


def main() -> None:
    """Fuzz for some seconds and say how many inputs were read.

    Raises:
        SystemExit: an input broke a promise; it lies in the folder of the moment.
    """
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    keep = sys.argv[2:] == ["keep"]
    chance = random.Random()
    own = [(kind, content, True) for kind, content in seeds()]
    pool = own + [(kind, content, False) for kind, content in foreign()]
    seen: set[frozenset[str]] = set()
    inputs = 0
    signal.signal(signal.SIGALRM, _late)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kind, content, is_own = chance.choice(pool)
        others = [each for _, each, own_too in pool if own_too or not is_own]
        damaged = damage(content, others[:200], chance)
        signal.alarm(_PATIENCE)
        try:
            behaviour = check(damaged, kind)
        except BaseException as trouble:
            name = Path(f"x12-{kind}-{hashlib.sha256(damaged).hexdigest()[:12]}.broken")
            if not isinstance(trouble, KeyboardInterrupt):
                name.write_bytes(damaged)
                print(f"{name}: {type(trouble).__name__} {trouble}", flush=True)
            raise
        signal.alarm(0)
        inputs += 1
        if behaviour not in seen:
            seen.add(behaviour)
            pool.append((kind, damaged, is_own))
            reasons = {each for each in behaviour if "(" in each}
            new = reasons - {reason for each in seen if each is not behaviour for reason in each}
            is_small = len(damaged) <= _LARGEST_KEPT and len(list(CORPUS.glob("*"))) < _MOST_KEPT
            if keep and is_own and new and is_small:
                (CORPUS / f"{kind}-{hashlib.sha256(damaged).hexdigest()[:8]}.edi").write_bytes(damaged)
    print(f"{inputs:,} inputs in {seconds:.0f} s, {len(seen):,} behaviours, none broken")


if __name__ == "__main__":
    main()
