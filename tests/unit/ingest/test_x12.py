"""X12 interchanges: any separators, any wrapping; what does not hold together is refused with its neighbours alive."""

import mmap
import re
from decimal import Decimal

import polars as pl
import pytest

from ingest.coded import plain
from ingest.formats import x12
from ingest.formats.reading import Text
from ingest.formats.remittance import remittance_balance
from tests.unit.ingest.x12_builder import (
    ACKNOWLEDGEMENT,
    CATALOG,
    INVOICE,
    ORDER,
    REMITTANCE,
    SHIPMENT,
    Marks,
    feed_of,
    group,
    interchange,
    read_all,
    rows,
    spread,
    transaction,
    wrapped,
)

MODERN = Marks(repetition="^", version="00501")


def order(*segments, number="0001", **stated):
    return transaction("850", number, *(segments or ORDER), **stated)


def one(kind, segments, code="PO", **marks):
    return interchange(group([transaction(kind, "0001", *segments)], code=code), **marks)


def picked(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def test_an_order_gives_its_envelope_head_and_lines():
    good, bad = rows(one("850", ORDER), "850")
    assert bad == []
    assert good["ENVELOPE"] == [
        {
            "isa_sender": "SUPPLIERA",
            "isa_sender_qual": "ZZ",
            "isa_receiver": "01 HOSPITAL",
            "isa_time": "260430 0915",
            "isa13": "000000077",
            "isa15": "P",
            "gs01": "PO",
            "gs06": "77",
            "gs08": "004010",
            "st01": "850",
            "st02": "0001",
            "se01": "13",
            "ge01": "1",
            "iea01": "1",
            "file_name": "file0.edi",
            "_line": 3,
        }
    ]
    assert good["PO850_HEAD"] == [
        {
            "isa_sender": "SUPPLIERA",
            "isa13": "000000077",
            "gs06": "77",
            "st02": "0001",
            "purpose": "00",
            "po_type": "SA",
            "po_number": "4500123",
            "release_no": None,
            "po_date": "20260429",
            "contract_no": "GPO77",
            "vendor_no": "V009",
            "department": None,
            "ship_to_id": "0088000000011",
            "ship_to_qual": "UL",
            "supplier_id": "123456789",
            "case_ref": None,
            "_line": 3,
        }
    ]
    names = ("line_no", "qty", "uom", "unit_price", "price_basis", "buyer_item", "vendor_cat", "mfr_part", "gtin")
    assert picked(good["PO850_LINE"], *names, "description", "pack", "_line") == [
        ("1", "10", "BX", "12.50", "PE", "700001", "AB-1", None, "00880000000012", "BALLOON CATHETER", "5", 9),
        ("2", "3", "EA", ".5", None, None, "X9", "M77", "088000000002", None, None, 12),
    ]


def test_every_ack_segment_is_a_row_with_its_position_in_the_line():
    good, bad = rows(one("855", ACKNOWLEDGEMENT, "PR"), "855")
    assert bad == []
    assert picked(good["ACK855_HEAD"], "ack_type", "po_number", "po_date", "ack_date", "supplier_order") == [
        ("AC", "4500123", "20260429", "20260430", "SO99")
    ]
    names = ("line_no", "ack_seq", "qty_ordered", "vendor_cat", "ack_status", "ack_qty", "date_qual", "ack_line_date")
    assert picked(good["ACK855_LINE"], *names) == [
        ("1", "1", "10", "AB-1", "IB", "6", "068", "20260504"),
        ("1", "2", "10", "AB-1", "IA", "4", "017", "20260502"),
        ("2", "1", "3", "X9", "IR", None, None, None),
    ]


def test_an_acknowledgement_without_bak09_is_dated_by_dtm_171():
    good, _ = rows(one("855", ("BAK*00*AK*4500123*20260429", "DTM*171*20260430"), "PR"), "855")
    assert picked(good["ACK855_HEAD"], "ack_date") == [("20260430",)]
    assert good["ACK855_LINE"] == []


def test_an_ack_outside_a_line_refuses_its_set_alone():
    sets = [transaction("855", "0001", "BAK*00*AD*1*20260429", "ACK*IA"), transaction("855", "0002", *ACKNOWLEDGEMENT)]
    good, bad = rows(interchange(group(sets, code="PR")), "855")
    assert bad == [(0, 3, "ACK stands outside a loop of PO1 (AK5 5)")]
    assert picked(good["ACK855_HEAD"], "st02") == [("0002",)]


def test_items_of_a_shipment_know_the_order_and_the_pack_above_them():
    good, bad = rows(one("856", SHIPMENT, "SH"), "856")
    assert bad == []
    names = ("purpose", "shipment_id", "shipment_time", "carrier", "bol", "tracking", "eta", "ship_to_id")
    assert picked(good["ASN856_SHIP"], *names) == [
        ("00", "SHIP1", "0915", "UPSN", "BOL1", "1Z999", "20260502", "0088000000011")
    ]
    names = (
        "hl_item",
        "po_number",
        "po_line",
        "sscc",
        "buyer_item",
        "vendor_cat",
        "gtin",
        "qty_shipped",
        "lot",
        "expiry",
    )
    assert picked(good["ASN856_ITEM"], *names) == [
        ("5", "4500123", "1", "00100000000000000017", None, "AB-1", "00880000000012", "4", "LOT7", "20281231"),
        ("7", "4500124", "2", None, "700002", "X9", None, "1", None, None),
    ]


@pytest.mark.parametrize("tree", ["HL*2*9*O", "HL*2*2*O", "HL*1*1*O", "HL**1*O"])
def test_a_tree_that_is_none_refuses_its_set_alone(tree):
    broken = ("BSN*00*S*20260430", "HL*1**S", tree, "PRF*1")
    sets = [transaction("856", "0001", *broken), transaction("856", "0002", *SHIPMENT)]
    good, bad = rows(interchange(group(sets, code="SH")), "856")
    assert bad == [(0, 3, "HL01 and HL02 make no tree (AK5 5)")]
    assert picked(good["ASN856_SHIP"], "st02") == [("0002",)]


def test_an_invoice_has_two_implied_decimals_in_tds_and_sac_and_explicit_ones_elsewhere():
    good, bad = rows(one("810", INVOICE, "IN"), "810")
    assert bad == []
    names = ("invoice_date", "invoice_no", "po_date", "po_number", "invoice_type", "vendor_no", "shipment_id")
    assert picked(good["INV810_HEAD"], *names, "remit_to_id", "ship_to_id") == [
        ("20260501", "INV1", "20260429", "4500123", "DI", "V009", "SHIP1", "0088000000099", "0088000000011")
    ]
    names = ("terms_pct", "terms_days", "net_days", "total", "discountable", "line_count")
    assert picked(good["INV810_HEAD"], *names) == [("2", "15", "30", "123.45", "120.00", "2")]
    names = ("line_seq", "line_no", "qty", "uom", "unit_price", "buyer_item", "vendor_cat", "gtin", "po_number", "lot")
    assert picked(good["INV810_LINE"], *names) == [
        ("1", "1", "10", "BX", "12.50", "700001", "AB-1", None, None, "LOT7"),
        ("2", None, "-1", "EA", ".5", None, None, "00880000000012", "4500124", None),
    ]
    assert picked(good["INV810_SAC"], "line_seq", "sac_seq", "kind", "code", "amount", "description") == [
        ("1", "1", "A", "C310", "2.50", "VOLUME"),
        ("0", "1", "T", "ST", "3.25", None),
        ("0", "2", "C", "D240", "0.05", "FREIGHT"),
        ("0", "3", "C", "D500", "-0.99", None),
    ]


def test_charges_before_and_behind_the_lines_count_on_at_invoice_level():
    segments = (
        "BIG*20260501*INV1",
        "SAC*C*D240***100",
        "IT1*1*1*EA*1",
        "SAC*A*C310***7",
        "TDS*100",
        "SAC*C*D500***200",
    )
    good, _ = rows(one("810", segments, "IN"), "810")
    assert picked(good["INV810_SAC"], "line_seq", "sac_seq", "amount") == [
        ("0", "1", "1.00"),
        ("1", "1", "0.07"),
        ("0", "2", "2.00"),
    ]


def test_an_explicit_point_where_decimals_are_implied_is_refused_and_not_guessed():
    segments = ("BIG*20260501*INV1", "IT1*1*1*EA*1", "TDS*123.45", "SAC*C*D240***1.00", "SAC*C*D500***100")
    good, bad = rows(one("810", segments, "IN"), "810")
    assert good["INV810_HEAD"] == []
    assert picked(good["INV810_SAC"], "code", "amount") == [("D500", "1.00")]
    reason = "no whole number where two decimals are implied"
    assert bad == [(0, 3, reason), (0, 7, reason)]


def test_an_empty_type_of_invoice_stays_empty():
    good, _ = rows(one("810", ("BIG*20260501*INV1", "TDS*1"), "IN"), "810")
    assert picked(good["INV810_HEAD"], "invoice_type", "total") == [(None, "0.01")]


def test_a_catalog_gives_a_row_for_each_line():
    good, bad = rows(one("832", CATALOG, "SC"), "832")
    assert bad == []
    names = ("catalog_purpose", "catalog_no", "contract_no", "tier", "effective")
    assert picked(good["CAT832_HEAD"], *names) == [("02", "CAT1", "GPO77", "T2", "20260601")]
    names = ("line_seq", "vendor_cat", "mfr_part", "gtin", "unspsc", "price_class", "price", "uom", "pack", "end_date")
    assert picked(good["CAT832_LINE"], *names) == [
        ("1", "AB-1", "M77", "00880000000012", "42203400", "CON", "11.25", "BX", "5", "20271231"),
        ("2", "X9", None, None, None, "LPR", ".75", "EA", None, None),
    ]


def test_a_second_price_of_a_catalog_line_is_refused_and_not_lost():
    good, bad = rows(one("832", (*CATALOG[:6], "CTP**LPR*15**BX", *CATALOG[6:]), "SC"), "832")
    assert picked(good["CAT832_LINE"], "price") == [("11.25",), (".75",)]
    assert bad == [(0, 10, "a further CTP of its line")]


def test_a_remittance_gives_claims_services_adjustments_and_provider_adjustments():
    good, bad = rows(one("835", REMITTANCE, "HP", marks=MODERN), "835")
    assert bad == []
    names = ("PAYER_ID", "PAYEE_NPI", "PAYMENT_METHOD", "TOTAL_PAID", "CREDIT_DEBIT", "PAYMENT_DATE", "TRACE_NO")
    assert picked(good["REMIT_835_PAYMENT"], *names) == [
        ("60054", "1003814971", "ACH", "83.50", "C", "20260502", "TRACE9")
    ]
    names = ("TRACE_NO", "CLP_SEQ", "PATIENT_CONTROL_NO", "CLAIM_STATUS", "CHARGE", "PAID", "PATIENT_RESP", "DRG")
    assert picked(good["REMIT_835_CLAIM"], *names) == [
        ("TRACE9", "1", "600000001A", "1", "200.00", "100.00", "20.00", "470"),
        ("TRACE9", "2", "600000002", "22", "-5.00", "-5.00", None, None),
    ]
    names = ("CLP_SEQ", "SVC_SEQ", "HCPCS", "MODIFIERS", "CHARGE", "PAID", "REV_CODE", "UNITS_PAID", "UNITS_ORIGINAL")
    assert picked(good["REMIT_835_SERVICE"], *names, "SERVICE_DATE") == [
        ("1", "1", "C1713", "LT,59", "150.00", "80.00", "0278", "2", "3", "20260402"),
        ("1", "2", "C1776", None, "50.00", "40.00", "0278", None, None, "20260401"),
    ]
    names = ("CLP_SEQ", "SVC_SEQ", "ADJ_SEQ", "GROUP_CODE", "REASON_CODE", "AMOUNT", "QUANTITY", "_line")
    assert picked(good["REMIT_835_ADJ"], *names) == [
        ("1", "0", "1", "PR", "2", "20.00", None, 11),
        ("1", "1", "1", "CO", "45", "60.00", "1", 16),
        ("1", "1", "2", "CO", "253", "10.00", None, 16),
        ("1", "2", "1", "CO", "45", "10.00", None, 18),
    ]
    names = ("PLB_SEQ", "PROVIDER_ID", "FISCAL_PERIOD_END", "REASON_CODE", "REFERENCE_ID", "AMOUNT")
    assert picked(good["REMIT_835_PLB"], *names) == [
        ("1", "1003814971", "20261231", "WO", "REF1", "13.00"),
        ("2", "1003814971", "20261231", "L6", None, "-1.50"),
    ]


def test_a_name_of_a_patient_is_in_no_column():
    readings = read_all([one("835", REMITTANCE, "HP", marks=MODERN)], "835")
    for reading in readings.values():
        assert "NAMEOFAPATIENT" not in reading.frame.write_csv()
        assert "PAT_NAME" not in reading.frame.columns


def test_a_service_is_dated_by_its_day_its_period_or_its_claim():
    claims = [
        "CLP*1*1*30*30", "DTM*232*20260401", "DTM*472*20250101",
        "SVC*HC:A*10*10", "DTM*150*20260403", "DTM*151*20260404",
        "SVC*HC:B*10*10",
        "SVC*HC:C*10*10", "DTM*150*20260403", "DTM*472*20260405",
        "CLP*2*1*10*10", "SVC*HC:D*10*10",
    ]  # fmt: skip
    good, _ = rows(one("835", (*REMITTANCE[:5], *claims), "HP", marks=MODERN), "835")
    assert picked(good["REMIT_835_SERVICE"], "HCPCS", "SERVICE_DATE") == [
        ("A", "20260403"),
        ("B", "20260401"),
        ("C", "20260405"),
        ("D", None),
    ]


def test_six_triplets_and_six_pairs_are_all_there_is_in_a_segment():
    triplets = "*".join(f"{at}*{at}.00*{at}" for at in range(1, 7))
    pairs = "*".join(f"WO:{at}*{at}.00" for at in range(1, 7))
    claims = ["CLP*1*1*21*0", f"CAS*CO*{triplets}", f"PLB*NPI*20261231*{pairs}"]
    good, _ = rows(one("835", (*REMITTANCE[:5], *claims), "HP", marks=MODERN), "835")
    assert picked(good["REMIT_835_ADJ"], "ADJ_SEQ", "REASON_CODE", "AMOUNT", "QUANTITY") == [
        (str(at), str(at), f"{at}.00", str(at)) for at in range(1, 7)
    ]
    assert picked(good["REMIT_835_PLB"], "PLB_SEQ", "REFERENCE_ID", "AMOUNT") == [
        (str(at), str(at), f"{at}.00") for at in range(1, 7)
    ]


def test_a_payer_is_known_by_n104_before_ref_2u():
    segments = (*REMITTANCE[:2], "N1*PR*PAYER*XV*HPID1", *REMITTANCE[3:])
    good, _ = rows(one("835", segments, "HP", marks=MODERN), "835")
    assert picked(good["REMIT_835_PAYMENT"], "PAYER_ID") == [("HPID1",)]


def test_a_payee_that_is_not_named_by_its_npi_has_none():
    segments = (*REMITTANCE[:4], "N1*PE*HOSPITAL*FI*123456789", *REMITTANCE[5:])
    good, _ = rows(one("835", segments, "HP", marks=MODERN), "835")
    assert picked(good["REMIT_835_PAYMENT"], "PAYEE_NPI") == [(None,)]


def balance_of(segments):
    return remittance_balance(read_all([one("835", segments, "HP", marks=MODERN)], "835")).to_dicts()[0]


def test_a_remittance_that_balances_misses_nothing():
    found = balance_of(REMITTANCE)
    assert {name: found[name] for name in list(found)[5:]} == {
        "payment_difference": Decimal("0.00"),
        "claim_difference": Decimal("0.00"),
        "service_difference": Decimal("0.00"),
        "claims_off": 0,
        "services_off": 0,
    }


@pytest.mark.parametrize(
    ("segment", "instead", "expected"),
    [
        ("BPR*I*83.50", "BPR*I*83.51", ("0.01", "0.00", "0.00", 0, 0)),
        ("WO:REF1*13.00", "WO:REF1*12.00", ("-1.00", "0.00", "0.00", 0, 0)),
        ("CAS*PR*2*20.00", "CAS*PR*2*19.00", ("0.00", "1.00", "0.00", 1, 0)),
        ("CAS*CO*45*10.00", "CAS*CO*45*12.00", ("0.00", "2.00", "2.00", 1, 1)),
        ("SVC*HC:C1776*50.00*40.00", "SVC*HC:C1776*50.00*30.00", ("0.00", "0.00", "10.00", 0, 1)),
        ("CAS*CO*45*10.00", "CAS*CO*45*X", ("0.00", None, None, 1, 1)),
    ],
)
def test_each_equation_tells_what_it_misses_and_the_set_lands_all_the_same(segment, instead, expected):
    found = balance_of(tuple(each.replace(segment, instead) for each in REMITTANCE))
    assert tuple(found[name] for name in list(found)[5:]) == tuple(
        Decimal(each) if isinstance(each, str) else each for each in expected
    )


def test_a_remittance_without_claims_pays_what_its_provider_adjustments_say():
    found = balance_of(("BPR*I*5.00*C*ACH************20260502", "TRN*1*T", "PLB*N*20261231*WO:A*-5.00"))
    assert found["payment_difference"] == 0


MARKS = [
    Marks(),
    Marks("|", "^", "'", "U"),
    Marks("*", ">", "\n", "U"),
    Marks("*", ">", "\r", "U"),
    Marks("\x1d", "\x1f", "\x1e", "U"),
    Marks("^", "<", "\\", "{", "00501"),
    Marks("\x07", ":", "\x0b", "U"),
    Marks("+", ":", "?", "<", "00501"),
    Marks("|", "\x1f", "~", "\x1c", "00501"),
]


@pytest.mark.parametrize("marks", MARKS)
def test_any_separators_that_an_isa_states_give_the_same_rows(marks):
    plain, _ = rows(one("835", REMITTANCE, "HP", marks=MODERN), "835")
    good, bad = rows(one("835", REMITTANCE, "HP", marks=marks), "835")
    assert bad == []
    assert good == plain


@pytest.mark.parametrize(
    "form",
    [
        lambda text: spread(text, end=b"\n"),
        lambda text: spread(text, end=b"\r\n"),
        lambda text: spread(text, end=b"\r"),
        lambda text: spread(text, end=b"\n\n"),
        lambda text: spread(text, end=b"\r\n", indent=b"   \t "),
        lambda text: spread(text, end=b"", indent=b"  "),
        wrapped,
        lambda text: wrapped(text, 80, b"\n"),
        lambda text: wrapped(text, 7, b"\n"),
        lambda text: wrapped(text, 105, b"\n"),
        lambda text: wrapped(text, 106, b"\r\n"),
        lambda text: wrapped(text, 1, b"\n"),
        lambda text: b"\xef\xbb\xbf\r\n  " + text,
        lambda text: text.replace(b"~", b"~~"),
        lambda text: text.rstrip(b"~"),
        lambda text: text + b"\r\n\x20\r\n",
        lambda text: text.replace(b"~", b"\n"),
        lambda text: text.replace(b"~", b"\r\n"),
        lambda text: text.replace(b"~", b"\r\n    "),
    ],
)
def test_however_a_text_is_wrapped_its_rows_are_the_same(form):
    sets = [order(), order(number="0002")]
    text = interchange(group(sets)) + interchange(group(sets), number="000000078")
    plain, _ = rows(text, "850")
    good, bad = rows(form(text), "850")
    assert bad == []
    assert good == plain


def test_a_line_is_a_segment():
    good, _ = rows(spread(one("850", ORDER), end=b"\r\n\r\n"), "850")
    assert picked(good["PO850_LINE"], "_line") == [(9,), (12,)]


def test_many_interchanges_with_separators_of_their_own_stand_in_one_file():
    text = b"".join(
        interchange(group([order()]), group([order(number="0002")], number="78"), number=f"{at:09d}", marks=marks)
        for at, marks in enumerate(MARKS)
    )
    good, bad = rows(text, "850")
    assert bad == []
    assert picked(good["PO850_HEAD"], "isa13", "gs06", "st02") == [
        (f"{at:09d}", *pair) for at in range(len(MARKS)) for pair in (("77", "0001"), ("78", "0002"))
    ]
    assert picked(good["ENVELOPE"], "iea01", "ge01") == [("2", "1")] * 2 * len(MARKS)


def test_files_of_one_call_keep_their_own_lines_and_names():
    readings = read_all([one("850", ORDER), b"", spread(one("850", ORDER, number="000000078"))], "850")
    frame = readings["ENVELOPE"].frame
    assert frame.select("_text", "_line", "file_name", "isa13").rows() == [
        (0, 3, "file0.edi", "000000077"),
        (2, 3, "file2.edi", "000000078"),
    ]


def test_an_isa_with_trimmed_elements_is_still_one():
    text = re.sub(rb" +\*", b"*", one("850", ORDER))
    good, bad = rows(text, "850")
    assert bad == []
    assert picked(good["ENVELOPE"], "isa_sender", "isa_receiver") == [("SUPPLIERA", "01 HOSPITAL")]


def test_an_isa_inside_a_value_is_no_interchange():
    segments = tuple(each.replace("BALLOON CATHETER", "ISA*00*ISABELLA") for each in ORDER)
    good, bad = rows(one("850", segments), "850")
    assert bad == []
    assert picked(good["PO850_LINE"], "description") == [("ISA",), (None,)]


def test_trailing_blanks_are_padding_and_leading_ones_are_not():
    segments = tuple(each.replace("GPO77", "GPO77   ").replace("V009", "  V009") for each in ORDER)
    good, _ = rows(one("850", segments), "850")
    assert picked(good["PO850_HEAD"], "contract_no", "vendor_no") == [("GPO77", "  V009")]


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"count": 12}, "SE01 states 12 segments, 13 counted (AK5 4)"),
        ({"count": "1X"}, "SE01 is no number (AK5 4)"),
        ({"trailer": "0009"}, "SE02 is not ST02 (AK5 3)"),
    ],
)
def test_a_set_whose_trailer_fails_is_refused_alone(stated, reason):
    sets = [order(), order(number="0002", **stated), order(number="0003")]
    good, bad = rows(interchange(group(sets)), "850")
    assert bad == [(0, 16, reason)]
    assert picked(good["ENVELOPE"], "st02") == [("0001",), ("0003",)]
    assert len(good["PO850_LINE"]) == 4


