"""Endpoints: where a site's deliveries are fetched from, read from one YAML file.

Here: the file's form, its dataclasses by kind (`files`, `database`, `rest`, `fhir_bulk`), secrets by reference.
Not here: connecting (`remote_files`, `database`, `rest`, `fhir_bulk`), writing what came (`delivery_writer`), reading
the environment (`orchestration.settings` does and hands a mapping in).

    endpoints:
      pou_sftp:
        system: pou
        kind: files
        url: sftp://suture@transfer.example.org/outbound
        options: {password: "${env:POU_SFTP_PASSWORD}"}

Any text may hold `${env:NAME}`; it then is a `Secret`. A field that holds a secret by its name (`password`, `secret`,
`token` and the like) takes nothing else. A variable that is not set is an error of its endpoint, when it is used, not
of the file.

Every kind has a module in `ingest.transports` with two functions, which `ingest.transports.pull` and `suture doctor`
call:

- `pull(endpoint, writer, as_of, progress) -> None`: fetch everything new, by way of the `DeliveryWriter`.
  `as_of` is an `ingest.clock.AsOf` or None; records have no date of their own, so the three record kinds are only
  called with one. Raises `EndpointError` (or whatever the client raises) when it could not; what was sealed stays.
- `probe(endpoint, contract) -> str`: connect, authenticate, list or ask for one row; what was seen, in a few words
  ("PostgreSQL 18.1, 3 queries answer"). Raises `EndpointError`, whose message says what to do.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import quote, quote_plus, urlsplit

import yaml

Progress = Callable[[str, str, int, "int | None"], None]
"""Called as `progress(endpoint name, thing being fetched, done, total or None)`; done is bytes or rows."""

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

# Names of fields, headers and parameters that hold a secret: as a whole, or as the last words of a longer name.
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:password|passwd|pwd|passphrase|secret|token|credential|sas|cookie|authorization|"
    r"(?:api|access|account|private|shared|subscription)[_-]?key|connection_string)$|^key$",
    re.IGNORECASE,
)
# Their own keys are names of columns and of path parts.
_NAMES_INSIDE = frozenset({"columns", "paging", "parts"})
# `user:password@` in a URL, and `password=...` or `PWD={...}` in a connection string.
_LITERAL_IN_TEXT = re.compile(
    r"://[^/@\s:]*:(?!\$\{env:)[^/@\s]+@"
    r"|\b(?:password|passwd|pwd|secret|token|accountkey|sharedaccesssignature)\s*=\s*(?!\{?\$\{env:|\s*[;&]|$)",
    re.IGNORECASE,
)


class EndpointError(Exception):
    """An endpoint is described wrongly or does not answer as it should; the message says what to do."""


@dataclass(frozen=True)
class Secret:
    """Text with references to the environment; only `reveal` gives the resolved text, `repr` and `str` never do."""

    text: str
    """As written: `${env:NAME}`, or text around such references."""
    _environment: Mapping[str, str] = field(repr=False, compare=False, hash=False)

    def reveal(self) -> str:
        """The text with its references resolved.

        Raises:
            EndpointError: a variable is not set.
        """

        def value(match: re.Match[str]) -> str:
            if not self._environment.get(match[1]):
                raise EndpointError(f"the environment variable {match[1]} is not set: set it and start again")
            return self._environment[match[1]]

        return _REFERENCE.sub(value, self.text)

    def values(self) -> Iterator[str]:
        """What must never be shown: the resolved values, those that are set."""
        for name in _REFERENCE.findall(self.text):
            if self._environment.get(name):
                yield self._environment[name]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Secret({self.text!r})"


Setting = str | int | float | bool | Secret | None | list[Any] | dict[str, Any]
"""A value of the file as YAML gives it, texts with a reference replaced by a `Secret` at any depth."""


def reveal(setting: Any) -> Any:
    """`setting` with every `Secret` in it resolved, at any depth: what a client library is given."""
    if isinstance(setting, Secret):
        return setting.reveal()
    if isinstance(setting, Mapping):
        return {name: reveal(value) for name, value in setting.items()}
    if isinstance(setting, list | tuple):
        return [reveal(value) for value in setting]
    return setting


@dataclass(frozen=True)
class Retry:
    """How often and how patiently to try again: waits double from the first to the longest, with jitter."""

    attempts: int = 5
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What every kind has."""

    kind: ClassVar[str]
    name: str
    system: str
    """Source system of the contracts that it feeds."""
    options: Mapping[str, Setting] = field(default_factory=dict)
    """Handed to the client library after `reveal`: `fsspec` storage options, database or connection options."""
    retry: Retry = Retry()
    timeout_seconds: float = 60.0
    """Of one request or one read from the connection."""
    parallel: int = 2
    """Files or requests in flight at once."""

    def scrub(self, message: object) -> str:
        """`message` as text without the resolved secrets of this endpoint; for everything that is shown or kept."""
        text = str(message)
        for value in sorted({value for secret in _secrets(self.__dict__) for value in secret.values()}, key=len)[::-1]:
            for form in (value, quote(value, safe=""), quote_plus(value), repr(value)[1:-1]):
                text = text.replace(form, "***")
            text = text.replace(b64encode(value.encode()).decode().rstrip("="), "***")
        return text


