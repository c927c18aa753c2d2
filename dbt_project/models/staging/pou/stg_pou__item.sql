-- One row for each item of the point-of-use system.
-- Grain and key: item_no. Latest version as of the run.
select
    trim(item_no) as item_no,
    description as item_description,
    trim(erp_item_no) as erp_item_no,
    trim(mfr_name) as manufacturer_name,
    mfr_cat_no as manufacturer_catalogue_number,
    trim(gtin_each) as gtin_each,
    hibc as hibc,
    unspsc as unspsc,
    trim(stock_uom) as source_stock_uom,
    package_string as package_string,
    lot_tracked = 'Y' as is_lot_tracked,
    serial_tracked = 'Y' as is_serial_tracked,
    expiry_tracked = 'Y' as is_expiry_tracked,
    chargeable = 'Y' as is_chargeable,
    trim(charge_code) as charge_code,
    stock_class as stock_class,
    status as item_status,
    trim(merged_into_item_no) as merged_into_item_no,
    try_cast(updated_at as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_pou', 'item'), ['item_no']) }} as latest
