-- The charge master over time: which price a charge code has per charge unit, and from when to when (valid_to exclusive).
-- Grain and key: service_area_id, charge_code, valid_from. A null price means that mark-up of cost decides.
-- EFFECTIVE_TO is read as the last day of a price; a later row of the same code ends it earlier.
-- Distribution: small, everywhere.
select
    {{ surrogate_key(['service_area_id', 'charge_code', 'valid_from']) }} as charge_price_key,
    service_area_id,
    charge_code,
    charge_description,
    case when price_method = 'FIXED' then charge_unit_price end as charge_unit_price,
    price_method,
    revenue_code,
    hcpcs_code,
    unit_of_charge,
    is_active,
    valid_from,
    least(
        {{ add_days('effective_to_date', 1) }},
        lead(valid_from) over (partition by service_area_id, charge_code order by valid_from)
    ) as valid_to
from {{ ref('stg_hb__charge_master_price') }}
