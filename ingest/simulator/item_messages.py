"""Item master notifications (MFN^M16, HL7 v2.8 chapter 17): what each hospital's item master says of its items.

Here: the first load of every hospital and the daily changes: MFE, ITM, VND, PKG and IVT of an item.
Not here: when files are written (messages), the item masters of the other systems (chart, stock, legacy, cloud).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal

from ingest.simulator.accounts import BY_ROLE
from ingest.simulator.chance import Chance
from ingest.simulator.delivery import CHICAGO
from ingest.simulator.events import Item, Location, Package, Site, Supplier, World
from ingest.simulator.hl7_text import INTERFACES, Field, Message, escaped, money, number, segment, stamp
from ingest.simulator.masters import Masters, gtin
from ingest.simulator.plan import DefectPlan
from ingest.simulator.stock import Stock

ITEMS_PER_MESSAGE = 20
CHANGES_PER_DAY = 300 / 90_000  # of an item master
FIVE_PLACES = Decimal("0.00001")
SECOND_VENDOR = 5  # first indicator digit of the GTINs under which another vendor sells an item (Q32)
ORDER_UNITS = {"EA": "EA^Each", "BX": "BX^Box", "CA": "CA^Case"}


class ItemMessages:
    """The item masters of the simulated hospitals, as they tell of themselves."""

    def __init__(self, world: World, masters: Masters, stock: Stock, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world and its stock levels."""
        self.world = world
        self.masters = masters
        self.stock = stock
        self.plan = plan
        self.chance = chance
        self._known: dict[tuple[str, str], list[Item]] = {}

    def first_load(self) -> Iterator[Message]:
        """Every item of every hospital (MAD), in the first night."""
        for site in self.world.sites.values():
            items = self._items(site)
            at = datetime.combine(self.world.start, time(2, 10), CHICAGO)
            for first in range(0, len(items), ITEMS_PER_MESSAGE):
                chosen = items[first : first + ITEMS_PER_MESSAGE]
                yield self._message(site, "MAD", chosen, at + timedelta(seconds=first // 4))

    def day(self, d: date) -> Iterator[Message]:
        """Items whose price, package or stock levels change on `d` (MUP)."""
        for site in self.world.sites.values():
            stream = self.chance.stream("item changes", site.code, d)
            items = [item for item in self._items(site) if item.is_active]
            expected = len(items) * CHANGES_PER_DAY
            for item in stream.sample(items, int(expected) + stream.flag(expected - int(expected))):
                at = datetime.combine(d, time(stream.integer(8, 16), stream.integer(0, 59)), CHICAGO)
                future = stream.decimal(1.01, 1.06, 3) if stream.flag(0.6) else None
                yield self._message(site, "MUP", [item], at, future)

    def _items(self, site: Site) -> list[Item]:
        if site.code not in INTERFACES:
            return []
        key = (site.code, site.erp)
        if key not in self._known:
            self._known[key] = [item for item in self.world.items.values() if self._number(site, item)]
        return self._known[key]

    @staticmethod
    def _number(site: Site, item: Item) -> str | None:
        return item.cloud_no if site.erp == "erp_fusion" else item.legacy_no

    def _message(
        self, site: Site, action: str, items: Sequence[Item], at: datetime, future: Decimal | None = None
    ) -> Message:
        kind = "REP" if action == "MAD" else "UPD"
        segments = [segment("MFI", {1: "INV^Inventory master file^HL70175", 3: kind, 5: stamp(at), 6: "NE"})]
        for item in items:
            segments.extend(self._item(site, action, item, at, future))
        return Message(site.code, "M16", "MFN_M16", "2.8", at, at, tuple(segments), len(items))

    # ------------------------------------------------------------------------------------------------------ segments

    def _item(self, site: Site, action: str, item: Item, at: datetime, future: Decimal | None) -> Iterator[str]:
        item_no = self._number(site, item)
        yield segment("MFE", {1: action, 3: stamp(at), 4: item_no, 5: "CWE"})
        yield self._itm(site, item)
        for place, vendor in enumerate(self._vendors(item), start=1):
            yield from self._vendor(site, item, vendor, place, at, future)
        for place, location in enumerate(self._locations(site, item), start=1):
            yield self._ivt(site, item, location, place)

    def _itm(self, site: Site, item: Item) -> str:
        """ITM (HL7 v2.8 17.4.2)."""
        role = BY_ROLE["IMPLANT_EXP" if item.item_class == "IMPLANT" else "SUPPLY_EXP"]
        account = role.cloud_account if site.erp == "erp_fusion" else str(role.legacy_account)
        maker = self.world.manufacturers[item.manufacturer_id]
        chargeable = "Y" if item.is_chargeable else "N"
        fields: dict[int, Field] = {
            1: self._number(site, item),
            2: self._description(site, item),
            3: "A^Active" if item.is_active else "I^Inactive",
            4: f"{item.item_class}^{item.item_class.capitalize()}",
            7: maker.lawson_code,
            8: escaped(maker.name),
            9: escaped(item.catalogue_number),
            10: item.hibc[1:5] if item.hibc else None,
            11: chargeable,
            12: f"{item.charge_code}^^99CDM" if item.charge_code else None,
            14: "Y" if item.stock_class == "STOCK" else "N",
            19: account,
            27: f"{item.hcpcs}^^HCPCS" if item.hcpcs else None,
            33: "42320000" if item.item_class == "IMPLANT" else "42290000",
        }
        return segment("ITM", fields)

    def _description(self, site: Site, item: Item) -> str:
        """ITM-2. Q28: texts with delimiters of the message, escaped, or a pair of backslashes from a bad sender."""
        text = item.description
        if item.key % 23 == 0:
            text = f"{text} Ø{3 + item.key % 9} mm"
        if not self.plan.quirk("Q28", item.key):
            return escaped(text)
        kind = self.chance.stream("description", site.code, item.key).integer(1, 3)
        if kind == 1:
            return escaped(f"{text} W/ GUIDE & CAP")
        if kind == 2:
            return escaped(f"{text} 5^0|A~B")
        return f"{escaped(text)} 2\\\\3"

    def _vendors(self, item: Item) -> list[Supplier]:
        """Who sells the item, the usual one first."""
        maker = self.world.manufacturers[item.manufacturer_id]
        return [self.world.suppliers[key] for key in dict.fromkeys((item.supplier_id, maker.supplier_id))]

    def _vendor(
        self, site: Site, item: Item, vendor: Supplier, place: int, at: datetime, future: Decimal | None
    ) -> Iterator[str]:
        """VND (HL7 v2.8 17.4.4) with its PKG (17.4.5)."""
        vendor_no = vendor.cloud_no if site.erp == "erp_fusion" else vendor.lawson_no
        if vendor_no is None:
            return
        catalogue = item.vendor_catalogue_number if place == 1 else item.catalogue_number
        yield segment(
            "VND",
            {1: place, 2: vendor_no, 3: escaped(vendor.name), 4: escaped(catalogue), 5: "Y" if place == 1 else "N"},
        )
        for level, package in enumerate(item.packages):
            factor = Decimal(1) if place == 1 else Decimal("1.04")
            price = (item.price_each * package.each * factor).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
            raised = None if future is None else (price * future).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
            effective = datetime.combine((at + timedelta(days=35)).date().replace(day=1), time(), CHICAGO)
            fields: dict[int, Field] = {
                1: level + 1,
                2: ORDER_UNITS[package.uom],
                3: "Y" if package.uom == item.buy_uom else "N",
                4: number(package.each),
                5: money(price),
                6: money(raised),
                7: stamp(effective) if raised is not None else None,
                8: self._gtin(item, package, place, level),
            }
            yield segment("PKG", fields)

    def _gtin(self, item: Item, package: Package, place: int, level: int) -> str:
        """Q32: another vendor packs the same item under numbers of its own."""
        if place == 1 or not self.plan.shows("Q32"):
            return package.gtin
        return gtin(SECOND_VENDOR + level, item.key)

    def _locations(self, site: Site, item: Item) -> Iterable[Location]:
        if not self.stock.is_carried(site.code, item):
            return
        home = self.stock.home(site.code, item)
        store = self.stock.location(site.code, "STR")
        for location in dict.fromkeys((store, home)):
            is_here = self.stock.holdings.level(location.location_id, item.key) is not None or location.is_consigned
            if location.erp_code is not None and is_here:
                yield location

    def _ivt(self, site: Site, item: Item, location: Location, place: int) -> str:
        """IVT (HL7 v2.8 17.4.6)."""
        role = BY_ROLE["INV_ASSET"]
        level = self.stock.holdings.level(location.location_id, item.key)
        is_core = level is not None and location.location_type == "OR_CORE"
        asset = role.cloud_account if site.erp == "erp_fusion" else str(role.legacy_account)
        fields: dict[int, Field] = {
            1: place,
            2: location.erp_code,
            3: escaped(location.location_type.replace("_", " ")),
            7: f"{'ABCDEF'[item.key % 6]}{item.key % 40:02d}",
            8: ORDER_UNITS[item.buy_uom],
            9: ORDER_UNITS["EA"],
            10: None if location.is_consigned else asset,
            15: "Y",
            16: "Y" if location.is_consigned else "N",
            24: number(level.reorder) if level is not None else None,
            25: number(level.maximum - level.reorder) if level is not None else None,
            26: number(level.maximum) if level is not None and is_core else None,
        }
        return segment("IVT", fields)
