-- One row for each facility, control role and month: the subledger beside the ledger (GL-02 judges role GRNI).
-- Grain: facility_id, control_role, fiscal_period. Key: entity_key, control_role. Balances are not additive over periods;
-- explained_amount and unexplained_amount are what arose in the month, so they are. Distribution: facility_id.
-- subledger - ledger = carried difference of the month before + explained + unexplained. The difference of the opening arose in
-- no period. Explained: manual journals on the account (GL-08), batches missing or short in the ledger (GL-10), rows not posted
-- yet, conversion journals. Liabilities and revenue are shown positive.
with months as (
    select
        fiscal_period,
        min(start_date) as start_date,
        max(end_date) as end_date
    from {{ ref('dim_fiscal_period') }}
    where not is_adjustment and start_date <= {{ as_of_date() }}
    group by fiscal_period
),

ledger_lines as (
    select
        facility_id,
        source_system,
        case when account_role in ('PATIENT_REV_IP', 'PATIENT_REV_OP') then 'PATIENT_REV' else account_role end as control_role,
        case
            when source_system = 'erp_fusion' then journal_id
            else journal_source || '-' || cast(posting_date as varchar)
        end as batch_id,
        fiscal_period,
        posting_date,
        is_posted,
        is_manual,
        journal_source in ('CV', 'Conversion') as is_conversion,
        debit_amount,
        case
            when account_role in ('GRNI', 'AP_CONTROL', 'DUE_TO', 'PATIENT_REV_IP', 'PATIENT_REV_OP') then credit_amount - debit_amount
            else debit_amount - credit_amount
        end as amount,
        source_extract,
        source_key,
        source_file,
        source_line
    from {{ ref('fct_gl_journal_line') }}
),

-- the ledger's side of every subledger batch
ledger_batches as (
    select
        source_system,
        case when source_system = 'erp_fusion' then '' else facility_id end as batch_facility_id,
        batch_id,
        min(fiscal_period) as fiscal_period,
        sum(case when is_posted then debit_amount else 0 end) as debit_amount,
        bool_or(is_posted) as is_posted
    from ledger_lines
    group by source_system, case when source_system = 'erp_fusion' then '' else facility_id end, batch_id
),

-- the subledger's side: debit totals, and net of lines that post both sides against one control account
subledger_batches as (
    select
        'erp_lawson' as source_system,
        facility_id as batch_facility_id,
        'PO-' || cast(posting_date as varchar) as batch_id,
        sum(abs(amount)) as debit_amount,
        sum(abs(amount)) as net_debit_amount
    from {{ ref('fct_receipt_line') }}
    where source_system = 'erp_lawson' and is_counted and posting_date is not null
    group by facility_id, posting_date
    union all
    select
        'erp_lawson' as source_system,
        vouchers.facility_id as batch_facility_id,
        'AP-' || cast(vouchers.posting_date as varchar) as batch_id,
        sum(vouchers.debit_amount) as debit_amount,
        sum(vouchers.net_debit_amount) as net_debit_amount
    from (
        select
            invoice.facility_id,
            invoice.posting_date,
            sum(abs(distribution.distribution_amount)) as debit_amount,
            sum(case when distribution.distribution_amount > 0 then distribution.distribution_amount else 0 end)
            + max(case when invoice.invoice_amount < 0 then -invoice.invoice_amount else 0 end) as net_debit_amount
        from {{ ref('fct_invoice') }} as invoice
        inner join {{ ref('stg_erp_lawson__invoice_distribution') }} as distribution
            on invoice.source_key
            = concat_ws('|', distribution.company, distribution.supplier_no, distribution.invoice_number, distribution.cancel_sequence)
        where invoice.source_system = 'erp_lawson' and not invoice.is_cancelled and invoice.posting_date is not null
        group by invoice.invoice_key, invoice.facility_id, invoice.posting_date
        union all
        select
            facility_id,
            posting_date,
            sum(abs(paid_amount) + abs(discount_amount)) as debit_amount,
            sum(abs(paid_amount) + abs(discount_amount)) as net_debit_amount
        from {{ ref('fct_payment') }}
        where source_system = 'erp_lawson' and posting_date is not null
        group by facility_id, posting_date
    ) as vouchers
    group by vouchers.facility_id, vouchers.posting_date
    union all
    select
        'erp_fusion' as source_system,
        '' as batch_facility_id,
        referenced.batch_id,
        referenced.debit_amount,
        referenced.debit_amount + coalesce(settled.amount, 0) as net_debit_amount
    from (
        select
            cast(journal_header_id as varchar) as batch_id,
            sum(case when subledger_amount > 0 then subledger_amount else 0 end) as debit_amount
        from {{ ref('stg_erp_fusion__import_reference') }}
        group by journal_header_id
    ) as referenced
    -- settlements between sites stand in the journal of the day's deliveries, and no subledger row is behind them
    left join (
        select batch_id, sum(abs(amount)) as amount
        from {{ ref('fct_transfer_movement') }}
        where movement = 'settlement' and source_system = 'erp_fusion'
        group by batch_id
    ) as settled
        on referenced.batch_id = settled.batch_id
),

