-- Legacy general ledger lines, debits positive. Period 1 is October, 13 the adjustment period (Q84). Grain and key:
-- COMPANY, FISCAL_YEAR, ACCT_PERIOD, CONTROL_GROUP, SYSTEM, JE_TYPE, JE_SEQUENCE, LINE_NBR. Latest version as of the
-- run.
select
    try_cast(COMPANY as bigint) as company,
    try_cast(FISCAL_YEAR as bigint) as fiscal_year,
    try_cast(ACCT_PERIOD as bigint) as period_number,
    try_cast(CONTROL_GROUP as bigint) as control_group,
    trim(SYSTEM) as system_code,
    trim(JE_TYPE) as journal_type,
    try_cast(JE_SEQUENCE as bigint) as journal_sequence,
    try_cast(LINE_NBR as bigint) as line_number,
    concat_ws(
        '-', trim(FISCAL_YEAR), trim(ACCT_PERIOD), trim(CONTROL_GROUP), trim(SYSTEM), trim(JE_TYPE), trim(JE_SEQUENCE)
    ) as journal_id,
    trim(ACCT_UNIT) as account_unit,
    lpad(trim(ACCOUNT), 6, '0') as account_number,
    lpad(trim(SUB_ACCOUNT), 4, '0') as sub_account,
    {{ to_decimal('TRAN_AMOUNT', 18, 2) }} as amount,
    {{ to_legacy_date('POSTING_DATE') }} as posting_date,
    {{ to_legacy_date('EFFECT_DATE') }} as effective_date,
    nullif(trim(SOURCE_CODE), '') as source_code,
    nullif(trim(REFERENCE), '') as batch_reference,
    try_cast(STATUS as bigint) as status,
    trim(STATUS) = '9' as is_posted,
    nullif(try_cast(TO_COMPANY as bigint), 0) as to_company,
    coalesce(trim(AUTO_REV) = 'Y', false) as is_auto_reversed,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'GLTRANS'),
    ['COMPANY', 'FISCAL_YEAR', 'ACCT_PERIOD', 'CONTROL_GROUP', 'SYSTEM', 'JE_TYPE', 'JE_SEQUENCE', 'LINE_NBR']
) }} as newest
