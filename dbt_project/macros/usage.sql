{#- The order of the documented lines of one item on a case: the first one names price and place. -#}
{% macro usage_line_order() -%}
    case record_type when 'supply' then 1 when 'implant' then 2 else 3 end, source_key, usage_type
{%- endmacro %}
