-- Cloud account strings. Grain and key: CodeCombinationCodeCombinationId. Latest version as of the run.
select
    try_cast(CodeCombinationCodeCombinationId as bigint) as code_combination_id,
    trim(CodeCombinationSegment1) as company_segment,
    trim(CodeCombinationSegment2) as cost_centre_segment,
    trim(CodeCombinationSegment3) as natural_account,
    trim(CodeCombinationSegment4) as service_line_segment,
    trim(CodeCombinationSegment5) as intercompany_segment,
    concat_ws(
        '-', trim(CodeCombinationSegment1), trim(CodeCombinationSegment2), trim(CodeCombinationSegment3), trim(CodeCombinationSegment4), trim(CodeCombinationSegment5), trim(CodeCombinationSegment6)
    ) as account_string,
    trim(CodeCombinationAccountType) as account_type,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'GL_CODE_COMBINATIONS'),
    ['CodeCombinationCodeCombinationId'],
    cursor='CodeCombinationLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted(
        'GL_CODE_COMBINATIONS',
        'CodeCombinationCodeCombinationId',
        cursor='CodeCombinationLastUpdateDate'
    ) }}
