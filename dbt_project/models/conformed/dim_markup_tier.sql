-- The mark-up table of each site: the site's own tiers where it has any, else the tiers without a site.
-- Grain and key: facility_id, cost_from, valid_from. Prices and costs in USD per EACH. Distribution: small, everywhere.
with tiers as (
    select
        facility.facility_id,
        tier.table_id,
        tier.cost_from,
        tier.cost_to,
        tier.multiplier,
        tier.floor_price,
        tier.ceiling_price,
        tier.valid_from,
        tier.valid_to,
        case when tier.facility_id is null then 1 else 0 end as is_general
    from {{ ref('dim_facility') }} as facility
    inner join {{ ref('stg_ref__markup_tier') }} as tier
        on tier.facility_id is null
        or tier.facility_id = facility.facility_id
    qualify min(case when tier.facility_id is null then 1 else 0 end) over (partition by facility.facility_id)
        = case when tier.facility_id is null then 1 else 0 end
)
select
    {{ surrogate_key(['facility_id', 'cost_from', 'valid_from']) }} as markup_tier_key,
    facility_id,
    cost_from,
    cost_to,
    multiplier,
    floor_price,
    ceiling_price,
    valid_from,
    valid_to
from tiers
qualify row_number() over (partition by facility_id, cost_from, valid_from order by table_id) = 1
