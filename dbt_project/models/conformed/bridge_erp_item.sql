-- One row for each item of an ERP master with the golden item it is.
-- Grain and key: source_system, source_item_no (leading zeros stripped). A cloud item is the golden item of the legacy item that
-- its cross reference LEGACY_ITEM names while that is valid; without one, that of the equal legacy number, unless manufacturer
-- and catalogue number disagree: then the number was reused for another product and the cloud item is a golden item of its own.
-- Distribution: item_key.
with legacy as (
    select
        item.item_no as source_item_no,
        cast(null as bigint) as inventory_item_id,
        item.description as item_description,
        item.stock_uom as source_stock_uom,
        coalesce(by_code.manufacturer_id, by_name.manufacturer_id) as manufacturer_id,
        {{ catalogue_key('item.manufacturer_number') }} as catalogue_key,
        item.is_active,
        coalesce(item.user_field1 = 'IMP', false) or coalesce(category.is_implant, false) as is_implant,
        item.is_consigned or coalesce(item.user_field1 = 'C', false) as is_consigned,
        false as is_service,
        category.is_stocked is not null as is_stocked
    from {{ ref('stg_erp_lawson__item') }} as item
    left join {{ ref('stg_erp_lawson__manufacturer') }} as manufacturer
        on item.manufacturer_code = manufacturer.manufacturer_code
    left join {{ ref('bridge_manufacturer_alias') }} as by_code
        on by_code.alias_type = 'MANUF_CODE'
        and {{ manufacturer_name_key('item.manufacturer_code') }} = by_code.alias_key
    left join {{ ref('bridge_manufacturer_alias') }} as by_name
        on by_name.alias_type = 'NAME'
        and {{ manufacturer_name_key('manufacturer.description') }} = by_name.alias_key
    left join (
        select item_no, bool_or(gl_category = 'IMPL') as is_implant, true as is_stocked
        from {{ ref('stg_erp_lawson__item_location') }}
        group by item_no
    ) as category
        on item.item_no = category.item_no
    where item.item_no is not null
    qualify row_number() over (partition by item.item_no order by item.is_active desc, item.item_no_raw) = 1
),
organisation_items as (
    select
        inventory_item_id,
        min(item_number) as source_item_no,
        min(description) as item_description,
        min(primary_uom) as source_stock_uom,
        bool_or(is_active) as is_active,
        bool_or(item_type = 'IMPLANT') as is_implant,
        bool_or(item_type = 'SERVICE') as is_service,
        bool_or(is_asset) as is_stocked
    from {{ ref('stg_erp_fusion__item') }}
    where item_number is not null
    group by inventory_item_id
),
references_in_force as (
    select inventory_item_id, relationship_type, cross_reference, trading_partner_name, item_relationship_id
    from {{ ref('stg_erp_fusion__item_relationship') }}
    where (start_date is null or start_date <= {{ as_of_date() }})
        and (end_date is null or end_date >= {{ as_of_date() }})
),
manufacturer_parts as (
    select
        part.inventory_item_id,
        alias.manufacturer_id,
        {{ catalogue_key('part.cross_reference') }} as catalogue_key
    from references_in_force as part
    left join {{ ref('bridge_manufacturer_alias') }} as alias
        on alias.alias_type = 'NAME'
        and {{ manufacturer_name_key('part.trading_partner_name') }} = alias.alias_key
    where part.relationship_type = 'MFG_PART_NUM'
    qualify row_number() over (partition by part.inventory_item_id order by part.item_relationship_id) = 1
),
legacy_numbers as (
    select
        inventory_item_id,
        {{ stripped_number('cross_reference') }} as legacy_item_no
    from references_in_force
    where relationship_type = 'LEGACY_ITEM'
    qualify row_number() over (partition by inventory_item_id order by item_relationship_id desc) = 1
),
cloud as (
    select
        item.source_item_no,
        item.inventory_item_id,
        item.item_description,
        item.source_stock_uom,
        part.manufacturer_id,
        part.catalogue_key,
        item.is_active,
        coalesce(item.is_implant, false) as is_implant,
        false as is_consigned,
        coalesce(item.is_service, false) as is_service,
        coalesce(item.is_stocked, false) as is_stocked,
        case
            when named.source_item_no is not null then named.source_item_no
            when equal_number.source_item_no is not null
                and coalesce(equal_number.manufacturer_id = part.manufacturer_id, true)
                and coalesce(equal_number.catalogue_key = part.catalogue_key, true)
                then equal_number.source_item_no
        end as legacy_item_no
    from organisation_items as item
    left join manufacturer_parts as part
        on item.inventory_item_id = part.inventory_item_id
    left join legacy_numbers
        on item.inventory_item_id = legacy_numbers.inventory_item_id
    left join legacy as named
        on legacy_numbers.legacy_item_no = named.source_item_no
    left join legacy as equal_number
        on item.source_item_no = equal_number.source_item_no
    qualify row_number() over (partition by item.source_item_no order by item.is_active desc, item.inventory_item_id) = 1
),
items as (
    select
        'erp_lawson' as source_system,
        source_item_no,
        inventory_item_id,
        source_item_no as item_id,
        item_description,
        source_stock_uom,
        manufacturer_id,
        catalogue_key,
        is_active,
        is_implant,
        is_consigned,
        is_service,
        is_stocked,
        'erp master' as match_method
    from legacy
    union all
    select
        'erp_fusion',
        source_item_no,
        inventory_item_id,
        coalesce(legacy_item_no, 'C' || source_item_no),
        item_description,
        source_stock_uom,
        manufacturer_id,
        catalogue_key,
        is_active,
        is_implant,
        is_consigned,
        is_service,
        is_stocked,
        case when legacy_item_no is null then 'erp master' else 'conversion' end
    from cloud
)
select
    {{ surrogate_key(['items.source_system', 'items.source_item_no']) }} as erp_item_key,
    items.source_system,
    items.source_item_no,
    items.inventory_item_id,
    items.item_id,
    {{ surrogate_key(['items.item_id']) }} as item_key,
    items.item_description,
    coalesce(uom.uom, items.source_stock_uom) as stock_uom,
    items.manufacturer_id,
    items.catalogue_key,
    items.is_active,
    items.is_implant,
    items.is_consigned,
    items.is_service,
    items.is_stocked,
    items.match_method
from items
left join {{ ref('bridge_uom_code') }} as uom
    on items.source_system = uom.source_system
    and items.source_stock_uom = uom.source_uom
