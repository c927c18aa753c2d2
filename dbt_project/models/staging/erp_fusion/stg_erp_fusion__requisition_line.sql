-- Cloud requisition lines; the case number of bill-only requests is parsed from the note to the supplier at landing.
-- Grain and key: RequisitionLineId. Latest version as of the run.
select
    try_cast(RequisitionLineId as bigint) as requisition_line_id,
    try_cast(RequisitionHeaderId as bigint) as requisition_header_id,
    try_cast(LineNumber as bigint) as line_number,
    try_cast(ItemId as bigint) as inventory_item_id,
    try_cast(PoLineId as bigint) as po_line_id,
    nullif(trim(InterfaceLineKey), '') as replenishment_key,
    nullif(trim(NoteToSupplier__case_no), '') as case_reference,
    nullif(trim(NoteToSupplier__lot), '') as lot_number,
    nullif(trim(NoteToSupplier__serial), '') as serial_token,
    coalesce(trim(CancelFlag) = 'Y', false) as is_cancelled,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'REQ_LINES'),
    ['RequisitionLineId'],
    cursor='LastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted('REQ_LINES', 'RequisitionLineId', cursor='LastUpdateDate') }}
