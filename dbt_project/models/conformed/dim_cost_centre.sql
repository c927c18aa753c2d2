-- One row for each conformed cost centre: site, hyphen, 4 digit department.
-- Grain and key: cost_centre_id. Distribution: small, everywhere.
select
    cost_centre_id,
    facility_id,
    department,
    department_name
from {{ ref('stg_ref__cost_centre_map') }}
qualify row_number() over (partition by cost_centre_id order by valid_from desc, source_system, scope, source_code) = 1
