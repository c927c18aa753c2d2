-- Legacy inventory locations, one row a company and location. Grain and key: COMPANY, LOCATION. Latest version as of
-- the run.
select
    try_cast(COMPANY as bigint) as company,
    trim(LOCATION) as location_code,
    nullif(trim(NAME), '') as location_name,
    trim(ACTIVE_STATUS) = 'A' as is_active,
    coalesce(trim(ASSET_FL) = 'Y', false) as is_asset,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'ICLOCATION'), ['COMPANY', 'LOCATION']) }} as newest
