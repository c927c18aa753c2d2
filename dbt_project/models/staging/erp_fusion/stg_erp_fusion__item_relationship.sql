-- Cross references of cloud items: legacy number, GTIN by package unit, manufacturer part. Grain and key:
-- ItemRelationshipId. Latest version as of the run.
select
    try_cast(ItemRelationshipId as bigint) as item_relationship_id,
    trim(ItemRelationshipType) as relationship_type,
    nullif(trim(SubType), '') as relationship_subtype,
    try_cast(InventoryItemId as bigint) as inventory_item_id,
    try_cast(RelatedItemId as bigint) as related_item_id,
    nullif(trim(CrossReference), '') as cross_reference,
    nullif(trim(UomCode), '') as uom,
    nullif(trim(TradingPartnerName), '') as trading_partner_name,
    {{ to_date('StartDate') }} as start_date,
    {{ to_date('EndDate') }} as end_date,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'ITEM_RELATIONSHIPS'),
    ['ItemRelationshipId'],
    cursor='LastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted('ITEM_RELATIONSHIPS', 'ItemRelationshipId', cursor='LastUpdateDate') }}
