-- One row for each pick list or preference card.
-- Grain and key: pick_list_id. Latest version as of the run. Test patients are gone (Q16).
select
    PICK_LIST_ID as pick_list_id,
    try_cast(PICK_LIST_TYPE_C as bigint) as pick_list_type_category,
    LOG_ID as log_id,
    PICK_LIST_NAME as pick_list_name,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_PKLST'), ['PICK_LIST_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("LOG_ID", "log") }}
