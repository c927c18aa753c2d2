"""The endpoints file: its forms, what is refused and how, and that secrets stay in the environment."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from ingest.contract import load_contracts
from ingest.transports import remote_files
from ingest.transports.endpoints import (
    Auth,
    DatabaseEndpoint,
    EndpointError,
    FhirBulkEndpoint,
    FilesEndpoint,
    RestEndpoint,
    Secret,
    load_endpoints,
    reveal,
)
from ingest.transports.remote_server import storage

CHECKOUT = Path(__file__).parents[3]
CANARY = "p@ss/w+rd 7"


def load(tmp_path, text, **environment):
    file = tmp_path / "endpoints.yaml"
    file.write_text(text)
    return load_endpoints(file, environment)


def files_endpoint(tmp_path, url, options="", **environment):
    text = f"endpoints: {{there: {{system: pou, kind: files, url: '{url}', options: {{{options}}}}}}}"
    (endpoint,) = load(tmp_path, text, **environment)
    return endpoint


def refusal(tmp_path, fields, kind="files", more="url: 'sftp://h/x'"):
    with pytest.raises(EndpointError) as refused:
        load(tmp_path, f"endpoints:\n  there: {{system: pou, kind: {kind}, {more}, {fields}}}\n")
    return str(refused.value)


def test_the_sample_of_the_manual_is_read(tmp_path):
    manual = (CHECKOUT / "docs" / "pulling.md").read_text(encoding="utf-8")
    sample = manual.partition("```yaml\n# endpoints.yaml\n")[2].partition("```")[0]
    endpoints = load(tmp_path, sample)
    assert {type(endpoint) for endpoint in endpoints} == {
        FilesEndpoint,
        DatabaseEndpoint,
        RestEndpoint,
        FhirBulkEndpoint,
    }
    contracts = load_contracts()
    for endpoint in endpoints:
        assert endpoint.system in contracts
        for each in (*getattr(endpoint, "queries", ()), *getattr(endpoint, "resources", ())):
            assert each.extract in contracts[endpoint.system].extracts
        if isinstance(endpoint, FilesEndpoint):
            assert remote_files._routes(endpoint, contracts[endpoint.system])


def test_every_kind_has_its_fields(tmp_path):
    database, rest, bulk = load(
        tmp_path,
        """
endpoints:
  warehouse:
    system: ehr
    kind: database
    driver: postgresql
    dsn: "postgresql://suture:${env:PW}@db/clarity"
    queries:
      OR_LOG: {sql: clarity.or_log, cursor: update_date, overlap_seconds: 3600}
      OR_CASE: {sql: "select * from or_case where token = 'x'"}
    retry: {attempts: 2}
  interface:
    system: pou
    kind: rest
    url: https://api.example.org/v1
    slot: "0600"
    auth: {token_url: "https://login.example.org/token", client_id: suture, client_secret: "${env:PW}"}
    resources:
      - {extract: item, path: items, paging: {style: token, param: page_token}, columns: {item_no: id}}
  export:
    system: ehr_fhir
    kind: fhir_bulk
    url: https://fhir.example.org/r4
    types: [Device, Procedure]
