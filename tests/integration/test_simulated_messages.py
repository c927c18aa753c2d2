"""HL7 messages of a simulated landscape: what they say of the world, their oddities, and that all of it lands."""

import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from ingest.clock import AsOf
from ingest.quarantine import list_rows
from ingest.run import ingest
from ingest.simulator import build_world
from ingest.simulator import messages as simulated_messages
from ingest.simulator.census import FIRST_ACCOUNT
from ingest.simulator.hl7_text import escaped
from ingest.simulator.messages import scanned
from ingest.simulator.plan import QUIRK_SHARES

START, DAYS = date(2026, 1, 21), 10
OFTEN = {"Q25": 0.15, "Q26": 0.1, "Q27": 0.1, "Q28": 0.1, "Q29": 0.2, "Q30": 0.2, "Q31": 0.3}
ROOM = "1100001"


class Said:
    """One message of a file, cut at its delimiters and nothing else."""

    def __init__(self, path, raw):
        self.path = path
        header = re.split(rb"[\r\n]", raw, maxsplit=1)[0]
        self.raw = raw
        self.text = raw.decode("iso-8859-1" if b"|8859/1" in header else "utf-8")
        lines = [line.split("|") for line in re.split(r"\r\n|\r", self.text) if line]
        lines[0].insert(1, "|")
        self.segments = lines

    def all(self, name):
        return [segment for segment in self.segments if segment[0] == name]

    def get(self, name, field, component=1):
        for segment in self.all(name):
            value = segment[field] if field < len(segment) else ""
            return [*value.split("^"), *[""] * component][component - 1]
        return None

    @property
    def key(self):
        return self.get("MSH", 4), self.get("MSH", 10)

    @property
    def event(self):
        return self.get("MSH", 9, 2)

    @property
    def at(self):
        return datetime.strptime(self.get("MSH", 7)[:14], "%Y%m%d%H%M%S")


def said_in(out):
    found = []
    for path in sorted((out / "ehr_hl7").glob("*/*.hl7")):
        content = path.read_bytes()
        for part in re.split(rb"(?:^|(?<=[\r\n]))(?=MSH\||BTS\||FTS\||BHS\||FHS\|)", content):
            if part.startswith(b"MSH"):
                found.append(Said(path, part))
    return found


def fields(segment, place):
    return segment[place] if place < len(segment) else ""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    out = tmp_path_factory.mktemp("messages") / "landing"
    with pytest.MonkeyPatch.context() as patch:
        for quirk, share in OFTEN.items():
            patch.setitem(QUIRK_SHARES, quirk, share)
        patch.setattr(simulated_messages, "FAR_STAMPS", 0.05)
        world, _, _ = build_world(out, START, DAYS, 0.02, 7, sites=("H1", "H2", "H5"))
    return world, out


@pytest.fixture(scope="module")
def said(simulated):
    return said_in(simulated[1])


@pytest.fixture(scope="module")
def landed(simulated, tmp_path_factory):
    world, out = simulated
    home = tmp_path_factory.mktemp("home")
    report = ingest(out, home, AsOf.end_of(world.end), "all", systems=["ehr_hl7"])

    def lake(name):
        return pl.read_parquet(sorted((home / "lake/raw/ehr_hl7" / name).glob("*.parquet")))

    return home, {counts.feed.partition(".")[2]: counts for counts in report.extracts}, report, lake


def charges(said):
    return [(message, ft1) for message in said for ft1 in message.all("FT1")]


# ------------------------------------------------------------------------------------------------------ what lands


def test_every_row_of_every_message_lands_but_for_replays(simulated, said, landed):
    world, _ = simulated
    home, counts, report, _ = landed
    assert list_rows(home) == [] and report.files_refused == 0 and report.unknown == ()
    written = Counter()
    for file in world.files:
        if file.system == "ehr_hl7":
            written[file.extract] += file.rows
    for message in said:
        written["MFN_PACKAGE"] += len(message.all("PKG"))
        written["MFN_LOCATION"] += len(message.all("IVT"))
    assert {name: each.rows_delivered for name, each in counts.items()} == written
    identities = {
        (message.get("MSH", 4), *(fields(ft1, place) for place in (2, 4, 6, 7)), fields(ft1, 10) or "1")
        if fields(ft1, 2)
        else (*message.key, ft1[1])
        for message, ft1 in charges(said)
    }
    assert counts["DFT_P03_FT1"].rows_landed == len(identities)
    assert counts["DFT_P03_FT1"].rows_repeated == written["DFT_P03_FT1"] - len(identities) > 0
    assert sum(each.rows_repeated for each in counts.values()) == counts["DFT_P03_FT1"].rows_repeated


