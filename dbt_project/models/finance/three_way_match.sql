-- One row for each order line: order, receipts and invoices in EACH and dollars, and where the match stands.
-- Grain and key: po_line_key. Quantities and amounts are additive; po_price is not. Distribution: facility_id, po_line_key.
-- hold: price or quantity exception open (M3-01, M3-02); unmatched: one side is missing for too long (M3-05, M3-06); pending:
-- nothing is billed yet or a break has not matured; matched: equal to the unit and the cent; in_tolerance: the rest.
with judged_lines as (
    select
        entity.line_key as po_line_key,
        bool_or(judged.rule_id in ('M3-01', 'M3-02') and judged.status <> 'timing') as is_on_hold,
        bool_or(judged.rule_id in ('M3-05', 'M3-06') and judged.status <> 'timing') as is_one_sided,
        bool_or(judged.status = 'timing') as is_timing
    from (
        select line_key, rule_id, entity_key, facility_id
        from {{ ref('rec_line_entity_supply') }}
        where line_type = 'po_line'
        union
        select invoice.po_line_key as line_key, entity.rule_id, entity.entity_key, entity.facility_id
        from {{ ref('rec_line_entity_supply') }} as entity
        inner join {{ ref('fct_invoice_line') }} as invoice
            on entity.line_key = invoice.invoice_line_key
        where entity.line_type = 'invoice_line' and entity.rule_id = 'M3-01'
    ) as entity
    inner join {{ source('judged', 'exceptions') }} as judged
        on entity.rule_id = judged.rule_id
        and entity.entity_key = judged.entity_key
        and entity.facility_id = judged.facility_id
    group by entity.line_key
),

invoiced as (
    select
        po_line_key,
        sum(line_amount) - sum({{ money_product(['quantity_each', 'coalesce(po_price_each, 0)']) }}) as price_variance_amount
    from {{ ref('fct_invoice_line') }}
    where not is_cancelled and line_type = 'ITEM' and quantity_each is not null
    group by po_line_key
)

select
    line.po_line_key,
    line.facility_id,
    line.source_system,
    line.po_number,
    cast(line.line_number as varchar) as line_number,
    line.supplier_id,
    item.item_id,
    line.match_basis,
    case
        when coalesce(judged_lines.is_on_hold, false) then 'hold'
        when coalesce(judged_lines.is_one_sided, false) then 'unmatched'
        when match.first_invoice_date is null or coalesce(judged_lines.is_timing, false) then 'pending'
        when line.match_basis = '2way' then 'matched'
        when match.received_each > match.invoiced_each then 'pending'
        when match.received_each = match.invoiced_each and coalesce(invoiced.price_variance_amount, 0) = 0 then 'matched'
        else 'in_tolerance'
    end as match_state,
    cast(coalesce(line.ordered_each, 0) as decimal(18, 4)) as ordered_each,
    match.received_each,
    match.invoiced_each,
    cast(line.price_each as decimal(18, 5)) as po_price,
    line.line_amount as ordered_amount,
    match.received_amount,
    match.invoiced_amount,
    cast(case when line.match_basis = '2way' then 0 else coalesce(invoiced.price_variance_amount, 0) end as decimal(18, 2))
        as price_variance_amount,
    cast(case when line.match_basis = '2way' then 0 else match.invoiced_each - match.received_each end as decimal(18, 4))
        as quantity_variance_each
from {{ ref('fct_po_line') }} as line
inner join {{ ref('rec_three_way') }} as match
    on line.po_line_key = match.po_line_key
left join {{ ref('dim_item') }} as item
    on line.item_key = item.item_key
left join judged_lines
    on line.po_line_key = judged_lines.po_line_key
left join invoiced
    on line.po_line_key = invoiced.po_line_key
