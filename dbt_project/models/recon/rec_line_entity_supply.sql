-- One row for each line of the supply half and rule that judges it: which entity its verdict stands under.
-- Grain: line_type, line_key, rule_id. Key: line_entity_key. Not additive. Distribution: facility_id, line_key.
-- facility_id is that of the exception; out_of_scope_reason says why the rule does not judge the line.
with order_rules as (
    select po_line_key, 'CP-01' as rule_id, entity_key, facility_id, out_of_scope_reason
    from {{ ref('rec_order_contract') }}
    union all
    select po_line_key, 'M3-02' as rule_id, entity_key, facility_id, out_of_scope_reason_m3_02 as out_of_scope_reason
    from {{ ref('rec_three_way') }}
    union all
    select po_line_key, 'M3-06' as rule_id, entity_key, facility_id, out_of_scope_reason_m3_06 as out_of_scope_reason
    from {{ ref('rec_three_way') }}
    union all
    select po_line_key, 'M3-05' as rule_id, entity_key, facility_id, out_of_scope_reason
    from {{ ref('rec_grni') }}
),

entities as (
    select 'po_line' as line_type, po_line_key as line_key, rule_id, entity_key, facility_id, out_of_scope_reason
    from order_rules
    union all
    select
        'receipt_line' as line_type,
        receipt.receipt_line_key as line_key,
        order_rules.rule_id,
        order_rules.entity_key,
        order_rules.facility_id,
        coalesce(receipt.not_counted_reason, order_rules.out_of_scope_reason) as out_of_scope_reason
    from {{ ref('fct_receipt_line') }} as receipt
    inner join order_rules
        on receipt.po_line_key = order_rules.po_line_key
        and order_rules.rule_id in ('M3-02', 'M3-05')
    union all
    select
        'invoice_line' as line_type,
        invoice.invoice_line_key as line_key,
        order_rules.rule_id,
        order_rules.entity_key,
        order_rules.facility_id,
        coalesce(invoice.not_counted_reason, order_rules.out_of_scope_reason) as out_of_scope_reason
    from {{ ref('fct_invoice_line') }} as invoice
    inner join order_rules
        on invoice.po_line_key = order_rules.po_line_key
        and order_rules.rule_id in ('M3-02', 'M3-06')
    where invoice.line_type = 'ITEM'
    union all
    select
        'invoice_line' as line_type,
        invoice.invoice_line_key as line_key,
        'M3-01' as rule_id,
        price.entity_key,
        price.facility_id,
        coalesce(invoice.not_counted_reason, price.out_of_scope_reason) as out_of_scope_reason
    from {{ ref('fct_invoice_line') }} as invoice
    inner join {{ ref('rec_invoice_price') }} as price
        on price.entity_key
        = 'system=' || invoice.source_system || '|supplier=' || invoice.source_supplier_no || '|invoice=' || invoice.invoice_number
        || '|line=' || cast(invoice.invoice_line_number as varchar)
        and invoice.facility_id = price.facility_id
    where invoice.line_type = 'ITEM' and invoice.po_line_key is not null
    union all
    select
        'invoice_line' as line_type,
        invoice.invoice_line_key as line_key,
        'M3-07' as rule_id,
        'system=' || invoice.source_system || '|supplier=' || invoice.source_supplier_no || '|invoice=' || invoice.invoice_number
            as entity_key,
        invoice.facility_id,
        coalesce(invoice.not_counted_reason, duplicate.out_of_scope_reason) as out_of_scope_reason
    from {{ ref('fct_invoice_line') }} as invoice
    left join {{ ref('rec_duplicate_invoice') }} as duplicate
        on duplicate.entity_key
        = 'system=' || invoice.source_system || '|supplier=' || invoice.source_supplier_no || '|invoice=' || invoice.invoice_number
        and invoice.facility_id = duplicate.facility_id
    union all
    select
        'journal_line' as line_type,
        line.journal_line_key as line_key,
        'GL-05' as rule_id,
        journal.entity_key,
        journal.facility_id,
        journal.out_of_scope_reason
    from {{ ref('fct_gl_journal_line') }} as line
    inner join {{ ref('rec_journal_balance') }} as journal
        on line.source_system = journal.source_system
        and line.ledger_id = journal.ledger_id
        and line.journal_id = journal.journal_id
        and line.balancing_segment = journal.balancing_segment
        and line.facility_id = journal.facility_id
)

select
    {{ surrogate_key(['line_type', 'line_key', 'rule_id']) }} as line_entity_key,
    line_type,
    line_key,
    facility_id,
    rule_id,
    entity_key,
    out_of_scope_reason
from entities
