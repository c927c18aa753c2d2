-- One row for each value of a category list.
-- Grain and key: category_table, category_id. Latest version as of the run.
select
    ZC_TABLE as category_table,
    try_cast(INTERNAL_ID as bigint) as category_id,
    trim(NAME) as category_name,
    ABBR as abbreviation,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'ZC_CATEGORY'), ['ZC_TABLE', 'INTERNAL_ID']) }} as latest
