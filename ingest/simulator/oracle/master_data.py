"""Master data: transacted items that resolve to no golden item (MDM-01).

Here: which items of the EHR and the inventory systems are transacted and not mapped.
Not here: how identities are resolved (identity), what items are worth (item_amounts).
"""

from __future__ import annotations

from datetime import date
from functools import partial

from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.item_amounts import ItemAmounts
from ingest.simulator.oracle.tolerance import cents, limit
from ingest.simulator.oracle.view import View

ALL_SITES = "SYS"


class MasterDataRules:
    """The rule of unmapped items over one view of the world."""

    def __init__(self, view: View, book: Book, amounts: ItemAmounts) -> None:
        self._view = view
        self._book = book
        self._amounts = amounts

    def judge(self) -> None:
        """Follow every transacted item of the EHR and the inventory systems to the end of the world."""
        for system, item_no in (*self._amounts.logs, *self._amounts.movements):
            resolution = self._view.identity.resolve(system, item_no)
            if resolution.confidence < 1:
                is_unmapped = resolution.confidence < limit("item_accept")
                dates = {self._book.until, *self._amounts.dates(system, item_no)}
                self._book.follow(dates, partial(self._judge, system, item_no, is_unmapped))

    def _judge(self, system: str, item_no: str, is_unmapped: bool, as_of: date, docket: Docket) -> None:
        worth = self._amounts.last_days(system, item_no, as_of)
        key = f"system={system}|item={item_no}"
        if worth.last is None:
            return
        if is_unmapped:
            docket.fire("MDM-01", ALL_SITES, key, cents(worth.amount), worth.last)
        else:
            docket.spare("MDM-01", ALL_SITES, key, worth.last, "mapped without a trusted number")