def test_a_set_without_se_is_refused_alone():
    sets = [order()[:-1], order(number="0002"), order(number="0003")[:-1]]
    good, bad = rows(interchange(group(sets)), "850")
    assert bad == [(0, 3, "the set has no SE (AK5 2)"), (0, 28, "the set has no SE (AK5 2)")]
    assert picked(good["PO850_HEAD"], "st02") == [("0002",)]


def test_a_set_number_that_stands_twice_is_refused_the_second_time():
    good, bad = rows(interchange(group([order(count=2), order(), order()])), "850")
    assert [reason for _, _, reason in bad] == [
        "SE01 states 2 segments, 13 counted (AK5 4)",
        "ST02 stands twice in its group (AK5 23)",
    ]
    assert picked(good["ENVELOPE"], "st02", "_line") == [("0001", 16)]


def test_a_set_without_its_beginning_segment_is_refused():
    good, bad = rows(interchange(group([order(*ORDER[1:]), order(number="0002")])), "850")
    assert bad == [(0, 3, "the set has no BEG (AK5 5)")]
    assert picked(good["ENVELOPE"], "st02") == [("0002",)]


@pytest.mark.parametrize(
    ("group_stated", "stated", "reason"),
    [
        ({"trailer": "99"}, {}, "GE02 is not GS06 (AK9 4)"),
        ({"count": 3}, {}, "GE01 states 3 sets, 2 counted (AK9 5)"),
        ({"count": ""}, {}, "GE01 is no number (AK9 5)"),
        ({"number": ""}, {}, "GS06 is empty (AK9 6)"),
        ({}, {"trailer": "000000099"}, "IEA02 is not ISA13 (TA1 001)"),
        ({}, {"count": 4}, "IEA01 states 4 groups, 1 counted (TA1 021)"),
        ({}, {"sender": ""}, "ISA06 is empty (TA1 006)"),
        ({}, {"test": "X"}, "ISA15 is neither P nor T (TA1 020)"),
    ],
)
def test_an_interchange_whose_envelope_fails_is_refused_whole_and_its_neighbours_live(group_stated, stated, reason):
    sets = [order(), order(number="0002")]
    text = b"".join(
        (
            interchange(group([order()]), number="000000001"),
            interchange(group(sets, **group_stated), number="000000002", **stated),
            interchange(group([order()]), number="000000003"),
        )
    )
    good, bad = rows(text, "850")
    assert bad == [(0, 20, reason), (0, 33, reason)]
    assert picked(good["ENVELOPE"], "isa13") == [("000000001",), ("000000003",)]


