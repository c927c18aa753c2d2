-- What a case brought and what its supplies cost.
-- Grain and key: case_id, completed and posted logs without test patients. gross_charges_amount: net charge chains that carry the
-- case's log, that stand for its usage, or that are on its account when the account has no other case. Costs are of used and
-- wasted EACH at the unit cost of the surgery date: supply_cost_amount without implants, implant_cost_amount implants, used or
-- wasted; wasted_cost_amount is the wasted part of both, not a further cost. There is no net revenue basis yet, so no margin;
-- charges less cost is gross_charges_amount - supply_cost_amount - implant_cost_amount. Additive in the amounts.
-- Distribution: facility_id, case_id.
with cases as (
    select *
    from {{ ref('dim_case') }}
    where is_countable
),
single_case_accounts as (
    select account_token, min(case_id) as case_id
    from cases
    where account_token is not null
    group by account_token
    having count(*) = 1
),
charges as (
    select
        coalesce(own.case_id, link.case_id, single_case_accounts.case_id) as case_id,
        sum(chain.net_amount) as gross_charges_amount
    from {{ ref('fct_charge_net') }} as chain
    left join cases as own
        on chain.case_id = own.case_id
    left join {{ ref('fct_usage_charge_link') }} as link
        on chain.charge_root_tx_id = link.charge_root_tx_id
    left join single_case_accounts
        on chain.account_token = single_case_accounts.account_token
    where chain.is_active
    group by coalesce(own.case_id, link.case_id, single_case_accounts.case_id)
),
costs as (
    select
        case_id,
        sum(cost_amount) filter (where not is_implant) as supply_cost_amount,
        sum(cost_amount) filter (where is_implant) as implant_cost_amount,
        sum(cost_amount) filter (where usage_type = 'wasted') as wasted_cost_amount
    from {{ ref('fct_usage_line') }}
    where is_countable
    group by case_id
)
select
    cases.case_id,
    cases.facility_id,
    cases.service_line,
    cases.procedure_code,
    cases.surgeon_key,
    cases.payer_class,
    cases.surgery_date,
    cases.fiscal_period,
    cast(coalesce(charges.gross_charges_amount, 0) as decimal(18, 2)) as gross_charges_amount,
    cast(null as decimal(18, 2)) as expected_net_revenue_amount,
    cast(coalesce(costs.supply_cost_amount, 0) as decimal(18, 2)) as supply_cost_amount,
    cast(coalesce(costs.implant_cost_amount, 0) as decimal(18, 2)) as implant_cost_amount,
    cast(coalesce(costs.wasted_cost_amount, 0) as decimal(18, 2)) as wasted_cost_amount,
    cast(null as decimal(18, 2)) as contribution_margin_amount,
    'no net basis' as completeness
from cases
left join charges
    on cases.case_id = charges.case_id
left join costs
    on cases.case_id = costs.case_id
