"""FHIR bulk export and fixed-width records: rows a second from bytes to columns, and from files to landed Parquet.

Peers read the same NDJSON: json.loads and orjson build the tree of every line and take four values of it,
fhir.resources (R4B) builds and checks its model, on a part of the lines. For fixed width the peer slices every record
in Python. Each way runs in a process of its own, which tells its seconds and its peak memory; all must find the same
quantity in all.
"""

from __future__ import annotations

import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

DAY = "2026-04-30"
RESOURCES = 100_000
RECORDS = 200_000
# fhir.resources is slow: it gets a part of the lines.
PART = 2_000


def supplies(count: int) -> bytes:
    """SupplyDelivery lines of about 800 bytes, every twelfth an implant."""
    chance = random.Random(4)
    made = []
    for n in range(count):
        if n % 12:
            codes = [
                {"system": "urn:shs:mmis-item", "code": f"E{n % 99999:05d}"},
                {"system": "urn:gs1:gtin", "code": "09521234000013"},
            ]
            item: dict[str, Any] = {"itemCodeableConcept": {"coding": codes, "text": "Gauze sponge 4x4 sterile"}}
        else:
            form = chance.choice(("Device/dev-{}", "https://fhir.h8.shs.example/r4/Device/dev-{}", "#dev{}"))
            item = {"itemReference": {"reference": form.format(n)}}
        quantity = {"value": "@", "unit": "EA", "system": "http://unitsofmeasure.org", "code": "{each}"}
        what = {
            "resourceType": "SupplyDelivery",
            "id": f"sd-{n}",
            "meta": {"versionId": "1", "lastUpdated": "2026-04-30T09:12:00.000Z", "source": "urn:shs:h8"},
            "identifier": [{"system": "urn:shs:h8:case", "value": f"E-2026-{n % 999999:06d}"}],
            "status": "completed",
            "patient": {"reference": f"Patient/p-{n // 7}"},
            "type": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/supply-item-type", "code": "device"}]
            },
            "suppliedItem": {"quantity": quantity, **item},
            "occurrenceDateTime": "2026-04-29T10:15:00-04:00",
            "supplier": {"display": "Main OR"},
            "destination": {"reference": "Location/loc-or-3"},
        }
        made.append(json.dumps(what, separators=(",", ":")).replace('"@"', chance.choice(("1", "2", "2.50", "0.25"))))
    return ("\n".join(made) + "\n").encode()


def movements(count: int) -> bytes:
    """A transaction file: header, details of 200 characters, trailer."""
    lines = [f"HMMIS    1260430001{'':181}"]
    total = 0
    for n in range(count):
        cents = n % 900 * 25
        total -= cents
        lines.append(
            f"D{n + 1:07d}{n + 1:09d}601ISH6STR {'':6}{n % 7000:<15}{cents:09d}-EA{n % 99999:011d} 2604290310"
            f"7010{'':12}{n % 9000:04d}{'LOT' + str(n % 999):20}270131{40000000 + n:<12}{600000000 + n:<12}{'':47}"
        )
    lines.append(f"T{count:09d}{-total:013d}-{'':176}")
    assert {len(line) for line in lines} == {200}
    return ("\r\n".join(lines) + "\r\n").encode()


# Ways: from the file to the sum of its quantities ---------------------------------------------------------------------


def suture(file: Path) -> tuple[int, Decimal]:
    """All columns of the contract, with lines and refusals."""
    from ingest.contract import load_contracts
    from ingest.formats import fhir
    from ingest.formats.reading import Text

    contract = load_contracts()["ehr_fhir"]
    texts = [Text(0, file.read_bytes(), extracts=("SupplyDelivery",))]
    reading = fhir.read(texts, contract.delivery, [contract.extracts["SupplyDelivery"]])["SupplyDelivery"]
    assert not reading.bad
    return _summed(reading.frame["quantity"])


def _summed(quantities: Any) -> tuple[int, Decimal]:
    import polars as pl

    return len(quantities), quantities.cast(pl.Decimal(38, 4)).sum()


