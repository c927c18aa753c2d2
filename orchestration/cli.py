"""The `suture` command.

Here: commands, their options, what they print and their exit codes. Everything heavy is imported by the command that
needs it, so that `suture --help` is quick.
Not here: the work of any command.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestration.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from quality.publish import Snapshot

FAULT, USAGE = 1, 2

app = typer.Typer(
    name="suture",
    help="Join what a hospital uses on a patient to what it orders, pays, charges and books.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Rich help costs more to import than everything else a short command does.
    rich_markup_mode=None,
)
run_app = typer.Typer(help="Run the pipeline: the same jobs as in Dagster, without a daemon.", no_args_is_help=True)
quarantine_app = typer.Typer(help="What was refused, where and why; read it again, corrected.", no_args_is_help=True)
key_app = typer.Typer(help="The token key: without it old and new identifiers never join again.", no_args_is_help=True)
app.add_typer(run_app, name="run")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(key_app, name="key")

_home: list[str] = []


@app.callback()
def instance(
    home: Annotated[
        str | None,
        typer.Option("--home", help="The instance; also SUTURE_HOME. Default: data/ of the checkout."),
    ] = None,
) -> None:
    """Remember which home is meant."""
    _home[:] = [home] if home else []


def _settings() -> Settings:
    return load_settings(_home[0] if _home else None)


def _stop(message: object, code: int) -> typer.Exit:
    print(f"suture: {message}", file=sys.stderr)
    return typer.Exit(code)


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn what the caller can put right into exit code 2."""
    from orchestration.journal import HomeIsBusy, NoLanding

    try:
        yield
    except (SettingsError, NoLanding, ValueError) as error:
        raise _stop(error, USAGE) from error
    except HomeIsBusy as error:
        raise _stop(error, FAULT) from error


# ------------------------------------------------------------------------------------------------ simulate


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Directory to write deliveries and the answer key below.")],
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Date of the first delivery folder.")],
    days: Annotated[int, typer.Option(min=1, help="Calendar days of delivery folders.")],
    scale: Annotated[float, typer.Option(min=0.0, help="Size: 1 is eight hospitals at full volume.")] = 0.01,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 1,
    defects: Annotated[Literal["on", "off"], typer.Option(help="Plant defects, listed in the answer key.")] = "on",
    quirks: Annotated[str, typer.Option(help="on, off, or the numbers of quirks of the landscape: Q3,Q127.")] = "on",
    sites: Annotated[str | None, typer.Option(help="Sites to simulate, as H1,H5. Default: every one there is.")] = None,
    repull: Annotated[int, typer.Option(min=0, help="Days that nightly extracts send again.")] = 3,
    slots: Annotated[int, typer.Option(min=1, max=24, help="Intraday deliveries a day.")] = 4,
    pack: Annotated[bool, typer.Option("--gzip", help="Gzip the files that are not zipped already.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the same command was interrupted.")] = False,
    follow: Annotated[
        float | None,
        typer.Option(
            min=0.0, metavar="SECONDS", help="Time-lapse: deliver a day every SECONDS, until all days are delivered."
        ),
    ] = None,
) -> None:
    """Write the source landscape's deliveries and DIR/answer_key/exceptions.csv."""
    from ingest.simulator import simulate as write_deliveries

    if out.exists() and not out.is_dir():
        raise _stop(f"{out} is a file: name a directory", USAGE)
    from ingest.simulator.masters import SITES
    from orchestration.progress import reporting, timed

    with (
        _usage_errors(),
        reporting(sys.stderr) as shown,
        timed("simulate", f"{days} days from {start.date()}") as outcome,
    ):
        report = write_deliveries(
            out,
            start=start.date(),
            days=days,
            scale=scale,
            seed=seed,
            defects=defects == "on",
            quirks=quirks == "on" if quirks in ("on", "off") else set(quirks.replace(",", " ").split()),
            repull=repull,
            slots=slots,
            is_packed=pack,
            is_resumed=resume,
            seconds_a_day=follow or 0,
            progress=lambda day, done, total: shown.advance("simulate", day.isoformat(), done, total),
            sites=tuple(SITES) if sites is None else sites.replace(",", " ").split(),
        )
        outcome.append(f"{report.cases:,} cases, {report.rows:,} rows in {report.files:,} files")
    print(
        f"{out}: {', '.join(report.sites)}, {report.start} to {report.end}, {report.cases:,} cases,"
        f" {report.rows:,} rows in {report.files:,} files ({report.megabytes:,} MB),"
        f" {report.exceptions:,} planted exceptions, {report.near_misses:,} near misses"
    )


# ------------------------------------------------------------------------------------------------ fetch

EndpointsFile = Annotated[
    Path | None,
    typer.Option("--endpoints", help="File of endpoints. Default: endpoints.yaml of the home.", show_default=False),
]


