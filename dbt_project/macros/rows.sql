{#- The parts of a separated text as rows. -#}
{% macro split_to_rows(expression, separator) -%}{{ return(adapter.dispatch('split_to_rows')(expression, separator)) }}{%- endmacro %}
{% macro default__split_to_rows(expression, separator) -%}unnest(string_split({{ expression }}, '{{ separator }}')){%- endmacro %}
{% macro spark__split_to_rows(expression, separator) -%}explode(split({{ expression }}, '{{ separator }}')){%- endmacro %}
