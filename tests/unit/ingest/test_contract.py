"""One contract gives the Pandera schema, the Arrow schema, the dbt source and the docs; a drift fails here."""

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ingest.contract import (
    CONTRACTS,
    META_COLUMNS,
    ColumnType,
    ContractError,
    arrow_schema,
    column_docs,
    load_contracts,
)
from ingest.contracts_to_dbt import STAGING, source_files, stale_sources
from ingest.landing import ensure_empty_sources
from ingest.privacy import _STEPS, PARSERS
from ingest.shape import pandera_schema
from tests.unit.ingest.landing_builder import Landing, lake, row, run

EXTRACTS = [extract for contract in load_contracts().values() for extract in contract.extracts.values()]
IDS = [extract.feed for extract in EXTRACTS]


def test_the_committed_dbt_sources_are_those_of_the_contracts():
    assert stale_sources() == [], "run python -m ingest.contracts_to_dbt"
    written = {str(path.relative_to(STAGING)) for path in STAGING.rglob("*__sources.yml")}
    assert written == set(source_files())


@pytest.fixture(scope="module")
def sources():
    texts = [yaml.load(text, Loader=yaml.CSafeLoader) for text in source_files().values()]
    return {
        f"{source['name'].removeprefix('raw_')}.{table['name']}": table
        for text in texts
        for source in text["sources"]
        for table in source["tables"]
    }


@pytest.mark.parametrize("extract", EXTRACTS, ids=IDS)
def test_schema_parquet_source_and_docs_name_the_same_columns(extract, sources):
    expected = [*extract.landed_columns, *META_COLUMNS]
    assert arrow_schema(extract).names == expected
    assert list(column_docs(extract)) == expected
    table = sources[extract.feed]
    assert [column["name"] for column in table["columns"]] == expected
    assert all(column["description"] for column in table["columns"])
    kinds = {"varchar": pa.string(), "bigint": pa.int64(), "date": pa.date32(), "ubigint": pa.uint64()}
    assert [kinds[column["data_type"]] for column in table["columns"]] == arrow_schema(extract).types
    assert table["config"]["meta"]["key"] == list(extract.identity)
    assert list(pandera_schema(extract).columns) == [column.name for column in extract.read_columns]
    for column in extract.read_columns:
        assert pandera_schema(extract).columns[column.name].nullable is not column.required


def test_a_landed_part_has_the_schema_of_the_empty_one(tmp_path):
    landing, home = Landing(tmp_path / "landing"), tmp_path / "home"
    tables = [extract for extract in EXTRACTS if extract.delivery.format.startswith(("csv", "zip"))][::12]
    for extract in tables:
        landing.put(extract.feed, "20260101", [row(extract.feed)])
    run(landing, home)
    for extract in tables:
        folder = home / "lake" / "raw" / extract.system / extract.name
        kinds = [pl.read_parquet_schema(path) for path in folder.glob("*.parquet")]
        assert len(kinds) == 2 and kinds[0] == kinds[1]
        assert lake(home, extract.feed).height == 1


def test_every_parser_and_normalising_step_of_the_contracts_exists():
    for extract in EXTRACTS:
        for column in extract.columns.values():
            assert set((column.parse or {}).values()) <= set(PARSERS)
            assert set(column.token.normalise if column.token else ()) <= set(_STEPS)


def test_identifiers_of_one_kind_share_a_token_domain():
    domains = {
        "har": {
            *("HSP_ACCOUNT_ID", "COMBINE_ACCT_ID", "OLD_HSP_ACCOUNT_ID"),
            *("account_no", "PAT_ACCT", "PATIENT_CONTROL_NO"),
        },
        "csn": {"PAT_ENC_CSN_ID", "OR_LINK_CSN", "csn", "visit_no"},
        "pat": {"PAT_ID", "MERGED_INTO_PAT_ID"},
        "mrn": {"PAT_MRN_ID", "patient_mrn", "patient_id", "retired_patient_id"},
        "fhir_pat": {"id", "patient_id", "replaced_by"},
        "h8_mrn": {"mrn"},
        "h8_visit": {"visit_no"},
        "tin": {"TAX_ID", "TaxpayerId"},
        "serial": {"SERIAL_NUMBER", "serial", "PO_USER_FLD_4"},
        "udi": {"udi_raw", "udi", "udi_hrf"},
    }
    found: dict[str, set[str]] = {}
    for extract in EXTRACTS:
        for column in extract.columns.values():
            if column.token:
                found.setdefault(column.token.domain, set()).add(column.name)
    assert found == domains


def test_a_patient_of_the_messages_is_told_apart_from_a_test_patient():
    flagged = {
        (extract.feed, name): column.flags
        for extract in EXTRACTS
        for name, column in extract.columns.items()
        if column.token and column.token.domain == "mrn" and extract.system != "pou"
    }
    assert len(flagged) == 5
    assert all(set(flags) == {"is_test"} for flags in flagged.values())