def _taken(trees: Iterator[dict[str, Any]]) -> tuple[int, Decimal]:
    rows = [
        (
            tree["id"],
            tree["meta"]["lastUpdated"],
            tree["patient"]["reference"],
            tree["suppliedItem"]["quantity"]["value"],
        )
        for tree in trees
    ]
    return len(rows), sum((Decimal(str(row[3])) for row in rows), Decimal(0))


def json_loads(file: Path) -> tuple[int, Decimal]:
    """Four values of every tree."""
    with file.open("rb") as stream:
        return _taken(json.loads(line) for line in stream)


def orjson_loads(file: Path) -> tuple[int, Decimal]:
    """Four values of every tree."""
    import orjson

    with file.open("rb") as stream:
        return _taken(orjson.loads(line) for line in stream)


def duckdb_json(file: Path) -> tuple[int, Decimal]:
    """The limit: four values of every line by DuckDB alone."""
    import duckdb

    found = duckdb.sql(
        f"""select json->>'$.id', json->>'$.meta.lastUpdated', json->>'$.patient.reference',
        json->>'$.suppliedItem.quantity.value' as quantity from read_ndjson_objects('{file}')"""
    ).pl()
    return _summed(found["quantity"])


def fhir_resources(file: Path) -> tuple[int, Decimal]:
    """The model of every resource, checked."""
    from fhir.resources.R4B.supplydelivery import SupplyDelivery

    with file.open("rb") as stream:
        made = [SupplyDelivery.model_validate_json(line) for line in stream]
    return len(made), sum((Decimal(each.suppliedItem.quantity.value) for each in made), Decimal(0))


def suture_fixed(file: Path) -> tuple[int, Decimal]:
    """All columns of the contract, the trailer checked."""
    from ingest.contract import load_contracts
    from ingest.formats import fixed_width
    from ingest.formats.reading import Text

    contract = load_contracts()["mmis"]
    delivery = next(each for each in contract.deliveries if each.format == "fixed-width")
    extracts = [contract.extracts[name] for name in delivery.extracts]
    content = file.read_bytes()
    seen = fixed_width.look(content, delivery, extracts)
    reading = fixed_width.read([Text(0, content)], delivery, extracts)["TXN"]
    assert seen.refusal is None and not reading.bad and seen.trailer is not None
    count, total = _summed(reading.frame["QTY"])
    assert Decimal(seen.trailer.total or "") == total
    return count, total


def sliced(file: Path) -> tuple[int, Decimal]:
    """Every detail cut at the contract's places in a loop, decimals made of three of them."""
    from ingest.contract import load_contracts

    columns = [column for column in load_contracts()["mmis"].extracts["TXN"].read_columns if column.width]
    places = [slice(column.start - 1, column.start - 1 + column.width) for column in columns]
    quantity = [column.name for column in columns].index("QTY")
    rows = []
    with file.open(encoding="cp1252", newline="\r\n") as stream:
        for record in stream:
            if record[0] == "D":
                row: list[Any] = [record[place].rstrip() for place in places]
                text = record[places[quantity]]
                row[quantity] = Decimal(int(text[:-1])).scaleb(-2) * (-1 if text[-1] == "-" else 1)
                rows.append(row)
    return len(rows), sum((row[quantity] for row in rows), Decimal(0))


def landed(folder: Path) -> tuple[int, Decimal]:
    """Files to Parquet with contract, tokens, hashes and batch ledger."""
    from ingest.clock import AsOf
    from ingest.run import ingest

    system = next((folder / "landing").iterdir()).name
    report = ingest(folder / "landing", folder / "home", AsOf.parse(DAY), "bench", systems=[system])
    assert not report.rows_quarantined and not report.files_refused
    return max(counts.rows_landed for counts in report.extracts), Decimal(0)


WAYS: dict[str, Callable[[Path], tuple[int, Decimal]]] = {
    way.__name__: way
    for way in (
        *(suture, duckdb_json, orjson_loads, json_loads, fhir_resources),
        *(suture_fixed, sliced, landed),
    )
}


def measured(way: str, file: Path) -> dict[str, Any]:
    """Rows, sum, seconds, CPU seconds and peak megabytes of a way in a process of its own."""
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.fhir", way, str(file)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(out.stdout.splitlines()[-1])
    return found


