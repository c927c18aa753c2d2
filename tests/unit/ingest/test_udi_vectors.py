"""Other people's vectors and the official dictionary, where ../shared/thirdparty/udi is there.

Every vector of biip is put to one question, by the test it comes from. Where we read another thing than biip, the
reason stands in `DIFFERS` or `NOT_READ`, with the section of the GS1 General Specifications.
"""

import json
import re
from collections import Counter
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from ingest.formats import udi
from ingest.formats.gs1_application_identifiers import application_identifiers, size_by_prefix

AS_OF = date(2026, 4, 30)
FOLDER = next(
    (parent / "shared/thirdparty/udi" for parent in Path(__file__).parents if (parent / "shared/thirdparty").is_dir()),
    None,
)
needs_vectors = pytest.mark.skipif(FOLDER is None, reason="shared/thirdparty/udi is not here")
VECTORS = json.loads((FOLDER / "biip_vectors.json").read_text(encoding="utf-8")) if FOLDER else []

NOT_READ = {
    "digital link": "a GS1 Digital Link URI has a standard of its own (GS1 Digital Link: URI syntax); it is no element"
    " string (section 3.1) and none of the UDI forms that the FDA accredited: refused",
    "upc": "UPC-E is a way to print a GTIN-12, and readers transmit its twelve digits (section 5.2.2): six or seven"
    " digits are no scan of one, and eight are a GTIN-8",
    "price_weight": "price and weight check digits are for restricted circulation numbers that a country defines"
    " (sections 7.9.2 to 7.9.4), never for a device",
}
DIFFERS = {
    "800307071324001022085952": "the digits of a GRAI end with a check digit (section 3.9, 8003, and 7.9.1). Here it is"
    " wrong, which biip does not look at",
    "157035381410375177": "an SSCC stands behind its identifier (section 3.2, 00): eighteen bare digits are read as the"
    " element string they seem to be, (15), and refused",
    "425261": NOT_READ["upc"] + "; as an element string it is (425), which biip finds too",
}


def question(vector: dict) -> str:
    path, test = vector["path"].split("::")
    file = Path(path).stem
    if file == "test_gs1_digital_link_uris" or test == "test_as_gs1_digital_link_uri":
        return "not read"
    if test.startswith(("test_gs1_price_weight", "test_parse_upc_e")):
        return "not read"
    if "/gtin/" in path or "/upc/" in path:
        return "gtin"
    return {
        "test_gs1_messages": "message",
        "test_gs1_element_strings": "elements",
        "test_parse": "parse",
        "test_sscc": "number",
        "test_gln": "number",
        "test_checksums": "check digit",
        "test_symbology": "symbology",
    }[file]


BY_QUESTION: dict[str, list[dict]] = {}
for each in VECTORS:
    BY_QUESTION.setdefault(question(each), []).append(each)


def asked(name: str):
    vectors = BY_QUESTION.get(name, [])
    names = [f"{number}-{vector['path'].split('::')[1]}" for number, vector in enumerate(vectors)]
    return pytest.mark.parametrize("vector", vectors, ids=names)


def listed(scan: str, separators: str = udi.SEPARATORS) -> list[dict]:
    return udi.elements(pl.Series([scan]), AS_OF, separators).to_dicts()


def said(scan: str) -> dict:
    return udi.parse(pl.Series([scan]), AS_OF).to_dicts()[0]


@needs_vectors
def test_every_vector_is_asked():
    counts = Counter(question(vector) for vector in VECTORS)
    assert sum(counts.values()) == 259
    assert counts["not read"] == 37 + 1 + 6 + 3


def strings(tree: object) -> list[dict]:
    """The element strings anywhere in an expectation."""
    if isinstance(tree, dict):
        if tree.get("_type") == "GS1ElementString":
            return [tree]
        return [found for part in tree.values() for found in strings(part)]
    if isinstance(tree, list):
        return [found for part in tree for found in strings(part)]
    return []


