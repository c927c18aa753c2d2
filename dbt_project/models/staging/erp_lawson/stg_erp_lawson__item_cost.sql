-- Every state of an item at a legacy location: moving average, quantity and value of record, with the folder dates between
-- which a snapshot showed it. valid_to is exclusive, null for the newest; a removed item leaves a gap.
with snapshots as (
    select
        try_cast(COMPANY as bigint) as company,
        trim(LOCATION) as location_code,
        {{ stripped_number('ITEM') }} as item_no,
        trim(UOM) as uom,
        {{ to_decimal('SOH_QTY') }} as on_hand_quantity,
        {{ to_decimal('AVERAGE_COST', 18, 5) }} as average_cost,
        {{ to_decimal('STOCK_VALUE', 18, 2) }} as stock_value,
        _op as operation,
        _folder_date as valid_from,
        lead(_folder_date) over (partition by COMPANY, LOCATION, ITEM order by _folder_date) as valid_to,
        _file as source_file,
        _line as source_line
    from (
        select *
        from {{ source('raw_erp_lawson', 'ITEMLOC') }}
        qualify
            row_number() over (
                partition by COMPANY, LOCATION, ITEM, _folder_date
                order by _delivered desc, _file desc, _line desc nulls last
            ) = 1
    ) as last_of_folder
)

select
    company,
    location_code,
    item_no,
    uom,
    on_hand_quantity,
    average_cost,
    stock_value,
    valid_from,
    valid_to,
    source_file,
    source_line
from snapshots
where operation = 'U'
