-- One row for each contract price line, golden item and facility that may buy on its tier.
-- Grain: contract line (contract, version, supplier, vendor number, unit, tier, start), facility and roster start, item.
-- Key: contract_line_key. Not additive. Distribution: item_key, facility_id.
-- effective_from is the first day on which price, roster and signed letter of commitment all hold; effective_to is inclusive.
-- A tier without a signed letter is listed, not activated. A later version of the same line ends the earlier one.
-- Manufacturer item: manufacturer (by alias) and catalogue number without punctuation (Q126), else GTIN, else the supplier's
-- number in an ERP. Two products whose numbers differ in punctuation only are told apart by GTIN, then by the supplier's number
-- as it is written; a number that has neither is a second one of the same product (MDM-02), which buys on its contracts.
with lines as (
    select
        line.*,
        {{ surrogate_key(['contract_number', 'contract_version', 'supplier_no', 'vendor_catalogue_number', 'uom', 'tier',
            'line.effective_from']) }} as price_line_key,
        {{ catalogue_key('manufacturer_catalogue_number') }} as manufacturer_catalogue_key,
        {{ catalogue_key('vendor_catalogue_number') }} as vendor_catalogue_key,
        {{ gtin14('gtin') }} as gtin14,
        min(line.effective_from) over (
            partition by contract_number, supplier_no, vendor_catalogue_number, uom, tier
            order by contract_version
            range between 1 following and unbounded following
        ) as superseded_from
    from {{ ref('stg_ref__gpo_contract_price') }} as line
),

suppliers as (
    select
        source_supplier_no,
        supplier_id
    from {{ ref('bridge_supplier_xref') }}
    qualify
        row_number() over (
            partition by source_supplier_no
            order by
                case source_system when 'ref' then 1 when 'edi' then 2 when 'erp_lawson' then 3 when 'erp_fusion' then 4 else 5 end,
                source_system
        ) = 1
),

gtins as (
    select distinct
        {{ gtin14('relation.cross_reference') }} as gtin14,
        item.item_key
    from {{ ref('stg_erp_fusion__item_relationship') }} as relation
    inner join {{ ref('bridge_erp_item') }} as item
        on item.source_system = 'erp_fusion'
        and relation.inventory_item_id = item.inventory_item_id
    where relation.relationship_type = 'GTIN'
),

vendor_numbers as (
    select
        supplier.supplier_id,
        {{ catalogue_key('agreement.vendor_catalogue_number') }} as vendor_catalogue_key,
        upper(agreement.vendor_catalogue_number) as vendor_catalogue_number,
        item.item_key
    from {{ ref('stg_erp_lawson__agreement_line') }} as agreement
    inner join {{ ref('bridge_supplier_xref') }} as supplier
        on supplier.source_system = 'erp_lawson'
        and agreement.supplier_no = supplier.source_supplier_no
    inner join {{ ref('bridge_erp_item') }} as item
        on item.source_system = 'erp_lawson'
        and agreement.item_no = item.source_item_no
    union
    select
        supplier.supplier_id,
        {{ catalogue_key('association.supplier_item') }} as vendor_catalogue_key,
        upper(association.supplier_item) as vendor_catalogue_number,
        item.item_key
    from {{ ref('stg_erp_fusion__item_supplier') }} as association
    inner join {{ ref('stg_erp_fusion__supplier') }} as vendor
        on association.vendor_id = vendor.vendor_id
    inner join {{ ref('bridge_supplier_xref') }} as supplier
        on supplier.source_system = 'erp_fusion'
        and vendor.supplier_no = supplier.source_supplier_no
    inner join {{ ref('bridge_erp_item') }} as item
        on item.source_system = 'erp_fusion'
        and association.inventory_item_id = item.inventory_item_id
),

identified as (
    select
        lines.price_line_key,
        item.item_key,
        1 as way,
        false as is_written_alike
    from lines
    inner join {{ ref('bridge_manufacturer_alias') }} as manufacturer
        on manufacturer.alias_type = 'NAME'
        and {{ manufacturer_name_key('lines.manufacturer_name') }} = manufacturer.alias_key
    inner join {{ ref('dim_item') }} as item
        on manufacturer.manufacturer_id = item.manufacturer_id
        and lines.manufacturer_catalogue_key = item.catalogue_key
    union all
    select
        lines.price_line_key,
        gtins.item_key,
        2 as way,
        false as is_written_alike
    from lines
    inner join gtins
        on lines.gtin14 = gtins.gtin14
    union all
    select
        lines.price_line_key,
        vendor_numbers.item_key,
        3 as way,
        upper(lines.vendor_catalogue_number) = vendor_numbers.vendor_catalogue_number as is_written_alike
    from lines
    inner join suppliers as supplier
        on lines.supplier_no = supplier.source_supplier_no
    inner join vendor_numbers
        on supplier.supplier_id = vendor_numbers.supplier_id
        and lines.vendor_catalogue_key = vendor_numbers.vendor_catalogue_key
),

