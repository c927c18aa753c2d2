-- What one EACH of an item cost at a place over time: the moving average of the inventory system of record.
-- Grain: facility_id, location_id (null: the whole cloud organisation), item_key, valid_from. Key: item_cost_key. Not additive.
-- A cost on a date is that of the latest snapshot in a folder dated on or before it, else the earliest there is: the first row
-- is extended back to 1900-01-01. valid_to is exclusive, null when open. Distribution: facility_id, item_key.
with legacy as (
    select
        facility.facility_id,
        location.location_id,
        item.item_key,
        cost.average_cost,
        cost.valid_from,
        cost.valid_to,
        'ITEMLOC.AVERAGE_COST' as cost_basis
    from {{ ref('stg_erp_lawson__item_cost') }} as cost
    inner join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_lawson'
        and facility.id_type = 'COMPANY'
        and facility.source_id = cast(cost.company as varchar)
        and {{ in_force('cost.valid_from', 'facility.valid_from', 'facility.valid_to') }}
    inner join {{ ref('bridge_location_xref') }} as location
        on location.source_system = 'erp_lawson'
        and location.scope = cast(cost.company as varchar)
        and location.source_location = cost.location_code
        and {{ in_force('cost.valid_from', 'location.valid_from', 'location.valid_to') }}
    inner join {{ ref('bridge_item_xref') }} as item
        on item.source_system = 'erp_lawson'
        and item.source_item_no = cost.item_no
),

cloud as (
    select
        facility.facility_id,
        cast(null as varchar) as location_id,
        item.item_key,
        cost.average_cost,
        cost.valid_from,
        cost.valid_to,
        'CST_VALUATION.UnitCostAverage' as cost_basis
    from {{ ref('stg_erp_fusion__item_valuation') }} as cost
    inner join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_fusion'
        and facility.id_type = 'INVORG'
        and facility.source_id = cast(cost.organization_id as varchar)
        and {{ in_force('cost.valid_from', 'facility.valid_from', 'facility.valid_to') }}
    inner join {{ ref('bridge_erp_item') }} as item
        on item.source_system = 'erp_fusion'
        and item.inventory_item_id = cost.inventory_item_id
),

costs as (
    select * from legacy
    union all
    select * from cloud
),

changes as (
    select
        facility_id,
        location_id,
        item_key,
        average_cost,
        valid_from,
        valid_to,
        cost_basis,
        row_number() over (
            partition by facility_id, location_id, item_key, cost_basis, valid_from order by average_cost desc
        ) as place_in_folder,
        row_number() over (partition by facility_id, location_id, item_key, cost_basis order by valid_from) as place
    from costs
)

select
    {{ surrogate_key(['facility_id', 'location_id', 'item_key', 'cost_basis', 'valid_from']) }} as item_cost_key,
    facility_id,
    location_id,
    item_key,
    case when place = 1 then cast('1900-01-01' as date) else valid_from end as valid_from,
    valid_to,
    cast(average_cost as decimal(18, 5)) as unit_cost,
    cost_basis
from changes
where place_in_folder = 1
