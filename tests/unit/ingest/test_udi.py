"""Device identifiers of the three issuing agencies, taken apart; every refusal from both sides."""

from datetime import date, time

import polars as pl
import pytest

from ingest.formats import udi

AS_OF = date(2026, 4, 30)
GTIN = "09521234000013"
HIBC_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"


def parsed(*scans: str | None) -> list[dict]:
    return udi.parse(pl.Series(scans, dtype=pl.String), AS_OF).to_dicts()


def said(scan: str) -> dict:
    return {name: value for name, value in parsed(scan)[0].items() if value is not None}


def refusal(scan: str) -> str | None:
    return parsed(scan)[0]["refusal"]


def with_check(hibc: str) -> str:
    return hibc + HIBC_CHARACTERS[sum(HIBC_CHARACTERS.index(character) for character in hibc) % 43]


def test_every_column_has_its_type_also_for_no_scans_at_all():
    empty = udi.parse(pl.Series([], dtype=pl.String), AS_OF)
    assert empty.height == 0
    assert empty.schema == udi.parse(pl.Series([f"01{GTIN}", "+", "=/", None, "?"]), AS_OF).schema
    assert empty.columns[:3] == ["issuer", "di", "package_level"]


def test_scans_of_all_agencies_stay_in_their_order():
    scans = ["=/A9999XYZ100T0944", f"01{GTIN}", None, "+A123BJC5D6E71G", "nothing", GTIN]
    assert [row["issuer"] for row in parsed(*scans)] == ["ICCBBA", "GS1", None, "HIBCC", None, "GS1"]
    assert [row["di"] for row in parsed(*scans)] == ["A9999XYZ100T0944", GTIN, None, "A123BJC5D6E71", None, GTIN]


def test_more_scans_than_are_read_at_once_are_all_there_in_order():
    scans = pl.Series([f"01{GTIN}21{number}" for number in range(50_003)])
    assert udi.parse(scans, AS_OF)["serial"].to_list() == [str(number) for number in range(50_003)]


# ------------------------------------------------------------------------------------------------------------------ GS1


@pytest.mark.parametrize(
    "scan",
    [
        f"01{GTIN}17270531" + "10L1\x1d21S2",
        f"01{GTIN}17270531" + "21S2\x1d10L1",
        f"\x1d01{GTIN}17270531" + "10L1\x1d21S2\x1d",
        f"17270531\x1d01{GTIN}10L1\x1d\x1d21S2",
        f"10L1\x1d21S2\x1d01{GTIN}17270531",
        f"]C101{GTIN}17270531" + "10L1\x1d21S2",
        f"]d2\x1d01{GTIN}17270531" + "10L1\x1d21S2",
        f"]Q301{GTIN}17270531" + "10L1\x1d21S2",
        f"]e001{GTIN}17270531" + "10L1\x1d21S2\r\n",
        f"(01){GTIN}(17)270531(10)L1(21)S2",
        f" (01) {GTIN} (17) 270531 (10) L1 (21) S2 ",
        f"(10)L1(21)S2(01){GTIN}(17)270531",
        f"01{GTIN}17270531" + "10L1~21S2",
    ],
)
def test_the_same_label_reads_the_same_in_every_form(scan):
    assert said(scan) == {
        "issuer": "GS1",
        "di": GTIN,
        "package_level": 0,
        "lot": "L1",
        "serial": "S2",
        "expiration_date": date(2027, 5, 31),
    }


def test_a_lost_separator_gives_one_long_lot_or_a_refusal_where_that_is_too_long():
    assert said(f"01{GTIN}10L121S2")["lot"] == "L121S2"
    assert refusal(f"01{GTIN}10LOT4567821SERIAL901234") == "(10): too long, or no separator after it"


def test_parentheses_inside_a_lot_are_content():
    assert said(f"(01){GTIN}(10)L(A)1")["lot"] == "L(A)1"
    assert said(f"01{GTIN}10)L(1")["lot"] == ")L(1"


@pytest.mark.parametrize(
    "day, expected", [("270200", date(2027, 2, 28)), ("280200", date(2028, 2, 29)), ("271200", date(2027, 12, 31))]
)
def test_day_00_is_the_last_day_of_the_month(day, expected):
    assert said(f"01{GTIN}17{day}")["expiration_date"] == expected