""",
        PW=CANARY,
    )
    assert database.retry.attempts == 2
    assert [query.extract for query in database.queries] == ["OR_LOG", "OR_CASE"]
    assert database.queries[0].overlap_seconds == 3600.0
    assert reveal(database.dsn) == f"postgresql://suture:{CANARY}@db/clarity"
    assert rest.resources[0].paging == {"style": "token", "param": "page_token"}
    assert isinstance(rest.auth, Auth)
    assert bulk.types == ("Device", "Procedure")


@pytest.mark.parametrize(
    "fields",
    [
        f"options: {{password: '{CANARY}'}}",
        f"options: {{secret_access_key: '{CANARY}'}}",
        f"options: {{key: '{CANARY}'}}",
        f"options: {{client_kwargs: {{aws_session_token: '{CANARY}'}}}}",
        f"options: {{passphrase: ['{CANARY}']}}",
        f"options: {{host: 'AccountKey={CANARY}'}}",
        "options: {password: 12345678}",
    ],
)
def test_a_secret_in_the_file_is_refused_by_its_field_and_never_repeated(tmp_path, fields):
    told = refusal(tmp_path, fields)
    assert "endpoint there" in told
    assert "${env:NAME}" in told
    assert CANARY not in told
    assert "12345678" not in told


@pytest.mark.parametrize(
    "dsn",
    ["postgresql://suture:hunter2@db/x", "Driver=ODBC;Server=db;UID=s;PWD=hunter2", "Driver=ODBC;pwd = {hunter2};"],
)
def test_a_password_in_a_connection_string_is_refused(tmp_path, dsn):
    told = refusal(tmp_path, f"dsn: '{dsn}', queries: {{item: {{sql: item}}}}", "database", "driver: odbc")
    assert "dsn" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key", "Ocp-Apim-Subscription-Key", "Cookie"])
def test_a_secret_header_or_parameter_is_refused(tmp_path, header):
    for field in ("headers", "params"):
        place = f"{field}: {{{header}: hunter2}}"
        told = refusal(tmp_path, place, "fhir_bulk", "url: 'https://h/x'")
        assert header in told
        assert "hunter2" not in told


def test_connection_strings_that_only_refer_are_taken(tmp_path):
    for dsn in ("postgresql://s:${env:PW}@db/x", "UID=s;PWD=${env:PW}", "UID=s;PWD={${env:PW}};Encrypt=yes"):
        fields = f"driver: odbc, dsn: '{dsn}', queries: {{item: {{sql: i}}}}"
        text = f"endpoints: {{a: {{system: pou, kind: database, {fields}}}}}"
        (endpoint,) = load(tmp_path, text, PW=CANARY)
        assert isinstance(endpoint.dsn, Secret)
        assert CANARY in endpoint.dsn.reveal()
        assert CANARY not in f"{endpoint!r} {endpoint} {endpoint.dsn} {endpoint.dsn!r} {vars(endpoint)}"


def test_a_variable_that_is_not_set_is_an_error_of_its_use_not_of_the_file(tmp_path):
    endpoint = files_endpoint(tmp_path, "abfs://c@a.dfs.core.windows.net/x", "sas_token: '${env:MISSING_ONE}'")
    with pytest.raises(EndpointError, match="MISSING_ONE is not set"):
        storage(endpoint)


def test_messages_are_scrubbed_of_secrets_in_every_form(tmp_path):
    endpoint = files_endpoint(
        tmp_path, "sftp://h/x", "password: '${env:PW}', proxy: {token: 'a${env:PW2}b'}", PW=CANARY, PW2="s3cr"
    )
    encoded = base64.b64encode(CANARY.encode()).decode()
    said = endpoint.scrub(f"{CANARY} {quote(CANARY, safe='')} {encoded} as3crb")
    for form in (CANARY, quote(CANARY, safe=""), encoded.rstrip("="), "s3cr"):
        assert form not in said


def test_a_compared_secret_shows_nothing():
    one = Secret("${env:PW}", {"PW": CANARY})
    assert one == Secret("${env:PW}", {"PW": "other"})
    assert CANARY not in str({one: 1})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("endpoints: [", "is not YAML near line"),
        ("- 1", "begin with the one word"),
        ("endpoints: {}\nother: 1", "begin with the one word"),
        ("endpoints: {a: 1}", "give it system, kind"),
        ("endpoints: {'a b': {kind: files}}", "name it with letters"),
        ("endpoints: {a: {kind: ftp}}", "kind is one of files, database, rest, fhir_bulk"),
        ("endpoints: {a: {kind: files, system: pou}}", "missing url"),
        ("endpoints: {a: {kind: files, system: pou, url: 'ftp://x'}}", "sftp://, s3://"),
        ("endpoints: {a: {kind: files, system: pou, url: 'file:///x', colour: 1}}", "unknown field colour"),
        ("endpoints: {a: {kind: files, system: pou, url: 'file:///x', parallel: many}}", "parallel: give a number"),
        ("endpoints: {a: {kind: files, system: pou, url: 'file:///x', parallel: 0}}", "1 or more"),
        (
            "endpoints: {a: {kind: rest, system: pou, url: 'https://x', slot: 360, resources: {i: {path: p}}}}",
            "in quotes",
        ),
        (
            "endpoints: {a: {kind: rest, system: pou, url: 'https://x', slot: '2460', resources: {i: {path: p}}}}",
            "hhmm",
        ),
        ("endpoints: {a: {kind: rest, system: pou, url: 'https://x', resources: {}}}", "one entry for each extract"),
        (
            "endpoints: {a: {kind: rest, system: pou, url: 'https://x',"
            " resources: [{extract: i, path: p}, {extract: i, path: q}]}}",
            "i is asked for twice",
        ),
        ("endpoints:\n  a: {kind: files}\n  a: {kind: files}", "a is given twice"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_what_to_do(tmp_path, text, told):
    with pytest.raises(EndpointError, match=told):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(EndpointError, match="cannot be read"):
        load_endpoints(tmp_path / "none.yaml", {})


# ---------------------------------------------------------------- connection options


def test_azure_urls_give_account_container_and_prefix(tmp_path):
    options = "account_key: '${env:AZ}'"
    protocol, given, root = storage(
        files_endpoint(tmp_path, "abfss://deliveries@hospital.dfs.core.windows.net/out/pou", options, AZ=CANARY)
    )
    assert (protocol, root) == ("abfs", "deliveries/out/pou")
    assert (given["account_name"], given["account_key"]) == ("hospital", CANARY)
    assert storage(files_endpoint(tmp_path, "abfs://deliveries/out/", "account_name: hospital"))[2] == "deliveries/out"
    given = storage(files_endpoint(tmp_path, "abfs://deliveries", "connection_string: '${env:AZ}'", AZ=CANARY))[1]
    assert given["connection_string"] == CANARY
    assert {"tenant_id", "client_id"} <= set(
        storage(files_endpoint(tmp_path, "abfs://c", "account_name: a, tenant_id: t, client_id: c"))[1]
    )


def test_s3_options_have_their_own_names_or_the_client_librarys(tmp_path):
    options = "access_key_id: suture, secret_access_key: '${env:S}', region: us-east-2, endpoint_url: 'http://h:1'"
    protocol, given, root = storage(files_endpoint(tmp_path, "s3://bucket/out/", options, S=CANARY))
    assert (protocol, root) == ("s3", "bucket/out")
    assert (given["key"], given["secret"], given["client_kwargs"]) == ("suture", CANARY, {"region_name": "us-east-2"})
    assert given["endpoint_url"] == "http://h:1"
    assert storage(files_endpoint(tmp_path, "s3://bucket"))[2] == "bucket"


def test_sftp_trusts_no_host_unless_it_is_told_to(tmp_path):
    known = tmp_path / "known_hosts"
    with pytest.raises(EndpointError, match="ssh-keyscan h"):
        storage(files_endpoint(tmp_path, "sftp://h/x", f"known_hosts: '{known}'"))
    known.touch()
    protocol, given, root = storage(files_endpoint(tmp_path, "sftp://a%40b@h:2222/out", f"known_hosts: '{known}'"))
    assert (protocol, root) == ("sftp", "/out")
    assert (given["host"], given["port"], given["username"]) == ("h", 2222, "a@b")
    assert given["known_hosts"] == str(known)
    assert storage(files_endpoint(tmp_path, "sftp://h/x", "insecure: true"))[1]["known_hosts"] is None
    assert storage(files_endpoint(tmp_path, "sftp://h/~/x", "insecure: true"))[2] == "x"


def test_a_pattern_that_lacks_a_part_of_the_landing_path_is_refused(tmp_path):
    mmis = load_contracts()["mmis"]
    text = "endpoints: {a: {system: mmis, kind: files, url: 'file:///x', pattern: '{yyyymmdd}/{extract}.txt'%s}}"
    (lacking,) = load(tmp_path, text % "")
    with pytest.raises(EndpointError, match="lacks parts of"):
        remote_files._routes(lacking, mmis)
    (whole,) = load(tmp_path, text % ", parts: {n: '1'}")
    (route,) = remote_files._routes(whole, mmis)
    assert route.delivery is mmis.delivery
