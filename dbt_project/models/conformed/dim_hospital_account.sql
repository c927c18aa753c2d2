-- One row for each hospital account, with the account that survived when it was combined (Q42).
-- Grain and key: account_token. Class, research flag and payer are those of the surviving account.
-- Distribution: account_token.
with recursive
accounts as (
    select * from {{ ref('stg_hb__account') }}
),
walk as (
    select account_token, account_token as reached_token, 0 as steps
    from accounts
    union
    select walk.account_token, accounts.combined_into_account_token, walk.steps + 1
    from walk
    inner join accounts
        on walk.reached_token = accounts.account_token
    where accounts.combined_into_account_token is not null
        and accounts.combined_into_account_token <> walk.account_token
        and walk.steps < 20
),
survivors as (
    select account_token, max_by(reached_token, steps) as survivor_account_token
    from walk
    group by account_token
)
select
    accounts.account_token,
    survivors.survivor_account_token,
    coalesce(survivor.base_class, accounts.base_class) as base_class,
    coalesce(survivor.is_research, accounts.is_research, false) as is_research,
    coalesce(
        payer.category_name,
        cast(coalesce(survivor.financial_class_category, accounts.financial_class_category) as varchar)
    ) as payer_class,
    accounts.admitted_at,
    accounts.discharged_at,
    survivors.survivor_account_token <> accounts.account_token as is_combined
from accounts
inner join survivors
    on accounts.account_token = survivors.account_token
left join accounts as survivor
    on survivors.survivor_account_token = survivor.account_token
left join (
    select category_id, min(category_name) as category_name
    from {{ ref('stg_ehr__category') }}
    where category_table like '%FIN_CLASS%'
    group by category_id
) as payer
    on coalesce(survivor.financial_class_category, accounts.financial_class_category) = payer.category_id
