-- One row for each recalled product.
-- Grain and key: recall_number, product_sequence. Latest version as of the run.
select
    recall_number as recall_number,
    try_cast(product_seq as bigint) as product_sequence,
    classification as classification,
    recalling_firm as recalling_firm,
    product_description as product_description,
    trim(di) as device_identifier,
    catalog_number as catalogue_number,
    code_info as code_info,
    lots as lots,
    {{ to_date("recall_date") }} as recall_date,
    {{ to_date("report_date") }} as report_date,
    status as recall_status,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ref', 'FDA_RECALL'), ['recall_number', 'product_seq'], cursor='report_date') }} as latest
