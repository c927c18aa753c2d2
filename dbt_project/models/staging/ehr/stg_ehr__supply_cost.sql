-- One row for each supply item and date from which a cost holds.
-- Grain and key: supply_id, effective_date. Latest version as of the run.
select
    ITEM_ID as supply_id,
    {{ to_date("EFFECTIVE_DATE") }} as effective_date,
    {{ to_decimal("COST_PER_UNIT_OT", scale=5) }} as unit_cost,
    {{ to_decimal("CHARGE_PER_UNIT_OT", scale=5) }} as unit_charge,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_SPLY_OVTM'), ['ITEM_ID', 'EFFECTIVE_DATE'], cursor='EFFECTIVE_DATE') }} as latest
