"""X12 files: segments a second from bytes to rows and to landed Parquet, beside pyx12's reader on the same bytes.

The peer splits a file into segment objects, no more. Suture checks the envelope, puts the elements of every column of
the contract into columns and, in the last figure, lands a night of such files: shape, tokens, hashes, Parquet, ledger.
Between the two stands a bare way of rows to Parquet: the same reader, its frames as they come, no contract, no hash.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.formats.reading import Reading

DAY = date(2026, 4, 30)
INVOICES = 14_000
REMITTANCES = 55
# Files that land together: about 105 MB of each kind.
NIGHT = {"810": 10, "835": 18}
FILES = 2_800


def invoices(count: int, file: int = 0) -> bytes:
    """One interchange of 810 with about 30 segments each, as a distributor sends them."""
    sets = []
    for number in range(count):
        lines = "".join(
            f"IT1*{line}*{number % 9 + line}*BX*{line * 17 + number % 900}.{line}5**IN*{700000 + line}"
            f"*VC*V{number % 5000}-{line}*UK*0088{number % 1000000:06d}{line:04d}~"
            f"PID*F****CATHETER BALLOON {line}MM~REF*PO*{4400000 + number}~"
            f"REF*LT*L{number % 99999}~"
            for line in range(1, 5)
        )
        body = (
            f"ST*810*{number:09d}~BIG*20260429*INV{number:08d}*20260420*{4400000 + number}***DI~"
            f"REF*IA*V00{number % 900}~REF*BM*BOL{number}~"
            f"N1*RE*SUPPLIER*UL*0088000000000~N1*ST*HOSPITAL NORTH*UL*00880000{number % 9}~"
            f"N3*1 MAIN STREET~N4*CHICAGO*IL*60601~ITD*01*3*2**15**30~{lines}"
            f"TDS*{number * 7 + 12345}~TXI*ST*{number % 90}.25~"
            f"SAC*C*D240***{number % 5000 + 100}**********FREIGHT~CTT*4~"
        )
        sets.append(f"{body}SE*{body.count('~') + 1}*{number:09d}~")
    head = _isa("SUPPLIERA", "00401", 77 + file) + "GS*IN*SUPPLIERA*HOSPITAL*20260430*0900*77*X*004010~"
    return f"{head}{''.join(sets)}GE*{count}*77~IEA*1*{77 + file:09d}~".encode()


def remittances(count: int, file: int = 0) -> bytes:
    """Interchanges of one 835 each with 160 claims of four services."""
    out = []
    for number in range(file * count, (file + 1) * count):
        claims = "".join(
            f"CLP*{600000000 + number * 1000 + claim}*1*{claim}400.00*{claim}000.00*50.00*12*99{claim:08d}*13*1****470~"
            f"NM1*QC*1*PATIENT*NAME****MI*W{claim:09d}~REF*EA*{claim:08d}~DTM*232*20260402~DTM*233*20260405~"
            + "".join(
                f"SVC*HC:C17{service}3:LT*{claim}100.00*{claim}000.00*0278*{service}~DTM*472*2026040{service}~"
                f"CAS*CO*45*75.00**253*2.00~CAS*PR*2*23.00~REF*6R*{service}~AMT*B6*{claim}000.00~"
                for service in range(1, 5)
            )
            for claim in range(1, 161)
        )
        body = (
            f"ST*835*{number:04d}~"
            "BPR*I*160000.00*C*ACH*CCP*01*123456789*DA*000000000*1234567890**01*123456789*DA*1*20260430~"
            f"TRN*1*TRACE{number:07d}*1123456789~DTM*405*20260430~"
            f"N1*PR*PAYER*XV*PAYER{number % 7}~N3*PO BOX 9~N4*CHICAGO*IL*60601~"
            f"REF*2U*99~N1*PE*HOSPITAL*XX*1003814971~LX*1~{claims}PLB*1003814971*20261231*WO:{number}*12.00*L6:X*-3.50~"
        )
        body += f"SE*{body.count('~') + 1}*{number:04d}~"
        out.append(
            f"{_isa('PAYER', '00501', number)}GS*HP*PAYER*HOSPITAL*20260430*0900*{number}*X*005010X221A1~{body}"
            f"GE*1*{number}~IEA*1*{number:09d}~"
        )
    return "".join(out).encode()


def _isa(sender: str, version: str, number: int = 77) -> str:
    repetition = "U" if version == "00401" else "^"
    return (
        f"ISA*00*{'':10}*00*{'':10}*ZZ*{sender:15}*ZZ*{'HOSPITAL':15}*260430*0900*{repetition}*{version}*"
        f"{number:09d}*0*P*:~"
    )


def _best(work: Callable[[], object], times: int = 3) -> tuple[float, float]:
    """Seconds on the clock and of the processor, the least of some runs."""
    clock, processor = [], []
    for _ in range(times):
        started, spent = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - spent)
    return min(clock), min(processor)


def _pyx12(content: bytes) -> int:
    """Segments that pyx12's reader yields."""
    from pyx12.x12file import X12Reader

    return sum(1 for _ in X12Reader(io.StringIO(content.decode())))


