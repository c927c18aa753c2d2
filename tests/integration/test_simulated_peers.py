"""Every file of a small whole landscape opens with a peer that knows its format, or a quirk says why it does not.

One world of all sites and systems with every quirk and defect; what a hundred cases would hardly show is asked for more
often. HL7 goes to hl7apy, 835 to pyx12, GS1 strings to biip, tables to the csv and zipfile of Python. FHIR is too rare
in so small a world: tests/unit/simulator/test_fhir.py does the same with worlds of the acquired hospital alone.
pyx12 has no maps of 850, 855, 856, 810 and 832; there its reader judges envelopes, counts and HL trees, and its
dictionary of data elements the type and length of each element.
"""

import csv
import gzip
import hashlib
import io
import json
import logging
import re
import zipfile
from collections import Counter
from datetime import date, timedelta

import polars as pl
import pytest
import pyx12.params
from biip.gs1_messages import GS1Message
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message
from pyx12.dataele import DataElements
from pyx12.errors import EngineError
from pyx12.validation import IsValidDataType
from pyx12.x12file import X12Reader
from pyx12.x12n_document import x12n_document

from ingest.contract import load_contracts
from ingest.formats import udi
from ingest.simulator import build_world
from ingest.simulator import messages as simulated_messages
from ingest.simulator.plan import QUIRK_SHARES
from tests.unit.simulator.peers import accepted_resources, refused_remittances

START, DAYS, SCALE = date(2026, 2, 13), 21, 0.002
SITES = ("CDC", "H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8")
OFTEN = {
    **dict.fromkeys(("Q02", "Q25", "Q26", "Q27", "Q28"), 0.15),
    **dict.fromkeys(("Q29", "Q30", "Q31", "Q35", "Q36", "Q38", "Q42"), 0.25),
    **dict.fromkeys(("Q111", "Q113", "Q115", "Q119", "Q120"), 0.06),
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    out = tmp_path_factory.mktemp("peers")
    with pytest.MonkeyPatch.context() as patch:
        for quirk, share in OFTEN.items():
            patch.setitem(QUIRK_SHARES, quirk, share)
        patch.setattr(simulated_messages, "FAR_STAMPS", 0.05)
        world, _, _ = build_world(out, START, DAYS, SCALE, 5, sites=SITES)
    return world, out


# ----------------------------------------------------------------------------------------------------------------- HL7


def hl7_messages(out):
    for path in sorted((out / "ehr_hl7").glob("*/*.hl7")):
        for part in re.split(rb"(?<=[\r\n])(?=MSH\||BTS\||FTS\||BHS\||FHS\|)", path.read_bytes()):
            if part.startswith(b"MSH"):
                header = re.split(rb"[\r\n]", part, maxsplit=1)[0]
                text = part.decode("iso-8859-1" if b"|8859/1" in header else "utf-8")
                yield "\r".join(line for line in re.split(r"\r\n|\r", text) if line)


def judged(text, report):
    """What hl7apy has to say of a message at its own version: nothing, if it is sound."""
    parsed = parse_message(text, find_groups=True, validation_level=VALIDATION_LEVEL.STRICT)
    assert parsed.version == ("2.8" if "^M16^" in text else "2.5.1")
    parsed.validate(report_file=str(report))
    return report.read_text().splitlines()


def test_hl7apy_accepts_every_message_at_its_version(simulated, tmp_path):
    said, kinds, sites = Counter(), Counter(), Counter()
    for text in hl7_messages(simulated[1]):
        header = text.partition("\r")[0].split("|")
        kinds[header[8].split("^")[1]] += 1
        sites[header[3]] += 1
        # A coding system of the site (99zzz) or of HL7 (HL7nnnn) stands in the table as its pattern only.
        said.update(
            line for line in judged(text, tmp_path / "report") if not re.search(r"Value (99...|HL7\d{4}) not", line)
        )
    assert said == Counter()
    assert set(kinds) == {"P03", "S12", "S13", "S14", "S15", "A01", "A03", "A04", "A08", "A40", "M16"}
    assert set(sites) == {f"SHSH{number}" for number in range(1, 8)}


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("P03", lambda text: text.replace("\rEVN|P03|", "\rEVN|P03|soon", 1)),
        ("P03", lambda text: re.sub(r"\rFT1\|[^\r]*", "\rFT1|1", text, count=1)),
        ("A01", lambda text: re.sub(r"\rPID\|[^\r]*", "", text, count=1)),
        ("S12", lambda text: re.sub(r"\rRGS\|", "\rOBX|", text, count=1)),
        ("A01", lambda text: text.replace("\rPV1|1|I|", "\rPV1|one|I|", 1)),
    ],
)
def test_hl7apy_refuses_what_is_no_such_message(simulated, tmp_path, kind, wrong):
    text = next(each for each in hl7_messages(simulated[1]) if f"^{kind}^" in each.partition("\r")[0])
    assert wrong(text) != text
    with pytest.raises((HL7apyException, ValueError)):
        judged(wrong(text), tmp_path / "report")


