"""Builds small landing directories that keep every contract: files, parts, manifests and control files."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl

from ingest.batches import BatchLedger
from ingest.clock import AsOf
from ingest.contract import Column, Extract, load_contracts
from ingest.run import IngestReport, ingest

CONTRACTS = load_contracts()


def extract_of(feed: str) -> Extract:
    system, _, name = feed.partition(".")
    return CONTRACTS[system].extracts[name]


_STRPTIME = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", ".SSSSSS": "%.f"}


def strptime_layout(layout: str) -> str:
    """`yyyy-MM-dd HH:mm:ss` as a strptime layout."""
    text, out = layout, ""
    while text:
        for word, directive in _STRPTIME.items():
            if text.startswith(word):
                out, text = out + directive, text[len(word) :]
                break
        else:
            out, text = out + text[0], text[1:]
    return out


def proper_value(column: Column) -> str:
    """A value of the column that breaks no rule."""
    if column.values:
        return column.values[0]
    if column.pattern:
        return "1234567" if "7" in column.pattern else "12345"
    match column.type.name:
        case "integer" | "decimal":
            return "1"
        case "date" | "datetime":
            layout = strptime_layout(column.type.layout).replace("%.f", ".000000")
            return date(2026, 1, 15).strftime(layout)
        case "boolean":
            return column.type.words[0]
    return "X"


def row(feed: str, **values: str) -> dict[str, str]:
    """A row with its required columns filled, and these values."""
    columns = extract_of(feed).columns
    unknown = set(values) - set(columns)
    assert not unknown, unknown
    return {column.name: proper_value(column) if column.required else "" for column in columns.values()} | values


def csv_text(feed: str, rows: Sequence[Mapping[str, str]], header: Sequence[str] | None = None) -> bytes:
    delivery = extract_of(feed).delivery
    names = list(header or extract_of(feed).columns)
    stream = io.StringIO(newline="")
    writer = csv.writer(
        stream, delimiter=delivery.delimiter, lineterminator="\r\n" if feed.startswith(("pou.", "mmis.")) else "\n"
    )
    writer.writerow(names)
    writer.writerows([each.get(name, "") for name in names] for each in rows)
    return stream.getvalue().encode(delivery.encoding)


def zipped(parts: Mapping[str, bytes], level: int = 6) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, level)), text)
    return stream.getvalue()


class Landing:
    """A landing directory that keeps its manifests true unless told otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._listed: dict[Path, dict[str, str]] = {}

    def put(
        self,
        feed: str,
        day: str,
        rows: Sequence[Mapping[str, str]] = (),
        *,
        slot: str = "0600",
        content: bytes | None = None,
        header: Sequence[str] | None = None,
        parts: int = 1,
        stated_rows: int | None = None,
        stated_hash: str | None = None,
        stated_total: str | None = None,
        listed: bool = True,
    ) -> str:
        """Deliver one file and return its path relative to the landing directory."""
        system, _, name = feed.partition(".")
        contract = CONTRACTS[system]
        relative = contract.extracts[name].delivery.path.format(yyyymmdd=day, hhmm=slot, extract=name, n="1")
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        count = len(rows) if stated_rows is None else stated_rows
        if content is None and contract.delivery.is_zip:
            share = -(-len(rows) // parts) or 1
            content = zipped(
                {
                    f"{name}_{number + 1}.csv": csv_text(feed, rows[number * share : (number + 1) * share], header)
                    for number in range(parts)
                }
            )
        elif content is None:
            content = csv_text(feed, rows, header)
        path.write_bytes(content)
        if not listed or contract.delivery.manifest == "none":
            return relative
        if contract.delivery.manifest == "control_file":
            summed = extract_of(feed).control_total
            total = sum((Decimal(each[summed] or "0") for each in rows), Decimal(0)) if summed else Decimal(0)
            path.with_suffix(".ctl").write_text(f"rows={count};sum_qty={stated_total or total}\n")
            return relative
        md5, sha = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
        lines = self._listed.setdefault(path.parent, {})
        if contract.delivery.is_zip:
            lines[name] = f"{name}.zip;Store.{name};{count};{stated_hash or md5}"
        elif system == "erp_lawson":
            lines[name] = f"{name},{count}"
        else:
            lines[name] = f"{name},{count},{stated_hash or sha}"
        head = "" if contract.delivery.is_zip else ",".join(contract.delivery.manifest_columns) + "\n"
        manifest = path.parent / Path(contract.delivery.manifest_path).name
        manifest.write_text(head + "".join(line + "\n" for line in lines.values()))
        return relative


def run(
    landing: Landing, home: Path, as_of: str = "2026-12-31", run_id: str = "run", **options: object
) -> IngestReport:
    return ingest(landing.root, home, AsOf.parse(as_of), run_id, **options)  # type: ignore[arg-type]


def lake(home: Path, feed: str) -> pl.DataFrame:
    """Everything dbt would see of an extract, in delivery order."""
    folder = home / "lake" / "raw" / feed.replace(".", "/")
    return (
        pl.scan_parquet(sorted(folder.glob("*.parquet")), missing_columns="insert", extra_columns="ignore")
        .collect()
        .sort("_delivered", "_file", "_line", "_op", "_key_hash")
    )


def attempts(home: Path, **which: str) -> list[dict[str, object]]:
    """Rows of attempts.parquet, by delivery order, that have these values."""
    frame = pl.read_parquet(home / "lake" / "meta" / "attempts.parquet").sort("folder_date", "slot", "file")
    for name, value in which.items():
        frame = frame.filter(pl.col(name) == value)
    return frame.to_dicts()


def only_attempt(home: Path, **which: str) -> dict[str, object]:
    (found,) = attempts(home, **which)
    return found


def everything_written(home: Path) -> bytes:
    """All bytes of an instance but the token key, Parquet as text, for proofs of absence."""
    written = b""
    for path in sorted(home.rglob("*")):
        if path.is_dir() or path.parent.name == "keys":
            continue
        if path.suffix == ".parquet":
            written += pl.read_parquet(path).write_csv().encode()
        written += path.read_bytes()
    with BatchLedger(home / "lake") as ledger:
        written += "\n".join(ledger.connection.iterdump()).encode()
    return written
