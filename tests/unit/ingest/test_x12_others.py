"""X12 files of other projects: none crashes, nothing is lost, and an independent reading says the same.

The files lie beside the repository (`shared/thirdparty/x12`); without them these tests are skipped.
"""

import io
import re
from itertools import pairwise
from pathlib import Path

import pytest

from ingest.formats import x12
from ingest.formats.reading import Text
from ingest.formats.x12_segments import segment_tables
from tests.unit.ingest.x12_builder import feed_of, rows

HERE = Path(__file__).resolve()
FOLDER = next((up / "shared/thirdparty/x12" for up in HERE.parents if (up / "shared/thirdparty/x12").is_dir()), None)
FILES = sorted(each for each in FOLDER.rglob("*") if each.is_file() and each.suffix != ".json") if FOLDER else []
KINDS = ("850", "855", "856", "810", "832", "835")

pytestmark = pytest.mark.skipif(not FILES, reason="the files of other projects are not beside the repository")


def named(file):
    return str(file.relative_to(FOLDER))


def plain_segments(content):
    """Segments as lists of elements, by nothing but split."""
    text = content.decode("latin-1").strip()
    element = text[3]
    head = re.match(r"ISA" + (re.escape(element) + r"([^\r\n]*?)") * 15 + re.escape(element) + r"(.)(.)", text, re.S)
    mark = head[17]
    flat = text if mark in "\r\n" else text.replace("\r", "").replace("\n", "")
    segments = [each.strip().split(element) for each in flat.split(mark)]
    return [each for each in segments if each != [""]], head[16]


def scanned(content, encoding="utf-8"):
    """Segments as lists of elements, as the scanner's offsets cut them."""
    (table,) = segment_tables([Text(0, content)], encoding)
    out = []
    for number in range(table.size):
        at = table.opens[number]
        bounds = table.bounds[at : at + table.sizes[number] + 2]
        out.append([table.buffer[start + 1 : end].tobytes().decode() for start, end in pairwise(bounds)])
    return out


def plain_sets(segments):
    """Sets with the ISA and GS above them."""
    isa = gs = inside = None
    for each in segments:
        match each[0]:
            case "ISA":
                isa = each
            case "GS":
                gs = each
            case "ST":
                inside = [each]
            case "SE":
                yield isa, gs, [*inside, each]
                inside = None
            case _ if inside is not None:
                inside.append(each)


def at(segment, element):
    return (segment[element].rstrip() or None) if segment is not None and len(segment) > element else None


def first(segments, name, qualifier=None):
    return next(
        (each for each in segments if each[0] == name and (qualifier is None or at(each, 1) == qualifier)), None
    )


def loops(segments, opens, closes):
    """Lines of the detail, and what is outside of them."""
    lines, outside, inside = [], [], False
    for each in segments:
        if each[0] == opens:
            lines.append([])
            inside = True
        elif each[0] in (*closes, "SE"):
            inside = False
        (lines[-1] if inside else outside).append(each)
    return lines, outside


def pair(segment, start, *qualifiers):
    for qualifier in qualifiers:
        for place in range(start, len(segment) - 1, 2):
            if segment[place] == qualifier and at(segment, place + 1):
                return at(segment, place + 1)
    return None


def implied(text):
    return None if text is None else f"{int(text) // 100}.{int(text) % 100:02d}"


