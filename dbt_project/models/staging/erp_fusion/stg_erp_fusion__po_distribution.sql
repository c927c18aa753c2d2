-- Distributions of cloud order lines: where the goods go and which account they are charged to. Grain and key:
-- PoDistributionId. Latest version as of the run.
select
    try_cast(PoDistributionId as bigint) as po_distribution_id,
    try_cast(LineLocationId as bigint) as line_location_id,
    try_cast(PoLineId as bigint) as po_line_id,
    try_cast(CodeCombinationId as bigint) as code_combination_id,
    trim(DestinationTypeCode) as destination_type,
    nullif(trim(DestinationSubinventory), '') as subinventory_code,
    {{ to_timestamp_text('LastUpdateDate') }} as updated_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_erp_fusion', 'PO_DISTRIBUTIONS'),
    ['PoDistributionId'],
    cursor='LastUpdateDate'
) }} as newest
where
    {{ supply_not_deleted('PO_DISTRIBUTIONS', 'PoDistributionId', cursor='LastUpdateDate') }}
