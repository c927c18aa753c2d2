-- One row for each supply of a pick list.
-- Grain and key: pick_list_id, line_number. Latest version as of the run. Test patients are gone (Q16).
select
    PICK_LIST_ID as pick_list_id,
    try_cast(LINE as bigint) as line_number,
    SUPPLY_ID as supply_id,
    {{ to_decimal("NUM_NEEDED_OPEN") }} as needed_open_each,
    {{ to_decimal("NUM_SUPPLIES_PRN") }} as on_hold_each,
    {{ to_decimal("SUPPLIES_USED") }} as used_each,
    {{ to_decimal("SUPPLIES_WASTED") }} as wasted_each,
    try_cast(RSN_SUP_WASTED_C as bigint) as waste_reason_category,
    {{ to_decimal("SUP_UNIT_COST", scale=5) }} as documented_unit_cost,
    {{ to_decimal("SUP_UNIT_CHARGE", scale=5) }} as documented_unit_charge,
    {{ to_decimal("SUP_UNIT_WASTE_CHRG", scale=5) }} as documented_waste_charge,
    CHARGEABLE_YN as chargeable_flag,
    trim(SUPPLY_INV_LOC_ID) as ehr_inventory_location,
    IMPLANT_YN as implant_flag,
    STATIC_UDI as static_udi,
    try_cast(STATIC_UDI_TYPE_C as bigint) as static_udi_type,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_PKLST_SUP_LIST'), ['PICK_LIST_ID', 'LINE']) }} as latest
where {{ is_no_test_record("PICK_LIST_ID", "pick_list") }}
