-- One row for each surgical encounter: the hospital encounter it belongs to. OR_CASELOG_ID is filled but wrong for some (Q18) and stays behind.
-- Grain and key: surgical_encounter_token. Latest version as of the run. Test patients are gone (Q16).
select
    PAT_ENC_CSN_ID as surgical_encounter_token,
    OR_LINK_CSN as encounter_token,
    CASE_ID as case_no,
    LOG_ID as log_id,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'PAT_OR_ADM_LINK'), ['PAT_ENC_CSN_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("OR_LINK_CSN", "encounter") }}