@app.command()
def pull(
    system: Annotated[list[str] | None, typer.Option(help="Only this system, as pou; may be repeated.")] = None,
    endpoints: EndpointsFile = None,
    landing: Annotated[
        Path | None,
        typer.Option(help="Directory to write deliveries below. Default: that of the last run.", show_default=False),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Business clock, YYYY-MM-DD[THH:MM], Chicago: dates what is read from databases and interfaces, and"
            " leaves later folders of files where they are.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Fetch what is new from the endpoints into the landing directory."""
    from orchestration.fetching import pull_endpoints

    with _usage_errors():
        outcome = pull_endpoints(_settings(), endpoints, landing, as_of, system or [], sys.stderr)
    for line in outcome.lines:
        print(line)
    print(outcome.json_line, flush=True)
    raise typer.Exit(outcome.exit_code)


@app.command()
def gudid(
    release: Annotated[Path, typer.Argument(help="A GUDID release as downloaded: zip, XML or delimited.")],
    landing: Annotated[Path, typer.Option(help="Directory of deliveries to write below.")],
    date: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Date of the delivery folder.")],
) -> None:
    """Write a release of the device database (GUDID) as a delivery of the reference data."""
    from ingest.formats.gudid import write_delivery
    from ingest.formats.reading import Unreadable

    if not release.exists():
        raise _stop(f"the release {release} does not exist", USAGE)
    from orchestration.progress import reporting, timed

    with reporting(sys.stderr), timed("gudid", release.name) as outcome:
        try:
            written = write_delivery(release, landing, date.date())
        except Unreadable as error:
            raise _stop(error, USAGE) from error
        outcome.append(f"{written.devices:,} devices, {written.identifiers:,} identifiers")
    print(
        f"{written.folder}: {written.devices:,} devices, {written.identifiers:,} identifiers"
        + (f", {written.lines_left_out:,} lines left out" if written.lines_left_out else "")
    )


# ------------------------------------------------------------------------------------------------ run

Landing = Annotated[
    Path | None, typer.Option(help="Directory of deliveries. Default: that of the last run.", show_default=False)
]
AsOfText = Annotated[
    str | None,
    typer.Option(
        help="Business clock, YYYY-MM-DD[THH:MM], Chicago. Default: the newest delivered date.", show_default=False
    ),
]


@run_app.command()
def nightly(landing: Landing = None, as_of: AsOfText = None) -> None:
    """Ingest everything new, rebuild, judge, audit, publish."""
    _run("nightly", landing, as_of)


@run_app.command()
def intraday(landing: Landing = None, as_of: AsOfText = None) -> None:
    """The same for what is new since the last run."""
    _run("intraday", landing, as_of)


def _run(kind: str, landing: Path | None, as_of: str | None) -> None:
    from ingest.clock import AsOf

    with _usage_errors():
        settings = _settings()
        if as_of is not None:
            AsOf.parse(as_of)
        if landing is not None and not landing.is_dir():
            raise _stop(f"the landing directory {landing} does not exist", USAGE)
        from orchestration.run import run_job
        from orchestration.steps import Refused

        try:
            outcome = run_job(settings, kind, landing, as_of, sys.stderr)
        except Refused as refused:
            raise _stop(refused, USAGE) from refused
    if outcome.summary["published"]:
        from orchestration.summary import close_summary
        from quality.publish import current

        snapshot = current(settings.published)
        assert snapshot is not None
        print(close_summary(snapshot, outcome.journal, settings.home), end="\n\n")
    if outcome.reason:
        print(f"suture: {outcome.reason}\nsuture: details in {outcome.log}", file=sys.stderr)
    print(outcome.json_line, flush=True)
    raise typer.Exit(outcome.exit_code)


# ------------------------------------------------------------------------------------------------ what was published


def _published(settings: Settings) -> Snapshot:
    from quality import publish

    try:
        return publish.find(settings.published, "current")
    except publish.PublishError as error:
        raise _stop(error, USAGE) from error


@app.command()
def exceptions(
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule, as UC-01; may be repeated.")] = None,
    facility: Annotated[list[str] | None, typer.Option(help="Only this facility, as H1; may be repeated.")] = None,
    status: Annotated[list[str] | None, typer.Option(help="Only this status, as open; may be repeated.")] = None,
    format: Annotated[Literal["table", "csv", "json", "parquet"], typer.Option(help="How to write them.")] = "table",
    out: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.")] = None,
) -> None:
    """The published exceptions."""
    from orchestration.listing import write_exceptions

    with _usage_errors():
        snapshot = _published(_settings())
        write_exceptions(snapshot, rule or [], facility or [], status or [], format, out)


@app.command()
def score(
    answer_key: Annotated[Path, typer.Option(help="The answer_key folder of a simulated landscape.")],
    format: Annotated[Literal["table", "json"], typer.Option(help="How to write it.")] = "table",
) -> None:
    """Recall, precision, dollar recall and near misses by rule, from the published snapshot."""
    from orchestration.listing import write_score

    with _usage_errors():
        try:
            write_score(_published(_settings()), answer_key, format)
        except FileNotFoundError as error:
            raise _stop(error, USAGE) from error


@app.command()
def snapshots() -> None:
    """List the published snapshots, newest first; * is the one that is served."""
    from orchestration.listing import write_snapshots

    with _usage_errors():
        write_snapshots(_settings().published)


@app.command()
def rollback(snapshot_id: Annotated[str, typer.Argument(help="A snapshot, or the beginning of its id.")]) -> None:
    """Serve an older snapshot again; the next run publishes its own."""
    from quality import publish

    with _usage_errors():
        try:
            snapshot = publish.rollback(_settings().published, snapshot_id)
        except publish.PublishError as error:
            raise _stop(error, USAGE) from error
    print(f"{snapshot.snapshot_id} is served, as of {snapshot.as_of}")


@app.command()
def export(
    snapshot_id: Annotated[str, typer.Argument(help="A snapshot, the beginning of its id, or `current`.")],
    file: Annotated[Path, typer.Argument(help="DuckDB file to write.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file if it exists.")] = False,
) -> None:
    """Write one self-contained DuckDB file of a snapshot."""
    from quality import publish

    with _usage_errors():
        try:
            snapshot = publish.export(_settings().published, snapshot_id, file, replace=replace)
        except publish.PublishError as error:
            raise _stop(error, USAGE) from error
    print(f"{snapshot.snapshot_id} written to {file}")


# ------------------------------------------------------------------------------------------------ quarantine


@quarantine_app.command("list")
def quarantine_list(
    system: Annotated[str | None, typer.Option(help="Only this system, as pou.")] = None,
    format: Annotated[Literal["table", "csv", "json"], typer.Option(help="How to write it.")] = "table",
) -> None:
    """What is refused now: whole files, and rows by file and line."""
    from orchestration.listing import write_quarantine

    with _usage_errors():
        write_quarantine(_settings().home, system, format)


@quarantine_app.command("explain")
def quarantine_explain(
    entry: Annotated[str, typer.Argument(metavar="ID", help="An id that `suture quarantine list` shows.")],
) -> None:
    """Where a refused file or row is, what is wrong and what to do."""
    from orchestration.listing import write_quarantine_entry

    with _usage_errors():
        write_quarantine_entry(_settings().home, entry)


@quarantine_app.command("replay")
def quarantine_replay(landing: Landing = None, as_of: AsOfText = None) -> None:
    """Read refused deliveries again, after a correction of the file or the contract; the next run publishes them."""
    from orchestration.listing import replay_quarantine

    with _usage_errors():
        replay_quarantine(_settings(), landing, as_of)


@app.command()
def locate(
    key: Annotated[str, typer.Argument(help="An exception id, or a record as published (evidence shows them).")],
    landing: Landing = None,
) -> None:
    """The delivery file and line behind an exception or record, read from the delivery itself."""
    from orchestration.listing import write_location

    with _usage_errors():
        write_location(_settings(), key, landing)


# ------------------------------------------------------------------------------------------------ key


@key_app.command("backup")
def key_backup(file: Annotated[Path, typer.Argument(help="File to write, outside the home.")]) -> None:
    """Copy the token key to a safe place."""
    from ingest import privacy

    with _usage_errors():
        home = _settings().home
        if file.is_dir():
            raise _stop(f"{file} is a directory: name the file to write", USAGE)
        try:
            fingerprint = privacy.backup(home, file)
        except (privacy.TokenKeyError, OSError) as error:
            raise _stop(error, USAGE) from error
    print(f"key {fingerprint} written to {file}: keep it where the home's disk cannot take it along")


@key_app.command("check")
def key_check() -> None:
    """Whether the key is there, private, and the one the lake was landed with."""
    from orchestration.doctor import key_troubles

    with _usage_errors():
        troubles = key_troubles(_settings())
    for trouble in troubles:
        print(trouble)
    if troubles:
        raise typer.Exit(FAULT)
    print("the token key is there, private, and the one the lake was landed with")


@app.command()
def doctor(endpoints: EndpointsFile = None) -> None:
    """Check the installation, the instance, its endpoints and the last run; say what to do."""
    from orchestration.doctor import examine

    with _usage_errors():
        findings = examine(_settings(), endpoints)
    for finding in findings:
        print(finding)
    if any(finding.is_trouble for finding in findings):
        raise typer.Exit(FAULT)


# ------------------------------------------------------------------------------------------------ entry


def arrange(arguments: Sequence[str]) -> list[str]:
    """Arguments as typer takes them: --home first wherever it was given, and several sites as one value."""
    rest = list(arguments)
    front: list[str] = []
    for place, argument in enumerate(rest):
        if argument == "--home" and place + 1 < len(rest):
            front, rest = rest[place : place + 2], rest[:place] + rest[place + 2 :]
            break
        if argument.startswith("--home="):
            front, rest = [argument], rest[:place] + rest[place + 1 :]
            break
    if "--sites" in rest:
        first = rest.index("--sites") + 1
        last = first
        while last < len(rest) and not rest[last].startswith("-"):
            last += 1
        if last > first:
            rest[first:last] = [",".join(rest[first:last])]
    return [*front, *rest]


def main() -> None:
    """Run the command that the process was started with."""
    app(args=arrange(sys.argv[1:]), prog_name="suture")
