{#- Whether the trusted cross reference decides: it names a golden item, and no accepted candidate makes it stale. -#}
{% macro cross_reference_holds(trusted, identified) -%}
    {{ trusted }}.item_id is not null
        and (
            {{ trusted }}.is_active
            or {{ identified }}.item_id is null
            or {{ identified }}.item_id = {{ trusted }}.item_id
            or not {{ identified }}.is_active
            or {{ identified }}.confidence < {{ var('item_accept') }}
        )
{%- endmacro %}
