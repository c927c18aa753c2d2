-- Cloud journal headers; is_actual is false on budgets and encumbrances. Deleted journals are gone (Q100). Grain and
-- key: JeHeaderId. Latest version as of the run.
select
    try_cast(JeHeaderId as bigint) as journal_header_id,
    trim(GlJeHeadersLedgerId) as ledger_id,
    trim(GlJeHeadersJeSource) as journal_source,
    trim(GlJeHeadersJeCategory) as journal_category,
    trim(GlJeHeadersPeriodName) as period_name,
    trim(GlJeHeadersActualFlag) = 'A' as is_actual,
    trim(GlJeHeadersStatus) = 'P' as is_posted,
    {{ to_date('GlJeHeadersDefaultEffectiveDate') }} as posting_date,
    try_cast(GlJeHeadersReversedJeHeaderId as bigint) as reversed_journal_header_id,
    {{ to_timestamp_text('GlJeHeadersLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'GL_JE_HEADERS'),
    ['JeHeaderId'],
    cursor='GlJeHeadersLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted('GL_JE_HEADERS', 'JeHeaderId', cursor='GlJeHeadersLastUpdateDate') }}