def test_every_extract_comes_with_one_delivery_and_knows_it():
    for contract in load_contracts().values():
        named = [name for delivery in contract.deliveries for name in delivery.extracts]
        assert sorted(named) == sorted(contract.extracts)
        for extract in contract.extracts.values():
            assert extract.name in extract.delivery.extracts
            assert extract.delivery in contract.deliveries
    remittances = load_contracts()["hb"].deliveries[1]
    assert (remittances.name, remittances.extracts[0], remittances.manifest) == ("835", "REMIT_835_PAYMENT", "none")
    movements = load_contracts()["mmis"].deliveries[1]
    assert (movements.extracts, movements.record_length) == (("TXN", "TXN_HEADER", "TXN_TRAILER"), 200)


def test_a_part_of_the_path_says_what_a_file_feeds():
    edi, fhir, hl7 = (load_contracts()[system].delivery for system in ("edi", "ehr_fhir", "ehr_hl7"))
    assert edi.fed_by({"set": "810"}) == ("ENVELOPE", "INV810_HEAD", "INV810_LINE", "INV810_SAC")
    assert all(names[0] == "ENVELOPE" for names in edi.reads.values())
    assert fhir.fed_by({"resource": "Procedure"}) == ("Procedure", "ProcedureDevice")
    assert fhir.fed_by({"resource": "Claim"}) == ()
    assert hl7.fed_by({"msg": "MFN"}) == ("MFN_ITEM", "MFN_PACKAGE", "MFN_LOCATION")
    for delivery in (edi, fhir, hl7):
        assert {name for names in delivery.reads.values() for name in names} == set(delivery.extracts)


def test_the_contract_says_where_a_value_stands_and_what_it_means():
    charge = load_contracts()["ehr_hl7"].extracts["DFT_P03_FT1"]
    assert charge.columns["ft1_qty"].source == "FT1-10"
    assert charge.columns["ft1_qty"].empty_means == "1"
    assert charge.fallback_key == ("sending_facility", "message_id", "set_id")
    assert charge.columns["item_id"].source == "ZFT-1"
    movement = load_contracts()["mmis"].extracts["TXN"]
    assert (movement.columns["QTY"].start, movement.columns["QTY"].width, movement.record_type) == (50, 10, "D")
    assert movement.control_total == "QTY"
    tables = load_contracts()["mmis"].delivery
    assert (tables.quote, tables.escape, tables.blank_is_null, tables.manifest) == ("", "\\", True, "none")
    assert load_contracts()["mmis"].extracts["ITEM"].snapshot_scope == "n"


def test_what_the_path_says_need_not_stand_in_the_file():
    codes = load_contracts()["mmis"].extracts["CODE_TABLE"]
    assert "IDB" not in codes.must_have
    assert codes.by_path({"n": "2", "file": "CODE_TABLE.txt"}) == {"IDB": "2"}
    envelope = load_contracts()["edi"].extracts["ENVELOPE"]
    assert envelope.by_path({"file": "S_1.edi"}) == {"file_name": "S_1.edi"}


def hl7_with_sites(tmp_path, sites):
    folder = tmp_path / f"contracts_{len(list(tmp_path.iterdir()))}"
    (folder / "sites").mkdir(parents=True)
    (folder / "ehr_hl7.yaml").write_text((CONTRACTS / "ehr_hl7.yaml").read_text())
    (folder / "sites" / "ehr_hl7.yaml").write_text(yaml.safe_dump(sites))
    return load_contracts(folder)["ehr_hl7"].extracts


def test_a_site_mapping_is_no_contract_and_is_part_of_the_version(tmp_path):
    default = yaml.safe_load((CONTRACTS / "sites" / "ehr_hl7.yaml").read_text())
    shipped = load_contracts()["ehr_hl7"].extracts["DFT_P03_FT1"]
    assert hl7_with_sites(tmp_path, default)["DFT_P03_FT1"].version == shipped.version
    place = "OBX-5.1 where OBX-3.1 = ITEM"
    own = hl7_with_sites(tmp_path, default | {"sites": {"SHSH6": {"DFT_P03_FT1": {"item_id": place}}}})
    assert own["DFT_P03_FT1"].sites == {"SHSH6": {"item_id": place}}
    assert own["DFT_P03_FT1"].version != shipped.version
    assert own["SIU_APPT"].version == load_contracts()["ehr_hl7"].extracts["SIU_APPT"].version
    moved = hl7_with_sites(tmp_path, {"default": {"DFT_P03_FT1": {"lot": "FT1-29.1"}}})
    assert moved["DFT_P03_FT1"].columns["lot"].source == "FT1-29.1"
    assert moved["DFT_P03_FT1"].version != shipped.version


