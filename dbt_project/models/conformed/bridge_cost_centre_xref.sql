-- Which cost centre a code of a source system means, and when.
-- Grain and key: source_system, scope, source_code, valid_from. Distribution: small, everywhere.
select
    {{ surrogate_key(['source_system', 'scope', 'source_code', 'valid_from']) }} as cost_centre_xref_key,
    source_system,
    scope,
    source_code,
    cost_centre_id,
    valid_from,
    valid_to
from {{ ref('stg_ref__cost_centre_map') }}
