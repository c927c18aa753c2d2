"""Deliveries whose files feed several extracts, or state their own totals: from file to lake."""

import gzip
import json

import pytest

from ingest.formats import hl7v2
from ingest.quarantine import list_rows
from tests.unit.ingest.landing_builder import Landing, attempts, lake, row, run
from tests.unit.ingest.x12_builder import group, interchange, transaction

DAY = "20260105"


@pytest.fixture
def landing(tmp_path):
    return Landing(tmp_path / "landing")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def put(landing, name, content):
    path = landing.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def by_extract(home, column="outcome"):
    return {each["extract"]: each[column] for each in attempts(home)}


def message(number, kind, *segments):
    head = f"MSH|^~\\&|EPIC|SHSH1|SUTURE|SHS|20260105080000||{kind}|M{number}|P|2.5.1"
    return "\r".join([head, *segments]) + "\r"


def charge(number, transaction, code="4001", quantity="2", set_id=1):
    return message(
        number,
        "DFT^P03^DFT_P03",
        "PID|1||E0000007^^^SHS^MR||PRIVATE^PAT||||||||||||600000007",
        "PV1|1|O|||||||||||||||||300000007",
        f"FT1|{set_id}|{transaction}|B1|20260105|20260105|CG|{code}|||{quantity}",
    )


def catalogue(number):
    return message(
        number,
        "MFN^M16^MFN_M16",
        "MFI|INV|||||",
        "MFE|MAD|1||100001",
        "ITM|100001|SUTURE NEEDLE|A",
        "VND|1|V1||C-1|Y",
        "PKG|1|BX|Y|12",
        "PKG|2|EA|N|1",
        "IVT|1|H1STR",
    )


def test_one_file_lands_in_every_extract_that_it_feeds(landing, home):
    put(landing, f"ehr_hl7/{DAY}/MFN_{DAY}_08.hl7", catalogue(1))
    run(landing, home)
    assert by_extract(home, "rows_landed") == {"MFN_ITEM": 1, "MFN_PACKAGE": 2, "MFN_LOCATION": 1}
    assert lake(home, "ehr_hl7.MFN_PACKAGE")["package_unit"].to_list() == ["BX", "EA"]
    report = run(landing, home)
    assert report.files == 0


def test_the_same_file_under_another_name_brings_nothing(landing, home):
    for hour in ("08", "09"):
        put(landing, f"ehr_hl7/{DAY}/MFN_{DAY}_{hour}.hl7", catalogue(1))
    run(landing, home)
    assert [each["outcome"] for each in attempts(home)] == ["landed"] * 3 + ["ignored_duplicate"] * 3
    assert run(landing, home).files == 0


def test_a_replay_under_a_new_message_id_is_repeated_and_a_charge_without_id_falls_back(landing, home):
    first = charge(1, "T1") + charge(2, "") + charge(3, "T3", quantity="")
    again = charge(11, "T1") + charge(2, "") + charge(13, "T3", quantity="1")
    put(landing, f"ehr_hl7/{DAY}/DFT_{DAY}_08.hl7", first)
    put(landing, f"ehr_hl7/{DAY}/DFT_{DAY}_09.hl7", again + charge(12, ""))
    run(landing, home)
    assert lake(home, "ehr_hl7.DFT_P03_FT1")["message_id"].to_list() == ["M1", "M2", "M3", "M12"]
    assert [each["rows_repeated"] for each in attempts(home)] == [0, 3]


def test_a_bad_message_costs_itself_and_is_counted_with_its_line(landing, home):
    bad = "MSH|^~\\&|EPIC|SHSH1|SUTURE|SHS|20260105080000||ADT^A08|M2|P|2.5.1\rEVN||20260105\r"
    put(landing, f"ehr_hl7/{DAY}/DFT_{DAY}_08.hl7", charge(1, "T1") + bad + charge(3, "T3"))
    report = run(landing, home)
    assert (report.rows_delivered, report.rows_landed, report.rows_quarantined) == (3, 2, 1)


