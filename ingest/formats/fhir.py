"""FHIR R4 bulk export, one resource a line (NDJSON), as rows of the contract.

Here: element paths of the contract bound to the tree of a resource, references as resource ids, decimals with the
digits that were sent, the `deleted` output of an export.
Not here: gunzip and the export's manifest (transports), types and closed lists (`shape`), which version is the latest
(dbt).

Fast path: all lines of a call are one Arrow array, and DuckDB takes the wanted elements out of them in one query. A
number that a double might not hold is quoted before, so that it stays text. The same query tells the kinds of all
elements on the way; a line where one is not of the kind that the contract's path supposes, or that no strict reader of
JSON would take, goes the slow path: it is read alone, in Python, and lands or becomes one bad row with its reason. So
are all lines of a call that has only a few.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ingest.formats.reading import BadRow, Content, Look, Piece, Reading, Text

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from ingest.contract import Column, Delivery, Extract

_BOM = b"\xef\xbb\xbf"
# Levels of nesting; a parser that recurses has an end somewhere, this one is the same everywhere.
_DEEPEST = 300
# So many lines are sooner read one by one than a query is planned.
_FEW = 150
# What DuckDB's JSON reader takes and JSON does not know (a comma before a bracket, NaN and Inf), and an identifier that
# is marked as no longer valid. In text they do no harm: the line is then read alone.
_SUSPECT = (r",\s*[}\]]", r"[:\[,]\s*-?(?i:nan|inf)", r'"use"\s*:\s*"old"')
# Types of FHIR R4 and R4B: another word in their place may be anybody's and is not repeated in a reason.
_TYPES = frozenset(
    re.findall(
        r"\w+",
        """
    Account ActivityDefinition AdministrableProductDefinition AdverseEvent AllergyIntolerance Appointment
    AppointmentResponse AuditEvent Basic Binary BiologicallyDerivedProduct BodyStructure Bundle
    CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem ChargeItemDefinition Citation Claim
    ClaimResponse ClinicalImpression ClinicalUseDefinition CodeSystem Communication CommunicationRequest
    CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest
    CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest
    DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis Encounter
    Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceReport
    EvidenceVariable ExampleScenario ExplanationOfBenefit FamilyMemberHistory Flag Goal GraphDefinition Group
    GuidanceResponse HealthcareService ImagingStudy Immunization ImmunizationEvaluation ImmunizationRecommendation
    ImplementationGuide Ingredient InsurancePlan Invoice Library Linkage List Location ManufacturedItemDefinition
    Measure MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationKnowledge
    MedicationRequest MedicationStatement MedicinalProduct MedicinalProductAuthorization
    MedicinalProductContraindication MedicinalProductDefinition MedicinalProductIndication
    MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
    MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader
    MolecularSequence NamingSystem NutritionOrder NutritionProduct Observation ObservationDefinition
    OperationDefinition OperationOutcome Organization OrganizationAffiliation PackagedProductDefinition Parameters
    Patient PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole Procedure
    Provenance Questionnaire QuestionnaireResponse RegulatedAuthorization RelatedPerson RequestGroup
    ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment
    RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen SpecimenDefinition
    StructureDefinition StructureMap Subscription SubscriptionStatus SubscriptionTopic Substance
    SubstanceDefinition SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation
    SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities
    TestReport TestScript ValueSet VerificationResult VisionPrescription
    """,
    )
)

# Bindings: the contract's `source` of a column, taken apart ----------------------------------------------------------


class _Key(NamedTuple):
    """An element by its name."""

    name: str


class _First(NamedTuple):
    """`[0]`: the first of a repeating element."""


class _Where(NamedTuple):
    """`[field=value]`: the first of a repeating element that has the value."""

    field: str
    value: str


class _Each(NamedTuple):
    """`[]`: a row for every repetition."""


_Step = _Key | _First | _Where | _Each
_Path = tuple[_Step, ...]


@dataclass(frozen=True)
class _Bound:
    """One column of an extract and where its value stands; the first filled place counts."""

    name: str
    places: tuple[_Path, ...]
    is_index: bool = False
    is_boolean: bool = False
    is_decimal: bool = False
    target: str | None = None
    """Resource type that the reference must name; empty where the contract names none, None for other values."""


@dataclass(frozen=True)
class _Layout:
    """Rows of one extract: columns from the resource, and for one row a repetition those of the repeating element."""

    extract: str
    resource: str
    columns: tuple[_Bound, ...]
    each: str | None = None
    each_columns: tuple[_Bound, ...] = ()


_ELEMENT = re.compile(r"([A-Za-z][A-Za-z0-9]*)(?:\[([^\]]*)\])?(?:\.|$)")


def _path(source: str) -> _Path:
    steps: list[_Step] = []
    for element in _ELEMENT.finditer(source):
        steps.append(_Key(element[1]))
        match element[2]:
            case "":
                steps.append(_Each())
            case "0":
                steps.append(_First())
            case str() as condition:
                steps.append(_Where(*condition.split("=", 1)))
    return tuple(steps)


@cache
def _layout(extract: Extract) -> _Layout:
    """Bind an extract; columns without a `source` stay empty."""
    columns = [_bound(column, extract) for column in extract.read_columns]
    resource = next(
        re.sub(r"^index of ", "", column.source).partition(".")[0] for column in extract.read_columns if column.source
    )
    each = {step.name for bound in columns for path in bound.places for step in _before_each(path)}
    if len(each) > 1:
        raise ValueError(f"{extract.feed}: rows of more than one repeating element")
    if not each:
        return _Layout(extract.name, resource, tuple(columns))
    element = each.pop()
    return _Layout(
        extract.name,
        resource,
        tuple(bound for bound in columns if not _is_of_element(bound)),
        element,
        tuple(
            replace(bound, places=tuple(path[2:] for path in bound.places))
            for bound in columns
            if _is_of_element(bound)
        ),
    )


def _before_each(path: _Path) -> tuple[_Key, ...]:
    if len(path) > 1 and isinstance(path[0], _Key) and isinstance(path[1], _Each):
        return (path[0],)
    return ()


def _is_of_element(bound: _Bound) -> bool:
    return bound.is_index or any(_before_each(path) for path in bound.places)


def _bound(column: Column, extract: Extract) -> _Bound:
    source = column.source
    if source.startswith("index of "):
        return _Bound(column.name, (), is_index=True)
    resource = source.partition(".")[0]
    places = tuple(_path(place.strip().removeprefix(f"{resource}.")) for place in source.split(" or ") if source)
    target = None
    if places and places[0][-1] == _Key("reference"):
        system, _, rest = (column.references or "").partition(".")
        target = rest.removesuffix(".id") if system == extract.system and rest.endswith(".id") else ""
    return _Bound(
        column.name,
        places,
        is_boolean=column.type.name == "boolean",
        is_decimal=column.type.name == "decimal",
        target=target,
    )


def _by_name(extracts: Mapping[str, Extract] | Iterable[Extract]) -> dict[str, Extract]:
    each = extracts.values() if isinstance(extracts, Mapping) else extracts
    return {extract.name: extract for extract in each}


# Looking and cutting --------------------------------------------------------------------------------------------------


def look(content: Content, delivery: Delivery, extracts: Mapping[str, Extract] | Iterable[Extract]) -> Look:
    """Rows by extract: lines that are not blank; for an extract of a repeating element, as often as its key is there.

    A file of deletions counts its entries, by the type that their `url` names, and all of them with the first extract,
    to hold against the manifest. Nothing refuses a file whole: a cut last line is one bad row.
    """
    text = content if isinstance(content, bytes) else content[:]
    named = _by_name(extracts)
    lines = _count_lines(text)
    start = text[:2000].lstrip(_BOM + b" \t\r\n")
    if re.match(rb'\{\s*"resourceType"\s*:\s*"Bundle"', start):
        entries = len(re.findall(rb'"DELETE"', text))
        rows = {}
        for name, extract in named.items():
            layout = _layout(extract)
            pattern = rb'"url"\s*:\s*"(?:[^"]*/)?' + layout.resource.encode() + rb"/"
            rows[name] = 0 if layout.each else len(re.findall(pattern, text))
        # What a manifest counts in such a file, Bundles or entries, is all there in the first extract.
        return Look(
            {name: count if position else max(entries, lines) for position, (name, count) in enumerate(rows.items())}
        )
    return Look({name: _count_rows(text, _layout(extract), lines) for name, extract in named.items()})


def _count_lines(text: bytes) -> int:
    text = text.removeprefix(_BOM)
    if not text.lstrip():
        return 0
    if text[0] == ord("{") and not any(b"\n" + blank in text for blank in (b"\n", b"\r", b" ", b"\t")):
        return text.count(b"\n") + (not text.endswith(b"\n"))
    return sum(1 for _ in re.finditer(rb"[^ \t\r\n][^\n]*", text))


def _count_rows(text: bytes, layout: _Layout, lines: int) -> int:
    if layout.each is None:
        return lines
    keys = [
        path[0].name for bound in layout.each_columns for path in bound.places if path and isinstance(path[0], _Key)
    ]
    return max((text.count(f'"{key}"'.encode()) for key in keys), default=lines)


def pieces(content: Content, size: int) -> Iterator[Piece]:
    """Spans of about `size` bytes that end at a line end; nothing for empty content."""
    start, line, total = 0, 1, len(content)
    while start < total:
        end = content.find(b"\n", min(start + size, total) - 1) + 1 or total
        yield Piece(start, end, line)
        line += content[start:end].count(b"\n")
        start = end


# Reading --------------------------------------------------------------------------------------------------------------


def read(
    texts: Sequence[Text], delivery: Delivery, extracts: Mapping[str, Extract] | Iterable[Extract]
) -> dict[str, Reading]:
    """Rows of every extract in the texts: a row a resource, or a row a repetition; `_op` is D for a deletion.

    A line that is no JSON object, a resource of a type that the file does not feed, one without id or with an element
    of another kind than FHIR R4 gives it (an object where text is due) is one bad row of the file's first extract.
    Blank lines are nothing. A reference becomes the id it ends in, whether absolute, relative, versioned, contained
    (`#id`) or `urn:uuid:`; it is null where it names another type than the contract's column, or searches
    (`Patient?identifier=...`) instead of naming a resource.

    Deletions: the entries of the Bundles that ask DELETE become rows with `id`, `last_updated` (the moment stated for
    the export, else of the Bundle) and `version_id` "deleted <moment>", so that a deletion told twice is one row
    version.
    """
    import polars as pl

    named = _by_name(extracts)
    gathered = {name: _Gathered() for name in named}
    groups: dict[tuple[str, ...], list[Text]] = {}
    for text in texts:
        if text.is_deletion:
            _read_deletions(text, named, gathered)
        else:
            fed = tuple(name for name in text.extracts if name in named) or tuple(named)
            groups.setdefault(fed, []).append(text)
    for fed, group in groups.items():
        _read_group(group, [_layout(named[name]) for name in fed], gathered)
    readings = {}
    for name, extract in named.items():
        columns = [column.name for column in extract.read_columns]
        schema = pl.Schema(dict.fromkeys((*columns, "_op"), pl.String) | {"_text": pl.Int64, "_line": pl.Int64})
        frames = [frame.select(list(schema)) for frame in gathered[name].frames]
        frame = pl.concat(frames) if frames else pl.DataFrame(schema=schema)
        if len(frames) > 1:
            frame = frame.sort("_text", "_line", maintain_order=True)
        readings[name] = Reading(frame, sorted(gathered[name].bad, key=lambda row: (row.index, row.line)))
    return readings


@dataclass
class _Gathered:
    frames: list[pl.DataFrame] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


@dataclass
class _Refused:
    """Lines that do not land: position, column, reason."""

    rows: list[tuple[int, str | None, str]] = field(default_factory=list)

    def add(self, position: int, reason: str, column: str | None = None) -> None:
        self.rows.append((position, column, reason))


@dataclass(frozen=True)
class _Lines:
    """Lines of several texts in one Arrow array, with the text and line that each came from."""

    table: pa.Table
    """`i` (position) and `l` (line with its line end), blank lines apart."""
    text: np.ndarray
    line: np.ndarray
    spans: np.ndarray
    joined: bytes
    suspects: frozenset[int]
    """Positions of lines that the query might take for more or something else than they are."""

    def at(self, position: int) -> bytes:
        return self.joined[self.spans[position] : self.spans[position + 1]]


def _lines(texts: Sequence[Text], refused: _Refused) -> _Lines:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    bodies = []
    counts = []
    for text in texts:
        body = text.content.removeprefix(_BOM)
        if body and not body.endswith(b"\n"):
            body += b"\n"
        bodies.append(body)
        counts.append(body.count(b"\n"))
    joined = bodies[0] if len(bodies) == 1 else b"".join(bodies)
    octets = np.frombuffer(joined, np.uint8)
    spans = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(octets == 10) + 1])
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)[:-1]])
    index = np.repeat(np.array([text.index for text in texts], np.int64), counts)
    number = (
        np.arange(len(spans) - 1) - np.repeat(first, counts) + np.repeat([text.first_line for text in texts], counts)
    )
    strings = pa.LargeStringArray.from_buffers(len(spans) - 1, pa.py_buffer(spans), pa.py_buffer(joined))
    starts = octets[spans[:-1]]
    keep = ~((starts == 10) | ((starts == 13) & (np.diff(spans) == 2)))
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        for position in np.flatnonzero(keep):
            try:
                joined[spans[position] : spans[position + 1]].decode()
            except UnicodeDecodeError:
                refused.add(int(position), "the line is not UTF-8")
                keep[position] = False
    table = pa.table({"i": pa.array(np.arange(len(spans) - 1)), "l": strings})
    if not keep.all():
        table = table.filter(pa.array(keep))
    held = pl.DataFrame(table)
    is_deep = pl.col("l").str.count_matches(r"[\[{]") > _DEEPEST
    suspects = pl.concat(
        [
            held.filter(pl.any_horizontal(pl.col("l").str.contains(form) for form in _SUSPECT))["i"],
            held.filter(pl.col("l").str.len_bytes() > 2 * _DEEPEST).filter(is_deep)["i"],
        ]
    )
    return _Lines(table, index, number, spans, joined, frozenset(suspects.to_list()))


def _read_group(texts: Sequence[Text], layouts: Sequence[_Layout], gathered: Mapping[str, _Gathered]) -> None:
    """Texts that feed the same extracts."""
    texts = [text for text in texts if text.content.removeprefix(_BOM)]
    if not texts:
        return
    refused = _Refused()
    lines = _lines(texts, refused)
    by_resource: dict[str, list[_Layout]] = {}
    for layout in layouts:
        by_resource.setdefault(layout.resource, []).append(layout)
    head = gathered[layouts[0].extract]
    for resource, table in _by_resource_type(lines, list(by_resource)):
        for name, frame in _Resources(resource, by_resource[resource], lines, refused).rows(table).items():
            gathered[name].frames.append(frame)
    head.bad.extend(
        BadRow(int(lines.text[position]), int(lines.line[position]), column, "text", reason)
        for position, column, reason in refused.rows
    )


def _by_resource_type(lines: _Lines, fed: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """The lines of every resource type that the texts feed; lines of no such type are told by the last one."""
    import polars as pl

    if len(fed) == 1:
        yield fed[0], lines.table
        return
    query = """select i, case when json_valid(l) then l ->> '$."resourceType"' end as "type" from lines"""
    kinds = _query(query, lines.table)
    if kinds is None:
        raise RuntimeError("the types of valid lines were not told")
    kinds = kinds.with_columns(pl.col("type").replace_strict({name: name for name in fed}, default=fed[-1]))
    table = pl.DataFrame(lines.table)
    for (resource,), rows in table.join(kinds, on="i").partition_by("type", as_dict=True).items():
        yield str(resource), rows.select("i", "l").to_arrow()


def _query(sql: str, lines: pa.Table) -> pl.DataFrame | None:
    """Rows of a query over `lines`, or None where a line is no JSON."""
    import duckdb
    import polars as pl

    # Nothing of a line may be spilled to disk.
    with duckdb.connect(config={"temp_directory": ""}) as connection:
        connection.register("lines", lines)
        try:
            return pl.DataFrame(connection.sql(sql).to_arrow_table())
        except (duckdb.InvalidInputException, duckdb.ConversionException):
            # Its message quotes the line: it must not travel.
            return None


class _Odd(Exception):
    """A line that does not land; the reason holds nothing of it."""

    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = column


@dataclass(frozen=True)
class _Value:
    """A column of the query: its name there and what it is bound to."""

    alias: str
    bound: _Bound


class _Resources:
    """Lines of one resource type."""

    def __init__(self, resource: str, layouts: Sequence[_Layout], lines: _Lines, refused: _Refused) -> None:
        self.resource = resource
        self.layouts = layouts
        self.lines = lines
        self.refused = refused
        self.heads = [
            [_Value(f"c{at}_{n}", bound) for n, bound in enumerate(each.columns)] for at, each in enumerate(layouts)
        ]
        self.elements = [
            [_Value(f"e{at}_{n}", bound) for n, bound in enumerate(each.each_columns) if not bound.is_index]
            for at, each in enumerate(layouts)
        ]

    def rows(self, table: pa.Table) -> dict[str, pl.DataFrame]:
        """Rows of every extract that the resource feeds."""
        import polars as pl

        repeating = {layout.each for layout in self.layouts if layout.each is not None}
        heads, alone = self._fast(table, repeating)
        of_elements: dict[int, pl.DataFrame] = {}
        for at, layout in enumerate(self.layouts):
            if layout.each is not None:
                of_elements[at], odd = self._elements(at, layout.each, heads)
                alone |= odd
        if alone:
            heads = heads.filter(~pl.col("i").is_in(list(alone)))
            slow_heads, slow_elements = self._slowly(sorted(alone))
            heads = pl.concat([heads.drop(repeating), slow_heads.select(heads.drop(repeating).columns)])
            for at, frame in of_elements.items():
                kept = frame.filter(~pl.col("i").is_in(list(alone)))
                of_elements[at] = pl.concat([kept, slow_elements[at].select(kept.columns)])
        heads = self._of_this_type(heads)
        return {layout.extract: self._frame(at, heads, of_elements.get(at)) for at, layout in enumerate(self.layouts)}

    def _head_schema(self) -> dict[str, Any]:
        import polars as pl

        names = [name for each in self.heads for value in each for name in _names(value)]
        return {"i": pl.Int64, "type": pl.String, "id": pl.String} | dict.fromkeys(names, pl.String)

    def _fast(self, table: pa.Table, repeating: set[str]) -> tuple[pl.DataFrame, set[int]]:
        """Rows of the lines that are as the contract supposes, and the positions of the others."""
        import polars as pl

        if table.num_rows <= _FEW:
            schema = self._head_schema() | dict.fromkeys(repeating, pl.List(pl.String))
            return pl.DataFrame(schema=schema), set(table["i"].to_pylist())
        sql = _Sql([value for each in self.heads for value in each], repeating, is_resource=True).text
        positions = set(table["i"].to_pylist()) if self.lines.suspects else set()
        alone = set(self.lines.suspects & positions)
        found = _query(sql, table)
        if found is None:
            is_valid = _query(f"select i from lines where json_valid({_quoted_numbers(self._values())})", table)
            lines = pl.DataFrame(table)
            valid = lines.join(is_valid, on="i", how="semi") if is_valid is not None else lines.clear()
            found = _query(sql, valid.to_arrow())
            if found is None:
                found = _query(sql, lines.clear().to_arrow())
                assert found is not None
            alone |= set(lines.join(found, on="i", how="anti")["i"].to_list())
        alone |= set(found.filter("odd")["i"].to_list())
        return found.filter(~pl.col("odd")).drop("odd"), alone

    def _values(self) -> list[_Value]:
        return [value for each in (*self.heads, *self.elements) for value in each]

    def _elements(self, at: int, each: str, heads: pl.DataFrame) -> tuple[pl.DataFrame, set[int]]:
        """Columns of the repetitions by position `i` and `seq`, and the positions of odd ones."""
        import polars as pl

        exploded = (
            heads.lazy()
            .select(owner="i", l=each)
            .filter(pl.col("l").list.len() > 0)
            .with_columns(seq=pl.int_ranges(pl.col("l").list.len()))
            .explode("l", "seq")
            .with_row_index("i")
            .collect()
        )
        values = self.elements[at]
        columns = [
            "i",
            "seq",
            *(value.alias for value in values),
            *(_kind_of(value) for value in values if value.bound.target),
        ]
        if exploded.is_empty():
            return pl.DataFrame(schema={"i": pl.Int64, "seq": pl.Int64} | dict.fromkeys(columns[2:], pl.String)), set()
        found = _query(_Sql(values, set(), is_resource=False).text, exploded.select("i", "l").to_arrow())
        assert found is not None
        joined = found.join(exploded.select("i", "owner", "seq"), on="i")
        odd = set(joined.filter("odd")["owner"].to_list())
        return joined.drop("i").rename({"owner": "i"}).select(columns).cast({"seq": pl.Int64}), odd

    # Alone, in Python -------------------------------------------------------------------------------------------------

    def _slowly(self, positions: Sequence[int]) -> tuple[pl.DataFrame, dict[int, pl.DataFrame]]:
        import polars as pl

        heads: list[dict[str, Any]] = []
        elements: dict[int, list[dict[str, Any]]] = {at: [] for at, _ in enumerate(self.layouts)}
        for position in positions:
            try:
                resource = _json_object(self.lines.at(position))
                if resource is None:
                    continue
                head, of_elements = self._alone(position, resource)
            except _Odd as trouble:
                self.refused.add(position, trouble.reason, trouble.column)
                continue
            heads.append(head)
            for at, rows in of_elements.items():
                elements[at].extend(rows)
        frames = {}
        for at, rows in elements.items():
            names = [name for value in self.elements[at] for name in _names(value)]
            frames[at] = pl.DataFrame(rows, {"i": pl.Int64, "seq": pl.Int64} | dict.fromkeys(names, pl.String))
        return pl.DataFrame(heads, self._head_schema()), frames

    def _alone(self, position: int, resource: dict[str, Any]) -> tuple[dict[str, Any], dict[int, list[dict[str, Any]]]]:
        kind = resource.get("resourceType")
        if kind != self.resource:
            raise _Odd(_foreign(kind, self.resource))
        head: dict[str, Any] = {"i": position, "type": kind, "id": _leaf(resource.get("id"), "id")}
        for each in self.heads:
            for value in each:
                head |= _alone_value(value, resource, resource)
        elements: dict[int, list[dict[str, Any]]] = {}
        for at, layout in enumerate(self.layouts):
            if layout.each is None:
                continue
            repeated = resource.get(layout.each)
            if repeated is not None and not isinstance(repeated, list):
                raise _Odd(_KIND, layout.each_columns[-1].name)
            elements[at] = []
            for seq, element in enumerate(repeated or ()):
                row: dict[str, Any] = {"i": position, "seq": seq}
                for value in self.elements[at]:
                    row |= _alone_value(value, element, resource)
                elements[at].append(row)
        return head, elements

    # What lands -------------------------------------------------------------------------------------------------------

    def _of_this_type(self, heads: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        is_foreign = pl.col("type").is_null() | (pl.col("type") != self.resource)
        foreign = heads.filter(is_foreign)
        for position, kind in foreign.select("i", "type").iter_rows():
            self.refused.add(position, _foreign(kind, self.resource))
        heads = heads.filter(~is_foreign)
        nameless = heads.filter(pl.col("id").fill_null("") == "")
        for position in nameless["i"].to_list():
            self.refused.add(position, "the resource has no id", "id")
        return heads.filter(pl.col("id").fill_null("") != "").sort("i") if nameless.height else heads.sort("i")

    def _frame(self, at: int, heads: pl.DataFrame, elements: pl.DataFrame | None) -> pl.DataFrame:
        import polars as pl

        layout = self.layouts[at]
        values = list(self.heads[at])
        rows = heads
        index: list[pl.Expr] = []
        if elements is not None:
            rows = heads.join(elements, on="i").sort("i", "seq")
            values += self.elements[at]
            index = [pl.col("seq").cast(pl.String).alias(each.name) for each in layout.each_columns if each.is_index]
        positions = rows["i"].to_numpy()
        return rows.select(
            *(_landed(value, rows) for value in values),
            *index,
            _op=pl.lit("U"),
            _text=pl.Series(self.lines.text[positions], dtype=pl.Int64),
            _line=pl.Series(self.lines.line[positions], dtype=pl.Int64),
        )


_KIND = "an element is of another kind than FHIR R4 gives it"


def _names(value: _Value) -> list[str]:
    return [value.alias, _kind_of(value)] if value.bound.target else [value.alias]


def _kind_of(value: _Value) -> str:
    """Column with the type of the contained resource that a reference points to."""
    return f"k{value.alias}"


def _foreign(kind: object, fed: str) -> str:
    if isinstance(kind, str) and kind in _TYPES:
        return f"a {kind} resource in a delivery that feeds {fed}"
    return f"no resource type in a delivery that feeds {fed}"


def _landed(value: _Value, rows: pl.DataFrame) -> pl.Expr:
    """The value as it lands: null where empty, a decimal without exponent, a reference as the id."""
    import polars as pl

    bound, column = value.bound, pl.col(value.alias)
    if bound.target is not None:
        return _resource_id(value, rows).alias(bound.name)
    filled: pl.Expr = pl.when(column != "").then(column)
    if bound.is_decimal and rows[value.alias].str.contains("[eE]").any():
        filled = filled.map_elements(_plain_decimal, return_dtype=pl.String)
    return filled.alias(bound.name)


def _plain_decimal(text: str) -> str:
    """`1e2` as `100`; anything else, and an exponent beyond all decimals, as it is."""
    if not re.fullmatch(r"-?\d+(?:\.\d+)?[eE][-+]?\d{1,3}", text):
        return text
    number = Decimal(text)
    return f"{number:f}" if -40 <= number.adjusted() <= 40 and len(text) <= 80 else text


def _resource_id(value: _Value, rows: pl.DataFrame) -> pl.Expr:
    """Id of the resource that a reference names."""
    import polars as pl

    target = value.bound.target
    reference = pl.col(value.alias)
    short = reference.str.strip_prefix(f"{target}/") if target else reference
    if not rows.select(short.str.contains(r"[/:#?]").any()).item():
        return pl.when(short != "").then(short)
    plain = reference.str.replace(r"(?:/_history/[^/#]*)?(?:#.*)?$", "")
    named = plain.str.extract(r"(?:^|/)([A-Z][A-Za-z]+)/[^/]+$")
    found = (
        pl.when(reference.str.contains("?", literal=True))
        .then(None)
        .when(reference.str.starts_with("#"))
        .then(reference.str.slice(1))
        .when(reference.str.starts_with("urn:"))
        .then(reference.str.extract(r"^urn:(?:uuid|oid):(.+)$"))
        .otherwise(plain.str.extract(r"([^/]+)$"))
    )
    resolved: pl.Expr = found
    if target:
        other: pl.Expr = (named != target).fill_null(False)
        other = other | (pl.col(_kind_of(value)) != target).fill_null(False)
        resolved = pl.when(~other).then(found)
    return pl.when(resolved != "").then(resolved)


# One resource in Python -----------------------------------------------------------------------------------------------


def _json_object(line: bytes) -> dict[str, Any] | None:
    """The resource of a line, its numbers as text; None for a blank line.

    Raises:
        _Odd: no JSON object, or one with characters that no text can hold.
    """
    text = line.decode().strip(" \t\r\n").lstrip("\ufeff")
    if not text:
        return None
    if text.count("{") + text.count("[") > _DEEPEST and _depth(text) > _DEEPEST:
        raise _Odd("the line is nested too deep")
    try:
        parsed = json.loads(
            text,
            parse_float=str,
            parse_int=str,
            parse_constant=_no_constant,
            object_pairs_hook=_first_of_each,
        )
        # A lone surrogate is JSON and no text.
        if "\\u" in text:
            json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise _Odd("the line is no JSON object") from None
    if not isinstance(parsed, dict):
        raise _Odd("the line is no JSON object")
    return parsed


def _depth(text: str) -> int:
    """Levels of nesting, brackets in text apart."""
    depth = deepest = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _no_constant(name: str) -> None:
    raise ValueError("no JSON number")


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice counts once, as in the fast path."""
    return dict(reversed(pairs))


