-- One row for each procedure of a log.
-- Grain and key: log_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    LOG_ID as log_id,
    try_cast(LINE as bigint) as line_number,
    OR_PROC_ID as procedure_id,
    try_cast(ALL_PROCS_PANEL as bigint) as panel_number,
    PROC_DISPLAY_NAME as procedure_name,
    try_cast(LRB_C as bigint) as laterality_category,
    try_cast(WND_CLS_C as bigint) as wound_class_category,
    try_cast(ANES_TYPE_C as bigint) as anaesthesia_category,
    PROC_EAP_ID as charge_procedure_id,
    PICKLIST_PREF_ID as preference_card_id,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_LOG_ALL_PROC'), ['LOG_ID', 'LINE']) }} as latest
where {{ is_no_test_record("LOG_ID", "log") }}
