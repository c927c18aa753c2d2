-- One row for each commodity code and version.
-- Grain and key: unspsc, unspsc_version. Latest version as of the run.
select
    code as unspsc,
    version as unspsc_version,
    title as title,
    {{ to_date("valid_from") }} as valid_from,
    {{ to_date("valid_to") }} as valid_to,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'UNSPSC'), ['code', 'version']) }} as latest
