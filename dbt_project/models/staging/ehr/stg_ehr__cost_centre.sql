-- One row for each cost centre known to the EHR.
-- Grain and key: ehr_cost_centre_id. Latest version as of the run.
select
    COST_CNTR_ID as ehr_cost_centre_id,
    COST_CENTER_NAME as cost_centre_name,
    COST_CENTER_CODE as gl_prefix,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'CL_COST_CNTR'), ['COST_CNTR_ID']) }} as latest
