-- Cloud payments of invoices. Grain and key: ApInvoicePaymentsAllInvoicePaymentId. Latest version as of the run.
select
    try_cast(ApInvoicePaymentsAllInvoicePaymentId as bigint) as invoice_payment_id,
    try_cast(ApInvoicePaymentsAllInvoiceId as bigint) as invoice_id,
    nullif(trim(ApInvoicePaymentsAllCheckId), '') as payment_number,
    {{ to_decimal('ApInvoicePaymentsAllAmount', 18, 2) }} as paid_amount,
    coalesce({{ to_decimal('ApInvoicePaymentsAllDiscountTaken', 18, 2) }}, 0) as discount_amount,
    {{ to_date('ApInvoicePaymentsAllAccountingDate') }} as posting_date,
    coalesce(trim(ApInvoicePaymentsAllPostedFlag) = 'Y', false) as is_posted,
    coalesce(trim(ApInvoicePaymentsAllReversalFlag) = 'Y', false) as is_reversal,
    {{ to_timestamp_text('ApInvoicePaymentsAllLastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'AP_PAYMENTS'),
    ['ApInvoicePaymentsAllInvoicePaymentId'],
    cursor='ApInvoicePaymentsAllLastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted(
        'AP_PAYMENTS',
        'ApInvoicePaymentsAllInvoicePaymentId',
        cursor='ApInvoicePaymentsAllLastUpdateDate'
    ) }}
