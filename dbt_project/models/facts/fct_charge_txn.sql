-- One row for each posted charge transaction, reversals and credits included (negative).
-- Grain and key: charge_txn_key (TX_ID). charge_root_tx_id is the transaction with which its chain began: the originals of
-- reversals, reposts, corrections and credits are followed, and the root that the billing system names where it does (Q40, Q41).
-- quantity_each is the charge quantity in EACH: boxes and square centimetres are converted (Q48). Additive: quantity_each,
-- tx_amount. account_token is the surviving account of combined ones (Q42). Distribution: facility_id, account_token.
with recursive
charges as (
    select * from {{ ref('stg_hb__transaction') }} where tx_type = 1
),
links as (
    select charge.tx_id, charge.reverses_tx_id as origin_tx_id from charges as charge
    union
    select tx_id, reposts_tx_id from charges
    union
    select tx_id, corrects_tx_id from charges
    union
    select tx_id, credits_tx_id from charges
    union
    select chain.tx_id, chain.chain_root_tx_id
    from {{ ref('stg_hb__transaction_chain') }} as chain
    inner join charges
        on chain.tx_id = charges.tx_id
),
edges as (
    select links.tx_id, links.origin_tx_id
    from links
    inner join charges
        on links.origin_tx_id = charges.tx_id
    where links.origin_tx_id <> links.tx_id
),
neighbours as (
    select tx_id, origin_tx_id as other_tx_id from edges
    union
    select origin_tx_id, tx_id from edges
),
reach as (
    select tx_id, other_tx_id from neighbours
    union
    select reach.tx_id, neighbours.other_tx_id
    from reach
    inner join neighbours
        on reach.other_tx_id = neighbours.tx_id
),
first_rows as (
    select charges.tx_id, charges.post_date
    from charges
    where charges.tx_id not in (select tx_id from edges)
),
roots as (
    select
        reach.tx_id,
        coalesce(
            min_by(first_rows.tx_id, (first_rows.post_date, length(first_rows.tx_id), first_rows.tx_id)),
            min(reach.other_tx_id)
        ) as root_tx_id
    from reach
    left join first_rows
        on reach.other_tx_id = first_rows.tx_id
    group by reach.tx_id
),
reversed as (
    select distinct reverses_tx_id as tx_id from charges where reverses_tx_id is not null
),
described as (
    select
        charges.*,
        coalesce(roots.root_tx_id, charges.tx_id) as charge_root_tx_id,
        roots.root_tx_id is not null as is_linked,
        reversed.tx_id is not null as is_reversed,
        charges.reverses_tx_id is not null or charges.credits_tx_id is not null as is_reversal,
        code.charge_code,
        revenue.revenue_code,
        hospital.facility_id,
        cost_centre.department,
        coalesce(account.survivor_account_token, charges.account_token) as survivor_account_token,
        xref.item_key
    from charges
    left join roots
        on charges.tx_id = roots.tx_id
    left join reversed
        on charges.tx_id = reversed.tx_id
    left join {{ ref('dim_charge_code') }} as code
        on charges.charge_procedure_id = code.charge_procedure_id
    left join {{ ref('stg_ehr__revenue_code') }} as revenue
        on charges.ub_revenue_code_id = revenue.ub_revenue_code_id
    left join {{ ref('stg_ehr__department') }} as department
        on charges.ehr_department_id = department.ehr_department_id
    left join {{ ref('bridge_facility_code') }} as hospital
        on hospital.source_system = 'ehr'
        and hospital.id_type = 'LOC_ID'
        and department.ehr_location_id = hospital.source_id
        and {{ in_force('charges.service_date', 'hospital.valid_from', 'hospital.valid_to') }}
    left join {{ ref('bridge_cost_centre_xref') }} as centre
        on centre.source_system = 'ehr'
        and department.ehr_location_id = centre.scope
        and charges.ehr_department_id = centre.source_code
        and {{ in_force('charges.service_date', 'centre.valid_from', 'centre.valid_to') }}
    left join {{ ref('dim_cost_centre') }} as cost_centre
        on centre.cost_centre_id = cost_centre.cost_centre_id
    left join {{ ref('dim_hospital_account') }} as account
        on charges.account_token = account.account_token
    left join {{ ref('bridge_item_xref') }} as xref
        on xref.source_system = 'ehr'
        and charges.supply_id = xref.source_item_no
        and xref.is_accepted
)
select
    {{ surrogate_key(["'hb'", 'described.tx_id']) }} as charge_txn_key,
    described.tx_id,
    described.charge_root_tx_id,
    described.is_linked,
    described.facility_id,
    described.department,
    described.survivor_account_token as account_token,
    described.log_id as case_id,
    described.supply_id,
    described.implant_id,
    described.item_key,
    described.charge_code,
    described.revenue_code,
    described.service_date,
    described.post_date,
    described.is_reversed,
    described.is_reversal,
    described.charge_quantity,
    {{ charge_quantity_each('described.charge_quantity', 'price', 'item', 'hcpcs') }} as quantity_each,
    described.tx_amount,
    'hb' as source_system,
    'HSP_TRANSACTIONS' as source_extract,
    described.tx_id as source_key,
    described.source_file,
    described.source_line
from described
left join {{ ref('dim_item') }} as item
    on described.item_key = item.item_key
left join {{ ref('dim_charge_price') }} as price
    on described.charge_code = price.charge_code
    and {{ in_force('described.service_date', 'price.valid_from', 'price.valid_to') }}
left join {{ ref('stg_ref__hcpcs') }} as hcpcs
    on price.unit_of_charge = 'CM2'
    and price.hcpcs_code = hcpcs.hcpcs_code
    and {{ in_force('described.service_date', 'hcpcs.valid_from', 'hcpcs.valid_to') }}
qualify row_number() over (partition by described.tx_id order by price.service_area_id, hcpcs.valid_from desc) = 1
