-- Which stock location a code of a source system means, and when.
-- Grain and key: source_system, scope, source_location, valid_from. Point-of-use locations that the map does not know yet keep
-- their own code as location, so that no movement loses its place.
-- Distribution: small, everywhere.
with mapped as (
    select source_system, scope, source_location, location_id, valid_from, valid_to
    from {{ ref('stg_ref__location_map') }}
),
unmapped as (
    select
        'pou' as source_system,
        location.pou_site as scope,
        location.location_code as source_location,
        'pou:' || location.location_code as location_id,
        cast('1900-01-01' as date) as valid_from,
        cast(null as date) as valid_to
    from {{ ref('stg_pou__location') }} as location
    left join mapped
        on mapped.source_system = 'pou'
        and mapped.scope = location.pou_site
        and mapped.source_location = location.location_code
    where mapped.location_id is null
)
select
    {{ surrogate_key(['source_system', 'scope', 'source_location', 'valid_from']) }} as location_xref_key,
    source_system,
    scope,
    source_location,
    location_id,
    valid_from,
    valid_to
from (
    select * from mapped
    union all
    select * from unmapped
) as codes
