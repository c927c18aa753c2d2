-- One row for each surgical or procedural log: the case, who, where, when, on which account, posted or not.
-- Grain and key: case_id (LOG_ID; case_no is the scheduled number that POU and orders carry, never swap them, Q01).
-- is_countable: completed or posted and not voided; only such logs have usage. is_posted: countable with a posting action;
-- posted_date is that of the last posting (Q19). Test patients are not here. The department of a log that is not surgical is that of
-- its charges, else of its documented stock locations, else that of its room or log type. Distribution: facility_id, case_id.
with performed as (
    select
        log.*,
        coalesce(log.surgery_date, scheduled.surgery_date) as performed_date
    from {{ ref('stg_ehr__log') }} as log
    left join {{ ref('stg_ehr__case') }} as scheduled
        on log.case_no = scheduled.case_no
),
logs as (
    select
        log.log_id,
        log.case_no,
        log.performed_date as surgery_date,
        log.room_id,
        log.service_category,
        log.log_status,
        log.log_type_category,
        log.void_reason_category,
        log.ehr_location_id,
        code.facility_id,
        log.source_file,
        log.source_line
    from performed as log
    left join {{ ref('bridge_facility_code') }} as code
        on code.source_system = 'ehr'
        and code.id_type = 'LOC_ID'
        and log.ehr_location_id = code.source_id
        and {{ in_force('log.performed_date', 'code.valid_from', 'code.valid_to') }}
),
postings as (
    select
        log_id,
        cast(min(audited_at) as date) as first_posted_date,
        cast(max(audited_at) as date) as posted_date
    from {{ ref('stg_ehr__log_audit') }}
    where audit_action = 7
    group by log_id
),
links as (
    select case_no, encounter_token
    from {{ ref('stg_ehr__admission_link') }}
    where case_no is not null
    qualify row_number() over (partition by case_no order by updated_at desc nulls last, surgical_encounter_token) = 1
),
log_links as (
    select log_id, encounter_token
    from {{ ref('stg_ehr__admission_link') }}
    where log_id is not null
    qualify row_number() over (partition by log_id order by updated_at desc nulls last, surgical_encounter_token) = 1
),
procedures as (
    select log_id, procedure_id
    from {{ ref('stg_ehr__log_procedure') }}
    qualify row_number() over (partition by log_id order by panel_number nulls last, line_number) = 1
),
cpt_codes as (
    select procedure_id, cpt_code
    from {{ ref('stg_ehr__procedure_cpt') }}
    where cpt_code is not null
    qualify row_number() over (partition by procedure_id order by line_number) = 1
),
surgeons as (
    select log_id, surgeon_id
    from {{ ref('stg_ehr__log_surgeon') }}
    qualify row_number() over (
        partition by log_id
        order by case when role_category = 1 then 0 else 1 end, panel_number nulls last, line_number
    ) = 1
),
service_lines as (
    select category_id, category_name
    from {{ ref('stg_ehr__category') }}
    where category_table = 'ZC_OR_SERVICE'
),
documented_locations as (
    select
        logs.log_id,
        right(location.cost_centre_id, 4) as department
    from {{ ref('stg_ehr__pick_list_supply') }} as supply
    inner join {{ ref('stg_ehr__pick_list') }} as list
        on supply.pick_list_id = list.pick_list_id
        and list.pick_list_type_category = 2
    inner join logs
        on list.log_id = logs.log_id
    inner join {{ ref('bridge_location_xref') }} as xref
        on xref.source_system = 'ehr'
        and logs.ehr_location_id = xref.scope
        and supply.ehr_inventory_location = xref.source_location
        and {{ in_force('logs.surgery_date', 'xref.valid_from', 'xref.valid_to') }}
    inner join {{ ref('dim_location') }} as location
        on xref.location_id = location.location_id
    where location.location_type in ('OR_CORE', 'PROCEDURAL')
),
log_departments as (
    select log_id, department
    from documented_locations
    group by log_id, department
    qualify row_number() over (partition by log_id order by count(*) desc, department) = 1
),
charge_departments as (
    select charge.log_id, cost_centre.department
    from {{ ref('stg_hb__transaction') }} as charge
    inner join {{ ref('stg_ref__cost_centre_map') }} as cost_centre
        on cost_centre.source_system = 'ehr'
        and charge.ehr_department_id = cost_centre.source_code
    where charge.log_id is not null
        and charge.tx_type = 1
    group by charge.log_id, cost_centre.department
    qualify row_number() over (partition by charge.log_id order by count(*) desc, cost_centre.department) = 1
),
known_departments as (
    select
        logs.log_id,
        logs.facility_id,
        logs.room_id,
        logs.log_type_category,
        case
            when logs.log_type_category = 0 then '7010'
            else coalesce(charge_departments.department, log_departments.department)
        end as department
    from logs
    left join charge_departments
        on logs.log_id = charge_departments.log_id
    left join log_departments
        on logs.log_id = log_departments.log_id
),
room_departments as (
    select facility_id, room_id, department
    from known_departments
    where room_id is not null
        and department is not null
    group by facility_id, room_id, department
    qualify row_number() over (partition by facility_id, room_id order by count(*) desc, department) = 1
),
type_departments as (
    select log_type_category, department
    from known_departments
    where department is not null
    group by log_type_category, department
    qualify row_number() over (partition by log_type_category order by count(*) desc, department) = 1
),
placed as (
    select
        logs.*,
        coalesce(known_departments.department, room_departments.department, type_departments.department) as department
    from logs
    inner join known_departments
        on logs.log_id = known_departments.log_id
    left join room_departments
        on logs.facility_id = room_departments.facility_id
        and logs.room_id = room_departments.room_id
    left join type_departments
        on logs.log_type_category = type_departments.log_type_category
),
default_locations as (
    select facility_id, right(cost_centre_id, 4) as department, min(location_id) as location_id
    from {{ ref('dim_location') }}
    where location_type in ('OR_CORE', 'PROCEDURAL')
    group by facility_id, right(cost_centre_id, 4)
)
select
    placed.log_id as case_id,
    placed.case_no,
    placed.facility_id,
    placed.ehr_location_id,
    coalesce(service_lines.category_name, cast(placed.service_category as varchar)) as service_line,
    placed.department,
    default_locations.location_id as default_location_id,
    placed.surgery_date,
    {{ calendar_month('placed.surgery_date') }} as fiscal_period,
    cast(placed.log_status as integer) as log_status,
    coalesce(placed.log_status in (2, 5) and placed.void_reason_category is null, false) as is_countable,
    coalesce(placed.log_status in (2, 5) and placed.void_reason_category is null, false) and postings.posted_date is not null as is_posted,
    postings.first_posted_date,
    postings.posted_date,
    procedures.procedure_id,
    coalesce(cpt_codes.cpt_code, procedures.procedure_id) as procedure_code,
    case when surgeons.surgeon_id is not null then {{ surrogate_key(['surgeons.surgeon_id']) }} end as surgeon_key,
    coalesce(links.encounter_token, log_links.encounter_token) as encounter_token,
    encounter.account_token,
    encounter.base_class,
    coalesce(encounter.is_research, false) as is_research,
    encounter.payer_class,
    placed.source_file,
    placed.source_line
from placed
left join postings
    on placed.log_id = postings.log_id
left join links
    on placed.case_no = links.case_no
left join log_links
    on placed.log_id = log_links.log_id
left join {{ ref('dim_encounter') }} as encounter
    on coalesce(links.encounter_token, log_links.encounter_token) = encounter.encounter_token
left join procedures
    on placed.log_id = procedures.log_id
left join cpt_codes
    on procedures.procedure_id = cpt_codes.procedure_id
left join surgeons
    on placed.log_id = surgeons.log_id
left join service_lines
    on placed.service_category = service_lines.category_id
left join default_locations
    on placed.facility_id = default_locations.facility_id
    and placed.department = default_locations.department
