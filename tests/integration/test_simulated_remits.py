"""Simulated remittances: the standard, balance, tie to billing, oddities, and that all of it lands."""

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import polars as pl
import pytest

from ingest.clock import AsOf
from ingest.formats.remittance import remittance_balance
from ingest.quarantine import list_rows
from ingest.run import ingest
from tests.unit.ingest.x12_builder import read_all
from tests.unit.simulator.billing_world import billing_world
from tests.unit.simulator.peers import is_accepted_remittance, refused_remittances

EXTRACTS = {
    "REMIT_835_PAYMENT": "ST",
    "REMIT_835_CLAIM": "CLP",
    "REMIT_835_SERVICE": "SVC",
    "REMIT_835_ADJ": "CAS",
    "REMIT_835_PLB": "PLB",
}


@dataclass
class Part:
    """A claim or service with the segments that stand under it, split by hand."""

    head: list
    segments: list = field(default_factory=list)
    services: list = field(default_factory=list)

    def adjustments(self):
        for segment in self.segments:
            if segment[0] == "CAS":
                for at in range(2, len(segment), 3):
                    yield segment[1], segment[at], Decimal(segment[at + 1])

    def adjusted(self, *groups):
        own = sum(amount for group, _, amount in self.adjustments() if not groups or group in groups)
        return own + sum(service.adjusted(*groups) for service in self.services)

    def get(self, name, qualifier):
        return next((each[2] for each in self.segments if each[0] == name and each[1] == qualifier), None)


@dataclass
class Said:
    """One set of a file."""

    path: object
    day: date
    component: str
    head: list = field(default_factory=list)
    claims: list = field(default_factory=list)
    plb: list = field(default_factory=list)

    @property
    def bpr(self):
        return next(segment for segment in self.head if segment[0] == "BPR")

    @property
    def provider(self):
        for segment in self.plb:
            for at in range(3, len(segment), 2):
                yield segment[at].split(self.component)[0], Decimal(segment[at + 1])


def segments_of(path):
    text = path.read_bytes().decode()
    element, component, mark = text[3], text[104], text[105]
    return component, [part.strip("\r\n").split(element) for part in text.split(mark) if part.strip("\r\n")]


def sets_of(path):
    component, segments = segments_of(path)
    folder = path.parent.name
    sets, part = [], None
    for segment in segments:
        if segment[0] == "ST":
            sets.append(Said(path, date(int(folder[:4]), int(folder[4:6]), int(folder[6:])), component))
            part = None
        elif segment[0] == "CLP":
            part = Part(segment)
            sets[-1].claims.append(part)
        elif segment[0] == "SVC":
            part = Part(segment)
            sets[-1].claims[-1].services.append(part)
        elif segment[0] in ("LX", "TS3", "SE", "GE"):
            part = None
        elif segment[0] == "PLB":
            sets[-1].plb.append(segment)
        elif part is not None:
            part.segments.append(segment)
        elif sets:
            sets[-1].head.append(segment)
    return sets


@dataclass
class Landing:
    out: object
    world: object
    charging: object
    files: list
    sets: list


def billed(out, **options):
    world, charging = billing_world(out, accounts=320, **options)
    files = sorted((out / "hb" / "835").glob("*/*.835"))
    return Landing(out, world, charging, files, [said for path in files for said in sets_of(path)])


@pytest.fixture(scope="module")
def landing(tmp_path_factory):
    return billed(tmp_path_factory.mktemp("billing"))


def claims_of(landing):
    return [(said, claim) for said in landing.sets for claim in said.claims]


def test_pyx12_accepts_every_set_and_every_payer_sends_each_kind(landing):
    kinds = {
        (said.path.name[:5], kind)
        for said in landing.sets
        for kind in (
            *((claim.head[2], claim.head[8]) for claim in said.claims),
            *(reason for reason, _ in said.provider),
        )
    }
    assert len({payer for payer, _ in kinds}) == 4
    wanted = {"FB", "WO", "L6", ("1", "11"), ("1", "13"), ("4", "11"), ("4", "13"), ("22", "13")}
    assert wanted <= {kind for _, kind in kinds}
    assert refused_remittances(landing.files) == []


