"""What arrives and what does not: calendar (INT-01), layout (INT-04), volume (INT-05), sequences (INT-07).

Here: which feeds the calendar expects on a date, headers against the contract, rows a date against the same weekday,
control numbers of interchanges and devices.
Not here: control totals and repeated content (feeds).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from ingest.simulator.events import DeliveredFile
from ingest.simulator.oracle.calendar import DAY
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.feeds import ALL_SITES, columns_of, feed_of, loads_of
from ingest.simulator.oracle.tolerance import cents, is_beyond, limit
from ingest.simulator.oracle.view import View

# Systems with a daily calendar; the deadline of these two is in the small hours of the next day.
DAILY = ("ehr", "hb", "erp_lawson", "ehr_fhir", "mmis", "pou", "erp_fusion")
ENDS_NEXT_DAY = ("pou", "mmis")
# Without a day of their own: counts and deletions come only with content, devices come in the files of procedures.
NEVER_JUDGED = {("pou", "count"), ("erp_fusion", "DELETED_KEYS"), ("ehr_fhir", "ProcedureDevice")}
SNAPSHOT_SLOT = "0600"
SAME_WEEKDAYS = 4


class Number(NamedTuple):
    """One control number as a delivery carries it."""

    value: int
    known: date
    feed: str


class ArrivalRules:
    """The rules of what arrives over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._view = view
        self._book = book
        self._files = sorted(view.world.files, key=lambda file: (file.folder_date, file.slot or "", file.name))

    def judge(self) -> None:
        """Follow all four rules to the end of the world."""
        self._judge_calendar()
        self._judge_layout()
        self._judge_volume()
        self._judge_sequences()

    def _days(self) -> Iterator[date]:
        day = self._view.world.start
        while day <= self._book.until:
            yield day
            day += DAY

    # ------------------------------------------------------------------------------------------------------- INT-01

    def _judge_calendar(self) -> None:
        arrived: dict[tuple[str, str, str], set[date]] = defaultdict(set)  # system, feed, database
        for file in self._files:
            if _is_in_time(file):
                arrived[file.system, feed_of(file), _database(file)].add(file.folder_date)
        in_use = {(system, database) for system, _, database in arrived if system in DAILY}
        for system, database in sorted(in_use):
            for feed in sorted(_expected(system)):
                missing = set(self._days()) - arrived[system, feed, database]
                for day in sorted(missing):
                    key = f"feed={feed}|date={day}"
                    deadline = day + (DAY if system in ENDS_NEXT_DAY else timedelta(0))
                    self._book.follow([deadline], partial(_fire, "INT-01", key, day, deadline))

    # ------------------------------------------------------------------------------------------------------- INT-04

    def _judge_layout(self) -> None:
        feeds: dict[tuple[str, str], list[DeliveredFile]] = defaultdict(list)
        for file in self._files:
            feeds[file.system, file.extract].append(file)
        for (system, extract), files in feeds.items():
            if not any(file.columns or file.odd_columns for file in files):
                continue
            agreed = set(columns_of(system, extract))
            dates = {file.folder_date for file in files}
            self._book.follow(dates, partial(self._layout_of, f"feed={system}.{extract}", agreed, files))

    @staticmethod
    def _layout_of(feed: str, agreed: set[str], files: list[DeliveredFile], as_of: date, docket: Docket) -> None:
        """The latest file of a feed against its contract."""
        latest = [file for file in files if file.folder_date <= as_of][-1]
        differing = set(latest.columns or agreed) ^ agreed
        for column in sorted(differing | set(latest.odd_columns)):
            first = next(
                file.folder_date
                for file in files
                if column in file.odd_columns or (column in (file.columns or agreed)) != (column in agreed)
            )
            docket.fire("INT-04", ALL_SITES, f"{feed}|column={column}", cents(0), first)

    # ------------------------------------------------------------------------------------------------------- INT-05

    def _judge_volume(self) -> None:
        rows: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
        for file in self._files:
            rows[feed_of(file)][file.folder_date] += file.rows
        least = limit("volume_min_rows")
        for feed, days in sorted(rows.items()):
            earlier: dict[int, list[int]] = defaultdict(list)  # by weekday, of the dates on which the feed came
            for day in sorted(days):
                before = earlier[day.weekday()][-SAME_WEEKDAYS:]
                earlier[day.weekday()].append(days[day])
                median = _median(before)
                if len(before) < SAME_WEEKDAYS or median < least:
                    continue
                if is_beyond("volume", days[day] - median, median):
                    key = f"feed={feed}|date={day}"
                    self._book.follow([day], partial(_fire, "INT-05", key, day, day))

    # ------------------------------------------------------------------------------------------------------- INT-07

    def _judge_sequences(self) -> None:
        sources: dict[str, list[Number]] = defaultdict(list)
        for file in self._files:
            if file.system == "edi":
                sender, _, number = file.name.removesuffix(".gz").removesuffix(".edi").rpartition("_")
                sources[sender.strip()].append(Number(int(number), file.folder_date, feed_of(file)))
        for known, movement in self._view.movements():
            if self._view.world.sites[movement.site].stock_system == "pou":
                device, _, number = movement.txn_id.rpartition("-")
                sources[device].append(Number(int(number), known, "pou.txn"))
        for source, numbers in sources.items():
            for cluster in _clusters(numbers):
                dates = {day for number in cluster for day in (number.known, number.known + DAY)}
                self._book.follow(dates, partial(self._gaps_of, source, cluster))

    @staticmethod
    def _gaps_of(source: str, numbers: list[Number], as_of: date, docket: Docket) -> None:
        """Numbers that are missing between those that came, a day after the next one showed that they are."""
        known = [number for number in numbers if number.known <= as_of]
        for below, after in pairwise(known):
            if after.value > below.value + 1 and as_of >= after.known + DAY:
                key = f"feed={after.feed}|source={source}|gap={below.value + 1}-{after.value - 1}"
                docket.fire("INT-07", ALL_SITES, key, cents(0), after.known)


