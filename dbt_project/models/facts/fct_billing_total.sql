-- What hospital billing posted by site and day: the side that revenue and patient receivables in the ledger are tied to.
-- Grain and key: facility_id, post_date. Amounts are additive. Distribution: facility_id.
-- Test patients are in it, since the ledger took their charges too (Q16); it holds no account.
with posted as (
    select
        DEPARTMENT as ehr_department_id,
        try_cast(TX_TYPE_HA_C as bigint) as tx_type,
        {{ to_decimal('TX_AMOUNT', 18, 2) }} as tx_amount,
        {{ to_date('TX_POST_DATE') }} as post_date
    from {{ latest_version(source('raw_hb', 'HSP_TRANSACTIONS'), ['TX_ID'], cursor='UPDATE_DATE') }} as newest
)

select
    {{ surrogate_key(['facility.facility_id', 'posted.post_date']) }} as billing_total_key,
    facility.facility_id,
    posted.post_date,
    cast(sum(case when posted.tx_type = 1 then posted.tx_amount else 0 end) as decimal(18, 2)) as charge_amount,
    cast(sum(posted.tx_amount) as decimal(18, 2)) as posted_amount
from posted
inner join {{ ref('stg_ehr__department') }} as department
    on posted.ehr_department_id = department.ehr_department_id
inner join {{ ref('bridge_facility_code') }} as facility
    on facility.source_system = 'ehr'
    and facility.id_type = 'LOC_ID'
    and department.ehr_location_id = facility.source_id
    and {{ in_force('posted.post_date', 'facility.valid_from', 'facility.valid_to') }}
where posted.post_date is not null
group by facility.facility_id, posted.post_date
