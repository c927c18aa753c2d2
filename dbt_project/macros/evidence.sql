{#-
    Evidence of an exception: a JSON list of {system, extract, key, file, line}, in a fixed order, without identifiers of
    patients, encounters or accounts (their tokens included): keys are document and record numbers.

    evidence_entry   one object, from scalar expressions
    evidence_items   aggregate: the distinct objects of a group, joined, in order
    evidence_of      the same for the rows of a fact, by its alias
    evidence_json    the list, from one or more results of the others (nulls are left out)
-#}
{% macro evidence_entry(system, extract, key, file, line) -%}{{ return(adapter.dispatch('evidence_entry')(system, extract, key, file, line)) }}{%- endmacro %}
{% macro default__evidence_entry(system, extract, key, file, line) -%}
    cast(
        json_object('system', {{ system }}, 'extract', {{ extract }}, 'key', {{ key }}, 'file', {{ file }}, 'line', {{ line }})
        as varchar
    )
{%- endmacro %}
{% macro spark__evidence_entry(system, extract, key, file, line) -%}
    to_json(
        named_struct('system', {{ system }}, 'extract', {{ extract }}, 'key', {{ key }}, 'file', {{ file }}, 'line', {{ line }}),
        map('ignoreNullFields', 'false')
    )
{%- endmacro %}

{% macro evidence_items(entry) -%}{{ return(adapter.dispatch('evidence_items')(entry)) }}{%- endmacro %}
{% macro default__evidence_items(entry) -%}string_agg(distinct {{ entry }}, ',' order by {{ entry }}){%- endmacro %}
{% macro spark__evidence_items(entry) -%}concat_ws(',', array_sort(collect_set({{ entry }}))){%- endmacro %}

{% macro evidence_of(fact) -%}
    {{ evidence_items(evidence_entry(
        fact ~ '.source_system', fact ~ '.source_extract', fact ~ '.source_key', fact ~ '.source_file', fact ~ '.source_line'
    )) }}
{%- endmacro %}

{% macro evidence_json(parts) -%}
    '[' || concat_ws(',', {{ parts | join(', ') }}) || ']'
{%- endmacro %}
