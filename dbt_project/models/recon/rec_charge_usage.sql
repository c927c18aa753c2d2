-- One row for each active supply or implant charge chain on a surgical account: does anything explain it.
-- Grain and key: entity_key (charge root). Revenue codes 0270 to 0279 and 0621 to 0624. Explained by a usage line of the account
-- with its implant, supply or golden item, or, for a charge without either, its charge code; else by an inventory issue, net of
-- returns, tagged to a case of the account. Additive: net_amount. Distribution: facility_id, account.
with cases as (
    select case_id, facility_id, account_token
    from {{ ref('dim_case') }}
    where account_token is not null
),
surgical_accounts as (
    select account_token, min(facility_id) as facility_id
    from cases
    group by account_token
),
chains as (
    select
        chain.*,
        coalesce(cases.account_token, chain.account_token) as home_account_token
    from {{ ref('fct_charge_net') }} as chain
    left join cases
        on chain.case_id = cases.case_id
    where chain.is_active
        and (chain.revenue_code between '0270' and '0279' or chain.revenue_code between '0621' and '0624')
),
judged as (
    select
        chains.*,
        coalesce(chains.facility_id, surgical_accounts.facility_id) as site_id
    from chains
    inner join surgical_accounts
        on chains.home_account_token = surgical_accounts.account_token
),
usage_lines as (
    select
        cases.account_token,
        line.documented_item as supply_id,
        line.implant_id,
        line.item_key,
        line.charge_code
    from {{ ref('fct_usage_line') }} as line
    inner join cases
        on line.case_id = cases.case_id
    where line.is_countable
),
explained_by_usage as (
    select judged.charge_root_tx_id
    from judged
    inner join usage_lines
        on judged.home_account_token = usage_lines.account_token
        and judged.implant_id = usage_lines.implant_id
    union
    select judged.charge_root_tx_id
    from judged
    inner join usage_lines
        on judged.home_account_token = usage_lines.account_token
        and judged.supply_id = usage_lines.supply_id
    union
    select judged.charge_root_tx_id
    from judged
    inner join usage_lines
        on judged.home_account_token = usage_lines.account_token
        and judged.item_key = usage_lines.item_key
    union
    select judged.charge_root_tx_id
    from judged
    inner join usage_lines
        on judged.home_account_token = usage_lines.account_token
        and judged.charge_code = usage_lines.charge_code
    where judged.supply_id is null
        and judged.implant_id is null
),
issued as (
    select cases.account_token, txn.item_key
    from {{ ref('fct_inventory_txn') }} as txn
    inner join cases
        on txn.case_id = cases.case_id
    where txn.movement in ('ISSUE', 'CONSIGN_USE', 'WASTE', 'RETURN')
        and txn.item_key is not null
    group by cases.account_token, txn.item_key
    having sum(-txn.quantity_each) > 0
),
item_charge_codes as (
    select xref.item_key, item.charge_code
    from {{ ref('stg_ehr__supply_item') }} as item
    inner join {{ ref('bridge_item_xref') }} as xref
        on xref.source_system = 'ehr'
        and item.supply_id = xref.source_item_no
        and xref.is_accepted
    where item.charge_code is not null
    union
    select xref.item_key, item.charge_code
    from {{ ref('stg_pou__item') }} as item
    inner join {{ ref('bridge_item_xref') }} as xref
        on xref.source_system = 'pou'
        and item.item_no = xref.source_item_no
        and xref.is_accepted
    where item.charge_code is not null
),
explained_by_issue as (
    select judged.charge_root_tx_id
    from judged
    inner join issued
        on judged.home_account_token = issued.account_token
        and judged.item_key = issued.item_key
    union
    select judged.charge_root_tx_id
    from judged
    inner join issued
        on judged.home_account_token = issued.account_token
    inner join item_charge_codes
        on issued.item_key = item_charge_codes.item_key
        and judged.charge_code = item_charge_codes.charge_code
    where judged.supply_id is null
        and judged.implant_id is null
),
evidence as (
    select
        txn.charge_root_tx_id,
        {{ evidence_of('txn') }} as items
    from {{ ref('fct_charge_txn') }} as txn
    inner join judged
        on txn.charge_root_tx_id = judged.charge_root_tx_id
    left join explained_by_usage
        on judged.charge_root_tx_id = explained_by_usage.charge_root_tx_id
    left join explained_by_issue
        on judged.charge_root_tx_id = explained_by_issue.charge_root_tx_id
    where explained_by_usage.charge_root_tx_id is null
        and explained_by_issue.charge_root_tx_id is null
    group by txn.charge_root_tx_id
)
select
    judged.charge_chain_key,
    'charge=' || judged.charge_root_tx_id as entity_key,
    judged.site_id as facility_id,
    judged.first_post_date as business_date,
    case when judged.site_id is null or judged.first_post_date is null then 'site or post date unknown' end as out_of_scope_reason,
    judged.charge_root_tx_id,
    judged.service_date,
    judged.revenue_code,
    judged.charge_code,
    judged.net_amount,
    cast(abs(judged.net_amount) as decimal(18, 2)) as impact_amount,
    explained_by_usage.charge_root_tx_id is not null or explained_by_issue.charge_root_tx_id is not null as is_explained,
    case
        when explained_by_usage.charge_root_tx_id is not null then 'documented usage'
        when explained_by_issue.charge_root_tx_id is not null then 'inventory issue'
        else 'nothing'
    end as explained_by,
    judged.first_post_date as anchor_date,
    {{ evidence_json(['evidence.items']) }} as evidence
from judged
left join explained_by_usage
    on judged.charge_root_tx_id = explained_by_usage.charge_root_tx_id
left join explained_by_issue
    on judged.charge_root_tx_id = explained_by_issue.charge_root_tx_id
left join evidence
    on judged.charge_root_tx_id = evidence.charge_root_tx_id
