-- Which golden manufacturer a name or code means; names are compared in upper case without the 6 digit id that EHR category
-- names end in (Q11).
-- Grain and key: alias_type, alias_key. Distribution: small, everywhere.
select
    {{ surrogate_key(['alias_type', 'alias_key']) }} as manufacturer_alias_key,
    alias_type,
    alias_key,
    manufacturer_id
from (
    select
        alias_type,
        {{ manufacturer_name_key('alias') }} as alias_key,
        manufacturer_id
    from {{ ref('stg_ref__manufacturer_alias') }}
    union all
    select 'NAME', {{ manufacturer_name_key('manufacturer_name') }}, manufacturer_id
    from {{ ref('stg_ref__manufacturer_alias') }}
) as aliases
where alias_key is not null
qualify row_number() over (partition by alias_type, alias_key order by manufacturer_id) = 1
