-- One row for each implantation event of an implant.
-- Grain and key: implant_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    IMPLANT_ID as implant_id,
    try_cast(LINE as bigint) as line_number,
    IMPLANT_LOG_ID as log_id,
    {{ to_date("IMPLANTED_DATE") }} as implanted_date,
    try_cast(IMPLANTED_TIME as timestamp) as implanted_at,
    {{ to_decimal("NUM_IMPLANTED") }} as quantity_each,
    IMP_STAFF_ID as staff_id,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_IMP_IMPLANT'), ['IMPLANT_ID', 'LINE']) }} as latest
where {{ is_no_test_record("IMPLANT_LOG_ID", "log") }}
