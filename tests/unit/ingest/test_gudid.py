"""Releases of the device database: both forms give the same rows, and a delivery disturbs nothing beside it."""

import csv
import hashlib
import zipfile
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from ingest.contract import load_contracts
from ingest.formats import gudid
from ingest.formats.reading import Unreadable

ON = date(2026, 4, 30)
FOLDER = next(
    (parent / "shared/thirdparty/udi" for parent in Path(__file__).parents if (parent / "shared/thirdparty").is_dir()),
    None,
)

# One device with everything, one that is bare and from an older release, one in HIBC form with packages.
DEVICES = [
    {
        "publicVersionDate": "2026-04-29",
        "deviceCommDistributionEndDate": "2026-03-31",
        "deviceCommDistributionStatus": "Not in Commercial Distribution",
        "brandName": 'Knee, "left"',
        "versionModelNumber": "V 1",
        "catalogNumber": "00-1",
        "dunsNumber": "123456789",
        "companyName": "Example & Söhne",
        "deviceCount": "5",
        "singleUse": "true",
        "lotBatch": "true",
        "serialNumber": "false",
        "manufacturingDate": "false",
        "expirationDate": "true",
        "MRISafetyStatus": "MR Conditional",
        "deviceSterile": "true",
        "identifiers": [
            ("09521234000013", "Primary", "GS1", "", "", "", "", ""),
            (
                "19521234000010",
                "Package",
                "GS1",
                "09521234000013",
                "10",
                "2026-12-31",
                "In Commercial Distribution",
                "BX",
            ),
            ("09521234000020", "Unit of Use", "GS1", "", "", "", "", ""),
        ],
        "codes": ["LPH", "JWH"],
        "terms": [("47000", "Obsolete", "true"), ("51000", "Active", "false")],
    },
    {
        "publicVersionDate": "2017-01-05",
        "companyName": "Old Maker",
        "identifiers": [("09521234000037", "Primary", "GS1", "", "", "", "", "")],
        "codes": [],
        "terms": [("30000", "Active", "")],
    },
    {
        "publicVersionDate": "2026-04-28",
        "companyName": "Labeler",
        "identifiers": [
            ("A123BJC5D6E71", "Secondary", "HIBCC", "", "", "", "", ""),
            ("A123BJC5D6E70", "Primary", "HIBCC", "", "", "", "", ""),
        ],
        "codes": ["KWP"],
        "terms": [("46642", "Active", "false"), ("12000", "Active", "false")],
    },
]
PARTS = ("deviceId", "deviceIdType", "deviceIdIssuingAgency", "containsDINumber", "pkgQuantity", "pkgDiscontinueDate")
PARTS = (*PARTS, "pkgStatus", "pkgType")
LISTS = ("identifiers", "codes", "terms", "deviceSterile")


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def element(name: str, text: str) -> str:
    return f"<{name}>{escaped(text)}</{name}>" if text else f'<{name} xsi:nil="true"/>'


def xml(devices: list[dict]) -> bytes:
    body = ""
    for device in devices:
        fields = "".join(element(name, text) for name, text in device.items() if name not in LISTS)
        identifiers = "".join(
            "<identifier>" + "".join(map(element, PARTS, one)) + "</identifier>" for one in device["identifiers"]
        )
        codes = "".join(
            f"<fdaProductCode><productCode>{code}</productCode></fdaProductCode>" for code in device["codes"]
        )
        terms = "".join(
            f"<gmdn>{element('gmdnCode', code)}{element('implantable', flag)}{element('gmdnCodeStatus', status)}</gmdn>"
            for code, status, flag in device["terms"]
        )
        body += (
            f"<device>{fields}<identifiers>{identifiers}</identifiers><gmdnTerms>{terms}</gmdnTerms>"
            f"<productCodes>{codes}</productCodes>"
            f"<sterilization>{element('deviceSterile', device.get('deviceSterile', ''))}</sterilization></device>\n"
        )
    space = 'xmlns="http://www.fda.gov/cdrh/gudid" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    return f"<?xml version='1.0' encoding='utf-8'?><gudid {space}><header/>{body}</gudid>".encode()


def delimited(devices: list[dict]) -> dict[str, str]:
    names = [name for name in DEVICES[0] if name not in LISTS] + ["deviceSterile"]
    device, identifiers = ["PrimaryDI|" + "|".join(names)], ["PrimaryDI|" + "|".join(PARTS)]
    codes, terms = (
        ["PrimaryDI|productCode|productCodeName"],
        ["PrimaryDI|gmdnPTName|gmdnCode|gmdnCodeStatus|implantable"],
    )
    for one in devices:
        primary = next(row[0] for row in one["identifiers"] if row[1] == "Primary")
        device.append("|".join([primary, *(one.get(name, "") for name in names)]))
        identifiers += ["|".join([primary, *row]) for row in one["identifiers"]]
        codes += [f"{primary}|{code}|NAME" for code in one["codes"]]
        terms += [f'{primary}|A "name|{code}|{status}|{flag}' for code, status, flag in one["terms"]]
    files = {"device": device, "identifiers": identifiers, "productCodes": codes, "gmdnTerms": terms}
    return {f"{name}.txt": "\n".join(lines) + "\n" for name, lines in files.items()}