@pytest.mark.parametrize(
    ("broken", "instead", "reason"),
    [
        (b"GE*1*77~", b"", "a group has no GE (AK9 3)"),
        (b"GS*PO", b"GX*PO", "a set stands outside a group (TA1 024)"),
        (b"ST*850", b"SX*850", "segments stand outside a set (TA1 022)"),
        (b"IEA*1", b"IEB*1", "the interchange has no IEA (TA1 023)"),
        (b"*260430*0915*", b"*269930*0915*", "ISA09 is no date (TA1 014)"),
        (b"*260430*0915*", b"*260430*2915*", "ISA10 is no time (TA1 015)"),
        (b"*000000002*0*P", b"*00000000A*0*P", "ISA13 is no number (TA1 018)"),
        (b"*PO*SENDER", b"*PO*SEN\x00ER", "a byte outside the character set (TA1 022)"),
    ],
)
def test_an_envelope_out_of_order_refuses_its_interchange_whole(broken, instead, reason):
    before, behind = (interchange(group([order()]), number=f"00000000{at}") for at in (1, 3))
    text = interchange(group([order()]), number="000000002")
    assert broken in text or broken.startswith(b"*PO")
    text = text.replace(broken, instead, 1) if broken in text else text.replace(b"*SENDER", b"*SEN\x00ER", 1)
    good, bad = rows(before + text + behind, "850")
    assert [each[2] for each in bad] == [reason]
    assert picked(good["ENVELOPE"], "isa13") == [("000000001",), ("000000003",)]


