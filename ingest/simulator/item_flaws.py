"""What is wrong with items in the masters: MDM-02, MDM-03, MDM-05, MDM-06, MDM-07, MDM-10.

Here: second numbers for one product, identifiers of another one, device identifiers that cannot be right, package
factors that differ, charge codes that miss, items that become inactive while they are used.
Not here: whether a rule fires (oracle), how masters are delivered (legacy, cloud, stock, chart).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from ingest.simulator.chance import Chance
from ingest.simulator.events import Item, World
from ingest.simulator.plan import DefectPlan

DUPLICATE = "duplicate"
PIECES = 2  # items of each kind of flaw
CLOUD_DUPLICATES_FROM = 950001
CONVERTED_ON = date(2025, 11, 20)
HIBC_SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
USED_OFTEN = ("drape", "stapler", "trocar", "drain", "needle", "ivset")


def hibc_check(text: str) -> str:
    """Check character of a HIBC: the signs' places in the alphabet of 43, added up (ANSI/HIBC 2.6)."""
    return HIBC_SIGNS[sum(HIBC_SIGNS.index(sign) for sign in text) % len(HIBC_SIGNS)]


def flaw_items(world: World, chance: Chance, plan: DefectPlan) -> None:
    """Give some items their flaws; none without defects."""
    if not plan.defects:
        return
    _Flaws(world, chance, plan).plant()


