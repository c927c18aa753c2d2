"""HL7 v2: properties of any message, any damage and any cutting, and the inputs that a fuzzer kept."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.formats import hl7v2
from ingest.formats.reading import Text
from tests.fuzz.hl7v2 import check, check_neighbours, mutated, own_seeds
from tests.unit.ingest.hl7v2_messages import ANY_DELIVERY, ITEM, charges, made_extract, naive_unescape, read

CORPUS = Path(__file__).parent / "fixtures" / "hl7v2" / "corpus"
PUNCTUATION = "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

FIELDS = ("PID-3.1", "PID-5.2", "PV1-3.1.2", "FT1-2", "FT1-7.1", "FT1-13.3", "FT1-26", "ZFT-1", "ZFT-4.2")
EXTRACT = made_extract({"control": "MSH-10", **{source: source for source in FIELDS}})


@st.composite
def any_marks(draw):
    return "".join(draw(st.permutations(PUNCTUATION.replace("_", "").replace('"', "")))[:5])


texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"]), max_size=70)


def escaped(text, marks):
    names = dict(zip(marks, "FSRET", strict=True))
    return "".join(f"{marks[3]}{names[char]}{marks[3]}" if char in names else char for char in text)


def segment(name, values, marks):
    """A segment with the values at their places, everything else empty; trailing delimiters are cut off."""
    field, component, _, _, sub = marks
    fields = {}
    for source, value in values.items():
        at, *rest = (int(part) for part in source.partition("-")[2].split("."))
        text = escaped(value, marks)
        for number, mark in zip(reversed(rest), (sub, component)[2 - len(rest) :], strict=True):
            text = mark * (number - 1) + text
        fields[at] = text
    return field.join([name, *(fields.get(number, "") for number in range(1, max(fields, default=0) + 1))])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_written_with_any_delimiters_terminators_and_escapes_is_read_again(data):
    content, expected = "", []
    for number in range(data.draw(st.integers(1, 4))):
        marks = data.draw(any_marks() if data.draw(st.booleans()) else st.just("|^~\\&"))
        end = data.draw(st.sampled_from(["\r", "\n", "\r\n"]))
        encoding = f"{marks[1]}{marks[2]}{marks[3]}{marks[4]}"
        head = marks[0].join(
            ["MSH", encoding, "APP", "SHSH1", "", "", "20250301", "", f"DFT{marks[1]}P03", f"M{number}"]
        )
        shared = {source: data.draw(texts) for source in FIELDS[:3]}
        lines = [head, segment("PID", {key: shared[key] for key in FIELDS[:2]}, marks)]
        lines.append(segment("PV1", {FIELDS[2]: shared[FIELDS[2]]}, marks))
        for _ in range(data.draw(st.integers(1, 3))):
            own = {source: data.draw(texts) for source in FIELDS[3:]}
            lines.append(segment("FT1", {key: own[key] for key in FIELDS[3:7]}, marks))
            lines.append(segment("ZFT", {key: own[key] for key in FIELDS[7:]}, marks))
            values = {source: as_read(value) for source, value in (shared | own).items()}
            expected.append({"control": f"M{number}", **values})
        content += "".join(line + end for line in lines)
    rows, bad = read(content.encode(), EXTRACT, delivery=ANY_DELIVERY)
    assert bad == []
    assert [{key: row[key] for key in expected[0]} for row in rows] == expected


def as_read(value):
    return None if value in ("", '""') else value


@settings(max_examples=300, deadline=None)
@given(st.text("\\FSTREX41.brCé ", max_size=24), any_marks())
def test_any_text_with_escape_characters_decodes_as_a_careful_reader_would(text, marks):
    text = text.replace("\\", marks[3])
    text = "".join(char for char in text if char not in marks[:3] + marks[4])
    header = marks[0].join(["MSH", marks[1:], "", "SHSH1", "", "", "1", "", f"ORU{marks[1]}R01", "M1"])
    content = f"{header}\rOBX{marks[0]}{text}\r".encode()
    rows, bad = read(content, made_extract({"value": "OBX-1"}), delivery=ANY_DELIVERY)
    assert bad == []
    assert rows[0]["value"] == (naive_unescape(text, marks) or None)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_one_damaged_byte_costs_no_other_message_a_row(seed):
    check_neighbours(random.Random(seed))


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 90, 700, 3000]))
def test_damaged_files_are_read_or_refused_and_pieces_give_the_same(seed, size):
    chance = random.Random(seed)
    check(mutated(chance, chance.choice(own_seeds()), own_seeds()), size)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content):
    check(content, 50)
    check(b"MSH" + content, 50)


OTHER_MARKS = charges("M9").replace(b"(01)", b"").replace(b"(21)", b"").translate(bytes.maketrans(b"|^~\\&", b"#:;?!"))
DAMAGED = b"PVH|^~\\&|EPIC|SHSH1\rFT1|1\r"
DAMAGED_OTHER = b"PVH#:;?!#EPIC#SHSH1\rFT1#1\r"


@pytest.mark.parametrize(
    "content",
    [
        b"MS2.5.1\rEVN|P03\rPID|1||7 " + OTHER_MARKS + DAMAGED + b"MSH|^",
        OTHER_MARKS + b"MSH5030\r" + DAMAGED,
        OTHER_MARKS + b"MSH5030\r" + DAMAGED_OTHER,
        OTHER_MARKS + charges("M2") + b"BTS|1\rtext\rmore " + charges("M3") + DAMAGED + DAMAGED_OTHER,
        OTHER_MARKS + charges("M2") + b"BTS|1\rtext\rmore " + OTHER_MARKS + DAMAGED + DAMAGED_OTHER,
        OTHER_MARKS + charges("M2") + DAMAGED_OTHER + DAMAGED,
    ],
)
def test_a_damaged_header_counts_the_same_wherever_the_file_is_cut(content):
    """Files in pieces told of more or fewer damaged headers: it depended on the delimiters of other messages."""
    check(content, 1)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.hl7")), ids=lambda path: path.stem)
def test_what_the_fuzzer_kept_is_read_or_refused(path):
    check(path.read_bytes(), 300)


def test_one_call_for_many_texts_gives_what_a_call_for_each_gives():
    texts = [Text(number, path.read_bytes()) for number, path in enumerate(sorted(CORPUS.glob("*.hl7")))]
    texts += [Text(1000 + number, content) for number, content in enumerate([*own_seeds(), charges()])]
    delivery, extracts = ANY_DELIVERY, [made_extract({"control": "MSH-10", "item": "PID-3.1"})]
    together = hl7v2.read(texts, delivery, extracts)["ANY"]
    rows, bad = [], []
    for text in texts:
        alone = hl7v2.read([text], delivery, extracts)["ANY"]
        rows += alone.frame.rows()
        bad += alone.bad
    assert together.frame.rows() == rows
    assert together.bad == bad
    assert hl7v2.read(texts, delivery, [ITEM])["MFN_ITEM"].frame.columns[-2:] == ["_text", "_line"]
