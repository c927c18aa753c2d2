-- Requisition lines behind the legacy order lines. Grain and key: COMPANY, PO_NUMBER, PO_RELEASE, PO_CODE, LINE_NBR,
-- SRC_SEQ. Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    {{ supply_lawson_po() }} as po_number,
    try_cast(LINE_NBR as bigint) as line_number,
    try_cast(SRC_SEQ as bigint) as source_sequence,
    {{ supply_document_id('SOURCE_DOC_N') }} as requisition_number,
    try_cast(SRC_LINE_NBR as bigint) as requisition_line_number,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'POLINESRC'),
    ['COMPANY', 'PO_NUMBER', 'PO_RELEASE', 'PO_CODE', 'LINE_NBR', 'SRC_SEQ']
) }} as newest
