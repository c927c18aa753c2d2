-- One row for each stock location code of a system and validity.
-- Grain and key: source_system, scope, source_location, valid_from. Latest version as of the run.
select
    source_system as source_system,
    trim(scope) as scope,
    trim(source_location) as source_location,
    location_id as location_id,
    site as facility_id,
    location_type as location_type,
    perpetual = 'Y' as is_perpetual,
    asset = 'Y' as is_asset,
    cost_center as cost_centre_id,
    {{ to_date("valid_from") }} as valid_from,
    {{ to_date("valid_to") }} as valid_to,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'LOCATION_MAP'), ['source_system', 'scope', 'source_location', 'valid_from']) }} as latest
