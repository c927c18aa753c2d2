-- Cloud journal lines, debit and credit in USD. Grain and key: JeHeaderId, JeLineNum. Latest version as of the run.
select
    try_cast(JeHeaderId as bigint) as journal_header_id,
    try_cast(JeLineNum as bigint) as line_number,
    try_cast(GlJeLinesCodeCombinationId as bigint) as code_combination_id,
    coalesce({{ to_decimal('GlJeLinesAccountedDr', 18, 2) }}, 0) as debit_amount,
    coalesce({{ to_decimal('GlJeLinesAccountedCr', 18, 2) }}, 0) as credit_amount,
    {{ to_date('GlJeLinesEffectiveDate') }} as effective_date,
    trim(GlJeLinesPeriodName) as period_name,
    {{ to_timestamp_text('GlJeLinesLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'GL_JE_LINES'),
    ['JeHeaderId', 'JeLineNum'],
    cursor='GlJeLinesLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted('GL_JE_LINES', 'JeHeaderId', 'JeLineNum', cursor='GlJeLinesLastUpdateDate') }}