@pytest.mark.parametrize("day", ["270231", "271301", "270001", "270132", "000000"])
def test_an_impossible_date_is_refused(day):
    assert refusal(f"01{GTIN}17{day}") == "(17): no such date"


@pytest.mark.parametrize("year, expected", [("26", 2026), ("76", 2076), ("77", 1977), ("99", 1999), ("00", 2000)])
def test_a_year_lies_49_back_to_50_ahead(year, expected):
    assert said(f"01{GTIN}17{year}0115")["expiration_date"].year == expected


def test_the_century_is_that_of_the_business_clock_not_of_the_wall_clock():
    scan = pl.Series([f"01{GTIN}17770115"])
    assert udi.parse(scan, date(2026, 1, 1))["expiration_date"][0].year == 1977
    assert udi.parse(scan, date(2027, 1, 1))["expiration_date"][0].year == 2077


def test_expiry_with_an_hour_counts_and_quantities():
    assert said(f"01{GTIN}7003270531" + "1430\x1d3012") == {
        "issuer": "GS1",
        "di": GTIN,
        "package_level": 0,
        "expiration_date": date(2027, 5, 31),
        "expiration_time": time(14, 30),
        "quantity": 12,
    }
    assert refusal(f"01{GTIN}70032705312430") == "(7003): not as its format says"
    assert said("00376130321109103420" + "3724") == {"issuer": "GS1", "sscc": "376130321109103420", "quantity": 24}


@pytest.mark.parametrize(
    "scan, reason",
    [
        (f"01{GTIN[:-1]}4", "(01): check digit"),
        (f"01{GTIN[:-1]}", "(01): length"),
        (f"01{GTIN[:-1]}X", "(01): character"),
        (f"01+{GTIN[1:]}", "(01): character"),
        (f"01{GTIN}10L 1", "(10): character"),
        (f"01{GTIN}10L#1", "(10): character"),
        (f"01{GTIN}1727053", "(17): length"),
        (f"01{GTIN}1127O531", "(11): character"),
        (f"01{GTIN}30X", "(30): character"),
        (f"01{GTIN}10", "(10): length"),
        (f"01{GTIN}0412", "unknown application identifier"),
        (f"01{GTIN}+1123456", "unknown application identifier"),
        (f"01{GTIN}1", "unknown application identifier"),
        (f"(01){GTIN}(1)7", "(01): length"),
        ("(0117)270531", "unknown application identifier"),
        ("(101)27", "unknown application identifier"),
        (f"(01){GTIN}(10)A\x1dB", "unknown application identifier"),
        (f"01{GTIN}10A\x1d10B", "(10): repeated with another value"),
        ("00376130321109103421", "(00): check digit"),
        ("4109521234000012", "(410): check digit"),
        (f"01{GTIN}\x1e10L", "unknown application identifier"),
    ],
)
def test_a_refusal_names_the_element_and_leaves_nothing_but_the_issuer(scan, reason):
    assert said(scan) == {"issuer": "GS1", "refusal": reason}


def test_the_same_element_twice_with_one_value_is_fine():
    assert said(f"01{GTIN}10A\x1d10A")["lot"] == "A"


def test_a_bare_gtin_that_begins_with_10_is_no_lot():
    assert said("10844588003285")["di"] == "10844588003285"
    assert "lot" not in said("10844588003285")
    assert refusal("10844588003284") == refusal("00844588003289") == "GTIN: check digit"
    assert refusal("15270531") is None


@pytest.mark.parametrize(
    "scan, di",
    [
        ("96385074", "00000096385074"),
        ("614141000036", "00614141000036"),
        ("5901234123457", "05901234123457"),
        ("]E05901234123457", "05901234123457"),
        ("]E496385074", "00000096385074"),
        ("]I105901234123457", "05901234123457"),
    ],
)
def test_bare_gtins_of_every_length_are_padded(scan, di):
    assert said(scan)["di"] == di


def test_the_symbology_says_what_bare_digits_are():
    assert refusal("]E059012341234") == "GTIN: length or character"
    assert refusal("]E05901234123458") == "GTIN: check digit"
    assert said("]C110844588003285") == {"issuer": "GS1", "lot": "844588003285"}


