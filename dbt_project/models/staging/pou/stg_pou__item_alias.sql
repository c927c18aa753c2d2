-- One row for each other number of an item.
-- Grain and key: item_no, alias_type, alias. Latest version as of the run.
select
    trim(item_no) as item_no,
    alias_type as alias_type,
    trim(alias) as alias,
    trim(uom) as source_uom,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_pou', 'item_alias'), ['item_no', 'alias_type', 'alias']) }} as latest
