-- One row for each supply item known to the EHR.
-- Grain and key: supply_id. Latest version as of the run.
select
    SUPPLY_ID as supply_id,
    SUPPLY_NAME as supply_name,
    ABBR as abbreviation,
    try_cast(TYPE_OF_ITEM_C as bigint) as item_type_category,
    ACTIVE_YN = 'Y' as is_active,
    {{ stripped_number("PRIMARY_EXT_ID") }} as erp_item_no,
    trim(CHARGE_CODE) as charge_code,
    try_cast(LAST_SUPPLIER_C as bigint) as last_supplier_category,
    LAST_SUPPLIER_NUM as last_supplier_catalogue_number,
    REUSABLE_YN = 'Y' as is_reusable,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_SPLY'), ['SUPPLY_ID'], cursor='UPDATE_DATE') }} as latest
