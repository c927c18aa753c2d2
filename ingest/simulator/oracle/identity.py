"""Which golden item a source item is, concluded from the delivered identifiers alone.

Here: the delivered item masters, normal forms of their numbers, golden items of the two ERP masters, candidates of a
source item in the order of trust, stale cross references, merged numbers.
Not here: what the product truly is (the events), whether an unmapped item matters (master_data).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from ingest.simulator.events import Item, Site, UsageLine, World

TRUSTED = Decimal("1.00")
TRADE_ITEM = Decimal("0.98")
CATALOGUE = Decimal("0.95")
WEAK_CATALOGUE = Decimal("0.80")
EAST_DATABASE = 2  # of the MMIS, whose numbers the FHIR record uses
MATERIALS_CATALOGUE = 20  # characters of a catalogue number in the MMIS
_STRIPPED = str.maketrans("", "", " -./")


@dataclass(frozen=True, slots=True)
class ItemNumber:
    """One item of one system's item master with the identifiers that this system delivers for it, errors included."""

    system: str  # erp_lawson, erp_fusion, pou, mmis, ehr
    item_no: str  # ITEM, cloud item number, POU item_no, MMIS ITEM_NO-IDB, SUPPLY_ID
    item_key: int | None  # the product that it truly is; for costs, never for identity
    is_active: bool = True
    erp_item_nos: tuple[
        str, ...
    ] = ()  # pou: erp_item_no; mmis: ITEM_NO of database 1; ehr: PRIMARY_EXT_ID and identities of type 10
    pou_item_nos: tuple[str, ...] = ()  # ehr: identities of type 20
    gtins: tuple[
        str, ...
    ] = ()  # pou: gtin_each and alias GTIN; ehr: identities of type 30; cloud: cross references GTIN
    manufacturer: str | None = None  # as delivered: name, Lawson MANUF_CODE, EHR category name
    catalogue_number: str | None = None  # manufacturer's number as delivered
    legacy_item_no: str | None = None  # cloud: cross reference LEGACY_ITEM
    merged_into: str | None = None  # pou: merged_into_item_no
    levels: tuple[str, ...] = ()  # unit of each of the GTINs
    hibcs: tuple[str, ...] = ()
    created: date | None = None  # later than the masters' first day


def item_numbers(world: World) -> Iterator[ItemNumber]:
    """The item masters of all systems as they are delivered."""
    databases = sorted({site.database: site for site in world.sites.values() if site.mmis_corp}.items())
    for item in world.items.values():
        for database, site in databases:
            yield from _materials_number(world, item, site, database)
        maker = world.manufacturers.get(item.manufacturer_id)
        for number in (item.legacy_no, *item.legacy_alias_nos):
            if number is not None:
                code = maker.lawson_code if maker else item.manufacturer_id
                yield ItemNumber(
                    "erp_lawson",
                    number,
                    item.key,
                    item.is_active,
                    manufacturer=code,
                    catalogue_number=item.catalogue_number,
                    hibcs=(item.hibc,) if item.hibc else (),
                    created=item.created_on,
                )
        if item.cloud_no is not None:
            yield ItemNumber(
                "erp_fusion",
                item.cloud_no,
                item.key,
                item.is_active,
                gtins=() if item.is_placeholder else tuple(package.gtin for package in item.packages),
                manufacturer=maker.name if maker else item.manufacturer_id,
                catalogue_number=item.catalogue_number,
                legacy_item_no=item.legacy_no,
                levels=() if item.is_placeholder else tuple(package.uom for package in item.packages),
                created=item.created_on,
            )
        if item.pou_no is not None:
            yield from _inventory_numbers(item)
        if item.supply_id is not None:
            kinds = {
                kind: tuple(value for other, value in item.ehr_identities if other == kind) for kind in (10, 20, 30)
            }
            trusted = (item.ehr_external_id,) if item.ehr_external_id else ()
            yield ItemNumber(
                "ehr",
                item.supply_id,
                item.key,
                erp_item_nos=(*trusted, *kinds[10]),
                pou_item_nos=kinds[20],
                gtins=kinds[30],
                manufacturer=maker.ehr_name if maker else item.manufacturer_id,
                catalogue_number=item.catalogue_number,
                levels=("EA",) * len(kinds[30]),
            )


