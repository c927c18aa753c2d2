"""Releases of the FDA's device database (AccessGUDID), as the reference extracts GUDID_DEVICE and GUDID_IDENTIFIER.

Here: the XML release (one file, or a zip of parts), the pipe-delimited release (`device.txt`, `identifiers.txt`,
`productCodes.txt`, `gmdnTerms.txt`, in a zip or folder), full or delta, and writing them as a delivery into the landing
directory. Not here: fetching a release; judging its rows (the contract does, when the delivery is ingested).

Whether a device is implantable is no fact of the device record, but newer releases flag its GMDN terms: a device is
implantable (Y) if one of its terms is, not (N) if all are flagged otherwise, and unsaid (empty) where the release has
no flag. The implant flag of the FDA's product code classification is in another file, which no release contains.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING
from xml.etree import ElementTree

from ingest.formats.reading import Unreadable

if TYPE_CHECKING:
    import polars as pl

DEVICES_AT_ONCE = 20_000

_DEVICE_FIELDS = {
    "brand_name": "brandName",
    "version_model_number": "versionModelNumber",
    "catalog_number": "catalogNumber",
    "company_name": "companyName",
    "duns_number": "dunsNumber",
    "device_count": "deviceCount",
    "single_use": "singleUse",
    "lot_batch": "lotBatch",
    "serial_number": "serialNumber",
    "manufacturing_date": "manufacturingDate",
    "expiration_date": "expirationDate",
    "device_sterile": "deviceSterile",
    "mri_safety": "MRISafetyStatus",
    "distribution_status": "deviceCommDistributionStatus",
    "distribution_end_date": "deviceCommDistributionEndDate",
    "public_version_date": "publicVersionDate",
}
_IDENTIFIER_FIELDS = {
    "device_id": "deviceId",
    "device_id_type": "deviceIdType",
    "issuing_agency": "deviceIdIssuingAgency",
    "contains_di": "containsDINumber",
    "pkg_quantity": "pkgQuantity",
    "pkg_status": "pkgStatus",
    "pkg_discontinue_date": "pkgDiscontinueDate",
}
_FLAGS = ("single_use", "lot_batch", "serial_number", "manufacturing_date", "expiration_date", "device_sterile")

DEVICE_COLUMNS = (
    "primary_di",
    "brand_name",
    "version_model_number",
    "catalog_number",
    "company_name",
    "duns_number",
    "device_count",
    "single_use",
    "lot_batch",
    "serial_number",
    "manufacturing_date",
    "expiration_date",
    "implantable",
    "device_sterile",
    "mri_safety",
    "distribution_status",
    "distribution_end_date",
    "product_codes",
    "gmdn_code",
    "public_version_date",
)
IDENTIFIER_COLUMNS = ("primary_di", *_IDENTIFIER_FIELDS)


@dataclass(frozen=True)
class Written:
    """What was written, and where."""

    folder: Path
    devices: int
    identifiers: int
    lines_left_out: int
    """Lines of a delimited release with more or fewer fields than its first: a delimiter or line end in a field."""


@dataclass(frozen=True)
class Devices:
    """Rows of both extracts, all columns as text, null where empty; and lines that could not be told apart."""

    devices: pl.DataFrame
    identifiers: pl.DataFrame
    lines_left_out: int = 0


def write_delivery(release: Path, landing: Path, on: date) -> Written:
    """Write a release as a delivery of `on`: both extracts and `_manifest.csv` in `ref/<yyyymmdd>`.

    The files are written aside and renamed, then their lines of the manifest are replaced; its other lines and the
    folder's other files stay as they are. Writing the same release again gives the same bytes. Nothing is renamed if
    the release cannot be read to its end.

    Raises:
        Unreadable: `release` is no release, or is cut or damaged.
    """
    folder = landing / "ref" / f"{on:%Y%m%d}"
    folder.mkdir(parents=True, exist_ok=True)
    names = {"GUDID_DEVICE": DEVICE_COLUMNS, "GUDID_IDENTIFIER": IDENTIFIER_COLUMNS}
    rows = dict.fromkeys(names, 0)
    left_out = 0
    aside = {name: folder / f"{name}.csv.tmp" for name in names}
    try:
        with ExitStack() as open_files:
            files = {name: open_files.enter_context(path.open("wb")) for name, path in aside.items()}
            for name, columns in names.items():
                files[name].write((",".join(columns) + "\n").encode())
            for some in read_release(release):
                left_out += some.lines_left_out
                for name, frame in (("GUDID_DEVICE", some.devices), ("GUDID_IDENTIFIER", some.identifiers)):
                    frame.write_csv(files[name], include_header=False, line_terminator="\n", null_value="")
                    rows[name] += frame.height
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
        stated = {}
        for name, path in aside.items():
            with path.open("rb") as written:
                stated[name] = (str(rows[name]), hashlib.file_digest(written, "sha256").hexdigest())
        for name, path in aside.items():
            path.replace(folder / f"{name}.csv")
    finally:
        for path in aside.values():
            path.unlink(missing_ok=True)
    _state(folder / "_manifest.csv", stated)
    return Written(folder, rows["GUDID_DEVICE"], rows["GUDID_IDENTIFIER"], left_out)


def _state(manifest: Path, stated: dict[str, tuple[str, str]]) -> None:
    """Put the lines of these extracts into the manifest, written aside and renamed."""
    header = ["extract", "row_count", "sha256"]
    lines = []
    if manifest.exists():
        with manifest.open(encoding="utf-8", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
        header = lines[0]
    kept = [line for line in lines[1:] if line[0] not in stated]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *kept, *([name, *said] for name, said in stated.items())])
    aside = manifest.with_name(manifest.name + ".tmp")
    aside.write_text(text.getvalue(), encoding="utf-8", newline="")
    aside.replace(manifest)


def read_release(release: Path) -> Iterator[Devices]:
    """The devices of a release: an XML file, a folder, or a zip of XML parts or delimited files.

    XML comes in stretches of `DEVICES_AT_ONCE` devices, in bounded memory; a delimited release as one (its columns that
    are not used are never held).

    Raises:
        Unreadable: neither form is there, or a part of it is cut or damaged.
    """
    with _unpacked(release) as folder:
        files = sorted(path for path in (folder.rglob("*") if folder.is_dir() else [folder]) if path.is_file())
        delimited = {path.name.lower(): path for path in files if path.suffix.lower() == ".txt"}
        parts = [path for path in files if path.suffix.lower() == ".xml"]
        if "device.txt" in delimited:
            yield _read_delimited(delimited)
        elif parts:
            for number, part in enumerate(parts, start=1):
                with part.open("rb") as file:
                    yield from _read_xml(file, number)
        else:
            raise Unreadable("no device database release: neither device.txt nor an XML file in it")


@contextmanager
def _unpacked(release: Path) -> Iterator[Path]:
    """The release as a file or folder; of a zip only the files that are read."""
    if not release.exists():
        raise Unreadable("no such file or folder")
    if release.is_dir() or not zipfile.is_zipfile(release):
        if release.suffix.lower() == ".zip":
            raise Unreadable("the zip is truncated or damaged")
        yield release
        return
    wanted = ("device.txt", "identifiers.txt", "productcodes.txt", "gmdnterms.txt")
    with tempfile.TemporaryDirectory(prefix="gudid-") as scratch:
        try:
            with zipfile.ZipFile(release) as archive:
                for number, member in enumerate(archive.infolist()):
                    name = Path(member.filename).name
                    if name.lower() in wanted or name.lower().endswith(".xml"):
                        # Parts keep their order; a member's own path is never followed.
                        target = Path(scratch) / (name if name.lower() in wanted else f"{number:06d}.xml")
                        with archive.open(member) as packed, target.open("wb") as file:
                            while piece := packed.read(1 << 20):
                                file.write(piece)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError):
            raise Unreadable("the zip is truncated or damaged") from None
        yield Path(scratch)


# ------------------------------------------------------------------------------------------------------------------ XML


def _read_xml(file: IO[bytes], number: int) -> Iterator[Devices]:
    """Devices of one part, each forgotten when read."""
    devices: list[tuple[str | None, ...]] = []
    identifiers: list[tuple[str | None, ...]] = []
    try:
        ancestors: list[ElementTree.Element] = []
        for event, element in ElementTree.iterparse(file, events=("start", "end")):
            if event == "start":
                ancestors.append(element)
                continue
            ancestors.pop()
            if _name(element) != "device":
                continue
            _take(element, devices, identifiers)
            if ancestors:
                ancestors[-1].clear()
            if len(devices) >= DEVICES_AT_ONCE:
                yield _frames(devices, identifiers)
                devices, identifiers = [], []
    except ElementTree.ParseError as problem:
        line, _ = problem.position
        raise Unreadable(f"XML part {number} is cut or damaged at line {line}") from None
    yield _frames(devices, identifiers)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _take(
    device: ElementTree.Element, devices: list[tuple[str | None, ...]], identifiers: list[tuple[str | None, ...]]
) -> None:
    """Append a device's row and those of its identifiers."""
    fields: dict[str, str] = {}
    listed: list[dict[str, str]] = []
    codes: set[str] = set()
    terms: list[tuple[bool, str]] = []
    flags: set[str] = set()
    for part in device:
        name = _name(part)
        if name == "identifiers":
            listed = [_texts(identifier) for identifier in part]
        elif name == "productCodes":
            codes = {_texts(code).get("productCode", "") for code in part} - {""}
        elif name == "gmdnTerms":
            for term in map(_texts, part):
                if code := term.get("gmdnCode"):
                    terms.append((term.get("gmdnCodeStatus") == "Obsolete", code))
                flags.add(term.get("implantable", "").lower())
        elif name == "sterilization":
            fields["deviceSterile"] = _texts(part).get("deviceSterile", "")
        elif part.text and part.text.strip():
            fields[name] = " ".join(part.text.split())
    primary = next((one.get("deviceId") for one in listed if one.get("deviceIdType") == "Primary"), None)
    derived = {
        "primary_di": primary,
        "implantable": "Y" if "true" in flags else "N" if flags == {"false"} else None,
        "product_codes": ";".join(sorted(codes)),
        "gmdn_code": min(terms)[1] if terms else None,
    }
    row = []
    for column in DEVICE_COLUMNS:
        value = derived[column] if column in derived else fields.get(_DEVICE_FIELDS[column])
        row.append(_FLAG.get(value.lower(), value) if value and column in _FLAGS else value or None)
    devices.append(tuple(row))
    identifiers += [(primary, *(one.get(field) for field in _IDENTIFIER_FIELDS.values())) for one in listed]


