-- One row for each supplier of a supply item; several lines an item are normal (Q10).
-- Grain and key: supply_id, line_number. Latest version as of the run.
select
    ITEM_ID as supply_id,
    try_cast(LINE as bigint) as line_number,
    try_cast(SUPPLIER_C as bigint) as supplier_category,
    SUPPLIER_CTLG_NUM as catalogue_number,
    try_cast(SUPPLIER_PACK_T_C as bigint) as package_type_category,
    {{ to_decimal("SUPPLIER_PACK_RAT") }} as usage_units_per_package,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_SPLY_SUPPLIER'), ['ITEM_ID', 'LINE']) }} as latest
