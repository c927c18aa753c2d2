-- One row for each order line of goods beside the contract price that was in force for it (CP-01).
-- Grain: po_line_key. Key: entity_key. impact_amount is additive; prices are not. Distribution: facility_id, item_key.
-- Candidates: contract lines of the line's supplier for the item at the facility on the order date, tier activated, not on hold.
-- LOCAL before IDN before GPO, then the smallest priority, the lowest price per EACH, the contract number. A distributor's
-- COST_PLUS line counts with its mark-up, and lets the distributor sell at the contracts of others, marked up alike. An ERP
-- agreement that the price file does not know stands in for a local contract on the lines that refer to it.
with lines as (
    select
        *,
        {{ catalogue_key('vendor_catalogue_number') }} as vendor_catalogue_key
    from {{ ref('fct_po_line') }}
),

known_contracts as (
    select distinct contract_number
    from {{ ref('stg_ref__gpo_contract_price') }}
),

rostered_contracts as (
    select distinct contract_number
    from {{ ref('stg_ref__gpo_roster') }}
),

listed as (
    select distinct lines.po_line_key
    from lines
    inner join {{ ref('stg_ref__gpo_roster') }} as roster
        on lines.contract_number = roster.contract_number
        and roster.effective_from <= lines.order_date
        and (roster.effective_to is null or lines.order_date <= roster.effective_to)
    inner join {{ ref('dim_facility') }} as facility
        on roster.member_gln = facility.gln
        and lines.facility_id = facility.facility_id
),

legacy_agreements as (
    select
        lines.po_line_key,
        agreement.contract_line_number,
        agreement.price_each,
        agreement.effective_from,
        agreement.effective_to,
        agreement.is_on_hold
    from lines
    inner join (
        select
            header.agreement_number,
            detail.item_no,
            detail.line_number as contract_line_number,
            cast({{ divide_decimal('detail.unit_price', 'detail.unit_factor', 8) }} as decimal(18, 8)) as price_each,
            coalesce(detail.effective_from, header.effective_from) as effective_from,
            least(
                coalesce(header.effective_to, cast('9999-12-31' as date)),
                coalesce(detail.effective_to, cast('9999-12-31' as date))
            ) as effective_to,
            header.is_on_hold or coalesce(detail.is_on_hold, false) as is_on_hold
        from {{ ref('stg_erp_lawson__agreement') }} as header
        left join {{ ref('stg_erp_lawson__agreement_line') }} as detail
            on header.agreement_number = detail.agreement_number
    ) as agreement
        on lines.source_system = 'erp_lawson'
        and lines.contract_number = agreement.agreement_number
        and (lines.source_item_no = agreement.item_no or agreement.item_no is null)
),

cloud_agreements as (
    select
        lines.po_line_key,
        detail.agreement_line_id as contract_line_number,
        cast(
            {{ divide_decimal(
                'detail.unit_price',
                supply_cloud_unit_factor('detail.uom', 'item.primary_uom', 'own_unit', 'standard_unit'),
                8
            ) }}
            as decimal(18, 8)
        ) as price_each,
        coalesce(detail.effective_from, header.start_date) as effective_from,
        least(
            coalesce(header.end_date, cast('9999-12-31' as date)),
            coalesce(detail.effective_to, cast('9999-12-31' as date))
        ) as effective_to,
        coalesce(detail.is_on_hold, false) as is_on_hold
    from lines
    left join {{ ref('stg_erp_fusion__agreement_line') }} as detail
        on lines.agreement_line_id = detail.agreement_line_id
    left join {{ ref('stg_erp_fusion__po_header') }} as header
        on coalesce(detail.agreement_header_id, lines.agreement_header_id) = header.po_header_id
    left join (
        select inventory_item_id, min(primary_uom) as primary_uom
        from {{ ref('stg_erp_fusion__item') }}
        group by inventory_item_id
    ) as item
        on detail.inventory_item_id = item.inventory_item_id
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as own_unit
        on detail.inventory_item_id = own_unit.inventory_item_id
        and detail.uom = own_unit.uom
    left join {{ ref('stg_erp_fusion__uom_conversion') }} as standard_unit
        on standard_unit.inventory_item_id = 0
        and detail.uom = standard_unit.uom
    where
        lines.source_system = 'erp_fusion'
        and (lines.agreement_line_id is not null or lines.agreement_header_id is not null)
        and (detail.agreement_line_id is not null or header.po_header_id is not null)
),

file_references as (
    select
        lines.po_line_key,
        max(coalesce(price.effective_to, cast('9999-12-31' as date))) as effective_to
    from lines
    inner join {{ ref('stg_ref__gpo_contract_price') }} as price
        on lines.contract_number = price.contract_number
        and lines.vendor_catalogue_key = {{ catalogue_key('price.vendor_catalogue_number') }}
    group by lines.po_line_key
),

agreements as (
    select
        po_line_key,
        max(effective_to) as last_effective_to,
        bool_or(is_on_hold) as is_on_hold
    from (
        select * from legacy_agreements
        union all
        select * from cloud_agreements
    ) as referred
    group by po_line_key
),

