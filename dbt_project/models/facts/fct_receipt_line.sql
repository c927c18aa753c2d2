-- One row for each receiving transaction of both ERPs, signed: receipts and corrections as booked, returns negative.
-- Grain: source_system, source_key. Key: receipt_line_key. quantity_each and amount are additive over rows with is_counted.
-- is_counted is false on unreleased legacy receipts (Q92), receipts of transfer orders (they never touch GRNI) and cloud steps
-- inside receiving (DELIVER, ACCEPT and their corrections). amount is quantity x PO price in force at the receipt, half up.
-- posting_date is the day on which the ledger took the row: legacy UPDATE_DATE, cloud that of the journal that refers to it.
-- Distribution: facility_id, po_line_key.
with legacy_rows as (
    select
        line.company,
        line.receipt_number,
        line.receipt_line_number,
        line.document_type,
        line.po_number,
        line.po_line_number,
        line.receipt_date,
        line.posting_date,
        line.quantity,
        line.uom,
        line.unit_factor,
        line.unit_cost_each,
        line.lot_number,
        line.original_receipt_number,
        line.source_file,
        line.source_line,
        coalesce(header.is_released, true) as is_released,
        coalesce(header.is_automatic, false) as is_automatic,
        order_line.po_line_key,
        order_line.facility_id,
        order_line.is_consigned
    from {{ ref('stg_erp_lawson__receipt_line') }} as line
    left join {{ ref('stg_erp_lawson__receipt') }} as header
        on line.company = header.company
        and line.receipt_number = header.receipt_number
    left join {{ ref('fct_po_line') }} as order_line
        on order_line.source_system = 'erp_lawson'
        and line.po_number = order_line.po_number
        and line.po_line_number = order_line.line_number
),

legacy as (
    select
        legacy_rows.*,
        price.unit_price,
        price.unit_factor as price_factor
    from legacy_rows
    left join {{ ref('fct_po_line_price') }} as price
        on legacy_rows.po_line_key = price.po_line_key
    qualify
        row_number() over (
            partition by legacy_rows.company, legacy_rows.receipt_number, legacy_rows.receipt_line_number
            order by
                case when round(price.price_each, 5) = legacy_rows.unit_cost_each then 0 else 1 end,
                case when price.valid_from <= legacy_rows.receipt_date then 0 else 1 end,
                case when price.valid_from <= legacy_rows.receipt_date then price.price_version end desc,
                price.price_version
        ) = 1
),

posted as (
    select
        reference.subledger_key,
        min(header.posting_date) as posting_date
    from {{ ref('stg_erp_fusion__import_reference') }} as reference
    inner join {{ ref('stg_erp_fusion__journal_header') }} as header
        on reference.journal_header_id = header.journal_header_id
    where reference.subledger_table = 'RCV'
    group by reference.subledger_key
),

cloud_rows as (
    select
        txn.transaction_id,
        coalesce(txn.root_transaction_id, parent.root_transaction_id, txn.parent_transaction_id, txn.transaction_id)
            as root_transaction_id,
        txn.transaction_type,
        parent.transaction_type as parent_type,
        txn.receipt_number,
        txn.receipt_line_number,
        txn.transaction_at,
        txn.business_date,
        txn.quantity,
        txn.uom,
        txn.primary_quantity,
        txn.is_consigned,
        txn.transfer_order_line_id,
        txn.source_file,
        txn.source_line,
        order_line.po_line_key,
        order_line.match_basis,
        order_line.po_type,
        coalesce(order_line.facility_id, facility.facility_id) as facility_id,
        coalesce(
            txn.primary_quantity,
            cast(
                {{ exact_product(['txn.quantity', supply_cloud_unit_factor('txn.uom', 'txn.primary_uom', 'own_unit', 'standard_unit')]) }}
                as decimal(18, 4)
            )
        ) as base_quantity
    from {{ ref('stg_erp_fusion__receiving_transaction') }} as txn
    left join {{ ref('stg_erp_fusion__receiving_transaction') }} as parent
        on txn.parent_transaction_id = parent.transaction_id
    left join {{ ref('stg_erp_fusion__po_schedule') }} as schedule
        on txn.line_location_id = schedule.line_location_id
    left join {{ ref('fct_po_line') }} as order_line
        on order_line.source_system = 'erp_fusion'
        and schedule.po_line_id = order_line.po_line_id
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_fusion'
        and facility.id_type = 'INVORG'
        and facility.source_id = cast(txn.organization_id as varchar)
        and {{ in_force('txn.business_date', 'facility.valid_from', 'facility.valid_to') }}
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as own_unit
        on txn.inventory_item_id = own_unit.inventory_item_id
        and txn.uom = own_unit.uom
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as standard_unit
        on standard_unit.inventory_item_id = 0
        and txn.uom = standard_unit.uom
),