# ----------------------------------------------------------------------------------------------------------------- X12


def test_pyx12_accepts_every_remittance(simulated):
    paths = sorted((simulated[1] / "hb" / "835").glob("*/*.835"))
    assert len(paths) > 5
    assert refused_remittances(paths) == []


def interchanges(out):
    return sorted((out / "edi").glob("*/*/*.edi"))


def segments_of(path):
    """Segments as pyx12's reader cuts them, with what it finds wrong until then."""
    with X12Reader(str(path)) as reader:
        for segment in reader:
            yield segment, reader.pop_errors()


def test_pyx12_reads_every_supplier_interchange_and_finds_only_the_counts_that_do_not_balance(simulated):
    """Q120: of those the SE is wrong, and the set comes again whole."""
    logging.getLogger("pyx12").setLevel(logging.CRITICAL)
    sets, refused, kinds = Counter(), [], Counter()
    for path in interchanges(simulated[1]):
        body = []
        for segment, errors in segments_of(path):
            name = segment.get_seg_id()
            body = [] if name == "ST" else body
            if name == "SE":
                content = (path.parts[-2], tuple(body))
                kinds[path.parts[-2]] += 1
                if errors:
                    assert [error[:2] for error in errors] == [("st", "4")], (path.name, errors)
                    refused.append((path, content))
                else:
                    sets[content] += 1
            else:
                assert errors == [], (path.name, errors)
                body.append(tuple(element.format() for element in segment.elements) if name != "ST" else ())
    assert set(kinds) == {"850", "855", "856", "810", "832"}
    assert {path.parts[-2] for path, _ in refused} >= {"850", "855", "856", "810"}
    last = (simulated[0].end - timedelta(days=1)).strftime("%Y%m%d")
    for path, content in refused:
        assert sets[content] or path.parts[-3] > last, path.name


def test_pyx12_has_no_map_of_a_supplier_set(simulated):
    """As long as it has none, order of segments and elements are judged below."""
    for kind in ("850", "855", "856", "810", "832"):
        path = next(each for each in interchanges(simulated[1]) if each.parts[-2] == kind)
        with pytest.raises(EngineError, match="Map not found"):
            x12n_document(pyx12.params.params(), str(path), None, None)


