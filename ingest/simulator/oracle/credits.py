"""Credits of suppliers for replaced devices that the claim does not tell (UC-16).

Here: which implant took the place of an explanted one, which credit memo is for it, whether value code FD is there.
Not here: how an order is recognised as that of an implant (orders).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial

from ingest.simulator.events import Case, ClaimCode, Invoice, InvoiceLine, PoLine, UsageLine
from ingest.simulator.oracle.charges import Accounts
from ingest.simulator.oracle.docket import Book, Docket
from ingest.simulator.oracle.orders import OrderRules, codes_of, is_for, is_near, same_product
from ingest.simulator.oracle.tolerance import cents
from ingest.simulator.oracle.view import Line, Versions, View

REPORTED_WITHIN = timedelta(days=30)
DEVICE_CREDIT = ("VALUE", "FD")
HALF = Fraction(1, 2)

Memo = tuple[Versions[Invoice], InvoiceLine]
OrderLineKey = tuple[str, str, int]


class CreditRules:
    """The rule of device credits over one view of the world."""

    def __init__(self, view: View, book: Book, accounts: Accounts, orders: OrderRules) -> None:
        self._view = view
        self._book = book
        self._accounts = accounts
        self._orders = orders
        self._codes: dict[str, list[tuple[date, ClaimCode]]] = defaultdict(list)
        for code in view.world.claim_codes:
            if (code.code_type, code.code) == DEVICE_CREDIT:
                known = view.deliveries.known_on("hb", code.known_at)
                self._codes[accounts.survivor(code.account)].append((known, code))
        self._memos = self._credit_memos()

    def _credit_memos(self) -> dict[OrderLineKey, list[Memo]]:
        """Credit memo lines by order line."""
        invoices: dict[tuple[str, str], Versions[Invoice]] = {}
        for invoice in self._view.world.invoices:
            if invoice.kind == "credit":
                known = self._view.deliveries.known_on(invoice.erp, invoice.known_at)
                invoices.setdefault((invoice.erp, invoice.invoice_key), Versions()).add(known, invoice)
        memos: dict[OrderLineKey, list[Memo]] = defaultdict(list)
        for line in self._view.world.invoice_lines:
            versions = invoices.get((line.erp, line.invoice_key))
            if versions is not None and line.po_key is not None and line.po_line is not None and line.amount < 0:
                memos[line.erp, line.po_key, line.po_line].append((versions, line))
        return memos

    def judge(self) -> None:
        """Follow every log with an explanted device to the end of the world."""
        by_log, by_code = self._credited_orders()
        for log_id, usage in self._view.usage.items():
            if not any(line.action == "explanted" for version in usage.values() for _, line in version.rows):
                continue
            codes = {
                code
                for version in usage.values()
                for _, line in version.rows
                for code in codes_of(line.lot, line.serial)
            }
            keys = {*by_log[log_id], *(key for code in codes for key in by_code[code])}
            credited = {key: self._orders.lines[key] for key in sorted(keys)}
            if not credited:
                continue
            dates = set(self._view.cases[log_id].dates())
            for version in usage.values():
                dates.update(version.dates())
            for key, order in credited.items():
                dates.update(order.dates())
                for versions, _ in self._memos[key]:
                    dates.update(versions.dates())
                    dates.update(memo.invoice_date + REPORTED_WITHIN for _, memo in versions.rows)
            account = self._accounts.survivor(self._view.cases[log_id].rows[-1][1].account)
            dates.update(known for known, _ in self._codes[account])
            self._book.follow(dates, partial(self._credits_of, log_id, credited))

    def _credited_orders(self) -> tuple[dict[str, set[OrderLineKey]], dict[str, set[OrderLineKey]]]:
        """Order lines with credit memos, by the log that they name and by their lot or serial."""
        by_log: dict[str, set[OrderLineKey]] = defaultdict(set)
        by_code: dict[str, set[OrderLineKey]] = defaultdict(set)
        for key in self._memos:
            for _, order in self._orders.lines[key].rows if key in self._orders.lines else ():
                log_id = self._view.log_of_number(order.case_typed)
                if log_id:
                    by_log[log_id].add(key)
                for code in codes_of(order.lot, order.serial):
                    by_code[code].add(key)
        return by_log, by_code

    def _credits_of(
        self, log_id: str, credited: dict[OrderLineKey, Versions[PoLine]], as_of: date, docket: Docket
    ) -> None:
        case = self._view.case(log_id, as_of)
        if case is None or not self._view.counts(case):
            return
        known = [row for version in self._view.usage[log_id].values() if (row := version.at(as_of)) is not None]
        explanted = [row for row in known if row.action == "explanted"]
        under_warranty = any(row.warranty_completed is not None for row in explanted)
        lines = [
            line
            for line in self._view.lines(log_id, as_of)
            if line.usage.record == "implant" and line.usage.implant_id and line.used > 0
        ]
        for line in lines:
            memo = self._credit(case, line, lines, explanted, credited, as_of)
            if memo is None or not explanted:
                continue
            amount, credited_on = memo
            key = f"case={log_id}|implant={line.usage.implant_id}"
            cost = self._view.line_cost(case, line) * Fraction(line.used)
            if not under_warranty and not line.usage.is_recall_reimplant:
                docket.spare("UC-16", case.site, key, credited_on, "no explant for warranty or recall")
            elif Fraction(amount) < cost * HALF:
                docket.spare("UC-16", case.site, key, credited_on, "credit of less than half the cost")
            elif self._is_reported(case.account, as_of):
                docket.spare("UC-16", case.site, key, credited_on, "value code FD is on the claim")
            elif as_of >= credited_on + REPORTED_WITHIN:
                docket.fire("UC-16", case.site, key, cents(amount), credited_on)

    def _is_reported(self, account: str, as_of: date) -> bool:
        return any(known <= as_of for known, _ in self._codes[self._accounts.survivor(account)])

    def _credit(
        self,
        case: Case,
        line: Line,
        implants: list[Line],
        explanted: list[UsageLine],
        credited: dict[OrderLineKey, Versions[PoLine]],
        as_of: date,
    ) -> tuple[Decimal, date] | None:
        """Credit for an implant as known on the date, and the date of its first credit memo."""
        memos: list[tuple[Decimal, date]] = []
        for key, versions in credited.items():
            order = versions.at(as_of)
            if order is None or order.is_cancelled:
                continue
            is_mine = self._is_order_of(case, line, implants, order)
            if not (is_mine or self._is_order_of_explanted(line, implants, explanted, order)):
                continue
            for headers, memo_line in self._memos[key]:
                memo = headers.at(as_of)
                if memo is not None and not memo.is_cancelled and not memo_line.is_cancelled:
                    memos.append((-memo_line.amount, memo.invoice_date))
        if not memos:
            return None
        return sum((amount for amount, _ in memos), Decimal(0)), min(day for _, day in memos)

    def _is_order_of(self, case: Case, line: Line, implants: Iterable[Line], order: PoLine) -> bool:
        """Whether an order line is that of the implant, as BO-01 says; of several the one with its lot or serial."""
        identity = self._view.identity
        codes = codes_of(order.lot, order.serial)
        alike = bool(codes & codes_of(line.usage.lot, line.usage.serial))
        if self._view.log_of_number(order.case_typed) == case.log_id and same_product(identity, line, order, False):
            others = [other for other in implants if same_product(identity, other, order, False)]
            return alike or not any(codes & codes_of(other.usage.lot, other.usage.serial) for other in others)
        return alike and is_near(order, case.surgery_date) and is_for(identity, line, order)

    def _is_order_of_explanted(
        self, line: Line, implants: list[Line], explanted: list[UsageLine], order: PoLine
    ) -> bool:
        """Whether an order line, of any day, has the lot or serial of the device whose place the implant takes.

        That is the first implant of its item, else the first of the log.
        """
        codes = codes_of(order.lot, order.serial)
        goldens = {self._view.identity.golden_of(row) for row in explanted if codes & codes_of(row.lot, row.serial)}
        if not goldens:
            return False
        heirs = [other for other in implants if other.golden and other.golden in goldens] or implants
        return line is heirs[0]
