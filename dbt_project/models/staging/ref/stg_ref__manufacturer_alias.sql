-- One row for each name or code of a manufacturer.
-- Grain and key: alias_type, alias. Latest version as of the run.
select
    mfr_id as manufacturer_id,
    mfr_name as manufacturer_name,
    alias_type as alias_type,
    trim(alias) as alias,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'MANUFACTURER_ALIAS'), ['alias_type', 'alias']) }} as latest
