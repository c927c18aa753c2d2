-- One row for each charge router record.
-- Grain and key: router_id. Latest version as of the run. Test patients are gone (Q16).
select
    UCL_ID as router_id,
    SURGICAL_LOG_ID as log_id,
    SUPPLY_ID as supply_id,
    IMPLANT_ID as implant_id,
    PROCEDURE_ID as charge_procedure_id,
    HSP_ACCOUNT_ID as account_token,
    {{ to_decimal("QUANTITY") }} as charge_quantity,
    {{ to_date("SERVICE_DATE_DT") }} as service_date,
    try_cast(ROUTER_STAGE_C as bigint) as router_stage,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_hb', 'CLARITY_UCL'), ['UCL_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("HSP_ACCOUNT_ID", "account") }}
