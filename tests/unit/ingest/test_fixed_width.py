"""Fixed-width records: every oddity of the transaction file, one by one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract import Column, ColumnType, Delivery, Extract, load_contracts
from ingest.formats import fixed_width
from ingest.formats.reading import Text, Trailer

CONTRACT = load_contracts()["mmis"]
DELIVERY = next(delivery for delivery in CONTRACT.deliveries if delivery.format == "fixed-width")
EXTRACTS = {name: extract for name, extract in CONTRACT.extracts.items() if name in DELIVERY.extracts}
CORPUS = Path(__file__).parent / "fixtures" / "fixed_width" / "corpus"
KINDS = {"H": "TXN_HEADER", "D": "TXN", "T": "TXN_TRAILER"}


def record(kind: str, **fields: str) -> str:
    """A record of 200 characters with fields at their places."""
    characters = list(kind.ljust(200))
    for name, value in fields.items():
        column = EXTRACTS[KINDS[kind]].columns[name]
        characters[column.start - 1 : column.start - 1 + column.width] = value.ljust(column.width)
    assert len(characters) == 200
    return "".join(characters)


def header(**fields: str) -> str:
    return record("H", **{"SYSTEM": "MMIS", "IDB": "1", "FILE_DATE": "260430", "RUN_NO": "001"} | fields)


def detail(number: int = 1, **fields: str) -> str:
    plain = {
        "SEQ_NO": f"{number:07d}",
        "TXN_NO": f"{number + 4000:09d}",
        "CORP_ID": "601",
        "TXN_TYPE": "IS",
        "LOC_NO": "H6STR",
        "ITEM_NO": "12345",
        "QTY": "000000150-",
        "UM": "EA",
        "UNIT_COST": "00000012345 ",
        "TXN_DATE": "260429",
        "TXN_TIME": "0310",
    }
    return record("D", **plain | fields)


def trailer(rows: int, total: str) -> str:
    """`total` plain, with two decimals."""
    cents = int(Decimal(total) * 100)
    return record("T", ROW_COUNT=f"{rows:09d}", HASH_QTY=f"{abs(cents):013d}{'-' if cents < 0 else ' '}")


def written(*records: str, end: str = "\r\n") -> bytes:
    return "".join(each + end for each in records).encode("cp1252")


def file(*details: str, rows: int | None = None, total: str = "0.00", end: str = "\r\n") -> bytes:
    return written(header(), *details, trailer(len(details) if rows is None else rows, total), end=end)


def read(content: bytes, **more):
    return fixed_width.read([Text(3, content, extracts=DELIVERY.extracts, **more)], DELIVERY, EXTRACTS)


def look(content: bytes):
    return fixed_width.look(content, DELIVERY, EXTRACTS)


def row(**fields: str):
    found = read(file(detail(**fields)))["TXN"]
    assert found.bad == []
    return found.frame.to_dicts()[0]


def test_a_detail_has_every_column_and_the_values_of_the_header():
    assert row(LOT="L 77", CASE_NO="40000001", PAT_ACCT="000600000001", DOC_LINE="0012", EXPIRY="270131") == {
        "REC_TYPE": "D",
        "SEQ_NO": "1",
        "TXN_NO": "4001",
        "FILE_DATE": "260430",
        "IDB": "1",
        "CORP_ID": "601",
        "TXN_TYPE": "IS",
        "LOC_NO": "H6STR",
        "TO_LOC_NO": None,
        "ITEM_NO": "12345",
        "QTY": "-1.50",
        "UM": "EA",
        "UNIT_COST": "1.2345",
        "TXN_DATE": "260429",
        "TXN_TIME": "0310",
        "DEPT_NO": None,
        "DOC_NO": None,
        "DOC_LINE": "12",
        "LOT": "L 77",
        "EXPIRY": "270131",
        "CASE_NO": "40000001",
        "PAT_ACCT": "000600000001",
        "PAT_CHRG_NO": None,
        "USER_CD": None,
        "REASON_CD": None,
        "FILLER": None,
        "_text": 3,
        "_line": 2,
    }


def test_header_and_trailer_are_rows_of_their_own():
    found = read(file(detail(), total="-1.50"))
    assert found["TXN_HEADER"].frame.to_dicts() == [
        {
            "REC_TYPE": "H",
            "SYSTEM": "MMIS",
            "IDB": "1",
            "FILE_DATE": "260430",
            "RUN_NO": "1",
            "_text": 3,
            "_line": 1,
        }
    ]
    assert found["TXN_TRAILER"].frame.to_dicts() == [
        {
            "FILE_DATE": "260430",
            "IDB": "1",
            "REC_TYPE": "T",
            "ROW_COUNT": "1",
            "HASH_QTY": "-1.50",
            "_text": 3,
            "_line": 3,
        }
    ]


@pytest.mark.parametrize(
    ("sent", "landed"),
    [
        ("000000150-", "-1.50"),
        ("000000150 ", "1.50"),
        ("000000150+", "1.50"),
        ("000000000-", "0.00"),
        ("000000000 ", "0.00"),
        ("000000005-", "-0.05"),
        ("000000099 ", "0.99"),
        ("999999999-", "-9999999.99"),
        ("100000000 ", "1000000.00"),
    ],
)
def test_implied_decimals_and_the_trailing_sign_become_a_plain_decimal(sent, landed):
    """Quirk Q70."""
    assert row(QTY=sent)["QTY"] == landed


@pytest.mark.parametrize(
    ("sent", "landed"),
    [
        ("00000000000 ", "0.0000"),
        ("00000000001-", "-0.0001"),
        ("99999999999 ", "9999999.9999"),
        ("00000120000 ", "12.0000"),
    ],
)
def test_four_implied_decimals_are_four(sent, landed):
    assert row(UNIT_COST=sent)["UNIT_COST"] == landed


@pytest.mark.parametrize(
    ("sent", "landed"), [("0000", "0"), ("0012", "12"), ("9999", "9999"), ("    ", None), ("007-", "-7")]
)
def test_an_integer_loses_its_leading_zeros(sent, landed):
    assert row(DOC_LINE=sent)["DOC_LINE"] == landed


def test_text_loses_the_blanks_behind_it_only():
    assert row(LOT="  A  B  ")["LOT"] == "  A  B"
    assert row(LOT=" ")["LOT"] is None


def test_characters_of_cp1252_take_one_place():
    found = row(ITEM_NO="É“12”€", LOT="ž", QTY="000000200 ")
    assert (found["ITEM_NO"], found["LOT"], found["QTY"], found["UM"]) == ("É“12”€", "ž", "2.00", "EA")


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"QTY": "00000015X-"}, "QTY"),
        ({"QTY": "0000001505"}, "QTY"),
        ({"QTY": "000000150*"}, "QTY"),
        ({"QTY": "      150-"}, "QTY"),
        ({"QTY": "000 00150-"}, "QTY"),
        ({"QTY": "-000000150"}, "QTY"),
        ({"QTY": "000001.50 "}, "QTY"),
        ({"QTY": "000000000{"}, "QTY"),
        ({"QTY": "         -"}, "QTY"),
        ({"UNIT_COST": "0000001234 5"}, "UNIT_COST"),
        ({"SEQ_NO": "00A0001"}, "SEQ_NO"),
        ({"TXN_NO": "     1234"}, "TXN_NO"),
        ({"CORP_ID": "60 "}, "CORP_ID"),
        ({"DOC_LINE": "12"}, "DOC_LINE"),
        ({"QTY": "bad       ", "TXN_NO": "bad"}, "TXN_NO"),
    ],
)
def test_a_number_that_is_none_is_one_bad_row_and_its_neighbours_land(fields, column):
    found = read(file(detail(1), detail(2, **fields), detail(3)))["TXN"]
    assert found.frame["SEQ_NO"].to_list() == ["1", "3"]
    assert [(bad.index, bad.line, bad.column) for bad in found.bad] == [(3, 3, column)]
    assert "digits" in found.bad[0].reason


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (detail(2)[:199].encode(), "a record of another length"),
        ((detail(2) + " ").encode(), "a record of another length"),
        (b"D", "a record of another length"),
        (b"X" + detail(2)[1:].encode(), "an unknown type of record"),
        (b"d" + detail(2)[1:].encode(), "an unknown type of record"),
        (b" " + detail(2)[1:].encode(), "an unknown type of record"),
        (b"\x00", "an unknown type of record"),
        (b"x", "an unknown type of record"),
        (detail(2, LOT="@").encode().replace(b"@", b"\x81"), "bytes that the encoding does not have"),
        (detail(2, FILLER="@").encode().replace(b"@", b"\x9d"), "bytes that the encoding does not have"),
    ],
)
def test_a_broken_record_is_one_bad_row_and_its_neighbours_land(broken, reason):
    content = written(header(), detail(1)) + broken + b"\r\n" + written(detail(3), trailer(2, "-3.00"))
    found = read(content)["TXN"]
    assert found.frame["SEQ_NO"].to_list() == ["1", "3"]
    assert [(bad.index, bad.line, bad.reason) for bad in found.bad] == [(3, 3, reason)]
    assert sum(look(content).rows.values()) == 5


def test_the_reason_of_a_refusal_holds_nothing_of_the_record():
    found = read(file(detail(1, QTY="ZACHARIAS", PAT_ACCT="600000001"), detail(2, LOT="ZACHARIAS")[:150]))
    assert len(found["TXN"].bad) == 2
    assert "ZACHARIAS" not in str(found["TXN"].bad) and "600000001" not in str(found["TXN"].bad)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_lines_end_as_they_like(end):
    found = read(file(detail(1), detail(2), end=end))
    assert found["TXN"].frame["_line"].to_list() == [2, 3]
    assert look(file(detail(1), detail(2), end=end)).rows == {"TXN": 2, "TXN_HEADER": 1, "TXN_TRAILER": 1}


def test_mixed_line_ends_blank_lines_and_an_end_of_file_mark_do_no_harm():
    content = (
        written(header(), end="\n")
        + b"\r\n\n"
        + written(detail(1), end="\r")
        + b" " * 200
        + b"\r\n"
        + written(detail(2))
        + written(trailer(2, "-3.00"), end="")
        + b"\r\n\x1a"
    )
    found = read(content)
    assert found["TXN"].frame.select("SEQ_NO", "_line").rows() == [("1", 4), ("2", 6)]
    assert all(reading.bad == [] for reading in found.values())
    assert look(content).refusal is None


def test_a_header_and_a_trailer_may_have_lost_the_blanks_behind_them():
    content = written(header().rstrip(), detail(1), trailer(1, "-1.50").rstrip(), end="\n").rstrip()
    assert look(content).trailer == Trailer(1, "-1.50")
    found = read(content)
    assert (found["TXN"].frame.height, found["TXN_HEADER"].frame.height, found["TXN_TRAILER"].frame.height) == (1, 1, 1)


# The trailer ----------------------------------------------------------------------------------------------------------


def test_the_trailer_tells_rows_and_sum():
    assert look(file(detail(1), detail(2), total="-3.00")).trailer == Trailer(2, "-3.00")
    assert look(file(detail(1), detail(2), total="7.25")).trailer == Trailer(2, "7.25")
    assert look(file(detail(1), detail(2), rows=1)).trailer == Trailer(1, "0.00")
    assert look(file()).trailer == Trailer(0, "0.00")


def test_more_rows_or_another_sum_than_the_trailer_states_do_not_refuse():
    assert look(file(detail(1), detail(2), rows=1)).refusal is None
    assert look(file(detail(1), total="99.00")).refusal is None


def test_a_trailer_without_a_readable_sum_is_wrong_and_does_not_refuse():
    content = written(header(), detail(1), record("T", ROW_COUNT="000000001", HASH_QTY="00000000001x0 "))
    assert look(content).refusal is None
    assert look(content).trailer == Trailer(1, None, agrees=False)
    assert [bad.column for bad in read(content)["TXN_TRAILER"].bad] == ["HASH_QTY"]


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", "no header record"),
        (written(detail(1), trailer(1, "0.00")), "no header record"),
        (written(header(), detail(1)), "no trailer record"),
        (written(header()), "no trailer record"),
        (file(detail(1), detail(2))[:-150], None),
        (file(detail(1), detail(2))[:-220], "no trailer record"),
        (file(detail(1), detail(2), rows=3), "2 rows, the trailer states 3"),
        (
            written(header(), record("T", ROW_COUNT="00000000X", HASH_QTY="0000000000000 ")),
            "the trailer record does not read",
        ),
        (written(header(), record("T", HASH_QTY="0000000000000 ")), "the trailer record does not read"),
        (written(header(IDB="?"), trailer(0, "0.00")), "the header record does not read"),
        (written(header(FILE_DATE=" "), trailer(0, "0.00")), "the header record does not read"),
        (written(header() + "x", trailer(0, "0.00")), "the header record does not read"),
        (file(detail(1)) + written(header(), detail(1)), "no trailer record"),
        (file(detail(1)) + written(trailer(1, "0.00")), "more than one trailer record"),
    ],
)
def test_a_file_without_its_ends_or_with_too_few_rows_is_refused_whole(content, refusal):
    """Quirk Q71."""
    assert look(content).refusal == refusal


def test_a_bad_detail_counts_as_a_row_of_the_file():
    assert look(file(detail(1), detail(2)[:90], rows=2)).refusal is None


def test_sets_one_after_the_other_keep_their_own_header():
    content = file(detail(1), total="-1.50") + written(
        header(FILE_DATE="260501", RUN_NO="002"), detail(1), detail(2), trailer(2, "-3.00")
    )
    assert look(content).trailer == Trailer(3, "-4.50")
    found = read(content)
    assert found["TXN"].frame["FILE_DATE"].to_list() == ["260430", "260501", "260501"]
    assert found["TXN_TRAILER"].frame["FILE_DATE"].to_list() == ["260430", "260501"]


def test_a_detail_before_any_header_has_no_day_and_is_refused():
    found = read(written(detail(1)) + file(detail(2)))["TXN"]
    assert found.frame["SEQ_NO"].to_list() == ["2"]
    assert [(bad.line, bad.reason) for bad in found.bad] == [(1, "no header record before it")]


def test_texts_do_not_lend_each_other_their_header():
    texts = [
        Text(1, file(detail(1))),
        Text(2, written(detail(2))),
        Text(3, b""),
        Text(4, file(detail(3)), first_line=11),
    ]
    found = fixed_width.read(texts, DELIVERY, EXTRACTS)["TXN"]
    assert found.frame.select("_text", "_line", "SEQ_NO").rows() == [(1, 2, "1"), (4, 12, "3")]
    assert [(bad.index, bad.line) for bad in found.bad] == [(2, 1)]


def test_nothing_gives_empty_frames_of_all_columns():
    found = fixed_width.read([], DELIVERY, EXTRACTS)
    for name, extract in EXTRACTS.items():
        assert found[name].frame.columns == [*(column.name for column in extract.read_columns), "_text", "_line"]
        assert found[name].frame.is_empty()


@pytest.mark.parametrize("size", [1, 500, 10_000])
def test_pieces_never_part_a_detail_from_its_header(size):
    content = b"".join(file(detail(n)) + b"\r \r\n" + file(detail(n), detail(n + 1), end="\n") for n in range(5))
    found = list(fixed_width.pieces(content, size))
    assert b"".join(content[piece.start : piece.end] for piece in found) == content
    assert all(content[piece.start : piece.start + 1] == b"H" for piece in found)
    texts = [Text(n, content[piece.start : piece.end], piece.first_line) for n, piece in enumerate(found)]
    split = fixed_width.read(texts, DELIVERY, EXTRACTS)["TXN"].frame.drop("_text")
    assert split.equals(read(content)["TXN"].frame.drop("_text"))


# Another layout -------------------------------------------------------------------------------------------------------


def column(name: str, type: str, start: int = 0, width: int = 0, **more) -> Column:
    return Column(name, ColumnType.parse(type), type, start=start, width=width, **more)


def test_another_layout_is_read_from_its_columns_alone():
    delivery = Delivery(**DELIVERY.__dict__ | {"record_length": 45, "extracts": ("LINE", "HEAD", "END")})

    def extract(name: str, kind: str, *columns: Column) -> Extract:
        return Extract(
            "x",
            name,
            name,
            "event",
            (columns[0].name,),
            None,
            {each.name: each for each in columns},
            delivery,
            record_type=kind,
        )

    extracts = [
        extract(
            "LINE",
            "5",
            column("AMOUNT", "decimal(18,4)", 2, 4),
            column("NAME", "string", 6, 10),
            column("SECRET", "string", 16, 4, drop=True),
            column("WIDE", "decimal(30,2)", 20, 26),
            column("DAY", "date(yyyyMMdd)", source="header record"),
        ),
        extract("HEAD", "1", column("DAY", "date(yyyyMMdd)", 2, 8)),
        extract("END", "T", column("ROWS", "integer", 2, 3)),
    ]
    wide = "1234567890123456789012345-"
    records = ("120260430", f"5012-smith     xxxx{wide}", f"5999 jones     yyyy{'':26}", "T002")
    content = "".join(f"{record:45}\n" for record in records).encode()
    assert fixed_width.look(content, delivery, extracts).trailer == Trailer(2, None)
    found = fixed_width.read([Text(0, content)], delivery, extracts)
    assert found["LINE"].frame.rows() == [
        ("-0.0012", "smith", "-12345678901234567890123.45", "20260430", 0, 2),
        ("0.0999", "jones", None, "20260430", 0, 3),
    ]


# Properties -----------------------------------------------------------------------------------------------------------

_decimals = st.decimals(min_value=Decimal("-9999999.99"), max_value=Decimal("9999999.99"), places=2)
_words = st.text(st.characters(codec="cp1252", exclude_categories=("Cc",)), max_size=20).map(str.rstrip)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(_decimals, st.integers(0, 9999), _words), max_size=12))
def test_what_is_written_is_read(values):
    details = [
        detail(n, QTY=f"{abs(int(qty * 100)):09d}{'-' if qty < 0 else ' '}", DOC_LINE=f"{line:04d}", LOT=lot)
        for n, (qty, line, lot) in enumerate(values)
    ]
    total = sum((qty for qty, *_ in values), Decimal(0))
    content = file(*details, total=f"{total}")
    seen = look(content)
    assert seen.refusal is None
    assert seen.trailer is not None and Decimal(seen.trailer.total) == total
    found = read(content)["TXN"]
    assert found.bad == []
    assert [
        (Decimal(qty), int(line), lot or "") for qty, line, lot in found.frame.select("QTY", "DOC_LINE", "LOT").rows()
    ] == [(qty, line, lot) for qty, line, lot in values]
    assert found.frame.select(pl.col("QTY").cast(pl.Decimal(38, 2)).sum()).item() == total


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=210).filter(lambda each: not set(each) & set(b"\r\n")), max_size=6))
def test_no_broken_record_loses_a_neighbour(noise):
    content, expected = written(header()), []
    for number, each in enumerate(noise, start=1):
        if each[:1] in (b"H", b"T", b"D"):
            each = b"?" + each
        content += written(detail(number)) + each + b"\r\n"
        expected.append((str(number), 2 * number))
    found = read(content + written(trailer(len(noise), "0.00")))["TXN"]
    assert found.frame.select("SEQ_NO", "_line").rows() == expected
    assert len(found.bad) == sum((each.strip(b" ") != b"" and each != b"\x1a") or each == b"\x1a" for each in noise)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 199), st.integers(0, 255))
def test_one_changed_byte_costs_one_record_at_most(place, byte):
    middle = bytearray(detail(2).encode())
    middle[place] = byte
    content = written(header(), detail(1)) + bytes(middle) + b"\r\n" + written(detail(3), trailer(2, "0.00"))
    found = read(content)
    assert set(found["TXN"].frame["SEQ_NO"].to_list()) >= {"1", "3"}
    assert look(content).refusal is None or place == 0


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*")), ids=lambda file: file.name)
def test_inputs_that_were_found_by_fuzzing_are_read_or_refused(file):
    content = file.read_bytes()
    seen, found = look(content), read(content)
    assert sum(seen.rows.values()) == sum(reading.frame.height + len(reading.bad) for reading in found.values())
