-- One row for each posted account transaction: reversal reason and chain root.
-- Grain and key: tx_id. Latest version as of the run.
select
    TX_ID as tx_id,
    try_cast(REVERSAL_RSN_C as bigint) as reversal_reason_category,
    FIRST_HTR_TX_ID as chain_root_tx_id,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_hb', 'HSP_TRANSACTIONS_3'), ['TX_ID'], few_versions=true) }} as latest