@needs_vectors
@asked("message")
def test_messages_have_the_same_elements(vector):
    expected, scan = vector["expected"], vector["input"]
    if isinstance(scan, dict):
        # Written from elements: what biip writes is read back.
        scan = expected["expected"]["value"]
    test = vector["path"].split("::test_")[1]
    got = listed(scan, "".join(expected.get("separator_chars", udi.SEPARATORS)))
    if "error" in expected or test.startswith("parse_hri_fails"):
        # biip's parse_hri takes parentheses only; a string without them is read here in its own way.
        assert scan == "17221231" or not got or any(element["refusal"] for element in got)
        return
    if scan not in DIFFERS and not test.endswith("invalid_element_values"):
        assert not any(element["refusal"] for element in got)
    pairs = [(element["ai"], element["value"]) for element in got]
    if hri := expected.get("expected_hri") or (expected["expected"] if test == "as_hri" else None):
        assert "".join(f"({ai}){value}" for ai, value in pairs) == hri
    elif "ai" in expected or "data_title" in expected:
        titles = {"GTIN": "01", "BEST BY": "15", "COUNT": "37", "BATCH": "10", "CERT": "723", "CERT # 1": "7231"}
        ai = expected.get("ai") or titles[expected["data_title"]]
        values = [value for found, value in pairs if found.startswith(ai)]
        wanted = expected["expected"]
        assert (values if isinstance(wanted, list) else next(iter(values), None)) == wanted
    else:
        assert pairs == [(element["ai"], element["value"]) for element in strings(expected)]


@needs_vectors
@asked("elements")
def test_single_elements_have_the_same_value_date_and_number(vector):
    expected, scan = vector["expected"], vector["input"]
    if isinstance(scan, list):
        scan = "\x1d".join(scan)
    if scan.startswith("f'"):
        # The years that biip counts from today.
        ends = {"THIS": 2026, "MIN": 2026 - 49, "MAX": 2026 + 50}
        name = re.search(r"\{(\w+)_YEAR_SHORT\}", scan)[1]
        assert listed(f"15{ends[name] % 100:02d}0526")[0]["date"] == date(ends[name], 5, 26)
        return
    if "bad_value" in expected:
        bad = expected["bad_value"]
        scan = bad if bad.startswith(scan) else scan + bad
        assert listed(scan)[0]["refusal"]
        return
    got = listed("]C1" + scan)
    element, wanted = got[0], strings(expected)
    for one, other in zip(wanted, got, strict=False):
        assert (one["ai"], one["value"]) == (other["ai"], other["value"])
        errors = [key for key in one if key.endswith("_error")]
        if scan not in DIFFERS:
            assert bool(other["refusal"]) == bool(errors)
        if one.get("date"):
            assert other["date"] == date.fromisoformat(one["date"])
    test = vector["path"].split("::test_")[1]
    if "expected_date" in expected:
        assert element["refusal"] is None
        assert element["date"] == date.fromisoformat(expected["expected_date"])
    elif test == "extract_handles_zero_day_as_last_day_of_month":
        assert element["date"] == date.fromisoformat(expected["expected"])
    elif "expected_currency" in expected:
        # biip names the currency; the value begins with its number (ISO 4217).
        assert element["number"] == expected["expected_decimal"]
        assert element["value"][:3] == {"ZAR": "710", "EUR": "978"}[expected["expected_currency"]]
    elif test.startswith(("extract_variable", "extract_amount", "extract_percentage")):
        assert element["number"] == expected["expected"]
    elif test == "as_hri":
        assert f"({element['ai']}){element['value']}" == expected["expected"]
    elif "ai" in expected or "data_title" in expected:
        titles = {"GTIN": "01", "BEST BY": "15", "BATCH": "10", "LOT": "10"}
        ai = expected.get("ai") or titles[expected["data_title"]]
        values = [one["value"] for one in got if one["ai"].startswith(ai)]
        assert (values if isinstance(expected["expected"], list) else next(iter(values), None)) == expected["expected"]
    else:
        assert wanted


@needs_vectors
@asked("parse")
def test_any_scan_gives_the_same_gtin_and_sscc_or_is_refused_where_biip_finds_an_error(vector):
    scan, wanted = vector["input"], vector["expected"]["expected"]
    got = said(scan)
    if scan.startswith(("https:", "]Q3https:")):
        assert got["refusal"] == udi._NO_FORM, NOT_READ["digital link"]
        return
    if scan in DIFFERS:
        assert got["di"] is got["sscc"] is None, DIFFERS[scan]
        return
    gtin = wanted.get("gtin")
    assert got["di"] == (gtin["value"].zfill(14) if gtin else None)
    # biip tries a bare GTIN as an element string too; a scan is one thing.
    message = wanted.get("gs1_message") or {}
    errors = [key for element in strings(message) for key in element if key.endswith("_error")]
    assert bool(got["refusal"]) == (gtin is None and (bool(errors) or not message))
    if wanted.get("sscc"):
        assert got["sscc"] == wanted["sscc"]["value"]


