"""Device recalls: what is recalled when, when the hospitals learn of it, and when somebody takes it off the shelf.

Here: `ref.FDA_RECALL` with lots listed or written as ranges in free text (Q124), recalls of lots on shelves (STK-08)
and of lots that cases use (UC-11), those that look like it and are none, RECALL_PULL of the shelves.
Not here: quantities and values (stock), which case uses which lot (clinic).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from ingest.simulator.chance import Chance, Stream
from ingest.simulator.delivery import CHICAGO, Outbox
from ingest.simulator.events import Item, Recall, World
from ingest.simulator.plan import DefectPlan
from ingest.simulator.shelves import Shelf
from ingest.simulator.stock import Stock

FIRST_NUMBER = 457
REASONS = ("labelling mix-up", "sterile barrier may be open", "fracture of the tip", "wrong size in the package")


class Recalls:
    """Manufacturers that take devices back."""

    def __init__(self, world: World, stock: Stock, outbox: Outbox, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world; nothing is recalled until `opening`."""
        self.world = world
        self.stock = stock
        self.outbox = outbox
        self.plan = plan
        self.chance = chance
        self._number = FIRST_NUMBER
        self._recalled: set[str] = set()
        self._pulls: dict[date, list[tuple[str, str]]] = {}  # site and lot

    def opening(self, d: date) -> None:
        """A recall of lots that nobody has."""
        implants = [item for item in self.world.items.values() if item.item_class == "IMPLANT"]
        item = self.chance.stream("recall").pick(implants)
        ranged = "Lots 7QX100 through 7QX180, all with expiration before 2024-12"
        text = ranged if self.plan.shows("Q124") else "Lot numbers 7QX100, 7QX180"
        self._announce(item, text, "7QX100;7QX180", d - timedelta(days=20), datetime.combine(d, time(12), CHICAGO))

    def morning(self, d: date) -> None:
        """Pull what must go today; now and then recall lots that lie on shelves."""
        for place, lot in self._pulls.pop(d, []):
            self._pull(place, lot, d)
        for site in self.world.hospitals():
            if site.stock_system != "pou" or site.is_issued_at_pick:
                continue
            stream = self.chance.stream("shelf recall", site.code, d)
            for defect, variant in ((True, "left on the shelf"), (False, "pulled in time"), (False, "other lots")):
                if not self.plan.is_due("STK-08", defect, d, variant):
                    continue
                shelves = self._shelves(site.code)
                if not shelves or not self.plan.wants("STK-08", defect, site.code, d, variant):
                    continue
                shelf = stream.pick(shelves)
                lots = sorted(held.lot or "" for held, quantity in shelf.lots.items() if quantity > 0)
                self._recall_shelf(shelf, stream.pick(lots), d, variant, stream)

    def _shelves(self, site: str) -> list[Shelf]:
        return [
            shelf
            for shelf in self.stock.holdings.every_shelf()
            if shelf.location.site == site
            and shelf.location.is_perpetual
            and shelf.item.is_lot_tracked
            and not shelf.item.is_serial_tracked
            and any(quantity > 0 and lot.lot and lot.lot not in self._recalled for lot, quantity in shelf.lots.items())
            and all(lot.lot for lot, quantity in shelf.lots.items() if quantity > 0)
        ]

    def _recall_shelf(self, shelf: Shelf, lot: str, d: date, variant: str, stream: Stream) -> None:
        site = shelf.location.site
        key = f"location={shelf.location.pou_code}|item={shelf.number}|lot={lot}"
        at = datetime.combine(d, time(12), CHICAGO)
        if variant == "other lots":
            self._recall(shelf.item, self._others(lot, stream), d, at, stream)
            self._recalled.add(lot)  # this one stays as it is
        elif variant == "pulled in time":
            day = d + timedelta(days=2)
            self._recall(shelf.item, [lot], day, at, stream)
            self._pulls.setdefault(day, []).append((site, lot))
        else:
            self._recall(shelf.item, [lot], d, at, stream)
            self._pulls.setdefault(d + timedelta(days=stream.integer(3, 6)), []).append((site, lot))
        self.plan.note("STK-08", key, site, variant != "left on the shelf", variant)

    def is_recalled(self, lot: str) -> bool:
        """Whether a lot was recalled already."""
        return lot in self._recalled

    def used(self, item: Item, site: str, lot: str, d: date, variant: str, key: str) -> None:
        """UC-11: recall a lot that a case of `d` uses: since some days, or only from a later day on; or other lots."""
        stream = self.chance.stream("recall of a lot", key)
        learnt = d + timedelta(days=stream.integer(1, 3))
        if variant == "used since the recall":
            self._recall(
                item,
                [lot],
                d - timedelta(days=stream.integer(0, 4)),
                datetime.combine(learnt, time(12), CHICAGO),
                stream,
            )
            self._pulls.setdefault(learnt + timedelta(days=1), []).append((site, lot))
        elif variant == "used before the recall":
            day = d + timedelta(days=stream.integer(1, 4))
            self._recall(item, [lot], day, datetime.combine(d, time(17), CHICAGO), stream)
            self._pulls.setdefault(day, []).append((site, lot))
        else:
            self._recall(item, self._others(lot, stream), d, datetime.combine(d, time(17), CHICAGO), stream)

    @staticmethod
    def _others(lot: str, stream: Stream) -> list[str]:
        """Lots of the same form far from one's own."""
        number = (int(lot[2:]) + stream.integer(40000, 60000) * 10) % 1_000_000
        return [f"{lot[:2]}{number:06d}"]

    def _recall(self, item: Item, lots: list[str], day: date, at: datetime, stream: Stream) -> None:
        """Recall lots of an item: a list of them, or a range around the first (Q124)."""
        self._recalled.update(lots)
        self._number += 1
        lot = lots[0]
        number = int(lot[2:])
        if self.plan.quirk("Q124", self._number, share=0.5):
            low, high = max(number - stream.integer(10, 30), 0), min(number + stream.integer(10, 30), 999_999)
            first, last = f"{lot[:2]}{low:06d}", f"{lot[:2]}{high:06d}"
            text, listed = f"Lots {first} through {last}, {stream.pick(REASONS)}", f"{first};{last}"
        else:
            several = sorted([*lots, f"{lot[:2]}{(number + 500_003) % 1_000_000:06d}"])
            text, listed = f"Lot numbers {', '.join(several)}", ";".join(several)
        self._announce(item, text, listed, day, at)

    def _announce(self, item: Item, text: str, lots: str, day: date, at: datetime) -> None:
        maker = self.world.manufacturers[item.manufacturer_id]
        recall = Recall(
            recall_number=f"Z-{self._number:04d}-2026",
            recalling_firm=maker.name,
            device_identifier=item.packages[0].gtin if self._number % 2 else None,
            catalogue_number=item.catalogue_number,
            code_info=text,
            lots=lots,
            recall_date=day,
            known_at=at,
        )
        self.world.recalls.append(recall)
        if at.date() > self.world.end:
            return
        self.outbox.emit(
            "ref",
            "FDA_RECALL",
            {
                "recall_number": recall.recall_number,
                "product_seq": 1,
                "classification": "Class II",
                "recalling_firm": recall.recalling_firm,
                "product_description": item.description,
                "di": recall.device_identifier,
                "catalog_number": recall.catalogue_number,
                "code_info": text,
                "lots": lots,
                "recall_date": day,
                "report_date": at.date(),
                "status": "Ongoing",
            },
            at,
        )

    def _pull(self, site: str, lot: str, d: date) -> None:
        """Take a recalled lot off every shelf of the site before the first case."""
        for shelf in list(self.stock.holdings.every_shelf()):
            if shelf.location.site != site or not shelf.location.is_perpetual:
                continue
            for held, quantity in list(shelf.lots.items()):
                if held.lot == lot and quantity > 0:
                    at = self.stock.clock(site, d, 5, 5)
                    self.stock.counts.write_off(shelf, held, quantity, at, "RECALL_PULL", "RCL")
