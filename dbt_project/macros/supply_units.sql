{#-
    Units of the cloud ERP: base units per unit of one item. The unit itself counts 1, the item's own conversion comes before
    the standard one; a unit that nobody converts counts 1.
-#}
{% macro supply_cloud_unit_factor(uom, primary_uom, own, standard) -%}
    cast(
        case
            when {{ uom }} is null or {{ uom }} = {{ primary_uom }} then 1
            else coalesce(nullif({{ own }}.conversion_rate, 0), nullif({{ standard }}.conversion_rate, 0), 1)
        end as decimal(18, 8)
    )
{%- endmacro %}

{#- What a cloud step inside receiving does to the received, not delivered balance: deliveries take out, returns put back. -#}
{% macro supply_delivery_sign(transaction_type, parent_type) -%}
    case
        when {{ transaction_type }} = 'DELIVER' then -1
        when {{ transaction_type }} = 'RETURN TO RECEIVING' then 1
        when {{ transaction_type }} = 'CORRECT' and {{ parent_type }} = 'DELIVER' then -1
        when {{ transaction_type }} = 'CORRECT' and {{ parent_type }} = 'RETURN TO RECEIVING' then 1
        else 0
    end
{%- endmacro %}
