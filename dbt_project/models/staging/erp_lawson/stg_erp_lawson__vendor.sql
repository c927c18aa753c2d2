-- Legacy vendor master, one row a vendor; numbers are right-justified in the source (Q78). Grain and key:
-- VENDOR_GROUP, VENDOR. Latest version as of the run.
select
    {{ supply_document_id('VENDOR') }} as supplier_no,
    trim(VENDOR_VNAME) as supplier_name,
    trim(VENDOR_STATUS) = 'A' as is_active,
    nullif(trim(TAX_ID), '') as tax_id_token,
    nullif(trim(EDI_NBR), '') as duns_number,
    coalesce(trim(ERS_FL) = 'Y', false) as is_evaluated_receipt,
    {{ to_legacy_date('ADD_DATE') }} as added_date,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'APVENMAST'), ['VENDOR_GROUP', 'VENDOR']) }} as newest