def _alone_value(value: _Value, element: Any, resource: dict[str, Any]) -> dict[str, str | None]:
    bound = value.bound
    found = None
    for path in bound.places:
        node = _walk(element, path, bound.name)
        if isinstance(path[-1], _Where):
            found = "true" if node is not None else "false"
        else:
            found = _leaf(node, bound.name)
        if found:
            break
    values = {value.alias: found}
    if bound.target:
        values[_kind_of(value)] = _contained_type(resource, found)
    return values


def _walk(node: Any, path: _Path, column: str) -> Any:
    after = ""
    for step in path:
        if node is None:
            return None
        if isinstance(step, _Key):
            if not isinstance(node, dict):
                raise _Odd(_KIND, column)
            node, after = node.get(step.name), step.name
            continue
        if not isinstance(node, list):
            raise _Odd(_KIND, column)
        if isinstance(step, _First):
            node = node[0] if node else None
        elif isinstance(step, _Where):
            found = [each for each in node if isinstance(each, dict) and each.get(step.field) == step.value]
            if after == "identifier":
                found.sort(key=lambda each: each.get("use") == "old")
            node = found[0] if found else None
    return node


def _leaf(node: Any, column: str) -> str | None:
    if node is None or isinstance(node, str):
        return node
    if isinstance(node, bool):
        return "true" if node else "false"
    raise _Odd(_KIND, column)


