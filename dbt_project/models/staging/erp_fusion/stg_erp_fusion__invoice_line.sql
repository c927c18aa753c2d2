-- Cloud invoice lines; discarded and cancelled lines keep their amounts (Q98). Grain and key:
-- ApInvoiceLinesAllInvoiceId, ApInvoiceLinesAllLineNumber. Latest version as of the run.
select
    try_cast(ApInvoiceLinesAllInvoiceId as bigint) as invoice_id,
    try_cast(ApInvoiceLinesAllLineNumber as bigint) as line_number,
    trim(ApInvoiceLinesAllLineTypeLookupCode) as line_type,
    {{ to_decimal('ApInvoiceLinesAllAmount', 18, 2) }} as line_amount,
    {{ to_decimal('ApInvoiceLinesAllQuantityInvoiced') }} as quantity,
    nullif(trim(ApInvoiceLinesAllUnitMeasLookupCode), '') as uom,
    {{ to_decimal('ApInvoiceLinesAllUnitPrice', 18, 5) }} as unit_price,
    try_cast(ApInvoiceLinesAllPoLineId as bigint) as po_line_id,
    try_cast(ApInvoiceLinesAllPoLineLocationId as bigint) as line_location_id,
    try_cast(ApInvoiceLinesAllRcvTransactionId1 as bigint) as receiving_transaction_id,
    {{ to_date('ApInvoiceLinesAllAccountingDate') }} as posting_date,
    coalesce(trim(ApInvoiceLinesAllDiscardedFlag) = 'Y', false) as is_discarded,
    coalesce(trim(ApInvoiceLinesAllCancelledFlag) = 'Y', false) as is_cancelled,
    {{ to_timestamp_text('ApInvoiceLinesAllLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'AP_INVOICE_LINES'),
    ['ApInvoiceLinesAllInvoiceId', 'ApInvoiceLinesAllLineNumber'],
    cursor='ApInvoiceLinesAllLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted(
        'AP_INVOICE_LINES',
        'ApInvoiceLinesAllInvoiceId',
        'ApInvoiceLinesAllLineNumber',
        cursor='ApInvoiceLinesAllLastUpdateDate'
    ) }}
