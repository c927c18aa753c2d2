"""What a person sees while a run goes: bars on a terminal, plain lines elsewhere.

Here: the reporter that steps speak to, and its two ways to show. Nothing shown holds a row's content.
Not here: the close summary (summary), tools' own chatter (it goes to the home's logs).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LOGGER = logging.getLogger("suture")


class Reporter:
    """Says nothing on a terminal; lines go to the `suture` logger, which Dagster's UI shows too."""

    def begin(self, step: str, title: str) -> None:
        """A step begins."""
        LOGGER.info("%s: %s", step, title)

    def advance(self, step: str, what: str, done: int, total: int) -> None:
        """A step is at `done` of `total`, now at `what`."""

    def end(self, step: str, outcome: str, seconds: float) -> None:
        """A step has ended."""
        LOGGER.info("%s: %s (%.1f s)", step, outcome, seconds)

    def note(self, text: str) -> None:
        """Something worth a line."""
        LOGGER.info("%s", text)


class PlainReporter(Reporter):
    """One line an event, with the time, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._quarters: dict[str, int] = {}

    def _line(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=self._stream, flush=True)

    def begin(self, step: str, title: str) -> None:
        """A line for the beginning."""
        self._line(f"{step}: {title}")

    def advance(self, step: str, what: str, done: int, total: int) -> None:
        """A line for each quarter of the way."""
        quarter = 4 * done // max(total, 1)
        if 0 < quarter < 4 and quarter > self._quarters.get(step, 0):
            self._quarters[step] = quarter
            self._line(f"{step}: {25 * quarter} %, {what}")

    def end(self, step: str, outcome: str, seconds: float) -> None:
        """A line for the end."""
        self._line(f"{step}: {outcome} ({seconds:.1f} s)")

    def note(self, text: str) -> None:
        """A line."""
        self._line(text)


class TerminalReporter(Reporter):
    """A bar a step on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def begin(self, step: str, title: str) -> None:
        """A new bar."""
        self._tasks[step] = self._progress.add_task(f"{step}: {title}", total=None)

    def advance(self, step: str, what: str, done: int, total: int) -> None:
        """Move the bar."""
        if step in self._tasks:
            self._progress.update(self._tasks[step], completed=done, total=total, description=f"{step}: {what}")

    def end(self, step: str, outcome: str, seconds: float) -> None:
        """Fill the bar and say how it went."""
        if step in self._tasks:
            self._progress.update(self._tasks[step], completed=1, total=1, description=f"{step}: {outcome}")

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, highlight=False)


_reporter: Reporter = Reporter()


def reporter() -> Reporter:
    """The reporter of this process."""
    return _reporter


@contextmanager
def reporting(stream: TextIO) -> Iterator[Reporter]:
    """Show progress on `stream` while the body runs."""
    global _reporter
    before = _reporter
    try:
        if stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            with Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                console=Console(file=stream),
                redirect_stdout=False,
                redirect_stderr=False,
            ) as bars:
                _reporter = TerminalReporter(bars)
                yield _reporter
        else:
            _reporter = PlainReporter(stream)
            yield _reporter
    finally:
        _reporter = before


@contextmanager
def timed(step: str, title: str) -> Iterator[list[str]]:
    """Report a step around the body; the body appends its outcome to the list."""
    outcome: list[str] = []
    started = time.monotonic()
    reporter().begin(step, title)
    try:
        yield outcome
    except BaseException:
        reporter().end(step, "failed", time.monotonic() - started)
        raise
    reporter().end(step, "; ".join(outcome) or "done", time.monotonic() - started)
