-- Legacy payments of invoices; record_status 9 is paid. Grain and key: COMPANY, VENDOR, INVOICE, SUFFIX, CANCEL_SEQ,
-- SEQUENCE_NUM. Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    {{ supply_document_id('VENDOR') }} as supplier_no,
    {{ supply_lawson_invoice() }} as invoice_number,
    try_cast(SUFFIX as bigint) as suffix,
    try_cast(CANCEL_SEQ as bigint) as cancel_sequence,
    try_cast(SEQUENCE_NUM as bigint) as payment_sequence,
    {{ to_decimal('TRAN_PMT_AMT', 18, 2) }} as paid_amount,
    coalesce({{ to_decimal('TRAN_DSC_AMT', 18, 2) }}, 0) as discount_amount,
    nullif(trim(TRANS_NBR), '') as payment_number,
    {{ to_legacy_date('CHECK_DATE') }} as payment_date,
    try_cast(REC_STATUS as bigint) as record_status,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'APPAYMENT'),
    ['COMPANY', 'VENDOR', 'INVOICE', 'SUFFIX', 'CANCEL_SEQ', 'SEQUENCE_NUM']
) }} as newest