def test_an_interchange_cut_off_at_the_end_of_a_file_is_refused_with_its_sets():
    whole = interchange(group([order()]), number="000000001")
    cut = interchange(group([order(), order(number="0002")]), number="000000002")[:-60]
    good, bad = rows(whole + cut, "850")
    assert bad == [(0, 20, "the interchange has no IEA (TA1 023)"), (0, 33, "the interchange has no IEA (TA1 023)")]
    assert picked(good["ENVELOPE"], "isa13") == [("000000001",)]


def test_text_between_interchanges_is_refused_where_it_stands():
    first, second = one("850", ORDER), one("850", ORDER, number="000000078")
    good, bad = rows(b"HELLO~" + first + b"SOME JUNK*1~MORE~" + second + b"REST", "850")
    reason = "text outside an interchange (TA1 022)"
    assert [(line, why) for _, line, why in bad] == [(1, reason), (19, reason), (38, reason)]
    assert len(good["ENVELOPE"]) == 2


def test_an_interchange_whose_isa_does_not_read_is_refused_with_its_sets():
    whole = interchange(group([order()]), number="000000001")
    broken = interchange(group([order(), order(number="0002")]), number="000000002").replace(b"ISA*00*", b"ISA*00", 1)
    for text in (whole + broken + whole, broken + whole + whole):
        good, bad = rows(text, "850")
        assert [why for _, _, why in bad] == ["an ISA that does not read (TA1 022)"] * 2
        assert len(good["ENVELOPE"]) == 2