# Order of the segments of a set, of those that suppliers use here (X12 004010, transaction set tables).
ORDER = {
    "850": r"BEG CUR (REF )*PER (N1 )+(PO1 PID (PO4 )?(N9 MSG )?)+CTT ",
    "855": r"BAK (N1 )?((PO1 (ACK )+)+CTT )?",
    "856": r"BSN HL TD1 TD5 (REF )+(DTM )+(N1 )+HL PRF (HL MAN |HL LIN SN1 (REF )?(DTM )?)+CTT ",
    "810": r"BIG CUR (REF )*(N1 )+ITD (IT1 PID (REF )*(SAC )?)*TDS (TXI )?(SAC )?CTT ",
    "832": r"BCT (REF )*DTM N1 (LIN (DTM )*PID PO4 CTP )+CTT ",
}
# Data elements of each segment by position (X12 004010 segment directory); pairs of a qualifier and an id may follow.
ELEMENTS = {
    "BEG": (353, 92, 324, 328, 373),
    "CUR": (98, 100),
    "REF": (128, 127),
    "PER": (366, 93, 365, 364),
    "N1": (98, 93, 66, 67),
    "PO1": (350, 330, 355, 212, 639),
    "PID": (349, 750, 559, 751, 352),
    "PO4": (356,),
    "N9": (128, 127),
    "MSG": (933,),
    "CTT": (354,),
    "BAK": (353, 587, 324, 373, 328, 326, 367, 127, 373),
    "ACK": (668, 380, 355, 374, 373),
    "BSN": (353, 396, 373, 337, 1005),
    "HL": (628, 734, 735),
    "TD1": (103, 80),
    "TD5": (133, 66, 67, 91),
    "DTM": (374, 373),
    "PRF": (324, 328, 327, 373),
    "MAN": (88, 87),
    "LIN": (350,),
    "SN1": (350, 382, 355),
    "BIG": (373, 76, 373, 324, 328, 327, 640),
    "ITD": (336, 333, 338, 370, 351, 446, 386),
    "IT1": (350, 358, 355, 212, 639),
    "SAC": (248, 1300, 559, 1301, 610, 378, 332, 118, 355, 380, 380, 331, 127, 770, 352),
    "TDS": (610, 610),
    "TXI": (963, 782),
    "BCT": (683, 684, None, None, None, None, None, None, None, 353),
    "CTP": (687, 236, 212, 380, 355),
}
WITH_PRODUCTS = ("PO1", "LIN", "IT1")
# What the dictionary lacks, and what is shorter in 004010 than in it: type, shortest, longest.
LACKED = {
    76: ("AN", 1, 22), 80: ("N0", 1, 7), 87: ("AN", 1, 48), 88: ("ID", 1, 2), 91: ("ID", 1, 2), 92: ("ID", 2, 2),
    127: ("AN", 1, 30), 133: ("ID", 1, 2), 326: ("AN", 1, 45), 327: ("AN", 1, 8), 330: ("R", 1, 9), 333: ("ID", 1, 2),
    336: ("ID", 2, 2), 351: ("N0", 1, 3), 356: ("N0", 1, 6), 370: ("DT", 8, 8), 382: ("R", 1, 10), 386: ("N0", 1, 3),
    396: ("AN", 2, 30), 446: ("DT", 8, 8), 587: ("ID", 2, 2), 668: ("ID", 2, 2), 683: ("ID", 2, 2), 684: ("AN", 1, 15),
    963: ("ID", 2, 2),
}  # fmt: skip


def elements_of(segment):
    """The data element of each filled position, and its value."""
    known = ELEMENTS[segment.get_seg_id()]
    for place, element in enumerate(segment.elements):
        if value := element.format():
            pair = (235, 234)[(place - len(known)) % 2] if segment.get_seg_id() in WITH_PRODUCTS else None
            yield known[place] if place < len(known) else pair, value


def test_sets_of_suppliers_have_their_segments_in_order_and_elements_of_the_dictionary(simulated):
    dictionary = {
        number: (entry["data_type"], entry["min_len"], entry["max_len"])
        for number, entry in DataElements().dataele.items()
    } | {str(number): entry for number, entry in LACKED.items()}
    seen = Counter()
    for path in interchanges(simulated[1]):
        kind, names = path.parts[-2], []
        for segment, _ in segments_of(path):
            name = segment.get_seg_id()
            if name in ("ISA", "GS", "GE", "IEA"):
                continue
            if name == "ST":
                names = []
            elif name == "SE":
                assert re.fullmatch(ORDER[kind], "".join(f"{each} " for each in names)), (path.name, names)
                seen[kind] += 1
            else:
                names.append(name)
                for number, value in elements_of(segment):
                    data_type, shortest, longest = dictionary[str(number)]
                    size = len(value.lstrip("-").replace(".", "")) if data_type[0] in "NR" else len(value)
                    assert IsValidDataType(value, data_type, "E"), (path.name, segment.format())
                    assert shortest <= size <= longest, (path.name, number, segment.format())
    assert min(seen.values()) > 20 and set(seen) == set(ORDER)


# ------------------------------------------------------------------------------------------------- device identifiers


