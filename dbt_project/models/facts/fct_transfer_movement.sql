-- One row for each effect that a transfer from the distribution centre has on goods in transit and on the debt between sites.
-- Grain: control_role, movement, source row. Key: transfer_movement_key. amount is additive by role: in transit and claims are
-- positive, debts positive as liabilities. Distribution: facility_id.
-- Shipments, receipts and losses are valued at the cost shipped (E15, E16, E16a); both halves of a receipt have the same amount. A
-- settlement is the cash that its journals moved (E21): there is no other record of it. What is short five days after shipping is lost.
-- The centre's side goes by the quantity that the transfer order holds as received: legacy hospitals show their rows a night later.
-- batch_id is the ledger batch of the side judged: legacy system and posting date, cloud the journal that refers to the row. The two
-- halves of a delivery at the end of a month may stand in two periods (Q122). Null: in no ledger yet.
with line_units as (
    select
        line.*,
        source.facility_id as source_facility_id,
        {{ supply_cloud_unit_factor('line.uom', "'EA'", 'own_unit', 'standard_unit') }} as unit_factor
    from {{ ref('stg_erp_fusion__transfer_order_line') }} as line
    inner join {{ ref('bridge_facility_code') }} as source
        on source.source_system = 'erp_fusion'
        and source.id_type = 'INVORG'
        and source.source_id = cast(line.source_organization_id as varchar)
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as own_unit
        on line.inventory_item_id = own_unit.inventory_item_id
        and line.uom = own_unit.uom
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as standard_unit
        on standard_unit.inventory_item_id = 0
        and line.uom = standard_unit.uom
),

transfer_lines as (
    select
        *,
        cast({{ exact_product(['shipped_quantity', 'unit_factor']) }} as decimal(18, 4)) as shipped_each,
        {{ money_product(['shipped_quantity', 'shipped_unit_cost'], rounding='half_up') }} as shipped_amount,
        cast({{ exact_product(['coalesce(received_quantity, 0)', 'unit_factor']) }} as decimal(18, 4)) as received_each,
        {{ money_product(['coalesce(received_quantity, 0)', 'shipped_unit_cost'], rounding='half_up') }} as received_amount,
        cast({{ divide_decimal('shipped_unit_cost', 'unit_factor', 8) }} as decimal(18, 8)) as cost_each
    from line_units
),

cloud_receipts as (
    select
        line.transfer_order_line_id,
        line.source_facility_id,
        facility.facility_id,
        'erp_fusion' as source_system,
        txn.business_date,
        txn.primary_quantity as quantity_each,
        {{ money_product(['txn.primary_quantity', 'line.cost_each'], rounding='half_up') }} as amount,
        cast(null as varchar) as legacy_batch_id,
        'RCV_TRANSACTIONS' as source_extract,
        cast(txn.transaction_id as varchar) as source_key,
        txn.source_file,
        txn.source_line
    from {{ ref('stg_erp_fusion__receiving_transaction') }} as txn
    inner join transfer_lines as line
        on txn.transfer_order_line_id = line.transfer_order_line_id
    left join {{ ref('stg_erp_fusion__receiving_transaction') }} as parent
        on txn.parent_transaction_id = parent.transaction_id
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_fusion'
        and facility.id_type = 'INVORG'
        and facility.source_id = cast(txn.organization_id as varchar)
        and {{ in_force('txn.business_date', 'facility.valid_from', 'facility.valid_to') }}
    where
        txn.transaction_type = 'RECEIVE'
        or (txn.transaction_type = 'CORRECT' and parent.transaction_type = 'RECEIVE')
),

