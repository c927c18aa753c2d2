-- One row for each implant used that had to be ordered after the fact, beside the orders found for it (BO-01).
-- Grain and key: entity_key (case and implant). quantity_each and impact_amount are additive. Distribution: facility_id, case_id.
-- An order line belongs to an implant by case number (typed ones may hold the LOG_ID, Q89; a number that fits a case wins over
-- one that fits a log, Q01) and item or catalogue number, or by item or catalogue number with lot or serial, ordered from one
-- day before to ten days after surgery. A line that carries the lot or serial of one implant of the case does not serve
-- another, unless it orders more than that one.
with implants as (
    select
        usage_line.facility_id,
        usage_line.case_id,
        usage_line.case_no,
        usage_line.entity_name,
        'case=' || usage_line.case_id || '|' || usage_line.entity_name as entity_key,
        min(usage_line.surgery_date) as surgery_date,
        min(usage_line.item_key) as item_key,
        min(usage_line.stock_class) as stock_class,
        bool_or(usage_line.is_owned) as is_owned,
        min({{ catalogue_key('usage_line.supplier_catalogue_number') }}) as supplier_catalogue_key,
        min(item.catalogue_key) as item_catalogue_key,
        min({{ catalogue_key('usage_line.manufacturer_catalogue_number') }}) as manufacturer_catalogue_key,
        min({{ lot_key('usage_line.lot_number') }}) as lot_key,
        min(usage_line.serial_token) as serial_token,
        sum(usage_line.quantity_each) as quantity_each,
        max(usage_line.unit_cost) as unit_cost,
        {{ evidence_items(evidence_entry('usage_line.source_system', 'usage_line.source_extract', 'usage_line.source_key',
            'usage_line.source_file', 'usage_line.source_line')) }} as evidence
    from {{ ref('fct_usage_line') }} as usage_line
    left join {{ ref('dim_item') }} as item
        on usage_line.item_key = item.item_key
    where
        usage_line.record_type = 'implant'
        and usage_line.usage_type = 'used'
        and usage_line.is_countable
        and usage_line.entity_name is not null
    group by usage_line.facility_id, usage_line.case_id, usage_line.case_no, usage_line.entity_name
),

orders as (
    select
        po_line_key,
        facility_id,
        {{ stripped_number('case_ref') }} as case_ref,
        item_key,
        {{ catalogue_key('vendor_catalogue_number') }} as catalogue_key,
        {{ lot_key('lot_number') }} as lot_key,
        serial_token,
        order_date,
        ordered_each,
        source_system,
        source_extract,
        source_key,
        source_file,
        source_line
    from {{ ref('fct_po_line') }}
    where not is_cancelled and po_type <> 'service'
),

numbered_cases as (
    select
        entity_key,
        {{ stripped_number('case_no') }} as number,
        1 as way
    from implants
    union all
    select
        entity_key,
        {{ stripped_number('case_id') }} as number,
        2 as way
    from implants
),

by_case as (
    select
        implants.entity_key,
        orders.po_line_key,
        orders.ordered_each,
        implants.quantity_each,
        coalesce(orders.lot_key = implants.lot_key, false) or coalesce(orders.serial_token = implants.serial_token, false) as is_exact
    from orders
    inner join numbered_cases
        on orders.case_ref = numbered_cases.number
    inner join implants
        on numbered_cases.entity_key = implants.entity_key
        and (
            orders.item_key = implants.item_key
            or orders.catalogue_key in (
                implants.supplier_catalogue_key, implants.manufacturer_catalogue_key, implants.item_catalogue_key
            )
            or (orders.item_key is null and orders.catalogue_key is null)
        )
    qualify
        numbered_cases.way = min(numbered_cases.way) over (partition by orders.po_line_key)
        and row_number() over (partition by orders.po_line_key, implants.entity_key order by numbered_cases.way) = 1
),