@dataclass(frozen=True, kw_only=True)
class FilesEndpoint(Endpoint):
    """Files by URL, in a folder that has the landing layout or another one."""

    kind: ClassVar[str] = "files"
    url: str
    """`sftp://user@host:port/folder`, `s3://bucket/prefix`, `abfs://container/prefix`, `abfss://...`, `file:///folder`."""
    patterns: tuple[str, ...] = ()
    """Paths below the URL with the contract's path parts in braces; none: the contract's own paths.

    A date may be `{yyyymmdd}`, `{yymmdd}` or `{yyyy}`, `{mm}`, `{dd}`; a path without one is dated by the file's time.
    """
    parts: Mapping[str, str] = field(default_factory=dict)
    """Path parts of the contract that the remote path does not have, the same for all files: `{n: "1"}`."""
    manifest_pattern: str | None = None
    """Path of the manifest below the URL, where the patterns do not follow the contract's layout."""
    settle_seconds: float = 30.0
    """Size and time must stay the same for so long before a file without a manifest is taken."""
    block_bytes: int = 4 << 20


@dataclass(frozen=True)
class Query:
    """One extract read from a database."""

    extract: str
    sql: str
    """May name `:since` and `:until`, bound to the cursor's bounds; without them it is a snapshot."""
    cursor: str | None = None
    """Column of the result that orders changes; None: everything, each time."""
    overlap_seconds: float = 0.0
    """How far behind the last cursor a pull begins again, for rows that commit late."""
    first_since: str | None = None
    """Where the very first pull begins, as text in the cursor's form."""


@dataclass(frozen=True, kw_only=True)
class DatabaseEndpoint(Endpoint):
    """A database read by Arrow."""

    kind: ClassVar[str] = "database"
    driver: Literal["postgresql", "odbc"]
    """`postgresql` through ADBC; `odbc` (SQL Server, Oracle) through arrow-odbc."""
    dsn: str | Secret
    """PostgreSQL URI, or ODBC connection string."""
    queries: tuple[Query, ...]
    batch_rows: int = 65_536
    slot: str | None = None
    """Slot `hhmm` of the delivery, for a contract with slots; None: the as-of's time."""


@dataclass(frozen=True)
class Auth:
    """How HTTP requests are authorised: OAuth2 client credentials, a bearer token, basic, or none."""

    token_url: str | None = None
    client_id: str | Secret | None = None
    client_secret: Secret | None = None
    scope: str | None = None
    token: Secret | None = None
    user: str | None = None
    password: Secret | None = None
    private_key_file: str | None = None
    """SMART backend services: file with the private key (PEM) that signs the client assertion."""
    key_id: str | None = None
    algorithm: str = "RS384"


@dataclass(frozen=True)
class Resource:
    """One extract read from a REST interface."""

    extract: str
    path: str
    """Below the endpoint's URL."""
    params: Mapping[str, Setting] = field(default_factory=dict)
    records: str = ""
    """Dotted path to the list of records in the answer; empty: the answer is the list."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Contract column -> dotted path in a record; a column that is not named is looked up by its own name."""
    paging: Mapping[str, Setting] = field(default_factory=dict)
    """`style: next_link | link_header | offset | page | token | none` and the names of its parameters."""
    cursor: str | None = None
    """Contract column that orders changes; None: everything, each time."""
    since_param: str | None = None
    until_param: str | None = None
    overlap_seconds: float = 0.0
    first_since: str | None = None


@dataclass(frozen=True, kw_only=True)
class RestEndpoint(Endpoint):
    """Records of a REST interface."""

    kind: ClassVar[str] = "rest"
    url: str
    auth: Auth = Auth()
    resources: tuple[Resource, ...]
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    requests_per_second: float | None = None
    slot: str | None = None


