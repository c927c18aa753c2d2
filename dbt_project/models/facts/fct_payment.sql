-- One row for each payment of a supplier invoice in both ERPs.
-- Grain: source_system, source_key. Key: payment_key. Amounts are additive; reversals are negative as booked.
-- paid_amount is the cash, discount_amount what was taken off; both together relieve payables. Distribution: facility_id.
with legacy as (
    select
        'erp_lawson' as source_system,
        invoice.invoice_key,
        invoice.facility_id,
        invoice.supplier_id,
        payment.invoice_number,
        payment.payment_number,
        payment.payment_date,
        payment.payment_date as posting_date,
        payment.paid_amount,
        payment.discount_amount,
        payment.record_status = 9 as is_posted,
        'APPAYMENT' as source_extract,
        concat_ws(
            '|', payment.company, payment.supplier_no, payment.invoice_number, payment.cancel_sequence, payment.payment_sequence
        ) as source_key,
        payment.source_file,
        payment.source_line
    from {{ ref('stg_erp_lawson__payment') }} as payment
    left join {{ ref('fct_invoice') }} as invoice
        on invoice.source_system = 'erp_lawson'
        and invoice.source_key
        = concat_ws('|', payment.company, payment.supplier_no, payment.invoice_number, payment.cancel_sequence)
),

cloud as (
    select
        'erp_fusion' as source_system,
        invoice.invoice_key,
        invoice.facility_id,
        invoice.supplier_id,
        invoice.invoice_number,
        payment.payment_number,
        payment.posting_date as payment_date,
        payment.posting_date,
        payment.paid_amount,
        payment.discount_amount,
        payment.is_posted,
        'AP_PAYMENTS' as source_extract,
        cast(payment.invoice_payment_id as varchar) as source_key,
        payment.source_file,
        payment.source_line
    from {{ ref('stg_erp_fusion__payment') }} as payment
    left join {{ ref('fct_invoice') }} as invoice
        on invoice.source_system = 'erp_fusion'
        and payment.invoice_id = invoice.invoice_id
),

payments as (
    select * from legacy
    union all
    select * from cloud
)

select
    {{ surrogate_key(['source_system', 'source_key']) }} as payment_key,
    invoice_key,
    coalesce(facility_id, 'SYS') as facility_id,
    source_system,
    supplier_id,
    invoice_number,
    payment_number,
    payment_date,
    posting_date,
    paid_amount,
    discount_amount,
    is_posted,
    source_extract,
    source_key,
    source_file,
    source_line
from payments