def _inventory_numbers(item: Item) -> Iterator[ItemNumber]:
    gtins = (item.pou_gtin,) if item.pou_gtin else ()
    levels = ("EA",) * len(gtins)
    hibcs = (item.hibc,) if item.hibc else ()
    packages = (
        tuple(package.gtin for package in item.packages[1:]) if gtins and item.usage_class != "unmapped_pou" else ()
    )
    yield ItemNumber(
        "pou",
        str(item.pou_no),
        item.key,
        erp_item_nos=(item.pou_erp_item_no,) if item.pou_erp_item_no else (),
        gtins=(*gtins, *packages),
        manufacturer=item.pou_manufacturer_name,
        catalogue_number=item.catalogue_number,
        levels=(*("EA" for _ in gtins), *(package.uom for package in item.packages[1:] if packages)),
        hibcs=hibcs,
    )
    for number in item.pou_alias_nos:
        reference = item.legacy_no or item.cloud_no
        yield ItemNumber(
            "pou",
            number,
            item.key,
            erp_item_nos=(reference,) if reference else (),
            gtins=gtins,
            manufacturer=item.pou_manufacturer_name,
            catalogue_number=item.catalogue_number,
            merged_into=item.pou_no if item.is_alias_merged else None,
            levels=levels,
            hibcs=hibcs,
        )


def _materials_number(world: World, item: Item, site: Site, database: int) -> Iterator[ItemNumber]:
    """An item of an MMIS database: the first has the legacy numbers, in the second maker and catalogue number tell."""
    number = item.stock_number(site)
    if number is not None:
        maker = world.manufacturers.get(item.manufacturer_id)
        yield ItemNumber(
            "mmis",
            number,
            item.key,
            erp_item_nos=(item.mmis_no,) if database == 1 and item.mmis_no else (),
            manufacturer=maker.name if maker else item.manufacturer_id,
            catalogue_number=item.catalogue_number[:MATERIALS_CATALOGUE],
        )


class Resolution(NamedTuple):
    """A golden item with the confidence of the link; None and 0 when nothing is found."""

    golden: str | None
    confidence: Decimal


NOTHING = Resolution(None, Decimal(0))


def plain_number(number: str) -> str:
    """Item number without blanks and leading zeros."""
    return number.strip().lstrip("0")


def catalogue_key(number: str) -> str:
    """Match key of a catalogue number: upper case, without blanks, hyphens, dots, slashes and leading zeros."""
    return number.upper().translate(_STRIPPED).lstrip("0")


def _is_weak(key: str) -> bool:
    """Whether a catalogue key is too short, or digits alone, and so not sure enough."""
    return len(key) < 4 or key.isdigit()


def trade_item(number: str) -> str:
    """Trade item number padded to 14 digits."""
    return number.strip().zfill(14)


class ManufacturerNames:
    """Manufacturers by the names and codes that ref.MANUFACTURER_ALIAS knows."""

    def __init__(self, rows: Iterable[dict[str, str]]) -> None:
        self._ids: dict[tuple[str, str], str] = {}
        self._golden: set[str] = set()
        for row in rows:
            self._ids[row["alias_type"], row["alias"].strip().upper()] = row["mfr_id"]
            self._ids.setdefault(("NAME", row["mfr_name"].strip().upper()), row["mfr_id"])
            self._golden.add(row["mfr_id"])

    def resolve(self, system: str, text: str | None) -> str | None:
        """Golden manufacturer of a name or code as the system writes it; None when no alias fits."""
        if not text or not text.strip():
            return None
        name = text.strip().upper()
        if name in self._golden or not self._golden:
            return name
        kinds = {"erp_lawson": ("MANUF_CODE", "NAME"), "ehr": ("EHR_CATEGORY", "NAME")}.get(system, ("NAME",))
        forms = [name]
        if system == "ehr" and name[-6:].isdigit():
            forms.append(name[:-6].strip(" -_#"))
        for kind in kinds:
            for form in forms:
                if (kind, form) in self._ids:
                    return self._ids[kind, form]
        return None


