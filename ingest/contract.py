"""Contracts: what each source system delivers, read from `contracts/*.yaml`.

Here: the contract as frozen dataclasses, the columns that land and their Arrow schema, the version that read a batch.
Not here: judging rows against it (`shape`), making tokens (`privacy`), dbt sources (`contracts_to_dbt`).

Beside the properties of the published contracts a column may say how it passes the door (DESIGN, idea 7):

- `drop: true`: never read.
- `token: {domain, normalise, show}`: lands as a keyed token of its normalised value; `show: last4` puts the last four
  in front.
- `flag: {name: pattern}`: lands `<COLUMN>__<name>` with Y where the text has the pattern, else N.
- `parse: {name: parser}`: free text, never landed; lands `<COLUMN>__<name>` with what the parser finds. `{}` lands
  nothing.
- `lands_if: pattern`: lands only values of this form, anything else is free text and lands as null.

- `from_path: part`: the row does not carry the value, the delivery's path does: the value of that path part, or the
  file's name for `from_path: file`.
- `empty_means: value`: an empty value counts as this one in the identity of the row; it lands empty.

An extract may say `may_be_empty: true`: a snapshot without rows then means that every key is gone. Without it an
empty snapshot is taken as a file that failed to fill (quirk Q127) and leaves no tombstones. `control_total: column`
names the column whose sum the control file or trailer states. `fallback_key` identifies a row when a part of its
idempotency key is empty. `snapshot_scope: part`: a snapshot is the whole picture of its own value of that path part.

A delivery may say which extracts its files feed: `reads_by` names the path part that tells, `reads` has the extracts
for each of its values, the head extract first. Without it the path part `extract` is the extract, and without that
part each file feeds all extracts of the delivery. `delivery_<name>` is a further delivery, its `extracts` are those
that come with it and with no other. `escape` is the character before a delimiter that belongs to the value.
`repeats: never` says that an equal file is a duplicate, whatever the cadence says.

Where the sites of a system put the same value in different places, `contracts/sites/<system>.yaml` says where; its
form stands at its top.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    import pyarrow as pa

CONTRACTS = Path(__file__).parent / "contracts"

# Part of every contract version. Raise it when reading, normalising or hashing changes what lands.
READING = "2"

# The same safe loader, six times faster where libyaml is there.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Load = Literal["snapshot", "incremental", "event"]

META_COLUMNS: Mapping[str, tuple[str, str]] = {
    "_batch_id": ("varchar", "content and contract version of the delivery that brought the row"),
    "_file": ("varchar", "delivery, relative to the landing directory; a zip part as <zip>!<part>"),
    "_line": ("bigint", "physical line in the file or part, the header is line 1; 0 on a tombstone"),
    "_delivered": ("varchar", "folder date and slot, YYYYMMDD/hhmm; delivery order is _delivered, _file, _line"),
    "_folder_date": ("date", "date of the delivery's folder"),
    "_op": ("varchar", "U a row version, D a key that a snapshot no longer holds (only the key columns are filled)"),
    "_key_hash": ("ubigint", "hash of the key as landed"),
    "_row_hash": ("ubigint", "hash of the row as landed, 0 on a tombstone"),
}


class ContractError(Exception):
    """A contract file contradicts itself."""


@dataclass(frozen=True)
class ColumnType:
    """A type of the contract language, taken apart."""

    name: Literal["string", "integer", "decimal", "date", "datetime", "time", "boolean", "json"]
    precision: int = 0
    scale: int = 0
    layout: str = ""
    zone: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ColumnType:
        """Read `string`, `decimal(18,4)`, `date(yyyyMMdd)`, `datetime(layout, zone)`, `boolean(Y/N)` and the like."""
        form = re.fullmatch(r"(string|integer|decimal|date|datetime|time|boolean|json)(?:\((.*)\))?", text.strip())
        if form is None:
            raise ContractError(f"unknown type {text!r}")
        name, inside = form[1], form[2] or ""
        match name:
            case "decimal":
                precision, scale = (int(part) for part in inside.split(","))
                return cls("decimal", precision=precision, scale=scale)
            case "date" | "time":
                return cls(name, layout=inside.strip())
            case "datetime":
                layout, _, zone = inside.partition(",")
                return cls("datetime", layout=layout.strip(), zone=zone.strip())
            case "boolean":
                return cls("boolean", words=tuple(word.strip() for word in inside.split("/")))
        return cls(name)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Token:
    """How an identifier becomes a token."""

    domain: str
    normalise: tuple[str, ...] = ()
    show_last_four: bool = False


@dataclass(frozen=True)
class Column:
    """One column of an extract, as delivered."""

    name: str
    type: ColumnType
    type_text: str
    required: bool = False
    values: tuple[str, ...] = ()
    pattern: str | None = None
    phi: str | None = None
    drop: bool = False
    token: Token | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    parse: Mapping[str, str] | None = None
    lands_if: str | None = None
    doc: str = ""
    unit: str | None = None
    references: str | None = None
    source: str = ""
    """Where the value stands in the message or resource, in the words of the standard; empty in a table."""
    empty_means: str | None = None
    from_path: str = ""
    """Path part that gives the value, `file` for the name of the file; empty where the row carries it."""
    start: int = 0
    """First character in a fixed-width record, counted from 1; 0 elsewhere."""
    width: int = 0

    @property
    def lands(self) -> bool:
        """Whether a column of this name lands (perhaps as a token)."""
        return not self.drop and self.parse is None

    def landed_names(self) -> tuple[str, ...]:
        """Names of the raw columns that come from this one."""
        if self.drop:
            return ()
        derived = (*self.flags, *(self.parse or ()))
        own = (self.name,) if self.lands else ()
        return (*own, *(f"{self.name}__{name}" for name in derived))


@dataclass(frozen=True, eq=False)
class Delivery:
    """How files of a system arrive: one path pattern, one format."""

    path: str
    format: str
    encoding: str
    delimiter: str
    quote: str
    timezone: str
    blank_is_null: bool
    manifest: Literal["listed", "control_file", "bulk", "none"]
    """A list of files with counts, a control file beside each file, a FHIR bulk export's manifest, or nothing."""
    manifest_path: str
    manifest_columns: tuple[str, ...]
    manifest_separator: str
    manifest_has_header: bool
    repeats: Literal["repull", "window", "never"]
    """Whether a delivery sends again what the one before it held: the last days, or the end of the slot before."""
    window_slots: tuple[str, ...]
    system: str = ""
    name: str = ""
    """Empty for the first delivery of a system, else what follows `delivery_` in the contract."""
    extracts: tuple[str, ...] = ()
    """Extracts that come with this delivery, the head extract first where a file feeds several."""
    reads_by: str = ""
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    escape: str = ""
    record_length: int = 0
    """Characters of a fixed-width record; 0 elsewhere."""

    @property
    def is_zip(self) -> bool:
        """Whether a delivery is a zip with CSV parts."""
        return self.format.startswith("zip")

    @property
    def is_streamed(self) -> bool:
        """Whether a large file of this format can be cut between documents."""
        return self.format.startswith(("hl7", "x12", "ndjson"))

    @property
    def has_slot(self) -> bool:
        """Whether a delivery belongs to a slot of the day."""
        return "{hhmm}" in self.path or "{hh}" in self.path

    @property
    def has_extract_in_path(self) -> bool:
        """Whether each file is one extract's, named by the path; otherwise files may feed several."""
        return "{extract}" in self.path

    def fed_by(self, parts: Mapping[str, str]) -> tuple[str, ...]:
        """Extracts that a file feeds, by the parts of its path; the head extract first, none for a foreign file."""
        if self.reads_by:
            return self.reads.get(parts[self.reads_by], ())
        if "extract" in parts:
            return (parts["extract"],)
        return self.extracts


