-- Legacy chart of accounts, one row an account and sub-account. Grain and key: CHART_NAME, ACCOUNT, SUB_ACCOUNT.
-- Latest version as of the run.
select
    lpad(trim(ACCOUNT), 6, '0') as account_number,
    lpad(trim(SUB_ACCOUNT), 4, '0') as sub_account,
    trim(ACCOUNT_DESC) as account_name,
    trim(ACTIVE_STATUS) = 'A' as is_active,
    nullif(trim(ACCOUNT_TYPE), '') as account_type,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'GLCHARTDTL'), ['CHART_NAME', 'ACCOUNT', 'SUB_ACCOUNT']) }} as newest
