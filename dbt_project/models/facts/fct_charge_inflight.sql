-- One row for each charge that has not been posted yet, at one station.
-- Grain and key: charge_inflight_key (station, record). Stations: router (stage 1 or 2), review (status 3), unposted (latest
-- snapshot, Q45). They are stations of one charge: never sum them, the largest counts. quantity_each is in EACH (Q48).
-- Distribution: facility_id, case_id.
with waiting as (
    select
        'router' as station,
        router_id as record_id,
        log_id,
        supply_id,
        implant_id,
        charge_procedure_id,
        account_token,
        charge_quantity,
        cast(null as decimal(18, 2)) as tx_amount,
        service_date,
        'CLARITY_UCL' as source_extract,
        source_file,
        source_line
    from {{ ref('stg_hb__charge_router') }}
    where router_stage in (1, 2)
    union all
    select
        'review',
        review_id || '-' || cast(line_number as varchar),
        log_id,
        supply_id,
        implant_id,
        charge_procedure_id,
        account_token,
        charge_quantity,
        tx_amount,
        service_date,
        'PRE_AR_CHG',
        source_file,
        source_line
    from {{ ref('stg_hb__charge_review') }}
    where charge_status = 3
    union all
    select
        'unposted',
        unposted_charge_id || '-' || cast(line_number as varchar),
        log_id,
        supply_id,
        cast(null as varchar),
        charge_procedure_id,
        account_token,
        charge_quantity,
        tx_amount,
        service_date,
        'HSP_PRE_AR_TX',
        source_file,
        source_line
    from {{ ref('stg_hb__unposted_charge') }}
)
select
    {{ surrogate_key(["'hb'", 'waiting.station', 'waiting.record_id']) }} as charge_inflight_key,
    waiting.station,
    waiting.record_id,
    cases.facility_id,
    waiting.log_id as case_id,
    waiting.supply_id,
    waiting.implant_id,
    code.charge_code,
    coalesce(account.survivor_account_token, waiting.account_token) as account_token,
    waiting.service_date,
    waiting.charge_quantity,
    {{ charge_quantity_each('waiting.charge_quantity', 'price', 'item', 'hcpcs') }} as quantity_each,
    waiting.tx_amount,
    'hb' as source_system,
    waiting.source_extract,
    waiting.record_id as source_key,
    waiting.source_file,
    waiting.source_line
from waiting
left join {{ ref('dim_case') }} as cases
    on waiting.log_id = cases.case_id
left join {{ ref('dim_charge_code') }} as code
    on waiting.charge_procedure_id = code.charge_procedure_id
left join {{ ref('dim_hospital_account') }} as account
    on waiting.account_token = account.account_token
left join {{ ref('bridge_item_xref') }} as xref
    on xref.source_system = 'ehr'
    and waiting.supply_id = xref.source_item_no
    and xref.is_accepted
left join {{ ref('dim_item') }} as item
    on xref.item_key = item.item_key
left join {{ ref('dim_charge_price') }} as price
    on code.charge_code = price.charge_code
    and {{ in_force('waiting.service_date', 'price.valid_from', 'price.valid_to') }}
left join {{ ref('stg_ref__hcpcs') }} as hcpcs
    on price.unit_of_charge = 'CM2'
    and price.hcpcs_code = hcpcs.hcpcs_code
    and {{ in_force('waiting.service_date', 'hcpcs.valid_from', 'hcpcs.valid_to') }}
qualify row_number() over (
    partition by waiting.station, waiting.record_id
    order by price.service_area_id, hcpcs.valid_from desc
) = 1
