-- One row for each site, as it is known on the run's date.
-- Grain and key: facility_id. Distribution: small, everywhere.
select
    facility_id,
    facility_name,
    timezone,
    facility_type,
    ccn,
    npi,
    gln,
    cast(beds as integer) as beds,
    is_tax_exempt
from {{ ref('stg_ref__facility') }}
qualify row_number() over (
    partition by facility_id
    order by case when valid_from <= {{ as_of_date() }} then 0 else 1 end, valid_from desc
) = 1
