-- Close events of ledgers and modules, one row an event, in UTC. Grain and key: calendar_id, fiscal_year, period_num,
-- entity, module, status, event_ts. Latest version as of the run.
select
    trim(calendar_id) as calendar_id,
    try_cast(fiscal_year as bigint) as fiscal_year,
    try_cast(period_num as bigint) as period_num,
    trim(entity) as entity,
    trim(module) as module,
    trim(status) as status,
    {{ to_timestamp_text('event_ts') }} as event_at,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_ref', 'PERIOD_CLOSE'),
    ['calendar_id', 'fiscal_year', 'period_num', 'entity', 'module', 'status', 'event_ts']
) }} as newest
