-- One row for each item or implant of a case: what was expected to be charged beside what was charged and is on its way.
-- Grain and key: entity_key (case and item or implant), both sides: usage without a charge and charges without usage. Charges are
-- chains, net, as fct_usage_charge_link links them. charge_price is USD per EACH. Not additive with fct_usage_line.
-- Distribution: facility_id, case_id.
with usage_lines as (
    select
        *,
        row_number() over (partition by case_id, entity_name order by {{ usage_line_order() }}) as line_rank
    from {{ ref('fct_usage_line') }}
    where is_countable
        and entity_name is not null
),
used as (
    select
        case_id,
        entity_name,
        max(case when line_rank = 1 then documented_item end) as supply_id,
        max(implant_id) as implant_id,
        max(case when line_rank = 1 then charge_code end) as charge_code,
        max(case when line_rank = 1 then charge_unit_price end) as charge_unit_price,
        max(case when line_rank = 1 then each_per_charge_unit end) as each_per_charge_unit,
        max(case when line_rank = 1 then not_chargeable_reason end) as not_chargeable_reason,
        bool_or(is_implant) as is_implant,
        cast(sum(quantity_each) as decimal(18, 4)) as used_each,
        cast(sum(chargeable_each) as decimal(18, 4)) as expected_each
    from usage_lines
    group by case_id, entity_name
),
cases as (
    select case_id, facility_id, account_token, surgery_date, service_line, is_posted, posted_date
    from {{ ref('dim_case') }}
    where is_countable
),
linked_chains as (
    select
        link.case_id,
        link.entity_name,
        chain.charge_root_tx_id,
        chain.account_token,
        chain.charge_code,
        chain.service_date,
        chain.charge_post_date,
        coalesce(chain.implant_id, chain.supply_id) as charged_thing,
        chain.net_quantity_each,
        chain.net_amount
    from {{ ref('fct_usage_charge_link') }} as link
    inner join {{ ref('fct_charge_net') }} as chain
        on link.charge_root_tx_id = chain.charge_root_tx_id
),
charged as (
    select
        case_id,
        entity_name,
        cast(sum(net_quantity_each) as decimal(18, 4)) as charged_each,
        cast(sum(net_amount) as decimal(18, 2)) as charged_amount,
        count(*) as chain_count
    from linked_chains
    group by case_id, entity_name
),
entities as (
    select case_id, entity_name from used
    union
    select case_id, entity_name from charged
),
alike as (
    select
        linked.case_id,
        linked.entity_name,
        count(*) as chain_count,
        sum(linked.net_quantity_each) - coalesce(max(used.used_each), 0) as excess_each,
        max_by(linked.net_amount, (linked.charge_post_date, linked.charge_root_tx_id)) as last_amount,
        max_by(linked.net_quantity_each, (linked.charge_post_date, linked.charge_root_tx_id)) as last_each
    from linked_chains as linked
    left join used
        on linked.case_id = used.case_id
        and linked.entity_name = used.entity_name
    group by
        linked.case_id,
        linked.entity_name,
        linked.account_token,
        linked.charge_code,
        linked.service_date,
        linked.charged_thing
),
duplicates as (
    select
        case_id,
        entity_name,
        max(chain_count) as active_chain_count,
        sum(excess_each) as duplicate_excess_each,
        sum({{ divide_decimal(
            'cast(excess_each as decimal(18, 4)) * last_amount', 'case when last_each = 0 then 1 else last_each end', 8
        ) }}) as duplicate_amount
    from alike
    where chain_count > 1
        and excess_each > 0
    group by case_id, entity_name
),
in_flight_named as (
    select
        waiting.case_id,
        'implant=' || waiting.implant_id as entity_name,
        waiting.station,
        sum(waiting.quantity_each) as quantity_each
    from {{ ref('fct_charge_inflight') }} as waiting
    where waiting.implant_id is not null
    group by waiting.case_id, waiting.implant_id, waiting.station
    union all
    select
        waiting.case_id,
        'item=' || waiting.supply_id,
        waiting.station,
        sum(waiting.quantity_each)
    from {{ ref('fct_charge_inflight') }} as waiting
    inner join entities
        on waiting.case_id = entities.case_id
        and 'item=' || waiting.supply_id = entities.entity_name
    where waiting.implant_id is null
    group by waiting.case_id, waiting.supply_id, waiting.station
),
-- a waiting charge that names the supply of implants, not the implant, stands for those of them that are not charged yet, first
-- for those that wait by their own name at another station
in_flight_of_implants as (
    select
        waiting.case_id,
        need.entity_name,
        waiting.station,
        case
            when need.is_last then greatest(waiting.quantity_each - need.needed_before, 0)
            else greatest(least(need.needed_each, waiting.quantity_each - need.needed_before), 0)
        end as quantity_each
    from (
        select
            waiting.case_id,
            waiting.supply_id,
            waiting.charge_code,
            waiting.station,
            sum(waiting.quantity_each) as quantity_each
        from {{ ref('fct_charge_inflight') }} as waiting
        left join entities
            on waiting.case_id = entities.case_id
            and 'item=' || waiting.supply_id = entities.entity_name
        where waiting.implant_id is null
            and entities.entity_name is null
        group by waiting.case_id, waiting.supply_id, waiting.charge_code, waiting.station
    ) as waiting
    inner join (
        select
            case_id,
            entity_name,
            supply_id,
            charge_code,
            needed_each,
            coalesce(
                sum(needed_each) over (
                    partition by case_id, supply_id, case when supply_id is null then charge_code end
                    order by is_unnamed, entity_name
                    rows between unbounded preceding and 1 preceding
                ),
                0
            ) as needed_before,
            row_number() over (
                partition by case_id, supply_id, case when supply_id is null then charge_code end
                order by is_unnamed desc, entity_name desc
            ) = 1 as is_last
        from (
            select
                used.case_id,
                used.entity_name,
                used.supply_id,
                used.charge_code,
                greatest(used.expected_each - coalesce(charged.charged_each, 0), 0) as needed_each,
                case when named.entity_name is null then 1 else 0 end as is_unnamed
            from used
            left join charged
                on used.case_id = charged.case_id
                and used.entity_name = charged.entity_name
            left join (select distinct case_id, entity_name from in_flight_named) as named
                on used.case_id = named.case_id
                and used.entity_name = named.entity_name
            where used.implant_id is not null
        ) as wanting
    ) as need
        on waiting.case_id = need.case_id
        and (
            waiting.supply_id = need.supply_id
            or (waiting.supply_id is null and need.supply_id is null and waiting.charge_code = need.charge_code)
        )
),
in_flight as (
    select case_id, entity_name, cast(max(quantity_each) as decimal(18, 4)) as in_flight_each
    from (
        select case_id, entity_name, station, sum(quantity_each) as quantity_each
        from (
            select * from in_flight_named
            union all
            select * from in_flight_of_implants
        ) as stations
        group by case_id, entity_name, station
    ) as station
    group by case_id, entity_name
),
compared as (
    select
        cases.facility_id,
        cases.service_line,
        cases.surgery_date,
        cases.is_posted,
        cases.posted_date,
        entities.case_id,
        entities.entity_name,
        coalesce(used.is_implant, false) as is_implant,
        used.not_chargeable_reason,
        coalesce(used.used_each, 0) as used_each,
        coalesce(used.expected_each, 0) as expected_each,
        coalesce(charged.charged_each, 0) as charged_each,
        coalesce(charged.charged_amount, 0) as charged_amount,
        coalesce(charged.chain_count, 0) as chain_count,
        coalesce(in_flight.in_flight_each, 0) as in_flight_each,
        coalesce(charged.charged_each, 0) + coalesce(in_flight.in_flight_each, 0) - coalesce(used.expected_each, 0)
            as difference_each,
        coalesce(used.charge_unit_price, 0) as charge_unit_price,
        coalesce(used.each_per_charge_unit, 1) as each_per_charge_unit,
        coalesce(duplicates.active_chain_count, 0) as active_chain_count,
        coalesce(duplicates.duplicate_excess_each, 0) as duplicate_excess_each,
        coalesce(duplicates.duplicate_amount, 0) as duplicate_amount
    from entities
    inner join cases
        on entities.case_id = cases.case_id
    left join used
        on entities.case_id = used.case_id
        and entities.entity_name = used.entity_name
    left join charged
        on entities.case_id = charged.case_id
        and entities.entity_name = charged.entity_name
    left join in_flight
        on entities.case_id = in_flight.case_id
        and entities.entity_name = in_flight.entity_name
    left join duplicates
        on entities.case_id = duplicates.case_id
        and entities.entity_name = duplicates.entity_name
),
apart as (
    select case_id, entity_name
    from compared
    where difference_each <> 0
        or duplicate_excess_each > 0
),
usage_evidence as (
    select
        lines.case_id,
        lines.entity_name,
        {{ evidence_of('lines') }} as items
    from usage_lines as lines
    inner join apart
        on lines.case_id = apart.case_id
        and lines.entity_name = apart.entity_name
    group by lines.case_id, lines.entity_name
),
charge_evidence as (
    select
        linked.case_id,
        linked.entity_name,
        {{ evidence_of('txn') }} as items
    from linked_chains as linked
    inner join apart
        on linked.case_id = apart.case_id
        and linked.entity_name = apart.entity_name
    inner join {{ ref('fct_charge_txn') }} as txn
        on linked.charge_root_tx_id = txn.charge_root_tx_id
    group by linked.case_id, linked.entity_name
)
select
    {{ surrogate_key(['compared.case_id', 'compared.entity_name']) }} as usage_charge_key,
    'case=' || compared.case_id || '|' || compared.entity_name as entity_key,
    compared.facility_id,
    compared.surgery_date as business_date,
    case when compared.facility_id is null or compared.surgery_date is null then 'site or surgery date unknown' end
        as out_of_scope_reason,
    case
        when compared.facility_id is null or compared.surgery_date is null then 'site or surgery date unknown'
        when not compared.is_posted then 'log not posted'
    end as out_of_scope_reason_uc_01,
    case
        when compared.facility_id is null or compared.surgery_date is null then 'site or surgery date unknown'
        when not compared.is_posted then 'log not posted'
        when compared.used_each = 0 then 'no documented usage'
    end as out_of_scope_reason_uc_03,
    compared.case_id,
    compared.entity_name,
    compared.service_line,
    compared.is_implant,
    compared.not_chargeable_reason,
    cast(compared.used_each as decimal(18, 4)) as used_each,
    cast(compared.expected_each as decimal(18, 4)) as expected_each,
    cast(compared.charged_each as decimal(18, 4)) as charged_each,
    cast(compared.charged_amount as decimal(18, 2)) as charged_amount,
    cast(compared.in_flight_each as decimal(18, 4)) as in_flight_each,
    cast(compared.difference_each as decimal(18, 4)) as difference_each,
    cast({{ divide_decimal('compared.charge_unit_price', 'compared.each_per_charge_unit', 8) }} as decimal(18, 8)) as charge_price,
    cast(greatest(-compared.difference_each, 0) as decimal(18, 4)) as missed_each,
    {{ charge_value('greatest(-compared.difference_each, 0)', 'compared') }} as missed_amount,
    {{ charge_value('abs(compared.difference_each)', 'compared') }} as difference_amount,
    {{ charge_value('compared.expected_each', 'compared') }} as expected_amount,
    {{ charge_value('compared.in_flight_each', 'compared') }} as in_flight_amount,
    cast(compared.chain_count as integer) as chain_count,
    cast(compared.active_chain_count as integer) as active_chain_count,
    cast(compared.duplicate_excess_each as decimal(18, 4)) as duplicate_excess_each,
    {{ round_money_even('abs(compared.duplicate_amount)') }} as duplicate_amount,
    case when compared.is_posted then compared.posted_date end as anchor_date,
    compared.surgery_date as service_date,
    {{ evidence_json(['usage_evidence.items', 'charge_evidence.items']) }} as evidence
from compared
left join usage_evidence
    on compared.case_id = usage_evidence.case_id
    and compared.entity_name = usage_evidence.entity_name
left join charge_evidence
    on compared.case_id = charge_evidence.case_id
    and compared.entity_name = charge_evidence.entity_name
