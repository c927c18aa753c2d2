-- Schedules of cloud order lines; receipts and invoice lines refer to them. Grain and key: LineLocationId. Latest
-- version as of the run.
select
    try_cast(LineLocationId as bigint) as line_location_id,
    try_cast(PoLineId as bigint) as po_line_id,
    try_cast(PoHeaderId as bigint) as po_header_id,
    try_cast(ShipmentNum as bigint) as shipment_number,
    try_cast(ShipToOrganizationId as bigint) as ship_to_organization_id,
    {{ to_decimal('Quantity') }} as scheduled_quantity,
    coalesce({{ to_decimal('QuantityCancelled') }}, 0) as cancelled_quantity,
    nullif(trim(MatchOption), '') as match_option,
    coalesce(trim(ReceiptRequiredFlag), 'Y') = 'Y' as is_receipt_required,
    coalesce(trim(AccrueOnReceiptFlag), 'Y') = 'Y' as is_accrued_on_receipt,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'PO_SCHEDULES'),
    ['LineLocationId'],
    cursor='LastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted('PO_SCHEDULES', 'LineLocationId', cursor='LastUpdateDate') }}
