"""Locate gives places in deliveries and nothing of what stands there."""

import gzip
import logging

import pytest

from ingest.locate import NotLocated, locate
from tests.unit.ingest.landing_builder import Landing, everything_written, row, run

REQ = "erp_fusion.REQ_HEADERS"


@pytest.fixture
def world(tmp_path):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    landing.put("hb.HSP_ACCOUNT", "20260101", [row("hb.HSP_ACCOUNT", HSP_ACCOUNT_ID=f"60000000{n}") for n in range(4)])
    landing.put(REQ, "20260101", [row(REQ, RequisitionHeaderId=str(n)) for n in range(4)], parts=2)
    run(landing, home)
    return landing, home


def test_an_evidence_becomes_a_place(world):
    landing, home = world
    (place,) = locate(home, landing.root, {"file": "hb/20260101/HSP_ACCOUNT.csv", "line": 3})
    assert place.path == landing.root / "hb/20260101/HSP_ACCOUNT.csv"
    assert (place.line, place.is_there) == (3, True)


def test_a_part_of_a_zip_is_named(world):
    landing, home = world
    (place,) = locate(home, landing.root, "erp_fusion.REQ_HEADERS|RequisitionHeaderId=3")
    assert (place.part, place.line, place.is_there) == ("REQ_HEADERS_2.csv", 3, True)


def test_an_identifier_is_found_by_its_token_and_left_nowhere(world, caplog):
    landing, home = world
    with caplog.at_level(logging.INFO):
        (place,) = locate(home, landing.root, "HSP_ACCOUNT_ID=600000002")
    assert (place.file, place.line) == ("hb/20260101/HSP_ACCOUNT.csv", 4)
    assert "line 4" in caplog.text and "600000002" not in caplog.text
    assert b"600000002" not in everything_written(home)


def test_a_delivery_that_is_gone_is_said_to_be_gone(world):
    landing, home = world
    (place,) = locate(home, landing.root, "hb/20250101/HSP_ACCOUNT.csv:7")
    assert not place.is_there


@pytest.mark.parametrize("key", ["HSP_ACCOUNT_ID=1", "nonsense", "NO_SUCH_COLUMN=1", "hb.HSP_ACCOUNT|x"])
def test_a_key_that_names_no_place_is_refused(world, key):
    landing, home = world
    with pytest.raises(NotLocated):
        locate(home, landing.root, key)


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("ehr_hl7/20260101/DFT_20260101_08.hl7", b"MSH|\rPID|\rFT1|\r", 3),
        ("ehr_hl7/20260101/ADT_20260101_08.hl7", b"MSH|\r\nPID|\r\nPV1|", 3),
        ("edi/20260101/810/A_1.edi", b"ISA" + b"*" * 102 + b"~\nGS*1~\nST~\n", 3),
        ("ehr_fhir/20260101/Device.1.ndjson.gz", gzip.compress(b"{}\n{}\n", mtime=0), 2),
    ],
    ids=["CR", "CR LF", "segments", "resources"],
)
def test_a_line_of_a_document_is_a_segment_or_a_resource(tmp_path, name, content, lines):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert [locate(tmp_path, tmp_path, f"{name}:{line}")[0].is_there for line in (1, lines, lines + 1)] == [
        True,
        True,
        False,
    ]
