"""Supplier EDI of the simulated landscape: what is sent for orders, shipments and invoices, what ingest lands of it."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from ingest.clock import AsOf
from ingest.quarantine import list_rows
from ingest.run import ingest
from ingest.simulator.edi_partners import Marks
from ingest.simulator.edi_sets import implied, plain, sscc
from ingest.simulator.oracle import evaluate
from tests.unit.simulator.purchasing_trial import Trial, run_trial

HEADS = {"850": "PO850_HEAD", "855": "ACK855_HEAD", "856": "ASN856_SHIP", "810": "INV810_HEAD", "832": "CAT832_HEAD"}
GROUPS = {"850": "PO", "855": "PR", "856": "SH", "810": "IN", "832": "SC"}


@dataclass(frozen=True)
class Message:
    """One set of a file, read without the pipeline's reader."""

    file: str
    folder: date
    sender: str
    control: str
    sent_at: str
    usage: str
    marks: tuple[str, str, str]
    kind: str
    segments: tuple[tuple[str, ...], ...]  # from ST to SE

    @property
    def is_sound(self) -> bool:
        return int(self.segments[-1][1]) == len(self.segments)

    @property
    def counts(self) -> bool:
        """Whether it is a message of production that is read."""
        return self.usage == "P" and self.is_sound

    def all(self, name: str) -> list[tuple[str, ...]]:
        return [segment for segment in self.segments if segment[0] == name]

    def one(self, name: str, qualifier: str | None = None) -> tuple[str, ...]:
        return next(each for each in self.all(name) if qualifier is None or each[1] == qualifier)


def element(segment: tuple[str, ...], place: int) -> str:
    return segment[place] if place < len(segment) else ""


def messages_of(out: Path) -> Iterator[Message]:
    for path in sorted((out / "edi").rglob("*.edi")):
        text = path.read_bytes().decode("ascii")
        mark, component, end = text[3], text[104], text[105]
        segments = [tuple(part.lstrip("\r\n").split(mark)) for part in text.split(end) if part.strip("\r\n")]
        isa, iea = segments[0], segments[-1]
        assert [len(cell) for cell in isa[1:]] == [2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1]
        assert (iea[0], iea[2]) == ("IEA", isa[13])
        assert int(iea[1]) == sum(segment[0] == "GS" for segment in segments)
        assert path.name == f"{isa[6].strip()}_{isa[13]}.edi"
        kind, folder = path.parts[-2], path.parts[-3]
        begin = None
        for place, segment in enumerate(segments):
            if segment[0] == "GS":
                assert (segment[1], segment[8]) == (GROUPS[kind], "004010")
                opened, sets = segment[6], 0
            elif segment[0] == "ST":
                begin = place
                sets += 1
                assert segment == ("ST", kind, f"{sets:04d}")
            elif segment[0] == "SE":
                yield Message(
                    path.name,
                    date.fromisoformat(folder),
                    isa[6].strip(),
                    isa[13],
                    isa[9] + isa[10],
                    isa[15],
                    (mark, component, end),
                    kind,
                    tuple(segments[begin : place + 1]),
                )
            elif segment[0] == "GE":
                assert segment[1:] == (str(sets), opened)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return run_trial(tmp_path_factory.mktemp("edi"), days=26, scale=0.01, defects=True, edi=True)


@pytest.fixture(scope="module")
def sent(trial: Trial) -> list[Message]:
    return list(messages_of(trial.out))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return run_trial(tmp_path_factory.mktemp("clean"), days=12, scale=0.01, quirks=False, edi=True)


def of_kind(sent: list[Message], kind: str) -> list[Message]:
    """Sets of a kind, each once: not again for a repeat, a test or the correction of a wrong count."""
    found = {message.segments[1:-1]: message for message in sent if message.kind == kind and message.usage == "P"}
    return list(found.values())


def planted(trial: Trial, rule: str, is_near_miss: bool = False) -> set[tuple[str, str]]:
    return {
        (each.site, each.entity_key)
        for each in trial.world.planted
        if each.rule_id == rule and each.is_near_miss == is_near_miss
    }


