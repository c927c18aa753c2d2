-- One row for each unit code of a system.
-- Grain and key: source_system, source_uom. Latest version as of the run.
select
    source_system as source_system,
    trim(source_uom) as source_uom,
    uom as uom,
    {{ to_decimal("generic_factor") }} as generic_factor,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'UOM_CODE'), ['source_system', 'source_uom']) }} as latest
