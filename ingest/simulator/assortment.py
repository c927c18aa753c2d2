"""What a hospital of the simulation keeps and does: families of products, procedures and what they take.

Here: two tables as text, one line (or three) an entry, read once into records.
Not here: the single items, suppliers and prices made from them (masters).
"""

from __future__ import annotations

from dataclasses import dataclass

SERVICES: dict[int, str] = {
    10: "Orthopedics",
    20: "Spine Surgery",
    30: "General Surgery",
    40: "Cardiac Surgery",
    50: "Vascular Surgery",
    60: "Gynecology",
    70: "Urology",
    80: "Cardiac Catheterization",
    90: "Interventional Radiology",
    100: "Gastroenterology",
}


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of product: how it is called, priced, packed, stocked and charged."""

    name: str
    label: str
    variants: tuple[str, ...]
    item_class: str
    stock_class: str
    home: str  # kind of location it is used from; empty: not stocked
    low: float  # cost per EACH, from
    high: float  # and to
    box: int  # EACH per box, 0: single
    revenue_code: str | None  # None: never charged
    hcpcs: str | None
    weight: float  # share of the item master
    is_lot_tracked: bool
    is_serial_tracked: bool
    unit: str  # EA, BX, CM2
    method: str  # FIXED, MARKUP


@dataclass(frozen=True, slots=True)
class Procedure:
    """What a procedure usually takes: (family, least lines, most lines) of supplies and implants."""

    procedure_id: str
    name: str
    service_c: int
    department: str
    cpt: str
    inpatient_share: float
    weight: float
    supplies: tuple[tuple[str, int, int], ...]
    implants: tuple[tuple[str, int, int], ...]


# Costs of supplies stay clear of 25 and 50, the limits of chargeability, so that a moving average never crosses them.
# name | label | variants | class | stock class | home | cost from | to | box | revenue code | HCPCS | weight | tracked
# by | unit of charge | price method
_FAMILIES = """
drape|DRAPE PACK|MAJOR;EXTREMITY;LAPAROSCOPY;SPLIT;SPINE|SUPPLY|STOCK|ORC|32|43|0|0272||3||EA|FIXED
suture|SUTURE|2-0 VIOLET;3-0 CLEAR;0 BRAIDED;4-0 MONO;1 LOOPED|SUPPLY|STOCK|ORC|4|14|12|||6||EA|FIXED
stapler|STAPLER ENDOSCOPIC|45 MM;60 MM;CURVED 29 MM;SKIN 35|SUPPLY|STOCK|ORC|180|420|0|0272||3||EA|FIXED
reload|STAPLE RELOAD|WHITE 45;BLUE 60;GREEN 60;TAN 45|SUPPLY|STOCK|ORC|95|185|6|0272||3||EA|MARKUP
trocar|TROCAR BLADELESS|5 MM;8 MM;12 MM;15 MM|SUPPLY|STOCK|ORC|66|92|0|0272||3||EA|FIXED
pencil|ELECTROSURGICAL PENCIL|BUTTON;ROCKER;SMOKE EVAC|SUPPLY|STOCK|ORC|6|15|0|||3||EA|FIXED
dressing|DRESSING|SILICONE 10X10;ISLAND 9X15;FOAM 15X15;FILM 6X7|SUPPLY|STOCK|ORC|2|14|10|||4||EA|FIXED
hemostat|HEMOSTAT ABSORBABLE|4X8;POWDER 3 G;MATRIX 5 ML;SPONGE 12|SUPPLY|STOCK|ORC|70|240|0|0272||3||EA|MARKUP
clip|LIGATING CLIP CARTRIDGE|MEDIUM;LARGE;SMALL|SUPPLY|STOCK|ORC|12|17|5|0272||2||EA|FIXED
blade|SAW BLADE|SAGITTAL 19 MM;RECIPROCATING;OSCILLATING 25|SUPPLY|STOCK|ORC|66|96|0|0272||2||EA|FIXED
bur|BUR|ROUND 4 MM;MATCHSTICK 3 MM;BARREL 5.5|SUPPLY|STOCK|ORC|110|195|0|0272||2||EA|MARKUP
cement|BONE CEMENT|40 G;40 G ANTIBIOTIC;20 G LOW VISCOSITY|SUPPLY|STOCK|ORC|85|145|0|0272||2||EA|FIXED
tubing|IRRIGATION TUBING|CYSTO;ARTHRO;GRAVITY|SUPPLY|STOCK|ORC|8|17|0|||2||EA|FIXED
drain|WOUND DRAIN|10 FR;15 FR;19 FR|SUPPLY|STOCK|ORC|33|43|0|0272||2||EA|FIXED
pledget|PTFE PLEDGET|3X3;4X6;9X4|SUPPLY|STOCK|ORC|62|88|5|0272||1.4||BX|FIXED
glove|SURGICAL GLOVE|SIZE 6.5;SIZE 7;SIZE 7.5;SIZE 8|SUPPLY|STOCK|PAR|0.8|3|50|||2||EA|FIXED
gauze|GAUZE SPONGE|4X4;LAP 18X18;XRAY 4X8|SUPPLY|STOCK|PAR|0.2|2|100|||2||EA|FIXED
gown|SURGICAL GOWN|L;XL;XXL|SUPPLY|STOCK|PAR|4|9|20|||1.5||EA|FIXED
catheterkit|CENTRAL LINE KIT|3 LUMEN;2 LUMEN;PICC|SUPPLY|STOCK|PAR|62|88|0|0272||1||EA|FIXED
needle|NEEDLE|SPINAL 22 G;EPIDURAL 17 G;HYPODERMIC 25 G|SUPPLY|STOCK|CAB|1|12|25|||1.5||EA|FIXED
ivset|IV SET|PUMP;GRAVITY;BLOOD Y|SUPPLY|STOCK|CAB|4|14|20|||1.5||EA|FIXED
warming|WARMING BLANKET|UPPER BODY;FULL ACCESS|SUPPLY|STOCK|CAB|9|16|0|||1||EA|FIXED
sealer|VESSEL SEALER|37 CM;23 CM;OPEN 18 CM|SUPPLY|STOCK|CAB|260|480|0|0272||1.2||EA|FIXED
guidewire|GUIDE WIRE|0.014 STRAIGHT;0.035 J 150;HYDRO 260;STIFF 180|SUPPLY|STOCK|CTH|66|145|0|0272|C1769|3||EA|FIXED
guidecath|GUIDING CATHETER|JL4 6F;JR4 6F;XB3.5 7F|SUPPLY|STOCK|CTH|72|130|0|0272|C1887|2.5||EA|FIXED
balloon|BALLOON CATHETER|2.5X15;3.0X20;NC 3.5X12|SUPPLY|STOCK|CTH|180|390|0|0272|C1725|2.5||EA|MARKUP
sheath|INTRODUCER SHEATH|6F 11 CM;7F 23 CM;RADIAL 6F|SUPPLY|STOCK|CTH|32|43|5|0272|C1894|2||EA|FIXED
closure|VASCULAR CLOSURE DEVICE|6F;8F|SUPPLY|STOCK|CTH|190|265|0|0272|C1760|1.2||EA|FIXED
cathpack|ANGIOGRAPHY PACK|LEFT HEART;RADIAL;PERIPHERAL|SUPPLY|STOCK|CTH|66|92|0|0272||1||EA|FIXED
transducer|PRESSURE TRANSDUCER|SINGLE;DOUBLE|SUPPLY|STOCK|CTH|11|17|10|||1||EA|FIXED
manifold|MANIFOLD SET|3 PORT;4 PORT|SUPPLY|STOCK|CTH|11|17|0|||1||EA|FIXED
stent|CORONARY STENT|2.5X18;3.0X22;3.5X15;4.0X12|IMPLANT|STOCK|CTH|880|1720|0|0278|C1874|2|lot|EA|FIXED
microcath|MICROCATHETER|2.4F 130;2.8F 150|SUPPLY|STOCK|IRR|320|640|0|0272|C1887|1.2||EA|FIXED
coil|EMBOLIZATION COIL|4X10;6X20;8X30|IMPLANT|STOCK|IRR|460|920|0|0278|C1889|1.2|lot|EA|FIXED
irpack|INTERVENTIONAL PACK|BODY;NEURO|SUPPLY|STOCK|IRR|33|43|0|0272||0.8||EA|FIXED
irwire|GUIDE WIRE PERIPHERAL|0.018 MICRO;0.035 STIFF;0.035 GLIDE|SUPPLY|STOCK|IRR|66|92|0|0272|C1769|1||EA|FIXED
draincath|DRAINAGE CATHETER|8 FR;10 FR;12 FR|SUPPLY|STOCK|IRR|66|118|0|0272|C1729|1||EA|FIXED
accesskit|ACCESS KIT MICROPUNCTURE|4F;5F|SUPPLY|STOCK|IRR|33|43|0|0272||1||EA|FIXED
endokit|ENDOSCOPY KIT|STANDARD;WITH CO2 TUBING|SUPPLY|STOCK|PAR|9|17|10|||1||EA|FIXED
valveset|SCOPE VALVE SET|AIR WATER SUCTION;BIOPSY VALVE|SUPPLY|STOCK|PAR|6|12|25|||0.8||EA|FIXED
biteblock|BITE BLOCK|ADULT;PEDIATRIC|SUPPLY|STOCK|PAR|1|3|50|||0.6||EA|FIXED
forceps|BIOPSY FORCEPS|STANDARD 2.4 MM;LARGE CAPACITY 2.8 MM|SUPPLY|STOCK|PAR|12|17|20|||1||EA|FIXED
snare|POLYPECTOMY SNARE|OVAL 15 MM;COLD 10 MM;HEXAGONAL 25 MM|SUPPLY|STOCK|PAR|33|43|10|0272||1||EA|FIXED
polyptrap|POLYP TRAP|4 CHAMBER|SUPPLY|STOCK|PAR|5|9|10|||0.6||EA|FIXED
injectneedle|INJECTION NEEDLE|25 G 4 MM;23 G 6 MM|SUPPLY|STOCK|PAR|33|43|5|0272||0.8||EA|FIXED
endoclip|HEMOSTATIC CLIP|11 MM;16 MM;17 MM|SUPPLY|STOCK|PAR|88|165|0|0272||1||EA|FIXED
papillotome|SPHINCTEROTOME|20 MM;30 MM|SUPPLY|STOCK|PAR|140|230|0|0272||0.6||EA|FIXED
scopewire|GUIDE WIRE BILIARY|0.025 ANGLED;0.035 STRAIGHT|SUPPLY|STOCK|PAR|110|180|0|0272|C1769|0.6||EA|FIXED
balloonex|EXTRACTION BALLOON|9-12 MM;12-15 MM|SUPPLY|STOCK|PAR|120|190|0|0272||0.6||EA|FIXED
screw|CORTICAL SCREW|3.5X14;3.5X20;3.5X32;4.0X40|IMPLANT|STOCK|ORC|31|88|0|0278|C1713|4|lot|EA|FIXED
plate|LOCKING PLATE|4 HOLE;6 HOLE;8 HOLE;CLAVICLE|IMPLANT|STOCK|ORC|210|640|0|0278|C1713|3|lot|EA|FIXED
anchor|SUTURE ANCHOR|2.9 MM;4.5 MM;5.5 MM PEEK|IMPLANT|STOCK|ORC|240|430|0|0278|C1713|2|lot|EA|FIXED
mesh|HERNIA MESH|10X15;15X20;3D LARGE|IMPLANT|STOCK|ORC|180|900|0|0278|C1781|2|lot|EA|FIXED
skin|SKIN SUBSTITUTE|4X4 CM;2X4 CM;5X5 CM|IMPLANT|STOCK|ORC|620|1480|0|0278|Q4186|1.2|lot|CM2|FIXED
hip|HIP STEM|SIZE 3;SIZE 4;SIZE 5;SIZE 6|IMPLANT|CONSIGN|CNS|1850|4200|0|0278|C1776|2|lot|EA|FIXED
cup|ACETABULAR CUP|50 MM;52 MM;54 MM|IMPLANT|CONSIGN|CNS|900|1900|0|0278|C1776|1.6|lot|EA|FIXED
pacemaker|PACEMAKER DUAL CHAMBER|MR;STANDARD|IMPLANT|CONSIGN|CNS|3900|6800|0|0275|C1785|1|serial|EA|FIXED
knee|KNEE COMPONENT|FEMUR 4;TIBIA 5;INSERT 10 MM;PATELLA 32|IMPLANT|BILLONLY||620|3400|0|0278|C1776|3|lot|EA|FIXED
pedicle|PEDICLE SCREW|5.5X40;6.5X45;6.5X50|IMPLANT|BILLONLY||380|980|0|0278|C1713|2.4|lot|EA|FIXED
cage|INTERBODY CAGE|8X22;10X26;TLIF 11|IMPLANT|BILLONLY||2100|5200|0|0278|C1889|1.6|lot|EA|FIXED
graft|VASCULAR GRAFT|6 MM;8 MM;BIFURCATED 16X8|IMPLANT|BILLONLY||950|2600|0|0278|C1768|1|serial|EA|FIXED
lead|PACING LEAD|52 CM;58 CM|IMPLANT|CONSIGN|CNS|640|1100|0|0275|C1898|1|serial|EA|FIXED
instrument|RETRACTOR SET REUSABLE|DEEP;SELF RETAINING|INSTRUMENT|NONSTOCK||120|300|0|||0.6||EA|FIXED
floor|NURSING SUPPLY|BASIN;TRAY;CONTAINER|SUPPLY|NONSTOCK||2|16|24|||3||EA|FIXED
"""

# Charges of wards, clinics and the emergency room: code | name | revenue code | HCPCS | price
_WARD_CHARGES = """
2500003|HC PHARMACY INJECTABLE|0250||146
2580001|HC IV SOLUTION|0258||72
3000001|HC SPECIMEN COLLECTION|0300|G0471|18
3010001|HC LAB CHEMISTRY|0301|G0480|64
3050001|HC LAB HEMATOLOGY|0305|G0306|41
3060001|HC LAB MICROBIOLOGY|0306|G0499|88
3200001|HC RADIOLOGY DIAGNOSTIC|0320|G0279|310
3500001|HC CT SCAN|0350|G0297|1180
4100001|HC RESPIRATORY TREATMENT|0410|G0237|96
4200001|HC PHYSICAL THERAPY|0420|G0151|132
7300001|HC EKG|0730|G0403|155
5100001|HC CLINIC VISIT|0510|G0463|245
4500001|HC EMERGENCY VISIT|0450|G0380|890
"""

# number | name | service | department | CPT | share of inpatients | weight, then supplies, then implants. The weights
# are 100 together in the operating rooms, 33, 14 and 40 in the procedural areas: 72,000 and 60,000 cases a year at all
# sites, a quarter of them with implants (domain section 6).
_PROCEDURES = """
70101|Total knee arthroplasty|10|7010|27447|0.7|6
  drape 1-2, suture 2-3, blade 1-2, cement 1-2, dressing 1-2, pencil 1-1, glove 1-1, gown 1-1, drain 0-1
  knee 7-12
