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
    for extract in EXTRACTS[::12]:
        landing.put(extract.feed, "20260101", [row(extract.feed)])
    run(landing, home)
    for extract in EXTRACTS[::12]:
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
        "har": {"HSP_ACCOUNT_ID", "COMBINE_ACCT_ID", "OLD_HSP_ACCOUNT_ID"},
        "csn": {"PAT_ENC_CSN_ID", "OR_LINK_CSN", "csn"},
        "pat": {"PAT_ID", "MERGED_INTO_PAT_ID"},
        "mrn": {"PAT_MRN_ID", "patient_mrn"},
        "tin": {"TAX_ID", "TaxpayerId"},
        "serial": {"SERIAL_NUMBER", "serial", "PO_USER_FLD_4"},
        "udi": {"udi_raw"},
    }
    found: dict[str, set[str]] = {}
    for extract in EXTRACTS:
        for column in extract.columns.values():
            if column.token:
                found.setdefault(column.token.domain, set()).add(column.name)
    assert found == domains


def test_the_835_is_not_among_the_extracts_that_are_read():
    assert not any(extract.name.startswith("REMIT_835") for extract in EXTRACTS)


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
    stricter = version(text.replace("values: [EA, BX, CM2, HR]", "values: [EA, BX, CM2]"))
    assert stricter[0] != before[0] and stricter[1] == before[1]


def test_a_direct_identifier_without_a_way_through_the_door_is_an_error(tmp_path):
    text = (CONTRACTS / "hb.yaml").read_text()
    (tmp_path / "hb.yaml").write_text(
        text.replace("GUAR_NAME: {type: string, phi: direct, drop: true}", "GUAR_NAME: {type: string, phi: direct}")
    )
    with pytest.raises(ContractError, match="GUAR_NAME"):
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
