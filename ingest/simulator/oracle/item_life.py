"""Items in use: without a charge code (MDM-05), after they became inactive (MDM-07).

Here: supplies that the policy would charge and nothing can charge, orders, receipts and issues of inactive items.
Not here: charges that miss (charges), what an item's transactions are worth (item_amounts).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Item, Movement, ReceiptLine
from ingest.simulator.oracle.calendar import local_date
from ingest.simulator.oracle.charges import in_order, policy_says
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.identity import plain_number
from ingest.simulator.oracle.item_amounts import WINDOW, ItemAmounts
from ingest.simulator.oracle.tolerance import cents, limit
from ingest.simulator.oracle.view import View

ALL_SITES = "SYS"
PER_SQUARE = "CM2"
BASE_CLASSES = ("1", "2", "3")
ISSUED = ("E09", "E10", "E14", "E15")


class ItemLifeRules:
    """The rules of items in use over one view of the world."""

    def __init__(self, view: View, book: Book, amounts: ItemAmounts) -> None:
        self._view = view
        self._book = book
        self._amounts = amounts
        self._policy = in_order(view.world.reference.get("CHARGEABILITY_POLICY", []))
        self._raised: dict[int, set[date]] = defaultdict(set)  # item -> days from which its EHR cost is another
        for cost in view.world.costs:
            if cost.source == "ovtm":
                self._raised[cost.item_key].add(cost.valid_from)

    def judge(self) -> None:
        """Follow both rules to the end of the world."""
        self._judge_charge_codes()
        self._judge_inactive()

    # ------------------------------------------------------------------------------------------------------- MDM-05

    def _judge_charge_codes(self) -> None:
        for item in self._view.world.items.values():
            if not item.supply_id or item.is_placeholder or not self._cannot_be_charged(item):
                continue
            if any(self._is_chargeable(item, day) for day in self._turns(item)):
                dates = {self._book.start, self._book.until, *self._amounts.dates("ehr", item.supply_id)}
                self._book.follow(dates, partial(self._charge_code_of, item))

    def _turns(self, item: Item) -> list[date]:
        """Days on which the policy or the item's cost changes, and the first and the last."""
        texts = (row.get(name) or "" for row in self._policy for name in ("valid_from", "valid_to"))
        days = {date.fromisoformat(text) for text in texts if text} | self._raised[item.key]
        return sorted({min(max(day, self._book.start), self._book.until) for day in (*days, date.min, date.max)})

    def _cannot_be_charged(self, item: Item) -> bool:
        """Whether the charge code, its revenue code, or the HCPCS of a charge per square centimetre misses."""
        if item.charge_code is None:
            return True
        row = self._view.prices.row(item.charge_code, self._book.until)
        return row is not None and (
            row.revenue_code is None or (row.unit_of_charge == PER_SQUARE and row.hcpcs is None)
        )

    def _charge_code_of(self, item: Item, as_of: date, docket: Docket) -> None:
        if not self._is_chargeable(item, as_of):
            return
        amount, last = Fraction(0), self._book.start
        for log_id in self._amounts.logs.get(("ehr", str(item.supply_id)), ()):
            case = self._view.case(log_id, as_of)
            if case is None or not self._view.counts(case):
                continue
            for line in self._view.lines(log_id, as_of):
                if line.usage.supply_id == item.supply_id and as_of - WINDOW < case.surgery_date <= as_of:
                    price = self._view.prices.marked_up(case.site, self._view.line_cost(case, line), case.surgery_date)
                    amount += Fraction(line.used) * price
                    last = max(last, case.surgery_date)
        docket.fire("MDM-05", ALL_SITES, f"system=ehr|item={item.supply_id}", cents(amount), last)

    def _is_chargeable(self, item: Item, day: date) -> bool:
        """Whether the policy charges a used one at any hospital, for any class of account, research apart."""
        cost = Fraction(self._view.costs.over_time(item.key, day) or 0)
        for site in self._view.world.sites:
            for base_class in BASE_CLASSES:
                facts = {
                    "site": site,
                    "item_class": item.item_class,
                    "patient_base_class": base_class,
                    "disposition": "USED",
                    "research": "N",
                }
                row = policy_says(self._policy, facts, cost, day)
                charged = row["chargeable"] == "Y" if row else cost >= limit("chargeable_min_unit_cost")
                if charged:
                    return True
        return False

    # ------------------------------------------------------------------------------------------------------- MDM-07

    def _judge_inactive(self) -> None:
        inactive = {
            (erp, item.key): since
            for item in self._view.world.items.values()
            for erp in ("erp_lawson", "erp_fusion")
            if (since := self._inactive_since(item, erp)) is not None
        }
        moved: dict[tuple[str, int], list[tuple[date, Movement]]] = defaultdict(list)
        for known, movement in self._view.movements():
            if movement.event in ISSUED and (movement.erp, movement.item_key) in inactive:
                moved[movement.erp or "", movement.item_key].append((known, movement))
        received: dict[tuple[str, str, int], list[tuple[date, ReceiptLine]]] = defaultdict(list)
        for row in self._view.world.receipts:
            known = self._view.deliveries.known_on(row.erp, row.known_at)
            received[row.erp, row.po_key, row.line].append((known, row))
        for item in self._view.world.items.values():
            for erp, number in (("erp_lawson", item.legacy_no), ("erp_fusion", item.cloud_no)):
                since = inactive.get((erp, item.key))
                if number is None or since is None:
                    continue
                name = plain_number(number) if erp == "erp_lawson" else number
                orders = self._amounts.orders.get((erp, plain_number(number)), {})
                receipts = [row for key in orders for row in received[erp, *key]]
                issues = moved[erp, item.key]
                dates = {known for known, _ in (*receipts, *issues)} | self._amounts.dates(erp, number)
                dates = {day for day in dates if day >= since} | {self._book.until}
                self._book.follow(dates, partial(self._inactive_of, erp, name, since, receipts, issues))

    def _inactive_since(self, item: Item, erp: str) -> date | None:
        if not item.is_active:
            return self._book.start
        return next((since for name, since in item.inactive_since if name == erp), None)

    def _inactive_of(
        self,
        erp: str,
        name: str,
        since: date,
        receipts: list[tuple[date, ReceiptLine]],
        issues: list[tuple[date, Movement]],
        as_of: date,
        docket: Docket,
    ) -> None:
        days = [row.receipt_date for known, row in receipts if known <= as_of and row.is_released]
        days += [local_date(row.happened_at) for known, row in issues if known <= as_of]
        worth = self._amounts.worth(erp, name, as_of, since)
        days += [worth.last] if worth.last is not None else []
        late = [day for day in days if day >= since]
        key = f"system={erp}|item={name}"
        if late:
            docket.fire("MDM-07", ALL_SITES, key, cents(worth.amount), max(late))
        else:
            docket.spare("MDM-07", ALL_SITES, key, since, "not transacted since")
