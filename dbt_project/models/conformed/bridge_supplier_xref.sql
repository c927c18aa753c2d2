-- Which golden supplier a supplier number of a source system means.
-- Grain: source_system, source_supplier_no. Key: supplier_xref_key. Not additive. Distribution: small, broadcast.
-- The crosswalk covers most numbers; of the rest, a vendor of an ERP that shares tax number and name, or DUNS number and
-- name, with exactly one mapped supplier is that supplier (converted duplicates, Q106). One tax number with several
-- divisions is not enough (Q129). What is left is a supplier of its own: system:number.
with mapped as (
    select
        source_system,
        source_supplier_no,
        supplier_id
    from {{ ref('stg_ref__supplier_xref') }}
    where source_supplier_no is not null
    qualify
        row_number() over (
            partition by source_system, source_supplier_no
            order by
                case status when 'approved' then 1 when 'proposed' then 2 else 3 end,
                case when {{ in_force(as_of_date(), 'valid_from', 'valid_to') }} then 0 else 1 end,
                valid_from desc,
                supplier_id
        ) = 1
),

vendors as (
    select
        'erp_lawson' as source_system,
        supplier_no as source_supplier_no,
        {{ replace_pattern('upper(supplier_name)', '[^A-Z0-9]') }} as name_key,
        tax_id_token,
        substr(duns_number, 1, 9) as duns_number
    from {{ ref('stg_erp_lawson__vendor') }}
    union all
    select
        'erp_fusion' as source_system,
        supplier_no as source_supplier_no,
        {{ replace_pattern('upper(supplier_name)', '[^A-Z0-9]') }} as name_key,
        tax_id_token,
        substr(duns_number, 1, 9) as duns_number
    from {{ ref('stg_erp_fusion__supplier') }}
),

mapped_vendors as (
    select
        mapped.supplier_id,
        vendors.name_key,
        vendors.tax_id_token,
        vendors.duns_number
    from vendors
    inner join mapped
        on vendors.source_system = mapped.source_system
        and vendors.source_supplier_no = mapped.source_supplier_no
),

unmapped as (
    select vendors.*
    from vendors
    left join mapped
        on vendors.source_system = mapped.source_system
        and vendors.source_supplier_no = mapped.source_supplier_no
    where mapped.supplier_id is null
),

identified as (
    select
        unmapped.source_system,
        unmapped.source_supplier_no,
        min(mapped_vendors.supplier_id) as supplier_id
    from unmapped
    inner join mapped_vendors
        on unmapped.name_key = mapped_vendors.name_key
        and (
            unmapped.tax_id_token = mapped_vendors.tax_id_token
            or unmapped.duns_number = mapped_vendors.duns_number
        )
    group by unmapped.source_system, unmapped.source_supplier_no
    having count(distinct mapped_vendors.supplier_id) = 1
),

resolved as (
    select source_system, source_supplier_no, supplier_id, 'crosswalk' as match_method
    from mapped
    union all
    select source_system, source_supplier_no, supplier_id, 'tax or DUNS number and name' as match_method
    from identified
    union all
    select distinct
        unmapped.source_system,
        unmapped.source_supplier_no,
        unmapped.source_system || ':' || unmapped.source_supplier_no as supplier_id,
        'own' as match_method
    from unmapped
    left join identified
        on unmapped.source_system = identified.source_system
        and unmapped.source_supplier_no = identified.source_supplier_no
    where identified.supplier_id is null
)

select
    {{ surrogate_key(['source_system', 'source_supplier_no']) }} as supplier_xref_key,
    source_system,
    source_supplier_no,
    supplier_id,
    match_method
from resolved
