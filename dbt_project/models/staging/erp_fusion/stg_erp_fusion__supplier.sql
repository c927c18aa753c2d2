-- Cloud suppliers, one row a vendor id; conversion made duplicates (Q106). Grain and key: VendorId. Latest version as
-- of the run.
select
    try_cast(VendorId as bigint) as vendor_id,
    trim(Segment1) as supplier_no,
    trim(VendorName) as supplier_name,
    nullif(trim(VendorTypeLookupCode), '') as supplier_type,
    nullif(trim(TaxpayerId), '') as tax_id_token,
    nullif(trim(DunsNumber), '') as duns_number,
    {{ to_date('EndDateActive') }} as end_date,
    nullif(trim(CreationSource), '') as creation_source,
    {{ to_timestamp_text('CreationDate') }} as created_at,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_fusion', 'SUPPLIERS'), ['VendorId'], cursor='LastUpdateDate') }} as newest
where
    {{ supply_not_deleted('SUPPLIERS', 'VendorId', cursor='LastUpdateDate') }}