legacy_receipts as (
    select
        line.transfer_order_line_id,
        coalesce(line.source_facility_id, 'CDC') as source_facility_id,
        facility.facility_id,
        'erp_lawson' as source_system,
        movement.business_date,
        cast({{ exact_product(['movement.quantity', 'movement.unit_factor']) }} as decimal(18, 4)) as quantity_each,
        movement.row_amount as amount,
        'IC-' || cast(movement.posting_date as varchar) as legacy_batch_id,
        'ICTRANS' as source_extract,
        concat_ws(
            '-',
            movement.company,
            movement.location_code,
            movement.system_code,
            movement.document_type,
            movement.document_number,
            movement.shipment_number,
            movement.line_number
        ) as source_key,
        movement.source_file,
        movement.source_line
    from {{ ref('stg_erp_lawson__inventory_transaction') }} as movement
    left join transfer_lines as line
        on movement.document_number = {{ stripped_number("replace(line.transfer_order_number, 'TO', '')") }}
        and movement.line_number = line.line_number
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_lawson'
        and facility.id_type = 'COMPANY'
        and facility.source_id = cast(movement.company as varchar)
        and {{ in_force('movement.business_date', 'facility.valid_from', 'facility.valid_to') }}
    where
        movement.system_code = 'WH'
        and movement.document_type = 'TR'
        and movement.is_posted
),

receipts as (
    select * from cloud_receipts
    union all
    select * from legacy_receipts
),

received as (
    select
        transfer_order_line_id,
        sum(quantity_each) as quantity_each,
        sum(amount) as amount
    from receipts
    where transfer_order_line_id is not null
    group by transfer_order_line_id
),

shipments as (
    select
        line.transfer_order_line_id,
        line.transfer_order_number || '-' || cast(line.line_number as varchar) as line_key,
        line.source_facility_id,
        line.ship_date,
        line.line_status,
        line.shipped_each,
        line.shipped_amount,
        line.received_each,
        line.shipped_amount - line.received_amount as short_amount,
        line.last_receipt_date,
        line.received_each - coalesce(received.quantity_each, 0) as unseen_each,
        line.received_amount - coalesce(received.amount, 0) as unseen_amount,
        movement.transaction_id,
        line.source_file,
        line.source_line
    from transfer_lines as line
    left join received
        on line.transfer_order_line_id = received.transfer_order_line_id
    left join (
        select
            transaction_source_name,
            organization_id,
            inventory_item_id,
            business_date,
            min(transaction_id) as transaction_id
        from {{ ref('stg_erp_fusion__inventory_transaction') }}
        where primary_quantity < 0
        group by transaction_source_name, organization_id, inventory_item_id, business_date
    ) as movement
        on line.transfer_order_number = movement.transaction_source_name
        and line.source_organization_id = movement.organization_id
        and line.inventory_item_id = movement.inventory_item_id
        and line.ship_date = movement.business_date
    where
        line.shipped_quantity > 0
        and line.ship_date is not null
),

-- the names by which a ledger may refer to a row: its transfer order line, its own number, that of the step or movement behind it
row_names as (
    select
        'shipment' as movement,
        'TRANSFER_ORDER_LINES' as source_extract,
        line_key as source_key,
        'INV' as subledger_table,
        cast(transaction_id as varchar) as subledger_key
    from shipments
    where transaction_id is not null
    union all
    select
        'receipt' as movement,
        source_extract,
        source_key,
        'RCV' as subledger_table,
        source_key as subledger_key
    from cloud_receipts
    union all
    select
        'receipt' as movement,
        cloud_receipts.source_extract,
        cloud_receipts.source_key,
        'RCV' as subledger_table,
        cast(step.transaction_id as varchar) as subledger_key
    from cloud_receipts
    inner join {{ ref('stg_erp_fusion__receiving_transaction') }} as step
        on cloud_receipts.source_key = cast(step.parent_transaction_id as varchar)
        and step.transaction_type = 'DELIVER'
    union all
    select
        'receipt' as movement,
        cloud_receipts.source_extract,
        cloud_receipts.source_key,
        'INV' as subledger_table,
        cast(movement.transaction_id as varchar) as subledger_key
    from cloud_receipts
    inner join {{ ref('stg_erp_fusion__receiving_transaction') }} as step
        on cloud_receipts.source_key in (cast(step.transaction_id as varchar), cast(step.parent_transaction_id as varchar))
    inner join {{ ref('stg_erp_fusion__inventory_transaction') }} as movement
        on step.transaction_id = movement.receiving_transaction_id
),

