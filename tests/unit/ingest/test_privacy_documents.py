"""No patient passes the door in a message, a set, a resource or a record either: the canaries again, in documents."""

import gzip
import json
import logging

import pytest

from ingest.formats import delimited, format_of
from ingest.quarantine import explain, list_files, list_rows
from tests.unit.ingest.landing_builder import CONTRACTS, Landing, everything_written, lake, run
from tests.unit.ingest.test_privacy import CANARIES, FREE_TEXT, NAME, assert_nothing_of_a_patient

DAY = "20260110"
MRN, HAR, CSN = CANARIES["record number"], CANARIES["account"], CANARIES["encounter"]
SCAN, SERIAL, PATIENT = CANARIES["scan"], CANARIES["serial"], CANARIES["patient"]
SSN, PHONE, ADDRESS = CANARIES["social security number"], CANARIES["phone"], CANARIES["address"]


def hl7(*segments):
    return "\r".join(segments) + "\r"


def head(kind, number):
    return f"MSH|^~\\&|EPIC|SHSH1|SUTURE|SHS|20260110071500||{kind}|M{number}|P|2.5.1"


PERSON = hl7(
    f"PID|1||{MRN}^^^SHS^MR||{NAME.replace(' ', '^')}||19310729|F|||{ADDRESS}||{PHONE}|||||{HAR}|{SSN}",
    f"NK1|1|{NAME}|SPO|{ADDRESS}|{PHONE}",
    f"PV1|1|O|D1||||||||||||||||{CSN}",
    f"GT1|1||{NAME}||{ADDRESS}|{PHONE}||||||{SSN}",
    f"IN1|1|{FREE_TEXT}",
    f"NTE|1||{FREE_TEXT}",
    f"ZPD|{FREE_TEXT}",
).removesuffix("\r")


def charge(number, quantity="2"):
    return hl7(
        head("DFT^P03", number),
        PERSON,
        f"FT1|1|T{number}|B1|20260110070000|20260110|CG|270001|{FREE_TEXT}|{FREE_TEXT}|{quantity}|10.00",
        f"ZFT|S1|IMP1|L1|{SCAN}",
    )


def appointment(number):
    return hl7(
        head("SIU^S12", number), "SCH|P1|C1|||||||90|MIN|^^^20260110080000", PERSON, "AIS|1||OP1", f"AIP|1||S1^{NAME}"
    )


def merge(number):
    return hl7(head("ADT^A40", number), "EVN|A40|20260110", PERSON, f"MRG|{MRN}^^^SHS|||{HAR}|||{NAME}")


def interchange(*sets, number="000000001", group="HP"):
    return "".join(
        f"{segment}~"
        for segment in (
            f"ISA*00*          *00*          *ZZ*PAYER          *ZZ*SHS            *260110*0700*^*00501*{number}*0*P*:",
            f"GS*{group}*PAYER*SHS*20260110*0700*1*X*005010X221A1",
            *(segment for each in sets for segment in each),
            f"GE*{len(sets)}*1",
            f"IEA*1*{number}",
        )
    )


def remittance(paid="80", count=None):
    segments = [
        "ST*835*0001",
        "BPR*I*80*C*ACH************20260110",
        "TRN*1*TR1*1PAYER",
        "N1*PR*PAYER*XV*P1",
        "N1*PE*SHS*XX*1234567893",
        f"CLP*{HAR}B*1*100*{paid}*20*12*{MRN}",
        "CAS*PR*1*20",
        f"NM1*QC*1*{NAME.replace(' ', '*')}****MI*{SSN}",
        f"REF*EA*{MRN}",
        f"PER*CX*{NAME}*TE*{PHONE}",
    ]
    return [*segments, f"SE*{count or len(segments) + 1}*0001"]


def resource(kind, number, **elements):
    return {
        "resourceType": kind,
        "id": f"{kind.lower()}-{number}",
        "meta": {"versionId": "1", "lastUpdated": "2026-01-10T05:00:00Z"},
        "text": {"status": "generated", "div": f"<div>{FREE_TEXT}</div>"},
        "extension": [{"url": "urn:x", "valueString": FREE_TEXT}],
        "contained": [{"resourceType": "Patient", "id": "c", "name": [{"text": NAME}], "telecom": [{"value": PHONE}]}],
    } | elements


def identifier(system, value):
    return {"system": f"urn:shs:{system}", "value": value}


