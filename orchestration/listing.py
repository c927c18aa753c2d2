"""Lists on standard output: exceptions, snapshots, scores, refused rows, places in deliveries.

Here: how they are written, for people and for programs.
Not here: what they contain (quality), the commands (cli).
"""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.summary import table

if TYPE_CHECKING:
    from orchestration.settings import Settings
    from quality.publish import Snapshot

EXCEPTION_COLUMNS = (
    "exception_id",
    "occurrence",
    "rule_id",
    "rule_version",
    "tolerance_version",
    "severity",
    "queue",
    "facility_id",
    "entity_key",
    "business_date",
    "fiscal_period",
    "impact_amount",
    "root_exception_id",
    "status",
    "first_detected_at",
    "last_detected_at",
    "closed_at",
    "due_at",
    "explanation",
    "evidence",
)
# What fits a terminal; the other formats have every column.
TABLE_COLUMNS = (
    "rule_id",
    "severity",
    "queue",
    "facility_id",
    "entity_key",
    "impact_amount",
    "status",
    "business_date",
)


def write_exceptions(
    snapshot: Snapshot,
    rules: Sequence[str],
    facilities: Sequence[str],
    statuses: Sequence[str],
    form: str,
    out: Path | None,
) -> None:
    """Write the exceptions of a snapshot, the most severe and largest first.

    Raises:
        ValueError: Parquet is asked for without a file, or the file cannot be written.
    """
    if form == "parquet" and out is None:
        raise ValueError("Parquet needs a file: give --out FILE")
    if out is not None and not out.absolute().parent.is_dir():
        raise ValueError(f"{out.absolute().parent} is no directory")
    conditions, values = _conditions(rule_id=rules, facility_id=facilities, status=statuses)
    query = (
        f"select {', '.join(EXCEPTION_COLUMNS)} from quality.exceptions where {conditions}"
        " order by severity, impact_amount desc, rule_id, facility_id, entity_key"
    )
    import duckdb

    with contextlib.closing(duckdb.connect(str(snapshot.database), read_only=True)) as connection:
        if form in ("csv", "parquet"):
            target = "/dev/stdout" if out is None else str(out).replace("'", "''")
            sys.stdout.flush()
            options = "format csv, header" if form == "csv" else "format parquet, compression zstd"
            connection.execute(f"copy ({query}) to '{target}' ({options})", values)
            return
        rows = connection.execute(query, values).fetchall()
    if form == "json":
        text = json.dumps([_as_json(dict(zip(EXCEPTION_COLUMNS, row, strict=True))) for row in rows], indent=1)
    else:
        places = [EXCEPTION_COLUMNS.index(column) for column in TABLE_COLUMNS]
        title = f"{len(rows):,} exceptions as of {snapshot.as_of}"
        text = "\n".join(table(title, TABLE_COLUMNS, [[row[place] for place in places] for row in rows]))
    if out is None:
        print(text)
    else:
        out.write_text(text + "\n")


def _conditions(**wanted: Sequence[str]) -> tuple[str, list[str]]:
    """SQL condition and values for `column in (...)`, empty lists meaning any."""
    parts = [f"{column} in ({', '.join('?' * len(values))})" for column, values in wanted.items() if values]
    return " and ".join(parts) or "true", [value for values in wanted.values() for value in values]


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if name == "evidence" and isinstance(value, str):
            row[name] = json.loads(value)
        elif isinstance(value, Decimal):
            row[name] = str(value)
        elif hasattr(value, "isoformat"):
            row[name] = value.isoformat()
    return row


def write_snapshots(published: Path) -> None:
    """Write one line a snapshot."""
    from quality import publish

    served = publish.current(published)
    rows = [
        [
            "*" if served and served.snapshot_id == each.snapshot_id else "",
            each.snapshot_id,
            each.as_of,
            each.manifest["run_id"],
            len(each.manifest["tables"]),
            sum(entry["rows"] for entry in each.manifest["tables"].values()),
            Decimal(each.size_bytes) / 1_000_000,
        ]
        for each in publish.snapshots(published)
    ]
    headings = ["", "snapshot", "as of", "run", "tables", "rows", "MB"]
    print("\n".join(table("Published snapshots, newest first; * is served", headings, rows)).rstrip())


def write_score(snapshot: Snapshot, answer_key: Path, form: str) -> None:
    """Write how the published exceptions compare with an answer key, rule by rule."""
    from quality.score import render_json, score

    result = score(snapshot.folder, answer_key)
    print(render_json(result) if form == "json" else result)


# ------------------------------------------------------------------------------------------------ quarantine


