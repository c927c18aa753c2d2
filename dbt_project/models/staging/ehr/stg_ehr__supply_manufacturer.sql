-- One row for each manufacturer of a supply item; several lines an item are normal (Q10).
-- Grain and key: supply_id, line_number. Latest version as of the run.
select
    ITEM_ID as supply_id,
    try_cast(LINE as bigint) as line_number,
    try_cast(MANUFACTURER_C as bigint) as manufacturer_category,
    MAN_CTLG_NUM as catalogue_number,
    {{ to_decimal("MAN_PACK_PRICE", scale=5) }} as package_price,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_SPLY_MANFACTR'), ['ITEM_ID', 'LINE']) }} as latest
