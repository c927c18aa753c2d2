-- What one EACH of an EHR supply item cost over time (OR_SPLY_OVTM).
-- Grain and key: supply_id, valid_from; valid_to is exclusive, null when open. Distribution: supply_id.
select
    {{ surrogate_key(['supply_id', 'effective_date']) }} as supply_cost_key,
    supply_id,
    effective_date as valid_from,
    lead(effective_date) over (partition by supply_id order by effective_date) as valid_to,
    unit_cost
from {{ ref('stg_ehr__supply_cost') }}
where unit_cost is not null