def _read(content: bytes, feed: str) -> dict[str, int]:
    """Rows by extract, from the reader alone."""
    readings = _readings(content, feed)
    assert not any(reading.bad for reading in readings.values())
    return {name: reading.frame.height for name, reading in readings.items()}


def _readings(content: bytes, feed: str) -> dict[str, Reading]:
    from ingest.contract import load_contracts
    from ingest.formats import x12
    from ingest.formats.reading import Text

    contracts = load_contracts()
    system, delivery = (
        (contracts["edi"], contracts["edi"].delivery)
        if feed == "810"
        else (contracts["hb"], contracts["hb"].deliveries[1])
    )
    names = delivery.reads[feed] if feed == "810" else delivery.extracts
    return x12.read(
        [Text(0, content, name="bench.edi", extracts=names)], delivery, [system.extracts[name] for name in names]
    )


def _expected(content: bytes, feed: str) -> dict[str, int]:
    """Rows by extract as a plain split of the text counts them."""
    segments = content.decode().split("~")
    count = Counter(each.partition("*")[0] for each in segments)
    if feed == "810":
        return {
            "ENVELOPE": count["ST"],
            "INV810_HEAD": count["ST"],
            "INV810_LINE": count["IT1"],
            "INV810_SAC": count["SAC"] + count["TXI"],
        }
    triplets = sum((len(each.split("*")) - 2 + 2) // 3 for each in segments if each.startswith("CAS*"))
    pairs = sum((len(each.split("*")) - 3) // 2 for each in segments if each.startswith("PLB*"))
    return {
        "REMIT_835_PAYMENT": count["ST"],
        "REMIT_835_CLAIM": count["CLP"],
        "REMIT_835_SERVICE": count["SVC"],
        "REMIT_835_ADJ": triplets,
        "REMIT_835_PLB": pairs,
    }


def _content(feed: str, file: int = 0) -> bytes:
    return invoices(INVOICES, file) if feed == "810" else remittances(REMITTANCES, file)


def _deliver(feed: str, root: Path) -> None:
    """A night of files below `root`."""
    day = DAY.strftime("%Y%m%d")
    folder = root / "landing" / (f"edi/{day}/810" if feed == "810" else f"hb/835/{day}")
    folder.mkdir(parents=True)
    for number in range(NIGHT[feed]):
        name = f"SUPPLIERA_{77 + number:09d}.edi" if feed == "810" else f"PAYER_TRACE{number:04d}.835"
        (folder / name).write_bytes(_content(feed, number))


def _child(step: str, feed: str, root: Path) -> tuple[float, float, float]:
    """Seconds on the clock and of the processor, and peak memory in MiB, of a process that only does the step."""
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.x12", step, feed, str(root)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    return tuple(json.loads(told.stdout.splitlines()[-1]))


def _step(step: str, feed: str, root: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work = {"read": _rows, "bare": _bare, "land": _landed, "pyx12": _peer}[step](feed, root, Path(scratch))
        clock, processor = _best(work, 1)
    # The peak of getrusage begins with that of the process that started this one; the kernel's own is of this one.
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    memory = (int(peak[1]) if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
    print(json.dumps([clock, processor, memory]))


def _rows(feed: str, root: Path, scratch: Path) -> Callable[[], object]:
    content = _content(feed)
    assert _read(content, feed) == _expected(content, feed)
    return lambda: _read(content, feed)


def _peer(feed: str, root: Path, scratch: Path) -> Callable[[], object]:
    content = _content(feed)
    _pyx12(content[: content.index(b"~ST*") + 1])
    return lambda: _pyx12(content)


def _files(root: Path) -> list[Path]:
    return sorted(file for file in (root / "landing").rglob("*") if file.is_file())


def _bare(feed: str, root: Path, scratch: Path) -> Callable[[], object]:
    """The files of a night, one after the other, to rows and as they are to Parquet."""
    from ingest.coded import plain

    def work() -> None:
        for number, file in enumerate(_files(root)):
            for name, reading in _readings(file.read_bytes(), feed).items():
                plain(reading.frame).write_parquet(
                    scratch / f"{number}{name}.parquet", compression="zstd", compression_level=1
                )

    _readings(_orders(1)[0], feed)
    return work


def _landed(feed: str, root: Path, scratch: Path) -> Callable[[], object]:
    """A night of files to landed Parquet."""
    from ingest.clock import AsOf
    from ingest.run import ingest

    system, as_of = "edi" if feed == "810" else "hb", AsOf.parse(DAY.isoformat())
    # A small file loads what a run loads.
    (small,) = (file for file in _files(root)[:1])
    first = scratch / "small" / small.relative_to(root)
    first.parent.mkdir(parents=True)
    first.write_bytes(invoices(2) if feed == "810" else remittances(1))
    ingest(scratch / "small" / "landing", scratch / "warm", as_of, "warm", systems=[system])
    expected: Counter[str] = Counter()
    for number in range(NIGHT[feed]):
        expected.update(_expected(_content(feed, number), feed))

    def work() -> None:
        report = ingest(root / "landing", scratch / "home", as_of, "bench", systems=[system])
        rows = {counts.feed.partition(".")[2]: counts.rows_landed for counts in report.extracts if counts.rows_landed}
        assert rows == expected

    return work


def _orders(count: int) -> list[bytes]:
    """Files of one order with two lines each, as they come over a day."""
    body = (
        "ST*850*0001~BEG*00*SA*4500123**20260429~REF*IA*V009~N1*ST*NORTH*UL*0088000000011~N1*SU*ACME*1*123456789~"
        "PO1*1*10*BX*12.50*PE*VC*AB-1*IN*700001~PID*F****CATHETER~PO1*2*3*EA*.5**VN*X9~PID*F****GUIDE WIRE~"
        "CTT*2~SE*11*0001~"
    )
    return [
        f"{_isa('HOSPITAL', '00401', number)}GS*PO*HOSPITAL*SUPPLIER*20260430*0900*1*X*004010~{body}"
        f"GE*1*1~IEA*1*{number:09d}~".encode()
        for number in range(count)
    ]


def _small_files() -> None:
    from ingest.contract import load_contracts
    from ingest.formats import x12
    from ingest.formats.reading import Text

    edi = load_contracts()["edi"]
    fed = edi.delivery.reads["850"]
    texts = [Text(number, content, name=f"{number}.edi", extracts=fed) for number, content in enumerate(_orders(FILES))]

    def read() -> None:
        readings = x12.read(texts, edi.delivery, [edi.extracts[name] for name in fed])
        assert readings["ENVELOPE"].frame.height == FILES
        assert readings["PO850_LINE"].frame.height == 2 * FILES

    clock, processor = _best(read)
    print(
        f"x12 850, {FILES:,} files of one order in one call: {FILES / clock:,.0f} files/s "
        f"({FILES / processor:,.0f} a processor second)"
    )


def run() -> None:
    """Print segments a second of all ways, for invoices and remittances, with peak memory, and small files a second."""
    for feed, files in NIGHT.items():
        content = _content(feed)
        segments = content.count(b"~")
        assert _pyx12(content) == segments
        with tempfile.TemporaryDirectory() as scratch:
            _deliver(feed, Path(scratch))
            runs = {step: [_child(step, feed, Path(scratch)) for _ in range(2)] for step in STEPS}
        best = {step: tuple(min(each) for each in zip(*told, strict=True)) for step, told in runs.items()}
        peer = best["pyx12"]
        for step, (says, is_night) in STEPS.items():
            count = segments * (files if is_night else 1)
            clock, processor, memory = best[step]
            print(
                f"x12 {feed}, {files if is_night else 1} x {len(content) / 1e6:.1f} MB, {says}: {count / clock:,.0f} "
                f"segments/s, {count / clock / (segments / peer[0]):.1f} x pyx12; {count / processor:,.0f} a processor "
                f"second, {count / processor / (segments / peer[1]):.1f} x; peak memory {memory:,.0f} MiB"
            )
    _small_files()


STEPS = {
    "pyx12": ("pyx12's reader", False),
    "read": ("rows", False),
    "bare": ("rows to bare Parquet", True),
    "land": ("landed Parquet", True),
}


if __name__ == "__main__":
    _step(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
