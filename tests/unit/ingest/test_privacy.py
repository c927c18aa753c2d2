"""No patient passes the door: planted canaries are found nowhere in what ingest writes, prints or raises."""

import csv
import io
import logging
import stat

import polars as pl
import pytest

from ingest.contract import Token
from ingest.formats import delimited, format_of
from ingest.privacy import PARSERS, TokenKey, TokenKeyError, backup, check, tokens
from ingest.quarantine import explain, list_files, list_rows
from tests.unit.ingest.landing_builder import (
    CONTRACTS,
    Landing,
    everything_written,
    extract_of,
    lake,
    row,
    run,
    zipped,
)

KEY = TokenKey(b"k" * 32)

NAME = "Zyxwanda Quuxbury"
CANARIES = {
    "name": NAME,
    "social security number": "987-65-4321",
    "phone": "(312) 555-0184",
    "record number": "E7654321",
    "patient": "Z7654321",
    "account": "687654321",
    "encounter": "387654321",
    "birth date": "1931-07-29 00:00:00",
    "address": "77 Quuxbury Lane",
    "email": "zyx@quuxbury.example",
    "serial": "SNQX77665544",
    "scan": "01095212340000131027QX998877",
    "taxpayer": "98-7654329",
}
# What a canary may leave behind: nothing of it but the last four of a serial or a scanned string.
TRACES = [*CANARIES.values(), "Zyxwanda", "Quuxbury", "7654321", "98765432"]

BY_COLUMN = {
    "PAT_NAME": "name", "SSN": "social security number", "PAT_SSN": "social security number", "HOME_PHONE": "phone",
    "PAT_HOME_PHONE": "phone", "BIRTH_DATE": "birth date", "PAT_DOB": "birth date", "ADD_LINE_1": "address",
    "EMAIL_ADDRESS": "email", "EmailAddress": "email", "PAT_MRN_ID": "record number", "patient_mrn": "record number",
    "PAT_ID": "patient", "MERGED_INTO_PAT_ID": "patient", "HSP_ACCOUNT_ID": "account", "COMBINE_ACCT_ID": "account",
    "OLD_HSP_ACCOUNT_ID": "account", "ACCOUNT_ID": "account", "PAT_ENC_CSN_ID": "encounter", "OR_LINK_CSN": "encounter",
    "csn": "encounter", "SERIAL_NUMBER": "serial", "serial": "serial", "PO_USER_FLD_4": "serial", "udi_raw": "scan",
    "TAX_ID": "taxpayer", "TaxpayerId": "taxpayer",
}  # fmt: skip
FREE_TEXT = f"{NAME} {CANARIES['social security number']} acct {CANARIES['account']} {CANARIES['record number']}"


def planted(feed):
    """A row with a canary in every column that may hold a patient, and free text with all of them."""
    values = {}
    for column in extract_of(feed).columns.values():
        if column.name in BY_COLUMN:
            values[column.name] = CANARIES[BY_COLUMN[column.name]]
        elif column.drop or column.parse is not None or column.lands_if is not None:
            values[column.name] = FREE_TEXT
    return row(feed, **values)


TABLES = [
    extract
    for contract in CONTRACTS.values()
    for extract in contract.extracts.values()
    if format_of(extract.delivery) is delimited
]


def feeds_with_patients():
    return [extract.feed for extract in TABLES if planted(extract.feed) != row(extract.feed)]


def text_of(feed, lines):
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue().encode(CONTRACTS[feed.partition(".")[0]].delivery.encoding)


def deliver(landing, feed, day, lines, rows, **options):
    text = text_of(feed, lines)
    name = feed.partition(".")[2]
    content = zipped({f"{name}_1.csv": text}) if feed.startswith("erp_fusion.") else text
    landing.put(feed, day, content=content, stated_rows=rows, **options)


def assert_nothing_of_a_patient(written: bytes):
    for trace in TRACES:
        assert trace.encode() not in written, f"{trace!r} was written"


def test_every_direct_identifier_of_the_tables_has_a_canary():
    for extract in TABLES:
        for column in extract.columns.values():
            if column.phi == "direct" and column.name not in BY_COLUMN:
                assert column.drop, f"{extract.feed}.{column.name}"


