-- Which conformed unit a unit code of a source system means. No unit but DZ and PR has a factor of its own.
-- Grain and key: source_system, source_uom. Distribution: small, everywhere.
select
    {{ surrogate_key(['source_system', 'source_uom']) }} as uom_code_key,
    source_system,
    source_uom,
    uom,
    generic_factor
from {{ ref('stg_ref__uom_code') }}
