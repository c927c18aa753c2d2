-- Contract price lines, GPO, IDN and local. unit_price is USD per uom of quantity_each EACH; effective_to is
-- inclusive. Grain and key: contract_no, version, supplier_no, vendor_cat, uom, tier, effective_from. Latest version
-- as of the run.
select
    upper(trim(contract_no)) as contract_number,
    try_cast(version as bigint) as contract_version,
    trim(contract_type) as contract_type,
    {{ supply_document_id('supplier_no') }} as supplier_no,
    nullif(trim(mfr_name), '') as manufacturer_name,
    nullif(trim(mfr_cat_no), '') as manufacturer_catalogue_number,
    nullif(trim(vendor_cat), '') as vendor_catalogue_number,
    nullif(trim(gtin), '') as gtin,
    trim(uom) as uom,
    coalesce(nullif({{ to_decimal('qty_in_each', 18, 8) }}, 0), 1) as quantity_each,
    {{ to_decimal('price', 18, 5) }} as unit_price,
    try_cast(tier as bigint) as tier,
    trim(price_type) as price_type,
    {{ to_decimal('markup_pct', 9, 4) }} as markup_pct,
    coalesce(trim(hold) = 'Y', false) as is_on_hold,
    try_cast(priority as bigint) as priority,
    {{ to_date('effective_from') }} as effective_from,
    {{ to_date('effective_to') }} as effective_to,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_ref', 'GPO_CONTRACT_PRICE'),
    ['contract_no', 'version', 'supplier_no', 'vendor_cat', 'uom', 'tier', 'effective_from']
) }} as newest
