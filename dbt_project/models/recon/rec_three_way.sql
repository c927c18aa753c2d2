-- One row for each order line: ordered, received and invoiced in EACH, side by side (M3-02, M3-06).
-- Grain and key: po_line_key, entity_key. Quantities and amounts are additive. Distribution: facility_id, po_line_key.
-- received_each is net of corrections and returns; has_receipt says whether anything was received at all, so that a return that
-- is not yet credited shows as billed more than received. Out-of-scope reasons stand per rule.
with received as (
    select
        po_line_key,
        sum(quantity_each) as received_each,
        sum(amount) as received_amount,
        bool_or(transaction_type = 'receive' and quantity_each > 0) as has_receipt,
        min(case when transaction_type = 'receive' then receipt_date end) as first_receipt_date,
        max(receipt_date) as latest_receipt_date,
        {{ evidence_items(evidence_entry('source_system', 'source_extract', 'source_key', 'source_file', 'source_line')) }} as evidence
    from {{ ref('fct_receipt_line') }}
    where is_counted and po_line_key is not null
    group by po_line_key
),

invoiced as (
    select
        po_line_key,
        sum(quantity_each) as invoiced_each,
        sum(line_amount) as invoiced_amount,
        min(invoice_date) as first_invoice_date,
        max(invoice_date) as latest_invoice_date,
        {{ evidence_items(evidence_entry('source_system', 'source_extract', 'source_key', 'source_file', 'source_line')) }} as evidence
    from {{ ref('fct_invoice_line') }}
    where not is_cancelled and line_type = 'ITEM' and po_line_key is not null
    group by po_line_key
),

compared as (
    select
        line.*,
        coalesce(received.received_each, 0) as received_each,
        coalesce(received.received_amount, 0) as received_amount,
        coalesce(received.has_receipt, false) as has_receipt,
        received.first_receipt_date,
        coalesce(invoiced.invoiced_each, 0) as invoiced_each,
        coalesce(invoiced.invoiced_amount, 0) as invoiced_amount,
        invoiced.first_invoice_date,
        invoiced.latest_invoice_date,
        received.evidence as receipt_evidence,
        invoiced.evidence as invoice_evidence,
        case
            when line.match_basis = '2way' then 'service or amount-based line'
            when line.match_basis = 'ers' then 'evaluated receipt'
            when line.match_basis = 'bill_only' then 'bill-only: judged against the implant log'
            when invoiced.po_line_key is null then 'not invoiced'
        end as common_reason
    from {{ ref('fct_po_line') }} as line
    left join received
        on line.po_line_key = received.po_line_key
    left join invoiced
        on line.po_line_key = invoiced.po_line_key
)

select
    {{ surrogate_key(["'three_way'", 'po_line_key']) }} as three_way_key,
    'po=' || po_number || '|line=' || cast(line_number as varchar) as entity_key,
    facility_id,
    coalesce(latest_invoice_date, order_date) as business_date,
    latest_invoice_date as business_date_m3_02,
    first_invoice_date as business_date_m3_06,
    latest_invoice_date as anchor_date_m3_02,
    first_invoice_date as anchor_date_m3_06,
    po_line_key,
    supplier_id,
    item_key,
    match_basis,
    is_implant,
    cast(ordered_each as decimal(18, 4)) as ordered_each,
    cast(received_each as decimal(18, 4)) as received_each,
    cast(invoiced_each as decimal(18, 4)) as invoiced_each,
    cast(case when has_receipt then invoiced_each - received_each else 0 end as decimal(18, 4)) as excess_each,
    price_each as po_price_each,
    case
        when has_receipt and invoiced_each > received_each
            then {{ money_product(['invoiced_each - received_each', 'coalesce(price_each, 0)']) }}
        else cast(0 as decimal(18, 2))
    end as excess_amount,
    cast(received_amount as decimal(18, 2)) as received_amount,
    cast(invoiced_amount as decimal(18, 2)) as invoiced_amount,
    first_receipt_date,
    first_invoice_date,
    latest_invoice_date,
    has_receipt,
    common_reason as out_of_scope_reason,
    coalesce(common_reason, case when not has_receipt then 'nothing received: M3-06' end) as out_of_scope_reason_m3_02,
    coalesce(
        common_reason,
        case
            when has_receipt then 'something was received'
            when invoiced_each <= 0 and invoiced_amount <= 0 then 'invoice credited in full'
        end
    ) as out_of_scope_reason_m3_06,
    {{ evidence_json([
        evidence_entry('source_system', 'source_extract', 'source_key', 'source_file', 'source_line'),
        'receipt_evidence',
        'invoice_evidence'
    ]) }} as evidence
from compared
