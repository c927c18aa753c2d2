"""`python -m tests.fuzz.fixed_width SECONDS [SEED]`: damaged transaction files, until the time is up.

Damaged files are read many at a time, each also between whole ones in one text. A crash, a hang, a lost whole detail, a
record that is neither row nor refusal, a number of another form or a file that reads otherwise when it is alone stops
the run. Files that come out in a new way are mutated further; small ones of them are kept below
tests/unit/ingest/fixtures/fixed_width/corpus, which the suite reads.
"""

from __future__ import annotations

import hashlib
import random
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from ingest.formats import fixed_width
from ingest.formats.reading import Text
from tests.unit.ingest.test_fixed_width import CORPUS, DELIVERY, EXTRACTS, detail, file, header, trailer, written

BATCH = 40
# Seconds of computing; a batch of small files takes a tenth of one.
SLOWEST = 20
LARGEST_KEPT = 4000
TOKENS = (
    *(bytes([code]) for code in (0, 9, 10, 13, 26, 32, 43, 45, 48, 57, 68, 72, 84, 129, 141, 157, 239, 255)),
    b"\r\n",
    b"\n\r",
    b"H",
    b"T",
    b"D",
    b"-",
    b"{",
    b"000000150-",
    b" " * 200,
    b"0" * 14,
    b"\xef\xbb\xbf",
)


def seeds() -> list[bytes]:
    """Files of the project's own."""
    plain = file(detail(1), detail(2, QTY="000000200 ", LOT="A“é", CASE_NO="40000001"), total="0.50")
    return [
        plain,
        file(end="\n"),
        file(detail(1), end="\r"),
        plain + file(detail(3), rows=9),
        written(header(), detail(1)),
        written(header().rstrip(), trailer(0, "0.00").rstrip()).rstrip() + b"\x1a",
        *(kept.read_bytes() for kept in sorted(CORPUS.glob("*"))),
    ]


def damaged(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Some bytes changed, records cut, moved, doubled or taken from another file."""
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(7):
            case 0:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                token = chance.choice(TOKENS)
                made[at : at + chance.choice((0, len(token)))] = token
            case 2:
                del made[at : at + chance.choice((1, 2, 10, 200, 202, 1000))]
            case 3:
                del made[at:]
            case _:
                records = bytes(made).splitlines(keepends=True) or [b""]
                other = chance.choice(others).splitlines(keepends=True) or [b""]
                position = chance.randrange(len(records))
                match chance.randrange(4):
                    case 0:
                        records.insert(position, chance.choice(other))
                    case 1:
                        records.insert(position, chance.choice(records))
                    case 2:
                        del records[position]
                    case _:
                        chance.shuffle(records)
                made = bytearray(b"".join(records))
    return bytes(made[:20_000])


FENCE = written(header(), detail(7_000_001))
BEHIND = written(header(), detail(7_000_002), trailer(1, "-1.50"))


def promises(contents: list[bytes], alone: int) -> list[tuple[object, ...]]:
    """Read files and hold the reader to its word; what comes of each, without values.

    Text 3n is file n, text 3n + 1 the same between whole details, text 3n + 2 a whole file.
    """
    texts = []
    for content in contents:
        middle = content if content.endswith((b"\n", b"\r")) or not content else content + b"\n"
        for each in (content, FENCE + middle + BEHIND, BEHIND):
            texts.append(Text(len(texts), each, first_line=5))
    found = fixed_width.read(texts, DELIVERY, EXTRACTS)
    rows: list[Counter[str]] = [Counter() for _ in texts]
    refused: list[set[tuple[str | None, str]]] = [set() for _ in texts]
    for name, reading in found.items():
        for index, count in reading.frame.group_by("_text").len().iter_rows():
            rows[index][name] += count
        for bad in reading.bad:
            rows[bad.index][name] += 1
            refused[bad.index].add((bad.column, bad.reason))
    numbers = dict(found["TXN"].frame.group_by("_text", maintain_order=True).agg("SEQ_NO").iter_rows())
    quantities = found["TXN"].frame["QTY"].drop_nulls()
    assert quantities.str.contains(r"^-?(0|[1-9]\d*)\.\d\d$").all()
    outcomes = []
    for n, content in enumerate(contents):
        seen = fixed_width.look(content, DELIVERY, EXTRACTS)
        assert sum(rows[3 * n].values()) == sum(seen.rows.values())
        assert numbers[3 * n + 1][0] == "7000001" and numbers[3 * n + 1][-1] == "7000002"
        assert numbers[3 * n + 2] == ["7000002"]
        pieces = list(fixed_width.pieces(content, 300))
        assert b"".join(content[piece.start : piece.end] for piece in pieces) == content
        trailing = seen.trailer is not None and (seen.trailer.total is None, seen.trailer.agrees)
        refusal = re.sub(r"\d+", "n", seen.refusal or "")
        outcomes.append((refusal, trailing, tuple(sorted(refused[3 * n], key=str))))
    one = fixed_width.read([texts[3 * alone]], DELIVERY, EXTRACTS)
    for name, reading in one.items():
        assert found[name].frame.filter(_text=3 * alone).equals(reading.frame)
        assert [bad for bad in found[name].bad if bad.index == 3 * alone] == reading.bad
    return outcomes


def too_slow(signum: int, frame: object) -> None:
    """A hang ends the run.

    Raises:
        TimeoutError: always.
    """
    raise TimeoutError(f"a batch took more than {SLOWEST} s of computing")


def keep(content: bytes, corpus: Path) -> None:
    """Add an input to the corpus."""
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / hashlib.sha256(content).hexdigest()[:12]).write_bytes(content)


def main() -> None:
    """Fuzz for the seconds given."""
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    chance = random.Random(seed)
    pool = seeds()
    outcomes: set[object] = set()
    signal.signal(signal.SIGPROF, too_slow)
    started, inputs, kept = time.monotonic(), 0, 0
    while time.monotonic() - started < seconds:
        batch = [damaged(chance.choice(pool), pool, chance) for _ in range(BATCH)]
        signal.setitimer(signal.ITIMER_PROF, SLOWEST)
        try:
            found = promises(batch, chance.randrange(BATCH))
        except BaseException:
            for content in batch:
                if is_broken(content):
                    keep(content, CORPUS)
            print(f"seed {seed}, after {inputs} inputs: kept in {CORPUS}")
            raise
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        for content, outcome in zip(batch, found, strict=True):
            if outcome not in outcomes:
                outcomes.add(outcome)
                pool.append(content)
                if len(content) <= LARGEST_KEPT and len(outcome[2]) <= 1:
                    keep(content, CORPUS)
                    kept += 1
        inputs += len(batch)
    print(f"fixed_width: {inputs:,} files in {seconds:.0f} s, {len(outcomes)} outcomes, {kept} kept; seed {seed}")


def is_broken(content: bytes) -> bool:
    """Whether a file breaks a promise on its own."""
    signal.setitimer(signal.ITIMER_PROF, SLOWEST)
    try:
        promises([content], 0)
    except Exception:
        return True
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return False


if __name__ == "__main__":
    main()
