"""Deliveries that feed several extracts: whatever the order of arrival, the lake is that of the landing directory."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.ingest.landing_builder import Landing, attempts, lake, run
from tests.unit.ingest.test_documents import charge, message, put
from tests.unit.ingest.test_fixed_width import detail, header, trailer, written
from tests.unit.ingest.x12_builder import group, interchange, transaction

DAYS = ("20260105", "20260106", "20260107")
# A world that fails is small as it is; to shrink it takes minutes.
PHASES = [Phase.reuse, Phase.generate]
SYSTEMS = ("ehr_hl7", "edi", "ehr_fhir", "mmis")

# Extract, how it loads, and the columns that show which row it is.
FEEDS = {
    "ehr_hl7.DFT_P03_FT1": ("event", ("message_id", "ft1_transaction_id", "ft1_qty")),
    "ehr_hl7.ADT_EVENT": ("event", ("message_id",)),
    "ehr_hl7.MFN_ITEM": ("event", ("message_id", "item_id")),
    "ehr_hl7.MFN_PACKAGE": ("event", ("message_id", "item_id", "package_unit")),
    "ehr_hl7.MFN_LOCATION": ("event", ("message_id", "item_id", "location")),
    "edi.ENVELOPE": ("event", ("isa13", "st02")),
    "edi.PO850_HEAD": ("event", ("isa13", "st02")),
    "edi.PO850_LINE": ("event", ("isa13", "st02", "line_no")),
    "edi.INV810_HEAD": ("event", ("isa13", "st02")),
    "edi.INV810_LINE": ("event", ("isa13", "st02", "line_seq")),
    "ehr_fhir.SupplyDelivery": ("incremental", ("id", "version_id")),
    "ehr_fhir.Procedure": ("incremental", ("id", "version_id")),
    "ehr_fhir.ProcedureDevice": ("incremental", ("procedure_id", "seq")),
    "mmis.CORP": ("snapshot", ("CORP_ID", "CORP_IDB")),
    "mmis.TXN_HEADER": ("event", ("FILE_DATE", "IDB")),
    "mmis.TXN": ("event", ("IDB", "TXN_NO")),
    "mmis.TXN_TRAILER": ("event", ("FILE_DATE", "IDB")),
}


@dataclass(frozen=True)
class Row:
    """A row that a delivery brings to one extract; `value` is what tells two versions of a key apart."""

    line: int
    key: tuple = ()
    shown: tuple = ()
    value: object = None
    op: str = "U"
    is_bad: bool = False


@dataclass
class File:
    """One delivery: its bytes, and what stands in it by extract; None where it must be refused whole."""

    path: str
    content: bytes
    rows: dict[str, list[Row]] | None = field(default_factory=dict)
    moment: str = "0000"
    scope: str = ""
    says: object = None
    """What makes it the same as another delivery, where that is more than its bytes."""

    @property
    def position(self):
        return (f"{self.path.split('/')[1]}/{self.moment}", self.path)


def expected(load, feed, files):
    """The landing rule in plain Python: (op, file, line, what shows the row) of what lands, in any order."""
    landed, state, seen = [], {}, set()
    for file in sorted((file for file in files if feed in (file.rows or {})), key=lambda file: file.position):
        rows = file.rows[feed]
        said = (file.content, file.says)
        if not any(file.rows.values()) or (load != "snapshot" and said in seen):
            continue
        seen.add(said)
        if load == "snapshot":
            here = {row.key for row in rows if not row.is_bad}
            for scope, key in sorted(state):
                if scope == file.scope and key not in here:
                    landed.append(("D", file.path, 0, state.pop((scope, key))[1]))
        for row in rows:
            place, version = (file.scope, row.key), (row.value, row.op)
            if row.is_bad or (load == "event" and place in state):
                continue
            if place not in state or state[place][0] != version:
                landed.append((row.op, file.path, row.line, row.shown))
            state[place] = (version, row.shown)
    return sorted(landed, key=repr)


# Documents ------------------------------------------------------------------------------------------------------------

HOURS = st.sampled_from(("08", "09"))
NUMBERS = st.integers(1, 3)
FOREIGN = message(9, "SIU^S12", "SCH|1")


def hl7(kind, day, hour, documents):
    """Messages, each a number of segments with rows by extract counted from its first one; None is a foreign one."""
    feeds = [feed for feed in FEEDS if feed.startswith(f"ehr_hl7.{kind}")]
    text, line, rows = "", 0, {feed: [] for feed in feeds}
    for document in documents:
        body, found = document or (FOREIGN, {feeds[0]: [Row(1, is_bad=True)]})
        for feed, each in found.items():
            rows[feed] += [Row(line + row.line, row.key, row.shown, row.value, row.op, row.is_bad) for row in each]
        text, line = text + body, line + body.count("\r")
    return File(f"ehr_hl7/{day}/{kind}_{day}_{hour}.hl7", text.encode(), rows, moment=f"{hour}00")


def charged(number, transaction, quantity):
    key = (transaction, quantity or "1") if transaction else ("no transaction", number)
    shown = (f"M{number}", transaction or None, quantity or None)
    body = charge(number, transaction, quantity=quantity)
    return body, {"ehr_hl7.DFT_P03_FT1": [Row(4, key, shown, is_bad=quantity == "x")]}


def admitted(number, event):
    body = message(number, f"ADT^{event}", "EVN||20260105080000", f"PID|1||E{number}^^^SHS^MR")
    return body, {"ehr_hl7.ADT_EVENT": [Row(1, (number,), (f"M{number}",))]}


def catalogued(number, item, units, location):
    packages = [f"PKG|{place}|{unit}|Y|12" for place, unit in enumerate(units, 1)]
    located = ["IVT|1|H1STR"] if location else []
    body = message(
        number,
        "MFN^M16^MFN_M16",
        "MFI|INV|||||",
        f"MFE|MAD|1||{item}",
        f"ITM|{item}|SUTURE NEEDLE|A",
        "VND|1|V1||C-1|Y",
        *packages,
        *located,
    )
    who = (f"M{number}", str(item))
    return body, {
        "ehr_hl7.MFN_ITEM": [Row(4, who, who)],
        "ehr_hl7.MFN_PACKAGE": [Row(6 + place, (*who, unit), (*who, unit)) for place, unit in enumerate(units)],
        "ehr_hl7.MFN_LOCATION": [Row(6 + len(units), (*who, "H1STR"), (*who, "H1STR"))] if location else [],
    }


CHARGES = st.none() | st.builds(
    charged, NUMBERS, st.sampled_from(("", "T1", "T2")), st.sampled_from(("", "1", "2", "x"))
)
ADMISSIONS = st.none() | st.builds(admitted, NUMBERS, st.sampled_from(("A01", "A08")))
ITEMS = st.none() | st.builds(
    catalogued, NUMBERS, st.integers(1, 2), st.lists(st.sampled_from(("BX", "EA")), max_size=2), st.booleans()
)
MESSAGES = st.one_of(
    st.builds(hl7, st.just(kind), st.sampled_from(DAYS), HOURS, st.lists(documents, max_size=3))
    for kind, documents in (("DFT", CHARGES), ("ADT", ADMISSIONS), ("MFN", ITEMS))
)


def x12(kind, day, number, sets):
    """An interchange of sets: (set number, quantities of its lines, whether its trailer balances)."""
    names = ("edi.INV810_HEAD", "edi.INV810_LINE") if kind == "810" else ("edi.PO850_HEAD", "edi.PO850_LINE")
    rows, documents, line = {feed: [] for feed in ("edi.ENVELOPE", *names)}, [], 3
    for control, quantities, balances in sets:
        st02 = f"{control:04d}"
        key = (str(number), st02)
        if kind == "810":
            head = ["BIG*20260501*INV1*20260429*4500123***DI"]
            lines = [f"IT1*{seq}*{quantity}*BX*12.50**IN*700001" for seq, quantity in enumerate(quantities, 1)]
            tail = ["TDS*12345*12000"]
        else:
            head = ["BEG*00*SA*4500123**20260429", "N1*ST*NORTH*UL*0088000000011", "N1*SU*ACME*1*123456789"]
            lines = [f"PO1*{seq}*{quantity}*BX*12.50*PE*IN*700001" for seq, quantity in enumerate(quantities, 1)]
            tail = ["CTT*1"]
        document = transaction(kind, st02, *head, *lines, *tail, count=None if balances else 99)
        documents.append(document)
        if balances:
            shown = (f"{number:09d}", st02)
            rows["edi.ENVELOPE"].append(Row(line, key, shown))
            rows[names[0]].append(Row(line, key, shown))
            rows[names[1]] += [
                Row(line + len(head) + seq, (*key, seq), (*shown, str(seq)), is_bad=quantity == "x")
                for seq, quantity in enumerate(quantities, 1)
            ]
        else:
            rows["edi.ENVELOPE"].append(Row(line, is_bad=True))
        line += len(document)
    code = "IN" if kind == "810" else "PO"
    content = interchange(group(documents, code=code), number=f"{number:09d}")
    return File(f"edi/{day}/{kind}/SUPPLIERA_{number:09d}.edi", content, rows)


SETS = st.lists(
    st.tuples(st.integers(1, 2), st.lists(st.sampled_from("12x"), min_size=1, max_size=2), st.sampled_from((1, 1, 0))),
    min_size=1,
    max_size=2,
    unique_by=lambda each: each[0],
)
INTERCHANGES = st.builds(x12, st.sampled_from(("810", "850")), st.sampled_from(DAYS), st.integers(77, 78), SETS)


def ndjson(day, kind, part, resources):
    """Lines of resources (id, version, value), None is a line that is no resource."""
    feeds = (
        ["ehr_fhir.SupplyDelivery"] if kind == "SupplyDelivery" else ["ehr_fhir.Procedure", "ehr_fhir.ProcedureDevice"]
    )
    rows, text = {feed: [] for feed in feeds}, []
    for line, each in enumerate(resources, 1):
        if each is None:
            text.append('{"resourceType":')
            rows[feeds[0]].append(Row(line, is_bad=True))
            continue
        id, version, value = each
        updated = f"2026-01-0{version}T06:00:00Z"
        resource = {"resourceType": kind, "id": id, "meta": {"versionId": str(version), "lastUpdated": updated}}
        status = "completed" if value else "entered-in-error"
        resource |= {"status": status, "code": {"text": status}}
        if kind == "Procedure":
            devices = [{"manipulated": {"reference": f"Device/d{seq}-{value}"}} for seq in range(value)]
            resource |= {"focalDevice": devices}
            rows[feeds[1]] += [Row(line, (id, seq, updated), (id, str(seq)), value) for seq in range(value)]
        rows[feeds[0]].append(Row(line, (id, version), (id, str(version)), value > 0))
        text.append(json.dumps(resource))
    content = "".join(each + "\n" for each in text).encode()
    return File(f"ehr_fhir/{day}/{kind}.{part}.ndjson.gz", gzip.compress(content, mtime=0), rows)


def deletions(day, ids, hour):
    moment = f"{day[:4]}-{day[4:6]}-{day[6:]}T0{hour}:00:00Z"
    entries = [{"request": {"method": "DELETE", "url": f"SupplyDelivery/{id}"}} for id in ids]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    rows = {
        "ehr_fhir.SupplyDelivery": [
            Row(1, (id, moment), (id, f"deleted {moment}"), moment, "D") for id in dict.fromkeys(ids)
        ],
        "ehr_fhir.Procedure": [],
        "ehr_fhir.ProcedureDevice": [],
    }
    content = gzip.compress((json.dumps(bundle) + "\n").encode(), mtime=0)
    return File(f"ehr_fhir/{day}/deleted.1.ndjson.gz", content, rows, says=moment)


RESOURCES = st.lists(
    st.none() | st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=3
)
EXPORTS = st.builds(
    ndjson, st.sampled_from(DAYS), st.sampled_from(("SupplyDelivery", "Procedure")), st.integers(1, 2), RESOURCES
)
DELETIONS = st.builds(
    deletions,
    st.sampled_from(DAYS),
    st.lists(st.sampled_from("ab"), min_size=1, max_size=2, unique=True),
    st.integers(4, 5),
)


def manifest(day, files):
    """The bulk manifest of a day, of all its files."""
    moment = next((file.says for file in files if file.says), f"{day[:4]}-{day[4:6]}-{day[6:]}T05:00:00Z")
    output, deleted = [], []
    for file in files:
        name = file.path.rpartition("/")[2].removesuffix(".gz")
        listed = {"type": name.split(".")[0], "url": f"https://host/{name}"}
        (deleted if name.startswith("deleted") else output).append(listed)
    text = {"transactionTime": moment, "output": output, "deleted": deleted, "error": []}
    return json.dumps(text).encode()


def corporations(day, database, rows):
    """A picture of one database; a number that is none is a bad row. Keys of the other database may be in it."""
    lines, found = ["CORP_ID|CORP_IDB|NAME"], []
    for line, (number, (owner, name)) in enumerate(rows.items(), 2):
        lines.append(f"{number}|{owner}|{name}")
        found.append(Row(line, (number, owner), (number, owner), name, is_bad=number == "x"))
    content = "".join(f"{line}\r\n" for line in lines).encode()
    return File(f"mmis/{day}/db{database}/CORP.txt", content, {"mmis.CORP": found}, scope=str(database))


def transactions(day, database, quantities):
    details = [
        detail(number, SEQ_NO=f"{line:07d}", QTY=f"{quantity:09d} ")
        for line, (number, quantity) in enumerate(quantities.items(), 1)
    ]
    total = f"{sum(quantities.values()) / 100:.2f}"
    content = written(header(IDB=str(database), FILE_DATE=day[2:]), *details, trailer(len(details), total))
    shown = (day[2:], str(database))
    rows = {
        "mmis.TXN_HEADER": [Row(1, shown, shown)],
        "mmis.TXN": [
            Row(line, (database, number), (str(database), f"{number + 4000}"))
            for line, number in enumerate(quantities, 2)
        ],
        "mmis.TXN_TRAILER": [Row(len(details) + 2, shown, shown)],
    }
    return File(f"mmis/{day}/db{database}/TXN{day[2:]}.DAT", content, rows)


DATABASES = st.integers(1, 2)
PICTURES = st.builds(
    corporations,
    st.sampled_from(DAYS),
    DATABASES,
    st.dictionaries(
        st.sampled_from(("601", "602", "x")), st.tuples(st.sampled_from("12"), st.sampled_from("AB")), max_size=3
    ),
)
MOVEMENTS = st.builds(
    transactions, st.sampled_from(DAYS), DATABASES, st.dictionaries(NUMBERS, st.integers(1, 2), min_size=1, max_size=3)
)


def damaged(file):
    """The delivery as it must not be taken: cut, or something else."""
    is_cut = file.path.endswith(".gz") or (file.path.endswith("CORP.txt") and any(file.rows.values()))
    content = file.content[:-3] if is_cut else b"not what it should be"
    return File(file.path, content, None, file.moment, file.scope)


def replayed(file, day):
    """The same bytes on another day."""
    was = file.path.split("/")[1]
    rows = file.rows
    if "deleted" in file.path or "TXN" in file.path:
        return file
    return File(file.path.replace(was, day), file.content, rows, file.moment, file.scope)


@st.composite
def worlds(draw):
    """Deliveries by path, the final ones, and all that arrives: (path, bytes), in some order."""
    made = []
    for kind, most in ((MESSAGES, 5), (INTERCHANGES, 3), (EXPORTS, 4), (DELETIONS, 2), (PICTURES, 5), (MOVEMENTS, 3)):
        made += draw(st.lists(kind, max_size=most))
    for file in list(made):
        if draw(st.integers(0, 3)) == 0:
            made.append(replayed(file, draw(st.sampled_from(DAYS))))
    versions = {}
    for file in made:
        # The last one of a path is what stands there in the end.
        versions.setdefault(file.path, []).append(damaged(file) if draw(st.integers(0, 5)) == 0 else file)
    final = [files[-1] for files in versions.values()]
    arriving = {path: [file.content for file in files] for path, files in versions.items()}
    for day in DAYS:
        exported = [file for file in final if file.path.startswith(f"ehr_fhir/{day}/")]
        if exported:
            said = manifest(day, exported)
            arriving[f"ehr_fhir/{day}/manifest.json"] = draw(
                st.sampled_from(([said], [said.replace(b"T0", b"T1"), said]))
            )
            for file in exported:
                if "deleted" in file.path:
                    file.says = json.loads(said)["transactionTime"]
    order = draw(st.permutations([path for path, contents in arriving.items() for _ in contents]))
    return final, [(path, arriving[path].pop(0)) for path in order]


@settings(
    max_examples=12,
    phases=PHASES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(worlds(), st.data())
def test_any_order_of_arrival_gives_the_lake_of_the_landing_directory(tmp_path_factory, world, data):
    final, arrivals = world
    root = tmp_path_factory.mktemp("order")
    landing, home, straight = Landing(root / "landing"), root / "home", root / "straight"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arrivals)), min_size=2, max_size=2)))
    days = sorted(
        data.draw(st.lists(st.sampled_from(("2026-01-05", "2026-01-06", "2026-12-31")), min_size=2, max_size=2))
    )
    for start, end, as_of in zip((0, *cuts), (*cuts, len(arrivals)), (*days, "2026-12-31"), strict=True):
        for path, content in arrivals[start:end]:
            put(landing, path, content)
        again = data.draw(st.lists(st.sampled_from(arrivals), max_size=2)) if arrivals else []
        run(landing, home, as_of, systems=SYSTEMS, again=[path for path, _ in again])
    shutil.copytree(home / "keys", straight / "keys")
    run(landing, straight, systems=SYSTEMS)
    for feed, (load, shown) in FEEDS.items():
        landed = lake(home, feed)
        found = landed.select("_op", "_file", "_line", *shown).rows()
        assert sorted(((*row[:3], row[3:]) for row in found), key=repr) == expected(load, feed, final), feed
        assert landed.equals(lake(straight, feed)), feed
    made = attempts(home)
    assert made == attempts(straight)
    of_path = {file.path: file for file in final}
    for each in made:
        feed, file = f"{each['system']}.{each['extract']}", of_path[each["file"]]
        assert each["rows_delivered"] == each["rows_landed"] + each["rows_repeated"] + each["rows_quarantined"]
        assert min(each["rows_landed"], each["rows_repeated"], each["rows_quarantined"]) >= 0
        if file.rows is None:
            assert each["outcome"] == "quarantined"
        elif feed in file.rows:
            assert each["rows_delivered"] == len(file.rows[feed]), (feed, file.path)
    for feed in FEEDS:
        own = [each for each in made if f"{each['system']}.{each['extract']}" == feed]
        assert sum(each["rows_landed"] + each["rows_tombstoned"] for each in own) == lake(home, feed).height
    before = {feed: lake(home, feed) for feed in FEEDS}
    assert run(landing, home, systems=SYSTEMS).files == 0
    assert all(lake(home, feed).equals(before[feed]) for feed in FEEDS)
    assert attempts(home) == made
    shutil.rmtree(root)
