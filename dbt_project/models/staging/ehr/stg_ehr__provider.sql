-- One row for each provider or room. Provider names are role restricted and stay behind.
-- Grain and key: provider_id. Latest version as of the run.
select
    PROV_ID as provider_id,
    PROV_TYPE as provider_type,
    NPI as npi,
    SPECIALTY as specialty,
    ACTIVE_STATUS as active_status,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'CLARITY_SER'), ['PROV_ID']) }} as latest