class Identity:
    """Source items of every system resolved to golden items."""

    def __init__(
        self,
        numbers: Iterable[ItemNumber],
        items: dict[int, Item],
        aliases: Iterable[dict[str, str]] = (),
        containment: Iterable[dict[str, str]] = (),
        accept: Decimal = CATALOGUE,
    ) -> None:
        """Build the golden items from the ERP masters among the item numbers."""
        self._manufacturers = ManufacturerNames(aliases)
        self._accept = accept
        self._masters = {(number.system, self._spelt(number.system, number.item_no)): number for number in numbers}
        self._items = items
        self._packages = self._package_groups(containment)
        self._golden: dict[tuple[str, str], str] = {}
        self._active: dict[str, bool] = {}
        self._keys: dict[str, int | None] = {}
        self._by_trade_item: dict[str, list[str]] = defaultdict(list)
        self._by_catalogue: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._make_golden_items()
        self._resolved: dict[tuple[str, str], Resolution] = {}
        self._supplies = {
            named.strip(): number.item_no
            for (system, _), number in self._masters.items()
            if system == "ehr"
            for named in number.pou_item_nos
        }

    # ---------------------------------------------------------------------------------------------------- questions

    def resolve(self, system: str, item_no: str | None) -> Resolution:
        """The best candidate of a source item, accepted or not.

        A number asked for as `pou` is one of the inventory system of its site: of the MMIS when it stands there.
        """
        if not item_no:
            return NOTHING
        if system == "ehr_fhir":
            system, item_no = "mmis", f"{item_no.strip()}-{EAST_DATABASE}"
        key = self._named(system, item_no)
        if key not in self._resolved:
            self._resolved[key] = NOTHING  # a merge that leads back to itself resolves to nothing
            self._resolved[key] = self._best(*key)
        return self._resolved[key]

    def golden(self, system: str, item_no: str | None) -> str | None:
        """The golden item of a source item when the confidence is high enough."""
        resolution = self.resolve(system, item_no)
        return resolution.golden if resolution.confidence >= self._accept else None

    def golden_of(self, line: UsageLine) -> str | None:
        """The golden item of a usage line: by its item number; of a FHIR device by what the device says of itself."""
        if line.supply_id or line.system == "ehr":
            return self.golden(line.system, line.supply_id)
        device = ItemNumber(
            line.system,
            str(line.implant_id),
            None,
            gtins=(line.device_identifier,) if line.device_identifier and line.udi_type == 1 else (),
            manufacturer=line.manufacturer_id,
            catalogue_number=line.manufacturer_number,
        )
        best = max(self._others(device), key=lambda candidate: candidate.confidence, default=NOTHING)
        return best.golden if best.confidence >= self._accept else None

    def item(self, golden: str | None) -> Item | None:
        """The product behind a golden item."""
        key = self._keys.get(golden) if golden else None
        return None if key is None else self._items.get(key)

    def master(self, system: str, item_no: str) -> ItemNumber | None:
        """The master record of a source item."""
        return self._masters.get(self._named(system, item_no))

    def manufacturer(self, system: str, text: str | None) -> str | None:
        """Golden manufacturer of a name or code as a system writes it."""
        return self._manufacturers.resolve(system, text)

    def packages_of(self, identifier: str | None) -> frozenset[str]:
        """A device identifier with those of its other package levels."""
        if not identifier:
            return frozenset()
        level = trade_item(identifier)
        return frozenset(self._packages.get(level, {level}))

    def masters(self) -> Iterator[ItemNumber]:
        """The master records of all systems."""
        return iter(self._masters.values())

    def referenced(self, number: ItemNumber) -> str | None:
        """Golden item that the trusted cross reference of a master record points to."""
        if number.system == "erp_fusion":
            return self._golden.get(("erp_lawson", plain_number(number.legacy_item_no or "")))
        return self._trusted(number).golden

    def identified(self, number: ItemNumber) -> list[set[str]]:
        """Golden items that its device identifiers point to, and those of its manufacturer and catalogue number."""
        by_device = {
            golden
            for gtin in number.gtins
            for level in self._packages.get(trade_item(gtin), {trade_item(gtin)})
            for golden in self._by_trade_item.get(level, ())
        }
        maker, key = self.manufacturer(number.system, number.manufacturer), catalogue_key(number.catalogue_number or "")
        by_catalogue: set[str] = set()
        if maker and not _is_weak(key):
            by_catalogue = set(self._by_catalogue.get((maker, key), ()))
        return [goldens for goldens in (by_device, by_catalogue) if goldens]

    def supply_of_pou(self, item_no: str) -> str | None:
        """The EHR supply whose identities name the item of the inventory system."""
        return self._supplies.get(item_no.strip())

    # ------------------------------------------------------------------------------------------------- golden items

    def _named(self, system: str, item_no: str) -> tuple[str, str]:
        key = (system, self._spelt(system, item_no))
        in_materials = ("mmis", key[1])
        return in_materials if system == "pou" and key not in self._masters and in_materials in self._masters else key

    @staticmethod
    def _spelt(system: str, item_no: str) -> str:
        return plain_number(item_no) if system.startswith("erp_") else item_no.strip()

    def _make_golden_items(self) -> None:
        legacy = {no: number for (system, no), number in self._masters.items() if system == "erp_lawson"}
        for no, number in legacy.items():
            self._enter("erp_lawson", no, no, number)
        for (system, no), number in self._masters.items():
            if system != "erp_fusion":
                continue
            named = plain_number(number.legacy_item_no) if number.legacy_item_no else None
            if named in legacy:
                golden = str(named)
            elif no in legacy and not self._disagree(legacy[no], number):
                golden = no
            else:
                golden = f"C{no}"
            self._enter("erp_fusion", no, golden, number)

    def _enter(self, system: str, no: str, golden: str, number: ItemNumber) -> None:
        self._golden[system, no] = golden
        self._active[golden] = self._active.get(golden, False) or number.is_active
        self._keys.setdefault(golden, number.item_key)
        for gtin in number.gtins:
            for level in self._packages.get(trade_item(gtin), {trade_item(gtin)}):
                self._add(self._by_trade_item[level], golden)
        manufacturer = self._manufacturers.resolve(system, number.manufacturer)
        if manufacturer and number.catalogue_number and catalogue_key(number.catalogue_number):
            self._add(self._by_catalogue[manufacturer, catalogue_key(number.catalogue_number)], golden)

    @staticmethod
    def _add(goldens: list[str], golden: str) -> None:
        if golden not in goldens:
            goldens.append(golden)

    def _disagree(self, legacy: ItemNumber, cloud: ItemNumber) -> bool:
        """Whether manufacturer and catalogue number speak against the same number being the same item."""
        makers = (
            self._manufacturers.resolve("erp_lawson", legacy.manufacturer),
            self._manufacturers.resolve("erp_fusion", cloud.manufacturer),
        )
        if all(makers) and makers[0] != makers[1]:
            return True
        numbers = (legacy.catalogue_number, cloud.catalogue_number)
        return bool(numbers[0] and numbers[1] and catalogue_key(numbers[0]) != catalogue_key(numbers[1]))

    @staticmethod
    def _package_groups(rows: Iterable[dict[str, str]]) -> dict[str, set[str]]:
        """Device identifiers that contain each other, directly or over further levels."""
        groups: dict[str, set[str]] = {}
        for row in rows:
            members = {
                trade_item(row[name]) for name in ("primary_di", "device_id", "contains_di") if (row.get(name) or "")
            }
            group = set(members)
            for member in members:
                group |= groups.get(member, set())
            for member in group:
                groups[member] = group
        return groups

    # --------------------------------------------------------------------------------------------------- candidates

    def _best(self, system: str, item_no: str) -> Resolution:
        if system.startswith("erp_"):
            golden = self._golden.get((system, item_no))
            return Resolution(golden, TRUSTED) if golden else NOTHING
        number = self._masters.get((system, item_no))
        if number is None:
            return NOTHING
        trusted = self._trusted(number)
        others = [candidate for candidate in self._others(number) if candidate.golden]
        best_other = max(others, key=lambda candidate: candidate.confidence, default=NOTHING)
        if trusted.golden and not (
            not self._active[trusted.golden]
            and any(other.golden != trusted.golden and self._active[str(other.golden)] for other in others)
        ):
            return trusted
        if best_other.golden:
            return best_other
        if number.merged_into:
            return self.resolve(system, number.merged_into)
        return NOTHING

    def _trusted(self, number: ItemNumber) -> Resolution:
        """Golden item of the first cross reference that is in an ERP master; a reused number goes by the catalogue."""
        for reference in number.erp_item_nos:
            plain = plain_number(reference)
            candidates = [
                self._golden[system, plain]
                for system in ("erp_lawson", "erp_fusion")
                if (system, plain) in self._golden
            ]
            if len(set(candidates)) > 1:
                known = {other.golden for other in self._others(number)}
                candidates = [golden for golden in candidates if golden in known] or candidates
            if candidates:
                return Resolution(candidates[0], TRUSTED)
        return NOTHING

    def _others(self, number: ItemNumber) -> list[Resolution]:
        found = []
        for gtin in number.gtins:
            goldens: list[str] = []
            for level in sorted(self._packages.get(trade_item(gtin), {trade_item(gtin)})):
                goldens.extend(self._by_trade_item.get(level, ()))
            if goldens:
                found.append(Resolution(self._preferred(goldens), TRADE_ITEM))
        for reference in number.pou_item_nos:
            resolution = self.resolve("pou", reference)
            if resolution.golden:
                found.append(resolution)
        manufacturer = self._manufacturers.resolve(number.system, number.manufacturer)
        key = catalogue_key(number.catalogue_number or "")
        if manufacturer and key and (manufacturer, key) in self._by_catalogue:
            golden = self._preferred(self._by_catalogue[manufacturer, key])
            found.append(Resolution(golden, WEAK_CATALOGUE if _is_weak(key) else CATALOGUE))
        return found

    def _preferred(self, goldens: list[str]) -> str:
        """The active one, then the smallest number."""
        return min(goldens, key=lambda golden: (not self._active[golden], len(golden), golden))
