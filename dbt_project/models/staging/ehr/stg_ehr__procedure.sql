-- One row for each OR procedure.
-- Grain and key: procedure_id. Latest version as of the run.
select
    OR_PROC_ID as procedure_id,
    PROC_NAME as procedure_name,
    try_cast(SERVICE_C as bigint) as service_category,
    IMPLANT_EXPECTED_YN = 'Y' as is_implant_expected,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_PROC'), ['OR_PROC_ID']) }} as latest
