-- Cloud stock movements, signed in the primary unit. row_amount is the costed amount, half up; the cost may arrive one
-- slot later (Q102). Grain and key: InventoryTransactionPEOTransactionId. Latest version as of the run.
select
    try_cast(InventoryTransactionPEOTransactionId as bigint) as transaction_id,
    try_cast(InventoryTransactionPEOOrganizationId as bigint) as organization_id,
    nullif(trim(InventoryTransactionPEOSubinventoryCode), '') as subinventory_code,
    try_cast(InventoryTransactionPEOInventoryItemId as bigint) as inventory_item_id,
    try_cast(InventoryTransactionPEOTransactionTypeId as bigint) as transaction_type_id,
    {{ to_timestamp_text('InventoryTransactionPEOTransactionDate') }} as transaction_at,
    {{ business_date_of_utc(to_timestamp_text('InventoryTransactionPEOTransactionDate')) }} as business_date,
    {{ to_decimal('InventoryTransactionPEOPrimaryQuantity') }} as primary_quantity,
    {{ to_decimal('InventoryTransactionPEOActualCost', 18, 5) }} as actual_cost,
    {{ money_product(
        [to_decimal('InventoryTransactionPEOPrimaryQuantity'), to_decimal('InventoryTransactionPEOActualCost', 18, 5)],
        rounding='half_up'
    ) }} as row_amount,
    nullif(trim(InventoryTransactionPEOTransactionSourceName), '') as transaction_source_name,
    nullif(trim(InventoryTransactionPEOTransactionReference), '') as transaction_reference,
    try_cast(InventoryTransactionPEORcvTransactionId as bigint) as receiving_transaction_id,
    coalesce(nullif(trim(InventoryTransactionPEOOwningType), ''), 'OWNED') as owning_type,
    {{ to_timestamp_text('InventoryTransactionPEOLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'INV_TRANSACTIONS'),
    ['InventoryTransactionPEOTransactionId'],
    cursor='InventoryTransactionPEOLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted(
        'INV_TRANSACTIONS',
        'InventoryTransactionPEOTransactionId',
        cursor='InventoryTransactionPEOLastUpdateDate'
    ) }}
