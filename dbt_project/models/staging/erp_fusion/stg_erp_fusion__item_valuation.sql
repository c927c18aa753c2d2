-- Every state of an item's valuation in a cloud cost organisation: moving average per primary unit, quantity and value of
-- record, with the folder dates between which a snapshot showed it. valid_to is exclusive, null for the newest.
with snapshots as (
    select
        try_cast(InventoryOrgId as bigint) as organization_id,
        try_cast(InventoryItemId as bigint) as inventory_item_id,
        {{ to_decimal('QuantityOnhand') }} as on_hand_quantity,
        {{ to_decimal('UnitCostAverage', 18, 5) }} as average_cost,
        {{ to_decimal('InventoryValue', 18, 2) }} as stock_value,
        {{ to_date('CostDate') }} as cost_date,
        _op as operation,
        _folder_date as valid_from,
        lead(_folder_date) over (
            partition by CostOrgId, InventoryOrgId, InventoryItemId order by _folder_date
        ) as valid_to,
        _file as source_file,
        _line as source_line
    from (
        select *
        from {{ source('raw_erp_fusion', 'CST_VALUATION') }}
        qualify
            row_number() over (
                partition by CostOrgId, InventoryOrgId, InventoryItemId, _folder_date
                order by _delivered desc, _file desc, _line desc nulls last
            ) = 1
    ) as last_of_folder
)

select
    organization_id,
    inventory_item_id,
    on_hand_quantity,
    average_cost,
    stock_value,
    cost_date,
    valid_from,
    valid_to,
    source_file,
    source_line
from snapshots
where operation = 'U'