-- the journals of each site that refer to a subledger row
journals as (
    select
        line.facility_id,
        line.journal_source,
        reference.subledger_table,
        reference.subledger_key,
        line.journal_id,
        min(line.posting_date) as posting_date
    from (
        select distinct journal_header_id, subledger_table, subledger_key
        from {{ ref('stg_erp_fusion__import_reference') }}
        where subledger_table in ('TO', 'INV', 'RCV')
    ) as reference
    inner join {{ ref('fct_gl_journal_line') }} as line
        on line.source_system = 'erp_fusion'
        and cast(reference.journal_header_id as varchar) = line.journal_id
    where line.account_role in ('IN_TRANSIT', 'DUE_FROM', 'DUE_TO')
    group by line.facility_id, line.journal_source, reference.subledger_table, reference.subledger_key, line.journal_id
),

journals_of_day as (
    select facility_id, journal_source, posting_date, min(journal_id) as journal_id
    from {{ ref('fct_gl_journal_line') }}
    where
        source_system = 'erp_fusion'
        and is_posted
        and account_role in ('IN_TRANSIT', 'DUE_FROM', 'DUE_TO')
    group by facility_id, journal_source, posting_date
),

effects as (
    select
        'IN_TRANSIT' as control_role,
        'shipment' as movement,
        source_facility_id as facility_id,
        'erp_fusion' as source_system,
        transfer_order_line_id,
        ship_date as business_date,
        shipped_each as quantity_each,
        shipped_amount as amount,
        'Cost Accounting' as journal_source,
        cast(null as varchar) as known_batch_id,
        'TRANSFER_ORDER_LINES' as source_extract,
        line_key as source_key,
        source_file,
        source_line
    from shipments
    union all
    select
        'IN_TRANSIT' as control_role,
        'loss' as movement,
        source_facility_id as facility_id,
        'erp_fusion' as source_system,
        transfer_order_line_id,
        {{ add_days('ship_date', 5) }} as business_date,
        received_each - shipped_each as quantity_each,
        -short_amount as amount,
        'Cost Accounting' as journal_source,
        cast(null as varchar) as known_batch_id,
        'TRANSFER_ORDER_LINES' as source_extract,
        line_key as source_key,
        source_file,
        source_line
    from shipments
    where
        short_amount <> 0
        and (line_status = 'CLOSED' or {{ add_days('ship_date', 5) }} < {{ as_of_date() }})
    union all
    select
        roles.control_role,
        'receipt' as movement,
        shipments.source_facility_id as facility_id,
        'erp_fusion' as source_system,
        shipments.transfer_order_line_id,
        shipments.last_receipt_date as business_date,
        roles.direction * shipments.unseen_each as quantity_each,
        roles.direction * shipments.unseen_amount as amount,
        'Intercompany' as journal_source,
        cast(null as varchar) as known_batch_id,
        'TRANSFER_ORDER_LINES' as source_extract,
        shipments.line_key as source_key,
        shipments.source_file,
        shipments.source_line
    from shipments
    cross join (
        select 'DUE_FROM' as control_role, 1 as direction
        union all
        select 'IN_TRANSIT' as control_role, -1 as direction
    ) as roles
    where shipments.unseen_amount <> 0
    union all
    select
        roles.control_role,
        'receipt' as movement,
        case when roles.control_role = 'DUE_TO' then receipts.facility_id else receipts.source_facility_id end as facility_id,
        case when roles.control_role = 'DUE_TO' then receipts.source_system else 'erp_fusion' end as source_system,
        receipts.transfer_order_line_id,
        receipts.business_date,
        roles.direction * receipts.quantity_each as quantity_each,
        roles.direction * receipts.amount as amount,
        'Intercompany' as journal_source,
        case when roles.control_role = 'DUE_TO' then receipts.legacy_batch_id end as known_batch_id,
        receipts.source_extract,
        receipts.source_key,
        receipts.source_file,
        receipts.source_line
    from receipts
    cross join (
        select 'DUE_TO' as control_role, 1 as direction
        union all
        select 'DUE_FROM' as control_role, 1 as direction
        union all
        select 'IN_TRANSIT' as control_role, -1 as direction
    ) as roles
    union all
    select
        case when facility.facility_type = 'HOSPITAL' then 'DUE_TO' else 'DUE_FROM' end as control_role,
        'settlement' as movement,
        line.facility_id,
        line.source_system,
        cast(null as bigint) as transfer_order_line_id,
        line.posting_date as business_date,
        cast(0 as decimal(18, 4)) as quantity_each,
        case when facility.facility_type = 'HOSPITAL' then line.net_amount else -line.net_amount end as amount,
        line.journal_source,
        case
            when line.source_system = 'erp_fusion' then line.journal_id
            else line.journal_source || '-' || cast(line.posting_date as varchar)
        end as known_batch_id,
        line.source_extract,
        line.source_key,
        line.source_file,
        line.source_line
    from {{ ref('fct_gl_journal_line') }} as line
    inner join {{ ref('dim_facility') }} as facility
        on line.facility_id = facility.facility_id
    where
        line.account_role = 'CASH'
        and line.is_posted
        and (
            (line.source_system = 'erp_fusion' and line.journal_source = 'Intercompany')
            or (line.source_system = 'erp_lawson' and line.journal_source = 'GL' and line.journal_category = 'IC')
        )
),

