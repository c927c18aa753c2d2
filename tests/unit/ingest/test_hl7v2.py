"""HL7 v2: every framing, delimiter, escape and oddity that hospitals send, and what each becomes."""

from dataclasses import replace

import pytest
from polars import CompatLevel

from ingest.contract import ContractError
from ingest.formats import hl7v2
from ingest.formats.reading import Text, Trailer
from tests.unit.ingest.hl7v2_messages import (
    ADT,
    ANY_DELIVERY,
    DELIVERY,
    DFT,
    FT1,
    ITEM,
    LOCATION,
    PACKAGE,
    PID,
    PV1,
    SIU,
    charges,
    header,
    made_extract,
    message,
    read,
    read_all,
)


def look(content, *extracts):
    return hl7v2.look(content, DELIVERY, extracts or (DFT,))


# ---------------------------------------------------------------------------------------------- the contract's rows


def test_a_charge_has_the_values_of_its_message_its_segment_and_the_z_segment_after_it():
    rows, bad = read(charges(rows=2))
    assert bad == []
    assert rows[0] == {
        "sending_facility": "SHSH1",
        "message_id": "M1",
        "message_time": "20250301101500",
        "set_id": "1",
        "patient_id": "700123",
        "account_no": "900456",
        "visit_no": "8001",
        "ft1_transaction_id": "T1",
        "ft1_batch_id": "B7",
        "ft1_date": "20250301093000",
        "ft1_posting_date": "20250301101000",
        "ft1_type": "CG",
        "ft1_code": "4711",
        "ft1_qty": "2",
        "extended_amount": "500.00",
        "unit_amount": "250.00",
        "department": "1010",
        "patient_location": "OR1",
        "performed_by": "778",
        "unit_cost": "118.40000",
        "filler_order_no": "LOG9",
        "procedure_code": "C1713",
        "modifiers": "59~LT",
        "item_id": "101",
        "implant_id": "IMP1",
        "lot": "LOT1",
        "udi": "(01)00812345678906(21)S1",
        "_text": 0,
        "_line": 5,
    }
    assert (rows[1]["ft1_transaction_id"], rows[1]["lot"], rows[1]["_line"]) == ("T2", "LOT2", 7)


def test_dropped_columns_are_not_read():
    reading = read_all(charges())["DFT_P03_FT1"]
    assert reading.frame.columns == [column.name for column in DFT.read_columns] + ["_text", "_line"]
    assert "ZZDOE" not in str(reading.frame.to_dicts())


def test_a_z_segment_belongs_to_the_charge_before_it_only():
    rows, _ = read(
        message(header(), PID, "ZFT|9", FT1.format(n=1), FT1.format(n=2), "ZFT|22||L2", "NTE|1", "ZFT|23||L3")
    )
    assert [(row["item_id"], row["lot"]) for row in rows] == [(None, None), ("22", "L2")]


def test_a_z_segment_of_the_next_message_does_not_reach_back():
    content = message(header(), FT1.format(n=1)) + message(header(control="M2"), "ZFT|9", FT1.format(n=1), "ZFT|10")
    rows, _ = read(content)
    assert [row["item_id"] for row in rows] == [None, "10"]


def test_an_appointment_is_one_row_with_its_first_resources():
    rows, bad = read(
        message(
            header("SIU^S12^SIU_S12"),
            f"SCH|P5^EPIC|C77^EPIC|||||||95||^^95^20250303073000^20250303090500{'|' * 14}BOOKED^Booked",
            "PID|1||700123^^^SHS^MR",
            "RGS|1",
            "AIS|1||P100^KNEE",
            "AIS|2||P101^HIP",
            "AIL|1||H1^OR03^1",
            "AIP|1||S9^SURGEON",
        ),
        SIU,
    )
    assert bad == []
    assert rows == [
        {
            "sending_facility": "SHSH1",
            "message_id": "M1",
            "message_time": "20250301101500",
            "event": "S12",
            "placer_appt_id": "P5",
            "case_no": "C77",
            "status": "BOOKED",
            "start_time": "20250303073000",
            "duration_min": "95",
            "service": "P100",
            "surgeon": "S9",
            "room": "OR03",
            "patient_id": "700123",
            "_text": 0,
            "_line": 1,
        }
    ]


def test_a_merge_has_the_survivor_and_the_retired_identifier():
    rows, bad = read(message(header("ADT^A40"), "EVN|A40|20250301", "PID|1||55^^^SHS", "MRG|44^^^SHS"), ADT)
    assert bad == []
    assert (rows[0]["event"], rows[0]["patient_id"], rows[0]["retired_patient_id"]) == ("A40", "55", "44")
    assert rows[0]["event_time"] == "20250301000000"