def test_rows_of_one_line_are_refused_each_for_itself(landing, home):
    """A segment may hold several adjustments: they share their line."""
    isa = "ISA*00*          *00*          *ZZ*PAYER          *ZZ*SHS            *260105*0700*^*00501*000000007*0*P*:~"
    segments = [
        "ST*835*0001",
        "BPR*I*30*C*CHK************20260105",
        "TRN*1*T1*1999999999",
        "N1*PR*PAYER*XV*P1",
        "N1*PE*SHS*XX*2000001018",
        "LX*1",
        "CLP*600000007*1*100*30*0*MC*C1",
        "CAS*XX*45*60.00**253*10.00",
    ]
    body = "~".join([*segments, f"SE*{len(segments) + 1}*0001"]) + "~"
    group = f"GS*HP*PAYER*SHS*20260105*0700*7*X*005010X221A1~{body}GE*1*7~"
    put(landing, f"hb/835/{DAY}/P1_T1.835", f"{isa}{group}IEA*1*000000007~")
    run(landing, home)
    assert by_extract(home, "rows_landed")["REMIT_835_CLAIM"] == 1
    assert by_extract(home, "rows_quarantined")["REMIT_835_ADJ"] == 2


INVOICE = (
    "BIG*20260105*INV1*20260102*PO1***DI",
    "N1*RE*ACME*UL*0088000000099",
    "SAC*C*D240***500",
    "IT1*1*10*BX*12.50**IN*700001",
    "IT1*2*3*EA*.5**IN*700002",
    "TDS*12650",
    "CTT*2",
)


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("BIG*20260105", "BIG*20260230", "INV810_HEAD.invoice_date: not a date(yyyyMMdd)"),
        ("TDS*12650", "TDS*126.50", "INV810_HEAD.total: no whole number where two decimals are implied"),
    ],
)
def test_an_invoice_whose_head_is_refused_goes_whole(landing, home, right, wrong, reason):
    second = [segment.replace(right, wrong) for segment in INVOICE]
    sets = [transaction("810", f"{at:04d}", *(second if at == 2 else INVOICE)) for at in (1, 2, 3)]
    put(landing, f"edi/{DAY}/810/ACME_000000077.edi", interchange(group(sets, code="IN"), sender="ACME"))
    report = run(landing, home)
    assert by_extract(home, "rows_quarantined") == {
        "ENVELOPE": 1,
        "INV810_HEAD": 0,
        "INV810_LINE": 0,
        "INV810_SAC": 0,
    }
    assert by_extract(home, "rows_landed") == {"ENVELOPE": 2, "INV810_HEAD": 2, "INV810_LINE": 4, "INV810_SAC": 2}
    for name in by_extract(home):
        assert set(lake(home, f"edi.{name}")["st02"]) == {"0001", "0003"}
    assert report.rows_delivered == report.rows_landed + report.rows_quarantined + report.rows_repeated
    for each in attempts(home):
        parts = each["rows_landed"] + each["rows_quarantined"] + each["rows_repeated"]
        assert each["rows_delivered"] == parts, each["extract"]
    (refused,) = list_rows(home)
    assert (refused.feed, refused.line, refused.column, refused.reason) == ("edi.ENVELOPE", 12, None, reason)


def test_a_line_that_is_refused_takes_no_other_with_it(landing, home):
    content = interchange(group([transaction("810", "0001", *INVOICE)], code="IN"), sender="ACME")
    put(landing, f"edi/{DAY}/810/ACME_000000077.edi", content.replace(b"IT1*2*3*", b"IT1*2*X*"))
    run(landing, home)
    assert by_extract(home, "rows_landed") == {"ENVELOPE": 1, "INV810_HEAD": 1, "INV810_LINE": 1, "INV810_SAC": 1}
    assert by_extract(home, "rows_quarantined")["INV810_LINE"] == 1


def test_a_remittance_whose_payment_is_refused_goes_whole_and_its_correction_lands(landing, home):
    payment = [
        "BPR*I*30*C*CHK************20260105",
        "TRN*1*T1*1999999999",
        "N1*PR*PAYER*XV*P1",
        "N1*PE*SHS*XX*2000001018",
        "LX*1",
        "CLP*600000007*1*100*30*0*MC*C1",
        "CAS*CO*45*60.00**253*10.00",
    ]
    content = interchange(
        group([transaction("835", "0001", *payment)], code="HP", version="005010X221A1"), sender="PAYER"
    )
    name = f"hb/835/{DAY}/P1_T1.835"
    put(landing, name, content.replace(b"*20260105~TRN", b"*20260230~TRN"))
    report = run(landing, home)
    assert (report.rows_delivered, report.rows_landed, report.rows_quarantined) == (1, 0, 1)
    put(landing, name, content)
    report = run(landing, home)
    assert (report.rows_landed, report.rows_quarantined) == (4, 0)
    assert not list_rows(home)


