-- Approved suppliers of cloud items with their catalogue numbers. Grain and key: AssociationId. Latest version as of
-- the run.
select
    try_cast(AssociationId as bigint) as association_id,
    try_cast(InventoryItemId as bigint) as inventory_item_id,
    try_cast(OrganizationId as bigint) as organization_id,
    try_cast(VendorId as bigint) as vendor_id,
    try_cast(VendorSiteId as bigint) as vendor_site_id,
    nullif(trim(SupplierItem), '') as supplier_item,
    coalesce(trim(PrimaryFlag) = 'Y', false) as is_primary,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'ITEM_SUPPLIER_ASSOC'),
    ['AssociationId'],
    cursor='LastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted('ITEM_SUPPLIER_ASSOC', 'AssociationId', cursor='LastUpdateDate') }}