agreement_prices as (
    select
        lines.po_line_key,
        lines.contract_number,
        agreement.price_each
    from (
        select * from legacy_agreements
        union all
        select * from cloud_agreements
    ) as agreement
    inner join lines
        on agreement.po_line_key = lines.po_line_key
    left join known_contracts
        on lines.contract_number = known_contracts.contract_number
    where
        known_contracts.contract_number is null
        and agreement.price_each is not null
        and not agreement.is_on_hold
        and coalesce(agreement.effective_from, lines.order_date) <= lines.order_date
        and lines.order_date <= agreement.effective_to
    qualify
        row_number() over (
            partition by lines.po_line_key order by agreement.price_each, agreement.contract_line_number
        ) = 1
),

in_force as (
    select
        lines.po_line_key,
        lines.supplier_id as order_supplier_id,
        contract.supplier_id,
        contract.contract_number,
        contract.contract_rank,
        contract.priority,
        contract.price_type,
        contract.markup_pct,
        contract.price_each,
        contract.expected_price_each,
        contract.source_file,
        contract.source_line,
        contract.source_key
    from lines
    inner join {{ ref('dim_contract_line') }} as contract
        on lines.item_key = contract.item_key
        and lines.facility_id = contract.facility_id
    where
        contract.is_tier_activated
        and not contract.is_on_hold
        and contract.effective_from <= lines.order_date
        and (contract.effective_to is null or lines.order_date <= contract.effective_to)
),

distributors as (
    select
        po_line_key,
        markup_pct
    from in_force
    where supplier_id = order_supplier_id and price_type = 'COST_PLUS'
    qualify
        row_number() over (
            partition by po_line_key order by contract_rank, priority nulls last, expected_price_each, contract_number, source_key
        ) = 1
),

candidates as (
    select
        po_line_key,
        contract_number,
        contract_rank,
        priority,
        price_each,
        expected_price_each,
        source_file,
        source_line,
        source_key
    from in_force
    where supplier_id = order_supplier_id
    union all
    select
        in_force.po_line_key,
        in_force.contract_number,
        in_force.contract_rank,
        in_force.priority,
        in_force.price_each,
        cast({{ divide_decimal(exact_product(['100 + distributors.markup_pct', 'in_force.price_each']), '100', 8) }} as decimal(18, 8))
            as expected_price_each,
        in_force.source_file,
        in_force.source_line,
        in_force.source_key
    from in_force
    inner join distributors
        on in_force.po_line_key = distributors.po_line_key
    where in_force.supplier_id <> in_force.order_supplier_id and in_force.price_type <> 'COST_PLUS'
    union all
    select
        po_line_key,
        contract_number,
        0 as contract_rank,
        cast(null as bigint) as priority,
        price_each,
        price_each as expected_price_each,
        cast(null as varchar) as source_file,
        cast(null as bigint) as source_line,
        cast(null as varchar) as source_key
    from agreement_prices
),

chosen as (
    select *
    from candidates
    qualify
        row_number() over (
            partition by po_line_key
            order by contract_rank, priority nulls last, expected_price_each, contract_number, source_key
        ) = 1
),

compared as (
    select
        lines.*,
        chosen.contract_number as chosen_contract_number,
        chosen.expected_price_each as contract_price_each,
        chosen.source_file as contract_file,
        chosen.source_line as contract_line,
        chosen.source_key as contract_key,
        case
            when lines.po_type = 'service' then 'service line'
            when lines.is_cancelled then 'line cancelled'
            when lines.item_key is null then 'line without an item'
            when lines.price_each is null then 'line without a price'
            when agreements.is_on_hold then 'contract line on hold'
            when coalesce(agreements.last_effective_to, file_references.effective_to) < lines.order_date
                then 'refers to an expired contract: CP-04'
            when rostered_contracts.contract_number is not null and listed.po_line_key is null
                then 'facility not on the roster of the contract: CP-08'
            when chosen.po_line_key is null then 'no contract in force'
        end as out_of_scope_reason
    from lines
    left join chosen
        on lines.po_line_key = chosen.po_line_key
    left join agreements
        on lines.po_line_key = agreements.po_line_key
    left join file_references
        on lines.po_line_key = file_references.po_line_key
    left join rostered_contracts
        on lines.contract_number = rostered_contracts.contract_number
    left join listed
        on lines.po_line_key = listed.po_line_key
)

select
    {{ surrogate_key(["'CP-01'", 'po_line_key']) }} as order_contract_key,
    'po=' || po_number || '|line=' || cast(line_number as varchar) as entity_key,
    facility_id,
    order_date as business_date,
    order_date as anchor_date,
    po_line_key,
    supplier_id,
    item_key,
    coalesce(chosen_contract_number, contract_number) as contract_number,
    price_each as po_price_each,
    contract_price_each,
    cast(price_each - contract_price_each as decimal(18, 8)) as variance_each,
    ordered_each,
    case
        when price_each > contract_price_each
            then {{ money_product(['ordered_each', 'price_each - contract_price_each']) }}
        else cast(0 as decimal(18, 2))
    end as impact_amount,
    out_of_scope_reason,
    {{ evidence_json([
        evidence_entry('source_system', 'source_extract', 'source_key', 'source_file', 'source_line'),
        "case when contract_file is not null then "
        ~ evidence_entry("'ref'", "'GPO_CONTRACT_PRICE'", 'contract_key', 'contract_file', 'contract_line') ~ " end"
    ]) }} as evidence
from compared