def test_a_file_without_any_interchange_is_refused_whole():
    delivery, extracts, names = feed_of("850")
    found = x12.look(b"PO_NUMBER,LINE\n1,2\n", delivery, extracts)
    assert found.refusal == "no interchange: no ISA segment reads"
    reading = x12.read([Text(0, b"PO_NUMBER,LINE\n1,2\n", extracts=names)], delivery, extracts)["ENVELOPE"]
    assert [(row.line, row.reason) for row in reading.bad] == [(1, "text outside an interchange (TA1 022)")]


def test_a_byte_outside_the_character_set_refuses_its_set_alone():
    sets = [order(), order(*ORDER[:-1], "REF*CT*\x01", number="0002"), order(number="0003")]
    good, bad = rows(interchange(group(sets)), "850")
    assert bad == [(0, 16, "a byte outside the character set (AK5 5)")]
    assert picked(good["ENVELOPE"], "st02") == [("0001",), ("0003",)]


def test_letters_beyond_ascii_are_refused_where_the_contract_says_ascii_and_read_where_it_says_utf_8():
    text = interchange(group([order(*ORDER[:1], "REF*CT*Ü1", *ORDER[2:])]))
    _, bad = rows(text, "850")
    assert [why for _, _, why in bad] == ["a byte outside the character set (AK5 5)"]
    remittance = one("835", tuple(each.replace("TRACE9", "TRÄCE9") for each in REMITTANCE), "HP", marks=MODERN)
    good, bad = rows(remittance, "835")
    assert bad == []
    assert picked(good["REMIT_835_PAYMENT"], "TRACE_NO") == [("TRÄCE9",)]
    _, bad = rows(remittance.replace("Ä".encode(), b"\xc4"), "835")
    assert [why for _, _, why in bad] == ["a byte outside the character set (AK5 5)"]


