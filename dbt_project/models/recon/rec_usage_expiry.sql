-- One row for each used item or implant with a known expiry date: did it expire before the surgery.
-- Grain and key: entity_key (case and item or implant). The earliest date counts, of the implant records and of what was scanned
-- when the item was issued to the case; a scanned day 00 is the last day of its month (Q61). Typed dates are taken as they are
-- (Q23). days_expired is positive when it had expired. Distribution: facility_id, case_id.
with lines as (
    select
        *,
        row_number() over (partition by case_id, item_key order by {{ usage_line_order() }}) as item_rank
    from {{ ref('fct_usage_line') }}
    where is_countable
        and entity_name is not null
),
scanned_names as (
    select case_id, item_key, entity_name
    from lines
    where item_key is not null
        and record_type <> 'implant'
    qualify row_number() over (partition by case_id, item_key order by item_rank) = 1
),
expiries as (
    select case_id, entity_name, expiry_date, source_system, source_extract, source_key, source_file, source_line
    from lines
    where expiry_date is not null
    union all
    select
        scanned_names.case_id,
        scanned_names.entity_name,
        txn.expiry_date,
        txn.source_system,
        txn.source_extract,
        txn.source_key,
        txn.source_file,
        txn.source_line
    from {{ ref('fct_inventory_txn') }} as txn
    inner join scanned_names
        on txn.case_id = scanned_names.case_id
        and txn.item_key = scanned_names.item_key
    where txn.expiry_date is not null
        and txn.movement in ('ISSUE', 'CONSIGN_USE', 'WASTE')
),
earliest as (
    select
        expiries.case_id,
        expiries.entity_name,
        cases.facility_id,
        cases.surgery_date,
        min(expiries.expiry_date) as expiry_date
    from expiries
    inner join {{ ref('dim_case') }} as cases
        on expiries.case_id = cases.case_id
    where cases.surgery_date is not null
    group by expiries.case_id, expiries.entity_name, cases.facility_id, cases.surgery_date
),
evidence as (
    select
        expiries.case_id,
        expiries.entity_name,
        {{ evidence_of('expiries') }} as items
    from expiries
    inner join earliest
        on expiries.case_id = earliest.case_id
        and expiries.entity_name = earliest.entity_name
        and expiries.expiry_date = earliest.expiry_date
    where earliest.expiry_date < earliest.surgery_date
    group by expiries.case_id, expiries.entity_name
)
select
    {{ surrogate_key(['earliest.case_id', 'earliest.entity_name']) }} as usage_expiry_key,
    'case=' || earliest.case_id || '|' || earliest.entity_name as entity_key,
    earliest.facility_id,
    earliest.surgery_date as business_date,
    case when earliest.facility_id is null then 'site unknown' end as out_of_scope_reason,
    earliest.case_id,
    earliest.expiry_date,
    earliest.surgery_date,
    cast({{ day_difference('earliest.expiry_date', 'earliest.surgery_date') }} as integer) as days_expired,
    {{ evidence_json(['evidence.items']) }} as evidence
from earliest
left join evidence
    on earliest.case_id = evidence.case_id
    and earliest.entity_name = evidence.entity_name
