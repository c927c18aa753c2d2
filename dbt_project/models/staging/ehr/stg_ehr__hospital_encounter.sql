-- One row for each hospital encounter.
-- Grain and key: encounter_token. Latest version as of the run. Test patients are gone (Q16).
select
    PAT_ENC_CSN_ID as encounter_token,
    PAT_ID as patient_token,
    HSP_ACCOUNT_ID as account_token,
    try_cast(ADT_PAT_CLASS_C as bigint) as patient_class_category,
    DEPARTMENT_ID as ehr_department_id,
    try_cast(HOSP_ADMSN_TIME as timestamp) as admitted_at,
    try_cast(HOSP_DISCH_TIME as timestamp) as discharged_at,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'PAT_ENC_HSP'), ['PAT_ENC_CSN_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("PAT_ID", "patient") }}
