-- One row for each charge code and date from which a price holds.
-- Grain and key: service_area_id, charge_code, valid_from. Latest version as of the run.
select
    SERV_AREA_ID as service_area_id,
    trim(CHARGE_CODE) as charge_code,
    DESCRIPTION as charge_description,
    {{ to_decimal("PRICE", scale=5) }} as charge_unit_price,
    PRICE_METHOD as price_method,
    lpad(trim(REV_CODE), 4, '0') as revenue_code,
    HCPCS as hcpcs_code,
    ALLOWED_DEPTS as allowed_departments,
    UNIT_OF_CHARGE as unit_of_charge,
    ACTIVE_YN = 'Y' as is_active,
    {{ to_date("EFFECTIVE_FROM") }} as valid_from,
    {{ to_date("EFFECTIVE_TO") }} as effective_to_date,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_hb', 'CDM_PRICE'), ['SERV_AREA_ID', 'CHARGE_CODE', 'EFFECTIVE_FROM']) }} as latest
