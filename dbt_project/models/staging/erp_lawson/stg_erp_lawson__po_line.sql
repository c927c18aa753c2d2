-- Legacy order lines, newest version. unit_price is USD per ordering unit; unit_factor is stock units per ordering
-- unit, an empty or zero factor means 1 (Q82). Grain and key: COMPANY, PO_NUMBER, PO_RELEASE, PO_CODE, LINE_NBR.
-- Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    {{ supply_lawson_po() }} as po_number,
    try_cast(LINE_NBR as bigint) as line_number,
    trim(PO_CODE) as po_code,
    {{ stripped_number('ITEM') }} as item_no,
    trim(ITEM_TYPE) as item_type,
    {{ to_decimal('QUANTITY') }} as ordered_quantity,
    {{ to_decimal('ENT_UNIT_CST', 18, 5) }} as unit_price,
    trim(ENT_BUY_UOM) as uom,
    coalesce(nullif({{ to_decimal('EBUY_UOM_MULT', 18, 8) }}, 0), 1) as unit_factor,
    coalesce({{ to_decimal('CXL_QTY') }}, 0) as cancelled_quantity,
    upper(nullif(trim(AGREEMENT_REF), '')) as agreement_number,
    nullif(trim(VEN_ITEM), '') as vendor_catalogue_number,
    nullif(trim(LOCATION), '') as location_code,
    {{ to_legacy_date('LATE_DL_DATE') }} as end_date,
    {{ to_legacy_date('CLOSE_DATE') }} as closed_date,
    coalesce(trim(CLOSED_FL) = 'Y', false) as is_closed,
    nullif(trim(PO_USER_FLD_2__case_no), '') as case_reference,
    nullif(trim(PO_USER_FLD_3), '') as lot_number,
    nullif(trim(PO_USER_FLD_4), '') as serial_token,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'POLINE'),
    ['COMPANY', 'PO_NUMBER', 'PO_RELEASE', 'PO_CODE', 'LINE_NBR']
) }} as newest
