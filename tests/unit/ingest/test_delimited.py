"""Delimited text: the fast path and the slow path say the same, and a bad row costs a row."""

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.formats.delimited import Dialect, count_rows, header_of, is_cut, parse
from ingest.formats.reading import Text, Unreadable

COMMA = Dialect()
LATIN = Dialect(encoding="cp1252")


def read(content, dialect=COMMA):
    rows, bad = [], []
    for parsed in parse([Text(0, content)], dialect):
        for each in parsed.frame.sort("_line").iter_rows(named=True):
            rows.append((each["_line"], tuple(each[name] for name in parsed.header)))
        bad += [(row.line, row.value_class, row.reason) for row in parsed.bad]
    return sorted(rows), sorted(bad)


def test_rows_carry_their_physical_line():
    rows, bad = read(b'a,b\n1,x\n2,"two, words"\n3,\n')
    assert rows == [(2, ("1", "x")), (3, ("2", "two, words")), (4, ("3", None))]
    assert bad == []


def test_a_quoted_line_break_keeps_the_lines_after_it_exact():
    rows, bad = read(b'a,b\n1,"x\ny"\n2,z\n')
    assert rows == [(2, ("1", "x\ny")), (4, ("2", "z"))]
    assert bad == []
    assert count_rows(b'a,b\n1,"x\ny"\n2,z\n', COMMA) == 2


def test_ragged_rows_are_told_apart_and_cost_only_themselves():
    rows, bad = read(b"a,b,c\n1,2,3\n1,2\n1,2,3,4\n4,5,6\n")
    assert [line for line, _ in rows] == [2, 5]
    assert bad == [(3, "too few fields", "ragged row"), (4, "too many fields", "ragged row")]


def test_a_stray_quote_costs_its_own_line():
    rows, bad = read(b'a,b\n1,"open\n2,x\n3,y\n')
    assert [line for line, _ in rows] == [3, 4]
    assert bad == [(2, "text", "stray quote")]


def test_two_stray_quotes_do_not_glue_the_lines_between_them():
    rows, bad = read(b'a,b\n1,"open\n2,x\n3,shut",y\n4,z\n')
    assert [line for line, _ in rows] == [3, 5]
    assert [line for line, *_ in bad] == [2, 4]


def test_a_quote_inside_a_plain_field_is_a_character():
    rows, bad = read(b'a,b\n1,5" drill\n2,x\n')
    assert rows == [(2, ("1", '5" drill')), (3, ("2", "x"))]
    assert bad == []


def test_a_line_that_does_not_decode_costs_itself():
    rows, bad = read(b"a,b\n1,ok\n2,\xff\xfe\n3,\xc3\xa9\n")
    assert rows == [(2, ("1", "ok")), (4, ("3", "é"))]
    assert bad == [(3, "bytes", "does not decode")]


def test_cp1252_text_is_read_as_such():
    rows, bad = read(b"a,b\n1,\x93caf\xe9\x94\n2,\x81\n", LATIN)
    assert rows == [(2, ("1", "“café”"))]
    assert bad == [(3, "bytes", "does not decode")]


def test_carriage_returns_and_blank_lines_are_no_rows():
    content = b"a,b\r\n1,x\r\n\r\n2,y\r\n"
    rows, bad = read(content)
    assert rows == [(2, ("1", "x")), (4, ("2", "y"))]
    assert bad == []
    assert count_rows(content, COMMA) == 2


def test_a_byte_order_mark_is_not_part_of_the_first_column():
    assert header_of(b"\xef\xbb\xbfa,b\n1,2\n", COMMA) == ("a", "b")


def test_a_header_that_names_a_column_twice_or_is_missing_is_unreadable():
    for content in (b"a,a\n1,2\n", b"", b"\n1,2\n"):
        try:
            header_of(content, COMMA)
        except Unreadable:
            continue
        raise AssertionError(content)


def test_a_file_without_its_last_line_end_is_cut():
    assert is_cut(b"a,b\n1,2")
    assert not is_cut(b"a,b\n1,2\n")


def test_many_files_with_one_header_keep_their_own_lines():
    texts = [Text(number, f"a,b\n{number},x\n{number},y\n".encode()) for number in range(5)]
    (parsed,) = parse(texts, COMMA)
    assert parsed.frame.select("_text", "_line").rows() == [(n, line) for n in range(5) for line in (2, 3)]


def test_one_odd_file_does_not_disturb_the_others():
    texts = [Text(number, b"a,b\n1,x\n2,y\n") for number in range(8)]
    texts[3] = Text(3, b'a,b\n1,"x\nx"\n2,"y\n')
    found = sorted(
        (index, line)
        for parsed in parse(texts, COMMA)
        for index, line in parsed.frame.select("_text", "_line").iter_rows()
    )
    assert found == sorted([(n, line) for n in range(8) if n != 3 for line in (2, 3)] + [(3, 2)])


FIELD = st.text(alphabet="ab\",\n'é 1", max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(FIELD, min_size=3, max_size=3), max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_whatever_a_csv_writer_writes_is_read_back(rows, line_end):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator=line_end)
    writer.writerow(["a", "b", "c"])
    writer.writerows(rows)
    content = stream.getvalue().encode()
    read_rows, bad = read(content)
    assert bad == []
    assert [fields for _, fields in read_rows] == [tuple(field or None for field in row) for row in rows]
    assert count_rows(content, COMMA) == len(rows)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120))
def test_any_bytes_below_a_header_become_rows_or_bad_rows_and_never_an_error(body):
    rows, bad = read(b"a,b\n" + body)
    assert len({line for line, *_ in rows} & {line for line, *_ in bad}) == 0