70102|Total hip arthroplasty|10|7010|27130|0.75|4
  drape 1-1, suture 2-3, blade 1-1, dressing 1-2, pencil 1-1, glove 1-1, gauze 1-1, warming 1-1
  hip 1-1, cup 1-1, screw 3-6
70103|Open reduction fixation ankle|10|7010|27792|0.3|3
  drape 1-1, suture 1-3, bur 0-1, dressing 1-2, pencil 1-1, gauze 1-1, needle 1-1
  plate 1-2, screw 6-9
70104|Arthroscopic rotator cuff repair|10|7010|29827|0.05|3
  drape 1-1, tubing 1-2, suture 1-2, bur 1-1, glove 1-1, ivset 1-1
  anchor 3-6
70105|Knee arthroscopy with meniscectomy|10|7010|29881|0.02|8
  drape 1-1, tubing 1-2, bur 1-1, suture 1-2, dressing 1-1, glove 1-1
  none
70201|Lumbar fusion posterior|20|7010|22612|0.95|4
  drape 1-2, bur 1-2, hemostat 1-2, suture 2-3, dressing 1-1, drain 1-1, gown 1-1, sealer 0-1
  pedicle 9-13, cage 1-2
70202|Cervical discectomy and fusion|20|7010|22551|0.6|2
  drape 1-1, bur 1-1, hemostat 1-1, suture 1-2, dressing 1-1, needle 1-1
  cage 1-2, plate 1-1, screw 5-8
