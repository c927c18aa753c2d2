-- One row for each action on a log; action 7 is a posting.
-- Grain and key: log_id, line_number. Test patients are gone (Q16).
select
    LOG_ID as log_id,
    try_cast(LINE as bigint) as line_number,
    try_cast(AUDIT_DATE as timestamp) as audited_at,
    try_cast(AUDIT_ACTION_C as bigint) as audit_action,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ source('raw_ehr', 'OR_LOG_AUDIT_TRAIL') }}
where _op = 'U'
    and {{ is_no_test_record("LOG_ID", "log") }}
