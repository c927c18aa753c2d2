{#- The business clock of the run as a date. -#}
{% macro as_of_date() -%}
    {%- set as_of = var('as_of', none) -%}
    {%- if execute and not as_of -%}
        {{ exceptions.raise_compiler_error("the variable as_of (YYYY-MM-DD) must be given: it decides what is known") }}
    {%- endif -%}
    cast('{{ ((as_of or "1900-01-01") | string)[:10] }}' as date)
{%- endmacro %}

{#- The date of a text 'yyyy-MM-dd...' ; null when it is none. -#}
{% macro to_date(expression) -%}
    try_cast(substr({{ expression }}, 1, 10) as date)
{%- endmacro %}

{#- The date of a legacy text 'yyyyMMdd'; its empty dates (Q81) are null. -#}
{% macro to_legacy_date(expression) -%}
    try_cast(
        case
            when length(trim({{ expression }})) = 8 and trim({{ expression }}) not in ('17530101', '17000101')
                then concat_ws(
                    '-', substr(trim({{ expression }}), 1, 4), substr(trim({{ expression }}), 5, 2), substr(trim({{ expression }}), 7, 2)
                )
        end as date
    )
{%- endmacro %}

{#- A timestamp read from text, to the second or finer. -#}
{% macro to_timestamp_text(expression) -%}
    try_cast({{ expression }} as timestamp)
{%- endmacro %}

{#- A UTC timestamp as wall clock of a zone (a text expression or a quoted name). -#}
{% macro utc_to_local(expression, zone="'America/Chicago'") -%}{{ return(adapter.dispatch('utc_to_local')(expression, zone)) }}{%- endmacro %}
{% macro default__utc_to_local(expression, zone) -%}(({{ expression }} at time zone 'UTC') at time zone {{ zone }}){%- endmacro %}
{% macro spark__utc_to_local(expression, zone) -%}from_utc_timestamp({{ expression }}, {{ zone }}){%- endmacro %}

{#- A wall clock timestamp of a zone as UTC. -#}
{% macro local_to_utc(expression, zone="'America/Chicago'") -%}{{ return(adapter.dispatch('local_to_utc')(expression, zone)) }}{%- endmacro %}
{% macro default__local_to_utc(expression, zone) -%}(({{ expression }} at time zone {{ zone }}) at time zone 'UTC'){%- endmacro %}
{% macro spark__local_to_utc(expression, zone) -%}to_utc_timestamp({{ expression }}, {{ zone }}){%- endmacro %}

{#- Business date (local calendar date) of a UTC timestamp. -#}
{% macro business_date_of_utc(expression, zone="'America/Chicago'") -%}
    cast({{ utc_to_local(expression, zone) }} as date)
{%- endmacro %}

{#- Whole days from the first date to the second. -#}
{% macro day_difference(from_date, to_date) -%}{{ return(adapter.dispatch('day_difference')(from_date, to_date)) }}{%- endmacro %}
{% macro default__day_difference(from_date, to_date) -%}date_diff('day', cast({{ from_date }} as date), cast({{ to_date }} as date)){%- endmacro %}
{% macro spark__day_difference(from_date, to_date) -%}datediff(cast({{ to_date }} as date), cast({{ from_date }} as date)){%- endmacro %}

{#- A date moved by whole days. -#}
{% macro add_days(date_expression, days) -%}{{ return(adapter.dispatch('add_days')(date_expression, days)) }}{%- endmacro %}
{% macro default__add_days(date_expression, days) -%}cast({{ date_expression }} + interval ({{ days }}) day as date){%- endmacro %}
{% macro spark__add_days(date_expression, days) -%}date_add({{ date_expression }}, {{ days }}){%- endmacro %}

{#- Calendar month 'YYYY-MM', the period in which the system reports. -#}
{% macro calendar_month(date_expression) -%}{{ return(adapter.dispatch('calendar_month')(date_expression)) }}{%- endmacro %}
{% macro default__calendar_month(date_expression) -%}strftime({{ date_expression }}, '%Y-%m'){%- endmacro %}
{% macro spark__calendar_month(date_expression) -%}date_format({{ date_expression }}, 'yyyy-MM'){%- endmacro %}

{#- A scanned GS1 date YYMMDD; day 00 is the last day of the month (Q61). -#}
{% macro gs1_date(expression) -%}
    case
        when {{ matches_pattern(expression, '^[0-9]{4}00$') }}
            then last_day(
                try_cast(concat_ws('-', '20' || substr({{ expression }}, 1, 2), substr({{ expression }}, 3, 2), '01') as date)
            )
        when {{ matches_pattern(expression, '^[0-9]{6}$') }}
            then try_cast(
                concat_ws('-', '20' || substr({{ expression }}, 1, 2), substr({{ expression }}, 3, 2), substr({{ expression }}, 5, 2))
                as date
            )
    end
{%- endmacro %}

{#- True when an effective-dated row (valid_to exclusive, null = open) is in force on the date. -#}
{% macro in_force(date_expression, valid_from, valid_to) -%}
    ({{ valid_from }} <= {{ date_expression }} and ({{ valid_to }} is null or {{ date_expression }} < {{ valid_to }}))
{%- endmacro %}
