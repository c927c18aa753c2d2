-- Cloud receiving transactions; quantities are positive except on CORRECT rows, parents decide sign and level (Q103).
-- Grain and key: CmrRcvTransactionsPEOCmrRcvTransactionId. Latest version as of the run.
-- A table: six models read it, and each time its versions would have to be sorted out again.
{{ config(materialized='table') }}
select
    try_cast(CmrRcvTransactionsPEOCmrRcvTransactionId as bigint) as transaction_id,
    try_cast(CmrRcvTransactionsPEORcvParentTransactionId as bigint) as parent_transaction_id,
    try_cast(CmrRcvTransactionsPEORootReceiveTxnId as bigint) as root_transaction_id,
    trim(CmrRcvTransactionsPEOTransactionType) as transaction_type,
    {{ to_timestamp_text('CmrRcvTransactionsPEOTransactionDate') }} as transaction_at,
    {{ business_date_of_utc(to_timestamp_text('CmrRcvTransactionsPEOTransactionDate')) }} as business_date,
    nullif(trim(CmrRcvTransactionsPEOReceiptNumber), '') as receipt_number,
    try_cast(CmrRcvTransactionsPEOReceiptLineNumber as bigint) as receipt_line_number,
    nullif(trim(CmrRcvTransactionsPEOShipmentNum), '') as shipment_id,
    try_cast(CmrRcvTransactionsPEOPoLineLocationId as bigint) as line_location_id,
    try_cast(CmrRcvTransactionsPEOTransferOrderLineId as bigint) as transfer_order_line_id,
    try_cast(CmrRcvTransactionsPEOInventoryItemId as bigint) as inventory_item_id,
    try_cast(CmrRcvTransactionsPEOShipToOrganizationId as bigint) as organization_id,
    nullif(trim(CmrRcvTransactionsPEODestinationTypeCode), '') as destination_type,
    {{ to_decimal('CmrRcvTransactionsPEOTransactionQuantity') }} as quantity,
    trim(CmrRcvTransactionsPEOTransactionUomCode) as uom,
    {{ to_decimal('CmrRcvTransactionsPEOSourceDocQuantity') }} as source_document_quantity,
    nullif(trim(CmrRcvTransactionsPEOSourceDocUomCode), '') as source_document_uom,
    {{ to_decimal('CmrRcvTransactionsPEOPrimaryQuantity') }} as primary_quantity,
    nullif(trim(CmrRcvTransactionsPEOPrimaryUomCode), '') as primary_uom,
    {{ to_decimal('CmrRcvTransactionsPEOTransactionAmount', 18, 2) }} as transaction_amount,
    coalesce(trim(CmrRcvTransactionsPEOConsignedFlag) = 'Y', false) as is_consigned,
    {{ to_timestamp_text('CmrRcvTransactionsPEOCreationDate') }} as created_at,
    {{ to_timestamp_text('CmrRcvTransactionsPEOLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'RCV_TRANSACTIONS'),
    ['CmrRcvTransactionsPEOCmrRcvTransactionId'],
    cursor='CmrRcvTransactionsPEOLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted(
        'RCV_TRANSACTIONS',
        'CmrRcvTransactionsPEOCmrRcvTransactionId',
        cursor='CmrRcvTransactionsPEOLastUpdateDate'
    ) }}
