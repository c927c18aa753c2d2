-- One row for each site and validity.
-- Grain and key: facility_id, valid_from. Latest version as of the run.
select
    site as facility_id,
    name as facility_name,
    facility_type as facility_type,
    timezone as timezone,
    ccn as ccn,
    npi as npi,
    gln as gln,
    try_cast(beds as bigint) as beds,
    tax_exempt = 'Y' as is_tax_exempt,
    {{ to_date("valid_from") }} as valid_from,
    {{ to_date("valid_to") }} as valid_to,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'FACILITY'), ['site', 'valid_from']) }} as latest
