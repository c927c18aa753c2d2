-- Legacy invoice match detail: what an invoice bills of an order line, in the invoice's unit (Q83). Grain and key:
-- COMPANY, VENDOR, INVOICE, SUFFIX, PO_NUMBER, PO_RELEASE, PO_CODE, LINE_NBR, SEQ_NBR. Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    {{ supply_document_id('VENDOR') }} as supplier_no,
    {{ supply_lawson_invoice() }} as invoice_number,
    try_cast(SUFFIX as bigint) as suffix,
    {{ supply_lawson_po() }} as po_number,
    try_cast(LINE_NBR as bigint) as po_line_number,
    try_cast(SEQ_NBR as bigint) as sequence_number,
    {{ stripped_number('ITEM') }} as item_no,
    nullif(trim(ITEM_TYPE), '') as item_type,
    {{ to_decimal('ENTERED_QTY') }} as quantity,
    trim(ENTERED_UOM) as uom,
    {{ to_decimal('ENTERED_UNIT_CST', 18, 5) }} as unit_price,
    {{ to_decimal('MATCHED_QTY') }} as matched_quantity,
    {{ to_decimal('MATCH_UNIT_CST', 18, 5) }} as matched_unit_price,
    {{ to_decimal('TOT_DIST_AMT', 18, 2) }} as distributed_amount,
    {{ to_legacy_date('MATCH_DATE') }} as match_date,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'MAINVDTL'),
    ['COMPANY', 'VENDOR', 'INVOICE', 'SUFFIX', 'PO_NUMBER', 'PO_RELEASE', 'PO_CODE', 'LINE_NBR', 'SEQ_NBR']
) }} as newest
