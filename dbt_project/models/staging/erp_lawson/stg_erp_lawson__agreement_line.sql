-- Legacy agreement price lines; effective_to is inclusive. Grain and key: PROCURE_GROUP, VEN_AGRMT_REF, LINE_NBR.
-- Latest version as of the run.
select
    upper(trim(VEN_AGRMT_REF)) as agreement_number,
    try_cast(LINE_NBR as bigint) as line_number,
    {{ supply_document_id('VENDOR') }} as supplier_no,
    {{ stripped_number('ITEM') }} as item_no,
    nullif(trim(VEN_ITEM), '') as vendor_catalogue_number,
    trim(UOM) as uom,
    coalesce(nullif({{ to_decimal('UOM_MULT', 18, 8) }}, 0), 1) as unit_factor,
    {{ to_decimal('CURR_NET_CST', 18, 5) }} as unit_price,
    try_cast(PRIORITY as bigint) as priority,
    coalesce(trim(HOLD_FLAG) = 'Y', false) as is_on_hold,
    {{ to_legacy_date('EFFECTIVE_DT') }} as effective_from,
    {{ to_legacy_date('EXPIRE_DT') }} as effective_to,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_lawson', 'POVAGRMTLN'),
    ['PROCURE_GROUP', 'VEN_AGRMT_REF', 'LINE_NBR']
) }} as newest
