-- Legacy receiving rows: PO receipts, RA adjustments and RJ rejections, signed; they must be netted (Q87). Grain and
-- key: COMPANY, REC_NUMBER, LINE_NBR. Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    try_cast(REC_NUMBER as bigint) as receipt_number,
    try_cast(LINE_NBR as bigint) as receipt_line_number,
    trim(DOC_TYPE) as document_type,
    {{ supply_lawson_po() }} as po_number,
    try_cast(PO_LINE_NBR as bigint) as po_line_number,
    {{ stripped_number('ITEM') }} as item_no,
    {{ to_legacy_date('REC_DATE') }} as receipt_date,
    {{ to_legacy_date('UPDATE_DATE') }} as posting_date,
    {{ to_decimal('ENT_REC_QTY') }} as quantity,
    trim(ENT_RCV_UOM) as uom,
    coalesce(nullif({{ to_decimal('ERCV_UOM_MULT', 18, 8) }}, 0), 1) as unit_factor,
    {{ to_decimal('UNIT_COST', 18, 5) }} as unit_cost_each,
    nullif(trim(LOT), '') as lot_number,
    nullif(try_cast(ORIG_REC_NUMBER as bigint), 0) as original_receipt_number,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'PORECLINE'), ['COMPANY', 'REC_NUMBER', 'LINE_NBR']) }} as newest