def _fire(rule_id: str, key: str, day: date, since: date, as_of: date, docket: Docket) -> None:
    if as_of >= since:
        docket.fire(rule_id, ALL_SITES, key, cents(0), day)


def _database(file: DeliveredFile) -> str:
    """Database of a file of materials management; each delivers by itself."""
    return file.path.split("/")[2] if file.system == "mmis" else ""


def _is_in_time(file: DeliveredFile) -> bool:
    """Whether a file counts for the calendar: snapshots of the cloud only in their slot, none without its trailer."""
    if file.system == "mmis" and file.is_truncated:
        return False
    return file.system != "erp_fusion" or not file.is_snapshot or file.slot == SNAPSHOT_SLOT


def _expected(system: str) -> set[str]:
    """Feeds that the calendar expects every day."""
    loads = loads_of(system)
    feeds = {
        f"{system}.{extract}"
        for extract in loads
        if (system, extract) not in NEVER_JUDGED and not extract.startswith("REMIT_835")
    }
    if system == "mmis":
        feeds = {feed for feed in feeds if not feed.startswith("mmis.TXN")} | {"mmis.TXN"}
    return feeds


def _median(values: Iterable[int]) -> Fraction:
    """Median of some numbers, 0 of none."""
    ordered = sorted(values)
    if not ordered:
        return Fraction(0)
    middle = len(ordered) // 2
    return Fraction(ordered[middle] + ordered[-middle - 1], 2)


def _clusters(numbers: list[Number]) -> Iterator[list[Number]]:
    """Neighbours in the order of their values between which a gap is or was, each number as it came first."""
    first: dict[int, Number] = {}
    for number in sorted(numbers, key=lambda number: number.known):
        first.setdefault(number.value, number)
    order = [first[value] for value in sorted(first)]
    is_late = [False] * len(order)
    earliest = date.max
    for place in reversed(range(len(order))):
        is_late[place] = order[place].known > earliest
        earliest = min(earliest, order[place].known)
    cluster: list[Number] = []
    for place, number in enumerate(order):
        if cluster and not (is_late[place] or is_late[place - 1] or number.value > order[place - 1].value + 1):
            if len(cluster) > 1:
                yield cluster
            cluster = []
        cluster.append(number)
    if len(cluster) > 1:
        yield cluster
