-- One row for each order line with receipts: what was received and is not billed, by receipt layers, first in, first out (M3-05).
-- Grain and key: po_line_key, entity_key. unbilled_each and unbilled_amount are additive. Distribution: facility_id, po_line_key.
-- A layer is a receipt with its own corrections and returns; a layer that was returned is no layer. Invoices, and returns that
-- name no receipt, use up the oldest layers first. What is left is valued at the order price in force at the layer's receipt.
with received as (
    select
        po_line_key,
        root_receipt,
        min(case when transaction_type = 'receive' then receipt_date end) as receipt_date,
        sum(quantity_each) as quantity_each,
        sum(case when transaction_type = 'receive' then quantity_each else 0 end) as booked_each,
        coalesce(max(case when transaction_type = 'receive' then price_each end), max(price_each)) as price_each,
        bool_or(is_consigned) as is_consigned,
        {{ evidence_items(evidence_entry('source_system', 'source_extract', 'source_key', 'source_file', 'source_line')) }} as evidence
    from {{ ref('fct_receipt_line') }}
    where is_counted and po_line_key is not null
    group by po_line_key, root_receipt
),

layers as (
    select
        po_line_key,
        root_receipt,
        receipt_date,
        price_each,
        quantity_each,
        sum(quantity_each) over (
            partition by po_line_key
            order by receipt_date, root_receipt
            rows between unbounded preceding and current row
        ) as cumulative_each
    from received
    where booked_each > 0 and quantity_each > 0
),

invoiced as (
    select
        po_line_key,
        sum(quantity_each) as invoiced_each,
        max(invoice_date) as latest_invoice_date
    from {{ ref('fct_invoice_line') }}
    where not is_cancelled and line_type = 'ITEM' and po_line_key is not null
    group by po_line_key
),

lines as (
    select
        received.po_line_key,
        sum(received.quantity_each) as received_each,
        sum(case when received.booked_each > 0 and received.quantity_each > 0 then 0 else -received.quantity_each end)
            as loose_return_each,
        bool_or(received.is_consigned) as is_consigned,
        string_agg(received.evidence, ',' order by received.root_receipt) as evidence
    from received
    group by received.po_line_key
),

remaining as (
    select
        layers.po_line_key,
        layers.receipt_date,
        layers.price_each,
        greatest(
            0,
            least(
                layers.quantity_each,
                layers.cumulative_each - coalesce(invoiced.invoiced_each, 0) - lines.loose_return_each
            )
        ) as unbilled_each
    from layers
    inner join lines
        on layers.po_line_key = lines.po_line_key
    left join invoiced
        on layers.po_line_key = invoiced.po_line_key
),

unbilled as (
    select
        po_line_key,
        sum(unbilled_each) as unbilled_each,
        sum({{ exact_product(['unbilled_each', 'price_each']) }}) as unbilled_amount,
        min(receipt_date) as oldest_unbilled_receipt_date
    from remaining
    where unbilled_each > 0
    group by po_line_key
)

select
    {{ surrogate_key(["'grni'", 'line.po_line_key']) }} as grni_key,
    'po=' || line.po_number || '|line=' || cast(line.line_number as varchar) as entity_key,
    line.facility_id,
    coalesce(unbilled.oldest_unbilled_receipt_date, line.order_date) as business_date,
    unbilled.oldest_unbilled_receipt_date as anchor_date,
    line.po_line_key,
    line.supplier_id,
    cast(lines.received_each as decimal(18, 4)) as received_each,
    cast(coalesce(invoiced.invoiced_each, 0) as decimal(18, 4)) as invoiced_each,
    cast(coalesce(unbilled.unbilled_each, 0) as decimal(18, 4)) as unbilled_each,
    {{ round_money_even('coalesce(unbilled.unbilled_amount, 0)') }} as unbilled_amount,
    unbilled.oldest_unbilled_receipt_date,
    case
        when line.match_basis = 'ers' then 'evaluated receipt'
        when lines.is_consigned or line.is_consigned then 'consigned'
        when coalesce(line.price_each, 0) = 0 then 'zero-price line'
    end as out_of_scope_reason,
    {{ evidence_json([
        evidence_entry('line.source_system', 'line.source_extract', 'line.source_key', 'line.source_file', 'line.source_line'),
        'lines.evidence'
    ]) }} as evidence
from lines
inner join {{ ref('fct_po_line') }} as line
    on lines.po_line_key = line.po_line_key
left join invoiced
    on lines.po_line_key = invoiced.po_line_key
left join unbilled
    on lines.po_line_key = unbilled.po_line_key
