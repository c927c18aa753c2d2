-- One row for each implant record.
-- Grain and key: implant_id. Latest version as of the run. Test patients are gone (Q16).
select
    IMPLANT_ID as implant_id,
    IMPLANT_NAME as implant_name,
    try_cast(IMPLANT_TYPE_C as bigint) as implant_type_category,
    try_cast(MANUFACTURER_C as bigint) as manufacturer_category,
    MODEL_NUMBER as model_number,
    SERIAL_NUMBER as serial_token,
    trim(LOT_NUMBER) as lot_number,
    {{ to_date("EXPIRATION_DATE") }} as expiry_date,
    {{ to_date("RECEIVED_DATE") }} as received_date,
    {{ to_date("RECALLED_DATE") }} as recalled_date,
    try_cast(STATUS_C as bigint) as implant_status_category,
    INVENTORY_ITEM_ID as supply_id,
    MANUF_NUM as manufacturer_catalogue_number,
    SUP_CAT_NUM as supplier_catalogue_number,
    {{ to_decimal("UNIT_COST", scale=5) }} as unit_cost,
    PASS_THROUGH_CODE as pass_through_code,
    CHARGE_CODE_EAP_ID as charge_procedure_id,
    TISSUE_YN = 'Y' as is_tissue,
    STATIC_UDI as static_udi,
    try_cast(STATIC_UDI_TYPE_C as bigint) as static_udi_type,
    try_cast(SUPPLY_TYPE_C as bigint) as supply_type_category,
    {{ to_date("EXPLANT_WARRANTY_COMPLETION_DT") }} as explant_warranty_completed_date,
    PAT_ID as patient_token,
    try_cast(UPDATE_DATE as timestamp) as updated_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_IMP'), ['IMPLANT_ID'], cursor='UPDATE_DATE') }} as latest
where {{ is_no_test_record("PAT_ID", "patient") }}