def test_two_merges_in_one_message_are_refused_because_a_row_holds_one():
    merges = message(header("ADT^A40"), "PID|1||55", "MRG|44", "PID|2||66", "MRG|33")
    rows, bad = read(merges + message(header("ADT^A01", "M2"), "PID|1||1"), ADT)
    assert [row["message_id"] for row in rows] == ["M2"]
    assert bad == [(1, "more than one MRG segment, of which a row holds one")]


ITEM_MASTER = message(
    header("MFN^M16^MFN_M16"),
    "MFI|INV",
    "MFE|MUP|1||I1",
    "ITM|I1^X|Anchor|A|||||ACME^A|CAT1|H123|Y|4711||Y|||||6200||||||||C1713||||||42295",
    "VND|1|V1|Vendor|VC1|Y",
    "PKG|1|BX^Box|Y|10|105.5&USD|110&USD|20250401|00812345678906",
    "PKG|2|EA|N|1|11",
    "VND|2|V2||VC2|N",
    "PKG|1|CA|Y|40|400",
    "IVT|1|L1^Main||||||||||||||Y",
    "MFE|MDL|2||I2",
    "ITM|I2|Screw",
    "IVT|1|L2|||||BIN7|BX|EA|1300||||||N||||||||5|20|40",
)


def test_an_item_master_message_gives_items_packages_of_each_vendor_and_locations():
    readings = read_all(ITEM_MASTER, ITEM, PACKAGE, LOCATION)
    items, packages, locations = (readings[extract.name].frame for extract in (ITEM, PACKAGE, LOCATION))
    assert items.select("action", "item_id", "description", "mfr_name", "natural_account", "unspsc").rows() == [
        ("MUP", "I1", "Anchor", "ACME", "6200", "42295"),
        ("MDL", "I2", "Screw", None, None, None),
    ]
    assert packages.select("item_id", "vendor_id", "vendor_catalog", "package_unit", "price").rows() == [
        ("I1", "V1", "VC1", "BX", "105.5"),
        ("I1", "V1", "VC1", "EA", "11"),
        ("I1", "V2", "VC2", "CA", "400"),
    ]
    assert packages.row(0, named=True)["future_effective"] == "20250401000000"
    assert packages.row(0, named=True)["gtin"] == "00812345678906"
    assert locations.select("item_id", "location", "bin", "consigned", "or_par").rows() == [
        ("I1", "L1", None, "Y", None),
        ("I2", "L2", "BIN7", "N", "40"),
    ]
    assert [reading.bad for reading in readings.values()] == [[], [], []]


def test_a_package_without_its_vendor_does_not_take_that_of_the_item_before():
    rows, _ = read(
        message(header("MFN^M16"), "MFE|MAD", "ITM|I1", "VND|1|V1", "PKG|1|EA", "MFE|MAD", "ITM|I2", "PKG|1|BX"),
        PACKAGE,
    )
    assert [(row["item_id"], row["vendor_id"], row["package_unit"]) for row in rows] == [
        ("I1", "V1", "EA"),
        ("I2", None, "BX"),
    ]


# ---------------------------------------------------------------------------------------------- framing and line ends


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segments_end_at_any_line_end_and_lines_are_counted(end):
    content = charges("M1", 2).replace(b"\r", end.encode()) + charges("M2").replace(b"\r", end.encode())
    rows, bad = read(content)
    assert bad == []
    assert [(row["message_id"], row["_line"], row["lot"]) for row in rows] == [
        ("M1", 5, "LOT1"),
        ("M1", 7, "LOT2"),
        ("M2", 13, "LOT1"),
    ]


def test_line_ends_may_be_mixed_and_blank_lines_count():
    content = header().encode() + b"\r\n\n" + PID.encode() + b"\r\r" + FT1.format(n=1).encode() + b"\n\r\n"
    rows, bad = read(content + charges("M2"))
    assert bad == []
    assert [(row["message_id"], row["_line"]) for row in rows] == [("M1", 5), ("M2", 11)]


def test_a_line_of_blanks_is_a_blank_line():
    content = b" \r" + message(header(), " ", FT1.format(n=1), "\t ") + b"  \n"
    rows, bad = read(content + charges("M2"))
    assert bad == []
    assert [(row["message_id"], row["_line"]) for row in rows] == [("M1", 4), ("M2", 11)]


def test_mllp_frames_do_not_show():
    framed = b"".join(b"\x0b" + charges(each) + b"\x1c\r" for each in ("M1", "M2"))
    rows, bad = read(framed)
    assert bad == []
    assert [(row["message_id"], row["_line"], row["udi"]) for row in rows] == [
        ("M1", 5, "(01)00812345678906(21)S1"),
        ("M2", 12, "(01)00812345678906(21)S1"),
    ]
    assert look(framed).rows == {"DFT_P03_FT1": 2}
    assert not look(framed).is_cut


