{#-
    Document numbers of the two ERPs as they stand in entity keys, and deletions of the cloud ERP.
-#}

{#- A legacy id: blanks removed, and the leading zeros of ids that are all digits (Q78). -#}
{% macro supply_document_id(expression) -%}
    case
        when {{ matches_pattern('trim(' ~ expression ~ ')', '^[0-9]+$') }}
            then coalesce(nullif(trim(leading '0' from trim({{ expression }})), ''), '0')
        else nullif(trim({{ expression }}), '')
    end
{%- endmacro %}

{#- COMPANY-PO_NUMBER-PO_RELEASE-PO_CODE: the number alone is reused (Q79). -#}
{% macro supply_lawson_po() -%}
    concat_ws('-', trim(COMPANY), {{ supply_document_id('PO_NUMBER') }}, trim(PO_RELEASE), trim(PO_CODE))
{%- endmacro %}

{#- The invoice number as sent, in upper case, with -SUFFIX when it is not 0. -#}
{% macro supply_lawson_invoice() -%}
    upper(trim(INVOICE)) || case when coalesce(try_cast(SUFFIX as bigint), 0) <> 0 then '-' || trim(SUFFIX) else '' end
{%- endmacro %}

{#- True unless the cloud ERP said, at or after the row's last change, that the key was deleted (Q100). -#}
{% macro supply_not_deleted(extract, key1, key2=none, cursor=none) -%}
    coalesce(
        (
            select max({{ to_timestamp_text('deleted.RUN_TIME') }})
            from {{ source('raw_erp_fusion', 'DELETED_KEYS') }} as deleted
            where
                deleted.EXTRACT = '{{ extract }}'
                and deleted.KEY1 = newest.{{ key1 }}
                {%- if key2 %}
                and deleted.KEY2 = newest.{{ key2 }}
                {%- endif %}
        ),
        cast('1900-01-01' as timestamp)
    ) < {{ to_timestamp_text('newest.' ~ cursor) }}
{%- endmacro %}

{#- An invoice number as it is compared: upper case, letters and digits only. -#}
{% macro supply_invoice_alnum(expression) -%}
    {{ replace_pattern('upper(' ~ expression ~ ')', '[^A-Z0-9]') }}
{%- endmacro %}

{#- Without the trailing revision: CR, INV or DUP, or one letter after a digit. -#}
{% macro supply_without_revision(alnum) -%}
    case
        when {{ matches_pattern(alnum, '.(INV|DUP)$') }} then substr({{ alnum }}, 1, length({{ alnum }}) - 3)
        when {{ matches_pattern(alnum, '.CR$') }} then substr({{ alnum }}, 1, length({{ alnum }}) - 2)
        when {{ matches_pattern(alnum, '[0-9][A-Z]$') }} then substr({{ alnum }}, 1, length({{ alnum }}) - 1)
        else {{ alnum }}
    end
{%- endmacro %}

{#- Where most characters are digits, O is 0 and I and L are 1; leading zeros do not count. -#}
{% macro supply_alike(alnum) -%}
    coalesce(
        nullif(
            trim(
                leading '0' from
                case
                    when length({{ replace_pattern(alnum, '[^0-9]') }}) * 2 > length({{ alnum }})
                        then replace(replace(replace({{ alnum }}, 'O', '0'), 'I', '1'), 'L', '1')
                    else {{ alnum }}
                end
            ),
            ''
        ),
        '0'
    )
{%- endmacro %}
