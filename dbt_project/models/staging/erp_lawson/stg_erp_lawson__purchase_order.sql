-- Legacy purchase orders, one row an order. po_number is COMPANY-PO_NUMBER-PO_RELEASE-PO_CODE, since numbers are
-- reused across codes and companies (Q79). Grain and key: COMPANY, PO_NUMBER, PO_RELEASE, PO_CODE. Latest version as
-- of the run.
select
    try_cast(COMPANY as bigint) as company,
    {{ supply_lawson_po() }} as po_number,
    trim(PO_CODE) as po_code,
    {{ to_legacy_date('PO_DATE') }} as order_date,
    {{ supply_document_id('VENDOR') }} as supplier_no,
    nullif(trim(BUYER_CODE), '') as buyer_code,
    nullif(trim(LOCATION), '') as location_code,
    coalesce(trim(CLOSED_FL) = 'Y', false) as is_closed,
    {{ to_legacy_date('CLOSE_DATE') }} as closed_date,
    {{ to_decimal('TOTAL_AMOUNT', 18, 2) }} as total_amount,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'PURCHORDER'),
    ['COMPANY', 'PO_NUMBER', 'PO_RELEASE', 'PO_CODE']
) }} as newest