@dataclass(frozen=True, eq=False)
class Extract:
    """One extract of a system."""

    system: str
    name: str
    title: str
    load: Load
    key: tuple[str, ...]
    cursor: str | None
    columns: Mapping[str, Column]
    delivery: Delivery
    idempotency_key: tuple[str, ...] = ()
    fallback_key: tuple[str, ...] = ()
    may_be_empty: bool = False
    control_total: str | None = None
    snapshot_scope: str = ""
    messages: tuple[str, ...] = ()
    """Trigger events that the rows come from; empty where the contract leaves it to the type of the message."""
    record_type: str = ""
    """First character of the fixed-width records that the rows come from."""
    sites: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By sending site, the columns that stand elsewhere than `Column.source` says, and where."""
    version: str = ""

    @property
    def feed(self) -> str:
        """`<system>.<extract>`."""
        return f"{self.system}.{self.name}"

    @property
    def identity(self) -> tuple[str, ...]:
        """Columns whose values identify a row for landing."""
        return self.idempotency_key or self.key

    @property
    def leaves_tombstones(self) -> bool:
        """A snapshot's missing key means gone, unless each snapshot has keys of its own (its cursor is in the key)."""
        return self.load == "snapshot" and self.cursor not in self.key

    @property
    def read_columns(self) -> tuple[Column, ...]:
        """Columns that are read from a delivery: all but the dropped ones."""
        return tuple(column for column in self.columns.values() if not column.drop)

    @property
    def landed_columns(self) -> tuple[str, ...]:
        """Names of the raw columns, without the meta columns."""
        return tuple(name for column in self.columns.values() for name in column.landed_names())

    @property
    def must_have(self) -> tuple[str, ...]:
        """Header names without which a file is refused."""
        needed = {*self.key, *self.idempotency_key} | {column.name for column in self.read_columns if column.required}
        return tuple(name for name, column in self.columns.items() if name in needed and not column.from_path)

    def by_path(self, parts: Mapping[str, str]) -> dict[str, str]:
        """Values that the path of a delivery gives to all its rows, by column; `parts` has `file`, too."""
        return {name: parts[column.from_path] for name, column in self.columns.items() if column.from_path}


