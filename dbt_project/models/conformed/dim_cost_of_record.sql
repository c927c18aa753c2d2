-- What one EACH of an item cost at a place over time, by the inventory system of record alone.
-- Grain and key: facility_id, location_id (null: the whole organisation of the cloud ERP), item_key, valid_from; valid_to is
-- exclusive, null when open. Before a cut-over the legacy average counts, after it that of the cloud; a facility without an
-- entry in the system-of-record table keeps what it has. Distribution: facility_id, item_key.
with costs as (
    select
        facility_id,
        location_id,
        item_key,
        case when cost_basis like 'ITEMLOC%' then 'erp_lawson' else 'erp_fusion' end as source_system,
        valid_from,
        valid_to,
        unit_cost
    from {{ ref('dim_item_cost') }}
),
owners as (
    select
        facility_id,
        source_system,
        case
            when row_number() over (partition by facility_id order by valid_from) = 1 then cast('1900-01-01' as date)
            else valid_from
        end as valid_from,
        valid_to
    from {{ ref('stg_ref__system_of_record') }}
    where process = 'inventory'
)
select
    {{ surrogate_key(['costs.facility_id', 'costs.location_id', 'costs.item_key', 'greatest(costs.valid_from, owners.valid_from)']) }}
        as cost_of_record_key,
    costs.facility_id,
    costs.location_id,
    costs.item_key,
    coalesce(greatest(costs.valid_from, owners.valid_from), costs.valid_from) as valid_from,
    least(costs.valid_to, owners.valid_to) as valid_to,
    costs.unit_cost,
    costs.source_system
from costs
left join owners
    on costs.facility_id = owners.facility_id
    and costs.source_system = owners.source_system
where (
        owners.facility_id is not null
        and (costs.valid_to is null or costs.valid_to > owners.valid_from)
        and (owners.valid_to is null or costs.valid_from < owners.valid_to)
    )
    or not exists (select 1 from owners as other where costs.facility_id = other.facility_id)
