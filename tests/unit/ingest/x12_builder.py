"""X12 interchanges for tests: sets as lists of segments with `*` and `:`, put into any separators and any wrapping."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.coded import plain
from ingest.contract import load_contracts
from ingest.formats import x12
from ingest.formats.reading import Reading, Text


@dataclass(frozen=True)
class Marks:
    element: str = "*"
    component: str = ":"
    segment: str = "~"
    repetition: str = "U"
    version: str = "00401"


def transaction(kind, number, *segments, count=None, trailer=None):
    """Segments of one set from ST to SE; `count` and `trailer` misstate SE01 and SE02."""
    body = [f"ST*{kind}*{number}", *segments]
    return [*body, f"SE*{len(body) + 1 if count is None else count}*{number if trailer is None else trailer}"]


def group(sets, number="77", code="PO", version="004010", count=None, trailer=None):
    """Segments of one functional group."""
    return [
        f"GS*{code}*SENDER*RECEIVER*20260430*0900*{number}*X*{version}",
        *(segment for each in sets for segment in each),
        f"GE*{len(sets) if count is None else count}*{number if trailer is None else trailer}",
    ]


def interchange(*groups, number="000000077", sender="SUPPLIERA", test="P", marks=Marks(), count=None, trailer=None):
    """Bytes of one interchange, in one line."""
    who = f"ZZ*{sender:15}*01*{'HOSPITAL':15}"
    isa = f"ISA*00*{'':10}*00*{'':10}*{who}*260430*0915*\0*{marks.version}*{number}*0*{test}*\1"
    segments = [
        *(segment for each in groups for segment in each),
        f"IEA*{len(groups) if count is None else count}*{number if trailer is None else trailer}",
    ]
    head = isa.replace("*", marks.element).replace("\0", marks.repetition).replace("\1", marks.component)
    body = [each.replace("*", "\0").replace(":", marks.component).replace("\0", marks.element) for each in segments]
    return (marks.segment.join([head, *body]) + marks.segment).encode()


def wrapped(content, width=80, end=b"\r\n"):
    """The same, cut into lines of a width, wherever that falls."""
    return end.join(content[at : at + width] for at in range(0, len(content), width)) + end


def spread(content, mark=b"~", end=b"\r\n", indent=b""):
    """The same with a line end behind each segment."""
    return content.replace(mark, mark + end + indent)


def feed_of(kind):
    """Delivery, all extracts of its system that it brings, and the ones that a file of this kind feeds."""
    contracts = load_contracts()
    if kind == "835":
        delivery = next(each for each in contracts["hb"].deliveries if each.format.startswith("x12"))
        return delivery, [contracts["hb"].extracts[name] for name in delivery.extracts], delivery.extracts
    delivery = contracts["edi"].delivery
    return delivery, [contracts["edi"].extracts[name] for name in delivery.extracts], delivery.reads[kind]


def read_all(contents, kind):
    """Readings of some files that feed one kind, coded columns as the text that they stand for."""
    delivery, extracts, names = feed_of(kind)
    texts = [
        Text(index, content, name=f"file{index}.edi", extracts=tuple(names)) for index, content in enumerate(contents)
    ]
    readings = x12.read(texts, delivery, extracts)
    return {name: Reading(plain(reading.frame), reading.bad) for name, reading in readings.items()}


def rows(contents, kind):
    """By extract: rows as dicts without `_text`, and (line, reason) of what was refused."""
    readings = read_all(contents if isinstance(contents, list) else [contents], kind)
    good = {name: reading.frame.drop("_text").to_dicts() for name, reading in readings.items()}
    bad = [(row.index, row.line, row.reason) for reading in readings.values() for row in reading.bad]
    return good, bad


ORDER = (
    "BEG*00*SA*4500123**20260429",
    "REF*CT*GPO77",
    "REF*IA*V009",
    "N1*ST*NORTH*UL*0088000000011",
    "N1*SU*ACME*1*123456789",
    "PO1*1*10*BX*12.50*PE*VC*AB-1*IN*700001*UK*00880000000012",
    "PID*F****BALLOON CATHETER",
    "PO4*5",
    "PO1*2*3*EA*.5**MG*M77*VN*X9*UP*088000000002",
    "REF*CT*LINELEVEL",
    "CTT*2",
)

ACKNOWLEDGEMENT = (
    "BAK*00*AC*4500123*20260429****SO99*20260430",
    "N1*ST*NORTH*UL*0088000000011",
    "PO1*1*10*BX*12.50**VC*AB-1",
    "ACK*IB*6*BX*068*20260504",
    "ACK*IA*4*BX*017*20260502",
    "PO1*2*3*EA*.5**VN*X9",
    "ACK*IR",
    "CTT*2",
)

SHIPMENT = (
    "BSN*00*SHIP1*20260430*0915",
    "HL*1**S",
    "TD5*B*2*UPSN*M",
    "REF*BM*BOL1",
    "REF*CN*1Z999",
    "DTM*017*260502",
    "N1*ST*NORTH*UL*0088000000011",
    "HL*2*1*O",
    "PRF*4500123",
    "HL*3*2*T",
    "MAN*GM*00100000000000000017",
    "HL*4*3*P",
    "MAN*CP*CARTON9",
    "HL*5*4*I",
    "LIN*1*VC*AB-1*UK*00880000000012",
    "SN1**4*BX",
    "REF*LT*LOT7",
    "DTM*036*20281231",
    "HL*6*1*O",
    "PRF*4500124",
    "HL*7*6*I",
    "LIN*2*IN*700002*VN*X9",
    "SN1**1*EA",
    "CTT*7",
)

INVOICE = (
    "BIG*20260501*INV1*20260429*4500123***DI",
    "REF*IA*V009",
    "REF*SI*SHIP1",
    "N1*RE*ACME*UL*0088000000099",
    "N1*ST*NORTH*UL*0088000000011",
    "ITD*01*3*2**15**30",
    "IT1*1*10*BX*12.50**IN*700001*VC*AB-1",
    "SAC*A*C310***250**********VOLUME",
    "REF*LT*LOT7",
    "IT1**-1*EA*.5**UK*00880000000012",
    "REF*PO*4500124",
    "TDS*12345*12000",
    "TXI*ST*3.25",
    "SAC*C*D240***5**********FREIGHT",
    "SAC*C*D500***-99",
    "CTT*2",
)

CATALOG = (
    "BCT*PC*CAT1********02",
    "REF*CT*GPO77",
    "REF*PD*T2",
    "DTM*007*20260601",
    "LIN**VC*AB-1*MG*M77*UK*00880000000012*CN*42203400",
    "CTP**CON*11.25**BX",
    "PO4*5",
    "DTM*197*20271231",
    "LIN**VN*X9",
    "CTP**LPR*.75**EA",
    "CTT*2",
)

REMITTANCE = (
    "BPR*I*83.50*C*ACH*CCP*01*1*DA*1*1**01*1*DA*1*20260502",
    "TRN*1*TRACE9*1123456789",
    "N1*PR*PAYER",
    "REF*2U*60054",
    "N1*PE*HOSPITAL*XX*1003814971",
    "LX*1",
    "CLP*600000001A*1*200.00*100.00*20.00*12*X*11*1**470",
    "CAS*PR*2*20.00",
    "NM1*QC*1*NAMEOFAPATIENT*GIVEN",
    "DTM*232*20260401",
    "SVC*HC:C1713:LT:59*150.00*80.00*0278*2**3",
    "DTM*472*20260402",
    "CAS*CO*45*60.00*1*253*10.00",
    "SVC*HC:C1776*50.00*40.00*0278",
    "CAS*CO*45*10.00",
    "CLP*600000002*22*-5.00*-5.00**12*Y",
    "PLB*1003814971*20261231*WO:REF1*13.00*L6*-1.50",
)