referenced_receipts as (
    select
        cast(reference.journal_header_id as varchar) as batch_id,
        sum(case when reference.subledger_amount > 0 then reference.subledger_amount else 0 end) as referenced_amount,
        sum(case when reference.subledger_amount > 0 then abs(receipt.amount) else 0 end) as row_amount
    from {{ ref('stg_erp_fusion__import_reference') }} as reference
    left join {{ ref('fct_receipt_line') }} as receipt
        on receipt.source_system = 'erp_fusion'
        and reference.subledger_key = receipt.source_key
    where reference.subledger_table = 'RCV'
    group by reference.journal_header_id
),

broken_batches as (
    select
        subledger.source_system,
        subledger.batch_facility_id,
        subledger.batch_id
    from subledger_batches as subledger
    left join ledger_batches as ledger
        on subledger.source_system = ledger.source_system
        and subledger.batch_facility_id = ledger.batch_facility_id
        and subledger.batch_id = ledger.batch_id
        and ledger.is_posted
    where
        ledger.batch_id is null
        or (
            abs(subledger.debit_amount - ledger.debit_amount) > 0.01
            and abs(subledger.net_debit_amount - ledger.debit_amount) > 0.01
        )
    union
    select
        'erp_fusion' as source_system,
        '' as batch_facility_id,
        batch_id
    from referenced_receipts
    where abs(referenced_amount - row_amount) > 0.01
),

-- what the subledgers say moved, row by row
movements as (
    select
        'GRNI' as control_role,
        facility_id,
        source_system,
        batch_id,
        coalesce(posting_date, business_date) as movement_date,
        amount
    from {{ ref('fct_grni_movement') }}
    union all
    select
        'AP_CONTROL' as control_role,
        invoice.facility_id,
        invoice.source_system,
        case
            when invoice.source_system = 'erp_lawson' then 'AP-' || cast(invoice.posting_date as varchar)
            else voucher.batch_id
        end as batch_id,
        coalesce(invoice.posting_date, invoice.invoice_date) as movement_date,
        invoice.invoice_amount as amount
    from {{ ref('fct_invoice') }} as invoice
    left join (
        select
            distribution.invoice_id,
            cast(min(reference.journal_header_id) as varchar) as batch_id
        from {{ ref('stg_erp_fusion__invoice_distribution') }} as distribution
        inner join {{ ref('stg_erp_fusion__import_reference') }} as reference
            on reference.subledger_table = 'AP_DIST'
            and cast(distribution.distribution_id as varchar) = reference.subledger_key
        group by distribution.invoice_id
    ) as voucher
        on invoice.invoice_id = voucher.invoice_id
    where not invoice.is_cancelled
    union all
    select
        'AP_CONTROL' as control_role,
        payment.facility_id,
        payment.source_system,
        case
            when payment.source_system = 'erp_lawson' then 'AP-' || cast(payment.posting_date as varchar)
            else paid.batch_id
        end as batch_id,
        coalesce(payment.posting_date, payment.payment_date) as movement_date,
        -(payment.paid_amount + payment.discount_amount) as amount
    from {{ ref('fct_payment') }} as payment
    left join (
        select
            subledger_key,
            cast(min(journal_header_id) as varchar) as batch_id
        from {{ ref('stg_erp_fusion__import_reference') }}
        where subledger_table = 'AP_PAY'
        group by subledger_key
    ) as paid
        on payment.source_system = 'erp_fusion'
        and payment.source_key = paid.subledger_key
    union all
    select
        'RCV_CLEARING' as control_role,
        receipt.facility_id,
        receipt.source_system,
        cast(reference.batch_id as varchar) as batch_id,
        coalesce(receipt.posting_date, receipt.receipt_date) as movement_date,
        case
            when receipt.is_counted then receipt.amount
            else {{ supply_delivery_sign('txn.transaction_type', 'parent.transaction_type') }} * receipt.amount
        end as amount
    from {{ ref('fct_receipt_line') }} as receipt
    inner join {{ ref('stg_erp_fusion__receiving_transaction') }} as txn
        on receipt.source_system = 'erp_fusion'
        and receipt.source_key = cast(txn.transaction_id as varchar)
        and txn.transfer_order_line_id is null
        and not txn.is_consigned
    left join {{ ref('stg_erp_fusion__receiving_transaction') }} as parent
        on txn.parent_transaction_id = parent.transaction_id
    left join (
        select
            subledger_key,
            min(journal_header_id) as batch_id
        from {{ ref('stg_erp_fusion__import_reference') }}
        where subledger_table = 'RCV'
        group by subledger_key
    ) as reference
        on receipt.source_key = reference.subledger_key
    union all
    select
        control_role,
        facility_id,
        source_system,
        batch_id,
        business_date as movement_date,
        amount
    from {{ ref('fct_transfer_movement') }}
    union all
    select
        'PATIENT_REV' as control_role,
        facility_id,
        'hb' as source_system,
        'HB' as batch_id,
        post_date as movement_date,
        charge_amount as amount
    from {{ ref('fct_billing_total') }}
    union all
    select
        'PATIENT_AR' as control_role,
        facility_id,
        'hb' as source_system,
        'HB' as batch_id,
        post_date as movement_date,
        posted_amount as amount
    from {{ ref('fct_billing_total') }}
),