def test_the_last_segment_needs_no_line_end():
    rows, bad = read(charges().removesuffix(b"\r"))
    assert bad == []
    assert rows[0]["udi"] == "(01)00812345678906(21)S1"


def test_a_byte_order_mark_does_not_show():
    assert read(b"\xef\xbb\xbf" + charges()) == read(charges())
    assert look(b"\xef\xbb\xbf" + charges()).rows == {"DFT_P03_FT1": 1}


def batch(*messages, stated="", batches="1"):
    head = b"FHS|^~\\&|EPIC\rBHS|^~\\&|EPIC\r"
    return head + b"".join(messages) + f"BTS|{stated}\rFTS|{batches}\r".encode()


def test_a_batch_is_read_and_its_trailer_agrees():
    content = batch(charges("M1"), charges("M2"), stated=2)
    rows, bad = read(content)
    assert bad == []
    assert [(row["message_id"], row["_line"]) for row in rows] == [("M1", 7), ("M2", 13)]
    assert look(content).trailer == Trailer(agrees=True)
    assert look(content).refusal is None


def test_a_batch_with_fewer_messages_than_its_trailer_states_is_refused_whole():
    assert look(batch(charges(), stated=2)).refusal == "holds 1 messages of a batch, its BTS states 2"


def test_a_batch_with_more_messages_than_stated_is_told():
    seen = look(batch(charges("M1"), charges("M2"), stated=1))
    assert seen.refusal is None
    assert seen.trailer == Trailer(agrees=False)


def test_batches_are_counted_one_by_one():
    two = b"".join(b"BHS|^~\\&\r" + charges(each) + b"BTS|1\r" for each in ("M1", "M2"))
    assert look(two).trailer == Trailer(agrees=True)
    assert look(two + b"FTS|3\r").refusal == "holds 2 batches, its FTS states 3"
    uneven = b"BHS|^~\\&\r" + charges("M1") + charges("M2") + b"BTS|1\rBHS|^~\\&\rBTS|1\r"
    assert look(uneven).refusal == "holds 0 messages of a batch, its BTS states 1"


def test_a_batch_needs_no_trailer_and_a_trailer_needs_no_count():
    without = look(b"FHS|^~\\&\rBHS|^~\\&\r" + charges())
    assert (without.refusal, without.trailer, without.is_cut) == (None, None, False)
    assert look(batch(charges())).trailer is not None
    assert look(b"BHS|^~\\&\r" + charges() + b"BTS\r").trailer is None


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\x1c\r"])
def test_a_batch_without_messages_is_empty_and_one_whose_only_header_is_damaged_is_not(mark, end):
    frame = b"\x0b" if b"\x1c" in end else b""
    envelope = [b"FHS|^~\\&|EPIC", b"BHS|^~\\&|EPIC", b"", b" ", b"BTS|", b"FTS|1"]
    empty = mark + b"".join(frame + line + end for line in envelope)
    assert not any(look(empty).rows.values())
    assert read(empty) == ([], [])
    lines = charges().split(b"\r")
    for hurt in (lines[0][4:], b"2||118.4" + lines[0], b"X" + lines[0]):
        damaged = empty.replace(frame + b"BTS", hurt + b"\r" + frame + b"BTS")
        assert look(damaged).refusal is None
        assert any(look(damaged).rows.values())
        assert read(damaged)[1]


def test_a_file_of_several_messages_that_ends_in_a_segment_is_cut():
    two = charges("M1") + charges("M2")
    assert not look(two).is_cut
    assert look(two[:-5]).is_cut
    assert not look(charges()[:-1]).is_cut
    assert not look(batch(charges("M1"), charges("M2"), stated=2)[:-1]).is_cut


def test_an_empty_file_has_nothing_in_it_and_one_without_a_header_is_no_such_file():
    assert look(b"").rows == {"DFT_P03_FT1": 0}
    assert look(b"\r\n \n").refusal is None
    assert look(b"a,b\n1,2\n").refusal == "no message header (MSH) in the file"
    assert look(batch(stated=0)).rows == {"DFT_P03_FT1": 0}
    assert read(b"") == ([], [])


def test_messages_without_a_row_are_still_something_to_read():
    assert look(message(header(), PID)).rows == {"DFT_P03_FT1": 1}


# -------------------------------------------------------------------------------------- delimiters, escapes, nulls


def rewritten(content, marks):
    """A message with other delimiters; its values must hold none of either kind."""
    table = dict(zip("|^~\\&", marks, strict=True))
    return "".join(table.get(char, char) for char in content.decode()).encode()