def zipped(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def rows(release: Path) -> tuple[list[dict], list[dict]]:
    read = list(gudid.read_release(release))
    devices, identifiers = pl.concat(one.devices for one in read), pl.concat(one.identifiers for one in read)
    return devices.sort("primary_di").to_dicts(), identifiers.sort("primary_di", "device_id").to_dicts()


@pytest.fixture
def xml_file(tmp_path):
    (tmp_path / "release.xml").write_bytes(xml(DEVICES))
    return tmp_path / "release.xml"


@pytest.fixture
def text_zip(tmp_path):
    return zipped(tmp_path / "text.zip", delimited(DEVICES))


def test_a_device_has_every_column_of_its_record(xml_file):
    devices, identifiers = rows(xml_file)
    assert devices[0] == {
        "primary_di": "09521234000013",
        "brand_name": 'Knee, "left"',
        "version_model_number": "V 1",
        "catalog_number": "00-1",
        "company_name": "Example & Söhne",
        "duns_number": "123456789",
        "device_count": "5",
        "single_use": "Y",
        "lot_batch": "Y",
        "serial_number": "N",
        "manufacturing_date": "N",
        "expiration_date": "Y",
        "implantable": "Y",
        "device_sterile": "Y",
        "mri_safety": "MR Conditional",
        "distribution_status": "Not in Commercial Distribution",
        "distribution_end_date": "2026-03-31",
        "product_codes": "JWH;LPH",
        "gmdn_code": "51000",
        "public_version_date": "2026-04-29",
    }
    assert identifiers[2] == {
        "primary_di": "09521234000013",
        "device_id": "19521234000010",
        "device_id_type": "Package",
        "issuing_agency": "GS1",
        "contains_di": "09521234000013",
        "pkg_quantity": "10",
        "pkg_status": "In Commercial Distribution",
        "pkg_discontinue_date": "2026-12-31",
    }


def test_implantable_is_what_the_terms_say_and_empty_where_they_say_nothing(xml_file):
    assert [device["implantable"] for device in rows(xml_file)[0]] == ["Y", None, "N"]


def test_the_columns_are_those_of_the_contract():
    extracts = load_contracts()["ref"].extracts
    assert list(extracts["GUDID_DEVICE"].columns) == list(gudid.DEVICE_COLUMNS)
    assert list(extracts["GUDID_IDENTIFIER"].columns) == list(gudid.IDENTIFIER_COLUMNS)


def test_both_forms_give_the_same_rows_in_a_file_a_zip_and_a_folder(xml_file, text_zip, tmp_path):
    folder = tmp_path / "folder" / "data"
    folder.mkdir(parents=True)
    for name, text in delimited(DEVICES).items():
        (folder / name).write_text(text.replace("\n", "\r\n"), encoding="utf-8-sig", newline="")
    parts = zipped(tmp_path / "parts.zip", {"p/1.xml": xml(DEVICES[:2]), "p/2.xml": xml(DEVICES[2:]), "readme.txt": ""})
    assert rows(xml_file) == rows(text_zip) == rows(folder.parent) == rows(parts)


@pytest.mark.skipif(FOLDER is None, reason="shared/thirdparty/udi is not here")
def test_real_devices_give_the_same_rows_in_both_forms(tmp_path):
    devices, identifiers = rows(FOLDER / "gudid_slice.xml")
    assert (len(devices), len(identifiers)) == (700, 1416)
    assert {device["implantable"] for device in devices} == {"Y", "N"}
    assert all(device["public_version_date"] and device["company_name"] for device in devices)
    fields = {source: name for name, source in gudid._DEVICE_FIELDS.items()}
    listed = {source: name for name, source in gudid._IDENTIFIER_FIELDS.items()}
    back = {"Y": "true", "N": "false"}

    def text(row: dict, names: dict[str, str]) -> str:
        values = (row[name] or "" for name in names.values())
        return "|".join([row["primary_di"], *(back.get(value, value) for value in values)])

    files = {
        "device.txt": ["PrimaryDI|" + "|".join(fields), *(text(row, fields) for row in devices)],
        "identifiers.txt": ["PrimaryDI|" + "|".join(listed), *(text(row, listed) for row in identifiers)],
        "productCodes.txt": ["PrimaryDI|productCode"]
        + [
            f"{row['primary_di']}|{code}" for row in devices for code in (row["product_codes"] or "").split(";") if code
        ],
        "gmdnTerms.txt": ["PrimaryDI|gmdnCode|implantable"]
        + [f"{row['primary_di']}|{row['gmdn_code']}|{back[row['implantable']]}" for row in devices],
    }
    written = zipped(tmp_path / "real.zip", {name: "\n".join(lines) + "\n" for name, lines in files.items()})
    assert rows(written) == (devices, identifiers)


def test_more_devices_than_are_held_at_once_come_in_stretches(xml_file, monkeypatch):
    whole = rows(xml_file)
    monkeypatch.setattr(gudid, "DEVICES_AT_ONCE", 1)
    assert [one.devices.height for one in gudid.read_release(xml_file)] == [1, 1, 1, 0]
    assert rows(xml_file) == whole


def test_a_line_with_a_delimiter_in_a_field_is_counted_and_left_out(tmp_path):
    files = delimited(DEVICES)
    files["device.txt"] += files["device.txt"].splitlines()[1].replace("V 1", "V|1") + "\n"
    read = next(gudid.read_release(zipped(tmp_path / "text.zip", files)))
    assert (read.devices.height, read.lines_left_out) == (3, 1)


def test_an_older_release_without_terms_or_flags_leaves_them_empty(tmp_path):
    files = {name: text for name, text in delimited(DEVICES).items() if name in ("device.txt", "identifiers.txt")}
    devices, _ = rows(zipped(tmp_path / "old.zip", files))
    assert {(device["implantable"], device["gmdn_code"], device["product_codes"]) for device in devices} == {
        (None,) * 3
    }


# ------------------------------------------------------------------------------------------------------------- delivery


def test_a_delivery_is_two_files_and_their_lines_in_the_manifest(xml_file, tmp_path):
    written = gudid.write_delivery(xml_file, tmp_path / "landing", ON)
    folder = tmp_path / "landing" / "ref" / "20260430"
    assert (written.folder, written.devices, written.identifiers, written.lines_left_out) == (folder, 3, 6, 0)
    assert sorted(path.name for path in folder.iterdir()) == [
        "GUDID_DEVICE.csv",
        "GUDID_IDENTIFIER.csv",
        "_manifest.csv",
    ]
    with (folder / "_manifest.csv").open() as file:
        stated = list(csv.reader(file))
    assert stated == [
        ["extract", "row_count", "sha256"],
        *(
            [name, str(count), hashlib.sha256((folder / f"{name}.csv").read_bytes()).hexdigest()]
            for name, count in (("GUDID_DEVICE", 3), ("GUDID_IDENTIFIER", 6))
        ),
    ]
    with (folder / "GUDID_DEVICE.csv").open(encoding="utf-8", newline="") as file:
        assert [dict(row) for row in csv.DictReader(file)] == [
            {name: value or "" for name, value in device.items()}
            for one in gudid.read_release(xml_file)
            for device in one.devices.to_dicts()
        ]


def test_what_else_was_delivered_that_day_stays(xml_file, tmp_path):
    folder = tmp_path / "landing" / "ref" / "20260430"
    folder.mkdir(parents=True)
    (folder / "HCPCS.csv").write_text("hcpcs\n")
    (folder / "_manifest.csv").write_text("extract,row_count,sha256\nGUDID_DEVICE,9,old\nHCPCS,0,abc\n")
    gudid.write_delivery(xml_file, tmp_path / "landing", ON)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert first["HCPCS.csv"] == b"hcpcs\n"
    lines = first["_manifest.csv"].decode().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["HCPCS", "0"],
        ["GUDID_DEVICE", "3"],
        ["GUDID_IDENTIFIER", "6"],
    ]
    gudid.write_delivery(xml_file, tmp_path / "landing", ON)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


@pytest.mark.parametrize("cut", ["xml", "zip", "nothing", "other", "header", "identifiers"])
def test_a_release_that_cannot_be_read_leaves_the_folder_as_it_was(cut, xml_file, text_zip, tmp_path):
    bad = tmp_path / {"zip": "bad.zip", "xml": "bad.xml"}.get(cut, "bad")
    if cut == "xml":
        bad.write_bytes(xml(DEVICES)[:-40])
    elif cut == "zip":
        bad.write_bytes(text_zip.read_bytes()[:-30])
    elif cut == "other":
        zipped(bad, {"readme.txt": "hello"})
    elif cut == "header":
        zipped(bad, delimited(DEVICES) | {"device.txt": "a|b\n1|2\n"})
    elif cut == "identifiers":
        zipped(bad, {"device.txt": delimited(DEVICES)["device.txt"]})
    gudid.write_delivery(xml_file, tmp_path / "landing", ON)
    folder = tmp_path / "landing" / "ref" / "20260430"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Unreadable):
        gudid.write_delivery(bad, tmp_path / "landing", ON)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
