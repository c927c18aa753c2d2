"""Tiny worlds, built by hand: one cloud hospital (H1), one legacy hospital (H5), a few items, nothing else."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from ingest.simulator.events import (
    AccountState,
    Case,
    ChargePrice,
    ChargeTransaction,
    ContractLine,
    CostVersion,
    DeliveredFile,
    InFlightCharge,
    Invoice,
    InvoiceLine,
    Item,
    JournalLine,
    Location,
    Movement,
    OnHand,
    Package,
    PoLine,
    Posting,
    Recall,
    ReceiptLine,
    ShelfLot,
    ShelfStatus,
    Site,
    Supplier,
    UsageLine,
    World,
)
from ingest.simulator.oracle import evaluate

CHICAGO = ZoneInfo("America/Chicago")
START = date(2026, 1, 2)
END = date(2026, 4, 10)
SURGERY = date(2026, 2, 3)  # a Tuesday
CATEGORIES = {
    "Receipt Accounting": "Receiving",
    "Cost Accounting": "Inventory",
    "Payables": "Purchase Invoices",
    "SHS HB": "Charges",
}
SYSTEMS = {"Receipt Accounting": "RA", "Cost Accounting": "CA", "Payables": "PAY", "SHS HB": "HB", "Manual": "MAN"}

SITES = {
    "H1": Site(
        "H1", "Main", "erp_fusion", "10100", "MAI", "9521000001107", None, "101", 1, 2, 3, "H01", ("7010", "7020"), 0.6
    ),
    "H5": Site(
        "H5",
        "Prairie",
        "erp_lawson",
        "10500",
        "PRA",
        "9521000001503",
        1005,
        None,
        None,
        None,
        None,
        None,
        ("7010", "7020"),
        0.4,
    ),
}


def at(day: date, hour: int = 12, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), CHICAGO)


class Tiny:
    """A world with a short word for each thing that can happen in it; all is well unless a test says otherwise."""

    def __init__(self) -> None:
        world = World(start=START, end=END, seed=1)
        world.sites = dict(SITES)
        for site in SITES.values():
            for suffix, kind, perpetual, asset, consigned in (
                ("STR", "STOREROOM", True, True, False),
                ("ORC", "OR_CORE", True, True, False),
                ("CTH", "PROCEDURAL", True, True, False),
                ("CNS", "CONSIGN_CLOSET", True, False, True),
                ("CAB01", "CABINET", True, False, False),
                ("PAR01", "PAR", False, False, False),
            ):
                name = f"{site.code}-{suffix}"
                code = f"{site.pou_site}-{suffix}"
                world.locations[name] = Location(
                    name, site.code, kind, perpetual, asset, consigned, code, suffix, suffix, "7010"
                )
        for number in (1, 2, 3):
            supplier_id = f"SUP0000{number}"
            world.suppliers[supplier_id] = Supplier(
                supplier_id,
                f"Supplier {number}",
                "SUP00001" if number == 2 else None,
                "BOTH",
                f"200{number}",
                f"500{number}",
                number,
                number,
                "95",
                False,
                30,
            )
        world.reference = {
            "CHARGEABILITY_POLICY": [
                policy(10, "N", "research sponsor pays", research="Y"),
                policy(20, "N", "wasted items are not billed", disposition="WASTED"),
                policy(30, "Y", "implant", item_class="IMPLANT"),
            ],
            "MARKUP_TIER": [markup("0", "100", "4", floor_price="10"), markup("100", "", "2")],
            "HCPCS": [
                {"hcpcs": "Q4100", "units_per_each": "16", "valid_from": "2024-10-01", "valid_to": ""},
            ],
        }
        self.world = world
        self.numbers = 0
        self.supply = self.item("Stapler", price="100", charge_code="C100")
        self.implant = self.item("Plate", item_class="IMPLANT", price="300", charge_code="C300")
        self.bill_only = self.item(
            "Cage", item_class="IMPLANT", stock_class="BILLONLY", price="2000", charge_code="C900"
        )
        self.price("C100", "250")
        self.price("C300", "900")
        self.price("C900", "5000")

    # ------------------------------------------------------------------------------------------------------ masters

    def next(self) -> int:
        self.numbers += 1
        return self.numbers

    def item(
        self,
        description: str,
        item_class: str = "SUPPLY",
        stock_class: str = "STOCK",
        price: str = "100",
        charge_code: str | None = None,
        **changes: object,
    ) -> Item:
        key = len(self.world.items) + 1
        number = f"{1000 + key:07d}"
        values: dict[str, object] = {
            "key": key,
            "description": description,
            "item_class": item_class,
            "stock_class": stock_class,
            "manufacturer_id": "MFR00001",
            "catalogue_number": f"CAT-{key:04d}",
            "legacy_no": number,
            "cloud_no": number.lstrip("0"),
            "cloud_item_id": key,
            "pou_no": f"PX{key:06d}",
            "supply_id": str(5000 + key),
            "supplier_id": "SUP00001",
            "vendor_catalogue_number": f"CAT-{key:04d}",
            "packages": (Package("EA", Decimal(1), f"{key:014d}"), Package("BX", Decimal(10), f"1{key:013d}")),
            "buy_uom": "EA",
            "price_each": Decimal(price),
            "charge_code": charge_code,
            "proc_id": f"P{charge_code}" if charge_code else None,
            "revenue_code": "0272",
            "is_chargeable": charge_code is not None,
            "is_lot_tracked": False,
            "is_serial_tracked": False,
            "contract_number": None,
            "ehr_external_id": number.lstrip("0"),
            "pou_erp_item_no": number,
            "pou_manufacturer_name": "MFR00001",
        }
        item = Item(**(values | changes))  # type: ignore[arg-type]
        self.world.items[key] = item
        if stock_class == "STOCK":
            for site, places in (("H1", (None,)), ("H5", ("H5-STR", "H5-ORC", "H5-CTH"))):
                for place in places:
                    self.world.costs.append(
                        CostVersion("average", site, place, key, START - timedelta(days=1), Decimal(price))
                    )
        self.world.costs.append(CostVersion("ovtm", None, None, key, date(2025, 1, 1), Decimal(price)))
        return item

    def price(self, code: str, price: str | None, unit: str = "EA", hcpcs: str | None = None) -> None:
        self.world.charge_prices.append(
            ChargePrice(
                f"P{code}",
                code,
                Decimal(price) if price else None,
                "FIXED" if price else "MARKUP",
                unit,
                "0272",
                hcpcs,
                True,
                date(2025, 1, 1),
                None,
            )
        )

    def contract(self, item: Item, price: str, **changes: object) -> None:
        values: dict[str, object] = {
            "contract_number": "PP-1",
            "contract_type": "GPO",
            "supplier_id": item.supplier_id,
            "supplier_no": "GP1",
            "item_key": item.key,
            "vendor_catalogue_number": item.vendor_catalogue_number,
            "uom": "EA",
            "each_per_uom": Decimal(1),
            "price": Decimal(price),
            "tier": 1,
            "price_type": "FIXED",
            "markup_pct": None,
            "is_on_hold": False,
            "priority": None,
            "effective_from": date(2025, 1, 1),
            "effective_to": None,
            "roster": (("H1", date(2025, 1, 15)), ("H5", date(2025, 1, 15))),
        }
        self.world.contract_lines.append(ContractLine(**(values | changes)))  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------------------- cases, usage

    def case(self, log_id: str = "40000001", site: str = "H1", posted_days: int = 1, **changes: object) -> str:
        """A case, performed on `SURGERY` unless `surgery_date` says otherwise, posted some days later (-1: never)."""
        day = changes.get("surgery_date", SURGERY)
        assert isinstance(day, date)
        posted = (at(day + timedelta(days=posted_days), 9),) if posted_days >= 0 else ()
        values: dict[str, object] = {
            "log_id": log_id,
            "case_id": log_id,
            "site": site,
            "department": "7010",
            "surgery_date": day,
            "started_at": at(day, 8),
            "service_c": 10,
            "service_line": "Orthopedics",
            "procedure_id": "1",
            "surgeon_id": "1",
            "patient_id": "Z1",
            "account": f"6{log_id}",
            "base_class": 1,
            "is_research": False,
            "is_test_patient": False,
            "status": 2 if posted else 1,
            "posted_at": posted,
            "default_location_id": f"{site}-ORC",
            "known_at": posted[0] if posted else at(day, 18),
        }
        case = Case(**(values | changes))  # type: ignore[arg-type]
        self.world.cases.append(case)
        self.world.accounts.append(
            AccountState(case.account, site, case.base_class, case.is_research, None, at(day, 6), None, at(day, 6))
        )
        return log_id

    def use(self, log_id: str, item: Item | None, quantity: str = "1", **changes: object) -> None:
        """A documented line; implants go into the implant log, with an implant id and a lot."""
        case = next(case for case in self.world.cases if case.log_id == log_id)
        number = self.next()
        is_implant = item is None or item.item_class == "IMPLANT"
        values: dict[str, object] = {
            "usage_id": f"U{number}",
            "log_id": log_id,
            "record": "implant" if is_implant else "pick_list",
            "action": "used",
            "supply_id": item.supply_id if item else None,
            "implant_id": f"7{number:05d}" if is_implant else None,
            "item_key": item.key if item else None,
            "site": case.site,
            "used_each": Decimal(quantity),
            "wasted_each": Decimal(0),
            "location_id": f"{case.site}-ORC",
            "documented_cost": item.price_each if item else Decimal(500),
            "chargeable_flag": None,
            "lot": f"LOT{number}" if is_implant else None,
            "serial": None,
            "expiry_date": None,
            "is_implant_copy": False,
            "is_one_time": item is None,
            "manufacturer_number": item.catalogue_number if item else "ONE-1",
            "vendor_catalogue_number": item.vendor_catalogue_number if item else "ONE-1",
            "one_time_charge_proc_id": None,
            "known_at": at(case.surgery_date, 18),
            "manufacturer_id": item.manufacturer_id if item else None,
            "device_identifier": item.packages[0].gtin if item else "1",
            "udi_type": 1,
        }
        self.world.usage.append(UsageLine(**(values | changes)))  # type: ignore[arg-type]

    def move(
        self,
        item: Item,
        quantity: str,
        kind: str = "ISSUE",
        case_typed: str | None = None,
        site: str = "H1",
        day: date = SURGERY,
        **changes: object,
    ) -> None:
        """A movement with a signed quantity."""
        values: dict[str, object] = {
            "txn_id": f"D1-{self.next():09d}",
            "txn_type": kind,
            "site": site,
            "location_id": f"{site}-ORC",
            "pou_item_no": item.pou_no,
            "item_key": item.key,
            "quantity_each": Decimal(quantity),
            "owner": "OWNED",
            "lot": None,
            "serial": None,
            "case_typed": case_typed,
            "true_case_id": None,
            "ref_doc": None,
            "ref_line": None,
            "happened_at": at(day, 10),
            "posted_at": at(day, 10, 5).astimezone(UTC),
            "erp_amount": None,
            "erp_unit_cost": None,
        }
        self.world.movements.append(Movement(**(values | changes)))  # type: ignore[arg-type]

    def balance(self, item: Item, quantity: str, day: date = SURGERY, **changes: object) -> None:
        values: dict[str, object] = {
            "business_date": day,
            "site": "H1",
            "location_id": "H1-ORC",
            "pou_item_no": item.pou_no,
            "item_key": item.key,
            "owner": "OWNED",
            "quantity_each": Decimal(quantity),
            "unit_cost": item.price_each,
        }
        self.world.on_hand.append(OnHand(**(values | changes)))  # type: ignore[arg-type]

    def recall(self, item: Item, text: str, lots: str, day: date = SURGERY, days: int = 0, **changes: object) -> None:
        """A recall of lots from `day` on, known some days after (or before) it."""
        values: dict[str, object] = {
            "recall_number": f"Z-{self.next()}",
            "recalling_firm": item.manufacturer_id,
            "device_identifier": None,
            "catalogue_number": item.catalogue_number,
            "code_info": text,
            "lots": lots,
            "recall_date": day,
            "known_at": at(day + timedelta(days=days), 12),
        }
        self.world.recalls.append(Recall(**(values | changes)))  # type: ignore[arg-type]

    def shelf(self, item: Item, quantity: str, day: date = SURGERY, **changes: object) -> None:
        """What the balances of an evening say of one lot; the same until told otherwise."""
        values: dict[str, object] = {
            "business_date": day,
            "site": "H1",
            "location_id": "H1-ORC",
            "pou_item_no": item.pou_no,
            "item_key": item.key,
            "owner": "OWNED",
            "lot": None,
            "serial": None,
            "expiry_date": None,
            "quantity_each": Decimal(quantity),
        }
        self.world.shelf_lots.append(ShelfLot(**(values | changes)))  # type: ignore[arg-type]

    def status(
        self,
        item: Item,
        available: str,
        on_order: str | None = "0",
        reorder: str | None = "5",
        day: date = SURGERY,
        location_id: str = "H1-STR",
    ) -> None:
        """What the balances of an evening say of one item; the same until told otherwise."""
        number = Decimal(on_order) if on_order is not None else None
        point = Decimal(reorder) if reorder is not None else None
        self.world.shelf_statuses.append(
            ShelfStatus(day, "H1", location_id, str(item.pou_no), item.key, Decimal(available), number, point)
        )

    # ------------------------------------------------------------------------------------------------------ charges

    def charge(
        self, log_id: str | None, item: Item | None, quantity: str = "1", days: int = 2, **changes: object
    ) -> str:
        """A posted charge, some days after the surgery."""
        tx_id = str(900000 + self.next())
        case = next((case for case in self.world.cases if case.log_id == log_id), self.world.cases[0])
        post = case.surgery_date + timedelta(days=days)
        code = item.charge_code if item else "C100"
        price = next(row.price for row in self.world.charge_prices if row.charge_code == code) or Decimal(100)
        values: dict[str, object] = {
            "tx_id": tx_id,
            "account": case.account,
            "tx_type": 1,
            "amount": price * Decimal(quantity),
            "quantity": Decimal(quantity),
            "service_date": case.surgery_date,
            "post_date": post,
            "proc_id": f"P{code}",
            "charge_code": code,
            "revenue_code": "0272",
            "department_id": "10170101",
            "site": case.site,
            "supply_id": item.supply_id if item else None,
            "implant_id": None,
            "log_id": log_id,
            "reverses": None,
            "reposts": None,
            "credits": None,
            "corrects": None,
            "first_tx_id": None,
            "old_account": None,
            "unit_of_charge": "EA",
            "base_class": 1,
            "known_at": at(post, 20),
        }
        self.world.charges.append(ChargeTransaction(**(values | changes)))  # type: ignore[arg-type]
        return tx_id

    def waiting_charge(
        self, log_id: str, item: Item, station: str = "review", days: int = 1, until: int | None = None
    ) -> None:
        """A charge at a station before posting, from some days after the surgery until some other."""
        case = next(case for case in self.world.cases if case.log_id == log_id)
        self.world.in_flight.append(
            InFlightCharge(
                station,
                f"R{self.next()}",
                case.site,
                case.account,
                log_id,
                item.supply_id,
                None,
                f"P{item.charge_code}",
                Decimal(1),
                Decimal(250),
                case.surgery_date,
                None,
                at(case.surgery_date + timedelta(days=days), 10),
                None if until is None else at(case.surgery_date + timedelta(days=until), 10),
                "none",
            )
        )

    # --------------------------------------------------------------------------------------------------- purchasing

    def order(
        self, item: Item | None, quantity: str = "10", price: str = "100", day: date = SURGERY, **changes: object
    ) -> str:
        """An order line of H1; gives the order number."""
        po_key = str(changes.pop("po_key", f"SP{self.next():08d}"))
        each = changes.get("each_per_uom", Decimal(1))
        assert isinstance(each, Decimal)
        values: dict[str, object] = {
            "erp": "erp_fusion",
            "site": "H1",
            "po_key": po_key,
            "line": 1,
            "po_type": "regular",
            "match_basis": "3way",
            "supplier_id": "SUP00001",
            "supplier_no": "5001",
            "item_key": item.key if item else None,
            "erp_item_no": item.cloud_no if item else None,
            "order_date": day,
            "quantity": Decimal(quantity),
            "uom": "EA",
            "each_per_uom": each,
            "unit_price": Decimal(price),
            "ordered_each": Decimal(quantity) * each,
            "amount": Decimal(quantity) * Decimal(price),
            "contract_number": None,
            "vendor_catalogue_number": item.vendor_catalogue_number if item else None,
            "case_typed": None,
            "true_log_id": None,
            "lot": None,
            "serial": None,
            "is_cancelled": False,
            "cancelled_each": Decimal(0),
            "destination_location_id": None,
            "is_on_hold": False,
            "known_at": at(day, 6),
        }
        self.world.po_lines.append(PoLine(**(values | changes)))  # type: ignore[arg-type]
        return po_key

    def receive(self, po_key: str, quantity: str, day: date = SURGERY, kind: str = "receive", **changes: object) -> str:
        order = next(line for line in self.world.po_lines if line.po_key == po_key)
        key = str(changes.pop("receipt_key", f"3000{self.next()}"))
        price = order.unit_price / order.each_per_uom
        values: dict[str, object] = {
            "erp": order.erp,
            "site": order.site,
            "receipt_key": key,
            "po_key": po_key,
            "line": order.line,
            "kind": kind,
            "quantity_each": Decimal(quantity),
            "amount": (Decimal(quantity) * price).quantize(Decimal("0.01")),
            "receipt_date": day,
            "posting_date": day,
            "is_released": True,
            "is_automatic": False,
            "known_at": at(day, 7),
        }
        self.world.receipts.append(ReceiptLine(**(values | changes)))  # type: ignore[arg-type]
        return key

    def invoice(
        self,
        po_key: str | None,
        quantity: str,
        price: str,
        day: date = SURGERY,
        number: str | None = None,
        **changes: object,
    ) -> str:
        """An invoice of one line in EACH (negative quantity: credit memo)."""
        key = str(4000 + self.next())
        line = {name: changes.pop(name) for name in ("uom", "each_per_uom", "line_cancelled") if name in changes}
        each = line.get("each_per_uom", Decimal(1))
        assert isinstance(each, Decimal)
        amount = (Decimal(quantity) * Decimal(price)).quantize(Decimal("0.01"))
        values: dict[str, object] = {
            "erp": "erp_fusion",
            "site": "H1",
            "invoice_key": key,
            "supplier_id": "SUP00001",
            "supplier_no": "5001",
            "number": number or f"INV{key}",
            "kind": "invoice" if amount >= 0 else "credit",
            "invoice_date": day,
            "posting_date": day,
            "created_at": at(day, 9),
            "amount": amount,
            "is_cancelled": False,
            "source": "EDI",
            "known_at": at(day, 9),
        }
        header = Invoice(**(values | changes))  # type: ignore[arg-type]
        self.world.invoices.append(header)
        if po_key is not None:
            order = next(entry for entry in self.world.po_lines if entry.po_key == po_key)
            self.world.invoice_lines.append(
                InvoiceLine(
                    header.erp,
                    header.site,
                    key,
                    1,
                    "item",
                    po_key,
                    order.line,
                    Decimal(quantity),
                    str(line.get("uom", "EA")),
                    each,
                    Decimal(price),
                    Decimal(quantity) * each,
                    amount,
                    bool(line.get("line_cancelled", False)),
                    header.known_at,
                )
            )
        return f"system={header.erp}|supplier={header.supplier_no}|invoice={header.number}"

    # ------------------------------------------------------------------------------------------------ ledger, files

    def journal(
        self,
        lines: list[tuple[str, str, str]],
        day: date = SURGERY,
        source: str = "RA",
        journal: str = "1",
        site: str = "H1",
        manual: bool = False,
        **changes: object,
    ) -> None:
        """A journal of (role, debit, credit) lines; those of a subledger have a row of it behind each debit."""
        if not manual and SITES[site].erp == "erp_fusion":
            changes.setdefault("category", CATEGORIES.get(source, ""))
        for place, (role, debit, credit) in enumerate(lines, start=1):
            values: dict[str, object] = {
                "erp": SITES[site].erp,
                "site": site,
                "balancing_segment": "101",
                "ledger": "300000100000001",
                "journal": journal,
                "line": place,
                "role": role,
                "department": "0000",
                "source": source,
                "is_manual": manual,
                "posting_date": day,
                "debit": Decimal(debit),
                "credit": Decimal(credit),
                "is_posted": True,
                "known_at": at(day, 10),
            }
            line = JournalLine(**(values | changes))  # type: ignore[arg-type]
            self.world.journal_lines.append(line)
            if line.debit and not manual:
                self.subledger_row(line, line.debit)

    def subledger_row(self, line: JournalLine, amount: Decimal, **changes: object) -> None:
        """A row of the subledger that the line's journal takes over."""
        values: dict[str, object] = {
            "erp": line.erp,
            "site": line.site,
            "event": "E00",
            "system": SYSTEMS.get(line.source, line.source),
            "category": line.category,
            "posting_date": line.posting_date,
            "debit_role": line.role,
            "debit_department": "0000",
            "credit_role": "",
            "credit_department": "0000",
            "amount": amount,
            "subledger": "RCV",
            "subledger_key": str(self.next()),
            "known_at": line.known_at,
        }
        self.world.postings.append(Posting(**(values | changes)))  # type: ignore[arg-type]

    def file(self, day: date, content: str, system: str = "pou", extract: str = "txn", **changes: object) -> None:
        name = changes.pop("name", f"{extract}_{day:%Y%m%d}_0600.csv")
        folder = changes.pop("path_parts", "")
        values: dict[str, object] = {
            "system": system,
            "extract": extract,
            "folder_date": day,
            "slot": None,
            "name": name,
            "path": "/".join(part for part in (system, f"{day:%Y%m%d}", str(folder), str(name)) if part),
            "rows": 3,
            "stated_rows": 3,
            "content_hash": content,
            "manifest_hash_matches": True,
            "is_snapshot": False,
            "is_truncated": False,
            "repeats_previous_window": False,
        }
        self.world.files.append(DeliveredFile(**(values | changes)))  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------------------------ verdict

    def found(self, rule_id: str) -> dict[str, str]:
        """Entities that fire under a rule, at any time, with their impact."""
        return {
            finding.entity_key: str(finding.impact_amount)
            for finding in evaluate(self.world)
            if finding.rule_id == rule_id and not finding.near_miss
        }

    def near(self, rule_id: str) -> dict[str, str]:
        """Near misses of a rule with their reasons."""
        return {
            finding.entity_key: finding.reason
            for finding in evaluate(self.world)
            if finding.rule_id == rule_id and finding.near_miss
        }

    def course(self, rule_id: str) -> dict[str, tuple[date | None, date | None]]:
        """When entities open and clear under a rule."""
        return {
            finding.entity_key: (finding.detected_as_of, finding.cleared_as_of)
            for finding in evaluate(self.world)
            if finding.rule_id == rule_id and not finding.near_miss
        }


def policy(rule_no: int, chargeable: str, reason: str, **criteria: str) -> dict[str, str]:
    row = dict.fromkeys(("site", "item_class", "patient_base_class", "disposition", "min_unit_cost", "research"), "")
    return (
        row
        | criteria
        | {
            "policy_id": "P1",
            "rule_no": str(rule_no),
            "chargeable": chargeable,
            "reason": reason,
            "valid_from": "2024-10-01",
            "valid_to": "",
        }
    )


def markup(cost_from: str, cost_to: str, multiplier: str, **limits: str) -> dict[str, str]:
    row = {"site": "", "floor_price": "", "ceiling_price": "", "valid_from": "2024-10-01", "valid_to": ""}
    return row | limits | {"cost_from": cost_from, "cost_to": cost_to, "multiplier": multiplier}
