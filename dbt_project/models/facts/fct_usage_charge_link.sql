-- Which usage of a case a charge chain stands for: one row for each active chain that was linked.
-- Grain and key: charge_root_tx_id. Pass 1: by log with implant or supply, usage documented or not. Pass 2: what is left, or has
-- no log, supply or implant, by implant, supply or charge code on the same account within a day of the surgery, one chain after
-- the other, to what is still expected there. Each pass consumes what it linked. Distribution: facility_id, account.
with recursive
used as (
    select
        case_id,
        entity_name,
        min_by(documented_item, line_rank) as supply_id,
        max(implant_id) as implant_id,
        min_by(charge_code, line_rank) as charge_code,
        sum(chargeable_each) as expected_each
    from (
        select
            *,
            row_number() over (partition by case_id, entity_name order by {{ usage_line_order() }}) as line_rank
        from {{ ref('fct_usage_line') }}
        where is_countable
            and entity_name is not null
    ) as lines
    group by case_id, entity_name
),
cases as (
    select case_id, account_token, surgery_date
    from {{ ref('dim_case') }}
    where is_countable
),
chains as (
    select
        chain.charge_root_tx_id,
        chain.case_id,
        chain.supply_id,
        chain.implant_id,
        chain.account_token,
        coalesce(cases.account_token, chain.account_token) as home_account_token,
        chain.charge_code,
        chain.service_date,
        chain.net_quantity_each,
        cases.case_id is not null as is_on_case,
        case
            when chain.implant_id is not null then 'implant=' || chain.implant_id
            when chain.supply_id is not null then 'item=' || chain.supply_id
        end as entity_name
    from {{ ref('fct_charge_net') }} as chain
    left join cases
        on chain.case_id = cases.case_id
    where chain.is_active
),
implant_supplies as (
    select distinct case_id, supply_id
    from used
    where implant_id is not null
        and supply_id is not null
),
direct as (
    select chains.charge_root_tx_id, chains.case_id, chains.entity_name, chains.net_quantity_each
    from chains
    left join used
        on chains.case_id = used.case_id
        and chains.entity_name = used.entity_name
    left join implant_supplies
        on chains.case_id = implant_supplies.case_id
        and chains.supply_id = implant_supplies.supply_id
    where chains.is_on_case
        and chains.entity_name is not null
        and (chains.implant_id is not null or used.entity_name is not null or implant_supplies.supply_id is null)
),
open_entities as (
    select
        cases.account_token,
        used.case_id,
        used.entity_name,
        cases.surgery_date,
        used.supply_id,
        used.implant_id,
        used.charge_code,
        used.expected_each - coalesce(linked.charged_each, 0) as left_each
    from used
    inner join cases
        on used.case_id = cases.case_id
    left join (
        select case_id, entity_name, sum(net_quantity_each) as charged_each
        from direct
        group by case_id, entity_name
    ) as linked
        on used.case_id = linked.case_id
        and used.entity_name = linked.entity_name
    where cases.account_token is not null
),
fitting as (
    select
        chains.charge_root_tx_id,
        chains.net_quantity_each,
        entity.account_token,
        entity.case_id,
        entity.entity_name
    from chains
    inner join open_entities as entity
        on chains.home_account_token = entity.account_token
        and entity.left_each > 0
        and (not chains.is_on_case or chains.case_id = entity.case_id)
        and abs({{ day_difference('chains.service_date', 'entity.surgery_date') }}) <= 1
        and case
            when chains.implant_id is not null then chains.implant_id = entity.implant_id
            when chains.supply_id is not null then chains.supply_id = entity.supply_id
            else chains.charge_code = entity.charge_code
        end
    left join direct
        on chains.charge_root_tx_id = direct.charge_root_tx_id
    where direct.charge_root_tx_id is null
),
remaining_chains as (
    select
        account_token,
        charge_root_tx_id,
        net_quantity_each,
        row_number() over (partition by account_token order by charge_root_tx_id) as turn
    from (select distinct account_token, charge_root_tx_id, net_quantity_each from fitting) as chain
),
turns as (
    select
        entity.account_token,
        entity.case_id,
        entity.entity_name,
        entity.surgery_date,
        cast(entity.left_each as decimal(18, 4)) as left_each,
        cast(null as varchar) as charge_root_tx_id,
        cast(0 as bigint) as turn
    from open_entities as entity
    inner join (select distinct account_token, case_id, entity_name from fitting) as wanted
        on entity.account_token = wanted.account_token
        and entity.case_id = wanted.case_id
        and entity.entity_name = wanted.entity_name
    union all
    select
        account_token,
        case_id,
        entity_name,
        surgery_date,
        cast(case when is_chosen then left_each - net_quantity_each else left_each end as decimal(18, 4)),
        case when is_chosen then charge_root_tx_id end,
        turn
    from (
        select
            entity.account_token,
            entity.case_id,
            entity.entity_name,
            entity.surgery_date,
            entity.left_each,
            chain.charge_root_tx_id,
            chain.net_quantity_each,
            chain.turn,
            fitting.entity_name is not null
                and entity.left_each > 0
                and row_number() over (
                    partition by entity.account_token
                    order by
                        case when fitting.entity_name is not null and entity.left_each > 0 then 0 else 1 end,
                        case when entity.left_each = chain.net_quantity_each then 0 else 1 end,
                        entity.surgery_date,
                        entity.case_id,
                        entity.entity_name
                ) = 1 as is_chosen
        from turns as entity
        inner join remaining_chains as chain
            on entity.account_token = chain.account_token
            and chain.turn = entity.turn + 1
        left join fitting
            on chain.charge_root_tx_id = fitting.charge_root_tx_id
            and entity.case_id = fitting.case_id
            and entity.entity_name = fitting.entity_name
    ) as candidates
)
select
    {{ surrogate_key(["'hb'", 'linked.charge_root_tx_id']) }} as charge_chain_key,
    linked.charge_root_tx_id,
    linked.case_id,
    linked.entity_name,
    linked.link_pass
from (
    select charge_root_tx_id, case_id, entity_name, 1 as link_pass
    from direct
    union all
    select charge_root_tx_id, case_id, entity_name, 2
    from turns
    where charge_root_tx_id is not null
) as linked