def carriers(out):
    """Whole device identifiers as messages and devices carry them."""
    for text in hl7_messages(out):
        for segment in text.split("\r"):
            fields = segment.split("|")
            if fields[0] == "ZFT" and len(fields) > 4:
                yield fields[4].replace("\\X1D\\", "\x1d").replace("\\T\\", "&")
    for resource in devices(out):
        yield from (carrier["carrierHRF"] for carrier in resource.get("udiCarrier", ()))


def devices(out):
    return [
        json.loads(line)
        for path in sorted((out / "ehr_fhir").glob("*/Device.*.ndjson.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]


def test_biip_and_the_reader_find_the_same_in_every_carrier(simulated):
    scans = pl.Series("scan", sorted(set(carriers(simulated[1]))))
    read = udi.parse(scans, simulated[0].end).with_columns(scans)
    assert read.filter(pl.col("refusal").is_not_null()).to_dicts() == []
    assert set(read["issuer"]) >= {"GS1", "HIBCC"}
    for row in read.filter(pl.col("issuer") == "GS1").iter_rows(named=True):
        is_printed = row["scan"].startswith("(")
        message = GS1Message.parse_hri(row["scan"]) if is_printed else GS1Message.parse(row["scan"])
        found = {each.ai.ai: each.value for each in message.element_strings}
        assert (found["01"], found.get("10"), found.get("21")) == (row["di"], row["lot"], row["serial"])
        assert message.element_strings[0].gtin is not None


# -------------------------------------------------------------------------------------------------------------- tables


def cells_of(content, **dialect):
    return list(csv.reader(io.StringIO(content, newline=""), strict=True, **dialect))


def test_python_opens_every_table_with_its_columns_and_rows(simulated):
    """Cut off are those of INT-02 alone, other columns than the contract's have those of INT-04 and Q101."""
    world, out = simulated
    columns = {
        (contract.system, name): [column for column, says in extract.columns.items() if says.source != "folder"]
        for contract in load_contracts().values()
        for name, extract in contract.extracts.items()
    }
    opened, cut = Counter(), set()
    for file in world.files:
        path = out / file.path
        if file.system not in ("ehr", "hb", "ref", "pou", "mmis", "erp_lawson", "erp_fusion"):
            continue
        if path.suffix not in (".csv", ".txt", ".zip"):
            continue
        encoding = "cp1252" if file.system in ("erp_lawson", "mmis") else "utf-8"
        if file.is_truncated:
            cut.add(f"feed={file.system}.{file.extract}|date={file.folder_date}|file={file.name}")
            continue
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
                parts = [archive.read(name).decode(encoding) for name in archive.namelist()]
        else:
            parts = [path.read_bytes().decode(encoding)]
        dialect = {"delimiter": "|", "quoting": csv.QUOTE_NONE, "escapechar": "\\"} if path.suffix == ".txt" else {}
        tables = [cells_of(part, **dialect) for part in parts]
        for header, *rows in tables:
            assert header == list(file.columns or columns[file.system, file.extract]), file.path
            assert {len(row) for row in rows} <= {len(header)}, file.path
        assert sum(len(table) - 1 for table in tables) == file.rows, file.path
        opened[file.system] += 1
    assert set(opened) == {"ehr", "hb", "ref", "pou", "mmis", "erp_lawson", "erp_fusion"}
    assert cut == {each.entity_key for each in world.planted if each.rule_id == "INT-02" and each.reason == "truncated"}


def test_a_bulk_manifest_names_the_archives_beside_it_by_their_md5(simulated):
    """Q107: what is not so is INT-02."""
    world, out = simulated
    faulty = {
        each.entity_key.rpartition("file=")[2]
        for each in world.planted
        if each.rule_id == "INT-02" and "erp_fusion" in each.entity_key
    }
    named = 0
    for manifest in sorted((out / "erp_fusion").glob("*/*/MANIFEST.MF")):
        for line in manifest.read_text().splitlines():
            name, _, _, digest = line.split(";")
            path = manifest.parent / name
            named += path.exists()
            if f"{manifest.parent.name}/{name}" not in faulty and path.exists():
                assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == digest, path
    assert named > 500


# ---------------------------------------------------------------------------------------------------------------- FHIR


def test_fhir_resources_accepts_every_resource(simulated):
    assert sum(accepted_resources(simulated[1]).values()) > 100
