-- One row for each timing event of a log.
-- Grain and key: log_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    LOG_ID as log_id,
    try_cast(LINE as bigint) as line_number,
    try_cast(TRACKING_EVENT_C as bigint) as event_category,
    try_cast(TRACKING_TIME_IN as timestamp) as started_at,
    try_cast(TRACKING_TIME_OUT as timestamp) as ended_at,
    try_cast(TRACKING_TIME_ELPS as bigint) as elapsed_seconds,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_LOG_CASE_TIMES'), ['LOG_ID', 'LINE']) }} as latest
where {{ is_no_test_record("LOG_ID", "log") }}