@pytest.mark.parametrize(
    "scan, reason",
    [
        ("", "empty"),
        (" ", "empty"),
        ("hello", udi._NO_FORM),
        ("é", "character"),
        ("0" * 513, "length"),
        ("]", udi._NO_FORM),
        ("]C1", "empty"),
    ],
)
def test_what_is_no_identifier_at_all_says_so(scan, reason):
    assert said(scan) == {"refusal": reason}


def test_a_null_says_nothing():
    assert set(parsed(None)[0].values()) == {None}


def test_elements_lists_every_element_with_its_date_and_number():
    scans = pl.Series([f"01{GTIN}15270531" + "3103001250392001234\x1d99", "]C17230EM123\x1d7231EM456", "nothing", None])
    listed = udi.elements(scans, AS_OF).to_dicts()
    assert [(e["row"], e["position"], e["ai"], e["value"], e["number"]) for e in listed] == [
        (0, 0, "01", GTIN, None),
        (0, 1, "15", "270531", None),
        (0, 2, "3103", "001250", "1.250"),
        (0, 3, "3920", "01234", "1234"),
        (0, 4, "99", "", None),
        (1, 0, "7230", "EM123", None),
        (1, 1, "7231", "EM456", None),
        (2, 0, None, None, None),
    ]
    assert listed[1]["date"] == date(2027, 5, 31)
    assert [e["refusal"] for e in listed if e["refusal"]] == ["(99): length", "unknown application identifier"]


@pytest.mark.parametrize(
    "element, reason",
    [
        ("8013" + "1987654Ad4X4bL5ttr2310c2K", None),
        ("8013" + "1987654Ad4X4bL5ttr2310cXK", "(8013): check character pair"),
        ("8003" + "07071324001021085952", None),
        ("8003" + "07071324001022085952", "(8003): check digit"),
        ("8003" + "17071324001022085952", "(8003): not as its format says"),
        ("8006" + "095212340000130102", None),
        ("8006" + "095212340000140102", "(8006): check digit"),
        ("7007" + "260101260131", None),
        ("7007" + "260101260100", "(7007): no such date"),
        ("7007" + "260100", "(7007): no such date"),
        ("8008" + "26010214", None),
        ("8008" + "26010260", "(8008): not as its format says"),
        ("7250" + "19480229", None),
        ("7250" + "19490229", "(7250): no such date"),
        ("8010" + "ABC-12", None),
        ("8010" + "abc", "(8010): character"),
        ("8042" + "1" * 32, None),
        ("8042" + "1" * 31, "(8042): length"),
        ("4326" + "260100", "(4326): no such date"),
        ("4321" + "2", "(4321): not as its format says"),
        ("253" + "9521234000013ABC", None),
        ("421" + "840" + "60601", None),
        ("8200" + "https://example.org/", None),
        ("8030" + "a_b-=", None),
    ],
)
def test_structured_values_are_judged_by_their_parts(element, reason):
    assert udi.elements(pl.Series(["]C1" + element]), AS_OF)["refusal"].to_list() == [reason]


# ---------------------------------------------------------------------------------------------------------------- HIBCC


def test_a_hibc_primary_gives_labeler_product_and_unit():
    assert said("+A123BJC5D6E71G") == {"issuer": "HIBCC", "di": "A123BJC5D6E71", "package_level": 1}
    assert said("*+A123BJC5D6E71G*") == said("+A123BJC5D6E71G")


def test_a_hibc_check_character_may_be_any_of_the_43():
    primaries = {
        text[-1]: text for one in "AZ" for two in HIBC_CHARACTERS[:36] for text in [with_check(f"+A{one}00{two}0")]
    }
    assert set(primaries) == set(HIBC_CHARACTERS)
    assert [row["di"] for row in parsed(*primaries.values())] == [text[1:-1] for text in primaries.values()]