def test_a_test_interchange_lands_and_says_so():
    good, bad = rows(one("850", ORDER, test="T"), "850")
    assert bad == []
    assert picked(good["ENVELOPE"], "isa15") == [("T",)]


@pytest.mark.parametrize("kind", ["855", "837", "997", "270"])
def test_a_set_of_another_kind_than_the_file_feeds_is_one_bad_row(kind):
    text = interchange(group([order(), transaction(kind, "0002", "BAK*00*AD*1*20260429")]))
    good, bad = rows(text, "850")
    feeds = "ENVELOPE, PO850_HEAD, PO850_LINE"
    assert bad == [(0, 16, f"a set {kind} in a delivery that feeds {feeds} (AK5 1)")]
    assert len(good["ENVELOPE"]) == 1


def test_the_kind_of_a_set_is_told_only_when_it_is_one():
    text = interchange(group([transaction("SMITH JOHN", "0002", "X")]))
    _, bad = rows(text, "850")
    assert [why for _, _, why in bad] == [
        "a set of no kind in a delivery that feeds ENVELOPE, PO850_HEAD, PO850_LINE (AK5 1)"
    ]


def test_sets_of_several_kinds_are_read_in_one_call():
    delivery, extracts, _ = feed_of("850")
    kinds = {"850": ORDER, "855": ACKNOWLEDGEMENT, "856": SHIPMENT, "810": INVOICE, "832": CATALOG}
    texts = [
        Text(at, one(kind, segments), extracts=delivery.reads[kind])
        for at, (kind, segments) in enumerate(kinds.items())
    ]
    readings = x12.read(texts, delivery, extracts)
    assert readings["ENVELOPE"].frame["st01"].to_list() == list(kinds)
    assert not any(reading.bad for reading in readings.values())
    for at, (kind, segments) in enumerate(kinds.items()):
        alone, _ = rows(one(kind, segments), kind)
        for name in delivery.reads[kind][1:]:
            together = readings[name].frame
            assert together["_text"].unique().to_list() == [at]
            assert together.drop("_text").to_dicts() == alone[name]