_FLAG = {"true": "Y", "false": "N"}


def _texts(element: ElementTree.Element) -> dict[str, str]:
    return {_name(part): " ".join(part.text.split()) for part in element if part.text and part.text.strip()}


def _frames(devices: list[tuple[str | None, ...]], identifiers: list[tuple[str | None, ...]]) -> Devices:
    import polars as pl

    return Devices(
        pl.DataFrame(devices, schema=dict.fromkeys(DEVICE_COLUMNS, pl.String), orient="row"),
        pl.DataFrame(identifiers, schema=dict.fromkeys(IDENTIFIER_COLUMNS, pl.String), orient="row"),
    )


# ------------------------------------------------------------------------------------------------------------ delimited


def _read_delimited(files: dict[str, Path]) -> Devices:
    """The delimited release: fields divided by `|`, never quoted, named by the first line of each file."""
    import polars as pl

    if "identifiers.txt" not in files:
        raise Unreadable("identifiers.txt is not in the release")
    device, cut_devices = _lines(files["device.txt"], [*_DEVICE_FIELDS.values()])
    listed, cut_identifiers = _lines(files["identifiers.txt"], [*_IDENTIFIER_FIELDS.values()])
    devices = device.select("primary_di", *(pl.col(field).alias(name) for name, field in _DEVICE_FIELDS.items()))
    devices = devices.with_columns(
        pl.col(name).str.to_lowercase().replace_strict(_FLAG, default=pl.col(name)) for name in _FLAGS
    )
    cut = cut_devices + cut_identifiers
    codes = pl.DataFrame(schema={"primary_di": pl.String, "product_codes": pl.String})
    terms = pl.DataFrame(schema=dict.fromkeys(("primary_di", "implantable", "gmdn_code"), pl.String))
    if "productcodes.txt" in files:
        product, cut_codes = _lines(files["productcodes.txt"], ["productCode"])
        cut += cut_codes
        codes = (
            product.drop_nulls("productCode")
            .group_by("primary_di")
            .agg(product_codes=pl.col("productCode").unique().sort().str.join(";"))
        )
    if "gmdnterms.txt" in files:
        gmdn, cut_terms = _lines(files["gmdnterms.txt"], ["gmdnCode", "gmdnCodeStatus", "implantable"])
        cut += cut_terms
        flag = pl.col("implantable").str.to_lowercase()
        is_obsolete = (pl.col("gmdnCodeStatus") == "Obsolete").fill_null(False)
        terms = gmdn.group_by("primary_di").agg(
            implantable=pl.when((flag == "true").any())
            .then(pl.lit("Y"))
            .when((flag == "false").fill_null(False).all())
            .then(pl.lit("N")),
            gmdn_code=pl.col("gmdnCode").sort_by(is_obsolete, "gmdnCode", nulls_last=True).drop_nulls().first(),
        )
    devices = devices.join(codes, on="primary_di", how="left", maintain_order="left")
    devices = devices.join(terms, on="primary_di", how="left", maintain_order="left")
    identifiers = listed.select(
        "primary_di", *(pl.col(field).alias(name) for name, field in _IDENTIFIER_FIELDS.items())
    )
    return Devices(devices.select(DEVICE_COLUMNS), identifiers, cut)


