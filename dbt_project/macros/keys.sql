{#- md5 over the parts of a natural key, nulls counting as empty, in the order given. -#}
{% macro surrogate_key(parts) -%}
    md5(concat_ws('|'{% for part in parts %}, coalesce(cast({{ part }} as varchar), ''){% endfor %}))
{%- endmacro %}

{#- An ERP or case number as every system may write it: trimmed, leading zeros gone, null when nothing is left. -#}
{% macro stripped_number(expression) -%}
    nullif(trim(leading '0' from trim({{ expression }})), '')
{%- endmacro %}

{#- The key by which catalogue numbers are compared: upper case, no blanks, hyphens, dots or slashes, no leading zeros. -#}
{% macro catalogue_key(expression) -%}
    nullif(trim(leading '0' from {{ replace_pattern('upper(' ~ expression ~ ')', '[ ./-]') }}), '')
{%- endmacro %}

{#- A GTIN padded to 14 digits; null when it is not 8 to 14 digits. -#}
{% macro gtin14(expression) -%}
    case when {{ matches_pattern('trim(' ~ expression ~ ')', '^[0-9]{8,14}$') }} then lpad(trim({{ expression }}), 14, '0') end
{%- endmacro %}

{#- A lot as it is compared between hand-typed and scanned forms (Q24): letters O as zero, upper, no leading zeros. -#}
{% macro lot_key(expression) -%}
    nullif(trim(leading '0' from replace({{ replace_pattern('upper(' ~ expression ~ ')', '[^A-Z0-9]') }}, 'O', '0')), '')
{%- endmacro %}

{#- Every match of the pattern removed. -#}
{% macro replace_pattern(expression, pattern) -%}{{ return(adapter.dispatch('replace_pattern')(expression, pattern)) }}{%- endmacro %}
{% macro default__replace_pattern(expression, pattern) -%}regexp_replace({{ expression }}, '{{ pattern }}', '', 'g'){%- endmacro %}
{% macro spark__replace_pattern(expression, pattern) -%}regexp_replace({{ expression }}, '{{ pattern }}', ''){%- endmacro %}

{% macro matches_pattern(expression, pattern) -%}{{ return(adapter.dispatch('matches_pattern')(expression, pattern)) }}{%- endmacro %}
{% macro default__matches_pattern(expression, pattern) -%}regexp_matches({{ expression }}, '{{ pattern }}'){%- endmacro %}
{% macro spark__matches_pattern(expression, pattern) -%}{{ expression }} rlike '{{ pattern }}'{%- endmacro %}

{#- A manufacturer's name as it is compared: upper case, trimmed, without the 6 digit id of EHR categories (Q11). -#}
{% macro manufacturer_name_key(expression) -%}
    nullif(trim({{ replace_pattern('upper(trim(' ~ expression ~ '))', '[ ([-]+[0-9]{6}[])]*$') }}), '')
{%- endmacro %}
