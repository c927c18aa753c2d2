-- One row for each UB revenue code.
-- Grain and key: revenue_code. Latest version as of the run.
select
    lpad(trim(rev_code), 4, '0') as revenue_code,
    title as title,
    supply_class as supply_class,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'UB_REV_CODE'), ['rev_code']) }} as latest
