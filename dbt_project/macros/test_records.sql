{#- False for records of test patients (Q16); a record without an identifier is no test record. -#}
{% macro is_no_test_record(column, record_type) -%}
    ({{ column }} is null or {{ column }} not in (
        select record_id from {{ ref('stg_ehr__test_record') }} where record_type = '{{ record_type }}'
    ))
{%- endmacro %}
