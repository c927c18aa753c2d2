{#-
    The latest state of an extract: one row a key, deleted keys gone.

    The largest cursor wins where the contract names one, then delivery order (_delivered, _file, _line); a tombstone of a
    snapshot has no cursor and is the latest by delivery. Usable as a relation: `from {{ latest_version(...) }}`.
    few_versions: for large extracts whose keys seldom come twice; only keys that did are ordered, which costs two more scans
    of one column and spares a sort of everything.
-#}
{% macro latest_version(relation, key, cursor=none, few_versions=false) -%}
    (
        {% if few_versions -%}
        select *
        from {{ relation }}
        where _op = 'U'
            and _key_hash not in (select _key_hash from {{ relation }} group by _key_hash having count(*) > 1)
        union all
        {% endif -%}
        select *
        from (
            select *
            from {{ relation }}
            {% if few_versions -%}
            where _key_hash in (select _key_hash from {{ relation }} group by _key_hash having count(*) > 1)
            {% endif -%}
            qualify row_number() over (
                partition by {{ key | join(', ') }}
                order by
                    {% if cursor %}{{ cursor }} desc nulls last, {% endif %}_delivered desc, _file desc, _line desc nulls last
            ) = 1
        ) as newest
        where _op = 'U'
    )
{%- endmacro %}