SUBJECT = {"reference": f"Patient/{PATIENT}", "display": NAME}
RESOURCES = [
    resource(
        "Patient",
        1,
        id=PATIENT,
        identifier=[identifier("h8:mrn", MRN), identifier("ssn", SSN)],
        name=[{"text": NAME, "family": "Quuxbury", "given": ["Zyxwanda"]}],
        birthDate="1931-07-29",
        telecom=[{"system": "phone", "value": PHONE}, {"system": "email", "value": CANARIES["email"]}],
        address=[{"text": ADDRESS}],
        contact=[{"name": {"text": NAME}, "telecom": [{"value": PHONE}]}],
        link=[{"type": "replaced-by", "other": {"reference": f"Patient/{PATIENT}", "display": NAME}}],
    ),
    resource(
        "Encounter",
        1,
        status="finished",
        subject=SUBJECT,
        identifier=[identifier("har", HAR), identifier("h8:visit", CSN)],
        participant=[{"individual": {"display": NAME}}],
    ),
    resource(
        "Procedure",
        1,
        status="completed",
        subject=SUBJECT,
        note=[{"text": FREE_TEXT}],
        focalDevice=[{"manipulated": {"reference": "Device/device-1", "display": NAME}}],
    ),
    resource(
        "Device",
        1,
        patient=SUBJECT,
        serialNumber=SERIAL,
        udiCarrier=[{"carrierHRF": SCAN, "deviceIdentifier": "09521234000013", "carrierAIDC": SCAN}],
        note=[{"text": FREE_TEXT}],
    ),
    resource("DeviceUseStatement", 1, status="active", subject=SUBJECT, device={"reference": "Device/device-1"}),
    resource("SupplyDelivery", 1, status="completed", patient=SUBJECT, receiver=[{"display": NAME}]),
    resource(
        "ChargeItem",
        1,
        status="billable",
        subject=SUBJECT,
        code={"coding": [{"system": "urn:shs:cdm", "code": "270001", "display": FREE_TEXT}], "text": FREE_TEXT},
        enterer={"display": NAME},
    ),
    resource("Location", 1, name="OR 1", telecom=[{"value": PHONE}]),
]


def record(*places):
    text = [" "] * 200
    for start, value in places:
        text[start - 1 : start - 1 + len(value)] = value
    return "".join(text) + "\r\n"


def movements(*quantities):
    lines = [record((1, "H"), (2, "MMIS"), (10, "1"), (11, "260110"), (17, "001"))]
    for number, quantity in enumerate(quantities, start=1):
        lines.append(
            record(
                *((1, f"D{number:07d}{number:09d}601IS"), (23, "L1"), (35, "100"), (50, quantity), (60, "EA")),
                *((62, "00000012500 "), (74, "2601090815"), (142, HAR)),
            )
        )
    return "".join([*lines, record((1, "T"), (2, f"{len(quantities):09d}"), (11, f"{150 * len(quantities):013d}-"))])


class Deliveries:
    """Documents put where the contracts say."""

    def __init__(self, root):
        self.landing = Landing(root)
        self.listed = {"output": [], "deleted": []}

    def put(self, name, content):
        path = self.landing.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def export(self, name, kind, content, part="output"):
        self.put(f"ehr_fhir/{DAY}/{name}.gz", gzip.compress(content.encode()))
        self.listed[part].append({"type": kind, "url": f"https://ehr.example/{name}"})
        manifest = {"transactionTime": "2026-01-10T05:00:00Z", "error": []} | self.listed
        self.put(f"ehr_fhir/{DAY}/manifest.json", json.dumps(manifest))


@pytest.fixture
def deliveries(tmp_path):
    return Deliveries(tmp_path / "landing")


def assert_quiet(home, report, capfd, caplog):
    shown = capfd.readouterr()
    told = repr(report) + repr(list_files(home)) + repr(list_rows(home))
    told += "".join(repr(explain(home, each.id)) for each in [*list_files(home), *list_rows(home)])
    assert_nothing_of_a_patient(everything_written(home))
    assert_nothing_of_a_patient((shown.out + shown.err + caplog.text + told).encode())


def test_every_direct_identifier_of_a_document_lands_as_a_token(deliveries, tmp_path, capfd, caplog):
    home = tmp_path / "home"
    deliveries.put(f"ehr_hl7/{DAY}/DFT_{DAY}_07.hl7", charge(1))
    deliveries.put(f"ehr_hl7/{DAY}/SIU_{DAY}_07.hl7", appointment(2))
    deliveries.put(f"ehr_hl7/{DAY}/ADT_{DAY}_07.hl7", merge(3))
    deliveries.put(f"hb/835/{DAY}/P1_TR1.835", interchange(remittance()))
    deliveries.put(f"mmis/{DAY}/db1/TXN260110.DAT", movements("000000150-"))
    for each in RESOURCES:
        kind = each["resourceType"]
        deliveries.export(f"{kind}.1.ndjson", kind, json.dumps(each) + "\n")
    with caplog.at_level(logging.DEBUG):
        report = run(deliveries.landing, home)
    assert report.rows_quarantined == 0
    documents = [
        extract
        for contract in CONTRACTS.values()
        for extract in contract.extracts.values()
        if format_of(extract.delivery) is not delimited
    ]
    found = 0
    for extract in documents:
        for column in extract.read_columns:
            if column.phi == "direct" or column.token is not None:
                (token,) = lake(home, extract.feed)[column.name].to_list()
                assert "t_" in token, f"{extract.feed}.{column.name}"
                found += 1
    assert found == 24
    assert_quiet(home, report, capfd, caplog)


