-- Every record that belongs to a test patient (Q16), so that staging can leave it out and controls can count it.
-- Grain and key: record_type, record_id. A table: small, and asked by most staging views.
{{ config(materialized='table') }}
with patients as (
    select PAT_ID as patient_token, PAT_MRN_ID as mrn_token
    from {{ latest_version(source('raw_ehr', 'PATIENT'), ['PAT_ID'], cursor='UPDATE_DATE') }} as patient
    where IS_TEST_PAT_YN = 'Y' or PAT_MRN_ID__is_test = 'Y'
),
cases as (
    select OR_CASE_ID as case_no
    from {{ latest_version(source('raw_ehr', 'OR_CASE'), ['OR_CASE_ID'], cursor='UPDATE_DATE') }} as scheduled
    where PAT_ID in (select patient_token from patients)
),
logs as (
    select LOG_ID as log_id, CASE_ID as case_no
    from {{ latest_version(source('raw_ehr', 'OR_LOG'), ['LOG_ID'], cursor='UPDATE_DATE') }} as performed
    where PAT_ID in (select patient_token from patients)
),
encounters as (
    select PAT_ENC_CSN_ID as encounter_token, HSP_ACCOUNT_ID as account_token
    from {{ latest_version(source('raw_ehr', 'PAT_ENC_HSP'), ['PAT_ENC_CSN_ID'], cursor='UPDATE_DATE') }} as encounter
    where PAT_ID in (select patient_token from patients)
),
pick_lists as (
    select PICK_LIST_ID as pick_list_id
    from {{ latest_version(source('raw_ehr', 'OR_PKLST'), ['PICK_LIST_ID'], cursor='UPDATE_DATE') }} as list
    where LOG_ID in (select log_id from logs)
),
implant_lines as (
    select IMPLANTS_ID as implant_line_id
    from {{ latest_version(source('raw_ehr', 'OR_LOG_LN_IMPLANT'), ['LOG_ID', 'LINE']) }} as link
    where LOG_ID in (select log_id from logs)
),
records as (
    select 'patient' as record_type, patient_token as record_id from patients
    union
    select 'mrn', mrn_token from patients
    union
    select 'case', case_no from cases
    union
    select 'case', case_no from logs
    union
    select 'log', log_id from logs
    union
    select 'encounter', encounter_token from encounters
    union
    select 'account', account_token from encounters
    union
    select 'pick_list', pick_list_id from pick_lists
    union
    select 'implant_line', implant_line_id from implant_lines
)
select record_type, record_id
from records
where record_id is not null
