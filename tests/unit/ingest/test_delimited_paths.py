"""Delimited text: whichever path reads a text, the rows, their lines and what is refused are the same."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.formats import delimited
from ingest.formats.delimited import Dialect, count_rows, parse
from ingest.formats.reading import Text

DIALECT = Dialect()
HEADER = ("a", "b", "c")


def told(parsed):
    """Rows with their places, and the places that were refused; a quoted empty value becomes null later."""
    rows = [
        tuple(None if value == "" else value for value in each)
        for one in parsed
        for each in one.frame.select(*HEADER, "_text", "_line").rows()
    ]
    bad = [(row.index, row.line, row.value_class, row.reason) for one in parsed for row in one.bad]
    return sorted(rows, key=repr), sorted(bad)


def slowly(texts):
    return told([delimited._parse_slowly(text, HEADER, DIALECT) for text in texts])


LINE = st.lists(st.sampled_from(["", "x", " 1", "é", '"', '""', '"q"', "#", "'"]), min_size=1, max_size=5).map(",".join)
BODY = st.builds(
    lambda lines, ends, last: "".join(
        line + end for line, end in zip(lines, [*ends[: len(lines) - 1], last][: len(lines)], strict=True)
    ),
    st.lists(LINE, min_size=1, max_size=6),
    st.lists(st.sampled_from(["\n", "\n", "\r\n", "\n\n", "\r\n\r\n"]), min_size=6, max_size=6),
    st.sampled_from(["\n", "", "\r\n"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(BODY, min_size=1, max_size=4), st.integers(1, 50))
def test_the_fast_paths_say_what_the_slow_path_says(bodies, first_line):
    texts = [Text(n, f"a,b,c\n{body}".encode(), first_line=first_line + n) for n, body in enumerate(bodies)]
    assert told(list(parse(texts, DIALECT))) == slowly(texts)


REGULAR = st.lists(
    st.lists(st.sampled_from(["", "x", " 1", "é"]), min_size=3, max_size=3).map(",".join), min_size=1, max_size=6
)


@settings(max_examples=100, deadline=None)
@given(st.lists(REGULAR, min_size=1, max_size=3), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_text_without_quotes_and_ragged_rows_is_parsed_as_it_is(bodies, end, is_ended):
    texts = [
        Text(n, ("a,b,c\n" + end.join(lines) + (end if is_ended else "")).encode()) for n, lines in enumerate(bodies)
    ]
    plain = [delimited._plain(text, DIALECT) for text in texts]
    parsed = delimited._parse_whole(plain, HEADER, DIALECT)
    assert parsed is not None and parsed.bad == []
    assert told([parsed]) == slowly(texts)
    assert sum(count_rows(text.content, DIALECT) for text in texts) == parsed.frame.height


def test_a_short_and_a_long_row_do_not_make_up_for_each_other():
    """Together they have as many delimiters as two proper rows."""
    texts = [Text(0, b"a,b,c\n1,2,3\n1,2\n1,2,3,4\n5,6,7\n")]
    plain = [delimited._plain(text, DIALECT) for text in texts]
    assert delimited._parse_whole(plain, HEADER, DIALECT) is None
    rows, bad = told(list(parse(texts, DIALECT)))
    assert [row[-1] for row in rows] == [2, 5]
    assert bad == [(0, 3, "too few fields", "ragged row"), (0, 4, "too many fields", "ragged row")]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 20))
def test_blank_lines_are_no_rows_wherever_they_stand(body, span):
    content = b"a,b,c\n" + body.replace(b'"', b"")
    lines = content.split(b"\n")[1:]
    wanted = sum(1 for line in lines[:-1] if line.strip(b"\r")) + (bool(lines[-1]) and lines[-1] != b"\r")
    before, delimited._SPAN = delimited._SPAN, span
    try:
        assert count_rows(content, DIALECT) == wanted
    finally:
        delimited._SPAN = before
