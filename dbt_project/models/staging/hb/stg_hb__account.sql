-- One row for each hospital account.
-- Grain and key: account_token. Latest version as of the run. Test patients are gone (Q16).
select
    HSP_ACCOUNT_ID as account_token,
    SERV_AREA_ID as service_area_id,
    ADM_LOC_ID as admission_ehr_location_id,
    DISCH_LOC_ID as discharge_ehr_location_id,
    ACCT_BASECLS_HA_C as base_class,
    try_cast(ACCT_CLASS_HA_C as bigint) as account_class_category,
    try_cast(ACCT_FIN_CLASS_C as bigint) as financial_class_category,
    try_cast(ACCT_BILLSTS_HA_C as bigint) as billing_status_category,
    try_cast(CODING_STATUS_C as bigint) as coding_status_category,
    try_cast(ADM_DATE_TIME as timestamp) as admitted_at,
    try_cast(DISCH_DATE_TIME as timestamp) as discharged_at,
    PRIMARY_PAYOR_ID as payer_id,
    FINAL_DRG_ID as drg_id,
    {{ to_decimal("TOT_CHGS", scale=2) }} as total_charges_amount,
    COMBINE_ACCT_ID as combined_into_account_token,
    RESEARCH_YN = 'Y' as is_research,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_hb', 'HSP_ACCOUNT'), ['HSP_ACCOUNT_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("HSP_ACCOUNT_ID", "account") }}