@pytest.mark.parametrize("marks", ["#^~\\&", "|:;?!", "*+-/=", "$%'(<"])
def test_delimiters_are_those_that_the_message_declares(marks):
    plain = charges(rows=2).replace(b"(01)00812345678906(21)", b"0081234567890621")
    expected = read(plain)[0]
    rows, bad = read(rewritten(plain, marks))
    assert bad == []
    assert rows == expected


def test_messages_with_other_delimiters_stand_among_the_others_in_order():
    content = charges("M1") + rewritten(charges("M2").replace(b"(01)", b"01").replace(b"(21)", b"21"), "#:;?!")
    rows, bad = read(content + charges("M3"))
    assert bad == []
    assert [(row["message_id"], row["_line"], row["ft1_code"]) for row in rows] == [
        ("M1", 5, "4711"),
        ("M2", 11, "4711"),
        ("M3", 17, "4711"),
    ]


def test_fewer_encoding_characters_are_enough():
    content = charges().replace(b"|^~\\&|", b"|^~|").replace(b"&", b"+")
    rows, bad = read(content)
    assert bad == []
    assert (rows[0]["ft1_code"], rows[0]["unit_amount"]) == ("4711", "250.00+USD")


def test_a_fifth_encoding_character_and_a_doubled_escape_character_are_known():
    for declared in (b"|^~\\&#|", b"|^~\\\\&|"):
        rows, bad = read(charges().replace(b"|^~\\&|", declared))
        assert bad == []
        assert (rows[0]["message_id"], rows[0]["unit_amount"]) == ("M1", "250.00")


@pytest.mark.parametrize("declared", [b"", b"|", b"|^^\\&|", b"|a~\\&|", b"|^~\\&|#$%&|", b"X^~\\&X", b"| ~\\&|"])
def test_delimiters_that_cannot_be_used_refuse_their_message_only(declared):
    broken = charges("M2").replace(b"|^~\\&|", declared, 1)
    rows, bad = read(charges("M1") + broken + charges("M3"))
    assert [row["message_id"] for row in rows] == ["M1", "M3"]
    assert [line for line, _ in bad] == [7]


def described(text, marks="|^~\\&"):
    extract = made_extract({"value": "OBX-5", "component": "OBX-5.1", "second": "OBX-5.2"})
    content = message(header("ORU^R01"), f"OBX|1|ST|X||{text}")
    rows, bad = read(content, extract, delivery=ANY_DELIVERY)
    assert bad == []
    return rows[0]["value"]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("a\\F\\b", "a|b"),
        ("a\\S\\b", "a^b"),
        ("JOHNSON \\T\\ JOHNSON", "JOHNSON & JOHNSON"),
        ("a\\R\\b", "a~b"),
        ("a\\E\\b", "a\\b"),
        ("\\E\\T\\E\\", "\\T\\"),
        ("a\\X41\\b", "aAb"),
        ("\\XC3A9\\", "é"),
        ("\\XFF\\", "\\XFF\\"),
        ("\\X4\\", "\\X4\\"),
        ("one\\.br\\two", "one\ntwo"),
        ("\\H\\bold\\N\\", "bold"),
        ("C:\\\\share\\\\x", "C:\\\\share\\\\x"),
        ("C:\\temp", "C:\\temp"),
        ("\\", "\\"),
        ("\\Zuser\\", "\\Zuser\\"),
        ("A \\T\\ B \\T\\ C", "A & B & C"),
        ("é \\T\\ ü", "é & ü"),
    ],
)
def test_escapes_are_decoded_once_and_what_is_none_stays(sent, meant):
    assert described(sent) == meant


def test_a_decoded_value_may_be_long():
    assert described("x" * 40 + "\\T\\" + "y" * 100) == "x" * 40 + "&" + "y" * 100


def test_an_escape_in_one_value_leaves_its_neighbours_alone():
    rows, _ = read(charges("M1") + charges("M2").replace(b"ANCHOR^CDM", b"A\\S\\B^CDM").replace(b"LOT1", b"L\\T\\1"))
    assert [row["lot"] for row in rows] == ["LOT1", "L&1"]
    assert [row["ft1_code"] for row in rows] == ["4711", "4711"]


def test_an_unescaped_ampersand_stays_in_a_text_but_not_in_a_component():
    extract = made_extract(
        {"text": "OBX-5", "first": "OBX-5.1", "sub": "OBX-5.1.2", "number": ("OBX-5", "decimal(9,2)")}
    )
    rows, _ = read(message(header("ORU^R01"), "OBX|1|ST|X||12&AB&C^D~E"), extract, delivery=ANY_DELIVERY)
    assert {name: rows[0][name] for name in extract.columns} == {
        "text": "12&AB&C",
        "first": "12",
        "sub": "AB",
        "number": "12",
    }


