-- One row for each value or condition code of a final claim.
-- Grain and key: account_token, claim_sequence, code_type, claim_code. Latest version as of the run. Test patients are gone (Q16).
select
    HSP_ACCOUNT_ID as account_token,
    try_cast(CLAIM_SEQ as bigint) as claim_sequence,
    CODE_TYPE as code_type,
    CODE as claim_code,
    {{ to_decimal("AMOUNT", scale=2) }} as code_amount,
    {{ to_date("FIRST_BILLED_DATE") }} as first_billed_date,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_hb', 'CLAIM_CODES'), ['HSP_ACCOUNT_ID', 'CLAIM_SEQ', 'CODE_TYPE', 'CODE']) }} as latest
where {{ is_no_test_record("HSP_ACCOUNT_ID", "account") }}
