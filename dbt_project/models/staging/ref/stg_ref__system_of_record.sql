-- Which system owns a process at a facility and when; valid_to is exclusive. Grain and key: site, process,
-- source_system, valid_from. Latest version as of the run.
select
    trim(site) as facility_id,
    trim(process) as process,
    trim(source_system) as source_system,
    {{ to_date('valid_from') }} as valid_from,
    {{ to_date('valid_to') }} as valid_to,
    nullif(trim(cutover_type), '') as cutover_type,
    nullif(trim(doc_rule), '') as document_rule,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(
    source('raw_ref', 'SYSTEM_OF_RECORD'),
    ['site', 'process', 'source_system', 'valid_from']
) }} as newest