def test_no_canary_is_written_from_good_rows(tmp_path, capfd, caplog):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    feeds = feeds_with_patients()
    assert len(feeds) > 15
    for feed in feeds:
        landing.put(feed, "20260101", [planted(feed)])
    with caplog.at_level(logging.DEBUG):
        report = run(landing, home)
    assert (report.rows_landed, report.rows_quarantined) == (len(feeds), 0)
    shown = capfd.readouterr()
    assert_nothing_of_a_patient(everything_written(home))
    assert_nothing_of_a_patient((shown.out + shown.err + caplog.text + repr(report)).encode())


def test_no_canary_is_written_from_bad_rows_ragged_rows_and_new_columns(tmp_path, capfd, caplog):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    for feed in feeds_with_patients():
        extract = extract_of(feed)
        names = list(extract.columns)
        good = planted(feed)
        broken = dict(good)
        for column in extract.read_columns:
            if column.type.name != "string":
                broken[column.name] = NAME
        short = [good[name] for name in names][: len(names) - 1]
        lines = [
            [*names, "GUARANTOR"],
            [*(broken[name] for name in names), FREE_TEXT],
            [*(good[name] for name in names), FREE_TEXT, NAME, FREE_TEXT],
            [NAME, *short],
            [NAME],
            [*(good[name] for name in names), FREE_TEXT],
        ]
        deliver(landing, feed, "20260101", lines, 5)
        # A line of data where the header should be, a cut file, and a zip that is none.
        deliver(landing, feed, "20260102", [[good[name] for name in names]] * 2, 1)
        deliver(landing, feed, "20260103", lines, 50)
        landing.put(feed, "20260104", content=FREE_TEXT.encode(), stated_rows=3)
    with caplog.at_level(logging.DEBUG):
        report = run(landing, home)
    assert report.rows_quarantined > 40
    shown = capfd.readouterr()
    told = repr(report) + repr(list_files(home)) + repr(list_rows(home))
    told += "".join(repr(explain(home, each.id)) for each in [*list_files(home), *list_rows(home)])
    assert_nothing_of_a_patient(everything_written(home))
    assert_nothing_of_a_patient((shown.out + shown.err + caplog.text + told).encode())


def test_the_same_identifier_is_the_same_token_in_every_system(tmp_path):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    landing.put("ehr.PAT_ENC_HSP", "20260101", [row("ehr.PAT_ENC_HSP", HSP_ACCOUNT_ID="600000001", PAT_ENC_CSN_ID="7")])
    landing.put("hb.HSP_ACCOUNT", "20260101", [row("hb.HSP_ACCOUNT", HSP_ACCOUNT_ID=" 0600000001")])
    landing.put("ehr.OR_IMP", "20260101", [row("ehr.OR_IMP", SERIAL_NUMBER="ab-1234")])
    landing.put("erp_lawson.POLINE", "20260101", [row("erp_lawson.POLINE", PO_USER_FLD_4="AB1234  ")])
    landing.put(
        "erp_fusion.PO_LINES", "20260101", [row("erp_fusion.PO_LINES", NoteToVendor="CASE 40000007 SN AB-1234")]
    )
    landing.put("pou.txn", "20260101", [row("pou.txn", serial="AB 1234", csn="007")])
    run(landing, home)
    account = lake(home, "hb.HSP_ACCOUNT")["HSP_ACCOUNT_ID"][0]
    assert account == lake(home, "ehr.PAT_ENC_HSP")["HSP_ACCOUNT_ID"][0] and account.startswith("t_")
    serials = {
        lake(home, "ehr.OR_IMP")["SERIAL_NUMBER"][0],
        lake(home, "erp_lawson.POLINE")["PO_USER_FLD_4"][0],
        lake(home, "erp_fusion.PO_LINES")["NoteToVendor__serial"][0],
        lake(home, "pou.txn")["serial"][0],
    }
    assert len(serials) == 1 and serials.pop().startswith("1234~t_")
    assert lake(home, "pou.txn")["csn"][0] == lake(home, "ehr.PAT_ENC_HSP")["PAT_ENC_CSN_ID"][0]
    assert lake(home, "erp_fusion.PO_LINES")["NoteToVendor__case_no"][0] == "40000007"


