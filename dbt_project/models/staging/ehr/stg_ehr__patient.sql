-- One row for each patient who is no test patient; identifiers are tokens.
-- Grain and key: patient_token. Latest version as of the run. Test patients are gone (Q16).
select
    PAT_ID as patient_token,
    PAT_MRN_ID as mrn_token,
    AGE_BAND as age_band,
    MERGED_INTO_PAT_ID as merged_into_patient_token,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'PATIENT'), ['PAT_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("PAT_ID", "patient") }}
