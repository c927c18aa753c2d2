-- One row for each item number of a source system with the golden item it resolves to, how surely and why.
-- Grain and key: source_system, source_item_no. Golden items are made from the ERP masters alone. Candidates, best first:
--   1.00 a trusted cross reference to an ERP number;
--   0.98 an equal device identifier (GTIN, or the device that the GTIN's package contains);
--   the confidence of the point-of-use item that an EHR item names;
--   0.95 equal manufacturer and catalogue number, 0.80 when that number is shorter than 4 or all digits.
-- A cross reference is stale, and gives way, when its number is in no master, or its golden item is inactive while another
-- candidate at or above the acceptance limit is active (Q20). A merged point-of-use item that resolves to nothing follows its
-- survivor (Q62). Distribution: item_key.
with recursive
golden_items as (
    select
        item_id,
        item_key,
        bool_or(is_active) as is_active
    from {{ ref('bridge_erp_item') }}
    group by item_id, item_key
),
devices as (
    select {{ gtin14('device_id') }} as gtin, min({{ gtin14('primary_di') }}) as device_gtin
    from {{ ref('stg_ref__gudid_identifier') }}
    where {{ gtin14('device_id') }} is not null
        and {{ gtin14('primary_di') }} is not null
    group by {{ gtin14('device_id') }}
),
erp_gtins as (
    select distinct
        erp.item_id,
        coalesce(devices.device_gtin, {{ gtin14('identifier.cross_reference') }}) as device_gtin
    from {{ ref('stg_erp_fusion__item_relationship') }} as identifier
    inner join {{ ref('bridge_erp_item') }} as erp
        on erp.source_system = 'erp_fusion'
        and identifier.inventory_item_id = erp.inventory_item_id
    left join devices
        on {{ gtin14('identifier.cross_reference') }} = devices.gtin
    where identifier.relationship_type = 'GTIN'
        and {{ gtin14('identifier.cross_reference') }} is not null
        and (identifier.start_date is null or identifier.start_date <= {{ as_of_date() }})
        and (identifier.end_date is null or identifier.end_date >= {{ as_of_date() }})
),
catalogue_numbers as (
    select distinct item_id, manufacturer_id, catalogue_key
    from {{ ref('bridge_erp_item') }}
    where manufacturer_id is not null
        and catalogue_key is not null
),

-- what the source items say about themselves
trusted_numbers as (
    select
        'pou' as source_system,
        item_no as source_item_no,
        {{ stripped_number('erp_item_no') }} as erp_item_no,
        1 as number_rank,
        case when length(erp_item_no) = 7 then 'erp_lawson' else 'erp_fusion' end as preferred_system
    from {{ ref('stg_pou__item') }}
    union all
    select 'ehr', supply_id, erp_item_no, 1, 'erp_lawson'
    from {{ ref('stg_ehr__supply_item') }}
    union all
    select 'ehr', supply_id, {{ stripped_number('identity_value') }}, 1 + cast(line_number as integer), 'erp_lawson'
    from {{ ref('stg_ehr__supply_identity') }}
    where identity_type = 10
),
source_gtins as (
    select 'pou' as source_system, item_no as source_item_no, {{ gtin14('gtin_each') }} as gtin
    from {{ ref('stg_pou__item') }}
    union
    select 'pou', item_no, {{ gtin14('alias') }}
    from {{ ref('stg_pou__item_alias') }}
    where alias_type = 'GTIN'
    union
    select 'ehr', supply_id, {{ gtin14('identity_value') }}
    from {{ ref('stg_ehr__supply_identity') }}
    where identity_type = 30
),
source_catalogue_numbers as (
    select
        'pou' as source_system,
        item.item_no as source_item_no,
        alias.manufacturer_id,
        {{ catalogue_key('item.manufacturer_catalogue_number') }} as catalogue_key
    from {{ ref('stg_pou__item') }} as item
    inner join {{ ref('bridge_manufacturer_alias') }} as alias
        on alias.alias_type = 'NAME'
        and {{ manufacturer_name_key('item.manufacturer_name') }} = alias.alias_key
    union
    select
        'ehr',
        maker.supply_id,
        alias.manufacturer_id,
        {{ catalogue_key('maker.catalogue_number') }}
    from {{ ref('stg_ehr__supply_manufacturer') }} as maker
    inner join {{ ref('stg_ehr__category') }} as category
        on category.category_table = 'ZC_OR_MANUFACTURER'
        and maker.manufacturer_category = category.category_id
    inner join {{ ref('bridge_manufacturer_alias') }} as alias
        on alias.alias_type in ('NAME', 'EHR_CATEGORY')
        and {{ manufacturer_name_key('category.category_name') }} = alias.alias_key
),

-- candidates by identifiers and by cross reference
identified as (
    select
        source.source_system,
        source.source_item_no,
        erp_gtins.item_id,
        cast(0.98 as decimal(5, 2)) as confidence,
        'device identifier' as match_method
    from source_gtins as source
    left join devices
        on source.gtin = devices.gtin
    inner join erp_gtins
        on coalesce(devices.device_gtin, source.gtin) = erp_gtins.device_gtin
    union all
    select
        source.source_system,
        source.source_item_no,
        catalogue_numbers.item_id,
        case
            when length(source.catalogue_key) < 4 or {{ matches_pattern('source.catalogue_key', '^[0-9]+$') }}
                then cast(0.80 as decimal(5, 2))
            else cast(0.95 as decimal(5, 2))
        end,
        'manufacturer and catalogue number'
    from source_catalogue_numbers as source
    inner join catalogue_numbers
        on source.manufacturer_id = catalogue_numbers.manufacturer_id
        and source.catalogue_key = catalogue_numbers.catalogue_key
),
trusted as (
    select
        number.source_system,
        number.source_item_no,
        erp.item_id,
        golden_items.is_active,
        row_number() over (
            partition by number.source_system, number.source_item_no
            order by
                case when agreeing.item_id is not null then 0 else 1 end,
                case when golden_items.is_active then 0 else 1 end,
                number.number_rank,
                case when erp.source_system = number.preferred_system then 0 else 1 end,
                erp.item_id
        ) as candidate_rank
    from trusted_numbers as number
    inner join {{ ref('bridge_erp_item') }} as erp
        on number.erp_item_no = erp.source_item_no
    inner join golden_items
        on erp.item_id = golden_items.item_id
    left join (select distinct source_system, source_item_no, item_id from identified) as agreeing
        on number.source_system = agreeing.source_system
        and number.source_item_no = agreeing.source_item_no
        and erp.item_id = agreeing.item_id
),

-- point-of-use items first: EHR items may name them
pou_identified as (
    select
        identified.source_item_no,
        identified.item_id,
        identified.confidence,
        identified.match_method,
        golden_items.is_active
    from identified
    inner join golden_items
        on identified.item_id = golden_items.item_id
    where identified.source_system = 'pou'
    qualify row_number() over (
        partition by identified.source_item_no
        order by
            identified.confidence desc,
            golden_items.is_active desc,
            length(identified.item_id),
            identified.item_id
    ) = 1
),
pou_own as (
    select
        item.item_no as source_item_no,
        item.merged_into_item_no,
        case
            when {{ cross_reference_holds('trusted', 'pou_identified') }} then trusted.item_id
            else pou_identified.item_id
        end as item_id,
        case
            when {{ cross_reference_holds('trusted', 'pou_identified') }} then cast(1.00 as decimal(5, 2))
            else pou_identified.confidence
        end as confidence,
        case
            when {{ cross_reference_holds('trusted', 'pou_identified') }} then 'cross reference'
            else pou_identified.match_method
        end as match_method
    from {{ ref('stg_pou__item') }} as item
    left join trusted
        on trusted.source_system = 'pou'
        and item.item_no = trusted.source_item_no
        and trusted.candidate_rank = 1
    left join pou_identified
        on item.item_no = pou_identified.source_item_no
),
pou_survivors as (
    select source_item_no, merged_into_item_no as survivor_item_no, 1 as steps
    from pou_own
    where item_id is null
        and merged_into_item_no is not null
    union all
    select walk.source_item_no, next_item.merged_into_item_no, walk.steps + 1
    from pou_survivors as walk
    inner join pou_own as next_item
        on walk.survivor_item_no = next_item.source_item_no
    where next_item.item_id is null
        and next_item.merged_into_item_no is not null
        and walk.steps < 10
),
pou_merged as (
    select walk.source_item_no, survivor.item_id, survivor.confidence
    from pou_survivors as walk
    inner join pou_own as survivor
        on walk.survivor_item_no = survivor.source_item_no
    where survivor.item_id is not null
    qualify row_number() over (partition by walk.source_item_no order by walk.steps) = 1
),
pou_resolved as (
    select
        own.source_item_no,
        coalesce(pou_merged.item_id, own.item_id) as item_id,
        coalesce(pou_merged.confidence, own.confidence) as confidence,
        case when pou_merged.item_id is not null then 'merged item' else own.match_method end as match_method
    from pou_own as own
    left join pou_merged
        on own.source_item_no = pou_merged.source_item_no
),

ehr_identified as (
    select
        candidate.source_item_no,
        candidate.item_id,
        candidate.confidence,
        candidate.match_method,
        golden_items.is_active
    from (
        select source_item_no, item_id, confidence, match_method
        from identified
        where source_system = 'ehr'
        union all
        select identity.supply_id, pou_resolved.item_id, pou_resolved.confidence, 'point-of-use item'
        from {{ ref('stg_ehr__supply_identity') }} as identity
        inner join pou_resolved
            on identity.identity_value = pou_resolved.source_item_no
        where identity.identity_type = 20
            and pou_resolved.item_id is not null
    ) as candidate
    inner join golden_items
        on candidate.item_id = golden_items.item_id
    qualify row_number() over (
        partition by candidate.source_item_no
        order by
            candidate.confidence desc,
            golden_items.is_active desc,
            length(candidate.item_id),
            candidate.item_id,
            candidate.match_method
    ) = 1
),
ehr_resolved as (
    select
        item.supply_id as source_item_no,
        case
            when {{ cross_reference_holds('trusted', 'ehr_identified') }} then trusted.item_id
            else ehr_identified.item_id
        end as item_id,
        case
            when {{ cross_reference_holds('trusted', 'ehr_identified') }} then cast(1.00 as decimal(5, 2))
            else ehr_identified.confidence
        end as confidence,
        case
            when {{ cross_reference_holds('trusted', 'ehr_identified') }} then 'cross reference'
            else ehr_identified.match_method
        end as match_method
    from {{ ref('stg_ehr__supply_item') }} as item
    left join trusted
        on trusted.source_system = 'ehr'
        and item.supply_id = trusted.source_item_no
        and trusted.candidate_rank = 1
    left join ehr_identified
        on item.supply_id = ehr_identified.source_item_no
),

resolved as (
    select source_system, source_item_no, item_id, cast(1.00 as decimal(5, 2)) as confidence, match_method
    from {{ ref('bridge_erp_item') }}
    union all
    select 'pou', source_item_no, item_id, confidence, match_method
    from pou_resolved
    union all
    select 'ehr', source_item_no, item_id, confidence, match_method
    from ehr_resolved
)
select
    {{ surrogate_key(['resolved.source_system', 'resolved.source_item_no']) }} as item_xref_key,
    resolved.source_system,
    resolved.source_item_no,
    golden_items.item_key,
    resolved.item_id,
    coalesce(resolved.match_method, 'none') as match_method,
    coalesce(resolved.confidence, cast(0 as decimal(5, 2))) as confidence,
    coalesce(resolved.confidence >= {{ var('item_accept') }}, false) as is_accepted
from resolved
left join golden_items
    on resolved.item_id = golden_items.item_id
