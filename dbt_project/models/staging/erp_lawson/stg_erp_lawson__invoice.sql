-- Legacy invoice headers, one row an invoice version; a cancel sequence above 0 is a cancelled version (Q88).
-- invoice_number carries -SUFFIX when it is not 0. Grain and key: COMPANY, VENDOR, INVOICE, SUFFIX, CANCEL_SEQ. Latest
-- version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    {{ supply_document_id('VENDOR') }} as supplier_no,
    {{ supply_lawson_invoice() }} as invoice_number,
    try_cast(SUFFIX as bigint) as suffix,
    upper(trim(INVOICE)) as sent_number,
    try_cast(CANCEL_SEQ as bigint) as cancel_sequence,
    coalesce(try_cast(CANCEL_SEQ as bigint), 0) > 0 as is_cancelled,
    nullif(trim(INVOICE_TYPE), '') as invoice_type,
    {{ to_legacy_date('INVOICE_DTE') }} as invoice_date,
    {{ to_legacy_date('DUE_DATE') }} as due_date,
    {{ to_decimal('TRAN_INV_AMT', 18, 2) }} as invoice_amount,
    nullif(trim(INV_SOURCE), '') as invoice_source,
    {{ to_legacy_date('DISTRIB_DATE') }} as posting_date,
    {{ to_legacy_date('CREATE_DATE') }} as created_date,
    try_cast(REC_STATUS as bigint) as record_status,
    nullif(trim(HLD_CODE), '') as hold_code,
    coalesce({{ to_decimal('DISC_AMT', 18, 2) }}, 0) as discount_amount,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'APINVOICE'),
    ['COMPANY', 'VENDOR', 'INVOICE', 'SUFFIX', 'CANCEL_SEQ']
) }} as newest
