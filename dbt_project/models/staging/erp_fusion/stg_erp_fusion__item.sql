-- Cloud items, one row an item and organisation (Q108): the master organisation and the inventory organisations. Grain
-- and key: ItemBasePEOInventoryItemId, ItemBasePEOOrganizationId. Latest version as of the run.
select
    try_cast(ItemBasePEOInventoryItemId as bigint) as inventory_item_id,
    try_cast(ItemBasePEOOrganizationId as bigint) as organization_id,
    {{ stripped_number('ItemBasePEOItemNumber') }} as item_number,
    trim(ItemTranslationPEODescription) as description,
    trim(ItemBasePEOPrimaryUomCode) as primary_uom,
    trim(ItemBasePEOInventoryItemStatusCode) as status,
    trim(ItemBasePEOInventoryItemStatusCode) = 'Active' as is_active,
    coalesce(trim(ItemBasePEOInventoryItemFlag) = 'Y', false) as is_inventory_item,
    coalesce(trim(ItemBasePEOInventoryAssetFlag) = 'Y', false) as is_asset,
    coalesce(trim(ItemBasePEOLotControlCode) = '2', false) as is_lot_controlled,
    coalesce(trim(ItemBasePEOSerialNumberControlCode) not in ('', '1'), false) as is_serial_controlled,
    nullif(trim(ItemBasePEOItemType), '') as item_type,
    {{ to_decimal('ItemBasePEOListPricePerUnit', 18, 5) }} as list_price,
    {{ to_timestamp_text('ItemBasePEOCreationDate') }} as created_at,
    {{ to_timestamp_text('ItemBasePEOLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'ITEMS'),
    ['ItemBasePEOInventoryItemId', 'ItemBasePEOOrganizationId'],
    cursor='ItemBasePEOLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted(
        'ITEMS',
        'ItemBasePEOInventoryItemId',
        'ItemBasePEOOrganizationId',
        cursor='ItemBasePEOLastUpdateDate'
    ) }}
