-- One row for each documented line of a case that was used or wasted, used and wasted apart.
-- Grain and key: usage_line_key. Sources: pick lists of cases (not the copies of implants, Q05, nor preference cards, Q06), the
-- implant log (implanted and wasted; explants and adjustments are no usage, Q07) and supplies of procedural areas (not the
-- implants that the implant log has). Additive: quantity_each, cost_amount, chargeable_each.
-- unit_cost is the moving average of the inventory system of record where the asset location holds the item, else the EHR cost
-- over time, of one-time implants their own cost, else the contract price. charge_price is USD per EACH.
-- Distribution: facility_id, case_id.
with supply_lines as (
    select
        list.log_id,
        'supply' as record_type,
        split.usage_type,
        supply.supply_id,
        cast(null as varchar) as implant_id,
        false as is_one_time,
        case when split.usage_type = 'used' then supply.used_each else supply.wasted_each end as quantity_each,
        supply.ehr_inventory_location,
        supply.documented_unit_cost,
        supply.chargeable_flag,
        supply.static_udi,
        'OR_PKLST_SUP_LIST' as source_extract,
        supply.pick_list_id || '-' || cast(supply.line_number as varchar) as source_key,
        supply.source_file,
        supply.source_line
    from {{ ref('stg_ehr__pick_list_supply') }} as supply
    inner join {{ ref('stg_ehr__pick_list') }} as list
        on supply.pick_list_id = list.pick_list_id
        and list.pick_list_type_category = 2
        and list.log_id is not null
    cross join (select 'used' as usage_type union all select 'wasted') as split
    where coalesce(supply.implant_flag, 'N') <> 'Y'
),
implant_lines as (
    select
        link.log_id,
        'implant' as record_type,
        case when line.implant_action = 1 then 'used' else 'wasted' end as usage_type,
        coalesce(implant.supply_id, line.supply_id) as supply_id,
        line.implant_id,
        coalesce(line.one_time_flag = 'Y', false) or coalesce(implant.supply_id, line.supply_id) is null as is_one_time,
        coalesce(line.quantity_each, 1) as quantity_each,
        cast(null as varchar) as ehr_inventory_location,
        cast(null as decimal(18, 5)) as documented_unit_cost,
        cast(null as varchar) as chargeable_flag,
        implant.static_udi,
        'OR_LNLG_IMPLANTS' as source_extract,
        line.implant_line_id as source_key,
        line.source_file,
        line.source_line
    from {{ ref('stg_ehr__implant_log_line') }} as line
    inner join (
        select implant_line_id, min(log_id) as log_id
        from {{ ref('stg_ehr__log_implant_link') }}
        group by implant_line_id
    ) as link
        on line.implant_line_id = link.implant_line_id
    left join {{ ref('stg_ehr__implant') }} as implant
        on line.implant_id = implant.implant_id
    where line.implant_action in (1, 3)
),
procedural_lines as (
    select
        used.log_id,
        'procedural' as record_type,
        'used' as usage_type,
        used.supply_id,
        cast(null as varchar) as implant_id,
        false as is_one_time,
        used.used_each as quantity_each,
        cast(null as varchar) as ehr_inventory_location,
        cast(null as decimal(18, 5)) as documented_unit_cost,
        cast(null as varchar) as chargeable_flag,
        cast(null as varchar) as static_udi,
        'RES_SUPPLY_USED' as source_extract,
        used.finding_id || '-' || cast(used.line_number as varchar) as source_key,
        used.source_file,
        used.source_line
    from {{ ref('stg_ehr__procedural_supply') }} as used
    left join (
        select distinct link.log_id, line.implant_id
        from {{ ref('stg_ehr__implant_log_line') }} as line
        inner join {{ ref('stg_ehr__log_implant_link') }} as link
            on line.implant_line_id = link.implant_line_id
        where line.implant_id is not null
    ) as logged
        on used.log_id = logged.log_id
        and used.implant_id = logged.implant_id
    where used.log_id is not null
        and logged.implant_id is null
),
documented as (
    select * from supply_lines where quantity_each <> 0
    union all
    select * from implant_lines where quantity_each <> 0
    union all
    select * from procedural_lines where quantity_each <> 0
),
described as (
    select
        documented.*,
        cases.facility_id,
        cases.case_no,
        cases.service_line,
        cases.department,
        cases.surgery_date,
        cases.fiscal_period,
        cases.log_status,
        coalesce(cases.is_countable, false) as is_countable,
        coalesce(cases.is_posted, false) as is_posted,
        cases.posted_date,
        cases.account_token,
        cases.base_class,
        coalesce(cases.is_research, false) as is_research,
        supply.supply_name,
        item.item_key,
        case
            when documented.record_type = 'implant' or supply.item_type_category = 2 then 'IMPLANT'
            when supply.item_type_category = 3 then 'INSTRUMENT'
            else 'SUPPLY'
        end as item_class,
        documented.record_type = 'implant'
            or coalesce(supply.item_type_category = 2, false)
            or coalesce(item.is_implant, false) as is_implant,
        case when documented.is_one_time then 'ONE_TIME' else item.stock_class end as stock_class,
        location.location_id,
        location.is_perpetual,
        coalesce(location.is_asset, false) as is_asset,
        implant.lot_number,
        implant.serial_token,
        implant.expiry_date,
        implant.supplier_catalogue_number,
        coalesce(implant.manufacturer_catalogue_number, maker.catalogue_number) as manufacturer_catalogue_number,
        coalesce(implant.static_udi, documented.static_udi) as udi_di,
        implant.unit_cost as implant_unit_cost,
        case
            when documented.is_one_time then coalesce(implant_charge.charge_code, supply.charge_code)
            else coalesce(supply.charge_code, implant_charge.charge_code)
        end as charge_code,
        coalesce(
            {{ matches_pattern("upper(supply.supply_name)", '^(MIX|HOMEMADE|CHARTING CODE|ANES LEVEL|IV BIN|CONSTRUCT)( |$)') }}
            and supply.charge_code is null,
            false
        ) as is_placeholder,
        coalesce(documented.documented_unit_cost in (0, 0.01), false) as is_construct_component
    from documented
    left join {{ ref('dim_case') }} as cases
        on documented.log_id = cases.case_id
    left join {{ ref('stg_ehr__supply_item') }} as supply
        on documented.supply_id = supply.supply_id
    left join {{ ref('bridge_item_xref') }} as xref
        on xref.source_system = 'ehr'
        and documented.supply_id = xref.source_item_no
        and xref.is_accepted
    left join {{ ref('dim_item') }} as item
        on xref.item_key = item.item_key
    left join {{ ref('stg_ehr__implant') }} as implant
        on documented.implant_id = implant.implant_id
    left join {{ ref('dim_charge_code') }} as implant_charge
        on implant.charge_procedure_id = implant_charge.charge_procedure_id
    left join (
        select supply_id, catalogue_number
        from {{ ref('stg_ehr__supply_manufacturer') }}
        qualify row_number() over (partition by supply_id order by line_number) = 1
    ) as maker
        on documented.supply_id = maker.supply_id
    left join {{ ref('bridge_location_xref') }} as place
        on place.source_system = 'ehr'
        and cases.ehr_location_id = place.scope
        and documented.ehr_inventory_location = place.source_location
        and {{ in_force('cases.surgery_date', 'place.valid_from', 'place.valid_to') }}
    left join {{ ref('dim_location') }} as location
        on coalesce(place.location_id, cases.default_location_id) = location.location_id
),
costed as (
    select
        described.*,
        case
            when described.is_one_time then coalesce(described.implant_unit_cost, 0)
            else coalesce({{ unit_cost() }}, described.implant_unit_cost, 0)
        end as unit_cost
    from described
    {{ unit_cost_joins('described', 'described.surgery_date') | indent(4) }}
    qualify row_number() over (
        partition by described.source_extract, described.source_key, described.usage_type
        order by {{ unit_cost_rank() }}
    ) = 1
),
policy as (
    select
        costed.source_extract,
        costed.source_key,
        costed.usage_type,
        rule.is_chargeable,
        rule.reason
    from costed
    inner join {{ ref('stg_ref__chargeability_policy') }} as rule
        on (rule.facility_id is null or costed.facility_id = rule.facility_id)
        and (rule.item_class is null or costed.item_class = rule.item_class)
        and (rule.base_class is null or costed.base_class = rule.base_class)
        and (rule.disposition is null or upper(costed.usage_type) = rule.disposition)
        and (rule.min_unit_cost is null or costed.unit_cost >= rule.min_unit_cost)
        and (rule.research_flag is null or costed.is_research = (rule.research_flag = 'Y'))
        and {{ in_force('costed.surgery_date', 'rule.valid_from', 'rule.valid_to') }}
    qualify row_number() over (
        partition by costed.source_extract, costed.source_key, costed.usage_type
        order by rule.rule_no, rule.policy_id
    ) = 1
),
judged as (
    select
        costed.*,
        case
            when not costed.is_countable then 'log not completed'
            when costed.is_placeholder then 'placeholder item'
            when costed.is_construct_component then 'construct component'
            when costed.chargeable_flag = 'N' then 'marked not chargeable on the case'
            when policy.is_chargeable then null
            when policy.reason is not null then policy.reason
            when costed.unit_cost < {{ var('chargeable_min_unit_cost') }} then 'below the chargeable minimum'
        end as not_chargeable_reason
    from costed
    left join policy
        on costed.source_extract = policy.source_extract
        and costed.source_key = policy.source_key
        and costed.usage_type = policy.usage_type
),
priced as (
    select
        judged.*,
        {{ charge_unit_price('judged.unit_cost', 'price', 'hcpcs', 'tier') }} as charge_unit_price,
        {{ each_per_charge_unit('price', 'item') }} as each_per_charge_unit
    from judged
    left join {{ ref('dim_item') }} as item
        on judged.item_key = item.item_key
    left join {{ ref('dim_charge_price') }} as price
        on judged.charge_code = price.charge_code
        and {{ in_force('judged.surgery_date', 'price.valid_from', 'price.valid_to') }}
    left join {{ ref('stg_ref__hcpcs') }} as hcpcs
        on price.unit_of_charge = 'CM2'
        and price.hcpcs_code = hcpcs.hcpcs_code
        and {{ in_force('judged.surgery_date', 'hcpcs.valid_from', 'hcpcs.valid_to') }}
    left join {{ ref('dim_markup_tier') }} as tier
        on judged.facility_id = tier.facility_id
        and judged.unit_cost >= tier.cost_from
        and (tier.cost_to is null or judged.unit_cost < tier.cost_to)
        and {{ in_force('judged.surgery_date', 'tier.valid_from', 'tier.valid_to') }}
    qualify row_number() over (
        partition by judged.source_extract, judged.source_key, judged.usage_type
        order by price.service_area_id, hcpcs.valid_from desc, tier.cost_from desc, tier.valid_from desc
    ) = 1
)
select
    {{ surrogate_key(["'ehr'", 'source_extract', 'source_key', 'usage_type']) }} as usage_line_key,
    facility_id,
    log_id as case_id,
    case_no,
    service_line,
    department,
    record_type,
    usage_type,
    supply_id as documented_item,
    implant_id,
    item_key,
    item_class,
    is_implant,
    stock_class,
    location_id,
    is_perpetual,
    coalesce(stock_class in ('STOCK', 'NONSTOCK'), false) as is_owned,
    cast(quantity_each as decimal(18, 4)) as quantity_each,
    cast(unit_cost as decimal(18, 5)) as unit_cost,
    {{ money_product(['quantity_each', 'unit_cost']) }} as cost_amount,
    surgery_date,
    fiscal_period,
    log_status,
    is_countable,
    is_posted,
    posted_date,
    lot_number,
    serial_token,
    expiry_date,
    supplier_catalogue_number,
    manufacturer_catalogue_number,
    udi_di,
    account_token,
    base_class as patient_class,
    charge_code,
    cast(case when not_chargeable_reason is null then quantity_each else 0 end as decimal(18, 4)) as chargeable_each,
    not_chargeable_reason,
    cast({{ divide_decimal('charge_unit_price', 'each_per_charge_unit', 8) }} as decimal(18, 8)) as charge_price,
    charge_unit_price,
    each_per_charge_unit,
    case
        when record_type = 'implant' and implant_id is not null then 'implant=' || implant_id
        when supply_id is not null then 'item=' || supply_id
    end as entity_name,
    'ehr' as source_system,
    source_extract,
    source_key,
    source_file,
    source_line
from priced
