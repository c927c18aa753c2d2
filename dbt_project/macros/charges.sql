{#-
    Charge units and prices (Q48): a code may be charged per box or per square centimetre while usage is in EACH.

    price, item and hcpcs are aliases of dim_charge_price, dim_item and stg_ref__hcpcs rows in force on the service date,
    tier one of dim_markup_tier. A price per EACH is charge_unit_price / each_per_charge_unit.
-#}

{#- EACH of a quantity in charge units. -#}
{% macro charge_quantity_each(quantity, price, item, hcpcs) -%}
    cast(
        case
            when {{ price }}.unit_of_charge = 'BX' then {{ quantity }} * coalesce({{ item }}.each_per_box, 1)
            when {{ price }}.unit_of_charge = 'CM2' and {{ hcpcs }}.units_per_each > 0
                then {{ divide_decimal(quantity, hcpcs ~ '.units_per_each', 4) }}
            else {{ quantity }}
        end as decimal(18, 4)
    )
{%- endmacro %}

{#- How many EACH the price below pays for: the EACH of a box, else one. -#}
{% macro each_per_charge_unit(price, item) -%}
    cast(
        case
            when {{ price }}.unit_of_charge = 'BX' and {{ price }}.charge_unit_price is not null then coalesce({{ item }}.each_per_box, 1)
            else 1
        end
        as decimal(18, 4)
    )
{%- endmacro %}

{#- Price in force: that of the charge master, else the marked-up cost between floor and ceiling; 0 when neither exists. -#}
{% macro charge_unit_price(unit_cost, price, hcpcs, tier) -%}
    cast(
        coalesce(
            case
                when {{ price }}.unit_of_charge = 'CM2' then {{ price }}.charge_unit_price * coalesce({{ hcpcs }}.units_per_each, 1)
                else {{ price }}.charge_unit_price
            end,
            least(
                greatest(cast({{ unit_cost }} as decimal(18, 5)) * {{ tier }}.multiplier, {{ tier }}.floor_price),
                {{ tier }}.ceiling_price
            ),
            0
        ) as decimal(28, 9)
    )
{%- endmacro %}

{#- Money of a quantity in EACH at the charge price of a row, rounded once, half-even. -#}
{% macro charge_value(quantity_each, priced) -%}
    {{ round_money_even(divide_decimal(
        'cast(' ~ quantity_each ~ ' as decimal(18, 4)) * ' ~ priced ~ '.charge_unit_price', priced ~ '.each_per_charge_unit', 8
    )) }}
{%- endmacro %}