def invoices_off(trial: Trial) -> set[str]:
    """Numbers of invoices that were made not to add up."""
    return {key.rpartition("=")[2] for _, key in planted(trial, "M3-10")}


def test_acknowledgements_shipments_and_totals_that_differ_are_found(trial: Trial, clean: Trial) -> None:
    found = [each for each in evaluate(trial.world) if not each.near_miss]
    for rule in ("PA-02", "AS-01", "M3-10"):
        fired = {(each.facility_id, each.entity_key) for each in found if each.rule_id == rule}
        assert len(planted(trial, rule)) >= 3 and planted(trial, rule) <= fired, rule
        assert not planted(trial, rule, is_near_miss=True) & fired, rule
    assert planted(trial, "PA-02", is_near_miss=True) and planted(trial, "AS-01", is_near_miss=True)
    judged = [each for each in evaluate(clean.world) if each.rule_id in ("PA-02", "AS-01", "M3-10")]
    assert [each for each in judged if not each.near_miss] == []


def money(text: str) -> Decimal:
    return Decimal(text) / 100


def test_every_order_is_copied_with_its_lines_and_prices(trial: Trial, sent: list[Message]) -> None:
    orders = defaultdict(dict)
    for line in trial.world.po_lines:
        orders[line.po_key].setdefault(line.line, (line.quantity, line.unit_price))
    copies = Counter()
    for message in of_kind(sent, "850"):
        lines = [(Decimal(each[2]), Decimal(each[4])) for each in message.all("PO1")]
        copies[message.one("BEG")[3], message.one("BEG")[5], tuple(lines)] += 1
    dates = {line.po_key: line.order_date for line in trial.world.po_lines}
    for key, lines in orders.items():
        number = key if key.startswith("SP") else f"{int(key.split('-')[1]):07d}"
        copy = (number, f"{dates[key]:%Y%m%d}", tuple(lines[line] for line in sorted(lines)))
        copies[copy] -= 1
    assert orders and not any(copies.values())


def test_every_invoice_that_came_by_edi_has_an_810_of_its_amount_to_the_cent(trial: Trial, sent: list[Message]) -> None:
    totals = Counter()
    for message in of_kind(sent, "810"):
        big, vendor = message.one("BIG"), message.one("REF", "IA")[2]
        totals[vendor, big[2], element(big, 7) == "CR", money(message.one("TDS")[1])] += 1
    off = invoices_off(trial)
    booked = [each for each in trial.world.invoices if each.source == "EDI" and each.document_no not in off]
    for number in [key for key in totals if key[1].removesuffix("-A").removeprefix("00") in off]:
        del totals[number]
    for invoice in booked:
        totals[invoice.supplier_no, invoice.document_no, invoice.kind == "credit", invoice.amount] -= 1
    assert len(booked) > 100 and min(totals.values()) == 0
    more = [number for (_, number, _, _), count in totals.items() if count > 0]
    assert more and all(number.endswith("-A") or number.startswith("00") for number in more)  # Q116
    assert any(is_credit for (_, _, is_credit, _) in totals)


def test_an_810_adds_up_but_for_the_cent_that_payables_tolerates(trial: Trial, sent: list[Message]) -> None:
    off = invoices_off(trial)
    for message in of_kind(sent, "810"):
        if message.one("BIG")[2].removesuffix("-A").removeprefix("00") in off:
            continue
        goods = sum((Decimal(each[2]) * Decimal(each[4])).quantize(Decimal("0.01")) for each in message.all("IT1"))
        charges = sum(money(each[5]) for each in message.all("SAC")) + sum(
            Decimal(each[2]) for each in message.all("TXI")
        )
        lines = len(message.all("IT1"))
        assert abs(money(message.one("TDS")[1]) - goods - charges) <= Decimal("0.01") * (1 + lines)
        is_credit = element(message.one("BIG"), 7) == "CR"
        assert all((Decimal(each[2]) < 0) == is_credit for each in message.all("IT1"))