class _Flaws:
    def __init__(self, world: World, chance: Chance, plan: DefectPlan) -> None:
        self.world = world
        self.plan = plan
        regular = [item for item in world.items.values() if item.supply_id and item.pou_no and not item.is_placeholder]
        keys = [item.key for item in regular if item.ehr_external_id and item.pou_erp_item_no and item.pou_gtin]
        stream = chance.stream("item flaws")
        self._keys = stream.sample(keys, len(keys))
        self._stream = stream
        self._cloud = any(site.erp == "erp_fusion" for site in world.sites.values())
        self._legacy = any(site.erp == "erp_lawson" for site in world.sites.values())

    def plant(self) -> None:
        """All flaws, each on items of its own."""
        self._wrong_identifiers()
        self._foreign_identifiers()
        self._second_numbers()
        self._factors()
        self._without_charge_code()
        self._inactive()
        self._near_misses()

    def _take(self, count: int, often: bool = False) -> Iterator[Item]:
        """Items that have no flaw yet; `often`: supplies that most cases take."""
        for key in list(self._keys):
            item = self.world.items[key]
            if count and (not often or item.usage_class in USED_OFTEN):
                self._keys.remove(key)
                count -= 1
                yield item

    def _change(self, item: Item, **changes: object) -> None:
        self.world.items[item.key] = replace(item, **changes)  # type: ignore[arg-type]

    def _note(self, rule_id: str, key: str, reason: str, near: bool = False) -> None:
        self.plan.note(rule_id, key, "SYS", near, reason)

    # ------------------------------------------------------------------------------------------------------- MDM-10

    def _wrong_identifiers(self) -> None:
        for item in self._take(PIECES):
            right = item.packages[0].gtin
            self._change(item, pou_gtin=right[:-1] + str((int(right[-1]) + 1) % 10))
            self._note("MDM-10", f"system=pou|item={item.pou_no}", "check digit")
        for item in self._take(PIECES):
            kept = tuple(entry for entry in item.ehr_identities if entry[0] != 30)
            self._change(item, ehr_identities=(*kept, (30, item.packages[0].gtin[3:])))
            self._note("MDM-10", f"system=ehr|item={item.supply_id}", "length")
        with_hibc = [item for item in self.world.items.values() if item.hibc and item.pou_no]
        for item in with_hibc[:PIECES]:
            assert item.hibc is not None
            wrong = HIBC_SIGNS[(HIBC_SIGNS.index(item.hibc[-1]) + 1) % len(HIBC_SIGNS)]
            self._change(item, hibc=item.hibc[:-1] + wrong)
            self._note("MDM-10", f"system=pou|item={item.pou_no}", "check character")

    # ------------------------------------------------------------------------------------------------------- MDM-03

    def _foreign_identifiers(self) -> None:
        """The number says one item, the device identifier another."""
        for item, other in zip([*self._take(PIECES)], [*self._take(PIECES)], strict=False):
            kept = tuple(entry for entry in item.ehr_identities if entry[0] != 30)
            self._change(item, ehr_identities=(*kept, (30, other.packages[0].gtin)))
            self._note("MDM-03", f"system=ehr|item={item.supply_id}", "device identifier of another item")
        for item, other in zip([*self._take(PIECES)], [*self._take(PIECES)], strict=False):
            self._change(item, pou_gtin=other.packages[0].gtin)
            self._note("MDM-03", f"system=pou|item={item.pou_no}", "device identifier of another item")

    # ------------------------------------------------------------------------------------------------------- MDM-02

    def _second_numbers(self) -> None:
        stocked_twice = [item for item in self.world.items.values() if item.pou_alias_nos]
        for item in stocked_twice[: PIECES + 1]:
            self._change(item, is_alias_merged=False)
            self._note("MDM-02", f"system=pou|item={item.pou_alias_nos[0]}|duplicate_of={item.pou_no}", "not merged")
        for system in ("erp_fusion", "erp_lawson", "ehr"):
            for item in self._take(PIECES):
                self._duplicate(item, system)

    def _duplicate(self, item: Item, system: str) -> None:
        """A converted item that the system had already."""
        key = max(self.world.items) + 1
        bare = replace(
            item,
            key=key,
            legacy_no=None,
            cloud_no=None,
            cloud_item_id=None,
            pou_no=None,
            supply_id=None,
            mmis_no=None,
            mmis_east_no=None,
            pou_gtin=None,
            hibc=None,
            ehr_external_id=None,
            ehr_identities=(),
            usage_class=DUPLICATE,
            home="",
            contract_number=None,
            created_on=CONVERTED_ON,
        )
        if system == "erp_fusion" and item.cloud_no and self._cloud:
            number = str(CLOUD_DUPLICATES_FROM + key)
            self.world.items[key] = replace(bare, cloud_no=number, cloud_item_id=300000300000000 + key)
            self._note("MDM-02", f"system={system}|item={number}|duplicate_of={item.cloud_no}", "converted twice")
        elif system == "erp_lawson" and item.legacy_no and self._legacy:
            number = f"{8000000 + key:07d}"
            self.world.items[key] = replace(bare, legacy_no=number)
            plain = item.legacy_no.lstrip("0")
            self._note("MDM-02", f"system={system}|item={number}|duplicate_of={plain}", "entered twice")
        elif system == "ehr":
            number = str(9000000 + key)
            self.world.items[key] = replace(bare, supply_id=number)
            self._note("MDM-02", f"system={system}|item={number}|duplicate_of={item.supply_id}", "entered twice")

    # ------------------------------------------------------------------------------------------------------- MDM-06

    def _factors(self) -> None:
        """A case of another size; the system of record is right, so its conflict is with the one named."""
        for system in ("pou", "erp_fusion") if self._legacy else ("pou",):
            items = [self.world.items[key] for key in self._keys]
            boxed = [item for item in items if len(item.packages) == 3 and item.legacy_no and item.cloud_no]
            for item in boxed[:PIECES]:
                self._keys.remove(item.key)
                case = item.packages[2]
                wrong = case.each * (2 if system == "pou" else 5)
                self._change(item, wrong_factors=((system, case.uom, Decimal(wrong)),))
                number = item.pou_no if system == "pou" else item.cloud_no
                self._note("MDM-06", f"system={system}|item={number}|from={case.uom}|to=EA", "another case")

    # ------------------------------------------------------------------------------------------------------- MDM-05

    def _without_charge_code(self) -> None:
        chosen = [key for key in self._keys if self.world.items[key].item_class == "IMPLANT"]
        for key in chosen[:PIECES]:
            self._keys.remove(key)
            item = self.world.items[key]
            self._change(item, charge_code=None, proc_id=None, is_chargeable=False)
            self._note("MDM-05", f"system=ehr|item={item.supply_id}", "no charge code")

    def _near_misses(self) -> None:
        """What looks like a flaw: identifier of the box, another code of a unit, no charge code, thirteen digits."""
        boxed = [key for key in self._keys if len(self.world.items[key].packages) == 3]
        for key in boxed[:PIECES]:
            self._keys.remove(key)
            item = self.world.items[key]
            self._change(item, pou_gtin=item.packages[1].gtin)
            self._note("MDM-03", f"system=pou|item={item.pou_no}", "identifier of the box", near=True)
            if item.cloud_no is not None:
                self._note("MDM-06", f"system=erp_fusion|item={item.cloud_no}|from=CA|to=EA", "a case is CS", near=True)
        items = list(self.world.items.values())
        for item in [item for item in items if item.usage_class == "suture"][:PIECES]:
            self._note("MDM-05", f"system=ehr|item={item.supply_id}", "routine supply", near=True)
        unpadded = [item for item in items if item.pou_gtin and len(item.pou_gtin) == 13 and item.is_in_gudid]
        for item in [item for item in unpadded if item.hibc is None][:PIECES]:
            self._note("MDM-10", f"system=pou|item={item.pou_no}", "thirteen digits", near=True)

    # ------------------------------------------------------------------------------------------------------- MDM-07

    def _inactive(self) -> None:
        """Items that an ERP retires while cases take them every week."""
        days = (self.world.end - self.world.start).days
        for place, item in enumerate([*self._take(2 * PIECES + 2, often=True)]):
            since = self.world.start + timedelta(days=self._stream.integer(max(days // 4, 2), max(days // 2, 3)))
            systems = [
                system
                for system, number, is_used in (
                    ("erp_lawson", item.legacy_no, self._legacy),
                    ("erp_fusion", item.cloud_no, self._cloud),
                )
                if number is not None and is_used
            ]
            if systems:
                self._change(item, inactive_since=((systems[place % len(systems)], since),))
