-- Legacy account and sub-account to the conformed account and its control role; valid_to is exclusive. Grain and key:
-- legacy_account, legacy_sub, valid_from. Latest version as of the run.
select
    lpad(trim(legacy_account), 6, '0') as legacy_account,
    lpad(trim(legacy_sub), 4, '0') as legacy_sub,
    trim(cloud_account) as cloud_account,
    trim(conformed_account) as conformed_account,
    trim(account_role) as account_role,
    trim(account_type) as account_type,
    trim(description) as description,
    trim(status) as status,
    {{ to_date('valid_from') }} as valid_from,
    {{ to_date('valid_to') }} as valid_to,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'COA_MAP'), ['legacy_account', 'legacy_sub', 'valid_from']) }} as newest
