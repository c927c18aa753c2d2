"""What the `source` of a contract's column says of its place in an X12 set."""

import pytest

from ingest.contract import load_contracts
from ingest.formats.x12_layouts import LOOPS, Place, Source, layout, mandatory, parse_source


def reference(*words):
    return tuple(Place("REF", 2, ((1, word),)) for word in words)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("BEG03", Source((Place("BEG", 3),))),
        ("N104", Source((Place("N1", 4),))),
        ("IT101", Source((Place("IT1", 1),))),
        ("REF*CT REF02", Source(reference("CT"))),
        ("REF*BM or REF*SI REF02", Source(reference("BM", "SI"))),
        ("N1*ST N103", Source((Place("N1", 3, ((1, "ST"),)),))),
        ("BAK09 or DTM*171", Source((Place("BAK", 9), Place("DTM", 2, ((1, "171"),))))),
        ("N1*PR N104 or REF*2U", Source((Place("N1", 4, ((1, "PR"),)), *reference("2U")))),
        ("N1*PE N104 qualifier XX", Source((Place("N1", 4, ((1, "PE"), (3, "XX"))),))),
        ("PO1 pair VC or VN", Source((Place("PO1", 0, pair="VC"), Place("PO1", 0, pair="VN")))),
        ("ISA09, ISA10", Source((Place("ISA", 9), Place("ISA", 10)), joined=True)),
        ("SAC05, TXI02", Source((Place("SAC", 5), Place("TXI", 2)))),
        ("SAC01, TXI", Source((Place("SAC", 1), Place("TXI", 0)))),
        ("CAS02, CAS05, CAS08 and so on", Source((Place("CAS", 2),))),
        ("SVC01-2", Source((Place("SVC", 1, components=(2, 2)),))),
        ("SVC01-3..6", Source((Place("SVC", 1, components=(3, 6)),))),
        ("HL01 of the item loop", Source((Place("HL", 1),))),
        ("PRF01 of the parent order loop", Source((Place("PRF", 1, above=("O",)),))),
        (
            "MAN*GM MAN02 of the parent pack or tare loop",
            Source((Place("MAN", 2, ((1, "GM"),), above=("P", "T")),)),
        ),
    ],
)
def test_a_source_reads_as_its_places(text, meant):
    assert parse_source(text) == meant


@pytest.mark.parametrize("text", ["somewhere", "N1*ST REF02", "PRF01 of the parent lost loop", "BEG3", "", "beg03"])
def test_a_source_that_says_no_place_is_refused(text):
    with pytest.raises(ValueError) as refused:
        parse_source(text)
    assert str(refused.value) == text.partition(" of ")[0]


def test_every_extract_of_the_contracts_has_a_layout_and_every_set_its_beginning():
    contracts = load_contracts()
    found = {}
    for contract in contracts.values():
        for delivery in contract.deliveries:
            if delivery.format.startswith("x12"):
                for name in delivery.extracts:
                    extract = contract.extracts[name]
                    plan = layout(extract)
                    assert plan.kind in {"", *LOOPS}
                    if segments := mandatory(extract):
                        found[plan.kind] = segments
    assert found == {
        "850": ("BEG",),
        "855": ("BAK",),
        "856": ("BSN",),
        "810": ("BIG", "TDS"),
        "832": ("BCT",),
        "835": ("BPR", "TRN"),
    }
