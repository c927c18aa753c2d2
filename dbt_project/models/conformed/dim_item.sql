-- One row for each golden item: what the ERP masters hold, with the stock class of the point-of-use system.
-- each_per_box is what a box holds, the ERP's package before that of the point-of-use system.
-- Grain and key: item_key (item_id is the stripped legacy number, or C and the cloud number). Distribution: item_key.
with masters as (
    select
        item_key,
        item_id,
        min_by(item_description, system_rank) as item_description,
        min_by(stock_uom, system_rank) as stock_uom,
        min_by(manufacturer_id, system_rank) filter (where manufacturer_id is not null) as manufacturer_id,
        min_by(catalogue_key, system_rank) filter (where catalogue_key is not null) as catalogue_key,
        bool_or(is_active) as is_active,
        bool_or(is_implant) as is_implant,
        bool_or(is_consigned) as is_consigned,
        bool_or(is_service) as is_service,
        bool_or(is_stocked) as is_stocked
    from (
        select
            *,
            case when source_system = 'erp_lawson' then 0 else 1 end as system_rank
        from {{ ref('bridge_erp_item') }}
        qualify row_number() over (partition by item_key, source_system order by is_active desc, source_item_no) = 1
    ) as master
    group by item_key, item_id
),
point_of_use as (
    select
        xref.item_key,
        item.stock_class
    from {{ ref('stg_pou__item') }} as item
    inner join {{ ref('bridge_item_xref') }} as xref
        on xref.source_system = 'pou'
        and item.item_no = xref.source_item_no
        and xref.is_accepted
    where item.stock_class is not null
    qualify row_number() over (
        partition by xref.item_key
        order by
            case when item.item_status = 'A' and item.merged_into_item_no is null then 0 else 1 end,
            item.item_no
    ) = 1
),
boxes as (
    select item_key, cast(quantity_each as decimal(18, 4)) as each_per_box
    from {{ ref('dim_item_package') }}
    where uom = 'BX'
    qualify row_number() over (
        partition by item_key
        order by case source_system when 'erp_lawson' then 1 when 'erp_fusion' then 2 when 'pou' then 3 else 4 end
    ) = 1
)
select
    masters.item_key,
    masters.item_id,
    masters.item_description,
    case
        when masters.is_service then 'SERVICE'
        when masters.is_implant then 'IMPLANT'
        else 'SUPPLY'
    end as item_class,
    masters.is_implant,
    coalesce(
        point_of_use.stock_class,
        case
            when masters.is_consigned then 'CONSIGN'
            when masters.is_stocked then 'STOCK'
            else 'NONSTOCK'
        end
    ) as stock_class,
    masters.stock_uom,
    masters.manufacturer_id,
    masters.catalogue_key,
    boxes.each_per_box,
    masters.is_active
from masters
left join point_of_use
    on masters.item_key = point_of_use.item_key
left join boxes
    on masters.item_key = boxes.item_key
