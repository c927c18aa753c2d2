-- One row for each stock location of the health system.
-- Grain and key: location_id. Par areas keep no quantities, cabinets keep quantities but are expensed when stocked.
-- Distribution: small, everywhere.
with mapped as (
    select location_id, facility_id, location_type, is_perpetual, is_asset, cost_centre_id
    from {{ ref('stg_ref__location_map') }}
    qualify row_number() over (partition by location_id order by valid_from desc, source_system, scope, source_location) = 1
),
unmapped as (
    select
        xref.location_id,
        code.facility_id,
        location.location_type,
        location.is_perpetual,
        location.is_asset,
        cast(null as varchar) as cost_centre_id
    from {{ ref('bridge_location_xref') }} as xref
    inner join {{ ref('stg_pou__location') }} as location
        on xref.scope = location.pou_site
        and xref.source_location = location.location_code
    left join {{ ref('bridge_facility_code') }} as code
        on code.source_system = 'pou'
        and code.id_type = 'SITE'
        and code.source_id = location.pou_site
        and {{ in_force(as_of_date(), 'code.valid_from', 'code.valid_to') }}
    where xref.source_system = 'pou'
        and xref.location_id like 'pou:%'
)
select location_id, facility_id, location_type, is_perpetual, is_asset, cost_centre_id
from mapped
union all
select location_id, facility_id, location_type, is_perpetual, is_asset, cost_centre_id
from unmapped