claims as (
    select
        po_line_key,
        sum(case when is_exact then quantity_each else 0 end) as claimed_each,
        bool_or(is_exact) as is_claimed
    from by_case
    group by po_line_key
),

by_lot as (
    select
        implants.entity_key,
        orders.po_line_key
    from implants
    inner join orders
        on implants.facility_id = orders.facility_id
        and implants.item_key = orders.item_key
        and (implants.lot_key = orders.lot_key or implants.serial_token = orders.serial_token)
    where orders.order_date between {{ add_days('implants.surgery_date', -1) }} and {{ add_days('implants.surgery_date', 10) }}
    union
    select
        implants.entity_key,
        orders.po_line_key
    from implants
    inner join orders
        on implants.facility_id = orders.facility_id
        and orders.catalogue_key in (
            implants.supplier_catalogue_key, implants.manufacturer_catalogue_key, implants.item_catalogue_key
        )
        and (implants.lot_key = orders.lot_key or implants.serial_token = orders.serial_token)
    where orders.order_date between {{ add_days('implants.surgery_date', -1) }} and {{ add_days('implants.surgery_date', 10) }}
),

found as (
    select
        by_case.entity_key,
        by_case.po_line_key,
        'case number' as match_method
    from by_case
    inner join claims
        on by_case.po_line_key = claims.po_line_key
    where by_case.is_exact or not claims.is_claimed or by_case.ordered_each > claims.claimed_each
    union all
    select
        entity_key,
        po_line_key,
        'lot or serial' as match_method
    from by_lot
),

ordered as (
    select
        found.entity_key,
        min(found.match_method) as match_method,
        min(found.po_line_key) as po_line_key,
        {{ evidence_items(evidence_entry('orders.source_system', 'orders.source_extract', 'orders.source_key', 'orders.source_file',
            'orders.source_line')) }} as evidence
    from found
    inner join orders
        on found.po_line_key = orders.po_line_key
    group by found.entity_key
),

contract_prices as (
    select
        implants.entity_key,
        contract.price_each
    from implants
    inner join {{ ref('dim_contract_line') }} as contract
        on implants.item_key = contract.item_key
        and implants.facility_id = contract.facility_id
    where
        contract.is_tier_activated
        and not contract.is_on_hold
        and contract.price_type <> 'COST_PLUS'
        and contract.effective_from <= implants.surgery_date
        and (contract.effective_to is null or implants.surgery_date <= contract.effective_to)
    qualify
        row_number() over (
            partition by implants.entity_key
            order by
                contract.contract_rank,
                contract.priority nulls last,
                contract.price_each,
                contract.contract_number,
                contract.contract_line_key
        ) = 1
)

select
    {{ surrogate_key(['implants.entity_key', 'implants.facility_id']) }} as implant_order_key,
    implants.entity_key,
    implants.facility_id,
    implants.surgery_date as business_date,
    implants.surgery_date as anchor_date,
    implants.case_id,
    implants.item_key,
    implants.stock_class,
    cast(implants.quantity_each as decimal(18, 4)) as quantity_each,
    cast(coalesce(contract_prices.price_each, implants.unit_cost) as decimal(18, 8)) as contract_price,
    {{ money_product(['implants.quantity_each', 'coalesce(contract_prices.price_each, implants.unit_cost, 0)']) }} as impact_amount,
    ordered.po_line_key is not null as has_order,
    ordered.po_line_key,
    ordered.match_method,
    case
        when implants.is_owned then 'owned stock'
        when implants.stock_class is null or implants.stock_class not in ('BILLONLY', 'CONSIGN', 'ONE_TIME') then 'owned stock'
    end as out_of_scope_reason,
    {{ evidence_json(['implants.evidence', 'ordered.evidence']) }} as evidence
from implants
left join ordered
    on implants.entity_key = ordered.entity_key
left join contract_prices
    on implants.entity_key = contract_prices.entity_key
