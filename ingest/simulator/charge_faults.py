"""What goes wrong with single charges: late, under a former code, at a wrong price or revenue code, without original.

Here: which mode of a charge request means what, the numbers that are wrong then.
Not here: when it happens (clinic asks the plan), posting itself (charging).
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from ingest.simulator.chance import Stream
from ingest.simulator.masters import ChargeCode, Masters

# Days after the service within which a charge is in time, by base class (limits.late_charge_days, landscape 7.1).
DAYS_IN_TIME = {1: 5, 2: 3, 3: 3}
HELD_TOO_LONG, FORGOTTEN, LAST_DAY = "held_too_long", "forgotten", "last_day"
LATENESS = (HELD_TOO_LONG, FORGOTTEN, LAST_DAY)
WRONG_REVENUE, WRONG_PRICE = "wrong_revenue", "wrong_price"
FORMER_CODE, ENDING_CODE = "former_code", "ending_code"
WRONG_ACCOUNT, WRONG_ACCOUNT_FIRST = "wrong_account", "wrong_account_first"
OTHER_ACCOUNT = "other_account"
# What a mode is planted for: rule, whether a near miss, why. The rules name the charge, which is known when it posts.
PLANTED: dict[str, tuple[str, bool, str]] = {
    HELD_TOO_LONG: ("UC-02", False, "held in review"),
    FORGOTTEN: ("UC-02", False, "entered late"),
    LAST_DAY: ("UC-02", True, "on the last day in time"),
    WRONG_REVENUE: ("UC-06", False, "wrong override"),
    WRONG_PRICE: ("UC-08", False, "price typed by hand"),
    FORMER_CODE: ("UC-08", False, "code ended"),
    ENDING_CODE: ("UC-08", True, "code ended after the service"),
    WRONG_ACCOUNT: ("UC-13", False, "another account of the patient"),
    WRONG_ACCOUNT_FIRST: ("UC-13", False, "transferred days later"),
    OTHER_ACCOUNT: ("UC-13", True, "transferred to the account of the case"),
}
# Q43: overrides that payers ask for; the charge stays what it is.
OVERRIDES = {"0272": "0279", "0275": "0278"}
# Overrides that make a sterile supply a general one, or an implant none.
WRONG_OVERRIDES = {"0272": "0270", "0275": "0272", "0276": "0272", "0278": "0272"}


def day_of_lateness(mode: str, base_class: int, service_date: date, posted: date, stream: Stream) -> date:
    """When a charge posts that is late, or comes on the last day in time; never before its log."""
    limit = service_date + timedelta(days=DAYS_IN_TIME[base_class])
    if mode != LAST_DAY:
        limit += timedelta(days=stream.integer(1, 6))
    return max(limit, posted)


def wrong_price(price: Decimal, stream: Stream) -> Decimal:
    """A price typed over by hand: a tenth to a third off, either way."""
    share = stream.decimal(0.10, 0.34) * stream.pick((-1, 1))
    return (price * (1 + share)).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def former_code(masters: Masters, code: ChargeCode) -> ChargeCode | None:
    """The code that `code` took the place of."""
    return next((former for former in masters.charge_codes.values() if former.replaced_by == code.code), None)