def _contained_type(resource: dict[str, Any], reference: str | None) -> str | None:
    if reference is None or not reference.startswith("#"):
        return None
    contained = resource.get("contained")
    for each in contained if isinstance(contained, list) else ():
        if isinstance(each, dict) and each.get("id") == reference[1:]:
            kind = each.get("resourceType")
            return kind if isinstance(kind, str) else None
    return None


# The query ------------------------------------------------------------------------------------------------------------


# RFC 8259, section 6. What is none must stay none.
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"


def _quoted_numbers(values: Iterable[_Value]) -> str:
    """The line with the numbers of decimal columns as text: a double would lose digits.

    Where the name of the element stands in text, its quotes are escaped and do not match; where a text begins with a
    colon after such a name, the outcome is no JSON and the line is read alone.
    """
    keys = sorted(
        {
            path[-1].name
            for value in values
            if value.bound.is_decimal
            for path in value.bound.places
            if isinstance(path[-1], _Key)
        }
    )
    if not keys:
        return "l"
    element, number, after = rf'"(?:{"|".join(keys)})"\s*:\s*', _NUMBER, r"\s*[,}\]]"
    return rf"""regexp_replace(l, '({element})({number})({after})', '\1"\2"\3', 'g')"""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class _Sql:
    """The query that takes values out of `lines`: `i`, `odd`, the values, and for a resource `type` and `id`."""

    def __init__(self, values: Sequence[_Value], repeating: set[str], is_resource: bool) -> None:
        self.structure: dict[str, Any] = {}
        self.kinds: dict[str, set[str]] = {"$": {"OBJECT"}}
        self.odd: list[str] = []
        columns = ["i"]
        if is_resource:
            self.structure |= {"resourceType": "VARCHAR", "id": "VARCHAR"}
            self.kinds |= {'$."resourceType"': {"VARCHAR"}, '$."id"': _TEXT_KINDS}
            columns += ['x."resourceType" as "type"', 'x."id" as id']
        for name in sorted(repeating):
            self.structure[name] = ["JSON"]
            self.kinds[f'$."{name}"'] = {"ARRAY"}
            columns.append(f'x."{name}"::varchar[] as "{name}"')
        for value in values:
            columns.append(f"{self._value(value.bound)} as {value.alias}")
            if value.bound.target:
                columns.append(f"{self._contained(value, is_resource)} as {_kind_of(value)}")
        paths = ", ".join(_literal(path) for path in self.kinds)
        kinds = [
            f"t[{at}] not in ({', '.join(_literal(kind) for kind in sorted(kinds))}, 'NULL')"
            for at, kinds in enumerate(self.kinds.values(), start=1)
        ]
        kinds[0] = "coalesce(t[1], '') <> 'OBJECT'"
        self.text = f"""
            with texts as (select i, {_quoted_numbers(values)} as l from lines),
            trees as (
                select i, l, from_json(l, {_literal(json.dumps(self.structure))}) as x, json_type(l, [{paths}]) as t
                from texts
            )
            select {", ".join(columns)}, coalesce({" or ".join([*self.odd, *kinds])}, false) as odd from trees
        """

    def _value(self, bound: _Bound) -> str:
        if not bound.places:
            return "cast(null as varchar)"
        places = [self._place(path) for path in bound.places]
        return (
            places[0]
            if len(places) == 1
            else f"coalesce({', '.join(f'nullif({place}, {chr(39) * 2})' for place in places)})"
        )

    def _contained(self, value: _Value, is_resource: bool) -> str:
        """Type of the contained resource that the reference points to."""
        reference = self._value(value.bound)
        if not is_resource:
            # What it points to is not in the element.
            self.odd.append(f"{reference}[1] = '#'")
            return "cast(null as varchar)"
        self.structure["contained"] = [{"id": "VARCHAR", "resourceType": "VARCHAR"}]
        found = f"""list_filter(x."contained", lambda z: '#' || z."id" = {reference})[1]."resourceType\""""
        return f"""case when {reference}[1] = '#' then {found} end"""

    def _place(self, path: _Path) -> str:
        """The value at a path as text; what stands on the way is noted with the kind that it must be of."""
        expression, json_path, node = "x", "$", self.structure
        is_below_list = False
        for at, step in enumerate(path):
            following = path[at + 1] if at + 1 < len(path) else None
            if isinstance(step, _Key):
                key = step.name
                expression, json_path = f'{expression}."{key}"', f'{json_path}."{key}"'
                if following is None:
                    node[key] = "JSON" if is_below_list else "VARCHAR"
                    break
                if isinstance(following, _Key):
                    node = node.setdefault(key, {})
                else:
                    node = node.setdefault(key, [{}])[0]
                if not is_below_list:
                    self.kinds[json_path] = {"OBJECT"} if isinstance(following, _Key) else {"ARRAY"}
            elif isinstance(step, _First):
                expression, json_path = f"{expression}[1]", f"{json_path}[0]"
                if not is_below_list:
                    self.kinds[json_path] = {"OBJECT"}
            elif isinstance(step, _Where):
                node[step.field] = "VARCHAR"
                condition = f'z."{step.field}" = {_literal(step.value)}'
                expression = f"list_filter({expression}, lambda z: {condition})[1]"
                is_below_list = True
        if isinstance(path[-1], _Where):
            return f"case when {expression} is null then 'false' else 'true' end"
        if not is_below_list:
            self.kinds[json_path] = _TEXT_KINDS
            return expression
        self.odd.append(f"""left({expression}::varchar, 1) not in ('"', 'n')""")
        return f"({expression} ->> '$')"


