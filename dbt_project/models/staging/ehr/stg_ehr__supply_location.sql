-- One row for each supply item and hospital.
-- Grain and key: supply_id, ehr_location_id. Latest version as of the run.
select
    ITEM_ID as supply_id,
    OR_LOC_ID as ehr_location_id,
    ACTIVE_OR_LOC_YN = 'Y' as is_active,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_SPLY_LOC_INFO'), ['ITEM_ID', 'OR_LOC_ID']) }} as latest
