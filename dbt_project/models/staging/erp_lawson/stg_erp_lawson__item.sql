-- Legacy item master, one row an item. item_no is the number without blanks and leading zeros; alternative unit
-- factors are stock units per unit. Grain and key: ITEM_GROUP, ITEM. Latest version as of the run.
select
    nullif(trim(ITEM), '') as item_no_raw,
    {{ stripped_number('ITEM') }} as item_no,
    trim(concat_ws(' ', trim(DESCRIPTION), nullif(trim(DESCRIPTION2), ''))) as description,
    trim(STOCK_UOM) as stock_uom,
    nullif(trim(MANUF_CODE), '') as manufacturer_code,
    nullif(trim(MANUF_NBR), '') as manufacturer_number,
    trim(ACTIVE_STATUS) = 'A' as is_active,
    coalesce(trim(CONSIGNMENT_FL) = 'Y', false) as is_consigned,
    nullif(trim(PURCH_MAJCL), '') as purchasing_class,
    nullif(trim(UNSPSC), '') as unspsc_code,
    nullif(trim(USER_FIELD1), '') as user_field1,
    nullif(trim(USER_FIELD2), '') as user_field2,
    nullif(trim(ALT_UOM_01), '') as alt_uom_01,
    {{ to_decimal('ALT_UOM_CONV_01', 18, 8) }} as alt_uom_conv_01,
    nullif(trim(ALT_UOM_02), '') as alt_uom_02,
    {{ to_decimal('ALT_UOM_CONV_02', 18, 8) }} as alt_uom_conv_02,
    {{ to_legacy_date('ADD_DATE') }} as added_date,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'ITEMMAST'), ['ITEM_GROUP', 'ITEM']) }} as newest
