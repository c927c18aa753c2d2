-- One row for each supply used in a procedural area.
-- Grain and key: finding_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    FINDING_ID as finding_id,
    try_cast(LINE as bigint) as line_number,
    LOG_ID as log_id,
    SUPPLY_USED_ID as supply_id,
    try_cast(SUPPLY_TYPE_C as bigint) as supply_type_category,
    {{ to_decimal("NUM_USED") }} as used_each,
    IMPLANT_REC_ID as implant_id,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'RES_SUPPLY_USED'), ['FINDING_ID', 'LINE']) }} as latest
where {{ is_no_test_record("LOG_ID", "log") }}
