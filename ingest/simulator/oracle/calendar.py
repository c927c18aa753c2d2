"""Dates as the answer key counts them: local dates, business days, and the folder that first carries a row.

Here: business date of a moment, US federal holidays, maturity in business days, folder dates of deliveries.
Not here: when a system records something (the events say so).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from ingest.simulator.events import DeliveredFile

CHICAGO = ZoneInfo("America/Chicago")
DAY = timedelta(days=1)
SLOT = timedelta(hours=6)


def local_date(moment: datetime) -> date:
    """Date of a moment on the wall clock in Chicago."""
    return moment.astimezone(CHICAGO).date()


@cache
def federal_holidays(year: int) -> frozenset[date]:
    """US federal holidays of a year as observed: Saturday ones on Friday, Sunday ones on Monday."""

    def nth(month: int, weekday: int, number: int) -> date:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))

    def last_monday(month: int) -> date:
        last = date(year, month, 31)
        return last - timedelta(days=last.weekday())

    fixed = [date(year, 1, 1), date(year, 6, 19), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25)]
    fixed.append(date(year + 1, 1, 1))
    days = [
        nth(1, 0, 3),
        nth(2, 0, 3),
        last_monday(5),
        nth(9, 0, 1),
        nth(10, 0, 2),
        nth(11, 3, 4),
    ]
    for day in fixed:
        observed = day - DAY if day.weekday() == 5 else day + DAY if day.weekday() == 6 else day
        if observed.year == year:
            days.append(observed)
    return frozenset(days)


def is_business_day(day: date) -> bool:
    """Monday to Friday and no federal holiday."""
    return day.weekday() < 5 and day not in federal_holidays(day.year)


def after_business_days(anchor: date, days: int) -> date:
    """The first date on which `days` business days have passed; counting starts the day after the anchor."""
    day = anchor
    while days > 0:
        day += DAY
        if is_business_day(day):
            days -= 1
    return day


def nightly_folder(known_at: datetime) -> date:
    """Folder of the night that follows the local date of the moment."""
    return local_date(known_at) + DAY


def inventory_folder(posted_at: datetime) -> date:
    """Local date of the slot that carries the moment; what is posted in a day's last minute waits for the next day."""
    local = posted_at.astimezone(CHICAGO)
    return local.date() + (DAY if (local.hour, local.minute) == (23, 59) else timedelta(0))


def materials_folder(posted_at: datetime, clock: ZoneInfo) -> date:
    """Business date of the MMIS file with what was keyed at a moment; files are cut at 23:30 on the site's clock."""
    local = posted_at.astimezone(clock)
    return local.date() + (DAY if (local.hour, local.minute) >= (23, 30) else timedelta(0))


def cloud_folder(known_at: datetime) -> date:
    """UTC date of the first slot (0000, 0600, 1200, 1800) at or after the moment."""
    moment = known_at.astimezone(UTC).replace(microsecond=0)
    midnight = datetime.combine(moment.date(), time(), UTC)
    return (midnight - ((midnight - moment) // SLOT) * SLOT).date()


class Deliveries:
    """Which folder date first carries a row, and which snapshot is in force on a day."""

    def __init__(self, files: Iterable[DeliveredFile], start: date) -> None:
        """Index the intact snapshots by extract; `start` is the first folder date of the world."""
        self.start = start
        folders: dict[tuple[str, str], set[date]] = defaultdict(set)
        for file in files:
            if file.is_snapshot and not file.is_truncated:
                folders[file.system, file.extract].add(file.folder_date)
        self._folders = {feed: sorted(dates) for feed, dates in folders.items()}

    def known_on(self, system: str, known_at: datetime) -> date:
        """First as-of date at which a row that the system of origin holds from the moment on counts."""
        if system == "erp_fusion":
            folder = cloud_folder(known_at)
        elif system == "pou":
            folder = inventory_folder(known_at)
        elif system == "edi":
            folder = local_date(known_at)
        else:
            folder = nightly_folder(known_at)
        return max(folder, self.start)

    def snapshots(self, system: str, extract: str) -> list[date]:
        """Folder dates of the intact snapshots of an extract; empty where no file is known."""
        return self._folders.get((system, extract), [])

    def snapshot_folder(self, system: str, extract: str, day: date) -> date:
        """Folder of the snapshot in force on `day`: the latest dated on or before it, else the earliest there is."""
        folders = self._folders.get((system, extract))
        if not folders:
            return max(day, self.start)
        place = bisect_right(folders, day)
        return folders[max(place - 1, 0)]
