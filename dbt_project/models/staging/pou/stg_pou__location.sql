-- One row for each stock location.
-- Grain and key: pou_site, location_code. Latest version as of the run.
select
    site as pou_site,
    trim(location_code) as location_code,
    description as location_name,
    location_type as location_type,
    perpetual = 'Y' as is_perpetual,
    asset = 'Y' as is_asset,
    owner_default as owner_default,
    department_code as department_code,
    trim(erp_location) as erp_location,
    gln as gln,
    active = 'Y' as is_active,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_pou', 'location'), ['site', 'location_code']) }} as latest
