import datetime as dt
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.tolerances import (
    EXACT,
    Band,
    Tolerance,
    ToleranceError,
    breach,
    describe,
    in_force,
    load_tolerances,
    version_label,
)

D = Decimal
NUMBERS = st.none() | st.decimals(D("-1000000"), D("1000000"), places=4)
LIMITS = st.decimals(D("0"), D("100"), places=2)
SHARES = st.decimals(D("0"), D("1"), places=4)
BANDS = st.none() | st.builds(Band, LIMITS, SHARES)
TOLERANCES = st.builds(Tolerance, st.just("any"), st.sampled_from(["either", "both"]), BANDS, BANDS)
DIRECTIONS = st.sampled_from(["over", "under", "both"])


def as_column(variance, base, tolerance, direction="both", scales=(4, 4)):
    frame = pl.DataFrame(
        {"variance": [variance], "base": [base]},
        schema={"variance": pl.Decimal(38, scales[0]), "base": pl.Decimal(38, scales[1])},
    )
    return frame.select(breach(pl.col("variance"), pl.col("base"), tolerance, direction).alias("b"))["b"].to_list()[0]


@settings(max_examples=300)
@given(NUMBERS, NUMBERS, TOLERANCES, DIRECTIONS)
def test_a_column_is_judged_as_each_number_alone(variance, base, tolerance, direction):
    assert as_column(variance, base, tolerance, direction) is breach(variance, base, tolerance, direction)


@settings(max_examples=200)
@given(NUMBERS, NUMBERS, TOLERANCES, DIRECTIONS, st.sampled_from([(4, 12), (12, 4), (4, 0), (8, 8)]))
def test_the_scale_of_a_column_does_not_matter(variance, base, tolerance, direction, scales):
    if scales[1] == 0 and base is not None:
        base = base.to_integral_value()
    assert as_column(variance, base, tolerance, direction, scales) is breach(variance, base, tolerance, direction)


@given(st.decimals(D("0.0001"), D("100000"), places=4), BANDS.filter(bool), st.sampled_from(["either", "both"]))
def test_a_breach_is_what_the_tolerance_file_says(variance, band, mode):
    """The file's own words, as a second reading: either is an or of the two limits, both an and."""
    base = D("200")
    within = [
        Fraction(variance) <= Fraction(band.absolute),
        Fraction(variance) / Fraction(base) <= Fraction(band.share),
    ]
    expected = not (any(within) if mode == "either" else all(within))
    assert breach(variance, base, Tolerance("t", mode, band, None)) is expected


def test_a_variance_exactly_on_a_limit_is_within():
    price = Tolerance("price", "both", Band(D("5.00"), D("0.02")), None)
    assert not breach(D("5.00"), D("250"), price)
    assert breach(D("5.0001"), D("1000"), price)
    assert breach(D("2.0001"), D("100"), price)
    quantity = Tolerance("quantity", "either", Band(D("1"), D("0.05")), None)
    assert not breach(D("2"), D("40"), quantity)
    assert breach(D("2.0001"), D("40"), quantity)


def test_a_missing_side_is_never_a_break():
    for tolerance in (EXACT, Tolerance("t", "either", Band(D(0), D(0)), Band(D(0), D(0)))):
        for variance, base in ((None, D(5)), (D(5), None), (None, None)):
            assert not breach(variance, base, tolerance)
            assert as_column(variance, base, tolerance) is False


def test_at_a_zero_base_only_the_absolute_limit_allows_anything():
    either = Tolerance("t", "either", Band(D("1"), D("0.5")), None)
    both = Tolerance("t", "both", Band(D("1"), D("0.5")), None)
    assert not breach(D("1"), D(0), either)
    assert breach(D("1"), D(0), both)
    assert not breach(D(0), D(0), both)


def test_a_side_without_a_band_is_never_a_break():
    over_only = Tolerance("t", "both", Band(D(0), D(0)), None)
    assert breach(D("1"), D(10), over_only)
    assert not breach(D("-1"), D(10), over_only)


def test_direction_says_which_sign_is_judged():
    assert breach(D("-1"), D(10), EXACT, "under")
    assert not breach(D("-1"), D(10), EXACT, "over")
    assert breach(D("-1"), D(10), EXACT, "both")


def test_large_amounts_are_compared_exactly():
    tolerance = Tolerance("t", "both", Band(D("5.00"), D("0.02")), None)
    base = D("123456789012345678.12")
    assert not breach(D("0.02") * 5, base, tolerance)
    assert breach(D("5.0000000001"), base, tolerance)


def test_the_shipped_set_has_every_tolerance_exactly_as_written():
    (only,) = load_tolerances()
    assert only.version == "2026.1"
    assert only.effective_from == dt.date(2025, 7, 1)
    assert only.named("price_po").over == Band(D("5.0"), D("0.02"))
    assert only.named("qty_match").under is None
    assert only.limit("item_accept") == D("0.95")
    assert only.limit("grni_exception_days") == 60
    assert version_label([only]) == "2026.1"
    assert describe(only.named("gl_tie_out")) == 'gl_tie_out {"over": "1.0 or 0 percent", "under": "1.0 or 0 percent"}'


def test_a_name_that_is_not_there_is_said():
    (only,) = load_tolerances()
    with pytest.raises(ToleranceError, match="no tolerance 'qty_nothing'"):
        only.named("qty_nothing")
    with pytest.raises(ToleranceError, match="no limit 'nothing'"):
        only.limit("nothing")


TWO_SETS = """
version: "2"
effective_from: 2026-03-01
tolerances: {qty: {mode: both, over: {abs: 9, pct: 0.5}}}
limits: {}
---
version: "1"
effective_from: 2025-07-01
tolerances: {qty: {mode: both, over: {abs: 1, pct: 0.02}}}
limits: {}
"""


def test_the_set_in_force_on_the_day_judges_and_the_earliest_holds_before(tmp_path):
    path = tmp_path / "tolerances.yaml"
    path.write_text(TWO_SETS)
    sets = load_tolerances(path)
    days = ("2024-01-01", "2025-07-01", "2026-02-28", "2026-03-01")
    assert [in_force(sets, dt.date.fromisoformat(day)).version for day in days] == ["1", "1", "1", "2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no tolerance set"),
        (TWO_SETS.replace('"2"', '"1"'), "same version"),
        (TWO_SETS.replace("2026-03-01", "2025-07-01"), "same effective_from"),
        ('version: "1"\nlimits: {}\n', "incomplete"),
        (TWO_SETS.replace("mode: both", "mode: neither"), "either or both"),
        (TWO_SETS.replace("pct: 0.5", "pct: much"), "incomplete"),
    ],
)
def test_a_broken_tolerance_file_is_refused(tmp_path, text, said):
    path = tmp_path / "tolerances.yaml"
    path.write_text(text)
    with pytest.raises(ToleranceError, match=said):
        load_tolerances(path)
