"""Amounts of stock: cents, and quantities with unit costs that add up to them.

Here: rounding as every subledger row does it (landscape 7).
Not here: what a movement is worth (holdings).
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

ZERO = Decimal(0)
CENT = Decimal("0.01")
FIVE_PLACES = Decimal("0.00001")


def money(value: Decimal) -> Decimal:
    """Round half up (away from zero) to cents."""
    return value.quantize(CENT, rounding=ROUND_HALF_UP)


def exact_parts(quantity: Decimal, amount: Decimal) -> list[tuple[Decimal, Decimal]]:
    """Quantities with unit costs of five decimals whose products, in cents each, add up to the amount.

    One part nearly always; a single unit takes the cents that a large quantity cannot carry.
    """
    if quantity == ZERO:
        parts = [(Decimal(1), max(amount, ZERO)), (Decimal(-1), max(-amount, ZERO))]
        return parts if amount else []
    unit = (amount / quantity).quantize(FIVE_PLACES, rounding=ROUND_HALF_UP)
    if money(quantity * unit) == amount:
        return [(quantity, unit)]
    one = Decimal(1).copy_sign(quantity)
    return [(quantity - one, unit), (one, (amount - money((quantity - one) * unit)) * one)]


def cloud_parts(name: str, quantity: Decimal, amount: Decimal) -> list[tuple[str, Decimal, Decimal]]:
    """Rows that carry an amount in the cloud: names that their ids are made from, quantities, unit costs."""
    return [
        (name if place == 0 else f"{name}/{place + 1}", part, cost)
        for place, (part, cost) in enumerate(exact_parts(quantity, amount))
    ]
