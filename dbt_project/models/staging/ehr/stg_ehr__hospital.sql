-- One row for each EHR hospital location.
-- Grain and key: ehr_location_id. Latest version as of the run.
select
    LOC_ID as ehr_location_id,
    LOC_NAME as hospital_name,
    SERV_AREA_ID as service_area_id,
    GL_PREFIX as gl_prefix,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'CLARITY_LOC'), ['LOC_ID']) }} as latest
