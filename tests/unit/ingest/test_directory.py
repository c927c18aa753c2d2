"""Which files of a landing directory are delivered, which extracts they feed, and what waits."""

import json

import pytest

from ingest.clock import AsOf
from ingest.contract import load_contracts
from ingest.formats import format_of
from ingest.transports.directory import find

CONTRACTS = load_contracts()


@pytest.fixture
def landing(tmp_path):
    return tmp_path / "landing"


def put(landing, *files):
    for file in files:
        path = landing / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x\n")


def found(landing, system, as_of="2026-12-31"):
    return find(landing, CONTRACTS[system], AsOf.parse(as_of))


def names(found, extract):
    return [delivered.file for delivered in found.deliveries[extract]]


def all_files(found):
    return {delivered.file for files in found.deliveries.values() for delivered in files}


# ------------------------------------------------------------------------------------------------ messages and sets


def test_a_file_of_messages_feeds_the_extracts_of_its_kind(landing):
    put(landing, *(f"ehr_hl7/20260110/{kind}_20260110_07.hl7" for kind in ("DFT", "SIU", "ADT", "MFN", "ORU")))
    here = found(landing, "ehr_hl7")
    assert names(here, "DFT_P03_FT1") == ["ehr_hl7/20260110/DFT_20260110_07.hl7"]
    assert names(here, "MFN_ITEM") == names(here, "MFN_PACKAGE") == names(here, "MFN_LOCATION")
    (package,) = here.deliveries["MFN_PACKAGE"]
    assert package.extract == "MFN_PACKAGE"
    assert package.extracts == ("MFN_ITEM", "MFN_PACKAGE", "MFN_LOCATION")
    assert package.delivery is CONTRACTS["ehr_hl7"].delivery
    assert here.unknown == ["ehr_hl7/20260110/ORU_20260110_07.hl7"]
    assert here.waiting == []


def test_an_hour_is_a_slot_of_the_day_in_chicago(landing):
    put(landing, *(f"ehr_hl7/20260110/ADT_20260110_{hour}.hl7" for hour in ("11", "12", "13", "25")))
    put(landing, "ehr_hl7/20260111/ADT_20260111_00.hl7")
    here = found(landing, "ehr_hl7", "2026-01-10T12:00")
    assert [delivered.slot for delivered in here.deliveries["ADT_EVENT"]] == ["1100", "1200"]
    assert here.deliveries["ADT_EVENT"][0].moment == "20260110/1100"
    assert here.unknown == ["ehr_hl7/20260110/ADT_20260110_25.hl7"]


def test_a_transaction_set_feeds_its_envelope_first(landing):
    put(landing, "edi/20260110/810/MEDLINE_000000123.edi", "edi/20260110/850/SHS_CDC_000000007.edi")
    put(landing, "edi/20260110/997/MEDLINE_000000124.edi")
    here = found(landing, "edi")
    assert len(here.deliveries["ENVELOPE"]) == 2
    (invoice,) = here.deliveries["INV810_SAC"]
    assert invoice.extracts == ("ENVELOPE", "INV810_HEAD", "INV810_LINE", "INV810_SAC")
    assert invoice.parts["file"] == "MEDLINE_000000123.edi"
    assert here.deliveries["CAT832_HEAD"] == []
    assert here.unknown == ["edi/20260110/997/MEDLINE_000000124.edi"]


def test_a_second_delivery_has_its_own_folder_and_needs_no_manifest(landing):
    put(landing, "hb/835/20260110/PAYER_1_TRACE-9.835", "hb/835/20260110/readme.txt", "hb/20260110/HSP_ACCOUNT.csv")
    here = found(landing, "hb")
    for extract in ("REMIT_835_PAYMENT", "REMIT_835_PLB"):
        assert names(here, extract) == ["hb/835/20260110/PAYER_1_TRACE-9.835"]
    assert here.deliveries["REMIT_835_ADJ"][0].extracts[0] == "REMIT_835_PAYMENT"
    assert here.waiting == ["hb/20260110/HSP_ACCOUNT.csv"]
    assert here.unknown == ["hb/835/20260110/readme.txt"]


