-- Legacy manufacturer codes, one row a code. Grain and key: MANUF_CODE. Latest version as of the run.
select
    trim(MANUF_CODE) as manufacturer_code,
    trim(DESCRIPTION) as description,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_lawson', 'ICMANFCODE'), ['MANUF_CODE']) }} as newest
