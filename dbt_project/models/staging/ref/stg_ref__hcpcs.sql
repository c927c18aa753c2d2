-- One row for each HCPCS code and validity.
-- Grain and key: hcpcs_code, valid_from. Latest version as of the run.
select
    hcpcs as hcpcs_code,
    short_description as short_description,
    device_c_code = 'Y' as is_device_code,
    try_cast(mue_units as bigint) as unlikely_units,
    {{ to_decimal("units_per_each") }} as units_per_each,
    {{ to_date("valid_from") }} as valid_from,
    {{ to_date("valid_to") }} as valid_to,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'HCPCS'), ['hcpcs', 'valid_from']) }} as latest