placed_movements as (
    select
        movements.control_role,
        movements.facility_id,
        movements.source_system,
        movements.batch_id,
        movements.amount,
        coalesce(ledger.fiscal_period, {{ calendar_month('movements.movement_date') }}) as fiscal_period,
        movements.source_system <> 'hb' and not coalesce(ledger.is_posted, false) as is_not_in_ledger,
        broken.batch_id is not null as is_broken_batch
    from movements
    left join ledger_batches as ledger
        on movements.source_system = ledger.source_system
        and movements.batch_id = ledger.batch_id
        and ledger.batch_facility_id = case when movements.source_system = 'erp_fusion' then '' else movements.facility_id end
    left join broken_batches as broken
        on movements.source_system = broken.source_system
        and movements.batch_id = broken.batch_id
        and broken.batch_facility_id = case when movements.source_system = 'erp_fusion' then '' else movements.facility_id end
    where movements.movement_date <= {{ as_of_date() }}
),

flows as (
    select
        control_role,
        facility_id,
        fiscal_period,
        amount as subledger_amount,
        cast(0 as decimal(18, 2)) as ledger_amount,
        case when is_not_in_ledger or is_broken_batch then amount else 0 end as explained_amount
    from placed_movements
    union all
    select
        lines.control_role,
        lines.facility_id,
        lines.fiscal_period,
        cast(0 as decimal(18, 2)) as subledger_amount,
        lines.amount as ledger_amount,
        case when lines.is_manual or lines.is_conversion or broken.batch_id is not null then -lines.amount else 0 end
            as explained_amount
    from ledger_lines as lines
    left join broken_batches as broken
        on lines.source_system = broken.source_system
        and lines.batch_id = broken.batch_id
        and broken.batch_facility_id = case when lines.source_system = 'erp_fusion' then '' else lines.facility_id end
    where
        lines.is_posted
        and lines.control_role in (
            'GRNI', 'AP_CONTROL', 'RCV_CLEARING', 'IN_TRANSIT', 'DUE_FROM', 'DUE_TO', 'PATIENT_REV', 'PATIENT_AR'
        )
),

-- what the ledgers opened with
opening_balances as (
    select
        account_role as control_role,
        facility_id,
        case when account_type in ('L', 'R') then -1 else 1 end * net_amount as ledger_amount
    from {{ ref('fct_opening_balance') }}
    where account_role in ('GRNI', 'AP_CONTROL', 'RCV_CLEARING', 'IN_TRANSIT', 'DUE_FROM', 'DUE_TO', 'PATIENT_AR')
),

monthly as (
    select
        control_role,
        facility_id,
        fiscal_period,
        sum(subledger_amount) as subledger_amount,
        sum(ledger_amount) as ledger_amount,
        sum(explained_amount) as explained_amount
    from flows
    group by control_role, facility_id, fiscal_period
),