def test_a_null_sent_as_two_quotes_lands_empty_and_never_as_text():
    content = charges().replace(b"LOT1", b'""').replace(b"|59^^CPT~LT", b'|""~LT').replace(b"T1|B7", b'""|B7')
    rows, _ = read(content)
    assert (rows[0]["lot"], rows[0]["ft1_transaction_id"], rows[0]["modifiers"]) == (None, None, "~LT")
    rows, _ = read(charges().replace(b"LOT1", b'x""'))
    assert rows[0]["lot"] == 'x""'


def test_trailing_fields_may_be_cut_off_at_any_field():
    short = message(header(), "PID|1", "FT1|1|T1||20250301||CG|4711")
    rows, bad = read(short)
    assert bad == []
    assert (rows[0]["ft1_code"], rows[0]["ft1_qty"], rows[0]["patient_id"], rows[0]["modifiers"]) == (
        "4711",
        None,
        None,
        None,
    )
    rows, bad = read(message(header(), "PID", "FT1"))
    assert bad == []
    assert rows[0]["set_id"] is None


def test_a_scalar_column_takes_the_first_repetition_and_modifiers_keep_all():
    content = message(header(), "PID|1||11^^^A~22^^^B", FT1.format(n=1).replace("59^^CPT~LT^^HCPCS", "59^^CPT~LT~RT&x"))
    rows, _ = read(content)
    assert rows[0]["patient_id"] == "11"
    assert rows[0]["modifiers"] == "59~LT~RT"
    other = rewritten(content, "|:;?!")
    assert read(other)[0][0]["modifiers"] == "59~LT~RT"


def test_values_of_every_length_are_whole():
    extract = made_extract({"value": "OBX-5", "next": "OBX-6"})
    texts = ["x" * size for size in range(1, 200)]
    content = b"".join(
        message(header("ORU^R01", f"M{number}"), f"OBX|1|ST|X||{text}|n{number}") for number, text in enumerate(texts)
    )
    rows, _ = read(content, extract, delivery=ANY_DELIVERY)
    assert [row["value"] for row in rows] == texts
    assert [row["next"] for row in rows] == [f"n{number}" for number in range(len(texts))]


# ---------------------------------------------------------------------------------------------- character sets


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("", "utf-8"),
        ("UNICODE UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("8859/1", "latin-1"),
        ("8859/15", "iso-8859-15"),
    ],
)
def test_characters_are_decoded_as_msh_18_says(charset, codec):
    content = charges(charset=charset).decode().replace("LOT1", "Größe é").encode(codec)
    rows, bad = read(charges("M0") + content + charges("M9"))
    assert bad == []
    assert [row["lot"] for row in rows] == ["LOT1", "Größe é", "LOT1"]
    assert [row["_line"] for row in rows] == [5, 11, 17]


def test_a_japanese_message_is_decoded_before_it_is_split():
    content = charges(charset="ISO IR87").decode().replace("LOT1", "薬剤").encode("iso2022_jp")
    rows, bad = read(content + charges("M2"))
    assert bad == []
    assert [row["lot"] for row in rows] == ["薬剤", "LOT1"]
    content = charges(charset="GB 18030-2000").decode().replace("LOT1", "药品㐀").encode("gb18030")
    assert read(content)[0][0]["lot"] == "药品㐀"


@pytest.mark.parametrize("charset", ["", "UNICODE UTF-8", "ASCII"])
def test_a_message_that_does_not_decode_is_refused_alone(charset):
    broken = charges("M2", charset=charset).replace(b"LOT1", b"L\xe9T")
    rows, bad = read(charges("M1") + broken + charges("M3"))
    assert [row["message_id"] for row in rows] == ["M1", "M3"]
    assert bad == [(7, "does not decode (MSH-18)")]


def test_an_unknown_character_set_refuses_only_what_is_not_ascii():
    assert read(charges(charset="EBCDIC"))[1] == []
    broken = charges(charset="EBCDIC").replace(b"LOT1", b"L\xe9T")
    assert read(broken) == ([], [(1, "declares an unknown character set (MSH-18)")])