@dataclass(frozen=True)
class SystemContract:
    """Everything one source system delivers in files that this version reads."""

    system: str
    title: str
    deliveries: tuple[Delivery, ...]
    extracts: Mapping[str, Extract]

    @property
    def delivery(self) -> Delivery:
        """The first delivery: that of the tables, where there is another one."""
        return self.deliveries[0]


def load_contracts(folder: Path | None = None) -> dict[str, SystemContract]:
    """Read every contract, by system name.

    Raises:
        ContractError: a file contradicts itself, or a direct identifier has neither `token`, `parse` nor `drop`.
    """
    return dict(_load(folder or CONTRACTS))


@cache
def _load(folder: Path) -> dict[str, SystemContract]:
    contracts = {}
    for path in sorted(folder.glob("*.yaml")):
        sites = folder / "sites" / path.name
        contract = _system(
            yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER),
            yaml.load(sites.read_text(encoding="utf-8"), Loader=_LOADER) if sites.exists() else {},
        )
        contracts[contract.system] = contract
    return contracts


def _system(text: Mapping[str, Any], sites: Mapping[str, Any]) -> SystemContract:
    system, timezone = text["system"], str(text.get("timezone", ""))
    further = {
        part.removeprefix("delivery_"): spec
        for part, spec in text.items()
        if part.startswith("delivery_") and isinstance(spec, dict)
    }
    elsewhere = {name for spec in further.values() for name in spec.get("extracts", ())}
    first = [name for name in text["extracts"] if name not in elsewhere]
    deliveries = (
        _delivery(system, "", text["delivery"], first, timezone),
        *(_delivery(system, name, spec, spec.get("extracts", ()), timezone) for name, spec in further.items()),
    )
    comes_with = {name: delivery for delivery in deliveries for name in delivery.extracts}
    unknown = {*comes_with, *(sites.get("default") or {})} - set(text["extracts"])
    unknown |= {name for each in (sites.get("sites") or {}).values() for name in each} - set(text["extracts"])
    if unknown:
        raise ContractError(f"{system}: no extract {', '.join(sorted(unknown))}")
    extracts = {name: _extract(system, name, spec, comes_with[name], sites) for name, spec in text["extracts"].items()}
    return SystemContract(system, text["title"], deliveries, extracts)


def _delivery(system: str, name: str, text: Mapping[str, Any], extracts: Sequence[str], timezone: str) -> Delivery:
    manifest: Literal["listed", "control_file", "bulk", "none"] = "none"
    stated = str(text.get("manifest", "none"))
    if stated.partition(" with ")[0].endswith(".json"):
        manifest = "bulk"
    elif stated != "none":
        manifest = "listed"
    elif ".ctl" in str(text.get("trailer", "")):
        manifest = "control_file"
    manifest_path, columns, separator, has_header = _manifest_form("" if stated == "none" else stated)
    reads = {str(value): tuple(names) for value, names in text.get("reads", {}).items()}
    foreign = {each for names in reads.values() for each in names} - set(extracts)
    if foreign or ("reads_by" in text) != bool(reads):
        raise ContractError(f"{system}: reads and reads_by of delivery {name or 'one'} do not fit its extracts")
    quote = text.get("quote", '"')
    return Delivery(
        path=text["path"],
        format=str(text["format"]),
        encoding=text.get("encoding", "utf-8"),
        delimiter=text.get("delimiter", ","),
        quote="" if quote == "none" else quote,
        timezone=timezone,
        blank_is_null=str(text.get("nulls", "")).startswith(("blanks", "empty or blanks")),
        manifest=manifest,
        manifest_path=manifest_path,
        manifest_columns=columns,
        manifest_separator=separator,
        manifest_has_header=has_header,
        repeats=_repeats(text),
        window_slots=tuple(re.findall(r"\b\d{4}\b", str(text.get("cadence", "")))) if "window" in text else (),
        system=system,
        name=name,
        extracts=tuple(extracts),
        reads_by=text.get("reads_by", ""),
        reads=reads,
        escape=text.get("escape", ""),
        record_length=int(text.get("record_length", 0)),
    )


