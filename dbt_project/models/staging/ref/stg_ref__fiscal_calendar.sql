-- One row for each fiscal period of a calendar.
-- Grain and key: calendar_id, fiscal_year, period_num. Latest version as of the run.
select
    calendar_id as calendar_id,
    try_cast(fiscal_year as bigint) as fiscal_year,
    try_cast(period_num as bigint) as period_num,
    period_name as period_name,
    {{ to_date("start_date") }} as start_date,
    {{ to_date("end_date") }} as end_date,
    is_adjustment = 'Y' as is_adjustment,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'FISCAL_CALENDAR'), ['calendar_id', 'fiscal_year', 'period_num']) }} as latest
