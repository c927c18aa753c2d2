-- One row for each control total of a log.
-- Grain and key: log_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    LOG_ID as log_id,
    try_cast(LINE as bigint) as line_number,
    try_cast(COST_CHARGE_TYPE_C as bigint) as cost_charge_type,
    {{ to_decimal("CASE_COST", scale=2) }} as cost_amount,
    {{ to_decimal("CASE_CHARGE", scale=2) }} as charge_amount,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_LOG_COSTS_CHARGES'), ['LOG_ID', 'LINE']) }} as latest
where {{ is_no_test_record("LOG_ID", "log") }}
