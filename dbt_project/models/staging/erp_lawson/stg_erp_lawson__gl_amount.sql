-- Opening balances of legacy accounts by fiscal year; credits are negative (Q85). Grain and key: COMPANY, FISCAL_YEAR,
-- ACCT_UNIT, ACCOUNT, SUB_ACCOUNT. Latest version as of the run.
select
    try_cast(COMPANY as bigint) as company,
    try_cast(FISCAL_YEAR as bigint) as fiscal_year,
    trim(ACCT_UNIT) as account_unit,
    lpad(trim(ACCOUNT), 6, '0') as account_number,
    lpad(trim(SUB_ACCOUNT), 4, '0') as sub_account,
    coalesce({{ to_decimal('DB_BEG_BAL', 18, 2) }}, 0) as opening_debit_amount,
    coalesce({{ to_decimal('CR_BEG_BAL', 18, 2) }}, 0) as opening_credit_amount,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'GLAMOUNTS'),
    ['COMPANY', 'FISCAL_YEAR', 'ACCT_UNIT', 'ACCOUNT', 'SUB_ACCOUNT']
) }} as newest