def test_every_column_of_the_contract_is_text_and_every_extract_has_a_frame():
    for kind in ("850", "835"):
        _, extracts, _ = feed_of(kind)
        readings = read_all([one(kind, ORDER if kind == "850" else REMITTANCE), b""], kind)
        assert list(readings) == [extract.name for extract in extracts]
        for extract in extracts:
            frame = readings[extract.name].frame
            assert frame.columns == [*(column.name for column in extract.read_columns), "_text", "_line"]
            assert set(frame.drop("_text", "_line").dtypes) == {pl.String}


def test_a_look_counts_the_sets_that_each_extract_takes_rows_of():
    delivery, extracts, _ = feed_of("810")
    text = interchange(group([transaction("810", f"{at}", *INVOICE) for at in range(3)], code="IN"))
    for form in (text, wrapped(text), spread(text), text + text):
        found = x12.look(form, delivery, extracts)
        times = 2 if form == text + text else 1
        assert found.refusal is None
        assert {name: count for name, count in found.rows.items() if count} == {
            "ENVELOPE": 3 * times,
            "INV810_HEAD": 3 * times,
            "INV810_LINE": 3 * times,
            "INV810_SAC": 3 * times,
        }


def test_there_is_nothing_in_an_empty_file():
    delivery, extracts, _ = feed_of("850")
    for text in (b"", b"\r\n  \n"):
        found = x12.look(text, delivery, extracts)
        assert found.refusal is None
        assert not any(found.rows.values())


