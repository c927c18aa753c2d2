-- Cloud invoice distributions; ACCRUAL clears received-not-invoiced, IPV is the price variance. Grain and key:
-- ApInvoiceDistributionsInvoiceDistributionId. Latest version as of the run.
select
    try_cast(ApInvoiceDistributionsInvoiceDistributionId as bigint) as distribution_id,
    try_cast(ApInvoiceDistributionsInvoiceId as bigint) as invoice_id,
    try_cast(ApInvoiceDistributionsInvoiceLineNumber as bigint) as invoice_line_number,
    try_cast(ApInvoiceDistributionsDistributionLineNumber as bigint) as distribution_number,
    nullif(trim(ApInvoiceDistributionsLineTypeLookupCode), '') as distribution_type,
    try_cast(ApInvoiceDistributionsDistCodeCombinationId as bigint) as code_combination_id,
    {{ to_decimal('ApInvoiceDistributionsAmount', 18, 2) }} as distribution_amount,
    {{ to_date('ApInvoiceDistributionsAccountingDate') }} as posting_date,
    coalesce(trim(ApInvoiceDistributionsPostedFlag) = 'Y', false) as is_posted,
    coalesce(trim(ApInvoiceDistributionsCancellationFlag) = 'Y', false) as is_cancelled,
    {{ to_timestamp_text('ApInvoiceDistributionsLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'AP_INVOICE_DISTRIBUTIONS'),
    ['ApInvoiceDistributionsInvoiceDistributionId'],
    cursor='ApInvoiceDistributionsLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted(
        'AP_INVOICE_DISTRIBUTIONS',
        'ApInvoiceDistributionsInvoiceDistributionId',
        cursor='ApInvoiceDistributionsLastUpdateDate'
    ) }}
