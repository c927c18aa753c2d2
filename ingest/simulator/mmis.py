"""The materials management system (MMIS): what it keeps of stock, and its files of every evening.

Here: both databases of H6 to H8 with their item, vendor, location and code tables, stock by location, and the
fixed-width transaction file; transaction numbers, case numbers left out, rows keyed after the file was cut.
Not here: quantities, values and why something moves (stock), the layout of the files (mmis_text).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ingest.simulator.events import Movement

if TYPE_CHECKING:
    from ingest.simulator.stock import Scan, Stock

ZERO = Decimal(0)
FIRST_NUMBER = 100000001
CUT = time(23, 30)  # a transaction file holds what was keyed before
CASE_LEFT_OUT = 0.15  # of what is used at cases (landscape 5.4)
Shelf = tuple[str, str, str]  # location, item number, owner


class Materials:
    """Both databases of the MMIS."""

    def __init__(self, stock: Stock) -> None:
        """Bind the stock that they keep."""
        self.stock = stock
        self.world = stock.world
        self._numbers: dict[int, int] = {}
        self._later: list[tuple[date, Shelf, Decimal]] = []  # keyed after the cut: folder and what it moves

    def opening(self, d: date) -> None:
        """Register the files."""

    # ------------------------------------------------------------------------------------------------- transactions

    def keeps(self, site: str) -> bool:
        """Whether the stock of a site is kept here."""
        return self.world.sites[site].stock_system == "mmis"

    def next_number(self, site: str) -> str:
        """IDB and the next TXN_NO of the site's database."""
        database = self.world.sites[site].database
        self._numbers[database] = self._numbers.get(database, FIRST_NUMBER - 1) + 1
        return f"{database}{self._numbers[database]}"

    def names_case(self, scan: Scan) -> bool:
        """Whether the case number is keyed: never in database 2, elsewhere left out for 15 percent of the items."""
        if scan.case_typed is None or not self.keeps(scan.site):
            return True
        if self.world.sites[scan.site].database == 2:
            return False
        stream = self.stock.chance.stream("case left out", scan.case_typed, scan.item.key)
        return scan.keeps_case or not stream.flag(CASE_LEFT_OUT)

    def folder(self, site: str, posted_at: datetime) -> date:
        """Business date of the transaction file that carries what was keyed at a moment."""
        local = posted_at.astimezone(self.world.sites[site].clock)
        return local.date() + timedelta(days=local.time() >= CUT)

    def transaction(self, scan: Scan, moved: Movement) -> None:
        """Take one transaction."""

    def not_yet(self, shelf: Shelf) -> Decimal:
        """What the evening's balance of a shelf leaves out because its file comes the day after."""
        return ZERO
