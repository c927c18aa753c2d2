import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.calendar import add_business_days, federal_holidays, is_business_day, matures_on, matures_on_expr

DATES = st.dates(dt.date(2015, 1, 1), dt.date(2045, 12, 31))


def test_2026_has_the_eleven_federal_holidays_as_observed():
    assert sorted(federal_holidays(2026)) == [
        dt.date(2026, 1, 1),
        dt.date(2026, 1, 19),
        dt.date(2026, 2, 16),
        dt.date(2026, 5, 25),
        dt.date(2026, 6, 19),
        dt.date(2026, 7, 3),  # the 4th is a Saturday
        dt.date(2026, 9, 7),
        dt.date(2026, 10, 12),
        dt.date(2026, 11, 11),
        dt.date(2026, 11, 26),
        dt.date(2026, 12, 25),
    ]


@pytest.mark.parametrize(
    ("holiday", "observed"),
    [
        (dt.date(2027, 7, 4), dt.date(2027, 7, 5)),
        (dt.date(2028, 1, 1), dt.date(2027, 12, 31)),
        (dt.date(2022, 12, 25), dt.date(2022, 12, 26)),
    ],
)
def test_a_holiday_on_a_weekend_is_observed_beside_it(holiday, observed):
    assert not is_business_day(observed)
    assert holiday not in federal_holidays(holiday.year)


def test_juneteenth_is_a_business_day_before_2021():
    assert is_business_day(dt.date(2020, 6, 19))


def test_the_anchor_is_day_zero_and_a_holiday_does_not_count():
    # Thursday before Memorial Day: Fri 22, Tue 26, Wed 27, Thu 28, Fri 29.
    assert add_business_days(dt.date(2026, 5, 21), 5) == dt.date(2026, 5, 29)


def test_a_weekend_anchor_counts_from_the_next_business_day():
    assert add_business_days(dt.date(2026, 4, 25), 1) == dt.date(2026, 4, 27)


@given(DATES, st.integers(0, 25), st.booleans())
def test_a_column_of_anchors_matures_as_each_anchor_alone(anchor, days, business):
    frame = pl.DataFrame({"anchor": [anchor, None]})
    matured = frame.select(matures_on_expr(pl.col("anchor"), days, business=business).alias("on"))["on"]
    assert matured.to_list() == [matures_on(anchor, days, business=business), None]
