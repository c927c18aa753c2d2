"""The business clock: the one moment a run pretends it is.

Here: parsing and the local and UTC views of an as-of.
Not here: reading the wall clock. Nothing that decides a result may do that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

HOME_ZONE = ZoneInfo("America/Chicago")

_FORM = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?))?$")


@dataclass(frozen=True, order=True)
class AsOf:
    """A moment of the business clock, kept as an aware datetime in America/Chicago."""

    local: datetime

    @classmethod
    def parse(cls, text: str | date | datetime | AsOf) -> AsOf:
        """Read `YYYY-MM-DD` (the end of that local day) or `YYYY-MM-DDTHH:MM` (local wall clock).

        Raises:
            ValueError: the text has another form, or names a day that does not exist.
        """
        if isinstance(text, AsOf):
            return text
        if isinstance(text, datetime):
            return cls(text.astimezone(HOME_ZONE) if text.tzinfo else text.replace(tzinfo=HOME_ZONE))
        if isinstance(text, date):
            return cls.end_of(text)
        form = _FORM.match(text.strip())
        if form is None:
            raise ValueError(f"as-of {text!r}: give YYYY-MM-DD or YYYY-MM-DDTHH:MM")
        day = date.fromisoformat(form[1])
        if form[2] is None:
            return cls.end_of(day)
        return cls(datetime.combine(day, time.fromisoformat(form[2]), HOME_ZONE))

    @classmethod
    def end_of(cls, day: date) -> AsOf:
        """The last second of a local day."""
        return cls(datetime.combine(day, time(23, 59, 59), HOME_ZONE))

    @property
    def local_date(self) -> date:
        """The local calendar date."""
        return self.local.date()

    @property
    def utc(self) -> datetime:
        """The same moment in UTC."""
        return self.local.astimezone(UTC)

    def days_before(self, days: int) -> date:
        """The local date that many days earlier."""
        return self.local_date - timedelta(days=days)

    def __str__(self) -> str:
        return self.local.strftime("%Y-%m-%dT%H:%M:%S")
