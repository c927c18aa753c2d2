-- One row for each EHR department.
-- Grain and key: ehr_department_id. Latest version as of the run.
select
    DEPARTMENT_ID as ehr_department_id,
    DEPARTMENT_NAME as department_name,
    REV_LOC_ID as ehr_location_id,
    GL_PREFIX as gl_prefix,
    INPATIENT_DEPT_YN = 'Y' as is_inpatient,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'CLARITY_DEP'), ['DEPARTMENT_ID']) }} as latest