def test_a_ship_notice_comes_before_the_receipt_and_says_what_was_received(trial: Trial, sent: list[Message]) -> None:
    shipped = Counter()
    for message in of_kind(sent, "856"):
        assert message.one("DTM", "011")[2] <= message.one("DTM", "017")[2]
        number = message.one("PRF")[1]
        for item, quantity in zip(message.all("LIN"), message.all("SN1"), strict=True):
            shipped[number, int(item[1]), quantity[3]] += Decimal(quantity[2])
    ordered = {(line.po_key, line.line): line for line in trial.world.po_lines}
    receipts = {(row.erp, row.receipt_key): row for row in trial.world.receipts}
    received = Counter()
    for row in receipts.values():
        line = ordered[row.po_key, row.line]
        is_shipped = line.po_type == "regular" and row.kind in ("receive", "correct")
        if row.erp == "erp_fusion" and is_shipped:
            received[row.po_key, row.line] += row.quantity_each
    said = Counter()
    for (number, place, uom), quantity in shipped.items():
        if (line := ordered.get((number, place))) is not None:
            said[number, place] += quantity * (1 if uom == "EA" else line.each_per_uom)
    assert len(received) > 50
    differing = {f"po={key[0]}|line={key[1]}" for key, quantity in received.items() if said[key] != quantity}
    assert differing <= {key.partition("|")[2] for _, key in planted(trial, "AS-01")}


def test_a_notice_carries_the_shipment_number_keyed_at_the_dock(trial: Trial, sent: list[Message]) -> None:
    frame = pl.concat(
        [
            pl.read_csv(path, infer_schema=False).select("COMPANY", "BOL_NBR")
            for path in sorted(trial.out.glob("erp_lawson/*/PORECEIVE.csv"))
        ]
    )
    keyed = set(frame["BOL_NBR"].str.strip_chars().drop_nulls()) - {""}
    assert set() < keyed <= {message.one("BSN")[2] for message in of_kind(sent, "856")}


def test_a_replacement_of_consigned_stock_is_announced_with_its_lot(trial: Trial, sent: list[Message]) -> None:
    lots = {
        (row.ref_doc, row.lot)
        for row in trial.world.movements
        if row.txn_type == "CONSIGN_IN" and row.lot and str(row.ref_doc).startswith("SP")
    }
    announced = {
        (message.one("PRF")[1], segment[2])
        for message in of_kind(sent, "856")
        for segment in message.all("REF")
        if segment[1] == "LT"
    }
    assert set() < lots <= announced


def order_number(po_key: str) -> str:
    """The number by which a supplier knows an order."""
    return po_key if po_key.startswith("SP") else f"{int(po_key.split('-')[1]):07d}"


def test_what_is_judged_of_855_856_and_810_is_what_was_sent_whole(trial: Trial, sent: list[Message]) -> None:
    answered, shipped, billed = Counter(), Counter(), Counter()
    whole = [message for message in sent if message.counts]
    for message in {(each.sender, each.control, each.segments): each for each in whole}.values():
        if message.kind == "855":
            line = price = ""
            for segment in message.segments:
                if segment[0] == "PO1":
                    line, price = segment[1], segment[4]
                elif segment[0] == "ACK":
                    answered[message.one("BAK")[3], message.one("BAK")[9], line, price, segment[1]] += 1
        elif message.kind == "856":
            for item in message.all("LIN"):
                shipped[message.one("BSN")[2], message.one("PRF")[1], item[1], message.one("DTM", "017")[2]] += 1
        elif message.kind == "810":
            billed[message.sender, message.one("BIG")[2].upper(), money(message.one("TDS")[1])] += 1
    world = trial.world
    assert answered == Counter(
        (order_number(each.po_key), f"{each.acknowledged_on:%Y%m%d}", str(each.line), plain(each.unit_price), status)
        for each in world.acknowledgements
        for status, _ in each.parts
    )
    assert shipped == Counter(
        (each.shipment_id, order_number(each.po_key), str(each.line), f"{each.expected_on:%Y%m%d}")
        for each in world.ship_notices
    )
    assert billed == Counter((each.sender, each.invoice_number, each.total) for each in world.supplier_bills)


