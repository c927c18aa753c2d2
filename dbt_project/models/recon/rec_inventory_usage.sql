-- One row for each item that was issued to a case, as the case was typed: what left the shelf beside what was documented.
-- Grain and key: entity_key (case as typed and inventory item). Issues, consigned and wasted, net of returns; halves of transfers
-- are none. What the log documents of the golden item, on any location, covers the issues in the order of their first movement.
-- A scheduled case without a log yet (its cart is picked the evening before at issue-at-pick sites, Q66) is a log not posted;
-- of a cancelled one nothing may stay out, from the day on which it was scheduled.
-- Quantities in EACH. Distribution: facility_id, item_key.
with movements as (
    select
        *,
        case when case_id is not null then 'log ' || case_id else 'typed ' || case_typed end as case_group,
        case when case_id is not null and item_key is not null then item_key else 'item ' || inventory_item end as item_group
    from {{ ref('fct_inventory_txn') }}
    where movement in ('ISSUE', 'CONSIGN_USE', 'WASTE', 'RETURN')
        and not is_transfer_half
        and case_typed is not null
),
first_movements as (
    select case_group, item_group, facility_id, location_id, is_asset, business_date
    from movements
    qualify row_number() over (partition by case_group, item_group order by txn_at, txn_id) = 1
),
issued as (
    select
        case_group,
        item_group,
        case_typed,
        inventory_item,
        max(case_id) as case_id,
        max(item_key) as item_key,
        bool_or(is_test_case) as is_test_case,
        min(txn_at) as first_txn_at,
        min_by(txn_id, (txn_at, txn_id)) as first_txn_id,
        cast(-sum(quantity_each) as decimal(18, 4)) as issued_each,
        max(unit_cost) as delivered_unit_cost
    from movements
    group by case_group, item_group, case_typed, inventory_item
),
documented as (
    select case_id, item_key, sum(quantity_each) as used_each
    from {{ ref('fct_usage_line') }}
    where is_countable
        and item_key is not null
    group by case_id, item_key
),
covered as (
    select
        issued.*,
        greatest(
            least(
                issued.issued_each,
                coalesce(documented.used_each, 0) - coalesce(
                    sum(greatest(issued.issued_each, 0)) over (
                        partition by issued.case_group, issued.item_group
                        order by issued.first_txn_at, issued.first_txn_id, issued.case_typed, issued.inventory_item
                        rows between unbounded preceding and 1 preceding
                    ),
                    0
                )
            ),
            0
        ) as used_each
    from issued
    left join documented
        on issued.case_id = documented.case_id
        and issued.item_key = documented.item_key
),
scheduled as (
    select
        case_schedule.case_no,
        case_schedule.surgery_date,
        coalesce(lower(status.category_name) like 'cancel%', false) as is_cancelled
    from {{ ref('stg_ehr__case') }} as case_schedule
    left join {{ ref('stg_ehr__category') }} as status
        on status.category_table = 'ZC_OR_SCHED_STATUS'
        and case_schedule.schedule_status_category = status.category_id
),
placed as (
    select
        covered.*,
        coalesce(cases.facility_id, first_movements.facility_id) as facility_id,
        first_movements.location_id,
        first_movements.is_asset,
        cost_supply.supply_id,
        coalesce(cases.surgery_date, scheduled.surgery_date, first_movements.business_date) as anchor_date,
        coalesce(item.is_implant, point_of_use.stock_class in ('BILLONLY', 'CONSIGN'), false) as is_implant,
        case
            when covered.case_id is null and covered.is_test_case then 'test patient'
            when covered.case_id is not null and not cases.is_posted then 'log not posted'
            when covered.case_id is null and not scheduled.is_cancelled then 'log not posted'
            when coalesce(cases.facility_id, first_movements.facility_id) is null then 'site unknown'
        end as out_of_scope_reason
    from covered
    inner join first_movements
        on covered.case_group = first_movements.case_group
        and covered.item_group = first_movements.item_group
    left join {{ ref('dim_case') }} as cases
        on covered.case_id = cases.case_id
    left join scheduled
        on covered.case_id is null
        and covered.case_typed = scheduled.case_no
    left join {{ ref('dim_item') }} as item
        on covered.item_key = item.item_key
    left join {{ ref('stg_pou__item') }} as point_of_use
        on covered.inventory_item = point_of_use.item_no
    left join {{ ref('bridge_pou_cost_supply') }} as cost_supply
        on covered.inventory_item = cost_supply.item_no
),
compared as (
    select
        placed.*,
        cast(coalesce({{ unit_cost() }}, placed.delivered_unit_cost, 0) as decimal(18, 5)) as unit_cost
    from placed
    {{ unit_cost_joins('placed', 'placed.anchor_date') | indent(4) }}
    qualify row_number() over (
        partition by placed.case_typed, placed.inventory_item
        order by {{ unit_cost_rank() }}
    ) = 1
),
evidence as (
    select
        movements.case_typed,
        movements.inventory_item,
        {{ evidence_of('movements') }} as items
    from movements
    inner join compared
        on movements.case_typed = compared.case_typed
        and movements.inventory_item = compared.inventory_item
    where compared.issued_each > compared.used_each
        and compared.out_of_scope_reason is null
    group by movements.case_typed, movements.inventory_item
)
select
    {{ surrogate_key(['compared.case_typed', 'compared.inventory_item']) }} as inventory_usage_key,
    'case=' || compared.case_typed || '|item=' || compared.inventory_item as entity_key,
    compared.facility_id,
    compared.anchor_date as business_date,
    compared.out_of_scope_reason,
    compared.case_typed,
    compared.case_id,
    compared.inventory_item,
    compared.item_key,
    compared.is_implant,
    compared.issued_each,
    cast(compared.used_each as decimal(18, 4)) as used_each,
    cast(compared.issued_each - compared.used_each as decimal(18, 4)) as excess_each,
    compared.unit_cost,
    {{ money_product(['greatest(compared.issued_each - compared.used_each, 0)', 'compared.unit_cost']) }} as impact_amount,
    compared.anchor_date,
    case when stock.facility_id is not null then 2 else 1 end as maturity_days,
    {{ evidence_json(['evidence.items']) }} as evidence
from compared
left join evidence
    on compared.case_typed = evidence.case_typed
    and compared.inventory_item = evidence.inventory_item
left join {{ ref('stg_ref__system_of_record') }} as stock
    on stock.process = 'stock'
    and stock.source_system = 'mmis'
    and compared.facility_id = stock.facility_id
    and {{ in_force('compared.anchor_date', 'stock.valid_from', 'stock.valid_to') }}
