-- Legacy vendor agreements; effective_to is inclusive. Grain and key: PROCURE_GROUP, VEN_AGRMT_REF. Latest version as
-- of the run.
select
    upper(trim(VEN_AGRMT_REF)) as agreement_number,
    nullif(trim(AGMT_TYPE), '') as agreement_type,
    {{ supply_document_id('VENDOR') }} as supplier_no,
    {{ to_legacy_date('EFFECTIVE_DT') }} as effective_from,
    {{ to_legacy_date('EXPIRE_DT') }} as effective_to,
    coalesce(trim(HOLD_FLAG) = 'Y', false) as is_on_hold,
    try_cast(PRIORITY as bigint) as priority,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'POVAGRMTHD'), ['PROCURE_GROUP', 'VEN_AGRMT_REF']) }} as newest
