-- Crosswalk of supplier numbers to golden suppliers; valid_to is exclusive. Grain and key: source_system,
-- source_supplier_no, valid_from. Latest version as of the run.
select
    trim(supplier_id) as supplier_id,
    trim(supplier_name) as supplier_name,
    nullif(trim(parent_supplier_id), '') as parent_supplier_id,
    trim(role) as role,
    trim(source_system) as source_system,
    {{ supply_document_id('source_supplier_no') }} as source_supplier_no,
    nullif(trim(duns), '') as duns_number,
    nullif(trim(gln), '') as gln,
    trim(status) as status,
    {{ to_date('valid_from') }} as valid_from,
    {{ to_date('valid_to') }} as valid_to,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_ref', 'SUPPLIER_XREF'),
    ['source_system', 'source_supplier_no', 'valid_from']
) }} as newest