@pytest.mark.parametrize(
    "sites",
    [
        {"default": {"DFT_P03_FT1": {"item_id": "somewhere"}}},
        {"default": {"DFT_P03_FT1": {"patient_name": "PID-5"}}},
        {"default": {"NO_EXTRACT": {"item_id": "ZFT-1"}}},
        {"sites": {"SHSH1": {"DFT_P03_FT1": {"lot": "OBX-5 where"}}}},
        {"sites": {"SHSH1": {"NO_EXTRACT": {"lot": "ZFT-1"}}}},
    ],
)
def test_a_site_mapping_that_names_no_place_is_an_error(tmp_path, sites):
    with pytest.raises(ContractError):
        hl7_with_sites(tmp_path, sites)


@pytest.mark.parametrize(
    ("system", "said", "instead"),
    [
        ("edi", "'832': [ENVELOPE, CAT832_HEAD, CAT832_LINE]", "'832': [ENVELOPE, CAT832_HEAD, CAT999]"),
        ("edi", "reads_by: set, ", ""),
        ("mmis", "snapshot_scope: n", "snapshot_scope: database"),
        ("ehr_hl7", "fallback_key: [sending_facility, message_id, set_id]", "fallback_key: [patient_name]"),
        ("mmis", "extracts: [TXN, ", "extracts: [TXN, TXN_SUMMARY, "),
    ],
)
def test_a_contract_that_contradicts_itself_is_an_error(tmp_path, system, said, instead):
    text = (CONTRACTS / f"{system}.yaml").read_text()
    assert said in text
    (tmp_path / f"{system}.yaml").write_text(text.replace(said, instead))
    with pytest.raises(ContractError):
        load_contracts(tmp_path)


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("source: FT1-10,", "source: FT1-9,"),
        ("empty_means: '1'", "empty_means: '0'"),
        ("fallback_key: [sending_facility, message_id, set_id]", "fallback_key: [sending_facility, message_id]"),
        ("DFT: [DFT_P03_FT1]", "DFX: [DFT_P03_FT1]"),
    ],
)
def test_the_version_follows_where_values_stand_and_how_rows_are_known(tmp_path, said, instead):
    text = (CONTRACTS / "ehr_hl7.yaml").read_text()
    assert said in text
    (tmp_path / "ehr_hl7.yaml").write_text(text)
    before = load_contracts(tmp_path)["ehr_hl7"].extracts["DFT_P03_FT1"].version
    other = tmp_path / "other"
    other.mkdir()
    (other / "ehr_hl7.yaml").write_text(text.replace(said, instead))
    assert load_contracts(other)["ehr_hl7"].extracts["DFT_P03_FT1"].version != before


def test_the_version_follows_what_lands_and_not_the_words(tmp_path):
    text = (CONTRACTS / "hb.yaml").read_text()

    def version(changed):
        folder = tmp_path / str(abs(hash(changed)))
        folder.mkdir()
        (folder / "hb.yaml").write_text(changed)
        extracts = load_contracts(folder)["hb"].extracts
        return extracts["CDM_PRICE"].version, extracts["CLAIM_CODES"].version

    before = version(text)
    assert version(text.replace("null = priced by mark-up", "empty = priced by mark-up")) == before
    assert version(text.replace("source: CLP01", "source: CLP02")) == before
    stricter = version(text.replace("values: [EA, BX, CM2, HR]", "values: [EA, BX, CM2]"))
    assert stricter[0] != before[0] and stricter[1] == before[1]


def test_a_direct_identifier_without_a_way_through_the_door_is_an_error(tmp_path):
    text = (CONTRACTS / "hb.yaml").read_text()
    (tmp_path / "hb.yaml").write_text(
        text.replace("GUAR_NAME: {type: string, phi: direct, drop: true}", "GUAR_NAME: {type: string, phi: direct}")
    )
    with pytest.raises(ContractError, match="GUAR_NAME"):
        load_contracts(tmp_path)


def test_a_snapshot_that_leaves_tombstones_cannot_come_in_a_format_that_is_read_in_pieces(tmp_path):
    text = (CONTRACTS / "hb.yaml").read_text()
    claim = text.index("  REMIT_835_CLAIM:")
    (tmp_path / "hb.yaml").write_text(text[:claim] + text[claim:].replace("load: event", "load: snapshot", 1))
    with pytest.raises(ContractError, match="REMIT_835_CLAIM: a file that is read in pieces"):
        load_contracts(tmp_path)


def test_types_of_the_contract_language_are_taken_apart():
    assert ColumnType.parse("decimal(18,4)").scale == 4
    assert ColumnType.parse("datetime(yyyy-MM-dd HH:mm:ss, UTC)").zone == "UTC"
    assert ColumnType.parse("boolean(Y/N)").words == ("Y", "N")
    with pytest.raises(ContractError):
        ColumnType.parse("money")


def test_an_empty_lake_has_a_file_for_every_source(tmp_path):
    written = ensure_empty_sources(tmp_path)
    assert len(written) == len(EXTRACTS)
    assert ensure_empty_sources(tmp_path) == []
    assert all(pq.read_table(path).num_rows == 0 for path in written[:5])