def test_pyx12_refuses_a_set_without_its_payee(landing):
    text = next(path for path in landing.files if path.name.startswith("99001")).read_text()
    assert is_accepted_remittance(text)
    assert not is_accepted_remittance("".join(line for line in text.splitlines(True) if not line.startswith("N1*PE")))


def test_payments_claims_and_services_balance(landing):
    for said in landing.sets:
        paid = sum(Decimal(claim.head[4]) for claim in said.claims)
        assert Decimal(said.bpr[2]) == paid - sum(amount for _, amount in said.provider) >= 0
        assert said.bpr[16] == f"{said.day:%Y%m%d}"
    for _, claim in claims_of(landing):
        charge, paid = Decimal(claim.head[3]), Decimal(claim.head[4])
        assert charge - claim.adjusted() == paid
        owed = claim.adjusted("PR")
        assert Decimal(claim.head[5] or 0) == (owed if owed > 0 else 0)
        for service in claim.services:
            assert Decimal(service.head[2]) - service.adjusted() == Decimal(service.head[3])
        if claim.services:
            assert charge == sum(Decimal(service.head[2]) for service in claim.services)


def test_the_reader_finds_the_same_balance(landing):
    balance = remittance_balance(read_all([path.read_bytes() for path in landing.files], "835"))
    assert balance.height == len(landing.sets)
    for name in ("payment_difference", "claim_difference", "service_difference", "claims_off", "services_off"):
        assert balance.filter(pl.col(name) == 0).height == balance.height, name


def test_claims_tie_to_the_payments_and_adjustments_that_billing_posts(landing):
    """A denial posts nothing, a reversal and its corrected claim cancel out."""
    told = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for said, claim in claims_of(landing):
        entry = told[claim.head[1].rstrip("ABC"), said.day]
        entry[0] += Decimal(claim.head[4])
        entry[1] += claim.adjusted("CO", "OA", "PI") if claim.head[2] != "4" else 0
    posted = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for tx in landing.world.charges:
        if tx.tx_type != 1 and tx.post_date == tx.known_at.date():
            posted[tx.account, tx.post_date][0 if tx.tx_type == 2 else 1] -= tx.amount
    assert len(posted) > 250
    assert {key: value for key, value in told.items() if any(value)} == posted
    postings = sum(each.amount for each in landing.world.postings if each.event == "E19")
    assert postings == sum(paid for paid, _ in told.values())


def test_q49_inpatient_claims_have_no_service_lines_and_absent_units_mean_one(landing):
    units = set()
    for _, claim in claims_of(landing):
        assert bool(claim.services) == (claim.head[8] == "13")
        assert (claim.head[11:12] == ["470"]) == (claim.head[8] == "11")
        for service in claim.services:
            units.add(service.head[5] if len(service.head) > 5 else "")
            if len(service.head) > 7:
                assert service.head[7] != (service.head[5] or "1")
    assert "" in units and "0" in units and len(units) > 3 and "1" not in units


def test_q51_a_denied_claim_comes_again_with_a_letter_and_is_paid(landing):
    denied = {claim.head[1]: (said.day, claim) for said, claim in claims_of(landing) if claim.head[2] == "4"}
    assert {group for _, claim in denied.values() for group in ("CO", "PR") if claim.adjusted(group)} == {"CO", "PR"}
    again = {claim.head[1]: (said.day, claim) for said, claim in claims_of(landing) if claim.get("REF", "F8")}
    followed = 0
    for account, (day, claim) in denied.items():
        assert Decimal(claim.head[4]) == 0
        if account + "A" in again:
            paid_on, paid = again[account + "A"]
            assert paid_on > day and paid.head[2] == "1" and paid.head[9] == "7"
            assert paid.get("REF", "F8") == claim.head[7]
            followed += 1
    assert followed > len(denied) / 2