@pytest.mark.parametrize(
    "secondary, expected",
    [
        ("05271", {"expiration_date": date(2005, 9, 28)}),
        ("052713C001", {"expiration_date": date(2005, 9, 28), "lot": "3C001"}),
        ("$3C001", {"lot": "3C001"}),
        ("$$09053C001", {"expiration_date": date(2005, 9, 30), "lot": "3C001"}),
        ("$$20928053C001", {"expiration_date": date(2005, 9, 28), "lot": "3C001"}),
        ("$$30509283C001", {"expiration_date": date(2005, 9, 28), "lot": "3C001"}),
        ("$$4050928223C001", {"expiration_date": date(2005, 9, 28), "expiration_time": time(22), "lot": "3C001"}),
        ("$$5052713C001", {"expiration_date": date(2005, 9, 28), "lot": "3C001"}),
        ("$$605271223C001", {"expiration_date": date(2005, 9, 28), "expiration_time": time(22), "lot": "3C001"}),
        ("$$73C001", {"lot": "3C001"}),
        ("$$82409053C001", {"quantity": 24, "expiration_date": date(2005, 9, 30), "lot": "3C001"}),
        ("$$82473C001", {"quantity": 24, "lot": "3C001"}),
        ("$$824", {"quantity": 24}),
        ("$$90010030509283C001", {"quantity": 100, "expiration_date": date(2005, 9, 28), "lot": "3C001"}),
        ("$$900100", {"quantity": 100}),
        ("$+0001", {"serial": "0001"}),
        ("$$+09050001", {"expiration_date": date(2005, 9, 30), "serial": "0001"}),
        ("$$+4050928200001", {"expiration_date": date(2005, 9, 28), "expiration_time": time(20), "serial": "0001"}),
        ("$$+70001", {"serial": "0001"}),
        (
            "$$30509283C001/S77DE1G45-/16D20040102/Q500",
            {
                "expiration_date": date(2005, 9, 28),
                "lot": "3C001",
                "serial": "77DE1G45-",
                "manufacturing_date": date(2004, 1, 2),
                "quantity": 500,
            },
        ),
        ("$3C001/14D20270531", {"lot": "3C001", "expiration_date": date(2027, 5, 31)}),
    ],
)
def test_hibc_secondaries_read_the_same_joined_and_alone(secondary, expected):
    joined = said(with_check("+A123BJC5D6E71/" + secondary))
    assert joined == {"issuer": "HIBCC", "di": "A123BJC5D6E71", "package_level": 1, **expected}
    alone = said(with_check("+" + secondary + "G"))
    assert alone == {"issuer": "HIBCC", "link_character": "G", **expected}


def test_a_hibc_check_character_that_is_a_blank_may_be_cut_off_or_underscored():
    primary = next(text for number in range(99) if (text := with_check(f"+A123{number}B0")).endswith(" "))
    assert said(primary) == said(primary.rstrip()) == said(f"*{primary[:-1]}_*") == said(primary + "   ")
    assert said("+A123BJC5D6E71G   ") == said("+A123BJC5D6E71G")
    assert said(primary)["di"] == primary[1:-1]


@pytest.mark.parametrize(
    "scan, reason",
    [
        ("+A123BJC5D6E71H", "HIBC: check character"),
        ("+A123BJC5D6e71G", "HIBC: character"),
        (with_check("+1123BJC5D6E71"), "HIBC secondary: "),
        (with_check("+A123BJC5D6E7X"), "HIBC primary: not labeler, product and unit of measure"),
        (with_check("+A12" + "1"), "HIBC primary: not labeler, product and unit of measure"),
        (with_check("+A123" + "B" * 19 + "1"), "HIBC primary: not labeler, product and unit of measure"),
        (with_check("+A123BJC5D6E71/$$3050931L"), "HIBC secondary: no such date"),
        (with_check("+A123BJC5D6E71/$$505366L"), "HIBC secondary: no such date"),
        (with_check("+A123BJC5D6E71/$$500000L"), "HIBC secondary: no such date"),
        (with_check("+A123BJC5D6E71/$$405092824L"), "HIBC secondary: no such date"),
        (with_check("+A123BJC5D6E71/$$1305L"), "HIBC secondary: no such date"),
        (with_check("+A123BJC5D6E71/$$AL"), "HIBC secondary: no such reference or date layout"),
        (with_check("+A123BJC5D6E71/$$+8240905L"), "HIBC secondary: no such reference or date layout"),
        (with_check("+A123BJC5D6E71/L1"), "HIBC secondary: no such reference or date layout"),
        (with_check("+A123BJC5D6E71/$" + "L" * 19), "HIBC secondary: length of lot or serial number"),
        (with_check("+A123BJC5D6E71/$+"), "HIBC secondary: length of lot or serial number"),
        (with_check("+A123BJC5D6E71/$L%1"), "HIBC secondary: character"),
        (with_check("+A123BJC5D6E71/$L1/X1"), "HIBC secondary: supplemental element"),
        (with_check("+A123BJC5D6E71/$L1/16D20261301"), "HIBC secondary: no such date"),
        ("+", "HIBC: check character"),
    ],
)
def test_a_hibc_refusal_says_which_part(scan, reason):
    got = said(scan)
    assert got["refusal"].startswith(reason)
    assert set(got) == {"issuer", "refusal"}


