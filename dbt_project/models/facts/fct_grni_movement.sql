-- One row for each receipt or invoice line that moves received-not-invoiced: receipts add to it, invoices clear it.
-- Grain: movement, source line. Key: grni_movement_key. amount is additive, a liability is positive. Distribution: facility_id.
-- Both at the order price in force at the receipt. The invoice that completes a line clears the cents that rounding left: where
-- the invoice's own accrual distributions differ from quantity x price by such cents only, they are what was cleared.
-- batch_id is the ledger batch: legacy system and posting date, cloud the journal that refers to the row; null: in no ledger yet.
with lines as (
    select po_line_key, match_basis, price_each as latest_price_each
    from {{ ref('fct_po_line') }}
    where match_basis <> '2way'
),

receipts as (
    select
        receipt.receipt_line_key,
        receipt.po_line_key,
        receipt.facility_id,
        receipt.source_system,
        receipt.receipt_date as business_date,
        receipt.posting_date,
        receipt.amount,
        receipt.quantity_each,
        receipt.source_extract,
        receipt.source_key,
        receipt.source_file,
        receipt.source_line
    from {{ ref('fct_receipt_line') }} as receipt
    left join {{ ref('fct_po_line') }} as order_line
        on receipt.po_line_key = order_line.po_line_key
    where
        receipt.is_counted
        and not receipt.is_consigned
        and coalesce(order_line.match_basis, '3way') <> '2way'
),

receipt_prices as (
    select
        po_line_key,
        sum(quantity_each) as quantity_each,
        sum(amount) as amount,
        max(posting_date) as last_posting_date
    from receipts
    where po_line_key is not null
    group by po_line_key
),

journal_of_row as (
    select
        reference.subledger_table,
        reference.subledger_key,
        min(header.journal_header_id) as journal_header_id
    from {{ ref('stg_erp_fusion__import_reference') }} as reference
    inner join {{ ref('stg_erp_fusion__journal_header') }} as header
        on reference.journal_header_id = header.journal_header_id
    where reference.subledger_table in ('RCV', 'AP_DIST')
    group by reference.subledger_table, reference.subledger_key
),

-- a journal without a single reference holds the rows of its site, source and day (its file of references was lost)
journal_of_day as (
    select
        line.facility_id,
        line.journal_source,
        line.posting_date,
        min(line.journal_id) as journal_id
    from {{ ref('fct_gl_journal_line') }} as line
    left join {{ ref('stg_erp_fusion__import_reference') }} as reference
        on line.journal_id = cast(reference.journal_header_id as varchar)
    where
        line.source_system = 'erp_fusion'
        and line.is_posted
        and line.account_role = 'GRNI'
        and line.journal_source in ('Receipt Accounting', 'Payables')
        and reference.journal_header_id is null
    group by line.facility_id, line.journal_source, line.posting_date
    having count(distinct line.journal_id) = 1
),

cleared as (
    select
        invoice.invoice_line_key,
        invoice.invoice_key,
        invoice.po_line_key,
        invoice.facility_id,
        invoice.source_system,
        invoice.invoice_line_number,
        invoice.invoice_date as business_date,
        invoice.posting_date,
        invoice.quantity_each,
        invoice.source_extract,
        invoice.source_key,
        invoice.source_file,
        invoice.source_line,
        case when invoice.source_system = 'erp_fusion' then invoice.invoice_line_key else invoice.invoice_key end as document_key,
        {{ round_money(divide_decimal(
            exact_product(['invoice.quantity_each', 'receipt_prices.amount']), 'receipt_prices.quantity_each', 8
        )) }} as amount_at_receipt,
        {{ money_product(['invoice.quantity_each', 'invoice.po_price_each'], rounding='half_up') }} as amount_in_force,
        {{ money_product(['invoice.quantity_each', 'lines.latest_price_each'], rounding='half_up') }} as amount_latest
    from {{ ref('fct_invoice_line') }} as invoice
    inner join lines
        on invoice.po_line_key = lines.po_line_key
    left join receipt_prices
        on invoice.po_line_key = receipt_prices.po_line_key
        and receipt_prices.quantity_each > 0
    where
        not invoice.is_cancelled
        and invoice.line_type = 'ITEM'
),