def _told(title: str, each: dict[str, Any], ours: dict[str, Any]) -> str:
    rate, of_cpu = each["rows"] / each["seconds"], each["rows"] / each["cpu"]
    line = f"{title}: {rate:,.0f}/s, {of_cpu:,.0f} a CPU second, {each['megabytes']:,.0f} MB peak"
    return line if each is ours else f"{line}; Suture {ours['rows'] / ours['seconds'] / rate:.1f} x"


def run() -> None:
    """Print rows a second, peak memory and the ratio to each peer."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        content = supplies(RESOURCES)
        whole, part, fixed = root / "supplies.ndjson", root / "part.ndjson", root / "TXN260430.DAT"
        whole.write_bytes(content)
        part.write_bytes(b"".join(content.splitlines(keepends=True)[:PART]))
        fixed.write_bytes(movements(RECORDS))
        ours = measured("suture", whole)
        print(_told(f"fhir: Suture, {RESOURCES:,} SupplyDelivery to columns", ours, ours))
        of_part = WAYS["json_loads"](part)
        for way, file in (
            ("duckdb_json", whole),
            ("orjson_loads", whole),
            ("json_loads", whole),
            ("fhir_resources", part),
        ):
            each = measured(way, file)
            assert (each["rows"], Decimal(each["sum"])) == (
                of_part if file == part else (ours["rows"], Decimal(ours["sum"]))
            ), f"{way} found another sum"
            print(_told(f"fhir: {way}", each, ours))
        ours = measured("suture_fixed", fixed)
        print(_told(f"fixed width: Suture, {RECORDS:,} details to columns, trailer checked", ours, ours))
        each = measured("sliced", fixed)
        assert (each["rows"], Decimal(each["sum"])) == (ours["rows"], Decimal(ours["sum"]))
        print(_told("fixed width: slices in a loop", each, ours))
        for title, folder, rows in (
            ("fhir: files to landed Parquet", _export(root / "fhir", content), RESOURCES),
            ("fixed width: file to landed Parquet", _night(root / "mmis", fixed), RECORDS),
        ):
            each = measured("landed", folder)
            assert each["rows"] == rows
            print(_told(f"{title}, {rows:,} rows", each, each))


def _export(folder: Path, content: bytes) -> Path:
    """A landing directory with a bulk export in eight parts."""
    day = folder / "landing" / "ehr_fhir" / DAY.replace("-", "")
    day.mkdir(parents=True)
    lines = content.splitlines(keepends=True)
    output = []
    for part in range(8):
        mine = lines[part::8]
        name = f"SupplyDelivery.{part}.ndjson"
        (day / f"{name}.gz").write_bytes(gzip.compress(b"".join(mine), 1))
        output.append({"type": "SupplyDelivery", "url": f"https://h8.example/{name}", "count": len(mine)})
    manifest = {"transactionTime": f"{DAY}T05:00:00Z", "output": output, "deleted": [], "error": []}
    (day / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _night(folder: Path, file: Path) -> Path:
    """A landing directory with a transaction file."""
    day = folder / "landing" / "mmis" / DAY.replace("-", "") / "db1"
    day.mkdir(parents=True)
    (day / file.name).write_bytes(file.read_bytes())
    return folder


def _tell(way: str, file: Path) -> None:
    """Run one way, reading ones twice, and print what it found and the better times."""
    import duckdb  # noqa: F401
    import polars  # noqa: F401

    from ingest.contract import load_contracts
    from ingest.formats import fhir, fixed_width  # noqa: F401

    # Libraries and contracts are loaded before the clock starts.
    load_contracts()
    seconds = cpu = float("inf")
    for _ in range(1 if way == "landed" else 2):
        started, computed = time.perf_counter(), time.process_time()
        count, total = WAYS[way](file)
        seconds = min(seconds, time.perf_counter() - started)
        cpu = min(cpu, time.process_time() - computed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": count, "sum": str(total), "seconds": seconds, "cpu": cpu, "megabytes": peak}))


if __name__ == "__main__":
    _tell(sys.argv[1], Path(sys.argv[2]))