def _repeats(text: Mapping[str, Any]) -> Literal["repull", "window", "never"]:
    if text.get("repeats") == "never":
        return "never"
    if "window" in text:
        return "window"
    return "repull" if "repull" in text or text.get("cadence") == "nightly" else "never"


def _manifest_form(text: str) -> tuple[str, tuple[str, ...], str, bool]:
    """Path, column names, separator and header of a manifest, from the sentence that describes it."""
    path, _, form = text.partition(" with ")
    has_header = "no header line" not in form
    separator = "," if has_header else ";"
    listed = form.partition(";")[0] if has_header else form.partition(",")[0]
    columns = tuple(name.strip().partition(" of ")[0] for name in listed.split(separator)) if listed else ()
    return path, columns, separator, has_header


def _extract(system: str, name: str, text: Mapping[str, Any], delivery: Delivery, sites: Mapping[str, Any]) -> Extract:
    feed = f"{system}.{name}"
    columns = {column: _column(feed, column, spec) for column, spec in text["columns"].items()}
    for column, source in _places(feed, columns, (sites.get("default") or {}).get(name, {})).items():
        columns[column] = replace(columns[column], source=source)
    extract = Extract(
        system=system,
        name=name,
        title=text["title"],
        load=text["load"],
        key=tuple(text["key"]),
        cursor=text.get("cursor"),
        columns=columns,
        delivery=delivery,
        idempotency_key=tuple(text.get("idempotency_key", ())),
        fallback_key=tuple(text.get("fallback_key", ())),
        may_be_empty=bool(text.get("may_be_empty", False)),
        control_total=text.get("control_total"),
        snapshot_scope=text.get("snapshot_scope", ""),
        messages=tuple(text.get("messages", ())),
        record_type=text.get("record_type", ""),
        sites={
            str(site): _places(feed, columns, spec[name])
            for site, spec in (sites.get("sites") or {}).items()
            if name in spec
        },
    )
    for part in (*extract.identity, *extract.fallback_key):
        if part not in columns or not columns[part].lands:
            raise ContractError(f"{extract.feed}: key column {part} does not land")
    if extract.snapshot_scope and f"{{{extract.snapshot_scope}}}" not in delivery.path:
        raise ContractError(f"{extract.feed}: no path part {extract.snapshot_scope}")
    if extract.leaves_tombstones and delivery.is_streamed:
        raise ContractError(f"{extract.feed}: a file that is read in pieces is never the whole picture of a snapshot")
    return replace(extract, version=_version(extract))


# A place in an HL7 v2 message, perhaps in the one of several segments that another field chooses.
_PLACE = re.compile(
    r"[A-Z][A-Z0-9]{2}-[1-9]\d*(\.[1-9]\d*){0,2}( where [A-Z][A-Z0-9]{2}-[1-9]\d*(\.[1-9]\d*){0,2} = \S+)?|none"
)


def _places(feed: str, columns: Mapping[str, Column], text: Mapping[str, Any]) -> dict[str, str]:
    """Columns of a site mapping and where they stand."""
    for column, source in text.items():
        if column not in columns or columns[column].drop:
            raise ContractError(f"{feed}: a site mapping names {column}, which is not read")
        if not _PLACE.fullmatch(str(source)):
            raise ContractError(f"{feed}.{column}: a site mapping says {source}, which is no place in a message")
    return {column: str(source) for column, source in text.items()}


