"""FHIR bulk `$export` as deliveries: kick-off, poll, download, resume (FHIR Bulk Data Access 2.0).

Here: the export's life on the server, its files as `{resource}.{n}.ndjson.gz`, its manifest with our file names.
Not here: authorisation and retries (`http_client`), place and seal (`delivery_writer`), reading resources
(`formats.fhir`).

An export belongs to one delivery: `_since` is the transactionTime of the last sealed one (less the overlap), the status
URL is kept as soon as the server gives it, and a pull that was killed goes on polling or downloading the same export;
files that stand whole are not fetched again. An export that the server has let expire (404 or 410) is started anew with
the same `_since`. After the seal the server is told that it may delete the files.

Files are compressed anew without a clock time, so that the same export gives the same bytes however it was fetched. A
file is whole when its transfer was, its last line is, and it has the lines that the manifest counts.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit

from ingest.clock import AsOf
from ingest.contract import SystemContract
from ingest.transports.delivery_writer import DeliveryWriter, Drop, Part
from ingest.transports.endpoints import EndpointError, FhirBulkEndpoint, Progress, reveal
from ingest.transports.http_client import Again, Client, Clock, Refused, parse_json, retry_after, whole_json

if TYPE_CHECKING:
    import httpx

TRANSACTION_TIME = "transaction_time"

_FHIR = "application/fhir+json"
_NDJSON = "application/fhir+ndjson"
# How often an export that expired is started again within one pull.
_MOST_EXPORTS = 3
_BLOCK = 1 << 20
# Answers to the deletion of an export, the last four of servers that cannot or need not do it.
_DELETED = frozenset({200, 202, 204, 404, 405, 410, 501})


class _Expired(Exception):
    """The server no longer has the export."""


@dataclass(frozen=True)
class Exported:
    """One file of an export."""

    resource: str
    url: str
    name: str
    """Name in the delivery folder."""
    count: int | None
    is_deletion: bool = False


def pull(
    endpoint: FhirBulkEndpoint, writer: DeliveryWriter, as_of: AsOf, progress: Progress, *, clock: Clock | None = None
) -> None:
    """Deliver one export for this as-of, and first finish one that an earlier pull began.

    Raises:
        EndpointError: the server refuses, or the export is not ready in time; the next pull goes on with it.
    """
    clock = clock or Clock()
    with Client(endpoint, clock) as client:
        for drop in chain(writer.unfinished(), _new(writer, as_of)):
            with drop:
                status_url = _deliver(endpoint, client, clock, writer, drop, progress)
            # The files are ours now; a server that cannot delete them lets them expire.
            with suppress(EndpointError):
                client.delete(status_url, _DELETED)


def _new(writer: DeliveryWriter, as_of: AsOf) -> Iterator[Drop]:
    drop = writer.delivery(as_of)
    if drop.delivery.manifest != "bulk":
        raise EndpointError(
            f"endpoint {writer.endpoint.name}: {writer.contract.system} is no system of FHIR bulk exports"
        )
    if not drop.is_sealed:
        yield drop


def probe(endpoint: FhirBulkEndpoint, contract: SystemContract, *, clock: Clock | None = None) -> str:
    """Read the server's capability statement and see that the credentials are taken; starts no export.

    Raises:
        EndpointError: what to do, without secrets.
    """
    with Client(endpoint, clock or Clock()) as client:
        says = client.get(f"{endpoint.url.rstrip('/')}/metadata", whole_json, headers={"Accept": _FHIR}, authorise=True)
    if not isinstance(says, dict) or says.get("resourceType") != "CapabilityStatement":
        raise EndpointError(f"endpoint {endpoint.name}: metadata is no CapabilityStatement; check url")
    software = says.get("software")
    name = str(software.get("name", "")) if isinstance(software, dict) else ""
    missing = sorted({*types_of(endpoint, contract)} - _known_types(says))
    if _known_types(says) and missing:
        raise EndpointError(f"endpoint {endpoint.name}: the server knows no {', '.join(missing)}; check types")
    return f"{name or 'FHIR server'} {says.get('fhirVersion', '')}, {len(types_of(endpoint, contract))} types to export"


def _known_types(says: Mapping[str, Any]) -> set[str]:
    return {
        str(resource.get("type"))
        for rest in says.get("rest") or ()
        if isinstance(rest, dict)
        for resource in rest.get("resource") or ()
        if isinstance(resource, dict)
    }


def types_of(endpoint: FhirBulkEndpoint, contract: SystemContract) -> tuple[str, ...]:
    """Resource types to ask for: the endpoint's, else those that the contract reads."""
    return endpoint.types or tuple(contract.delivery.reads)


