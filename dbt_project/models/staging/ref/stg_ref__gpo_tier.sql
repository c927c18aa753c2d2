-- Criteria of contract tiers. Grain and key: contract_no, tier. Latest version as of the run.
select
    upper(trim(contract_no)) as contract_number,
    try_cast(tier as bigint) as tier,
    trim(criterion) as criterion,
    {{ to_decimal('threshold') }} as threshold,
    trim(measure_window) as measure_window,
    trim(measure_level) as measure_level,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'GPO_TIER'), ['contract_no', 'tier']) }} as newest