def test_fields_land_as_they_were_sent(said, landed):
    lake = landed[3]
    sent = {(message.key, ft1[1]): ft1 for message, ft1 in charges(said)}
    for row in lake("DFT_P03_FT1").iter_rows(named=True):
        ft1 = sent[(row["sending_facility"], row["message_id"]), row["set_id"]]
        assert row["ft1_transaction_id"] == (fields(ft1, 2) or None)
        assert row["ft1_code"] == fields(ft1, 7).split("^")[0]
        assert row["extended_amount"] == fields(ft1, 11).split("&")[0]
        assert row["filler_order_no"] == (fields(ft1, 23).split("^")[0] or None)
        assert row["ft1_date"] == fields(ft1, 4)[:14]
    assert {len(fields(ft1, 4)) for ft1 in sent.values()} == {14, 19}
    descriptions = lake("MFN_ITEM")["description"].to_list()
    assert any("GUIDE & CAP" in text for text in descriptions) and any("5^0|A~B" in text for text in descriptions)
    assert any("Ø" in text for text in descriptions)


def test_nothing_of_a_person_lands(simulated, said, landed):
    words = set()
    for message in said:
        for name, place in (("PID", 3), ("PID", 18), ("PID", 19), ("GT1", 6), ("PV1", 19), ("MRG", 1)):
            words.add(message.get(name, place))
        if message.all("PID"):
            name, address = message.get("PID", 5), message.get("PID", 11)
            words |= {name, f"{name},{message.get('PID', 5, 2)}", address}
    words -= {None, ""}
    assert len(words) > 100
    _, counts, _, lake = landed
    for extract in counts:
        frame = lake(extract).select(pl.selectors.string())
        for column in frame.columns:
            assert not words & set(frame[column].to_list()), column


# ----------------------------------------------------------------------------------------------------------- files


def test_files_are_hourly_hold_something_and_are_framed_as_their_interfaces_do(simulated, said):
    world, out = simulated
    held = defaultdict(list)
    for message in said:
        held[message.path].append(message)
    paths = sorted((out / "ehr_hl7").glob("*/*"))
    assert paths == sorted(held)
    for path, messages in held.items():
        kind, day, hour = re.fullmatch(r"(DFT|SIU|ADT|MFN)_(\d{8})_(\d\d)\.hl7", path.name).groups()
        assert path.parent.name == day
        slot = datetime.strptime(day + hour, "%Y%m%d%H")
        assert all(message.get("MSH", 9) == kind and message.at < slot for message in messages)
        content = path.read_bytes()
        in_batches = [message for message in messages if message.get("MSH", 4) == "SHSH1"]
        assert re.findall(rb"BTS\|(\d+)", content) == [str(len(in_batches)).encode()] * bool(in_batches)
        assert content.startswith(b"FHS") == content.endswith(b"FTS|1\r") == bool(in_batches)
    ends = defaultdict(set)
    for message in said:
        ends[message.get("MSH", 4)].add(message.raw.endswith(b"\r\n"))
    assert ends == {"SHSH1": {False}, "SHSH2": {True}, "SHSH5": {True}}
    latin = [message for message in said if message.get("MSH", 18) == "8859/1"]
    assert {message.get("MSH", 4) for message in latin} == {"SHSH5"}
    assert any(b"\xfc" in message.raw for message in latin)
    hashes = [file.content_hash for file in world.files if file.system == "ehr_hl7"]
    assert len(hashes) == len(set(hashes))


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    def digests(name):
        build_world(tmp_path / name, START, 4, 0.01, 3)
        files = sorted((tmp_path / name / "ehr_hl7").glob("*/*"))
        return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]

    assert digests("first") == digests("second") != []


