-- One row for each rule of a chargeability policy and validity; an empty criterion matches anything.
-- Grain and key: policy_id, rule_no, valid_from. Latest version as of the run.
select
    policy_id as policy_id,
    try_cast(rule_no as bigint) as rule_no,
    site as facility_id,
    item_class as item_class,
    patient_base_class as base_class,
    disposition as disposition,
    {{ to_decimal("min_unit_cost", scale=5) }} as min_unit_cost,
    research as research_flag,
    chargeable = 'Y' as is_chargeable,
    reason as reason,
    {{ to_date("valid_from") }} as valid_from,
    {{ to_date("valid_to") }} as valid_to,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'CHARGEABILITY_POLICY'), ['policy_id', 'rule_no', 'valid_from']) }} as latest
