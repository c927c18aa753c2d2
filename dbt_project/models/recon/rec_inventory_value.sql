-- One row for each facility and month: the value of record of owned stock beside the inventory account.
-- Grain and key: facility_id, fiscal_period. Balances are not additive; explained and unexplained are what arose in the month.
-- Explained: manual and conversion journals, and rows whose ledger batch is missing or not posted.
-- The value is that of the last snapshot at or before the morning after the month's end (a nightly folder tells the day
-- before); in the open month the ledger is read to the same day. Distribution: facility_id.
with months as (
    select
        fiscal_period,
        min(start_date) as start_date,
        max(end_date) as end_date
    from {{ ref('dim_fiscal_period') }}
    where not is_adjustment and start_date <= {{ as_of_date() }}
    group by fiscal_period
),

states as (
    select
        'erp_lawson' as source_system,
        facility.facility_id,
        cost.location_code || '/' || cost.item_no as place,
        cost.stock_value,
        cost.valid_from,
        cost.valid_to
    from {{ ref('stg_erp_lawson__item_cost') }} as cost
    inner join {{ ref('stg_erp_lawson__location') }} as location
        on cost.company = location.company
        and cost.location_code = location.location_code
        and location.is_asset
    inner join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_lawson'
        and facility.id_type = 'COMPANY'
        and facility.source_id = cast(cost.company as varchar)
    union all
    select
        'erp_fusion' as source_system,
        facility.facility_id,
        cast(cost.organization_id as varchar) || '/' || cast(cost.inventory_item_id as varchar) as place,
        cost.stock_value,
        cost.valid_from,
        cost.valid_to
    from {{ ref('stg_erp_fusion__item_valuation') }} as cost
    inner join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_fusion'
        and facility.id_type = 'INVORG'
        and facility.source_id = cast(cost.organization_id as varchar)
),

snapshot_days as (
    select
        source_system,
        facility_id,
        min(valid_from) as first_folder_date,
        max(valid_from) as last_folder_date
    from states
    group by source_system, facility_id
),

cut_offs as (
    select
        snapshot_days.source_system,
        snapshot_days.facility_id,
        snapshot_days.first_folder_date,
        months.fiscal_period,
        months.end_date,
        least({{ add_days('months.end_date', 1) }}, {{ as_of_date() }}) as folder_date,
        least(months.end_date, {{ add_days(as_of_date(), -1) }}) as ledger_date
    from snapshot_days
    inner join months
        on {{ add_days('months.end_date', 1) }} >= snapshot_days.first_folder_date
),

valued as (
    select
        cut_offs.facility_id,
        cut_offs.fiscal_period,
        sum(states.stock_value) as stock_value
    from cut_offs
    inner join states
        on cut_offs.source_system = states.source_system
        and cut_offs.facility_id = states.facility_id
        and states.valid_from <= cut_offs.folder_date
        and (states.valid_to is null or cut_offs.folder_date < states.valid_to)
    group by cut_offs.facility_id, cut_offs.fiscal_period
),

ledger as (
    select
        cut_offs.facility_id,
        cut_offs.fiscal_period,
        sum(line.net_amount) as net_amount,
        sum(case when line.is_manual or line.journal_source in ('CV', 'Conversion') then line.net_amount else 0 end) as explained_amount
    from (select distinct facility_id, fiscal_period, ledger_date from cut_offs) as cut_offs
    inner join {{ ref('fct_gl_journal_line') }} as line
        on cut_offs.facility_id = line.facility_id
        and line.account_role = 'INV_ASSET'
        and line.is_posted
        and (
            line.fiscal_period < cut_offs.fiscal_period
            or (line.fiscal_period = cut_offs.fiscal_period and line.posting_date <= cut_offs.ledger_date)
        )
    group by cut_offs.facility_id, cut_offs.fiscal_period
),