referred as (
    select
        effects.control_role,
        effects.movement,
        effects.source_extract,
        effects.source_key,
        'TO' as subledger_table,
        cast(effects.transfer_order_line_id as varchar) as subledger_key
    from effects
    where effects.known_batch_id is null and effects.transfer_order_line_id is not null
    union all
    select
        effects.control_role,
        effects.movement,
        effects.source_extract,
        effects.source_key,
        row_names.subledger_table,
        row_names.subledger_key
    from effects
    inner join row_names
        on effects.movement = row_names.movement
        and effects.source_extract = row_names.source_extract
        and effects.source_key = row_names.source_key
    where effects.known_batch_id is null
),

-- of several journals that name a row by its line the first on or after the event has it; where the journals of a site and source
-- name no rows of transfers at all, that of the day does
placed as (
    select
        effects.*,
        coalesce(
            effects.known_batch_id,
            journals.journal_id,
            case when named.facility_id is null then journals_of_day.journal_id end
        ) as batch_id,
        journals.posting_date
    from effects
    left join referred
        on effects.control_role = referred.control_role
        and effects.movement = referred.movement
        and effects.source_extract = referred.source_extract
        and effects.source_key = referred.source_key
    left join journals
        on effects.facility_id = journals.facility_id
        and effects.journal_source = journals.journal_source
        and referred.subledger_table = journals.subledger_table
        and referred.subledger_key = journals.subledger_key
    left join (select distinct facility_id, journal_source from journals) as named
        on effects.facility_id = named.facility_id
        and effects.journal_source = named.journal_source
    left join journals_of_day
        on effects.facility_id = journals_of_day.facility_id
        and effects.journal_source = journals_of_day.journal_source
        and effects.business_date = journals_of_day.posting_date
    qualify
        row_number() over (
            partition by effects.control_role, effects.movement, effects.source_extract, effects.source_key
            order by
                case when journals.posting_date >= effects.business_date then 0 else 1 end,
                journals.posting_date nulls last,
                journals.journal_id nulls last
        ) = 1
)

select
    {{ surrogate_key(['control_role', 'movement', 'source_extract', 'source_key']) }} as transfer_movement_key,
    control_role,
    movement,
    coalesce(facility_id, 'SYS') as facility_id,
    source_system,
    transfer_order_line_id,
    business_date,
    posting_date,
    batch_id,
    cast(quantity_each as decimal(18, 4)) as quantity_each,
    cast(coalesce(amount, 0) as decimal(18, 2)) as amount,
    source_extract,
    source_key,
    source_file,
    source_line
from placed
