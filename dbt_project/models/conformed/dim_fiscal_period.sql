-- One row for each fiscal period of both calendars (legacy October to September, cloud July to June).
-- Grain and key: calendar_id, fiscal_year, period_num. fiscal_period is the calendar month in which the system reports: the
-- adjustment periods belong to September and June. Distribution: small, everywhere.
select
    {{ surrogate_key(['calendar_id', 'fiscal_year', 'period_num']) }} as fiscal_period_key,
    calendar_id,
    cast(fiscal_year as integer) as fiscal_year,
    cast(period_num as integer) as period_num,
    period_name,
    start_date,
    end_date,
    is_adjustment,
    {{ calendar_month('end_date') }} as fiscal_period
from {{ ref('stg_ref__fiscal_calendar') }}
