-- Cloud order and agreement lines, newest version (Q95). unit_price is USD per uom. Grain and key: PoLineId. Latest
-- version as of the run.
select
    try_cast(PoLineId as bigint) as po_line_id,
    try_cast(PoHeaderId as bigint) as po_header_id,
    try_cast(LineNum as bigint) as line_number,
    trim(LineStatus) as line_status,
    try_cast(ItemId as bigint) as inventory_item_id,
    nullif(trim(VendorProductNum), '') as vendor_catalogue_number,
    nullif(trim(UomCode), '') as uom,
    {{ to_decimal('UnitPrice', 18, 5) }} as unit_price,
    {{ to_decimal('Quantity') }} as ordered_quantity,
    {{ to_decimal('Amount', 18, 2) }} as line_amount,
    trim(MatchingBasis) as matching_basis,
    trim(PurchaseBasis) as purchase_basis,
    try_cast(FromHeaderId as bigint) as agreement_header_id,
    try_cast(FromLineId as bigint) as agreement_line_id,
    nullif(trim(NoteToVendor__case_no), '') as case_reference,
    nullif(trim(NoteToVendor__lot), '') as lot_number,
    nullif(trim(NoteToVendor__serial), '') as serial_token,
    {{ to_timestamp_text('CancelDate') }} as cancelled_at,
    {{ to_timestamp_text('CreationDate') }} as created_at,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_fusion', 'PO_LINES'), ['PoLineId'], cursor='LastUpdateDate') }} as newest
where
    {{ supply_not_deleted('PO_LINES', 'PoLineId', cursor='LastUpdateDate') }}
