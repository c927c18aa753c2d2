"""Records of a REST interface as deliveries.

Here: paging, records to columns, the cursor, and where a pull that was interrupted goes on.
Not here: authorisation, pace and retries (`http_client`), the file's dialect (`table_file`), its place and seal
(`delivery_writer`).

An answer is JSON with a list of records somewhere in it, NDJSON with a record a line, or CSV with a header; its
Content-Type says which. Every record becomes a row of the contract's file: JSON numbers keep their digits, ISO 8601
moments with an offset become the wall clock of the contract's zone, a list or object stays JSON. Columns that the
contract drops are not written.

`paging` of a resource:

| style | its other words |
| --- | --- |
| `none` | one answer has everything |
| `next_link` | `next`: path of the next page's URL in the answer (`next`), or of FHIR's `Bundle.link` |
| `link_header` | the next page is `rel="next"` of the Link header (RFC 8288) |
| `token` | `next`: path of the token in the answer (`next_token`), `param`: where it is sent (`page_token`) |
| `offset` | `param` (`offset`), `size_param` (`limit`), `size` (500), `total`: path of the count of all records |
| `page` | `param` (`page`), `size_param`, `size`, `first` (1), `total`: path of the count of pages |

Offsets and pages end with the first empty page, or where `total` says: a server may give fewer records than it was
asked for. A cursor moves to the largest value that came; the upper bound, where the interface takes one, is the as-of,
so that a page fetched again is the same page.

After each page the file is made durable and then, beside it, the note of what comes next (`<file>.next.part`). Both lie
in the landing directory: a page's token may be a patient's number, and that is the one place where such may lie.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from zoneinfo import ZoneInfo

from ingest.clock import AsOf
from ingest.contract import Column, Extract, SystemContract
from ingest.transports.delivery_writer import PART, DeliveryWriter, Drop
from ingest.transports.endpoints import EndpointError, Progress, Resource, RestEndpoint, reveal
from ingest.transports.http_client import Again, Client, Clock, Number, parse_json
from ingest.transports.table_file import TableFile, file_columns, plain, text_frame

if TYPE_CHECKING:
    import httpx

_STYLES = ("none", "next_link", "link_header", "token", "offset", "page")

Position = dict[str, Any]
"""Where a page stands: nothing for the first, else its `url`, `token`, `offset` or `page`."""


@dataclass(frozen=True)
class Answer:
    """What a page brought."""

    records: list[Any]
    body: Any = None
    """The whole JSON; None for NDJSON and CSV."""
    links: Mapping[Any, Any] = field(default_factory=dict)


def pull(
    endpoint: RestEndpoint, writer: DeliveryWriter, as_of: AsOf, progress: Progress, *, clock: Clock | None = None
) -> None:
    """Deliver every resource of the endpoint once for this as-of, and first what an earlier pull left unfinished.

    Raises:
        EndpointError: the interface does not answer, or not in the form that is described; nothing is sealed then.
    """
    for resource in endpoint.resources:
        writer.form(resource.extract)
        _style(endpoint, resource)
    with Client(endpoint, clock or Clock()) as client:
        # What is new is looked for after the unfinished ones are done.
        new = writer.begun_now(as_of, endpoint.slot, (resource.extract for resource in endpoint.resources))
        for drop in chain(writer.unfinished(), new):
            with drop:
                plan = drop.plan({"as_of": as_of.utc.strftime("%Y-%m-%dT%H:%M:%SZ")})
                for resource in endpoint.resources:
                    if writer.form(resource.extract) is drop.delivery:
                        _deliver(endpoint, client, writer, drop, resource, plan, progress)


def probe(endpoint: RestEndpoint, contract: SystemContract, *, clock: Clock | None = None) -> str:
    """Authorise and ask for the first page of every resource, keep nothing; what was seen, in a few words.

    Raises:
        EndpointError: what to do, without secrets or records.
    """
    with Client(endpoint, clock or Clock()) as client:
        for resource in endpoint.resources:
            if resource.extract not in contract.extracts:
                raise EndpointError(f"endpoint {endpoint.name}: {contract.system} has no extract {resource.extract}")
            extract = contract.extracts[resource.extract]
            answer = _fetch(endpoint, client, resource, {}, None, None)
            if answer.records:
                columns = _columns(extract, resource)
                required = [name for name in columns if extract.columns[name].required]
                missing = [name for name in required if columns[name](answer.records[0]) is None]
                if missing:
                    raise EndpointError(
                        f"endpoint {endpoint.name}, {resource.extract}: a record has no {', '.join(missing)}, which the"
                        " contract requires; name its path in columns"
                    )
    count = len(endpoint.resources)
    return f"{count} {'resource answers' if count == 1 else 'resources answer'}"


# ------------------------------------------------------------------------------------------------ one resource


def _deliver(
    endpoint: RestEndpoint,
    client: Client,
    writer: DeliveryWriter,
    drop: Drop,
    resource: Resource,
    plan: Mapping[str, Any],
    progress: Progress,
) -> None:
    extract = writer.contract.extracts[resource.extract]
    kept = writer.state.get(endpoint.name, f"cursor:{resource.extract}")
    path = drop.path_of(resource.extract)
    note = _Note(writer.landing / f"{path}.next{PART}")
    if drop.has(resource.extract):
        reached = plan.get(f"reached:{resource.extract}")
    else:
        since = resource.first_since
        if kept is not None:
            since = earlier(kept, resource.overlap_seconds) if resource.overlap_seconds else kept
        bounds = (since, str(plan["as_of"]))
        reached = _fetch_all(endpoint, client, writer, drop, resource, extract, note, bounds, progress)
    note.forget()
    if reached is not None and (kept is None or later(kept, reached) == reached):
        drop.then(f"cursor:{resource.extract}", reached)


def _fetch_all(
    endpoint: RestEndpoint,
    client: Client,
    writer: DeliveryWriter,
    drop: Drop,
    resource: Resource,
    extract: Extract,
    note: _Note,
    bounds: tuple[str | None, str],
    progress: Progress,
) -> str | None:
    """Every page into the extract's file, from where an interrupted pull stopped; the largest cursor value."""
    columns = _columns(extract, resource)
    cursor = columns.get(resource.cursor) if resource.cursor else None
    if resource.cursor and cursor is None:
        raise EndpointError(f"endpoint {endpoint.name}, {resource.extract}: its cursor is no column of the contract")
    begun = note.read() if not extract.delivery.is_zip else {}
    with drop.file(resource.extract, keep=int(begun.get("offset", 0))) as part:
        if not part.offset:
            begun = {}
        reached: str | None = begun.get("reached")
        position: Position | None = begun["position"] if begun else {}
        with TableFile(
            part,
            extract,
            list(columns),
            writer.remarks,
            rows=begun.get("rows", 0),
            total=Decimal(begun.get("total", 0)),
        ) as file:
            while position is not None:
                answer = _fetch(endpoint, client, resource, position, *bounds)
                if answer.records:
                    file.write(
                        text_frame(
                            {
                                name: [value_text(take(record), extract.columns[name]) for record in answer.records]
                                for name, take in columns.items()
                            }
                        )
                    )
                if cursor is not None:
                    for value in map(cursor, answer.records):
                        if value is not None:
                            reached = str(value) if reached is None else later(reached, str(value))
                position = _moved(endpoint, resource, position, next_position(resource.paging, position, answer))
                if position is not None and not extract.delivery.is_zip:
                    part.flush()
                    note.write(
                        {
                            "offset": part.offset,
                            "rows": file.rows,
                            "total": str(file.total),
                            "position": position,
                            "reached": reached,
                        }
                    )
                progress(endpoint.name, resource.extract, file.rows, file.rows if position is None else None)
        if reached is not None:
            drop.replan({f"reached:{resource.extract}": reached})
    return reached