@needs_vectors
@asked("gtin")
def test_gtins_are_told_from_what_is_none(vector):
    number = pl.DataFrame({"number": [vector["input"]]})
    padded, is_right = number.select(
        padded=udi.gtin14(pl.col("number")), is_right=udi.has_check_digit(pl.col("number"))
    ).row(0)
    if "nonnumeric" in vector["path"]:
        assert padded is None
        assert not is_right
    else:
        assert padded == vector["input"].zfill(14)
        assert is_right


@needs_vectors
@asked("number")
def test_sscc_and_gln_are_told_from_what_is_none(vector):
    judged = pl.DataFrame({"number": [vector["input"]]}).select(udi.has_check_digit(pl.col("number"))).item()
    assert judged == ("nonnumeric" not in vector["path"])


@needs_vectors
@asked("check digit")
def test_check_digits_are_the_same(vector):
    digits = [vector["input"] + str(last) for last in range(10)]
    judged = pl.DataFrame({"number": digits}).select(udi.has_check_digit(pl.col("number"))).to_series()
    assert judged.arg_true().to_list() == ([vector["expected"]["expected"]] if vector["expected"] else [])


@needs_vectors
@asked("symbology")
def test_symbology_identifiers_are_taken_off(vector):
    # The modifiers of a system expansion (]Y) are more than one character: it carries no GS1 element string (section
    # 5.1), and what is left of it is refused.
    scan = vector["input"]
    content = "(01)09521234000013"
    if scan[:3] in ("]C0", "]C1"):
        assert said(scan[:3] + content)["di"] == "09521234000013"
    elif scan[:3] in ("]E0", "]I1"):
        assert said(scan[:3] + "09521234000013")["di"] == "09521234000013"
    else:
        assert said(scan)["refusal"]


@needs_vectors
@asked("not read")
def test_what_is_not_read_is_refused_where_it_is_a_scan(vector):
    scan, test = vector["input"], vector["path"].split("::test_")[1]
    if "digital_link" in vector["path"]:
        scan = scan if isinstance(scan, str) else vector["expected"]["expected"]["value"]
        if scan.startswith("http"):
            assert said(scan) == dict.fromkeys(said(scan)) | {"refusal": udi._NO_FORM}, NOT_READ["digital link"]
    elif test == "parse_upc_e":
        assert said(scan)["di"] is None, NOT_READ["upc"]
    else:
        assert test.startswith(("gs1_price_weight", "as_gs1_digital_link_uri"))


@needs_vectors
def test_the_table_of_identifiers_says_what_the_official_dictionary_says():
    known, seen = application_identifiers(), set()
    for line in (FOLDER / "gs1" / "gs1-syntax-dictionary.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        first, last, flags, rest = re.match(r"(\d+)(?:-(\d+))?\s+([*?]*)\s+(.*)", line).groups()
        fields = re.findall(r"(\[?)([NXYZ])(\.\.)?(\d+)\]?((?:,\w+)*)", rest.split("#")[0].split("=")[0])
        for number in range(int(first), int(last or first) + 1):
            ai = f"{number:0{len(first)}d}"
            seen.add(ai)
            assert size_by_prefix()[ai[:2]] == len(ai)
            assert known[ai].is_predefined == ("*" in flags)
            assert known[ai].longest == sum(int(size) for _, _, _, size, _ in fields)
            assert known[ai].shortest == sum(0 if a else 1 if b else int(size) for a, _, b, size, _ in fields)
            assert known[ai].is_check_pair == any("csumalpha" in tests for *_, tests in fields)
            checked = [
                sum(int(f[3]) for f in fields[: at + 1]) for at, f in enumerate(fields) if ",csum," in f[4] + ","
            ]
            assert known[ai].checked == (checked[0] if checked else 0)
            dates = re.findall("yyyymmdd|yymmd0|yymmdd", rest)
            assert known[ai].date == (dates[0].upper() if dates else "")
            if known[ai].characters:
                assert known[ai].characters == fields[0][1]
    assert seen == set(known)