first_months as (
    select
        control_role,
        facility_id,
        min(fiscal_period) as first_period
    from monthly
    group by control_role, facility_id
),

spine as (
    select
        first_months.control_role,
        first_months.facility_id,
        months.fiscal_period,
        months.start_date,
        months.end_date
    from first_months
    inner join months
        on first_months.first_period <= months.fiscal_period
),

flow_ties as (
    select
        spine.control_role,
        spine.facility_id,
        spine.fiscal_period,
        spine.end_date,
        sum(coalesce(monthly.subledger_amount, 0)) over running as subledger_amount,
        coalesce(opening_balances.ledger_amount, 0) + sum(coalesce(monthly.ledger_amount, 0)) over running as ledger_amount,
        coalesce(monthly.explained_amount, 0) as explained_amount,
        coalesce(monthly.subledger_amount, 0) - coalesce(monthly.ledger_amount, 0) - coalesce(monthly.explained_amount, 0)
            as unexplained_amount
    from spine
    left join monthly
        on spine.control_role = monthly.control_role
        and spine.facility_id = monthly.facility_id
        and spine.fiscal_period = monthly.fiscal_period
    left join opening_balances
        on spine.control_role = opening_balances.control_role
        and spine.facility_id = opening_balances.facility_id
    window running as (
        partition by spine.control_role, spine.facility_id
        order by spine.fiscal_period
        rows between unbounded preceding and current row
    )
),

proofs as (
    select
        control_role,
        facility_id,
        fiscal_period,
        {{ evidence_items('entry') }} as evidence,
        max(row_count) as row_count
    from (
        select
            lines.control_role,
            lines.facility_id,
            lines.fiscal_period,
            {{ evidence_entry(
                'lines.source_system', 'lines.source_extract', 'lines.source_key', 'lines.source_file', 'lines.source_line'
            ) }} as entry,
            count(*) over (partition by lines.control_role, lines.facility_id, lines.fiscal_period) as row_count
        from ledger_lines as lines
        inner join flow_ties
            on lines.control_role = flow_ties.control_role
            and lines.facility_id = flow_ties.facility_id
            and lines.fiscal_period = flow_ties.fiscal_period
            and flow_ties.unexplained_amount <> 0
        qualify
            row_number() over (
                partition by lines.control_role, lines.facility_id, lines.fiscal_period
                order by abs(lines.amount) desc, lines.source_key
            ) <= 50
    ) as largest
    group by control_role, facility_id, fiscal_period
),

ties as (
    select
        control_role,
        facility_id,
        fiscal_period,
        end_date,
        subledger_amount,
        ledger_amount,
        explained_amount,
        unexplained_amount
    from flow_ties
    union all
    select
        'INV_ASSET' as control_role,
        facility_id,
        fiscal_period,
        end_date,
        subledger_amount,
        ledger_amount,
        explained_amount,
        unexplained_amount
    from {{ ref('rec_inventory_value') }}
)

select
    {{ surrogate_key(['ties.facility_id', 'ties.control_role', 'ties.fiscal_period']) }} as tie_out_key,
    'facility=' || ties.facility_id || '|period=' || ties.fiscal_period as entity_key,
    ties.facility_id,
    least(ties.end_date, {{ as_of_date() }}) as business_date,
    least(ties.end_date, {{ as_of_date() }}) as anchor_date,
    ties.control_role,
    ties.fiscal_period,
    cast(ties.subledger_amount as decimal(18, 2)) as subledger_amount,
    cast(ties.ledger_amount as decimal(18, 2)) as ledger_amount,
    cast(ties.subledger_amount - ties.ledger_amount - ties.explained_amount - ties.unexplained_amount as decimal(18, 2))
        as carried_difference_amount,
    cast(ties.explained_amount as decimal(18, 2)) as explained_amount,
    cast(ties.unexplained_amount as decimal(18, 2)) as unexplained_amount,
    cast(abs(ties.unexplained_amount) as decimal(18, 2)) as impact_amount,
    coalesce(proofs.row_count, 0) as ledger_row_count,
    cast(null as varchar) as out_of_scope_reason,
    '[' || coalesce(proofs.evidence, '') || ']' as evidence
from ties
left join proofs
    on ties.control_role = proofs.control_role
    and ties.facility_id = proofs.facility_id
    and ties.fiscal_period = proofs.fiscal_period
