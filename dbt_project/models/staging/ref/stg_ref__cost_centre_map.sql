-- One row for each cost centre code of a system and validity.
-- Grain and key: source_system, scope, source_code, valid_from. Latest version as of the run.
select
    source_system as source_system,
    trim(scope) as scope,
    trim(source_code) as source_code,
    cost_center as cost_centre_id,
    department as department,
    department_name as department_name,
    site as facility_id,
    {{ to_date("valid_from") }} as valid_from,
    {{ to_date("valid_to") }} as valid_to,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'COST_CENTER_MAP'), ['source_system', 'scope', 'source_code', 'valid_from']) }} as latest