# ---------------------------------------------------------------------------------------------------------- content


def test_charges_sent_are_charges_posted_where_nothing_goes_wrong(tmp_path):
    world, _, _ = build_world(tmp_path, START, 9, 0.02, 4, defects=False, quirks=False)
    sent = defaultdict(Decimal)
    floor = 0
    for message, ft1 in charges(said_in(tmp_path)):
        if message.at.date() <= world.end - timedelta(days=4):
            sent[message.get("PID", 18), ft1[7].split("^")[0]] += Decimal(ft1[11].split("&")[0])
            floor += not fields(ft1, 23)
            assert fields(ft1, 2)
    posted = defaultdict(Decimal)
    for tx in world.charges:
        if tx.tx_type == 1 and tx.charge_code != ROOM:
            posted[tx.account, tx.charge_code] += tx.amount
    assert sent and floor
    assert sent == {key: posted[key] for key in sent}


def test_a_charge_carries_its_item_its_implant_and_the_scanned_identifier(simulated, said):
    world, _ = simulated
    implants = {line.implant_id: line for line in world.usage if line.record == "implant"}
    logs = {case.log_id for case in world.cases}
    seen = Counter()
    for message in said:
        for place, segment in enumerate(message.segments):
            if segment[0] == "ZFT":
                ft1 = message.segments[place - 1]
                assert ft1[0] == "FT1" and fields(ft1, 23).split("^")[0] in logs
                line = implants.get(fields(segment, 2))
                if line is not None:
                    assert fields(segment, 1) == (line.supply_id or "")
                    assert fields(segment, 3) == (line.lot or "")
                    lot = f"10{line.lot}" if line.lot else ""
                    serial = f"21{line.serial}" if line.serial else ""
                    whole = lot + ("\\X1D\\" if lot and serial else "") + serial
                    is_gs1 = fields(segment, 4).startswith("01")
                    assert not is_gs1 or fields(segment, 4).endswith(whole)
                    seen["implant"] += is_gs1
                seen["supply"] += line is None
    assert seen["implant"] and seen["supply"]


def test_the_separator_of_a_scan_with_lot_and_serial_is_escaped(simulated):
    world, _ = simulated
    line = next(entry for entry in world.usage if entry.lot and entry.item_key and entry.record == "implant")
    line = replace(line, serial="S1", lot="L1", expiry_date=date(2027, 3, 31))
    item = replace(world.items[line.item_key], udi_type=1)
    gtin = item.packages[0].gtin
    assert escaped(scanned(item, line)) == f"01{gtin}1727033110L1\\X1D\\21S1"
    assert scanned(replace(item, udi_type=2, hibc="+H123A1J"), line)[:-1] == "+H123A1/$$3270331L1/SS1"
    assert escaped(scanned(replace(item, udi_type=3), line)).endswith("=>027090\\T\\,10000000000000000L1")


def test_appointments_follow_the_schedule(simulated, said):
    world, _ = simulated
    by_case = defaultdict(list)
    for message in said:
        if message.get("MSH", 9) == "SIU":
            by_case[message.get("SCH", 2)].append(message)
    for case in {case.case_id: case for case in world.cases}.values():
        messages = sorted(by_case[case.case_id], key=lambda message: message.at)
        assert messages[0].event == "S12" and messages[-1].event != "S15"
        assert all(message.at.date() < case.surgery_date for message in messages)
        last = messages[-1]
        assert last.get("SCH", 11, 4)[:14] == f"{case.started_at:%Y%m%d%H%M%S}"
        assert (last.get("AIS", 3), last.get("AIP", 3)) == (case.procedure_id, case.surgeon_id)
    assert any(messages[-1].event == "S15" for messages in by_case.values())