@dataclass(frozen=True, kw_only=True)
class FhirBulkEndpoint(Endpoint):
    """A FHIR server with bulk `$export`."""

    kind: ClassVar[str] = "fhir_bulk"
    url: str
    """Base URL of the FHIR server."""
    auth: Auth = Auth()
    level: str = ""
    """Where `$export` stands below the base: empty (system), `Patient`, `Group/<id>`."""
    types: tuple[str, ...] = ()
    """Resource types to ask for; none: the resources of the contract."""
    params: Mapping[str, Setting] = field(default_factory=dict)
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    overlap_seconds: float = 0.0
    """How far before the previous export's transactionTime `_since` is set."""
    longest_wait_seconds: float = 6 * 3600
    """How long an export may take on the server."""
    requests_per_second: float | None = None


AnyEndpoint = FilesEndpoint | DatabaseEndpoint | RestEndpoint | FhirBulkEndpoint

_KINDS: Mapping[str, type[Any]] = {
    kind.kind: kind for kind in (FilesEndpoint, DatabaseEndpoint, RestEndpoint, FhirBulkEndpoint)
}
_NESTED: Mapping[str, type[Any]] = {"retry": Retry, "auth": Auth, "queries": Query, "resources": Resource}


class _Loader(yaml.SafeLoader):
    """Refuses a name that is given twice: YAML itself would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node."""
        names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise EndpointError(f"line {node.start_mark.line + 1}: {', '.join(twice)} is given twice")
        return super().construct_mapping(node, deep=deep)


