-- Which entity of which rule speaks for a usage line or a charge chain: one row for each line and rule.
-- Grain and key: line_type, line_key, rule_id. Every usage line is here under UI-01, every charge chain under UC-05, and both under
-- every further rule that compares them; a reason says why the rule does not judge the line. Distribution: facility_id, line_key.
with usage_lines as (
    select
        line.*,
        'case=' || line.case_id || '|item=' || line.documented_item as item_entity,
        'case=' || line.case_id || '|' || line.entity_name as line_entity
    from {{ ref('fct_usage_line') }} as line
),
usage_entities as (
    select
        line.usage_line_key as line_key,
        coalesce(inventory.facility_id, line.facility_id) as facility_id,
        'UI-01' as rule_id,
        inventory.entity_key,
        case
            when inventory.entity_key is null and line.is_countable then 'no item: BO-01 judges it'
            when inventory.entity_key is null then 'log void or not completed'
            else inventory.out_of_scope_reason
        end as out_of_scope_reason
    from usage_lines as line
    left join {{ ref('rec_usage_inventory') }} as inventory
        on line.item_entity = inventory.entity_key
    union all
    select
        line.usage_line_key,
        charge.facility_id,
        charge_rule.rule_id,
        charge.entity_key,
        case
            when line.not_chargeable_reason is not null and charge.charged_each = 0 then 'not chargeable: ' || line.not_chargeable_reason
            when charge_rule.rule_id = 'UC-01' then charge.out_of_scope_reason_uc_01
            when charge_rule.rule_id = 'UC-03' then charge.out_of_scope_reason_uc_03
            else charge.out_of_scope_reason
        end
    from usage_lines as line
    cross join (select 'UC-01' as rule_id union all select 'UC-03' union all select 'UC-04') as charge_rule
    inner join {{ ref('rec_usage_charge') }} as charge
        on line.line_entity = charge.entity_key
    where line.is_countable
    union all
    select
        line.usage_line_key,
        expiry.facility_id,
        'UC-10',
        expiry.entity_key,
        expiry.out_of_scope_reason
    from usage_lines as line
    inner join {{ ref('rec_usage_expiry') }} as expiry
        on line.line_entity = expiry.entity_key
    where line.is_countable
    union all
    select
        line.usage_line_key,
        implant.facility_id,
        'BO-01',
        implant.entity_key,
        implant.out_of_scope_reason
    from usage_lines as line
    inner join {{ ref('rec_implant_order') }} as implant
        on line.line_entity = implant.entity_key
    where line.usage_type = 'used'
        and line.record_type = 'implant'
),
chain_entities as (
    select
        chain.charge_chain_key as line_key,
        coalesce(judged.facility_id, chain.facility_id) as facility_id,
        'UC-05' as rule_id,
        coalesce(judged.entity_key, 'charge=' || chain.charge_root_tx_id) as entity_key,
        case
            when not chain.is_active then 'credited in full'
            when chain.revenue_code is null
                or not (chain.revenue_code between '0270' and '0279' or chain.revenue_code between '0621' and '0624')
                then 'revenue code of no supply or implant'
            when judged.entity_key is null then 'account without surgery'
            else judged.out_of_scope_reason
        end as out_of_scope_reason
    from {{ ref('fct_charge_net') }} as chain
    left join {{ ref('rec_charge_usage') }} as judged
        on chain.charge_chain_key = judged.charge_chain_key
    union all
    select
        link.charge_chain_key,
        charge.facility_id,
        charge_rule.rule_id,
        charge.entity_key,
        case
            when charge_rule.rule_id = 'UC-03' then charge.out_of_scope_reason_uc_03
            else charge.out_of_scope_reason
        end
    from {{ ref('fct_usage_charge_link') }} as link
    inner join {{ ref('rec_usage_charge') }} as charge
        on link.case_id = charge.case_id
        and link.entity_name = charge.entity_name
    cross join (select 'UC-03' as rule_id union all select 'UC-04') as charge_rule
)
select
    line_type,
    line_key,
    facility_id,
    rule_id,
    entity_key,
    out_of_scope_reason
from (
    select 'usage_line' as line_type, line_key, facility_id, rule_id, entity_key, out_of_scope_reason
    from usage_entities
    union all
    select 'charge_chain', line_key, facility_id, rule_id, entity_key, out_of_scope_reason
    from chain_entities
) as entities