def test_pieces_are_whole_interchanges_and_know_their_first_line(tmp_path):
    one_text = spread(interchange(group([order(), order(number="0002")])))
    text = b"JUNK\n" + b"".join(
        one_text.replace(b"000000077", f"{at:09d}".encode()) + (b"MORE JUNK~" if at == 2 else b"") for at in range(5)
    )
    file = tmp_path / "large.edi"
    file.write_bytes(text)
    delivery, extracts, names = feed_of("850")
    whole = x12.read([Text(0, text, extracts=names)], delivery, extracts)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for size in (1, 500, len(one_text), 3 * len(one_text), 10**9):
            cut = list(x12.pieces(mapped, size))
            assert [piece.start for piece in cut[1:]] == [piece.end for piece in cut[:-1]]
            assert (cut[0].start, cut[-1].end) == (0, len(text))
            texts = [
                Text(at, mapped[piece.start : piece.end], first_line=piece.first_line, extracts=names)
                for at, piece in enumerate(cut)
            ]
            parts = x12.read(texts, delivery, extracts)
            for name, reading in whole.items():
                assert plain(parts[name].frame.drop("_text")).equals(plain(reading.frame.drop("_text")))
                assert sorted(row.line for row in parts[name].bad) == sorted(row.line for row in reading.bad)
    assert len(list(x12.pieces(text, 1))) == 6
    assert list(x12.pieces(b"", 10)) == []


def test_control_characters_at_the_end_of_a_file_are_no_text():
    for end in (b"\x1a", b"\r\n\x1a", b"\x00\x00\x00"):
        good, bad = rows(one("850", ORDER) + end, "850")
        assert bad == []
        assert len(good["PO850_LINE"]) == 2


def test_long_runs_of_blanks_and_deep_trees_are_read_in_time_that_grows_with_their_length():
    blanks = " " * 400_000
    good, bad = rows(one("850", (ORDER[0], f"REF*CT*GPO77{blanks}", *ORDER[2:])), "850")
    assert bad == []
    assert picked(good["PO850_HEAD"], "contract_no") == [("GPO77",)]
    delivery, extracts, names = feed_of("850")
    text = one("850", ORDER, marks=Marks("*", ">", "\n", "U"))
    runs = b"\n" * 400_000
    for long in (
        text + runs + text,
        runs + text.replace(b"ISA*00*", b"ISA*00", 1) + runs,
        spread(text, b"\n", runs)[:3_000_000],
    ):
        x12.look(long, delivery, extracts)
        list(x12.pieces(long, 1000))
        x12.read([Text(0, long, extracts=names)], delivery, extracts)
    deep = tuple(segment for at in range(2, 20_000) for segment in (f"HL*{at}*{at - 1}*I", "SN1**1*EA"))
    good, bad = rows(one("856", ("BSN*00*S*20260430", "HL*1**O", "PRF*4500123", *deep), "SH"), "856")
    assert bad == []
    assert {row["po_number"] for row in good["ASN856_ITEM"]} == {"4500123"}


def test_a_look_takes_no_street_for_a_set():
    delivery, extracts, _ = feed_of("810")
    text = one("810", (*INVOICE[:4], "N3*1 MAIN ST*810", *INVOICE[4:]), "IN")
    for form in (text, spread(text, indent=b"  "), text.replace(b"~", b"\n"), wrapped(text)):
        assert x12.look(form, delivery, extracts).rows["INV810_HEAD"] == 1


def test_what_is_read_together_does_not_change_the_rows(monkeypatch):
    texts = [
        b"JUNK~" + one("850", ORDER) + interchange(group([order(), order(number="0002", count=3)])),
        spread(one("850", ORDER), indent=b" ") * 3,
        b"no interchange",
    ]
    whole = read_all(texts, "850")
    for size in (1, 900, 2_000):
        monkeypatch.setattr(x12, "_STRETCH", size)
        parts = read_all(texts, "850")
        for name, reading in whole.items():
            assert parts[name].frame.equals(reading.frame)
            assert parts[name].bad == reading.bad
    for threads in (1, 7):
        monkeypatch.setattr(x12.os, "cpu_count", lambda threads=threads: threads)
        assert all(reading.frame.equals(whole[name].frame) for name, reading in read_all(texts, "850").items())


def test_what_a_look_counts_does_not_depend_on_how_sets_are_laid_out_or_cut():
    delivery, extracts, _ = feed_of("810")
    sets = [transaction("810", f"{at}", *INVOICE) for at in range(4)]
    text = interchange(group(sets, code="IN"))
    odd = text.replace(b"ST*810*2", b"ST*8*2").replace(b"ST*810*3", b"ST**3")
    for content in (odd, odd.replace(b"~", b"~\n"), odd.replace(b"~", b"~\r\n  "), odd + b"\n" + odd):
        look = x12.look(content, delivery, extracts)
        times = content.count(b"ISA*")
        assert (look.rows["ENVELOPE"], look.rows["INV810_HEAD"]) == (4 * times, 2 * times)


def test_what_stands_once_for_a_set_is_coded():
    delivery, extracts, names = feed_of("810")
    text = one("810", INVOICE)
    lines = x12.read([Text(0, text, extracts=names)], delivery, extracts)["INV810_LINE"].frame
    coded = {name for name, kind in lines.schema.items() if isinstance(kind, pl.Categorical)}
    assert coded == {"isa_sender", "isa13", "gs06", "st02", "line_seq"}
