-- One row for each posted account transaction: first post dates, stock location, wasted quantity.
-- Grain and key: tx_id. Latest version as of the run.
select
    TX_ID as tx_id,
    trim(SUP_INV_LOC_ID) as ehr_inventory_location,
    {{ to_decimal("SUP_WASTED_QTY") }} as wasted_each,
    {{ to_date("FIRST_TX_POST_DATE") }} as first_post_date,
    {{ to_date("HAR_FIRST_POST_DATE") }} as account_first_post_date,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_hb', 'HSP_TRANSACTIONS_2'), ['TX_ID'], few_versions=true) }} as latest