marked_items as (
    select item_key from gtins
    union
    select item_key from vendor_numbers
),

items as (
    select
        candidates.price_line_key,
        candidates.item_key
    from (
        select
            price_line_key,
            item_key,
            min(way) as best_way,
            max(case when way = 2 then 2 else 0 end) + max(case when is_written_alike then 1 else 0 end) as agreement
        from identified
        group by price_line_key, item_key
    ) as candidates
    left join marked_items
        on candidates.item_key = marked_items.item_key
    qualify
        best_way = min(best_way) over (partition by candidates.price_line_key)
        and (
            agreement = max(agreement) over (partition by candidates.price_line_key, best_way)
            or marked_items.item_key is null
        )
),

rosters as (
    select
        roster.contract_number,
        roster.tier,
        facility.facility_id,
        roster.signed_date,
        roster.effective_from,
        roster.effective_to
    from {{ ref('stg_ref__gpo_roster') }} as roster
    inner join {{ ref('dim_facility') }} as facility
        on roster.member_gln = facility.gln
),

eligible as (
    select
        lines.*,
        rosters.facility_id,
        rosters.signed_date,
        rosters.effective_from as roster_effective_from,
        greatest(
            lines.effective_from,
            rosters.effective_from,
            coalesce(rosters.signed_date, lines.effective_from)
        ) as eligible_from,
        least(
            coalesce(lines.effective_to, cast('9999-12-31' as date)),
            coalesce(rosters.effective_to, cast('9999-12-31' as date)),
            coalesce({{ add_days('lines.superseded_from', -1) }}, cast('9999-12-31' as date))
        ) as eligible_to
    from lines
    inner join rosters
        on lines.contract_number = rosters.contract_number
        and lines.tier = rosters.tier
)

select
    {{ surrogate_key(['eligible.price_line_key', 'eligible.facility_id', 'eligible.roster_effective_from', 'items.item_key']) }}
        as contract_line_key,
    eligible.price_line_key,
    eligible.contract_number,
    eligible.contract_version,
    eligible.contract_type,
    case eligible.contract_type when 'LOCAL' then 1 when 'IDN' then 2 else 3 end as contract_rank,
    coalesce(supplier.supplier_id, 'ref:' || eligible.supplier_no) as supplier_id,
    items.item_key,
    eligible.vendor_catalogue_key,
    eligible.facility_id,
    eligible.tier,
    eligible.uom,
    cast({{ divide_decimal('eligible.unit_price', 'eligible.quantity_each', 8) }} as decimal(18, 8)) as price_each,
    eligible.price_type,
    cast(coalesce(eligible.markup_pct, 0) as decimal(9, 4)) as markup_pct,
    cast(
        case
            when eligible.price_type = 'COST_PLUS'
                then {{ divide_decimal(
                    exact_product(['100 + coalesce(eligible.markup_pct, 0)', 'eligible.unit_price']),
                    exact_product(['100', 'eligible.quantity_each']),
                    8
                ) }}
            else {{ divide_decimal('eligible.unit_price', 'eligible.quantity_each', 8) }}
        end as decimal(18, 8)
    ) as expected_price_each,
    eligible.priority,
    eligible.eligible_from as effective_from,
    nullif(eligible.eligible_to, cast('9999-12-31' as date)) as effective_to,
    eligible.is_on_hold,
    eligible.signed_date is not null as is_tier_activated,
    'ref' as source_system,
    'GPO_CONTRACT_PRICE' as source_extract,
    concat_ws('|', eligible.contract_number, eligible.supplier_no, eligible.vendor_catalogue_number, eligible.uom, eligible.tier)
        as source_key,
    eligible.source_file,
    eligible.source_line
from eligible
left join suppliers as supplier
    on eligible.supplier_no = supplier.source_supplier_no
left join items
    on eligible.price_line_key = items.price_line_key
where eligible.eligible_from <= eligible.eligible_to
