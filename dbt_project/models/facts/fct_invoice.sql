-- One row for each supplier invoice (header) of both ERPs; cancelled versions stay, marked.
-- Grain: source_system, source_key. Key: invoice_key. invoice_amount is additive over rows that are not cancelled.
-- Credit memos are negative. invoice_number is as in exception keys (legacy: -SUFFIX when it is not 0), sent_number as the
-- supplier wrote it. Distribution: facility_id.
with legacy as (
    select
        'erp_lawson' as source_system,
        facility.facility_id,
        invoice.supplier_no as source_supplier_no,
        invoice.invoice_number,
        invoice.sent_number,
        case invoice.invoice_type when 'C' then 'credit memo' when 'D' then 'debit memo' else 'invoice' end as invoice_type,
        invoice.invoice_date,
        invoice.posting_date,
        invoice.created_date,
        invoice.invoice_amount,
        invoice.invoice_source,
        invoice.is_cancelled,
        cast(null as bigint) as invoice_id,
        invoice.company,
        'APINVOICE' as source_extract,
        concat_ws('|', invoice.company, invoice.supplier_no, invoice.invoice_number, invoice.cancel_sequence) as source_key,
        invoice.source_file,
        invoice.source_line
    from {{ ref('stg_erp_lawson__invoice') }} as invoice
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_lawson'
        and facility.id_type = 'COMPANY'
        and facility.source_id = cast(invoice.company as varchar)
        and {{ in_force('invoice.invoice_date', 'facility.valid_from', 'facility.valid_to') }}
),

cloud as (
    select
        'erp_fusion' as source_system,
        facility.facility_id,
        coalesce(vendor.supplier_no, cast(invoice.vendor_id as varchar)) as source_supplier_no,
        invoice.invoice_number,
        invoice.invoice_number as sent_number,
        case invoice.invoice_type
            when 'CREDIT' then 'credit memo'
            when 'DEBIT' then 'debit memo'
            when 'PREPAYMENT' then 'prepayment'
            else 'invoice'
        end as invoice_type,
        invoice.invoice_date,
        invoice.posting_date,
        invoice.created_date,
        invoice.invoice_amount,
        invoice.invoice_source,
        invoice.is_cancelled,
        invoice.invoice_id,
        cast(null as bigint) as company,
        'AP_INVOICE_HEADERS' as source_extract,
        cast(invoice.invoice_id as varchar) as source_key,
        invoice.source_file,
        invoice.source_line
    from {{ ref('stg_erp_fusion__invoice') }} as invoice
    left join {{ ref('stg_erp_fusion__supplier') }} as vendor
        on invoice.vendor_id = vendor.vendor_id
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_fusion'
        and facility.id_type = 'BU'
        and facility.source_id = invoice.business_unit_id
        and {{ in_force('invoice.invoice_date', 'facility.valid_from', 'facility.valid_to') }}
),

invoices as (
    select * from legacy
    union all
    select * from cloud
)

select
    {{ surrogate_key(['invoices.source_system', 'invoices.source_key']) }} as invoice_key,
    coalesce(invoices.facility_id, 'SYS') as facility_id,
    invoices.source_system,
    coalesce(xref.supplier_id, invoices.source_system || ':' || invoices.source_supplier_no) as supplier_id,
    coalesce(supplier.supplier_family_id, xref.supplier_id, invoices.source_system || ':' || invoices.source_supplier_no)
        as supplier_family_id,
    invoices.source_supplier_no,
    invoices.invoice_number,
    invoices.sent_number,
    invoices.invoice_type,
    invoices.invoice_date,
    invoices.posting_date,
    invoices.created_date,
    invoices.invoice_amount,
    invoices.invoice_source,
    invoices.is_cancelled,
    invoices.invoice_id,
    invoices.company,
    invoices.source_extract,
    invoices.source_key,
    invoices.source_file,
    invoices.source_line
from invoices
left join {{ ref('bridge_supplier_xref') }} as xref
    on invoices.source_system = xref.source_system
    and invoices.source_supplier_no = xref.source_supplier_no
left join {{ ref('dim_supplier') }} as supplier
    on xref.supplier_id = supplier.supplier_id
