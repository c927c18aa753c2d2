-- One row for each scheduled surgical case.
-- Grain and key: case_no. Latest version as of the run. Test patients are gone (Q16).
select
    OR_CASE_ID as case_no,
    PAT_ID as patient_token,
    {{ to_date("SURGERY_DATE") }} as surgery_date,
    LOC_ID as ehr_location_id,
    OR_ID as room_id,
    try_cast(SERVICE_C as bigint) as service_category,
    try_cast(CASE_TYPE_C as bigint) as case_type_category,
    try_cast(CASE_CLASS_C as bigint) as case_class_category,
    try_cast(PAT_CLASS_C as bigint) as patient_class_category,
    ADD_ON_CASE_YN = 'Y' as is_add_on,
    try_cast(SCHED_STATUS_C as bigint) as schedule_status_category,
    try_cast(CANCEL_REASON_C as bigint) as cancel_reason_category,
    try_cast(TIME_SCHEDULED as timestamp) as scheduled_at,
    try_cast(TOTAL_TIME_NEEDED as bigint) as minutes_needed,
    PRIMARY_PHYSICIAN_ID as primary_physician_id,
    LOG_ID as log_id,
    try_cast(RECORD_CREATE_DATE as timestamp) as created_at,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_CASE'), ['OR_CASE_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("PAT_ID", "patient") }}
