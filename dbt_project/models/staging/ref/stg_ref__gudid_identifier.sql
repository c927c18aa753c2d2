-- One row for each identifier or package of a device.
-- Grain and key: primary_di, device_id. Latest version as of the run.
select
    trim(primary_di) as primary_di,
    trim(device_id) as device_id,
    device_id_type as device_id_type,
    issuing_agency as issuing_agency,
    trim(contains_di) as contains_di,
    {{ to_decimal("pkg_quantity") }} as contained_quantity,
    pkg_status as package_status,
    {{ to_date("pkg_discontinue_date") }} as package_discontinued_date,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'GUDID_IDENTIFIER'), ['primary_di', 'device_id']) }} as latest
