-- One row for each UB revenue code of the EHR; codes of 3 digits are padded to 4 (Q47).
-- Grain and key: ub_revenue_code_id. Latest version as of the run.
select
    UB_REV_CODE_ID as ub_revenue_code_id,
    lpad(trim(REVENUE_CODE), 4, '0') as revenue_code,
    REVENUE_CODE_NAME as revenue_code_name,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'CL_UB_REV_CODE'), ['UB_REV_CODE_ID']) }} as latest