def test_control_numbers_have_no_gaps_and_everything_balances_without_quirks(clean: Trial) -> None:
    sent = list(messages_of(clean.out))
    assert all(message.counts for message in sent)
    assert {message.marks for message in sent} == {("*", ">", "~")}
    numbers = defaultdict(set)
    for message in sent:
        numbers[message.sender].add(int(message.control))
    assert all(max(each) - min(each) + 1 == len(each) for each in numbers.values())
    files = Counter(message.file for message in {(each.file, each.folder): each for each in sent}.values())
    assert set(files.values()) == {1}
    assert all(element(each.one("BIG"), 4) for each in sent if each.kind == "810")
    answered = {each.one("BAK")[3] for each in sent if each.kind == "855"}
    until = clean.world.end - timedelta(days=5)
    old = [each for each in sent if each.kind == "850" and each.folder <= until]
    assert all(each.all("PID")[0][5].endswith("SERVICE") or "MAINT" in each.all("PID")[0][5]
               for each in old if each.one("BEG")[3] not in answered)  # fmt: skip


def test_each_quirk_shows(trial: Trial, sent: list[Message]) -> None:
    senders = {message.sender for message in sent}
    assert {len(sender) for sender in senders} >= {9, 13} and "MEDXCHANGE" in senders
    assert len({message.marks for message in sent}) >= 5  # Q112
    folders = defaultdict(set)
    for message in sent:
        folders[message.file].add(message.folder)
    assert any(len(each) == 2 for each in folders.values())  # Q112: again under the same ISA13
    acks = [message for message in sent if message.kind == "855"]
    assert any(message.one("BAK")[2] == "AK" and not message.all("PO1") for message in acks)  # Q113
    ordered = {each.one("BEG")[3] for each in sent if each.kind == "850" and each.folder < trial.world.end}
    never = ordered - {message.one("BAK")[3] for message in acks}
    assert 0.01 < len(never) / len(ordered) < 0.2
    notices = [message for message in sent if message.kind == "856"]
    assert any(message.all("MAN") for message in notices) and not all(message.all("MAN") for message in notices)  # Q114
    invoices = [message for message in sent if message.kind == "810"]
    bare = [message for message in invoices if not element(message.one("BIG"), 4)]
    assert any([each for each in message.all("REF") if each[1] == "PO"] for message in bare)  # Q115
    assert any(message.all("SAC") and not [e for e in message.all("REF") if e[1] == "PO"] for message in bare)
    assert any(
        date.fromisoformat(message.one("DTM", "007")[2]) > message.folder for message in sent if message.kind == "832"
    )  # Q118
    assert any(message.usage == "T" for message in sent)  # Q119
    assert any(not message.is_sound for message in sent)  # Q120
    units = {each[3] for message in invoices for each in message.all("IT1")}
    assert units >= {"EA", "BX"}


def test_the_sets_that_do_not_balance_come_again_whole(trial: Trial, sent: list[Message]) -> None:
    whole = {message.segments[1:-1] for message in sent if message.counts}
    for message in sent:
        if not message.is_sound and message.folder < trial.world.end and message.usage == "P":
            assert message.segments[1:-1] in whole


def test_an_interchange_delivered_twice_is_a_planted_defect(trial: Trial) -> None:
    contents = defaultdict(list)
    for path in sorted((trial.out / "edi").rglob("*.edi")):
        contents[path.read_bytes()].append(path)
    twice = {
        f"feed=edi.{paths[1].parts[-2]}|date={date.fromisoformat(paths[1].parts[-3])}|file={paths[1].name}"
        for paths in contents.values()
        if len(paths) > 1
    }
    planted = {
        each.entity_key for each in trial.world.planted if each.rule_id == "INT-03" and "edi." in each.entity_key
    }
    assert twice and twice == planted


