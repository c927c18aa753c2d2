-- One row for each invoice line on an order line: what was billed per EACH beside the order price in force (M3-01).
-- Grain and key: entity_key, facility_id (several match rows of one invoice line are added up). Amounts are additive.
-- Distribution: facility_id, po_line_key.
with factors as (
    select distinct item_key, quantity_each
    from {{ ref('dim_item_package') }}
    where quantity_each > 1
),

lines as (
    select
        invoice.invoice_line_key,
        'system=' || invoice.source_system || '|supplier=' || invoice.source_supplier_no || '|invoice=' || invoice.invoice_number
        || '|line=' || cast(invoice.invoice_line_number as varchar) as entity_key,
        invoice.facility_id,
        invoice.invoice_date,
        invoice.quantity_each,
        invoice.line_amount,
        invoice.price_each,
        invoice.po_price_each,
        cast({{ exact_product(['invoice.quantity_each', 'invoice.price_each - invoice.po_price_each']) }} as decimal(18, 4))
            as extended_variance,
        cast({{ exact_product(['invoice.quantity_each', 'invoice.po_price_each']) }} as decimal(18, 4)) as base_amount,
        invoice.is_other_uom,
        order_line.ordered_each,
        order_line.line_amount as order_amount,
        order_line.item_key,
        order_line.unit_factor,
        invoice.source_system,
        invoice.source_extract,
        invoice.source_key,
        invoice.source_file,
        invoice.source_line,
        order_line.source_extract as order_extract,
        order_line.source_key as order_key,
        order_line.source_file as order_file,
        order_line.source_line as order_file_line,
        case
            when invoice.is_cancelled then invoice.not_counted_reason
            when order_line.match_basis = '2way' then 'service or amount-based line'
            when order_line.match_basis = 'ers' then 'evaluated receipt'
            when order_line.match_basis = 'bill_only' then 'bill-only: judged against the implant log'
            when invoice.quantity_each < 0 or invoice.line_amount < 0 then 'credit memo'
            when invoice.unit_price is null or invoice.po_price_each is null then 'line without a price'
        end as line_reason
    from {{ ref('fct_invoice_line') }} as invoice
    inner join {{ ref('fct_po_line') }} as order_line
        on invoice.po_line_key = order_line.po_line_key
    where invoice.line_type = 'ITEM'
),

unit_explained as (
    select distinct lines.invoice_line_key
    from lines
    left join factors
        on lines.item_key = factors.item_key
    where
        lines.is_other_uom
        and lines.line_reason is null
        and (
            abs(lines.line_amount - lines.base_amount) <= {{ exact_product(['lines.base_amount', '0.02']) }}
            or (
                abs(lines.line_amount - lines.order_amount) <= {{ exact_product(['abs(lines.order_amount)', '0.02']) }}
                and (
                    abs(lines.price_each - {{ exact_product(['factors.quantity_each', 'lines.po_price_each']) }})
                    <= {{ exact_product(['0.02', 'lines.price_each']) }}
                    or abs({{ exact_product(['factors.quantity_each', 'lines.price_each']) }} - lines.po_price_each)
                    <= {{ exact_product(['0.02', 'lines.po_price_each']) }}
                    or {{ exact_product(['lines.quantity_each', 'factors.quantity_each']) }} = lines.ordered_each
                    or {{ exact_product(['lines.ordered_each', 'factors.quantity_each']) }} = lines.quantity_each
                )
            )
        )
),

judged as (
    select
        lines.*,
        row_number() over (
            partition by lines.entity_key, lines.facility_id order by abs(lines.extended_variance) desc, lines.invoice_line_key
        ) as place,
        coalesce(
            lines.line_reason,
            case when unit_explained.invoice_line_key is not null then 'unit of the invoice explains it: M3-04' end
        ) as out_of_scope_reason
    from lines
    left join unit_explained
        on lines.invoice_line_key = unit_explained.invoice_line_key
)

select
    {{ surrogate_key(['entity_key', 'facility_id']) }} as invoice_price_key,
    entity_key,
    facility_id,
    max(invoice_date) as business_date,
    max(invoice_date) as anchor_date,
    cast(max(case when place = 1 then price_each end) as decimal(18, 8)) as invoice_price_each,
    cast(max(case when place = 1 then po_price_each end) as decimal(18, 8)) as po_price_each,
    cast(sum(quantity_each) as decimal(18, 4)) as invoiced_each,
    cast(coalesce(sum(extended_variance) filter (where out_of_scope_reason is null), 0) as decimal(18, 4)) as extended_variance,
    cast(coalesce(sum(base_amount) filter (where out_of_scope_reason is null), 0) as decimal(18, 4)) as base_amount,
    {{ round_money_even('abs(coalesce(sum(extended_variance) filter (where out_of_scope_reason is null), 0))') }} as impact_amount,
    case when count(*) filter (where out_of_scope_reason is null) = 0 then min(out_of_scope_reason) end as out_of_scope_reason,
    {{ evidence_json([
        evidence_items(evidence_entry('source_system', 'source_extract', 'source_key', 'source_file', 'source_line')),
        evidence_items(evidence_entry('source_system', 'order_extract', 'order_key', 'order_file', 'order_file_line'))
    ]) }} as evidence
from judged
group by entity_key, facility_id
