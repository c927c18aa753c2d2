-- One row for each implant record: its device database fields.
-- Grain and key: implant_id. Latest version as of the run.
select
    IMPLANT_ID as implant_id,
    GUDID_BRAND_NAME as brand_name,
    GUDID_VERSION_NUM as version_number,
    GUDID_COMPANY_NAME as company_name,
    ICD_REIMP_MNRCALL_YN = 'Y' as is_reimplant_after_recall,
    _file as source_file,
    _line as source_line,
    _batch_id as batch_id
from {{ latest_version(source('raw_ehr', 'OR_IMP_2'), ['IMPLANT_ID']) }} as latest
