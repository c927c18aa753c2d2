-- Cloud unit conversions, base units per unit; item 0 holds the standard conversions. Grain and key: InventoryItemId,
-- UomCode. Latest version as of the run.
select
    try_cast(InventoryItemId as bigint) as inventory_item_id,
    trim(UomCode) as uom,
    trim(BaseUomCode) as base_uom,
    {{ to_decimal('ConversionRate', 18, 8) }} as conversion_rate,
    {{ to_date('DisableDate') }} as disabled_date,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_fusion', 'UOM_CONVERSIONS'), ['InventoryItemId', 'UomCode']) }} as newest
