-- One row for each line of a cycle or physical count.
-- Grain and key: count_document, line_number.
select
    count_doc as count_document,
    try_cast(line_no as bigint) as line_number,
    count_type as count_type,
    site as pou_site,
    trim(location_code) as location_code,
    trim(item_no) as item_no,
    trim(lot) as lot_number,
    {{ to_decimal("expected_each") }} as expected_each,
    {{ to_decimal("counted_each") }} as counted_each,
    variance_reason as variance_reason,
    try_cast(counted_ts as timestamp) as counted_at,
    adjust_txn_id as adjustment_txn_id,
    try_cast(posted_at as timestamp) as posted_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ source('raw_pou', 'count') }}
where _op = 'U'