def expected_810(inside):
    lines, outside = loops(inside, "IT1", ("TDS", "CTT"))
    big, total = first(outside, "BIG"), first(outside, "TDS")
    head = {
        "invoice_date": at(big, 1),
        "invoice_no": at(big, 2),
        "po_number": at(big, 4),
        "invoice_type": at(big, 7),
        "shipment_id": at(first(outside, "REF", "BM") or first(outside, "REF", "SI"), 2),
        "ship_to_id": at(first(outside, "N1", "ST"), 4),
        "total": implied(at(total, 1)),
        "line_count": at(first(outside, "CTT"), 1),
    }
    body = [
        {
            "line_seq": str(number),
            "line_no": at(line[0], 1),
            "qty": at(line[0], 2),
            "uom": at(line[0], 3),
            "unit_price": at(line[0], 4),
            "buyer_item": pair(line[0], 6, "IN"),
            "vendor_cat": pair(line[0], 6, "VC", "VN"),
            "po_number": at(first(line, "REF", "PO"), 2),
        }
        for number, line in enumerate(lines, 1)
    ]
    return {"INV810_HEAD": [head], "INV810_LINE": body}


def expected_850(inside):
    lines, outside = loops(inside, "PO1", ("CTT",))
    beg, ship = first(outside, "BEG"), first(outside, "N1", "ST")
    head = {
        "purpose": at(beg, 1),
        "po_type": at(beg, 2),
        "po_number": at(beg, 3),
        "po_date": at(beg, 5),
        "department": at(first(outside, "REF", "DP"), 2),
        "ship_to_qual": at(ship, 3),
        "ship_to_id": at(ship, 4),
    }
    body = [
        {
            "line_no": at(line[0], 1),
            "qty": at(line[0], 2),
            "uom": at(line[0], 3),
            "unit_price": at(line[0], 4),
            "price_basis": at(line[0], 5),
            "vendor_cat": pair(line[0], 6, "VC", "VN"),
            "gtin": pair(line[0], 6, "UK", "UP"),
            "description": at(first(line, "PID"), 5),
            "pack": at(first(line, "PO4"), 1),
        }
        for line in lines
    ]
    return {"PO850_HEAD": [head], "PO850_LINE": body}


def expected_855(inside):
    lines, outside = loops(inside, "PO1", ("CTT",))
    bak = first(outside, "BAK")
    head = {
        "ack_type": at(bak, 2),
        "po_number": at(bak, 3),
        "po_date": at(bak, 4),
        "ack_date": at(bak, 9) or at(first(outside, "DTM", "171"), 2),
        "supplier_order": at(bak, 8),
    }
    body = [
        {
            "line_no": at(line[0], 1),
            "ack_seq": str(number),
            "qty_ordered": at(line[0], 2),
            "price": at(line[0], 4),
            "ack_status": at(ack, 1),
            "ack_qty": at(ack, 2),
        }
        for line in lines
        for number, ack in enumerate((each for each in line if each[0] == "ACK"), 1)
    ]
    return {"ACK855_HEAD": [head], "ACK855_LINE": body}


def expected_856(inside):
    nodes, heading = {}, []
    for each in inside:
        if each[0] == "HL":
            nodes[each[1]] = [each]
        elif nodes:
            nodes[list(nodes)[-1]].append(each)
        else:
            heading.append(each)

    def up(node):
        while node is not None:
            yield nodes[node]
            node = at(nodes[node][0], 2)

    shipment = [*heading, *(each for node in nodes.values() if at(node[0], 3) == "S" for each in node)]
    bsn = first(inside, "BSN")
    head = {
        "purpose": at(bsn, 1),
        "shipment_id": at(bsn, 2),
        "shipment_date": at(bsn, 3),
        "carrier": at(first(shipment, "TD5"), 3),
        "bol": at(first(shipment, "REF", "BM"), 2),
        "tracking": at(first(shipment, "REF", "CN"), 2),
        "ship_to_id": at(first(shipment, "N1", "ST"), 4),
    }
    body = [
        {
            "hl_item": name,
            "po_number": next((at(first(above, "PRF"), 1) for above in up(name) if at(above[0], 3) == "O"), None),
            "sscc": next((at(first(above, "MAN", "GM"), 2) for above in up(name) if first(above, "MAN", "GM")), None),
            "po_line": at(first(node, "LIN"), 1),
            "vendor_cat": pair(first(node, "LIN"), 2, "VC", "VN"),
            "qty_shipped": at(first(node, "SN1"), 2),
            "uom": at(first(node, "SN1"), 3),
        }
        for name, node in nodes.items()
        if at(node[0], 3) == "I"
    ]
    return {"ASN856_SHIP": [head], "ASN856_ITEM": body}


