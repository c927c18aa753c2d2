"""The business clock."""

from datetime import UTC, date, datetime

import pytest

from ingest.clock import AsOf


def test_a_bare_date_is_the_end_of_that_day_in_chicago():
    as_of = AsOf.parse("2026-04-30")
    assert as_of.local_date == date(2026, 4, 30)
    assert as_of.utc == datetime(2026, 5, 1, 4, 59, 59, tzinfo=UTC)


def test_a_time_is_local_wall_clock_also_across_daylight_saving():
    assert AsOf.parse("2026-01-15T06:30").utc == datetime(2026, 1, 15, 12, 30, tzinfo=UTC)
    assert AsOf.parse("2026-07-15T06:30").utc == datetime(2026, 7, 15, 11, 30, tzinfo=UTC)


def test_moments_compare():
    assert AsOf.parse("2026-04-30T12:00") < AsOf.parse("2026-04-30")


@pytest.mark.parametrize("text", ["30.04.2026", "2026-4-30", "2026-02-30", "", "2026-04-30T25:00"])
def test_another_form_is_refused(text):
    with pytest.raises(ValueError):
        AsOf.parse(text)
