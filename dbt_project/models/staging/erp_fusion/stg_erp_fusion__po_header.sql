-- Cloud purchasing documents: standard orders and, in the same file, agreements (Q96). order_date is the Chicago date
-- of creation. Grain and key: PoHeaderId. Latest version as of the run.
select
    try_cast(PoHeaderId as bigint) as po_header_id,
    trim(Segment1) as po_number,
    trim(TypeLookupCode) as document_type,
    try_cast(StyleId as bigint) as style_id,
    trim(DocumentStatus) as document_status,
    trim(BilltoBuId) as bill_to_unit_id,
    try_cast(VendorId as bigint) as vendor_id,
    try_cast(VendorSiteId as bigint) as vendor_site_id,
    {{ to_timestamp_text('ApprovedDate') }} as approved_at,
    {{ to_date('StartDate') }} as start_date,
    {{ to_date('EndDate') }} as end_date,
    {{ to_timestamp_text('CreationDate') }} as created_at,
    {{ business_date_of_utc(to_timestamp_text('CreationDate')) }} as order_date,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_fusion', 'PO_HEADERS'), ['PoHeaderId'], cursor='LastUpdateDate') }} as newest
where
    {{ supply_not_deleted('PO_HEADERS', 'PoHeaderId', cursor='LastUpdateDate') }}
