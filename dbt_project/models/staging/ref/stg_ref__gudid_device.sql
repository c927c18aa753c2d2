-- One row for each device record.
-- Grain and key: primary_di. Latest version as of the run.
select
    trim(primary_di) as primary_di,
    brand_name as brand_name,
    version_model_number as version_model_number,
    catalog_number as catalogue_number,
    company_name as company_name,
    duns_number as duns_number,
    try_cast(device_count as bigint) as device_count,
    single_use = 'Y' as is_single_use,
    lot_batch = 'Y' as is_lot_controlled,
    serial_number = 'Y' as is_serial_controlled,
    manufacturing_date = 'Y' as has_manufacturing_date,
    expiration_date = 'Y' as has_expiration_date,
    implantable = 'Y' as is_implantable,
    device_sterile = 'Y' as is_sterile,
    mri_safety as mri_safety,
    distribution_status as distribution_status,
    {{ to_date("distribution_end_date") }} as distribution_end_date,
    product_codes as product_codes,
    gmdn_code as gmdn_code,
    {{ to_date("public_version_date") }} as public_version_date,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'GUDID_DEVICE'), ['primary_di'], cursor='public_version_date') }} as latest
