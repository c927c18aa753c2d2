-- One row for each price an order line had over time.
-- Grain: po_line_key, price_version. Key: po_line_price_key. Not additive. Distribution: po_line_key.
-- valid_from is the business date from which the price was seen, valid_from_at the moment (UTC) where the ERP gives it; the
-- first version holds from the order on.
with legacy as (
    select
        line.po_line_key,
        price.price_version,
        price.unit_price,
        price.unit_factor,
        price.valid_from,
        cast(null as timestamp) as valid_from_at
    from {{ ref('stg_erp_lawson__po_line_price') }} as price
    inner join {{ ref('fct_po_line') }} as line
        on line.source_system = 'erp_lawson'
        and price.po_number = line.po_number
        and price.line_number = line.line_number
),

cloud as (
    select
        line.po_line_key,
        price.price_version,
        price.unit_price,
        case
            when price.uom is not distinct from line.uom then line.unit_factor
            else {{ supply_cloud_unit_factor('price.uom', 'item.primary_uom', 'own_unit', 'standard_unit') }}
        end as unit_factor,
        {{ business_date_of_utc('price.valid_from_at') }} as valid_from,
        price.valid_from_at
    from {{ ref('stg_erp_fusion__po_line_price') }} as price
    inner join {{ ref('fct_po_line') }} as line
        on line.source_system = 'erp_fusion'
        and price.po_line_id = line.po_line_id
    left join {{ ref('stg_erp_fusion__po_line') }} as source_line
        on price.po_line_id = source_line.po_line_id
    left join (
        select inventory_item_id, min(primary_uom) as primary_uom
        from {{ ref('stg_erp_fusion__item') }}
        group by inventory_item_id
    ) as item
        on source_line.inventory_item_id = item.inventory_item_id
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as own_unit
        on source_line.inventory_item_id = own_unit.inventory_item_id
        and price.uom = own_unit.uom
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as standard_unit
        on standard_unit.inventory_item_id = 0
        and price.uom = standard_unit.uom
),

prices as (
    select * from legacy
    union all
    select * from cloud
)

select
    {{ surrogate_key(['po_line_key', 'price_version']) }} as po_line_price_key,
    po_line_key,
    price_version,
    cast(unit_price as decimal(18, 5)) as unit_price,
    cast(unit_factor as decimal(18, 8)) as unit_factor,
    cast({{ divide_decimal('unit_price', 'unit_factor', 8) }} as decimal(18, 8)) as price_each,
    case when price_version = 1 then cast('1900-01-01' as date) else valid_from end as valid_from,
    case when price_version = 1 then cast('1900-01-01' as timestamp) else valid_from_at end as valid_from_at
from prices