def test_nothing_of_a_patient_lands_from_a_message(landing, home):
    put(landing, f"ehr_hl7/{DAY}/DFT_{DAY}_08.hl7", charge(1, "T1"))
    run(landing, home)
    for path in (home / "lake").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"PRIVATE" not in content and b"E0000007" not in content and b"600000007" not in content


def test_a_large_file_lands_in_pieces_as_it_would_whole(landing, home, tmp_path, monkeypatch):
    text = "".join(charge(number, f"T{number % 50}") for number in range(80))
    put(landing, f"ehr_hl7/{DAY}/DFT_{DAY}_08.hl7", text)
    run(landing, tmp_path / "whole")
    monkeypatch.setattr("ingest.sources.PIECE", 2_000)
    pieces = []
    original = hl7v2.read
    monkeypatch.setattr(hl7v2, "read", lambda texts, *rest: pieces.append(texts) or original(texts, *rest))
    run(landing, home)
    assert len(pieces) > 5
    columns = ["message_id", "ft1_transaction_id", "_file", "_line", "_key_hash"]
    whole, cut = (lake(each, "ehr_hl7.DFT_P03_FT1").select(columns) for each in (tmp_path / "whole", home))
    assert cut.equals(whole)
    assert attempts(home)[0]["rows_landed"] == 50


def test_a_snapshot_of_one_database_says_nothing_of_the_other(landing, home):
    for database in ("1", "2"):
        text = "\r\n".join(["CORP_ID|CORP_IDB|NAME", f"601|{database}|A", f"602|{database}|B", ""])
        put(landing, f"mmis/{DAY}/db{database}/CORP.txt", text)
    put(landing, "mmis/20260106/db2/CORP.txt", "CORP_ID|CORP_IDB|NAME\r\n601|2|A\r\n")
    run(landing, home)
    landed = lake(home, "mmis.CORP").sort("_delivered", "_file", "_line")
    gone = landed.filter(landed["_op"] == "D")
    assert gone.select("CORP_ID", "CORP_IDB", "_file").rows() == [("602", "2", "mmis/20260106/db2/CORP.txt")]


def test_the_same_bytes_from_two_databases_are_two_pictures(landing, home):
    text = "TYPE_CD|CODE|DESCR\r\nUM|000101EA|each\r\n"
    for day in (DAY, "20260106"):
        for database in ("1", "2"):
            put(landing, f"mmis/{day}/db{database}/CODE_TABLE.txt", text)
    run(landing, home)
    assert lake(home, "mmis.CODE_TABLE")["IDB"].sort().to_list() == ["1", "2"]
    assert [each["outcome"] for each in attempts(home)] == ["landed", "landed", "repeated", "repeated"]


def test_a_table_that_ends_within_a_line_is_refused_where_no_manifest_vouches_for_it(landing, home):
    put(landing, f"mmis/{DAY}/db1/CORP.txt", "CORP_ID|CORP_IDB|NAME\r\n601|1|A\r\n602|1|B\r\n")
    put(landing, "mmis/20260106/db1/CORP.txt", "CORP_ID|CORP_IDB|NAME\r\n601|1|A\r\n60")
    run(landing, home)
    assert [each["reason"] for each in attempts(home)] == [None, "cut: the last line has no end"]
    assert set(lake(home, "mmis.CORP")["_op"]) == {"U"}


def test_bytes_that_are_no_table_are_refused_and_the_others_go_on(landing, home):
    """Something packed under the name of a table stopped the ingest of every system."""
    head = b"CORP_ID|CORP_IDB|NAME\r\n"
    marks = bytes(code for code in range(1, 32) if code not in (10, 13))
    put(landing, f"mmis/{DAY}/db1/CORP.txt", head + b"601|1|" + marks[:14] + b"\r\n")
    put(landing, f"mmis/{DAY}/db2/CORP.txt", head + b"601|2|" + marks[14:] + b"\r\n")
    put(landing, "mmis/20260106/db1/CORP.txt", head + b"601|1|" + marks + b"\r\n")
    put(landing, "mmis/20260106/db2/CORP.txt", head + b"601|2|" + marks[1:] + b"\r\n")
    run(landing, home)
    assert [each["outcome"] for each in attempts(home)] == ["landed", "landed", "quarantined", "quarantined"]