def test_a_stay_begins_and_ends_once(simulated, said):
    world, _ = simulated
    stays = defaultdict(list)
    for message in said:
        if message.get("MSH", 9) == "ADT" and message.event != "A40":
            stays[message.get("PV1", 19)].append(message)
    for messages in stays.values():
        assert [message.event in ("A01", "A04") for message in messages].count(True) == 1
        first = min(messages, key=lambda message: message.at)
        assert first.get("PV1", 2) == "I" or first.event == "A04"
        ends = [message for message in messages if message.event == "A03"]
        assert len(ends) <= 1 and all(message.get("PV1", 45) for message in ends)
    known = {state.account for state in world.accounts}
    told = {messages[0].get("PID", 18) for messages in stays.values()}
    # The census keeps no events of single accounts (test_census).
    assert {account for account in told if int(account) < FIRST_ACCOUNT} <= known
    assert any(int(account) >= FIRST_ACCOUNT for account in told)


# ------------------------------------------------------------------------------------------------------------ quirks


def test_q25_charge_messages_come_again_under_the_same_and_under_a_new_control_id(said):
    messages = [message for message in said if message.event == "P03"]
    times = Counter(message.key for message in messages)
    assert any(count > 1 for count in times.values())
    by_charge = defaultdict(set)
    for message, ft1 in charges(messages):
        if fields(ft1, 2):
            by_charge[message.get("MSH", 4), ft1[2], ft1[6], fields(ft1, 10)].add(message.get("MSH", 10))
    assert any(len(ids) > 1 for ids in by_charge.values())


def test_q26_credits_are_written_as_each_hospital_does(said):
    credits = defaultdict(set)
    for message, ft1 in charges(said):
        if ft1[6] == "CD" or ft1[10].startswith("-"):
            credits[message.get("MSH", 4)].add((ft1[6], ft1[10].startswith("-"), ft1[11].startswith("-")))
    assert credits == {
        "SHSH1": {("CD", False, False)},
        "SHSH2": {("CD", False, False)},
        "SHSH5": {("CG", True, True)},
    }


def test_q27_and_q31_transaction_ids_and_quantities_are_left_out(said, landed):
    rows = charges(said)
    assert 0 < sum(not ft1[2] for _, ft1 in rows) < len(rows) / 4
    bare = [(message, ft1) for message, ft1 in rows if not ft1[10]]
    assert bare and all(len(ft1) < 31 for _, ft1 in bare)
    assert all(ft1[11] == ft1[12] for _, ft1 in bare)
    assert landed[3]("DFT_P03_FT1").filter(pl.col("ft1_qty").is_null()).height > 0


def test_q28_descriptions_hold_escapes_and_a_bare_pair_of_backslashes(said):
    texts = [itm[2] for message in said for itm in message.all("ITM")]
    assert any("\\T\\" in text for text in texts)
    assert any("\\S\\" in text and "\\F\\" in text and "\\R\\" in text for text in texts)
    assert any(text.endswith(" 2\\\\3") for text in texts)


def test_q29_merges_come_after_facts_under_the_retired_number(said):
    merges = [message for message in said if message.event == "A40"]
    assert merges
    for merge in merges:
        retired, survivor = merge.get("MRG", 1), merge.get("PID", 3)
        assert retired != survivor
        under_it = [message.at for message in said if message.get("PID", 3) == retired]
        assert under_it and max(under_it) < merge.at
        assert any(message.get("PID", 3) == survivor and message.at < merge.at for message in said)


def test_q30_updates_come_out_of_order(said):
    latest = {}
    late = 0
    for message in said:
        if message.event == "A08":
            stay = message.get("PV1", 19)
            late += message.at < latest.get(stay, message.at)
            latest[stay] = max(message.at, latest.get(stay, message.at))
    assert late


def test_q32_an_item_has_another_gtin_from_another_vendor(said):
    gtins = defaultdict(dict)
    for message in said:
        item = vendor = None
        for segment in message.segments:
            item = segment[1] if segment[0] == "ITM" else item
            vendor = segment[2] if segment[0] == "VND" else vendor
            if segment[0] == "PKG":
                gtins[item, segment[2]][vendor] = segment[8]
                total = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(segment[8]))
                assert len(segment[8]) == 14 and total % 10 == 0
    several = [each for each in gtins.values() if len(each) > 1]
    assert several and all(len(set(each.values())) == len(each) for each in several)
