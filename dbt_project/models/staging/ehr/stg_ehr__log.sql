-- One row for each performed surgical or procedural log. DISPOSITION_TIME carries a false date (Q03) and OR_COST is always empty (Q04): both stay behind.
-- Grain and key: log_id. Latest version as of the run. Test patients are gone (Q16).
select
    LOG_ID as log_id,
    CASE_ID as case_no,
    PAT_ID as patient_token,
    {{ to_date("SURGERY_DATE") }} as surgery_date,
    LOC_ID as ehr_location_id,
    ROOM_ID as room_id,
    try_cast(SERVICE_C as bigint) as service_category,
    try_cast(STATUS_C as bigint) as log_status,
    try_cast(LOG_TYPE_C as bigint) as log_type_category,
    try_cast(CASE_CLASS_C as bigint) as case_class_category,
    try_cast(ASA_RATING_C as bigint) as asa_rating_category,
    try_cast(NUM_OF_PANELS as bigint) as panel_count,
    try_cast(SCHED_START_TIME as timestamp) as scheduled_start_at,
    try_cast(TOTAL_TIME_NEEDED as bigint) as minutes_needed,
    try_cast(PROC_NOT_PERF_C as bigint) as not_performed_category,
    try_cast(VOID_REASON_C as bigint) as void_reason_category,
    try_cast(ADDENDA_COUNT as bigint) as addenda_count,
    CHRGS_AT_ADDEND_YN = 'Y' as has_charges_at_addendum,
    PRIMARY_PHYS_ID as primary_physician_id,
    try_cast(RECORD_CREATE_DATE as timestamp) as created_at,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_LOG'), ['LOG_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("PAT_ID", "patient") }}