70301|Laparoscopic cholecystectomy|30|7010|47562|0.25|10
  drape 1-1, trocar 2-3, clip 1-2, suture 1-2, dressing 1-1, glove 1-1, tubing 1-1
  none
70302|Laparoscopic colectomy|30|7010|44204|0.95|7
  drape 1-1, trocar 2-3, stapler 1-1, reload 1-3, sealer 1-1, suture 2-3, dressing 1-1, gauze 1-1, drain 0-1
  none
70303|Inguinal hernia repair|30|7010|49505|0.05|2
  drape 1-1, suture 1-3, pencil 1-1, dressing 1-1, gauze 1-1
  mesh 1-2
70304|Wound debridement with graft|30|7010|15271|0.5|4
  drape 1-1, dressing 2-3, pencil 1-1, gauze 1-1, catheterkit 0-1
  skin 1-2
70305|Laparoscopic appendectomy|30|7010|44970|0.5|8
  drape 1-1, trocar 2-3, stapler 0-1, reload 1-2, suture 1-2, dressing 1-1, glove 1-1
  none
70306|Breast lumpectomy|30|7010|19301|0.05|7
  drape 1-1, suture 2-3, pencil 1-1, clip 0-1, dressing 1-1, gauze 1-1
  none
70401|Coronary artery bypass|40|7010|33533|1|3
  drape 1-2, suture 3-4, pledget 1-2, hemostat 1-2, clip 1-2, drain 1-2, catheterkit 1-1, gown 1-1
  none
