"""Match and payables: order, receipt and invoice beside each other."""

from __future__ import annotations

from quality.rules.check import Condition, Maturity, RuleCheck

CHECKS = (
    RuleCheck(
        rule_id="M3-01",
        relation="rec_invoice_price",
        variance="extended_variance",
        base="base_amount",
        direction="both",
        tolerance="price_po",
        maturity=Maturity(anchor="business_date"),
        impact="impact_amount",
        explanation="{invoiced_each:each} EACH invoiced at {invoice_price_each:price}, ordered at "
        "{po_price_each:price}: {extended_variance:money} apart on {base_amount:money}.",
    ),
    RuleCheck(
        rule_id="M3-02",
        relation="rec_three_way",
        variance="excess_each",
        base="received_each",
        tolerance="qty_match",
        implant_tolerance="qty_implant",
        conditions=(Condition("has_receipt", "=", True),),
        maturity=Maturity(anchor="latest_invoice_date", days=5),
        impact="excess_amount",
        explanation="{invoiced_each:each} EACH invoiced of {ordered_each:each} ordered, {received_each:each} "
        "EACH received: {excess_each:each} EACH too many at {po_price_each:price}.",
    ),
    RuleCheck(
        rule_id="M3-05",
        relation="rec_grni",
        variance="unbilled_each",
        maturity=Maturity(anchor="oldest_unbilled_receipt_date", limit="grni_exception_days"),
        impact="unbilled_amount",
        explanation="{unbilled_each:each} EACH worth {unbilled_amount:money} received and not invoiced, "
        "the oldest since {oldest_unbilled_receipt_date:date}.",
    ),
    RuleCheck(
        rule_id="M3-06",
        relation="rec_three_way",
        conditions=(Condition("has_receipt", "=", False), Condition("invoiced_each", ">", 0)),
        maturity=Maturity(anchor="first_invoice_date", days=5),
        impact="invoiced_amount",
        explanation="{invoiced_each:each} EACH for {invoiced_amount:money} invoiced since {first_invoice_date:date}, "
        "nothing received.",
    ),
    RuleCheck(
        rule_id="M3-07",
        relation="rec_duplicate_invoice",
        conditions=(Condition("matched_invoice", "<>", ""),),
        maturity=Maturity(anchor="business_date"),
        impact="invoice_amount",
        explanation="{invoice_amount:money} invoiced again: the earlier invoice is {matched_invoice:text} "
        "({match_reason:text}).",
    ),
)
