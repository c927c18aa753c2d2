-- Legacy stock movements, one row a movement, issues negative. row_amount is the journaled amount: quantity x stock
-- units x unit cost, half up. Grain and key: COMPANY, LOCATION, SYSTEM_CD, DOC_TYPE, DOCUMENT, SHIPMENT_NBR, LINE_NBR.
-- Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    trim(LOCATION) as location_code,
    trim(SYSTEM_CD) as system_code,
    trim(DOC_TYPE) as document_type,
    {{ supply_document_id('DOCUMENT') }} as document_number,
    try_cast(SHIPMENT_NBR as bigint) as shipment_number,
    try_cast(LINE_NBR as bigint) as line_number,
    {{ stripped_number('ITEM') }} as item_no,
    {{ to_legacy_date('TRANS_DATE') }} as business_date,
    {{ to_legacy_date('UPDATE_DATE') }} as posting_date,
    {{ to_decimal('QUANTITY') }} as quantity,
    trim(TRAN_UOM) as uom,
    coalesce(nullif({{ to_decimal('TRAN_UOM_MULT', 18, 8) }}, 0), 1) as unit_factor,
    {{ to_decimal('UNIT_COST', 18, 5) }} as unit_cost,
    {{ money_product(
        [to_decimal('QUANTITY'), "coalesce(nullif(" ~ to_decimal('TRAN_UOM_MULT', 18, 4) ~ ", 0), 1)", to_decimal('UNIT_COST', 18, 5)],
        rounding='half_up'
    ) }} as row_amount,
    nullif(trim(REASON_CODE), '') as reason_code,
    trim(R_STATUS) = '9' as is_posted,
    nullif(trim(REFERENCE), '') as interface_reference,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'ICTRANS'),
    ['COMPANY', 'LOCATION', 'SYSTEM_CD', 'DOC_TYPE', 'DOCUMENT', 'SHIPMENT_NBR', 'LINE_NBR'],
    cursor='TRANS_DATE'
) }} as newest