def test_ingest_lands_what_is_written_and_refuses_what_does_not_balance(
    trial: Trial, sent: list[Message], tmp_path: Path
) -> None:
    landing, home = tmp_path / "landing", tmp_path / "home"
    shutil.copytree(trial.out / "edi", landing / "edi")
    ingest(landing, home, AsOf.end_of(trial.world.end), "all")
    refused = {(each.file, each.sent_at, each.segments) for each in sent if not each.is_sound}
    assert len(list_rows(home)) == len(refused) > 0
    sound = {(each.sender, each.control, each.segments): each for each in sent if each.is_sound}
    lines = {
        "PO850_LINE": "PO1",
        "ACK855_LINE": "ACK",
        "ASN856_ITEM": "SN1",
        "INV810_LINE": "IT1",
        "CAT832_LINE": "CTP",
    }
    kinds = {
        "PO850_LINE": "850",
        "ACK855_LINE": "855",
        "ASN856_ITEM": "856",
        "INV810_LINE": "810",
        "CAT832_LINE": "832",
    }
    raw = home / "lake/raw/edi"
    # A set sent again under the same ISA13 and GS06 is a replay, whatever its envelope's time says.
    assert pl.scan_parquet(raw / "ENVELOPE/*.parquet").select(pl.len()).collect().item() == len(sound)
    for kind, head in HEADS.items():
        landed = pl.read_parquet(raw / head / "*.parquet")
        assert landed.height == sum(message.kind == kind for message in sound.values()), head
    for name, segment in lines.items():
        landed = pl.read_parquet(raw / name / "*.parquet")
        assert landed.height == sum(len(m.all(segment)) for m in sound.values() if m.kind == kinds[name]), name
    charges = pl.read_parquet(raw / "INV810_SAC/*.parquet")
    assert charges.height == sum(len(m.all("SAC")) + len(m.all("TXI")) for m in sound.values() if m.kind == "810")
    said = sum(money(m.one("TDS")[1]) for m in sound.values() if m.kind == "810")
    heads = pl.read_parquet(raw / "INV810_HEAD/*.parquet")
    assert heads["total"].cast(pl.Decimal(18, 2)).sum() == said
    assert any("PT Doe, Jane" in element(segment, 1) for message in sent for segment in message.all("MSG"))
    for path in raw.rglob("*.parquet"):
        texts = pl.read_parquet(path).select(pl.col(pl.String)).unpivot()["value"].drop_nulls()
        assert not texts.str.contains("(?i)doe|smith").any(), path.name


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = run_trial(tmp_path / "one", days=5, scale=0.01, edi=True)
    second = run_trial(tmp_path / "two", days=5, scale=0.01, edi=True)
    files = [path.relative_to(first.out) for path in sorted((first.out / "edi").rglob("*.edi"))]
    assert files == [path.relative_to(second.out) for path in sorted((second.out / "edi").rglob("*.edi"))]
    assert all((first.out / path).read_bytes() == (second.out / path).read_bytes() for path in files)


def test_separators_never_stand_in_a_text() -> None:
    assert Marks("|", ">", "~").clean("A|B~C>Dé ") == "A B C D?"


def test_numbers_are_written_as_their_types_say() -> None:
    """Q111: totals and charges have two implied decimals, prices an explicit point."""
    assert [plain(Decimal(text)) for text in ("10.00", "0.50000", "100", "-3")] == ["10", "0.5", "100", "-3"]
    assert [implied(Decimal(text)) for text in ("12.5", "-0.01", "3")] == ["1250", "-1", "300"]
    with pytest.raises(ValueError, match="whole cents"):
        implied(Decimal("1.005"))


def test_a_container_code_ends_with_its_check_digit() -> None:
    code = sscc(123456789)
    assert len(code) == 20 and code.startswith("0009521234")
    digits = [int(digit) for digit in code[2:]]
    assert sum(digit * (3 if place % 2 == 0 else 1) for place, digit in enumerate(digits)) % 10 == 0
