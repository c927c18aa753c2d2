-- One row for each charge procedure of the EHR with its charge code and default revenue code.
-- Grain and key: charge_procedure_id. Distribution: small, everywhere.
select
    charge.charge_procedure_id,
    charge.charge_code,
    charge.charge_name,
    charge.is_active,
    revenue.revenue_code as default_revenue_code,
    charge.hcpcs_code as default_hcpcs_code
from {{ ref('stg_ehr__charge_procedure') }} as charge
left join {{ ref('stg_ehr__revenue_code') }} as revenue
    on charge.ub_revenue_code_id = revenue.ub_revenue_code_id