def write_quarantine(home: Path, system: str | None, form: str) -> None:
    """Write what is refused now: files that were refused whole, then rows."""
    from ingest import quarantine

    def is_meant(feed: str) -> bool:
        return system is None or feed.split(".")[0] == system

    files = [each for each in quarantine.list_files(home) if is_meant(each.feed)]
    rows = [each for each in quarantine.list_rows(home) if is_meant(each.feed)]
    if form == "json":
        print(
            json.dumps({"files": [asdict(each) for each in files], "rows": [asdict(each) for each in rows]}, indent=1)
        )
        return
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["id", "feed", "file", "line", "column", "value_class", "reason"])
        writer.writerows([each.id, each.feed, each.file, "", "", "", each.reason] for each in files)
        writer.writerows(
            [each.id, each.feed, each.file, each.line, each.column, each.value_class, each.reason] for each in rows
        )
        return
    print(
        "\n".join(
            table(
                "Files refused whole",
                ["id", "feed", "file", "rows", "stated", "reason"],
                [[each.id, each.feed, each.file, each.rows, each.manifest_rows, each.reason] for each in files],
            )
            + table(
                "Rows refused",
                ["id", "feed", "file", "column", "value", "reason"],
                [[each.id, each.feed, each.file, each.column or "-", each.value_class, each.reason] for each in rows],
            )
        ).rstrip()
    )


def write_quarantine_entry(home: Path, identity: str) -> None:
    """Write why one file or row was refused and what to do.

    Raises:
        ValueError: nothing refused has this id.
    """
    from ingest.quarantine import UnknownId, explain

    try:
        found = explain(home, identity)
    except UnknownId as error:
        raise ValueError(str(error)) from error
    lines = [f"{found.id}  {found.feed}", f"file      {found.file}", f"reason    {found.reason}"]
    lines += [f"expected  {expected}" for expected in found.expected]
    lines += [
        f"line      {row.line}, {row.column or 'whole row'} ({row.value_class}): {row.reason}" for row in found.rows
    ]
    lines += [f"what now  {found.advice}", *(f"run       {run}: {outcome}" for run, outcome in found.runs)]
    print("\n".join(lines))


def replay_quarantine(settings: Settings, landing: Path | None, as_of: str | None) -> None:
    """Read refused deliveries again and say what became of them; publishing is for the next run.

    Raises:
        NoLanding: no landing directory is known.
    """
    from ingest.clock import AsOf
    from ingest.quarantine import replay
    from orchestration.journal import NoLanding, delivered_dates, home_held, known_landing
    from quality import publish

    source = landing.absolute() if landing else known_landing(settings)
    if not source.is_dir():
        raise NoLanding(f"the landing directory {source} does not exist")
    served = publish.current(settings.published)
    moment = as_of or (served.as_of if served else delivered_dates(source)[-1])
    run_id = f"replay-{uuid.uuid4()}"
    with home_held(settings, run_id, waiting=lambda text: print(text, file=sys.stderr), on_dead=lambda dead: None):
        report = replay(settings.home, source, AsOf.parse(moment), run_id)
    print(
        f"{report.files} deliveries read again: {report.rows_landed:,} rows landed,"
        f" {report.rows_quarantined:,} still refused. The next run publishes what landed"
    )


# ------------------------------------------------------------------------------------------------ locate


def write_location(settings: Settings, key: str, landing: Path | None) -> None:
    """Write the delivery files and lines behind an exception or a record; what was asked is logged, nothing is stored.

    Raises:
        ValueError: the key names nothing that was published or landed.
        NoLanding: no landing directory is known.
    """
    from ingest.locate import NotLocated, locate
    from ingest.privacy import TokenKeyError
    from orchestration.journal import known_landing

    source = landing.absolute() if landing else known_landing(settings)
    settings.logs.mkdir(parents=True, exist_ok=True)
    trail = logging.FileHandler(settings.logs / "locate.log")
    trail.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("suture.locate")
    logger.addHandler(trail)
    logger.setLevel(logging.INFO)
    try:
        places = locate(settings.home, source, _evidence(settings, key) or key)
    except (NotLocated, TokenKeyError) as error:
        raise ValueError(str(error)) from error
    finally:
        logger.removeHandler(trail)
        trail.close()
    for place in places:
        print(place)


def _evidence(settings: Settings, key: str) -> list[dict[str, Any]]:
    """The evidence of the published exceptions whose id or entity key this is."""
    from quality import publish

    served = publish.current(settings.published)
    if served is None:
        return []
    import duckdb

    with contextlib.closing(duckdb.connect(str(served.database), read_only=True)) as connection:
        found = connection.execute(
            "select evidence from quality.exceptions where exception_id = ? or entity_key = ?", [key, key]
        ).fetchall()
    return [entry for (evidence,) in found if evidence for entry in json.loads(evidence) if entry.get("file")]
