-- Cloud supplier sites, newest snapshot: a change of the inactive date does not move the cursor, so delivery order
-- decides (Q99). Grain and key: VendorSiteId. Latest version as of the run.
select
    try_cast(VendorSiteId as bigint) as vendor_site_id,
    try_cast(VendorId as bigint) as vendor_id,
    trim(VendorSiteCode) as site_code,
    coalesce(trim(PayOnCode) = 'RECEIPT', false) as is_evaluated_receipt,
    {{ to_date('InactiveDate') }} as inactive_date,
    coalesce(trim(HoldFlag) = 'Y', false) as is_on_hold,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_fusion', 'SUPPLIER_SITES'), ['VendorSiteId']) }} as newest
