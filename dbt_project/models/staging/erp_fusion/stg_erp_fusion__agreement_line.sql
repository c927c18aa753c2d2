-- Cloud agreement price lines; effective_to is inclusive. Grain and key: AgreementLineId. Latest version as of the
-- run.
select
    try_cast(AgreementLineId as bigint) as agreement_line_id,
    try_cast(AgreementHeaderId as bigint) as agreement_header_id,
    upper(nullif(trim(SupplierContractNumber), '')) as contract_number,
    try_cast(ItemId as bigint) as inventory_item_id,
    nullif(trim(SupplierItem), '') as vendor_catalogue_number,
    trim(UomCode) as uom,
    {{ to_decimal('Price', 18, 5) }} as unit_price,
    {{ to_date('PriceStartDate') }} as effective_from,
    {{ to_date('PriceEndDate') }} as effective_to,
    coalesce(trim(HoldFlag) = 'Y', false) as is_on_hold,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'AGREEMENT_LINES'),
    ['AgreementLineId'],
    cursor='LastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted('AGREEMENT_LINES', 'AgreementLineId', cursor='LastUpdateDate') }}
