-- One row for each charge line not yet posted, in the latest snapshot only (Q45).
-- Grain and key: unposted_charge_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    HTT_ID as unposted_charge_id,
    try_cast(LINE as bigint) as line_number,
    HSP_ACCOUNT_ID as account_token,
    PAT_ENC_CSN_ID as encounter_token,
    CHARGE_PROC_ID as charge_procedure_id,
    SUP_ID as supply_id,
    LOG_ID as log_id,
    HCPCS_CODE as hcpcs_code,
    REV_CODE_ID as ub_revenue_code_id,
    MODIFIERS as modifiers,
    {{ to_decimal("QUANTITY") }} as charge_quantity,
    {{ to_date("SERVICE_DATE") }} as service_date,
    {{ to_decimal("TX_AMOUNT", scale=2) }} as tx_amount,
    DEPARTMENT_ID as ehr_department_id,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_hb', 'HSP_PRE_AR_TX'), ['HTT_ID', 'LINE']) }} as latest
where {{ is_no_test_record("HSP_ACCOUNT_ID", "account") }}
