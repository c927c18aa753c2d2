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

An extract may say `may_be_empty: true`: a snapshot without rows then means that every key is gone. Without it an
empty snapshot is taken as a file that failed to fill (quirk Q127) and leaves no tombstones. `control_total: column`
names the column whose sum the control file states.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    import pyarrow as pa

CONTRACTS = Path(__file__).parent / "contracts"

# Part of every contract version. Raise it when reading, normalising or hashing changes what lands.
READING = "1"

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
class Extract:
    """One extract of a system."""

    system: str
    name: str
    title: str
    load: Load
    key: tuple[str, ...]
    cursor: str | None
    columns: Mapping[str, Column]
    idempotency_key: tuple[str, ...] = ()
    may_be_empty: bool = False
    control_total: str | None = None
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
        return tuple(name for name in self.columns if name in needed)


@dataclass(frozen=True)
class Delivery:
    """How the files of a system arrive."""

    path: str
    format: str
    encoding: str
    delimiter: str
    quote: str
    timezone: str
    blank_is_null: bool
    manifest: Literal["listed", "control_file", "none"]
    manifest_path: str
    manifest_columns: tuple[str, ...]
    manifest_separator: str
    manifest_has_header: bool
    repeats: Literal["repull", "window", "never"]
    """Whether a delivery sends again what the one before it held: the last days, or the end of the slot before."""
    window_slots: tuple[str, ...]

    @property
    def is_zip(self) -> bool:
        """Whether a delivery is a zip with CSV parts."""
        return self.format.startswith("zip")

    @property
    def has_slot(self) -> bool:
        """Whether a delivery belongs to a slot of the day."""
        return "{hhmm}" in self.path


@dataclass(frozen=True)
class SystemContract:
    """Everything one source system delivers in files that this version reads."""

    system: str
    title: str
    delivery: Delivery
    extracts: Mapping[str, Extract]
    other_folders: tuple[str, ...] = ()
    """Folders of the system's other deliveries, which have readers of their own."""


def load_contracts(folder: Path | None = None) -> dict[str, SystemContract]:
    """Read every contract, by system name.

    Extracts of a second delivery that has its own format (the 835 remittances of `hb`) are left out: no file reader
    produces them yet.

    Raises:
        ContractError: a file contradicts itself, or a direct identifier has neither `token`, `parse` nor `drop`.
    """
    return dict(_load(folder or CONTRACTS))


@cache
def _load(folder: Path) -> dict[str, SystemContract]:
    contracts = {}
    for path in sorted(folder.glob("*.yaml")):
        contract = _system(yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER))
        contracts[contract.system] = contract
    return contracts


def _system(text: Mapping[str, Any]) -> SystemContract:
    system = text["system"]
    delivery = _delivery(text["delivery"], str(text.get("timezone", "")))
    elsewhere = {
        name
        for part, spec in text.items()
        if part.startswith("delivery_") and isinstance(spec, dict)
        for name in spec.get("extracts", ())
    }
    extracts = {
        name: _extract(system, name, spec, delivery) for name, spec in text["extracts"].items() if name not in elsewhere
    }
    other_folders = tuple(
        spec["path"].partition("{")[0]
        for part, spec in text.items()
        if part.startswith("delivery_") and isinstance(spec, dict)
    )
    return SystemContract(system, text["title"], delivery, extracts, other_folders)


def _delivery(text: Mapping[str, Any], timezone: str) -> Delivery:
    manifest: Literal["listed", "control_file", "none"] = "none"
    if "manifest" in text:
        manifest = "listed"
    elif ".ctl" in str(text.get("trailer", "")):
        manifest = "control_file"
    manifest_path, columns, separator, has_header = _manifest_form(str(text.get("manifest", "")))
    return Delivery(
        path=text["path"],
        format=str(text["format"]),
        encoding=text["encoding"],
        delimiter=text.get("delimiter", ","),
        quote=text.get("quote", '"'),
        timezone=timezone,
        blank_is_null=str(text.get("nulls", "")).startswith("blanks"),
        manifest=manifest,
        manifest_path=manifest_path,
        manifest_columns=columns,
        manifest_separator=separator,
        manifest_has_header=has_header,
        repeats=_repeats(text),
        window_slots=tuple(re.findall(r"\b\d{4}\b", str(text.get("cadence", "")))) if "window" in text else (),
    )


def _repeats(text: Mapping[str, Any]) -> Literal["repull", "window", "never"]:
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


def _extract(system: str, name: str, text: Mapping[str, Any], delivery: Delivery) -> Extract:
    columns = {column: _column(f"{system}.{name}", column, spec) for column, spec in text["columns"].items()}
    extract = Extract(
        system=system,
        name=name,
        title=text["title"],
        load=text["load"],
        key=tuple(text["key"]),
        cursor=text.get("cursor"),
        columns=columns,
        idempotency_key=tuple(text.get("idempotency_key", ())),
        may_be_empty=bool(text.get("may_be_empty", False)),
        control_total=text.get("control_total"),
    )
    for part in extract.identity:
        if part not in columns or not columns[part].lands:
            raise ContractError(f"{extract.feed}: key column {part} does not land")
    return Extract(**{**extract.__dict__, "version": _version(extract, delivery)})


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
    )
    if column.phi == "direct" and column.lands and column.token is None:
        raise ContractError(f"{feed}.{name}: a direct identifier needs token, parse or drop")
    return column


def _version(extract: Extract, delivery: Delivery) -> str:
    """Hash of everything that decides what lands; words for people (doc, unit, references) are left out."""
    meaning = {
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
