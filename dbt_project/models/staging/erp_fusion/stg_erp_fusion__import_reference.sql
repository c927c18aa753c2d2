-- Links from cloud journal lines to subledger rows; the amount is signed, debit positive. Grain and key:
-- GlImportReferencesJeHeaderId, GlImportReferencesJeLineNum, GlImportReferencesGlSlLinkId. Latest version as of the
-- run.
-- A table: six models read it, and each time its versions would have to be sorted out again.
{{ config(materialized='table') }}
select
    try_cast(GlImportReferencesJeHeaderId as bigint) as journal_header_id,
    try_cast(GlImportReferencesJeLineNum as bigint) as journal_line_number,
    try_cast(GlImportReferencesGlSlLinkId as bigint) as link_id,
    nullif(trim(GlImportReferencesReference1), '') as subledger_table,
    nullif(trim(GlImportReferencesReference2), '') as subledger_key,
    {{ to_decimal('GlImportReferencesReference3', 18, 2) }} as subledger_amount,
    {{ to_timestamp_text('GlImportReferencesLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'GL_IMPORT_REFERENCES'),
    ['GlImportReferencesJeHeaderId', 'GlImportReferencesJeLineNum', 'GlImportReferencesGlSlLinkId'],
    cursor='GlImportReferencesLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted(
        'GL_IMPORT_REFERENCES',
        'GlImportReferencesJeHeaderId',
        'GlImportReferencesJeLineNum',
        cursor='GlImportReferencesLastUpdateDate'
    ) }}