def test_a_column_of_the_path_is_filled_from_it(landing, home):
    put(landing, f"mmis/{DAY}/db2/CODE_TABLE.txt", "TYPE_CD|CODE|DESCR\r\nUM|000101EA|each\\|one\r\n")
    run(landing, home)
    assert lake(home, "mmis.CODE_TABLE").select("IDB", "CODE", "DESCR").rows() == [("2", "000101EA", "each|one")]


def transactions(quantities, rows=None, total=None):
    def record(text):
        return text.ljust(200)

    def signed(value, width):
        return f"{abs(value):0{width - 1}d}{'-' if value < 0 else ' '}"

    lines = [record("HMMIS    1260105001")]
    for number, quantity in enumerate(quantities, 1):
        lines.append(
            record(
                f"D{number:07d}{number:09d}601ISH6STR       {'100001':15}{signed(quantity, 10)}EA"
                f"{signed(25000, 12)}2601040815"
            )
        )
    count = len(quantities) if rows is None else rows
    lines.append(record(f"T{count:09d}{signed(sum(quantities) if total is None else total, 14)}"))
    return "\r\n".join([*lines, ""])


def test_a_fixed_width_file_lands_with_its_trailer_checked(landing, home):
    put(landing, f"mmis/{DAY}/db1/TXN260105.DAT", transactions([-150, 200]))
    run(landing, home)
    assert lake(home, "mmis.TXN")["QTY"].to_list() == ["-1.50", "2.00"]
    txn = next(each for each in attempts(home) if each["extract"] == "TXN")
    assert (txn["manifest_rows"], txn["manifest_hash_ok"]) == (2, True)


def test_the_total_of_a_copy_is_checked_like_that_of_the_first(landing, home):
    for day in (DAY, "20260106"):
        put(landing, f"mmis/{day}/db1/TXN260105.DAT", transactions([-150, 200]))
    run(landing, home)
    told = [(each["outcome"], each["manifest_hash_ok"]) for each in attempts(home) if each["extract"] == "TXN"]
    assert told == [("landed", True), ("ignored_duplicate", True)]


def test_another_total_in_the_trailer_lands_and_is_told(landing, home):
    put(landing, f"mmis/{DAY}/db1/TXN260105.DAT", transactions([-150, 200], total=60))
    run(landing, home)
    txn = next(each for each in attempts(home) if each["extract"] == "TXN")
    assert (txn["rows_landed"], txn["manifest_hash_ok"]) == (2, False)


def test_fewer_records_than_the_trailer_states_refuse_the_file(landing, home):
    put(landing, f"mmis/{DAY}/db1/TXN260105.DAT", transactions([-150, 200], rows=3))
    report = run(landing, home)
    assert report.rows_landed == 0
    assert set(by_extract(home).values()) == {"quarantined"}


def test_a_gzipped_extract_is_the_extract(landing, home):
    file = landing.put("ehr.OR_PROC", DAY, [row("ehr.OR_PROC", OR_PROC_ID="1")])
    path = landing.root / file
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()
    run(landing, home)
    assert lake(home, "ehr.OR_PROC")["_file"].to_list() == [f"{file}.gz"]


def export(landing, day, moment, output=(), deleted=()):
    """A bulk export: files by name, then the manifest."""
    for name, resources in (*output, *deleted):
        text = "".join(json.dumps(resource) + "\n" for resource in resources)
        put(landing, f"ehr_fhir/{day}/{name}", gzip.compress(text.encode(), mtime=0))
    manifest = {
        "transactionTime": moment,
        "output": [{"type": name.split(".")[0], "url": f"https://host/{name}", "count": len(r)} for name, r in output],
        "deleted": [{"type": "Bundle", "url": f"https://host/{name}"} for name, _ in deleted],
        "error": [],
    }
    put(landing, f"ehr_fhir/{day}/manifest.json", json.dumps(manifest))


def supply(identity, version):
    return {
        "resourceType": "SupplyDelivery",
        "id": identity,
        "meta": {"versionId": str(version), "lastUpdated": f"2026-01-0{version}T06:00:00Z"},
        "status": "completed",
    }


