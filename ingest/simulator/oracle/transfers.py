"""Transfers from the distribution centre to the hospitals: GL-09.

Here: the two halves of a transfer line, as the ERPs of the two sites hold them.
Not here: what is in transit (stock), control accounts (ledger).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from ingest.simulator.events import Movement
from ingest.simulator.oracle.calendar import local_date
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.tolerance import cents, is_beyond
from ingest.simulator.oracle.view import OUT, View

ON_THE_ROAD = timedelta(days=2)


@dataclass(slots=True)
class Halves:
    """What left the centre and what the hospital took in of one line, each with the date on which it is known."""

    shipped: tuple[date, Movement] | None = None
    received: tuple[date, Movement] | None = None


class TransferRules:
    """The rule of transfers over one view of the world."""

    def __init__(self, view: View, book: Book) -> None:
        self._book = book
        self._lines: dict[tuple[str, int], Halves] = {}
        for _, movement in view.transfers:
            if movement.ref_doc is None or movement.ref_line is None:
                continue
            erp = movement.erp or view.world.sites[movement.site].erp
            known = (view.deliveries.known_on(erp, movement.posted_at), movement)
            halves = self._lines.setdefault((movement.ref_doc, movement.ref_line), Halves())
            if movement.event == OUT:
                halves.shipped = known
            else:
                halves.received = known
        self._site_of = {location_id: location.site for location_id, location in view.world.locations.items()}

    def judge(self) -> None:
        """Follow the rule to the end of the world."""
        for (number, line), halves in self._lines.items():
            dates: set[date] = set()
            for known, half in filter(None, (halves.shipped, halves.received)):
                dates |= {known, local_date(half.happened_at) + ON_THE_ROAD}
            self._book.follow(dates, partial(self._line_of, f"transfer={number}|line={line}", halves))

    def _line_of(self, key: str, halves: Halves, as_of: date, docket: Docket) -> None:
        """Both halves; of a line that never left the centre the day of its receipt stands for that of its shipment."""
        out, taken = (half[1] if half and half[0] <= as_of else None for half in (halves.shipped, halves.received))
        first = out or taken
        if first is None or as_of < local_date(first.happened_at) + ON_THE_ROAD:
            return
        day = local_date(first.happened_at)
        site = taken.site if taken is not None else self._site_of[first.to_location_id or ""]
        if out is None or taken is None:
            docket.fire("GL-09", site, key, cents(first.erp_amount or Decimal(0)), day)
            return
        value = out.erp_amount or Decimal(0)
        difference = (taken.erp_amount or Decimal(0)) - value
        if taken.quantity_each != -out.quantity_each or is_beyond("interco", difference, value):
            docket.fire("GL-09", site, key, cents(difference), day)
        elif difference:
            docket.spare("GL-09", site, key, day, "within tolerance")