def expected_835(inside, component):
    claims, outside = loops(inside, "CLP", ("LX", "PLB"))
    bpr, payee = first(outside, "BPR"), first(outside, "N1", "PE")
    trace = at(first(outside, "TRN"), 2)
    payment = {
        "TOTAL_PAID": at(bpr, 2),
        "CREDIT_DEBIT": at(bpr, 3),
        "PAYMENT_METHOD": at(bpr, 4),
        "PAYMENT_DATE": at(bpr, 16),
        "TRACE_NO": trace,
        "PAYER_ID": at(first(outside, "N1", "PR"), 4) or at(first(outside, "REF", "2U"), 2),
        "PAYEE_NPI": at(payee, 4) if at(payee, 3) == "XX" else None,
    }
    out = {"REMIT_835_PAYMENT": [payment]}
    bodies = {name: out.setdefault(f"REMIT_835_{name}", []) for name in ("CLAIM", "SERVICE", "ADJ", "PLB")}
    for number, claim in enumerate(claims, 1):
        clp = claim[0]
        bodies["CLAIM"].append(
            {
                "TRACE_NO": trace,
                "CLP_SEQ": str(number),
                "PATIENT_CONTROL_NO": at(clp, 1),
                "CLAIM_STATUS": at(clp, 2),
                "CHARGE": at(clp, 3),
                "PAID": at(clp, 4),
                "PATIENT_RESP": at(clp, 5),
                "DRG": at(clp, 11),
            }
        )
        service, adjustment = 0, 0
        for place, each in enumerate(claim):
            if each[0] == "SVC":
                service, adjustment = service + 1, 0
                code = each[1].split(component)
                until = next((k for k in range(place + 1, len(claim)) if claim[k][0] == "SVC"), len(claim))
                dates = claim[place:until]
                dated = first(dates, "DTM", "472") or first(dates, "DTM", "150")
                of_claim = claim[: next(k for k, seg in enumerate(claim) if seg[0] == "SVC")]
                bodies["SERVICE"].append(
                    {
                        "CLP_SEQ": str(number),
                        "SVC_SEQ": str(service),
                        "HCPCS": at(code, 1),
                        "MODIFIERS": ",".join(filter(None, code[2:6])) or None,
                        "CHARGE": at(each, 2),
                        "PAID": at(each, 3),
                        "REV_CODE": at(each, 4),
                        "UNITS_PAID": at(each, 5),
                        "SERVICE_DATE": at(dated or first(of_claim, "DTM", "232"), 2),
                    }
                )
            if each[0] == "CAS":
                for triplet in range(2, len(each), 3):
                    adjustment += 1
                    bodies["ADJ"].append(
                        {
                            "CLP_SEQ": str(number),
                            "SVC_SEQ": str(service),
                            "ADJ_SEQ": str(adjustment),
                            "GROUP_CODE": at(each, 1),
                            "REASON_CODE": at(each, triplet),
                            "AMOUNT": at(each, triplet + 1),
                            "QUANTITY": at(each, triplet + 2),
                        }
                    )
    sequence = 0
    for each in outside:
        for place in range(3, len(each) - 1, 2) if each[0] == "PLB" else ():
            sequence += 1
            code = each[place].split(component)
            bodies["PLB"].append(
                {
                    "PLB_SEQ": str(sequence),
                    "PROVIDER_ID": at(each, 1),
                    "REASON_CODE": at(code, 0),
                    "REFERENCE_ID": at(code, 1),
                    "AMOUNT": at(each, place + 1),
                }
            )
    return out


