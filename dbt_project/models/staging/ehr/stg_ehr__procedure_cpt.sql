-- One row for each CPT code of an OR procedure.
-- Grain and key: procedure_id, line_number. Latest version as of the run.
select
    OR_PROC_ID as procedure_id,
    try_cast(LINE as bigint) as line_number,
    REAL_CPT_CODE as cpt_code,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_PROC_CPT_ID'), ['OR_PROC_ID', 'LINE']) }} as latest