def load_endpoints(path: Path, environment: Mapping[str, str]) -> tuple[AnyEndpoint, ...]:
    """Read the endpoints of `path`, in the file's order; `environment` resolves the references when they are used.

    Raises:
        EndpointError: the file is not there or has another form, or holds a secret itself; the message names the
            endpoint and the field, never a value.
    """
    try:
        text = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except EndpointError as error:
        raise EndpointError(f"{path}, {error}") from None
    except OSError as error:
        raise EndpointError(f"the endpoints file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # The parser's own message quotes the line, and with it perhaps a secret.
        mark = getattr(error, "problem_mark", None)
        place = f" near line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise EndpointError(f"{path} is not YAML{place}") from None
    if not isinstance(text, dict) or not isinstance(text.get("endpoints"), dict) or set(text) != {"endpoints"}:
        raise EndpointError(f"{path}: begin with the one word `endpoints:` and give each endpoint a name below it")
    return tuple(_endpoint(str(name), spec, environment) for name, spec in text["endpoints"].items())


def _endpoint(name: str, spec: Any, environment: Mapping[str, str]) -> AnyEndpoint:
    if not _NAME.fullmatch(name):
        raise EndpointError(f"endpoint {name!r}: name it with letters, digits, points, hyphens and underscores")
    if not isinstance(spec, dict):
        raise EndpointError(f"endpoint {name}: give it system, kind and the fields of its kind")
    kind = _KINDS.get(str(spec.get("kind")))
    if kind is None:
        raise EndpointError(f"endpoint {name}: kind is one of {', '.join(_KINDS)}")
    fields = {key: value for key, value in spec.items() if key != "kind"}
    if "pattern" in fields and kind is FilesEndpoint:
        fields["patterns"] = fields.pop("pattern")
    endpoint: AnyEndpoint = _build(kind, f"endpoint {name}", {"name": name, **fields}, environment)
    _judge(endpoint)
    return endpoint


def _build(kind: type[Any], where: str, fields: Mapping[Any, Any], environment: Mapping[str, str]) -> Any:
    """An instance of `kind` from the fields of the file."""
    known = kind.__dataclass_fields__
    unknown = sorted(str(key) for key in fields if key not in known)
    if unknown:
        raise EndpointError(f"{where}: unknown field {', '.join(unknown)}; there are {', '.join(known)}")
    built: dict[str, Any] = {}
    for key, value in fields.items():
        inner = f"{where}, {key}"
        if key in ("queries", "resources"):
            built[key] = _list(inner, value, _NESTED[key], environment)
        elif key in _NESTED:
            if not isinstance(value, dict):
                raise EndpointError(f"{inner}: give it as fields")
            built[key] = _build(_NESTED[key], inner, value, environment)
        elif key in ("patterns", "types"):
            built[key] = tuple(str(each) for each in (value if isinstance(value, list) else [value]))
        else:
            _refuse_literals(where, str(key), value, is_name=False)
            built[key] = _typed(inner, known[key].type, _with_secrets(value, environment))
    try:
        return kind(**built)
    except TypeError:
        needed = [
            key
            for key, each in known.items()
            if key not in built and each.default is each.default_factory  # both MISSING
        ]
        raise EndpointError(f"{where}: missing {', '.join(needed)}") from None


def _list(where: str, value: Any, kind: type[Any], environment: Mapping[str, str]) -> tuple[Any, ...]:
    """Queries and resources: a list, or a mapping from the extract to the rest."""
    if isinstance(value, dict):
        value = [{"extract": extract, **(spec if isinstance(spec, dict) else {})} for extract, spec in value.items()]
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise EndpointError(f"{where}: give one entry for each extract")
    return tuple(
        _build(kind, f"{where} {each.get('extract', place)}", each, environment) for place, each in enumerate(value)
    )


def _typed(where: str, annotation: Any, value: Any) -> Any:
    """The value, when its kind is that of the field (annotations are text here)."""
    kinds: tuple[type[Any], ...]
    first = str(annotation).partition(" |")[0]
    if isinstance(value, Secret):
        if "Secret" not in str(annotation) and "Setting" not in str(annotation):
            raise EndpointError(f"{where}: a reference to the environment has no place here")
        return value
    if value is None and "None" in str(annotation):
        return None
    if first in ("float", "int"):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise EndpointError(f"{where}: give a number")
        return float(value) if first == "float" else int(value)
    kinds = (dict,) if first.startswith("Mapping") else (str,)
    if first == "bool":
        kinds = (bool,)
    if not isinstance(value, kinds):
        # A slot is written 0600 and read as a number.
        raise EndpointError(f"{where}: give {'fields' if kinds == (dict,) else 'text, in quotes'}")
    return value


def _refuse_literals(where: str, key: str, value: Any, *, is_name: bool) -> None:
    """A secret that stands in the file itself: refused by the field's name, or by the form of the text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_literals(f"{where}, {key}", str(name), inner, is_name=key in _NAMES_INSIDE)
        return
    if isinstance(value, list):
        for inner in value:
            _refuse_literals(where, key, inner, is_name=is_name)
        return
    bare = value is not None and not isinstance(value, bool) and not _REFERENCE.search(str(value))
    if bare and not is_name and _SECRET_NAME.search(key):
        raise EndpointError(
            f"{where}: {key} stands in the file itself; put it into an environment variable and write"
            f' {key}: "${{env:NAME}}"'
        )
    if isinstance(value, str) and key != "sql" and _LITERAL_IN_TEXT.search(value):
        raise EndpointError(
            f'{where}: {key} holds a password; put it into an environment variable and write "${{env:NAME}}" there'
        )


def _with_secrets(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, str) and _REFERENCE.search(value):
        return Secret(value, environment)
    if isinstance(value, dict):
        return {str(name): _with_secrets(inner, environment) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_secrets(inner, environment) for inner in value]
    return value


def _judge(endpoint: AnyEndpoint) -> None:
    """What the types do not say."""
    where = f"endpoint {endpoint.name}"
    if endpoint.parallel < 1 or endpoint.retry.attempts < 1:
        raise EndpointError(f"{where}: parallel and attempts are 1 or more")
    if isinstance(endpoint, DatabaseEndpoint):
        if endpoint.driver not in ("postgresql", "odbc"):
            raise EndpointError(f"{where}: driver is postgresql or odbc")
        extracts: Sequence[str] = [query.extract for query in endpoint.queries]
    else:
        schemes = ("sftp", "s3", "abfs", "abfss", "file") if isinstance(endpoint, FilesEndpoint) else ("https", "http")
        if urlsplit(endpoint.url).scheme not in schemes:
            raise EndpointError(f"{where}: url begins with {', '.join(f'{scheme}://' for scheme in schemes)}")
        extracts = [each.extract for each in endpoint.resources] if isinstance(endpoint, RestEndpoint) else []
    twice = sorted({extract for extract in extracts if extracts.count(extract) > 1})
    if twice:
        raise EndpointError(f"{where}: {', '.join(twice)} is asked for twice; one file of an extract in a delivery")
    slot = getattr(endpoint, "slot", None)
    if slot is not None and not re.fullmatch(r"(?:[01]\d|2[0-3])[0-5]\d", slot):
        raise EndpointError(f'{where}: slot is hhmm in quotes, as "0600"')


def _secrets(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner)
    elif hasattr(value, "__dataclass_fields__"):
        yield from _secrets(value.__dict__)
