{#-
    Decimal arithmetic that never passes through a floating point number.

    Impacts and shares round half-even, subledger row amounts half-up (away from zero); a product of several factors is
    rounded once, at the end.
-#}

{#- Half away from zero, `scale` decimals. -#}
{% macro round_money(expression, scale=2) -%}
    cast(round({{ expression }}, {{ scale }}) as decimal(18, {{ scale }}))
{%- endmacro %}

{#- Half to even, `scale` decimals. -#}
{% macro round_money_even(expression, scale=2) -%}{{ return(adapter.dispatch('round_money_even')(expression, scale)) }}{%- endmacro %}
{#- DuckDB 1.5 rounds half-even in floating point: round half away, then step back from a tie that left an odd digit. -#}
{% macro default__round_money_even(expression, scale) -%}
    cast(
        round({{ expression }}, {{ scale }})
        - case
            when abs(round({{ expression }}, {{ scale }}) - ({{ expression }})) = {{ '0.' ~ '0' * scale ~ '5' }}
                and cast(abs(round({{ expression }}, {{ scale }})) * {{ 10 ** scale }} as hugeint) % 2 = 1
                then sign({{ expression }}) * {{ '0.' ~ '0' * (scale - 1) ~ '1' }}
            else 0
        end as decimal(18, {{ scale }})
    )
{%- endmacro %}
{% macro spark__round_money_even(expression, scale) -%}
    cast(bround({{ expression }}, {{ scale }}) as decimal(18, {{ scale }}))
{%- endmacro %}

{#- The exact product of two or three decimals, not rounded. Scales may add up to 17. -#}
{% macro exact_product(factors) -%}{{ return(adapter.dispatch('exact_product')(factors)) }}{%- endmacro %}
{% macro default__exact_product(factors) -%}
    (cast({{ factors[0] }} as decimal(38, 4)){% for factor in factors[1:] %} * ({{ factor }}){% endfor %})
{%- endmacro %}
{% macro spark__exact_product(factors) -%}
    {%- set types = ['decimal(14, 4)', 'decimal(9, 4)', 'decimal(12, 5)'] -%}
    ({% for factor in factors %}cast({{ factor }} as {{ types[loop.index0] }}){{ ' * ' if not loop.last }}{% endfor %})
{%- endmacro %}

{#- Money: the product of the factors, the quantity first, in cents. rounding: 'half_even' (default) or 'half_up'. -#}
{% macro money_product(factors, rounding='half_even') -%}
    {%- if rounding == 'half_up' -%}
        {{ round_money(exact_product(factors)) }}
    {%- else -%}
        {{ round_money_even(exact_product(factors)) }}
    {%- endif -%}
{%- endmacro %}

{#-
    numerator / denominator as decimal(38, scale), half away from zero, exactly; null when the denominator is null or zero.
    The numerator is read with 8 decimals and may have up to 15 digits before the point, the denominator with 8.
-#}
{% macro divide_decimal(numerator, denominator, scale=8) -%}{{ return(adapter.dispatch('divide_decimal')(numerator, denominator, scale)) }}{%- endmacro %}
{% macro default__divide_decimal(numerator, denominator, scale) -%}
    (
        case
            when cast({{ denominator }} as decimal(38, 8)) <> 0
                then cast(
                    cast(
                        sign({{ numerator }}) * sign({{ denominator }})
                        * (
                            (
                                2 * cast(cast(abs({{ numerator }}) as decimal(38, 8)) * 100000000 as hugeint)
                                * cast({{ 10 ** scale }} as hugeint)
                                + cast(cast(abs({{ denominator }}) as decimal(38, 8)) * 100000000 as hugeint)
                            )
                            // (2 * cast(cast(abs({{ denominator }}) as decimal(38, 8)) * 100000000 as hugeint))
                        ) as decimal(38, 0)
                    )
                    * cast({{ '0.' ~ '0' * (scale - 1) ~ '1' }} as decimal({{ scale + 1 }}, {{ scale }})) as decimal(38, {{ scale }})
                )
        end
    )
{%- endmacro %}
{% macro spark__divide_decimal(numerator, denominator, scale) -%}
    cast(
        round(cast({{ numerator }} as decimal(30, 8)) / nullif(cast({{ denominator }} as decimal(18, 8)), 0), {{ scale }})
        as decimal(38, {{ scale }})
    )
{%- endmacro %}

{#- A decimal read from text; null when it cannot be. -#}
{% macro to_decimal(expression, precision=18, scale=4) -%}
    try_cast({{ expression }} as decimal({{ precision }}, {{ scale }}))
{%- endmacro %}