70501|Open aortic bypass|50|7010|35646|1|2
  drape 1-1, suture 2-4, pledget 1-1, clip 1-2, hemostat 1-1, gauze 1-1
  graft 1-2
70601|Laparoscopic hysterectomy|60|7010|58571|0.2|7
  drape 1-1, trocar 2-3, sealer 1-1, suture 2-3, reload 0-1, glove 1-1
  none
70602|Hysteroscopy|60|7010|58558|0.02|6
  drape 1-1, tubing 1-2, glove 1-1, gauze 1-1
  none
70701|Ureteroscopy with stent|70|7010|52356|0.1|8
  drape 1-1, tubing 1-2, glove 1-1, needle 1-1
  none
70702|Transurethral resection of the prostate|70|7010|52601|0.4|6
  drape 1-1, tubing 1-2, glove 1-1, gauze 1-1
  none
70801|Coronary stent placement|80|7020|92928|0.6|8
  guidewire 1-2, guidecath 1-2, balloon 1-2, sheath 1-1, closure 0-1, manifold 1-1
  stent 2-3
70802|Diagnostic catheterization|80|7020|93458|0.2|13
  guidewire 1-1, guidecath 1-2, sheath 1-1, manifold 1-1
  none
70803|Pacemaker implantation|80|7020|33208|0.7|4
  guidewire 1-1, sheath 1-2, manifold 1-1
  pacemaker 1-1, lead 2-3