def deletion(identity):
    entry = {"request": {"method": "DELETE", "url": f"SupplyDelivery/{identity}"}}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


def test_a_deletion_lands_once_and_a_resource_may_come_back(landing, home):
    export(landing, "20260104", "2026-01-04T05:00:00Z", [("SupplyDelivery.1.ndjson.gz", [supply("a", 1)])])
    for day in ("20260105", "20260106"):
        export(landing, day, "2026-01-05T05:00:00Z", deleted=[("deleted.1.ndjson.gz", [deletion("a")])])
    export(landing, "20260107", "2026-01-07T05:00:00Z", [("SupplyDelivery.2.ndjson.gz", [supply("a", 3)])])
    run(landing, home)
    landed = lake(home, "ehr_fhir.SupplyDelivery").sort("_delivered")
    assert landed["_op"].to_list() == ["U", "D", "U"]
    assert landed["last_updated"].to_list()[1] == "2026-01-05T05:00:00Z"
    assert run(landing, home).files == 0


def test_a_resource_deleted_twice_in_the_same_words_is_deleted_twice(landing, home):
    """The list of deletions is the same bytes; the moment that its manifest states is another."""
    export(landing, "20260104", "2026-01-04T05:00:00Z", [("SupplyDelivery.1.ndjson.gz", [supply("a", 1)])])
    export(landing, "20260105", "2026-01-05T05:00:00Z", deleted=[("deleted.1.ndjson.gz", [deletion("a")])])
    export(landing, "20260106", "2026-01-06T05:00:00Z", [("SupplyDelivery.2.ndjson.gz", [supply("a", 3)])])
    export(landing, "20260107", "2026-01-07T05:00:00Z", deleted=[("deleted.1.ndjson.gz", [deletion("a")])])
    run(landing, home)
    landed = lake(home, "ehr_fhir.SupplyDelivery").sort("_delivered")
    assert landed["_op"].to_list() == ["U", "D", "U", "D"]
    assert landed["_batch_id"].n_unique() == 4


def test_a_corrected_moment_of_an_export_corrects_its_deletions(landing, home):
    for hour in ("05", "06"):
        moment = f"2026-01-05T{hour}:00:00Z"
        export(landing, DAY, moment, deleted=[("deleted.1.ndjson.gz", [deletion("a")])])
        run(landing, home)
        assert lake(home, "ehr_fhir.SupplyDelivery")["last_updated"].to_list() == [moment]


def test_a_key_of_one_database_in_the_picture_of_the_other_is_a_key_of_its_own_there(landing, home):
    head = "CORP_ID|CORP_IDB|NAME\r\n"
    for day in (DAY, "20260106"):
        for database in ("1", "2"):
            put(landing, f"mmis/{day}/db{database}/CORP.txt", f"{head}60{database}|{database}|{day}\r\n609|2|B\r\n")
        run(landing, home)
    assert [each["rows_landed"] for each in attempts(home)] == [2, 2, 1, 1]


def test_a_copy_of_a_file_has_as_many_rows_as_were_read_in_the_first_one(landing, home):
    """Some rows can be counted only where they are read: what arrives first must not decide what is told of a copy."""
    sets = [["ST*810*0001", "BIG*20260501*INV1*20260429*4500123***DI", "SE*9*0001"]]
    for day in ("20260106", DAY):
        put(landing, f"edi/{day}/810/S_000000077.edi", interchange(group(sets, code="IN")))
        run(landing, home)
    told = {(each["extract"], each["folder_date"].day): each for each in attempts(home)}
    assert told["INV810_HEAD", 6]["rows_delivered"] == told["INV810_HEAD", 5]["rows_delivered"] == 0
    assert told["INV810_HEAD", 6]["outcome"] == "no_rows"
    assert told["ENVELOPE", 6]["outcome"] == "ignored_duplicate"


def test_an_export_is_not_delivered_before_its_manifest(landing, home):
    export(landing, DAY, "2026-01-05T05:00:00Z", [("SupplyDelivery.1.ndjson.gz", [supply("a", 1)])])
    (landing.root / "ehr_fhir" / DAY / "manifest.json").unlink()
    report = run(landing, home)
    assert report.waiting == (f"ehr_fhir/{DAY}/SupplyDelivery.1.ndjson.gz",)