def test_each_database_of_materials_management_is_a_scope_of_its_own(landing):
    put(landing, *(f"mmis/20260110/db{n}/{name}" for n in (1, 2) for name in ("ITEM.txt", "TXN260110.DAT")))
    put(landing, "mmis/20260110/db1/TXN2601.DAT", "mmis/20260110/db1/TXN.txt")
    here = found(landing, "mmis")
    assert [(each.scope, each.file) for each in here.deliveries["ITEM"]] == [
        ("1", "mmis/20260110/db1/ITEM.txt"),
        ("2", "mmis/20260110/db2/ITEM.txt"),
    ]
    assert [each.extracts for each in here.deliveries["TXN_TRAILER"]] == [("TXN", "TXN_HEADER", "TXN_TRAILER")] * 2
    assert [each.scope for each in here.deliveries["TXN"]] == ["", ""]
    assert here.unknown == ["mmis/20260110/db1/TXN.txt", "mmis/20260110/db1/TXN2601.DAT"]
    assert here.waiting == []


# ------------------------------------------------------------------------------------------------ gzip, names, dates


def test_any_delivery_may_be_gzipped_and_keeps_its_name(landing):
    put(landing, "erp_lawson/20260110/GLNAMES.csv.gz", "pou/20260110/txn_20260110_0600.csv.gz")
    (landing / "erp_lawson/20260110/_counts.txt").write_text("file,row_count\nGLNAMES.csv.gz,1\n")
    (landing / "pou/20260110/txn_20260110_0600.ctl").write_text("rows=1;sum_qty=0\n")
    put(landing, "mmis/20260110/db1/LOC.txt.gz", "ehr_hl7/20260110/DFT_20260110_07.hl7.gz")
    for system, extract in (("erp_lawson", "GLNAMES"), ("pou", "txn"), ("mmis", "LOC"), ("ehr_hl7", "DFT_P03_FT1")):
        here = found(landing, system)
        (delivered,) = here.deliveries[extract]
        assert delivered.is_gzip and delivered.file.endswith(".gz")
        assert (here.unknown, here.waiting) == ([], [])
    assert found(landing, "pou").deliveries["txn"][0].stated.rows == 1


@pytest.mark.parametrize("name", ["{}.tmp", "{}.part", ".{}", "~{}"])
def test_a_name_that_is_not_final_is_no_delivery(landing, name):
    put(landing, "edi/20260110/810/" + name.format("S_000000001.edi"))
    put(landing, "ehr_fhir/20260110/" + name.format("Device.1.ndjson"))
    for system in ("edi", "ehr_fhir"):
        here = found(landing, system)
        assert (all_files(here), here.unknown, here.waiting) == (set(), [], [])


def test_a_folder_that_is_no_date_is_unknown_and_a_later_one_is_not_looked_at(landing):
    put(landing, "edi/20261399/810/S_000000001.edi", "edi/20260112/810/S_000000001.edi")
    export(landing, "20260112", output=[("Device.1.ndjson.gz", "Device", 1)])
    here = found(landing, "edi", "2026-01-11")
    assert (all_files(here), here.unknown) == (set(), ["edi/20261399/810/S_000000001.edi"])
    here = found(landing, "ehr_fhir", "2026-01-11")
    assert (all_files(here), here.unknown, here.waiting) == (set(), [], [])


# ------------------------------------------------------------------------------------------------ bulk exports


def export(landing, day, output=(), deleted=(), errors=(), base="https://ehr.example/bulk/", **more):
    def entry(name, kind, count):
        return {"type": kind, "url": base + name} | ({} if count is None else {"count": count})

    folder = landing / "ehr_fhir" / day
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "transactionTime": "2026-01-10T05:00:00.000Z",
        "output": [entry(*each) for each in output],
        "deleted": [entry(*each) for each in deleted],
        "error": [entry(*each) for each in errors],
    } | more
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_an_exported_file_is_delivered_when_the_manifest_lists_it(landing):
    put(landing, "ehr_fhir/20260110/Procedure.1.ndjson.gz", "ehr_fhir/20260110/Device.1.ndjson.gz")
    assert found(landing, "ehr_fhir").waiting == [
        "ehr_fhir/20260110/Device.1.ndjson.gz",
        "ehr_fhir/20260110/Procedure.1.ndjson.gz",
    ]
    export(landing, "20260110", output=[("Procedure.1.ndjson.gz?sig=a/b&x=1", "Procedure", 17)])
    here = found(landing, "ehr_fhir")
    (delivered,) = here.deliveries["ProcedureDevice"]
    assert delivered.extracts == ("Procedure", "ProcedureDevice")
    assert (delivered.stated.rows, delivered.stated_at) == (17, "2026-01-10T05:00:00.000Z")
    assert not delivered.is_deletion
    assert here.waiting == ["ehr_fhir/20260110/Device.1.ndjson.gz"]


