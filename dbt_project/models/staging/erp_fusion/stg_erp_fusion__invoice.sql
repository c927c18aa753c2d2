-- Cloud invoice headers; credit memos are negative. A cancelled amount or approval status CANCELLED marks a cancelled
-- invoice. Grain and key: ApInvoicesInvoiceId. Latest version as of the run.
select
    try_cast(ApInvoicesInvoiceId as bigint) as invoice_id,
    upper(trim(ApInvoicesInvoiceNum)) as invoice_number,
    try_cast(ApInvoicesVendorId as bigint) as vendor_id,
    try_cast(ApInvoicesVendorSiteId as bigint) as vendor_site_id,
    trim(ApInvoicesOrgId) as business_unit_id,
    trim(ApInvoicesInvoiceTypeLookupCode) as invoice_type,
    {{ to_date('ApInvoicesInvoiceDate') }} as invoice_date,
    {{ to_date('ApInvoicesGlDate') }} as posting_date,
    {{ to_decimal('ApInvoicesInvoiceAmount', 18, 2) }} as invoice_amount,
    coalesce({{ to_decimal('ApInvoicesCancelledAmount', 18, 2) }}, 0) as cancelled_amount,
    coalesce(trim(ApInvoicesApprovalStatus) in ('CANCELLED', 'CANCELED'), false)
    or coalesce({{ to_decimal('ApInvoicesCancelledAmount', 18, 2) }}, 0) <> 0 as is_cancelled,
    nullif(trim(ApInvoicesSource), '') as invoice_source,
    nullif(trim(ApInvoicesPaymentStatusFlag), '') as payment_status,
    {{ to_timestamp_text('ApInvoicesCreationDate') }} as created_at,
    {{ business_date_of_utc(to_timestamp_text('ApInvoicesCreationDate')) }} as created_date,
    {{ to_timestamp_text('ApInvoicesLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'AP_INVOICE_HEADERS'),
    ['ApInvoicesInvoiceId'],
    cursor='ApInvoicesLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted('AP_INVOICE_HEADERS', 'ApInvoicesInvoiceId', cursor='ApInvoicesLastUpdateDate') }}
