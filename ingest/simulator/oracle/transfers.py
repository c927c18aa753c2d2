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
            if halves.shipped is None:
                continue
            known, out = halves.shipped
            dates = {known, local_date(out.happened_at) + ON_THE_ROAD}
            if halves.received is not None:
                dates.add(halves.received[0])
            self._book.follow(dates, partial(self._line_of, f"transfer={number}|line={line}", halves))

    def _line_of(self, key: str, halves: Halves, as_of: date, docket: Docket) -> None:
        if halves.shipped is None or halves.shipped[0] > as_of:
            return
        out = halves.shipped[1]
        day = local_date(out.happened_at)
        if as_of < day + ON_THE_ROAD:
            return
        site = self._site_of[out.to_location_id or ""]
        value = out.erp_amount or Decimal(0)
        if halves.received is None or halves.received[0] > as_of:
            docket.fire("GL-09", site, key, cents(value), day)
            return
        taken = halves.received[1]
        difference = (taken.erp_amount or Decimal(0)) - value
        if taken.quantity_each != -out.quantity_each or is_beyond("interco", difference, value):
            docket.fire("GL-09", site, key, cents(difference), day)
        elif difference:
            docket.spare("GL-09", site, key, day, "within tolerance")
