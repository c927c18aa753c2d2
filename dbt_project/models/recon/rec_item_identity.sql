-- One row for each item that a clinical or inventory system has transacted: does it resolve to a golden item, and how surely.
-- Grain and key: entity_key (system and item). amount_90d is the cost value, in USD, of the system's own transactions of the last 90
-- days: used and wasted EACH (ehr), issues less returns (pou), each at its unit cost. Distribution: source_system.
with used as (
    select
        documented_item as source_item_no,
        max(surgery_date) as last_date,
        sum(
            case
                when surgery_date > {{ add_days(as_of_date(), -90) }} and surgery_date <= {{ as_of_date() }}
                    then {{ exact_product(['quantity_each', 'unit_cost']) }}
                else 0
            end
        ) as amount_90d
    from {{ ref('fct_usage_line') }}
    where is_countable
        and documented_item is not null
    group by documented_item
),
moved as (
    select
        txn.inventory_txn_key,
        txn.inventory_item,
        txn.facility_id,
        txn.location_id,
        txn.is_asset,
        txn.item_key,
        cost_supply.supply_id,
        txn.unit_cost as delivered_unit_cost,
        txn.business_date,
        case
            when txn.movement in ('ISSUE', 'CONSIGN_USE', 'WASTE', 'RETURN')
                and txn.business_date > {{ add_days(as_of_date(), -90) }}
                and txn.business_date <= {{ as_of_date() }}
                then -txn.quantity_each
            else cast(0 as decimal(18, 4))
        end as issued_each
    from {{ ref('fct_inventory_txn') }} as txn
    left join {{ ref('bridge_pou_cost_supply') }} as cost_supply
        on txn.inventory_item = cost_supply.item_no
    where txn.is_movement
),
costed as (
    select
        moved.inventory_item,
        moved.business_date,
        {{ exact_product(['moved.issued_each', 'cast(coalesce(' ~ unit_cost() ~ ', moved.delivered_unit_cost, 0) as decimal(18, 5))']) }} as amount
    from (select * from moved where issued_each <> 0) as moved
    {{ unit_cost_joins('moved', 'moved.business_date') | indent(4) }}
    qualify row_number() over (partition by moved.inventory_txn_key order by {{ unit_cost_rank() }}) = 1
),
issued as (
    select
        moved.inventory_item as source_item_no,
        moved.last_date,
        coalesce(amounts.amount_90d, 0) as amount_90d
    from (select inventory_item, max(business_date) as last_date from moved group by inventory_item) as moved
    left join (select inventory_item, sum(amount) as amount_90d from costed group by inventory_item) as amounts
        on moved.inventory_item = amounts.inventory_item
),
transacted as (
    select 'ehr' as source_system, source_item_no, last_date, amount_90d from used
    union all
    select 'pou', source_item_no, last_date, amount_90d from issued
),
masters as (
    select 'ehr' as source_system, supply_id as source_item_no, 'OR_SPLY' as source_extract, source_file, source_line
    from {{ ref('stg_ehr__supply_item') }}
    union all
    select 'pou', item_no, 'item', source_file, source_line
    from {{ ref('stg_pou__item') }}
)
select
    {{ surrogate_key(['transacted.source_system', 'transacted.source_item_no']) }} as item_identity_key,
    'system=' || transacted.source_system || '|item=' || transacted.source_item_no as entity_key,
    'SYS' as facility_id,
    transacted.last_date as business_date,
    cast(null as varchar) as out_of_scope_reason,
    transacted.source_system,
    transacted.source_item_no,
    coalesce(xref.is_accepted, false) as is_mapped,
    coalesce(xref.confidence, cast(0 as decimal(5, 2))) as confidence,
    coalesce(xref.match_method, 'none') as match_method,
    {{ round_money_even('abs(transacted.amount_90d)') }} as amount_90d,
    {{ evidence_json([
        "case when masters.source_file is not null then " ~ evidence_entry(
            'masters.source_system', 'masters.source_extract', 'masters.source_item_no', 'masters.source_file', 'masters.source_line'
        ) ~ " end"
    ]) }} as evidence
from transacted
left join {{ ref('bridge_item_xref') }} as xref
    on transacted.source_system = xref.source_system
    and transacted.source_item_no = xref.source_item_no
left join masters
    on transacted.source_system = masters.source_system
    and transacted.source_item_no = masters.source_item_no