def test_test_patients_are_flagged_before_their_number_becomes_a_token(tmp_path):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    people = [row("ehr.PATIENT", PAT_ID=f"Z{n}", PAT_MRN_ID=mrn) for n, mrn in enumerate(["ZZ12", "E1234567", ""])]
    landing.put("ehr.PATIENT", "20260101", people)
    run(landing, home)
    assert lake(home, "ehr.PATIENT")["PAT_MRN_ID__is_test"].to_list() == ["Y", "N", "N"]


def test_many_tokens_are_the_tokens_of_the_standard_library():
    values = pl.Series("har", [str(600_000_000 + number) for number in range(3_000)] + [None, ""])
    made = tokens(values, Token("har", ("trim", "strip_zeros")), KEY)
    assert made[17] == KEY.token("har", "600000017")
    assert made[-2:].to_list() == [None, None]
    assert made.n_unique() == 3_001


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("40000001", "40000001"),
        (" 4000 0001 ", "40000001"),
        ("4OOO0001", "40000001"),
        ("CASE# 40000001", "40000001"),
        ("600000001", None),
        ("E1234567", None),
        ("SMITH, JOHN", None),
        ("40000001 SMITH", None),
    ],
)
def test_a_typed_case_number_is_found_and_nothing_else(text, found):
    frame = pl.DataFrame({"text": [text]})
    assert frame.select(PARSERS["typed_case_no"](pl.col("text"))).item() == found


def test_keys_are_found_in_a_note_and_the_rest_stays_outside():
    note = pl.DataFrame({"text": ["CASE 40000O12 LOT: a-77/ SN# X9Y8 Smith", "call Dr. Smith", "CASE 123456789"]})
    found = note.select(
        PARSERS["noted_case_no"](pl.col("text")).alias("case_no"),
        PARSERS["noted_lot"](pl.col("text")).alias("lot"),
        PARSERS["noted_serial"](pl.col("text")).alias("serial"),
    )
    assert found.rows() == [("40000012", "A-77", "X9Y8"), (None, None, None), (None, None, None)]


def test_references_land_only_in_the_form_of_a_document_number(tmp_path):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    said = ["RP00000667-1", "40000001", "SMITH", "SMITH JOHN 1931", "TO00000012"]
    lines = [row("erp_lawson.REQLINE", LINE_NBR=str(number), SOURCE_REF=text) for number, text in enumerate(said)]
    landing.put("erp_lawson.REQLINE", "20260101", lines)
    books = [
        row("erp_lawson.GLTRANS", LINE_NBR=str(n), REFERENCE=text)
        for n, text in enumerate(["AP20260101", "see J. Doe"])
    ]
    landing.put("erp_lawson.GLTRANS", "20260101", books)
    run(landing, home)
    assert lake(home, "erp_lawson.REQLINE")["SOURCE_REF"].to_list() == [
        "RP00000667-1",
        "40000001",
        None,
        None,
        "TO00000012",
    ]
    assert lake(home, "erp_lawson.GLTRANS")["REFERENCE"].to_list() == ["AP20260101", None]


def test_the_token_key_is_made_once_private_and_outside_the_lake(tmp_path):
    first = TokenKey.load_or_create(tmp_path)
    path = TokenKey.path(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "lake" not in path.parts
    assert TokenKey.load_or_create(tmp_path) == first
    assert first.secret.hex() not in repr(first)


def test_the_token_key_is_backed_up_and_checked(tmp_path):
    home, copy = tmp_path / "home", tmp_path / "safe" / "token.key"
    TokenKey.load_or_create(home)
    assert check(home) == []
    fingerprint = backup(home, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert check(home, landed_with=fingerprint) == []
    TokenKey.path(home).chmod(0o644)
    assert "readable by others" in check(home)[0]
    TokenKey.path(home).unlink()
    assert "restore" in check(home)[0]
    TokenKey.load_or_create(home)
    assert "restore" in check(home, landed_with=fingerprint)[0]
    with pytest.raises(TokenKeyError, match="another token key"):
        backup(home, copy)


def test_a_lake_is_not_landed_with_a_second_key(tmp_path):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    landing.put("ehr.PATIENT", "20260101", [row("ehr.PATIENT")])
    run(landing, home)
    TokenKey.path(home).unlink()
    with pytest.raises(TokenKeyError, match="restore"):
        run(landing, home)
    TokenKey.load_or_create(home)
    with pytest.raises(TokenKeyError, match="landed with token key"):
        run(landing, home)
