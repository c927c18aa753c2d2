-- One row for each external id of a supply item.
-- Grain and key: supply_id, line_number. Latest version as of the run.
select
    SUPPLY_ID as supply_id,
    try_cast(LINE as bigint) as line_number,
    try_cast(IDENTITY_TYPE_ID as bigint) as identity_type,
    trim(IDENTITY_ID) as identity_value,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'IDENTITY_SUP_ID'), ['SUPPLY_ID', 'LINE']) }} as latest
