-- One row for each charge chain: a charge with its reversals, reposts, corrections and credits, net.
-- Grain and key: charge_chain_key (charge_root_tx_id). Active: net quantity or net amount is not zero. Item, implant, log,
-- account, code and date are those of its latest charge that is not reversed, else of the root.
-- Additive: net_quantity_each, net_amount. Distribution: facility_id, account_token.
with speaking as (
    select *
    from {{ ref('fct_charge_txn') }}
    where is_linked
    qualify row_number() over (
        partition by charge_root_tx_id
        order by
            case when not is_reversed and not is_reversal then 0 when tx_id = charge_root_tx_id then 1 else 2 end,
            post_date desc nulls last,
            length(tx_id) desc,
            tx_id desc
    ) = 1
),
totals as (
    select
        charge_root_tx_id,
        cast(sum(charge_quantity) as decimal(18, 4)) as net_charge_quantity,
        cast(sum(quantity_each) as decimal(18, 4)) as net_quantity_each,
        cast(sum(tx_amount) as decimal(18, 2)) as net_amount,
        min(post_date) as first_post_date,
        max(post_date) as last_post_date,
        cast(count(*) as integer) as transaction_count
    from {{ ref('fct_charge_txn') }}
    where is_linked
    group by charge_root_tx_id
),
chains as (
    select
        speaking.*,
        totals.net_charge_quantity,
        totals.net_quantity_each,
        totals.net_amount,
        totals.first_post_date,
        totals.last_post_date,
        totals.transaction_count
    from totals
    inner join speaking
        on totals.charge_root_tx_id = speaking.charge_root_tx_id
    union all
    select
        *,
        charge_quantity,
        quantity_each,
        tx_amount,
        post_date,
        post_date,
        1
    from {{ ref('fct_charge_txn') }}
    where not is_linked
)
select
    {{ surrogate_key(["'hb'", 'charge_root_tx_id']) }} as charge_chain_key,
    charge_root_tx_id,
    facility_id,
    department,
    account_token,
    case_id,
    supply_id,
    implant_id,
    item_key,
    charge_code,
    revenue_code,
    service_date,
    {{ calendar_month('service_date') }} as fiscal_period,
    post_date as charge_post_date,
    first_post_date,
    last_post_date,
    coalesce(net_charge_quantity, 0) <> 0 or net_amount <> 0 as is_active,
    net_charge_quantity,
    net_quantity_each,
    net_amount,
    transaction_count,
    source_system,
    source_extract,
    source_key,
    source_file,
    source_line
from chains
