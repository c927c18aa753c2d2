"""Delimited text: the fast path and the slow path say the same, and a bad row costs a row."""

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract import load_contracts
from ingest.formats import delimited
from ingest.formats.delimited import Dialect, count_rows, header_of, is_cut, parse
from ingest.formats.reading import Piece, Text, Unreadable
from ingest.shape import null_tokens

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


# ------------------------------------------------------------------------------------------------ as a format

MMIS, EHR = load_contracts()["mmis"], load_contracts()["ehr"]
ITEM, CODES = MMIS.extracts["ITEM"], MMIS.extracts["CODE_TABLE"]
ITEM_HEAD = "|".join(ITEM.columns).encode()


def item(*first):
    """A line of the item table: its first fields, the others empty."""
    return "|".join([*first, *[""] * (len(ITEM.columns) - len(first))]).encode("cp1252") + b"\r\n"


def reading(*texts, extracts=(ITEM,), delivery=MMIS.delivery):
    return delimited.read(
        [Text(number, text, extracts=(extracts[0].name,)) for number, text in enumerate(texts)], delivery, extracts
    )[extracts[0].name]


def test_a_table_without_quoting_takes_a_quote_as_a_character():
    lines = item("1", "2", "A1", '5" DRILL', '"', '""') + item("2", "2", "A2", 'an "open one')
    frame = reading(ITEM_HEAD + b"\r\n" + lines).frame
    assert frame["DESCR"].to_list() == ['5" DRILL', 'an "open one']
    assert (frame["DESCR1"][0], frame["DESCR2"][0]) == ('"', '""')
    assert frame["_line"].to_list() == [2, 3]


def test_an_escaped_pipe_belongs_to_the_value_and_trailing_blanks_stay():
    lines = item("1", "2", "A1", r"STENT 4\|5 MM  ") + item("2", "2", "A2", "\\|", r"a\b") + item("3", "2", "A3")
    read = reading(ITEM_HEAD + b"\r\n" + lines)
    assert read.frame["DESCR"].to_list() == ["STENT 4|5 MM  ", "|", None]
    assert read.frame["DESCR1"].to_list() == [None, r"a\b", None]
    assert read.bad == []


def test_text_of_one_byte_a_character_is_read_as_cp1252_and_an_undefined_byte_costs_its_row():
    good = item("1", "2", "A1", "M\u00fcller \u20ac 5")
    read = reading(ITEM_HEAD + b"\r\n" + good + b"2|2|A2|\x81" + b"|" * 14 + b"\r\n" + good)
    assert read.frame["DESCR"].to_list() == ["M\u00fcller \u20ac 5"] * 2
    assert [(row.line, row.reason) for row in read.bad] == [(3, "does not decode")]


def test_a_pipe_too_many_or_too_few_is_a_ragged_row():
    read = reading(ITEM_HEAD + b"\r\n" + item("1", "2") + b"2|2\r\n" + item("3", "2")[:-2] + b"|x\r\n" + item("4", "2"))
    assert read.frame["ITEM_ID"].to_list() == ["1", "4"]
    assert [(row.line, row.value_class) for row in read.bad] == [(3, "too few fields"), (4, "too many fields")]


def test_stand_ins_for_quotes_and_pipes_are_characters_that_the_text_has_not():
    odd = "".join(chr(code) for code in range(2, 7))
    read = reading(ITEM_HEAD + b"\r\n" + item("1", "2", "A1", odd + r"\|"))
    assert read.frame["DESCR"].to_list() == [odd + "|"]


def test_blanks_are_no_values_where_the_contract_says_so():
    frame = reading(ITEM_HEAD + b"\r\n" + item("1", "2", "A1", "   ", "")).frame
    nulls = frame.select(null_tokens(column, MMIS.delivery) for column in ITEM.read_columns)
    assert nulls["DESCR"].to_list() == nulls["DESCR1"].to_list() == [None]


def test_a_column_that_the_path_gives_is_not_missing_from_the_file():
    text = b"TYPE_CD|CODE|DESCR\r\nUM|000101EA|EACH\r\n"
    look = delimited.look(text, MMIS.delivery, [CODES])
    assert (dict(look.rows), look.refusal, look.drift, look.is_cut) == ({"CODE_TABLE": 1}, None, (), False)
    assert reading(text, extracts=(CODES,)).frame.rows() == [(None, "UM", "000101EA", "EACH", 0, 2)]


def test_a_look_counts_rows_and_tells_drift_and_refusals():
    extract = EHR.extracts["OR_LOG_ALL_PROC"]
    head = ",".join(extract.columns)
    look = delimited.look(f"{head},NEW COLUMN,ADDED\n".encode() + b"1,2\n", EHR.delivery, [extract])
    assert look.rows == {"OR_LOG_ALL_PROC": 1}
    assert look.drift == (("(not a column name)", "added"), ("ADDED", "added"))
    assert delimited.look(head.encode(), EHR.delivery, [extract]).is_cut
    missing = delimited.look(head.replace("LOG_ID,", "").encode() + b"\n", EHR.delivery, [extract])
    assert missing.refusal == "required columns missing: LOG_ID"
    assert delimited.look(b"", EHR.delivery, [extract]).refusal == "no header line"


def test_dropped_columns_are_not_read_and_absent_ones_are_null():
    extract = EHR.extracts["PATIENT"]
    dropped = [name for name, column in extract.columns.items() if column.drop]
    text = f"PAT_ID,{dropped[0]}\nZ1,told\n".encode()
    frame = reading(text, extracts=(extract,), delivery=EHR.delivery).frame
    assert frame.columns == [*(column.name for column in extract.read_columns), "_text", "_line"]
    assert "told" not in frame.write_csv()
    assert frame["PAT_ID"].to_list() == ["Z1"] and frame["PAT_MRN_ID"].to_list() == [None]


def test_texts_of_several_extracts_are_read_apart():
    texts = [
        Text(4, b"TYPE_CD|CODE|DESCR\r\nUM|1|EACH\r\n", extracts=("CODE_TABLE",)),
        Text(5, ITEM_HEAD + b"\r\n" + item("1", "2"), extracts=("ITEM",)),
    ]
    read = delimited.read(texts, MMIS.delivery, [ITEM, CODES])
    assert read["ITEM"].frame["_text"].to_list() == [5]
    assert read["CODE_TABLE"].frame["_text"].to_list() == [4]
    assert delimited.read([], MMIS.delivery, [ITEM])["ITEM"].frame.height == 0


def test_a_table_is_one_piece_because_of_its_header():
    content = ITEM_HEAD + b"\r\n" + item("1", "2") * 50
    assert list(delimited.pieces(content, 100)) == [Piece(0, len(content), 1)]