def _column(feed: str, name: str, text: Mapping[str, Any]) -> Column:
    token = text.get("token")
    column = Column(
        name=name,
        type=ColumnType.parse(text["type"]),
        type_text=str(text["type"]),
        required=bool(text.get("required", False)),
        values=tuple(str(value) for value in text.get("values", ())),
        pattern=text.get("pattern"),
        phi=text.get("phi"),
        drop=bool(text.get("drop", False)),
        token=Token(token["domain"], tuple(token.get("normalise", ())), token.get("show") == "last4")
        if token
        else None,
        flags=dict(text.get("flag", {})),
        parse=dict(text["parse"]) if "parse" in text else None,
        lands_if=text.get("lands_if"),
        doc=str(text.get("doc", "")),
        unit=text.get("unit"),
        references=text.get("references"),
        source=str(text.get("source", "")),
        empty_means=None if text.get("empty_means") is None else str(text["empty_means"]),
        from_path=text.get("from_path", ""),
        start=int(text.get("start", 0)),
        width=int(text.get("width", 0)),
    )
    if column.phi == "direct" and column.lands and column.token is None:
        raise ContractError(f"{feed}.{name}: a direct identifier needs token, parse or drop")
    return column


def _version(extract: Extract) -> str:
    """Hash of everything that decides what lands; words for people (doc, unit, references) are left out.

    What only some contracts say is hashed only where it is said, so that a new word of the contract language leaves
    the versions of contracts without it as they are.
    """
    delivery = extract.delivery
    meaning: dict[str, object] = {
        "reading": READING,
        "delivery": [delivery.format, delivery.encoding, delivery.delimiter, delivery.quote, delivery.blank_is_null],
        "extract": [extract.feed, extract.load, extract.key, extract.cursor, extract.identity, extract.may_be_empty],
        "columns": [
            [
                column.name,
                column.type_text,
                column.required,
                column.values,
                column.pattern,
                column.drop,
                [column.token.domain, column.token.normalise, column.token.show_last_four] if column.token else None,
                column.flags,
                column.parse,
                column.lands_if,
            ]
            for column in extract.columns.values()
        ],
    }
    places: dict[str, tuple[object, ...]] = {
        column.name: (column.source, column.empty_means, column.from_path, column.start, column.width)
        for column in extract.read_columns
    }
    said: dict[str, object] = {
        "escape": delivery.escape,
        "record_length": delivery.record_length,
        "reads": {value: names for value, names in delivery.reads.items() if extract.name in names},
        "fallback_key": extract.fallback_key,
        "snapshot_scope": extract.snapshot_scope,
        "messages": extract.messages,
        "record_type": extract.record_type,
        "sites": {site: dict(elsewhere) for site, elsewhere in extract.sites.items()},
        "places": {name: place for name, place in places.items() if any(place)},
    }
    meaning |= {word: meant for word, meant in said.items() if meant}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:12]


def arrow_schema(extract: Extract) -> pa.Schema:
    """Schema of the extract's raw Parquet: every landed column as text, then the meta columns."""
    import pyarrow as pa

    types = {"varchar": pa.string(), "bigint": pa.int64(), "date": pa.date32(), "ubigint": pa.uint64()}
    return pa.schema(
        [pa.field(name, pa.string()) for name in extract.landed_columns]
        + [pa.field(name, types[kind]) for name, (kind, _) in META_COLUMNS.items()]
    )


def column_docs(extract: Extract) -> dict[str, str]:
    """A sentence for every raw column of the extract."""
    docs = {}
    for column in extract.columns.values():
        for name in column.landed_names():
            docs[name] = _doc(column, name)
    return docs | {name: doc for name, (_, doc) in META_COLUMNS.items()}


def _doc(column: Column, name: str) -> str:
    if name != column.name:
        part = name.removeprefix(f"{column.name}__")
        found = "Y or N" if part in column.flags else "found in the free text"
        return f"{part} of {column.name}, {found}"
    parts = [column.doc] if column.doc else []
    if column.token:
        shown = "last four and keyed token" if column.token.show_last_four else "keyed token"
        parts.append(f"lands as {shown}, domain {column.token.domain}")
    if column.lands_if:
        parts.append(f"null unless of the form {column.lands_if}")
    parts.append(column.type_text if not column.unit else f"{column.type_text}, {column.unit}")
    if column.references:
        parts.append(f"refers to {column.references}")
    return "; ".join(parts)


def feeds(contracts: Mapping[str, SystemContract], systems: Sequence[str] | None = None) -> list[Extract]:
    """All extracts, or those of some systems, in contract order.

    Raises:
        KeyError: a system without a contract is asked for.
    """
    chosen = contracts if systems is None else {system: contracts[system] for system in systems}
    return [extract for contract in chosen.values() for extract in contract.extracts.values()]