# ---------------------------------------------------------------------------------------------- time stamps


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("20250301", "20250301000000"),
        ("2025030110", "20250301100000"),
        ("202503011015", "20250301101500"),
        ("20250301101530", "20250301101530"),
        ("20250301101530.1234", "20250301101530"),
        ("20250301101530-0600", "20250301101530"),
        ("20250301101530-0500", "20250301091530"),
        ("20250701101530-0500", "20250701101530"),
        ("20250301001530+0000", "20250228181530"),
        ("202503011015-0500", "20250301091500"),
        ("20250301101530.25-0500", "20250301091530"),
        ("20250301-0600", "20250301000000"),
        ("2025", "2025"),
        ("202503", "202503"),
        ("not a time", "not a time"),
        ("20251301101530-0500", "20251301101530-0500"),
    ],
)
def test_a_time_stamp_becomes_fourteen_digits_of_the_local_clock(sent, meant):
    content = charges("M1") + charges("M2", at=sent) + charges("M3")
    rows, bad = read(content)
    assert bad == []
    assert [row["message_time"] for row in rows] == ["20250301101500", meant, "20250301101500"]


# ---------------------------------------------------------------------------------------------- refused messages


def neighbours_live(broken, reason, line=7):
    rows, bad = read(charges("M1") + broken + charges("M3"))
    assert [row["message_id"] for row in rows] == ["M1", "M3"]
    assert bad == [(line, reason)]


def test_a_message_without_its_control_id_sender_or_type_is_refused_alone():
    neighbours_live(charges(""), "MSH-10 is empty")
    neighbours_live(charges('""'), "MSH-10 is empty")
    neighbours_live(charges("M2", facility=""), "MSH-4 is empty")
    neighbours_live(charges("M2", event="DFT"), "MSH-9 is empty")
    neighbours_live(charges("M2", event=""), "MSH-9 is empty")
    neighbours_live(b"MSH|^~\\&\r" + FT1.encode() + b"\r", "MSH ends after the delimiters")


def test_a_message_of_another_type_is_refused_and_says_its_type_only_when_that_is_one():
    neighbours_live(charges("M2", event="SIU^S12"), "a message of type SIU^S12 in a delivery that feeds DFT_P03_FT1")
    neighbours_live(charges("M2", event="DFT^P11"), "a message of type DFT^P11 in a delivery that feeds DFT_P03_FT1")
    neighbours_live(charges("M2", event="Jane Doe^x"), "a message of another type in a delivery that feeds DFT_P03_FT1")


def test_a_message_without_a_row_segment_is_refused():
    neighbours_live(message(header(control="M2"), PID, PV1), "no FT1 segment")
    rows, bad = read(message(header("MFN^M16"), "MFE|MAD"), ITEM)
    assert (rows, bad) == ([], [(1, "no ITM segment")])


def test_a_segment_without_an_id_refuses_its_message():
    neighbours_live(message(header(control="M2"), PID, "ft1|1", FT1.format(n=1)), "segment 3 has no segment id")
    neighbours_live(message(header(control="M2"), "PIDX|1", FT1.format(n=1)), "segment 2 has no segment id")
    neighbours_live(message(header(control="M2"), FT1.format(n=1), "broken text line"), "segment 3 has no segment id")


def test_a_control_character_refuses_its_message_but_a_tab_does_not():
    neighbours_live(charges("M2").replace(b"LOT1", b"LO\x00T"), "a control character in the message")
    rows, bad = read(charges().replace(b"LOT1", b"LO\tT"))
    assert (rows[0]["lot"], bad) == ("LO\tT", [])


def test_text_before_the_first_message_is_one_bad_row():
    rows, bad = read(b"garbage\nmore|of it\n" + charges())
    assert [row["_line"] for row in rows] == [7]
    assert bad == [(1, "text that belongs to no message, or a damaged header")]


def test_two_damaged_messages_are_two_bad_rows_and_text_without_a_message_before_it_is_one():
    damaged = charges("M2").replace(b"MSH", b"MXH")
    assert [line for line, _ in read(charges("M1") + damaged + damaged)[1]] == [7, 13]
    assert [line for line, _ in read(damaged + damaged + charges("M3"))[1]] == [1]
    assert [
        line for line, _ in read(batch(charges("M1")) + b"junk\r" + damaged + damaged + b"FHS|^~\\&\r" + damaged)[1]
    ] == [11, 25]


def test_text_without_a_message_is_one_bad_row_for_each_of_several_files():
    texts = [Text(number, b"junk\rMXH|^~\\&|\r") for number in range(3)]
    reading = hl7v2.read(texts, DELIVERY, [DFT])["DFT_P03_FT1"]
    assert [(row.index, row.line) for row in reading.bad] == [(0, 1), (1, 1), (2, 1)]


def test_text_between_batches_belongs_to_no_message():
    rows, bad = read(batch(charges("M1"), stated=1) + b"PID|1||9\rFT1|1\r" + charges("M2"))
    assert [row["message_id"] for row in rows] == ["M1", "M2"]
    assert bad == [(11, "text that belongs to no message, or a damaged header")]


