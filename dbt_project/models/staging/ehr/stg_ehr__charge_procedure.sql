-- One row for each charge code or procedure of the EHR.
-- Grain and key: charge_procedure_id. Latest version as of the run.
select
    PROC_ID as charge_procedure_id,
    trim(PROC_CODE) as charge_code,
    PROC_NAME as charge_name,
    IS_ACTIVE_YN = 'Y' as is_active,
    UB_REV_CODE_ID as ub_revenue_code_id,
    HCPCS_DEFAULT as hcpcs_code,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'CLARITY_EAP'), ['PROC_ID']) }} as latest