_TEXT_KINDS = {"VARCHAR", "BIGINT", "UBIGINT", "BOOLEAN"}

# Deletions ------------------------------------------------------------------------------------------------------------


def _read_deletions(text: Text, named: Mapping[str, Extract], gathered: Mapping[str, _Gathered]) -> None:
    """Rows of one file of the `deleted` output: Bundles with entries that ask DELETE (Bulk Data 1.0, Response)."""
    import polars as pl

    by_resource = {layout.resource: layout for layout in map(_layout, named.values()) if layout.each is None}
    found: dict[str, list[tuple[int, str, str]]] = {}
    head = next((name for name in text.extracts if name in named), next(iter(named)))

    def refuse(line: int, reason: str, column: str | None = None) -> None:
        gathered[head].bad.append(BadRow(text.index, line, column, "text", reason))

    for number, line in enumerate(text.content.removeprefix(_BOM).split(b"\n"), start=text.first_line):
        try:
            bundle = _bundle(line)
        except _Odd as trouble:
            refuse(number, trouble.reason)
            continue
        if bundle is None:
            continue
        moment = text.stated_at or _bundle_moment(bundle)
        foreign: set[str] = set()
        for entry in bundle.get("entry") or ():
            kind, id = _deleted(entry)
            if moment is None:
                foreign.add("no moment is stated for the deletions")
            elif kind not in _TYPES or id is None:
                foreign.add("an entry of a Bundle of deletions that deletes no resource")
            elif kind not in by_resource:
                foreign.add(f"no extract of the contract takes deletions of {kind}")
            else:
                found.setdefault(kind, []).append((number, id, moment))
        if foreign:
            refuse(number, "; ".join(sorted(foreign)))
    for kind, rows in found.items():
        layout = by_resource[kind]
        places = {bound.places[0]: bound.name for bound in layout.columns if len(bound.places) == 1}
        filled = {
            places[(_Key("id"),)]: [id for _, id, _ in rows],
            places[(_Key("meta"), _Key("lastUpdated"))]: [moment for *_, moment in rows],
        }
        if version := places.get((_Key("meta"), _Key("versionId"))):
            filled[version] = [f"deleted {moment}" for *_, moment in rows]
        frame = pl.DataFrame(
            {bound.name: filled.get(bound.name, [None] * len(rows)) for bound in layout.columns},
            dict.fromkeys((bound.name for bound in layout.columns), pl.String),
        )
        gathered[layout.extract].frames.append(
            frame.with_columns(
                _op=pl.lit("D"),
                _text=pl.lit(text.index, pl.Int64),
                _line=pl.Series([line for line, *_ in rows], dtype=pl.Int64),
            )
        )


def _bundle(line: bytes) -> dict[str, Any] | None:
    try:
        parsed = _json_object(line)
    except UnicodeDecodeError:
        raise _Odd("the line is not UTF-8") from None
    if parsed is None:
        return None
    if parsed.get("resourceType") != "Bundle" or not isinstance(parsed.get("entry", []), list):
        raise _Odd("no Bundle in a file of deletions")
    return parsed


def _bundle_moment(bundle: Mapping[str, Any]) -> str | None:
    meta = bundle.get("meta")
    for moment in (meta.get("lastUpdated") if isinstance(meta, dict) else None, bundle.get("timestamp")):
        if isinstance(moment, str) and moment:
            return moment
    return None


def _deleted(entry: Any) -> tuple[str | None, str | None]:
    """Type and id that an entry deletes."""
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or request.get("method") != "DELETE":
        return None, None
    url = request.get("url")
    form = re.fullmatch(r"(?:[^?#]*/)?([A-Z][A-Za-z]+)/([^/?#]+)", url) if isinstance(url, str) else None
    return (form[1], form[2]) if form else (None, None)
