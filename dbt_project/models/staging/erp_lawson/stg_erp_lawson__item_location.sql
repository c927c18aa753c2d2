-- Legacy item by location, newest snapshot: on hand, moving average per stock unit and value of record. Grain and key:
-- COMPANY, LOCATION, ITEM. Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    trim(LOCATION) as location_code,
    {{ stripped_number('ITEM') }} as item_no,
    {{ to_decimal('SOH_QTY') }} as on_hand_quantity,
    trim(UOM) as uom,
    {{ to_decimal('AVERAGE_COST', 18, 5) }} as average_cost,
    {{ to_decimal('STOCK_VALUE', 18, 2) }} as stock_value,
    trim(GL_CATEGORY) as gl_category,
    trim(ACTIVE_STATUS) = 'A' as is_active,
    {{ to_decimal('REORDER_POINT') }} as reorder_point_quantity,
    {{ to_decimal('ON_ORDER_QTY') }} as on_order_quantity,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'ITEMLOC'), ['COMPANY', 'LOCATION', 'ITEM']) }} as newest
