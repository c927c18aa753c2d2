-- How many EACH a unit of an item holds, as each system says it.
-- Grain and key: item_key, source_system, uom. Nothing is converted across items: a box has no universal size.
-- source_system is pou, erp_lawson, erp_fusion or gudid. Distribution: item_key.
with recursive
pou_parts as (
    select
        xref.item_key,
        item.item_no,
        trim(part) as part
    from (
        select item_no, {{ split_to_rows('package_string', ';') }} as part
        from {{ ref('stg_pou__item') }}
        where package_string is not null
    ) as item
    inner join {{ ref('bridge_item_xref') }} as xref
        on xref.source_system = 'pou'
        and item.item_no = xref.source_item_no
        and xref.is_accepted
),
pou_edges as (
    select
        item_key,
        item_no,
        coalesce(outer_unit.uom, trim(split_part(part, '=', 1))) as uom,
        coalesce(inner_unit.uom, trim(split_part(trim(split_part(part, '=', 2)), ' ', 2))) as contained_uom,
        {{ to_decimal("trim(split_part(trim(split_part(part, '=', 2)), ' ', 1))", 18, 8) }} as factor
    from pou_parts
    left join {{ ref('bridge_uom_code') }} as outer_unit
        on outer_unit.source_system = 'pou'
        and outer_unit.source_uom = trim(split_part(part, '=', 1))
    left join {{ ref('bridge_uom_code') }} as inner_unit
        on inner_unit.source_system = 'pou'
        and inner_unit.source_uom = trim(split_part(trim(split_part(part, '=', 2)), ' ', 2))
),
pou_walk as (
    select item_key, item_no, uom, contained_uom, factor, 1 as steps
    from pou_edges
    where factor > 0
    union all
    select
        walk.item_key,
        walk.item_no,
        walk.uom,
        edge.contained_uom,
        cast({{ exact_product(['walk.factor', 'edge.factor']) }} as decimal(18, 8)),
        walk.steps + 1
    from pou_walk as walk
    inner join pou_edges as edge
        on walk.item_no = edge.item_no
        and walk.contained_uom = edge.uom
    where walk.contained_uom <> 'EA'
        and edge.factor > 0
        and walk.steps < 6
),
pou_units as (
    select item_key, 'pou' as source_system, uom, factor as quantity_each, item_no as source_item_no
    from pou_walk
    where contained_uom = 'EA'
),
legacy_units as (
    select
        erp.item_key,
        'erp_lawson' as source_system,
        coalesce(code.uom, unit.source_uom) as uom,
        unit.quantity_each,
        item.item_no as source_item_no
    from {{ ref('stg_erp_lawson__item') }} as item
    inner join (
        select item_no, alt_uom_01 as source_uom, alt_uom_conv_01 as quantity_each
        from {{ ref('stg_erp_lawson__item') }}
        union all
        select item_no, alt_uom_02, alt_uom_conv_02
        from {{ ref('stg_erp_lawson__item') }}
    ) as unit
        on item.item_no = unit.item_no
    inner join {{ ref('bridge_erp_item') }} as erp
        on erp.source_system = 'erp_lawson'
        and item.item_no = erp.source_item_no
    left join {{ ref('bridge_uom_code') }} as code
        on code.source_system = 'erp_lawson'
        and unit.source_uom = code.source_uom
    where unit.source_uom is not null
        and unit.quantity_each > 0
),
cloud_units as (
    select
        erp.item_key,
        'erp_fusion' as source_system,
        coalesce(code.uom, conversion.uom) as uom,
        conversion.conversion_rate as quantity_each,
        erp.source_item_no
    from {{ ref('stg_erp_fusion__uom_conversion') }} as conversion
    inner join {{ ref('bridge_erp_item') }} as erp
        on erp.source_system = 'erp_fusion'
        and conversion.inventory_item_id = erp.inventory_item_id
    left join {{ ref('bridge_uom_code') }} as code
        on code.source_system = 'erp_fusion'
        and conversion.uom = code.source_uom
    where conversion.conversion_rate > 0
        and (conversion.disabled_date is null or conversion.disabled_date > {{ as_of_date() }})
),
device_packages as (
    select device_id, primary_di, contains_di, cast(contained_quantity as decimal(18, 8)) as contained_quantity
    from {{ ref('stg_ref__gudid_identifier') }}
    where device_id_type = 'Package'
        and contained_quantity > 0
),
device_walk as (
    select device_id, primary_di, contains_di, contained_quantity as quantity_each, 1 as steps
    from device_packages
    union all
    select
        walk.device_id,
        walk.primary_di,
        inner_package.contains_di,
        cast({{ exact_product(['walk.quantity_each', 'inner_package.contained_quantity']) }} as decimal(18, 8)),
        walk.steps + 1
    from device_walk as walk
    inner join device_packages as inner_package
        on walk.primary_di = inner_package.primary_di
        and walk.contains_di = inner_package.device_id
    where walk.steps < 6
),
device_units as (
    select
        xref.item_key,
        'gudid' as source_system,
        coalesce(code.uom, alias.source_uom) as uom,
        walk.quantity_each,
        alias.item_no as source_item_no
    from device_walk as walk
    inner join {{ ref('stg_pou__item_alias') }} as alias
        on alias.alias_type = 'GTIN'
        and {{ gtin14('alias.alias') }} = {{ gtin14('walk.device_id') }}
    inner join {{ ref('bridge_item_xref') }} as xref
        on xref.source_system = 'pou'
        and alias.item_no = xref.source_item_no
        and xref.is_accepted
    left join {{ ref('bridge_uom_code') }} as code
        on code.source_system = 'pou'
        and alias.source_uom = code.source_uom
    where walk.contains_di = walk.primary_di
        and alias.source_uom is not null
),
units as (
    select * from pou_units
    union all
    select * from legacy_units
    union all
    select * from cloud_units
    union all
    select * from device_units
)
select
    {{ surrogate_key(['item_key', 'source_system', 'uom']) }} as item_package_key,
    item_key,
    source_system,
    uom,
    cast(quantity_each as decimal(18, 8)) as quantity_each
from units
where uom is not null
    and quantity_each is not null
qualify row_number() over (partition by item_key, source_system, uom order by source_item_no, quantity_each) = 1
