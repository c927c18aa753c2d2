"""From a posted log to money: router, review, posting, reversal and repost, combined accounts, payments.

Here: everything that hospital billing does and its postings (E18, E19, E19a).
Not here: its rows (billing_rows), what was used and whether it should be charged (case_charges), the journals (ledger).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from ingest.simulator.amounts import money
from ingest.simulator.billing_rows import BillingRows
from ingest.simulator.chance import Chance, Stream
from ingest.simulator.charge_faults import (
    DAYS_IN_TIME,
    ENDING_CODE,
    FORGOTTEN,
    FORMER_CODE,
    LATENESS,
    OTHER_ACCOUNT,
    OVERRIDES,
    PLANTED,
    WRONG_ACCOUNT,
    WRONG_ACCOUNT_FIRST,
    WRONG_OVERRIDES,
    WRONG_PRICE,
    WRONG_REVENUE,
    day_of_lateness,
    former_code,
    wrong_price,
)
from ingest.simulator.charge_records import Account, ChargeRequest, Due, ToldCharge
from ingest.simulator.delivery import CHICAGO, Once, Outbox, Row
from ingest.simulator.events import (
    AccountState,
    ChargePrice,
    ChargeTransaction,
    ClaimCode,
    InFlightCharge,
    Item,
    Posting,
    World,
)
from ingest.simulator.masters import ChargeCode, Masters
from ingest.simulator.plan import DefectPlan

AFTER_MIDNIGHT = timedelta(minutes=70)  # from the evening's filing to the first hour of the next day in New York
SOURCE_LOG, SOURCE_INTERFACE, SOURCE_ROUTER, SOURCE_UNIT_ENTRY, SOURCE_REPOST, SOURCE_REMITTANCE = 1, 2, 3, 4, 5, 8


class Charging:
    """Hospital billing of every simulated site."""

    def __init__(self, world: World, masters: Masters, outbox: Outbox, plan: DefectPlan, chance: Chance) -> None:
        """Bind the world; nothing is charged until a log is posted."""
        self.world = world
        self.masters = masters
        self.outbox = outbox
        self.plan = plan
        self.chance = chance
        self.rows = BillingRows(world, masters, outbox, chance)
        self.accounts: dict[str, Account] = {}
        self.on_charge: list[Callable[[ToldCharge], None]] = []
        self.on_posted: list[Callable[[str, datetime], None]] = []  # by the number under which a charge was told
        self.on_account: list[Callable[[Account], None]] = []
        self._due: dict[date, list[Due]] = {}
        self._changes: dict[date, list[tuple[str, str]]] = {}
        self._bills: dict[date, list[tuple[str, str]]] = {}
        self._actions: dict[date, list[Callable[[date], object]]] = {}
        self._first_posted: dict[str, date] = {}
        self._waiting: dict[str, tuple[date, date | None, Row]] = {}
        self._next_tx = 700000001
        self._next_record = 1
        self._stops: dict[str, date] = {}
        self._by_supply: dict[str, Item] | None = None
        self._behind: dict[str, ChargeRequest] = {}  # requests that charges do not name, or that may be taken back
        self._cost_table: dict[int, list[tuple[date, Decimal]]] | None = None

    def opening(self, d: date) -> None:
        """Register the snapshots of billing and make the price list known."""
        for code in self.masters.charge_codes.values():
            for version in code.prices:
                self.world.charge_prices.append(
                    ChargePrice(
                        proc_id=code.proc_id,
                        charge_code=code.code,
                        price=version.price,
                        price_method=code.method,
                        unit_of_charge=code.unit,
                        revenue_code=code.revenue_code,
                        hcpcs=code.hcpcs,
                        is_active=True,
                        effective_from=version.effective_from,
                        effective_to=version.effective_to,
                    )
                )
        self.outbox.snapshot("hb", "HSP_PRE_AR_TX", self._pre_ar_rows)
        self.outbox.snapshot("hb", "HSP_ACCT_STOP_BILL", self._stop_rows)
        self.outbox.snapshot("hb", "CDM_PRICE", Once(self.rows.prices))

    # ------------------------------------------------------------------------------------------------------ accounts

    def open_account(self, account: Account, at: datetime) -> None:
        """A patient is admitted: the account exists from `at` on."""
        self.accounts[account.account] = account
        self._show_account(account, at)
        for hear in self.on_account:
            hear(account)
        discharge = account.discharged_at
        if discharge is not None:
            stream = self.chance.stream("billing", account.account)
            billed = discharge.date() + timedelta(days=stream.integer(4, 8))
            paid = discharge.date() + timedelta(days=stream.integer(14, 45))
            self._later(self._bills, billed, (account.account, "bill"))
            self._later(self._bills, paid, (account.account, "pay"))

    @staticmethod
    def _later(calendar: dict[date, list[tuple[str, str]]], day: date, entry: tuple[str, str]) -> None:
        calendar.setdefault(day, []).append(entry)

    def _show_account(self, account: Account, at: datetime) -> None:
        discharged = account.discharged_at if account.discharged_at and account.discharged_at <= at else None
        self.world.accounts.append(
            AccountState(
                account.account,
                account.site,
                account.base_class,
                account.is_research,
                account.combined_into,
                account.admitted_at,
                discharged,
                at,
            )
        )
        self.rows.account(account, at)

    # ------------------------------------------------------------------------------------------------------ triggers

    def trigger(self, requests: Iterable[ChargeRequest]) -> None:
        """A log was posted: its charges enter the router and come out as their account class has it."""
        for request in requests:
            self._trigger(request)

    def _trigger(self, request: ChargeRequest) -> None:
        stream = self.chance.stream(
            "charge", request.log_id, request.supply_id or request.implant_id or request.code.code
        )
        account = self.accounts[request.account]
        posted = request.posted_at.date()
        if self._names_nothing(request.site):
            self._trigger_unnamed(request, account, stream)
            return
        if request.is_by_hand:
            self._due.setdefault(posted + timedelta(days=1), []).append(Due(request, None, None))
            return
        if request.mode in (FORMER_CODE, ENDING_CODE):
            request = replace(request, code=former_code(self.masters, request.code) or request.code)
        wait = stream.integer(1, 3) if account.base_class == 1 else stream.integer(0, 1)
        if request.code.unit != "EA":
            wait = min(wait, 2)
        record = self._next_record
        self._next_record += 1
        ucl_id = str(90000000 + record)
        if request.mode in LATENESS:
            self._trigger_late(request, account, record)
            return
        units = self._units(request)
        self._tell(ToldCharge(request, ucl_id, units, self._amount(request, units), request.posted_at))
        station = request.mode if request.mode in ("router", "review", "pre_ar") else None
        if station is not None:
            self._hold(request, station, record, None)
            return
        day = posted + timedelta(days=wait)
        tar_id = None
        if wait > 0:
            in_review = stream.flag(0.15)
            if in_review:
                tar_id = self._hold(request, "review", record, day)
            elif request.implant_id is not None or stream.flag(0.4) or request.code.unit != "EA":
                self._hold(request, "router", record, day)
            else:
                self._hold(request, "pre_ar", record, day)
        self._due.setdefault(day, []).append(Due(request, ucl_id, tar_id))

    def _trigger_late(self, request: ChargeRequest, account: Account, record: int) -> None:
        """A charge that lies in review until it is late, or that nobody enters before; or the last one in time."""
        posted = request.posted_at.date()
        stream = self.chance.stream("late charge", request.log_id, request.supply_id, request.implant_id)
        day = day_of_lateness(request.mode, account.base_class, request.service_date, posted, stream)
        ucl_id, tar_id = None, None
        if request.mode != FORGOTTEN:
            ucl_id = str(90000000 + record)
            units = self._units(request)
            self._tell(ToldCharge(request, ucl_id, units, self._amount(request, units), request.posted_at))
            tar_id = self._hold(request, "review", record, day) if day > posted else None
        self._due.setdefault(day, []).append(Due(request, ucl_id, tar_id))

    def _names_nothing(self, site: str) -> bool:
        """Whether charges of the site carry no log, supply or implant, and wait in HSP_PRE_AR_TX alone (Q44)."""
        return self.world.sites[site].clinical == "ehr_fhir"

    def _trigger_unnamed(self, request: ChargeRequest, account: Account, stream: Stream) -> None:
        """A charge trigger of the acquired hospital: 1 to 4 days for inpatients, never later than UC-02 allows."""
        posted = request.posted_at.date()
        wait = stream.integer(1, 4) if account.base_class == 1 else stream.integer(0, 1)
        latest = request.service_date + timedelta(days=DAYS_IN_TIME[account.base_class])
        day = max(min(posted + timedelta(days=wait), latest), posted)
        record = self._next_record
        self._next_record += 1
        if request.mode in LATENESS:
            late = self.chance.stream("late charge", request.log_id, request.usage_id)
            day = day_of_lateness(request.mode, account.base_class, request.service_date, posted, late)
        if request.mode == FORGOTTEN:
            self._due.setdefault(day, []).append(Due(request, None, None))
            return
        trigger = str(90000000 + record)
        units = self._units(request)
        self._tell(ToldCharge(request, trigger, units, self._amount(request, units), request.posted_at))
        if request.mode == "pre_ar":
            self._hold(request, "pre_ar", record, None)
            return
        if day > posted:
            self._hold(request, "pre_ar", record, day)
        self._due.setdefault(day, []).append(Due(request, trigger, None))

    def _tell(self, told: ToldCharge) -> None:
        for hear in self.on_charge:
            hear(told)

    def _tell_posted(self, request: ChargeRequest, tx: ChargeTransaction, is_credit: bool = False) -> None:
        """A charge that comes in by itself, or one that is taken back, shortly before it posts."""
        at = tx.known_at - timedelta(minutes=20)
        self._tell(ToldCharge(request, tx.tx_id, abs(tx.quantity), abs(tx.amount), at, is_credit))
        for hear in self.on_posted:
            hear(tx.tx_id, tx.known_at)

    def _hold(self, request: ChargeRequest, station: str, record: int, until: date | None) -> str | None:
        """Put the charge at a station before posting; give the review session's id."""
        at = request.posted_at + timedelta(minutes=12)
        quantity = self._units(request)
        amount = self._amount(request, quantity)
        leaves = self._filed_at(until) if until is not None else None
        record_id = {
            "router": f"{90000000 + record}",
            "review": f"{50000000 + record}",
            "pre_ar": f"{80000000 + record}",
        }[station]
        named = not self._names_nothing(request.site)
        self.world.in_flight.append(
            InFlightCharge(
                station=station,
                record_id=record_id,
                site=request.site,
                account=request.account,
                log_id=request.log_id if named else None,
                supply_id=request.supply_id if named else None,
                implant_id=request.implant_id if named else None,
                proc_id=request.code.proc_id,
                quantity=quantity,
                amount=amount,
                service_date=request.service_date,
                department_id=self.rows.department_id(request.site, request.department),
                from_at=at,
                until_at=leaves,
                outcome="posted" if until is not None else "none",
            )
        )
        if named:
            self.rows.router(request, record, 2 if station == "router" else 3, at, quantity)
        if station == "review":
            self.rows.review(request, record_id, 3, at, None, quantity, amount)
            return record_id
        if station == "pre_ar":
            account = self.accounts[request.account]
            self._waiting[record_id] = (
                request.posted_at.date(),
                until,
                self.rows.waiting(request, record_id, quantity, amount, account, named),
            )
        return None

    # ------------------------------------------------------------------------------------------------------- posting

    @staticmethod
    def _filed_at(day: date, minute: int = 0) -> datetime:
        return datetime.combine(day, time(22, minute % 50), CHICAGO)

    @staticmethod
    def _units(request: ChargeRequest) -> Decimal:
        """EACH in units of the charge code."""
        if request.code.unit == "BX" and request.item is not None:
            box = next(package.each for package in request.item.packages if package.uom == "BX")
            return request.quantity_each / box
        if request.code.unit == "CM2" and request.item is not None and request.item.conversion_rate is not None:
            return request.quantity_each * request.item.conversion_rate
        return request.quantity_each

    def _amount(self, request: ChargeRequest, quantity: Decimal) -> Decimal:
        price = request.code.price_on(request.service_date)
        if price is None:
            price = self.masters.markup_price(request.unit_cost)
        if request.mode == WRONG_PRICE:
            price = wrong_price(price, self.chance.stream("wrong price", request.log_id, request.supply_id))
        return money(price * quantity)

    def day(self, d: date) -> None:
        """Post what is due on `d`, change classes and payers, bill and collect."""
        for due in self._due.pop(d, []):
            self._post_due(due, d)
        for action in self._actions.pop(d, []):
            action(d)
        for account_id, kind in self._changes.pop(d, []):
            self._change(self.accounts[account_id], kind, d)
        for account_id, kind in self._bills.pop(d, []):
            self._settle(self.accounts[account_id], kind, d)

    def _post_due(self, due: Due, d: date) -> None:
        request = due.request
        quantity = self._units(request)
        if request.mode == "more":
            quantity += 1
        elif request.mode == "less":
            quantity -= 1
        pieces = [quantity]
        if request.mode == "two_rows" and quantity > 1 and quantity == quantity.to_integral_value():
            pieces = [Decimal(1)] * int(quantity)
        first: ChargeTransaction | None = None
        asked = request
        if request.mode in (WRONG_ACCOUNT, WRONG_ACCOUNT_FIRST, OTHER_ACCOUNT):
            asked = replace(request, account=self._second_account(request.account, d))
        for piece in pieces:
            posted = self._post_charge(asked, piece, self._amount(request, piece), d)
            first = first or posted
            if due.ucl_id is None and not (request.is_by_hand and request.log_id):
                self._tell_posted(request, posted)
        assert first is not None
        if request.mode in PLANTED:
            rule, is_near_miss, reason = PLANTED[request.mode]
            self.plan.note(rule, f"charge={first.tx_id}", request.site, is_near_miss, reason)
        filed = self._filed_at(d)
        if due.ucl_id is not None and not self._names_nothing(request.site):
            self.rows.router(request, int(due.ucl_id) - 90000000, 3, filed, quantity)
        if due.tar_id is not None:
            asked_units = self._units(request)
            amount = self._amount(request, asked_units)
            self.rows.review(request, due.tar_id, 2, filed, first.tx_id, asked_units, amount)
        if request.mode == "duplicate":
            again = self.chance.stream("duplicate", first.tx_id).integer(0, 1)
            if again == 0 or d >= self.world.end:
                self._post_charge(request, quantity, first.amount, d, SOURCE_INTERFACE)
            else:
                later = replace(request, mode="normal", is_by_hand=False)
                self._due.setdefault(d + timedelta(days=1), []).append(Due(later, None, None))
        elif request.mode == "duplicate_reversed":
            second = self._post_charge(request, quantity, first.amount, d, SOURCE_INTERFACE)
            self._reverse(second, d, 1)
            self._tell_posted(request, second, is_credit=True)
        elif request.mode == "other_code":
            code = self._neighbour(request.code)
            moved = self._repost_elsewhere(first, d, first.account, code)
            self._tell_posted(request, replace(first, tx_id=due.ucl_id or first.tx_id), is_credit=True)
            self._tell_posted(replace(request, code=code), moved)
        elif request.mode == OTHER_ACCOUNT:
            self._repost_elsewhere(first, d, request.account, request.code)
        elif request.mode == WRONG_ACCOUNT_FIRST:
            moved_on = d + timedelta(days=self.chance.stream("wrong account", first.tx_id).integer(2, 5))
            misplaced = first
            self._at(moved_on, lambda day: self._repost_elsewhere(misplaced, day, request.account, request.code))
        for hear in self.on_posted if due.ucl_id is not None else ():
            hear(due.ucl_id or "", filed + self._after_midnight(request.site, d))

    def _at(self, day: date, action: Callable[[date], object]) -> None:
        """Do something when the charges of a later day have posted."""
        self._actions.setdefault(day, []).append(action)

    def _neighbour(self, code: ChargeCode) -> ChargeCode:
        others = [
            other
            for other in self.masters.charge_codes.values()
            if other.revenue_code == code.revenue_code
            and other.unit == code.unit
            and other.code != code.code
            and other.replaced_by is None
        ]
        return others[0] if others else code

    def _second_account(self, account_id: str, d: date) -> str:
        """Another account of the same patient, opened by mistake or for another stay."""
        account = self.accounts[account_id]
        known = str(int(account_id) + 50_000_000)
        if known in self.accounts:
            return known
        other = replace(account, account=known, transactions=[], combined_into=None, is_surgical=False)
        self.accounts[other.account] = other
        self._show_account(other, self._filed_at(d))
        return other.account

    def _post_charge(
        self,
        request: ChargeRequest,
        quantity: Decimal,
        amount: Decimal,
        d: date,
        source: int = SOURCE_LOG,
        department: str | None = None,
        **changes: object,
    ) -> ChargeTransaction:
        """Post a charge; `changes` are fields of the transaction that differ from the usual."""
        account = self.accounts[request.account]
        posted_to, old_account = account.account, None
        if account.combined_into is not None:
            posted_to, old_account = account.combined_into, account.account
        unnamed = request.is_by_hand or self._names_nothing(request.site)
        tx = ChargeTransaction(
            tx_id=str(changes.pop("tx_id", "")) or self._new_tx(),
            account=posted_to,
            tx_type=1,
            amount=amount,
            quantity=quantity,
            service_date=request.service_date,
            post_date=d,
            proc_id=request.code.proc_id,
            charge_code=request.code.code,
            revenue_code=request.code.revenue_code,
            department_id=self.rows.department_id(request.site, department or request.department),
            site=request.site,
            supply_id=None if unnamed else request.supply_id,
            implant_id=None if unnamed else request.implant_id,
            log_id=None if unnamed else request.log_id,
            reverses=None,
            reposts=None,
            credits=None,
            corrects=None,
            first_tx_id=None,
            old_account=old_account,
            unit_of_charge=request.code.unit,
            base_class=self.accounts[posted_to].base_class,
            known_at=self._filed_at(d),
        )
        tx = replace(tx, **changes)  # type: ignore[arg-type]
        code = tx.revenue_code or ""
        if request.mode == WRONG_REVENUE:
            tx = replace(tx, revenue_code=WRONG_OVERRIDES[code])
        elif code in OVERRIDES and self.plan.quirk("Q43", tx.tx_id):
            tx = replace(tx, revenue_code=OVERRIDES[code])
        if request.may_be_taken_back or (unnamed and not request.is_by_hand):
            self._behind[tx.tx_id] = request
        filed_by = SOURCE_UNIT_ENTRY if request.is_by_hand else SOURCE_INTERFACE if unnamed else source
        self._record(
            tx,
            source=filed_by,
            default_revenue=request.code.revenue_code,
            location_code=None if unnamed else request.location_code,
            wasted=request.wasted_each,
        )
        if source == SOURCE_INTERFACE:
            self._tell_posted(request, tx)
        return tx

    def _new_tx(self) -> str:
        self._next_tx += 1
        return str(self._next_tx)

    def _reverse(self, tx: ChargeTransaction, d: date, reason: int) -> ChargeTransaction:
        reversal = replace(
            tx,
            tx_id=self._new_tx(),
            amount=-tx.amount,
            quantity=-tx.quantity,
            post_date=d,
            reverses=tx.tx_id,
            reposts=None,
            base_class=self.accounts[tx.account].base_class,
            known_at=self._filed_at(d, 20),
        )
        self._record(reversal, SOURCE_REPOST, tx.revenue_code, reason=reason)
        return reversal

    def _repost(self, tx: ChargeTransaction, d: date, root: str, **changes: object) -> ChargeTransaction:
        known_root = root if self.plan.quirk("Q41", tx.tx_id) else None
        again = replace(
            tx,
            tx_id=self._new_tx(),
            post_date=d,
            reverses=None,
            reposts=tx.tx_id,
            first_tx_id=known_root,
            known_at=self._filed_at(d, 30),
            **changes,  # type: ignore[arg-type]
        )
        again = replace(again, base_class=self.accounts[again.account].base_class)
        self._record(again, SOURCE_REPOST, again.revenue_code)
        return again

    def _repost_elsewhere(self, tx: ChargeTransaction, d: date, account: str, code: ChargeCode) -> ChargeTransaction:
        self._reverse(tx, d, 2)
        amount = tx.amount
        if code.code != tx.charge_code:
            price = code.price_on(tx.service_date)
            amount = money(price * tx.quantity) if price is not None else tx.amount
        old = tx.account if account != tx.account else tx.old_account
        return self._repost(
            tx,
            d,
            tx.tx_id,
            account=account,
            old_account=old,
            proc_id=code.proc_id,
            charge_code=code.code,
            revenue_code=code.revenue_code,
            amount=amount,
        )

    def _record(
        self,
        tx: ChargeTransaction,
        source: int,
        default_revenue: str | None,
        location_code: str | None = None,
        wasted: Decimal = Decimal(0),
        reason: int | None = None,
    ) -> None:
        tx = replace(tx, known_at=tx.known_at + self._after_midnight(tx.site, tx.post_date))
        self.world.charges.append(tx)
        account = self.accounts[tx.account]
        account.transactions.append(tx)
        first_posted = self._first_posted.get(tx.reverses or tx.reposts or tx.credits or "", tx.post_date)
        self._first_posted[tx.tx_id] = first_posted
        self.rows.transaction(tx, account, source, default_revenue)
        self.rows.continued(tx, account, first_posted, location_code, wasted, reason)
        self._book(tx)

    def _after_midnight(self, site: str, d: date) -> timedelta:
        """Q46: how much later a day's charges are filed, past midnight at the hospital and not yet at the server."""
        is_late = self._names_nothing(site) and self.plan.quirk("Q46", site, d)
        return AFTER_MIDNIGHT if is_late else timedelta()

    def _book(self, tx: ChargeTransaction) -> None:
        department = tx.department_id[3:7] if tx.department_id else "7010"
        if tx.tx_type == 1:
            revenue = "PATIENT_REV_IP" if tx.base_class == 1 else "PATIENT_REV_OP"
            event, category, amount = "E18", "Charges", tx.amount
            sides = ("PATIENT_AR", "0000", revenue, department)
        elif tx.tx_type == 2:
            event, category, amount = "E19", "Cash Receipts", -tx.amount
            sides = ("CASH", "0000", "PATIENT_AR", "0000")
        else:
            event, category, amount = "E19a", "Charges", -tx.amount
            sides = ("DEDUCTIONS", department, "PATIENT_AR", "0000")
        self.world.postings.append(
            Posting(
                erp=self.world.erp_on(tx.site, tx.post_date),
                site=tx.site,
                event=event,
                system="HB",
                category=category,
                posting_date=tx.post_date,
                debit_role=sides[0],
                debit_department=sides[1],
                credit_role=sides[2],
                credit_department=sides[3],
                amount=amount,
                subledger="HB",
                subledger_key=tx.tx_id,
                known_at=tx.known_at,
            )
        )

    def take_back(self, account_id: str, usage_id: str, d: date) -> None:
        """Reverse what was charged for a line that turned out not to be true."""
        account = self.accounts[account_id]
        gone = {tx.reverses for tx in account.transactions}
        for tx in list(account.transactions):
            behind = self._behind.get(tx.tx_id)
            if behind is not None and behind.usage_id == usage_id and tx.tx_id not in gone:
                self._reverse(tx, d, 3)

    # -------------------------------------------------------------------------------------- other charges of a stay

    def post_now(self, request: ChargeRequest, d: date) -> ChargeTransaction:
        """Post a charge at once, as an interface does it."""
        quantity = self._units(request)
        return self._post_charge(request, quantity, self._amount(request, quantity), d, SOURCE_INTERFACE)

    def post_simple(
        self,
        account_id: str,
        code: str,
        quantity: Decimal,
        service_date: date,
        d: date,
        department: str,
        log_id: str | None = None,
    ) -> ChargeTransaction:
        """Post a charge that no usage line stands behind: room, drugs, theatre time, nursing kits."""
        charge = self.masters.charge_codes[code]
        request = self._simple_request(
            account_id, charge, quantity, service_date, department, self._filed_at(d), log_id
        )
        return self._post_charge(request, quantity, self._amount(request, quantity), d, SOURCE_INTERFACE, department)

    def post_credit(
        self, account_id: str, code: str, quantity: Decimal, d: date, department: str, **names: str
    ) -> ChargeTransaction:
        """Post a credit by hand, with the charge that it takes back as `names` has it (reverses or credits)."""
        charge = self.masters.charge_codes[code]
        request = self._simple_request(account_id, charge, quantity, d, department, self._filed_at(d))
        amount = -self._amount(request, quantity)
        return self._post_charge(request, -quantity, amount, d, SOURCE_UNIT_ENTRY, department, **names)

    def post_credit_first(
        self, account_id: str, code: str, quantity: Decimal, d: date, department: str
    ) -> ChargeTransaction:
        """Post the credit of a charge that itself posts on the next day, under the number that the credit names."""
        number = self._new_tx()
        request = self._simple_request(
            account_id, self.masters.charge_codes[code], quantity, d, department, self._filed_at(d)
        )
        amount = self._amount(request, quantity)
        self._at(
            d + timedelta(days=1),
            lambda day: self._post_charge(request, quantity, amount, day, SOURCE_UNIT_ENTRY, department, tx_id=number),
        )
        return self.post_credit(account_id, code, quantity, d, department, credits=number)

    def _simple_request(
        self,
        account_id: str,
        code: ChargeCode,
        quantity: Decimal,
        service_date: date,
        department: str,
        posted_at: datetime,
        log_id: str | None = None,
    ) -> ChargeRequest:
        """A charge that no usage line stands behind; without a log it is entered by hand."""
        return ChargeRequest(
            log_id=log_id or "",
            account=account_id,
            site=self.accounts[account_id].site,
            department=department,
            supply_id=None,
            implant_id=None,
            item=None,
            code=code,
            quantity_each=quantity,
            unit_cost=Decimal(0),
            service_date=service_date,
            posted_at=posted_at,
            location_code=None,
            is_by_hand=log_id is None,
        )

    def plan_simple(self, account_id: str, code: str, quantity: Decimal, day: date, department: str) -> None:
        """The same, on a later day, entered by hand."""
        charge = self.masters.charge_codes[code]
        request = self._simple_request(account_id, charge, quantity, day, department, self._filed_at(day))
        self._due.setdefault(day, []).append(Due(request, None, None))

    # -------------------------------------------------------------------------------- class, payer, combined, billed

    def plan_change(self, account_id: str, kind: str, day: date) -> None:
        """Let the account change its class (`class`), its payer (`payer`) or be combined (`combine`) on `day`."""
        self._later(self._changes, day, (account_id, kind))

    def _change(self, account: Account, kind: str, d: date) -> None:
        at = self._filed_at(d, 10) + self._after_midnight(account.site, d)
        if kind == "combine":
            survivor = replace(
                account,
                account=str(int(account.account) + 60_000_000),
                csn=str(int(account.csn) + 60_000_000),
                transactions=[],
            )
            self.accounts[survivor.account] = survivor
            self._show_account(survivor, at)
            account.combined_into = survivor.account
            account.bill_status = 9
            self._show_account(account, at)
            for tx in account.transactions:
                moved = replace(tx, account=survivor.account, old_account=account.account, known_at=at)
                self.world.charges.append(moved)
                survivor.transactions.append(moved)
                self.rows.transaction(moved, survivor, SOURCE_LOG, moved.revenue_code, at)
            account.transactions = []
            return
        if kind == "class":
            account.base_class = 1
        else:
            account.payor = "1002" if account.payor == "1001" else "1001"
        self._show_account(account, at)
        gone = {tx.reverses for tx in account.transactions}
        for tx in [entry for entry in account.transactions if entry.tx_type == 1]:
            if tx.tx_id in gone or tx.reverses is not None:
                continue
            self._reverse(tx, d, 2)
            if kind == "class" and not self._still_charged(account, tx):
                continue
            self._repost(tx, d, self._root(account, tx))

    def _root(self, account: Account, tx: ChargeTransaction) -> str:
        by_id = {entry.tx_id: entry for entry in account.transactions}
        while tx.reposts is not None and tx.reposts in by_id:
            tx = by_id[tx.reposts]
        return tx.tx_id

    def _still_charged(self, account: Account, tx: ChargeTransaction) -> bool:
        """Whether the policy still charges the line to an inpatient."""
        behind = self._behind.get(self._root(account, tx))
        if behind is not None:
            item = behind.item if behind.implant_id is None else None
        elif tx.supply_id is None or tx.implant_id is not None:
            return True
        else:
            item = self._item_by_supply().get(tx.supply_id)
        if item is None or item.item_class == "IMPLANT":
            return True
        return self.masters.is_chargeable(
            account.site, "SUPPLY", 1, "USED", self.cost_on(item, tx.service_date), account.is_research, tx.service_date
        )

    def _item_by_supply(self) -> dict[str, Item]:
        if self._by_supply is None:
            self._by_supply = self.world.items_by_supply_id()
        return self._by_supply

    def cost_on(self, item: Item, on: date) -> Decimal:
        """Cost per EACH that the EHR holds for a date."""
        best: Decimal = item.price_each
        latest: date | None = None
        for version in self._costs().get(item.key, []):
            if version[0] <= on and (latest is None or version[0] >= latest):
                latest, best = version
        return best

    def _costs(self) -> dict[int, list[tuple[date, Decimal]]]:
        if self._cost_table is None:
            table: dict[int, list[tuple[date, Decimal]]] = {}
            for version in self.world.costs:
                if version.source == "ovtm":
                    table.setdefault(version.item_key, []).append((version.valid_from, version.unit_cost))
            self._cost_table = table
        return self._cost_table

    def _settle(self, account: Account, kind: str, d: date) -> None:
        at = self._filed_at(d, 40)
        if account.combined_into is not None:
            account = self.accounts[account.combined_into]
        if kind == "bill":
            account.bill_status = 3
            self._show_account(account, at)
            stream = self.chance.stream("stop bill", account.account)
            if stream.flag(0.1):
                self._stops[account.account] = d + timedelta(days=stream.integer(2, 9))
            if account.is_surgical and stream.flag(0.03) and not account.is_credited:
                self._emit_claim_code(account, Decimal("1500.00"), d, at)
            return
        gross = account.of_ward + sum((tx.amount for tx in account.transactions), Decimal(0))
        if gross <= 0:
            return
        department = self.rows.department_id(account.site, account.department)
        for tx_type, share in ((2, Decimal("0.44")), (4, Decimal("0.51"))):
            self._record(
                ChargeTransaction(
                    tx_id=self._new_tx(),
                    account=account.account,
                    tx_type=tx_type,
                    amount=-money(gross * share),
                    quantity=Decimal(0),
                    service_date=account.admitted_at.date(),
                    post_date=d,
                    proc_id=None,
                    charge_code=None,
                    revenue_code=None,
                    department_id=department,
                    site=account.site,
                    supply_id=None,
                    implant_id=None,
                    log_id=None,
                    reverses=None,
                    reposts=None,
                    credits=None,
                    corrects=None,
                    first_tx_id=None,
                    old_account=None,
                    unit_of_charge="EA",
                    base_class=account.base_class,
                    known_at=at,
                ),
                SOURCE_REMITTANCE,
                None,
            )
        if self.chance.stream("debit adjustment", account.account).flag(0.05):
            last = account.transactions[-1]
            self._record(
                replace(last, tx_id=self._new_tx(), tx_type=3, amount=money(gross * Decimal("0.01")), known_at=at),
                SOURCE_REMITTANCE,
                None,
            )
        account.bill_status = 7
        self._show_account(account, at)

    def report_device_credit(self, account_id: str, amount: Decimal, d: date) -> None:
        """Bill again with the credit of a replaced device on the claim: value code FD, condition code 49."""
        account = self.accounts[account_id]
        while account.combined_into is not None:
            account = self.accounts[account.combined_into]
        self._at(d, lambda day: self._emit_claim_code(account, amount, day, self._filed_at(day, 45)))

    def _emit_claim_code(self, account: Account, credit: Decimal, d: date, at: datetime) -> None:
        codes: tuple[tuple[str, str, Decimal | None], ...] = (("VALUE", "FD", credit), ("CONDITION", "49", None))
        for kind, code, amount in codes:
            self.world.claim_codes.append(ClaimCode(account.site, account.account, kind, code, amount, at))
            self.rows.claim_code(account.account, kind, code, amount, d, at)

    # ----------------------------------------------------------------------------------------------------- snapshots

    def _pre_ar_rows(self, d: date) -> Iterable[Row]:
        for record_id in [key for key, (_, until, _) in self._waiting.items() if until is not None and until <= d]:
            del self._waiting[record_id]
        return [row for since, _, row in self._waiting.values() if since <= d]

    def _stop_rows(self, d: date) -> Iterable[Row]:
        for account in [key for key, until in self._stops.items() if until <= d]:
            del self._stops[account]
        return [{"HSP_ACCOUNT_ID": account, "LINE": 1, "STOPBILL_SOURCE_C": 3} for account in self._stops]
