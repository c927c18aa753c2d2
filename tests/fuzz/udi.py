"""`python -m tests.fuzz.udi SECONDS [SEED]`: mutated device identifiers, until the time is up or a promise is broken.

Mutates labels of all agencies byte by byte and piece by piece. A batch that raises, or whose rows differ from the same
scans read in other company, is cut down and kept in tests/unit/ingest/fixtures/udi, which the suite reads again.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.unit.ingest.test_udi_properties import CHARACTERS_43, CORPUS, check_digit, never_raises_and_keeps_its_word

_PIECES = (
    "\x1d",
    "~",
    "(",
    ")",
    " ",
    "+",
    "-",
    "/",
    "$$",
    "$",
    "=",
    "&",
    "]C1",
    "]E0",
    "*",
    "_",
    "%",
    "é",
    "\x00",
    "\x1e",
)


def _gtin(chance: random.Random) -> str:
    payload = f"{chance.randrange(10**13):013d}"
    return payload + check_digit(payload)


def _label(chance: random.Random) -> str:
    """A right label of any agency."""
    word = "".join(chance.choices("ABCXYZ019", k=chance.randint(1, 20)))
    day = f"{chance.randrange(100):02d}{chance.randint(1, 12):02d}{chance.randint(0, 28):02d}"
    kind = chance.randrange(6)
    if kind < 3:
        ais = [
            ("01", _gtin(chance)),
            ("17", day),
            ("10", word),
            ("21", word[::-1]),
            ("30", "5"),
            ("7003", day + "1530"),
        ]
        chosen = chance.sample(ais, chance.randint(1, len(ais)))
        if kind == 0:
            return "".join(f"({ai}){value}" for ai, value in chosen)
        return ("]C1" if kind == 1 else "") + "\x1d".join(ai + value for ai, value in chosen)
    if kind == 3:
        body = f"+A{word[:3]:9<3}{word[:18]}{chance.randrange(10)}"
        body += chance.choice(
            ["", f"/$${chance.choice('23456')}{day}{word[:9]}", f"/$$+7{word[:9]}/S{word[:9]}/16D2026{day[2:]}"]
        )
        return body + CHARACTERS_43[sum(map(CHARACTERS_43.index, body)) % 43]
    if kind == 4:
        return f"=/{word:A<16.16}=,{word:0<6.6}=>026{chance.randint(1, 366):03d}&,1{word:0<18.18}"
    return _gtin(chance)[chance.choice((0, 1, 2)) :]


def _mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        at = chance.randrange(len(text) + 1)
        until = min(len(text), at + chance.randint(0, 6))
        middle = chance.choice(
            (
                "",
                chr(chance.randrange(1, 128)),
                chance.choice(_PIECES),
                text[at:until] * 2,
                _label(chance)[: chance.randint(1, 12)],
                text[at:until].swapcase(),
            )
        )
        text = text[:at] + middle + text[until if chance.random() < 0.6 else at :]
    return text


def _holds(scans: list[str]) -> bool:
    try:
        never_raises_and_keeps_its_word(list(scans))
    # A panic of the engine is no Exception.
    except BaseException as broken:
        if isinstance(broken, KeyboardInterrupt):
            raise
        return False
    return True


def _shortest(scans: list[str], holds: Callable[[list[str]], bool]) -> list[str]:
    """Fewer scans that still break the promise: without every part, ever smaller, that is not needed for it."""
    size = len(scans) // 2
    while size:
        at = 0
        while at < len(scans):
            fewer = scans[:at] + scans[at + size :]
            if fewer and not holds(fewer):
                scans = fewer
            else:
                at += size
        size //= 2
    return scans


def main() -> None:
    """Fuzz for the seconds given; exit 1 if something was kept."""
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    chance = random.Random(seed)
    until, scans, kept = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        batch = [_mutated(_label(chance), chance) for _ in range(300)]
        scans += len(batch)
        if not _holds(batch):
            found = _shortest(batch, _holds)
            name = hashlib.sha256(json.dumps(found).encode()).hexdigest()[:12]
            CORPUS.mkdir(parents=True, exist_ok=True)
            Path(CORPUS / f"{name}.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
            kept += 1
    print(f"seed {seed}: {scans:,} scans, {kept} batches kept")
    raise SystemExit(1 if kept else 0)


if __name__ == "__main__":
    main()
