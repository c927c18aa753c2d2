"""Identifiers of items: duplicates (MDM-02), disagreement (MDM-03), device identifiers that cannot be right (MDM-10).

Here: groups of items of one system that are one product, cross references against other identifiers, check digits, the
device database.
Not here: which golden item a source item is (identity).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from functools import partial

from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.identity import ItemNumber, catalogue_key, plain_number, trade_item
from ingest.simulator.oracle.item_amounts import ItemAmounts
from ingest.simulator.oracle.tolerance import cents
from ingest.simulator.oracle.view import View

ALL_SITES = "SYS"
GTIN_LENGTHS = (8, 12, 13, 14)
HIBC_SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
ENDED = "Not in Commercial Distribution"


def item_name(number: ItemNumber) -> str:
    """Item number as entity keys write it."""
    return plain_number(number.item_no) if number.system == "erp_lawson" else number.item_no.strip()


def is_gtin(text: str) -> bool:
    """Whether length and check digit of a trade item number are right (GS1, modulo 10)."""
    if not text.isdigit() or len(text) not in GTIN_LENGTHS:
        return False
    weighed = (int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(text[:-1])))
    return -sum(weighed) % 10 == int(text[-1])


def is_hibc(text: str) -> bool:
    """Whether the check character of a HIBC is right (modulo 43)."""
    if len(text) < 2 or any(sign not in HIBC_SIGNS for sign in text):
        return False
    return HIBC_SIGNS[sum(HIBC_SIGNS.index(sign) for sign in text[:-1]) % 43] == text[-1]


class IdentifierRules:
    """The rules of identifiers over the item masters, which are known from the first folder on."""

    def __init__(self, view: View, book: Book, amounts: ItemAmounts) -> None:
        self._view = view
        self._book = book
        self._amounts = amounts
        in_use = {name for site in view.world.sites.values() for name in (site.stock_system, site.clinical)}
        in_use |= {
            view.world.erp_on(site, day) for site in view.world.sites for day in (view.world.start, view.world.end)
        }
        masters = (number for number in view.identity.masters() if number.system in in_use)
        self._numbers = sorted(masters, key=lambda number: (number.system, number.item_no))

    def judge(self) -> None:
        """Follow all rules to the end of the world."""
        self._judge_duplicates()
        self._judge_disagreement()
        self._judge_devices()

    def _follow(self, rule_id: str, key: str, reason: str | None = None) -> None:
        """An exception without money, or a near miss with its reason."""
        self._book.follow([self._book.start], partial(self._say, rule_id, key, reason))

    @staticmethod
    def _say(rule_id: str, key: str, reason: str | None, as_of: date, docket: Docket) -> None:
        if reason is None:
            docket.fire(rule_id, ALL_SITES, key, cents(0), as_of)
        else:
            docket.spare(rule_id, ALL_SITES, key, as_of, reason)

    # ------------------------------------------------------------------------------------------------------- MDM-02

    def _judge_duplicates(self) -> None:
        groups: dict[tuple[object, ...], list[ItemNumber]] = defaultdict(list)
        for number in self._numbers:
            if not number.is_active:
                continue
            maker = self._view.identity.manufacturer(number.system, number.manufacturer)
            key = catalogue_key(number.catalogue_number or "")
            if maker and key:
                groups[_holder(number), "catalogue", maker, key].append(number)
            for gtin, level in zip(number.gtins, number.levels, strict=True):
                if is_gtin(gtin):
                    groups[_holder(number), "device", trade_item(gtin), level].append(number)
        found: dict[str, str | None] = {}
        for members in groups.values():
            first, *later = sorted({member.item_no: member for member in members}.values(), key=_entered)
            for number in later:
                key = f"system={number.system}|item={item_name(number)}|duplicate_of={item_name(first)}"
                is_merged = number.merged_into is not None or first.merged_into is not None
                found[key] = "merged already" if is_merged else None
        for key, reason in found.items():
            self._follow("MDM-02", key, reason)

    # ------------------------------------------------------------------------------------------------------- MDM-03

    def _judge_disagreement(self) -> None:
        for number in self._numbers:
            golden = self._view.identity.referenced(number)
            if golden is None or all(golden in goldens for goldens in self._view.identity.identified(number)):
                continue
            name = item_name(number)
            dates = {self._book.start, self._book.until, *self._amounts.dates(number.system, name)}
            self._book.follow(dates, partial(self._disagrees, number.system, name))

    def _disagrees(self, system: str, name: str, as_of: date, docket: Docket) -> None:
        worth = self._amounts.last_days(system, name, as_of)
        day = worth.last or self._book.start
        docket.fire("MDM-03", ALL_SITES, f"system={system}|item={name}", cents(worth.amount), day)

    # ------------------------------------------------------------------------------------------------------- MDM-10

    def _judge_devices(self) -> None:
        reference = self._view.world.reference
        known = {trade_item(row["primary_di"]) for row in reference.get("GUDID_DEVICE", ())}
        known |= {trade_item(row["device_id"]) for row in reference.get("GUDID_IDENTIFIER", ())}
        ended = {
            trade_item(row["primary_di"])
            for row in reference.get("GUDID_DEVICE", ())
            if row.get("distribution_status") == ENDED
        }
        for number in self._numbers:
            devices = [(trade_item(gtin), is_gtin(gtin)) for gtin in number.gtins]
            devices += [(trade_item(hibc[1:-1]), is_hibc(hibc)) for hibc in number.hibcs]
            key = f"system={number.system}|item={item_name(number)}"
            if any(not is_right or device not in known for device, is_right in devices):
                self._follow("MDM-10", key)
            elif any(device in ended for device, _ in devices):
                self._follow("MDM-10", key, "no longer distributed")


def _holder(number: ItemNumber) -> str:
    """System that holds an item; a database of materials management is one by itself."""
    return f"mmis-{number.item_no.rpartition('-')[2]}" if number.system == "mmis" else number.system


def _entered(number: ItemNumber) -> tuple[object, ...]:
    """Order in which the items of one system were created; the smaller number of those of a day."""
    return (number.created or date.min, len(number.item_no), number.item_no)
