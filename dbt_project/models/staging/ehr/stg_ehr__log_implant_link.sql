-- One row for each implant line of a log.
-- Grain and key: log_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    LOG_ID as log_id,
    try_cast(LINE as bigint) as line_number,
    IMPLANTS_ID as implant_line_id,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_LOG_LN_IMPLANT'), ['LOG_ID', 'LINE']) }} as latest
where {{ is_no_test_record("LOG_ID", "log") }}
