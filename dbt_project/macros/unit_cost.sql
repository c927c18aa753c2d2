{#-
    Unit cost of an item at a place on a date (catalogue, "Costs and amounts"): the moving average of the inventory system of
    record where an asset location holds the item, else the EHR cost over time, else the best contract price in force.

    `rows` is an alias with facility_id, location_id, is_asset, item_key and supply_id (whose EHR cost counts); `on_date` a date
    expression. Use the joins, then unit_cost() in the select, and keep one row of each by `order by unit_cost_rank()`.
-#}
{% macro unit_cost_joins(rows, on_date) -%}
left join {{ ref('dim_cost_of_record') }} as average
    on {{ rows }}.is_asset
    and {{ rows }}.facility_id = average.facility_id
    and (average.location_id is null or {{ rows }}.location_id = average.location_id)
    and {{ rows }}.item_key = average.item_key
    and {{ in_force(on_date, 'average.valid_from', 'average.valid_to') }}
left join {{ ref('dim_supply_cost') }} as over_time
    on {{ rows }}.supply_id = over_time.supply_id
    and {{ in_force(on_date, 'over_time.valid_from', 'over_time.valid_to') }}
left join {{ ref('dim_contract_line') }} as contract
    on average.unit_cost is null
    and over_time.unit_cost is null
    and {{ rows }}.facility_id = contract.facility_id
    and {{ rows }}.item_key = contract.item_key
    and contract.is_tier_activated
    and not contract.is_on_hold
    and contract.effective_from <= {{ on_date }}
    and (contract.effective_to is null or {{ on_date }} <= contract.effective_to)
{%- endmacro %}

{% macro unit_cost() -%}
    coalesce(average.unit_cost, over_time.unit_cost, contract.price_each)
{%- endmacro %}

{% macro unit_cost_rank() -%}
    average.location_id nulls last,
    average.unit_cost,
    case when contract.price_type = 'COST_PLUS' then 1 else 0 end,
    contract.contract_rank,
    contract.priority nulls last,
    contract.price_each,
    contract.contract_number
{%- endmacro %}
