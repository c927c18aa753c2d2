-- One row for each surgeon of a log.
-- Grain and key: log_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    LOG_ID as log_id,
    try_cast(LINE as bigint) as line_number,
    SURG_ID as surgeon_id,
    try_cast(ROLE_C as bigint) as role_category,
    try_cast(SERVICE_C as bigint) as service_category,
    try_cast(PANEL as bigint) as panel_number,
    try_cast(START_TIME as timestamp) as started_at,
    try_cast(END_TIME as timestamp) as ended_at,
    try_cast(TOTAL_LENGTH as bigint) as length_seconds,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_LOG_ALL_SURG'), ['LOG_ID', 'LINE']) }} as latest
where {{ is_no_test_record("LOG_ID", "log") }}
