-- Cloud inventory organisations. Grain and key: OrganizationId. Latest version as of the run.
select
    try_cast(OrganizationId as bigint) as organization_id,
    trim(OrganizationCode) as organization_code,
    trim(OrganizationName) as organization_name,
    nullif(trim(BusinessUnitId), '') as business_unit_id,
    _file as source_file,
    _line as source_line,
    _folder_date as folder_date,
    _batch_id as batch_id
from {{ latest_version(source('raw_erp_fusion', 'INV_ORGS'), ['OrganizationId']) }} as newest
