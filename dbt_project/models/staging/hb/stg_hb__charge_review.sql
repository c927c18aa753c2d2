-- One row for each charge line of a review session.
-- Grain and key: review_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    TAR_ID as review_id,
    try_cast(CHARGE_LINE as bigint) as line_number,
    HSP_ACCOUNT_ID as account_token,
    LOC_ID as ehr_location_id,
    PROC_DEPT_ID as ehr_department_id,
    PROC_ID as charge_procedure_id,
    {{ to_decimal("QTY") }} as charge_quantity,
    {{ to_decimal("AMOUNT", scale=2) }} as tx_amount,
    {{ to_date("SERVICE_DATE") }} as service_date,
    LOG_ID as log_id,
    SUPPLY_ID as supply_id,
    IMPLANT_ID as implant_id,
    try_cast(CHARGE_STATUS_C as bigint) as charge_status,
    {{ to_date("FILE_DATE") }} as filed_date,
    TX_ID as tx_id,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_hb', 'PRE_AR_CHG'), ['TAR_ID', 'CHARGE_LINE'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("HSP_ACCOUNT_ID", "account") }}