# --------------------------------------------------------------------------------------------------------------- ICCBBA


def test_isbt_128_structures_read_in_any_order():
    parts = ["=/A9999XYZ100T0944", "=,000025", "=A99971312345600", "=>014032", "=}013032", "&,1000000000000XYZ123"]
    expected = {
        "issuer": "ICCBBA",
        "di": "A9999XYZ100T0944",
        "serial": "000025",
        "donation_id": "A99971312345600",
        "expiration_date": date(2014, 2, 1),
        "manufacturing_date": date(2013, 2, 1),
        "lot": "000000000000XYZ123",
    }
    assert said("".join(parts)) == said("".join(reversed(parts))) == said("=+06000" + "".join(parts)) == expected


def test_blood_bags_and_the_last_century():
    assert said("=)A123456789&)B123456789") == {"issuer": "ICCBBA", "di": "A123456789", "lot": "B123456789"}
    assert said("=/A9999XYZ100T0944=}998365")["manufacturing_date"] == date(1998, 12, 31)


@pytest.mark.parametrize(
    "scan, reason",
    [
        ("=/A9999XYZ100T094", "ISBT 128: unknown data structure, or length or character of one"),
        ("=/A9999XYZ100T0944=,00025", "ISBT 128: unknown data structure, or length or character of one"),
        ("=?A9999XYZ100T0944", "ISBT 128: unknown data structure, or length or character of one"),
        ("=/A9999XYZ100T0944=>014366", "ISBT 128: no such date"),
        ("=/A9999XYZ100T0944=>014000", "ISBT 128: no such date"),
        ("=,000025=,000026", "ISBT 128: data structure repeated"),
    ],
)
def test_an_isbt_128_refusal_says_why(scan, reason):
    assert said(scan) == {"issuer": "ICCBBA", "refusal": reason}


# ---------------------------------------------------------------------------------------------- numbers by themselves


def of(expression, *values):
    return (
        pl.DataFrame({"value": pl.Series(values, dtype=pl.String)})
        .select(expression(pl.col("value")))
        .to_series()
        .to_list()
    )


def test_gtin14_pads_what_has_the_length_of_a_gtin():
    assert of(udi.gtin14, "96385074", "614141000036", "5901234123457", GTIN, "123", "12345678A", "+9638507", None) == [
        "00000096385074",
        "00614141000036",
        "05901234123457",
        GTIN,
        None,
        None,
        None,
        None,
    ]


def test_check_digits_of_gtin_gln_and_sscc():
    right = ["96385074", "614141000036", "5901234123457", GTIN, "1234567890128", "376130321109103420"]
    wrong = ["96385075", "614141000037", "5901234123458", "09521234000014", "1234567890127", "376130321109103421"]
    assert of(udi.has_check_digit, *right, *wrong, "", "7", "59012341234+7", "0" * 19, None) == (
        [True] * 6 + [False] * 6 + [False] * 4 + [None]
    )


def test_ndcs_of_every_split_become_eleven_digits():
    assert of(
        udi.ndc11, "0002-7597-01", "50242-040-62", "60575-4112-1", "12345-6789-01", "12345678901", " 0002-7597-01 "
    ) == [
        "00002759701",
        "50242004062",
        "60575411201",
        "12345678901",
        "12345678901",
        "00002759701",
    ]


def test_an_ndc_without_its_split_is_refused_with_the_reason():
    values = (
        "0002759701",
        "300027597015",
        "00300027597015",
        "1234-567-89",
        "123",
        "0002-7597-0X",
        None,
        "0002-7597-01",
    )
    assert of(udi.ndc11, *values)[:-1] == [None] * 7
    reasons = of(udi.ndc_refusal, *values)
    assert [(reason or "")[:11] for reason in reasons] == [
        "ten digits ",
        "a UPC or GT",
        "a UPC or GT",
        "not split 4",
        "length",
        "character",
        "",
        "",
    ]
