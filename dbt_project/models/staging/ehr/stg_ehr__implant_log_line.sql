-- One row for each implant log line.
-- Grain and key: implant_line_id. Latest version as of the run. Test patients are gone (Q16).
select
    RECORD_ID as implant_line_id,
    IMPLANT_ID as implant_id,
    try_cast(IMPLANT_ACTION_C as bigint) as implant_action,
    {{ to_decimal("IMPLANT_NUM_USED") }} as quantity_each,
    try_cast(IMPLANT_AREA_C as bigint) as area_category,
    try_cast(IMPLANT_LATERAL_C as bigint) as laterality_category,
    try_cast(IMPLANT_RSN_WSTD_C as bigint) as waste_reason_category,
    IMP_NO_INV_ITEM_YN as one_time_flag,
    IMP_INV_TYPE_ID as supply_id,
    IMPLANT_CREATED_YN = 'Y' as is_created,
    IMP_TRAY_ID as tray_id,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_LNLG_IMPLANTS'), ['RECORD_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("RECORD_ID", "implant_line") }}
