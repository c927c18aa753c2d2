"""The oracle on single documents: PA-02, AS-01, M3-04, M3-10, M3-13 and M3-15 from both sides, on tiny worlds."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from ingest.simulator.events import Acknowledgement, InvoiceLine, ShipNotice, SupplierBill, SupplierClosure
from tests.unit.simulator.oracle_worlds import SURGERY, Tiny, at


def days(number: int) -> timedelta:
    return timedelta(days=number)


def line(po: str) -> str:
    return f"po={po}|line=1"


# ------------------------------------------------------------------------------------------------------------- PA-02


def answer(tiny: Tiny, po: str, day: date = SURGERY, **changes: object) -> None:
    """An 855 that takes the line as it was ordered unless `changes` say otherwise."""
    order = next(row for row in tiny.world.po_lines if row.po_key == po)
    values: dict[str, object] = {
        "erp": order.erp,
        "site": order.site,
        "po_key": po,
        "line": order.line,
        "acknowledged_on": day,
        "quantity": order.quantity,
        "uom": order.uom,
        "each_per_uom": order.each_per_uom,
        "unit_price": order.unit_price,
        "vendor_catalogue_number": order.vendor_catalogue_number,
        "parts": (("IA", order.quantity),),
        "known_at": at(day, 15),
    }
    tiny.world.acknowledgements.append(Acknowledgement(**(values | changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "impact"),
    [
        ({"unit_price": Decimal("100.51"), "parts": (("IP", Decimal(10)),)}, "5.10"),
        ({"unit_price": Decimal("99.49")}, "5.10"),
        ({"parts": (("IQ", Decimal(8)),)}, "0.00"),
        ({"parts": (("IA", Decimal(6)), ("IB", Decimal(4)))}, "0.00"),
        ({"parts": (("IS", Decimal(10)),), "vendor_catalogue_number": "OTHER-1"}, "0.00"),
        ({"parts": (("IR", Decimal(0)),)}, "1000.00"),
        ({"parts": (("ID", Decimal(0)),)}, "1000.00"),
        ({"uom": "BX", "each_per_uom": Decimal(10), "parts": (("IC", Decimal(10)),)}, "900.00"),
    ],
)
def test_an_acknowledgement_that_differs_is_found(changes, impact):
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10", "100")
    answer(tiny, po, **changes)
    assert tiny.found("PA-02") == {line(po): impact}
    assert tiny.course("PA-02") == {line(po): (SURGERY, None)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"parts": (("DR", Decimal(10)),)},
        {"parts": (("IC", Decimal(10)),)},
        {"unit_price": Decimal("100.50"), "parts": (("IP", Decimal(10)),)},
        {"uom": "BX", "each_per_uom": Decimal(10), "unit_price": Decimal(1000), "parts": (("IC", Decimal(1)),)},
        {"vendor_catalogue_number": "CAT0001"},
    ],
)
def test_dates_units_that_agree_and_half_a_percent_do_not_matter(changes):
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10", "100")
    answer(tiny, po, **changes)
    assert tiny.found("PA-02") == {}


def test_the_latest_acknowledgement_counts():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10", "100")
    answer(tiny, po, parts=(("IB", Decimal(10)),))
    answer(tiny, po, day=SURGERY + days(2))
    assert tiny.course("PA-02") == {line(po): (SURGERY, SURGERY + days(2))}


def test_what_is_open_of_a_rejected_line_shrinks_when_it_is_cancelled():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10", "100")
    answer(tiny, po, parts=(("IR", Decimal(0)),))
    order = tiny.world.po_lines[0]
    tiny.world.po_lines.append(replace(order, cancelled_each=Decimal(7), known_at=at(SURGERY + days(3))))
    assert tiny.found("PA-02") == {line(po): "300.00"}


# ------------------------------------------------------------------------------------------------------------- AS-01


def ship(tiny: Tiny, po: str, quantity: str, number: str = "SH1", day: date = SURGERY) -> str:
    order = next(row for row in tiny.world.po_lines if row.po_key == po)
    notice = ShipNotice(order.erp, order.site, number, po, order.line, Decimal(quantity), day, at(day - days(2), 15))
    tiny.world.ship_notices.append(notice)
    return f"shipment={number}|{line(po)}"


def test_less_or_more_than_two_percent_off_the_shipment_is_found_two_days_after_the_expected_one():
    tiny = Tiny()
    short, over, within = (tiny.order(tiny.supply, "50") for _ in range(3))
    keys = [ship(tiny, po, "50", f"SH{place}") for place, po in enumerate((short, over, within))]
    for po, received in ((short, "48"), (over, "52"), (within, "49")):
        tiny.receive(po, received)
    assert tiny.found("AS-01") == {keys[0]: "200.00", keys[1]: "200.00"}
    assert tiny.course("AS-01")[keys[0]] == (SURGERY + days(2), None)
    assert tiny.near("AS-01") == {keys[2]: "within tolerance"}


def test_a_shipment_that_never_came_is_found_whole_though_another_did():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10")
    lost = ship(tiny, po, "10", "SH1")
    ship(tiny, po, "10", "SH2", SURGERY + days(9))
    tiny.receive(po, "10", day=SURGERY + days(9), shipment_id="SH2")
    assert tiny.found("AS-01") == {lost: "1000.00"}


def test_a_receipt_without_a_number_counts_for_what_the_shipments_miss():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10")
    ship(tiny, po, "6", "SH1")
    ship(tiny, po, "4", "SH2", SURGERY + days(4))
    tiny.receive(po, "6")
    tiny.receive(po, "4", day=SURGERY + days(4), shipment_id="SH2")
    assert tiny.found("AS-01") == {}


def test_a_correction_counts_with_its_receipt_and_a_return_does_not():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10")
    ship(tiny, po, "10", "SH1")
    receipt = tiny.receive(po, "8", shipment_id="SH1")
    tiny.receive(po, "2", kind="correct", day=SURGERY + days(1), parent_key=receipt)
    tiny.receive(po, "-5", kind="return", day=SURGERY + days(5), parent_key=receipt)
    assert tiny.found("AS-01") == {}


def test_a_receipt_of_the_day_after_is_in_time():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "10")
    ship(tiny, po, "10")
    tiny.receive(po, "10", day=SURGERY + days(1))
    assert tiny.found("AS-01") == {}


# ------------------------------------------------------------------------------------------------------------- M3-04


def test_another_unit_by_a_package_factor_for_the_same_money_is_a_mismatch():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "2", "1000", uom="BX", each_per_uom=Decimal(10))
    invoice = tiny.invoice(po, "20", "100", uom="EA")
    assert tiny.found("M3-04") == {f"{invoice}|line=1": "0.00"}
    assert tiny.found("M3-01") == {}


def test_a_wrong_factor_is_one_too_when_the_extended_amounts_agree():
    tiny = Tiny()
    po = tiny.order(tiny.supply, "2", "1000", uom="BX", each_per_uom=Decimal(10))
    invoice = tiny.invoice(po, "20", "100", uom="PK", each_per_uom=Decimal(10))
    assert tiny.found("M3-04") == {f"{invoice}|line=1": "0.00"}


@pytest.mark.parametrize(
    ("quantity", "price", "changes"),
    [
        ("2", "1000", {"uom": "BX", "each_per_uom": Decimal(10)}),
        ("20", "130", {"uom": "EA"}),
        ("20", "100", {"uom": "EA", "line_cancelled": True}),
        ("20", "100", {"uom": "EA", "is_cancelled": True}),
        ("2", "1000", {"uom": "CA", "each_per_uom": Decimal(10)}),
    ],
)
def test_the_same_unit_another_price_and_cancelled_lines_are_no_mismatch(quantity, price, changes):
    tiny = Tiny()
    po = tiny.order(tiny.supply, "2", "1000", uom="BX", each_per_uom=Decimal(10))
    tiny.invoice(po, quantity, price, **changes)
    assert tiny.found("M3-04") == {}


# ------------------------------------------------------------------------------------------------------------- M3-10


def charge(tiny: Tiny, kind: str, amount: str) -> None:
    header, zero = tiny.world.invoices[-1], Decimal(0)
    line = InvoiceLine(
        erp=header.erp,
        site=header.site,
        invoice_key=header.invoice_key,
        line=2,
        line_type=kind,
        po_key=None,
        po_line=None,
        quantity=zero,
        uom=None,
        each_per_uom=Decimal(1),
        unit_price=zero,
        quantity_each=zero,
        amount=Decimal(amount),
        is_cancelled=False,
        known_at=header.known_at,
    )
    tiny.world.invoice_lines.append(line)


def test_header_against_lines_freight_and_tax_with_a_cent_of_tolerance():
    tiny = Tiny()
    po = tiny.order(tiny.supply)
    sound = tiny.invoice(po, "10", "100", amount=Decimal("1012.35"))
    charge(tiny, "freight", "10")
    charge(tiny, "tax", "2.34")
    wrong = tiny.invoice(po, "10", "100", amount=Decimal("988.50"))
    assert tiny.found("M3-10") == {wrong: "11.50"}
    assert tiny.near("M3-10") == {sound: "within tolerance"}


def test_a_cancelled_invoice_and_a_discarded_line_are_left_out():
    tiny = Tiny()
    po = tiny.order(tiny.supply)
    tiny.invoice(po, "10", "100", amount=Decimal("500"), is_cancelled=True)
    tiny.invoice(po, "10", "100", amount=Decimal("0"), line_cancelled=True)
    assert tiny.found("M3-10") == {}


@pytest.mark.parametrize(("total", "is_found"), [("1025.00", False), ("1025.01", False), ("1025.02", True)])
def test_an_810_is_added_up_by_lines_charges_and_tax(total, is_found):
    tiny = Tiny()
    goods = ((Decimal(3), Decimal("33.33333")), (Decimal(9), Decimal("100")))
    bill = SupplierBill(
        "H1", "950000001", "77123", SURGERY, Decimal(total), goods, Decimal(20), Decimal(5), at(SURGERY, 4)
    )
    tiny.world.supplier_bills.append(bill)
    key = "system=edi|supplier=950000001|invoice=77123"
    assert tiny.found("M3-10") == ({key: "0.02"} if is_found else {})
    if is_found:
        assert tiny.course("M3-10") == {key: (SURGERY, None)}


# ------------------------------------------------------------------------------------------------------------- M3-13


@pytest.mark.parametrize("level", ["supplier", "site"])
def test_an_invoice_dated_on_or_after_the_closing_of_its_supplier(level):
    tiny = Tiny()
    closed = SURGERY + days(3)
    tiny.world.supplier_closures.append(SupplierClosure("erp_fusion", "SUP00001", level, closed, at(closed - days(1))))
    before = tiny.invoice(None, "1", "500", day=closed - days(1), known_at=at(closed + days(2)))
    after = tiny.invoice(None, "1", "700", day=closed)
    tiny.invoice(None, "1", "900", day=closed, supplier_id="SUP00003", supplier_no="5003")
    tiny.invoice(None, "1", "900", day=closed, erp="erp_lawson", site="H5", supplier_no="2001")
    tiny.invoice(None, "1", "900", day=closed, is_cancelled=True)
    assert tiny.found("M3-13") == {after: "700.00"}
    assert tiny.near("M3-13") == {before: "dated before the supplier was closed"}


def test_a_closing_that_is_keyed_later_counts_from_its_date():
    tiny = Tiny()
    invoice = tiny.invoice(None, "1", "700")
    keyed = SupplierClosure("erp_fusion", "SUP00001", "supplier", SURGERY, at(SURGERY + days(8), 9))
    tiny.world.supplier_closures.append(keyed)
    assert tiny.course("M3-13") == {invoice: (SURGERY + days(8), None)}


# ------------------------------------------------------------------------------------------------------------- M3-15


def test_an_invoice_on_a_line_that_is_paid_on_receipt():
    tiny = Tiny()
    po = tiny.order(tiny.supply, match_basis="ers")
    other = tiny.order(tiny.supply)
    tiny.invoice(po, "10", "100", source="ERS")
    tiny.invoice(po, "10", "100", source="EDI", is_cancelled=True)
    tiny.invoice(other, "10", "100")
    tiny.invoice(None, "1", "18.50")
    charge(tiny, "freight", "18.50")
    anyway = tiny.invoice(po, "4", "100", source="MAN")
    assert tiny.found("M3-15") == {f"{anyway}|line=1": "400.00"}
