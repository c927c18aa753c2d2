-- One row for each code of a site in a system and validity.
-- Grain and key: source_system, id_type, source_id, valid_from. Latest version as of the run.
select
    source_system as source_system,
    id_type as id_type,
    trim(source_id) as source_id,
    site as facility_id,
    {{ to_date("valid_from") }} as valid_from,
    {{ to_date("valid_to") }} as valid_to,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'FACILITY_ID'), ['source_system', 'id_type', 'source_id', 'valid_from']) }} as latest
