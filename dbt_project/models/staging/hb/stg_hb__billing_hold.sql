-- One row for each active billing hold.
-- Grain and key: account_token, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    HSP_ACCOUNT_ID as account_token,
    try_cast(LINE as bigint) as line_number,
    try_cast(STOPBILL_SOURCE_C as bigint) as hold_source_category,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_hb', 'HSP_ACCT_STOP_BILL'), ['HSP_ACCOUNT_ID', 'LINE']) }} as latest
where {{ is_no_test_record("HSP_ACCOUNT_ID", "account") }}