def whole_kind(file):
    """The kind of all sets of a file, where a contract has its layout."""
    segments, component = plain_segments(file.read_bytes())
    kinds = {each[1] for each in segments if each[0] == "ST"}
    return (kinds.pop() if len(kinds) == 1 else ""), segments, component


@pytest.mark.parametrize("kind", KINDS)
def test_every_set_of_every_file_is_a_row_or_refused_whatever_the_file_is_taken_for(kind):
    delivery, extracts, names = feed_of(kind)
    contents = [file.read_bytes() for file in FILES]
    for content in contents:
        look = x12.look(content, delivery, extracts)
        assert look.refusal is None
        assert any(look.rows.values())
    texts = [Text(index, content, name=f"{index}", extracts=names) for index, content in enumerate(contents)]
    readings = x12.read(texts, delivery, extracts)
    head = readings[names[0]]
    found = head.frame["_text"].to_list() + [row.index for row in head.bad if row.column is None]
    for index, content in enumerate(contents):
        assert found.count(index) == sum(each[0] == "ST" for each in plain_segments(content)[0])


@pytest.mark.parametrize("file", FILES, ids=named)
def test_the_segments_of_every_file_are_those_of_a_plain_split(file):
    content = file.read_bytes()
    encoding = "utf-8" if content.decode("utf-8", "replace").find("\ufffd") < 0 else "latin-1"
    plain, _ = plain_segments(content.decode(encoding).encode("latin-1", "replace"))
    ours = [
        [part.encode("latin-1", "replace").decode("latin-1") for part in each] for each in scanned(content, encoding)
    ]
    assert ours == plain


@pytest.mark.parametrize("file", FILES, ids=named)
def test_the_segments_of_every_file_are_those_of_pyx12(file):
    from pyx12.errors import X12Error
    from pyx12.x12file import X12Reader

    text = file.read_bytes().decode("latin-1")
    try:
        peer = [each.format("", "*", ":").split("*") for each in X12Reader(io.StringIO(text))]
    except X12Error:
        pytest.skip("pyx12 does not read its ISA")
    component = chr(next(segment_tables([Text(0, text.encode("latin-1"))], "latin-1")).component[0])
    ours = [
        # The peer leaves out trailing empty elements and cuts composites everywhere but in the ISA.
        [part if each[0] == "ISA" else part.rstrip(component).replace(component, ":") for part in each]
        for each in scanned(file.read_bytes(), "latin-1")
    ]

    def trimmed(segment):
        while segment and segment[-1].strip() in ("", ":"):
            segment = segment[:-1]
        return [part.rstrip() for part in segment]

    assert [trimmed(each)[:16] for each in ours] == [trimmed(each)[:16] for each in peer]


@pytest.mark.parametrize("file", FILES, ids=named)
def test_the_values_of_every_set_that_a_contract_knows_are_those_of_an_independent_reading(file):
    kind, segments, component = whole_kind(file)
    if kind not in KINDS:
        pytest.skip("no contract has its layout; its segments are compared")
    good, bad = rows(file.read_bytes(), kind)
    refused = {line for _, line, _ in bad}
    numbered = list(plain_sets(segments))
    starts = [number for number, each in enumerate(segments, 1) if each[0] == "ST"]
    expected: dict[str, list] = {}
    for start, (isa, gs, inside) in zip(starts, numbered, strict=True):
        if start in refused:
            continue
        build = {"810": expected_810, "850": expected_850, "855": expected_855, "856": expected_856}.get(kind)
        found = build(inside) if build else expected_835(inside, component)
        for name, each in found.items():
            expected.setdefault(name, []).extend(each)
        own = {"isa13": at(isa, 13), "gs06": at(gs, 6), "st02": at(inside[0], 2)}
        head = next(iter(found))
        names = own if kind != "835" else {name.upper(): value for name, value in own.items()}
        assert any(names.items() <= row.items() for row in good[head])
    for name, each in expected.items():
        assert [{column: row[column] for column in want} for row, want in zip(good[name], each, strict=True)] == each