cloud as (
    select
        cloud_rows.*,
        case
            when cloud_rows.transaction_type = 'RECEIVE' then 1
            when cloud_rows.transaction_type = 'RETURN TO VENDOR' then -1
            when cloud_rows.transaction_type = 'CORRECT' and cloud_rows.parent_type = 'RETURN TO VENDOR' then -1
            when cloud_rows.transaction_type = 'CORRECT' and coalesce(cloud_rows.parent_type, 'RECEIVE') in ('RECEIVE', 'CORRECT') then 1
            else 0
        end as direction,
        price.unit_price,
        price.unit_factor as price_factor,
        posted.posting_date
    from cloud_rows
    left join {{ ref('fct_po_line_price') }} as price
        on cloud_rows.po_line_key = price.po_line_key
    left join posted
        on cast(cloud_rows.transaction_id as varchar) = posted.subledger_key
    qualify
        row_number() over (
            partition by cloud_rows.transaction_id
            order by
                case when price.valid_from_at <= cloud_rows.transaction_at then 0 else 1 end,
                case when price.valid_from_at <= cloud_rows.transaction_at then price.price_version end desc,
                price.price_version
        ) = 1
),

receipts as (
    select
        'erp_lawson' as source_system,
        legacy.po_line_key,
        coalesce(legacy.facility_id, facility.facility_id) as facility_id,
        case legacy.document_type when 'PO' then 'receive' when 'RA' then 'correct' else 'return' end as transaction_type,
        cast(legacy.receipt_number as varchar) as receipt_number,
        cast(legacy.company as varchar) || '-' || cast(coalesce(legacy.original_receipt_number, legacy.receipt_number) as varchar)
            as root_receipt,
        legacy.receipt_date,
        legacy.posting_date,
        legacy.quantity as source_quantity,
        legacy.uom as source_uom,
        cast({{ exact_product(['legacy.quantity', 'legacy.unit_factor']) }} as decimal(18, 4)) as quantity_each,
        case
            when legacy.po_line_key is null
                then cast({{ divide_decimal('legacy.unit_cost_each', '1', 8) }} as decimal(18, 8))
            else cast({{ divide_decimal('legacy.unit_price', 'legacy.price_factor', 8) }} as decimal(18, 8))
        end as price_each,
        case
            when legacy.po_line_key is null
                then {{ money_product(['legacy.quantity', 'legacy.unit_factor', 'legacy.unit_cost_each'], rounding='half_up') }}
            else {{ round_money(divide_decimal(
                exact_product(['legacy.quantity', 'legacy.unit_factor', 'legacy.unit_price']), 'legacy.price_factor', 8
            )) }}
        end as amount,
        coalesce(legacy.is_consigned, false) as is_consigned,
        legacy.is_automatic,
        case when not legacy.is_released then 'receipt not released' end as not_counted_reason,
        legacy.lot_number,
        'PORECLINE' as source_extract,
        concat_ws('-', legacy.company, legacy.receipt_number, legacy.receipt_line_number) as source_key,
        legacy.source_file,
        legacy.source_line
    from legacy
    left join {{ ref('bridge_facility_code') }} as facility
        on facility.source_system = 'erp_lawson'
        and facility.id_type = 'COMPANY'
        and facility.source_id = cast(legacy.company as varchar)
        and {{ in_force('legacy.receipt_date', 'facility.valid_from', 'facility.valid_to') }}
    union all
    select
        'erp_fusion' as source_system,
        po_line_key,
        facility_id,
        case
            when direction = 0 then 'inside receiving'
            when transaction_type = 'RECEIVE' then 'receive'
            when transaction_type = 'CORRECT' and direction = 1 then 'correct'
            else 'return'
        end as transaction_type,
        receipt_number,
        cast(root_transaction_id as varchar) as root_receipt,
        business_date as receipt_date,
        posting_date,
        quantity as source_quantity,
        uom as source_uom,
        cast(base_quantity * case when direction = 0 then 1 else direction end as decimal(18, 4)) as quantity_each,
        cast({{ divide_decimal('unit_price', 'price_factor', 8) }} as decimal(18, 8)) as price_each,
        case when direction = 0 then 1 else direction end
        * {{ round_money(divide_decimal(exact_product(['base_quantity', 'unit_price']), 'price_factor', 8)) }} as amount,
        is_consigned,
        coalesce(po_type in ('bill_only', 'bill_and_replace'), false) as is_automatic,
        case
            when transfer_order_line_id is not null then 'receipt of a transfer order'
            when direction = 0 then 'step inside receiving'
        end as not_counted_reason,
        cast(null as varchar) as lot_number,
        'RCV_TRANSACTIONS' as source_extract,
        cast(transaction_id as varchar) as source_key,
        source_file,
        source_line
    from cloud
)

select
    {{ surrogate_key(['source_system', 'source_key']) }} as receipt_line_key,
    po_line_key,
    coalesce(facility_id, 'SYS') as facility_id,
    source_system,
    transaction_type,
    receipt_number,
    root_receipt,
    receipt_date,
    posting_date,
    source_quantity,
    source_uom,
    quantity_each,
    price_each,
    cast(amount as decimal(18, 2)) as amount,
    is_consigned,
    is_automatic,
    not_counted_reason is null as is_counted,
    not_counted_reason,
    lot_number,
    source_extract,
    source_key,
    source_file,
    source_line
from receipts
