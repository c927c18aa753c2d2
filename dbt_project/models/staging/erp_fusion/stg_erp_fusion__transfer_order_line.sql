-- Transfer order lines of the distribution centre with what was shipped and received, in the line's unit; shipped_unit_cost is
-- per that unit. Grain and key: LineId. Latest version as of the run.
select
    try_cast(LineId as bigint) as transfer_order_line_id,
    trim(HeaderNumber) as transfer_order_number,
    try_cast(LineNumber as bigint) as line_number,
    try_cast(InventoryItemId as bigint) as inventory_item_id,
    try_cast(SourceOrganizationId as bigint) as source_organization_id,
    try_cast(DestinationOrganizationId as bigint) as destination_organization_id,
    trim(DestinationSiteCode) as destination_site_code,
    nullif(trim(DestinationSubinventory), '') as destination_subinventory,
    {{ to_decimal('QuantityOrdered') }} as ordered_quantity,
    {{ to_decimal('QuantityShipped') }} as shipped_quantity,
    {{ to_decimal('QuantityReceived') }} as received_quantity,
    trim(UomCode) as uom,
    {{ to_decimal('ShippedUnitCost', 18, 5) }} as shipped_unit_cost,
    {{ to_timestamp_text('ShipDate') }} as shipped_at,
    {{ business_date_of_utc(to_timestamp_text('ShipDate')) }} as ship_date,
    {{ to_timestamp_text('LastReceiptDate') }} as last_received_at,
    {{ business_date_of_utc(to_timestamp_text('LastReceiptDate')) }} as last_receipt_date,
    try_cast(RequisitionLineId as bigint) as requisition_line_id,
    trim(Status) as line_status,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_fusion', 'TRANSFER_ORDER_LINES'), ['LineId'], cursor='LastUpdateDate') }} as newest
where {{ supply_not_deleted('TRANSFER_ORDER_LINES', 'LineId', cursor='LastUpdateDate') }}