def test_q51_a_reversal_takes_back_an_earlier_claim_and_a_corrected_one_follows(landing):
    earlier, reversals = {}, 0
    for said in landing.sets:
        for at, claim in enumerate(said.claims):
            if claim.head[2] != "22":
                earlier.setdefault(claim.head[7], (said.day, claim))
                continue
            reversals += 1
            day, first = earlier[claim.head[7]]
            assert day < said.day and first.head[1] == claim.head[1]
            assert [Decimal(value) for value in claim.head[3:5]] == [-Decimal(value) for value in first.head[3:5]]
            assert claim.adjusted() == -first.adjusted()
            corrected = said.claims[at + 1]
            assert corrected.head[1] == claim.head[1].rstrip("A") + ("B" if claim.head[1].endswith("A") else "A")
            assert corrected.head[3:5] == first.head[3:5] and corrected.get("REF", "F8") == claim.head[7]
    assert reversals >= 4


def test_q50_a_recoupment_above_the_payment_is_carried_to_the_next_ones(landing):
    balance, carried = defaultdict(Decimal), 0
    for said in landing.sets:
        hospital = said.path.name[:5], next(each[4] for each in said.head if each[:2] == ["N1", "PE"])
        forwarded = sum(amount for reason, amount in said.provider if reason == "FB")
        carried += forwarded > 0
        balance[hospital] -= forwarded
        assert balance[hospital] >= 0
        if any(reason == "L6" for reason, _ in said.provider):
            assert min(amount for _, amount in said.provider) < 0
    assert carried


def test_control_and_trace_numbers_are_never_used_twice(landing):
    heads = [segments_of(path)[1][0] for path in landing.files]
    assert len({(head[6], head[13]) for head in heads}) == len(landing.files)
    traces = [segment[2] for said in landing.sets for segment in said.head if segment[0] == "TRN"]
    assert len(set(traces)) == len(traces)
    assert len({(path.read_bytes()[3:4], path.read_bytes()[104:106]) for path in landing.files}) == 4
    assert any(said.path == other.path for said, other in zip(landing.sets, landing.sets[1:], strict=False))


def test_every_row_lands_and_no_name(landing, tmp_path):
    ingest(landing.out, tmp_path, AsOf.end_of(landing.world.end), "remits")
    assert list_rows(tmp_path) == []
    attempts = pl.read_parquet(tmp_path / "lake/meta/attempts.parquet")
    for extract, name in EXTRACTS.items():
        frame = pl.read_parquet(sorted((tmp_path / "lake/raw/hb" / extract).glob("*.parquet")))
        written = [segment for path in landing.files for segment in segments_of(path)[1] if segment[0] == name]
        if name == "CAS":
            rows = sum(len(range(2, len(segment), 3)) for segment in written)
        else:
            rows = len(written) if name != "PLB" else sum((len(segment) - 3) // 2 for segment in written)
        told = attempts.filter(pl.col("extract") == extract)["rows_landed"].sum()
        assert (frame.height, told) == (rows, rows), extract
        assert not re.search(r"CANARY|\b98765\d{4}\b|\b600000\d{3}\b", frame.write_csv()), extract
    stated = [each for each in landing.world.files if each.extract == "REMIT_835_PAYMENT"]
    assert (len(stated), sum(each.rows for each in stated)) == (len(landing.files), len(landing.sets))


def test_without_quirks_no_letters_reversals_and_provider_adjustments(tmp_path):
    plain = billed(tmp_path, quirks=False)
    assert plain.files
    assert not any(said.plb for said in plain.sets)
    for _, claim in claims_of(plain):
        assert claim.head[1].isdigit() and claim.head[2] in ("1", "4") and claim.services


def test_the_same_seed_gives_the_same_bytes(landing, tmp_path):
    again = billed(tmp_path)
    digests = [
        [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in each.files] for each in (landing, again)
    ]
    assert digests[0] == digests[1]