# ------------------------------------------------------------------------------------------------ one export


def _deliver(
    endpoint: FhirBulkEndpoint, client: Client, clock: Clock, writer: DeliveryWriter, drop: Drop, progress: Progress
) -> str:
    """Fill the delivery from its export; the status URL."""
    plan = drop.plan({"since": _since(endpoint, writer.state.get(endpoint.name, TRANSACTION_TIME)), "void": []})
    for _ in range(_MOST_EXPORTS):
        try:
            status_url = plan.get("status_url")
            if status_url is None:
                status_url = _kick_off(endpoint, client, writer.contract, plan["since"])
                plan = drop.replan({"status_url": status_url})
            says = _completed(endpoint, client, clock, writer, drop, status_url, progress)
            files = exported_files(says, types_of(endpoint, writer.contract))
            _download(endpoint, client, writer, drop, says, files, progress)
        except _Expired:
            plan = _abandon(writer, drop)
            writer.remarks.append("an export had expired on the server and was started again")
            continue
        _tell_errors(endpoint, client, writer, says)
        for name in {*json_list(drop.replan({}).get("void"))} - {each.name for each in files}:
            (writer.landing / drop.folder / str(name)).unlink(missing_ok=True)
        drop.manifest(manifest_of(says, files))
        drop.then(TRANSACTION_TIME, str(says["transactionTime"]))
        return str(status_url)
    raise EndpointError(f"endpoint {endpoint.name}: exports expire before they are fetched; pull more often")


def _abandon(writer: DeliveryWriter, drop: Drop) -> dict[str, Any]:
    """Forget the export. Its files are no longer what they seem to be: the next one has the same names."""
    stale = {each.path.rpartition("/")[2] for each in writer.state.files(drop.folder)}
    return drop.replan({"status_url": None, "void": sorted(stale)})


