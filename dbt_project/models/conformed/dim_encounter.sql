-- One row for each hospital encounter with its account.
-- Grain and key: encounter_token. Distribution: encounter_token.
select
    encounter.encounter_token,
    encounter.patient_token,
    coalesce(account.survivor_account_token, encounter.account_token) as account_token,
    account.base_class,
    coalesce(account.is_research, false) as is_research,
    account.payer_class,
    encounter.patient_class_category,
    encounter.ehr_department_id,
    encounter.admitted_at,
    encounter.discharged_at
from {{ ref('stg_ehr__hospital_encounter') }} as encounter
left join {{ ref('dim_hospital_account') }} as account
    on encounter.account_token = account.account_token
