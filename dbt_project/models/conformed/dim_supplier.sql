-- One row for each golden supplier, and for each supplier of an ERP that the crosswalk does not know.
-- Grain and key: supplier_id. Not additive. Distribution: small, broadcast.
-- The family is the parent where there is one; divisions under one tax number stay suppliers of their own (Q129).
with crosswalk as (
    select
        supplier_id,
        supplier_name,
        parent_supplier_id,
        role
    from {{ ref('stg_ref__supplier_xref') }}
    qualify
        row_number() over (
            partition by supplier_id
            order by
                case status when 'approved' then 1 when 'proposed' then 2 else 3 end,
                parent_supplier_id nulls last,
                valid_from desc,
                source_system,
                source_supplier_no
        ) = 1
),

vendors as (
    select 'erp_lawson' as source_system, supplier_no, supplier_name
    from {{ ref('stg_erp_lawson__vendor') }}
    union all
    select 'erp_fusion' as source_system, supplier_no, supplier_name
    from {{ ref('stg_erp_fusion__supplier') }}
),

own as (
    select
        xref.supplier_id,
        min(vendors.supplier_name) as supplier_name
    from {{ ref('bridge_supplier_xref') }} as xref
    inner join vendors
        on xref.source_system = vendors.source_system
        and xref.source_supplier_no = vendors.supplier_no
    where xref.match_method = 'own'
    group by xref.supplier_id
)

select
    supplier_id,
    supplier_name,
    parent_supplier_id,
    coalesce(parent_supplier_id, supplier_id) as supplier_family_id,
    role
from crosswalk
union all
select
    supplier_id,
    supplier_name,
    cast(null as varchar) as parent_supplier_id,
    supplier_id as supplier_family_id,
    cast(null as varchar) as role
from own