def _since(endpoint: FhirBulkEndpoint, reached: str | None) -> str | None:
    """`_since` of the next export: transactionTime of the last one, less the overlap."""
    if reached is None or not endpoint.overlap_seconds:
        return reached
    moment = datetime.fromisoformat(reached) - timedelta(seconds=endpoint.overlap_seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _kick_off(endpoint: FhirBulkEndpoint, client: Client, contract: SystemContract, since: str | None) -> str:
    """Start an export; the status URL from Content-Location."""
    base = endpoint.url.rstrip("/")
    level = f"{endpoint.level.strip('/')}/" if endpoint.level else ""
    params: dict[str, Any] = {"_outputFormat": _NDJSON, "_type": ",".join(types_of(endpoint, contract))}
    if since is not None:
        params["_since"] = since
    headers = {"Accept": _FHIR, "Prefer": "respond-async"}
    url = f"{base}/{level}$export"

    def location(response: httpx.Response) -> str:
        said = response.headers.get("Content-Location", "")
        if not said:
            raise EndpointError(
                f"endpoint {endpoint.name}: the kick-off has no Content-Location; is this a bulk server?"
            )
        return urljoin(str(response.request.url), said)

    try:
        return client.get(
            url,
            location,
            params=params | reveal(endpoint.params),
            headers=headers,
            accept=frozenset({202}),
            authorise=True,
        )
    except Refused as refused:
        raise EndpointError(f"{refused}{_outcome(refused.response)}") from None


def _completed(
    endpoint: FhirBulkEndpoint,
    client: Client,
    clock: Clock,
    writer: DeliveryWriter,
    drop: Drop,
    status_url: str,
    progress: Progress,
) -> Mapping[str, Any]:
    """The manifest of the export once it is complete.

    Raises:
        _Expired: the server has forgotten the export.
        EndpointError: it failed, or takes longer than the endpoint allows.
    """
    begun = clock.monotonic()
    polls = 0
    while True:
        try:
            says, wait = client.get(
                status_url,
                _status,
                headers={"Accept": "application/json"},
                accept=frozenset({200, 202}),
                authorise=_is_at_home(endpoint.url, status_url) or urlsplit(status_url).scheme == "https",
            )
        except Refused as refused:
            if refused.status in (404, 410):
                raise _Expired from None
            outcome = _outcome(refused.response)
            if not outcome or refused.status in (401, 403, 429):
                raise
            # With an OperationOutcome the server says that the export itself failed, not the question after it.
            _abandon(writer, drop)
            with suppress(EndpointError):
                client.delete(status_url, _DELETED)
            raise EndpointError(
                f"endpoint {endpoint.name}: the export failed on the server{outcome}; the next pull starts a new one"
            ) from None
        if says is not None:
            if not isinstance(says, dict) or not isinstance(says.get("transactionTime"), str):
                raise EndpointError(f"endpoint {endpoint.name}: the export's manifest has no transactionTime")
            return says
        polls += 1
        progress(endpoint.name, "waiting for the export", polls, None)
        wait = client.backoff(polls) if wait is None else wait
        if clock.monotonic() - begun + wait > endpoint.longest_wait_seconds:
            raise EndpointError(
                f"endpoint {endpoint.name}: the export is not ready after {endpoint.longest_wait_seconds:.0f} seconds;"
                " pull again later, it goes on with the same export"
            )
        clock.sleep(wait)


def _status(response: httpx.Response) -> tuple[Any, float | None]:
    """The manifest, or None and how long to wait."""
    if response.status_code == 202:
        return None, retry_after(response)
    return json.loads(_whole(response.read())), None


def _whole(body: bytes) -> bytes:
    parse_json(body)
    return body


def exported_files(says: Mapping[str, Any], types: Iterable[str]) -> list[Exported]:
    """Files of an export with the names they get, numbered by resource type in the manifest's order.

    Outputs of types that were not asked for are left out; deleted resources come as Bundles.
    """
    wanted = set(types)
    numbers: Counter[str] = Counter()
    files = []
    for part in ("output", "deleted"):
        for each in json_list(says.get(part)):
            if not isinstance(each, dict) or not isinstance(each.get("url"), str):
                continue
            resource = str(each.get("type", ""))
            is_deletion = part == "deleted"
            if not is_deletion and resource not in wanted:
                continue
            kind = "Bundle" if is_deletion else resource
            numbers[kind] += 1
            count = each.get("count")
            name = f"{kind}.{numbers[kind]}.ndjson.gz"
            files.append(Exported(kind, each["url"], name, count if type(count) is int else None, is_deletion))
    return files


def manifest_of(says: Mapping[str, Any], files: Iterable[Exported]) -> bytes:
    """The server's manifest with our file names in place of its URLs; files of errors keep type and count alone."""
    by_part = {
        part: [
            {"type": each.resource, "url": each.name} | ({} if each.count is None else {"count": each.count})
            for each in files
            if each.is_deletion == (part == "deleted")
        ]
        for part in ("output", "deleted")
    }
    errors = [
        {key: each[key] for key in ("type", "count") if key in each}
        for each in json_list(says.get("error"))
        if isinstance(each, dict)
    ]
    kept = {key: says[key] for key in ("transactionTime", "requiresAccessToken") if key in says}
    return (json.dumps({**kept, **by_part, "error": errors}, indent=1, sort_keys=True) + "\n").encode()


def json_list(value: Any) -> list[Any]:
    """A list, or none where something else stands."""
    return value if isinstance(value, list) else []


# ------------------------------------------------------------------------------------------------ files


def _download(
    endpoint: FhirBulkEndpoint,
    client: Client,
    writer: DeliveryWriter,
    drop: Drop,
    says: Mapping[str, Any],
    files: list[Exported],
    progress: Progress,
) -> None:
    """Every file that does not stand whole already."""
    void = set(json_list(drop.replan({}).get("void")))
    missing = [each for each in files if each.name in void or drop.has(each.resource, each.name) is None]

    def fetch(each: Exported) -> None:
        with drop.file(each.resource, each.name) as part:
            try:
                part.rows = client.get(
                    each.url,
                    lambda response: _store(response, part, each),
                    headers={"Accept": _NDJSON, "Accept-Encoding": "gzip"},
                    authorise=_needs_token(endpoint.url, each.url, says),
                )
            except Refused as refused:
                if refused.status in (404, 410):
                    raise _Expired from None
                raise
        progress(endpoint.name, each.name, part.offset, part.offset)

    # Names of an export that expired are told apart by the plan, which one thread alone may change.
    for each in [each for each in missing if each.name in void]:
        fetch(each)
        void.discard(each.name)
        drop.replan({"void": sorted(void)})
    with ThreadPoolExecutor(endpoint.parallel) as pool:
        for done in [pool.submit(fetch, each) for each in missing if drop.has(each.resource, each.name) is None]:
            done.result()


def _needs_token(base: str, url: str, says: Mapping[str, Any]) -> bool:
    """Whether the token goes along with a file; to another host only where the manifest says so, and encrypted."""
    if _is_at_home(base, url):
        return says.get("requiresAccessToken") is not False
    return says.get("requiresAccessToken") is True and urlsplit(url).scheme == "https"


def _is_at_home(base: str, url: str) -> bool:
    return urlsplit(url)[:2] == urlsplit(base)[:2]


def _store(response: httpx.Response, part: Part, exported: Exported) -> int:
    """The body into the part, compressed; its lines.

    Raises:
        Again: it is not whole.
    """
    part.restart()
    lines = 0
    last = b""
    # The same bytes from the same content: no name and no time in the header, a fixed level.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=cast("IO[bytes]", part), mtime=0) as packed:
        for block in plain_blocks(response):
            packed.write(block)
            lines += block.count(b"\n")
            cut = block.rfind(b"\n")
            last = last + block if cut < 0 else block[cut + 1 :]
    if last.strip():
        parse_json(last)
        lines += 1
    if exported.count is not None and lines < exported.count:
        raise Again(f"{lines} of {exported.count} resources of {exported.name}")
    return lines


def plain_blocks(response: httpx.Response) -> Iterator[bytes]:
    """The body without compression, whether the transfer or the file itself is compressed.

    Raises:
        Again: the compressed stream ends before its end.
    """
    unzip: Any = None
    is_first = True
    for block in response.iter_raw(_BLOCK):
        if is_first:
            is_first = False
            if block.startswith(b"\x1f\x8b"):
                unzip = zlib.decompressobj(31)
        if unzip is None:
            yield block
            continue
        while block:
            try:
                plain = unzip.decompress(block)
            except zlib.error:
                raise Again("a compressed file that does not unpack") from None
            if plain:
                yield plain
            block = b""
            if unzip.eof and unzip.unused_data:
                # Another member follows.
                block, unzip = unzip.unused_data, zlib.decompressobj(31)
    if unzip is not None and not unzip.eof:
        raise Again("a compressed file that ends too early")


# ------------------------------------------------------------------------------------------------ what went wrong


def _tell_errors(endpoint: FhirBulkEndpoint, client: Client, writer: DeliveryWriter, says: Mapping[str, Any]) -> None:
    """Severity and code of the issues that the server lists beside an export; their words may name a patient."""
    issues: Counter[str] = Counter()
    for each in json_list(says.get("error")):
        url = each.get("url") if isinstance(each, dict) else None
        if not isinstance(url, str):
            continue

        def read(response: httpx.Response) -> list[str]:
            body = b"".join(plain_blocks(response))
            return [issue for line in body.split(b"\n") if line.strip() for issue in issues_of(parse_json(line))]

        try:
            issues.update(
                client.get(
                    url,
                    read,
                    headers={"Accept": _NDJSON},
                    authorise=_needs_token(endpoint.url, url, says),
                )
            )
        except EndpointError:
            issues["unreadable OperationOutcome"] += 1
    if issues:
        told = ", ".join(f"{count} x {issue}" for issue, count in sorted(issues.items()))
        writer.remarks.append(f"the export of {says.get('transactionTime')} tells of {told}")


def issues_of(outcome: Any) -> list[str]:
    """`severity/code` of each issue of an OperationOutcome, where they are words of their value sets."""
    found = []
    for issue in json_list(outcome.get("issue") if isinstance(outcome, dict) else None):
        if isinstance(issue, dict):
            words = f"{issue.get('severity', '')}/{issue.get('code', '')}"
            found.append(words if re.fullmatch(r"[a-z]{1,20}/[a-z-]{1,30}", words) else "an issue without a code")
    return found


def _outcome(response: httpx.Response) -> str:
    """Issues of an answer's OperationOutcome, for a message."""
    try:
        issues = issues_of(parse_json(response.content))
    except Again:
        return ""
    return f" ({', '.join(issues)})" if issues else ""