@pytest.mark.parametrize(
    "damage", [b"MXH|^~\\&", b"\rSH|^~\\&", b"M\rH|^~\\&", b"MS\r|^~\\&", b"MSH\r|^~\\&", b"\x01SH|^~\\&", b"SH|^~\\&"]
)
def test_segments_below_a_damaged_header_do_not_join_the_message_before(damage):
    """Charges of one patient would land under another one otherwise."""
    rows, bad = read(charges("M1") + charges("M2").replace(b"MSH|^~\\&", damage, 1) + charges("M3"))
    assert [row["message_id"] for row in rows] == ["M1", "M3"]
    assert len(bad) == 1
    assert bad[0][0] in (7, 8)


@pytest.mark.parametrize("declared", [b"|^~\\|", b"|^~\\&#|"])
def test_a_damaged_header_is_known_by_the_encoding_characters_of_its_neighbours(declared):
    texts = [charges(each).replace(b"|^~\\&|", declared) for each in ("M1", "M2", "M3")]
    rows, bad = read(texts[0] + texts[1].replace(b"MSH", b"MXH") + texts[2])
    assert [row["message_id"] for row in rows] == ["M1", "M3"]
    assert [line for line, _ in bad] == [7]


@pytest.mark.parametrize("marks", ["|^~\\&", "#:;?!"])
def test_a_stray_byte_before_a_header_costs_no_message(marks):
    second = rewritten(charges("M2").replace(b"(01)", b"").replace(b"(21)", b""), marks)
    rows, bad = read(charges("M1") + b"X" + second + charges("M3"))
    assert [(row["message_id"], row["_line"]) for row in rows] == [("M1", 5), ("M2", 11), ("M3", 17)]
    assert bad == [(7, "text that belongs to no message, or a damaged header")]


@pytest.mark.parametrize("marks", ["|^~\\&", "#:;?!"])
def test_a_message_lives_when_the_line_end_before_it_is_lost(marks):
    first, second = (charges(each).replace(b"(01)", b"").replace(b"(21)", b"") for each in ("M1", "M2"))
    second = rewritten(second, marks)
    rows, bad = read(first[:-1] + b"X" + second + charges("M3"))
    assert [(row["message_id"], row["lot"], row["_line"]) for row in rows] == [("M2", "LOT1", 10), ("M3", "LOT1", 16)]
    assert bad == [(1, "the header of another message in the middle of a segment")]


def test_a_text_that_mentions_the_header_segment_is_a_text():
    rows, bad = read(charges().replace(b"LOT1", b"MSH segment, MSH-10"))
    assert (rows[0]["lot"], bad) == ("MSH segment, MSH-10", [])


def test_no_value_of_a_message_stands_in_a_reason():
    contents = [charges("M2", event="ZZDOE JANE^1960"), charges("M2").replace(b"PID|", b"JANE DOE|")]
    reasons = " ".join(reason for content in contents for _, reason in read(content)[1])
    assert "JANE" not in reasons
    assert "1960" not in reasons


# ---------------------------------------------------------------------------------------------- sites


def test_a_site_may_put_item_and_lot_elsewhere():
    sites = {
        "SHSH6": {
            "item_id": "OBX-5.1 where OBX-3.1 = ITEM",
            "lot": "OBX-5.1 where OBX-3.1 = LOT",
            "implant_id": "none",
        },
        "SHSH7": {"udi": "FT1-29.1"},
    }
    extract = replace(DFT, sites=sites)
    obx = ["OBX|1|ST|LOT^Lot||LX", "OBX|2|ST|ITEM||I6^x", "OBX|3|ST|ITEM||I7"]
    six = message(
        header(facility="SHSH6", control="M6"),
        "OBX|9|ST|ITEM||before",
        FT1.format(n=1),
        *obx,
        "ZFT|9|9|9|U",
        FT1.format(n=2),
    )
    seven = message(header(facility="SHSH7", control="M7"), FT1.format(n=1) + "|||U7" + "x" * 40, "ZFT|1|2|3|4")
    rows, bad = read(charges("M1") + six + seven + charges("M8"), extract)
    assert bad == []
    assert [(row["message_id"], row["item_id"], row["implant_id"], row["lot"], row["udi"]) for row in rows] == [
        ("M1", "101", "IMP1", "LOT1", "(01)00812345678906(21)S1"),
        ("M6", "I6", None, "LX", "U"),
        ("M6", None, None, None, None),
        ("M7", "1", "2", "3", "U7" + "x" * 40),
        ("M8", "101", "IMP1", "LOT1", "(01)00812345678906(21)S1"),
    ]


def test_a_source_that_is_no_place_in_a_message_is_a_contract_error():
    with pytest.raises(ContractError):
        read(charges(), made_extract({"value": "the third field"}), delivery=ANY_DELIVERY)


