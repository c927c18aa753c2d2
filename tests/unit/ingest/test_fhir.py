"""FHIR R4 bulk export: what a line becomes, oddity by oddity."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract import load_contracts
from ingest.formats import fhir
from ingest.formats.reading import Text

CONTRACT = load_contracts()["ehr_fhir"]
DELIVERY, EXTRACTS = CONTRACT.delivery, CONTRACT.extracts
CORPUS = Path(__file__).parent / "fixtures" / "fhir" / "corpus"
EXAMPLES = next(
    (parent / "shared/thirdparty/fhir" for parent in Path(__file__).parents if (parent / "shared/thirdparty").is_dir()),
    None,
)
CASE = {"system": "urn:shs:h8:case", "value": "E-2026-000001"}
MOMENT = "2026-04-30T09:12:00.000Z"


def resource(kind="SupplyDelivery", id="r1", **elements):
    return {"resourceType": kind, "id": id, "meta": {"versionId": "3", "lastUpdated": MOMENT}, **elements}


def line(what) -> bytes:
    return what if isinstance(what, bytes) else json.dumps(what, separators=(",", ":"), ensure_ascii=False).encode()


def lines(*each) -> bytes:
    return b"".join(line(what) + b"\n" for what in each)


def read(content: bytes, kind="SupplyDelivery", **more):
    """The reading by the query; line by line it must be the same."""
    fed = DELIVERY.reads[kind]
    texts = [Text(7, content, extracts=fed, **more)]
    extracts = {name: EXTRACTS[name] for name in fed}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fhir, "_FEW", 10**9)
        alone = fhir.read(texts, DELIVERY, extracts)
        patch.setattr(fhir, "_FEW", 0)
        found = fhir.read(texts, DELIVERY, extracts)
    for name in fed:
        assert found[name].frame.equals(alone[name].frame)
        assert found[name].bad == alone[name].bad
    return found


def rows(content: bytes, kind="SupplyDelivery", **more):
    reading = read(content, kind, **more)[kind]
    assert reading.bad == []
    return reading.frame.to_dicts()


def row(what, kind=None):
    kind = kind or what["resourceType"]
    return rows(lines(what), kind)[0]


def refusals(content: bytes, kind="SupplyDelivery"):
    return [(bad.line, bad.column, bad.reason) for bad in read(content, kind)[DELIVERY.reads[kind][0]].bad]


# Values ---------------------------------------------------------------------------------------------------------------


def test_a_usage_line_has_every_column_of_the_contract():
    what = resource(
        identifier=[{"system": "urn:other", "value": "x"}, CASE],
        status="completed",
        patient={"reference": "Patient/p1"},
        suppliedItem={
            "quantity": {"value": 2, "unit": "EA"},
            "itemCodeableConcept": {
                "coding": [
                    {"system": "urn:shs:mmis-item", "code": "E00012"},
                    {"system": "urn:gs1:gtin", "code": "09521234000013"},
                ]
            },
        },
        occurrenceDateTime="2026-04-29T10:15:00-04:00",
        destination={"reference": "Location/or-3"},
    )
    assert row(what) == {
        "id": "r1",
        "version_id": "3",
        "last_updated": MOMENT,
        "status": "completed",
        "case_no": "E-2026-000001",
        "item_no": "E00012",
        "gtin": "09521234000013",
        "device_id": None,
        "quantity": "2",
        "unit": "EA",
        "occurrence": "2026-04-29T10:15:00-04:00",
        "patient_id": "p1",
        "destination_id": "or-3",
        "_op": "U",
        "_text": 7,
        "_line": 1,
    }


def test_every_extract_gives_its_columns_and_no_dropped_one():
    readings = fhir.read([], DELIVERY, EXTRACTS)
    for name, extract in EXTRACTS.items():
        assert readings[name].frame.columns == [*(c.name for c in extract.read_columns), "_op", "_text", "_line"]
    assert {"name", "birth_date", "telecom", "address"}.isdisjoint(readings["Patient"].frame.columns)


@pytest.mark.parametrize(
    ("reference", "id"),
    [
        ("Device/dev-1", "dev-1"),
        ("Device/dev-1/_history/2", "dev-1"),
        ("https://fhir.h8.example/r4/Device/dev-1", "dev-1"),
        ("http://fhir.h8.example/Device/dev-1/_history/17", "dev-1"),
        ("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"),
        ("urn:oid:1.2.840.1", "1.2.840.1"),
        ("#dev1", "dev1"),
        ("dev-1", "dev-1"),
        ("Device/dev_1.x-Y", "dev_1.x-Y"),
        ("", None),
        ("#", None),
        ("Device/", None),
        ("Device?identifier=urn:x|1", None),
        ("Medication/m1", None),
        ("https://fhir.h8.example/r4/Medication/m1", None),
    ],
)
def test_a_reference_becomes_the_id_of_the_resource_it_names(reference, id):
    assert row(resource(suppliedItem={"itemReference": {"reference": reference}}))["device_id"] == id


@pytest.mark.parametrize(
    ("contained", "id"),
    [
        ([{"resourceType": "Device", "id": "dev1"}], "dev1"),
        ([{"resourceType": "Device", "id": "other"}], "dev1"),
        ([{"resourceType": "Medication", "id": "dev1"}], None),
        ([], "dev1"),
    ],
)
def test_a_contained_reference_gives_its_id_unless_it_is_of_another_type(contained, id):
    what = resource(contained=contained, suppliedItem={"itemReference": {"reference": "#dev1"}})
    assert row(what)["device_id"] == id


def test_references_of_all_forms_in_one_file_become_the_same_id():
    """Quirk Q34: absolute, relative and contained mixed."""
    forms = ["Device/d1", "https://h8/r4/Device/d1", "#d1", "urn:uuid:d1", "Device/d1/_history/4"]
    content = lines(
        *(resource(id=f"r{n}", suppliedItem={"itemReference": {"reference": f}}) for n, f in enumerate(forms))
    )
    assert [row["device_id"] for row in rows(content)] == ["d1"] * len(forms)


def test_a_reference_without_a_type_in_the_contract_gives_the_id_of_any_type():
    assert (
        row(resource("Encounter", serviceProvider={"reference": "Organization/org-h8-east"}))["service_provider"]
        == "org-h8-east"
    )


@pytest.mark.parametrize(
    ("sent", "landed"),
    [
        ("2.50", "2.50"),
        ("2", "2"),
        ("1e2", "100"),
        ("1.5E-1", "0.15"),
        ("0.1", "0.1"),
        ("-0.5", "-0.5"),
        ("12345678901234.5678", "12345678901234.5678"),
        ("0.30000000000000000000000000004", "0.30000000000000000000000000004"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('"2.50"', "2.50"),
        ("null", None),
        ("1e999", "1e999"),
        (" 2.50 ", "2.50"),
    ],
)
def test_a_decimal_keeps_the_digits_that_were_sent(sent, landed):
    content = lines(resource(suppliedItem={"quantity": {"value": "@"}})).replace(b'"@"', sent.encode())
    assert rows(content)[0]["quantity"] == landed


def test_a_number_where_text_is_due_keeps_its_digits():
    content = lines(resource("Device", lotNumber="@", serialNumber=12)).replace(b'"@"', b"12.50")
    found = rows(content, "Device")[0]
    assert (found["lot"], found["serial"]) == ("12.50", "12")


@pytest.mark.parametrize(
    "number", ["2.-", "01", "+1", "1.", ".5", "1e", "-", "1e+", "--1", "1.5.5", "0x1", "1 2", "1e5e5", "- 1"]
)
def test_a_quantity_that_is_no_number_of_json_is_refused(number):
    content = lines(GOOD, resource(suppliedItem={"quantity": {"value": "@"}}), GOOD).replace(b'"@"', number.encode())
    assert refusals(content) == [(2, None, "the line is no JSON object")]


@pytest.mark.parametrize("note", ['"value":2.50', '\\"value\\": 1e5', ":5", '":5', '"value":', "value"])
def test_text_that_looks_like_a_quantity_does_not_move_the_quantity(note):
    what = resource(
        note=note,
        text={"div": note},
        suppliedItem={"quantity": {"value": "@", "unit": ":5 EA"}},
        **{'"value': {"value": 1.5}, "value": note},
    )
    content = line(what).replace(b'"@"', b"2.50") + b"\n"
    found = rows(content)[0]
    assert (found["quantity"], found["unit"]) == ("2.50", ":5 EA")


@pytest.mark.parametrize(("sent", "landed"), [(True, "true"), (False, "false"), (None, None)])
def test_active_is_true_or_false(sent, landed):
    assert row(resource("Patient", active=sent))["active"] == landed


@pytest.mark.parametrize(
    ("tags", "is_test"),
    [
        ([{"code": "HTEST"}], "true"),
        ([{"code": "x"}, {"code": "HTEST"}], "true"),
        ([{"code": "x"}], "false"),
        ([], "false"),
    ],
)
def test_a_test_patient_is_known_by_the_tag(tags, is_test):
    what = resource("Patient")
    what["meta"]["tag"] = tags
    assert row(what)["is_test"] == is_test
    assert row(resource("Patient"))["is_test"] == "false"


def test_a_merged_patient_names_the_survivor():
    links = [
        {"type": "seealso", "other": {"reference": "Patient/p8"}},
        {"type": "replaced-by", "other": {"reference": "https://h8/r4/Patient/p9"}},
    ]
    assert row(resource("Patient", link=links))["replaced_by"] == "p9"


def test_an_identifier_marked_old_yields_to_the_valid_one_and_counts_alone():
    old, new = (
        {"use": use, "system": "urn:shs:h8:mrn", "value": value} for use, value in (("old", "M1"), ("usual", "M2"))
    )
    assert row(resource("Patient", identifier=[old, new]))["mrn"] == "M2"
    assert row(resource("Patient", identifier=[old]))["mrn"] == "M1"


def test_performed_is_the_start_of_the_period_or_the_moment():
    period = {"performedPeriod": {"start": "2026-04-29T10:00:00-04:00", "end": "2026-04-29T11:00:00-04:00"}}
    moment = {"performedDateTime": "2026-04-28"}
    assert row(resource("Procedure", **period))["performed_start"] == "2026-04-29T10:00:00-04:00"
    assert row(resource("Procedure", **moment))["performed_start"] == "2026-04-28"
    assert row(resource("Procedure", **period, **moment))["performed_end"] == "2026-04-29T11:00:00-04:00"
    assert row(resource("Procedure", performedString="last year"))["performed_start"] is None


def test_the_code_of_a_system_is_taken_and_no_other():
    coding = [
        {"system": "http://snomed.info/sct", "code": "1"},
        {"system": "http://www.ama-assn.org/go/cpt", "code": "27447"},
    ]
    assert row(resource("Procedure", code={"coding": coding, "text": "knee"}))["code"] == "27447"
    assert row(resource("Procedure", code={"coding": coding[:1]}))["code"] is None


def test_the_first_of_a_repeating_element_is_taken():
    what = resource("Location", type=[{"coding": [{"code": "OR"}, {"code": "WARD"}]}, {"coding": [{"code": "IR"}]}])
    assert row(what)["type_code"] == "OR"
    assert row(resource("Location", type=[]))["type_code"] is None
    assert row(resource("Location", type=[{}]))["type_code"] is None


def test_every_focal_device_is_a_row_with_its_index():
    what = resource(
        "Procedure",
        "p1",
        focalDevice=[
            {"action": {"coding": [{"code": "implanted"}]}, "manipulated": {"reference": "Device/d1"}},
            {"manipulated": {"reference": "https://h8/Device/d2/_history/1"}},
            {"action": {"coding": [{"code": "explanted"}]}, "manipulated": {"reference": "#d3"}},
        ],
    )
    other = resource("Procedure", "p2")
    found = read(lines(other, what, resource("Procedure", "p3", focalDevice=[])), "Procedure")
    assert found["Procedure"].frame["id"].to_list() == ["p2", "p1", "p3"]
    columns = ("procedure_id", "seq", "action", "device_id", "last_updated", "_line")
    assert found["ProcedureDevice"].frame.select(columns).rows() == [
        ("p1", "0", "implanted", "d1", MOMENT, 2),
        ("p1", "1", None, "d2", MOMENT, 2),
        ("p1", "2", "explanted", "d3", MOMENT, 2),
    ]
    assert not found["Procedure"].bad and not found["ProcedureDevice"].bad


def test_text_is_unescaped_whatever_it_holds():
    name = 'Herz-"Schrittmacher" \\ \u00e9\u4e2d\U0001f600\n\t{x}'
    assert row(resource("Location", name=name))["name"] == name
    content = json.dumps(resource("Location", name=name), ensure_ascii=True).encode()
    assert rows(content, "Location")[0]["name"] == name
    coding = [{"system": "urn:shs:cdm", "code": 'a"b\\\u00e9'}]
    assert row(resource("ChargeItem", code={"coding": coding}))["code"] == 'a"b\\\u00e9'


def test_a_resource_with_many_elements_is_read_like_any_other():
    assert row(resource(note=[{"a": [{"text": "{" * 400}]}] * 400, status="completed"))["status"] == "completed"


def test_empty_text_and_null_are_null():
    found = row(resource("Device", status="", lotNumber=None, serialNumber=" s "))
    assert (found["status"], found["lot"], found["serial"]) == (None, None, " s ")


# Lines ----------------------------------------------------------------------------------------------------------------

GOOD = resource(id="good")


@pytest.mark.parametrize(
    ("broken", "column", "reason"),
    [
        (b"{", None, "the line is no JSON object"),
        (b"[]", None, "the line is no JSON object"),
        (b'"text"', None, "the line is no JSON object"),
        (b"null", None, "the line is no JSON object"),
        (b"17", None, "the line is no JSON object"),
        (line(resource())[:-5], None, "the line is no JSON object"),
        (line(resource()) + line(resource()), None, "the line is no JSON object"),
        (line(resource())[:-1] + b",}", None, "the line is no JSON object"),
        (line(resource(x=0)).replace(b":0", b":NaN"), None, "the line is no JSON object"),
        (line(resource(x=0)).replace(b":0", b":-Infinity"), None, "the line is no JSON object"),
        (line(resource(x=0)).replace(b":0", b":01"), None, "the line is no JSON object"),
        (line(resource(x="@")).replace(b"@", b"\t"), None, "the line is no JSON object"),
        (line(resource(status="@")).replace(b"@", b"\\ud800"), None, "the line is no JSON object"),
        (line(resource(status="@")).replace(b"@", b"\xff\xfe"), None, "the line is not UTF-8"),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, None, "the line is nested too deep"),
        (b'{"a":' * 400 + b"1" + b"}" * 400, None, "the line is nested too deep"),
        (b"[" * 100_000, None, "the line is nested too deep"),
        (b"\x00\x01\x02", None, "the line is no JSON object"),
        (line({}), None, "no resource type in a delivery that feeds SupplyDelivery"),
        (line(resource(5)), None, "no resource type in a delivery that feeds SupplyDelivery"),
        (line(resource(True)), None, "no resource type in a delivery that feeds SupplyDelivery"),
        (line(resource("Zacharias")), None, "no resource type in a delivery that feeds SupplyDelivery"),
        (line(resource("Claim")), None, "a Claim resource in a delivery that feeds SupplyDelivery"),
        (line(resource("supplydelivery")), None, "no resource type in a delivery that feeds SupplyDelivery"),
        (line({"resourceType": "SupplyDelivery"}), "id", "the resource has no id"),
        (line(resource(id="")), "id", "the resource has no id"),
        (line(resource(id=None)), "id", "the resource has no id"),
        (line(resource(id=["r1"])), "id", "an element is of another kind than FHIR R4 gives it"),
        (line(resource(status={"a": 1})), "status", "an element is of another kind than FHIR R4 gives it"),
        (line(resource(status=["a"])), "status", "an element is of another kind than FHIR R4 gives it"),
        (line(resource(patient="Patient/1")), "patient_id", "an element is of another kind than FHIR R4 gives it"),
        (line(resource(patient=[{}])), "patient_id", "an element is of another kind than FHIR R4 gives it"),
        (line(resource(identifier={})), "case_no", "an element is of another kind than FHIR R4 gives it"),
        (
            line(resource(identifier=[{"system": "urn:shs:h8:case", "value": {}}])),
            "case_no",
            "an element is of another kind than FHIR R4 gives it",
        ),
    ],
)
def test_a_broken_line_is_one_bad_row_and_its_neighbours_land(broken, column, reason):
    content = lines(GOOD, broken, resource(id="after"))
    found = read(content)["SupplyDelivery"]
    assert found.frame["id"].to_list() == ["good", "after"]
    assert found.frame["_line"].to_list() == [1, 3]
    assert [(bad.index, bad.line, bad.column, bad.reason) for bad in found.bad] == [(7, 2, column, reason)]


def test_a_focal_device_may_be_contained():
    contained = [{"resourceType": "Device", "id": "d1"}, {"resourceType": "Medication", "id": "m1"}]
    focal = [{"manipulated": {"reference": reference}} for reference in ("#d1", "#m1", "#x", "Device/d2")]
    what = resource("Procedure", contained=contained, focalDevice=focal)
    found = read(lines(what, resource("Procedure", focalDevice=focal[3:])), "Procedure")["ProcedureDevice"]
    assert found.frame["device_id"].to_list() == ["d1", None, "x", "d2", "d2"]


def test_a_refused_procedure_has_no_device_rows():
    what = resource(
        "Procedure", focalDevice=[{"manipulated": {"reference": "Device/d1"}}, {"manipulated": "Device/d2"}]
    )
    found = read(lines(what, resource("Procedure", focalDevice={})), "Procedure")
    assert found["Procedure"].frame.is_empty() and found["ProcedureDevice"].frame.is_empty()
    assert [bad.line for bad in found["Procedure"].bad] == [1, 2]
    assert found["ProcedureDevice"].bad == []


def test_a_device_without_reference_keeps_its_row_for_the_contract_to_judge():
    what = resource("Procedure", focalDevice=[{"action": {"coding": [{"code": "implanted"}]}}, None])
    assert read(lines(what), "Procedure")["ProcedureDevice"].frame["device_id"].to_list() == [None, None]


def test_the_reason_of_a_refusal_holds_nothing_of_the_line():
    secret = "Zacharias-1947"
    broken = [
        line(resource(id=secret))[:-3],
        line(resource(secret)),
        line(resource(status={secret: secret})),
        f'{{"a":"{secret}\\ud800"}}'.encode(),
    ]
    assert all(secret not in str(bad) for bad in read(lines(*broken))["SupplyDelivery"].bad)


def test_blank_lines_are_no_rows_and_count_as_lines():
    content = b"\n\r\n" + line(GOOD) + b"\r\n   \n\t\r\n" + line(resource(id="b")) + b"\n\n\n"
    assert [(row["id"], row["_line"]) for row in rows(content)] == [("good", 3), ("b", 6)]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\r\n", b"  ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_file_without_resources_has_no_rows(content):
    assert rows(content) == []
    assert fhir.look(content, DELIVERY, [EXTRACTS["SupplyDelivery"]]).rows == {"SupplyDelivery": 0}


def test_a_byte_order_mark_and_a_missing_last_line_end_do_no_harm():
    content = b"\xef\xbb\xbf" + line(GOOD) + b"\n" + line(resource(id="b"))
    assert [row["id"] for row in rows(content)] == ["good", "b"]


def test_lines_are_counted_from_the_first_line_of_a_piece():
    found = read(lines(GOOD, b"{", GOOD), first_line=101)["SupplyDelivery"]
    assert found.frame["_line"].to_list() == [101, 103]
    assert [bad.line for bad in found.bad] == [102]


def test_carriage_returns_inside_a_line_are_white_space():
    assert rows(line(GOOD).replace(b'":', b'":\r ') + b"\r\n")[0]["id"] == "good"


def test_a_name_that_stands_twice_counts_once():
    content = b'{"resourceType":"SupplyDelivery","id":"a","id":"b","status":"x","status":5.50}\n'
    assert [(row["id"], row["status"]) for row in rows(content)] == [("a", "x")]


def test_a_file_of_several_types_feeds_each_its_own():
    content = lines(
        {"contained": [{"resourceType": "Patient", "id": "x"}], **resource("Device", "d1")},
        resource("Patient", "p1"),
        b"{",
        resource("Claim", "c1"),
        resource("Procedure", "pr1", focalDevice=[{"manipulated": {"reference": "Device/d1"}}]),
    )
    found = fhir.read([Text(0, content)], DELIVERY, EXTRACTS)
    assert {name: each.frame.height for name, each in found.items() if each.frame.height} == {
        "Device": 1,
        "Patient": 1,
        "Procedure": 1,
        "ProcedureDevice": 1,
    }
    assert [bad.line for bad in found["Patient"].bad] == [3, 4]
    assert sum(len(each.bad) for each in found.values()) == 2


def test_many_texts_keep_their_order_and_their_lines():
    """Quirk Q39: another split on every export, one part empty."""
    texts = [
        Text(4, lines(resource(id="a"), resource(id="b")), extracts=("SupplyDelivery",)),
        Text(9, b"", extracts=("SupplyDelivery",)),
        Text(2, lines(b"{", resource(id="c")), extracts=("SupplyDelivery",), first_line=11),
        Text(3, lines(resource("Device", "d")), extracts=("Device",)),
    ]
    found = fhir.read(texts, DELIVERY, EXTRACTS)
    assert sorted(found["SupplyDelivery"].frame.select("_text", "_line", "id").rows()) == [
        (2, 12, "c"),
        (4, 1, "a"),
        (4, 2, "b"),
    ]
    assert found["Device"].frame.select("_text", "_line", "id").rows() == [(3, 1, "d")]
    assert [(bad.index, bad.line) for bad in found["SupplyDelivery"].bad] == [(2, 11)]


# Deletions ------------------------------------------------------------------------------------------------------------


def deletion(*urls, method="DELETE", **bundle):
    entries = [{"request": {"method": method, "url": url}} for url in urls]
    return {"resourceType": "Bundle", "id": "x", "type": "transaction", "entry": entries, **bundle}


def deleted(content: bytes, stated_at: str | None = MOMENT):
    text = Text(5, content, extracts=tuple(EXTRACTS), stated_at=stated_at, is_deletion=True)
    return fhir.read([text], DELIVERY, EXTRACTS)


def test_a_deletion_is_a_row_of_the_type_with_the_moment_as_its_version():
    found = deleted(lines(deletion("SupplyDelivery/s1", "https://h8/r4/Procedure/p1"), deletion("SupplyDelivery/s2")))
    frame = found["SupplyDelivery"].frame
    assert frame.select("id", "last_updated", "version_id", "_op", "_text", "_line").rows() == [
        ("s1", MOMENT, f"deleted {MOMENT}", "D", 5, 1),
        ("s2", MOMENT, f"deleted {MOMENT}", "D", 5, 2),
    ]
    assert frame.select("status", "case_no", "patient_id").null_count().row(0) == (2, 2, 2)
    assert found["Procedure"].frame["id"].to_list() == ["p1"]
    assert found["ProcedureDevice"].frame.is_empty()
    assert all(each.bad == [] for each in found.values())


@pytest.mark.parametrize(
    ("bundle", "moment"),
    [
        (
            {"meta": {"lastUpdated": "2026-05-01T00:00:00Z"}, "timestamp": "2026-05-02T00:00:00Z"},
            "2026-05-01T00:00:00Z",
        ),
        ({"timestamp": "2026-05-02T00:00:00Z"}, "2026-05-02T00:00:00Z"),
    ],
)
def test_without_a_stated_moment_the_bundle_tells_it(bundle, moment):
    found = deleted(lines(deletion("Device/d1", **bundle)), stated_at=None)
    assert found["Device"].frame["last_updated"].to_list() == [moment]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            deletion("Claim/c1", "Organization/o1", "Claim/c2"),
            "no extract of the contract takes deletions of Claim; "
            "no extract of the contract takes deletions of Organization",
        ),
        (deletion("Device?identifier=urn:x|1"), "an entry of a Bundle of deletions that deletes no resource"),
        (deletion("Device/d1", method="PUT"), "an entry of a Bundle of deletions that deletes no resource"),
        (deletion(None), "an entry of a Bundle of deletions that deletes no resource"),
        (
            {"resourceType": "Bundle", "entry": [5, {"request": 5}]},
            "an entry of a Bundle of deletions that deletes no resource",
        ),
        (resource("Device"), "no Bundle in a file of deletions"),
        ({"resourceType": "Bundle", "entry": {}}, "no Bundle in a file of deletions"),
        (b"{", "the line is no JSON object"),
        (b"\xff", "the line is not UTF-8"),
    ],
)
def test_a_line_that_deletes_nothing_known_is_one_bad_row(content, reason):
    found = deleted(lines(deletion("Device/before"), content, b"", deletion("Device/after")))
    assert found["Device"].frame.select("id", "_line").rows() == [("before", 1), ("after", 4)]
    assert [(bad.line, bad.reason) for each in found.values() for bad in each.bad] == [(2, reason)]


def test_a_deletion_that_says_no_moment_is_refused():
    found = deleted(lines(deletion("Device/d1")), stated_at=None)
    assert found["Device"].frame.is_empty()
    assert [bad.reason for each in found.values() for bad in each.bad] == ["no moment is stated for the deletions"]


def test_known_and_foreign_entries_of_one_bundle_part_ways():
    found = deleted(lines(deletion("Claim/c1", "Device/d1")))
    assert found["Device"].frame["id"].to_list() == ["d1"]
    assert sum(len(each.bad) for each in found.values()) == 1


# Looking and cutting --------------------------------------------------------------------------------------------------


def test_a_look_counts_the_lines_that_hold_something():
    content = lines(GOOD, GOOD, b"{", b"", GOOD)[:-1]
    assert fhir.look(content, DELIVERY, [EXTRACTS["SupplyDelivery"]]).rows == {"SupplyDelivery": 4}
    assert fhir.look(b"", DELIVERY, [EXTRACTS["SupplyDelivery"]]).rows == {"SupplyDelivery": 0}
    assert fhir.look(b"\n \n", DELIVERY, EXTRACTS).rows == dict.fromkeys(EXTRACTS, 0)


def test_a_look_counts_the_devices_of_procedures():
    what = resource("Procedure", focalDevice=[{"manipulated": {"reference": "Device/d1"}}] * 2)
    feeds = {name: EXTRACTS[name] for name in DELIVERY.reads["Procedure"]}
    assert fhir.look(lines(what, what), DELIVERY, feeds).rows == {"Procedure": 2, "ProcedureDevice": 4}
    assert fhir.look(lines(resource("Procedure")), DELIVERY, feeds).rows == {"Procedure": 1, "ProcedureDevice": 0}


def test_a_look_counts_deletions_by_type_and_all_of_them_with_the_first_extract():
    content = lines(deletion("Device/d1", "http://h8/Device/d2"), deletion("Location/l1", "Claim/c1"))
    found = fhir.look(content, DELIVERY, EXTRACTS).rows
    assert (found["Patient"], found["Device"], found["Location"], found["ProcedureDevice"]) == (4, 2, 1, 0)


@pytest.mark.parametrize("size", [1, 20, 100, 10_000])
def test_pieces_are_the_whole_in_order_and_end_at_line_ends(size):
    content = lines(*(resource(id=f"r{n}") for n in range(20)), b"", GOOD)[:-1]
    found = list(fhir.pieces(content, size))
    assert b"".join(content[piece.start : piece.end] for piece in found) == content
    assert all(content[piece.end - 1 : piece.end] == b"\n" for piece in found[:-1])
    assert [piece.first_line for piece in found] == [content[: piece.start].count(b"\n") + 1 for piece in found]
    assert len(found) == 1 or size < len(content)
    assert list(fhir.pieces(b"", size)) == []


# Properties -----------------------------------------------------------------------------------------------------------

_texts = st.text(max_size=8) | st.sampled_from(
    ["", "Device/d1", "#x", '"value":1.5', "E-2026-000001", "{", "nan", ",]"]
)
_numbers = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12).map(
    lambda number: f"@{number:f}@"
)
_anything = st.recursive(
    _texts | st.booleans() | st.none() | st.integers(-(2**63), 2**64) | _numbers,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "use", "x", "id"]), inner, max_size=3)
    ),
    max_leaves=4,
)


def _maybe(strategy):
    """Mostly what is due, sometimes anything."""
    return st.one_of(strategy, strategy, strategy, _anything)


_reference = st.fixed_dictionaries({}, optional={"reference": _maybe(_texts), "display": _texts})
_systems = st.sampled_from(["urn:shs:h8:case", "urn:shs:mmis-item", "urn:gs1:gtin", "urn:x"])
_supply = st.fixed_dictionaries(
    {"resourceType": st.sampled_from(["SupplyDelivery"] * 9 + ["Claim"]), "id": _maybe(_texts)},
    optional={
        "meta": _maybe(
            st.fixed_dictionaries({}, optional={"versionId": _maybe(_texts), "lastUpdated": _maybe(_texts)})
        ),
        "status": _maybe(_texts),
        "contained": _maybe(
            st.lists(st.fixed_dictionaries({"id": _texts, "resourceType": st.just("Device")}), max_size=2)
        ),
        "identifier": _maybe(
            st.lists(
                st.fixed_dictionaries({"system": _systems}, optional={"value": _maybe(_texts), "use": st.just("old")}),
                max_size=3,
            )
        ),
        "patient": _maybe(_reference),
        "suppliedItem": _maybe(
            st.fixed_dictionaries(
                {},
                optional={
                    "quantity": _maybe(st.fixed_dictionaries({"value": _maybe(_numbers)}, optional={"unit": _texts})),
                    "itemReference": _maybe(_reference),
                    "itemCodeableConcept": _maybe(
                        st.fixed_dictionaries(
                            {
                                "coding": _maybe(
                                    st.lists(
                                        st.fixed_dictionaries({"system": _systems, "code": _maybe(_texts)}), max_size=3
                                    )
                                )
                            }
                        )
                    ),
                },
            )
        ),
    },
)


def _written(what) -> bytes:
    """JSON with decimals of all digits."""
    import re

    text = json.dumps(what, separators=(",", ":"), ensure_ascii=False)
    return re.sub(r'"@(-?[0-9.]+)@"', r"\1", text).encode("utf-8", "surrogatepass")


@settings(max_examples=40, deadline=None)
@given(st.lists(_supply, min_size=1, max_size=6))
def test_both_paths_read_the_same(resources):
    found = read(b"".join(_written(what) + b"\n" for what in resources))["SupplyDelivery"]
    assert found.frame.height + len(found.bad) == len(resources)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=30).filter(lambda each: b"\n" not in each), max_size=8), st.data())
def test_no_broken_line_loses_a_neighbour(noise, data):
    content, expected = b"", []
    for position, each in enumerate(noise):
        id = f"r{position}"
        content += line(resource(id=id)) + b"\n" + each + b"\n"
        expected.append((id, 2 * position + 1))
    found = read(content)["SupplyDelivery"]
    assert found.frame.select("id", "_line").rows() == expected
    blank = sum(each.replace(b"\xef\xbb\xbf", b"").strip(b" \t\r") == b"" for each in noise)
    assert len(found.bad) == len(noise) - blank


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=6), st.integers(1, 40))
def test_any_split_into_part_files_gives_the_same_rows(cuts, count):
    each = [line(resource(id=f"r{n}")) + b"\n" if n % 7 else b"{\n" for n in range(count)]
    edges = sorted({0, count, *(cut for cut in cuts if cut < count)})
    texts = [
        Text(n, b"".join(each[start:end]), extracts=("SupplyDelivery",), first_line=start + 1)
        for n, (start, end) in enumerate(pairwise(edges))
    ]
    whole = read(b"".join(each))["SupplyDelivery"]
    split = fhir.read(texts, DELIVERY, {"SupplyDelivery": EXTRACTS["SupplyDelivery"]})["SupplyDelivery"]
    assert split.frame.drop("_text").rows() == whole.frame.drop("_text").rows()
    assert [(bad.line, bad.reason) for bad in split.bad] == [(bad.line, bad.reason) for bad in whole.bad]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?", fullmatch=True), min_size=10, max_size=30))
def test_any_decimal_lands_as_it_was_written(numbers):
    content = b"".join(
        lines(resource("ChargeItem", priceOverride={"value": "@"}, quantity={"value": "@"})).replace(
            b'"@"', each.encode()
        )
        for each in numbers
    )
    found = rows(content, "ChargeItem")
    assert [(row["price_override"], row["quantity"]) for row in found] == [(each, each) for each in numbers]


def held(content: bytes) -> int:
    """Lines that hold something."""
    return sum(each.strip(b" \t\r\xef\xbb\xbf") != b"" for each in content.split(b"\n"))


def test_inputs_that_were_found_by_fuzzing_are_read_or_refused(monkeypatch):
    texts = [Text(n, file.read_bytes()) for n, file in enumerate(sorted(CORPUS.glob("*")))]
    assert texts
    monkeypatch.setattr(fhir, "_FEW", 0)
    found = fhir.read(texts, DELIVERY, EXTRACTS)
    monkeypatch.setattr(fhir, "_FEW", 10**9)
    alone = fhir.read(texts, DELIVERY, EXTRACTS)
    for name, reading in found.items():
        assert reading.frame.equals(alone[name].frame)
        assert reading.bad == alone[name].bad
    heads = [found[name] for name in EXTRACTS if name != "ProcedureDevice"]
    for text in texts:
        refused = sum(bad.index == text.index for reading in heads for bad in reading.bad)
        assert sum(reading.frame.filter(_text=text.index).height for reading in heads) + refused == held(text.content)
        as_deletion = fhir.read([Text(0, text.content, stated_at=MOMENT, is_deletion=True)], DELIVERY, EXTRACTS)
        assert len(as_deletion["Patient"].bad) <= held(text.content)


# Files that others made -----------------------------------------------------------------------------------------------

needs_examples = pytest.mark.skipif(EXAMPLES is None, reason="shared/thirdparty/fhir is not here")


def documents() -> list[dict]:
    """Every resource of the files, plainly parsed."""
    found = [json.loads(file.read_bytes()) for file in sorted((EXAMPLES / "r4-official-examples").glob("*.json"))]
    for file in sorted((EXAMPLES / "smart-bulk-10").glob("*.ndjson")):
        found += [json.loads(each) for each in file.read_text(encoding="utf-8").splitlines() if each.strip()]
    return found


def _id_of(reference, kind):
    """Independent of the reader: the id, when the reference names a resource of the type."""
    if not reference or "?" in reference:
        return None
    if reference.startswith("#"):
        return reference[1:]
    parts = reference.split("/_history/")[0].split("/")
    return parts[-1] if len(parts) == 1 or kind is None or parts[-2] == kind else None


def _at(what, *path):
    for step in path:
        if isinstance(step, int):
            what = what[step] if what and len(what) > step else None
        elif what is not None:
            what = what.get(step)
    return what


PLAIN = {
    "Patient": lambda r: {
        "active": {True: "true", False: "false"}.get(r.get("active")),
        "is_test": "false",
        "mrn": None,
    },
    "Encounter": lambda r: {
        "status": r["status"],
        "class_code": r["class"].get("code"),
        "patient_id": _id_of(_at(r, "subject", "reference"), "Patient"),
        "period_start": _at(r, "period", "start"),
        "period_end": _at(r, "period", "end"),
        "location_id": _id_of(_at(r, "location", 0, "location", "reference"), "Location"),
        "service_provider": _id_of(_at(r, "serviceProvider", "reference"), None),
    },
    "Location": lambda r: {
        "name": r.get("name"),
        "type_code": _at(r, "type", 0, "coding", 0, "code"),
        "part_of": _id_of(_at(r, "partOf", "reference"), None),
    },
    "Procedure": lambda r: {
        "status": r["status"],
        "code_text": _at(r, "code", "text"),
        "body_site": _at(r, "bodySite", 0, "coding", 0, "code"),
        "performed_start": _at(r, "performedPeriod", "start") or r.get("performedDateTime"),
        "patient_id": _id_of(_at(r, "subject", "reference"), "Patient"),
        "encounter_id": _id_of(_at(r, "encounter", "reference"), "Encounter"),
        "location_id": _id_of(_at(r, "location", "reference"), "Location"),
        "performer_id": _id_of(_at(r, "performer", 0, "actor", "reference"), None),
    },
    "Device": lambda r: {
        "status": r.get("status"),
        "udi_di": _at(r, "udiCarrier", 0, "deviceIdentifier"),
        "udi_hrf": _at(r, "udiCarrier", 0, "carrierHRF"),
        "lot": r.get("lotNumber"),
        "serial": r.get("serialNumber"),
        "manufacture_date": r.get("manufactureDate"),
        "expiration_date": r.get("expirationDate"),
        "device_name": _at(r, "deviceName", 0, "name"),
        "patient_id": _id_of(_at(r, "patient", "reference"), "Patient"),
    },
    "DeviceUseStatement": lambda r: {
        "status": r["status"],
        "device_id": _id_of(_at(r, "device", "reference"), "Device"),
        "patient_id": _id_of(_at(r, "subject", "reference"), "Patient"),
    },
    "SupplyDelivery": lambda r: {
        "status": r["status"],
        "quantity": str(v) if (v := _at(r, "suppliedItem", "quantity", "value")) is not None else None,
        "occurrence": r.get("occurrenceDateTime"),
        "destination_id": _id_of(_at(r, "destination", "reference"), "Location"),
    },
    "ChargeItem": lambda r: {
        "status": r["status"],
        "quantity": str(_at(r, "quantity", "value")),
        "price_override": str(_at(r, "priceOverride", "value")),
        "entered_date": r.get("enteredDate"),
        "encounter_id": _id_of(_at(r, "context", "reference"), "Encounter"),
        "patient_id": _id_of(_at(r, "subject", "reference"), "Patient"),
        "supply_delivery_id": _id_of(_at(r, "service", 0, "reference"), "SupplyDelivery"),
    },
}


@needs_examples
def test_every_resource_of_others_is_read_or_refused_with_a_reason():
    everything = documents()
    texts = [
        Text(n, line(what), extracts=DELIVERY.reads.get(what["resourceType"], ("Device",)))
        for n, what in enumerate(everything)
    ]
    found = fhir.read(texts, DELIVERY, EXTRACTS)
    landed = Counter(what["resourceType"] for what in everything if what["resourceType"] in DELIVERY.reads)
    for kind, count in landed.items():
        assert found[kind].frame.height == count
    foreign = [what["resourceType"] for what in everything if what["resourceType"] not in DELIVERY.reads]
    assert Counter(bad.reason for bad in found["Device"].bad) == Counter(
        f"a {kind} resource in a delivery that feeds Device" for kind in foreign
    )
    assert sum(landed.values()) + len(found["Device"].bad) == len(everything)
    devices = sum(len(what.get("focalDevice", ())) for what in everything if what["resourceType"] == "Procedure")
    assert found["ProcedureDevice"].frame.height == devices > 0


@needs_examples
@pytest.mark.parametrize("kind", list(PLAIN))
def test_values_are_those_of_a_plain_reading(kind):
    mine = [what for what in documents() if what["resourceType"] == kind]
    found = rows(lines(*mine), kind)
    assert len(found) == len(mine) > 0
    for what, row in zip(mine, found, strict=True):
        expected = {
            "id": what["id"],
            "version_id": _at(what, "meta", "versionId"),
            "last_updated": _at(what, "meta", "lastUpdated"),
            **PLAIN[kind](what),
        }
        assert {name: row[name] for name in expected} == expected


@needs_examples
def test_values_agree_with_a_model_of_fhir_r4():
    model = pytest.importorskip("fhir.resources.R4B")
    compared = 0
    for kind, status in (("Encounter", "status"), ("Procedure", "status"), ("Device", "status"), ("Location", "name")):
        parsed = []
        for what in documents():
            if what["resourceType"] == kind and len(parsed) < 20:
                with contextlib.suppress(ValueError):
                    parsed.append((what, model.get_fhir_model_class(kind).model_validate(what)))
        found = rows(lines(*(what for what, _ in parsed)), kind)
        for row, (_, each) in zip(found, parsed, strict=True):
            assert (row["id"], row[status]) == (each.id, getattr(each, status))
            subject = getattr(each, "subject", None) or getattr(each, "patient", None)
            if subject is not None and subject.reference:
                assert row["patient_id"] == subject.reference.rsplit("/", 1)[-1]
            compared += 1
    assert compared >= 30


@needs_examples
def test_the_whole_bulk_sample_is_read_from_gzip_in_pieces_as_at_once():
    file = EXAMPLES / "smart-bulk-10" / "Procedure.000.ndjson"
    content = gzip.decompress(gzip.compress(file.read_bytes()))
    texts = [
        Text(n, content[piece.start : piece.end], piece.first_line, extracts=DELIVERY.reads["Procedure"])
        for n, piece in enumerate(fhir.pieces(content, 200_000))
    ]
    assert len(texts) > 5
    split = fhir.read(texts, DELIVERY, EXTRACTS)["Procedure"].frame.drop("_text")
    assert split.equals(read(content, "Procedure")["Procedure"].frame.drop("_text"))
    assert split["_line"].to_list() == list(range(1, split.height + 1))
    assert split.select(pl.col("id").n_unique()).item() == split.height
