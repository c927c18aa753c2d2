-- Legacy invoice distributions, the debit side of a voucher. Grain and key: COMPANY, VENDOR, INVOICE, SUFFIX,
-- CANCEL_SEQ, DIST_SEQ_NBR. Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    {{ supply_document_id('VENDOR') }} as supplier_no,
    {{ supply_lawson_invoice() }} as invoice_number,
    try_cast(SUFFIX as bigint) as suffix,
    try_cast(CANCEL_SEQ as bigint) as cancel_sequence,
    try_cast(DIST_SEQ_NBR as bigint) as distribution_sequence,
    try_cast(DIST_COMPANY as bigint) as distribution_company,
    trim(DIS_ACCT_UNIT) as account_unit,
    lpad(trim(DIS_ACCOUNT), 6, '0') as account_number,
    lpad(trim(DIS_SUB_ACCT), 4, '0') as sub_account,
    {{ to_decimal('ORIG_TRAN_AMT', 18, 2) }} as distribution_amount,
    {{ to_legacy_date('POST_DATE') }} as posting_date,
    nullif(trim(DIST_TYPE), '') as distribution_type,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'APDISTRIB'),
    ['COMPANY', 'VENDOR', 'INVOICE', 'SUFFIX', 'CANCEL_SEQ', 'DIST_SEQ_NBR']
) }} as newest