class _Note:
    """What an interrupted file needs to go on, beside it in the landing directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any]:
        """What was written last; empty when nothing was."""
        try:
            says: dict[str, Any] = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return says

    def write(self, says: Mapping[str, Any]) -> None:
        """Replace the note as a whole. Losing it in a power cut costs pages, never rows."""
        beside = self._path.with_name(f"{self._path.name}.tmp")
        beside.write_text(json.dumps(says), encoding="utf-8")
        beside.replace(self._path)

    def forget(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------ pages


def _style(endpoint: RestEndpoint, resource: Resource) -> str:
    style = str(resource.paging.get("style", "none"))
    if style not in _STYLES:
        raise EndpointError(
            f"endpoint {endpoint.name}, {resource.extract}: paging style is one of {', '.join(_STYLES)}"
        )
    return style


def request_of(
    endpoint: RestEndpoint, resource: Resource, position: Position, since: str | None, until: str | None
) -> tuple[str, dict[str, Any]]:
    """URL and parameters of a page."""
    url = urljoin(endpoint.url.rstrip("/") + "/", resource.path.lstrip("/")) if resource.path else endpoint.url
    if "url" in position:
        return urljoin(url, position["url"]), {}
    params = dict(reveal(resource.params))
    if resource.since_param and since is not None:
        params[resource.since_param] = since
    if resource.until_param and until is not None:
        params[resource.until_param] = until
    paging = reveal(resource.paging)
    style = paging.get("style", "none")
    if style == "token" and "token" in position:
        params[paging.get("param", "page_token")] = position["token"]
    if style == "offset":
        params[paging.get("param", "offset")] = position.get("offset", 0)
        params[paging.get("size_param", "limit")] = paging.get("size", 500)
    if style == "page":
        params[paging.get("param", "page")] = position.get("page", paging.get("first", 1))
    if style in ("page", "token", "next_link", "link_header") and "size_param" in paging:
        params[paging["size_param"]] = paging.get("size", 500)
    return url, params


def next_position(paging: Mapping[str, Any], position: Position, answer: Answer) -> Position | None:
    """Where the page after this one stands; None when this was the last."""
    style = paging.get("style", "none")
    if style == "next_link":
        link = at_path(answer.body, str(paging.get("next", "next")))
        if isinstance(link, list):
            # FHIR R4 Bundle.link: a list of relation and url.
            link = next((each for each in link if at_path(each, "relation") == "next"), None)
        if isinstance(link, Mapping):
            link = link.get("href") or link.get("url")
        return {"url": str(link)} if link else None
    if style == "link_header":
        link = answer.links.get("next", {}).get("url")
        return {"url": str(link)} if link else None
    if style == "token":
        token = at_path(answer.body, str(paging.get("next", "next_token")))
        return {"token": str(token)} if token not in (None, "") else None
    total = at_path(answer.body, str(paging["total"])) if "total" in paging else None
    if style == "offset":
        offset = position.get("offset", 0) + len(answer.records)
        is_last = not answer.records or (total is not None and offset >= int(total))
        return None if is_last else {"offset": offset}
    if style == "page":
        first = int(str(paging.get("first", 1)))
        page = position.get("page", first)
        is_last = not answer.records or (total is not None and page - first + 1 >= int(total))
        return None if is_last else {"page": page + 1}
    return None


def _moved(endpoint: RestEndpoint, resource: Resource, before: Position, after: Position | None) -> Position | None:
    if after is not None and after == before:
        raise EndpointError(
            f"endpoint {endpoint.name}, {resource.extract}: a page names itself as the next one; check paging"
        )
    return after


def _fetch(
    endpoint: RestEndpoint,
    client: Client,
    resource: Resource,
    position: Position,
    since: str | None,
    until: str | None,
) -> Answer:
    url, params = request_of(endpoint, resource, position, since, until)
    where = f"endpoint {endpoint.name}, {resource.extract}"
    accept = {"Accept": "application/json, application/x-ndjson;q=0.9, text/csv;q=0.8"}
    return client.get(url, lambda response: read_answer(response, resource, where), params=params, headers=accept)


def read_answer(response: httpx.Response, resource: Resource, where: str) -> Answer:
    """Records of an answer.

    Raises:
        Again: the body is not whole.
        EndpointError: there is no list of records where the configuration says.
    """
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body = response.read()
    if kind in ("text/csv", "application/csv"):
        return Answer(_csv_records(body), links=response.links)
    if "ndjson" in kind or kind in ("application/jsonl", "application/json-seq"):
        return Answer([parse_json(line) for line in body.split(b"\n") if line.strip()], links=response.links)
    if kind.startswith("text/html"):
        raise EndpointError(f"{where}: answers with a web page, perhaps a login; check url, path and auth")
    answered = parse_json(body)
    records = at_path(answered, resource.records) if resource.records else answered
    if not isinstance(records, list):
        place = f"at {resource.records}" if resource.records else "at its top"
        raise EndpointError(f"{where}: the answer has no list {place}; check records")
    return Answer(records, answered, response.links)


def _csv_records(body: bytes) -> list[dict[str, str]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("cp1252", errors="replace")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [row for row in reader if row]
    except csv.Error:
        raise Again("CSV that is not whole") from None
    if not rows:
        return []
    header = [name.strip() for name in rows[0]]
    if len(rows[-1]) < len(header):
        raise Again("CSV that is not whole")
    return [dict(zip(header, row, strict=False)) for row in rows[1:]]


# ------------------------------------------------------------------------------------------------ records to columns


def at_path(value: Any, path: str) -> Any:
    """What stands at a dotted path (`data.items`, `lines.0.qty`); None where a step is missing."""
    for step in path.split(".") if path else ():
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _columns(extract: Extract, resource: Resource) -> dict[str, Callable[[Any], Any]]:
    """How each column of the file is taken from a record.

    Raises:
        EndpointError: `columns` names a column that the file does not have.
    """
    names = file_columns(extract)
    unknown = sorted(set(resource.columns) - set(names))
    if unknown:
        raise EndpointError(f"{extract.feed}: columns names {', '.join(unknown)}, which no file of it has")
    return {name: _by_path(resource.columns[name]) if name in resource.columns else _by_name(name) for name in names}


def _by_path(path: str) -> Callable[[Any], Any]:
    def take(record: Any) -> Any:
        # A key that has points itself wins.
        if isinstance(record, Mapping) and path in record:
            return record[path]
        return at_path(record, path)

    return take


def _by_name(name: str) -> Callable[[Any], Any]:
    folded = name.casefold()

    def take(record: Any) -> Any:
        if not isinstance(record, Mapping):
            return None
        if name in record:
            return record[name]
        return next((value for key, value in record.items() if key.casefold() == folded), None)

    return take


def value_text(value: Any, column: Column) -> str | None:
    """A JSON value as the text that the contract's type has; None for null."""
    wanted = column.type
    if value is None:
        return None
    if isinstance(value, bool):
        words: Sequence[str] = {"boolean": wanted.words, "integer": ("1", "0"), "decimal": ("1", "0")}.get(
            wanted.name, ("true", "false")
        )
        return words[0] if value else words[1]
    if isinstance(value, Number):
        return _plain_number(value)
    if isinstance(value, list | Mapping):
        return to_json(value)
    text = str(value)
    if wanted.name in ("date", "datetime") and text[4:5] == "-":
        return _moment(text, column)
    return text


