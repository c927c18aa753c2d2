-- How much of what was used and may be charged has been charged, by facility, service line and month of service.
-- Grain and key: facility_id, service_line, fiscal_period. A line is one item or implant of a posted case with something to charge;
-- chargeable_lines = charged + in flight + timing + missed. chargeable_amount values what may be charged at the price in force;
-- charged_amount is what chains of these lines were charged, net. late_amount: net charges of the lines first posted later
-- than 5 days (inpatient) or 3 days (others) after service. Additive in every column. Distribution: facility_id.
with judged as (
    select entity_key, max(case when status = 'timing' then 1 else 0 end) as is_timing, max(impact_amount) as impact_amount
    from {{ source('judged', 'exceptions') }}
    where rule_id = 'UC-01'
    group by entity_key
),
late as (
    select
        link.case_id,
        link.entity_name,
        sum(
            case
                when {{ day_difference('chain.service_date', 'chain.first_post_date') }}
                    > case when cases.base_class = '1' then 5 else 3 end
                    then chain.net_amount
                else 0
            end
        ) as late_amount
    from {{ ref('fct_usage_charge_link') }} as link
    inner join {{ ref('fct_charge_net') }} as chain
        on link.charge_root_tx_id = chain.charge_root_tx_id
    inner join {{ ref('dim_case') }} as cases
        on link.case_id = cases.case_id
    group by link.case_id, link.entity_name
),
lines as (
    select
        charge.facility_id,
        coalesce(charge.service_line, 'unknown') as service_line,
        {{ calendar_month('charge.service_date') }} as fiscal_period,
        charge.expected_amount,
        charge.charged_amount,
        charge.in_flight_amount,
        charge.missed_amount,
        coalesce(late.late_amount, 0) as late_amount,
        case
            when charge.charged_each <> 0 then 'charged'
            when judged.is_timing = 1 then 'timing'
            when judged.entity_key is not null then 'missed'
            else 'in flight'
        end as line_state,
        judged.impact_amount
    from {{ ref('rec_usage_charge') }} as charge
    left join judged
        on charge.entity_key = judged.entity_key
    left join late
        on charge.case_id = late.case_id
        and charge.entity_name = late.entity_name
    where charge.expected_each > 0
        and charge.anchor_date is not null
        and charge.facility_id is not null
        and charge.service_date is not null
)
select
    facility_id,
    service_line,
    fiscal_period,
    cast(count(*) as integer) as chargeable_lines,
    cast(count(*) filter (where line_state = 'charged') as integer) as charged_lines,
    cast(count(*) filter (where line_state = 'in flight') as integer) as in_flight_lines,
    cast(count(*) filter (where line_state = 'timing') as integer) as timing_lines,
    cast(count(*) filter (where line_state = 'missed') as integer) as missed_lines,
    cast(sum(expected_amount) as decimal(18, 2)) as chargeable_amount,
    cast(sum(charged_amount) as decimal(18, 2)) as charged_amount,
    cast(sum(in_flight_amount) as decimal(18, 2)) as in_flight_amount,
    cast(coalesce(sum(impact_amount) filter (where line_state = 'missed'), 0) as decimal(18, 2)) as missed_amount,
    cast(sum(late_amount) as decimal(18, 2)) as late_amount
from lines
group by facility_id, service_line, fiscal_period
