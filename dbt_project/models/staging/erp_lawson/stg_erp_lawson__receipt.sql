-- Legacy receipt headers. Unreleased receipts (status 0) do not count (Q92); AUTOBO marks automatic bill-only receipts
-- (Q94). Grain and key: COMPANY, REC_NUMBER. Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    try_cast(REC_NUMBER as bigint) as receipt_number,
    {{ supply_lawson_po() }} as po_number,
    {{ to_legacy_date('REC_DATE') }} as receipt_date,
    nullif(trim(BOL_NBR), '') as shipment_id,
    coalesce(trim(OPER_ID) = 'AUTOBO', false) as is_automatic,
    try_cast(STATUS as bigint) as status,
    coalesce(trim(STATUS), '0') <> '0' as is_released,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'PORECEIVE'), ['COMPANY', 'REC_NUMBER']) }} as newest