def test_a_listed_file_that_is_not_there_is_waited_for(landing):
    export(landing, "20260110", [("Device.1.ndjson.gz", "Device", None)], [("gone.ndjson", "Bundle", 2)])
    assert found(landing, "ehr_fhir").waiting == [
        "ehr_fhir/20260110/Device.1.ndjson",
        "ehr_fhir/20260110/gone.ndjson",
    ]
    put(landing, "ehr_fhir/20260110/Device.1.ndjson.gz", "ehr_fhir/20260110/gone.ndjson")
    here = found(landing, "ehr_fhir")
    assert here.waiting == []
    assert here.deliveries["Device"][0].stated.rows is None


def test_a_file_of_deletions_has_any_name_and_feeds_every_extract(landing):
    put(landing, "ehr_fhir/20260110/7f3a.ndjson")
    export(landing, "20260110", deleted=[("7f3a.ndjson", "Bundle", 3)])
    here = found(landing, "ehr_fhir")
    for extract in CONTRACTS["ehr_fhir"].extracts:
        (delivered,) = here.deliveries[extract]
        assert delivered.is_deletion
        assert delivered.extracts == CONTRACTS["ehr_fhir"].delivery.extracts
    assert (here.unknown, here.waiting) == ([], [])


def test_the_manifest_and_not_the_name_says_what_an_exported_file_holds(landing):
    put(landing, "ehr_fhir/20260110/part-0001.ndjson", "ehr_fhir/20260110/Patient.1.ndjson")
    export(landing, "20260110", [("part-0001.ndjson", "ChargeItem", 4), ("Patient.1.ndjson", "Encounter", 1)])
    here = found(landing, "ehr_fhir")
    assert names(here, "ChargeItem") == ["ehr_fhir/20260110/part-0001.ndjson"]
    assert names(here, "Encounter") == ["ehr_fhir/20260110/Patient.1.ndjson"]
    assert names(here, "Patient") == []


def test_a_resource_without_an_extract_is_unknown_and_no_error(landing):
    put(landing, "ehr_fhir/20260110/Claim.1.ndjson.gz", "ehr_fhir/20260110/Claim.2.ndjson.gz")
    put(landing, "ehr_fhir/20260110/Errors.1.ndjson")
    export(
        landing, "20260110", [("Claim.1.ndjson.gz", "Claim", 4)], errors=[("Errors.1.ndjson", "OperationOutcome", 1)]
    )
    here = found(landing, "ehr_fhir")
    assert all_files(here) == set()
    assert here.unknown == ["ehr_fhir/20260110/Claim.1.ndjson.gz", "ehr_fhir/20260110/Claim.2.ndjson.gz"]
    assert here.waiting == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"x"', '{"output": 3}', '{"output": [3, {"url": 4}, {"type": "Device"}]}', "\x00"]
)
def test_a_manifest_that_says_nothing_leaves_its_files_waiting(landing, text):
    put(landing, "ehr_fhir/20260110/Device.1.ndjson.gz")
    (landing / "ehr_fhir/20260110/manifest.json").write_text(text)
    here = found(landing, "ehr_fhir")
    assert here.waiting == ["ehr_fhir/20260110/Device.1.ndjson.gz"]
    assert all_files(here) == set()


def test_a_deletion_is_one_even_when_it_is_listed_as_output_too(landing):
    put(landing, "ehr_fhir/20260110/Device.1.ndjson")
    listed = [("Device.1.ndjson", "Device", 1)]
    export(landing, "20260110", listed, listed)
    assert found(landing, "ehr_fhir").deliveries["Device"][0].is_deletion


# ------------------------------------------------------------------------------------------------ formats


def test_every_delivery_has_a_module_that_reads_it():
    modules = {
        (delivery.system, delivery.name): format_of(delivery).__name__.rpartition(".")[2]
        for contract in CONTRACTS.values()
        for delivery in contract.deliveries
    }
    assert modules == {
        ("edi", ""): "x12",
        ("ehr", ""): "delimited",
        ("ehr_fhir", ""): "fhir",
        ("ehr_hl7", ""): "hl7v2",
        ("erp_fusion", ""): "delimited",
        ("erp_lawson", ""): "delimited",
        ("hb", ""): "delimited",
        ("hb", "835"): "x12",
        ("mmis", ""): "delimited",
        ("mmis", "txn"): "fixed_width",
        ("pou", ""): "delimited",
        ("ref", ""): "delimited",
    }