-- rows of the subledgers that belong to the account, with the ledger batch that should hold them
inventory_rows as (
    select
        receipt.facility_id,
        receipt.posting_date,
        'PO-' || cast(receipt.posting_date as varchar) as batch_id,
        receipt.source_system,
        receipt.amount
    from {{ ref('fct_receipt_line') }} as receipt
    inner join {{ ref('fct_po_line') }} as order_line
        on receipt.po_line_key = order_line.po_line_key
        and order_line.is_stock_line
    where receipt.source_system = 'erp_lawson' and receipt.is_counted and receipt.posting_date is not null
    union all
    select
        facility.facility_id,
        movement.posting_date,
        'IC-' || cast(movement.posting_date as varchar) as batch_id,
        'erp_lawson' as source_system,
        movement.row_amount as amount
    from {{ ref('stg_erp_lawson__inventory_transaction') }} as movement
    inner join {{ ref('stg_erp_lawson__location') }} as location
        on movement.company = location.company
        and movement.location_code = location.location_code
        and location.is_asset
    inner join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_lawson'
        and facility.id_type = 'COMPANY'
        and facility.source_id = cast(movement.company as varchar)
    where
        movement.is_posted
        and movement.posting_date is not null
        and movement.system_code <> 'PO'
        and not (movement.document_type = 'TR' and movement.system_code <> 'WH')
        and coalesce(movement.reason_code, '') <> 'CNV'
    union all
    select
        receipt.facility_id,
        coalesce(receipt.posting_date, receipt.receipt_date) as posting_date,
        cast(reference.journal_header_id as varchar) as batch_id,
        receipt.source_system,
        -{{ supply_delivery_sign('txn.transaction_type', 'parent.transaction_type') }} * receipt.amount as amount
    from {{ ref('fct_receipt_line') }} as receipt
    inner join {{ ref('stg_erp_fusion__receiving_transaction') }} as txn
        on receipt.source_system = 'erp_fusion'
        and receipt.source_key = cast(txn.transaction_id as varchar)
        and txn.destination_type = 'INVENTORY'
        and txn.transfer_order_line_id is null
        and not txn.is_consigned
    left join {{ ref('stg_erp_fusion__receiving_transaction') }} as parent
        on txn.parent_transaction_id = parent.transaction_id
    left join (
        select subledger_key, min(journal_header_id) as journal_header_id
        from {{ ref('stg_erp_fusion__import_reference') }}
        where subledger_table = 'RCV'
        group by subledger_key
    ) as reference
        on receipt.source_key = reference.subledger_key
),

posted_batches as (
    select distinct
        source_system,
        case when source_system = 'erp_fusion' then '' else facility_id end as batch_facility_id,
        case
            when source_system = 'erp_fusion' then journal_id
            else journal_source || '-' || cast(posting_date as varchar)
        end as batch_id
    from {{ ref('fct_gl_journal_line') }}
    where is_posted
),

missing as (
    select
        cut_offs.facility_id,
        cut_offs.fiscal_period,
        sum(inventory_rows.amount) as amount
    from (select distinct facility_id, fiscal_period, ledger_date from cut_offs) as cut_offs
    inner join inventory_rows
        on cut_offs.facility_id = inventory_rows.facility_id
        and inventory_rows.posting_date <= cut_offs.ledger_date
    left join posted_batches
        on inventory_rows.source_system = posted_batches.source_system
        and inventory_rows.batch_id = posted_batches.batch_id
        and posted_batches.batch_facility_id
        = case when inventory_rows.source_system = 'erp_fusion' then '' else inventory_rows.facility_id end
    where posted_batches.batch_id is null
    group by cut_offs.facility_id, cut_offs.fiscal_period
),

balances as (
    select
        valued.facility_id,
        valued.fiscal_period,
        months.end_date,
        valued.stock_value as subledger_amount,
        coalesce(openings.net_amount, 0) + coalesce(ledger.net_amount, 0) as ledger_amount,
        coalesce(missing.amount, 0) - coalesce(ledger.explained_amount, 0) as explained_to_date
    from valued
    inner join months
        on valued.fiscal_period = months.fiscal_period
    left join {{ ref('fct_opening_balance') }} as openings
        on valued.facility_id = openings.facility_id
        and openings.account_role = 'INV_ASSET'
    left join ledger
        on valued.facility_id = ledger.facility_id
        and valued.fiscal_period = ledger.fiscal_period
    left join missing
        on valued.facility_id = missing.facility_id
        and valued.fiscal_period = missing.fiscal_period
),

arisen as (
    select
        *,
        subledger_amount - ledger_amount as difference_amount,
        lag(subledger_amount - ledger_amount) over (partition by facility_id order by fiscal_period) as previous_difference_amount,
        lag(explained_to_date) over (partition by facility_id order by fiscal_period) as previous_explained
    from balances
)

select
    {{ surrogate_key(['facility_id', 'fiscal_period']) }} as inventory_value_key,
    facility_id,
    fiscal_period,
    end_date,
    cast(subledger_amount as decimal(18, 2)) as subledger_amount,
    cast(ledger_amount as decimal(18, 2)) as ledger_amount,
    cast(explained_to_date - coalesce(previous_explained, 0) as decimal(18, 2)) as explained_amount,
    cast(
        difference_amount - coalesce(previous_difference_amount, 0) - (explained_to_date - coalesce(previous_explained, 0))
        as decimal(18, 2)
    ) as unexplained_amount
from arisen