70804|Catheter ablation|80|7020|93656|0.3|8
  guidewire 1-2, sheath 2-3, transducer 1-1
  none
70901|Uterine artery embolization|90|7030|37243|0.4|3
  microcath 1-1, accesskit 1-1
  coil 5-9
70902|Image guided drainage|90|7030|49406|0.6|6
  accesskit 1-1, draincath 1-2
  none
70903|Arteriography|90|7030|75710|0.3|5
  accesskit 1-1, microcath 1-2
  none
71001|Colonoscopy with polypectomy|100|7040|45385|0.03|20
  forceps 0-1, snare 1-2, polyptrap 1-1
  none
71002|Upper endoscopy with biopsy|100|7040|43239|0.1|14
  forceps 1-2, injectneedle 0-1
  none
71003|Endoscopic retrograde cholangiopancreatography|100|7040|43264|0.6|6
  papillotome 1-1, scopewire 1-2, balloonex 1-1, injectneedle 0-1
  none
"""


# What every case of a department takes besides, and families that are pulled for one and often stay closed.
_EVERY_CASE = {
    "7010": "drape 1-1, suture 1-3, dressing 1-3, pencil 1-1, tubing 0-1, drain 0-1, glove 3-4, gauze 3-4, gown 2-3, "
    "needle 1-3, ivset 1-2, warming 0-1",
    "7020": "cathpack 1-1, transducer 0-1, manifold 0-1, sheath 0-1, guidewire 0-1, needle 1-2, ivset 1-2",
    "7030": "irpack 1-1, irwire 1-2, accesskit 0-1, needle 1-2, ivset 1-2",
    "7040": "endokit 1-1, valveset 1-1, biteblock 0-1, endoclip 0-2, gown 1-2, glove 2-2, gauze 1-2",
}
PROCEDURAL_AREAS = frozenset({"7020", "7030", "7040"})  # document their supplies as findings, not on pick lists
PULLED_FAMILIES = (
    "suture", "dressing", "drape", "pencil", "tubing", "drain", "trocar", "clip", "hemostat", "blade", "bur", "glove",
    "gauze", "gown", "needle", "catheterkit",
)  # fmt: skip


def _family(text: str) -> Family:
    cells = text.split("|")
    name, label, variants, item_class, stock_class, home, low, high, box, *charged = cells
    revenue, hcpcs, weight, tracked, unit, method = charged
    return Family(
        name=name,
        label=label,
        variants=tuple(variants.split(";")),
        item_class=item_class,
        stock_class=stock_class,
        home=home,
        low=float(low),
        high=float(high),
        box=int(box),
        revenue_code=revenue or None,
        hcpcs=hcpcs or None,
        weight=float(weight),
        is_lot_tracked=bool(tracked),
        is_serial_tracked=tracked == "serial",
        unit=unit,
        method=method,
    )


def _needs(text: str) -> tuple[tuple[str, int, int], ...]:
    if text.strip() == "none":
        return ()
    needs = []
    for part in text.split(","):
        family, _, span = part.strip().partition(" ")
        least, _, most = span.partition("-")
        needs.append((family, int(least), int(most)))
    return tuple(needs)


def _procedure(head: str, supplies: str, implants: str) -> Procedure:
    number, name, service, department, cpt, inpatients, weight = head.split("|")
    return Procedure(
        procedure_id=number,
        name=name,
        service_c=int(service),
        department=department,
        cpt=cpt,
        inpatient_share=float(inpatients),
        weight=float(weight),
        supplies=_needs(supplies),
        implants=_needs(implants),
    )


WARD_CHARGES: tuple[tuple[str, ...], ...] = tuple(tuple(line.split("|")) for line in _WARD_CHARGES.strip().splitlines())
EVERY_CASE = {department: _needs(text) for department, text in _EVERY_CASE.items()}
_LINES = _PROCEDURES.strip().splitlines()
FAMILIES: tuple[Family, ...] = tuple(_family(line) for line in _FAMILIES.strip().splitlines())
PROCEDURES: tuple[Procedure, ...] = tuple(
    _procedure(head, supplies, implants)
    for head, supplies, implants in zip(_LINES[::3], _LINES[1::3], _LINES[2::3], strict=True)
)
