-- Cloud account balances; rows in currency STAT are statistics, not dollars (Q105). Grain and key: BalanceLedgerId,
-- BalanceCodeCombinationId, BalanceCurrencyCode, BalancePeriodName, BalanceActualFlag. Latest version as of the run.
select
    trim(BalanceLedgerId) as ledger_id,
    try_cast(BalanceCodeCombinationId as bigint) as code_combination_id,
    trim(BalanceCurrencyCode) as currency_code,
    trim(BalanceActualFlag) = 'A' as is_actual,
    trim(BalancePeriodName) as period_name,
    try_cast(BalancePeriodYear as bigint) as period_year,
    try_cast(BalancePeriodNum as bigint) as period_number,
    {{ to_decimal('BalanceBeginBalanceDr', 18, 2) }} as opening_debit_amount,
    {{ to_decimal('BalanceBeginBalanceCr', 18, 2) }} as opening_credit_amount,
    {{ to_decimal('BalancePeriodNetDr', 18, 2) }} as period_debit_amount,
    {{ to_decimal('BalancePeriodNetCr', 18, 2) }} as period_credit_amount,
    {{ to_timestamp_text('BalanceLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'GL_BALANCES'),
    ['BalanceLedgerId', 'BalanceCodeCombinationId', 'BalanceCurrencyCode', 'BalancePeriodName', 'BalanceActualFlag'],
    cursor='BalanceLastUpdateDate'
) }} as newest
