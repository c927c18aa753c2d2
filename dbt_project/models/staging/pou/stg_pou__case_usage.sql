-- One row for each scan at a case.
-- Grain and key: scan_id.
select
    scan_id as scan_id,
    site as pou_site,
    trim(case_no) as case_typed,
    trim(item_no) as item_no,
    disposition as disposition,
    {{ to_decimal("qty_each") }} as quantity_each,
    udi_raw as udi_token,
    trim(lot) as lot_number,
    serial as serial_token,
    trim(expiry_date) as expiry_text,
    issue_txn_id as issue_txn_id,
    try_cast(scan_ts as timestamp) as scanned_at,
    try_cast(posted_at as timestamp) as posted_at,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ source('raw_pou', 'case_usage') }}
where _op = 'U'
