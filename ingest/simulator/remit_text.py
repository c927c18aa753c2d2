"""Remittances as text: one interchange of 835 sets (X12 005010X221A1), as each payer writes it.

Here: payers and their ways of writing, what a set holds, its segments in their order, envelopes and separators.
Not here: which claims are paid, denied or taken back, and when (remits).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

Adjustment = tuple[str, str, Decimal, Decimal | None]
"""Group, reason, amount and quantity: one triplet of a CAS (X12 835 CAS01 to CAS04)."""

VERSION = "005010X221A1"
RECEIVER = "SHSBILLING"
RECEIVER_TAX_ID, RECEIVER_BANK, RECEIVER_ACCOUNT = "960000099", "990000097", "8850001122"
_TRIPLETS, _PLB_PAIRS = 6, 6


@dataclass(frozen=True, slots=True)
class Payer:
    """A payer, and how its remittances look."""

    payor: str  # hb PAYOR_ID
    payer_id: str
    name: str
    street: str
    city: tuple[str, str, str]
    phone: str
    tax_id: str
    bank: str
    qualifier: str  # ISA05
    sender: str  # ISA06 and GS02
    element: str = "*"
    component: str = ":"
    repetition: str = "^"
    segment: str = "~"
    line_end: str = ""
    method: str = "ACH"
    filing: tuple[str, str] = ("12", "12")  # CLP06 of an inpatient and of an outpatient claim
    member: str = ""  # how its member numbers begin; empty: the social security number is one (NM108 34)
    names_itself: bool = False  # the id is N104, else REF*2U
    gathers: bool = False  # one interchange for all hospitals
    is_exact: bool = True  # always two decimals
    is_government: bool = False  # summaries of the provider, MIA and MOA, sequestration
    first_control: int = 1


PAYERS: dict[str, Payer] = {
    payer.payor: payer
    for payer in (
        Payer(
            "1001", "99001", "FEDERAL HEALTH INTERMEDIARY", "7500 PROGRAM BLVD", ("DES MOINES", "IA", "503090001"),
            "5155550101", "960000001", "990000013", "ZZ", "FHI835", line_end="\n", filing=("MA", "MB"), member="1SH",
            is_government=True, first_control=70121,
        ),
        Payer(
            "1002", "99002", "PRAIRIE MUTUAL HEALTH PLAN", "1 MUTUAL PLAZA", ("OMAHA", "NE", "681020002"),
            "4025550102", "960000002", "990000026", "30", "960000002", element="|", component=">", method="ACH",
            member="PMH", is_exact=False, first_control=905,
        ),
        Payer(
            "1003", "99003", "LAKESHORE HEALTH COOPERATIVE", "220 HARBOR DR", ("CHICAGO", "IL", "606010003"),
            "3125550103", "960000003", "990000039", "ZZ", "LAKESHORE", component="\\", segment="\n", repetition="!",
            filing=("HM", "HM"), member="L", names_itself=True, gathers=True, first_control=1,
        ),
        Payer(
            "1004", "99004", "HEARTLAND WORKERS FUND", "48 UNION AVE", ("KANSAS CITY", "MO", "641060004"),
            "8165550104", "960000004", "990000042", "01", "990000004", component="^", repetition="&", segment="'",
            line_end="\r\n", method="CHK", filing=("15", "15"), first_control=33017,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Service:
    """A service line of a claim (loop 2110)."""

    hcpcs: str | None
    modifiers: tuple[str, ...]
    revenue_code: str
    units: Decimal
    units_paid: Decimal
    charge: Decimal
    paid: Decimal
    service_date: date
    adjustments: tuple[Adjustment, ...]
    remark: str | None = None

    def negated(self) -> Service:
        """The line as its reversal has it: amounts change their sign, units stand."""
        return replace(self, charge=-self.charge, paid=-self.paid, adjustments=negated(self.adjustments))


@dataclass(frozen=True, slots=True)
class Patient:
    """Whose claim it is (NM1*QC), and whose policy (NM1*IL, when another's)."""

    last_name: str
    first_name: str
    middle_name: str
    id_qualifier: str
    member_id: str
    record_number: str
    insured: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as one remittance reports it (loop 2100)."""

    account: str
    letter: str  # rebill letter, empty on the first bill
    status: str  # CLP02
    frequency: str  # CLP09
    payer_number: str  # CLP07
    corrects: str | None  # payer's number of the claim that this one replaces
    charge: Decimal
    paid: Decimal
    is_inpatient: bool
    drg: str | None
    patient: Patient
    admitted: date
    discharged: date
    received: date | None
    adjustments: tuple[Adjustment, ...]
    services: tuple[Service, ...]

    def all_adjustments(self) -> Iterable[Adjustment]:
        """Those of the claim and of its services."""
        yield from self.adjustments
        for service in self.services:
            yield from service.adjustments

    def total(self, *groups: str) -> Decimal:
        """Sum of the adjustments of some groups."""
        return sum((amount for group, _, amount, _ in self.all_adjustments() if group in groups), Decimal(0))

    def reversed(self) -> Claim:
        """The claim that takes this one back (status 22; X221A1 section 1.10.2.8)."""
        return replace(
            self,
            status="22",
            charge=-self.charge,
            paid=-self.paid,
            adjustments=negated(self.adjustments),
            services=tuple(service.negated() for service in self.services),
        )


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider level adjustment (PLB03, PLB04); a positive amount reduces the payment."""

    reason: str
    reference: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Payee:
    """The hospital that is paid (N1*PE)."""

    name: str
    npi: str
    street: str
    city: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Remittance:
    """One transaction set: a payment and what it is for."""

    trace: str
    payee: Payee
    payment_date: date
    claims: tuple[Claim, ...]
    provider: tuple[Provider, ...]

    @property
    def total(self) -> Decimal:
        """BPR02: paid claims less provider level adjustments."""
        paid = sum((claim.paid for claim in self.claims), Decimal(0))
        return paid - sum((entry.amount for entry in self.provider), Decimal(0))


def negated(adjustments: Iterable[Adjustment]) -> tuple[Adjustment, ...]:
    """The same adjustments with the other sign."""
    return tuple((group, reason, -amount, quantity) for group, reason, amount, quantity in adjustments)


def interchange(payer: Payer, sets: Sequence[Remittance], number: int, at: datetime) -> bytes:
    """One interchange with one functional group of `sets`; `number` is ISA13 and GS06."""
    body = [[f"GS*HP*{payer.sender}*{RECEIVER}*{at:%Y%m%d*%H%M}*{number}*X*{VERSION}"]]
    for place, remittance in enumerate(sets, start=1):
        body.append(_Writer(payer).set(remittance, f"{place:04d}", at.date()))
    body.append([f"GE*{len(sets)}*{number}", f"IEA*1*{number:09d}"])
    isa = (
        f"ISA*00*{'':10}*00*{'':10}*{payer.qualifier}*{payer.sender:15}*ZZ*{RECEIVER:15}*{at:%y%m%d*%H%M}"
        f"*{{}}*00501*{number:09d}*0*P*{{}}"
    ).format("\0", "\1")
    marks = str.maketrans({"*": payer.element, ":": payer.component, "\0": payer.repetition, "\1": payer.component})
    end = payer.segment + payer.line_end
    return "".join(
        segment.translate(marks) + end for segment in [isa, *(each for part in body for each in part)]
    ).encode()


def _segment(*elements: str | None) -> str:
    """A segment without trailing empty elements."""
    return "*".join(element or "" for element in elements).rstrip("*")


class _Writer:
    """Segments of the sets of one payer, with `*` and `:` for its separators."""

    def __init__(self, payer: Payer) -> None:
        self.payer = payer

    def set(self, remittance: Remittance, number: str, produced: date) -> list[str]:
        """Segments from ST to SE."""
        segments = [f"ST*835*{number}", *self._head(remittance, produced)]
        for place, claims in enumerate(_by_place_of_service(remittance.claims), start=1):
            segments.append(f"LX*{place}")
            if self.payer.is_government:
                segments.append(self._summary(remittance, claims))
            for claim in claims:
                segments += self._claim(claim)
        segments += self._provider(remittance)
        return [*segments, f"SE*{len(segments) + 1}*{number}"]

    def _number(self, amount: Decimal) -> str:
        """A number of type R; trailing and leading zeros as the payer likes them."""
        text = f"{amount:.2f}"
        if self.payer.is_exact:
            return text
        text = text.rstrip("0").rstrip(".")
        return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text

    def _head(self, remittance: Remittance, produced: date) -> Iterable[str]:
        payer, payee, total = self.payer, remittance.payee, remittance.total
        method = payer.method if total else "NON"
        banks: tuple[str | None, ...] = (None,) * 11
        if method == "ACH":
            sender = ("CCP", "01", payer.bank, "DA", f"77{payer.payer_id}001", f"1{payer.tax_id}", None)
            banks = (*sender, "01", RECEIVER_BANK, "DA", RECEIVER_ACCOUNT)
        paid = f"{remittance.payment_date:%Y%m%d}"
        yield _segment("BPR", "I" if total else "H", self._number(total), "C", method, *banks, paid)
        yield f"TRN*1*{remittance.trace}*1{payer.tax_id}"
        yield f"REF*EV*{RECEIVER}"
        yield f"DTM*405*{produced:%Y%m%d}"
        yield _segment("N1", "PR", payer.name, *(("XV", payer.payer_id) if payer.names_itself else ()))
        yield f"N3*{payer.street}"
        yield _segment("N4", *payer.city)
        if not payer.names_itself:
            yield f"REF*2U*{payer.payer_id}"
        yield f"PER*CX*PROVIDER SERVICE*TE*{payer.phone}"
        yield f"PER*BL*EDI SUPPORT*TE*{payer.phone}*EX*835"
        yield f"N1*PE*{payee.name}*XX*{payee.npi}"
        yield f"N3*{payee.street}"
        yield _segment("N4", *payee.city)
        yield f"REF*TJ*{RECEIVER_TAX_ID}"

    def _summary(self, remittance: Remittance, claims: Sequence[Claim]) -> str:
        place = "11" if claims[0].is_inpatient else "13"
        charge = self._number(sum((claim.charge for claim in claims), Decimal(0)))
        year_end = f"{remittance.payment_date.year}1231"
        return f"TS3*{remittance.payee.npi}*{place}*{year_end}*{len(claims)}*{charge}"

    def _claim(self, claim: Claim) -> Iterable[str]:
        payer, patient = self.payer, claim.patient
        owed = claim.total("PR")
        yield _segment(
            "CLP",
            claim.account + claim.letter,
            claim.status,
            self._number(claim.charge),
            self._number(claim.paid),
            self._number(owed) if owed > 0 else None,
            payer.filing[0 if claim.is_inpatient else 1],
            claim.payer_number,
            "11" if claim.is_inpatient else "13",
            claim.frequency,
            None,
            claim.drg,
        )
        yield from self._adjustments(claim.adjustments)
        yield _segment(
            "NM1", "QC", "1", patient.last_name, patient.first_name, patient.middle_name, None, None,
            patient.id_qualifier, patient.member_id,
        )  # fmt: skip
        if patient.insured is not None:
            yield f"NM1*IL*1*{patient.last_name}*{patient.insured}****MI*{patient.member_id}"
        days = max((claim.discharged - claim.admitted).days, 1)
        if payer.is_government and claim.status != "22":
            if claim.is_inpatient:
                yield _segment("MIA", str(days), None, None, self._number(claim.paid))
            else:
                yield _segment("MOA", None, None, "MA130" if claim.status == "4" else "MA01")
        yield f"REF*EA*{patient.record_number}"
        if claim.corrects is not None:
            yield f"REF*F8*{claim.corrects}"
        yield f"DTM*232*{claim.admitted:%Y%m%d}"
        yield f"DTM*233*{claim.discharged:%Y%m%d}"
        if claim.received is not None:
            yield f"DTM*050*{claim.received:%Y%m%d}"
        if claim.paid > 0:
            yield f"AMT*AU*{self._number(claim.charge - claim.total('CO', 'OA', 'PI'))}"
        if payer.is_government and claim.is_inpatient and claim.paid > 0:
            yield f"QTY*CA*{days}"
        for place, service in enumerate(claim.services, start=1):
            yield from self._service(service, place)

    def _service(self, service: Service, place: int) -> Iterable[str]:
        # Without a procedure code the revenue code is the product, and SVC04 is not used (SVC01-1 NU).
        code = f"NU:{service.revenue_code}"
        if service.hcpcs is not None:
            code = ":".join(("HC", service.hcpcs, *service.modifiers))
        differ = service.units_paid != service.units
        yield _segment(
            "SVC",
            code,
            self._number(service.charge),
            self._number(service.paid),
            service.revenue_code if service.hcpcs is not None else None,
            _count(service.units_paid) if service.units_paid != 1 else None,
            None,
            _count(service.units) if differ else None,
        )
        yield f"DTM*472*{service.service_date:%Y%m%d}"
        yield from self._adjustments(service.adjustments)
        yield f"REF*6R*{place}"
        if service.paid > 0:
            allowed = service.paid + sum((each[2] for each in service.adjustments if each[0] == "PR"), Decimal(0))
            yield f"AMT*B6*{self._number(allowed)}"
        if service.remark is not None:
            yield f"LQ*HE*{service.remark}"

    def _adjustments(self, adjustments: Sequence[Adjustment]) -> Iterable[str]:
        for group in dict.fromkeys(each[0] for each in adjustments):
            own = [each for each in adjustments if each[0] == group]
            for start in range(0, len(own), _TRIPLETS):
                triplets: list[str] = []
                for _, reason, amount, quantity in own[start : start + _TRIPLETS]:
                    triplets += [reason, self._number(amount), "" if quantity is None else _count(quantity)]
                yield _segment("CAS", group, *triplets)

    def _provider(self, remittance: Remittance) -> Iterable[str]:
        entries = remittance.provider
        for start in range(0, len(entries), _PLB_PAIRS):
            pairs: list[str] = []
            for entry in entries[start : start + _PLB_PAIRS]:
                pairs += [f"{entry.reason}:{entry.reference}", self._number(entry.amount)]
            yield _segment("PLB", remittance.payee.npi, f"{remittance.payment_date.year}1231", *pairs)


def _count(units: Decimal) -> str:
    text = format(units, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _by_place_of_service(claims: Sequence[Claim]) -> Iterable[list[Claim]]:
    """Inpatient and outpatient claims apart; a reversal stays in front of its corrected claim."""
    for is_inpatient in (True, False):
        own = [claim for claim in claims if claim.is_inpatient is is_inpatient]
        if own:
            yield own
