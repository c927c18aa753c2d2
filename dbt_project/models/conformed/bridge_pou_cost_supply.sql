-- Whose cost over time values a point-of-use item where the inventory system of record does not hold it.
-- Grain and key: item_no. A mapped item goes by the EHR supply item of its golden item that has a cost (an active one first), an
-- unmapped one by the EHR supply item that names it. Distribution: small, everywhere.
with costed as (
    select distinct supply_id from {{ ref('dim_supply_cost') }}
),
of_golden_items as (
    select xref.item_key, xref.source_item_no as supply_id
    from {{ ref('bridge_item_xref') }} as xref
    inner join costed
        on xref.source_item_no = costed.supply_id
    left join {{ ref('stg_ehr__supply_item') }} as item
        on xref.source_item_no = item.supply_id
    where xref.source_system = 'ehr'
        and xref.is_accepted
    qualify row_number() over (
        partition by xref.item_key
        order by case when item.is_active then 0 else 1 end, xref.source_item_no
    ) = 1
),
naming as (
    select identity.identity_value as item_no, min(identity.supply_id) as supply_id
    from {{ ref('stg_ehr__supply_identity') }} as identity
    inner join costed
        on identity.supply_id = costed.supply_id
    where identity.identity_type = 20
    group by identity.identity_value
)
select
    item.item_no,
    case when xref.is_accepted then of_golden_items.supply_id else naming.supply_id end as supply_id
from {{ ref('stg_pou__item') }} as item
inner join {{ ref('bridge_item_xref') }} as xref
    on xref.source_system = 'pou'
    and item.item_no = xref.source_item_no
left join of_golden_items
    on xref.item_key = of_golden_items.item_key
left join naming
    on item.item_no = naming.item_no
where case when xref.is_accepted then of_golden_items.supply_id else naming.supply_id end is not null