# ---------------------------------------------------------------------------------------------- many texts, large texts


def test_many_texts_are_read_in_one_call_and_keep_their_own_lines():
    texts = [Text(7 * number, charges(f"M{number}", 1 + number % 3), 1 + number) for number in range(300)]
    reading = hl7v2.read(texts, DELIVERY, [DFT])["DFT_P03_FT1"]
    expected = [(7 * number, 5 + number + 2 * each) for number in range(300) for each in range(1 + number % 3)]
    assert reading.frame.select("_text", "_line").rows() == expected


def test_texts_that_feed_different_extracts_are_read_in_one_call():
    texts = [
        Text(0, charges(), extracts=("DFT_P03_FT1",)),
        Text(1, ITEM_MASTER, extracts=("MFN_ITEM", "MFN_PACKAGE", "MFN_LOCATION")),
        Text(2, charges("M5"), extracts=("MFN_ITEM", "MFN_PACKAGE", "MFN_LOCATION")),
        Text(3, charges("M4"), extracts=("DFT_P03_FT1",)),
    ]
    readings = hl7v2.read(texts, DELIVERY, [DFT, SIU, ITEM, PACKAGE, LOCATION])
    assert readings["DFT_P03_FT1"].frame["_text"].to_list() == [0, 3]
    assert readings["MFN_PACKAGE"].frame["_text"].to_list() == [1, 1, 1]
    assert readings["SIU_APPT"].frame.height == 0
    assert readings["SIU_APPT"].frame.columns == [column.name for column in SIU.read_columns] + ["_text", "_line"]
    assert [(row.index, row.line, row.reason) for row in readings["MFN_ITEM"].bad] == [
        (2, 1, "a message of type DFT^P03 in a delivery that feeds MFN_ITEM")
    ]


def test_a_text_that_ends_without_a_line_end_does_not_run_into_the_next():
    texts = [Text(0, charges("M1")[:-1]), Text(1, b"\n" + charges("M2")[:-1]), Text(2, b"PID|1||5\rFT1|1\r")]
    reading = hl7v2.read(texts, DELIVERY, [DFT])["DFT_P03_FT1"]
    assert reading.frame.select("_text", "_line", "message_id").rows() == [(0, 5, "M1"), (1, 6, "M2")]
    assert [(row.index, row.line) for row in reading.bad] == [(2, 1)]


def test_a_large_text_in_chunks_reads_as_in_one(monkeypatch):
    content = b"".join(charges(f"M{number}", 1 + number % 4) for number in range(120))
    content += charges("", 2) + charges("ML").replace(b"LOT1", b"\xe9")
    whole = read(content)
    monkeypatch.setattr(hl7v2, "_CHUNK", 900)
    monkeypatch.setattr(hl7v2, "_WINDOW", 700)
    assert read(content) == whole
    assert look(content).rows == {"DFT_P03_FT1": len(whole[0]) + 3}
    assert look(batch(content, stated=122)).trailer == Trailer(agrees=True)


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
@pytest.mark.parametrize("size", [1, 300, 5000, 10**9])
def test_pieces_cut_before_messages_and_say_their_first_line(size, end):
    content = b"junk" + end + b"".join(charges(f"M{number}", 2).replace(b"\r", end) for number in range(12))
    content = content.replace(b"MSH", b"\x0bMSH", 3)
    found = list(hl7v2.pieces(content, size))
    assert [piece.start for piece in found][1:] == [piece.end for piece in found][:-1]
    assert (found[0].start, found[-1].end) == (0, len(content))
    rows, bad = [], []
    for piece in found:
        more, refused = read(content[piece.start : piece.end], first_line=piece.first_line)
        rows, bad = rows + more, bad + refused
    assert (rows, bad) == read(content)
    assert len(rows) == 24


def test_a_frame_holds_nothing_of_a_message_but_its_columns():
    """String views could point into the message; a frame that is kept or sent on would then carry its names along."""
    content = charges(rows=3).replace(b"LOT1", b"a rather long lot number " * 2).replace(b"LOT2", b"x" * 90)
    frame = read_all(content)["DFT_P03_FT1"].frame
    for series in frame.get_columns():
        buffers = series.to_arrow(compat_level=CompatLevel.newest()).buffers()
        assert all(b"ZZDOE" not in buffer.to_pybytes() for buffer in buffers if buffer is not None)


def test_pv1_fields_hold_for_every_charge_wherever_the_segment_stands():
    rows, _ = read(message(header(), FT1.format(n=1), FT1.format(n=2), PID, PV1))
    assert [(row["visit_no"], row["patient_id"]) for row in rows] == [("8001", "700123")] * 2