def test_an_account_has_one_token_in_every_system(deliveries, tmp_path):
    home = tmp_path / "home"
    deliveries.put(f"ehr_hl7/{DAY}/DFT_{DAY}_07.hl7", charge(1))
    deliveries.put(f"hb/835/{DAY}/P1_TR1.835", interchange(remittance()))
    deliveries.put(f"mmis/{DAY}/db1/TXN260110.DAT", movements("000000150-"))
    deliveries.export("Encounter.1.ndjson", "Encounter", json.dumps(RESOURCES[1]) + "\n")
    run(deliveries.landing, home)
    tokens = {
        lake(home, feed)[column].item()
        for feed, column in (
            ("ehr_hl7.DFT_P03_FT1", "account_no"),
            ("hb.REMIT_835_CLAIM", "PATIENT_CONTROL_NO"),
            ("mmis.TXN", "PAT_ACCT"),
            ("ehr_fhir.Encounter", "account_no"),
        )
    }
    assert len(tokens) == 1
    assert lake(home, "hb.REMIT_835_CLAIM")["PATIENT_CONTROL_NO__is_rebill"].item() == "Y"


def test_nothing_of_a_refused_document_is_written(deliveries, tmp_path, capfd, caplog):
    home = tmp_path / "home"
    bad = charge(4, quantity=NAME)
    cut = charge(5)[: -len(SCAN) - 30]
    headless = PERSON + "\r"
    foreign = hl7(head(f"ORU^{NAME}", 6), PERSON)
    garbled = charge(7).replace("MSH|^~\\&|", f"MSH|{FREE_TEXT}|")
    messages = headless + bad + charge(8) + foreign + garbled + merge(9) + cut
    deliveries.put(f"ehr_hl7/{DAY}/DFT_{DAY}_07.hl7", messages)
    deliveries.put(f"ehr_hl7/{DAY}/DFT_{DAY}_08.hl7", f"FHS|^~\\&|{FREE_TEXT}\r{charge(10)}BTS|5|{FREE_TEXT}\rFTS|1\r")
    deliveries.put(f"ehr_hl7/{DAY}/ADT_{DAY}_07.hl7", FREE_TEXT)
    deliveries.put(f"ehr_hl7/{DAY}/SIU_{DAY}_07.hl7", hl7(head("SIU^S12", 12), f"SCH|||||{FREE_TEXT}", PERSON))
    wrong = (interchange(remittance(count=99)), interchange(remittance(paid=NAME)), FREE_TEXT, interchange([]))
    good = interchange(remittance())
    wrong += (good.replace("IEA*1*", f"IEA*{NAME}*"), good.replace("ST*835", f"ST*{MRN}"), good[:400])
    wrong += (good.replace("CLP*", f"CLP*{NAME}*{SSN}*"), good.replace("~SE", f"~{FREE_TEXT}~SE"))
    for number, text in enumerate(wrong):
        deliveries.put(f"hb/835/{DAY}/P1_TR{number}.835", text)
        deliveries.put(f"edi/{DAY}/810/PAYER_{number}.edi", text)
    lines = [json.dumps(each) for each in RESOURCES]
    lines += ["{" + FREE_TEXT, json.dumps([FREE_TEXT]), json.dumps({"resourceType": NAME}), json.dumps(FREE_TEXT)]
    lines += [json.dumps(RESOURCES[0] | {"meta": {"lastUpdated": FREE_TEXT}}), lines[0][:300]]
    lines += [json.dumps(RESOURCES[6] | {"quantity": {"value": FREE_TEXT}, "id": None})]
    deliveries.export("Patient.1.ndjson", "Patient", "\n".join(lines) + "\n")
    deliveries.export("ChargeItem.1.ndjson", "ChargeItem", "\n".join(lines[::-1]) + "\n")
    entries = [{"request": {"method": "DELETE", "url": f"Patient/{PATIENT}"}}]
    entries += [{"request": {"method": "PUT", "url": NAME}}, {"resource": RESOURCES[0]}]
    deleted = json.dumps({"resourceType": "Bundle", "entry": entries})
    deliveries.export("gone.ndjson", "Bundle", f"{deleted}\n{lines[0]}\n{FREE_TEXT}\n", "deleted")
    deliveries.put(f"mmis/{DAY}/db1/TXN260110.DAT", movements("000000150-", "00000015X-") + record((1, NAME)))
    deliveries.put(f"mmis/{DAY}/db2/TXN260110.DAT", FREE_TEXT + "\r\n" + record((1, "D"), (50, NAME), (142, HAR)))
    with caplog.at_level(logging.DEBUG):
        report = run(deliveries.landing, home)
    assert report.rows_quarantined > 15
    assert_quiet(home, report, capfd, caplog)