def _plain_number(text: str) -> str:
    """A JSON number without an exponent; its digits stay as they are."""
    if "e" not in text and "E" not in text:
        return str(text)
    try:
        return plain(Decimal(text))
    except InvalidOperation:
        return str(text)


def _moment(text: str, column: Column) -> str:
    """An ISO 8601 moment or date in the contract's layout; text in another form stays, and the contract judges it."""
    layout = column.type.layout
    if not layout or layout.startswith("ISO"):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    if moment.tzinfo is not None:
        if column.type.name == "date":
            return text if len(text) == len(layout) else moment.strftime(_directives(layout))
        try:
            moment = moment.astimezone(ZoneInfo(column.type.zone))
        except (KeyError, ValueError):
            # `site local`: which wall clock depends on the row.
            return text
    return moment.strftime(_directives(layout))


_LAYOUT = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "SSSSSS": "%f"}


def _directives(layout: str) -> str:
    return re.sub("|".join(_LAYOUT), lambda match: _LAYOUT[match[0]], layout)


def to_json(value: Any) -> str:
    """JSON text without blanks, numbers with the digits they had."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{to_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------ cursors


def later(one: str, other: str) -> str:
    """The later of two cursor values: as moments, as numbers, else as text."""
    for form in (_as_moment, Decimal):
        with suppress(ValueError, InvalidOperation):
            return other if form(other) > form(one) else one  # type: ignore[operator]
    return max(one, other)


def _as_moment(text: str) -> datetime:
    if text[4:5] != "-":
        raise ValueError("no moment")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo("UTC"))


def earlier(text: str, seconds: float) -> str:
    """A cursor value less an overlap, in the form it has.

    Raises:
        EndpointError: it is neither a moment nor a number.
    """
    overlap = timedelta(seconds=seconds)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return (datetime.fromisoformat(text) - overlap).date().isoformat()
    if text[4:5] == "-":
        with suppress(ValueError):
            moment = datetime.fromisoformat(text) - overlap
            fraction = re.search(r"\.(\d+)", text)
            digits = "auto" if not fraction else "milliseconds" if len(fraction[1]) == 3 else "microseconds"
            shown = moment.isoformat(text[10], digits)
            return shown.replace("+00:00", "Z") if text.endswith("Z") else shown
    with suppress(InvalidOperation):
        return plain(Decimal(text) - Decimal(str(seconds)))
    raise EndpointError("an overlap needs a cursor that is a moment or a number")