distributed as (
    select
        invoice.invoice_key as document_key,
        sum(distribution.distribution_amount) as amount,
        cast(null as bigint) as journal_header_id
    from {{ ref('stg_erp_lawson__invoice_distribution') }} as distribution
    inner join {{ ref('fct_invoice') }} as invoice
        on invoice.source_system = 'erp_lawson'
        and invoice.source_key
        = concat_ws('|', distribution.company, distribution.supplier_no, distribution.invoice_number, distribution.cancel_sequence)
    inner join {{ ref('dim_account') }} as account
        on account.source_system = 'erp_lawson'
        and distribution.account_number = account.natural_account
        and distribution.sub_account = account.sub_account
        and {{ in_force('distribution.posting_date', 'account.valid_from', 'account.valid_to') }}
        and account.account_role = 'GRNI'
    group by invoice.invoice_key
    union all
    select
        line.invoice_line_key as document_key,
        sum(case when distribution.distribution_type = 'ACCRUAL' then distribution.distribution_amount else 0 end) as amount,
        min(case when distribution.distribution_type = 'ACCRUAL' then journal.journal_header_id end) as journal_header_id
    from {{ ref('stg_erp_fusion__invoice_distribution') }} as distribution
    inner join {{ ref('fct_invoice_line') }} as line
        on line.source_system = 'erp_fusion'
        and line.source_key = concat_ws('|', distribution.invoice_id, distribution.invoice_line_number)
    left join journal_of_row as journal
        on journal.subledger_table = 'AP_DIST'
        and cast(distribution.distribution_id as varchar) = journal.subledger_key
    where not distribution.is_cancelled
    group by line.invoice_line_key
),

documents as (
    select
        cleared.document_key,
        count(*) as line_count,
        sum(coalesce(amount_at_receipt, amount_in_force)) as total_at_receipt,
        sum(amount_in_force) as total_in_force,
        sum(amount_latest) as total_latest
    from cleared
    group by cleared.document_key
),

valued as (
    select
        cleared.*,
        distributed.journal_header_id,
        distributed.amount as distributed_amount,
        case
            when abs(distributed.amount - documents.total_at_receipt) <= documents.line_count * 0.05
                then coalesce(cleared.amount_at_receipt, cleared.amount_in_force)
            when abs(distributed.amount - documents.total_in_force) <= documents.line_count * 0.05 then cleared.amount_in_force
            when abs(distributed.amount - documents.total_latest) <= documents.line_count * 0.05 then cleared.amount_latest
        end as amount_by_distribution,
        coalesce(cleared.amount_at_receipt, cleared.amount_in_force) as amount_by_price,
        row_number() over (
            partition by cleared.document_key order by abs(cleared.quantity_each) desc, cleared.invoice_line_key
        ) as place
    from cleared
    left join distributed
        on cleared.document_key = distributed.document_key
    left join documents
        on cleared.document_key = documents.document_key
),

invoices as (
    select
        *,
        coalesce(
            amount_by_distribution
            + case
                when place = 1
                    then distributed_amount - sum(amount_by_distribution) over (partition by document_key)
                else 0
            end,
            amount_by_price
        ) as amount
    from valued
),

movements as (
    select
        'receipt' as movement,
        receipts.receipt_line_key as line_key,
        receipts.po_line_key,
        receipts.facility_id,
        receipts.source_system,
        receipts.business_date,
        receipts.posting_date,
        case
            when receipts.source_system = 'erp_fusion' then coalesce(cast(journal.journal_header_id as varchar), day.journal_id)
            when receipts.posting_date is not null then 'PO-' || cast(receipts.posting_date as varchar)
        end as batch_id,
        receipts.quantity_each,
        receipts.amount,
        receipts.source_extract,
        receipts.source_key,
        receipts.source_file,
        receipts.source_line
    from receipts
    left join journal_of_row as journal
        on receipts.source_system = 'erp_fusion'
        and journal.subledger_table = 'RCV'
        and receipts.source_key = journal.subledger_key
    left join journal_of_day as day
        on receipts.source_system = 'erp_fusion'
        and day.journal_source = 'Receipt Accounting'
        and receipts.facility_id = day.facility_id
        and receipts.business_date = day.posting_date
    union all
    select
        'invoice' as movement,
        invoices.invoice_line_key as line_key,
        invoices.po_line_key,
        invoices.facility_id,
        invoices.source_system,
        invoices.business_date,
        invoices.posting_date,
        case
            when invoices.source_system = 'erp_fusion' then coalesce(cast(invoices.journal_header_id as varchar), day.journal_id)
            when invoices.posting_date is not null then 'AP-' || cast(invoices.posting_date as varchar)
        end as batch_id,
        -invoices.quantity_each as quantity_each,
        -invoices.amount as amount,
        invoices.source_extract,
        invoices.source_key,
        invoices.source_file,
        invoices.source_line
    from invoices
    left join journal_of_day as day
        on invoices.source_system = 'erp_fusion'
        and day.journal_source = 'Payables'
        and invoices.facility_id = day.facility_id
        and invoices.posting_date = day.posting_date
)

select
    {{ surrogate_key(['movement', 'line_key']) }} as grni_movement_key,
    movement,
    line_key,
    po_line_key,
    facility_id,
    source_system,
    business_date,
    posting_date,
    batch_id,
    cast(quantity_each as decimal(18, 4)) as quantity_each,
    cast(coalesce(amount, 0) as decimal(18, 2)) as amount,
    source_extract,
    source_key,
    source_file,
    source_line
from movements