def _lines(file: Path, wanted: list[str]) -> tuple[pl.DataFrame, int]:
    """`primary_di` and the wanted fields of a delimited file, and how many lines have not as many fields as the first.

    Text, null where empty; fields that older releases do not have are null.
    """
    import polars as pl

    with file.open("rb") as content:
        names = content.readline().decode("utf-8-sig", errors="replace").rstrip("\r\n").split("|")
    known = {name.strip().lower(): name for name in names}
    if "primarydi" not in known:
        raise Unreadable(f"{file.name.lower()}: the first line does not name PrimaryDI")
    place = {name: number for number, name in enumerate(names)}
    there = {name: place[known[name.lower()]] for name in wanted if name.lower() in known}
    fields = {"primary_di": place[known["primarydi"]], **there}
    parts = pl.col("line").str.split("|").list
    try:
        lines = (
            pl.scan_csv(
                file,
                separator="\x01",
                quote_char=None,
                has_header=False,
                skip_lines=1,
                schema={"line": pl.String},
                encoding="utf8-lossy",
            )
            .filter(pl.col("line").str.strip_chars() != "")
            .select(
                *(parts.get(number, null_on_oob=True).alias(name) for name, number in fields.items()),
                _is_whole=parts.len() == len(names),
            )
            .with_columns(_clean(name) for name in fields)
            .collect(engine="streaming")
        )
    except pl.exceptions.PolarsError:
        # The engine's message quotes the line it stumbled over.
        raise Unreadable(f"{file.name.lower()}: not a delimited file") from None
    whole = lines.filter("_is_whole").drop("_is_whole")
    absent = [pl.lit(None, dtype=pl.String).alias(name) for name in wanted if name not in there]
    return whole.with_columns(absent), lines.height - whole.height


def _clean(name: str) -> pl.Expr:
    import polars as pl

    text = pl.col(name).str.replace_all(r"\s+", " ").str.strip_chars(" ")
    return pl.when(text != "").then(text).alias(name)
