"""The reference files (system ref) of the simulated world.

Here: sites and their codes, calendars, maps, contracts, chargeability, devices; as files and as `World.reference`.
Not here: the masters themselves (masters).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from ingest.simulator.accounts import CLOSE_WORKDAYS, closes_on
from ingest.simulator.bedside import place_of
from ingest.simulator.chance import Chance
from ingest.simulator.chart import REVENUE_CODES
from ingest.simulator.delivery import CHICAGO, Outbox, Row, Value
from ingest.simulator.events import World
from ingest.simulator.item_flaws import DUPLICATE
from ingest.simulator.masters import CUTOVERS, DEPARTMENT_NAMES, EXPIRED_HCPCS, SITES, Masters, npi
from ingest.simulator.mmis import vendor_id
from ingest.simulator.new_units import NewUnit, new_units
from ingest.simulator.plan import DefectPlan
from ingest.simulator.price_files import MASTERS_SINCE

# Facts of all nine sites (landscape 1 and 2); only simulated sites have business.
ALL_SITES: tuple[tuple[str, str, str, int, str, str], ...] = (
    ("CDC", "SHS Distribution Centre", "America/Chicago", 0, "", "9521000001008"),
    ("H1", "SHS Main Hospital", "America/Chicago", 480, "990001", "9521000001107"),
    ("H2", "SHS North Hospital", "America/Chicago", 310, "990002", "9521000001206"),
    ("H3", "SHS West Hospital", "America/Chicago", 260, "990003", "9521000001305"),
    ("H4", "SHS River Hospital", "America/Chicago", 220, "990004", "9521000001404"),
    ("H5", "SHS Prairie Hospital", "America/Chicago", 190, "990005", "9521000001503"),
    ("H6", "SHS Hills Hospital", "America/Chicago", 170, "990006", "9521000001602"),
    ("H7", "SHS Valley Hospital", "America/Chicago", 120, "990007", "9521000001701"),
    ("H8", "SHS East Hospital", "America/New_York", 150, "990008", "9521000001800"),
)
COA: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("100100", "0000", "111000", "CASH", "A", "Cash"),
    ("110100", "0000", "121000", "PATIENT_AR", "A", "Patient accounts receivable"),
    ("130100", "0000", "141000", "INV_ASSET", "A", "Inventory"),
    ("130200", "0000", "141500", "IN_TRANSIT", "A", "Inventory in transit"),
    ("180100", "0000", "181000", "DUE_FROM", "A", "Due from affiliates"),
    ("199500", "0000", "199500", "CONV_CLEARING", "A", "Conversion clearing"),
    ("199900", "0000", "199900", "SUSPENSE", "A", "Suspense"),
    ("200100", "0000", "211000", "AP_CONTROL", "L", "Accounts payable"),
    ("200200", "0000", "212000", "GRNI", "L", "Received not invoiced"),
    ("200300", "0000", "212500", "BILLONLY_ACCRUAL", "L", "Bill-only accrual"),
    ("280100", "0000", "281000", "DUE_TO", "L", "Due to affiliates"),
    ("300100", "0000", "311000", "FUND_BALANCE", "E", "Fund balance"),
    ("400100", "0000", "411000", "PATIENT_REV_IP", "R", "Inpatient revenue"),
    ("400200", "0000", "412000", "PATIENT_REV_OP", "R", "Outpatient revenue"),
    ("420100", "0000", "421000", "DEDUCTIONS", "R", "Contractual deductions"),
    ("610100", "0000", "611000", "SUPPLY_EXP", "X", "Supply expense"),
    ("610100", "0010", "611000", "SUPPLY_EXP", "X", "Supply expense non-stock"),
    ("610200", "0000", "612000", "IMPLANT_EXP", "X", "Implant expense"),
    ("610210", "0000", "612000", "IMPLANT_EXP", "X", "Implant expense cath lab"),
    ("610900", "0000", "619000", "PPV", "X", "Purchase price variance"),
    ("610950", "0000", "619100", "TOLERANCE", "X", "Invoice tolerance"),
    ("611000", "0000", "619500", "INV_ADJ", "X", "Inventory adjustments"),
    ("611100", "0000", "619600", "OBSOLESCENCE", "X", "Obsolescence"),
    ("612000", "0000", "621000", "FREIGHT", "X", "Freight"),
    ("612500", "0000", "621500", "TAX", "X", "Sales tax"),
    ("620100", "0000", "631000", "PURCH_SERVICE", "X", "Purchased services"),
)
UNITS: dict[str, tuple[tuple[str, str], ...]] = {
    "ehr": (("EA", "EA"), ("BX", "BX")),
    "ehr_fhir": (("EA", "EA"),),
    "hb": (("EA", "EA"), ("BX", "BX"), ("HR", "HR")),
    "pou": (("EA", "EA"), ("BX", "BX"), ("CA", "CA"), ("PK", "PK")),
    "mmis": (("EA", "EA"), ("BX", "BX"), ("CA", "CA")),
    "edi": (("EA", "EA"), ("BX", "BX"), ("CA", "CA"), ("CS", "CA"), ("CT", "CA")),
    "erp_lawson": (("EA", "EA"), ("BX", "BX"), ("CA", "CA"), ("PK", "PK"), ("PR", "PR"), ("DZ", "DZ"), ("HR", "HR")),
    "erp_fusion": (
        ("EA", "EA"), ("BX", "BX"), ("CS", "CA"), ("PK", "PK"), ("PR", "PR"), ("DZ", "DZ"), ("HR", "HR"),
        ("Each", "EA"), ("Box", "BX"), ("Case", "CA"), ("Hour", "HR"),
    ),
}  # fmt: skip
LATE_MAPPING_DAYS = 9
HCPCS_KINDS = {"C": "DEVICE", "G": "SERVICE", "Q": "SKIN SUBSTITUTE"}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Reference:
    """Builds the reference rows of the world and sends them on its first day."""

    def __init__(self, world: World, masters: Masters, outbox: Outbox, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world; nothing is sent until `opening`."""
        self.world = world
        self.masters = masters
        self.outbox = outbox
        self.plan = plan
        self.chance = chance
        self._new_units = new_units(world, plan, chance)

    def opening(self, d: date) -> None:
        """Register every reference file; unchanged ones are sent once."""
        builders = {
            "FACILITY": self._facilities,
            "FACILITY_ID": self._facility_codes,
            "SYSTEM_OF_RECORD": self._systems_of_record,
            "FISCAL_CALENDAR": self._calendar,
            "COST_CENTER_MAP": self._cost_centres,
            "COA_MAP": self._accounts,
            "LOCATION_MAP": self._locations,
            "SUPPLIER_XREF": self._suppliers,
            "MANUFACTURER_ALIAS": self._manufacturers,
            "UNSPSC": self._commodities,
            "HCPCS": self._hcpcs,
            "UB_REV_CODE": self._revenue_codes,
            "GPO_CONTRACT_PRICE": self._contract_prices,
            "GPO_ROSTER": self._roster,
            "GPO_TIER": self._tiers,
            "CHARGEABILITY_POLICY": self._policy,
            "MARKUP_TIER": self._markup,
            "UOM_CODE": self._units,
        }
        for name, build in builders.items():
            rows = list(build())
            self.world.reference[name] = [{column: _text(value) for column, value in row.items()} for row in rows]
            late: list[tuple[date, Row]] = []
            if name == "COST_CENTER_MAP":
                units = self._late_units()
                late = [*self._late_cost_centre(rows, d), *units]
                rows += [row for _, row in units]
            self.outbox.snapshot("ref", name, _Sent(rows, late))
        self._send_devices(d)
        self._send_closes(d)

    # ---------------------------------------------------------------------------------------------- sites and codes

    @staticmethod
    def _facilities() -> Iterable[Row]:
        for number, (site, name, zone, beds, ccn, gln) in enumerate(ALL_SITES):
            yield {
                "site": site,
                "name": name,
                "facility_type": "HOSPITAL" if beds else "CDC",
                "timezone": zone,
                "ccn": ccn or None,
                "npi": npi(100 + number) if beds else None,
                "gln": gln,
                "beds": beds,
                "tax_exempt": True,
                "valid_from": MASTERS_SINCE,
            }

    @staticmethod
    def _facility_codes() -> Iterable[Row]:
        pou = {"CDC": "DC1", "H1": "MAI", "H2": "NOR", "H3": "WES", "H4": "RIV", "H5": "PRA"}
        cloud = {"CDC": 100, "H1": 101, "H2": 102, "H3": 103, "H4": 104}
        organisations = {"CDC": "CDC", "H1": "H01", "H2": "H02", "H3": "H03", "H4": "H04"}
        for site, _, _, _, _, gln in ALL_SITES:
            codes: list[tuple[str, str, str]] = [("edi", "GLN", gln), ("edi", "SHIPTO", f"SHS-{site}")]
            if site != "CDC":
                digit = site[1]
                codes += [
                    ("ehr", "LOC_ID", f"10{digit}00"),
                    ("hb", "LOC_ID", f"10{digit}00"),
                    ("erp_lawson", "COMPANY", f"100{digit}"),
                ]
            if site in pou:
                codes.append(("pou", "SITE", pou[site]))
            if SITES[site].mmis_corp is not None:
                codes.append(("mmis", "CORP", str(SITES[site].mmis_corp)))
            if SITES[site].fhir_organisation is not None:
                codes.append(("ehr_fhir", "ORG", str(SITES[site].fhir_organisation)))
            if site in cloud:
                number = cloud[site]
                codes += [
                    ("erp_fusion", "BU", f"300000100000{number}"),
                    ("erp_fusion", "LE", f"300000100000{number + 100}"),
                    ("erp_fusion", "INVORG", f"300000100000{number + 200}"),
                    ("erp_fusion", "INVORG", organisations[site]),
                    ("erp_fusion", "SEGMENT1", str(number)),
                ]
            for system, kind, value in codes:
                yield {
                    "source_system": system,
                    "id_type": kind,
                    "source_id": value,
                    "site": site,
                    "valid_from": MASTERS_SINCE,
                }

    def _systems_of_record(self) -> Iterable[Row]:
        for site, _, _, beds, _, _ in ALL_SITES:
            legacy = site not in ("CDC", "H1", "H2")
            erp = "erp_lawson" if legacy else "erp_fusion"
            for process in (
                "item",
                "supplier",
                "purchase_order",
                "receipt",
                "ap_invoice",
                "inventory",
                "gl",
                "revenue_gl",
            ):
                until = CUTOVERS.get(site)
                follows = process in ("receipt", "ap_invoice")
                yield {
                    "site": site,
                    "process": process,
                    "source_system": erp,
                    "valid_from": MASTERS_SINCE,
                    "valid_to": None if follows else until,
                    "cutover_type": "open_po_in_legacy" if until and follows else "hard" if until else None,
                    "doc_rule": "PO created before the switch" if until and follows else None,
                }
                if until is not None:
                    yield {
                        "site": site,
                        "process": process,
                        "source_system": "erp_fusion",
                        "valid_from": until,
                        "cutover_type": "open_po_in_legacy" if follows else "hard",
                    }
            if beds:
                yield {
                    "site": site,
                    "process": "usage",
                    "source_system": SITES[site].clinical,
                    "valid_from": MASTERS_SINCE,
                }
                yield {"site": site, "process": "charge", "source_system": "hb", "valid_from": MASTERS_SINCE}
            yield {
                "site": site,
                "process": "stock",
                "source_system": SITES[site].stock_system,
                "valid_from": MASTERS_SINCE,
            }

    @staticmethod
    def _calendar() -> Iterable[Row]:
        for year in (2025, 2026, 2027):
            for calendar, first_month in (("LEGACY_OCT_SEP", 10), ("CLOUD_JUL_JUN", 7)):
                for number in range(1, 13):
                    month = (first_month + number - 2) % 12 + 1
                    start = date(year - 1 if month >= first_month else year, month, 1)
                    end = (start.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
                    name = f"FY{year}P{number:02d}" if first_month == 10 else f"{MONTHS[month - 1]}-{start:%y}"
                    yield _period(calendar, year, number, name, start, end, False)
                last = date(year, 9, 30) if first_month == 10 else date(year, 6, 30)
                name = f"FY{year}P13" if first_month == 10 else f"Adj-{last:%y}"
                yield _period(calendar, year, 13, name, last, last, True)

    def _send_closes(self, d: date) -> None:
        """Close events of the periods before the world, and of those that end in it (workdays of landscape 3.1)."""
        rows: list[tuple[datetime, Row]] = []
        for period in self.world.reference["FISCAL_CALENDAR"]:
            end = date.fromisoformat(period["end_date"])
            if period["is_adjustment"] == "Y" or not d - timedelta(days=120) <= end <= self.world.end:
                continue
            legacy = period["calendar_id"] == "LEGACY_OCT_SEP"
            first = date.fromisoformat(period["start_date"])
            entities = [
                str(site.company) if legacy else str(site.segment1)
                for site in self.world.sites_of("erp_lawson" if legacy else "erp_fusion")
                if legacy or first >= self.world.cutovers.get(site.code, first)
            ]
            for entity in entities:
                for module in CLOSE_WORKDAYS:
                    at = datetime.combine(closes_on(end, module, legacy), time(17), CHICAGO)
                    rows.append(
                        (
                            at,
                            {
                                "calendar_id": period["calendar_id"],
                                "fiscal_year": int(period["fiscal_year"]),
                                "period_num": int(period["period_num"]),
                                "entity": entity,
                                "module": module,
                                "status": "CLOSED",
                                "event_ts": at,
                                "closed_by": "CONTROLLER",
                            },
                        )
                    )
        opening = datetime.combine(d, time(12), CHICAGO)
        sent = [(at, row) for at, row in sorted(rows, key=lambda entry: entry[0]) if at.date() <= self.world.end]
        self.world.reference["PERIOD_CLOSE"] = [
            {column: _text(value) for column, value in row.items()} for _, row in sent
        ]
        for at, row in sent:
            self.outbox.emit("ref", "PERIOD_CLOSE", row, max(at, opening))

    def _cost_centres(self) -> Iterable[Row]:
        for code, site in SITES.items():
            digit = code[1]
            if not site.is_hospital and code not in self.world.sites:
                continue
            for department in site.departments:
                shared: dict[str, Value] = {
                    "cost_center": f"{code}-{department}",
                    "department": department,
                    "department_name": DEPARTMENT_NAMES[department],
                    "site": code,
                    "valid_from": MASTERS_SINCE,
                }
                moved_on = self.world.cutovers.get(code)
                if site.erp == "erp_lawson":
                    units = [f"{digit}{department}"]
                    if department == "7010":
                        units.append(f"{digit}{department}1")
                    for unit in units:
                        yield {"source_system": "erp_lawson", "scope": str(site.company), "source_code": unit, **shared}
                if site.erp == "erp_fusion" or moved_on is not None:
                    yield {
                        "source_system": "erp_fusion",
                        "scope": site.segment1,
                        "source_code": "00000" if department == "0000" else f"{department}0",
                        **shared,
                        "valid_from": moved_on or MASTERS_SINCE,
                    }
                for new in self._new_units:
                    if (new.site, new.department, new.fate) == (code, department, "mapped in time"):
                        yield self._unit_row(new)
                if department != "0000":
                    if site.is_hospital:
                        yield {
                            "source_system": "ehr",
                            "scope": site.loc_id,
                            "source_code": f"{site.loc_id[:3]}{department}1",
                            **shared,
                        }
                    if site.fhir_organisation is not None:
                        yield {
                            "source_system": "ehr_fhir",
                            "scope": site.fhir_organisation,
                            "source_code": department,
                            **shared,
                        }
                    yield {
                        "source_system": site.stock_system,
                        "scope": site.mmis_corp or site.pou_site,
                        "source_code": department,
                        **shared,
                    }

    def _unit_row(self, unit: NewUnit) -> Row:
        return {
            "source_system": "erp_lawson",
            "scope": str(self.world.sites[unit.site].company),
            "source_code": unit.unit,
            "cost_center": f"{unit.site}-{unit.department}",
            "department": unit.department,
            "department_name": DEPARTMENT_NAMES[unit.department],
            "site": unit.site,
            "valid_from": unit.valid_from,
        }

    def _late_units(self) -> list[tuple[date, Row]]:
        """New accounting units with the day on which they are mapped."""
        late = [
            (unit.mapped_on, self._unit_row(unit))
            for unit in self._new_units
            if unit.mapped_on is not None and unit.mapped_on > self.world.start
        ]
        for day, row in late:
            shown = {column: _text(value) for column, value in row.items()}
            self.world.late_reference.append((day + timedelta(days=1), "COST_CENTER_MAP", shown))
        return late

    def _late_cost_centre(self, rows: list[Row], d: date) -> list[tuple[date, Row]]:
        """Q123: a department that is used for some days before it is mapped."""
        if not self.plan.shows("Q123"):
            return []
        site = self.world.hospitals()[-1]
        wanted = f"{site.loc_id[:3]}60101"
        found = [row for row in rows if row["source_system"] == "ehr" and row["source_code"] == wanted]
        return [(d + timedelta(days=LATE_MAPPING_DAYS), row) for row in found[:1]]

    @staticmethod
    def _accounts() -> Iterable[Row]:
        for account, sub, cloud, role, kind, text in COA:
            yield {
                "legacy_account": account,
                "legacy_sub": sub,
                "cloud_account": cloud,
                "conformed_account": cloud,
                "account_role": role,
                "account_type": kind,
                "description": text,
                "status": "mapped",
                "valid_from": MASTERS_SINCE,
            }
        yield {
            "legacy_account": "130300",
            "legacy_sub": "0000",
            "cloud_account": "141200",
            "conformed_account": "141200",
            "account_role": "RCV_CLEARING",
            "account_type": "A",
            "description": "Receiving clearing, cloud only",
            "status": "mapped",
            "valid_from": MASTERS_SINCE,
        }

    def _locations(self) -> Iterable[Row]:
        for location in self.world.locations.values():
            site = self.world.sites[location.site]
            shared: dict[str, Value] = {
                "location_id": location.location_id,
                "site": location.site,
                "location_type": location.location_type,
                "perpetual": location.is_perpetual,
                "asset": location.is_asset,
                "cost_center": f"{location.site}-{location.department}",
                "valid_from": MASTERS_SINCE,
            }
            yield {
                "source_system": site.stock_system,
                "scope": site.mmis_corp or site.pou_site,
                "source_location": location.mmis_no or location.pou_code,
                **shared,
            }
            if site.fhir_organisation is not None:
                yield {
                    "source_system": "ehr_fhir",
                    "scope": site.fhir_organisation,
                    "source_location": place_of(location),
                    **shared,
                }
            if location.ehr_code is not None:
                for system in ("ehr", "hb"):
                    yield {
                        "source_system": system,
                        "scope": site.loc_id,
                        "source_location": location.ehr_code,
                        **shared,
                    }
            moved_on = self.world.cutovers.get(location.site)
            for erp in ("erp_lawson", "erp_fusion"):
                code = location.code_in(erp)
                if code is None or (erp != site.erp and moved_on is None):
                    continue
                scope = str(site.company) if erp == "erp_lawson" else site.inventory_org_code
                since = moved_on if erp == "erp_fusion" and moved_on is not None else MASTERS_SINCE
                yield {"source_system": erp, "scope": scope, "source_location": code, **shared, "valid_from": since}

    # ----------------------------------------------------------------------------------------- suppliers and makers

    def _suppliers(self) -> Iterable[Row]:
        contracted = {line.supplier_id for line in self.world.contract_lines}
        for number, supplier in enumerate(self.world.suppliers.values()):
            numbers: list[tuple[str, str]] = [("ref", f"GP{int(supplier.supplier_id[3:]):05d}"), ("edi", supplier.duns)]
            unmapped = self.plan.shows("Q106") and supplier.supplier_id not in contracted and number % 2 == 0
            if supplier.lawson_no is not None and not unmapped:
                numbers.append(("erp_lawson", supplier.lawson_no))
            if supplier.cloud_no is not None:
                numbers.append(("erp_fusion", supplier.cloud_no))
            for database in sorted({site.database for site in self.world.sites.values()} - {0}):
                # Some vendors of the acquired hospital are known by name alone.
                if database == 1 or number % 12 != 5:
                    own = vendor_id(database, supplier.supplier_id, len(self.world.suppliers))
                    numbers.append(("mmis", f"{own}-{database}"))
            for system, source in numbers:
                yield {
                    "supplier_id": supplier.supplier_id,
                    "supplier_name": supplier.name,
                    "parent_supplier_id": supplier.parent_supplier_id,
                    "role": supplier.role,
                    "source_system": system,
                    "source_supplier_no": source,
                    "duns": supplier.duns,
                    "status": "approved",
                    "valid_from": MASTERS_SINCE,
                }

    def _manufacturers(self) -> Iterable[Row]:
        seen: set[tuple[str, str]] = set()
        for maker in self.world.manufacturers.values():
            # EHR category names carry a 6 digit id at their end, which is no part of the name.
            spoken = maker.ehr_name.rsplit(" ", 1)[0]
            names = [
                ("NAME", maker.name.upper()),
                *(("NAME", alias.upper()) for alias in maker.aliases),
                ("NAME", spoken),
                ("EHR_CATEGORY", spoken),
                ("MANUF_CODE", maker.lawson_code),
            ]
            for kind, alias in names:
                if (kind, alias) in seen:
                    continue
                seen.add((kind, alias))
                yield {"mfr_id": maker.manufacturer_id, "mfr_name": maker.name, "alias_type": kind, "alias": alias}

    # ------------------------------------------------------------------------------------------------------ devices

    def _send_devices(self, d: date) -> None:
        at = datetime.combine(d, time(12), CHICAGO)
        devices: list[Row] = []
        identifiers: list[Row] = []
        for item in self.world.items.values():
            if not item.is_in_gudid or item.is_placeholder or item.usage_class in ("unmapped_pou", DUPLICATE):
                continue
            maker = self.world.manufacturers[item.manufacturer_id]
            base = item.packages[0].gtin
            ended = self.plan.quirk("Q128", "ended", item.key, share=0.01)
            devices.append(
                {
                    "primary_di": base,
                    "brand_name": item.description.title(),
                    "version_model_number": item.catalogue_number,
                    "catalog_number": item.catalogue_number,
                    "company_name": maker.name,
                    "device_count": 1,
                    "single_use": True,
                    "lot_batch": item.is_lot_tracked and not item.is_serial_tracked,
                    "serial_number": item.is_serial_tracked,
                    "expiration_date": item.is_lot_tracked,
                    "implantable": item.item_class == "IMPLANT",
                    "device_sterile": True,
                    "distribution_status": "Not in Commercial Distribution" if ended else "In Commercial Distribution",
                    "distribution_end_date": d - timedelta(days=90) if ended else None,
                    "public_version_date": date(2025, 6, 1),
                }
            )
            identifiers.append(
                {"primary_di": base, "device_id": base, "device_id_type": "Primary", "issuing_agency": "GS1"}
            )
            if item.hibc is not None:
                identifiers.append(
                    {
                        "primary_di": base,
                        "device_id": item.hibc[1:-1],
                        "device_id_type": "Secondary",
                        "issuing_agency": "HIBCC",
                    }
                )
            below = item.packages[0]
            for package in item.packages[1:]:
                identifiers.append(
                    {
                        "primary_di": base,
                        "device_id": package.gtin,
                        "device_id_type": "Package",
                        "issuing_agency": "GS1",
                        "contains_di": below.gtin,
                        "pkg_quantity": package.each / below.each,
                        "pkg_status": "In Commercial Distribution",
                    }
                )
                below = package
        for name, rows in (("GUDID_DEVICE", devices), ("GUDID_IDENTIFIER", identifiers)):
            self.world.reference[name] = [{column: _text(value) for column, value in row.items()} for row in rows]
            for row in rows:
                self.outbox.emit("ref", name, row, at)

    @staticmethod
    def _commodities() -> Iterable[Row]:
        for code, title in (
            ("42290000", "Surgical products"),
            ("42310000", "Wound care products"),
            ("42320000", "Orthopedic surgical implants"),
            ("42180000", "Patient exam and monitoring"),
        ):
            yield {"code": code, "version": "24.0301", "title": title, "valid_from": MASTERS_SINCE}

    def _hcpcs(self) -> Iterable[Row]:
        known = {code.hcpcs for code in self.masters.charge_codes.values() if code.hcpcs}
        codes = sorted(known - {EXPIRED_HCPCS})
        for code in codes:
            per_square = any(
                entry.hcpcs == code and entry.unit == "CM2" for entry in self.masters.charge_codes.values()
            )
            yield {
                "hcpcs": code,
                "short_description": f"{HCPCS_KINDS[code[0]]} {code}",
                "device_c_code": code.startswith("C"),
                "mue_units": 10,
                "units_per_each": Decimal(16) if per_square else Decimal(1),
                "valid_from": MASTERS_SINCE,
            }
        if self.plan.shows("Q130"):
            yield {
                "hcpcs": EXPIRED_HCPCS,
                "short_description": "EXPIRED PASS THROUGH DEVICE",
                "device_c_code": True,
                "mue_units": 1,
                "units_per_each": Decimal(1),
                "valid_from": MASTERS_SINCE,
                "valid_to": date(2026, 4, 1),
            }

    @staticmethod
    def _revenue_codes() -> Iterable[Row]:
        classes = {
            "0270": "GENERAL",
            "0271": "NONSTERILE",
            "0272": "STERILE",
            "0273": "TAKEHOME",
            "0274": "PROSTHETIC",
            "0275": "PACEMAKER",
            "0276": "IOL",
            "0278": "IMPLANT",
            "0621": "INCIDENT",
            "0622": "INCIDENT",
        }
        for code, title in REVENUE_CODES.items():
            yield {"rev_code": code, "title": title, "supply_class": classes.get(code, "OTHER")}

    # -------------------------------------------------------------------------------------------------- contracts

    def _contract_prices(self) -> Iterable[Row]:
        seen: set[tuple[object, ...]] = set()
        for line in self.world.contract_lines:
            item = self.world.items[line.item_key]
            maker = self.world.manufacturers[item.manufacturer_id]
            number = item.catalogue_number
            if self.plan.quirk("Q126", line.contract_number, line.item_key, share=0.2):
                number = number.replace("-", "").replace("/", "").replace(".", "")
            key = (
                line.contract_number,
                line.supplier_no,
                line.vendor_catalogue_number,
                line.uom,
                line.tier,
                line.effective_from,
            )
            if key in seen:
                continue
            seen.add(key)
            yield {
                "contract_no": line.contract_number,
                "version": 1 if line.effective_from == MASTERS_SINCE else 2,
                "contract_type": line.contract_type,
                "gpo_id": "PARTNERGPO" if line.contract_type == "GPO" else None,
                "supplier_no": line.supplier_no,
                "mfr_name": maker.name,
                "mfr_cat_no": number,
                "vendor_cat": line.vendor_catalogue_number,
                "gtin": next((package.gtin for package in item.packages if package.uom == line.uom), None),
                "description": item.description,
                "uom": line.uom,
                "qty_in_each": line.each_per_uom,
                "price": line.price,
                "tier": line.tier,
                "price_type": line.price_type,
                "markup_pct": line.markup_pct,
                "hold": line.is_on_hold,
                "priority": line.priority,
                "effective_from": line.effective_from,
                "effective_to": line.effective_to,
            }

    def _contracts(self) -> dict[tuple[str, int], tuple[tuple[str, date | None], ...]]:
        return {(line.contract_number, line.tier): line.roster for line in self.world.contract_lines}

    def _roster(self) -> Iterable[Row]:
        for (contract, tier), roster in self._contracts().items():
            for site, signed in roster:
                yield {
                    "contract_no": contract,
                    "member_gln": self.world.sites[site].gln,
                    "tier": tier,
                    "loc_signed_date": signed,
                    "effective_from": MASTERS_SINCE,
                }

    def _tiers(self) -> Iterable[Row]:
        for contract, tier in self._contracts():
            yield {
                "contract_no": contract,
                "tier": tier,
                "criterion": "NONE" if tier == 1 else "VOLUME_USD",
                "threshold": None if tier == 1 else Decimal(250000),
                "measure_window": "CALENDAR_YEAR",
                "measure_level": "SYSTEM",
            }

    # ------------------------------------------------------------------------------------------------------ charging

    def _policy(self) -> Iterable[Row]:
        for rule in self.masters.policy:
            yield {
                "policy_id": "SHS-CHARGE",
                "rule_no": rule.rule_no,
                "site": rule.site,
                "item_class": rule.item_class,
                "patient_base_class": rule.base_class,
                "disposition": rule.disposition,
                "min_unit_cost": rule.min_unit_cost,
                "research": rule.research,
                "chargeable": rule.chargeable,
                "reason": rule.reason,
                "valid_from": rule.valid_from,
                "valid_to": rule.valid_to,
            }

    def _markup(self) -> Iterable[Row]:
        for tier in self.masters.markup:
            yield {
                "table_id": "SHS-A",
                "cost_from": tier.cost_from,
                "cost_to": tier.cost_to,
                "multiplier": tier.multiplier,
                "floor_price": tier.floor,
                "ceiling_price": tier.ceiling,
                "valid_from": MASTERS_SINCE,
            }

    @staticmethod
    def _units() -> Iterable[Row]:
        for system, codes in UNITS.items():
            for source, uom in codes:
                factor = {"DZ": Decimal(12), "PR": Decimal(2)}.get(uom)
                yield {"source_system": system, "source_uom": source, "uom": uom, "generic_factor": factor}


class _Sent:
    """Gives the rows once, and again whenever a late one joins them on its day."""

    def __init__(self, rows: list[Row], late: list[tuple[date, Row]]) -> None:
        self._rows = rows
        self._late = late
        self._is_sent = False

    def __call__(self, d: date) -> Iterable[Row] | None:
        waiting = [(day, row) for day, row in self._late if d < day]
        if self._is_sent and len(waiting) == len(self._late):
            return None
        self._is_sent, self._late = True, waiting
        absent = [row for _, row in waiting]
        return [row for row in self._rows if not any(row is other for other in absent)]


def _period(calendar: str, year: int, number: int, name: str, start: date, end: date, adjustment: bool) -> Row:
    return {
        "calendar_id": calendar,
        "fiscal_year": year,
        "period_num": number,
        "period_name": name,
        "start_date": start,
        "end_date": end,
        "is_adjustment": adjustment,
    }


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else str(value)
