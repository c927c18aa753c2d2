-- Legacy requisition lines; source_reference is the replenishment document, on bill-only lines the case number. Grain
-- and key: COMPANY, REQ_NUMBER, LINE_NBR. Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    {{ supply_document_id('REQ_NUMBER') }} as requisition_number,
    try_cast(LINE_NBR as bigint) as line_number,
    {{ stripped_number('ITEM') }} as item_no,
    trim(ITEM_TYPE) as item_type,
    nullif(trim(SOURCE_REF), '') as source_reference,
    {{ to_legacy_date('CREATION_DATE') }} as created_date,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'REQLINE'), ['COMPANY', 'REQ_NUMBER', 'LINE_NBR']) }} as newest
