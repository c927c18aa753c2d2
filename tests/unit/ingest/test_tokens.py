"""Tokens: the engine gives the standard library's, whatever the column holds and however often."""

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract import Token
from ingest.privacy import _STEPS, TokenKey, landed_frame, tokens
from tests.unit.ingest.landing_builder import extract_of

KEY = TokenKey(bytes(range(32)))
OLD_KEY = TokenKey(bytes(range(200, 232)))


@pytest.mark.parametrize("key", [KEY, OLD_KEY], ids=["a key of text", "a key of any bytes"])
def test_tokens_of_many_values_are_those_of_the_standard_library(key):
    values = pl.Series("har", [str(600_000_000 + number) for number in range(40_000)] + [None, ""])
    made = tokens(values, Token("har", ("trim", "strip_zeros")), key)
    assert made[:-2].to_list() == [key.token("har", value) for value in values[:-2]]
    assert made[-2:].to_list() == [None, None]
    assert made.name == "har"


def test_tokens_made_earlier_stay_joinable():
    """Written into lakes since the first version: another value would tear old and new rows apart."""
    assert OLD_KEY.token("har", "600000007") == "t_cbf70ec55479b47faf44e11da580f0f9"
    for count in (1, 1_000):
        made = tokens(pl.Series("har", [f"{600000007 + number}" for number in range(count)]), Token("har"), OLD_KEY)
        assert made[0] == "t_cbf70ec55479b47faf44e11da580f0f9"


SAID = st.none() | st.text("0 A1b-é", max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(SAID, max_size=12),
    st.integers(1, 40),
    st.booleans(),
    st.lists(st.sampled_from(sorted(_STEPS)), max_size=3, unique=True),
    st.booleans(),
)
def test_a_token_is_that_of_its_value_wherever_and_however_often_it_stands(some, times, sorted_, steps, shows):
    said = some * times
    values = pl.Series("said", sorted(said, key=repr) if sorted_ else said, dtype=pl.String)
    token = Token("scan", tuple(steps), show_last_four=shows)
    expected = []
    for value in values:
        normal = value if value is None else plainly(value, steps)
        made = KEY.token("scan", normal) if normal else None
        expected.append(f"{normal[-4:]}~{made}" if shows and made else made)
    assert tokens(values, token, KEY).to_list() == expected


def plainly(value, steps):
    for step in steps:
        match step:
            case "trim":
                value = value.strip()
            case "upper":
                value = value.upper()
            case "alnum":
                value = re.sub(r"[^A-Za-z0-9]", "", value)
            case "strip_zeros":
                value = re.sub(r"^0+([^0].*)$", r"\1", value)
            case "strip_rebill":
                value = re.sub(r"[A-Z]$", "", value)
    return value


def test_identifiers_of_one_row_keep_their_domains_apart():
    extract = extract_of("ehr.PAT_ENC_HSP")
    columns = {column.name: ["7", None, "07"] * 200 for column in extract.read_columns}
    landed = landed_frame(extract, pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)), KEY)
    for name in ("PAT_ENC_CSN_ID", "HSP_ACCOUNT_ID"):
        made = KEY.token(extract.columns[name].token.domain, "7")
        assert landed[name].to_list() == [made, None, made] * 200
    assert landed["PAT_ID"][0] == KEY.token("pat", "7") != landed["PAT_ID"][2]
    assert landed.columns == list(extract.landed_columns)
