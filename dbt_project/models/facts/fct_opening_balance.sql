-- One row for each facility and account role: what both ledgers opened with, before the first journal line there is.
-- Grain: facility_id, account_role. Key: opening_balance_key. net_amount is additive; debits positive.
-- Distribution: facility_id.
-- The opening of a world is in the balances, never in journals: the first fiscal year of a legacy company, the first period of
-- the cloud ledger (landscape section 7.6).
with openings as (
    select
        'erp_lawson' as source_system,
        'COMPANY' as id_type,
        cast(company as varchar) as source_id,
        account_number as natural_account,
        sub_account,
        opening_debit_amount + opening_credit_amount as net_amount
    from {{ ref('stg_erp_lawson__gl_amount') }}
    qualify fiscal_year = min(fiscal_year) over (partition by company)
    union all
    select
        'erp_fusion' as source_system,
        'SEGMENT1' as id_type,
        combination.company_segment as source_id,
        combination.natural_account,
        cast(null as varchar) as sub_account,
        balance.opening_debit_amount - balance.opening_credit_amount as net_amount
    from {{ ref('stg_erp_fusion__account_balance') }} as balance
    inner join {{ ref('stg_erp_fusion__code_combination') }} as combination
        on balance.code_combination_id = combination.code_combination_id
    where balance.currency_code = 'USD' and balance.is_actual
    qualify
        balance.period_year * 100 + balance.period_number
        = min(balance.period_year * 100 + balance.period_number) over (partition by balance.ledger_id)
)

select
    {{ surrogate_key(['facility.facility_id', 'account.account_role']) }} as opening_balance_key,
    facility.facility_id,
    account.account_role,
    max(account.account_type) as account_type,
    cast(sum(openings.net_amount) as decimal(18, 2)) as net_amount
from openings
inner join {{ ref('bridge_facility_code') }} as facility
    on openings.source_system = facility.source_system
    and openings.id_type = facility.id_type
    and openings.source_id = facility.source_id
inner join {{ ref('dim_account') }} as account
    on openings.source_system = account.source_system
    and openings.natural_account = account.natural_account
    and openings.sub_account is not distinct from account.sub_account
where account.account_role is not null
group by facility.facility_id, account.account_role
