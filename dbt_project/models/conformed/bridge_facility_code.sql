-- Which site a code of a source system means, and when.
-- Grain and key: source_system, id_type, source_id, valid_from. Distribution: small, everywhere.
select
    {{ surrogate_key(['source_system', 'id_type', 'source_id', 'valid_from']) }} as facility_code_key,
    source_system,
    id_type,
    source_id,
    facility_id,
    valid_from,
    valid_to
from {{ ref('stg_ref__facility_id') }}
